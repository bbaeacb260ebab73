//! `doctor.toml` as a person meets it: found, named and left out, what it may say and what is wrong with it, accepted
//! findings, and `doctor init`.
//!
//! What is judged are recordings; days are of 1999 and 2999, so that it does not matter when the tests run.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod fakes;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use fakes::{Doctor, Folder, Ran, RefusingPort, Setup};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recording(name: &str) -> PathBuf {
    root().join(format!("tests/setups/{name}.json"))
}

/// Judges a recording in a folder that has this `doctor.toml`.
fn with(toml: &str, name: &str) -> Doctor {
    let doctor = Doctor::new().args(["--replay"]).args([recording(name)]);
    doctor.home().file("doctor.toml", toml);
    doctor
}

fn validator(schema: &str) -> jsonschema::Validator {
    let schema: Value = serde_json::from_slice(&fs::read(root().join("docs").join(schema)).unwrap()).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// The report, which must be what the schema says.
fn report(doctor: Doctor) -> Value {
    let report = doctor.report().value;
    let errors: Vec<String> = validator("report.schema.json").iter_errors(&report).map(|own| own.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?} in {report:#}");
    report
}

fn check<'r>(report: &'r Value, id: &str) -> &'r Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no row {id} in {report:#}"))
}

fn ids(report: &Value) -> Vec<&str> {
    report["checks"].as_array().unwrap().iter().map(|check| check["id"].as_str().unwrap()).collect()
}

/// A run that could not start: exit code 2, and one sentence on standard error.
fn one_sentence(ran: &Ran) -> &str {
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:#?}");
    ran.stderr.trim_end().strip_prefix("doctor: ").unwrap()
}

// ------------------------------------------------------------------------------------------------ which file, what counts

#[test]
fn it_is_found_upwards_and_told() {
    let folder = Folder::new();
    folder.file("doctor.toml", "only = ['dns-lookup']");
    let below = Folder(folder.path("a/b"));
    fs::create_dir_all(&below.0).unwrap();
    // A folder of that name is none.
    fs::create_dir_all(below.path("doctor.toml")).unwrap();
    let replay = || Doctor::new().args(["--replay"]).args([recording("two-networks")]);
    let found = report(replay().in_folder(&below));
    assert_eq!(ids(&found), ["dns-lookup"]);
    let path = fs::canonicalize(folder.path("doctor.toml")).unwrap();
    assert_eq!(found["config"], path.to_str().unwrap());
    let text = replay().in_folder(&folder).run().stdout;
    assert!(text.contains("settings of doctor.toml\n"), "{text}");

    // The nearest counts, alone.
    fs::remove_dir(below.path("doctor.toml")).unwrap();
    below.file("doctor.toml", "skip = ['dns-lookup']");
    assert!(ids(&report(replay().in_folder(&below))).len() > 20);
}

#[test]
fn another_is_named_and_none_is_asked_for() {
    let replay = || with("only = ['dns-lookup']", "two-networks");
    let other = replay();
    let file = other.home().file("other.toml", "only = ['subnet']");
    assert_eq!(ids(&report(other.args(["--config"]).args([&file]))), ["subnet"]);
    let folder = Folder::new();
    let file = folder.file("other.toml", "only = ['subnet']");
    assert_eq!(ids(&report(replay().env("DOCTOR_CONFIG", &file))), ["subnet"]);
    assert_eq!(ids(&report(replay().env("DOCTOR_CONFIG", ""))), ["dns-lookup"], "an empty variable is none");

    let without = report(replay().env("DOCTOR_CONFIG", &file).args(["--no-config"]));
    assert!(ids(&without).len() > 20 && without.get("config").is_none(), "{without:#}");
    assert!(ids(&report(replay().env("DOCTOR_NO_CONFIG", "1"))).len() > 20);
    // The command line counts before the environment.
    assert_eq!(ids(&report(replay().env("DOCTOR_NO_CONFIG", "1").args(["--config"]).args([&file]))), ["subnet"]);

    let missing = with("", "two-networks").args(["--config", "nowhere.toml"]);
    assert!(one_sentence(&missing.run()).starts_with("cannot read the settings nowhere.toml: "));
}

