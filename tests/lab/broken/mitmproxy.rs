//! Faults of mitmproxy: its web interface, its mode, its target, its filters, and what it is missing.

use super::{COMMAND, Chain, WEB_ON_LOOPBACK, broken, fixed_both_ways, named};
use crate::{
    Setup,
    lab::{BACKEND, ENTRY, HOST, Lab, MITMPROXY, MITMPROXY_12, request, sh, wait_until},
};

pub(crate) const SETUPS: &[Setup] = &[
    Setup { name: "web-on-loopback", up: web_on_loopback, then: web_on_loopback_then },
    Setup { name: "web-on-loopback-for-all", up: web_for_all, then: web_for_all_then },
    Setup { name: "web-by-name", up: web_by_name, then: web_by_name_then },
    Setup { name: "password-wanted", up: password_wanted, then: password_wanted_then },
    Setup { name: "password-wrong", up: password_wanted, then: password_wrong_then },
    Setup { name: "regular-mode", up: regular_mode, then: regular_mode_then },
    Setup { name: "regular-mode-beside-database", up: beside_database, then: beside_database_then },
    Setup { name: "socks-mode", up: socks_mode, then: socks_mode_then },
    Setup { name: "target-is-caddy", up: target_is_caddy, then: target_is_caddy_then },
    Setup { name: "target-on-loopback", up: target_on_loopback, then: target_on_loopback_then },
    Setup { name: "target-is-itself", up: target_is_itself, then: target_is_itself_then },
    Setup { name: "target-without-scheme", up: target_without_scheme, then: target_without_scheme_then },
    Setup { name: "mode-does-not-listen", up: mode_does_not_listen, then: mode_does_not_listen_then },
    Setup { name: "listen-port-not-moved", up: port_not_moved, then: port_not_moved_then },
    Setup { name: "backend-refuses", up: backend_refuses, then: backend_refuses_then },
    Setup { name: "backend-drops", up: backend_drops, then: backend_drops_then },
    Setup { name: "tls-to-plain-backend", up: tls_to_plain, then: tls_to_plain_then },
    Setup { name: "plain-to-tls-backend", up: plain_to_tls, then: plain_to_tls_then },
    Setup { name: "backend-certificate", up: certificate, then: certificate_then },
    Setup { name: "certificate-of-earlier", up: certificate, then: certificate_of_earlier_then },
    Setup { name: "intercept-holds", up: intercept_holds, then: intercept_holds_then },
    Setup { name: "intercept-set", up: intercept_set, then: intercept_set_then },
    Setup { name: "allow-hosts", up: allow_hosts, then: allow_hosts_then },
    Setup { name: "block-list", up: block_list, then: block_list_then },
    Setup { name: "view-filter", up: view_filter, then: view_filter_then },
    Setup { name: "ignore-hosts", up: ignore_hosts, then: ignore_hosts_then },
    Setup { name: "proxyauth", up: proxyauth, then: proxyauth_then },
    Setup { name: "client-is-blocked", up: client_is_blocked, then: client_is_blocked_then },
    Setup { name: "private-clients-blocked", up: private_blocked, then: private_blocked_then },
    Setup { name: "flows-hidden-from-probe", up: flows_hidden, then: flows_hidden_then },
    Setup { name: "nearly-out-of-memory", up: nearly_out_of_memory, then: nearly_out_of_memory_then },
    Setup { name: "slow", up: slow, then: slow_then },
];

fn with_command(lab: &Lab, command: &str) {
    Chain { command, ..Chain::default() }.up(lab);
}

fn targeting(lab: &Lab, target: &str) {
    with_command(lab, &format!("mitmweb --mode reverse:{target} --set keep_host_header=true"));
}

/// Guide: "Connection refused on web UI".
fn web_on_loopback(lab: &Lab) {
    Chain { mitmproxy: "-p 127.0.0.1:18081:8081", ..Chain::default() }.up(lab);
}

fn web_on_loopback_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = named(lab, &[], &[WEB_ON_LOOPBACK]);
    diagnosis.heal(lab, 0);
    wait_until("the web interface", || sh("curl -s http://127.0.0.1:18081/ || true").contains("mitmproxy"));
    lab.travels(HOST);
    lab.doctor(&[]).blames(&[]);
}

/// Published on all addresses: what opens it must not open it to everybody, since this version asks for no password.
fn web_for_all(lab: &Lab) {
    Chain { mitmproxy: "-p 18081:8081", ..Chain::default() }.up(lab);
}

