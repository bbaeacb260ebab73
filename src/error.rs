//! What the doctor itself can get wrong. What is wrong with a setup is never an error: it is a finding.

use std::{io, path::PathBuf};

/// Ends the run with exit code 2. Each is one sentence for the person who typed the command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file named with `--replay` cannot be read.
    #[error("cannot read the recording {}: {source}", path.display())]
    ReplayUnreadable { path: PathBuf, source: io::Error },
    /// It can be read and is something else.
    #[error("{} is not a recording of the doctor: {why}; doctor --record FILE writes one", path.display())]
    NotARecording { path: PathBuf, why: String },
    /// It was written by a newer doctor than this one.
    #[error("{} has recording schema {found}, and this doctor reads {}; update the doctor", path.display(), caddy_doctor_checks::model::facts::SCHEMA)]
    NewerRecording { path: PathBuf, found: u64 },
    /// A file that was to be written cannot be.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    /// What `GITHUB_STEP_SUMMARY` names cannot be written to.
    #[error("cannot append the summary of the step to {} (GITHUB_STEP_SUMMARY): {source}", path.display())]
    NoStepSummary { path: PathBuf, source: io::Error },
    /// A format that `doctor fix` has no form for.
    #[error("doctor fix writes text or json, not {format}; doctor --format {format} writes the report")]
    NoPlanInFormat { format: String },
    /// The file named with `--web-password-file` cannot be read.
    #[error("cannot read the password file {}: {source}", path.display())]
    PasswordUnreadable { path: PathBuf, source: io::Error },
    /// `doctor report` with `--format`.
    #[error(
        "doctor report writes Markdown for an issue and has no other --format; -o FORMAT=FILE writes the check in one, too"
    )]
    ReportHasOneForm,
    /// The `doctor.toml` that was named or found cannot be read.
    #[error("cannot read the settings {}: {source}", path.display())]
    ConfigUnreadable { path: PathBuf, source: io::Error },
    /// `doctor init` would write over it.
    #[error("{} is there already; doctor init --force writes over it", path.display())]
    ConfigThere { path: PathBuf },
    /// It says something that is not understood.
    #[error("{at}: {why}")]
    Config { at: String, why: String },
    /// An id that was said is none.
    #[error("{0}")]
    NoSuchCheck(String),
    /// A file named with `--compose` cannot be read.
    #[error("cannot read the compose file {}: {source}", path.display())]
    ComposeUnreadable { path: PathBuf, source: io::Error },
    /// It can be read, and neither compose nor the doctor makes anything of it.
    #[error("{} is no compose file that can be judged: {why}", path.display())]
    NotACompose { path: PathBuf, why: String },
    /// `--only` and `--skip` leave nothing.
    #[error("--only and --skip leave no check to make")]
    NothingSelected,
    /// The system gave no event loop.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// `doctor demo NAME` with a name that is none.
    #[error("there is no demo `{name}`; there are: {known}")]
    NoSuchDemo { name: String, known: String },
}
