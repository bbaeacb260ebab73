//! Where a request goes within a server: which of its routes apply, in which order, and which handler ends it. Done as
//! Caddy does it (`modules/caddyhttp/routes.go`, `subroute.go`, `server.go`), from the config alone. What cannot be
//! decided from it (a header matcher, an expression, a placeholder, a module that is not Caddy's own) is followed both
//! ways, and what comes of it is not certain.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    rc::Rc,
};

use crate::model::{
    caddy::{CaddyConfig, DynamicUpstreams, Handler, MatcherSet, Route, Server},
    matchers::{self, PathNow, RequestPath, Subject},
};

/// A request that is sent to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Request<'r> {
    /// With or without a port.
    pub host: &'r str,
    /// As it is sent, so with its percent encoding. `None`: any path, and path matchers are undecided.
    pub path: Option<&'r str>,
    /// `None`: GET.
    pub method: Option<&'r str>,
}

/// Where a request ends, or may end.
#[derive(Debug)]
pub struct End<'c> {
    pub kind: EndKind<'c>,
    /// The path by which the admin API knows the handler, or the terminal route, where it ends:
    /// `/config/apps/http/servers/srv0/routes/0/handle/0`. The server's, when no route is left.
    pub at: String,
    /// The index among the server's own routes. `None` when no route is left, or for an error route of the server.
    pub top: Option<usize>,
    /// Whether it certainly ends there. At most one end of a request is certain.
    pub certain: bool,
}

#[derive(Debug)]
pub enum EndKind<'c> {
    Proxy {
        handler: &'c Handler,
        /// A Host that a handler before it set.
        sets_host: Option<&'c str>,
    },
    /// A handler answers by itself: `static_response`, `file_server`, ...
    Responds(&'c Handler),
    /// No handler is left: Caddy answers 200 with an empty body.
    Nothing,
}

/// [`Router::ends`] of a single request.
#[must_use]
pub fn ends<'c>(name: &str, server: &'c Server, request: &Request<'_>) -> Vec<End<'c>> {
    Router::new(name, server).ends(request)
}

/// A server that is asked where requests go.
pub struct Router<'c> {
    server: &'c Server,
    /// The path by which the admin API knows it.
    at: String,
    /// By the first route of a list.
    by_host: RefCell<BTreeMap<*const Route, Rc<ByHost<'c>>>>,
    steps: Cell<u64>,
}

impl<'c> Router<'c> {
    #[must_use]
    pub fn new(name: &str, server: &'c Server) -> Self {
        Self { server, at: server_path(name), by_host: RefCell::default(), steps: Cell::new(0) }
    }

    /// All ends that a request can have; more than one where something cannot be decided. That an upstream cannot be
    /// reached is no end of its own, and neither is what `handle_response` makes of an upstream's answer.
    ///
    /// Who is asked for a password (`authentication`) is taken to have it, so that what comes after stays certain; the
    /// refusal is listed as an end that is not.
    #[must_use]
    pub fn ends(&self, request: &Request<'_>) -> Vec<End<'c>> {
        let path = match request.path {
            Some(path) => RequestPath::read(path).map_or(PathNow::Unknown, PathNow::Known),
            None => PathNow::Any,
        };
        let mut walk = Walk {
            router: self,
            server: self.server,
            ends: Vec::new(),
            now: Now {
                host: Some(matchers::without_port(request.host)),
                path: Rc::new(path),
                method: Some(Cow::Borrowed(request.method.unwrap_or("GET"))),
                sets_host: None,
                is_blind: false,
            },
            groups: BTreeMap::new(),
            claims: Vec::new(),
            certain: true,
            catchers: Vec::new(),
            asked_catchers: 0,
            asked_server: false,
            was_caught: false,
            at: self.at.clone(),
            top: None,
            depth: 0,
            steps: 0,
            gave_up: false,
        };
        walk.server_routes();
        if walk.was_caught {
            // Error routes that do not answer let the request go on behind their subroute, with groups used and paths
            // rewritten by what ran before the error: anything may come of it.
            (walk.certain, walk.now.is_blind) = (false, true);
            (walk.asked_catchers, walk.asked_server) = (0, false);
            walk.catchers.clear();
            walk.server_routes();
            let mut seen = BTreeSet::new();
            walk.ends.retain(|end| seen.insert(end.at.clone()));
        }
        self.steps.set(self.steps.get() + u64::from(walk.steps));
        walk.ends
    }

    /// How many routes and handlers were looked at for all requests so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// The next route of a list, from this index on, that may be for a Host.
    fn next(&self, routes: &'c [Route], from: usize, host: &str) -> Option<usize> {
        let list =
            Rc::clone(self.by_host.borrow_mut().entry(routes.as_ptr()).or_insert_with(|| Rc::new(ByHost::of(routes))));
        list.next(from, host)
    }
}

/// The routes of a list by the Hosts that they are for: a config may hold thousands, each for one of its own.
struct ByHost<'c> {
    /// A plain pattern in lower case, and an index, sorted.
    plain: Vec<(Cow<'c, str>, usize)>,
    /// Those of which something else than a plain pattern may decide, in order.
    others: Vec<usize>,
}

impl<'c> ByHost<'c> {
    fn of(routes: &'c [Route]) -> Self {
        let (mut plain, mut others) = (Vec::new(), Vec::new());
        for (index, route) in routes.iter().enumerate() {
            match matchers::plain_hosts(&route.matches) {
                Some(hosts) => plain.extend(hosts.map(|host| (matchers::ascii_lower_case(host), index))),
                None => others.push(index),
            }
        }
        plain.sort_unstable();
        Self { plain, others }
    }