fn web_for_all_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = named(lab, &[], &[WEB_ON_LOOPBACK]);
    diagnosis.heal(lab, 0);
    wait_until("the web interface", || sh("curl -s http://127.0.0.1:18081/ || true").contains("mitmproxy"));
    let ports = sh("docker port mitmproxy 8081");
    assert_eq!(ports.trim(), "127.0.0.1:18081");
    lab.travels(HOST);
    let after = lab.doctor(&[]);
    after.blames(&[]);
    assert_eq!(after.status("mitmweb-api"), "pass");
}

/// The web interface by a name, over Caddy: refused against DNS rebinding up to 11.1.0.
fn web_by_name(lab: &Lab) {
    let caddyfile = "http://api.example.com {\n\treverse_proxy mitmproxy:8080\n}\nhttp://ui.example.com {\n\t\
                     reverse_proxy mitmproxy:8081\n}\n";
    Chain { caddyfile, command: &format!("{COMMAND} --web-host 0.0.0.0"), ..Chain::default() }.up(lab);
}

fn web_by_name_then(lab: &Lab) {
    lab.travels(HOST);
    let answer = request(ENTRY, "ui.example.com").unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let cause = "mitmweb-api: mitmweb 10.4.2 refuses the Host ui.example.com, which caddy sends to its web interface";
    named(lab, &[], &[cause]);
}

/// From 11.1.2 on the API wants its password. Without it the doctor says what it could not look at, and accuses nobody.
fn password_wanted(lab: &Lab) {
    let command = format!("{COMMAND} --set web_password=lab-password --set web_host=0.0.0.0");
    let command = command.replace("keep_host_header=true", "keep_host_header=false");
    Chain { image: MITMPROXY_12, command: &command, ..Chain::default() }.up(lab);
}

fn password_wanted_then(lab: &Lab) {
    lab.travels(HOST);
    let without = lab.doctor(&[]);
    assert_eq!((without.code, without.status("mitmweb-api").as_str()), (3, "unknown"), "{}", without.text);
    let wrong = lab.doctor_with("DOCTOR_WEB_PASSWORD", "wrong", &[]);
    wrong.blames(&[WRONG_PASSWORD]);
    let right = lab.doctor_with("DOCTOR_WEB_PASSWORD", "lab-password", &[]);
    lab.keep();
    right.blames(&[]).warns("keep-host-header: the backend of mitmproxy sees Host backend:3000, not api.example.com");
    // The printed command takes the password from the environment.
    sh(&format!("export DOCTOR_WEB_PASSWORD=lab-password; {}", right.commands(0)));
    assert!(lab.travels(HOST).contains(&format!("backend saw Host {HOST}")));
}

const WRONG_PASSWORD: &str = "mitmweb-api: mitmproxy does not take the password that the doctor was given";

fn password_wrong_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor_with("DOCTOR_WEB_PASSWORD", "wrong", &[]);
    lab.keep();
    diagnosis.blames(&[WRONG_PASSWORD]).folds(&["flows-nonzero", "capture-filters"]);
}

fn regular_mode(lab: &Lab) {
    with_command(lab, "mitmweb --set keep_host_header=true");
}

fn regular_mode_then(lab: &Lab) {
    let diagnosis = broken(
        lab,
        &["reverse-mode: mitmproxy is in regular mode, so it sends what caddy passes on to whatever the Host names"],
    );
    fixed_both_ways(lab, regular_mode, &diagnosis);
}

/// A mode that takes no plain HTTP requests.
/// The one container that exposes a port is no backend: which one it is has to be said by a person.
fn beside_database(lab: &Lab) {
    lab.network("app-net");
    let script = format!("-v {}:/backend.py:ro", lab.folder().join("backend.py").display());
    lab.run("backend", &format!("--network app-net {script} {BACKEND} python3 /backend.py 0.0.0.0 3000"));
    lab.run("db", &format!("--network app-net --expose 5432 {script} {BACKEND} python3 /backend.py 0.0.0.0 5432"));
    lab.run("mitmproxy", &format!("--network app-net {MITMPROXY} mitmweb"));
    lab.wait_for_port("mitmproxy", 8081);
    lab.caddy("caddy", &format!("--network app-net -p 127.0.0.1:{ENTRY}:80"), &super::dials("mitmproxy:8080"));
}

