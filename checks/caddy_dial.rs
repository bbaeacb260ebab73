use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::{
    Action, Edit, Evidence, Finding, Fix, Gap, Hop, Missing, Part, Paths, Place, Role, Setup, Verdict,
    caddy::{Caddies, CaddyConfig},
    docker::{Container, Containers, Networks},
    facts::Attempt,
    fix::ApiAt,
    mitmproxy::{Interface, Mitmproxies, MitmproxySeen, Mode},
    names::Meaning,
    path::{Dial, DialProblem, HopKind},
    route::{self, Proxy},
    text,
    view::{ConnectionAnswer, Views},
};

check! {
    /// Does each dial mean what it should from Caddy's place?
    ///
    /// ## What it looks at
    /// Every dial that leads to mitmproxy, or that could be meant to: what its host is in Caddy's own place, and who listens
    /// on its port there. mitmproxy itself tells the ports of its modes and of its web interface; to anything else one
    /// connection is tried and closed. The form of each dial is read as Caddy reads it: the JSON API takes any text, and
    /// fails with every request.
    ///
    /// ## Why it matters
    /// A 502 with an empty body. `localhost` in a container is that container. A published port exists on the host only;
    /// between containers it is the port inside that counts. The port of the web interface is not the proxy's. A dial
    /// without a port goes to port 0.
    ///
    /// ## What it does not blame
    /// Dials of other sites: only those that lead to mitmproxy, have one of its ports, or nearly its name.
    ///
    /// ## How to fix it
    /// Set the dial of that very upstream, by the admin API now, and in the Caddyfile for good.
    id: "caddy-dial",
    group: Caddy,
    after: ["setup-found", "container-health", "caddy-admin", "caddy-route"],
    needs: [Setup, Paths, Caddies, Attempt<Mitmproxies>, Attempt<Containers>, Attempt<Networks>, Attempt<Views>],
    run: run,
}

fn run(
    setup: &Setup,
    paths: &Paths,
    caddies: &Caddies,
    mitmproxies: Result<&Mitmproxies, &Missing>,
    containers: Result<&Containers, &Missing>,
    networks: Result<&Networks, &Missing>,
    views: Result<&Views, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Caddy));
    verdict.gaps.extend(paths.gaps());
    for part in &setup.caddies {
        let Some(seen) = caddies.named(&part.name) else { continue };
        let Ok(config) = &seen.config else { continue };
        let judge = Judge {
            part,
            config,
            admin: &seen.admin,
            paths,
            setup,
            mitmproxies: mitmproxies.ok(),
            containers: containers.ok(),
            networks: networks.ok(),
            views: views.ok(),
        };
        let proxies = route::proxies(config);
        judge.forms(&proxies, &mut verdict);
        let dialled = Dialled::of(&proxies);
        let own = paths.relevant().filter(|hop| hop.kind == HopKind::Upstream && hop.from == part.name);
        for hop in own {
            judge.hop(hop, &dialled, &mut verdict);
        }
    }
    if verdict.evidence.is_empty() && verdict.findings.is_empty() && verdict.gaps.is_empty() {
        return Verdict::not_applicable("no dial of Caddy leads to mitmproxy, or could be meant to");
    }
    verdict.summary = "every dial that leads to mitmproxy is right where Caddy is".to_owned();
    verdict
}

/// Where each dial stands: in which proxies, and as which of their upstreams.
struct Dialled<'p>(BTreeMap<(Dial, bool), Vec<(&'p Proxy<'p>, usize)>>);

impl<'p> Dialled<'p> {
    fn of(proxies: &'p [Proxy<'p>]) -> Self {
        let mut places: BTreeMap<(Dial, bool), Vec<(&Proxy<'_>, usize)>> = BTreeMap::new();
        for proxy in proxies {
            for (index, upstream) in proxy.handler.upstreams.iter().enumerate() {
                if let Some(dial) = Dial::read(&upstream.dial) {
                    places.entry((dial, proxy.handler.tls())).or_default().push((proxy, index));
                }
            }
        }
        Self(places)
    }

    /// In the order of the config.
    fn places(&self, hop: &Hop) -> &[(&'p Proxy<'p>, usize)] {
        self.0.get(&(hop.dial.clone(), hop.tls)).map(Vec::as_slice).unwrap_or_default()
    }

    fn first(&self, hop: &Hop) -> Option<&'p Proxy<'p>> {
        self.places(hop).first().map(|(proxy, _)| *proxy)
    }
}

/// At how many places one fix sets a dial: nobody reads more commands than these.
const MOST_PLACES: usize = 20;

