//! The containers and networks that `up` would make, in the words that inspect would use.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use bollard::models::ImageInspect;
use caddy_doctor_checks::model::{
    Composed, Facts, Known, Missing, Role,
    caddy::CaddySeen,
    docker::{
        Attachment, Compose, Container, Containers, Detail, Network, Networks, PLANNED, Port, Program, Recipe,
        is_user_defined,
    },
    facts::Kind,
    left_out::LeftOut,
    mitmproxy::{CommandLine, MitmproxySeen},
    setup::{self, Part},
    text,
    view::Way,
};
use futures_util::future::join_all;
use serde_json::Value;

use super::{
    config,
    values::{environment, labels, ports, text_of, words_of},
};
use crate::probe::{
    deadline::Deadline,
    docker::{self, Engined},
};

/// What compose files say, read and not yet compared with an engine.
pub(crate) struct Plan {
    composed: Composed,
    root: Value,
    folder: PathBuf,
    /// The version of compose; empty when it is not installed.
    version: String,
}

/// What was read of the parts that are not there yet, in place of asking them.
#[derive(Default)]
pub(crate) struct Laid {
    caddies: Vec<CaddySeen>,
    mitmproxies: Vec<MitmproxySeen>,
}

impl Laid {
    pub(crate) fn caddy(&self, part: &Part) -> Option<&CaddySeen> {
        self.caddies.iter().find(|seen| seen.name == part.name)
    }

    pub(crate) fn mitmproxy(&self, part: &Part) -> Option<&MitmproxySeen> {
        self.mitmproxies.iter().find(|seen| seen.name == part.name)
    }
}

/// A service, and the container that it would be.
struct Service<'p> {
    value: &'p Value,
    container: Container,
    /// Entry point and command, as far as they are known.
    words: Vec<String>,
}

impl Plan {
    pub(super) fn new(composed: Composed, root: Value, first: &Path, version: &str) -> Self {
        Self { composed, root, folder: super::folder_of(first), version: version.to_owned() }
    }

    /// Puts what `up` would make beside what the engine has; what it would replace goes out.
    pub(crate) async fn lay_over(&self, facts: &mut Facts, engined: Option<&Engined>, deadline: Deadline) -> Laid {
        let mut composed = self.composed.clone();
        if !composed.not_resolved.is_empty() {
            let asked = format!("reading {}", text::list(&composed.files));
            let why = composed.not_resolved.join("; ");
            facts.containers = Err(Missing::failed(asked, Kind::Unsupported, why));
            facts.asked.compose = Some(composed);
            return Laid::default();
        }
        let networks = self.networks(facts.networks.as_ref().ok());
        let mut services = self.services();
        // A part may be named as the file names it.
        for reference in [&mut facts.asked.caddy, &mut facts.asked.mitmproxy].into_iter().flatten() {
            let named = |service: &&Service<'_>| {
                service.container.compose.as_ref().is_some_and(|own| own.service == *reference)
            };
            if let Some(service) = services.iter().find(named) {
                reference.clone_from(&service.container.name);
            }
        }
        let images: BTreeSet<String> = services.iter().map(|service| service.container.image.clone()).collect();
        let ask = join_all(images.into_iter().map(async |name| {
            let answer = match engined {
                Some(engine) => engine.image(&name).await,
                None => {
                    Err(Missing::failed(format!("looking for image {name}"), Kind::NotRunning, "no engine answers"))
                }
            };
            (name, answer)
        }));
        let images: BTreeMap<String, Known<ImageInspect>> = ask.await.into_iter().collect();
        for service in &mut services {
            if let Some(image) = images.get(&service.container.image) {
                service.run_image(image);
            }
        }

