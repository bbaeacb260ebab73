//! The path of a request: which route of Caddy wins for a Host, what its dials mean where Caddy is, and where
//! mitmproxy sends it on. Computed from facts alone, as Caddy would.

use std::collections::BTreeSet;

use crate::model::{
    Facts, Gap, Place, Setup,
    caddy::{CaddyConfig, Handler, MatcherSet, Route, Server},
    docker::{Container, Containers, Networks},
    mitmproxy::{Mitmproxies, MitmproxySeen, Mode},
    names::{self, Meaning},
    setup::Part,
    text,
    view::{NameAnswer, Views},
};

/// All hops that were found, and the paths that they make.
#[derive(Debug, Default, PartialEq)]
pub struct Paths {
    pub paths: Vec<Path>,
    /// Every different dial of Caddy and every target of mitmproxy, on a path or not.
    pub hops: Vec<Hop>,
    /// Caddys whose config could not be read, with the reason: nothing is known of their hops.
    pub unknown: Vec<(String, String)>,
    /// Hosts that were asked for and that no route proxies anywhere.
    pub lost: Vec<String>,
}

impl Paths {
    /// What cannot be looked at because the config of a Caddy could not be read.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> {
        let gap = |(caddy, reason): &(String, String)| {
            Gap::about([caddy], format!("where {caddy} dials is not known: {reason}"))
        };
        self.unknown.iter().map(gap)
    }

    /// The containers of a setup, and those that its hops lead to.
    pub fn containers<'c>(paths: Option<&Paths>, setup: &Setup, all: &'c Containers) -> Vec<&'c Container> {
        let is_target =
            |name: &String| paths.is_some_and(|paths| paths.relevant().any(|hop| hop.to.as_ref() == Some(name)));
        all.0.iter().filter(|own| setup.part(&own.name).is_some() || is_target(&own.name)).collect()
    }

    /// The hops that some path goes over, or that start at a mitmproxy.
    pub fn relevant(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter(|hop| hop.relevant)
    }
}

/// The way of a request for one Host.
#[derive(Debug, PartialEq)]
pub struct Path {
    /// The Host; `any other Host` for routes without a host matcher.
    pub host: String,
    pub caddy: String,
    /// The port that Caddy's server listens on, and whether it speaks TLS there.
    pub listen: Option<(u16, bool)>,
    /// Indices into [`Paths::hops`]: Caddy's dial, then mitmproxy's target.
    pub hops: Vec<usize>,
    /// A route before the one that answers could not be decided (a header matcher, an expression).
    pub undecided: bool,
}

/// `from a place, a dialled address -> the part and port that answers`.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// The part that dials.
    pub from: String,
    pub place: Place,
    pub kind: HopKind,
    pub dial: Dial,
    /// What the dialled host means in that place, by inspect.
    pub meaning: Meaning,
    /// The container or process that is meant, where one is known.
    pub to: Option<String>,
    /// Whether that is a mitmproxy of this setup.
    pub to_mitmproxy: bool,
    /// Whether a path through mitmproxy goes over it, or would if it worked.
    pub relevant: bool,
    /// What the next one sees as Host, where this hop changes it.
    pub sets_host: Option<String>,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The path under which Caddy's admin API has this dial.
    pub config_path: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopKind {
    /// Caddy to an upstream.
    Upstream,
    /// mitmproxy to the target of its mode.
    Target,
}

impl Hop {
    /// `caddy -> mitmproxy:8080`, as dialled.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{} -> {}", self.from, self.dial)
    }

    /// Who is at its ends: the one who dials, and the one who is meant (or the host as dialled).
    #[must_use]
    pub fn ends(&self) -> [String; 2] {
        [self.from.clone(), self.to.clone().unwrap_or_else(|| self.dial.to_string())]
    }

    /// Whether it goes to a port of the host, where published ports are.
    #[must_use]
    pub fn is_over_host(&self) -> bool {
        self.meaning == Meaning::TheHost || self.place == Place::Host && self.meaning == Meaning::Itself
    }

    /// Where it leads, for the drawing of the path: the part that is meant, else the address as dialled.
    #[must_use]
    pub fn leads_to(&self) -> String {
        match (&self.to, self.dial.port) {
            (Some(to), Some(port)) if !matches!(self.meaning, Meaning::TheHost) => text::join_port(to, port),
            _ => self.dial.to_string(),
        }
    }
}

