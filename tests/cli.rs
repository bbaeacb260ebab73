//! The command line as a person or a script meets it: flags, exit codes, formats, files, pipes.
//!
//! What is judged are recordings, so no engine is needed; where one is, it is a server of the test.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod fakes;

use std::{
    fs,
    path::{Path, PathBuf},
};

use fakes::{Doctor, Folder, Ran, Setup};
use serde_json::{Value, json};

const FORMATS: [&str; 6] = ["text", "short", "json", "markdown", "github", "junit"];

/// Recorded from a real setup.
fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/setups/{name}.json"))
}

/// One with a failure, whose root cause is `shared-network`.
fn broken() -> PathBuf {
    recording("two-networks")
}

/// One without failure and with a warning.
fn with_a_warning() -> PathBuf {
    recording("no-flows")
}

fn healthy() -> PathBuf {
    recording("healthy-one-bridge")
}

/// The healthy one, but its flows could not be counted.
fn with_something_unknown(folder: &Folder) -> PathBuf {
    let mut facts: Value = serde_json::from_slice(&fs::read(healthy()).unwrap()).unwrap();
    facts["mitmproxies"]["Ok"][0]["flows"] =
        json!({"Err": {"failed": {"asked": "POST /commands of mitmproxy", "kind": "timed_out", "why": "no answer"}}});
    folder.file("unknown.json", facts.to_string())
}

fn doctor<const N: usize>(arguments: [&str; N]) -> Doctor {
    Doctor::new().args(arguments)
}

fn replay(file: &Path) -> Doctor {
    doctor(["--replay"]).args([file])
}

/// Whether a report is what `docs/report.schema.json` says.
fn assert_valid(report: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let schema: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(report).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?} in {report:#}");
}

/// A run that could not start: exit code 2, and one sentence on standard error, which is returned.
fn one_sentence(ran: &Ran) -> &str {
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:#?}");
    assert!(ran.stderr.starts_with("doctor: "), "{ran:#?}");
    ran.stderr.trim_end()
}

// ------------------------------------------------------------------------------------------------- exit codes, formats

#[test]
fn every_format_has_the_same_exit_code() {
    let folder = Folder::new();
    let unknown = with_something_unknown(&folder);
    for (file, strict, code) in [
        (&healthy(), false, 0),
        (&healthy(), true, 0),
        (&with_a_warning(), false, 0),
        (&with_a_warning(), true, 1),
        (&broken(), false, 1),
        (&unknown, false, 3),
        (&unknown, true, 3),
    ] {
        for format in FORMATS {
            let doctor = replay(file).args(["--format", format]);
            let ran = if strict { doctor.args(["--strict"]) } else { doctor }.run();
            assert_eq!(ran.code, code, "{} as {format}: {ran:#?}", file.display());
            assert_eq!(ran.stderr, "");
        }
    }
}

#[test]
fn every_report_is_what_the_schema_says() {
    let mut files: Vec<PathBuf> =
        fs::read_dir(recording("x").parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert!(files.len() > 2);
    let folder = Folder::new();
    files.push(with_something_unknown(&folder));
    for file in files {
        for arguments in [&[][..], &["--strict"], &["--only", "flows-nonzero"], &["--skip", "docker-engine"]] {
            let report = replay(&file).args(arguments).report();
            assert_valid(&report.value);
            assert_eq!(report.value["exit_code"], report.ran.code, "{}", file.display());
        }
    }
}

#[test]
fn a_report_of_what_was_really_looked_at_is_what_the_schema_says() {
    assert_valid(&Setup::healthy().start().doctor().report().value);
    assert_valid(&Doctor::new().report().value);
}

#[test]
fn the_schema_is_one_and_does_say_something() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let schema: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let good = replay(&broken()).report().value;
    assert!(validator.is_valid(&good));
    for (at, wrong) in [
        ("/schema", json!(2)),
        ("/status", json!("bad")),
        ("/exit_code", json!(0)),
        ("/setup/paths/0/hops", json!(null)),
        ("/root_causes/0/severity", json!("error")),
        ("/checks/0/status", json!("fail")),
        ("/checks/0/duration_ms", json!(-1)),
    ] {
        let mut report = good.clone();
        *report.pointer_mut(at).unwrap() = wrong;
        assert!(!validator.is_valid(&report), "{at}");
    }
}

