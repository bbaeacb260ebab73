//! What is asked, told on standard error while it happens: with `-v` a line for each question when it ends and for each way
//! that led nowhere; with `-vv` also when it begins, and what was made of the answers. On a terminal, without either, one
//! line names what is being waited for.
//!
//! A line holds the words of a question and the size of its answer, never the answer, a header or a password. It is
//! redacted and escaped all the same: names and reasons come from elsewhere. Whoever does not read standard error, or closes
//! it, disturbs nothing.

use std::{
    env,
    fmt::Display,
    io::{self, IsTerminal, Write},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use caddy_doctor_checks::model::Missing;

use super::redact;
use crate::report::shown;

/// What asks runs in several places and, inside of containers, on several threads; all of it tells one log.
static LOG: OnceLock<Log> = OnceLock::new();

#[derive(Debug)]
struct Log {
    /// How often `-v` was given.
    verbosity: u8,
    /// Whether a line names what is waited for.
    shows_wait: bool,
    start: Instant,
    open: Mutex<Open>,
}

/// The questions that have no answer yet, the oldest first.
#[derive(Debug, Default)]
struct Open {
    questions: Vec<(u64, Instant, String)>,
    last: u64,
    /// Whether the line is on the terminal now.
    is_drawn: bool,
    turns: usize,
}

/// Who waits less than this sees no line come and go.
const PATIENCE: Duration = Duration::from_millis(300);
const TURN: Duration = Duration::from_millis(100);

/// Begins to tell, from now on and until the end; the first call counts.
pub(crate) fn begin(verbosity: u8) {
    let set = |name: &str, none: &[&str]| env::var(name).is_ok_and(|value| !none.contains(&value.as_str()));
    let shows_wait = verbosity == 0
        && io::stderr().is_terminal()
        // A terminal that cannot erase a line says so; a job of a CI system may have one that nobody sees.
        && set("TERM", &["", "dumb"])
        && !set("CI", &["", "0", "false"]);
    if verbosity > 0 || shows_wait {
        let _ = LOG.set(Log { verbosity, shows_wait, start: Instant::now(), open: Mutex::default() });
    }
}

/// Tells what is known now, with `-v`.
pub(crate) fn say(what: impl Display) {
    if let Some(log) = LOG.get() {
        log.line(1, what);
    }
}

/// Tells what is of interest only when all is, with `-vv`.
pub(crate) fn detail(what: impl FnOnce() -> String) {
    if let Some(log) = LOG.get().filter(|log| log.verbosity > 1) {
        log.line(2, what());
    }
}

/// Begins a question: `GET /options, from inside mitmproxy`.
pub(crate) fn ask(words: impl Display) -> Question {
    let open = LOG.get().map(|log| {
        let words = words.to_string();
        log.line(2, format_args!("asking {words}"));
        let start = Instant::now();
        let mut open = log.open();
        open.last += 1;
        let id = open.last;
        open.questions.push((id, start, words.clone()));
        (log, id, start, words)
    });
    Question { open }
}

/// A question that was asked, until it [ends](Question::ends).
#[derive(Debug)]
pub(crate) struct Question {
    open: Option<(&'static Log, u64, Instant, String)>,
}

impl Question {
    /// What came of it.
    pub(crate) fn ends(mut self, said: impl Display) {
        self.end(said);
    }

    /// What came of it, where `said` tells of an answer.
    pub(crate) fn ends_with<T>(mut self, answer: &Result<T, Missing>, said: impl FnOnce(&T) -> String) {
        if self.open.is_some() {
            match answer {
                Ok(answer) => self.end(said(answer)),
                Err(Missing::Failed { why, .. }) => self.end(format_args!("failed: {why}")),
                Err(missing) => self.end(format_args!("failed: {missing}")),
            }
        }
    }

    fn end(&mut self, said: impl Display) {
        if let Some((log, id, start, words)) = self.open.take() {
            log.open().questions.retain(|(own, ..)| *own != id);
            log.line(1, format_args!("{words}: {said} ({} ms)", start.elapsed().as_millis()));
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.end("given up, nobody waits for it any more");
    }
}

/// Works, and when that takes long names on a terminal what is being waited for.
pub(crate) async fn waiting<T>(work: impl Future<Output = T>) -> T {
    let Some(log) = LOG.get().filter(|log| log.shows_wait) else { return work.await };
    let mut work = std::pin::pin!(work);
    let mut turns = tokio::time::interval_at(tokio::time::Instant::now() + PATIENCE, TURN);
    let done = loop {
        tokio::select! {
            biased;
            done = &mut work => break done,
            _ = turns.tick() => log.draw(),
        }
    };
    erase();
    done
}

/// Takes the line away that names what is being waited for, for those who write to the terminal.
pub(crate) fn erase() {
    if let Some(log) = LOG.get()
        && std::mem::take(&mut log.open().is_drawn)
    {
        write("\r\x1b[K");
    }
}

impl Log {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, verbosity: u8, what: impl Display) {
        if self.verbosity >= verbosity {
            write(&format!("{:>6} ms  {}\n", self.start.elapsed().as_millis(), clean(&what.to_string())));
        }
    }

    /// The terminal cuts a line that is too long: one that is wrapped could not be erased.
    fn draw(&self) {
        let mut open = self.open();
        let Some((_, start, words)) = open.questions.first() else { return };
        let sign = ["|", "/", "-", "\\"][open.turns % 4];
        let line = format!("{sign} {:.1} s, waiting for {}", start.elapsed().as_secs_f32(), clean(words));
        (open.turns, open.is_drawn) = (open.turns + 1, true);
        write(&format!("\r\x1b[?7l{line}\x1b[K\x1b[?7h"));
    }
}

fn clean(text: &str) -> String {
    shown(&redact::line(text))
}

/// In one piece, so that lines of several threads do not mix. Nobody has to listen.
fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_holds_no_secret() {
        let line = clean("GET http://u:CANARY@h/?token=CANARY\n::error::\u{1b}[2J, from here: no answer: x");
        assert!(!line.contains("CANARY") && !line.contains(['\n', '\u{1b}']), "{line}");
    }
}