        let running = facts.containers.as_ref().map(|all| all.0.clone()).unwrap_or_default();
        let (replaced, mut all): (Vec<Container>, Vec<Container>) = running.into_iter().partition(|own| {
            services.iter().any(|service| {
                let same = |a: &Compose, b: &Compose| a.project == b.project && a.service == b.service;
                own.name == service.container.name
                    || own.compose.as_ref().zip(service.container.compose.as_ref()).is_some_and(|(a, b)| same(a, b))
            })
        });
        // What the same project holds now, `up` takes over.
        let given_up: Vec<u16> = replaced.iter().filter(|own| own.runs()).flat_map(ports_held).collect();
        if let Ok(host) = &mut facts.host
            && let Ok(listeners) = &mut host.listeners
        {
            listeners.retain(|listener| !given_up.contains(&listener.port));
        }
        all.extend(services.iter().map(|service| service.container.clone()));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let all = Containers(all);

        let mut laid = Laid::default();
        let found = setup::candidates(&facts.asked, Some(&all), facts.host.as_ref().ok());
        for part in found.iter().filter(|part| all.is_planned(&part.name)) {
            let Some(service) = services.iter().find(|service| service.container.name == part.name) else { continue };
            match part.role {
                Role::Caddy => {
                    let of = (self.root.clone(), service.value.clone(), service.words.clone(), self.folder.clone());
                    let looked =
                        crate::gather::blocking(deadline, "reading the config that Caddy would load", move || {
                            let (root, value, words, folder) = of;
                            Ok(config::of(&root, &value, &words, &folder))
                        });
                    let (file, config) = looked.await.unwrap_or_else(|missing| (None, Err(missing)));
                    composed.configs.extend(file.map(|file| (part.name.clone(), file)));
                    laid.caddies.push(CaddySeen {
                        name: part.name.clone(),
                        place: part.place.clone(),
                        version: service.version(),
                        admin: "http://127.0.0.1:2019".to_owned(),
                        way: Way::Planned,
                        config,
                        published: None,
                    });
                }
                Role::Mitmproxy => laid.mitmproxies.push(service.mitmproxy(part, &self.folder)),
            }
        }
        facts.left_out.extend(services.iter().flat_map(Service::left_out));
        facts.containers = Ok(all);
        facts.networks = Ok(networks);
        facts.asked.compose = Some(composed);
        laid
    }

    /// The networks of the engine, and those that `up` makes. One that is external, and that the engine does not have, is
    /// left out where the engine could be asked.
    fn networks(&self, existing: Option<&Networks>) -> Networks {
        let mut all = existing.cloned().unwrap_or_default();
        for (key, name, value) in self.network_names() {
            let external = is_external(&value);
            if let Some(own) = all.0.iter_mut().find(|own| own.name == name) {
                own.compose_name.get_or_insert_with(|| key.clone());
                if external {
                    own.compose_name = None;
                }
            } else if !external || existing.is_none() {
                let ipam = value.get("ipam").and_then(|ipam| ipam.get("config")).and_then(Value::as_array);
                let subnets = ipam.into_iter().flatten().filter_map(|config| text_of(config.get("subnet")?));
                let mtu = value.get("driver_opts").and_then(|opts| opts.get("com.docker.network.driver.mtu"));
                all.0.push(Network {
                    driver: value.get("driver").and_then(text_of).unwrap_or_else(|| "bridge".to_owned()),
                    subnets: subnets.collect(),
                    mtu: mtu.and_then(text_of).and_then(|mtu| mtu.parse().ok()),
                    compose_name: (!external).then_some(key),
                    name,
                    ..Network::default()
                });
            }
        }
        all.0.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Key in the file, name on the engine, and what the file says of it.
    fn network_names(&self) -> Vec<(String, String, Value)> {
        let declared = self.root.get("networks").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut used: BTreeSet<String> = declared.keys().cloned().collect();
        if self
            .services()
            .iter()
            .any(|service| service.container.networks.iter().any(|on| on.network == self.default_network()))
        {
            used.insert("default".to_owned());
        }
        used.into_iter()
            .map(|key| (key.clone(), self.network_name(&key), declared.get(&key).cloned().unwrap_or_default()))
            .collect()
    }

    fn network_name(&self, key: &str) -> String {
        let declared = self.root.get("networks").and_then(|networks| networks.get(key));
        let named =
            declared.and_then(|own| own.get("name").or_else(|| own.get("external")?.get("name"))).and_then(text_of);
        named.unwrap_or_else(|| match declared.is_some_and(is_external) {
            true => key.to_owned(),
            false => format!("{}_{key}", self.composed.project),
        })
    }

    fn default_network(&self) -> String {
        self.network_name("default")
    }

    fn services(&self) -> Vec<Service<'_>> {
        let all = self.root.get("services").and_then(Value::as_object).into_iter().flatten();
        all.filter(|(_, value)| self.is_started(value)).map(|(name, value)| self.service(name, value)).collect()
    }

    /// compose leaves out services of profiles that are not asked for; without it the doctor does.
    fn is_started(&self, value: &Value) -> bool {
        let profiles = value.get("profiles").and_then(Value::as_array).is_some_and(|profiles| !profiles.is_empty());
        let count = value.get("scale").or_else(|| value.get("deploy")?.get("replicas")).and_then(Value::as_u64);
        (!profiles || self.composed.resolved_by.is_some()) && count != Some(0)
    }

    fn container_name(&self, service: &str) -> String {
        let value = self.root.get("services").and_then(|all| all.get(service));
        let named = value.and_then(|value| value.get("container_name")).and_then(text_of);
        named.unwrap_or_else(|| {
            let between = if self.version.starts_with("1.") { "_" } else { "-" };
            format!("{}{between}{service}{between}1", self.composed.project)
        })
    }

    fn service<'p>(&self, service: &str, value: &'p Value) -> Service<'p> {
        let name = self.container_name(service);
        let between = if self.version.starts_with("1.") { "_" } else { "-" };
        let image = value.get("image").and_then(text_of);
        let own_image = || format!("{}{between}{service}", self.composed.project);
        let mode = value.get("network_mode").and_then(text_of).unwrap_or_default();
        let mode = match mode.strip_prefix("service:") {
            Some(other) => format!("container:{}", self.container_name(other)),
            None => mode,
        };
        let networks: Vec<Attachment> = match mode.as_str() {
            "" => self.attachments(service, &name, value),
            "host" | "none" => Vec::new(),
            mode if mode.starts_with("container:") => Vec::new(),
            network => {
                vec![Attachment { network: network.to_owned(), names: vec![name.clone()], ..Attachment::default() }]
            }
        };
        let (entrypoint, command) = (words_of(value.get("entrypoint")), words_of(value.get("command")));
        let words: Vec<String> = entrypoint.iter().flatten().chain(command.iter().flatten()).cloned().collect();
        let environment = environment(value.get("environment"));
        let kept = docker::kept_environment(environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let container = Container {
            image: image.unwrap_or_else(own_image),
            status: PLANNED.to_owned(),
            network_mode: match (mode.is_empty(), networks.first()) {
                (true, Some(first)) => first.network.clone(),
                _ => mode,
            },
            networks,
            ports: ports(value),
            role_label: labels(value.get("labels"))
                .into_iter()
                .find(|(key, _)| key == "doctor.role")
                .map(|(_, role)| role),
            compose: Some(Compose {
                project: self.composed.project.clone(),
                service: service.to_owned(),
                working_dir: self.folder.display().to_string(),
                files: self.composed.files.clone(),
                version: self.version.clone(),
                // Nothing waits before `up`.
                waits_for_healthy: Vec::new(),
            }),
            program: docker::program(&words),
            detail: Some(Box::new(Detail {
                tty: value.get("tty").and_then(Value::as_bool).unwrap_or_default(),
                extra_hosts: labels(value.get("extra_hosts"))
                    .into_iter()
                    .map(|(host, ip)| format!("{host}:{ip}"))
                    .collect(),
                environment: kept,
                recipe: Recipe { command_words: command.as_ref().map_or(0, Vec::len), ..Recipe::default() },
                ..Detail::default()
            })),
            name,
            ..Container::default()
        };
        Service { value, container, words }
    }

    fn attachments(&self, service: &str, container: &str, value: &Value) -> Vec<Attachment> {
        let keys: Vec<(String, Value)> = match value.get("networks") {
            Some(Value::Object(map)) if !map.is_empty() => {
                map.iter().map(|(key, own)| (key.clone(), own.clone())).collect()
            }
            Some(Value::Array(list)) if !list.is_empty() => {
                list.iter().filter_map(|key| Some((text_of(key)?, Value::Null))).collect()
            }
            _ => vec![("default".to_owned(), Value::Null)],
        };
        // Newer engines answer to the host name as well.
        let hostname = value.get("hostname").and_then(text_of);
        let linked = self.linked_as(service);
        let mut all: Vec<Attachment> = keys
            .into_iter()
            .map(|(key, own)| {
                let network = self.network_name(&key);
                let mut names = vec![container.to_owned()];
                if is_user_defined(&network) {
                    let aliases = words_of(own.get("aliases")).unwrap_or_default();
                    let more =
                        [service.to_owned()].into_iter().chain(aliases).chain(hostname.clone()).chain(linked.clone());
                    for name in more {
                        if !names.contains(&name) {
                            names.push(name);
                        }
                    }
                }
                let ip = own.get("ipv4_address").and_then(text_of).and_then(|ip| ip.parse().ok());
                Attachment { network, ip, gateway: None, names }
            })
            .collect();
        all.sort_by(|a, b| a.network.cmp(&b.network));
        all
    }

    /// Names that `links` of other services have for this one.
    fn linked_as(&self, service: &str) -> Vec<String> {
        let all = self.root.get("services").and_then(Value::as_object).into_iter().flatten();
        let links = all.flat_map(|(_, value)| words_of(value.get("links")).unwrap_or_default());
        links.filter_map(|link| Some(link.split_once(':').filter(|(own, _)| *own == service)?.1.to_owned())).collect()
    }
}

