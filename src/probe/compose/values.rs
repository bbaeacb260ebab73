//! Values of a service, in the short and in the long form.

use caddy_doctor_checks::model::docker::Port;
use serde_json::Value;

/// A text or a number, with compose's `$$` as the `$` that it stands for.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.replace("$$", "$")),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// A list of texts; compose splits one text at its blanks.
pub(super) fn words_of(value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::Array(list) => Some(list.iter().filter_map(text_of).collect()),
        Value::Null => None,
        value => {
            Some(text_of(value)?.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect())
        }
    }
}

/// `environment`, as a mapping or as a list of `NAME=value`. A name alone takes the value of this shell.
pub(super) fn environment(value: Option<&Value>) -> Vec<(String, String)> {
    match value {
        Some(Value::Object(map)) => {
            map.iter().filter_map(|(key, value)| Some((key.clone(), text_of(value)?))).collect()
        }
        Some(Value::Array(list)) => {
            let entries = list.iter().filter_map(text_of);
            entries
                .filter_map(|entry| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// `labels` and `extra_hosts`: a mapping, or a list of `name=value` or `name:value`.
pub(super) fn labels(value: Option<&Value>) -> Vec<(String, String)> {
    match value {
        Some(Value::Array(list)) => {
            let entries = list.iter().filter_map(text_of);
            entries
                .filter_map(|own| own.split_once(['=', ':']).map(|(key, value)| (key.to_owned(), value.to_owned())))
                .collect()
        }
        // A name may have several addresses.
        Some(Value::Object(map)) => {
            let of = |(key, value): (&String, &Value)| {
                let values = match value {
                    Value::Array(list) => list.iter().filter_map(text_of).collect(),
                    value => text_of(value).into_iter().collect::<Vec<_>>(),
                };
                values.into_iter().map(|value| (key.clone(), value)).collect::<Vec<_>>()
            };
            map.iter().flat_map(of).collect()
        }
        _ => Vec::new(),
    }
}

/// `ports` in the short and the long form, and `expose`.
pub(super) fn ports(service: &Value) -> Vec<Port> {
    let list = |key: &str| service.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut ports: Vec<Port> = list("ports").iter().flat_map(published).collect();
    for exposed in list("expose") {
        let Some(text) = text_of(&exposed) else { continue };
        let (range, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        for container_port in port_range(range) {
            if !ports.iter().any(|own| own.container_port == container_port && own.protocol == protocol) {
                let protocol = protocol.to_owned();
                ports.push(Port { container_port, protocol, host_port: None, host_ip: String::new() });
            }
        }
    }
    ports.sort();
    ports.dedup();
    ports
}

fn published(value: &Value) -> Vec<Port> {
    let (host_ip, host, target, protocol) = match value {
        Value::Object(long) => {
            let text = |key: &str| long.get(key).and_then(text_of).unwrap_or_default();
            (text("host_ip"), text("published"), text("target"), text("protocol"))
        }
        short => {
            let Some(short) = text_of(short) else { return Vec::new() };
            let (spec, protocol) = short.split_once('/').unwrap_or((&short, "tcp"));
            let (front, target) = spec.rsplit_once(':').unwrap_or(("", spec));
            let (ip, host) = match front.rsplit_once(':') {
                Some((ip, host)) => (ip.trim_matches(['[', ']']), host),
                None if front.contains('.') => (front, ""),
                None => ("", front),
            };
            (ip.to_owned(), host.to_owned(), target.to_owned(), protocol.to_owned())
        }
    };
    let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol };
    let (targets, hosts) = (port_range(&target), port_range(&host));
    // One port inside with a range outside: the engine takes one of them.
    let of = |(at, container_port): (usize, u16)| Port {
        container_port,
        protocol: protocol.clone(),
        host_port: hosts.get(at).copied().filter(|port| *port != 0 && hosts.len() == targets.len()),
        host_ip: host_ip.clone(),
    };
    targets.iter().copied().enumerate().map(of).collect()
}

/// `80`, `9000-9001`.
fn port_range(text: &str) -> Vec<u16> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.trim().parse::<u16>(), to.trim().parse::<u16>()) {
        (Ok(from), Ok(to)) if from <= to => (from..=to).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_are_read_in_every_form() {
        let one = |value: Value| {
            let own = published(&value);
            (own[0].host_ip.clone(), own[0].host_port, own[0].container_port, own.len())
        };
        assert_eq!(one(json!("127.0.0.1:8080:80/tcp")), ("127.0.0.1".into(), Some(8080), 80, 1));
        assert_eq!(one(json!("[::1]:8080:80")), ("::1".into(), Some(8080), 80, 1));
        assert_eq!(one(json!("127.0.0.1::80")), ("127.0.0.1".into(), None, 80, 1));
        assert_eq!(one(json!(80)), (String::new(), None, 80, 1));
        assert_eq!(one(json!("9000-9001:80-81")), (String::new(), Some(9000), 80, 2));
        assert_eq!(one(json!("9000-9005:80")).1, None, "the engine takes one of them");
        assert_eq!(
            one(json!({"target": 80, "published": "8080", "host_ip": "0.0.0.0"})),
            ("0.0.0.0".into(), Some(8080), 80, 1)
        );
    }
}
