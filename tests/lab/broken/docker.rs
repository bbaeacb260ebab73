//! Faults that Docker shows: the engine, containers, ports, networks, names; and what the first checks find beside.

use crate::{
    Setup,
    healthy::{one_bridge, site, start_caddy},
    lab::{CADDY, ENTRY, HOST, Lab, MITMPROXY, docker, sh, wait_until},
};

pub(crate) const SETUPS: &[Setup] = &[
    Setup { name: "two-networks", up: two_networks, then: two_networks_then },
    Setup { name: "two-networks-as-user", up: two_networks, then: two_networks_as_user_then },
    Setup { name: "compose-two-projects", up: compose_two_projects, then: compose_two_projects_then },
    Setup { name: "compose-host-gateway-missing", up: compose_host_gateway, then: compose_host_gateway_then },
    Setup { name: "default-bridge", up: default_bridge, then: default_bridge_then },
    Setup { name: "mitmproxy-on-host-network", up: mitmproxy_on_host_network, then: mitmproxy_on_host_network_then },
    Setup { name: "mitmproxy-stopped", up: mitmproxy_stopped, then: mitmproxy_stopped_then },
    Setup { name: "mitmproxy-paused", up: mitmproxy_paused, then: mitmproxy_paused_then },
    Setup { name: "mitmproxy-never-started", up: never_started, then: never_started_then },
    Setup { name: "console-without-terminal", up: console, then: console_then },
    Setup { name: "bad-mode", up: bad_mode, then: bad_mode_then },
    Setup { name: "unknown-option", up: unknown_option, then: unknown_option_then },
    Setup { name: "command-not-found", up: command_not_found, then: command_not_found_then },
    Setup { name: "killed-for-memory", up: killed_for_memory, then: killed_for_memory_then },
    Setup { name: "bad-caddyfile", up: bad_caddyfile, then: bad_caddyfile_then },
    Setup { name: "health-tool-missing", up: health_tool_missing, then: health_tool_missing_then },
    Setup { name: "health-tool-missing-exit-1", up: health_tool_behind_or, then: health_tool_missing_then },
    Setup { name: "unhealthy", up: unhealthy, then: unhealthy_then },
    Setup { name: "health-check-wants-password", up: health_403, then: health_403_then },
    Setup { name: "health-check-starting", up: health_starting, then: health_starting_then },
    Setup { name: "restarts-for-ever", up: restarts, then: restarts_then },
    Setup { name: "ends-well-for-ever", up: ends_well, then: ends_well_then },
    Setup { name: "folder-mounted-on-file", up: folder_on_file, then: folder_on_file_then },
    Setup { name: "namespace-gone", up: namespace_gone, then: namespace_gone_then },
    Setup { name: "namespace-owner-removed", up: owner_removed, then: owner_removed_then },
    Setup { name: "backend-stopped", up: backend_stopped, then: backend_stopped_then },
    Setup { name: "port-held-by-container", up: port_held_by_container, then: port_held_by_container_then },
    Setup { name: "port-held-by-process", up: port_held_by_process, then: port_held_by_process_then },
    Setup { name: "caddy-port-held-on-host-network", up: caddy_port_held, then: caddy_port_held_then },
    Setup { name: "udp-port-held", up: udp_port_held, then: udp_port_held_then },
    Setup { name: "port-held-on-host-network", up: port_held_on_host_network, then: port_held_on_host_network_then },
    Setup { name: "host-gateway-missing", up: host_gateway_missing, then: host_gateway_missing_then },
    Setup { name: "host-service-on-loopback", up: host_service_on_loopback, then: host_service_on_loopback_then },
    Setup { name: "host-port-of-container", up: host_port_of_container, then: host_port_of_container_then },
    Setup { name: "host-service-missing", up: host_service_missing, then: host_service_missing_then },
    Setup { name: "firewall", up: firewall, then: firewall_then },
    Setup { name: "misspelt-dial", up: misspelt_dial, then: misspelt_dial_then },
    Setup { name: "misspelt-target", up: misspelt_target, then: misspelt_target_then },
    Setup { name: "name-is-somebody-else", up: name_is_somebody_else, then: name_is_somebody_else_then },
    Setup { name: "container-name-on-host", up: container_name_on_host, then: container_name_on_host_then },
    Setup { name: "host-rewritten", up: host_rewritten, then: host_rewritten_then },
    Setup { name: "misspelt-option", up: misspelt_option, then: misspelt_option_then },
    Setup { name: "host-set-by-caddy", up: host_by_caddy, then: host_by_caddy_then },
    Setup { name: "misspelt-other-option", up: misspelt_other, then: misspelt_other_then },
    Setup { name: "no-flows", up: one_bridge, then: no_flows_then },
    Setup { name: "no-mitmproxy", up: no_mitmproxy, then: no_mitmproxy_then },
    Setup { name: "no-caddy", up: no_caddy, then: no_caddy_then },
    Setup { name: "nothing", up: |_| {}, then: nothing_then },
    Setup { name: "no-engine", up: |_| {}, then: no_engine_then },
    Setup { name: "two-networks-and-backend-stopped", up: two_faults, then: two_faults_then },
    Setup { name: "two-networks-and-misspelt-target", up: two_hops, then: two_hops_then },
];

