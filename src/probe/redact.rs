//! What is taken out of text before it becomes a fact, so that no recording, report or log can hold it.

use caddy_doctor_checks::model::text::{self, LEFT_OUT};

/// Lines of a log that say why a program ended.
const DECISIVE: &[&str] = &[
    "requires a tty",
    "has no attribute 'loop'",
    "unrecognized arguments",
    "Invalid proxy mode specification",
    "Invalid server specification",
    "Invalid mode specification",
    "ddress already in use",
    "mitmproxy-ca.pem",
    "adapting config",
    "loading initial config",
    "ermission denied",
    "No module named",
    "not found",
];

/// Of a log: its decisive lines, or else its last line. Everything else in it is nobody's business.
pub(crate) fn decisive_lines(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let decisive: Vec<String> = lines.iter().filter(|text| is_decisive(text)).map(|text| line(text)).take(5).collect();
    if decisive.is_empty() { lines.last().map(|text| line(text)).into_iter().collect() } else { decisive }
}

/// Whether a line of a log says why a program ended.
pub(crate) fn is_decisive(line: &str) -> bool {
    DECISIVE.iter().any(|needle| line.contains(needle))
}

/// Of what a health check printed, the lines that tell: the first ones, or the last one of a Python traceback.
pub(crate) fn telling_lines(output: &str) -> String {
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let telling = match lines.as_slice() {
        [first, .., _] if first.starts_with("Traceback ") => &lines[lines.len() - 1..],
        _ => &lines[..lines.len().min(3)],
    };
    telling.iter().map(|text| line(text)).collect::<Vec<_>>().join("\n")
}

/// Whether a variable of an environment names a proxy, or what goes around it.
pub(crate) fn is_proxy(name: &str) -> bool {
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// The value of such a variable without `user:password@`, which stands there without a scheme, too.
pub(crate) fn proxy(value: &str) -> String {
    let value = value.trim();
    let (scheme, rest) = value.split_once("://").map_or(("", value), |(scheme, rest)| (scheme, rest));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    line(&if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") })
}

const LONGEST: usize = 400;

/// What the name of a value must contain for the value to be a secret, in lower case.
const SECRET: &[&str] = &[
    "token",
    "passw",
    "passphrase",
    "secret",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "private_key",
    "credential",
    "proxyauth",
];
/// What makes a secret of all that follows in the line.
const SECRET_TO_THE_END: &[&str] = &["authorization", "cookie"];
/// Words that are the name of a secret where they stand for themselves: `api.key=...`, `"X-Auth": "..."`, not `monkey=...`. Many a
/// message has them before a colon, so there they count only in quotes.
const SECRET_WORDS: &[&str] = &["auth", "key", "jwt", "pass", "pwd", "session", "sessionid", "sid", "sig", "signature"];

/// A line that may be about a request: [`line`], also without any query of an address or a path.
pub(crate) fn request_line(text: &str) -> String {
    line(&without_queries(beginning(text), |_| true))
}

/// Cuts off the queries of addresses and paths that are `secret`.
fn without_queries(text: &str, secret: impl Fn(&str) -> bool) -> String {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ')' | '>' | ']' | '}');
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('?') {
        shown.push_str(before);
        shown.push('?');
        let query = after.find(ends).unwrap_or(after.len());
        if query > 0 && !before.is_empty() && !before.ends_with(char::is_whitespace) && secret(&after[..query]) {
            shown.push_str(LEFT_OUT);
            rest = &after[query..];
        } else {
            rest = after;
        }
    }
    shown + rest
}

/// More would not be shown, and looking through megabytes takes long.
fn beginning(text: &str) -> &str {
    &text[..text.char_indices().nth(10 * LONGEST).map_or(text.len(), |(end, _)| end)]
}

/// Without the sequences and signs that a terminal obeys: they would part a name from its value.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::new();
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            // `ESC [`, parameters, and a letter (ECMA-48, 5.4).
            '\u{1b}' if signs.peek() == Some(&'[') => {
                signs.next();
                while signs.next().is_some_and(|sign| !('@'..='~').contains(&sign)) {}
            }
            '\t' => shown.push(sign),
            sign if sign.is_control() => {}
            sign => shown.push(sign),
        }
    }
    shown
}

