//! Caddy's request matchers, as far as Host, path and method decide them (`modules/caddyhttp/matchers.go`). In three
//! values: `None` is what cannot be decided, be it for a placeholder or because versions of Caddy differ about it.

use std::borrow::Cow;

use crate::model::caddy::{MatcherSet, Rewrite};

/// A request, as far as it is known at some place among the routes.
pub(crate) struct Subject<'s> {
    /// Without a port.
    pub(crate) host: Option<&'s str>,
    pub(crate) path: &'s PathNow,
    pub(crate) method: Option<&'s str>,
}

/// The path of a request, at some place among the routes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PathNow {
    /// The one that was sent, whatever it is.
    Any,
    Known(RequestPath),
    /// It was rewritten to something that cannot be known.
    Unknown,
}

/// A path, in the forms in which matchers compare it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestPath {
    decoded: String,
    /// With its percent encoding; `None` where versions of Caddy encode it differently.
    raw: Option<String>,
    /// In lower case and cleaned.
    cleaned: String,
    /// The same without dots and spaces at the end: only up to 2.6 they are dropped on every system.
    trimmed: String,
}

impl RequestPath {
    /// Reads the path of a request line. `None` when no HTTP server takes it.
    pub(crate) fn read(path: &str) -> Option<Self> {
        let path = path.split('?').next().filter(|path| path.starts_with('/'))?;
        let may_stand = |c: char| c.is_ascii_alphanumeric() || "-_.~$&+,/:;=@%!'()*[]".contains(c);
        Some(Self::new(unescape(path)?, path.chars().all(may_stand).then(|| path.to_owned())))
    }

    fn new(decoded: String, raw: Option<String>) -> Self {
        let lower = lower_case(&decoded);
        let cleaned = clean(&lower, true);
        let trimmed = clean(lower.trim_end_matches(['.', ' ']), true);
        Self { decoded, raw, cleaned, trimmed }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.decoded
    }

    /// Whether it is written in one way only, so that rewriting it is plain text work.
    fn is_plain(&self) -> bool {
        self.raw.as_ref() == Some(&self.decoded) && is_plain(&self.decoded)
    }

    /// What a `rewrite` handler makes of it. `None` when that cannot be known.
    pub(crate) fn rewritten(&self, rewrite: &Rewrite) -> Option<Self> {
        if rewrite.uri_substring || rewrite.path_regexp {
            return None;
        }
        let mut path = Cow::Borrowed(self);
        if let Some(uri) = &rewrite.uri {
            path = Cow::Owned(Self::new(uri.to_string(), Some(uri.to_string())).plain()?);
        }
        if let Some(prefix) = rewrite.strip_path_prefix.as_deref() {
            let text = path.as_ref().clone().plain()?.decoded;
            let stripped = strip(&text, prefix, without_prefix)?;
            // Newer ones put the slash that is missing.
            if !prefix.starts_with('/') && strip(&text, &format!("/{prefix}"), without_prefix)? != stripped {
                return None;
            }
            path = Cow::Owned(Self::new(stripped.clone(), Some(stripped)));
        }
        if let Some(suffix) = rewrite.strip_path_suffix.as_deref() {
            let text = path.as_ref().clone().plain()?.decoded;
            let stripped = strip(&text, suffix, |text, suffix| {
                let at = text.len().checked_sub(suffix.len())?;
                text[at..].eq_ignore_ascii_case(suffix).then(|| &text[..at])
            })?;
            path = Cow::Owned(Self::new(stripped.clone(), Some(stripped)));
        }
        Some(path.into_owned())
    }

    fn plain(self) -> Option<Self> {
        self.is_plain().then_some(self)
    }
}

/// Characters that no version of Caddy writes in another way.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~$&+,/:;=@".contains(c))
}

/// The path is cleaned first, whether or not there is anything to strip.
fn strip(text: &str, part: &str, cut: impl for<'t> Fn(&'t str, &str) -> Option<&'t str>) -> Option<String> {
    if !is_plain(part) {
        return None;
    }
    let cleaned = clean(text, !part.contains("//"));
    Some(cut(&cleaned, part).unwrap_or(&cleaned).to_owned())
}

fn without_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Whether one of the sets matches; no set matches everything.
pub(crate) fn any_set(sets: &[MatcherSet], subject: &Subject<'_>) -> Option<bool> {
    if sets.is_empty() {
        return Some(true);
    }
    any(sets.iter().map(|set| set_matches(set, subject)))
}

