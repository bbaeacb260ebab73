//! What of a log is kept for an issue report: the newest lines that matter, redacted. Of requests nothing but that they
//! failed: no headers, no queries, no flows.

use caddy_doctor_checks::model::{Role, docker::Program};
use serde_json::Value;

use super::{mitmweb, redact};

/// Whose log it is: each writes in its own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// Lines of JSON, or of zap's console form.
    Caddy,
    /// Messages, and with mitmdump also the flows.
    Mitmproxy,
    /// Any form.
    Other,
}

impl Speaker {
    /// By what a container is in the setup, or else by what it runs.
    pub(crate) fn of(role: Option<Role>, program: Option<&Program>) -> Self {
        match (role, program) {
            (Some(Role::Caddy), _) | (None, Some(Program::Caddy)) => Self::Caddy,
            (Some(Role::Mitmproxy), _) | (None, Some(Program::Mitmproxy(_))) => Self::Mitmproxy,
            (None, None) => Self::Other,
        }
    }
}

/// More lines of one log, and more events of one mitmweb, are not kept.
const MOST: usize = 20;

/// The newest lines that matter, the newest last: of Caddy its warnings and errors, of mitmproxy the messages that speak of a
/// failure, of others all. `log` is what the engine gives, each line behind its time.
pub(crate) fn lines(log: &str, speaker: Speaker) -> Vec<String> {
    let mut in_key = false;
    let lines = log.lines().filter_map(|line| {
        let (time, said) = engine_time(line);
        let said = redact::plain(said);
        // The lines between these two look like nothing that a pattern knows.
        let key = std::mem::replace(&mut in_key, said.contains("-----BEGIN ") && said.contains("PRIVATE KEY"));
        in_key |= key && !said.contains("-----END ");
        if key || in_key || said.trim().is_empty() {
            return None;
        }
        let said = match speaker {
            Speaker::Caddy => of_caddy(&said)?,
            Speaker::Mitmproxy => of_mitmproxy(&said)?,
            Speaker::Other => said,
        };
        Some((time, said))
    });
    counted(lines)
}

/// Of mitmweb's events, as level and message, those that tell of a failure, the newest last.
pub(crate) fn events<'e>(events: impl Iterator<Item = (&'e str, &'e str)>) -> Vec<String> {
    let tells = |(level, message): &(&str, &str)| {
        matches!(*level, "warn" | "warning" | "error" | "alert") || mitmweb::is_decisive(message)
    };
    counted(events.filter(tells).map(|(_, message)| {
        let message = redact::plain(message);
        let (time, said) = mitmproxys_time(&message);
        (time.to_owned(), said.to_owned())
    }))
}

/// Redacts, and counts what was said more than once, at its newest place.
fn counted(lines: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut kept: Vec<(String, String, usize)> = Vec::new();
    for (time, said) in lines {
        let said = redact::request_line(said.trim());
        let before = kept.iter().position(|(_, other, _)| *other == said).map_or(0, |at| kept.remove(at).2);
        kept.push((time, said, before + 1));
    }
    let newest = kept.split_off(kept.len().saturating_sub(MOST));
    newest
        .into_iter()
        .map(|(time, said, times)| {
            let time = if time.is_empty() { time } else { format!("{time} ") };
            let times = if times > 1 { format!(" ({times} times)") } else { String::new() };
            format!("{time}{said}{times}")
        })
        .collect()
}

/// Splits `2026-11-24T13:19:00.123456789Z said` into the time, to the second, and what was said.
fn engine_time(line: &str) -> (String, &str) {
    match line.split_once(' ') {
        Some((time, said)) if time.get(10..11) == Some("T") && time.get(..4).is_some_and(is_number) => {
            let seconds = time.find('.').unwrap_or(time.len());
            let zone = time[seconds..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
            (format!("{}{zone}", &time[..seconds]), said)
        }
        _ => (String::new(), line),
    }
}

fn is_number(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit())
}

/// Splits `[15:45:36.908][127.0.0.1:51272] said`. The client's port is another one each time, and tells nothing; 8.x has
/// neither time nor brackets.
fn mitmproxys_time(message: &str) -> (&str, &str) {
    let bracketed = |text: &'_ str| -> Option<(usize, usize)> {
        let end = text.starts_with('[').then(|| text.find(']')).flatten()?;
        text[1..end].starts_with(|c: char| c.is_ascii_digit() || c == ':').then_some((1, end))
    };
    let Some((start, end)) = bracketed(message) else { return ("", message) };
    let (time, rest) = (&message[start..end], message[end + 1..].trim_start());
    let said = bracketed(rest).map_or(rest, |(_, end)| &rest[end + 1..]);
    (time, said.trim_start())
}

