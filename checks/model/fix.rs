//! What mends a finding: a typed action, from which its commands and the text that makes it last are written.

use serde::Serialize;

use crate::model::{
    docker::{Compose, Container, Recipe},
    setup::{Part, PartKind},
    text::{self, shell},
};

/// One way to mend a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Fix {
    /// What it does, an imperative sentence.
    pub title: String,
    pub action: Action,
    /// What makes it last, where the action alone is gone with the next `up` or restart.
    pub edits: Vec<Edit>,
}

impl Fix {
    pub fn new(title: impl Into<String>, action: Action) -> Self {
        Self { title: title.into(), action, edits: Vec::new() }
    }

    #[must_use]
    pub fn edit(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }
}

/// What a fix may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Apply {
    /// Nothing is lost, and it can be taken back.
    Safe,
    /// Something is restarted, stopped or made anew.
    Disruptive,
    /// A person has to decide or to write something.
    Manual,
}

/// Text for a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edit {
    pub file: String,
    /// `yaml`, `caddyfile`, `json`, `sh`.
    pub language: &'static str,
    pub text: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `docker network connect`.
    Connect {
        network: String,
        container: String,
        aliases: Vec<String>,
    },
    /// Creates a network and connects containers to it, each with the names it has to answer to.
    NewNetwork {
        network: String,
        containers: Vec<(String, Vec<String>)>,
    },
    Start {
        container: String,
    },
    Unpause {
        container: String,
    },
    /// Stops a container and starts another.
    StopThenStart {
        stop: String,
        start: String,
    },
    /// Makes a container anew, with changes. The old one is kept, renamed, until the new one runs.
    Recreate(Box<Recreate>),
    /// Sets an option of a running mitmweb; it is lost with the next restart. From 11.1.2 on mitmweb wants its password, which
    /// the command takes from `DOCTOR_WEB_PASSWORD`.
    SetOption {
        at: ApiAt,
        option: &'static str,
        value: String,
        password: bool,
    },
    /// Sets a dial in the config of a running Caddy; a Caddy that is started from a Caddyfile forgets it with a restart.
    SetDial {
        at: ApiAt,
        config_path: String,
        dial: String,
    },
    /// A command that stands for itself.
    Command {
        command: String,
        apply: Apply,
    },
    /// Nothing that a command could do; the title and the edits tell.
    Manual,
}

/// From where an admin API is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum ApiAt {
    /// From this machine: `http://127.0.0.1:8081`.
    Here(String),
    /// From inside the container, where it always answers.
    Inside { container: String, url: String },
}

impl ApiAt {
    /// The API of a part: of a container it is reached from inside, published or not.
    #[must_use]
    pub fn of(part: &Part, url: &str) -> Self {
        match part.kind {
            PartKind::Container => Self::Inside { container: part.name.clone(), url: url.to_owned() },
            _ => Self::Here(url.to_owned()),
        }
    }
}

/// A container made anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Recreate {
    pub container: String,
    pub image: String,
    pub recipe: Recipe,
    pub change: Change,
}

/// What is different in the new container.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    AddHost {
        entry: String,
    },
    /// The host ports, old and new.
    Publish {
        ports: Vec<(u16, u16)>,
    },
    /// The first word of its command, old and new.
    Program {
        from: String,
        to: String,
    },
    /// Its health check: a shell command.
    HealthCheck {
        command: String,
    },
}

impl Recreate {
    /// `None` when the container was not inspected.
    #[must_use]
    pub fn of(container: &Container, change: Change) -> Option<Self> {
        let mut recipe = container.detail.as_ref()?.recipe.clone();
        if matches!(change, Change::HealthCheck { .. }) {
            recipe.not_carried.retain(|what| what != "health check");
        }
        Some(Self { container: container.name.clone(), image: container.image.clone(), recipe, change })
    }
}

