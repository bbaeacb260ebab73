//! What is around the setup: networks of the host, proxies in the environment, and where tests look from.

use std::process::Command;

use super::{Chain, named};
use crate::{
    Setup,
    lab::{ENTRY, HOST, Lab, request, sh},
};

pub(crate) const SETUPS: &[Setup] = &[
    Setup { name: "version-not-tested", up: newer_version, then: newer_version_then },
    Setup { name: "subnet-overlaps", up: subnet_overlaps, then: subnet_overlaps_then },
    Setup { name: "proxy-in-the-shell", up: |lab| Chain::default().up(lab), then: proxy_in_the_shell_then },
    Setup { name: "container-name-in-tests", up: container_name_in_tests, then: container_name_in_tests_then },
    Setup { name: "published-port-in-tests", up: container_name_in_tests, then: published_port_in_tests_then },
    Setup { name: "unpublished-name-in-tests", up: |lab| Chain::default().up(lab), then: unpublished_name_then },
    Setup { name: "tests-inside-use-published", up: container_name_in_tests, then: inside_use_published_then },
    Setup { name: "tests-inside-another-network", up: tests_elsewhere, then: inside_another_network_then },
    Setup { name: "tests-inside-misspelt", up: container_name_in_tests, then: inside_misspelt_then },
    Setup { name: "wrong-flag", up: |lab| Chain::default().up(lab), then: wrong_flag_then },
    Setup { name: "engine-denied", up: |lab| Chain::default().up(lab), then: engine_denied_then },
    Setup { name: "issue-report", up: backend_refuses, then: issue_report_then },
];

fn backend_refuses(lab: &Lab) {
    Chain { command: "mitmweb --mode reverse:http://backend:3999 --set keep_host_header=true", ..Chain::default() }
        .up(lab);
}

/// Whoever gets the recording sees what the one who made it saw, without an engine, and nothing of the request.
fn issue_report_then(lab: &Lab) {
    // With two more headers behind the Host.
    let secrets = format!("{HOST}\r\nAuthorization: Bearer lab-secret\r\nCookie: session=lab-secret");
    let answer = request(ENTRY, &secrets).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    let [report, replayed] = lab.issue_report();
    assert_eq!(report, replayed);
    let cause = "fail: `backend:3999` refuses mitmproxy's connections";
    for words in [
        cause,
        "http.log.error: ",
        "(status 502)",
        "error establishing server connection",
        "doctor report --replay facts.json",
    ] {
        assert!(report.contains(words), "`{words}` is not in\n{report}");
    }
    assert!(!report.contains("lab-secret"), "{report}");
}

/// The admin API does not tell Caddy's version, its image does.
fn newer_version(lab: &Lab) {
    Chain { caddy: "-e CADDY_VERSION=v2.13.0", ..Chain::default() }.up(lab);
}

fn newer_version_then(lab: &Lab) {
    lab.travels(HOST);
    named(lab, &[], &[]).warns("image: caddy runs Caddy 2.13.0; the doctor was tested with Caddy 2.4 to 2.11 only");
}

/// A route of the host, as a VPN has it, inside of a network's range.
fn subnet_overlaps(lab: &Lab) {
    lab.network_with("app-net", "--subnet 172.29.96.0/20");
    Chain::default().up_on(lab, "app-net");
    // A bridge of the lab stands for the tunnel.
    lab.undo("ip link del doctor-lab0");
    sh(
        "ip link add doctor-lab0 type bridge && ip link set doctor-lab0 up && ip route add 172.29.99.0/24 dev doctor-lab0",
    );
}

fn subnet_overlaps_then(lab: &Lab) {
    lab.travels(HOST);
    named(lab, &[], &[]).warns("subnet: this machine routes 172.29.99.0/24, which is in the subnet of network app-net (172.29.96.0/20), to doctor-lab0: containers with such an address may not be reached");
}

