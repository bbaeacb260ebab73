//! Text from elsewhere, made fit to be shown: names, logs and headers may hold anything.

/// Escapes what would be obeyed instead of shown: control characters, marks that turn the direction of writing or show
/// nothing, and what makes a line a command where a build server reads along. All are written as `\u{1b}`.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let rest = &text[at..];
        match c {
            '\t' => out.push_str("    "),
            ':' if before.is_whitespace() && is_workflow_command(rest) => out.push_str("\\u{3a}"),
            '#' if before == '#' && is_tag(rest) => out.push_str("\\u{23}"),
            c if is_hidden(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
        // What is escaped is no blank any more.
        before = if is_hidden(c) && c != '\t' { '}' } else { c };
    }
    out
}

/// A control character, a mark that turns the direction of writing or shows nothing, or one that XML 1.0 cannot hold.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// `::error::` or `::error title=x::`, which the runner of GitHub obeys behind nothing but blanks (`ActionCommand.cs` of
/// actions/runner). An address like `::1` is none.
fn is_workflow_command(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("::") else { return false };
    let after = rest.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '-');
    after.len() < rest.len() && (after.starts_with("::") || after.starts_with(char::is_whitespace))
}

/// Whether a `#` after another one begins a command: `##[error]` (the same runner, anywhere in a line), `##vso[` (Azure),
/// `##teamcity[`.
fn is_tag(text: &str) -> bool {
    text[1..].trim_start_matches(|c: char| c.is_ascii_alphabetic()).starts_with('[')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_elsewhere_reaches_the_terminal_as_a_command() {
        assert_eq!(shown("a\u{1b}[31mb\r\n\u{202e}c"), "a\\u{1b}[31mb\\r\\n\\u{202e}c");
        assert_eq!(shown("\u{61c}\u{ad}\u{e0041}\u{ffff}"), "\\u{61c}\\u{ad}\\u{e0041}\\u{ffff}");
        assert_eq!(shown("schön ✓"), "schön ✓");
    }

    #[test]
    fn nothing_from_elsewhere_is_a_command_of_a_build_server() {
        assert_eq!(shown("::error::x"), "\\u{3a}:error::x");
        assert_eq!(shown("a ::add-mask::x"), "a \\u{3a}:add-mask::x");
        assert_eq!(shown("\t::error title=a::x"), "    \\u{3a}:error title=a::x");
        assert_eq!(shown("a ##[error]x ###vso[y]"), "a #\\u{23}[error]x ##\\u{23}vso[y]");
        assert_eq!(shown("a\n::error::x"), "a\\n::error::x");
        for plain in ["::1", "[::]:80", "std::io::Error", ":: and ::", "## a", "a#b"] {
            assert_eq!(shown(plain), plain);
        }
    }
}