#[test]
fn the_command_line_counts_first_then_the_environment_then_the_file() {
    let doctor = || with("strict = true\nformat = 'short'\nskip = ['vantage']", "no-flows");
    let ran = doctor().run();
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stdout.starts_with("warn flows-nonzero"), "{ran:#?}");
    assert_eq!(doctor().env("DOCTOR_STRICT", "no").run().code, 0);
    assert!(doctor().env("DOCTOR_FORMAT", "json").run().stdout.starts_with('{'));
    let both = doctor().env("DOCTOR_FORMAT", "text").args(["--format", "json", "--skip", "memory"]).run();
    let value: Value = serde_json::from_str(&both.stdout).unwrap();
    assert!(ids(&value).contains(&"vantage") && !ids(&value).contains(&"memory"), "a list is replaced: {value:#}");

    // The same below a command of its own, where an empty variable is none, too.
    let named = Doctor::new().args(["check", "--replay"]).args([recording("no-flows")]).env("DOCTOR_FORMAT", "");
    named.home().file("doctor.toml", "strict = true\nformat = 'short'");
    let ran = named.run();
    assert_eq!((ran.code, ran.stdout.starts_with("warn ")), (1, true), "{ran:#?}");
}

#[test]
fn hosts_parts_and_thresholds_reach_the_checks() {
    let lost = report(with("host = ['nobody.example.com']", "healthy-one-bridge"));
    assert_eq!(check(&lost, "caddy-route")["status"], "fail", "{lost:#}");
    let absent = report(with("mitmproxy = 'nobody'", "healthy-one-bridge"));
    assert_eq!(check(&absent, "setup-found")["status"], "fail", "{absent:#}");

    let usual = report(with("", "nearly-out-of-memory"));
    assert_eq!(check(&usual, "memory")["status"], "warn", "{usual:#}");
    let higher = report(with("[thresholds]\nmemory_percent = 100", "nearly-out-of-memory"));
    assert_eq!(check(&higher, "memory")["status"], "pass", "{higher:#}");
}

#[test]
fn an_expectation_tells_what_it_is_needed_for() {
    let (setup, refusing) = (Setup::healthy().start(), RefusingPort::new());
    let address = format!("127.0.0.1:{}", refusing.port);
    let doctor = setup.doctor();
    doctor.home().file("doctor.toml", format!("[[expect]]\naddress = '{address}'\nwhy = 'the smoke test'"));
    let seen = report(doctor);
    let finding = &check(&seen, "vantage")["findings"][0];
    assert!(
        finding["evidence"].as_array().unwrap().contains(&json!({"label": "needed for", "value": "the smoke test"}))
    );

    let accepting = format!("127.0.0.1:{}", setup.mitmweb.port);
    let doctor = setup.doctor();
    doctor.home().file("doctor.toml", format!("[[expect]]\naddress = '{accepting}'\nwhy = 'the smoke test'"));
    let vantage = check(&report(doctor), "vantage").clone();
    assert_eq!(vantage["status"], "pass", "{vantage:#}");
    assert!(vantage["evidence"].to_string().contains("needed for: the smoke test"), "{vantage:#}");
}

// --------------------------------------------------------------------------------------------------------- whose file it is

const BOLD: &str =
    "probe = true\nweb_password_file = 'secret'\ncaddy = 'http://192.0.2.7:2019'\nmitmproxy = 'http://127.0.0.1:1'\n";

/// What was asked for, as it is recorded.
fn asked(doctor: Doctor) -> (Value, Ran) {
    let folder = Folder::new();
    let kept = folder.path("facts.json");
    let ran = doctor.args(["--timeout", "2s", "--record"]).args([&kept]).run();
    let facts: Value = serde_json::from_slice(&fs::read(kept).unwrap_or_default()).unwrap_or_default();
    (facts["asked"].clone(), ran)
}

#[test]
fn a_file_that_was_merely_found_sends_nothing_and_leads_nowhere() {
    let doctor = Doctor::new();
    doctor.home().file("doctor.toml", BOLD);
    let (seen, ran) = asked(doctor);
    assert_eq!(seen["probe"], false, "{seen:#}");
    assert!(seen.get("caddy").is_none(), "{seen:#}");
    assert_eq!(seen["mitmproxy"], "http://127.0.0.1:1", "this machine is no other");
    let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for note in [
        "doctor.toml:1: `probe` is left out, since it sends requests; --config doctor.toml trusts the file",
        "doctor.toml:2: `web_password_file` is left out, since it names another file",
        "doctor.toml:3: `caddy` is left out, since it leads to another machine",
    ] {
        assert!(text.contains(note), "{note} in {text}");
    }
    assert!(!text.contains("`mitmproxy` is left out"), "{text}");
}

