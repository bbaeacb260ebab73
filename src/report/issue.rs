//! The issue report: Markdown that a maintainer can work with, as long as an issue may be.
//!
//! It tells the verdict and the root causes first, and then what surrounds them: the path, the versions, the checks, the
//! last words of the parts, and how to see it again.

use std::{borrow::Cow, path::Path};

use caddy_doctor_checks::model::{
    self, Evidence, Facts, Known, Severity,
    background::Log,
    docker::Container,
    setup::{self, PartKind},
};

use super::{
    Report, Status,
    cut::{NAME, cut},
    markdown::{self, cell, fence, inline},
    text,
};
use crate::cli::Judging;

/// In bytes. An issue of GitHub has at most 65,536 characters, and the person who files it has something to say, too.
pub(crate) const LONGEST: usize = 60_000;

/// What the report tells beside the verdicts. Nothing here depends on when or where it is written: a recording gives the
/// same.
pub(crate) struct Issue {
    versions: Vec<(String, String)>,
    /// Whose log, and its newest lines that matter; `None` when the facts were gathered for something else.
    logs: Option<Vec<(String, Known<Vec<String>>)>>,
    /// The command that was given, where the recording tells.
    command: Option<String>,
    /// Whether mitmweb's password was given with it.
    password: bool,
    /// The command that judges the recording, where there is one.
    replay: Option<String>,
    /// What was cut.
    cut: Vec<&'static str>,
}

impl Issue {
    /// Takes from the facts what a report does not have. `recording` is the file that they come from, or were written to.
    pub(crate) fn about(facts: &Facts, judging: &Judging, recording: Option<&Path>) -> Self {
        let events = facts
            .mitmproxies
            .iter()
            .flat_map(|all| &all.0)
            .filter_map(|own| Some((format!("{}, the events of its mitmweb", own.name), own.complaints.clone()?)));
        let logs = facts.background.as_ref().map(|background| {
            let logs = background.logs.iter().map(|Log { of, lines }| (of.clone(), lines.clone()));
            logs.chain(events).collect()
        });
        // The words come from a recording, perhaps of somebody else.
        let command = |options: &[String]| {
            let words: Vec<String> = options.iter().map(|word| model::text::shell(word)).collect();
            format!("doctor report {}", words.join(" ")).trim_end().to_owned()
        };
        // The folder is nobody's business.
        let replay = recording
            .and_then(Path::file_name)
            .map(|name| [vec!["--replay".to_owned(), name.to_string_lossy().into_owned()], judging.options()].concat());
        Self {
            versions: versions(facts),
            logs,
            command: facts.background.as_ref().map(|background| command(&background.options)),
            password: facts.background.as_ref().is_some_and(|background| background.password),
            replay: replay.map(|options| command(&options)),
            cut: Vec::new(),
        }
    }

    /// Writes it. What matters least is cut until it is short enough.
    pub(crate) fn write(mut self, mut report: Report) -> String {
        let mut steps = STEPS.iter();
        loop {
            let text = self.written(&report);
            if text.len() <= LONGEST {
                return text;
            }
            let Some((what, cut)) = steps.next() else { return text };
            cut(&mut self, &mut report);
            self.cut.push(what);
        }
    }

    fn written(&self, report: &Report) -> String {
        let mut out = READ_ME.to_owned();
        let (glyph, status) = (markdown::glyph(report.status), report.status.name());
        out.push_str(&format!("## {glyph} {status}: {}\n\n", inline(&headline(report))));
        out.push_str(&format!("{}\n", text::counts(report)));
        out.push_str(&markdown::roots(report));
        let paths = markdown::paths(report);
        if !paths.is_empty() {
            out.push_str(&format!("\n### Path\n{paths}"));
        }
        out.push_str("\n### Versions\n\n| what | version |\n|---|---|\n");
        for (what, version) in &self.versions {
            out.push_str(&format!("| {} | {} |\n", cell(what), cell(version)));
        }
        out.push_str(&markdown::folded("All checks", &checks(report)));
        out.push_str(&self.logs());
        self.reproduce(&mut out);
        if !self.cut.is_empty() {
            let cut = model::text::list(&self.cut);
            out.push_str(&format!("\nThis was longer than an issue may be. It was cut: {cut}.\n"));
        }
        out
    }

