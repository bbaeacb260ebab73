//! What the tests run the doctor against: servers that answer as told, well or badly, a Docker engine made of one, and
//! the doctor itself in an environment of its own.
//!
//! Nothing here waits without a bound: a connection ends when its server is dropped, and the doctor is ended when it
//! takes longer than any of its own deadlines.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// An endless body ends after this many bytes, so that a reader without a cap fails its test and not the machine.
pub(crate) const ENDLESS: u64 = 256 << 20;

/// What a server does with a request.
#[derive(Clone)]
pub(crate) enum Behaviour {
    Answer(Answer),
    /// Answers after this time.
    Slow(Duration, Answer),
    /// Takes the request and never answers.
    Hang,
    /// Takes over the connection as `docker exec` does: runs a command with these variables, prints what it prints, and closes.
    Exec(Vec<String>, Vec<(String, String)>),
    /// Answers with something that is not HTTP.
    Garbage,
    /// Closes the connection without an answer, as a published port does when nothing is behind it.
    Refuse,
}

#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Whole(Vec<u8>),
    /// Announces twice as much as it sends.
    Half(Vec<u8>),
    /// In pieces, with a trailer after them.
    Pieces(Vec<u8>, (String, String)),
    /// Blanks, without end and without a length: JSON that never comes to its first sign.
    Endless,
}

impl Answer {
    pub(crate) fn json(body: &Value) -> Self {
        Self::text(200, &body.to_string()).header("Content-Type", "application/json")
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(body.as_bytes().to_vec()) }
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn half(body: &str) -> Self {
        Self { status: 200, headers: Vec::new(), body: Body::Half(body.as_bytes().to_vec()) }
    }

    pub(crate) fn endless() -> Self {
        Self { status: 200, headers: Vec::new(), body: Body::Endless }
    }

    /// Sends its body in pieces and this behind it, as Caddy 2.5.2 to 2.7 do with the ETag; HTTP/1.0 has no such thing.
    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        if let Body::Whole(body) = self.body {
            self.body = Body::Pieces(body, (name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Whether the connection can go on after it.
    fn write(&self, stream: &mut Connection, sent: &AtomicU64) -> io::Result<bool> {
        let mut head = format!("HTTP/1.1 {} Said\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let (body, length) = match &self.body {
            Body::Whole(body) => (body, body.len()),
            Body::Half(body) => (body, body.len() * 2),
            Body::Pieces(body, (name, value)) => {
                head.push_str(&format!("Trailer: {name}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()));
                let end = format!("\r\n0\r\n{name}: {value}\r\n\r\n");
                stream.write_all(&[head.as_bytes(), body, end.as_bytes()].concat())?;
                return Ok(true);
            }
            Body::Endless => {
                stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
                let blanks = [b' '; 64 << 10];
                while sent.load(Ordering::Relaxed) < ENDLESS {
                    stream.write_all(&blanks)?;
                    sent.fetch_add(blanks.len() as u64, Ordering::Relaxed);
                }
                return Ok(false);
            }
        };
        head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
        stream.write_all(&[head.as_bytes(), body].concat())?;
        sent.fetch_add(body.len() as u64, Ordering::Relaxed);
        Ok(length == body.len())
    }
}

impl From<Answer> for Behaviour {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// A request as a route sees it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET /options`
    pub(crate) route: String,
    /// What comes after the `?`.
    pub(crate) query: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// `HTTP/1.1`
    pub(crate) version: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// `/options`
    pub(crate) fn path(&self) -> &str {
        self.route.split_once(' ').unwrap().1
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(crate) fn is_get(&self) -> bool {
        self.route.starts_with("GET ")
    }

    /// Reads one; `None` when the other side is done.
    fn read(stream: &mut BufReader<Connection>) -> io::Result<Option<Self>> {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            route: format!("{method} {path}"),
            query: query.to_owned(),
            headers: HashMap::new(),
            body: Vec::new(),
            version: words.next().unwrap_or_default().to_owned(),
        };
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                }
                None => break,
            }
        }
        request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
        stream.read_exact(&mut request.body)?;
        Ok(Some(request))
    }
}

type Handler = Arc<dyn Fn(&Request) -> Behaviour + Send + Sync>;

/// Which request is answered how: `GET /options`, without the query. Any other is answered with 404.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    routes: HashMap<String, Handler>,
    any: Option<Handler>,
}

impl Routes {
    /// The same for every request.
    pub(crate) fn all(behaviour: impl Into<Behaviour>) -> Self {
        let behaviour = behaviour.into();
        Self::any(move |_| behaviour.clone())
    }

