//! The pages in `docs/checks` and the README's table of checks are written from the checks themselves, and the report in
//! the README by the doctor.
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
    model::{Check, Group},
};

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
