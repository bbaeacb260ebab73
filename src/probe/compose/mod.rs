//! A compose file before `up`: read as compose itself reads it, and turned into the facts that inspect would give.

mod caddyfile;
mod config;
mod plan;
mod tokens;
mod upstreams;
mod values;
mod yaml;

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use caddy_doctor_checks::model::Composed;
use serde_json::Value;

pub(crate) use self::plan::{Laid, Plan};
use super::redact;
use crate::error::Error;

/// A file that is larger is none of compose's.
const LARGEST: u64 = 4 << 20;

/// Reads the files by `docker compose`, else by `docker-compose`, else as far as it is certain without them. Neither
/// command talks to an engine for it.
///
/// # Errors
/// A file cannot be read, or is no compose file; in compose's own words where it is there.
pub(crate) fn read(files: &[PathBuf], project: Option<&str>, time: Duration) -> Result<Plan, Error> {
    let end = Instant::now() + time;
    let mut texts = Vec::new();
    for path in files {
        let unreadable = |source| Error::ComposeUnreadable { path: path.clone(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        file.take(LARGEST).read_to_string(&mut text).map_err(unreadable)?;
        texts.push(text);
    }
    let Some((first, text)) = files.first().zip(texts.first()) else {
        return Err(Error::NotACompose { path: PathBuf::new(), why: "no file is named".to_owned() });
    };
    let not_one = |why: String| Error::NotACompose { path: first.clone(), why };
    let mut composed =
        Composed { files: files.iter().map(|file| file.display().to_string()).collect(), ..Composed::default() };

    let mut by = None;
    for (program, arguments, name) in
        [("docker", &["compose"][..], "docker compose"), ("docker-compose", &[][..], "docker-compose")]
    {
        let version = run(Command::new(program).args(arguments).args(["version", "--short"]), end);
        let Ok(Ran { success: true, stdout, .. }) = version else { continue };
        let version = stdout.trim().trim_start_matches('v').to_owned();
        if !version.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let mut command = Command::new(program);
        command.args(arguments);
        if let Some(project) = project {
            command.args(["-p", project]);
        }
        for file in files {
            command.arg("-f").arg(file);
        }
        // Nothing is fetched for a look: no `include` from elsewhere.
        command.env("COMPOSE_EXPERIMENTAL_GIT_REMOTE", "0").env("COMPOSE_EXPERIMENTAL_OCI_REMOTE", "0").arg("config");
        if !version.starts_with("1.") {
            command.args(["--format", "json"]);
        }
        let ran = run(&mut command, end).map_err(|why| not_one(format!("{name} config {why}")))?;
        if !ran.success {
            let said = ran.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("without a word");
            return Err(not_one(format!("{name} config says: {}", redact::line(said.trim()))));
        }
        composed.resolved_by = Some(format!("{name} {version}"));
        composed.warnings = ran.stderr.lines().filter(|line| line.contains("is not set")).map(warning).collect();
        composed.warnings.dedup();
        by = Some((ran.stdout, version));
        break;
    }
    let (root, version) = match &by {
        Some((stdout, version)) => {
            let read = serde_json::from_str(stdout).or_else(|_| yaml::read(stdout));
            (read.map_err(|why| not_one(format!("what compose made of it cannot be read: {why}")))?, version.as_str())
        }
        None => (yaml::read(text).map_err(|why| not_one(format!("it is no YAML: {why}")))?, ""),
    };
    if !root.get("services").is_some_and(Value::is_object) {
        return Err(not_one("it has no services".to_owned()));
    }
    if by.is_none() {
        composed.not_resolved = not_resolved(&root, files);
    }
    let by_compose = root.get("name").and_then(Value::as_str).filter(|_| by.is_some());
    composed.project = match project.or(by_compose) {
        Some(name) => name.to_owned(),
        None => project_name(&root, first),
    };
    Ok(Plan::new(composed, root, first, version))
}

/// `time="..." level=warning msg="The \"TAG\" variable is not set. ..."`, or the bare sentence of docker-compose.
fn warning(line: &str) -> String {
    let said = line.split_once("msg=\"").map_or(line, |(_, said)| said.trim_end_matches('"'));
    redact::line(&said.replace("\\\"", "\"").replace("\"\"", "\""))
}

/// What compose makes of a file and the doctor does not: named where it decides anything.
fn not_resolved(root: &Value, files: &[PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    if files.len() > 1 {
        found.push("how several files are one: overrides are merged by compose".to_owned());
    }
    if root.get("include").is_some() {
        found.push("what is included: `include` is resolved by compose".to_owned());
    }
    if std::env::var("COMPOSE_PROFILES").is_ok_and(|profiles| !profiles.is_empty()) {
        found.push("which services COMPOSE_PROFILES adds: profiles are resolved by compose".to_owned());
    }
    // What a path, a name or a port depends on. A tag of an image or another variable decides nothing of these.
    let deciding = [
        "command",
        "entrypoint",
        "container_name",
        "network_mode",
        "networks",
        "ports",
        "extra_hosts",
        "volumes",
        "configs",
        "hostname",
        "links",
        "labels",
    ];
    for (name, service) in root.get("services").and_then(Value::as_object).into_iter().flatten() {
        if service.get("extends").is_some() {
            found.push(format!("what service {name} extends: `extends` is resolved by compose"));
        }
        if service.get("env_file").is_some() {
            found.push(format!("the variables of service {name}: `env_file` is read by compose"));
        }
        for key in deciding {
            if let Some(variable) = service.get(key).and_then(variable_in) {
                found.push(format!("{key} of service {name}: {variable} is resolved by compose"));
            }
        }
        let repository = service.get("image").and_then(Value::as_str).map(repository);
        if repository.is_some_and(|image| image.contains('$')) {
            found.push(format!("the image of service {name}: variables are resolved by compose"));
        }
        for (variable, value) in values::environment(service.get("environment")) {
            if variable == "CADDY_ADMIN" && variable_in(&Value::String(value)).is_some() {
                found.push(format!("{variable} of service {name}: variables are resolved by compose"));
            }
        }
    }
    for key in ["networks", "configs"] {
        if let Some(variable) = root.get(key).and_then(variable_in) {
            found.push(format!("the {key}: {variable} is resolved by compose"));
        }
    }
    found.into_iter().map(|what| format!("{what}, which is not installed here")).collect()
}

/// An image without its tag and digest, which may stand in braces.
fn repository(image: &str) -> &str {
    let end = image.find(":$").or_else(|| image.find("@$")).unwrap_or(image.len());
    &image[..end]
}

/// The first variable in a value: `${PORT:-80}`, `$PORT`. `$$` is a plain dollar.
fn variable_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let text = text.replace("$$", "");
            let rest = &text[text.find('$')?..];
            let end = match rest.strip_prefix("${") {
                Some(_) => rest.find('}').map_or(rest.len(), |at| at + 1),
                None => rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_').map_or(rest.len(), |at| at + 1),
            };
            // Its default may be a secret.
            Some(rest[..end].split([':', '-', '?', '+', '=']).next().unwrap_or(rest).trim_end_matches('}').to_owned())
                .map(|name| if name.starts_with("${") { format!("{name}}}") } else { name })
        }
        Value::Array(list) => list.iter().find_map(variable_in),
        Value::Object(map) => {
            map.iter().find_map(|(key, value)| variable_in(&key.as_str().into()).or_else(|| variable_in(value)))
        }
        _ => None,
    }
}