    /// One handler for every request that has no other.
    pub(crate) fn any(handler: impl Fn(&Request) -> Behaviour + Send + Sync + 'static) -> Self {
        Self { routes: HashMap::new(), any: Some(Arc::new(handler)) }
    }

    pub(crate) fn on(self, route: &str, behaviour: impl Into<Behaviour>) -> Self {
        let behaviour = behaviour.into();
        self.with(route, move |_| behaviour.clone())
    }

    pub(crate) fn with(mut self, route: &str, handler: impl Fn(&Request) -> Behaviour + Send + Sync + 'static) -> Self {
        self.routes.insert(route.to_owned(), Arc::new(handler));
        self
    }

    /// The routes of both; of the same route the one of `other`.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.routes.extend(other.routes);
        self.any = other.any.or(self.any);
        self
    }

    pub(crate) fn of(&self, request: &Request) -> Behaviour {
        match (&self.any, self.routes.get(&request.route)) {
            (_, Some(handler)) => handler(request),
            (Some(any), None) => any(request),
            (None, None) => Answer::text(404, r#"{"message":"page not found"}"#).into(),
        }
    }
}

/// An HTTP server; it and all its threads end when it is dropped.
pub(crate) struct Server {
    /// 0 when it listens on a unix socket.
    pub(crate) port: u16,
    shared: Arc<Shared>,
    wake: Wake,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    routes: Routes,
    stop: AtomicBool,
    sent: AtomicU64,
    asked: Mutex<Vec<Request>>,
}

enum Wake {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Server {
    /// Listens on a port of 127.0.0.1 that the system chooses.
    pub(crate) fn start(routes: Routes) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accept = move || listener.accept().map(|(stream, _)| Connection::Tcp(stream));
        Self::run(routes, address.port(), Wake::Tcp(address), accept)
    }

    /// Listens on a unix socket.
    pub(crate) fn start_unix(path: &Path, routes: Routes) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let accept = move || listener.accept().map(|(stream, _)| Connection::Unix(stream));
        Self::run(routes, 0, Wake::Unix(path.to_owned()), accept)
    }

    fn run(
        routes: Routes,
        port: u16,
        wake: Wake,
        accept: impl Fn() -> io::Result<Connection> + Send + 'static,
    ) -> Self {
        let shared =
            Arc::new(Shared { routes, stop: AtomicBool::new(false), sent: AtomicU64::new(0), asked: Mutex::default() });
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let mut open: Vec<(Connection, JoinHandle<()>)> = Vec::new();
            while let Ok(stream) = accept() {
                if of_thread.stop.load(Ordering::SeqCst) {
                    break;
                }
                let (Ok(handle), shared) = (stream.try_clone(), Arc::clone(&of_thread)) else { continue };
                // That the doctor goes away in the middle of an answer is what some tests want.
                open.push((handle, thread::spawn(move || _ = shared.serve(stream))));
            }
            for (stream, thread) in open {
                stream.shutdown();
                _ = thread.join();
            }
        });
        Self { port, shared, wake, thread: Some(thread) }
    }

    /// How many bytes of bodies it has sent.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// The requests so far, without their queries.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.route).collect()
    }

    /// The requests so far, whole.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Those that are no GET.
    pub(crate) fn writes(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| !request.is_get()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let woken = match &self.wake {
            Wake::Tcp(address) => TcpStream::connect(address).is_ok(),
            Wake::Unix(path) => {
                // A test may have taken all rights off it.
                _ = fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600));
                UnixStream::connect(path).is_ok()
            }
        };
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, stream: Connection) -> io::Result<()> {
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader)? {
            self.asked.lock().unwrap().push(request.clone());
            let goes_on = match self.routes.of(&request) {
                Behaviour::Answer(answer) => answer.write(&mut writer, &self.sent)?,
                Behaviour::Slow(time, answer) => {
                    // Reading waits as long, and ends at once when the other side or this server goes away.
                    reader.get_ref().set_read_timeout(Some(time))?;
                    if reader.read(&mut [0]).is_ok() {
                        return Ok(());
                    }
                    reader.get_ref().set_read_timeout(None)?;
                    answer.write(&mut writer, &self.sent)?
                }
                Behaviour::Hang => {
                    // Ends when the other side or this server does.
                    io::copy(&mut reader, &mut io::sink())?;
                    false
                }
                Behaviour::Exec(words, variables) => {
                    let output = Command::new(&words[0]).args(&words[1..]).env_clear().envs(variables).output()?.stdout;
                    let head = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
                    let length = u32::try_from(output.len()).unwrap().to_be_bytes();
                    writer.write_all(&[head, &[1, 0, 0, 0][..], &length, &output].concat())?;
                    false
                }
                Behaviour::Garbage => {
                    writer.write_all(b"\0\xff\x1b[31mSSH-2.0-nothing\r\n\r\n")?;
                    false
                }
                Behaviour::Refuse => false,
            };
            if !goes_on || request.version == "HTTP/1.0" || request.header("connection") == "close" {
                break;
            }
        }
        writer.shutdown();
        Ok(())
    }
}

enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    fn shutdown(&self) {
        _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(time),
            Self::Unix(stream) => stream.set_read_timeout(time),
        }
    }
}

impl Read for Connection {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(from),
            Self::Unix(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A port of 127.0.0.1 that refuses, and that nobody else can get meanwhile: it is the near end of a connection.
pub(crate) struct RefusingPort {
    pub(crate) port: u16,
    _held: (TcpListener, TcpStream),
}

impl RefusingPort {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Self { port: stream.local_addr().unwrap().port(), _held: (listener, stream) }
    }
}

/// Containers and their APIs, before they are started; a test changes what it is about.
pub(crate) struct Setup {
    /// Caddy's admin API.
    pub(crate) admin: Routes,
    pub(crate) mitmweb: Routes,
    /// What the engine answers otherwise than [`engine`] does.
    pub(crate) engine: Routes,
}

impl Setup {
    /// caddy, mitmproxy and backend on one network, with three captured flows: nothing is wrong with it.
    pub(crate) fn healthy() -> Self {
        Self { admin: admin(&caddy_config()), mitmweb: mitmweb("10.4.2", 3), engine: Routes::default() }
    }

    pub(crate) fn start(self) -> Running {
        self.start_with(|_| {})
    }

    /// Starts it with other containers: `caddy`, `mitmproxy` and `backend` are given, in this order.
    pub(crate) fn start_with(self, change: impl FnOnce(&mut Vec<Value>)) -> Running {
        let (admin, mitmweb) = (Server::start(self.admin), Server::start(self.mitmweb));
        let mut containers = Self::containers(&admin, &mitmweb);
        change(&mut containers);
        let engine = Server::start(engine(&containers).and(self.engine));
        Running { engine, admin, mitmweb }
    }

    /// Starts it with containers that are others in each look: `change` is given the number of the look, from 0 on, as well.
    pub(crate) fn start_changing(
        self,
        change: impl Fn(usize, &mut Vec<Value>) + Send + Sync + 'static,
    ) -> (Running, Arc<AtomicUsize>) {
        let (admin, mitmweb) = (Server::start(self.admin), Server::start(self.mitmweb));
        let containers = Self::containers(&admin, &mitmweb);
        let looks = Arc::new(AtomicUsize::new(0));
        let (count, others) = (Arc::clone(&looks), self.engine);
        let answers = move |request: &Request| {
            // Each look asks for the list once, before it asks for any container.
            let look = match request.route.as_str() {
                "GET /containers/json" => count.fetch_add(1, Ordering::SeqCst),
                _ => count.load(Ordering::SeqCst).saturating_sub(1),
            };
            let mut now = containers.clone();
            change(look, &mut now);
            engine(&now).and(others.clone()).of(request)
        };
        (Running { engine: Server::start(Routes::any(answers)), admin, mitmweb }, looks)
    }

    fn containers(admin: &Server, mitmweb: &Server) -> Vec<Value> {
        let mitm = ["mitmweb", "--mode", "reverse:http://backend:3000", "--set", "keep_host_header=true"];
        vec![
            container(
                "caddy",
                &["caddy", "run", "--config", "/etc/caddy/Caddyfile"],
                &[(2019, admin.port), (80, 61_080)],
            ),
            container("mitmproxy", &mitm, &[(8081, mitmweb.port)]),
            container("backend", &["serve"], &[]),
        ]
    }
}

/// A setup that runs. The containers have no address, so the published ports are the only way to reach their APIs.
pub(crate) struct Running {
    pub(crate) engine: Server,
    pub(crate) admin: Server,
    pub(crate) mitmweb: Server,
}

impl Running {
    /// The doctor in front of it. The parts are named, so that whatever else runs on this machine is left alone.
    /// Nobody can look from inside containers that are none, so whether the backend accepts is not asked.
    pub(crate) fn doctor(&self) -> Doctor {
        self.before(Doctor::at(&self.engine))
    }

