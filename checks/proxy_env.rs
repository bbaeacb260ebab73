use std::{collections::BTreeSet, net::IpAddr};

use crate::model::{
    Action, Apply, Evidence, Finding, Fix, Gap, Hop, Missing, Part, Paths, Role, Setup, Verdict,
    caddy::{Caddies, CaddyConfig},
    docker::{Container, Containers, EngineSeen, Networks},
    facts::Attempt,
    fix::{self, Change},
    host::Host,
    names::{self, Meaning},
    path::{Dial, HopKind},
    route,
    setup::PartKind,
    text::{self, shell},
};

check! {
    /// Do HTTP_PROXY and NO_PROXY divert what goes over the path?
    ///
    /// ## What it looks at
    /// The proxy variables in the environment of Caddy's and mitmproxy's containers, of the engine, and of the shell
    /// that the doctor was started from. `docker run` and compose give the `proxies` of `~/.docker/config.json` to
    /// every container, so they may be there without having been asked for. Passwords in them are not read.
    ///
    /// ## Who obeys them
    /// Caddy does for its upstreams, from 2.7.0 on and not before, by the rules of Go: `HTTP_PROXY` for upstreams
    /// without TLS, `HTTPS_PROXY` for those with TLS, the upper case name first; `localhost` and loopback addresses
    /// never go over a proxy, nor what `NO_PROXY` names (a name and all below it, an address, a range in CIDR
    /// notation, any of them with a port, `*`). A route that names a proxy of its own, or none at all, does not obey
    /// them. mitmproxy in reverse mode does not obey them. Neither Caddy nor
    /// mitmproxy gets those of the engine.
    ///
    /// ## Why it matters
    /// A proxy outside does not know `mitmproxy:8080`: Caddy answers with the proxy's error, and mitmproxy sees
    /// nothing. In a shell, curl and tests send what they ask of localhost to the proxy.
    ///
    /// ## How to fix it
    /// Name the upstreams in Caddy's `NO_PROXY`, which means making the container anew. In the shell, put `localhost`
    /// and `127.0.0.1` into `NO_PROXY` and `no_proxy`.
    id: "proxy-env",
    group: Network,
    after: ["setup-found", "container-health", "caddy-admin"],
    needs: [
        Setup, Paths, Containers, Attempt<Networks>, Attempt<Caddies>, Attempt<Host>, Attempt<EngineSeen>,
    ],
    run: run,
}

fn run(
    setup: &Setup,
    paths: &Paths,
    containers: &Containers,
    networks: Result<&Networks, &Missing>,
    caddies: Result<&Caddies, &Missing>,
    host: Result<&Host, &Missing>,
    engine: Result<&EngineSeen, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.gaps.extend(setup.gap(Role::Caddy));
    let (no_networks, mut clear, mut unread) = (Networks::default(), Vec::new(), Vec::new());
    let cases = Cases { setup, containers, networks: networks.unwrap_or(&no_networks) };
    for part in setup.parts() {
        let name = &part.name;
        let detail = containers.named(name).map(|container| (container, container.detail.as_deref()));
        let (container, detail) = match detail.filter(|_| part.kind == PartKind::Container) {
            Some((container, Some(detail))) => (container, detail),
            Some((_, None)) => {
                verdict.gaps.push(Gap::about([name], format!("the environment of {name} is not known: not inspected")));
                continue;
            }
            None => {
                unread.push(name.as_str());
                continue;
            }
        };
        let proxies = Proxies::of(&detail.environment);
        if proxies.is_empty() {
            clear.push(name.as_str());
            continue;
        }
        verdict.evidence.push(Evidence::new(format!("{name}'s environment"), shown(&detail.environment)));
        if part.role == Role::Mitmproxy {
            verdict.evidence.push(Evidence::new(name, "mitmproxy in reverse mode does not obey them"));
            continue;
        }
        let seen = caddies.ok().and_then(|all| all.named(name));
        let version = seen.and_then(|seen| seen.version.as_deref());
        let config = seen.and_then(|seen| seen.config.as_ref().ok());
        if obeys(version) != Some(false) {
            verdict.gaps.extend(paths.unknown.iter().filter(|(own, _)| own == name).map(|(_, reason)| {
                Gap::about([name], format!("what {name} sends to its proxy is not known, nor where it dials: {reason}"))
            }));
        }
        cases.upstreams(&mut verdict, paths, container, &proxies, version, config);
    }
    if let Ok(host) = host {
        verdict.findings.extend(of_this_shell(&host.proxies));
        if !host.proxies.is_empty() {
            verdict.evidence.push(Evidence::new("this shell's environment", shown(&host.proxies)));
        }
    }
    let info = engine.ok().and_then(|seen| seen.answer.as_ref().ok()).and_then(|engine| engine.info.as_ref());
    if let Some(Ok(info)) = info
        && !info.proxies.is_empty()
    {
        let value = format!("{}; it pulls images over them, and containers do not get them", shown(&info.proxies));
        verdict.evidence.push(Evidence::new("the engine's proxies", value));
    }
    let of_caddy = |part: &&Part| part.role == Role::Caddy && !unread.contains(&part.name.as_str());
    let looked: Vec<&str> = setup.parts().filter(of_caddy).map(|part| part.name.as_str()).collect();
    if looked.is_empty() && verdict.findings.is_empty() && verdict.gaps.is_empty() {
        let reason = format!("the environment of {} was not read: no container", text::list(&unread));
        return Verdict { evidence: verdict.evidence, ..Verdict::not_applicable(reason) };
    }
    let unread = unread.iter().map(|name| Evidence::new(*name, "is no container: its environment was not read"));
    verdict.evidence.extend(unread);
    verdict.summary = format!("nothing that {} sends to mitmproxy goes over a proxy", text::list(&looked));
    if !clear.is_empty() {
        verdict.summary = format!("{}; no proxy is set for {}", verdict.summary, text::list(&clear));
    }
    verdict
}

