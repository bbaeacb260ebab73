use crate::model::{
    Action, Edit, Evidence, Explains, Finding, Fix, Gap, Part, Place, Role, Setup, Verdict,
    caddy::{Caddies, CaddyConfig, CaddySeen},
    docker::{Container, Containers, is_wide},
    facts::{Attempt, Kind, Missing},
    fix::{self, ApiAt, Change},
    path::listen_port,
    view::{PublishedSeen, Way},
};

check! {
    /// Is Caddy's admin API usable from where its user is?
    ///
    /// ## What it looks at
    /// Whether the admin API answers inside Caddy's own place, and, where its port is published, whether it answers there as
    /// well: to a request like one that curl or a client library sends to `http://127.0.0.1:PORT`. An API that is not
    /// published is read through Caddy's network namespace, and passes.
    ///
    /// ## Why it matters
    /// Routes are switched to mitmproxy and back over this API. Published but bound to the container's own loopback it
    /// accepts the connection and resets it: that the port is open proves nothing. Bound to a named address it refuses every
    /// Host but that one (`host not allowed`).
    ///
    /// ## What it does not blame
    /// That a request does not travel: Caddy serves its routes whether its admin API can be used or not.
    ///
    /// ## What it does not see
    /// From 2.11.1 on Caddy checks the origin of every request that carries `Origin` or `Sec-Fetch-Mode`, and Node's `fetch`
    /// always sends the latter: 403, `client is not allowed to access from origin ''`. The doctor sends neither. A client
    /// like that needs its origin among `origins` of `admin`, and has to send it.
    ///
    /// ## How to fix it
    /// Let it listen on `0.0.0.0:2019` inside the container, and publish the port on 127.0.0.1 only: whoever reaches it may
    /// change everything. In the Caddyfile `{ admin 0.0.0.0:2019 }`, or in the environment `CADDY_ADMIN=0.0.0.0:2019`
    /// (2.6.3 and newer; the config goes before it).
    id: "caddy-admin",
    group: Caddy,
    after: ["setup-found", "container-health", "port-conflict"],
    needs: [Setup, Caddies, Attempt<Containers>],
    run: run,
}

fn run(setup: &Setup, caddies: &Caddies, containers: Result<&Containers, &Missing>) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Caddy));
    let mut planned = 0;
    for part in &setup.caddies {
        let Some(seen) = caddies.named(&part.name) else {
            verdict.gaps.push(Gap::about([&part.name], format!("{} was not asked", part.name)));
            continue;
        };
        if seen.way == Way::Planned {
            let owner = containers.ok().and_then(|all| match &part.place {
                Place::Container(owner) => all.named(owner),
                Place::Host => None,
            });
            before_up(&mut verdict, part, seen, containers.ok(), owner);
            planned += 1;
            continue;
        }
        match &seen.config {
            Ok(config) => {
                verdict.evidence.push(Evidence::new(&part.name, format!("answers at {} ({})", seen.admin, seen.way)));
                let finding = match &seen.published {
                    Some(published) => judge_published(&mut verdict, part, seen, config, published, containers.ok()),
                    None => open_on_host(part, listen(seen, containers.ok())),
                };
                verdict.findings.extend(finding);
            }
            Err(missing) => {
                let may_heal = part.may_answer_later(containers.ok(), missing);
                match refusal(part, seen, missing, containers.ok()) {
                    // Beside one that can be read it may be somebody else's.
                    Some(finding) if !caddies.0.iter().any(|other| other.config.is_ok()) => {
                        verdict.findings.push(finding.may_heal(may_heal));
                    }
                    _ => verdict.gaps.push(Gap::about([&part.name], missing.to_string()).may_heal(may_heal)),
                }
            }
        }
    }
    if planned > 0 && planned == setup.caddies.len() && verdict.findings.is_empty() && verdict.gaps.is_empty() {
        let evidence = std::mem::take(&mut verdict.evidence);
        return Verdict { evidence, ..Verdict::not_applicable(crate::model::before_up::NOTHING_RUNS) };
    }
    verdict.summary = "Caddy's admin API answers".to_owned();
    verdict
}

