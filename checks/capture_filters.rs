use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::{
    Action, Apply, Edit, Evidence, Finding, Fix, Gap, Hop, Missing, Part, Paths, Place, Role, Setup, Verdict,
    docker::Containers,
    facts::Attempt,
    fix::{self, ApiAt},
    mitmproxy::{Interface, Mitmproxies, MitmproxySeen, Options},
    names::Meaning,
    path::HopKind,
    text,
};

check! {
    /// Does anything hold requests, or keep flows from being listed?
    ///
    /// ## What it looks at
    /// mitmweb's options `intercept`, `view_filter`, `ignore_hosts`, `allow_hosts`, `block_global`, `block_private`, `block_list` and
    /// `proxyauth`. Host patterns are compared with the targets and the Hosts of this setup; one that is more than plain
    /// text, `.`, `.*`, `^` and `$` is not run, and the report says "may". Whether Caddy's connections are blocked is told from the
    /// address that Caddy has on the network that it shares with mitmproxy.
    ///
    /// ## Why it matters
    /// A request that `intercept` holds hangs until somebody lets it go on. `view_filter` hides flows from the list and from the
    /// count, though they are recorded. What `ignore_hosts` names, and what `allow_hosts` does not, is passed on unseen.
    /// `block_global`, on by default, closes connections from public addresses without an answer: to Python, 172.32.0.0 and
    /// 172.168.0.0 are public, and some Docker networks use them.
    ///
    /// ## How to fix it
    /// Clear the option: at once by the options API, for good in mitmproxy's command line or `config.yaml`, wherever it is set.
    /// Requests that are held already stay held: they go on by "Resume All" in the web interface, or by a `POST /flows/resume`.
    id: "capture-filters",
    group: Mitmproxy,
    after: ["setup-found", "container-health", "mitmweb-api"],
    needs: [Setup, Mitmproxies, Attempt<Paths>, Attempt<Containers>],
    run: run,
}

fn run(
    setup: &Setup,
    mitmproxies: &Mitmproxies,
    paths: Result<&Paths, &Missing>,
    containers: Result<&Containers, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Mitmproxy));
    let (no_paths, no_containers) = (Paths::default(), Containers::default());
    let mut asked = 0;
    for part in &setup.mitmproxies {
        let Some(seen) = mitmproxies.named(&part.name) else {
            verdict.gaps.push(Gap::about([&part.name], format!("{} was not asked", part.name)));
            continue;
        };
        match &seen.options {
            Ok(options) => {
                asked += 1;
                let (paths, containers) = (paths.unwrap_or(&no_paths), containers.unwrap_or(&no_containers));
                Case { part, seen, options, paths, containers }.judge(&mut verdict);
            }
            Err(_) if seen.command_line.interface != Interface::Mitmweb => {
                let program = seen.command_line.interface.name();
                let value = format!("is {program}, which has no API to ask for options");
                verdict.evidence.push(Evidence::new(&part.name, value));
            }
            Err(missing) => {
                let reason = format!("the options of {} are not known: {missing}", part.name);
                verdict.gaps.push(Gap::about([&part.name], reason));
            }
        }
    }
    if asked == 0 && verdict.gaps.is_empty() {
        return Verdict::not_applicable("no mitmweb is there whose options could be asked for");
    }
    verdict.summary = "no option of mitmweb holds requests or hides flows of this setup".to_owned();
    verdict
}

struct Case<'c> {
    part: &'c Part,
    seen: &'c MitmproxySeen,
    options: &'c Options,
    paths: &'c Paths,
    containers: &'c Containers,
}

