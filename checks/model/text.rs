//! Small pieces of text that several places read or write.

/// The last part of a path.
#[must_use]
pub fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Whether the word at `at` of a command line is where a program stands, not an argument: first, behind an entry point, a
/// shell's `-c`, `exec`, `;`, `&&` and the like, or behind a program that runs another.
#[must_use]
pub fn is_command(words: &[&str], at: usize) -> bool {
    const RUNNERS: &[&str] = &[
        "exec",
        "-c",
        "-ec",
        "-lc",
        "--",
        "do",
        "then",
        "else",
        "env",
        "tini",
        "dumb-init",
        "nohup",
        "setpriv",
        "sudo",
        "time",
    ];
    let Some(before) = at.checked_sub(1).map(|before| words[before]) else { return true };
    let name = base_name(before);
    let behind_user = at >= 2 && matches!(base_name(words[at - 2]), "gosu" | "su-exec");
    before.ends_with([';', '&', '|', '(', '{'])
        || before.ends_with(".sh")
        || RUNNERS.contains(&name)
        || name.starts_with("python")
        || name.contains("entrypoint")
        || behind_user
        // `NAME=value mitmweb ...`
        || before.split_once('=').is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// Splits `host`, `host:port`, `[v6]:port`; the host without brackets. `None` when the port is no port.
#[must_use]
pub fn host_and_port(address: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    match address.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => Some((address, None)),
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((address, None)),
    }
}

/// Writes a host and a port so that they can be read again.
#[must_use]
pub fn join_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Drops `user:password@` from an address. The user of an `ssh://` address is no secret, and part of what is meant.
#[must_use]
pub fn without_user_info(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    match user_info_end(rest) {
        Some(at) if scheme == "ssh" => {
            let user = rest[..at].split(':').next().unwrap_or_default();
            format!("{scheme}://{user}{}", &rest[at..])
        }
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => address.to_owned(),
    }
}

/// Where the `@` is that ends the `user:password` behind `://`; `None` when there is none. A password may hold `/`, `?`, `#`
/// and `@` as they are, though it should not: then what stands before the first of them is no host and port.
#[must_use]
pub fn user_info_end(rest: &str) -> Option<usize> {
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let is_port = |port: &str| port.chars().all(|c| c.is_ascii_digit());
    let is_plain = !authority.contains('@')
        && (authority.starts_with('[') || authority.rsplit_once(':').is_none_or(|(_, port)| is_port(port)));
    if is_plain { None } else { rest.rfind('@') }
}

/// Drops `user:password@` from a proxy mode, where `host:port@[listen_host:]listen_port` means something else.
#[must_use]
pub fn mode_without_user_info(mode: &str) -> String {
    let is_number = |port: &str| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    let is_listen = |at: &str| {
        let (host, port) = at.rsplit_once(':').unwrap_or(("", at));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        is_number(port) && (matches!(host, "" | "localhost") || host.parse::<std::net::IpAddr>().is_ok())
    };
    let ends_in_port = |body: &str| {
        let own = body.rsplit("://").next().unwrap_or(body);
        own.rsplit_once(':').is_none_or(|(_, port)| port.is_empty() || is_number(port))
    };
    let (body, listen) = match mode.rsplit_once('@') {
        Some((body, at)) if is_listen(at) && ends_in_port(body) => (body, &mode[body.len()..]),
        _ => (mode, ""),
    };
    let own = match (body.contains("://"), body.split_once(':'), body.rsplit_once('@')) {
        (false, Some((kind, _)), Some((_, host))) => format!("{kind}:{host}"),
        _ => without_user_info(body),
    };
    own + listen
}

/// What stands in a text in place of a secret.
pub const LEFT_OUT: &str = "<left out>";

/// A text of Caddy's config that is kept, without what may be a secret in it: `user:password` of an address, and what stands
/// behind the name of a placeholder (`{env.TARGET:default}`).
#[must_use]
pub fn of_config(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{')
        && let Some((name, behind)) = after.split_once('}')
    {
        kept.push_str(before);
        kept.push_str(&format!("{{{}}}", name.split(':').next().unwrap_or_default()));
        rest = behind;
    }
    kept.push_str(rest);
    let start = kept.find("://").map_or(0, |at| at + 3);
    match user_info_end(&kept[start..]) {
        Some(at) => format!("{}{LEFT_OUT}{}", &kept[..start], &kept[start + at..]),
        None => kept,
    }
}

/// One word for a POSIX shell: as it is when nothing in it is special, else in single quotes.
#[must_use]
pub fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// `a`, `a and b`, `a, b and c`.
#[must_use]
pub fn list<S: AsRef<str>>(items: &[S]) -> String {
    match items {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// The nearest of `known` to `word`, when it is near enough to be what was meant.
#[must_use]
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_ascii_lowercase();
    known
        .into_iter()
        .map(|known| (distance(&word, &known.to_ascii_lowercase()), known))
        .filter(|(distance, known)| *distance <= (word.len().max(known.len()) / 3).max(1))
        .min()
        .map(|(_, known)| known)
}

/// How many letters have to be changed, put in, taken out or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let (mut above, mut two_above) = (row.clone(), row.clone());
    for i in 0..a.len() {
        (two_above, above, row) = (above, row, two_above);
        row[0] = i + 1;
        for j in 0..b.len() {
            let change = above[j] + usize::from(a[i] != b[j]);
            row[j + 1] = change.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(two_above[j - 1] + 1);
            }
        }
    }
    row[b.len()]
}

