use crate::model::{
    Action, Apply, Evidence, Finding, Fix, Gap, Hop, Missing, Path, Paths, Place, Role, Setup, Verdict,
    caddy::{Caddies, CaddySeen},
    docker::Containers,
    facts::{Attempt, Kind},
    mitmproxy::{Interface, Mitmproxies, MitmproxySeen},
    path::{Dial, HopKind},
    probed::{FlowsSeen, Leg, ProbeAnswer, Probed, RequestSeen},
    route,
    text::{self, shell},
};

check! {
    /// Has traffic been captured?
    ///
    /// ## What it looks at
    /// How many flows every mitmweb of the setup holds, counted by the command `view.properties.length`: loading them
    /// (`/flows`) would hold up the traffic. `view_filter` hides flows from the count, so it is named when it is set. mitmdump
    /// and the console program keep no flows that could be asked for.
    ///
    /// ## With `--probe`
    /// Marked requests are sent straight to mitmproxy, and then through Caddy, and the flows are counted before, between and
    /// after. A count that does not rise is a failure, and where it stops rising, and what was answered, tells at which hop the
    /// request ended:
    /// - Caddy answers 200 with an empty body: no route of it takes this Host.
    /// - Caddy answers, and only the requests straight to mitmproxy were captured: Caddy sends this Host elsewhere.
    /// - A request straight to mitmproxy gets no answer and leaves no flow: its target is down (eager), or it blocks the client.
    ///
    /// The marked requests stay in mitmproxy's list, so the report names them.
    ///
    /// ## Why it matters
    /// It is what mitmproxy was put there for. Without `--probe` none is no failure by itself: perhaps nothing was sent yet.
    ///
    /// ## How to fix it
    /// Send one request through Caddy, with a Host that Caddy routes to mitmproxy, and look again. Where another check fails,
    /// mend that first: with the default `connection_strategy=eager` mitmproxy records no flow when its target is down.
    id: "flows-nonzero",
    group: Mitmproxy,
    after: [
        "setup-found",
        "port-conflict",
        "container-health",
        "shared-network",
        "host-docker-internal",
        "dns-lookup",
        "caddy-listener",
        "caddy-dial",
        "caddy-route",
        "caddy-admin",
        "mitmweb-api",
        "reverse-mode",
        "backend-reachable",
        "capture-filters",
    ],
    needs: [Setup, Mitmproxies, Attempt<Paths>, Attempt<Containers>, Attempt<Probed>, Attempt<Caddies>],
    run: run,
}

fn run(
    setup: &Setup,
    mitmproxies: &Mitmproxies,
    paths: Result<&Paths, &Missing>,
    containers: Result<&Containers, &Missing>,
    probed: Result<&Probed, &Missing>,
    caddies: Result<&Caddies, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Mitmproxy));
    if let Err(missing) = probed
        && *missing != Missing::NotAsked
    {
        verdict.gaps.push(Gap::everything(missing));
    }
    let mut total = 0;
    let mut asked = 0;
    for part in &setup.mitmproxies {
        let Some(seen) = mitmproxies.named(&part.name) else {
            verdict.gaps.push(Gap::about([&part.name], format!("{} was not asked", part.name)));
            continue;
        };
        if seen.command_line.interface != Interface::Mitmweb && seen.flows.is_err() {
            let program = seen.command_line.interface.name();
            verdict
                .evidence
                .push(Evidence::new(&part.name, format!("is {program}, which has no API to ask for flows")));
            continue;
        }
        asked += 1;
        let probe = probed.ok().and_then(|probed| Probe::of(setup, seen, paths.ok(), probed));
        if let Some(count) = probe.and_then(|probe| probe.judge(&mut verdict)) {
            total += count;
            continue;
        }
        if probed.is_ok() && !paths.is_ok_and(|own| own.paths.iter().any(|path| leads_to(Some(own), path, &part.name)))
        {
            let value = format!("none was sent: no path of Caddy leads to the proxy of {}", part.name);
            verdict.evidence.push(Evidence::new("marked requests", value));
        }
        match &seen.flows {
            Ok(0) => verdict.findings.push(none(setup, seen, paths.ok(), containers.ok())),
            Ok(count) => {
                total += count;
                let asks = caddies.ok().zip(paths.ok()).and_then(|(all, paths)| health_checks(all, paths, &part.name));
                let value = match asks {
                    Some(caddy) => {
                        format!("{}, of which any may be a health check of {caddy}: they go through it", flows(*count))
                    }
                    None => flows(*count),
                };
                verdict.evidence.push(Evidence::new(&part.name, value));
            }
            Err(missing) => {
                let reason = format!("the flows of {} could not be counted: {missing}", part.name);
                let may_heal = part.may_answer_later(containers.ok(), missing);
                verdict.gaps.push(Gap::about([&part.name], reason).may_heal(may_heal));
            }
        }
    }
    if asked == 0 && verdict.gaps.is_empty() {
        return Verdict::not_applicable("no mitmweb is there, and mitmdump keeps no flows that could be counted");
    }
    verdict.summary = format!("{} captured", flows(total));
    verdict
}