impl Case<'_> {
    fn judge(&self, verdict: &mut Verdict) {
        let (name, options) = (&self.part.name, self.options);
        let findings = &mut verdict.findings;
        if let Some(filter) = options.intercept.as_deref().filter(|_| options.intercept_active) {
            findings.push(self.intercept(filter));
        }
        if let Some(filter) = options.view_filter.as_deref().filter(|filter| !filter.is_empty()) {
            findings.push(
                Finding::warn([name], format!("{name} lists and counts only the flows that match its view_filter"))
                    .seen("view_filter", filter)
                    .fix(self.clear("view_filter", "null")),
            );
        }
        findings.extend(self.ignored());
        findings.extend(self.not_allowed());
        for (option, on) in [("block_global", options.block_global), ("block_private", options.block_private)] {
            let blocked = self.upstreams().filter(|_| on).find_map(|hop| self.blocked(option, hop));
            findings.extend(blocked.or_else(|| self.killed(option).filter(|_| on)));
        }
        if options.block_list {
            findings.push(
                Finding::warn([name], format!("{name} has a block_list: it may answer requests by itself"))
                    .seen("block_list", "has entries, which were not read")
                    .fix(self.clear("block_list", "[]")),
            );
        }
        if options.proxyauth && options.mode.iter().any(|mode| mode.starts_with("reverse:")) {
            findings.push(
                Finding::warn([name], format!("{name} asks the clients of its reverse mode for a password"))
                    .seen("proxyauth", "set")
                    .fix(self.clear("proxyauth", "null")),
            );
        }
        let block_global = if options.block_global { "on, as by default" } else { "off" };
        verdict.evidence.push(Evidence::new(format!("{name}'s block_global"), block_global));
    }

    fn intercept(&self, filter: &str) -> Finding {
        let name = &self.part.name;
        let finding = match &self.seen.held {
            Some(Ok(held)) if *held > 0 => {
                let requests = if *held == 1 { "1 request".to_owned() } else { format!("{held} requests") };
                let finding = Finding::fail([name], format!("{name} holds {requests} until somebody lets them go on"));
                // Without the filter the answers are not held in their turn. Whether the requests are to reach the backend, a
                // person decides.
                let mut clear = self.clear("intercept", "null");
                clear.title = format!("{}; what is held already stays held", clear.title);
                let command = fix::resume_flows(&ApiAt::of(self.part, &self.seen.web), self.seen.wants_password());
                let title =
                    "let go what is held, once intercept is cleared, as \"Resume All\" in the web interface does";
                return finding
                    .seen("intercept", filter)
                    .fix(clear)
                    .fix(Fix::new(title, Action::Command { command, apply: Apply::Manual }));
            }
            held => {
                let finding =
                    Finding::warn([name], format!("{name} holds every request that matches its intercept filter"));
                match held {
                    Some(Ok(_)) => finding.seen("held now", "none"),
                    Some(Err(missing)) => finding.seen("held now", format!("not known: {missing}")),
                    None => finding.seen("held now", "not counted"),
                }
            }
        };
        finding.seen("intercept", filter).fix(self.clear("intercept", "null"))
    }

    fn ignored(&self) -> Option<Finding> {
        let name = &self.part.name;
        let (targets, hosts) = (self.targets(), self.hosts());
        let hit = |pattern: &&String| targets.iter().any(|target| matches(pattern, target) == Some(true));
        let may =
            |pattern: &&String| targets.iter().chain(&hosts).any(|address| matches(pattern, address) != Some(false));
        let patterns = &self.options.ignore_hosts;
        let (pattern, words) = match patterns.iter().find(hit) {
            Some(pattern) => (pattern, "passes on"),
            None => (patterns.iter().find(may)?, "may pass on"),
        };
        Some(
            Finding::warn([name], format!("{name} {words} requests of this setup unseen, by its ignore_hosts"))
                .seen("ignore_hosts", pattern)
                .seen("compared with", text::list(&[targets, hosts].concat()))
                .fix(self.clear("ignore_hosts", "[]")),
        )
    }

    fn not_allowed(&self) -> Option<Finding> {
        let name = &self.part.name;
        let patterns = &self.options.allow_hosts;
        let addresses = [self.targets(), self.hosts()].concat();
        let hits: Vec<Option<bool>> =
            patterns.iter().flat_map(|pattern| addresses.iter().map(|address| matches(pattern, address))).collect();
        if hits.is_empty() || hits.contains(&Some(true)) {
            return None;
        }
        let words = if hits.contains(&None) { "may pass on" } else { "passes on" };
        Some(
            Finding::warn(
                [name],
                format!("{name} {words} requests of this setup unseen, since its allow_hosts names others"),
            )
            .seen("allow_hosts", text::list(patterns))
            .seen("compared with", text::list(&addresses))
            .fix(self.clear("allow_hosts", "[]")),
        )
    }

    fn blocked(&self, option: &'static str, hop: &Hop) -> Option<Finding> {
        let name = &self.part.name;
        let ip = self.client(hop)?;
        let (kind, hits) = match option {
            "block_global" => ("public", is_global(ip)),
            _ => ("private", is_private(ip)),
        };
        if !hits {
            return None;
        }
        let summary = format!("{name} closes connections from {} by {option}: {ip} is a {kind} address", hop.from);
        let finding = match self.kill(option) {
            Some(event) => Finding::fail([name], summary).seen("mitmweb's newest error", event),
            None => Finding::warn([name], summary),
        };
        Some(finding.on(hop).seen(option, "on").fix(self.switch_off(option)))
    }

    /// A client whose address does not follow from the networks was cut off.
    fn killed(&self, option: &'static str) -> Option<Finding> {
        let name = &self.part.name;
        let event = self.kill(option)?;
        let finding =
            Finding::warn([name], format!("the newest error of {name} is that it closed a connection by {option}"));
        Some(finding.seen("mitmweb's newest error", event).fix(self.switch_off(option)))
    }

    /// The newest error in its events, when it is that.
    fn kill(&self, option: &str) -> Option<&String> {
        let event = self.seen.events.as_ref()?.as_ref().ok()?.last()?;
        event.contains(&format!("killed by {option}")).then_some(event)
    }

    fn switch_off(&self, option: &'static str) -> Fix {
        let file = format!("the command of {}", self.part.name);
        let lasting = Edit { file, language: "sh", text: format!("--set {option}=false") };
        self.clear(option, "false").edit(lasting)
    }

    /// Dials of Caddy that lead to this mitmproxy.
    fn upstreams(&self) -> impl Iterator<Item = &Hop> {
        let own = |hop: &&Hop| hop.kind == HopKind::Upstream && hop.to.as_ref() == Some(&self.part.name);
        self.paths.hops.iter().filter(own)
    }

    /// The address that the one who dials has for mitmproxy, where it follows from the network that both are on.
    fn client(&self, hop: &Hop) -> Option<IpAddr> {
        let (Meaning::Container { network, .. }, Place::Container(place)) = (&hop.meaning, &hop.place) else {
            return None;
        };
        self.containers.named(place)?.on(network)?.ip
    }

    /// As mitmproxy names them to these options: `backend:3000`.
    fn targets(&self) -> Vec<String> {
        let targets = self.seen.modes().0.into_iter().filter_map(|mode| mode.target);
        targets.map(|target| format!("{}:{}", target.host, target.port)).collect()
    }

    /// The Hosts that come here; newer versions compare them as well, with the port of the target.
    fn hosts(&self) -> Vec<String> {
        let here = |path: &&crate::model::Path| {
            path.hops.first().is_some_and(|at| self.paths.hops[*at].to.as_ref() == Some(&self.part.name))
        };
        let targets = self.seen.modes().0.into_iter().filter_map(|mode| mode.target);
        let port = targets.map(|target| target.port).next().unwrap_or(80);
        let named = self.paths.paths.iter().filter(here).filter(|path| !path.host.contains([' ', '*', '{']));
        named.map(|path| format!("{}:{port}", path.host)).collect()
    }

    fn clear(&self, option: &'static str, value: &str) -> Fix {
        let (name, seen) = (&self.part.name, self.seen);
        let by_set = seen.command_line.other_set.iter().any(|own| own == option);
        let title = match (value, by_set) {
            ("false", _) => format!("switch {option} off"),
            (_, true) => format!("clear {option}, and take --set {option} out of the command of {name}"),
            _ => {
                format!("clear {option}; it is back with the next start where {name}'s command or config.yaml sets it")
            }
        };
        Fix::new(
            title,
            Action::SetOption {
                at: ApiAt::of(self.part, &seen.web),
                option,
                value: serde_json::from_str(value).unwrap_or_default(),
                password: seen.wants_password(),
            },
        )
    }
}

