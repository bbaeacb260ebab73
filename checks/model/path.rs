//! The path of a request: which route of Caddy wins for a Host, what its dials mean where Caddy is, and where
//! mitmproxy sends it on. Computed from facts alone, as Caddy would.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Facts, Gap, Place, Setup,
    caddy::{CaddyConfig, Handler, Server},
    docker::{Container, Containers, Networks},
    matchers,
    mitmproxy::{Mitmproxies, MitmproxySeen, Mode},
    names::{self, Meaning},
    route::{self, End, EndKind, Proxy, Request, Router},
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
    /// By the name of a Caddy: an address of a mitmproxy that is right in that Caddy's place.
    pub to_mitmproxy: BTreeMap<String, String>,
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

    /// The dials of a Caddy: for each the hops that it is, with their places in [`Paths::hops`].
    #[must_use]
    pub fn dials_of(&self, caddy: &str) -> BTreeMap<&Dial, Vec<(usize, &Hop)>> {
        let mut dials: BTreeMap<&Dial, Vec<(usize, &Hop)>> = BTreeMap::new();
        for (at, hop) in self.hops.iter().enumerate() {
            if hop.kind == HopKind::Upstream && hop.from == caddy {
                dials.entry(&hop.dial).or_default().push((at, hop));
            }
        }
        dials
    }

    /// The first path to the proxy of every mitmproxy: what goes to its web interface is never captured.
    #[must_use]
    pub fn to_proxies<'p>(&'p self, setup: &'p Setup) -> Vec<(&'p Path, &'p Part)> {
        let mut first: Vec<(&Path, &Part)> = Vec::new();
        for path in &self.paths {
            let hop = path.hops.first().map(|at| &self.hops[*at]).filter(|hop| !hop.to_web_interface);
            let Some(to) = hop.and_then(|hop| hop.to.as_ref()) else { continue };
            let Some(part) = setup.mitmproxies.iter().find(|part| part.name == *to) else { continue };
            if !first.iter().any(|(_, own)| own.name == part.name) {
                first.push((path, part));
            }
        }
        first
    }

    /// The hops that some path goes over, or that start at a mitmproxy.
    pub fn relevant(&self) -> impl Iterator<Item = &Hop> {
        self.hops.iter().filter(|hop| hop.relevant)
    }
}

/// The way of a request for one Host and path.
#[derive(Debug, PartialEq)]
pub struct Path {
    /// The Host; `any other Host` for routes without a host matcher.
    pub host: String,
    /// The path that is asked for: `/`, or an example that gets by the path matchers of a route to mitmproxy.
    pub request_path: String,
    pub caddy: String,
    /// The port that Caddy's server listens on, and whether it speaks TLS there.
    pub listen: Option<(u16, bool)>,
    /// Indices into [`Paths::hops`]: Caddy's dial, then mitmproxy's target.
    pub hops: Vec<usize>,
    /// A route before the one that answers could not be decided (a header matcher, an expression).
    pub undecided: bool,
    /// What Caddy sends on as Host, where this route changes it; other routes may send another to the same dial.
    pub sets_host: Option<String>,
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
    /// Whether it leads to mitmweb's web interface instead of its proxy.
    pub to_web_interface: bool,
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

    /// Whether one of its ends is not there yet, so that nothing could be tried.
    #[must_use]
    pub fn is_planned(&self, containers: &Containers) -> bool {
        containers.is_planned(&self.from) || self.to.as_ref().is_some_and(|to| containers.is_planned(to))
    }

    /// Whether it goes to a port of the host, where published ports are.
    #[must_use]
    pub fn is_over_host(&self) -> bool {
        self.meaning == Meaning::TheHost || self.place == Place::Host && self.meaning == Meaning::Itself
    }

