use std::net::IpAddr;

use crate::model::{
    Action, Apply, Edit, Evidence, Explains, Finding, Fix, Gap, Hop, Missing, Part, Paths, Place, Role, Setup, Verdict,
    docker::{Container, Containers, Program, is_wide},
    facts::{Attempt, Kind},
    fix,
    mitmproxy::{Interface, Mitmproxies, MitmproxySeen},
    path::HopKind,
    setup::PartKind,
    text,
    view::PublishedSeen,
};

check! {
    /// Do mitmweb's web interface and its API answer?
    ///
    /// ## What it looks at
    /// Whether mitmweb answers in its own place, and, where its web port is published, what somebody sees who uses that port
    /// on this machine. Up to mitmproxy 11.1.0 also the Host that Caddy sends where a route of it leads to the web port.
    ///
    /// ## Why it matters
    /// The web interface is where captured traffic is looked at, and its API is what tests and this doctor ask. In a container
    /// its default address 127.0.0.1 is the container's own: the published port then accepts connections and resets them.
    /// mitmdump and the console program have no such API: no options, no events and no flows can be asked for.
    ///
    /// ## Three ways to be refused (403)
    /// - From 11.1.2 on mitmweb always wants its password, in `?token=` or, from 12.0.1, as `Authorization: Bearer`. The answer of
    ///   the API is empty then.
    /// - Up to 11.1.0 it answers only to an IP address or `localhost` as Host: "To protect against DNS rebinding".
    /// - Whatever changes something needs a token against cross-site requests: "403: Forbidden".
    ///
    /// That mitmweb asks for its password is no failure: traffic flows without it. The doctor cannot look at flows and options
    /// then, and says so. Without `web_password` mitmweb makes up a token at each start and prints it in the line "Web server
    /// listening at"; without a terminal that line stays in a buffer, so `docker logs` may not show it.
    ///
    /// ## How to fix it
    /// Loopback: `--web-host 0.0.0.0`, with the port published on 127.0.0.1: up to 11.1.0 whoever reaches it can run commands. Password: give it to the doctor with
    /// `--web-password-file FILE` or in `DOCTOR_WEB_PASSWORD`; a fixed one is set with `--set web_password=`. Host: let Caddy's
    /// route send an address as Host and Origin, or use 11.1.2 or newer.
    id: "mitmweb-api",
    group: Mitmproxy,
    after: ["setup-found", "container-health"],
    needs: [Setup, Mitmproxies, Attempt<Containers>, Attempt<Paths>],
    run: run,
}

fn run(
    setup: &Setup,
    mitmproxies: &Mitmproxies,
    containers: Result<&Containers, &Missing>,
    paths: Result<&Paths, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Mitmproxy));
    let none = Containers::default();
    let containers = containers.unwrap_or(&none);
    let (mut mitmwebs, mut planned) = (0, 0);
    for part in &setup.mitmproxies {
        let Some(seen) = mitmproxies.named(&part.name) else {
            verdict.gaps.push(Gap::about([&part.name], format!("{} was not asked", part.name)));
            continue;
        };
        if seen.command_line.interface != Interface::Mitmweb {
            let program = seen.command_line.interface.name();
            let value =
                format!("is {program}: no options, events and flows can be asked for, nor looked at in a browser");
            verdict.evidence.push(Evidence::new(&part.name, value));
            continue;
        }
        mitmwebs += 1;
        let own = containers.named(&part.name);
        let owner = match &part.place {
            Place::Container(owner) => containers.named(owner),
            Place::Host => None,
        };
        if let Some(own) = own.filter(|own| own.is_planned()) {
            planned += 1;
            before_up(&mut verdict, containers, seen, own, owner);
            continue;
        }
        answers(&mut verdict, part, seen, containers);
        if let Some(owner) = owner {
            published(&mut verdict, containers, seen, own, owner);
        } else if !matches!(part.kind, PartKind::Address(_)) && is_everywhere(own_web_host(seen)) {
            verdict.findings.extend(open_to_all(seen));
        }
        for hop in paths
            .into_iter()
            .flat_map(|paths| &paths.hops)
            .filter(|hop| !hop.relevant && is_to_web_port(containers, seen, hop))
        {
            host_refused(&mut verdict, paths.ok(), seen, hop);
        }
    }
    if mitmwebs == 0 && verdict.gaps.is_empty() {
        let lost =
            "no mitmweb is there; mitmdump and mitmproxy have no API, so no options, events and flows can be asked for";
        return Verdict::not_applicable(lost);
    }
    if mitmwebs == planned && verdict.findings.is_empty() && verdict.gaps.is_empty() {
        let evidence = std::mem::take(&mut verdict.evidence);
        return Verdict { evidence, ..Verdict::not_applicable(crate::model::before_up::NOTHING_RUNS) };
    }
    verdict.summary = match mitmwebs {
        1 => "mitmweb answers".to_owned(),
        many => format!("all {many} mitmwebs answer"),
    };
    verdict
}

