//! What mends a finding: a typed action, from which its commands and the text that makes it last are written.

use serde::Serialize;
use serde_json::Value;

use crate::model::{
    Place,
    docker::{Compose, Container, Containers, Recipe, is_wide},
    mitmproxy::{CommandLine, MitmproxySeen},
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
        /// As JSON: a switch, a text, a list, or `null` for none.
        value: Value,
        password: bool,
    },
    /// Sets a dial in the config of a running Caddy; a Caddy that is started from a Caddyfile forgets it with a restart, as
    /// it does all that follows.
    SetDial {
        at: ApiAt,
        config_path: String,
        dial: String,
        /// What it is now.
        old: Option<String>,
    },
    /// Puts a route before the one that is at `index` of a list of routes, or behind the last one.
    AddRoute {
        at: ApiAt,
        /// `/config/apps/http/servers/srv0/routes`
        routes_path: String,
        index: usize,
        route: Value,
    },
    /// Moves a route within its list, as it is in Caddy: it may hold secrets, so its text stands in no command.
    MoveRoute {
        at: ApiAt,
        routes_path: String,
        from: usize,
        /// Where it is afterwards.
        to: usize,
    },
    /// Takes a route out; it is kept in a file of the current folder ([`route_file`]).
    RemoveRoute {
        at: ApiAt,
        routes_path: String,
        index: usize,
    },
    /// Sets another value in Caddy's config: a list that is listened on, `automatic_https`, something of an object with an id.
    SetCaddy {
        at: ApiAt,
        config_path: String,
        value: Value,
        /// What is there now. `None`: there is no such key yet, and one is made.
        old: Option<Value>,
    },
    /// Several, one after the other.
    Steps(Vec<Action>),
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
    /// A port of it that is published on this machine's loopback address only from then on.
    OnLoopback {
        port: u16,
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
    /// A variable of its environment, instead of the value that it has.
    Environment {
        name: String,
        value: String,
    },
    /// Words that are put behind those that it has; and a port of it that is published on this machine's loopback address from then
    /// on, where it was on all addresses.
    Arguments {
        add: Vec<String>,
        only_here: Option<u16>,
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
            Self::AddRoute { .. } | Self::MoveRoute { .. } | Self::RemoveRoute { .. } | Self::SetCaddy { .. } => {
                if self.is_refused() { Apply::Manual } else { Apply::Safe }
            }
            Self::StopThenStart { .. } => Apply::Disruptive,
            Self::Recreate(recreate) if recreate.recipe.not_carried.is_empty() => Apply::Disruptive,
            Self::Command { apply, .. } => *apply,
            Self::Steps(steps) => steps.iter().map(Self::apply).max().unwrap_or(Apply::Manual),
            Self::Recreate(_) | Self::Manual => Apply::Manual,
        }
    }

    /// Commands for a POSIX shell, in order; each works as it stands.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        match self {
            _ if self.is_refused() => Vec::new(),
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
            Self::Steps(steps) => steps.iter().flat_map(Self::commands).collect(),
            Self::SetDial { at, config_path, dial, .. } => vec![set_dial(at, config_path, dial)],
            Self::AddRoute { at, routes_path, index, route } => {
                vec![at.request("PUT", &format!("{routes_path}/{index}"), &Body::Json(route))]
            }
            Self::MoveRoute { at, routes_path, from, to } => vec![move_route(at, routes_path, *from, *to)],
            Self::RemoveRoute { at, routes_path, index } => {
                let delete = at.request("DELETE", &format!("{routes_path}/{index}"), &Body::None);
                vec![format!("{} &&\n  {delete}", keep_route(at, routes_path, *index))]
            }
            Self::SetCaddy { at, config_path, value, old } => {
                // A PATCH replaces what is there, a PUT makes a key that is not.
                let method = if old.is_some() { "PATCH" } else { "PUT" };
                vec![at.request(method, config_path, &Body::Json(value))]
            }
            Self::Command { command, .. } => vec![command.clone()],
            Self::Manual => Vec::new(),
        }
    }

    /// Commands that put back what [`Self::commands`] did; for what is done to Caddy's config only.
    #[must_use]
    pub fn undo(&self) -> Vec<String> {
        match self {
            _ if self.is_refused() => Vec::new(),
            Self::AddRoute { at, routes_path, index, .. } => {
                vec![at.request("DELETE", &format!("{routes_path}/{index}"), &Body::None)]
            }
            Self::MoveRoute { at, routes_path, from, to } => vec![move_route(at, routes_path, *to, *from)],
            Self::RemoveRoute { at, routes_path, index } => {
                let put = at.request("PUT", &format!("{routes_path}/{index}"), &Body::Variable);
                let file = shell(&route_file(routes_path, *index));
                vec![format!("r=$(cat {file}) && {put} && rm {file}")]
            }
            Self::Steps(steps) => steps.iter().rev().flat_map(Self::undo).collect(),
            Self::SetDial { at, config_path, old: Some(old), .. } => vec![set_dial(at, config_path, old)],
            Self::SetCaddy { at, config_path, old: Some(old), .. } => {
                vec![at.request("PATCH", config_path, &Body::Json(old))]
            }
            Self::SetCaddy { at, config_path, old: None, .. } => vec![at.request("DELETE", config_path, &Body::None)],
            _ => Vec::new(),
        }
    }

    /// Whether it would replace more of Caddy's config than a fix may, or nothing: neither is ever printed or done.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Steps(steps) => steps.iter().any(Self::is_refused),
            Self::MoveRoute { from, to, .. } if from == to => true,
            Self::AddRoute { routes_path: path, .. }
            | Self::MoveRoute { routes_path: path, .. }
            | Self::RemoveRoute { routes_path: path, .. }
            | Self::SetCaddy { config_path: path, old: Some(_), .. } => !is_small(path),
            // A PUT at a number would move what is there.
            Self::SetCaddy { config_path: path, old: None, .. } => {
                !is_small(path) || path.rsplit('/').next().is_some_and(|last| last.parse::<usize>().is_ok())
            }
            _ => false,
        }
    }
}