/// A Caddy whose active health checks go to a mode of this mitmproxy, each of which becomes a flow.
fn health_checks<'c>(caddies: &'c Caddies, paths: &Paths, mitmproxy: &str) -> Option<&'c str> {
    let leads = |caddy: &str, dial: &str| {
        let dial = Dial::read(dial);
        paths.hops.iter().any(|hop| {
            hop.kind == HopKind::Upstream
                && hop.from == caddy
                && Some(&hop.dial) == dial.as_ref()
                && hop.to.as_deref() == Some(mitmproxy)
        })
    };
    let asks = |seen: &&CaddySeen| {
        let proxies = seen.config.as_ref().map(route::proxies).unwrap_or_default();
        let checked = proxies.iter().map(|proxy| proxy.handler).filter(|handler| handler.health_checks);
        checked.into_iter().any(|handler| handler.upstreams.iter().any(|own| leads(&seen.name, &own.dial)))
    };
    caddies.0.iter().find(asks).map(|seen| seen.name.as_str())
}

fn flows(count: u64) -> String {
    if count == 1 { "1 flow".to_owned() } else { format!("{count} flows") }
}

/// What became of the marked requests to one mitmproxy.
struct Probe<'p> {
    setup: &'p Setup,
    seen: &'p MitmproxySeen,
    paths: Option<&'p Paths>,
    counts: &'p FlowsSeen,
    direct: Option<&'p RequestSeen>,
    caddy: Option<&'p RequestSeen>,
}

impl<'p> Probe<'p> {
    /// `None` when no marked request was meant for it.
    fn of(setup: &'p Setup, seen: &'p MitmproxySeen, paths: Option<&'p Paths>, probed: &'p Probed) -> Option<Self> {
        let counts = probed.flows.iter().find(|own| own.mitmproxy == seen.name)?;
        let direct = probed.requests.iter().find(|own| own.leg == Leg::Mitmproxy && own.of == seen.name);
        let all = || paths.into_iter().flat_map(|paths| &paths.paths);
        let leads = |path: &Path| leads_to(paths, path, &seen.name);
        // A route for every Host, or for a wildcard, was sent one that no route names.
        let takes_any = all().any(|path| leads(path) && path.host.contains([' ', '*']));
        let is_for_it = |own: &&RequestSeen| {
            let mut named = all().filter(|path| path.host == own.host).peekable();
            if named.peek().is_some() { named.any(leads) } else { takes_any }
        };
        let caddy = probed.requests.iter().filter(|own| own.leg == Leg::Caddy).find(is_for_it);
        (direct.is_some() || caddy.is_some()).then_some(Self { setup, seen, paths, counts, direct, caddy })
    }