fn set_matches(set: &MatcherSet, subject: &Subject<'_>) -> Option<bool> {
    let host = set.host.as_ref().map_or(Some(true), |patterns| hosts_match(patterns, subject.host));
    if host == Some(false) {
        return host;
    }
    let path = set.path.as_ref().map_or(Some(true), |patterns| paths_match(patterns, subject.path));
    let method = set.method.as_ref().map_or(Some(true), |methods| methods_match(methods, subject.method));
    let not = set.not.as_ref().map_or(Some(true), |sets| {
        // A `not` without sets always holds.
        let matches = if sets.is_empty() { Some(false) } else { any_set(sets, subject) };
        matches.map(|matches| !matches)
    });
    let rest = if set.undecided.is_empty() { Some(true) } else { None };
    [host, path, method, not, rest].into_iter().fold(Some(true), both)
}

pub(crate) fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn any(all: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut any = Some(false);
    for one in all {
        match one {
            Some(true) => return one,
            None => any = None,
            Some(false) => {}
        }
    }
    any
}

/// `Some(answer)` when both versions of Caddy give it.
fn agreed(older: bool, newer: bool) -> Option<bool> {
    (older == newer).then_some(older)
}

/// The Host of a request as matchers see it: without its port and its brackets.
#[must_use]
pub(crate) fn without_port(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or(inner);
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

/// Above this number of hosts Caddy looks them up in a sorted list.
const LARGE: usize = 100;

pub(crate) fn hosts_match(patterns: &[String], host: Option<&str>) -> Option<bool> {
    let Some(host) = host else { return if patterns.is_empty() { Some(false) } else { None } };
    any(patterns.iter().map(|pattern| host_matches(pattern, host, patterns.len() > LARGE)))
}

/// The patterns of which one must match an ASCII Host for any of these sets to match, where all of them are plain: a name, or
/// `*.` before one. `None` when something else may decide, too.
pub(crate) fn plain_hosts(sets: &[MatcherSet]) -> Option<impl Iterator<Item = &str>> {
    let is_plain = |host: &String| {
        let name = host.strip_prefix("*.").unwrap_or(host);
        name.is_ascii() && !name.contains(['{', '*'])
    };
    let all = sets.iter().all(|set| set.host.as_ref().is_some_and(|hosts| hosts.iter().all(is_plain)));
    let hosts = sets.iter().filter_map(|set| set.host.as_ref()).flatten().map(String::as_str);
    (all && !sets.is_empty()).then_some(hosts)
}

/// Caddy compares hosts without regard to case; `*` stands for one label, wherever it is.
fn host_matches(pattern: &str, host: &str, large: bool) -> Option<bool> {
    if pattern == host {
        return Some(true);
    }
    // From 2.9 on names of other scripts are compared in their ASCII form.
    if pattern.contains('{') || !pattern.is_ascii() || !host.is_ascii() {
        return None;
    }
    if !pattern.contains('*') {
        // In a large list older ones compare letter by letter.
        return if pattern.eq_ignore_ascii_case(host) { agreed(!large, true) } else { Some(false) };
    }
    let (mut labels, mut own) = (pattern.split('.'), host.split('.'));
    loop {
        match (labels.next(), own.next()) {
            (None, None) => return Some(true),
            // Words that stand for every other Host are no label.
            (Some("*"), Some(label)) if label.contains(' ') => return None,
            (Some("*"), Some(_)) => {}
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => {}
            // `*.*` may match one of those Hosts.
            _ => {
                return if host.contains(' ') && pattern.split('.').all(|own| own == "*") { None } else { Some(false) };
            }
        }
    }
}

/// Methods are compared as they stand; newer ones turn those of the config into upper case.
fn methods_match(methods: &[String], method: Option<&str>) -> Option<bool> {
    let Some(method) = method else { return if methods.is_empty() { Some(false) } else { None } };
    any(methods.iter().map(|own| agreed(own == method, own.to_uppercase() == method)))
}

pub(crate) fn paths_match(patterns: &[String], path: &PathNow) -> Option<bool> {
    if patterns.iter().any(|pattern| pattern == "*") {
        return Some(true);
    }
    match path {
        PathNow::Known(path) => any(patterns.iter().map(|pattern| path_matches(pattern, path))),
        // Every path that is sent starts with a slash; one that was rewritten may be empty.
        PathNow::Any if patterns.iter().any(|pattern| pattern == "/*") => Some(true),
        _ if patterns.is_empty() => Some(false),
        _ => None,
    }
}

/// Caddy compares paths in lower case and cleaned, with `*` for a prefix, a suffix, a part, or as a glob.
fn path_matches(pattern: &str, path: &RequestPath) -> Option<bool> {
    if pattern.contains('{') {
        return None;
    }
    let pattern = lower_case(pattern);
    if pattern.contains('%') {
        let raw = path.raw.as_ref()?;
        let raw = clean(raw, !pattern.contains("//"));
        return agreed(escaped_matches(&pattern, &raw, false), escaped_matches(&pattern, &raw, true));
    }
    let (untrimmed, trimmed) = if pattern.contains("//") {
        let lower = lower_case(&path.decoded);
        (Cow::Owned(clean(&lower, false)), Cow::Owned(clean(lower.trim_end_matches(['.', ' ']), false)))
    } else {
        (Cow::Borrowed(path.cleaned.as_str()), Cow::Borrowed(path.trimmed.as_str()))
    };
    agreed(cleaned_matches(&pattern, &trimmed), cleaned_matches(&pattern, &untrimmed))
}

fn cleaned_matches(pattern: &str, path: &str) -> bool {
    match pattern.matches('*').count() {
        2 if pattern.starts_with('*') && pattern.ends_with('*') => path.contains(&pattern[1..pattern.len() - 1]),
        1 if pattern.starts_with('*') => path.ends_with(&pattern[1..]),
        1 if pattern.ends_with('*') => path.starts_with(&pattern[..pattern.len() - 1]),
        _ => glob(pattern, path),
    }
}

/// A pattern with `%` is compared with the path as it was sent, where the `%` is. Newer ones do so in lower case, and
/// to the end of the path.
fn escaped_matches(pattern: &str, path: &str, newer: bool) -> bool {
    let lower = path.to_ascii_lowercase();
    let path = if newer { lower.as_str() } else { path };
    let (bytes, pattern_bytes) = (path.as_bytes(), pattern.as_bytes());
    let (mut at, mut in_path) = (0, 0);
    let mut seen = Vec::new();
    while at < pattern_bytes.len() && in_path < bytes.len() {
        let escape = path.get(in_path..in_path + 3).filter(|escape| escape.starts_with('%'));
        let own = match escape.map(unescape_bytes) {
            None => vec![bytes[in_path]],
            Some(Some(own)) => own,
            Some(None) => return false,
        };
        let is_escape = pattern_bytes[at] == b'%';
        if is_escape && pattern_bytes.len() >= at + 3 && pattern_bytes[at + 1] != b'*' {
            seen.extend(escape.unwrap_or_default().to_ascii_lowercase().bytes());
            in_path += if escape.is_some() { 3 } else { 1 };
            at += 3;
        } else if is_escape || pattern_bytes[at] == b'*' {
            // Caddy has gone over the escape here already, as if it had been compared.
            in_path += if escape.is_some() { 2 } else { 0 };
            at += usize::from(is_escape);
            let remaining = &bytes[in_path..];
            let span = match pattern_bytes.get(at + 1) {
                None => remaining.len(),
                Some(next) => match remaining.iter().position(|byte| byte == next) {
                    Some(span) => span,
                    None => return false,
                },
            };
            if is_escape {
                seen.extend(&remaining[..span]);
            } else {
                match path.get(in_path..in_path + span).and_then(unescape_bytes) {
                    Some(span) => seen.extend(span),
                    None => return false,
                }
            }
            in_path += span;
            at += 1;
        } else {
            seen.extend(own);
            in_path += if escape.is_some() { 3 } else { 1 };
            at += 1;
        }
    }
    if newer && in_path < bytes.len() {
        let rest = &path[in_path..];
        seen.extend(unescape_bytes(rest).unwrap_or_else(|| rest.as_bytes().to_vec()));
    }
    let Ok(mut seen) = String::from_utf8(seen) else { return false };
    if newer {
        seen = lower_case(&seen).into_owned();
    }
    glob(&pattern.replace("%*", "*"), &seen)
}

/// Go's `path.Match`: `*` and `?` stand for anything but a slash, `[a-z]` and `[^a-z]` for one character, `\` takes what
/// follows as it is. A pattern that is wrong matches nothing.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut pattern, mut name) = (pattern.as_slice(), name.as_slice());
    'pattern: while !pattern.is_empty() {
        let stars = pattern.iter().take_while(|c| **c == '*').count();
        let (chunk, rest) = pattern[stars..].split_at(chunk_length(&pattern[stars..]));
        if stars > 0 && chunk.is_empty() {
            return !name.contains(&'/');
        }
        pattern = rest;
        if let Some(after) = matched(chunk, name)
            && (after.is_empty() || !pattern.is_empty())
        {
            name = after;
            continue;
        }
        if stars > 0 {
            for skipped in 1..=name.iter().take_while(|c| **c != '/').count() {
                if let Some(after) = matched(chunk, &name[skipped..])
                    && (after.is_empty() || !pattern.is_empty())
                {
                    name = after;
                    continue 'pattern;
                }
            }
        }
        return false;
    }
    name.is_empty()
}

