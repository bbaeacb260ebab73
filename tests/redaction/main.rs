//! No secret is in anything that the doctor writes: canaries stand in every place where a secret can be, each of its own, so
//! that a failure names the place and the output. That each was really in an answer that the doctor got is tested as well.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests")]

#[path = "../fakes/mod.rs"]
mod fakes;
mod places;

use std::{collections::BTreeSet, fs};

use fakes::{Answer, Behaviour, Doctor, Folder, Ran, Running, Server, Setup, id};
use places::{Canaries, caddy_config, command_line, engine, give, lines, mitmweb};
use serde_json::{Value, json};

// ------------------------------------------------------------------------------------------------------------- setups

/// A setup with canaries in every place, before it is started.
struct Planted {
    canaries: Canaries,
    setup: Setup,
}

impl Planted {
    fn new(mode: &str) -> Self {
        let mut canaries = Canaries::default();
        let setup = Setup {
            admin: fakes::admin(&caddy_config(&mut canaries)),
            mitmweb: mitmweb(&mut canaries, mode),
            engine: engine(&mut canaries),
        };
        Self { canaries, setup }
    }

    fn on_engine(&mut self, route: &str, behaviour: impl Into<Behaviour>) {
        self.setup.engine = std::mem::take(&mut self.setup.engine).on(route, behaviour);
    }

    fn start(self, change: impl FnOnce(&mut Canaries, &mut Vec<Value>)) -> (Canaries, Running) {
        let Self { mut canaries, setup } = self;
        let running = setup.start_with(|containers| {
            let words = command_line(&mut canaries);
            (containers[1]["Path"], containers[1]["Args"]) = (json!(words[0]), json!(words[1..]));
            containers[1]["Config"]["Cmd"] = json!(words);
            containers.iter_mut().for_each(|container| give(&mut canaries, container));
            change(&mut canaries, containers);
        });
        (canaries, running)
    }
}

/// In front of a setup, in an environment with secrets of its own.
fn doctor(running: &Running, canaries: &[(&str, &str)]) -> Doctor {
    let doctor = Doctor::at(&running.engine).env("DOCTOR_CADDY", "caddy").env("DOCTOR_MITMPROXY", "mitmproxy");
    canaries.iter().fold(doctor, |doctor, (name, value)| doctor.env(name, *value))
}

fn end(container: &mut Value) {
    container["State"]["Status"] = json!("exited");
    container["State"]["Running"] = json!(false);
    container["State"]["ExitCode"] = json!(1);
}

// ------------------------------------------------------------------------------------------------------------ outputs

/// Runs the doctor in every way that writes something, and gives each text with its name.
fn outputs(doctor: &dyn Fn() -> Doctor) -> Vec<(String, String)> {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name).display().to_string();
    let mut all = look(doctor, &folder);
    let mut add = |name: &str, ran: Ran| all.extend(said(name, ran));
    add("doctor -v --probe", doctor().args(["-v", "--probe", "--record", &path("facts-probe")]).run());
    add("doctor fix --dry-run", doctor().args(["fix", "--dry-run", "-vv"]).run());
    add("doctor fix --format json", doctor().args(["fix", "--format", "json"]).run());
    add("doctor report", doctor().args(["report", "-vv", "--attach", &path("attached")]).run());
    add("doctor --replay", Doctor::new().args(["--format", "json", "-vv", "--replay", &path("attached")]).run());
    add("doctor init", doctor().in_folder(&folder).args(["init", "-vv"]).run());
    let own = format!(
        "[[check]]\nid = \"own\"\ntitle = \"Is it?\"\ncommand = [\"tee\", {:?}]\n",
        path("what a check of one's own is given")
    );
    let own = folder.file("own.toml", own).display().to_string();
    add("doctor --config", doctor().args(["--config", &own]).run());
    for name in folder.names() {
        let name = name.to_string_lossy().into_owned();
        all.push((format!("the file {name}"), fs::read_to_string(folder.path(&name)).unwrap()));
    }
    for file in ["facts", "facts-probe", "attached", "doctor.toml", "what a check of one's own is given", "summary"] {
        assert!(all.iter().any(|(name, _)| *name == format!("the file {file}")), "{file} was not written");
    }
    all
}

