//! What the engine knows: itself, its containers, its networks; and `docker exec`.

use std::{collections::HashMap, time::Duration};

use bollard::{
    Docker,
    exec::{CreateExecOptions, StartExecResults},
    models::{
        ContainerInspectResponse, ContainerStatsResponse, ContainerSummary, EndpointSettings, ImageInspect, PortMap,
        SystemInfo,
    },
    query_parameters::{
        InspectContainerOptions, ListContainersOptionsBuilder, ListNetworksOptions, LogsOptionsBuilder,
        StatsOptionsBuilder,
    },
};
use caddy_doctor_checks::model::{
    Asked, Known, Missing,
    docker::{
        Attachment, Compose, Container, Containers, Detail, Engine, EngineInfo, EngineSeen, Health, Image, ImageSeen,
        Images, Network, Networks, OtherEngine, Port, Program, Usage, User,
    },
    facts::Kind,
    left_out::LeftOut,
    mitmproxy::CommandLine,
    setup, text,
};
use futures_util::{StreamExt, future::join_all};
use reqwest::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    cgroup,
    context::{self, Chosen},
    deadline::Deadline,
    http::{self, Answer, Question},
    log, recipe, redact,
    telling::{self, Speaker},
};

/// Engines with at most this many containers are inspected whole; of larger ones the parts and their neighbours are.
const MOST_INSPECTED: usize = 32;

/// Labels and options that are kept.
pub(super) const ROLE: &str = "doctor.role";
const COMPOSE: &[&str] = &[
    "com.docker.compose.project",
    "com.docker.compose.service",
    "com.docker.compose.project.working_dir",
    "com.docker.compose.project.config_files",
    "com.docker.compose.version",
    "com.docker.compose.depends_on",
];
const COMPOSE_NETWORK: &str = "com.docker.compose.network";
const IMAGE_VERSION: &str = "org.opencontainers.image.version";
const BRIDGE_NAME: &str = "com.docker.network.bridge.name";
const MTU: &str = "com.docker.network.driver.mtu";

/// A connection to an engine that answered.
#[derive(Clone, Debug)]
pub(crate) struct Engined {
    docker: Docker,
    /// Asks for JSON, up to a cap, at this base URL; bollard reads answers whole, however long. Absent for a named pipe,
    /// which only bollard speaks.
    capped: Option<(Client, String)>,
    /// Whether its processes may be this machine's: a unix socket.
    pub(crate) local: bool,
    /// Whether it is the system's own, whose bridges are this machine's: root's socket, not a rootless engine's.
    pub(crate) system: bool,
    /// Whether the ports that it publishes are this machine's.
    pub(crate) near: bool,
    deadline: Deadline,
}

/// Finds the engine and asks it who it is.
pub(crate) async fn engine(deadline: Deadline) -> (EngineSeen, Option<Engined>) {
    let chosen = context::choose();
    log::detail(|| format!("the engine is looked for at {}, by {}", chosen.endpoint, chosen.by));
    let (answer, docker) = match connect(&chosen.endpoint, deadline).await {
        Ok((engine, docker)) => (Ok(engine), Some(docker)),
        Err(missing) => (Err(missing), None),
    };
    let mut seen = EngineSeen {
        endpoint: chosen.endpoint.clone(),
        chosen_by: chosen.by.clone(),
        others: Vec::new(),
        user: None,
        socket_group: None,
        start_with: None,
        contexts: chosen.contexts.clone(),
        answer,
    };
    if let Err(missing) = &seen.answer {
        seen.others = others(&chosen, deadline, false).await;
        if missing.kind() == Some(Kind::Denied) {
            seen.user = crate::gather::blocking(deadline, "who this user is", || Ok(user())).await.ok().flatten();
            seen.socket_group = socket_group(&chosen.endpoint);
        }
        if matches!(missing.kind(), Some(Kind::NotFound | Kind::Refused)) {
            seen.start_with = start_with(&chosen.endpoint);
        }
    }
    (seen, docker)
}

/// The first contact goes over our own client, which reads no more than a cap: whatever listens there, it is not
/// necessarily an engine.
async fn connect(endpoint: &str, deadline: Deadline) -> Known<(Engine, Engined)> {
    let (client, url) = match endpoint.split_once("://") {
        #[cfg(unix)]
        Some(("unix", path)) => (http::unix_client(path)?, "http://docker".to_owned()),
        Some(("tcp" | "http", address)) => (http::client()?, format!("http://{}", address.trim_end_matches('/'))),
        #[cfg(windows)]
        Some(("npipe", _)) => return connect_pipe(endpoint, deadline).await,
        Some((scheme, _)) => {
            let why = format!("the doctor does not speak {scheme}");
            return Err(Missing::failed(format!("connecting to {endpoint}"), Kind::Unsupported, why));
        }
        None => return Err(Missing::failed("looking for the engine", Kind::NotFound, endpoint)),
    };
    let asked = format!("GET /_ping at {endpoint}");
    let question = Question { cap: 64 << 10, ..Question::get(format!("{url}/_ping")) };
    let answer = deadline.ask_from("from here", &asked, Answer::words, http::ask(&client, &question)).await;
    let answer = answer.map_err(|missing| missing.asking(&asked))?;
    if answer.status == 400 && answer.body.starts_with(b"Client sent an HTTP request to an HTTPS server") {
        return Err(Missing::failed(asked, Kind::Unsupported, "it wants TLS, which the doctor does not speak"));
    }
    let (Some(api), 200) = (answer.api_version, answer.status) else {
        let why = format!("HTTP {} without the header Api-Version, which every engine sends", answer.status);
        return Err(Missing::failed(asked, Kind::Garbage, why));
    };
    let (name, version) = who(answer.server.as_deref().unwrap_or_default());
    let docker = Docker::connect_with_host(endpoint)
        .map_err(|error| Missing::failed(asked, Kind::Unsupported, error.to_string()))?
        .with_timeout(Duration::from_secs(60));
    let local = endpoint.starts_with("unix://");
    let near = local || ["//127.", "//localhost", "//[::1]"].iter().any(|address| endpoint.contains(address));
    let system = local && cfg!(target_os = "linux") && is_of_root(endpoint);
    let engined = Engined { docker, capped: Some((client, url)), local, system, near, deadline };
    Ok((Engine { name, version, api, info: None }, engined))
}

