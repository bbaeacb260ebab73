use std::net::IpAddr;

use crate::model::{
    Action, Asked, Evidence, Finding, Fix, Gap, Hop, Missing, Paths, Place, Role, Setup, Verdict,
    caddy::Caddies,
    docker::{Attachment, Container, Containers, Networks, is_user_defined},
    facts::Attempt,
    fix::{self, ApiAt, Edit},
    mitmproxy::{Mitmproxies, Mode},
    names::{self, Meaning},
    path::HopKind,
    text,
    view::{NameAnswer, NameSeen, View, Views, Way},
};

check! {
    /// Does every dialled name resolve there, and to the part that is meant?
    ///
    /// ## What it looks at
    /// Every name in Caddy's dials and in mitmproxy's targets, asked from the place that dials it: there the container's
    /// own `/etc/hosts` and name servers answer. The answer must be an address of the container that has this name. The
    /// Host of the site is asked for on the host; that it is unknown there is a remark only, since a client can send any
    /// Host.
    ///
    /// ## Why it matters
    /// A name means something only in a network. "no such host" in Caddy's log is a 502 for the client.
    ///
    /// ## What it does not blame
    /// `localhost` that is ::1 first, where only 127.0.0.1 is served: Caddy, mitmproxy, curl and browsers try the other address
    /// when one refuses, and so does the doctor. A client that does not (Node.js 17 to 19) needs `127.0.0.1` written out.
    ///
    /// ## How to fix it
    /// Dial the name that exists there: the container's name, its service name, or an alias. The report says which names
    /// there are, and which of them was probably meant.
    id: "dns-lookup",
    group: Network,
    after: ["setup-found", "shared-network", "host-docker-internal", "caddy-admin"],
    needs: [Asked, Setup, Paths, Containers, Networks, Attempt<Views>, Attempt<Caddies>, Attempt<Mitmproxies>],
    run: run,
}

#[expect(clippy::too_many_arguments, reason = "each is a fact that it needs")]
fn run(
    asked: &Asked,
    setup: &Setup,
    paths: &Paths,
    containers: &Containers,
    networks: &Networks,
    views: Result<&Views, &Missing>,
    caddies: Result<&Caddies, &Missing>,
    mitmproxies: Result<&Mitmproxies, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Caddy));
    verdict.gaps.extend(paths.gaps());
    let slow_ms = asked.thresholds.dns_ms;
    let cases = Cases { slow_ms, setup, containers, networks, caddies: caddies.ok(), mitmproxies: mitmproxies.ok() };
    let is_name = |hop: &&Hop| hop.meaning != Meaning::Itself && hop.dial.host.parse::<IpAddr>().is_err();
    let mut names = 0;
    for hop in paths.relevant().filter(is_name) {
        names += 1;
        if hop.is_planned(containers) {
            cases.planned(&mut verdict, hop);
            continue;
        }
        match views.map(|views| views.from(&hop.place)) {
            Ok(Some(view)) => match view.name(&hop.dial.host) {
                Some(seen) => cases.judge(&mut verdict, hop, view, seen),
                None => cases.infer(&mut verdict, hop, view),
            },
            Ok(None) => verdict.gaps.push(Gap::on(hop, format!("nothing was seen from inside {}", hop.from))),
            Err(missing) => verdict.gaps.push(Gap::on(hop, missing.to_string())),
        }
    }
    if names == 0 && verdict.gaps.is_empty() {
        return Verdict::not_applicable("no hop dials a name");
    }
    if let Some(view) = views.ok().and_then(|views| views.from(&Place::Host)) {
        for seen in view.names.iter().filter(|seen| paths.paths.iter().any(|path| path.host == seen.name)) {
            let answer = match &seen.answer {
                NameAnswer::Addresses(ips) => addresses(ips),
                NameAnswer::NoSuchName => {
                    "is unknown on this host; send it as a header, or put it into /etc/hosts".to_owned()
                }
                NameAnswer::Failed(why) => why.clone(),
            };
            let answer = match &seen.disagrees {
                Some(other) => format!("{answer}; but {other}"),
                None => answer,
            };
            verdict.evidence.push(Evidence::new(&seen.name, answer));
        }
    }
    verdict.summary = match names {
        1 => "the one name that is dialled resolves where it is dialled".to_owned(),
        many => format!("all {many} names that are dialled resolve where they are dialled"),
    };
    verdict
}

