//! Compose files that are judged before `up`.
//!
//! No engine is asked but one of the test, and compose itself is a script of the test: `PATH` holds nothing else.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod fakes;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use fakes::{Answer, Doctor, Folder, Report, Routes, Server, container};
use serde_json::{Value, json};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/compose").join(name)
}

/// An engine on which nothing is, and that has no image.
fn empty_engine() -> Server {
    Server::start(fakes::engine(&[]))
}

/// The doctor before a file, where compose is not installed.
fn doctor(engine: &Server, name: &str) -> Doctor {
    let doctor = Doctor::at(engine).env("PATH", "/nowhere");
    let doctor = doctor.args(["--project", "site", "--compose"]).args([file(name)]);
    assert_eq!(doctor.home().names().len(), 0);
    doctor
}

fn judged(name: &str) -> Report {
    let engine = empty_engine();
    let report = doctor(&engine, name).report();
    assert_eq!(report.ran.stderr, "", "{report}");
    assert!(engine.asked().iter().all(|asked| asked.starts_with("GET ")), "{:?}", engine.asked());
    no_command_for_what_is_not_there(&report);
    report
}

/// A command that names a container of the file cannot work before `up`.
fn no_command_for_what_is_not_there(report: &Report) {
    for fix in fixes(report) {
        for command in fix["commands"].as_array().unwrap() {
            let command = command.as_str().unwrap();
            assert!(!command.contains("site-"), "{command}\n{report}");
        }
    }
}

fn fixes(report: &Report) -> Vec<Value> {
    let checks = report.value["checks"].as_array().unwrap();
    let findings = checks.iter().flat_map(|check| check["findings"].as_array().unwrap());
    findings.flat_map(|finding| finding["fixes"].as_array().unwrap()).cloned().collect()
}

/// The text of the edits that the fixes of a check print.
fn edits(report: &Report, check: &str) -> String {
    let findings = report.check(check)["findings"].as_array().unwrap();
    let fixes = findings.iter().flat_map(|finding| finding["fixes"].as_array().unwrap());
    let edits = fixes.flat_map(|fix| fix["edits"].as_array().unwrap());
    edits.map(|edit| format!("{}: {}\n", edit["file"].as_str().unwrap(), edit["text"].as_str().unwrap())).collect()
}

fn root_causes(report: &Report) -> Vec<&str> {
    let causes = report.value["root_causes"].as_array().unwrap();
    causes.iter().map(|cause| cause["check"].as_str().unwrap()).collect()
}

fn assert_says(report: &Report, check: &str, words: &[&str]) {
    let said = report.says(check);
    for word in words {
        assert!(said.contains(word), "`{word}` is not in `{said}`:\n{:#}\n{report}", report.check(check));
    }
}

#[test]
fn a_good_file_is_healthy() {
    let report = judged("good.yml");
    assert_eq!((report.ran.code, report.value["status"].as_str()), (0, Some("pass")), "{report}");
    assert_eq!(report.with_status("unknown"), [] as [&str; 0]);
    let hops = ["client -> site-caddy-1:80", "site-caddy-1:80 -> site-mitmproxy-1:8080"];
    assert_eq!(report.value["setup"]["paths"][0]["hops"][0], hops[0]);
    assert_eq!(report.value["setup"]["paths"][0]["hops"][1], hops[1]);
    assert_says(&report, "port-conflict", &["pass", "2 host ports"]);
    assert_says(&report, "shared-network", &["pass", "by the compose file"]);
    assert_says(&report, "flows-nonzero", &["skip", "nothing runs yet"]);
    assert!(report.check("image")["evidence"].to_string().contains("`up` will pull it"), "{report}");
    assert!(!report.ran.stdout.contains("canary-secret"));
}

#[test]
fn a_part_may_be_named_as_the_file_names_it() {
    let engine = empty_engine();
    let report = doctor(&engine, "surprises.yml").args(["--caddy", "caddy", "--mitmproxy", "mitmproxy"]).report();
    assert_says(&report, "setup-found", &["pass: Caddy is site-caddy-1, mitmproxy is site-mitmproxy-1"]);
}

#[test]
fn a_published_port_is_none_between_containers() {
    let report = judged("published-port.yml");
    assert_eq!((report.ran.code, root_causes(&report)), (1, vec!["caddy-dial"]), "{report}");
    assert_says(&report, "caddy-dial", &["61482 is the port published on the host", "listens on 8080"]);
    assert!(edits(&report, "caddy-dial").contains("reverse_proxy mitmproxy:8080"), "{report}");
}

