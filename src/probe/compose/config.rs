//! Which config a Caddy of a compose file will load, and what is in it.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use caddy_doctor_checks::model::{Known, Missing, caddy::CaddyConfig, facts::Kind};
use serde_json::Value;

use super::{
    caddyfile,
    values::{environment, text_of},
};

/// A config that is longer is not read.
const LARGEST: u64 = 1 << 20;

/// Something of this machine that a service has at a path of its own.
pub(super) struct Mount {
    pub(super) source: PathBuf,
    pub(super) target: String,
}

/// The file on this machine that a Caddy's config comes from, and the config.
pub(super) fn of(
    root: &Value,
    service: &Value,
    words: &[String],
    folder: &Path,
) -> (Option<String>, Known<CaddyConfig>) {
    let unsupported = |why: String| Missing::failed("looking for Caddy's config", Kind::Unsupported, why);
    let words: Vec<&str> =
        words.iter().flat_map(|word| word.split_whitespace()).map(|word| word.trim_matches(['"', '\''])).collect();
    let run = words.iter().position(|word| *word == "run").filter(|at| *at > 0 && words[at - 1].ends_with("caddy"));
    let Some(run) = run else {
        return (
            None,
            Err(unsupported("its command is none that is known to load one: caddy run --config FILE".to_owned())),
        );
    };
    let option = |names: [&str; 2]| {
        let mut rest = words[run + 1..].iter();
        while let Some(word) = rest.next() {
            if names.contains(word) {
                return rest.next().map(|value| (*value).to_owned());
            }
            if let Some((name, value)) = word.split_once('=')
                && names.contains(&name)
            {
                return Some(value.to_owned());
            }
        }
        None
    };
    if words[run + 1..].contains(&"--resume") {
        return (None, Err(unsupported("with --resume it loads what it had last".to_owned())));
    }
    let Some(inside) = option(["--config", "-c"]).filter(|path| path.starts_with('/')) else {
        return (None, Err(unsupported("its command names no config file by a whole path".to_owned())));
    };
    let base = inside.rsplit('/').next().unwrap_or(&inside);
    let is_caddyfile = match option(["--adapter", "-a"]).as_deref() {
        Some("caddyfile") => true,
        Some(other) => return (None, Err(unsupported(format!("the doctor does not read the format {other}")))),
        None => base.starts_with("Caddyfile") || base.ends_with(".caddyfile"),
    };
    let environment = environment(service.get("environment"));
    if let Some(content) = inline(root, service, &inside) {
        let config =
            if is_caddyfile { own_reading(&inside, &content, &environment) } else { json(&inside, content.as_bytes()) };
        return (None, config);
    }
    let found = mounts(service, folder).into_iter().chain(configs(root, service, folder)).find_map(|mount| {
        let rest = inside.strip_prefix(mount.target.trim_end_matches('/'))?;
        match rest.strip_prefix('/') {
            None if rest.is_empty() => Some((mount.source, false)),
            Some(below) if !below.split('/').any(|part| part == "..") => Some((mount.source.join(below), true)),
            _ => None,
        }
    });
    let Some((file, in_folder)) = found else {
        return (
            None,
            Err(unsupported(format!("nothing of this machine is mounted at {inside}, and images are not opened"))),
        );
    };
    let shown = file.display().to_string();
    let asked = format!("reading {shown}");
    let failed = |error: std::io::Error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Denied };
        Missing::failed(&asked, kind, error.to_string())
    };
    let mut bytes = Vec::new();
    if let Err(error) = File::open(&file).and_then(|own| own.take(LARGEST).read_to_end(&mut bytes)) {
        return (Some(shown), Err(failed(error)));
    }
    if !is_caddyfile {
        return (Some(shown.clone()), json(&shown, &bytes));
    }
    let text = String::from_utf8_lossy(&bytes);
    // What is imported stands beside it only where the whole folder is mounted.
    let imports_files = text.lines().map(str::trim_start).any(|line| {
        line.strip_prefix("import ")
            .is_some_and(|what| !text.contains(&format!("({})", what.split_whitespace().next().unwrap_or_default())))
    });
    let adapted = (!imports_files || in_folder).then(|| adapted(&file, &environment)).flatten();
    let config = adapted.unwrap_or_else(|| own_reading(&shown, &text, &environment));
    (Some(shown), config)
}

fn json(shown: &str, bytes: &[u8]) -> Known<CaddyConfig> {
    CaddyConfig::read(bytes).map_err(|error| {
        Missing::failed(format!("reading {shown}"), Kind::Garbage, format!("it is not Caddy's config: {error}"))
    })
}

fn own_reading(shown: &str, text: &str, environment: &[(String, String)]) -> Known<CaddyConfig> {
    let variable = |name: &str| environment.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    let json_value = caddyfile::adapt(text, &variable).map_err(|why| {
        let why = format!("{why}; what Caddy makes of it is known when it runs");
        Missing::failed(format!("reading {shown}"), Kind::Unsupported, why)
    })?;
    json(shown, json_value.to_string().as_bytes())
}

