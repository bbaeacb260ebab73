use std::net::IpAddr;

use crate::model::{
    Action, Apply, Evidence, Finding, Fix, Hop, Missing, Paths, Place, Setup, Verdict,
    caddy::Caddies,
    docker::{Container, Containers, Port, Program},
    facts::Attempt,
    fix::{self, Change, Edit},
    host::{Host, Listener},
    mitmproxy::{CommandLine, Mitmproxies, Mode},
    path::HopKind,
    text,
};

check! {
    /// Is a host port that the setup wants held by something else?
    ///
    /// ## What it looks at
    /// The ports that every part wants to publish (`HostConfig.PortBindings`, so those of created and exited
    /// containers count), and what mitmproxy and Caddy on the host's network want to listen on. They are compared with what
    /// other containers publish and with the listeners of this machine (`/proc/net/tcp`), which are named with their process
    /// where this user may see it. UDP ports (HTTP/3) only where the engine says that it could not have one: listeners are
    /// read of TCP. And whether the engine or the program may not have a port below 1024 at all.
    ///
    /// With `--compose FILE` the ports come from the file, before `up`; what the same project holds now is no conflict then.
    ///
    /// A port that the setup's own container holds is no conflict, and neither are 0.0.0.0 and [::] of one publish.
    ///
    /// ## Why it matters
    /// A container whose port is taken stays in the state `created`, and its name does not resolve: what shows is a 502.
    ///
    /// ## How to fix it
    /// Stop the one that holds the port, or publish on another port. With another port every dial that goes over the old
    /// one has to change as well; the fix names them. A port below 1024 is root's: publish on a higher one, or let the kernel
    /// give it to everybody.
    id: "port-conflict",
    group: Ports,
    after: ["docker-engine"],
    needs: [Setup, Containers, Attempt<Host>, Attempt<Paths>, Attempt<Caddies>, Attempt<Mitmproxies>],
    run: run,
}

fn run(
    setup: &Setup,
    containers: &Containers,
    host: Result<&Host, &Missing>,
    paths: Result<&Paths, &Missing>,
    caddies: Result<&Caddies, &Missing>,
    mitmproxies: Result<&Mitmproxies, &Missing>,
) -> Verdict {
    let listeners = host.and_then(|host| host.listeners.as_ref());
    let mut verdict = Verdict::default();
    let cases = Cases {
        containers,
        host: host.ok(),
        listeners: listeners.ok(),
        paths: paths.ok(),
        caddies: caddies.ok(),
        mitmproxies: mitmproxies.ok(),
    };
    let mut wanted = 0;
    for container in Paths::containers(paths.ok(), setup, containers) {
        let wants = cases.wants(container);
        wanted += wants.len();
        let wants_none = wants.is_empty();
        if container.runs() || container.status == "paused" {
            continue; // it holds its own ports
        }
        let held: Vec<(Port, Holder)> =
            wants.into_iter().filter_map(|want| cases.holder(container, &want).map(|holder| (want, holder))).collect();
        if let Some(finding) = cases.forbidden(container) {
            verdict.findings.push(finding);
        } else if !held.is_empty() {
            verdict.findings.push(cases.conflict(container, &held));
        } else if let (Err(missing), false) = (listeners, wants_none) {
            let reason = format!("who holds its port is not known: {missing}");
            verdict.gaps.push(crate::model::Gap::about([&container.name], reason));
        }
    }
    if wanted == 0 && verdict.findings.is_empty() {
        return Verdict::not_applicable("no part publishes a port or listens on the host's network");
    }
    verdict.summary = format!("the {wanted} host ports that the setup wants are its own or free");
    if wanted == 1 {
        verdict.summary = "the one host port that the setup wants is its own or free".to_owned();
    }
    verdict.evidence.push(Evidence::new("ports wanted", wanted.to_string()));
    verdict
}

struct Cases<'c> {
    containers: &'c Containers,
    host: Option<&'c Host>,
    listeners: Option<&'c Vec<Listener>>,
    paths: Option<&'c Paths>,
    caddies: Option<&'c Caddies>,
    mitmproxies: Option<&'c Mitmproxies>,
}

