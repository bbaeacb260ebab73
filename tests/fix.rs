//! `doctor fix` in front of an engine, a Caddy and a mitmweb that do as they are told, and remember who told them what.
//!
//! They are servers of the test. `docker exec` runs the command here, where the fakes listen.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

mod fakes;

use std::{
    collections::BTreeSet,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use fakes::{Answer, Behaviour, Doctor, Folder, Ran, Request, Routes, Server, container, id, listed};
use serde_json::{Value, json};

/// Where Caddy puts its ETag.
#[derive(Clone, Copy, PartialEq)]
enum Etag {
    /// 2.8 and newer.
    Header,
    /// 2.5.2 to 2.7.
    Trailer,
    /// Before 2.5.2.
    None,
}

/// What the three know, and what happens to them.
struct State {
    containers: Vec<Value>,
    networks: Vec<String>,
    config: Value,
    etag: Etag,
    options: Value,
    /// Why a new mode cannot listen.
    cannot_listen: Option<String>,
    /// Whether Caddy takes two things with one `@id`, as it did before 2.11.
    takes_same_ids: bool,
    /// What somebody else does to Caddy right before a write comes in.
    before_write: Option<fn(&mut State)>,
    /// What somebody else does to Caddy after the first look.
    after_look: Option<fn(&mut State)>,
    /// What somebody else does to the engine after the first look.
    after_list: Option<fn(&mut State)>,
    /// What the engine says to whoever wants something of it.
    refusal: Option<&'static str>,
    looks: usize,
    lists: usize,
    /// Whether commands can be run in containers.
    has_exec: bool,
    execs: Vec<Value>,
    /// Where a command that is run by `docker exec` finds its tools.
    exec_path: String,
}

struct World {
    state: Arc<Mutex<State>>,
    engine: Server,
    admin: Server,
    mitmweb: Server,
}

/// The parts are named, so that whatever else runs on this machine is left alone; and what these fakes have nothing of is not
/// looked at.
const PARTS: [&str; 6] = ["--caddy", "caddy", "--mitmproxy", "mitmproxy", "--skip", "image,memory,backend-reachable"];

const ROUTES: &str = "/config/apps/http/servers/srv0/routes";

/// A route to mitmproxy for a Host.
fn route(host: &str, dial: &str) -> Value {
    json!({
        "match": [{"host": [host]}],
        "handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": dial}]}],
        "terminal": true,
    })
}

impl World {
    /// caddy, mitmproxy and backend on one network, with nothing wrong but what `change` makes so.
    fn new(change: impl FnOnce(&mut State)) -> Self {
        let option = |value: Value| json!({"type": "x", "default": null, "value": value, "help": "", "choices": null});
        let state = Arc::new(Mutex::new(State {
            containers: Vec::new(),
            networks: vec!["app-net".to_owned(), "edge-net".to_owned()],
            config: json!({"apps": {"http": {"servers": {"srv0": {
                "listen": [":80"], "routes": [route("*.example.test", "mitmproxy:8080")],
            }}}}}),
            etag: Etag::Header,
            options: json!({
                "mode": option(json!(["reverse:http://backend:3000"])),
                "keep_host_header": option(json!(true)),
                "listen_port": option(Value::Null),
                "view_filter": option(Value::Null),
                "intercept": option(Value::Null),
                "intercept_active": option(json!(false)),
                "ssl_insecure": option(json!(false)),
                "connection_strategy": option(json!("eager")),
            }),
            cannot_listen: None,
            takes_same_ids: false,
            before_write: None,
            after_look: None,
            after_list: None,
            refusal: None,
            looks: 0,
            lists: 0,
            has_exec: false,
            execs: Vec::new(),
            exec_path: std::env::var("PATH").unwrap(),
        }));
        let of = |answers: fn(&mut State, &Request) -> Behaviour| {
            let state = Arc::clone(&state);
            Server::start(Routes::any(move |request| answers(&mut state.lock().unwrap(), request)))
        };
        let (engine, admin, mitmweb) = (of(engine), of(caddy), of(mitmweb));
        let mitm = ["mitmweb", "--mode", "reverse:http://backend:3000", "--set", "keep_host_header=true"];
        let mut locked = state.lock().unwrap();
        locked.containers = vec![
            container("caddy", &["caddy", "run", "--config", "/etc/caddy/Caddyfile"], &[(2019, admin.port)]),
            container("mitmproxy", &mitm, &[(8081, mitmweb.port)]),
            container("backend", &["serve"], &[]),
        ];
        change(&mut locked);
        drop(locked);
        Self { state, engine, admin, mitmweb }
    }

    fn doctor<const N: usize>(&self, arguments: [&str; N]) -> Doctor {
        Doctor::at(&self.engine).args(["fix"]).args(PARTS).args(arguments)
    }

    /// Runs `doctor fix` with these arguments and `--format json`.
    fn fix<const N: usize>(&self, arguments: [&str; N]) -> Fixed {
        let ran = self.doctor(arguments).args(["--format", "json"]).run();
        let value = ran.json();
        assert_valid(&value);
        assert_eq!(value["exit_code"], ran.code, "{ran:#?}");
        Fixed { value, ran }
    }

    /// Everything but looking: of `docker exec` and the count of flows what is written is another matter.
    fn writes(&self) -> Vec<Request> {
        let servers = [&self.engine, &self.admin, &self.mitmweb];
        let mut all: Vec<Request> = servers.iter().flat_map(|server| server.writes()).collect();
        all.retain(|request| {
            !request.path().ends_with("/exec")
                && !request.path().starts_with("/exec/")
                && request.path() != "/commands/view.properties.length"
        });
        all
    }

    /// What was written, as `PUT /options`.
    fn written(&self) -> Vec<String> {
        self.writes().into_iter().map(|request| request.route).collect()
    }

    fn config(&self, path: &str) -> Value {
        self.state.lock().unwrap().config.pointer(path.trim_start_matches("/config")).cloned().unwrap_or_default()
    }
}

/// A run with `--format json`.
struct Fixed {
    value: Value,
    ran: Ran,
}

