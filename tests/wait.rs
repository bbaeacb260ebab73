//! `--wait` in front of setups whose answers change from look to look.
#![cfg(unix)]

mod fakes;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use fakes::{Answer, Behaviour, Doctor, RefusingPort, Request, Running, Setup, admin, mitmweb};
use serde_json::{Value, json};

/// Much longer than a test may take: who waits for all of it has failed.
const LONG: &str = "60s";

fn waiting(running: &Running, wait: &str) -> Doctor {
    running.doctor().args(["--wait", wait])
}

fn looks(count: &Arc<AtomicUsize>) -> usize {
    count.load(Ordering::SeqCst)
}

fn is_created(container: &mut Value) {
    container["State"]["Status"] = json!("created");
    container["State"]["Running"] = json!(false);
}

/// Containers of which the backend is only created in the first looks.
fn backend_comes_up_in(look: usize) -> impl Fn(usize, &mut Vec<Value>) {
    move |now, containers| {
        if now < look {
            is_created(&mut containers[2]);
        }
    }
}

/// A Caddy that dials something else than mitmproxy's port.
fn dialling(dial: &str) -> Setup {
    let config = json!({"apps": {"http": {"servers": {"srv0": {"listen": [":80"], "routes": [{
        "match": [{"host": ["*.example.test"]}],
        "handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": dial}]}],
    }]}}}}});
    Setup { admin: admin(&config), ..Setup::healthy() }
}

/// An engine whose clock says this; its containers were started at 03:04:05.6 of the second of January.
fn clock(time: &str) -> fakes::Routes {
    let info = json!({"Architecture": "x86_64", "OperatingSystem": "Debian GNU/Linux 12", "SystemTime": time});
    fakes::Routes::default().on("GET /info", Answer::json(&info))
}

#[test]
fn a_healthy_setup_is_looked_at_once_and_nothing_is_said() {
    let (running, count) = Setup::healthy().start_changing(|_, _| {});
    let report = waiting(&running, LONG).report();
    assert_eq!((report.ran.code, report.ran.stderr.as_str(), looks(&count)), (0, "", 1), "{report}");
}

#[test]
fn what_comes_up_is_waited_for_and_said_once() {
    let (running, count) = Setup::healthy().start_changing(backend_comes_up_in(3));
    let report = waiting(&running, LONG).report();
    assert_eq!((report.ran.code, looks(&count)), (0, 4), "{report}");
    assert_eq!(report.ran.stderr, "doctor: waiting for container-health: backend was created and never started\n");
    assert_eq!(report.value["status"], "pass", "{report}");
}

#[test]
fn each_change_of_what_is_waited_for_is_said() {
    let (running, count) = Setup::healthy().start_changing(|look, containers| match look {
        0 | 1 => is_created(&mut containers[2]),
        2 => is_created(&mut containers[0]),
        _ => {}
    });
    let report = waiting(&running, LONG).report();
    assert_eq!((report.ran.code, looks(&count)), (0, 4), "{report}");
    let lines: Vec<&str> = report.ran.stderr.lines().collect();
    let line = |name: &str| format!("doctor: waiting for container-health: {name} was created and never started");
    assert_eq!(lines, [line("backend"), line("caddy")], "{report}");
}

#[test]
fn what_is_waited_for_is_no_part_of_the_report() {
    let (running, _) = Setup::healthy().start_changing(backend_comes_up_in(1));
    let ran = waiting(&running, LONG).args(["--format", "text"]).run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.stdout.matches("client ").count(), 1, "{ran:#?}");
    assert!(!ran.stdout.contains("waiting for"), "{ran:#?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:#?}");
}

#[test]
fn a_setup_that_is_not_there_yet_is_waited_for() {
    let (running, count) = Setup::healthy().start_changing(|look, containers| {
        if look == 0 {
            containers.truncate(1);
        }
    });
    let report = waiting(&running, LONG).report();
    assert_eq!((report.ran.code, looks(&count)), (0, 2), "{report}");
    let line = "doctor: waiting for setup-found: there is no container or address `mitmproxy` for --mitmproxy\n";
    assert_eq!(report.ran.stderr, line);
}

#[test]
fn a_wrong_dial_ends_the_waiting_at_the_first_look() {
    let (running, count) = dialling("mitmproxy:8081").start_changing(|_, _| {});
    let report = waiting(&running, LONG).report();
    assert_eq!((report.ran.code, looks(&count)), (1, 1), "{report}");
    assert_eq!(
        report.ran.stderr,
        "doctor: not waiting, this does not heal by itself: caddy-dial: caddy dials mitmproxy:8081, which is mitmproxy's \
         web interface, not its proxy\n"
    );
}

