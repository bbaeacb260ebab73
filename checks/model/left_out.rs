//! What was in an answer and is not kept. A recording lists it, so that whoever reads one knows what it cannot show. No check
//! reads it.

use serde::{Deserialize, Serialize};

/// Things of one kind that were left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// Whose they are: `container caddy`, `the config of caddy`.
    pub of: String,
    /// What they are: `variables of its environment`. Neither their names nor their values.
    pub what: String,
    /// How many; absent where they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl LeftOut {
    /// So many of one kind; `None` when there are none.
    #[must_use]
    pub fn counted(of: &str, what: &str, count: usize) -> Option<Self> {
        (count > 0).then(|| Self { of: of.to_owned(), what: what.to_owned(), count: Some(count as u64) })
    }

    /// Those of one kind that are there; how many is not known.
    #[must_use]
    pub fn uncounted(of: &str, what: &str) -> Self {
        Self { of: of.to_owned(), what: what.to_owned(), count: None }
    }
}
