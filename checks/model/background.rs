//! What an issue report tells beside the verdicts: what was asked for, and what the parts said lately. No check reads it.

use serde::{Deserialize, Serialize};

use crate::model::Known;

/// Gathered for `doctor report` only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Background {
    /// The options that were given, word by word: `--host`, `api.example.com`. No password, and
    /// no name of a file with one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Whether mitmweb's password was given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub password: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<Log>,
}

/// The log of a container of the setup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Log {
    /// The container.
    pub of: String,
    /// The newest lines that matter, the newest last, redacted; equal ones are counted.
    pub lines: Known<Vec<String>>,
}
