//! Caddy's config, as far as it decides where a request goes. Everything else in it is not read at all.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use crate::model::{
    Known, Place, text,
    view::{PublishedSeen, Way},
};

/// Every Caddy that was found, asked for its config.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Caddies(pub Vec<CaddySeen>);

impl Caddies {
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&CaddySeen> {
        self.0.iter().find(|caddy| caddy.name == name)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CaddySeen {
    /// The container's name, or `caddy (pid 123)`.
    pub name: String,
    pub place: Place,
    /// From `CADDY_VERSION` of the image; the admin API does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The admin API's address in its place: `http://127.0.0.1:2019`.
    pub admin: String,
    /// How it was reached.
    pub way: Way,
    pub config: Known<CaddyConfig>,
    /// The admin API over the port that is published for it; absent when none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedSeen>,
}

impl CaddySeen {
    /// The port on which its admin API was asked.
    #[must_use]
    pub fn admin_port(&self) -> u16 {
        let address = self.admin.split("://").nth(1).unwrap_or(&self.admin);
        crate::model::path::listen_port(address.trim_end_matches('/')).unwrap_or(ADMIN_PORT)
    }

    /// Where its admin API listens: as its config says, else as `CADDY_ADMIN` does where its version obeys that (2.6.3 and
    /// newer) or it was found there, else Caddy's own default.
    #[must_use]
    pub fn admin_listen<'a>(&'a self, variable: Option<&'a str>) -> &'a str {
        let configured = self.config.as_ref().ok().and_then(|config| config.admin.as_ref()?.listen.as_deref());
        let is_there = |told: &&str| {
            let port = crate::model::path::listen_port(told);
            self.obeys_variable() || port == Some(self.admin_port()) && port != Some(ADMIN_PORT)
        };
        configured.or_else(|| variable.filter(|told| !told.is_empty()).filter(is_there)).unwrap_or("localhost:2019")
    }

    /// Whether it is known to obey `CADDY_ADMIN`.
    #[must_use]
    pub fn obeys_variable(&self) -> bool {
        let parts = self.version.as_deref().unwrap_or_default().split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        parts.collect::<Vec<_>>() >= vec![2, 6, 3]
    }

    /// The ports that its admin API has or may have.
    #[must_use]
    pub fn admin_ports(&self, variable: Option<&str>) -> Vec<u16> {
        let told = [Some(self.admin_listen(variable)), variable].into_iter().flatten();
        told.filter_map(crate::model::path::listen_port).chain([self.admin_port(), ADMIN_PORT]).collect()
    }
}

/// Caddy's own default for its admin API.
const ADMIN_PORT: u16 = 2019;

/// `GET /config/`: `admin` and `apps.http` only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CaddyConfig {
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    #[serde(default, deserialize_with = "object")]
    pub apps: Apps,
}

impl CaddyConfig {
    /// Reads what the admin API answers. A Caddy without any config says `null`.
    ///
    /// # Errors
    /// When it is no JSON, or not of the form of Caddy's config.
    pub fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let config = object(&mut deserializer)?;
        deserializer.end()?;
        Ok(config)
    }

    #[must_use]
    pub fn servers(&self) -> &BTreeMap<String, Server> {
        &self.apps.http.servers
    }
}

/// The admin API's own settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Admin {
    /// `localhost:2019` when absent, or what `CADDY_ADMIN` says (from 2.6.3).
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Hosts and origins that are let in, instead of those that follow from `listen`.
    #[serde(default, deserialize_with = "some_texts", skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_false")]
    pub enforce_origin: bool,
}

/// `automatic_https` of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AutomaticHttps {
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_false")]
    pub disable: bool,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_false")]
    pub disable_redirects: bool,
    /// Hosts that it leaves alone.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Apps {
    #[serde(default, deserialize_with = "object")]
    pub http: Http,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Http {
    /// 80 when absent.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub http_port: Option<u16>,
    /// 443 when absent.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub https_port: Option<u16>,
    #[serde(default, deserialize_with = "or_default")]
    pub servers: BTreeMap<String, Server>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Server {
    /// Addresses in Caddy's form: `:80`, `127.0.0.1:8080`, `tcp/0.0.0.0:80-81`, `unix//run/caddy.sock`.
    #[serde(default, deserialize_with = "texts")]
    pub listen: Vec<String>,
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub named_routes: BTreeMap<String, Route>,
    /// Where a request goes whose routes returned an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Box<ErrorRoutes>>,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub automatic_https: Option<AutomaticHttps>,
    /// Kept as a count: the policies themselves may name certificates.
    #[serde(
        default,
        rename = "tls_connection_policies",
        deserialize_with = "count",
        serialize_with = "counted",
        skip_serializing_if = "is_zero"
    )]
    pub tls_policies: usize,
}