fn publish() -> String {
    format!("-p 127.0.0.1:{ENTRY}:80")
}

/// The backend and Caddy on one network, without mitmproxy.
fn around(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("mitmproxy:8080"));
}

/// After a fix: a request travels, and the doctor finds no failure.
fn is_healed(lab: &Lab) {
    lab.travels(HOST);
    lab.doctor(&[]).blames(&[]);
}

fn two_networks(lab: &Lab) {
    lab.network("edge-net");
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://backend:3000");
    lab.caddy("caddy", &format!("--network edge-net {}", publish()), &site("mitmproxy:8080"));
}

fn two_networks_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["shared-network: caddy and mitmproxy share no network"]).folds(&["dns-lookup", "flows-nonzero"]);
    assert_eq!(diagnosis.commands(0), "docker network connect edge-net mitmproxy\n");
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn two_networks_as_user_then(lab: &Lab) {
    let diagnosis = lab.doctor_as_user(&[]);
    lab.keep();
    diagnosis.blames(&["shared-network: caddy and mitmproxy share no network"]).folds(&["dns-lookup", "flows-nonzero"]);
}

/// Two compose projects have two networks unless told otherwise, and services are dialled by their aliases.
fn compose_two_projects(lab: &Lab) {
    let caddyfile = lab.caddyfile(&site("mitmproxy:8080"));
    let script = lab.folder().join("backend.py");
    lab.compose(
        "doctor-lab-edge",
        &format!(
            "version: \"3\"\nservices:\n  caddy:\n    image: {CADDY}\n    ports: [\"127.0.0.1:{ENTRY}:80\"]\n    \
             labels: {{doctor.lab: \"\"}}\n    volumes: [\"{}:/etc/caddy/Caddyfile:ro\"]\n{LABELLED}",
            caddyfile.display()
        ),
    );
    lab.compose(
        "doctor-lab-app",
        &format!(
            "version: \"3\"\nservices:\n  mitmproxy:\n    image: {MITMPROXY}\n    labels: {{doctor.lab: \"\"}}\n    \
             command: mitmweb --mode reverse:http://backend:3000 --set keep_host_header=true\n  backend:\n    \
             image: {}\n    labels: {{doctor.lab: \"\"}}\n    volumes: [\"{}:/backend.py:ro\"]\n    \
             command: python3 /backend.py 0.0.0.0 3000\n{LABELLED}",
            crate::lab::BACKEND,
            script.display()
        ),
    );
    lab.wait_for_port(&container_of("doctor-lab-app", "mitmproxy"), 8081);
    lab.wait_for_port(&container_of("doctor-lab-edge", "caddy"), 2019);
}

/// The network that compose makes carries the lab's label as well.
const LABELLED: &str = "networks:\n  default:\n    labels: {doctor.lab: \"\"}\n";

fn container_of(project: &str, service: &str) -> String {
    let project = format!("label=com.docker.compose.project={project}");
    let service = format!("label=com.docker.compose.service={service}");
    docker(&["ps", "-a", "--format", "{{.Names}}", "--filter", &project, "--filter", &service]).trim().to_owned()
}

fn compose_two_projects_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let (caddy, mitmproxy) = (container_of("doctor-lab-edge", "caddy"), container_of("doctor-lab-app", "mitmproxy"));
    diagnosis
        .blames(&[&format!("shared-network: {caddy} and {mitmproxy} share no network")])
        .folds(&["dns-lookup", "flows-nonzero"]);
    assert_eq!(
        diagnosis.commands(0),
        format!("docker network connect --alias mitmproxy doctor-lab-edge_default {mitmproxy}\n")
    );
    // What makes it last is read by compose as it stands.
    let edit = diagnosis.edit(0);
    let file = lab.folder().join("doctor-lab-app/edit.yml");
    std::fs::write(&file, format!("version: \"3\"\n{edit}")).unwrap();
    let original = lab.folder().join("doctor-lab-app/compose.yml");
    let merged = sh(&format!("{} -f {} -f {} config", crate::lab::compose(), original.display(), file.display()));
    assert!(merged.contains("doctor-lab-edge_default"), "{merged}");
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

