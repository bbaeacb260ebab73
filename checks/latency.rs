use crate::model::{
    Action, Asked, Edit, Evidence, Finding, Fix, Gap, Hop, Missing, Paths, Setup, Thresholds, Verdict,
    facts::Attempt,
    fix::ApiAt,
    mitmproxy::{Interface, Mitmproxies, MitmproxySeen},
    path::HopKind,
    probed::{Leg, Probed, RequestSeen},
    text::{self, shell},
};

check! {
    /// How much longer does a request take through Caddy and mitmproxy?
    ///
    /// ## What it looks at
    /// With `--probe` only: the same request, a few times each, straight to the backend, through mitmproxy, and
    /// through Caddy and mitmproxy. Medians are compared, of the time until the answer begins. Where they differ
    /// much, it says which part adds it, and what is known to cost time there: mitmweb where mitmdump would do, a
    /// limit on mitmproxy's processor time, TLS on a hop.
    ///
    /// It warns when the whole path takes over 100 ms longer, or ten times as long and at least 20 ms longer.
    ///
    /// ## Why it matters
    /// mitmproxy is one Python process on one processor: about 10 ms for each request are usual, and more when many
    /// come at once.
    ///
    /// ## Answers that come in pieces
    /// mitmproxy passes an answer on when it has all of it, unless `stream_large_bodies` says otherwise: server-sent
    /// events, long polling and the words of a language model all arrive at the end (5 seconds of events: as one
    /// block after 5 seconds; with `stream_large_bodies=1` the first byte came after 10 ms). Set
    /// `stream_large_bodies=1` where answers stream, and `flush_interval -1` in Caddy; bodies that are streamed are
    /// not kept in the flow.
    ///
    /// ## How to fix it
    /// Send through mitmproxy only what is to be looked at; run mitmdump where nobody looks at flows; give mitmproxy
    /// a whole processor.
    id: "latency",
    group: Performance,
    after: [
        "setup-found", "container-health", "shared-network", "host-docker-internal", "dns-lookup", "proxy-env",
        "caddy-route", "caddy-dial", "caddy-listener", "reverse-mode", "backend-reachable", "capture-filters", "flows-nonzero",
    ],
    needs: [Asked, Attempt<Probed>, Attempt<Setup>, Attempt<Paths>, Attempt<Mitmproxies>],
    run: run,
}

/// In microseconds; less than this is not much, however many times as long it is.
const AT_LEAST: u64 = 20_000;
/// A body of which at least this much came is large: more than that is not read.
const LARGE: u64 = 64_000;

fn run(
    asked: &Asked,
    probed: Result<&Probed, &Missing>,
    setup: Result<&Setup, &Missing>,
    paths: Result<&Paths, &Missing>,
    mitmproxies: Result<&Mitmproxies, &Missing>,
) -> Verdict {
    if !asked.probe {
        return Verdict::not_applicable("measured with --probe only");
    }
    let probed = match probed {
        Ok(probed) => probed,
        Err(missing) => return Verdict::missing(missing),
    };
    let cases =
        Cases { most: &asked.thresholds, probed, setup: setup.ok(), paths: paths.ok(), mitmproxies: mitmproxies.ok() };
    let mut hosts: Vec<&str> = Vec::new();
    for request in &probed.requests {
        if !hosts.contains(&request.host.as_str()) {
            hosts.push(&request.host);
        }
    }
    let mut verdict = Verdict::default();
    let (mut compared, mut not_compared) = (Vec::new(), Vec::new());
    for host in hosts {
        match cases.judge(&mut verdict, host) {
            Some(Ok(summary)) => compared.push(summary),
            Some(Err(reason)) => not_compared.push(reason),
            None => {}
        }
    }
    if compared.is_empty() && verdict.findings.is_empty() && verdict.gaps.is_empty() {
        let reason = if not_compared.is_empty() { "no request was sent".to_owned() } else { not_compared.join("; ") };
        return Verdict { evidence: verdict.evidence, ..Verdict::not_applicable(reason) };
    }
    verdict.evidence.extend(not_compared.into_iter().map(|why| Evidence::new("not compared", why)));
    verdict.summary = compared.join("; ");
    verdict
}

