//! The machine that an engine runs on, where that is not the one that a person sees.

use crate::model::docker::EngineSeen;

/// Where containers take another machine, or another namespace, for "the host".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// Docker in RootlessKit's network namespace: `SecurityOptions` of `GET /info` has `name=rootless`.
    Rootless,
    /// In a virtual machine, by `OperatingSystem` of `GET /info`: `Docker Desktop`, `OrbStack`.
    Desktop,
    OrbStack,
    /// In a virtual machine of Lima, by the path of the socket.
    Colima,
    Lima,
}

impl Machine {
    /// `None` for an engine of the system's own, and where nothing tells.
    #[must_use]
    pub fn of(engine: &EngineSeen) -> Option<Self> {
        let answer = engine.answer.as_ref().ok()?;
        let info = answer.info.as_ref().and_then(|info| info.as_ref().ok());
        let system = info.map(|info| info.operating_system.as_str()).unwrap_or_default();
        let at = |words: &[&str]| words.iter().any(|word| engine.endpoint.contains(word));
        match () {
            () if system.contains("Docker Desktop") => Some(Self::Desktop),
            () if system.contains("OrbStack") || at(&["/.orbstack/"]) => Some(Self::OrbStack),
            () if at(&["/.colima/", "/colima/"]) => Some(Self::Colima),
            () if at(&["/.lima/", "/.rd/"]) => Some(Self::Lima),
            () if answer.name == "docker" && info.is_some_and(|info| info.rootless) => Some(Self::Rootless),
            () => None,
        }
    }

    #[must_use]
    pub fn is_virtual(self) -> bool {
        self != Self::Rootless
    }

    /// What containers take for the host, in words.
    #[must_use]
    pub fn host(self) -> &'static str {
        match self {
            Self::Rootless => "the network namespace of RootlessKit",
            Self::Desktop => "the virtual machine of Docker Desktop",
            Self::OrbStack => "the virtual machine of OrbStack",
            Self::Colima => "the virtual machine of Colima",
            Self::Lima => "the virtual machine of Lima",
        }
    }

    /// The name by which a container reaches the machine that a person sees, without any entry of its own.
    #[must_use]
    pub fn own_name(self) -> Option<&'static str> {
        match self {
            Self::Rootless => None,
            Self::Desktop | Self::OrbStack => Some("host.docker.internal"),
            Self::Colima | Self::Lima => Some("host.lima.internal"),
        }
    }
}
