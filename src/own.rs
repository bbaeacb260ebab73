//! Checks of one's own: the programs that the `[[check]]` entries of a `doctor.toml` name.
//!
//! A program gets the facts on standard input, as `--record` writes them, and prints one verdict
//! ([`caddy_doctor_checks::model::own`]). What it finds is judged like the rest. What goes wrong with the program itself is a
//! row that is `unknown` and says so, and the run never waits for it longer than it has time.

mod program;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use caddy_doctor_checks::{
    ALL,
    model::{Check, FactId, Facts, Group, Missing, Verdict, own, text},
};
use futures_util::future::join_all;
use serde::Deserialize;

use crate::{
    cli::{self, Judging},
    error::Error,
    judge::{self, Judged},
    probe::{log, redact},
    recording, report,
};

/// How long a program may take when its entry does not say.
const USUAL: Duration = Duration::from_secs(5);
/// A tenth of what is left of the run is kept for ending the programs, judging, and writing.
const SHARE: f32 = 0.9;

/// A `[[check]]` as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(crate) struct Entry {
    id: String,
    title: String,
    /// The program and its arguments. Nothing takes it apart: a shell has to be named, `["sh", "-c", ".."]`.
    command: Vec<String>,
    /// The checks whose failure about the same party explains a finding of this one.
    #[serde(default)]
    after: Vec<String>,
    /// As `--timeout`.
    timeout: Option<String>,
}

/// A check of one's own.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) check: &'static Check,
    command: Vec<String>,
    timeout: Duration,
    /// Where it runs: the folder of the file.
    folder: PathBuf,
    /// Why it is not to be run.
    withheld: Option<String>,
}

/// Every check, in the order of the report: those of one's own come last.
pub(crate) fn all(own: &[Own]) -> impl Iterator<Item = &'static Check> {
    ALL.iter().copied().chain(own.iter().map(|own| own.check))
}

/// Makes checks of the entries of `file`, each after those of them that can explain it. They are `withheld` when nobody said
/// that the commands of this file may be run.
///
/// The few strings of an entry live as long as the process, as those of the built-in checks do.
///
/// # Errors
/// Which entry is wrong, and a sentence.
pub(crate) fn checks(entries: &[Entry], file: &Path, withheld: bool) -> Result<Vec<Own>, (usize, String)> {
    for (at, entry) in entries.iter().enumerate() {
        entry.validate(&entries[..at]).map_err(|why| (at, why))?;
    }
    let known = || ALL.iter().map(|check| check.id).chain(entries.iter().map(|entry| entry.id.as_str()));
    for (at, entry) in entries.iter().enumerate() {
        if let Some(unknown) = entry.after.iter().find(|id| !known().any(|known| known == *id)) {
            let near = text::nearest(unknown, known()).map(|near| format!("; did you mean `{near}`?"));
            let (id, unknown, near) = (&entry.id, report::shown(unknown), near.unwrap_or_default());
            return Err((at, format!("`{id}` is after `{unknown}`, and there is no such check{near}")));
        }
    }
    let mut open: Vec<(usize, &Entry)> = entries.iter().enumerate().collect();
    let mut all: Vec<Own> = Vec::new();
    while let Some((first, _)) = open.first() {
        let is_done = |id: &String| caddy_doctor_checks::find(id).is_some() || all.iter().any(|own| own.check.id == id);
        let Some(next) = open.iter().position(|(_, entry)| entry.after.iter().all(is_done)) else {
            let circle: Vec<String> = open.iter().map(|(_, entry)| format!("`{}`", entry.id)).collect();
            let circle = text::list(&circle);
            return Err((*first, format!("`after` leads in a circle: {circle}; no check is the cause of itself")));
        };
        let (at, entry) = open.remove(next);
        let own = entry.check(&all, file, withheld).map_err(|why| (at, why))?;
        all.push(own);
    }
    Ok(all)
}

impl Entry {
    /// What would break a report, or is no check.
    fn validate(&self, before: &[Self]) -> Result<(), String> {
        let Self { id, title, command, .. } = self;
        let is_word =
            |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if id.len() > 40 || !id.split('-').all(is_word) || !id.starts_with(|c: char| c.is_ascii_lowercase()) {
            let id = report::shown(id);
            return Err(format!(
                "`{id}` is no id: up to 40 small letters, digits and single dashes, the first a letter, as in `backend-labels`"
            ));
        }
        if caddy_doctor_checks::find(id).is_some() {
            return Err(format!("`{id}` is a check of the doctor itself; give yours another id"));
        }
        if before.iter().any(|other| other.id == *id) {
            return Err(format!("there are two checks `{id}`"));
        }
        if title.trim().is_empty() || title.chars().count() > 120 || report::shown(title) != *title {
            return Err(format!(
                "the title of `{id}` has to be one line of 1 to 120 characters, all of which can be seen"
            ));
        }
        if command.first().is_none_or(String::is_empty) || command.iter().any(|word| word.contains('\0')) {
            return Err(format!("the command of `{id}` has to be a list of words, the first of which is a program"));
        }
        Ok(())
    }