impl Cases<'_> {
    /// The ports of the host that a container wants: of TCP, and of UDP those of which the engine spoke.
    fn wants(&self, container: &Container) -> Vec<Port> {
        if self.containers.place_of(container) == Place::Host {
            return match &container.program {
                Some(Program::Mitmproxy(line)) => on_host_network(line),
                Some(Program::Caddy) => self.wants_of_caddy(container),
                None => Vec::new(),
            };
        }
        let error = container.detail.as_ref().map(|detail| detail.error.as_str()).unwrap_or_default();
        let is_said = |port: &Port| {
            let number = port.host_port.unwrap_or_default();
            let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit());
            error.contains("already") && error.split(&format!(":{number}")).skip(1).any(is_whole)
        };
        let is_wanted = |port: &&Port| port.host_port.is_some() && (port.protocol == "tcp" || is_said(port));
        let mut ports: Vec<Port> = container.ports.iter().filter(is_wanted).cloned().collect();
        ports.dedup_by(|a, b| a.host_port == b.host_port && a.protocol == b.protocol);
        ports
    }

    /// Caddys take a port together (`SO_REUSEPORT`), so a conflict cannot be told from the numbers alone.
    fn wants_of_caddy(&self, container: &Container) -> Vec<Port> {
        let config = self.caddies.and_then(|all| all.named(&container.name)).and_then(|seen| seen.config.as_ref().ok());
        container.wanted_by_caddy(config).into_iter().map(|port| want(port, None)).collect()
    }

    fn holder(&self, own: &Container, want: &Port) -> Option<Holder> {
        let port = want.host_port?;
        // One that is paused keeps what it has.
        let others = self.containers.0.iter().filter(|other| other.lives() || other.status == "paused");
        for other in others.filter(|other| other.name != own.name) {
            if let Some(theirs) = other.ports.iter().find(|theirs| {
                theirs.host_port == Some(port)
                    && theirs.protocol == want.protocol
                    && overlap(&theirs.host_ip, &want.host_ip)
            }) {
                return Some(Holder::Container { name: other.name.clone(), port: theirs.container_port });
            }
        }
        if want.protocol != "tcp" {
            let error = &own.detail.as_deref()?.error;
            let is_said =
                error.contains("listen udp") && text::refused_port(error, "address already in use") == Some(port);
            return is_said.then_some(Holder::Udp(port));
        }
        // Two Caddys would share it.
        let shares = |listener: &&Listener| {
            own.program == Some(Program::Caddy)
                && own.is_planned()
                && listener.owner.as_ref().is_some_and(|owner| owner.name == "caddy")
        };
        let mut at_port = self.listeners?.iter().filter(|listener| listener.port == port);
        let taken = at_port.find(|own| overlap(&own.ip.to_string(), &want.host_ip) && !shares(own))?;
        Some(Holder::Listener(taken.clone()))
    }

    /// A port below 1024 that the engine or the program itself may not have: nobody holds it.
    fn forbidden(&self, container: &Container) -> Option<Finding> {
        let detail = container.detail.as_deref()?;
        let of = |text: &str| {
            let privileged = text.split_once("cannot expose privileged port ").map(|(_, rest)| rest);
            let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
            privileged.and_then(number).or_else(|| text::refused_port(text, "permission denied"))
        };
        let log = detail.log.as_ref().and_then(|log| log.as_ref().ok()).into_iter().flatten();
        let (who, said, port) = match of(&detail.error) {
            Some(port) => ("the engine", detail.error.as_str(), port),
            None => {
                let (line, port) = log.map(String::as_str).find_map(|line| Some((line, of(line)?)))?;
                (container.name.as_str(), line, port)
            }
        };
        // Inside its own namespace a container's program is not refused for the sake of the host.
        if port >= 1024 || who != "the engine" && self.containers.place_of(container) != Place::Host {
            return None;
        }
        let name = &container.name;
        let summary =
            format!("{who} may not have port {port} of the host, which {name} wants: below 1024 they are root's");
        let summary = if who == name { summary.replace(&format!(", which {name} wants"), "") } else { summary };
        let mut finding =
            Finding::fail([name.clone(), format!("port {port}")], summary).seen(format!("{who} said"), said);
        let wanted: Vec<Port> = container.ports.iter().filter(|own| own.host_port == Some(port)).cloned().collect();
        let moved = if wanted.is_empty() { None } else { self.publish_elsewhere(container, &wanted) };
        let kernel = Action::Command {
            command: format!("sudo sysctl -w net.ipv4.ip_unprivileged_port_start={port}"),
            apply: Apply::Manual,
        };
        let kernel =
            Fix::new(format!("let every user of this machine have port {port} and above"), kernel).edit(Edit {
                file: "/etc/sysctl.d/90-ports.conf".to_owned(),
                language: "ini",
                text: format!("net.ipv4.ip_unprivileged_port_start={port}\n"),
            });
        finding.fixes.extend(moved.into_iter().chain([kernel]));
        Some(finding)
    }

    fn conflict(&self, container: &Container, held: &[(Port, Holder)]) -> Finding {
        let name = &container.name;
        let ports: Vec<String> = held.iter().map(|(port, _)| number(port)).collect();
        let holders: Vec<String> = held.iter().map(|(_, holder)| holder.name()).collect();
        let noun = if ports.len() == 1 { "port" } else { "ports" };
        // It is what keeps the container from running only when the engine or the program said so.
        let said = port_error(container);
        let about: Vec<String> =
            said.map(|_| name.clone()).into_iter().chain(ports.iter().map(|port| format!("port {port}"))).collect();
        let mut finding = Finding::fail(
            about,
            format!(
                "{noun} {} of the host, which {name} wants, {} held by {}",
                text::list(&ports),
                if ports.len() == 1 { "is" } else { "are" },
                text::list(&holders)
            ),
        );
        for (port, holder) in held {
            finding = finding.seen(format!("port {}", number(port)), holder.evidence());
        }
        if let Some(said) = said {
            let who =
                if said == container.detail.as_ref().map_or("", |detail| &detail.error) { "the engine" } else { name };
            finding = finding.seen(format!("{who} said"), said);
        }

        let wanted: Vec<Port> = held.iter().map(|(port, _)| port.clone()).collect();
        let move_away = self.publish_elsewhere(container, &wanted);
        let stop = self.stop_holder(container, held);
        let dialled = move_away.as_ref().is_some_and(|fix| fix.edits.iter().any(|edit| edit.language != "yaml"));
        let (first, second) = if dialled { (stop, move_away) } else { (move_away, stop) };
        finding.fixes.extend(first.into_iter().chain(second));
        finding
    }

    /// Publishes on ports that nobody has.
    fn publish_elsewhere(&self, container: &Container, wanted: &[Port]) -> Option<Fix> {
        if self.containers.place_of(container) == Place::Host {
            return None;
        }
        let mut moved: Vec<(u16, u16)> = Vec::new();
        for old in wanted.iter().map(|port| port.host_port) {
            let old = old?;
            // TCP and UDP of one number stay together.
            if !moved.iter().any(|(known, _)| *known == old) {
                moved.push((old, free_port(self.containers, self.listeners?, &moved, old)?));
            }
        }
        let new: Vec<String> = moved.iter().map(|(old, new)| format!("{new} instead of {old}")).collect();
        let lines: Vec<String> = std::iter::once("ports: !override".to_owned())
            .chain(container.ports.iter().filter_map(|port| {
                let old = port.host_port?;
                let new = moved.iter().find(|(from, _)| *from == old).map_or(old, |(_, to)| *to);
                let ip = match port.host_ip.as_str() {
                    "" => String::new(),
                    ip if ip.contains(':') => format!("[{ip}]:"),
                    ip => format!("{ip}:"),
                };
                Some(format!("  - \"{ip}{new}:{}/{}\"", port.container_port, port.protocol))
            }))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let title = format!(
            "publish {} on {}, which {} free",
            container.name,
            text::list(&new),
            if new.len() == 1 { "is" } else { "are" }
        );
        let mut fix = fix::recreate(container, title, Change::Publish { ports: moved.clone() }, &lines);
        for hop in self.paths.into_iter().flat_map(Paths::relevant).filter(|hop| hop.is_over_host()) {
            if let Some((_, new)) = moved.iter().find(|(old, _)| hop.dial.port == Some(*old)) {
                fix = fix.edit(self.dial_instead(hop, *new));
            }
        }
        Some(fix)
    }

    /// The line that dials another port of the host: of Caddy's config, or of mitmproxy's command.
    fn dial_instead(&self, hop: &Hop, new: u16) -> Edit {
        let dial = text::join_port(&hop.dial.host, new);
        if hop.kind == HopKind::Upstream {
            let file = format!("{}'s Caddyfile, instead of {}", hop.from, hop.dial);
            return Edit { file, language: "caddyfile", text: format!("reverse_proxy {dial}") };
        }
        let modes = self.mitmproxies.and_then(|all| all.named(&hop.from)).map(|seen| seen.modes().0);
        let corrected = |mode: Mode| match mode.target {
            Some(target) if target.host == hop.dial.host && Some(target.port) == hop.dial.port => {
                let listen = mode.spec.rfind('@').map_or("", |at| &mode.spec[at..]);
                format!("--mode reverse:{}://{dial}{listen}", target.scheme)
            }
            _ => format!("--mode {}", mode.spec),
        };
        let text = modes.unwrap_or_default().into_iter().map(corrected).collect::<Vec<_>>().join(" ");
        Edit { file: format!("the command of {}, instead of {}", hop.from, hop.dial), language: "sh", text }
    }

    fn stop_holder(&self, container: &Container, held: &[(Port, Holder)]) -> Option<Fix> {
        let (_, first) = held.first()?;
        if held.iter().any(|(_, holder)| holder.name() != first.name()) {
            return None;
        }
        let start = container.name.clone();
        let planned = container.is_planned();
        let command = |command: String| Action::Command { command, apply: Apply::Disruptive };
        let is_of_root = matches!(first, Holder::Listener(own) if own.uid == Some(0));
        let sudo = if is_of_root && self.host.is_some_and(|host| !host.root) { "sudo " } else { "" };
        Some(match first {
            // Another service of the same file cannot be stopped before it runs.
            Holder::Container { name, .. } if self.containers.is_planned(name) => return None,
            Holder::Container { name, .. } if planned => {
                Fix::new(format!("stop {name}"), command(format!("docker stop {}", text::shell(name))))
            }
            Holder::Container { name, .. } => Fix::new(
                format!("stop {name}, then start {start}"),
                Action::StopThenStart { stop: name.clone(), start },
            ),
            Holder::Udp(port) => Fix::new(
                format!("see which process has UDP port {port}, end it, and start {start}"),
                Action::Command { command: format!("sudo ss -lunp sport = :{port}"), apply: Apply::Manual },
            ),
            Holder::Listener(listener) => match &listener.owner {
                // Of this engine none publishes it.
                Some(owner) if is_of_an_engine(&owner.name) => {
                    let title = format!("stop the container of another engine that publishes port {}", listener.port);
                    return Some(Fix::new(format!("{title} (docker context ls, podman ps)"), Action::Manual));
                }
                Some(owner) if planned => Fix::new(
                    format!("end {} (pid {})", owner.name, owner.pid),
                    command(format!("{sudo}kill {}", owner.pid)),
                ),
                Some(owner) => Fix::new(
                    format!("end {} (pid {}), then start {start}", owner.name, owner.pid),
                    Action::Command {
                        command: format!("{sudo}kill {} && sleep 1 && docker start {}", owner.pid, text::shell(&start)),
                        apply: Apply::Disruptive,
                    },
                ),
                None => Fix::new("run the doctor with sudo to see which process it is", Action::Manual),
            },
        })
    }
}

