use std::net::IpAddr;

use crate::model::{
    Action, Asked, Edit, Evidence, Explains, Finding, Fix, Gap, Missing, Place, Verdict,
    docker::{Container, Containers, Networks, Port, is_user_defined},
    facts::Attempt,
    host::Host,
    names::{self, Meaning},
    text,
    view::{ConnectionAnswer, NameAnswer, View, Views},
};

check! {
    /// Do the names and ports that the tests use exist where they run?
    ///
    /// ## What it looks at
    /// Every `--expect HOST:PORT` (or `expect` in `doctor.toml`): the name is resolved and the port is connected to
    /// from where the doctor runs, so it should run where the tests do. It knows whether that is a container, and on
    /// which networks. It is skipped when nothing is expected.
    ///
    /// ## Why it matters
    /// A container's name and its own port exist on its networks only. A published port exists on the host only:
    /// inside a container, `localhost` is that container. Tests that were written for one side fail on the other, in
    /// CI most of all.
    ///
    /// ## What a connection does not tell
    /// That it is accepted shows that something listens, not that it answers as it should: a port that is published
    /// by Docker accepts even when the service behind it listens on its own loopback only.
    ///
    /// ## How to fix it
    /// One of two: run the tests inside the network (`docker run --network NETWORK`, or `docker network connect` for
    /// the container that they run in), or let them use the published address.
    id: "vantage",
    group: Ci,
    after: ["docker-engine", "port-conflict", "container-health"],
    needs: [Asked, Attempt<Views>, Attempt<Containers>, Attempt<Networks>, Attempt<Host>],
    run: run,
}

fn run(
    asked: &Asked,
    views: Result<&Views, &Missing>,
    containers: Result<&Containers, &Missing>,
    networks: Result<&Networks, &Missing>,
    host: Result<&Host, &Missing>,
) -> Verdict {
    if asked.expect.is_empty() {
        return Verdict::not_applicable("nothing is expected (--expect HOST:PORT)");
    }
    let mut verdict = Verdict::default();
    let (no_containers, no_networks) = (Containers::default(), Networks::default());
    let containers = containers.unwrap_or(&no_containers);
    let own = host.ok().and_then(|host| containers.by_reference(host.inside.as_ref()?));
    let cases = Cases {
        containers,
        networks: networks.unwrap_or(&no_networks),
        host: host.ok(),
        own,
        here: own.map_or(Place::Host, |own| containers.place_of(own)),
    };
    verdict.evidence.push(Evidence::new("the doctor runs", cases.whereabouts()));
    let mut connected = 0;
    for expected in &asked.expect {
        let (name, port) = match text::host_and_port(expected) {
            Some((name, Some(port))) if !name.is_empty() && !name.contains('/') && port > 0 => (name, port),
            _ => {
                verdict.findings.push(Finding::fail([expected], format!("`{expected}` is no HOST:PORT")));
                continue;
            }
        };
        let view = match views.map(|views| views.from(&cases.here)) {
            Ok(Some(view)) => view,
            Ok(None) => {
                verdict.gaps.push(Gap::about([expected], format!("{expected} was not tried from here")));
                continue;
            }
            Err(missing) => {
                verdict.gaps.push(Gap::about([expected], missing.to_string()).may_heal(missing.may_heal(true)));
                continue;
            }
        };
        let why = asked.why.get(expected).map(String::as_str);
        let wanted = Expected { text: text::join_port(name, port), name, port, why };
        match view.connection(name, port).map(|seen| (&seen.answer, seen.ip)) {
            Some((ConnectionAnswer::Accepted, ip)) => {
                connected += 1;
                let at = ip.filter(|ip| name.parse() != Ok(*ip)).map(|ip| format!(" at {ip}")).unwrap_or_default();
                let why = why.map(|why| format!("; needed for: {why}")).unwrap_or_default();
                let seen = format!("accepts a connection{at} ({}){why}", view.way);
                verdict.evidence.push(Evidence::new(&wanted.text, seen));
            }
            Some((answer, _)) => verdict.findings.push(cases.unreachable(&wanted, view, Some(answer))),
            None => match view.name(name).map(|seen| &seen.answer) {
                Some(NameAnswer::NoSuchName) => verdict.findings.push(cases.unreachable(&wanted, view, None)),
                // A network's DNS asks the outside for what it does not know itself.
                Some(NameAnswer::Failed(_)) if cases.is_elsewhere(name) => {
                    verdict.findings.push(cases.unreachable(&wanted, view, None));
                }
                Some(NameAnswer::Failed(why)) => {
                    verdict
                        .gaps
                        .push(Gap::about([expected], format!("{name} could not be looked up from here: {why}")));
                }
                Some(NameAnswer::Addresses(_)) | None => {
                    verdict.gaps.push(Gap::about([expected], format!("{expected} was not tried from here")));
                }
            },
        }
    }
    // A request travels whether or not the tests find the parts of the setup.
    verdict.findings.iter_mut().for_each(|finding| finding.explains = Explains::Nothing);
    verdict.summary = match connected {
        1 => format!("{} accepts a connection from here", asked.expect[0]),
        many => format!("all {many} that are expected accept a connection from here"),
    };
    verdict
}

