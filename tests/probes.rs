//! The doctor in front of engines, Caddys and mitmwebs that answer well, badly, or not at all.
//!
//! No real engine is asked: everything that the doctor talks to is a server of the test.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod fakes;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::Command,
    time::Duration,
};

use fakes::{Answer, Behaviour, Doctor, Folder, RefusingPort, Report, Routes, Running, Server, Setup, container, id};
use serde_json::{Value, json};

/// A run with `--timeout 2s` ends within this time. The rest is for a machine that is busy with other tests.
const TWO_SECONDS_AND_SLACK: Duration = Duration::from_millis(3000);

/// A cap of 8 MB, several questions at a time, and what the system's buffers hold.
const READ_AT_MOST: u64 = 64 << 20;

/// The doctor never breaks, whatever it is told: no panic, no word of one, and a report that agrees with its exit code.
fn assert_sound(report: &Report) {
    let Report { value, ran } = report;
    assert_eq!(value["exit_code"], ran.code, "{report}");
    assert_eq!(ran.stderr, "", "{report}");
    assert!(!ran.stdout.contains("the check itself broke"), "{report}");
}

fn assert_says(report: &Report, check: &str, words: &[&str]) {
    let said = report.says(check);
    for word in words {
        assert!(said.contains(word), "`{word}` is not in `{said}`:\n{:#}", report.check(check));
    }
}

/// Runs the doctor with two seconds and asserts that it keeps to them.
fn within_two_seconds(doctor: Doctor) -> Report {
    let report = doctor.args(["--timeout", "2s"]).report();
    assert_sound(&report);
    assert!(report.ran.took < TWO_SECONDS_AND_SLACK, "{report}");
    report
}

// ---------------------------------------------------------------------------------------------------- a healthy setup

#[test]
fn a_healthy_setup_is_read_whole_and_not_accused() {
    let running = Setup::healthy().start();
    let report = running.doctor().report();
    assert_sound(&report);
    assert_eq!((report.value["status"].as_str(), report.ran.code), (Some("pass"), 0), "{report}");
    assert_eq!(report.with_status("unknown"), [] as [&str; 0]);
    let setup = &report.value["setup"];
    assert_eq!(setup["engine"]["name"], "docker");
    assert_eq!(setup["engine"]["version"], "20.10.24");
    assert_eq!(setup["caddy"], json!([{"place": "caddy", "admin": "http://127.0.0.1:2019"}]));
    assert_eq!(
        setup["mitmproxy"],
        json!([{"place": "mitmproxy", "program": "mitmweb", "version": "10.4.2", "modes": ["reverse:http://backend:3000"]}])
    );
    let hops = json!(["client -> caddy:80", "caddy:80 -> mitmproxy:8080", "mitmproxy:8080 -> backend:3000"]);
    assert_eq!(setup["paths"], json!([{"host": "*.example.test", "hops": hops, "broken": []}]));
    assert_says(&report, "flows-nonzero", &["pass: 3 flows captured"]);
    assert_says(&report, "keep-host-header", &["pass"]);
}

#[test]
fn it_only_reads() {
    let running = Setup::healthy().start();
    running.doctor().report();
    let mut asked = running.admin.asked();
    asked.sort();
    // The first is what a user of the published port sees.
    assert_eq!(asked, ["GET /", "GET /config/"]);
    let mut asked = running.mitmweb.asked();
    asked.sort();
    assert_eq!(asked, ["GET /", "GET /events", "GET /options", "GET /state", "POST /commands/view.properties.length"]);
    let writes: Vec<String> = running.engine.asked().into_iter().filter(|asked| !asked.starts_with("GET ")).collect();
    assert!(
        writes.iter().all(|asked| asked.starts_with("POST /containers/") && asked.ends_with("/exec")),
        "{writes:?}"
    );
}

#[test]
fn the_admin_api_gets_no_header_that_makes_it_check_origins() {
    let setup = Setup::healthy();
    let admin = setup.admin.with("GET /config/", |request| {
        let browser = ["origin", "sec-fetch-mode", "sec-fetch-site", "referer"];
        match browser.iter().find(|name| request.headers.contains_key(**name)) {
            Some(name) => Answer::text(403, name).into(),
            None => Answer::json(&fakes::caddy_config()).into(),
        }
    });
    let report = Setup { admin, ..setup }.start().doctor().report();
    assert_eq!(report.ran.code, 0, "{report}");
}

#[test]
fn an_engine_on_a_unix_socket_is_asked_the_same() {
    let folder = Folder::new();
    let socket = folder.path("docker.sock");
    let (admin, mitmweb) = (fakes::admin(&fakes::caddy_config()), fakes::mitmweb("12.1.2", 5));
    let (admin, mitmweb) = (Server::start(admin), Server::start(mitmweb));
    let containers = [
        container("caddy", &["caddy", "run"], &[(2019, admin.port)]),
        container("mitmproxy", &["mitmweb", "--mode", "reverse:http://backend:3000"], &[(8081, mitmweb.port)]),
        container("backend", &["serve"], &[]),
    ];
    let _engine = Server::start_unix(&socket, fakes::engine(&containers));
    let endpoint = format!("unix://{}", socket.display());
    // No namespace of a fake can be entered, so its backend cannot be tried.
    let doctor = Doctor::new().env("DOCKER_HOST", &endpoint).args(["--skip", "backend-reachable"]);
    let report = doctor.args(["--caddy", "caddy", "--mitmproxy", "mitmproxy"]).report();
    assert_sound(&report);
    assert_eq!(report.value["setup"]["engine"]["endpoint"], endpoint.as_str());
    assert_eq!(report.value["setup"]["mitmproxy"][0]["version"], "12.1.2");
    assert_eq!(report.ran.code, 0, "{report}");
}

