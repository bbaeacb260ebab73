//! A Caddyfile as the JSON that Caddy makes of it, as far as that is certain. Caddy itself is asked where it is installed; this
//! is for where it is not, and gives up with a sentence at the first thing that it does not know.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    tokens::{self, Line},
    upstreams::reverse_proxy,
};

/// Adapts a Caddyfile. `variable` gives the variables of Caddy's environment.
///
/// # Errors
/// What in it is not understood.
pub(super) fn adapt(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Value, String> {
    let lines = tokens::read(text, variable)?;
    let mut options = Options { http_port: 80, https_port: 443, ..Options::default() };
    let mut sites: Vec<(Vec<Address>, &[Line])> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        match line.block.as_deref() {
            Some(block) if line.words.is_empty() && index == 0 => options.read(block)?,
            Some(_) if line.words.first().is_some_and(|word| word.starts_with(['(', '&', '@'])) => {
                return Err(not_read(line));
            }
            Some(block) if !line.words.is_empty() => sites.push((addresses(line, &options)?, block)),
            // A site without braces: the whole file is that site.
            None if sites.is_empty() && !line.words.is_empty() && is_address(&line.words[0]) => {
                sites.push((addresses(line, &options)?, &lines[index + 1..]));
                break;
            }
            _ => return Err(not_read(line)),
        }
    }
    let mut servers: BTreeMap<u16, Vec<(Vec<String>, Value)>> = BTreeMap::new();
    let mut skipped: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (addresses, block) in &sites {
        let routes = Site::read(block, addresses.iter().any(|own| own.host.is_empty()))?;
        let mut hosts: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for address in addresses {
            hosts.entry(address.port).or_default().extend(Some(address.host.clone()).filter(|host| !host.is_empty()));
            // A host that was written with http:// gets no certificate, on whatever port.
            if address.plain && address.port != options.http_port && !address.host.is_empty() {
                skipped.entry(address.port).or_default().push(address.host.clone());
            }
        }
        for (port, hosts) in hosts {
            let for_all = addresses.iter().any(|own| own.port == port && own.host.is_empty());
            servers.entry(port).or_default().push((if for_all { Vec::new() } else { hosts }, routes.clone()));
        }
    }
    let mut json_servers = Map::new();
    for (at, (port, mut sites)) in servers.into_iter().enumerate() {
        // The most specific host first, a site for every host last.
        sites.sort_by_key(|(hosts, _)| {
            let longest = hosts.iter().map(|host| host.trim_start_matches("*.").len()).max().unwrap_or(0);
            let is_wild = hosts.iter().any(|host| host.contains('*'));
            (hosts.is_empty(), std::cmp::Reverse(longest), is_wild)
        });
        let of = |(hosts, routes): (Vec<String>, Value)| match hosts.is_empty() {
            true => json!({"handle": [{"handler": "subroute", "routes": routes}]}),
            false => json!({
                "match": [{"host": hosts}], "handle": [{"handler": "subroute", "routes": routes}], "terminal": true,
            }),
        };
        let mut server =
            json!({"listen": [format!(":{port}")], "routes": sites.into_iter().map(of).collect::<Vec<_>>()});
        let skip = skipped.remove(&port).unwrap_or_default();
        if options.auto_https.is_some() || !skip.is_empty() {
            let off = options.auto_https.as_deref() == Some("off");
            let redirects = options.auto_https.as_deref() == Some("disable_redirects");
            server["automatic_https"] = json!({"disable": off, "disable_redirects": redirects, "skip": skip});
        }
        json_servers.insert(format!("srv{at}"), server);
    }
    let mut http = json!({"servers": json_servers});
    for (name, port, usual) in [("http_port", options.http_port, 80), ("https_port", options.https_port, 443)] {
        if port != usual {
            http[name] = port.into();
        }
    }
    Ok(json!({"admin": options.admin, "apps": {"http": http}}))
}