/// Whether a path of Caddy's config is one of something small: below one server, a setting of the HTTP app, or below an
/// object with an id. The config, an app, all servers or a whole server are never replaced.
fn is_small(path: &str) -> bool {
    let Some(path) = path.strip_prefix('/') else { return false };
    let parts: Vec<&str> = path.split('/').collect();
    if parts.iter().any(|part| part.is_empty() || matches!(*part, "." | ".." | "...")) {
        return false;
    }
    match parts.as_slice() {
        ["config", "apps", "http", "servers", _, below @ ..] => !below.is_empty(),
        ["config", "apps", "http", setting] => *setting != "servers",
        ["config", "admin", _] => true,
        // An object with an id may be the HTTP app itself.
        ["id", _, below @ ..] => !below.is_empty() && !below.iter().rev().take(2).any(|part| *part == "servers"),
        _ => false,
    }
}

/// The file in the current folder that keeps a route which is taken out: `caddy-route-srv0-2.json`.
#[must_use]
pub fn route_file(routes_path: &str, index: usize) -> String {
    let mut parts = routes_path.split('/').skip_while(|part| !matches!(*part, "servers" | "id"));
    let owner: String = parts
        .nth(1)
        .unwrap_or("config")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' })
        .collect();
    format!("caddy-route-{owner}-{index}.json")
}

fn connect(network: &str, container: &str, aliases: &[String]) -> String {
    let aliases: String = aliases.iter().map(|alias| format!("--alias {} ", shell(alias))).collect();
    format!("docker network connect {aliases}{} {}", shell(network), shell(container))
}

fn set_option(at: &ApiAt, option: &str, value: &Value, password: bool) -> String {
    write_to_mitmweb(at, "PUT", "/options", Some(format!("{{\"{option}\": {}}}", json(value))), password)
}

