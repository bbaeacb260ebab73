//! How the time and the memory of a run grow with the setup: each at a tenth of its size and whole. Started by
//! `tests/bench scale`; no test. It needs no engine: the engine, Caddy and mitmweb are servers of this program, which answer as
//! the real ones do. The doctor is another process, so what is measured is its own memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a bench that cannot run has failed")]

#[path = "../fakes/mod.rs"]
mod fakes;

use std::{env, process::Command};

use fakes::{Answer, Doctor, Routes, Running, Setup, container};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

const ROUNDS: usize = 11;
/// What [`measure`] writes before the kilobytes.
const PEAK: &str = "peak memory in kB: ";

struct Case {
    what: &'static str,
    full: usize,
    setup: fn(usize) -> Running,
}

const CASES: &[Case] = &[
    Case { what: "containers, on a fifth as many networks", full: 1_000, setup: containers },
    Case { what: "routes, each with a dial of its own", full: 10_000, setup: |n| routes(own_dials(n)) },
    Case { what: "routes, all with mitmproxy's dial", full: 10_000, setup: |n| routes(one_dial(n)) },
    Case { what: "sites, as a Caddyfile makes them", full: 10_000, setup: |n| routes(sites(n)) },
    Case { what: "flows", full: 1_000_000, setup: flows },
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let ["--measure", command @ ..] = arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        return measure(command);
    }
    let binary = env::var("DOCTOR_BENCH_BINARY").expect("start the bench with tests/bench scale");
    println!("medians of {ROUNDS} runs; peak memory is the largest of 3");
    for case in CASES {
        let small = run(&binary, case, case.full / 10);
        let full = run(&binary, case, case.full);
        println!("{} {}", case.full, case.what);
        println!(
            "  time         {:8.1} ms   {:5.1} times that of a tenth ({:.1} ms)",
            full.0,
            full.0 / small.0,
            small.0
        );
        println!(
            "  peak memory  {:8.1} MB   {:5.1} times that of a tenth ({:.1} MB)",
            full.1,
            full.1 / small.1,
            small.1
        );
    }
}

/// Milliseconds and MB.
fn run(binary: &str, case: &Case, size: usize) -> (f64, f64) {
    let running = (case.setup)(size);
    let parts = ["--caddy", "caddy", "--mitmproxy", "mitmproxy"];
    // Nobody can look from inside containers that are none, so whether the backend accepts is not asked.
    let doctor = |command: Command| {
        Doctor::of(command)
            .env("DOCKER_HOST", format!("tcp://127.0.0.1:{}", running.engine.port))
            .env("DOCTOR_SKIP", "backend-reachable")
            .args(parts)
    };
    let report = doctor(Command::new(binary)).report();
    assert_eq!(report.with_status("fail"), [""; 0], "{report}");
    assert!(report.says("caddy-route").starts_with("pass"), "{report}");

    let mut times: Vec<f64> =
        (0..ROUNDS).map(|_| doctor(Command::new(binary)).run().took.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let peak = |_| {
        let mut wrapped = Command::new(env::current_exe().unwrap());
        wrapped.args(["--measure", binary]);
        let said = doctor(wrapped).run().stderr;
        said.lines().find_map(|line| line.strip_prefix(PEAK)).unwrap().parse::<f64>().unwrap() / 1024.0
    };
    let peak = (0..3).map(peak).fold(0.0, f64::max);
    assert!(!running.mitmweb.asked().iter().any(|asked| asked.contains("/flows")), "the flows were loaded");
    (times[ROUNDS / 2], peak)
}

/// Runs a command and tells the most memory that it had. In a process of its own, since a child is also charged with what its
/// parent has at the moment when it is made.
fn measure(command: &[&str]) {
    Command::new(command[0]).args(&command[1..]).status().unwrap();
    eprintln!("{PEAK}{}", getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss());
}

/// The setup among many others that compose has made.
fn containers(count: usize) -> Running {
    let network = |n: usize| {
        json!({
            "Name": format!("project{n}_default"), "Id": format!("{n:064x}"), "Created": "2026-01-02T03:04:05.678901234Z",
            "Scope": "local", "Driver": "bridge", "EnableIPv6": false,
            "IPAM": {"Driver": "default", "Options": null, "Config": [{
                "Subnet": format!("10.{}.{}.0/24", n / 250, n % 250), "Gateway": format!("10.{}.{}.1", n / 250, n % 250),
            }]},
            "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": {"Network": ""}, "ConfigOnly": false,
            "Containers": {}, "Options": {},
            "Labels": {
                "com.docker.compose.network": "default", "com.docker.compose.project": format!("project{n}"),
                "com.docker.compose.version": "2.27.0",
            },
        })
    };
    let mut networks: Vec<Value> = (1..count / 5).map(network).collect();
    networks.push(json!({
        "Name": "app-net", "Id": "ab".repeat(32), "Driver": "bridge", "Scope": "local",
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "192.0.2.0/24", "Gateway": "192.0.2.1"}]},
        "Options": {}, "Labels": {},
    }));
    let engine = Routes::default().on("GET /networks", Answer::json(&Value::Array(networks)));
    Setup { engine, ..Setup::healthy() }.start_with(|own| {
        for n in own.len()..count {
            let project = n % (count / 5 - 1) + 1;
            let mut other = container(&format!("project{project}-service{n}-1"), &["serve", "--port", "3000"], &[]);
            let name = format!("project{project}_default");
            other["HostConfig"]["NetworkMode"] = json!(name);
            other["NetworkSettings"]["Networks"] = json!({name: {
                "IPAMConfig": null, "Links": null, "Aliases": null, "NetworkID": format!("{project:064x}"),
                "EndpointID": format!("{n:064x}"), "Gateway": format!("10.{}.{}.1", project / 250, project % 250),
                "IPAddress": format!("10.{}.{}.{}", project / 250, project % 250, n % 250 + 2), "IPPrefixLen": 24,
                "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0, "MacAddress": "02:42:ac:12:00:02",
                "DriverOpts": null,
            }});
            other["Config"]["Labels"] = json!({
                "com.docker.compose.config-hash": format!("{n:064x}"), "com.docker.compose.container-number": "1",
                "com.docker.compose.depends_on": "", "com.docker.compose.image": format!("sha256:{n:064x}"),
                "com.docker.compose.oneoff": "False", "com.docker.compose.project": format!("project{project}"),
                "com.docker.compose.project.config_files": format!("/srv/project{project}/compose.yml"),
                "com.docker.compose.project.working_dir": format!("/srv/project{project}"),
                "com.docker.compose.service": format!("service{n}"), "com.docker.compose.version": "2.27.0",
                "org.opencontainers.image.description": "A service that answers requests of other services.",
                "org.opencontainers.image.source": "https://git.example.com/team/service",
                "org.opencontainers.image.version": "1.2.3",
            });
            own.push(other);
        }
    })
}

