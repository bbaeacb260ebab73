use crate::model::{
    Action, Edit, Evidence, Finding, Fix, Gap, Hop, Missing, Outlook, Paths, Place, Role, Setup, Severity, Verdict,
    docker::{Container, Containers},
    facts::Attempt,
    fix::{self, ApiAt},
    host::Host,
    mitmproxy::{Mitmproxies, MitmproxySeen, Mode, Target},
    names::Meaning,
    path::HopKind,
    probed::{Leg, Probed},
    text,
    view::{ConnectionAnswer, ConnectionSeen, NameAnswer, Speaks, View, Views, Way},
};

check! {
    /// Does the target accept mitmproxy's connections, and speak what is expected?
    ///
    /// ## What it looks at
    /// A connection from mitmproxy's own place to the target of each of its modes. Where the target is https, where its port
    /// ends in 443, and with `--probe`, also whether it answers a greeting in TLS. That a certificate is refused is read from
    /// mitmweb's events, and only where the newest of its errors says so and no other target could be meant. It is a warning where
    /// mitmproxy has connected there since without such an error: mitmweb keeps the event until it ends.
    ///
    /// ## Why it matters
    /// With the default `connection_strategy=eager` a backend that is down leaves no trace: mitmproxy closes Caddy's connection
    /// without an answer and records no flow, and Caddy answers 502 with an empty body, as if mitmproxy itself were down.
    ///
    /// ## What it does not look at
    /// Targets on the host that a container dials, which are judged by `host-docker-internal`; here only what they speak. Targets
    /// over UDP (`dns`, `udp`, `dtls`, `quic`, `http3`). A mitmproxy that says itself that it listens: a connection would
    /// become a flow there.
    ///
    /// ## How to fix it
    /// Refused: start the service, let it listen on 0.0.0.0 inside its container, or aim at the port that it has inside (not the
    /// one that is published). TLS to plain or plain to TLS: the other scheme in the mode. Certificate: a name that it is made
    /// for, or `ssl_insecure=true`.
    id: "backend-reachable",
    group: Mitmproxy,
    after: ["setup-found", "container-health", "shared-network", "dns-lookup", "host-docker-internal", "reverse-mode"],
    needs: [
        Setup, Paths, Attempt<Containers>, Attempt<Views>, Attempt<Mitmproxies>, Attempt<Host>, Attempt<Probed>,
    ],
    run: run,
}

fn run(
    setup: &Setup,
    paths: &Paths,
    containers: Result<&Containers, &Missing>,
    views: Result<&Views, &Missing>,
    mitmproxies: Result<&Mitmproxies, &Missing>,
    host: Result<&Host, &Missing>,
    probed: Result<&Probed, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Mitmproxy));
    let hops: Vec<&Hop> = paths.hops.iter().filter(|hop| hop.kind == HopKind::Target).collect();
    if hops.is_empty() && verdict.gaps.is_empty() {
        return Verdict::not_applicable("no mitmproxy is known to have a target");
    }
    let none = Containers::default();
    let mut looked = 0;
    for hop in &hops {
        let seen = mitmproxies.ok().and_then(|all| all.named(&hop.from));
        let mode = seen.and_then(|seen| Aimed::of(seen, hop));
        if let Some(scheme) = mode.as_ref().map(|own| own.target.scheme.as_str()).filter(|scheme| is_udp(scheme)) {
            verdict.evidence.push(Evidence::new(hop.id(), format!("{scheme} goes over UDP, which was not tried")));
            continue;
        }
        let unseen = View::planned(&hop.place);
        let view = match views.map(|views| views.from(&hop.place)) {
            _ if hop.is_planned(containers.unwrap_or(&none)) => &unseen,
            Ok(Some(view)) => view,
            Ok(None) => {
                verdict.gaps.push(Gap::on(hop, format!("nothing was seen from inside {}", hop.from)));
                continue;
            }
            Err(missing) => {
                verdict.gaps.push(Gap::on(hop, missing.to_string()).may_heal(missing.may_heal(true)));
                continue;
            }
        };
        let case = Case {
            setup,
            hop,
            view,
            seen,
            mode,
            containers: containers.unwrap_or(&none),
            host: host.ok(),
            probed: probed.ok(),
            is_only: hops.iter().filter(|other| other.from == hop.from).count() == 1,
        };
        looked += usize::from(case.judge(&mut verdict));
    }
    if looked == 0 && verdict.findings.is_empty() && verdict.gaps.is_empty() {
        let evidence = verdict.evidence.iter().map(|seen| format!("{}: {}", seen.label, seen.value));
        return Verdict::not_applicable(evidence.collect::<Vec<_>>().join("; "));
    }
    let which = if looked == hops.len() { "every target" } else { "every target that was tried" };
    verdict.summary = format!("{which} accepts connections from mitmproxy's place");
    verdict
}

