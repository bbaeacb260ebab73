//! The doctor as a step of CI: right behind `up`, with `--wait`.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    Setup,
    healthy::site,
    lab::{BACKEND, CADDY, ENTRY, HOST, Lab, MITMPROXY},
};

pub(crate) const SETUPS: &[Setup] = &[
    Setup { name: "wait-slow-backend", up: |lab| up(lab, "mitmproxy:8080"), then: slow_backend_then },
    Setup { name: "wait-wrong-dial", up: |lab| up(lab, "mitmproxy:8081"), then: wrong_dial_then },
];

/// A project whose backend listens some seconds after `up` has ended.
fn up(lab: &Lab, dial: &str) {
    let (caddyfile, script) = (lab.caddyfile(&site(dial)), lab.folder().join("backend.py"));
    let labels = "    labels: {doctor.lab: \"\"}\n";
    lab.compose(
        "doctor-lab-app",
        &format!(
            "version: \"3\"\nservices:\n  caddy:\n    image: {CADDY}\n    ports: [\"127.0.0.1:{ENTRY}:80\"]\n    \
             volumes: [\"{}:/etc/caddy/Caddyfile:ro\"]\n{labels}  mitmproxy:\n    image: {MITMPROXY}\n    \
             command: mitmweb --mode reverse:http://backend:3000 --set keep_host_header=true\n{labels}  backend:\n    \
             image: {BACKEND}\n    expose: [\"3000\"]\n    volumes: [\"{}:/backend.py:ro\"]\n    \
             command: sh -c \"sleep 6; exec python3 /backend.py 0.0.0.0 3000\"\n{labels}networks:\n  default:\n{labels}",
            caddyfile.display(),
            script.display()
        ),
    );
}

/// What the doctor answers, and what it wrote beside.
struct Step {
    code: Option<i32>,
    stderr: String,
    junit: String,
    github: String,
    took: Duration,
}

fn step(lab: &Lab) -> Step {
    let folder = lab.folder().join("step");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_doctor"))
        .args(["check", "--wait", "60s", "-o", "junit=junit.xml", "-o", "github=annotations.txt"])
        .current_dir(&folder)
        .output()
        .unwrap();
    let took = start.elapsed();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    Step {
        code: output.status.code(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        junit: read("junit.xml"),
        github: read("annotations.txt"),
        took,
    }
}

fn slow_backend_then(lab: &Lab) {
    let step = step(lab);
    assert_eq!(step.code, Some(0), "{}{}", step.stderr, step.github);
    assert!(step.junit.contains("failures=\"0\"") && step.junit.contains("errors=\"0\""), "{}", step.junit);
    assert!(!step.github.contains("::error"), "{}", step.github);
    let refuses = "waiting for backend-reachable: backend:3000 refuses";
    assert_eq!(step.stderr.matches(refuses).count(), 1, "{}", step.stderr);
    assert!(step.stderr.lines().all(|line| line.starts_with("doctor: waiting for ")), "{}", step.stderr);
    assert!(step.took < Duration::from_secs(30), "it took {:?}", step.took);
    lab.travels(HOST);
}

fn wrong_dial_then(lab: &Lab) {
    let step = step(lab);
    assert_eq!(step.code, Some(1), "{}{}", step.stderr, step.github);
    assert!(step.stderr.contains("this does not heal by itself: caddy-dial: "), "{}", step.stderr);
    assert!(step.github.contains("::error title=doctor%3A caddy-dial"), "{}", step.github);
    assert!(step.junit.contains("name=\"caddy-dial\"") && step.junit.contains("<failure"), "{}", step.junit);
    assert!(step.took < Duration::from_secs(10), "it took {:?}", step.took);
}
