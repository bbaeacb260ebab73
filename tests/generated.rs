//! The pages in `docs/checks` and the README's table of checks are written from the checks themselves, the report in
//! the README by the doctor, and the JSON Schemas of recordings and verdicts from the types that hold them.
//!
//! With `DOCTOR_BLESS=1` these tests write them; without it they fail when one of them is stale.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use caddy_doctor_checks::{
    ALL,
    model::{
        Check, Facts, Group,
        own::{self, OwnVerdict},
    },
};
use schemars::{JsonSchema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Value, json};

const STALE: &str = "run `DOCTOR_BLESS=1 cargo test --test generated`";

#[test]
fn the_pages_of_the_checks_are_current() {
    let folder = root().join("docs/checks");
    let wanted: BTreeMap<String, String> = ALL.iter().map(|check| (format!("{}.md", check.id), page(check))).collect();
    let there = files_in(&folder, "md");
    if is_bless() {
        fs::create_dir_all(&folder).unwrap();
        for name in there.iter().filter(|name| !wanted.contains_key(*name)) {
            fs::remove_file(folder.join(name)).unwrap();
        }
        for (name, text) in &wanted {
            fs::write(folder.join(name), text).unwrap();
        }
        return;
    }
    let mut problems = Vec::new();
    for (name, text) in &wanted {
        match there.contains(name).then(|| read(&folder.join(name))) {
            None => problems.push(format!("docs/checks/{name} is missing")),
            Some(own) if own != *text => problems.push(format!("docs/checks/{name} is stale")),
            Some(_) => {}
        }
    }
    let unknown = there.iter().filter(|name| !wanted.contains_key(*name));
    problems.extend(unknown.map(|name| format!("docs/checks/{name} belongs to no check")));
    assert!(problems.is_empty(), "{}; {STALE}", problems.join("; "));
}

#[test]
fn the_generated_parts_of_the_readme_are_current() {
    let path = root().join("README.md");
    let readme = read(&path);
    let wanted = with_generated(&readme);
    let own_folder = root().display().to_string();
    assert!(!wanted.contains(&own_folder), "the README names {own_folder}, which is a folder of this machine only");
    if is_bless() {
        fs::write(path, wanted).unwrap();
    } else {
        assert!(readme == wanted, "the report or the table of checks in README.md is stale; {STALE}");
    }
}

#[test]
fn the_schemas_are_current() {
    for (name, schema) in [("facts", facts_schema()), ("verdict", verdict_schema())] {
        let path = root().join(format!("docs/{name}.schema.json"));
        let wanted = format!("{schema:#}\n");
        if is_bless() {
            fs::write(path, wanted).unwrap();
        } else {
            assert!(path.is_file() && read(&path) == wanted, "docs/{name}.schema.json is stale; {STALE}");
        }
    }
}

#[test]
fn every_recording_is_what_its_schema_says() {
    let schema = jsonschema::validator_for(&facts_schema()).unwrap();
    let folder = root().join("tests/setups");
    let recordings = files_in(&folder, "json");
    assert!(recordings.len() > 40, "recordings are missing");
    for name in recordings {
        let recording: Value = serde_json::from_str(&read(&folder.join(&name))).unwrap();
        if let Err(error) = schema.validate(&recording) {
            panic!("{name}, at {}: {error}", error.instance_path());
        }
        for (pointer, wrong) in [
            ("/schema", json!(2)),
            ("/elapsed_ms", json!("long")),
            ("/containers", json!({"Ok": [{"name": "without the rest"}]})),
            ("/caddies", json!({"Err": {"failed": {"asked": "GET /config/"}}})),
            ("/views", json!(null)),
        ] {
            let mut other = recording.clone();
            *other.pointer_mut(pointer).unwrap() = wrong;
            assert!(!schema.is_valid(&other), "{name} is valid with another {pointer}");
        }
    }
}