/// A look that is written in every format and recorded; the files are in the folder.
fn look(doctor: &dyn Fn() -> Doctor, folder: &Folder) -> Vec<(String, String)> {
    let path = |name: &str| folder.path(name).display().to_string();
    let files = ["short", "json", "markdown", "github", "junit"].map(|format| format!("{format}={}", path(format)));
    let doctor = doctor().args(["-vv", "--record", &path("facts")]).env("GITHUB_STEP_SUMMARY", path("summary"));
    let said = said("doctor -vv", doctor.args(files.iter().flat_map(|file| ["-o", file])).run());
    for file in ["facts", "short", "json", "markdown", "github", "junit"] {
        assert!(folder.path(file).exists(), "{file} was not written: {said:#?}");
    }
    said.into()
}

fn said(name: &str, ran: Ran) -> [(String, String); 2] {
    [(format!("standard output of {name}"), ran.stdout), (format!("standard error of {name}"), ran.stderr)]
}

/// What the doctor was told: by the fakes, and by its environment.
fn told(running: &Running, own: &[(&str, &str)]) -> String {
    let served = [&running.engine, &running.admin, &running.mitmweb].map(Server::served).concat();
    own.iter().map(|(_, value)| *value).chain([served.as_str()]).collect()
}

const REVERSE: &str = "reverse:http://backend:3000";

/// Nothing leaks, each secret was there to leak, and the setup was judged as it is.
fn assert_kept(canaries: &Canaries, running: &Running, own: &[(&str, &str)], judged: &str) {
    assert_kept_by(canaries, running, own, &|| doctor(running, own), judged);
}

fn assert_kept_by(
    canaries: &Canaries,
    running: &Running,
    own: &[(&str, &str)],
    doctor: &dyn Fn() -> Doctor,
    judged: &str,
) {
    let outputs = outputs(doctor);
    assert_told_and_kept(canaries, &told(running, own), &outputs, judged);
}

fn assert_told_and_kept(canaries: &Canaries, told: &str, outputs: &[(String, String)], judged: &str) {
    let leaks: BTreeSet<String> = outputs
        .iter()
        .flat_map(|(name, text)| canaries.seen_in(text).into_iter().map(move |place| format!("{place}, in {name}")))
        .collect();
    assert!(leaks.is_empty(), "these leaked:\n{}", Vec::from_iter(leaks).join("\n"));
    let told = canaries.seen_in(told);
    let places = canaries.0.iter().map(|(place, _)| place.as_str());
    let untold: Vec<&str> = places.filter(|place| !told.contains(place)).collect();
    assert!(untold.is_empty(), "the doctor was never told these: {untold:#?}");
    let report = outputs[0].1.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(report.contains(judged), "`{judged}` is not in the report:\n{report}");
}

// -------------------------------------------------------------------------------------------------------------- tests

#[test]
fn of_a_setup_that_works() {
    let mut planted = Planted::new(REVERSE);
    let password = planted.canaries.at("DOCTOR_WEB_PASSWORD");
    let proxy = format!("http://u:{}@proxy:1", planted.canaries.at("the doctor's own HTTP_PROXY"));
    let (canaries, running) = planted.start(|_, _| {});
    let own =
        [("DOCTOR_WEB_PASSWORD", password.as_str()), ("HTTP_PROXY", &proxy), ("DOCTOR_SKIP", "backend-reachable")];
    assert_kept(&canaries, &running, &own, "mitmproxy lists and counts only");
    assert!(running.mitmweb.requests().iter().any(|request| request.query.contains(&password)), "it was not sent");
    assert!(!running.mitmweb.asked().contains(&"GET /flows".to_owned()), "no flow may be asked for");
}

