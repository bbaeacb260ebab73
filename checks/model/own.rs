//! The verdict of a check of one's own, as its program prints it: one JSON document.

use serde::Deserialize;

use crate::model::{Action, Apply, Edit, Evidence, Explains, Finding, Fix, Gap, Outlook, Severity, Verdict};

/// What a check of one's own saw. The status follows from it: the worst of its findings and gaps, `skip` where it does not
/// apply, else `pass`.
///
/// A word that is not known here is an error: a misspelt `findings` must not be a pass.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("anyOf" = [
    {"required": ["summary"]},
    {"required": ["findings"], "properties": {"findings": {"minItems": 1}}},
    {"required": ["gaps"], "properties": {"gaps": {"minItems": 1}}},
    {"required": ["not_applicable"]},
])))]
pub struct OwnVerdict {
    /// One sentence for the case that nothing is wrong; it has to be there when nothing else is.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    summary: Option<String>,
    /// What was seen.
    evidence: Vec<Evidence>,
    /// What is wrong.
    findings: Vec<OwnFinding>,
    /// What could not be looked at: the check does not pass then. It is `skip` where a failure of a check that it comes
    /// after explains the gap, else `unknown`.
    gaps: Vec<OwnGap>,
    /// Why there is nothing here for this check to look at, a sentence.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    not_applicable: Option<String>,
}

/// One thing that is wrong.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct OwnFinding {
    severity: Severity,
    /// The parties, by the names that containers and processes have in the facts, or `port 8081`. It is folded under the
    /// failure of a check that this one comes after when they have a party in common.
    #[serde(default)]
    about: Vec<String>,
    /// The hop of the path on which it happens, `caddy -> mitmproxy:8080`: who dials, and the address as dialled. A failure
    /// on another hop explains nothing of it then, and the hop is drawn as broken.
    hop: Option<String>,
    /// One sentence.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    summary: String,
    #[serde(default)]
    evidence: Vec<Evidence>,
    #[serde(default)]
    fixes: Vec<OwnFix>,
}

/// What mends it. A person reads it: `doctor fix` never runs the commands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct OwnFix {
    /// What it does, an imperative sentence.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    title: String,
    /// For a POSIX shell, each as it can be pasted.
    #[serde(default)]
    commands: Vec<String>,
    #[serde(default)]
    edits: Vec<OwnEdit>,
}

/// Text for a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct OwnEdit {
    file: String,
    #[serde(default)]
    language: Language,
    text: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
enum Language {
    Yaml,
    Caddyfile,
    Json,
    Sh,
    Toml,
    #[default]
    Text,
}

/// Something that could not be looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct OwnGap {
    /// As in a finding; empty when the whole check could not look.
    #[serde(default)]
    about: Vec<String>,
    hop: Option<String>,
    /// A sentence: what was tried, from where, and what came back.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    reason: String,
}

/// Reads what a program printed.
///
/// # Errors
/// What is wrong with it: it is no JSON, more than one document, not of this form, or says nothing.
pub fn read(json: &[u8]) -> Result<Verdict, String> {
    // A list of the fields would be taken for a struct.
    if json.trim_ascii_start().starts_with(b"[") {
        return Err("it is a list, and a verdict is an object".to_owned());
    }
    let own: OwnVerdict = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let (findings, gaps) = (&own.findings, &own.gaps);
    if own.summary.is_none() && findings.is_empty() && gaps.is_empty() && own.not_applicable.is_none() {
        return Err("it says nothing: no summary, no finding, no gap, and not that it does not apply".to_owned());
    }
    let sentences = own.summary.iter().chain(&own.not_applicable);
    let sentences = sentences.chain(findings.iter().map(|finding| &finding.summary));
    let titles = findings.iter().flat_map(|finding| finding.fixes.iter().map(|fix| &fix.title));
    if sentences.chain(titles).chain(gaps.iter().map(|gap| &gap.reason)).any(String::is_empty) {
        return Err("a sentence in it is empty".to_owned());
    }
    Ok(Verdict {
        summary: own.summary.unwrap_or_default(),
        evidence: own.evidence,
        findings: own.findings.into_iter().map(finding).collect(),
        untold: 0,
        gaps: own
            .gaps
            .into_iter()
            .map(|OwnGap { about, hop, reason }| Gap { about, hop, reason, may_heal: false })
            .collect(),
        not_applicable: own.not_applicable,
    })
}

