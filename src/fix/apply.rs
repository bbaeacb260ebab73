//! Does what a fix says. This is the only code of the doctor that changes anything, and only `doctor fix` calls it.
//!
//! It looks again right before each change, and does nothing when what was judged is not there any more. What was sent is
//! never sent a second time. Every failure is a sentence: what was tried, on whom, what came back, and what is done by then.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use bollard::models::{EndpointSettings, NetworkConnectRequest, NetworkCreateRequest};
use caddy_doctor_checks::model::{
    Action, Facts, Part, Place, Role,
    caddy::CaddyConfig,
    docker::{Container, Containers},
    fix::{ApiAt, encoded, route_file},
    setup::PartKind,
    text,
    view::Way,
};
use reqwest::Method;
use serde_json::{Value, value::RawValue};

use crate::{
    gather::{self, Secrets},
    probe::{
        deadline::Deadline,
        docker::{self, Engined},
        http::{Answer, Question},
        mitmweb, redact,
        view::Looker,
    },
};

/// How long a change may take.
const WRITE: Duration = Duration::from_secs(5);
/// How long a container may take to stop or to start: an engine waits 10 s before it ends one by force.
const LIFECYCLE: Duration = Duration::from_secs(20);
/// How long a new mode may take until mitmproxy says that it listens, or why not.
const LISTENING: Duration = Duration::from_secs(2);

/// What is said when nothing was done, and why nothing should be.
const LOOK_AGAIN: &str = "nothing was done; look again with doctor";

/// Applies fixes of one plan.
pub(crate) struct Applier<'a> {
    /// What was judged.
    facts: &'a Facts,
    secrets: &'a Secrets,
    /// Shows a line of what a command prints.
    show: &'a dyn Fn(&str),
    /// The configs of Caddys as they were judged, with the values that were set since.
    configs: BTreeMap<String, Value>,
}

/// What happened, where there is more to say than that it was done.
type Applied = Result<Option<String>, String>;

impl<'a> Applier<'a> {
    pub(crate) fn new(facts: &'a Facts, secrets: &'a Secrets, show: &'a dyn Fn(&str)) -> Self {
        let caddies = facts.caddies.iter().flat_map(|caddies| &caddies.0);
        let configs = caddies.filter_map(|seen| Some((seen.name.clone(), reduced(seen.config.as_ref().ok()?))));
        Self { facts, secrets, show, configs: configs.collect() }
    }

    /// Applies one. `about` names those whom the finding is about.
    pub(crate) async fn apply(&mut self, action: &Action, about: &[String]) -> Applied {
        if let Action::Steps(steps) = action {
            return self.all(steps, about).await;
        }
        let (seen, engine) = docker::engine(Deadline::each(WRITE)).await;
        let containers = match &engine {
            Some(engine) => engine.containers().await.map_err(|missing| format!("{missing}; {LOOK_AGAIN}"))?.0,
            None => Containers::default(),
        };
        let named = self.containers_of(action, about);
        let mut own: Vec<&Container> = Vec::new();
        for name in &named {
            if let Err(missing) = &seen.answer {
                return Err(format!("{missing}; {LOOK_AGAIN}"));
            }
            own.push(self.still_there(&containers, name)?);
        }
        let here = gather::place_of_doctor(&containers);
        let deadline = Deadline::each(WRITE);
        let looker =
            Looker { here: &here, containers: engine.as_ref().map(|_| &containers), engine: engine.as_ref(), deadline };
        let of_engine = || engine.as_ref().ok_or_else(|| format!("there is no engine; {LOOK_AGAIN}"));
        match action {
            Action::Connect { network, container, aliases } => {
                connect(of_engine()?, network, container, &own[0].id, aliases).await.map(|()| None)
            }
            Action::NewNetwork { network, containers } => {
                new_network(of_engine()?, network, containers, &own).await.map(|()| None)
            }
            Action::Start { container } => start(of_engine()?, container, &own[0].id).await.map(|()| None),
            Action::Unpause { container } => {
                let asked = format!("letting {container} go on");
                let unpause = of_engine()?.api().unpause_container(&own[0].id);
                done(LIFECYCLE, &asked, unpause).await.map(|()| None)
            }
            Action::StopThenStart { stop, start: next } => {
                let engine = of_engine()?;
                done(LIFECYCLE, &format!("stopping {stop}"), engine.api().stop_container(&own[0].id, None)).await?;
                let started = start(engine, next, &own[1].id).await;
                started.map(|()| None).map_err(|why| {
                    format!("{why}; {stop} is stopped, and docker start {} puts it back", text::shell(stop))
                })
            }
            Action::SetOption { at, option, value, .. } => self.set_option(&looker, at, option, value).await,
            Action::SetDial { at, .. }
            | Action::AddRoute { at, .. }
            | Action::MoveRoute { at, .. }
            | Action::RemoveRoute { at, .. }
            | Action::SetCaddy { at, .. } => {
                if action.is_refused() {
                    return Err(format!("it would replace more of Caddy's config than a fix may; {LOOK_AGAIN}"));
                }
                self.set_caddy(&looker, at, action).await
            }
            Action::Recreate(_) | Action::Command { .. } => {
                for command in action.commands() {
                    run(&command, self.show)?;
                }
                Ok(None)
            }
            Action::Steps(_) | Action::Manual => Err("a person has to do it".to_owned()),
        }
    }

