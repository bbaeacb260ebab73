use std::net::IpAddr;

use crate::model::{
    Action, Apply, Edit, Evidence, Finding, Fix, Gap, Hop, Missing, Paths, Place, Role, Setup, Verdict,
    docker::{Containers, EngineSeen, Networks, is_user_defined},
    facts::Attempt,
    fix::{self, Change},
    host::{Host, Listener},
    machine::Machine,
    names::{self, Meaning},
    path::HopKind,
    text,
    view::{ConnectionAnswer, NameAnswer, View, Views, Way},
};

check! {
    /// When a part dials the host, can it?
    ///
    /// ## What it looks at
    /// Every hop from a container to the machine that the engine runs on, by `host.docker.internal` (and the names that
    /// Podman, Colima and OrbStack have for it) or by a gateway's address. The name is resolved and the port is tried from
    /// inside that container, and compared with who listens on the host.
    ///
    /// ## Why it matters
    /// On Linux the name exists only where the container was given it. And a service that listens on 127.0.0.1 of the
    /// host is not reachable from any container.
    ///
    /// ## How to fix it
    /// Unknown name: `--add-host host.docker.internal:host-gateway` (compose: `extra_hosts`), which means making the container anew.
    /// Refused: let the service listen on 0.0.0.0, or on the gateway's address. A port that a container publishes on 127.0.0.1
    /// only: dial that container itself. With rootless Docker "the host" is the namespace of RootlessKit, and with Docker
    /// Desktop, OrbStack and Colima it may be their virtual machine: each has a name of its own for this machine. Timed out: a
    /// firewall of the host drops what comes from the container's network; the fix is the one rule that lets this port in.
    id: "host-docker-internal",
    group: Network,
    after: ["setup-found", "container-health", "caddy-admin"],
    needs: [Setup, Paths, Containers, Networks, Attempt<Views>, Attempt<Host>, Attempt<EngineSeen>],
    run: run,
}

fn run(
    setup: &Setup,
    paths: &Paths,
    containers: &Containers,
    networks: &Networks,
    views: Result<&Views, &Missing>,
    host: Result<&Host, &Missing>,
    engine: Result<&EngineSeen, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Caddy));
    let to_host = |hop: &&Hop| hop.meaning == Meaning::TheHost && matches!(hop.place, Place::Container(_));
    let hops: Vec<&Hop> = paths.relevant().filter(to_host).collect();
    verdict.gaps.extend(paths.gaps());
    if hops.is_empty() && verdict.gaps.is_empty() {
        return Verdict::not_applicable("no container dials the host");
    }
    for hop in &hops {
        if hop.is_planned(containers) {
            planned(&mut verdict, containers, host.ok(), engine.ok(), hop);
            continue;
        }
        match views.map(|views| views.from(&hop.place)) {
            Ok(Some(view)) => {
                let case = Case {
                    containers,
                    networks,
                    host: host.ok(),
                    machine: engine.ok().and_then(Machine::of),
                    hop,
                    view,
                };
                case.look(&mut verdict);
            }
            Ok(None) => verdict.gaps.push(Gap::on(hop, format!("nothing was seen from inside {}", hop.from))),
            Err(missing) => {
                verdict.gaps.push(Gap::on(hop, missing.to_string()).may_heal(missing.may_heal(true)));
            }
        }
    }
    verdict.summary = "every container that dials the host reaches it".to_owned();
    verdict
}

