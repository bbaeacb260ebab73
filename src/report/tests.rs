//! Every format, over every recording and with hostile text in every place: what it writes is well-formed, and shows what
//! there is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use caddy_doctor_checks::model::{Facts, Severity};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use roxmltree::{Document, Node};
use serde_json::Value;

use super::{Report, Status, cut::cut, github, is_hidden, json, junit, markdown, short, shown, style::Styles, text};
use crate::{cli::Judging, judge::judge};

/// What somebody could call a container, or print. `EVIL` is what is looked for in the report.
const HOSTILE: &[&str] = &[
    "EVIL\u{1b}[31m\u{1b}]0;title\u{7}\u{9b}2J\0\u{8}",
    "EVIL\r\n::error::owned\r\n::stop-commands::x\n##[error]owned ##vso[task.complete]",
    "::error title=EVIL::%0A::warning::a%25,b:c",
    "EVIL]]> <![CDATA[ &amp; &#0; <!-- --> & < > \" '",
    "EVIL | a || b \\| c \\\\| `d|e` | @octocat #1 GH-1 org/repo#2 a1b2c3d4 :smile:",
    "EVIL [x](javascript:alert(1)) ![y](http://evil.example/y.png) <http://evil.example> www.evil.example a@evil.example",
    "EVIL <script>alert(1)</script><img src=x onerror=alert(1)></details><summary>",
    "EVIL ` `` ``` ```` `````\n```\n````\n# heading\n- list\n> quote\n---\n~~~\n~~struck~~ **bold** _it_ $x$ [^1]",
    "\u{202e}EVIL\u{202c}\u{200f}\u{061c}\u{2066}\u{200b}\u{feff}\u{ad}\u{e0041}\u{ffff}",
    "EVIL -> caddy:80 -> elsewhere",
    "EVIL'\"; $(reboot) \\",
];

// ----------------------------------------------------------------------------------------------- what is put to the test

#[test]
fn every_recording_is_well_formed_in_every_format() {
    for (name, facts) in recordings() {
        for strict in [false, true] {
            let report = judged(facts_of(facts.clone()).unwrap(), strict);
            assert_well_formed(&report, &name);
        }
    }
}

#[test]
fn hostile_text_in_every_place_of_a_report_is_shown_and_not_obeyed() {
    let together = HOSTILE.concat();
    for (turn, (name, facts)) in recordings().into_iter().enumerate() {
        let facts = facts_of(facts).unwrap();
        let one = HOSTILE[turn % HOSTILE.len()];
        for (at, evil) in [one, one, &together].into_iter().enumerate() {
            let mut report = judged(facts.clone(), false);
            let mut seen = 0;
            report.each_text(&mut |_, text| {
                seen += 1;
                // One half keeps what it was, so that places that depend on each other still do.
                *text = if seen % 2 == at % 2 { evil.to_owned() } else { format!("{text}{evil}") };
            });
            let report = report.cut();
            for (format, written) in assert_well_formed(&report, &format!("{name} with {evil:?}")) {
                let says_nothing = matches!(format, "github" | "short") && report.root_causes.is_empty();
                assert!(
                    says_nothing || written.contains("EVIL"),
                    "{name} as {format} does not show {evil:?}: {written}"
                );
            }
        }
    }
}

#[test]
fn hostile_text_in_every_place_of_a_recording_is_shown_and_not_obeyed() {
    // Whether a text may be anything: not the words of an enumeration, nor an address.
    let mut is_free: BTreeMap<String, bool> = BTreeMap::new();
    let mut shown_in: BTreeSet<&str> = BTreeSet::new();
    for (name, facts) in recordings() {
        let mut kinds = BTreeSet::new();
        each_text_of(&mut facts.clone(), "", &mut |kind, _| _ = kinds.insert(kind.to_owned()));
        for kind in &kinds {
            is_free.entry(kind.clone()).or_insert_with(|| {
                let mut changed = facts.clone();
                each_text_of(&mut changed, "", &mut |own, text| {
                    if own == kind {
                        text.push_str(HOSTILE[0]);
                    }
                });
                facts_of(changed).is_some()
            });
        }
        for third in 0..4 {
            let mut changed = facts.clone();
            each_text_of(&mut changed, "", &mut |kind, text| {
                let number = text.bytes().map(usize::from).sum::<usize>();
                // The same text stays the same everywhere: names are compared. The last turn takes all of them.
                if is_free[kind] && (third == 3 || number % 3 == third) {
                    text.push_str(HOSTILE[number % HOSTILE.len()]);
                }
            });
            let report = judged(facts_of(changed).unwrap(), false);
            let all = assert_well_formed(&report, &format!("{name} turn {third}"));
            shown_in.extend(all.iter().filter(|(_, written)| written.contains("EVIL")).map(|own| own.0));
        }
    }
    assert!(is_free.values().filter(|free| **free).count() > 50, "{is_free:#?}");
    assert_eq!(shown_in.len(), 6, "{shown_in:?}");
}

