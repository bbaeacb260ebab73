//! Every check `doctor` makes, one file each, and the words they are written in.
//!
//! Nothing here asks anything of the world: a check is a function of facts that were gathered before.

#[macro_use]
pub mod model;

mod backend_reachable;
mod caddy_admin;
mod caddy_dial;
mod caddy_listener;
mod caddy_route;
mod capture_filters;
mod container_health;
mod dns_lookup;
mod docker_engine;
mod flows_nonzero;
mod host_docker_internal;
mod image;
mod keep_host_header;
mod latency;
mod memory;
mod mitmweb_api;
mod port_conflict;
mod proxy_env;
mod reverse_mode;
mod setup_found;
mod shared_network;
mod subnet;
mod vantage;

use model::Check;

/// Every check, in the order of the report: each comes after those that can explain it.
pub const ALL: &[&Check] = &[
    &docker_engine::CHECK,
    &setup_found::CHECK,
    &port_conflict::CHECK,
    &container_health::CHECK,
    &image::CHECK,
    &caddy_admin::CHECK,
    &shared_network::CHECK,
    &host_docker_internal::CHECK,
    &dns_lookup::CHECK,
    &subnet::CHECK,
    &proxy_env::CHECK,
    &caddy_route::CHECK,
    &caddy_dial::CHECK,
    &caddy_listener::CHECK,
    &mitmweb_api::CHECK,
    &reverse_mode::CHECK,
    &backend_reachable::CHECK,
    &keep_host_header::CHECK,
    &capture_filters::CHECK,
    &flows_nonzero::CHECK,
    &latency::CHECK,
    &memory::CHECK,
    &vantage::CHECK,
];

/// The check with this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Check> {
    ALL.iter().find(|check| check.id == id).copied()
}

/// Every check that can explain a finding of `check`: its `after`, theirs, and so on.
#[must_use]
pub fn explaining(check: &Check) -> Vec<&'static str> {
    let mut all: Vec<&'static str> = Vec::new();
    let mut next = check.after.to_vec();
    while let Some(id) = next.pop() {
        if !all.contains(&id) {
            all.push(id);
            next.extend(find(id).map(|check| check.after).unwrap_or_default());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_comes_after_those_that_explain_it() {
        for (at, check) in ALL.iter().enumerate() {
            for id in check.after {
                let position = ALL.iter().position(|other| other.id == *id);
                assert!(position.is_some_and(|position| position < at), "{} is after {id}", check.id);
            }
        }
    }

    #[test]
    fn ids_are_unique() {
        for check in ALL {
            assert_eq!(ALL.iter().filter(|other| other.id == check.id).count(), 1, "{}", check.id);
        }
    }
}
