use std::net::IpAddr;

use crate::model::{
    Action, Apply, Evidence, Finding, Fix, Gap, Hop, Missing, Paths, Place, Role, Setup, Verdict,
    docker::{Container, Containers, Networks, is_user_defined},
    facts::Attempt,
    fix::{self, Change, Edit},
    names::Meaning,
    text,
    view::{ConnectionAnswer, NameAnswer, Views},
};

check! {
    /// Is there, for every hop between containers, a network that both are on?
    ///
    /// ## What it looks at
    /// The networks of both ends of every hop that dials a container by name, and whether they are user-defined: the
    /// engine's DNS (127.0.0.11) serves only those. On the default bridge names do not resolve at all.
    ///
    /// It is not needed, and passes, when a hop goes over a port that is published on the host, over the host's network,
    /// inside one namespace, or to an address on a network of its own. To an address on another network it is what was tried that
    /// tells: Docker keeps its bridges apart.
    ///
    /// ## Why it matters
    /// "dial tcp: lookup mitmproxy on 127.0.0.11:53: no such host", and a 502 with an empty body: the name exists, but on
    /// another network. Two compose projects have two networks unless told otherwise.
    ///
    /// ## How to fix it
    /// `docker network connect NETWORK CONTAINER` heals it at once, without a restart. It is lost when the container is
    /// made anew, so the networks belong into the compose file as well.
    id: "shared-network",
    group: Network,
    after: ["setup-found", "container-health", "caddy-admin"],
    needs: [Setup, Paths, Containers, Networks, Attempt<Views>],
    run: run,
}

fn run(
    setup: &Setup,
    paths: &Paths,
    containers: &Containers,
    networks: &Networks,
    views: Result<&Views, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.findings.extend(not_there(containers, networks));
    verdict.gaps.extend(setup.gap(Role::Caddy));
    verdict.gaps.extend(paths.gaps());
    for hop in paths.relevant() {
        let Place::Container(from) = &hop.place else { continue };
        match &hop.meaning {
            Meaning::Container { network, .. } => {
                verdict.evidence.push(Evidence::new(hop.id(), format!("both are on {network}")));
            }
            Meaning::Elsewhere(_) => {
                let (Some(own), Some(other)) =
                    (containers.named(from), hop.to.as_ref().and_then(|to| containers.named(to)))
                else {
                    continue;
                };
                if let Ok(ip) = hop.dial.host.parse() {
                    address(&mut verdict, networks, views.ok(), hop, own, ip, containers);
                } else if resolves(views.ok(), hop) {
                    verdict
                        .evidence
                        .push(Evidence::new(hop.id(), "the name resolves there, by a link or an entry in /etc/hosts"));
                } else {
                    verdict.findings.push(separate(networks, containers, views.ok(), hop, own, other));
                }
            }
            Meaning::Itself => {
                verdict.evidence.push(Evidence::new(hop.id(), "stays inside one namespace, so none is needed"));
            }
            Meaning::TheHost => verdict.evidence.push(Evidence::new(hop.id(), "goes over the host, so none is needed")),
            Meaning::Address(_) | Meaning::Unknown => {}
        }
    }
    if verdict.evidence.is_empty() && verdict.findings.is_empty() && verdict.gaps.is_empty() {
        return Verdict::not_applicable("no hop goes from one container to another by name");
    }
    verdict.summary = "every hop between containers has a network that both are on, or needs none".to_owned();
    verdict
}