impl Fixed {
    /// What became of each thing of the plan: `shared-network applied`.
    fn outcomes(&self) -> Vec<String> {
        let plan = self.value["plan"].as_array().unwrap().iter();
        plan.map(|step| format!("{} {}", step["check"].as_str().unwrap(), step["outcome"].as_str().unwrap())).collect()
    }

    fn reason(&self, step: usize) -> &str {
        self.value["plan"][step]["reason"].as_str().unwrap_or_default()
    }

    fn changed(&self, word: &str) -> Vec<&str> {
        self.value["changed"][word].as_array().unwrap().iter().map(|cause| cause["check"].as_str().unwrap()).collect()
    }
}

fn assert_valid(document: &Value) {
    let read = |name: &str| -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    for (schema, part) in [("fix.schema.json", Some(document)), ("report.schema.json", document.get("after"))] {
        let (schema, Some(part)) = (read(schema), part) else { continue };
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(part).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?} in {part:#}");
    }
}

// ------------------------------------------------------------------------------------------------------------ the fakes

fn no_content() -> Behaviour {
    Answer::text(204, "").into()
}

fn refuse(status: u16, why: &str) -> Behaviour {
    Answer::json(&json!({"message": why})).with_status(status).into()
}

/// A Docker engine that does what it is asked to.
fn engine(state: &mut State, request: &Request) -> Behaviour {
    let path = match request.path().strip_prefix("/v1.") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => request.path(),
    };
    let method = request.route.split(' ').next().unwrap();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let network = |name: &str| json!({"NetworkID": id(name), "Aliases": null, "Gateway": "", "IPAddress": ""});
    if parts == ["containers", "json"] {
        state.lists += 1;
        if state.lists == 2
            && let Some(happens) = state.after_list.take()
        {
            happens(state);
        }
    }
    if method != "GET"
        && let Some(why) = state.refusal
    {
        return refuse(500, why);
    }
    match (method, parts.as_slice()) {
        ("GET", ["_ping"]) => {
            Answer::text(200, "OK").header("Api-Version", "1.41").header("Server", "Docker/20.10.24 (linux)").into()
        }
        ("GET", ["containers", "json"]) => Answer::json(&state.containers.iter().map(listed).collect()).into(),
        ("GET", ["containers", _, "logs"]) => fakes::log("").into(),
        ("GET", ["networks"]) => {
            let all = state.networks.iter().map(|name| json!({"Name": name, "Id": id(name), "Driver": "bridge"}));
            Answer::json(&all.collect()).into()
        }
        ("POST", ["networks", "create"]) => {
            state.networks.push(request.json()["Name"].as_str().unwrap().to_owned());
            Answer::json(&json!({"Id": "00", "Warning": ""})).with_status(201).into()
        }
        ("POST", ["networks", name, "connect"]) => {
            let whom = request.json()["Container"].as_str().unwrap().to_owned();
            let Some(container) = state.containers.iter_mut().find(|own| own["Id"] == whom.as_str()) else {
                return refuse(404, "No such container");
            };
            container["NetworkSettings"]["Networks"][*name] = network(name);
            no_content()
        }
        ("POST", ["exec", number, "start"]) => {
            let exec = state.execs[number.parse::<usize>().unwrap()].clone();
            let words: Vec<&str> = exec["Cmd"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
            let variables = exec["Env"].as_array().into_iter().flatten().map(|own| own.as_str().unwrap().to_owned());
            let path = [format!("PATH={}", state.exec_path)];
            let split =
                |own: String| own.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
            Behaviour::Exec(
                words.into_iter().map(str::to_owned).collect(),
                path.into_iter().chain(variables).map(split).collect(),
            )
        }
        (_, ["containers", whom, what]) => {
            let Some(container) =
                state.containers.iter_mut().find(|own| own["Id"] == *whom || own["Name"] == format!("/{whom}"))
            else {
                return refuse(404, &format!("No such container: {whom}"));
            };
            let runs = match (method, *what) {
                ("GET", "json") => return Answer::json(container).into(),
                ("POST", "exec") if !state.has_exec => return refuse(404, "page not found"),
                ("POST", "exec") => {
                    state.execs.push(request.json());
                    let number = (state.execs.len() - 1).to_string();
                    return Answer::json(&json!({"Id": number})).with_status(201).into();
                }
                ("POST", "start" | "unpause") => "running",
                ("POST", "stop") => "exited",
                _ => return refuse(404, "page not found"),
            };
            container["State"]["Status"] = json!(runs);
            container["State"]["Error"] = json!("");
            no_content()
        }
        _ => refuse(404, "page not found"),
    }
}

fn hash(value: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    format!("{:08x}", hasher.finish())
}