    /// Judges, and says how many flows there are now. `None` when what was sent decides nothing: nothing could be sent through
    /// Caddy (it listens with TLS, or its place cannot be entered), and mitmproxy took what was sent straight to it.
    fn judge(&self, verdict: &mut Verdict) -> Option<u64> {
        let name = &self.seen.name;
        let before = self.counts.before;
        let (between, after) = match (&self.counts.after_direct, &self.counts.after) {
            (Ok(between), Ok(after)) => (*between, *after),
            (Err(missing), _) | (_, Err(missing)) => {
                let reason = format!("the flows of {name} could not be counted after the marked requests: {missing}");
                verdict.gaps.push(Gap::about([name], reason));
                return Some(before);
            }
        };
        let (direct, caddy) = (self.direct.filter(was_sent), self.caddy.filter(was_sent));
        let counts =
            format!("{before} before, {between} after those straight to it, {after} after those through Caddy");
        let finding = if caddy.is_some() && after > between {
            None
        } else if let Some(direct) = direct.filter(|_| between == before) {
            Some(self.not_captured(direct))
        } else if let Some(caddy) = caddy.filter(|caddy| caddy.answer.is_err() || self.is_certain(caddy)) {
            Some(self.ended_before(caddy, direct.is_some()))
        } else if let Some(caddy) = caddy {
            let reason = format!(
                "a marked request for {} through {} left no flow in {name}; the routes for that Host decide by more than the \
                 Host, or lead elsewhere as well, so it may not have been meant to",
                caddy.host, caddy.of
            );
            verdict.gaps.push(Gap::about([name], reason));
            None
        } else {
            let why =
                self.caddy.and_then(|own| own.answer.as_ref().err()).map_or(String::new(), |why| format!(": {why}"));
            verdict.evidence.push(Evidence::new("through Caddy", format!("no marked request could be sent{why}")));
            verdict.evidence.extend(direct.map(|own| Evidence::new("marked requests", self.stay(&[marked(own)]))));
            return None;
        };
        match finding {
            // What is hidden is counted neither before nor after.
            Some(_) if self.hides() => verdict.gaps.push(Gap::about(
                [name],
                format!("whether {name} captured the marked requests cannot be told: its view_filter hides flows from the count"),
            )),
            Some(finding) => {
                let mut finding = finding.seen("flows", counts);
                for party in about(self.setup, self.paths, name) {
                    if finding.hop.is_none() && !finding.about.contains(&party) {
                        finding.about.push(party);
                    }
                }
                verdict.findings.push(finding);
            }
            None => verdict.evidence.push(Evidence::new(name, format!("flows: {counts}"))),
        }
        let marked: Vec<String> = [direct, caddy].into_iter().flatten().map(marked).collect();
        if after > before {
            verdict.evidence.push(Evidence::new("marked requests", self.stay(&marked)));
        }
        Some(after)
    }

    fn stay(&self, marked: &[String]) -> String {
        format!("{}; what was captured stays in the list of {}", text::list(marked), self.seen.name)
    }

    /// A request straight to mitmproxy left no flow.
    fn not_captured(&self, direct: &RequestSeen) -> Finding {
        let name = &self.seen.name;
        let answer = match &direct.answer {
            Ok(answer) => {
                let summary = format!(
                    "{name} answered a marked request and lists no flow of it: something keeps it from being listed"
                );
                return Finding::fail([name], summary).seen("request", marked(direct)).seen("answer", said(answer));
            }
            Err(missing) => missing,
        };
        let eager = self.seen.options.as_ref().is_ok_and(|options| options.connection_strategy != "lazy");
        let events = self.seen.events.as_ref().and_then(|events| events.as_ref().ok());
        let event = events.and_then(|events| events.last());
        let mut finding =
            Finding::fail([name], format!("a marked request straight to {name} got no answer and left no flow"))
                .seen("request", marked(direct))
                .seen("answer", answer.to_string());
        if eager {
            let value = "with connection_strategy eager mitmproxy closes the connection so when its target is down";
            finding = finding.seen("what it may be", value);
        }
        if let Some(event) = event {
            finding = finding.seen("mitmweb's newest error before", event);
        }
        finding
    }

    /// A request through Caddy left no flow, and one straight to mitmproxy did (or was not sent).
    fn ended_before(&self, caddy: &RequestSeen, direct: bool) -> Finding {
        let (name, of, host) = (&self.seen.name, &caddy.of, &caddy.host);
        let upstream = self
            .paths_of(host)
            .find(|path| leads_to(self.paths, path, name))
            .and_then(|path| self.paths?.hops.get(*path.hops.first()?));
        let finding = match &caddy.answer {
            Err(missing) => Finding::fail([of], format!("{of} did not answer a marked request for {host}"))
                .seen("answer", missing.to_string()),
            Ok(answer) => {
                let by_caddy_alone = answer.servers.iter().all(|server| server == "Caddy") && answer.via.is_empty();
                let summary = match answer.status {
                    200 if answer.length == 0 && by_caddy_alone => {
                        format!(
                            "{of} answered a marked request for {host} by itself, 200 and empty: no route of it takes this Host"
                        )
                    }
                    300..400 if by_caddy_alone && answer.location.is_some() => {
                        format!("{of} redirects a marked request for {host} instead of passing it on")
                    }
                    400 if answer.said.as_deref().is_some_and(|said| said.contains("HTTPS server")) => {
                        format!("{of} wants TLS where a marked request for {host} came in plain HTTP")
                    }
                    502..=504 if answer.length == 0 && by_caddy_alone => {
                        format!(
                            "{of} could not pass a marked request for {host} on: {} and an empty body",
                            answer.status
                        )
                    }
                    _ if direct => format!(
                        "{of} sends requests for {host} elsewhere: one straight to {name} was captured, one through {of} was not"
                    ),
                    _ => format!("a marked request for {host} was answered, and {name} captured nothing of it"),
                };
                let finding = Finding::fail([of], summary).seen("answer", said(answer));
                match upstream.filter(|_| matches!(answer.status, 502..=504) && answer.length == 0 && by_caddy_alone) {
                    Some(hop) => finding.on(hop),
                    None => finding,
                }
            }
        };
        finding.seen("request", marked(caddy))
    }

