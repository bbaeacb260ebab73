//! The report for a person: the path drawn with its broken hop, the root causes in full, what follows from them folded.

use caddy_doctor_checks::model::{Evidence, Severity};
use owo_colors::Style;

use super::{AcceptedReport, CheckReport, FindingReport, FixReport, PathReport, Report, Status, shown, style::Styles};

/// As wide as a report gets; commands are never broken.
const WIDTH: usize = 80;
/// More paths than this are counted, not drawn.
const MOST_PATHS: usize = 6;

pub(crate) fn write(report: &Report, styles: &Styles) -> String {
    let mut out = Writer { styles, out: String::new() };
    out.paths(&report.setup.paths);
    let mut follows = ("", Vec::new());
    for (check, finding) in report.roots() {
        if follows.0 != check.id {
            follows = (check.id, report.follows_from(check.id));
        }
        out.root_cause(check, finding, &follows.1);
    }
    for check in &report.checks {
        for finding in &check.findings {
            let accepted = finding.accepted.as_ref().filter(|accepted| accepted.through.is_none());
            if let Some(accepted) = accepted {
                out.accepted(report, check, finding, accepted);
            }
        }
    }
    for check in report.unknown() {
        out.aside(styles.glyphs.unknown, &styles.warn, check, "could not be looked at");
    }
    // What a failure blocks is folded under it; what does not apply here is said.
    for check in report.checks.iter().filter(|check| check.status == Status::Skip && check.blocked_by.is_empty()) {
        out.aside("-", &styles.dim, check, "skipped");
    }
    for note in &report.notes {
        out.head("-", &styles.dim, "note", note);
    }
    out.summary(report);
    out.out
}

/// The paths as they are drawn, for other formats.
pub(crate) fn paths(report: &Report) -> String {
    let mut out = Writer { styles: &Styles::default(), out: String::new() };
    out.paths(&report.setup.paths);
    out.out.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect()
}

/// What was seen, for other formats: a label and its value on each line.
pub(crate) fn evidence(evidence: &[Evidence]) -> String {
    let mut out = Writer { styles: &Styles::default(), out: String::new() };
    out.evidence(evidence, 0);
    out.out
}

/// What was seen, and the fixes, for other formats.
pub(crate) fn details(finding: &FindingReport) -> String {
    let mut out = Writer { styles: &Styles::default(), out: String::new() };
    out.details(finding);
    out.out
}

/// One thing of a plan: what is wrong, and what would be done about it.
pub(crate) fn step(styles: &Styles, number: &str, check: &str, summary: &str, fixes: &[(&str, &FixReport)]) -> String {
    let mut out = Writer { styles, out: String::new() };
    out.head(number, &styles.strong, check, summary);
    for (word, fix) in fixes {
        out.fix(word, fix);
    }
    out.line("");
    out.out
}

/// A sentence, with what it is about before it: `gone  shared-network  caddy and mitmproxy share no network`.
pub(crate) fn sentence(styles: &Styles, word: &str, style: &Style, text: &str) -> String {
    let mut out = Writer { styles, out: String::new() };
    let indent = word.chars().count() + 2;
    for (at, line) in wrapped(&shown(text), WIDTH.saturating_sub(indent)).iter().enumerate() {
        match at {
            0 => out.line(&format!("{}  {line}", styles.paint(word, style))),
            _ => out.line(&format!("{:indent$}{line}", "")),
        }
    }
    out.out
}

/// ` (accepted until 2026-12-31: it moves in autumn)`
pub(crate) fn accepted(accepted: &AcceptedReport) -> String {
    let through = accepted.through.map(|check| format!(" through {check}")).unwrap_or_default();
    format!(" (accepted{through} until {}: {})", accepted.expires, accepted.reason)
}

/// `9 checks: 1 failed, 6 passed, 2 skipped`
pub(crate) fn counts(report: &Report) -> String {
    let accepted = report.checks.iter().filter(|check| check.is_accepted()).count();
    let words = [
        (report.count(Status::Fail), "failed"),
        (report.count(Status::Unknown), "unknown"),
        (report.count(Status::Warn) - accepted, "with a warning"),
        (accepted, "accepted"),
        (report.count(Status::Pass), "passed"),
        (report.count(Status::Skip), "skipped"),
    ];
    let counted: Vec<String> =
        words.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let partial = if report.partial { " (of a part of the checks)" } else { "" };
    let noun = if report.checks.len() == 1 { "check" } else { "checks" };
    format!("{} {noun}{partial}: {}", report.checks.len(), counted.join(", "))
}