/// What a line of Caddy says when it is a warning or worse, without the request that it is about.
fn of_caddy(line: &str) -> Option<String> {
    let text = line.trim();
    if let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) {
        let field = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        return caddys(field("level"), field("logger"), field("msg"), field("error"), fields.get("status"));
    }
    // `2026/11/24 13:19:00.123<tab>ERROR<tab>http.log.error<tab>dial tcp ...<tab>{"request": ..., "status": 502}`; not
    // every line has a logger or fields.
    let parts: Vec<&str> = text.split('\t').collect();
    if parts.len() > 2 && parts[0].starts_with(|c: char| c.is_ascii_digit()) {
        let fields: Value = parts.last().and_then(|last| serde_json::from_str(last).ok()).unwrap_or_default();
        let words = if fields.is_object() { &parts[2..parts.len() - 1] } else { &parts[2..] };
        let (logger, message) = match words {
            [logger, message, ..] => (*logger, *message),
            [message] => ("", *message),
            [] => ("", ""),
        };
        let error = fields.get("error").and_then(Value::as_str).unwrap_or_default();
        return caddys(&parts[1].to_ascii_lowercase(), logger, message, error, fields.get("status"));
    }
    // What it says before it has a logger. A line of JSON that was cut would bring its headers along.
    let is_json = text.contains('{') || text.contains("\":");
    let tells = text.starts_with("Error:") || text.starts_with("panic:") || redact::is_decisive(text) && !is_json;
    tells.then(|| text.to_owned())
}

fn caddys(level: &str, logger: &str, message: &str, error: &str, status: Option<&Value>) -> Option<String> {
    // A failed health check is an info up to 2.10.
    let fails =
        matches!(level, "warn" | "error" | "panic" | "dpanic" | "fatal") || logger.ends_with("health_checker.active");
    if !fails {
        return None;
    }
    let said = [level, logger].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let error = if error.is_empty() { String::new() } else { format!(": {error}") };
    let status = status.and_then(Value::as_u64).map(|status| format!(" (status {status})")).unwrap_or_default();
    Some(format!("{said}: {message}{error}{status}"))
}

/// What a message of mitmproxy says when it speaks of a failure or of where it listens. What mitmdump prints of flows is
/// indented, or has a method and an address, or is an answer (` << 200 OK`).
fn of_mitmproxy(line: &str) -> Option<String> {
    const TELLS: &[&str] = &["error", "warn", "fail", "listening at", "exception", "traceback", "refused", "timed out"];
    if line.starts_with(char::is_whitespace) || line.contains(" << ") || is_request(line) {
        return None;
    }
    let lower = line.to_ascii_lowercase();
    let tells =
        TELLS.iter().any(|word| lower.contains(word)) || redact::is_decisive(line) || mitmweb::is_decisive(line);
    tells.then(|| mitmproxys_time(line).1.to_owned())
}

