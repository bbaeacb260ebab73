use crate::model::{
    Action, Apply, Edit, Evidence, Explains, Finding, Fix, Gap, Missing, Paths, Setup, Verdict, before_up,
    docker::{Container, Containers, Detail, Program},
    facts::{Attempt, Kind},
    fix::{self, Change},
    mitmproxy::{CommandLine, Interface},
    text::shell,
};

check! {
    /// Does every part run, and does it pass its own health check?
    ///
    /// ## What it looks at
    /// The state of every container of the setup and of those that its hops lead to: running, created, exited (with the
    /// exit code and the decisive line of the log), restarting, paused, dead, killed for memory, and the result of its
    /// own health check. Also whether a network namespace that it shares is still there.
    ///
    /// ## Why it matters
    /// A container that does not run has no address, and its name does not resolve: what shows elsewhere is "no such host".
    ///
    /// ## What it does not blame
    /// A health check that fails only because its own tool is not in the image (the mitmproxy image has no curl and no
    /// wget), or because mitmweb answers it with 403 (from 11.1.2 it wants a token), is a warning: the container works. No
    /// health check at all is nothing to warn about. Logs may be empty: without a terminal mitmweb buffers its output until 8
    /// kB or its end, and loses it when it is killed.
    ///
    /// ## How to fix it
    /// Each state has its own way: start, unpause, restart, or make the container anew with what was wrong put right.
    id: "container-health",
    group: Containers,
    after: ["docker-engine", "port-conflict"],
    needs: [Setup, Containers, Attempt<Paths>],
    run: run,
}

fn run(setup: &Setup, containers: &Containers, paths: Result<&Paths, &Missing>) -> Verdict {
    let mut verdict = Verdict::default();
    let parts = Paths::containers(paths.ok(), setup, containers);
    if parts.is_empty() {
        return Verdict::not_applicable("no part runs in a container");
    }
    let (planned, parts): (Vec<&Container>, Vec<&Container>) = parts.into_iter().partition(|own| own.is_planned());
    verdict.findings.extend(planned.iter().filter_map(|own| console_without_terminal(own)));
    if parts.is_empty() && verdict.findings.is_empty() {
        return Verdict::not_applicable(before_up::NOTHING_RUNS);
    }
    for container in &parts {
        match &container.detail {
            Some(detail) => match judge(containers, container, detail) {
                Some(finding) => verdict.findings.push(finding),
                None => verdict.evidence.push(Evidence::new(&container.name, well(container, detail))),
            },
            None => {
                let heals = container.not_inspected.as_ref().is_some_and(|missing| missing.may_heal(true));
                verdict.gaps.push(Gap::about([&container.name], not_inspected(container)).may_heal(heals));
            }
        }
    }
    verdict.summary = match parts.len() {
        1 => format!("{} runs", parts[0].name),
        many => format!("all {many} containers run"),
    };
    verdict
}

/// A service that runs the console program, and is given no terminal.
fn console_without_terminal(container: &Container) -> Option<Finding> {
    let name = &container.name;
    let Some(Program::Mitmproxy(line)) = &container.program else { return None };
    let has_tty = container.detail.as_ref().is_some_and(|detail| detail.tty);
    (line.interface == Interface::Mitmproxy && !has_tty).then(|| {
        Finding::fail([name], format!("{name} will end at once: the console program mitmproxy needs a terminal"))
            .seen("its command", "mitmproxy, and the compose file says no `tty: true`")
            .fix(run_mitmweb(container))
    })
}

fn not_inspected(container: &Container) -> String {
    match &container.not_inspected {
        Some(missing) if missing.kind() == Some(Kind::NotFound) => {
            format!("{} went away while it was looked at", container.name)
        }
        Some(missing) => missing.to_string(),
        None => format!("{} was not inspected: the engine has too many containers", container.name),
    }
}

fn well(container: &Container, detail: &Detail) -> String {
    match &detail.health {
        Some(health) => format!("{}, {}", container.status, health.status),
        None => format!("{}, has no health check", container.status),
    }
}

