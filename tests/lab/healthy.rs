//! Setups that work, in every shape. The doctor must accuse none of them.

use std::process::Command;

use crate::{
    Setup,
    lab::{
        self, CADDY, ENTRY, HOST, Lab, MITMPROXY, MITMPROXY_8, MITMPROXY_11, MITMPROXY_12, docker, listens, wait_until,
    },
};

pub(crate) const SETUPS: &[Setup] = &[
    Setup { name: "healthy-one-bridge", up: one_bridge, then: is_healthy },
    Setup { name: "healthy-host-network", up: host_network, then: is_healthy },
    Setup { name: "healthy-caddy-on-host-network", up: caddy_on_host_network, then: is_healthy_when_probed },
    Setup { name: "healthy-caddy-process", up: caddy_process, then: is_healthy },
    Setup { name: "healthy-backend-on-host", up: backend_on_host, then: is_healthy_when_probed },
    Setup { name: "healthy-backend-at-gateway", up: backend_at_gateway, then: is_healthy },
    Setup { name: "healthy-mitmproxy-over-host", up: mitmproxy_over_host, then: is_healthy_when_probed },
    Setup { name: "healthy-shared-namespace", up: shared_namespace, then: is_healthy_when_probed },
    Setup { name: "healthy-other-names", up: other_names, then: other_names_are_healthy },
    Setup {
        name: "healthy-mitmproxy-before-caddy",
        up: mitmproxy_before_caddy,
        then: mitmproxy_before_caddy_is_healthy,
    },
    Setup { name: "healthy-two-pairs", up: two_pairs, then: both_pairs_are_healthy },
    Setup { name: "healthy-mitmproxy-8", up: |lab| mitmproxy_of(lab, MITMPROXY_8, ""), then: is_healthy },
    Setup { name: "healthy-mitmproxy-11", up: |lab| mitmproxy_of(lab, MITMPROXY_11, ""), then: is_healthy_when_probed },
    Setup {
        name: "healthy-mitmproxy-12",
        up: |lab| mitmproxy_of(lab, MITMPROXY_12, "--set web_password=lab-password"),
        then: is_healthy_with_password,
    },
    Setup { name: "healthy-processes-only", up: processes_only, then: is_healthy_without_engine },
    Setup { name: "healthy-mitmdump", up: mitmdump, then: mitmdump_is_healthy },
    Setup { name: "healthy-web-interface-first", up: web_interface_first, then: is_healthy_when_probed },
    Setup { name: "healthy-two-setups", up: two_setups, then: the_folder_decides },
    Setup { name: "healthy-as-user", up: one_bridge, then: is_healthy_for_a_user },
    Setup { name: "healthy-from-a-container", up: one_bridge, then: is_healthy_from_a_container },
];

/// What a Caddyfile says in most setups.
pub(crate) fn site(dial: &str) -> String {
    format!("http://{HOST} {{\n\treverse_proxy {dial}\n}}\n")
}

fn publish() -> String {
    format!("-p 127.0.0.1:{ENTRY}:80")
}

/// All three on one network, by their names.
pub(crate) fn one_bridge(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://backend:3000");
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("mitmproxy:8080"));
}

fn is_healthy(lab: &Lab) {
    assert!(lab.travels(HOST).contains(&format!("backend saw Host {HOST}")));
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[]);
    assert_eq!(diagnosis.report["status"], "pass", "{}", diagnosis.text);
    assert_eq!(diagnosis.status("flows-nonzero"), "pass", "{}", diagnosis.text);
}

/// The other way round: clients come to mitmproxy, which sends them on to Caddy.
fn mitmproxy_before_caddy(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.caddy("caddy", "--network app-net", &site("backend:3000"));
    lab.mitmweb("mitmproxy", &format!("--network app-net -p 127.0.0.1:{ENTRY}:8080"), "http://caddy:80");
}

fn mitmproxy_before_caddy_is_healthy(lab: &Lab) {
    assert!(lab.travels(HOST).contains(&format!("backend saw Host {HOST}")));
    for arguments in [&[][..], &["--host", HOST]] {
        let diagnosis = lab.doctor(arguments);
        diagnosis.blames(&[]);
        assert_eq!(diagnosis.status("caddy-route"), "skip", "{}", diagnosis.text);
    }
}

