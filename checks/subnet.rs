use std::net::IpAddr;

use crate::model::{
    Action, Edit, Evidence, Finding, Fix, Gap, Hop, Missing, Paths, Place, Setup, Verdict,
    docker::{Container, Containers, Network, Networks, is_user_defined},
    facts::Attempt,
    fix::ApiAt,
    host::{Host, RouteSeen},
    mitmproxy::{Mitmproxies, MitmproxySeen},
    names::Meaning,
    text,
    view::{NameAnswer, Views},
};

check! {
    /// Do the addresses of the setup's networks collide with anything?
    ///
    /// ## What it looks at
    /// The subnet of every bridge network that a part of the setup is on. It is compared with the routes of this
    /// machine (a VPN's, the office's) and with the ranges that are set apart for private use. And for every hop that
    /// leaves this machine: the largest packet (MTU) of the container's network, and of the interface that leads
    /// there.
    ///
    /// ## Why it matters
    /// Where a route and a Docker network have the same addresses, one of them cannot be reached: the containers, or
    /// whoever has these addresses in the VPN. Addresses outside the private ranges (172.32.0.0 and above are no
    /// longer private) belong to somebody on the internet, and mitmproxy kills connections from them (`block_global`,
    /// on by default): Caddy then answers 502, and no flow is listed. Packets that are larger than the way out takes
    /// are lost where a firewall drops the message that says so: small requests work, large ones hang.
    ///
    /// ## What it does not blame
    /// The bridges of this and other engines, and routes broader than /8, which stand for the whole internet. A
    /// larger MTU than the way out has, while no hop leaves this machine: what stays on a bridge never meets it.
    /// Routes are read on Linux, of the machine that the engine runs on.
    ///
    /// ## How to fix it
    /// Make the network anew with a subnet that is free, or with the smaller MTU; in compose: `ipam` or `driver_opts`
    /// of the network, then `down` and `up`. With `block_global=false` mitmproxy takes connections from public
    /// addresses, from everywhere.
    id: "subnet",
    group: Network,
    after: ["setup-found", "caddy-admin"],
    needs: [Setup, Paths, Containers, Networks, Attempt<Host>, Attempt<Mitmproxies>, Attempt<Views>],
    run: run,
}

/// What a network has without the option `com.docker.network.driver.mtu`.
const USUAL_MTU: u32 = 1500;
/// A route that is broader than the broadest private range is a part of the way out.
const BROADEST: u8 = 8;

fn run(
    setup: &Setup,
    paths: &Paths,
    containers: &Containers,
    networks: &Networks,
    host: Result<&Host, &Missing>,
    mitmproxies: Result<&Mitmproxies, &Missing>,
    views: Result<&Views, &Missing>,
) -> Verdict {
    let mut verdict = Verdict::default();
    let routes = routes(containers, host);
    let known = match &routes {
        Some(Ok(routes)) => routes.as_slice(),
        _ => &[],
    };
    let cases = Cases { setup, containers, networks, routes: known, mitmproxies: mitmproxies.ok() };
    let used = cases.used(paths);
    for (network, on) in &used {
        for subnet in network.subnets.iter().filter_map(|subnet| Cidr::read(subnet)) {
            verdict.evidence.push(Evidence::new(&network.name, subnet.to_string()));
            verdict.findings.extend(cases.overlap(network, on, subnet));
            verdict.findings.extend(cases.public(network, on, subnet));
        }
    }
    if verdict.evidence.is_empty() {
        return Verdict::not_applicable("no part is on a bridge network whose subnet is known");
    }
    for hop in paths.relevant() {
        verdict.findings.extend(cases.large_packets(hop, views.ok()));
    }
    let mut subnets = used.iter().flat_map(|(network, _)| &network.subnets).filter_map(|subnet| Cidr::read(subnet));
    let private = if subnets.any(Cidr::is_public) { "" } else { "; all are private" };
    verdict.summary = match routes {
        Some(Ok(_)) => format!("no network of the setup collides with an IPv4 route of this machine{private}"),
        Some(Err(missing)) => {
            let reason = format!("whether a route of this machine collides with a network is not known: {missing}");
            verdict.gaps.push(Gap::about(used.iter().flat_map(|(_, on)| on.iter().copied()), reason));
            String::new()
        }
        None => {
            verdict.evidence.push(Evidence::new("routes", "those of the engine's machine cannot be seen from here"));
            format!("nothing collides among the networks of the setup{private}; routes were not looked at")
        }
    };
    verdict
}