#[test]
fn ten_megabytes_in_any_place_make_no_format_slow_or_long() {
    let (_, facts) = recordings().into_iter().find(|(name, _)| name == "compose-host-gateway-missing").unwrap();
    let facts = facts_of(facts).unwrap();
    let mut report = judged(facts.clone(), false);
    let usual = formats(&report);
    let mut count = 0;
    report.each_text(&mut |_, _| count += 1);
    assert!(count > 100);
    for at in 0..count {
        let mut report = judged(facts.clone(), false);
        let mut seen = 0;
        report.each_text(&mut |_, text| {
            if seen == at {
                *text = "x`|".repeat(10_000_000 / 3);
            }
            seen += 1;
        });
        let start = Instant::now();
        let report = report.cut();
        let cutting = start.elapsed();
        // The fastest of some: this machine may have other things to do.
        let fastest = (0..3).map(|_| {
            let start = Instant::now();
            formats(&report);
            start.elapsed()
        });
        let took = cutting + fastest.min().unwrap();
        assert!(took < Duration::from_secs(1), "place {at}: {took:?}");
        let written = assert_well_formed(&report, &format!("10 MB in place {at}"));
        for ((format, written), (_, usual)) in written.iter().zip(&usual) {
            assert!(written.len() < usual.len() + 60_000, "place {at} as {format}: {} bytes", written.len());
        }
    }
}

/// Bounds for a debug build on a busy machine. `tests/bench` prints the figures of a release build.
#[test]
fn a_thousand_findings_are_written_in_no_time() {
    let report = with_findings(1_000);
    assert_eq!(report.roots().count(), 1_000);
    for (format, write) in WRITERS {
        let mut took: Vec<Duration> = (0..5)
            .map(|_| {
                let start = Instant::now();
                assert!(!write(&report).is_empty());
                start.elapsed()
            })
            .collect();
        took.sort();
        println!(
            "1,000 findings as {format:<9} {:8.2} ms   {:8.1} kB",
            took[2].as_secs_f64() * 1e3,
            write(&report).len() as f64 / 1e3
        );
        assert!(took[2] < Duration::from_secs(2), "{format}: {took:?}");
    }
    assert_well_formed(&report, "1,000 findings");
}

// ------------------------------------------------------------------------------------------------------------ the inputs

/// Name and recording of every real setup.
fn recordings() -> Vec<(String, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/setups");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|own| own == "json")).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let all: Vec<_> =
        paths.iter().map(|path| (path.file_stem().unwrap().to_string_lossy().into(), read(path))).collect();
    assert!(all.len() > 40);
    all
}

/// One after the other: while it judges, the program hides what panics say, and that of another test would be lost.
fn judged(facts: Facts, strict: bool) -> Report {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    judge(facts, &Judging { strict, ..Judging::default() }, Vec::new())
}

fn facts_of(value: Value) -> Option<Facts> {
    serde_json::from_value(value).ok()
}

/// Hands out every text of a recording with what kind it is: where it stands, without numbers. Keys are texts where they
/// are names.
fn each_text_of(value: &mut Value, kind: &str, see: &mut impl FnMut(&str, &mut String)) {
    match value {
        Value::String(text) => see(kind, text),
        Value::Array(all) => all.iter_mut().for_each(|own| each_text_of(own, &format!("{kind}/*"), see)),
        Value::Object(all) => {
            let has_names = ["/servers", "/set", "/names"].iter().any(|end| kind.ends_with(end));
            for (key, mut own) in std::mem::take(all) {
                let mut name = key.clone();
                if has_names {
                    see(&format!("{kind}/?"), &mut name);
                }
                each_text_of(&mut own, &format!("{kind}/{}", if has_names { "*" } else { &key }), see);
                all.insert(name, own);
            }
        }
        _ => {}
    }
}

