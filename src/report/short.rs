//! A line for each problem, and one with the counts.

use super::{Report, Status, shown, text};

pub(crate) fn write(report: &Report) -> String {
    let mut out = String::new();
    for check in &report.checks {
        for finding in &check.findings {
            let because = match finding.consequence_of.as_slice() {
                [] => String::new(),
                causes => format!(" (follows from {})", causes.join(", ")),
            };
            let severity = if finding.severity == caddy_doctor_checks::model::Severity::Fail { "fail" } else { "warn" };
            out.push_str(&format!("{severity} {}: {}{because}\n", check.id, shown(&finding.summary)));
        }
        if check.status == Status::Unknown {
            out.push_str(&format!("unknown {}: {}\n", check.id, shown(check.reason.as_deref().unwrap_or_default())));
        }
    }
    out.push_str(&format!("{}: {}\n", report.status.name(), text::counts(report)));
    out
}