impl Http {
    /// Whether a server of it speaks TLS on one of its ports: with policies of its own, on the https port, or because
    /// automatic HTTPS found a host that qualifies; never on the http port (`modules/caddyhttp/{app,autohttps}.go`).
    #[must_use]
    pub fn speaks_tls(&self, server: &Server, port: u16) -> bool {
        port != self.http_port.unwrap_or(80)
            && (server.tls_policies > 0
                || port == self.https_port.unwrap_or(443)
                || !self.hosts_of_automatic_https(server).is_empty())
    }

    /// The hosts for which Caddy gets certificates by itself, and for which it then turns the server to TLS.
    #[must_use]
    pub fn hosts_of_automatic_https<'s>(&self, server: &'s Server) -> Vec<&'s str> {
        let only_http = server.listen_ports().all(|port| port == self.http_port.unwrap_or(80));
        let own = server.automatic_https.as_ref();
        if only_http || own.is_some_and(|own| own.disable) {
            return Vec::new();
        }
        let hosts = server.routes.iter().flat_map(|route| &route.matches).filter_map(|set| set.host.as_ref()).flatten();
        hosts
            .map(String::as_str)
            .filter(|host| {
                qualifies_for_certificate(host) && !own.is_some_and(|own| own.skip.iter().any(|skip| skip == host))
            })
            .collect()
    }
}

impl Server {
    /// The TCP ports that it listens on, in order.
    pub fn listen_ports(&self) -> impl Iterator<Item = u16> {
        self.listen.iter().filter_map(|address| crate::model::path::listen_port(address))
    }
}

/// As certmagic's `SubjectQualifiesForCert`, in short.
fn qualifies_for_certificate(host: &str) -> bool {
    let wildcards = host.matches('*').count();
    !host.is_empty()
        && !host.starts_with('.')
        && !host.ends_with('.')
        && (wildcards == 0 || wildcards == 1 && host.starts_with("*."))
        && !host.contains(|c: char| c.is_whitespace() || "(){}<>\"!@#$%^&|;'+=".contains(c))
}

/// A route: it applies when one of its matcher sets does (none: always), and then runs its handlers in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Route {
    #[serde(default, rename = "@id", deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Of the routes in one group only the first that matches is used.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(default, rename = "match", deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<MatcherSet>,
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub handle: Vec<Handler>,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_false")]
    pub terminal: bool,
}

/// `errors` of a server or of a `subroute`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorRoutes {
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

/// Matchers that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MatcherSet {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Vec<MatcherSet>>,
    /// The names of matchers that cannot be decided from the Host and the path alone: `header`, `expression`, ...
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<String>,
}

impl<'de> Deserialize<'de> for MatcherSet {
    /// Reads Caddy's form (`{"host": [..], "header": {..}}`, matchers by name) and the recording's own.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut set = Self::default();
        for (name, value) in BTreeMap::<String, Value>::deserialize(deserializer)? {
            match name.as_str() {
                "undecided" => set.undecided.extend(typed::<Vec<String>>(value).unwrap_or_default()),
                "host" | "path" | "method" => match typed::<Vec<String>>(value).map(without_secrets) {
                    Some(list) if name == "host" => set.host = Some(list),
                    Some(list) if name == "path" => set.path = Some(list),
                    Some(list) => set.method = Some(list),
                    None => set.undecided.push(name),
                },
                "not" => match typed(value) {
                    Some(sets) => set.not = Some(sets),
                    None => set.undecided.push(name),
                },
                _ => set.undecided.push(name),
            }
        }
        Ok(set)
    }
}

