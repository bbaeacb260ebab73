use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::model::{
    Action, Edit, Evidence, Explains, Finding, Fix, Gap, Hop, Missing, Part, Paths, Role, Setup, Verdict,
    caddy::{Caddies, CaddyConfig, CaddySeen, Handler, MatcherSet, Route, Server},
    docker::Containers,
    facts::{Asked, Attempt},
    fix::ApiAt,
    mitmproxy::Mitmproxies,
    path::{Dial, HopKind},
    route::{self, End, EndKind, Proxy, Request, Router},
    text,
};

check! {
    /// Does a request for this Host reach a dial that is mitmproxy?
    ///
    /// ## What it looks at
    /// Which route of Caddy answers, by Caddy's own order: servers, matchers, groups, terminal routes, subroutes. For the Hosts
    /// that were asked for (`--host`), else for those whose routes lead to mitmproxy. It also looks for what clients of the
    /// admin API leave behind: two routes with one `@id`, a direct route before the one through mitmproxy, a route behind one
    /// that answers everything, servers that are gone.
    ///
    /// Where mitmproxy stands before Caddy and sends on to it, no route has to lead there, and there is nothing to look at.
    ///
    /// A matcher that cannot be decided from the Host and the path (a header, an expression) is said to be undecided, and
    /// not guessed.
    ///
    /// ## Why it matters
    /// A request that no route matches gets **200 with an empty body**, not 404: tests then say "Unexpected end of JSON
    /// input", and mitmproxy lists nothing. The old guide blamed the network for that; Node's `fetch` drops a `Host` header
    /// that it is given, so the request came for another Host. A route that the admin API appends stands behind all others,
    /// also behind the `file_server` of the image's own Caddyfile, and is never reached. Adding a route whose Host is there
    /// already changes nothing in some clients, so the direct one goes on answering. A PATCH of all servers removes those that it
    /// does not name.
    ///
    /// ## How to fix it
    /// Change the one route: its dial, its place, or its absence. Each command is one call of the admin API, and the way to put
    /// it back is printed with it. What the API changes is lost when Caddy starts again from its Caddyfile (unless it runs
    /// with `--resume`), so the Caddyfile should say it, too.
    id: "caddy-route",
    group: Caddy,
    after: ["setup-found", "container-health", "caddy-admin"],
    needs: [Asked, Setup, Paths, Caddies, Attempt<Mitmproxies>, Attempt<Containers>],
    run: run,
}

fn run(
    asked: &Asked,
    setup: &Setup,
    paths: &Paths,
    caddies: &Caddies,
    mitmproxies: Result<&Mitmproxies, &Missing>,
    containers: Result<&Containers, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Caddy));
    verdict.gaps.extend(setup.gap(Role::Mitmproxy));
    verdict.gaps.extend(paths.gaps());
    let (mitmproxies, containers) = (mitmproxies.ok(), containers.ok());
    let (mut leading, mut straight, mut behind) = (0, 0, 0);
    let mut judges: Vec<Judge<'_>> = Vec::new();
    for part in &setup.caddies {
        let Some(seen) = caddies.named(&part.name) else { continue };
        let Ok(config) = &seen.config else { continue };
        let judge = Judge::new(part, seen, config, setup, paths, mitmproxies);
        leading += judge.leading.len();
        straight += judge.leading.iter().filter(|at| !is_aside(&judge.proxies[**at])).count();
        judges.push(judge);
    }
    for judge in &judges {
        judge.vanished_servers(containers, &mut verdict);
        if let Some(hop) = judge.in_front().filter(|_| judge.leading.is_empty()) {
            behind += 1;
            let value = format!("{} stands before {}, and sees what comes by way of it", hop.from, judge.part.name);
            verdict.evidence.push(Evidence::new(hop.id(), value));
        } else if !asked.hosts.is_empty() {
            for host in &asked.hosts {
                judge.asked_for(host, &mut verdict);
            }
        } else if leading > 0 {
            judge.shadowed(&mut verdict);
        } else if !setup.mitmproxies.is_empty() {
            judge.leads_nowhere(&mut verdict);
        }
        judge.same_ids(&mut verdict);
    }
    if behind > 0 && behind == judges.len() && verdict.findings.is_empty() && verdict.gaps.is_empty() {
        let reason = "mitmproxy stands before Caddy, so no route of Caddy has to lead there";
        return Verdict { evidence: verdict.evidence, ..Verdict::not_applicable(reason) };
    }
    verdict.summary = match leading > 0 && straight == 0 {
        true => "only requests that fail, or whose answer is replaced, reach mitmproxy".to_owned(),
        false => "every Host that was looked at reaches mitmproxy".to_owned(),
    };
    verdict
}

/// Whether a proxy stands in the routes of an error, or in those of an upstream's answer: whether a request gets there is
/// decided by what became of it, and not by its Host.
fn is_aside(proxy: &Proxy<'_>) -> bool {
    let server = format!("/config/apps/http/servers/{}", proxy.server);
    let inside = proxy.at.strip_prefix(&server).unwrap_or_default();
    inside.contains("/errors/routes/") || inside.contains("/handle_response/")
}

/// One Caddy, with what is needed to judge its routes.
struct Judge<'j> {
    part: &'j Part,
    seen: &'j CaddySeen,
    config: &'j CaddyConfig,
    setup: &'j Setup,
    paths: &'j Paths,
    mitmproxies: Option<&'j Mitmproxies>,
    proxies: Vec<Proxy<'j>>,
    /// Those of them that stand in a route of a server's own, by its name and index.
    by_top: BTreeMap<(&'j str, usize), Vec<usize>>,
    /// Those that lead to a mitmproxy, or would if their dial worked.
    leading: Vec<usize>,
    dials: BTreeMap<&'j Dial, Vec<(usize, &'j Hop)>>,
}

impl<'j> Judge<'j> {
    fn new(
        part: &'j Part,
        seen: &'j CaddySeen,
        config: &'j CaddyConfig,
        setup: &'j Setup,
        paths: &'j Paths,
        mitmproxies: Option<&'j Mitmproxies>,
    ) -> Self {
        let proxies = route::proxies(config);
        let mut by_top: BTreeMap<(&str, usize), Vec<usize>> = BTreeMap::new();
        for (index, proxy) in proxies.iter().enumerate() {
            by_top.entry((proxy.server, proxy.top)).or_default().push(index);
        }
        let (dials, leading) = (paths.dials_of(&part.name), Vec::new());
        let mut judge = Self { part, seen, config, setup, paths, mitmproxies, proxies, by_top, leading, dials };
        judge.leading = (0..judge.proxies.len()).filter(|at| judge.leads(judge.proxies[*at].handler)).collect();
        judge
    }