fn beside_database_then(lab: &Lab) {
    let cause =
        "reverse-mode: mitmproxy is in regular mode, so it sends what caddy passes on to whatever the Host names";
    let diagnosis = broken(lab, &[cause]);
    assert!(!diagnosis.text.contains("db:5432"), "{}", diagnosis.text);
}

fn socks_mode(lab: &Lab) {
    with_command(lab, "mitmweb --mode socks5 --set keep_host_header=true");
}

fn socks_mode_then(lab: &Lab) {
    let cause = "reverse-mode: mitmproxy is in socks5 mode, which takes no requests from caddy";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, socks_mode, &diagnosis);
}

/// Every request would go round and round, so none is sent here.
fn target_is_caddy(lab: &Lab) {
    targeting(lab, "http://caddy:80");
}

fn target_is_caddy_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let cause = "reverse-mode: mitmproxy sends requests back to caddy, which sends them to mitmproxy again";
    diagnosis.blames(&[cause]).folds(&["flows-nonzero"]);
}

fn target_on_loopback(lab: &Lab) {
    targeting(lab, "http://localhost:3000");
}

fn target_on_loopback_then(lab: &Lab) {
    let diagnosis = broken(lab, &[super::TARGET_ON_LOOPBACK]);
    diagnosis.folds(&["flows-nonzero"]);
    fixed_both_ways(lab, target_on_loopback, &diagnosis);
}

fn target_is_itself(lab: &Lab) {
    targeting(lab, "http://localhost:8080");
}

fn target_is_itself_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let cause = "reverse-mode: mitmproxy sends requests back to itself: its target localhost:8080 is its own port";
    diagnosis.blames(&[cause]).folds(&["flows-nonzero"]);
    fixed_both_ways(lab, target_is_itself, &diagnosis);
}

/// Without a scheme it is https from 9.0 on.
fn target_without_scheme(lab: &Lab) {
    targeting(lab, "backend:3000");
}

fn target_without_scheme_then(lab: &Lab) {
    let diagnosis = broken(lab, &[super::TARGET_WITHOUT_SCHEME]);
    fixed_both_ways(lab, target_without_scheme, &diagnosis);
}

/// The mode that Caddy needs cannot listen: somebody else in its namespace has the port.
fn mode_does_not_listen(lab: &Lab) {
    squatted(lab);
    lab.set_option("mitmproxy", r#"{"mode": ["reverse:http://backend:3000@8080"]}"#);
}

/// mitmproxy on another port, and somebody else on 8080 of its namespace.
fn squatted(lab: &Lab) {
    let command = format!("{COMMAND} --listen-port 9090");
    Chain { command: &command, ..Chain::default() }.up(lab);
    let mount = format!("-v {}:/backend.py:ro", lab.folder().join("backend.py").display());
    let squatter =
        format!("--network container:mitmproxy {mount} {} python3 /backend.py 0.0.0.0 8080 tls", crate::lab::BACKEND);
    lab.run("squatter", &squatter);
    lab.wait_for_port("mitmproxy", 8080);
}

fn mode_does_not_listen_then(lab: &Lab) {
    let cause =
        "reverse-mode: mitmproxy's mode reverse:http://backend:3000@8080 is configured, and its server does not run";
    let diagnosis = broken(lab, &[cause]);
    diagnosis.folds(&["flows-nonzero"]);
}

/// The options say 8080, and the server stayed where it was.
fn port_not_moved(lab: &Lab) {
    squatted(lab);
    lab.set_option("mitmproxy", r#"{"listen_port": 8080}"#);
}

fn port_not_moved_then(lab: &Lab) {
    let diagnosis =
        broken(lab, &["caddy-dial: caddy dials mitmproxy:8080, and mitmproxy does not listen on port 8080"]);
    fixed_both_ways(lab, port_not_moved, &diagnosis);
}

/// Guide: "Backend not reachable". With eager connections Caddy answers an empty 502 and no flow is listed.
fn backend_refuses(lab: &Lab) {
    targeting(lab, "http://backend:3999");
}

fn backend_refuses_then(lab: &Lab) {
    let answer = request(ENTRY, HOST).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("Content-Length: 0"), "{answer}");
    broken(lab, &[super::BACKEND_REFUSES]).folds(&["flows-nonzero"]);
    lab.doctor(&["--probe"]).blames(&[super::BACKEND_REFUSES]).folds(&["flows-nonzero"]);
}

fn backend_drops(lab: &Lab) {
    Chain::default().up(lab);
    let address =
        crate::lab::docker(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "backend"]);
    let rule = format!("-p tcp -d {} --dport 3000 -j DROP", address.trim());
    // Packets between two containers of one bridge pass the filter where the kernel is told so; else it is dropped inside.
    let pid = crate::lab::docker(&["inspect", "-f", "{{.State.Pid}}", "backend"]);
    sh(&format!(
        "nsenter -t {} -n iptables -I INPUT {}",
        pid.trim(),
        rule.replace(&format!("-d {} ", address.trim()), "")
    ));
}