/// What can be told of the admin API before `up`: where it will listen, and who will get there.
fn before_up(
    verdict: &mut Verdict,
    part: &Part,
    seen: &CaddySeen,
    containers: Option<&Containers>,
    owner: Option<&Container>,
) {
    let name = &part.name;
    let config = match &seen.config {
        Ok(config) => config,
        Err(missing) => {
            verdict.gaps.push(Gap::about([name], missing.to_string()));
            return;
        }
    };
    let own = containers.and_then(|all| all.named(name)).and_then(|own| own.detail.as_ref());
    let variable = own.and_then(|detail| detail.environment("CADDY_ADMIN"));
    let configured = config.admin.as_ref().and_then(|admin| admin.listen.as_deref());
    let listen = configured.or(variable).unwrap_or("localhost:2019").to_owned();
    verdict.evidence.push(Evidence::new(name, format!("its admin API will listen on {listen}")));
    let Some(port) = listen_port(&listen) else { return };
    let Some((ip, host_port)) = owner.and_then(|owner| owner.published(port)) else { return };
    let address = format!("{ip}:{host_port}");
    let host = listen.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
    let everywhere = owner
        .is_some_and(|owner| owner.ports.iter().any(|own| own.host_port == Some(host_port) && is_wide(&own.host_ip)));
    if matches!(host, "localhost" | "::1") || host.starts_with("127.") {
        let finding = Finding::fail(
            [name],
            format!("{name}'s admin API is published at {address}, and listens on {listen} only inside the container"),
        )
        .explaining(Explains::Nothing);
        verdict.findings.push(if everywhere {
            finding.fix(on_loopback(part, &host_port.to_string(), port, containers))
        } else {
            open_up(finding, part, seen, config, port, containers)
        });
    } else if everywhere && is_wide(host) {
        verdict.findings.push(exposed(
            name,
            format!("{name}'s admin API will be open on all interfaces of this machine, and asks for no password"),
            ("published at", format!("0.0.0.0:{host_port}")),
            format!("publish it as 127.0.0.1:{host_port}:{port}"),
        ));
    }
}

/// What a user of the published port sees.
fn judge_published(
    verdict: &mut Verdict,
    part: &Part,
    seen: &CaddySeen,
    config: &CaddyConfig,
    published: &PublishedSeen,
    containers: Option<&Containers>,
) -> Option<Finding> {
    let name = &part.name;
    let (address, port, listen) = (&published.address, seen.admin_port(), listen(seen, containers));
    match &published.answer {
        Ok((403, said)) => Some(
            Finding::fail(
                [name],
                format!("{name}'s admin API is published at {address}, and refuses whoever asks for it there"),
            )
            .explaining(Explains::Nothing)
            .seen(format!("GET http://{address}/"), format!("HTTP 403: {said}"))
            .seen("listens on", listen)
            .fix(origins(config, listen, address)),
        ),
        Ok(_) if is_wide(&published.host_ip) => Some(exposed(
            name,
            format!("{name}'s admin API is open on all interfaces of this machine, and asks for no password"),
            ("published at", format!("{}:{}", any(&published.host_ip), port_of(address))),
            format!("publish it as 127.0.0.1:{}:{port}", port_of(address)),
        )),
        Ok(_) => None,
        // What listens on every address is kept from its user by something else.
        Err(missing) if matches!(missing.kind(), Some(Kind::Refused | Kind::Garbage)) && is_open(listen) => {
            let reason = format!(
                "{name}'s admin API is published at {address} and listens on {listen}, and there came no answer: {}",
                said(missing)
            );
            verdict.gaps.push(Gap::about([name], reason).may_heal(part.may_answer_later(containers, missing)));
            None
        }
        Err(missing) if matches!(missing.kind(), Some(Kind::Refused | Kind::Garbage)) => {
            let finding = Finding::fail(
                [name],
                format!(
                    "{name}'s admin API is published at {address}, and listens on {listen} only inside the container"
                ),
            )
            .explaining(Explains::Nothing)
            .seen(format!("GET http://{address}/"), said(missing))
            .seen("inside the container", format!("it answers at {}", seen.admin));
            Some(if is_wide(&published.host_ip) {
                let bound = format!("{}:{}", any(&published.host_ip), port_of(address));
                finding
                    .seen("beware", format!("published at {bound}: once it is open, everybody may change everything"))
                    .fix(on_loopback(part, port_of(address), port, containers))
            } else {
                open_up(finding, part, seen, config, port, containers)
            })
        }
        // A timeout says nothing about where it listens.
        Err(_) => None,
    }
}