    fn hides(&self) -> bool {
        self.seen.options.as_ref().is_ok_and(|options| options.view_filter.as_ref().is_some_and(|own| !own.is_empty()))
    }

    /// Whether Caddy certainly sends this request here: by its Host alone, and nowhere else.
    fn is_certain(&self, caddy: &RequestSeen) -> bool {
        self.paths_of(&caddy.host).all(|path| !path.undecided && leads_to(self.paths, path, &self.seen.name))
    }

    /// The paths for a Host that a marked request may take, so none to a web interface; those for any other Host, when none
    /// is named so.
    fn paths_of(&self, host: &str) -> impl Iterator<Item = &'p Path> {
        let to_web = |paths: &Paths, path: &Path| path.hops.iter().any(|at| paths.hops[*at].to_web_interface);
        let all = move || {
            let paths = self.paths.into_iter();
            paths.flat_map(move |paths| paths.paths.iter().filter(move |path| !to_web(paths, path)))
        };
        let is_named = all().any(|path| path.host == host);
        all().filter(move |path| if is_named { path.host == host } else { path.host.contains([' ', '*']) })
    }
}

/// Whether it went out at all: what did not says nothing about the setup.
fn was_sent(request: &&RequestSeen) -> bool {
    match &request.answer {
        Ok(_) => true,
        Err(missing) => matches!(missing.kind(), Some(Kind::Refused | Kind::TimedOut | Kind::Garbage)),
    }
}

/// `http://127.0.0.1:18080/.doctor/4f2a (Host api.example.com)`
fn marked(request: &RequestSeen) -> String {
    format!("{} (Host {})", request.url, request.host)
}

/// `502 of Caddy, 0 bytes`
fn said(answer: &ProbeAnswer) -> String {
    let by = if answer.servers.is_empty() { String::new() } else { format!(" of {}", text::list(&answer.servers)) };
    let location = answer.location.as_ref().map(|location| format!(", to {location}")).unwrap_or_default();
    let said = answer.said.as_ref().map(|said| format!(": {said}")).unwrap_or_default();
    format!("{}{by}, {} bytes{location}{said}", answer.status, answer.length)
}

/// Whether the first hop of a path leads to the proxy of this mitmproxy.
fn leads_to(paths: Option<&Paths>, path: &Path, mitmproxy: &str) -> bool {
    let first = path.hops.first().and_then(|at| paths?.hops.get(*at));
    first.is_some_and(|hop| {
        hop.kind == HopKind::Upstream && hop.to.as_deref() == Some(mitmproxy) && !hop.to_web_interface
    })
}

/// Whatever is wrong on the way to it or behind it explains that nothing was captured.
fn about(setup: &Setup, paths: Option<&Paths>, name: &str) -> Vec<String> {
    let on_the_way = paths
        .into_iter()
        .flat_map(Paths::relevant)
        .filter(|hop| hop.to.as_deref() == Some(name) || hop.from == name || hop.to.is_none());
    let mut about = vec![name.to_owned()];
    about.extend(setup.caddies.iter().map(|part| part.name.clone()));
    for end in on_the_way.flat_map(Hop::ends) {
        if !about.contains(&end) {
            about.push(end);
        }
    }
    about
}