#[cfg(windows)]
async fn connect_pipe(endpoint: &str, deadline: Deadline) -> Known<(Engine, Engined)> {
    let docker = Docker::connect_with_host(endpoint).map_err(|error| failed("connecting", &error))?;
    let version = deadline
        .ask("GET /version", async { docker.version().await.map_err(|error| failed("GET /version", &error)) })
        .await?;
    let engine = Engine {
        name: "docker".to_owned(),
        version: version.version.unwrap_or_default(),
        api: version.api_version.unwrap_or_default(),
        info: None,
    };
    Ok((engine, Engined { docker, capped: None, local: false, system: false, near: true, deadline }))
}

/// Reads `Docker/28.1.1 (linux)` and `Libpod/5.4.0 (linux)`.
fn who(server: &str) -> (String, String) {
    let (name, rest) = server.split_once('/').unwrap_or(("docker", ""));
    let name = if name.eq_ignore_ascii_case("libpod") { "podman" } else { "docker" };
    (name.to_owned(), rest.split_whitespace().next().unwrap_or("of an unknown version").to_owned())
}

/// The engines at the other usual places that answer; with the names of their Caddys and mitmproxys when asked for.
pub(crate) async fn other_engines(deadline: Deadline) -> Vec<OtherEngine> {
    others(&context::choose(), deadline, true).await
}

async fn others(chosen: &Chosen, deadline: Deadline, with_parts: bool) -> Vec<OtherEngine> {
    let endpoints = context::others(chosen);
    let each = endpoints.iter().map(async |endpoint| {
        let (engine, engined) = connect(endpoint, deadline).await.ok()?;
        let parts = match with_parts {
            true => engined
                .list()
                .await
                .map(Containers)
                .ok()
                .map(|all| setup::candidates(&Asked::default(), Some(&all), None)),
            false => None,
        };
        Some(OtherEngine {
            endpoint: endpoint.clone(),
            version: format!("{} {}", engine.name, engine.version),
            parts: parts.unwrap_or_default().into_iter().map(|part| part.name).collect(),
        })
    });
    join_all(each).await.into_iter().flatten().collect()
}

impl Engined {
    /// All of the engine's API. Only `doctor fix` asks for it: nothing else changes anything.
    pub(crate) fn api(&self) -> &Docker {
        &self.docker
    }