/// The routes of the machine; those that a doctor in a container sees are that container's.
fn routes<'h>(
    containers: &Containers,
    host: Result<&'h Host, &'h Missing>,
) -> Option<Result<&'h Vec<RouteSeen>, &'h Missing>> {
    let host = match host {
        Ok(host) => host,
        Err(missing) => return Some(Err(missing)),
    };
    let inside = host.inside.as_ref().map(|id| containers.by_reference(id).map(|own| containers.place_of(own)));
    if inside.is_some_and(|place| place != Some(Place::Host)) {
        return None;
    }
    host.routes.as_ref().map(Result::as_ref)
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cidr {
    network: IpAddr,
    length: u8,
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

impl Cidr {
    fn read(text: &str) -> Option<Self> {
        let (network, length) = text.split_once('/')?;
        let (network, length): (IpAddr, u8) = (network.parse().ok()?, length.parse().ok()?);
        (length <= if network.is_ipv4() { 32 } else { 128 }).then_some(Self { network, length })
    }

    /// Whether all of `other` lies in it.
    fn contains(self, other: Self) -> bool {
        let top = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let rest = 128 - u32::from(self.length);
        self.network.is_ipv4() == other.network.is_ipv4()
            && self.length <= other.length
            && (rest == 128 || top(self.network) >> rest == top(other.network) >> rest)
    }

    fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    fn of(ip: IpAddr) -> Self {
        Self { network: ip, length: if ip.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether its addresses are somebody's on the internet: `is_global` of Python's `ipaddress`, by which mitmproxy
    /// decides.
    fn is_public(self) -> bool {
        const NOT_PUBLIC: &[&str] = &[
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",
            "::/3",
            "2001::/23",
            "2001:db8::/32",
            "4000::/2",
            "8000::/1",
        ];
        !NOT_PUBLIC.iter().filter_map(|range| Self::read(range)).any(|range| range.contains(self))
    }
}

/// A bridge of Docker or Podman: of this engine, or of another one, whose networks are a world of their own.
fn is_bridge(interface: &str) -> bool {
    let of_docker =
        interface.strip_prefix("br-").is_some_and(|id| id.len() == 12 && id.chars().all(|c| c.is_ascii_hexdigit()));
    of_docker || interface == "lo" || ["docker", "podman", "cni"].iter().any(|name| interface.starts_with(name))
}

struct Cases<'c> {
    setup: &'c Setup,
    containers: &'c Containers,
    networks: &'c Networks,
    routes: &'c [RouteSeen],
    mitmproxies: Option<&'c Mitmproxies>,
}

impl<'c> Cases<'c> {
    /// The bridge networks that parts and targets are on, with the names of those.
    fn used(&self, paths: &Paths) -> Vec<(&'c Network, Vec<&'c String>)> {
        let mut used: Vec<(&Network, Vec<&String>)> = Vec::new();
        for container in Paths::containers(Some(paths), self.setup, self.containers) {
            for network in self.networks_of(container) {
                match used.iter_mut().find(|(own, _)| own.name == network.name) {
                    Some((_, on)) => on.push(&container.name),
                    None => used.push((network, vec![&container.name])),
                }
            }
        }
        used
    }

    /// Other drivers are left out: macvlan and ipvlan have the addresses of the network around the machine by
    /// intention.
    fn networks_of(&self, container: &Container) -> Vec<&'c Network> {
        let Place::Container(owner) = self.containers.place_of(container) else { return Vec::new() };
        let attached = self.containers.named(&owner).map(|owner| owner.networks.as_slice()).unwrap_or_default();
        let networks = attached.iter().filter_map(|attached| self.networks.named(&attached.network));
        networks.filter(|network| network.driver == "bridge").collect()
    }

    /// Routes to somewhere, without the way out and the bridges.
    fn foreign(&self, network: &Network) -> impl Iterator<Item = (Cidr, &'c RouteSeen)> {
        let own = network.interface.clone();
        let read = self.routes.iter().filter_map(|route| Some((Cidr::read(&route.destination)?, route)));
        read.filter(move |(range, route)| {
            range.length >= BROADEST && route.interface != own && !is_bridge(&route.interface)
        })
    }

    fn overlap(&self, network: &Network, on: &[&String], subnet: Cidr) -> Option<Finding> {
        // Without a route over its own interface the bridge may have another name, or be on another machine.
        let own_route = self.routes.iter().any(|route| {
            route.interface == network.interface
                && Cidr::read(&route.destination).is_some_and(|range| range.overlaps(subnet))
        });
        let (range, route) =
            self.foreign(network).find(|(range, _)| range.overlaps(subnet) && (own_route || *range != subnet))?;
        let (name, interface) = (&network.name, &route.interface);
        let summary = if range.contains(subnet) && range != subnet {
            format!(
                "network {name} has addresses ({subnet}) of a range that this machine routes to {interface} ({range}): \
                 whoever has them there cannot be reached"
            )
        } else {
            format!(
                "this machine routes {range}, which is in the subnet of network {name} ({subnet}), to {interface}: \
                 containers with such an address may not be reached"
            )
        };
        let finding = Finding::warn(on.iter().copied(), summary)
            .seen(format!("network {name}"), format!("{subnet} on {}", network.interface))
            .seen("route", format!("{range} to {interface}"));
        Some(finding.fix(self.another_subnet(network)))
    }

    fn public(&self, network: &Network, on: &[&String], subnet: Cidr) -> Option<Finding> {
        if !subnet.is_public() {
            return None;
        }
        let name = &network.name;
        let seen = on.iter().find_map(|part| self.mitmproxies?.named(part)).filter(|seen| blocks(seen) != Some(false));
        // Public IPv6 addresses for containers are usual; only mitmproxy minds them.
        if subnet.network.is_ipv6() && seen.is_none() {
            return None;
        }
        let consequence = match seen {
            Some(seen) if blocks(seen) == Some(true) => {
                format!("{} kills connections from there (block_global)", seen.name)
            }
            Some(seen) => format!("{} kills connections from there, unless its block_global is off", seen.name),
            None => "they belong to somebody on the internet, who cannot be reached".to_owned(),
        };
        let mut finding = Finding::warn(
            on.iter().copied(),
            format!("the addresses of network {name} ({subnet}) are public ones: {consequence}"),
        )
        .seen(format!("network {name}"), subnet.to_string());
        if let Some(seen) = seen {
            let how = match blocks(seen) {
                Some(_) => "on, by mitmweb's options",
                None => "not known; on by default",
            };
            finding = finding.seen(format!("{}'s block_global", seen.name), how);
        }
        finding = finding.fix(self.another_subnet(network));
        let Some((seen, part)) = seen.and_then(|seen| Some((seen, self.setup.part(&seen.name)?))) else {
            return Some(finding);
        };
        let lasting = Edit {
            file: format!("the command of {}", seen.name),
            language: "sh",
            text: "--set block_global=false".to_owned(),
        };
        let action = match &seen.options {
            Ok(_) => Action::SetOption {
                at: ApiAt::of(part, &seen.web),
                option: "block_global",
                value: false.into(),
                password: seen.wants_password(),
            },
            Err(_) => Action::Manual,
        };
        let title = format!("let {} take connections from public addresses", seen.name);
        Some(finding.fix(Fix::new(title, action).edit(lasting)))
    }

    /// A hop that leaves the machine over a way that takes smaller packets than the network gives.
    fn large_packets(&self, hop: &Hop, views: Option<&Views>) -> Option<Finding> {
        let Place::Container(place) = &hop.place else { return None };
        let ip = match hop.meaning {
            Meaning::Address(ip) => ip,
            Meaning::Unknown if hop.to.is_none() => {
                match &views?.from(&hop.place)?.name(hop.dial.host.trim_end_matches('.'))?.answer {
                    NameAnswer::Addresses(ips) => *ips.iter().find(|ip| ip.is_ipv4())?,
                    _ => return None,
                }
            }
            _ => return None,
        };
        if ip.is_loopback() || self.containers.at(ip).is_some() {
            return None;
        }
        // Of several networks it is not known which one leads out.
        let own = self.networks_of(self.containers.named(place)?);
        let network = own.into_iter().min_by_key(|network| network.mtu.unwrap_or(USUAL_MTU))?;
        let given = network.mtu.unwrap_or(USUAL_MTU);
        let to = Cidr::of(ip);
        let leading = self.routes.iter().filter_map(|route| Some((Cidr::read(&route.destination)?, route)));
        let leading: Vec<(Cidr, &RouteSeen)> = leading.filter(|(range, _)| range.contains(to)).collect();
        let longest = leading.iter().map(|(range, _)| range.length).max()?;
        // Of several ways that are as good the kernel has a choice that is not known here.
        let ways = leading.iter().filter(|(range, _)| range.length == longest);
        let (way, taken) = ways
            .map(|(_, route)| Some((*route, route.mtu?)))
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max_by_key(|(_, mtu)| *mtu)?;
        if given <= taken || is_bridge(&way.interface) {
            return None;
        }
        let (name, from, interface) = (&network.name, &hop.from, &way.interface);
        let summary = format!(
            "{from} sends packets of up to {given} bytes, and the way to {} takes {taken} ({interface}): \
             large ones may be lost",
            hop.dial
        );
        let (yaml, option) = (
            format!("driver_opts:\n      com.docker.network.driver.mtu: \"{taken}\"\n"),
            format!("--opt com.docker.network.driver.mtu={taken}"),
        );
        let edit = self.network_edit(network, &yaml, &option, &format!("{{ \"mtu\": {taken} }}"));
        Some(
            Finding::warn([from], summary)
                .on(hop)
                .seen(
                    format!("MTU of network {name}"),
                    network.mtu.map_or_else(|| format!("{given}, the default"), |mtu| mtu.to_string()),
                )
                .seen(format!("MTU of {interface}"), taken.to_string())
                .fix(Fix::new(format!("make network {name} anew with an MTU of {taken}"), Action::Manual).edit(edit)),
        )
    }

    fn another_subnet(&self, network: &Network) -> Fix {
        let taken: Vec<Cidr> = self
            .networks
            .0
            .iter()
            .flat_map(|network| &network.subnets)
            .chain(self.routes.iter().map(|route| &route.destination))
            .filter_map(|range| Cidr::read(range))
            .filter(|range| range.length >= BROADEST || range.network.is_ipv6())
            .collect();
        let candidates = (200..=250).map(|n| format!("192.168.{n}")).chain((200..=250).map(|n| format!("10.{n}.0")));
        let free = candidates.filter_map(|start| Some((Cidr::read(&format!("{start}.0/24"))?, start)));
        let free = free.into_iter().find(|(range, _)| !taken.iter().any(|taken| taken.overlaps(*range)));
        let title = format!("make network {} anew with a subnet that is free", network.name);
        let Some((range, start)) = free else { return Fix::new(title, Action::Manual) };
        let yaml = format!("ipam:\n      config:\n        - subnet: {range}\n");
        let edit = self.network_edit(
            network,
            &yaml,
            &format!("--subnet {range}"),
            &format!("{{ \"bip\": \"{start}.1/24\" }}"),
        );
        Fix::new(format!("{title}, such as {range}"), Action::Manual).edit(edit)
    }

    /// What makes it last: lines of the compose file that makes the network, or else options of the command that does.
    fn network_edit(&self, network: &Network, yaml: &str, option: &str, daemon: &str) -> Edit {
        if !is_user_defined(&network.name) {
            let file = "/etc/docker/daemon.json".to_owned();
            return Edit { file, language: "json", text: format!("{daemon}\n") };
        }
        let mut on = self.containers.0.iter().filter(|container| container.on(&network.name).is_some());
        let file = on.find_map(|container| container.compose.as_ref()?.files.first().cloned());
        match (&network.compose_name, file) {
            (Some(key), Some(file)) => {
                Edit { file, language: "yaml", text: format!("networks:\n  {key}:\n    {yaml}") }
            }
            _ => Edit {
                file: format!("the command that makes {}", network.name),
                language: "sh",
                text: format!("docker network create {option} {}", text::shell(&network.name)),
            },
        }
    }
}

/// Whether mitmproxy kills connections from public addresses; `None` when that is not known.
fn blocks(seen: &MitmproxySeen) -> Option<bool> {
    match (&seen.options, seen.command_line.set.get("block_global").map(String::as_str)) {
        (Ok(options), _) => Some(options.block_global),
        (Err(_), Some("false")) => Some(false),
        (Err(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, Facts, docker::Compose, example, facts::Kind, view::NameSeen};

    fn route(destination: &str, interface: &str, mtu: u32) -> RouteSeen {
        RouteSeen { destination: destination.into(), interface: interface.into(), mtu: Some(mtu) }
    }

    /// caddy on both networks, mitmproxy on app-net, the machine with its own routes.
    fn judged(change: impl FnOnce(&mut Facts, &mut Vec<RouteSeen>)) -> Verdict {
        let mut facts = example::healthy();
        let networks = &mut facts.networks.as_mut().unwrap().0;
        networks[0].subnets = vec!["172.19.0.0/16".into()];
        networks[1].subnets = vec!["172.20.0.0/16".into()];
        facts.mitmproxies.as_mut().unwrap().0[0].options.as_mut().unwrap().block_global = true;
        let mut routes = vec![
            route("0.0.0.0/0", "eth0", 1500),
            route("192.168.1.0/24", "eth0", 1500),
            route("172.19.0.0/16", "br-edge-net", 1500),
            route("172.20.0.0/16", "br-app-net", 1500),
            route("172.17.0.0/16", "docker0", 1500),
        ];
        change(&mut facts, &mut routes);
        if let Some(Ok(own)) = &mut facts.host.as_mut().unwrap().routes {
            *own = routes;
        }
        (CHECK.run)(&Context::new(facts))
    }

    #[test]
    fn private_networks_of_their_own_pass() {
        let verdict = judged(|_, _| {});
        assert_eq!((verdict.worst(), verdict.gaps.len(), verdict.evidence.len()), (None, 0, 2));
    }

    #[test]
    fn a_route_of_a_vpn_collides() {
        let broader = judged(|_, routes| routes.push(route("172.16.0.0/12", "tun0", 1400)));
        assert_eq!(
            broader.findings[0].summary,
            "network edge-net has addresses (172.19.0.0/16) of a range that this machine routes to tun0 \
             (172.16.0.0/12): whoever has them there cannot be reached"
        );
        let narrower = judged(|_, routes| routes.push(route("172.20.5.0/24", "tun0", 1400)));
        let finding = &narrower.findings[0];
        assert_eq!(finding.about, ["caddy", "mitmproxy", "backend"]);
        assert!(finding.summary.starts_with("this machine routes 172.20.5.0/24"), "{}", finding.summary);
        assert_eq!(finding.fixes[0].edits[0].text, "docker network create --subnet 192.168.200.0/24 app-net");
    }

    #[test]
    fn the_way_out_and_other_bridges_do_not() {
        let verdict = judged(|_, routes| {
            routes.push(route("0.0.0.0/1", "tun0", 1400));
            routes.push(route("128.0.0.0/1", "tun0", 1400));
            routes.push(route("172.20.0.0/16", "br-0123456789ab", 1500));
        });
        assert_eq!(verdict.worst(), None);
        // The bridge of an engine in a machine of its own, or under a name of its own.
        let verdict = judged(|facts, routes| {
            facts.networks.as_mut().unwrap().0[1].interface.clear();
            routes[3].interface = "lab0".into();
        });
        assert_eq!(verdict.worst(), None);
    }

    #[test]
    fn the_free_subnet_is_free() {
        let verdict = judged(|_, routes| {
            routes.push(route("172.20.5.0/24", "tun0", 1400));
            routes.push(route("192.168.0.0/16", "tun0", 1400));
        });
        assert!(verdict.findings[0].fixes[0].title.ends_with("such as 10.200.0.0/24"));
    }

    #[test]
    fn a_public_range_names_block_global() {
        let with = |options: bool| {
            judged(|facts, _| {
                facts.networks.as_mut().unwrap().0[1].subnets = vec!["172.40.0.0/16".into()];
                let seen = &mut facts.mitmproxies.as_mut().unwrap().0[0];
                seen.options.as_mut().unwrap().block_global = options;
            })
        };
        let finding = with(true).findings.remove(0);
        assert_eq!(
            finding.summary,
            "the addresses of network app-net (172.40.0.0/16) are public ones: \
             mitmproxy kills connections from there (block_global)"
        );
        assert!(finding.fixes[1].action.commands()[0].contains("block_global"));
        let off = with(false).findings.remove(0);
        assert!(off.summary.ends_with("who cannot be reached"), "{}", off.summary);
        assert_eq!(off.fixes.len(), 1);
    }

    #[test]
    fn ranges_are_public_as_python_says() {
        for (range, public) in [
            ("172.31.0.0/16", false),
            ("172.32.0.0/16", true),
            ("172.168.0.0/16", true),
            ("100.64.0.0/24", false),
            ("192.168.1.0/24", false),
            ("fd00::/64", false),
            ("2001:db8::/64", false),
            ("2a01:4f8::/64", true),
        ] {
            assert_eq!(Cidr::read(range).unwrap().is_public(), public, "{range}");
        }
        assert_eq!(Cidr::read("10.0.0.0/33"), None);
    }

    /// mitmproxy's target is outside, and the way out takes `mtu`.
    fn outside(mtu: u32, change: impl FnOnce(&mut Facts)) -> Verdict {
        judged(|facts, routes| {
            let name = "api.example.com".to_owned();
            let options = facts.mitmproxies.as_mut().unwrap().0[0].options.as_mut().unwrap();
            options.mode = vec![format!("reverse:https://{name}")];
            facts.views.as_mut().unwrap().0[1].names = vec![NameSeen {
                name,
                server: "127.0.0.11".into(),
                answer: NameAnswer::Addresses(vec![example::ip("203.0.113.9")]),
                disagrees: None,
                took_ms: 1,
            }];
            routes[0] = route("0.0.0.0/0", "wg0", mtu);
            change(facts);
        })
    }

    #[test]
    fn packets_that_are_too_large_for_the_way_out_may_be_lost() {
        let finding = outside(1420, |_| {}).findings.remove(0);
        assert_eq!(
            finding.summary,
            "mitmproxy sends packets of up to 1500 bytes, and the way to api.example.com:443 takes 1420 (wg0): \
             large ones may be lost"
        );
        assert_eq!(
            finding.fixes[0].edits[0].text,
            "docker network create --opt com.docker.network.driver.mtu=1420 app-net"
        );
        assert_eq!(outside(1500, |_| {}).worst(), None);
        assert_eq!(outside(1420, |facts| facts.networks.as_mut().unwrap().0[1].mtu = Some(1400)).worst(), None);
    }

    #[test]
    fn nobody_leaves_the_machine_so_its_mtu_does_not_matter() {
        assert_eq!(judged(|_, routes| routes[0] = route("0.0.0.0/0", "wg0", 1280)).worst(), None);
    }

    #[test]
    fn compose_gets_its_lines() {
        let verdict = judged(|facts, routes| {
            facts.networks.as_mut().unwrap().0[1].compose_name = Some("default".into());
            facts.containers.as_mut().unwrap().0[1].compose =
                Some(Compose { files: vec!["/srv/compose.yml".into()], ..Compose::default() });
            routes.push(route("172.20.5.0/24", "tun0", 1400));
        });
        let edit = &verdict.findings[0].fixes[0].edits[0];
        assert_eq!(edit.text, "networks:\n  default:\n    ipam:\n      config:\n        - subnet: 192.168.200.0/24\n");
    }

    #[test]
    fn routes_that_were_not_seen_are_not_claimed() {
        let with = |routes: Option<Result<Vec<RouteSeen>, Missing>>| {
            judged(|facts, _| facts.host.as_mut().unwrap().routes = routes)
        };
        let unseen = with(None);
        assert_eq!((unseen.worst(), unseen.gaps.len()), (None, 0));
        assert!(unseen.summary.ends_with("all are private; routes were not looked at"), "{}", unseen.summary);
        let failed = with(Some(Err(Missing::failed("reading /proc/net/route", Kind::Denied, "no"))));
        assert_eq!((failed.worst(), failed.gaps.len()), (None, 1));
    }

    #[test]
    fn a_doctor_in_a_container_sees_other_routes() {
        let verdict = judged(|facts, routes| {
            facts.host.as_mut().unwrap().inside = Some(facts.containers.as_ref().unwrap().0[2].id.clone());
            *routes = vec![route("172.20.0.0/16", "eth0", 1500)];
        });
        assert_eq!((verdict.worst(), verdict.summary.contains("not looked at")), (None, true));
    }
}
