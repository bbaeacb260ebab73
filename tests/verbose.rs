//! What is told on standard error while the doctor asks: `-v`, `-vv`, and the line on a terminal that names what is being
//! waited for.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod fakes;

use std::{path::Path, time::Duration};

use fakes::{Answer, Behaviour, Doctor, Ran, Setup};
use serde_json::json;

fn recording() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setups/two-networks.json")
}

/// The lines without their times.
fn told(ran: &Ran) -> Vec<&str> {
    ran.stderr.lines().map(|line| line.split_once(" ms  ").map_or(line, |(_, rest)| rest)).collect()
}

/// Whether a line is that, up to the time that it took.
fn tells(ran: &Ran, line: &str) -> bool {
    told(ran).iter().any(|own| own.starts_with(line))
}

fn assert_tells(ran: &Ran, lines: &[&str]) {
    for line in lines {
        assert!(tells(ran, line), "`{line}` is not told:\n{}", ran.stderr);
    }
}

#[test]
fn with_v_every_question_is_told_with_its_place_its_way_and_its_time() {
    let running = Setup::healthy().start();
    let quiet = running.doctor().args(["--format", "short"]).run();
    let ran = running.doctor().args(["-v", "--format", "short"]).run();
    assert_eq!((ran.code, &ran.stdout, quiet.stderr.as_str()), (0, &quiet.stdout, ""));
    assert_tells(
        &ran,
        &[
            &format!("GET /_ping at tcp://127.0.0.1:{}, from here: HTTP 200, 2 bytes (", running.engine.port),
            "GET /containers/json, from here: HTTP 200, ",
            "the listeners of this machine, from here: done (",
            "no way to caddy, from inside caddy: entering the network namespace of caddy: ",
            &format!(
                "GET http://127.0.0.1:{}/config/, over the published port of caddy: HTTP 200, ",
                running.admin.port
            ),
            &format!(
                "GET http://127.0.0.1:{}/options, over the published port of mitmproxy: HTTP 200, ",
                running.mitmweb.port
            ),
            "nothing is seen by docker exec mitmproxy: docker exec mitmproxy sh: HTTP 404",
        ],
    );
    // Each line is its time since the start, and what happened.
    for line in ran.stderr.lines() {
        let (time, rest) = line.split_once(" ms  ").unwrap_or_else(|| panic!("`{line}` has no time"));
        assert!(time.trim_start().parse::<u64>().is_ok() && !rest.is_empty(), "{line}");
    }
    assert!(!tells(&ran, "asking ") && !tells(&ran, "here is "), "{}", ran.stderr);
}

#[test]
fn with_vv_it_is_told_when_a_question_begins_and_what_was_made_of_the_answers() {
    let running = Setup::healthy().start();
    let ran = running.doctor().args(["-vv"]).run();
    let endpoint = format!("tcp://127.0.0.1:{}", running.engine.port);
    assert_tells(
        &ran,
        &[
            &format!("the engine is looked for at {endpoint}, by DOCKER_HOST"),
            "asking GET /containers/json, from here",
            "GET /containers/json, from here: HTTP 200, ",
            "here is the host",
            "caddy is a Caddy; its place is caddy",
            "the path of *.example.test, before anything is tried: client -> caddy -> mitmproxy:8080 -> backend:3000",
        ],
    );
    let at = |words: &str| told(&ran).iter().position(|line| line.starts_with(words)).unwrap();
    assert!(at("asking GET /networks, from here") < at("GET /networks, from here: "), "{}", ran.stderr);
    let variable = running.doctor().env("DOCTOR_VERBOSE", "2").run();
    assert!(tells(&variable, "asking GET /networks, from here"), "{}", variable.stderr);
}

#[test]
fn a_question_that_is_not_answered_says_why() {
    let mut setup = Setup::healthy();
    setup.mitmweb = setup.mitmweb.on("GET /options", Behaviour::Hang);
    setup.admin = setup.admin.on("GET /config/", Behaviour::Refuse);
    let running = setup.start();
    let ran = running.doctor().args(["-v", "--timeout", "2s"]).run();
    let options =
        format!("GET http://127.0.0.1:{}/options, over the published port of mitmproxy", running.mitmweb.port);
    let config = format!("GET http://127.0.0.1:{}/config/, over the published port of caddy", running.admin.port);
    assert_tells(&ran, &[&format!("{options}: failed: no answer in 0.8 s ("), &format!("{config}: failed: ")]);
    assert_tells(&ran, &["no way to caddy, over the published port of caddy: GET http://127.0.0.1:"]);
}

#[test]
fn what_a_container_sees_is_told_when_it_comes_by_exec() {
    let script = r"printf 'doctor\nname mitmproxy 2\nname backend 0 192.0.2.9\nconnect backend:3000 refused\n'";
    let exec = Behaviour::Exec(["sh", "-c", script].map(str::to_owned).to_vec(), Vec::new());
    let mut setup = Setup::healthy();
    for name in ["caddy", "mitmproxy"] {
        let created = Answer::json(&json!({"Id": "e1"})).with_status(201);
        setup.engine = setup.engine.on(&format!("POST /containers/{name}/exec"), created);
    }
    setup.engine = setup.engine.on("POST /exec/e1/start", exec);
    let ran = setup.start().doctor().args(["-v"]).run();
    assert_tells(
        &ran,
        &[
            "docker exec mitmproxy sh, from here: it printed ",
            "the name mitmproxy, by docker exec caddy: no such name",
            "the name backend, by docker exec mitmproxy: 192.0.2.9",
            "a connection to backend:3000, by docker exec mitmproxy: refused",
        ],
    );
}