pub(super) fn not_read(line: &Line) -> String {
    format!("line {}: the doctor does not read `{}`", line.at, line.words.first().map_or("{", String::as_str))
}

/// The global options that decide where something listens.
#[derive(Default)]
struct Options {
    http_port: u16,
    https_port: u16,
    auto_https: Option<String>,
    admin: Value,
}

/// Global options that have nothing to do with where a request goes.
const HARMLESS_OPTIONS: &[&str] = &[
    "acme_ca",
    "acme_ca_root",
    "acme_dns",
    "acme_eab",
    "cert_issuer",
    "cert_lifetime",
    "debug",
    "default_sni",
    "email",
    "grace_period",
    "key_type",
    "local_certs",
    "log",
    "metrics",
    "ocsp_interval",
    "ocsp_stapling",
    "on_demand_tls",
    "persist_config",
    "pki",
    "preferred_chains",
    "renew_interval",
    "shutdown_delay",
    "skip_install_trust",
    "storage",
    "storage_check",
    "storage_clean_interval",
];

impl Options {
    fn read(&mut self, block: &[Line]) -> Result<(), String> {
        for line in block {
            let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
            match (words.as_slice(), line.block.as_deref()) {
                (["http_port", port], None) => self.http_port = port.parse().map_err(|_| not_read(line))?,
                (["https_port", port], None) => self.https_port = port.parse().map_err(|_| not_read(line))?,
                (["auto_https", how @ ("off" | "disable_redirects")], None) => {
                    self.auto_https = Some((*how).to_owned());
                }
                (["admin", listen @ ..], block) if listen.len() <= 1 && listen != ["off"] => {
                    let mut admin = Map::new();
                    admin.extend(listen.first().map(|listen| ("listen".to_owned(), (*listen).into())));
                    for own in block.unwrap_or_default() {
                        match own.words.split_first() {
                            Some((name, hosts)) if name == "origins" => {
                                _ = admin.insert("origins".to_owned(), json!(hosts));
                            }
                            Some((name, [])) if name == "enforce_origin" => {
                                admin.insert("enforce_origin".to_owned(), true.into());
                            }
                            _ => return Err(not_read(own)),
                        }
                    }
                    self.admin = admin.into();
                }
                ([name, ..], _) if HARMLESS_OPTIONS.contains(name) => {}
                _ => return Err(not_read(line)),
            }
        }
        Ok(())
    }
}

/// An address of a site.
struct Address {
    /// Empty: every host.
    host: String,
    port: u16,
    /// Written with `http://`.
    plain: bool,
}

/// Whether a word can be the address of a site that has no braces.
fn is_address(word: &str) -> bool {
    word.contains("://")
        || word.starts_with(':')
        || word.contains('.')
        || word == "localhost"
        || word.starts_with("localhost:")
}

fn addresses(line: &Line, options: &Options) -> Result<Vec<Address>, String> {
    let words = line.words.iter().flat_map(|word| word.split(',')).filter(|word| !word.is_empty());
    let read = |word: &str| {
        let (scheme, rest) = match word.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            Some(_) => return None,
            None => ("", word),
        };
        if rest.contains(['/', '{', '}', '[']) {
            return None;
        }
        let (host, port) = rest.rsplit_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
        let port = match (port, scheme) {
            (Some(port), _) => port.parse().ok()?,
            (None, "http") => options.http_port,
            // Without a certificate for anything it serves plain HTTP only where the address says so.
            (None, _) => options.https_port,
        };
        let host = if host == "*" { String::new() } else { host.to_ascii_lowercase() };
        let plain = scheme == "http";
        (!host.contains(':')).then_some(Address { host, port, plain })
    };
    words.map(|word| read(word).ok_or_else(|| format!("line {}: the address `{word}` is not read", line.at))).collect()
}