/// A service of compose is made anew by compose, with an override beside its file.
fn compose_host_gateway(lab: &Lab) {
    lab.host_backend("0.0.0.0", 13000);
    let caddyfile = lab.caddyfile(&site("mitmproxy:8080"));
    lab.compose(
        "doctor-lab-app",
        &format!(
            "version: \"3\"\nservices:\n  caddy:\n    image: {CADDY}\n    ports: [\"127.0.0.1:{ENTRY}:80\"]\n    \
             labels: {{doctor.lab: \"\"}}\n    volumes: [\"{}:/etc/caddy/Caddyfile:ro\"]\n  mitmproxy:\n    \
             image: {MITMPROXY}\n    labels: {{doctor.lab: \"\"}}\n    \
             command: mitmweb --mode reverse:http://host.docker.internal:13000 --set keep_host_header=true\n{LABELLED}",
            caddyfile.display()
        ),
    );
    lab.wait_for_port(&container_of("doctor-lab-app", "mitmproxy"), 8081);
    lab.wait_for_port(&container_of("doctor-lab-app", "caddy"), 2019);
}

fn compose_host_gateway_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let mitmproxy = container_of("doctor-lab-app", "mitmproxy");
    diagnosis
        .blames(&[&format!("host-docker-internal: host.docker.internal is not known inside {mitmproxy}")])
        .folds(&["dns-lookup", "flows-nonzero"]);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn default_bridge(lab: &Lab) {
    lab.backend("backend", "");
    lab.mitmweb("mitmproxy", "", "http://backend:3000");
    lab.caddy("caddy", &publish(), &site("mitmproxy:8080"));
}

fn default_bridge_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[
        "shared-network: caddy and mitmproxy share only the default bridge, where names do not resolve",
        "shared-network: mitmproxy and backend share only the default bridge, where names do not resolve",
    ]);
    diagnosis.heal(lab, 0);
    // The second hop is healed by what is printed for it when the first one is.
    let diagnosis = lab.doctor(&[]);
    diagnosis
        .blames(&["shared-network: mitmproxy and backend share only the default bridge, where names do not resolve"]);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn mitmproxy_on_host_network(lab: &Lab) {
    lab.network("app-net");
    lab.host_backend("127.0.0.1", 13000);
    lab.run(
        "mitmproxy",
        &format!(
            "--network host {MITMPROXY} mitmweb --mode reverse:http://127.0.0.1:13000 --set keep_host_header=true"
        ),
    );
    lab.wait_for_port("mitmproxy", 8081);
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("mitmproxy:8080"));
}

fn mitmproxy_on_host_network_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis
        .blames(&["shared-network: mitmproxy is on the host's network, where it has no name that caddy could dial"])
        .folds(&["dns-lookup", "flows-nonzero"]);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn mitmproxy_stopped(lab: &Lab) {
    one_bridge(lab);
    docker(&["stop", "mitmproxy"]);
}

fn mitmproxy_stopped_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let summary = "container-health: mitmproxy does not run: it ended with exit code 0 (no error: it was stopped, or had \
                   nothing more to do)";
    diagnosis.blames(&[summary]).folds(&["dns-lookup", "flows-nonzero"]);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn mitmproxy_paused(lab: &Lab) {
    one_bridge(lab);
    docker(&["pause", "mitmproxy"]);
}

fn mitmproxy_paused_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["container-health: mitmproxy is paused"]).folds(&["flows-nonzero"]);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn never_started(lab: &Lab) {
    around(lab);
    let command = format!("{MITMPROXY} mitmweb --mode reverse:http://backend:3000 --set keep_host_header=true");
    let mut words = vec!["create", "--name", "mitmproxy", "--label", "doctor.lab", "--network", "app-net"];
    words.extend(command.split(' '));
    docker(&words);
}

fn never_started_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis
        .blames(&["container-health: mitmproxy was created and never started"])
        .folds(&["dns-lookup", "flows-nonzero"]);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

/// The image's own default is the console program.
fn console(lab: &Lab) {
    around(lab);
    lab.run(
        "mitmproxy",
        &format!(
            "--network app-net {MITMPROXY} mitmproxy --mode reverse:http://backend:3000 --set keep_host_header=true"
        ),
    );
    wait_exited("mitmproxy");
}

fn wait_exited(name: &str) {
    wait_until(&format!("the end of {name}"), || {
        docker(&["inspect", "-f", "{{.State.Status}}", name]).trim() == "exited"
    });
}

fn console_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let summary = "container-health: mitmproxy ended: the console program mitmproxy needs a terminal, and this container has none";
    diagnosis.blames(&[summary]).folds(&["dns-lookup"]);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn bad_mode(lab: &Lab) {
    around(lab);
    lab.run("mitmproxy", &format!("--network app-net {MITMPROXY} mitmweb --mode reverse:http://backend:3000/api"));
    wait_exited("mitmproxy");
}

