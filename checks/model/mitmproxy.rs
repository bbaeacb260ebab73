//! What mitmproxy was told and what it does: its command line, mitmweb's options, its servers, its flows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{
    Known, Place,
    docker::Usage,
    text,
    view::{PublishedSeen, Way},
};

/// Every mitmproxy that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mitmproxies(pub Vec<MitmproxySeen>);

impl Mitmproxies {
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&MitmproxySeen> {
        self.0.iter().find(|seen| seen.name == name)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MitmproxySeen {
    /// The container's name, or `mitmweb (pid 123)`.
    pub name: String,
    pub place: Place,
    pub command_line: CommandLine,
    /// From the `Server` header, which every answer of mitmweb carries, a refusal too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// mitmweb's address in its place: `http://127.0.0.1:8081`.
    pub web: String,
    /// How it was reached.
    pub way: Way,
    pub options: Known<Options>,
    /// `/state`; absent before 9.0, which has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<Known<Vec<ModeServer>>>,
    /// How many flows its view holds. `view_filter` hides the others.
    pub flows: Known<u64>,
    /// How many of them are held by `intercept`; asked for only while that is on, and while the flows are few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Known<u64>>,
    /// The last lines of its events that tell why a request went wrong, the newest last, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Known<Vec<String>>>,
    /// Whether it connected to a target of one of its modes after the newest of these, and had no such error since.
    #[serde(default, skip_serializing_if = "is_false")]
    pub connected_since: bool,
    /// Its newest warnings and errors, whatever they are about, the newest last, redacted; kept for `doctor report` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complaints: Option<Known<Vec<String>>>,
    /// Its web interface over the port that is published for it; absent when none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedSeen>,
    /// What its container uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Known<Usage>>,
}

/// Which of the three programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Interface {
    /// Has the web interface and its API.
    #[default]
    Mitmweb,
    /// Prints flows, keeps none, has no API.
    Mitmdump,
    /// The console program: needs a terminal, has no API.
    Mitmproxy,
}

impl Interface {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mitmweb => "mitmweb",
            Self::Mitmdump => "mitmdump",
            Self::Mitmproxy => "mitmproxy",
        }
    }
}

/// The options of a command line that checks use. Values of other options are not read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandLine {
    pub interface: Interface,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modes: Vec<String>,
    /// `keep_host_header`, `listen_port`, `web_host`, ...: options and the value given for each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Names after `--set` that are none of the options that checks use; their values are not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_set: Vec<String>,
    /// Whether it has options that are not read at all.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unread: bool,
    /// Whether the program is the first word behind an entry point, not inside a shell's line.
    #[serde(default, skip_serializing_if = "is_false")]
    pub first: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Options whose values are kept.
const KEPT: &[&str] = &[
    "block_global",
    "block_private",
    "connection_strategy",
    "keep_host_header",
    "listen_host",
    "listen_port",
    "ssl_insecure",
    "stream_large_bodies",
    "upstream_cert",
    "web_host",
    "web_port",
];

