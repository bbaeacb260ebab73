//! The formats for build servers and issues as a script meets them: files, the summary of a step, runs that could not
//! start; and terminals. That what they write is well-formed is tested beside them, in `src/report/tests.rs`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod fakes;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use fakes::{Doctor, Folder, Ran};
use roxmltree::Document;

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/setups/{name}.json"))
}

fn replay(name: &str) -> Doctor {
    Doctor::new().args(["--replay"]).args([&recording(name)])
}

/// Tests, failures, errors and skipped ones of a JUnit document.
fn counts(junit: &str) -> [usize; 4] {
    let document = Document::parse(junit).unwrap_or_else(|error| panic!("{error}: {junit}"));
    let suite = document.root_element().first_element_child().unwrap();
    ["tests", "failures", "errors", "skipped"].map(|name| suite.attribute(name).unwrap().parse().unwrap())
}

/// That this is what stands for a report that is not there.
fn assert_could_not_look(format: &str, written: &str, said: &str) {
    match format {
        "text" | "short" => assert_eq!(written, ""),
        "json" => assert!(written.contains("\"exit_code\": 2") && written.contains("\"error\""), "{written}"),
        "markdown" => assert!(written.starts_with("**✗ The doctor could not look:** "), "{written}"),
        "github" => {
            assert!(written.starts_with("::error title=doctor%3A could not look::"), "{written}");
            assert_eq!(written.lines().count(), 1, "{written}");
        }
        "junit" => {
            assert_eq!(counts(written), [1, 0, 1, 0]);
            let message = Document::parse(written).unwrap();
            let error = message.descendants().find(|node| node.has_tag_name("error")).unwrap();
            assert!(error.attribute("message").unwrap().contains(said), "{written}");
        }
        other => panic!("{other}"),
    }
}

const FORMATS: [&str; 6] = ["text", "short", "json", "markdown", "github", "junit"];

// ------------------------------------------------------------------------------------------------------------- reports

