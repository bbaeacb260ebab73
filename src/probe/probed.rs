//! Marked requests through the setup, sent only with `--probe`: one straight to the backend, one to mitmproxy, one to
//! Caddy, and the same again for the times. They add three request times to a run.

use std::net::IpAddr;

use caddy_doctor_checks::model::{
    Facts, Hop, Known, Missing, Path, Paths, Place, Setup,
    facts::Kind,
    mitmproxy::MitmproxySeen,
    names::Meaning,
    path,
    probed::{FlowsSeen, Leg, ProbeAnswer, Probed, RequestSeen},
    setup::{self, Part},
    text,
    view::NameAnswer,
};
use futures_util::future::join_all;

use super::{
    http::{self, Question},
    mitmweb,
    namespace::Namespace,
    view::Looker,
};
use crate::gather::Secrets;

/// More mitmproxys than this are not probed.
const MOST: usize = 4;

/// Probes the first path through the proxy of every mitmproxy, all at the same time.
pub(crate) async fn probe(looker: &Looker<'_>, facts: &Facts, secrets: &Secrets) -> Known<Probed> {
    let setup = setup::find(facts)?;
    let paths = path::find(facts, &setup);
    let prober = Prober { looker, facts, setup: &setup, paths: &paths, secrets };
    let each =
        join_all(paths.to_proxies(&setup).into_iter().take(MOST).map(|(path, part)| prober.through(path, part))).await;
    let mut probed = Probed::default();
    for (requests, flows) in each {
        probed.requests.extend(requests);
        probed.flows.extend(flows);
    }
    Ok(probed)
}

struct Prober<'p> {
    looker: &'p Looker<'p>,
    facts: &'p Facts,
    setup: &'p Setup,
    paths: &'p Paths,
    secrets: &'p Secrets,
}

/// Where a request is sent from, and to.
struct Way {
    leg: Leg,
    of: String,
    from: Place,
    address: Known<(IpAddr, u16)>,
    host: String,
}