/// A real report whose first root cause is there so many times, each time about others.
fn with_findings(count: usize) -> Report {
    let (_, facts) = recordings().into_iter().find(|(name, _)| name == "two-networks").unwrap();
    let mut report = judged(facts_of(facts).unwrap(), false);
    report.root_causes.retain(|cause| cause.severity == Severity::Fail);
    let cause = report.root_causes[0].clone();
    for check in &mut report.checks {
        if check.id != cause.check {
            check.findings.retain(|finding| !finding.consequence_of.is_empty());
        }
    }
    let check = report.checks.iter_mut().find(|check| check.id == cause.check).unwrap();
    for number in 1..count {
        let mut finding = check.findings[0].clone();
        finding.summary = format!("caddy and mitmproxy-{number} share no network");
        finding.about = vec!["caddy".to_owned(), format!("mitmproxy-{number}")];
        report.root_causes.push(super::RootCause { summary: finding.summary.clone(), ..cause.clone() });
        check.findings.push(finding);
    }
    report
}

// ------------------------------------------------------------------------------------------------------ what must be true

type Write = fn(&Report) -> String;

const WRITERS: [(&str, Write); 6] = [
    ("text", |report| text::write(report, &Styles::default())),
    ("short", short::write),
    ("json", |report| json::write(report)),
    ("markdown", markdown::write),
    ("github", github::write),
    ("junit", junit::write),
];

fn formats(report: &Report) -> Vec<(&'static str, String)> {
    WRITERS.iter().map(|(format, write)| (*format, write(report))).collect()
}

/// What each format writes, after it has been looked at.
fn assert_well_formed(report: &Report, name: &str) -> Vec<(&'static str, String)> {
    let all = formats(report);
    for (format, written) in &all {
        let format = *format;
        let name = format!("{name} as {format}");
        let bad = written.chars().find(|c| *c != '\n' && is_hidden(*c));
        assert_eq!(bad, None, "{name}: {written}");
        for line in written.lines().filter(|_| format != "github") {
            assert!(!is_obeyed(line), "{name}: the runner of GitHub obeys {line:?}");
        }
        match format {
            "json" => {
                let read: Value = serde_json::from_str(written).unwrap();
                assert_eq!(read, serde_json::to_value(report).unwrap(), "{name}");
            }
            "markdown" => assert_markdown(report, written, &name),
            "github" => assert_github(report, written, &name),
            "junit" => assert_junit(report, written, &name),
            _ => {}
        }
    }
    all
}

/// As the runner decides it (`ActionCommand.cs`): `::name properties::data` behind blanks, `##[name properties]data` anywhere.
fn is_obeyed(line: &str) -> bool {
    const COMMANDS: &[&str] = &[
        "add-mask",
        "add-matcher",
        "add-path",
        "debug",
        "echo",
        "endgroup",
        "error",
        "group",
        "notice",
        "remove-matcher",
        "save-state",
        "set-env",
        "set-output",
        "stop-commands",
        "warning",
    ];
    let name = |text: &str, end: &str| Some(text.split_once(end)?.0.split(' ').next()?.to_ascii_lowercase());
    let new = line.trim_start().strip_prefix("::").and_then(|rest| name(rest, "::"));
    let old = line.split_once("##[").and_then(|(_, rest)| name(rest, "]"));
    [new, old].into_iter().flatten().any(|name| COMMANDS.contains(&name.as_str()))
}

