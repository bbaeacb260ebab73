//! Compose files that are judged before `up`, then brought up, and judged again as they run.

use std::{fs, path::PathBuf};

use crate::{
    Setup,
    healthy::site,
    lab::{BACKEND, CADDY, Diagnosis, ENTRY, HOST, Lab, MITMPROXY, compose, sh},
};

pub(crate) const SETUPS: &[Setup] = &[
    Setup { name: "before-up-healthy", up: healthy, then: healthy_then },
    Setup { name: "before-up-two-networks", up: two_networks, then: two_networks_then },
];

const PROJECT: &str = "doctor-lab-app";

/// All three, each on the networks that are given for it.
fn file(lab: &Lab, caddy: &str, others: &str) -> String {
    let caddyfile = lab.caddyfile(&site("mitmproxy:8080"));
    let script = lab.folder().join("backend.py");
    let network = |name: &str| format!("  {name}:\n    labels: {{doctor.lab: \"\"}}\n");
    format!(
        "version: \"3\"\nservices:\n  caddy:\n    image: {CADDY}\n    labels: {{doctor.lab: \"\"}}\n    networks: [{caddy}]\n    \
         ports: [\"127.0.0.1:{ENTRY}:80\"]\n    volumes: [\"{}:/etc/caddy/Caddyfile:ro\"]\n  mitmproxy:\n    image: {MITMPROXY}\n    \
         labels: {{doctor.lab: \"\"}}\n    networks: [{others}]\n    \
         command: mitmweb --mode reverse:http://backend:3000 --set keep_host_header=true\n  backend:\n    image: {BACKEND}\n    \
         labels: {{doctor.lab: \"\"}}\n    networks: [{others}]\n    volumes: [\"{}:/backend.py:ro\"]\n    \
         command: python3 /backend.py 0.0.0.0 3000\nnetworks:\n{}{}",
        caddyfile.display(),
        script.display(),
        network("edge"),
        network("app"),
    )
}

/// Where [`Lab::compose`] has the file as well.
fn written(lab: &Lab, text: &str) -> PathBuf {
    let folder = lab.folder().join(PROJECT);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("compose.yml");
    fs::write(&path, text).unwrap();
    path
}

fn before(lab: &Lab, files: &[&PathBuf]) -> Diagnosis {
    let mut arguments = vec!["--project", PROJECT];
    for file in files {
        arguments.extend(["--compose", file.to_str().unwrap()]);
    }
    lab.doctor(&arguments)
}

fn wait_for(lab: &Lab) {
    let all = sh(&format!("docker ps --format '{{{{.Names}}}}' --filter label=com.docker.compose.project={PROJECT}"));
    for (service, port) in [("caddy", 2019), ("mitmproxy", 8081), ("backend", 3000)] {
        let name = all.lines().find(|name| name.contains(service)).unwrap_or_else(|| panic!("no {service} in {all}"));
        lab.wait_for_port(name, port);
    }
}

/// Whatever the file says holds before `up`, while it runs, and before the next `up`.
fn healthy(lab: &Lab) {
    let text = file(lab, "app", "app");
    let path = written(lab, &text);
    let diagnosis = before(lab, &[&path]);
    diagnosis.blames(&[]);
    assert_eq!(diagnosis.code, 0, "{}", diagnosis.text);
    lab.compose(PROJECT, &text);
    wait_for(lab);
}

fn healthy_then(lab: &Lab) {
    lab.travels(HOST);
    lab.doctor(&[]).blames(&[]);
    // The ports that the project holds itself are no conflict for the next `up`.
    let diagnosis = before(lab, &[&lab.folder().join(PROJECT).join("compose.yml")]);
    diagnosis.blames(&[]);
    assert_eq!(diagnosis.status("port-conflict"), "pass", "{}", diagnosis.text);
}

/// The file is right about what will be wrong.
fn two_networks(lab: &Lab) {
    let text = file(lab, "edge", "app");
    let path = written(lab, &text);
    let diagnosis = before(lab, &[&path]);
    let causes = diagnosis.root_causes();
    assert!(causes.len() == 1 && causes[0].starts_with("fail shared-network: "), "{}", diagnosis.text);
    assert!(!diagnosis.text.contains("$ docker"), "nothing can be told to a container that is not there");
    fs::write(lab.folder().join("edit.yml"), format!("version: \"3\"\n{}", diagnosis.edit(0))).unwrap();
    lab.compose(PROJECT, &text);
    wait_for(lab);
}

fn two_networks_then(lab: &Lab) {
    lab.does_not_travel(HOST);
    let causes = lab.doctor(&[]).root_causes();
    assert!(causes.len() == 1 && causes[0].starts_with("fail shared-network: "), "{causes:?}");
    // With what is printed for it, the file is right, and so is what runs then.
    let (path, edit) = (lab.folder().join(PROJECT).join("compose.yml"), lab.folder().join("edit.yml"));
    let diagnosis = before(lab, &[&path, &edit]);
    diagnosis.blames(&[]);
    sh(&format!("{} -p {PROJECT} -f {} -f {} up -d", compose(), path.display(), edit.display()));
    wait_for(lab);
    lab.travels(HOST);
    lab.doctor(&[]).blames(&[]);
}