/// The command that lets go what `intercept` holds. From 11.1.2 on it takes mitmweb's password from `DOCTOR_WEB_PASSWORD`.
#[must_use]
pub fn resume_flows(at: &ApiAt, password: bool) -> String {
    write_to_mitmweb(at, "POST", "/flows/resume", None, password)
}

/// Writes go with a cross-site token that the sender makes up; the cookie has another name from 12.2.3 on. The
/// mitmproxy image has python3 and no curl.
fn write_to_mitmweb(at: &ApiAt, method: &str, path: &str, body: Option<String>, password: bool) -> String {
    match at {
        ApiAt::Here(url) => {
            let token = if password { "?token=\"$DOCTOR_WEB_PASSWORD\"" } else { "" };
            let kind = if body.is_some() { "-H 'Content-Type: application/json' " } else { "" };
            let body = body.map(|body| format!(" -d {}", shell(&body))).unwrap_or_default();
            format!(
                "curl -fsS -X {method} {url}{path}{token} {kind}-H 'X-XSRFToken: doctor' \
                 -H 'Cookie: _xsrf=doctor; _mitmproxy_xsrf=doctor'{body}"
            )
        }
        ApiAt::Inside { container, url } => {
            let body = Value::from(body.unwrap_or_default());
            let (import, token, pass) = match password {
                true => (
                    "import os, urllib.parse as p, urllib.request as u",
                    " + \"?token=\" + p.quote(os.environ[\"DOCTOR_WEB_PASSWORD\"])",
                    "-e DOCTOR_WEB_PASSWORD ",
                ),
                false => ("import urllib.request as u", "", ""),
            };
            let script = format!(
                "{import}; u.build_opener(u.ProxyHandler({{}})).open(u.Request(\"{url}{path}\"{token}, {body}.encode(), \
                 {{\"Content-Type\": \"application/json\", \"X-XSRFToken\": \"doctor\", \
                 \"Cookie\": \"_xsrf=doctor; _mitmproxy_xsrf=doctor\"}}, method=\"{method}\"))"
            );
            format!("docker exec {pass}{} python3 -c {}", shell(container), shell(&script))
        }
    }
}

/// A POST replaces a value that is no list. The Caddy image has wget, and no curl before 2.11.
fn set_dial(at: &ApiAt, config_path: &str, dial: &str) -> String {
    let body = shell(&json(&dial.into()));
    match at {
        ApiAt::Here(_) => {
            format!("curl -fsS {} -H 'Content-Type: application/json' -d {body}", shell(&at.url(config_path)))
        }
        ApiAt::Inside { container, .. } => format!(
            "docker exec {} wget -qO- --header 'Content-Type: application/json' --post-data {body} {}",
            shell(container),
            shell(&at.url(config_path))
        ),
    }
}

/// Takes the route out and puts it in again, since from 2.11 on Caddy refuses two routes with one `@id`; when it cannot be
/// put in, it goes back to where it was, and the file with it stays.
fn move_route(at: &ApiAt, routes_path: &str, from: usize, to: usize) -> String {
    let delete = at.request("DELETE", &format!("{routes_path}/{from}"), &Body::None);
    let put = |index: usize| at.request("PUT", &format!("{routes_path}/{index}"), &Body::Variable);
    format!(
        "{} &&\n  {delete} &&\n  {{ {} ||\n  {{ {}; false; }}; }} &&\n  rm {}",
        keep_route(at, routes_path, from),
        put(to),
        put(from),
        shell(&route_file(routes_path, from))
    )
}

/// Reads a route into the variable `r` and into a file that only this user may read; a file that is there stays as it is.
fn keep_route(at: &ApiAt, routes_path: &str, index: usize) -> String {
    let url = shell(&at.url(&format!("{routes_path}/{index}")));
    let get = match at {
        ApiAt::Here(_) => format!("curl -fsS {url}"),
        // busybox sends even this through an exported proxy, unless it is told not to.
        ApiAt::Inside { container, .. } => format!("docker exec {} wget -Y off -qO- {url}", shell(container)),
    };
    let file = shell(&route_file(routes_path, index));
    format!("r=$({get}) && (umask 077; set -C; printf '%s\\n' \"$r\" > {file})")
}