/// Before `up`: whether the name will be there follows from `extra_hosts` and the engine; the port is tried when it runs.
fn planned(
    verdict: &mut Verdict,
    containers: &Containers,
    host: Option<&Host>,
    engine: Option<&EngineSeen>,
    hop: &Hop,
) {
    let name = hop.dial.host.trim_end_matches('.');
    let Place::Container(place) = &hop.place else { return };
    let Some(own) = containers.named(place) else { return };
    let extra = own.detail.as_ref().map(|detail| detail.extra_hosts.as_slice()).unwrap_or_default();
    let is_given =
        extra.iter().filter_map(|entry| entry.split_once([':', '='])).any(|(own, _)| own.eq_ignore_ascii_case(name));
    let known = engine.and_then(|seen| seen.answer.as_ref().ok()).and_then(|engine| {
        let info = engine.info.as_ref()?.as_ref().ok()?;
        Some((engine.name.as_str(), info.operating_system.as_str()))
    });
    // Docker Desktop, Colima, OrbStack and Podman have names of the host's by themselves.
    let endpoint = engine.map(|seen| seen.endpoint.as_str()).unwrap_or_default();
    let in_machine = ["colima", "lima", "/.rd/", "orbstack", "desktop"].iter().any(|word| endpoint.contains(word));
    let gives_none = known.is_some_and(|(engine, system)| engine == "docker" && !system.contains("Desktop"))
        && !in_machine
        && host.is_some_and(|host| host.os == "linux" && host.inside.is_none());
    let listeners = host.and_then(|host| host.listeners.as_ref().ok());
    let listener = listeners.and_then(|all| all.iter().find(|own| Some(own.port) == hop.dial.port)).map(who_listens);
    let listens = listener.map_or_else(
        || "whether it accepts is tried when it runs".to_owned(),
        |own| format!("now {own} listens on that port of this machine"),
    );
    match (is_given || name.parse::<IpAddr>().is_ok(), known.is_some()) {
        (true, _) => verdict.evidence.push(Evidence::new(hop.id(), format!("goes to the host; {listens}"))),
        (false, false) => verdict.gaps.push(Gap::on(
            hop,
            format!("whether {name} will be known inside {place} depends on the engine, which is not known"),
        )),
        (false, true) if gives_none => {
            verdict.findings.push(unknown_name(containers, hop, &View::planned(&hop.place), "on Linux Docker"));
        }
        (false, true) => {
            let value = format!("this kind of engine has the name {name} by itself; {listens}");
            verdict.evidence.push(Evidence::new(hop.id(), value));
        }
    }
}

/// A hop to the host, as its place sees it.
struct Case<'c> {
    containers: &'c Containers,
    networks: &'c Networks,
    host: Option<&'c Host>,
    machine: Option<Machine>,
    hop: &'c Hop,
    view: &'c View,
}