/// What it answers in its own place.
fn answers(verdict: &mut Verdict, part: &Part, seen: &MitmproxySeen, containers: &Containers) {
    let own = containers.named(&part.name);
    let name = &seen.name;
    let version = seen.version.as_deref().unwrap_or_default();
    let missing = match &seen.options {
        Ok(_) => {
            verdict
                .evidence
                .push(Evidence::new(name, format!("mitmweb {version} answers at {} ({})", seen.web, seen.way)));
            return;
        }
        Err(missing) => missing,
    };
    let is_mitmweb = seen.version.is_some();
    match missing.kind() {
        Some(Kind::WrongToken) => verdict.findings.push(
            Finding::fail([name], format!("{name} does not take the password that the doctor was given"))
                .explaining(Explains::AllButHops)
                .seen("answer", missing.to_string())
                .fix(Fix::new(format!("give the right one: {}", where_token_is(seen, own)), Action::Manual)),
        ),
        Some(Kind::NeedsToken) if is_mitmweb && seen.wants_password() => verdict.gaps.push(Gap::about(
            [name],
            format!(
                "mitmweb {version} of {name} wants its password, and the doctor was given none: put it into a file and say \
                 --web-password-file FILE, or set DOCTOR_WEB_PASSWORD; {}",
                where_token_is(seen, own)
            ),
        )),
        Some(Kind::NeedsToken) if is_mitmweb => verdict.gaps.push(Gap::about(
            [name],
            format!(
                "mitmweb {version} refuses the name in {} (up to 11.1.0 it answers only to an IP address or localhost as \
                 Host): ask it by its address",
                seen.web
            ),
        )),
        _ => {
            let reason = format!("mitmweb of {name} does not answer at {}: {missing}", seen.web);
            let may_heal = part.may_answer_later(Some(containers), missing);
            verdict.gaps.push(Gap::about([name], reason).may_heal(may_heal));
        }
    }
}

/// What can be told of a web port before `up`: that it is published, and leads to a loopback address.
fn before_up(
    verdict: &mut Verdict,
    containers: &Containers,
    seen: &MitmproxySeen,
    own: &Container,
    owner: Option<&Container>,
) {
    let name = &seen.name;
    let Some((ip, port)) = owner.and_then(|owner| owner.published(seen.command_line.web_port())) else { return };
    let address = text::join_port(ip, port);
    let told = seen.command_line.set.get("web_host").map(|host| (host.as_str(), "by its command line"));
    let by_default =
        seen.is_told_by_its_command().then_some(("127.0.0.1", "by default, since its command line sets no other"));
    match told.or(by_default) {
        Some((host, how)) if is_loopback(host) => {
            let finding = Finding::fail(
                [name],
                format!(
                    "the web interface of {name} is published at {address} and listens on {host} of its container only"
                ),
            )
            .explaining(Explains::Nothing)
            .seen("web_host", format!("{host}, {how}"));
            verdict.findings.push(opened(finding, containers, seen, own, owner));
        }
        Some((host, how)) => {
            let value = format!("{address} will lead to it: it listens on {host}, {how}");
            verdict.evidence.push(Evidence::new(format!("{name}'s published web port"), value));
        }
        None => verdict.evidence.push(Evidence::new(format!("{name}'s web host"), "is not known before it runs")),
    }
}

