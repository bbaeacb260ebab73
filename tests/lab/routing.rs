//! Generated route tables, loaded into a real Caddy: what it answers is what the model says.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use caddy_doctor_checks::model::{
    caddy::Server,
    route::{End, EndKind, Request, ends},
};
use serde_json::{Value, json};

use crate::{
    Setup,
    lab::{Lab, listens, wait_until},
};

pub(crate) const SETUPS: &[Setup] = &[Setup { name: "routing-as-caddy", up: |_| {}, then: as_caddy }];

const ADMIN: u16 = 22019;
const ENTRY: u16 = 28080;
/// One table each.
const SEEDS: u64 = 300;
const REQUESTS: usize = 12;

const HOSTS: &[&str] =
    &["a.example.com", "A.Example.COM", "b.example.com", "x.y.example.com", "localhost", "example.com:8080", "[::1]"];
const HOST_PATTERNS: &[&str] = &[
    "a.example.com",
    "A.EXAMPLE.com",
    "*.example.com",
    "b.*.com",
    "*.*.example.com",
    "*",
    "localhost",
    "example.com",
    "::1",
    "*.com",
];
const PATHS: &[&str] = &[
    "/",
    "/api",
    "/api/",
    "/api/v1",
    "/API/V1/x",
    "/api//v1/x",
    "/api/./v1/../v2",
    "/static/app.js",
    "/static/a/b.php",
    "/index.PHP?x=1",
    "//api",
    "/v1/x",
    "/foo%20bar",
    "/foo%2fbar",
    "/%61pi/v1",
    "/apis.",
    "/a@b/~c",
];
const PATH_PATTERNS: &[&str] = &[
    "/",
    "/*",
    "*",
    "/api",
    "/api/*",
    "/API*",
    "/api/V1",
    "*.php",
    "*/v1/*",
    "*api*",
    "/static/*.js",
    "/?pi",
    "/a[o-q]i/*",
    "/api/[^v]*",
    "/api/*/x",
    "/foo bar",
    "/foo%2Fbar",
    "//api",
    "/v1/*",
    "/v?",
    "/a@b/*",
    "/x",
    "x",
];

/// Loads table after table into one Caddy, and asks for several Hosts and paths each.
pub(crate) fn as_caddy(lab: &Lab) {
    let config = lab.folder().join("routing.json");
    let admin = json!({ "listen": format!("127.0.0.1:{ADMIN}") });
    fs::write(&config, json!({ "admin": admin }).to_string()).unwrap();
    let mut caddy = Command::new(lab.caddy_program());
    lab.process(caddy.args(["run", "--config"]).arg(config).env("HOME", lab.folder().join("home")));
    wait_until("Caddy's admin API", || listens("/proc/net/tcp", ADMIN));

    let (mut decided, mut asked) = (0, 0);
    for seed in 0..SEEDS {
        let mut generator = Generator { state: seed, markers: 0, undecidable: seed % 4 == 0 };
        let server = generator.server();
        let loaded = json!({ "admin": admin, "apps": { "http": { "servers": { "srv0": answering(&server) } } } });
        let (status, answer) = http(ADMIN, "POST", "/load", "127.0.0.1:22019", &loaded.to_string());
        assert_eq!(status, 200, "seed {seed}: {answer}\n{loaded:#}");
        let model: Server = serde_json::from_value(server.clone()).unwrap();
        for _ in 0..REQUESTS {
            let (host, path) = (generator.one_of(HOSTS), generator.one_of(PATHS));
            let method = if generator.one_in(4) { "POST" } else { "GET" };
            let answer = http(ENTRY, method, path, host, "");
            let request = Request { host, path: Some(path), method: Some(method) };
            let ends = ends("srv0", &model, &request);
            let told = || format!("seed {seed}: {method} {host}{path}: {answer:?}\n{ends:#?}\n{server:#}");
            let expected: Vec<(u16, String)> = ends.iter().map(|end| expected(&server, end)).collect();
            assert!(expected.contains(&answer), "{}", told());
            let certain: Vec<&End<'_>> = ends.iter().filter(|end| end.certain).collect();
            assert!(certain.len() <= 1, "{}", told());
            if let Some(at) = ends.iter().position(|end| end.certain) {
                assert_eq!(expected[at], answer, "{}", told());
                decided += 1;
            }
            // Versions of Caddy differ about what is encoded, and about dots at the end.
            if !generator.undecidable && !path.contains('%') && !path.ends_with('.') {
                assert_eq!((ends.len(), certain.len()), (1, 1), "{}", told());
            }
            asked += 1;
        }
    }
    // The comparison would be worth little if hardly anything was decided.
    assert!(decided * 4 > asked * 3, "only {decided} of {asked} were decided");
}

