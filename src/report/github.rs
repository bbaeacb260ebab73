//! Workflow commands of GitHub Actions: an annotation for each root cause, for what could not be looked at and for what is
//! accepted. A run that found nothing writes nothing.

use caddy_doctor_checks::model::Severity;

use super::{FindingReport, Report, cut::cut, shown, text};

/// GitHub shows so many annotations of each kind for a step.
const MOST: usize = 10;
/// What a message may have, in bytes; the runner keeps 4,096 characters of it (`_maxIssueMessageLength` in actions/runner).
const MOST_IN_A_MESSAGE: usize = 4_000;

pub(crate) fn write(report: &Report) -> String {
    let roots = |severity| {
        let of = move |(check, finding): (&super::CheckReport, _)| (check.id, Says::Finding(finding));
        report.roots().filter(move |(_, finding)| finding.severity == severity).map(of)
    };
    let unknown = report.unknown().map(|check| (check.id, Says::Reason(check.reason.as_deref().unwrap_or_default())));
    // What is accepted fails nothing, and is seen nevertheless.
    let accepted = report.accepted().map(|(check, finding, _)| (check.id, Says::Finding(finding)));
    let notes = report.notes.iter().map(|note| ("note", Says::Note(note)));
    let warning = if report.is_failure(Severity::Warn) { "error" } else { "warning" };
    let all: Vec<(&str, &str, Says)> = roots(Severity::Fail)
        .map(|(id, says)| ("error", id, says))
        .chain(roots(Severity::Warn).map(|(id, says)| (warning, id, says)))
        .chain(unknown.chain(accepted).chain(notes).map(|(id, says)| ("notice", id, says)))
        .collect();
    let mut out = String::new();
    for kind in ["error", "warning", "notice"] {
        let own: Vec<_> = all.iter().filter(|annotation| annotation.0 == kind).collect();
        let shown = if own.len() > MOST { MOST - 1 } else { own.len() };
        let (first, rest) = own.split_at(shown);
        for (_, id, says) in first {
            out.push_str(&command(kind, id, &says.message()));
        }
        if !rest.is_empty() {
            let mut ids: Vec<&str> = rest.iter().map(|(_, id, _)| *id).collect();
            ids.dedup();
            out.push_str(&command(kind, "more", &format!("and {} more, of {}", rest.len(), ids.join(", "))));
        }
    }
    out
}

/// The document of a run that could not start.
pub(crate) fn error(message: &str) -> String {
    command("error", "could not look", &shown(message))
}

/// What an annotation says.
enum Says<'r> {
    Finding(&'r FindingReport),
    /// Why something could not be looked at.
    Reason(&'r str),
    Note(&'r str),
}

impl Says<'_> {
    fn message(&self) -> String {
        match self {
            Self::Finding(finding) => {
                let accepted = finding.accepted.as_ref().map(text::accepted).unwrap_or_default();
                format!("{}\n{}", shown(&format!("{}{accepted}", finding.summary)), text::details(finding))
            }
            Self::Note(note) => shown(note),
            Self::Reason(reason) => format!("could not be looked at: {}", shown(reason)),
        }
    }
}

/// One line. The escapes are those that the runner undoes (`ActionCommand.cs` of actions/runner).
fn command(kind: &str, title: &str, message: &str) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let title = data(&format!("doctor: {title}")).replace(':', "%3A").replace(',', "%2C");
    format!("::{kind} title={title}::{}\n", data(&cut(message.trim_end(), MOST_IN_A_MESSAGE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_leave_its_line_or_its_place() {
        assert_eq!(
            command("error", "a:b,c%", "100%\r\n::x, y\n"),
            "::error title=doctor%3A a%3Ab%2Cc%25::100%25%0D%0A::x, y\n"
        );
    }
}