impl CommandLine {
    /// Reads a command line, from the word that is the program's name on. `None` when no word is one of the three
    /// programs: `docker-entrypoint.sh mitmweb ...`, `sh -c "mitmweb ..."` and `python3 /usr/bin/mitmweb ...` are found.
    pub fn read<S: AsRef<str>>(words: &[S]) -> Option<Self> {
        let words: Vec<&str> = words.iter().flat_map(|word| shell_words(word.as_ref())).collect();
        let (start, interface) = words.iter().enumerate().take(64).find_map(|(at, word)| {
            if !text::is_command(&words, at) {
                return None;
            }
            let interface = match text::base_name(word) {
                "mitmweb" => Interface::Mitmweb,
                "mitmdump" => Interface::Mitmdump,
                "mitmproxy" => Interface::Mitmproxy,
                _ => return None,
            };
            Some((at, interface))
        })?;
        let first = start == 0 || start == 1 && text::base_name(words[0]).contains("entrypoint");
        let mut line = Self { interface, first, ..Self::default() };
        let mut rest = words[start + 1..].iter().copied();
        while let Some(word) = rest.next() {
            let (flag, inline) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
                // `-p8080`, `-mreverse:...`
                _ => match ["-m", "-p"].into_iter().find(|short| is_joined(word, short)) {
                    Some(short) => (short, Some(word[2..].trim_start_matches('='))),
                    None => (word, None),
                },
            };
            let option = match flag {
                "--mode" | "-m" => "mode",
                "--set" => "",
                "--listen-port" | "-p" => "listen_port",
                "--listen-host" => "listen_host",
                "--web-port" => "web_port",
                "--web-host" => "web_host",
                "--ssl-insecure" | "-k" => {
                    line.set.insert("ssl_insecure".to_owned(), "true".to_owned());
                    continue;
                }
                _ => {
                    line.unread |= word.starts_with('-');
                    continue;
                }
            };
            let Some(value) = inline.or_else(|| rest.next()) else { break };
            match option {
                "" => line.set_option(value),
                "mode" => line.modes.push(text::mode_without_user_info(value)),
                // Behind a shell's `&` it may be an option of another program: a password.
                option if option.ends_with("_port") && !is_port(value) => line.unread = true,
                option => {
                    line.set.insert(option.to_owned(), value.to_owned());
                }
            }
        }
        Some(line)
    }

    fn set_option(&mut self, assignment: &str) {
        // A bare `--set name` switches a boolean on.
        let (name, value) = assignment.split_once('=').unwrap_or((assignment, "true"));
        if name == "mode" {
            self.modes.push(text::mode_without_user_info(value));
        } else if KEPT.contains(&name) {
            self.set.insert(name.to_owned(), value.to_owned());
        } else {
            // What is written with another sign is no name: `web_password:value`.
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            let end = name.find(|c| !is_name(c)).unwrap_or(name.len());
            self.other_set.push(name[..end].to_owned());
        }
    }

    #[must_use]
    pub fn is_set(&self, option: &str) -> bool {
        self.set.get(option).is_some_and(|value| value == "true")
    }

    /// The whole line with more arguments, each word by itself. `None` when it is not known as a whole, or when it may be
    /// the entry point that holds the program: `command_words` is how many words the container's command has.
    #[must_use]
    pub fn with(&self, add: &[&str], command_words: usize) -> Option<Vec<String>> {
        let options = self.modes.iter().map(|mode| ["--mode".to_owned(), mode.clone()]);
        let set = self.set.iter().map(|(name, value)| ["--set".to_owned(), format!("{name}={value}")]);
        let own: Vec<String> =
            std::iter::once(self.interface.name().to_owned()).chain(options.chain(set).flatten()).collect();
        // An upstream's password is left out of its mode, and `$` means something to compose.
        let is_whole = self.first && !self.unread && self.other_set.is_empty() && own.len() == command_words;
        let is_plain = !own.iter().any(|word| word.contains('$') || word.starts_with("upstream:"));
        (is_whole && is_plain).then(|| own.into_iter().chain(add.iter().map(|word| (*word).to_owned())).collect())
    }

    /// 8081 unless told otherwise.
    #[must_use]
    pub fn web_port(&self) -> u16 {
        self.set.get("web_port").and_then(|port| port.parse().ok()).unwrap_or(8081)
    }

    /// 8080 unless told otherwise.
    #[must_use]
    pub fn listen_port(&self) -> u16 {
        self.set.get("listen_port").and_then(|port| port.parse().ok()).unwrap_or(8080)
    }
}

/// Whether a value stands right behind a short option, as one that it could have does.
fn is_joined(word: &str, short: &str) -> bool {
    let Some(value) = word.strip_prefix(short).map(|value| value.trim_start_matches('=')) else { return false };
    match short {
        "-p" => is_port(value),
        _ => MODES.contains(&value.split([':', '@']).next().unwrap_or_default()),
    }
}

