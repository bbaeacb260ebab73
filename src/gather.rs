//! Gathers the facts: every question once, as many at a time as do not wait for one another.

use std::{env, net::IpAddr, time::Duration};

use caddy_doctor_checks::model::{
    FactId, Facts, Hop, Known, Missing, Paths, Place, Role, Setup,
    background::{Background, Log},
    caddy::Caddies,
    docker::{Containers, EngineSeen, Images, Program},
    facts::{Asked, Kind, SCHEMA},
    host::{Host, Listener, Process, ProcessProgram, RouteSeen},
    left_out::LeftOut,
    mitmproxy::Mitmproxies,
    names::Meaning,
    path::{self, HopKind},
    setup::{self, Part},
    text,
    view::Views,
};
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::probe::{
    caddy, clock,
    compose::{Laid, Plan},
    deadline::Deadline,
    docker::{self, Engined},
    log, mitmweb, ports, probed, process, redact, routes, system,
    telling::Speaker,
    view::{Looker, Wish},
};

/// What is to be found out.
pub(crate) struct Request {
    pub(crate) asked: Asked,
    pub(crate) secrets: Secrets,
    pub(crate) timeout: Duration,
    /// The facts that the selected checks need.
    pub(crate) needs: Vec<FactId>,
    /// For an issue report: the options that were given. Logs are then read as well.
    pub(crate) report: Option<Vec<String>>,
    /// What compose files would make, with `--compose`.
    pub(crate) plan: Option<Plan>,
}

/// What opens doors, and is never recorded.
#[derive(Default)]
pub(crate) struct Secrets {
    pub(crate) web_password: Option<String>,
}

/// More Caddys or mitmproxys than this on one engine are not asked.
const MOST_PARTS: usize = 16;

/// Asks everything that is needed; ends in time whatever is asked.
pub(crate) async fn gather(request: Request) -> Facts {
    let start = Instant::now();
    let deadline = Deadline::after(request.timeout);
    let wants = |facts: &[FactId]| facts.iter().any(|fact| request.needs.contains(fact));
    let derived = [FactId::Setup, FactId::Paths];
    let wants_parts = wants(&derived)
        || wants(&[
            FactId::Caddies,
            FactId::Mitmproxies,
            FactId::Views,
            FactId::Containers,
            FactId::Networks,
            FactId::Images,
            FactId::Host,
            FactId::Probed,
        ]);

    let engine = async {
        let (mut seen, engined) = docker::engine(deadline).await;
        let (all, networks, info) = match &engined {
            Some(engined) if wants_parts => tokio::join!(engined.containers(), engined.networks(), engined.info()),
            Some(_) => (Err(Missing::NotAsked), Err(Missing::NotAsked), Err(Missing::NotAsked)),
            None => (no_engine(&seen), no_engine(&seen), Err(Missing::NotAsked)),
        };
        let mut left_out = Vec::new();
        let mut containers = all.map(|all| kept(all, &mut left_out));
        if let (Ok(containers), Ok(info)) = (&mut containers, &info) {
            clock::age(containers, &info.time);
        }
        if let Ok(engine) = &mut seen.answer {
            engine.info = Some(info);
        }
        let networks = networks.map(|all| kept(all, &mut left_out));
        (seen, engined, containers, networks, left_out)
    };
    let ((seen, engined, containers, networks, left_out), listeners, processes, routes) = tokio::join!(
        engine,
        blocking(deadline, "the listeners of this machine", ports::listeners),
        blocking(deadline, "the processes of this machine", process::processes),
        blocking(deadline, "the routes of this machine", routes::routes)
    );
    let inside = own_container();
    let here = containers.as_ref().map_or(Place::Host, place_of_doctor);
    log::detail(|| format!("here is {here}"));
    let is_container =
        containers.as_ref().ok().zip(inside.as_ref()).is_some_and(|(all, id)| all.by_reference(id).is_some());
    let mut facts = Facts {
        schema: SCHEMA,
        doctor: env!("CARGO_PKG_VERSION").to_owned(),
        elapsed_ms: 0,
        host: Ok(host(&here, inside, is_container, engined.as_ref(), listeners, processes, routes)),
        asked: request.asked,
        engine: Ok(seen),
        containers,
        networks,
        images: Err(Missing::NotAsked),
        probed: Err(Missing::NotAsked),
        caddies: Err(Missing::NotAsked),
        mitmproxies: Err(Missing::NotAsked),
        views: Err(Missing::NotAsked),
        background: request.report.map(|options| {
            let password = request.secrets.web_password.is_some();
            Background { options, password, logs: Vec::new() }
        }),
        left_out,
    };
    let laid = match &request.plan {
        Some(plan) if wants_parts => plan.lay_over(&mut facts, engined.as_ref(), deadline).await,
        _ => Laid::default(),
    };
    if wants_parts {
        ask_parts(&mut facts, &here, engined.as_ref(), deadline, &request.secrets, &laid).await;
        look(&mut facts, &here, engined.as_ref(), deadline).await;
        if facts.asked.probe && request.plan.is_none() && wants(&[FactId::Probed]) {
            let looker =
                Looker { here: &here, containers: facts.containers.as_ref().ok(), engine: engined.as_ref(), deadline };
            facts.probed = probed::probe(&looker, &facts, &request.secrets).await;
        }
    }
    for left_out in &facts.left_out {
        log::detail(|| {
            let count = left_out.count.map(|count| format!(" ({count})")).unwrap_or_default();
            format!("left out of {}: {}{count}", left_out.of, left_out.what)
        });
    }
    facts.elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    facts
}