/// The variables that say something, as they stand there.
fn shown(environment: &[(String, String)]) -> String {
    let is_proxy = |name: &str| name.to_ascii_lowercase().ends_with("_proxy");
    let set = environment.iter().filter(|(name, value)| is_proxy(name) && !value.is_empty());
    set.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// A proxy, and the variable that names it.
type Named<'e> = (&'e str, &'e str);

/// What a program that is written in Go reads: the first that is not empty, in upper case first
/// (`golang.org/x/net/http/httpproxy`, `FromEnvironment`).
struct Proxies<'e> {
    http: Option<Named<'e>>,
    https: Option<Named<'e>>,
    no_proxy: &'e str,
}

impl<'e> Proxies<'e> {
    fn of(environment: &'e [(String, String)]) -> Self {
        let first = |names: [&str; 2]| names.into_iter().find_map(|name| variable(environment, name));
        Self {
            http: first(["HTTP_PROXY", "http_proxy"]),
            https: first(["HTTPS_PROXY", "https_proxy"]),
            no_proxy: first(["NO_PROXY", "no_proxy"]).map_or("", |(_, value)| value),
        }
    }

    fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }
}

fn variable<'e>(environment: &'e [(String, String)], name: &str) -> Option<Named<'e>> {
    let (name, value) = environment.iter().find(|(own, value)| own == name && !value.is_empty())?;
    Some((name, value))
}

/// Whether Go connects to this host without a proxy (`httpproxy`, `useProxy`).
fn is_direct(no_proxy: &str, host: &str, port: Option<u16>) -> bool {
    let (host, port) = (host.to_ascii_lowercase(), port.map(|port| port.to_string()).unwrap_or_default());
    let ip: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    no_proxy.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let Some((network, length)) = entry.split_once('/')
            && let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u8>())
        {
            return ip.is_some_and(|ip| contains(network, length, ip));
        }
        let (name, wanted) = match entry.parse::<IpAddr>() {
            Ok(_) => (entry.as_str(), ""),
            Err(_) => match entry.rsplit_once(':') {
                Some((name, wanted)) => (name.trim_start_matches('[').trim_end_matches(']'), wanted),
                None => (entry.as_str(), ""),
            },
        };
        if name.is_empty() || !wanted.is_empty() && wanted != port {
            return false;
        }
        if let Ok(address) = name.parse::<IpAddr>() {
            return ip == Some(address);
        }
        // `.example.com` and `*.example.com` mean what is below it, `example.com` means itself as well.
        let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
        match name.strip_prefix('.') {
            Some(_) => host.ends_with(name),
            None => host == name || host.ends_with(&format!(".{name}")),
        }
    })
}