#[test]
fn a_wrong_dial_ends_the_waiting_also_while_others_are_starting() {
    for starting in [1, 2] {
        let (running, count) = dialling("http://mitmproxy:8080")
            .start_changing(move |_, containers| is_created(&mut containers[starting]));
        let report = waiting(&running, LONG).report();
        assert_eq!((report.ran.code, looks(&count)), (1, 1), "{report}");
        assert!(report.ran.stderr.contains("this does not heal by itself: caddy-dial: "), "{report}");
        // Nothing that starts later explains it.
        let causes = report.value["root_causes"].as_array().unwrap();
        assert!(causes.iter().any(|cause| cause["check"] == "caddy-dial"), "{report}");
    }
}

#[test]
fn what_one_look_caught_half_way_is_looked_at_again() {
    // In the first look mitmproxy has just been started, and is not on Caddy's network yet.
    let setup = || Setup { engine: clock("2026-01-02T03:04:09Z"), ..Setup::healthy() };
    let apart = |containers: &mut Vec<Value>| {
        let other = containers[1]["NetworkSettings"]["Networks"]["app-net"].take();
        containers[1]["NetworkSettings"]["Networks"] = json!({ "other-net": other });
        containers[1]["HostConfig"]["NetworkMode"] = json!("other-net");
    };
    let (running, count) = setup().start_changing(move |look, containers| {
        if look == 0 {
            apart(containers);
        }
    });
    let report = waiting(&running, LONG).report();
    assert_eq!((report.ran.code, looks(&count), report.ran.stderr.as_str()), (0, 2, ""), "{report}");

    let (running, count) = setup().start_changing(move |_, containers| apart(containers));
    let report = waiting(&running, LONG).report();
    assert_eq!((report.ran.code, looks(&count)), (1, 2), "{report}");
    assert!(report.ran.stderr.contains("this does not heal by itself: shared-network: "), "{report}");
}

#[test]
fn an_api_that_answers_later_is_waited_for_while_its_container_is_young() {
    let asked = Arc::new(AtomicUsize::new(0));
    let healthy = mitmweb("10.4.2", 3);
    let slow = move |time: &str| {
        let (asked, healthy) = (Arc::clone(&asked), healthy.clone());
        asked.store(0, Ordering::SeqCst);
        Setup {
            mitmweb: fakes::Routes::any(move |request: &Request| {
                let options = usize::from(request.route == "GET /options");
                if asked.fetch_add(options, Ordering::SeqCst) < 2 { Behaviour::Refuse } else { healthy.of(request) }
            }),
            engine: clock(time),
            ..Setup::healthy()
        }
    };
    let (running, _) = slow("2026-01-02T03:04:09Z").start_changing(|_, _| {});
    let report = waiting(&running, LONG).report();
    assert_eq!(report.ran.code, 0, "{report}");
    assert!(report.ran.stderr.starts_with("doctor: waiting for mitmweb-api: mitmweb of mitmproxy does not answer"));

    // One that runs since yesterday and cannot be asked is not waited for.
    let (running, count) = slow("2026-01-03T03:04:09Z").start_changing(|_, _| {});
    let report = waiting(&running, LONG).report();
    assert_eq!((report.ran.code, looks(&count), report.ran.stderr.as_str()), (3, 1, ""), "{report}");
}

#[test]
fn a_password_that_is_wanted_is_not_waited_for() {
    let setup = Setup { mitmweb: fakes::mitmweb_behind("12.2.3", 3, |_| false), ..Setup::healthy() };
    let (running, count) = setup.start_changing(|_, _| {});
    let report = waiting(&running, LONG).report();
    assert_eq!((report.ran.code, looks(&count), report.ran.stderr.as_str()), (3, 1, ""), "{report}");
}

#[test]
fn when_the_time_is_up_the_report_is_what_was_seen_last() {
    let (running, count) = Setup::healthy().start_changing(backend_comes_up_in(usize::MAX));
    let report = waiting(&running, "1200ms").report();
    assert_eq!(report.ran.code, 1, "{report}");
    let lines: Vec<&str> = report.ran.stderr.lines().collect();
    let created = "container-health: backend was created and never started";
    assert_eq!(
        lines,
        [format!("doctor: waiting for {created}"), format!("doctor: 1.2 s are up, and this is left: {created}")]
    );
    // At 0, 0.5 and 1.2 s; a slow machine may have no time for the one between.
    assert!((2..=3).contains(&looks(&count)), "{report}");
    assert!(report.ran.took >= Duration::from_millis(1200), "{report}");
    assert_eq!(report.check("container-health")["findings"][0]["may_heal"], true, "{report}");
}

