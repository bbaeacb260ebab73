//! What a container uses, read from the control group of its process. It costs nothing, where the engine's own statistics
//! may take a second.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use caddy_doctor_checks::model::docker::Usage;

const ROOT: &str = "/sys/fs/cgroup";

/// Reads the control group of a process that is known to be the container's. `None` where it cannot be read.
pub(crate) fn usage(pid: u32, container_id: &str) -> Option<Usage> {
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    // The engine may run elsewhere, and that number be another process here.
    table.contains(container_id).then_some(())?;
    read(&table, Path::new(ROOT))
}

/// Lines are `0::/docker/ID` for version 2, `4:memory:/docker/ID` for version 1 (cgroups(7)).
fn read(table: &str, root: &Path) -> Option<Usage> {
    let of = |controller: &str| -> Option<PathBuf> {
        table.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
            match controllers {
                "" => Some(root.join(path)),
                own if own.split(',').any(|own| own == controller) => Some(root.join(own).join(path)),
                _ => None,
            }
        })
    };
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let memory = of("memory")?;
    let used = number(memory.join("memory.current")).or_else(|| number(memory.join("memory.usage_in_bytes")))?;
    // As the docker program counts: what the kernel keeps of files can be taken back.
    let parts = table_of(&memory.join("memory.stat"));
    let cache = parts.get("total_inactive_file").or_else(|| parts.get("inactive_file")).copied().unwrap_or(0);
    let cpu = of("cpu").map(|cpu| table_of(&cpu.join("cpu.stat"))).unwrap_or_default();
    let of_cpu = |name: &str| cpu.get(name).copied().unwrap_or(0);
    Some(Usage {
        memory: used.saturating_sub(cache),
        periods: of_cpu("nr_periods"),
        throttled_periods: of_cpu("nr_throttled"),
        ..Usage::default()
    })
}

fn table_of(path: &Path) -> HashMap<String, u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let entry =
        |line: &str| line.split_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("doctor-cgroup-{name}-{}", std::process::id()));
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn both_versions_are_read() {
        let root = group(
            "v2",
            &[
                ("docker/ID/memory.current", "1000\n"),
                ("docker/ID/memory.stat", "anon 5\ninactive_file 300\n"),
                ("docker/ID/cpu.stat", "nr_periods 10\nnr_throttled 4\n"),
            ],
        );
        let usage = read("0::/docker/ID\n", &root).unwrap();
        assert_eq!((usage.memory, usage.periods, usage.throttled_periods), (700, 10, 4));
        fs::remove_dir_all(root).unwrap();

        let root = group(
            "v1",
            &[
                ("memory/docker/ID/memory.usage_in_bytes", "1000\n"),
                ("memory/docker/ID/memory.stat", "inactive_file 1\ntotal_inactive_file 200\n"),
            ],
        );
        let table = "5:cpu,cpuacct:/docker/ID\n4:memory:/docker/ID\n0::/elsewhere\n";
        assert_eq!(read(table, &root).unwrap().memory, 800);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_is_not_there_is_not_known() {
        assert_eq!(read("0::/nowhere\n", Path::new("/nonexistent")), None);
        assert_eq!(usage(std::process::id(), "no such container"), None);
    }
}
