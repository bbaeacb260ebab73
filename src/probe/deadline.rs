//! One deadline for the whole run, and one for each question.

use std::time::Duration;

use caddy_doctor_checks::model::{Missing, facts::Kind};
use tokio::time::{Instant, timeout_at};

use super::log;

/// How long a single question may take when the run has that much time left.
const QUESTION: Duration = Duration::from_secs(3);

/// The end of the run. A question also ends at it, so the run does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    end: Instant,
    question: Duration,
}

impl Deadline {
    /// A run of at most `time`. A tenth of it is kept for what comes after a question that was not answered.
    pub(crate) fn after(time: Duration) -> Self {
        Self { end: Instant::now() + time.mul_f32(0.9), question: QUESTION.min(time.mul_f32(0.4)) }
    }

    /// All of `time` for each question, and no end of the run: it waits for a person in between.
    pub(crate) fn each(time: Duration) -> Self {
        Self { end: Instant::now() + Duration::from_secs(86_400), question: time }
    }

    /// For questions that are asked inside of another one: they end a little before it, so that what was answered by then
    /// is not lost with it.
    pub(crate) fn within(self) -> Self {
        let margin = Duration::from_millis(100).min(self.question / 10);
        Self { end: self.end.checked_sub(margin).unwrap_or(self.end), question: self.question - margin }
    }

    /// What is left for one question.
    pub(crate) fn left(self) -> Duration {
        self.question.min(self.end.saturating_duration_since(Instant::now()))
    }

    /// Waits for an answer to what is asked from here, and says what was asked when none came in time.
    pub(crate) async fn ask<T>(
        self,
        asked: &str,
        answer: impl Future<Output = Result<T, Missing>>,
    ) -> Result<T, Missing> {
        self.ask_from("from here", asked, |_| "done".to_owned(), answer).await
    }

    /// The same from elsewhere, or by another way: `from inside caddy`. `said` tells the log what came back, and nothing of
    /// what was in it.
    pub(crate) async fn ask_from<T>(
        self,
        from: &str,
        asked: &str,
        said: fn(&T) -> String,
        answer: impl Future<Output = Result<T, Missing>>,
    ) -> Result<T, Missing> {
        let question = log::ask(format_args!("{asked}, {from}"));
        let answer = self.limit(asked, answer).await;
        question.ends_with(&answer, said);
        answer
    }

    /// The same without a word in the log, for what consists of questions that are told there themselves.
    pub(crate) async fn limit<T>(
        self,
        asked: &str,
        answer: impl Future<Output = Result<T, Missing>>,
    ) -> Result<T, Missing> {
        let time = self.left();
        match timeout_at(Instant::now() + time, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Missing::failed(asked, Kind::TimedOut, format!("no answer in {}", words(time)))),
        }
    }
}

/// `3 s`, `0.5 s`.
fn words(time: Duration) -> String {
    let tenths = (time.as_millis() + 50) / 100;
    if tenths.is_multiple_of(10) { format!("{} s", tenths / 10) } else { format!("{}.{} s", tenths / 10, tenths % 10) }
}