impl Case<'_> {
    fn look(&self, verdict: &mut Verdict) {
        let (hop, view) = (self.hop, self.view);
        let name = &hop.dial.host;
        let ip = match view.name(name).map(|seen| (&seen.answer, &seen.server)) {
            Some((NameAnswer::NoSuchName, server)) => {
                verdict.findings.push(unknown_name(self.containers, hop, view, server));
                return;
            }
            Some((NameAnswer::Failed(why), server)) => {
                verdict
                    .gaps
                    .push(Gap::on(hop, format!("{server} did not say from inside {} what {name} is: {why}", hop.from)));
                return;
            }
            Some((NameAnswer::Addresses(ips), _)) => ips.first().copied(),
            None => name.parse().ok(),
        };
        let Some(port) = hop.dial.port else { return };
        match view.connection(name, port).map(|seen| &seen.answer) {
            Some(ConnectionAnswer::Accepted) => {
                let at = ip.map(|ip| format!("{ip}, ")).unwrap_or_default();
                let who = self.at_port(port).first().map(|own| format!(", {}", who_listens(own))).unwrap_or_default();
                verdict.evidence.push(Evidence::new(hop.id(), format!("{at}accepts{who} ({})", view.way)));
            }
            Some(ConnectionAnswer::Refused) => verdict.findings.push(self.refused(ip, port)),
            Some(ConnectionAnswer::TimedOut) => verdict.findings.push(self.timed_out(ip, port)),
            Some(ConnectionAnswer::Failed(why)) => {
                verdict.findings.push(
                    Finding::fail([&hop.from], format!("{} cannot reach port {port} of the host: {why}", hop.from))
                        .on(hop),
                );
            }
            None => verdict.gaps.push(Gap::on(
                hop,
                format!("whether {} accepts was not tried from inside {} ({})", hop.dial, hop.from, view.way),
            )),
        }
    }

    fn listeners(&self) -> Option<&[Listener]> {
        self.host.and_then(|host| host.listeners.as_ref().ok()).map(Vec::as_slice)
    }

    fn at_port(&self, port: u16) -> Vec<&Listener> {
        self.listeners().unwrap_or_default().iter().filter(|own| own.port == port).collect()
    }

    fn refused(&self, ip: Option<IpAddr>, port: u16) -> Finding {
        let (hop, from) = (self.hop, &self.hop.from);
        let gateway = ip.map_or_else(|| "the host".to_owned(), |ip| ip.to_string());
        let answer = format!("{gateway}:{port} refuses the connection ({})", self.view.way);
        let at_port = self.at_port(port);
        if let Some(finding) = self.published_on_loopback(&gateway, port) {
            return finding.seen("answer", answer);
        }
        if let Some(finding) = self.another_machine(&at_port, port) {
            return finding.seen("answer", answer);
        }
        if at_port.iter().any(|own| own.ip.is_unspecified() || Some(own.ip) == ip) {
            let summary = format!("a firewall of the host refuses what {from} sends to port {port}");
            let finding = Finding::fail([from.clone(), format!("port {port}")], summary)
                .on(hop)
                .seen("answer", answer)
                .seen("listener", at_port.iter().map(|own| who_listens(own)).collect::<Vec<_>>().join("; "));
            return finding.fix(
                self.let_in(ip, port)
                    .unwrap_or_else(|| Fix::new(format!("let port {port} in from {from}'s network"), Action::Manual)),
            );
        }
        let summary = match at_port.as_slice() {
            [] if self.listeners().is_some() => {
                format!("nothing listens on port {port} of the host, which {from} dials")
            }
            [] => format!("the host refuses port {port}, which {from} dials"),
            [own, ..] => {
                let what = own
                    .owner
                    .as_ref()
                    .map_or_else(|| "the service".to_owned(), |owner| format!("{} (pid {})", owner.name, owner.pid));
                format!("{what} listens on {} only, so {from} cannot reach it at {gateway}:{port}", own.ip)
            }
        };
        // A service of the host may come up at any time. What Caddy dials is meant to be a mitmproxy: where one is at another
        // port already, only a container that would publish this one brings it.
        let may_come = hop.kind == HopKind::Target || hop.to_mitmproxy || self.containers.may_publish(port);
        let mut finding = Finding::fail([from.clone(), format!("port {port}")], summary)
            .on(hop)
            .may_heal(at_port.is_empty() && may_come)
            .seen("dial", hop.dial.to_string())
            .seen("answer", answer);
        for own in &at_port {
            finding = finding.seen("listener", who_listens(own));
        }
        let title = match at_port.as_slice() {
            [] => format!("start the service on port {port} of the host, listening on 0.0.0.0 or {gateway}"),
            _ => format!("let the service listen on 0.0.0.0 or {gateway}, not on {} alone", at_port[0].ip),
        };
        finding.fix(Fix::new(title, Action::Manual))
    }

    /// A container that publishes the port on the host's loopback: the engine listens there for it.
    fn published_on_loopback(&self, gateway: &str, port: u16) -> Option<Finding> {
        let (hop, from) = (self.hop, &self.hop.from);
        let (owner, inside) = self.containers.publishing(port)?;
        let mut on = owner.ports.iter().filter(|own| own.host_port == Some(port) && own.protocol == "tcp");
        let is_loopback = |ip: &str| ip.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let ip =
            on.clone().next().map(|own| own.host_ip.as_str()).filter(|_| on.all(|own| is_loopback(&own.host_ip)))?;
        let name = &owner.name;
        let Place::Container(place) = &hop.place else { return None };
        let own = self.containers.named(place)?;
        let summary =
            format!("{name} publishes port {port} on {ip} only, so {from} cannot reach it at {gateway}:{port}");
        let finding = Finding::fail([from.clone(), format!("port {port}")], summary)
            .on(hop)
            .seen("dial", hop.dial.to_string())
            .seen(format!("port {inside} of {name}"), format!("published at {}", text::join_port(ip, port)));
        let inner = text::join_port(name, inside);
        let shared = own.networks.iter().find(|on| is_user_defined(&on.network) && owner.on(&on.network).is_some());
        let joins = owner.networks.iter().find(|on| is_user_defined(&on.network)).filter(|_| !own.networks.is_empty());
        let dial = match (shared, joins) {
            (Some(on), _) => Fix::new(format!("dial {inner}: {from} is on {} as well", on.network), Action::Manual),
            (None, Some(on)) => Fix::new(
                format!("connect {place} to {name}'s network, and then dial {inner}"),
                Action::Connect { network: on.network.clone(), container: place.clone(), aliases: Vec::new() },
            ),
            (None, None) => {
                Fix::new(format!("put {place} and {name} on one network, and dial {inner}"), Action::Manual)
            }
        };
        let at = if gateway == "the host" { "" } else { gateway };
        let text =
            format!("ports: [\"{}{port}:{inside}\"]\n", if at.is_empty() { String::new() } else { format!("{at}:") });
        let publish = Fix::new(format!("publish port {inside} of {name} where {from} looks for it"), Action::Manual)
            .edit(Edit { file: format!("compose.yml, service of {name}"), language: "yaml", text });
        Some(finding.fix(dial).fix(publish))
    }

    /// A service of this machine that a container looks for on another one, or in another namespace.
    fn another_machine(&self, at_port: &[&Listener], port: u16) -> Option<Finding> {
        let (machine, hop, from) = (self.machine?, self.hop, &self.hop.from);
        let Place::Container(place) = &hop.place else { return None };
        let own = self.containers.named(place).and_then(|own| own.detail.as_deref());
        let name = hop.dial.host.trim_end_matches('.');
        let entry = own.and_then(|own| names::extra_host(&own.extra_hosts, name));
        let is_built_in = names::is_host_alias(name) && entry.is_none();
        // A built-in name leads to this machine itself, its loopback included.
        if at_port.is_empty() || machine.is_virtual() && is_built_in {
            return None;
        }
        let summary = format!(
            "{from} looks for port {port} in {}, which it takes for the host, and the service is on this machine",
            machine.host()
        );
        let mut finding = Finding::fail([from.clone(), format!("port {port}")], summary)
            .on(hop)
            .seen("dial", hop.dial.to_string())
            .seen("listener", at_port.iter().map(|own| who_listens(own)).collect::<Vec<_>>().join("; "));
        if let Some(entry) = entry {
            finding = finding.seen(format!("{from}'s extra hosts"), format!("{name} is {entry}"));
        }
        Some(match (machine.own_name(), entry) {
            (Some(own), Some(_)) if own == name => finding.fix(Fix::new(
                format!("take the line for {name} out of {place}'s extra_hosts: the engine has that name by itself"),
                Action::Manual,
            )),
            (Some(own), _) => finding.fix(Fix::new(
                format!("dial {}, without a line for it in extra_hosts", text::join_port(own, port)),
                Action::Manual,
            )),
            (None, _) => finding.fix(
                Fix::new(
                    format!(
                        "let containers reach this machine's loopback, restart Docker (systemctl --user daemon-reload, \
                         systemctl --user restart docker), and make {place} anew with {} for {LOOPBACK_OF_ROOTLESS}",
                        if names::is_host_alias(name) { name } else { "host.docker.internal" }
                    ),
                    Action::Manual,
                )
                .edit(Edit {
                    file: "~/.config/systemd/user/docker.service.d/override.conf".to_owned(),
                    language: "ini",
                    text: "[Service]\nEnvironment=\"DOCKERD_ROOTLESS_ROOTLESSKIT_DISABLE_HOST_LOOPBACK=false\"\n"
                        .to_owned(),
                })
                .edit(Edit {
                    file: "~/.config/docker/daemon.json".to_owned(),
                    language: "json",
                    text: format!("{{\"host-gateway-ip\": \"{LOOPBACK_OF_ROOTLESS}\"}}\n"),
                }),
            ),
        })
    }

    fn timed_out(&self, ip: Option<IpAddr>, port: u16) -> Finding {
        let (hop, from) = (self.hop, &self.hop.from);
        let address = ip.map_or_else(|| hop.dial.host.clone(), |ip| ip.to_string());
        let answer = format!("{address}:{port} gives no answer ({})", self.view.way);
        let at_port = self.at_port(port);
        if let Some(finding) = self.another_machine(&at_port, port) {
            return finding.seen("answer", answer);
        }
        let mut finding = Finding::fail(
            [from.clone(), format!("port {port}")],
            format!("a firewall of the host drops what {from} sends to port {port}"),
        )
        .on(hop)
        .seen("dial", hop.dial.to_string())
        .seen("answer", answer);
        if let Some(own) = at_port.first() {
            finding = finding.seen("listener", who_listens(own));
        }
        match self.let_in(ip, port) {
            Some(fix) => finding.fix(fix),
            None => finding,
        }
    }

    /// The rule that lets the port in, where the interface is this machine's.
    fn let_in(&self, ip: Option<IpAddr>, port: u16) -> Option<Fix> {
        let Place::Container(place) = &self.hop.place else { return None };
        let interface = self
            .containers
            .named(place)
            .and_then(|own| {
                own.networks.iter().find(|on| on.gateway.is_some() && on.gateway == ip).or(own.networks.first())
            })
            .and_then(|attached| self.networks.named(&attached.network))
            .map(|network| network.interface.clone())
            .filter(|interface| !interface.is_empty());
        let host = self.host.filter(|host| host.os == "linux" && host.listeners.is_ok())?;
        let interface = interface.filter(|_| self.machine.is_none())?;
        let sudo = if host.root { "" } else { "sudo " };
        Some(Fix::new(
            format!(
                "let port {port} in from {}'s network ({interface}); with ufw: ufw allow in on {interface} to any port {port} \
                 proto tcp; with firewalld: firewall-cmd --zone=docker --add-port={port}/tcp",
                self.hop.from
            ),
            Action::Command {
                command: format!("{sudo}iptables -I INPUT -i {interface} -p tcp --dport {port} -j ACCEPT"),
                apply: Apply::Disruptive,
            },
        ))
    }
}