fn host_network(lab: &Lab) {
    let caddyfile = format!("{{\n\thttp_port {ENTRY}\n}}\nhttp://{HOST} {{\n\treverse_proxy 127.0.0.1:18082\n}}\n");
    let script = format!("-v {}:/backend.py:ro", lab.folder().join("backend.py").display());
    lab.run("backend", &format!("--network host {script} {} python3 /backend.py 127.0.0.1 13000", lab::BACKEND));
    lab.run(
        "mitmproxy",
        &format!(
            "--network host {MITMPROXY} mitmweb --mode reverse:http://127.0.0.1:13000 --listen-port 18082 --web-port 18081 \
             --set keep_host_header=true"
        ),
    );
    lab.caddy("caddy", "--network host", &caddyfile);
    wait_until("mitmweb", || listens("/proc/net/tcp", 18082) || listens("/proc/net/tcp6", 18082));
}

fn published_mitmproxy(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net -p 127.0.0.1:18082:8080", "http://backend:3000");
}

fn caddy_on_host_network(lab: &Lab) {
    published_mitmproxy(lab);
    let caddyfile = format!("{{\n\thttp_port {ENTRY}\n}}\n{}", site("localhost:18082"));
    lab.caddy("caddy", "--network host", &caddyfile);
}

/// The first path to mitmproxy is the one to its web interface, where no request is captured.
fn web_interface_first(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://backend:3000");
    let caddyfile = format!(
        "http://{HOST} {{\n\thandle_path /mitm/* {{\n\t\treverse_proxy mitmproxy:8081 {{\n\t\t\theader_up Host 127.0.0.1:8081\n\t\t}}\n\t}}\n\
         \thandle {{\n\t\treverse_proxy mitmproxy:8080\n\t}}\n}}\n"
    );
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &caddyfile);
}

/// Starts Caddy as a process.
pub(crate) fn start_caddy(lab: &Lab, dial: &str) {
    let caddyfile = lab.caddyfile(&format!("{{\n\thttp_port {ENTRY}\n}}\n{}", site(dial)));
    lab.process(
        Command::new(lab.caddy_program())
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(caddyfile)
            .env("HOME", lab.folder().join("home")),
    );
    wait_until("Caddy", || listens("/proc/net/tcp", 2019));
}

fn caddy_process(lab: &Lab) {
    published_mitmproxy(lab);
    start_caddy(lab, "127.0.0.1:18082");
}

fn backend_on_host(lab: &Lab) {
    lab.network("app-net");
    lab.host_backend("0.0.0.0", 13000);
    lab.mitmweb(
        "mitmproxy",
        "--network app-net --add-host host.docker.internal:host-gateway",
        "http://host.docker.internal:13000",
    );
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("mitmproxy:8080"));
}

/// The backend is on the host, and mitmproxy dials the gateway's address.
fn backend_at_gateway(lab: &Lab) {
    lab.network("app-net");
    lab.host_backend("0.0.0.0", 13000);
    let gateway = gateway("app-net");
    lab.mitmweb("mitmproxy", "--network app-net", &format!("http://{gateway}:13000"));
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("mitmproxy:8080"));
}

fn gateway(network: &str) -> String {
    docker(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network]).trim().to_owned()
}

/// On networks of their own, Caddy reaches mitmproxy over its published port.
fn mitmproxy_over_host(lab: &Lab) {
    lab.network("edge-net");
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    let publish_for_containers = format!("-p {}:18082:8080", gateway("bridge"));
    lab.mitmweb("mitmproxy", &format!("--network app-net {publish_for_containers}"), "http://backend:3000");
    let options = format!("--network edge-net {} --add-host host.docker.internal:host-gateway", publish());
    lab.caddy("caddy", &options, &site("host.docker.internal:18082"));
}

/// mitmproxy lives in the backend's namespace; Caddy dials the backend's name and mitmproxy's port.
fn shared_namespace(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network container:backend", "http://localhost:3000");
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("backend:8080"));
}