fn want(port: u16, host_ip: Option<&String>) -> Port {
    Port {
        container_port: port,
        protocol: "tcp".to_owned(),
        host_port: Some(port),
        host_ip: host_ip.cloned().unwrap_or_default(),
    }
}

fn on_host_network(line: &CommandLine) -> Vec<Port> {
    let mut wants = vec![want(line.listen_port(), line.set.get("listen_host"))];
    if line.interface == crate::model::mitmproxy::Interface::Mitmweb {
        wants.push(want(line.web_port(), Some(line.set.get("web_host").unwrap_or(&"127.0.0.1".to_owned()))));
    }
    wants
}

enum Holder {
    Container {
        name: String,
        port: u16,
    },
    Listener(Listener),
    /// By what the engine said: only listeners of TCP are read.
    Udp(u16),
}

impl Holder {
    fn name(&self) -> String {
        match self {
            Self::Container { name, .. } => name.clone(),
            Self::Udp(_) => "a process that was not looked for".to_owned(),
            Self::Listener(listener) => match &listener.owner {
                Some(owner) => format!("{} (pid {})", owner.name, owner.pid),
                None if listener.uid == Some(0) => "a process of root, not visible to this user".to_owned(),
                None => "a process that this user cannot see".to_owned(),
            },
        }
    }