impl Action {
    #[must_use]
    pub fn apply(&self) -> Apply {
        match self {
            Self::Connect { .. }
            | Self::NewNetwork { .. }
            | Self::Start { .. }
            | Self::Unpause { .. }
            | Self::SetOption { .. }
            | Self::SetDial { .. } => Apply::Safe,
            Self::StopThenStart { .. } => Apply::Disruptive,
            Self::Recreate(recreate) if recreate.recipe.not_carried.is_empty() => Apply::Disruptive,
            Self::Command { apply, .. } => *apply,
            Self::Recreate(_) | Self::Manual => Apply::Manual,
        }
    }

    /// Commands for a POSIX shell, in order; each works as it stands.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        match self {
            Self::Connect { network, container, aliases } => vec![connect(network, container, aliases)],
            Self::NewNetwork { network, containers } => {
                let create = format!("docker network create {}", shell(network));
                let connects = containers.iter().map(|(container, aliases)| connect(network, container, aliases));
                std::iter::once(create).chain(connects).collect()
            }
            Self::Start { container } => vec![format!("docker start {}", shell(container))],
            Self::Unpause { container } => vec![format!("docker unpause {}", shell(container))],
            Self::StopThenStart { stop, start } => {
                vec![format!("docker stop {}", shell(stop)), format!("docker start {}", shell(start))]
            }
            Self::Recreate(recreate) => recreate.commands(),
            Self::SetOption { at, option, value, password } => vec![set_option(at, option, value, *password)],
            Self::SetDial { at, config_path, dial } => vec![set_dial(at, config_path, dial)],
            Self::Command { command, .. } => vec![command.clone()],
            Self::Manual => Vec::new(),
        }
    }
}

fn connect(network: &str, container: &str, aliases: &[String]) -> String {
    let aliases: String = aliases.iter().map(|alias| format!("--alias {} ", shell(alias))).collect();
    format!("docker network connect {aliases}{} {}", shell(network), shell(container))
}

/// Writes go with a cross-site token that the sender makes up; the cookie has another name from 12.2.3 on. The
/// mitmproxy image has python3 and no curl.
fn set_option(at: &ApiAt, option: &str, value: &str, password: bool) -> String {
    match at {
        ApiAt::Here(url) => format!(
            "curl -fsS -X PUT {url}/options{} -H 'Content-Type: application/json' -H 'X-XSRFToken: doctor' \
             -H 'Cookie: _xsrf=doctor; _mitmproxy_xsrf=doctor' -d {}",
            if password { "?token=\"$DOCTOR_WEB_PASSWORD\"" } else { "" },
            shell(&format!("{{\"{option}\": {value}}}"))
        ),
        ApiAt::Inside { container, url } => {
            let body = serde_json::json!(format!("{{\"{option}\": {value}}}"));
            let (import, token, pass) = match password {
                true => (
                    "import os, urllib.parse as p, urllib.request as u",
                    " + \"?token=\" + p.quote(os.environ[\"DOCTOR_WEB_PASSWORD\"])",
                    "-e DOCTOR_WEB_PASSWORD ",
                ),
                false => ("import urllib.request as u", "", ""),
            };
            let script = format!(
                "{import}; u.build_opener(u.ProxyHandler({{}})).open(u.Request(\"{url}/options\"{token}, {body}.encode(), \
                 {{\"Content-Type\": \"application/json\", \"X-XSRFToken\": \"doctor\", \
                 \"Cookie\": \"_xsrf=doctor; _mitmproxy_xsrf=doctor\"}}, method=\"PUT\"))"
            );
            format!("docker exec {pass}{} python3 -c {}", shell(container), shell(&script))
        }
    }
}

/// A POST replaces a value that is no list. The Caddy image has wget, and no curl before 2.11.
fn set_dial(at: &ApiAt, config_path: &str, dial: &str) -> String {
    let body = shell(&serde_json::json!(dial).to_string());
    match at {
        ApiAt::Here(url) => {
            format!("curl -fsS {} -H 'Content-Type: application/json' -d {body}", shell(&format!("{url}{config_path}")))
        }
        ApiAt::Inside { container, url } => format!(
            "docker exec {} wget -qO- --header 'Content-Type: application/json' --post-data {body} {}",
            shell(container),
            shell(&format!("{url}{config_path}"))
        ),
    }
}

