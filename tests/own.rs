//! Checks of one's own: `[[check]]` entries of a `doctor.toml`, well and badly behaved.
//!
//! What is judged are recordings, so no engine is needed. The programs are those of a POSIX shell.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod fakes;

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use fakes::{Doctor, Folder, Ran};
use serde_json::{Value, json};

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/setups/{name}.json"))
}

/// An entry; `more` are further lines of it.
fn entry(id: &str, command: &Value, more: &str) -> String {
    format!("[[check]]\nid = \"{id}\"\ntitle = \"Is it so?\"\ncommand = {command}\n{more}\n")
}

/// A check that runs this script.
fn check(id: &str, script: &str, more: &str) -> String {
    entry(id, &json!(["sh", "-c", script]), more)
}

/// A check that prints this verdict.
fn says(id: &str, verdict: &Value, more: &str) -> String {
    entry(id, &json!(["printf", "%s", verdict.to_string()]), more)
}

fn fails(about: &str) -> Value {
    json!({"findings": [{"severity": "fail", "about": [about], "summary": format!("{about} is not as it should be")}]})
}

/// Replays a recording with a `doctor.toml` that is named.
fn doctor(settings: &str, setup: &str) -> Doctor {
    let doctor = Doctor::new();
    let file = doctor.home().file("doctor.toml", settings);
    doctor.args(["--config"]).args([file]).args(["--replay"]).args([recording(setup)])
}

/// The doctor in a folder with this `doctor.toml`, which stays when the doctor has ended.
fn in_folder(folder: &Folder, settings: &str) -> Doctor {
    folder.file("doctor.toml", settings);
    Doctor::new().in_folder(folder)
}

fn replays(doctor: Doctor, setup: &str) -> Doctor {
    doctor.args(["--replay"]).args([recording(setup)])
}

/// A report as JSON, which has to be what its schema says.
fn report(doctor: Doctor) -> (Value, Ran) {
    let ran = doctor.args(["--format", "json"]).run();
    let report = ran.json();
    let schema = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
    if let Err(error) = schema.validate(&report) {
        panic!("{error}, at {}: {ran:#?}", error.instance_path());
    }
    (report, ran)
}

fn row<'r>(report: &'r Value, id: &str) -> &'r Value {
    let rows = report["checks"].as_array().unwrap();
    rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no row {id}: {report:#}"))
}

fn reason<'r>(report: &'r Value, id: &str) -> &'r str {
    row(report, id)["reason"].as_str().unwrap_or_else(|| panic!("no reason: {report:#}"))
}

fn root_causes(report: &Value) -> Vec<&str> {
    report["root_causes"].as_array().unwrap().iter().map(|cause| cause["check"].as_str().unwrap()).collect()
}

#[test]
fn a_good_verdict_is_a_row_like_any_other() {
    let verdict = json!({"summary": "it is so", "evidence": [{"label": "seen", "value": "password=CANARY"}]});
    let (report, ran) = report(doctor(&says("mine", &verdict, ""), "healthy-one-bridge"));
    let row = row(&report, "mine");
    assert_eq!((&row["status"], &row["group"], &row["title"]), (&"pass".into(), &"own".into(), &"Is it so?".into()));
    assert_eq!((&row["summary"], ran.code), (&"it is so".into(), 0));
    assert_eq!(row["evidence"][0]["label"], "seen");
    assert!(!ran.stdout.contains("CANARY"), "{}", ran.stdout);
    assert_eq!(report["partial"], false);
}

#[test]
fn a_program_gets_what_a_recording_holds() {
    let folder = Folder::new();
    let settings = check("mine", "cat > facts.json; echo '{\"summary\": \"read\"}'", "");
    let doctor = replays(in_folder(&folder, &settings), "two-networks");
    let doctor = doctor.args(["--config", "doctor.toml", "--only", "mine", "--host", "other.example.com"]);
    let ran = doctor.args(["--record", "recorded.json"]).run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let given = fs::read_to_string(folder.path("facts.json")).unwrap();
    assert_eq!(given, fs::read_to_string(folder.path("recorded.json")).unwrap());
    assert_eq!(serde_json::from_str::<Value>(&given).unwrap()["asked"]["hosts"], json!(["other.example.com"]));
}

