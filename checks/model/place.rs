//! Places: network namespaces. A name or a port means something only in a place.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A network namespace: the host's, or the one that a container owns.
///
/// `network_mode: host` and `container:x` are resolved to the place that they really are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Place {
    Host,
    /// The name of the container that owns the namespace.
    Container(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the host"),
            Self::Container(name) => f.write_str(name),
        }
    }
}