fn assert_github(report: &Report, written: &str, name: &str) {
    let mut counts = BTreeMap::new();
    for line in written.lines() {
        let (head, data) =
            line.strip_prefix("::").and_then(|rest| rest.split_once("::")).unwrap_or_else(|| panic!("{name}: {line}"));
        let (kind, title) = head.split_once(" title=doctor%3A ").unwrap_or_else(|| panic!("{name}: {line}"));
        assert!(matches!(kind, "error" | "warning" | "notice"), "{name}: {line}");
        assert!(!title.contains([':', ',', '=', '\r']), "{name}: {line}");
        let escapes = |text: &str| {
            text.match_indices('%').all(|(at, _)| ["25", "0A", "3A", "2C"].contains(&&text[at + 1..at + 3]))
        };
        assert!(escapes(title) && escapes(data), "{name}: {line}");
        assert!(data.chars().count() < 4_300, "{name}: {line}");
        *counts.entry(kind).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| *count <= 10), "{name}: {counts:?}");
    let first = report.roots().next().map(|(_, finding)| shown(&finding.summary).replace('%', "%25"));
    assert!(first.is_none_or(|first| written.lines().next().unwrap().contains(&first)), "{name}: {written}");
    let wanted = report.root_causes.len() + report.count(Status::Unknown);
    assert_eq!(counts.values().sum::<usize>().min(10), wanted.min(10), "{name}: {written}");
}

/// What JUnit.xsd says of a document, rule by rule, and that nothing of the report is missing.
fn assert_junit(report: &Report, written: &str, name: &str) {
    let document = Document::parse(written).unwrap_or_else(|error| panic!("{name}: {error}: {written}"));
    let elements = |node: Node<'_, '_>| {
        node.children().filter(Node::is_element).map(|own| own.tag_name().name().to_owned()).collect::<Vec<_>>()
    };
    let attributes = |node: Node<'_, '_>| node.attributes().map(|own| own.name().to_owned()).collect::<BTreeSet<_>>();
    let set = |names: &[&str]| names.iter().map(|own| (*own).to_owned()).collect::<BTreeSet<_>>();
    let is_token = |text: &str| !text.is_empty() && text.split(' ').all(|word| !word.is_empty());
    let is_decimal = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.parse::<f64>().is_ok();
    let texts_only = |node: Node<'_, '_>| node.children().all(|own| own.is_text());
    let root = document.root_element();
    assert_eq!((root.tag_name().name(), elements(root)), ("testsuites", vec!["testsuite".to_owned()]), "{name}");
    let suite = root.first_element_child().unwrap();
    let required = ["name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors", "skipped", "time"];
    assert_eq!(attributes(suite), set(&required), "{name}");
    let value = |attribute: &str| suite.attribute(attribute).unwrap();
    assert!(["name", "package", "hostname"].iter().all(|own| is_token(value(own))), "{name}");
    assert!(is_decimal(value("time")) && value("id") == "0", "{name}");
    let shape: String = value("timestamp").chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "9999-99-99T99:99:99", "{name}");

    let mut parts = vec!["properties"];
    parts.extend(std::iter::repeat_n("testcase", report.checks.len()));
    parts.extend(["system-out", "system-err"]);
    assert_eq!(elements(suite), parts, "{name}");
    let mut children = suite.children().filter(Node::is_element);
    for property in children.next().unwrap().children().filter(Node::is_element) {
        assert_eq!((property.tag_name().name(), attributes(property)), ("property", set(&["name", "value"])), "{name}");
        assert!(is_token(property.attribute("name").unwrap()), "{name}");
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (check, case) in report.checks.iter().zip(&mut children) {
        assert_eq!(attributes(case), set(&["name", "classname", "time"]), "{name}");
        assert_eq!(case.attribute("name"), Some(check.id), "{name}");
        assert!(
            is_token(case.attribute("classname").unwrap()) && is_decimal(case.attribute("time").unwrap()),
            "{name}"
        );
        let element = match check.status {
            Status::Pass => None,
            Status::Warn => report.strict.then_some("failure"),
            Status::Fail => Some("failure"),
            Status::Unknown => Some("error"),
            Status::Skip => Some("skipped"),
        };
        assert_eq!(elements(case), element.into_iter().collect::<Vec<_>>(), "{name}");
        let Some(outcome) = case.first_element_child() else { continue };
        *counts.entry(outcome.tag_name().name().to_owned()).or_insert(0) += 1;
        let with_type: &[&str] = if element == Some("skipped") { &["message"] } else { &["message", "type"] };
        assert_eq!(attributes(outcome), set(with_type), "{name}");
        assert!(texts_only(outcome), "{name}");
        if let Some(finding) = check.findings.first() {
            assert!(outcome.text().unwrap_or_default().contains(&shown(&finding.summary)), "{name}: {written}");
        }
    }
    let count = |element: &str| counts.get(element).copied().unwrap_or(0).to_string();
    assert_eq!(
        [value("tests"), value("failures"), value("errors"), value("skipped")],
        [report.checks.len().to_string(), count("failure"), count("error"), count("skipped")],
        "{name}"
    );
    for said in children {
        assert!(attributes(said).is_empty() && texts_only(said), "{name}");
    }
}

