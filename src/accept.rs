//! Acceptances: findings that somebody knows of and lives with until a day. They are told and counted, and do not fail the run.
//!
//! An accepted failure still explains what follows from it. What follows from accepted failures alone is accepted through
//! them: it would otherwise fail the run in their place. Where any other failure explains it too, it stays what it is.

use caddy_doctor_checks::model::{Evidence, Finding, text};

use crate::{
    config::{Acceptance, Config},
    judge::{Judged, causes},
    report::AcceptedReport,
};

/// Marks what is accepted, and shows on a finding that its acceptance has expired. Returns a sentence for each acceptance
/// that nothing needs.
pub(crate) fn settle(judged: &mut [Judged], config: &Config) -> Vec<String> {
    for own in judged.iter_mut() {
        let id = own.check.id;
        for (finding, accepted) in own.verdict.findings.iter_mut().zip(&mut own.accepted) {
            let mut matching: Vec<&Acceptance> = config
                .accept
                .iter()
                .filter(|acceptance| acceptance.check == id && is_meant(acceptance, finding))
                .collect();
            matching.sort_by(|a, b| b.expires.cmp(&a.expires));
            let Some(acceptance) = matching.first() else { continue };
            let Acceptance { reason, expires, at, .. } = acceptance;
            if acceptance.is_expired {
                let value = format!("until {expires}, and no longer ({at}): {reason}");
                finding.evidence.push(Evidence::new("was accepted", value));
            } else {
                *accepted = Some(AcceptedReport {
                    reason: reason.clone(),
                    expires: expires.clone(),
                    severity: finding.severity,
                    through: None,
                });
            }
        }
    }
    // A check comes after those that can explain it, so one pass is enough.
    for at in 0..judged.len() {
        for nth in 0..judged[at].verdict.findings.len() {
            let finding = &judged[at].verdict.findings[nth];
            if judged[at].accepted[nth].is_some() {
                continue;
            }
            let causes = causes(judged[at].check, judged, &finding.about, finding.hop.as_deref(), finding.outlook);
            let all: Option<Vec<_>> =
                causes.map(|(own, nth)| Some((own.check.id, own.accepted[nth].clone()?))).collect();
            let Some((id, cause)) = all.and_then(|all| all.into_iter().next()) else { continue };
            let severity = finding.severity;
            judged[at].accepted[nth] = Some(AcceptedReport { through: Some(id), severity, ..cause });
        }
    }
    config.accept.iter().filter_map(|acceptance| unneeded(acceptance, judged)).collect()
}

/// Whether a finding is about all that an acceptance names.
fn is_meant(acceptance: &Acceptance, finding: &Finding) -> bool {
    acceptance.about.iter().all(|name| finding.about.contains(name) || finding.hop.as_ref() == Some(name))
}

/// A sentence, when the check was made, could look at everything, and found nothing that the acceptance is for.
fn unneeded(acceptance: &Acceptance, judged: &[Judged]) -> Option<String> {
    let Acceptance { check, about, at, .. } = acceptance;
    let own = judged.iter().find(|own| own.check.id == check)?;
    let findings = &own.verdict.findings;
    if findings.iter().any(|finding| is_meant(acceptance, finding))
        || !own.verdict.gaps.is_empty()
        || own.broken.is_some()
    {
        return None;
    }
    let about = if about.is_empty() { String::new() } else { format!(" about {}", text::list(about)) };
    let mut others: Vec<&String> =
        findings.iter().flat_map(|finding| finding.about.iter().chain(&finding.hop)).collect();
    others.sort();
    others.dedup();
    let others =
        if others.is_empty() { String::new() } else { format!("; what it found is about {}", text::list(&others)) };
    Some(format!("{at}: {check} found nothing{about} that would have to be accepted{others}"))
}