#[test]
fn the_root_cause_comes_first_and_what_follows_from_it_is_said_to() {
    let report = replay(&broken()).report();
    assert_eq!(report.value["root_causes"][0]["check"], "shared-network");
    assert_eq!(report.check("dns-lookup")["findings"][0]["consequence_of"], json!(["shared-network"]));
    let text = replay(&broken()).run().stdout;
    assert!(text.contains("$ docker network connect edge-net mitmproxy\n"), "{text}");
    assert!(text.contains("follows from it: dns-lookup"), "{text}");
}

// --------------------------------------------------------------------------------------------------- choosing checks

#[test]
fn only_and_skip_choose_and_make_the_report_partial() {
    let ids = |doctor: Doctor| -> (Vec<String>, bool) {
        let report = doctor.report().value;
        let ids = report["checks"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned());
        (ids.collect(), report["partial"].as_bool().unwrap())
    };
    let (all, partial) = ids(replay(&broken()));
    assert!(all.len() >= 9 && !partial);
    let (only, partial) = ids(replay(&broken()).args(["--only", "dns-lookup,shared-network"]));
    assert_eq!((only, partial), (vec!["shared-network".to_owned(), "dns-lookup".to_owned()], true));
    let (repeated, _) = ids(replay(&broken()).args(["--only", "dns-lookup", "--only", "shared-network"]));
    assert_eq!(repeated.len(), 2);
    let (rest, partial) = ids(replay(&broken()).args(["--skip", "dns-lookup,shared-network"]));
    assert_eq!((rest.len(), partial), (all.len() - 2, true));
    assert!(!rest.contains(&"shared-network".to_owned()));
    let text = replay(&broken()).args(["--only", "setup-found"]).run().stdout;
    assert!(text.contains("1 check passed (of a part of the checks)"), "{text}");
}

#[test]
fn an_id_that_does_not_exist_gets_a_guess() {
    for flag in ["--only", "--skip"] {
        let ran = replay(&broken()).args([flag, "setup-found,shared-netwrok"]).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:#?}");
        assert!(ran.stderr.contains("there is no check `shared-netwrok`; did you mean `shared-network`?"), "{ran:#?}");
    }
    let ran = doctor(["--only", "xyzzy"]).run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("there is no check `xyzzy`; `doctor list` lists them all"), "{ran:#?}");
}

#[test]
fn wrong_arguments_are_exit_code_2() {
    for arguments in [
        &["--nosuch"][..],
        &["--timeout", "soon"],
        &["--timeout", "0s"],
        &["--timeout", "-1s"],
        &["--format", "xml"],
        &["nosuch"],
        &["--replay", "a", "--record", "b"],
        &["completions", "nosuch"],
        &["demo", "nosuch"],
        &["-o", ""],
        &["list", "--format", "short"],
        &["--strict", "list"],
    ] {
        let ran = Doctor::new().args(arguments).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:#?}");
        assert!(!ran.stderr.is_empty() && !ran.stderr.contains("panicked"), "{arguments:?}: {ran:#?}");
    }
}

#[test]
fn with_json_wrong_arguments_are_one_document_too() {
    for arguments in [
        &["--format", "json", "--only", "nosuch"][..],
        &["--format=json", "--timeout", "soon"],
        &["check", "--format", "json", "--nosuch"],
    ] {
        let ran = Doctor::new().args(arguments).run();
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert_valid(&ran.json());
    }
}

// ------------------------------------------------------------------------------------------------- colours and glyphs