    fn next(&self, from: usize, host: &str) -> Option<usize> {
        let host = matchers::ascii_lower_case(host);
        let below = host.split_once('.').and_then(|(_, name)| self.of_pattern(from, &format!("*.{name}")));
        let other = self.others.get(self.others.partition_point(|index| *index < from)).copied();
        [self.of_pattern(from, &host), below, other].into_iter().flatten().min()
    }

    fn of_pattern(&self, from: usize, pattern: &str) -> Option<usize> {
        let at = self.plain.partition_point(|(own, index)| (&**own, *index) < (pattern, from));
        self.plain.get(at).filter(|(own, _)| *own == pattern).map(|(_, index)| *index)
    }
}

fn server_path(name: &str) -> String {
    format!("/config/apps/http/servers/{name}")
}

/// How many routes and handlers are followed for one request: a named route that invokes itself has no end.
const MOST_STEPS: u32 = 200_000;
/// How deep routes may be nested. JSON that Caddy's config was read from is not as deep.
const MOST_DEPTH: u32 = 48;

/// A request on its way through the routes of a server.
struct Walk<'c, 'w> {
    router: &'w Router<'c>,
    server: &'c Server,
    ends: Vec<End<'c>>,
    now: Now<'c, 'w>,
    /// Groups of which a route was used (true) or may have been used. They hold for the whole request.
    groups: BTreeMap<&'c str, bool>,
    /// What a group was before a route of it was used.
    claims: Vec<(&'c str, Option<bool>)>,
    /// Whether everything so far was decided.
    certain: bool,
    /// The error routes of every subroute that was entered: they catch what comes after it as well.
    catchers: Vec<(&'c [Route], String)>,
    /// How many of them were followed already.
    asked_catchers: usize,
    asked_server: bool,
    /// Whether a handler returned an error, or may have, for which a subroute has routes.
    was_caught: bool,
    /// Where it is, for the admin API.
    at: String,
    top: Option<usize>,
    depth: u32,
    steps: u32,
    gave_up: bool,
}

/// What is known of the request at some place.
#[derive(Clone, PartialEq)]
struct Now<'c, 'w> {
    host: Option<&'w str>,
    path: Rc<PathNow>,
    method: Option<Cow<'w, str>>,
    sets_host: Option<&'c str>,
    /// Nothing is known of it any more.
    is_blind: bool,
}

impl<'c: 'w, 'w> Walk<'c, 'w> {
    fn server_routes(&mut self) {
        let mut next = 0;
        while let Some(index) = self.next(&self.server.routes, next) {
            self.top = Some(index);
            if self.route(&self.server.routes[index], |at| write!(at, "/routes/{index}")) {
                return;
            }
            next = index + 1;
        }
        self.top = None;
        self.end(EndKind::Nothing);
    }

    fn end(&mut self, kind: EndKind<'c>) {
        self.ends.push(End { kind, at: self.at.clone(), top: self.top, certain: self.certain && !self.gave_up });
    }

    /// Runs routes in order; true when the request certainly ended in them.
    fn routes(&mut self, routes: &'c [Route], place: &str) -> bool {
        if self.depth >= MOST_DEPTH {
            self.gave_up = true;
            return false;
        }
        self.depth += 1;
        let length = self.at.len();
        self.at.push_str(place);
        let (mut ended, mut next) = (false, 0);
        while let Some(index) = self.next(routes, next).filter(|_| !ended) {
            ended = self.route(&routes[index], |at| write!(at, "/routes/{index}"));
            next = index + 1;
        }
        self.at.truncate(length);
        self.depth -= 1;
        ended
    }

    /// The next route from this index on that may match; those in between certainly do not.
    fn next(&self, routes: &'c [Route], from: usize) -> Option<usize> {
        match self.now.host {
            _ if from + 1 >= routes.len() => (from < routes.len()).then_some(from),
            // Words that stand for every other Host may be let in by any pattern.
            Some(host) if !self.now.is_blind && host.is_ascii() && !host.contains(' ') => {
                self.router.next(routes, from, host)
            }
            _ => Some(from),
        }
    }

    fn route(&mut self, route: &'c Route, place: impl FnOnce(&mut String) -> std::fmt::Result) -> bool {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            self.gave_up = true;
            return false;
        }
        let group = route.group.as_deref().filter(|group| !group.is_empty());
        let was_used = group.map_or(Some(false), |group| match self.groups.get(group) {
            _ if self.now.is_blind => None,
            None => Some(false),
            Some(true) => Some(true),
            Some(false) => None,
        });
        if was_used == Some(true) {
            return false;
        }
        let matches = self.matches(&route.matches);
        if matches == Some(false) {
            return false;
        }
        let length = self.at.len();
        let _ = place(&mut self.at);
        let first_claim = self.claims.len();
        if let Some(group) = group {
            self.claims.push((group, self.groups.insert(group, true)));
        }
        let ended = if matches.is_some() && was_used.is_some() {
            self.run(route)
        } else {
            let (before, certain, ends) = (self.now.clone(), self.certain, self.ends.len());
            self.certain = false;
            let ended = self.run(route);
            // It may as well not have run: what comes after it is possible, too.
            self.may_have_claimed(first_claim, group.filter(|_| matches.is_some()));
            self.certain = certain && self.ends.len() == ends;
            let after = std::mem::replace(&mut self.now, before);
            if !ended {
                self.now.join(&after);
            }
            false
        };
        self.at.truncate(length);
        ended
    }