impl Recreate {
    /// Renames and stops the old container, runs a new one, and removes the old one when the new one runs; puts it back
    /// when it does not. Nothing is done when the new name for the old one is taken. Environment, labels and arguments
    /// are taken from the old container when the command runs, over a folder that only this user may read, so no value of
    /// theirs is printed.
    fn commands(&self) -> Vec<String> {
        if !self.recipe.not_carried.is_empty() {
            return Vec::new();
        }
        let name = shell(&self.container);
        let old = shell(&format!("{}-before", self.container));
        let inspect = |template: &str| format!("docker inspect -f '{template}' {old}");

        let mut steps = vec![
            format!("docker stop {old}"),
            format!("{} > \"$d/env\"", inspect("{{range .Config.Env}}{{println .}}{{end}}")),
        ];
        let mut create = vec![format!("docker create --name {name} --env-file \"$d/env\"")];
        if self.recipe.has_labels {
            let labels = "{{range $k, $v := .Config.Labels}}{{println (printf \"%s=%s\" $k $v)}}{{end}}";
            steps.push(format!("{} > \"$d/labels\"", inspect(labels)));
            create.push("--label-file \"$d/labels\"".to_owned());
        }
        let words = |words: &Vec<String>| words.iter().map(|word| shell(word)).collect::<Vec<_>>().join(" ");
        create.extend(self.options().iter().map(words));
        match &self.change {
            Change::HealthCheck { command } => create.push(format!("--health-cmd {}", shell(command))),
            _ if self.recipe.shell_health_check => {
                create.push(format!("--health-cmd \"$({})\"", inspect("{{index .Config.Healthcheck.Test 1}}")));
            }
            _ => {}
        }
        if self.recipe.entrypoint_words > 0 {
            create.push(format!("--entrypoint \"$({})\"", inspect("{{index .Config.Entrypoint 0}}")));
        }
        create.push(shell(&self.image));
        let create = create.join(" ");
        steps.push(match self.arguments() {
            Some(arguments) => {
                let renamed = match &self.change {
                    Change::Program { from, to } => format!(" | sed '1s/^{from}$/{to}/'"),
                    _ => String::new(),
                };
                format!("{}{renamed} | tr '\\n' '\\0' | xargs -0 {create}", inspect(&arguments))
            }
            None => create,
        });
        let networks = self.recipe.more_networks.iter();
        steps.extend(networks.map(|(network, aliases)| connect(network, &self.container, aliases)));
        steps.push(format!("docker start {name} && sleep 2"));
        steps.push(format!("docker inspect -f '{{{{.State.Running}}}}' {name} | grep -q true"));
        steps.push(format!("docker rm {old}"));
        let steps = steps.join(" &&\n  ");
        vec![format!(
            "d=$(mktemp -d) && docker rename {name} {old} && {{\n  {steps} ||\n  {{ docker rm -f {name}; docker rename {old} {name}; \
             docker start {name}; false; }}\n}}; rm -r \"$d\""
        )]
    }

    /// The template that prints every argument on a line of its own: of the entry point all but the first word, then
    /// the command. `None` when there is no argument.
    fn arguments(&self) -> Option<String> {
        let words = match self.recipe.entrypoint_words {
            0 | 1 => String::new(),
            _ => "{{range slice .Config.Entrypoint 1}}{{println .}}{{end}}".to_owned(),
        };
        // `docker inspect` ends its output with a newline of its own, so the last word goes without.
        let command = "{{range $i, $a := .Config.Cmd}}{{if $i}}{{println}}{{end}}{{$a}}{{end}}";
        match (words.is_empty(), self.recipe.command_words) {
            (true, 0) => None,
            (_, 0) => Some(
                "{{range $i, $a := slice .Config.Entrypoint 1}}{{if $i}}{{println}}{{end}}{{$a}}{{end}}".to_owned(),
            ),
            _ => Some(words + command),
        }
    }