#[test]
fn a_pipe_gets_no_colour_and_a_forced_one_does() {
    for format in FORMATS {
        let ran = replay(&broken()).env("LC_ALL", "C.UTF-8").args(["--format", format]).run();
        assert!(!ran.stdout.contains('\u{1b}'), "{ran:#?}");
    }
    for force in ["FORCE_COLOR", "CLICOLOR_FORCE"] {
        let ran = replay(&broken()).env(force, "1").run();
        assert!(ran.stdout.contains("\u{1b}["), "{force}: {ran:#?}");
        let ran = replay(&broken()).env(force, "1").env("NO_COLOR", "1").run();
        assert!(!ran.stdout.contains('\u{1b}'), "NO_COLOR goes before {force}: {ran:#?}");
        for format in &FORMATS[1..] {
            let ran = replay(&broken()).env(force, "1").args(["--format", format]).run();
            assert!(!ran.stdout.contains('\u{1b}'), "{format} has no colour: {ran:#?}");
        }
    }
    let ran = replay(&broken()).env("FORCE_COLOR", "0").run();
    assert!(!ran.stdout.contains('\u{1b}'), "{ran:#?}");
}

#[test]
fn glyphs_are_ascii_where_the_locale_is() {
    for (name, value, ascii) in [
        ("LC_ALL", "C", true),
        ("LC_ALL", "POSIX", true),
        ("LANG", "de_DE.ISO-8859-1", true),
        ("LANG", "en_US.UTF-8", false),
        ("LC_CTYPE", "C.utf8", false),
    ] {
        let text = replay(&broken()).env(name, value).run().stdout;
        assert_eq!(text.is_ascii(), ascii, "{name}={value}: {text}");
    }
    let text = replay(&broken()).env("LC_ALL", "C").env("LANG", "en_US.UTF-8").run().stdout;
    assert!(text.is_ascii(), "LC_ALL goes before LANG: {text}");
}

#[test]
fn a_report_fits_into_80_columns_but_for_what_is_to_be_copied() {
    let text = replay(&broken()).env("LC_ALL", "C.UTF-8").run().stdout;
    let wide = text.lines().filter(|line| line.chars().count() > 80 && !line.trim_start().starts_with("$ "));
    let wide: Vec<&str> = wide.filter(|line| !line.contains(" checks: ")).collect();
    assert_eq!(wide, [] as [&str; 0]);
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    for (doctor, code) in [
        (replay(&broken()), 1),
        (replay(&broken()).args(["--format", "json"]), 1),
        (replay(&healthy()), 0),
        (doctor(["list"]), 0),
        (doctor(["completions", "bash"]), 0),
        (doctor(["explain", "shared-network"]), 0),
        (doctor(["--help"]), 0),
    ] {
        let ran = doctor.run_into_closed_pipe();
        assert_eq!((ran.code, ran.stderr.as_str()), (code, ""), "{ran:#?}");
    }
}

// -------------------------------------------------------------------------------------------------------------- files

#[test]
fn a_report_goes_into_a_file_instead() {
    let folder = Folder::new();
    let (printed, file) = (replay(&broken()).env("LC_ALL", "C.UTF-8").run(), folder.path("report.txt"));
    let ran = replay(&broken()).env("FORCE_COLOR", "1").args(["-o"]).args([&file]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), printed.stdout, "a file has no colour");
    assert_eq!(folder.names(), ["report.txt"], "nothing else is left");
}

#[test]
fn with_a_format_the_file_is_one_more() {
    let folder = Folder::new();
    let (one, two) = (folder.path("a.json"), folder.path("b.txt"));
    let ran = replay(&broken())
        .args(["-o".to_owned(), format!("json={}", one.display())])
        .args(["--output".to_owned(), format!("short={}", two.display())])
        .run();
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("shared-network"), "{ran:#?}");
    assert_valid(&serde_json::from_slice(&fs::read(&one).unwrap()).unwrap());
    assert!(fs::read_to_string(&two).unwrap().starts_with("fail shared-network: "));
}

