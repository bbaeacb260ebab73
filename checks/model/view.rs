//! Views: what was seen from a place, and how it was got.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::model::{Known, Place};

/// What was seen from each place that the path goes through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Views(pub Vec<View>);

impl Views {
    #[must_use]
    pub fn from(&self, place: &Place) -> Option<&View> {
        self.0.iter().find(|view| view.place == *place)
    }
}

/// How a view was got, or a server reached; best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The doctor is in that place itself.
    Here,
    /// A thread of the doctor entered the network namespace.
    Namespace,
    /// From the host, over the port that is published.
    Published,
    /// From the host, at the container's own address.
    Address,
    /// By `docker exec` with what the image has.
    Exec,
    /// Not seen: it follows from inspect alone.
    Inferred,
    /// Not there yet: a compose file says so.
    Planned,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "seen from here",
            Self::Namespace => "seen from inside its network namespace",
            Self::Published => "over its published port",
            Self::Address => "at its container address",
            Self::Exec => "seen by docker exec",
            Self::Inferred => "inferred from inspect, not seen",
            Self::Planned => "by the compose file: nothing runs yet",
        })
    }
}

/// What somebody sees who uses an API over the port that is published for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PublishedSeen {
    /// The address on this machine: `127.0.0.1:2019`.
    pub address: String,
    /// The host's address that it is published on; empty or `0.0.0.0` or `::` for all.
    pub host_ip: String,
    /// The HTTP status and what was said with it (the reason phrase or the first line of the body), or why there is none.
    pub answer: Known<(u16, String)>,
}

/// What was seen from one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct View {
    pub place: Place,
    pub way: Way,
    /// What failed on the way down the ladder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_better: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NameSeen>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<ConnectionSeen>,
}

impl View {
    /// What is seen from a place that is not there yet.
    #[must_use]
    pub fn planned(place: &Place) -> Self {
        let place = place.clone();
        Self { place, way: Way::Planned, not_better: Vec::new(), names: Vec::new(), connections: Vec::new() }
    }

    #[must_use]
    pub fn name(&self, name: &str) -> Option<&NameSeen> {
        self.names.iter().find(|seen| seen.name.eq_ignore_ascii_case(name))
    }

    #[must_use]
    pub fn connection(&self, host: &str, port: u16) -> Option<&ConnectionSeen> {
        self.connections.iter().find(|seen| seen.host.eq_ignore_ascii_case(host) && seen.port == port)
    }
}

/// A name that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NameSeen {
    pub name: String,
    /// Who was asked: `/etc/hosts`, `127.0.0.11`, `getaddrinfo`.
    pub server: String,
    pub answer: NameAnswer,
    /// On the host: what the name server itself says, where that differs from getaddrinfo, which programs use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disagrees: Option<String>,
    pub took_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NameAnswer {
    Addresses(Vec<IpAddr>),
    /// The server says that there is no such name.
    NoSuchName,
    /// No answer, or one that says nothing about the name.
    Failed(String),
}

/// A TCP connection that was tried, and closed at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionSeen {
    /// As dialled: a name or an address.
    pub host: String,
    /// The address that was tried last; absent when the name has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    pub port: u16,
    pub answer: ConnectionAnswer,
    /// What the server speaks, where it was greeted in TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaks: Option<Speaks>,
    pub took_ms: u64,
}

/// How a server answers the first message of a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// With a handshake message or an alert.
    Tls,
    /// With anything else, or by closing.
    NoTls,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConnectionAnswer {
    Accepted,
    Refused,
    TimedOut,
    Failed(String),
}