struct Judge<'j> {
    part: &'j Part,
    config: &'j CaddyConfig,
    admin: &'j str,
    paths: &'j Paths,
    setup: &'j Setup,
    mitmproxies: Option<&'j Mitmproxies>,
    containers: Option<&'j Containers>,
    networks: Option<&'j Networks>,
    views: Option<&'j Views>,
}

impl Judge<'_> {
    /// Dials that are no address at all.
    fn forms(&self, proxies: &[Proxy<'_>], verdict: &mut Verdict) {
        let caddy = &self.part.name;
        let leads = self.paths.hops.iter().any(|hop| hop.from == *caddy && hop.to_mitmproxy);
        for proxy in proxies {
            for (index, upstream) in proxy.handler.upstreams.iter().enumerate() {
                let Err(problem) = Dial::check(&upstream.dial) else { continue };
                let dial = &upstream.dial;
                // Another site's dial is nobody's business here.
                if !self.could_be_meant(dial, leads) && (leads || !dial.is_empty()) {
                    continue;
                }
                let words = match &problem {
                    DialProblem::Scheme => "has a scheme, which Caddy takes for the name of a network".to_owned(),
                    DialProblem::Path => "has a path behind the port".to_owned(),
                    DialProblem::NoPort => "has no port, so Caddy dials port 0".to_owned(),
                    DialProblem::PortRange => "is a range of ports, and a dial is one".to_owned(),
                    DialProblem::BadPort => "has a port that is none".to_owned(),
                    DialProblem::Empty => "is empty".to_owned(),
                    DialProblem::Placeholder(name) => {
                        verdict.gaps.push(Gap::about(
                            [caddy],
                            format!("what {caddy} dials is not known: {dial} stands for the value of {name}"),
                        ));
                        continue;
                    }
                    DialProblem::Unix => continue,
                    DialProblem::OtherNetwork(network) => format!("names the network {network}, and HTTP needs tcp"),
                };
                let config_path = format!("{}/upstreams/{index}/dial", proxy.at);
                let finding = Finding::fail(self.parties(), format!("the dial `{dial}` of {caddy} {words}"))
                    .certain()
                    .seen("every request", "gets a 502 with an empty body")
                    .seen("for", if proxy.hosts.is_empty() { "every Host".to_owned() } else { proxy.hosts.join(", ") });
                verdict.add(match self.better() {
                    // What is left out of a dial cannot be put back.
                    Some(better) => {
                        let old = Some(dial.clone()).filter(|dial| !dial.contains(text::LEFT_OUT));
                        finding.fix(self.set(&config_path, better, old))
                    }
                    None => finding.fix(Fix::new("write host:port, like mitmproxy:8080", Action::Manual)),
                });
            }
        }
    }

    fn hop(&self, hop: &Hop, dialled: &Dialled<'_>, verdict: &mut Verdict) {
        let seen = hop.to.as_ref().and_then(|to| self.mitmproxies?.named(to));
        if hop.to_mitmproxy
            && let Some(seen) = seen
        {
            let tls = hop.tls.then(|| dialled.first(hop)).flatten();
            match self.ports(hop, seen, dialled) {
                Some(finding) => verdict.add(finding),
                None => {
                    match tls.and_then(|proxy| self.speaks_tls(hop, proxy)).or_else(|| self.speaks_h2c(hop, dialled)) {
                        Some(finding) => verdict.add(finding),
                        None if seen.modes().0.iter().any(Mode::takes_requests) => verdict
                            .evidence
                            .push(Evidence::new(hop.id(), format!("mitmproxy listens there, says {}", seen.name))),
                        None => verdict
                            .evidence
                            .push(Evidence::new(hop.id(), "mitmproxy has no mode that takes requests".to_owned())),
                    }
                }
            }
            return;
        }
        let connection = self
            .views
            .and_then(|views| views.from(&hop.place))
            .and_then(|view| Some((view.way, view.connection(&hop.dial.host, hop.dial.port?)?)));
        if self.containers.is_some_and(|all| hop.is_planned(all)) {
            self.planned(hop, dialled, verdict);
            return;
        }
        match (&hop.meaning, connection.map(|(_, seen)| &seen.answer)) {
            (Meaning::Itself, Some(ConnectionAnswer::Refused)) => verdict.add(self.itself(hop, dialled)),
            (Meaning::Itself, None) if hop.to.is_none() => verdict
                .gaps
                .push(Gap::on(hop, format!("who listens at {} inside {} could not be looked at", hop.dial, hop.from))),
            (
                Meaning::Address(_) | Meaning::Container { .. },
                Some(ConnectionAnswer::Refused | ConnectionAnswer::TimedOut),
            ) => {
                let timed_out = connection.is_some_and(|(_, seen)| seen.answer == ConnectionAnswer::TimedOut);
                verdict.add(self.refused(hop, timed_out, dialled));
            }
            (_, Some(ConnectionAnswer::Failed(why))) => verdict.gaps.push(Gap::on(
                hop,
                format!("whether {} accepts inside {} could not be tried: {why}", hop.dial, hop.from),
            )),
            (_, Some(ConnectionAnswer::Accepted)) => {
                verdict.evidence.push(Evidence::new(hop.id(), "somebody accepts the connection there"));
            }
            // A name that does not resolve, or the host's own ports: other checks tell.
            _ => {}
        }
    }

    /// Before `up`: Caddy's own image runs nothing but Caddy, so what is dialled on itself is nobody.
    fn planned(&self, hop: &Hop, dialled: &Dialled<'_>, verdict: &mut Verdict) {
        let is_alone = |containers: &Containers| {
            let own = containers.named(&hop.from);
            own.is_some_and(|own| text::base_name(own.image.split([':', '@']).next().unwrap_or_default()) == "caddy")
                && !containers.0.iter().any(|other| other.name != hop.from && containers.place_of(other) == hop.place)
        };
        let serves = |port| {
            let config = self.config;
            config.servers().values().any(|server| server.listen_ports().any(|own| own == port))
        };
        let is_nobody = hop.meaning == Meaning::Itself
            && hop.place != Place::Host
            && hop.to.is_none()
            && self.containers.is_some_and(is_alone)
            && !hop.dial.port.is_some_and(serves);
        if is_nobody {
            verdict.add(self.itself(hop, dialled));
        } else {
            verdict.evidence.push(Evidence::new(hop.id(), "nothing runs yet, so it was not tried"));
        }
    }

    /// A dial that leads to mitmproxy, at a port where its proxy does not listen.
    fn ports(&self, hop: &Hop, seen: &MitmproxySeen, dialled: &Dialled<'_>) -> Option<Finding> {
        let port = match self.containers {
            Some(containers) => hop.port_inside(containers)?,
            None => hop.dial.port?,
        };
        let mut modes = seen.modes().0;
        // Where no mode takes requests no other port would be better: reverse-mode tells.
        let none_takes_requests = !modes.iter().any(Mode::takes_requests);
        if none_takes_requests || modes.iter().any(|mode| mode.listen_port == port) {
            return None;
        }
        modes.retain(Mode::takes_requests);
        let to = &seen.name;
        let listens = text::list(&modes.iter().map(|mode| mode.listen_port.to_string()).collect::<Vec<_>>());
        let container = self.containers.and_then(|all| all.named(to));
        let published = container.and_then(|own| {
            own.ports.iter().find(|own| {
                own.host_port == Some(port) && modes.iter().any(|mode| mode.listen_port == own.container_port)
            })
        });
        let dial = hop.dial.to_string();
        let (summary, what) = match published {
            _ if port == seen.command_line.web_port() => (
                format!("{} dials {dial}, which is {to}'s web interface, not its proxy", hop.from),
                format!("{to} proxies on port {listens}, and has its web interface on {port}"),
            ),
            Some(own) => (
                format!(
                    "{} dials {dial}: {port} is the port published on the host, and inside the network {to} listens on {}",
                    hop.from, own.container_port
                ),
                format!("port {port} of this machine leads to port {} of {to}", own.container_port),
            ),
            None => (
                format!("{} dials {dial}, and {to} does not listen on port {port}", hop.from),
                format!("{to} listens on {listens}"),
            ),
        };
        let finding = Finding::fail(self.parties(), summary).on(hop).seen("ports", what);
        // A config file may give a mitmproxy that has not answered yet another port than its command line tells; never
        // that of its web interface, nor one that exists on the host only.
        let finding = match &seen.options {
            Err(missing) if published.is_none() && port != seen.command_line.web_port() => {
                let answers_later = |part: &Part| part.may_answer_later(self.containers, missing);
                let is_mitmweb = seen.command_line.interface == Interface::Mitmweb;
                finding.may_heal(is_mitmweb && self.setup.part(to).is_some_and(answers_later))
            }
            _ => finding.certain(),
        };
        // Only the port is wrong: the host stays as it is, where it is not one that leads over a published port.
        let right = match modes.first() {
            Some(mode) if !hop.is_over_host() => Some(text::join_port(&hop.dial.host, mode.listen_port)),
            _ => self.better(),
        };
        Some(self.fixed(finding, hop, right, dialled))
    }

    fn itself(&self, hop: &Hop, dialled: &Dialled<'_>) -> Finding {
        let published = hop.dial.port.and_then(|port| self.containers?.publishing(port));
        let summary = match &hop.place {
            Place::Container(_) => {
                format!("{} dials {}, which is its own container, and nothing listens there", hop.from, hop.dial)
            }
            Place::Host => format!("{} dials {}, and nothing listens there on this machine", hop.from, hop.dial),
        };
        let planned = self.containers.is_some_and(|all| hop.is_planned(all));
        let (label, how) = match planned {
            true => ("in that container", "the compose file runs Caddy, and nothing else"),
            false => ("a connection from there", "was refused"),
        };
        let mut finding = Finding::fail(self.parties(), summary).on(hop).seen(label, how);
        // Somebody may come to listen there: a container that shares this place, or one that publishes the port.
        let others: Vec<&Container> = self.containers.into_iter().flat_map(|all| &all.0).collect();
        let shares = |own: &&&Container| {
            own.name != hop.from && self.containers.is_some_and(|all| all.place_of(own) == hop.place)
        };
        finding = match &hop.place {
            Place::Host => finding
                .may_heal(hop.dial.port.is_some_and(|port| self.containers.is_some_and(|all| all.may_publish(port)))),
            Place::Container(_)
                if others.iter().any(|own| shares(&own) && (own.may_come_up() || own.may_be_starting())) =>
            {
                finding.may_heal(true)
            }
            Place::Container(_) if self.setup.mitmproxies.is_empty() => finding,
            Place::Container(_) => finding.certain(),
        };
        if let (Place::Container(_), Some((container, inside)), Some(port)) = (&hop.place, published, hop.dial.port) {
            let value = format!(
                "the port {inside} of {} is published as {port} on the host, and on the host only",
                container.name
            );
            finding = finding.seen(format!("port {port}"), value);
        }
        self.fixed(finding, hop, self.better(), dialled)
    }

    fn refused(&self, hop: &Hop, timed_out: bool, dialled: &Dialled<'_>) -> Finding {
        let how = if timed_out { "gives no answer" } else { "refuses the connection" };
        let finding = Finding::fail(self.parties(), format!("{} dials {}, which {how}", hop.from, hop.dial)).on(hop);
        // A container has no address before it runs, so this one may be that of a mitmproxy.
        let waits =
            |part: &Part| self.containers.and_then(|all| all.named(&part.name)).is_some_and(Container::may_come_up);
        let finding = finding.may_heal(self.setup.mitmproxies.iter().any(waits));
        self.fixed(finding, hop, self.better(), dialled)
    }

    /// TLS to mitmproxy: it answers with a certificate of its own authority, which Caddy does not know.
    fn speaks_tls(&self, hop: &Hop, proxy: &Proxy<'_>) -> Option<Finding> {
        if proxy.handler.transport.as_ref().is_some_and(|transport| transport.tls_unverified || transport.tls_roots) {
            return None;
        }
        let finding = Finding::fail(
            self.parties(),
            format!(
                "{} speaks TLS to {}, and does not know the authority of mitmproxy's certificate",
                hop.from, hop.dial
            ),
        )
        .on(hop)
        .certain()
        .seen("each request", "ends with `x509: certificate signed by unknown authority` in Caddy's log, and a 502");
        let action = Action::SetCaddy {
            at: self.api(),
            config_path: format!("{}/transport/tls", proxy.at),
            value: Value::Null,
            old: Some(json!({})),
        };
        Some(finding.fix(Fix::new("speak plain HTTP on this hop", action).edit(Edit {
            file: "Caddyfile".to_owned(),
            language: "caddyfile",
            text: format!("reverse_proxy http://{}\n", hop.dial),
        })))
    }

    /// mitmproxy has no HTTP/2 without TLS.
    fn speaks_h2c(&self, hop: &Hop, dialled: &Dialled<'_>) -> Option<Finding> {
        let proxy = dialled.first(hop)?;
        let transport = proxy.handler.transport.as_ref()?;
        transport.versions.iter().any(|version| version == "h2c").then(|| {
            Finding::fail(
                self.parties(),
                format!(
                    "{} speaks HTTP/2 without TLS (h2c) to {}, which mitmproxy does not understand",
                    hop.from, hop.dial
                ),
            )
            .on(hop)
            .certain()
            .fix(
                Fix::new(
                    "speak HTTP/1.1 on this hop",
                    Action::SetCaddy {
                        at: self.api(),
                        config_path: format!("{}/transport/versions", proxy.at),
                        value: json!(["1.1"]),
                        old: Some(json!(transport.versions)),
                    },
                )
                .edit(Edit {
                    file: "Caddyfile".to_owned(),
                    language: "caddyfile",
                    text: format!("reverse_proxy {}\n", hop.dial),
                }),
            )
        })
    }

    /// Whether a dial that is no address could be meant to lead to mitmproxy: it has its name, or nearly so; or its port, while
    /// no other dial leads there and its host is nobody else's name.
    fn could_be_meant(&self, dial: &str, leads: bool) -> bool {
        let Dial { host, port } = Dial::meant(dial);
        let (mut names, mut ports) = (vec!["mitmproxy"], Vec::new());
        for part in &self.setup.mitmproxies {
            let own = self.containers.and_then(|all| all.named(&part.name));
            names.push(&part.name);
            names.extend(own.into_iter().flat_map(|own| &own.networks).flat_map(|on| &on.names).map(String::as_str));
            let seen = self.mitmproxies.and_then(|all| all.named(&part.name));
            ports.extend(seen.into_iter().flat_map(|seen| seen.modes().0).map(|mode| mode.listen_port));
            ports.extend(own.into_iter().flat_map(|own| own.ports.iter().filter_map(|port| port.host_port)));
        }
        let is_its_name = names.iter().any(|name| name.eq_ignore_ascii_case(&host));
        let of_others = self.containers.is_some_and(|all| all.0.iter().any(|other| other.answers_to(&host)));
        is_its_name
            || !of_others
                && (text::nearest(&host, names.iter().copied()).is_some()
                    || !leads && port.is_some_and(|port| ports.contains(&port)))
    }

    /// An address of mitmproxy that is right in Caddy's place.
    fn better(&self) -> Option<String> {
        self.paths.to_mitmproxy.get(&self.part.name).cloned()
    }

    /// Sets the dial wherever it stands; with a network for both before, where they have none.
    fn fixed(&self, finding: Finding, hop: &Hop, right: Option<String>, dialled: &Dialled<'_>) -> Finding {
        let (join, right) = match (right, self.joined()) {
            (Some(right), _) => (None, right),
            (None, Some((join, right))) => (Some(join), right),
            (None, None) => {
                let title = "dial an address of mitmproxy that is known there; none is now";
                return finding.fix(Fix::new(title, Action::Manual));
            }
        };
        let (places, old) = (dialled.places(hop), hop.dial.to_string());
        let edit =
            Edit { file: "Caddyfile".to_owned(), language: "caddyfile", text: format!("reverse_proxy {right}\n") };
        if places.len() > MOST_PLACES {
            let title = format!(
                "dial {right} instead of {old} at all {} places, in what the config is made from, and load it again",
                places.len()
            );
            let finding = match join {
                Some(join) => finding.fix(Fix::new("put both on one network", join)),
                None => finding,
            };
            return finding.fix(Fix::new(title, Action::Manual).edit(edit));
        }
        let both = if join.is_none() { "" } else { "put both on one network, and " };
        let set = |(proxy, index): &(&Proxy<'_>, usize)| Action::SetDial {
            at: self.api(),
            config_path: format!("{}/upstreams/{index}/dial", proxy.at),
            dial: right.clone(),
            old: Some(old.clone()),
        };
        let mut steps: Vec<Action> = join.into_iter().chain(places.iter().map(set)).collect();
        let title = format!("{both}dial {right}");
        let action = match steps.len() {
            0 => Action::Manual,
            1 => steps.swap_remove(0),
            _ => Action::Steps(steps),
        };
        finding.fix(Fix::new(title, action).edit(edit))
    }

    /// What puts Caddy and a mitmproxy on a network of their own, and the dial that is right then.
    fn joined(&self) -> Option<(Action, String)> {
        let containers = self.containers?;
        let Place::Container(caddy) = &self.part.place else { return None };
        let part = self.setup.mitmproxies.iter().find(|part| matches!(part.place, Place::Container(_)))?;
        let Place::Container(owner) = &part.place else { return None };
        let port = self.mitmproxies?.named(&part.name)?.modes().0.first()?.listen_port;
        (containers.named(caddy).is_some() && containers.named(owner).is_some() && caddy != owner).then(|| {
            let wanted = format!("{caddy}-net");
            let network = self.networks.map_or_else(|| wanted.clone(), |all| all.free_name(&wanted));
            let both = vec![(caddy.clone(), Vec::new()), (owner.clone(), Vec::new())];
            (Action::NewNetwork { network, containers: both }, text::join_port(owner, port))
        })
    }

    fn set(&self, config_path: &str, dial: String, old: Option<String>) -> Fix {
        let text = format!("reverse_proxy {dial}\n");
        let action = Action::SetDial { at: self.api(), config_path: config_path.to_owned(), dial: dial.clone(), old };
        Fix::new(format!("dial {dial}"), action).edit(Edit {
            file: "Caddyfile".to_owned(),
            language: "caddyfile",
            text,
        })
    }

    fn parties(&self) -> Vec<String> {
        std::iter::once(self.part).chain(&self.setup.mitmproxies).map(|part| part.name.clone()).collect()
    }

    fn api(&self) -> ApiAt {
        ApiAt::of(self.part, self.admin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Context, Facts, Outlook,
        docker::Port,
        example,
        facts::Kind,
        view::{ConnectionSeen, View},
    };

    /// A route with this upstream in the healthy setup; what a connection to it from Caddy's place is answered with.
    fn judged(upstream: &str, answer: Option<ConnectionAnswer>) -> Verdict {
        let mut facts = example::healthy();
        let config = format!(
            r#"{{"apps":{{"http":{{"servers":{{"srv0":{{"listen":[":80"],"routes":[{{"match":[{{"host":["api.example.com"]}}],
            "handle":[{{"handler":"reverse_proxy",{upstream}}}]}}]}}}}}}}}}}"#
        );
        facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config).unwrap());
        facts.containers.as_mut().unwrap().0[1].ports = vec![Port {
            container_port: 8080,
            protocol: "tcp".into(),
            host_port: Some(18082),
            host_ip: "127.0.0.1".into(),
        }];
        let view: &mut View = &mut facts.views.as_mut().unwrap().0[0];
        view.connections.clear();
        if let Some(answer) = answer {
            for (host, port) in [("localhost", 18082), ("localhost", 8080), ("172.20.0.99", 8080)] {
                let answer = answer.clone();
                view.connections.push(ConnectionSeen {
                    host: host.into(),
                    ip: None,
                    port,
                    answer,
                    speaks: None,
                    took_ms: 1,
                });
            }
        }
        (CHECK.run)(&Context::new(facts))
    }

    fn dial(dial: &str) -> String {
        format!(r#""upstreams":[{{"dial":"{dial}"}}]"#)
    }

    fn only(verdict: &Verdict) -> &Finding {
        assert_eq!(verdict.findings.len(), 1, "{:?}", verdict.findings);
        &verdict.findings[0]
    }

    #[test]
    fn the_right_dial_passes() {
        let verdict = judged(&dial("mitmproxy:8080"), None);
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
        assert_eq!(verdict.evidence.len(), 1);
    }

    #[test]
    fn loopback_where_nothing_listens() {
        let verdict = judged(&dial("localhost:18082"), Some(ConnectionAnswer::Refused));
        let finding = only(&verdict);
        assert_eq!(
            finding.summary,
            "caddy dials localhost:18082, which is its own container, and nothing listens there"
        );
        assert!(finding.evidence[1].value.contains("on the host only"), "{:?}", finding.evidence);
        let commands = finding.fixes[0].action.commands();
        assert!(commands[0].contains("mitmproxy:8080") && commands[0].contains("routes/0/handle/0/upstreams/0/dial"));
        // Not looked at is not the same as refused.
        let unseen = judged(&dial("localhost:18082"), None);
        assert_eq!((unseen.worst(), unseen.gaps.len()), (None, 1));
    }

    #[test]
    fn ports_that_are_not_the_proxys() {
        for (port, words) in [
            ("18082", "is the port published on the host"),
            ("8081", "web interface"),
            ("9999", "does not listen on port 9999"),
        ] {
            let verdict = judged(&dial(&format!("mitmproxy:{port}")), None);
            let finding = only(&verdict);
            assert!(finding.summary.contains(words), "{}", finding.summary);
            assert!(finding.fixes[0].title.ends_with("dial mitmproxy:8080"), "{}", finding.fixes[0].title);
        }
    }

    #[test]
    fn a_route_to_the_web_interface_beside_the_one_to_the_proxy_is_meant() {
        let both = r#""upstreams":[{"dial":"mitmproxy:8080"}]},{"handler":"reverse_proxy","upstreams":[{"dial":"mitmproxy:8081"}]"#;
        assert_eq!(judged(both, None).worst(), None);
    }

    #[test]
    fn dials_that_are_no_address() {
        for (wrong, words) in [
            ("http://mitmproxy:8080", "has a scheme"),
            ("mitmproxy", "has no port"),
            ("mitmproxy:8080/api", "has a path"),
            ("mitmproxy:8080-8081", "is a range"),
            ("mitmproxy:http", "has a port that is none"),
            ("udp/mitmproxy:8080", "names the network udp"),
            ("", "is empty"),
        ] {
            let verdict = judged(&dial(wrong), None);
            assert!(verdict.findings[0].summary.contains(words), "{wrong}: {:?}", verdict.findings);
        }
        let placeholder = judged(&dial("{env.MITM}:8080"), None);
        assert_eq!((placeholder.worst(), placeholder.gaps.len()), (None, 1));
    }

    #[test]
    fn of_very_many_findings_the_first_are_told() {
        let dials: Vec<String> = (0..60).map(|n| format!(r#"{{"dial":"http://mitmproxy:{}"}}"#, 8080 + n)).collect();
        let verdict = judged(&format!(r#""upstreams":[{}]"#, dials.join(",")), None);
        assert_eq!((verdict.findings.len(), verdict.untold), (50, 10));
    }

    /// The fixes of a wrong dial that stands in this many routes; and what else is changed.
    fn fixes(places: usize, change: impl FnOnce(&mut Facts)) -> Vec<Fix> {
        let mut facts = example::healthy();
        let route = r#"{"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":"mitmproxy:9999"}]}]}"#;
        let config = format!(
            r#"{{"apps":{{"http":{{"servers":{{"srv0":{{"listen":[":80"],"routes":[{}]}}}}}}}}}}"#,
            vec![route; places].join(",")
        );
        facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config).unwrap());
        change(&mut facts);
        (CHECK.run)(&Context::new(facts)).findings.swap_remove(0).fixes
    }

    #[test]
    fn a_dial_that_stands_in_thousands_of_routes_is_not_set_by_thousands_of_commands() {
        assert_eq!(fixes(MOST_PLACES, |_| {})[0].action.commands().len(), MOST_PLACES);
        let many = fixes(3000, |_| {});
        assert_eq!(many[0].action, Action::Manual);
        assert!(many[0].title.contains("at all 3000 places"), "{}", many[0].title);
    }

    #[test]
    fn a_new_network_has_a_name_that_is_free() {
        let only_bridge = |facts: &mut Facts| {
            for (container, ip) in [(0, "172.17.0.2"), (1, "172.17.0.3")] {
                let own = &mut facts.containers.as_mut().unwrap().0[container];
                own.networks = vec![example::attachment(&own.name.clone(), "bridge", ip)];
            }
            let seen = &mut facts.caddies.as_mut().unwrap().0[0];
            let config = serde_json::to_string(seen.config.as_ref().unwrap()).unwrap();
            seen.config = Ok(serde_json::from_str(&config.replace("mitmproxy:9999", "localhost:8080")).unwrap());
            let seen = ConnectionSeen {
                host: "localhost".into(),
                ip: None,
                port: 8080,
                answer: ConnectionAnswer::Refused,
                speaks: None,
                took_ms: 1,
            };
            facts.views.as_mut().unwrap().0[0].connections = vec![seen];
        };
        let create = |fixes: Vec<Fix>| fixes[0].action.commands()[0].clone();
        assert_eq!(create(fixes(1, only_bridge)), "docker network create caddy-net");
        let taken = |facts: &mut Facts| {
            only_bridge(facts);
            facts.networks.as_mut().unwrap().0[0].name = "caddy-net".into();
        };
        assert_eq!(create(fixes(1, taken)), "docker network create caddy-net-2");
    }

    #[test]
    fn tls_and_h2c_are_not_understood() {
        let tls = format!(r#"{},"transport":{{"protocol":"http","tls":{{}}}}"#, dial("mitmproxy:8080"));
        assert!(only(&judged(&tls, None)).summary.contains("speaks TLS to mitmproxy:8080"));
        let unverified = tls.replace("{}", r#"{"insecure_skip_verify":true}"#);
        assert_eq!(judged(&unverified, None).worst(), None);
        let h2c = format!(r#"{},"transport":{{"protocol":"http","versions":["h2c","2"]}}"#, dial("mitmproxy:8080"));
        assert!(only(&judged(&h2c, None)).summary.contains("(h2c)"));
    }

    #[test]
    fn dials_of_other_sites_are_nobodys_business() {
        let both = r#""upstreams":[{"dial":"mitmproxy:8080"}]},{"handler":"reverse_proxy","upstreams":[{"dial":"http://shop:1"},{"dial":"oldsite"}]"#;
        assert_eq!(judged(both, None).worst(), None);
        // Its port has the digits of mitmproxy's, or even is the same as one that a site of its own has.
        for (other, is_blamed) in [
            ("http://shop:28080", false),
            ("http://backend:8080", false),
            ("http://nobody-knows:8080", true),
            ("http://mitmproxi:1234", true),
        ] {
            assert_eq!(judged(&dial(other), None).worst().is_some(), is_blamed, "{other}");
            let beside = both.replace("http://shop:1", other);
            assert_eq!(judged(&beside, None).worst().is_some(), other.contains("mitmproxi"), "{other}");
        }
    }

    #[test]
    fn a_wrong_dial_is_certain_whatever_comes_up() {
        for wrong in ["http://mitmproxy:8080", "mitmproxy", "mitmproxy:18082", "mitmproxy:8081", "mitmproxy:9999"] {
            assert_eq!(only(&judged(&dial(wrong), None)).outlook, Outlook::Certain, "{wrong}");
        }
        let loopback = judged(&dial("localhost:18082"), Some(ConnectionAnswer::Refused));
        assert_eq!(only(&loopback).outlook, Outlook::Certain);
        let address = judged(&dial("172.20.0.99:8080"), Some(ConnectionAnswer::Refused));
        assert_eq!(only(&address).outlook, Outlook::Stays);
    }

    /// The outlook of a dial in a setup that is changed so.
    fn outlook(wrong: &str, change: impl FnOnce(&mut Facts)) -> Option<Outlook> {
        let mut facts = example::healthy();
        let config = format!(
            r#"{{"apps":{{"http":{{"servers":{{"srv0":{{"listen":[":80"],"routes":[{{"handle":[{{"handler":"reverse_proxy",
            "upstreams":[{{"dial":"{wrong}"}}]}}]}}]}}}}}}}}}}"#
        );
        facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config).unwrap());
        let view = &mut facts.views.as_mut().unwrap().0[0];
        let (host, port) = text::host_and_port(wrong).unwrap();
        let seen = |host: &str, port| {
            let answer = ConnectionAnswer::Refused;
            ConnectionSeen { host: host.into(), ip: None, port, answer, speaks: None, took_ms: 1 }
        };
        view.connections = vec![seen(host, port.unwrap())];
        change(&mut facts);
        (CHECK.run)(&Context::new(facts)).findings.first().map(|finding| finding.outlook)
    }

    fn not_answering(facts: &mut Facts, running_s: u64) {
        facts.containers.as_mut().unwrap().0[1].detail.as_mut().unwrap().running_s = Some(running_s);
        let seen = &mut facts.mitmproxies.as_mut().unwrap().0[0];
        seen.options = Err(Missing::failed("GET /options", Kind::Refused, "no"));
        seen.servers = None;
    }

    #[test]
    fn a_port_that_a_starting_mitmproxy_may_have_is_not_judged_yet() {
        // What its command line says is enough: there is no finding.
        assert_eq!(outlook("mitmproxy:8080", |facts| not_answering(facts, 1)), None);
        assert_eq!(outlook("mitmproxy:9000", |facts| not_answering(facts, 1)), Some(Outlook::MayHeal));
        assert_eq!(outlook("mitmproxy:9000", |facts| not_answering(facts, 3600)), Some(Outlook::Stays));
        assert_eq!(outlook("mitmproxy:8081", |facts| not_answering(facts, 1)), Some(Outlook::Certain));
    }

    #[test]
    fn loopback_waits_for_who_shares_the_place() {
        let shares = |status: &str, running_s: Option<u64>| {
            outlook("localhost:8080", |facts| {
                let mut sidecar = example::container("sidecar", "app-net", "172.20.0.9");
                sidecar.network_mode = "container:caddy".into();
                sidecar.networks.clear();
                sidecar.status = status.into();
                sidecar.detail.as_mut().unwrap().running_s = running_s;
                facts.containers.as_mut().unwrap().0.push(sidecar);
            })
        };
        assert_eq!(shares("created", None), Some(Outlook::MayHeal));
        assert_eq!(shares("running", Some(1)), Some(Outlook::MayHeal));
        assert_eq!(shares("running", Some(3600)), Some(Outlook::Certain));
    }

    #[test]
    fn an_address_waits_for_a_mitmproxy_that_has_none_yet() {
        let created = |facts: &mut Facts| {
            let mitmproxy = &mut facts.containers.as_mut().unwrap().0[1];
            mitmproxy.status = "created".into();
            mitmproxy.networks[0].ip = None;
        };
        assert_eq!(outlook("172.20.0.99:8080", created), Some(Outlook::MayHeal));
    }
}