#[test]
fn of_parts_that_ended_with_a_log() {
    let mut planted = Planted::new(REVERSE);
    let of_mitmproxy = lines(&mut planted.canaries, "in mitmproxy's log");
    let last = format!("Traceback\nrunning with session={}", planted.canaries.at("the last line of the backend's log"));
    let console = "Error: mitmproxy's console interface requires a tty. Please run mitmproxy in an interactive shell.";
    planted.on_engine(&log_of("mitmproxy"), fakes::log(&format!("{console}\n{of_mitmproxy}")));
    planted.on_engine(&log_of("backend"), fakes::log(&last));
    let mut web = Vec::new();
    let (mut canaries, running) = planted.start(|canaries, containers| {
        containers[1]["Path"] = json!("mitmproxy");
        containers[1]["Config"]["Cmd"][0] = json!("mitmproxy");
        for (of, container) in [("mitmproxy", 1), ("the backend", 2)] {
            end(&mut containers[container]);
            let error = format!("exec: \"x --set web_password={}\"", canaries.at(format!("State.Error of {of}")));
            containers[container]["State"]["Error"] = json!(error);
        }
        web = std::mem::take(&mut canaries.0);
    });
    // Nobody asks a mitmweb that does not run.
    canaries.0 = web.into_iter().filter(|(place, _)| !place.ends_with(" of mitmweb")).collect();
    assert_kept(&canaries, &running, &[], "docker create --name mitmproxy");
}

#[test]
fn of_parts_that_are_not_well() {
    let mut planted = Planted::new(REVERSE);
    planted.on_engine(&log_of("caddy"), fakes::log("nothing"));
    let (canaries, running) = planted.start(|canaries, containers| {
        for (of, container) in [("caddy", 0), ("mitmproxy", 1)] {
            let output: Vec<String> =
                lines(canaries, &format!("in a health check of {of}")).lines().map(str::to_owned).collect();
            let log: Vec<Value> =
                output.chunks(3).map(|lines| json!({"ExitCode": 1, "Output": lines.join("\n")})).collect();
            containers[container]["State"]["Health"] = json!({"Status": "unhealthy", "FailingStreak": 3, "Log": log});
        }
    });
    assert_kept(&canaries, &running, &[], "health check");
}

#[test]
fn of_a_mitmproxy_in_another_mode_that_holds_requests() {
    let mut planted = Planted::new(REVERSE);
    let password = planted.canaries.at("the password of a mode");
    let mode = format!("upstream:http://u:{password}@b:1");
    planted.setup.mitmweb = mitmweb(&mut planted.canaries, &mode);
    // Whether flows are held is not to be had without them; of each that alone is kept.
    let mut at = |place: &str| planted.canaries.at(format!("{place} of a flow"));
    let flows = json!([{"intercepted": true, "request": {"path": format!("/?t={}", at("the query")), "headers":
        [["Authorization", format!("Bearer {}", at("Authorization"))], ["Cookie", at("a cookie")]]},
        "error": {"msg": at("the error")}}]);
    let mitmweb = std::mem::take(&mut planted.setup.mitmweb);
    let options = json!({
        "mode": {"value": [mode]}, "intercept": {"value": format!("~hq Cookie: {}", at("the filter"))},
        "intercept_active": {"value": true},
    });
    let answer = |value: &Value| Answer::json(value).header("Server", "mitmproxy 10.4.2");
    planted.setup.mitmweb = mitmweb.on("GET /options", answer(&options)).on("GET /flows", answer(&flows));
    planted.canaries.0.retain(|(place, _)| !place.ends_with(" of mitmweb"));
    let (canaries, running) = planted.start(|_, _| {});
    assert_kept(&canaries, &running, &[], "mitmproxy holds ");
}

#[test]
fn of_a_port_that_is_taken() {
    let planted = Planted::new(REVERSE);
    let (mut canaries, running) = planted.start(|canaries, containers| {
        end(&mut containers[0]);
        containers[0]["State"]["Status"] = json!("created");
        let secret = canaries.at("State.Error of caddy");
        containers[0]["State"]["Error"] = json!(format!(
            "driver failed programming external connectivity (token: {secret}): Bind for 127.0.0.1:61080 failed: port is already allocated"
        ));
    });
    canaries.0.retain(|(place, _)| !place.ends_with(" in Caddy's config"));
    assert_kept(&canaries, &running, &[], "61080");
}