#[test]
fn a_file_that_was_named_is_trusted() {
    let doctor = Doctor::new().args(["--config", "doctor.toml"]);
    doctor.home().file("doctor.toml", BOLD.replace("192.0.2.7:2019", "127.0.0.1:2"));
    doctor.home().file("secret", "x");
    let (seen, ran) = asked(doctor);
    assert_eq!((&seen["probe"], &seen["caddy"]), (&json!(true), &json!("http://127.0.0.1:2")), "{ran:#?}");
    assert!(!ran.stdout.contains("left out"), "{ran:#?}");

    // A path counts from the folder of the file, and a variable with the password before it.
    let folder = Folder::new();
    let file = folder.file("settings/doctor.toml", "web_password_file = 'secret'");
    let missing = Doctor::new().args(["--config"]).args([&file]).run();
    assert!(one_sentence(&missing).contains("settings/secret"), "{missing:#?}");
    assert_ne!(Doctor::new().args(["--config"]).args([&file]).env("DOCTOR_WEB_PASSWORD", "x").run().code, 2);
}

// -------------------------------------------------------------------------------------------------------- what is wrong in it

/// What stands in the file, and the sentence; the schema refuses each as well, but for what only the doctor knows.
const WRONG: &[(&str, &str, bool)] = &[
    ("\nhots = ['a']", "doctor.toml:2: there is no name `hots`; did you mean `host`?", true),
    ("output = 'x'", "doctor.toml:1: `output` is no name of doctor.toml: ", true),
    ("record = 'x'", "doctor.toml:1: `record` is no name of doctor.toml: ", true),
    ("host = 'a'", "doctor.toml:1: `host`: invalid type: string \"a\", expected a list", true),
    ("host = ['a', 5]", "doctor.toml:1: ", true),
    ("host = [' ']", "doctor.toml:1: a name is empty", true),
    ("strict = 'yes'", "doctor.toml:1: `strict`: invalid type: string \"yes\", expected a boolean", true),
    ("timeout = 10", "doctor.toml:1: `timeout`: invalid type: integer `10`, expected a string", true),
    ("timeout = '10h'", "doctor.toml:1: `timeout`: `h` is no unit of time; say 500ms, 10s or 2m", true),
    ("format = 'jsn'", "doctor.toml:1: `format`: there is no format `jsn`; did you mean `json`?", true),
    (
        "only = [\n'dns-lookup',\n'shared-netwrok']",
        "doctor.toml:3: there is no check `shared-netwrok`; did you mean `shared-network`?",
        false,
    ),
    (
        "skip = ['nothing-like-it']",
        "doctor.toml:1: there is no check `nothing-like-it`; `doctor list` lists them all",
        false,
    ),
    ("expect = ['mitmproxy']", "doctor.toml:1: `mitmproxy`: say a host and a port", true),
    ("[[expect]]\naddres = 'a:1'", "doctor.toml:1: `expect`: there is no name `addres`; did you mean `address`?", true),
    ("[[expect]]\nwhy = 'x'", "doctor.toml:1: `expect`: `address` is missing", true),
    (
        "[thresholds]\ndns_ms = -1",
        "doctor.toml:2: `dns_ms`: invalid value: integer `-1`, expected a whole number of at least 0",
        true,
    ),
    ("[thresholds]\nmemory = 1", "doctor.toml:2: there is no name `memory`; ", true),
    ("thresholds = 5", "doctor.toml:1: `thresholds`: invalid type: integer `5`, expected a table", true),
    ("[[accept]]\ncheck = 'memory'\nreason = 'x'", "doctor.toml:1: `expires` is missing", true),
    ("[[accept]]\ncheck = 'memory'\nexpires = 2999-01-01", "doctor.toml:1: `reason` is missing", true),
    ("[[accept]]\ncheck = 'memory'\nreason = ' '\nexpires = 2999-01-01", "doctor.toml:3: `reason` is empty", true),
    (
        "[[accept]]\ncheck = 'memry'\nreason = 'x'\nexpires = 2999-01-01",
        "doctor.toml:2: there is no check `memry`; did you mean `memory`?",
        false,
    ),
    (
        "[[accept]]\ncheck = 'memory'\nabout = 5\nreason = 'x'\nexpires = 2999-01-01",
        "doctor.toml:3: `about`: say the name of a party",
        true,
    ),
    (
        "[[accept]]\ncheck = 'memory'\nabout = []\nreason = 'x'\nexpires = 2999-01-01",
        "doctor.toml:3: `about`: say the name of a party",
        true,
    ),
    (
        "[[accept]]\ncheck = 'memory'\nreason = 'x'\nexpires = 2999-01-01T00:00:00Z",
        "doctor.toml:4: `expires`: say a day, ",
        true,
    ),
    // The schema knows strings only.
    (
        "[[accept]]\ncheck = 'memory'\nreason = 'x'\nexpires = '2999-01-01'",
        "doctor.toml:4: `expires`: say a day, without quotes",
        false,
    ),
];