/// A handler; `handler` names it, and the fields of the handlers that matter here are read where they stand. What few
/// handlers have is boxed: a config may hold thousands of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "HandlerFields")]
pub struct Handler {
    pub handler: String,
    /// `subroute`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// `subroute`: what becomes of an error that its routes return.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Box<ErrorRoutes>>,
    /// `reverse_proxy`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub upstreams: Vec<Upstream>,
    /// `reverse_proxy`: the upstreams are looked up per request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_upstreams: Option<Box<DynamicUpstreams>>,
    /// `reverse_proxy`: how one of several upstreams is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancing: Option<Box<LoadBalancing>>,
    /// `reverse_proxy`: whether Caddy asks its upstreams by itself whether they are well (`health_checks.active`), at the address
    /// that it dials.
    #[serde(skip_serializing_if = "is_false")]
    pub health_checks: bool,
    /// `reverse_proxy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Box<Transport>>,
    /// `reverse_proxy`: `headers.request.set.Host` is what the upstream sees as Host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Box<HeaderOps>>,
    /// `reverse_proxy` and `intercept`: routes for the answers of an upstream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub handle_response: Vec<ResponseRoutes>,
    /// `headers`: a Host set here is seen by every later handler and matcher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<RequestOps>>,
    /// `invoke`: which of the server's `named_routes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// `rewrite`.
    #[serde(flatten)]
    pub rewrite: Option<Box<Rewrite>>,
    /// `static_response` and `error`; `None` when it stands in a placeholder, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// `file_server`: a file that is not there is left to the next handler.
    #[serde(skip_serializing_if = "is_false")]
    pub pass_thru: bool,
}

/// A handler as it stands in JSON.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct HandlerFields {
    #[serde(default, deserialize_with = "lenient")]
    handler: String,
    #[serde(default, deserialize_with = "list")]
    routes: Vec<Route>,
    #[serde(default)]
    errors: Option<Box<ErrorRoutes>>,
    #[serde(default, deserialize_with = "lenient")]
    upstreams: Vec<Upstream>,
    #[serde(default, deserialize_with = "lenient")]
    dynamic_upstreams: Option<Box<DynamicUpstreams>>,
    #[serde(default, deserialize_with = "lenient")]
    load_balancing: Option<Box<LoadBalancing>>,
    #[serde(default, deserialize_with = "active")]
    health_checks: bool,
    #[serde(default, deserialize_with = "lenient")]
    transport: Option<Box<Transport>>,
    #[serde(default, deserialize_with = "lenient")]
    headers: Option<Box<HeaderOps>>,
    #[serde(default, deserialize_with = "list")]
    handle_response: Vec<ResponseRoutes>,
    #[serde(default, deserialize_with = "lenient")]
    request: Option<Box<RequestOps>>,
    #[serde(default, deserialize_with = "lenient")]
    name: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    method: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    uri: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    strip_path_prefix: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    strip_path_suffix: Option<Box<str>>,
    #[serde(default, deserialize_with = "filled")]
    uri_substring: bool,
    #[serde(default, deserialize_with = "filled")]
    path_regexp: bool,
    #[serde(default, deserialize_with = "status")]
    status_code: Option<u16>,
    #[serde(default, deserialize_with = "lenient")]
    pass_thru: bool,
}

impl From<HandlerFields> for Handler {
    /// Takes of a handler the fields that handlers of this name have: one of another name (`vars`, say) may have a secret in a
    /// field that is called the same.
    fn from(fields: HandlerFields) -> Self {
        let name = fields.handler.as_str();
        let (proxies, responds) = (name == "reverse_proxy", matches!(name, "reverse_proxy" | "intercept"));
        let nests = !matches!(name, "vars" | "map");
        let given =
            |text: Option<Box<str>>| text.filter(|text| !text.is_empty()).map(|own| text::of_config(&own).into());
        let rewrite = (name == "rewrite").then(|| {
            // The query is none of our business, and may hold a secret.
            let path = fields.uri.and_then(|uri| uri.split(['?', '#']).next().map(Into::into));
            Box::new(Rewrite {
                method: given(fields.method),
                uri: given(path),
                strip_path_prefix: given(fields.strip_path_prefix),
                strip_path_suffix: given(fields.strip_path_suffix),
                uri_substring: fields.uri_substring,
                path_regexp: fields.path_regexp,
            })
        });
        Self {
            routes: if nests { fields.routes } else { Vec::new() },
            errors: fields.errors.filter(|_| nests),
            upstreams: if proxies { fields.upstreams } else { Vec::new() },
            dynamic_upstreams: fields.dynamic_upstreams.filter(|_| proxies),
            load_balancing: fields.load_balancing.filter(|_| proxies),
            health_checks: proxies && fields.health_checks,
            transport: fields.transport.filter(|_| proxies),
            headers: fields.headers.filter(|_| proxies),
            handle_response: if responds { fields.handle_response } else { Vec::new() },
            request: fields.request.filter(|_| name == "headers"),
            name: fields.name.filter(|_| name == "invoke"),
            rewrite,
            status_code: fields.status_code.filter(|_| matches!(name, "static_response" | "error")),
            pass_thru: fields.pass_thru && name == "file_server",
            handler: fields.handler,
        }
    }
}

