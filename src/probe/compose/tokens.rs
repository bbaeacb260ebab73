//! A Caddyfile as lines of words, some of them with a block of lines.

/// A line, and the block that it opens.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    /// Counted from one.
    pub(super) at: usize,
    pub(super) words: Vec<String>,
    pub(super) block: Option<Vec<Line>>,
}

/// No Caddyfile is nested so deeply.
const DEEPEST: usize = 50;

/// Reads a Caddyfile by the rules of Caddy's lexer (`caddyconfig/caddyfile/lexer.go`): words are separated by blanks, a `#`
/// at the begin of a word is a comment, `{$NAME:default}` is replaced before anything else.
///
/// # Errors
/// What in it is not understood, with its line.
pub(super) fn read(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Line>, String> {
    let text = substituted(text, variable)?;
    let mut open: Vec<Vec<Line>> = vec![Vec::new()];
    for (at, words) in lines(&text)? {
        let mut words = words;
        if words == ["}"] {
            let Some(block) = open.pop().filter(|_| !open.is_empty()) else {
                return Err(format!("line {at}: a brace closes nothing"));
            };
            if let Some(line) = open.last_mut().and_then(|lines| lines.last_mut()) {
                line.block = Some(block);
            }
            continue;
        }
        let opens = words.last().is_some_and(|word| word == "{");
        if opens {
            words.pop();
        }
        if words.iter().any(|word| word == "{" || word == "}") {
            return Err(format!("line {at}: a brace inside of a line"));
        }
        if let Some(lines) = open.last_mut() {
            lines.push(Line { at, words, block: None });
        }
        if opens {
            open.push(Vec::new());
            if open.len() > DEEPEST {
                return Err(format!("line {at}: nested more than {DEEPEST} deep"));
            }
        }
    }
    match open.pop().filter(|_| open.is_empty()) {
        Some(lines) => Ok(lines),
        None => Err("a brace is not closed".to_owned()),
    }
}

fn substituted(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(start) = rest.find("{$") {
        let Some(length) = rest[start..].find('}') else { break };
        let name = &rest[start + 2..start + length];
        let (name, default) = name.split_once(':').map_or((name, None), |(name, default)| (name, Some(default)));
        out.push_str(&rest[..start]);
        // What the image itself sets is not known.
        match variable(name).filter(|value| !value.is_empty()).or_else(|| default.map(str::to_owned)) {
            Some(value) => out.push_str(&value),
            None => return Err(format!("{{${name}}} stands for a variable that the compose file does not set")),
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The words of each line that has any.
fn lines(text: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    let mut found: Vec<(usize, Vec<String>)> = Vec::new();
    let (mut at, mut chars) = (1, text.chars().peekable());
    let (mut start, mut words): (usize, Vec<String>) = (1, Vec::new());
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                if !words.is_empty() {
                    found.push((start, std::mem::take(&mut words)));
                }
                at += 1;
            }
            '\\' if chars.peek() == Some(&'\n') => {
                chars.next();
                at += 1;
            }
            c if c.is_whitespace() => {}
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            quote @ ('"' | '`') => {
                if words.is_empty() {
                    start = at;
                }
                let mut word = String::new();
                loop {
                    match chars.next() {
                        None => return Err(format!("line {at}: a quote is not closed")),
                        Some(c) if c == quote => break,
                        Some('\\') if quote == '"' && chars.peek() == Some(&'"') => word.extend(chars.next()),
                        Some(c) => {
                            at += usize::from(c == '\n');
                            word.push(c);
                        }
                    }
                }
                words.push(word);
            }
            c => {
                if words.is_empty() {
                    start = at;
                }
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                    word.push(c);
                }
                if word.starts_with("<<") {
                    return Err(format!("line {at}: a heredoc"));
                }
                words.push(word);
            }
        }
    }
    if !words.is_empty() {
        found.push((start, words));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_plain(text: &str) -> Result<Vec<Line>, String> {
        read(text, &|name| (name == "SITE").then(|| "a.test".to_owned()))
    }

    #[test]
    fn words_blocks_quotes_and_comments() {
        let lines = read_plain("# c\n{$SITE}, \"b c\" {\n\tx y#z # c\n\tq `a\nb` {\n\t}\n}\n").unwrap();
        assert_eq!(lines[0].words, ["a.test,", "b c"]);
        let block = lines[0].block.as_ref().unwrap();
        assert_eq!((block[0].at, block[0].words.as_slice()), (3, &["x".to_owned(), "y#z".to_owned()][..]));
        assert_eq!((block[1].words[1].as_str(), block[1].block.as_deref()), ("a\nb", Some(&[][..])));
    }

    #[test]
    fn what_is_not_understood_is_said_with_its_line() {
        for (text, said) in [
            ("a {\n", "not closed"),
            ("}\n", "line 1: a brace closes nothing"),
            ("a {\n} b {\n}\n", "line 2"),
            ("{$OTHER} {\n}\n", "{$OTHER}"),
            ("x <<EOF\n", "heredoc"),
            ("x \"y\n", "quote"),
        ] {
            assert!(read_plain(text).unwrap_err().contains(said), "{text}");
        }
        assert_eq!(read_plain("{$OTHER:b.test}\n").unwrap()[0].words, ["b.test"]);
    }
}
