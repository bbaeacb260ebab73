//! Setups with one fault each, and some with two. The doctor must name each fault and nothing else, and what it prints
//! must heal it.

mod caddy;
mod docker;
mod mitmproxy;
mod pairs;
mod surroundings;
mod versions;

use crate::{
    Setup,
    healthy::site,
    lab::{Diagnosis, ENTRY, HOST, Lab, MITMPROXY, request},
};

pub(crate) fn setups() -> impl Iterator<Item = &'static Setup> {
    [docker::SETUPS, caddy::SETUPS, mitmproxy::SETUPS, surroundings::SETUPS, pairs::SETUPS, versions::SETUPS]
        .into_iter()
        .flatten()
}

/// Caddy, mitmproxy and the backend on one network, with what is different from a healthy setup.
struct Chain<'c> {
    caddyfile: &'c str,
    /// A whole config in Caddy's own form instead of a Caddyfile.
    json: Option<&'c str>,
    /// Options of `docker run` for Caddy.
    caddy: &'c str,
    image: &'c str,
    /// Options of `docker run` for mitmproxy.
    mitmproxy: &'c str,
    /// Its command.
    command: &'c str,
}

/// What several setups must be told.
const TARGET_ON_LOOPBACK: &str = "reverse-mode: mitmproxy sends requests to localhost:3000, which is its own container, where \
                                  nothing listens on that port";
const TARGET_WITHOUT_SCHEME: &str = "reverse-mode: mitmproxy's mode reverse:backend:3000 names no scheme, which means https, \
                                     and backend:3000 does not speak TLS";
const BACKEND_REFUSES: &str = "backend-reachable: backend:3999 refuses mitmproxy's connections";
const WEB_ON_LOOPBACK: &str = "mitmweb-api: the web interface of mitmproxy is published at 127.0.0.1:18081 and listens on \
                               127.0.0.1 of its container only";
const WEB_PORT: &str = "caddy-dial: caddy dials mitmproxy:8081, which is mitmproxy's web interface, not its proxy";
const ADMIN_ON_LOOPBACK: &str = "caddy-admin: caddy's admin API is published at 127.0.0.1:12019, and listens on localhost:2019 \
                                 only inside the container";

const COMMAND: &str = "mitmweb --mode reverse:http://backend:3000 --set keep_host_header=true";

impl Default for Chain<'_> {
    fn default() -> Self {
        Self {
            caddyfile: "http://api.example.com {\n\treverse_proxy mitmproxy:8080\n}\n",
            json: None,
            caddy: "",
            image: MITMPROXY,
            mitmproxy: "",
            command: COMMAND,
        }
    }
}

impl Chain<'_> {
    fn up(&self, lab: &Lab) {
        lab.network("app-net");
        self.up_on(lab, "app-net");
    }

    fn up_on(&self, lab: &Lab, network: &str) {
        lab.backend("backend", &format!("--network {network}"));
        lab.run("mitmproxy", &format!("--network {network} {} {} {}", self.mitmproxy, self.image, self.command));
        lab.wait_for_port("mitmproxy", if self.command.starts_with("mitmweb") { 8081 } else { 8080 });
        let options = format!("--network {network} -p 127.0.0.1:{ENTRY}:80 {}", self.caddy);
        match self.json {
            Some(json) => lab.caddy_json("caddy", &options, json),
            None => lab.caddy("caddy", &options, self.caddyfile),
        }
    }
}

/// The doctor's verdict on a setup through which no request travels: these root causes and no other failure.
fn broken(lab: &Lab, causes: &[&str]) -> Diagnosis {
    lab.does_not_travel(HOST);
    named(lab, &[], causes)
}

/// The same for a fault that lets requests travel.
fn named(lab: &Lab, arguments: &[&str], causes: &[&str]) -> Diagnosis {
    let diagnosis = lab.doctor(arguments);
    lab.keep();
    diagnosis.blames(causes);
    diagnosis
}

/// `doctor fix --yes` does the rest: a request travels, and the doctor finds no failure.
fn fixed(lab: &Lab) {
    // Some faults are seen only when somebody has met them.
    let _ = request(ENTRY, HOST);
    lab.fix(&["--yes"]);
    lab.travels(HOST);
    lab.doctor(&[]).blames(&[]);
}

/// The printed commands of the first fix do the rest.
fn healed(lab: &Lab, diagnosis: &Diagnosis) {
    diagnosis.heal(lab, 0);
    lab.travels(HOST);
    lab.doctor(&[]).blames(&[]);
}

/// Breaks it again in the same way, so that the printed commands are tried beside `doctor fix`.
fn fixed_both_ways(lab: &Lab, again: fn(&Lab), diagnosis: &Diagnosis) {
    healed(lab, diagnosis);
    lab.clear();
    again(lab);
    fixed(lab);
}

/// A Caddyfile for the usual Host.
fn dials(dial: &str) -> String {
    site(dial)
}
