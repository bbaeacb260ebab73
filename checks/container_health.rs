mod own_check;

use crate::model::{
    Action, Apply, Edit, Evidence, Finding, Fix, Gap, Missing, Paths, Setup, Severity, Verdict, before_up,
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
    /// health check at all is nothing to warn about. A few restarts long ago are none either; several, and a start a few seconds
    /// ago, are a warning. Logs may be empty: without a terminal mitmweb buffers its output until 8
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
        "running" => stale_namespace(containers, container, detail).or_else(|| {
            let health = own_check::judge(container, detail);
            match health {
                Some(finding) if finding.severity == Severity::Fail => Some(finding),
                other => comes_and_goes(container, detail).or(other),
            }
        }),
        "paused" => Some(
            Finding::fail([name], format!("{name} is paused"))
                .fix(Fix::new(format!("let {name} go on"), Action::Unpause { container: name.clone() })),
        ),
        "created" => Some(created(containers, container, detail)),
        "removing" => Some(Finding::fail([name], format!("{name} is being removed")).may_heal(true)),
        "restarting" => {
            let mut finding = ended(container, detail);
            finding.summary = format!("{name} starts and ends again and again ({} restarts)", detail.restarts);
            // The engine starts it by itself.
            finding.fixes.retain(|fix| !matches!(fix.action, Action::Start { .. }));
            if finding.fixes.is_empty() {
                finding = finding.fix(read_the_log(name));
            }
            Some(finding)
        }
        _ => Some(ended(container, detail)),
    }
}

/// From this many restarts on they are no accident.
const MANY_RESTARTS: i64 = 3;
/// For this long an engine does not know whether a start went well, in seconds: it waits longer before the next one meanwhile.
const STARTED_WELL_S: u64 = 10;

/// A restart loop that is looked at between a start and the next end.
fn comes_and_goes(container: &Container, detail: &Detail) -> Option<Finding> {
    let name = &container.name;
    let age = detail.running_s.filter(|age| *age < STARTED_WELL_S && detail.restarts >= MANY_RESTARTS)?;
    let summary = format!("{name} runs for {age} s, after {} restarts: it may end again", detail.restarts);
    let finding = Finding::warn([name], summary).may_heal(true);
    let finding = match detail.restart_policy() {
        Some(policy) => finding.seen("restart policy", policy),
        None => finding,
    };
    Some(finding.fix(read_the_log(name)))
}

fn read_the_log(name: &str) -> Fix {
    let command = format!("docker logs --tail 30 {}", shell(name));
    Fix::new("read the end of its log", Action::Command { command, apply: Apply::Manual })
}

fn start(container: &Container) -> Fix {
    Fix::new(format!("start {}", container.name), Action::Start { container: container.name.clone() })
}

fn created(containers: &Containers, container: &Container, detail: &Detail) -> Finding {
    let name = &container.name;
    if detail.error.is_empty() {
        if let Some(finding) = waits(containers, container) {
            return finding;
        }
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
    } else if detail.error.contains("not a directory") || detail.error.contains("mount a directory onto a file") {
        finding = finding.fix(Fix::new(
            "mount a file on a file and a folder on a folder: where the path of a mount is not there, the engine makes an empty \
             folder of that name; the path is one of the engine's own machine, which another container or a remote client may \
             not share. Correct the path, remove that empty folder, and make the container anew",
            Action::Manual,
        ));
    }
    finding
}

/// Compose starts it only when another service is healthy, and that one is not.
fn waits(containers: &Containers, container: &Container) -> Option<Finding> {
    let (name, compose) = (&container.name, container.compose.as_ref()?);
    let is_meant = |own: &&Container| {
        let other = own.compose.as_ref();
        other.is_some_and(|own| own.project == compose.project && compose.waits_for_healthy.contains(&own.service))
    };
    let (needed, status) = containers.0.iter().filter(is_meant).find_map(|own| {
        let status = own.detail.as_ref()?.health.as_ref()?.status.as_str();
        (own.runs() && matches!(status, "unhealthy" | "starting")).then_some((&own.name, status))
    })?;
    let summary = format!("{name} was created and not started: compose waits until {needed} is healthy");
    let finding = Finding::fail([name, needed], summary)
        .seen(format!("{needed}'s health check"), status)
        .seen("depends_on", "condition: service_healthy");
    if status == "starting" {
        return Some(finding.may_heal(true));
    }
    // `up` has given up by then, and it would the next time.
    let title = format!(
        "let {needed} pass its health check (correct that, or give it a longer start_period), and bring it up again"
    );
    Some(finding.fix(start(container)).fix(Fix::new(title, Action::Manual)))
}