#[test]
fn what_is_wrong_is_one_sentence_with_the_line_and_the_nearest_right_name() {
    let schema = validator("config.schema.json");
    for (toml, sentence, is_in_schema) in WRONG {
        let ran = with(toml, "two-networks").run();
        assert!(one_sentence(&ran).starts_with(sentence), "{toml}: {ran:#?}");
        assert_eq!(ran.stdout, "", "{toml}");
        assert_eq!(!schema.is_valid(&json_of(toml)), *is_in_schema, "{toml}");
        let ran = with(toml, "two-networks").args(["--format", "json"]).run();
        assert_eq!(ran.code, 2);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert!(document["error"].as_str().unwrap().starts_with(sentence), "{document:#}");
        assert!(validator("report.schema.json").is_valid(&document), "{document:#}");
    }
    // What is no TOML at all, twice, or too long.
    for toml in ["host = [", "a b", "host = ['a']\nhost = ['b']", "\"\u{1b}[31m\" = 1"] {
        let ran = with(toml, "two-networks").run();
        assert!(one_sentence(&ran).starts_with("doctor.toml:"), "{toml}: {ran:#?}");
        assert!(!ran.stderr.contains('\u{1b}'), "{ran:#?}");
    }
    let long = with(&"#".repeat(2 << 20), "two-networks").run();
    assert!(one_sentence(&long).ends_with("it is longer than 1 MiB"), "{long:#?}");
    let bytes = Doctor::new();
    bytes.home().file("doctor.toml", [0xff, 0xfe]);
    assert!(one_sentence(&bytes.run()).starts_with("cannot read the settings doctor.toml: "));
}

/// A TOML document as the schema sees it.
fn json_of(toml: &str) -> Value {
    fn value(own: toml::Value) -> Value {
        match own {
            toml::Value::Datetime(day) => json!(day.to_string()),
            toml::Value::Array(all) => all.into_iter().map(value).collect(),
            toml::Value::Table(all) => all.into_iter().map(|(name, own)| (name, value(own))).collect(),
            other => serde_json::to_value(other).unwrap(),
        }
    }
    value(toml::Value::Table(toml::from_str(toml).unwrap_or_else(|error| panic!("{error}: {toml}"))))
}

#[test]
fn the_schema_takes_what_the_doctor_takes() {
    let page = fs::read_to_string(root().join("docs/config.md")).unwrap();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let schema = validator("config.schema.json");
    for toml in [
        "",
        example,
        "expect = ['a:1', {address = '[::1]:80', why = 'x'}]\nprobe = false\nstrict = true\nformat = 'text'\ntimeout = '500ms'",
        "[[accept]]\ncheck = 'memory'\nabout = ['a', 'b']\nreason = 'x'\nexpires = 1999-01-01",
    ] {
        let errors: Vec<String> = schema.iter_errors(&json_of(toml)).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {toml}");
        let ran = with(toml, "healthy-one-bridge").run();
        assert_ne!(ran.code, 2, "{toml}: {ran:#?}");
    }
}

