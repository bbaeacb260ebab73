//! mitmweb's API: its options, its servers, and how many flows it holds. Read only; the flows themselves are not loaded.

use std::collections::BTreeMap;

use caddy_doctor_checks::model::{
    Known, Missing, Place,
    docker::Program,
    facts::Kind,
    host::ProcessProgram,
    left_out::LeftOut,
    mitmproxy::{CommandLine, Interface, MitmproxySeen, ModeServer, Options},
    setup::{Part, PartKind},
    text,
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{
    http::{Answer, Question},
    redact, telling,
    view::Looker,
};
use crate::gather::Secrets;

/// Asks a mitmproxy what it does. With it what is not kept of its answers.
pub(crate) async fn ask(
    looker: &Looker<'_>,
    part: &Part,
    command_line: CommandLine,
    secrets: &Secrets,
    probes: bool,
    complains: bool,
) -> (MitmproxySeen, Vec<LeftOut>) {
    let mut left_out = Vec::new();
    let port = command_line.web_port();
    let mut seen = MitmproxySeen {
        name: part.name.clone(),
        place: part.place.clone(),
        web: match &part.kind {
            PartKind::Address(url) => url.clone(),
            _ => format!("http://127.0.0.1:{port}"),
        },
        way: caddy_doctor_checks::model::view::Way::Inferred,
        version: None,
        options: Err(Missing::NotAsked),
        servers: None,
        flows: Err(Missing::NotAsked),
        held: None,
        events: None,
        connected_since: false,
        complaints: None,
        published: None,
        usage: None,
        command_line,
    };
    let own = looker.containers.and_then(|all| all.named(&part.name)).filter(|_| part.kind == PartKind::Container);
    let usage = async {
        match (own.filter(|own| own.runs()), looker.engine) {
            (Some(own), Some(engine)) => engine.usage(own, probes).await,
            _ => None,
        }
    };
    if seen.command_line.interface != Interface::Mitmweb {
        seen.usage = usage.await;
        let why = format!("{} has no API", seen.command_line.interface.name());
        let missing = Missing::failed(format!("asking {}", part.name), Kind::Unsupported, why);
        (seen.options, seen.flows) = (Err(missing.clone()), Err(missing));
        return (seen, left_out);
    }
    let questions = |base: &str| questions(base, secrets);
    let published = looker.as_published(part, port, "/");
    let reached;
    (reached, seen.published, seen.usage) = tokio::join!(looker.reach(part, port, &questions), published, usage);
    seen.way = reached.way;
    let mut answers = reached.answers.into_iter();
    let first = answers.next().unwrap_or(Err(Missing::NotAsked));
    if let Ok(answer) = &first {
        seen.version = answer.server.as_deref().and_then(version);
    }
    let asked = |path: &str| format!("{path} of {}", part.name);
    let options = first.and_then(|answer| options(&asked("GET /options"), &answer, seen.version.as_deref(), secrets));
    let of = format!("mitmweb of {}", part.name);
    if let Ok((_, others)) = &options {
        left_out.extend(LeftOut::counted(&of, "values of options", *others));
    }
    seen.options = options.map(|(options, _)| options);
    match &seen.options {
        Ok(_) => {
            let state = answers.next().unwrap_or(Err(Missing::NotAsked));
            // 8.x has no /state, and answers 403 to any path that it does not know.
            if seen.major_version().is_some_and(|major| major >= 9) {
                seen.servers = Some(state.and_then(|answer| servers(&asked("GET /state"), &answer)));
            }
            let count = answers.next().unwrap_or(Err(Missing::NotAsked));
            seen.flows = count.and_then(|answer| count_of(&asked("POST /commands/view.properties.length"), &answer));
            let events = answers.next().unwrap_or(Err(Missing::NotAsked));
            let events: Known<Vec<Event>> =
                events.and_then(|answer| read(&asked("GET /events"), &answer, "mitmweb's events"));
            if complains {
                let all = |events: &Vec<Event>| telling::events(events.iter().map(|own| (&*own.level, &*own.message)));
                seen.complaints = Some(events.as_ref().map(all).map_err(Clone::clone));
            }
            let targets = seen.modes().0.into_iter().filter_map(|mode| mode.target);
            let targets: Vec<String> = targets.map(|own| text::join_port(&own.host, own.port)).collect();
            seen.connected_since = events.as_ref().is_ok_and(|events| connected_since(events, &targets));
            seen.events = Some(events.map(|events| {
                let decisive = decisive_events(&events);
                let others = events.len() - decisive.len();
                left_out.extend(match complains {
                    // Of what is kept twice, and of equal ones that are counted, there is no telling how many are left.
                    true if others > 0 => Some(LeftOut::uncounted(&of, "events")),
                    true => None,
                    false => LeftOut::counted(&of, "events", others),
                });
                decisive
            }));
            let intercepts = seen.options.as_ref().is_ok_and(|options| options.intercept_active);
            if intercepts && seen.flows.as_ref().is_ok_and(|count| *count <= MOST_LOADED) {
                let reached = looker.reach(part, port, &|base| vec![get(base, "/flows", secrets)]).await;
                let flows = reached.answers.into_iter().next().unwrap_or(Err(Missing::NotAsked));
                let flows = flows.and_then(|answer| flows_of(&asked("GET /flows"), &answer));
                let what = "flows, of which only whether each is held was read";
                left_out.extend(flows.iter().filter_map(|flows| LeftOut::counted(&of, what, flows.len())));
                let held = |flows: Vec<Flow>| flows.iter().filter(|flow| flow.intercepted).count() as u64;
                seen.held = Some(flows.map(held));
            }
        }
        Err(missing) => seen.flows = Err(missing.clone()),
    }
    (seen, left_out)
}

/// More flows than this are not loaded: mitmproxy reads every body for it, and proxies nothing meanwhile.
const MOST_LOADED: u64 = 500;

/// The command line of a mitmproxy, from its container or its process.
pub(crate) fn command_line(
    looker: &Looker<'_>,
    part: &Part,
    processes: &[caddy_doctor_checks::model::host::Process],
) -> CommandLine {
    if let PartKind::Process { pid, .. } = part.kind {
        let own = processes.iter().find(|process| process.pid == pid).map(|process| &process.program);
        if let Some(ProcessProgram::Mitmproxy(line)) = own {
            return line.clone();
        }
    }
    if part.place == Place::Host && part.kind != PartKind::Container {
        return CommandLine::default();
    }
    match looker.containers.and_then(|all| all.named(&part.name)).and_then(|own| own.program.clone()) {
        Some(Program::Mitmproxy(line)) => line,
        _ => CommandLine::default(),
    }
}

/// The headers of whatever is not a GET. The token against cross-site requests is made up by the sender; its cookie has
/// another name from 12.2.3 on.
pub(crate) fn same_site() -> Vec<(&'static str, String)> {
    vec![
        ("Cookie", "_xsrf=doctor; _mitmproxy_xsrf=doctor".to_owned()),
        ("X-XSRFToken", "doctor".to_owned()),
        ("Content-Type", "application/json".to_owned()),
    ]
}

/// The count is a command, and commands are written with POST; it changes nothing.
fn questions(base: &str, secrets: &Secrets) -> Vec<Question> {
    let get = |path: &str| get(base, path, secrets);
    let headers = same_site();
    let body = Some(r#"{"arguments":[]}"#.to_owned());
    let count = Question { method: Method::POST, headers, body, ..get("/commands/view.properties.length") };
    vec![get("/options"), get("/state"), count, get("/events")]
}

pub(crate) fn get(base: &str, path: &str, secrets: &Secrets) -> Question {
    Question { token: secrets.web_password.clone(), ..Question::get(format!("{base}{path}")) }
}

/// How many flows mitmweb holds now.
pub(crate) async fn count(looker: &Looker<'_>, part: &Part, seen: &MitmproxySeen, secrets: &Secrets) -> Known<u64> {
    let questions = |base: &str| vec![questions(base, secrets).swap_remove(2)];
    let reached = looker.reach(part, seen.command_line.web_port(), &questions).await;
    let answer = reached.answers.into_iter().next().unwrap_or(Err(Missing::NotAsked))?;
    count_of(&format!("POST /commands/view.properties.length of {}", part.name), &answer)
}

/// `10.4.2` of `mitmproxy 10.4.2`, which every answer carries.
pub(crate) fn version(server: &str) -> Option<String> {
    server.strip_prefix("mitmproxy ").map(str::to_owned)
}

/// Reads `/options`; and how many of them have a value that is not read.
pub(crate) fn options(
    asked: &str,
    answer: &Answer,
    version: Option<&str>,
    secrets: &Secrets,
) -> Known<(Options, usize)> {
    if answer.status == 403 {
        let why = match (version, secrets.web_password.is_some()) {
            (Some(version), false) => format!(
                "mitmweb {version} wants its password or token: put it into a file and say --web-password-file FILE, or set \
                 DOCTOR_WEB_PASSWORD (mitmweb prints the token when it starts, unless web_password is set)"
            ),
            (Some(version), true) => format!("mitmweb {version} does not take the password that it was given"),
            (None, _) => "HTTP 403, and not from a mitmweb".to_owned(),
        };
        let refused = version.is_some() && secrets.web_password.is_some();
        return Err(Missing::failed(asked, if refused { Kind::WrongToken } else { Kind::NeedsToken }, why));
    }
    if answer.status != 200 {
        return Err(Missing::failed(asked, Kind::Status(answer.status), format!("HTTP {}", answer.status)));
    }
    let mut raw: BTreeMap<String, Value> = serde_json::from_slice(&answer.body).map_err(|error| {
        let why = format!("what came back is not mitmweb's options: {}", redact::json_error(&error));
        Missing::failed(asked, Kind::Garbage, why)
    })?;
    let names = raw.keys().cloned().collect();
    // What is read is taken out, so that what is left is what was not.
    let mut value = |name: &str| raw.remove(name)?.as_object_mut()?.remove("value");
    let Some(mode) = value("mode") else {
        return Err(Missing::failed(asked, Kind::Garbage, "what came back is not mitmweb's options: it has no `mode`"));
    };
    // One string before 9.0, a list since.
    let modes: Option<Vec<String>> = match &mode {
        Value::Array(modes) => modes.iter().map(|mode| mode.as_str().map(text::mode_without_user_info)).collect(),
        mode => mode.as_str().map(|mode| vec![text::mode_without_user_info(mode)]),
    };
    let Some(modes) = modes.filter(|modes| !modes.is_empty()) else {
        return Err(Missing::failed(
            asked,
            Kind::Garbage,
            "what came back is not mitmweb's options: `mode` is neither a text nor a list of texts",
        ));
    };
    let mut text = |name: &str| value(name).and_then(|own| own.as_str().map(str::to_owned));
    let (view_filter, intercept) = (text("view_filter"), text("intercept"));
    let (connection_strategy, web_host) = (text("connection_strategy"), text("web_host"));
    let (stream_large_bodies, body_size_limit) = (text("stream_large_bodies"), text("body_size_limit"));
    let proxyauth = text("proxyauth").is_some_and(|value| !value.is_empty());
    let mut on = |name: &str| value(name).and_then(|own| own.as_bool()).unwrap_or_default();
    let (keep_host_header, intercept_active, ssl_insecure) =
        (on("keep_host_header"), on("intercept_active"), on("ssl_insecure"));
    let (block_global, block_private) = (on("block_global"), on("block_private"));
    let mut texts = |name: &str| {
        let list = value(name);
        let list = list.as_ref().and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|own| own.as_str().map(redact::host_pattern)).collect::<Vec<String>>()
    };
    let (ignore_hosts, allow_hosts) = (texts("ignore_hosts"), texts("allow_hosts"));
    let options = Options {
        mode: modes,
        keep_host_header,
        listen_port: value("listen_port").and_then(|port| u16::try_from(port.as_u64()?).ok()),
        view_filter: view_filter.map(|filter| redact::line(&filter)),
        intercept_active,
        ssl_insecure,
        connection_strategy: connection_strategy.unwrap_or_default(),
        intercept: intercept.filter(|filter| !filter.is_empty()).map(|filter| redact::line(&filter)),
        ignore_hosts,
        allow_hosts,
        block_global,
        block_private,
        block_list: value("block_list").is_some_and(|list| list.as_array().is_some_and(|list| !list.is_empty())),
        stream_large_bodies,
        body_size_limit,
        proxyauth,
        web_host: web_host.unwrap_or_default(),
        names,
    };
    Ok((options, raw.len()))
}

/// A list up to 10.x, an object since 11.0.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawServers {
    List(Vec<RawServer>),
    Map(BTreeMap<String, RawServer>),
}