fn is_port(value: &str) -> bool {
    value.parse::<u16>().is_ok()
}

/// The proxy modes of mitmproxy 8 to 12 (`mode_specs.py`).
const MODES: &[&str] =
    &["dns", "local", "osproxy", "regular", "reverse", "socks5", "transparent", "tun", "upstream", "wireguard"];

/// Splits what stands in one word of `sh -c "..."`; quotes are dropped, which is enough to find options.
fn shell_words(word: &str) -> impl Iterator<Item = &str> {
    word.split_whitespace().map(|word| word.trim_matches(['"', '\''])).filter(|word| !word.is_empty() && *word != "\\")
}

/// Options as mitmweb has them now, from `/options`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Options {
    /// `["reverse:http://backend:3000"]`; one string before 9.0.
    pub mode: Vec<String>,
    pub keep_host_header: bool,
    /// 8080 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_port: Option<u16>,
    /// `/flows` and the count show only what matches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_filter: Option<String>,
    #[serde(default)]
    pub intercept_active: bool,
    #[serde(default)]
    pub ssl_insecure: bool,
    /// `eager` or `lazy`.
    #[serde(default)]
    pub connection_strategy: String,
    /// The filter by which flows are held, when `intercept_active`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intercept: Option<String>,
    /// Hosts that are passed through unseen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_hosts: Vec<String>,
    /// When there are any, all other hosts are passed through unseen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_hosts: Vec<String>,
    /// Whether connections from public addresses are killed; on by default.
    #[serde(default)]
    pub block_global: bool,
    /// Whether connections from private addresses are killed.
    #[serde(default)]
    pub block_private: bool,
    /// Whether `block_list`, which answers some requests by itself, has entries.
    #[serde(default)]
    pub block_list: bool,
    /// Bodies larger than this are passed on as they come, and not kept: `1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_large_bodies: Option<String>,
    /// Messages with a larger body are refused: `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_size_limit: Option<String>,
    /// Whether clients of the proxy need a password.
    #[serde(default)]
    pub proxyauth: bool,
    /// Where its web interface listens.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub web_host: String,
    /// The names of all options, to tell a misspelt `--set`, which mitmproxy accepts without a word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// One entry of `/state`'s `servers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModeServer {
    pub full_spec: String,
    pub is_running: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exception: Option<String>,
    /// `[["0.0.0.0", 8080]]`; IPv6 entries have four elements, of which the first two are kept.
    #[serde(default)]
    pub listen_addrs: Vec<(String, u16)>,
}

impl MitmproxySeen {
    /// The modes in force, and whether mitmweb itself said so (else its command line does).
    #[must_use]
    pub fn modes(&self) -> (Vec<Mode>, bool) {
        match &self.options {
            Ok(options) => (self.as_they_listen(self.read_modes(&options.mode, options.listen_port)), true),
            Err(_) => (self.read_modes(&self.command_line.modes, None), false),
        }
    }

    /// A server that could not move to another port goes on at the old one, whatever the options say.
    fn as_they_listen(&self, mut modes: Vec<Mode>) -> Vec<Mode> {
        let Some(Ok(servers)) = &self.servers else { return modes };
        for mode in &mut modes {
            let own = servers.iter().find(|server| server.full_spec == mode.spec && server.is_running);
            let ports: Vec<u16> = own.into_iter().flat_map(|own| &own.listen_addrs).map(|(_, port)| *port).collect();
            if let Some(port) = ports.first().filter(|_| !ports.contains(&mode.listen_port)) {
                mode.listen_port = *port;
            }
        }
        modes
    }

    fn read_modes(&self, modes: &[String], listen_port: Option<u16>) -> Vec<Mode> {
        let default_port = listen_port.unwrap_or_else(|| self.command_line.listen_port());
        if modes.is_empty() {
            return vec![Mode { spec: "regular".to_owned(), target: None, listen_port: default_port }];
        }
        modes.iter().map(|spec| Mode::read(spec, default_port, self.major_version())).collect()
    }