/// One line without values that look like secrets, and not longer than is read.
pub(crate) fn line(text: &str) -> String {
    let text = without_user_info(&plain(beginning(text)));
    let text = without_queries(&without_tokens(&without_credentials(&text)), |query| query.contains('='));
    let lower = text.to_ascii_lowercase();
    let mut shown = String::new();
    let mut at = 0;
    while let Some((name, to_the_end)) = next_name(&lower, at) {
        let name_end = name.1 + text[name.1..].find(|c: char| !is_name(c)).unwrap_or(text.len() - name.1);
        let dashed = text[..name.0].ends_with('-');
        let word = SECRET_WORDS.contains(&&lower[name.0..name.1]);
        let value = value_start(&text[name_end..], dashed).filter(|_| !word || assigns(&text[name_end..]));
        let Some(value) = value.map(|offset| name_end + offset) else {
            shown.push_str(&text[at..name_end]);
            at = name_end;
            continue;
        };
        shown.push_str(&text[at..value]);
        shown.push_str(LEFT_OUT);
        at = if to_the_end { text.len() } else { value_end(&text, value) };
    }
    shown.push_str(&text[at..]);
    match shown.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &shown[..end]),
        None => shown,
    }
}

/// Replaces what is a secret by its form, whatever stands before it: a JSON web token, the keys of well-known services, what
/// follows `Bearer` or `Basic`, a private key.
fn without_tokens(text: &str) -> String {
    let text = text.split_once("PRIVATE KEY-----").map_or(text, |(before, _)| before);
    let mut shown = String::new();
    let mut scheme = false;
    for piece in text.split_inclusive(|c: char| !is_token(c)) {
        let word = piece.trim_end_matches(|c: char| !is_token(c));
        let by_form = word.len() >= 16 && TOKENS.iter().any(|start| word.starts_with(start));
        // "Basic authentication failed" is no password.
        let is_value = word.len() >= 6 && !word.chars().all(|c| c.is_ascii_lowercase());
        if by_form || scheme && is_value {
            shown.push_str(LEFT_OUT);
            shown.push_str(&piece[word.len()..]);
        } else {
            shown.push_str(piece);
        }
        scheme = matches!(word, "Bearer" | "bearer" | "Basic" | "basic");
    }
    shown
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '/' | '=' | '~')
}

/// How tokens begin: JSON web tokens, GitHub, GitLab, Slack, AWS, and keys that are called so.
const TOKENS: &[&str] =
    &["eyJ", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "AKIA", "sk-", "sk_"];

/// The first name of a secret from `at` on: where it begins and where what makes it one ends.
fn next_name(lower: &str, at: usize) -> Option<((usize, usize), bool)> {
    let find = |names: &[&str]| {
        let found =
            names.iter().filter_map(|name| lower[at..].find(name).map(|start| (at + start, at + start + name.len())));
        found.min()
    };
    let parts_words = |c: char| !c.is_ascii_alphanumeric();
    let is_word = |start: usize, end: usize| {
        (start == 0 || lower[..start].ends_with(parts_words))
            && (end == lower.len() || lower[end..].starts_with(parts_words))
    };
    let words = SECRET_WORDS.iter().filter_map(|name| {
        let mut found = lower[at..].match_indices(name).map(|(start, _)| (at + start, at + start + name.len()));
        found.find(|(start, end)| is_word(*start, *end))
    });
    let secret = find(SECRET).into_iter().chain(words).min();
    match (secret, find(SECRET_TO_THE_END)) {
        (Some(a), Some(b)) if b < a => Some((b, true)),
        (Some(a), _) => Some((a, false)),
        (None, Some(b)) => Some((b, true)),
        (None, None) => None,
    }
}

/// Whether what follows a name gives it a value as a program would: `=`, or `:` behind a quote.
fn assigns(after: &str) -> bool {
    let sign = after.trim_start_matches(|c: char| c == '"' || c == '\'' || c == '\\' || c.is_whitespace());
    sign.starts_with('=') || sign.starts_with(':') && after.starts_with(['"', '\'', '\\'])
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Where the value begins after the name: behind `:` or `=` with quotes, brackets and spaces around it, or, after an
/// option (`--password x`), behind a space. `None` when no value follows.
fn value_start(after: &str, dashed: bool) -> Option<usize> {
    let filler = |c: char| c == '"' || c == '\'' || c == '\\' || c == '[' || c == ']' || c.is_whitespace();
    let sign = after.find(|c: char| !filler(c))?;
    let rest = match after[sign..].starts_with([':', '=']) {
        true => sign + 1,
        false if dashed && after.starts_with(' ') => 0,
        false => return None,
    };
    let value = after[rest..].find(|c: char| !filler(c))?;
    Some(rest + value)
}

/// A value in quotes ends at the next one.
fn value_end(text: &str, start: usize) -> usize {
    let quote = text[..start].chars().next_back().filter(|c| matches!(c, '"' | '\''));
    if let Some(end) = quote.and_then(|quote| text[start..].find(quote)) {
        return start + end;
    }
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '&' | ';' | '}' | ']');
    start + text[start..].find(ends).unwrap_or(text.len() - start)
}

