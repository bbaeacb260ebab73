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
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) if scheme == "ssh" => {
            let user = rest[..at].split(':').next().unwrap_or_default();
            format!("{scheme}://{user}{}", &rest[at..])
        }
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => address.to_owned(),
    }
}

/// Drops `user:password@` from a proxy mode, where `host:port@listen_port` means something else.
#[must_use]
pub fn mode_without_user_info(mode: &str) -> String {
    let is_listen = |after: &str| after.chars().all(|c| c.is_ascii_digit() || c == ':' || c == '.');
    let ends_in_port = |before: &str| {
        let own = before.rsplit("://").next().unwrap_or(before);
        own.rsplit_once(':').is_none_or(|(_, port)| port.chars().all(|c| c.is_ascii_digit()))
    };
    match mode.split_once('@') {
        Some((before, after)) if !(is_listen(after) && ends_in_port(before)) => without_user_info(mode),
        _ => mode.to_owned(),
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
        for mode in ["reverse:http://h:1@9000", "reverse:http://h:1@127.0.0.1:9000"] {
            assert_eq!(mode_without_user_info(mode), mode);
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
