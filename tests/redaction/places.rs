//! Where secrets stand: in what containers were given, what mitmweb answers, Caddy's config, what the engine tells, and in lines of text.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::fakes::{self, Answer};

/// Canaries, each with the name of its place.
#[derive(Default)]
pub(crate) struct Canaries(pub(crate) Vec<(String, String)>);

impl Canaries {
    /// One more, at this place. Nothing in its form tells that it is a secret.
    pub(crate) fn at(&mut self, place: impl Into<String>) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let canary = format!("cAnArY{}z", COUNT.fetch_add(1, Ordering::Relaxed));
        self.0.push((place.into(), canary.clone()));
        canary
    }

    /// The places whose canary is in a text.
    pub(crate) fn seen_in(&self, text: &str) -> Vec<&str> {
        self.0.iter().filter(|(_, canary)| text.contains(canary)).map(|(place, _)| place.as_str()).collect()
    }
}

/// What a container was given.
pub(crate) fn give(canaries: &mut Canaries, container: &mut Value) {
    let name = container["Name"].as_str().unwrap().trim_start_matches('/').to_owned();
    let mut at = |place: &str| canaries.at(format!("{place} of {name}"));
    container["Config"]["Env"] = json!([
        "PATH=/bin",
        format!("TOKEN={}", at("the variable TOKEN")),
        format!("HOME_PAGE={}", at("a variable with a harmless name")),
        format!("CADDY_ADMIN_PASSWORD={}", at("a variable like one that is kept")),
        format!("HTTP_PROXY=http://u:{}@proxy:1", at("the password in HTTP_PROXY")),
        format!("https_proxy=u:{}/{}@proxy:1", at("the password in https_proxy"), at("its part behind a slash")),
    ]);
    container["Config"]["Labels"] = json!({
        "note": at("a label"),
        "traefik.http.middlewares.a.basicauth.users": format!("u:{}", at("a label with a password")),
        format!("x.{}", at("the name of a label")): "",
        "com.docker.compose.config-hash": at("a label of compose that is not used"),
    });
    container["Config"]["Entrypoint"] = json!(["entry", "--key", at("the entry point")]);
    container["Config"]["Healthcheck"] =
        json!({"Test": ["CMD-SHELL", format!("curl -u u:{} http://127.0.0.1/", at("the health check's command"))]});
    container["HostConfig"]["Binds"] = json!([format!("/x:{}", at("a bind that is no mount"))]);
    container["GraphDriver"] = json!({"Name": "overlay2", "Data": {"x": at("the graph driver")}});
}

/// What mitmproxy's command line has.
pub(crate) fn command_line(canaries: &mut Canaries) -> Vec<String> {
    let mut at = |place: &str| canaries.at(format!("{place} on mitmproxy's command line"));
    let mut words: Vec<String> = ["mitmweb", "--mode", "reverse:http://backend:3000", "--set", "keep_host_header=true"]
        .map(str::to_owned)
        .to_vec();
    for (option, value) in [
        ("--set", format!("web_password={}", at("web_password"))),
        ("--set", format!("web_password:{}", at("web_password behind a colon"))),
        ("--set", format!("proxyauth=u:{}", at("proxyauth"))),
        ("--set", format!("modify_headers=/~q/Authorization/{}", at("modify_headers"))),
        ("--proxyauth", format!("u:{}", at("--proxyauth"))),
        ("--upstream-auth", format!("u:{}", at("--upstream-auth"))),
        ("--certs", format!("/certs/{}.pem", at("--certs"))),
        ("--cert-passphrase", at("--cert-passphrase")),
        ("--mode", format!("upstream:http://u:{}@b:1", at("the password of a mode"))),
        ("--mode", format!("upstream:u:{}@b:1", at("the password of a mode without a scheme"))),
    ] {
        words.extend([option.to_owned(), value]);
    }
    words
}

