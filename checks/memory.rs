use crate::model::{
    Action, Apply, Asked, Edit, Evidence, Finding, Fix, Gap, Missing, Part, Role, Setup, Thresholds, Verdict,
    docker::{Containers, Usage},
    facts::Attempt,
    fix::ApiAt,
    mitmproxy::{Interface, Mitmproxies, MitmproxySeen},
    setup::PartKind,
    text::shell,
};

check! {
    /// Does mitmproxy have memory left?
    ///
    /// ## What it looks at
    /// The memory that mitmproxy's container uses (as `docker stats` counts it), its limit, whether it was killed for
    /// want of memory before, and how many flows mitmweb holds. From 100 flows on it says how much that is for each
    /// flow: an estimate, by which a fresh mitmweb takes 80 MiB and the flows take the rest.
    ///
    /// ## Why it matters
    /// mitmweb keeps every flow with its bodies until it ends: it has no option for how many. At its limit the kernel
    /// kills it, all flows are gone, and Caddy answers 502.
    ///
    /// ## What limits memory
    /// - `stream_large_bodies=1m`: larger bodies are passed on as they come and are not kept; all else of the flow
    ///   is. `store_streamed_bodies` (from 12.0) undoes that.
    /// - mitmdump in mitmweb's place keeps no flows.
    /// - To clear the flows in the web interface, or to restart mitmweb. What was captured is lost.
    ///
    /// ## What does not
    /// `flow_detail` decides how much mitmdump prints, and nothing else: mitmweb does not have it, and takes `--set
    /// flow_detail=0` without a word and without any effect (100 answers of 2 MB: 269 MB with and without it, 78 MB
    /// with `stream_large_bodies`). Guides that call it a way to store no bodies are wrong. `view_filter` hides flows
    /// and keeps them, `anticache` changes requests. `body_size_limit` does save memory, and answers larger requests
    /// with an error.
    ///
    /// ## How to fix it
    /// Set `stream_large_bodies`: at once by the options API, for good on the command line. The doctor clears nothing.
    id: "memory",
    group: Performance,
    after: ["setup-found", "container-health"],
    needs: [Asked, Setup, Mitmproxies, Attempt<Containers>],
    run: run,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What mitmweb takes before its first flow: 76 to 81 MB, of versions 10 to 12.
const FRESH: u64 = 80 * MIB;
/// With fewer flows, their share cannot be told from what Python takes for itself.
const FEWEST_FLOWS: u64 = 100;
const OPTION: &str = "stream_large_bodies";

fn run(asked: &Asked, setup: &Setup, mitmproxies: &Mitmproxies, containers: Result<&Containers, &Missing>) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Mitmproxy));
    let mut summaries = Vec::new();
    let mut unseen = Vec::new();
    for part in &setup.mitmproxies {
        let name = &part.name;
        let Some(seen) = mitmproxies.named(name) else {
            verdict.gaps.push(Gap::about([name], format!("{name} was not asked")));
            continue;
        };
        let detail = containers.ok().and_then(|all| all.named(name)).and_then(|own| own.detail.as_deref());
        let was_killed = detail.is_some_and(|detail| detail.oom_killed);
        if was_killed {
            let finding = Finding::warn([name], format!("{name} was killed because it used more memory than it may"))
                .seen("OOMKilled", "true, says the engine");
            verdict.findings.push(relieved(finding, part, seen));
        }
        let usage = match &seen.usage {
            Some(Ok(usage)) => usage,
            Some(Err(missing)) => {
                verdict.gaps.push(Gap::about([name], format!("how much memory {name} uses is not known: {missing}")));
                continue;
            }
            None if part.kind == PartKind::Container => {
                unseen.push(format!("how much {name} uses was not asked"));
                continue;
            }
            None => {
                unseen.push(format!("{name} runs in no container, and the engine tells the memory of containers only"));
                continue;
            }
        };
        let facts = evidence(seen, usage);
        match too_much(name, usage, &asked.thresholds) {
            Some(summary) if !was_killed => {
                let mut finding = Finding::warn([name], summary);
                finding.evidence = facts;
                verdict.findings.push(relieved(finding, part, seen));
            }
            _ => {
                let of = |seen: Evidence| Evidence::new(format!("{name}'s {}", seen.label), seen.value);
                verdict.evidence.extend(facts.into_iter().map(of));
            }
        }
        summaries.push(match usage.memory_limit {
            Some(limit) => format!("{name} uses {} of {}", size(usage.memory), size(limit)),
            None => format!("{name} uses {}, and has no limit", size(usage.memory)),
        });
    }
    if summaries.is_empty() && verdict.findings.is_empty() && verdict.gaps.is_empty() {
        return Verdict::not_applicable(unseen.join("; "));
    }
    verdict.evidence.extend(unseen.into_iter().map(|why| Evidence::new("not looked at", why)));
    verdict.summary = summaries.join("; ");
    verdict
}