/// An address that is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Without brackets; empty for `:8080`.
    pub host: String,
    pub port: Option<u16>,
}

impl std::fmt::Display for Dial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => f.write_str(&text::join_port(&self.host, port)),
            None => f.write_str(&self.host),
        }
    }
}

impl Dial {
    /// Reads Caddy's `host:port`, `tcp/host:port`, `[::1]:1`. `None` when it cannot be known what is dialled: a
    /// placeholder, a unix socket, a port range, or something that is no address.
    #[must_use]
    pub fn read(dial: &str) -> Option<Self> {
        if dial.contains(['{', '}']) || dial.contains("://") {
            return None;
        }
        let address = match dial.split_once('/') {
            Some(("tcp" | "tcp4" | "tcp6", address)) => address,
            Some(_) => return None,
            None => dial,
        };
        let (host, port) = text::host_and_port(address)?;
        Some(Self { host: host.to_owned(), port })
    }
}

/// The ports of a listen address: `:80`, `127.0.0.1:8080`, `tcp/:80-81` (the first of the range).
#[must_use]
pub fn listen_port(address: &str) -> Option<u16> {
    let address = match address.split_once('/') {
        Some(("tcp" | "tcp4" | "tcp6", address)) => address,
        Some(_) => return None,
        None => address,
    };
    address.rsplit(':').next()?.split('-').next()?.parse().ok()
}

/// Every dial that stands anywhere in a config, in its order, each once.
#[must_use]
pub fn dials_of(config: &CaddyConfig) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut dials = Vec::new();
    every_proxy(config, &mut |handler, _, _| {
        dials.extend(dials_of_handler(handler).into_iter().filter(|dial| seen.insert(dial.clone())));
    });
    dials
}

fn dials_of_handler(handler: &Handler) -> Vec<String> {
    let dynamic = handler.dynamic_upstreams.iter().filter(|source| source.source == "a" && !source.name.is_empty());
    let dynamic = dynamic.map(|source| {
        let port = if source.port.is_empty() { "80" } else { &source.port };
        format!("{}:{port}", source.name)
    });
    handler.upstreams.iter().map(|upstream| upstream.dial.clone()).chain(dynamic).collect()
}

/// Calls `visit` with every reverse proxy, the hosts of the innermost host matcher around it, and the path by which
/// the admin API knows it.
fn every_proxy<'c>(config: &'c CaddyConfig, visit: &mut impl FnMut(&'c Handler, &[String], &str)) {
    for (name, server) in config.servers() {
        let at = format!("/config/apps/http/servers/{name}");
        for (index, route) in server.routes.iter().enumerate() {
            proxies_of_route(route, &[], &format!("{at}/routes/{index}"), visit);
        }
        for (name, route) in &server.named_routes {
            proxies_of_route(route, &[], &format!("{at}/named_routes/{name}"), visit);
        }
    }
}

fn proxies_of_route<'c>(
    route: &'c Route,
    outer: &[String],
    at: &str,
    visit: &mut impl FnMut(&'c Handler, &[String], &str),
) {
    let own: Vec<String> = route.matches.iter().filter_map(|set| set.host.clone()).flatten().collect();
    let hosts = if own.is_empty() { outer } else { &own };
    for (index, handler) in route.handle.iter().enumerate() {
        let at = format!("{at}/handle/{index}");
        if handler.handler == "reverse_proxy" {
            visit(handler, hosts, &at);
        }
        for (index, nested) in handler.routes.iter().enumerate() {
            proxies_of_route(nested, hosts, &format!("{at}/routes/{index}"), visit);
        }
    }
}

/// Where a request for a Host ends in a server.
#[derive(Debug)]
pub enum End<'c> {
    Proxy(&'c Handler, /** A Host set by a handler before it. */ Option<&'c str>),
    /// A handler answers by itself: `static_response`, `file_server`, ...
    Responds(&'c str),
    /// No route is left: Caddy answers 200 with an empty body.
    Nothing,
}