struct Cases<'c> {
    most: &'c Thresholds,
    probed: &'c Probed,
    setup: Option<&'c Setup>,
    paths: Option<&'c Paths>,
    mitmproxies: Option<&'c Mitmproxies>,
}

/// The median of a leg that was answered, in microseconds.
fn median(seen: Option<&RequestSeen>) -> Option<u64> {
    seen.filter(|seen| seen.answer.is_ok())?.median_us()
}

fn status(seen: Option<&RequestSeen>) -> Option<u16> {
    Some(seen?.answer.as_ref().ok()?.status)
}

/// `12.3 ms`
fn ms(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}

/// The command of a mitmweb with mitmdump in its place, which knows no option of the web interface.
fn as_mitmdump(seen: &MitmproxySeen) -> Edit {
    let line = &seen.command_line;
    let modes = seen.modes().0.into_iter().map(|mode| format!(" --mode {}", shell(&mode.spec)));
    let set = line.set.iter().filter(|(name, _)| !name.starts_with("web_"));
    let set = set.map(|(name, value)| format!(" --set {}", shell(&format!("{name}={value}"))));
    let is_whole = !line.unread && line.other_set.is_empty();
    let rest = if is_whole { "" } else { "  # and its other options, but none that begins with web" };
    let text = format!("mitmdump{}{rest}", modes.chain(set).collect::<String>());
    Edit { file: format!("the command of {}, instead of mitmweb", seen.name), language: "sh", text }
}