/// What has to come before an API without a password is opened inside the container. Nothing else is offered meanwhile:
/// whoever did both in the wrong order would open it to everybody.
fn on_loopback(part: &Part, host_port: &str, port: u16, containers: Option<&Containers>) -> Fix {
    let publish = format!("127.0.0.1:{host_port}:{port}");
    let title = format!("publish it as {publish} first; then look again, to let it listen on every address inside");
    let owner = match &part.place {
        Place::Container(owner) => containers.and_then(|all| all.named(owner)),
        Place::Host => None,
    };
    match owner {
        Some(owner) => {
            let lines = fix::ports_here(owner, port);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            fix::recreate(owner, title, Change::OnLoopback { port }, &lines)
        }
        None => Fix::new(title, Action::Manual).edit(Edit {
            file: "compose.yml".to_owned(),
            language: "yaml",
            text: format!("ports: [\"{publish}\"]\n"),
        }),
    }
}

fn open_up(
    finding: Finding,
    part: &Part,
    seen: &CaddySeen,
    config: &CaddyConfig,
    port: u16,
    containers: Option<&Containers>,
) -> Finding {
    let listen = format!("0.0.0.0:{port}");
    let lasting =
        Edit { file: "Caddyfile".to_owned(), language: "caddyfile", text: format!("{{\n\tadmin {listen}\n}}\n") };
    let at = ApiAt::of(part, &seen.admin);
    let finding = finding.fix(
        Fix::new(
            format!("let it listen on {listen} now"),
            Action::SetCaddy {
                at,
                config_path: "/config/admin/listen".to_owned(),
                value: serde_json::json!(listen),
                old: config.admin.as_ref().and_then(|admin| admin.listen.as_ref()).map(|old| serde_json::json!(old)),
            },
        )
        .edit(lasting),
    );
    let container = containers.and_then(|all| all.named(&part.name));
    match container.filter(|_| config.admin.is_none() && seen.obeys_variable()) {
        Some(own) => finding.fix(fix::recreate(
            own,
            format!("make {} anew with CADDY_ADMIN={listen}", part.name),
            Change::Environment { name: "CADDY_ADMIN".to_owned(), value: listen.clone() },
            &["environment:", &format!("  CADDY_ADMIN: {listen}")],
        )),
        None => finding,
    }
}

fn origins(config: &CaddyConfig, listen: &str, address: &str) -> Fix {
    let port = port_of(address);
    let mut origins = config.admin.as_ref().and_then(|admin| admin.origins.clone()).unwrap_or_default();
    origins.extend([format!("127.0.0.1:{port}"), format!("localhost:{port}")]);
    let text = format!("{{\n\tadmin {} {{\n\t\torigins {}\n\t}}\n}}\n", listen, origins.join(" "));
    Fix::new(format!("let in who asks for 127.0.0.1:{port} or localhost:{port}"), Action::Manual).edit(Edit {
        file: "Caddyfile".to_owned(),
        language: "caddyfile",
        text,
    })
}

/// A Caddy in the host's place that listens beyond loopback.
fn open_on_host(part: &Part, listen: &str) -> Option<Finding> {
    (part.place == Place::Host && is_open(listen)).then(|| {
        exposed(
            &part.name,
            format!("{}'s admin API is open on all interfaces of this machine, and asks for no password", part.name),
            ("listens on", listen.to_owned()),
            format!("let it listen on localhost:{}", listen_port(listen).unwrap_or(2019)),
        )
    })
}

fn exposed(name: &str, summary: String, seen: (&str, String), title: String) -> Finding {
    Finding::warn([name], summary).seen(seen.0, seen.1).fix(Fix::new(title, Action::Manual))
}