/// How far it is to the next star that stands for itself.
fn chunk_length(pattern: &[char]) -> usize {
    let (mut at, mut in_class) = (0, false);
    while at < pattern.len() {
        match pattern[at] {
            '\\' => at += 1,
            '[' => in_class = true,
            ']' => in_class = false,
            '*' if !in_class => return at,
            _ => {}
        }
        at += 1;
    }
    pattern.len()
}

/// What is left of `name` behind a part of a pattern that has no star.
fn matched<'n>(mut chunk: &[char], mut name: &'n [char]) -> Option<&'n [char]> {
    while let Some((first, after)) = chunk.split_first() {
        let (c, rest) = name.split_first()?;
        chunk = match first {
            '[' => class(after, *c)?,
            '?' if *c == '/' => return None,
            '?' => after,
            '\\' => after.split_first().filter(|(escaped, _)| *escaped == c)?.1,
            own if own == c => after,
            _ => return None,
        };
        name = rest;
    }
    Some(name)
}

/// What is left of a pattern behind a class that `c` belongs to.
fn class(mut chunk: &[char], c: char) -> Option<&[char]> {
    let negated = chunk.first() == Some(&'^');
    chunk = &chunk[usize::from(negated)..];
    let (mut belongs, mut ranges) = (false, 0);
    loop {
        if ranges > 0
            && let Some((']', rest)) = chunk.split_first()
        {
            return (belongs != negated).then_some(rest);
        }
        let (low, rest) = class_end(chunk)?;
        let (high, rest) = match rest.split_first() {
            Some(('-', rest)) => class_end(rest)?,
            _ => (low, rest),
        };
        belongs |= (low..=high).contains(&c);
        (chunk, ranges) = (rest, ranges + 1);
    }
}