#[test]
fn two_networks_are_seen_in_the_file() {
    let report = judged("two-networks.yml");
    assert_eq!((report.ran.code, root_causes(&report)), (1, vec!["shared-network"]), "{report}");
    let edits = edits(&report, "shared-network");
    assert!(edits.contains("two-networks.yml") && edits.contains("mitmproxy:\n    networks: [app, edge]"), "{edits}");
    assert!(!edits.contains("external"), "{edits}");
}

#[test]
fn localhost_is_the_container_itself() {
    let report = judged("localhost.yml");
    assert_eq!((report.ran.code, root_causes(&report)), (1, vec!["caddy-dial", "reverse-mode"]), "{report}");
    assert!(edits(&report, "caddy-dial").contains("reverse_proxy mitmproxy:8080"), "{report}");
    assert!(edits(&report, "reverse-mode").contains("reverse:http://backend:3000"), "{report}");
}

#[test]
fn the_host_has_no_name_on_linux_unless_it_is_given_one() {
    let report = judged("host-gateway.yml");
    assert_eq!((report.ran.code, root_causes(&report)), (1, vec!["host-docker-internal"]), "{report}");
    let edits = edits(&report, "host-docker-internal");
    assert!(edits.contains("extra_hosts: [\"host.docker.internal:host-gateway\"]"), "{edits}");

    let desktop = json!({"Architecture": "x86_64", "OperatingSystem": "Docker Desktop"});
    let engine = Server::start(fakes::engine(&[]).on("GET /info", Answer::json(&desktop)));
    let report = doctor(&engine, "host-gateway.yml").report();
    assert_eq!(report.ran.code, 0, "Docker Desktop has the name by itself: {report}");
}

#[test]
fn what_only_compose_resolves_is_not_guessed() {
    let report = judged("variables.yml");
    assert_eq!((report.ran.code, report.value["status"].as_str()), (3, Some("unknown")), "{report}");
    assert_says(&report, "setup-found", &["unknown", "${PORT}", "${BACKEND}", "compose", "not installed"]);
    assert!(!report.ran.stdout.contains("TAG"), "a tag decides nothing: {report}");
    assert_eq!(root_causes(&report), [] as [&str; 0]);
}

#[test]
fn a_caddyfile_that_is_not_understood_makes_routes_undecided() {
    let report = judged("undecided.yml");
    assert_eq!(report.ran.code, 3, "{report}");
    assert_says(&report, "caddy-route", &["unknown", "line 1", "`import`"]);
    assert_eq!(report.with_status("fail"), [] as [&str; 0], "{report}");
}

#[test]
fn what_would_fail_at_up_or_after_is_found() {
    let report = judged("surprises.yml");
    assert_says(&report, "shared-network", &["edge-net", "external", "is not there"]);
    assert_says(&report, "container-health", &["site-console-1", "needs a terminal"]);
    assert_says(&report, "caddy-admin", &["127.0.0.1:61484", "localhost:2019 only"]);
    assert_says(&report, "mitmweb-api", &["127.0.0.1:61481", "127.0.0.1 of its container only"]);
    assert_says(&report, "dns-lookup", &["backen", "nobody's name"]);
    assert!(edits(&report, "dns-lookup").contains("reverse:http://backend:3000"), "{report}");
    assert!(!fixes(&report).iter().any(|fix| fix["title"].as_str().unwrap().ends_with(" now")), "{report}");
    assert!(edits(&report, "container-health").contains("command: [\"mitmweb\","), "{report}");
    let commands: Vec<Value> = fixes(&report).into_iter().map(|fix| fix["commands"].clone()).collect();
    assert!(commands.contains(&json!(["docker network create edge-net"])), "{commands:?}");
}

// ----------------------------------------------------------------------------------------------- what is there already

#[test]
fn a_port_is_held_by_others_and_not_by_the_same_project() {
    let labels = |project: &str| json!({"com.docker.compose.project": project, "com.docker.compose.service": "caddy"});
    let with = |project: &str| {
        let mut own = container("an-old-caddy", &["caddy", "run"], &[(80, 61_480)]);
        own["Config"]["Labels"] = labels(project);
        let engine = Server::start(fakes::engine(&[own]));
        doctor(&engine, "good.yml").report()
    };
    let report = with("other");
    assert_eq!((report.ran.code, root_causes(&report)), (1, vec!["port-conflict"]), "{report}");
    assert_says(&report, "port-conflict", &["61480", "held by an-old-caddy"]);
    let commands: Vec<Value> = fixes(&report).into_iter().map(|fix| fix["commands"].clone()).collect();
    assert!(commands.contains(&json!(["docker stop an-old-caddy"])), "{commands:?}");
    assert!(edits(&report, "port-conflict").contains("127.0.0.1:62480:80/tcp"), "{report}");
    let report = with("site");
    assert_eq!(report.ran.code, 0, "up takes it over: {report}");
}