/// The order in which Caddy runs directives, whatever their order in the file (`httpcaddyfile/directives.go`).
const ORDER: &[&str] = &[
    "tracing",
    "map",
    "vars",
    "root",
    "log_append",
    "skip_log",
    "log_skip",
    "header",
    "request_body",
    "redir",
    "rewrite",
    "uri",
    "basicauth",
    "basic_auth",
    "request_header",
    "encode",
    "push",
    "templates",
    "handle",
    "route",
    "abort",
    "error",
    "respond",
    "metrics",
    "reverse_proxy",
    "file_server",
    "acme_server",
];

/// The routes of one block.
struct Site<'s> {
    /// Matchers by their name, with the `@`.
    matchers: BTreeMap<&'s str, Value>,
    /// Whether it is for every host: then a `tls` directive decides whether there is TLS at all.
    for_all: bool,
}

/// A directive as a route, and what it is sorted by.
struct Ordered {
    directive: usize,
    matcher: Option<Value>,
    route: Value,
}

impl Ordered {
    /// Of one directive the longer path goes first, and what has no matcher last (`sortRoutes` in `directives.go`).
    fn is_before(&self, other: &Self) -> bool {
        if self.directive != other.directive {
            return self.directive < other.directive;
        }
        let path = |own: &Self| -> Option<String> {
            let paths = own.matcher.as_ref()?.get("path")?.as_array()?;
            (paths.len() == 1).then(|| paths[0].as_str().map(str::to_owned))?
        };
        match (path(self), path(other)) {
            (Some(a), Some(b)) if a.trim_end_matches('*') == b.trim_end_matches('*') => a.len() < b.len(),
            (Some(a), Some(b)) => a.len() > b.len(),
            _ => self.matcher.is_some() && other.matcher.is_none(),
        }
    }
}

impl<'s> Site<'s> {
    fn read(block: &'s [Line], for_all: bool) -> Result<Value, String> {
        Self { matchers: BTreeMap::new(), for_all }.sorted(block)
    }

    /// Directives in Caddy's order.
    fn sorted(&self, block: &'s [Line]) -> Result<Value, String> {
        let mut routes = self.routes(block)?;
        // As Go sorts a short list: what "less" says of matchers is no order that a sort could rely on.
        for end in 1..routes.len() {
            let mut at = end;
            while at > 0 && routes[at].is_before(&routes[at - 1]) {
                routes.swap(at, at - 1);
                at -= 1;
            }
        }
        Ok(routes.into_iter().map(|own| own.route).collect())
    }

    /// Directives in the order of the file; of several `handle` in one block the first that matches is used.
    fn routes(&self, block: &'s [Line]) -> Result<Vec<Ordered>, String> {
        let mut own = Self { matchers: self.matchers.clone(), for_all: self.for_all };
        for line in block.iter().filter(|line| line.words.first().is_some_and(|word| word.starts_with('@'))) {
            own.matchers.insert(&line.words[0], named_matcher(line)?);
        }
        let directives = block.iter().filter(|line| !line.words.first().is_some_and(|word| word.starts_with('@')));
        let found = directives.map(|line| own.directive(line)).collect::<Result<Vec<_>, _>>()?;
        let mut routes: Vec<Ordered> = found.into_iter().flatten().collect();
        // The group is Caddy's for a whole request, so each block has one of its own.
        if let Some(first) = block.first() {
            for own in routes.iter_mut().filter(|own| ORDER[own.directive] == "handle") {
                own.route["group"] = format!("group{}", first.at).into();
            }
        }
        Ok(routes)
    }