/// As compose names a project: `name` in the file, `COMPOSE_PROJECT_NAME` (also in `.env`), the folder of the file.
fn project_name(root: &Value, first: &Path) -> String {
    let folder = folder_of(first);
    let in_env_file = || {
        let text = std::fs::read_to_string(folder.join(".env")).ok()?;
        let value = text.lines().find_map(|line| line.trim().strip_prefix("COMPOSE_PROJECT_NAME="))?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    };
    let variable = || std::env::var("COMPOSE_PROJECT_NAME").ok().filter(|name| !name.is_empty());
    let of_folder = || Some(folder.file_name()?.to_string_lossy().into_owned());
    let in_file = root.get("name").and_then(Value::as_str).filter(|name| !name.contains('$')).map(str::to_owned);
    normal(&variable().or_else(in_env_file).or(in_file).or_else(of_folder).unwrap_or_default())
}

/// A name as compose makes one of a project from it: in lower case, and without other signs.
pub(crate) fn normal(name: &str) -> String {
    let name: String =
        name.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    name.trim_start_matches(['-', '_']).to_owned()
}

/// The folder that relative paths in a file mean.
fn folder_of(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// What became of a command.
struct Ran {
    success: bool,
    stdout: String,
    stderr: String,
}

/// Runs a command that only reads, until `end`.
fn run(command: &mut Command, end: Instant) -> Result<Ran, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let (sender, receiver) = mpsc::channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
    ];
    for (index, pipe) in pipes.into_iter().enumerate() {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(pipe) = pipe {
                let _ = pipe.take(LARGEST).read_to_end(&mut bytes);
            }
            let _ = sender.send((index, String::from_utf8_lossy(&bytes).into_owned()));
        });
    }
    let mut texts = [String::new(), String::new()];
    for _ in 0..2 {
        match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok((index, text)) => texts[index] = text,
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("gave no answer in time".to_owned());
            }
        }
    }
    let [stdout, stderr] = texts;
    // Both pipes are closed, so it has ended or is about to.
    let status = child.wait().map_err(|error| format!("cannot be waited for: {error}"))?;
    Ok(Ran { success: status.success(), stdout, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_variable_is_named_without_its_default() {
        let name = |text: &str| variable_in(&Value::String(text.to_owned()));
        assert_eq!(name("a ${PASSWORD:-secret} b").as_deref(), Some("${PASSWORD}"));
        assert_eq!(name("$PORT:80").as_deref(), Some("$PORT"));
        assert_eq!(name("costs $$5"), None);
        assert_eq!(variable_in(&json!({"a": [1, "${X}"]})).as_deref(), Some("${X}"));
    }

    #[test]
    fn only_what_decides_is_not_resolved() {
        let root = json!({"services": {
            "caddy": {"image": "caddy:${TAG:-2}", "environment": {"TOKEN": "${TOKEN}"}},
            "mitm": {"image": "${IMAGE}", "command": "mitmweb --mode ${MODE}", "extends": {"service": "x"}},
        }});
        let found = not_resolved(&root, &["compose.yml".into()]).join("\n");
        assert!(!found.contains("TAG") && !found.contains("TOKEN"), "{found}");
        for named in ["the image of service mitm", "${MODE}", "extends"] {
            assert!(found.contains(named), "{named}: {found}");
        }
    }

    #[test]
    fn warnings_are_read_from_both() {
        let of_v2 = r#"time="2026-01-01T00:00:00Z" level=warning msg="The \"TAG\" variable is not set. Defaulting to a blank string.""#;
        for line in [of_v2, "The TAG variable is not set. Defaulting to a blank string."] {
            assert!(warning(line).starts_with("The ") && warning(line).ends_with("string."), "{}", warning(line));
        }
    }

    #[test]
    fn a_command_that_does_not_end_is_given_up() {
        let ran = run(Command::new("sleep").arg("30"), Instant::now() + Duration::from_millis(50));
        assert!(ran.is_err_and(|why| why.contains("in time")));
    }
}
