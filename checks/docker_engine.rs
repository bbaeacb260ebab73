use crate::model::{
    Action, Apply, Evidence, Finding, Fix, Missing, Role, Setup, Verdict,
    docker::EngineSeen,
    facts::{Attempt, Kind},
    text::{self, shell},
};

check! {
    /// Does a Docker engine answer, and is it the one that is meant?
    ///
    /// ## What it looks at
    /// Which endpoint is used and why: `DOCKER_HOST`, then `DOCKER_CONTEXT`, then the current context of
    /// `~/.docker/config.json`, then the usual sockets (Docker, Docker Desktop, rootless, Podman, Colima, OrbStack). It is
    /// asked `GET /_ping`. Other engines that answer at one of the usual places are named.
    ///
    /// ## Why it matters
    /// Everything else that is known about containers and networks comes from the engine. Several engines on one
    /// machine are common (Docker Desktop beside the system's Docker, `sudo` beside a rootless one), and each knows
    /// only its own containers.
    ///
    /// ## When it is skipped
    /// When Caddy and mitmproxy both run as processes on the host: then no engine is needed.
    ///
    /// ## How to fix it
    /// It depends on what came back: start the engine, use the engine that does answer, choose a
    /// context that is defined, or let this user use the socket.
    id: "docker-engine",
    group: Docker,
    after: [],
    needs: [Attempt<EngineSeen>, Attempt<Setup>],
    run: run,
}

/// Docker 20.10 and Podman 4 speak 1.41, Podman 3 1.40.
const OLDEST_API: (u32, u32) = (1, 40);

fn run(seen: Result<&EngineSeen, &Missing>, setup: Result<&Setup, &Missing>) -> Verdict {
    let seen = match seen {
        Ok(seen) => seen,
        Err(missing) => return Verdict::missing(missing),
    };
    let mut verdict = Verdict {
        evidence: vec![Evidence::new("endpoint", format!("{} ({})", seen.endpoint, seen.chosen_by))],
        ..Verdict::default()
    };
    let engine = match &seen.answer {
        Ok(engine) => engine,
        Err(missing) => {
            if setup.is_ok_and(Setup::is_on_the_host) {
                return Verdict::not_applicable(format!(
                    "Caddy and mitmproxy run on the host, so no engine is needed ({missing})"
                ));
            }
            verdict.findings.push(no_answer(seen, missing));
            return verdict;
        }
    };
    verdict.summary = format!("{} {} answers at {}", engine.name, engine.version, seen.endpoint);
    verdict.evidence.push(Evidence::new("engine", format!("{} {}, API {}", engine.name, engine.version, engine.api)));
    if api(&engine.api).is_some_and(|api| api < OLDEST_API) {
        verdict.findings.push(
            Finding::fail(
                [] as [&str; 0],
                format!("the engine speaks API {} only; the doctor reads 1.40 and newer", engine.api),
            )
            .fix(Fix::new("update Docker to 20.10 or newer", Action::Manual)),
        );
    }
    let lacks = |role: Role| setup.is_ok_and(|setup| !setup.parts().any(|part| part.role == role));
    if lacks(Role::Caddy) || lacks(Role::Mitmproxy) {
        for other in seen.others.iter().filter(|other| !other.parts.is_empty()) {
            verdict.findings.push(
                Finding::warn(
                    [] as [&str; 0],
                    format!("another engine has what is missing here: {}", text::list(&other.parts)),
                )
                .seen("other engine", format!("{} at {}", other.version, other.endpoint))
                .fix(use_other(&other.endpoint)),
            );
        }
    }
    verdict
}

