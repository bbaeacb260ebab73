//! Recordings of real setups, and the report that each must give.
//!
//! The lab records them (`DOCTOR_BLESS=1 cargo test --test lab`); when only the wording of reports changes,
//! `DOCTOR_BLESS=1 cargo test --test replay` writes the reports anew from the recordings.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use caddy_doctor_checks::ALL;
use serde_json::Value;

fn setups() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setups");
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    all.sort();
    assert!(all.len() > 40, "recordings are missing");
    all
}

fn name(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

fn replay(path: &Path, format: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doctor"));
    command.env_clear().env("LC_ALL", "C.UTF-8").args(["--format", format, "--replay"]).arg(path);
    command.output().unwrap()
}

fn report(path: &Path) -> Value {
    serde_json::from_slice(&replay(path, "json").stdout).unwrap()
}

#[test]
fn every_recording_gives_its_report() {
    let bless = env::var_os("DOCTOR_BLESS").is_some();
    let mut changed = Vec::new();
    for path in setups() {
        let text = String::from_utf8(replay(&path, "text").stdout).unwrap();
        let expected = path.with_extension("txt");
        if bless {
            fs::write(&expected, &text).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != text {
            changed.push(format!("{}:\n{text}", name(&path)));
        }
    }
    assert!(
        changed.is_empty(),
        "run `DOCTOR_BLESS=1 cargo test --test replay` if this is right:\n{}",
        changed.join("\n")
    );
}

#[test]
fn every_report_is_valid_and_has_one_exit_code_in_every_format() {
    let schema = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    for path in setups() {
        let report = report(&path);
        if let Err(error) = schema.validate(&report) {
            panic!("{}: {error}", name(&path));
        }
        for format in ["text", "short", "json", "markdown", "github", "junit"] {
            let code = replay(&path, format).status.code();
            assert_eq!(code, report["exit_code"].as_i64().map(|code| code as i32), "{} as {format}", name(&path));
        }
    }
}

#[test]
fn healthy_setups_are_not_accused() {
    for path in setups().iter().filter(|path| name(path).starts_with("healthy-")) {
        let report = report(path);
        assert_eq!((&report["status"], &report["exit_code"]), (&"pass".into(), &0.into()), "{}", name(path));
        assert!(report["root_causes"].as_array().unwrap().is_empty(), "{}", name(path));
    }
}

/// A check without a recorded real failure is a guess, and one that nothing healthy was shown to may accuse anybody.
#[test]
fn every_check_finds_something_real_and_is_quiet_where_all_is_well() {
    let (mut found, mut quiet) = (BTreeMap::new(), BTreeMap::new());
    for path in setups() {
        for row in report(&path)["checks"].as_array().unwrap() {
            let id = row["id"].as_str().unwrap().to_owned();
            let status = row["status"].as_str().unwrap();
            if matches!(status, "fail" | "warn") {
                *found.entry(id).or_insert(0) += 1;
            } else if status == "pass" && name(&path).starts_with("healthy-") {
                *quiet.entry(id).or_insert(0) += 1;
            }
        }
    }
    for check in ALL {
        assert!(found.contains_key(check.id), "no recording makes {} find anything", check.id);
        let times = quiet.get(check.id).copied().unwrap_or(0);
        assert!(times >= 3, "{} passes in {times} healthy recordings only", check.id);
    }
}