fn is_udp(scheme: &str) -> bool {
    matches!(scheme, "udp" | "dtls" | "dns" | "quic" | "http3")
}

/// The mode that a hop belongs to.
struct Aimed {
    modes: Vec<Mode>,
    at: usize,
    target: Target,
}

impl Aimed {
    fn of(seen: &MitmproxySeen, hop: &Hop) -> Option<Self> {
        let modes = seen.modes().0;
        let (at, target) = modes.iter().enumerate().find_map(|(at, mode)| {
            let target = mode.target.clone()?;
            let is_this = target.host == hop.dial.host && Some(target.port) == hop.dial.port;
            (is_this && matches!(target.scheme.as_str(), "https" | "tls") == hop.tls).then_some((at, target))
        })?;
        Some(Self { modes, at, target })
    }

    /// Whether it depends on the version if this is https.
    fn is_undecided(&self, seen: &MitmproxySeen) -> bool {
        seen.version.is_none() && !self.modes[self.at].spec.contains("://")
    }
}

struct Case<'c> {
    setup: &'c Setup,
    hop: &'c Hop,
    view: &'c View,
    seen: Option<&'c MitmproxySeen>,
    mode: Option<Aimed>,
    containers: &'c Containers,
    host: Option<&'c Host>,
    probed: Option<&'c Probed>,
    /// Whether its mitmproxy has no other target.
    is_only: bool,
}

