use crate::model::{
    Action, Asked, Evidence, Explains, Finding, Fix, Gap, Missing, Role, Setup, Verdict, docker::Containers,
    facts::Attempt, text,
};

check! {
    /// Which containers or processes are Caddy and mitmproxy?
    ///
    /// ## What it looks at
    /// In this order: what `--caddy` and `--mitmproxy` say; the label `doctor.role` (`caddy` or `mitmproxy`); the command
    /// (`caddy run`, `mitmweb`, `mitmdump`, `mitmproxy`, also behind `sh -c` and entry points); `CADDY_VERSION` in the
    /// environment; the name of the image. Stopped containers count, and so do plain processes on this machine.
    ///
    /// Of several setups on one engine it takes the compose project of `--project`, else the one that this folder is
    /// called after, else the Caddys that dial a mitmproxy. The others are named in the evidence.
    ///
    /// ## Why it matters
    /// Every other check is about these parts.
    ///
    /// ## How to fix it
    /// Start what is missing, or name it: `--caddy NAME`, `--mitmproxy NAME`, or a label `doctor.role` on the container.
    id: "setup-found",
    group: Docker,
    after: ["docker-engine"],
    needs: [Setup, Asked, Attempt<Containers>],
    run: run,
}

fn run(setup: &Setup, asked: &Asked, containers: Result<&Containers, &Missing>) -> Verdict {
    let mut verdict = Verdict::default();
    for part in setup.parts() {
        let image = containers.ok().and_then(|all| all.named(&part.name)).map(|own| format!(", image {}", own.image));
        let role = if part.role == Role::Caddy { "Caddy" } else { "mitmproxy" };
        verdict
            .evidence
            .push(Evidence::new(role, format!("{} ({}{})", part.name, part.how, image.unwrap_or_default())));
    }
    if let Some(composed) = &asked.compose {
        let by = composed.resolved_by.as_deref().unwrap_or("the doctor itself, since compose is not installed here");
        let files = text::list(&composed.files);
        verdict
            .evidence
            .push(Evidence::new("compose file", format!("{files}, read by {by}; project {}", composed.project)));
        verdict.evidence.extend(composed.warnings.iter().map(|warning| Evidence::new("compose warns", warning)));
        verdict.gaps.extend(composed.not_resolved.iter().map(|what| Gap::about([] as [&str; 0], what)));
    }
    if let Some(chosen) = &setup.chosen {
        verdict.evidence.push(Evidence::new("chosen by", chosen));
    }
    if !setup.others.is_empty() {
        verdict.evidence.push(Evidence::new("not judged", text::list(&setup.others)));
    }
    let roles = [
        (Role::Caddy, "Caddy", "--caddy", &asked.caddy, &setup.caddies),
        (Role::Mitmproxy, "mitmproxy", "--mitmproxy", &asked.mitmproxy, &setup.mitmproxies),
    ];
    for (_, name, flag, wanted, found) in roles {
        if found.is_empty() && wanted.is_none() && !setup.not_looked.is_empty() {
            let why: Vec<String> = setup.not_looked.iter().map(ToString::to_string).collect();
            let reason = format!("no {name} among what could be looked at; {}; name it with {flag}", why.join("; "));
            verdict.gaps.push(Gap::about([] as [&str; 0], reason).may_heal(true));
        } else if found.is_empty() {
            verdict.findings.push(missing(name, flag, wanted.as_deref(), setup, asked, containers));
        }
    }
    let names =
        |parts: &[crate::model::Part]| text::list(&parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>());
    verdict.summary = format!("Caddy is {}, mitmproxy is {}", names(&setup.caddies), names(&setup.mitmproxies));
    verdict
}

