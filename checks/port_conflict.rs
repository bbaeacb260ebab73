use std::net::IpAddr;

use crate::model::{
    Action, Apply, Evidence, Finding, Fix, Missing, Paths, Place, Setup, Verdict,
    docker::{Container, Containers, Port},
    facts::Attempt,
    fix::{self, Change, Edit},
    host::{Host, Listener},
    mitmproxy::CommandLine,
    text,
};

check! {
    /// Is a host port that the setup wants held by something else?
    ///
    /// ## What it looks at
    /// The ports that every part wants to publish (`HostConfig.PortBindings`, so those of created and exited
    /// containers count), and what mitmproxy on the host's network wants to listen on. They are compared with what other
    /// containers publish and with the listeners of this machine (`/proc/net/tcp`), which are named with their process
    /// where this user may see it.
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
    /// one has to change as well; the fix names them.
    id: "port-conflict",
    group: Ports,
    after: ["docker-engine"],
    needs: [Setup, Containers, Attempt<Host>, Attempt<Paths>],
    run: run,
}

fn run(
    setup: &Setup,
    containers: &Containers,
    host: Result<&Host, &Missing>,
    paths: Result<&Paths, &Missing>,
) -> Verdict {
    let listeners = host.and_then(|host| host.listeners.as_ref());
    let mut verdict = Verdict::default();
    let mut wanted = 0;
    for container in Paths::containers(paths.ok(), setup, containers) {
        let wants = wants(containers, container);
        wanted += wants.len();
        let wants_none = wants.is_empty();
        if container.runs() || container.status == "paused" {
            continue; // it holds its own ports
        }
        let held: Vec<(Port, Holder)> = wants
            .into_iter()
            .filter_map(|want| holder(containers, listeners.ok(), container, &want).map(|holder| (want, holder)))
            .collect();
        if !held.is_empty() {
            verdict.findings.push(conflict(containers, listeners.ok(), paths.ok(), container, &held));
        } else if let (Err(missing), false) = (listeners, wants_none) {
            let reason = format!("who holds its port is not known: {missing}");
            verdict.gaps.push(crate::model::Gap::about([&container.name], reason));
        }
    }
    if wanted == 0 {
        return Verdict::not_applicable("no part publishes a port or listens on the host's network");
    }
    verdict.summary = format!("the {wanted} host ports that the setup wants are its own or free");
    if wanted == 1 {
        verdict.summary = "the one host port that the setup wants is its own or free".to_owned();
    }
    verdict.evidence.push(Evidence::new("ports wanted", wanted.to_string()));
    verdict
}

/// The TCP ports of the host that a container wants.
fn wants(containers: &Containers, container: &Container) -> Vec<Port> {
    if containers.place_of(container) == Place::Host {
        let line = match &container.program {
            Some(crate::model::docker::Program::Mitmproxy(line)) => line,
            _ => return Vec::new(),
        };
        return on_host_network(line);
    }
    let mut ports: Vec<Port> =
        container.ports.iter().filter(|port| port.protocol == "tcp" && port.host_port.is_some()).cloned().collect();
    ports.dedup_by(|a, b| a.host_port == b.host_port);
    ports
}

fn on_host_network(line: &CommandLine) -> Vec<Port> {
    let want = |port: u16, host_ip: Option<&String>| Port {
        container_port: port,
        protocol: "tcp".to_owned(),
        host_port: Some(port),
        host_ip: host_ip.cloned().unwrap_or_default(),
    };
    let mut wants = vec![want(line.listen_port(), line.set.get("listen_host"))];
    if line.interface == crate::model::mitmproxy::Interface::Mitmweb {
        wants.push(want(line.web_port(), Some(line.set.get("web_host").unwrap_or(&"127.0.0.1".to_owned()))));
    }
    wants
}

enum Holder {
    Container { name: String, port: u16 },
    Listener(Listener),
}

impl Holder {
    fn name(&self) -> String {
        match self {
            Self::Container { name, .. } => name.clone(),
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
            Self::Listener(listener) => {
                format!("{} listens on {}", self.name(), text::join_port(&listener.ip.to_string(), listener.port))
            }
        }
    }
}

