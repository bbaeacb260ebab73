use crate::model::{
    Edit, Evidence, Finding, Fix, Gap, Hop, Missing, Part, Path, Paths, Role, Setup, Verdict,
    caddy::Caddies,
    docker::Containers,
    facts::Attempt,
    fix::{Action, ApiAt},
    mitmproxy::{Interface, Mitmproxies, MitmproxySeen, Mode, Target},
    text,
};

check! {
    /// Which Host will the backend see?
    ///
    /// ## What it looks at
    /// The Host header over both hops. Caddy passes it on unless a route sets another (`header_up Host`); from 2.11 on it sends an
    /// upstream that it dials with TLS the upstream's own name, unless a route says otherwise. mitmproxy in
    /// reverse mode replaces it by the name of its target unless `keep_host_header` is on. The option is read from mitmweb, or,
    /// where mitmweb cannot be asked, from the command line. Names after `--set` are compared with the options that this
    /// mitmproxy has: it accepts a misspelt one without a word.
    ///
    /// ## Why it matters
    /// A backend that routes by Host, builds absolute links or checks origins answers 404, or sends the client to a name
    /// that exists only inside the network.
    ///
    /// ## What it does not blame
    /// A target that speaks TLS: there the rewritten Host is what its certificate and its own routing expect. A route of Caddy that
    /// sets the Host to the target's own name.
    ///
    /// ## How to fix it
    /// Switch `keep_host_header` on: at once by the options API, for good with `--set keep_host_header=true` on the command
    /// line.
    id: "keep-host-header",
    group: Mitmproxy,
    after: ["setup-found", "container-health", "mitmweb-api"],
    needs: [Setup, Mitmproxies, Attempt<Paths>, Attempt<Caddies>, Attempt<Containers>],
    run: run,
}

const OPTION: &str = "keep_host_header";