/// The port of `listen tcp 127.0.0.1:2019: bind: address already in use`, as Go's programs and the engine say it.
#[must_use]
pub fn refused_port(line: &str, why: &str) -> Option<u16> {
    let (before, _) = line.split_once(&format!(": bind: {why}"))?;
    before.rsplit(':').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_addresses() {
        assert_eq!(host_and_port("a:1"), Some(("a", Some(1))));
        assert_eq!(host_and_port("[::1]:8080"), Some(("::1", Some(8080))));
        assert_eq!(host_and_port("::1"), Some(("::1", None)));
        assert_eq!(host_and_port(":80"), Some(("", Some(80))));
        assert_eq!(host_and_port("a:99999"), None);
    }

    #[test]
    fn drops_user_info_only() {
        assert_eq!(without_user_info("http://u:p@127.0.0.1:1/x"), "http://127.0.0.1:1/x");
        assert_eq!(without_user_info("ssh://ann:p@h"), "ssh://ann@h");
        assert_eq!(without_user_info("http://h/a@b"), "http://h/a@b");
        assert_eq!(mode_without_user_info("upstream:http://u:p@h:1"), "upstream:http://h:1");
        assert_eq!(mode_without_user_info("upstream:http://u:p@10.0.0.5:3128"), "upstream:http://10.0.0.5:3128");
        assert_eq!(mode_without_user_info("upstream:http://u:p@10.0.0.5"), "upstream:http://10.0.0.5");
        assert_eq!(mode_without_user_info("upstream:http://u:p@h:1@9000"), "upstream:http://h:1@9000");
        assert_eq!(mode_without_user_info("upstream:u:p@h:1"), "upstream:h:1");
        for mode in [
            "regular",
            "regular@9000",
            "reverse:h:1@9000",
            "reverse:http://h@9000",
            "reverse:http://h:1@9000",
            "reverse:http://h:1@127.0.0.1:9000",
            "reverse:http://h:1@[::1]:9000",
            "reverse:http://h:1@localhost:9000",
            "reverse:http://h:1/@9000",
        ] {
            assert_eq!(mode_without_user_info(mode), mode);
        }
    }

    #[test]
    fn a_password_may_hold_what_ends_a_host() {
        for address in ["http://u:a/p@h:1", "http://u:a?p@h:1", "http://u:a@p@h:1", "http://u:a@p/p@h:1"] {
            assert_eq!(without_user_info(address), "http://h:1", "{address}");
        }
        for address in ["http://h:1/@p", "http://[::1]/@p", "http://h/@p", "unix:///run/a@b.sock"] {
            assert_eq!(without_user_info(address), address);
        }
    }

    #[test]
    fn a_text_of_a_config_stays_what_it_is_without_its_secrets() {
        for (text, kept) in [
            ("{env.TARGET:http://u:p@h}:80", "{env.TARGET}:80"),
            ("http://u:p@h:80", "http://<left out>@h:80"),
            ("u:p@h:80", "<left out>@h:80"),
            ("{http.request.host}/{", "{http.request.host}/{"),
            ("mitmproxy:8080", "mitmproxy:8080"),
            ("[::1]:8080", "[::1]:8080"),
            ("unix//run/x.sock", "unix//run/x.sock"),
            ("/@scope/*", "/@scope/*"),
        ] {
            assert_eq!(of_config(text), kept);
        }
    }

    #[test]
    fn quotes_for_the_shell() {
        assert_eq!(shell("app-net"), "app-net");
        assert_eq!(shell("it's; rm"), r"'it'\''s; rm'");
        assert_eq!(shell(""), "''");
    }

    #[test]
    fn guesses_what_was_meant() {
        assert_eq!(nearest("mitmproxi", ["caddy", "mitmproxy"]), Some("mitmproxy"));
        assert_eq!(["", "abc", "acb", "cab", "kitten"].map(|own| distance(own, "abc")), [3, 0, 1, 2, 6]);
        assert_eq!(nearest("keephostheader", ["keep_host_header", "mode"]), Some("keep_host_header"));
        assert_eq!(nearest("hots", ["format", "host"]), Some("host"));
        assert_eq!(nearest("db", ["caddy", "mitmproxy"]), None);
    }
}