    /// The same, with another command than to check.
    pub(crate) fn doctor_of(&self, command: &str) -> Doctor {
        self.before(Doctor::at(&self.engine).args([command]))
    }

    fn before(&self, doctor: Doctor) -> Doctor {
        let doctor = doctor.args(["--caddy", "caddy", "--mitmproxy", "mitmproxy"]);
        doctor.env("DOCTOR_SKIP", "backend-reachable")
    }
}

/// What answers as Docker 20.10 does, about these containers.
pub(crate) fn engine(containers: &[Value]) -> Routes {
    let ping = Answer::text(200, "OK").header("Api-Version", "1.41").header("Server", "Docker/20.10.24 (linux)");
    let network = json!([{
        "Name": "app-net", "Id": "ab".repeat(32), "Driver": "bridge", "Scope": "local",
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "192.0.2.0/24", "Gateway": "192.0.2.1"}]},
        "Options": {}, "Labels": {},
    }]);
    let list: Vec<Value> = containers.iter().map(listed).collect();
    let mut routes = Routes::default()
        .on("GET /_ping", ping)
        .on("GET /info", Answer::json(&json!({"Architecture": "x86_64", "OperatingSystem": "Debian GNU/Linux 12"})))
        .on("GET /images/sha256:1/json", Answer::json(&json!({"Architecture": "amd64", "Os": "linux"})))
        .on("GET /containers/json", Answer::json(&Value::Array(list)))
        .on("GET /networks", Answer::json(&network));
    for container in containers {
        let id = container["Id"].as_str().unwrap();
        routes = routes
            .on(&format!("GET /containers/{id}/json"), Answer::json(container))
            .on(&format!("GET /containers/{id}/logs"), log(""));
    }
    routes
}

/// A container that runs, as `GET /containers/ID/json` tells of it; `published` has its own ports and the host's.
pub(crate) fn container(name: &str, command: &[&str], published: &[(u16, u16)]) -> Value {
    let bindings: serde_json::Map<String, Value> = published
        .iter()
        .map(|(own, host)| (format!("{own}/tcp"), json!([{"HostIp": "127.0.0.1", "HostPort": host.to_string()}])))
        .collect();
    json!({
        "Id": id(name),
        "Name": format!("/{name}"),
        "Path": command[0],
        "Args": command[1..],
        "State": {
            "Status": "running", "Running": true, "Paused": false, "Restarting": false, "OOMKilled": false,
            "Dead": false, "Pid": 0, "ExitCode": 0, "Error": "", "StartedAt": "2026-01-02T03:04:05.6Z",
        },
        "RestartCount": 0,
        "HostConfig": {"NetworkMode": "app-net", "PortBindings": bindings},
        "Mounts": [],
        "Image": "sha256:1",
        "Config": {"Image": format!("{name}:1"), "Env": ["PATH=/bin"], "Cmd": command, "Labels": {}, "Tty": false},
        "NetworkSettings": {"Networks": {"app-net": {
            "NetworkID": "ab".repeat(32), "Aliases": null, "Gateway": "", "IPAddress": "",
        }}},
    })
}

/// The id of the container with this name.
pub(crate) fn id(name: &str) -> String {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex:0<64.64}")
}

/// The same as the list has it.
pub(crate) fn listed(container: &Value) -> Value {
    let words = [vec![container["Path"].clone()], container["Args"].as_array().unwrap().clone()].concat();
    let command: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    let bindings = container["HostConfig"]["PortBindings"].as_object().unwrap();
    let ports: Vec<Value> = bindings
        .iter()
        .map(|(port, host)| {
            let number = |text: &Value| text.as_str().unwrap().parse::<u16>().unwrap();
            let own: u16 = port.trim_end_matches("/tcp").parse().unwrap();
            json!({"IP": "127.0.0.1", "PrivatePort": own, "PublicPort": number(&host[0]["HostPort"]), "Type": "tcp"})
        })
        .collect();
    json!({
        "Id": container["Id"],
        "Names": [container["Name"]],
        "Image": container["Config"]["Image"],
        "Command": command.join(" "),
        "State": container["State"]["Status"],
        "Status": "Up 2 hours",
        "Ports": ports,
        "Labels": container["Config"]["Labels"],
        "HostConfig": {"NetworkMode": container["HostConfig"]["NetworkMode"]},
        "NetworkSettings": container["NetworkSettings"],
    })
}