/// The status and the body by which an end is told from the others; it is looked up where the model says it is.
fn expected(server: &Value, end: &End<'_>) -> (u16, String) {
    let at = end.at.strip_prefix("/config/apps/http/servers/srv0").unwrap();
    let own = server.pointer(at).unwrap_or_else(|| panic!("nothing is at {at}"));
    match &end.kind {
        EndKind::Nothing => (200, String::new()),
        EndKind::Proxy { handler, .. } => {
            assert_eq!(own["upstreams"][0]["dial"], handler.upstreams[0].dial.as_str());
            (200, handler.upstreams[0].dial.clone())
        }
        EndKind::Responds(_) if own["handler"] == "error" => {
            (u16::try_from(own["status_code"].as_u64().unwrap()).unwrap(), String::new())
        }
        EndKind::Responds(_) => {
            let status = own["status_code"].as_u64().unwrap_or(200);
            (u16::try_from(status).unwrap(), own["body"].as_str().unwrap_or_default().to_owned())
        }
    }
}

/// The table for the real Caddy: every proxy answers with its dial.
fn answering(value: &Value) -> Value {
    match value {
        Value::Object(fields) if fields.get("handler").is_some_and(|name| name == "reverse_proxy") => {
            json!({ "handler": "static_response", "status_code": 200, "body": fields["upstreams"][0]["dial"] })
        }
        Value::Object(fields) => fields.iter().map(|(name, own)| (name.clone(), answering(own))).collect(),
        Value::Array(items) => items.iter().map(answering).collect(),
        other => other.clone(),
    }
}

/// Makes route tables; the same ones in every run.
struct Generator {
    state: u64,
    markers: u32,
    /// Whether the table may hold what cannot be decided from the config.
    undecidable: bool,
}

