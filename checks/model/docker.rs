//! What a Docker engine knows: itself, its containers and its networks.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{
    Known, Missing, Place,
    caddy::{CaddyConfig, Server},
    facts::Kind,
    text,
};

/// The engine that was meant, why it is that one, and what it answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EngineSeen {
    /// `unix:///var/run/docker.sock`, `tcp://127.0.0.1:2375`, `npipe:////./pipe/docker_engine`.
    pub endpoint: String,
    /// `DOCKER_HOST`, `docker context desktop-linux`, `the default`.
    pub chosen_by: String,
    /// Engines at the other usual places that answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherEngine>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// The group that may use the socket, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_group: Option<String>,
    /// The command that starts it, where this machine has one: a systemd unit, Docker Desktop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_with: Option<String>,
    /// Where a context is meant that is not defined: those that are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contexts: Vec<String>,
    pub answer: Known<Engine>,
}

/// An engine that answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Engine {
    /// `docker` or `podman`.
    pub name: String,
    /// `28.1.1`.
    pub version: String,
    /// The newest API that it speaks: `1.41`.
    pub api: String,
    /// `GET /info`, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Known<EngineInfo>>,
}

/// What `/info` says, as far as checks use it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EngineInfo {
    /// In the kernel's words: `x86_64`, `aarch64`.
    pub architecture: String,
    /// `Debian GNU/Linux 12`, `Docker Desktop`.
    pub operating_system: String,
    /// Whether it runs without root's rights: `name=rootless` among its `SecurityOptions`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rootless: bool,
    /// What its clock said: `2026-11-23T20:30:00.123456789Z`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time: String,
    /// The engine's own proxies, without user info; containers do not get them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<(String, String)>,
}

/// The images of the parts of the setup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Images(pub Vec<ImageSeen>);