/// Whether a regular expression is found in a text, without regard to case; `None` when it is more than plain text, `.`,
/// `.*`, `.+`, escaped signs, and the ends `^` and `$`.
fn matches(pattern: &str, text: &str) -> Option<bool> {
    let (pattern, from_start) = pattern.strip_prefix('^').map_or((pattern, false), |rest| (rest, true));
    let (pattern, to_end) = match pattern.strip_suffix('$') {
        Some(rest) if !rest.ends_with('\\') => (rest, true),
        _ => (pattern, false),
    };
    let mut signs: Vec<Sign> = if from_start { Vec::new() } else { vec![Sign::Rest] };
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let repeated = matches!(chars.peek(), Some('*' | '+' | '?'));
        match (c, chars.peek()) {
            ('.', Some('*')) => signs.push(Sign::Rest),
            ('.', Some('+')) => signs.extend([Sign::Any, Sign::Rest]),
            ('.', _) if !repeated => signs.push(Sign::Any),
            ('\\', Some(sign)) if sign.is_ascii_punctuation() => signs.push(Sign::Is(*sign)),
            (c, _) if !repeated && (c.is_alphanumeric() || "-_:/@ ".contains(c)) => {
                signs.push(Sign::Is(c.to_ascii_lowercase()));
                continue;
            }
            _ => return None,
        }
        if c != '.' || repeated {
            chars.next();
        }
        // What is escaped may be repeated as well.
        if c == '\\' && matches!(chars.peek(), Some('*' | '+' | '?' | '{')) {
            return None;
        }
    }
    if !to_end {
        signs.push(Sign::Rest);
    }
    let text: Vec<char> = text.to_ascii_lowercase().chars().collect();
    // Which beginnings of the text the signs so far can stand for.
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    for sign in signs {
        let before = ends.clone();
        for (at, end) in ends.iter_mut().enumerate() {
            *end = match sign {
                Sign::Rest => before[..=at].contains(&true),
                Sign::Any => at > 0 && before[at - 1],
                Sign::Is(own) => at > 0 && before[at - 1] && text[at - 1] == own,
            };
        }
    }
    ends.last().copied()
}