fn bad_mode_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["container-health: mitmproxy ended: its --mode is not one that mitmproxy understands"]);
}

fn unknown_option(lab: &Lab) {
    around(lab);
    lab.run(
        "mitmproxy",
        &format!("--network app-net {MITMPROXY} mitmweb --mode reverse:http://backend:3000 --flow-detail 0"),
    );
    wait_exited("mitmproxy");
}

fn unknown_option_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis
        .blames(&["container-health: mitmproxy ended: its command line has an option that this version does not know"]);
}

fn command_not_found(lab: &Lab) {
    around(lab);
    let output =
        lab.try_run("mitmproxy", &format!("--network app-net --entrypoint mitmweeb {MITMPROXY} --mode regular"));
    assert!(!output.status.success());
}

fn command_not_found_then(lab: &Lab) {
    let diagnosis = lab.doctor(&["--mitmproxy", "mitmproxy"]);
    lab.keep();
    diagnosis.blames(&["container-health: mitmproxy could not be started"]);
}

fn killed_for_memory(lab: &Lab) {
    around(lab);
    lab.run(
        "mitmproxy",
        &format!(
            "--network app-net --memory 24m --memory-swap 24m {MITMPROXY} mitmweb --mode reverse:http://backend:3000"
        ),
    );
    wait_exited("mitmproxy");
}

fn killed_for_memory_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["container-health: mitmproxy was killed because it used more memory than it may"]);
}

fn bad_caddyfile(lab: &Lab) {
    one_bridge(lab);
    docker(&["rm", "-f", "caddy"]);
    let mount = format!(
        "-v {}:/etc/caddy/Caddyfile:ro",
        lab.caddyfile("http://x {\n\treverse_proxi mitmproxy:8080\n}\n").display()
    );
    lab.run("caddy", &format!("--network app-net {mount} {CADDY}"));
    wait_exited("caddy");
}

fn bad_caddyfile_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["container-health: caddy ended: its Caddyfile has an error"]).folds(&["flows-nonzero"]);
}

fn with_health_check(lab: &Lab, check: &str) {
    around(lab);
    let options = format!("--network app-net --health-interval 1s --health-retries 1 --health-cmd {check}");
    lab.mitmweb("mitmproxy", &options, "http://backend:3000");
    wait_until("the health check", || {
        docker(&["inspect", "-f", "{{.State.Health.Status}}", "mitmproxy"]).trim() == "unhealthy"
    });
}

fn health_tool_missing(lab: &Lab) {
    with_health_check(lab, "curl");
}

/// As it stands in many compose files: the shell's own exit code is lost.
fn health_tool_behind_or(lab: &Lab) {
    around(lab);
    let script = lab.folder().join("health-or.sh");
    std::fs::write(&script, "#!/bin/sh\ncurl -f http://localhost:8081/ || exit 1\n").unwrap();
    sh(&format!("chmod +x {}", script.display()));
    let check = "--health-interval 1s --health-retries 1 --health-cmd";
    // Run by a shell, as CMD-SHELL is, so that it is the shell that says what it did not find.
    let options = format!("--network app-net -v {}:/health-or.sh {check} /health-or.sh", script.display());
    lab.mitmweb("mitmproxy", &options, "http://backend:3000");
    wait_until("the health check", || {
        docker(&["inspect", "-f", "{{.State.Health.Status}}", "mitmproxy"]).trim() == "unhealthy"
    });
}

fn health_tool_missing_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[]).warns(
        "container-health: mitmproxy works and is called unhealthy: the tool of its health check is not in its image",
    );
    diagnosis.heal(lab, 0);
    is_healed(lab);
    wait_until("the new health check", || {
        docker(&["inspect", "-f", "{{.State.Health.Status}}", "mitmproxy"]).trim() == "healthy"
    });
    assert_eq!(lab.doctor(&[]).status("container-health"), "pass");
}

fn unhealthy(lab: &Lab) {
    with_health_check(lab, "false");
}

fn unhealthy_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["container-health: mitmproxy runs and fails its own health check"]);
}

/// A health check that asks mitmweb's API, from 11.1.2 on: 403.
fn health_403(lab: &Lab) {
    around(lab);
    let script = lab.folder().join("health.sh");
    let ask = "import urllib.request as u; u.urlopen('http://127.0.0.1:8081/')";
    std::fs::write(&script, format!("#!/bin/sh\npython3 -c \"{ask}\"\n")).unwrap();
    let check =
        format!("--health-interval 1s --health-retries 1 --health-cmd /health.sh -v {}:/health.sh", script.display());
    sh(&format!("chmod +x {}", script.display()));
    let command =
        "mitmweb --mode reverse:http://backend:3000 --set keep_host_header=true --set web_password=lab-password";
    lab.run("mitmproxy", &format!("--network app-net {check} {} {command}", crate::lab::MITMPROXY_12));
    // The first probes may come before mitmweb listens.
    wait_until("the health check", || {
        let health = docker(&["inspect", "-f", "{{json .State.Health}}", "mitmproxy"]);
        health.contains("unhealthy") && health.rsplit("ExitCode").next().unwrap_or_default().contains("403")
    });
}