#[test]
fn one_run_writes_several_formats() {
    let folder = Folder::new();
    let (markdown, junit, github) = (folder.path("a.md"), folder.path("b.xml"), folder.path("c.txt"));
    let ran = replay("two-networks")
        .args(["-o".to_owned(), format!("markdown={}", markdown.display())])
        .args(["-o".to_owned(), format!("junit={}", junit.display())])
        .args(["-o".to_owned(), format!("github={}", github.display())])
        .run();
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{ran:#?}");
    assert!(ran.stdout.contains("shared-network  caddy and mitmproxy share no network"), "{ran:#?}");
    let markdown = fs::read_to_string(markdown).unwrap();
    assert!(markdown.starts_with("**✗ fail** · 23 checks: "), "{markdown}");
    assert!(markdown.contains("\n### ✗ shared-network: caddy and mitmproxy share no network\n"), "{markdown}");
    assert!(markdown.contains("\n```sh\ndocker network connect edge-net mitmproxy\n```\n"), "{markdown}");
    assert!(markdown.contains("client ── caddy:80 ─✗─ mitmproxy:8080 ── backend:3000"), "{markdown}");
    assert!(markdown.contains("\nFollows from it: dns-lookup, flows-nonzero\n"), "{markdown}");
    assert_eq!(counts(&fs::read_to_string(junit).unwrap()), [23, 2, 0, 3]);
    let github = fs::read_to_string(github).unwrap();
    let first = "::error title=doctor%3A shared-network::caddy and mitmproxy share no network%0A";
    assert!(github.starts_with(first), "{github}");
    assert_eq!(github.lines().count(), 1, "what follows from it is no annotation: {github}");
}

#[test]
fn a_warning_passes_and_with_strict_it_fails() {
    let (junit, github) = (["--format", "junit"], ["--format", "github"]);
    let ran = replay("no-flows").args(junit).run();
    assert_eq!((ran.code, counts(&ran.stdout)[1]), (0, 0), "{ran:#?}");
    assert!(ran.stdout.contains("\nwarning flows-nonzero\n"), "{ran:#?}");
    assert!(replay("no-flows").args(github).run().stdout.starts_with("::warning title=doctor%3A flows-nonzero::"));
    let ran = replay("no-flows").args(["--strict"]).args(junit).run();
    assert_eq!((ran.code, counts(&ran.stdout)[1]), (1, 1), "{ran:#?}");
    let ran = replay("no-flows").args(["--strict"]).args(github).run();
    assert!(ran.stdout.starts_with("::error title=doctor%3A flows-nonzero::"), "{ran:#?}");
    assert_eq!(replay("no-flows").args(["--strict"]).report().value["strict"], true);
    assert!(replay("no-flows").report().value.get("strict").is_none());
}

#[test]
fn what_is_unknown_is_an_error_of_junit_and_a_notice_of_github() {
    // Without an engine.
    let ran = Doctor::new().args(["--format", "junit"]).run();
    let [tests, failures, errors, skipped] = counts(&ran.stdout);
    assert!(ran.code != 0 && failures + errors > 0 && failures + errors + skipped <= tests, "{ran:#?}");
    let ran = replay("mitmproxy-12-dial-web-port").args(["--format", "github"]).run();
    let kinds: Vec<&str> = ran.stdout.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!((kinds[0], kinds.contains(&"::notice")), ("::error", true), "{ran:#?}");
}

#[test]
fn what_is_accepted_is_seen_and_fails_nothing() {
    let folder = Folder::new();
    let text = "[[accept]]\ncheck = 'shared-network'\nreason = 'moves @soon <b>'\nexpires = 2999-12-31\n";
    let config = folder.file("doctor.toml", text);
    let run = |format: &str| {
        let ran = replay("two-networks").args(["--strict", "--format", format, "--config"]).args([&config]).run();
        assert!(ran.code == 0 && ran.stderr.is_empty(), "{ran:#?}");
        ran.stdout
    };
    let junit = run("junit");
    assert_eq!(counts(&junit), [23, 0, 0, 3], "{junit}");
    assert!(junit.contains("\naccepted shared-network\n") && junit.contains("until 2999-12-31: moves @soon &lt;b&gt;"));
    let github = run("github");
    let first =
        "::notice title=doctor%3A shared-network::caddy and mitmproxy share no network (accepted until 2999-12-31: ";
    assert!(github.starts_with(first) && github.lines().count() == 1, "{github}");
    let markdown = run("markdown");
    let line =
        "\n**! shared-network** caddy and mitmproxy share no network (accepted until 2999-12-31: moves `@soon <b>`)\n";
    assert!(markdown.contains(line) && markdown.contains("\n| ! accepted | shared-network |"), "{markdown}");
}

#[test]
fn a_healthy_setup_has_no_annotation() {
    let ran = replay("healthy-one-bridge").args(["--format", "github"]).run();
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
}

// ------------------------------------------------------------------------------------------------ the summary of a step

#[test]
fn the_summary_of_a_step_is_added_to_and_only_for_github() {
    let folder = Folder::new();
    let summary = folder.file("summary.md", "what was said before\n");
    let markdown = replay("two-networks").args(["--format", "markdown"]).run().stdout;
    for format in ["text", "short", "json", "markdown", "junit"] {
        replay("two-networks").env("GITHUB_STEP_SUMMARY", &summary).args(["--format", format]).run();
    }
    assert_eq!(fs::read_to_string(&summary).unwrap(), "what was said before\n");

    let ran = replay("two-networks").env("GITHUB_STEP_SUMMARY", &summary).args(["--format", "github"]).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{ran:#?}");
    let once = format!("what was said before\n\n{markdown}");
    assert_eq!(fs::read_to_string(&summary).unwrap(), once);

    let file = format!("github={}", folder.path("annotations.txt").display());
    let ran = replay("two-networks").env("GITHUB_STEP_SUMMARY", &summary).args(["-o", &file]).run();
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert_eq!(fs::read_to_string(&summary).unwrap(), format!("{once}\n{markdown}"));
}

#[test]
fn a_summary_that_cannot_be_written_is_one_sentence() {
    let folder = Folder::new();
    let nowhere = folder.path("missing/summary.md");
    let junit = format!("junit={}", folder.path("junit.xml").display());
    let doctor = replay("two-networks").env("GITHUB_STEP_SUMMARY", &nowhere);
    let ran = doctor.args(["--format", "github", "-o", &junit]).run();
    assert_eq!((ran.code, ran.stderr.lines().count()), (2, 1), "{ran:#?}");
    assert!(ran.stderr.starts_with("doctor: cannot append the summary of the step to "), "{ran:#?}");
    assert_could_not_look("github", &ran.stdout, "");
    let ran = replay("two-networks").env("GITHUB_STEP_SUMMARY", "").args(["--format", "github"]).run();
    assert_eq!(ran.code, 1, "an empty variable is none: {ran:#?}");
}

// ------------------------------------------------------------------------------------------------ runs that cannot start

#[test]
fn a_run_that_could_not_start_says_so_in_every_format() {
    let missing = Path::new("/nowhere/facts.json");
    for format in FORMATS {
        let said = |ran: &Ran, words: &str| {
            assert_eq!(ran.code, 2, "{ran:#?}");
            assert!(ran.stderr.contains(words), "{ran:#?}");
            assert_could_not_look(format, &ran.stdout, words);
        };
        said(&Doctor::new().args(["--format", format, "--replay"]).args([missing]).run(), "cannot read the recording");
        let wrong = ["--only", "nosuch"];
        for arguments in [vec!["--format", format], vec![&format!("--format={format}")]] {
            said(&Doctor::new().args(arguments).args(wrong).run(), "there is no check `nosuch`");
        }
        said(&Doctor::new().env("DOCTOR_FORMAT", format).args(wrong).run(), "there is no check `nosuch`");
    }
}

#[test]
fn the_file_of_an_earlier_run_is_not_taken_for_this_ones() {
    let folder = Folder::new();
    for format in ["json", "markdown", "github", "junit"] {
        let file = folder.file(format, "the report of yesterday: all is well");
        let target = format!("{format}={}", file.display());
        let ran = Doctor::new().args(["-o", &target, "--replay", "/nowhere/facts.json"]).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:#?}");
        assert_could_not_look(format, &fs::read_to_string(&file).unwrap(), "cannot read the recording");
    }
    // What was written before another file could not be is this run's report.
    let (good, bad) = (folder.path("good.xml"), folder.path("missing/bad.xml"));
    let targets = [&good, &bad].map(|file| format!("junit={}", file.display()));
    let ran = replay("two-networks").args(["-o", &targets[0], "-o", &targets[1]]).run();
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert_eq!(counts(&fs::read_to_string(&good).unwrap()), [23, 2, 0, 3]);
}

#[test]
fn a_message_is_bounded_and_commands_nobody() {
    let folder = Folder::new();
    let text = fs::read_to_string(recording("two-networks")).unwrap();
    let evil = format!("\\n::error::owned {}", "x".repeat(10_000_000));
    let file = folder.file("evil.json", text.replacen("\"namespace\"", &format!("\"{evil}\""), 1));
    for format in FORMATS {
        let ran = Doctor::new().args(["--format", format, "--replay"]).args([&file]).run();
        assert_eq!((ran.code, ran.stderr.lines().count()), (2, 1), "{}", &ran.stderr[..2000]);
        assert!(ran.stdout.len() + ran.stderr.len() < 10_000, "{format}: {} bytes", ran.stdout.len());
        assert!(!ran.stdout.contains("\n::error::owned") && !ran.stderr.contains("\n::error::owned"));
    }
}

#[test]
fn doctor_fix_has_no_form_for_them() {
    for format in ["markdown", "github", "junit"] {
        let fix = || Doctor::new().args(["fix", "--dry-run", "--replay"]).args([&recording("two-networks")]);
        let ran = fix().args(["--format", format]).run();
        assert_eq!(ran.code, 2, "{ran:#?}");
        assert!(ran.stderr.contains(&format!("doctor fix writes text or json, not {format}")), "{ran:#?}");
        assert_could_not_look(format, &ran.stdout, "doctor fix writes text or json");
        let ran = fix().args(["-o", &format!("{format}=/nowhere/x")]).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:#?}");
    }
}

// ------------------------------------------------------------------------------------------------------------ terminals

#[test]
fn ci_changes_nothing() {
    for format in FORMATS {
        let run = |doctor: Doctor| {
            let junit = doctor.env("LC_ALL", "C.UTF-8").args(["--format", format]).run().stdout;
            // Durations, and the time of the run in JUnit, are their own.
            junit
                .lines()
                .filter(|line| !line.contains("time") && !line.contains("duration_ms"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        let in_ci = run(replay("two-networks").env("CI", "true").env("GITHUB_ACTIONS", "true"));
        assert_eq!(in_ci, run(replay("two-networks")), "{format}");
    }
}

/// What the doctor prints at a terminal of its own, with these variables.
#[cfg(target_os = "linux")]
fn at_a_terminal(variables: &[(&str, &str)]) -> String {
    let line = format!("{} --replay {}", env!("CARGO_BIN_EXE_doctor"), recording("two-networks").display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]);
    let mut doctor = Doctor::of(command);
    for (name, value) in variables {
        doctor = doctor.env(name, *value);
    }
    let ran = doctor.run();
    assert!(ran.stdout.contains("shared-network"), "{ran:#?}");
    ran.stdout
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_shows_no_colour_gets_none() {
    let is_coloured = |variables: &[(&str, &str)]| at_a_terminal(variables).contains('\u{1b}');
    assert!(is_coloured(&[("TERM", "xterm")]));
    assert!(is_coloured(&[("TERM", "xterm"), ("CI", "true")]));
    for plain in [
        &[("TERM", "dumb")][..],
        &[("TERM", "dumb"), ("CI", "true")],
        &[("TERM", ""), ("CI", "true")],
        &[("TERM", "xterm"), ("NO_COLOR", "1")],
        &[("TERM", "xterm"), ("CLICOLOR", "0")],
        &[("TERM", "xterm"), ("NO_COLOR", "1"), ("FORCE_COLOR", "1")],
    ] {
        assert!(!is_coloured(plain), "{plain:?}");
    }
    assert!(is_coloured(&[("TERM", "dumb"), ("FORCE_COLOR", "1")]), "who forces it has it");
    assert!(is_coloured(&[("TERM", "dumb"), ("CLICOLOR_FORCE", "1")]), "who forces it has it");
}