#[test]
fn the_schema_has_every_format() {
    let schema: Value = serde_json::from_slice(&fs::read(root().join("docs/config.schema.json")).unwrap()).unwrap();
    let formats = schema["properties"]["format"]["enum"].as_array().unwrap();
    let mut known: Vec<&str> = formats.iter().map(|own| own.as_str().unwrap()).collect();
    let last = known.pop().unwrap();
    let ran = with("format = 'none-of-these'", "two-networks").run();
    assert!(one_sentence(&ran).ends_with(&format!("; there are {} and {last}", known.join(", "))), "{ran:#?}");
}

// --------------------------------------------------------------------------------------------------------- accepted findings

fn accept(check: &str, about: &str, expires: &str) -> String {
    let about = if about.is_empty() { String::new() } else { format!("about = {about}\n") };
    format!("[[accept]]\ncheck = '{check}'\n{about}reason = 'moves in autumn'\nexpires = {expires}\n")
}

#[test]
fn an_accepted_failure_is_told_and_fails_nothing() {
    let toml = accept("shared-network", "['caddy', 'mitmproxy']", "2999-12-31");
    for format in ["text", "short", "json"] {
        for strict in [&[][..], &["--strict"]] {
            let ran = with(&toml, "two-networks").args(["--format", format]).args(strict.iter().copied()).run();
            assert_eq!(ran.code, 0, "{format} {strict:?}: {ran:#?}");
            assert!(ran.stdout.contains("2999-12-31") && ran.stdout.contains("moves in autumn"), "{ran:#?}");
        }
    }
    let seen = report(with(&toml, "two-networks"));
    assert_eq!((&seen["status"], &seen["accepted"], &seen["root_causes"]), (&json!("warn"), &json!(3), &json!([])));
    assert!(seen.get("notes").is_none(), "{seen:#}");
    let row = check(&seen, "shared-network");
    assert_eq!((&row["status"], &row["findings"][0]["severity"]), (&json!("warn"), &json!("warn")));
    let accepted = json!({"reason": "moves in autumn", "expires": "2999-12-31", "severity": "fail"});
    assert_eq!(row["findings"][0]["accepted"], accepted);
    assert_eq!(seen["setup"]["paths"][0]["broken"], json!([1]), "it is broken, accepted or not");

    // What follows from it is accepted through it.
    let follows = &check(&seen, "dns-lookup")["findings"][0];
    assert_eq!(follows["accepted"]["through"], "shared-network");
    assert_eq!(follows["consequence_of"], json!(["shared-network"]));

    let text = with(&toml, "two-networks").run().stdout;
    assert!(text.contains("~ shared-network  accepted until 2999-12-31 (moves in autumn):"), "{text}");
    assert!(text.contains("  follows from it: dns-lookup, flows-nonzero\n"), "{text}");
    assert!(text.contains("23 checks: 3 accepted, 17 passed, 3 skipped"), "{text}");
    assert!(!text.contains("failed") && !text.contains("with a warning"), "{text}");
}

#[test]
fn an_acceptance_is_for_what_it_names() {
    let status = |toml: String, name: &str| {
        let seen = report(with(&toml, name));
        (seen["exit_code"].as_u64().unwrap(), seen["root_causes"].as_array().unwrap().len(), seen)
    };
    for about in ["", "'mitmproxy'", "'caddy -> mitmproxy:8080'", "['caddy', 'caddy -> mitmproxy:8080']"] {
        assert_eq!(status(accept("shared-network", about, "2999-12-31"), "two-networks").0, 0, "{about}");
    }
    // One of its parties is not all of them; another check is another.
    for (id, about) in [("shared-network", "['caddy', 'nobody']"), ("subnet", "")] {
        let (code, causes, seen) = status(accept(id, about, "2999-12-31"), "two-networks");
        assert_eq!((code, causes), (1, 1), "{id} {about}");
        assert!(
            seen["notes"][0].as_str().unwrap().starts_with(&format!("doctor.toml:1: {id} found nothing ")),
            "{seen:#}"
        );
    }
    // A check that was left out says nothing of what it is accepted for.
    let left_out = report(with(&accept("subnet", "", "2999-12-31"), "two-networks").args(["--skip", "subnet"]));
    assert!(left_out.get("notes").is_none(), "{left_out:#}");
}

#[test]
fn a_warning_can_be_accepted_too() {
    let toml = accept("flows-nonzero", "", "2999-12-31");
    assert_eq!(with(&toml, "no-flows").args(["--strict"]).run().code, 0);
    assert_eq!(with("", "no-flows").args(["--strict"]).run().code, 1);
}