fn proxy_in_the_shell_then(lab: &Lab) {
    lab.travels(HOST);
    let mut command = Command::new(env!("CARGO_BIN_EXE_doctor"));
    command.env("HTTP_PROXY", "http://user:lab-password@127.0.0.1:3128").env_remove("NO_PROXY").env_remove("no_proxy");
    let diagnosis = lab.doctor_by(command, &[]);
    lab.keep();
    diagnosis.blames(&[]).warns("proxy-env: HTTP_PROXY of this shell makes Python and other programs (not curl) ask http://127.0.0.1:3128 for localhost and 127.0.0.1");
    assert!(!serde_json::to_string(&diagnosis.report).unwrap().contains("lab-password"));
}

/// Guide: "Integration tests fail in CI".
fn container_name_in_tests(lab: &Lab) {
    Chain { mitmproxy: "-p 127.0.0.1:18082:8080", ..Chain::default() }.up(lab);
}

fn container_name_in_tests_then(lab: &Lab) {
    lab.travels(HOST);
    named(
        lab,
        &["--expect", "mitmproxy:8080"],
        &["vantage: `mitmproxy` exists only inside network app-net; from here it is 127.0.0.1:18082"],
    );
    lab.doctor(&["--expect", "127.0.0.1:18082"]).blames(&[]);
}

fn published_port_in_tests_then(lab: &Lab) {
    lab.travels(HOST);
    named(lab, &["--expect", "127.0.0.1:18099"], &["vantage: nothing listens on port 18099 of this machine"]);
}

/// Neither its name nor its port is of use to tests on this machine.
fn unpublished_name_then(lab: &Lab) {
    lab.travels(HOST);
    let cause =
        "vantage: `backend` exists only inside network app-net, and its port 3000 is not published on this machine";
    named(lab, &["--expect", "backend:3000"], &[cause]);
}

/// The tests run in a container, and dial what is published on the host.
fn inside_use_published_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor_inside("app-net", &["--expect", "localhost:18082"]);
    lab.keep();
    diagnosis.blames(&[
        "vantage: port 18082 is published on the host only; inside tests, where the doctor runs, localhost is tests itself",
    ]);
    let of_other_side = lab.doctor_inside("app-net", &["--expect", "mitmproxy:18082"]);
    of_other_side.blames(&[
        "vantage: port 18082 of mitmproxy is published on the host only; inside network app-net it is mitmproxy:8080",
    ]);
    lab.doctor_inside("app-net", &["--expect", "mitmproxy:8080,backend:3000"]).blames(&[]);
}

fn tests_elsewhere(lab: &Lab) {
    container_name_in_tests(lab);
    lab.network("edge-net");
}

fn inside_another_network_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor_inside("edge-net", &["--expect", "mitmproxy:8080"]);
    lab.keep();
    diagnosis.blames(&[
        "vantage: `mitmproxy` exists only inside network app-net, and tests, where the doctor runs, is not on it",
    ]);
    assert_eq!(diagnosis.commands(0), "docker network connect app-net tests\n");
}

fn inside_misspelt_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor_inside("app-net", &["--expect", "mitmproxi:8080"]);
    lab.keep();
    diagnosis.blames(&["vantage: `mitmproxi` does not resolve here, and no container has that name"]);
    assert!(diagnosis.text.contains("did you mean mitmproxy:8080?"), "{}", diagnosis.text);
    lab.doctor_inside("app-net", &["--expect", "backend:3999"])
        .blames(&["vantage: nothing in backend listens on port 3999, on network app-net"]);
}

fn wrong_flag_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = named(
        lab,
        &["--mitmproxy", "mitmproxi"],
        &["setup-found: there is no container or address `mitmproxi` for --mitmproxy"],
    );
    assert!(diagnosis.text.contains("did you mean --mitmproxy mitmproxy?"), "{}", diagnosis.text);
}

/// Somebody who is neither root nor in the group of the socket.
fn engine_denied_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = lab.doctor_as_nobody(&[]);
    lab.keep();
    let roots = diagnosis.root_causes();
    assert!(
        roots[0].starts_with("fail docker-engine: ") && roots[0].contains("may not use the Docker engine"),
        "{roots:?}"
    );
    diagnosis.folds(&["setup-found", "shared-network", "flows-nonzero"]);
}