impl Generator {
    /// The next number of `splitmix64`, below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn some_of(&mut self, all: &[&str], most: usize) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let count = 1 + self.below(most);
        // Caddy refuses hosts that are the same but for their case.
        (0..count).map(|_| self.one_of(all).to_owned()).filter(|one| seen.insert(one.to_lowercase())).collect()
    }

    fn marker(&mut self) -> String {
        self.markers += 1;
        format!("w{}:80", self.markers)
    }

    fn server(&mut self) -> Value {
        let mut server = json!({
            "listen": [format!("127.0.0.1:{ENTRY}")],
            "automatic_https": { "disable": true },
            "routes": self.routes(0),
        });
        if self.undecidable && self.one_in(3) {
            server["errors"] = json!({ "routes": self.routes(2) });
        }
        server
    }

    fn routes(&mut self, depth: usize) -> Value {
        let count = 1 + self.below(5 - depth);
        (0..count).map(|_| self.route(depth)).collect()
    }

    fn route(&mut self, depth: usize) -> Value {
        let mut route = json!({});
        if !self.one_in(5) {
            let sets = if self.one_in(4) { 2 } else { 1 };
            route["match"] = (0..sets).map(|_| self.matchers(0)).collect();
        }
        if self.one_in(3) {
            route["group"] = self.one_of(&["g1", "g2"]).into();
        }
        if self.one_in(8) {
            route["terminal"] = true.into();
        }
        let mut handle = Vec::new();
        while self.one_in(3) {
            handle.push(self.middleware());
        }
        if !self.one_in(6) {
            handle.push(self.last(depth));
        }
        route["handle"] = handle.into();
        route
    }

    fn matchers(&mut self, depth: usize) -> Value {
        let mut set = json!({});
        if self.one_in(2) {
            set["host"] = self.some_of(HOST_PATTERNS, 3).into();
        }
        if !self.one_in(3) {
            set["path"] = self.some_of(PATH_PATTERNS, 3).into();
        }
        if self.one_in(5) {
            set["method"] = self.some_of(&["GET", "POST"], 1).into();
        }
        if depth < 2 && self.one_in(5) {
            let sets = self.below(3);
            set["not"] = (0..sets).map(|_| self.matchers(depth + 1)).collect();
        }
        if self.undecidable && self.one_in(6) {
            let (name, matcher) = match self.below(5) {
                0 => ("header", json!({ "X-Doctor": ["1"] })),
                1 => ("path_regexp", json!({ "pattern": "^/api" })),
                2 => ("expression", json!("{http.request.method} == 'GET'")),
                3 => ("host", json!(["{http.request.host}"])),
                _ => ("remote_ip", json!({ "ranges": ["127.0.0.0/8"] })),
            };
            set[name] = matcher;
        }
        set
    }

    fn middleware(&mut self) -> Value {
        match self.below(if self.undecidable { 11 } else { 8 }) {
            0 => json!({ "handler": "headers", "response": { "set": { "X-Seen": ["1"] } } }),
            1 => json!({ "handler": "vars", "seen": "1" }),
            2 => {
                let host = self.one_of(HOSTS);
                json!({ "handler": "headers", "request": { "set": { "Host": [host] } } })
            }
            3 | 4 => {
                let prefix = self.one_of(&["/api", "/API/", "/v1", "/static", "//api", "/nowhere"]);
                json!({ "handler": "rewrite", "strip_path_prefix": prefix })
            }
            5 => {
                let uri = self.one_of(&["/api/v1", "/v1/x?q=1", "?q=1", "/static/app.js"]);
                json!({ "handler": "rewrite", "uri": uri })
            }
            6 => json!({ "handler": "rewrite", "strip_path_suffix": self.one_of(&[".php", "/x", "/V1"]) }),
            7 => json!({ "handler": "rewrite", "method": "post" }),
            8 => json!({ "handler": "rewrite", "uri": "/api{http.request.uri.path}" }),
            9 => json!({ "handler": "rewrite", "uri_substring": [{ "find": "api", "replace": "v1" }] }),
            _ => json!({ "handler": "rewrite", "path_regexp": [{ "find": "^/v", "replace": "/x" }] }),
        }
    }

    fn last(&mut self, depth: usize) -> Value {
        match self.below(8) {
            0..=2 if depth < 3 => {
                let mut subroute = json!({ "handler": "subroute", "routes": self.routes(depth + 1) });
                if self.undecidable && self.one_in(3) {
                    subroute["errors"] = json!({ "routes": self.routes(depth + 1) });
                }
                subroute
            }
            3 => json!({ "handler": "static_response", "status_code": 210 + self.below(80), "body": self.marker() }),
            4 if self.one_in(2) => json!({ "handler": "error", "status_code": 400 + self.below(50) }),
            _ => json!({ "handler": "reverse_proxy", "upstreams": [{ "dial": self.marker() }] }),
        }
    }
}

/// One request to this machine: the status and the body of the answer. A Caddy that takes a new config may reset a
/// connection that it has just accepted, so it is asked again.
fn http(port: u16, method: &str, path: &str, host: &str, body: &str) -> (u16, String) {
    let mut tries = 0;
    let answer = loop {
        match try_http(port, method, path, host, body) {
            Ok(answer) => break answer,
            Err(error) => assert!(tries < 20, "{method} {host}{path} to port {port}: {error}"),
        }
        tries += 1;
        std::thread::sleep(Duration::from_millis(50));
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {answer}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
}

fn try_http(port: u16, method: &str, path: &str, host: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
