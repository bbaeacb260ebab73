//! How long a run takes on a healthy setup, against (a) the requests that cannot be avoided, over bare sockets, and
//! (b) the commands of the troubleshooting guide that the doctor replaces. Started by `tests/bench`; no test.
//!
//! All figures of one run are taken in turns, so that what else the machine does hits all alike.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use serde_json::Value;

use crate::{
    healthy::site,
    lab::{ENTRY, HOST, Lab, MITMPROXY, sh},
};

const ROUNDS: usize = 40;
/// What a practised typist types (about 60 words a minute).
const TYPED_PER_SECOND: f64 = 5.0;

pub(crate) fn run(lab: &Lab) {
    lab.begin("bench");
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.run(
        "mitmproxy",
        &format!(
            "--network app-net -p 127.0.0.1:18081:8081 -p 127.0.0.1:18082:8080 {MITMPROXY} mitmweb --mode reverse:http://backend:3000 \
             --web-host 0.0.0.0 --set keep_host_header=true"
        ),
    );
    lab.wait_for_port("mitmproxy", 8081);
    let caddyfile = format!("{{\n\tadmin 0.0.0.0:2019\n}}\n{}", site("mitmproxy:8080"));
    lab.caddy("caddy", &format!("--network app-net -p 127.0.0.1:{ENTRY}:80"), &caddyfile);
    lab.travels(HOST);

    let binary = std::env::var("DOCTOR_BENCH_BINARY").expect("start the bench with tests/bench");
    let (mut doctor, mut help, mut chain, mut guide) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut probe, mut request) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        doctor.push(timed(|| quiet(Command::new(&binary).current_dir(lab.folder().join("empty")))));
        probe.push(timed(|| quiet(Command::new(&binary).arg("--probe").current_dir(lab.folder().join("empty")))));
        request.push(timed(one_request));
        help.push(timed(|| quiet(Command::new(&binary).arg("--help"))));
        chain.push(timed(raw_chain));
    }
    let commands = guide_commands();
    for _ in 0..3 {
        guide.push(timed(|| {
            for command in &commands {
                let _ = quiet(Command::new("sh").args(["-c", command]));
            }
        }));
    }
    let memory = peak_memory(&binary);
    lab.clear();

    let (doctor, help, chain, guide) = (median(doctor), median(help), median(chain), median(guide));
    let (probe, request) = (median(probe), median(request));
    let typing = commands.iter().map(|command| command.len()).sum::<usize>() as f64 / TYPED_PER_SECOND;
    let size = std::fs::metadata(&binary).unwrap().len();
    println!("medians of {ROUNDS} rounds (the guide: 3)");
    println!("doctor, whole run            {:8.1} ms", doctor * 1e3);
    println!("(a) raw chain of requests    {:8.1} ms   doctor takes {:.1} times as long", chain * 1e3, doctor / chain);
    println!(
        "(b) the guide, {} commands   {:8.1} ms   {:.0} times as long as doctor, without typing",
        commands.len(),
        guide * 1e3,
        guide / doctor
    );
    println!(
        "    and typed by hand        {:8.0} s    {:.0} times as long as doctor, at {TYPED_PER_SECOND} characters a second",
        guide + typing,
        (guide + typing) / doctor
    );
    println!(
        "--probe adds                 {:8.1} ms   {:.1} times one request through the whole path ({:.1} ms)",
        (probe - doctor) * 1e3,
        (probe - doctor) / request,
        request * 1e3
    );
    println!("doctor --help                {:8.1} ms", help * 1e3);
    println!("binary                       {:8.2} MB", size as f64 / 1e6);
    println!("peak memory                  {memory:8.1} MB");
}

fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn quiet(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).status().unwrap().success()
}

/// Every request that stands on the answer of another waits for it; those that do not are sent at once.
fn raw_chain() {
    engine("/_ping");
    let networks = thread::spawn(|| engine("/networks"));
    let list: Value = serde_json::from_slice(&engine("/containers/json?all=1")).unwrap();
    let inspects: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|own| own["Id"].as_str().unwrap().to_owned())
        .map(|id| thread::spawn(move || engine(&format!("/containers/{id}/json"))))
        .collect();
    let inspected: Vec<Value> =
        inspects.into_iter().map(|own| serde_json::from_slice(&own.join().unwrap()).unwrap()).collect();
    networks.join().unwrap();
    let address = |name: &str| {
        let own = inspected.iter().find(|own| own["Name"] == format!("/{name}")).unwrap();
        own["NetworkSettings"]["Networks"]["app-net"]["IPAddress"].as_str().unwrap().to_owned()
    };
    let (caddy, mitmproxy) = (format!("{}:2019", address("caddy")), format!("{}:8081", address("mitmproxy")));
    let ask = |address: &str, head: &'static str, body: &'static str| {
        let address = address.to_owned();
        thread::spawn(move || {
            let mut stream = TcpStream::connect(&address).unwrap();
            write!(stream, "{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nCookie: _xsrf=d\r\nX-XSRFToken: d\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            body_of(&mut stream)
        })
    };
    let asked = [
        ask(&caddy, "GET /config/", ""),
        ask(&mitmproxy, "GET /options", ""),
        ask(&mitmproxy, "GET /state", ""),
        ask(&mitmproxy, "POST /commands/view.properties.length", r#"{"arguments":[]}"#),
    ];
    for answer in asked {
        assert!(!answer.join().unwrap().is_empty());
    }
}

/// A request as a client sends it: through Caddy and mitmproxy to the backend.
fn one_request() {
    let mut stream = TcpStream::connect(("127.0.0.1", ENTRY)).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n").unwrap();
    assert!(!body_of(&mut stream).is_empty());
}

fn engine(path: &str) -> Vec<u8> {
    let mut stream = UnixStream::connect("/var/run/docker.sock").unwrap();
    // HTTP/1.0 is answered without chunks and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n").unwrap();
    body_of(&mut stream)
}

fn body_of(stream: &mut impl Read) -> Vec<u8> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    answer.split_off(head + 4)
}

/// What the guide tells to type, chapter by chapter, with this setup's names.
fn guide_commands() -> Vec<String> {
    [
        "docker ps",
        "lsof -i :8081",
        "lsof -i :8082",
        "docker ps | grep mitmproxy",
        "docker logs mitmproxy",
        "docker inspect mitmproxy | jq '.[0].State.Health'",
        "curl http://localhost:18081/flows",
        "curl -v http://localhost:18082/test",
        "curl http://localhost:18081/flows | jq 'length'",
        "curl -v http://localhost:18080/test -H \"Host: api.example.com\"",
        "docker logs caddy",
        "docker inspect caddy | jq '.[0].NetworkSettings.Networks'",
        "docker inspect mitmproxy | jq '.[0].NetworkSettings.Networks'",
        "docker network inspect app-net",
        "docker exec caddy cat /etc/caddy/Caddyfile",
        "docker exec caddy getent hosts mitmproxy",
        "docker exec mitmproxy getent hosts backend",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// In MB, of a whole run.
fn peak_memory(binary: &str) -> f64 {
    let script = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); \
                  print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let kilobytes: f64 = sh(&format!("python3 -c '{script}' {binary}")).trim().parse().unwrap();
    kilobytes / 1024.0
}