#[test]
fn a_listener_of_this_machine_holds_a_port() {
    let taken = Server::start(Routes::default());
    let folder = Folder::new();
    let text = fs::read_to_string(file("good.yml")).unwrap().replace("61480", &taken.port.to_string());
    folder.file("Caddyfile", fs::read(file("Caddyfile")).unwrap());
    let path = folder.file("compose.yml", text);
    let engine = empty_engine();
    let report = Doctor::at(&engine).env("PATH", "/nowhere").args(["--compose"]).args([path]).report();
    assert_eq!((report.ran.code, root_causes(&report)), (1, vec!["port-conflict"]), "{report}");
    assert_says(&report, "port-conflict", &[&taken.port.to_string(), "held by"]);
}

#[test]
fn the_image_tells_what_the_file_does_not() {
    let config = json!({
        "Entrypoint": ["docker-entrypoint.sh"],
        "Cmd": ["mitmweb", "--mode", "reverse:http://backend:3000", "--set", "keep_host_header=true"],
        "Env": ["SECRET=canary-secret"], "ExposedPorts": {"8080/tcp": {}},
    });
    let image = json!({"Id": "sha256:2", "Architecture": "amd64", "Os": "linux", "Config": config});
    let routes = Routes::default()
        .on("GET /images/own-proxy:1/json", Answer::json(&image))
        .on("GET /images/sha256:2/json", Answer::json(&image));
    let engine = Server::start(fakes::engine(&[]).and(routes));
    let folder = Folder::new();
    let text = fs::read_to_string(file("two-networks.yml")).unwrap().replace("[edge]", "[app]");
    let text = text.replace("mitmproxy/mitmproxy:10.4.2\n    command: mitmdump --mode reverse:http://backend:3000 --set keep_host_header=true", "own-proxy:1");
    folder.file("Caddyfile", fs::read(file("Caddyfile")).unwrap());
    let path = folder.file("compose.yml", text);
    let report = Doctor::at(&engine).env("PATH", "/nowhere").args(["--compose"]).args([path]).report();
    assert_eq!(report.ran.code, 0, "{report}");
    assert_eq!(report.value["setup"]["mitmproxy"][0]["modes"], json!(["reverse:http://backend:3000"]), "{report}");
    assert!(!report.ran.stdout.contains("canary-secret"));
}

#[test]
fn without_an_engine_the_file_is_judged_all_the_same() {
    let report = Doctor::new().env("PATH", "/nowhere").args(["--compose"]).args([file("two-networks.yml")]).report();
    assert_eq!(root_causes(&report), ["docker-engine", "shared-network"], "{report}");
}

// ---------------------------------------------------------------------------------------------------- compose itself

/// A folder with one program that answers to `version` and to `config`, and complains of anything else.
fn fake(folder: &Folder, name: &str, version: &str, config: &str) {
    folder.file("config.out", format!("{config}\n"));
    let out = folder.path("config.out");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >> '{}'\ncase \"$*\" in\n*version*) echo {version} ;;\n*config*)\n  echo 'The TAG variable is not \
         set. Defaulting to a blank string.' >&2\n  while IFS= read -r line; do printf '%s\\n' \"$line\"; done < '{}' ;;\n*) exit 9 ;;\nesac\n",
        folder.path("asked").display(),
        out.display(),
    );
    let path = folder.file(&format!("bin/{name}"), script);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn compose_resolves_what_is_in_the_file() {
    let engine = empty_engine();
    let folder = Folder::new();
    // As docker compose 2.27 prints it.
    let config = json!({"name": "resolved", "services": {
        "caddy": {
            "command": null, "entrypoint": null, "image": "caddy:2.8.4", "networks": {"default": null},
            "ports": [{"mode": "ingress", "host_ip": "127.0.0.1", "target": 80, "published": "61480", "protocol": "tcp"}],
            "volumes": [{"type": "bind", "source": file("Caddyfile"), "target": "/etc/caddy/Caddyfile", "read_only": true}],
        },
        "mitmproxy": {
            "command": ["mitmdump", "--mode", "reverse:http://backend:3000"], "image": "mitmproxy/mitmproxy:10.4.2",
            "networks": {"default": null}, "environment": {"TOKEN": "canary-secret"},
        },
        "backend": {"image": "backend:1", "networks": {"default": {"aliases": ["api"]}}},
    }, "networks": {"default": {"name": "resolved_default"}}});
    fake(&folder, "docker", "2.27.0", &config.to_string());
    let doctor = Doctor::at(&engine).env("PATH", folder.path("bin")).args(["--compose"]).args([file("variables.yml")]);
    let report = doctor.report();
    assert_eq!(report.ran.code, 0, "{report}");
    assert_says(&report, "keep-host-header", &["warn", "backend:3000"]);
    let evidence = report.check("setup-found")["evidence"].to_string();
    for word in ["docker compose 2.27.0", "project resolved", "The TAG variable is not set", "resolved-caddy-1"] {
        assert!(evidence.contains(word), "{word}: {evidence}");
    }
    assert!(!report.ran.stdout.contains("canary-secret"));
    let asked = fs::read_to_string(folder.path("asked")).unwrap();
    let lines: Vec<&str> = asked.lines().collect();
    assert_eq!(lines[0], "compose version --short");
    assert!(lines[1].starts_with("compose -f ") && lines[1].ends_with(" config --format json"), "{asked}");
    assert_eq!(lines.len(), 2, "only these two commands change nothing: {asked}");
}