/// The address of a container on a network that the one who dials is not on. Docker keeps its bridges apart, and Podman
/// not always (`isolate`): what was tried decides.
fn address(
    verdict: &mut Verdict,
    networks: &Networks,
    views: Option<&Views>,
    hop: &Hop,
    own: &Container,
    ip: IpAddr,
    containers: &Containers,
) {
    let Some((other, attached)) = containers.at(ip) else { return };
    let (from, to, network) = (&hop.from, &other.name, &attached.network);
    let view = views.and_then(|views| views.from(&hop.place));
    let seen = hop.dial.port.and_then(|port| view?.connection(&hop.dial.host, port)).map(|seen| &seen.answer);
    match seen {
        Some(ConnectionAnswer::Accepted | ConnectionAnswer::Refused) => {
            let value = format!("{ip} of {to} is on {network}, which {from} is not on, and can be reached from there");
            verdict.evidence.push(Evidence::new(hop.id(), value));
        }
        Some(ConnectionAnswer::TimedOut | ConnectionAnswer::Failed(_)) => {
            let summary = format!("{from} dials {ip}, an address of {to} on {network}, and is not on {network}");
            let mut finding = Finding::fail([from.clone(), to.clone()], summary)
                .on(hop)
                .seen(format!("{from}'s networks"), networks_of(own))
                .seen(format!("{ip} of {to}"), format!("is on {network}"));
            if let (Some(view), Some(answer)) = (view, seen) {
                let said = match answer {
                    ConnectionAnswer::Failed(why) => why,
                    _ => "gives no answer",
                };
                finding = finding.seen("a connection from there", format!("{said} ({})", view.way));
            }
            verdict.findings.push(finding.fix(connect(networks, network, own, to, &[])));
        }
        None => {
            let reason =
                format!("whether {from} reaches {ip}, an address on {network}, which it is not on, was not tried");
            verdict.gaps.push(Gap::on(hop, reason));
        }
    }
}

/// Networks that a compose file calls external, and that nobody has made.
fn not_there(containers: &Containers, networks: &Networks) -> Vec<Finding> {
    let planned = || containers.0.iter().filter(|own| own.is_planned());
    let mut missing: Vec<&str> = planned()
        .flat_map(|own| &own.networks)
        .map(|on| on.network.as_str())
        .filter(|network| is_user_defined(network) && networks.named(network).is_none())
        .collect();
    missing.sort_unstable();
    missing.dedup();
    let finding = |network: &str| {
        let on: Vec<&String> = planned().filter(|own| own.on(network).is_some()).map(|own| &own.name).collect();
        let summary =
            format!("network {network}, which the compose file calls external, is not there: `up` will refuse");
        let create =
            Action::Command { command: format!("docker network create {}", text::shell(network)), apply: Apply::Safe };
        Finding::fail(on, summary).fix(Fix::new(format!("make network {network}"), create))
    };
    missing.into_iter().map(finding).collect()
}

/// What is dialled, and what the place itself says of the name.
fn asked(views: Option<&Views>, hop: &Hop) -> String {
    let view = views.and_then(|views| views.from(&hop.place));
    match view.and_then(|view| Some((view.way, view.name(&hop.dial.host)?))) {
        Some((way, seen)) if seen.answer == NameAnswer::NoSuchName => {
            format!("{}; {}, asked from inside {}, knows no such name ({way})", hop.dial, seen.server, hop.from)
        }
        _ => hop.dial.to_string(),
    }
}

/// Whether the place itself said that the name has an address; whose it is, is asked by `dns-lookup`.
fn resolves(views: Option<&Views>, hop: &Hop) -> bool {
    let seen = views.and_then(|views| views.from(&hop.place)).and_then(|view| view.name(&hop.dial.host));
    matches!(seen.map(|seen| &seen.answer), Some(NameAnswer::Addresses(_)))
}

fn separate(
    networks: &Networks,
    containers: &Containers,
    views: Option<&Views>,
    hop: &Hop,
    own: &Container,
    other: &Container,
) -> Finding {
    let (from, to) = (&hop.from, &other.name);
    // What a container that shares another's namespace is on, is what the owner is on.
    let owner = match containers.place_of(other) {
        Place::Host => return on_the_host(hop, own, other),
        Place::Container(owner) => containers.named(&owner).unwrap_or(other),
    };
    let first_named = |container: &Container| {
        container.networks.iter().map(|attached| attached.network.clone()).find(|network| {
            is_user_defined(network) && networks.named(network).is_none_or(|network| network.driver == "bridge")
        })
    };
    let only_default = own
        .networks
        .iter()
        .any(|attached| !is_user_defined(&attached.network) && owner.on(&attached.network).is_some());
    let summary = if only_default {
        format!("{from} and {to} share only the default bridge, where names do not resolve")
    } else {
        format!("{from} and {to} share no network")
    };
    let finding = Finding::fail([from.clone(), to.clone()], summary)
        .on(hop)
        .seen(format!("{from}'s networks"), networks_of(own))
        .seen(format!("{to}'s networks"), networks_of(owner))
        .seen("dial", asked(views, hop));
    match (first_named(own), first_named(owner)) {
        (Some(network), _) => finding.fix(connect(networks, &network, owner, from, &aliases(owner, &hop.dial.host))),
        (None, Some(network)) => finding.fix(connect(networks, &network, own, to, &[])),
        (None, None) => {
            let network = networks.free_name(&format!("{}-net", own.name));
            let aliases = aliases(owner, &hop.dial.host);
            let both = vec![(own.name.clone(), Vec::new()), (owner.name.clone(), aliases)];
            finding.fix(Fix::new(
                format!("put {from} and {to} on a network of their own"),
                Action::NewNetwork { network, containers: both },
            ))
        }
    }
}