    /// The port that it reaches inside the one that is meant: another one when it goes over a published port.
    #[must_use]
    pub fn port_inside(&self, containers: &Containers) -> Option<u16> {
        let port = self.dial.port?;
        let place = |name: &String| containers.named(name).map(|own| containers.place_of(own));
        match containers.publishing(port).filter(|_| self.is_over_host()) {
            Some((owner, inside)) if self.to.as_ref().and_then(place) == Some(containers.place_of(owner)) => {
                Some(inside)
            }
            _ => Some(port),
        }
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// Why a dial is none that Caddy can make, or none that tells where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialProblem {
    /// `http://mitmproxy:8080`: Caddy takes `http:` for a network.
    Scheme,
    /// `mitmproxy:8080/api`: Caddy takes what is before the slash for a network.
    Path,
    /// `mitmproxy`: Caddy dials port 0 of this machine. An IPv6 address without brackets is no better.
    NoPort,
    /// `mitmproxy:8080-8081`: a dial must be one socket.
    PortRange,
    /// `mitmproxy:http`, `mitmproxy:99999`, `mitmproxy:0`.
    BadPort,
    Empty,
    /// It is known when Caddy starts, or per request; with its braces.
    Placeholder(String),
    /// A unix socket: nothing is wrong with it, but it leads to no port.
    Unix,
    /// `udp/mitmproxy:8080`: HTTP is not spoken there.
    OtherNetwork(String),
}

impl Dial {
    /// Reads an upstream's dial as Caddy does (`ParseNetworkAddress` in `listeners.go`): `host:port`, `:port`,
    /// `tcp/host:port`, `[::1]:1`. The JSON config takes anything, and the wrong ones fail per request.
    ///
    /// # Errors
    /// What is wrong with it, or why it is no address.
    pub fn check(dial: &str) -> Result<Self, DialProblem> {
        let (network, address) =
            dial.split_once('/').map_or(("", dial), |(network, address)| (network.trim(), address));
        if address.is_empty() {
            return Err(DialProblem::Empty);
        }
        if let Some(at) = dial.find('{') {
            let end = dial[at..].find('}').map_or(dial.len(), |length| at + length + 1);
            return Err(DialProblem::Placeholder(dial[at..end].to_owned()));
        }
        match network.to_ascii_lowercase().as_str() {
            "" if dial.starts_with('/') => return Err(DialProblem::Path),
            "" | "tcp" | "tcp4" | "tcp6" => {}
            network if network.starts_with("unix") => return Err(DialProblem::Unix),
            network if network.ends_with(':') && address.starts_with('/') => return Err(DialProblem::Scheme),
            network if network.contains([':', '.', '[']) => return Err(DialProblem::Path),
            network => return Err(DialProblem::OtherNetwork(network.to_owned())),
        }
        if address.contains('/') {
            return Err(DialProblem::Path);
        }
        let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, after)) if after.is_empty() || after.starts_with(':') => (host, after.strip_prefix(':')),
            Some(_) => return Err(DialProblem::BadPort),
            None => match address.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => (address, None),
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let read = |port: &str| port.parse::<u16>().ok().filter(|_| port.bytes().all(|digit| digit.is_ascii_digit()));
        let port = match port.unwrap_or_default().split_once('-') {
            None if port.unwrap_or_default().is_empty() => return Err(DialProblem::NoPort),
            None => read(port.unwrap_or_default()),
            Some((from, to)) => match (read(from), read(to)) {
                (Some(from), Some(to)) if from < to => return Err(DialProblem::PortRange),
                (Some(from), Some(to)) if from == to => Some(from),
                _ => None,
            },
        };
        match port {
            None | Some(0) => Err(DialProblem::BadPort),
            port => Ok(Self { host: host.to_owned(), port }),
        }
    }

    /// The same, where a port that is missing is forgiven. `None` when it cannot be known what is dialled.
    #[must_use]
    pub fn read(dial: &str) -> Option<Self> {
        match Self::check(dial) {
            Ok(dial) => Some(dial),
            Err(DialProblem::NoPort) => {
                let address = dial.split_once('/').map_or(dial, |(_, address)| address);
                let host = address.trim_end_matches(':').trim_matches(['[', ']']);
                Some(Self { host: host.to_owned(), port: None })
            }
            Err(_) => None,
        }
    }

    /// The host and port that a dial was meant to have which is none ([`Dial::check`]): without its scheme, network and
    /// path. `None` where no port can be read out of it.
    #[must_use]
    pub fn meant(dial: &str) -> Self {
        let address = match (dial.split_once("://"), dial.split_once('/')) {
            (Some((_, address)), _) => address,
            (None, Some((network, address))) if network.chars().all(|c| c.is_ascii_alphanumeric()) => address,
            _ => dial,
        };
        let address = address.split('/').next().unwrap_or(address);
        let address = address.rsplit('@').next().unwrap_or(address);
        match text::host_and_port(address) {
            Some((host, port)) => Self { host: host.to_owned(), port },
            None => {
                let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
                let port = port.split('-').next().and_then(|first| first.parse().ok());
                Self { host: host.trim_matches(['[', ']']).to_owned(), port }
            }
        }
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

/// The host that stands for every Host that no matcher names.
const ANY_HOST: &str = "any other Host";
/// How many requests are followed when no Host was asked for; a config may name thousands.
const MOST_REQUESTS: usize = 8;

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
        let lost = facts.asked.hosts.iter().map(|host| matchers::without_port(host));
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
    for caddy in &setup.caddies {
        paths.to_mitmproxy.extend(finder.dial_for(caddy).map(|dial| (caddy.name.clone(), dial)));
    }
    paths
}

