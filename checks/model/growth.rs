//! How the work of all checks grows with Caddy's config: not faster than the config does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    ALL,
    model::{Context, caddy::CaddyConfig, example},
};

/// The time for ten times as many routes may be so many times as long. About 10 is linear, and 100 would be quadratic.
const MOST: u32 = 30;
/// What takes longer here takes so long that no machine's pace explains it.
const FEW: usize = 1_000;

/// Judges a healthy setup whose Caddy has these routes, and says how long that took.
fn judged(routes: &[Value]) -> Duration {
    let config = json!({"apps": {"http": {"servers": {"srv0": {"listen": [":80"], "routes": routes}}}}});
    let mut facts = example::healthy();
    facts.caddies.as_mut().unwrap().0[0].config = Ok(CaddyConfig::read(config.to_string().as_bytes()).unwrap());
    let start = Instant::now();
    let context = Context::new(facts);
    for check in ALL {
        let verdict = (check.run)(&context);
        assert!(verdict.findings.len() <= 100, "{} tells {} findings", check.id, verdict.findings.len());
    }
    start.elapsed()
}

/// The machine may do something else meanwhile, so the best of some tries counts.
fn grows_as_its_routes_do(routes: impl Fn(usize) -> Vec<Value>) {
    let (few, many) = (routes(FEW), routes(10 * FEW));
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (before, after) = ((0..3).map(|_| judged(&few)).min().unwrap(), judged(&many));
        if after < before * MOST {
            return;
        }
        seen.push((before, after));
    }
    panic!("ten times as many routes take more than {MOST} times as long: {seen:?}");
}

fn proxy(dial: &str) -> Value {
    json!({"handler": "reverse_proxy", "upstreams": [{"dial": dial}]})
}

fn route(host: &str, handler: &Value) -> Value {
    json!({"match": [{"host": [host]}], "handle": [handler], "terminal": true})
}

fn each(count: usize, of: impl Fn(usize) -> Value) -> Vec<Value> {
    (0..count).map(of).collect()
}

#[test]
fn a_dial_for_each_host() {
    grows_as_its_routes_do(|count| {
        let mut routes =
            each(count, |n| route(&format!("site{n}.example.com"), &proxy(&format!("site{n}.internal:8080"))));
        routes.push(route("api.example.com", &proxy("mitmproxy:8080")));
        routes
    });
}

#[test]
fn one_dial_for_all_hosts() {
    grows_as_its_routes_do(|count| each(count, |n| route(&format!("site{n}.example.com"), &proxy("mitmproxy:8080"))));
}

#[test]
fn wrong_dials_for_all_hosts() {
    grows_as_its_routes_do(|count| {
        each(count, |n| route(&format!("site{n}.example.com"), &proxy(&format!("mitmproxy:{}", 10_000 + n))))
    });
}

#[test]
fn subroutes_as_a_caddyfile_makes_them() {
    grows_as_its_routes_do(|count| {
        each(count, |n| {
            let handle = json!([{"handler": "subroute", "routes": [{"handle": [proxy("mitmproxy:8080")]}]}]);
            let routes = json!([
                {"group": "group1", "match": [{"path": ["/api/*"]}], "handle": handle},
                {"group": "group1", "handle": [proxy(&format!("site{n}:9000"))]},
            ]);
            route(&format!("site{n}.example.com"), &json!({"handler": "subroute", "routes": routes}))
        })
    });
}

#[test]
fn routes_that_are_never_reached() {
    grows_as_its_routes_do(|count| {
        let mut routes = vec![json!({"handle": [{"handler": "file_server"}]})];
        routes.extend(each(count, |n| route(&format!("site{n}.example.com"), &proxy("mitmproxy:8080"))));
        routes
    });
}

#[test]
fn matchers_that_cannot_be_decided() {
    grows_as_its_routes_do(|count| {
        each(count, |n| json!({"match": [{"header": {"X": [n.to_string()]}}], "handle": [proxy("mitmproxy:8080")]}))
    });
}

#[test]
fn one_id_for_all_routes() {
    grows_as_its_routes_do(|count| {
        each(count, |n| {
            let mut route = route(&format!("site{n}.example.com"), &proxy("mitmproxy:8080"));
            route["@id"] = "api".into();
            route
        })
    });
}
