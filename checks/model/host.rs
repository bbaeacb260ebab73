//! The machine that the doctor runs on.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{Known, mitmproxy::CommandLine};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Host {
    /// `linux`, `macos`, `windows`.
    pub os: String,
    /// `Debian GNU/Linux 12 (bookworm), kernel 6.1.0-13-amd64`, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The id of the container that the doctor itself runs in, when it runs in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
    /// Whether the doctor runs with all rights here.
    pub root: bool,
    pub listeners: Known<Vec<Listener>>,
    /// Caddys and mitmproxys that run as plain processes.
    pub processes: Known<Vec<Process>>,
    /// The IPv4 routes of this machine, where it could be asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Known<Vec<RouteSeen>>>,
    /// The proxies in the doctor's own environment (`HTTP_PROXY`, `no_proxy`, ..., as written there), without user info.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<(String, String)>,
}

/// A route of this machine's kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RouteSeen {
    /// In CIDR notation: `10.8.0.0/24`; `0.0.0.0/0` is the way out.
    pub destination: String,
    pub interface: String,
    /// Of the interface, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// A TCP socket that listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listener {
    pub ip: IpAddr,
    pub port: u16,
    /// The user that owns it, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The process, where this user may see it and somebody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Owner {
    pub pid: u32,
    pub name: String,
}

/// A Caddy or a mitmproxy on the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Process {
    pub pid: u32,
    pub program: ProcessProgram,
    /// Ports on which it listens, as far as this user may see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase", tag = "name")]
pub enum ProcessProgram {
    Caddy,
    Mitmproxy(CommandLine),
}

impl Process {
    /// How reports call it.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.program {
            ProcessProgram::Caddy => format!("caddy (pid {})", self.pid),
            ProcessProgram::Mitmproxy(line) => format!("{} (pid {})", line.interface.name(), self.pid),
        }
    }
}