#[test]
fn it_fails_again_when_the_acceptance_has_expired() {
    let toml = accept("shared-network", "", "1999-12-31");
    let seen = report(with(&toml, "two-networks"));
    assert_eq!((&seen["exit_code"], &seen["root_causes"][0]["check"]), (&json!(1), &json!("shared-network")));
    assert!(seen.get("accepted").is_none() && seen.get("notes").is_none(), "{seen:#}");
    let evidence =
        check(&seen, "shared-network")["findings"][0]["evidence"].as_array().unwrap().last().unwrap().clone();
    let value = "until 1999-12-31, and no longer (doctor.toml:1): moves in autumn";
    assert_eq!(evidence, json!({"label": "was accepted", "value": value}));
    // A newer one counts, wherever it stands.
    let both = toml + &accept("shared-network", "", "2999-12-31");
    assert_eq!(with(&both, "two-networks").run().code, 0);
}

#[test]
fn what_another_failure_explains_too_stays_what_it_is() {
    // Two faults; flows-nonzero follows from both.
    let one = report(with(&accept("caddy-dial", "", "2999-12-31"), "pair-dial-and-target"));
    assert_eq!((&one["exit_code"], &one["accepted"]), (&json!(1), &json!(1)), "{one:#}");
    assert_eq!(one["root_causes"][0]["check"], "reverse-mode");
    assert!(check(&one, "flows-nonzero")["findings"][0].get("accepted").is_none(), "{one:#}");
    // Accepting both, nothing is left.
    let toml = accept("caddy-dial", "", "2999-12-31") + &accept("reverse-mode", "", "2999-12-31");
    let both = report(with(&toml, "pair-dial-and-target"));
    assert_eq!((&both["exit_code"], &both["root_causes"]), (&json!(0), &json!([])), "{both:#}");
    assert!(check(&both, "flows-nonzero")["findings"][0]["accepted"].get("through").is_some(), "{both:#}");

    // The name is misspelt on the other hop, which the missing network does not explain.
    let other = report(with(&accept("shared-network", "", "2999-12-31"), "two-networks-and-misspelt-target"));
    assert_eq!(
        (&other["exit_code"], &other["root_causes"][0]["check"]),
        (&json!(1), &json!("dns-lookup")),
        "{other:#}"
    );
    let row = check(&other, "dns-lookup");
    assert_eq!(row["status"], "fail");
    let accepted = |finding: &&Value| finding.get("accepted").is_some();
    assert_eq!(row["findings"].as_array().unwrap().iter().filter(accepted).count(), 1, "{row:#}");
}

#[test]
fn what_an_accepted_failure_blocks_stays_blocked() {
    let without = report(with("", "admin-off"));
    let seen = report(with(&accept("caddy-admin", "", "2999-12-31"), "admin-off"));
    assert_eq!((&without["exit_code"], &seen["exit_code"]), (&json!(1), &json!(0)), "{seen:#}");
    let blocked = |report: &Value| check(report, "caddy-route")["blocked_by"].clone();
    assert_eq!(blocked(&seen), json!(["caddy-admin"]), "{seen:#}");
    assert_eq!(blocked(&without), blocked(&seen));
}

#[test]
fn fix_leaves_alone_what_is_accepted() {
    let plan = |toml: &str| {
        let doctor = Doctor::new().args(["fix", "--format", "json", "--replay"]).args([recording("two-networks")]);
        doctor.home().file("doctor.toml", toml);
        let ran = doctor.run();
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        (document["plan"].as_array().unwrap().len(), ran.code)
    };
    assert_eq!(plan(""), (1, 1));
    assert_eq!(plan(&accept("shared-network", "", "2999-12-31")), (0, 0));
}

// ---------------------------------------------------------------------------------------------------------------- doctor init