    /// Every container; of those that may matter, everything. With it what is not kept of them.
    pub(crate) async fn containers(&self) -> Known<(Containers, Vec<LeftOut>)> {
        let mut containers = Containers(self.list().await?);
        let mut left_out = Vec::new();
        let inspected = to_inspect(&containers);
        let answers = join_all(inspected.iter().map(|at| self.inspect(&containers.0[*at]))).await;
        for (at, answer) in inspected.iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    inspected_into(&mut containers.0[*at], &answer);
                    left_out.extend(left_out_of(&containers.0[*at], &answer));
                }
                Err(missing) => containers.0[*at].not_inspected = Some(missing),
            }
        }
        let lost: Vec<(usize, String)> = containers
            .0
            .iter()
            .enumerate()
            .filter_map(|(at, own)| Some((at, own.network_mode.strip_prefix("container:")?.to_owned())))
            .filter(|(_, owner)| containers.by_reference(owner).is_none())
            .collect();
        for (at, owner) in lost {
            if let Some(detail) = &mut containers.0[at].detail {
                detail.lost_owner = Some(owner);
            }
        }
        // Logs of others are nobody's business.
        let belongs = relevance(&containers);
        let ended: Vec<usize> = (0..containers.0.len())
            .filter(|at| belongs[*at] < UNRELATED && containers.0[*at].detail.is_some())
            .filter(|at| matches!(containers.0[*at].status.as_str(), "exited" | "restarting" | "dead"))
            .take(MOST_INSPECTED)
            .collect();
        let logs = join_all(ended.iter().map(|at| self.log(&containers.0[*at]))).await;
        for (at, log) in ended.into_iter().zip(logs) {
            let own = &mut containers.0[at];
            if let (Ok((_, others)), of) = (&log, format!("container {}", own.name)) {
                left_out.extend(LeftOut::counted(&of, "lines of its log", *others));
            }
            if let Some(detail) = &mut own.detail {
                detail.log = Some(log.map(|(lines, _)| lines));
            }
        }
        let only_listed = containers.0.iter().filter(|own| own.detail.is_none()).count();
        let what = "containers of which only name, image, state, command, ports and networks were looked at";
        left_out.extend(LeftOut::counted("the engine", what, only_listed));
        Ok((containers, left_out))
    }

    async fn list(&self) -> Known<Vec<Container>> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let by_bollard = self.docker.list_containers(Some(options));
        let by_bollard =
            async { Ok(by_bollard.await?.iter().filter_map(|own| serde_json::to_value(own).ok()).collect()) };
        let answer: Vec<Value> = self.get("GET /containers/json", "/containers/json?all=true", by_bollard).await?;
        let read = answer.into_iter().map(|entry| summary(entry).map(listed)).collect::<Result<Vec<Container>, _>>();
        let mut all = read.map_err(|error| {
            let why = format!("what came back is not the engine's JSON: {}", redact::json_error(&error));
            Missing::failed("GET /containers/json", Kind::Garbage, why)
        })?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    async fn inspect(&self, container: &Container) -> Known<ContainerInspectResponse> {
        let by_bollard = self.docker.inspect_container(&container.id, None::<InspectContainerOptions>);
        let asked = format!("GET /containers/{}/json", container.name);
        self.get(&asked, &format!("/containers/{}/json", container.id), by_bollard).await
    }

    /// Every network, and what is not kept of them.
    pub(crate) async fn networks(&self) -> Known<(Networks, Vec<LeftOut>)> {
        let by_bollard = self.docker.list_networks(None::<ListNetworksOptions>);
        let answer: Vec<bollard::models::Network> = self.get("GET /networks", "/networks", by_bollard).await?;
        let others = |map: &Option<HashMap<String, String>>, kept: &[&str]| {
            map.iter().flat_map(HashMap::keys).filter(|name| !kept.contains(&name.as_str())).count()
        };
        let labels = answer.iter().map(|own| others(&own.labels, &[COMPOSE_NETWORK])).sum();
        let options = answer.iter().map(|own| others(&own.options, &[BRIDGE_NAME, MTU])).sum();
        let left_out = [("labels", labels), ("options of their drivers", options)];
        let left_out = left_out.into_iter().filter_map(|(what, count)| LeftOut::counted("the networks", what, count));
        let left_out = left_out.collect();
        let mut all: Vec<Network> = answer.into_iter().map(network).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((Networks(all), left_out))
    }

    /// What kind of machine it runs on, and which proxies it uses itself.
    pub(crate) async fn info(&self) -> Known<EngineInfo> {
        let answer: SystemInfo = self.get("GET /info", "/info", self.docker.info()).await?;
        let proxies =
            [("HTTP_PROXY", answer.http_proxy), ("HTTPS_PROXY", answer.https_proxy), ("NO_PROXY", answer.no_proxy)];
        Ok(EngineInfo {
            architecture: answer.architecture.unwrap_or_default(),
            operating_system: answer.operating_system.unwrap_or_default(),
            rootless: answer.security_options.unwrap_or_default().iter().any(|option| option == "name=rootless"),
            time: answer.system_time.unwrap_or_default(),
            proxies: proxies
                .into_iter()
                .filter_map(|(name, value)| {
                    Some((name.to_owned(), redact::proxy(&value.filter(|value| !value.is_empty())?)))
                })
                .collect(),
        })
    }

    /// The images that these containers run.
    pub(crate) async fn images(&self, containers: impl Iterator<Item = &Container>) -> (Images, Vec<LeftOut>) {
        let mut wanted: Vec<(&str, &str)> = containers
            .filter_map(|own| Some((own.detail.as_ref()?.image_id.as_str(), own.image.as_str())))
            .filter(|(id, _)| !id.is_empty())
            .collect();
        wanted.sort_unstable();
        wanted.dedup_by_key(|(id, _)| *id);
        let each = wanted.into_iter().map(async |(id, name)| {
            let asked = format!("GET /images/{name}/json");
            let answer: Known<ImageInspect> =
                self.get(&asked, &format!("/images/{id}/json"), self.docker.inspect_image(id)).await;
            let config = answer.as_ref().ok().and_then(|answer| answer.config.as_ref());
            let labels = config.and_then(|config| config.labels.as_ref());
            let labels = labels.map_or(0, |labels| labels.keys().filter(|name| *name != IMAGE_VERSION).count());
            let variables = config.and_then(|config| config.env.as_ref()).map_or(0, Vec::len);
            let image = answer.map(|answer| Image {
                architecture: answer.architecture.unwrap_or_default(),
                os: answer.os.unwrap_or_default(),
                version: answer
                    .config
                    .and_then(|config| config.labels?.remove(IMAGE_VERSION))
                    .map(|version| redact::line(&version)),
            });
            (ImageSeen { id: id.to_owned(), image }, labels, variables)
        });
        let (mut images, mut all_labels, mut all_variables) = (Vec::new(), 0, 0);
        for (image, labels, variables) in join_all(each).await {
            images.push(image);
            all_labels += labels;
            all_variables += variables;
        }
        let left_out = [("labels", all_labels), ("variables of their environments", all_variables)];
        let left_out = left_out.into_iter().filter_map(|(what, count)| LeftOut::counted("the images", what, count));
        (Images(images), left_out.collect())
    }

    /// What a container uses now: from its control group on this machine; else from the engine's statistics, which may
    /// take a second and are asked for only where that is `allowed`; `None` where they are not.
    pub(crate) async fn usage(&self, container: &Container, allowed: bool) -> Option<Known<Usage>> {
        let detail = container.detail.as_deref();
        let by_cgroup = detail.filter(|_| self.local).and_then(|detail| cgroup::usage(detail.pid, &container.id));
        let seen = if by_cgroup.is_some() { "read" } else { "not to be seen from here" };
        log::detail(|| format!("the control group of {}, on this machine: {seen}", container.name));
        let usage = match by_cgroup {
            Some(usage) => Ok(usage),
            None if allowed => self.statistics(container).await,
            None => return None,
        };
        let set = |limit: Option<i64>| limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
        Some(usage.map(|usage| Usage {
            memory_limit: set(detail.map(|detail| detail.memory_limit)),
            cpu_limit: set(detail.map(|detail| detail.cpu_limit)),
            ..usage
        }))
    }

    /// What the engine has under the name of an image; it is not pulled.
    pub(crate) async fn image(&self, name: &str) -> Known<ImageInspect> {
        let asked = format!("GET /images/{name}/json");
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        if name.is_empty() || !name.chars().all(plain) || name.split('/').any(|part| part.starts_with('.')) {
            return Err(Missing::failed(asked, Kind::Garbage, "it is no name of an image"));
        }
        let answer = self.get(&asked, &format!("/images/{name}/json"), self.docker.inspect_image(name)).await;
        answer.map_err(|missing| missing.asking(&asked))
    }

    async fn statistics(&self, container: &Container) -> Known<Usage> {
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let by_bollard = async {
            let mut stream = self.docker.stats(&container.id, Some(options));
            stream.next().await.unwrap_or(Err(bollard::errors::Error::RequestTimeoutError))
        };
        let asked = format!("GET /containers/{}/stats", container.name);
        let path = format!("/containers/{}/stats?stream=false&one-shot=true", container.id);
        let answer: ContainerStatsResponse = self.get(&asked, &path, by_bollard).await?;
        let memory = answer.memory_stats.unwrap_or_default();
        let Some(used) = memory.usage else {
            return Err(Missing::failed(asked, Kind::Garbage, "the engine tells no memory"));
        };
        let parts = memory.stats.unwrap_or_default();
        let cache = parts.get("total_inactive_file").or_else(|| parts.get("inactive_file")).copied().unwrap_or(0);
        let throttling = answer.cpu_stats.and_then(|cpu| cpu.throttling_data).unwrap_or_default();
        Ok(Usage {
            memory: used.saturating_sub(cache),
            periods: throttling.periods.unwrap_or_default(),
            throttled_periods: throttling.throttled_periods.unwrap_or_default(),
            ..Usage::default()
        })
    }

    /// Asks for what is at `path`; `asked` says so in words, with a name where the path has 64 digits.
    async fn get<T: DeserializeOwned>(
        &self,
        asked: &str,
        path: &str,
        by_bollard: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Known<T> {
        let Some((client, base)) = &self.capped else {
            let answer = async { by_bollard.await.map_err(|error| failed(asked, &error)) };
            return self.deadline.ask(asked, answer).await;
        };
        let question = Question::get(format!("{base}{path}"));
        let answer = self.deadline.ask_from("from here", asked, Answer::words, http::ask(client, &question)).await;
        let answer = answer.map_err(|missing| missing.asking(asked))?;
        if answer.status != 200 {
            let kind = if answer.status == 404 { Kind::NotFound } else { Kind::Status(answer.status) };
            let said = redact::line(&String::from_utf8_lossy(&answer.body));
            return Err(Missing::failed(asked, kind, format!("HTTP {}: {said}", answer.status)));
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            let why = format!("what came back is not the engine's JSON: {}", redact::json_error(&error));
            Missing::failed(asked, Kind::Garbage, why)
        })
    }

    /// The lines of its log that may say why it ended, redacted, and how many others were read.
    async fn log(&self, container: &Container) -> Known<(Vec<String>, usize)> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail("60");
        let log = self.read_log(container, options).await?;
        let kept = redact::decisive_lines(&log);
        let others = log.lines().count().saturating_sub(kept.len());
        Ok((kept, others))
    }

    /// The newest lines of its log that matter to an issue report, redacted; and how many were read.
    pub(crate) async fn telling_lines(&self, container: &Container, speaker: Speaker) -> Known<(Vec<String>, usize)> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).timestamps(true).tail("500");
        let log = self.read_log(container, options).await?;
        Ok((telling::lines(&log, speaker), log.lines().count()))
    }

    /// The newest part of its log.
    async fn read_log(&self, container: &Container, options: LogsOptionsBuilder) -> Known<String> {
        const KEPT: usize = 256 << 10;
        let asked = format!("GET /containers/{}/logs", container.name);
        let said = |text: &String| format!("{} bytes", text.len());
        self.deadline
            .ask_from("from here", &asked, said, async {
                let mut stream = self.docker.logs(&container.id, Some(options.build()));
                let (mut text, mut read) = (Vec::new(), 0);
                while let Some(chunk) = stream.next().await {
                    let chunk = chunk.map_err(|error| failed(&asked, &error))?.into_bytes();
                    read += chunk.len();
                    text.extend_from_slice(&chunk);
                    if text.len() > 2 * KEPT {
                        text.drain(..text.len() - KEPT);
                    }
                    if read > http::CAP {
                        break;
                    }
                }
                // A line without its beginning may lack the name of the secret in it.
                let from = text.len().saturating_sub(KEPT);
                let whole = if read > KEPT { text[from..].iter().position(|byte| *byte == b'\n') } else { None };
                let start = whole.map_or(from, |end| from + end + 1);
                Ok(String::from_utf8_lossy(&text[start..]).into_owned())
            })
            .await
    }

    /// Runs a command in a container and gives what it printed. The command must be read-only.
    pub(crate) async fn exec(&self, container: &str, command: &[&str], environment: &[String]) -> Known<String> {
        let asked = format!("docker exec {container} {}", command.first().unwrap_or(&""));
        let said = |output: &String| format!("it printed {} bytes", output.len());
        self.deadline
            .ask_from("from here", &asked, said, async {
                let options = CreateExecOptions {
                    attach_stdout: Some(true),
                    attach_stderr: Some(false),
                    env: Some(environment.iter().map(String::as_str).collect()),
                    cmd: Some(command.to_vec()),
                    ..CreateExecOptions::default()
                };
                let created =
                    self.docker.create_exec(container, options).await.map_err(|error| failed(&asked, &error))?;
                let started =
                    self.docker.start_exec(&created.id, None).await.map_err(|error| failed(&asked, &error))?;
                let StartExecResults::Attached { mut output, .. } = started else {
                    return Err(Missing::failed(&asked, Kind::Garbage, "the engine gave no output"));
                };
                let mut text = Vec::new();
                while let Some(chunk) = output.next().await {
                    text.extend_from_slice(&chunk.map_err(|error| failed(&asked, &error))?.into_bytes());
                    if text.len() > http::CAP {
                        return Err(Missing::failed(
                            &asked,
                            Kind::Garbage,
                            "its output is longer than the doctor reads",
                        ));
                    }
                }
                Ok(String::from_utf8_lossy(&text).into_owned())
            })
            .await
    }
}

