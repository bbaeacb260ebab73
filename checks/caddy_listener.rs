use crate::model::{
    Action, Edit, Evidence, Finding, Fix, Gap, Hop, Missing, Part, Path, Paths, Place, Role, Setup, Severity, Verdict,
    caddy::{Caddies, CaddyConfig, CaddySeen, Server},
    docker::{Container, Containers, EngineSeen},
    facts::Attempt,
    fix::ApiAt,
    host::Host,
    machine::Machine,
    path::{HopKind, listen_port},
    setup::PartKind,
    text,
    view::Way,
};

check! {
    /// Can the client get in at Caddy?
    ///
    /// ## What it looks at
    /// The addresses on which the servers listen that have a route to mitmproxy; which of them are published on this
    /// machine; and whether Caddy speaks TLS there: because it was told to, or because automatic HTTPS found a host in the
    /// routes. And whether two Caddys listen on one port of one place. With Docker Desktop, OrbStack and Colima
    /// `network_mode: host` is the network of their virtual machine, which forwards its ports to this one or does not.
    ///
    /// ## Why it matters
    /// "Connection refused", "connection reset" or `400 Client sent an HTTP request to an HTTPS server` before any route was
    /// looked at; a redirect (308) to an https address that nobody serves. Adding a route with a real-looking host to a
    /// server on another port than 80 turns that listener to TLS. Two Caddys on one port do not conflict on Linux: they take
    /// turns, and the same request is answered one way and then the other.
    ///
    /// ## How to fix it
    /// Publish the port that Caddy listens on, or let it listen on the port that is published. Without certificates write
    /// `http://` before the host in the Caddyfile, or `auto_https off` at its top.
    id: "caddy-listener",
    group: Caddy,
    after: ["setup-found", "port-conflict", "container-health", "caddy-admin"],
    needs: [Setup, Paths, Caddies, Attempt<Containers>, Attempt<EngineSeen>, Attempt<Host>],
    run: run,
}

fn run(
    setup: &Setup,
    paths: &Paths,
    caddies: &Caddies,
    containers: Result<&Containers, &Missing>,
    engine: Result<&EngineSeen, &Missing>,
    host: Result<&Host, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    let machine = engine.ok().and_then(Machine::of).filter(|machine| machine.is_virtual());
    verdict.gaps.extend(setup.gap(Role::Caddy));
    verdict.gaps.extend(paths.gaps());
    for part in &setup.caddies {
        let Some(seen) = caddies.named(&part.name) else { continue };
        let Ok(config) = &seen.config else { continue };
        let own: Vec<&Path> = paths.paths.iter().filter(|path| path.caddy == part.name).collect();
        let mut listeners: Vec<u16> = own.iter().filter_map(|path| path.listen).map(|(port, _)| port).collect();
        listeners.sort_unstable();
        listeners.dedup();
        for (name, server) in config.servers() {
            if !server.listen_ports().any(|port| listeners.contains(&port)) {
                continue;
            }
            let hosts: Vec<&str> = own.iter().map(|path| path.host.as_str()).collect();
            let (containers, host) = (containers.ok(), host.ok());
            let entry = Entry { part, seen, config, name, server, hosts: &hosts, paths, containers, host };
            match &part.place {
                Place::Container(owner) => match containers.and_then(|all| all.named(owner)) {
                    Some(owner) => entry.of_container(owner, &mut verdict),
                    None => verdict.gaps.push(Gap::about([&part.name], format!("what {owner} publishes is not known"))),
                },
                Place::Host if part.kind == PartKind::Container && machine.is_some() => {
                    let vm = machine.map_or("", Machine::host);
                    let listen = server.listen.join(", ");
                    verdict.evidence.push(Evidence::new(&part.name, format!("listens on {listen} of {vm}")));
                    // Where it is forwarded to this machine, the admin API was asked from here.
                    if seen.way == Way::Exec {
                        let summary =
                            format!("{} is on the host's network, and that is {vm}: not this machine", part.name);
                        let finding = Finding::warn([&part.name], summary)
                            .seen("its admin API", format!("does not answer on this machine ({})", seen.way))
                            .fix(Fix::new(
                                "publish its ports instead of network_mode host, or switch on host networking where the \
                                 engine has it",
                                Action::Manual,
                            ));
                        verdict.findings.push(finding);
                    }
                }
                Place::Host => verdict.evidence.push(Evidence::new(
                    &part.name,
                    format!("listens on {} of this machine itself", server.listen.join(", ")),
                )),
            }
        }
        verdict.findings.extend(shared_port(part, config, setup, caddies));
    }
    if verdict.evidence.is_empty() && verdict.findings.is_empty() && verdict.gaps.is_empty() {
        return Verdict::not_applicable("no server of Caddy has a route that leads to mitmproxy");
    }
    verdict.summary = "a client gets in at Caddy".to_owned();
    verdict
}