    fn run(&mut self, route: &'c Route) -> bool {
        let length = self.at.len();
        for (index, handler) in route.handle.iter().enumerate() {
            let _ = write!(self.at, "/handle/{index}");
            let ended = self.handler(handler);
            self.at.truncate(length);
            if ended {
                return true;
            }
        }
        if route.terminal {
            self.end(EndKind::Nothing);
        }
        route.terminal
    }

    fn handler(&mut self, handler: &'c Handler) -> bool {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            self.gave_up = true;
            return false;
        }
        match handler.handler.as_str() {
            "reverse_proxy" => self.proxy(handler),
            "subroute" => {
                let Some(errors) = &handler.errors else { return self.routes(&handler.routes, "") };
                self.catchers.push((&errors.routes, format!("{}/errors", self.at)));
                self.routes(&handler.routes, "") && !self.now.is_blind
            }
            "invoke" => {
                let name = handler.name.as_deref().unwrap_or_default();
                let Some(route) = self.server.named_routes.get(name) else { return self.throw(handler, true) };
                if self.depth >= MOST_DEPTH {
                    self.gave_up = true;
                    return false;
                }
                let there = self.router.at.clone();
                let here = std::mem::replace(&mut self.at, there);
                self.depth += 1;
                let ended = self.route(route, |at| write!(at, "/named_routes/{name}"));
                self.depth -= 1;
                self.at = here;
                ended
            }
            // Early hints are no final answer.
            "static_response" if handler.status_code == Some(103) => false,
            "static_response" | "metrics" | "copy_response" => {
                self.end(EndKind::Responds(handler));
                true
            }
            "error" => self.throw(handler, true),
            // A file that is not there is an error, or is left to the next handler.
            "file_server" if !handler.pass_thru => self.throw(handler, true),
            "file_server" | "acme_server" => {
                self.certain = false;
                self.end(EndKind::Responds(handler));
                false
            }
            "authentication" => {
                let certain = self.certain;
                self.throw(handler, false);
                self.certain = certain;
                false
            }
            "headers" => {
                if let Some(ops) = &handler.request {
                    self.now.host = ops.host_after(self.now.host).map(matchers::without_port);
                    self.now.sets_host = ops.sets_host().or(self.now.sets_host);
                }
                false
            }
            "rewrite" => {
                self.rewrite(handler);
                false
            }
            "encode"
            | "templates"
            | "vars"
            | "map"
            | "push"
            | "request_body"
            | "tracing"
            | "log_append"
            | "intercept"
            | "timeouts"
            | "copy_response_headers" => false,
            // A module of somebody else: it may answer, change the request, or let it pass.
            _ => {
                self.throw(handler, false);
                self.now.is_blind = true;
                false
            }
        }
    }

    fn proxy(&mut self, handler: &'c Handler) -> bool {
        // The routes of an answer may let the request go on behind the proxy: that is how forward_auth works.
        let mut passes = false;
        let before = self.now.clone();
        let mut after = before.clone();
        for (index, response) in handler.handle_response.iter().enumerate() {
            if response.status_code || response.routes.is_empty() {
                continue;
            }
            let (ends, claims, catchers) = (self.ends.len(), self.claims.len(), self.catchers.len());
            let (certain, was_caught) = (self.certain, self.was_caught);
            let asked = (self.asked_catchers, self.asked_server);
            if !self.routes(&response.routes, &format!("/handle_response/{index}")) {
                passes = true;
                after.is_blind |= self.now != before;
            }
            self.now = before.clone();
            self.ends.truncate(ends);
            self.catchers.truncate(catchers);
            (self.certain, self.was_caught) = (certain, was_caught);
            (self.asked_catchers, self.asked_server) = asked;
            self.may_have_claimed(claims, None);
        }
        self.now = after;
        self.certain &= !passes;
        self.end(EndKind::Proxy { handler, sets_host: self.now.sets_host });
        !passes
    }

    /// What was claimed since then may not have been, but for `surely`.
    fn may_have_claimed(&mut self, since: usize, surely: Option<&str>) {
        for (group, was) in &self.claims[since..] {
            if *was != Some(true) && Some(*group) != surely {
                self.groups.insert(group, false);
            }
        }
    }

    fn rewrite(&mut self, handler: &'c Handler) {
        let Some(rewrite) = &handler.rewrite else { return };
        if let Some(method) = &rewrite.method {
            self.now.method = (!method.contains('{')).then(|| Cow::Owned(method.to_uppercase()));
        }
        self.now.path = Rc::new(match &*self.now.path {
            path if !rewrite.changes_path() => path.clone(),
            PathNow::Known(path) => path.rewritten(rewrite).map_or(PathNow::Unknown, PathNow::Known),
            _ => PathNow::Unknown,
        });
    }

    fn is_caught(&self) -> bool {
        !self.catchers.is_empty() || self.server.errors.as_ref().is_some_and(|errors| !errors.routes.is_empty())
    }