pub(crate) fn failed(asked: &str, error: &bollard::errors::Error) -> Missing {
    use bollard::errors::Error;
    let kind = match error {
        Error::DockerResponseServerError { status_code: 404, .. } => Kind::NotFound,
        Error::DockerResponseServerError { status_code: 409, .. } => Kind::NotRunning,
        Error::DockerResponseServerError { status_code, .. } => Kind::Status(*status_code),
        Error::RequestTimeoutError => Kind::TimedOut,
        error => http::io_error(error).map_or(Kind::Garbage, |io| http::of_io(io.kind())),
    };
    let why = match error {
        Error::DockerResponseServerError { status_code, message } => {
            format!("HTTP {status_code}: {}", redact::line(message))
        }
        error => redact::line(&http::chain(error)),
    };
    Missing::failed(asked, kind, why)
}

/// Reads an entry of the list. Podman has states that bollard does not know, and one such would make it refuse all.
fn summary(mut entry: Value) -> serde_json::Result<ContainerSummary> {
    if let Some(state) = entry.get_mut("State") {
        let known = ["created", "running", "paused", "restarting", "exited", "removing", "dead"];
        let own = state.as_str().unwrap_or_default();
        if !known.contains(&own) {
            let nearest = match own {
                "initialized" | "configured" => "created",
                "stopping" => "removing",
                _ => "exited",
            };
            *state = nearest.into();
        }
    }
    // serde would also take a list for an entry.
    let map: serde_json::Map<String, Value> = serde_json::from_value(entry)?;
    serde_json::from_value(Value::Object(map))
}