impl Prober<'_> {
    async fn through(&self, path: &Path, part: &Part) -> (Vec<RequestSeen>, Option<FlowsSeen>) {
        let upstream = &self.paths.hops[path.hops[0]];
        let target = path.hops.get(1).map(|at| &self.paths.hops[*at]);
        let mitmproxy = self.facts.mitmproxies.as_ref().ok().and_then(|all| all.named(&part.name));
        let at_caddy = self.at_caddy(path);
        let at_mitmproxy = self.at_mitmproxy(upstream, mitmproxy, &at_caddy.host);
        let at_backend = target.map(|target| self.at_backend(target, mitmproxy, &at_mitmproxy.host));
        let marked = marked(&path.request_path);

        let count = async || match mitmproxy {
            Some(seen) => mitmweb::count(self.looker, part, seen, self.secrets).await,
            None => Err(Missing::NotAsked),
        };
        let send = async |way: &Way| self.send(way, &marked).await;
        let straight = async || match &at_backend {
            Some(way) => Some(send(way).await),
            None => None,
        };
        // Three steps, each of one request time; what is counted between them tells who saw the request. How many flows there
        // were was counted a moment ago, and what goes through Caddy meanwhile is no less captured.
        let before = mitmproxy.and_then(|seen| seen.flows.clone().ok());
        let (mitmproxy_1, backend_1) = tokio::join!(send(&at_mitmproxy), straight());
        let after_direct = count().await;
        let (caddy_1, backend_2) = tokio::join!(send(&at_caddy), straight());
        let (caddy_2, backend_3, after) = tokio::join!(send(&at_caddy), straight(), count());

        let mut requests = Vec::new();
        if let Some(way) = at_backend {
            let all = [backend_1, backend_2, backend_3].into_iter().flatten().collect();
            requests.push(self.seen(way, &marked, all, path));
        }
        requests.push(self.seen(at_mitmproxy, &marked, vec![mitmproxy_1], path));
        requests.push(self.seen(at_caddy, &marked, vec![caddy_1, caddy_2], path));
        let flows = before.map(|before| FlowsSeen { mitmproxy: part.name.clone(), before, after_direct, after });
        (requests, flows)
    }

    /// At Caddy as a client on this machine: over the published port, else inside its namespace.
    fn at_caddy(&self, path: &Path) -> Way {
        let part = self.setup.caddies.iter().find(|part| part.name == path.caddy);
        let place = part.map_or(Place::Host, |part| part.place.clone());
        let address = match path.listen {
            Some((_, true)) => Err(("it listens with TLS, which the doctor does not speak", Kind::Unsupported)),
            None => Err(("where it listens is not known", Kind::NotFound)),
            Some((port, false)) => Ok(port),
        };
        let owner = match &place {
            Place::Container(name) => self.looker.containers.and_then(|all| all.named(name)),
            Place::Host => None,
        };
        let published = owner.zip(address.ok()).and_then(|(own, port)| own.published(port));
        let near = self.looker.engine.is_some_and(|engine| engine.near) && *self.looker.here == Place::Host;
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let (from, address) = match published.filter(|_| near) {
            Some((ip, port)) => (Place::Host, Ok((ip.parse().unwrap_or(loopback), port))),
            None => (place, address.map(|port| (loopback, port))),
        };
        let address = address.map_err(|(why, kind)| Missing::failed(format!("probing {}", path.caddy), kind, why));
        Way { leg: Leg::Caddy, of: path.caddy.clone(), from, address, host: sendable(&path.host) }
    }

    fn at_mitmproxy(&self, upstream: &Hop, mitmproxy: Option<&MitmproxySeen>, host: &str) -> Way {
        let of = upstream.to.clone().unwrap_or_else(|| upstream.dial.to_string());
        let asked = format!("probing {of}");
        // In another mode it would send the request to whatever the Host says, out into the world.
        let port = upstream.dial.port;
        let reverses = mitmproxy.is_some_and(|seen| {
            let modes = seen.modes().0;
            !modes.is_empty() && modes.iter().all(|mode| mode.target.is_some())
        });
        let address = match (reverses, upstream.tls) {
            (false, _) => Err(Missing::failed(asked, Kind::Unsupported, "it is not in reverse mode only")),
            (_, true) => Err(Missing::failed(
                asked,
                Kind::Unsupported,
                "it is dialled with TLS, which the doctor does not speak",
            )),
            _ => self.address(upstream).and_then(|ip| Ok((ip, port.ok_or(Missing::NotAsked)?))),
        };
        let host = upstream.sets_host.as_deref().filter(|host| !host.contains('{')).unwrap_or(host).to_owned();
        Way { leg: Leg::Mitmproxy, of, from: upstream.place.clone(), address, host }
    }

    fn at_backend(&self, target: &Hop, mitmproxy: Option<&MitmproxySeen>, host: &str) -> Way {
        let of = target.to.clone().unwrap_or_else(|| target.dial.to_string());
        let address = match (target.tls, target.dial.port) {
            (false, Some(port)) => self.address(target).map(|ip| (ip, port)),
            _ => Err(Missing::failed(
                format!("probing {of}"),
                Kind::Unsupported,
                "it is dialled with TLS, which the doctor does not speak",
            )),
        };
        let keeps =
            mitmproxy.and_then(|seen| seen.options.as_ref().ok()).is_some_and(|options| options.keep_host_header);
        let host = if keeps { host.to_owned() } else { target.dial.to_string() };
        Way { leg: Leg::Backend, of, from: target.place.clone(), address, host }
    }

    /// The address of what is dialled, as its place sees it.
    fn address(&self, hop: &Hop) -> Known<IpAddr> {
        if hop.meaning == Meaning::Itself {
            return Ok(hop.dial.host.parse().unwrap_or(IpAddr::from([127, 0, 0, 1])));
        }
        if let Ok(ip) = hop.dial.host.parse() {
            return Ok(ip);
        }
        let view = self.facts.views.as_ref().ok().and_then(|views| views.from(&hop.place));
        let seen = view.and_then(|view| view.name(&hop.dial.host)).map(|seen| &seen.answer);
        match seen {
            Some(NameAnswer::Addresses(ips)) if !ips.is_empty() => Ok(ips[0]),
            _ => Err(Missing::failed(
                format!("probing {}", hop.dial),
                Kind::NotFound,
                format!("{} has no address that is known in {}", hop.dial.host, hop.place),
            )),
        }
    }

    async fn send(&self, way: &Way, marked: &str) -> Known<(ProbeAnswer, u64)> {
        let (ip, port) = way.address.clone()?;
        let question = question(ip, port, marked, &way.host);
        let asked = format!("{} from {}", question.words(), way.from);
        let said = |(answer, _): &(ProbeAnswer, u64)| format!("HTTP {}", answer.status);
        let deadline = self.looker.deadline;
        if way.from == *self.looker.here {
            return deadline.ask_from("a marked request", &asked, said, timed(question)).await;
        }
        let owner = match &way.from {
            Place::Container(name) => self.looker.containers.and_then(|all| all.named(name)),
            Place::Host => None,
        };
        let entered = owner
            .filter(|_| self.looker.engine.is_some_and(|engine| engine.local))
            .ok_or_else(|| Missing::failed(&asked, Kind::Unsupported, "that place cannot be entered from here"))
            .and_then(Namespace::of)?;
        let answer = async { entered.run(move || timed(question)).await? };
        deadline.ask_from("a marked request", &asked, said, answer).await
    }

    fn seen(&self, way: Way, marked: &str, answers: Vec<Known<(ProbeAnswer, u64)>>, path: &Path) -> RequestSeen {
        let took_us = answers.iter().flatten().map(|(_, took)| *took).collect();
        let url = match &way.address {
            Ok((ip, port)) => format!("http://{}{marked}", text::join_port(&ip.to_string(), *port)),
            Err(_) => format!("http://{}{marked}", way.of),
        };
        let answer = answers.into_iter().next().unwrap_or(Err(Missing::NotAsked)).map(|(answer, _)| answer);
        // The Host of the path is what a check looks a request up by.
        RequestSeen { leg: way.leg, of: way.of, from: way.from, url, host: path.host.clone(), answer, took_us }
    }
}

/// A request that says that it is the doctor's. Where any path will do it has one of its own.
fn marked(request_path: &str) -> String {
    match request_path {
        "/" => "/.doctor-probe".to_owned(),
        path => format!("{path}?doctor-probe"),
    }
}

/// A Host that a matcher like this lets in.
fn sendable(host: &str) -> String {
    if host.contains(' ') { "doctor.invalid".to_owned() } else { host.replace('*', "doctor") }
}

fn question(ip: IpAddr, port: u16, path: &str, host: &str) -> Question {
    let headers = vec![
        ("Host", host.to_owned()),
        ("User-Agent", concat!("doctor/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("X-Doctor-Probe", "1".to_owned()),
    ];
    Question {
        headers,
        cap: 64 << 10,
        ..Question::get(format!("http://{}{path}", text::join_port(&ip.to_string(), port)))
    }
}

async fn timed(question: Question) -> Known<(ProbeAnswer, u64)> {
    let client = http::client()?;
    let (answer, began) = http::probe(&client, &question).await?;
    Ok((answer, u64::try_from(began.as_micros()).unwrap_or(u64::MAX)))
}