/// A server of a Caddy, which has a route to mitmproxy.
struct Entry<'e> {
    part: &'e Part,
    seen: &'e CaddySeen,
    config: &'e CaddyConfig,
    name: &'e str,
    server: &'e Server,
    hosts: &'e [&'e str],
    paths: &'e Paths,
    containers: Option<&'e Containers>,
    host: Option<&'e Host>,
}

impl Entry<'_> {
    fn of_container(&self, owner: &Container, verdict: &mut Verdict) {
        let caddy = &self.part.name;
        let ports: Vec<u16> = self.server.listen_ports().collect();
        let published: Vec<(u16, &str, u16)> =
            ports.iter().filter_map(|port| owner.published(*port).map(|(ip, host)| (*port, ip, host))).collect();
        for (port, ip, host_port) in &published {
            let address = text::join_port(ip, *host_port);
            verdict.evidence.push(Evidence::new(format!("port {port} of {caddy}"), format!("published at {address}")));
            verdict.findings.extend(self.turned_to_tls(*port, *host_port));
            verdict.findings.extend(self.bound_to_loopback(*port, &address));
        }
        let http = &self.config.apps.http;
        let http_port = http.http_port.unwrap_or(80);
        let redirects = !self.server.automatic_https.as_ref().is_some_and(|own| own.disable_redirects)
            && !http.hosts_of_automatic_https(self.server).is_empty();
        let redirecting = owner.published(http_port).filter(|_| redirects);
        if !published.is_empty() {
            verdict.findings.extend(redirecting.and_then(|(ip, host_port)| {
                self.redirects_past_itself(&published, http_port, &text::join_port(ip, host_port))
            }));
            return;
        }
        if let Some((ip, host_port)) = redirecting {
            verdict.findings.push(self.redirects_to_nowhere(&ports, &text::join_port(ip, host_port)));
            return;
        }
        // The admin API's port is no way in.
        let own = self.containers.and_then(|all| all.named(caddy)).and_then(|own| own.detail.as_ref());
        let admin = self.seen.admin_ports(own.and_then(|detail| detail.environment("CADDY_ADMIN")));
        let others: Vec<(u16, u16)> = owner
            .ports
            .iter()
            .filter(|own| own.protocol == "tcp" && !admin.contains(&own.container_port))
            .filter_map(|own| Some((own.host_port?, own.container_port)))
            .filter(|(_, inside)| {
                !self.config.servers().values().any(|other| other.listen_ports().any(|p| p == *inside))
            })
            .collect();
        match others.first() {
            Some((host_port, inside)) => {
                let mut finding = self.published_elsewhere(*host_port, *inside);
                // Its clients may all come by way of another.
                if self.somebody_fronts(owner) {
                    finding.severity = Severity::Warn;
                }
                verdict.findings.push(finding);
            }
            None if self.somebody_fronts(owner) => verdict.evidence.push(Evidence::new(
                caddy,
                "publishes no port that it listens on; containers on its networks can reach it",
            )),
            None => verdict.findings.push(
                Finding::warn(
                    [caddy],
                    format!("{caddy} publishes no port that it listens on, so only other containers reach it"),
                )
                .seen("listens on", self.server.listen.join(", "))
                .fix(Fix::new("publish it", Action::Manual).edit(self.compose_ports(ports.first().copied()))),
            ),
        }
    }

    /// Whether a container that is published shares a network with Caddy: something may stand before it. A mitmproxy does
    /// where it sends on to Caddy.
    fn somebody_fronts(&self, owner: &Container) -> bool {
        let is_target = |hop: &Hop| hop.kind == HopKind::Target && hop.to.as_ref() == Some(&self.part.name);
        self.paths.hops.iter().any(is_target)
            || self.containers.is_some_and(|all| {
                all.0.iter().any(|other| {
                    other.name != owner.name
                        && other.ports.iter().any(|port| port.host_port.is_some())
                        && other.networks.iter().any(|attached| owner.on(&attached.network).is_some())
                        && !matches!(other.program, Some(crate::model::docker::Program::Mitmproxy(_)))
                })
            })
    }

    fn published_elsewhere(&self, host_port: u16, inside: u16) -> Finding {
        let caddy = &self.part.name;
        let listen = self.server.listen.join(", ");
        let mut wanted: Vec<String> = self.server.listen.clone();
        wanted.push(format!(":{inside}"));
        let first = self.server.listen_ports().next();
        Finding::fail(
            [caddy],
            format!("port {host_port} of this machine leads to port {inside} of {caddy}, where no server listens"),
        )
        .seen(format!("server {}", self.name), format!("listens on {listen}"))
        .fix(
            Fix::new(
                format!("let the server listen on port {inside} as well"),
                self.set("listen", serde_json::json!(wanted), Some(serde_json::json!(self.server.listen))),
            )
            .edit(Edit {
                file: "compose.yml".to_owned(),
                language: "yaml",
                text: first.map_or_else(String::new, |port| format!("ports: [\"{host_port}:{port}\"]\n")),
            }),
        )
    }

    fn redirects_to_nowhere(&self, ports: &[u16], at: &str) -> Finding {
        let caddy = &self.part.name;
        let listed = text::list(&ports.iter().map(u16::to_string).collect::<Vec<_>>());
        Finding::fail(
            [caddy],
            format!("{caddy} redirects every request at {at} to https on port {listed}, which is not published"),
        )
        .seen("automatic HTTPS for", self.config.apps.http.hosts_of_automatic_https(self.server).join(", "))
        .fix(self.plain_http(&format!(":{}", self.config.apps.http.http_port.unwrap_or(80))))
        .fix(Fix::new("publish the https port", Action::Manual).edit(self.compose_ports(ports.first().copied())))
    }

    /// A redirect names the port that Caddy listens on itself, whatever the host calls it.
    fn redirects_past_itself(&self, published: &[(u16, &str, u16)], http_port: u16, at: &str) -> Option<Finding> {
        let caddy = &self.part.name;
        let http = &self.config.apps.http;
        // The routes of a server that is there go before the redirect.
        if self.config.servers().values().any(|other| other.listen_ports().any(|port| port == http_port)) {
            return None;
        }
        let first = published.iter().find(|(port, _, _)| http.speaks_tls(self.server, *port))?;
        let (port, _, host_port) = *first;
        let is_had = published.iter().any(|(_, _, own)| *own == port)
            || self.containers.is_some_and(|all| all.publishing(port).is_some())
            || self.host.and_then(|host| host.listeners.as_ref().ok())?.iter().any(|own| own.port == port);
        (!is_had).then(|| {
            let hosts = http.hosts_of_automatic_https(self.server);
            Finding::warn(
                [caddy],
                format!(
                    "{caddy} redirects every request at {at} to https on port {port}, which nobody has on this machine: \
                     its own is published as {host_port}"
                ),
            )
            .seen("automatic HTTPS for", hosts.join(", "))
            .seen("to get there", format!("clients have to ask for https on port {host_port} themselves"))
            .fix(Fix::new(format!("publish it as {port}"), Action::Manual).edit(self.compose_ports(Some(port))))
        })
    }

    fn turned_to_tls(&self, port: u16, host_port: u16) -> Option<Finding> {
        let http = &self.config.apps.http;
        let hosts = http.hosts_of_automatic_https(self.server);
        let looks_plain = |port: u16| port % 100 == 80 || matches!(port, 8000 | 8888 | 3000 | 5000);
        let is_turned = self.server.tls_policies == 0
            && !hosts.is_empty()
            && http.speaks_tls(self.server, port)
            && port != http.https_port.unwrap_or(443);
        if !is_turned || !(looks_plain(port) || looks_plain(host_port)) {
            return None;
        }
        let caddy = &self.part.name;
        let value = serde_json::json!({ "disable": true });
        let old = self.server.automatic_https.as_ref().and_then(|own| serde_json::to_value(own).ok());
        Some(
            Finding::fail(
                [caddy],
                format!("automatic HTTPS turned port {port} of {caddy} to TLS: plain http gets a 400 there"),
            )
            .seen("because of the host", hosts.join(", "))
            .seen(format!("server {}", self.name), format!("listens on {}", self.server.listen.join(", ")))
            .fix(
                Fix::new("switch automatic HTTPS off for this server", self.set("automatic_https", value, old)).edit(
                    Edit {
                        file: "Caddyfile".to_owned(),
                        language: "caddyfile",
                        text: format!("http://{}:{port} {{\n\t# what the site had before\n}}\n", hosts[0]),
                    },
                ),
            ),
        )
    }

    fn bound_to_loopback(&self, port: u16, at: &str) -> Option<Finding> {
        let mut own = self.server.listen.iter().filter(|own| listen_port(own) == Some(port));
        let is_loopback =
            |listen: &&String| ["127.", "localhost:", "[::1]:"].iter().any(|start| listen.starts_with(start));
        let listen = own.clone().next().filter(|_| own.all(|listen| is_loopback(&listen)))?;
        let caddy = &self.part.name;
        let value: Vec<String> =
            self.server.listen.iter().map(|own| if own == listen { format!(":{port}") } else { own.clone() }).collect();
        Some(
            Finding::fail(
                [caddy],
                format!("{caddy} listens on {listen} only, inside the container: {at} leads to nobody"),
            )
            .seen(format!("server {}", self.name), format!("listens on {}", self.server.listen.join(", ")))
            .fix(Fix::new(
                format!("let the server listen on :{port}"),
                self.set("listen", serde_json::json!(value), Some(serde_json::json!(self.server.listen))),
            )),
        )
    }

    fn plain_http(&self, listen: &str) -> Fix {
        let host = self.hosts.first().copied().unwrap_or_default();
        Fix::new(
            format!("serve it without TLS on {listen}"),
            self.set("listen", serde_json::json!([listen]), Some(serde_json::json!(self.server.listen))),
        )
        .edit(Edit {
            file: "Caddyfile".to_owned(),
            language: "caddyfile",
            text: format!("http://{host} {{\n\t# what the site had before\n}}\n"),
        })
    }

    fn compose_ports(&self, port: Option<u16>) -> Edit {
        let port = port.unwrap_or(80);
        Edit {
            file: "compose.yml".to_owned(),
            language: "yaml",
            text: format!("ports: [\"127.0.0.1:{port}:{port}\"]\n"),
        }
    }

    fn set(&self, key: &str, value: serde_json::Value, old: Option<serde_json::Value>) -> Action {
        let config_path = format!("/config/apps/http/servers/{}/{key}", self.name);
        Action::SetCaddy { at: ApiAt::of(self.part, &self.seen.admin), config_path, value, old }
    }
}