struct Cases<'c> {
    /// A lookup that takes longer is felt on every request.
    slow_ms: u64,
    setup: &'c Setup,
    containers: &'c Containers,
    networks: &'c Networks,
    caddies: Option<&'c Caddies>,
    mitmproxies: Option<&'c Mitmproxies>,
}

impl Cases<'_> {
    fn judge(&self, verdict: &mut Verdict, hop: &Hop, view: &View, seen: &NameSeen) {
        let from = &hop.from;
        match &seen.answer {
            NameAnswer::NoSuchName => verdict.findings.push(self.unknown(hop, view, seen)),
            // A network's DNS asks the outside for what it does not know itself; that nobody answers there changes nothing
            // for a name that no container of the network has.
            NameAnswer::Failed(_) if is_for_a_container(hop) => verdict.findings.push(self.unknown(hop, view, seen)),
            NameAnswer::Failed(why) => {
                let reason = format!("{} was asked for {} from inside {from}: {why}", seen.server, seen.name);
                verdict.gaps.push(Gap::on(hop, reason));
            }
            NameAnswer::Addresses(ips) => {
                let meant = self.meant(hop);
                // Inspect tells the IPv4 addresses; others cannot be compared.
                let comparable = ips.iter().any(|ip| meant.iter().any(|own| own.is_ipv4() == ip.is_ipv4()));
                if comparable && !ips.iter().any(|ip| meant.contains(ip)) {
                    verdict.findings.push(
                        Finding::fail(
                            [from],
                            format!(
                                "{} is {} inside {from}, and that is not {}",
                                seen.name,
                                addresses(ips),
                                hop.ends()[1]
                            ),
                        )
                        .on(hop)
                        .seen("answer", format!("{} says {} ({})", seen.server, addresses(ips), view.way))
                        .seen("meant", format!("{} is {}", hop.ends()[1], addresses(&meant)))
                        .fix(Fix::new(
                            format!(
                                "take {} out of what {} says, or dial the container by another of its names",
                                seen.name, seen.server
                            ),
                            Action::Manual,
                        )),
                    );
                } else if seen.took_ms > self.slow_ms {
                    verdict.findings.push(
                        Finding::warn(
                            [from],
                            format!("looking up {} takes {} ms inside {from}", seen.name, seen.took_ms),
                        )
                        .on(hop)
                        .seen("server", &seen.server),
                    );
                } else {
                    let value = format!("{} is {}, says {} ({})", seen.name, addresses(ips), seen.server, view.way);
                    verdict.evidence.push(Evidence::new(hop.id(), value));
                }
            }
        }
    }

    /// The addresses that the name may have there, on any network of that place; empty when inspect does not tell.
    fn meant(&self, hop: &Hop) -> Vec<IpAddr> {
        let (Meaning::Container { .. }, Place::Container(place)) = (&hop.meaning, &hop.place) else {
            return Vec::new();
        };
        let own = self.containers.named(place).map(|own| own.networks.as_slice()).unwrap_or_default();
        let own: Vec<&Attachment> = own.iter().filter(|attached| is_user_defined(&attached.network)).collect();
        // On an overlay network a service has a virtual address of its own.
        if own.iter().any(|attached| self.networks.named(&attached.network).is_some_and(|net| net.driver == "overlay"))
        {
            return Vec::new();
        }
        let host = hop.dial.host.trim_end_matches('.');
        let there =
            own.iter().flat_map(|attached| self.containers.0.iter().filter_map(|other| other.on(&attached.network)));
        there.filter(|on| on.answers_to(host)).filter_map(|on| on.ip).collect()
    }

    /// The place could not be asked; inspect tells what its DNS should answer.
    fn infer(&self, verdict: &mut Verdict, hop: &Hop, view: &View) {
        let why = view.not_better.join("; ");
        match &hop.meaning {
            Meaning::Container { name, network } if view.way == Way::Inferred => {
                let value = format!("{} is {name} on {network} ({}: {why})", hop.dial.host, view.way);
                verdict.evidence.push(Evidence::new(hop.id(), value));
            }
            Meaning::Elsewhere(names) if view.way == Way::Inferred => verdict.findings.push(
                Finding::fail(
                    names.clone(),
                    format!(
                        "{} is the name of {} only on networks that {} is not on",
                        hop.dial.host,
                        text::list(names),
                        hop.from
                    ),
                )
                .on(hop)
                .seen("how it is known", format!("{}: {why}", view.way)),
            ),
            _ => verdict.gaps.push(Gap::on(
                hop,
                format!("{} could not be asked for from inside {}: {why}", hop.dial.host, hop.from),
            )),
        }
    }

    /// Before `up`: what the networks' DNS will answer follows from the file, what the outside says does not.
    fn planned(&self, verdict: &mut Verdict, hop: &Hop) {
        let (from, name) = (&hop.from, hop.dial.host.trim_end_matches('.'));
        match &hop.meaning {
            Meaning::Container { name: own, network } => {
                verdict
                    .evidence
                    .push(Evidence::new(hop.id(), format!("{name} is {own} on {network} ({})", Way::Planned)));
            }
            Meaning::Elsewhere(names) => verdict.findings.push(
                Finding::fail(
                    names.clone(),
                    format!("{name} is the name of {} only on networks that {from} is not on", text::list(names)),
                )
                .on(hop)
                .seen("how it is known", Way::Planned.to_string()),
            ),
            Meaning::Unknown if !name.contains('.') => {
                let names = self.names_at(&hop.place);
                let others = names.iter().map(String::as_str).filter(|other| other != from);
                let near = text::nearest(name, others);
                let summary = format!("{name}, which {from} dials, is nobody's name in the compose file");
                // The outside may know a name that the file does not; that is rare, and not likely of one that is so near.
                let finding = match near {
                    Some(_) => Finding::fail([from], summary),
                    None => Finding::warn([from], summary),
                };
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                let finding =
                    finding.on(hop).seen("dial", hop.dial.to_string()).seen("names that will exist there", known);
                verdict.findings.push(match (near, hop.dial.port) {
                    (Some(near), Some(port)) => {
                        let dial = text::join_port(near, port);
                        finding.fix(self.dial_instead(hop, &dial, &format!("dial {dial}: did you mean {near}?")))
                    }
                    _ => finding.fix(Fix::new("dial a name that the file gives to a service", Action::Manual)),
                });
            }
            _ => verdict.evidence.push(Evidence::new(hop.id(), format!("{name} is looked up when it runs"))),
        }
    }

    fn unknown(&self, hop: &Hop, view: &View, seen: &NameSeen) -> Finding {
        let (from, name) = (&hop.from, &hop.dial.host);
        let names = self.names_at(&hop.place);
        let where_ = if hop.place == Place::Host { "on the host".to_owned() } else { format!("inside {from}") };
        let mut finding = Finding::fail([from], format!("{name}, which {from} dials, does not resolve {where_}"))
            .on(hop)
            .seen("dial", hop.dial.to_string())
            .seen("answer", format!("{} {} ({})", seen.server, said(&seen.answer), view.way));
        if hop.place != Place::Host {
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            finding = finding.seen("names that exist there", known);
        }
        // The name of a container that inspect knows is answered as soon as that runs.
        if let Meaning::Container { name, .. } = &hop.meaning {
            let comes = |own: &Container| own.runs() || own.may_come_up();
            finding = finding.may_heal(self.containers.named(name).is_some_and(comes));
        }
        if let Some(published) = self.published(hop) {
            return finding
                .seen("why", format!("{name} is a name inside a Docker network; the host does not know it"))
                .fix(self.dial_instead(
                    hop,
                    &published,
                    &format!("dial {published}, where {name} is published on the host"),
                ));
        }
        // An alias of the host, or a name on other networks, has a check and a fix of its own.
        if names::is_host_alias(name) || matches!(hop.meaning, Meaning::Elsewhere(_)) {
            return finding;
        }
        let others =
            names.iter().map(String::as_str).filter(|other| *other != from && !other.eq_ignore_ascii_case(name));
        match (text::nearest(name, others), hop.dial.port) {
            (Some(meant), Some(port)) => {
                let dial = text::join_port(meant, port);
                finding.fix(self.dial_instead(hop, &dial, &format!("dial {dial}: did you mean {meant}?")))
            }
            (None, _) => finding
                .may_heal(self.may_be_made_yet(hop))
                .fix(Fix::new(format!("dial a name that exists {where_}"), Action::Manual)),
            _ => finding.fix(Fix::new(format!("dial a name that exists {where_}"), Action::Manual)),
        }
    }

    /// Whether the container of a name that nobody has may not be made yet: the backend of a mitmproxy that has just been
    /// started itself. What Caddy dials is a mitmproxy, and that there is none is told by `setup-found`.
    fn may_be_made_yet(&self, hop: &Hop) -> bool {
        let Place::Container(place) = &hop.place else { return false };
        hop.kind == HopKind::Target
            && !hop.dial.host.contains('.')
            && self.containers.named(place).is_some_and(Container::may_be_starting)
    }

    /// Every name that the DNS of this place's networks answers.
    fn names_at(&self, place: &Place) -> Vec<String> {
        let Place::Container(name) = place else { return Vec::new() };
        let own = self.containers.named(name).map(|own| own.networks.as_slice()).unwrap_or_default();
        let on = own.iter().filter(|attached| is_user_defined(&attached.network));
        let mut names: Vec<String> = on
            .flat_map(|attached| {
                let running = self.containers.0.iter().filter(|other| other.lives());
                running.filter_map(|other| other.on(&attached.network))
            })
            .flat_map(|attached| attached.names.iter().cloned())
            .filter(|name| !is_short_id(name))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Where the host has the port of a container that it dials by a name of some network: `127.0.0.1:8082`.
    fn published(&self, hop: &Hop) -> Option<String> {
        let Meaning::Elsewhere(names) = &hop.meaning else { return None };
        if hop.place != Place::Host {
            return None;
        }
        let container = self.containers.named(names.first()?)?;
        let port = container.ports.iter().find(|port| Some(port.container_port) == hop.dial.port)?.host_port?;
        Some(format!("127.0.0.1:{port}"))
    }

    /// Corrects the dial where it stands: in Caddy's config, or in mitmproxy's mode.
    fn dial_instead(&self, hop: &Hop, dial: &str, title: &str) -> Fix {
        let Some(part) = self.setup.part(&hop.from) else { return Fix::new(title, Action::Manual) };
        match hop.kind {
            HopKind::Upstream => {
                let caddy = self.caddies.and_then(|caddies| caddies.named(&hop.from));
                let (Some(caddy), Some(path)) = (caddy, &hop.config_path) else {
                    return Fix::new(title, Action::Manual);
                };
                let action = Action::SetDial {
                    at: ApiAt::of(part, &caddy.admin),
                    config_path: path.clone(),
                    dial: dial.to_owned(),
                    old: Some(hop.dial.to_string()),
                };
                let text = format!("reverse_proxy {dial}");
                Fix::new(title, action).edit(Edit {
                    file: format!("{}'s Caddyfile", hop.from),
                    language: "caddyfile",
                    text,
                })
            }
            HopKind::Target => {
                let seen = self.mitmproxies.and_then(|all| all.named(&hop.from));
                let Some(seen) = seen.filter(|seen| seen.options.is_ok() || seen.is_told_by_its_command()) else {
                    return Fix::new(title, Action::Manual);
                };
                let corrected = |mode: Mode| match mode.target {
                    Some(target) if target.host == hop.dial.host && Some(target.port) == hop.dial.port => {
                        let listen = mode.spec.rfind('@').map_or("", |at| &mode.spec[at..]);
                        format!("reverse:{}://{dial}{listen}", target.scheme)
                    }
                    _ => mode.spec,
                };
                let modes: Vec<String> = seen.modes().0.into_iter().map(corrected).collect();
                fix::set_modes(part, seen, title, &modes)
            }
        }
    }
}