#[test]
fn an_old_report_is_replaced_whole() {
    let folder = Folder::new();
    let file = folder.file("report.json", "x".repeat(1 << 20));
    let ran = replay(&healthy()).args(["--format", "json", "-o"]).args([&file]).run();
    assert_eq!(ran.code, 0);
    assert_valid(&serde_json::from_slice(&fs::read(&file).unwrap()).unwrap());
}

#[test]
fn a_file_that_cannot_be_written_is_one_sentence() {
    let folder = Folder::new();
    for file in [folder.path("missing/report.txt"), folder.path("")] {
        for flag in ["-o", "--record"] {
            let mut doctor = if flag == "-o" { replay(&broken()) } else { Doctor::new() };
            doctor = doctor.args([flag]).args([&file]);
            let ran = doctor.run();
            assert!(one_sentence(&ran).contains("cannot write "), "{ran:#?}");
            assert_eq!(ran.stdout, "", "{ran:#?}");
            let ran = replay(&broken()).args(["--format", "json", "-o"]).args([&file]).run();
            one_sentence(&ran);
            assert_valid(&ran.json());
        }
    }
    assert_eq!(folder.names(), [] as [&str; 0], "nothing half-written is left");
}

#[test]
fn what_was_recorded_is_judged_the_same_again() {
    let folder = Folder::new();
    let file = folder.path("facts.json");
    let running = Setup::healthy().start();
    let report = |doctor: Doctor| {
        let mut report = doctor.report().value;
        for row in report["checks"].as_array_mut().unwrap() {
            row["duration_ms"] = json!(0);
        }
        report
    };
    let recorded = report(running.doctor().args(["--record"]).args([&file]));
    drop(running);
    // The fakes' doctor leaves one check out.
    assert_eq!(report(replay(&file).args(["--skip", "backend-reachable"])), recorded);
    assert_eq!(folder.names(), ["facts.json"]);
}

#[test]
fn a_replay_asks_nothing() {
    let running = Setup::healthy().start();
    let ran = Doctor::at(&running.engine).args(["--replay"]).args([&broken()]).run();
    assert_eq!(ran.code, 1);
    assert_eq!(running.engine.asked(), [] as [&str; 0]);
}

#[test]
fn another_host_of_a_recording_can_be_judged() {
    let report = replay(&broken()).args(["--host", "api.example.com"]).report();
    assert_eq!(report.value["setup"]["paths"][0]["host"], "api.example.com");
    let report = replay(&broken()).args(["--host", "nobody.example.com"]).report();
    let paths = report.value["setup"]["paths"].to_string();
    assert!(!paths.contains("\"api.example.com\""), "{paths}");
}