    /// One after the other, up to the first that fails.
    async fn all(&mut self, steps: &[Action], about: &[String]) -> Applied {
        let mut notes: Vec<String> = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            match Box::pin(self.apply(step, about)).await {
                Ok(note) => notes.extend(note),
                Err(why) if at == 0 => return Err(why),
                Err(why) => return Err(format!("{why}; {at} of its {} steps were done before", steps.len())),
            }
        }
        Ok((!notes.is_empty()).then(|| notes.join("; ")))
    }

    /// The containers that an action is done to, in its order.
    fn containers_of(&self, action: &Action, about: &[String]) -> Vec<String> {
        match action {
            Action::Connect { container, .. } | Action::Start { container } | Action::Unpause { container } => {
                vec![container.clone()]
            }
            Action::NewNetwork { containers, .. } => containers.iter().map(|(name, _)| name.clone()).collect(),
            Action::StopThenStart { stop, start } => vec![stop.clone(), start.clone()],
            Action::Recreate(recreate) => vec![recreate.container.clone()],
            Action::SetOption { at, .. }
            | Action::SetDial { at, .. }
            | Action::AddRoute { at, .. }
            | Action::MoveRoute { at, .. }
            | Action::RemoveRoute { at, .. }
            | Action::SetCaddy { at, .. } => match at {
                ApiAt::Inside { container, .. } => vec![container.clone()],
                ApiAt::Here(_) => Vec::new(),
            },
            // A command does not say to whom it is done; the finding does.
            Action::Command { .. } => {
                let judged = self.facts.containers.as_ref().ok();
                about.iter().filter(|name| judged.is_some_and(|all| all.named(name).is_some())).cloned().collect()
            }
            Action::Steps(_) | Action::Manual => Vec::new(),
        }
    }

    /// The container of this name, when it is the one that was judged.
    fn still_there<'c>(&self, now: &'c Containers, name: &str) -> Result<&'c Container, String> {
        let judged = self.facts.containers.as_ref().ok().and_then(|all| all.named(name));
        let Some(judged) = judged else {
            return Err(format!("{name} was not there when the doctor looked; {LOOK_AGAIN}"));
        };
        match now.named(name) {
            Some(own) if own.id == judged.id => Ok(own),
            Some(_) => Err(format!("{name} was made anew since the doctor looked; {LOOK_AGAIN}")),
            None => match now.0.iter().find(|own| own.id == judged.id) {
                Some(renamed) => Err(format!("{name} is called {} now; {LOOK_AGAIN}", renamed.name)),
                None => Err(format!("{name} is not there any more; {LOOK_AGAIN}")),
            },
        }
    }

    async fn set_option(&self, looker: &Looker<'_>, at: &ApiAt, option: &str, value: &Value) -> Applied {
        let (part, port) = part(looker, at, Role::Mitmproxy);
        let name = &part.name;
        let get = |path: &'static str| move |base: &str| mitmweb::get(base, path, self.secrets);
        let options = get("/options");
        let mut reached = looker.reach(&part, port, &|base| vec![options(base)]).await;
        let answer = reached.answers.swap_remove(0).map_err(|missing| format!("{missing}; {LOOK_AGAIN}"))?;
        let version = answer.server.as_deref().and_then(mitmweb::version);
        let (now, _) = mitmweb::options(&format!("GET /options of {name}"), &answer, version.as_deref(), self.secrets)
            .map_err(|missing| format!("{missing}; {LOOK_AGAIN}"))?;
        let mut all = self.facts.mitmproxies.iter().flat_map(|all| &all.0);
        let judged = all.find(|seen| match at {
            ApiAt::Inside { container, .. } => seen.name == *container,
            ApiAt::Here(url) => seen.web == *url,
        });
        let value_of = |options| serde_json::to_value(options).ok().and_then(|all| all.get(option).cloned());
        if let Some(Ok(judged)) = judged.map(|seen| &seen.options)
            && value_of(judged) != value_of(&now)
        {
            return Err(format!("{option} of {name} is not what it was when the doctor looked; {LOOK_AGAIN}"));
        }
        let put = |base: &str| Question {
            method: Method::PUT,
            headers: mitmweb::same_site(),
            body: Some(serde_json::json!({option: value}).to_string()),
            ..options(base)
        };
        let asked = format!("setting {option} of {name}");
        let answer = looker.again(reached.way, &part, port, &put).await.map_err(|missing| unsure(&asked, &missing))?;
        if answer.status != 200 {
            return Err(format!("{asked}: HTTP {}{}; nothing was changed", answer.status, said(&answer)));
        }
        if option != "mode" {
            return Ok(None);
        }
        let major = version.as_deref().and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        if major.is_some_and(|major| major < 9) {
            return Ok(Some(format!("mitmproxy {} does not tell whether it listens now", version.unwrap_or_default())));
        }
        let wanted: Vec<String> = match value {
            Value::Array(modes) => modes.iter().filter_map(|mode| mode.as_str().map(str::to_owned)).collect(),
            mode => mode.as_str().map(str::to_owned).into_iter().collect(),
        };
        let wanted: Vec<String> = wanted.iter().map(|mode| text::mode_without_user_info(mode)).collect();
        let end = tokio::time::Instant::now() + LISTENING;
        loop {
            let state = looker.again(reached.way, &part, port, &get("/state")).await;
            let servers = state.and_then(|answer| mitmweb::servers(&format!("GET /state of {name}"), &answer));
            let unknown = match servers {
                Ok(servers) => {
                    let of = |mode: &String| servers.iter().find(|own| own.full_spec == *mode);
                    let failed =
                        wanted.iter().filter_map(of).find(|own| !own.is_running && own.last_exception.is_some());
                    if let Some(failed) = failed {
                        let why = failed.last_exception.clone().unwrap_or_default();
                        return Err(format!(
                            "{name} has the mode {} now and cannot listen: {why}; set another mode",
                            failed.full_spec
                        ));
                    }
                    if wanted.iter().all(|mode| of(mode).is_some_and(|own| own.is_running)) {
                        return Ok(None);
                    }
                    format!("{name} took the mode and does not say that it listens")
                }
                Err(missing) => format!("{name} took the mode; whether it listens is not known: {missing}"),
            };
            if tokio::time::Instant::now() >= end {
                return Ok(Some(unknown));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Reads what is to be changed, holds it against what was judged, and writes on the condition that it is still that.
    async fn set_caddy(&mut self, looker: &Looker<'_>, at: &ApiAt, action: &Action) -> Applied {
        let (part, port) = part(looker, at, Role::Caddy);
        let mut all = self.facts.caddies.iter().flat_map(|all| &all.0);
        let judged = all.find(|seen| match at {
            ApiAt::Inside { container, .. } => seen.name == *container,
            ApiAt::Here(url) => seen.admin == *url,
        });
        let Some(name) = judged.map(|seen| seen.name.clone()) else {
            return Err(format!("{} was not there when the doctor looked; {LOOK_AGAIN}", part.name));
        };
        let not_done = |why: String| format!("{why}; {LOOK_AGAIN}");

        // An index means something else when its list has changed, so then it is the list that has to be the same. Of what is
        // not there yet Caddy may know no path at all, so then the whole config is read.
        let whole = "/config/".to_owned();
        let (path, to_read, is_list) = match action {
            Action::SetCaddy { config_path, old: None, .. } if config_path.starts_with(&whole) => {
                (config_path, &whole, false)
            }
            Action::SetDial { config_path, .. } | Action::SetCaddy { config_path, .. } => {
                (config_path, config_path, false)
            }
            Action::AddRoute { routes_path, .. }
            | Action::MoveRoute { routes_path, .. }
            | Action::RemoveRoute { routes_path, .. } => (routes_path, routes_path, true),
            _ => return Err(not_done("this is nothing of Caddy's config".to_owned())),
        };
        let differs = || not_done(format!("{path} of {name} is not what it was when the doctor looked"));
        let get = |path: &str| {
            let path = encoded(path);
            move |base: &str| Question::get(format!("{base}{path}"))
        };
        let read = get(to_read);
        let mut reached = looker.reach(&part, port, &|base| vec![read(base)]).await;
        let mut current = reached.answers.swap_remove(0);
        if reached.way == Way::Exec {
            // The tools that are used for reading hide the header that is needed now.
            current = looker.again(reached.way, &part, port, &read).await;
        }
        let current = current.map_err(|missing| not_done(missing.to_string()))?;
        if current.status != 200 {
            return Err(not_done(format!("GET {to_read} of {name}: HTTP {}{}", current.status, said(&current))));
        }
        let whole = looker.again(reached.way, &part, port, &get(&whole)).await;
        let whole = whole.map_err(|missing| not_done(missing.to_string()))?;
        let now = CaddyConfig::read(&whole.body)
            .map_err(|error| not_done(format!("GET /config/ of {name}: {}", redact::json_error(&error))))?;
        let now = reduced(&now);
        let before = self.configs.get(&name).cloned().unwrap_or_default();
        if scope(&before, path, is_list) != scope(&now, path, is_list) {
            return Err(differs());
        }

        let list = || -> Result<Vec<Box<RawValue>>, String> {
            serde_json::from_slice(&current.body)
                .map_err(|error| not_done(format!("GET {path} of {name}: {}", redact::json_error(&error))))
        };
        let there = |index: usize, list: &[Box<RawValue>]| match index < list.len() {
            true => Ok(()),
            false => Err(not_done(format!("{path} of {name} has no index {index}"))),
        };
        let mut kept = None;
        let (method, target, body) = match action {
            Action::SetDial { dial, .. } => (Method::POST, path.clone(), Some(Value::from(dial.as_str()).to_string())),
            Action::SetCaddy { value, old, .. } => {
                let own: Value = serde_json::from_slice(&current.body).unwrap_or_default();
                let own = match old {
                    None if to_read != path => own.pointer(&pointer(path)).cloned().unwrap_or_default(),
                    _ => own,
                };
                if own != old.clone().unwrap_or_default() {
                    return Err(not_done(format!("what {path} of {name} holds is not what this fix goes by")));
                }
                let method = if old.is_some() { Method::PATCH } else { Method::PUT };
                (method, path.clone(), Some(value.to_string()))
            }
            Action::AddRoute { index, route, .. } => {
                if *index > 0 {
                    there(*index - 1, &list()?)?;
                }
                (Method::PUT, format!("{path}/{index}"), Some(route.to_string()))
            }
            // The whole list at once: no request meets a list without the route, and no two routes have one `@id`, which
            // Caddy refuses from 2.11 on.
            Action::MoveRoute { from, to, .. } => {
                let mut list = list()?;
                there(*from, &list)?;
                there(*to, &list)?;
                let route = list.remove(*from);
                list.insert(*to, route);
                (Method::PATCH, path.clone(), Some(serde_json::to_string(&list).unwrap_or_default()))
            }
            Action::RemoveRoute { index, .. } => {
                let list = list()?;
                there(*index, &list)?;
                let file = route_file(path, *index);
                keep(&file, list[*index].get())
                    .map_err(|error| not_done(format!("the route cannot be kept in {file} of this folder: {error}")))?;
                kept = Some(file);
                (Method::DELETE, format!("{path}/{index}"), None)
            }
            _ => return Err(not_done("this is nothing of Caddy's config".to_owned())),
        };
        let mut headers = Vec::new();
        if body.is_some() {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        // Caddy before 2.5.2 sends none, and one before 2.8 none that a bare socket sees: then what was just compared has to do.
        headers.extend(current.etag.clone().map(|etag| ("If-Match", etag)));
        let asked = format!("{method} {target} of {name}");
        let write = |base: &str| Question {
            method: method.clone(),
            headers: headers.clone(),
            body: body.clone(),
            ..Question::get(format!("{base}{}", encoded(&target)))
        };
        let answer =
            looker.again(reached.way, &part, port, &write).await.map_err(|missing| unsure(&asked, &missing))?;
        if answer.status != 200 {
            // What was kept is still in Caddy.
            if let Some(file) = kept {
                let _ = fs::remove_file(file);
            }
            return Err(match answer.status {
                412 => not_done(format!("somebody else changed {path} of {name} meanwhile")),
                status => format!("{asked}: HTTP {status}{}; Caddy goes on as before", said(&answer)),
            });
        }
        match action {
            Action::SetDial { dial, .. } => self.remember(&name, path, dial.as_str().into()),
            Action::SetCaddy { value, .. } => self.remember(&name, path, value.clone()),
            Action::MoveRoute { .. } => {
                let read = looker.again(reached.way, &part, port, &read).await;
                let read = read.map_err(|missing| format!("{asked} was done, and not seen to be: {missing}"))?;
                let wanted: Option<Value> = body.and_then(|body| serde_json::from_str(&body).ok());
                if serde_json::from_slice(&read.body).ok() != wanted {
                    return Err(format!(
                        "{asked} was done, and {path} is not what was written; look again with doctor"
                    ));
                }
            }
            _ => {}
        }
        Ok(kept.map(|file| format!("the route is kept in {file} of this folder")))
    }

    /// What was set is not what somebody else changed.
    fn remember(&mut self, caddy: &str, path: &str, value: Value) {
        let Some(config) = self.configs.get_mut(caddy) else { return };
        if let Some(place) = config.pointer_mut(&pointer(path)) {
            *place = value;
        }
        // In the form in which it is compared.
        if let Ok(read) = CaddyConfig::read(config.to_string().as_bytes()) {
            *config = reduced(&read);
        }
    }
}

/// As much of a config as is kept of it.
fn reduced(config: &CaddyConfig) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}

/// The part of a config that has to be as it was judged, for something at `path` to be what is meant: the list itself, the
/// object with that id, else the route around it or the value. The whole config, when nothing of it is kept.
fn scope<'v>(config: &'v Value, path: &str, is_list: bool) -> &'v Value {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let found = match parts.as_slice() {
        ["id", id, ..] => with_id(config, id),
        ["config", around @ ..] => {
            let is_below_route = !is_list && matches!(around, ["apps", "http", "servers", _, "routes", _, ..]);
            let depth = if is_below_route { 6 } else { around.len() };
            config.pointer(&pointer(&format!("/config/{}", around[..depth].join("/"))))
        }
        _ => None,
    };
    found.unwrap_or(config)
}