/// It cannot be read at all, and that is the setup's own doing.
fn refusal(part: &Part, seen: &CaddySeen, missing: &Missing, containers: Option<&Containers>) -> Option<Finding> {
    let name = &part.name;
    match missing.kind()? {
        // It listens at an address that has a name, and takes that name for the only Host.
        Kind::Refused | Kind::Unsupported if let Some((published, told)) = refused_as_published(seen) => {
            let (address, port) = (&published.address, seen.admin_port());
            let finding = Finding::fail(
                [name],
                format!("{name}'s admin API is published at {address}, and refuses whoever asks for it there"),
            )
            .explaining(Explains::AllButHops)
            .seen(format!("GET http://{address}/"), format!("HTTP 403: {told}"))
            .seen("inside the container", said(missing));
            Some(if is_wide(&published.host_ip) {
                finding.fix(on_loopback(part, port_of(address), port, containers))
            } else {
                finding.fix(Fix::new("let it listen on every address, where it takes any Host", Action::Manual).edit(
                    Edit {
                        file: "Caddyfile".to_owned(),
                        language: "caddyfile",
                        text: format!("{{\n\tadmin 0.0.0.0:{port}\n}}\n"),
                    },
                ))
            })
        }
        Kind::Status(403) => Some(
            Finding::fail([name], format!("{name}'s admin API lets nobody in who asks for {}", seen.admin))
                .explaining(Explains::AllButHops)
                .seen("answer", said(missing))
                .fix(Fix::new(
                    format!("add {} to its origins", seen.admin.trim_start_matches("http://")),
                    Action::Manual,
                )),
        ),
        Kind::Refused => Some(
            Finding::fail([name], format!("{name}'s admin API is off, or not at {}", seen.admin))
                .explaining(Explains::AllButHops)
                .seen("answer", said(missing))
                .fix(
                    Fix::new("switch it on, or name its address with --caddy http://ADDRESS:PORT", Action::Manual)
                        .edit(Edit {
                            file: "Caddyfile".to_owned(),
                            language: "caddyfile",
                            text: "{\n\tadmin localhost:2019\n}\n".to_owned(),
                        }),
                ),
        ),
        _ => None,
    }
}

/// The published address where somebody answers that this Host is not allowed, and the words of it.
fn refused_as_published(seen: &CaddySeen) -> Option<(&PublishedSeen, &str)> {
    let published = seen.published.as_ref()?;
    match &published.answer {
        Ok((403, told)) if told.contains("not allowed") => Some((published, told)),
        _ => None,
    }
}

fn said(missing: &Missing) -> String {
    match missing.root() {
        Missing::Failed { why, .. } => why.clone(),
        other => other.to_string(),
    }
}

/// Where it listens, as far as its config and its environment tell.
fn listen<'a>(seen: &'a CaddySeen, containers: Option<&'a Containers>) -> &'a str {
    let own = containers.and_then(|all| all.named(&seen.name)).and_then(|own| own.detail.as_ref());
    seen.admin_listen(own.and_then(|detail| detail.environment("CADDY_ADMIN")))
}

/// Whether that is every address.
fn is_open(listen: &str) -> bool {
    let address = listen.strip_prefix("tcp/").unwrap_or(listen);
    address.rsplit_once(':').is_some_and(|(host, _)| is_wide(host.trim_matches(['[', ']'])))
}

fn any(host_ip: &str) -> &str {
    if host_ip.is_empty() { "0.0.0.0" } else { host_ip }
}