fn listed(summary: ContainerSummary) -> Container {
    let labels = summary.labels.unwrap_or_default();
    let label = |name: &str| labels.get(name).cloned();
    // A linked container is listed under `/other/alias` as well.
    let names = summary.names.unwrap_or_default();
    let name = names
        .iter()
        .map(|name| name.trim_start_matches('/'))
        .find(|name| !name.contains('/'))
        .unwrap_or_default()
        .to_owned();
    let mut ports: Vec<Port> = summary
        .ports
        .unwrap_or_default()
        .into_iter()
        .map(|port| Port {
            container_port: port.private_port,
            protocol: port.typ.map(|typ| typ.to_string()).unwrap_or_default(),
            host_port: port.public_port,
            host_ip: port.ip.unwrap_or_default(),
        })
        .collect();
    ports.sort();
    let mut networks: Vec<Attachment> = summary
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default()
        .into_iter()
        .map(|(network, endpoint)| attachment(network, &endpoint, &name))
        .collect();
    networks.sort_by(|a, b| a.network.cmp(&b.network));
    Container {
        id: summary.id.unwrap_or_default(),
        image: summary.image.unwrap_or_default(),
        status: summary.state.map(|state| state.to_string()).unwrap_or_default(),
        network_mode: summary.host_config.and_then(|host| host.network_mode).unwrap_or_default(),
        networks,
        ports,
        role_label: label(ROLE),
        compose: label(COMPOSE[0]).map(|project| Compose {
            project,
            service: label(COMPOSE[1]).unwrap_or_default(),
            working_dir: label(COMPOSE[2]).unwrap_or_default(),
            files: label(COMPOSE[3])
                .map(|files| files.split(',').filter(|file| !file.is_empty()).map(str::to_owned).collect())
                .unwrap_or_default(),
            version: label(COMPOSE[4]).unwrap_or_default(),
            waits_for_healthy: waits_for_healthy(&label(COMPOSE[5]).unwrap_or_default()),
        }),
        program: program(&[summary.command.unwrap_or_default().as_str()]),
        not_inspected: None,
        detail: None,
        name,
    }
}