impl Cases<'_> {
    /// The summary of a comparison that is well; or why nothing could be compared.
    fn judge(&self, verdict: &mut Verdict, host: &str) -> Option<Result<String, String>> {
        let at = |leg| self.probed.at(leg, host);
        let (direct, through, whole) = (at(Leg::Backend), at(Leg::Mitmproxy), at(Leg::Caddy));
        for (leg, seen) in [("straight to", direct), ("through", through), ("through", whole)] {
            if let (Some(seen), Some(us)) = (seen, median(seen)) {
                let value = format!("{}, HTTP {}", ms(us), status(Some(seen)).unwrap_or_default());
                verdict.evidence.push(Evidence::new(format!("{host} {leg} {}", seen.of), value));
            }
        }
        let Some(all_us) = median(whole) else {
            verdict.gaps.push(no_answer(whole, host, "Caddy"));
            return None;
        };
        // A flow count that does not grow says that something else answered, or that a filter hides what came.
        let mitmproxy = through.map(|seen| seen.of.as_str());
        let flows = self.probed.flows.iter().find(|seen| Some(seen.mitmproxy.as_str()) == mitmproxy);
        if let Some(seen) = flows
            && let (Ok(before), Ok(after)) = (&seen.after_direct, &seen.after)
            && after <= before
        {
            return Some(Err(format!("{} lists no flow of what was sent to Caddy for {host}", seen.mitmproxy)));
        }
        let much_more = self.most.latency_ms.saturating_mul(1000);
        let Some(direct_us) = median(direct) else {
            // What takes less in all cannot be that much longer.
            if all_us < AT_LEAST.min(much_more) && median(through).is_some() && status(through) == status(whole) {
                return Some(Ok(format!("{host} takes {} in all", ms(all_us))));
            }
            verdict.gaps.push(no_answer(direct, host, "the backend"));
            return None;
        };
        if status(direct) != status(whole) {
            let code = |seen| status(seen).unwrap_or_default();
            return Some(Err(format!(
                "{host} is answered with {} by the backend itself and with {} through Caddy, \
                 so their times do not compare",
                code(direct),
                code(whole)
            )));
        }
        let more = all_us.saturating_sub(direct_us);
        let summary = format!(
            "{host} takes {} through Caddy and mitmproxy, and {} straight from the backend",
            ms(all_us),
            ms(direct_us)
        );
        let times = self.most.latency_times;
        if more <= much_more && (more < AT_LEAST || all_us < direct_us.saturating_mul(times)) {
            return Some(Ok(summary));
        }
        let about = [through, whole].into_iter().flatten().map(|seen| seen.of.clone());
        let mut finding = Finding::warn(about, summary).seen("more by", ms(more));
        let mut of_mitmproxy = more;
        if let Some(us) = median(through) {
            of_mitmproxy = us.saturating_sub(direct_us);
            finding =
                finding.seen("mitmproxy's part", ms(of_mitmproxy)).seen("Caddy's part", ms(all_us.saturating_sub(us)));
        }
        verdict.findings.push(self.explained(finding, host, mitmproxy, of_mitmproxy >= more / 2, whole));
        None
    }

    /// Adds what is known to cost time, and what would save it where mitmproxy has the larger part.
    fn explained(
        &self,
        mut finding: Finding,
        host: &str,
        mitmproxy: Option<&str>,
        is_mitmproxy: bool,
        whole: Option<&RequestSeen>,
    ) -> Finding {
        let path = self.paths.and_then(|paths| paths.paths.iter().find(|path| path.host == host));
        let hops: Vec<&Hop> = match (self.paths, path) {
            (Some(paths), Some(path)) => path.hops.iter().map(|at| &paths.hops[*at]).collect(),
            _ => Vec::new(),
        };
        let tls: Vec<String> = hops.iter().filter(|hop| hop.tls).map(|hop| hop.id()).collect();
        if !tls.is_empty() {
            finding = finding.seen("TLS", text::list(&tls));
        }
        let seen = mitmproxy.and_then(|name| self.mitmproxies?.named(name));
        let Some(seen) = seen.filter(|_| is_mitmproxy) else { return finding };
        let name = &seen.name;
        finding = finding.seen(name, seen.command_line.interface.name());
        if let Some(Ok(usage)) = &seen.usage {
            if let Some(limit) = usage.cpu_limit {
                finding = finding.seen(format!("{name}'s processor time"), format!("limited to {}", processors(limit)));
            }
            let held = u128::from(usage.throttled_periods);
            if let Some(percent) = (held * 100).checked_div(u128::from(usage.periods)).filter(|percent| *percent >= 5) {
                finding = finding.seen(format!("{name} was held back"), format!("in {percent} % of the time slices"));
                let limit = usage.cpu_limit.map(|limit| format!(" than {}", processors(limit))).unwrap_or_default();
                finding = finding.fix(Fix::new(
                    format!(
                        "give {name} more processor time{limit}: up to 1 helps (--cpus; in compose cpus, or \
                         deploy.resources.limits.cpus)"
                    ),
                    Action::Manual,
                ));
            }
        }
        let is_large = whole.and_then(|seen| seen.answer.as_ref().ok()).is_some_and(|answer| answer.length >= LARGE);
        if is_large && let Some(fix) = self.stream(seen) {
            finding =
                finding.seen("stream_large_bodies", "not set: an answer is passed on when all of it has come").fix(fix);
        }
        if seen.command_line.interface == Interface::Mitmweb {
            let title = format!(
                "where nobody looks at the flows, run mitmdump in {name}: it has no web interface to keep current"
            );
            finding = finding.fix(Fix::new(title, Action::Manual).edit(as_mitmdump(seen)));
        }
        let target = hops.iter().find(|hop| hop.kind == HopKind::Target).map(|hop| hop.leads_to());
        let title = match target {
            Some(target) => format!("let Caddy send to {target} directly what is not to be looked at"),
            None => "let Caddy send to the backend directly what is not to be looked at".to_owned(),
        };
        finding.fix(Fix::new(title, Action::Manual))
    }

    fn stream(&self, seen: &MitmproxySeen) -> Option<Fix> {
        seen.options.as_ref().ok().filter(|options| options.stream_large_bodies.is_none())?;
        let part = self.setup?.part(&seen.name)?;
        let action = Action::SetOption {
            at: ApiAt::of(part, &seen.web),
            option: "stream_large_bodies",
            value: "1m".into(),
            password: seen.wants_password(),
        };
        let lasting = Edit {
            file: format!("the command of {}", seen.name),
            language: "sh",
            text: "--set stream_large_bodies=1m".to_owned(),
        };
        Some(Fix::new(format!("let {} pass on bodies of more than 1 MB as they come", seen.name), action).edit(lasting))
    }
}