/// The names it needs on a new network beside its container name, which it has everywhere.
fn aliases(container: &Container, dialled: &str) -> Vec<String> {
    if container.name.eq_ignore_ascii_case(dialled) { Vec::new() } else { vec![dialled.to_owned()] }
}

fn networks_of(container: &Container) -> String {
    let names: Vec<&str> = container.networks.iter().map(|attached| attached.network.as_str()).collect();
    match names.as_slice() {
        [] => format!("none ({})", container.network_mode),
        names => names.join(", "),
    }
}

fn connect(networks: &Networks, network: &str, container: &Container, peer: &str, aliases: &[String]) -> Fix {
    let action =
        Action::Connect { network: network.to_owned(), container: container.name.clone(), aliases: aliases.to_vec() };
    let fix = Fix::new(format!("connect {} to {peer}'s network", container.name), action);
    let Some(compose) = &container.compose else { return fix };
    let key = |network: &str| {
        networks.named(network).and_then(|own| own.compose_name.clone()).unwrap_or_else(|| network.to_owned())
    };
    let own: Vec<String> = container.networks.iter().map(|attached| key(&attached.network)).collect();
    let own = own.join(", ");
    let text =
        match networks.named(network).and_then(|own| own.compose_name.as_ref()).filter(|_| container.is_planned()) {
            // The same file makes it.
            Some(key) => format!("services:\n  {}:\n    networks: [{own}, {key}]\n", compose.service),
            None => format!(
                "services:\n  {}:\n    networks: [{own}, {network}]\nnetworks:\n  {network}:\n    external: true\n",
                compose.service
            ),
        };
    let file = compose.files.first().cloned().unwrap_or_else(|| "compose.yml".to_owned());
    fix.edit(Edit { file, language: "yaml", text })
}