/// Of `mitmproxy:service_healthy:false,db:service_started:true`, as compose writes it into a label.
fn waits_for_healthy(depends_on: &str) -> Vec<String> {
    let entries = depends_on.split(',').map(|entry| entry.split(':').collect::<Vec<_>>());
    entries.filter(|own| own.get(1) == Some(&"service_healthy")).map(|own| own[0].to_owned()).collect()
}

/// What a command line runs, where it is a program of the setup.
pub(crate) fn program<S: AsRef<str>>(words: &[S]) -> Option<Program> {
    if let Some(line) = CommandLine::read(words) {
        return Some(Program::Mitmproxy(line));
    }
    let words: Vec<&str> = words.iter().flat_map(|word| word.as_ref().split_whitespace()).take(64).collect();
    let words: Vec<&str> = words.iter().map(|word| word.trim_matches(['"', '\''])).collect();
    let runs = |at: usize| {
        text::base_name(words[at]) == "caddy"
            && text::is_command(&words, at)
            && words.get(at + 1).is_some_and(|next| {
                matches!(*next, "run" | "start" | "docker-proxy" | "reverse-proxy" | "file-server" | "respond")
            })
    };
    (0..words.len()).any(runs).then_some(Program::Caddy)
}

fn attachment(network: String, endpoint: &EndpointSettings, name: &str) -> Attachment {
    let address = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
    let mut names = vec![name.to_owned()];
    for other in endpoint.dns_names.iter().chain(&endpoint.aliases).flatten() {
        if !names.contains(other) {
            names.push(other.clone());
        }
    }
    Attachment { network, ip: address(&endpoint.ip_address), gateway: address(&endpoint.gateway), names }
}

const UNRELATED: u8 = 2;

/// Of every container: 0 for a part of a setup, 1 for what lives with one (on a network, in a compose project, in a
/// namespace), [`UNRELATED`] for others.
fn relevance(containers: &Containers) -> Vec<u8> {
    let found = setup::candidates(&Asked::default(), Some(containers), None);
    let parts: Vec<&Container> = found.iter().filter_map(|part| containers.named(&part.name)).collect();
    let project = |own: &Container| own.compose.as_ref().map(|compose| compose.project.clone());
    let near = |own: &Container, part: &Container| {
        own.networks.iter().any(|attached| part.on(&attached.network).is_some())
            || project(own).is_some() && project(own) == project(part)
            || own.network_mode.starts_with("container:")
    };
    let of = |own: &Container| match parts.iter().any(|part| part.name == own.name) {
        true => 0,
        false if parts.iter().any(|part| near(own, part)) => 1,
        false => UNRELATED,
    };
    containers.0.iter().map(of).collect()
}

/// The parts, what lives with them, and as many others as fit.
fn to_inspect(containers: &Containers) -> Vec<usize> {
    let mut order: Vec<usize> = (0..containers.0.len()).collect();
    if containers.0.len() > MOST_INSPECTED {
        let relevance = relevance(containers);
        order.sort_by_key(|at| (relevance[*at], *at));
        order.truncate(MOST_INSPECTED);
    }
    order
}

fn inspected_into(container: &mut Container, answer: &ContainerInspectResponse) {
    let state = answer.state.clone().unwrap_or_default();
    let config = answer.config.clone().unwrap_or_default();
    let host = answer.host_config.clone().unwrap_or_default();
    if let Some(status) = state.status {
        container.status = status.to_string();
    }
    if let Some(image) = &config.image {
        container.image.clone_from(image);
    }
    if let Some(mode) = &host.network_mode {
        container.network_mode.clone_from(mode);
    }
    let words: Vec<String> = answer.path.iter().chain(answer.args.iter().flatten()).cloned().collect();
    container.program = program(&words);
    let networks = answer.network_settings.clone().and_then(|settings| settings.networks).unwrap_or_default();
    container.networks =
        networks.iter().map(|(network, endpoint)| attachment(network.clone(), endpoint, &container.name)).collect();
    container.networks.sort_by(|a, b| a.network.cmp(&b.network));
    container.ports = wanted_ports(host.port_bindings.as_ref(), config.exposed_ports.as_deref(), &container.ports);
    let environment = config.env.iter().flatten().filter_map(|entry| entry.split_once('='));
    container.detail = Some(Box::new(Detail {
        exit_code: state.exit_code.unwrap_or_default(),
        error: redact::line(&state.error.unwrap_or_default()),
        started_at: state.started_at.filter(|at| !at.starts_with("0001-")).unwrap_or_default(),
        running_s: None,
        oom_killed: state.oom_killed.unwrap_or_default(),
        restarts: answer.restart_count.unwrap_or_default(),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default(),
        memory_limit: host.memory.unwrap_or_default(),
        cpu_limit: host.nano_cpus.filter(|limit| *limit > 0).or_else(|| of_quota(&host)).unwrap_or_default(),
        image_id: answer.image.clone().unwrap_or_default(),
        runtime: host.runtime.clone().unwrap_or_default(),
        tty: config.tty.unwrap_or_default(),
        health: state
            .health
            .filter(|health| health.status.is_some_and(|status| !matches!(status.to_string().as_str(), "" | "none")))
            .map(|health| {
                let last = health.log.unwrap_or_default().pop().unwrap_or_default();
                Health {
                    status: health.status.map(|status| status.to_string()).unwrap_or_default(),
                    failing_streak: health.failing_streak.unwrap_or_default(),
                    exit_code: last.exit_code.unwrap_or_default(),
                    output: redact::telling_lines(&last.output.unwrap_or_default()),
                }
            }),
        extra_hosts: host.extra_hosts.clone().unwrap_or_default(),
        environment: kept_environment(environment),
        lost_owner: None,
        log: None,
        recipe: recipe::of(answer, &config, &host),
    }));
}

