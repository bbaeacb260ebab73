//! Configs of every kind, right and wrong ones: none may break the reading of it or what is computed from it.

use std::collections::BTreeSet;

use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};

use crate::model::{
    Context,
    caddy::CaddyConfig,
    example,
    path::Dial,
    route::{self, Request},
};

const KEYS: &[&str] = &[
    "host",
    "path",
    "method",
    "not",
    "header",
    "handler",
    "routes",
    "errors",
    "match",
    "handle",
    "upstreams",
    "dial",
    "set",
    "Host",
    "uri",
    "strip_path_prefix",
    "name",
    "sources",
    "group",
    "terminal",
    "@id",
    "undecided",
    "listen",
];
const WORDS: &[&str] = &[
    "",
    "/",
    "*",
    "/*",
    "/api/*",
    "*.php",
    "/a[b",
    "/a%2",
    "%*",
    "%2F*",
    "[^]",
    "\\",
    "{",
    "{env.X}",
    "{env.X}:80",
    "a.example.com",
    "*.example.com",
    "[::1]:80",
    "::",
    "h:1-2",
    "unix//run/x",
    "http://h:1",
    "tcp/",
    "mitmproxy:8080",
    ":8080",
    "\u{130}\u{3a3}",
    "//",
    "/../..",
    "n",
    "a",
    "multi",
    "srv",
    "reverse_proxy",
    "subroute",
    "invoke",
    "rewrite",
    "headers",
    "error",
    "103",
];
const HANDLERS: &[&str] = &[
    "reverse_proxy",
    "subroute",
    "invoke",
    "rewrite",
    "headers",
    "error",
    "static_response",
    "file_server",
    "intercept",
    "authentication",
    "vars",
    "rate_limit",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![8 => select(WORDS).prop_map(str::to_owned), 1 => any::<String>()]
}

/// Whatever may stand where something else should.
fn anything() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Value::from), vec((select(KEYS), inner), 0..4).prop_map(object),]
    })
    .boxed()
}