    /// A handler returns an error, or may do so. Error routes that are there may answer; their matchers look at the
    /// error, which is not known here.
    fn throw(&mut self, handler: &'c Handler, surely: bool) -> bool {
        let certain = self.certain;
        self.certain &= surely && !self.is_caught();
        self.end(EndKind::Responds(handler));
        self.certain = false;
        self.was_caught |= !self.catchers.is_empty();
        let before = self.now.clone();
        self.now.is_blind = true;
        let here = self.at.clone();
        let claims = self.claims.len();
        while let Some((routes, at)) = self.catchers.get(self.asked_catchers).cloned() {
            self.asked_catchers += 1;
            self.at = at;
            self.routes(routes, "");
        }
        if let Some(errors) = self.server.errors.as_ref().filter(|_| !self.asked_server) {
            self.asked_server = true;
            let top = self.top.take();
            self.at.clone_from(&self.router.at);
            self.routes(&errors.routes, "/errors");
            self.top = top;
        }
        // Where no error was returned, none of those routes has run.
        for (group, was) in self.claims.drain(claims..).rev() {
            match was {
                Some(was) => drop(self.groups.insert(group, was)),
                None => drop(self.groups.remove(group)),
            }
        }
        self.at = here;
        self.now = before;
        self.certain = certain && surely;
        surely
    }

    fn matches(&self, sets: &[MatcherSet]) -> Option<bool> {
        if self.now.is_blind {
            return if sets.is_empty() { Some(true) } else { None };
        }
        let Now { host, path, method, .. } = &self.now;
        matchers::any_set(sets, &Subject { host: *host, path, method: method.as_deref() })
    }
}

impl Now<'_, '_> {
    /// What is known when it may be the one or the other.
    fn join(&mut self, other: &Self) {
        self.host = self.host.filter(|_| self.host == other.host);
        if self.path != other.path {
            self.path = Rc::new(PathNow::Unknown);
        }
        if self.method != other.method {
            self.method = None;
        }
        self.is_blind |= other.is_blind;
    }
}

/// A reverse proxy, wherever it stands in a config.
#[derive(Debug)]
pub struct Proxy<'c> {
    pub handler: &'c Handler,
    /// The name of the server.
    pub server: &'c str,
    /// The index among the server's own routes; for one in a named route that of the first route that invokes it. The
    /// number of the routes for one that is reached by none: in an error route, or never invoked.
    pub top: usize,
    /// Of the host matchers around it; none when every Host gets by them.
    pub hosts: Rc<[String]>,
    /// A path that gets by the path matchers around it: `/` when there is none, `/api/x` for `/api/*`. `None` when no
    /// example can be given.
    pub sample_path: Option<Rc<str>>,
    /// The path by which the admin API knows it.
    pub at: String,
}

/// Every reverse proxy of a config, each once, also those that only answer in place of another (`handle_response`) or
/// after an error.
#[must_use]
pub fn proxies(config: &CaddyConfig) -> Vec<Proxy<'_>> {
    let mut found = Vec::new();
    for (name, server) in config.servers() {
        let at = server_path(name);
        let mut search =
            Search { server, name, top: 0, at, found: &mut found, invoked: Vec::new(), named: BTreeMap::new() };
        search.routes(&server.routes, &Around::default(), true);
        // Named routes may invoke others.
        let mut done = 0;
        while let Some(invoked) = search.invoked.get_mut(done) {
            let mut seen = BTreeSet::new();
            let mut hosts = std::mem::take(&mut invoked.hosts).unwrap_or_default();
            hosts.retain(|host| seen.insert(host.clone()));
            let around = Around { hosts: hosts.into(), sample: invoked.sample.take() };
            let name = invoked.name;
            search.top = invoked.top;
            search.named_route(name, &server.named_routes[name], &around);
            done += 1;
        }
        search.top = server.routes.len();
        for (name, route) in &server.named_routes {
            if !search.named.contains_key(name.as_str()) {
                search.named_route(name, route, &Around { sample: None, ..Around::default() });
            }
        }
        if let Some(errors) = &server.errors {
            search.at.push_str("/errors");
            search.routes(&errors.routes, &Around::default(), false);
        }
    }
    found
}

struct Search<'c, 'f> {
    server: &'c Server,
    name: &'c str,
    top: usize,
    at: String,
    found: &'f mut Vec<Proxy<'c>>,
    /// Named routes, in the order in which they are invoked.
    invoked: Vec<Invoked<'c>>,
    /// Where they are among those.
    named: BTreeMap<&'c str, usize>,
}

struct Invoked<'c> {
    name: &'c str,
    /// The first of the server's own routes that leads there.
    top: usize,
    /// Around all that invoke it; `None` when every Host gets there.
    hosts: Option<Vec<String>>,
    sample: Option<Sample<'c>>,
}

/// What gets by the matchers around a handler.
#[derive(Clone)]
struct Around<'c> {
    hosts: Rc<[String]>,
    /// A path that gets by, and what it is at this place after rewriting.
    sample: Option<Sample<'c>>,
}

impl Default for Around<'_> {
    fn default() -> Self {
        Self { hosts: Rc::from([]), sample: Some(Sample::default()) }
    }
}