    /// Whether its command line tells all that there is to know: it is not there yet, and no config file is mounted.
    #[must_use]
    pub fn is_told_by_its_command(&self) -> bool {
        self.way == Way::Planned
            && self.options.as_ref().is_err_and(|missing| missing.kind() == Some(crate::model::facts::Kind::NotRunning))
    }

    /// Whether its API wants a password: from 11.1.2 on, always.
    #[must_use]
    pub fn wants_password(&self) -> bool {
        let parts = self.version.as_deref().unwrap_or_default().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        parts.collect::<Vec<_>>() >= vec![11, 1, 2]
    }

    /// `10` of `10.4.2`.
    #[must_use]
    pub fn major_version(&self) -> Option<u32> {
        self.version.as_deref()?.split('.').next()?.parse().ok()
    }
}

/// One proxy mode.
#[derive(Clone, Debug, PartialEq)]
pub struct Mode {
    pub spec: String,
    /// The target of a `reverse:` mode.
    pub target: Option<Target>,
    /// Where this mode listens.
    pub listen_port: u16,
}

/// Where a reverse mode sends requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `http`, `https`, `tls`, `tcp`, ...
    pub scheme: String,
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    pub port: u16,
}

impl Mode {
    /// Reads `reverse:[scheme://]host[:port][@[listen_host:]listen_port]`. Without a scheme it is https from 9.0;
    /// 8.x took http unless the port was 443 or absent
    /// (mitmproxy `mode_specs.py`; `server_spec.py` before).
    #[must_use]
    pub fn read(spec: &str, default_port: u16, major_version: Option<u32>) -> Self {
        let (body, at) = match spec.rsplit_once('@') {
            Some((body, at)) => (body, at.rsplit(':').next().and_then(|port| port.parse().ok())),
            None => (spec, None),
        };
        let target = body.strip_prefix("reverse:").and_then(|target| {
            let (scheme, rest) = match target.split_once("://") {
                Some((scheme, rest)) => (Some(scheme), rest),
                None => (None, target),
            };
            let (host, port) = text::host_and_port(rest.trim_end_matches('/'))?;
            if host.is_empty() || host.contains('/') {
                return None;
            }
            let scheme = scheme.map_or_else(
                || match major_version {
                    Some(..=8) if port.is_some_and(|port| port != 443) => "http".to_owned(),
                    _ => "https".to_owned(),
                },
                str::to_ascii_lowercase,
            );
            let port = port.or(match scheme.as_str() {
                "http" => Some(80),
                "https" | "http3" | "quic" => Some(443),
                "dns" => Some(53),
                _ => None,
            })?;
            Some(Target { scheme, host: host.to_owned(), port })
        });
        Self { spec: spec.to_owned(), target, listen_port: at.unwrap_or(default_port) }
    }