/// Where a path of the API is within the config.
fn pointer(path: &str) -> String {
    path.strip_prefix("/config").unwrap_or(path).replace('~', "~0")
}

fn with_id<'v>(value: &'v Value, id: &str) -> Option<&'v Value> {
    match value {
        Value::Object(fields) if fields.get("@id").is_some_and(|own| own == id) => Some(value),
        Value::Object(fields) => fields.values().find_map(|value| with_id(value, id)),
        Value::Array(items) => items.iter().find_map(|value| with_id(value, id)),
        _ => None,
    }
}

/// Whom an API belongs to, and its port there.
fn part(looker: &Looker<'_>, at: &ApiAt, role: Role) -> (Part, u16) {
    let (ApiAt::Here(url) | ApiAt::Inside { url, .. }) = at;
    let address = url.split_once("://").map_or(url.as_str(), |(_, address)| address).trim_end_matches('/');
    let port = text::host_and_port(address).and_then(|(_, port)| port).unwrap_or(80);
    let part = match at {
        ApiAt::Here(url) => Part {
            role,
            name: url.clone(),
            place: Place::Host,
            kind: PartKind::Address(url.clone()),
            how: "by its address",
        },
        ApiAt::Inside { container, .. } => {
            let own = looker.containers.and_then(|all| Some(all.place_of(all.named(container)?)));
            let place = own.unwrap_or_else(|| Place::Container(container.clone()));
            Part { role, name: container.clone(), place, kind: PartKind::Container, how: "by its name" }
        }
    };
    (part, port)
}