#[test]
fn of_apis_that_refuse() {
    for (status, form) in
        [(403, "X"), (500, "X"), (200, "\"X\""), (200, "{\"apps\":\"X\"}"), (200, "{\"mode\":\"X\"}"), (200, "[\"X\"]")]
    {
        let mut planted = Planted::new(REVERSE);
        planted.canaries.0.retain(|(place, _)| place.ends_with(" of the engine"));
        let mut body = |of: &str| {
            form.replace('X', &format!("token={}", planted.canaries.at(format!("an answer of {of}, {status} {form}"))))
        };
        let (admin, web, version) = (body("Caddy"), body("mitmweb"), body("a container's inspect"));
        planted.setup.admin = fakes::Routes::all(Answer::text(status, &admin));
        planted.setup.mitmweb = fakes::Routes::all(Answer::text(status, &web).header("Server", "mitmproxy 11.1.3"));
        planted.on_engine(&format!("GET /containers/{}/json", id("backend")), Answer::text(status.max(400), &version));
        let (mut canaries, running) = planted.start(|_, _| {});
        canaries.0.retain(|(place, _)| !place.ends_with(" of backend"));
        assert_kept(&canaries, &running, &[("DOCTOR_WEB_PASSWORD", "wrong")], "could not be looked at");
    }
}

#[test]
fn of_what_commands_in_containers_print() {
    let mut planted = Planted::new(REVERSE);
    let printed = format!("sh: password={} is wrong", planted.canaries.at("what a command printed"));
    for name in ["caddy", "mitmproxy"] {
        planted.on_engine(&format!("POST /containers/{name}/exec"), Answer::json(&json!({"Id": "e1"})));
    }
    let refused = json!({"message": format!("no exec: token={}", planted.canaries.at("why there is no exec"))});
    planted.on_engine("POST /containers/backend/exec", Answer::json(&refused).with_status(500));
    planted.on_engine("POST /exec/e1/start", Behaviour::Exec(vec!["/bin/echo".into(), printed], Vec::new()));
    // Nothing is published, so that exec is the only way.
    let (mut canaries, running) = planted.start(|_, containers| {
        containers.iter_mut().for_each(|container| container["HostConfig"]["PortBindings"] = json!({}));
        containers[2]["Path"] = json!("caddy");
        containers[2]["Args"] = json!(["run"]);
    });
    canaries.0.retain(|(place, _)| !place.ends_with(" of mitmweb") && !place.ends_with(" in Caddy's config"));
    let doctor = || Doctor::at(&running.engine);
    assert_kept_by(&canaries, &running, &[], &doctor, "unknown");
}

#[test]
fn of_addresses_that_are_given() {
    let mut planted = Planted::new(REVERSE);
    let mut user =
        |of: &str| format!("u:{}/{}", planted.canaries.at(of), planted.canaries.at(format!("{of}, behind a slash")));
    let (engine, admin, web) = (user("DOCKER_HOST"), user("--caddy"), user("--mitmproxy"));
    let bare = format!("u:{}", planted.canaries.at("--mitmproxy without a scheme"));
    let (canaries, running) = planted.start(|_, _| {});
    let engine = format!("tcp://{engine}@127.0.0.1:{}", running.engine.port);
    let admin = format!("http://{admin}@127.0.0.1:{}", running.admin.port);
    let web = format!("http://{web}@127.0.0.1:{}", running.mitmweb.port);
    let bare = format!("{bare}@127.0.0.1:{}", running.mitmweb.port);
    let own = [("DOCKER_HOST", engine.as_str()), ("DOCTOR_CADDY", &admin), ("DOCTOR_MITMPROXY", &web)];
    assert_kept(&canaries, &running, &[own.as_slice(), &[("BARE", &bare)]].concat(), "mitmproxy lists and counts only");
    let own = [own[0], own[1], ("DOCTOR_MITMPROXY", &bare), ("WEB", &web)];
    assert_kept(&canaries, &running, &own, "there is no container");
}