fn holder(containers: &Containers, listeners: Option<&Vec<Listener>>, own: &Container, want: &Port) -> Option<Holder> {
    let port = want.host_port?;
    let others = containers.0.iter().filter(|other| other.lives() && other.name != own.name);
    for other in others {
        if let Some(theirs) = other.ports.iter().find(|theirs| {
            theirs.host_port == Some(port) && theirs.protocol == "tcp" && overlap(&theirs.host_ip, &want.host_ip)
        }) {
            return Some(Holder::Container { name: other.name.clone(), port: theirs.container_port });
        }
    }
    let taken =
        listeners?.iter().find(|listener| listener.port == port && overlap(&listener.ip.to_string(), &want.host_ip))?;
    Some(Holder::Listener(taken.clone()))
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

fn conflict(
    containers: &Containers,
    listeners: Option<&Vec<Listener>>,
    paths: Option<&Paths>,
    container: &Container,
    held: &[(Port, Holder)],
) -> Finding {
    let name = &container.name;
    let ports: Vec<String> = held.iter().filter_map(|(port, _)| port.host_port).map(|port| port.to_string()).collect();
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
        finding = finding.seen(format!("port {}", port.host_port.unwrap_or_default()), holder.evidence());
    }
    if let Some(said) = said {
        let who =
            if said == container.detail.as_ref().map_or("", |detail| &detail.error) { "the engine" } else { name };
        finding = finding.seen(format!("{who} said"), said);
    }

    let move_away = publish_elsewhere(containers, listeners, paths, container, held);
    let stop = stop_holder(containers, container, held);
    let dialled = move_away.as_ref().is_some_and(|fix| fix.edits.iter().any(|edit| edit.language == "caddyfile"));
    let (first, second) = if dialled { (stop, move_away) } else { (move_away, stop) };
    finding.fixes.extend(first.into_iter().chain(second));
    finding
}

/// Publishes on ports that nobody has.
fn publish_elsewhere(
    containers: &Containers,
    listeners: Option<&Vec<Listener>>,
    paths: Option<&Paths>,
    container: &Container,
    held: &[(Port, Holder)],
) -> Option<Fix> {
    if containers.place_of(container) == Place::Host {
        return None;
    }
    let mut moved: Vec<(u16, u16)> = Vec::new();
    for (port, _) in held {
        let old = port.host_port?;
        moved.push((old, free_port(containers, listeners?, &moved, old)?));
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
    for hop in paths.into_iter().flat_map(Paths::relevant).filter(|hop| hop.is_over_host()) {
        if let Some((_, new)) = moved.iter().find(|(old, _)| hop.dial.port == Some(*old)) {
            let text = format!("reverse_proxy {}", text::join_port(&hop.dial.host, *new));
            fix = fix.edit(Edit {
                file: format!("{}'s Caddyfile, instead of {}", hop.from, hop.dial),
                language: "caddyfile",
                text,
            });
        }
    }
    Some(fix)
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

fn stop_holder(containers: &Containers, container: &Container, held: &[(Port, Holder)]) -> Option<Fix> {
    let (_, first) = held.first()?;
    if held.iter().any(|(_, holder)| holder.name() != first.name()) {
        return None;
    }
    let start = container.name.clone();
    let planned = container.is_planned();
    let command = |command: String| Action::Command { command, apply: Apply::Disruptive };
    Some(match first {
        // Another service of the same file cannot be stopped before it runs.
        Holder::Container { name, .. } if containers.is_planned(name) => return None,
        Holder::Container { name, .. } if planned => {
            Fix::new(format!("stop {name}"), command(format!("docker stop {}", text::shell(name))))
        }
        Holder::Container { name, .. } => {
            Fix::new(format!("stop {name}, then start {start}"), Action::StopThenStart { stop: name.clone(), start })
        }
        Holder::Listener(listener) => match &listener.owner {
            Some(owner) if planned => {
                Fix::new(format!("end {} (pid {})", owner.name, owner.pid), command(format!("kill {}", owner.pid)))
            }
            Some(owner) => Fix::new(
                format!("end {} (pid {}), then start {start}", owner.name, owner.pid),
                Action::Command {
                    command: format!("kill {} && sleep 1 && docker start {}", owner.pid, text::shell(&start)),
                    apply: Apply::Disruptive,
                },
            ),
            None => Fix::new("run the doctor with sudo to see which process it is", Action::Manual),
        },
    })
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
    fn a_port_on_another_address_is_free() {
        assert!(!overlap("127.0.0.1", "127.0.0.2"));
        assert!(overlap("0.0.0.0", "127.0.0.2") && overlap("", "127.0.0.1") && overlap("::", "127.0.0.1"));
    }
}