fn object(fields: Vec<(&str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// A field as it should be, or missing, or now and then of another type.
fn field(
    name: &'static str,
    value: impl Strategy<Value = Value> + 'static,
) -> BoxedStrategy<Option<(&'static str, Value)>> {
    let some = move |value| Some((name, value));
    prop_oneof![6 => value.prop_map(some), 8 => Just(None), 1 => anything().prop_map(some)].boxed()
}

fn fields(all: Vec<BoxedStrategy<Option<(&'static str, Value)>>>) -> BoxedStrategy<Value> {
    all.prop_map(|fields| object(fields.into_iter().flatten().collect())).boxed()
}

fn words() -> BoxedStrategy<Value> {
    vec(word(), 0..3).prop_map(Value::from).boxed()
}

fn list_of(items: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    vec(items, 0..3).prop_map(Value::from).boxed()
}

fn matchers() -> BoxedStrategy<Value> {
    let own =
        || vec![field("host", words()), field("path", words()), field("method", words()), field("header", anything())];
    let inner = fields(own());
    fields([own(), vec![field("not", list_of(inner))]].concat())
}

fn handler(routes: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let text = || word().prop_map(Value::from);
    let upstream = fields(vec![field("dial", text()), field("lookup_srv", text())]);
    let source = fields(vec![field("source", text()), field("name", text()), field("port", text())]);
    let sources = fields(vec![field("source", Just(json!("multi"))), field("sources", list_of(source))]);
    let ops = fields(vec![
        field("set", words().prop_map(|words| json!({ "Host": words }))),
        field("delete", words()),
        field("replace", anything()),
    ]);
    let response = fields(vec![field("routes", routes.clone()), field("status_code", text())]);
    let rest = fields(vec![
        field("upstreams", list_of(upstream)),
        field("dynamic_upstreams", sources),
        field("request", ops.clone()),
        field("headers", fields(vec![field("request", ops)])),
        field("routes", routes.clone()),
        field("errors", fields(vec![field("routes", routes)])),
        field("handle_response", list_of(response)),
        field("name", Just(json!("n"))),
        field("uri", text()),
        field("strip_path_prefix", text()),
        field("strip_path_suffix", text()),
        field("method", text()),
        field("path_regexp", anything()),
        field("status_code", text()),
        field("pass_thru", any::<bool>().prop_map(Value::from)),
    ]);
    (select(HANDLERS), rest)
        .prop_map(|(name, mut rest)| {
            rest["handler"] = name.into();
            rest
        })
        .boxed()
}

fn routes() -> BoxedStrategy<Value> {
    let none: BoxedStrategy<Value> = Just(json!([])).boxed();
    none.prop_recursive(4, 64, 4, |inner| {
        list_of(fields(vec![
            field("match", list_of(matchers())),
            field("handle", list_of(handler(inner.boxed()))),
            field("group", select(["g", "h", ""].as_slice()).prop_map(Value::from)),
            field("terminal", any::<bool>().prop_map(Value::from)),
            field("@id", word().prop_map(Value::from)),
        ]))
    })
    .boxed()
}

fn config() -> BoxedStrategy<Value> {
    let named = fields(vec![field("handle", list_of(handler(routes())))]);
    let server = fields(vec![
        Just(Some(("listen", json!([":80"])))).boxed(),
        field("routes", routes()),
        field("named_routes", named.prop_map(|route| json!({ "n": route }))),
        field("errors", fields(vec![field("routes", routes())])),
        field("tls_connection_policies", anything()),
    ]);
    let servers = prop_oneof![9 => server.prop_map(|server| json!({ "s": server })), 1 => anything()];
    let near = servers.prop_map(|servers| json!({ "apps": { "http": { "servers": servers } } }));
    prop_oneof![9 => near, 1 => anything()].boxed()
}

/// The same cases in every run.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn no_config_breaks_what_is_computed_from_it() {
    let mut read = 0;
    let asked = (config(), word(), word());
    let outcome = runner(600).run(&asked, |(config, host, path)| {
        let Ok(config) = CaddyConfig::read(config.to_string().as_bytes()) else { return Ok(()) };
        let recorded = serde_json::to_vec(&config).expect("it can be recorded");
        prop_assert_eq!(&CaddyConfig::read(&recorded).expect("a recording can be read"), &config);

        let proxies = route::proxies(&config);
        let places: BTreeSet<&str> = proxies.iter().map(|proxy| proxy.at.as_str()).collect();
        prop_assert_eq!(places.len(), proxies.len());
        for (name, server) in config.servers() {
            for path in [None, Some(path.as_str()), Some("/")] {
                let ends = route::ends(name, server, &Request { host: &host, path, method: None });
                prop_assert!(ends.iter().filter(|end| end.certain).count() <= 1, "{:?}", ends);
                prop_assert!(!ends.is_empty());
            }
        }
        let mut facts = example::healthy();
        facts.caddies.as_mut().expect("there is one").0[0].config = Ok(config);
        let paths = Context::new(facts).paths.expect("paths can always be computed");
        for hop in paths.paths.iter().flat_map(|path| &path.hops) {
            prop_assert!(*hop < paths.hops.len());
        }
        Ok(())
    });
    outcome.unwrap();
    // Nearly all must get past the reading, or nothing behind it is tried.
    let mut all = runner(200);
    for _ in 0..200 {
        let config = config().new_tree(&mut all).unwrap().current();
        read += u32::from(CaddyConfig::read(config.to_string().as_bytes()).is_ok());
    }
    assert!(read > 80, "only {read} of 200 could be read");
}

#[test]
fn a_dial_that_is_read_is_written_as_it_was_meant() {
    let address = (select(["h", "a-b.c", "::1", "10.0.0.1", ""].as_slice()), 1..=u16::MAX);
    let outcome = runner(300).run(&(address, word()), |((host, port), any)| {
        let written = Dial { host: host.to_owned(), port: Some(port) }.to_string();
        let read = Dial::check(&written).expect("its own form is right");
        prop_assert_eq!((read.host.as_str(), read.port), (host, Some(port)));
        // Whatever it is, both say the same of it, and neither breaks.
        prop_assert!(Dial::check(&any).is_err() || Dial::read(&any) == Dial::check(&any).ok());
        Ok(())
    });
    outcome.unwrap();
}
