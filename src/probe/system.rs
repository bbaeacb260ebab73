//! What this machine runs.

/// `Debian GNU/Linux 12 (bookworm), kernel 6.1.0-13-amd64`: the name by os-release(5), and the kernel's version. `None` where
/// there is neither.
pub(crate) fn name() -> Option<String> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let distribution = read("/etc/os-release").or_else(|| read("/usr/lib/os-release")).and_then(|file| pretty(&file));
    let kernel = read("/proc/sys/kernel/osrelease").map(|version| format!("kernel {}", version.trim()));
    let parts: Vec<String> = distribution.into_iter().chain(kernel).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn pretty(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.trim().strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_called_by_its_pretty_name() {
        let file = "NAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(pretty(file).as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(pretty("PRETTY_NAME='Arch Linux'").as_deref(), Some("Arch Linux"));
        assert_eq!(pretty("NAME=x\nPRETTY_NAME=\n"), None);
    }
}