/// Caddy's admin API: what `caddy.go` does with a config, ETags and ids included.
fn caddy(state: &mut State, request: &Request) -> Behaviour {
    let (method, path) = request.route.split_once(' ').unwrap();
    let refused = |status: u16, why: &str| Answer::json(&json!({"error": why})).with_status(status);
    if !request.is_get()
        && let Some(happens) = state.before_write.take()
    {
        happens(state);
    }
    if state.looks > 0
        && path != "/"
        && let Some(happens) = state.after_look.take()
    {
        happens(state);
    }
    state.looks += usize::from(path == "/config/");
    let pointer = path.strip_prefix("/config").unwrap_or("/nowhere").trim_end_matches('/');
    if request.is_get() {
        let Some(value) = state.config.pointer(pointer).cloned() else {
            return refused(400, "invalid traversal path").into();
        };
        let etag = format!("\"{path} {}\"", hash(&value));
        // HTTP/1.0 has no trailers.
        return match state.etag {
            Etag::Header => Answer::json(&value).header("Etag", &etag),
            Etag::Trailer if request.version == "HTTP/1.1" => Answer::json(&value).trailer("Etag", &etag),
            _ => Answer::json(&value),
        }
        .into();
    }
    if let Some(condition) = request.headers.get("if-match") {
        let (path, wanted) = condition.trim_matches('"').split_once(' ').unwrap();
        let own = state.config.pointer(path.strip_prefix("/config").unwrap().trim_end_matches('/'));
        if own.map(hash).as_deref() != Some(wanted) {
            return refused(412, "If-Match header did not match current config hash").into();
        }
    }
    if method != "DELETE" && request.header("content-type") != "application/json" {
        return refused(400, "unacceptable content-type").into();
    }
    let before = state.config.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let Some(parent) = state.config.pointer_mut(parent) else { return refused(400, "invalid traversal path").into() };
    match (method, parent) {
        ("PUT", Value::Array(list)) => list.insert(key.parse().unwrap(), request.json()),
        ("DELETE", Value::Array(list)) => _ = list.remove(key.parse().unwrap()),
        ("PATCH" | "POST", Value::Array(list)) => list[key.parse::<usize>().unwrap()] = request.json(),
        ("PUT", Value::Object(fields)) if fields.contains_key(key) => return refused(409, "key already exists").into(),
        ("PATCH", Value::Object(fields)) if !fields.contains_key(key) => return refused(404, "no such key").into(),
        ("DELETE", Value::Object(fields)) => _ = fields.remove(key),
        (_, Value::Object(fields)) => _ = fields.insert(key.to_owned(), request.json()),
        _ => return refused(400, "invalid traversal path").into(),
    }
    let text = state.config.to_string();
    let ids: Vec<&str> = text.split("\"@id\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() && !state.takes_same_ids {
        state.config = before;
        return refused(400, "indexing config: duplicate ID").into();
    }
    Answer::text(200, "").into()
}

/// mitmweb's API, as far as the doctor knows it.
fn mitmweb(state: &mut State, request: &Request) -> Behaviour {
    let answer = match request.route.as_str() {
        "GET /options" => Answer::json(&state.options),
        "GET /events" => Answer::json(&json!([])),
        "GET /state" => {
            let modes = state.options["mode"]["value"].as_array().unwrap().iter();
            let servers = modes.map(|mode| {
                json!({"type": "reverse", "description": "", "full_spec": mode, "is_running": state.cannot_listen.is_none(),
                       "last_exception": state.cannot_listen, "listen_addrs": [["0.0.0.0", 8080]]})
            });
            Answer::json(&json!({"version": "10.4.2", "servers": servers.collect::<Value>()}))
        }
        _ if !request.header("cookie").contains("_xsrf=doctor") || request.header("x-xsrftoken") != "doctor" => {
            Answer::text(403, "<html><title>403: Forbidden</title></html>")
        }
        "POST /commands/view.properties.length" => Answer::json(&json!({"value": 3})),
        "PUT /options" => {
            for (name, value) in request.json().as_object().unwrap() {
                state.options[name]["value"] = value.clone();
            }
            Answer::text(200, "")
        }
        _ => Answer::text(404, ""),
    };
    answer.header("Server", "mitmproxy 10.4.2").into()
}

// ------------------------------------------------------------------------------------------------------ broken setups

/// Puts a container on one network alone.
fn on_network(state: &mut State, name: &str, network: &str) {
    let own = state.containers.iter_mut().find(|own| own["Name"] == format!("/{name}")).unwrap();
    let attachment = json!({"NetworkID": id(network), "Aliases": null, "Gateway": "", "IPAddress": ""});
    own["NetworkSettings"]["Networks"] = json!({network: attachment});
    own["HostConfig"]["NetworkMode"] = json!(network);
}

fn two_networks(state: &mut State) {
    on_network(state, "caddy", "edge-net");
}

fn paused(state: &mut State) {
    state.containers[1]["State"]["Status"] = json!("paused");
}

fn set_routes(state: &mut State, routes: &Value) {
    state.config["apps"]["http"]["servers"]["srv0"]["routes"] = routes.clone();
}

/// Caddy dials mitmproxy's web interface.
fn wrong_port(state: &mut State) {
    set_routes(state, &json!([route("*.example.test", "mitmproxy:8081")]));
}

fn host_rewritten(state: &mut State) {
    state.options["keep_host_header"]["value"] = json!(false);
}

/// What the doctor does not read of a route, and must not show.
const SECRET: &str = "CANARY-of-a-route";

/// A route that answers everything stands before the one to mitmproxy; both have an id, and that one a secret.
fn wrong_order(state: &mut State) {
    let mut to_mitmproxy = route("*.example.test", "mitmproxy:8080");
    to_mitmproxy["@id"] = json!("api");
    to_mitmproxy["handle"][0]["headers"] = json!({"request": {"set": {"Authorization": [SECRET]}}});
    let all = json!({"@id": "all", "handle": [{"handler": "static_response", "body": "ü%s'\\n"}], "terminal": true});
    set_routes(state, &json!([all, to_mitmproxy]));
}

fn same_route_twice(state: &mut State) {
    let mut own = route("*.example.test", "mitmproxy:8080");
    own["@id"] = json!("api");
    own["handle"][0]["headers"] = json!({"request": {"set": {"Authorization": [SECRET]}}});
    set_routes(state, &json!([own, own]));
    state.takes_same_ids = true;
}

fn only_files(state: &mut State) {
    set_routes(state, &json!([{"handle": [{"handler": "file_server"}]}]));
}

