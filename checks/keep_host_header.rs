use crate::model::{
    Edit, Evidence, Finding, Fix, Gap, Hop, Missing, Paths, Role, Setup, Verdict,
    facts::Attempt,
    fix::{Action, ApiAt},
    mitmproxy::{Interface, Mitmproxies, MitmproxySeen, Mode, Target},
    path::HopKind,
    text,
};

check! {
    /// Which Host will the backend see?
    ///
    /// ## What it looks at
    /// The Host header over both hops. Caddy passes it on unless a route sets another (`header_up Host`). mitmproxy in
    /// reverse mode replaces it by the name of its target unless `keep_host_header` is on. The option is read from mitmweb, or,
    /// where mitmweb cannot be asked, from the command line. Names after `--set` are compared with the options that this
    /// mitmproxy has: it accepts a misspelt one without a word.
    ///
    /// ## Why it matters
    /// A backend that routes by Host, builds absolute links or checks origins answers 404, or sends the client to a name
    /// that exists only inside the network.
    ///
    /// ## What it does not blame
    /// A target that speaks TLS: there the rewritten Host is what its certificate and its own routing expect.
    ///
    /// ## How to fix it
    /// Switch `keep_host_header` on: at once by the options API, for good with `--set keep_host_header=true` on the command
    /// line.
    id: "keep-host-header",
    group: Mitmproxy,
    after: ["setup-found", "container-health", "mitmweb-api"],
    needs: [Setup, Mitmproxies, Attempt<Paths>],
    run: run,
}

const OPTION: &str = "keep_host_header";

fn run(setup: &Setup, mitmproxies: &Mitmproxies, paths: Result<&Paths, &Missing>) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Mitmproxy));
    let mut reverse = 0;
    for part in &setup.mitmproxies {
        let Some(seen) = mitmproxies.named(&part.name) else {
            verdict.gaps.push(Gap::about([&part.name], format!("{} was not asked", part.name)));
            continue;
        };
        if let Some(misspelt) = misspelt(seen) {
            verdict.findings.push(misspelt);
        }
        let modes = seen.modes().0;
        let rewrites = |target: &&Target| matches!(target.scheme.as_str(), "http" | "https" | "http3");
        let targets: Vec<&Target> = modes.iter().filter_map(|mode| mode.target.as_ref()).filter(rewrites).collect();
        if targets.is_empty() {
            verdict
                .evidence
                .push(Evidence::new(&part.name, format!("is in mode {}, which rewrites no Host", spec(&modes))));
            continue;
        }
        reverse += 1;
        let upstream = paths.ok().and_then(|paths| {
            paths.hops.iter().find(|hop| hop.kind == HopKind::Upstream && hop.to.as_ref() == Some(&part.name))
        });
        let host = paths.ok().and_then(|paths| host_of(paths, &part.name));
        match keeps(seen) {
            Ok((keeps, how)) => {
                for target in &targets {
                    judge(&mut verdict, part, seen, target, keeps, how, host, upstream);
                }
            }
            Err(missing) => verdict.gaps.push(Gap::about(
                [&part.name],
                format!("whether {} keeps the Host is not known: {missing}", part.name),
            )),
        }
    }
    if reverse == 0 && verdict.findings.is_empty() && verdict.gaps.is_empty() {
        return Verdict::not_applicable("no mitmproxy is in reverse mode");
    }
    verdict.summary = "the backend sees the Host that the client sent".to_owned();
    if verdict.evidence.iter().any(|seen| seen.label == REWRITTEN_FOR_TLS) {
        verdict.summary = "every backend sees the Host that is right for it".to_owned();
    }
    verdict
}

fn spec(modes: &[Mode]) -> String {
    text::list(&modes.iter().map(|mode| mode.spec.as_str()).collect::<Vec<_>>())
}

