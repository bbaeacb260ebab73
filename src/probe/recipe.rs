//! The `docker run` that would make a container anew, read from its inspect. No value of its environment, labels or
//! arguments is in it: they are taken from the old container when the command runs.

use bollard::models::{ContainerConfig, ContainerInspectResponse, HostConfig, RestartPolicyNameEnum};
use caddy_doctor_checks::model::docker::Recipe;

pub(super) fn of(answer: &ContainerInspectResponse, config: &ContainerConfig, host: &HostConfig) -> Recipe {
    let mut recipe = Recipe {
        entrypoint_words: config.entrypoint.as_ref().map_or(0, Vec::len),
        command_words: config.cmd.as_ref().map_or(0, Vec::len),
        has_labels: config.labels.as_ref().is_some_and(|labels| !labels.is_empty()),
        ..Recipe::default()
    };
    networks(&mut recipe, answer, host);
    ports(&mut recipe, host);
    mounts(&mut recipe, answer);
    settings(&mut recipe, answer, config, host);
    rest(&mut recipe, config, host);
    recipe
}

fn networks(recipe: &mut Recipe, answer: &ContainerInspectResponse, host: &HostConfig) {
    let name = answer.name.as_deref().unwrap_or_default().trim_start_matches('/');
    let short_id = answer.id.as_deref().and_then(|id| id.get(..12)).unwrap_or_default();
    let mode = host.network_mode.as_deref().unwrap_or("default");
    if mode != "default" {
        recipe.options.push(vec!["--network".to_owned(), mode.to_owned()]);
    }
    let networks = answer.network_settings.iter().filter_map(|settings| settings.networks.as_ref()).flatten();
    for (network, endpoint) in networks {
        if endpoint.ipam_config.as_ref().is_some_and(|ipam| ipam.ipv4_address.as_ref().is_some_and(|ip| !ip.is_empty()))
        {
            recipe.not_carried.push(format!("fixed address on {network}"));
        }
        let aliases = endpoint.aliases.iter().flatten().filter(|alias| *alias != name && *alias != short_id);
        if network == mode {
            recipe.options.extend(aliases.map(|alias| vec!["--network-alias".to_owned(), alias.clone()]));
        } else if mode != "default" && mode != "bridge" || network != "bridge" {
            recipe.more_networks.push((network.clone(), aliases.cloned().collect()));
        }
    }
    recipe.more_networks.sort();
}

fn ports(recipe: &mut Recipe, host: &HostConfig) {
    let mut published: Vec<String> = Vec::new();
    for (spec, bindings) in host.port_bindings.iter().flatten() {
        for binding in bindings.iter().flatten() {
            let ip = binding
                .host_ip
                .as_deref()
                .filter(|ip| !ip.is_empty())
                .map(|ip| if ip.contains(':') { format!("[{ip}]:") } else { format!("{ip}:") });
            let port = binding.host_port.as_deref().unwrap_or_default();
            published.push(format!("{}{port}:{spec}", ip.unwrap_or_default()));
        }
    }
    published.sort();
    recipe.options.extend(published.into_iter().map(|publish| vec!["-p".to_owned(), publish]));
    if host.publish_all_ports == Some(true) {
        recipe.options.push(vec!["-P".to_owned()]);
    }
}

fn mounts(recipe: &mut Recipe, answer: &ContainerInspectResponse) {
    for mount in answer.mounts.iter().flatten() {
        let source = match mount.typ.as_deref() {
            Some("bind") => mount.source.as_deref(),
            // An anonymous volume has a name as well; what is in it (mitmproxy's certificate) is kept.
            Some("volume") => mount.name.as_deref(),
            Some("tmpfs") => {
                recipe.options.push(vec!["--tmpfs".to_owned(), mount.destination.clone().unwrap_or_default()]);
                continue;
            }
            _ => None,
        };
        match (source, &mount.destination) {
            (Some(source), Some(destination)) => {
                let read_only = if mount.rw == Some(false) { ":ro" } else { "" };
                recipe.options.push(vec!["-v".to_owned(), format!("{source}:{destination}{read_only}")]);
            }
            _ => recipe.not_carried.push("mount of another type".to_owned()),
        }
    }
}

