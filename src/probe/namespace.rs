//! Asking from inside a container's network namespace: a thread of the doctor's own enters it, so nothing need exist
//! inside the container. Linux, a local engine, and the right to do so (CAP_SYS_ADMIN) are needed.

use caddy_doctor_checks::model::{Known, docker::Container};

/// The right to enter one container's namespace, proven by holding it open.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) pid: u32,
    file: std::fs::File,
}

#[cfg(target_os = "linux")]
impl Namespace {
    /// Opens the namespace of a running container.
    ///
    /// # Errors
    /// When this user may not, or the process is not on this machine: the engine may run in a virtual machine or on
    /// another host, where the same number is another process, so the process is asked whether it is in that container.
    pub(crate) fn of(container: &Container) -> Known<Self> {
        use caddy_doctor_checks::model::{Missing, facts::Kind};
        use std::fs;

        let name = &container.name;
        let asked = format!("entering the network namespace of {name}");
        let runtime = container.detail.as_ref().map_or("", |detail| &detail.runtime);
        if !matches!(runtime, "" | "runc" | "crun" | "nvidia" | "io.containerd.runc.v2") {
            // gVisor and Kata keep a network of their own behind that namespace.
            return Err(Missing::failed(asked, Kind::Unsupported, format!("{name} runs under {runtime}")));
        }
        let pid = container.detail.as_ref().map_or(0, |detail| detail.pid);
        if pid == 0 {
            return Err(Missing::failed(asked, Kind::NotRunning, format!("{name} is {}", container.status)));
        }
        let io = |error: std::io::Error| Missing::failed(&asked, super::http::of_io(error.kind()), error.to_string());
        let file = fs::File::open(format!("/proc/{pid}/ns/net")).map_err(io)?;
        let belongs = ["cgroup", "mountinfo"].iter().any(|table| {
            fs::read_to_string(format!("/proc/{pid}/{table}")).is_ok_and(|text| text.contains(&container.id))
        });
        if !belongs {
            let why = format!("process {pid} of this machine is not in {name}; the engine's processes are elsewhere");
            return Err(Missing::failed(asked, Kind::Unsupported, why));
        }
        Ok(Self { pid, file })
    }

    /// Runs `ask` on a thread that is in the namespace; the doctor itself stays where it is.
    ///
    /// # Errors
    /// When the kernel does not let this user in.
    pub(crate) async fn run<T, F>(self, ask: impl FnOnce() -> F + Send + 'static) -> Known<T>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        use caddy_doctor_checks::model::{Missing, facts::Kind};
        use nix::sched::{CloneFlags, setns};

        let (answer, answered) = tokio::sync::oneshot::channel();
        let asked = "entering a network namespace";
        let inside = std::thread::Builder::new();
        let spawned = inside.spawn(move || {
            let entered = setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(std::io::Error::from);
            let answered = entered.and_then(|()| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                Ok(runtime.block_on(ask()))
            });
            // Nobody waits any more when the deadline has passed.
            let _ = answer.send(answered);
        });
        if let Err(error) = spawned {
            return Err(Missing::failed(asked, super::http::of_io(error.kind()), error.to_string()));
        }
        match answered.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Missing::failed(asked, super::http::of_io(error.kind()), error.to_string())),
            Err(_) => Err(Missing::failed(asked, Kind::Garbage, "the thread inside ended without an answer")),
        }
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) pid: u32,
}

#[cfg(not(target_os = "linux"))]
impl Namespace {
    pub(crate) fn of(container: &Container) -> Known<Self> {
        use caddy_doctor_checks::model::{Missing, facts::Kind};
        let asked = format!("entering the network namespace of {}", container.name);
        Err(Missing::failed(asked, Kind::Unsupported, "only Linux has network namespaces"))
    }

    #[expect(clippy::unused_async, reason = "as on Linux")]
    pub(crate) async fn run<T, F>(self, _: impl FnOnce() -> F + Send + 'static) -> Known<T>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        use caddy_doctor_checks::model::{Missing, facts::Kind};
        let _ = self.pid;
        Err(Missing::failed("entering a network namespace", Kind::Unsupported, "only Linux has network namespaces"))
    }
}