/// All ends that a request for `host` can have, whatever its path; more than one where a matcher cannot be decided.
/// The flag says whether it certainly ends there.
#[must_use]
pub fn ends<'c>(server: &'c Server, host: &str) -> Vec<(End<'c>, bool)> {
    let mut walk = Walk {
        server,
        host,
        ends: Vec::new(),
        groups: BTreeSet::new(),
        certain: true,
        sets_host: None,
        depth: 0,
        steps: 0,
    };
    if !walk.routes(&server.routes) {
        let certain = walk.certain;
        walk.ends.push((End::Nothing, certain));
    }
    walk.ends
}

struct Walk<'c, 'h> {
    server: &'c Server,
    host: &'h str,
    ends: Vec<(End<'c>, bool)>,
    /// Groups of which a route was used.
    groups: BTreeSet<&'c str>,
    /// Whether everything so far was decided.
    certain: bool,
    sets_host: Option<&'c str>,
    /// Of nested subroutes and invocations; a named route may invoke itself.
    depth: u32,
    /// Handlers that were run; a named route that invokes itself twice would have no end.
    steps: u32,
}

impl<'c> Walk<'c, '_> {
    /// Runs routes in order; true when the request certainly ended in them.
    fn routes(&mut self, routes: &'c [Route]) -> bool {
        routes.iter().any(|route| self.route(route))
    }

    fn route(&mut self, route: &'c Route) -> bool {
        let group = route.group.as_deref().filter(|group| !group.is_empty());
        if group.is_some_and(|group| self.groups.contains(group)) {
            return false;
        }
        let matches = any_set(&route.matches, self.host);
        if matches == Some(false) {
            return false;
        }
        if let Some(group) = group.filter(|_| matches.is_some()) {
            self.groups.insert(group);
        }
        let (certain, sets_host, ends) = (self.certain, self.sets_host, self.ends.len());
        self.certain &= matches.is_some();
        let mut ended = self.depth < 32 && self.handlers(&route.handle);
        if !ended && route.terminal {
            self.ends.push((End::Nothing, self.certain));
            ended = true;
        }
        if matches.is_none() {
            // It may as well not have matched: what comes after it is possible, too.
            self.sets_host = sets_host;
            self.certain = certain && self.ends.len() == ends;
        }
        ended && matches.is_some()
    }

    fn handlers(&mut self, handlers: &'c [Handler]) -> bool {
        for handler in handlers {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                self.certain = false;
                return false;
            }
            let nested = match handler.handler.as_str() {
                "reverse_proxy" => {
                    self.ends.push((End::Proxy(handler, self.sets_host), self.certain));
                    return true;
                }
                "subroute" => Some(handler.routes.as_slice()),
                "invoke" => {
                    handler.name.as_ref().and_then(|name| self.server.named_routes.get(name)).map(std::slice::from_ref)
                }
                _ => None,
            };
            if handler.responds() {
                self.ends.push((End::Responds(&handler.handler), self.certain));
                return true;
            }
            if let Some(host) = handler.sets_host() {
                self.sets_host = Some(host);
            }
            if let Some(routes) = nested {
                self.depth += 1;
                let ended = self.routes(routes);
                self.depth -= 1;
                if ended {
                    return true;
                }
            }
        }
        false
    }
}

/// Whether one of the sets matches; `None` when that cannot be decided from the Host alone.
fn any_set(sets: &[MatcherSet], host: &str) -> Option<bool> {
    if sets.is_empty() {
        return Some(true);
    }
    let all: Vec<Option<bool>> = sets.iter().map(|set| set_matches(set, host)).collect();
    if all.contains(&Some(true)) {
        Some(true)
    } else if all.contains(&None) {
        None
    } else {
        Some(false)
    }
}