/// Where a person finds the password or token, as far as it can be told.
fn where_token_is(seen: &MitmproxySeen, own: Option<&Container>) -> String {
    let fixed = "or set one of your own with --set web_password=";
    if seen.command_line.other_set.iter().any(|name| name == "web_password") {
        return "it is what --set web_password on its command line says".to_owned();
    }
    let Some(own) = own else {
        return format!("mitmweb prints it when it starts, behind ?token=, {fixed}");
    };
    let unbuffered = |detail: &crate::model::docker::Detail| {
        detail.tty || detail.environment("PYTHONUNBUFFERED").is_some_and(|value| !value.is_empty())
    };
    let logs = format!("docker logs {} 2>&1 | grep token=", text::shell(&own.name));
    match own.detail.as_deref().map(unbuffered) {
        Some(false) => format!(
            "it was made up when mitmweb started, and without a terminal the log may not show it yet ({logs}), {fixed}"
        ),
        _ => format!("unless web_password is set in its config, its log shows it behind ?token= ({logs}), {fixed}"),
    }
}

/// Where its web interface listens, and who says so.
fn own_web_host(seen: &MitmproxySeen) -> Option<(&str, &'static str)> {
    let told = seen.options.as_ref().ok().map(|options| options.web_host.as_str()).filter(|host| !host.is_empty());
    let by_options = told.map(|host| (host, "by mitmweb's options"));
    by_options.or_else(|| Some((seen.command_line.set.get("web_host")?.as_str(), "by its command line")))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_everywhere(web_host: Option<(&str, &'static str)>) -> bool {
    web_host.is_some_and(|(host, _)| host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()))
}

/// What somebody sees who uses the published port.
fn published(
    verdict: &mut Verdict,
    containers: &Containers,
    seen: &MitmproxySeen,
    own: Option<&Container>,
    owner: &Container,
) {
    let name = &seen.name;
    let port = seen.command_line.web_port();
    let label = format!("{name}'s published web port");
    let Some((ip, host_port)) = owner.published(port).filter(|_| owner.runs()) else { return };
    let address = text::join_port(ip, host_port);
    let is_default = || own.is_some_and(|own| matches!(own.program, Some(Program::Mitmproxy(_))));
    let web_host = own_web_host(seen)
        .or_else(|| is_default().then_some(("127.0.0.1", "by default, since its command line sets no other")));
    let loopback = web_host.filter(|(host, _)| is_loopback(host));
    // A refusal comes from mitmweb as well: it answers in there.
    let answers_inside = seen.options.is_ok() || seen.version.is_some();
    match (&seen.published, loopback) {
        (None, Some(_)) if own_web_host(seen).is_some() => verdict.gaps.push(Gap::about(
            [name],
            format!("{name} listens on 127.0.0.1 of its container for the web interface, and whether {address} leads there was not tried"),
        )),
        (None, _) => verdict.evidence.push(Evidence::new(label, format!("{address}, not tried from here"))),
        (Some(PublishedSeen { address, answer: Err(missing), .. }), Some((host, how))) if answers_inside => {
            let mut finding = Finding::fail(
                [name],
                format!("the web interface of {name} is published at {address} and listens on {host} of its container only"),
            )
            .explaining(Explains::Nothing)
            .seen("web_host", format!("{host}, {how}"))
            .seen("answer", missing.to_string());
            if let Some(own) = own {
                finding = opened(finding, containers, seen, own, Some(owner));
            }
            verdict.findings.push(finding);
        }
        (Some(PublishedSeen { address, answer: Err(missing), .. }), _) if answers_inside => verdict.findings.push(
            Finding::warn([name], format!("mitmweb answers inside {name}, and not at {address}, where it is published"))
                .seen("web_host", web_host.map_or("not known".to_owned(), |(host, how)| format!("{host}, {how}")))
                .seen("answer", missing.to_string()),
        ),
        (Some(PublishedSeen { address, answer: Err(missing), .. }), _) => {
            verdict.evidence.push(Evidence::new(label, format!("{address} does not answer either: {missing}")));
        }
        (Some(PublishedSeen { address, answer: Ok((status, said)), .. }), _) => {
            let value = match status {
                403 if seen.wants_password() => format!("{address} answers, and asks for its password"),
                200..400 => format!("{address} answers"),
                _ => format!("{address} answers HTTP {status}: {said}"),
            };
            verdict.evidence.push(Evidence::new(label, value));
            if is_published_widely(owner, port) && let Some(part) = own {
                let fix = Fix::new("publish it for this machine only, or use mitmproxy 11.1.2 or newer, which asks for a password", Action::Manual)
                    .edit(publish_for_this_machine(part, owner, host_port, port));
                let how = format!("port {host_port} of all the host's addresses");
                verdict.findings.extend(exposed(seen, &how, fix));
            }
        }
    }
}

/// Adds what lets the web interface be reached where it is published; on this machine only, where nobody would ask for a password.
fn opened(
    finding: Finding,
    containers: &Containers,
    seen: &MitmproxySeen,
    own: &Container,
    owner: Option<&Container>,
) -> Finding {
    let port = seen.command_line.web_port();
    let add = ["--web-host", "0.0.0.0"];
    let title = "let the web interface listen on all addresses of the container";
    let Some(owner) = owner.filter(|owner| !seen.wants_password() && is_published_widely(owner, port)) else {
        return finding.fix(fix::more_arguments(containers, own, &seen.command_line, title, &add, None));
    };
    let whose = match &seen.version {
        Some(version) => format!("mitmweb {version} asks for no password"),
        None => "up to 11.1.0 mitmweb asks for no password, and which version this is, is not known".to_owned(),
    };
    let title =
        format!("{title}, and publish it for this machine only: {whose}, and whoever reaches it can run commands");
    let mut fix = fix::more_arguments(containers, own, &seen.command_line, title, &add, Some(port));
    // What no command does has to be told as a whole.
    let is_told = fix.edits.iter().any(|edit| edit.text.contains("127.0.0.1:"));
    if fix.action.apply() == Apply::Manual
        && !is_told
        && let Some((_, host_port)) = owner.published(port)
    {
        fix = fix.edit(publish_for_this_machine(own, owner, host_port, port));
    }
    finding.seen("published on", "all addresses of the host").fix(fix)
}

fn is_published_widely(owner: &Container, port: u16) -> bool {
    owner.ports.iter().any(|own| {
        own.container_port == port && own.protocol == "tcp" && own.host_port.is_some() && is_wide(&own.host_ip)
    })
}

fn publish_for_this_machine(own: &Container, owner: &Container, host_port: u16, port: u16) -> Edit {
    let publish = format!("127.0.0.1:{host_port}:{port}");
    match owner.compose.as_ref().or(own.compose.as_ref()) {
        Some(compose) => Edit {
            file: compose.files.first().cloned().unwrap_or_else(|| "compose.yml".to_owned()),
            language: "yaml",
            text: format!("services:\n  {}:\n    ports: [\"{publish}\"]\n", compose.service),
        },
        None => {
            Edit { file: format!("the docker run of {}", owner.name), language: "sh", text: format!("-p {publish}") }
        }
    }
}

/// On the host's own network, on every address of the host.
fn open_to_all(seen: &MitmproxySeen) -> Option<Finding> {
    let title = "let it listen on this machine only, or use mitmproxy 11.1.2 or newer, which asks for a password";
    let file = format!("the command of {}", seen.name);
    let fix =
        Fix::new(title, Action::Manual).edit(Edit { file, language: "sh", text: "--web-host 127.0.0.1".to_owned() });
    let how = format!("port {} of all the host's addresses", seen.command_line.web_port());
    seen.options.as_ref().ok().and_then(|_| exposed(seen, &how, fix))
}

/// Up to 11.1.0 there is no password, and the API runs any command of mitmproxy (CVE-2025-23217).
fn exposed(seen: &MitmproxySeen, how: &str, fix: Fix) -> Option<Finding> {
    let version = seen.version.as_deref().filter(|_| !seen.wants_password())?;
    let finding = Finding::warn(
        [&seen.name],
        format!(
            "whoever reaches the web interface of {} can run commands: mitmweb {version} asks for no password",
            seen.name
        ),
    );
    Some(finding.seen("reachable at", how).fix(fix))
}

/// Whether a dial of Caddy leads to the web port of this mitmproxy.
fn is_to_web_port(containers: &Containers, seen: &MitmproxySeen, hop: &Hop) -> bool {
    let port = hop.port_inside(containers);
    hop.kind == HopKind::Upstream && hop.to.as_ref() == Some(&seen.name) && port == Some(seen.command_line.web_port())
}

/// Up to 11.1.0 mitmweb answers only where the Host is an address or `localhost`.
fn host_refused(verdict: &mut Verdict, paths: Option<&Paths>, seen: &MitmproxySeen, hop: &Hop) {
    let Some(version) = seen.version.as_deref().filter(|_| !seen.wants_password()) else { return };
    let through = |path: &&crate::model::Path| {
        paths.is_some_and(|paths| path.hops.iter().any(|at| paths.hops[*at].id() == hop.id())) && !path.undecided
    };
    let refused = match hop.sets_host.as_deref() {
        Some("{http.reverse_proxy.upstream.hostport}" | "{http.reverse_proxy.upstream.host}") => {
            (!is_let_in(&hop.dial.host)).then(|| hop.dial.host.clone())
        }
        Some(host) if host.contains('{') => None,
        Some(host) => (!is_let_in(text::host_and_port(host).map_or(host, |(host, _)| host))).then(|| host.to_owned()),
        // A route for every Host is used with an address as well.
        None => paths
            .into_iter()
            .flat_map(|paths| &paths.paths)
            .filter(through)
            .map(|path| path.host.clone())
            .find(|host| !is_let_in(host) && !host.contains([' ', '{'])),
    };
    let Some(host) = refused else {
        verdict.evidence.push(Evidence::new(hop.id(), "leads to the web interface of mitmweb"));
        return;
    };
    let port = seen.command_line.web_port();
    let lines = format!(
        "reverse_proxy {} {{\n\theader_up Host 127.0.0.1:{port}\n\theader_up Origin http://127.0.0.1:{port}\n}}\n",
        hop.dial
    );
    verdict.findings.push(
        Finding::fail(
            [&seen.name],
            format!("mitmweb {version} refuses the Host {host}, which {} sends to its web interface", hop.from),
        )
        .on(hop)
        .explaining(Explains::Nothing)
        .seen("Host", host)
        .seen(
            "rule",
            "up to 11.1.0 mitmweb answers only to an IP address or localhost: 403, to protect against DNS rebinding",
        )
        .fix(Fix::new("send an address as Host and Origin on that route", Action::Manual).edit(Edit {
            file: format!("{}'s Caddyfile", hop.from),
            language: "caddyfile",
            text: lines,
        })),
    );
}

/// As mitmweb compares: `^(localhost|[0-9.]+|\[[0-9a-fA-F:]+\])$` (`tools/web/app.py`).
fn is_let_in(host: &str) -> bool {
    let digits = !host.is_empty() && host.chars().all(|c| c.is_ascii_digit() || c == '.');
    digits || host.eq_ignore_ascii_case("localhost") || host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Context, Facts, Outlook, Severity,
        docker::{Compose, Port},
        example,
    };

    fn judged(change: impl FnOnce(&mut Facts)) -> Verdict {
        let mut facts = example::healthy();
        change(&mut facts);
        (CHECK.run)(&Context::new(facts))
    }

    fn seen(facts: &mut Facts) -> &mut MitmproxySeen {
        &mut facts.mitmproxies.as_mut().unwrap().0[0]
    }

    fn container(facts: &mut Facts) -> &mut Container {
        &mut facts.containers.as_mut().unwrap().0[1]
    }

    fn publish(facts: &mut Facts, host_ip: &str, answer: Result<(u16, String), Missing>) {
        let port =
            Port { container_port: 8081, protocol: "tcp".into(), host_port: Some(8081), host_ip: host_ip.into() };
        container(facts).ports.push(port);
        let address = "127.0.0.1:8081".into();
        seen(facts).published = Some(PublishedSeen { address, host_ip: host_ip.into(), answer });
    }

    fn reset() -> Result<(u16, String), Missing> {
        Err(Missing::failed("GET http://127.0.0.1:8081/", Kind::Refused, "connection reset by peer"))
    }

    #[test]
    fn one_that_answers_passes() {
        let verdict = judged(|_| {});
        assert_eq!((verdict.worst(), verdict.gaps.len(), verdict.summary.as_str()), (None, 0, "mitmweb answers"));
        let verdict = judged(|facts| publish(facts, "127.0.0.1", Ok((200, String::new()))));
        assert_eq!(verdict.evidence[1].value, "127.0.0.1:8081 answers");
        assert_eq!(verdict.worst(), None);
    }

    #[test]
    fn a_published_loopback_is_opened_by_a_new_container() {
        let verdict = judged(|facts| {
            publish(facts, "", reset());
            container(facts).detail.as_mut().unwrap().recipe.command_words = 3;
            let Some(Program::Mitmproxy(line)) = &mut container(facts).program else { panic!() };
            line.first = true;
            seen(facts).command_line.first = true;
            seen(facts).options.as_mut().unwrap().web_host = "127.0.0.1".into();
        });
        let finding = &verdict.findings[0];
        assert_eq!(
            finding.summary,
            "the web interface of mitmproxy is published at 127.0.0.1:8081 and listens on 127.0.0.1 of its container only"
        );
        assert!(finding.fixes[0].action.commands()[0].contains("--web-host 0.0.0.0"));
        assert_eq!(verdict.findings.len(), 1, "what nobody reaches is not open to all");
    }

    #[test]
    fn compose_gets_the_whole_command_or_a_person_writes_it() {
        let fix = |other: &[&str]| {
            let mut verdict = judged(|facts| {
                publish(facts, "127.0.0.1", reset());
                let compose =
                    Compose { service: "mitm".into(), files: vec!["/srv/compose.yml".into()], ..Compose::default() };
                container(facts).compose = Some(compose);
                container(facts).detail.as_mut().unwrap().recipe.command_words = 3;
                seen(facts).command_line.first = true;
                seen(facts).command_line.other_set = other.iter().map(|name| (*name).to_owned()).collect();
            });
            verdict.findings.remove(0).fixes.remove(0)
        };
        let command = r#"["mitmweb","--mode","reverse:http://backend:3000","--web-host","0.0.0.0"]"#;
        assert_eq!(fix(&[]).edits[0].text, format!("services:\n  mitm:\n    command: {command}\n"));
        let by_hand = fix(&["web_password"]);
        assert_eq!((by_hand.action, by_hand.edits[0].text.as_str()), (Action::Manual, "--web-host 0.0.0.0"));
    }

    #[test]
    fn what_asks_for_no_password_is_opened_for_this_machine_only() {
        let fix = |version: &str, host_ip: &str, compose: bool, other: &[&str]| {
            let mut verdict = judged(|facts| {
                publish(facts, host_ip, reset());
                seen(facts).version = Some(version.into());
                seen(facts).command_line.first = true;
                seen(facts).command_line.other_set = other.iter().map(|name| (*name).to_owned()).collect();
                let own = container(facts);
                if compose {
                    let files = vec!["/srv/compose.yml".into()];
                    own.compose = Some(Compose { service: "mitm".into(), files, ..Compose::default() });
                }
                let detail = own.detail.as_mut().unwrap();
                detail.recipe.command_words = 3;
                detail.recipe.options = vec![vec!["-p".into(), format!("{host_ip}:8081:8081/tcp")]];
            });
            verdict.findings.remove(0).fixes.remove(0)
        };
        let wide = fix("11.1.0", "0.0.0.0", false, &[]);
        assert!(wide.title.contains("publish it for this machine only: mitmweb 11.1.0 asks for no password"));
        let command = &wide.action.commands()[0];
        assert!(command.contains("-p 127.0.0.1:8081:8081/tcp") && command.contains("--web-host 0.0.0.0"), "{command}");
        let command = fix("12.2.3", "0.0.0.0", false, &[]).action.commands().remove(0);
        assert!(command.contains("-p 0.0.0.0:8081:8081/tcp"), "it asks for a password: {command}");
        let lines = &fix("11.1.0", "0.0.0.0", true, &[]).edits[0].text;
        assert!(lines.ends_with("    ports:\n      - \"127.0.0.1:8081:8081/tcp\"\n"), "{lines}");
        let by_hand = fix("11.1.0", "0.0.0.0", true, &["web_password"]);
        let texts: Vec<&str> = by_hand.edits.iter().map(|edit| edit.text.as_str()).collect();
        assert_eq!(texts, ["--web-host 0.0.0.0", "services:\n  mitm:\n    ports: [\"127.0.0.1:8081:8081\"]\n"]);
    }

    #[test]
    fn another_reason_for_silence_is_not_called_loopback() {
        let verdict = judged(|facts| {
            publish(facts, "127.0.0.1", reset());
            seen(facts).options.as_mut().unwrap().web_host = "0.0.0.0".into();
        });
        assert_eq!(verdict.findings[0].severity, Severity::Warn);
        assert_eq!(
            verdict.findings[0].summary,
            "mitmweb answers inside mitmproxy, and not at 127.0.0.1:8081, where it is published"
        );
    }

    #[test]
    fn a_password_that_was_not_given_is_a_gap_and_a_wrong_one_a_failure() {
        let refused = |kind, tty| {
            judged(move |facts| {
                container(facts).detail.as_mut().unwrap().tty = tty;
                seen(facts).version = Some("12.2.3".into());
                seen(facts).options = Err(Missing::failed("GET /options of mitmproxy", kind, "403"));
            })
        };
        let verdict = refused(Kind::NeedsToken, false);
        assert_eq!(verdict.worst(), None);
        assert!(verdict.gaps[0].reason.contains("the log may not show it yet"), "{}", verdict.gaps[0].reason);
        assert!(refused(Kind::NeedsToken, true).gaps[0].reason.contains("its log shows it behind ?token="));
        let verdict = refused(Kind::WrongToken, false);
        assert_eq!(verdict.findings[0].summary, "mitmproxy does not take the password that the doctor was given");
    }

    #[test]
    fn silence_is_a_gap_and_mitmdump_is_skipped() {
        let verdict = judged(|facts| {
            seen(facts).version = None;
            seen(facts).options = Err(Missing::failed("asking mitmproxy", Kind::Refused, "connection refused"));
        });
        assert!(verdict.gaps[0].reason.starts_with("mitmweb of mitmproxy does not answer at http://127.0.0.1:8081"));
        let verdict = judged(|facts| {
            seen(facts).command_line.interface = Interface::Mitmdump;
            seen(facts).options = Err(Missing::failed("", Kind::Unsupported, ""));
        });
        assert!(verdict.not_applicable.is_some());
    }

    #[test]
    fn an_old_one_that_is_open_to_all_is_a_warning() {
        let open = |version: &str| {
            judged(|facts| {
                publish(facts, "0.0.0.0", Ok((200, String::new())));
                seen(facts).version = Some(version.into());
            })
        };
        assert_eq!(open("10.4.2").findings[0].severity, Severity::Warn);
        assert_eq!(open("10.4.2").findings[0].fixes[0].edits[0].text, "-p 127.0.0.1:8081:8081");
        assert_eq!(open("11.1.2").worst(), None);
        let verdict = judged(|facts| {
            container(facts).network_mode = "host".into();
            seen(facts).place = Place::Host;
            seen(facts).options.as_mut().unwrap().web_host = "0.0.0.0".into();
        });
        assert_eq!(verdict.findings[0].evidence[0].value, "port 8081 of all the host's addresses");
    }

    #[test]
    fn a_route_to_the_interface_needs_an_address_as_host() {
        let routed = |version: &str, host: &str, set: &str| {
            let config = format!(
                r#"{{"apps":{{"http":{{"servers":{{"s":{{"listen":[":80"],"routes":[
                {{"match":[{{"host":["{host}"]}}],"handle":[{{"handler":"reverse_proxy",
                  "headers":{{"request":{{"set":{{{set}}}}}}},"upstreams":[{{"dial":"mitmproxy:8081"}}]}}]}},
                {{"handle":[{{"handler":"reverse_proxy","upstreams":[{{"dial":"mitmproxy:8080"}}]}}]}}]}}}}}}}}}}"#
            );
            judged(move |facts| {
                facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config).unwrap());
                seen(facts).version = Some(version.into());
            })
        };
        let verdict = routed("10.4.2", "mitm.example.com", "");
        assert_eq!(
            verdict.findings[0].summary,
            "mitmweb 10.4.2 refuses the Host mitm.example.com, which caddy sends to its web interface"
        );
        assert!(verdict.findings[0].fixes[0].edits[0].text.contains("header_up Host 127.0.0.1:8081\n"));
        assert_eq!(routed("10.4.2", "mitm.example.com", r#""Host":["127.0.0.1:8081"]"#).worst(), None);
        assert_eq!(routed("12.2.3", "mitm.example.com", "").worst(), None);
        assert_eq!(routed("10.4.2", "localhost", "").worst(), None);
        let sent = r#""Host":["{http.reverse_proxy.upstream.hostport}"]"#;
        assert!(routed("10.4.2", "localhost", sent).findings[0].summary.contains("the Host mitmproxy,"));
    }

    #[test]
    fn no_answer_may_come_later_and_a_password_does_not() {
        let heals = |kind: Kind, running_s: u64| {
            let verdict = judged(|facts| {
                container(facts).detail.as_mut().unwrap().running_s = Some(running_s);
                seen(facts).options = Err(Missing::failed("GET /options", kind, "no"));
                seen(facts).version = Some("12.2.3".into());
            });
            let findings = verdict.findings.iter().map(|finding| finding.outlook == Outlook::MayHeal);
            findings.chain(verdict.gaps.iter().map(|gap| gap.may_heal)).collect::<Vec<_>>()
        };
        assert_eq!((heals(Kind::Refused, 2), heals(Kind::Refused, 3600)), (vec![true], vec![false]));
        assert_eq!(heals(Kind::TimedOut, 3600), [true]);
        for kind in [Kind::NeedsToken, Kind::WrongToken, Kind::Garbage] {
            assert_eq!(heals(kind, 2), [false], "{kind:?}");
        }
        // Who may not look from inside sees no refusal.
        assert_eq!((heals(Kind::Denied, 2), heals(Kind::Denied, 3600)), (vec![true], vec![false]));
    }
}