/// That every part of the document is one that the format has written: nothing in a value is a tag, a link, a mention, the
/// end of a block or of a cell.
fn assert_markdown(report: &Report, written: &str, name: &str) {
    let options = Options::all() - Options::ENABLE_SMART_PUNCTUATION - Options::ENABLE_OLD_FOOTNOTES;
    // Backticks and blanks are how the format writes code.
    let bare = |text: &str| text.replace([' ', '`'], "");
    let (mut texts, mut blocks, mut in_block) = (vec![String::new()], Vec::new(), false);
    for event in Parser::new_ext(written, options) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                assert!(matches!(kind, CodeBlockKind::Fenced(_)), "{name}: {written}");
                in_block = true;
                blocks.push(String::new());
            }
            Event::End(TagEnd::CodeBlock) => in_block = false,
            Event::Text(text) if in_block => blocks.last_mut().unwrap().push_str(&text),
            Event::Text(text) => {
                let is_read = text.contains(['@', '#', '<', '$', '~', '*', '_', '[', '|', '&', '\\', '`'])
                    || ["://", "www.", "GH-1", "a1b2c3d4"].iter().any(|own| text.contains(own));
                assert!(!is_read, "{name}: GitHub reads something into {text:?}: {written}");
                texts.last_mut().unwrap().push_str(&text);
            }
            Event::Code(text) => texts.last_mut().unwrap().push_str(&text),
            Event::Html(text) => {
                let own = ["<details>", "<summary>All checks</summary>", "</details>"];
                assert!(own.contains(&text.trim_end()), "{name}: {text:?} in {written}");
            }
            Event::Start(
                Tag::Paragraph | Tag::Heading { .. } | Tag::TableCell | Tag::TableRow | Tag::TableHead | Tag::Table(_),
            ) => texts.push(String::new()),
            Event::Start(Tag::Strong | Tag::HtmlBlock) | Event::End(_) => {}
            other => panic!("{name}: {other:?} in {written}"),
        }
    }
    let texts: Vec<String> = texts.iter().map(|text| bare(text)).filter(|text| !text.is_empty()).collect();
    let has =
        |wanted: String| assert!(texts.contains(&bare(&wanted)), "{name}: no {wanted:?} in {texts:#?} of {written}");
    let all_fit = !written.contains("**And ");
    let mut wanted_blocks = usize::from(!report.setup.paths.is_empty());
    for (check, finding) in report.roots().filter(|_| all_fit) {
        let glyph = if finding.severity == Severity::Fail { "✗" } else { "!" };
        has(format!("{glyph} {}: {}", check.id, shown(&finding.summary)));
        wanted_blocks += usize::from(!finding.evidence.is_empty());
        for fix in &finding.fixes {
            wanted_blocks +=
                usize::from(!fix.commands.is_empty()) + usize::from(!fix.undo.is_empty()) + fix.edits.len();
            let commands: String = fix.commands.join("\n").lines().map(|line| format!("{}\n", shown(line))).collect();
            assert!(commands.is_empty() || blocks.contains(&commands), "{name}: no {commands:?} in {blocks:#?}");
        }
    }
    if all_fit {
        assert_eq!(blocks.len(), wanted_blocks, "{name}: {written}");
    }
    assert!(written.chars().count() < 65_536 || !all_fit, "{name}");
    // Three cells for each row and for the head.
    let cells = texts.iter().skip_while(|text| *text != "status").count();
    assert!(cells >= 3 * (report.checks.len() + 1), "{name}: {texts:#?}");
    for check in &report.checks {
        let mut causes: Vec<&str> = check.findings.iter().flat_map(|own| own.consequence_of.iter().copied()).collect();
        causes.dedup();
        let because = if causes.is_empty() { String::new() } else { format!(" (follows from {})", causes.join(", ")) };
        has(format!("{}{because}", shown(&cut(&check.summary, 300))));
    }
}