/// What is valid by the schema is read, and the other way round.
#[test]
fn a_verdict_is_what_its_schema_says() {
    let schema = jsonschema::validator_for(&verdict_schema()).unwrap();
    let finding = json!({"severity": "fail", "summary": "s"});
    let with = |key: &str, value: Value| {
        let mut finding = finding.clone();
        finding[key] = value;
        json!({"findings": [finding]})
    };
    let edit = json!({"file": "compose.yml", "text": "a: b"});
    for (verdict, is_one) in [
        (json!({"summary": "fine"}), true),
        (json!({"summary": ""}), false),
        (json!({}), false),
        (json!(["fine"]), false),
        (json!({"evidence": []}), false),
        (json!({"summary": "fine", "evidence": [{"label": "l", "value": "v"}]}), true),
        (json!({"summary": "fine", "evidence": [{"label": "l"}]}), false),
        (json!({"not_applicable": "there is no backend"}), true),
        (json!({"gaps": [{"reason": "r", "about": ["backend"]}]}), true),
        (json!({"gaps": []}), false),
        (json!({"gaps": [{"reason": ""}]}), false),
        (json!({"findings": []}), false),
        (json!({"summary": "fine", "finding": []}), false),
        (with("about", json!(["caddy"])), true),
        (with("hop", json!("caddy -> mitmproxy:8080")), true),
        (with("severity", json!("error")), false),
        (with("summary", json!("")), false),
        (with("sumary", json!("s")), false),
        (with("fixes", json!([{"title": "t", "commands": ["true"], "edits": [edit]}])), true),
        (with("fixes", json!([{"title": ""}])), false),
        (with("fixes", json!([{"title": "t", "apply": "safe"}])), false),
    ] {
        assert_eq!(schema.is_valid(&verdict), is_one, "by the schema: {verdict}");
        assert_eq!(own::read(verdict.to_string().as_bytes()).is_ok(), is_one, "as it is read: {verdict}");
    }
}

/// A page that names an option which is gone sends its reader astray.
#[test]
fn every_option_that_a_page_names_exists() {
    // Those of cargo, docker and sudo, in examples.
    const OF_OTHERS: &[&str] = &["--locked", "--path", "--preserve-env", "--quiet", "--release", "--rm"];
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_doctor")).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let all: String = ["check", "fix", "report", "init", "list"].iter().map(|own| help(&[own, "--help"])).collect();
    let exists = |option: &str| all.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == option);
    for page in
        ["README.md", "docs/ci.md", "docs/config.md", "docs/guide.md", "docs/issue-template.md", "docs/own-checks.md"]
    {
        let text = read(&root().join(page));
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').map(|word| word.trim_end_matches('-'));
        for option in words.filter(|word| word.starts_with("--") && word.len() > 3 && !word.starts_with("---")) {
            assert!(OF_OTHERS.contains(&option) || exists(option), "{page} names {option}, which does not exist");
        }
    }
}

