//! What became of marked requests, which are sent only when `--probe` asks for it.

use serde::{Deserialize, Serialize};

use crate::model::{Known, Place};

/// Every request that was sent, and how many flows each mitmproxy held before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Probed {
    pub requests: Vec<RequestSeen>,
    /// By the name of the mitmproxy.
    pub flows: Vec<FlowsSeen>,
}

impl Probed {
    /// What became of the requests for a Host that entered at `leg`.
    #[must_use]
    pub fn at(&self, leg: Leg, host: &str) -> Option<&RequestSeen> {
        self.requests.iter().find(|seen| seen.leg == leg && seen.host == host)
    }
}

/// Where a marked request enters the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// Straight at the backend, from mitmproxy's place.
    Backend,
    /// At mitmproxy, from Caddy's place.
    Mitmproxy,
    /// At Caddy, as a client does.
    Caddy,
}

/// The same request, sent a few times at one leg.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestSeen {
    pub leg: Leg,
    /// Who is asked: `caddy`, `mitmproxy`, `backend`, or the address as dialled.
    pub of: String,
    /// From where.
    pub from: Place,
    /// `http://127.0.0.1:18080/.doctor/4f2a`.
    pub url: String,
    /// The header `Host` that was sent.
    pub host: String,
    /// The first answer, or why there is none.
    pub answer: Known<ProbeAnswer>,
    /// How long each took until its answer began, in microseconds.
    pub took_us: Vec<u64>,
}

impl RequestSeen {
    /// The median of the times, in microseconds.
    #[must_use]
    pub fn median_us(&self) -> Option<u64> {
        let mut times = self.took_us.clone();
        times.sort_unstable();
        times.get(times.len().checked_sub(1)? / 2).copied()
    }
}

/// What an answer says about who gave it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProbeAnswer {
    pub status: u16,
    /// Every header `Server`, in order: `Caddy`, `mitmproxy 10.4.2`.
    pub servers: Vec<String>,
    /// Every header `Via`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// The header `Location`, of a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// How many bytes of a body came, at most 64 kB.
    pub length: u64,
    /// What mitmproxy's or Caddy's own error page says; of other answers nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

/// The flow counts of one mitmproxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FlowsSeen {
    pub mitmproxy: String,
    pub before: u64,
    /// After the requests that entered at mitmproxy itself.
    pub after_direct: Known<u64>,
    /// After those that entered at Caddy as well.
    pub after: Known<u64>,
}