#[derive(Deserialize)]
struct State {
    servers: RawServers,
}

#[derive(Deserialize)]
struct RawServer {
    full_spec: String,
    is_running: bool,
    last_exception: Option<String>,
    #[serde(default)]
    listen_addrs: Vec<Vec<Value>>,
}

pub(crate) fn servers(asked: &str, answer: &Answer) -> Known<Vec<ModeServer>> {
    let state: State = read(asked, answer, "mitmweb's state")?;
    let servers = match state.servers {
        RawServers::List(list) => list,
        RawServers::Map(map) => map.into_values().collect(),
    };
    let address =
        |raw: &Vec<Value>| Some((raw.first()?.as_str()?.to_owned(), u16::try_from(raw.get(1)?.as_u64()?).ok()?));
    Ok(servers
        .into_iter()
        .map(|server| ModeServer {
            full_spec: text::mode_without_user_info(&server.full_spec),
            is_running: server.is_running,
            last_exception: server.last_exception.map(|text| redact::line(&text)),
            listen_addrs: server.listen_addrs.iter().filter_map(address).collect(),
        })
        .collect())
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    message: String,
    #[serde(default)]
    level: String,
}

/// Of the events those that tell why a request went wrong, the newest last.
fn decisive_events(events: &[Event]) -> Vec<String> {
    let mut lines: Vec<String> = events
        .iter()
        .rev()
        .map(|event| event.message.as_str())
        .filter(|text| is_decisive(text))
        .take(MOST_EVENTS)
        .map(|text| redact::line(text.trim()))
        .collect();
    lines.reverse();
    lines
}