fn run(
    setup: &Setup,
    mitmproxies: &Mitmproxies,
    paths: Result<&Paths, &Missing>,
    caddies: Result<&Caddies, &Missing>,
    containers: Result<&Containers, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Mitmproxy));
    let none = Containers::default();
    let mut reverse = 0;
    let mut is_the_clients = true;
    for part in &setup.mitmproxies {
        let Some(seen) = mitmproxies.named(&part.name) else {
            verdict.gaps.push(Gap::about([&part.name], format!("{} was not asked", part.name)));
            continue;
        };
        verdict.findings.extend(misspelt(seen));
        let modes = seen.modes().0;
        let rewrites = |target: &&Target| matches!(target.scheme.as_str(), "http" | "https" | "http3");
        let targets: Vec<(&Mode, &Target)> = modes
            .iter()
            .filter_map(|mode| mode.target.as_ref().filter(rewrites).map(|target| (mode, target)))
            .collect();
        if targets.is_empty() {
            verdict
                .evidence
                .push(Evidence::new(&part.name, format!("is in mode {}, which rewrites no Host", spec(&modes))));
            continue;
        }
        reverse += 1;
        match keeps(seen) {
            Ok((keeps, how)) => {
                for (mode, target) in targets {
                    let leads = |hop: &Hop| {
                        hop.to.as_ref() == Some(&part.name)
                            && hop.port_inside(containers.unwrap_or(&none)) == Some(mode.listen_port)
                    };
                    let sent = paths.ok().and_then(|paths| Sent::to(paths, caddies.ok(), &part.name, leads));
                    let case = Case { part, seen, keeps, how, sent: sent.as_ref() };
                    is_the_clients &= case.judge(&mut verdict, target);
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
    if !is_the_clients {
        verdict.summary = "every backend sees the Host that is right for it".to_owned();
    }
    verdict
}

fn spec(modes: &[Mode]) -> String {
    text::list(&modes.iter().map(|mode| mode.spec.as_str()).collect::<Vec<_>>())
}

/// The Host on its way to a mitmproxy.
struct Sent<'p> {
    caddy: &'p str,
    /// What the client sends; `None` when that may be any.
    by_client: Option<&'p str>,
    /// What Caddy makes of it; `None` when it passes it on.
    by_caddy: Option<&'p str>,
    /// Whether Caddy does so by itself, since the dial goes over TLS.
    for_tls: bool,
    dial: String,
}

impl<'p> Sent<'p> {
    /// Of the paths to a mitmproxy the first whose Host is changed on the way to a mode, else the first. What leads to another port
    /// of it, its web interface, has a Host of its own.
    fn to(paths: &'p Paths, caddies: Option<&Caddies>, mitmproxy: &str, leads: impl Fn(&Hop) -> bool) -> Option<Self> {
        let read = |path: &'p Path| {
            let upstream = &paths.hops[*path.hops.first()?];
            // Another route may be the one that answers.
            let is_sure = leads(upstream) && !path.undecided;
            let caddy = caddies.and_then(|caddies| caddies.named(&path.caddy));
            let version = caddy.and_then(|own| own.version.as_deref());
            let for_tls = is_sure && upstream.tls && path.sets_host.is_none() && is_2_11(version);
            let named = Some(path.host.as_str()).filter(|host| !host.contains([' ', '*', '{']));
            (upstream.to.as_deref() == Some(mitmproxy)).then(|| Self {
                caddy: &path.caddy,
                by_client: named,
                by_caddy: if for_tls { Some(UPSTREAM) } else { path.sets_host.as_deref().filter(|_| is_sure) },
                for_tls,
                dial: upstream.dial.to_string(),
            })
        };
        let all = || paths.paths.iter().filter_map(read);
        all().find(|own| own.changed().is_some()).or_else(|| all().next())
    }

    /// The Host that leaves Caddy, where it is known to be another than the client's.
    fn changed(&self) -> Option<String> {
        let host = match self.by_caddy? {
            UPSTREAM => self.dial.clone(),
            "{http.reverse_proxy.upstream.host}" => {
                text::host_and_port(&self.dial).map_or_else(|| self.dial.clone(), |(host, _)| host.to_owned())
            }
            host if host.contains('{') => return None,
            host => host.to_owned(),
        };
        (!self.by_client.is_some_and(|own| own.eq_ignore_ascii_case(&host))).then_some(host)
    }
}

const UPSTREAM: &str = "{http.reverse_proxy.upstream.hostport}";

/// From 2.11 on Caddy sets the Host for upstreams that it dials with TLS (caddy#7454).
fn is_2_11(version: Option<&str>) -> bool {
    let mut parts =
        version.unwrap_or_default().trim_start_matches('v').split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (2_u32, 11_u32)
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

struct Case<'c> {
    part: &'c Part,
    seen: &'c MitmproxySeen,
    keeps: bool,
    how: &'static str,
    sent: Option<&'c Sent<'c>>,
}

impl Case<'_> {
    /// False when a backend sees another Host than the client sent, and is to.
    fn judge(&self, verdict: &mut Verdict, target: &Target) -> bool {
        let (name, how) = (&self.part.name, self.how);
        let tls = matches!(target.scheme.as_str(), "https" | "http3");
        let rewritten = match (target.scheme.as_str(), target.port) {
            ("http", 80) | ("https", 443) => target.host.clone(),
            _ => text::join_port(&target.host, target.port),
        };
        let changed = self.sent.and_then(Sent::changed);
        let is_the_targets = changed.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(&rewritten));
        let label = || format!("{name}'s {OPTION}");
        match (self.keeps, tls, changed) {
            (true, _, Some(host)) if is_the_targets => {
                let value = format!("on, {how}; the backend sees {host}, which Caddy's route sets: its own name");
                verdict.evidence.push(Evidence::new(label(), value));
                return false;
            }
            (true, true, _) if self.seen.options.as_ref().is_ok_and(|options| !options.ssl_insecure) => {
                verdict.findings.push(self.kept_for_tls(target, &rewritten));
            }
            (true, _, Some(host)) => verdict.findings.extend(self.set_by_caddy(&host)),
            (true, _, None) => {
                let sets = self.sent.and_then(|sent| sent.by_caddy);
                let value = match sets.filter(|sets| sets.contains('{')) {
                    Some(sets) => format!("on, {how}; the backend sees {sets}, which Caddy's route sets"),
                    None => format!("on, {how}"),
                };
                verdict.evidence.push(Evidence::new(label(), value));
            }
            (false, true, _) => {
                verdict.evidence.push(Evidence::new(
                    "rewritten for TLS",
                    format!("{name} sends {rewritten} as Host, which is what a target that speaks TLS expects"),
                ));
                return false;
            }
            (false, false, Some(_)) if is_the_targets => {
                let value = format!("off, {how}; Caddy's route sets the same Host");
                verdict.evidence.push(Evidence::new(label(), value));
                return false;
            }
            (false, false, _) => {
                let host = self.sent.and_then(|sent| sent.by_client);
                verdict.findings.push(rewrites(self.part, self.seen, &rewritten, how, host));
            }
        }
        true
    }

    fn kept_for_tls(&self, target: &Target, rewritten: &str) -> Finding {
        let (name, seen) = (&self.part.name, self.seen);
        let action = Action::SetOption {
            at: ApiAt::of(self.part, &seen.web),
            option: OPTION,
            value: false.into(),
            password: seen.wants_password(),
        };
        Finding::warn(
            [name],
            format!(
                "{name} keeps the client's Host towards {rewritten}, which speaks TLS: its certificate is checked for that Host"
            ),
        )
        .seen(OPTION, format!("on, {}", self.how))
        .seen("target", format!("{}://{rewritten}", target.scheme))
        .fix(Fix::new("switch keep_host_header off for this target", action))
    }

    /// Caddy's route, or Caddy by itself, sends another Host, and mitmproxy keeps that one.
    fn set_by_caddy(&self, host: &str) -> Option<Finding> {
        let (name, sent) = (&self.part.name, self.sent?);
        let caddy = sent.caddy;
        let client = sent.by_client.map_or_else(|| "what the client sent".to_owned(), str::to_owned);
        let finding = Finding::warn([name, caddy], format!("the backend of {name} sees Host {host}, not {client}"))
            .seen(OPTION, format!("on, {}", self.how));
        if !sent.for_tls {
            let title = format!(
                "let {caddy}'s route to {} set no Host (header_up Host), if the backend is to see the client's",
                sent.dial
            );
            return Some(finding.seen(caddy, "its route sets it").fix(Fix::new(title, Action::Manual)));
        }
        let text = format!("reverse_proxy {} {{\n\theader_up Host {{http.request.hostport}}\n}}\n", sent.dial);
        let edit = Edit { file: format!("{caddy}'s Caddyfile"), language: "caddyfile", text };
        let title = format!("let {caddy} pass the client's Host on to {}", sent.dial);
        let why = "sets it, as 2.11 and newer do for an upstream that is dialled with TLS";
        Some(finding.seen(caddy, why).fix(Fix::new(title, Action::Manual).edit(edit)))
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

/// Names after `--set` that this mitmproxy does not have, where one that it has is near. Which options it has, mitmweb alone tells.
fn misspelt(seen: &MitmproxySeen) -> Vec<Finding> {
    let Ok(options) = &seen.options else { return Vec::new() };
    let version = seen.version.as_deref().unwrap_or("this version");
    let unknown = seen.command_line.other_set.iter().filter(|name| !options.names.contains(name));
    let meant = unknown.filter_map(|name| Some((name, text::nearest(name, options.names.iter().map(String::as_str))?)));
    meant
        .map(|(unknown, meant)| {
            let value = if meant == OPTION { "=true" } else { "=..." };
            let summary = format!(
                "--set {unknown} on {}'s command line is no option; mitmproxy accepts it without a word",
                seen.name
            );
            Finding::warn([&seen.name], summary)
                .seen("options", format!("mitmproxy {version} has {meant}, and no {unknown}"))
                .fix(Fix::new(format!("did you mean --set {meant}{value}?"), Action::Manual))
        })
        .collect()
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
    fn any_misspelt_option_is_found_and_what_is_near_none_is_left_alone() {
        let verdict = judged(|seen| {
            let options = seen.options.as_mut().unwrap();
            options.names.extend(["stream_large_bodies", "view_filter", "web_port"].map(String::from));
            seen.command_line.other_set =
                ["stream_large_body", "flow_detail", "dumper_filter", "my_addon_key"].map(String::from).to_vec();
        });
        assert_eq!(verdict.findings.len(), 1, "{:?}", verdict.findings);
        assert_eq!(verdict.findings[0].fixes[0].title, "did you mean --set stream_large_bodies=...?");
    }

    /// A config in which the route has these settings, and what the check says then of a Caddy of this version.
    fn over_caddy(settings: &str, version: Option<&str>, keep: bool) -> Verdict {
        let config = format!(
            r#"{{"apps":{{"http":{{"servers":{{"s":{{"listen":[":80"],"routes":[{{"match":[{{"host":["api.example.com"]}}],
            "handle":[{{"handler":"reverse_proxy",{settings}"upstreams":[{{"dial":"mitmproxy:8080"}}]}}]}}]}}}}}}}}}}"#
        );
        let mut facts: Facts = example::healthy();
        let caddy = &mut facts.caddies.as_mut().unwrap().0[0];
        caddy.config = Ok(serde_json::from_str(&config).unwrap());
        caddy.version = version.map(String::from);
        with_mode(&mut facts.mitmproxies.as_mut().unwrap().0[0], "reverse:http://backend:3000", keep);
        (CHECK.run)(&Context::new(facts))
    }

    #[test]
    fn the_host_is_followed_over_both_hops() {
        let sets = |host: &str| format!(r#""headers":{{"request":{{"set":{{"Host":["{host}"]}}}}}},"#);
        let verdict = over_caddy(&sets("other.internal"), None, true);
        assert_eq!(
            verdict.findings[0].summary,
            "the backend of mitmproxy sees Host other.internal, not api.example.com"
        );
        for own in ["api.example.com", "{http.request.host}", "{http.vars.host}"] {
            assert_eq!(over_caddy(&sets(own), None, true).worst(), None, "{own}");
        }
        assert_eq!(over_caddy(&sets(UPSTREAM), None, true).worst(), Some(Severity::Warn));
        for keep in [true, false] {
            let verdict = over_caddy(&sets("backend:3000"), None, keep);
            assert_eq!(
                (verdict.worst(), verdict.summary.as_str()),
                (None, "every backend sees the Host that is right for it")
            );
        }
    }

    #[test]
    fn the_host_for_the_web_interface_is_none_for_the_backend() {
        let config = r#"{"apps":{"http":{"servers":{"s":{"listen":[":80"],"routes":[
            {"match":[{"host":["ui.example.com"]}],"handle":[{"handler":"reverse_proxy","headers":{"request":{"set":{
            "Host":["127.0.0.1:8081"]}}},"upstreams":[{"dial":"mitmproxy:8081"}]}]},
            {"match":[{"host":["api.example.com"]}],"handle":[{"handler":"reverse_proxy",
            "upstreams":[{"dial":"mitmproxy:8080"}]}]}]}}}}}"#;
        let mut facts: Facts = example::healthy();
        facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(config).unwrap());
        assert_eq!((CHECK.run)(&Context::new(facts)).worst(), None);
    }

    #[test]
    fn caddy_from_2_11_sets_the_host_of_an_upstream_with_tls() {
        let tls = r#""transport":{"protocol":"http","tls":{}},"#;
        let verdict = over_caddy(tls, Some("v2.11.1"), true);
        assert_eq!(
            verdict.findings[0].summary,
            "the backend of mitmproxy sees Host mitmproxy:8080, not api.example.com"
        );
        assert!(verdict.findings[0].fixes[0].edits[0].text.contains("header_up Host {http.request.hostport}"));
        assert_eq!(over_caddy(tls, Some("v2.10.2"), true).worst(), None);
        assert_eq!(over_caddy(tls, None, true).worst(), None);
        let kept = format!(r#"{tls}"headers":{{"request":{{"set":{{"Host":["{{http.request.hostport}}"]}}}}}},"#);
        assert_eq!(over_caddy(&kept, Some("v2.11.1"), true).worst(), None);
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