fn health_403_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor_with("DOCTOR_WEB_PASSWORD", "lab-password", &[]);
    lab.keep();
    diagnosis
        .blames(&[])
        .warns("container-health: mitmproxy works and is called unhealthy: mitmweb answers its health check with 403");
    diagnosis.heal(lab, 0);
    wait_until("the new health check", || {
        docker(&["inspect", "-f", "{{.State.Health.Status}}", "mitmproxy"]).trim() == "healthy"
    });
}

fn health_starting(lab: &Lab) {
    around(lab);
    let options = "--network app-net --health-interval 1s --health-start-period 600s --health-cmd false";
    lab.mitmweb("mitmproxy", options, "http://backend:3000");
    wait_until("a first probe", || docker(&["inspect", "-f", "{{len .State.Health.Log}}", "mitmproxy"]).trim() != "0");
}

fn health_starting_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[]).warns("container-health: mitmproxy runs, and its health check has not passed yet");
}

/// Its command is wrong, and the engine starts it again and again.
fn restarts(lab: &Lab) {
    around(lab);
    let options = format!("--network app-net --restart always {MITMPROXY}");
    lab.run("mitmproxy", &format!("{options} mitmweb --mode reverse:http://backend:3000 --flow-detail 0"));
    wait_until("a few restarts", || {
        docker(&["inspect", "-f", "{{.RestartCount}}", "mitmproxy"]).trim().parse::<u32>().is_ok_and(|count| count > 2)
    });
}

fn restarts_then(lab: &Lab) {
    // Between two starts it runs for a moment.
    let restarting = || docker(&["inspect", "-f", "{{.State.Status}}", "mitmproxy"]).trim() == "restarting";
    wait_until("the pause between two starts", restarting);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    assert!(roots[0].starts_with("fail container-health: mitmproxy starts and ends again and again ("), "{roots:?}");
    assert_eq!(roots.len(), 1, "{roots:?}");
    assert!(diagnosis.text.contains("unrecognized arguments: --flow-detail 0"), "{}", diagnosis.text);
}

/// A command that does its work and ends, started again by its policy: no `docker start` would help.
fn ends_well(lab: &Lab) {
    around(lab);
    lab.run("mitmproxy", &format!("--network app-net --restart always {MITMPROXY} mitmweb --version"));
    wait_until("a few restarts", || {
        docker(&["inspect", "-f", "{{.RestartCount}}", "mitmproxy"]).trim().parse::<u32>().is_ok_and(|count| count > 2)
    });
}

fn ends_well_then(lab: &Lab) {
    let restarting = || docker(&["inspect", "-f", "{{.State.Status}}", "mitmproxy"]).trim() == "restarting";
    wait_until("the pause between two starts", restarting);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    assert!(roots[0].starts_with("fail container-health: mitmproxy starts and ends again and again ("), "{roots:?}");
    assert!(!diagnosis.text.contains("docker start"), "{}", diagnosis.text);
}

/// What is to be mounted is not there, so the engine makes a folder of that name.
fn folder_on_file(lab: &Lab) {
    one_bridge(lab);
    docker(&["rm", "-f", "caddy"]);
    let mount = format!("-v {}:/etc/caddy/Caddyfile:ro", lab.folder().join("not-there").join("Caddyfile").display());
    let output = lab.try_run("caddy", &format!("--network app-net {mount} {CADDY}"));
    assert!(!output.status.success());
}

fn folder_on_file_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["container-health: caddy could not be started"]);
    assert!(diagnosis.text.contains("mount a file on a file"), "{}", diagnosis.text);
}

/// A restart gives the backend a new namespace; mitmproxy stays in the old one.
fn namespace_gone(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network container:backend", "http://localhost:3000");
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("backend:8080"));
    docker(&["restart", "-t", "1", "backend"]);
    lab.wait_for_port("backend", 3000);
}

fn namespace_gone_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[
        "container-health: mitmproxy is in a network namespace of backend that is gone: backend was started again after it",
    ]);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn owner_removed(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network container:backend", "http://localhost:3000");
    docker(&["rm", "-f", "backend"]);
    lab.backend("backend", "--network app-net");
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("backend:8080"));
}

fn owner_removed_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["container-health: mitmproxy shares the network namespace of a container that is gone"]);
}