fn set_matches(set: &MatcherSet, host: &str) -> Option<bool> {
    let host_matches = match &set.host {
        Some(patterns) => patterns.iter().map(|pattern| host_matches(pattern, host)).fold(Some(false), either),
        None => Some(true),
    };
    let every_path = |paths: &Vec<String>| paths.iter().any(|path| path == "*" || path == "/*");
    let path_matches = if set.path.as_ref().is_none_or(every_path) { Some(true) } else { None };
    let rest = if set.undecided.is_empty() && set.method.is_none() { Some(true) } else { None };
    let not = set.not.as_ref().map_or(Some(true), |sets| {
        // A `not` without sets always holds.
        if sets.is_empty() { Some(true) } else { any_set(sets, host).map(|matches| !matches) }
    });
    [host_matches, path_matches, rest, not].into_iter().fold(Some(true), both)
}

fn both(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn either(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    both(a.map(|a| !a), b.map(|b| !b)).map(|neither| !neither)
}

/// Caddy compares hosts without regard to case; `*` stands for one label (`modules/caddyhttp/matchers.go`).
fn host_matches(pattern: &str, host: &str) -> Option<bool> {
    if pattern.contains('{') {
        return None;
    }
    let (mut pattern, mut host) = (pattern.split('.'), host.split('.'));
    loop {
        match (pattern.next(), host.next()) {
            (None, None) => return Some(true),
            (Some("*"), Some(_)) => {}
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => {}
            _ => return Some(false),
        }
    }
}

/// The host that stands for every Host that no matcher names.
const ANY_HOST: &str = "any other Host";
/// How many handlers are followed for one Host.
const MOST_STEPS: u32 = 100_000;
/// How many Hosts are followed when none was asked for; a config may name thousands.
const MOST_HOSTS: usize = 8;

/// Computes every hop and path of a setup.
#[must_use]
pub fn find(facts: &Facts, setup: &Setup) -> Paths {
    let (no_containers, no_networks) = (Containers::default(), Networks::default());
    let (no_views, no_mitmproxies) = (Views::default(), Mitmproxies::default());
    let finder = Finder {
        setup,
        containers: facts.containers.as_ref().unwrap_or(&no_containers),
        networks: facts.networks.as_ref().unwrap_or(&no_networks),
        views: facts.views.as_ref().unwrap_or(&no_views),
        mitmproxies: facts.mitmproxies.as_ref().unwrap_or(&no_mitmproxies),
    };
    let mut paths = Paths::default();
    for caddy in &setup.caddies {
        let seen = facts.caddies.as_ref().ok().and_then(|caddies| caddies.named(&caddy.name));
        match seen.map(|seen| &seen.config) {
            Some(Ok(config)) => finder.upstreams(caddy, config, &facts.asked.hosts, &mut paths),
            Some(Err(missing)) => paths.unknown.push((caddy.name.clone(), missing.to_string())),
            None => paths.unknown.push((caddy.name.clone(), "its config was not asked for".to_owned())),
        }
    }
    let first_target = paths.hops.len();
    for mitmproxy in &setup.mitmproxies {
        finder.targets(mitmproxy, &mut paths.hops);
    }
    if paths.unknown.is_empty() {
        let lost = facts.asked.hosts.iter().map(|host| without_port(host));
        paths.lost =
            lost.filter(|host| !paths.paths.iter().any(|path| path.host == *host)).map(str::to_owned).collect();
    }
    let (upstreams, targets) = paths.hops.split_at(first_target);
    for path in &mut paths.paths {
        let Some(upstream) = path.hops.first().map(|at| &upstreams[*at]) else { continue };
        let target = targets
            .iter()
            .position(|target| Some(&target.from) == upstream.to.as_ref() && finder.listens(target, upstream));
        path.hops.extend(target.map(|at| first_target + at));
    }
    mark_relevant(&mut paths, &finder);
    paths
}

/// A dial that leads to no mitmproxy is relevant when it could be the one that was meant to: no other dial of that Caddy
/// does, and it has a port or nearly the name of a mitmproxy. A Caddy may serve many other sites, which are nobody's
/// business here.
fn mark_relevant(paths: &mut Paths, finder: &Finder<'_>) {
    let leading: BTreeSet<String> =
        paths.hops.iter().filter(|hop| hop.to_mitmproxy).map(|hop| hop.from.clone()).collect();
    let (ports, names) = finder.of_mitmproxies();
    let could_be_meant = |dial: &Dial| {
        dial.port.is_some_and(|port| ports.contains(&port))
            || text::nearest(&dial.host, names.iter().map(String::as_str)).is_some()
    };
    for hop in &mut paths.hops {
        hop.relevant = hop.kind == HopKind::Target
            || hop.to_mitmproxy
            || !leading.contains(&hop.from)
                && matches!(hop.meaning, Meaning::Unknown | Meaning::Elsewhere(_))
                && could_be_meant(&hop.dial);
    }
    let Paths { paths, hops, .. } = paths;
    if paths.iter().any(|path| path.hops.iter().any(|at| hops[*at].relevant)) {
        paths.retain(|path| path.hops.iter().any(|at| hops[*at].relevant));
    }
}

/// Caddy compares Hosts without their port.
fn without_port(host: &str) -> &str {
    text::host_and_port(host).map_or(host, |(host, _)| host)
}

struct Finder<'f> {
    setup: &'f Setup,
    containers: &'f Containers,
    networks: &'f Networks,
    views: &'f Views,
    mitmproxies: &'f Mitmproxies,
}

