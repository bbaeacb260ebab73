//! How a report looks: plain unless it is written to a terminal that shows colour and more than ASCII.

use std::{env, io::IsTerminal};

use owo_colors::{OwoColorize, Style};

/// Plain by default, so that every writer can be tested without a terminal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Styles {
    pub(crate) fail: Style,
    pub(crate) warn: Style,
    pub(crate) pass: Style,
    pub(crate) strong: Style,
    pub(crate) dim: Style,
    pub(crate) command: Style,
    pub(crate) glyphs: Glyphs,
}

#[derive(Clone, Debug)]
pub(crate) struct Glyphs {
    pub(crate) fail: &'static str,
    pub(crate) warn: &'static str,
    pub(crate) pass: &'static str,
    pub(crate) unknown: &'static str,
    pub(crate) hop: &'static str,
    pub(crate) broken_hop: &'static str,
}

const UNICODE: Glyphs =
    Glyphs { fail: "✗", warn: "!", pass: "✓", unknown: "?", hop: "──", broken_hop: "─✗─" };
const ASCII: Glyphs = Glyphs { fail: "x", warn: "!", pass: "ok", unknown: "?", hop: "--", broken_hop: "-X-" };

impl Default for Glyphs {
    fn default() -> Self {
        UNICODE
    }
}

impl Styles {
    /// For standard output as it is: colour on a terminal or when it is forced, glyphs where the locale has them.
    pub(crate) fn for_stdout() -> Self {
        let glyphs = if is_utf8() { UNICODE } else { ASCII };
        if !is_coloured() {
            return Self { glyphs, ..Self::default() };
        }
        Self {
            fail: Style::new().red().bold(),
            warn: Style::new().yellow().bold(),
            pass: Style::new().green().bold(),
            strong: Style::new().bold(),
            dim: Style::new().dimmed(),
            command: Style::new().cyan(),
            glyphs,
        }
    }

    pub(crate) fn paint(&self, text: &str, style: &Style) -> String {
        if text.is_empty() { String::new() } else { text.style(*style).to_string() }
    }
}

/// `NO_COLOR` and `CLICOLOR` are obeyed by anstream, which also knows the consoles of Windows; `FORCE_COLOR` it does not know.
/// With `CI` it would colour for a terminal that shows none, as well.
fn is_coloured() -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    if set("NO_COLOR") {
        return false;
    }
    if set("FORCE_COLOR") || set("CLICOLOR_FORCE") {
        return true;
    }
    let is_dumb = env::var_os("TERM").map_or(!cfg!(windows), |term| term.is_empty() || term == "dumb");
    let stdout = std::io::stdout();
    !is_dumb && stdout.is_terminal() && anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never
}

/// By the first of the locale's variables that is set; without any it is the C locale, except where there is no such thing.
fn is_utf8() -> bool {
    if cfg!(windows) {
        return true;
    }
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| env::var(name).ok()).find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