    /// `None` for what makes no route.
    fn directive(&self, line: &'s Line) -> Result<Option<Ordered>, String> {
        let Some((name, arguments)) = line.words.split_first() else { return Err(not_read(line)) };
        let (matcher, arguments) = match arguments.first() {
            Some(word) if word == "*" => (None, &arguments[1..]),
            Some(word) if word.starts_with('@') => match self.matchers.get(word.as_str()) {
                Some(matcher) => (Some(matcher.clone()), &arguments[1..]),
                None => return Err(format!("line {}: there is no matcher {word}", line.at)),
            },
            Some(word) if word.starts_with('/') && !(name == "tls" || name == "root" && arguments.len() == 1) => {
                (Some(json!({"path": [word]})), &arguments[1..])
            }
            _ => (None, arguments),
        };
        let block = line.block.as_deref();
        let argument = |at: usize| arguments.get(at).map(String::as_str);
        let handler = match name.as_str() {
            "log" => return Ok(None),
            "tls" if !self.for_all => return Ok(None),
            "handle" if arguments.is_empty() => {
                json!({"handler": "subroute", "routes": self.sorted(block.ok_or_else(|| not_read(line))?)?})
            }
            "route" if arguments.is_empty() => {
                let routes = self.routes(block.ok_or_else(|| not_read(line))?)?;
                json!({"handler": "subroute", "routes": routes.into_iter().map(|own| own.route).collect::<Vec<_>>()})
            }
            "handle_path" if arguments.is_empty() => {
                let pattern = matcher.as_ref().and_then(|own| own["path"][0].as_str()).ok_or_else(|| not_read(line))?;
                let prefix = pattern.strip_suffix("/*").or_else(|| pattern.strip_suffix('*')).unwrap_or(pattern);
                let strip = json!({"handle": [{"handler": "rewrite", "strip_path_prefix": prefix}]});
                let mut routes = vec![strip];
                if let Value::Array(rest) = self.sorted(block.ok_or_else(|| not_read(line))?)? {
                    routes.extend(rest);
                }
                json!({"handler": "subroute", "routes": routes})
            }
            "reverse_proxy" => reverse_proxy(line, arguments)?,
            "respond" => {
                let status = arguments.iter().find_map(|word| word.parse::<u16>().ok());
                json!({"handler": "static_response", "status_code": status})
            }
            "redir" if !arguments.is_empty() => json!({"handler": "static_response"}),
            "abort" => json!({"handler": "static_response"}),
            "error" => json!({"handler": "error"}),
            "metrics" | "acme_server" | "encode" | "templates" | "push" | "tracing" | "map" | "request_body"
            | "vars" | "log_append" => {
                json!({"handler": name})
            }
            "root" | "skip_log" | "log_skip" => json!({"handler": "vars"}),
            "basicauth" | "basic_auth" => json!({"handler": "authentication"}),
            "header" => json!({"handler": "headers"}),
            "request_header" if block.is_none() && argument(0).is_some_and(|field| !is_host(field)) => {
                json!({"handler": "headers"})
            }
            "file_server" => {
                let passes = block.unwrap_or_default().iter().any(|own| own.words == ["pass_thru"]);
                json!({"handler": "file_server", "pass_thru": passes})
            }
            "rewrite" if arguments.len() == 1 && block.is_none() => json!({"handler": "rewrite", "uri": argument(0)}),
            "uri" if argument(0) == Some("strip_prefix") && arguments.len() == 2 => {
                json!({"handler": "rewrite", "strip_path_prefix": argument(1)})
            }
            _ => return Err(not_read(line)),
        };
        let name = if name == "handle_path" { "handle" } else { name };
        let directive = ORDER.iter().position(|own| *own == name).ok_or_else(|| not_read(line))?;
        let mut route = json!({"handle": [handler]});
        if let Some(matcher) = &matcher {
            route["match"] = json!([matcher]);
        }
        Ok(Some(Ordered { directive, matcher, route }))
    }
}

/// Whether a header operation (`Host`, `+Host`, `-Host`) is about the Host.
pub(super) fn is_host(field: &str) -> bool {
    field.trim_start_matches(['+', '-', '?', '>']).eq_ignore_ascii_case("host") || field.contains('*')
}