/// A Host whose path goes through this mitmproxy.
fn host_of<'p>(paths: &'p Paths, mitmproxy: &str) -> Option<&'p str> {
    let through =
        |path: &&crate::model::Path| path.hops.iter().any(|at| paths.hops[*at].to.as_deref() == Some(mitmproxy));
    paths.paths.iter().find(through).map(|path| path.host.as_str()).filter(|host| !host.contains(' '))
}

/// Whether the option is on, and who said so. A mitmweb that was not let in leaves only the command line, and that
/// does not tell what a config file or the options page changed; mitmdump has nothing else to ask.
fn keeps(seen: &MitmproxySeen) -> Result<(bool, &'static str), &Missing> {
    match &seen.options {
        Ok(options) => Ok((options.keep_host_header, "by mitmweb's options")),
        Err(_) if seen.command_line.is_set(OPTION) => Ok((true, "by its command line")),
        Err(_) if seen.command_line.interface != Interface::Mitmweb || seen.is_told_by_its_command() => {
            Ok((false, "by its command line"))
        }
        Err(missing) => Err(missing),
    }
}

const REWRITTEN_FOR_TLS: &str = "rewritten for TLS";

#[expect(clippy::too_many_arguments, reason = "one paragraph of run, kept apart to be read apart")]
fn judge(
    verdict: &mut Verdict,
    part: &crate::model::Part,
    seen: &MitmproxySeen,
    target: &Target,
    keeps: bool,
    how: &str,
    host: Option<&str>,
    upstream: Option<&Hop>,
) {
    let name = &part.name;
    let sent = upstream.and_then(|hop| hop.sets_host.as_deref());
    let tls = matches!(target.scheme.as_str(), "https" | "http3" | "tls" | "quic");
    let rewritten = match (target.scheme.as_str(), target.port) {
        ("http", 80) | ("https", 443) => target.host.clone(),
        _ => text::join_port(&target.host, target.port),
    };
    match (keeps, tls) {
        (true, true) if seen.options.as_ref().is_ok_and(|options| !options.ssl_insecure) => verdict.findings.push(
            Finding::warn([name], format!("{name} keeps the client's Host towards {rewritten}, which speaks TLS: its certificate is checked for that Host"))
                .seen(OPTION, format!("on, {how}"))
                .seen("target", format!("{}://{rewritten}", target.scheme))
                .fix(Fix::new(
                    "switch keep_host_header off for this target",
                    Action::SetOption { at: ApiAt::of(part, &seen.web), option: OPTION, value: false.into(), password: seen.wants_password() },
                )),
        ),
        (true, _) => {
            let value = match sent {
                Some(sent) => format!("on, {how}; the backend sees {sent}, which Caddy's route sets"),
                None => format!("on, {how}"),
            };
            verdict.evidence.push(Evidence::new(format!("{name}'s {OPTION}"), value));
        }
        (false, true) => verdict.evidence.push(Evidence::new(
            REWRITTEN_FOR_TLS,
            format!("{name} sends {rewritten} as Host, which is what a target that speaks TLS expects"),
        )),
        (false, false) if sent.is_some_and(|sent| sent.eq_ignore_ascii_case(&rewritten)) => {
            verdict.evidence.push(Evidence::new(format!("{name}'s {OPTION}"), format!("off, {how}; Caddy's route sets the same Host")));
        }
        (false, false) => verdict.findings.push(rewrites(part, seen, &rewritten, how, host)),
    }
}

fn rewrites(
    part: &crate::model::Part,
    seen: &MitmproxySeen,
    rewritten: &str,
    how: &str,
    host: Option<&str>,
) -> Finding {
    let name = &part.name;
    let sent = host.map_or_else(|| "what the client sent".to_owned(), str::to_owned);
    let finding = Finding::warn([name], format!("the backend of {name} sees Host {rewritten}, not {sent}"))
        .seen(OPTION, format!("off, {how}"));
    let lasting = Edit { file: format!("the command of {name}"), language: "sh", text: format!("--set {OPTION}=true") };
    let action = if seen.options.is_ok() {
        Action::SetOption {
            at: ApiAt::of(part, &seen.web),
            option: OPTION,
            value: true.into(),
            password: seen.wants_password(),
        }
    } else {
        Action::Manual
    };
    finding.fix(Fix::new(format!("let {name} keep the client's Host"), action).edit(lasting))
}