fn port_of(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Apply, Context, Facts, Outlook, Severity,
        caddy::Admin,
        docker::{Compose, Port},
        example,
        facts::Known,
        setup::PartKind,
    };

    fn judged(change: impl FnOnce(&mut CaddySeen)) -> Verdict {
        let mut facts = example::healthy();
        change(&mut facts.caddies.as_mut().unwrap().0[0]);
        (CHECK.run)(&Context::new(facts))
    }

    fn published(host_ip: &str, answer: Known<(u16, String)>) -> Option<PublishedSeen> {
        Some(PublishedSeen { address: "127.0.0.1:12019".into(), host_ip: host_ip.into(), answer })
    }

    fn reset() -> Known<(u16, String)> {
        Err(Missing::failed("GET http://127.0.0.1:12019/", Kind::Garbage, "connection closed before message completed"))
    }

    #[test]
    fn one_that_is_not_published_passes() {
        let verdict = judged(|_| {});
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
        assert!(verdict.evidence[0].value.contains("namespace"), "{:?}", verdict.evidence);
    }

    #[test]
    fn one_that_takes_its_own_name_only_refuses_whoever_comes_over_the_published_port() {
        let told = r#"{"error":"host not allowed: 127.0.0.1:12019"}"#;
        let verdict = judged(|seen| {
            seen.config =
                Err(Missing::failed("GET http://127.0.0.1:2019/config/", Kind::Refused, "Connection refused"));
            seen.published = published("127.0.0.1", Ok((403, told.into())));
        });
        let finding = &verdict.findings[0];
        assert_eq!(
            finding.summary,
            "caddy's admin API is published at 127.0.0.1:12019, and refuses whoever asks for it there"
        );
        assert!(finding.fixes[0].edits[0].text.contains("admin 0.0.0.0:2019"));
    }

    #[test]
    fn one_that_is_published_and_on_loopback_is_opened() {
        let verdict = judged(|seen| seen.published = published("127.0.0.1", reset()));
        let finding = &verdict.findings[0];
        assert_eq!(
            finding.summary,
            "caddy's admin API is published at 127.0.0.1:12019, and listens on localhost:2019 only inside the container"
        );
        assert_eq!(finding.fixes.len(), 1, "CADDY_ADMIN is not offered to an unknown version");
        let with_variable = judged(|seen| {
            seen.published = published("127.0.0.1", reset());
            seen.version = Some("2.9.1".into());
        });
        let commands = with_variable.findings[0].fixes[1].action.commands().join("\n");
        assert!(commands.contains("CADDY_ADMIN=0.0.0.0:2019"), "{commands}");
    }

    #[test]
    fn a_refused_host_gets_its_origins() {
        let said = r#"{"error":"host not allowed: 127.0.0.1:12019"}"#;
        let verdict = judged(|seen| {
            seen.published = published("127.0.0.1", Ok((403, said.into())));
            seen.config.as_mut().unwrap().admin = Some(Admin { listen: Some("caddy:2019".into()), ..Admin::default() });
        });
        let text = &verdict.findings[0].fixes[0].edits[0].text;
        assert!(text.contains("admin caddy:2019") && text.contains("origins 127.0.0.1:12019"), "{text}");
    }

    #[test]
    fn one_that_is_published_to_everybody_is_not_opened_before_that_is_mended() {
        for host_ip in ["", "0.0.0.0", "::"] {
            let verdict = judged(|seen| {
                seen.published = published(host_ip, reset());
                seen.version = Some("2.9.1".into());
            });
            let finding = &verdict.findings[0];
            assert_eq!(finding.fixes.len(), 1, "{:?}", finding.fixes);
            assert_ne!(finding.fixes[0].action.apply(), Apply::Safe);
            assert!(finding.fixes[0].title.contains("127.0.0.1:12019:2019 first"), "{}", finding.fixes[0].title);
            let commands = finding.fixes[0].action.commands().join("\n");
            assert!(!commands.contains("/admin/listen") && !commands.contains("CADDY_ADMIN"), "{commands}");
        }
    }

    #[test]
    fn publishing_on_loopback_keeps_the_other_ports() {
        let mut facts = example::healthy();
        let own = &mut facts.containers.as_mut().unwrap().0[0];
        own.ports.push(Port {
            container_port: 2019,
            protocol: "tcp".into(),
            host_port: Some(12019),
            host_ip: "0.0.0.0".into(),
        });
        own.compose = Some(Compose {
            service: "caddy".into(),
            files: vec!["/srv/compose.yml".into()],
            version: "2.27.0".into(),
            ..Compose::default()
        });
        facts.caddies.as_mut().unwrap().0[0].published = published("0.0.0.0", reset());
        let verdict = (CHECK.run)(&Context::new(facts));
        assert_eq!(
            verdict.findings[0].fixes[0].edits[0].text,
            "services:\n  caddy:\n    ports:\n      - \"127.0.0.1:18080:80/tcp\"\n      - \"127.0.0.1:12019:2019/tcp\"\n"
        );
    }

    /// A Caddy of this version with this `CADDY_ADMIN`, on the host's network or published.
    fn with_variable(version: Option<&str>, variable: &str, change: impl FnOnce(&mut Facts)) -> Verdict {
        let mut facts = example::healthy();
        let own = &mut facts.containers.as_mut().unwrap().0[0];
        own.detail.as_mut().unwrap().environment = vec![("CADDY_ADMIN".into(), variable.into())];
        facts.caddies.as_mut().unwrap().0[0].version = version.map(Into::into);
        change(&mut facts);
        (CHECK.run)(&Context::new(facts))
    }

    #[test]
    fn the_variable_opens_it_on_the_hosts_network() {
        let on_host = |facts: &mut Facts| {
            let own = &mut facts.containers.as_mut().unwrap().0[0];
            own.network_mode = "host".into();
            own.networks.clear();
            facts.caddies.as_mut().unwrap().0[0].place = Place::Host;
        };
        let worst = |version, variable| with_variable(version, variable, on_host).worst();
        assert_eq!(worst(Some("2.9.1"), "0.0.0.0:2019"), Some(Severity::Warn));
        assert_eq!(worst(Some("2.9.1"), ":2019"), Some(Severity::Warn));
        assert_eq!(worst(Some("2.9.1"), "localhost:2019"), None);
        assert_eq!((worst(Some("2.6.2"), "0.0.0.0:2019"), worst(None, "0.0.0.0:2019")), (None, None));
        let configured = with_variable(Some("2.9.1"), "0.0.0.0:2019", |facts| {
            on_host(facts);
            let listen = Some("localhost:2019".into());
            let seen = &mut facts.caddies.as_mut().unwrap().0[0];
            seen.config.as_mut().unwrap().admin = Some(Admin { listen, ..Admin::default() });
        });
        assert_eq!(configured.worst(), None, "the config goes before it");
    }

    #[test]
    fn what_listens_on_every_address_by_the_variable_is_not_said_to_be_on_loopback() {
        let asked = |version| {
            with_variable(version, "0.0.0.0:2020", |facts| {
                let seen = &mut facts.caddies.as_mut().unwrap().0[0];
                (seen.admin, seen.published) = ("http://127.0.0.1:2020".into(), published("127.0.0.1", reset()));
            })
        };
        let verdict = asked(Some("2.9.1"));
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 1), "{:?}", verdict.findings);
        // Its version is not known, and it was found where the variable says.
        assert_eq!(asked(None).worst(), None);
        let old = with_variable(Some("2.6.2"), "0.0.0.0:2020", |facts| {
            facts.caddies.as_mut().unwrap().0[0].published = published("127.0.0.1", reset());
        });
        assert!(old.findings[0].summary.ends_with("listens on localhost:2019 only inside the container"));
    }

    #[test]
    fn an_open_one_is_a_warning() {
        let verdict = judged(|seen| seen.published = published("0.0.0.0", Ok((404, String::new()))));
        assert_eq!(verdict.findings[0].severity, Severity::Warn);
        assert_eq!(judged(|seen| seen.published = published("127.0.0.1", Ok((404, String::new())))).worst(), None);
    }

    #[test]
    fn one_that_is_off_fails_and_one_that_is_slow_is_not_known() {
        let missing = |kind| Err(Missing::failed("GET http://127.0.0.1:2019/config/", kind, "no"));
        assert!(judged(|seen| seen.config = missing(Kind::Refused)).findings[0].summary.contains("is off, or not at"));
        let slow = judged(|seen| seen.config = missing(Kind::TimedOut));
        assert_eq!((slow.worst(), slow.gaps.len()), (None, 1));
    }

    #[test]
    fn one_that_refuses_may_still_be_starting_for_a_while() {
        let heals = |kind: Kind, running_s: u64| {
            let mut facts = example::healthy();
            facts.containers.as_mut().unwrap().0[0].detail.as_mut().unwrap().running_s = Some(running_s);
            facts.caddies.as_mut().unwrap().0[0].config = Err(Missing::failed("GET /config/", kind, "no"));
            let verdict = (CHECK.run)(&Context::new(facts));
            verdict.findings.iter().any(|finding| finding.outlook == Outlook::MayHeal)
                || verdict.gaps.iter().any(|gap| gap.may_heal)
        };
        assert!(heals(Kind::Refused, 2) && !heals(Kind::Refused, 3600));
        assert!(heals(Kind::TimedOut, 3600));
        assert!(!heals(Kind::Status(403), 2) && !heals(Kind::Garbage, 2));
        let published = judged(|seen| seen.published = published("127.0.0.1", reset()));
        assert_eq!(published.findings[0].outlook, Outlook::Stays);
    }

    #[test]
    fn a_process_that_listens_elsewhere_has_started() {
        let heals = |ports: Vec<u16>| {
            let part = Part {
                role: Role::Caddy,
                name: "caddy (pid 7)".into(),
                place: Place::Host,
                kind: PartKind::Process { pid: 7, ports },
                how: "a process on the host",
            };
            part.may_answer_later(None, &Missing::failed("GET /config/", Kind::Refused, "no"))
        };
        assert!(heals(Vec::new()) && !heals(vec![80]));
    }
}