    /// The first of the hops that a proxy dials.
    fn hop(&self, handler: &Handler, wanted: impl Fn(&Hop) -> bool) -> Option<&'j Hop> {
        let dials = route::dials(handler).into_iter().filter_map(|(_, dial)| Dial::read(&dial));
        let hops = dials.filter_map(|dial| self.dials.get(&dial)).flatten().filter(|(_, hop)| wanted(hop));
        hops.min_by_key(|(at, _)| *at).map(|(_, hop)| *hop)
    }

    /// Whether a proxy leads to a mitmproxy, or would if its dial worked.
    fn leads(&self, handler: &Handler) -> bool {
        self.hop(handler, |hop| hop.to_mitmproxy || hop.relevant).is_some()
    }

    /// The proxies in a route of a server's own.
    fn proxies_in(&self, server: &'j str, top: usize) -> impl Iterator<Item = usize> {
        self.by_top.get(&(server, top)).into_iter().flatten().copied()
    }

    fn server(&self, name: &str) -> Option<&'j Server> {
        self.config.servers().get(name)
    }

    /// The routes that lead to mitmproxy: whether a request that they match gets that far.
    fn shadowed(&self, verdict: &mut Verdict) {
        let leading: BTreeSet<&str> = self.leading.iter().map(|at| self.proxies[*at].at.as_str()).collect();
        let routers: BTreeMap<&str, Router<'_>> =
            self.config.servers().iter().map(|(name, server)| (name.as_str(), Router::new(name, server))).collect();
        let has_ids = self.has_ids();
        let mut told: BTreeSet<Evidence> = verdict.evidence.iter().cloned().collect();
        // Where matchers tell nothing of Hosts, proxies are asked about one request by the thousand.
        let mut last: Option<(Request<'_>, &str, Vec<End<'_>>)> = None;
        for (count, proxy) in self.leading.iter().map(|at| &self.proxies[*at]).enumerate() {
            let Some(router) = routers.get(proxy.server) else { continue };
            if is_aside(proxy) {
                let value = "stands in the routes of an error or of an answer, which not every request gets to";
                let seen = Evidence::new(dials_of(proxy.handler).join(", "), value);
                if told.insert(seen.clone()) {
                    verdict.evidence.push(seen);
                }
                continue;
            }
            if routers.values().map(Router::steps).sum::<u64>() > MOST_STEPS {
                let rest = self.leading.len() - count;
                let reason =
                    format!("whether {rest} routes of {} are reached would take too long to find out", self.part.name);
                verdict.gaps.push(Gap::about(self.parties(), reason));
                break;
            }
            let hosts = if proxy.hosts.is_empty() { 1 } else { proxy.hosts.len().min(MOST_HOSTS) };
            let mut judged = false;
            for host in (0..hosts).map(|at| proxy.hosts.get(at).map_or(ANY, String::as_str)) {
                let request = Request { host, path: proxy.sample_path.as_deref(), method: None };
                let ends = match last.take() {
                    Some((before, server, ends)) if before == request && server == proxy.server => ends,
                    _ => router.ends(&request),
                };
                let is_leading = |end: &&End<'_>| leading.contains(end.at.as_str());
                if let Some(end) = ends.iter().find(is_leading) {
                    let dial = dials_of(proxy.handler).join(", ");
                    let how = if end.certain { "" } else { "; a matcher before it cannot be decided" };
                    let value = format!(
                        "{} reaches {dial}{how}{}",
                        self.name_of(proxy.server, Some(proxy.top)),
                        self.remarks(proxy, has_ids)
                    );
                    let seen = Evidence::new(host, value);
                    if told.insert(seen.clone()) {
                        verdict.evidence.push(seen);
                    }
                    if !judged {
                        judged = true;
                        if let Some(spread) = self.spread(proxy.handler, proxy.server, Some(proxy.top)) {
                            verdict.add(spread);
                        }
                    }
                } else if let Some(end) = ends.first().filter(|_| !judged) {
                    judged = true;
                    verdict.add(self.behind(proxy, host, end));
                }
                last = Some((request, proxy.server, ends));
            }
        }
    }

    /// What is no fault of a route, and may surprise: that it has no `@id` where others have one, and paths that it leaves out.
    fn remarks(&self, proxy: &Proxy<'_>, has_ids: bool) -> String {
        let Some(route) = self.server(proxy.server).and_then(|server| server.routes.get(proxy.top)) else {
            return String::new();
        };
        let mut remarks = String::new();
        if has_ids && route.id.is_none() {
            remarks.push_str("; it has no @id to switch it by");
        }
        let paths: Vec<&String> = route.matches.iter().filter_map(|set| set.path.as_ref()).flatten().collect();
        for pattern in &paths {
            let stem = pattern.strip_suffix("/*").filter(|stem| !stem.is_empty() && !stem.contains('*'));
            if let Some(stem) = stem.filter(|stem| !paths.iter().any(|own| own.trim_end_matches('*') == *stem)) {
                remarks = format!("{remarks}; {pattern} does not match {stem} itself");
            }
        }
        remarks
    }

    fn has_ids(&self) -> bool {
        self.config.servers().values().flat_map(|server| &server.routes).any(|route| route.id.is_some())
    }

    /// The hop from a mitmproxy to this Caddy.
    fn in_front(&self) -> Option<&'j Hop> {
        self.paths.hops.iter().find(|hop| hop.kind == HopKind::Target && hop.to.as_ref() == Some(&self.part.name))
    }

    /// Several upstreams, of which some are known to be somebody else than mitmproxy.
    fn spread(&self, handler: &Handler, server: &str, top: Option<usize>) -> Option<Finding> {
        let dials = dials_of(handler);
        let hop = |dial: &String| self.dials.get(&Dial::read(dial)?)?.first().map(|(_, hop)| *hop);
        let leads = |dial: &String| hop(dial).is_some_and(|hop| hop.to_mitmproxy || hop.relevant);
        let (to_mitmproxy, others): (Vec<&String>, Vec<&String>) = dials.iter().partition(|dial| leads(dial));
        let other = others.into_iter().find(|dial| hop(dial).is_some_and(|hop| hop.to.is_some()))?;
        let (route, caddy, all) = (self.name_of(server, top), &self.part.name, text::list(&dials));
        let finding = match (handler.prefers_the_first(), dials.first().is_some_and(leads)) {
            (true, true) => return None,
            (true, false) => Finding::fail(
                self.parties(),
                format!(
                    "{route} of {caddy} takes the first of {all}, so mitmproxy sees a request only when {other} is down"
                ),
            ),
            (false, _) => Finding::warn(
                self.parties(),
                format!("{route} of {caddy} spreads requests over {all}, and mitmproxy sees only some of them"),
            ),
        };
        let title =
            format!("let this route dial {} alone, as long as all traffic is to be seen", text::list(&to_mitmproxy));
        Some(finding.seen("route", self.describe(server, top)).fix(Fix::new(title, Action::Manual)))
    }

    /// A route to mitmproxy that an earlier one answers for.
    fn behind(&self, proxy: &Proxy<'_>, host: &str, end: &End<'_>) -> Finding {
        let (own, caddy) = (self.name_of(proxy.server, Some(proxy.top)), &self.part.name);
        let winner = self.name_of(proxy.server, end.top);
        let does = self.does(&end.kind);
        let for_host = if host == ANY { String::new() } else { format!(" for {host}") };
        let summary = match end.top {
            Some(_) => format!(
                "{winner} of {caddy} {does}{for_host}, so {own} behind it, which leads to mitmproxy, is never reached"
            ),
            None => format!("{own} of {caddy}, which leads to mitmproxy, cannot be reached{for_host}"),
        };
        let mut finding = Finding::fail(self.parties(), summary)
            .seen("the one that answers", self.describe(proxy.server, end.top))
            .seen("the one that leads to mitmproxy", self.describe(proxy.server, Some(proxy.top)));
        match end.top {
            Some(top) if self.is_twin_before(proxy.server, top, proxy.top) => {
                finding = finding.fix(self.remove_twin(proxy.server, top, proxy.top));
            }
            Some(top) if top < proxy.top => {
                let action = Action::MoveRoute {
                    at: self.api(),
                    routes_path: routes_path(proxy.server),
                    from: proxy.top,
                    to: top,
                };
                finding = finding.fix(Fix::new(format!("move {own} before {winner}"), action).edit(order()));
            }
            _ => {
                let what =
                    "the route around it lets an earlier handler answer; its order has to change where it is written";
                finding = finding.fix(Fix::new(what, Action::Manual));
            }
        }
        finding
    }

    /// A Host that was asked for.
    fn asked_for(&self, host: &str, verdict: &mut Verdict) {
        let host = text::host_and_port(host).map_or(host, |(host, _)| host);
        let leading = self.leading.iter().map(|at| &self.proxies[*at]);
        let mut samples: Vec<&str> = leading.filter_map(|proxy| proxy.sample_path.as_deref()).collect();
        samples.push("/");
        samples.dedup();
        let mut answer: Option<(&String, &Server, End<'_>)> = None;
        for (name, server) in self.config.servers() {
            let router = Router::new(name, server);
            for path in &samples {
                for end in router.ends(&Request { host, path: Some(path), method: None }) {
                    if let EndKind::Proxy { handler, .. } = &end.kind
                        && self.leads(handler)
                    {
                        let how = if end.certain { "" } else { "; a matcher before it cannot be decided" };
                        let value =
                            format!("{} reaches {}{how}", self.name_of(name, end.top), dials_of(handler).join(", "));
                        verdict.evidence.push(Evidence::new(host, value));
                        verdict.findings.extend(self.spread(handler, name, end.top));
                        return;
                    }
                    // What some route does says more than that none does.
                    let better = answer.as_ref().is_none_or(|(_, _, old)| {
                        matches!(old.kind, EndKind::Nothing) && !matches!(end.kind, EndKind::Nothing)
                    });
                    if better {
                        answer = Some((name, server, end));
                    }
                }
            }
        }
        let caddy = &self.part.name;
        let Some((name, _, end)) = answer else {
            verdict.findings.push(self.no_server());
            return;
        };
        // Another Caddy of the setup may be the one that serves this Host.
        if matches!(end.kind, EndKind::Nothing)
            && self.paths.paths.iter().any(|path| path.host == host && path.caddy != *caddy)
        {
            return;
        }
        let finding = match &end.kind {
            EndKind::Proxy { handler, .. } => {
                let finding = self.direct(host, name, end.top, handler, &end.at);
                match end.top.and_then(|top| Some((top, self.twin_behind(name, top)?))) {
                    Some((top, twin)) => Finding { fixes: vec![self.remove_twin(name, top, twin)], ..finding },
                    None => finding,
                }
            }
            EndKind::Responds(_) => Finding::fail(
                self.parties(),
                format!(
                    "{} of {caddy} {} for {host}, and mitmproxy never sees the request",
                    self.name_of(name, end.top),
                    self.does(&end.kind)
                ),
            )
            .seen("route", self.describe(name, end.top)),
            EndKind::Nothing => Finding::fail(
                self.parties(),
                format!("no route of {caddy} is for {host}: it answers 200 with an empty body"),
            )
            .seen("Hosts that it has routes for", self.hosts(host)),
        };
        let finding = match (&end.kind, self.dial_of_mitmproxy()) {
            (EndKind::Proxy { .. }, _) => finding,
            (_, Some(dial)) => finding.fix(self.add_route(name, host, &dial)),
            (_, None) => finding,
        };
        verdict.findings.push(finding);
    }

    /// No dial of any Caddy leads to mitmproxy.
    fn leads_nowhere(&self, verdict: &mut Verdict) {
        let caddy = &self.part.name;
        if self.config.servers().is_empty() {
            verdict.findings.push(self.no_server());
            return;
        }
        // A dial that nobody knows is judged as a dial.
        let unknown = self.proxies.iter().any(|proxy| {
            dials_of(proxy.handler).iter().any(|dial| Dial::read(dial).is_none())
                || self.hop(proxy.handler, |hop| hop.to.is_none()).is_some()
        });
        // The backend of mitmproxy, dialled directly.
        let targets: Vec<&Hop> = self.paths.hops.iter().filter(|hop| hop.kind == HopKind::Target).collect();
        let direct = self.proxies.iter().find(|proxy| {
            self.hop(proxy.handler, |hop| {
                targets.iter().any(|target| {
                    hop.dial.port == target.dial.port
                        && (hop.to.is_some() && hop.to == target.to || hop.dial == target.dial)
                })
            })
            .is_some()
        });
        if let Some(proxy) = direct {
            let host = proxy.hosts.first().map_or(ANY, String::as_str);
            verdict.findings.push(self.direct(host, proxy.server, Some(proxy.top), proxy.handler, &proxy.at));
        } else if unknown {
            let reason = format!("no dial of {caddy} is known to lead to mitmproxy");
            verdict.gaps.push(Gap::about(self.parties(), reason));
        } else {
            let mut finding = Finding::fail(self.parties(), format!("no route of {caddy} leads to mitmproxy"));
            for (name, server) in self.config.servers() {
                for top in 0..server.routes.len().min(4) {
                    finding = finding.seen(self.name_of(name, Some(top)), self.describe(name, Some(top)));
                }
            }
            let dial = self.dial_of_mitmproxy().unwrap_or_else(|| self.names_of_mitmproxies());
            let text = format!("http://{} {{\n\treverse_proxy {dial}\n}}\n", self.some_host());
            verdict.findings.push(finding.fix(Fix::new("give it a route to mitmproxy", Action::Manual).edit(Edit {
                file: "Caddyfile".to_owned(),
                language: "caddyfile",
                text,
            })));
        }
    }

    fn direct(&self, host: &str, server: &str, top: Option<usize>, handler: &Handler, at: &str) -> Finding {
        let caddy = &self.part.name;
        let dial = dials_of(handler).join(", ");
        let what = if host == ANY { "every request".to_owned() } else { host.to_owned() };
        let mut finding = Finding::fail(
            self.parties(),
            format!("{} of {caddy} sends {what} straight to {dial}, not to mitmproxy", self.name_of(server, top)),
        )
        .seen("route", self.describe(server, top));
        let hop = self.hop(handler, |_| true);
        if let Some(hop) = hop {
            finding = finding.on(hop);
        }
        match (self.dial_of_mitmproxy(), handler.upstreams.as_slice()) {
            (Some(dial), [only]) => {
                let config_path = format!("{at}/upstreams/0/dial");
                let old = Some(only.dial.clone());
                finding.fix(
                    Fix::new(
                        format!("dial {dial} in this route"),
                        Action::SetDial { at: self.api(), config_path, dial: dial.clone(), old },
                    )
                    .edit(Edit {
                        file: "Caddyfile".to_owned(),
                        language: "caddyfile",
                        text: format!("reverse_proxy {dial}\n"),
                    }),
                )
            }
            _ => finding.fix(Fix::new(
                format!("dial {} there, once both are on one network", self.names_of_mitmproxies()),
                Action::Manual,
            )),
        }
    }

    fn no_server(&self) -> Finding {
        let caddy = &self.part.name;
        Finding::fail(self.parties(), format!("{caddy} has no HTTP server: nothing listens for requests"))
            .fix(Fix::new("load a Caddyfile or a JSON config that has a site", Action::Manual))
    }

    fn add_route(&self, server: &str, host: &str, dial: &str) -> Fix {
        let route = json!({
            "match": [{ "host": [host] }],
            "handle": [{ "handler": "reverse_proxy", "upstreams": [{ "dial": dial }] }],
            "terminal": true,
        });
        Fix::new(
            format!("add a route for {host} to mitmproxy, before all others"),
            Action::AddRoute { at: self.api(), routes_path: routes_path(server), index: 0, route },
        )
        .edit(Edit {
            file: "Caddyfile".to_owned(),
            language: "caddyfile",
            text: format!("http://{host} {{\n\treverse_proxy {dial}\n}}\n"),
        })
    }

    /// Two routes with one `@id`: the API finds the last of them only.
    fn same_ids(&self, verdict: &mut Verdict) {
        let mut seen: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
        for (name, server) in self.config.servers() {
            for (index, route) in server.routes.iter().enumerate() {
                if let Some(id) = &route.id {
                    seen.entry(id).or_default().push((name, index));
                }
            }
        }
        for (id, places) in seen.into_iter().filter(|(_, places)| places.len() > 1) {
            let (server, _) = places[0];
            let ours = places.iter().any(|(name, index)| self.top_leads(name, *index));
            let summary = format!(
                "{} routes of {} have the @id {id}: the admin API finds the last of them only",
                places.len(),
                self.part.name
            );
            let mut finding =
                if ours { Finding::fail(self.parties(), summary) } else { Finding::warn([&self.part.name], summary) };
            finding = finding.explaining(Explains::Nothing);
            for (name, index) in &places {
                finding = finding.seen(self.name_of(name, Some(*index)), self.describe(name, Some(*index)));
            }
            verdict.add(match self.superfluous(server, &places, verdict) {
                Some(fix) => finding.fix(fix),
                None => finding.fix(Fix::new("give one of them another @id", Action::Manual)),
            });
        }
    }

    /// What to do about routes with one `@id`, where one of them can go: never the one that leads to mitmproxy.
    fn superfluous(&self, server: &str, places: &[(&str, usize)], verdict: &Verdict) -> Option<Fix> {
        let (_, first) = places[0];
        let is_twin = |(name, index): &&(&str, usize)| *name == server && self.same_match(server, first, *index);
        let twins: Vec<usize> = places.iter().filter(is_twin).map(|(_, index)| *index).collect();
        if twins.len() != places.len() {
            return None;
        }
        let (goes, fix) = match twins.iter().copied().find(|own| self.is_twin_before(server, first, *own)) {
            Some(twin) => (first, self.remove_twin(server, first, twin)),
            // The first answers, so the last is the one that nothing is lost with.
            None => {
                let last = twins[twins.len() - 1];
                let routes = &self.server(server)?.routes;
                let ends = |handler: &Handler| matches!(handler.handler.as_str(), "reverse_proxy" | "static_response");
                let is_lost = self.top_leads(server, last) && routes[last] != routes[first]
                    || !routes[first].terminal && !routes[first].handle.iter().any(ends);
                if is_lost {
                    return None;
                }
                let title = format!("remove {}, which the first one answers for", self.name_of(server, Some(last)));
                (last, Fix::new(title, self.remove(server, last)))
            }
        };
        // Where others are moved first, the number of this one is another afterwards.
        let shifts = |action: &Action| match action {
            Action::MoveRoute { routes_path: path, .. } | Action::AddRoute { routes_path: path, .. } => {
                *path == routes_path(server)
            }
            _ => false,
        };
        if verdict.findings.iter().flat_map(|finding| &finding.fixes).any(|fix| shifts(&fix.action)) {
            let title = format!("put the routes in order, and then remove {}", self.name_of(server, Some(goes)));
            return Some(Fix::new(title, Action::Manual));
        }
        Some(fix)
    }

    /// Whether the first of two routes answers in the other's place, which leads to mitmproxy: both have one `@id` and the
    /// same matchers.
    fn is_twin_before(&self, server: &str, first: usize, own: usize) -> bool {
        let id = |index: usize| self.server(server).and_then(|server| server.routes.get(index)?.id.as_ref());
        first < own
            && id(first).is_some()
            && id(first) == id(own)
            && self.same_match(server, first, own)
            && self.top_leads(server, own)
            && !self.top_leads(server, first)
    }

    fn twin_behind(&self, server: &str, first: usize) -> Option<usize> {
        let count = self.server(server)?.routes.len();
        (first + 1..count).find(|own| self.is_twin_before(server, first, *own))
    }

    fn remove_twin(&self, server: &str, first: usize, own: usize) -> Fix {
        let (gone, stays) = (self.name_of(server, Some(first)), self.name_of(server, Some(own)));
        let title = format!("remove {gone}, so that {stays} of the same @id, which leads to mitmproxy, answers");
        Fix::new(title, self.remove(server, first))
    }

    fn remove(&self, server: &str, index: usize) -> Action {
        Action::RemoveRoute { at: self.api(), routes_path: routes_path(server), index }
    }

    /// Whether a route of a server's own leads to a mitmproxy.
    fn top_leads(&self, server: &str, top: usize) -> bool {
        self.by_top
            .get(&(server, top))
            .is_some_and(|proxies| proxies.iter().any(|at| self.leading.binary_search(at).is_ok()))
    }

    fn same_match(&self, server: &str, a: usize, b: usize) -> bool {
        self.server(server).is_some_and(|server| server.routes[a].matches == server.routes[b].matches)
    }

    /// A port that is published for a server that is not there any more.
    fn vanished_servers(&self, containers: Option<&Containers>, verdict: &mut Verdict) {
        let caddy = &self.part.name;
        let Some(container) = containers.and_then(|all| all.named(caddy)).filter(|_| !self.config.servers().is_empty())
        else {
            return;
        };
        let shared = containers.is_some_and(|all| {
            all.0.iter().any(|other| other.name != *caddy && all.place_of(other) == self.part.place)
        });
        let served =
            |port: u16| self.config.servers().values().any(|server| server.listen_ports().any(|own| own == port));
        // Publishing 80 and 443 and serving one of them is common, and so is a published admin API.
        let variable = container.detail.as_ref().and_then(|detail| detail.environment("CADDY_ADMIN"));
        let admin = self.seen.admin_ports(variable);
        let lost = container.ports.iter().find(|port| {
            port.protocol == "tcp"
                && port.host_port.is_some()
                && !matches!(port.container_port, 80 | 443)
                && !admin.contains(&port.container_port)
                && !served(port.container_port)
        });
        let any_served = container.ports.iter().any(|port| port.host_port.is_some() && served(port.container_port));
        let Some(lost) = lost.filter(|_| !shared && any_served && self.has_ids()) else { return };
        let names: Vec<&String> = self.config.servers().keys().collect();
        verdict.findings.push(
            Finding::warn(
                [caddy],
                format!("port {} of {caddy} is published, and no server listens there any more", lost.container_port),
            )
            .seen("servers", text::list(&names))
            .seen("perhaps", "a PATCH of all servers (/config/apps/http/servers) with one of them removed the others")
            .fix(
                Fix::new(
                    "load the config that has them again; what was changed over the API since is lost by that",
                    Action::Manual,
                )
                .edit(Edit {
                    file: format!("a shell; {caddy} loads its Caddyfile"),
                    language: "sh",
                    text: format!("docker exec {} caddy reload --config /etc/caddy/Caddyfile\n", text::shell(caddy)),
                }),
            ),
        );
    }

    /// `route 2 (@id api)`
    fn name_of(&self, server: &str, top: Option<usize>) -> String {
        let several = if self.config.servers().len() > 1 { format!(" of server {server}") } else { String::new() };
        let id = |route: &Route| route.id.as_ref().map(|id| format!(" (@id {id})")).unwrap_or_default();
        match top {
            Some(top) => {
                let route = self.server(server).and_then(|server| server.routes.get(top));
                format!("route {top}{}{several}", route.map(id).unwrap_or_default())
            }
            None => format!("no route{several}"),
        }
    }

    /// For whom a route is, and what it does: `api.example.com: through mitmproxy (mitmproxy:8080)`.
    fn describe(&self, server: &'j str, top: Option<usize>) -> String {
        let Some(top) = top else { return "none matches: Caddy answers 200 with an empty body".to_owned() };
        let route = self.server(server).and_then(|server| server.routes.get(top));
        let named = |names: fn(&MatcherSet) -> Option<&Vec<String>>| -> Vec<&str> {
            let sets = route.into_iter().flat_map(|route| &route.matches);
            sets.filter_map(names).flatten().map(String::as_str).collect()
        };
        let (hosts, paths) = (named(|set| set.host.as_ref()), named(|set| set.path.as_ref()));
        let mut whom = if hosts.is_empty() { "every Host".to_owned() } else { hosts.join(", ") };
        if !paths.is_empty() {
            whom = format!("{whom} {}", paths.join(", "));
        }
        let proxies: Vec<String> = self.proxies_in(server, top).map(|at| self.kind_of(&self.proxies[at])).collect();
        let does = match (proxies.as_slice(), route.and_then(|route| route.handle.last())) {
            ([], Some(handler)) => format!("answered by {}", handler.handler),
            ([], None) => "without any handler".to_owned(),
            (proxies, _) => proxies.join("; "),
        };
        format!("{whom}: {does}")
    }

    /// What a proxy leads to: mitmproxy, its web interface, something else, or several of them.
    fn kind_of(&self, proxy: &Proxy<'_>) -> String {
        let mut kinds: Vec<(&str, Vec<String>)> = Vec::new();
        for dial in dials_of(proxy.handler) {
            let kind = self.kind_of_dial(&dial, proxy);
            match kinds.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, dials)) => dials.push(dial),
                None => kinds.push((kind, vec![dial])),
            }
        }
        let tls = if proxy.handler.tls() { ", over TLS" } else { "" };
        let words = kinds.iter().map(|(kind, dials)| format!("{kind} ({}{tls})", dials.join(", ")));
        words.collect::<Vec<_>>().join(" and ")
    }

    fn kind_of_dial(&self, dial: &str, proxy: &Proxy<'_>) -> &'static str {
        let hop = Dial::read(dial).and_then(|dial| Some(self.dials.get(&dial)?.first()?.1));
        let is_web = |hop: &Hop| {
            let seen = hop.to.as_ref().and_then(|to| self.mitmproxies?.named(to));
            seen.is_some_and(|seen| hop.dial.port == Some(seen.command_line.web_port()))
        };
        match hop {
            Some(hop) if hop.to_mitmproxy && is_web(hop) => {
                match proxy.sample_path.as_deref().is_some_and(|path| path.starts_with("/updates")) {
                    true => "mitmweb's websocket",
                    false => "mitmweb's web interface",
                }
            }
            Some(hop) if hop.to_mitmproxy => "through mitmproxy",
            Some(hop) if hop.relevant => "perhaps meant for mitmproxy",
            _ => "direct",
        }
    }

    fn does(&self, kind: &EndKind<'_>) -> String {
        match kind {
            EndKind::Proxy { handler, .. } => format!("proxies to {}", dials_of(handler).join(", ")),
            EndKind::Responds(handler) => format!("answers by {}", handler.handler),
            EndKind::Nothing => "ends the request without an answer".to_owned(),
        }
    }

    /// The Hosts that its routes name, the nearest to the wanted one first.
    fn hosts(&self, wanted: &str) -> String {
        let mut hosts: Vec<&str> = self
            .config
            .servers()
            .values()
            .flat_map(|server| &server.routes)
            .flat_map(|route| &route.matches)
            .filter_map(|set| set.host.as_ref())
            .flatten()
            .map(String::as_str)
            .collect();
        hosts.dedup();
        if let Some(near) = text::nearest(wanted, hosts.iter().copied()).map(str::to_owned) {
            hosts.sort_by_key(|host| *host != near);
        }
        match hosts.len() {
            0 => "none: no route has a host matcher".to_owned(),
            1..=6 => hosts.join(", "),
            many => format!("{} and {} more", hosts[..6].join(", "), many - 6),
        }
    }

    fn some_host(&self) -> String {
        let hosts = self.config.servers().values().flat_map(|server| &server.routes).flat_map(|route| &route.matches);
        hosts.filter_map(|set| set.host.as_ref()).flatten().next().cloned().unwrap_or_else(|| ":80".to_owned())
    }

    /// An address of a mitmproxy that works in Caddy's place: one that it dials already, or a name on a network of both.
    fn dial_of_mitmproxy(&self) -> Option<String> {
        self.paths.to_mitmproxy.get(&self.part.name).cloned()
    }

    fn names_of_mitmproxies(&self) -> String {
        text::list(&self.setup.mitmproxies.iter().map(|part| part.name.as_str()).collect::<Vec<_>>())
    }

    fn parties(&self) -> Vec<String> {
        std::iter::once(self.part).chain(&self.setup.mitmproxies).map(|part| part.name.clone()).collect()
    }

    fn api(&self) -> ApiAt {
        ApiAt::of(self.part, &self.seen.admin)
    }
}