fn backend_drops_then(lab: &Lab) {
    let cause = "backend-reachable: backend:3000 does not answer mitmproxy: the connection times out";
    broken(lab, &[cause]).folds(&["flows-nonzero"]);
}

fn tls_to_plain(lab: &Lab) {
    targeting(lab, "https://backend:3000");
}

fn tls_to_plain_then(lab: &Lab) {
    let answer = request(ENTRY, HOST).unwrap();
    assert!(answer.contains("does not speak TLS"), "{answer}");
    let diagnosis = broken(lab, &["backend-reachable: mitmproxy speaks TLS to backend:3000, which does not"]);
    fixed_both_ways(lab, tls_to_plain, &diagnosis);
}

fn tls_backend(lab: &Lab, port: u16) {
    let script = lab.folder().join("backend.py");
    lab.run(
        "shop",
        &format!(
            "--network app-net -v {}:/backend.py:ro {} python3 /backend.py 0.0.0.0 {port} tls",
            script.display(),
            crate::lab::BACKEND
        ),
    );
    lab.wait_for_port("shop", port);
}

fn plain_to_tls(lab: &Lab) {
    targeting(lab, "http://shop:3443");
    tls_backend(lab, 3443);
}

fn plain_to_tls_then(lab: &Lab) {
    broken(lab, &["backend-reachable: mitmproxy sends plain HTTP to shop:3443, which speaks TLS"]);
}

fn certificate(lab: &Lab) {
    with_command(lab, "mitmweb --mode reverse:https://shop:3443");
    tls_backend(lab, 3443);
}

fn certificate_then(lab: &Lab) {
    let answer = request(ENTRY, HOST).unwrap();
    assert!(answer.contains("Certificate verify failed"), "{answer}");
    let cause =
        "backend-reachable: mitmproxy does not trust the certificate of shop:3443, by the newest error in its events";
    let diagnosis = broken(lab, &[cause]);
    diagnosis.heal(lab, 0);
    lab.travels(HOST);
    lab.doctor(&[]).blames(&[]);
}

