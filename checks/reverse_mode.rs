use crate::model::{
    Evidence, Finding, Fix, Gap, Hop, Missing, Part, Paths, Place, Role, Setup, Verdict,
    caddy::Caddies,
    docker::{Containers, Program, is_user_defined},
    facts::Attempt,
    fix::{self, Action},
    mitmproxy::{Interface, Mitmproxies, MitmproxySeen, Mode, ModeServer, Target},
    names::Meaning,
    path::{self, Dial, HopKind},
    route::{self, End, EndKind, Request},
    setup::PartKind,
    text,
    view::{ConnectionAnswer, ConnectionSeen, Speaks, Views},
};

check! {
    /// Does mitmproxy send requests where it should?
    ///
    /// ## What it looks at
    /// The modes of every mitmproxy, by mitmweb's options, else by its command line, and for each mode that Caddy dials
    /// whether it is a reverse mode, where its target leads from mitmproxy's own place, and whether mitmweb says that its
    /// server runs (`/state`, from 9.0).
    ///
    /// ## Why it matters
    /// Without `--mode reverse:` mitmproxy is a regular proxy: it sends what Caddy passes on to whatever the Host names, which
    /// is Caddy again, or the real server of that name on the internet. A target `localhost` in a container is mitmproxy's
    /// container, not the host and not the backend. A target that is mitmproxy's own port, or a listener of Caddy that leads to
    /// mitmproxy, goes round until something gives in.
    ///
    /// ## What it does not blame
    /// Loopback where something listens: in a shared namespace, on the host's network, beside mitmproxy in one container. A mode
    /// that no Caddy dials. A chain of modes that ends at a backend. Regular mode behind a route that sets the Host to the
    /// backend is a warning only: it works as long as that Host is right.
    ///
    /// ## Without a scheme
    /// `reverse:backend:3000` means https from mitmproxy 9.0 on. 8.x took http unless the port was 443.
    ///
    /// ## How to fix it
    /// Set the mode to `reverse:http://BACKEND:PORT`, with the name and the port that the backend has inside the network: at once
    /// by the options API, for good with `--mode` on the command line.
    id: "reverse-mode",
    group: Mitmproxy,
    after: ["setup-found", "container-health", "mitmweb-api"],
    needs: [Setup, Mitmproxies, Attempt<Paths>, Attempt<Containers>, Attempt<Caddies>, Attempt<Views>],
    run: run,
}

fn run(
    setup: &Setup,
    mitmproxies: &Mitmproxies,
    paths: Result<&Paths, &Missing>,
    containers: Result<&Containers, &Missing>,
    caddies: Result<&Caddies, &Missing>,
    views: Result<&Views, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Mitmproxy));
    let (no_containers, no_paths) = (Containers::default(), Paths::default());
    for part in &setup.mitmproxies {
        let Some(seen) = mitmproxies.named(&part.name) else {
            verdict.gaps.push(Gap::about([&part.name], format!("{} was not asked", part.name)));
            continue;
        };
        let containers = containers.unwrap_or(&no_containers);
        let (modes, by_options) = seen.modes();
        if let Err(missing) = &seen.options
            && !seen.is_told_by_its_command()
            && !is_read(part, seen, containers)
        {
            let reason = format!(
                "in which mode {} is, is not known: no --mode was read from its command line, and {missing}",
                part.name
            );
            // The other programs have no API that could tell.
            let may_heal =
                seen.command_line.interface == Interface::Mitmweb && part.may_answer_later(Some(containers), missing);
            verdict.gaps.push(Gap::about([&part.name], reason).may_heal(may_heal));
            continue;
        }
        let paths = paths.unwrap_or(&no_paths);
        let how = if by_options { "by mitmweb's options" } else { "by its command line" };
        Case { setup, part, seen, modes, how, containers, paths, caddies: caddies.ok(), views: views.ok() }
            .judge(&mut verdict);
    }
    verdict.summary = "every mode that Caddy dials is a reverse mode with a target of its own".to_owned();
    verdict
}