    fn logs(&self) -> String {
        let Some(logs) = &self.logs else {
            return "\nThe recording has no logs: `doctor report --attach FILE` keeps them, `doctor --record FILE` does not.\n"
                .to_owned();
        };
        let one = |(of, lines): &(String, Known<Vec<String>>)| match lines {
            Ok(lines) if lines.is_empty() => format!("\nOf {}: nothing that matters.\n", inline(of)),
            Ok(lines) => format!("\nOf {}:\n{}", inline(of), fence("text", &lines.join("\n"))),
            Err(missing) => format!("\nOf {}: could not be read: {}\n", inline(of), inline(&missing.to_string())),
        };
        let all: String = logs.iter().map(one).collect();
        if all.is_empty() { all } else { markdown::folded("The last lines of the logs that matter", &all) }
    }

    fn reproduce(&self, out: &mut String) {
        out.push_str("\n### How to see it again\n");
        if let Some(command) = &self.command {
            let password = if self.password { ", with mitmweb's password, which is left out here" } else { "" };
            out.push_str(&format!("\nWhere the setup is{password}:\n{}", fence("sh", command)));
        }
        match &self.replay {
            Some(replay) => {
                out.push_str(&format!("\nFrom the recording, anywhere and without Docker:\n{}", fence("sh", replay)));
            }
            None => out.push_str(
                "\nThere is no recording with it; `doctor report --attach facts.json` writes one to attach.\n",
            ),
        }
    }
}

