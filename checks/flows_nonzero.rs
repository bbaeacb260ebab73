use crate::model::{
    Action, Apply, Evidence, Finding, Fix, Gap, Missing, Path, Paths, Place, Role, Setup, Verdict,
    docker::Containers,
    facts::Attempt,
    mitmproxy::{Interface, Mitmproxies, MitmproxySeen},
    text::{self, shell},
};

check! {
    /// Has traffic been captured?
    ///
    /// ## What it looks at
    /// How many flows every mitmweb of the setup holds, counted by the command `view.properties.length`: loading them
    /// (`/flows`) would hold up the traffic. `view_filter` hides flows from the count, so it is named when it is set. mitmdump
    /// and the console program keep no flows that could be asked for.
    ///
    /// ## Why it matters
    /// It is what mitmproxy was put there for. None is no failure by itself: perhaps nothing was sent yet.
    ///
    /// ## How to fix it
    /// Send one request through Caddy, with a Host that Caddy routes to mitmproxy, and look again. Where another check fails,
    /// mend that first: with the default `connection_strategy=eager` mitmproxy records no flow when its target is down.
    id: "flows-nonzero",
    group: Mitmproxy,
    after: ["setup-found", "container-health", "shared-network", "dns-lookup", "host-docker-internal"],
    needs: [Setup, Mitmproxies, Attempt<Paths>, Attempt<Containers>],
    run: run,
}

fn run(
    setup: &Setup,
    mitmproxies: &Mitmproxies,
    paths: Result<&Paths, &Missing>,
    containers: Result<&Containers, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Mitmproxy));
    let mut total = 0;
    let mut asked = 0;
    for part in &setup.mitmproxies {
        let Some(seen) = mitmproxies.named(&part.name) else {
            verdict.gaps.push(Gap::about([&part.name], format!("{} was not asked", part.name)));
            continue;
        };
        if seen.command_line.interface != Interface::Mitmweb && seen.flows.is_err() {
            let program = seen.command_line.interface.name();
            verdict
                .evidence
                .push(Evidence::new(&part.name, format!("is {program}, which has no API to ask for flows")));
            continue;
        }
        asked += 1;
        match &seen.flows {
            Ok(0) => verdict.findings.push(none(setup, seen, paths.ok(), containers.ok())),
            Ok(count) => {
                total += count;
                verdict.evidence.push(Evidence::new(&part.name, flows(*count)));
            }
            Err(missing) => verdict
                .gaps
                .push(Gap::about([&part.name], format!("the flows of {} could not be counted: {missing}", part.name))),
        }
    }
    if asked == 0 && verdict.gaps.is_empty() {
        return Verdict::not_applicable("no mitmweb is there, and mitmdump keeps no flows that could be counted");
    }
    verdict.summary = format!("{} captured", flows(total));
    verdict
}

fn flows(count: u64) -> String {
    if count == 1 { "1 flow".to_owned() } else { format!("{count} flows") }
}

fn none(setup: &Setup, seen: &MitmproxySeen, paths: Option<&Paths>, containers: Option<&Containers>) -> Finding {
    let name = &seen.name;
    let path = paths.and_then(|paths| {
        paths.paths.iter().find(|path| path.hops.first().is_some_and(|at| paths.hops[*at].to.as_ref() == Some(name)))
    });
    // Whatever is wrong on the way to it or behind it explains that nothing was captured.
    let on_the_way = paths
        .into_iter()
        .flat_map(Paths::relevant)
        .filter(|hop| hop.to.as_ref() == Some(name) || hop.from == *name || hop.to.is_none());
    let mut about = vec![name.clone()];
    about.extend(setup.caddies.iter().map(|part| part.name.clone()));
    for end in on_the_way.flat_map(crate::model::Hop::ends) {
        if !about.contains(&end) {
            about.push(end);
        }
    }
    let mut finding = Finding::warn(about, format!("{name} has captured nothing yet"));
    if let Ok(options) = &seen.options
        && let Some(filter) = options.view_filter.as_deref().filter(|filter| !filter.is_empty())
    {
        finding = finding.seen("view_filter", format!("{filter}: only flows that match it are counted and listed"));
    }
    if let Some(path) = path
        && let Some(command) = curl(path, containers)
    {
        finding = finding.fix(Fix::new(
            "send one request through the whole path, then look again",
            Action::Command { command, apply: Apply::Manual },
        ));
    }
    finding
}

