//! `doctor report`: what it tells, what it leaves out, and that it is the same from a recording.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod fakes;

use std::{
    fs,
    path::{Path, PathBuf},
};

use fakes::{Answer, Doctor, Folder, Ran, Running, Setup, id};
use pulldown_cmark::{Event, Options, Parser, Tag};
use serde_json::{Value, json};

/// What an issue of GitHub takes is 65,536; the report promises less.
const LONGEST: usize = 60_000;

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setups");
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    all.sort();
    assert!(all.len() > 40, "recordings are missing");
    all
}

fn recording(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/setups/{name}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The report that a recording gives, which must be written.
fn replayed(path: &Path) -> String {
    written(Doctor::new().args(["report", "--replay"]).args([path]).run())
}

fn written(ran: Ran) -> String {
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    assert!(ran.stdout.len() <= LONGEST, "{} bytes", ran.stdout.len());
    let _ = outside_of_code(&ran.stdout);
    for event in Parser::new_ext(&ran.stdout, Options::ENABLE_TABLES) {
        match event {
            Event::Html(html) | Event::InlineHtml(html) => {
                let ours = ["<details>", "</details>", "<summary>", "<!-- Read this before you give it away"];
                assert!(ours.iter().any(|own| html.starts_with(own)), "{html}");
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => panic!("a link to {dest_url}"),
            _ => {}
        }
    }
    ran.stdout
}

/// The lines that are not in a block of code. Every block, comment and fold must be closed, in order.
fn outside_of_code(markdown: &str) -> Vec<&str> {
    let (mut fence, mut folds, mut outside) = (None::<&str>, 0, Vec::new());
    for line in markdown.lines() {
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        match fence {
            Some(open) => {
                if ticks.len() >= open.len() && ticks == line {
                    fence = None;
                }
            }
            None if ticks.len() >= 3 && !line[ticks.len()..].contains('`') => fence = Some(ticks),
            None => {
                match line {
                    "<details>" => folds += 1,
                    "</details>" => folds -= 1,
                    _ => {}
                }
                assert!(folds == 0 || folds == 1, "{markdown}");
                outside.push(line);
            }
        }
    }
    assert_eq!((fence, folds), (None, 0), "not closed:\n{markdown}");
    outside
}

fn with_log(mut setup: Setup, container: &str, log: &str) -> Setup {
    setup.engine = setup.engine.on(&format!("GET /containers/{}/logs", id(container)), fakes::log(log));
    setup
}

fn with_events(mut setup: Setup, events: &[(&str, &str)]) -> Setup {
    let events: Vec<Value> = events
        .iter()
        .enumerate()
        .map(|(id, (level, message))| json!({"id": id, "level": level, "message": message}))
        .collect();
    setup.mitmweb = setup.mitmweb.on("GET /events", Answer::json(&Value::Array(events)));
    setup
}

fn report_of(running: &Running) -> Doctor {
    running.doctor_of("report")
}

// ------------------------------------------------------------------------------------------------------------ recordings

#[test]
fn every_recording_gives_a_report_with_the_verdict_and_the_root_cause_first() {
    for path in recordings() {
        let report = replayed(&path);
        let json = Doctor::new().args(["--format", "json", "--replay"]).args([&path]).run().json();
        let lines = outside_of_code(&report);
        assert!(
            lines[0].starts_with("<!-- Read this before you give it away") && lines[0].ends_with("-->"),
            "{report}"
        );
        let verdict = lines.iter().find(|line| line.starts_with("## ")).unwrap();
        assert!(verdict.contains(&format!(" {}: ", json["status"].as_str().unwrap())), "{path:?}: {verdict}");
        let titles: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("### ")).collect();
        if let Some(cause) = json["root_causes"].get(0) {
            let check = cause["check"].as_str().unwrap();
            assert!(titles[0].contains(&format!(" {check}: ")), "{path:?}: {titles:?}");
        }
        assert!(titles.ends_with(&["Versions", "How to see it again"]), "{path:?}: {titles:?}");
    }
}

#[test]
fn what_a_recording_lacks_is_said() {
    let path = recordings().into_iter().find(|path| path.ends_with("two-networks.json")).unwrap();
    let report = replayed(&path);
    assert!(report.contains("The recording has no logs"), "{report}");
    assert!(report.contains("\ndoctor report --replay two-networks.json\n"), "{report}");
}

// -------------------------------------------------------------------------------------------------------- logs and events

#[test]
fn logs_are_read_for_a_report_only() {
    let running = Setup::healthy().start();
    running.doctor().report();
    let logs = |running: &Running| running.engine.asked().into_iter().filter(|asked| asked.ends_with("/logs")).count();
    assert_eq!(logs(&running), 0);
    written(report_of(&running).run());
    assert_eq!(logs(&running), 3);
}

#[test]
fn the_attached_recording_gives_the_same_report() {
    let caddy = concat!(
        r#"2026-11-24T13:19:01.5Z {"level":"error","logger":"http.log.error","msg":"EOF","request":{"uri":"/x"},"status":502}"#,
        "\n2026-11-24T13:19:02.5Z {\"level\":\"info\",\"msg\":\"serving initial configuration\"}\n",
    );
    let failed = "[15:45:36.891][172.18.0.9:1] error establishing server connection: [Errno 111] Connect call failed";
    let setup = with_events(Setup::healthy(), &[("info", failed), ("info", "[15:45:36.900] client disconnect")]);
    let setup = with_log(with_log(setup, "caddy", caddy), "backend", "2026-11-24T13:19:03.5Z listening on 3000\n");
    let running = setup.start_with(|containers| {
        containers[0]["Config"]["Labels"] =
            json!({"com.docker.compose.project": "p", "com.docker.compose.version": "2.27.0"});
    });
    let folder = Folder::new();
    let attached = folder.path("facts.json");
    let report = written(report_of(&running).args(["--attach"]).args([&attached]).run());
    for words in [
        "2026-11-24T13:19:01Z error http.log.error: EOF (status 502)\n",
        "15:45:36.891 error establishing server connection: [Errno 111] Connect call failed\n",
        "2026-11-24T13:19:03Z listening on 3000\n",
        "| compose | 2.27.0 |",
        "| engine | docker 20.10.24 (API 1.41), at ",
        "doctor report --caddy caddy --mitmproxy mitmproxy --skip backend-reachable\n",
        "doctor report --replay facts.json --skip backend-reachable\n",
    ] {
        assert!(report.contains(words), "`{words}` is not in\n{report}");
    }
    for words in ["initial configuration", "client disconnect", folder.path("").to_str().unwrap()] {
        assert!(!report.contains(words), "`{words}` is in\n{report}");
    }
    drop(running);
    let again = Doctor::new().args(["report", "--skip", "backend-reachable", "--replay"]).args([&attached]).run();
    assert_eq!(written(again), report);
    // And once more, from a copy that the replay wrote.
    let copy = folder.path("copy/facts.json");
    fs::create_dir(folder.path("copy")).unwrap();
    let again = Doctor::new().args(["report", "--skip", "backend-reachable", "--replay"]).args([&attached]);
    assert_eq!(written(again.args(["--attach"]).args([&copy]).run()), report);
    assert_eq!(fs::read_to_string(copy).unwrap(), fs::read_to_string(attached).unwrap());
}

#[test]
fn no_secret_of_a_log_or_an_event_is_told_or_recorded() {
    let caddy = concat!(
        r#"{"level":"error","logger":"http.log.error","msg":"Get \"http://u:CANARY@b:1/?token=CANARY\": EOF","request":{"uri":"/?token=CANARY","headers":{"Authorization":["Basic CANARY1"],"Cookie":["s=CANARY"],"X-Own":["CANARY"]}},"status":502}"#,
        "\n",
        r#"{"level":"error","logger":"tls.obtain","msg":"will retry","error":"api_token=CANARY refused","account":"CANARY"}"#,
        "\n2026/11/24 13:19:03.123\tERROR\thttp.log.error\tEOF\t{\"request\": {\"headers\": {\"X-Own\": [\"CANARY\"]}}}\n",
        r#"{"level":"error","msg":"cut","request":{"headers":{"X-Own":["CANARY"#,
    );
    let mitmproxy = "\
[15:45:13.668] Web server listening at http://0.0.0.0:8081/?token=CANARY
172.18.0.9:51272: GET http://backend:3000/error/CANARY?x=CANARY
    X-Own: error CANARY
 << 500 Internal Server Error CANARY
[15:45:14.000] error: upstream http://user:CANARY@proxy:1 failed
";
    let backend = "\
GET /reset?CANARY HTTP/1.1
Authorization: Bearer CANARY
Set-Cookie: session=CANARY; Path=/
{\"password\": \"CANARY\", \"headers\": {\"cookie\": \"a=CANARY\"}}
connecting to postgres://app:CANARY@db:5432/app
--password CANARY
token \u{1b}[1meyJCANARYCANARY.CANARY.CANARY\u{1b}[0m accepted
-----BEGIN PRIVATE KEY-----
CANARY
-----END PRIVATE KEY-----
";
    let events = [("error", "Addon error: Cookie: a=CANARY"), ("warn", "[15:45:13.668] http://h/?token=CANARY")];
    let setup = with_log(with_log(with_events(Setup::healthy(), &events), "mitmproxy", mitmproxy), "backend", backend);
    let running = with_log(setup, "caddy", caddy).start();
    let folder = Folder::new();
    let (attached, password) = (folder.path("facts.json"), folder.file("CANARY-file", "CANARY\n"));
    let doctor =
        report_of(&running).args(["--attach"]).args([&attached]).args(["--web-password-file"]).args([&password]);
    let report = written(doctor.run());
    assert!(report.contains("with mitmweb's password, which is left out here"), "{report}");
    assert!(report.contains("tls.obtain: will retry") && report.contains("GET /reset?<left out> HTTP/1.1"), "{report}");
    for text in [report, fs::read_to_string(attached).unwrap()] {
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("CANARY")).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

/// What is in a flow is in no report, however mitmproxy was recognised.
#[test]
fn flows_are_not_told() {
    let log = "\
172.18.0.9:51272: GET http://backend:3000/CANARY
    X-Own: CANARY
 << 200 OK CANARY
[15:45:14.000] error establishing server connection: refused
";
    let running = with_log(Setup::healthy(), "mitmproxy", log).start_with(|containers| {
        let start = &mut containers[1];
        (start["Path"], start["Args"]) = (json!("/start.sh"), json!([]));
        start["Config"]["Cmd"] = json!(["/start.sh"]);
    });
    let report = written(report_of(&running).run());
    assert!(report.contains("error establishing server connection: refused"), "{report}");
    assert!(!report.contains("CANARY"), "{report}");
}

#[test]
fn a_huge_log_is_read_from_its_end() {
    let many: String = (0..200_000).map(|at| format!("line {at} of the backend\n")).collect();
    let running =
        with_log(Setup::healthy(), "backend", &format!("password={}\n{many}", "CANARY".repeat(50_000))).start();
    let report = written(report_of(&running).run());
    assert!(report.contains("line 199999 of the backend") && !report.contains("line 199979 of"), "{report}");
    assert!(!report.contains("CANARY"), "{report}");
}

#[test]
fn hostile_lines_stay_in_their_block() {
    let hostile = "```\n</details>\n<script>alert(1)</script> @everyone \u{1b}[31m\u{202e}\n````\n<!-- x\n::error::x\n";
    let long = "x".repeat(100_000);
    let running = with_log(Setup::healthy(), "backend", &format!("{long}\n{hostile}")).start();
    let report = written(report_of(&running).run());
    assert!(report.contains("<script>"), "{report}");
    let outside = outside_of_code(&report).join("\n");
    for words in ["<script>", "@everyone", "error::x"] {
        assert!(!outside.contains(words), "{outside}");
    }
    assert!(!report.contains(['\u{1b}', '\u{202e}']), "{report}");
    assert!(report.len() < 20_000, "a long line is cut: {}", report.len());
}

#[test]
fn a_log_that_cannot_be_read_is_said_and_holds_nothing_up() {
    let mut setup = Setup::healthy();
    let route = format!("GET /containers/{}/logs", id("backend"));
    setup.engine = setup
        .engine
        .on(&route, Answer::text(500, r#"{"message":"configured logging driver does not support reading"}"#));
    let report = written(report_of(&setup.start()).run());
    assert!(report.contains("Of backend: could not be read: "), "{report}");
    assert!(report.contains("does not support reading"), "{report}");
}

// ------------------------------------------------------------------------------------------------------------ what is cut

#[test]
fn the_least_important_is_cut_first() {
    let folder = Folder::new();
    let mut facts = recording("two-networks");
    let lines: Vec<String> = (0..20).map(|at| format!("{at} {}", "log ".repeat(90))).collect();
    let logs: Vec<Value> = (0..12).map(|at| json!({"of": format!("part-{at}"), "lines": {"Ok": lines}})).collect();
    facts["background"] = json!({ "logs": logs });
    let report = replayed(&folder.file("logs.json", facts.to_string()));
    assert!(report.contains("It was cut: all but the last 5 lines of each log.\n"), "{report}");
    assert!(report.contains("\n19 log log") && !report.contains("\n14 log log"), "{report}");
    assert!(report.contains("What docker-engine saw"), "{report}");

    // Every dial is wrong, so all of it is root causes.
    let route = |at: usize| {
        let dial = json!({"handler": "reverse_proxy", "upstreams": [{"dial": format!("mitmproxy:{}", 20_000 + at)}]});
        let host = format!("{at}.{}.test", "long".repeat(50));
        json!({"match": [{"host": [host]}], "handle": [dial], "terminal": true})
    };
    let mut facts = recording("healthy-one-bridge");
    facts["background"] = json!({ "logs": logs });
    facts["caddies"]["Ok"][0]["config"]["Ok"]["apps"]["http"]["servers"]["srv0"]["routes"] =
        (0..200).map(route).collect();
    let report = replayed(&folder.file("causes.json", facts.to_string()));
    assert!(report.contains("It was cut: the logs and what passing checks saw.\n"), "{report}");
    let titles: Vec<&str> = report.lines().filter(|line| line.starts_with("### ")).collect();
    assert!(titles[0].starts_with("### ✗ caddy-dial: ") && titles.len() > 20, "{titles:?}");

    // Whatever is long, the verdict stays.
    let long = "long ".repeat(20_000);
    facts["background"]["options"] = json!(["--host", long]);
    facts["doctor"] = long.as_str().into();
    facts["engine"]["Ok"]["endpoint"] = long.as_str().into();
    facts["host"]["Ok"]["system"] = long.as_str().into();
    let report = replayed(&folder.file("all.json", facts.to_string()));
    assert!(
        report.contains("## ✗ fail: caddy dials `mitmproxy:20000`") && report.contains("fixes, and the ends"),
        "{report}"
    );
}

// --------------------------------------------------------------------------------------------------- arguments and files

#[test]
fn it_is_written_where_it_was_asked_for() {
    let folder = Folder::new();
    let replay = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setups/two-networks.json");
    let (own, json) = (folder.path("issue.md"), folder.path("report.json"));
    let doctor = Doctor::new().args(["report", "--replay"]).args([&replay]).args(["-o", own.to_str().unwrap()]);
    // What is set for `doctor check` does not change what a report is.
    let ran = doctor.args(["-o", &format!("json={}", json.display())]).env("DOCTOR_FORMAT", "short").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:#?}");
    assert_eq!(fs::read_to_string(own).unwrap(), replayed(&replay));
    let value: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!((&value["status"], &value["exit_code"]), (&"fail".into(), &1.into()));
}

#[test]
fn what_cannot_be_written_is_exit_2() {
    let replay = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setups/two-networks.json");
    for wrong in [["-o", "/nowhere/issue.md"], ["--attach", "/nowhere/facts.json"], ["--format", "json"]] {
        let ran = Doctor::new().args(["report", "--replay"]).args([&replay]).args(wrong).run();
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.lines().count()), (2, "", 1), "{wrong:?}: {ran:#?}");
    }
}

#[test]
fn the_command_holds_what_was_given_and_no_secret() {
    let folder = Folder::new();
    let attached = folder.path("facts of today.json");
    let words = ["report", "--caddy", "http://me:CANARY@127.0.0.1:9", "--host", "a b.test", "--timeout", "1500ms"];
    let doctor =
        Doctor::new().args(words).args(["--strict", "--only", "docker-engine,setup-found"]).env("DOCTOR_PROBE", "1");
    let ran = doctor.env("DOCTOR_WEB_PASSWORD", "CANARY").args(["--attach"]).args([&attached]).run();
    let report = written(ran);
    let options = "--host 'a b.test' --caddy http://127.0.0.1:9 --timeout 1500ms --probe --only docker-engine,setup-found --strict";
    assert!(report.contains(&format!("\ndoctor report {options}\n")), "{report}");
    let replay = "doctor report --replay 'facts of today.json' --only docker-engine,setup-found --strict";
    assert!(report.contains(&format!("\n{replay}\n")), "{report}");
    assert!(!report.contains("CANARY"), "{report}");
}
