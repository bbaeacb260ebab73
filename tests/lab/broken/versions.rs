//! The same faults with other versions of mitmproxy, and as a user who is not root but may use Docker.

use super::{BACKEND_REFUSES, Chain, TARGET_ON_LOOPBACK as LOOPBACK, WEB_PORT, broken, dials, fixed, named};
use crate::{
    Setup,
    lab::{HOST, Lab, MITMPROXY_8, MITMPROXY_11, MITMPROXY_12},
};

pub(crate) const SETUPS: &[Setup] = &[
    Setup { name: "mitmproxy-8-dial-web-port", up: |lab| web_port(lab, MITMPROXY_8), then: web_port_then },
    Setup { name: "mitmproxy-11-dial-web-port", up: |lab| web_port(lab, MITMPROXY_11), then: web_port_then },
    Setup {
        name: "mitmproxy-12-dial-web-port",
        up: |lab| web_port(lab, MITMPROXY_12),
        then: web_port_without_password_then,
    },
    Setup { name: "mitmproxy-8-target-on-loopback", up: |lab| loopback(lab, MITMPROXY_8), then: loopback_then },
    Setup { name: "mitmproxy-11-target-on-loopback", up: |lab| loopback(lab, MITMPROXY_11), then: loopback_then },
    Setup {
        name: "mitmproxy-12-target-on-loopback",
        up: |lab| loopback(lab, MITMPROXY_12),
        then: loopback_with_password_then,
    },
    Setup { name: "mitmproxy-8-host-rewritten", up: |lab| rewritten(lab, MITMPROXY_8), then: rewritten_then },
    Setup { name: "dial-localhost-as-user", up: dial_localhost, then: dial_localhost_as_user_then },
    Setup { name: "target-on-loopback-as-user", up: |lab| loopback(lab, MITMPROXY_11), then: loopback_as_user_then },
    Setup { name: "backend-refuses-as-user", up: backend_refuses, then: backend_refuses_as_user_then },
    Setup { name: "route-direct-as-user", up: route_direct, then: route_direct_as_user_then },
];

fn web_port(lab: &Lab, image: &str) {
    let command = format!("{} --web-host 0.0.0.0", super::COMMAND);
    Chain { caddyfile: &dials("mitmproxy:8081"), image, command: &command, ..Chain::default() }.up(lab);
}

fn web_port_then(lab: &Lab) {
    broken(lab, &[WEB_PORT]);
    fixed(lab);
}

/// Caddy's dial can be judged without mitmweb's password.
fn web_port_without_password_then(lab: &Lab) {
    broken(lab, &[WEB_PORT]);
    lab.doctor(&[]).heal(lab, 0);
    lab.travels(HOST);
}

fn loopback(lab: &Lab, image: &str) {
    let password = if image == MITMPROXY_12 { "--set web_password=lab-password" } else { "" };
    let command = format!("mitmweb --mode reverse:http://localhost:3000 --set keep_host_header=true {password}");
    Chain { image, command: &command, ..Chain::default() }.up(lab);
}

fn loopback_then(lab: &Lab) {
    broken(lab, &[LOOPBACK]);
    fixed(lab);
}

fn loopback_with_password_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor_with("DOCTOR_WEB_PASSWORD", "lab-password", &[]);
    lab.keep();
    diagnosis.blames(&[LOOPBACK]);
    lab.fix_with("DOCTOR_WEB_PASSWORD", "lab-password", &["--yes"]);
    lab.travels(HOST);
}

fn rewritten(lab: &Lab, image: &str) {
    Chain { image, command: "mitmweb --mode reverse:http://backend:3000", ..Chain::default() }.up(lab);
}

fn rewritten_then(lab: &Lab) {
    lab.travels(HOST);
    let warning = "keep-host-header: the backend of mitmproxy sees Host backend:3000, not api.example.com";
    named(lab, &[], &[]).warns(warning);
    lab.fix(&["keep-host-header", "--yes"]);
    assert!(lab.travels(HOST).contains(&format!("backend saw Host {HOST}")));
}

fn dial_localhost(lab: &Lab) {
    Chain { caddyfile: &dials("localhost:18082"), mitmproxy: "-p 127.0.0.1:18082:8080", ..Chain::default() }.up(lab);
}

/// Not root: the namespaces are closed, and exec or the container's address tells.
fn by_user(lab: &Lab, causes: &[&str]) {
    lab.does_not_travel(HOST);
    let diagnosis = lab.doctor_as_user(&[]);
    lab.keep();
    diagnosis.blames(causes);
}

fn dial_localhost_as_user_then(lab: &Lab) {
    by_user(lab, &["caddy-dial: caddy dials localhost:18082, which is its own container, and nothing listens there"]);
}

fn loopback_as_user_then(lab: &Lab) {
    by_user(lab, &[LOOPBACK]);
}

fn backend_refuses(lab: &Lab) {
    let command = "mitmweb --mode reverse:http://backend:3999 --set keep_host_header=true";
    Chain { command, ..Chain::default() }.up(lab);
}

fn backend_refuses_as_user_then(lab: &Lab) {
    by_user(lab, &[BACKEND_REFUSES]);
}

fn route_direct(lab: &Lab) {
    Chain { caddyfile: &dials("backend:3000"), ..Chain::default() }.up(lab);
}

fn route_direct_as_user_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor_as_user(&[]);
    lab.keep();
    diagnosis
        .blames(&["caddy-route: route 0 of caddy sends api.example.com straight to backend:3000, not to mitmproxy"]);
}