/// A mitmweb in this mode, with secrets in its options, its state and its events.
pub(crate) fn mitmweb(canaries: &mut Canaries, mode: &str) -> fakes::Routes {
    let mut at = |place: &str| canaries.at(format!("{place} of mitmweb"));
    let option = |value: Value| json!({"type": "str", "default": null, "value": value, "help": "", "choices": null});
    let options = json!({
        "mode": option(json!([mode])),
        "keep_host_header": option(json!(true)),
        "listen_port": option(Value::Null),
        "view_filter": option(json!(format!("~hq 'Authorization: {}'", at("view_filter")))),
        "intercept_active": option(json!(false)),
        "intercept": option(json!(format!("~u token={}", at("intercept")))),
        "ssl_insecure": option(json!(false)),
        "ignore_hosts": option(json!([format!("u:{}@h", at("ignore_hosts"))])),
        "connection_strategy": option(json!("eager")),
        "web_password": option(json!(at("web_password"))),
        "proxyauth": option(json!(format!("u:{}", at("proxyauth")))),
        "upstream_auth": option(json!(at("upstream_auth"))),
        "modify_headers": option(json!([format!("/x/{}", at("modify_headers"))])),
        "block_list": option(json!([format!("/~u {}/403", at("block_list"))])),
    });
    let state = json!({"version": "10.4.2", "platform": at("the platform"), "contentViews": [at("a view")], "servers": [{
        "type": "reverse", "description": format!("with {}", at("a description")),
        "full_spec": mode, "is_running": true, "last_exception": format!("http://u:{}@b:1 is none", at("last_exception")),
        "listen_addrs": [["0.0.0.0", 8080]],
    }]});
    let event = |message: String| json!({"id": 1, "level": "warn", "message": message});
    let events = json!([
        event(format!("nothing of interest: secret={}", at("an event"))),
        event(format!("killed by block_list: GET http://b/?code={}&x=1", at("the query in an event"))),
        event(format!("error establishing server connection: Authorization: Basic {}", at("a header in an event"))),
        event(format!("error establishing server connection: Cookie: a=b; c={}", at("a cookie in an event"))),
        event(format!("Server TLS handshake failed. http://u:a/{}@b:1", at("a password in an event"))),
    ]);
    let answer = |value: &Value| Answer::json(value).header("Server", "mitmproxy 10.4.2");
    fakes::mitmweb("10.4.2", 3).and(
        fakes::Routes::default()
            .on("GET /options", answer(&options))
            .on("GET /state", answer(&state))
            .on("GET /events", answer(&events)),
    )
}

