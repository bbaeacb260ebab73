//! JSON: one document, schema version 1.

use serde::Serialize;

use super::is_hidden;

pub(crate) fn write(document: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    // JSON need not escape all that a terminal or a build server obeys, or does not show; but it may.
    let mut escaped = String::with_capacity(text.len() + 1);
    let mut before = '\n';
    for c in text.chars() {
        if c != '\n' && is_hidden(c) || c == '#' && before == '#' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
        before = c;
    }
    escaped.push('\n');
    escaped
}

/// The document of a run that could not start: wrong arguments or files (exit code 2).
pub(crate) fn error(message: &str) -> String {
    let document = serde_json::json!({
        "schema": super::SCHEMA,
        "doctor": env!("CARGO_PKG_VERSION"),
        "status": "unknown",
        "exit_code": 2,
        "partial": true,
        "elapsed_ms": 0,
        "error": message,
        "setup": { "caddy": [], "mitmproxy": [], "paths": [] },
        "root_causes": [],
        "checks": [],
    });
    write(&document)
}