#[test]
fn a_finding_is_folded_under_what_explains_it() {
    let alone = says("mine", &fails("mitmproxy"), "");
    let (separate, ran) = report(doctor(&alone, "two-networks"));
    assert_eq!((root_causes(&separate)[..2].to_vec(), ran.code), (vec!["shared-network", "mine"], 1));

    let after = says("mine", &fails("mitmproxy"), "after = [\"shared-network\"]");
    let (folded, _) = report(doctor(&after, "two-networks"));
    assert_eq!(row(&folded, "mine")["findings"][0]["consequence_of"], json!(["shared-network"]));
    assert!(!root_causes(&folded).contains(&"mine"), "{folded:#}");
    let text = doctor(&after, "two-networks").run().stdout;
    assert!(text.contains("follows from it: dns-lookup, flows-nonzero, mine"), "{text}");

    // About somebody else, it is a cause of its own.
    let other = says("mine", &fails("somebody"), "after = [\"shared-network\"]");
    assert!(root_causes(&report(doctor(&other, "two-networks")).0).contains(&"mine"));
    // A hop that is another one as well.
    let mut on_a_hop = fails("mitmproxy");
    on_a_hop["findings"][0]["hop"] = "mitmproxy -> backend:3000".into();
    let other = says("mine", &on_a_hop, "after = [\"shared-network\"]");
    let (other, _) = report(doctor(&other, "two-networks"));
    assert!(root_causes(&other).contains(&"mine"));
    assert_eq!(other["setup"]["paths"][0]["broken"], json!([1, 2]));
    // One that names no hop says nothing of the path.
    assert_eq!(separate["setup"]["paths"][0]["broken"], json!([1]));
}

#[test]
fn own_checks_explain_one_another_in_any_order_of_the_file() {
    let settings = says("third", &fails("caddy"), "after = [\"second\"]")
        + &says("second", &json!({"summary": "fine"}), "after = [\"first\"]")
        + &says("first", &fails("caddy"), "");
    let (report, _) = report(doctor(&settings, "healthy-one-bridge"));
    assert_eq!(root_causes(&report), ["first"]);
    assert_eq!(row(&report, "third")["findings"][0]["consequence_of"], json!(["first"]));
    let own: Vec<&Value> = report["checks"].as_array().unwrap().iter().rev().take(3).map(|row| &row["id"]).collect();
    assert_eq!(own, ["third", "second", "first"], "each comes after what can explain it");
}

#[test]
fn a_gap_is_no_pass() {
    let gap = json!({"summary": "fine", "gaps": [{"about": ["mitmproxy"], "reason": "it could not be asked"}]});
    let (open, ran) = report(doctor(&says("mine", &gap, ""), "healthy-one-bridge"));
    assert_eq!((&row(&open, "mine")["status"], reason(&open, "mine")), (&"unknown".into(), "it could not be asked"));
    assert_eq!(ran.code, 3);
    let (blocked, _) = report(doctor(&says("mine", &gap, "after = [\"shared-network\"]"), "two-networks"));
    assert_eq!(row(&blocked, "mine")["status"], "skip");
    assert_eq!(row(&blocked, "mine")["blocked_by"], json!(["shared-network"]));
    let none = says("mine", &json!({"not_applicable": "there is no queue here"}), "");
    let (none, ran) = report(doctor(&none, "healthy-one-bridge"));
    assert_eq!((&row(&none, "mine")["status"], reason(&none, "mine")), (&"skip".into(), "there is no queue here"));
    assert_eq!(ran.code, 0);
}

