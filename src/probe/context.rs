//! Which Docker engine is meant, as the `docker` command itself would decide. bollard 0.21 knows no contexts; this file
//! can go when it does.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use caddy_doctor_checks::model::text;
use serde::Deserialize;

/// An endpoint, and why it is the one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chosen {
    /// `unix:///var/run/docker.sock`
    pub(crate) endpoint: String,
    /// `DOCKER_HOST`, `docker context desktop-linux`, `the default`.
    pub(crate) by: String,
    /// The contexts that there are, where the one that was meant is none of them.
    pub(crate) contexts: Vec<String>,
}

#[cfg(windows)]
const DEFAULT: &str = "npipe:////./pipe/docker_engine";
#[cfg(not(windows))]
const DEFAULT: &str = "unix:///var/run/docker.sock";

/// Decides: `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context, the default socket, and when that is not there the first
/// of the other usual sockets that is.
pub(crate) fn choose() -> Chosen {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let chosen = |endpoint: String, by: String| Chosen { endpoint, by, contexts: Vec::new() };
    if let Some(endpoint) = variable("DOCKER_HOST") {
        return chosen(without_secrets(&endpoint), "DOCKER_HOST".to_owned());
    }
    let folder = docker_folder();
    let named = match variable("DOCKER_CONTEXT") {
        Some(name) => Some((name.clone(), format!("docker context {name}, by DOCKER_CONTEXT"))),
        None => {
            folder.as_deref().and_then(current_context).map(|name| (name.clone(), format!("docker context {name}")))
        }
    };
    if let Some((name, by)) = named.filter(|(name, _)| name != "default") {
        let all = folder.as_deref().map(every_context).unwrap_or_default();
        if let Some((_, endpoint)) = all.iter().find(|(own, _)| *own == name) {
            return chosen(endpoint.clone(), by);
        }
        // The command has this one without a file.
        let mut contexts: Vec<String> =
            ["default".to_owned()].into_iter().chain(all.into_iter().map(|(name, _)| name)).collect();
        contexts.sort();
        return Chosen { endpoint: format!("context {name}, which is not defined"), by, contexts };
    }
    if Path::new(DEFAULT.trim_start_matches("unix://")).exists() || cfg!(windows) {
        return chosen(DEFAULT.to_owned(), "the default".to_owned());
    }
    match usual_sockets().into_iter().find(|(path, _)| path.exists()) {
        Some((path, what)) => chosen(unix(&path), format!("the socket of {what}, as the default one is not there")),
        None => chosen(DEFAULT.to_owned(), "the default".to_owned()),
    }
}

/// No engine that the doctor speaks to asks for a password or for a query.
fn without_secrets(endpoint: &str) -> String {
    let endpoint = text::without_user_info(endpoint);
    match endpoint.split_once('?') {
        Some((address, _)) if !endpoint.starts_with("unix://") => address.to_owned(),
        _ => endpoint,
    }
}

/// The other endpoints where an engine may answer.
pub(crate) fn others(chosen: &Chosen) -> Vec<String> {
    let mut all: Vec<String> =
        usual_sockets().iter().filter(|(path, _)| path.exists()).map(|(path, _)| unix(path)).collect();
    all.extend(
        docker_folder()
            .map(|folder| every_context(&folder))
            .unwrap_or_default()
            .into_iter()
            .map(|(_, endpoint)| endpoint),
    );
    // One socket may be known by several names.
    let same = |a: &str, b: &str| a == b || real(a).is_some_and(|path| real(b) == Some(path));
    let mut kept: Vec<String> = Vec::new();
    for endpoint in all {
        if endpoint.starts_with("unix://")
            && !same(&endpoint, &chosen.endpoint)
            && !kept.iter().any(|own| same(own, &endpoint))
        {
            kept.push(endpoint);
        }
    }
    kept
}

fn real(endpoint: &str) -> Option<PathBuf> {
    fs::canonicalize(endpoint.strip_prefix("unix://")?).ok()
}

fn unix(path: &Path) -> String {
    format!("unix://{}", path.display())
}

fn usual_sockets() -> Vec<(PathBuf, &'static str)> {
    let mut sockets = vec![(PathBuf::from("/var/run/docker.sock"), "Docker")];
    if let Some(home) = home() {
        sockets.push((home.join(".docker/run/docker.sock"), "Docker Desktop"));
        sockets.push((home.join(".docker/desktop/docker.sock"), "Docker Desktop"));
        sockets.push((home.join(".orbstack/run/docker.sock"), "OrbStack"));
        sockets.push((home.join(".colima/default/docker.sock"), "Colima"));
    }
    if let Some(run) = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        sockets.push((run.join("docker.sock"), "rootless Docker"));
        sockets.push((run.join("podman/podman.sock"), "rootless Podman"));
    }
    sockets.push((PathBuf::from("/run/podman/podman.sock"), "Podman"));
    sockets
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").or_else(|| env::var_os("USERPROFILE")).map(PathBuf::from)
}

fn docker_folder() -> Option<PathBuf> {
    env::var_os("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(home()?.join(".docker")))
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "currentContext")]
    current_context: Option<String>,
}

fn current_context(folder: &Path) -> Option<String> {
    let config: Config = serde_json::from_slice(&fs::read(folder.join("config.json")).ok()?).ok()?;
    config.current_context.filter(|name| !name.is_empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    host: String,
}

/// Every context: its name and endpoint. A context is a folder under `contexts/meta` that is called after a hash.
fn every_context(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder.join("contexts/meta")).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let meta: Meta = serde_json::from_slice(&fs::read(entry.path().join("meta.json")).ok()?).ok()?;
            Some((meta.name, without_secrets(&meta.endpoints.docker?.host)))
        })
        .collect()
}