/// Parts what is kept of an answer from what is not.
fn kept<T>((kept, others): (T, Vec<LeftOut>), left_out: &mut Vec<LeftOut>) -> T {
    left_out.extend(others);
    kept
}

/// Runs what would hold up everything else on a thread of its own, under the deadline.
pub(crate) async fn blocking<T: Send + 'static>(
    deadline: Deadline,
    asked: &str,
    ask: impl FnOnce() -> Known<T> + Send + 'static,
) -> Known<T> {
    let ended = |error: tokio::task::JoinError| Missing::failed(asked, Kind::Garbage, error.to_string());
    deadline.ask(asked, async { tokio::task::spawn_blocking(ask).await.map_err(ended).and_then(|answer| answer) }).await
}

fn no_engine<T>(seen: &EngineSeen) -> Known<T> {
    match &seen.answer {
        Err(missing) => Err(missing.clone().because(FactId::EngineSeen)),
        Ok(_) => Err(Missing::NotAsked),
    }
}

/// The place that the doctor itself is in.
pub(crate) fn place_of_doctor(containers: &Containers) -> Place {
    let own = own_container().and_then(|id| containers.by_reference(&id));
    own.map_or(Place::Host, |own| containers.place_of(own))
}

/// The id of the container that the doctor runs in: its own files are mounted from a folder that is called after it.
fn own_container() -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let is_id = |part: &&str| part.len() == 64 && part.chars().all(|c| c.is_ascii_hexdigit());
    let own = mounts.lines().filter(|line| line.contains(" /etc/hostname ") || line.contains(" /etc/hosts "));
    own.flat_map(|line| line.split('/')).find(is_id).map(str::to_owned)
}

fn host(
    here: &Place,
    inside: Option<String>,
    is_container: bool,
    engined: Option<&Engined>,
    listeners: Known<Vec<Listener>>,
    processes: Known<Vec<Process>>,
    routes: Known<Vec<RouteSeen>>,
) -> Host {
    // What listens here says nothing about the ports of an engine elsewhere, or of the host around this container.
    let inside = inside.filter(|_| engined.is_some_and(|_| is_container));
    let in_container = "the doctor runs in a container";
    let processes = if inside.is_some() { Err(ports::unseen(in_container)) } else { processes };
    let listeners = match engined {
        _ if *here != Place::Host => Err(ports::unseen(in_container)),
        Some(engine) if !engine.near => Err(ports::unseen("the engine is on another machine")),
        _ => listeners,
    };
    // Routes of this machine say something about the networks of an engine whose bridges are here.
    let routes = match engined {
        Some(engine) if engine.system && *here == Place::Host => Some(routes),
        _ => None,
    };
    let proxies = env::vars().filter(|(name, value)| redact::is_proxy(name) && !value.is_empty());
    let mut proxies: Vec<(String, String)> = proxies.map(|(name, value)| (name, redact::proxy(&value))).collect();
    proxies.sort();
    let (os, system) = (env::consts::OS.to_owned(), system::name());
    Host { os, system, inside, root: is_root(), listeners, processes, routes, proxies }
}

#[cfg(target_os = "linux")]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[cfg(not(target_os = "linux"))]
fn is_root() -> bool {
    false
}