/// Whatever a program does wrong, the row says which, and the others are judged.
#[test]
fn a_program_that_breaks_is_unknown_and_says_how() {
    let missing = entry("mine", &json!(["./nowhere"]), "");
    for (settings, words) in [
        (missing, "its program `./nowhere` cannot be started: it is not there"),
        (check("mine", "exit 3", ""), "ended with exit code 3 and said nothing"),
        (check("mine", "echo a >&2; echo 'token=CANARY no route' >&2; exit 3", ""), "no route"),
        (
            check("mine", "echo '{\"summary\": \"fine\"}'; exit 1", ""),
            "ended with exit code 1; it printed: {\"summary\"",
        ),
        (check("mine", "kill -9 $$", ""), "was ended from outside (signal: 9"),
        (check("mine", ":", ""), "printed nothing"),
        (
            check("mine", "echo all is well", ""),
            "no verdict: expected value at line 1 column 1; it begins: all is well",
        ),
        (check("mine", "echo '{}'", ""), "it says nothing"),
        (check("mine", "echo '{\"summary\": \"fine\"}{\"summary\": \"fine\"}'", ""), "trailing characters"),
        (check("mine", "echo '{\"summary\": \"fine\", \"finding\": []}'", ""), "unknown field `finding`"),
        (check("mine", "printf '\\377\\376'", ""), "no verdict"),
        (check("mine", "head -c 10000000 /dev/zero", ""), "printed more than 1 MiB"),
        (check("mine", "exec yes", ""), "printed more than 1 MiB"),
        (check("mine", "exec yes >&2", "timeout = \"300ms\""), "did not end within 0.3 s"),
        (check("mine", "exec sleep 60", "timeout = \"300ms\""), "did not end within 0.3 s, and was ended"),
        (check("mine", "trap '' TERM; while :; do sleep 1; done", "timeout = \"300ms\""), "did not end within 0.3 s"),
        (check("mine", "exec >&- 2>&- <&-; exec sleep 60", "timeout = \"300ms\""), "did not end within 0.3 s"),
    ] {
        let (report, ran) = report(doctor(&settings, "healthy-one-bridge"));
        assert_eq!(row(&report, "mine")["status"], "unknown", "{settings}");
        assert!(reason(&report, "mine").contains(words), "{settings}{}", reason(&report, "mine"));
        assert_eq!(ran.code, 3, "{settings}");
        assert_eq!(row(&report, "shared-network")["status"], "pass", "{settings}");
        assert!(!ran.stdout.contains("CANARY"), "{settings}");
        assert!(ran.took < Duration::from_secs(6), "{settings} {:?}", ran.took);
    }
}

#[test]
fn the_time_of_the_run_counts_too() {
    let settings =
        check("mine", "exec sleep 60", "timeout = \"60s\"") + &says("other", &json!({"summary": "fine"}), "");
    let (report, ran) = report(doctor(&settings, "healthy-one-bridge").args(["--timeout", "2s"]));
    assert!(reason(&report, "mine").contains("did not end in the 1.8 s that the run had left"), "{report:#}");
    assert_eq!(row(&report, "other")["status"], "pass");
    assert!(ran.took < Duration::from_secs(3), "{:?}", ran.took);
}

#[test]
fn programs_run_at_the_same_time() {
    let slow = "sleep 1; echo '{\"summary\": \"fine\"}'";
    let settings: String = (0..8).map(|at| check(&format!("slow-{at}"), slow, "timeout = \"20s\"")).collect();
    let (report, ran) = report(doctor(&settings, "healthy-one-bridge").args(["--timeout", "25s"]));
    assert_eq!((&report["status"], ran.code), (&"pass".into(), 0), "{report:#}");
    assert!(ran.took < Duration::from_secs(6), "{:?}", ran.took);
}

/// A setup of which the recording is longer than a pipe holds.
fn large(doctor: &Doctor) -> PathBuf {
    let mut facts: Value = serde_json::from_slice(&fs::read(recording("healthy-one-bridge")).unwrap()).unwrap();
    facts["views"]["Ok"][0]["not_better"] = json!(vec!["x".repeat(1000); 2000]);
    doctor.home().file("large.json", facts.to_string())
}

#[test]
fn input_need_not_be_read() {
    let settings = check("blind", "echo '{\"summary\": \"fine\"}'", "")
        + &check("halfway", "head -c 100 >/dev/null; echo '{\"summary\": \"fine\"}'", "")
        + &check("thorough", "test $(wc -c) -gt 2000000 && echo '{\"summary\": \"fine\"}'", "")
        + &check("stubborn", "exec sleep 60", "timeout = \"300ms\"");
    let doctor = Doctor::new();
    let file = doctor.home().file("doctor.toml", settings);
    let large = large(&doctor);
    let (report, ran) = report(doctor.args(["--config"]).args([file]).args(["--replay"]).args([large]));
    for id in ["blind", "halfway", "thorough"] {
        assert_eq!(row(&report, id)["status"], "pass", "{report:#}");
    }
    assert_eq!(row(&report, "stubborn")["status"], "unknown");
    assert!(ran.took < Duration::from_secs(6), "{:?}", ran.took);
}