impl Handler {
    #[must_use]
    pub fn tls(&self) -> bool {
        self.transport.as_ref().is_some_and(|transport| transport.tls)
    }

    /// Whether it takes the first upstream that is available, always.
    #[must_use]
    pub fn prefers_the_first(&self) -> bool {
        let policy = self.load_balancing.as_ref().and_then(|own| own.selection_policy.as_ref());
        policy.is_some_and(|own| own.policy == "first")
    }

    /// The Host that the upstream gets, where the route changes it.
    #[must_use]
    pub fn sets_host(&self) -> Option<&str> {
        self.request_ops()?.sets_host()
    }

    /// What it does with the headers of the request.
    #[must_use]
    pub fn request_ops(&self) -> Option<&RequestOps> {
        match self.handler.as_str() {
            "reverse_proxy" => self.headers.as_ref()?.request.as_ref(),
            "headers" => self.request.as_deref(),
            _ => None,
        }
    }

    /// Every list of routes inside it, and where it stands: `""`, `/errors`, `/handle_response/0`, all before `/routes`.
    pub fn nested(&self) -> impl Iterator<Item = (String, &[Route])> {
        let errors = self.errors.as_ref().map(|errors| ("/errors".to_owned(), errors.routes.as_slice()));
        let responses = self.handle_response.iter().enumerate();
        let responses = responses.map(|(index, own)| (format!("/handle_response/{index}"), own.routes.as_slice()));
        [(String::new(), self.routes.as_slice())].into_iter().chain(errors).chain(responses)
    }
}

/// How a `reverse_proxy` chooses among its upstreams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoadBalancing {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection_policy: Option<SelectionPolicy>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SelectionPolicy {
    /// `first`, `round_robin`, ...; random when absent.
    #[serde(default)]
    pub policy: String,
}

/// What a `rewrite` handler changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rewrite {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Box<str>>,
    /// Its path; the query is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_path_prefix: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_path_suffix: Option<Box<str>>,
    /// Whether it replaces parts of the URI.
    #[serde(skip_serializing_if = "is_false")]
    pub uri_substring: bool,
    /// Whether it replaces what a regular expression finds in the path.
    #[serde(skip_serializing_if = "is_false")]
    pub path_regexp: bool,
}

impl Rewrite {
    /// Whether it can change the path, and not only the query or the method.
    #[must_use]
    pub fn changes_path(&self) -> bool {
        let texts = [&self.uri, &self.strip_path_prefix, &self.strip_path_suffix];
        texts.iter().any(|text| text.is_some()) || self.uri_substring || self.path_regexp
    }
}

/// One of `handle_response`: its routes answer in place of the upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResponseRoutes {
    #[serde(default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Whether only the status is replaced.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "is_false")]
    pub status_code: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Upstream {
    #[serde(default, deserialize_with = "one_text")]
    pub dial: String,
    /// Up to 2.6.4, in place of the dial: a name whose SRV record is looked up.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub lookup_srv: Option<Box<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DynamicUpstreams {
    /// `a`, `srv` or `multi`.
    #[serde(default, deserialize_with = "lenient")]
    pub source: String,
    #[serde(default, deserialize_with = "one_text", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// A string in the module `a`.
    #[serde(default, deserialize_with = "one_text", skip_serializing_if = "String::is_empty")]
    pub port: String,
    /// Of the module `multi`.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<DynamicUpstreams>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transport {
    /// Whether there is a `tls` object.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls: bool,
    /// Whether it takes any certificate.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls_unverified: bool,
    /// Whether it knows authorities of its own; not which.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls_roots: bool,
    /// `1.1`, `2`, `h2c`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// Whether it has a proxy of its own, or none whatever the environment says.
    #[serde(default, skip_serializing_if = "is_false")]
    pub own_proxy: bool,
}