/// mitmproxy is in regular mode, and there is one backend that it could send everything to.
fn regular_mode(state: &mut State) {
    state.options["mode"]["value"] = json!(["regular"]);
    state.containers[2]["HostConfig"]["PortBindings"] = json!({"3000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "1"}]});
}

// --------------------------------------------------------------------------------------------------- what is not done

#[test]
fn of_a_healthy_setup_there_is_nothing_to_fix() {
    let world = World::new(|_| {});
    let ran = world.doctor(["--yes"]).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    assert!(ran.stdout.contains("nothing to fix"), "{ran:#?}");
    let fixed = world.fix(["--yes"]);
    assert_eq!(fixed.value["plan"], json!([]));
    assert!(fixed.value.get("after").is_none());
    assert_eq!(world.written(), [] as [&str; 0]);
}

#[test]
fn a_dry_run_says_the_plan_and_does_nothing() {
    for (change, fix) in [
        (two_networks as fn(&mut State), "connect mitmproxy to caddy's network (safe)"),
        (wrong_port, "dial mitmproxy:8080 (safe)"),
        (wrong_order, "move route 1 (@id api) before route 0 (@id all) (safe)"),
    ] {
        let world = World::new(change);
        for arguments in [&["--dry-run"][..], &["--dry-run", "--yes"]] {
            let ran = world.doctor([]).args(arguments).run();
            assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{ran:#?}");
            assert!(ran.stdout.contains(fix) && ran.stdout.contains("only the plan was asked for"), "{ran:#?}");
            assert!(!ran.stdout.contains(SECRET), "{ran:#?}");
        }
        let fixed = world.fix(["--dry-run"]);
        assert!(fixed.outcomes().iter().all(|own| own.ends_with("planned")), "{:#}", fixed.value);
        assert_eq!(world.written(), [] as [&str; 0]);
    }
}

#[test]
fn without_a_terminal_and_without_yes_nothing_is_done() {
    let world = World::new(two_networks);
    let ran = world.doctor([]).run();
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stdout.contains("$ docker network connect edge-net mitmproxy"), "{ran:#?}");
    assert!(
        ran.stdout.contains("nothing was done: there is no terminal to ask at; --yes applies what is safe"),
        "{ran:#?}"
    );
    assert_eq!(world.fix([]).outcomes(), ["shared-network planned"]);
    assert_eq!(world.written(), [] as [&str; 0]);
}

#[test]
fn a_recording_is_planned_for_and_not_changed() {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setups/two-networks.json");
    let world = World::new(two_networks);
    let ran = Doctor::at(&world.engine).args(["fix", "--yes", "--replay"]).args([&recording]).run();
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stdout.contains("nothing was done: a recording cannot be changed"), "{ran:#?}");
    assert_eq!(world.engine.asked(), [] as [&str; 0]);
}

#[test]
fn what_only_a_person_can_do_is_said() {
    let world = World::new(|state| state.options["mode"]["value"] = json!(["regular"]));
    let ran = world.doctor(["--yes"]).run();
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stdout.contains("  you   let the mode of mitmproxy be reverse:"), "{ran:#?}");
    assert!(ran.stdout.contains("nothing here can be applied: a person has to do it"), "{ran:#?}");
    let fixed = world.fix(["--yes"]);
    assert_eq!(fixed.outcomes(), ["reverse-mode skipped"]);
    assert_eq!(fixed.reason(0), "a person has to do it");
    assert_eq!(world.written(), [] as [&str; 0]);
}

#[test]
fn warnings_are_fixed_only_when_their_check_is_named() {
    let world = World::new(host_rewritten);
    let ran = world.doctor(["--yes"]).run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stdout.contains("doctor fix keep-host-header would fix a warning"), "{ran:#?}");
    assert_eq!(world.written(), [] as [&str; 0]);
    assert_eq!(world.fix(["--yes", "shared-network"]).outcomes(), [] as [&str; 0]);
    assert_eq!(world.fix(["--yes", "keep-host-header"]).outcomes(), ["keep-host-header applied"]);
}

#[test]
fn what_follows_from_something_else_is_not_planned_for() {
    let world = World::new(paused);
    let fixed = world.fix(["--dry-run", "flows-nonzero"]);
    assert_eq!(fixed.outcomes(), [] as [&str; 0]);
    let world = World::new(|state| {
        two_networks(state);
        host_rewritten(state);
    });
    assert_eq!(world.fix(["--dry-run"]).outcomes(), ["shared-network planned"]);
}

#[test]
fn an_id_that_does_not_exist_gets_a_guess() {
    let ran = Doctor::new().args(["fix", "shared-netwrok"]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("did you mean `shared-network`?"), "{ran:#?}");
}

// --------------------------------------------------------------------------------------------------------- the engine

#[test]
fn containers_are_connected_over_the_engine() {
    let world = World::new(two_networks);
    let fixed = world.fix(["--yes"]);
    assert_eq!(fixed.outcomes(), ["shared-network applied"], "{:#}", fixed.value);
    assert_eq!(fixed.changed("gone"), ["shared-network"]);
    assert_eq!((fixed.value["before"]["status"].as_str(), fixed.ran.code), (Some("fail"), 0), "{:#}", fixed.value);
    let writes = world.writes();
    assert_eq!(world.written(), ["POST /networks/edge-net/connect"]);
    assert_eq!(writes[0].json()["Container"], id("mitmproxy"));
}

#[test]
fn a_network_is_made_for_those_that_share_none_where_names_are_known() {
    let bridge = |state: &mut State| {
        for name in ["caddy", "mitmproxy", "backend"] {
            on_network(state, name, "bridge");
        }
    };
    let world = World::new(bridge);
    let fixed = world.fix(["--yes", "shared-network"]);
    assert_eq!(fixed.outcomes()[0], "shared-network applied", "{:#}", fixed.value);
    let writes = world.writes();
    assert_eq!((writes[0].route.as_str(), &writes[0].json()["Name"]), ("POST /networks/create", &json!("caddy-net")));
    let connected: Vec<(&str, Value)> =
        writes[1..3].iter().map(|own| (own.route.as_str(), own.json()["Container"].clone())).collect();
    let connect = "POST /networks/caddy-net/connect";
    assert_eq!(connected, [(connect, json!(id("caddy"))), (connect, json!(id("mitmproxy")))]);

    // One that is there by then is somebody else's.
    let world = World::new(|state| {
        bridge(state);
        state.after_list = Some(|state| state.networks.push("caddy-net".to_owned()));
    });
    let fixed = world.fix(["--yes", "shared-network"]);
    assert!(
        fixed.reason(0).starts_with("there is a network caddy-net meanwhile; nothing was done"),
        "{}",
        fixed.reason(0)
    );
    assert_eq!(world.written(), [] as [&str; 0]);
}

#[test]
fn a_paused_container_goes_on() {
    let world = World::new(paused);
    let fixed = world.fix(["--yes"]);
    assert_eq!(fixed.outcomes(), ["container-health applied"], "{:#}", fixed.value);
    assert_eq!(world.written(), [format!("POST /containers/{}/unpause", id("mitmproxy"))]);
    assert_eq!(fixed.ran.code, 0);
}