/// What somebody expects to reach.
struct Expected<'e> {
    text: String,
    name: &'e str,
    port: u16,
    /// What it is needed for, where somebody said so.
    why: Option<&'e str>,
}

struct Cases<'c> {
    containers: &'c Containers,
    networks: &'c Networks,
    host: Option<&'c Host>,
    /// The container that the doctor runs in.
    own: Option<&'c Container>,
    here: Place,
}

impl<'c> Cases<'c> {
    fn whereabouts(&self) -> String {
        match (self.own, &self.here) {
            (Some(own), Place::Host) => format!("in container {}, on the host's network", own.name),
            (Some(own), Place::Container(place)) => {
                let networks = self.containers.named(place).map(|place| place.networks.as_slice()).unwrap_or_default();
                let names: Vec<&str> = networks.iter().map(|attached| attached.network.as_str()).collect();
                let names = if names.is_empty() { "no network".to_owned() } else { text::list(&names) };
                format!("in container {}, on {names}", own.name)
            }
            (None, _) => "on this machine, in no container of the engine".to_owned(),
        }
    }

    fn meaning(&self, name: &str) -> Meaning {
        names::meaning(self.containers, self.networks, &self.here, name)
    }

    fn is_elsewhere(&self, name: &str) -> bool {
        matches!(self.meaning(name), Meaning::Elsewhere(_))
    }

    /// `answer` is that of the port; without it the name does not resolve.
    fn unreachable(&self, wanted: &Expected<'_>, view: &View, answer: Option<&ConnectionAnswer>) -> Finding {
        let said = match answer {
            None => "the name does not resolve".to_owned(),
            Some(ConnectionAnswer::Refused) => "the connection is refused".to_owned(),
            Some(ConnectionAnswer::TimedOut) => "the connection gets no answer".to_owned(),
            Some(ConnectionAnswer::Failed(why)) => format!("the connection fails: {why}"),
            Some(ConnectionAnswer::Accepted) => "the connection is accepted".to_owned(),
        };
        let finding = match self.meaning(wanted.name) {
            Meaning::Elsewhere(names) => {
                let running = names.iter().filter_map(|name| self.containers.named(name));
                match running.min_by_key(|container| !container.runs()) {
                    Some(container) => self.only_inside(wanted, container),
                    None => self.nobody(wanted, &said),
                }
            }
            Meaning::Itself => self.on_loopback(wanted, answer, &said),
            Meaning::Container { name, network } => match self.containers.named(&name) {
                Some(container) => self.other_port(wanted, container, &network, answer, &said),
                None => self.nobody(wanted, &said),
            },
            Meaning::Unknown if answer.is_none() => self.no_such_name(wanted),
            Meaning::TheHost | Meaning::Address(_) | Meaning::Unknown => {
                Self::not_yet(self.nobody(wanted, &said), answer)
            }
        };
        let finding =
            finding.seen(&wanted.text, format!("{said} ({})", view.way)).seen("the doctor runs", self.whereabouts());
        match wanted.why {
            Some(why) => finding.seen("needed for", why),
            None => finding,
        }
    }

    fn nobody(&self, wanted: &Expected<'_>, said: &str) -> Finding {
        Finding::fail([&wanted.text], format!("{} cannot be reached from here: {said}", wanted.text))
    }