fn missing(
    name: &str,
    flag: &str,
    wanted: Option<&str>,
    setup: &Setup,
    asked: &Asked,
    containers: Result<&Containers, &Missing>,
) -> Finding {
    let place = match &asked.project {
        _ if asked.compose.is_some() => " in the compose file".to_owned(),
        Some(project) => format!(" in compose project {project}"),
        None => String::new(),
    };
    let mut finding = match wanted {
        Some(wanted) if !place.is_empty() && containers.is_ok_and(|all| all.by_reference(wanted).is_some()) => {
            Finding::fail([] as [&str; 0], format!("{wanted}, which {flag} names, is not{place}"))
        }
        Some(wanted) => {
            let summary = format!("there is no container or address `{wanted}` for {flag}");
            Finding::fail([] as [&str; 0], summary).may_heal(true)
        }
        // `up` may still be pulling its image.
        None => Finding::fail([] as [&str; 0], format!("there is no {name}{place}")).may_heal(true),
    };
    let all: Vec<&str> = containers.map(|all| all.0.iter().map(|own| own.name.as_str()).collect()).unwrap_or_default();
    match containers {
        Ok(_) if all.is_empty() => finding = finding.seen("containers", "none on this engine"),
        Ok(_) => {
            let more = all.len().saturating_sub(8);
            let shown = all[..all.len() - more].join(", ");
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            finding = finding.seen("containers", format!("{shown}{more}"));
        }
        Err(missing) => finding = finding.seen("containers", missing.to_string()),
    }
    for missing in &setup.not_looked {
        finding = finding.seen("not looked at", missing.to_string());
    }
    if asked.compose.is_some() {
        let title =
            format!("give the file a service that runs {name}; if it has one, say {flag} with its container's name");
        return finding.fix(Fix::new(title, Action::Manual));
    }
    let near = wanted.and_then(|wanted| text::nearest(wanted, all.iter().copied()));
    let fix = match near {
        Some(near) => format!("did you mean {flag} {near}?"),
        None => format!("start {name}; if it is there under another name, say {flag} with its name"),
    };
    let explains = if name == "Caddy" { Explains::AllButHops } else { Explains::Everything };
    finding.explaining(explains).fix(Fix::new(fix, Action::Manual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Outlook, Severity, example};

    fn judged(context: &Context) -> Verdict {
        (CHECK.run)(context)
    }

    #[test]
    fn a_setup_with_both_passes_and_says_how_they_were_recognised() {
        let verdict = judged(&Context::new(example::facts()));
        assert_eq!(verdict.summary, "Caddy is caddy, mitmproxy is mitmproxy");
        assert!(verdict.evidence.contains(&Evidence::new("Caddy", "caddy (by its command, image caddy:1)")));
    }

    #[test]
    fn without_mitmproxy_it_fails_and_names_what_is_there() {
        let mut facts = example::facts();
        facts.containers.as_mut().unwrap().0.retain(|container| container.name != "mitmproxy");
        let verdict = judged(&Context::new(facts));
        assert_eq!(verdict.worst(), Some(Severity::Fail));
        assert_eq!(verdict.findings[0].summary, "there is no mitmproxy");
        assert_eq!(verdict.findings[0].evidence[0].value, "caddy, backend");
    }

    #[test]
    fn a_misspelt_flag_gets_a_guess() {
        let mut facts = example::facts();
        facts.asked.caddy = Some("cady".into());
        let verdict = judged(&Context::new(facts));
        assert_eq!(verdict.findings[0].fixes[0].title, "did you mean --caddy caddy?");
    }

    #[test]
    fn a_part_that_is_not_there_may_come() {
        let mut facts = example::facts();
        facts.containers.as_mut().unwrap().0.retain(|container| container.name != "mitmproxy");
        assert_eq!(judged(&Context::new(facts)).findings[0].outlook, Outlook::MayHeal);
        let mut facts = example::facts();
        (facts.asked.caddy, facts.asked.project) = (Some("caddy".into()), Some("shop".into()));
        let finding = judged(&Context::new(facts)).findings.remove(0);
        assert_eq!(finding.summary, "caddy, which --caddy names, is not in compose project shop");
        assert_eq!(finding.outlook, Outlook::Stays);
    }
}