fn no_answer(seen: &EngineSeen, missing: &Missing) -> Finding {
    let endpoint = &seen.endpoint;
    let (summary, fix) = match missing.kind() {
        Some(Kind::NotFound) if !seen.contexts.is_empty() => {
            (format!("Docker is asked for by {endpoint}"), another_context(seen))
        }
        Some(Kind::NotFound) => (format!("there is no Docker engine at {endpoint}"), start(seen)),
        Some(Kind::Refused) => (format!("no Docker engine listens at {endpoint}"), start(seen)),
        Some(Kind::Denied) => {
            let user = seen.user.as_ref().map_or("this user", |user| user.name.as_str());
            let fix = match (&seen.socket_group, &seen.user) {
                (Some(group), Some(user)) if group != "root" => Fix::new(
                    format!("put {} into group {group}; it takes effect with the next login", user.name),
                    Action::Command {
                        command: format!("sudo usermod -aG {} {}", shell(group), shell(&user.name)),
                        apply: Apply::Manual,
                    },
                ),
                _ => Fix::new("run the doctor as a user who may use Docker, for example with sudo", Action::Manual),
            };
            (format!("{user} may not use the Docker engine at {endpoint}"), fix)
        }
        Some(Kind::Unsupported) => (
            format!("the doctor cannot speak to the Docker engine at {endpoint}"),
            Fix::new("run the doctor on the machine that the engine runs on", Action::Manual),
        ),
        Some(Kind::TimedOut) => (
            format!("the Docker engine at {endpoint} takes connections and does not answer"),
            Fix::new("restart the engine", Action::Manual),
        ),
        _ => (
            format!("what answers at {endpoint} is no Docker engine"),
            Fix::new(format!("look at what {} says", seen.chosen_by), Action::Manual),
        ),
    };
    let mut finding =
        Finding::fail([] as [&str; 0], summary).seen("endpoint", format!("{endpoint} ({})", seen.chosen_by));
    if !seen.contexts.is_empty() {
        finding = finding.seen("contexts", text::list(&seen.contexts));
    }
    // That another one answers says nothing about this one, which may be starting.
    finding = finding.may_heal(seen.contexts.is_empty() && missing.may_heal(true)).seen("answer", missing.to_string());
    if missing.kind() == Some(Kind::Denied)
        && let Some(user) = &seen.user
    {
        finding = finding.seen("groups", format!("{} is in {}", user.name, text::list(&user.groups)));
        if let Some(group) = &seen.socket_group {
            finding = finding.seen("socket", format!("belongs to group {group}"));
        }
    }
    for other in &seen.others {
        finding = finding.seen("another engine", format!("{} answers at {}", other.version, other.endpoint));
        finding = finding.fix(use_other(&other.endpoint));
    }
    finding.fix(fix)
}

fn start(seen: &EngineSeen) -> Fix {
    match &seen.start_with {
        Some(command) => Fix::new("start the engine", Action::Command { command: command.clone(), apply: Apply::Safe }),
        None if seen.chosen_by == "DOCKER_HOST" => {
            Fix::new("start the engine there, or unset DOCKER_HOST if another one is meant", Action::Manual)
        }
        None => Fix::new("start Docker", Action::Manual),
    }
}

/// A context that is not defined: no engine is to be started for it.
fn another_context(seen: &EngineSeen) -> Fix {
    let by_variable = seen.chosen_by.contains("DOCKER_CONTEXT");
    let (title, command) = match by_variable {
        true => ("let the current context count again", "unset DOCKER_CONTEXT"),
        false => ("use the default context, or another one that docker context ls lists", "docker context use default"),
    };
    Fix::new(title, Action::Command { command: command.to_owned(), apply: Apply::Manual })
}

fn use_other(endpoint: &str) -> Fix {
    Fix::new(
        "use that engine",
        Action::Command { command: format!("export DOCKER_HOST={}", shell(endpoint)), apply: Apply::Manual },
    )
}