/// Other names, other ports, images without a telling name, an alias, a subroute and two Hosts.
fn other_names(lab: &Lab) {
    docker(&["tag", CADDY, "doctor-lab/web:1"]);
    docker(&["tag", MITMPROXY, "doctor-lab/tap:1"]);
    lab.network("front");
    lab.network("back");
    lab.backend("shop", "--network back --network-alias store");
    lab.run(
        "inspector",
        "--network front --network-alias tap doctor-lab/tap:1 mitmweb -m reverse:http://store:3000 -p 9090 --web-port 9091 \
         --set keep_host_header=true",
    );
    docker(&["network", "connect", "back", "inspector"]);
    lab.wait_for_port("inspector", 9090);
    lab.wait_for_port("inspector", 9091);
    let caddyfile = lab.caddyfile(
        "http://shop.example.org:8000, http://*.shop.example.org:8000 {\n\thandle /static/* {\n\t\trespond 404\n\t}\n\thandle {\n\t\t\
         reverse_proxy tap:9090\n\t}\n}\n",
    );
    let mount = format!("-v {}:/etc/caddy/Caddyfile:ro", caddyfile.display());
    lab.run("edge", &format!("--network front -p 127.0.0.1:{ENTRY}:8000 {mount} doctor-lab/web:1"));
    lab.wait_for_port("edge", 2019);
}

fn other_names_are_healthy(lab: &Lab) {
    lab.travels("shop.example.org");
    lab.travels("www.shop.example.org");
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[]);
    assert_eq!(diagnosis.report["status"], "pass", "{}", diagnosis.text);
    let hops = &diagnosis.report["setup"]["paths"][0]["hops"];
    assert_eq!(hops[2], "inspector:9090 -> shop:3000", "{}", diagnosis.text);
}

fn two_pairs(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.backend("shop", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://backend:3000");
    lab.mitmweb("mitmproxy-shop", "--network app-net", "http://shop:3000");
    let caddyfile =
        format!("{}http://shop.example.com {{\n\treverse_proxy mitmproxy-shop:8080\n}}\n", site("mitmproxy:8080"));
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &caddyfile);
}

fn both_pairs_are_healthy(lab: &Lab) {
    lab.travels("shop.example.com");
    is_healthy(lab);
    let diagnosis = lab.doctor(&[]);
    assert_eq!(diagnosis.report["setup"]["paths"].as_array().unwrap().len(), 2, "{}", diagnosis.text);
}

fn mitmproxy_of(lab: &Lab, image: &str, options: &str) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    let command = "mitmweb --mode reverse:http://backend:3000 --set keep_host_header=true";
    lab.run("mitmproxy", &format!("--network app-net {image} {command} {options}"));
    lab.wait_for_port("mitmproxy", 8080);
    lab.wait_for_port("mitmproxy", 8081);
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("mitmproxy:8080"));
}

fn is_healthy_with_password(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor_with("DOCTOR_WEB_PASSWORD", "lab-password", &[]);
    lab.keep();
    diagnosis.blames(&[]);
    assert_eq!(diagnosis.report["status"], "pass", "{}", diagnosis.text);
    assert_eq!(diagnosis.status("flows-nonzero"), "pass", "{}", diagnosis.text);
}

/// Caddy, mitmweb and the backend as processes, and no engine at the place where one is looked for.
fn processes_only(lab: &Lab) {
    lab.host_backend("127.0.0.1", 13000);
    lab.process(
        Command::new(lab.mitmweb_program())
            .args(["--mode", "reverse:http://127.0.0.1:13000", "--listen-port", "18082", "--web-port", "18081"])
            .args(["--no-web-open-browser", "--set", "keep_host_header=true", "--set", "web_password=lab"])
            .env("HOME", lab.folder().join("home")),
    );
    wait_until("mitmweb", || listens("/proc/net/tcp", 18081));
    start_caddy(lab, "127.0.0.1:18082");
}