/// A pattern of hosts without `user:password@`. It is matched with hosts, so nothing else in it may change: `(?=...)` is no query.
pub(crate) fn host_pattern(text: &str) -> String {
    without_credentials(&without_user_info(text))
}

/// Drops what stands before `@` in every URL.
fn without_user_info(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let url = &after[..after.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(after.len())];
        // Another one may follow in the same word.
        let url = &url[..url.find("://").unwrap_or(url.len())];
        rest = match text::user_info_end(url) {
            Some(at) => {
                shown.push_str(LEFT_OUT);
                &after[at..]
            }
            None => after,
        };
    }
    shown + rest
}

/// Drops `user:password` before `@` where there is no scheme, and behind the options that take it (`curl -u`).
fn without_credentials(line: &str) -> String {
    let mut shown = String::new();
    let mut is_value = false;
    for piece in line.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let colon = word.find(':').unwrap_or(0);
        let start = word[..colon].rfind(['"', '\'', '=', ',', '(', '[', '<']).map_or(0, |at| at + 1);
        let secret = match word.rfind('@') {
            _ if word.contains("://") || colon == 0 => None,
            _ if is_value => Some(word.len()),
            // `image:tag@sha256:...`, and `reverse:host:port@listen_port`.
            Some(at) if at > colon && !word[at + 1..].starts_with("sha256:") => {
                let password = word[start..at].rsplit_once(':').map_or("", |(_, password)| password);
                (!password.chars().all(|c| c.is_ascii_digit())).then_some(at)
            }
            _ => None,
        };
        match secret {
            Some(end) => shown.push_str(&format!("{}{LEFT_OUT}{}", &word[..start], &piece[end..])),
            None => shown.push_str(piece),
        }
        is_value = matches!(word.trim_start_matches(['"', '\'']), "-u" | "-U" | "--user" | "--proxy-user");
    }
    shown
}