#[derive(Clone)]
struct Sample<'c> {
    /// As it is sent.
    path: Rc<str>,
    /// How much of its beginning was stripped. `None` when it was rewritten to something else.
    stripped: Option<usize>,
    now: Rc<str>,
    /// The path matchers so far, and how much was stripped where they stand.
    matchers: Vec<(usize, &'c [String])>,
}

impl Default for Sample<'_> {
    fn default() -> Self {
        Self { path: Rc::from("/"), stripped: Some(0), now: Rc::from("/"), matchers: Vec::new() }
    }
}

impl<'c> Search<'c, '_> {
    fn routes(&mut self, routes: &'c [Route], around: &Around<'c>, are_own: bool) {
        let mut around = around.clone();
        let length = self.at.len();
        for (index, route) in routes.iter().enumerate() {
            if are_own {
                self.top = index;
            }
            let _ = write!(self.at, "/routes/{index}");
            let inside = self.route(route, &around);
            if route.matches.is_empty() && route.handle.iter().any(|handler| handler.handler == "rewrite") {
                around.sample = inside.sample;
            }
            self.at.truncate(length);
        }
    }

    fn named_route(&mut self, name: &str, route: &'c Route, around: &Around<'c>) {
        let length = self.at.len();
        let _ = write!(self.at, "/named_routes/{name}");
        self.route(route, around);
        self.at.truncate(length);
    }

    fn route(&mut self, route: &'c Route, around: &Around<'c>) -> Around<'c> {
        let mut inside = around.clone();
        inside.narrow(&route.matches);
        let length = self.at.len();
        for (index, handler) in route.handle.iter().enumerate() {
            let _ = write!(self.at, "/handle/{index}");
            match handler.handler.as_str() {
                "reverse_proxy" => self.found.push(Proxy {
                    handler,
                    server: self.name,
                    top: self.top,
                    hosts: Rc::clone(&inside.hosts),
                    sample_path: inside.sample.as_ref().map(|sample| Rc::clone(&sample.path)),
                    at: self.at.clone(),
                }),
                "rewrite" => inside.sample = inside.sample.take().and_then(|sample| sample.rewritten(handler)),
                "invoke" => self.invoke(handler, &inside),
                _ => {}
            }
            for (place, nested) in handler.nested() {
                let length = self.at.len();
                self.at.push_str(&place);
                self.routes(nested, &inside, false);
                self.at.truncate(length);
            }
            self.at.truncate(length);
        }
        inside
    }

    fn invoke(&mut self, handler: &'c Handler, around: &Around<'c>) {
        let name = handler.name.as_deref().unwrap_or_default();
        if !self.server.named_routes.contains_key(name) {
            return;
        }
        let hosts = (!around.hosts.is_empty()).then(|| around.hosts.to_vec());
        match self.named.get(name) {
            Some(at) => {
                // One whose turn has passed has given its Hosts away.
                match (&mut self.invoked[*at].hosts, hosts) {
                    (Some(before), Some(hosts)) => before.extend(hosts),
                    (before, _) => *before = None,
                }
            }
            None => {
                self.named.insert(name, self.invoked.len());
                self.invoked.push(Invoked { name, top: self.top, hosts, sample: around.sample.clone() });
            }
        }
    }
}

impl<'c> Around<'c> {
    fn narrow(&mut self, sets: &'c [MatcherSet]) {
        if !sets.is_empty() && sets.iter().all(|set| set.host.is_some()) {
            let own: Vec<String> = sets.iter().filter_map(|set| set.host.as_ref()).flatten().cloned().collect();
            // A Host inside `*.example.com` is the narrower one, whichever of the two stands outside.
            let inside = |hosts: &[String], host: &String| matchers::hosts_match(hosts, Some(host)) != Some(false);
            let narrower: Vec<String> = match self.hosts.len() {
                0 | MOST_OUTER.. => Vec::new(),
                _ if own.iter().any(|host| inside(&self.hosts, host)) => {
                    own.iter().filter(|host| inside(&self.hosts, host)).cloned().collect()
                }
                _ => self.hosts.iter().filter(|host| inside(&own, host)).cloned().collect(),
            };
            self.hosts = if narrower.is_empty() { own } else { narrower }.into();
        }
        let Some(sample) = &self.sample else { return };
        if sets.is_empty() || sets.iter().any(|set| set.path.is_none()) {
            return;
        }
        let mut narrowed = sets.iter().filter_map(|set| sample.matching(set.path.as_deref()?));
        self.sample = narrowed.next();
    }
}

/// Above this number of Hosts around a matcher they are not compared one by one.
const MOST_OUTER: usize = 100;

impl<'c> Sample<'c> {
    /// A path that gets by these patterns as well.
    fn matching(&self, patterns: &'c [String]) -> Option<Self> {
        let stripped = self.stripped.unwrap_or_default();
        let mut sample = self.clone();
        sample.matchers.push((stripped, patterns));
        if gets_by(&self.now, patterns) {
            return Some(sample);
        }
        self.stripped?;
        patterns.iter().filter_map(|pattern| example(pattern)).find_map(|now| {
            let path = format!("{}{now}", &self.path[..stripped]);
            let fits = |(at, own): &(usize, &[String])| path.get(*at..).is_some_and(|now| gets_by(now, own));
            sample.matchers.iter().all(fits).then(|| Self { path: path.into(), now: now.into(), ..sample.clone() })
        })
    }