fn class_end(chunk: &[char]) -> Option<(char, &[char])> {
    let (first, rest) = chunk.split_first()?;
    let (own, rest) = match first {
        '-' | ']' => return None,
        '\\' => rest.split_first()?,
        _ => (first, rest),
    };
    // The class must be closed.
    (!rest.is_empty()).then_some((*own, rest))
}

/// Go's `path.Clean`, with a slash at the end kept. Empty segments are merged, or kept as they are.
fn clean(path: &str, merge: bool) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    let mut segments = path[usize::from(rooted)..].split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" if merge || segments.peek().is_none() => {}
            "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            own => parts.push(own),
        }
    }
    if parts.is_empty() {
        return if rooted {
            "/"
        } else if path.ends_with('/') {
            "./"
        } else {
            "."
        }
        .to_owned();
    }
    let (start, end) = (if rooted { "/" } else { "" }, if path.ends_with('/') { "/" } else { "" });
    format!("{start}{}{end}", parts.join("/"))
}

pub(crate) fn ascii_lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() }
}

/// Letter by letter, as Go does.
fn lower_case(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { ascii_lower_case(text) } else { text.chars().flat_map(char::to_lowercase).collect() }
}

fn unescape(text: &str) -> Option<String> {
    String::from_utf8(unescape_bytes(text)?).ok()
}