    fn options(&self) -> Vec<Vec<String>> {
        let mut options = self.recipe.options.clone();
        match &self.change {
            Change::AddHost { entry } => options.push(vec!["--add-host".to_owned(), entry.clone()]),
            Change::Publish { ports } => {
                for words in options.iter_mut().filter(|words| words[0] == "-p") {
                    for (old, new) in ports {
                        words[1] = moved_port(&words[1], *old, *new);
                    }
                }
            }
            Change::HealthCheck { .. } => options.retain(|words| words[0] != "--no-healthcheck"),
            Change::Program { .. } => {}
        }
        options
    }
}

/// `127.0.0.1:8081:8081/tcp` with another host port.
fn moved_port(publish: &str, old: u16, new: u16) -> String {
    let mut parts: Vec<String> = publish.rsplitn(3, ':').map(str::to_owned).collect();
    if parts.get(1).is_some_and(|port| *port == old.to_string()) {
        parts[1] = new.to_string();
    }
    parts.reverse();
    parts.join(":")
}

/// How a change is written into a compose file of its own, and the service brought up with it.
///
/// Gives the lines for the compose file itself, which make it last, and the command that heals at once: it writes an
/// override into a file for this service and key (`compose.doctor-mitmproxy-extra_hosts.yml`), so that nothing that is
/// there is overwritten but an older form of the same change.
#[must_use]
pub fn compose_override(container: &Container, lines: &[&str]) -> Option<(Edit, Action)> {
    let compose = container.compose.as_ref()?;
    let last = compose.files.last().filter(|_| !lines.is_empty())?;
    let folder = last.rsplit_once('/').map_or(compose.working_dir.as_str(), |(folder, _)| folder);
    let body: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    let service = format!("services:\n  {}:\n{body}", compose.service);
    let edit = Edit { file: last.clone(), language: "yaml", text: service.replace(" !override", "") };
    // Only `!override` replaces a list, and only compose 2.24 and newer knows it.
    if service.contains(" !override") && !knows_override(&compose.version) {
        return Some((edit, Action::Manual));
    }
    let key = lines[0].split(':').next().unwrap_or_default();
    let file = format!("{folder}/compose.doctor-{}-{key}.yml", compose.service);
    // docker-compose 1.x reads a file without a version as one of the format 1, which has no `services`.
    let version = if is_v1(compose) { "version: \"3\"\n" } else { "" };
    let text: Vec<String> = version.lines().chain(service.lines()).map(shell).collect();
    let others = compose.files.iter().filter(|own| **own != file);
    let files: Vec<String> = others.chain([&file]).cloned().collect();
    let up = compose_up(compose, &files, "--no-deps");
    let command = format!("printf '%s\\n' {} > {} && {up}", text.join(" "), shell(&file));
    Some((edit, Action::Command { command, apply: Apply::Disruptive }))
}

/// The command that brings a service up from these files.
#[must_use]
pub fn compose_up(compose: &Compose, files: &[String], options: &str) -> String {
    // Relative paths in the files mean this folder, which need not be the one that the first file is in.
    let directory = match compose.working_dir.as_str() {
        "" => String::new(),
        own => format!("--project-directory {} ", shell(own)),
    };
    let files: String = files.iter().map(|file| format!("-f {} ", shell(file))).collect();
    format!(
        "{} -p {} {directory}{files}up -d {options} {}",
        if is_v1(compose) { "docker-compose" } else { "docker compose" },
        shell(&compose.project),
        shell(&compose.service)
    )
}

/// The separate program `docker-compose`.
fn is_v1(compose: &Compose) -> bool {
    compose.version.starts_with("1.")
}

fn knows_override(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (2, 24)
}