    /// The same where the address is right: who refuses, or gives no answer, may still be starting.
    fn not_yet(finding: Finding, answer: Option<&ConnectionAnswer>) -> Finding {
        finding.may_heal(matches!(answer, Some(ConnectionAnswer::Refused | ConnectionAnswer::TimedOut)))
    }

    /// The place that a container is in: its own, or that of the one whose network it shares.
    fn owner(&self, container: &'c Container) -> Option<&'c Container> {
        match self.containers.place_of(container) {
            Place::Host => None,
            Place::Container(owner) => Some(self.containers.named(&owner).unwrap_or(container)),
        }
    }

    /// A name that exists on networks only that this place is not on.
    fn only_inside(&self, wanted: &Expected<'_>, container: &'c Container) -> Finding {
        let (name, port) = (wanted.name, wanted.port);
        let Some(owner) = self.owner(container) else {
            let summary = format!("`{name}` is on the host's network, where it has no name");
            let finding = Finding::fail([&container.name], summary);
            return match self.here {
                Place::Host => finding.fix(Fix::new(format!("use 127.0.0.1:{port}"), Action::Manual)),
                Place::Container(_) => finding,
            };
        };
        let user_defined: Vec<&str> = owner
            .networks
            .iter()
            .map(|attached| attached.network.as_str())
            .filter(|network| is_user_defined(network))
            .collect();
        let exists = match user_defined.as_slice() {
            [] => format!("`{name}` is a container on the default bridge, where names do not resolve"),
            [one] => format!("`{name}` exists only inside network {one}"),
            many => format!("`{name}` exists only inside networks {}", text::list(many)),
        };
        // The tests may use the port that is published, or the one inside.
        let inside = owner
            .published(port)
            .map_or_else(|| published_as(owner, port).map(|port| port.container_port), |_| Some(port));
        let published = inside.and_then(|inside| owner.published(inside));
        let published = published.map(|(ip, port)| text::join_port(ip, port));
        match (&self.here, self.own) {
            (Place::Host, _) => {
                let finding = Finding::fail(
                    [&container.name],
                    match &published {
                        Some(address) => format!("{exists}; from here it is {address}"),
                        None => format!("{exists}, and its port {port} is not published on this machine"),
                    },
                );
                let finding = match &published {
                    Some(address) => finding
                        .fix(Fix::new(format!("use {address} in tests that run on this machine"), Action::Manual)),
                    None => finding.fix(publish(owner, port)),
                };
                match user_defined.first() {
                    Some(network) => finding.fix(run_inside(network)),
                    None => finding,
                }
            }
            (Place::Container(place), own) => {
                let own = own.map_or(place, |own| &own.name);
                let finding = Finding::fail(
                    [&container.name],
                    format!("{exists}, and {own}, where the doctor runs, is not on it"),
                );
                let Some(network) = user_defined.first() else { return finding };
                let mut fix = self.join(network, place);
                if let Some(inside) = inside.filter(|inside| *inside != port) {
                    fix.title = format!("{}, and use {} there", fix.title, text::join_port(name, inside));
                }
                finding.fix(fix)
            }
        }
    }

    fn join(&self, network: &str, place: &str) -> Fix {
        Fix::new(
            format!("connect {place}, where the tests run, to network {network}"),
            Action::Connect { network: network.to_owned(), container: place.to_owned(), aliases: Vec::new() },
        )
    }

    fn on_loopback(&self, wanted: &Expected<'_>, answer: Option<&ConnectionAnswer>, said: &str) -> Finding {
        let port = wanted.port;
        match &self.here {
            Place::Host => self.on_this_machine(wanted, answer, said),
            Place::Container(place) => {
                let Some((container, inside)) = self.containers.publishing(port) else {
                    let summary = format!("{} is {place} itself, where the doctor runs, and {said}", wanted.text);
                    return Self::not_yet(Finding::fail([&wanted.text], summary), answer);
                };
                // Inside, its own port counts.
                let finding = Finding::fail(
                    [&container.name],
                    format!(
                        "port {port} is published on the host only; inside {place}, where the doctor runs, \
                         {} is {place} itself",
                        wanted.name
                    ),
                );
                let address = text::join_port(&container.name, inside);
                let own = self.containers.named(place).map(|own| own.networks.as_slice()).unwrap_or_default();
                let on = |network: &str| is_user_defined(network) && container.on(network).is_some();
                if own.iter().any(|attached| on(&attached.network)) {
                    return finding
                        .fix(Fix::new(format!("use {address} in tests that run in {place}"), Action::Manual));
                }
                match container.networks.iter().find(|attached| is_user_defined(&attached.network)) {
                    Some(attached) => {
                        let mut fix = self.join(&attached.network, place);
                        fix.title = format!("{}, and use {address} there", fix.title);
                        finding.fix(fix)
                    }
                    None => finding,
                }
            }
        }
    }

    fn on_this_machine(&self, wanted: &Expected<'_>, answer: Option<&ConnectionAnswer>, said: &str) -> Finding {
        let port = wanted.port;
        if let Some((container, _)) = self.containers.publishing(port) {
            let at = published_as(container, port).map(|own| own.host_ip.clone()).unwrap_or_default();
            let finding = |summary: String| Finding::fail([&container.name], summary);
            return match at.parse::<IpAddr>() {
                Ok(ip) if !ip.is_unspecified() && wanted.name.parse() != Ok(ip) => {
                    let address = text::join_port(&at, port);
                    finding(format!("{} publishes port {port} on {at} only, not on {}", container.name, wanted.name))
                        .fix(Fix::new(format!("use {address}"), Action::Manual))
                }
                _ => {
                    let summary = format!("{} publishes port {port}, and {said} at {}", container.name, wanted.text);
                    Self::not_yet(finding(summary), answer)
                }
            };
        }
        // One that does not run would have it.
        let would = |own: &&Container| !own.runs() && published_as(own, port).is_some();
        if let Some(container) = self.containers.0.iter().find(would) {
            let name = &container.name;
            return Finding::fail([name], format!("{name} would publish port {port}, and is {}", container.status))
                .may_heal(container.may_come_up())
                .fix(Fix::new(format!("start {name}"), Action::Start { container: name.clone() }));
        }
        let listeners = self.host.and_then(|host| host.listeners.as_ref().ok());
        if let Some(own) = listeners.and_then(|all| all.iter().find(|own| own.port == port)) {
            let address = text::join_port(&own.ip.to_string(), port);
            if own.ip.is_unspecified() {
                return self.nobody(wanted, said).seen("who listens on that port", address);
            }
            let summary = format!(
                "what listens on port {port} of this machine does so on {} only, not on {}",
                own.ip, wanted.name
            );
            return Finding::fail([&wanted.text], summary).fix(Fix::new(format!("use {address}"), Action::Manual));
        }
        // The port inside is dialled where the one that is published was meant.
        let has = |own: &&Container| {
            own.runs() && own.ports.iter().any(|own| own.container_port == port && own.protocol == "tcp")
        };
        let having: Vec<&Container> = self.containers.0.iter().filter(has).collect();
        let nothing = match listeners {
            Some(_) => format!("nothing listens on port {port} of this machine"),
            None => format!("{} cannot be reached from here: {said}", wanted.text),
        };
        match having.as_slice() {
            [container] => {
                let name = &container.name;
                let finding = |rest: String| {
                    Finding::fail([name], format!("{nothing}; {port} is the port of {name} inside its network, {rest}"))
                };
                match container.published(port) {
                    Some((ip, host_port)) => {
                        let address = text::join_port(ip, host_port);
                        finding(format!("and here it is {address}"))
                            .fix(Fix::new(format!("use {address} in tests that run on this machine"), Action::Manual))
                    }
                    None => finding("and is not published".to_owned()).fix(publish(container, port)),
                }
            }
            _ => Self::not_yet(Finding::fail([&wanted.text], nothing), answer),
        }
    }

    /// The name is right, and the port may be that of the other side.
    fn other_port(
        &self,
        wanted: &Expected<'_>,
        container: &'c Container,
        network: &str,
        answer: Option<&ConnectionAnswer>,
        said: &str,
    ) -> Finding {
        let (name, port) = (&container.name, wanted.port);
        if !container.runs() {
            return Finding::fail([name], format!("{} cannot be reached: {name} is {}", wanted.text, container.status))
                .may_heal(container.may_come_up())
                .fix(Fix::new(format!("start {name}"), Action::Start { container: name.clone() }));
        }
        let owner = self.owner(container).unwrap_or(container);
        let inside = published_as(owner, port).map(|own| own.container_port).filter(|inside| *inside != port);
        match (answer, inside) {
            (Some(ConnectionAnswer::Refused), Some(inside)) => {
                let address = text::join_port(wanted.name, inside);
                Finding::fail(
                    [name],
                    format!(
                        "port {port} of {name} is published on the host only; inside network {network} it is {address}"
                    ),
                )
                .fix(Fix::new(format!("use {address} in tests that run inside the network"), Action::Manual))
            }
            (Some(ConnectionAnswer::Refused), None) => {
                let summary = format!("nothing in {name} listens on port {port}, on network {network}");
                Self::not_yet(Finding::fail([name], summary), answer)
            }
            _ => {
                let summary = format!("{} cannot be reached on network {network}: {said}", wanted.text);
                Self::not_yet(Finding::fail([name], summary), answer)
            }
        }
    }

    fn no_such_name(&self, wanted: &Expected<'_>) -> Finding {
        let name = wanted.name;
        let finding =
            Finding::fail([&wanted.text], format!("`{name}` does not resolve here, and no container has that name"));
        let known = self.containers.0.iter().flat_map(|own| {
            let aliases = own.networks.iter().flat_map(|attached| &attached.names);
            aliases.chain([&own.name]).map(String::as_str)
        });
        match text::nearest(name, known.filter(|known| !own_id(known))) {
            Some(near) => finding.fix(Fix::new(format!("did you mean {near}:{}?", wanted.port), Action::Manual)),
            // Inside a network a name is there as soon as its container is.
            None => finding.may_heal(matches!(self.here, Place::Container(_))),
        }
    }
}

/// Every container has its short id for a name.
fn own_id(name: &str) -> bool {
    name.len() == 12 && name.chars().all(|c| c.is_ascii_hexdigit())
}

/// What a container publishes, or would, as this port of the host.
fn published_as(container: &Container, host_port: u16) -> Option<&Port> {
    container.ports.iter().find(|own| own.host_port == Some(host_port) && own.protocol == "tcp")
}

fn run_inside(network: &str) -> Fix {
    Fix::new(format!("run the tests inside network {network}"), Action::Manual).edit(Edit {
        file: "the docker run of the tests".to_owned(),
        language: "sh",
        text: format!("--network {}", text::shell(network)),
    })
}

fn publish(container: &Container, port: u16) -> Fix {
    let fix = Fix::new(
        format!("publish port {port} of {} on this machine, and make it anew", container.name),
        Action::Manual,
    );
    let published = format!("127.0.0.1:{port}:{port}");
    fix.edit(match container.compose.as_ref().and_then(|compose| Some((compose, compose.files.last()?))) {
        Some((compose, file)) => Edit {
            file: file.clone(),
            language: "yaml",
            text: format!("services:\n  {}:\n    ports: [\"{published}\"]\n", compose.service),
        },
        None => Edit {
            file: format!("the docker run of {}", container.name),
            language: "sh",
            text: format!("-p {published}"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Context, Facts, Outlook, Severity, example,
        host::Listener,
        view::{ConnectionSeen, NameSeen, Way},
    };

    /// What the view from `here` shows of the one that is expected; mitmproxy publishes 8080 as 18082.
    fn judged(
        expected: &str,
        inside: Option<&str>,
        name: Option<NameAnswer>,
        answer: Option<ConnectionAnswer>,
        change: impl FnOnce(&mut Facts),
    ) -> Verdict {
        let mut facts = example::healthy();
        facts.asked.expect = vec![expected.into()];
        let all = facts.containers.as_mut().unwrap();
        all.0[1].ports =
            vec![Port { container_port: 8080, protocol: "tcp".into(), host_port: Some(18082), host_ip: String::new() }];
        all.0.push(example::container("tests", "ci-net", "172.21.0.2"));
        let place = inside.map_or(Place::Host, |inside| Place::Container(inside.into()));
        facts.host.as_mut().unwrap().inside = inside.map(|inside| all.named(inside).unwrap().id.clone());
        let (host, port) = text::host_and_port(expected).unwrap();
        let names = name.map(|answer| NameSeen {
            name: host.into(),
            server: "getaddrinfo".into(),
            answer,
            disagrees: None,
            took_ms: 1,
        });
        let connections = answer.map(|answer| ConnectionSeen {
            host: host.into(),
            ip: Some(example::ip("127.0.0.1")),
            port: port.unwrap_or_default(),
            answer,
            speaks: None,
            took_ms: 1,
        });
        let views = &mut facts.views.as_mut().unwrap().0;
        views.retain(|view| view.place != place);
        views.push(View {
            place,
            way: Way::Here,
            not_better: Vec::new(),
            names: names.into_iter().collect(),
            connections: connections.into_iter().collect(),
        });
        change(&mut facts);
        (CHECK.run)(&Context::new(facts))
    }

    fn refused(expected: &str, inside: Option<&str>) -> Finding {
        judged(expected, inside, None, Some(ConnectionAnswer::Refused), |_| {}).findings.remove(0)
    }

    fn unknown(expected: &str, inside: Option<&str>) -> Finding {
        judged(expected, inside, Some(NameAnswer::NoSuchName), None, |_| {}).findings.remove(0)
    }

    #[test]
    fn nothing_expected_is_nothing_to_look_at() {
        assert!((CHECK.run)(&Context::new(example::healthy())).not_applicable.is_some());
    }

    #[test]
    fn what_accepts_passes() {
        let verdict = judged("localhost:18082", None, None, Some(ConnectionAnswer::Accepted), |_| {});
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
        assert_eq!(verdict.summary, "localhost:18082 accepts a connection from here");
        assert_eq!(verdict.evidence[1].value, "accepts a connection at 127.0.0.1 (seen from here)");
    }

    #[test]
    fn a_name_of_a_network_is_used_on_the_host() {
        let finding = unknown("mitmproxy:8080", None);
        assert_eq!(finding.severity, Severity::Fail);
        assert_eq!(finding.summary, "`mitmproxy` exists only inside network app-net; from here it is 127.0.0.1:18082");
        assert_eq!(finding.fixes[0].title, "use 127.0.0.1:18082 in tests that run on this machine");
        assert_eq!(finding.fixes[1].edits[0].text, "--network app-net");
        assert_eq!(finding.explains, Explains::Nothing, "the path itself is not broken");
        // With the published port it is the same mistake.
        assert_eq!(unknown("mitmproxy:18082", None).summary, finding.summary);
        let finding = unknown("backend:3000", None);
        assert_eq!(
            finding.summary,
            "`backend` exists only inside network app-net, and its port 3000 is not published on this machine"
        );
        assert_eq!(finding.fixes[0].edits[0].text, "-p 127.0.0.1:3000:3000");
    }

    #[test]
    fn tests_in_a_container_of_another_network_are_connected() {
        let finding = unknown("mitmproxy:8080", Some("tests"));
        assert_eq!(
            finding.summary,
            "`mitmproxy` exists only inside network app-net, and tests, where the doctor runs, is not on it"
        );
        assert_eq!(finding.fixes[0].action.commands(), ["docker network connect app-net tests"]);
        assert!(finding.evidence.contains(&Evidence::new("the doctor runs", "in container tests, on ci-net")));
    }

    #[test]
    fn a_published_port_is_used_inside() {
        let named = unknown("mitmproxy:18082", Some("tests"));
        assert!(named.fixes[0].title.ends_with("and use mitmproxy:8080 there"), "{}", named.fixes[0].title);
        let finding = refused("localhost:18082", Some("tests"));
        assert_eq!(
            finding.summary,
            "port 18082 is published on the host only; inside tests, where the doctor runs, localhost is tests itself"
        );
        assert_eq!(finding.fixes[0].action.commands(), ["docker network connect app-net tests"]);
        assert!(finding.fixes[0].title.ends_with("and use mitmproxy:8080 there"), "{}", finding.fixes[0].title);
        let finding = refused("127.0.0.1:18082", Some("backend"));
        assert_eq!(finding.fixes[0].title, "use mitmproxy:8080 in tests that run in backend");
        let finding = refused("mitmproxy:18082", Some("backend"));
        assert_eq!(
            finding.summary,
            "port 18082 of mitmproxy is published on the host only; inside network app-net it is mitmproxy:8080"
        );
    }

    #[test]
    fn a_port_of_a_container_is_used_on_the_host() {
        let finding = refused("localhost:8080", None);
        assert_eq!(
            finding.summary,
            "nothing listens on port 8080 of this machine; 8080 is the port of mitmproxy inside its network, \
             and here it is 127.0.0.1:18082"
        );
        assert_eq!(refused("localhost:9", None).summary, "nothing listens on port 9 of this machine");
        let verdict = judged("127.0.0.1:8080", None, None, Some(ConnectionAnswer::Refused), |facts| {
            let listener = Listener { ip: example::ip("::1"), port: 8080, uid: None, owner: None };
            facts.host.as_mut().unwrap().listeners = Ok(vec![listener]);
        });
        assert_eq!(
            verdict.findings[0].summary,
            "what listens on port 8080 of this machine does so on ::1 only, not on 127.0.0.1"
        );
    }

    #[test]
    fn a_port_that_is_published_elsewhere_or_not_yet_is_said() {
        let on = |change: fn(&mut Container)| {
            let finding = judged("localhost:18082", None, None, Some(ConnectionAnswer::Refused), |facts| {
                change(&mut facts.containers.as_mut().unwrap().0[1]);
            });
            finding.findings[0].summary.clone()
        };
        assert_eq!(
            on(|own| own.ports[0].host_ip = "172.17.0.1".into()),
            "mitmproxy publishes port 18082 on 172.17.0.1 only, not on localhost"
        );
        assert_eq!(on(|own| own.status = "exited".into()), "mitmproxy would publish port 18082, and is exited");
    }

    #[test]
    fn the_right_name_with_nothing_behind_it() {
        assert_eq!(
            refused("mitmproxy:9", Some("backend")).summary,
            "nothing in mitmproxy listens on port 9, on network app-net"
        );
        let stopped = judged("mitmproxy:8080", Some("backend"), Some(NameAnswer::NoSuchName), None, |facts| {
            facts.containers.as_mut().unwrap().0[1].status = "exited".into();
        });
        assert_eq!(stopped.findings[0].fixes[0].action.commands(), ["docker start mitmproxy"]);
        assert_eq!(unknown("mitmproxi:8080", None).fixes[0].title, "did you mean mitmproxy:8080?");
        assert_eq!(
            refused("203.0.113.9:443", None).summary,
            "203.0.113.9:443 cannot be reached from here: the connection is refused"
        );
    }

    #[test]
    fn a_bad_form_is_said() {
        for form in ["mitmproxy", "http://mitmproxy:8080", ":8080"] {
            let verdict = judged(form, None, None, None, |_| {});
            assert_eq!(verdict.findings[0].summary, format!("`{form}` is no HOST:PORT"));
        }
    }

    #[test]
    fn what_was_not_tried_is_a_gap() {
        let none = judged("localhost:1", None, None, None, |_| {});
        assert_eq!((none.worst(), none.gaps.len()), (None, 1));
        let failed = judged("api.example.com:443", None, Some(NameAnswer::Failed("SERVFAIL".into())), None, |_| {});
        assert_eq!((failed.worst(), failed.gaps.len()), (None, 1));
    }

    #[test]
    fn an_address_that_is_right_may_come_up_and_a_wrong_one_does_not() {
        assert_eq!(refused("127.0.0.1:18082", None).outlook, Outlook::MayHeal);
        assert_eq!(refused("127.0.0.1:9", None).outlook, Outlook::MayHeal);
        assert_eq!(refused("mitmproxy:9", Some("mitmproxy")).outlook, Outlook::MayHeal);
        assert_eq!(refused("127.0.0.1:8080", None).outlook, Outlook::Stays, "the port inside");
        assert_eq!(unknown("mitmproxy:8080", None).outlook, Outlook::Stays, "a name of a network");
        assert_eq!(unknown("nobody:8080", None).outlook, Outlook::Stays, "no container's name resolves on the host");
        assert_eq!(unknown("nobody:8080", Some("tests")).outlook, Outlook::MayHeal, "inside a network it may");
        assert_eq!(unknown("tets:8080", Some("tests")).outlook, Outlook::Stays, "it is misspelt");
    }

    #[test]
    fn who_would_publish_it_may_come_up() {
        let outlook = |status: &str| {
            let change = |facts: &mut Facts| facts.containers.as_mut().unwrap().0[1].status = status.into();
            let verdict = judged("127.0.0.1:18082", None, None, Some(ConnectionAnswer::Refused), change);
            verdict.findings[0].outlook
        };
        assert_eq!((outlook("created"), outlook("exited")), (Outlook::MayHeal, Outlook::Stays));
    }
}
