//! `reverse_proxy` of a Caddyfile: where its upstreams are, and what is spoken there.

use serde_json::{Value, json};

use super::{
    caddyfile::{is_host, not_read},
    tokens::Line,
};

/// Options of `reverse_proxy` that do not change where a request goes.
const HARMLESS_PROXY: &[&str] = &[
    "buffer_requests",
    "buffer_responses",
    "fail_duration",
    "flush_interval",
    "header_down",
    "max_buffer_size",
    "max_fails",
    "request_buffers",
    "response_buffers",
    "stream_close_delay",
    "stream_timeout",
    "trusted_proxies",
    "unhealthy_latency",
    "unhealthy_request_count",
    "unhealthy_status",
    "verbose_logs",
];
/// The same, of its `transport http`.
const HARMLESS_TRANSPORT: &[&str] = &[
    "compression",
    "dial_fallback_delay",
    "dial_timeout",
    "expect_continue_timeout",
    "keepalive",
    "keepalive_idle_conns",
    "keepalive_idle_conns_per_host",
    "keepalive_interval",
    "max_conns_per_host",
    "max_response_header",
    "read_buffer",
    "read_timeout",
    "response_header_timeout",
    "tls_server_name",
    "tls_timeout",
    "write_buffer",
    "write_timeout",
];

/// The handler that a `reverse_proxy` directive becomes.
pub(super) fn reverse_proxy(line: &Line, arguments: &[String]) -> Result<Value, String> {
    let mut addresses: Vec<&String> = arguments.iter().collect();
    let (mut host, mut tls, mut unverified, mut versions) = (None, false, false, None);
    for own in line.block.as_deref().unwrap_or_default() {
        let Some((name, values)) = own.words.split_first() else { return Err(not_read(own)) };
        match (name.as_str(), values) {
            ("to", values) => addresses.extend(values),
            ("header_up", [field, value]) if field.eq_ignore_ascii_case("host") => host = Some(placeholder(value)),
            ("header_up", [field, ..]) if !is_host(field) => {}
            ("transport", [kind]) if kind == "http" => {
                for option in own.block.as_deref().unwrap_or_default() {
                    match option.words.split_first() {
                        Some((name, [])) if name == "tls" => tls = true,
                        Some((name, [])) if name == "tls_insecure_skip_verify" => (tls, unverified) = (true, true),
                        Some((name, values)) if name == "versions" => versions = Some(json!(values)),
                        Some((name, _)) if HARMLESS_TRANSPORT.contains(&name.as_str()) => {}
                        _ => return Err(not_read(option)),
                    }
                }
            }
            (name, _) if HARMLESS_PROXY.contains(&name) || name.starts_with("lb_") || name.starts_with("health_") => {}
            _ => return Err(not_read(own)),
        }
    }
    let (mut upstreams, mut schemes) = (Vec::new(), Vec::new());
    for address in addresses {
        let (scheme, dial) =
            upstream(address).ok_or_else(|| format!("line {}: the upstream `{address}` is not read", line.at))?;
        schemes.push(scheme);
        upstreams.push(json!({"dial": dial}));
    }
    schemes.dedup();
    let scheme = match schemes.as_slice() {
        [scheme] => *scheme,
        [] => return Err(not_read(line)),
        _ => return Err(format!("line {}: its upstreams have several schemes", line.at)),
    };
    if scheme == "h2c" {
        versions = Some(json!(["h2c", "2"]));
    }
    let mut handler = json!({"handler": "reverse_proxy", "upstreams": upstreams});
    if tls || scheme == "https" || versions.is_some() {
        let mut transport = json!({"protocol": "http"});
        if tls || scheme == "https" {
            transport["tls"] = if unverified { json!({"insecure_skip_verify": true}) } else { json!({}) };
        }
        if let Some(versions) = versions {
            transport["versions"] = versions;
        }
        handler["transport"] = transport;
    }
    if let Some(host) = host {
        handler["headers"] = json!({"request": {"set": {"Host": [host]}}});
    }
    Ok(handler)
}

/// The scheme of an upstream, and what Caddy dials for it (`reverseproxy/addresses.go`): port 80 where none is said, and no https.
fn upstream(address: &str) -> Option<(&'static str, String)> {
    let (scheme, rest) = match address.split_once("://") {
        Some(("http", rest)) => ("http", rest),
        Some(("https", rest)) => ("https", rest),
        Some(("h2c", rest)) => ("h2c", rest),
        Some(_) => return None,
        None => ("", address),
    };
    if scheme.is_empty() && rest.starts_with("unix/") {
        return Some(("", rest.to_owned()));
    }
    if rest.contains('/') || rest.contains('[') || rest.is_empty() || !scheme.is_empty() && rest.contains('{') {
        return None;
    }
    match rest.rsplit_once(':') {
        // A range stands for several upstreams.
        Some((_, port)) if port.contains('-') => None,
        Some(_) => Some((scheme, rest.to_owned())),
        None if rest.contains('{') => Some((scheme, rest.to_owned())),
        None => Some((scheme, format!("{rest}:{}", if scheme == "https" { 443 } else { 80 }))),
    }
}

/// Short forms of placeholders, as far as they stand for a Host.
fn placeholder(value: &str) -> String {
    match value {
        "{host}" => "{http.request.host}",
        "{hostport}" => "{http.request.hostport}",
        "{upstream_hostport}" => "{http.reverse_proxy.upstream.hostport}",
        value => value,
    }
    .to_owned()
}
