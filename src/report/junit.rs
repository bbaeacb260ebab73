//! JUnit XML, in the form of Ant (JUnit.xsd of windyroad/JUnit-Schema): a test case for each check.
//!
//! A failure is a `failure`; what could not be looked at is an `error`, since nothing is known of it, and neither green nor
//! skipped would be true. A warning passes, and is told in `system-out`, which this form has for the whole suite only; with
//! `--strict` it is a `failure`. What is accepted passes like a warning, always.

use caddy_doctor_checks::model::Severity;

use super::{CheckReport, FindingReport, Report, Status, cut::cut, shown, text};

/// What a `message` may have, in bytes; the text below it has all.
const MOST_IN_A_MESSAGE: usize = 300;

pub(crate) fn write(report: &Report) -> String {
    let (mut cases, mut failures, mut errors, mut skipped) = (String::new(), 0, 0, 0);
    let mut warnings = String::new();
    for check in &report.checks {
        let outcome = match check.status {
            Status::Pass => String::new(),
            Status::Warn if check.is_accepted() || !report.is_failure(Severity::Warn) => {
                let word = if check.is_accepted() { "accepted" } else { "warning" };
                warnings.push_str(&format!("\n{word} {}\n{}", check.id, body(check)));
                String::new()
            }
            Status::Warn | Status::Fail => {
                failures += 1;
                outcome("failure", check.status.name(), &check.summary, &body(check))
            }
            Status::Unknown => {
                errors += 1;
                outcome("error", "unknown", check.reason.as_deref().unwrap_or_default(), &body(check))
            }
            Status::Skip => {
                skipped += 1;
                let reason = check.reason.as_deref().unwrap_or_default();
                format!("<skipped message=\"{}\"/>", escaped(&shown(reason)))
            }
        };
        cases.push_str(&case(&format!("doctor.{}", group(check)), check.id, check.duration_ms, &outcome));
    }
    let properties: String =
        [("doctor", report.doctor), ("status", report.status.name()), ("versions", &report.versions())]
            .map(|(name, value)| format!("      <property name=\"{name}\" value=\"{}\"/>\n", escaped(&shown(value))))
            .concat();
    let notes: String = report.notes.iter().map(|note| format!("{}\n", shown(note))).collect();
    let said = format!("{}{}\n{notes}{warnings}", text::paths(report), text::counts(report));
    suite([report.checks.len(), failures, errors, skipped], report.elapsed_ms, &properties, &cases, &said)
}

/// The document of a run that could not start: one test case with an error, so that no older result is taken for this run's.
pub(crate) fn error(message: &str) -> String {
    let outcome = outcome("error", "unknown", message, "");
    let property = format!("      <property name=\"doctor\" value=\"{}\"/>\n", env!("CARGO_PKG_VERSION"));
    suite([1, 0, 1, 0], 0, &property, &case("doctor", "could-not-look", 0, &outcome), "")
}

/// `counts` are the tests, the failures, the errors and the skipped ones.
fn suite(counts: [usize; 4], elapsed_ms: u64, properties: &str, cases: &str, said: &str) -> String {
    let [tests, failures, errors, skipped] = counts;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites>\n  \
         <testsuite name=\"doctor\" package=\"doctor\" id=\"0\" timestamp=\"{now}\" hostname=\"localhost\" tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{}\">\n    \
         <properties>\n{properties}    </properties>\n\
         {cases}    \
         <system-out>{}</system-out>\n    \
         <system-err/>\n  \
         </testsuite>\n\
         </testsuites>\n",
        seconds(elapsed_ms),
        escaped(said),
    )
}

fn case(class: &str, name: &str, duration_ms: u64, outcome: &str) -> String {
    format!(
        "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{}\">{outcome}</testcase>\n",
        seconds(duration_ms)
    )
}

fn outcome(element: &str, kind: &str, message: &str, body: &str) -> String {
    let message = shown(&cut(message, MOST_IN_A_MESSAGE));
    format!("<{element} type=\"{kind}\" message=\"{}\">{}</{element}>", escaped(&message), escaped(body))
}

/// What is wrong, what was seen, and what mends it.
fn body(check: &CheckReport) -> String {
    let finding = |finding: &FindingReport| {
        let because = match finding.consequence_of.as_slice() {
            [] => String::new(),
            causes => format!(" (follows from {})", causes.join(", ")),
        };
        let accepted = finding.accepted.as_ref().map(text::accepted).unwrap_or_default();
        format!("{}{because}{}\n{}\n", shown(&finding.summary), shown(&accepted), text::details(finding))
    };
    let mut out: String = check.findings.iter().map(finding).collect();
    if let Some(reason) = &check.reason {
        out.push_str(&format!("could not be looked at: {}\n", shown(reason)));
    }
    out.push_str(&format!("{} tells more\n", check.explain));
    out
}

/// As it stands in JSON.
fn group(check: &CheckReport) -> String {
    serde_json::to_value(check.group).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// For an attribute in double quotes and for text. What XML cannot hold at all has been escaped by [`shown`].
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