/// What `GET /containers/ID/logs` answers: each line in a frame of standard error.
pub(crate) fn log(text: &str) -> Answer {
    let frames = text.lines().flat_map(|line| {
        let length = u32::try_from(line.len() + 1).unwrap().to_be_bytes();
        [&[2, 0, 0, 0][..], &length, line.as_bytes(), b"\n"].concat()
    });
    Answer { status: 200, headers: Vec::new(), body: Body::Whole(frames.collect()) }
}

pub(crate) fn admin(config: &Value) -> Routes {
    Routes::default().on("GET /config/", Answer::json(config))
}

/// One route to mitmproxy. Its Host is a pattern, for which no name server is asked.
pub(crate) fn caddy_config() -> Value {
    json!({"apps": {"http": {"servers": {"srv0": {"listen": [":80"], "routes": [{
        "match": [{"host": ["*.example.test"]}],
        "handle": [{"handler": "subroute", "routes": [
            {"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "mitmproxy:8080"}]}]},
        ]}],
        "terminal": true,
    }]}}}}})
}

/// A mitmweb that lets everybody in, as those before 11.1.2 do.
pub(crate) fn mitmweb(version: &str, flows: u64) -> Routes {
    mitmweb_behind(version, flows, |_| true)
}

/// A mitmweb that lets in whom `may` lets in; the others get what 11.1.2 and newer answer: 403 without a word.
pub(crate) fn mitmweb_behind(
    version: &str,
    flows: u64,
    may: impl Fn(&Request) -> bool + Clone + Send + Sync + 'static,
) -> Routes {
    let server = format!("mitmproxy {version}");
    let option = |value: Value| json!({"type": "str", "default": null, "value": value, "help": "", "choices": null});
    let options = json!({
        "mode": option(json!(["reverse:http://backend:3000"])),
        "keep_host_header": option(json!(true)),
        "listen_port": option(Value::Null),
        "view_filter": option(Value::Null),
        "intercept_active": option(json!(false)),
        "ssl_insecure": option(json!(false)),
        "connection_strategy": option(json!("eager")),
    });
    let state = json!({"version": version, "servers": [{
        "type": "reverse", "description": "reverse proxy to http://backend:3000",
        "full_spec": "reverse:http://backend:3000", "is_running": true, "last_exception": null,
        "listen_addrs": [["0.0.0.0", 8080], ["::", 8080, 0, 0]],
    }]});
    let guarded = |answer: Answer, writes: bool| {
        let (may, server) = (may.clone(), server.clone());
        move |request: &Request| -> Behaviour {
            let token = request.header("x-xsrftoken");
            let same_site = !token.is_empty() && request.header("cookie").contains(&format!("_xsrf={token}"));
            let answer = match (writes && !same_site, may(request)) {
                (true, _) => Answer::text(403, "<html><title>403: Forbidden</title></html>"),
                (false, false) => Answer::text(403, ""),
                (false, true) => answer.clone(),
            };
            answer.header("Server", &server).into()
        }
    };
    Routes::default()
        .with("GET /options", guarded(Answer::json(&options), false))
        .with("GET /state", guarded(Answer::json(&state), false))
        .with("POST /commands/view.properties.length", guarded(Answer::json(&json!({"value": flows})), true))
}

/// A folder of one test, removed with all that is in it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("doctor-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The names of what is in it.
    pub(crate) fn names(&self) -> Vec<OsString> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Far above every deadline that a test sets, and far below what a person would wait for a hung test.
const TOO_LONG: Duration = Duration::from_secs(30);

/// The doctor, in an environment that has nothing of this machine but `PATH`.
pub(crate) struct Doctor {
    command: Command,
    home: Folder,
}

impl Doctor {
    /// Without an engine.
    pub(crate) fn new() -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_doctor")))
    }

    /// Started in another way than by its own name.
    pub(crate) fn of(mut command: Command) -> Self {
        let home = Folder::new();
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &home.0).current_dir(&home.0).stdin(Stdio::null());
        Self { command, home }.env("DOCKER_HOST", "unix:///nowhere/docker.sock")
    }

    pub(crate) fn at(engine: &Server) -> Self {
        Self::new().env("DOCKER_HOST", format!("tcp://127.0.0.1:{}", engine.port))
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn args<S: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments.into_iter().map(Into::into));
        self
    }

    /// Its home folder, which is also where it is started.
    pub(crate) fn home(&self) -> &Folder {
        &self.home
    }

    /// Starts it in another folder.
    pub(crate) fn in_folder(mut self, folder: &Folder) -> Self {
        self.command.current_dir(&folder.0);
        self
    }

    pub(crate) fn run(mut self) -> Ran {
        self.command.stdout(Stdio::piped());
        self.run_into()
    }

    /// Writes to a pipe that nobody reads.
    pub(crate) fn run_into_closed_pipe(mut self) -> Ran {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        self.command.stdout(writer);
        self.run_into()
    }

    /// Nobody reads its standard error.
    pub(crate) fn run_unheard(mut self) -> Ran {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        self.command.stdout(Stdio::piped()).stderr(writer);
        self.run_and_hear(io::empty())
    }

    /// Its standard error is a terminal.
    #[cfg(target_os = "linux")]
    pub(crate) fn run_at_terminal(mut self) -> Ran {
        let terminal = nix::pty::openpty(None, None).unwrap();
        self.command.stdout(Stdio::piped()).stderr(terminal.slave);
        self.run_and_hear(fs::File::from(terminal.master))
    }

    fn run_into(mut self) -> Ran {
        let (reader, writer) = io::pipe().unwrap();
        self.command.stderr(writer);
        self.run_and_hear(reader)
    }

    fn run_and_hear(self, stderr: impl Read + Send + 'static) -> Ran {
        let Self { mut command, home: _home } = self;
        let start = Instant::now();
        let mut child = command.spawn().unwrap();
        // What it writes to ends with it, and not only with this.
        drop(command);
        let (said, hears) = mpsc::channel();
        let stdout = child.stdout.take().map(|pipe| read_all(pipe, said.clone()));
        let stderr = Some(read_all(stderr, said));
        // The channel closes when both pipes have: the doctor has ended, or closed them.
        if hears.recv_timeout(TOO_LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the doctor did not end within {TOO_LONG:?}");
        }
        let status = child.wait().unwrap();
        let text = |thread: Option<JoinHandle<Vec<u8>>>| {
            thread.map(|thread| String::from_utf8(thread.join().unwrap()).unwrap()).unwrap_or_default()
        };
        Ran {
            code: status.code().expect("ended by a signal"),
            took: start.elapsed(),
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    /// Runs it with `--format json`; its standard output must be one report.
    pub(crate) fn report(self) -> Report {
        let ran = self.args(["--format", "json"]).run();
        Report { value: ran.json(), ran }
    }
}

/// Reads to the end, and holds `_open` until then.
fn read_all(mut pipe: impl Read + Send + 'static, _open: mpsc::Sender<()>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let _open = _open;
        let mut all = Vec::new();
        _ = pipe.read_to_end(&mut all);
        all
    })
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ran {
    /// Its standard output as the one JSON document that it must be.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A run with `--format json`.
pub(crate) struct Report {
    pub(crate) value: Value,
    pub(crate) ran: Ran,
}

/// A line for each check, for the message of a failed test.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exit code {} after {:?} {}", self.ran.code, self.ran.took, self.ran.stderr)?;
        for row in self.value["checks"].as_array().into_iter().flatten() {
            writeln!(f, "  {} {}: {}", row["status"], row["id"], row["summary"])?;
        }
        writeln!(f, "  {}", self.value["setup"])
    }
}

impl Report {
    /// The row of a check.
    pub(crate) fn check(&self, id: &str) -> &Value {
        let mut rows = self.value["checks"].as_array().into_iter().flatten();
        rows.find(|row| row["id"] == id).unwrap_or_else(|| panic!("no row {id} in {:#}", self.value))
    }

    /// The status of a check, with its summary.
    pub(crate) fn says(&self, id: &str) -> String {
        let row = self.check(id);
        format!("{}: {}", row["status"].as_str().unwrap(), row["summary"].as_str().unwrap())
    }

    /// The ids of the checks that have this status.
    pub(crate) fn with_status(&self, status: &str) -> Vec<&str> {
        let rows = self.value["checks"].as_array().into_iter().flatten();
        rows.filter(|row| row["status"] == status).map(|row| row["id"].as_str().unwrap()).collect()
    }
}
