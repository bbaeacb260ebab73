//! Two faults at once: both are named, neither hides the other.

use super::{
    ADMIN_ON_LOOPBACK, BACKEND_REFUSES, COMMAND, Chain, TARGET_ON_LOOPBACK, TARGET_WITHOUT_SCHEME, WEB_ON_LOOPBACK,
    WEB_PORT, broken, dials, named,
};
use crate::{
    Setup,
    lab::{ENTRY, HOST, Lab, MITMPROXY, docker},
};

pub(crate) const SETUPS: &[Setup] = &[
    Setup { name: "pair-dial-and-target", up: dial_and_target, then: dial_and_target_then },
    Setup { name: "pair-published-port-and-backend", up: port_and_backend, then: port_and_backend_then },
    Setup { name: "pair-direct-and-web-on-loopback", up: direct_and_web, then: direct_and_web_then },
    Setup { name: "pair-admin-and-loopback-target", up: admin_and_target, then: admin_and_target_then },
    Setup { name: "pair-listener-and-backend", up: listener_and_backend, then: listener_and_backend_then },
    Setup { name: "pair-networks-and-web-on-loopback", up: networks_and_web, then: networks_and_web_then },
    Setup { name: "pair-web-port-and-scheme", up: web_port_and_scheme, then: web_port_and_scheme_then },
    Setup { name: "pair-networks-and-admin", up: networks_and_admin, then: networks_and_admin_then },
    Setup { name: "pair-backend-stopped-and-direct", up: stopped_and_localhost, then: stopped_and_localhost_then },
];

fn targeting(target: &str) -> String {
    format!("mitmweb --mode reverse:{target} --set keep_host_header=true")
}

fn dial_and_target(lab: &Lab) {
    Chain { caddyfile: &dials("localhost:8080"), command: &targeting("http://localhost:3000"), ..Chain::default() }
        .up(lab);
}

fn dial_and_target_then(lab: &Lab) {
    let dial = "caddy-dial: caddy dials localhost:8080, which is its own container, and nothing listens there";
    broken(lab, &[dial, TARGET_ON_LOOPBACK]);
    lab.fix(&["--yes"]);
    lab.travels(HOST);
}

fn port_and_backend(lab: &Lab) {
    Chain {
        caddyfile: &dials("mitmproxy:18082"),
        mitmproxy: "-p 127.0.0.1:18082:8080",
        command: &targeting("http://backend:3999"),
        ..Chain::default()
    }
    .up(lab);
}

fn port_and_backend_then(lab: &Lab) {
    let dial = "caddy-dial: caddy dials mitmproxy:18082: 18082 is the port published on the host, and inside the network mitmproxy \
                listens on 8080";
    broken(lab, &[dial, BACKEND_REFUSES]);
}

fn direct_and_web(lab: &Lab) {
    Chain { caddyfile: &dials("backend:3000"), mitmproxy: "-p 127.0.0.1:18081:8081", ..Chain::default() }.up(lab);
}

fn direct_and_web_then(lab: &Lab) {
    let route = "caddy-route: route 0 of caddy sends api.example.com straight to backend:3000, not to mitmproxy";
    named(lab, &[], &[route, WEB_ON_LOOPBACK]);
}

fn admin_and_target(lab: &Lab) {
    Chain { caddy: "-p 127.0.0.1:12019:2019", command: &targeting("http://localhost:3000"), ..Chain::default() }
        .up(lab);
}

fn admin_and_target_then(lab: &Lab) {
    broken(lab, &[ADMIN_ON_LOOPBACK, TARGET_ON_LOOPBACK]);
    lab.fix(&["--yes"]);
    lab.travels(HOST);
}

fn listener_and_backend(lab: &Lab) {
    Chain {
        caddyfile: "http://api.example.com:8090 {\n\treverse_proxy mitmproxy:8080\n}\n",
        command: &targeting("http://backend:3999"),
        ..Chain::default()
    }
    .up(lab);
}

fn listener_and_backend_then(lab: &Lab) {
    let port = "caddy-listener: port 18080 of this machine leads to port 80 of caddy, where no server listens";
    broken(lab, &[port, BACKEND_REFUSES]);
}

fn networks_and_web(lab: &Lab) {
    lab.network("app-net");
    lab.network("edge-net");
    lab.backend("backend", "--network app-net");
    let options = "--network app-net -p 127.0.0.1:18081:8081";
    lab.run("mitmproxy", &format!("{options} {MITMPROXY} {COMMAND}"));
    lab.wait_for_port("mitmproxy", 8081);
    lab.caddy("caddy", &format!("--network edge-net -p 127.0.0.1:{ENTRY}:80"), &dials("mitmproxy:8080"));
}

/// What is made anew would lose what was done to it before: so that is done first, and the rest with the next run.
fn networks_and_web_then(lab: &Lab) {
    broken(lab, &["shared-network: caddy and mitmproxy share no network", WEB_ON_LOOPBACK]);
    let typed = lab.fix_at_terminal("y\ny\n");
    assert!(typed.contains("run doctor fix once more"), "{typed}");
    lab.fix(&["--yes"]);
    lab.travels(HOST);
    lab.doctor(&[]).blames(&[]);
}

fn web_port_and_scheme(lab: &Lab) {
    Chain {
        caddyfile: &dials("mitmproxy:8081"),
        command: &format!("{} --web-host 0.0.0.0", COMMAND.replace("http://backend", "backend")),
        ..Chain::default()
    }
    .up(lab);
}

fn web_port_and_scheme_then(lab: &Lab) {
    broken(lab, &[WEB_PORT, TARGET_WITHOUT_SCHEME]);
    lab.fix(&["--yes"]);
    lab.travels(HOST);
}

fn networks_and_admin(lab: &Lab) {
    lab.network("edge-net");
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://backend:3000");
    let options = format!("--network edge-net -p 127.0.0.1:{}:80 -p 127.0.0.1:12019:2019", crate::lab::ENTRY);
    lab.caddy("caddy", &options, &dials("mitmproxy:8080"));
}

fn networks_and_admin_then(lab: &Lab) {
    broken(lab, &[ADMIN_ON_LOOPBACK, "shared-network: caddy and mitmproxy share no network"]);
    lab.fix(&["--yes"]);
    lab.travels(HOST);
}

fn stopped_and_localhost(lab: &Lab) {
    Chain { caddyfile: &dials("localhost:8080"), ..Chain::default() }.up(lab);
    docker(&["stop", "-t", "1", "backend"]);
}

fn stopped_and_localhost_then(lab: &Lab) {
    let stopped = "container-health: backend does not run: it ended with exit code 137 (killed, by docker stop after its 10 s, \
                   docker kill, or for want of memory)";
    let dial = "caddy-dial: caddy dials localhost:8080, which is its own container, and nothing listens there";
    broken(lab, &[stopped, dial]);
    lab.fix(&["--yes"]);
    lab.travels(HOST);
}