async fn ask_parts(
    facts: &mut Facts,
    here: &Place,
    engined: Option<&Engined>,
    deadline: Deadline,
    secrets: &Secrets,
    laid: &Laid,
) {
    let looker = Looker { here, containers: facts.containers.as_ref().ok(), engine: engined, deadline };
    let processes: Vec<Process> =
        facts.host.iter().flat_map(|host| host.processes.as_ref().ok()).flatten().cloned().collect();
    let found = setup::candidates(&facts.asked, facts.containers.as_ref().ok(), facts.host.as_ref().ok());
    let of = |role: Role| found.iter().filter(move |part| part.role == role).take(MOST_PARTS).collect::<Vec<&Part>>();
    let (caddies, mitmproxies) = (of(Role::Caddy), of(Role::Mitmproxy));
    for (what, parts) in [("a Caddy", &caddies), ("a mitmproxy", &mitmproxies)] {
        for part in parts {
            log::detail(|| format!("{} is {what}; its place is {}", part.name, part.place));
        }
    }
    let ask_caddies = join_all(caddies.iter().map(async |part| match laid.caddy(part) {
        Some(seen) => (seen.clone(), Vec::new()),
        None => caddy::ask(&looker, part).await,
    }));
    let ask_mitmproxies = join_all(mitmproxies.iter().map(async |part| match laid.mitmproxy(part) {
        Some(seen) => (seen.clone(), Vec::new()),
        None => {
            let line = mitmweb::command_line(&looker, part, &processes);
            mitmweb::ask(&looker, part, line, secrets, facts.asked.probe, facts.background.is_some()).await
        }
    }));
    let parts = found.iter().filter_map(|part| facts.containers.as_ref().ok()?.named(&part.name));
    let ask_images = async {
        match engined {
            Some(engine) => Ok(engine.images(parts.take(2 * MOST_PARTS)).await),
            None => Ok((Images::default(), Vec::new())),
        }
    };
    let (caddies, mitmproxies, images) = tokio::join!(ask_caddies, ask_mitmproxies, ask_images);
    let left_out = &mut facts.left_out;
    facts.images = images.map(|images| kept(images, left_out));
    facts.caddies = Ok(Caddies(caddies.into_iter().map(|seen| kept(seen, left_out)).collect()));
    facts.mitmproxies = Ok(Mitmproxies(mitmproxies.into_iter().map(|seen| kept(seen, left_out)).collect()));
    for process in &processes {
        if let ProcessProgram::Mitmproxy(line) = &process.program {
            left_out.extend(docker::left_out_of_line(&process.name(), line));
        }
    }
}

/// Looks along the path: what it asks follows from the path as inspect alone gives it.
async fn look(facts: &mut Facts, here: &Place, engined: Option<&Engined>, deadline: Deadline) {
    let Ok(setup) = setup::find(facts) else { return };
    let lacks_part = setup.caddies.is_empty() || setup.mitmproxies.is_empty();
    let paths = path::find(facts, &setup);
    for path in &paths.paths {
        log::detail(|| {
            let hops = path.hops.iter().map(|at| paths.hops[*at].leads_to());
            let nodes: Vec<String> = ["client".to_owned(), path.caddy.clone()].into_iter().chain(hops).collect();
            format!("the path of {}, before anything is tried: {}", path.host, nodes.join(" -> "))
        });
    }
    let wishes = wishes(facts, here, &paths);
    let ports = ports_of_interest(facts, &setup, &paths);
    let others = async { if lacks_part { docker::other_engines(deadline).await } else { Vec::new() } };
    let listeners = facts.host.as_ref().ok().and_then(|host| host.listeners.as_ref().ok()).cloned();
    let owners = blocking(deadline, "the processes behind ports of this machine", move || {
        let mut listeners = listeners.unwrap_or_default();
        ports::name_owners(&mut listeners, &ports);
        Ok(listeners)
    });
    let looker = Looker { here, containers: facts.containers.as_ref().ok(), engine: engined, deadline };
    let views = join_all(wishes.into_iter().map(|wish| looker.look(wish)));
    let logs = async {
        let (Some(containers), Some(engine), Some(_)) = (looker.containers, engined, &facts.background) else {
            return Vec::new();
        };
        let told = Paths::containers(Some(&paths), &setup, containers).into_iter().take(2 * MOST_PARTS);
        join_all(told.map(async |own| {
            let speaker = Speaker::of(setup.part(&own.name).map(|part| part.role), own.program.as_ref());
            let lines = engine.telling_lines(own, speaker).await;
            let has_others = lines.as_ref().is_ok_and(|(lines, read)| lines.len() < *read);
            let others =
                has_others.then(|| LeftOut::uncounted(&format!("container {}", own.name), "other lines of its log"));
            (Log { of: own.name.clone(), lines: lines.map(|(lines, _)| lines) }, Vec::from_iter(others))
        }))
        .await
    };
    let (views, others, owners, logs) = tokio::join!(views, others, owners, logs);
    if let Some(background) = &mut facts.background {
        background.logs = logs.into_iter().map(|log| kept(log, &mut facts.left_out)).collect();
    }
    facts.views = Ok(Views(views));
    if let (Ok(host), Ok(named)) = (&mut facts.host, owners)
        && host.listeners.is_ok()
    {
        host.listeners = Ok(named);
    }
    if let Ok(engine) = &mut facts.engine
        && lacks_part
    {
        engine.others = others;
    }
}