impl Finder<'_> {
    fn upstreams(&self, caddy: &Part, config: &CaddyConfig, asked: &[String], paths: &mut Paths) {
        let start = paths.hops.len();
        every_proxy(config, &mut |handler, _, at| {
            for (index, dial) in dials_of_handler(handler).into_iter().enumerate() {
                if let Some(mut hop) = self.upstream(caddy, handler, &dial, None)
                    && !paths.hops[start..].iter().any(|other| same_hop(other, &hop))
                {
                    hop.config_path = (index < handler.upstreams.len()).then(|| format!("{at}/upstreams/{index}/dial"));
                    paths.hops.push(hop);
                }
            }
        });
        let hosts = if asked.is_empty() {
            self.interesting_hosts(config, &paths.hops[start..])
        } else {
            asked.iter().map(|host| without_port(host).to_owned()).collect()
        };
        for host in hosts {
            for server in config.servers().values() {
                let listen = server
                    .listen
                    .iter()
                    .find_map(|address| listen_port(address))
                    .map(|port| (port, speaks_tls(server, config, port)));
                for (end, certain) in ends(server, &host) {
                    let End::Proxy(handler, sets_host) = end else { continue };
                    for dial in dials_of_handler(handler) {
                        let Some(hop) = self.upstream(caddy, handler, &dial, sets_host) else { continue };
                        let Some(at) = paths.hops[start..].iter().position(|other| same_hop(other, &hop)) else {
                            continue;
                        };
                        if sets_host.is_some() {
                            paths.hops[start + at].sets_host = hop.sets_host;
                        }
                        let path = Path {
                            host: host.clone(),
                            caddy: caddy.name.clone(),
                            listen,
                            hops: vec![start + at],
                            undecided: !certain,
                        };
                        if !paths.paths.contains(&path) {
                            paths.paths.push(path);
                        }
                    }
                }
            }
        }
    }

    /// The Hosts around every proxy whose dial leads to mitmproxy or to nobody; all Hosts when there is none such.
    fn interesting_hosts(&self, config: &CaddyConfig, hops: &[Hop]) -> Vec<String> {
        let leads = |hop: &Hop| hop.to_mitmproxy || hop.to.is_none() || matches!(hop.meaning, Meaning::Elsewhere(_));
        let all_lead_elsewhere = !hops.iter().any(leads);
        let mut hosts: Vec<String> = Vec::new();
        every_proxy(config, &mut |handler, around, _| {
            let dials: Vec<Dial> = dials_of_handler(handler).iter().filter_map(|dial| Dial::read(dial)).collect();
            let wanted = all_lead_elsewhere || hops.iter().any(|hop| leads(hop) && dials.contains(&hop.dial));
            let around: Vec<String> = if around.is_empty() { vec![ANY_HOST.to_owned()] } else { around.to_vec() };
            for host in around {
                if wanted && hosts.len() < MOST_HOSTS && !hosts.contains(&host) {
                    hosts.push(host);
                }
            }
        });
        hosts
    }

    fn upstream(&self, caddy: &Part, handler: &Handler, dial: &str, sets_host: Option<&str>) -> Option<Hop> {
        let dial = Dial::read(dial)?;
        let sets_host = handler.sets_host().or(sets_host).map(str::to_owned);
        Some(self.hop(caddy, HopKind::Upstream, dial, sets_host, handler.tls()))
    }

    fn targets(&self, mitmproxy: &Part, hops: &mut Vec<Hop>) {
        let Some(seen) = self.mitmproxies.named(&mitmproxy.name) else { return };
        for mode in seen.modes().0 {
            let Some(target) = mode.target else { continue };
            let tls = matches!(target.scheme.as_str(), "https" | "tls");
            let dial = Dial { host: target.host, port: Some(target.port) };
            let hop = self.hop(mitmproxy, HopKind::Target, dial, None, tls);
            if !hops.iter().any(|other| same_hop(other, &hop)) {
                hops.push(hop);
            }
        }
    }

    /// The ports that the mitmproxys of the setup listen on or are published at (8080 when there is none), and their names.
    fn of_mitmproxies(&self) -> (BTreeSet<u16>, BTreeSet<String>) {
        let (mut ports, mut names) = (BTreeSet::new(), BTreeSet::new());
        for part in &self.setup.mitmproxies {
            names.insert(part.name.clone());
            ports.extend(
                self.mitmproxies
                    .named(&part.name)
                    .into_iter()
                    .flat_map(|seen| seen.modes().0)
                    .map(|mode| mode.listen_port),
            );
            if let Some(container) = self.containers.named(&part.name) {
                names.extend(container.networks.iter().flat_map(|attached| attached.names.iter().cloned()));
                ports.extend(container.ports.iter().filter_map(|port| port.host_port));
            }
        }
        if self.setup.mitmproxies.is_empty() {
            ports.insert(8080);
            names.insert("mitmproxy".to_owned());
        }
        (ports, names)
    }

    fn hop(&self, from: &Part, kind: HopKind, dial: Dial, sets_host: Option<String>, tls: bool) -> Hop {
        let meaning = names::meaning(self.containers, self.networks, &from.place, &dial.host);
        let to = self.who(from, &meaning, &dial);
        let to_mitmproxy = kind == HopKind::Upstream
            && to.as_ref().is_some_and(|to| self.setup.mitmproxies.iter().any(|part| part.name == *to));
        Hop {
            from: from.name.clone(),
            place: from.place.clone(),
            kind,
            dial,
            meaning,
            to,
            to_mitmproxy,
            relevant: false,
            sets_host,
            tls,
            config_path: None,
        }
    }

    fn who(&self, from: &Part, meaning: &Meaning, dial: &Dial) -> Option<String> {
        match meaning {
            Meaning::Itself => self.at_port(&from.place, dial.port?),
            Meaning::TheHost => self.at_port(&Place::Host, dial.port?),
            Meaning::Container { name, .. } => {
                let place = self.containers.named(name).map(|container| self.containers.place_of(container))?;
                let several =
                    self.containers.0.iter().filter(|other| self.containers.place_of(other) == place).count() > 1;
                let by_port = if several { dial.port.and_then(|port| self.at_port(&place, port)) } else { None };
                Some(by_port.unwrap_or_else(|| self.sharing(name, meaning, dial)))
            }
            Meaning::Elsewhere(names) => {
                let part = names.iter().find(|name| self.setup.part(name).is_some());
                part.or(names.first()).cloned()
            }
            Meaning::Unknown => match &self.views.from(&from.place)?.name(&dial.host)?.answer {
                NameAnswer::Addresses(ips) => {
                    self.containers.at(*ips.first()?).map(|(container, _)| container.name.clone())
                }
                _ => None,
            },
            Meaning::Address(_) => None,
        }
    }

    /// Of several containers that answer to a dialled name on a network, the one that is a part of the setup.
    fn sharing(&self, name: &str, meaning: &Meaning, dial: &Dial) -> String {
        let Meaning::Container { network, .. } = meaning else { return name.to_owned() };
        let mut same = self.containers.0.iter().filter(|other| {
            other.runs()
                && other.on(network).is_some_and(|attached| attached.answers_to(dial.host.trim_end_matches('.')))
        });
        let part = same.find(|other| self.setup.part(&other.name).is_some());
        part.map_or_else(|| name.to_owned(), |part| part.name.clone())
    }

    /// Who is at a port of a place: a mitmproxy that listens there, a container that publishes it, or the only
    /// container that has that port.
    fn at_port(&self, place: &Place, port: u16) -> Option<String> {
        let listens = |part: &&Part| {
            part.place == *place
                && self.mitmproxies.named(&part.name).is_some_and(|seen| modes_at(seen, port).next().is_some())
        };
        if let Some(part) = self.setup.mitmproxies.iter().find(listens) {
            return Some(part.name.clone());
        }
        if *place == Place::Host
            && let Some((container, inside)) = self.containers.publishing(port)
        {
            let behind = self.containers.place_of(container);
            let part = if behind == Place::Host { None } else { self.at_port(&behind, inside) };
            return Some(part.unwrap_or_else(|| container.name.clone()));
        }
        let mut having = self.containers.0.iter().filter(|container| {
            self.containers.place_of(container) == *place
                && container.ports.iter().any(|own| own.container_port == port)
        });
        having.next().map(|container| container.name.clone())
    }

    /// Whether the mode that has this target is the one that listens where the upstream dials.
    fn listens(&self, target: &Hop, upstream: &Hop) -> bool {
        let Some(seen) = self.mitmproxies.named(&target.from) else { return false };
        let modes = seen.modes().0;
        if modes.len() < 2 {
            return true;
        }
        let is_target = |mode: &Mode| {
            mode.target.as_ref().is_some_and(|own| own.host == target.dial.host && Some(own.port) == target.dial.port)
        };
        let Some(port) = self.port_inside(upstream) else { return true };
        modes.iter().any(|mode| mode.listen_port == port && is_target(mode))
    }

    /// The port that a dial reaches inside the one that is meant: another one when it goes over a published port.
    fn port_inside(&self, hop: &Hop) -> Option<u16> {
        let port = hop.dial.port?;
        match self.containers.publishing(port) {
            Some((container, inside)) if hop.is_over_host() && Some(&container.name) == hop.to.as_ref() => Some(inside),
            _ => Some(port),
        }
    }
}