fn misspelt(seen: &MitmproxySeen) -> Option<Finding> {
    let options = seen.options.as_ref().ok()?;
    let unknown = seen.command_line.other_set.iter().find(|name| {
        !options.names.is_empty() && !options.names.contains(name) && text::nearest(name, [OPTION]).is_some()
    })?;
    let version = seen.version.as_deref().unwrap_or("this version");
    Some(
        Finding::warn(
            [&seen.name],
            format!(
                "--set {unknown} on {}'s command line is no option; mitmproxy accepts it without a word",
                seen.name
            ),
        )
        .seen("options", format!("mitmproxy {version} has {OPTION}, and no {unknown}"))
        .fix(Fix::new(format!("did you mean --set {OPTION}=true?"), Action::Manual)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Facts, Severity, example, facts::Kind, mitmproxy::CommandLine};

    fn judged(change: impl FnOnce(&mut MitmproxySeen)) -> Verdict {
        let mut facts: Facts = example::healthy();
        change(&mut facts.mitmproxies.as_mut().unwrap().0[0]);
        (CHECK.run)(&Context::new(facts))
    }

    fn with_mode(seen: &mut MitmproxySeen, mode: &str, keep: bool) {
        let options = seen.options.as_mut().unwrap();
        (options.mode, options.keep_host_header) = (vec![mode.into()], keep);
    }

    #[test]
    fn on_passes() {
        assert_eq!(judged(|_| {}).worst(), None);
    }

    #[test]
    fn off_warns_with_the_host_that_the_backend_sees() {
        let verdict = judged(|seen| with_mode(seen, "reverse:http://backend:3000", false));
        let finding = &verdict.findings[0];
        assert_eq!(finding.severity, Severity::Warn);
        assert_eq!(finding.summary, "the backend of mitmproxy sees Host backend:3000, not api.example.com");
        assert!(finding.fixes[0].action.commands()[0].starts_with("docker exec mitmproxy python3 -c"));
    }

    #[test]
    fn a_target_that_speaks_tls_wants_its_own_name() {
        assert_eq!(judged(|seen| with_mode(seen, "reverse:https://backend", false)).worst(), None);
        assert_eq!(judged(|seen| with_mode(seen, "reverse:https://backend", true)).worst(), Some(Severity::Warn));
    }

    #[test]
    fn a_misspelt_option_is_found() {
        let verdict = judged(|seen| {
            with_mode(seen, "reverse:http://backend:3000", false);
            seen.command_line.other_set = vec!["web_password".into(), "keep-host-header".into()];
        });
        assert!(
            verdict.findings[0].summary.starts_with("--set keep-host-header on mitmproxy's command line is no option")
        );
    }

    #[test]
    fn without_its_token_mitmweb_leaves_a_gap_unless_the_command_line_says_it() {
        let denied = || Err(Missing::failed("GET /options", Kind::NeedsToken, "403"));
        let verdict = judged(|seen| seen.options = denied());
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 1));
        let verdict = judged(|seen| {
            seen.options = denied();
            seen.command_line.set.insert(OPTION.into(), "true".into());
        });
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
    }

    #[test]
    fn mitmdump_is_judged_by_its_command_line() {
        let verdict = judged(|seen| {
            seen.options = Err(Missing::failed("", Kind::Unsupported, "mitmdump has no API"));
            seen.command_line = CommandLine { interface: Interface::Mitmdump, ..seen.command_line.clone() };
        });
        assert_eq!(verdict.worst(), Some(Severity::Warn));
    }
}