struct Writer<'s> {
    styles: &'s Styles,
    out: String,
}

impl Writer<'_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn paths(&mut self, paths: &[PathReport]) {
        // Paths that differ only in their Host are drawn once.
        let mut drawn: Vec<(&PathReport, Vec<&str>)> = Vec::new();
        for path in paths {
            match drawn.iter_mut().find(|(other, _)| other.hops == path.hops) {
                Some((_, hosts)) => hosts.push(&path.host),
                None => drawn.push((path, vec![&path.host])),
            }
        }
        for (path, hosts) in drawn.iter().take(MOST_PATHS) {
            self.path(path, hosts);
        }
        if drawn.len() > MOST_PATHS {
            self.line(&format!("  and {} more paths", drawn.len() - MOST_PATHS));
        }
        if !drawn.is_empty() {
            self.line("");
        }
    }

    fn path(&mut self, path: &PathReport, hosts: &[&str]) {
        let glyphs = &self.styles.glyphs;
        let (mut plain, mut painted) = ("  client".to_owned(), "  client".to_owned());
        for (at, node) in path.nodes().into_iter().enumerate() {
            let node = shown(node);
            let (hop, style) = if path.broken.contains(&at) {
                (glyphs.broken_hop, &self.styles.fail)
            } else {
                (glyphs.hop, &self.styles.dim)
            };
            plain.push_str(&format!(" {hop} {node}"));
            painted.push_str(&format!(" {} {node}", self.styles.paint(hop, style)));
        }
        let more = if hosts.len() > 1 { format!(" and {} more", hosts.len() - 1) } else { String::new() };
        let perhaps = if path.undecided { " (if its matchers let it)" } else { "" };
        let more = format!("{more}{perhaps}");
        let name = shown(hosts[0]);
        let host = self.styles.paint(&format!("{name}{more}"), &self.styles.dim);
        let used = plain.chars().count();
        let needed = name.chars().count() + more.chars().count();
        if used + 2 + needed <= WIDTH {
            self.line(&format!("{painted}{}{host}", " ".repeat(WIDTH - used - needed)));
        } else {
            self.line(&painted);
            self.line(&format!("      {host}"));
        }
    }

    fn root_cause(&mut self, check: &CheckReport, finding: &FindingReport, follows: &[&str]) {
        let (glyph, style) = match finding.severity {
            Severity::Fail => (self.styles.glyphs.fail, &self.styles.fail),
            Severity::Warn => (self.styles.glyphs.warn, &self.styles.warn),
        };
        self.head(glyph, style, check.id, &finding.summary);
        self.details(finding);
        if finding.severity == Severity::Fail && !follows.is_empty() {
            self.line("");
            for line in wrapped(&format!("follows from it: {}", follows.join(", ")), WIDTH - 2) {
                self.line(&format!("  {line}"));
            }
        }
        self.line("");
    }

    fn accepted(&mut self, report: &Report, check: &CheckReport, finding: &FindingReport, accepted: &AcceptedReport) {
        let AcceptedReport { expires, reason, .. } = accepted;
        let words = format!("accepted until {expires} ({reason}): {}", finding.summary);
        self.head("~", &self.styles.warn, check.id, &words);
        // What it explains besides, while it is accepted.
        let follows = report.follows_from(check.id);
        if finding.is_failure() && !follows.is_empty() {
            for line in wrapped(&format!("follows from it: {}", follows.join(", ")), WIDTH - 2) {
                self.line(&format!("  {line}"));
            }
        }
    }

    fn details(&mut self, finding: &FindingReport) {
        self.evidence(&finding.evidence, 4);
        for (at, fix) in finding.fixes.iter().enumerate() {
            self.line("");
            self.fix(if at == 0 { "fix" } else { "or" }, fix);
        }
    }

    fn evidence(&mut self, evidence: &[Evidence], indent: usize) {
        let width = evidence.iter().map(|seen| seen.label.chars().count()).max().unwrap_or(0).min(30);
        for seen in evidence {
            let label = shown(&seen.label);
            let painted = self.styles.paint(&format!("{label:width$}"), &self.styles.dim);
            let room = WIDTH.saturating_sub(indent + width + 2);
            let lines = seen.value.lines().flat_map(|line| wrapped(&shown(line), room));
            // A label that is too long has a line of its own.
            let own_line = label.chars().count() > width;
            if own_line {
                self.line(&format!("{:indent$}{painted}", ""));
            }
            for (at, line) in lines.enumerate() {
                match at == 0 && !own_line {
                    true => self.line(&format!("{:indent$}{painted}  {line}", "")),
                    false => self.line(&format!("{:indent$}{:width$}  {line}", "", "")),
                }
            }
        }
    }

    fn head(&mut self, glyph: &str, style: &Style, id: &str, summary: &str) {
        let indent = glyph.chars().count() + 1 + id.len() + 2;
        let mut lines = wrapped(&shown(summary), WIDTH.saturating_sub(indent)).into_iter();
        let first = lines.next().unwrap_or_default();
        self.line(&format!(
            "{} {}  {first}",
            self.styles.paint(glyph, style),
            self.styles.paint(id, &self.styles.strong)
        ));
        for rest in lines {
            self.line(&format!("{:indent$}{rest}", ""));
        }
    }

    fn fix(&mut self, word: &str, fix: &FixReport) {
        let mut lines = wrapped(&shown(&fix.title), WIDTH - 8).into_iter();
        let first = lines.next().unwrap_or_default();
        self.line(&format!("  {}{first}", self.styles.paint(&format!("{word:<6}"), &self.styles.strong)));
        for rest in lines {
            self.line(&format!("        {rest}"));
        }
        self.commands(&fix.commands);
        if !fix.undo.is_empty() {
            self.line("        to put it back:");
            self.commands(&fix.undo);
        }
        for edit in &fix.edits {
            self.line(&format!("        to make it last, in {}:", shown(&edit.file)));
            for line in edit.text.lines() {
                self.line(&format!("          {}", self.styles.paint(&shown(line), &self.styles.command)));
            }
        }
    }

    /// Several commands are pasted as one block, so nothing stands before them.
    fn commands(&mut self, commands: &[String]) {
        let lines: Vec<&str> = commands.iter().flat_map(|command| command.lines()).collect();
        let prompt = if lines.len() == 1 { "$ " } else { "" };
        for line in lines {
            self.line(&format!("        {prompt}{}", self.styles.paint(&shown(line), &self.styles.command)));
        }
    }

    fn aside(&mut self, glyph: &str, style: &Style, check: &CheckReport, word: &str) {
        let reason = check.reason.as_deref().unwrap_or_default();
        self.head(glyph, style, check.id, &format!("{word}: {reason}"));
    }

    fn summary(&mut self, report: &Report) {
        let seconds = format!("{:.2} s", report.elapsed_ms as f64 / 1000.0);
        let versions = shown(&report.versions());
        let healthy = report.status == Status::Pass;
        let counts = if healthy { self.healthy(report) } else { counts(report) };
        if !healthy || report.count(Status::Skip) > 0 || !report.notes.is_empty() {
            self.line("");
        }
        // A blank line more than one is no help.
        while self.out.ends_with("\n\n\n") {
            self.out.pop();
        }
        let plain = if healthy { counts.chars().count().min(WIDTH) } else { counts.len() };
        if plain + seconds.len() + versions.len() + 6 <= WIDTH {
            self.line(&format!("{counts}   {seconds}   {versions}"));
        } else {
            self.line(&format!("{counts}   {seconds}"));
            self.line(&versions);
        }
        if let Some(config) = &report.config {
            self.line(&self.styles.paint(&format!("settings of {}", shown(config)), &self.styles.dim));
        }
        if let Some(cause) = report.root_causes.first() {
            self.line(&self.styles.paint(&format!("doctor explain {} tells more", cause.check), &self.styles.dim));
        }
    }

    fn healthy(&self, report: &Report) -> String {
        let passed = report.count(Status::Pass);
        let noun = if passed == 1 { "check" } else { "checks" };
        let flows = report.checks.iter().find(|check| check.id == "flows-nonzero" && check.status == Status::Pass);
        let flows = flows.map(|check| format!(", {}", shown(&check.summary))).unwrap_or_default();
        let partial = if report.partial { " (of a part of the checks)" } else { "" };
        format!(
            "{} {passed} {noun} passed{partial}{flows}",
            self.styles.paint(self.styles.glyphs.pass, &self.styles.pass)
        )
    }
}

/// Breaks a line at spaces. A word that is longer than the width stays whole, so that it can be copied.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_words_stay_whole() {
        assert_eq!(wrapped("a bb ccc", 4), ["a bb", "ccc"]);
        assert_eq!(wrapped("http://a.very.long.address/ x", 10), ["http://a.very.long.address/", "x"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