fn backend_stopped(lab: &Lab) {
    one_bridge(lab);
    docker(&["stop", "-t", "1", "backend"]);
}

fn backend_stopped_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    assert!(
        roots[0].starts_with("fail container-health: backend does not run: it ended with exit code 137"),
        "{roots:?}"
    );
    diagnosis.folds(&["dns-lookup", "flows-nonzero"]);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

const WEB: &str = "-p 127.0.0.1:18081:8081";

fn wanting_a_taken_port(lab: &Lab) {
    around(lab);
    let command = format!(
        "--network app-net {WEB} {MITMPROXY} mitmweb --mode reverse:http://backend:3000 --web-host 0.0.0.0 --set keep_host_header=true"
    );
    assert!(!lab.try_run("mitmproxy", &command).status.success());
}

fn port_held_by_container(lab: &Lab) {
    lab.run("squatter", &format!("{WEB} {} sleep 600", crate::lab::BACKEND));
    wanting_a_taken_port(lab);
}

fn port_held_by_container_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["port-conflict: port 18081 of the host, which mitmproxy wants, is held by squatter"]).folds(&[
        "container-health",
        "dns-lookup",
        "flows-nonzero",
    ]);
    assert_eq!(diagnosis.commands(1), "docker stop squatter\ndocker start mitmproxy\n");
    diagnosis.heal(lab, 0);
    is_healed(lab);
    assert!(docker(&["port", "mitmproxy"]).contains("8081/tcp -> 127.0.0.1:19081"));
}

fn port_held_by_process(lab: &Lab) {
    lab.host_backend("127.0.0.1", 18081);
    wanting_a_taken_port(lab);
}

fn port_held_by_process_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    assert!(
        roots[0].starts_with("fail port-conflict: port 18081 of the host, which mitmproxy wants, is held by python3"),
        "{roots:?}"
    );
    assert_eq!(roots.len(), 1, "{roots:?}");
    diagnosis.folds(&["container-health", "dns-lookup", "flows-nonzero"]);
    diagnosis.heal(lab, 1);
    is_healed(lab);
}

fn port_held_on_host_network(lab: &Lab) {
    lab.host_backend("0.0.0.0", 18082);
    let line = "mitmweb --mode reverse:http://127.0.0.1:13000 --listen-port 18082 --web-port 18081";
    lab.run("mitmproxy", &format!("--network host {MITMPROXY} {line}"));
    wait_exited("mitmproxy");
    start_caddy(lab, "127.0.0.1:18082");
}

fn port_held_on_host_network_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    assert!(
        roots[0].starts_with("fail port-conflict: port 18082 of the host, which mitmproxy wants, is held by python3"),
        "{roots:?}"
    );
    diagnosis.folds(&["container-health"]);
}

/// Caddy on the host's network, where another program has its port.
fn caddy_port_held(lab: &Lab) {
    one_bridge(lab);
    docker(&["rm", "-f", "caddy"]);
    lab.host_backend("0.0.0.0", ENTRY);
    let caddyfile = lab.caddyfile(&format!("{{\n\thttp_port {ENTRY}\n}}\n{}", site("127.0.0.1:18082")));
    lab.run("caddy", &format!("--network host -v {}:/etc/caddy/Caddyfile:ro {CADDY}", caddyfile.display()));
    wait_exited("caddy");
}

fn caddy_port_held_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    let cause = format!("fail port-conflict: port {ENTRY} of the host, which caddy wants, is held by python3");
    assert!(roots[0].starts_with(&cause), "{roots:?}");
    diagnosis.folds(&["container-health"]);
}

/// Another container has the UDP port that Caddy would publish for HTTP/3.
fn udp_port_held(lab: &Lab) {
    one_bridge(lab);
    docker(&["rm", "-f", "caddy"]);
    lab.backend("other", "--network app-net -p 127.0.0.1:18443:443/udp");
    let caddyfile = lab.caddyfile(&site("mitmproxy:8080"));
    let mount = format!("-v {}:/etc/caddy/Caddyfile:ro", caddyfile.display());
    let publish = format!("{} -p 127.0.0.1:18443:443/udp", publish());
    assert!(!lab.try_run("caddy", &format!("--network app-net {publish} {mount} {CADDY}")).status.success());
}

fn udp_port_held_then(lab: &Lab) {
    let cause = "port-conflict: port 18443/udp of the host, which caddy wants, is held by other";
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[cause]).folds(&["container-health"]);
}

fn dialling_the_host(lab: &Lab, options: &str) {
    lab.network("app-net");
    lab.mitmweb("mitmproxy", &format!("--network app-net {options}"), "http://host.docker.internal:13000");
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("mitmproxy:8080"));
}