/// What is wrong with a JSON text, without the value that serde quotes of it.
pub(crate) fn json_error(error: &serde_json::Error) -> String {
    let said = error.to_string();
    for start in ["invalid type: ", "invalid value: ", "unknown variant ", "unknown field "] {
        if let Some(rest) = said.strip_prefix(start) {
            let expected = rest.rfind(", expected").map_or("", |at| &rest[at..]);
            let kind = rest.split([' ', ',']).next().filter(|kind| !kind.starts_with('`')).unwrap_or("another");
            return format!("{start}{kind}{expected}");
        }
    }
    line(&said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_the_rest_stays() {
        for (text, kept) in [
            ("Web server listening at http://0.0.0.0:8081/?token=CANARY", "8081"),
            ("curl -v --header Authorization: Bearer CANARY", "--header"),
            ("mitmweb --set web_password=CANARY --mode x", "--mode x"),
            ("dial http://user:CANARY@backend:3000 failed", "@backend:3000 failed"),
            ("--password CANARY next", "next"),
            ("failed: Cookie: theme=dark; session=CANARY", "failed"),
            (r#"{"level":"error","password":"CANARY","port":80}"#, "80"),
            (r#"{"headers":{"Authorization":["Bearer CANARY"]}}"#, "headers"),
            ("{'authorization': 'Bearer CANARY'}", "authorization"),
            ("https://CANARY@host/path", "@host/path"),
            ("AWS_SECRET_ACCESS_KEY=CANARY region=x", "region=x"),
            ("PASSWORD = CANARY", "PASSWORD"),
            ("pass\u{1b}[31mword\u{1b}[0m=CANARY next", "next"),
            ("sent Bearer CANARY-0 to x", "to x"),
            ("key eyJCANARY.CANARY.CANARY, next", "next"),
            (r"key: -----BEGIN PRIVATE KEY-----\nCANARY", "key"),
            ("GET /a?x=CANARY&y=CANARY HTTP/1.1", "HTTP/1.1"),
            (r#"password="a CANARY b" next"#, "next"),
            (r#"{"auth":"CANARY","port":80}"#, "80"),
            ("session=CANARY; port=80", "port=80"),
            ("db.pass=CANARY next", "next"),
            ("X-Api-Key: CANARY next", "next"),
            ("postgres://app:a/CANARY@db:5432/app failed", "@db:5432/app failed"),
            ("dial app:CANARY@db:5432 failed", "@db:5432 failed"),
            ("upstream_auth=app:CANARY@db", "upstream_auth"),
            ("+ curl -u app:CANARY http://b:1/", "http://b:1/"),
        ] {
            let shown = line(text);
            assert!(!shown.contains("CANARY") && shown.contains(kept), "{shown}");
        }
    }

    #[test]
    fn a_line_without_secrets_stays_as_it_is() {
        for text in [
            "a bad token was given",
            "Basic authentication failed",
            "unrecognized key: tls, monkey=1, keys=2",
            "caddy:2@sha256:abc of http://h:1/@scope is reverse:h:1@9000",
            "GET /a?doctor-probe HTTP/1.1",
            "Error: adapting config using caddyfile: Caddyfile:2",
            "schön",
        ] {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn a_request_stays_without_its_query() {
        for (text, kept) in [
            ("GET /a?x=CANARY&y=CANARY HTTP/1.1", "GET /a?<left out> HTTP/1.1"),
            (r#"Get "http://b:1/?CANARY": EOF"#, r#"Get "http://b:1/?<left out>": EOF"#),
            ("what? ? and why?", "what? ? and why?"),
        ] {
            assert_eq!(request_line(text), kept);
        }
    }

    #[test]
    fn a_log_gives_its_decisive_lines_only() {
        let log = "GET /private\nmitmweb: error: unrecognized arguments: --flow-detail 0\nbye";
        assert_eq!(decisive_lines(log), ["mitmweb: error: unrecognized arguments: --flow-detail 0"]);
        assert_eq!(decisive_lines("one\ntwo\n"), ["two"]);
        assert!(decisive_lines("").is_empty());
    }

    #[test]
    fn of_a_traceback_the_last_line_tells() {
        let output =
            "Traceback (most recent call last):\n  File \"<string>\", line 1\nHTTPError: HTTP Error 403: Forbidden\n";
        assert_eq!(telling_lines(output), "HTTPError: HTTP Error 403: Forbidden");
        assert_eq!(telling_lines("\none\ntwo\nthree\nfour"), "one\ntwo\nthree");
        assert_eq!(telling_lines(""), "");
    }

    #[test]
    fn a_pattern_of_hosts_still_matches_what_it_did() {
        for pattern in [r"^(?!api\.example)(?=token=)x:443$", r"example\.com:\d+"] {
            assert_eq!(host_pattern(pattern), pattern);
        }
        assert_eq!(host_pattern("u:CANARY@h"), "<left out>@h");
    }

    #[test]
    fn a_json_error_quotes_no_value() {
        let error = |json: &str| {
            json_error(&serde_json::from_str::<std::collections::BTreeMap<String, u16>>(json).unwrap_err())
        };
        assert_eq!(error(r#""CANARY, expected""#), "invalid type: string, expected a map at line 1 column 18");
        assert_eq!(error(r#"{"a":"CANARY"}"#), "invalid type: string, expected u16 at line 1 column 13");
        assert_eq!(error("x"), "expected value at line 1 column 1");
        let error = serde_json::from_str::<caddy_doctor_checks::model::Place>(r#""CANARY""#).unwrap_err();
        assert!(!json_error(&error).contains("CANARY"), "{}", json_error(&error));
    }

    #[test]
    fn any_line_can_be_read() {
        // What parts names, values and addresses, in every order.
        let parts =
            ["a", "ü", " ", ":", "@", "/", "?", "=", "://", "\"", "'", "-u ", "key", "token", "Bearer ", "\u{1b}["];
        let mut number = 1_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                // A linear congruential generator (Knuth, MMIX): the same lines in every run.
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(parts[(number >> 33) as usize % parts.len()]);
            }
            let shown = line(&text);
            assert!(line(&shown).len() <= shown.len() + 40 * LEFT_OUT.len(), "{text}");
            let _ = (request_line(&text), host_pattern(&text), proxy(&text), text::of_config(&text));
            let _ = (text::mode_without_user_info(&text), text::without_user_info(&text));
        }
    }

    #[test]
    fn a_long_line_is_cut() {
        assert!(line(&"x".repeat(10_000)).len() < 500);
    }
}