fn is_healthy_without_engine(lab: &Lab) {
    lab.travels(HOST);
    let mut command = Command::new(env!("CARGO_BIN_EXE_doctor"));
    // Recent releases want the password; older ones do not know it.
    command.env("DOCKER_HOST", "unix:///run/doctor-lab/nothing.sock").env("DOCTOR_WEB_PASSWORD", "lab");
    let diagnosis = lab.doctor_by(command, &[]);
    lab.keep();
    diagnosis.blames(&[]);
    assert_eq!(diagnosis.status("docker-engine"), "skip", "{}", diagnosis.text);
    assert_eq!(diagnosis.status("flows-nonzero"), "pass", "{}", diagnosis.text);
}

fn mitmdump(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.run(
        "mitmproxy",
        &format!(
            "--network app-net {MITMPROXY} mitmdump --mode reverse:http://backend:3000 --set keep_host_header=true"
        ),
    );
    lab.wait_for_port("mitmproxy", 8080);
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("mitmproxy:8080"));
}

fn mitmdump_is_healthy(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[]);
    assert_eq!(diagnosis.status("flows-nonzero"), "skip", "{}", diagnosis.text);
}

/// Beside the setup of this folder another one that is broken: it is named, and not judged.
fn two_setups(lab: &Lab) {
    let ours = "--label com.docker.compose.project=empty";
    lab.network("app-net");
    lab.backend("backend", &format!("--network app-net {ours}"));
    lab.mitmweb("mitmproxy", &format!("--network app-net {ours}"), "http://backend:3000");
    lab.caddy("caddy", &format!("--network app-net {} {ours}", publish()), &site("mitmproxy:8080"));
    let theirs = "--label com.docker.compose.project=theirs";
    lab.run("edge", &format!("{theirs} {CADDY}"));
    lab.run("inspector", &format!("{theirs} {MITMPROXY} mitmproxy"));
    lab.wait_for_port("edge", 2019);
    wait_until("the end of inspector", || {
        docker(&["inspect", "-f", "{{.State.Status}}", "inspector"]).trim() == "exited"
    });
}

fn the_folder_decides(lab: &Lab) {
    is_healthy(lab);
    let diagnosis = lab.doctor(&[]);
    let found = diagnosis.report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["id"] == "setup-found")
        .unwrap()
        .to_string();
    assert!(found.contains("edge and inspector"), "{found}");
    assert_eq!(lab.doctor(&["--project", "theirs"]).code, 1);
}

/// With marked requests through the setup as well, and an address that tests would use. How long they take is a matter of
/// the machine, so a warning of that is none of the setup.
fn is_healthy_when_probed(lab: &Lab) {
    assert!(lab.travels(HOST).contains(&format!("backend saw Host {HOST}")));
    lab.doctor(&[]).blames(&[]);
    let entry = format!("127.0.0.1:{ENTRY}");
    let diagnosis = lab.doctor(&["--probe", "--expect", &entry]);
    lab.keep();
    diagnosis.blames(&[]);
    for check in ["flows-nonzero", "vantage", "backend-reachable"] {
        assert_eq!(diagnosis.status(check), "pass", "{}", diagnosis.text);
    }
    assert!(["pass", "warn"].contains(&diagnosis.status("latency").as_str()), "{}", diagnosis.text);
}

/// Not root but in the docker group: namespaces are closed, and everything is seen by other ways.
fn is_healthy_for_a_user(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor_as_user(&[]);
    lab.keep();
    diagnosis.blames(&[]);
    assert_eq!(diagnosis.report["status"], "pass", "{}", diagnosis.text);
    assert_eq!(diagnosis.status("dns-lookup"), "pass", "{}", diagnosis.text);
}

/// The doctor in a container of its own on the network of the parts, as in a CI job: Docker's DNS answers it directly.
fn is_healthy_from_a_container(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor_inside("app-net", &["--expect", "caddy:80,mitmproxy:8080,backend:3000"]);
    lab.keep();
    diagnosis.blames(&[]);
    assert_eq!(diagnosis.report["status"], "pass", "{}", diagnosis.text);
    assert_eq!(diagnosis.status("vantage"), "pass", "{}", diagnosis.text);
    assert_eq!(diagnosis.status("backend-reachable"), "pass", "{}", diagnosis.text);
}