/// Whether only a container could have this name, and inspect says that none has it there.
fn is_for_a_container(hop: &Hop) -> bool {
    match hop.meaning {
        _ if hop.place == Place::Host => false,
        Meaning::Elsewhere(_) => true,
        Meaning::Unknown => !hop.dial.host.contains('.'),
        _ => false,
    }
}

/// The engine's DNS also answers the first 12 characters of an id, which nobody dials.
fn is_short_id(name: &str) -> bool {
    name.len() == 12 && name.chars().all(|c| c.is_ascii_hexdigit())
}

fn said(answer: &NameAnswer) -> String {
    match answer {
        NameAnswer::Failed(why) => format!("has no address for it: {why}"),
        _ => "knows no such name".to_owned(),
    }
}

fn addresses(ips: &[IpAddr]) -> String {
    text::list(&ips.iter().map(ToString::to_string).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Facts, Outlook, Severity, example};

    fn judged(facts: Facts) -> Verdict {
        (CHECK.run)(&Context::new(facts))
    }

    fn with_answer(answer: NameAnswer) -> Facts {
        let mut facts = example::healthy();
        facts.views.as_mut().unwrap().0[0].names[0].answer = answer;
        facts
    }

    #[test]
    fn names_that_resolve_to_who_is_meant_pass() {
        let verdict = judged(example::healthy());
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
        assert_eq!(verdict.summary, "all 2 names that are dialled resolve where they are dialled");
    }

    #[test]
    fn an_answer_that_is_somebody_else_fails() {
        let verdict = judged(with_answer(NameAnswer::Addresses(vec![example::ip("172.20.0.3")])));
        assert_eq!(verdict.findings[0].summary, "mitmproxy is 172.20.0.3 inside caddy, and that is not mitmproxy");
    }

    #[test]
    fn any_network_that_both_are_on_is_right_and_an_overlay_is_not_compared() {
        let mut facts = with_answer(NameAnswer::Addresses(vec![example::ip("172.30.0.9")]));
        let all = &mut facts.containers.as_mut().unwrap().0;
        all[0].networks.push(example::attachment("caddy", "other-net", "172.30.0.8"));
        all[1].networks.push(example::attachment("mitmproxy", "other-net", "172.30.0.9"));
        assert_eq!(judged(facts).worst(), None);

        let mut facts = with_answer(NameAnswer::Addresses(vec![example::ip("10.0.1.5")]));
        facts.networks.as_mut().unwrap().0[1].driver = "overlay".into();
        assert_eq!(judged(facts).worst(), None);
    }

    #[test]
    fn an_address_of_another_family_is_not_compared() {
        assert_eq!(judged(with_answer(NameAnswer::Addresses(vec![example::ip("fd00::3")]))).worst(), None);
    }

    #[test]
    fn a_misspelt_target_is_corrected_in_the_mode() {
        let mut facts = example::healthy();
        let mode = "reverse:http://bakend:3000".to_owned();
        facts.mitmproxies.as_mut().unwrap().0[0].options.as_mut().unwrap().mode = vec![mode];
        let view = &mut facts.views.as_mut().unwrap().0[1];
        view.names[0] = NameSeen {
            name: "bakend".into(),
            server: "127.0.0.11".into(),
            answer: NameAnswer::NoSuchName,
            disagrees: None,
            took_ms: 1,
        };
        let finding = judged(facts).findings.remove(0);
        assert_eq!(finding.summary, "bakend, which mitmproxy dials, does not resolve inside mitmproxy");
        assert_eq!(finding.fixes[0].title, "dial backend:3000: did you mean backend?");
        assert!(finding.fixes[0].action.commands()[0].contains(r#"[\"reverse:http://backend:3000\"]"#));
    }

    #[test]
    fn a_place_that_could_not_be_asked_is_inferred_and_says_so() {
        let mut facts = example::healthy();
        let view = &mut facts.views.as_mut().unwrap().0[0];
        (view.way, view.names, view.not_better) = (Way::Inferred, Vec::new(), vec!["no shell in the image".into()]);
        let verdict = judged(facts);
        assert_eq!(verdict.worst(), None);
        assert!(
            verdict.evidence[0].value.contains("inferred from inspect, not seen: no shell"),
            "{:?}",
            verdict.evidence
        );
    }

    #[test]
    fn a_server_that_fails_is_a_gap_not_a_failure() {
        let verdict = judged(with_answer(NameAnswer::Failed("no answer in 500 ms".into())));
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 1));
    }

    #[test]
    fn a_slow_answer_is_a_warning() {
        let mut facts = example::healthy();
        facts.views.as_mut().unwrap().0[0].names[0].took_ms = 900;
        assert_eq!(judged(facts).worst(), Some(Severity::Warn));
    }

    /// The outlook of a target's name that nobody knows where mitmproxy is.
    fn target(name: &str, change: impl FnOnce(&mut Facts)) -> Outlook {
        let mut facts = example::healthy();
        facts.mitmproxies.as_mut().unwrap().0[0].options.as_mut().unwrap().mode =
            vec![format!("reverse:http://{name}:3000")];
        let seen = &mut facts.views.as_mut().unwrap().0[1].names[0];
        (seen.name, seen.answer) = (name.into(), NameAnswer::NoSuchName);
        change(&mut facts);
        judged(facts).findings.remove(0).outlook
    }

    #[test]
    fn a_name_may_come_with_its_container() {
        let just_started = |facts: &mut Facts| {
            facts.containers.as_mut().unwrap().0[1].detail.as_mut().unwrap().running_s = Some(1);
        };
        let long_ago = |facts: &mut Facts| {
            facts.containers.as_mut().unwrap().0[1].detail.as_mut().unwrap().running_s = Some(3600);
        };
        assert_eq!(target("backend", long_ago), Outlook::MayHeal, "inspect knows it");
        assert_eq!(target("shop", just_started), Outlook::MayHeal, "it may not be made yet");
        assert_eq!(target("shop", long_ago), Outlook::Stays);
        assert_eq!(target("bakend", just_started), Outlook::Stays, "it is misspelt");
        assert_eq!(target("shop.example.com", just_started), Outlook::Stays, "it is no container's");
    }

    #[test]
    fn what_caddy_dials_is_a_mitmproxy_that_is_there() {
        let mut facts = with_answer(NameAnswer::NoSuchName);
        let dial = |config: &str| config.replace("mitmproxy:8080", "intercept:8080");
        let config = serde_json::to_string(facts.caddies.as_ref().unwrap().0[0].config.as_ref().unwrap()).unwrap();
        facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&dial(&config)).unwrap());
        facts.views.as_mut().unwrap().0[0].names[0].name = "intercept".into();
        assert_eq!(judged(facts).findings[0].outlook, Outlook::Stays);
    }
}