fn judge(containers: &Containers, container: &Container, detail: &Detail) -> Option<Finding> {
    let name = &container.name;
    if let Some(owner) = &detail.lost_owner {
        return Some(lost_owner(container, owner));
    }
    match container.status.as_str() {
        "running" => stale_namespace(containers, container, detail).or_else(|| unhealthy(container, detail)),
        "paused" => Some(
            Finding::fail([name], format!("{name} is paused"))
                .fix(Fix::new(format!("let {name} go on"), Action::Unpause { container: name.clone() })),
        ),
        "created" => Some(created(container, detail)),
        "removing" => Some(Finding::fail([name], format!("{name} is being removed")).may_heal(true)),
        "restarting" => {
            let mut finding = ended(container, detail);
            finding.summary = format!("{name} starts and ends again and again ({} restarts)", detail.restarts);
            Some(finding)
        }
        _ => Some(ended(container, detail)),
    }
}

fn start(container: &Container) -> Fix {
    Fix::new(format!("start {}", container.name), Action::Start { container: container.name.clone() })
}

fn created(container: &Container, detail: &Detail) -> Finding {
    let name = &container.name;
    if detail.error.is_empty() {
        // `up` creates all and starts each when what it depends on is ready.
        return Finding::fail([name], format!("{name} was created and never started"))
            .may_heal(container.may_come_up())
            .fix(start(container));
    }
    let mut finding = Finding::fail([name], format!("{name} could not be started"))
        .seen("the engine said", &detail.error)
        .seen("exit code", exit_code(detail.exit_code));
    if detail.error.contains("port is already allocated")
        || detail.error.to_lowercase().contains("address already in use")
    {
        finding = finding.fix(start(container));
    } else if detail.error.contains("non-overlapping IPv4 address pool") {
        // Of a network that compose makes `up` itself says so, and then there is no container.
        finding.summary =
            format!("{name} could not be started: the engine has no range of addresses left for a network");
        finding = finding.fix(more_networks());
    } else if detail.error.contains("executable file not found") {
        finding = finding.fix(Fix::new("correct the command: the image has no such program", Action::Manual));
    }
    finding
}

fn ended(container: &Container, detail: &Detail) -> Finding {
    let name = &container.name;
    if detail.oom_killed {
        return Finding::fail([name], format!("{name} was killed because it used more memory than it may"))
            .seen("exit code", exit_code(detail.exit_code))
            .fix(start(container))
            .fix(Fix::new(
                "let mitmproxy keep less: --set stream_large_bodies=1m stores no larger bodies, mitmdump keeps no flows \
                 (flow_detail changes nothing)",
                Action::Manual,
            ));
    }
    let log = detail.log.as_ref().and_then(|log| log.as_ref().ok());
    let cause = log.and_then(|lines| lines.iter().find_map(|line| Some((line, cause(line)?))));
    let mut finding = match cause {
        Some((_, cause)) => Finding::fail([name], format!("{name} ended: {}", cause.words)),
        // It may end again and again until something that it needs is there.
        None => Finding::fail(
            [name],
            format!("{name} does not run: it ended with exit code {}", exit_code(detail.exit_code)),
        )
        .may_heal(container.may_come_up()),
    };
    finding = finding.seen("exit code", exit_code(detail.exit_code));
    if !detail.error.is_empty() {
        finding = finding.seen("the engine said", &detail.error);
    }
    finding = match (&detail.log, cause) {
        (_, Some((line, _))) => finding.seen("log", line),
        // The last line of a program that was stopped says nothing.
        (Some(Ok(lines)), None) if !lines.is_empty() && detail.was_stopped() => finding,
        (Some(Ok(lines)), None) if !lines.is_empty() => finding.seen("log", &lines[lines.len() - 1]),
        (Some(Ok(_)), None) if !detail.tty && matches!(container.program, Some(Program::Mitmproxy(_))) => {
            finding.seen("log", "empty; without a terminal mitmproxy buffers its output and loses it when it is killed")
        }
        (Some(Ok(_)), None) => finding.seen("log", "empty"),
        (Some(Err(missing)), None) => finding.seen("log", missing.to_string()),
        (None, None) => finding,
    };
    match cause.map(|(_, cause)| cause.remedy) {
        Some(Remedy::RunMitmweb) => finding.fix(run_mitmweb(container)),
        Some(Remedy::Text(text)) => finding.fix(Fix::new(text, Action::Manual)),
        None if detail.was_stopped() => finding.fix(start(container)),
        None => finding.fix(Fix::new(
            "read the end of its log",
            Action::Command { command: format!("docker logs --tail 30 {}", shell(name)), apply: Apply::Manual },
        )),
    }
}