const GATEWAY: &str = "--add-host host.docker.internal:host-gateway";

fn host_gateway_missing(lab: &Lab) {
    lab.host_backend("0.0.0.0", 13000);
    dialling_the_host(lab, "-e SECRET=canary --restart unless-stopped -p 127.0.0.1:18081:8081");
}

fn host_gateway_missing_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis
        .blames(&["host-docker-internal: host.docker.internal is not known inside mitmproxy"])
        .folds(&["dns-lookup", "flows-nonzero"]);
    assert!(!diagnosis.commands(0).contains("canary"));
    diagnosis.heal(lab, 0);
    is_healed(lab);
    let inspected = docker(&["inspect", "mitmproxy"]);
    for kept in ["SECRET=canary", "unless-stopped", "18081", "keep_host_header=true"] {
        assert!(inspected.contains(kept), "{kept} is lost");
    }
    assert_eq!(docker(&["ps", "-aq", "--filter", "name=mitmproxy-before"]), "");
}

fn host_service_on_loopback(lab: &Lab) {
    lab.host_backend("127.0.0.1", 13000);
    dialling_the_host(lab, GATEWAY);
}

/// The service is a container's, published for this machine only.
fn host_port_of_container(lab: &Lab) {
    dialling_the_host(lab, GATEWAY);
    lab.network("shop-net");
    lab.backend("shop", "--network shop-net -p 127.0.0.1:13000:3000");
}

fn host_port_of_container_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    let cause =
        "fail host-docker-internal: shop publishes port 13000 on 127.0.0.1 only, so mitmproxy cannot reach it at";
    assert!(roots[0].starts_with(cause), "{roots:?}");
    assert_eq!(diagnosis.commands(0).trim(), "docker network connect shop-net mitmproxy");
    diagnosis.folds(&["flows-nonzero"]);
}

fn host_service_on_loopback_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    assert!(roots[0].contains("listens on 127.0.0.1 only, so mitmproxy cannot reach it at 172."), "{roots:?}");
    assert!(roots[0].starts_with("fail host-docker-internal: python3"), "{roots:?}");
    diagnosis.folds(&["flows-nonzero"]);
}

fn host_service_missing(lab: &Lab) {
    dialling_the_host(lab, GATEWAY);
}

fn host_service_missing_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis
        .blames(&["host-docker-internal: nothing listens on port 13000 of the host, which mitmproxy dials"])
        .folds(&["flows-nonzero"]);
}

fn firewall(lab: &Lab) {
    lab.host_backend("0.0.0.0", 13000);
    dialling_the_host(lab, GATEWAY);
    sh("iptables -I INPUT -p tcp --dport 13000 -j DROP");
    lab.undo("iptables -D INPUT -p tcp --dport 13000 -j DROP");
}

fn firewall_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis
        .blames(&["host-docker-internal: a firewall of the host drops what mitmproxy sends to port 13000"])
        .folds(&["flows-nonzero"]);
    let command = diagnosis.commands(0);
    lab.undo(&command.replace("iptables -I", "iptables -D"));
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn misspelt_dial(lab: &Lab) {
    one_bridge(lab);
    docker(&["rm", "-f", "caddy"]);
    lab.caddy("caddy", &format!("--network app-net {}", publish()), &site("mitmproxi:8080"));
}

fn misspelt_dial_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis
        .blames(&["dns-lookup: mitmproxi, which caddy dials, does not resolve inside caddy"])
        .folds(&["flows-nonzero"]);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn misspelt_target(lab: &Lab) {
    around(lab);
    lab.mitmweb("mitmproxy", "--network app-net", "http://bakend:3000");
}

fn misspelt_target_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis
        .blames(&["dns-lookup: bakend, which mitmproxy dials, does not resolve inside mitmproxy"])
        .folds(&["flows-nonzero"]);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn name_is_somebody_else(lab: &Lab) {
    one_bridge(lab);
    docker(&["exec", "caddy", "sh", "-c", "echo 127.0.0.1 mitmproxy >> /etc/hosts"]);
    // Caddy's resolver keeps what it read of that file for 5 s; a request before that would open a connection to keep.
    std::thread::sleep(std::time::Duration::from_secs(6));
}

fn name_is_somebody_else_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis
        .blames(&["dns-lookup: mitmproxy is 127.0.0.1 inside caddy, and that is not mitmproxy"])
        .folds(&["flows-nonzero"]);
}

fn container_name_on_host(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net -p 127.0.0.1:18082:8080", "http://backend:3000");
    start_caddy(lab, "mitmproxy:8080");
}

fn container_name_on_host_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    assert!(roots[0].ends_with("does not resolve on the host"), "{roots:?}");
    assert_eq!(diagnosis.code, 1);
    diagnosis.heal(lab, 0);
    is_healed(lab);
}