#[test]
fn yes_leaves_alone_what_is_disruptive() {
    // Its port is held by this test, so it would have to be made anew with another one.
    let world = World::new(|state| state.containers[1]["State"]["Status"] = json!("exited"));
    let fixed = world.fix(["--yes"]);
    assert_eq!(fixed.outcomes(), ["port-conflict skipped", "container-health applied"], "{:#}", fixed.value);
    assert!(fixed.reason(0).contains("disruptive: run doctor fix at a terminal"), "{}", fixed.reason(0));
    assert_eq!(world.written(), [format!("POST /containers/{}/start", id("mitmproxy"))]);
}

#[test]
fn a_container_that_is_another_one_now_is_left_alone() {
    let gone: fn(&mut State) = |state| _ = state.containers.remove(1);
    let renamed: fn(&mut State) = |state| state.containers[1]["Name"] = json!("/old-mitmproxy");
    let made_anew: fn(&mut State) = |state| state.containers[1]["Id"] = json!(id("new"));
    for (happens, words) in [
        (gone, "mitmproxy is not there any more; nothing was done"),
        (renamed, "mitmproxy is called old-mitmproxy now; nothing was done"),
        (made_anew, "mitmproxy was made anew since the doctor looked; nothing was done"),
    ] {
        for broken in [two_networks as fn(&mut State), host_rewritten] {
            let world = World::new(|state| {
                broken(state);
                state.after_list = Some(happens);
            });
            let fixed = world.fix(["--yes", "shared-network", "keep-host-header"]);
            assert_eq!(fixed.value["plan"][0]["outcome"], "failed", "{:#}", fixed.value);
            assert!(fixed.reason(0).starts_with(words), "{}", fixed.reason(0));
            assert_eq!(world.written(), [] as [&str; 0]);
        }
    }
}

#[test]
fn nothing_is_done_after_the_first_that_fails() {
    let world = World::new(|state| {
        two_networks(state);
        same_route_twice(state);
        state.refusal = Some("the disk is full");
    });
    let fixed = world.fix(["--yes", "shared-network", "caddy-route"]);
    assert_eq!(fixed.outcomes(), ["shared-network failed", "caddy-route skipped"], "{:#}", fixed.value);
    assert_eq!(fixed.reason(0), "connecting mitmproxy to edge-net: HTTP 500: the disk is full; nothing was done by it");
    assert_eq!(fixed.reason(1), "a fix before it failed");
    assert_eq!(fixed.ran.code, 1);
    assert_eq!(world.admin.writes().len(), 0);
}

// ------------------------------------------------------------------------------------------------------------- mitmweb

#[test]
fn an_option_is_set_with_a_token_of_ones_own_and_the_password() {
    let world = World::new(host_rewritten);
    let ran = world.doctor(["--yes", "keep-host-header", "--format", "json"]).env("DOCTOR_WEB_PASSWORD", "a b&c").run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(!ran.stdout.contains("a b&c"), "{ran:#?}");
    let writes = world.writes();
    assert_eq!(world.written(), ["PUT /options"]);
    assert_eq!(writes[0].json(), json!({"keep_host_header": true}));
    assert_eq!(writes[0].header("x-xsrftoken"), "doctor");
    assert_eq!(writes[0].header("cookie"), "_xsrf=doctor; _mitmproxy_xsrf=doctor");
    assert_eq!(writes[0].header("content-type"), "application/json");
    assert_eq!((writes[0].query.as_str(), writes[0].header("authorization")), ("token=a%20b%26c", "Bearer a b&c"));
}

#[test]
fn an_option_that_somebody_changed_meanwhile_is_left_alone() {
    let world = World::new(|state| {
        regular_mode(state);
        state.after_list = Some(|state| state.options["mode"]["value"] = json!(["socks5"]));
    });
    let fixed = world.fix(["--yes", "reverse-mode"]);
    assert_eq!(fixed.outcomes()[0], "reverse-mode failed", "{:#}", fixed.value);
    assert!(
        fixed.reason(0).starts_with("mode of mitmproxy is not what it was when the doctor looked; nothing was done")
    );
    assert_eq!(world.written(), [] as [&str; 0]);
}

#[test]
fn a_mode_that_cannot_listen_is_said_to() {
    let world = World::new(regular_mode);
    let fixed = world.fix(["--yes"]);
    assert_eq!(fixed.outcomes(), ["reverse-mode applied"], "{:#}", fixed.value);
    let mode = world.writes()[0].json()["mode"][0].as_str().unwrap().to_owned();
    assert!(mode.starts_with("reverse:http://backend:3000"), "{mode}");

    let world = World::new(|state| {
        regular_mode(state);
        let happens: fn(&mut State) =
            |state| state.cannot_listen = Some("[Errno 98] address already in use".to_owned());
        state.after_list = Some(happens);
    });
    let fixed = world.fix(["--yes", "reverse-mode"]);
    assert_eq!(fixed.outcomes()[0], "reverse-mode failed", "{:#}", fixed.value);
    assert!(fixed.reason(0).contains("cannot listen: [Errno 98] address already in use"), "{}", fixed.reason(0));
}

// --------------------------------------------------------------------------------------------------------------- Caddy

const DIAL: &str = "/config/apps/http/servers/srv0/routes/0/handle/0/upstreams/0/dial";

#[test]
fn a_dial_is_set_on_the_condition_that_it_is_still_what_it_was() {
    for etag in [Etag::Header, Etag::Trailer, Etag::None] {
        let world = World::new(|state| {
            wrong_port(state);
            state.etag = etag;
        });
        let fixed = world.fix(["--yes"]);
        assert_eq!(fixed.outcomes(), ["caddy-dial applied"], "{:#}", fixed.value);
        assert_eq!(fixed.ran.code, 0);
        assert_eq!(world.written(), [format!("POST {DIAL}")]);
        let write = &world.writes()[0];
        assert_eq!((write.json(), write.header("content-type")), (json!("mitmproxy:8080"), "application/json"));
        let condition = format!("\"{DIAL} {}\"", hash(&json!("mitmproxy:8081")));
        assert_eq!(write.header("if-match"), if etag == Etag::None { "" } else { condition.as_str() });
        assert_eq!(world.config(DIAL), "mitmproxy:8080");
    }
}