impl<'de> Deserialize<'de> for Transport {
    /// Reads Caddy's form and the recording's own; of `tls` nothing is kept but what decides.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = BTreeMap::<String, Value>::deserialize(deserializer)?;
        let on = |value: Option<&Value>| value.and_then(Value::as_bool).unwrap_or(false);
        let filled =
            |value: Option<&Value>| value.is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)));
        let tls = raw.get("tls");
        let of_tls = |key: &str| tls.and_then(|tls| tls.get(key));
        Ok(Self {
            tls: matches!(tls, Some(Value::Object(_) | Value::Bool(true))),
            tls_unverified: on(of_tls("insecure_skip_verify")) || on(raw.get("tls_unverified")),
            tls_roots: ["root_ca_pool", "root_ca_pem_files", "ca"].iter().any(|key| filled(of_tls(key)))
                || on(raw.get("tls_roots")),
            versions: raw.get("versions").cloned().and_then(typed).unwrap_or_default(),
            own_proxy: filled(raw.get("forward_proxy_url"))
                || filled(raw.get("network_proxy"))
                || on(raw.get("own_proxy")),
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeaderOps {
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestOps>,
}

/// Of the headers that are set, only Host is kept: others may carry credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestOps {
    #[serde(default, deserialize_with = "host_only", skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Vec<String>>,
    /// Whether a Host is added, and so takes the place of the one that was sent.
    #[serde(default, deserialize_with = "names_host", skip_serializing_if = "is_false")]
    pub add: bool,
    /// Whether the Host is deleted, perhaps by a wildcard.
    #[serde(default, deserialize_with = "names_host", skip_serializing_if = "is_false")]
    pub delete: bool,
    /// Whether parts of the Host are replaced.
    #[serde(default, deserialize_with = "names_host", skip_serializing_if = "is_false")]
    pub replace: bool,
}

impl RequestOps {
    #[must_use]
    pub fn sets_host(&self) -> Option<&str> {
        self.set.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"))?.1.first().map(String::as_str)
    }

    /// What the Host is afterwards, when it was `host`. `None` when that cannot be known.
    #[must_use]
    pub fn host_after<'h>(&'h self, host: Option<&'h str>) -> Option<&'h str> {
        let mut set = self.set.values();
        match (set.next().map(Vec::as_slice), set.next()) {
            _ if self.add || self.delete || self.replace => None,
            (None, _) => host,
            (Some([value]), None) if !value.contains('{') => Some(value),
            _ => None,
        }
    }
}

fn typed<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

/// `null` is as good as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The same for a list, which takes no more room than it needs: most have one entry, and room that is given back late
/// leaves gaps in memory.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Lists<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Lists<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a sequence")
        }

        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(entry) = entries.next_element()? {
                if list.is_empty() {
                    list.reserve_exact(1);
                }
                list.push(entry);
            }
            list.shrink_to_fit();
            Ok(list)
        }
    }
    deserializer.deserialize_any(Lists(PhantomData))
}

/// An object, or `null`. serde would also take a list for a struct, and an empty one would pass for an empty config.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    struct Objects<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Objects<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_unit<E>(self) -> Result<T, E> {
            Ok(T::default())
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(Objects(PhantomData))
}

/// A value of another type is as good as absent. Used on leaves only, since it holds the value in memory.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(typed(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// The same for texts, without the secrets that may be in them.
fn one_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    lenient(deserializer).map(without_secret)
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    lenient(deserializer).map(without_secrets)
}

fn some_texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    lenient(deserializer).map(|texts: Option<Vec<String>>| texts.map(without_secrets))
}

fn without_secrets(texts: Vec<String>) -> Vec<String> {
    texts.into_iter().map(without_secret).collect()
}

/// Nearly all texts have nothing that could be one, and a config may have many thousands of them.
fn without_secret(text: String) -> String {
    if text.contains(['{', '@']) { text::of_config(&text) } else { text }
}