fn host_rewritten(lab: &Lab) {
    around(lab);
    lab.run("mitmproxy", &format!("--network app-net {MITMPROXY} mitmweb --mode reverse:http://backend:3000"));
    lab.wait_for_port("mitmproxy", 8081);
}

fn host_rewritten_then(lab: &Lab) {
    assert!(lab.travels(HOST).contains("backend saw Host backend:3000"));
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis
        .blames(&[])
        .warns("keep-host-header: the backend of mitmproxy sees Host backend:3000, not api.example.com");
    assert_eq!(lab.doctor(&["--strict"]).code, 1);
    diagnosis.heal(lab, 0);
    assert!(lab.travels(HOST).contains(&format!("backend saw Host {HOST}")));
    assert_eq!(lab.doctor(&[]).status("keep-host-header"), "pass");
}

/// mitmproxy keeps what Caddy's route sets.
fn host_by_caddy(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://backend:3000");
    let caddyfile =
        "http://api.example.com {\n\treverse_proxy mitmproxy:8080 {\n\t\theader_up Host other.internal\n\t}\n}\n";
    lab.caddy("caddy", &format!("--network app-net {}", publish()), caddyfile);
}

fn host_by_caddy_then(lab: &Lab) {
    assert!(lab.travels(HOST).contains("backend saw Host other.internal"));
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis
        .blames(&[])
        .warns("keep-host-header: the backend of mitmproxy sees Host other.internal, not api.example.com");
}

fn misspelt_other(lab: &Lab) {
    around(lab);
    let command = "mitmweb --mode reverse:http://backend:3000 --set keep_host_header=true --set stream_large_body=1m";
    lab.run("mitmproxy", &format!("--network app-net {MITMPROXY} {command}"));
    lab.wait_for_port("mitmproxy", 8081);
}

fn misspelt_other_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[]).warns(
        "keep-host-header: --set stream_large_body on mitmproxy's command line is no option; mitmproxy accepts it without a word",
    );
}

fn misspelt_option(lab: &Lab) {
    around(lab);
    lab.run(
        "mitmproxy",
        &format!(
            "--network app-net {MITMPROXY} mitmweb --mode reverse:http://backend:3000 --set keep-host-header=true"
        ),
    );
    lab.wait_for_port("mitmproxy", 8081);
}

fn misspelt_option_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[]).warns(
        "keep-host-header: --set keep-host-header on mitmproxy's command line is no option; mitmproxy accepts it without a word",
    );
}

fn no_flows_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[]).warns("flows-nonzero: mitmproxy has captured nothing yet");
    diagnosis.heal(lab, 0);
    let again = lab.doctor(&[]);
    assert_eq!(again.status("flows-nonzero"), "pass", "{}", again.text);
}

fn no_mitmproxy(lab: &Lab) {
    around(lab);
}

fn no_mitmproxy_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["setup-found: there is no mitmproxy"]).folds(&["dns-lookup"]);
}

fn no_caddy(lab: &Lab) {
    one_bridge(lab);
    docker(&["rm", "-f", "caddy"]);
}

fn no_caddy_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["setup-found: there is no Caddy"]);
}

fn nothing_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&["setup-found: there is no Caddy", "setup-found: there is no mitmproxy"]);
}

fn no_engine_then(lab: &Lab) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_doctor"));
    command.env("DOCKER_HOST", "unix:///run/doctor-lab/nothing.sock");
    let diagnosis = lab.doctor_by(command, &[]);
    lab.keep();
    diagnosis.blames(&["docker-engine: there is no Docker engine at unix:///run/doctor-lab/nothing.sock"]).folds(&[
        "setup-found",
        "shared-network",
        "flows-nonzero",
    ]);
}

/// Two faults that have nothing to do with each other: both are named.
fn two_faults(lab: &Lab) {
    two_networks(lab);
    docker(&["stop", "-t", "1", "backend"]);
}

fn two_faults_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    assert_eq!(roots.len(), 2, "{roots:?}");
    assert!(roots[0].starts_with("fail container-health: backend does not run"), "{roots:?}");
    assert_eq!(roots[1], "fail shared-network: caddy and mitmproxy share no network");
}

fn two_hops(lab: &Lab) {
    lab.network("edge-net");
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://bakend:3000");
    lab.caddy("caddy", &format!("--network edge-net {}", publish()), &site("mitmproxy:8080"));
}

fn two_hops_then(lab: &Lab) {
    let diagnosis = lab.doctor(&[]);
    lab.keep();
    diagnosis.blames(&[
        "shared-network: caddy and mitmproxy share no network",
        "dns-lookup: bakend, which mitmproxy dials, does not resolve inside mitmproxy",
    ]);
}