impl Service<'_> {
    /// Adds what the image brings: its program, ports and variables. What the file says goes first.
    fn run_image(&mut self, image: &Known<ImageInspect>) {
        let file = |key: &str| words_of(self.value.get(key));
        let built = self.value.get("build").is_some();
        let (entrypoint, command, exposed) = match image {
            Ok(image) => {
                let config = image.config.clone().unwrap_or_default();
                if let Some(detail) = &mut self.container.detail {
                    detail.image_id = image.id.clone().unwrap_or_default();
                    let environment = config.env.iter().flatten().filter_map(|entry| entry.split_once('='));
                    for (name, value) in docker::kept_environment(environment) {
                        if detail.environment(&name).is_none() {
                            detail.environment.push((name, value));
                        }
                    }
                }
                (config.entrypoint, config.cmd, config.exposed_ports.unwrap_or_default())
            }
            Err(missing) => {
                let will = if built {
                    "it is not here yet: `up` will build it"
                } else {
                    "it is not here yet: `up` will pull it"
                };
                let asked = format!("looking for image {}", self.container.image);
                self.container.not_inspected = Some(match missing.kind() {
                    Some(Kind::NotFound) => Missing::failed(asked, Kind::NotFound, will),
                    _ => missing.clone(),
                });
                match official(&self.container.image).filter(|_| !built) {
                    Some((entrypoint, command, ports)) => {
                        let owned =
                            |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
                        (owned(entrypoint), owned(command), ports.iter().map(|port| format!("{port}/tcp")).collect())
                    }
                    None => (None, None, Vec::new()),
                }
            }
        };
        // An entry point in the file takes the command of the image away.
        let command = match (file("command"), file("entrypoint")) {
            (Some(command), _) => command,
            (None, Some(_)) => Vec::new(),
            (None, None) => command.unwrap_or_default(),
        };
        self.words = file("entrypoint").or(entrypoint).unwrap_or_default();
        self.words.extend(command);
        self.container.program = docker::program(&self.words);
        for spec in exposed {
            let (port, protocol) = spec.split_once('/').unwrap_or((&spec, "tcp"));
            let Ok(container_port) = port.parse() else { continue };
            if !self.container.ports.iter().any(|own| own.container_port == container_port && own.protocol == protocol)
            {
                let protocol = protocol.to_owned();
                self.container.ports.push(Port { container_port, protocol, host_port: None, host_ip: String::new() });
            }
        }
        self.container.ports.sort();
    }

    /// What the file says of it and is not kept.
    fn left_out(&self) -> Vec<LeftOut> {
        let of = format!("the compose file's service for {}", self.container.name);
        let environment = environment(self.value.get("environment"));
        let kept = docker::kept_environment(environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let labels = labels(self.value.get("labels")).into_iter().filter(|(name, _)| name != docker::ROLE).count();
        let variables = LeftOut::counted(&of, "variables of its environment", environment.len() - kept.len());
        let line = match &self.container.program {
            Some(Program::Mitmproxy(line)) => docker::left_out_of_line(&of, line),
            _ => Vec::from_iter(LeftOut::counted(&of, "words of its command line", self.words.len())),
        };
        variables.into_iter().chain(LeftOut::counted(&of, "labels", labels)).chain(line).collect()
    }

    /// `CADDY_VERSION` of its image, or the tag of an official one.
    fn version(&self) -> Option<String> {
        let by_image = self.container.detail.as_ref().and_then(|detail| detail.environment("CADDY_VERSION"));
        let version = by_image.map(|version| version.trim_start_matches('v').to_owned());
        version.or_else(|| {
            official(&self.container.image)?;
            let tag = self.container.image.split('@').next()?.rsplit_once(':')?.1;
            // `2` may be any of them.
            let is_exact = tag.starts_with(|c: char| c.is_ascii_digit()) && tag.contains('.');
            is_exact.then(|| tag.split('-').next().unwrap_or(tag).to_owned())
        })
    }

    fn mitmproxy(&self, part: &Part, folder: &Path) -> MitmproxySeen {
        let asked = format!("asking {}", part.name);
        // A config file in its folder says more than the command line.
        let mounted = config::mounts(self.value, folder).into_iter().find_map(|mount| {
            let inside = mount.target.contains(".mitmproxy");
            let file = if mount.source.is_dir() { mount.source.join("config.yaml") } else { mount.source };
            (inside && file.file_name().is_some_and(|name| name == "config.yaml") && file.exists()).then_some(file)
        });
        let missing = match (&self.container.program, mounted) {
            (_, Some(file)) => {
                Missing::failed(asked, Kind::Unsupported, format!("its {} was not read", file.display()))
            }
            (Some(Program::Mitmproxy(_)), None) => Missing::failed(asked, Kind::NotRunning, "it does not run yet"),
            (_, None) => {
                Missing::failed(asked, Kind::Unsupported, "the compose file and its image do not tell what it runs")
            }
        };
        let command_line = match &self.container.program {
            Some(Program::Mitmproxy(line)) => line.clone(),
            _ => CommandLine::default(),
        };
        MitmproxySeen {
            name: part.name.clone(),
            place: part.place.clone(),
            version: self.version(),
            web: format!("http://127.0.0.1:{}", command_line.web_port()),
            way: Way::Planned,
            options: Err(missing.clone()),
            servers: None,
            flows: Err(missing),
            held: None,
            events: None,
            connected_since: false,
            complaints: None,
            published: None,
            usage: None,
            command_line,
        }
    }
}