    fn rewritten(mut self, handler: &Handler) -> Option<Self> {
        let rewrite = handler.rewrite.as_ref()?;
        if !rewrite.changes_path() {
            return Some(self);
        }
        let now = RequestPath::read(&self.now)?.rewritten(rewrite)?.as_str().to_owned();
        self.stripped = match self.stripped {
            Some(_) if self.path.ends_with(&now) => Some(self.path.len() - now.len()),
            _ => None,
        };
        self.now = Rc::from(now);
        Some(self)
    }
}

/// Whether a path gets by these patterns.
fn gets_by(path: &str, patterns: &[String]) -> bool {
    let path = RequestPath::read(path).map_or(PathNow::Unknown, PathNow::Known);
    matchers::paths_match(patterns, &path) == Some(true)
}

/// A path for a pattern: `/api/x` for `/api/*`, `/api` for `/api*`, `/x.php` for `*.php`.
fn example(pattern: &str) -> Option<String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.~/%@:+,=".contains(c);
    let path = match pattern.strip_suffix('*') {
        Some(prefix) if !prefix.ends_with(['/', '*', '%']) && !prefix.is_empty() => prefix,
        _ => pattern,
    };
    let path = path.replace("%*", "x").replace(['*', '?'], "x");
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    path.chars().all(safe).then_some(path)
}

/// Every dial that stands anywhere in a config, in its order, each once.
#[must_use]
pub fn dials_of(config: &CaddyConfig) -> Vec<String> {
    fn collect(routes: &[Route], seen: &mut BTreeSet<String>, all: &mut Vec<String>) {
        for handler in routes.iter().flat_map(|route| &route.handle) {
            for (_, dial) in dials(handler) {
                if !seen.contains(&*dial) {
                    seen.insert(dial.to_string());
                    all.push(dial.into_owned());
                }
            }
            for (_, nested) in handler.nested() {
                collect(nested, seen, all);
            }
        }
    }
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    for server in config.servers().values() {
        collect(&server.routes, &mut seen, &mut all);
        server.named_routes.values().for_each(|route| collect(std::slice::from_ref(route), &mut seen, &mut all));
        server.errors.iter().for_each(|errors| collect(&errors.routes, &mut seen, &mut all));
    }
    all
}