/// A config of Caddy with everything that Caddy knows and that may be a secret.
pub(crate) fn caddy_config(canaries: &mut Canaries) -> Value {
    let mut at = |place: &str| canaries.at(format!("{place} in Caddy's config"));
    let header =
        |at: &mut dyn FnMut(&str) -> String, name: &str, of: &str| json!({name: [at(&format!("{name} of {of}"))]});
    json!({
        "admin": {
            "identity": {"identifiers": [at("identity")], "issuers": [{"email": at("an issuer's address")}]},
            "remote": {"access_control": [{"public_keys": [at("remote")]}]},
            "config": {"load": {"module": "http", "url": format!("http://h/?t={}", at("config.load"))}},
        },
        "logging": {"logs": {"default": {"writer": {"output": "net", "address": at("logging")}}}},
        "storage": {"module": "redis", "password": at("storage")},
        "apps": {
            "tls": {
                "certificates": {"load_pem": [{"certificate": at("a certificate"), "key": at("a TLS key")}]},
                "automation": {"policies": [{"issuers": [{"module": "acme", "external_account": {"mac_key": at("EAB")},
                    "challenges": {"dns": {"provider": {"name": "cloudflare", "api_token": at("a DNS provider's token")}}}}]}]},
            },
            "layer4": {"servers": {"x": at("another app")}},
            "http": {"servers": {"srv0": {
                "listen": [":80"],
                "tls_connection_policies": [{"certificate_selection": {"any_tag": [at("a TLS policy")]}}],
                "logs": {"default_logger_name": at("a logger")},
                "routes": [
                    {"match": [{"path": ["/never"], "header": header(&mut at, "X-Api-Key", "a matcher"),
                        "query": {"key": [at("a query matcher")]}, "expression": at("an expression"),
                        "not": [{"header": header(&mut at, "Authorization", "a matcher inside not")}]}],
                     "handle": [
                        {"handler": "vars", "api_key": at("vars"), "name": at("the name in vars"),
                         "uri": at("the uri in vars"), "upstreams": [{"dial": at("a dial in vars")}], "group": at("a group in vars"),
                         "routes": [{"group": at("routes in vars")}], "request": {"set": {"Host": [at("a Host in vars")]}}},
                        {"handler": "map", "defaults": [at("a map")], "mappings": [{"input": at("a map's input")}]},
                        {"handler": "authentication", "providers": {"http_basic": {"accounts":
                            [{"username": "a", "password": format!("$2a$14${}", at("a password's hash")), "salt": at("a salt")}]}}},
                        {"handler": "headers", "request": {"set": header(&mut at, "Authorization", "headers"),
                            "add": header(&mut at, "X-Api-Key", "headers"), "replace": {"X": [{"replace": at("a replacement")}]}},
                            "response": {"set": header(&mut at, "Set-Cookie", "headers")}},
                        {"handler": "rewrite", "uri": format!("/a?key={}", at("a rewrite's query")),
                         "query": {"set": [{"key": "k", "val": at("a query operation")}]}},
                        {"handler": "request_body", "set": at("a request's body")},
                        {"handler": "reverse_proxy",
                         "upstreams": [{"dial": format!("u:{}@other:80", at("the password in a dial"))},
                            {"dial": format!("{{env.TARGET:{}}}", at("the default of a placeholder"))}],
                         "health_checks": {"active": {"uri": format!("/?token={}", at("a health check's query")),
                            "headers": header(&mut at, "Authorization", "a health check")}},
                         "transport": {"protocol": "fastcgi", "env": {"PASSWORD": at("the environment of fastcgi")},
                            "tls": {"client_certificate_key_file": at("a client's key")}}},
                        {"handler": "static_response", "status_code": 401, "body": at("a body"),
                         "headers": header(&mut at, "X-Token", "static_response")},
                     ], "terminal": true},
                    {"match": [{"host": ["*.example.test"]}], "terminal": true, "handle": [{
                        "handler": "reverse_proxy", "upstreams": [{"dial": "mitmproxy:8080"}],
                        "load_balancing": {"selection_policy": {"policy": "cookie", "secret": at("a cookie's secret")}},
                        "headers": {"request": {"set": {"Authorization": [at("Authorization of a proxy")], "Host":
                            [format!("{{vars.h:{}}}", at("the default of a Host"))]}}},
                        "transport": {"protocol": "http", "forward_proxy_url": format!("http://u:{}@p:1", at("a proxy of a proxy"))},
                    }]},
                ],
            }}},
        },
    })
}

/// What the engine tells beside its containers.
pub(crate) fn engine(canaries: &mut Canaries) -> fakes::Routes {
    let mut at = |place: &str| canaries.at(format!("{place} of the engine"));
    let info = json!({"Architecture": "x86_64", "OperatingSystem": "Debian", "Labels": [at("a label")],
        "HttpProxy": format!("http://u:{}@p:1", at("HTTP_PROXY")), "RegistryConfig": {"x": at("a registry")}});
    let image = json!({"Architecture": "amd64", "Os": "linux", "Author": at("an image's author"), "Config":
        {"Env": [format!("A={}", at("an image's variable"))], "Labels": {"x": at("an image's label")},
         "Cmd": [at("an image's command")]}});
    let networks = json!([{"Name": "app-net", "Id": "ab".repeat(32), "Driver": "bridge", "Scope": "local",
        "IPAM": {"Driver": "default", "Options": {"x": at("an option of IPAM")}, "Config": [{"Subnet": "192.0.2.0/24"}]},
        "Options": {"x": at("an option of a network")}, "Labels": {"x": at("a label of a network")}}]);
    fakes::Routes::default()
        .on("GET /info", Answer::json(&info))
        .on("GET /images/sha256:1/json", Answer::json(&image))
        .on("GET /networks", Answer::json(&networks))
}

/// Lines in which a secret can be told, by a name beside it or by its form.
pub(crate) fn lines(canaries: &mut Canaries, of: &str) -> String {
    let mut at = |place: &str| canaries.at(format!("{place} {of}"));
    [
        format!("Web server listening at http://0.0.0.0:8081/?token={}", at("the token in an address")),
        format!("GET /x?code={}&state=1 HTTP/1.1 not found", at("a query with a harmless name")),
        format!("not found: Authorization: Bearer {}", at("a bearer token")),
        format!("not found: {{\"headers\":{{\"X-Api-Key\":[\"{}\"]}}}}", at("a header in JSON")),
        format!("postgres://app:{}@db:5432/app not found", at("a password in an address")),
    ]
    .join("\n")
}