/// The command that sends a request for this Host to Caddy from this machine.
fn curl(path: &Path, containers: Option<&Containers>) -> Option<String> {
    let (listen, tls) = path.listen?;
    let (ip, port) = entry(&path.caddy, listen, containers)?;
    let host = (!path.host.contains(' ')).then(|| path.host.replacen('*', "www", 1));
    let scheme = if tls { "https" } else { "http" };
    Some(match host {
        Some(host) if tls => format!(
            "curl -ik --resolve {} {}",
            shell(&format!("{host}:{port}:{ip}")),
            shell(&format!("{scheme}://{}/", text::join_port(&host, port)))
        ),
        Some(host) => {
            format!("curl -i -H {} {scheme}://{}/", shell(&format!("Host: {host}")), text::join_port(&ip, port))
        }
        None => format!("curl -i{} {scheme}://{}/", if tls { "k" } else { "" }, text::join_port(&ip, port)),
    })
}

/// Where this machine reaches a listener of Caddy: the published port, else the container's address.
fn entry(caddy: &str, listen: u16, containers: Option<&Containers>) -> Option<(String, u16)> {
    let Some((containers, container)) = containers.and_then(|all| Some((all, all.named(caddy)?))) else {
        return Some(("127.0.0.1".to_owned(), listen));
    };
    let owner = match containers.place_of(container) {
        Place::Host => return Some(("127.0.0.1".to_owned(), listen)),
        Place::Container(owner) => containers.named(&owner)?,
    };
    match owner.published(listen) {
        Some((ip, port)) => Some((ip.to_owned(), port)),
        None => owner.networks.iter().find_map(|attached| attached.ip).map(|ip| (ip.to_string(), listen)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Facts, Severity, example, facts::Kind};

    fn judged(change: impl FnOnce(&mut Facts)) -> Verdict {
        let mut facts = example::healthy();
        change(&mut facts);
        (CHECK.run)(&Context::new(facts))
    }

    fn seen(facts: &mut Facts) -> &mut MitmproxySeen {
        &mut facts.mitmproxies.as_mut().unwrap().0[0]
    }

    #[test]
    fn flows_pass_with_their_number() {
        let verdict = judged(|_| {});
        assert_eq!((verdict.worst(), verdict.summary.as_str()), (None, "3 flows captured"));
    }

    #[test]
    fn none_is_a_warning_with_the_request_to_send() {
        let verdict = judged(|facts| seen(facts).flows = Ok(0));
        let finding = &verdict.findings[0];
        assert_eq!(finding.severity, Severity::Warn);
        assert_eq!(finding.about, ["mitmproxy", "caddy", "backend"]);
        assert_eq!(finding.fixes[0].action.commands(), ["curl -i -H 'Host: api.example.com' http://127.0.0.1:18080/"]);
    }

    #[test]
    fn an_unpublished_caddy_is_asked_at_its_address() {
        let verdict = judged(|facts| {
            seen(facts).flows = Ok(0);
            facts.containers.as_mut().unwrap().0[0].ports.clear();
        });
        let command = &verdict.findings[0].fixes[0].action.commands()[0];
        assert_eq!(command, "curl -i -H 'Host: api.example.com' http://172.19.0.2:80/");
    }

    #[test]
    fn a_view_filter_is_named() {
        let verdict = judged(|facts| {
            seen(facts).flows = Ok(0);
            seen(facts).options.as_mut().unwrap().view_filter = Some("~u nomatch".into());
        });
        assert_eq!(verdict.findings[0].evidence[0].label, "view_filter");
    }

    #[test]
    fn a_count_that_could_not_be_had_is_a_gap_and_mitmdump_is_skipped() {
        let failed = || Err(Missing::failed("POST", Kind::NeedsToken, "403"));
        assert_eq!(judged(|facts| seen(facts).flows = failed()).gaps.len(), 1);
        let verdict = judged(|facts| {
            seen(facts).flows = failed();
            seen(facts).command_line.interface = Interface::Mitmdump;
        });
        assert!(verdict.not_applicable.is_some());
    }
}