/// `172.18.0.3:40446: GET http://backend:3000/path`
fn is_request(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).any(|pair| {
        pair[0].len() > 2
            && pair[0].chars().all(|c| c.is_ascii_uppercase())
            && (pair[1].contains("://") || pair[1].starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CADDY: &str = concat!(
        r#"2026-11-24T13:19:00.123456789Z {"level":"info","ts":1.0,"logger":"http.log.access","msg":"handled request","request":{"uri":"/?token=CANARY"},"status":200}"#,
        "\n",
        r#"2026-11-24T13:19:01.123456789Z {"level":"error","ts":1.1,"logger":"http.log.error","msg":"dial tcp 172.18.0.3:8080: connect: connection refused","request":{"uri":"/x?token=CANARY","headers":{"Authorization":["Bearer CANARY"],"Cookie":["CANARY"]}},"status":502,"err_id":"a"}"#,
        "\n",
        r#"2026-11-24T13:19:02.5Z {"level":"error","ts":1.2,"logger":"http.log.error","msg":"dial tcp 172.18.0.3:8080: connect: connection refused","request":{"uri":"/y"},"status":502,"err_id":"b"}"#,
        "\n",
        "2026-11-24T13:19:03Z 2026/11/24 13:19:03.123\t\u{1b}[31mERROR\u{1b}[0m\thttp.log.error\tEOF\t{\"request\": {\"headers\": {\"X-Key\": [\"CANARY\"]}}, \"status\": 502}\n",
        "2026-11-24T13:19:04Z 2026/11/24 13:19:04.123\tWARN\tadmin endpoint disabled\n",
        r#"2026-11-24T13:19:05Z {"level":"info","logger":"http.handlers.reverse_proxy.health_checker.active","msg":"HTTP request failed","error":"Get \"http://b:1/?key=CANARY\": dial tcp: connection refused"}"#,
        "\n",
        r#"2026-11-24T13:19:06Z Error: adapting config using caddyfile: Caddyfile:2: unrecognized directive: revers_proxy"#,
        "\n",
        r#"2026-11-24T13:19:07Z {"level":"error","msg":"cut in the middle: not found","request":{"headers":{"X-Key":["CANARY"#,
    );

    #[test]
    fn of_caddy_the_failures_stay_without_their_requests() {
        assert_eq!(
            lines(CADDY, Speaker::Caddy),
            [
                "2026-11-24T13:19:02Z error http.log.error: dial tcp 172.18.0.3:8080: connect: connection refused (status 502) (2 times)",
                "2026-11-24T13:19:03Z error http.log.error: EOF (status 502)",
                "2026-11-24T13:19:04Z warn: admin endpoint disabled",
                "2026-11-24T13:19:05Z info http.handlers.reverse_proxy.health_checker.active: HTTP request failed: Get \"http://b:1/?<left out>\": dial tcp: connection refused",
                "2026-11-24T13:19:06Z Error: adapting config using caddyfile: Caddyfile:2: unrecognized directive: revers_proxy",
            ]
        );
    }

    #[test]
    fn of_mitmproxy_no_flow_is_kept() {
        let log = "\
[15:45:12.644] reverse proxy to http://backend:3000 listening at *:8080.
[15:45:13.668] Web server listening at http://0.0.0.0:8081/?token=CANARY
[15:45:36.891][127.0.0.1:51272] client connect
[15:45:36.891][127.0.0.1:51272] error establishing server connection: [Errno 111] Connect call failed ('172.18.0.3', 3000)
[15:45:37.891][127.0.0.1:51274] error establishing server connection: [Errno 111] Connect call failed ('172.18.0.3', 3000)
127.0.0.1:51272: GET http://backend:3000/error/CANARY?x=CANARY
    Authorization: error CANARY
 << 500 Internal Server Error CANARY
127.0.0.1:4242: POST /login error CANARY
";
        assert_eq!(
            lines(log, Speaker::Mitmproxy),
            [
                "reverse proxy to http://backend:3000 listening at *:8080.",
                "Web server listening at http://0.0.0.0:8081/?<left out>",
                "error establishing server connection: [Errno 111] Connect call failed ('172.18.0.3', 3000) (2 times)",
            ]
        );
    }

    #[test]
    fn of_others_the_last_lines_stay_redacted() {
        let many: String = (0..100).map(|at| format!("line {at}\n")).collect();
        let log = format!(
            "{many}-----BEGIN RSA PRIVATE KEY-----\nCANARY\nCANARY\n-----END RSA PRIVATE KEY-----\n\
             GET /login?user=me&password=CANARY 200\npassw\u{1b}[1mord=CANARY\nAuthorization: Basic CANARY\nend\n"
        );
        let kept = lines(&log, Speaker::Other);
        assert_eq!((kept.len(), kept[19].as_str()), (MOST, "end"));
        assert!(
            !kept.concat().contains("CANARY") && kept.contains(&"GET /login?<left out> 200".to_owned()),
            "{kept:#?}"
        );
    }

    #[test]
    fn of_events_the_failures_stay_whatever_their_level() {
        let all = [
            ("info", "[15:45:36.891][127.0.0.1:1] client connect"),
            ("info", "[15:45:36.892][127.0.0.1:1] error establishing server connection: x"),
            ("info", "[15:45:36.893][127.0.0.1:2] error establishing server connection: x"),
            ("error", "Addon error: token=CANARY"),
            ("debug", "CANARY"),
        ];
        assert_eq!(
            events(all.into_iter()),
            ["15:45:36.893 error establishing server connection: x (2 times)", "Addon error: token=<left out>"]
        );
    }
}