/// Of `health_checks` whether there are active ones to the upstream's own address; or `true`, as it is recorded. Without a path
/// Caddy makes none, and a port leads elsewhere (`ActiveHealthChecks` in `healthchecks.go`).
fn active<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let active = &value["active"];
    let says = |name: &str| active[name].as_str().is_some_and(|text| !text.is_empty());
    let elsewhere = active["port"].as_u64().is_some_and(|port| port != 0) || says("upstream");
    Ok(value == Value::Bool(true) || (says("uri") || says("path")) && !elsewhere)
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(policies) => policies.len(),
        Value::Number(recorded) => recorded.as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0),
        _ => 0,
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn counted<S: serde::Serializer>(count: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(*count as u64)
}

/// Whether there is anything in it.
fn filled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(recorded) => recorded,
        Value::Array(list) => !list.is_empty(),
        Value::String(text) => !text.is_empty(),
        value => !value.is_null(),
    })
}

/// Caddy takes a status as a number and as a string.
fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(status) => status.as_u64().and_then(|status| u16::try_from(status).ok()),
        Value::String(status) => status.parse().ok(),
        _ => None,
    })
}

/// Whether Host is among the names of header fields, which may hold wildcards and placeholders.
fn names_host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let is_host = |name: &str| {
        let name = name.to_ascii_lowercase();
        let (front, back) = (name.strip_suffix('*'), name.strip_prefix('*'));
        name == "host"
            || name.contains('{')
            || front.is_some_and(|front| front.contains('*') || "host".starts_with(front))
            || back.is_some_and(|back| "host".ends_with(back))
    };
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(recorded) => recorded,
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is_host),
        Value::Object(fields) => fields.keys().any(|name| is_host(name)),
        _ => false,
    })
}

fn host_only<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let all: BTreeMap<String, Vec<String>> = lenient(deserializer)?;
    let hosts = all.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    Ok(hosts.map(|(name, values)| (name, without_secrets(values))).collect())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_caddy_sends_and_keeps_no_secret() {
        let config: CaddyConfig = serde_json::from_str(
            r#"{"admin":{"listen":":2019"},"apps":{"tls":{"x":"SECRET"},"http":{"servers":{"srv0":{"listen":[":80"],
            "tls_connection_policies":[{"certificate_selection":{"any_tag":["SECRET"]}}],
            "routes":[{"@id":"api","match":[{"host":["api.example.com"],"header":{"X-Key":["SECRET"]}}],"handle":[
              {"handler":"authentication","providers":{"http_basic":{"accounts":[{"password":"SECRET"}]}}},
              {"handler":"headers","request":{"set":{"Authorization":["SECRET"],"Host":["b"]}}},
              {"handler":"reverse_proxy","upstreams":[{"dial":"mitmproxy:8080"}],
               "transport":{"protocol":"http","tls":{"client_certificate_key_file":"SECRET"}}}],
             "terminal":true}]}}}}}"#,
        )
        .unwrap();
        let server = &config.servers()["srv0"];
        let route = &server.routes[0];
        assert_eq!(server.tls_policies, 1);
        assert_eq!(route.matches[0].undecided, ["header"]);
        assert_eq!(route.handle[1].sets_host(), Some("b"));
        assert!(route.handle[2].tls());
        let recorded = serde_json::to_string(&config).unwrap();
        assert!(!recorded.contains("SECRET"), "{recorded}");
        assert_eq!(serde_json::from_str::<CaddyConfig>(&recorded).unwrap(), config);
    }

    #[test]
    fn survives_null_and_leaves_of_another_type() {
        let config: CaddyConfig = serde_json::from_str(
            r#"{"apps":{"http":{"servers":{"a":{"listen":7,"routes":null},"b":{"routes":[{"@id":3,"terminal":"x",
            "match":[{"host":"one"}],"handle":[{"handler":"reverse_proxy","upstreams":{},"transport":[]}]}]}}}}}"#,
        )
        .unwrap();
        assert_eq!(config.servers()["b"].routes[0].matches[0].undecided, ["host"]);
        assert_eq!(CaddyConfig::read(b"null").unwrap(), CaddyConfig::default());
        assert!(CaddyConfig::read(b"[]").is_err() && CaddyConfig::read(br#"{"apps":[]}"#).is_err());
    }
}