fn settings(recipe: &mut Recipe, answer: &ContainerInspectResponse, config: &ContainerConfig, host: &HostConfig) {
    let mut option = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            recipe.options.push(vec![name.to_owned(), value]);
        }
    };
    let positive = |value: Option<i64>| value.filter(|value| *value > 0);
    let restart = host.restart_policy.as_ref().and_then(|policy| {
        Some(match policy.name? {
            RestartPolicyNameEnum::ALWAYS => "always".to_owned(),
            RestartPolicyNameEnum::UNLESS_STOPPED => "unless-stopped".to_owned(),
            RestartPolicyNameEnum::ON_FAILURE => match positive(policy.maximum_retry_count) {
                Some(count) => format!("on-failure:{count}"),
                None => "on-failure".to_owned(),
            },
            _ => return None,
        })
    });
    option("--restart", restart);
    option("--user", config.user.clone());
    option("--workdir", config.working_dir.clone().filter(|folder| folder != "/"));
    option("--memory", positive(host.memory).map(|bytes| bytes.to_string()));
    option("--cpus", positive(host.nano_cpus).map(|nano| format!("{:.3}", nano as f64 / 1e9)));
    option("--cpu-shares", positive(host.cpu_shares).map(|shares| shares.to_string()));
    option("--pids-limit", positive(host.pids_limit).map(|limit| limit.to_string()));
    let short_id = answer.id.as_deref().and_then(|id| id.get(..12));
    let own_hostname = config.hostname.as_deref() != short_id
        && host.network_mode.as_deref().is_some_and(|mode| mode != "host" && !mode.starts_with("container:"));
    option("--hostname", config.hostname.clone().filter(|_| own_hostname));
    let health = config.healthcheck.as_ref();
    let time = |value: Option<i64>| positive(value).map(|nano| format!("{}ms", nano / 1_000_000));
    option("--health-interval", time(health.and_then(|check| check.interval)));
    option("--health-timeout", time(health.and_then(|check| check.timeout)));
    option("--health-start-period", time(health.and_then(|check| check.start_period)));
    option("--health-retries", positive(health.and_then(|check| check.retries)).map(|count| count.to_string()));
    for (name, values) in [
        ("--add-host", &host.extra_hosts),
        ("--cap-add", &host.cap_add),
        ("--cap-drop", &host.cap_drop),
        ("--dns", &host.dns),
        ("--dns-search", &host.dns_search),
        ("--group-add", &host.group_add),
        ("--security-opt", &host.security_opt),
    ] {
        for value in values.iter().flatten() {
            option(name, Some(value.clone()));
        }
    }
    for (flag, on) in [
        ("--tty", config.tty),
        ("--interactive", config.open_stdin),
        ("--privileged", host.privileged),
        ("--init", host.init),
        ("--read-only", host.readonly_rootfs),
    ] {
        if on == Some(true) {
            recipe.options.push(vec![flag.to_owned()]);
        }
    }
}

/// What is set on the container and has no place in the recipe.
fn rest(recipe: &mut Recipe, config: &ContainerConfig, host: &HostConfig) {
    match config.healthcheck.as_ref().and_then(|check| check.test.as_deref()) {
        Some([kind, _]) if kind == "CMD-SHELL" => recipe.shell_health_check = true,
        Some([kind, ..]) if kind == "NONE" => recipe.options.push(vec!["--no-healthcheck".to_owned()]),
        Some([_, ..]) => recipe.not_carried.push("health check".to_owned()),
        _ => {}
    }
    fn any<T>(list: Option<&Vec<T>>) -> bool {
        list.is_some_and(|list| !list.is_empty())
    }
    let set = |text: Option<&String>| text.is_some_and(|text| !text.is_empty());
    let newline = |word: &String| word.contains('\n');
    let odd_log = host.log_config.as_ref().is_some_and(|log| {
        log.typ.as_deref().is_some_and(|typ| !matches!(typ, "" | "json-file"))
            || log.config.as_ref().is_some_and(|config| !config.is_empty())
    });
    for (what, is_set) in [
        ("tmpfs", host.tmpfs.as_ref().is_some_and(|tmpfs| !tmpfs.is_empty())),
        (
            "runtime",
            host.runtime
                .as_deref()
                .is_some_and(|runtime| !matches!(runtime, "" | "runc" | "crun" | "io.containerd.runc.v2")),
        ),
        ("user namespace", set(host.userns_mode.as_ref())),
        ("UTS namespace", set(host.uts_mode.as_ref())),
        ("IPC mode", host.ipc_mode.as_deref().is_some_and(|mode| !matches!(mode, "" | "private" | "shareable"))),
        ("cgroup parent", set(host.cgroup_parent.as_ref())),
        ("device rules", any(host.device_cgroup_rules.as_ref())),
        ("size of /dev/shm", host.shm_size.is_some_and(|size| size != 0 && size != 64 << 20)),
        ("memory reservation", host.memory_reservation.is_some_and(|size| size != 0)),
        ("limit of swap", swap_is_limited(host)),
        ("choice of CPUs", set(host.cpuset_cpus.as_ref()) || host.cpu_quota.is_some_and(|quota| quota > 0)),
        ("OOM score", host.oom_score_adj.is_some_and(|score| score != 0)),
        ("DNS options", any(host.dns_options.as_ref())),
        ("stop signal", set(config.stop_signal.as_ref())),
        ("stop timeout", config.stop_timeout.is_some()),
        ("domain name", set(config.domainname.as_ref())),
        ("seccomp profile", host.security_opt.iter().flatten().any(|option| option.starts_with("seccomp={"))),
        ("devices", any(host.devices.as_ref()) || any(host.device_requests.as_ref())),
        ("ulimits", any(host.ulimits.as_ref())),
        ("links", any(host.links.as_ref())),
        ("volumes-from", any(host.volumes_from.as_ref())),
        ("sysctls", host.sysctls.as_ref().is_some_and(|sysctls| !sysctls.is_empty())),
        ("log options", odd_log),
        ("pid mode", host.pid_mode.as_deref().is_some_and(|mode| !mode.is_empty())),
        ("auto-remove", host.auto_remove == Some(true)),
        (
            "labels with line breaks",
            config.labels.iter().flatten().any(|(name, value)| name.contains('\n') || value.contains('\n')),
        ),
        ("arguments with line breaks", config.cmd.iter().chain(&config.entrypoint).flatten().any(newline)),
        ("environment with line breaks", config.env.iter().flatten().any(newline)),
    ] {
        if is_set {
            recipe.not_carried.push(what.to_owned());
        }
    }
}

/// Docker sets twice the memory when nothing was said.
fn swap_is_limited(host: &HostConfig) -> bool {
    let memory = host.memory.unwrap_or(0);
    host.memory_swap.is_some_and(|swap| swap != 0 && swap != -1 && swap != 2 * memory)
}