/// What matters least first: what is cut, and how. One that cuts more of what the one before it did takes its words back.
type Cut = (&'static str, fn(&mut Issue, &mut Report));

const STEPS: &[Cut] = &[
    ("all but the last 5 lines of each log", |issue, _| {
        for (_, lines) in issue.logs.iter_mut().flatten() {
            if let Ok(lines) = lines {
                lines.drain(..lines.len().saturating_sub(5));
            }
        }
    }),
    ("the logs", |issue, _| {
        issue.logs = Some(Vec::new());
        issue.cut.pop();
    }),
    ("what passing checks saw", |_, report| {
        let quiet = report.checks.iter_mut().filter(|check| matches!(check.status, Status::Pass | Status::Skip));
        quiet.for_each(|check| check.evidence.clear());
    }),
    ("what follows from the root causes", |_, report| {
        for check in &mut report.checks {
            check.evidence.clear();
            check.findings.retain(|finding| finding.consequence_of.is_empty());
        }
    }),
    ("all but the first 20 root causes", |_, report| keep_roots(report, 20)),
    ("all but the first 5 root causes, paths and parts", |issue, report| {
        keep_roots(report, 5);
        issue.cut.pop();
        report.setup.paths.truncate(5);
        issue.versions.truncate(15);
    }),
    ("fixes, and the ends of long texts", |issue, report| {
        for finding in report.checks.iter_mut().flat_map(|check| &mut check.findings) {
            finding.fixes.clear();
            finding.evidence.truncate(5);
        }
        report.each_text(&mut |_, text| shorten(text));
        issue.versions.iter_mut().for_each(|(_, version)| shorten(version));
        issue.command.iter_mut().chain(&mut issue.replay).for_each(shorten);
    }),
    ("all checks but the first 50", |_, report| report.checks.truncate(50)),
];

/// The table, and what each check saw where that is not shown as a root cause.
fn checks(report: &Report) -> String {
    let mut out = markdown::checks(report);
    for check in &report.checks {
        let consequences = check.findings.iter().filter(|finding| !finding.consequence_of.is_empty());
        let seen: Vec<Evidence> =
            check.evidence.iter().chain(consequences.flat_map(|finding| &finding.evidence)).cloned().collect();
        if !seen.is_empty() {
            out.push_str(&format!("\nWhat {} saw:\n{}", check.id, fence("text", &text::evidence(&seen))));
        }
    }
    out
}

/// Keeps the first root causes, in the order of the report.
fn keep_roots(report: &mut Report, most: usize) {
    let mut left = most;
    for severity in [Severity::Fail, Severity::Warn] {
        for check in &mut report.checks {
            check.findings.retain(|finding| {
                let is_root = finding.severity == severity && finding.consequence_of.is_empty();
                let kept = !is_root || left > 0;
                left -= usize::from(is_root && kept);
                kept
            });
        }
    }
}

fn shorten(text: &mut String) {
    if let Cow::Owned(short) = cut(text, 200) {
        *text = short;
    }
}

/// Behind a comment, so that whoever pastes it sees it and whoever reads the issue does not.
const READ_ME: &str = "<!-- Read this before you give it away. Names, images, addresses, ports, networks, the paths of compose files and the \
                       Hosts of your site are in it: they are the diagnosis. Passwords and tokens are left out where they were read; in lines \
                       of logs they are told by their form, which may miss one. -->\n\n";

/// What the report says in one sentence.
fn headline(report: &Report) -> String {
    match (report.root_causes.as_slice(), report.status) {
        ([cause], _) => cause.summary.clone(),
        ([cause, rest @ ..], _) => format!("{}; and {} more", cause.summary, rest.len()),
        ([], Status::Pass) => "nothing is wrong".to_owned(),
        ([], _) => report.unknown().next().map_or_else(String::new, |check| format!("{}: {}", check.id, check.summary)),
    }
}

fn versions(facts: &Facts) -> Vec<(String, String)> {
    let mut rows = vec![("doctor".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
    let mut add = |what: &str, version: String| rows.push((what.to_owned(), cut(&version, NAME).into_owned()));
    if facts.doctor != env!("CARGO_PKG_VERSION") {
        add("doctor that looked", facts.doctor.clone());
    }
    if let Ok(seen) = &facts.engine {
        match &seen.answer {
            Ok(engine) => {
                add("engine", format!("{} {} (API {}), at {}", engine.name, engine.version, engine.api, seen.endpoint));
                if let Some(Ok(info)) = &engine.info {
                    add("the engine's system", format!("{}, {}", info.operating_system, info.architecture));
                }
            }
            Err(missing) => add("engine", format!("none: {missing}")),
        }
    }
    let found = setup::find(facts).unwrap_or_default();
    let container = |name: &str| facts.containers.as_ref().ok()?.named(name);
    let of_container = |own: &Container| own.compose.as_ref().map(|compose| compose.version.clone());
    let mut composes: Vec<String> = found
        .parts()
        .filter_map(|part| of_container(container(&part.name)?))
        .filter(|version| !version.is_empty())
        .collect();
    composes.sort();
    composes.dedup();
    add("compose", if composes.is_empty() { "not used, or not known".to_owned() } else { composes.join(", ") });
    for part in found.parts() {
        let seen = facts.mitmproxies.as_ref().ok().and_then(|all| all.named(&part.name));
        let program = seen.map_or("Caddy", |seen| seen.command_line.interface.name());
        let caddy = facts.caddies.as_ref().ok().and_then(|all| all.named(&part.name));
        let version = seen.map_or_else(|| caddy.and_then(|own| own.version.clone()), |seen| seen.version.clone());
        let image = container(&part.name).filter(|_| part.kind == PartKind::Container);
        let image = image.map(|own| format!(", image {}", own.image)).unwrap_or_default();
        add(&part.name, format!("{program} {}{image}", version.as_deref().unwrap_or("of an unknown version")));
    }
    if let Ok(host) = &facts.host {
        let inside = if host.inside.is_some() { "; the doctor runs in a container" } else { "" };
        let rights = if host.root { "; the doctor runs as root" } else { "" };
        add("this machine", format!("{}{inside}{rights}", host.system.as_ref().unwrap_or(&host.os)));
    }
    rows
}
