//! The report: what a run found, ready to be written. Nothing in a format decides anything.
//!
//! The structs are the JSON of schema version 1 (`docs/report.schema.json`): absent, not null; additive changes only.

pub(crate) mod cut;
pub(crate) mod github;
pub(crate) mod issue;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod markdown;
pub(crate) mod short;
mod shown;
pub(crate) mod style;
#[cfg(test)]
mod tests;
pub(crate) mod text;

pub(crate) use shown::{is_hidden, shown};

use caddy_doctor_checks::model::{Action, Apply, Edit, Evidence, Group, Severity};
use serde::Serialize;

/// The version of the JSON form.
pub(crate) const SCHEMA: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Pass,
    Warn,
    Fail,
    /// It does not apply, or another check's failure is in the way.
    Skip,
    /// A fact could not be had, and no check explains why.
    Unknown,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Unknown => "unknown",
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    pub(crate) doctor: &'static str,
    pub(crate) status: Status,
    pub(crate) exit_code: u8,
    /// A warning is a failure, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) strict: bool,
    /// Some checks were left out on request.
    pub(crate) partial: bool,
    pub(crate) elapsed_ms: u64,
    /// The `doctor.toml` that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config: Option<String>,
    /// How many findings are accepted.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) accepted: usize,
    /// What else is to be said: a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    pub(crate) setup: SetupReport,
    pub(crate) root_causes: Vec<RootCause>,
    pub(crate) checks: Vec<CheckReport>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct SetupReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<EngineReport>,
    pub(crate) caddy: Vec<CaddyReport>,
    pub(crate) mitmproxy: Vec<MitmproxyReport>,
    pub(crate) paths: Vec<PathReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct EngineReport {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) endpoint: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct CaddyReport {
    pub(crate) place: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// Absent when it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct MitmproxyReport {
    pub(crate) place: String,
    pub(crate) program: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    pub(crate) modes: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct PathReport {
    pub(crate) host: String,
    /// The path that is asked for, when it is not `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// A matcher on the way could not be decided from the Host alone, so a request may go elsewhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) undecided: bool,
    pub(crate) hops: Vec<String>,
    /// Indices of the hops on which a failure was found.
    pub(crate) broken: Vec<usize>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct RootCause {
    pub(crate) check: &'static str,
    pub(crate) severity: Severity,
    pub(crate) about: Vec<String>,
    pub(crate) summary: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct CheckReport {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) group: Group,
    pub(crate) status: Status,
    pub(crate) summary: String,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) findings: Vec<FindingReport>,
    pub(crate) blocked_by: Vec<&'static str>,
    /// Why it was skipped, or is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) explain: String,
    /// For `--wait`: what could not be looked at, explained by nobody, and may be answered later.
    #[serde(skip)]
    pub(crate) may_be_answered: Option<String>,
    pub(crate) duration_ms: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct FindingReport {
    /// Of an accepted one always a warning.
    pub(crate) severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accepted: Option<AcceptedReport>,
    pub(crate) about: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hop: Option<String>,
    pub(crate) summary: String,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) consequence_of: Vec<&'static str>,
    /// Whether this root cause may go away without anybody's doing: something is still starting, or slow.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) may_heal: bool,
    /// Whether it stays whatever else comes up.
    #[serde(skip)]
    pub(crate) certain: bool,
    pub(crate) fixes: Vec<FixReport>,
    /// Whether requests do not get past its first party.
    #[serde(skip)]
    pub(crate) breaks: bool,
}

/// Why a finding does not count.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AcceptedReport {
    pub(crate) reason: String,
    /// The last day on which it is accepted, in UTC: `2026-12-31`.
    pub(crate) expires: String,
    /// How bad it would be otherwise.
    pub(crate) severity: Severity,
    /// The check whose accepted failure it follows from, when it is not accepted itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) through: Option<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct FixReport {
    pub(crate) title: String,
    pub(crate) commands: Vec<String>,
    pub(crate) edits: Vec<Edit>,
    pub(crate) apply: Apply,
    /// What puts it back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) undo: Vec<String>,
    /// For `doctor fix`.
    #[serde(skip)]
    pub(crate) action: Action,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl CheckReport {
    /// Whether all that it found is accepted; it is then told like a warning, which `--strict` does not count.
    pub(crate) fn is_accepted(&self) -> bool {
        self.status == Status::Warn && self.findings.iter().all(|finding| finding.accepted.is_some())
    }
}

impl FindingReport {
    /// Whether something does not work, accepted or not.
    pub(crate) fn is_failure(&self) -> bool {
        self.accepted.as_ref().map_or(self.severity, |accepted| accepted.severity) == Severity::Fail
    }
}

impl Report {
    /// How many checks have this status.
    pub(crate) fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }

    /// The root causes with the checks that found them: failures first, within each in the order of the checks.
    pub(crate) fn roots(&self) -> impl Iterator<Item = (&CheckReport, &FindingReport)> {
        [Severity::Fail, Severity::Warn].into_iter().flat_map(move |severity| {
            let findings =
                self.checks.iter().flat_map(|check| check.findings.iter().map(move |finding| (check, finding)));
            let is_root = move |finding: &FindingReport| {
                finding.severity == severity && finding.consequence_of.is_empty() && finding.accepted.is_none()
            };
            findings.filter(move |(_, finding)| is_root(finding))
        })
    }

    /// What is accepted itself, not only what it follows from.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = (&CheckReport, &FindingReport, &AcceptedReport)> {
        let findings = self.checks.iter().flat_map(|check| check.findings.iter().map(move |finding| (check, finding)));
        let accepted = findings.filter_map(|(check, finding)| Some((check, finding, finding.accepted.as_ref()?)));
        accepted.filter(|(_, _, accepted)| accepted.through.is_none())
    }

    /// The checks that could not look, and nothing explains why.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = &CheckReport> {
        self.checks.iter().filter(|check| check.status == Status::Unknown)
    }

    /// Whether a finding of this severity makes the run fail.
    pub(crate) fn is_failure(&self, severity: Severity) -> bool {
        severity == Severity::Fail || self.strict
    }

    /// The checks that have a finding or a gap which this check explains, in the order of the report.
    pub(crate) fn follows_from(&self, check: &str) -> Vec<&'static str> {
        let follows = |row: &&CheckReport| {
            row.blocked_by.contains(&check)
                || row.findings.iter().any(|finding| finding.consequence_of.contains(&check))
        };
        self.checks.iter().filter(follows).map(|row| row.id).collect()
    }

    /// `docker 28.1.1  caddy 2.9.1  mitmproxy 10.4.2`, as far as they are known.
    pub(crate) fn versions(&self) -> String {
        let engine = self.setup.engine.iter().map(|engine| format!("{} {}", engine.name, engine.version));
        let caddy = self.setup.caddy.iter().filter_map(|caddy| Some(format!("caddy {}", caddy.version.as_ref()?)));
        let mitmproxy =
            self.setup.mitmproxy.iter().filter_map(|own| Some(format!("mitmproxy {}", own.version.as_ref()?)));
        let mut all: Vec<String> = engine.chain(caddy).chain(mitmproxy).collect();
        all.dedup();
        all.join("  ")
    }
}

impl PathReport {
    /// Where the hops lead, one after the other: `caddy:80`, `mitmproxy:8080`. A name may itself hold an arrow.
    pub(crate) fn nodes(&self) -> Vec<&str> {
        let mut nodes = vec!["client"];
        for hop in &self.hops {
            let exact =
                nodes.last().and_then(|before| hop.strip_prefix(before)).and_then(|rest| rest.strip_prefix(" -> "));
            nodes.push(exact.or_else(|| hop.rsplit(" -> ").next()).unwrap_or_default());
        }
        nodes.split_off(1)
    }
}