#[test]
fn an_old_compose_prints_yaml_and_names_with_underscores() {
    let engine = empty_engine();
    let folder = Folder::new();
    let text = fs::read_to_string(file("good.yml")).unwrap();
    fake(&folder, "docker-compose", "1.29.2", &text);
    let doctor = Doctor::at(&engine).env("PATH", folder.path("bin")).args(["--project", "site", "--compose"]);
    let report = doctor.args([file("good.yml")]).report();
    assert_eq!(report.ran.code, 0, "{report}");
    assert!(report.says("setup-found").contains("site_caddy_1"), "{report}");
    assert!(fs::read_to_string(folder.path("asked")).unwrap().contains("-p site -f "));
}

// ---------------------------------------------------------------------------------------------------------- bad input

#[test]
fn what_is_no_compose_file_is_one_sentence() {
    let folder = Folder::new();
    let engine = empty_engine();
    let run = |path: PathBuf| {
        let ran = Doctor::at(&engine).env("PATH", "/nowhere").args(["--compose"]).args([path]).run();
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.lines().count()), (2, "", 1), "{ran:?}");
        ran.stderr
    };
    assert!(run(folder.path("missing.yml")).contains("cannot read the compose file"));
    assert!(run(folder.file("garbage.yml", "a: [")).contains("no YAML"));
    assert!(run(folder.file("binary.yml", [0xff, 0xfe, 0])).contains("cannot read the compose file"));
    assert!(run(folder.file("none.yml", "a: 1\n")).contains("no services"));
    assert!(run(folder.file("empty.yml", "")).contains("no services"));

    // Compose's own word.
    let script = "#!/bin/sh\ncase \"$*\" in *version*) echo 2.27.0 ;; *) echo 'service \"a\" has neither an image nor a build context' >&2; exit 1 ;; esac\n";
    let program = folder.file("bin/docker", script);
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    let doctor = Doctor::at(&engine).env("PATH", folder.path("bin")).args(["--compose"]).args([file("good.yml")]);
    let ran = doctor.args(["--format", "json"]).run();
    assert_eq!(ran.code, 2);
    assert!(
        ran.json()["error"].as_str().unwrap().contains("docker compose config says: service \"a\" has neither"),
        "{ran:?}"
    );
}

#[test]
fn a_compose_that_hangs_does_not_hold_up_the_end() {
    let folder = Folder::new();
    let program = folder.file(
        "bin/docker",
        "#!/bin/sh\ncase \"$*\" in *version*) echo 2.27.0 ;; *) read -r line < /dev/zero ;; esac\n",
    );
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    let doctor =
        Doctor::new().env("PATH", folder.path("bin")).args(["--timeout", "1s", "--compose"]).args([file("good.yml")]);
    let ran = doctor.run();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("in time"), "{ran:?}");
}

// ---------------------------------------------------------------------------------------------- recordings and fixing

#[test]
fn a_recording_of_it_is_judged_the_same() {
    let engine = empty_engine();
    let folder = Folder::new();
    let record = folder.path("facts.json");
    let report = doctor(&engine, "two-networks.yml").args(["--record"]).args([record.clone()]).report();
    let again = Doctor::new().args(["--replay"]).args([record]).report();
    assert_eq!(report.value["root_causes"], again.value["root_causes"]);
    assert_eq!(report.with_status("skip"), again.with_status("skip"));
}

#[test]
fn fixing_it_is_a_plan_only() {
    let engine = empty_engine();
    let path = file("two-networks.yml");
    let doctor = Doctor::at(&engine).env("PATH", "/nowhere").args(["fix", "--yes", "--project", "site", "--compose"]);
    let ran = doctor.args([path]).run();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("networks: [app, edge]"), "{}", ran.stdout);
    assert!(engine.asked().iter().all(|asked| asked.starts_with("GET ")));
}