/// Where slirp4netns, which RootlessKit uses, has this machine's loopback.
const LOOPBACK_OF_ROOTLESS: &str = "10.0.2.2";

/// `0.0.0.0:3000, by nginx (pid 99)`
fn who_listens(listener: &Listener) -> String {
    let at = text::join_port(&listener.ip.to_string(), listener.port);
    match &listener.owner {
        Some(owner) => format!("{at}, by {} (pid {})", owner.name, owner.pid),
        None => at,
    }
}

fn unknown_name(containers: &Containers, hop: &Hop, view: &View, server: &str) -> Finding {
    let (from, name) = (&hop.from, &hop.dial.host);
    let will = if view.way == Way::Planned { "will not be" } else { "is not" };
    let mut finding = Finding::fail([from], format!("{name} {will} known inside {from}"))
        .on(hop)
        .seen("dial", hop.dial.to_string())
        .seen("answer", format!("{server} knows no such name ({})", view.way));
    let Place::Container(place) = &hop.place else { return finding };
    if let Some(container) = containers.named(place) {
        let extra =
            container.detail.as_ref().map(|detail| detail.extra_hosts.join(", ")).filter(|extra| !extra.is_empty());
        finding = finding.seen(format!("{from}'s extra hosts"), extra.unwrap_or_else(|| "none".to_owned()));
        let entry = format!("{name}:host-gateway");
        let line = format!("extra_hosts: [\"{entry}\"]");
        let title = format!("make {place} anew with {name} for the host");
        let sharing: Vec<&str> = containers
            .0
            .iter()
            .filter(|other| other.name != *place && containers.place_of(other) == hop.place)
            .map(|other| other.name.as_str())
            .collect();
        finding = finding.fix(match sharing.as_slice() {
            [] => fix::recreate(container, title, Change::AddHost { entry }, &[&line]),
            sharing => Fix::new(
                format!("{title} (--add-host {entry}), and after it {}, which shares its network", text::list(sharing)),
                Action::Manual,
            ),
        });
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Context, Facts, Outlook,
        docker::{EngineInfo, Port},
        example,
        view::{ConnectionSeen, NameSeen},
    };

    fn dialling_the_host(answer: NameAnswer, connection: Option<ConnectionAnswer>, listener: Option<&str>) -> Verdict {
        dialling(answer, connection, listener, |_| {})
    }

    fn dialling(
        answer: NameAnswer,
        connection: Option<ConnectionAnswer>,
        listener: Option<&str>,
        change: impl FnOnce(&mut Facts),
    ) -> Verdict {
        let mut facts: Facts = example::healthy();
        let name = "host.docker.internal".to_owned();
        let mitmproxy = &mut facts.mitmproxies.as_mut().unwrap().0[0];
        mitmproxy.options.as_mut().unwrap().mode = vec![format!("reverse:http://{name}:3000")];
        let view = &mut facts.views.as_mut().unwrap().0[1];
        view.names =
            vec![NameSeen { name: name.clone(), server: "127.0.0.11".into(), answer, disagrees: None, took_ms: 1 }];
        let seen = |answer| ConnectionSeen { host: name, ip: None, port: 3000, answer, speaks: None, took_ms: 1 };
        view.connections = connection.map(seen).into_iter().collect();
        let listens = |ip| Listener { ip: example::ip(ip), port: 3000, uid: None, owner: None };
        facts.host.as_mut().unwrap().listeners = Ok(listener.map(listens).into_iter().collect());
        change(&mut facts);
        (CHECK.run)(&Context::new(facts))
    }

    fn gateway() -> NameAnswer {
        NameAnswer::Addresses(vec![example::ip("172.17.0.1")])
    }

    #[test]
    fn nobody_dials_the_host() {
        assert!((CHECK.run)(&Context::new(example::healthy())).not_applicable.is_some());
    }

    #[test]
    fn an_accepted_connection_passes() {
        let verdict = dialling_the_host(gateway(), Some(ConnectionAnswer::Accepted), Some("0.0.0.0"));
        assert_eq!(verdict.worst(), None);
        assert!(verdict.evidence[0].value.starts_with("172.17.0.1, accepts"), "{:?}", verdict.evidence);
    }

    #[test]
    fn an_unknown_name_is_given_to_the_container() {
        let finding = dialling_the_host(NameAnswer::NoSuchName, None, None).findings.remove(0);
        assert_eq!(finding.summary, "host.docker.internal is not known inside mitmproxy");
        let commands = finding.fixes[0].action.commands().join("\n");
        assert!(commands.contains("--add-host host.docker.internal:host-gateway"), "{commands}");
    }

    #[test]
    fn a_loopback_listener_is_named() {
        let finding =
            dialling_the_host(gateway(), Some(ConnectionAnswer::Refused), Some("127.0.0.1")).findings.remove(0);
        assert_eq!(
            finding.summary,
            "the service listens on 127.0.0.1 only, so mitmproxy cannot reach it at 172.17.0.1:3000"
        );
        let finding = dialling_the_host(gateway(), Some(ConnectionAnswer::Refused), None).findings.remove(0);
        assert_eq!(finding.summary, "nothing listens on port 3000 of the host, which mitmproxy dials");
    }

    #[test]
    fn a_port_that_a_container_publishes_on_loopback_is_dialled_inside() {
        let finding = |network: &'static str| {
            let publishes = |facts: &mut Facts| {
                let backend = &mut facts.containers.as_mut().unwrap().0[2];
                backend.networks[0].network = network.into();
                let host_ip = "127.0.0.1".to_owned();
                backend.ports =
                    vec![Port { container_port: 80, protocol: "tcp".into(), host_port: Some(3000), host_ip }];
            };
            dialling(gateway(), Some(ConnectionAnswer::Refused), Some("127.0.0.1"), publishes).findings.remove(0)
        };
        let shared = finding("app-net");
        let summary = "backend publishes port 3000 on 127.0.0.1 only, so mitmproxy cannot reach it at 172.17.0.1:3000";
        assert_eq!(shared.summary, summary);
        assert_eq!(shared.fixes[0].title, "dial backend:80: mitmproxy is on app-net as well");
        assert_eq!(shared.fixes[1].edits[0].text, "ports: [\"172.17.0.1:3000:80\"]\n");
        let apart = finding("shop-net");
        assert_eq!(apart.fixes[0].action.commands(), ["docker network connect shop-net mitmproxy"]);
    }

    #[test]
    fn what_a_container_takes_for_the_host_may_be_another_machine() {
        let on = |rootless: bool, system: &'static str, endpoint: &'static str, extra: &'static [&'static str]| {
            let change = move |facts: &mut Facts| {
                let engine = facts.engine.as_mut().unwrap();
                engine.endpoint = endpoint.into();
                let info = EngineInfo { operating_system: system.into(), rootless, ..EngineInfo::default() };
                engine.answer.as_mut().unwrap().info = Some(Ok(info));
                let detail = facts.containers.as_mut().unwrap().0[1].detail.as_mut().unwrap();
                detail.extra_hosts = extra.iter().map(|entry| (*entry).to_owned()).collect();
            };
            dialling(gateway(), Some(ConnectionAnswer::Refused), Some("0.0.0.0"), change).findings.remove(0)
        };
        let given = &["host.docker.internal:host-gateway"];
        let socket = "unix:///run/user/1000/docker.sock";
        let rootless = on(true, "Debian GNU/Linux 12", socket, given);
        let summary = "mitmproxy looks for port 3000 in the network namespace of RootlessKit, which it takes for the host, and \
                       the service is on this machine";
        assert_eq!(rootless.summary, summary);
        assert!(rootless.fixes[0].edits[0].text.contains("ROOTLESSKIT_DISABLE_HOST_LOOPBACK=false"));
        assert_eq!(rootless.fixes[0].edits[1].text, "{\"host-gateway-ip\": \"10.0.2.2\"}\n");
        let desktop = on(false, "Docker Desktop", "unix:///home/ann/.docker/desktop/docker.sock", given);
        let title =
            "take the line for host.docker.internal out of mitmproxy's extra_hosts: the engine has that name by itself";
        assert_eq!(desktop.fixes[0].title, title);
        let colima = on(false, "Ubuntu 24.04 LTS", "unix:///home/ann/.colima/default/docker.sock", given);
        assert!(colima.summary.contains("in the virtual machine of Colima"), "{}", colima.summary);
        assert_eq!(colima.fixes[0].title, "dial host.lima.internal:3000, without a line for it in extra_hosts");
        let system = on(false, "Debian GNU/Linux 12", "unix:///var/run/docker.sock", given);
        assert_eq!(system.summary, "a firewall of the host refuses what mitmproxy sends to port 3000");
        assert!(system.fixes[0].title.contains("firewall-cmd"), "{}", system.fixes[0].title);
    }

    #[test]
    fn a_firewall_gets_the_exact_rule() {
        let finding =
            dialling_the_host(gateway(), Some(ConnectionAnswer::TimedOut), Some("0.0.0.0")).findings.remove(0);
        assert_eq!(
            finding.fixes[0].action.commands(),
            ["iptables -I INPUT -i br-app-net -p tcp --dport 3000 -j ACCEPT"]
        );
    }

    #[test]
    fn a_service_of_the_host_may_come_up_and_one_on_loopback_does_not_move() {
        let outlook =
            |answer, listener| dialling_the_host(gateway(), Some(answer), listener).findings.remove(0).outlook;
        assert_eq!(outlook(ConnectionAnswer::Refused, None), Outlook::MayHeal);
        assert_eq!(outlook(ConnectionAnswer::Refused, Some("127.0.0.1")), Outlook::Stays);
        assert_eq!(outlook(ConnectionAnswer::Refused, Some("0.0.0.0")), Outlook::Stays, "a firewall");
        assert_eq!(outlook(ConnectionAnswer::TimedOut, None), Outlook::Stays, "a firewall");
        let unknown = dialling_the_host(NameAnswer::NoSuchName, None, None).findings.remove(0);
        assert_eq!(unknown.outlook, Outlook::Stays);
    }

    #[test]
    fn a_dial_of_the_host_waits_for_a_container_that_would_publish_it() {
        let outlook = |status: &str, published: u16| {
            let mut facts: Facts = example::healthy();
            let config = r#"{"apps":{"http":{"servers":{"srv0":{"listen":[":80"],"routes":[{"handle":[
                {"handler":"reverse_proxy","upstreams":[{"dial":"host.docker.internal:8082"}]}]}]}}}}}"#;
            facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(config).unwrap());
            let mitmproxy = &mut facts.containers.as_mut().unwrap().0[1];
            mitmproxy.status = status.into();
            mitmproxy.ports = vec![Port {
                container_port: 8080,
                protocol: "tcp".into(),
                host_port: Some(published),
                host_ip: String::new(),
            }];
            let name = "host.docker.internal".to_owned();
            let view = &mut facts.views.as_mut().unwrap().0[0];
            view.names = vec![NameSeen {
                name: name.clone(),
                server: "127.0.0.11".into(),
                answer: gateway(),
                disagrees: None,
                took_ms: 1,
            }];
            let answer = ConnectionAnswer::Refused;
            view.connections =
                vec![ConnectionSeen { host: name, ip: None, port: 8082, answer, speaks: None, took_ms: 1 }];
            (CHECK.run)(&Context::new(facts)).findings.pop().map(|finding| finding.outlook)
        };
        assert_eq!(outlook("created", 8082), Some(Outlook::MayHeal));
        assert_eq!(outlook("exited", 8082), Some(Outlook::Stays));
    }
}
