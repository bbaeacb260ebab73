//! `--wait`: looks again, with fresh facts each time, until no failure is left that can heal by itself. On standard error
//! it says what it waits for, why it does so no longer, and that the time is up.
//!
//! What can heal by itself is said by the checks ([`Outlook`](caddy_doctor_checks::model::Outlook)); only root causes count here.

use std::{
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

use caddy_doctor_checks::model::{Facts, Severity, docker::Container};

use crate::{
    cli::Check,
    error::Error,
    judge,
    report::{self, FindingReport, Report},
};

/// The first pause between two looks; each is half as long again as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Looks; with `--wait` until nothing is left that can heal by itself. What was seen last.
pub(crate) fn look(arguments: &Check) -> Result<Facts, Error> {
    match arguments.wait {
        Some(wait) => settled(arguments, wait, true),
        None => crate::look(arguments, arguments.probe),
    }
}

/// Looks until nothing is left that can heal by itself, or something that cannot, and begins no look after `wait`. Where it
/// `says` so, what it waits for goes to standard error.
pub(crate) fn settled(arguments: &Check, wait: Duration, says: bool) -> Result<Facts, Error> {
    let end = Instant::now() + wait;
    let mut before = Left::default();
    let mut pause = FIRST_PAUSE;
    // What marked requests leave in mitmproxy's list stays there: those between the first look and the last send none.
    let mut probes = arguments.probe;
    loop {
        let is_last = Instant::now() >= end;
        probes |= arguments.probe && is_last;
        let facts = crate::look(arguments, probes)?;
        // Checks of one's own have the last look only: whether what they find can heal is not known.
        let report = judge::judge(facts.clone(), &arguments.judging, Vec::new());
        let left = Left::of(&report, &facts, arguments.judging.strict);
        let staying = left.staying(&before);
        let is_settled = !staying.is_empty() || left.waited.is_empty() && left.stays.is_empty();
        if is_settled && arguments.probe && !probes {
            probes = true;
            continue;
        }
        if is_settled || is_last {
            if says {
                left.say_end(&staying, &before, wait);
            }
            return Ok(facts);
        }
        if says {
            left.say_new(&before);
        }
        before = left;
        probes = false;
        thread::sleep(pause.min(end.saturating_duration_since(Instant::now())));
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// A root cause, or what could not be looked at.
#[derive(Clone, Debug)]
struct Cause {
    check: &'static str,
    about: Vec<String>,
    hop: Option<String>,
    summary: String,
    /// Whether it stays whatever else comes up.
    certain: bool,
}

impl Cause {
    /// The same as in another look, even where its words hold other figures.
    fn is(&self, other: &Self) -> bool {
        self.check == other.check && self.about == other.about && self.hop == other.hop
    }

    fn is_in(&self, causes: &[Self]) -> bool {
        causes.iter().any(|other| self.is(other))
    }
}

/// What is left after a look.
#[derive(Debug, Default)]
struct Left {
    /// What may heal by itself.
    waited: Vec<Cause>,
    /// What does not.
    stays: Vec<Cause>,
    /// Whether something has just been started, or may heal: then one look may have caught the setup half-way.
    in_motion: bool,
}

impl Left {
    fn of(report: &Report, facts: &Facts, strict: bool) -> Self {
        let mut left = Self::default();
        for row in &report.checks {
            let counts = |finding: &&FindingReport| {
                finding.consequence_of.is_empty()
                    && finding.accepted.is_none()
                    && (strict || finding.severity == Severity::Fail)
            };
            for finding in row.findings.iter().filter(counts) {
                let into = if finding.may_heal { &mut left.waited } else { &mut left.stays };
                into.push(Cause {
                    check: row.id,
                    about: finding.about.clone(),
                    hop: finding.hop.clone(),
                    summary: finding.summary.clone(),
                    certain: finding.certain,
                });
            }
        }
        // One question that got no answer leaves several checks without.
        for row in &report.checks {
            let Some(reason) = &row.may_be_answered else { continue };
            if !left.waited.iter().any(|known| known.summary == *reason) {
                let (about, hop) = (Vec::new(), None);
                left.waited.push(Cause { check: row.id, about, hop, summary: reason.clone(), certain: false });
            }
        }
        let mut containers = facts.containers.iter().flat_map(|all| &all.0);
        left.in_motion = !left.waited.is_empty() || containers.any(Container::has_just_started);
        left
    }

    /// What certainly stays: in a setup in motion what was there in the look before as well.
    fn staying(&self, before: &Self) -> Vec<&Cause> {
        self.stays.iter().filter(|cause| cause.certain || !self.in_motion || cause.is_in(&before.stays)).collect()
    }

    fn say_new(&self, before: &Self) {
        for cause in self.waited.iter().filter(|cause| !cause.is_in(&before.waited)) {
            say(&format!("waiting for {}: {}", cause.check, cause.summary));
        }
    }

    /// Why it waits no longer; nothing where nothing is left.
    fn say_end(&self, staying: &[&Cause], before: &Self, wait: Duration) {
        let any_longer = if before.waited.is_empty() { "" } else { " any longer" };
        let left: Vec<&Cause> = self.stays.iter().chain(&self.waited).collect();
        let (why, causes) = match (staying, left.as_slice()) {
            ([_, ..], _) => (format!("not waiting{any_longer}, this does not heal by itself"), staying),
            ([], [_, ..]) => (format!("{} s are up, and this is left", wait.as_secs_f64()), left.as_slice()),
            ([], []) => return,
        };
        for cause in causes {
            say(&format!("{why}: {}: {}", cause.check, cause.summary));
        }
    }
}

/// A line on standard error; that nobody reads it is no error.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "doctor: {}", report::shown(line));
}