#[test]
fn an_engine_that_is_not_there_is_waited_for() {
    let ran = Doctor::new().args(["--wait", "600ms", "--format", "json"]).run();
    let value = ran.json();
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(lines[0].starts_with("doctor: waiting for docker-engine: there is no Docker engine at "), "{ran:#?}");
    assert!(lines[1].starts_with("doctor: 0.6 s are up, and this is left: docker-engine: "), "{ran:#?}");
    assert_eq!((value["exit_code"].as_i64(), ran.code, lines.len()), (Some(1), 1, 2), "{ran:#?}");
}

#[test]
fn an_address_that_is_expected_may_come_up() {
    let port = RefusingPort::new();
    let (running, _) = Setup::healthy().start_changing(|_, _| {});
    let expected = format!("127.0.0.1:{}", port.port);
    let report = waiting(&running, "600ms").args(["--expect", &expected]).report();
    assert_eq!(report.ran.code, 1, "{report}");
    assert!(report.ran.stderr.starts_with("doctor: waiting for vantage: "), "{report}");
    assert_eq!(report.ran.stderr.lines().count(), 2, "{report}");
}

#[test]
fn warnings_are_waited_for_with_strict_only() {
    let unhealthy_yet = |look: usize, containers: &mut Vec<Value>| {
        let health = json!({"Status": "starting", "FailingStreak": 1, "Log": [{"ExitCode": 1, "Output": "refused"}]});
        if look == 0 {
            containers[2]["State"]["Health"] = health;
        }
    };
    let (running, count) = Setup::healthy().start_changing(unhealthy_yet);
    let report = waiting(&running, LONG).report();
    assert_eq!((report.ran.code, looks(&count), report.ran.stderr.as_str()), (0, 1, ""), "{report}");
    assert_eq!(report.value["status"], "warn", "{report}");

    let (running, count) = Setup::healthy().start_changing(unhealthy_yet);
    let report = waiting(&running, LONG).args(["--strict"]).report();
    assert_eq!((report.ran.code, looks(&count)), (0, 2), "{report}");
    let line = "doctor: waiting for container-health: backend runs, and its health check has not passed yet\n";
    assert_eq!(report.ran.stderr, line);
}

#[test]
fn marked_requests_are_sent_by_the_first_look_and_the_last_only() {
    let counts = |running: &Running| {
        let asked = running.mitmweb.asked();
        asked.iter().filter(|route| *route == "POST /commands/view.properties.length").count()
    };
    let (running, count) = Setup::healthy().start_changing(|_, _| {});
    running.doctor().args(["--probe"]).run();
    let (each, one_look) = (counts(&running), looks(&count));
    assert!(each > 1 && one_look == 1, "a look that sends some counts the flows more often than once");

    let (running, count) = Setup::healthy().start_changing(backend_comes_up_in(3));
    let ran = waiting(&running, LONG).args(["--probe"]).run();
    assert!(ran.stderr.starts_with("doctor: waiting for container-health: "), "{ran:#?}");
    assert_eq!((looks(&count), counts(&running)), (5, 2 * each + 3), "{ran:#?}");
}

#[test]
fn names_from_elsewhere_are_escaped() {
    let (running, _) = Setup::healthy().start_changing(|look, containers| {
        containers[2]["Name"] = json!("/back\u{1b}[31mend");
        containers[2]["NetworkSettings"]["Networks"]["app-net"]["Aliases"] = json!(["backend"]);
        if look == 0 {
            is_created(&mut containers[2]);
        }
    });
    let report = waiting(&running, LONG).report();
    assert_eq!(report.ran.code, 0, "{report}");
    assert!(report.ran.stderr.contains("back\\u{1b}[31mend was created") && !report.ran.stderr.contains('\u{1b}'));
}

#[test]
fn the_recording_is_of_the_last_look() {
    let (running, _) = Setup::healthy().start_changing(backend_comes_up_in(1));
    let doctor = waiting(&running, LONG);
    let folder = fakes::Folder::new();
    let facts = folder.path("facts.json");
    let ran = doctor.args(["--record", facts.to_str().unwrap()]).run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let replayed = Doctor::new().args(["--replay", facts.to_str().unwrap(), "--skip", "backend-reachable"]).run();
    assert_eq!(replayed.code, 0, "{replayed:#?}");
}

#[test]
fn what_was_recorded_does_not_change() {
    let ran = Doctor::new().args(["--wait", "5s", "--replay", "facts.json"]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:#?}");
    assert!(ran.stderr.contains("--wait") && ran.stderr.contains("--replay"), "{ran:#?}");
    let ran = Doctor::new().args(["--wait", "5 years"]).run();
    assert_eq!(ran.code, 2, "{ran:#?}");
}

#[test]
fn the_variable_does_as_the_option() {
    let (running, count) = Setup::healthy().start_changing(backend_comes_up_in(1));
    let report = running.doctor().env("DOCTOR_WAIT", LONG).report();
    assert_eq!((report.ran.code, looks(&count)), (0, 2), "{report}");
}