/// What a Caddy of this machine makes of a Caddyfile, with the variables of the service. It starts nothing and writes nothing.
/// `None` when there is none, or when it does not know what that of the image may.
fn adapted(file: &Path, environment: &[(String, String)]) -> Option<Known<CaddyConfig>> {
    let mut command = Command::new("caddy");
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.envs(environment.iter().map(|(name, value)| (name, value)).filter(|(name, _)| *name != "PATH"));
    command.args(["adapt", "--adapter", "caddyfile", "--config"]).arg(file);
    let ran = super::run(&mut command, Instant::now() + Duration::from_secs(2)).ok()?;
    ran.success.then(|| json(&file.display().to_string(), ran.stdout.as_bytes()))
}

/// Bind mounts, in the short and in the long form.
pub(super) fn mounts(service: &Value, folder: &Path) -> Vec<Mount> {
    let all = service.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let of = |value: &Value| match value {
        Value::Object(long) => {
            let text = |key: &str| long.get(key).and_then(text_of);
            (text("type")?.as_str() == "bind").then_some(())?;
            Some((text("source")?, text("target")?))
        }
        short => {
            let short = text_of(short)?;
            let (source, rest) = short.split_once(':')?;
            Some((source.to_owned(), rest.split(':').next()?.to_owned()))
        }
    };
    let is_path = |source: &str| source.starts_with(['.', '/', '~']);
    let found = all.filter_map(of).filter(|(source, _)| is_path(source));
    found.map(|(source, target)| Mount { source: at(folder, &source), target }).collect()
}

/// `configs` of a service that come from files.
fn configs(root: &Value, service: &Value, folder: &Path) -> Vec<Mount> {
    let declared = |name: &str| root.get("configs")?.get(name)?.get("file").and_then(text_of);
    let found = config_entries(service).into_iter();
    found.filter_map(|(name, target)| Some(Mount { source: at(folder, &declared(&name)?), target })).collect()
}

/// The text of a config that stands in the compose file itself.
fn inline(root: &Value, service: &Value, inside: &str) -> Option<String> {
    let (name, _) = config_entries(service).into_iter().find(|(_, target)| target == inside)?;
    root.get("configs")?.get(&name)?.get("content").and_then(text_of)
}

fn config_entries(service: &Value) -> Vec<(String, String)> {
    let all = service.get("configs").and_then(Value::as_array).into_iter().flatten();
    let of = |value: &Value| match value {
        Value::Object(long) => {
            let source = long.get("source").and_then(text_of)?;
            let target = long.get("target").and_then(text_of).unwrap_or_else(|| format!("/{source}"));
            Some((source, target))
        }
        short => text_of(short).map(|name| (name.clone(), format!("/{name}"))),
    };
    all.filter_map(of).collect()
}

fn at(folder: &Path, source: &str) -> PathBuf {
    match (source.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => folder.join(source.strip_prefix("./").unwrap_or(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    const RUN: &str = "caddy run --config /etc/caddy/Caddyfile --adapter caddyfile";

    #[test]
    fn a_config_in_the_compose_file_is_read() {
        let root = json!({"configs": {"c": {"content": ":80 {\n\treverse_proxy mitmproxy:8080\n}\n"}}});
        let service = json!({"configs": [{"source": "c", "target": "/etc/caddy/Caddyfile"}]});
        let (file, config) = of(&root, &service, &words(RUN), Path::new("/nowhere"));
        assert_eq!(file, None);
        assert_eq!(config.unwrap().servers()["srv0"].listen, [":80"]);
    }

    #[test]
    fn a_mounted_file_is_found_on_this_machine() {
        let folder = std::env::temp_dir().join(format!("doctor-config-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("conf")).unwrap();
        std::fs::write(folder.join("conf/caddy.json"), r#"{"apps":{"http":{"servers":{"s":{"listen":[":81"]}}}}}"#)
            .unwrap();
        let service = json!({"volumes": ["./conf:/etc/caddy:ro", "data:/data"]});
        let (file, config) = of(&Value::Null, &service, &words("caddy run --config=/etc/caddy/caddy.json"), &folder);
        assert!(file.unwrap().ends_with("conf/caddy.json"));
        assert_eq!(config.unwrap().servers()["s"].listen, [":81"]);
        let (file, config) = of(&Value::Null, &service, &words(RUN), &folder);
        assert!(file.is_some() && config.unwrap_err().kind() == Some(Kind::NotFound));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_cannot_be_known_is_said() {
        let reason = |line: &str| of(&Value::Null, &json!({}), &words(line), Path::new("/")).1.unwrap_err().to_string();
        assert!(reason(RUN).contains("nothing of this machine is mounted"));
        assert!(reason("caddy run").contains("names no config file"));
        assert!(reason("caddy docker-proxy").contains("none that is known"));
        assert!(reason("caddy run --resume --config /x").contains("--resume"));
        assert!(reason("caddy run --config /x.yml --adapter yaml").contains("yaml"));
    }
}