    fn evidence(&self) -> String {
        match self {
            Self::Container { name, port } => format!("container {name} publishes its port {port} there"),
            Self::Udp(port) => format!("UDP port {port} is in use, says the engine; the doctor reads TCP only"),
            Self::Listener(listener) => {
                format!("{} listens on {}", self.name(), text::join_port(&listener.ip.to_string(), listener.port))
            }
        }
    }
}

/// Whether two addresses to listen on exclude each other: the same, or one of them stands for all.
fn overlap(a: &str, b: &str) -> bool {
    let read = |text: &str| -> Option<IpAddr> { if text.is_empty() { None } else { text.parse().ok() } };
    match (read(a), read(b)) {
        (Some(a), Some(b)) => {
            a == b
                || (a.is_unspecified() || b.is_unspecified()) && a.is_ipv4() == b.is_ipv4()
                || a.is_unspecified() && a.is_ipv6()
        }
        _ => true,
    }
}

/// What the engine, or the program itself, said of a port that it could not have.
fn port_error(container: &Container) -> Option<&str> {
    let detail = container.detail.as_deref()?;
    let says = |text: &str| {
        text.contains("port is already allocated") || text.to_lowercase().contains("address already in use")
    };
    if says(&detail.error) {
        return Some(&detail.error);
    }
    let log = detail.log.as_ref()?.as_ref().ok()?;
    log.iter().map(String::as_str).find(|line| says(line))
}