#[derive(Clone, Copy)]
enum Sign {
    Is(char),
    Any,
    Rest,
}

/// As Python's `ipaddress` says `is_private`, of addresses that are not loopback: those are never blocked.
fn is_private(ip: IpAddr) -> bool {
    match unmapped(ip) {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !ip.is_loopback()
                && (ip.is_private()
                    || ip.is_link_local()
                    || ip.is_documentation()
                    || a == 0
                    || a >= 240
                    || (a, b, c) == (192, 0, 0)
                    || a == 198 && (b == 18 || b == 19))
        }
        IpAddr::V6(ip) => {
            let first = ip.segments()[0];
            let documentation = ip.segments()[..2] == [0x2001, 0xdb8];
            ip != Ipv6Addr::LOCALHOST && (first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 || documentation)
        }
    }
}

/// As Python says `is_global`: not private, and not 100.64.0.0/10.
fn is_global(ip: IpAddr) -> bool {
    match unmapped(ip) {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !shared && !ip.is_loopback() && !ip.is_multicast() && ip != Ipv4Addr::UNSPECIFIED && !is_private(ip.into())
        }
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000 && !is_private(ip.into()),
    }
}

fn unmapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Facts, Severity, example, facts::Kind};

    fn judged(change: impl FnOnce(&mut Options)) -> Verdict {
        with(|facts| change(seen(facts).options.as_mut().unwrap()))
    }

    fn with(change: impl FnOnce(&mut Facts)) -> Verdict {
        let mut facts = example::healthy();
        seen(&mut facts).options.as_mut().unwrap().block_global = true;
        change(&mut facts);
        (CHECK.run)(&Context::new(facts))
    }

    fn seen(facts: &mut Facts) -> &mut MitmproxySeen {
        &mut facts.mitmproxies.as_mut().unwrap().0[0]
    }

    fn only(verdict: Verdict) -> Finding {
        assert_eq!(verdict.findings.len(), 1, "{:?}", verdict.findings);
        verdict.findings.into_iter().next().unwrap()
    }

    #[test]
    fn the_defaults_pass() {
        let verdict = judged(|_| {});
        assert_eq!((verdict.worst(), verdict.gaps.len()), (None, 0));
        assert_eq!(judged(|options| options.intercept_active = true).worst(), None, "without a filter nothing is held");
    }

    #[test]
    fn held_requests_fail_and_a_filter_alone_warns() {
        let holding = |held| {
            only(with(|facts| {
                let options = seen(facts).options.as_mut().unwrap();
                (options.intercept, options.intercept_active) = (Some("~all".into()), true);
                seen(facts).held = held;
            }))
        };
        let finding = holding(Some(Ok(2)));
        assert_eq!(
            (finding.severity, finding.summary.as_str()),
            (Severity::Fail, "mitmproxy holds 2 requests until somebody lets them go on")
        );
        assert!(finding.fixes[0].action.commands()[0].contains(r#"{\"intercept\": null}"#));
        assert!(finding.fixes[0].title.ends_with("; what is held already stays held"));
        let resume = &finding.fixes[1].action;
        assert!(resume.commands()[0].contains("http://127.0.0.1:8081/flows/resume"), "{resume:?}");
        assert_eq!(resume.apply(), Apply::Manual, "a person decides what goes to the backend");
        assert_eq!(holding(Some(Ok(0))).fixes.len(), 1);
        assert_eq!(holding(Some(Ok(0))).severity, Severity::Warn);
        assert_eq!(holding(None).evidence[0].value, "not counted");
    }

    #[test]
    fn a_view_filter_a_block_list_and_a_password_warn() {
        let finding = only(judged(|options| options.view_filter = Some("~u nomatch".into())));
        assert_eq!(finding.summary, "mitmproxy lists and counts only the flows that match its view_filter");
        assert!(finding.fixes[0].action.commands()[0].contains(r#"{\"view_filter\": null}"#));
        assert!(only(judged(|options| options.block_list = true)).summary.contains("may answer requests by itself"));
        assert!(only(judged(|options| options.proxyauth = true)).summary.contains("for a password"));
        let regular = judged(|options| (options.proxyauth, options.mode) = (true, vec!["regular".into()]));
        assert_eq!(regular.worst(), None);
    }

    #[test]
    fn hosts_are_ignored_only_where_they_are_of_this_setup() {
        let ignoring = |pattern: &str| judged(|options| options.ignore_hosts = vec![pattern.into()]);
        assert_eq!(
            only(ignoring(r"^backend:3000$")).summary,
            "mitmproxy passes on requests of this setup unseen, by its ignore_hosts"
        );
        assert!(
            only(ignoring(r"api\.example\.com")).summary.contains("may pass on"),
            "newer versions compare the Host"
        );
        assert!(only(ignoring(r"^(?!elastic)")).summary.contains("may pass on"));
        assert_eq!(ignoring(r"telemetry\.example\.net").worst(), None);
    }

    #[test]
    fn allowed_hosts_that_name_others_hide_this_setup() {
        let allowing = |pattern: &str| judged(|options| options.allow_hosts = vec![pattern.into()]);
        assert!(only(allowing("shop:3000")).summary.starts_with("mitmproxy passes on requests of this setup unseen"));
        assert!(only(allowing("(a|b)")).summary.contains("may pass on"));
        assert_eq!(allowing("backend").worst(), None);
    }

    #[test]
    fn a_public_address_of_caddy_is_blocked() {
        let at = |ip: &str, event: bool| {
            with(|facts| {
                let caddy = &mut facts.containers.as_mut().unwrap().0[0];
                caddy.networks.iter_mut().find(|on| on.network == "app-net").unwrap().ip = Some(example::ip(ip));
                if event {
                    let event = format!("Client connection from {ip} killed by block_global option.");
                    seen(facts).events = Some(Ok(vec![event]));
                }
            })
        };
        let finding = only(at("172.32.0.5", true));
        assert_eq!(
            finding.summary,
            "mitmproxy closes connections from caddy by block_global: 172.32.0.5 is a public address"
        );
        assert_eq!((finding.severity, finding.hop.as_deref()), (Severity::Fail, Some("caddy -> mitmproxy:8080")));
        assert_eq!(only(at("172.32.0.5", false)).severity, Severity::Warn);
        for private in ["172.31.255.9", "10.1.2.3", "192.168.3.4", "100.64.0.9", "fd00::5", "::ffff:10.0.0.1"] {
            assert_eq!(at(private, false).worst(), None, "{private}");
        }
        let event = only(at("172.31.255.9", true));
        assert_eq!(event.summary, "the newest error of mitmproxy is that it closed a connection by block_global");
        assert!(
            only(judged(|options| options.block_private = true)).summary.contains("172.20.0.4 is a private address")
        );
    }

    #[test]
    fn options_that_are_not_known_are_a_gap_and_mitmdump_is_skipped() {
        let denied = || Err(Missing::failed("GET /options", Kind::NeedsToken, "403"));
        assert_eq!(with(|facts| seen(facts).options = denied()).gaps.len(), 1);
        let dump = with(|facts| {
            seen(facts).options = denied();
            seen(facts).command_line.interface = Interface::Mitmdump;
        });
        assert!(dump.not_applicable.is_some());
    }

    #[test]
    fn patterns_are_read_as_python_reads_them() {
        for (pattern, text, wanted) in [
            ("", "backend:3000", Some(true)),
            ("BACK", "backend:3000", Some(true)),
            ("^end", "backend:3000", Some(false)),
            ("3000$", "backend:3000", Some(true)),
            ("b.ck", "backend:3000", Some(true)),
            (r"b\.ck", "backend:3000", Some(false)),
            ("^b.*:30", "backend:3000", Some(true)),
            ("^b.+d:3000$", "backend:3000", Some(true)),
            ("backend.+", "backend", Some(false)),
            (r"a\.b", "a.b:80", Some(true)),
            (r"\d+", "a:80", None),
            ("ba?c", "backend", None),
            ("[b]", "backend", None),
            (r"a\.*", "a", None),
            (r"\", "a", None),
            ("é", "é", Some(true)),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} in {text}");
        }
    }
}
