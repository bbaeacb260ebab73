//! What a check is, and what it may answer.

use crate::model::{Context, Evidence, FactId, Finding, Gap, Missing, Severity};

/// One check: what it is called, what explains it, what it needs to know, and how it decides.
#[derive(Debug)]
pub struct Check {
    /// Stable and public: it appears in JSON, in `--only`, in docs and in issue reports.
    pub id: &'static str,
    pub group: Group,
    /// The checks whose failure about the same party explains a finding of this one.
    pub after: &'static [&'static str],
    /// Written by [`check!`](crate::model::check) from the parameter types of `run`.
    pub needs: &'static [FactId],
    /// Markdown; its first line is the title, a question.
    pub explanation: &'static str,
    /// The file of the check, from the root of the project.
    pub source: &'static str,
    /// Judges; a fact that could not be had is a gap in the verdict, never a pass.
    pub run: fn(&Context) -> Verdict,
}

impl Check {
    /// The first line of the explanation.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.explanation.lines().next().unwrap_or_default().trim()
    }

    /// The explanation as Markdown: without the one leading space that a doc comment gives each line.
    #[must_use]
    pub fn page(&self) -> String {
        self.explanation.lines().map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line))).collect()
    }
}

/// Which part of the setup a check looks at; the order is the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    Docker,
    Ports,
    Containers,
    Network,
    Caddy,
    Mitmproxy,
    Performance,
    Ci,
    /// Checks of one's own, from `doctor.toml`.
    Own,
}

/// What a check saw. The status follows from it: the worst of its findings and gaps, `pass` when there are none.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    /// One sentence for the case that nothing is wrong.
    pub summary: String,
    pub evidence: Vec<Evidence>,
    pub findings: Vec<Finding>,
    /// How many more there were than [`add`](Self::add) kept.
    pub untold: usize,
    /// What could not be looked at, and why.
    pub gaps: Vec<Gap>,
    /// Set when there is nothing here for this check to look at: the reason, a sentence.
    pub not_applicable: Option<String>,
}

/// Of one severity and one check; see [`Verdict::add`].
const MOST_FINDINGS: usize = 50;

impl Verdict {
    /// Nothing to look at, because of `reason`.
    pub fn not_applicable(reason: impl Into<String>) -> Self {
        Self { not_applicable: Some(reason.into()), ..Self::default() }
    }

    /// The fact that the check stands on could not be had.
    #[must_use]
    pub fn missing(missing: &Missing) -> Self {
        Self { gaps: vec![Gap::everything(missing)], ..Self::default() }
    }

    /// Adds a finding. Of those that a config with thousands of routes can give, the first of each severity are kept, and the
    /// rest is counted: nobody reads them all, and one fix may mend them all.
    pub fn add(&mut self, finding: Finding) {
        if self.findings.iter().filter(|own| own.severity == finding.severity).count() < MOST_FINDINGS {
            self.findings.push(finding);
        } else {
            self.untold += 1;
        }
    }

    /// The worst severity among the findings.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

/// Declares the check of a file; its doc comment is the page of the check.
///
/// `needs` lists facts; they are also the parameter types of `run`, so a check cannot read what it did not declare.
macro_rules! check {
    (
        $(#[doc = $doc:literal])+
        id: $id:literal,
        group: $group:ident,
        after: [$($after:literal),* $(,)?],
        needs: [$($fact:ty),* $(,)?],
        run: $run:expr $(,)?
    ) => {
        $(#[doc = $doc])+
        pub(crate) const CHECK: $crate::model::Check = $crate::model::Check {
            id: $id,
            group: $crate::model::Group::$group,
            after: &[$($after),*],
            needs: &[$(<$fact as $crate::model::Need>::ID),*],
            explanation: concat!($($doc, "\n"),+),
            source: file!(),
            run: |context| {
                let judge = || Ok($run($(<$fact as $crate::model::Need>::given(context)?),*));
                judge().unwrap_or_else(|missing: $crate::model::Missing| $crate::model::Verdict::missing(&missing))
            },
        };
    };
}