fn none(setup: &Setup, seen: &MitmproxySeen, paths: Option<&Paths>, containers: Option<&Containers>) -> Finding {
    let name = &seen.name;
    let path = paths.and_then(|own| own.paths.iter().find(|path| leads_to(paths, path, name)));
    let mut finding = Finding::warn(about(setup, paths, name), format!("{name} has captured nothing yet"));
    if let Ok(options) = &seen.options
        && let Some(filter) = options.view_filter.as_deref().filter(|filter| !filter.is_empty())
    {
        finding = finding.seen("view_filter", format!("{filter}: only flows that match it are counted and listed"));
    }
    if let Some(path) = path
        && let Some(command) = curl(path, containers)
    {
        finding = finding.fix(Fix::new(
            "send one request through the whole path, then look again",
            Action::Command { command, apply: Apply::Manual },
        ));
    }
    finding
}

/// The command that sends a request for this Host to Caddy from this machine.
fn curl(path: &Path, containers: Option<&Containers>) -> Option<String> {
    let (listen, tls) = path.listen?;
    let (ip, port) = entry(&path.caddy, listen, containers)?;
    let host = (!path.host.contains(' ')).then(|| path.host.replacen('*', "www", 1));
    let scheme = if tls { "https" } else { "http" };
    let url = |host: &str| shell(&format!("{scheme}://{}{}", text::join_port(host, port), path.request_path));
    Some(match host {
        Some(host) if tls => {
            format!("curl -ik --resolve {} {}", shell(&format!("{host}:{port}:{ip}")), url(&host))
        }
        Some(host) => format!("curl -i -H {} {}", shell(&format!("Host: {host}")), url(&ip)),
        None => format!("curl -i{} {}", if tls { "k" } else { "" }, url(&ip)),
    })
}