#[test]
fn every_file_is_a_registered_check() {
    let mut problems = Vec::new();
    for file in files_in(&root().join("checks"), "rs").iter().filter(|file| *file != "lib.rs") {
        let id = file.trim_end_matches(".rs").replace('_', "-");
        match caddy_doctor_checks::find(&id) {
            None => problems.push(format!("checks/{file}: lib.rs has no check `{id}` in ALL")),
            Some(check) if source(check) != format!("checks/{file}") => {
                problems.push(format!("`{id}` is declared in {}, not in checks/{file}", source(check)));
            }
            Some(_) => {}
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_page_has_its_parts() {
    let mut problems = Vec::new();
    for check in ALL {
        let (id, title, page) = (check.id, check.title(), check.page());
        if !title.ends_with('?') {
            problems.push(format!("{id}: the title is no question: {title}"));
        }
        if title.chars().count() > 80 {
            problems.push(format!("{id}: the title has {} characters, of at most 80: {title}", title.chars().count()));
        }
        for section in ["## What it looks at", "## Why it matters", "## How to fix it"] {
            let mut lines = page.lines().skip_while(|line| *line != section).skip(1);
            if lines.next().is_none_or(|text| text.trim().is_empty() || text.starts_with('#')) {
                problems.push(format!("{id}: the section `{section}` is missing, or empty"));
            }
        }
        if page.lines().filter(|line| line.trim_start().starts_with("```")).count() % 2 != 0 {
            problems.push(format!("{id}: a code fence is not closed"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn facts_schema() -> Value {
    titled(
        schema::<Facts>(SchemaSettings::draft2020_12().for_serialize()),
        "A recording of caddy-doctor, schema version 1",
        "What `doctor --record FILE` writes, and what a check of one's own gets on standard input. A fact is `{\"Ok\": ..}`, or \
         `{\"Err\": ..}` with the reason that it could not be had. Properties are only ever added; one that has no value is \
         absent, not null.",
    )
}

fn verdict_schema() -> Value {
    titled(
        schema::<OwnVerdict>(SchemaSettings::draft2020_12()),
        "The verdict of a check of one's own",
        "What the program of a `[[check]]` in `doctor.toml` prints: exactly one document. The status follows from it: the worst \
         of its findings and gaps, `skip` where it does not apply, else `pass`.",
    )
}

fn titled(mut schema: Value, title: &str, description: &str) -> Value {
    schema["title"] = title.into();
    schema["description"] = description.into();
    schema
}

/// As the type is written, or read: what has no value is absent, and the lines of a comment are one paragraph.
fn schema<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let tidy = RecursiveTransform(|schema: &mut schemars::Schema| {
        let Some(object) = schema.as_object_mut() else { return };
        if let Some(Value::String(text)) = object.get_mut("description") {
            let paragraphs: Vec<String> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
            *text = paragraphs.join("\n\n");
        }
        let required: Vec<Value> = object.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for (name, property) in object.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            if !required.contains(&name.as_str().into()) {
                without_null(property);
            }
        }
    });
    settings.with_transform(tidy).into_generator().into_root_schema_for::<T>().to_value()
}

fn without_null(property: &mut Value) {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|own| own != "null");
        if let [one] = types.as_slice() {
            property["type"] = one.clone();
        }
    }
    if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
        choices.retain(|own| own["type"] != "null");
        if let [one] = choices.as_slice() {
            let one = one.as_object().cloned().unwrap_or_default();
            if let Some(property) = property.as_object_mut() {
                property.remove("anyOf");
                property.extend(one);
            }
        }
    }
}

/// `docs/checks/<id>.md`.
fn page(check: &Check) -> String {
    let source = source(check);
    let after = match check.after {
        [] => "no other check".to_owned(),
        after => after.iter().map(|id| format!("[`{id}`]({id}.md)")).collect::<Vec<_>>().join(", "),
    };
    let text = check.page();
    let text = text.split_once('\n').map_or("", |(_, rest)| rest).trim();
    format!(
        "# {}\n\n\
         <!-- Written from {source} by `DOCTOR_BLESS=1 cargo test --test generated`; change it there. -->\n\n\
         Check `{}`, group {}.\n\n\
         {text}\n\n\
         ---\n\n\
         Can be explained by: {after}.\n\n\
         Source: [`{source}`](../../{source})\n",
        check.title(),
        check.id,
        group(check.group),
    )
}

/// The README with what stands between its marks as it should be: a report, and the table of checks.
fn with_generated(readme: &str) -> String {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_doctor"));
    let demo = match demo.env_clear().env("LC_ALL", "C.UTF-8").arg("demo").output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => panic!("the demo does not run: {error}"),
    };
    let readme = between(readme, "report", &format!("```text\n$ doctor\n{demo}```\n"));
    let rows: String = ALL
        .iter()
        .map(|check| {
            let title = check.title().replace('|', "\\|");
            format!("| [`{0}`](docs/checks/{0}.md) | {1} | {title} |\n", check.id, group(check.group))
        })
        .collect();
    between(&readme, "checks", &format!("| check | group | what it asks |\n|---|---|---|\n{rows}"))
}

/// The text with `inner` between `<!-- name: begin -->` and `<!-- name: end -->`.
fn between(text: &str, name: &str, inner: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let Some((before, rest)) = text.split_once(&begin) else { panic!("README.md has no line {begin}") };
    let Some((_, after)) = rest.split_once(&end) else { panic!("README.md has no {end} after {begin}") };
    format!("{before}{begin}{inner}{end}{after}")
}

/// As it stands in JSON.
fn group(group: Group) -> String {
    match serde_json::to_value(group) {
        Ok(serde_json::Value::String(name)) => name,
        other => panic!("the group {group:?} is written as {other:?}"),
    }
}

fn source(check: &Check) -> String {
    check.source.replace('\\', "/")
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn is_bless() -> bool {
    env::var_os("DOCTOR_BLESS").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The names of the files with this extension, sorted; none when there is no such folder.
fn files_in(folder: &Path, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().extension().is_some_and(|own| own == extension))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn read(path: &Path) -> String {
    match fs::read_to_string(path) {
        // A checkout on Windows may have changed the ends of the lines.
        Ok(text) => text.replace("\r\n", "\n"),
        Err(error) => panic!("cannot read {}: {error}", path.display()),
    }
}