/// What is sent with a request.
enum Body<'b> {
    None,
    Json(&'b Value),
    /// What the shell has in `r`.
    Variable,
}

impl ApiAt {
    /// A command that sends a request to Caddy's admin API, and fails when Caddy says no. Inside the Caddy image nothing but
    /// `nc` can send a PUT, PATCH or DELETE.
    fn request(&self, method: &str, path: &str, body: &Body<'_>) -> String {
        let (container, url) = match self {
            Self::Here(_) => {
                let (before, after) = match body {
                    Body::None => ("", String::new()),
                    Body::Json(value) => {
                        ("", format!(" -H 'Content-Type: application/json' -d {}", shell(&json(value))))
                    }
                    Body::Variable => {
                        ("printf %s \"$r\" | ", " -H 'Content-Type: application/json' --data-binary @-".to_owned())
                    }
                };
                return format!("{before}curl -fsS -X {method} {}{after}", shell(&self.url(path)));
            }
            Self::Inside { container, url } => (container, url),
        };
        let host = url.split("://").nth(1).unwrap_or(url).trim_end_matches('/');
        let (name, port) = text::host_and_port(host).unwrap_or((host, None));
        let path = shell(&encoded(path));
        let head = format!("{method} %s HTTP/1.1\\r\\nHost: {host}\\r\\n");
        let json_of = |length: &str| format!("Content-Type: application/json\\r\\nContent-Length: {length}\\r\\n");
        let end = "Connection: close\\r\\n\\r\\n";
        let sent = match body {
            Body::None => format!("printf '{head}{end}' {path}"),
            Body::Json(value) => {
                let value = json(value);
                format!("printf '{head}{}{end}%s' {path} {}", json_of(&value.len().to_string()), shell(&value))
            }
            Body::Variable => {
                format!("printf '{head}{}{end}%s' {path} \"$(printf %s \"$r\" | wc -c)\" \"$r\"", json_of("%s"))
            }
        };
        format!(
            "{sent} | docker exec -i {} nc {} {} | {{ read -r v s w; [ \"$s\" = 200 ] || {{ sed '1,/^.$/d' >&2; false; }}; }}",
            shell(container),
            shell(name),
            port.unwrap_or(80)
        )
    }

    fn url(&self, path: &str) -> String {
        let (Self::Here(url) | Self::Inside { url, .. }) = self;
        format!("{}{}", url.trim_end_matches('/'), encoded(path))
    }
}