impl Case<'_> {
    /// Judges; false when it was left to others.
    fn judge(&self, verdict: &mut Verdict) -> bool {
        let hop = self.hop;
        let over_host = hop.meaning == Meaning::TheHost && hop.place != Place::Host;
        let connection = hop.dial.port.and_then(|port| self.view.connection(&hop.dial.host, port));
        let Some(connection) = connection else {
            match &hop.to {
                _ if hop.is_planned(self.containers) => {
                    self.planned(verdict);
                    return false;
                }
                _ if over_host => verdict.evidence.push(judged_elsewhere(hop)),
                Some(to) if self.setup.mitmproxies.iter().any(|part| part.name == *to) => {
                    let value = format!(
                        "{to} says itself that it listens there; it was not connected to, which would leave a flow"
                    );
                    verdict.evidence.push(Evidence::new(hop.id(), value));
                }
                _ => {
                    verdict.gaps.push(Gap::on(hop, self.not_tried()));
                    return true;
                }
            }
            return false;
        };
        match &connection.answer {
            ConnectionAnswer::Accepted => {
                self.spoken(verdict, connection);
                return true;
            }
            _ if over_host => {
                verdict.evidence.push(judged_elsewhere(hop));
                return false;
            }
            ConnectionAnswer::Refused => verdict.findings.push(self.refused(connection)),
            ConnectionAnswer::TimedOut => {
                let summary = format!("{} does not answer {}: the connection times out", hop.dial, hop.from);
                verdict
                    .findings
                    .push(self.unreachable(connection, summary, "no answer in time").fix(self.look_between()));
            }
            // The tools of an image fail for reasons of their own.
            ConnectionAnswer::Failed(why) if self.view.way == Way::Exec => {
                let reason = format!("whether {} accepts could not be tried from inside {}: {why}", hop.dial, hop.from);
                verdict.gaps.push(Gap::on(hop, reason));
            }
            ConnectionAnswer::Failed(why) => {
                let summary = format!("{} cannot connect to {}: {why}", hop.from, hop.dial);
                verdict.findings.push(self.unreachable(connection, summary, why).fix(self.look_between()));
            }
        }
        true
    }

    /// Before `up` nothing can be tried; that a port is the one published on the host can be seen in the file.
    fn planned(&self, verdict: &mut Verdict) {
        let hop = self.hop;
        verdict.evidence.push(Evidence::new(hop.id(), "nothing runs yet, so it was not tried"));
        let is_published = |own: &&Container| own.ports.iter().any(|port| port.host_port == hop.dial.port);
        let Some(own) = hop.to.as_ref().and_then(|to| self.containers.named(to)).filter(is_published) else { return };
        let Some(port) = self.other_port(own) else { return };
        let (to, dial) = (&own.name, &hop.dial);
        let summary = format!(
            "{} sends requests to {dial}, and that is the port published on the host: inside the network {to} has {port}",
            hop.from
        );
        let finding = Finding::warn([&hop.from], summary).on(hop).seen(format!("{to}'s ports"), ports_of(own));
        let title = format!("aim at {}, the port that {to} has inside", text::join_port(&dial.host, port));
        verdict.findings.push(self.with_target(finding, title, |own| Target { port, ..own }));
    }

    fn not_tried(&self) -> String {
        let hop = self.hop;
        let has_no_address = self.view.name(&hop.dial.host).is_some_and(|own| own.answer == NameAnswer::NoSuchName);
        let why = match self.view.not_better.as_slice() {
            _ if has_no_address => "the name has no address there".to_owned(),
            [] => self.view.way.to_string(),
            why => why.join("; "),
        };
        format!("whether {} accepts was not tried from inside {}: {why}", hop.dial, hop.from)
    }

    /// It accepts. Does it speak what is expected?
    fn spoken(&self, verdict: &mut Verdict, connection: &ConnectionSeen) {
        let hop = self.hop;
        let undecided = self.seen.zip(self.mode.as_ref()).is_some_and(|(seen, mode)| mode.is_undecided(seen));
        let scheme = self.mode.as_ref().map_or("", |mode| mode.target.scheme.as_str());
        let by_events = self.newest_event().filter(|event| event.contains("does not speak TLS"));
        let for_tls = hop.dial.port.is_some_and(|port| port % 1000 == 443);
        let how = self.view.way;
        match connection.speaks {
            Some(Speaks::NoTls) if hop.tls && !undecided && for_tls && by_events.is_none() => verdict.gaps.push(Gap::on(
                hop,
                format!(
                    "{} did not answer a greeting in TLS that names no host; whether it answers one that does, was not tried",
                    hop.dial
                ),
            )),
            Some(Speaks::NoTls) if hop.tls && !undecided => {
                let summary = format!("{} speaks TLS to {}, which does not", hop.from, hop.dial);
                let mut finding = self.finding(connection, summary).seen("answer", format!("accepts, and does not answer in TLS ({how})"));
                if let Some(event) = by_events {
                    finding = finding.seen("mitmweb's newest error", event);
                }
                verdict.findings.push(self.with_scheme(finding, "http"));
            }
            Some(Speaks::Tls) if scheme == "http" => {
                let summary = format!("{} sends plain HTTP to {}, which speaks TLS", hop.from, hop.dial);
                let finding = self.finding(connection, summary).seen("answer", format!("answers in TLS ({how})"));
                verdict.findings.push(self.with_scheme(finding, "https"));
            }
            speaks => {
                if let Some(event) = self.certificate() {
                    verdict.findings.push(self.refused_certificate(connection, event));
                    return;
                }
                let ip = connection.ip.map(|ip| format!("{ip}, ")).unwrap_or_default();
                let spoken = match speaks {
                    Some(Speaks::Tls) => ", in TLS",
                    Some(Speaks::NoTls) => ", not in TLS",
                    None => "",
                };
                verdict.evidence.push(Evidence::new(hop.id(), format!("{ip}accepts{spoken} ({how})")));
            }
        }
    }

    fn finding(&self, connection: &ConnectionSeen, summary: String) -> Finding {
        let target = match connection.ip {
            Some(ip) if ip.to_string() != self.hop.dial.host => format!("{}, at {ip}", self.hop.dial),
            _ => self.hop.dial.to_string(),
        };
        Finding::fail([&self.hop.from], summary).on(self.hop).seen("target", target)
    }

    /// What shows of a target that cannot be connected to.
    fn unreachable(&self, connection: &ConnectionSeen, summary: String, answer: &str) -> Finding {
        // A backend that is slow to start looks like this.
        let finding = self.finding(connection, summary).may_heal(true);
        let mut finding = finding.seen("answer", format!("{answer} ({})", self.view.way));
        let options = self.seen.and_then(|seen| seen.options.as_ref().ok());
        if options.is_some_and(|options| options.connection_strategy != "lazy") {
            finding = finding.seen(
                "what shows",
                "connection_strategy is eager: no flow is recorded, and Caddy answers 502 with an empty body",
            );
        }
        match self.newest_event().filter(|event| event.contains("error establishing server connection")) {
            Some(event) => finding.seen("mitmweb's newest error", event),
            None => finding,
        }
    }

    /// What drops packets on the way leaves no trace, so a person has to look.
    fn look_between(&self) -> Fix {
        let (from, dial) = (&self.hop.from, &self.hop.dial);
        let title = match self.hop.to.as_ref().filter(|to| self.containers.named(to).is_some()) {
            Some(to) => format!(
                "look at what stands between {from} and {to}: that both are on one network now (docker inspect), and the firewall rules \
                 for it, in {to} itself and on the host (iptables -L DOCKER-USER -v -n; iptables -L FORWARD -v -n)"
            ),
            None => format!(
                "look at what stands between {from} and {dial}: whether that address is right and its machine up, a firewall there or \
                 on the way, and the routes of this host (a VPN)"
            ),
        };
        Fix::new(title, Action::Manual)
    }

    fn refused(&self, connection: &ConnectionSeen) -> Finding {
        let hop = self.hop;
        let summary = format!("{} refuses {}'s connections", hop.dial, hop.from);
        let mut finding = self.unreachable(connection, summary, "refuses the connection");
        if hop.is_over_host() {
            let listeners = self.host.and_then(|host| host.listeners.as_ref().ok());
            let at_port = listeners.map(|all| all.iter().filter(|own| Some(own.port) == hop.dial.port));
            let value =
                at_port.map(|own| own.map(|own| text::join_port(&own.ip.to_string(), own.port)).collect::<Vec<_>>());
            if let Some(at_port) = value {
                if !at_port.is_empty() {
                    // It listens already, at another address.
                    finding.outlook = Outlook::Stays;
                }
                let value = if at_port.is_empty() { "nothing".to_owned() } else { at_port.join(", ") };
                finding = finding.seen("what listens on that port of the host", value);
            }
        }
        let container = hop.to.as_ref().and_then(|to| self.containers.named(to));
        let Some(container) = container else {
            return finding.fix(Fix::new(format!("start the service at {}", hop.dial), Action::Manual));
        };
        let to = &container.name;
        if !container.runs() {
            return finding.seen(to, format!("is {}", container.status));
        }
        finding = finding.seen(format!("{to}'s ports"), ports_of(container));
        match self.other_port(container) {
            Some(port) => {
                // What an image exposes is a hint only; that the port is the host's decides.
                if container.ports.iter().any(|own| own.host_port == hop.dial.port) || !container.may_be_starting() {
                    finding.outlook = Outlook::Stays;
                }
                let address = text::join_port(&hop.dial.host, port);
                let title = format!("aim at {address}, the port that {to} has inside");
                self.with_target(finding, title, |own| Target { port, ..own })
            }
            None => finding.fix(Fix::new(
                format!("let the service in {to} listen on {}, on 0.0.0.0 and not on 127.0.0.1 alone", hop.dial),
                Action::Manual,
            )),
        }
    }

    /// The port inside a container whose dialled one is only published, or the only one that it exposes.
    fn other_port(&self, container: &Container) -> Option<u16> {
        if self.hop.is_over_host() || self.hop.meaning == Meaning::Itself {
            return None;
        }
        let dialled = self.hop.dial.port?;
        let mut tcp = container.ports.iter().filter(|own| own.protocol == "tcp");
        if tcp.clone().any(|own| own.container_port == dialled) {
            return None;
        }
        let published = tcp.clone().find(|own| own.host_port == Some(dialled));
        let only = tcp.next().filter(|first| tcp.all(|own| own.container_port == first.container_port));
        published.or(only).map(|own| own.container_port)
    }

    /// The newest of the errors in mitmweb's events.
    fn newest_event(&self) -> Option<&String> {
        self.seen?.events.as_ref()?.as_ref().ok()?.last()
    }

    /// The newest error, when it is that a certificate was refused, and it can be about no other target.
    fn certificate(&self) -> Option<&String> {
        let seen = self.seen?;
        let options = seen.options.as_ref().ok()?;
        let went_through = self.probed.is_some_and(|probed| {
            let by = |own: &&crate::model::probed::RequestSeen| own.leg == Leg::Mitmproxy && own.of == seen.name;
            probed.requests.iter().filter(by).any(|own| own.answer.as_ref().is_ok_and(|answer| answer.status != 502))
        });
        let event = self.newest_event().filter(|event| event.to_lowercase().contains("certificate verify failed"))?;
        (self.hop.tls && !options.ssl_insecure && self.is_only && !went_through).then_some(event)
    }

    fn refused_certificate(&self, connection: &ConnectionSeen, event: &str) -> Finding {
        let (from, dial) = (&self.hop.from, &self.hop.dial);
        let finding = if self.seen.is_some_and(|seen| seen.connected_since) {
            // `[15:45:12.644][172.18.0.3:53204] Server TLS ...`; 8.x tells no time.
            let time = event.strip_prefix('[').and_then(|rest| rest.split(['.', ']']).next());
            let time = time.map_or_else(|| "of earlier".to_owned(), |time| format!("of {time}"));
            let summary = format!("{from} did not trust the certificate of {dial}, by an event {time}");
            let later = "it has connected there after that, without such an error";
            let finding = Finding { severity: Severity::Warn, ..self.finding(connection, summary) };
            finding.seen("since then", later)
        } else {
            let summary = format!("{from} does not trust the certificate of {dial}, by the newest error in its events");
            self.finding(connection, summary)
        }
        .seen("mitmweb's newest error", event)
        .seen("ssl_insecure", "off");
        let part = self.setup.part(from).zip(self.seen);
        let Some((part, seen)) = part else { return finding };
        let action = Action::SetOption {
            at: ApiAt::of(part, &seen.web),
            option: "ssl_insecure",
            value: true.into(),
            password: seen.wants_password(),
        };
        let text = "--set ssl_insecure=true".to_owned();
        finding.fix(
            Fix::new(
                "let it trust any certificate; or give the backend one that it trusts, for the name that is dialled",
                action,
            )
            .edit(Edit { file: format!("the command of {from}"), language: "sh", text }),
        )
    }

    fn with_scheme(&self, finding: Finding, scheme: &str) -> Finding {
        let title = format!("aim at {scheme}://{}", self.hop.dial);
        self.with_target(finding, title, |own| Target { scheme: scheme.to_owned(), ..own })
    }

    /// Sets the mode to another target.
    fn with_target(&self, finding: Finding, title: String, change: impl FnOnce(Target) -> Target) -> Finding {
        let part = self.setup.part(&self.hop.from).zip(self.seen);
        let (Some((part, seen)), Some(own)) = (part, &self.mode) else { return finding };
        let target = change(own.target.clone());
        let mut modes: Vec<String> = own.modes.iter().map(|mode| mode.spec.clone()).collect();
        let listen = modes[own.at].rfind('@').map_or("", |at| &modes[own.at][at..]);
        modes[own.at] = format!("reverse:{}://{}{listen}", target.scheme, text::join_port(&target.host, target.port));
        finding.fix(fix::set_modes(part, seen, title, &modes))
    }
}