fn api(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Context, Outlook, Severity,
        docker::{OtherEngine, User},
        example,
    };

    fn judged(change: impl FnOnce(&mut EngineSeen)) -> Verdict {
        let mut facts = example::facts();
        change(facts.engine.as_mut().unwrap());
        let context = Context::new(facts);
        let setup = Err(&Missing::NotAsked);
        run(context.engine.as_ref(), setup)
    }

    fn failed(kind: Kind) -> Missing {
        Missing::failed("GET /_ping", kind, "so it is")
    }

    #[test]
    fn an_engine_that_answers_passes() {
        let verdict = judged(|_| {});
        assert_eq!(verdict.worst(), None);
        assert_eq!(verdict.summary, "docker 28.1.1 answers at unix:///var/run/docker.sock");
    }

    #[test]
    fn each_way_of_not_answering_has_its_own_words() {
        let summaries: std::collections::BTreeSet<String> =
            [Kind::NotFound, Kind::Refused, Kind::Denied, Kind::Unsupported, Kind::TimedOut, Kind::Garbage]
                .into_iter()
                .map(|kind| judged(|seen| seen.answer = Err(failed(kind))).findings.remove(0).summary)
                .collect();
        assert_eq!(summaries.len(), 6);
    }

    #[test]
    fn a_user_who_may_not_is_named_with_his_groups() {
        let verdict = judged(|seen| {
            seen.answer = Err(failed(Kind::Denied));
            seen.user = Some(User { name: "ann".into(), groups: vec!["ann".into(), "users".into()] });
            seen.socket_group = Some("docker".into());
        });
        let finding = &verdict.findings[0];
        assert!(finding.evidence.contains(&Evidence::new("groups", "ann is in ann and users")));
        assert_eq!(finding.fixes[0].action.commands(), ["sudo usermod -aG docker ann"]);
    }

    #[test]
    fn another_engine_that_answers_is_offered_first() {
        let verdict = judged(|seen| {
            seen.answer = Err(failed(Kind::NotFound));
            let endpoint = "unix:///run/user/1000/docker.sock".to_owned();
            seen.others = vec![OtherEngine { endpoint, version: "docker 28.1".into(), parts: vec![] }];
        });
        let command = "export DOCKER_HOST=unix:///run/user/1000/docker.sock";
        assert_eq!(verdict.findings[0].fixes[0].action.commands(), [command]);
    }

    #[test]
    fn a_context_that_is_not_defined_is_changed_and_nothing_is_started() {
        let finding = |by: &str| {
            let verdict = judged(|seen| {
                seen.endpoint = "context gone, which is not defined".into();
                seen.chosen_by = by.into();
                seen.contexts = vec!["colima".into(), "default".into()];
                seen.answer = Err(failed(Kind::NotFound));
            });
            verdict.findings.into_iter().next().unwrap()
        };
        let current = finding("docker context gone");
        assert_eq!(current.summary, "Docker is asked for by context gone, which is not defined");
        assert!(current.evidence.contains(&Evidence::new("contexts", "colima and default")));
        assert_eq!(current.fixes[0].action.commands(), ["docker context use default"]);
        assert_eq!(current.outlook, Outlook::Stays);
        let by_variable = finding("docker context gone, by DOCKER_CONTEXT");
        assert_eq!(by_variable.fixes[0].action.commands(), ["unset DOCKER_CONTEXT"]);
    }

    #[test]
    fn an_api_that_is_too_old_fails() {
        let verdict = judged(|seen| seen.answer.as_mut().unwrap().api = "1.39".into());
        assert_eq!(verdict.worst(), Some(Severity::Fail));
    }

    #[test]
    fn an_engine_may_still_be_starting_and_no_right_comes_by_itself() {
        let outlook = |kind: Kind| judged(|seen| seen.answer = Err(failed(kind))).findings[0].outlook;
        for kind in [Kind::NotFound, Kind::Refused, Kind::TimedOut] {
            assert_eq!(outlook(kind), Outlook::MayHeal, "{kind:?}");
        }
        for kind in [Kind::Denied, Kind::Unsupported, Kind::Garbage] {
            assert_eq!(outlook(kind), Outlook::Stays, "{kind:?}");
        }
    }
}