fn unescape_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut unescaped = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        unescaped.push(if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?].map(|digit| char::from(digit).to_digit(16));
            let [Some(high), Some(low)] = digits else { return None };
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(pattern: &str, path: &str) -> Option<bool> {
        paths_match(&[pattern.to_owned()], &PathNow::Known(RequestPath::read(path).unwrap()))
    }

    /// The cases of Caddy's own `matchers_test.go`, and what a Caddy 2.6.2 answered.
    #[test]
    fn paths_match_as_in_caddy() {
        for (pattern, matching, other) in [
            ("/", "/", "/foo"),
            ("/foo/bar", "/foo/bar", "/foo/bar/"),
            ("/foo/bar/*", "/foo/bar/", "/foo/bar"),
            ("/foo*", "/foobar", "/fo"),
            ("*.ext", "/foo.ext", "/foo.extra"),
            ("*substring*", "/has-substring-here", "/sub/string"),
            ("/foo/*/baz", "/foo/bar/baz", "/foo/bar/bar/baz"),
            ("/foo/*/baz*", "/foo/bar/bazz", "/foo/bar/ba"),
            ("/a/?", "/a/b", "/a//"),
            ("/a/[b-d]", "/a/C", "/a/e"),
            ("/a/[^b-d]", "/a/e", "/a/b"),
            ("/FOO", "/foo", "/fo"),
            ("/foo", "/FOO", "/foo2"),
            ("/x/y", "/x//y", "/x/z/y"),
            ("/x/y", "/x/z/../y", "/x/y/.."),
            ("/x//y", "/x//y", "/x/y"),
            ("/foo bar", "/foo%20bar", "/foo+bar"),
        ] {
            assert_eq!(path(pattern, matching), Some(true), "{pattern} {matching}");
            assert_eq!(path(pattern, other), Some(false), "{pattern} {other}");
        }
        assert_eq!(path("/a/[b", "/a/b"), Some(false));
        assert_eq!(path("/foo%2Fbar", "/foo%2Fbar"), Some(true));
        assert_eq!(path("/foo%2Fbar", "/foo/bar"), Some(false));
    }

    #[test]
    fn what_versions_of_caddy_do_not_agree_on_is_undecided() {
        assert_eq!(path("/foo", "/foo."), None);
        assert_eq!(path("/foo%2Fbar", "/foo%2Fbarbaz"), None);
        assert_eq!(path("/{x}", "/a"), None);
        assert_eq!(methods_match(&["get".to_owned()], Some("GET")), None);
        let mut many: Vec<String> = (0..LARGE).map(|n| format!("h{n}")).collect();
        many.push("Upper".to_owned());
        assert_eq!(hosts_match(&many, Some("upper")), None);
        assert_eq!(hosts_match(&many, Some("Upper")), Some(true));
    }

    #[test]
    fn any_path_is_any_that_can_be_sent() {
        let any = |pattern: &str, path: &PathNow| paths_match(&[pattern.to_owned()], path);
        assert_eq!(any("*", &PathNow::Unknown), Some(true));
        assert_eq!((any("/*", &PathNow::Any), any("/*", &PathNow::Unknown)), (Some(true), None));
        assert_eq!((any("/a", &PathNow::Any), paths_match(&[], &PathNow::Any)), (None, Some(false)));
    }

    #[test]
    fn a_star_stands_for_one_label() {
        let host = |pattern: &str, host: &str| hosts_match(&[pattern.to_owned()], Some(without_port(host)));
        for (pattern, matching, other) in [
            ("*.Example.com", "api.example.COM:80", "x.api.example.com"),
            ("a.*.com", "a.b.com", "a.com"),
            ("*", "localhost", "a.b"),
            ("a*", "A*", "ab"),
            ("::1", "[::1]:80", "::2"),
        ] {
            assert_eq!(host(pattern, matching), Some(true), "{pattern} {matching}");
            assert_eq!(host(pattern, other), Some(false), "{pattern} {other}");
        }
        assert_eq!((host("{env.X}", "a"), host("b\u{fc}cher.de", "xn--bcher-kva.de")), (None, None));
        assert_eq!((host("*", "any other Host"), host("*.*", "any other Host")), (None, None));
    }

    #[test]
    fn a_rewrite_changes_what_later_matchers_see() {
        let rewritten = |path: &str, rewrite: Rewrite| {
            RequestPath::read(path).unwrap().rewritten(&rewrite).map(|path| path.as_str().to_owned())
        };
        let prefix = |prefix: &str| Rewrite { strip_path_prefix: Some(prefix.into()), ..Rewrite::default() };
        let suffix = |suffix: &str| Rewrite { strip_path_suffix: Some(suffix.into()), ..Rewrite::default() };
        let uri = |uri: &str| Rewrite { uri: Some(uri.into()), ..Rewrite::default() };
        assert_eq!(rewritten("/API/x", prefix("/api")), Some("/x".into()));
        assert_eq!(rewritten("/apix", prefix("/api")), Some("x".into()));
        assert_eq!(rewritten("/b//x", prefix("/api")), Some("/b/x".into()));
        assert_eq!(rewritten("/api", prefix("/api")), Some(String::new()));
        assert_eq!(rewritten("/api/x", prefix("api")), None);
        assert_eq!(rewritten("/a%20b", prefix("/a")), None);
        assert_eq!(rewritten("/a.HTML", suffix(".html")), Some("/a".into()));
        assert_eq!(rewritten("/a", uri("/b")), Some("/b".into()));
        assert_eq!(rewritten("/a", uri("/b{path}")), None);
        assert_eq!(rewritten("/a", Rewrite { path_regexp: true, ..Rewrite::default() }), None);
    }
}