#[test]
fn what_somebody_else_changes_at_the_same_time_stays() {
    for etag in [Etag::Header, Etag::Trailer] {
        let world = World::new(|state| {
            wrong_port(state);
            state.etag = etag;
            state.before_write = Some(|state| set_routes(state, &json!([route("*.example.test", "other:1")])));
        });
        let fixed = world.fix(["--yes"]);
        assert_eq!(fixed.outcomes(), ["caddy-dial failed"], "{:#}", fixed.value);
        assert_eq!(
            fixed.reason(0),
            format!("somebody else changed {DIAL} of caddy meanwhile; nothing was done; look again with doctor")
        );
        assert_eq!(world.config(DIAL), "other:1");
    }
}

#[test]
fn what_is_not_any_more_what_was_judged_is_not_even_tried() {
    let other_route: fn(&mut State) = |state| {
        let routes = json!([route("new.example.test", "mitmproxy:8081"), route("*.example.test", "mitmproxy:8081")]);
        set_routes(state, &routes);
    };
    for (broken, check) in [(wrong_port as fn(&mut State), "caddy-dial"), (wrong_order, "caddy-route")] {
        for etag in [Etag::Header, Etag::None] {
            let world = World::new(|state| {
                broken(state);
                state.etag = etag;
                state.after_look = Some(other_route);
            });
            let fixed = world.fix(["--yes", check]);
            assert_eq!(fixed.outcomes()[0], format!("{check} failed"), "{:#}", fixed.value);
            assert!(fixed.reason(0).contains("of caddy is not what it was when the doctor looked; nothing was done"));
            assert_eq!(world.written(), [] as [&str; 0]);
        }
    }
}

#[test]
fn several_dials_of_one_route_are_set_one_after_the_other() {
    let world = World::new(|state| {
        let mut own = route("*.example.test", "mitmproxy:8081");
        own["handle"][0]["upstreams"] =
            json!([{"dial": "mitmproxy:8081"}, {"dial": "mitmproxy:8081", "max_requests": 2}]);
        set_routes(state, &json!([own, route("other.test", "mitmproxy:8081")]));
    });
    let fixed = world.fix(["--yes"]);
    assert!(fixed.outcomes().iter().all(|own| own == "caddy-dial applied"), "{:#}", fixed.value);
    assert!(!world.config("").to_string().contains("8081"), "{:#}", world.config(""));
}

#[test]
fn a_route_is_moved_at_once_and_never_shown() {
    let world = World::new(wrong_order);
    let before = world.config(ROUTES);
    let fixed = world.fix(["--yes"]);
    assert_eq!(fixed.outcomes(), ["caddy-route applied"], "{:#}", fixed.value);
    assert_eq!(fixed.changed("gone"), ["caddy-route"]);
    assert_eq!(world.config(ROUTES), json!([before[1], before[0]]));
    assert_eq!(world.written(), [format!("PATCH {ROUTES}")]);
    assert_eq!(world.writes()[0].header("if-match"), format!("\"{ROUTES} {}\"", hash(&before)));
    assert!(!fixed.ran.stdout.contains(SECRET) && !fixed.ran.stderr.contains(SECRET));
}

#[test]
fn a_route_is_added_before_the_others() {
    let world = World::new(only_files);
    let before = world.config(ROUTES);
    let fixed = world.fix(["--yes", "--host", "api.example.test"]);
    assert_eq!(fixed.outcomes(), ["caddy-route applied"], "{:#}", fixed.value);
    assert_eq!(world.written(), [format!("PUT {ROUTES}/0")]);
    assert_eq!(world.writes()[0].header("if-match"), format!("\"{ROUTES} {}\"", hash(&before)));
    assert_eq!(world.config(ROUTES)[1], before[0]);
    assert_eq!(world.config(ROUTES)[0]["match"], json!([{"host": ["api.example.test"]}]));
    let undo = fixed.value["plan"][0]["undo"][0].as_str().unwrap();
    assert!(undo.contains("DELETE %s HTTP/1.1") && undo.contains(&format!("{ROUTES}/0")), "{undo}");
}

#[test]
fn a_route_that_is_removed_is_kept_for_this_user_alone() {
    let world = World::new(same_route_twice);
    let before = world.config(ROUTES);
    let folder = Folder::new();
    let ran = world.doctor(["--yes", "caddy-route", "--format", "json"]).in_folder(&folder).run();
    assert_eq!(ran.code, 0, "{ran:#?}");
    let file = folder.path("caddy-route-srv0-1.json");
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(&file).unwrap()).unwrap(), before[1]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(world.config(ROUTES), json!([before[0]]));
    assert_eq!(world.written(), [format!("DELETE {ROUTES}/1")]);
    assert_eq!(world.writes()[0].header("if-match"), format!("\"{ROUTES} {}\"", hash(&before)));
    assert!(!ran.stdout.contains(SECRET), "{ran:#?}");

    // What is in the file is not lost to another removal.
    let world = World::new(same_route_twice);
    let ran = world.doctor(["--yes", "caddy-route"]).in_folder(&folder).run();
    assert!(ran.stdout.contains("failed  remove route 1"), "{ran:#?}");
    assert_eq!(world.written(), [] as [&str; 0]);
    assert!(file.exists());
}

// ------------------------------------------------------------------------------------------------------------- by exec

/// Tools as an image may have them, on a `PATH` of their own.
fn tools(folder: &Folder, own: &[(&str, &str)], of_system: &[&str]) -> String {
    let bin = folder.path("bin");
    fs::create_dir_all(&bin).unwrap();
    for (name, text) in own {
        let file = folder.file(&format!("bin/{name}"), text);
        fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }
    for name in of_system {
        let path = std::env::var_os("PATH").unwrap();
        let found = std::env::split_paths(&path).map(|folder| folder.join(name));
        let found: Vec<PathBuf> = found.filter(|path| path.is_file()).collect();
        std::os::unix::fs::symlink(found.last().unwrap_or_else(|| panic!("no {name}")), bin.join(name)).unwrap();
    }
    bin.display().to_string()
}