/// A port that no listener of the host has and that no container wants, starting a thousand above.
fn free_port(containers: &Containers, listeners: &[Listener], taken: &[(u16, u16)], old: u16) -> Option<u16> {
    let start = old.checked_add(1000).unwrap_or(20000);
    (start..start.saturating_add(200)).find(|port| {
        !listeners.iter().any(|listener| listener.port == *port)
            && !taken.iter().any(|(_, new)| new == port)
            && !containers.0.iter().any(|other| other.ports.iter().any(|own| own.host_port == Some(*port)))
    })
}

/// `80`, `443/udp`
fn number(port: &Port) -> String {
    let number = port.host_port.unwrap_or_default();
    if port.protocol == "tcp" { number.to_string() } else { format!("{number}/{}", port.protocol) }
}

/// Programs that listen for an engine on the ports that its containers publish.
fn is_of_an_engine(process: &str) -> bool {
    matches!(
        process,
        "docker-proxy" | "rootlesskit" | "rootlessport" | "conmon" | "com.docker.backend" | "vpnkit-bridge"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Facts, Severity, example, host::Owner};

    fn mitmproxy(facts: &mut Facts) -> &mut Container {
        facts.containers.as_mut().unwrap().0.iter_mut().find(|own| own.name == "mitmproxy").unwrap()
    }

    fn wanting_8081(status: &str, error: &str) -> Facts {
        let mut facts = example::facts();
        let own = mitmproxy(&mut facts);
        own.status = status.into();
        own.ports =
            vec![Port { container_port: 8081, protocol: "tcp".into(), host_port: Some(8081), host_ip: String::new() }];
        own.detail.as_mut().unwrap().error = error.into();
        facts
    }

    fn listener(ip: &str, port: u16) -> Listener {
        let owner = Some(Owner { pid: 99, name: "nginx".into() });
        Listener { ip: example::ip(ip), port, uid: Some(0), owner }
    }

    #[test]
    fn its_own_port_is_no_conflict() {
        let mut facts = wanting_8081("running", "");
        facts.host.as_mut().unwrap().listeners = Ok(vec![listener("0.0.0.0", 8081), listener("::", 8081)]);
        assert_eq!((CHECK.run)(&Context::new(facts)).worst(), None);
    }

    #[test]
    fn a_process_that_holds_the_port_is_named() {
        let mut facts = wanting_8081("created", "listen tcp4 0.0.0.0:8081: bind: address already in use");
        facts.host.as_mut().unwrap().listeners = Ok(vec![listener("127.0.0.1", 8081), listener("0.0.0.0", 9081)]);
        let verdict = (CHECK.run)(&Context::new(facts));
        let finding = &verdict.findings[0];
        assert_eq!(finding.severity, Severity::Fail);
        assert_eq!(finding.summary, "port 8081 of the host, which mitmproxy wants, is held by nginx (pid 99)");
        assert_eq!(finding.about, ["mitmproxy", "port 8081"]);
        assert!(finding.fixes[0].title.contains("9082 instead of 8081"), "{}", finding.fixes[0].title);
        assert_eq!(finding.fixes[1].action.commands(), ["kill 99 && sleep 1 && docker start mitmproxy"]);
    }

    #[test]
    fn a_container_that_holds_the_port_is_named() {
        let mut facts = wanting_8081("created", "Bind for 0.0.0.0:8081 failed: port is already allocated");
        let backend = &mut facts.containers.as_mut().unwrap().0[2];
        backend.ports = vec![Port {
            container_port: 3000,
            protocol: "tcp".into(),
            host_port: Some(8081),
            host_ip: "0.0.0.0".into(),
        }];
        let verdict = (CHECK.run)(&Context::new(facts));
        assert!(verdict.findings[0].summary.ends_with("is held by backend"));
        assert_eq!(verdict.findings[0].fixes[1].action.commands(), ["docker stop backend", "docker start mitmproxy"]);
    }

    #[test]
    fn a_port_that_is_roots_is_its_own_message() {
        let error = "driver failed programming external connectivity: Error starting userland proxy: error while calling \
                     PortManager.AddPort(): cannot expose privileged port 81, you can add \
                     'net.ipv4.ip_unprivileged_port_start=81' to /etc/sysctl.conf: listen tcp4 0.0.0.0:81: bind: permission denied";
        let mut facts = wanting_8081("created", error);
        mitmproxy(&mut facts).ports[0].host_port = Some(81);
        let verdict = (CHECK.run)(&Context::new(facts));
        let finding = &verdict.findings[0];
        let summary = "the engine may not have port 81 of the host, which mitmproxy wants: below 1024 they are root's";
        assert_eq!(finding.summary, summary);
        assert!(finding.fixes[0].title.contains("1081 instead of 81"), "{}", finding.fixes[0].title);
        assert_eq!(finding.fixes[1].action.commands(), ["sudo sysctl -w net.ipv4.ip_unprivileged_port_start=81"]);
    }

    #[test]
    fn a_caddy_on_the_hosts_network_says_which_port_is_taken() {
        let said = "Error: loading initial config: loading new config: http app module: start: listening on :80: listen tcp :80: \
                    bind: address already in use";
        let ended = |said: &str| {
            let mut facts = example::facts();
            let caddy = &mut facts.containers.as_mut().unwrap().0[0];
            (caddy.network_mode, caddy.status, caddy.networks) = ("host".into(), "exited".into(), Vec::new());
            caddy.ports.clear();
            caddy.detail.as_mut().unwrap().log = Some(Ok(vec![said.into()]));
            facts.host.as_mut().unwrap().listeners = Ok(vec![listener("0.0.0.0", 80)]);
            (CHECK.run)(&Context::new(facts)).findings
        };
        assert_eq!(ended(said)[0].summary, "port 80 of the host, which caddy wants, is held by nginx (pid 99)");
        let denied = ended("listen tcp :80: bind: permission denied");
        assert_eq!(denied[0].summary, "caddy may not have port 80 of the host: below 1024 they are root's");
        assert_eq!(ended("something else"), []);
    }

    #[test]
    fn a_target_over_the_port_is_changed_in_the_mode() {
        let mut facts = example::healthy();
        let all = &mut facts.containers.as_mut().unwrap().0;
        let caddy = &mut all[0];
        (caddy.status, caddy.ports) = ("created".into(), vec![want(13000, None)]);
        facts.mitmproxies.as_mut().unwrap().0[0].options.as_mut().unwrap().mode =
            vec!["reverse:http://host.docker.internal:13000@8080".into()];
        facts.host.as_mut().unwrap().listeners = Ok(vec![listener("0.0.0.0", 13000)]);
        let fixes = (CHECK.run)(&Context::new(facts)).findings.remove(0).fixes;
        let edit = fixes.iter().flat_map(|fix| &fix.edits).find(|edit| edit.language == "sh").unwrap();
        assert_eq!(edit.text, "--mode reverse:http://host.docker.internal:14000@8080");
        assert!(!fixes.iter().flat_map(|fix| &fix.edits).any(|edit| edit.language == "caddyfile"));
    }

    #[test]
    fn a_udp_port_counts_where_the_engine_speaks_of_it() {
        let wanting = |error: &str| {
            let mut facts = wanting_8081("created", error);
            let own = mitmproxy(&mut facts);
            own.ports[0].protocol = "udp".into();
            facts
        };
        let taken = (CHECK.run)(&Context::new(wanting("listen udp4 0.0.0.0:8081: bind: address already in use")));
        let summary = "port 8081/udp of the host, which mitmproxy wants, is held by a process that was not looked for";
        assert_eq!(taken.findings[0].summary, summary);
        let mut facts = wanting("Bind for 0.0.0.0:8081 failed: port is already allocated");
        let publishes = Port { protocol: "udp".into(), ..want(8081, None) };
        facts.containers.as_mut().unwrap().0[2].ports = vec![publishes];
        let held = (CHECK.run)(&Context::new(facts));
        assert!(held.findings[0].summary.ends_with("is held by backend"), "{}", held.findings[0].summary);
        assert_eq!((CHECK.run)(&Context::new(wanting(""))).worst(), None);
    }

    #[test]
    fn what_listens_for_a_container_is_not_killed() {
        let stopping = |name: &str, uid: u32, root: bool| {
            let mut facts = wanting_8081("created", "listen tcp4 0.0.0.0:8081: bind: address already in use");
            let host = facts.host.as_mut().unwrap();
            host.root = root;
            let owner = Some(Owner { pid: 99, name: name.into() });
            host.listeners = Ok(vec![Listener { ip: example::ip("0.0.0.0"), port: 8081, uid: Some(uid), owner }]);
            (CHECK.run)(&Context::new(facts)).findings.remove(0).fixes.remove(1)
        };
        assert_eq!(stopping("docker-proxy", 0, true).action, Action::Manual);
        assert_eq!(
            stopping("nginx", 0, false).action.commands(),
            ["sudo kill 99 && sleep 1 && docker start mitmproxy"]
        );

        let mut facts = wanting_8081("created", "Bind for 0.0.0.0:8081 failed: port is already allocated");
        let backend = &mut facts.containers.as_mut().unwrap().0[2];
        (backend.status, backend.ports) = ("paused".into(), vec![want(8081, None)]);
        assert!((CHECK.run)(&Context::new(facts)).findings[0].summary.ends_with("is held by backend"));
    }

    #[test]
    fn a_port_on_another_address_is_free() {
        assert!(!overlap("127.0.0.1", "127.0.0.2"));
        assert!(overlap("0.0.0.0", "127.0.0.2") && overlap("", "127.0.0.1") && overlap("::", "127.0.0.1"));
    }
}