fn contains(network: IpAddr, length: u8, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) if length <= 32 => {
            let host_bits = 32 - u32::from(length);
            u64::from(network.to_bits()) >> host_bits == u64::from(ip.to_bits()) >> host_bits
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) if (1..=128).contains(&length) => {
            let host_bits = 128 - u32::from(length);
            network.to_bits() >> host_bits == ip.to_bits() >> host_bits
        }
        (IpAddr::V6(_), IpAddr::V6(_)) => length == 0,
        _ => false,
    }
}

/// Whether this Caddy uses the proxies of its environment for upstreams; `None` when its version is not known.
fn obeys(version: Option<&str>) -> Option<bool> {
    let mut parts = version?.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    Some((parts.next()?, parts.next()?) >= (2, 7))
}

struct Cases<'c> {
    setup: &'c Setup,
    containers: &'c Containers,
    networks: &'c Networks,
}

impl Cases<'_> {
    fn upstreams(
        &self,
        verdict: &mut Verdict,
        paths: &Paths,
        caddy: &Container,
        proxies: &Proxies<'_>,
        version: Option<&str>,
        config: Option<&CaddyConfig>,
    ) {
        // Of routes with one dial, some may name a proxy of their own, or none.
        let all = config.map(route::proxies).unwrap_or_default();
        let mut by_environment: BTreeSet<(Dial, bool)> = BTreeSet::new();
        for handler in all.iter().map(|proxy| proxy.handler) {
            if !handler.transport.as_ref().is_some_and(|transport| transport.own_proxy) {
                let dials = route::dials(handler).into_iter().filter_map(|(_, dial)| Dial::read(&dial));
                by_environment.extend(dials.map(|dial| (dial, handler.tls())));
            }
        }
        let own = |hop: &&Hop| hop.kind == HopKind::Upstream && hop.from == caddy.name && !hop.dial.host.is_empty();
        let diverts = |hop: &Hop| -> Option<Named<'_>> {
            let proxy = if hop.tls { proxies.https } else { proxies.http }?;
            (!is_direct(proxies.no_proxy, &hop.dial.host, hop.dial.port)).then_some(proxy)
        };
        let (subject, own_proxy): (Vec<&Hop>, Vec<&Hop>) = paths
            .relevant()
            .filter(own)
            .partition(|hop| config.is_none() || by_environment.contains(&(hop.dial.clone(), hop.tls)));
        let value = "its route names a proxy of its own, or none, whatever the environment says";
        verdict.evidence.extend(own_proxy.into_iter().map(|hop| Evidence::new(hop.id(), value)));
        let diverted: Vec<(&Hop, Named<'_>)> =
            subject.into_iter().filter_map(|hop| Some((hop, diverts(hop)?))).collect();
        let obeys = obeys(version);
        if obeys == Some(false) {
            let value = format!("Caddy {} does not obey them for its upstreams", version.unwrap_or_default());
            verdict.evidence.push(Evidence::new(&caddy.name, value));
            return;
        }
        let value = new_no_proxy(proxies.no_proxy, &diverted);
        for (hop, (variable, proxy)) in diverted {
            let (from, dial) = (&caddy.name, hop.dial.to_string());
            let at = self.whose(hop, proxy);
            let finding = match (obeys, &at) {
                (None, _) => Finding::warn(
                    [from],
                    format!("{from} sends what it dials at {dial} to {proxy}, if it is Caddy 2.7 or newer"),
                ),
                (_, At::Mitmproxy(name)) => Finding::warn(
                    [from],
                    format!("{from} reaches {dial} over a proxy, which is {name} of this setup itself"),
                ),
                // A container beside it knows the same names, and may well pass the request on.
                (_, At::Container(name)) => {
                    Finding::warn([from], format!("{from} sends what it dials at {dial} to {name}, which is its proxy"))
                }
                (_, At::Elsewhere) => {
                    Finding::fail([from], format!("{from} sends what it dials at {dial} to the proxy {proxy} instead"))
                }
            };
            let no_proxy = if proxies.no_proxy.is_empty() { "not set" } else { proxies.no_proxy };
            let line = format!("environment: [{}]", serde_json::json!(format!("NO_PROXY={value}")));
            let title = format!("make {from} anew with NO_PROXY={value}");
            let change = Change::Environment { name: "NO_PROXY".to_owned(), value: value.clone() };
            verdict.findings.push(
                finding
                    .on(hop)
                    .seen(variable, proxy)
                    .seen("NO_PROXY", no_proxy)
                    .seen("Caddy", version.map_or("its version is not known", |version| version))
                    .fix(fix::recreate(caddy, title, change, &[&line])),
            );
        }
    }

    fn whose(&self, hop: &Hop, proxy: &str) -> At {
        let address = proxy.split_once("://").map_or(proxy, |(_, rest)| rest);
        let address = address.split('/').next().unwrap_or(address);
        let Some((host, port)) = text::host_and_port(address) else { return At::Elsewhere };
        let is_mitmproxy = |name: &String| self.setup.mitmproxies.iter().any(|part| part.name == *name);
        match names::meaning(self.containers, self.networks, &hop.place, host) {
            Meaning::Itself => match self.setup.mitmproxies.iter().find(|part| part.place == hop.place) {
                Some(part) => At::Mitmproxy(part.name.clone()),
                None => At::Elsewhere,
            },
            Meaning::TheHost => match port.and_then(|port| self.containers.publishing(port)) {
                Some((container, _)) if is_mitmproxy(&container.name) => At::Mitmproxy(container.name.clone()),
                _ => At::Elsewhere,
            },
            Meaning::Container { name, .. } if is_mitmproxy(&name) => At::Mitmproxy(name),
            Meaning::Container { name, .. } => At::Container(name),
            _ => At::Elsewhere,
        }
    }
}