/// What the official images run and expose, where they are not here to be asked: entry point, command, ports.
fn official(image: &str) -> Option<(&'static [&'static str], &'static [&'static str], &'static [u16])> {
    let image = image.split('@').next().unwrap_or(image);
    let name = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    };
    match name.trim_start_matches("docker.io/").trim_start_matches("library/") {
        "caddy" => Some((
            &[],
            &["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"],
            &[80, 443, 2019],
        )),
        "mitmproxy/mitmproxy" => Some((&["docker-entrypoint.sh"], &["mitmproxy"], &[8080, 8081])),
        _ => None,
    }
}

/// The ports of the host that a container holds by itself or by its publishes.
fn ports_held(container: &Container) -> Vec<u16> {
    let mut held: Vec<u16> = container.ports.iter().filter_map(|port| port.host_port).collect();
    match &container.program {
        _ if container.network_mode != "host" => {}
        Some(Program::Mitmproxy(line)) => held.extend([line.listen_port(), line.web_port()]),
        Some(Program::Caddy) => held.extend([80, 443, 2019]),
        None => {}
    }
    held
}

fn is_external(network: &Value) -> bool {
    network.get("external").is_some_and(|external| external.is_object() || external.as_bool() == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(root: Value, version: &str) -> Plan {
        let composed = Composed { project: "p".into(), resolved_by: Some("compose".into()), ..Composed::default() };
        Plan::new(composed, root, Path::new("/nowhere/compose.yml"), version)
    }

    #[test]
    fn a_service_has_the_names_that_compose_gives_it() {
        let root = json!({
            "services": {
                "caddy": {"image": "caddy:2", "networks": {"edge": {"aliases": ["front"]}}},
                "mitm": {"image": "mitmproxy/mitmproxy", "network_mode": "service:caddy"},
                "api": {"build": ".", "hostname": "api-host", "links": ["caddy:gate"]},
            },
            "networks": {"edge": {"external": true, "name": "edge-net"}},
        });
        let plan = plan(root, "2.27.0");
        let services = plan.services();
        let of = |name: &str| &services.iter().find(|own| own.container.name == name).unwrap().container;
        let caddy = of("p-caddy-1");
        assert_eq!(caddy.networks[0].network, "edge-net");
        assert_eq!(caddy.networks[0].names, ["p-caddy-1", "caddy", "front", "gate"]);
        assert_eq!(of("p-mitm-1").network_mode, "container:p-caddy-1");
        let api = of("p-api-1");
        assert_eq!((api.networks[0].network.as_str(), api.image.as_str()), ("p_default", "p-api"));
        assert!(api.answers_to("api-host"));
        let names: Vec<String> = plan.networks(None).0.into_iter().map(|own| own.name).collect();
        assert_eq!(names, ["edge-net", "p_default"]);
        let names: Vec<String> = plan.networks(Some(&Networks::default())).0.into_iter().map(|own| own.name).collect();
        assert_eq!(names, ["p_default"], "an engine that has no edge-net says so");
    }

    #[test]
    fn no_value_of_an_environment_or_label_is_kept() {
        let root = json!({"services": {"m": {
            "image": "mitmproxy/mitmproxy:10.4.2", "command": "mitmweb --set web_password=SECRET --mode reverse:http://b:1",
            "environment": {"TOKEN": "SECRET", "HTTP_PROXY": "http://u:SECRET@proxy:3128"}, "labels": ["a=SECRET"],
        }}});
        let plan = plan(root, "1.29.2");
        let service = &plan.services()[0];
        let text = serde_json::to_string(&service.container).unwrap();
        assert!(!text.contains("SECRET"), "{text}");
        assert!(text.contains("proxy:3128") && service.container.name == "p_m_1");
        assert_eq!(service.version().as_deref(), Some("10.4.2"));
    }

    #[test]
    fn an_official_image_that_is_not_here_runs_what_it_runs() {
        let root = json!({"services": {"c": {"image": "caddy:2"}, "m": {"image": "mitmproxy/mitmproxy:10"}, "x": {"image": "x"}}});
        let plan = plan(root, "2.27.0");
        let missing = Err(Missing::failed("GET", Kind::NotFound, "HTTP 404"));
        let mut services = plan.services();
        services.iter_mut().for_each(|service| service.run_image(&missing));
        let programs: Vec<bool> = services.iter().map(|service| service.container.program.is_some()).collect();
        assert_eq!(programs, [true, true, false]);
        assert_eq!(services[0].version(), None, "2 may be any of them");
    }
}
