//! Caddy's config, as far as it decides where a request goes. Everything else in it is not read at all.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;

use crate::model::{Known, Place, view::Way};

/// Every Caddy that was found, asked for its config.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Caddies(pub Vec<CaddySeen>);

impl Caddies {
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&CaddySeen> {
        self.0.iter().find(|caddy| caddy.name == name)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
}

/// `GET /config/`: `apps.http` only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CaddyConfig {
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

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Apps {
    #[serde(default, deserialize_with = "object")]
    pub http: Http,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
pub struct Server {
    /// Addresses in Caddy's form: `:80`, `127.0.0.1:8080`, `tcp/0.0.0.0:80-81`, `unix//run/caddy.sock`.
    #[serde(default, deserialize_with = "lenient")]
    pub listen: Vec<String>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub named_routes: BTreeMap<String, Route>,
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

/// A route: it applies when one of its matcher sets does (none: always), and then runs its handlers in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Route {
    #[serde(default, rename = "@id", deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Of the routes in one group only the first that matches is used.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(default, rename = "match", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<MatcherSet>,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub handle: Vec<Handler>,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "is_false")]
    pub terminal: bool,
}

/// Matchers that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
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
                "host" | "path" | "method" => match typed(value) {
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

/// A handler; `handler` names it, and the fields of the handlers that matter here are read where they stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Handler {
    #[serde(default, deserialize_with = "lenient")]
    pub handler: String,
    /// `subroute`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// `reverse_proxy`.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Vec::is_empty")]
    pub upstreams: Vec<Upstream>,
    /// `reverse_proxy`: the upstreams are looked up per request.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub dynamic_upstreams: Option<DynamicUpstreams>,
    /// `reverse_proxy`.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// `reverse_proxy`: `headers.request.set.Host` is what the upstream sees as Host.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub headers: Option<HeaderOps>,
    /// `headers`: a Host set here is seen by every later handler.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestOps>,
    /// `invoke`: which of the server's `named_routes`.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Handler {
    /// Whether it writes an answer and so ends the request here.
    #[must_use]
    pub fn responds(&self) -> bool {
        matches!(self.handler.as_str(), "static_response" | "file_server" | "error" | "acme_server" | "metrics")
    }

    #[must_use]
    pub fn tls(&self) -> bool {
        self.transport.as_ref().is_some_and(|transport| transport.tls)
    }

    /// The Host that the upstream gets, where the route changes it.
    #[must_use]
    pub fn sets_host(&self) -> Option<&str> {
        let request = match self.handler.as_str() {
            "reverse_proxy" => self.headers.as_ref()?.request.as_ref()?,
            "headers" => self.request.as_ref()?,
            _ => return None,
        };
        request.set.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"))?.1.first().map(String::as_str)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    #[serde(default, deserialize_with = "lenient")]
    pub dial: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DynamicUpstreams {
    #[serde(default, deserialize_with = "lenient")]
    pub source: String,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// A string in the module `a`.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "String::is_empty")]
    pub port: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transport {
    /// Whether there is a `tls` object; what is in it is not read.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "is_false")]
    pub tls: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeaderOps {
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestOps>,
}

/// Of the headers that are set, only Host is kept: others may carry credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestOps {
    #[serde(default, deserialize_with = "host_only", skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Vec<String>>,
}

fn typed<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

/// `null` is as good as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
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

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Object(_) => true,
        Value::Bool(recorded) => recorded,
        _ => false,
    })
}

fn host_only<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let all: BTreeMap<String, Vec<String>> = lenient(deserializer)?;
    Ok(all.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).collect())
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