/// What was in an inspect and is not kept.
fn left_out_of(container: &Container, answer: &ContainerInspectResponse) -> Vec<LeftOut> {
    let of = format!("container {}", container.name);
    let detail = container.detail.as_deref();
    let config = answer.config.as_ref();
    let variables = config.and_then(|config| config.env.as_ref()).map_or(0, Vec::len);
    let labels = config.and_then(|config| config.labels.as_ref());
    let is_kept = |name: &str| name == ROLE || COMPOSE.contains(&name);
    let words = usize::from(answer.path.is_some()) + answer.args.as_ref().map_or(0, Vec::len);
    let checks = answer.state.as_ref().and_then(|state| state.health.as_ref()?.log.as_ref()).into_iter().flatten();
    let printed: usize = checks.filter_map(|check| check.output.as_ref()).map(|output| output.lines().count()).sum();
    let shown = detail.and_then(|detail| detail.health.as_ref()).map_or(0, |health| health.output.lines().count());
    let check = config.and_then(|config| config.healthcheck.as_ref()?.test.as_ref());
    let log_options = answer.host_config.as_ref().and_then(|host| host.log_config.as_ref()?.config.as_ref());

    let mut left_out = Vec::new();
    let mut add = |what: &str, count: usize| left_out.extend(LeftOut::counted(&of, what, count));
    add("variables of its environment", variables.saturating_sub(detail.map_or(0, |detail| detail.environment.len())));
    add("labels", labels.map_or(0, |labels| labels.keys().filter(|name| !is_kept(name)).count()));
    if !matches!(container.program, Some(Program::Mitmproxy(_))) {
        add("words of its command line", words);
    }
    add("words of its health check", check.map_or(0, |words| words.len().saturating_sub(1)));
    add("lines that its health checks printed", printed.saturating_sub(shown));
    add("options of its log", log_options.map_or(0, HashMap::len));
    if let Some(Program::Mitmproxy(line)) = &container.program {
        left_out.extend(left_out_of_line(&of, line));
    }
    left_out
}

/// What was on mitmproxy's command line and is not kept.
pub(crate) fn left_out_of_line(of: &str, line: &CommandLine) -> Vec<LeftOut> {
    let values = LeftOut::counted(of, "values behind --set", line.other_set.len());
    let unread = line.unread.then(|| LeftOut::uncounted(of, "other options of its command line"));
    values.into_iter().chain(unread).collect()
}

/// The variables that checks use; no other value is taken in.
pub(crate) fn kept_environment<'e>(environment: impl Iterator<Item = (&'e str, &'e str)>) -> Vec<(String, String)> {
    let kept = environment.filter_map(|(name, value)| match name {
        "CADDY_ADMIN" | "CADDY_VERSION" | "PYTHONUNBUFFERED" => Some((name.to_owned(), redact::line(value))),
        name if redact::is_proxy(name) => Some((name.to_owned(), redact::proxy(value))),
        _ => None,
    });
    kept.collect()
}

/// `--cpu-quota` and `--cpu-period` (100 ms unless given) in billionths of a processor.
fn of_quota(host: &bollard::models::HostConfig) -> Option<i64> {
    let quota = host.cpu_quota.filter(|quota| *quota > 0)?;
    let period = host.cpu_period.filter(|period| *period > 0).unwrap_or(100_000);
    Some(quota.saturating_mul(1_000_000_000) / period)
}

/// What `HostConfig` asks for; a container that does not run shows nothing else.
fn wanted_ports(bindings: Option<&PortMap>, exposed: Option<&[String]>, actual: &[Port]) -> Vec<Port> {
    let read = |spec: &str| {
        let (port, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
        Some((port.parse().ok()?, protocol.to_owned()))
    };
    let mut ports: Vec<Port> = Vec::new();
    for (spec, published) in bindings.into_iter().flatten() {
        let Some((container_port, protocol)) = read(spec) else { continue };
        for binding in published.iter().flatten() {
            let host_port = binding.host_port.as_deref().and_then(|port| port.parse().ok()).filter(|port| *port != 0);
            // `-p 8080` leaves the choice to the engine; what it chose is among the actual ports.
            let chosen =
                || actual.iter().find(|own| own.container_port == container_port).and_then(|own| own.host_port);
            ports.push(Port {
                container_port,
                protocol: protocol.clone(),
                host_port: host_port.or_else(chosen),
                host_ip: binding.host_ip.clone().unwrap_or_default(),
            });
        }
    }
    for spec in exposed.into_iter().flatten() {
        if let Some((container_port, protocol)) = read(spec)
            && !ports.iter().any(|own| own.container_port == container_port && own.protocol == protocol)
        {
            ports.push(Port { container_port, protocol, host_port: None, host_ip: String::new() });
        }
    }
    ports.sort();
    ports.dedup();
    ports
}

fn network(network: bollard::models::Network) -> Network {
    let id = network.id.unwrap_or_default();
    let driver = network.driver.unwrap_or_default();
    let named = network.options.as_ref().and_then(|options| options.get(BRIDGE_NAME)).cloned();
    let interface = match (driver.as_str(), named) {
        ("bridge", Some(name)) => name,
        ("bridge", None) => format!("br-{}", id.get(..12).unwrap_or(&id)),
        _ => String::new(),
    };
    let configs = network.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    Network {
        gateways: configs.iter().filter_map(|config| config.gateway.as_deref()?.parse().ok()).collect(),
        compose_name: network.labels.and_then(|labels| labels.get(COMPOSE_NETWORK).cloned()),
        name: network.name.unwrap_or_default(),
        id,
        driver,
        interface,
        subnets: configs.iter().filter_map(|config| config.subnet.clone()).collect(),
        mtu: network.options.as_ref().and_then(|options| options.get(MTU)).and_then(|mtu| mtu.parse().ok()),
    }
}

#[cfg(unix)]
fn user() -> Option<User> {
    let output = |arguments: &[&str]| {
        let output = std::process::Command::new("id").args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let groups = output(&["-Gn"])?.split_whitespace().map(str::to_owned).collect();
    Some(User { name: output(&["-un"])?, groups })
}

#[cfg(not(unix))]
fn user() -> Option<User> {
    None
}

#[cfg(unix)]
fn socket_group(endpoint: &str) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let group = std::fs::metadata(endpoint.strip_prefix("unix://")?).ok()?.gid().to_string();
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == group).then(|| name.to_owned())
    })
}