/// `@name host a b`, or a block of such lines, which must all hold. What is more than host, path and method stays undecided.
fn named_matcher(line: &Line) -> Result<Value, String> {
    let mut set = Map::new();
    let mut add = |words: &[String], at: usize| -> Result<(), String> {
        let Some((kind, values)) = words.split_first() else { return Err(format!("line {at}: an empty matcher")) };
        match kind.as_str() {
            "host" | "path" | "method" => {
                let list = set.entry(kind.clone()).or_insert_with(|| json!([]));
                if let Value::Array(list) = list {
                    list.extend(values.iter().map(|value| Value::from(value.as_str())));
                }
            }
            kind => {
                // The word `expression` may be left out.
                let is_name = kind.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                set.insert(if is_name { kind } else { "expression" }.to_owned(), json!({}));
            }
        }
        Ok(())
    };
    match &line.block {
        Some(block) if line.words.len() == 1 => {
            for own in block {
                add(&own.words, own.at)?;
            }
        }
        _ => add(&line.words[1..], line.at)?,
    }
    Ok(set.into())
}

#[cfg(test)]
mod tests {
    use caddy_doctor_checks::model::caddy::CaddyConfig;

    use super::*;

    fn adapted(text: &str) -> Result<Value, String> {
        adapt(text, &|name| (name == "HOST").then(|| "env.test".to_owned()))
    }

    /// As the doctor reads it from Caddy, without the names of servers and groups, which mean nothing.
    fn servers(config: &Value) -> Vec<Value> {
        fn plain(value: &mut Value) {
            match value {
                Value::Array(list) => list.iter_mut().for_each(plain),
                Value::Object(map) => {
                    map.entry("group").and_modify(|group| *group = "g".into());
                    map.values_mut().for_each(plain);
                }
                _ => {}
            }
        }
        let read = CaddyConfig::read(config.to_string().as_bytes()).unwrap();
        let mut all: Vec<Value> = read.servers().values().map(|server| serde_json::to_value(server).unwrap()).collect();
        all.iter_mut().for_each(plain);
        all.sort_by_key(|server| server["listen"].to_string());
        all
    }