fn judged_elsewhere(hop: &Hop) -> Evidence {
    Evidence::new(hop.id(), "goes to the host, which host-docker-internal judges")
}

/// `80/tcp, published as 3000; 9090/tcp`
fn ports_of(container: &Container) -> String {
    let mut ports: Vec<String> = container
        .ports
        .iter()
        .map(|own| match own.host_port {
            Some(host) => format!("{}/{}, published as {host}", own.container_port, own.protocol),
            None => format!("{}/{}", own.container_port, own.protocol),
        })
        .collect();
    ports.dedup();
    if ports.is_empty() { "none is exposed".to_owned() } else { ports.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Context, Facts,
        docker::Port,
        example,
        facts::Kind,
        mitmproxy::Interface,
        probed::{ProbeAnswer, RequestSeen},
    };

    /// mitmproxy aims at `mode`, and the target answers so.
    fn facts(mode: &str, answer: ConnectionAnswer, speaks: Option<Speaks>) -> Facts {
        let mut facts = example::healthy();
        seen(&mut facts).options.as_mut().unwrap().mode = vec![mode.into()];
        let target = Mode::read(mode, 8080, Some(10)).target.unwrap();
        let seen = ConnectionSeen { host: target.host, ip: None, port: target.port, answer, speaks, took_ms: 1 };
        facts.views.as_mut().unwrap().0[1].connections = vec![seen];
        facts
    }

    fn seen(facts: &mut Facts) -> &mut MitmproxySeen {
        &mut facts.mitmproxies.as_mut().unwrap().0[0]
    }

    fn judged(facts: Facts) -> Verdict {
        (CHECK.run)(&Context::new(facts))
    }

    const PLAIN: &str = "reverse:http://backend:3000";

    #[test]
    fn one_that_accepts_passes() {
        let verdict = judged(example::healthy());
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
        assert_eq!(verdict.evidence[0].value, "172.20.0.3, accepts (seen from inside its network namespace)");
        let tls = judged(facts("reverse:https://backend:3443", ConnectionAnswer::Accepted, Some(Speaks::Tls)));
        assert_eq!((tls.worst(), tls.gaps.len()), (None, 0));
    }

    #[test]
    fn refused_says_what_shows_and_aims_at_the_port_inside() {
        let refused = || facts(PLAIN, ConnectionAnswer::Refused, None);
        let finding = judged(refused()).findings.remove(0);
        assert_eq!(finding.summary, "backend:3000 refuses mitmproxy's connections");
        assert!(finding.evidence.iter().any(|seen| seen.value.contains("Caddy answers 502 with an empty body")));
        assert_eq!(finding.fixes[0].action, Action::Manual);

        let mut facts = refused();
        let port = |container_port, host_port| Port {
            container_port,
            protocol: "tcp".into(),
            host_port,
            host_ip: String::new(),
        };
        facts.containers.as_mut().unwrap().0[2].ports = vec![port(9090, None), port(80, Some(3000))];
        let finding = judged(facts).findings.remove(0);
        assert_eq!(finding.fixes[0].title, "aim at backend:80, the port that backend has inside");
        assert!(finding.fixes[0].action.commands()[0].contains("reverse:http://backend:80"));
    }

    #[test]
    fn a_container_that_does_not_run_is_said_to_be_so() {
        let mut facts = facts(PLAIN, ConnectionAnswer::TimedOut, None);
        assert_eq!(
            judged(facts.clone()).findings[0].summary,
            "backend:3000 does not answer mitmproxy: the connection times out"
        );
        facts.views.as_mut().unwrap().0[1].connections[0].answer = ConnectionAnswer::Refused;
        facts.containers.as_mut().unwrap().0[2].status = "exited".into();
        let finding = judged(facts).findings.remove(0);
        assert!(finding.about.contains(&"backend".to_owned()) && finding.fixes.is_empty());
        assert!(finding.evidence.contains(&Evidence::new("backend", "is exited")), "{:?}", finding.evidence);
    }

    #[test]
    fn tls_to_plain_and_plain_to_tls_get_the_other_scheme() {
        let finding = judged(facts("reverse:https://backend:3000", ConnectionAnswer::Accepted, Some(Speaks::NoTls)))
            .findings
            .remove(0);
        assert_eq!(finding.summary, "mitmproxy speaks TLS to backend:3000, which does not");
        assert_eq!(finding.fixes[0].edits[0].text, "--mode reverse:http://backend:3000");
        let finding = judged(facts(PLAIN, ConnectionAnswer::Accepted, Some(Speaks::Tls))).findings.remove(0);
        assert_eq!(finding.summary, "mitmproxy sends plain HTTP to backend:3000, which speaks TLS");
        assert_eq!(finding.fixes[0].edits[0].text, "--mode reverse:https://backend:3000");
        let raw = facts("reverse:tcp://backend:3000", ConnectionAnswer::Accepted, Some(Speaks::Tls));
        assert_eq!(judged(raw).worst(), None);
    }

    #[test]
    fn a_server_that_wants_a_name_in_the_greeting_is_not_accused() {
        let mut facts = facts("reverse:https://backend", ConnectionAnswer::Accepted, Some(Speaks::NoTls));
        assert_eq!((judged(facts.clone()).worst(), judged(facts.clone()).gaps.len()), (None, 1));
        let event = "Server TLS handshake failed. The remote server does not speak TLS.";
        seen(&mut facts).events = Some(Ok(vec![event.into()]));
        assert_eq!(judged(facts).findings[0].summary, "mitmproxy speaks TLS to backend:443, which does not");
    }

    #[test]
    fn a_version_that_is_not_known_decides_no_scheme() {
        let mut facts = facts("reverse:backend:3000", ConnectionAnswer::Accepted, Some(Speaks::NoTls));
        assert_eq!(judged(facts.clone()).findings.len(), 1);
        seen(&mut facts).version = None;
        assert_eq!(judged(facts).worst(), None);
    }

    #[test]
    fn a_certificate_is_told_from_the_newest_error_only() {
        let failed = "Server TLS handshake failed. Certificate verify failed: self-signed certificate";
        let with_events = |events: &[&str]| {
            let mut facts = facts("reverse:https://backend:3443", ConnectionAnswer::Accepted, Some(Speaks::Tls));
            seen(&mut facts).events = Some(Ok(events.iter().map(|event| (*event).to_owned()).collect()));
            facts
        };
        let finding = judged(with_events(&[failed])).findings.remove(0);
        assert_eq!(
            finding.summary,
            "mitmproxy does not trust the certificate of backend:3443, by the newest error in its events"
        );
        assert!(finding.fixes[0].action.commands()[0].contains(r#"{\"ssl_insecure\": true}"#));
        let other = "error establishing server connection: [Errno 111] Connect call failed";
        assert_eq!(judged(with_events(&[failed, other])).worst(), None);
        let mut since = with_events(&[&format!("[02:07:09.887][172.24.0.4:34642] {failed}")]);
        seen(&mut since).connected_since = true;
        let finding = judged(since).findings.remove(0);
        assert_eq!(
            (finding.severity, finding.summary.as_str()),
            (Severity::Warn, "mitmproxy did not trust the certificate of backend:3443, by an event of 02:07:09")
        );
        let mut insecure = with_events(&[failed]);
        seen(&mut insecure).options.as_mut().unwrap().ssl_insecure = true;
        assert_eq!(judged(insecure).worst(), None);
        let mut mended = with_events(&[failed]);
        let request = RequestSeen {
            leg: Leg::Mitmproxy,
            of: "mitmproxy".into(),
            from: Place::Host,
            url: String::new(),
            host: "api.example.com".into(),
            answer: Ok(ProbeAnswer { status: 404, ..ProbeAnswer::default() }),
            took_us: Vec::new(),
        };
        mended.probed = Ok(Probed { requests: vec![request], flows: Vec::new() });
        assert_eq!(judged(mended).worst(), None);
    }

    #[test]
    fn what_was_not_tried_is_a_gap() {
        let mut facts = example::healthy();
        let view = &mut facts.views.as_mut().unwrap().0[1];
        view.connections.clear();
        assert_eq!(judged(facts.clone()).gaps.len(), 1);
        facts.views.as_mut().unwrap().0[1].names[0].answer = NameAnswer::NoSuchName;
        assert_eq!(
            judged(facts.clone()).gaps[0].reason,
            "whether backend:3000 accepts was not tried from inside mitmproxy: the name has no address there"
        );
        facts.views.as_mut().unwrap().0.remove(1);
        assert_eq!(judged(facts).gaps[0].reason, "nothing was seen from inside mitmproxy");
        let mut tool = self::facts(PLAIN, ConnectionAnswer::Failed("nc could not connect".into()), None);
        assert_eq!(judged(tool.clone()).findings.len(), 1);
        tool.views.as_mut().unwrap().0[1].way = Way::Exec;
        assert_eq!((judged(tool.clone()).worst(), judged(tool).gaps.len()), (None, 1));
    }

    #[test]
    fn the_host_is_judged_elsewhere_and_only_what_it_speaks_here() {
        let mode = "reverse:http://host.docker.internal:3000";
        let verdict = judged(facts(mode, ConnectionAnswer::Refused, None));
        assert!(verdict.not_applicable.is_some_and(|reason| reason.contains("host-docker-internal")));
        let verdict = judged(facts(mode, ConnectionAnswer::Accepted, Some(Speaks::Tls)));
        assert_eq!(verdict.findings.len(), 1);
    }

    #[test]
    fn without_a_target_there_is_nothing_to_reach() {
        let mut regular = example::healthy();
        seen(&mut regular).options.as_mut().unwrap().mode = vec!["regular".into()];
        assert!(judged(regular).not_applicable.is_some());
        let mut dump = facts(PLAIN, ConnectionAnswer::Refused, None);
        seen(&mut dump).command_line.interface = Interface::Mitmdump;
        seen(&mut dump).options = Err(Missing::failed("", Kind::Unsupported, "mitmdump has no API"));
        let finding = judged(dump).findings.remove(0);
        assert!(!finding.evidence.iter().any(|seen| seen.label == "what shows"), "what was not read is not told");
    }

    #[test]
    fn a_slow_backend_may_come_up_and_a_wrong_port_does_not() {
        let outlook = |ports: &[(u16, Option<u16>)], running_s: Option<u64>| {
            let mut facts = facts(PLAIN, ConnectionAnswer::Refused, None);
            let backend = &mut facts.containers.as_mut().unwrap().0[2];
            backend.detail.as_mut().unwrap().running_s = running_s;
            let port = |(container_port, host_port)| Port {
                container_port,
                protocol: "tcp".into(),
                host_port,
                host_ip: String::new(),
            };
            backend.ports = ports.iter().copied().map(port).collect();
            judged(facts).findings.remove(0).outlook
        };
        assert_eq!(outlook(&[], Some(3600)), Outlook::MayHeal);
        assert_eq!(outlook(&[(3000, None)], Some(3600)), Outlook::MayHeal);
        assert_eq!(outlook(&[(80, Some(3000))], Some(1)), Outlook::Stays, "3000 is the host's");
        // What an image exposes may be wrong.
        assert_eq!(outlook(&[(80, None)], Some(1)), Outlook::MayHeal);
        assert_eq!(outlook(&[(80, None)], Some(3600)), Outlook::Stays);

        let tls = judged(facts("reverse:https://backend:3000", ConnectionAnswer::Accepted, Some(Speaks::NoTls)));
        assert_eq!(tls.findings[0].outlook, Outlook::Stays);
        let timed_out = judged(facts(PLAIN, ConnectionAnswer::TimedOut, None));
        assert_eq!(timed_out.findings[0].outlook, Outlook::MayHeal);
        assert!(timed_out.findings[0].fixes[0].title.contains("between mitmproxy and backend"));
    }
}