#[cfg(unix)]
fn is_of_root(endpoint: &str) -> bool {
    use std::os::unix::fs::MetadataExt;
    endpoint.strip_prefix("unix://").and_then(|path| std::fs::metadata(path).ok()).is_some_and(|own| own.uid() == 0)
}

#[cfg(not(unix))]
fn is_of_root(_: &str) -> bool {
    false
}

#[cfg(not(unix))]
fn socket_group(_: &str) -> Option<String> {
    None
}

/// The command that starts the engine of an endpoint, where this machine has one.
fn start_with(endpoint: &str) -> Option<String> {
    use std::path::Path;
    let exists = |path: &str| Path::new(path).exists();
    let unit = exists("/lib/systemd/system/docker.service") || exists("/usr/lib/systemd/system/docker.service");
    match endpoint {
        "unix:///var/run/docker.sock" if exists("/run/systemd/system") && unit => {
            Some("sudo systemctl start docker".to_owned())
        }
        _ if endpoint.contains("/.docker/") && exists("/Applications/Docker.app") => Some("open -a Docker".to_owned()),
        _ if endpoint.contains("/.colima/") => Some("colima start".to_owned()),
        _ if exists("/run/systemd/system") => unit_of(endpoint).map(str::to_owned),
        _ => None,
    }
}

/// The command for the unit that an engine's own installer makes, by the path of its socket.
fn unit_of(endpoint: &str) -> Option<&'static str> {
    let path = endpoint.strip_prefix("unix://")?;
    let of_user = path.strip_prefix("/run/user/").and_then(|rest| rest.split_once('/')).map(|(_, socket)| socket);
    match (of_user, path) {
        (Some("docker.sock"), _) => Some("systemctl --user start docker"),
        (Some("podman/podman.sock"), _) => Some("systemctl --user start podman.socket"),
        (_, "/run/podman/podman.sock") => Some("sudo systemctl start podman.socket"),
        _ if path.ends_with("/.docker/desktop/docker.sock") => Some("systemctl --user start docker-desktop"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_to_be_healthy_first_is_read_from_the_label_of_compose() {
        let label = "mitmproxy:service_healthy:false,db:service_started:true,cache:service_healthy:true";
        assert_eq!(waits_for_healthy(label), ["mitmproxy", "cache"]);
        assert!(waits_for_healthy("").is_empty());
    }

    #[test]
    fn recognises_caddy_by_its_command() {
        for words in
            [&["caddy", "run", "--config", "x"][..], &["/usr/bin/caddy", "docker-proxy"], &["sh", "-c", "caddy run"]]
        {
            assert_eq!(program(words), Some(Program::Caddy), "{words:?}");
        }
        assert_eq!(program(&["caddy-exporter", "run"]), None);
        assert_eq!(program(&["cat", "/etc/caddy"]), None);
        let waiting = "until nc -z mitmproxy 8081; do sleep 1; done; exec caddy run --config x";
        assert_eq!(program(&["sh", "-c", waiting]), Some(Program::Caddy));
    }

    #[test]
    fn a_socket_tells_which_unit_makes_it() {
        let unit = |path: &str| unit_of(&format!("unix://{path}"));
        assert_eq!(unit("/run/user/1000/docker.sock"), Some("systemctl --user start docker"));
        assert_eq!(unit("/run/user/1000/podman/podman.sock"), Some("systemctl --user start podman.socket"));
        assert_eq!(unit("/run/podman/podman.sock"), Some("sudo systemctl start podman.socket"));
        assert_eq!(unit("/home/ann/.docker/desktop/docker.sock"), Some("systemctl --user start docker-desktop"));
        assert_eq!((unit("/srv/docker.sock"), unit_of("tcp://127.0.0.1:2375")), (None, None));
    }

    #[test]
    fn reads_who_answers() {
        assert_eq!(who("Docker/20.10.24+dfsg1 (linux)"), ("docker".into(), "20.10.24+dfsg1".into()));
        assert_eq!(who("Libpod/5.4.0 (linux)"), ("podman".into(), "5.4.0".into()));
    }
}