#[test]
fn a_recording_that_is_none_is_one_sentence() {
    let folder = Folder::new();
    let newer = json!({"schema": 2, "doctor": "9.9.9"}).to_string();
    let huge = "[".repeat(100_000);
    for (name, text, words) in [
        ("empty.json", "", "is not a recording of the doctor"),
        ("text.json", "hello", "is not a recording of the doctor"),
        ("list.json", "[1]", "it has no schema number"),
        ("null.json", "null", "it has no schema number"),
        ("other.json", r#"{"schema":"1"}"#, "it has no schema number"),
        ("half.json", r#"{"schema":1,"doctor":"0.1.0","#, "is not a recording of the doctor"),
        ("bare.json", r#"{"schema":1}"#, "is not a recording of the doctor"),
        ("deep.json", &huge, "is not a recording of the doctor"),
        ("newer.json", &newer, "has recording schema 2, and this doctor reads 1; update the doctor"),
    ] {
        let file = folder.file(name, text);
        for format in FORMATS {
            let ran = replay(&file).args(["--format", format]).run();
            let said = one_sentence(&ran);
            assert!(said.contains(words) && said.contains(name), "{ran:#?}");
            match format {
                "json" => {
                    assert_valid(&ran.json());
                    assert!(said.ends_with(ran.json()["error"].as_str().unwrap()), "{ran:#?}");
                }
                "text" | "short" => assert_eq!(ran.stdout, "", "{ran:#?}"),
                _ => assert!(ran.stdout.contains(words), "{ran:#?}"),
            }
        }
    }
}

#[test]
fn a_recording_that_cannot_be_read_is_one_sentence() {
    let folder = Folder::new();
    let binary = folder.file("binary.json", b"\xff\xfe\0\0");
    for file in [folder.path("missing.json"), folder.path(""), binary] {
        let ran = replay(&file).args(["--format", "json"]).run();
        assert!(one_sentence(&ran).contains("cannot read the recording"), "{ran:#?}");
        assert_valid(&ran.json());
    }
}

#[test]
fn what_stands_in_a_recording_is_never_obeyed_by_a_terminal() {
    let folder = Folder::new();
    let file = folder.file(
        "evil.json",
        r#"{"schema":1,"doctor":"0.1.0","elapsed_ms":1,"asked":{},"engine":{"\u001b[31m\u009b2J":1}}"#,
    );
    let ran = replay(&file).run();
    assert!(one_sentence(&ran).contains("is not a recording"), "{ran:#?}");
    assert!(!ran.stderr.trim_end().chars().any(char::is_control), "{ran:#?}");
}

// ----------------------------------------------------------------------------------------------------- other commands

#[test]
fn help_has_examples_and_exit_codes() {
    for flag in ["--help", "-h", "help"] {
        let ran = doctor([flag]).run();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
        for words in ["Examples:", "Exit codes:", "--only", "--replay", "explain", "doctor --format json"] {
            assert!(ran.stdout.contains(words), "{flag} has no {words}: {}", ran.stdout);
        }
    }
    let version = doctor(["--version"]).run();
    assert_eq!((version.code, version.stdout), (0, format!("doctor {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn list_has_every_check_in_the_order_of_the_report() {
    let report = replay(&healthy()).report().value;
    let ids: Vec<&str> = report["checks"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    let text = doctor(["list"]).run();
    let listed: Vec<&str> = text.stdout.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!((text.code, listed), (0, ids.clone()));
    let json = doctor(["list", "--format", "json"]).run().json();
    let listed: Vec<&str> = json.as_array().unwrap().iter().map(|check| check["id"].as_str().unwrap()).collect();
    assert_eq!(listed, ids);
    assert!(json.as_array().unwrap().iter().all(|check| check["title"].as_str().unwrap().ends_with('?')));
}

#[test]
fn every_check_is_explained() {
    let list = doctor(["list"]).run().stdout;
    for id in list.lines().map(|line| line.split_whitespace().next().unwrap()) {
        let ran = doctor(["explain", id]).run();
        assert_eq!(ran.code, 0);
        for words in [id, "## What it looks at", "## Why it matters", "## How to fix it"] {
            assert!(ran.stdout.contains(words), "{id} has no {words}: {}", ran.stdout);
        }
    }
    let all = doctor(["explain"]).run();
    assert!(all.code == 0 && all.stdout.contains("shared-network") && all.stdout.contains("doctor explain ID"));
}

#[test]
fn an_explanation_of_a_misspelt_check_gets_a_guess() {
    let ran = doctor(["explain", "dns-lokup"]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("there is no check `dns-lokup`; did you mean `dns-lookup`?"), "{ran:#?}");
    let ran = doctor(["explain", "nope"]).run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("there is no check `nope`; `doctor list` lists them all"), "{ran:#?}");
}

#[test]
fn completions_are_scripts() {
    for (shell, words) in [("bash", "complete -F _doctor"), ("zsh", "#compdef doctor"), ("fish", "complete -c doctor")]
    {
        let ran = doctor(["completions", shell]).run();
        assert!(ran.code == 0 && ran.stdout.contains(words), "{shell}: {ran:#?}");
    }
}

// -------------------------------------------------------------------------------------------------------- environment

#[test]
fn every_option_can_be_given_in_the_environment() {
    let folder = Folder::new();
    let recorded = folder.path("facts.json");
    let file = broken().into_os_string();
    let report = Doctor::new().env("DOCTOR_REPLAY", &file).env("DOCTOR_FORMAT", "json").run();
    assert_eq!(report.code, 1);
    assert_valid(&report.json());

    let ids = |doctor: Doctor| doctor.report().value["checks"].as_array().unwrap().len();
    assert_eq!(ids(replay(&broken()).env("DOCTOR_ONLY", "shared-network,dns-lookup")), 2);
    assert!(ids(replay(&broken()).env("DOCTOR_SKIP", "shared-network")) >= 8);

    let host = replay(&broken()).env("DOCTOR_HOST", "nobody.example.com").report();
    assert!(!host.value["setup"]["paths"].to_string().contains("\"api.example.com\""));

    let running = Setup::healthy().start();
    let asked = Doctor::at(&running.engine)
        .env("DOCTOR_CADDY", "caddy")
        .env("DOCTOR_MITMPROXY", "mitmproxy")
        .env("DOCTOR_TIMEOUT", "5s")
        .env("DOCTOR_RECORD", &recorded)
        .run();
    // No namespace of a fake can be entered, so its backend was not tried.
    assert_eq!(asked.code, 3, "{asked:#?}");
    let facts: Value = serde_json::from_slice(&fs::read(&recorded).unwrap()).unwrap();
    assert_eq!((&facts["asked"]["caddy"], &facts["asked"]["mitmproxy"]), (&json!("caddy"), &json!("mitmproxy")));

    let project = Doctor::at(&running.engine).env("DOCTOR_PROJECT", "nosuch").report();
    assert_eq!(project.value["root_causes"][0]["summary"], "there is no Caddy in compose project nosuch");
}

#[test]
fn strict_can_be_given_in_the_environment() {
    for (value, code) in [("1", 1), ("true", 1), ("0", 0), ("false", 0)] {
        let ran = replay(&with_a_warning()).env("DOCTOR_STRICT", value).run();
        assert_eq!(ran.code, code, "DOCTOR_STRICT={value}: {ran:#?}");
    }
}

#[test]
fn a_variable_that_is_empty_is_none() {
    for name in [
        "DOCTOR_ONLY",
        "DOCTOR_SKIP",
        "DOCTOR_FORMAT",
        "DOCTOR_HOST",
        "DOCTOR_RECORD",
        "DOCTOR_TIMEOUT",
        "DOCTOR_STRICT",
    ] {
        let ran = replay(&broken()).env(name, "").run();
        assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{name}: {ran:#?}");
        assert!(ran.stdout.contains(" checks: "), "{name}: {ran:#?}");
    }
}

#[test]
fn a_flag_goes_before_a_variable() {
    let ran = replay(&broken()).env("DOCTOR_FORMAT", "json").args(["--format", "short"]).run();
    assert!(ran.stdout.starts_with("fail shared-network: "), "{ran:#?}");
    let report = replay(&broken()).env("DOCTOR_ONLY", "dns-lookup").args(["--only", "shared-network"]).report();
    assert_eq!(report.with_status("fail"), ["shared-network"]);
}

#[test]
fn variables_of_a_check_do_not_disturb_the_other_commands() {
    for arguments in [["list"].as_slice(), &["explain", "shared-network"], &["completions", "bash"]] {
        let mut doctor = Doctor::new().args(arguments);
        for (name, value) in [
            ("DOCTOR_FORMAT", "json"),
            ("DOCTOR_STRICT", "true"),
            ("DOCTOR_ONLY", "shared-network"),
            ("DOCTOR_TIMEOUT", "1s"),
        ] {
            doctor = doctor.env(name, value);
        }
        let ran = doctor.run();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}: {ran:#?}");
    }
}

#[test]
fn check_is_the_default_command() {
    let explicit = doctor(["check", "--replay"]).args([&broken()]).run();
    let implied = replay(&broken()).run();
    assert_eq!((explicit.code, explicit.stdout), (implied.code, implied.stdout));
}