#[test]
fn of_the_docker_configuration() {
    let planted = Planted::new(REVERSE);
    let (mut canaries, running) = planted.start(|_, _| {});
    let (auth, user) = (canaries.at("a registry's auth"), canaries.at("the endpoint of a context"));
    let config = json!({"currentContext": "far", "auths": {"r": {"auth": auth}}}).to_string();
    let endpoint = format!("tcp://u:{user}@127.0.0.1:{}?token={}", running.engine.port, canaries.at("its query"));
    let meta = json!({"Name": "far", "Endpoints": {"docker": {"Host": endpoint}}}).to_string();
    let own = [("CONFIG", config.as_str()), ("META", meta.as_str())];
    let of_context = || {
        let doctor = doctor(&running, &own).without_env("DOCKER_HOST");
        doctor.home().file(".docker/config.json", &config);
        doctor.home().file(".docker/contexts/meta/1/meta.json", &meta);
        doctor
    };
    assert_kept_by(&canaries, &running, &own, &of_context, "mitmproxy lists and counts only");
}

#[test]
fn of_a_password_file_and_what_is_no_recording() {
    let mut planted = Planted::new(REVERSE);
    let password = planted.canaries.at("--web-password-file");
    let wrong = Answer::text(403, "").header("Server", "mitmproxy 11.1.3");
    planted.setup.mitmweb = fakes::Routes::all(wrong);
    planted.canaries.0.retain(|(place, _)| !place.ends_with(" of mitmweb"));
    let (canaries, running) = planted.start(|_, _| {});
    let folder = Folder::new();
    let file = folder.file("password", &password).display().to_string();
    let own = [("DOCTOR_WEB_PASSWORD_FILE", file.as_str()), ("PASSWORD", &password)];
    assert_kept(&canaries, &running, &own, "does not take the password that it was given");
    assert!(running.mitmweb.requests().iter().any(|request| request.query.contains(&password)), "it was not sent");

    for text in
        [format!("{password:?}"), json!({"schema": 1, "doctor": 1, "engine": password}).to_string(), password.clone()]
    {
        let file = folder.file("facts.json", text);
        let ran = Doctor::new().args(["--replay", &file.display().to_string()]).run();
        assert!(ran.code == 2 && !format!("{ran:?}").contains(&password), "{ran:#?}");
    }
}

#[test]
fn of_answers_to_marked_requests() {
    let mut planted = Planted::new(REVERSE);
    let mut at = |place: &str| planted.canaries.at(format!("{place} of an answer to a probe"));
    let answer = Answer::text(302, &at("the body"))
        .header("Location", &format!("https://u:{}@h/?code={}", at("the password"), at("the query")))
        .header("Set-Cookie", &at("a cookie"))
        .header("X-Token", &at("a header"))
        .header("Via", "1.1 Caddy")
        .header("Server", "Caddy");
    let site = Server::start(fakes::Routes::all(answer));
    let (canaries, running) = planted.start(|_, containers| {
        containers[0]["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"] = json!(site.port.to_string());
    });
    let ran = doctor(&running, &[]).args(["--probe", "--format", "json"]).run();
    assert!(ran.stdout.contains("302"), "{ran:#?}");
    assert_kept(&canaries, &running, &[("SERVED", &site.served())], "mitmproxy lists and counts only");
}

/// `GET /containers/ID/logs`
fn log_of(name: &str) -> String {
    format!("GET /containers/{}/logs", id(name))
}