/// Where a proxy is.
enum At {
    Mitmproxy(String),
    Container(String),
    Elsewhere,
}

/// What it has, and every host that must not go over a proxy.
fn new_no_proxy(old: &str, diverted: &[(&Hop, Named<'_>)]) -> String {
    let mut entries: Vec<&str> = old.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    for (hop, _) in diverted {
        if !entries.contains(&hop.dial.host.as_str()) {
            entries.push(&hop.dial.host);
        }
    }
    entries.join(",")
}

/// Unlike Go, other programs send what they ask of localhost to a proxy, too.
fn of_this_shell(environment: &[(String, String)]) -> Option<Finding> {
    let first = |names: &[&str]| names.iter().find_map(|name| variable(environment, name));
    // curl does not read HTTP_PROXY in upper case, since a CGI program gets that from its client.
    let by_curl = first(&["http_proxy", "all_proxy", "ALL_PROXY"]);
    let (variable, proxy) = by_curl.or_else(|| first(&["HTTP_PROXY"]))?;
    let no_proxy = first(&["no_proxy", "NO_PROXY"]).map_or("", |(_, value)| value);
    let entries: Vec<&str> = no_proxy.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).collect();
    let covers = |name: &str| {
        let range = |entry: &str| -> Option<bool> {
            let (network, length) = entry.split_once('/')?;
            Some(contains(network.parse().ok()?, length.parse().ok()?, name.parse().ok()?))
        };
        entries.iter().any(|entry| *entry == "*" || *entry == name || range(entry) == Some(true))
    };
    let open: Vec<&str> = ["localhost", "127.0.0.1"].into_iter().filter(|name| !covers(name)).collect();
    if open.is_empty() {
        return None;
    }
    let value = entries.iter().copied().chain(open.iter().copied()).collect::<Vec<_>>().join(",");
    let who = if by_curl.is_some() { "curl and other programs" } else { "Python and other programs (not curl)" };
    Some(
        Finding::warn(
            ["this shell"],
            format!("{variable} of this shell makes {who} ask {proxy} for {}", text::list(&open)),
        )
        .seen(variable, proxy)
        .seen("no_proxy", if no_proxy.is_empty() { "not set" } else { no_proxy })
        .seen("the doctor", "asks this machine and containers without a proxy")
        .fix(Fix::new(
            format!("let {} be asked without a proxy in this shell", text::list(&open)),
            Action::Command {
                command: format!("export NO_PROXY={0} no_proxy={0}", shell(&value)),
                apply: Apply::Manual,
            },
        )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Context, Facts, Severity,
        docker::EngineInfo,
        example,
        facts::Kind,
        host::{Process, ProcessProgram},
    };

    fn judged(change: impl FnOnce(&mut Facts)) -> Verdict {
        let mut facts = example::healthy();
        change(&mut facts);
        (CHECK.run)(&Context::new(facts))
    }

    fn variables(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn caddy(version: Option<&str>, environment: &[(&str, &str)]) -> Verdict {
        judged(|facts| {
            facts.caddies.as_mut().unwrap().0[0].version = version.map(Into::into);
            facts.containers.as_mut().unwrap().0[0].detail.as_mut().unwrap().environment = variables(environment);
        })
    }

    const PROXY: (&str, &str) = ("HTTP_PROXY", "http://proxy.example.com:3128");

    #[test]
    fn without_proxies_it_passes() {
        let verdict = judged(|_| {});
        assert_eq!(verdict.worst(), None);
        assert_eq!(
            verdict.summary,
            "nothing that caddy sends to mitmproxy goes over a proxy; no proxy is set for caddy and mitmproxy"
        );
    }

    #[test]
    fn a_process_is_not_called_clear() {
        let verdict = judged(|facts| {
            let process = Process { pid: 7, program: ProcessProgram::Caddy, ports: vec![80] };
            facts.host.as_mut().unwrap().processes = Ok(vec![process]);
            facts.containers.as_mut().unwrap().0.remove(0);
            facts.caddies.as_mut().unwrap().0[0].name = "caddy (pid 7)".into();
        });
        let reason = "the environment of caddy (pid 7) was not read: no container";
        assert_eq!(verdict.not_applicable.as_deref(), Some(reason));
    }

    #[test]
    fn caddy_obeys_them_from_2_7_on() {
        let finding = caddy(Some("2.7.0"), &[PROXY, ("no_proxy", "localhost")]).findings.remove(0);
        assert_eq!(finding.severity, Severity::Fail);
        assert_eq!(
            finding.summary,
            "caddy sends what it dials at mitmproxy:8080 to the proxy http://proxy.example.com:3128 instead"
        );
        let commands = finding.fixes[0].action.commands();
        assert!(commands[0].contains(" -e NO_PROXY=localhost,mitmproxy "), "{commands:?}");

        assert_eq!(caddy(None, &[PROXY]).worst(), Some(Severity::Warn));
        let verdict = caddy(Some("2.6.4"), &[PROXY]);
        assert_eq!(verdict.worst(), None);
        assert_eq!(verdict.evidence[1].value, "Caddy 2.6.4 does not obey them for its upstreams");
    }

    #[test]
    fn a_route_with_a_proxy_of_its_own_is_not_judged_by_the_environment() {
        let worst = |transport: &str, more: &str| {
            let config = format!(
                r#"{{"apps":{{"http":{{"servers":{{"srv0":{{"listen":[":80"],"routes":[{{"handle":[{{"handler":"reverse_proxy",
                "upstreams":[{{"dial":"mitmproxy:8080"}}],"transport":{{"protocol":"http",{transport}}}}}]}}{more}]}}}}}}}}}}"#
            );
            judged(|facts| {
                let seen = &mut facts.caddies.as_mut().unwrap().0[0];
                (seen.version, seen.config) = (Some("2.9.1".into()), Ok(serde_json::from_str(&config).unwrap()));
                facts.containers.as_mut().unwrap().0[0].detail.as_mut().unwrap().environment = variables(&[PROXY]);
            })
            .worst()
        };
        assert_eq!(worst(r#""network_proxy":{"from":"none"}"#, ""), None);
        assert_eq!(worst(r#""forward_proxy_url":"http://other:3128""#, ""), None);
        assert_eq!(worst(r#""versions":["1.1"]"#, ""), Some(Severity::Fail));
        // Another route with the same dial obeys the environment.
        let other = r#",{"handle":[{"handler":"reverse_proxy","upstreams":[{"dial":"mitmproxy:8080"}]}]}"#;
        assert_eq!(worst(r#""network_proxy":{"from":"none"}"#, other), Some(Severity::Fail));
    }

    #[test]
    fn a_proxy_for_https_does_not_concern_plain_upstreams() {
        assert_eq!(caddy(Some("2.9.1"), &[("HTTPS_PROXY", "http://p:1")]).worst(), None);
    }

    #[test]
    fn a_proxy_beside_it_may_know_the_name() {
        let finding = caddy(Some("2.9.1"), &[("http_proxy", "mitmproxy:8080")]).findings.remove(0);
        assert_eq!(finding.severity, Severity::Warn);
        assert_eq!(
            finding.summary,
            "caddy reaches mitmproxy:8080 over a proxy, which is mitmproxy of this setup itself"
        );
    }

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        for (no_proxy, host, direct) in [
            ("", "mitmproxy", false),
            ("", "localhost", true),
            ("", "127.0.0.1", true),
            ("*", "mitmproxy", true),
            ("MITMPROXY", "mitmproxy", true),
            ("other, mitmproxy:8080", "mitmproxy", true),
            ("mitmproxy:9090", "mitmproxy", false),
            ("example.com", "a.example.com", true),
            (".example.com", "example.com", false),
            ("*.example.com", "a.example.com", true),
            ("ample.com", "example.com", false),
            ("172.16.0.0/12", "172.20.0.2", true),
            ("172.16.0.0/12", "172.32.0.2", false),
            ("172.16.0.0/12", "mitmproxy", false),
            ("172.20.0.2", "172.20.0.2", true),
            ("fd00::/8", "fd00::2", true),
            ("::1/0", "fd00::2", true),
            ("[fd00::2]:8080", "fd00::2", true),
            ("172.20.0.0/33", "172.20.0.2", false),
        ] {
            assert_eq!(is_direct(no_proxy, host, Some(8080)), direct, "{no_proxy} {host}");
        }
    }

    #[test]
    fn a_shell_that_asks_its_proxy_for_localhost_warns() {
        let with = |of: &[(&str, &str)]| judged(|facts| facts.host.as_mut().unwrap().proxies = variables(of));
        let finding = with(&[("http_proxy", "http://p:1"), ("no_proxy", "localhost")]).findings.remove(0);
        assert_eq!(
            finding.summary,
            "http_proxy of this shell makes curl and other programs ask http://p:1 for 127.0.0.1"
        );
        assert_eq!(
            finding.fixes[0].action.commands(),
            ["export NO_PROXY=localhost,127.0.0.1 no_proxy=localhost,127.0.0.1"]
        );
        let upper = with(&[("HTTP_PROXY", "http://p:1")]).findings.remove(0);
        assert!(upper.summary.contains("Python and other programs (not curl)"), "{}", upper.summary);
        assert_eq!(with(&[("http_proxy", "http://p:1"), ("NO_PROXY", "localhost, 127.0.0.0/8")]).worst(), None);
        assert_eq!(with(&[("HTTPS_PROXY", "http://p:1")]).worst(), None);
    }

    #[test]
    fn proxies_of_mitmproxy_and_of_the_engine_are_evidence() {
        let verdict = judged(|facts| {
            facts.containers.as_mut().unwrap().0[1].detail.as_mut().unwrap().environment = variables(&[PROXY]);
            facts.engine.as_mut().unwrap().answer.as_mut().unwrap().info =
                Some(Ok(EngineInfo { proxies: variables(&[PROXY]), ..EngineInfo::default() }));
        });
        assert_eq!((verdict.worst(), verdict.evidence.len()), (None, 3));
    }

    #[test]
    fn where_caddy_dials_is_a_gap_only_when_it_has_a_proxy() {
        let unread = |environment: &[(&str, &str)]| {
            judged(|facts| {
                facts.caddies.as_mut().unwrap().0[0].config = Err(Missing::failed("GET", Kind::Refused, "refused"));
                facts.containers.as_mut().unwrap().0[0].detail.as_mut().unwrap().environment = variables(environment);
            })
            .gaps
            .len()
        };
        assert_eq!((unread(&[PROXY]), unread(&[])), (1, 0));
    }
}