/// A path as it stands in a URL. Names of servers and ids may hold anything.
#[must_use]
pub fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            b'-' | b'_' | b'.' | b'~' | b'/' | b'@' | b':' | b',' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// JSON of ASCII alone: what else there is in its texts is escaped, so that it is neither counted nor shown in two ways.
fn json(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if c.is_ascii() && c != '\u{7f}' {
            text.push(c);
        } else {
            text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
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
        steps.push(match (self.arguments(), &self.change) {
            (Some(arguments), change) => {
                let own = inspect(&arguments);
                let own = match change {
                    Change::Program { from, to } => format!("{own} | sed '1s/^{from}$/{to}/'"),
                    Change::Arguments { add, .. } => format!("{{ {own} && printf '%s\\n' {}; }}", words(add)),
                    _ => own,
                };
                format!("{own} | tr '\\n' '\\0' | xargs -0 {create}")
            }
            (None, Change::Arguments { add, .. }) => format!("{create} {}", words(add)),
            (None, _) => create,
        });
        let networks = self.recipe.more_networks.iter();
        steps.extend(networks.map(|(network, aliases)| connect(network, &self.container, aliases)));
        steps.push(format!("docker start {name} && sleep 2"));
        steps.push(format!("docker inspect -f '{{{{.State.Running}}}}' {name} | grep -q true"));
        steps.push(format!("docker rm {old}"));
        let steps = steps.join(" &&\n  ");
        vec![format!(
            "d=$(mktemp -d) && docker rename {name} {old} && {{\n  {steps} ||\n  {{ docker rm -f {name}; docker rename {old} {name}; \
             docker start {name}; false; }}\n}}; s=$?; rm -r \"$d\"; [ $s = 0 ]"
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
            // It stands above the same name in a file.
            Change::Environment { name, value } => options.push(vec!["-e".to_owned(), format!("{name}={value}")]),
            Change::OnLoopback { port } | Change::Arguments { only_here: Some(port), .. } => {
                for words in options.iter_mut().filter(|words| words[0] == "-p") {
                    words[1] = published_here(&words[1], *port);
                }
                // It may have stood there once for IPv4 and once for IPv6.
                let mut seen = Vec::new();
                options.retain(|words| {
                    words[0] != "-p"
                        || !seen.contains(&words[1]) && {
                            seen.push(words[1].clone());
                            true
                        }
                });
            }
            Change::Program { .. } | Change::Arguments { only_here: None, .. } => {}
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

/// `8081:8081/tcp` on `127.0.0.1`, when it is this port and on all addresses.
fn published_here(publish: &str, port: u16) -> String {
    let mut parts = publish.rsplitn(3, ':');
    let (inside, host_port, ip) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let is_it = inside == format!("{port}/tcp") || inside == port.to_string();
    match host_port {
        Some(host_port) if is_it && is_wide(ip.unwrap_or_default().trim_matches(['[', ']'])) => {
            format!("127.0.0.1:{host_port}:{inside}")
        }
        _ => publish.to_owned(),
    }
}

/// The lines of a service's `ports`, with one of them on `127.0.0.1` only.
#[must_use]
pub fn ports_here(container: &Container, port: u16) -> Vec<String> {
    let mut lines = vec!["ports: !override".to_owned()];
    for own in &container.ports {
        let Some(host_port) = own.host_port else { continue };
        let is_it = own.container_port == port && own.protocol == "tcp" && is_wide(&own.host_ip);
        let ip = match own.host_ip.as_str() {
            _ if is_it => "127.0.0.1:".to_owned(),
            "" => String::new(),
            ip if ip.contains(':') => format!("[{ip}]:"),
            ip => format!("{ip}:"),
        };
        let line = format!("  - \"{ip}{host_port}:{}/{}\"", own.container_port, own.protocol);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
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
    if container.is_planned() {
        return Some((edit, Action::Manual));
    }
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
    let mut title = match &change {
        // What is not there yet is not made anew.
        Change::AddHost { entry } if container.is_planned() => {
            format!("let {} mean the host inside {}", entry.split(':').next().unwrap_or_default(), container.name)
        }
        Change::Environment { name, value } if container.is_planned() => {
            format!("give {} {name}={value}", container.name)
        }
        _ => title.into(),
    };
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

/// A fix that sets the modes of a mitmproxy: at once where its options can be set, for good on its command line.
#[must_use]
pub fn set_modes(part: &Part, seen: &MitmproxySeen, title: impl Into<String>, modes: &[String]) -> Fix {
    // Before 9.0 the option was one string.
    let value = match (seen.major_version(), modes) {
        (Some(..=8), [mode]) => serde_json::json!(mode),
        _ => serde_json::json!(modes),
    };
    // The password of an upstream proxy was not read, so its mode cannot be set again.
    let is_whole = !modes.iter().any(|mode| mode.starts_with("upstream:"));
    let action = match &seen.options {
        Ok(_) if is_whole => {
            Action::SetOption { at: ApiAt::of(part, &seen.web), option: "mode", value, password: seen.wants_password() }
        }
        _ => Action::Manual,
    };
    let text = modes.iter().map(|mode| format!("--mode {}", shell(mode))).collect::<Vec<_>>().join(" ");
    Fix::new(title, action).edit(Edit { file: format!("the command of {}", part.name), language: "sh", text })
}

/// A fix that gives a mitmproxy in a container more arguments, by hand where no command can be sure to do it: others share
/// its namespace, its program stands inside a shell's line, or compose has a command that is not known as a whole. `only_here` is a
/// port of it that is to be published on this machine's loopback address with that.
#[must_use]
pub fn more_arguments(
    containers: &Containers,
    container: &Container,
    line: &CommandLine,
    title: impl Into<String>,
    add: &[&str],
    only_here: Option<u16>,
) -> Fix {
    let own = Place::Container(container.name.clone());
    let is_shared = containers.0.iter().any(|it| it.name != container.name && containers.place_of(it) == own)
        // The port is published by another container then.
        || only_here.is_some() && containers.place_of(container) != own;
    let change = Change::Arguments { add: add.iter().map(|word| (*word).to_owned()).collect(), only_here };
    let recipe = container.detail.as_ref().map(|detail| &detail.recipe);
    // `-P` publishes on all addresses, whatever else is said.
    let is_free = only_here.is_some() && recipe.is_some_and(|own| own.options.iter().any(|words| words[0] == "-P"));
    match (&container.compose, line.with(add, recipe.map_or(0, |own| own.command_words))) {
        (None, _) if line.first && !is_shared && !is_free => recreate(container, title, change, &[]),
        (Some(_), Some(command)) if !is_shared => {
            let command = format!("command: {}", serde_json::json!(command));
            let ports = only_here.map(|port| ports_here(container, port)).unwrap_or_default();
            let lines: Vec<&str> = std::iter::once(&command).chain(&ports).map(String::as_str).collect();
            recreate(container, title, change, &lines)
        }
        _ => {
            let file = format!("the command of {}", container.name);
            let text = add.iter().map(|word| shell(word)).collect::<Vec<_>>().join(" ");
            Fix::new(title, Action::Manual).edit(Edit { file, language: "sh", text })
        }
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
        assert!(commands.ends_with("s=$?; rm -r \"$d\"; [ $s = 0 ]"), "it says whether it went well: {commands}");
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
    fn arguments_are_put_behind_those_that_there_are() {
        let mut container = example::container("mitmproxy", "app-net", "172.20.0.2");
        let change = || Change::Arguments { add: vec!["--web-host".into(), "0.0.0.0".into()], only_here: None };
        container.detail.as_mut().unwrap().recipe.command_words = 3;
        let commands = recreate(&container, "x", change(), &[]).action.commands().join("\n");
        assert!(
            commands.contains(
                r"mitmproxy-before && printf '%s\n' --web-host 0.0.0.0; } | tr '\n' '\0' | xargs -0 docker create"
            ),
            "{commands}"
        );
        container.detail.as_mut().unwrap().recipe.command_words = 0;
        let commands = recreate(&container, "x", change(), &[]).action.commands().join("\n");
        assert!(commands.contains("mitmproxy:1 --web-host 0.0.0.0 &&"), "{commands}");
    }

    #[test]
    fn a_port_is_published_for_this_machine_only() {
        for (publish, expected) in [
            ("8081:8081/tcp", "127.0.0.1:8081:8081/tcp"),
            ("0.0.0.0:18081:8081/tcp", "127.0.0.1:18081:8081/tcp"),
            ("[::]:8081:8081/tcp", "127.0.0.1:8081:8081/tcp"),
            ("0.0.0.0:8081:2019/tcp", "0.0.0.0:8081:2019/tcp"),
            ("192.0.2.1:8081:8081/tcp", "192.0.2.1:8081:8081/tcp"),
            ("8080:8080/tcp", "8080:8080/tcp"),
            ("8081:8081/udp", "8081:8081/udp"),
        ] {
            assert_eq!(published_here(publish, 8081), expected);
        }
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
            ..Compose::default()
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
        let command = set_option(&at, "keep_host_header", &true.into(), false);
        assert!(command.ends_with(r#"-d '{"keep_host_header": true}'"#), "{command}");
    }
}