fn too_much(name: &str, usage: &Usage, most: &Thresholds) -> Option<String> {
    let memory = size(usage.memory);
    match usage.memory_limit.filter(|limit| *limit > 0) {
        Some(limit) if u128::from(usage.memory) * 100 > u128::from(limit) * u128::from(most.memory_percent) => {
            let percent = u128::from(usage.memory) * 100 / u128::from(limit);
            Some(format!("{name} uses {memory} of the {} that it may ({percent} %)", size(limit)))
        }
        limit if usage.memory > most.memory_mib.saturating_mul(MIB) => Some(match limit {
            Some(limit) => format!("{name} uses {memory}, which is much, of the {} that it may", size(limit)),
            None => format!("{name} uses {memory}, and nothing limits it"),
        }),
        _ => None,
    }
}

fn evidence(seen: &MitmproxySeen, usage: &Usage) -> Vec<Evidence> {
    let mut all = vec![
        Evidence::new("memory", size(usage.memory)),
        Evidence::new("limit", usage.memory_limit.map_or_else(|| "none".to_owned(), size)),
    ];
    if seen.command_line.interface != Interface::Mitmweb {
        all.push(Evidence::new("flows", format!("{} keeps none", seen.command_line.interface.name())));
        return all;
    }
    let Ok(flows) = seen.flows else { return all };
    // Hidden flows are kept, and not counted.
    let options = seen.options.as_ref().ok();
    let filtered =
        options.is_none_or(|options| options.view_filter.as_deref().is_some_and(|filter| !filter.is_empty()));
    let rest = usage.memory.saturating_sub(FRESH);
    all.push(Evidence::new(
        "flows",
        match rest.checked_div(flows).filter(|_| flows >= FEWEST_FLOWS && rest > 0 && !filtered) {
            Some(each) => format!(
                "{flows}, about {} each (an estimate: what is above the {} of a fresh mitmweb)",
                size(each),
                size(FRESH)
            ),
            None => flows.to_string(),
        },
    ));
    all
}

/// Adds what lets it use less.
fn relieved(finding: Finding, part: &Part, seen: &MitmproxySeen) -> Finding {
    let name = &part.name;
    let streams = match &seen.options {
        Ok(options) => options.stream_large_bodies.clone(),
        Err(_) => seen.command_line.set.get(OPTION).cloned(),
    };
    let lasting = Edit { file: format!("the command of {name}"), language: "sh", text: format!("--set {OPTION}=1m") };
    let finding = match (streams, &seen.options) {
        (Some(streams), _) => finding.seen(OPTION, format!("{streams} already")),
        (None, Ok(_)) => finding.fix(
            Fix::new(
                format!("let {name} keep no bodies of more than 1 MB from now on"),
                Action::SetOption {
                    at: ApiAt::of(part, &seen.web),
                    option: OPTION,
                    value: "1m".into(),
                    password: seen.wants_password(),
                },
            )
            .edit(lasting),
        ),
        (None, Err(_)) => {
            let title = format!("let {name} keep no bodies of more than 1 MB");
            finding.fix(Fix::new(title, Action::Manual).edit(lasting))
        }
    };
    if seen.command_line.interface != Interface::Mitmweb {
        return finding;
    }
    let restart = Action::Command { command: format!("docker restart {}", shell(name)), apply: Apply::Manual };
    let finding = match part.kind {
        PartKind::Container => {
            finding.fix(Fix::new(format!("restart {name}, which forgets every flow that it has captured"), restart))
        }
        _ => finding,
    };
    finding.fix(Fix::new("where nobody looks at the flows, run mitmdump, which keeps none", Action::Manual))
}