/// What a program started ends with it, whether the program ended by itself or was ended, and its pipes hold nothing up.
#[test]
fn nothing_that_was_started_is_left() {
    let settings = check("leaves", "sleep 60 & echo $! >leaves.pid; echo '{\"summary\": \"fine\"}'", "")
        + &check("waits", "sleep 60 & echo $! >waits.pid; wait", "timeout = \"500ms\"")
        + &check("floods", "sleep 60 & echo $! >floods.pid; exec yes", "");
    let folder = Folder::new();
    let doctor = replays(in_folder(&folder, &settings), "healthy-one-bridge").args(["--own-checks"]);
    let (report, ran) = report(doctor);
    assert_eq!(row(&report, "leaves")["status"], "pass", "{report:#}");
    assert!(ran.took < Duration::from_secs(6), "{:?}", ran.took);
    for id in ["leaves", "waits", "floods"] {
        let pid = fs::read_to_string(folder.path(&format!("{id}.pid"))).unwrap();
        assert!(within(Duration::from_secs(5), || is_gone(pid.trim())), "what {id} started is still there: {pid}");
    }
}

#[test]
fn an_interrupt_ends_the_programs_too() {
    let folder = Folder::new();
    folder.file("doctor.toml", check("mine", "sleep 60 & echo $! >pid; wait", "timeout = \"60s\""));
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_doctor"));
    doctor.args(["--own-checks", "--timeout", "60s", "--replay"]).arg(recording("healthy-one-bridge"));
    let mut doctor = doctor.current_dir(folder.path("")).stdout(Stdio::null()).spawn().unwrap();
    let pid = || fs::read_to_string(folder.path("pid")).unwrap_or_default();
    let started = within(Duration::from_secs(20), || pid().ends_with('\n'));
    Command::new("kill").args(["-INT", &doctor.id().to_string()]).status().unwrap();
    let status = doctor.wait().unwrap();
    assert!(started && status.signal() == Some(2), "{status}");
    assert!(within(Duration::from_secs(5), || is_gone(pid().trim())), "what was started is still there");
}

