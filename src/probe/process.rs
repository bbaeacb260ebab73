//! Caddys and mitmproxys that run as plain processes on this machine.

use caddy_doctor_checks::model::{Known, host::Process};

/// Finds them in `/proc`. Processes of containers are seen there too and left out: the engine tells of them.
#[cfg(target_os = "linux")]
pub(crate) fn processes() -> Known<Vec<Process>> {
    use std::fs;

    use caddy_doctor_checks::model::{Missing, docker::Program, host::ProcessProgram};

    let entries = fs::read_dir("/proc")
        .map_err(|error| Missing::failed("reading /proc", super::http::of_io(error.kind()), error.to_string()))?;
    let mut found: Vec<Process> = entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let command_line = fs::read(entry.path().join("cmdline")).ok()?;
            let words: Vec<String> =
                command_line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            let program = match super::docker::program(running(&words)?)? {
                Program::Caddy => ProcessProgram::Caddy,
                Program::Mitmproxy(line) => ProcessProgram::Mitmproxy(line),
            };
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let cgroup = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
            (!is_in_container(&status, &cgroup)).then_some(Process { pid, program, ports: Vec::new() })
        })
        .collect();
    if !found.is_empty() {
        let inodes = super::ports::inodes();
        for process in &mut found {
            process.ports = ports(process.pid, &inodes);
        }
    }
    found.sort_by_key(|process| process.pid);
    Ok(found)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn processes() -> Known<Vec<Process>> {
    use caddy_doctor_checks::model::{Missing, facts::Kind, host::ProcessProgram};

    // The command line of a process is not to be had here; Caddy is known by the name of its program.
    let all = listeners::get_all()
        .map_err(|error| Missing::failed("listing processes that listen", Kind::Unsupported, error.to_string()))?;
    let mut found: Vec<Process> = Vec::new();
    for own in all.into_iter().filter(|own| own.process.name.trim_end_matches(".exe") == "caddy") {
        match found.iter_mut().find(|process| process.pid == own.process.pid) {
            Some(process) => process.ports.push(own.socket.port()),
            None => found.push(Process {
                pid: own.process.pid,
                program: ProcessProgram::Caddy,
                ports: vec![own.socket.port()],
            }),
        }
    }
    Ok(found)
}

/// The command line from the program on that really runs: not of an editor, a shell or a pager with that word in it.
#[cfg(target_os = "linux")]
fn running(words: &[String]) -> Option<&[String]> {
    use caddy_doctor_checks::model::text::base_name;
    let name = |at: usize| words.get(at).map(|word| base_name(word)).unwrap_or_default();
    let is_part = |name: &str| matches!(name, "caddy" | "mitmweb" | "mitmdump" | "mitmproxy");
    if is_part(name(0)) {
        return Some(words);
    }
    (name(0).starts_with("python") && is_part(name(1))).then(|| &words[1..])
}

/// A process in a PID namespace of its own has several numbers in `NSpid`; one that shares the host's (`--pid host`) is known
/// by its cgroup, which has the container's id in it.
#[cfg(target_os = "linux")]
fn is_in_container(status: &str, cgroup: &str) -> bool {
    let numbers =
        status.lines().find_map(|line| line.strip_prefix("NSpid:")).map_or(1, |rest| rest.split_whitespace().count());
    let has_id = |text: &str| text.split(|c: char| !c.is_ascii_hexdigit()).any(|run| run.len() == 64);
    numbers > 1 || has_id(cgroup)
}

/// The ports it listens on, by its open sockets; none when this user may not see them.
#[cfg(target_os = "linux")]
fn ports(pid: u32, inodes: &std::collections::HashMap<u64, u16>) -> Vec<u16> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut ports: Vec<u16> = files
        .filter_map(|file| {
            let target = std::fs::read_link(file.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
            inodes.get(&inode).copied()
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn only_what_runs_counts() {
        assert!(running(&words("/usr/bin/caddy run")).is_some());
        assert_eq!(running(&words("python3 /opt/bin/mitmweb --mode x")).unwrap()[0], "/opt/bin/mitmweb");
        for other in ["vim caddy", "grep mitmweb", "bash -c mitmweb", "python3 app.py mitmweb"] {
            assert!(running(&words(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn processes_of_containers_are_known() {
        let id = "a".repeat(64);
        assert!(is_in_container("NSpid:\t4711\t1\n", ""));
        assert!(is_in_container("NSpid:\t4711\n", &format!("0::/system.slice/docker-{id}.scope")));
        assert!(!is_in_container("NSpid:\t4711\n", "0::/user.slice"));
    }
}