/// Where this machine reaches a listener of Caddy: the published port, else the container's address.
fn entry(caddy: &str, listen: u16, containers: Option<&Containers>) -> Option<(String, u16)> {
    let Some((containers, container)) = containers.and_then(|all| Some((all, all.named(caddy)?))) else {
        return Some(("127.0.0.1".to_owned(), listen));
    };
    let owner = match containers.place_of(container) {
        Place::Host => return Some(("127.0.0.1".to_owned(), listen)),
        Place::Container(owner) => containers.named(&owner)?,
    };
    match owner.published(listen) {
        Some((ip, port)) => Some((ip.to_owned(), port)),
        None => owner.networks.iter().find_map(|attached| attached.ip).map(|ip| (ip.to_string(), listen)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Facts, Severity, example};

    fn judged(change: impl FnOnce(&mut Facts)) -> Verdict {
        let mut facts = example::healthy();
        change(&mut facts);
        (CHECK.run)(&Context::new(facts))
    }

    fn seen(facts: &mut Facts) -> &mut MitmproxySeen {
        &mut facts.mitmproxies.as_mut().unwrap().0[0]
    }

    #[test]
    fn health_checks_of_caddy_are_told_beside_the_count() {
        let value = |health_checks: &str| {
            let config = format!(
                r#"{{"apps":{{"http":{{"servers":{{"s":{{"listen":[":80"],"routes":[{{"handle":[{{"handler":"reverse_proxy",
                "health_checks":{health_checks},"upstreams":[{{"dial":"mitmproxy:8080"}}]}}]}}]}}}}}}}}}}"#
            );
            let mut facts = example::healthy();
            let config: crate::model::caddy::CaddyConfig = serde_json::from_str(&config).unwrap();
            let recorded = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<crate::model::caddy::CaddyConfig>(&recorded).unwrap(), config);
            facts.caddies.as_mut().unwrap().0[0].config = Ok(config);
            let mut verdict = (CHECK.run)(&Context::new(facts));
            verdict.evidence.remove(0).value
        };
        let told = "3 flows, of which any may be a health check of caddy: they go through it";
        assert_eq!(value(r#"{"active":{"uri":"/health","interval":10000000000}}"#), told);
        for none in
            [r#"{"passive":{"max_fails":1}}"#, r#"{"active":{}}"#, r#"{"active":{"uri":"/","port":9000}}"#, "null"]
        {
            assert_eq!(value(none), "3 flows", "{none}");
        }
    }

    #[test]
    fn flows_pass_with_their_number() {
        let verdict = judged(|_| {});
        assert_eq!((verdict.worst(), verdict.summary.as_str()), (None, "3 flows captured"));
    }

    #[test]
    fn none_is_a_warning_with_the_request_to_send() {
        let verdict = judged(|facts| seen(facts).flows = Ok(0));
        let finding = &verdict.findings[0];
        assert_eq!(finding.severity, Severity::Warn);
        assert_eq!(finding.about, ["mitmproxy", "caddy", "backend"]);
        assert_eq!(finding.fixes[0].action.commands(), ["curl -i -H 'Host: api.example.com' http://127.0.0.1:18080/"]);
    }

    #[test]
    fn no_request_is_sent_where_only_the_web_interface_is_dialled() {
        let verdict = judged(|facts| {
            let config = serde_json::to_string(facts.caddies.as_ref().unwrap().0[0].config.as_ref().unwrap()).unwrap();
            let config = config.replace("mitmproxy:8080", "mitmproxy:8081");
            facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config).unwrap());
            (facts.probed, seen(facts).flows) = (Ok(Probed::default()), Ok(0));
        });
        let value = "none was sent: no path of Caddy leads to the proxy of mitmproxy";
        assert_eq!(verdict.evidence, [Evidence::new("marked requests", value)]);
        assert!(verdict.findings[0].fixes.is_empty(), "a request to the web interface is not captured");
    }

    #[test]
    fn an_unpublished_caddy_is_asked_at_its_address() {
        let verdict = judged(|facts| {
            seen(facts).flows = Ok(0);
            facts.containers.as_mut().unwrap().0[0].ports.clear();
        });
        let command = &verdict.findings[0].fixes[0].action.commands()[0];
        assert_eq!(command, "curl -i -H 'Host: api.example.com' http://172.19.0.2:80/");
    }

    #[test]
    fn a_view_filter_is_named() {
        let verdict = judged(|facts| {
            seen(facts).flows = Ok(0);
            seen(facts).options.as_mut().unwrap().view_filter = Some("~u nomatch".into());
        });
        assert_eq!(verdict.findings[0].evidence[0].label, "view_filter");
    }

    /// After marked requests straight to mitmproxy and through Caddy, with these answers and counts.
    fn probed(
        direct: Result<ProbeAnswer, Missing>,
        caddy: Result<ProbeAnswer, Missing>,
        counts: [u64; 3],
        change: impl FnOnce(&mut Facts),
    ) -> Verdict {
        let request = |leg, of: &str, url: &str, answer| RequestSeen {
            leg,
            of: of.into(),
            from: Place::Host,
            url: url.into(),
            host: "api.example.com".into(),
            answer,
            took_us: Vec::new(),
        };
        judged(|facts| {
            let flows = FlowsSeen {
                mitmproxy: "mitmproxy".into(),
                before: counts[0],
                after_direct: Ok(counts[1]),
                after: Ok(counts[2]),
            };
            let requests = vec![
                request(Leg::Mitmproxy, "mitmproxy", "http://mitmproxy:8080/.doctor/1", direct),
                request(Leg::Caddy, "caddy", "http://127.0.0.1:18080/.doctor/2", caddy),
            ];
            facts.probed = Ok(Probed { requests, flows: vec![flows] });
            change(facts);
        })
    }

    fn answer(status: u16, servers: &[&str], length: u64) -> Result<ProbeAnswer, Missing> {
        let servers = servers.iter().map(|own| (*own).to_owned()).collect();
        Ok(ProbeAnswer { status, servers, length, ..ProbeAnswer::default() })
    }

    fn closed() -> Result<ProbeAnswer, Missing> {
        Err(Missing::failed("GET /.doctor", Kind::Refused, "connection closed"))
    }

    #[test]
    fn marked_requests_that_were_captured_pass_and_are_named() {
        let verdict = probed(answer(404, &["nginx"], 9), answer(404, &["Caddy", "nginx"], 9), [0, 1, 2], |_| {});
        assert_eq!((verdict.worst(), verdict.gaps.len(), verdict.summary.as_str()), (None, 0, "2 flows captured"));
        assert_eq!(
            verdict.evidence[1].value,
            "http://mitmproxy:8080/.doctor/1 (Host api.example.com) and http://127.0.0.1:18080/.doctor/2 (Host api.example.com); \
             what was captured stays in the list of mitmproxy"
        );
    }

    #[test]
    fn a_marked_request_that_leaves_no_flow_fails_with_the_hop_where_it_ended() {
        let ok = || answer(404, &["nginx"], 9);
        let summary = |direct, caddy, counts| {
            let verdict = probed(direct, caddy, counts, |_| {});
            let finding = &verdict.findings[0];
            assert_eq!(finding.severity, Severity::Fail);
            finding.summary.clone()
        };
        for (direct, caddy, counts, wanted) in [
            (ok(), closed(), [0, 1, 1], "caddy did not answer a marked request for api.example.com"),
            (
                ok(),
                answer(200, &["Caddy"], 0),
                [0, 1, 1],
                "caddy answered a marked request for api.example.com by itself, 200 and empty: no route of it takes this Host",
            ),
            (
                ok(),
                answer(200, &["Caddy", "nginx"], 9),
                [5, 6, 6],
                "caddy sends requests for api.example.com elsewhere: one straight to mitmproxy was captured, one through caddy was not",
            ),
            (
                closed(),
                answer(502, &["Caddy"], 0),
                [0, 0, 0],
                "a marked request straight to mitmproxy got no answer and left no flow",
            ),
            (
                ok(),
                ok(),
                [0, 0, 0],
                "mitmproxy answered a marked request and lists no flow of it: something keeps it from being listed",
            ),
        ] {
            assert_eq!(summary(direct, caddy, counts), wanted);
        }
        let verdict = probed(ok(), answer(502, &["Caddy"], 0), [0, 1, 1], |_| {});
        assert_eq!(verdict.findings[0].hop.as_deref(), Some("caddy -> mitmproxy:8080"));
    }

    #[test]
    fn a_route_that_decides_by_more_than_the_host_is_not_accused() {
        let config = r#"{"apps":{"http":{"servers":{"s":{"listen":[":80"],"routes":[{"match":[{"host":["api.example.com"],
            "header":{"X":["1"]}}],"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":"mitmproxy:8080"}]}]}]}}}}}"#;
        let verdict = probed(answer(404, &["nginx"], 9), answer(200, &["Caddy"], 0), [0, 1, 1], |facts| {
            facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(config).unwrap());
        });
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 1));
    }

    #[test]
    fn a_request_that_could_not_be_sent_accuses_nobody() {
        let unsent = || Err(Missing::failed("probing caddy", Kind::Unsupported, "it listens with TLS"));
        let verdict = probed(answer(404, &["nginx"], 9), unsent(), [3, 4, 4], |_| {});
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
        assert!(verdict.evidence[0].value.ends_with("it listens with TLS"), "{:?}", verdict.evidence);
        let verdict = probed(unsent(), answer(404, &["Caddy"], 9), [3, 3, 4], |_| {});
        assert_eq!(verdict.worst(), None);
        let verdict = probed(closed(), unsent(), [0, 0, 0], |_| {});
        assert_eq!(
            verdict.findings[0].summary,
            "a marked request straight to mitmproxy got no answer and left no flow"
        );
        let verdict = probed(unsent(), unsent(), [0, 0, 0], |facts| seen(facts).flows = Ok(0));
        assert_eq!(verdict.findings[0].severity, Severity::Warn);
    }

    #[test]
    fn a_mitmproxy_that_was_sent_nothing_is_judged_as_without_a_probe() {
        let verdict = probed(closed(), closed(), [0, 0, 0], |facts| {
            facts.probed.as_mut().unwrap().requests.clear();
        });
        assert_eq!((verdict.worst(), verdict.summary.as_str()), (None, "3 flows captured"));
    }

    #[test]
    fn flows_that_are_hidden_or_not_counted_prove_nothing() {
        let closed_after_nothing = |change: fn(&mut Facts)| probed(closed(), closed(), [0, 0, 0], change);
        let verdict = closed_after_nothing(|facts| {
            seen(facts).options.as_mut().unwrap().view_filter = Some("~u nomatch".into());
        });
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 1));
        let verdict = closed_after_nothing(|facts| {
            facts.probed.as_mut().unwrap().flows[0].after = Err(Missing::failed("POST", Kind::TimedOut, "no answer"));
        });
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 1));
        let verdict =
            judged(|facts| facts.probed = Err(Missing::failed("probing", Kind::Unsupported, "not from here")));
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 1));
    }

    #[test]
    fn a_count_that_could_not_be_had_is_a_gap_and_mitmdump_is_skipped() {
        let failed = || Err(Missing::failed("POST", Kind::NeedsToken, "403"));
        assert_eq!(judged(|facts| seen(facts).flows = failed()).gaps.len(), 1);
        let verdict = judged(|facts| {
            seen(facts).flows = failed();
            seen(facts).command_line.interface = Interface::Mitmdump;
        });
        assert!(verdict.not_applicable.is_some());
    }
}
