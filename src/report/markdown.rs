//! Markdown, to be pasted into an issue or a pull request, and for the summary of a step on GitHub. It is readable as it stands.
//!
//! What comes from elsewhere stands in code, where GitHub makes no link, mention, reference or tag of it; only words that
//! can be none of these do not.

use caddy_doctor_checks::model::Severity;

use super::{CheckReport, FindingReport, FixReport, Report, Status, cut::cut, shown, text};

/// GitHub takes 65,536 characters in an issue or a comment; what surrounds the root causes needs its part.
const MOST_FOR_ROOTS: usize = 40_000;
/// What a row of the table or a reason may say, in bytes.
const MOST_IN_A_ROW: usize = 300;

pub(crate) fn write(report: &Report) -> String {
    let mut out = format!(
        "**{} {}** · {} · {:.2} s\n",
        glyph(report.status),
        report.status.name(),
        text::counts(report),
        report.elapsed_ms as f64 / 1000.0
    );
    out.push_str(&paths(report));
    out.push_str(&roots(report));
    for note in &report.notes {
        out.push_str(&format!("\n**Note:** {}\n", inline(note)));
    }
    out.push_str(&folded("All checks", &checks(report)));
    let versions: Vec<String> = report.versions().split("  ").map(|version| format!(", {}", inline(version))).collect();
    let versions: String = versions.into_iter().filter(|version| version != ", ").collect();
    out.push_str(&format!("\ndoctor {}{versions}", report.doctor));
    if let Some(cause) = report.root_causes.first() {
        out.push_str(&format!("; `doctor explain {}` tells more", cause.check));
    }
    out.push('\n');
    out
}

/// The paths, drawn.
pub(crate) fn paths(report: &Report) -> String {
    let paths = text::paths(report);
    if paths.is_empty() { paths } else { fence("text", paths.trim_end()) }
}

/// The root causes in full, and what could not be looked at.
pub(crate) fn roots(report: &Report) -> String {
    let mut out = String::new();
    let (mut left_out, mut follows) = (0, ("", Vec::new()));
    for (check, finding) in report.roots() {
        if follows.0 != check.id {
            follows = (check.id, report.follows_from(check.id));
        }
        let root = root_cause(check, finding, &follows.1);
        if out.len() + root.len() > MOST_FOR_ROOTS {
            left_out += 1;
        } else {
            out.push_str(&root);
        }
    }
    if left_out > 0 {
        let noun = if left_out == 1 { "root cause" } else { "root causes" };
        out.push_str(&format!(
            "\n**And {left_out} more {noun}**, too long to be shown here: `doctor --format json` has all.\n"
        ));
    }
    for (check, finding, accepted) in report.accepted() {
        let summary = inline(&format!("{}{}", cut(&finding.summary, MOST_IN_A_ROW), text::accepted(accepted)));
        out.push_str(&format!("\n**! {}** {summary}\n", check.id));
    }
    for check in report.unknown() {
        let reason = inline(&cut(check.reason.as_deref().unwrap_or_default(), MOST_IN_A_ROW));
        out.push_str(&format!("\n**? {}** could not be looked at: {reason}\n", check.id));
    }
    out
}

/// What opens when it is clicked at.
pub(crate) fn folded(title: &str, text: &str) -> String {
    format!("\n<details>\n<summary>{title}</summary>\n{text}\n</details>\n")
}

/// A table with a row for each check.
pub(crate) fn checks(report: &Report) -> String {
    let mut out = "\n| status | check | what was seen |\n|---|---|---|\n".to_owned();
    for check in &report.checks {
        let mut causes: Vec<&str> = check.findings.iter().flat_map(|own| own.consequence_of.iter().copied()).collect();
        causes.dedup();
        let because = if causes.is_empty() { String::new() } else { format!(" (follows from {})", causes.join(", ")) };
        let summary = cell(&cut(&check.summary, MOST_IN_A_ROW));
        out.push_str(&format!(
            "| {} {} | {} | {summary}{because} |\n",
            glyph(check.status),
            if check.is_accepted() { "accepted" } else { check.status.name() },
            check.id
        ));
    }
    out
}

/// The document of a run that could not start.
pub(crate) fn error(message: &str) -> String {
    format!("**✗ The doctor could not look:** {}\n", inline(message))
}

pub(crate) fn glyph(status: Status) -> &'static str {
    match status {
        Status::Pass => "✓",
        Status::Warn => "!",
        Status::Fail => "✗",
        Status::Skip => "-",
        Status::Unknown => "?",
    }
}

fn root_cause(check: &CheckReport, finding: &FindingReport, follows: &[&str]) -> String {
    let status = if finding.severity == Severity::Fail { Status::Fail } else { Status::Warn };
    let mut out = format!("\n### {} {}: {}\n", glyph(status), check.id, inline(&finding.summary));
    if !finding.evidence.is_empty() {
        out.push_str(&fence("text", &text::evidence(&finding.evidence)));
    }
    for (at, fix) in finding.fixes.iter().enumerate() {
        out.push_str(&self::fix(if at == 0 { "Fix" } else { "Or" }, fix));
    }
    if finding.severity == Severity::Fail && !follows.is_empty() {
        out.push_str(&format!("\nFollows from it: {}\n", follows.join(", ")));
    }
    out
}