fn dials_of(handler: &Handler) -> Vec<String> {
    route::dials(handler).into_iter().map(|(_, dial)| dial.into_owned()).collect()
}

/// The host that stands for every Host that no matcher names.
const ANY: &str = "any other Host";
/// How many routes and handlers are looked at to follow requests of one Caddy: some ten times what it takes for 10,000 routes
/// that name their Hosts.
const MOST_STEPS: u64 = 5_000_000;
/// How many Hosts of one route are followed.
const MOST_HOSTS: usize = 4;

fn routes_path(server: &str) -> String {
    format!("/config/apps/http/servers/{server}/routes")
}

fn order() -> Edit {
    Edit {
        file: "Caddyfile".to_owned(),
        language: "caddyfile",
        text: "# a site with its own address goes before one that answers everything:\n# give the other one its own address, too, or remove it\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Place, docker::Port, example};

    fn judged(routes: &str, hosts: &[&str]) -> Verdict {
        let mut facts = example::healthy();
        let config =
            format!(r#"{{"apps":{{"http":{{"servers":{{"srv0":{{"listen":[":80"],"routes":{routes}}}}}}}}}}}"#);
        facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config).unwrap());
        facts.asked.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        (CHECK.run)(&Context::new(facts))
    }

    fn proxy(id: &str, dial: &str) -> String {
        format!(
            r#"{{"@id":"{id}","match":[{{"host":["api.example.com"]}}],"terminal":true,"handle":[{{"handler":"reverse_proxy","upstreams":[{{"dial":"{dial}"}}]}}]}}"#
        )
    }

    fn only(verdict: &Verdict) -> &Finding {
        assert_eq!(verdict.findings.len(), 1, "{:?}", verdict.findings);
        &verdict.findings[0]
    }

    const FILES: &str = r#"{"handle":[{"handler":"vars"},{"handler":"file_server"}]}"#;

    #[test]
    fn a_route_that_is_reached_passes() {
        let verdict = judged(&format!("[{},{FILES}]", proxy("api", "mitmproxy:8080")), &[]);
        assert_eq!(verdict.worst(), None);
        assert_eq!(verdict.evidence[0], Evidence::new("api.example.com", "route 0 (@id api) reaches mitmproxy:8080"));
    }

    #[test]
    fn a_route_behind_a_catch_all_is_moved_before_it() {
        let verdict = judged(&format!("[{FILES},{}]", proxy("api", "mitmproxy:8080")), &[]);
        let finding = only(&verdict);
        assert_eq!(
            finding.summary,
            "route 0 of caddy answers by file_server for api.example.com, so route 1 (@id api) behind it, which leads to \
             mitmproxy, is never reached"
        );
        assert!(matches!(finding.fixes[0].action, Action::MoveRoute { from: 1, to: 0, .. }));
    }

    #[test]
    fn a_stale_direct_route_is_named() {
        let routes = format!("[{},{}]", proxy("api_direct", "backend:3000"), proxy("api", "mitmproxy:8080"));
        let verdict = judged(&routes, &[]);
        assert!(only(&verdict).summary.starts_with("route 0 (@id api_direct) of caddy proxies to backend:3000"));
        // A direct route behind the one through mitmproxy changes nothing.
        let routes = format!("[{},{}]", proxy("api", "mitmproxy:8080"), proxy("api_direct", "backend:3000"));
        assert_eq!(judged(&routes, &[]).worst(), None);
    }

    #[test]
    fn a_caddy_that_dials_the_backend_only_is_told_the_dial() {
        let verdict = judged(&format!("[{}]", proxy("api", "backend:3000")), &[]);
        let finding = only(&verdict);
        assert_eq!(
            finding.summary,
            "route 0 (@id api) of caddy sends api.example.com straight to backend:3000, not to mitmproxy"
        );
        assert_eq!(finding.hop.as_deref(), Some("caddy -> backend:3000"));
        assert!(finding.fixes[0].action.commands()[0].contains("mitmproxy:8080"));
    }

    #[test]
    fn a_host_without_a_route_gets_one() {
        let verdict = judged(&format!("[{}]", proxy("api", "mitmproxy:8080")), &["shop.example.com"]);
        let finding = only(&verdict);
        assert_eq!(finding.summary, "no route of caddy is for shop.example.com: it answers 200 with an empty body");
        assert!(matches!(&finding.fixes[0].action, Action::AddRoute { index: 0, .. }));
        assert_eq!(judged(&format!("[{}]", proxy("api", "mitmproxy:8080")), &["API.example.com:80"]).worst(), None);
    }

    #[test]
    fn a_caddy_that_only_serves_files_leads_nowhere() {
        let verdict = judged(&format!("[{FILES}]"), &[]);
        assert_eq!(only(&verdict).summary, "no route of caddy leads to mitmproxy");
        assert_eq!(only(&judged("[]", &[])).summary, "no route of caddy leads to mitmproxy");
    }

    #[test]
    fn a_dial_that_nobody_knows_is_not_called_a_missing_route() {
        let verdict = judged(&format!("[{}]", proxy("api", "{env.TARGET}")), &[]);
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 1));
    }

    #[test]
    fn upstreams_of_which_some_are_not_mitmproxy_are_told() {
        let spread = |policy: &str, dials: [&str; 2]| {
            judged(
                &format!(
                    r#"[{{"match":[{{"host":["api.example.com"]}}],"handle":[{{"handler":"reverse_proxy",{policy}
                    "upstreams":[{{"dial":"{}"}},{{"dial":"{}"}}]}}]}}]"#,
                    dials[0], dials[1]
                ),
                &[],
            )
        };
        let verdict = spread("", ["mitmproxy:8080", "backend:3000"]);
        assert_eq!(verdict.worst(), Some(crate::model::Severity::Warn));
        assert_eq!(
            only(&verdict).summary,
            "route 0 of caddy spreads requests over mitmproxy:8080 and backend:3000, and mitmproxy sees only some of them"
        );
        // One behind mitmproxy that takes over when it is down is how it should be; the other way round nothing is seen.
        let first = r#""load_balancing":{"selection_policy":{"policy":"first"}},"#;
        assert_eq!(spread(first, ["mitmproxy:8080", "backend:3000"]).worst(), None);
        let verdict = spread(first, ["backend:3000", "mitmproxy:8080"]);
        assert!(only(&verdict).summary.ends_with("mitmproxy sees a request only when backend:3000 is down"));
        // Who is not known is not accused.
        assert_eq!(spread("", ["mitmproxy:8080", "elsewhere.example:3000"]).worst(), None);
    }

    #[test]
    fn two_routes_with_one_id_lose_the_second() {
        let routes = format!("[{},{}]", proxy("api", "mitmproxy:8080"), proxy("api", "backend:3000"));
        let verdict = judged(&routes, &[]);
        let finding = only(&verdict);
        assert!(finding.summary.contains("2 routes of caddy have the @id api"), "{}", finding.summary);
        assert!(matches!(finding.fixes[0].action, Action::RemoveRoute { index: 1, .. }));
        assert_eq!(finding.evidence[1].value, "api.example.com: direct (backend:3000)");
    }

    /// The routes that the first fixes take out, each once.
    fn removed(verdict: &Verdict) -> Vec<usize> {
        let fixes = verdict.findings.iter().map(|finding| &finding.fixes[0].action);
        let mut indices: Vec<usize> = fixes
            .map(|action| match action {
                Action::RemoveRoute { index, .. } => *index,
                other => panic!("{other:?}"),
            })
            .collect();
        indices.dedup();
        indices
    }

    #[test]
    fn of_two_routes_with_one_id_the_one_to_mitmproxy_stays() {
        let routes = format!("[{},{}]", proxy("api", "backend:3000"), proxy("api", "mitmproxy:8080"));
        for hosts in [&[][..], &["api.example.com"]] {
            let verdict = judged(&routes, hosts);
            assert_eq!(verdict.findings.len(), 2, "{:?}", verdict.findings);
            assert_eq!(removed(&verdict), [0], "one route goes, and nothing else is done to any");
        }
        // Two that are the same are one too many; of two that lead there by other ways none is.
        let same = format!("[{0},{0}]", proxy("api", "mitmproxy:8080"));
        assert_eq!(removed(&judged(&same, &[])), [1]);
        let other = format!("[{},{}]", proxy("api", "mitmproxy:8080"), proxy("api", "172.20.0.2:8080"));
        assert_eq!(only(&judged(&other, &[])).fixes[0].action, Action::Manual);
    }

    #[test]
    fn routes_with_one_id_wait_for_those_that_are_moved() {
        let routes = format!("[{FILES},{},{}]", proxy("api", "backend:3000"), proxy("api", "mitmproxy:8080"));
        let verdict = judged(&routes, &[]);
        let actions: Vec<&Action> = verdict.findings.iter().map(|finding| &finding.fixes[0].action).collect();
        assert!(matches!(actions[..], [Action::MoveRoute { from: 2, to: 0, .. }, Action::Manual]), "{actions:?}");
    }

    #[test]
    fn undecided_matchers_are_said_and_not_blamed() {
        let routes = format!(
            r#"[{{"match":[{{"header":{{"X":["1"]}}}}],"handle":[{{"handler":"static_response"}}]}},{}]"#,
            proxy("api", "mitmproxy:8080")
        );
        let verdict = judged(&routes, &[]);
        assert_eq!(verdict.worst(), None);
        assert!(verdict.evidence[0].value.ends_with("cannot be decided"), "{:?}", verdict.evidence);
    }

    #[test]
    fn routes_of_errors_and_of_answers_are_not_called_unreachable() {
        let proxy = r#"{"handler":"reverse_proxy","upstreams":[{"dial":"mitmproxy:8080"}]}"#;
        let with = |server: &str| {
            let mut facts = example::healthy();
            let config = format!(r#"{{"apps":{{"http":{{"servers":{{"srv0":{{"listen":[":80"],{server}}}}}}}}}}}"#);
            facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config).unwrap());
            (CHECK.run)(&Context::new(facts))
        };
        for server in [
            format!(
                r#""routes":[{{"handle":[{{"handler":"static_response"}}]}}],"errors":{{"routes":[{{"handle":[{proxy}]}}]}}"#
            ),
            format!(
                r#""routes":[{{"handle":[{{"handler":"subroute","routes":[{{"handle":[{{"handler":"static_response"}}]}}],
                "errors":{{"routes":[{{"handle":[{proxy}]}}]}}}}]}}]"#
            ),
            format!(
                r#""routes":[{{"handle":[{{"handler":"reverse_proxy","upstreams":[{{"dial":"backend:3000"}}],
                "handle_response":[{{"routes":[{{"handle":[{proxy}]}}]}}]}}]}}]"#
            ),
        ] {
            let verdict = with(&server);
            assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0), "{:?}", verdict.findings);
            assert!(verdict.summary.starts_with("only requests that fail"), "{}", verdict.summary);
        }
    }

    #[test]
    fn a_mitmproxy_before_caddy_needs_no_route() {
        let mut facts = example::healthy();
        let config = r#"{"apps":{"http":{"servers":{"srv0":{"listen":[":80"],"routes":[{"match":[{"host":["api.example.com"]}],
            "handle":[{"handler":"reverse_proxy","upstreams":[{"dial":"backend:3000"}]}]}]}}}}}"#;
        facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(config).unwrap());
        let seen = &mut facts.mitmproxies.as_mut().unwrap().0[0];
        seen.options.as_mut().unwrap().mode = vec!["reverse:http://caddy:80".into()];
        seen.command_line.modes = vec!["reverse:http://caddy:80".into()];
        seen.servers = None;
        for hosts in [vec![], vec!["api.example.com".to_owned()]] {
            facts.asked.hosts = hosts;
            let verdict = (CHECK.run)(&Context::new(facts.clone()));
            assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0), "{:?}", verdict.findings);
            assert!(verdict.not_applicable.is_some_and(|reason| reason.starts_with("mitmproxy stands before Caddy")));
            assert_eq!(verdict.evidence[0].label, "mitmproxy -> caddy:80");
        }
    }

    #[test]
    fn what_may_surprise_is_said_and_not_blamed() {
        let es = r#"{"match":[{"path":["/es/*"]}],"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":"mitmproxy:8080"}]}]}"#;
        let value = |routes: &str| {
            let verdict = judged(routes, &[]);
            assert_eq!(verdict.worst(), None);
            verdict.evidence[0].value.clone()
        };
        let own = "route 0 reaches mitmproxy:8080";
        assert_eq!(value(&format!("[{es}]")), format!("{own}; /es/* does not match /es itself"));
        assert_eq!(value(&format!("[{}]", es.replace("\"/es/*\"", "\"/es\",\"/es/*\""))), own);
        let other = proxy("api", "backend:3000");
        assert_eq!(
            value(&format!("[{es},{other}]")),
            format!("{own}; it has no @id to switch it by; /es/* does not match /es itself")
        );
    }

    /// What a route does, where mitmproxy publishes 8080 as 8082 and Caddy is in its network or on the host.
    fn described(route: &serde_json::Value, on_host: bool) -> String {
        let mut facts = example::healthy();
        let config =
            serde_json::json!({"apps": {"http": {"servers": {"srv0": {"listen": [":80"], "routes": [route]}}}}});
        let seen = &mut facts.caddies.as_mut().unwrap().0[0];
        seen.config = Ok(CaddyConfig::read(config.to_string().as_bytes()).unwrap());
        let all = &mut facts.containers.as_mut().unwrap().0;
        all[1].ports =
            vec![Port { container_port: 8080, protocol: "tcp".into(), host_port: Some(8082), host_ip: String::new() }];
        if on_host {
            seen.place = Place::Host;
            all[0].network_mode = "host".into();
            all[0].networks.clear();
        }
        let context = Context::new(facts);
        let (setup, paths) = (context.setup.as_ref().unwrap(), context.paths.as_ref().unwrap());
        let seen = &context.caddies.as_ref().unwrap().0[0];
        let config = seen.config.as_ref().unwrap();
        let mitmproxies = context.mitmproxies.as_ref().ok();
        let judge = Judge::new(&setup.caddies[0], seen, config, setup, paths, mitmproxies);
        judge.describe("srv0", Some(0))
    }

    /// The routes in what a helper of the client library sends: one, a pair, a list, or calls with one each.
    fn routes_in(value: &serde_json::Value) -> Vec<&serde_json::Value> {
        match value {
            serde_json::Value::Object(own) if own.contains_key("handle") => vec![value],
            serde_json::Value::Object(own) => own.values().flat_map(routes_in).collect(),
            serde_json::Value::Array(all) => all.iter().flat_map(routes_in).collect(),
            _ => Vec::new(),
        }
    }

    /// What the helpers of the client library send (recorded from it), each recognised for what it is.
    #[test]
    fn routes_of_the_client_library_are_recognised() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/routes");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut seen: Vec<String> = Vec::new();
        for file in files {
            let value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let name = file.file_stem().unwrap().to_str().unwrap().trim_start_matches("routes-");
            for route in routes_in(&value) {
                let (inside, on_host) = (described(route, false), described(route, true));
                let on_host = if on_host == inside { String::new() } else { format!("; on the host {on_host}") };
                seen.push(format!("{name}: {inside}{on_host}"));
            }
        }
        assert_eq!(seen, RECOGNISED, "{seen:#?}");
    }

    /// `helper: what its route does, with Caddy in mitmproxy's network; and where that is something else, on the host`.
    const RECOGNISED: &[&str] = &[
        "MitmproxyManager-calls: every Host /es/*: through mitmproxy (mitmproxy:8080)",
        "MitmproxyManager-calls: every Host /es/*: direct (elasticsearch:9200)",
        "MitmproxyManager-calls: node.localhost: perhaps meant for mitmproxy (mitmproxy-node:8080)",
        "buildHealthCheckRoute-dial: api.localhost /asd/healthcheck: direct (backend:3000)",
        "buildHealthCheckRoute: api.localhost /asd/healthcheck: answered by static_response",
        "buildHostRoute-full: api.example.com: direct (backend:3000)",
        "buildHostRoute-https-dial: api.example.com: through mitmproxy (mitmproxy:8080, over TLS)",
        "buildHostRoute-min: api.example.com: direct (localhost:3000)",
        "buildIframeProxyRoute-autoid: every Host /panel, /panel/*: perhaps meant for mitmproxy (panel:8080)",
        "buildIframeProxyRoute-mitmweb: every Host /mitmproxy, /mitmproxy/*: mitmweb's web interface (mitmproxy:8081)",
        "buildLoadBalancerRoute-mitm-and-direct: api.example.com: perhaps meant for mitmproxy (localhost:8082) and direct (localhost:3000); on the host api.example.com: through mitmproxy (localhost:8082) and direct (localhost:3000)",
        "buildMitmproxyRoute-default-port: api.example.com: through mitmproxy (mitmproxy:8080)",
        "buildMitmproxyRoute-host-docker-internal: api.example.com: direct (host.docker.internal:9082)",
        "buildMitmproxyRoute-https: api.example.com: through mitmproxy (mitmproxy:8443, over TLS)",
        "buildMitmproxyRoute-ipv4: api.example.com: perhaps meant for mitmproxy (172.17.0.1:8082)",
        "buildMitmproxyRoute-ipv6: api.example.com: perhaps meant for mitmproxy ([::1]:8082); on the host api.example.com: through mitmproxy ([::1]:8082)",
        "buildMitmproxyRoute-localhost-8082-priority: api.example.com: perhaps meant for mitmproxy (localhost:8082); on the host api.example.com: through mitmproxy (localhost:8082)",
        "buildMitmproxyRoute-localhost-8082: api.example.com: perhaps meant for mitmproxy (localhost:8082); on the host api.example.com: through mitmproxy (localhost:8082)",
        "buildMitmproxyRoutePair-localhost-priority: api.example.com: direct (localhost:3000)",
        "buildMitmproxyRoutePair-localhost-priority: api.example.com: perhaps meant for mitmproxy (localhost:8082); on the host api.example.com: through mitmproxy (localhost:8082)",
        "buildMitmproxyRoutePair: api.example.com: direct (backend:3000)",
        "buildMitmproxyRoutePair: api.example.com: through mitmproxy (mitmproxy:8080)",
        "buildMitmproxyWebSocketRoute-deprecated: every Host /updates: mitmweb's websocket (mitmproxy:8081)",
        "buildMitmproxyWebUiRoute-deprecated: every Host /mitmproxy, /mitmproxy/*: mitmweb's web interface (mitmproxy:8081)",
        "buildPathRoute: asd.localhost /api*: through mitmproxy (mitmproxy:8080)",
        "buildRedirectRoute: a.localhost: answered by static_response",
        "buildServiceRoutes-priority: api.localhost /asd/healthcheck: answered by static_response",
        "buildServiceRoutes-priority: api.localhost: direct (localhost:3000)",
        "buildServiceRoutes: api.localhost /asd/healthcheck: answered by static_response",
        "buildServiceRoutes: api.localhost: direct (localhost:3000)",
        "buildServiceRoutes: asd.localhost /asd/healthcheck: answered by static_response",
        "buildServiceRoutes: asd.localhost /api*: direct (localhost:3000)",
        "buildWebSocketProxyRoute-mitmweb-updates: every Host /updates: mitmweb's websocket (mitmproxy:8081)",
        "createBasicAuthRoute: api.localhost: through mitmproxy (mitmproxy:8080)",
        "createHealthRoute: every Host /health: answered by static_response",
        "createLoadBalancerRoute: api.localhost /*: through mitmproxy (mitmproxy:8080) and direct (backend:3000)",
        "createRewriteRoute: api.localhost /es/*: through mitmproxy (mitmproxy:8080)",
        "createServiceRoute: api.localhost /*: through mitmproxy (mitmproxy:8080)",
    ];
}