fn finding(own: OwnFinding) -> Finding {
    let OwnFinding { severity, about, hop, summary, evidence, fixes } = own;
    let fixes = fixes.into_iter().map(fix).collect();
    Finding { severity, explains: Explains::Everything, outlook: Outlook::Stays, about, hop, summary, evidence, fixes }
}

/// Whatever it does, a person has to decide: nothing is known of what the commands cost.
fn fix(own: OwnFix) -> Fix {
    let command = |command| Action::Command { command, apply: Apply::Manual };
    let action = match own.commands.len() {
        0 => Action::Manual,
        _ => Action::Steps(own.commands.into_iter().map(command).collect()),
    };
    let edits = own.edits.into_iter().map(|edit| Edit {
        file: edit.file,
        language: match edit.language {
            Language::Yaml => "yaml",
            Language::Caddyfile => "caddyfile",
            Language::Json => "json",
            Language::Sh => "sh",
            Language::Toml => "toml",
            Language::Text => "text",
        },
        text: edit.text,
    });
    Fix { title: own.title, action, edits: edits.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_a_verdict_is_read() {
        let verdict = read(
            br#"{"summary": "all labels are there", "evidence": [{"label": "labels", "value": "3"}],
                "findings": [{"severity": "warn", "about": ["caddy"], "hop": "caddy -> mitmproxy:8080",
                    "summary": "caddy has no owner", "evidence": [{"label": "labels", "value": "none"}],
                    "fixes": [{"title": "label it", "commands": ["docker ps", "docker stop caddy"],
                        "edits": [{"file": "compose.yml", "language": "yaml", "text": "labels: {}"}]}]}],
                "gaps": [{"about": ["backend"], "reason": "it was not inspected"}]}"#,
        )
        .unwrap();
        let finding = &verdict.findings[0];
        assert_eq!((finding.severity, finding.hop.as_deref()), (Severity::Warn, Some("caddy -> mitmproxy:8080")));
        assert_eq!(finding.fixes[0].action.commands(), ["docker ps", "docker stop caddy"]);
        assert_eq!(finding.fixes[0].edits[0].language, "yaml");
        assert_eq!((verdict.summary.as_str(), verdict.evidence.len()), ("all labels are there", 1));
        assert_eq!(verdict.gaps[0].about, ["backend"]);
    }

    /// A command from outside may do anything, so none is ever run without a person.
    #[test]
    fn a_fix_is_for_a_person() {
        for commands in ["[]", r#"["true"]"#, r#"["docker start caddy", "true"]"#] {
            let json = format!(
                r#"{{"findings": [{{"severity": "fail", "summary": "s",
                    "fixes": [{{"title": "t", "commands": {commands}}}]}}]}}"#
            );
            assert_eq!(read(json.as_bytes()).unwrap().findings[0].fixes[0].action.apply(), Apply::Manual, "{commands}");
        }
    }

    #[test]
    fn what_is_no_verdict_is_no_pass() {
        for wrong in [
            "",
            "{}",
            "null",
            "[]",
            r#"["fine"]"#,
            "ok",
            r#"{"summary": ""}"#,
            r#"{"summary": "fine"} {"summary": "fine"}"#,
            r#"{"summary": "fine", "finding": []}"#,
            r#"{"findings": [{"severity": "error", "summary": "s"}]}"#,
            r#"{"findings": [{"severity": "fail", "summary": ""}]}"#,
            r#"{"findings": [{"severity": "fail"}]}"#,
            r#"{"findings": [], "gaps": []}"#,
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