/// The dials of a reverse proxy, each with its index among the `upstreams`, or without when it is looked up by name.
/// What an SRV record says is not known, and not listed.
#[must_use]
pub fn dials(handler: &Handler) -> Vec<(Option<usize>, Cow<'_, str>)> {
    fn looked_up<'c>(source: &'c DynamicUpstreams, dials: &mut Vec<(Option<usize>, Cow<'c, str>)>) {
        match source.source.as_str() {
            "a" if !source.name.is_empty() => {
                let port = if source.port.is_empty() { "80" } else { &source.port };
                dials.push((None, format!("{}:{port}", source.name).into()));
            }
            "multi" => source.sources.iter().for_each(|source| looked_up(source, dials)),
            _ => {}
        }
    }
    if handler.handler != "reverse_proxy" {
        return Vec::new();
    }
    let own = handler.upstreams.iter().enumerate().filter(|(_, upstream)| upstream.lookup_srv.is_none());
    let mut dials = own.map(|(index, upstream)| (Some(index), upstream.dial.as_str().into())).collect();
    if let Some(source) = &handler.dynamic_upstreams {
        looked_up(source, &mut dials);
    }
    dials
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(json: &str) -> Server {
        serde_json::from_str(json).unwrap()
    }

    fn with_routes(routes: &str) -> Server {
        server(&format!(r#"{{"routes":{routes}}}"#))
    }

    /// `a:1`, `nothing`, `static_response`, each with `?` when it is not certain.
    fn asked(server: &Server, host: &str, path: Option<&str>) -> Vec<String> {
        let words = |end: &End<'_>| {
            let kind = match &end.kind {
                EndKind::Proxy { handler, .. } => handler.upstreams[0].dial.as_str(),
                EndKind::Responds(handler) => handler.handler.as_str(),
                EndKind::Nothing => "nothing",
            };
            format!("{kind}{}", if end.certain { "" } else { "?" })
        };
        ends("s", server, &Request { host, path, method: None }).iter().map(words).collect()
    }

    const PROXY_A: &str = r#"{"handler":"reverse_proxy","upstreams":[{"dial":"a:1"}]}"#;
    const PROXY_B: &str = r#"{"handler":"reverse_proxy","upstreams":[{"dial":"b:1"}]}"#;

    #[test]
    fn the_first_route_that_answers_wins() {
        let server = with_routes(&format!(
            r#"[{{"match":[{{"host":["*.Example.com"]}}],"handle":[{{"handler":"encode"}},{PROXY_A}]}},{{"handle":[{PROXY_B}]}}]"#
        ));
        assert_eq!(asked(&server, "api.example.COM:80", None), ["a:1"]);
        assert_eq!(asked(&server, "x.api.example.com", None), ["b:1"]);
        let end = &ends("s", &server, &Request { host: "api.example.com", ..Request::default() })[0];
        assert_eq!((end.at.as_str(), end.top), ("/config/apps/http/servers/s/routes/0/handle/1", Some(0)));
    }

    #[test]
    fn a_terminal_route_without_an_answer_ends_in_an_empty_200() {
        let server =
            with_routes(&format!(r#"[{{"match":[{{"host":["a"]}}],"terminal":true}},{{"handle":[{PROXY_A}]}}]"#));
        assert_eq!(asked(&server, "a", None), ["nothing"]);
        let empty = with_routes("[]");
        let end = &ends("s", &empty, &Request { host: "a", ..Request::default() })[0];
        assert_eq!((end.at.as_str(), end.top, end.certain), ("/config/apps/http/servers/s", None, true));
    }

    #[test]
    fn routes_that_are_left_out_are_those_that_do_not_match() {
        const PATTERNS: &[&str] = &[
            "a.example.com",
            "A.Example.com",
            "*.example.com",
            "*.*.com",
            "*",
            "b",
            "::1",
            "{env.X}",
            "b\u{fc}cher.de",
        ];
        // Behind the routes with one pattern those with every pair of them.
        let pairs = PATTERNS.iter().flat_map(|a| PATTERNS.iter().map(move |b| vec![*a, *b]));
        let lists: Vec<Vec<&str>> = PATTERNS.iter().map(|own| vec![*own]).chain([Vec::new()]).chain(pairs).collect();
        let routes: Vec<String> = lists
            .iter()
            .map(|hosts| {
                format!(r#"{{"match":[{{"host":{}}}],"handle":[{{"handler":"vars"}}]}}"#, serde_json::json!(hosts))
            })
            .collect();
        let server = with_routes(&format!("[{}]", routes.join(",")));
        let router = Router::new("s", &server);
        for host in ["a.example.com", "x.EXAMPLE.com", "b", "c", "::1", "*.example.com", ""] {
            let matches = |index: &usize| {
                let subject = Subject { host: Some(host), path: &PathNow::Any, method: None };
                matchers::any_set(&server.routes[*index].matches, &subject) != Some(false)
            };
            let wanted: Vec<usize> = (0..lists.len()).filter(matches).collect();
            let next = |after: &usize| router.next(&server.routes, after + 1, host);
            let found = std::iter::successors(router.next(&server.routes, 0, host), next);
            assert_eq!(found.filter(matches).collect::<Vec<_>>(), wanted, "{host}");
        }
        assert_eq!(router.next(&server.routes, 0, "c"), Some(3), "of the first three none is looked at");
    }

    #[test]
    fn of_a_group_one_route_is_used() {
        let server = with_routes(&format!(
            r#"[{{"handle":[{{"handler":"subroute","routes":[
                {{"group":"g","handle":[{{"handler":"headers"}}]}},{{"group":"g","handle":[{PROXY_A}]}},{{"handle":[{PROXY_B}]}}]}}]}}]"#
        ));
        assert_eq!(asked(&server, "h", None), ["b:1"]);
        // Whether the first of the group is used is not known, so neither is it of the second.
        let server = with_routes(&format!(
            r#"[{{"group":"g","match":[{{"header":{{}}}}],"handle":[{{"handler":"vars"}}]}},{{"group":"g","handle":[{PROXY_A}]}},
                {{"group":"g","handle":[{PROXY_A}]}},{{"handle":[{PROXY_B}]}}]"#
        ));
        assert_eq!(asked(&server, "h", None), ["a:1?", "b:1?"]);
    }

    #[test]
    fn what_cannot_be_decided_is_said_to_be_so() {
        let server = with_routes(&format!(
            r#"[{{"match":[{{"header":{{"X":["1"]}}}}],"handle":[{PROXY_A}]}},{{"match":[{{"not":[{{"host":["h"]}}]}}],"handle":[{PROXY_A}]}},{{"handle":[{PROXY_B}]}}]"#
        ));
        assert_eq!(asked(&server, "h", None), ["a:1?", "b:1?"]);
        let server = with_routes(&format!(r#"[{{"handle":[{{"handler":"rate_limit"}},{PROXY_A}]}}]"#));
        assert_eq!(asked(&server, "h", None), ["rate_limit?", "a:1?"]);
    }

    #[test]
    fn a_path_is_rewritten_for_what_comes_after_it() {
        let server = with_routes(&format!(
            r#"[{{"match":[{{"path":["/api/*"]}}],"handle":[{{"handler":"rewrite","strip_path_prefix":"/api"}}]}},
                {{"match":[{{"path":["/x"]}}],"handle":[{PROXY_A}]}},{{"handle":[{PROXY_B}]}}]"#
        ));
        assert_eq!(asked(&server, "h", Some("/API/x?q=1")), ["a:1"]);
        assert_eq!(asked(&server, "h", Some("/api/y")), ["b:1"]);
        assert_eq!(asked(&server, "h", None), ["a:1?", "b:1?"]);
    }

    #[test]
    fn a_host_that_is_set_is_the_one_that_later_matchers_see() {
        let server = with_routes(&format!(
            r#"[{{"handle":[{{"handler":"headers","request":{{"set":{{"Host":["b"]}}}}}}]}},{{"match":[{{"host":["b"]}}],"handle":[{PROXY_B}]}}]"#
        ));
        let ends = ends("s", &server, &Request { host: "a", ..Request::default() });
        assert!(matches!(ends[0].kind, EndKind::Proxy { sets_host: Some("b"), .. }), "{ends:?}");
    }

    #[test]
    fn a_request_goes_on_behind_a_proxy_that_only_lets_it_in() {
        let server = with_routes(&format!(
            r#"[{{"handle":[{{"handler":"reverse_proxy","upstreams":[{{"dial":"auth:1"}}],
                "handle_response":[{{"match":{{"status_code":[2]}},"routes":[{{"handle":[{{"handler":"headers"}}]}}]}}]}},{PROXY_A}]}}]"#
        ));
        assert_eq!(asked(&server, "h", None), ["auth:1?", "a:1?"]);
        let server = with_routes(&format!(r#"[{{"handle":[{{"handler":"authentication"}},{PROXY_A}]}}]"#));
        assert_eq!(asked(&server, "h", None), ["authentication?", "a:1"]);
        let server = with_routes(&format!(
            r#"[{{"handle":[{{"handler":"reverse_proxy","upstreams":[{{"dial":"a:1"}}],
                "handle_response":[{{"routes":[{{"handle":[{PROXY_B}]}}]}}]}}]}}]"#
        ));
        assert_eq!(asked(&server, "h", None), ["a:1"]);
    }

    #[test]
    fn error_routes_may_answer() {
        let error = r#"{"handler":"error"}"#;
        let server = server(&format!(
            r#"{{"routes":[{{"handle":[{{"handler":"subroute","routes":[{{"handle":[{error}]}}],"errors":{{"routes":[{{"handle":[{PROXY_A}]}}]}}}}]}}],
                "errors":{{"routes":[{{"handle":[{PROXY_B}]}}]}}}}"#
        ));
        assert_eq!(asked(&server, "h", None), ["error?", "a:1?", "b:1?", "nothing?"]);
        assert_eq!(asked(&with_routes(&format!(r#"[{{"handle":[{error}]}}]"#)), "h", None), ["error"]);
    }

    #[test]
    fn routes_without_end_come_to_an_end() {
        let server = server(
            r#"{"named_routes":{"n":{"handle":[{"handler":"invoke","name":"n"},{"handler":"invoke","name":"n"}]}},
            "routes":[{"handle":[{"handler":"invoke","name":"n"}]}]}"#,
        );
        assert_eq!(asked(&server, "h", None), ["nothing?"]);
    }

    #[test]
    fn every_proxy_is_listed_with_what_is_around_it() {
        let config = CaddyConfig::read(
            format!(
                r#"{{"apps":{{"http":{{"servers":{{"s":{{"routes":[
                  {{"match":[{{"host":["*.example.com","b"]}}],"handle":[{{"handler":"subroute","routes":[
                    {{"match":[{{"host":["a.example.com"],"path":["/api/*"]}}],"handle":[{{"handler":"subroute","routes":[
                      {{"handle":[{{"handler":"rewrite","strip_path_prefix":"/api"}}]}},
                      {{"match":[{{"path":["/v1/*"]}}],"handle":[{PROXY_A}]}}]}}]}}],
                    "errors":{{"routes":[{{"handle":[{PROXY_A}]}}]}}}}]}},
                  {{"match":[{{"host":["c"]}}],"handle":[{{"handler":"invoke","name":"n"}}]}},
                  {{"match":[{{"host":["d"],"path_regexp":{{}}}}],"handle":[{{"handler":"invoke","name":"n"}}]}}],
                "named_routes":{{"n":{{"handle":[{PROXY_B}]}},"unused":{{"handle":[{PROXY_B}]}}}},
                "errors":{{"routes":[{{"match":[{{"path":["*.x","/{{p}}"]}}],"handle":[{PROXY_B}]}}]}}}}}}}}}}}}"#
            )
            .as_bytes(),
        )
        .unwrap();
        let seen: Vec<(String, usize, Vec<String>, Option<String>)> = proxies(&config)
            .into_iter()
            .map(|own| {
                let at = own.at.strip_prefix("/config/apps/http/servers/s/").unwrap().to_owned();
                (at, own.top, own.hosts.to_vec(), own.sample_path.as_deref().map(str::to_owned))
            })
            .collect();
        let row = |at: &str, top, hosts: &[&str], path: Option<&str>| {
            (at.to_owned(), top, hosts.iter().map(|host| (*host).to_owned()).collect(), path.map(str::to_owned))
        };
        assert_eq!(
            seen,
            [
                row("routes/0/handle/0/routes/0/handle/0/routes/1/handle/0", 0, &["a.example.com"], Some("/api/v1/x")),
                row("routes/0/handle/0/errors/routes/0/handle/0", 0, &["*.example.com", "b"], Some("/")),
                row("named_routes/n/handle/0", 1, &["c", "d"], Some("/")),
                row("named_routes/unused/handle/0", 3, &[], None),
                row("errors/routes/0/handle/0", 3, &[], Some("/x.x")),
            ]
        );
        assert_eq!(dials_of(&config), ["a:1", "b:1"]);
    }

    #[test]
    fn dials_are_those_that_are_known() {
        let handler: Handler = serde_json::from_str(
            r#"{"handler":"reverse_proxy","upstreams":[{"lookup_srv":"_x._tcp.y"},{"dial":"a:1"}],"dynamic_upstreams":{"source":"multi",
                "sources":[{"source":"a","name":"b"},{"source":"srv","name":"c"},{"source":"a","name":"d","port":"2"}]}}"#,
        )
        .unwrap();
        let dials = dials(&handler);
        assert_eq!(dials, [(Some(1), "a:1".into()), (None, "b:80".into()), (None, "d:2".into())]);
    }
}
