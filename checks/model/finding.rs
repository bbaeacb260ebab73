//! What a check says about the setup.

use serde::{Deserialize, Serialize};

use crate::model::{Fix, Hop, Missing};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Warn,
    Fail,
}

/// What can follow from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explains {
    Everything,
    /// That there is no Caddy explains what could not be looked at, and not what was seen behind it.
    AllButHops,
    /// That something fails its own health check may itself be what follows.
    Nothing,
}

/// What becomes of something when nobody does anything about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outlook {
    /// It stays; when it follows from something that heals, it may go with that.
    #[default]
    Stays,
    /// It may heal by itself: something is still starting, or slow.
    MayHeal,
    /// It stays whatever else comes up, because it is written so: it is no consequence of what is still starting.
    Certain,
}

/// Something observed, for the reader to see with his own eyes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Evidence {
    pub label: String,
    pub value: String,
}

impl Evidence {
    pub fn new(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self { label: label.into(), value: value.into() }
    }
}

/// One thing that is wrong: about whom, one sentence, what was seen, and what mends it.
#[derive(Debug, PartialEq)]
pub struct Finding {
    pub severity: Severity,
    pub explains: Explains,
    pub outlook: Outlook,
    /// The parties: containers, processes, `port 8081`.
    pub about: Vec<String>,
    /// The hop of the path on which it happens ([`Hop::id`]), where it is one.
    pub hop: Option<String>,
    pub summary: String,
    pub evidence: Vec<Evidence>,
    pub fixes: Vec<Fix>,
}

impl Finding {
    pub fn fail<S: Into<String>>(about: impl IntoIterator<Item = S>, summary: impl Into<String>) -> Self {
        Self {
            severity: Severity::Fail,
            explains: Explains::Everything,
            outlook: Outlook::Stays,
            about: about.into_iter().map(Into::into).collect(),
            hop: None,
            summary: summary.into(),
            evidence: Vec::new(),
            fixes: Vec::new(),
        }
    }

    pub fn warn<S: Into<String>>(about: impl IntoIterator<Item = S>, summary: impl Into<String>) -> Self {
        Self { severity: Severity::Warn, ..Self::fail(about, summary) }
    }

    /// Says on which hop it happens; both its ends become parties.
    #[must_use]
    pub fn on(mut self, hop: &Hop) -> Self {
        for end in hop.ends() {
            if !self.about.contains(&end) {
                self.about.push(end);
            }
        }
        self.hop = Some(hop.id());
        self
    }

    #[must_use]
    pub fn explaining(mut self, explains: Explains) -> Self {
        self.explains = explains;
        self
    }

    /// Says that it may heal by itself, where `it_may`.
    #[must_use]
    pub fn may_heal(mut self, it_may: bool) -> Self {
        if it_may {
            self.outlook = Outlook::MayHeal;
        }
        self
    }

    /// Says that it stays whatever else comes up.
    #[must_use]
    pub fn certain(mut self) -> Self {
        self.outlook = Outlook::Certain;
        self
    }

    #[must_use]
    pub fn seen(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.evidence.push(Evidence::new(label, value));
        self
    }

    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fixes.push(fix);
        self
    }

    /// Whether this failure can explain something about `about` on `hop`.
    ///
    /// Two findings that are each about one hop are related when it is the same hop; else when they share a party.
    /// A failure about nobody in particular (no engine, no mitmproxy) explains everything.
    #[must_use]
    pub fn touches(&self, about: &[String], hop: Option<&str>) -> bool {
        if self.explains == Explains::Nothing {
            return false;
        }
        match (self.hop.as_deref(), hop) {
            (Some(mine), Some(theirs)) => mine == theirs,
            (None, Some(_)) if self.explains == Explains::AllButHops => false,
            // What could not be looked at as a whole is explained by any failure that comes before it.
            _ => about.is_empty() || self.about.is_empty() || self.about.iter().any(|party| about.contains(party)),
        }
    }
}

/// Something that could not be looked at.
#[derive(Debug, PartialEq)]
pub struct Gap {
    /// As in [`Finding::about`]; empty when the whole check could not look.
    pub about: Vec<String>,
    pub hop: Option<String>,
    /// A sentence: what was tried, from where, and what came back.
    pub reason: String,
    /// Whether the same question may be answered later without anybody's doing.
    pub may_heal: bool,
}

impl Gap {
    #[must_use]
    pub fn everything(missing: &Missing) -> Self {
        Self { about: Vec::new(), hop: None, reason: missing.to_string(), may_heal: missing.may_heal(true) }
    }

    pub fn about<S: Into<String>>(about: impl IntoIterator<Item = S>, reason: impl Into<String>) -> Self {
        let about = about.into_iter().map(Into::into).collect();
        Self { about, hop: None, reason: reason.into(), may_heal: false }
    }

    pub fn on(hop: &Hop, reason: impl Into<String>) -> Self {
        Self { hop: Some(hop.id()), ..Self::about(hop.ends(), reason) }
    }

    /// Says whether it may be answered later.
    #[must_use]
    pub fn may_heal(self, it_may: bool) -> Self {
        Self { may_heal: it_may, ..self }
    }
}