/// The setup with a Caddy that has these routes, and one to mitmproxy behind them.
fn routes(mut routes: Vec<Value>) -> Running {
    routes.push(route("*.example.test", &proxy("mitmproxy:8080")));
    let config = json!({"apps": {"http": {"servers": {"srv0": {"listen": [":80"], "routes": routes}}}}});
    Setup { admin: fakes::admin(&config), ..Setup::healthy() }.start()
}

fn route(host: &str, handler: &Value) -> Value {
    json!({"match": [{"host": [host]}], "handle": [handler], "terminal": true})
}

fn proxy(dial: &str) -> Value {
    json!({"handler": "reverse_proxy", "transport": {"protocol": "http"}, "upstreams": [{"dial": dial}]})
}

fn own_dials(count: usize) -> Vec<Value> {
    (1..count).map(|n| route(&format!("site{n}.example.com"), &proxy(&format!("site{n}:9000")))).collect()
}

fn one_dial(count: usize) -> Vec<Value> {
    (1..count).map(|n| route(&format!("*.site{n}.example.com"), &proxy("mitmproxy:8080"))).collect()
}

/// `siteN.example.com { encode gzip; reverse_proxy siteN:9000 }`
fn sites(count: usize) -> Vec<Value> {
    let site = |n: usize| {
        let encode = json!({"handler": "encode", "encodings": {"gzip": {}}, "prefer": ["gzip"]});
        let routes = json!([{"handle": [encode, proxy(&format!("site{n}:9000"))]}]);
        route(&format!("site{n}.example.com"), &json!({"handler": "subroute", "routes": routes}))
    };
    (1..count).map(site).collect()
}

/// A mitmweb that holds so many flows: all its events, and options with their help. Whoever asks it for the flows gets more
/// than can be read.
fn flows(count: usize) -> Running {
    let event = |n: usize| {
        let message = format!("[15:45:12.644][172.18.0.3:{}] server connect backend:3000 (172.18.0.2:3000)", 1024 + n);
        json!({"id": n, "message": message, "level": "info"})
    };
    // It keeps no more.
    let events: Vec<Value> = (0..10_000).map(event).collect();
    let mitmweb = fakes::mitmweb("10.4.2", count as u64)
        .on("GET /events", Answer::json(&Value::Array(events)).header("Server", "mitmproxy 10.4.2"))
        .on("GET /flows", Answer::endless());
    Setup { mitmweb, ..Setup::healthy() }.start()
}