fn modes_at(seen: &MitmproxySeen, port: u16) -> impl Iterator<Item = Mode> {
    seen.modes().0.into_iter().filter(move |mode| mode.listen_port == port)
}

fn same_hop(a: &Hop, b: &Hop) -> bool {
    a.from == b.from && a.kind == b.kind && a.dial == b.dial && a.tls == b.tls
}

/// A server speaks TLS when it has policies for it, or listens on the https port.
fn speaks_tls(server: &Server, config: &CaddyConfig, port: u16) -> bool {
    server.tls_policies > 0 || port == config.apps.http.https_port.unwrap_or(443)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, example};

    fn server(routes: &str) -> Server {
        serde_json::from_str(&format!(r#"{{"listen":[":80"],"routes":{routes}}}"#)).unwrap()
    }

    fn dials(server: &Server, host: &str) -> Vec<String> {
        let ends = ends(server, host);
        ends.iter()
            .map(|(end, certain)| match end {
                End::Proxy(handler, _) => format!("{}{}", handler.upstreams[0].dial, if *certain { "" } else { "?" }),
                End::Responds(handler) => (*handler).to_owned(),
                End::Nothing => "nothing".to_owned(),
            })
            .collect()
    }

    const PROXY_A: &str = r#"{"handler":"reverse_proxy","upstreams":[{"dial":"a:1"}]}"#;
    const PROXY_B: &str = r#"{"handler":"reverse_proxy","upstreams":[{"dial":"b:1"}]}"#;

    #[test]
    fn the_first_route_that_answers_wins() {
        let server = server(&format!(
            r#"[{{"match":[{{"host":["*.Example.com"]}}],"handle":[{{"handler":"encode"}},{PROXY_A}]}},{{"handle":[{PROXY_B}]}}]"#
        ));
        assert_eq!(dials(&server, "api.example.COM"), ["a:1"]);
        assert_eq!(dials(&server, "x.api.example.com"), ["b:1"]);
    }

    #[test]
    fn a_terminal_route_without_an_answer_ends_in_an_empty_200() {
        let server = server(&format!(r#"[{{"match":[{{"host":["a"]}}],"terminal":true}},{{"handle":[{PROXY_A}]}}]"#));
        assert_eq!(dials(&server, "a"), ["nothing"]);
    }

    #[test]
    fn of_a_group_one_route_is_used() {
        let server = server(&format!(
            r#"[{{"handle":[{{"handler":"subroute","routes":[
                {{"group":"g","handle":[{{"handler":"headers"}}]}},{{"group":"g","handle":[{PROXY_A}]}},{{"handle":[{PROXY_B}]}}]}}]}}]"#
        ));
        assert_eq!(dials(&server, "h"), ["b:1"]);
    }

    #[test]
    fn what_cannot_be_decided_is_said_to_be_so() {
        let server = server(&format!(
            r#"[{{"match":[{{"header":{{"X":["1"]}}}}],"handle":[{PROXY_A}]}},{{"match":[{{"not":[{{"host":["h"]}}]}}],"handle":[{PROXY_A}]}},{{"handle":[{PROXY_B}]}}]"#
        ));
        assert_eq!(dials(&server, "h"), ["a:1?", "b:1?"]);
    }

    #[test]
    fn routes_without_end_come_to_an_end() {
        let server: Server = serde_json::from_str(
            r#"{"named_routes":{"n":{"handle":[{"handler":"invoke","name":"n"},{"handler":"invoke","name":"n"}]}},
            "routes":[{"handle":[{"handler":"invoke","name":"n"}]}]}"#,
        )
        .unwrap();
        assert_eq!(dials(&server, "h"), ["nothing"]);
    }

    #[test]
    fn dials_of_other_sites_are_nobodys_business() {
        let mut facts = example::facts();
        let config = r#"{"apps":{"http":{"servers":{"s":{"listen":[":80"],"routes":[
            {"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":"oldsite:9000"},{"dial":"mitmproxi:8080"}]}]}]}}}}}"#;
        facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(config).unwrap());
        let paths = Context::new(facts).paths.unwrap();
        let relevant: Vec<String> = paths.relevant().map(Hop::id).collect();
        assert_eq!(relevant, ["caddy -> mitmproxi:8080", "mitmproxy -> backend:3000"]);
    }

    #[test]
    fn a_host_is_asked_for_without_its_port_and_a_lost_one_is_said() {
        let mut facts = example::healthy();
        facts.asked.hosts = vec!["api.example.com:8080".into(), "other.example.com".into()];
        let paths = Context::new(facts).paths.unwrap();
        assert_eq!(paths.paths[0].host, "api.example.com");
        assert_eq!(paths.lost, ["other.example.com"]);
    }

    #[test]
    fn reads_every_form_of_a_dial() {
        let dial = |text: &str| Dial::read(text).map(|dial| (dial.host, dial.port));
        assert_eq!(dial("tcp/mitmproxy:8080"), Some(("mitmproxy".into(), Some(8080))));
        assert_eq!(dial("[::1]:1"), Some(("::1".into(), Some(1))));
        assert_eq!(dial("mitmproxy"), Some(("mitmproxy".into(), None)));
        for unknown in ["{env.X}:80", "unix//run/x.sock", "http://h:1", "h:1-2"] {
            assert_eq!(dial(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_path_is_drawn_through_names_that_do_not_resolve_there() {
        let context = Context::new(example::facts());
        let paths = context.paths.unwrap();
        let path = &paths.paths[0];
        assert_eq!((path.host.as_str(), path.listen), ("api.example.com", Some((80, false))));
        let hops: Vec<String> = path.hops.iter().map(|at| paths.hops[*at].id()).collect();
        assert_eq!(hops, ["caddy -> mitmproxy:8080", "mitmproxy -> backend:3000"]);
        assert!(paths.hops[0].to_mitmproxy);
    }
}
