//! Bounds what a report holds. A name, a log line or an answer may have megabytes, and every format writes it.

use std::borrow::Cow;

use caddy_doctor_checks::model::{Edit, Evidence};

use super::{
    AcceptedReport, CaddyReport, CheckReport, EngineReport, FindingReport, FixReport, MitmproxyReport, PathReport,
    Report, RootCause, SetupReport,
};

/// What a name, a label or an address may have, in bytes.
pub(crate) const NAME: usize = 300;
/// What a sentence or a value that was seen may have, in bytes.
const WORDS: usize = 2_000;
/// What the commands of a fix may have, or the text for a file, in bytes. They are whole or not there: half a command is
/// another command.
const PASTED: usize = 20_000;

/// The text itself, or its beginning with a note.
pub(crate) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{} [cut here, of {} bytes]", &text[..end], text.len()))
}

/// Which kind of text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Name,
    Words,
    Pasted,
}

impl Report {
    /// The report with what is too long cut, with a note.
    pub(crate) fn cut(mut self) -> Self {
        let fixes = self.checks.iter_mut().flat_map(|check| &mut check.findings).flat_map(|finding| &mut finding.fixes);
        for fix in fixes {
            for commands in [&mut fix.commands, &mut fix.undo] {
                let length: usize = commands.iter().map(String::len).sum();
                if length > PASTED {
                    *commands = vec![format!("# left out: this has {length} bytes")];
                }
            }
            for edit in &mut fix.edits {
                if edit.text.len() > PASTED {
                    edit.text = format!("# left out: this has {} bytes", edit.text.len());
                }
            }
        }
        self.each_text(&mut |kind, text| {
            let most = match kind {
                Kind::Name => NAME,
                Kind::Words => WORDS,
                Kind::Pasted => return,
            };
            if let Cow::Owned(short) = cut(text, most) {
                *text = short;
            }
        });
        self
    }

    /// Hands out every text of the report that may come from elsewhere. Fields are named one by one, so that the compiler
    /// asks about a new one.
    pub(crate) fn each_text(&mut self, see: &mut impl FnMut(Kind, &mut String)) {
        let Self {
            schema: _,
            doctor: _,
            status: _,
            exit_code: _,
            strict: _,
            partial: _,
            elapsed_ms: _,
            config,
            accepted: _,
            notes,
            setup,
            root_causes,
            checks,
        } = self;
        config.iter_mut().chain(notes).for_each(|text| see(Kind::Words, text));
        let SetupReport { engine, caddy, mitmproxy, paths } = setup;
        if let Some(EngineReport { name, version, endpoint }) = engine {
            [name, version, endpoint].into_iter().for_each(|text| see(Kind::Name, text));
        }
        for CaddyReport { place, version, admin } in caddy {
            [Some(place), version.as_mut(), admin.as_mut()]
                .into_iter()
                .flatten()
                .for_each(|text| see(Kind::Name, text));
        }
        for MitmproxyReport { place, program: _, version, modes } in mitmproxy {
            see(Kind::Name, place);
            version.iter_mut().chain(modes).for_each(|text| see(Kind::Name, text));
        }
        for PathReport { host, path, undecided: _, hops, broken: _ } in paths {
            see(Kind::Name, host);
            path.iter_mut().for_each(|text| see(Kind::Name, text));
            // Each has two names.
            hops.iter_mut().for_each(|text| see(Kind::Words, text));
        }
        for RootCause { check: _, severity: _, about, summary } in root_causes {
            about.iter_mut().for_each(|text| see(Kind::Name, text));
            see(Kind::Words, summary);
        }
        for check in checks {
            let CheckReport {
                id: _,
                title: _,
                group: _,
                status: _,
                summary,
                evidence,
                findings,
                blocked_by: _,
                reason,
                explain: _,
                duration_ms: _,
                may_be_answered: _,
            } = check;
            see(Kind::Words, summary);
            reason.iter_mut().for_each(|text| see(Kind::Words, text));
            each_evidence(evidence, see);
            for finding in findings {
                let FindingReport {
                    severity: _,
                    about,
                    hop,
                    summary,
                    evidence,
                    consequence_of: _,
                    accepted,
                    fixes,
                    breaks: _,
                    may_heal: _,
                    certain: _,
                } = finding;
                if let Some(AcceptedReport { reason, expires, severity: _, through: _ }) = accepted {
                    see(Kind::Words, reason);
                    see(Kind::Name, expires);
                }
                about.iter_mut().for_each(|text| see(Kind::Name, text));
                hop.iter_mut().for_each(|text| see(Kind::Words, text));
                see(Kind::Words, summary);
                each_evidence(evidence, see);
                for FixReport { title, commands, edits, apply: _, undo, action: _ } in fixes {
                    see(Kind::Words, title);
                    commands.iter_mut().chain(undo).for_each(|text| see(Kind::Pasted, text));
                    for Edit { file, language: _, text } in edits {
                        see(Kind::Name, file);
                        see(Kind::Pasted, text);
                    }
                }
            }
        }
    }
}

fn each_evidence(evidence: &mut [Evidence], see: &mut impl FnMut(Kind, &mut String)) {
    for Evidence { label, value } in evidence {
        see(Kind::Name, label);
        see(Kind::Words, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("aüb", 2), "a [cut here, of 4 bytes]");
    }
}