fn fix(word: &str, fix: &FixReport) -> String {
    let mut out = format!("\n{word}: {}\n", inline(&fix.title));
    if !fix.commands.is_empty() {
        out.push_str(&fence("sh", &fix.commands.join("\n")));
    }
    if !fix.undo.is_empty() {
        out.push_str(&format!("\nTo put it back:\n{}", fence("sh", &fix.undo.join("\n"))));
    }
    for edit in &fix.edits {
        out.push_str(&format!("\nTo make it last, in {}:\n", code(&shown(&edit.file))));
        out.push_str(&fence(edit.language, &edit.text));
    }
    out
}

/// A sentence within a line; never the first thing on it.
pub(crate) fn inline(text: &str) -> String {
    let text = shown(text);
    let mut out = Inline::default();
    let mut rest = text.as_str();
    // What stands between backticks is meant as code.
    while let Some((before, after)) = rest.split_once('`')
        && let Some((quoted, after)) = after.split_once('`')
        && !quoted.trim().is_empty()
    {
        out.words(before);
        out.pending.push_str(quoted);
        out.flush();
        rest = after;
    }
    out.words(rest);
    out.out
}

/// A sentence in a table, where a bar ends the cell, in code as well; a backslash before it says that it does not.
pub(crate) fn cell(text: &str) -> String {
    inline(text).replace('|', "\\|")
}

#[derive(Default)]
struct Inline {
    out: String,
    /// Words that will stand in code, together.
    pending: String,
}

impl Inline {
    fn words(&mut self, text: &str) {
        for (at, word) in text.split(' ').enumerate() {
            let core = word.trim_start_matches(['(', '"', '\'']);
            let (lead, core) = (
                &word[..word.len() - core.len()],
                core.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '"', '\'']),
            );
            let trail = &word[lead.len() + core.len()..];
            let is_code = !is_plain(core);
            if !(is_code && lead.is_empty()) {
                self.flush();
            }
            if at > 0 {
                if self.pending.is_empty() { &mut self.out } else { &mut self.pending }.push(' ');
            }
            if is_code {
                self.out.push_str(lead);
                self.pending.push_str(core);
                if !trail.is_empty() {
                    self.flush();
                }
                self.out.push_str(trail);
            } else {
                self.out.push_str(word);
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            // Two that touch would be read as one.
            if self.out.ends_with('`') {
                self.out.push(' ');
            }
            self.out.push_str(&code(&self.pending));
            self.pending.clear();
        }
    }
}

/// Whether a word means nothing to Markdown and to GitHub: no tag, link, address, mention, reference (`GH-1`), commit, emoji.
fn is_plain(word: &str) -> bool {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '/');
    let may_be_a_commit = word.len() >= 7 && word.chars().all(|c| c.is_ascii_hexdigit());
    let has_digit = word.chars().any(|c| c.is_ascii_digit());
    let is_reference = has_digit && word.starts_with(|c: char| c.is_alphabetic());
    word == "->"
        || word.chars().all(is_number) && !may_be_a_commit
        || word.chars().all(|c| c.is_alphanumeric() || matches!(c, '\'' | '-' | '/' | '%' | '+' | '=' | ','))
            && !may_be_a_commit
            && !is_reference
}

/// Code within a line, whatever it holds.
fn code(text: &str) -> String {
    let quotes = "`".repeat(longest_run(text) + 1);
    // A space at each end is taken away again, and keeps a backtick or a space of the text from being taken for something else.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{quotes}{pad}{text}{pad}{quotes}")
}

/// A block of code that nothing in it can close.
pub(crate) fn fence(language: &str, text: &str) -> String {
    let quotes = "`".repeat((longest_run(text) + 1).max(3));
    let lines: String = text.lines().map(|line| format!("{}\n", shown(line))).collect();
    format!("\n{quotes}{language}\n{lines}{quotes}\n")
}

/// How many backticks stand together in it at most.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words_and_the_rest_is_code() {
        for (text, wanted) in [
            ("caddy and mitmproxy share no network", "caddy and mitmproxy share no network"),
            ("caddy dials mitmproxy:8080, not it", "caddy dials `mitmproxy:8080`, not it"),
            ("took 0.10 s (10s at most); 80%", "took 0.10 s (10s at most); 80%"),
            ("`a b` is no name", "`a b` is no name"),
            ("see [x](javascript: alert) now", "see `[x](javascript`: alert) now"),
            ("hello @org/team, #1 and GH-2 a1b2c3d", "hello `@org/team`, `#1` and `GH-2 a1b2c3d`"),
            ("a <b> <!-- c", "a `<b> <!--` c"),
            ("one ` and", "one `` ` `` and"),
            ("x `a` `b.c`d.e", "x `a` `b.c` `d.e`"),
            ("a\r\nb", "`a\\r\\nb`"),
            ("www.example.com :smile: $x$ &lt;", "`www.example.com :smile`: `$x$ &lt`;"),
        ] {
            assert_eq!(inline(text), wanted, "{text}");
        }
    }

    #[test]
    fn code_cannot_be_closed_from_within() {
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(fence("sh", "```\n# x"), "\n````sh\n```\n# x\n````\n");
    }
}