    #[test]
    fn it_is_what_caddy_makes_of_it() {
        let text = "\
            example.com {\n\treverse_proxy mitmproxy:8080\n}\n\
            b.localhost {\n\treverse_proxy https://host.docker.internal:8443 {\n\t\ttransport http {\n\t\t\tdial_timeout 3s\n\
            \t\t\ttls_insecure_skip_verify\n\t\t}\n\t}\n}\n\
            http://a.localhost {\n\tlog\n\thandle {\n\t\treverse_proxy unix//run/app.sock\n\t}\n\thandle_path /api/* {\n\
            \t\treverse_proxy mitmproxy:8080 {\n\t\t\theader_up Host {upstream_hostport}\n\t\t\theader_up X-Y z\n\
            \t\t\tlb_policy first\n\t\t\thealth_uri /health\n\t\t}\n\t}\n}\n";
        // Printed by Caddy 2.6.2, `caddy adapt`, for a Caddyfile with these sites.
        let caddy = json!({"apps": {"http": {"servers": {
            "srv0": {"listen": [":443"], "routes": [
                {"match": [{"host": ["example.com"]}], "handle": [{"handler": "subroute", "routes": [
                    {"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "mitmproxy:8080"}]}]},
                ]}], "terminal": true},
                {"match": [{"host": ["b.localhost"]}], "handle": [{"handler": "subroute", "routes": [
                    {"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "host.docker.internal:8443"}],
                        "transport": {"dial_timeout": 3_000_000_000_u64, "protocol": "http", "tls": {"insecure_skip_verify": true}}}]},
                ]}], "terminal": true},
            ]},
            "srv1": {"listen": [":80"], "routes": [
                {"match": [{"host": ["a.localhost"]}], "handle": [{"handler": "subroute", "routes": [
                    {"group": "group4", "match": [{"path": ["/api/*"]}], "handle": [{"handler": "subroute", "routes": [
                        {"handle": [{"handler": "rewrite", "strip_path_prefix": "/api"}]},
                        {"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "mitmproxy:8080"}],
                            "headers": {"request": {"set": {"Host": ["{http.reverse_proxy.upstream.hostport}"]}}}}]},
                    ]}]},
                    {"group": "group4", "handle": [{"handler": "subroute", "routes": [
                        {"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "unix//run/app.sock"}]}]},
                    ]}]},
                ]}], "terminal": true},
            ]},
        }}}});
        assert_eq!(servers(&adapted(text).unwrap()), servers(&caddy));
    }

    #[test]
    fn options_addresses_and_upstreams() {
        let text = "{\n\tadmin 0.0.0.0:2019\n\tauto_https off\n\temail a@b.c\n}\nhttp://{$HOST}:8080, :81 {\n\treverse_proxy @api http://m http://h:1\n\
                    \t@api {\n\t\tmethod GET\n\t\theader X y\n\t}\n\trespond \"no\" 404\n}\n";
        let config = adapted(text).unwrap();
        assert_eq!(config["admin"]["listen"], "0.0.0.0:2019");
        let servers = &config["apps"]["http"]["servers"];
        assert_eq!(servers["srv0"]["listen"], json!([":81"]));
        assert_eq!(servers["srv0"]["routes"][0].get("match"), None);
        assert_eq!(servers["srv1"]["routes"][0]["match"], json!([{"host": ["env.test"]}]));
        let off = json!({"disable": true, "disable_redirects": false, "skip": ["env.test"]});
        assert_eq!(servers["srv1"]["automatic_https"], off);
        let inner = &servers["srv1"]["routes"][0]["handle"][0]["routes"];
        assert_eq!(inner[0]["handle"][0]["handler"], "static_response", "respond is before reverse_proxy");
        assert_eq!(inner[1]["match"], json!([{"method": ["GET"], "header": {}}]));
    }

    #[test]
    fn what_is_not_certain_is_given_up_with_its_line() {
        for (text, said) in [
            ("import x\n", "line 1: the doctor does not read `import`"),
            (":80 {\n\timport x\n}\n", "line 2: the doctor does not read `import`"),
            ("(s) {\n}\n", "line 1: the doctor does not read `(s)`"),
            ("{\n\torder x first\n}\n", "`order`"),
            ("{\n\tadmin off\n}\n", "`admin`"),
            (":80 {\n\tforward_auth a:1 {\n\t\turi /\n\t}\n}\n", "`forward_auth`"),
            (":80 {\n\treverse_proxy @m a:1\n}\n", "there is no matcher @m"),
            (":80 {\n\treverse_proxy {\n\t\tdynamic a m 1\n\t}\n}\n", "`dynamic`"),
            (":80 {\n\treverse_proxy a:1-3\n}\n", "the upstream `a:1-3`"),
            (":80 {\n\treverse_proxy http://a:1/x\n}\n", "the upstream"),
            (":80 {\n\treverse_proxy https://a b:1\n}\n", "several schemes"),
            (":80 {\n\treverse_proxy a:1 {\n\t\theader_up -Host\n\t}\n}\n", "`header_up`"),
            ("a.test/x {\n}\n", "the address `a.test/x`"),
            (":443 {\n\ttls internal\n}\n", "`tls`"),
        ] {
            let why = adapted(text).expect_err(text);
            assert!(why.contains(said), "{text}: {why}");
        }
    }

    #[test]
    fn the_longer_path_goes_first_and_a_site_may_have_no_braces() {
        let text = "localhost:8080\nhandle {\n\trespond 1\n}\nhandle /a/* {\n\trespond 2\n}\nhandle /a/b/* {\n\thandle /c {\n\t\trespond 3\n\t}\n}\n";
        let config = adapted(text).unwrap();
        let routes = &config["apps"]["http"]["servers"]["srv0"]["routes"][0]["handle"][0]["routes"];
        let paths: Vec<Value> = (0..3).map(|at| routes[at]["match"][0]["path"][0].clone()).collect();
        assert_eq!(paths, [json!("/a/b/*"), json!("/a/*"), Value::Null]);
        assert_ne!(routes[0]["group"], routes[0]["handle"][0]["routes"][0]["group"], "a group is for a whole request");
    }
}