/// What `nc` does: sends what it is given, and prints what comes back. busybox closes its own side before.
const NC: &str = "#!/bin/bash
exec 3<>\"/dev/tcp/$1/${FAKE_PORT:-$2}\" || exit 1
cat >&3
cat <&3
";

/// What busybox' `wget -qO- URL` does.
const WGET: &str = "#!/bin/bash
while [ $# -gt 1 ]; do case $1 in --post-data) data=$2;; esac; shift; done
rest=${1#http://} host=${rest%%/*}
exec 3<>\"/dev/tcp/127.0.0.1/${FAKE_PORT:-${host##*:}}\" || exit 1
if [ -n \"$data\" ]; then
  printf 'POST /%s HTTP/1.0\\r\\nHost: %s\\r\\nContent-Type: application/json\\r\\nContent-Length: %s\\r\\n\\r\\n%s' \"${rest#*/}\" \"$host\" ${#data} \"$data\" >&3
else
  printf 'GET /%s HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n' \"${rest#*/}\" \"$host\" >&3
fi
read -r version status words <&3
[ \"$status\" = 200 ] || exit 1
while read -r line <&3 && [ \"$line\" != $'\\r' ]; do :; done
cat <&3
";

#[test]
fn what_is_not_published_is_written_to_by_exec() {
    let folder = Folder::new();
    let busybox = tools(&folder, &[("nc", NC), ("wget", WGET)], &["sh", "bash", "cat"]);
    let other = Folder::new();
    let with_bash = tools(&other, &[("wget", WGET)], &["sh", "bash", "cat"]);
    for path in [busybox, with_bash] {
        for etag in [Etag::Header, Etag::Trailer] {
            let world = World::new(|state| {
                wrong_order(state);
                state.etag = etag;
                state.has_exec = true;
                state.exec_path.clone_from(&path);
            });
            {
                let mut state = world.state.lock().unwrap();
                let caddy = &mut state.containers[0];
                caddy["HostConfig"]["PortBindings"] = json!({});
                caddy["Config"]["Env"] = json!([format!("CADDY_ADMIN=127.0.0.1:{}", world.admin.port)]);
            }
            let before = world.config(ROUTES);
            let fixed = world.fix(["--yes", "caddy-route"]);
            assert_eq!(fixed.outcomes(), ["caddy-route applied"], "{:#}", fixed.value);
            assert_eq!(world.config(ROUTES), json!([before[1], before[0]]));
            assert_eq!(world.written(), [format!("PATCH {ROUTES}")]);
            // Trailers are not seen there; what was read right before is held against what was judged instead.
            let condition = format!("\"{ROUTES} {}\"", hash(&before));
            assert_eq!(world.writes()[0].header("if-match"), if etag == Etag::Header { &condition } else { "" });
            // Arguments are seen by everybody on the machine.
            let execs = world.state.lock().unwrap().execs.clone();
            assert!(execs.iter().all(|exec| !exec["Cmd"].to_string().contains(SECRET)), "{execs:#?}");
        }
    }
}

// ------------------------------------------------------------------------------------------------ what a person pastes

/// Runs a printed command as a person would, with a `docker` that runs what it is to run inside right here.
fn paste(command: &str, folder: &Folder, port: u16) -> std::process::Output {
    let docker = "#!/bin/sh\n[ \"$1\" = exec ] && shift || exit 9\n[ \"$1\" = -i ] && shift\nshift\nexec \"$@\"\n";
    let bin = folder.path("bin");
    let system = ["sh", "bash", "cat", "sed", "wc", "rm"];
    let path = if bin.exists() {
        bin.display().to_string()
    } else {
        tools(folder, &[("docker", docker), ("nc", NC), ("wget", WGET)], &system)
    };
    let work = folder.path("work");
    fs::create_dir_all(&work).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env_clear().env("PATH", path).env("FAKE_PORT", port.to_string()).current_dir(&work);
    shell.output().unwrap()
}

#[test]
fn the_printed_commands_do_it_and_put_it_back() {
    for (broken, check) in [
        (wrong_port as fn(&mut State), "caddy-dial"),
        (wrong_order, "caddy-route"),
        (only_files, "caddy-route"),
        (same_route_twice, "caddy-route"),
    ] {
        let world = World::new(broken);
        let before = world.config("");
        let step = world.fix(["--dry-run", "--host", "x.example.test", check]).value["plan"][0].clone();
        let folder = Folder::new();
        for (part, heals) in [("commands", true), ("undo", false), ("commands", true)] {
            for command in step[part].as_array().unwrap() {
                let ran = paste(command.as_str().unwrap(), &folder, world.admin.port);
                assert!(ran.status.success(), "{command}: {ran:#?}");
                assert_eq!(ran.stderr, b"", "{command}");
                let printed = String::from_utf8_lossy(&ran.stdout);
                assert!(!printed.contains(SECRET), "{command}: {printed}");
            }
            if heals {
                let left = world.fix(["--dry-run", "--host", "x.example.test", check]);
                assert_eq!(left.outcomes(), [] as [&str; 0], "{:#}", left.value);
            } else {
                assert_eq!(world.config(""), before, "{check}: {}", step["undo"]);
            }
        }
    }
}

#[test]
fn a_printed_command_fails_when_caddy_says_no_and_loses_nothing() {
    let world = World::new(wrong_order);
    let step = world.fix(["--dry-run", "caddy-route"]).value["plan"][0].clone();
    let command = step["commands"][0].as_str().unwrap();
    let folder = Folder::new();
    // Somebody else gives another route the same id, in the moment in which it is out.
    world.state.lock().unwrap().before_write = Some(|state| {
        let mut other = route("new.example.test", "x:1");
        other["@id"] = json!("api");
        let routes = state.config.pointer_mut("/apps/http/servers/srv0/routes").unwrap().as_array_mut().unwrap();
        routes.push(other);
    });
    let ran = paste(command, &folder, world.admin.port);
    assert!(!ran.status.success(), "{ran:#?}");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("duplicate ID"), "{ran:#?}");
    let kept = folder.path("work/caddy-route-srv0-1.json");
    assert!(fs::read_to_string(kept).unwrap().contains(SECRET), "what could not be put back is kept");

    // A file that is there already is not written over, and then nothing is done at all.
    let world = World::new(wrong_order);
    let before = world.config("");
    let ran = paste(command, &folder, world.admin.port);
    assert!(!ran.status.success(), "{ran:#?}");
    assert_eq!(world.config(""), before);

    // Nobody answers.
    let nobody = fakes::RefusingPort::new();
    let ran = paste(step["undo"][0].as_str().unwrap(), &Folder::new(), nobody.port);
    assert!(!ran.status.success(), "{ran:#?}");
}

// -------------------------------------------------------------------------------------------------------- at a terminal

/// Runs `doctor fix` at a terminal of its own, and types these lines.
#[cfg(target_os = "linux")]
fn at_a_terminal(world: &World, arguments: &str, typed: &str) -> Ran {
    let program = env!("CARGO_BIN_EXE_doctor");
    let line = format!("{program} fix {} {arguments}", PARTS.join(" "));
    let folder = Folder::new();
    let typed = folder.file("typed", typed);
    let mut command = Command::new("sh");
    command.args(["-c", "cat \"$1\" | script -qec \"$2\" /dev/null", "sh"]).arg(typed).arg(line);
    Doctor::of(command)
        .env("DOCKER_HOST", format!("tcp://127.0.0.1:{}", world.engine.port))
        .env("NO_COLOR", "1")
        .env("LC_ALL", "C.UTF-8")
        .run()
}

#[cfg(target_os = "linux")]
#[test]
fn at_a_terminal_each_is_asked_for() {
    let broken = |state: &mut State| {
        two_networks(state);
        same_route_twice(state);
    };
    let checks = "shared-network caddy-route";
    let removed = [format!("DELETE {ROUTES}/1")];
    let connected = ["POST /networks/edge-net/connect".to_owned()];

    let world = World::new(broken);
    let ran = at_a_terminal(&world, checks, "y\nn\n");
    assert!(ran.stdout.contains("1 of 2: connect mitmproxy to caddy's network? [y/n/q]"), "{ran:#?}");
    assert!(ran.stdout.contains("left out  remove route 1 (@id api)"), "{ran:#?}");
    assert!(ran.stdout.contains("gone  shared-network"), "{ran:#?}");
    assert_eq!(world.written(), connected);

    let world = World::new(broken);
    let ran = at_a_terminal(&world, checks, "what?\nn\ny\n");
    assert!(ran.stdout.contains("left out  connect mitmproxy to caddy's network: you said no"), "{ran:#?}");
    assert_eq!((world.written(), ran.code), (removed.to_vec(), 1), "{ran:#?}");

    let world = World::new(broken);
    let ran = at_a_terminal(&world, checks, "q\n");
    assert!(ran.stdout.contains("you ended it"), "{ran:#?}");
    assert_eq!((world.written(), ran.code), (Vec::new(), 1));
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_disruptive_is_run_when_a_person_says_yes_and_its_output_is_shown() {
    let world = World::new(|state| state.containers[1]["State"]["Status"] = json!("exited"));
    // There is no docker in that environment but this one.
    let folder = Folder::new();
    let docker = "#!/bin/sh\nprintf 'asked: %s\\033[31m\\n' \"$1\"\nexit 1\n";
    let path = tools(&folder, &[("docker", docker)], &["sh", "cat", "script", "mktemp", "rm", "tr", "xargs", "grep"]);
    let program = env!("CARGO_BIN_EXE_doctor");
    let line = format!("{program} fix {}", PARTS.join(" "));
    let typed = folder.file("typed", "y\n");
    let mut command = Command::new("sh");
    command.args(["-c", "cat \"$1\" | script -qec \"$2\" /dev/null", "sh"]).arg(typed).arg(line);
    let ran = Doctor::of(command)
        .env("DOCKER_HOST", format!("tcp://127.0.0.1:{}", world.engine.port))
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .run();
    assert!(ran.stdout.contains("It is disruptive. [y/n/q]"), "{ran:#?}");
    assert!(ran.stdout.contains("asked: rename\\u{1b}[31m"), "{ran:#?}");
    assert!(ran.stdout.contains("failed  publish mitmproxy on"), "{ran:#?}");
    assert_eq!(world.written(), [] as [&str; 0], "the second one was not run");
}

// --------------------------------------------------------------------------------------------------------------- files

#[test]
fn what_was_done_goes_into_files_as_well() {
    let world = World::new(two_networks);
    let folder = Folder::new();
    let (json, text) = (folder.path("fix.json"), folder.path("fix.txt"));
    let targets = [format!("json={}", json.display()), format!("text={}", text.display())];
    let ran = world.doctor(["--yes"]).args(["-o", &targets[0], "-o", &targets[1]]).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    assert_valid(&serde_json::from_slice(&fs::read(json).unwrap()).unwrap());
    let text = fs::read_to_string(text).unwrap();
    assert!(text.contains("done  connect mitmproxy to caddy's network"), "{text}");
}

#[test]
fn the_schema_does_say_something() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fix.schema.json");
    let schema: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let good = World::new(two_networks).fix(["--yes"]).value;
    for (at, wrong) in [
        ("/schema", json!(2)),
        ("/plan/0/outcome", json!("done")),
        ("/plan/0/outcome", json!("failed")),
        ("/plan/0/apply", json!("manual")),
        ("/before/status", json!("bad")),
        ("/changed/gone", json!(null)),
        ("/exit_code", json!(2)),
    ] {
        let mut document = good.clone();
        *document.pointer_mut(at).unwrap() = wrong;
        assert!(!validator.is_valid(&document), "{at}");
    }
}