/// A fix that makes a container anew: by compose where compose made it, else by `docker run`.
#[must_use]
pub fn recreate(container: &Container, title: impl Into<String>, change: Change, compose_lines: &[&str]) -> Fix {
    let mut title = title.into();
    if let Some((edit, action)) = compose_override(container, compose_lines) {
        return Fix::new(title, action).edit(edit);
    }
    match Recreate::of(container, change) {
        Some(recreate) => {
            if !recreate.recipe.not_carried.is_empty() {
                title = format!(
                    "{title}; by hand, since no command carries over its {}",
                    text::list(&recreate.recipe.not_carried)
                );
            }
            Fix::new(title, Action::Recreate(Box::new(recreate)))
        }
        None => Fix::new(title, Action::Manual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;

    #[test]
    fn a_recreation_names_no_value_and_keeps_the_old_container() {
        let mut container = example::container("my app", "app-net", "172.20.0.2");
        container.detail.as_mut().unwrap().recipe = Recipe {
            options: vec![
                vec!["--network".into(), "app-net".into()],
                vec!["-p".into(), "127.0.0.1:8081:8081/tcp".into()],
            ],
            command_words: 3,
            ..Recipe::default()
        };
        let fix = recreate(&container, "x", Change::Publish { ports: vec![(8081, 9081)] }, &[]);
        let commands = fix.action.commands().join("\n");
        assert!(commands.contains("-p 127.0.0.1:9081:8081/tcp"), "{commands}");
        assert!(commands.contains("docker rename 'my app' 'my app-before'"), "{commands}");
        assert!(!commands.contains("canary"), "{commands}");
        assert_eq!(fix.action.apply(), Apply::Disruptive);
    }

    #[test]
    fn what_cannot_be_carried_over_is_said_and_no_command_printed() {
        let mut container = example::container("mitmproxy", "app-net", "172.20.0.2");
        container.detail.as_mut().unwrap().recipe.not_carried = vec!["devices".into()];
        let fix = recreate(&container, "x", Change::AddHost { entry: "a:b".into() }, &[]);
        assert!(fix.title.contains("devices") && fix.action.commands().is_empty());
        assert_eq!(fix.action.apply(), Apply::Manual);
    }

    #[test]
    fn a_compose_service_is_changed_by_compose() {
        let mut container = example::container("app-mitmproxy-1", "app-net", "172.20.0.2");
        container.compose = Some(Compose {
            project: "app".into(),
            service: "mitmproxy".into(),
            working_dir: "/srv/app".into(),
            files: vec!["/srv/app/compose.yml".into()],
            version: "2.27.0".into(),
        });
        let fix = recreate(&container, "x", Change::AddHost { entry: "a:b".into() }, &["extra_hosts: [\"a:b\"]"]);
        assert_eq!(fix.edits[0].file, "/srv/app/compose.yml");
        assert_eq!(fix.edits[0].text, "services:\n  mitmproxy:\n    extra_hosts: [\"a:b\"]\n");
        assert!(fix.action.commands()[0].ends_with(
            "docker compose -p app --project-directory /srv/app -f /srv/app/compose.yml -f /srv/app/compose.doctor-mitmproxy-extra_hosts.yml up -d --no-deps mitmproxy"
        ));
    }

    #[test]
    fn ports_are_replaced_only_where_compose_can() {
        let mut container = example::container("app-mitmproxy-1", "app-net", "172.20.0.2");
        let mut apply = |version: &str| {
            container.compose = Some(Compose {
                service: "mitmproxy".into(),
                files: vec!["/srv/app/compose.yml".into()],
                version: version.into(),
                ..Compose::default()
            });
            let lines = ["ports: !override", "  - \"9081:8081/tcp\""];
            recreate(&container, "x", Change::Publish { ports: vec![(8081, 9081)] }, &lines).action.apply()
        };
        assert_eq!(apply("2.27.0"), Apply::Disruptive);
        assert_eq!((apply("2.20.3"), apply("1.29.2")), (Apply::Manual, Apply::Manual));
    }

    #[test]
    fn options_are_set_with_a_token_of_ones_own() {
        let at = ApiAt::Here("http://127.0.0.1:8081".into());
        let command = set_option(&at, "keep_host_header", "true", false);
        assert!(command.ends_with(r#"-d '{"keep_host_header": true}'"#), "{command}");
    }
}