fn ended(container: &Container, detail: &Detail) -> Finding {
    let name = &container.name;
    if detail.oom_killed {
        let less = match container.program {
            Some(Program::Mitmproxy(_)) => {
                "let mitmproxy keep less: --set stream_large_bodies=1m stores no larger bodies, mitmdump keeps no flows \
                 (flow_detail changes nothing)"
            }
            _ => {
                "let it use less memory, or give it more (--memory; in compose mem_limit, or deploy.resources.limits.memory)"
            }
        };
        return Finding::fail([name], format!("{name} was killed because it used more memory than it may"))
            .seen("exit code", exit_code(detail.exit_code))
            .fix(start(container))
            .fix(Fix::new(less, Action::Manual));
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
        None => finding.fix(read_the_log(name)),
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

/// The command line written anew, as a list, in which no value needs quotes of its own; `None` when it has options whose
/// values were not read, and what compose would replace.
fn mitmweb_command(line: &CommandLine) -> Option<String> {
    if !line.other_set.is_empty() || line.unread {
        return None;
    }
    let modes = line.modes.iter().flat_map(|mode| ["--mode".to_owned(), mode.clone()]);
    let set = line.set.iter().flat_map(|(name, value)| ["--set".to_owned(), format!("{name}={value}")]);
    let words: Vec<String> = std::iter::once("mitmweb".to_owned()).chain(modes).chain(set).collect();
    (!words.iter().any(|word| word.contains('$'))).then(|| serde_json::json!(words).to_string())
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
    use crate::model::{
        Context, Facts, Outlook,
        docker::{Compose, Health},
        example,
    };

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

    #[test]
    fn what_the_engine_starts_again_is_not_started_by_a_fix() {
        for (exit_code, oom_killed) in [(0, false), (137, true)] {
            let verdict = judged(|own| {
                own.status = "restarting".into();
                let detail = own.detail.as_mut().unwrap();
                (detail.exit_code, detail.oom_killed, detail.restarts) = (exit_code, oom_killed, 7);
            });
            let finding = &verdict.findings[0];
            assert!(finding.summary.ends_with("starts and ends again and again (7 restarts)"));
            assert!(!finding.fixes.is_empty());
            assert!(finding.fixes.iter().all(|fix| fix.action.commands() != ["docker start mitmproxy"]));
        }
    }

    #[test]
    fn a_restart_loop_shows_while_it_runs_for_a_moment() {
        let worst = |restarts: i64, running_s: Option<u64>| {
            let verdict = judged(|own| {
                let detail = own.detail.as_mut().unwrap();
                (detail.restarts, detail.running_s) = (restarts, running_s);
            });
            verdict.worst()
        };
        assert_eq!(worst(12, Some(2)), Some(Severity::Warn));
        assert_eq!(worst(12, Some(3600)), None, "long ago");
        assert_eq!((worst(1, Some(2)), worst(12, None)), (None, None));
    }

    #[test]
    fn only_mitmproxy_is_told_to_keep_fewer_bodies() {
        let mut facts: Facts = example::facts();
        let caddy = &mut facts.containers.as_mut().unwrap().0[0];
        caddy.status = "exited".into();
        caddy.detail.as_mut().unwrap().oom_killed = true;
        let verdict = (CHECK.run)(&Context::new(facts));
        assert!(verdict.findings[0].fixes[1].title.starts_with("let it use less memory"));
    }

    #[test]
    fn what_waits_for_an_unhealthy_service_names_it() {
        let mut facts: Facts = example::facts();
        let all = &mut facts.containers.as_mut().unwrap().0;
        for own in all.iter_mut() {
            own.compose = Some(Compose { project: "p".into(), service: own.name.clone(), ..Compose::default() });
        }
        all[1].status = "created".into();
        all[1].compose.as_mut().unwrap().waits_for_healthy = vec!["backend".into()];
        let unhealthy = Health { status: "unhealthy".into(), exit_code: 1, ..Health::default() };
        all[2].detail.as_mut().unwrap().health = Some(unhealthy);
        let verdict = (CHECK.run)(&Context::new(facts));
        let waiting = &verdict.findings[0];
        assert_eq!(waiting.summary, "mitmproxy was created and not started: compose waits until backend is healthy");
        assert_eq!(
            (waiting.about.as_slice(), waiting.outlook),
            (["mitmproxy", "backend"].map(String::from).as_slice(), Outlook::Stays)
        );
    }

    #[test]
    fn a_folder_mounted_on_a_file_is_told_what_to_do() {
        let verdict = judged(|own| {
            own.status = "created".into();
            let error = "error mounting \"/srv/Caddyfile\" to rootfs at \"/etc/caddy/Caddyfile\": not a directory: unknown: Are you \
                         trying to mount a directory onto a file (or vice-versa)?";
            own.detail.as_mut().unwrap().error = error.into();
        });
        assert!(verdict.findings[0].fixes[0].title.starts_with("mount a file on a file"));
    }

    #[test]
    fn the_command_of_mitmweb_is_written_so_that_yaml_reads_it_as_it_is() {
        let line = |word: &str| {
            CommandLine::read(&["mitmproxy", "--mode", "reverse:http://b:1", "--listen-host", word]).unwrap()
        };
        assert_eq!(
            mitmweb_command(&line("a: #b")).unwrap(),
            r#"["mitmweb","--mode","reverse:http://b:1","--set","listen_host=a:"]"#
        );
        assert_eq!(mitmweb_command(&line("$HOST")), None);
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