/// What was sent may have been done although no answer came.
fn unsure(asked: &str, missing: &impl std::fmt::Display) -> String {
    format!("{asked}: {missing}; it may have been done all the same, so look again with doctor")
}

/// `: unknown option`, in the words of who says no.
fn said(answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    let error =
        serde_json::from_str::<Value>(&body).ok().and_then(|body| body.get("error")?.as_str().map(str::to_owned));
    let line = redact::line(error.as_deref().unwrap_or_else(|| body.lines().next().unwrap_or_default()));
    if line.is_empty() { line } else { format!(": {line}") }
}

/// Writes what may hold secrets into a new file that only this user may read.
fn keep(file: &str, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(format!("{text}\n").as_bytes())
}

async fn done<T>(
    time: Duration,
    asked: &str,
    action: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, String> {
    let answer = async { action.await.map_err(|error| docker::failed(asked, &error)) };
    Deadline::each(time).ask(asked, answer).await.map_err(|missing| {
        use caddy_doctor_checks::model::facts::Kind;
        match missing.kind() {
            Some(Kind::Status(_) | Kind::NotFound | Kind::NotRunning) => format!("{missing}; nothing was done by it"),
            _ => format!("{missing}; the engine may do it all the same"),
        }
    })
}

async fn connect(engine: &Engined, network: &str, container: &str, id: &str, aliases: &[String]) -> Result<(), String> {
    let endpoint_config = (!aliases.is_empty())
        .then(|| EndpointSettings { aliases: Some(aliases.to_vec()), ..EndpointSettings::default() });
    let request = NetworkConnectRequest { container: id.to_owned(), endpoint_config };
    done(WRITE, &format!("connecting {container} to {network}"), engine.api().connect_network(network, request)).await
}

async fn new_network(
    engine: &Engined,
    network: &str,
    containers: &[(String, Vec<String>)],
    own: &[&Container],
) -> Result<(), String> {
    // An engine would make a second one of the same name.
    let (networks, _) = engine.networks().await.map_err(|missing| format!("{missing}; {LOOK_AGAIN}"))?;
    if networks.named(network).is_some() {
        return Err(format!("there is a network {network} meanwhile; {LOOK_AGAIN}"));
    }
    let request = NetworkCreateRequest { name: network.to_owned(), ..NetworkCreateRequest::default() };
    done(WRITE, &format!("creating the network {network}"), engine.api().create_network(request)).await?;
    let mut connected: Vec<&str> = Vec::new();
    for ((name, aliases), container) in containers.iter().zip(own) {
        connect(engine, network, name, &container.id, aliases).await.map_err(|why| {
            let with = match connected.as_slice() {
                [] => String::new(),
                connected => format!(", with {} on it", text::list(connected)),
            };
            format!("{why}; the network {network} is there{with}")
        })?;
        connected.push(name);
    }
    Ok(())
}

async fn start(engine: &Engined, container: &str, id: &str) -> Result<(), String> {
    done(LIFECYCLE, &format!("starting {container}"), engine.api().start_container(id, None)).await
}

/// Runs a command as a person would, and shows what it prints.
fn run(command: &str, show: &dyn Fn(&str)) -> Result<(), String> {
    let failed = |error: io::Error| format!("the command cannot be run: {error}; nothing was done");
    let (reader, writer) = io::pipe().map_err(failed)?;
    let mut child = {
        let mut shell = Command::new("sh");
        let errors = writer.try_clone().map_err(failed)?;
        shell.arg("-c").arg(command).stdin(Stdio::inherit()).stdout(writer).stderr(errors);
        shell.spawn().map_err(failed)?
    };
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        show(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the command ended with {status}; what it printed tells how far it came")),
        Err(error) => Err(format!("the command was lost: {error}; look again with doctor")),
    }
}