/// `0.5 processors`
fn processors(billionths: u64) -> String {
    let hundredths = billionths / 10_000_000;
    let number = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    format!("{} processors", number.trim_end_matches('0').trim_end_matches('.'))
}

fn no_answer(seen: Option<&RequestSeen>, host: &str, whom: &str) -> Gap {
    match seen {
        Some(seen) => {
            let why = seen.answer.as_ref().err().map_or_else(|| "no time was taken".to_owned(), ToString::to_string);
            Gap::about([&seen.of], format!("how long {} takes for {host} is not known: {why}", seen.of))
        }
        None => Gap::about([] as [&str; 0], format!("no request for {host} was sent to {whom}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Context, Facts, Place, Severity,
        docker::Usage,
        example,
        facts::Kind,
        probed::{FlowsSeen, ProbeAnswer},
    };

    fn request(leg: Leg, of: &str, ms: u64) -> RequestSeen {
        RequestSeen {
            leg,
            of: of.into(),
            from: Place::Host,
            url: "http://127.0.0.1:18080/.doctor/1".into(),
            host: "api.example.com".into(),
            answer: Ok(ProbeAnswer { status: 404, ..ProbeAnswer::default() }),
            took_us: vec![ms * 1000, ms * 1000, 900_000],
        }
    }

    /// Straight, through mitmproxy, through both, in milliseconds.
    fn judged(times: [u64; 3], change: impl FnOnce(&mut Facts, &mut Probed)) -> Verdict {
        let mut facts = example::healthy();
        facts.asked.probe = true;
        let [direct, through, whole] = times;
        let mut probed = Probed {
            requests: vec![
                request(Leg::Backend, "backend", direct),
                request(Leg::Mitmproxy, "mitmproxy", through),
                request(Leg::Caddy, "caddy", whole),
            ],
            flows: vec![FlowsSeen { mitmproxy: "mitmproxy".into(), before: 0, after_direct: Ok(3), after: Ok(6) }],
        };
        change(&mut facts, &mut probed);
        facts.probed = Ok(probed);
        (CHECK.run)(&Context::new(facts))
    }

    #[test]
    fn mitmdump_is_written_with_the_modes_of_this_setup() {
        let mut facts = example::healthy();
        let seen = &mut facts.mitmproxies.as_mut().unwrap().0[0];
        let set = [("web_host", "0.0.0.0"), ("keep_host_header", "true")];
        seen.command_line.set = set.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(as_mitmdump(seen).text, "mitmdump --mode reverse:http://backend:3000 --set keep_host_header=true");
        seen.command_line.other_set = vec!["web_password".into()];
        assert!(as_mitmdump(seen).text.ends_with("# and its other options, but none that begins with web"));
    }

    #[test]
    fn it_is_measured_only_when_asked_for() {
        let verdict = (CHECK.run)(&Context::new(example::healthy()));
        assert_eq!(verdict.not_applicable.as_deref(), Some("measured with --probe only"));
    }

    #[test]
    fn a_usual_difference_passes_with_its_numbers() {
        let verdict = judged([2, 11, 12], |_, _| {});
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
        assert_eq!(
            verdict.summary,
            "api.example.com takes 12.0 ms through Caddy and mitmproxy, and 2.0 ms straight from the backend"
        );
        assert_eq!(verdict.evidence[0], Evidence::new("api.example.com straight to backend", "2.0 ms, HTTP 404"));
        // Ten times, and little; twice, and little.
        assert_eq!(judged([1, 15, 20], |_, _| {}).worst(), None);
        assert_eq!(judged([100, 190, 200], |_, _| {}).worst(), None);
    }

    #[test]
    fn a_large_difference_says_what_it_is_made_of() {
        let verdict = judged([200, 295, 301], |facts, _| {
            let seen = &mut facts.mitmproxies.as_mut().unwrap().0[0];
            let cpu_limit = Some(250_000_000);
            seen.usage = Some(Ok(Usage { cpu_limit, periods: 100, throttled_periods: 40, ..Usage::default() }));
        });
        let finding = &verdict.findings[0];
        assert_eq!(
            (finding.severity, finding.about.as_slice()),
            (Severity::Warn, &["mitmproxy".into(), "caddy".into()][..])
        );
        for seen in [
            Evidence::new("mitmproxy's part", "95.0 ms"),
            Evidence::new("Caddy's part", "6.0 ms"),
            Evidence::new("mitmproxy's processor time", "limited to 0.25 processors"),
            Evidence::new("mitmproxy was held back", "in 40 % of the time slices"),
        ] {
            assert!(finding.evidence.contains(&seen), "{seen:?} {:?}", finding.evidence);
        }
        assert_eq!(finding.fixes.len(), 3);
        assert_eq!(finding.fixes[2].title, "let Caddy send to backend:3000 directly what is not to be looked at");
        assert_eq!(judged([2, 20, 22], |_, _| {}).worst(), Some(Severity::Warn));
    }

    #[test]
    fn mitmproxy_is_not_blamed_for_what_caddy_adds() {
        let verdict = judged([2, 10, 210], |_, _| {});
        assert!(verdict.findings[0].fixes.is_empty());
    }

    #[test]
    fn large_answers_can_be_streamed() {
        let verdict = judged([2, 200, 202], |_, probed| {
            probed.requests[2].answer.as_mut().unwrap().length = LARGE;
        });
        let commands = verdict.findings[0].fixes[0].action.commands();
        assert!(commands[0].contains("stream_large_bodies"), "{commands:?}");
    }

    #[test]
    fn different_answers_do_not_compare() {
        let verdict = judged([2, 200, 202], |_, probed| probed.requests[2].answer.as_mut().unwrap().status = 502);
        assert!(verdict.findings.is_empty() && verdict.gaps.is_empty());
        assert!(verdict.not_applicable.unwrap().contains("404 by the backend itself and with 502 through Caddy"));
        let passed_by = judged([2, 200, 202], |_, probed| probed.flows[0].after = Ok(3));
        assert_eq!(
            passed_by.not_applicable.as_deref(),
            Some("mitmproxy lists no flow of what was sent to Caddy for api.example.com")
        );
    }

    #[test]
    fn a_leg_without_an_answer_is_a_gap() {
        let refused = |probed: &mut Probed, at: usize| {
            probed.requests[at].answer = Err(Missing::failed("GET", Kind::Refused, "refused"));
        };
        let verdict = judged([2, 11, 12], |_, probed| refused(probed, 2));
        assert_eq!((verdict.gaps.len(), verdict.gaps[0].about.as_slice()), (1, &["caddy".to_owned()][..]));
        assert_eq!(judged([2, 40, 42], |_, probed| refused(probed, 0)).gaps.len(), 1);
        // It is fast in all, so it is not needed.
        let fast = judged([2, 11, 12], |_, probed| refused(probed, 0));
        assert_eq!((fast.gaps.len(), fast.summary.as_str()), (0, "api.example.com takes 12.0 ms in all"));
    }
}