/// A container on the host's network has a name on no network; the one who dials can be given one for the host.
fn on_the_host(hop: &Hop, own: &Container, other: &Container) -> Finding {
    let (from, to, name) = (&hop.from, &other.name, &hop.dial.host);
    let entry = format!("{name}:host-gateway");
    let line = format!("extra_hosts: [\"{entry}\"]");
    Finding::fail(
        [from.clone(), to.clone()],
        format!("{to} is on the host's network, where it has no name that {from} could dial"),
    )
    .on(hop)
    .seen(format!("{from}'s networks"), networks_of(own))
    .seen(format!("{to}'s network mode"), "host")
    .seen("dial", hop.dial.to_string())
    .fix(fix::recreate(
        own,
        format!("let {name} mean the host inside {from}"),
        Change::AddHost { entry },
        &[&line],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, docker::Compose, example};

    fn judged(facts: crate::model::Facts) -> Verdict {
        (CHECK.run)(&Context::new(facts))
    }

    #[test]
    fn two_networks_are_connected() {
        let verdict = judged(example::facts());
        let finding = &verdict.findings[0];
        assert_eq!(finding.summary, "caddy and mitmproxy share no network");
        assert_eq!(finding.about, ["caddy", "mitmproxy"]);
        assert_eq!(finding.fixes[0].action.commands(), ["docker network connect edge-net mitmproxy"]);
    }

    #[test]
    fn one_network_passes() {
        let verdict = judged(example::healthy());
        assert_eq!(verdict.worst(), None);
        assert_eq!(verdict.evidence[0], Evidence::new("caddy -> mitmproxy:8080", "both are on app-net"));
    }

    #[test]
    fn a_service_that_is_dialled_by_its_alias_keeps_it() {
        let mut facts = example::facts();
        let own = &mut facts.containers.as_mut().unwrap().0[1];
        own.name = "app-mitmproxy-1".into();
        own.networks[0].names = vec!["app-mitmproxy-1".into(), "mitmproxy".into()];
        own.compose = Some(Compose {
            project: "app".into(),
            service: "mitmproxy".into(),
            files: vec!["/srv/compose.yml".into()],
            ..Compose::default()
        });
        facts.networks.as_mut().unwrap().0[1].compose_name = Some("default".into());
        let fix = judged(facts).findings.remove(0).fixes.remove(0);
        assert_eq!(fix.action.commands(), ["docker network connect --alias mitmproxy edge-net app-mitmproxy-1"]);
        assert!(fix.edits[0].text.contains("networks: [default, edge-net]"), "{}", fix.edits[0].text);
    }

    #[test]
    fn the_default_bridge_is_not_enough() {
        let mut facts = example::facts();
        for own in &mut facts.containers.as_mut().unwrap().0[..2] {
            own.networks[0].network = "bridge".into();
        }
        let finding = judged(facts).findings.remove(0);
        assert_eq!(finding.summary, "caddy and mitmproxy share only the default bridge, where names do not resolve");
        assert_eq!(
            finding.fixes[0].action.commands(),
            [
                "docker network create caddy-net",
                "docker network connect caddy-net caddy",
                "docker network connect caddy-net mitmproxy"
            ]
        );
    }

    #[test]
    fn an_address_on_another_network_is_reached_only_where_that_was_seen() {
        let dialling = |answer: Option<ConnectionAnswer>| {
            let mut facts = example::facts();
            let config = serde_json::to_string(facts.caddies.as_ref().unwrap().0[0].config.as_ref().unwrap()).unwrap();
            let config = config.replace("mitmproxy:8080", "172.20.0.2:8080");
            facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config).unwrap());
            let seen = |answer| crate::model::view::ConnectionSeen {
                host: "172.20.0.2".into(),
                ip: Some(example::ip("172.20.0.2")),
                port: 8080,
                answer,
                speaks: None,
                took_ms: 1,
            };
            facts.views.as_mut().unwrap().0[0].connections = answer.map(seen).into_iter().collect();
            judged(facts)
        };
        let finding = dialling(Some(ConnectionAnswer::TimedOut)).findings.remove(0);
        assert_eq!(
            finding.summary,
            "caddy dials 172.20.0.2, an address of mitmproxy on app-net, and is not on app-net"
        );
        assert_eq!(finding.fixes[0].action.commands(), ["docker network connect app-net caddy"]);
        let verdict = dialling(Some(ConnectionAnswer::Accepted));
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
        let value = "172.20.0.2 of mitmproxy is on app-net, which caddy is not on, and can be reached from there";
        assert_eq!(verdict.evidence[0].value, value);
        let verdict = dialling(None);
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 1));
    }

    #[test]
    fn a_new_network_has_a_name_that_is_free() {
        let mut facts = example::facts();
        for own in &mut facts.containers.as_mut().unwrap().0[..2] {
            own.networks[0].network = "bridge".into();
        }
        facts.networks.as_mut().unwrap().0[1].name = "caddy-net".into();
        let finding = judged(facts).findings.remove(0);
        assert_eq!(finding.fixes[0].action.commands()[0], "docker network create caddy-net-2");
    }

    #[test]
    fn a_name_that_resolves_by_a_link_is_enough() {
        let mut facts = example::facts();
        for own in &mut facts.containers.as_mut().unwrap().0[..2] {
            own.networks[0].network = "bridge".into();
        }
        facts.views.as_mut().unwrap().0[0].names[0].answer = NameAnswer::Addresses(vec![example::ip("172.20.0.2")]);
        assert_eq!(judged(facts).worst(), None);
    }
}