/// Another Caddy that listens on a port of the same place.
fn shared_port(part: &Part, config: &CaddyConfig, setup: &Setup, caddies: &Caddies) -> Option<Finding> {
    let others = caddies.0.iter().filter(|other| other.place == part.place && other.name != part.name);
    for other in others {
        // Of two that are both parts, the first tells.
        if setup.caddies.iter().any(|own| own.name == other.name && own.name < part.name) {
            continue;
        }
        let Ok(theirs) = &other.config else { continue };
        let theirs = sockets(theirs);
        if let Some((_, port)) = sockets(config).into_iter().find(|own| theirs.contains(own)) {
            return Some(
                Finding::fail(
                    [&part.name, &other.name],
                    format!(
                        "{} and {} both listen on port {port} of {}, and answer in turns",
                        part.name, other.name, part.place
                    ),
                )
                .fix(Fix::new("stop one of them, or give it another port", Action::Manual)),
            );
        }
    }
    None
}

/// The addresses and ports of all servers. Of two that listen on one port, one at an address of its own, that one gets all
/// requests to it: only the same address is shared.
fn sockets(config: &CaddyConfig) -> Vec<(String, u16)> {
    let socket = |listen: &String| {
        let port = listen_port(listen)?;
        let address = listen.rsplit_once('/').map_or(listen.as_str(), |(_, address)| address);
        let host = address.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
        let host = match host {
            "0.0.0.0" | "::" => "",
            "localhost" => "127.0.0.1",
            host => host,
        };
        Some((host.to_owned(), port))
    };
    config.servers().values().flat_map(|server| server.listen.iter().filter_map(socket)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Context,
        docker::{EngineInfo, Port},
        example,
    };

    fn judged(listen: &str, more: &str, ports: &[(u16, u16)]) -> Verdict {
        let mut facts = example::healthy();
        let config = format!(
            r#"{{"apps":{{"http":{{"servers":{{"srv0":{{"listen":["{listen}"],{more}"routes":[{{"match":[{{"host":["api.example.com"]}}],
            "handle":[{{"handler":"reverse_proxy","upstreams":[{{"dial":"mitmproxy:8080"}}]}}]}}]}}}}}}}}}}"#
        );
        facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config).unwrap());
        let port = |(host, inside): &(u16, u16)| Port {
            container_port: *inside,
            protocol: "tcp".into(),
            host_port: Some(*host),
            host_ip: "127.0.0.1".into(),
        };
        facts.containers.as_mut().unwrap().0[0].ports = ports.iter().map(port).collect();
        (CHECK.run)(&Context::new(facts))
    }

    fn only(verdict: &Verdict) -> &str {
        assert_eq!(verdict.findings.len(), 1, "{:?}", verdict.findings);
        &verdict.findings[0].summary
    }

    #[test]
    fn the_hosts_network_of_a_virtual_machine_is_not_this_machine() {
        let on_host = |system: &str, way: Way| {
            let mut facts = example::healthy();
            let caddy = &mut facts.containers.as_mut().unwrap().0[0];
            (caddy.network_mode, caddy.networks) = ("host".into(), Vec::new());
            let seen = &mut facts.caddies.as_mut().unwrap().0[0];
            (seen.place, seen.way) = (Place::Host, way);
            let info = EngineInfo { operating_system: system.into(), ..EngineInfo::default() };
            facts.engine.as_mut().unwrap().answer.as_mut().unwrap().info = Some(Ok(info));
            (CHECK.run)(&Context::new(facts))
        };
        let verdict = on_host("Docker Desktop", Way::Exec);
        assert_eq!(verdict.evidence[0].value, "listens on :80 of the virtual machine of Docker Desktop");
        assert_eq!(
            verdict.findings[0].summary,
            "caddy is on the host's network, and that is the virtual machine of Docker Desktop: not this machine"
        );
        assert_eq!(verdict.worst(), Some(Severity::Warn));
        assert_eq!(on_host("Docker Desktop", Way::Here).worst(), None, "its ports are forwarded");
        let verdict = on_host("Debian GNU/Linux 12", Way::Exec);
        assert_eq!((verdict.worst(), &*verdict.evidence[0].value), (None, "listens on :80 of this machine itself"));
    }

    #[test]
    fn a_published_listener_passes() {
        assert_eq!(judged(":80", "", &[(18080, 80)]).worst(), None);
        assert_eq!(judged(":443", "", &[(443, 443), (80, 80)]).worst(), None);
        assert_eq!(judged(":8443", "", &[(8443, 8443)]).worst(), None);
    }

    #[test]
    fn a_published_port_that_leads_to_no_listener() {
        let verdict = judged(":8090", r#""automatic_https":{"disable":true},"#, &[(18080, 80), (12019, 2019)]);
        assert_eq!(only(&verdict), "port 18080 of this machine leads to port 80 of caddy, where no server listens");
        assert!(verdict.findings[0].fixes[0].action.commands()[0].contains(r#"[":8090",":80"]"#));
    }

    #[test]
    fn a_redirect_to_a_port_that_is_not_published() {
        let verdict = judged(":443", "", &[(18080, 80)]);
        assert_eq!(
            only(&verdict),
            "caddy redirects every request at 127.0.0.1:18080 to https on port 443, which is not published"
        );
    }

    #[test]
    fn a_redirect_to_a_port_that_has_another_number_outside() {
        let verdict = judged(":443", "", &[(46080, 80), (46443, 443)]);
        assert_eq!(verdict.worst(), Some(Severity::Warn));
        assert_eq!(
            only(&verdict),
            "caddy redirects every request at 127.0.0.1:46080 to https on port 443, which nobody has on this machine: its \
             own is published as 46443"
        );
        let off = r#""automatic_https":{"disable_redirects":true},"#;
        assert_eq!(judged(":443", off, &[(46080, 80), (46443, 443)]).worst(), None);
        assert_eq!(judged(":443", "", &[(46443, 443)]).worst(), None, "no request comes to port 80");
    }

    #[test]
    fn the_admin_api_is_no_way_in_on_any_port() {
        let with = |admin: Option<&str>, ports: &[u16], asked: &str| {
            let mut facts = example::healthy();
            let own = &mut facts.containers.as_mut().unwrap().0[0];
            own.detail.as_mut().unwrap().environment =
                admin.map(|told| ("CADDY_ADMIN".into(), told.into())).into_iter().collect();
            own.ports = ports
                .iter()
                .map(|port| Port {
                    container_port: *port,
                    protocol: "tcp".into(),
                    host_port: Some(*port),
                    host_ip: "127.0.0.1".into(),
                })
                .collect();
            facts.caddies.as_mut().unwrap().0[0].admin = asked.into();
            (CHECK.run)(&Context::new(facts)).findings.remove(0).severity
        };
        let default = "http://127.0.0.1:2019";
        // That nothing is published is a warning.
        assert_eq!(with(Some(":2020"), &[2020], default), Severity::Warn);
        assert_eq!(with(None, &[2020], "http://127.0.0.1:2020"), Severity::Warn);
        assert_eq!(with(None, &[2020], default), Severity::Fail);
    }

    #[test]
    fn a_port_that_leads_nowhere_is_a_warning_where_another_stands_before_caddy() {
        let mut facts = example::healthy();
        let all = &mut facts.containers.as_mut().unwrap().0;
        all[0].ports[0].container_port = 8090;
        let mut nginx = example::container("nginx", "app-net", "172.20.0.9");
        nginx.ports = vec![Port { host_port: Some(443), ..all[0].ports[0].clone() }];
        all.push(nginx);
        let verdict = (CHECK.run)(&Context::new(facts));
        assert_eq!(only(&verdict), "port 18080 of this machine leads to port 8090 of caddy, where no server listens");
        assert_eq!(verdict.findings[0].severity, Severity::Warn);
    }

    #[test]
    fn a_caddy_behind_mitmproxy_need_not_be_published() {
        let mut facts = example::healthy();
        facts.containers.as_mut().unwrap().0[0].ports.clear();
        let config = facts.caddies.as_ref().unwrap().0[0].config.as_ref().unwrap();
        let config = serde_json::to_string(config).unwrap().replace("mitmproxy:8080", "backend:3000");
        facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config).unwrap());
        assert_eq!((CHECK.run)(&Context::new(facts.clone())).worst(), Some(Severity::Warn));
        let seen = &mut facts.mitmproxies.as_mut().unwrap().0[0];
        seen.options.as_mut().unwrap().mode = vec!["reverse:http://caddy:80".into()];
        seen.servers = None;
        assert_eq!((CHECK.run)(&Context::new(facts)).worst(), None);
    }

    #[test]
    fn automatic_https_turns_a_listener_to_tls() {
        let verdict = judged(":18080", "", &[(18080, 18080)]);
        assert_eq!(only(&verdict), "automatic HTTPS turned port 18080 of caddy to TLS: plain http gets a 400 there");
        for off in [r#""automatic_https":{"disable":true},"#, r#""automatic_https":{"skip":["api.example.com"]},"#] {
            assert_eq!(judged(":18080", off, &[(18080, 18080)]).worst(), None, "{off}");
        }
    }

    #[test]
    fn a_listener_on_loopback_is_not_reached_through_a_published_port() {
        let verdict = judged("127.0.0.1:80", "", &[(18080, 80)]);
        assert_eq!(
            only(&verdict),
            "caddy listens on 127.0.0.1:80 only, inside the container: 127.0.0.1:18080 leads to nobody"
        );
    }

    #[test]
    fn one_that_publishes_nothing_is_a_warning() {
        assert_eq!(judged(":80", "", &[]).findings[0].severity, Severity::Warn);
    }

    fn two_caddys(listen: [&str; 2]) -> Verdict {
        let mut facts = example::healthy();
        let mut second = facts.caddies.as_ref().unwrap().0[0].clone();
        second.name = "caddy-2".into();
        facts.caddies.as_mut().unwrap().0.push(second);
        for (seen, listen) in facts.caddies.as_mut().unwrap().0.iter_mut().zip(listen) {
            let config = seen.config.as_mut().unwrap();
            config.apps.http.servers.get_mut("srv0").unwrap().listen = vec![listen.to_owned()];
        }
        (CHECK.run)(&Context::new(facts))
    }

    #[test]
    fn two_caddys_take_turns() {
        for other in ["127.0.0.1:80", "10.0.0.5:80", ":81"] {
            assert_eq!(two_caddys([":80", other]).worst(), None, "{other}");
        }
        assert!(two_caddys(["tcp/:80", "0.0.0.0:80"]).worst().is_some());
        let verdict = two_caddys([":80", ":80"]);
        assert_eq!(only(&verdict), "caddy and caddy-2 both listen on port 80 of caddy, and answer in turns");
    }
}