/// Whether the command line names a mode and was really read. Without one a config file may have set the mode.
fn is_read(part: &Part, seen: &MitmproxySeen, containers: &Containers) -> bool {
    let is_process = matches!(part.kind, PartKind::Process { .. });
    let own = containers.named(&part.name).and_then(|own| own.program.as_ref());
    !seen.command_line.modes.is_empty() && (is_process || matches!(own, Some(Program::Mitmproxy(_))))
}

/// Ports of what is no backend for HTTP: databases, queues, caches, mail, directories, `FastCGI`, and shells.
const NOT_HTTP: &[u16] = &[
    21, 22, 25, 53, 389, 465, 587, 636, 993, 1433, 1521, 1883, 2181, 3306, 4222, 5432, 5672, 6379, 7687, 8883, 9000,
    9042, 9092, 11211, 26257, 26379, 27017, 33060,
];

struct Case<'c> {
    setup: &'c Setup,
    part: &'c Part,
    seen: &'c MitmproxySeen,
    modes: Vec<Mode>,
    how: &'static str,
    containers: &'c Containers,
    paths: &'c Paths,
    caddies: Option<&'c Caddies>,
    views: Option<&'c Views>,
}

impl Case<'_> {
    fn judge(&self, verdict: &mut Verdict) {
        let name = &self.part.name;
        match &self.seen.servers {
            Some(Ok(servers)) => {
                let stopped = servers.iter().filter(|server| !server.is_running);
                verdict.findings.extend(stopped.map(|server| self.not_running(server)));
            }
            Some(Err(missing)) => verdict
                .gaps
                .push(Gap::about([name], format!("whether the servers of {name}'s modes run is not known: {missing}"))),
            None => {}
        }
        for (at, mode) in self.modes.iter().enumerate() {
            let label = format!("{name}'s mode");
            match (&mode.target, self.dialling(mode)) {
                _ if mode.spec.contains('$') => verdict.gaps.push(Gap::about(
                    [name],
                    format!(
                        "{name}'s mode is {} on its command line: what the shell makes of it is not known",
                        mode.spec
                    ),
                )),
                (None, _) if mode.spec.starts_with("reverse:") => verdict.gaps.push(Gap::about(
                    [name],
                    format!("{name}'s mode {} cannot be read, so where it sends requests is not known", mode.spec),
                )),
                (None, Some(hop)) => verdict.findings.push(self.no_reverse(at, mode, hop)),
                (None, None) => {
                    verdict.gaps.extend(self.paths.gaps());
                    let value = format!("{}, {}; no dial of Caddy is known to lead there", mode.spec, self.how);
                    verdict.evidence.push(Evidence::new(label, value));
                }
                (Some(target), _) => match self.wrong_target(at, mode, target) {
                    Some(finding) => verdict.findings.push(finding),
                    None => {
                        self.without_scheme(verdict, at, mode, target);
                        verdict.evidence.push(Evidence::new(label, format!("{}, {}", mode.spec, self.how)));
                    }
                },
            }
        }
    }

    /// A dial of Caddy that leads to the port of this mode; to any port, when there is none that would take requests.
    fn dialling(&self, mode: &Mode) -> Option<&Hop> {
        let none_takes_requests = !self.modes.iter().any(Mode::takes_requests);
        self.paths.hops.iter().find(|hop| {
            hop.kind == HopKind::Upstream
                && hop.to.as_ref() == Some(&self.part.name)
                && (none_takes_requests || hop.port_inside(self.containers) == Some(mode.listen_port))
        })
    }

    /// The hop to the target of this mode.
    fn hop(&self, target: &Target) -> Option<&Hop> {
        self.paths.hops.iter().find(|hop| {
            hop.kind == HopKind::Target
                && hop.from == self.part.name
                && hop.dial.host == target.host
                && hop.dial.port == Some(target.port)
        })
    }

    fn connection(&self, hop: &Hop) -> Option<&ConnectionSeen> {
        self.views?.from(&hop.place)?.connection(&hop.dial.host, hop.dial.port?)
    }

    fn not_running(&self, server: &ModeServer) -> Finding {
        let name = &self.part.name;
        let hop = self.modes.iter().find(|mode| mode.spec == server.full_spec).and_then(|mode| self.dialling(mode));
        let summary = format!("{name}'s mode {} is configured, and its server does not run", server.full_spec);
        let why = server.last_exception.as_deref().unwrap_or("mitmweb gives no reason");
        let mut finding = if hop.is_some() || self.modes.len() == 1 {
            Finding::fail([name], summary)
        } else {
            Finding::warn([name], summary)
        }
        .seen("reason", why)
        // What failed to listen has an exception; without one it has not tried yet.
        .may_heal(server.last_exception.is_none());
        if let Some(hop) = hop {
            finding = finding.on(hop);
        }
        if why.contains("in use") || why.contains("Errno 98") {
            let title = format!(
                "stop what holds that port in {name}'s network namespace, or let the mode listen on another and dial that"
            );
            finding = finding.fix(Fix::new(title, Action::Manual));
        }
        finding
    }

    fn no_reverse(&self, at: usize, mode: &Mode, hop: &Hop) -> Finding {
        let name = &self.part.name;
        let kind = mode.spec.split([':', '@']).next().unwrap_or_default();
        let takes_requests = mode.takes_requests();
        // The Host of the dial itself is mitmproxy.
        let sent = hop.sets_host.as_deref().filter(|host| !host.contains("reverse_proxy.upstream"));
        let finding = match sent {
            Some(host) if takes_requests => Finding::warn(
                [name],
                format!(
                    "{name} is in {kind} mode and sends requests wherever their Host names; Caddy's route sets it to {host}"
                ),
            ),
            _ if takes_requests => Finding::fail(
                [name],
                format!("{name} is in {kind} mode, so it sends what {} passes on to whatever the Host names", hop.from),
            ),
            _ => Finding::fail([name], format!("{name} is in {kind} mode, which takes no requests from {}", hop.from)),
        };
        finding
            .on(hop)
            .certain()
            .seen("mode", format!("{}, {}", mode.spec, self.how))
            .seen("dial", hop.dial.to_string())
            .fix(self.aim(at, mode, self.only_backend(None)))
    }

    fn wrong_target(&self, at: usize, mode: &Mode, target: &Target) -> Option<Finding> {
        let name = &self.part.name;
        let hop = self.hop(target)?;
        let seen = |finding: Finding| {
            finding.on(hop).seen("mode", format!("{}, {}", mode.spec, self.how)).seen("target", hop.dial.to_string())
        };
        if self.comes_back(at) {
            let summary = format!("{name} sends requests back to itself: its target {} is its own port", hop.dial);
            let finding = seen(Finding::fail([name], summary)).certain();
            return Some(finding.fix(self.aim(at, mode, self.only_backend(None))));
        }
        if let Some(route) = self.comes_back_over_caddy(hop, target) {
            let caddy = hop.to.as_deref().unwrap_or_default();
            let summary = format!("{name} sends requests back to {caddy}, which sends them to {name} again");
            let finding = seen(Finding::fail([name], summary)).certain().seen("route", route);
            return Some(finding.fix(self.aim(at, mode, self.only_backend(None))));
        }
        let alone = |own: &Place| {
            !self.containers.0.iter().any(|other| other.name != *name && self.containers.place_of(other) == *own)
        };
        let on_itself = hop.meaning == Meaning::Itself && matches!(hop.place, Place::Container(_)) && alone(&hop.place);
        // Before up it is alone there with its own ports, which are no backend.
        if on_itself && self.containers.is_planned(name) {
            let summary = format!(
                "{name} sends requests to {}, which is its own container, where nothing listens on that port",
                hop.dial
            );
            let finding =
                seen(Finding::fail([name], summary)).seen("in that container", "the compose file runs mitmproxy");
            return Some(finding.fix(self.aim(at, mode, self.only_backend(Some(target.port)))));
        }
        if on_itself
            && let Some(connection) = self.connection(hop)
            && connection.answer == ConnectionAnswer::Refused
        {
            let way = self.views.and_then(|views| views.from(&hop.place)).map(|view| view.way.to_string());
            let summary = format!(
                "{name} sends requests to {}, which is its own container, where nothing listens on that port",
                hop.dial
            );
            let finding = seen(Finding::fail([name], summary))
                .seen("answer", format!("refuses the connection ({})", way.unwrap_or_default()));
            return Some(finding.fix(self.aim(at, mode, self.only_backend(Some(target.port)))));
        }
        None
    }

    /// Whether the target of a mode is one of this mitmproxy's own modes, and so on until this one again.
    fn comes_back(&self, start: usize) -> bool {
        let mut at = start;
        for _ in 0..self.modes.len() {
            let next = self.modes[at].target.as_ref().and_then(|target| self.hop(target)).and_then(|hop| {
                let port = hop.port_inside(self.containers).filter(|_| hop.to.as_ref() == Some(&self.part.name))?;
                self.modes.iter().position(|mode| mode.listen_port == port)
            });
            match next {
                Some(next) if next == start => return true,
                Some(next) => at = next,
                None => return false,
            }
        }
        false
    }

    /// The Host for which a listener of Caddy, which is this target, certainly sends the request to this mitmproxy again.
    fn comes_back_over_caddy(&self, hop: &Hop, target: &Target) -> Option<String> {
        let caddy = self.setup.caddies.iter().find(|caddy| hop.to.as_ref() == Some(&caddy.name))?;
        let config = self.caddies?.named(&caddy.name)?.config.as_ref().ok()?;
        let port = hop.port_inside(self.containers)?;
        let hosts: Vec<String> = match &self.seen.options {
            Ok(options) if options.keep_host_header => {
                let through = |path: &&path::Path| path.hops.iter().any(|at| self.paths.hops[*at].id() == hop.id());
                self.paths.paths.iter().filter(through).map(|path| path.host.clone()).collect()
            }
            Ok(_) => vec![target.host.clone()],
            Err(_) => return None,
        };
        let listens = |server: &crate::model::caddy::Server| {
            server.listen.iter().any(|address| path::listen_port(address) == Some(port))
        };
        let leads_here = |dial: &str| {
            let dial = Dial::read(dial);
            self.paths.hops.iter().any(|own| {
                own.from == caddy.name && Some(&own.dial) == dial.as_ref() && own.to.as_ref() == Some(&self.part.name)
            })
        };
        config.servers().iter().filter(|(_, server)| listens(server)).find_map(|(name, server)| {
            hosts.iter().find_map(|host| {
                let request = Request { host, path: Some("/"), method: None };
                match route::ends(name, server, &request).as_slice() {
                    [End { kind: EndKind::Proxy { handler, .. }, certain: true, .. }]
                        if handler.upstreams.iter().all(|own| leads_here(&own.dial)) =>
                    {
                        let dial = handler.upstreams.first()?.dial.clone();
                        Some(format!("{} sends the Host {host} to {dial}", caddy.name))
                    }
                    _ => None,
                }
            })
        })
    }

    fn without_scheme(&self, verdict: &mut Verdict, at: usize, mode: &Mode, target: &Target) {
        let name = &self.part.name;
        let Some(rest) = mode.spec.strip_prefix("reverse:").filter(|rest| !rest.contains("://")) else { return };
        let speaks = self.hop(target).and_then(|hop| self.connection(hop)).and_then(|own| own.speaks);
        let for_tls = target.port % 1000 == 443;
        let finding = match (self.seen.major_version(), speaks) {
            (Some(..=8), _) | (_, Some(Speaks::Tls)) => return,
            (None, _) => {
                let reason = format!(
                    "{name}'s mode {} means https from mitmproxy 9.0, and which version this is, is not known",
                    mode.spec
                );
                verdict.gaps.push(Gap::about([name], reason));
                return;
            }
            // Without a name in its greeting a server on such a port may just have hung up.
            (Some(_), _) if for_tls => return,
            (Some(_), Some(Speaks::NoTls)) => {
                let summary = format!(
                    "{name}'s mode {} names no scheme, which means https, and {rest} does not speak TLS",
                    mode.spec
                );
                Finding::fail([name], summary)
            }
            (Some(_), None) => {
                Finding::warn([name], format!("{name}'s mode {} names no scheme, which means https", mode.spec))
            }
        };
        let finding = finding.seen("mode", format!("{}, {}", mode.spec, self.how));
        let plain = Target { scheme: "http".to_owned(), ..target.clone() };
        let finding = finding.fix(self.aim(at, mode, Some(plain)));
        verdict.findings.push(match self.hop(target) {
            Some(hop) => finding.on(hop),
            None => finding,
        });
    }

    /// The one container on mitmproxy's networks that is no part and exposes a port: that port, or the only one it has. One that
    /// exposes none may be the backend as well, and what exposes the port of a database is none.
    fn only_backend(&self, port: Option<u16>) -> Option<Target> {
        let Place::Container(place) = &self.part.place else { return None };
        let networks: Vec<&str> = self.containers.named(place)?.networks.iter().map(|on| on.network.as_str()).collect();
        let mut found: Vec<(String, Vec<u16>)> = Vec::new();
        let mut exposes_none = false;
        let is_part =
            |name: &String| self.setup.part(name).is_some() || self.setup.others.iter().any(|other| other == name);
        for other in self.containers.0.iter().filter(|other| other.lives() && !is_part(&other.name)) {
            let is_own = self.containers.place_of(other) == self.part.place;
            let shared = |on: &&crate::model::docker::Attachment| {
                is_user_defined(&on.network) && networks.contains(&on.network.as_str())
            };
            let Some(on) = other.networks.iter().find(shared).filter(|_| !is_own) else { continue };
            let service = other.compose.as_ref().map(|compose| compose.service.clone());
            let name = service.filter(|service| on.answers_to(service)).unwrap_or_else(|| other.name.clone());
            let tcp = other.ports.iter().filter(|port| port.protocol == "tcp").map(|port| port.container_port);
            let mut ports: Vec<u16> = tcp.collect();
            ports.sort_unstable();
            ports.dedup();
            exposes_none |= ports.is_empty();
            if !ports.is_empty() && !ports.iter().any(|port| NOT_HTTP.contains(port)) {
                found.push((name, ports));
            }
        }
        let having: Vec<_> = found.iter().filter(|(_, ports)| port.is_some_and(|port| ports.contains(&port))).collect();
        let (host, port) = match (having.as_slice(), found.as_slice()) {
            ([(name, _)], _) => (name, port?),
            ([], [(name, ports)]) if ports.len() == 1 && !exposes_none => (name, ports[0]),
            _ => return None,
        };
        let scheme = if port % 1000 == 443 { "https" } else { "http" };
        Some(Target { scheme: scheme.to_owned(), host: host.clone(), port })
    }

    /// Sets the mode at `at` to a target; without one a person has to name it.
    fn aim(&self, at: usize, mode: &Mode, target: Option<Target>) -> Fix {
        let name = &self.part.name;
        let Some(target) = target else {
            let title = format!(
                "let the mode of {name} be reverse:, with the name and port of the backend inside the network (which one that is \
                 cannot be told: not exactly one other container on its networks exposes a port that may speak HTTP, or one \
                 exposes none)"
            );
            return Fix::new(title, Action::Manual);
        };
        let listen = mode.spec.rfind('@').map_or("", |at| &mode.spec[at..]);
        let address = text::join_port(&target.host, target.port);
        let spec = format!("reverse:{}://{address}{listen}", target.scheme);
        let title = format!("let {name} send requests to {}://{address}", target.scheme);
        let mut modes: Vec<String> = self.modes.iter().map(|mode| mode.spec.clone()).collect();
        modes[at] = spec;
        fix::set_modes(self.part, self.seen, title, &modes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Facts, Outlook, Severity, docker::Port, example, facts::Kind};

    fn judged(change: impl FnOnce(&mut Facts)) -> Verdict {
        let mut facts = example::healthy();
        facts.containers.as_mut().unwrap().0[2].ports =
            vec![Port { container_port: 3000, protocol: "tcp".into(), host_port: None, host_ip: String::new() }];
        change(&mut facts);
        (CHECK.run)(&Context::new(facts))
    }

    fn seen(facts: &mut Facts) -> &mut MitmproxySeen {
        &mut facts.mitmproxies.as_mut().unwrap().0[0]
    }

    fn with_modes(facts: &mut Facts, modes: &[&str]) {
        seen(facts).options.as_mut().unwrap().mode = modes.iter().map(|mode| (*mode).to_owned()).collect();
        seen(facts).servers = None;
    }

    fn connection(facts: &mut Facts, host: &str, answer: ConnectionAnswer, speaks: Option<Speaks>) {
        let seen = ConnectionSeen { host: host.into(), ip: None, port: 3000, answer, speaks, took_ms: 1 };
        facts.views.as_mut().unwrap().0[1].connections = vec![seen];
    }

    fn summary(verdict: &Verdict) -> &str {
        &verdict.findings[0].summary
    }

    #[test]
    fn a_reverse_mode_passes_by_its_options_and_by_its_command_line() {
        let verdict = judged(|_| {});
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
        assert_eq!(verdict.evidence[0].value, "reverse:http://backend:3000, by mitmweb's options");
        let verdict = judged(|facts| {
            seen(facts).options = Err(Missing::failed("", Kind::Unsupported, "mitmdump has no API"));
            seen(facts).command_line.interface = Interface::Mitmdump;
            seen(facts).servers = None;
        });
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
    }

    #[test]
    fn regular_mode_gets_the_only_backend_for_a_target() {
        let verdict = judged(|facts| with_modes(facts, &["regular"]));
        assert_eq!(
            summary(&verdict),
            "mitmproxy is in regular mode, so it sends what caddy passes on to whatever the Host names"
        );
        let finding = &verdict.findings[0];
        assert_eq!(finding.hop.as_deref(), Some("caddy -> mitmproxy:8080"));
        assert!(finding.fixes[0].action.commands()[0].contains(r#"{\"mode\": [\"reverse:http://backend:3000\"]}"#));
        assert_eq!(finding.fixes[0].edits[0].text, "--mode reverse:http://backend:3000");
        let verdict = judged(|facts| {
            with_modes(facts, &["regular"]);
            seen(facts).version = Some("8.1.1".into());
            let mut other = example::container("other", "app-net", "172.20.0.9");
            other.ports = facts.containers.as_ref().unwrap().0[2].ports.clone();
            facts.containers.as_mut().unwrap().0.push(other);
        });
        assert_eq!(verdict.findings[0].fixes[0].action, Action::Manual, "two could be it");
        let verdict = judged(|facts| with_modes(facts, &["local"]));
        assert_eq!(summary(&verdict), "mitmproxy is in local mode, which takes no requests from caddy");
    }

    #[test]
    fn a_database_is_no_backend_and_what_exposes_no_port_may_be_it() {
        let fix = |backend: Option<u16>, other: Option<u16>| {
            let ports = |port: Option<u16>| -> Vec<Port> {
                let port = port.map(|port| Port {
                    container_port: port,
                    protocol: "tcp".into(),
                    host_port: None,
                    host_ip: String::new(),
                });
                port.into_iter().collect()
            };
            let mut verdict = judged(|facts| {
                with_modes(facts, &["regular"]);
                let all = &mut facts.containers.as_mut().unwrap().0;
                all[2].ports = ports(backend);
                let mut db = example::container("db", "app-net", "172.20.0.9");
                db.ports = ports(other);
                all.push(db);
            });
            verdict.findings.remove(0).fixes.remove(0)
        };
        assert_eq!(fix(None, Some(5432)).action, Action::Manual);
        assert_eq!(fix(Some(3000), None).action, Action::Manual);
        assert_eq!(fix(None, Some(8000)).action, Action::Manual);
        assert_eq!(fix(Some(3000), Some(5432)).title, "let mitmproxy send requests to http://backend:3000");
    }

    #[test]
    fn a_mode_that_takes_no_requests_is_the_cause_whatever_port_is_dialled() {
        let socks = |facts: &mut Facts| {
            with_modes(facts, &["socks5"]);
            // Unless told otherwise it listens on 1080.
            seen(facts).servers = Some(Ok(vec![ModeServer {
                full_spec: "socks5".into(),
                is_running: true,
                last_exception: None,
                listen_addrs: vec![("0.0.0.0".into(), 1080)],
            }]));
        };
        let verdict = judged(socks);
        assert_eq!(summary(&verdict), "mitmproxy is in socks5 mode, which takes no requests from caddy");
        let mut facts = example::healthy();
        socks(&mut facts);
        let dial = crate::find("caddy-dial").unwrap();
        assert_eq!((dial.run)(&Context::new(facts)).worst(), None, "no other port would be better");
    }

    #[test]
    fn before_9_the_mode_is_one_string() {
        let verdict = judged(|facts| {
            with_modes(facts, &["regular"]);
            seen(facts).version = Some("8.1.1".into());
        });
        let command = &verdict.findings[0].fixes[0].action.commands()[0];
        assert!(command.contains(r#"{\"mode\": \"reverse:http://backend:3000\"}"#), "{command}");
    }

    #[test]
    fn a_regular_mode_that_nobody_dials_is_nobodys_business() {
        let verdict = judged(|facts| with_modes(facts, &["reverse:http://backend:3000", "regular@8888"]));
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
    }

    #[test]
    fn a_host_that_the_route_sets_makes_it_a_warning() {
        let config = |host: &str| {
            format!(
                r#"{{"apps":{{"http":{{"servers":{{"s":{{"listen":[":80"],"routes":[{{"handle":[{{"handler":"reverse_proxy",
                "headers":{{"request":{{"set":{{"Host":["{host}"]}}}}}},"upstreams":[{{"dial":"mitmproxy:8080"}}]}}]}}]}}}}}}}}}}"#
            )
        };
        let worst = |host: &str| {
            judged(|facts| {
                with_modes(facts, &["regular"]);
                facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config(host)).unwrap());
            })
            .worst()
        };
        assert_eq!(worst("backend:3000"), Some(Severity::Warn));
        assert_eq!(worst("{http.reverse_proxy.upstream.hostport}"), Some(Severity::Fail));
    }

    #[test]
    fn without_a_mode_on_the_command_line_a_config_file_may_have_one() {
        let verdict = judged(|facts| {
            seen(facts).options = Err(Missing::failed("GET /options", Kind::NeedsToken, "403"));
            seen(facts).command_line.modes.clear();
        });
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 1));
    }

    #[test]
    fn loopback_is_wrong_only_where_nothing_listens_and_nobody_lives_beside() {
        let at = |answer: ConnectionAnswer, sharing: bool| {
            judged(move |facts| {
                with_modes(facts, &["reverse:http://localhost:3000"]);
                connection(facts, "localhost", answer, None);
                if sharing {
                    facts.containers.as_mut().unwrap().0[2].network_mode = "container:mitmproxy".into();
                }
            })
        };
        let verdict = at(ConnectionAnswer::Refused, false);
        assert_eq!(
            summary(&verdict),
            "mitmproxy sends requests to localhost:3000, which is its own container, where nothing listens on that port"
        );
        assert_eq!(verdict.findings[0].fixes[0].title, "let mitmproxy send requests to http://backend:3000");
        assert_eq!(at(ConnectionAnswer::Accepted, false).worst(), None);
        assert_eq!(at(ConnectionAnswer::Refused, true).worst(), None);
    }

    #[test]
    fn its_own_port_is_a_loop_and_a_chain_is_none() {
        for mode in ["reverse:http://localhost:8080", "reverse:http://mitmproxy:8080"] {
            let verdict = judged(|facts| with_modes(facts, &[mode]));
            assert!(summary(&verdict).starts_with("mitmproxy sends requests back to itself"), "{mode}");
        }
        let chain = ["reverse:http://localhost:8082", "reverse:http://backend:3000@8082"];
        assert_eq!(judged(|facts| with_modes(facts, &chain)).worst(), None);
        let circle = ["reverse:http://localhost:8082", "reverse:http://localhost:8080@8082"];
        assert_eq!(judged(|facts| with_modes(facts, &circle)).findings.len(), 2);
    }

    #[test]
    fn caddy_is_a_loop_only_for_a_host_that_it_sends_here() {
        let verdict = judged(|facts| with_modes(facts, &["reverse:http://caddy:80"]));
        assert_eq!(summary(&verdict), "mitmproxy sends requests back to caddy, which sends them to mitmproxy again");
        assert_eq!(verdict.findings[0].evidence[2].value, "caddy sends the Host api.example.com to mitmproxy:8080");
        let other_host = judged(|facts| {
            with_modes(facts, &["reverse:http://caddy:80"]);
            seen(facts).options.as_mut().unwrap().keep_host_header = false;
        });
        assert_eq!(other_host.worst(), None);
    }

    #[test]
    fn no_scheme_means_https_from_9_on() {
        let at = |version: Option<&str>, speaks: Option<Speaks>| {
            judged(move |facts| {
                with_modes(facts, &["reverse:backend:3000"]);
                seen(facts).version = version.map(Into::into);
                connection(facts, "backend", ConnectionAnswer::Accepted, speaks);
            })
        };
        let verdict = at(Some("10.4.2"), Some(Speaks::NoTls));
        assert_eq!(
            summary(&verdict),
            "mitmproxy's mode reverse:backend:3000 names no scheme, which means https, and backend:3000 does not speak TLS"
        );
        assert_eq!(verdict.findings[0].fixes[0].edits[0].text, "--mode reverse:http://backend:3000");
        assert_eq!(at(Some("10.4.2"), None).worst(), Some(Severity::Warn));
        assert_eq!(at(Some("10.4.2"), Some(Speaks::Tls)).worst(), None);
        assert_eq!(at(Some("8.1.1"), Some(Speaks::NoTls)).worst(), None);
        assert_eq!((at(None, None).worst(), at(None, None).gaps.len()), (None, 1));
    }

    #[test]
    fn a_server_that_does_not_run_fails_with_its_reason() {
        let verdict = judged(|facts| {
            let Some(Ok(servers)) = &mut seen(facts).servers else { panic!() };
            servers[0].is_running = false;
            servers[0].last_exception = Some("[Errno 98] address already in use".into());
        });
        assert_eq!(
            summary(&verdict),
            "mitmproxy's mode reverse:http://backend:3000 is configured, and its server does not run"
        );
        assert_eq!(verdict.findings[0].evidence[0].value, "[Errno 98] address already in use");
        assert_eq!(verdict.findings[0].severity, Severity::Fail);
    }

    #[test]
    fn a_mode_of_any_form_is_said_to_be_unreadable_and_breaks_nothing() {
        for mode in [
            "reverse:",
            "reverse:@",
            "reverse:http://",
            "reverse:http://h:1/path",
            "reverse:tcp://h",
            "reverse:h:x@1",
            "reverse:$T",
        ] {
            let verdict = judged(|facts| with_modes(facts, &[mode]));
            assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 1), "{mode}: {verdict:?}");
        }
        for mode in ["", "@", ":", "regular@", "é", "wireguard:/x@y:z"] {
            judged(|facts| with_modes(facts, &[mode]));
        }
    }

    #[test]
    fn a_server_that_has_not_tried_to_listen_may_still_do_so() {
        let outlook = |exception: Option<&str>| {
            let verdict = judged(|facts| {
                let server = &mut seen(facts).servers.as_mut().unwrap().as_mut().unwrap()[0];
                (server.is_running, server.last_exception) = (false, exception.map(Into::into));
            });
            verdict.findings[0].outlook
        };
        assert_eq!(outlook(None), Outlook::MayHeal);
        assert_eq!(outlook(Some("[Errno 98] address already in use")), Outlook::Stays);
    }

    #[test]
    fn a_mode_that_is_wrong_stays_so() {
        let verdict = judged(|facts| with_modes(facts, &["regular"]));
        assert_eq!(verdict.findings[0].outlook, Outlook::Certain);
        let verdict = judged(|facts| with_modes(facts, &["reverse:http://localhost:8080"]));
        assert_eq!(
            summary(&verdict),
            "mitmproxy sends requests back to itself: its target localhost:8080 is its own port"
        );
        assert_eq!(verdict.findings[0].outlook, Outlook::Certain);
    }
}