/// Whether a connection to one of these went well after the newest message that tells why a request went wrong. mitmproxy tells
/// of each when it stands, before TLS: `[15:45:12.644][172.18.0.3:53204] server connect backend:3000 (172.18.0.2:3000)`.
fn connected_since(events: &[Event], targets: &[String]) -> bool {
    let connects = |message: &str| {
        let to = message.split_once("server connect ").and_then(|(_, to)| to.split(' ').next());
        to.is_some_and(|to| targets.iter().any(|target| target == to))
    };
    let since = events.iter().rev().map(|event| event.message.as_str()).take_while(|text| !is_decisive(text));
    since.into_iter().any(connects)
}

/// Whether a message tells why a request went wrong.
pub(crate) fn is_decisive(message: &str) -> bool {
    DECISIVE.iter().any(|needle| message.contains(needle))
}

const MOST_EVENTS: usize = 5;
const DECISIVE: &[&str] = &[
    "error establishing server connection",
    "Server TLS handshake failed",
    "killed by block_",
    "failed to listen",
    "does not support server side events",
    "Request destination unknown",
    "Too many open files",
];

/// Of a flow nothing but whether it is held.
#[derive(Deserialize)]
struct Flow {
    #[serde(default)]
    intercepted: bool,
}

fn flows_of(asked: &str, answer: &Answer) -> Known<Vec<Flow>> {
    read(asked, answer, "mitmweb's flows")
}