/// The engine gives every network a range of its own, of about thirty (`default-address-pools`); a VPN may take others.
fn more_networks() -> Fix {
    let prune = Action::Command { command: "docker network prune".to_owned(), apply: Apply::Manual };
    Fix::new("remove the networks that no container uses; or give the engine more ranges, and restart it", prune).edit(
        Edit {
            file: "/etc/docker/daemon.json".to_owned(),
            language: "json",
            text: "{ \"default-address-pools\": [{ \"base\": \"10.200.0.0/16\", \"size\": 24 }] }\n".to_owned(),
        },
    )
}

/// What a line of the log means.
#[derive(Clone, Copy)]
struct Cause {
    needle: &'static str,
    words: &'static str,
    remedy: Remedy,
}

#[derive(Clone, Copy)]
enum Remedy {
    RunMitmweb,
    Text(&'static str),
}

/// Lines as mitmproxy 8 to 12 and Caddy 2 print them; the first that is found counts.
const CAUSES: &[Cause] = &[
    Cause {
        needle: "requires a tty",
        words: "the console program mitmproxy needs a terminal, and this container has none",
        remedy: Remedy::RunMitmweb,
    },
    Cause {
        needle: "'ConsoleMaster' object has no attribute 'loop'",
        words: "the console program mitmproxy needs a terminal, and this container has none",
        remedy: Remedy::RunMitmweb,
    },
    Cause {
        needle: "unrecognized arguments",
        words: "its command line has an option that this version does not know",
        remedy: Remedy::Text("take that option off the command line; mitmweb --help lists what it knows"),
    },
    Cause {
        needle: "Invalid proxy mode specification",
        words: "its --mode is not one that mitmproxy understands",
        remedy: Remedy::Text("write the mode as reverse:http://HOST:PORT, without a path"),
    },
    Cause {
        needle: "Invalid server specification",
        words: "its --mode is not one that mitmproxy understands",
        remedy: Remedy::Text("write the mode as reverse:http://HOST:PORT, without a path"),
    },
    Cause {
        needle: "Invalid mode specification",
        words: "its --mode is not one that mitmproxy understands",
        remedy: Remedy::Text("write the mode as reverse:http://HOST:PORT, without a path"),
    },
    Cause {
        needle: "ddress already in use",
        words: "a port that it listens on is taken",
        remedy: Remedy::Text("end what holds the port, or give it another one with --listen-port or --web-port"),
    },
    Cause {
        needle: "mitmproxy-ca.pem",
        words: "it may not write its certificate folder",
        remedy: Remedy::Text("give the folder that is mounted at .mitmproxy to the user that mitmproxy runs as"),
    },
    Cause {
        needle: "adapting config",
        words: "its Caddyfile has an error",
        remedy: Remedy::Text("correct the Caddyfile at the line that the log names"),
    },
    Cause {
        needle: "loading initial config",
        words: "Caddy could not load its config",
        remedy: Remedy::Text("correct the config; the log says where"),
    },
];

fn cause(line: &str) -> Option<Cause> {
    CAUSES.iter().find(|cause| line.contains(cause.needle)).copied()
}

/// The console program's options are mitmweb's as well, so the same command with the other name does.
fn run_mitmweb(container: &Container) -> Fix {
    let title = "run mitmweb, which needs no terminal and has the API that the doctor reads";
    let Some(Program::Mitmproxy(line)) = &container.program else { return Fix::new(title, Action::Manual) };
    if line.modes.is_empty() {
        let title = "run mitmweb with the target that is meant: mitmweb --mode reverse:http://BACKEND:PORT --web-host 0.0.0.0 \
                     (the doctor cannot know the target: the command names none)";
        return Fix::new(title, Action::Manual);
    }
    let command = mitmweb_command(line);
    let lines = command.as_ref().map(|command| format!("command: {command}"));
    if container.compose.is_some() && lines.is_none() || container.compose.is_none() && !line.first {
        return Fix::new(title, Action::Manual);
    }
    let from = Interface::Mitmproxy.name().to_owned();
    let change = Change::Program { from, to: Interface::Mitmweb.name().to_owned() };
    fix::recreate(container, title, change, &lines.as_deref().into_iter().collect::<Vec<_>>())
}

/// The command line written anew; `None` when it has options whose values were not read.
fn mitmweb_command(line: &CommandLine) -> Option<String> {
    if !line.other_set.is_empty() || line.unread {
        return None;
    }
    let modes = line.modes.iter().map(|mode| format!(" --mode {mode}"));
    let set = line.set.iter().map(|(name, value)| format!(" --set {name}={value}"));
    Some(format!("mitmweb{}", modes.chain(set).collect::<String>()))
}

fn unhealthy(container: &Container, detail: &Detail) -> Option<Finding> {
    let name = &container.name;
    let health = detail.health.as_ref()?;
    // In the start period an engine does not count what fails.
    if health.status == "starting" && (health.failing_streak > 0 || health.exit_code != 0) {
        return Some(
            Finding::warn([name], format!("{name} runs, and its health check has not passed yet"))
                .may_heal(true)
                .seen("its last probe", last_probe(health.exit_code, &health.output)),
        );
    }
    if health.status != "unhealthy" {
        return None;
    }
    let output = health.output.as_str();
    let tool_missing = matches!(health.exit_code, 126 | 127)
        || output.contains("executable file not found")
        || output.contains("OCI runtime exec failed");
    let refused = output.contains("403");
    let proxy = match &container.program {
        Some(Program::Mitmproxy(line)) => Some(line.listen_port()),
        _ => None,
    };
    let mut finding = if tool_missing {
        Finding::warn(
            [name],
            format!("{name} works and is called unhealthy: the tool of its health check is not in its image"),
        )
    } else if refused && proxy.is_some() {
        Finding::warn(
            [name],
            format!("{name} works and is called unhealthy: mitmweb answers its health check with 403"),
        )
    } else {
        // The engine goes on asking: what starts slowly passes later.
        Finding::fail([name], format!("{name} runs and fails its own health check"))
            .explaining(Explains::Nothing)
            .may_heal(true)
    };
    finding = finding.seen("its last probe", last_probe(health.exit_code, output));
    if finding.severity == crate::model::Severity::Warn
        && let Some(port) = proxy
    {
        let command = format!("python3 -c \"import socket; socket.create_connection(('127.0.0.1', {port}), 3)\"");
        let yaml = [
            "healthcheck:".to_owned(),
            format!(
                "  test: [\"CMD\", \"python3\", \"-c\", \"import socket; socket.create_connection(('127.0.0.1', {port}), 3)\"]"
            ),
        ];
        let lines: Vec<&str> = yaml.iter().map(String::as_str).collect();
        return Some(finding.fix(fix::recreate(
            container,
            "give it a health check that works in this image",
            Change::HealthCheck { command },
            &lines,
        )));
    }
    Some(finding.fix(Fix::new(
        "see what the check asks, and mend that",
        Action::Command {
            command: format!("docker inspect -f '{{{{json .Config.Healthcheck.Test}}}}' {}", shell(name)),
            apply: Apply::Manual,
        },
    )))
}

fn last_probe(exit_code: i64, output: &str) -> String {
    let first = output.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("printed nothing");
    format!("exit code {exit_code}: {first}")
}

/// A restart gives a container a new namespace; those that joined the old one stay in it, alone.
fn stale_namespace(containers: &Containers, container: &Container, detail: &Detail) -> Option<Finding> {
    let owner = containers.by_reference(container.network_mode.strip_prefix("container:")?)?;
    let owners = owner.detail.as_deref()?;
    if !owner.runs() || owners.started_at.is_empty() || instant(&owners.started_at) <= instant(&detail.started_at) {
        return None;
    }
    let (name, owner) = (&container.name, &owner.name);
    Some(
        Finding::fail(
            [name, owner],
            format!("{name} is in a network namespace of {owner} that is gone: {owner} was started again after it"),
        )
        .seen(format!("{name} started"), &detail.started_at)
        .seen(format!("{owner} started"), &owners.started_at)
        .fix(Fix::new(
            format!("restart {name}, so that it joins the namespace of {owner} as it is now"),
            Action::Command { command: format!("docker restart {}", shell(name)), apply: Apply::Disruptive },
        )),
    )
}

/// A form of the engine's time stamps that compares as text: they leave out trailing zeros of the fraction.
fn instant(stamp: &str) -> String {
    let (seconds, fraction) = stamp.trim_end_matches('Z').split_once('.').unwrap_or((stamp.trim_end_matches('Z'), ""));
    format!("{seconds}.{fraction:0<9}")
}

fn lost_owner(container: &Container, owner: &str) -> Finding {
    let name = &container.name;
    let short = owner.get(..12).unwrap_or(owner);
    let finding = Finding::fail([name], format!("{name} shares the network namespace of a container that is gone"))
        .seen("its network mode", format!("container:{short}"))
        .seen("that container", "is not on this engine: it was removed or made anew");
    let title = format!("make {name} anew, so that it joins the namespace of the container that is there now");
    match &container.compose {
        Some(compose) if !compose.files.is_empty() => {
            let command = fix::compose_up(compose, &compose.files, "--force-recreate --no-deps");
            finding.fix(Fix::new(title, Action::Command { command, apply: Apply::Disruptive }))
        }
        _ => finding.fix(Fix::new(title, Action::Manual)),
    }
}

fn exit_code(code: i64) -> String {
    let words = match code {
        0 => "no error: it was stopped, or had nothing more to do",
        1 => "an error of the program itself",
        2 => "a wrong command line",
        126 => "the command could not be run",
        127 => "the command was not found",
        128 => "the engine could not start it",
        137 => "killed, by docker stop after its 10 s, docker kill, or for want of memory",
        139 => "the program crashed",
        143 => "stopped from outside",
        255 => "the engine ended, or the program failed",
        _ => "an error of the program itself",
    };
    format!("{code} ({words})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Facts, Outlook, Severity, docker::Health, example};

    fn judged(change: impl FnOnce(&mut Container)) -> Verdict {
        let mut facts: Facts = example::facts();
        change(&mut facts.containers.as_mut().unwrap().0[1]);
        (CHECK.run)(&Context::new(facts))
    }

    fn exited(code: i64, log: &str) -> Verdict {
        judged(|own| {
            own.status = "exited".into();
            let detail = own.detail.as_mut().unwrap();
            detail.exit_code = code;
            detail.log = Some(Ok(if log.is_empty() { vec![] } else { vec![log.into()] }));
        })
    }

    #[test]
    fn running_containers_pass_with_evidence() {
        let verdict = judged(|_| {});
        assert_eq!((verdict.worst(), verdict.summary.as_str()), (None, "all 3 containers run"));
        assert_eq!(verdict.evidence[0], Evidence::new("caddy", "running, has no health check"));
    }

    #[test]
    fn a_stopped_container_is_started() {
        let verdict = exited(0, "");
        assert_eq!(verdict.findings[0].fixes[0].action.commands(), ["docker start mitmproxy"]);
        assert!(verdict.findings[0].evidence.iter().any(|seen| seen.value.starts_with("empty; without a terminal")));
    }

    #[test]
    fn the_decisive_line_names_the_cause() {
        let line = "Error: mitmproxy's console interface requires a tty. Please run mitmproxy in an interactive shell environment.";
        let finding = exited(1, line).findings.remove(0);
        assert_eq!(
            finding.summary,
            "mitmproxy ended: the console program mitmproxy needs a terminal, and this container has none"
        );
        assert!(finding.evidence.contains(&Evidence::new("log", line)));
    }

    #[test]
    fn paused_and_created_have_their_own_fix() {
        let paused = judged(|own| own.status = "paused".into());
        assert_eq!(paused.findings[0].fixes[0].action.commands(), ["docker unpause mitmproxy"]);
        let created = judged(|own| own.status = "created".into());
        assert_eq!(created.findings[0].summary, "mitmproxy was created and never started");
    }

    #[test]
    fn an_engine_without_ranges_for_networks_is_told() {
        let created = judged(|own| {
            own.status = "created".into();
            own.detail.as_mut().unwrap().error =
                "could not find an available, non-overlapping IPv4 address pool among the \
                                                  defaults to assign to the network"
                    .into();
        });
        let finding = &created.findings[0];
        let summary = "mitmproxy could not be started: the engine has no range of addresses left for a network";
        assert_eq!(finding.summary, summary);
        assert_eq!(finding.fixes[0].action.commands(), ["docker network prune"]);
        assert!(finding.fixes[0].edits[0].text.contains("default-address-pools"));
    }

    #[test]
    fn a_health_check_without_its_tool_is_no_failure() {
        let health = |output: &str| Health {
            status: "unhealthy".into(),
            exit_code: -1,
            output: output.into(),
            failing_streak: 9,
        };
        let verdict = judged(|own| {
            own.detail.as_mut().unwrap().health =
                Some(health("OCI runtime exec failed: exec: \"curl\": executable file not found in $PATH"));
        });
        assert_eq!(verdict.worst(), Some(Severity::Warn));
        let verdict = judged(|own| own.detail.as_mut().unwrap().health = Some(health("Connection refused")));
        assert_eq!(verdict.worst(), Some(Severity::Fail));
    }

    #[test]
    fn a_health_check_that_has_not_passed_yet_is_a_warning() {
        let starting = |exit_code: i64| {
            judged(|own| {
                let status = "starting".to_owned();
                own.detail.as_mut().unwrap().health =
                    Some(Health { status, exit_code, output: String::new(), failing_streak: 0 });
            })
            .worst()
        };
        assert_eq!((starting(1), starting(0)), (Some(Severity::Warn), None));
    }

    #[test]
    fn a_namespace_whose_owner_started_later_is_gone() {
        let stamps = |owner: &str, sidecar: &str| {
            let mut facts = example::facts();
            let all = &mut facts.containers.as_mut().unwrap().0;
            all[2].detail.as_mut().unwrap().started_at = owner.into();
            all[1].network_mode = "container:backend".into();
            all[1].detail.as_mut().unwrap().started_at = sidecar.into();
            (CHECK.run)(&Context::new(facts)).worst()
        };
        assert_eq!(stamps("2026-11-23T20:00:01.5Z", "2026-11-23T20:00:01.49Z"), Some(Severity::Fail));
        assert_eq!(stamps("2026-11-23T20:00:01Z", "2026-11-23T20:00:01.1Z"), None);
    }

    /// Whether what is said of mitmproxy in this state may heal; `policy` is that of its restarts.
    fn heals(status: &str, policy: Option<&str>, change: impl FnOnce(&mut Detail)) -> bool {
        let verdict = judged(|own| {
            own.status = status.into();
            let detail = own.detail.as_mut().unwrap();
            detail.recipe.options = policy.map(|policy| vec!["--restart".into(), policy.into()]).into_iter().collect();
            change(detail);
        });
        verdict.findings[0].outlook == Outlook::MayHeal
    }

    #[test]
    fn what_is_starting_or_comes_back_may_heal() {
        assert!(heals("created", None, |_| {}));
        assert!(!heals("created", None, |own| own.error = "port is already allocated".into()));
        assert!(heals("restarting", Some("always"), |own| own.exit_code = 1));
        assert!(!heals("exited", None, |own| own.exit_code = 1));
        assert!(heals("exited", Some("unless-stopped"), |own| own.exit_code = 1));
        assert!(!heals("exited", Some("always"), |own| own.exit_code = 137), "it was stopped from outside");
        assert!(heals("exited", Some("on-failure:3"), |own| (own.exit_code, own.restarts) = (1, 2)));
        assert!(!heals("exited", Some("on-failure:3"), |own| (own.exit_code, own.restarts) = (1, 3)));
        assert!(!heals("paused", None, |_| {}));
        assert!(!heals("dead", Some("always"), |own| own.exit_code = 1));
    }

    #[test]
    fn what_ends_for_a_reason_of_its_own_ends_again() {
        for line in ["Invalid proxy mode specification: revers", "mitmproxy: error: unrecognized arguments: --x"] {
            let with = |own: &mut Detail| (own.exit_code, own.log) = (1, Some(Ok(vec![line.into()])));
            assert!(!heals("restarting", Some("always"), with), "{line}");
        }
        assert!(!heals("restarting", Some("always"), |own| own.oom_killed = true));
    }

    #[test]
    fn a_health_check_may_pass_later_unless_its_tool_is_missing() {
        let health = |status: &str, output: &str| {
            let (status, output) = (status.to_owned(), output.to_owned());
            move |own: &mut Detail| own.health = Some(Health { status, failing_streak: 1, exit_code: 1, output })
        };
        assert!(heals("running", None, health("starting", "Connection refused")));
        assert!(heals("running", None, health("unhealthy", "Connection refused")));
        assert!(!heals("running", None, health("unhealthy", "\"curl\": executable file not found in $PATH")));
    }
}