/// A dial that leads to no mitmproxy is relevant when it could be the one that was meant to: no other dial of that Caddy
/// does, and it has a port or nearly the name of a mitmproxy. A Caddy may serve many other sites, which are nobody's
/// business here.
fn mark_relevant(paths: &mut Paths, finder: &Finder<'_>) {
    let at_proxy = |hop: &&Hop| hop.to_mitmproxy && !hop.to_web_interface;
    let leading: BTreeSet<String> = paths.hops.iter().filter(at_proxy).map(|hop| hop.from.clone()).collect();
    let (ports, names) = finder.of_mitmproxies();
    let could_be_meant = |dial: &Dial| {
        dial.port.is_some_and(|port| ports.contains(&port))
            || text::nearest(&dial.host, names.iter().map(String::as_str)).is_some()
    };
    for hop in &mut paths.hops {
        let leads = leading.contains(&hop.from);
        hop.relevant = hop.kind == HopKind::Target
            || hop.to_mitmproxy && !(leads && hop.to_web_interface)
            || !leads
                && (hop.to.is_none() || matches!(hop.meaning, Meaning::Elsewhere(_)))
                && could_be_meant(&hop.dial);
    }
    let Paths { paths, hops, .. } = paths;
    if paths.iter().any(|path| path.hops.iter().any(|at| hops[*at].relevant)) {
        // The web interface is of the setup, too.
        paths.retain(|path| path.hops.iter().any(|at| hops[*at].relevant || hops[*at].to_web_interface));
    }
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
        let proxies = route::proxies(config);
        // The same dial may stand in thousands of routes.
        let mut known: BTreeMap<(Dial, bool), usize> = BTreeMap::new();
        let mut leading: Vec<&Proxy<'_>> = Vec::new();
        let mut astray: Vec<&Proxy<'_>> = Vec::new();
        for proxy in &proxies {
            let (mut leads, mut strays) = (false, false);
            for (index, dial) in route::dials(proxy.handler) {
                let Some(dial) = Dial::read(&dial) else { continue };
                let at = *known.entry((dial.clone(), proxy.handler.tls())).or_insert_with(|| {
                    let mut hop = self.upstream(caddy, proxy.handler, dial);
                    hop.config_path = index.map(|index| format!("{}/upstreams/{index}/dial", proxy.at));
                    paths.hops.push(hop);
                    paths.hops.len() - 1
                });
                let hop = &paths.hops[at];
                leads |= hop.to_mitmproxy;
                strays |= hop.to.is_none() || matches!(hop.meaning, Meaning::Elsewhere(_));
            }
            if leads {
                leading.push(proxy);
            } else if strays {
                astray.push(proxy);
            }
        }
        // One that leads to nobody may be the one that was meant to lead there.
        leading.append(&mut astray);
        if leading.is_empty() {
            leading = proxies.iter().collect();
        }
        let routers: Vec<(&Server, Router<'_>)> =
            config.servers().iter().map(|(name, server)| (server, Router::new(name, server))).collect();
        let mut drawn = BTreeSet::new();
        for request in requests(&leading, asked) {
            for (server, router) in &routers {
                let listen = server
                    .listen
                    .iter()
                    .find_map(|address| listen_port(address))
                    .map(|port| (port, config.apps.http.speaks_tls(server, port)));
                let (request_path, ends) = request.ends(router);
                for end in ends {
                    let EndKind::Proxy { handler, sets_host } = end.kind else { continue };
                    for (_, dial) in route::dials(handler) {
                        let at = Dial::read(&dial).and_then(|dial| known.get(&(dial, handler.tls())).copied());
                        let Some(at) = at else { continue };
                        let sets_host_here = handler.sets_host().or(sets_host);
                        if sets_host.is_some() {
                            paths.hops[at].sets_host = sets_host_here.map(str::to_owned);
                        }
                        if drawn.insert((request.host.clone(), request_path.clone(), listen, at, end.certain)) {
                            paths.paths.push(Path {
                                host: request.host.clone(),
                                request_path: request_path.clone(),
                                caddy: caddy.name.clone(),
                                listen,
                                hops: vec![at],
                                undecided: !end.certain,
                                sets_host: sets_host_here.map(str::to_owned),
                            });
                        }
                    }
                }
            }
        }
    }

    fn upstream(&self, caddy: &Part, handler: &Handler, dial: Dial) -> Hop {
        let sets_host = handler.sets_host().map(str::to_owned);
        self.hop(caddy, HopKind::Upstream, dial, sets_host, handler.tls())
    }

    fn targets(&self, mitmproxy: &Part, hops: &mut Vec<Hop>) {
        let Some(seen) = self.mitmproxies.named(&mitmproxy.name) else { return };
        for mode in seen.modes().0 {
            let Some(target) = mode.target else { continue };
            let tls = matches!(target.scheme.as_str(), "https" | "tls");
            let dial = Dial { host: target.host, port: Some(target.port) };
            let hop = self.hop(mitmproxy, HopKind::Target, dial, None, tls);
            let same = |other: &Hop| other.from == hop.from && other.dial == hop.dial && other.tls == hop.tls;
            if !hops.iter().any(|other| other.kind == HopKind::Target && same(other)) {
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

    fn is_web_interface(&self, hop: &Hop) -> bool {
        let seen = hop.to.as_ref().and_then(|to| self.mitmproxies.named(to));
        seen.is_some_and(|seen| {
            let port = hop.port_inside(self.containers);
            port == Some(seen.command_line.web_port()) && !modes_at(seen, port.unwrap_or(0)).any(|_| true)
        })
    }

    /// An address of a mitmproxy for a Caddy: its own loopback in one place, a name on a network of both, a published port.
    fn dial_for(&self, caddy: &Part) -> Option<String> {
        self.setup.mitmproxies.iter().find_map(|part| {
            let seen = self.mitmproxies.named(&part.name);
            let own = self.containers.named(&part.name);
            let port = seen.and_then(|seen| seen.modes().0.first().map(|mode| mode.listen_port)).unwrap_or(8080);
            if part.place == caddy.place {
                return Some(format!("localhost:{port}"));
            }
            let owner = match &part.place {
                Place::Container(owner) => self.containers.named(owner)?,
                Place::Host => return None,
            };
            match &caddy.place {
                Place::Host => owner.published(port).map(|(ip, port)| text::join_port(ip, port)),
                Place::Container(name) => {
                    let caddy = self.containers.named(name)?;
                    let shared = owner.networks.iter().find(|attached| {
                        crate::model::docker::is_user_defined(&attached.network)
                            && caddy.on(&attached.network).is_some()
                    })?;
                    // A service of compose is known by its short name.
                    let service = own.and_then(|own| own.compose.as_ref()).map(|compose| compose.service.as_str());
                    let name = service.filter(|service| shared.answers_to(service)).unwrap_or(&owner.name);
                    Some(text::join_port(name, port))
                }
            }
        })
    }

    fn hop(&self, from: &Part, kind: HopKind, dial: Dial, sets_host: Option<String>, tls: bool) -> Hop {
        let meaning = names::meaning(self.containers, self.networks, &from.place, &dial.host);
        let to = self.who(from, &meaning, &dial);
        let to_mitmproxy = kind == HopKind::Upstream
            && to.as_ref().is_some_and(|to| self.setup.mitmproxies.iter().any(|part| part.name == *to));
        let mut hop = Hop {
            from: from.name.clone(),
            place: from.place.clone(),
            kind,
            dial,
            meaning,
            to,
            to_mitmproxy,
            to_web_interface: false,
            relevant: false,
            sets_host,
            tls,
            config_path: None,
        };
        hop.to_web_interface = self.is_web_interface(&hop);
        hop
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
            other.lives()
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

    /// Whether the mode that has this target is the one that listens where the upstream dials. Behind the web interface
    /// there is none.
    fn listens(&self, target: &Hop, upstream: &Hop) -> bool {
        if upstream.to_web_interface {
            return false;
        }
        let Some(seen) = self.mitmproxies.named(&target.from) else { return false };
        let modes = seen.modes().0;
        if modes.len() < 2 {
            return true;
        }
        let is_target = |mode: &Mode| {
            mode.target.as_ref().is_some_and(|own| own.host == target.dial.host && Some(own.port) == target.dial.port)
        };
        let Some(port) = upstream.port_inside(self.containers) else { return true };
        modes.iter().any(|mode| mode.listen_port == port && is_target(mode))
    }
}

fn modes_at(seen: &MitmproxySeen, port: u16) -> impl Iterator<Item = Mode> {
    seen.modes().0.into_iter().filter(move |mode| mode.listen_port == port)
}

/// A request that is followed.
struct Followed<'p> {
    host: String,
    /// The example of the route that it is meant for; `None` when none can be given.
    sample: Option<String>,
    /// The proxy at the end of that route, when it is meant for one.
    meant: Option<&'p Handler>,
}

impl Followed<'_> {
    /// Where it ends in a server, and the path for which that holds. An earlier route may take the example away
    /// (`respond / ...`), and another path gets by: the first that certainly leads to what is meant is taken.
    fn ends<'c>(&self, router: &Router<'c>) -> (String, Vec<End<'c>>) {
        let ask = |path: Option<&str>| router.ends(&Request { host: &self.host, path, method: None });
        let is_meant = |end: &End<'_>| match end.kind {
            EndKind::Proxy { handler, .. } => self.meant.is_none_or(|meant| std::ptr::eq(meant, handler)),
            _ => false,
        };
        let Some(sample) = &self.sample else { return ("/".to_owned(), ask(None)) };
        let other = if sample.ends_with('/') { format!("{sample}x") } else { format!("{sample}/x") };
        let mut found: Vec<(String, Vec<End<'c>>)> = Vec::new();
        for path in [sample, &other] {
            let ends = ask(Some(path));
            if ends.iter().any(|end| end.certain && is_meant(end)) {
                return (path.clone(), ends);
            }
            found.push((path.clone(), ends));
        }
        let best = found.iter().position(|(_, ends)| ends.iter().any(is_meant));
        let any_proxy = |ends: &[End<'_>]| ends.iter().any(|end| matches!(end.kind, EndKind::Proxy { .. }));
        match best.or_else(|| found.iter().position(|(_, ends)| any_proxy(ends))) {
            Some(best) => found.swap_remove(best),
            // Then perhaps for a path that was not thought of.
            None => (sample.clone(), ask(None)),
        }
    }
}

/// The requests that tell most: for every proxy the first Hosts around it, or those that were asked for, each with an
/// example path.
fn requests<'p>(proxies: &[&Proxy<'p>], asked: &[String]) -> Vec<Followed<'p>> {
    let mut requests: Vec<Followed<'_>> = Vec::new();
    let mut add = |host: &str, proxy: Option<&Proxy<'p>>| {
        let sample = proxy.map_or(Some("/"), |proxy| proxy.sample_path.as_deref());
        if !requests.iter().any(|known| known.host == host && known.sample.as_deref() == sample) {
            requests.push(Followed {
                host: host.to_owned(),
                sample: sample.map(str::to_owned),
                meant: proxy.map(|proxy| proxy.handler),
            });
        }
        requests.len() < MOST_REQUESTS
    };
    if asked.is_empty() {
        for proxy in proxies {
            let any_host = [ANY_HOST.to_owned()];
            let hosts = if proxy.hosts.is_empty() { &any_host[..] } else { &proxy.hosts };
            if !hosts.iter().all(|host| add(host, Some(proxy))) {
                break;
            }
        }
        return requests;
    }
    for host in asked.iter().map(|host| matchers::without_port(host)) {
        let lets_by = |proxy: &&&Proxy<'p>| {
            proxy.hosts.is_empty() || matchers::hosts_match(&proxy.hosts, Some(host)) != Some(false)
        };
        let mut meant = proxies.iter().filter(lets_by).take(MOST_REQUESTS).peekable();
        if meant.peek().is_none() {
            add(host, None);
        }
        for proxy in meant {
            add(host, Some(proxy));
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, example};

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
        assert_eq!(dial("TCP6/[::1]:1"), Some(("::1".into(), Some(1))));
        assert_eq!((dial(":8080"), dial("h:1-1")), (Some((String::new(), Some(8080))), Some(("h".into(), Some(1)))));
        for without_port in ["mitmproxy", "tcp/mitmproxy", "mitmproxy:"] {
            assert_eq!(dial(without_port), Some(("mitmproxy".into(), None)), "{without_port}");
        }
        for (wrong, problem) in [
            ("http://h:1", DialProblem::Scheme),
            ("http://h", DialProblem::Scheme),
            ("h:1/api", DialProblem::Path),
            ("tcp/h:1/api", DialProblem::Path),
            ("/h:1", DialProblem::Path),
            ("h:1-2", DialProblem::PortRange),
            ("h:2-1", DialProblem::BadPort),
            ("h:http", DialProblem::BadPort),
            ("h:99999", DialProblem::BadPort),
            ("h:+80", DialProblem::BadPort),
            ("h:0", DialProblem::BadPort),
            ("", DialProblem::Empty),
            ("tcp/", DialProblem::Empty),
            ("{env.X}:80", DialProblem::Placeholder("{env.X}".into())),
            ("h:{env.PORT}", DialProblem::Placeholder("{env.PORT}".into())),
            ("unix//run/x.sock", DialProblem::Unix),
            ("unix+h2c//run/x.sock", DialProblem::Unix),
            ("udp/h:1", DialProblem::OtherNetwork("udp".into())),
        ] {
            assert_eq!((Dial::check(wrong), dial(wrong)), (Err(problem), None), "{wrong}");
        }
        assert_eq!(Dial::check("::1"), Err(DialProblem::NoPort));
    }

    /// A healthy setup with these routes.
    fn with_routes(routes: &str) -> Paths {
        let mut facts = example::healthy();
        let config = format!(r#"{{"apps":{{"http":{{"servers":{{"s":{{"listen":[":80"],"routes":[{routes}]}}}}}}}}}}"#);
        facts.caddies.as_mut().unwrap().0[0].config = Ok(serde_json::from_str(&config).unwrap());
        Context::new(facts).paths.unwrap()
    }

    fn proxy(dial: &str) -> String {
        format!(r#"{{"handler":"reverse_proxy","upstreams":[{{"dial":"{dial}"}}]}}"#)
    }

    #[test]
    fn a_route_with_a_path_is_followed_with_a_path_that_gets_by() {
        let paths = with_routes(&format!(
            r#"{{"match":[{{"path":["/api/*"]}}],"handle":[{{"handler":"subroute","routes":[
                {{"handle":[{{"handler":"rewrite","strip_path_prefix":"/api"}}]}},{{"handle":[{}]}}]}}]}},{{"handle":[{}]}}"#,
            proxy("mitmproxy:8080"),
            proxy("oldsite:9000"),
        ));
        let seen: Vec<(&str, bool, String)> = paths
            .paths
            .iter()
            .map(|path| (path.request_path.as_str(), path.undecided, paths.hops[path.hops[0]].id()))
            .collect();
        assert_eq!(seen, [("/api/x", false, "caddy -> mitmproxy:8080".to_owned())]);
    }

    #[test]
    fn an_earlier_route_for_the_example_alone_takes_nothing_away() {
        let respond = r#"{"match":[{"path":["/"]}],"handle":[{"handler":"static_response"}]}"#;
        let paths = with_routes(&format!(r#"{respond},{{"handle":[{}]}}"#, proxy("mitmproxy:8080")));
        assert_eq!((paths.paths[0].request_path.as_str(), paths.paths[0].undecided), ("/x", false));
    }

    #[test]
    fn a_path_to_the_web_interface_ends_there() {
        let routes = |others: &str| {
            let web = proxy("mitmproxy:8081");
            with_routes(&format!(r#"{{"match":[{{"path":["/mitm/*"]}}],"handle":[{web}]}}{others}"#))
        };
        let hops = |paths: &Paths| -> Vec<Vec<String>> {
            paths.paths.iter().map(|path| path.hops.iter().map(|at| paths.hops[*at].id()).collect()).collect()
        };
        let web = routes("");
        let setup = Context::new(example::healthy()).setup.unwrap();
        assert_eq!((hops(&web), web.to_proxies(&setup)), (vec![vec!["caddy -> mitmproxy:8081".to_owned()]], vec![]));
        let other = format!(r#",{{"handle":[{}]}}"#, proxy("mitmproxy:8080"));
        let both = routes(&other);
        let through = ["caddy -> mitmproxy:8080", "mitmproxy -> backend:3000"].map(str::to_owned).to_vec();
        assert_eq!(hops(&both), [vec!["caddy -> mitmproxy:8081".to_owned()], through]);
        assert_eq!(both.to_proxies(&setup), [(&both.paths[1], &setup.mitmproxies[0])]);
    }

    #[test]
    fn ten_thousand_routes_are_little_work() {
        let routes: Vec<String> = (0..10_000)
            .map(|n| {
                let proxy = proxy(&format!("site{n}:8080"));
                format!(r#"{{"match":[{{"host":["site{n}.example.com"]}}],"handle":[{proxy}],"terminal":true}}"#)
            })
            .chain([format!(r#"{{"handle":[{}]}}"#, proxy("mitmproxy:8080"))])
            .collect();
        let paths = with_routes(&routes.join(","));
        assert_eq!(paths.hops.len(), 10_002);
        assert_eq!(
            paths.hops[9_999].config_path.as_deref(),
            Some("/config/apps/http/servers/s/routes/9999/handle/0/upstreams/0/dial")
        );
        assert!(paths.paths.len() <= MOST_REQUESTS);
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