    /// `before` are the own checks that it may come after.
    fn check(&self, before: &[Own], file: &Path, withheld: bool) -> Result<Own, String> {
        let timeout = match &self.timeout {
            Some(time) => cli::duration(time).map_err(|why| format!("the timeout of `{}`: {why}", self.id))?,
            None => USUAL,
        };
        // Also what those come after that are named, so that this is known without a look at other entries.
        let mut after: Vec<&'static str> = Vec::new();
        for id in &self.after {
            let own = before.iter().find(|own| own.check.id == id).map(|own| own.check);
            let Some(named) = own.or_else(|| caddy_doctor_checks::find(id)) else { continue };
            let further = if own.is_some() { named.after } else { &[] };
            after.extend(
                std::iter::once(named.id)
                    .chain(further.iter().copied())
                    .filter(|id| !after.contains(id))
                    .collect::<Vec<_>>(),
            );
        }
        let shown_file = report::shown(&file.display().to_string());
        let command: Vec<String> = self.command.iter().map(|word| report::shown(&text::shell(word))).collect();
        let page = format!(
            "{}\n\nA check of one's own, from {shown_file}. It runs, for at most {}:\n\n     {}\n\n\
             The program gets the facts and prints a verdict: docs/own-checks.md.\n",
            self.title.trim(),
            words(timeout),
            command.join(" "),
        );
        let check = Check {
            id: self.id.clone().leak(),
            group: Group::Own,
            after: after.leak(),
            needs: if withheld { &[] } else { EVERYTHING },
            explanation: page.leak(),
            source: shown_file.clone().leak(),
            // It is judged by what its program says; without that, nothing is known.
            run: |_| Verdict::missing(&Missing::NotAsked),
        };
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Own {
            check: Box::leak(Box::new(check)),
            command: self.command.clone(),
            timeout,
            folder: folder.to_owned(),
            withheld: withheld
                .then(|| format!("from {shown_file}, which was found and not named: --own-checks runs its commands")),
        })
    }
}

/// A program may read whatever it likes.
const EVERYTHING: &[FactId] = &[
    FactId::EngineSeen,
    FactId::Containers,
    FactId::Networks,
    FactId::Images,
    FactId::Host,
    FactId::Caddies,
    FactId::Mitmproxies,
    FactId::Views,
    FactId::Probed,
];

/// Runs the programs of the selected checks, all at the same time, and ends those that go on after `time`.
///
/// # Errors
/// The system gave no event loop.
pub(crate) fn run(judging: &Judging, facts: &Facts, time: Duration) -> Result<Vec<Judged>, Error> {
    let selected = judge::selected(judging);
    let own: Vec<&Own> =
        judging.own.iter().filter(|own| selected.iter().any(|check| check.id == own.check.id)).collect();
    if own.is_empty() {
        return Ok(Vec::new());
    }
    #[cfg(unix)]
    if own.iter().any(|own| own.withheld.is_none()) {
        program::groups::end_when_interrupted();
    }
    let time = time.mul_f32(SHARE);
    let input: Arc<[u8]> = recording::text(facts).into_bytes().into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let judged = runtime.block_on(join_all(own.into_iter().map(|own| own.judged(&input, time))));
    runtime.shutdown_background();
    Ok(judged)
}

impl Own {
    async fn judged(&self, input: &Arc<[u8]>, left: Duration) -> Judged {
        let start = Instant::now();
        let said = match &self.withheld {
            Some(why) => Ok(Verdict::not_applicable(why.clone())),
            None => {
                let question = log::ask(format_args!("the program of {}", self.check.id));
                let said = self.verdict(input, left).await;
                question.ends(if said.is_ok() { "gave a verdict" } else { "gave none" });
                said
            }
        };
        Judged::new(self.check, said, start)
    }

    /// What its program says, or what is wrong with the program.
    async fn verdict(&self, input: &Arc<[u8]>, left: Duration) -> Result<Verdict, String> {
        let name = self.command.first().map(String::as_str).unwrap_or_default();
        let why = |why: String| format!("its program `{}` {why}", redact::line(name));
        if left.is_zero() {
            return Err(why("was not started: no time was left of the run; --timeout gives it more".to_owned()));
        }
        let ended = program::run(&self.command, &self.folder, input, self.timeout.min(left)).await;
        let printed = match ended {
            Ok(printed) => printed,
            Err(program::Failed::TooLong) if left < self.timeout => {
                return Err(why(format!("did not end in the {} that the run had left, and was ended", words(left))));
            }
            Err(program::Failed::TooLong) => {
                return Err(why(format!("did not end within {}, and was ended", words(self.timeout))));
            }
            Err(program::Failed::Otherwise(failed)) => return Err(why(failed)),
        };
        match own::read(&printed) {
            Ok(verdict) => Ok(redacted(verdict)),
            Err(_) if printed.trim_ascii().is_empty() => {
                Err(why("printed nothing, where a verdict should be".to_owned()))
            }
            Err(error) => {
                let begin = program::first_words(&printed);
                Err(why(format!("printed something that is no verdict: {}; it begins: {begin}", redact::line(&error))))
            }
        }
    }
}

/// What a person reads of it, without what looks like a secret. Commands and text for files have to stay as they are.
fn redacted(mut verdict: Verdict) -> Verdict {
    let clean = |text: &mut String| *text = text.lines().map(redact::line).collect::<Vec<_>>().join("\n");
    clean(&mut verdict.summary);
    verdict.not_applicable.as_mut().map(clean);
    verdict.gaps.iter_mut().for_each(|gap| clean(&mut gap.reason));
    let mut evidence = verdict.evidence.iter_mut().collect::<Vec<_>>();
    for finding in &mut verdict.findings {
        clean(&mut finding.summary);
        evidence.extend(&mut finding.evidence);
    }
    evidence.into_iter().for_each(|seen| clean(&mut seen.value));
    verdict
}

/// `5 s`, `0.25 s`.
fn words(time: Duration) -> String {
    let seconds = format!("{:.2}", time.as_secs_f64());
    format!("{} s", seconds.trim_end_matches('0').trim_end_matches('.'))
}