    /// Whether it takes the HTTP requests of a reverse proxy. SOCKS, DNS, WireGuard and so on do not.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        matches!(self.spec.split([':', '@']).next(), Some("reverse" | "regular" | "upstream"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(spec: &str, major: u32) -> Option<Target> {
        Mode::read(spec, 8080, Some(major)).target
    }

    #[test]
    fn finds_the_program_behind_entry_points_and_shells() {
        for words in [
            &["docker-entrypoint.sh", "mitmweb", "--mode", "reverse:http://b:3000", "--set", "keep_host_header=true"][..],
            &["/bin/sh", "-c", "exec mitmweb --mode reverse:http://b:3000 --set keep_host_header"],
            &["python3", "/usr/local/bin/mitmweb", "--mode=reverse:http://b:3000", "--set=keep_host_header=true"],
        ] {
            let line = CommandLine::read(words).unwrap();
            assert_eq!(line.modes, ["reverse:http://b:3000"]);
            assert!(line.is_set("keep_host_header"), "{words:?}");
        }
        let line = CommandLine::read(&["mitmdump", "-mreverse:http://b:3000", "-p9090"]).unwrap();
        assert_eq!((line.modes[0].as_str(), line.listen_port()), ("reverse:http://b:3000", 9090));
        assert_eq!(CommandLine::read(&["gosu", "mitmproxy", "mitmweb"]).unwrap().interface, Interface::Mitmweb);
        for other in [
            &["python3", "echo.py"][..],
            &["ping", "mitmproxy"],
            &["sh", "-c", "until nc -z mitmproxy 8081; do sleep 1; done; exec caddy run"],
            &["app", "--upstream", "mitmproxy"],
            &["tail", "-f", "/var/log/mitmproxy"],
        ] {
            assert_eq!(CommandLine::read(other), None, "{other:?}");
        }
    }

    #[test]
    fn keeps_the_names_but_not_the_values_of_other_options() {
        let line =
            CommandLine::read(&["mitmweb", "--set", "web_password=SECRET", "--set", "proxyauth=SECRET"]).unwrap();
        assert_eq!(line.other_set, ["web_password", "proxyauth"]);
        assert!(!serde_json::to_string(&line).unwrap().contains("SECRET"));
        for words in [
            &["mitmweb", "--set", "web_password:SECRET"][..],
            &["sh", "-c", "mitmweb --mode regular & mysql -pSECRET -mSECRET --web-port SECRET"],
            &["mitmweb", "--set", "mode=upstream:http://u:SECRET/SECRET@h:1", "-mupstream:u:SECRET@h:1"],
            &["mitmweb", "--proxyauth", "u:SECRET", "--certs=SECRET.pem", "--cert-passphrase", "SECRET"],
        ] {
            let line = serde_json::to_string(&CommandLine::read(words).unwrap()).unwrap();
            assert!(!line.contains("SECRET"), "{line}");
        }
    }

    #[test]
    fn a_line_is_written_anew_only_when_all_of_it_is_known() {
        let words = ["docker-entrypoint.sh", "mitmweb", "--mode", "reverse:http://b:3000", "-p", "9090"];
        let line = CommandLine::read(&words).unwrap();
        let anew = line.with(&["--web-host", "0.0.0.0"], 5).unwrap().join(" ");
        assert_eq!(anew, "mitmweb --mode reverse:http://b:3000 --set listen_port=9090 --web-host 0.0.0.0");
        assert_eq!(line.with(&[], 4), None, "the program may be the entry point");
        for other in ["--set=web_password=SECRET", "--anticache"] {
            let words: Vec<&str> = words.into_iter().chain([other]).collect();
            assert_eq!(CommandLine::read(&words).unwrap().with(&[], 6), None, "{other}");
        }
    }

    #[test]
    fn reads_reverse_targets_as_mitmproxy_does() {
        let http = |host: &str, port| Some(Target { scheme: "http".into(), host: host.into(), port });
        assert_eq!(target("reverse:http://backend:3000", 10), http("backend", 3000));
        assert_eq!(target("reverse:http://backend:3000/", 10), http("backend", 3000));
        assert_eq!(target("reverse:http://[::1]:3000", 10), http("::1", 3000));
        assert_eq!(target("reverse:backend:3000", 8), http("backend", 3000));
        assert_eq!(target("reverse:backend:3000", 9).unwrap().scheme, "https");
        assert_eq!(target("reverse:https://backend", 10).unwrap().port, 443);
        for none in ["regular", "reverse:", "reverse:http://:3000", "reverse:http://h/path"] {
            assert_eq!(target(none, 10), None, "{none}");
        }
        assert_eq!(Mode::read("reverse:http://b:1@127.0.0.1:9000", 8080, Some(10)).listen_port, 9000);
        assert_eq!(Mode::read("reverse:http://b:1@9000", 8080, Some(10)).listen_port, 9000);
    }
}
