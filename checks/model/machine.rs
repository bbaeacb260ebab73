//! The machine that an engine runs on, where that is not the one that a person sees.

use crate::model::docker::EngineSeen;

/// Where containers take another machine, or another namespace, for "the host".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// Docker in RootlessKit's network namespace: `SecurityOptions` of `GET /info` has `name=rootless`, or the socket is where
    /// `dockerd-rootless.sh` makes it.
    Rootless,
    /// In a virtual machine, by `OperatingSystem` of `GET /info`: `Docker Desktop`, `OrbStack`.
    Desktop,
    OrbStack,
    /// In a virtual machine of Lima, by the path of the socket.
    Colima,
    Lima,
}

/// `unix:///run/user/1000/docker.sock`
fn at_user(endpoint: &str) -> bool {
    let rest = endpoint.strip_prefix("unix:///run/user/").and_then(|rest| rest.split_once('/'));
    rest.is_some_and(|(_, socket)| socket == "docker.sock")
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
            () if answer.name == "docker" && (info.is_some_and(|info| info.rootless) || at_user(&engine.endpoint)) => {
                Some(Self::Rootless)
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{docker::EngineInfo, example};

    #[test]
    fn the_engine_says_where_it_runs_and_else_its_socket_does() {
        let of = |name: &str, endpoint: &str, system: &str, rootless: bool| {
            let mut engine = example::facts().engine.unwrap();
            engine.endpoint = format!("unix://{endpoint}");
            let answer = engine.answer.as_mut().unwrap();
            answer.name = name.into();
            answer.info = Some(Ok(EngineInfo { operating_system: system.into(), rootless, ..EngineInfo::default() }));
            Machine::of(&engine)
        };
        let debian = "Debian GNU/Linux 12 (bookworm)";
        assert_eq!(of("docker", "/var/run/docker.sock", debian, false), None);
        assert_eq!(of("docker", "/var/run/docker.sock", debian, true), Some(Machine::Rootless));
        assert_eq!(of("docker", "/run/user/1000/docker.sock", debian, false), Some(Machine::Rootless));
        assert_eq!(of("podman", "/run/user/1000/podman/podman.sock", debian, true), None, "it has no RootlessKit");
        assert_eq!(of("docker", "/var/run/docker.sock", "Docker Desktop", false), Some(Machine::Desktop));
        assert_eq!(of("docker", "/home/ann/.colima/default/docker.sock", debian, false), Some(Machine::Colima));
        assert_eq!(of("docker", "/home/ann/.rd/docker.sock", debian, false), Some(Machine::Lima));
        assert_eq!(of("docker", "/home/ann/.orbstack/run/docker.sock", "OrbStack", false), Some(Machine::OrbStack));
    }
}