#[test]
fn of_a_compose_file() {
    let mut canaries = Canaries::default();
    let config = caddy_config(&mut canaries).to_string();
    let command = command_line(&mut canaries);
    let mut at = |place: &str| canaries.at(format!("{place} in the compose file"));
    let compose = json!({"services": {
        "caddy": {"image": "caddy:2.8.4", "command": "caddy run --config /etc/caddy/caddy.json",
            "environment": {"TOKEN": at("a variable"), "HTTP_PROXY": format!("http://u:{}@p:1", at("HTTP_PROXY"))},
            "labels": [format!("x={}", at("a label"))], "volumes": ["./caddy.json:/etc/caddy/caddy.json:ro"]},
        "mitmproxy": {"image": "mitmproxy/mitmproxy:10.4.2", "command": command,
            "environment": [format!("A={}", at("a variable in a list"))],
            "healthcheck": {"test": ["CMD", at("a health check")]}, "secrets": [at("a secret's name")]},
        "backend": {"image": "b", "expose": [3000], "build": {"args": {"X": at("an argument of a build")}}},
    }, "secrets": {"s": {"environment": at("a secret")}}, "x-own": at("an extension")})
    .to_string();
    let mut caddyfile = String::new();
    for line in ["http://u:{}@h {", "\treverse_proxy u:{}@b:1 {", "\t\theader_up X-Api-Key {}", "\t}", "}"] {
        let canary = if line.contains("{}") { canaries.at(format!("{line} in a Caddyfile")) } else { String::new() };
        caddyfile.push_str(&format!("{}\n", line.replacen("{}", &canary, 1)));
    }
    let engine = Server::start(fakes::engine(&[]));
    let mut outputs = Vec::new();
    let other = compose.replace("caddy.json", "Caddyfile");
    for (compose, name, config) in [(&compose, "caddy.json", &config), (&other, "Caddyfile", &caddyfile)] {
        let (folder, files) = (Folder::new(), Folder::new());
        folder.file(name, config);
        let file = folder.file("compose.yml", compose).display().to_string();
        let doctor = || Doctor::at(&engine).env("PATH", "/nowhere").args(["--project", "site", "--compose", &file]);
        outputs.extend(look(&doctor, &files));
        for name in files.names() {
            outputs.push((format!("{name:?}"), fs::read_to_string(files.path(&name.to_string_lossy())).unwrap()));
        }
    }
    assert_told_and_kept(&canaries, &[compose, config, caddyfile].concat(), &outputs, "site-mitmproxy-1");
}

#[test]
fn a_recording_lists_what_was_left_out_without_names_and_values() {
    let mut planted = Planted::new(REVERSE);
    planted.on_engine(&log_of("backend"), fakes::log("one\ntwo\nthree"));
    let (canaries, running) = planted.start(|_, containers| end(&mut containers[2]));
    let folder = Folder::new();
    let record = folder.path("facts.json").display().to_string();
    let ran = doctor(&running, &[]).args(["-vv", "--record", &record]).run();
    let facts: Value = serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    let left_out: Vec<String> = facts["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| format!("{}: {} {}", own["of"], own["what"], own["count"]))
        .collect();
    for (of, what, count) in [
        // PATH, TOKEN, HOME_PAGE and CADDY_ADMIN_PASSWORD; the proxies are kept.
        ("container caddy", "variables of its environment", "4"),
        ("container caddy", "labels", "4"),
        ("container caddy", "words of its command line", "4"),
        ("container mitmproxy", "values behind --set", "4"),
        ("container mitmproxy", "other options of its command line", "null"),
        ("container backend", "lines of its log", "2"),
        ("the networks", "labels", "1"),
        ("the images", "variables of their environments", "1"),
        ("the config of caddy", "parts beside its HTTP servers and its admin API", "4"),
        ("the config of caddy", "values of matchers other than host, path and method", "4"),
        ("the config of caddy", "handlers of which only the name is kept", "4"),
        ("mitmweb of mitmproxy", "values of options", "3"),
        ("mitmweb of mitmproxy", "events", "1"),
    ] {
        let line = format!("{of:?}: {what:?} {count}");
        assert!(left_out.contains(&line), "{line} is not listed:\n{}", left_out.join("\n"));
        let count = if count == "null" { String::new() } else { format!(" ({count})") };
        assert!(ran.stderr.contains(&format!("left out of {of}: {what}{count}\n")), "{}", ran.stderr);
    }
    assert_eq!(canaries.seen_in(&left_out.join("\n")), [""; 0]);
}