/// From each place the names that are dialled there, and the connections to the host, which no inspect can tell about. The
/// Hosts of the site are asked for on the host.
fn wishes(facts: &Facts, here: &Place, paths: &Paths) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = Vec::new();
    for expected in &facts.asked.expect {
        let Some((host, Some(port))) = text::host_and_port(expected) else { continue };
        let wish = wish_from(&mut wishes, here);
        if host.parse::<IpAddr>().is_err() {
            wish.ask_for(host);
        }
        wish.connect_to(host, port, false);
    }
    let no_containers = Containers::default();
    let containers = facts.containers.as_ref().unwrap_or(&no_containers);
    // What is not there yet can neither ask nor answer.
    for hop in paths.relevant().filter(|hop| !hop.is_planned(containers)) {
        let host = &hop.dial.host;
        if hop.meaning != Meaning::Itself && host.parse::<IpAddr>().is_err() {
            wish_from(&mut wishes, &hop.place).ask_for(host);
        }
        if let Some(port) = hop.dial.port.filter(|_| !is_known_to_listen(facts, hop)) {
            // Who speaks plain HTTP may log a greeting in TLS, so only those are greeted that may want one.
            let greet = hop.kind == HopKind::Target && (hop.tls || port % 1000 == 443 || facts.asked.probe);
            wish_from(&mut wishes, &hop.place).connect_to(host, port, greet);
        }
    }
    for path in &paths.paths {
        if !path.host.contains(['*', ' ', '{']) && path.host.parse::<IpAddr>().is_err() {
            wish_from(&mut wishes, &Place::Host).ask_for(&path.host);
        }
    }
    wishes
}

/// Whether a hop leads to a mitmproxy that says itself that it listens there: a connection to it could become a flow.
fn is_known_to_listen(facts: &Facts, hop: &Hop) -> bool {
    let Some(seen) = hop.to.as_ref().and_then(|to| facts.mitmproxies.as_ref().ok()?.named(to)) else { return false };
    // Between a container and the host a firewall may stand, and between two bridges the engine's.
    let is_apart = matches!(hop.meaning, Meaning::Elsewhere(_)) && hop.dial.host.parse::<IpAddr>().is_ok();
    hop.meaning != Meaning::TheHost
        && !is_apart
        && (hop.is_over_host() || seen.modes().0.iter().any(|mode| Some(mode.listen_port) == hop.dial.port))
}

fn wish_from<'w>(wishes: &'w mut Vec<Wish>, place: &Place) -> &'w mut Wish {
    let at = wishes.iter().position(|wish| wish.place == *place).unwrap_or_else(|| {
        wishes.push(Wish { place: place.clone(), names: Vec::new(), connections: Vec::new() });
        wishes.len() - 1
    });
    &mut wishes[at]
}

/// The ports of the host whose holder matters: those that a part wants and does not have, and those that are dialled.
fn ports_of_interest(facts: &Facts, setup: &Setup, paths: &Paths) -> Vec<u16> {
    let no_containers = Containers::default();
    let containers = facts.containers.as_ref().unwrap_or(&no_containers);
    let stopped = containers.0.iter().filter(|own| !own.runs() && setup.part(&own.name).is_some());
    let wanted = stopped.flat_map(|own| {
        let listens = match (&own.program, containers.place_of(own)) {
            (Some(Program::Mitmproxy(line)), Place::Host) => vec![line.listen_port(), line.web_port()],
            (Some(Program::Caddy), Place::Host) => {
                let seen = facts.caddies.as_ref().ok().and_then(|all| all.named(&own.name));
                own.wanted_by_caddy(seen.and_then(|seen| seen.config.as_ref().ok()))
            }
            _ => Vec::new(),
        };
        own.ports.iter().filter_map(|port| port.host_port).chain(listens).collect::<Vec<_>>()
    });
    let dialled = paths.relevant().filter(|hop| hop.meaning == Meaning::TheHost).filter_map(|hop| hop.dial.port);
    wanted.chain(dialled).collect()
}