impl Images {
    /// The image that a container runs.
    #[must_use]
    pub fn of(&self, container: &Container) -> Option<&Known<Image>> {
        let id = &container.detail.as_ref()?.image_id;
        self.0.iter().find(|seen| seen.id == *id).map(|seen| &seen.image)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ImageSeen {
    /// `sha256:...`
    pub id: String,
    pub image: Known<Image>,
}

/// `GET /images/ID/json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Image {
    /// In Go's words: `amd64`, `arm64`.
    pub architecture: String,
    pub os: String,
    /// The label `org.opencontainers.image.version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// What a container uses now, from `/containers/ID/stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Usage {
    /// In bytes, without the page cache that the kernel can take back, as `docker stats` counts.
    pub memory: u64,
    /// In bytes; absent when it has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
    /// In billionths of a processor; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_limit: Option<u64>,
    /// How many scheduling periods there were since it started, and in how many of them it was held back.
    #[serde(default)]
    pub periods: u64,
    #[serde(default)]
    pub throttled_periods: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OtherEngine {
    pub endpoint: String,
    /// As its `/_ping` says: `docker 28.1.1`.
    pub version: String,
    /// Names of its containers that look like Caddy or mitmproxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
}

/// Every container of the engine, stopped ones too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Containers(pub Vec<Container>);

impl Containers {
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Container> {
        self.0.iter().find(|container| container.name == name)
    }

    /// By a name, an id, or the beginning of an id (as `network_mode: container:x` has it).
    #[must_use]
    pub fn by_reference(&self, reference: &str) -> Option<&Container> {
        self.named(reference)
            .or_else(|| self.0.iter().find(|container| reference.len() >= 12 && container.id.starts_with(reference)))
    }

    /// The place that a container is really in; itself, when the owner of its namespace is gone.
    #[must_use]
    pub fn place_of(&self, container: &Container) -> Place {
        let mut owner = container;
        // No chain is longer than there are containers; one that goes in a circle is no engine's.
        for _ in 0..self.0.len() {
            match owner.network_mode.strip_prefix("container:").and_then(|owner| self.by_reference(owner)) {
                Some(next) => owner = next,
                None => break,
            }
        }
        if owner.network_mode == "host" { Place::Host } else { Place::Container(owner.name.clone()) }
    }

    /// The container that has this address on one of its networks, with that attachment.
    #[must_use]
    pub fn at(&self, ip: IpAddr) -> Option<(&Container, &Attachment)> {
        self.0.iter().find_map(|container| {
            container.networks.iter().find(|attached| attached.ip == Some(ip)).map(|attached| (container, attached))
        })
    }

    /// Whether this is the name of a container that a compose file describes and that is not there yet.
    #[must_use]
    pub fn is_planned(&self, name: &str) -> bool {
        self.named(name).is_some_and(Container::is_planned)
    }

    /// The container that publishes a port of the host, and the port inside it.
    #[must_use]
    pub fn publishing(&self, host_port: u16) -> Option<(&Container, u16)> {
        self.0.iter().filter(|container| container.lives()).find_map(|container| {
            container
                .ports
                .iter()
                .find(|port| port.host_port == Some(host_port) && port.protocol == "tcp")
                .map(|port| (container, port.container_port))
        })
    }
}

impl Containers {
    /// Whether a container that does not run now may come up and publish a port of the host.
    #[must_use]
    pub fn may_publish(&self, host_port: u16) -> bool {
        let has = |own: &Container| own.ports.iter().any(|port| port.host_port == Some(host_port));
        self.0.iter().any(|own| own.may_come_up() && has(own))
    }
}

/// One container. What `/containers/json` says; `detail` is there when it was inspected as well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Container {
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    pub image: String,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`; or [`PLANNED`].
    pub status: String,
    /// `bridge`, `host`, `none`, `container:<id>`, or the name of a network.
    pub network_mode: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Attachment>,
    /// Published and exposed ports; what was wanted (`HostConfig`) when it was inspected, else what is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// The label `doctor.role`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<Compose>,
    /// What it runs, as far as it can be told from its command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Program>,
    /// Why it could not be inspected, when it was to be: it may have gone away meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_inspected: Option<Missing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Box<Detail>>,
}

/// For how long a container counts as one that may still be starting, in seconds.
const STARTING_S: u64 = 30;

/// The status of a container that is not there: a compose file describes it (`--compose`).
pub const PLANNED: &str = "planned";

impl Container {
    #[must_use]
    pub fn runs(&self) -> bool {
        self.status == "running"
    }

    /// Whether it may be running later without anybody's doing: `up` has created it and not started it yet, or a restart
    /// policy brings back what ended by itself. What was stopped from outside stays so.
    #[must_use]
    pub fn may_come_up(&self) -> bool {
        let Some(detail) = self.detail.as_deref() else { return self.status == "created" };
        match self.status.as_str() {
            "created" => detail.error.is_empty() && detail.lost_owner.is_none(),
            "restarting" => true,
            "exited" => match detail.restart_policy() {
                // Podman shows for a moment what Docker calls restarting.
                Some(policy) if !detail.was_stopped() => {
                    let most = policy.split_once(':').and_then(|(_, most)| most.parse::<i64>().ok());
                    most.is_none_or(|most| detail.restarts < most)
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether it runs and may still be starting: mitmweb takes some seconds until it listens, and longer on a slow machine.
    /// Where it is not known since when it runs, that may be so.
    #[must_use]
    pub fn may_be_starting(&self) -> bool {
        let age = self.detail.as_ref().and_then(|detail| detail.running_s);
        self.runs() && (age.is_none() || self.has_just_started())
    }

    /// Whether an API of it that gave no answer may give one later without anybody's doing. While it starts that shows as a
    /// refusal only to who may ask from inside; to others as a way that is not theirs and a published port that hangs up.
    #[must_use]
    pub fn may_answer_later(&self, missing: &Missing) -> bool {
        missing.may_heal(self.may_be_starting())
            || self.has_just_started() && matches!(missing.kind(), Some(Kind::Denied | Kind::Unsupported))
    }

    /// Whether it is known to have been started a few seconds ago.
    #[must_use]
    pub fn has_just_started(&self) -> bool {
        self.runs() && self.detail.as_ref().and_then(|detail| detail.running_s).is_some_and(|age| age < STARTING_S)
    }

    /// Whether it is one of a compose file that is judged before `up`.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        self.status == PLANNED
    }

    /// Whether it runs, or will once its compose file is brought up.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.runs() || self.is_planned()
    }

    #[must_use]
    pub fn on(&self, network: &str) -> Option<&Attachment> {
        self.networks.iter().find(|attached| attached.network == network)
    }

    /// Where this machine has a TCP port of it: an address to connect to, and the host's port.
    #[must_use]
    pub fn published(&self, port: u16) -> Option<(&str, u16)> {
        let own = self
            .ports
            .iter()
            .find(|own| own.container_port == port && own.protocol == "tcp" && own.host_port.is_some())?;
        let ip = if is_wide(&own.host_ip) { "127.0.0.1" } else { &own.host_ip };
        Some((ip, own.host_port?))
    }

    /// The ports that the Caddy in it wants to listen on: by its config before `up`, and else those that it said it could not
    /// have when it ended.
    #[must_use]
    pub fn wanted_by_caddy(&self, config: Option<&CaddyConfig>) -> Vec<u16> {
        let said = self.detail.as_deref().and_then(|detail| detail.log.as_ref()?.as_ref().ok());
        let refused = |line: &String| text::refused_port(line, "address already in use");
        let mut ports: Vec<u16> = match config.filter(|_| self.is_planned()) {
            Some(config) => config.servers().values().flat_map(Server::listen_ports).collect(),
            None => said.into_iter().flatten().filter_map(refused).collect(),
        };
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Whether it answers to `name` on some network.
    #[must_use]
    pub fn answers_to(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.networks.iter().any(|attached| attached.answers_to(name))
    }
}

/// A container on a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attachment {
    pub network: String,
    /// Empty while the container does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Every name that the network's DNS answers for it, its container name first: name, aliases and `DNSNames`
    /// (on API < 1.44 the aliases lack the container name).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Attachment {
    #[must_use]
    pub fn answers_to(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// A port of a container, and where the host has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Port {
    pub container_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Absent: exposed but not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// The host's address it is published on; empty or `0.0.0.0` or `::` for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
}

/// From the labels that compose sets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Compose {
    pub project: String,
    pub service: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// The compose files, absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// `2.27.0`; 1.x is the separate program `docker-compose`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The services that have to be healthy before `up` starts this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for_healthy: Vec<String>,
}

/// A program of the setup, with the options that checks use. Nothing else of a command line is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase", tag = "name")]
pub enum Program {
    Caddy,
    Mitmproxy(crate::model::mitmproxy::CommandLine),
}

/// What `/containers/ID/json` adds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Detail {
    #[serde(default)]
    pub exit_code: i64,
    /// `State.Error`: why the engine could not start it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// `2026-11-23T20:30:00.123456789Z`; empty when it never ran.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub started_at: String,
    /// For how many seconds it had been running, by the engine's own clock; absent when it did not, or that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_s: Option<u64>,
    #[serde(default)]
    pub oom_killed: bool,
    #[serde(default)]
    pub restarts: i64,
    /// The process id on the engine's machine; 0 when it does not run.
    #[serde(default)]
    pub pid: u32,
    /// In bytes; 0 when it has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory_limit: i64,
    /// In billionths of a processor; 0 when it has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu_limit: i64,
    /// The image that it runs: `sha256:...`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image_id: String,
    /// `runc`, `crun`, `runsc`, ...
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub runtime: String,
    #[serde(default)]
    pub tty: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// `HostConfig.ExtraHosts`: `host.docker.internal:host-gateway`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<String>,
    /// From the environment: `CADDY_ADMIN`, `CADDY_VERSION`, `PYTHONUNBUFFERED`, and the proxies (`HTTP_PROXY`, `NO_PROXY`, ...,
    /// as written there, without user info). No other value is read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(String, String)>,
    /// When the namespace that it shares belongs to a container that is not there any more: that container's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_owner: Option<String>,
    /// The lines of its log that say why it ended; read of containers that do not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Known<Vec<String>>>,
    /// How to make it anew.
    #[serde(default)]
    pub recipe: Recipe,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

impl Detail {
    /// `always`, `unless-stopped`, `on-failure`, `on-failure:3`; `None` where nothing brings it back.
    #[must_use]
    pub fn restart_policy(&self) -> Option<&str> {
        self.recipe.options.iter().find_map(|option| match option.as_slice() {
            [name, policy] if name == "--restart" => Some(policy.as_str()),
            _ => None,
        })
    }

    /// Ended from outside, by all that the exit code tells.
    #[must_use]
    pub fn was_stopped(&self) -> bool {
        matches!(self.exit_code, 0 | 137 | 143 | 255)
    }

    #[must_use]
    pub fn environment(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// `State.Health`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// `starting`, `healthy`, `unhealthy`.
    pub status: String,
    pub failing_streak: i64,
    /// The exit code of the last probe.
    #[serde(default)]
    pub exit_code: i64,
    /// What the last probe printed, its first lines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
}

/// The `docker run` that would make a container anew, without any value of its environment, labels or arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recipe {
    /// Options of `docker run`, each with its value as one group of words: `["--network", "app-net"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Vec<String>>,
    /// Networks beyond the first, with the aliases on each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_networks: Vec<(String, Vec<String>)>,
    /// How many words `Config.Entrypoint` has.
    #[serde(default)]
    pub entrypoint_words: usize,
    /// How many words `Config.Cmd` has.
    #[serde(default)]
    pub command_words: usize,
    /// Whether a health check in the shell form is set on it.
    #[serde(default)]
    pub shell_health_check: bool,
    #[serde(default)]
    pub has_labels: bool,
    /// What it has and this recipe does not carry over; when there is any, no command is printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_carried: Vec<String>,
}

/// Every network of the engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Networks(pub Vec<Network>);

impl Networks {
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Network> {
        self.0.iter().find(|network| network.name == name)
    }

    /// A name that no network has yet: the wanted one, else with a number behind it.
    #[must_use]
    pub fn free_name(&self, wanted: &str) -> String {
        let is_free = |name: &String| self.named(name).is_none();
        let numbered = (2..).map(|number: u32| format!("{wanted}-{number}"));
        std::iter::once(wanted.to_owned()).chain(numbered).find(is_free).unwrap_or_else(|| wanted.to_owned())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Network {
    pub id: String,
    pub name: String,
    /// `bridge`, `host`, `null`, `overlay`, `macvlan`, ...
    pub driver: String,
    /// The gateway: the host's address on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<IpAddr>,
    /// The host's interface: `docker0`, `br-<12 characters of the id>`, or as named by an option.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// In CIDR notation: `172.20.0.0/16`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<String>,
    /// The option `com.docker.network.driver.mtu`; 1500 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Made by compose under this name in the file: `default`, `app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose_name: Option<String>,
}

/// Whether container names resolve on it: the engine's DNS serves user-defined networks only.
#[must_use]
pub fn is_user_defined(network: &str) -> bool {
    !matches!(network, "bridge" | "host" | "none" | "default" | "podman")
}

/// Whether a publish on this address is one on all addresses of the host.
#[must_use]
pub fn is_wide(host_ip: &str) -> bool {
    matches!(host_ip, "" | "0.0.0.0" | "::")
}