fn size(bytes: u64) -> String {
    // One digit behind the point, rounded.
    let tenths = |unit: u64| (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..MIB => format!("{} KiB", (tenths(1 << 10) + 5) / 10),
        MIB..GIB => format!("{} MiB", (tenths(MIB) + 5) / 10),
        _ => format!("{}.{} GiB", tenths(GIB) / 10, tenths(GIB) % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Facts, Severity, example, facts::Kind};

    fn judged(memory: u64, limit: Option<u64>, change: impl FnOnce(&mut MitmproxySeen)) -> Verdict {
        let mut facts: Facts = example::healthy();
        let seen = &mut facts.mitmproxies.as_mut().unwrap().0[0];
        seen.usage = Some(Ok(Usage { memory, memory_limit: limit, ..Usage::default() }));
        change(seen);
        (CHECK.run)(&Context::new(facts))
    }

    #[test]
    fn little_memory_passes_with_what_was_seen() {
        let verdict = judged(100 * MIB, Some(GIB), |_| {});
        assert_eq!((verdict.worst(), verdict.summary.as_str()), (None, "mitmproxy uses 100 MiB of 1.0 GiB"));
        assert_eq!(verdict.evidence[2], Evidence::new("mitmproxy's flows", "3"));
        let verdict = judged(GIB, None, |_| {});
        assert_eq!((verdict.worst(), verdict.summary.as_str()), (None, "mitmproxy uses 1.0 GiB, and has no limit"));
        assert_eq!(judged(GIB, Some(10 * GIB), |_| {}).worst(), None);
        let much = judged(2 * GIB, Some(10 * GIB), |_| {});
        assert_eq!(much.findings[0].summary, "mitmproxy uses 2.0 GiB, which is much, of the 10.0 GiB that it may");
    }

    #[test]
    fn near_its_limit_it_warns_and_stores_less() {
        let finding = judged(1700 * MIB, Some(2 * GIB), |seen| seen.flows = Ok(1000)).findings.remove(0);
        assert_eq!(finding.severity, Severity::Warn);
        assert_eq!(finding.summary, "mitmproxy uses 1.7 GiB of the 2.0 GiB that it may (83 %)");
        assert_eq!(
            finding.evidence[2].value,
            "1000, about 2 MiB each (an estimate: what is above the 80 MiB of a fresh mitmweb)"
        );
        let fix = &finding.fixes[0];
        assert_eq!(fix.action.apply(), Apply::Safe);
        assert!(
            fix.action.commands()[0].contains(r#"{\"stream_large_bodies\": \"1m\"}"#),
            "{:?}",
            fix.action.commands()
        );
        assert_eq!(fix.edits[0].text, "--set stream_large_bodies=1m");
        assert_eq!(finding.fixes[1].action.apply(), Apply::Manual);
    }

    #[test]
    fn without_a_limit_much_is_over_a_gibibyte() {
        let verdict = judged(GIB + 1, None, |_| {});
        assert_eq!(verdict.findings[0].summary, "mitmproxy uses 1.0 GiB, and nothing limits it");
    }

    #[test]
    fn hidden_flows_make_no_estimate() {
        let finding = judged(2 * GIB, None, |seen| {
            seen.flows = Ok(1000);
            seen.options.as_mut().unwrap().view_filter = Some("~u x".into());
        });
        assert_eq!(finding.findings[0].evidence[2].value, "1000");
    }

    #[test]
    fn what_it_does_already_is_no_fix() {
        let verdict = judged(2 * GIB, None, |seen| {
            seen.options.as_mut().unwrap().stream_large_bodies = Some("512k".into());
        });
        assert!(verdict.findings[0].evidence.contains(&Evidence::new(OPTION, "512k already")));
        assert!(verdict.findings[0].fixes.iter().all(|fix| !matches!(fix.action, Action::SetOption { .. })));
    }

    #[test]
    fn mitmdump_gets_a_command_line_only() {
        let verdict = judged(2 * GIB, None, |seen| {
            seen.command_line.interface = Interface::Mitmdump;
            seen.options = Err(Missing::failed("", Kind::Unsupported, "mitmdump has no API"));
            seen.flows = Err(Missing::failed("", Kind::Unsupported, "mitmdump has no API"));
        });
        let finding = &verdict.findings[0];
        assert_eq!(finding.evidence[2].value, "mitmdump keeps none");
        assert_eq!(finding.fixes.len(), 1);
        assert_eq!(finding.fixes[0].action, Action::Manual);
    }

    #[test]
    fn killed_before_is_said_once() {
        let mut facts = example::healthy();
        facts.containers.as_mut().unwrap().0[1].detail.as_mut().unwrap().oom_killed = true;
        let usage = Usage { memory: 2 * GIB, ..Usage::default() };
        facts.mitmproxies.as_mut().unwrap().0[0].usage = Some(Ok(usage));
        let verdict = (CHECK.run)(&Context::new(facts));
        assert_eq!(verdict.findings.len(), 1);
        assert!(verdict.findings[0].summary.starts_with("mitmproxy was killed"), "{}", verdict.findings[0].summary);
    }

    #[test]
    fn memory_that_was_not_seen_is_not_claimed() {
        let process = judged(0, None, |seen| seen.usage = None);
        assert_eq!(process.not_applicable.as_deref(), Some("how much mitmproxy uses was not asked"));
        let failed = judged(0, None, |seen| {
            seen.usage = Some(Err(Missing::failed("GET /containers/mitmproxy/stats", Kind::TimedOut, "no answer")));
        });
        assert_eq!((failed.worst(), failed.gaps.len()), (None, 1));
    }
}