/// The event of an error that is over stays; that a connection stood since is told with it.
fn certificate_of_earlier_then(lab: &Lab) {
    assert!(request(ENTRY, HOST).unwrap().contains("Certificate verify failed"));
    lab.set_option("mitmproxy", r#"{"ssl_insecure": true}"#);
    lab.travels(HOST);
    lab.set_option("mitmproxy", r#"{"ssl_insecure": false}"#);
    let diagnosis = named(lab, &[], &[]);
    diagnosis.warns_of("backend-reachable");
    assert!(diagnosis.text.contains("did not trust the certificate of shop:3443"), "{}", diagnosis.text);
}

/// A filter that was left on holds every request.
fn intercept_holds(lab: &Lab) {
    Chain::default().up(lab);
    lab.set_option("mitmproxy", r#"{"intercept": "~all"}"#);
    // It is held, and waits for its answer until it gives up.
    sh(&format!("curl -s -m 2 -H 'Host: {HOST}' http://127.0.0.1:{ENTRY}/ >/dev/null || true"));
}

fn intercept_holds_then(lab: &Lab) {
    let diagnosis = named(lab, &[], &["capture-filters: mitmproxy holds 1 request until somebody lets them go on"]);
    assert!(diagnosis.text.contains("/flows/resume"), "{}", diagnosis.text);
    fixed_both_ways(lab, intercept_holds, &diagnosis);
}

/// Nothing is held yet; the next request will be.
fn intercept_set(lab: &Lab) {
    Chain::default().up(lab);
    lab.set_option("mitmproxy", r#"{"intercept": "~all"}"#);
}

fn intercept_set_then(lab: &Lab) {
    let diagnosis = named(lab, &[], &[]);
    diagnosis.warns("capture-filters: mitmproxy holds every request that matches its intercept filter");
    lab.fix(&["--yes", "capture-filters"]);
    lab.travels(HOST);
}

fn allow_hosts(lab: &Lab) {
    with_command(lab, &format!("{COMMAND} --allow-hosts elsewhere"));
}

fn allow_hosts_then(lab: &Lab) {
    lab.travels(HOST);
    let warning =
        "capture-filters: mitmproxy passes on requests of this setup unseen, since its allow_hosts names others";
    named(lab, &[], &[]).warns(warning);
    lab.fix(&["--yes", "capture-filters"]);
    lab.travels(HOST);
    assert_eq!(lab.doctor(&[]).status("flows-nonzero"), "pass");
}

fn block_list(lab: &Lab) {
    Chain::default().up(lab);
    lab.set_option("mitmproxy", r#"{"block_list": [":~u blocked:444"]}"#);
}

fn block_list_then(lab: &Lab) {
    lab.travels(HOST);
    named(lab, &[], &[]).warns("capture-filters: mitmproxy has a block_list: it may answer requests by itself");
}

fn view_filter(lab: &Lab) {
    Chain::default().up(lab);
    lab.set_option("mitmproxy", r#"{"view_filter": "~u nomatch"}"#);
}

fn view_filter_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = named(lab, &[], &[]);
    diagnosis.warns("capture-filters: mitmproxy lists and counts only the flows that match its view_filter");
    lab.fix(&["--yes", "capture-filters"]);
    assert_eq!(lab.doctor(&[]).status("flows-nonzero"), "pass", "what was captured is listed again");
}

fn ignore_hosts(lab: &Lab) {
    with_command(lab, &format!("{COMMAND} --ignore-hosts backend"));
}

fn ignore_hosts_then(lab: &Lab) {
    lab.travels(HOST);
    let warning = "capture-filters: mitmproxy passes on requests of this setup unseen, by its ignore_hosts";
    named(lab, &[], &[]).warns(warning);
    lab.fix(&["--yes", "capture-filters"]);
    lab.travels(HOST);
    assert_eq!(lab.doctor(&[]).status("flows-nonzero"), "pass");
}

fn proxyauth(lab: &Lab) {
    with_command(lab, &format!("{COMMAND} --set proxyauth=user:lab-password"));
}

fn proxyauth_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    assert!(
        diagnosis
            .root_causes()
            .iter()
            .any(|cause| cause
                .contains("capture-filters: mitmproxy asks the clients of its reverse mode for a password")),
        "{}",
        diagnosis.text
    );
    assert!(!serde_json::to_string(&diagnosis.report).unwrap().contains("lab-password"));
}

/// A network with public addresses: mitmproxy kills connections from those.
fn client_is_blocked(lab: &Lab) {
    lab.network_with("app-net", "--subnet 172.33.77.0/24");
    Chain::default().up_on(lab, "app-net");
}

fn client_is_blocked_then(lab: &Lab) {
    let diagnosis = broken(
        lab,
        &["capture-filters: mitmproxy closes connections from caddy by block_global: 172.33.77.4 is a public address"],
    );
    fixed_both_ways(lab, client_is_blocked, &diagnosis);
}

fn private_blocked(lab: &Lab) {
    with_command(lab, &format!("{COMMAND} --set block_private=true"));
}

fn private_blocked_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    let cause = "fail capture-filters: mitmproxy closes connections from caddy by block_private";
    assert!(roots[0].starts_with(cause), "{}", diagnosis.text);
    fixed_both_ways(lab, private_blocked, &diagnosis);
}

/// With --probe an empty list is a failure that says where the request ended.
fn flows_hidden(lab: &Lab) {
    with_command(lab, &format!("{COMMAND} --ignore-hosts backend"));
}

fn flows_hidden_then(lab: &Lab) {
    lab.travels(HOST);
    named(
        lab,
        &["--probe"],
        &[
            "flows-nonzero: mitmproxy answered a marked request and lists no flow of it: something keeps it from being listed",
        ],
    );
}

fn nearly_out_of_memory(lab: &Lab) {
    Chain { mitmproxy: "-m 68m --memory-swap 68m", ..Chain::default() }.up(lab);
}

fn nearly_out_of_memory_then(lab: &Lab) {
    lab.travels(HOST);
    named(lab, &[], &[]).warns_of("memory");
}

/// Hardly any processor for mitmproxy.
fn slow(lab: &Lab) {
    Chain::default().up(lab);
    crate::lab::docker(&["update", "--cpus", "0.03", "mitmproxy"]);
}

fn slow_then(lab: &Lab) {
    lab.travels(HOST);
    named(lab, &["--probe"], &[]).warns_of("latency");
}