#[test]
fn answers_that_take_their_time_are_waited_for() {
    let slowly = |body: &Value| Behaviour::Slow(Duration::from_millis(400), Answer::json(body));
    let mut setup = Setup::healthy();
    setup.admin = setup.admin.on("GET /config/", slowly(&fakes::caddy_config()));
    let report = setup.start().doctor().report();
    assert_eq!(report.ran.code, 0, "{report}");
}

#[test]
fn an_exported_proxy_is_not_asked() {
    let nobody = RefusingPort::new();
    let running = Setup::healthy().start();
    let mut doctor = running.doctor();
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        doctor = doctor.env(name, format!("http://127.0.0.1:{}", nobody.port));
    }
    let report = doctor.report();
    assert_eq!(report.ran.code, 0, "{report}");
}

// ------------------------------------------------------------------------------------------------------ which engine

/// Writes a docker context as the `docker` command does.
fn context(home: &Folder, name: &str, endpoint: &str) {
    let meta =
        json!({"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": endpoint, "SkipTLSVerify": false}}});
    home.file(&format!(".docker/contexts/meta/{}/meta.json", id(name)), meta.to_string());
}

#[test]
fn the_current_docker_context_is_used() {
    let running = Setup::healthy().start();
    let doctor = running.doctor().without_env("DOCKER_HOST");
    let endpoint = format!("tcp://127.0.0.1:{}", running.engine.port);
    context(doctor.home(), "elsewhere", &endpoint);
    doctor.home().file(".docker/config.json", r#"{"currentContext":"elsewhere"}"#);
    let report = doctor.report();
    assert_eq!(report.value["setup"]["engine"]["endpoint"], endpoint.as_str());
    assert_eq!(report.ran.code, 0, "{report}");
}

#[test]
fn docker_context_goes_before_the_current_one_and_docker_host_before_both() {
    let running = Setup::healthy().start();
    let endpoint = format!("tcp://127.0.0.1:{}", running.engine.port);
    let nowhere = "unix:///nowhere/docker.sock";
    for (host, by_variable, current) in
        [(None, endpoint.as_str(), nowhere), (Some(endpoint.as_str()), nowhere, nowhere)]
    {
        let mut doctor = running.doctor().without_env("DOCKER_HOST").env("DOCKER_CONTEXT", "by-variable");
        context(doctor.home(), "by-variable", by_variable);
        context(doctor.home(), "current", current);
        doctor.home().file(".docker/config.json", r#"{"currentContext":"current"}"#);
        if let Some(host) = host {
            doctor = doctor.env("DOCKER_HOST", host);
        }
        let report = doctor.report();
        assert_eq!(report.ran.code, 0, "{report}");
    }
}

#[test]
fn a_context_that_is_not_defined_is_named() {
    let doctor = Setup::healthy().start().doctor().without_env("DOCKER_HOST").env("DOCKER_CONTEXT", "gone");
    let report = doctor.report();
    assert_sound(&report);
    assert_eq!(report.ran.code, 1);
    assert_says(&report, "docker-engine", &["fail", "context gone, which is not defined"]);
}

// ------------------------------------------------------------------------------------------- engines that do not work

/// The doctor at an endpoint where no engine answers. The parts are named, so that none is found on this machine.
fn doctor_at(endpoint: &str) -> Doctor {
    Doctor::new().env("DOCKER_HOST", endpoint).args(["--caddy", "caddy", "--mitmproxy", "mitmproxy"])
}

/// The one root cause is the engine, and everything else follows from it.
fn assert_only_the_engine_is_blamed(report: &Report) {
    assert_sound(report);
    assert_eq!(report.ran.code, 1);
    let causes: Vec<&Value> = report.value["root_causes"].as_array().unwrap().iter().map(|own| &own["check"]).collect();
    assert_eq!(causes, ["docker-engine"], "{report}");
    assert_eq!(report.with_status("fail"), ["docker-engine"]);
    assert_eq!(report.with_status("unknown"), [] as [&str; 0]);
    // These two are not asked for.
    for check in report.with_status("skip").into_iter().filter(|id| !matches!(*id, "latency" | "vantage")) {
        assert_eq!(report.check(check)["blocked_by"], json!(["docker-engine"]), "{check}");
    }
}

#[test]
fn a_missing_socket_is_no_engine() {
    let folder = Folder::new();
    let endpoint = format!("unix://{}", folder.path("docker.sock").display());
    let report = doctor_at(&endpoint).report();
    assert_only_the_engine_is_blamed(&report);
    assert_says(&report, "docker-engine", &[&format!("there is no Docker engine at {endpoint}")]);
}

#[test]
fn a_socket_without_a_listener_is_no_engine() {
    let folder = Folder::new();
    let socket = folder.path("docker.sock");
    // A socket file that was left behind by an engine that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let report = doctor_at(&format!("unix://{}", socket.display())).report();
    assert_only_the_engine_is_blamed(&report);
    assert_says(&report, "docker-engine", &["no Docker engine listens at"]);
}

#[test]
fn a_port_that_refuses_is_no_engine() {
    let refusing = RefusingPort::new();
    let report = doctor_at(&format!("tcp://127.0.0.1:{}", refusing.port)).report();
    assert_only_the_engine_is_blamed(&report);
    assert_says(&report, "docker-engine", &["no Docker engine listens at"]);
}

#[test]
fn a_user_who_may_not_use_the_socket_is_told_so() {
    let folder = Folder::new();
    let socket = folder.path("docker.sock");
    let _engine = Server::start_unix(&socket, fakes::engine(&[]));
    // Not even its owner may; root may all the same, so this is asked as somebody else then.
    fs::set_permissions(&socket, PermissionsExt::from_mode(0o000)).unwrap();
    let doctor = if fs::metadata(&socket).unwrap().uid() == 0 {
        fs::set_permissions(folder.path(""), PermissionsExt::from_mode(0o755)).unwrap();
        let program = folder.path("doctor");
        fs::copy(env!("CARGO_BIN_EXE_doctor"), &program).unwrap();
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        Doctor::of(command)
    } else {
        Doctor::new()
    };
    let endpoint = format!("unix://{}", socket.display());
    let report = doctor.env("DOCKER_HOST", &endpoint).args(["--caddy", "caddy", "--mitmproxy", "mitmproxy"]).report();
    assert_only_the_engine_is_blamed(&report);
    assert_says(&report, "docker-engine", &["may not use the Docker engine at", &endpoint]);
}

#[test]
fn an_engine_that_hangs_does_not_hang_the_doctor() {
    let engine = Server::start(Routes::all(Behaviour::Hang));
    let report = within_two_seconds(doctor_at(&format!("tcp://127.0.0.1:{}", engine.port)));
    assert_only_the_engine_is_blamed(&report);
    assert_says(&report, "docker-engine", &["takes connections and does not answer"]);
}

#[test]
fn an_engine_that_hangs_on_a_unix_socket_does_not_hang_the_doctor() {
    let folder = Folder::new();
    let socket = folder.path("docker.sock");
    let _engine = Server::start_unix(&socket, Routes::all(Behaviour::Hang));
    let report = within_two_seconds(doctor_at(&format!("unix://{}", socket.display())));
    assert_only_the_engine_is_blamed(&report);
    assert_says(&report, "docker-engine", &["takes connections and does not answer"]);
}

#[test]
fn what_is_not_an_engine_is_not_taken_for_one() {
    let ping = |answer: Answer| Routes::default().on("GET /_ping", answer);
    for (what, routes) in [
        ("no HTTP", Routes::all(Behaviour::Garbage)),
        ("some web server", Routes::all(Answer::text(200, "<html>hello</html>"))),
        ("a web server that has no such page", Routes::default()),
        ("an engine that fails", ping(Answer::text(500, "no").header("Api-Version", "1.41"))),
        ("half an answer", ping(Answer::half("OK").header("Api-Version", "1.41"))),
        ("a redirect", ping(Answer::text(302, "").header("Location", "http://127.0.0.1:9/_ping"))),
    ] {
        let server = Server::start(routes);
        let report = within_two_seconds(doctor_at(&format!("tcp://127.0.0.1:{}", server.port)));
        assert_only_the_engine_is_blamed(&report);
        assert_says(&report, "docker-engine", &["what answers at", "is no Docker engine"]);
        assert!(!report.ran.stdout.contains('\u{1b}'), "{what}: {}", report.ran.stdout);
    }
}

#[test]
fn a_server_that_closes_without_a_word_is_no_engine() {
    let server = Server::start(Routes::all(Behaviour::Refuse));
    let report = within_two_seconds(doctor_at(&format!("tcp://127.0.0.1:{}", server.port)));
    assert_only_the_engine_is_blamed(&report);
}

#[test]
fn an_endless_ping_is_not_read_on_and_on() {
    let ping = Answer::endless().header("Api-Version", "1.41").header("Server", "Docker/20.10.24 (linux)");
    let engine = Server::start(Routes::default().on("GET /_ping", ping));
    let report = within_two_seconds(doctor_at(&format!("tcp://127.0.0.1:{}", engine.port)));
    assert_only_the_engine_is_blamed(&report);
    assert!(engine.sent() < READ_AT_MOST, "it took {} MB", engine.sent() >> 20);
}

#[test]
fn endpoints_that_the_doctor_does_not_speak_are_said_to_be_so() {
    for endpoint in ["ssh://somebody@host.test", "https://127.0.0.1:2376", "fd://", "npipe:////./pipe/docker_engine"] {
        let report = within_two_seconds(doctor_at(endpoint));
        assert_only_the_engine_is_blamed(&report);
        assert_says(&report, "docker-engine", &["the doctor cannot speak to the Docker engine at", endpoint]);
    }
}

#[test]
fn an_engine_that_wants_tls_is_said_to_be_so() {
    let engine = Server::start(Routes::all(Answer::text(400, "Client sent an HTTP request to an HTTPS server.\n")));
    let report = within_two_seconds(doctor_at(&format!("tcp://127.0.0.1:{}", engine.port)));
    assert_only_the_engine_is_blamed(&report);
    let answer = report.check("docker-engine").to_string();
    assert!(answer.contains("it wants TLS, which the doctor does not speak"), "{answer}");
}

#[test]
fn an_endpoint_that_is_none_is_one_clear_failure() {
    for endpoint in ["nonsense", "tcp://", "unix://", "tcp://[::1", "tcp://127.0.0.1:99999"] {
        let report = within_two_seconds(doctor_at(endpoint));
        assert_sound(&report);
        assert_eq!(report.ran.code, 1, "{endpoint}: {report}");
        assert_says(&report, "docker-engine", &["fail", endpoint]);
    }
}

// ----------------------------------------------------------------------------- engines that answer some questions only

/// Runs the doctor at a setup whose engine answers `route` in another way.
fn with_engine_route(route: &str, behaviour: impl Into<Behaviour>) -> (Running, Report) {
    let mut setup = Setup::healthy();
    setup.engine = setup.engine.on(route, behaviour);
    let running = setup.start();
    let report = within_two_seconds(running.doctor());
    (running, report)
}

#[test]
fn without_a_list_of_containers_the_rest_is_unknown() {
    for behaviour in [
        Behaviour::Hang,
        Behaviour::Garbage,
        Behaviour::Refuse,
        Answer::text(500, r#"{"message":"no"}"#).into(),
        Answer::text(200, "<html>").into(),
        Answer::json(&json!({"message": "no list"})).into(),
        Answer::json(&json!([[], 7])).into(),
        Answer::half("[{}").into(),
    ] {
        let (_running, report) = with_engine_route("GET /containers/json", behaviour);
        assert_eq!(report.ran.code, 3, "{report}");
        assert_says(&report, "docker-engine", &["pass"]);
        assert_says(&report, "container-health", &["unknown", "GET /containers/json"]);
    }
}

#[test]
fn an_endless_list_of_containers_is_not_read_on_and_on() {
    let (running, report) = with_engine_route("GET /containers/json", Answer::endless());
    assert_eq!(report.ran.code, 3, "{report}");
    assert!(running.engine.sent() < READ_AT_MOST, "it took {} MB", running.engine.sent() >> 20);
}

#[test]
fn an_endless_inspect_is_not_read_on_and_on() {
    let (running, report) = with_engine_route(&format!("GET /containers/{}/json", id("backend")), Answer::endless());
    assert_says(&report, "container-health", &["unknown"]);
    assert!(running.engine.sent() < READ_AT_MOST, "it took {} MB", running.engine.sent() >> 20);
}

#[test]
fn without_networks_the_rest_is_still_judged() {
    for behaviour in [Behaviour::Hang, Behaviour::Garbage, Answer::json(&json!({})).into()] {
        let (_running, report) = with_engine_route("GET /networks", behaviour);
        assert_eq!(report.ran.code, 3, "{report}");
        assert_says(&report, "shared-network", &["unknown", "GET /networks"]);
        assert_says(&report, "flows-nonzero", &["pass: 3 flows captured"]);
    }
}

#[test]
fn a_container_that_goes_away_meanwhile_is_a_row_with_its_reason() {
    for name in ["caddy", "mitmproxy", "backend"] {
        let gone = Answer::text(404, &json!({"message": format!("No such container: {name}")}).to_string());
        let (_running, report) = with_engine_route(&format!("GET /containers/{}/json", id(name)), gone);
        assert_eq!(report.ran.code, 3, "{name}: {report}");
        assert_says(&report, "container-health", &["unknown", &format!("{name} went away while it was looked at")]);
    }
}

#[test]
fn an_inspect_that_hangs_or_is_broken_leaves_the_others_known() {
    for behaviour in [Behaviour::Hang, Behaviour::Garbage, Answer::json(&json!([1])).into()] {
        let (_running, report) = with_engine_route(&format!("GET /containers/{}/json", id("backend")), behaviour);
        assert_eq!(report.ran.code, 3, "{report}");
        assert_says(&report, "container-health", &["unknown", "backend"]);
        assert_says(&report, "flows-nonzero", &["pass: 3 flows captured"]);
    }
}

#[test]
fn a_container_that_is_not_inspected_in_time_is_not_said_to_be_gone() {
    let (_running, report) = with_engine_route(&format!("GET /containers/{}/json", id("backend")), Behaviour::Hang);
    let said = report.says("container-health");
    assert!(!said.contains("went away"), "{said}");
}

#[test]
fn the_log_of_an_ended_container_may_hang() {
    let mut setup = Setup::healthy();
    setup.engine = setup.engine.on(&format!("GET /containers/{}/logs", id("backend")), Behaviour::Hang);
    let running = setup.start_with(|containers| end(&mut containers[2], 1));
    let report = within_two_seconds(running.doctor());
    assert_eq!(report.ran.code, 1);
    assert_says(&report, "container-health", &["fail", "backend"]);
}

/// Makes a container one that has ended.
fn end(container: &mut Value, exit_code: i64) {
    container["State"]["Status"] = json!("exited");
    container["State"]["Running"] = json!(false);
    container["State"]["ExitCode"] = json!(exit_code);
}

// -------------------------------------------------------------------------------------------------- Caddy's admin API

/// Runs the doctor at a setup whose admin API answers in another way.
fn with_admin(behaviour: impl Into<Behaviour>) -> (Running, Report) {
    let mut setup = Setup::healthy();
    setup.admin = Routes::all(behaviour);
    let running = setup.start();
    let report = within_two_seconds(running.doctor());
    (running, report)
}

#[test]
fn an_admin_api_that_lets_nobody_in_is_the_cause_of_what_stands_on_it() {
    let (_running, report) = with_admin(Answer::text(403, r#"{"error":"host not allowed: 127.0.0.1:2019"}"#));
    assert_eq!(report.ran.code, 1, "{report}");
    assert_says(&report, "caddy-admin", &["fail", "lets nobody in who asks for http://127.0.0.1:2019"]);
    assert_says(&report, "shared-network", &["skip", "blocked by caddy-admin"]);
    assert_says(&report, "flows-nonzero", &["pass: 3 flows captured"]);
}

#[test]
fn an_admin_api_that_does_not_tell_its_config_makes_what_stands_on_it_unknown() {
    for (words, behaviour) in [
        ("HTTP 500", Answer::text(500, "").into()),
        ("HTTP 302", Answer::text(302, "").header("Location", "https://elsewhere.test/").into()),
        ("not Caddy's config", Answer::text(200, "").into()),
        ("not Caddy's config", Answer::text(200, "<html>hello</html>").into()),
        ("not Caddy's config", Answer::text(200, r#"{"apps":"#).into()),
        ("not Caddy's config", Answer::text(200, "\"a text\"").into()),
        ("not Caddy's config", Answer::text(200, "[]").into()),
        ("not Caddy's config", Answer::text(200, r#"{"apps":7}"#).into()),
        ("not Caddy's config", Answer::text(200, r#"{"apps":{"http":{"servers":[1]}}}"#).into()),
        ("not Caddy's config", Answer::text(200, r#"{"apps":{"http":{"servers":{"a":{"routes":{"x":1}}}}}}"#).into()),
        ("not Caddy's config", Answer::text(200, &"[".repeat(100_000)).into()),
        ("/config/", Answer::half(r#"{"apps":{}"#).into()),
        ("/config/", Behaviour::Garbage),
        ("/config/", Behaviour::Refuse),
        ("/config/", Behaviour::Hang),
    ] {
        let (_running, report) = with_admin(behaviour);
        assert_eq!(report.ran.code, 3, "{words}: {report}");
        assert_says(&report, "shared-network", &["unknown", "where caddy dials is not known", words]);
        assert_eq!(report.value["setup"]["caddy"], json!([{"place": "caddy"}]));
        assert_says(&report, "flows-nonzero", &["pass: 3 flows captured"]);
    }
}

#[test]
fn a_config_that_is_null_or_empty_is_known_to_be_empty() {
    for body in ["null", "{}", r#"{"apps":null}"#, r#"{"apps":{"http":{"servers":null}}}"#, "null\n"] {
        let (_running, report) = with_admin(Answer::text(200, body));
        assert_eq!(report.value["setup"]["caddy"][0]["admin"], "http://127.0.0.1:2019", "{body}");
        assert_says(&report, "caddy-route", &["fail", "caddy has no HTTP server"]);
        assert_eq!(report.with_status("unknown"), [] as [&str; 0], "{body}: {report}");
    }
}

#[test]
fn an_endless_config_is_not_read_on_and_on() {
    let (running, report) = with_admin(Answer::endless());
    assert_eq!(report.ran.code, 3, "{report}");
    assert_says(&report, "shared-network", &["unknown", "longer than"]);
    assert!(running.admin.sent() < READ_AT_MOST, "it took {} MB", running.admin.sent() >> 20);
}

#[test]
fn leaves_of_another_type_do_not_hide_the_rest_of_a_config() {
    let mut config = fakes::caddy_config();
    let server = &mut config["apps"]["http"]["servers"]["srv0"];
    server["automatic_https"] = json!("off");
    server["tls_connection_policies"] = json!(null);
    server["routes"][0]["@id"] = json!(7);
    server["routes"][0]["terminal"] = json!("yes");
    server["routes"].as_array_mut().unwrap().push(json!({"handle": [{"handler": 3, "upstreams": "none"}]}));
    let mut setup = Setup::healthy();
    setup.admin = fakes::admin(&config);
    let report = setup.start().doctor().report();
    assert_eq!(report.ran.code, 0, "{report}");
    assert_eq!(report.value["setup"]["paths"][0]["hops"][1], "caddy:80 -> mitmproxy:8080");
}

#[test]
fn a_published_port_that_refuses_names_how_to_say_where_the_admin_api_is() {
    let refusing = RefusingPort::new();
    let running = Setup::healthy().start_with(|containers| {
        containers[0] = container("caddy", &["caddy", "run"], &[(2019, refusing.port)]);
    });
    let report = within_two_seconds(running.doctor());
    assert_eq!(report.ran.code, 3, "{report}");
    assert_says(&report, "shared-network", &["unknown", "--caddy http://ADDRESS:PORT"]);
}

// ------------------------------------------------------------------------------------------------------------ mitmweb

/// Runs the doctor at a setup whose mitmweb answers `route` in another way.
fn with_mitmweb_route(route: &str, behaviour: impl Into<Behaviour>) -> (Running, Report) {
    let mut setup = Setup::healthy();
    setup.mitmweb = setup.mitmweb.on(route, behaviour);
    let running = setup.start();
    let report = within_two_seconds(running.doctor());
    (running, report)
}

#[test]
fn options_that_are_none_make_what_stands_on_them_unknown() {
    for (words, behaviour) in [
        ("HTTP 500", Answer::text(500, "").into()),
        ("HTTP 404", Answer::text(404, "").into()),
        ("not mitmweb's options", Answer::text(200, "").into()),
        ("not mitmweb's options", Answer::text(200, "<html>hello</html>").into()),
        ("not mitmweb's options", Answer::text(200, "null").into()),
        ("not mitmweb's options", Answer::text(200, "[]").into()),
        ("not mitmweb's options", Answer::text(200, r#"{"mode":["regular"]}"#).into()),
        ("it has no `mode`", Answer::text(200, "{}").into()),
        ("mode", Answer::json(&json!({"mode": {"value": 7}})).into()),
        ("mode", Answer::json(&json!({"mode": {"value": [{"a": 1}]}})).into()),
        ("/options", Answer::half(r#"{"mode":{"#).into()),
        ("/options", Behaviour::Garbage),
        ("/options", Behaviour::Refuse),
        ("/options", Behaviour::Hang),
    ] {
        let (_running, report) = with_mitmweb_route("GET /options", behaviour);
        assert_eq!(report.ran.code, 3, "{words}: {report}");
        assert_says(&report, "flows-nonzero", &["unknown", "could not be counted", words]);
        assert_eq!(
            report.value["setup"]["mitmproxy"][0]["modes"],
            json!(["reverse:http://backend:3000"]),
            "without options, its command line tells the mode"
        );
    }
}

#[test]
fn endless_options_are_not_read_on_and_on() {
    let (running, report) = with_mitmweb_route("GET /options", Answer::endless().header("Server", "mitmproxy 10.4.2"));
    assert_eq!(report.ran.code, 3, "{report}");
    assert_says(&report, "flows-nonzero", &["unknown", "longer than"]);
    assert!(running.mitmweb.sent() < READ_AT_MOST, "it took {} MB", running.mitmweb.sent() >> 20);
}

#[test]
fn a_state_or_a_count_that_is_none_hides_nothing_else() {
    for behaviour in [
        Behaviour::Hang,
        Behaviour::Garbage,
        Behaviour::Refuse,
        Answer::text(500, "").into(),
        Answer::text(200, "{}").into(),
        Answer::text(200, r#"{"servers":7,"value":"many"}"#).into(),
        Answer::text(200, r#"{"servers":{"x":1},"value":-1}"#).into(),
    ] {
        let (_running, report) = with_mitmweb_route("GET /state", behaviour.clone());
        assert_says(&report, "flows-nonzero", &["pass: 3 flows captured"]);
        let (_running, report) = with_mitmweb_route("POST /commands/view.properties.length", behaviour);
        assert_eq!(report.ran.code, 3, "{report}");
        assert_says(&report, "flows-nonzero", &["unknown", "could not be counted"]);
        assert_says(&report, "keep-host-header", &["pass"]);
    }
}

// ----------------------------------------------------------------------------------------------- mitmweb's own password

/// With signs that have to be encoded in a query.
const PASSWORD: &str = "CANARY-pass&word=1 ü";
const PASSWORD_IN_A_QUERY: &str = "token=CANARY-pass%26word%3D1%20%C3%BC";

/// mitmweb with a password; `by_query` from 11.1.2 on, by the bearer header from 12.0.1 on.
fn guarded(version: &str, by_query: bool) -> Setup {
    let may = move |request: &fakes::Request| match by_query {
        true => request.query == PASSWORD_IN_A_QUERY,
        false => request.header("authorization") == format!("Bearer {PASSWORD}"),
    };
    Setup { mitmweb: fakes::mitmweb_behind(version, 3, may), ..Setup::healthy() }
}

#[test]
fn a_mitmweb_that_wants_its_token_says_how_to_give_it() {
    let running = guarded("11.1.3", true).start();
    let report = running.doctor().report();
    assert_sound(&report);
    assert_eq!(report.ran.code, 3, "{report}");
    assert_says(
        &report,
        "flows-nonzero",
        &["unknown", "mitmweb 11.1.3 wants its password", "--web-password-file FILE", "DOCTOR_WEB_PASSWORD"],
    );
    assert_eq!(report.value["setup"]["mitmproxy"][0]["version"], "11.1.3", "a refusal tells the version, too");
}

#[test]
fn a_wrong_password_is_said_to_be_wrong() {
    let running = guarded("11.1.3", true).start();
    let report = running.doctor().env("DOCTOR_WEB_PASSWORD", "CANARY-wrong").report();
    assert_eq!(report.ran.code, 1, "{report}");
    assert_says(&report, "mitmweb-api", &["fail", "does not take the password that the doctor was given"]);
    assert_says(&report, "flows-nonzero", &["skip", "blocked by mitmweb-api"]);
    assert!(!report.ran.stdout.contains("CANARY"), "{}", report.ran.stdout);
}

#[test]
fn a_403_that_is_not_mitmwebs_is_not_taken_for_a_wish_for_a_password() {
    let (_running, report) = with_mitmweb_route("GET /options", Answer::text(403, "").header("Server", "nginx"));
    assert_says(&report, "flows-nonzero", &["unknown", "not from a mitmweb"]);
}

#[test]
fn the_password_lets_in_and_is_in_no_report_and_no_recording() {
    let folder = Folder::new();
    let file = folder.file("password", format!("{PASSWORD}\n"));
    for (version, by_query) in [("11.1.3", true), ("12.2.3", false)] {
        let running = guarded(version, by_query).start();
        for by_file in [true, false] {
            for format in ["text", "short", "json"] {
                let record = folder.path("facts.json");
                let doctor = running.doctor().args(["-vv", "--format", format, "--record"]).args([&record]);
                let ran = match by_file {
                    true => doctor.args(["--web-password-file"]).args([&file]),
                    false => doctor.env("DOCTOR_WEB_PASSWORD", PASSWORD),
                }
                .run();
                assert_eq!(ran.code, 0, "{version}, by file: {by_file}: {ran:#?}");
                let recorded = fs::read_to_string(&record).unwrap();
                for text in [&ran.stdout, &ran.stderr, &recorded] {
                    assert!(!text.contains("CANARY"), "{text}");
                }
            }
        }
    }
}

#[test]
fn the_password_is_in_no_message_about_a_mitmweb_that_does_not_answer() {
    for behaviour in [Behaviour::Hang, Behaviour::Garbage, Behaviour::Refuse, Answer::half("{").into()] {
        let running = Setup { mitmweb: Routes::all(behaviour), ..Setup::healthy() }.start();
        let report = within_two_seconds(running.doctor().env("DOCTOR_WEB_PASSWORD", PASSWORD));
        assert_eq!(report.ran.code, 3, "{report}");
        assert!(!report.ran.stdout.contains("CANARY"), "{}", report.ran.stdout);
    }
}

#[test]
fn a_password_file_that_cannot_be_read_is_one_sentence() {
    let running = Setup::healthy().start();
    let ran = running.doctor().args(["--web-password-file", "missing"]).run();
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:#?}");
    assert!(ran.stderr.contains("cannot read the password file missing"), "{ran:#?}");
}

// -------------------------------------------------------------------------------------------------------------- names

/// What a terminal would obey: the escape sequences of old and new, a bell, a line break, and marks that turn the
/// direction of writing.
const EVIL: &str = "\u{1b}[31m\u{1b}]0;owned\u{7}\u{9b}2J\r\u{202e}\u{200b}\u{7f}";

/// The control characters that are in a text, without line breaks.
fn obeyed(text: &str) -> Vec<char> {
    let invisible = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    text.chars().filter(|c| c.is_control() && *c != '\n' || invisible(*c)).collect()
}

/// Every name that comes from elsewhere is evil, and nothing works, so that as many of them as possible are reported.
fn evil() -> Running {
    let mut config = fakes::caddy_config();
    let route = &mut config["apps"]["http"]["servers"]["srv0"]["routes"][0];
    route["@id"] = json!(format!("id{EVIL}"));
    route["match"] = json!([{"host": [format!("*.evil{EVIL}.test")]}]);
    route["handle"] = json!([{"handler": "reverse_proxy", "upstreams": [
        {"dial": format!("mitmproxy{EVIL}:8080")}, {"dial": format!("nobody{EVIL}:8080")},
    ]}]);
    let mut setup = Setup::healthy();
    setup.admin = fakes::admin(&config);
    setup.engine = setup
        .engine
        .on(&format!("GET /containers/{}/logs", id(&format!("backend{EVIL}"))), fakes::log(&format!("died {EVIL}")));
    setup.start_with(|containers| {
        let names = ["caddy", "mitmproxy", "backend"];
        for (container, name) in containers.iter_mut().zip(names) {
            let name = format!("{name}{EVIL}");
            container["Name"] = json!(format!("/{name}"));
            container["Id"] = json!(id(&name));
            container["Config"]["Image"] = json!(format!("image{EVIL}"));
            container["Config"]["Labels"] = json!({
                "com.docker.compose.project": format!("project{EVIL}"),
                "com.docker.compose.service": format!("service{EVIL}"),
                "com.docker.compose.project.config_files": format!("/srv/compose{EVIL}.yml"),
                "com.docker.compose.project.working_dir": format!("/srv{EVIL}"),
            });
            let networks = &mut container["NetworkSettings"]["Networks"];
            *networks = json!({format!("net-{name}"): networks["app-net"]});
        }
        containers[1]["Args"] = json!(["--mode", format!("reverse:http://backend{EVIL}:3000"), "--set", format!("x{EVIL}=1")]);
        containers[1]["State"]["Health"] = json!({
            "Status": "unhealthy", "FailingStreak": 3, "Log": [{"ExitCode": 1, "Output": format!("sick {EVIL}\n{EVIL}")}],
        });
        end(&mut containers[2], 137);
        containers[2]["State"]["Error"] = json!(format!("error {EVIL}"));
    })
}

#[test]
fn names_from_elsewhere_are_shown_and_never_obeyed() {
    let running = evil();
    let doctor = |format: &str| {
        let (caddy, mitmproxy) = (format!("caddy{EVIL}"), format!("mitmproxy{EVIL}"));
        Doctor::at(&running.engine).args(["--format", format, "--caddy", &caddy, "--mitmproxy", &mitmproxy])
    };
    for format in ["text", "short"] {
        for locale in ["C.UTF-8", "C"] {
            let ran = doctor(format).env("LC_ALL", locale).run();
            assert_eq!(ran.code, 1, "{ran:#?}");
            assert!(ran.stdout.contains("\\u{1b}[31m"), "the names are in the report:\n{}", ran.stdout);
            assert_eq!(obeyed(&ran.stdout), [] as [char; 0], "{ran:#?}");
            assert_eq!(ran.stderr, "");
        }
    }
    let ran = doctor("json").run();
    assert_eq!((ran.code, ran.json()["exit_code"].as_i64()), (1, Some(1)));
}

#[test]
fn answers_from_elsewhere_are_shown_and_never_obeyed() {
    for behaviour in [Answer::text(500, EVIL).into(), Answer::text(200, EVIL).into(), Behaviour::Garbage] {
        let running =
            Setup { admin: Routes::all(behaviour.clone()), mitmweb: Routes::all(behaviour), ..Setup::healthy() };
        let ran = running.start().doctor().args(["--format", "text"]).run();
        assert_eq!(ran.code, 3, "{ran:#?}");
        assert_eq!(obeyed(&ran.stdout), [] as [char; 0], "{ran:#?}");
    }
}

#[test]
fn the_version_that_a_server_claims_is_shown_and_never_obeyed() {
    // Only what a header may hold: bytes from 0x80 on.
    let ping =
        Answer::text(200, "OK").header("Api-Version", "1.41").header("Server", "Docker/\u{9b}2J\u{202e} (linux)");
    let mut setup = Setup::healthy();
    setup.engine = setup.engine.on("GET /_ping", ping);
    setup.mitmweb = fakes::mitmweb("10.4.2\u{9b}31m\u{202e}", 3);
    let ran = setup.start().doctor().run();
    assert_eq!(obeyed(&ran.stdout), [] as [char; 0], "{ran:#?}");
}

// ------------------------------------------------------------------------------------------------------------ secrets

/// Where a secret may stand in what the doctor is told; each has the word in it.
fn with_secrets() -> Setup {
    let mut config = fakes::caddy_config();
    config["admin"] = json!({"identity": {"issuers": [{"email": "CANARY"}]}});
    config["apps"]["tls"] = json!({"automation": {"policies": [{"issuers": [{"api_key": "CANARY"}]}]}});
    let server = &mut config["apps"]["http"]["servers"]["srv0"];
    server["tls_connection_policies"] = json!([{"certificate_selection": {"any_tag": ["CANARY"]}}]);
    let route = &mut server["routes"][0];
    route["match"][0]["header"] = json!({"X-Api-Key": ["CANARY"]});
    route["match"][0]["query"] = json!({"key": ["CANARY"]});
    route["handle"] = json!([
        {"handler": "authentication", "providers": {"http_basic": {"accounts": [{"username": "a", "password": "CANARY"}]}}},
        {"handler": "headers", "request": {"set": {"Authorization": ["Bearer CANARY"]}}, "response": {"set": {"Set-Cookie": ["CANARY"]}}},
        {"handler": "reverse_proxy", "upstreams": [{"dial": "mitmproxy:8080"}],
         "headers": {"request": {"set": {"Authorization": ["Basic CANARY"], "Host": ["backend"]}}},
         "transport": {"protocol": "http", "tls": {"client_certificate_key_file": "CANARY"}}},
    ]);
    Setup { admin: fakes::admin(&config), ..Setup::healthy() }
}

/// Puts secrets into what a container was given.
fn give_secrets(container: &mut Value) {
    let args = container["Args"].as_array().unwrap().clone();
    let more = [
        "--set",
        "web_password=CANARY",
        "--set",
        "proxyauth=u:CANARY",
        "--proxyauth",
        "u:CANARY",
        "--upstream-auth",
        "u:CANARY",
        "--certs",
        "CANARY",
        "--password=CANARY",
        "CANARY",
    ];
    container["Args"] = args.into_iter().chain(more.map(Value::from)).collect();
    container["Config"]["Cmd"] = container["Args"].clone();
    container["Config"]["Entrypoint"] = json!(["entry", "--token", "CANARY"]);
    container["Config"]["Env"] = json!([
        "PATH=/bin",
        "TOKEN=CANARY",
        "CADDY_ADMIN_PASSWORD=CANARY",
        "AWS_SECRET_ACCESS_KEY=CANARY",
        "HTTP_PROXY=http://u:CANARY@p:1",
    ]);
    container["Config"]["Labels"] =
        json!({"traefik.http.middlewares.auth.basicauth.users": "u:CANARY", "note": "CANARY"});
    container["Config"]["Healthcheck"] = json!({"Test": ["CMD-SHELL", "curl -u u:CANARY http://127.0.0.1/"]});
    container["HostConfig"]["LogConfig"] = json!({"Type": "splunk", "Config": {"splunk-token": "CANARY"}});
}

/// The lines of all that a run writes which have a secret in them.
fn leaks(doctor: impl Fn() -> Doctor) -> Vec<String> {
    let folder = Folder::new();
    let record = folder.path("facts.json");
    let mut leaks = Vec::new();
    for format in ["text", "short", "json"] {
        let ran = doctor().args(["-vv", "--format", format, "--record"]).args([&record]).run();
        assert!(ran.stderr.contains("GET /containers/json, from here: HTTP 200"), "{ran:#?}");
        let recorded = fs::read_to_string(&record).unwrap();
        for text in [ran.stdout, ran.stderr, recorded] {
            leaks.extend(text.lines().filter(|line| line.contains("CANARY")).map(|line| line.trim().to_owned()));
        }
    }
    leaks.sort();
    leaks.dedup();
    leaks
}

#[test]
fn no_secret_of_a_container_or_a_config_is_in_any_report_or_recording() {
    let running = with_secrets().start_with(|containers| containers.iter_mut().for_each(give_secrets));
    assert_eq!(leaks(|| running.doctor()), [] as [&str; 0]);
}

#[test]
fn no_secret_is_printed_with_the_commands_that_make_a_container_anew() {
    // The console program ends without a terminal; the fix makes its container anew with another program.
    let mut setup = with_secrets();
    let log = "Error: mitmproxy's console interface requires a tty. Please run mitmproxy in an interactive shell environment.";
    setup.engine = setup.engine.on(&format!("GET /containers/{}/logs", id("mitmproxy")), fakes::log(log));
    let running = setup.start_with(|containers| {
        containers[1]["Path"] = json!("mitmproxy");
        end(&mut containers[1], 1);
        give_secrets(&mut containers[1]);
        // Options of a log cannot be carried over, and then no command is printed.
        containers[1]["HostConfig"].as_object_mut().unwrap().remove("LogConfig");
    });
    assert!(running.doctor().run().stdout.contains("docker create --name mitmproxy"));
    assert_eq!(leaks(|| running.doctor()), [] as [&str; 0]);
}

#[test]
fn no_secret_of_a_log_or_a_health_check_is_in_any_report_or_recording() {
    let mut all = Vec::new();
    for line in [
        "Web server listening at http://0.0.0.0:8081/?token=CANARY",
        "Authorization: Bearer CANARY",
        "Cookie: theme=dark; session=CANARY",
        r#"{"level":"error","password":"CANARY"}"#,
        r#"{"headers":{"Authorization":["Bearer CANARY"]}}"#,
        r#"headers={'authorization': 'Bearer CANARY'}"#,
        "connecting to postgres://app:CANARY@db:5432/app failed",
        "fetching https://CANARY@example.test/ failed",
        "AWS_SECRET_ACCESS_KEY=CANARY not accepted",
        "PASSWORD = CANARY",
    ] {
        let mut setup = Setup::healthy();
        let log = format!("GET /private/CANARY\n{line}");
        setup.engine = setup.engine.on(&format!("GET /containers/{}/logs", id("backend")), fakes::log(&log));
        let running = setup.start_with(|containers| {
            containers[1]["State"]["Health"] =
                json!({"Status": "unhealthy", "FailingStreak": 3, "Log": [{"ExitCode": 1, "Output": line}]});
            end(&mut containers[2], 1);
            containers[2]["State"]["Error"] = json!(line);
        });
        all.extend(leaks(|| running.doctor()));
    }
    assert_eq!(all, [] as [&str; 0]);
}

#[test]
fn no_secret_of_an_address_is_in_any_report_or_recording() {
    let running = Setup::healthy().start();
    let with_user = |server: &Server| format!("//user:CANARY@127.0.0.1:{}", server.port);
    let doctor = || {
        Doctor::new()
            .env("DOCKER_HOST", format!("tcp:{}", with_user(&running.engine)))
            .args(["--caddy", &format!("http:{}", with_user(&running.admin))])
            .args(["--mitmproxy", &format!("http:{}", with_user(&running.mitmweb))])
    };
    assert_eq!(leaks(doctor), [] as [&str; 0]);
}