fn within(time: Duration, is_so: impl Fn() -> bool) -> bool {
    let end = Instant::now() + time;
    while !is_so() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Gone, or ended and not yet waited for by whoever inherited it.
fn is_gone(pid: &str) -> bool {
    let script = "! kill -0 \"$1\" 2>/dev/null || grep -q '^State:[[:space:]]*Z' \"/proc/$1/status\" 2>/dev/null";
    Command::new("sh").args(["-c", script, "sh", pid]).status().unwrap().success()
}

#[test]
fn commands_of_a_file_that_was_found_are_not_run_unasked() {
    let settings = check("mine", "touch was-run; echo '{\"summary\": \"fine\"}'", "");
    let doctor = |arguments: &[&str], variables: &[(&str, &str)]| {
        let folder = Folder::new();
        let mut doctor = replays(in_folder(&folder, &settings), "healthy-one-bridge");
        for (name, value) in variables {
            doctor = doctor.env(name, *value);
        }
        let (report, ran) = report(doctor.args(arguments.iter().copied()));
        (report, ran.code, folder.path("was-run").exists())
    };
    let (found, code, was_run) = doctor(&[], &[]);
    assert_eq!((&row(&found, "mine")["status"], code, was_run), (&"skip".into(), 0, false), "{found:#}");
    let why = "from doctor.toml, which was found and not named: --own-checks runs its commands";
    assert_eq!(reason(&found, "mine"), why);
    let (_, _, was_run) = doctor(&["--only", "mine"], &[]);
    assert!(!was_run);
    for (arguments, variables) in [
        (&["--own-checks"][..], &[][..]),
        (&["--config", "doctor.toml"], &[]),
        (&[], &[("DOCTOR_OWN_CHECKS", "1")]),
        (&[], &[("DOCTOR_CONFIG", "doctor.toml")]),
    ] {
        let (allowed, _, was_run) = doctor(arguments, variables);
        assert!(was_run && row(&allowed, "mine")["status"] == "pass", "{arguments:?} {variables:?} {allowed:#}");
    }
    let (none, _, was_run) = doctor(&["--no-config", "--own-checks"], &[]);
    assert!(!was_run && none["checks"].as_array().unwrap().iter().all(|row| row["id"] != "mine"));
}

#[test]
fn looking_up_a_check_runs_nothing() {
    let settings = check("mine", "touch was-run", "after = [\"shared-network\"]");
    for arguments in [&["list"][..], &["list", "--format", "json"], &["explain"], &["explain", "mine"]] {
        let folder = Folder::new();
        let doctor = in_folder(&folder, &settings).args(arguments.iter().copied());
        let ran = doctor.args(["--config", "doctor.toml"]).run();
        assert!(ran.code == 0 && ran.stdout.contains("mine") && ran.stdout.contains("Is it so?"), "{ran:#?}");
        assert!(!folder.path("was-run").exists());
    }
    let ran = in_folder(&Folder::new(), &settings).args(["explain", "mine"]).run();
    assert!(ran.stdout.contains("sh -c 'touch was-run'"), "{}", ran.stdout);
    assert!(ran.stdout.contains("explained by: shared-network"), "{}", ran.stdout);
    let ran = Doctor::new().args(["explain", "mien"]).run();
    assert_eq!((ran.code, ran.stderr.contains("there is no check `mien`")), (2, true), "{ran:#?}");
}

#[test]
fn own_checks_are_selected_by_id() {
    let settings = says("mine", &json!({"summary": "fine"}), "") + &says("yours", &json!({"summary": "fine"}), "");
    let ids = |arguments: [&str; 2]| {
        let (report, _) = report(doctor(&settings, "healthy-one-bridge").args(arguments));
        assert_eq!(report["partial"], true);
        let ids = report["checks"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(["--only", "mine"]), ["mine"]);
    let rest = ids(["--skip", "mine"]);
    assert!(!rest.contains(&"mine".to_owned()) && rest.contains(&"yours".to_owned()));
    let (only_in_file, _) = report(doctor(&format!("only = [\"mine\"]\n{settings}"), "healthy-one-bridge"));
    assert_eq!(only_in_file["checks"].as_array().unwrap().len(), 1);

    let ran = doctor(&settings, "healthy-one-bridge").args(["--only", "yuors"]).run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("there is no check `yuors`; did you mean `yours`?"), "{}", ran.stderr);
    let ran = doctor(&settings, "healthy-one-bridge").args(["--only", "yuors", "--format", "json"]).run();
    assert_eq!((ran.code, &ran.json()["exit_code"]), (2, &2.into()));
}

#[test]
fn a_finding_of_ones_own_can_be_accepted() {
    let accept = "[[accept]]\ncheck = \"mine\"\nabout = \"caddy\"\nreason = \"known\"\nexpires = 2999-12-31\n";
    let settings = says("mine", &fails("caddy"), "") + accept;
    let (report, ran) = report(doctor(&settings, "healthy-one-bridge"));
    assert_eq!((ran.code, &report["accepted"]), (0, &1.into()), "{report:#}");
    assert_eq!(row(&report, "mine")["findings"][0]["accepted"]["reason"], "known");
}

#[test]
fn commands_of_a_verdict_are_shown_and_never_run() {
    let mut verdict = fails("caddy");
    verdict["findings"][0]["fixes"] = json!([{"title": "mend it", "commands": ["touch was-run", "true"],
        "edits": [{"file": "compose.yml", "language": "yaml", "text": "labels: {}"}]}]);
    let (judged, _) = report(doctor(&says("mine", &verdict, ""), "healthy-one-bridge"));
    let fix = &row(&judged, "mine")["findings"][0]["fixes"][0];
    assert_eq!((&fix["apply"], &fix["commands"]), (&"manual".into(), &json!(["touch was-run", "true"])));
    let text = doctor(&says("mine", &verdict, ""), "healthy-one-bridge").run().stdout;
    assert!(text.contains("        touch was-run\n        true\n"), "{text}");

    for ids in [&[][..], &["mine"]] {
        let folder = Folder::new();
        let doctor = in_folder(&folder, &says("mine", &verdict, "")).args(["fix", "--yes", "--own-checks"]);
        let ran = doctor.args(ids.iter().copied()).run();
        assert!(ran.stdout.contains("touch was-run") && !folder.path("was-run").exists(), "{ran:#?}");
    }
}

#[test]
fn the_password_of_mitmweb_is_not_handed_on() {
    let settings = check("mine", "test -z \"$DOCTOR_WEB_PASSWORD\" && echo '{\"summary\": \"fine\"}'", "");
    let doctor = doctor(&settings, "healthy-one-bridge").env("DOCTOR_WEB_PASSWORD", "CANARY");
    assert_eq!(row(&report(doctor).0, "mine")["status"], "pass");
}

#[test]
fn a_wrong_entry_ends_the_run_with_a_sentence() {
    let with = |lines: &str| format!("[[check]]\nid = \"mine\"\ntitle = \"t\"\ncommand = [\"true\"]\n{lines}\n");
    let fine = with("");
    for (settings, words) in [
        (fine.replace("mine", "shared-network"), "doctor.toml:1: `shared-network` is a check of the doctor itself"),
        (fine.replace("mine", "Mine"), "`Mine` is no id"),
        (fine.replace("mine", "a--b"), "`a--b` is no id"),
        (format!("{fine}{fine}"), "doctor.toml:6: there are two checks `mine`"),
        (fine.replace("\"t\"", "\"a\\u001bb\""), "the title of `mine` has to be one line"),
        (fine.replace("[\"true\"]", "[]"), "the command of `mine` has to be a list of words"),
        (fine.replace("[\"true\"]", "\"true\""), "expected a list"),
        (with("after = [\"shared-netwrok\"]"), "did you mean `shared-network`?"),
        (with("after = [\"mine\"]"), "`after` leads in a circle: `mine`"),
        (with("after = [\"b\"]") + &with("after = [\"mine\"]").replace("id = \"mine\"", "id = \"b\""), "in a circle"),
        (with("timeout = \"5\u{65e5}\""), "the timeout of `mine`"),
        (with("timeout = 5"), "doctor.toml:5"),
        (with("comand = []"), "there is no name `comand`; did you mean `command`?"),
        (fine.replace("title = \"t\"\n", ""), "`title` is missing"),
        (format!("skip = [\"mien\"]\n{fine}"), "doctor.toml:1: there is no check `mien`; did you mean `mine`?"),
    ] {
        let ran = doctor(&settings, "healthy-one-bridge").run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{settings}{ran:#?}");
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
}

/// What `docs/own-checks.md` shows, written into files as it stands there.
fn page(folder: &Folder) {
    for (program, package) in [("jq", "jq"), ("python3", "python3")] {
        let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        assert!(
            there,
            "{program} is not installed, and the examples of docs/own-checks.md are run with it: \
             apt-get install {package}, or what your system calls it"
        );
    }
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/own-checks.md")).unwrap();
    let mut files = 0;
    for part in page.split("<!-- file: ").skip(1) {
        let (name, rest) = part.split_once(" -->\n```").unwrap();
        let (_, rest) = rest.split_once('\n').unwrap();
        folder.file(name, rest.split_once("\n```\n").unwrap().0.to_owned() + "\n");
        files += 1;
    }
    assert_eq!(files, 3);
}

/// Replays facts with the examples.
fn examples(change: impl Fn(&mut Value), setup: &str) -> (Value, i32) {
    let mut facts: Value = serde_json::from_slice(&fs::read(recording(setup)).unwrap()).unwrap();
    change(&mut facts);
    let doctor = Doctor::new();
    page(doctor.home());
    let facts = doctor.home().file("facts.json", facts.to_string());
    let doctor = doctor.args(["--timeout", "60s", "--config", "doctor.toml", "--replay"]).args([facts]);
    let (report, ran) = report(doctor);
    (report, ran.code)
}

#[test]
fn the_examples_of_the_page_work() {
    let tagged = |facts: &mut Value| {
        for container in facts["containers"]["Ok"].as_array_mut().unwrap() {
            container["image"] = format!("localhost:5000/{}:1.0", container["image"].as_str().unwrap()).into();
        }
    };
    let (healthy, code) = examples(tagged, "healthy-one-bridge");
    for id in ["image-versions", "test-hosts"] {
        assert_eq!((&row(&healthy, id)["status"], code), (&"pass".into(), 0), "{healthy:#}");
    }

    let (loose, _) = examples(|_| (), "healthy-one-bridge");
    let row_of_images = row(&loose, "image-versions");
    assert_eq!(row_of_images["status"], "warn");
    assert_eq!(row_of_images["findings"].as_array().unwrap().len(), 1);
    assert_eq!(row_of_images["findings"][0]["fixes"][0]["edits"][0]["text"], "image: doctor-lab/backend:1.2.3");

    let foreign = |facts: &mut Value| {
        let server = &mut facts["caddies"]["Ok"][0]["config"]["Ok"]["apps"]["http"]["servers"]["srv0"];
        let mut route = server["routes"][0].clone();
        route["match"][0]["host"] = json!(["shop.example.org"]);
        server["routes"].as_array_mut().unwrap().push(route);
    };
    let (foreign, code) = examples(foreign, "healthy-one-bridge");
    assert_eq!(row(&foreign, "test-hosts")["summary"], "caddy serves shop.example.org in a test setup");
    assert_eq!((root_causes(&foreign)[0], code), ("test-hosts", 1));

    let (blocked, _) = examples(|_| (), "admin-off");
    assert_eq!(row(&blocked, "test-hosts")["blocked_by"], json!(["caddy-admin"]), "{blocked:#}");
    let (nothing, _) = examples(|_| (), "no-engine");
    assert_eq!(row(&nothing, "image-versions")["reason"], "the containers are not known");
}