fn read<T: serde::de::DeserializeOwned>(asked: &str, answer: &Answer, what: &str) -> Known<T> {
    if answer.status != 200 {
        return Err(Missing::failed(asked, Kind::Status(answer.status), format!("HTTP {}", answer.status)));
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        let why = format!("what came back is not {what}: {}", redact::json_error(&error));
        Missing::failed(asked, Kind::Garbage, why)
    })
}

#[derive(Deserialize)]
struct Count {
    value: u64,
}

fn count_of(asked: &str, answer: &Answer) -> Known<u64> {
    read::<Count>(asked, answer, "a number").map(|count| count.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_after_the_newest_error_is_seen() {
        let since = |messages: &[&str]| {
            let event = |message: &&str| Event { message: (*message).to_owned(), level: "info".into() };
            connected_since(&messages.iter().map(event).collect::<Vec<_>>(), &["shop:3443".to_owned()])
        };
        let connect = "[02:07:09.880][172.24.0.4:34642] server connect shop:3443 (172.24.0.2:3443)";
        let failed = "[02:07:09.887][172.24.0.4:34642] Server TLS handshake failed. Certificate verify failed: self-signed certificate";
        assert!(!since(&[connect, failed]));
        assert!(since(&[connect, failed, connect]));
        assert!(
            since(&[connect, failed, "172.24.0.4:34642: server connect shop:3443 (172.24.0.2:3443)"]),
            "as 8.x tells it"
        );
        assert!(!since(&[failed, "[02:07:10.000][172.24.0.4:34650] server connect other:80 (172.24.0.9:80)"]));
        assert!(!since(&[failed, "error establishing server connection: [Errno 111] Connect call failed"]));
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, server: None, api_version: None, etag: None, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_mode_is_one_string_before_9_and_a_list_since() {
        for body in [r#"{"mode":{"value":"reverse:http://b:1"}}"#, r#"{"mode":{"value":["reverse:http://b:1"]}}"#] {
            let (options, _) = options("", &answer(200, body), None, &Secrets::default()).unwrap();
            assert_eq!(options.mode, ["reverse:http://b:1"]);
        }
        assert!(options("", &answer(200, "{}"), None, &Secrets::default()).is_err());
    }

    #[test]
    fn servers_are_a_list_or_a_map_with_addresses_of_two_or_four_parts() {
        let server = r#"{"full_spec":"regular","is_running":true,"last_exception":null,"listen_addrs":[["::",8080,0,0],["0.0.0.0",8080]]}"#;
        for body in [format!(r#"{{"servers":[{server}]}}"#), format!(r#"{{"servers":{{"regular":{server}}}}}"#)] {
            let servers = servers("", &answer(200, &body)).unwrap();
            assert_eq!(servers[0].listen_addrs, [("::".to_owned(), 8080), ("0.0.0.0".to_owned(), 8080)]);
        }
    }

    #[test]
    fn a_refusal_says_how_to_give_the_password() {
        let missing = options("GET", &answer(403, ""), Some("11.1.3"), &Secrets::default()).unwrap_err();
        assert_eq!(missing.kind(), Some(Kind::NeedsToken));
        assert!(missing.to_string().contains("--web-password-file"));
    }
}
