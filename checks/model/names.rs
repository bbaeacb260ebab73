//! What a host name or an address means in a place, as far as inspect alone tells.

use std::net::IpAddr;

use crate::model::{
    Place,
    docker::{Container, Containers, Networks, is_user_defined},
};

/// Names by which container engines offer the machine they run on.
pub const HOST_ALIASES: &[&str] = &[
    "host.docker.internal",
    "gateway.docker.internal",
    "host.containers.internal",
    "host.lima.internal",
    "host.orb.internal",
    "docker.for.mac.localhost",
    "docker.for.win.localhost",
];

/// What a dialled host means in a place.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// The place itself: `localhost`, `127.0.0.1`, or no host at all.
    Itself,
    /// A container on a network that this place is on, too.
    Container { name: String, network: String },
    /// The machine that the engine runs on, by one of [`HOST_ALIASES`] or by a gateway's address.
    TheHost,
    /// Containers that have this name or address only on networks that this place is not on, or where names do not resolve.
    Elsewhere(Vec<String>),
    /// An address of no container.
    Address(IpAddr),
    /// Nobody on this engine has that name.
    Unknown,
}

/// Whether a name is one by which engines offer their machine.
#[must_use]
pub fn is_host_alias(host: &str) -> bool {
    HOST_ALIASES.iter().any(|alias| alias.eq_ignore_ascii_case(host))
}

/// What `host` means when it is dialled in `place`.
#[must_use]
pub fn meaning(containers: &Containers, networks: &Networks, place: &Place, host: &str) -> Meaning {
    let host = host.trim_end_matches('.');
    if host.is_empty() || host.eq_ignore_ascii_case("localhost") {
        return Meaning::Itself;
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return address(containers, networks, place, ip);
    }
    let here = match place {
        Place::Host => None,
        Place::Container(name) => containers.named(name),
    };
    if let Some(entry) =
        here.and_then(|own| own.detail.as_deref()).and_then(|detail| extra_host(&detail.extra_hosts, host))
    {
        return match entry.parse::<IpAddr>() {
            Ok(ip) => address(containers, networks, place, ip),
            Err(_) => Meaning::TheHost, // `host-gateway`
        };
    }
    if is_host_alias(host) {
        return Meaning::TheHost;
    }
    let own_networks = here.map(|own| own.networks.as_slice()).unwrap_or_default();
    for attached in own_networks.iter().filter(|attached| is_user_defined(&attached.network)) {
        // Several may share an alias; one that does not run is not answered.
        let here = |other: &&Container| other.on(&attached.network).is_some_and(|there| there.answers_to(host));
        let found = containers.0.iter().filter(here).min_by_key(|other| !other.lives());
        if let Some(found) = found {
            return Meaning::Container { name: found.name.clone(), network: attached.network.clone() };
        }
    }
    let elsewhere: Vec<String> =
        containers.0.iter().filter(|other| other.answers_to(host)).map(|other| other.name.clone()).collect();
    // Names with a dot are the outside's; that some container has one for an alias on a foreign network means nothing here.
    if host.contains('.') && !containers.0.iter().any(|other| other.name == host) {
        return Meaning::Unknown;
    }
    if elsewhere.is_empty() { Meaning::Unknown } else { Meaning::Elsewhere(elsewhere) }
}

fn address(containers: &Containers, networks: &Networks, place: &Place, ip: IpAddr) -> Meaning {
    if ip.is_loopback() || ip.is_unspecified() {
        return Meaning::Itself;
    }
    if let Some((container, attached)) = containers.at(ip) {
        if containers.place_of(container) == *place {
            return Meaning::Itself;
        }
        // The host has an address on every bridge; a container reaches those of its own networks only.
        if !is_on(containers, place, &attached.network) {
            return Meaning::Elsewhere(vec![container.name.clone()]);
        }
        return Meaning::Container { name: container.name.clone(), network: attached.network.clone() };
    }
    if networks.0.iter().any(|network| network.gateways.contains(&ip)) {
        return Meaning::TheHost;
    }
    Meaning::Address(ip)
}

/// Whether a place is on a network, as far as it is known which it is on.
fn is_on(containers: &Containers, place: &Place, network: &str) -> bool {
    let Place::Container(name) = place else { return true };
    containers.named(name).is_none_or(|own| own.networks.is_empty() || own.on(network).is_some())
}

/// The value of an `ExtraHosts` entry for `name`; entries are split at the first colon (or `=`, as newer clients allow).
#[must_use]
pub fn extra_host<'e>(entries: &'e [String], name: &str) -> Option<&'e str> {
    entries.iter().find_map(|entry| {
        let (host, value) = entry.split_once([':', '='])?;
        host.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;

    #[test]
    fn a_name_means_something_only_where_it_is_known() {
        let (containers, networks) = example::two_networks();
        let at = |place: &str, host: &str| meaning(&containers, &networks, &Place::Container(place.into()), host);
        assert_eq!(at("caddy", "mitmproxy"), Meaning::Elsewhere(vec!["mitmproxy".into()]));
        assert_eq!(
            at("mitmproxy", "BACKEND"),
            Meaning::Container { name: "backend".into(), network: "app-net".into() }
        );
        assert_eq!(at("caddy", "localhost"), Meaning::Itself);
        assert_eq!(at("caddy", "172.19.0.1"), Meaning::TheHost);
        assert_eq!(at("caddy", "host.docker.internal"), Meaning::TheHost);
        assert_eq!(at("caddy", "nobody"), Meaning::Unknown);
        assert_eq!(at("caddy", "172.20.0.3"), Meaning::Elsewhere(vec!["backend".into()]));
        let on_app_net = |name: &str| Meaning::Container { name: name.into(), network: "app-net".into() };
        assert_eq!(at("mitmproxy", "172.20.0.3"), on_app_net("backend"));
        assert_eq!(meaning(&containers, &networks, &Place::Host, "172.20.0.3"), on_app_net("backend"));
        assert_eq!(
            meaning(&containers, &networks, &Place::Host, "mitmproxy"),
            Meaning::Elsewhere(vec!["mitmproxy".into()])
        );
    }

    #[test]
    fn extra_hosts_go_first() {
        let (mut containers, networks) = example::two_networks();
        let caddy = containers.0.iter_mut().find(|container| container.name == "caddy").unwrap();
        caddy.detail.as_mut().unwrap().extra_hosts = vec!["mitmproxy:host-gateway".into(), "b:172.20.0.3".into()];
        let at = |host: &str| meaning(&containers, &networks, &Place::Container("caddy".into()), host);
        assert_eq!(at("mitmproxy"), Meaning::TheHost);
        assert_eq!(at("b"), Meaning::Elsewhere(vec!["backend".into()]));
    }
}
