//! What is taken out of text before it becomes a fact, so that no recording, report or log can hold it.

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
    let decisive: Vec<String> = lines
        .iter()
        .filter(|text| DECISIVE.iter().any(|needle| text.contains(needle)))
        .map(|text| line(text))
        .collect();
    if decisive.is_empty() { lines.last().map(|text| line(text)).into_iter().collect() } else { decisive }
}

/// The first lines of what a health check printed.
pub(crate) fn first_lines(output: &str) -> String {
    output.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).map(line).collect::<Vec<_>>().join("\n")
}

const LONGEST: usize = 400;
const LEFT_OUT: &str = "<left out>";

/// One line without values that look like secrets, and not longer than is read.
pub(crate) fn line(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut hide_next = false;
    for word in text.split(' ') {
        if hide_next && !word.is_empty() {
            // `Authorization: Bearer x` hides both words.
            hide_next = matches!(word.to_ascii_lowercase().as_str(), "bearer" | "basic" | "digest");
            words.push(LEFT_OUT.to_owned());
            continue;
        }
        let (shown, next) = without_secret(word);
        hide_next |= next;
        words.push(shown);
    }
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// A word without its secret, and whether the next word is one.
fn without_secret(word: &str) -> (String, bool) {
    let lower = word.to_ascii_lowercase();
    for name in ["token", "password", "passwd", "secret", "api_key", "apikey", "authorization", "cookie", "proxyauth"] {
        if let Some(at) = lower.find(name) {
            let rest = &word[at + name.len()..];
            match rest.chars().next() {
                Some('=' | ':') if rest.len() > 1 => {
                    return (format!("{}{LEFT_OUT}", &word[..=at + name.len()]), false);
                }
                Some('=' | ':') => return (word.to_owned(), true),
                None if word.starts_with('-') => return (word.to_owned(), true),
                _ => {}
            }
        }
    }
    // `user:password@` in a URL.
    if let Some((scheme, rest)) = word.split_once("://")
        && let Some((user, host)) = rest.split_once('@')
        && user.contains(':')
        && !user.contains('/')
    {
        return (format!("{scheme}://{LEFT_OUT}@{host}"), false);
    }
    (word.to_owned(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_and_the_rest_stays() {
        for (text, kept) in [
            ("Web server listening at http://0.0.0.0:8081/?token=CANARY", "8081"),
            ("curl -u x --header Authorization: Bearer CANARY", "--header"),
            ("mitmweb --set web_password=CANARY --mode x", "--mode x"),
            ("dial http://user:CANARY@backend:3000 failed", "@backend:3000 failed"),
            ("--password CANARY next", "next"),
        ] {
            let shown = line(text);
            assert!(!shown.contains("CANARY") && shown.contains(kept), "{shown}");
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
    fn a_long_line_is_cut() {
        assert!(line(&"x".repeat(10_000)).len() < 500);
    }
}
