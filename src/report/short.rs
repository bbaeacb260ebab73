//! A line for each problem, and one with the counts.

use caddy_doctor_checks::model::Severity;

use super::{Report, Status, shown, text};

pub(crate) fn write(report: &Report) -> String {
    let mut out = String::new();
    for check in &report.checks {
        for finding in &check.findings {
            let because = match finding.consequence_of.as_slice() {
                [] => String::new(),
                causes => format!(" (follows from {})", causes.join(", ")),
            };
            let severity = match finding.severity {
                _ if finding.accepted.is_some() => "accepted",
                Severity::Fail => "fail",
                Severity::Warn => "warn",
            };
            let accepted = finding.accepted.as_ref().map(text::accepted).unwrap_or_default();
            let line = format!("{severity} {}: {}{because}{accepted}", check.id, finding.summary);
            out.push_str(&format!("{}\n", shown(&line)));
        }
        if check.status == Status::Unknown {
            out.push_str(&format!("unknown {}: {}\n", check.id, shown(check.reason.as_deref().unwrap_or_default())));
        }
    }
    for note in &report.notes {
        out.push_str(&format!("note: {}\n", shown(note)));
    }
    out.push_str(&format!("{}: {}\n", report.status.name(), text::counts(report)));
    out
}