#[test]
fn init_writes_what_changes_no_verdict() {
    let verdicts = |file: &Path, folder: &Folder| {
        let seen = Doctor::new().in_folder(folder).args(["--replay"]).args([file]).report().value;
        let statuses: Vec<Value> = seen["checks"].as_array().unwrap().iter().map(|own| own["status"].clone()).collect();
        let shown = seen.get("config").is_some();
        (json!([seen["exit_code"], seen["root_causes"], seen["setup"]["paths"], statuses]), shown)
    };
    let schema = validator("config.schema.json");
    let (empty, folder) = (Folder::new(), Folder::new());
    let mut active = 0;
    for entry in fs::read_dir(root().join("tests/setups")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|own| own != "json") {
            continue;
        }
        let ran = Doctor::new().in_folder(&folder).args(["init", "--force", "--replay"]).args([&file]).run();
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert!(ran.stdout.starts_with("wrote doctor.toml: "), "{ran:#?}");
        let written = json_of(&fs::read_to_string(folder.path("doctor.toml")).unwrap());
        assert!(schema.is_valid(&written), "{}: {written:#}", file.display());
        active += written.as_object().unwrap().len();
        let ((without, _), (with, is_shown)) = (verdicts(&file, &empty), verdicts(&file, &folder));
        assert_eq!(without, with, "{} with {written:#}", file.display());
        assert!(is_shown);
    }
    assert!(active > 100, "only {active} names are active in all of them");
}

#[test]
fn init_writes_the_setup_and_every_line_can_be_uncommented() {
    let folder = Folder::new();
    let ran = Doctor::new().in_folder(&folder).args(["init", "--replay"]).args([recording("two-networks")]).run();
    let found = "host = [\"api.example.com\"], caddy = \"caddy\", mitmproxy = \"mitmproxy\"";
    assert_eq!(ran.stdout, format!("wrote doctor.toml: {found}\n"), "{ran:#?}");
    let text = fs::read_to_string(folder.path("doctor.toml")).unwrap();
    let is_setting =
        |line: &str| line.starts_with("[") || line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '));
    let uncommented: Vec<&str> =
        text.lines().map(|line| line.strip_prefix("# ").filter(|own| is_setting(own)).unwrap_or(line)).collect();
    let all = json_of(&uncommented.join("\n"));
    let schema: Value = serde_json::from_slice(&fs::read(root().join("docs/config.schema.json")).unwrap()).unwrap();
    let names = |own: &Value| own.as_object().unwrap().keys().cloned().collect::<BTreeSet<String>>();
    assert_eq!(names(&all), names(&schema["properties"]));
    assert!(validator("config.schema.json").is_valid(&all), "{all:#}");
    assert_eq!(all["expect"][0]["address"], "127.0.0.1:18080");
    assert_eq!(
        (&all["accept"][0]["check"], &all["accept"][0]["about"]),
        (&json!("shared-network"), &json!(["caddy", "mitmproxy"]))
    );
}

#[test]
fn init_overwrites_only_when_told_to_and_writes_where_it_is_told() {
    let folder = Folder::new();
    folder.file("doctor.toml", "precious");
    let init = || Doctor::new().in_folder(&folder).args(["init"]);
    let refused = init().run();
    assert_eq!(one_sentence(&refused), "doctor.toml is there already; doctor init --force writes over it");
    assert_eq!(fs::read_to_string(folder.path("doctor.toml")).unwrap(), "precious");

    // No engine, and nothing found: all comments.
    let ran = init().args(["--force", "--timeout", "2s"]).args(["--caddy", "nobody", "--mitmproxy", "nobody"]).run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let other = init().args(["--config", "other.toml", "--replay"]).args([recording("nothing")]).run();
    assert_eq!(other.stdout, "wrote other.toml: no setup was found, so all of it are comments\n");
    let text = fs::read_to_string(folder.path("other.toml")).unwrap();
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");
    // Which checks are made elsewhere is nothing to it.
    let (setup, elsewhere) = (Setup::healthy().start(), Folder::new());
    let ran = Doctor::at(&setup.engine).in_folder(&elsewhere).env("DOCTOR_ONLY", "subnet");
    let ran = ran.env("DOCTOR_SKIP", "subnet").args(["init"]).run();
    assert!(ran.stdout.contains("caddy = \"caddy\", mitmproxy = \"mitmproxy\""), "{ran:#?}");
    let nowhere = init().args(["--config", "no/such/folder.toml", "--replay"]).args([recording("nothing")]).run();
    assert!(one_sentence(&nowhere).starts_with("cannot write no/such/folder.toml: "));
    assert_eq!(folder.names().len(), 2, "{:?}", folder.names());
}