#[test]
fn a_password_that_goes_by_exec_is_in_no_line() {
    let exec = Behaviour::Exec(["printf", r"403\nmitmproxy 11.1.3\n"].map(str::to_owned).to_vec(), Vec::new());
    let mut setup = Setup::healthy();
    let created = Answer::json(&json!({"Id": "e1"})).with_status(201);
    setup.engine = setup.engine.on("POST /containers/mitmproxy/exec", created).on("POST /exec/e1/start", exec);
    let running = setup.start_with(|containers| containers[1]["HostConfig"]["PortBindings"] = json!({}));
    let ran = running.doctor().env("DOCTOR_WEB_PASSWORD", "CANARY").args(["-vv"]).run();
    let given = |request: &fakes::Request| String::from_utf8_lossy(&request.body).contains("CANARY");
    assert!(running.engine.requests().iter().any(given), "the engine was not given it: {ran:#?}");
    assert!(!ran.stderr.contains("CANARY"), "{ran:#?}");
    assert_tells(
        &ran,
        &[
            "no way to mitmproxy, over the published port of mitmproxy: there is none from here",
            "GET http://127.0.0.1:8081/options by docker exec mitmproxy: HTTP 403, 0 bytes (",
        ],
    );
}

#[test]
fn a_recording_is_judged_without_a_question() {
    let ran = Doctor::new().args(["-vv", "--replay"]).args([recording()]).run();
    assert_eq!(told(&ran), [format!("{} is judged; nothing is asked", recording().display())]);
    let demo = Doctor::new().args(["demo", "-v"]).run();
    assert_eq!(told(&demo), ["a recording that is built in is judged; nothing is asked"]);
    let plan = Doctor::new().args(["fix", "-v", "--replay"]).args([recording()]).run();
    assert_eq!(told(&plan), [format!("{} is judged; nothing is asked", recording().display())]);
}

#[test]
fn fix_tells_what_it_asks_and_changes() {
    let mut setup = Setup::healthy();
    let start = format!("POST /containers/{}/start", fakes::id("backend"));
    setup.engine = setup.engine.on(&start, Answer::text(204, ""));
    let running = setup.start_with(|containers| containers[2]["State"]["Status"] = json!("exited"));
    let arguments = ["fix", "--yes", "-v", "--caddy", "caddy", "--mitmproxy", "mitmproxy"];
    let ran = Doctor::at(&running.engine).args(arguments).run();
    assert!(running.engine.asked().contains(&start), "{ran:#?}");
    assert_tells(&ran, &["GET /containers/json, from here: HTTP 200", "starting backend, from here: done ("]);
}

#[test]
fn nobody_has_to_listen() {
    let running = Setup::healthy().start();
    let heard = running.doctor().args(["-vv"]).run();
    let unheard = running.doctor().args(["-vv"]).run_unheard();
    assert_eq!((unheard.code, unheard.stdout.lines().next()), (heard.code, heard.stdout.lines().next()));
}

#[test]
fn what_comes_from_elsewhere_is_one_line_that_no_terminal_obeys() {
    let running = Setup::healthy().start_with(|containers| {
        containers[2]["Name"] = json!("/b\u{1b}[2J\n::error::\u{202e}token=CANARY");
    });
    let ran = running.doctor().args(["-vv"]).run();
    let obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!ran.stderr.contains(obeyed) && !ran.stderr.contains("CANARY"), "{ran:#?}");
    assert!(!ran.stderr.lines().any(|line| line.starts_with("::")), "{ran:#?}");
    // What a terminal would obey is taken out before secrets are looked for, the rest is shown.
    assert!(ran.stderr.contains(r"::error::\u{202e}token=<left out>"), "{ran:#?}");
}

// ---------------------------------------------------------------------------------------------------------- a terminal

/// A setup whose Caddy takes its time.
#[cfg(target_os = "linux")]
fn slow() -> fakes::Running {
    let mut setup = Setup::healthy();
    let slowly = Behaviour::Slow(Duration::from_millis(800), Answer::json(&fakes::caddy_config()));
    setup.admin = setup.admin.on("GET /config/", slowly);
    setup.start()
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_a_line_names_what_is_waited_for_and_is_erased() {
    let running = slow();
    let ran = running.doctor().env("TERM", "xterm").run_at_terminal();
    let waits =
        format!("s, waiting for GET http://127.0.0.1:{}/config/, over the published port of caddy", running.admin.port);
    assert!(ran.stderr.contains(&waits), "{ran:#?}");
    // Each is written over the one before, never wrapped, and nothing is left of the last.
    assert!(ran.stderr.ends_with("\x1b[K\x1b[?7h\r\x1b[K") && !ran.stderr.contains('\n'), "{ran:#?}");
    assert!(ran.code == 0 && !ran.stdout.contains("waiting"), "{ran:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_quick_run_draws_nothing_on_a_terminal() {
    let ran = Doctor::new().env("TERM", "xterm").run_at_terminal();
    assert_eq!(ran.stderr, "", "{ran:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn where_nobody_can_see_it_or_lines_are_told_no_line_is_drawn() {
    let running = slow();
    let doctors = [
        ("no TERM", running.doctor()),
        ("a dumb terminal", running.doctor().env("TERM", "dumb")),
        ("CI", running.doctor().env("TERM", "xterm").env("CI", "true")),
    ];
    for (what, doctor) in doctors {
        assert_eq!(doctor.run_at_terminal().stderr, "", "{what}");
    }
    let told = running.doctor().env("TERM", "xterm").args(["-v"]).run_at_terminal();
    assert!(!told.stderr.contains("waiting for") && told.stderr.contains("/config/"), "{told:#?}");
    let piped = running.doctor().env("TERM", "xterm").run();
    assert_eq!(piped.stderr, "");
}
