//! Faults of Caddy: its dials, its routes, its listeners, its admin API.

use super::{Chain, broken, dials, fixed_both_ways, named};
use crate::{
    Setup,
    lab::{ENTRY, HOST, Lab, docker, request, sh},
};

pub(crate) const SETUPS: &[Setup] = &[
    Setup { name: "dial-localhost", up: dial_localhost, then: dial_localhost_then },
    Setup { name: "dial-localhost-default-bridge", up: quick_start, then: quick_start_then },
    Setup { name: "dial-published-port", up: dial_published_port, then: dial_published_port_then },
    Setup { name: "dial-web-port", up: dial_web_port, then: dial_web_port_then },
    Setup { name: "dial-with-scheme", up: dial_with_scheme, then: dial_with_scheme_then },
    Setup { name: "dial-without-port", up: dial_without_port, then: dial_without_port_then },
    Setup { name: "dial-wrong-port", up: dial_wrong_port, then: dial_wrong_port_then },
    Setup { name: "dial-with-path", up: dial_with_path, then: dial_with_path_then },
    Setup { name: "dial-port-range", up: dial_port_range, then: dial_port_range_then },
    Setup { name: "dial-other-network", up: dial_other_network, then: dial_other_network_then },
    Setup { name: "dial-address-elsewhere", up: dial_address_elsewhere, then: dial_address_elsewhere_then },
    Setup { name: "dial-without-host", up: dial_without_host, then: dial_without_host_then },
    Setup { name: "dial-of-host-to-web-port", up: dial_of_host_to_web_port, then: dial_of_host_to_web_port_then },
    Setup { name: "dial-of-host-to-nothing", up: dial_of_host_to_nothing, then: dial_of_host_to_nothing_then },
    Setup { name: "dial-over-tls", up: dial_over_tls, then: dial_over_tls_then },
    Setup { name: "dial-h2c", up: dial_h2c, then: dial_h2c_then },
    Setup { name: "route-direct", up: route_direct, then: route_direct_then },
    Setup { name: "route-shadowed", up: route_shadowed, then: route_shadowed_then },
    Setup { name: "route-stale-direct", up: route_stale_direct, then: route_stale_direct_then },
    Setup { name: "route-spreads", up: route_spreads, then: route_spreads_then },
    Setup { name: "route-prefers-backend", up: route_prefers_backend, then: route_prefers_backend_then },
    Setup { name: "route-same-id", up: route_same_id, then: route_same_id_then },
    Setup { name: "route-same-id-direct-first", up: route_same_id_direct, then: route_same_id_direct_then },
    Setup { name: "route-missing", up: |lab| Chain::default().up(lab), then: route_missing_then },
    Setup { name: "route-answers-itself", up: route_answers_itself, then: route_answers_itself_then },
    Setup { name: "route-to-nothing", up: route_to_nothing, then: route_to_nothing_then },
    Setup { name: "no-http-server", up: no_http_server, then: no_http_server_then },
    Setup { name: "servers-vanished", up: servers_vanished, then: servers_vanished_then },
    Setup { name: "listener-not-published", up: listener_not_published, then: listener_not_published_then },
    Setup { name: "no-port-published", up: no_port_published, then: no_port_published_then },
    Setup { name: "listener-on-loopback", up: listener_on_loopback, then: listener_on_loopback_then },
    Setup { name: "https-not-published", up: https_not_published, then: https_not_published_then },
    Setup { name: "https-published-as-another", up: https_published_as_another, then: https_published_as_another_then },
    Setup { name: "admin-on-another-port", up: admin_on_another_port, then: admin_on_another_port_then },
    Setup { name: "turned-to-tls", up: turned_to_tls, then: turned_to_tls_then },
    Setup { name: "two-caddys-on-one-port", up: two_caddys, then: two_caddys_then },
    Setup { name: "admin-on-loopback", up: admin_on_loopback, then: admin_on_loopback_then },
    Setup { name: "admin-published-to-all", up: admin_published_to_all, then: admin_published_to_all_then },
    Setup { name: "admin-refuses-host", up: admin_refuses_host, then: admin_refuses_host_then },
    Setup { name: "admin-refuses-published", up: admin_refuses_published, then: admin_refuses_published_then },
    Setup { name: "admin-off", up: admin_off, then: admin_off_then },
    Setup { name: "admin-off-and-left-over", up: admin_off_and_left_over, then: admin_off_then },
];

const PUBLISHED: &str = "-p 127.0.0.1:18082:8080";

fn dialling(lab: &Lab, dial: &str, mitmproxy: &str) {
    Chain { caddyfile: &dials(dial), mitmproxy, ..Chain::default() }.up(lab);
}

/// A config with these routes in one server, as clients of the admin API leave it.
fn routes(lab: &Lab, routes: &str) {
    let json = format!(
        r#"{{"apps":{{"http":{{"servers":{{"srv0":{{"listen":[":80"],"automatic_https":{{"disable":true}},"routes":[{routes}]}}}}}}}}}}"#
    );
    Chain { json: Some(&json), ..Chain::default() }.up(lab);
}

fn route(id: &str, dial: &str) -> String {
    format!(
        r#"{{"@id":"{id}","match":[{{"host":["{HOST}"]}}],"handle":[{{"handler":"reverse_proxy","upstreams":[{{"dial":"{dial}"}}]}}],"terminal":true}}"#
    )
}

/// Guide: "Caddy can't reach mitmproxy".
fn dial_localhost(lab: &Lab) {
    dialling(lab, "localhost:18082", PUBLISHED);
}

fn dial_localhost_then(lab: &Lab) {
    let cause = "caddy-dial: caddy dials localhost:18082, which is its own container, and nothing listens there";
    let diagnosis = broken(lab, &[cause]);
    diagnosis.folds(&["flows-nonzero"]);
    fixed_both_ways(lab, dial_localhost, &diagnosis);
}

/// The client library's quick start: everything on the default bridge, where names do not resolve.
fn quick_start(lab: &Lab) {
    lab.host_backend("0.0.0.0", 13000);
    lab.mitmweb("mitmproxy", PUBLISHED, "http://172.17.0.1:13000");
    lab.caddy("caddy", &format!("-p 127.0.0.1:{ENTRY}:80"), &dials("localhost:18082"));
}

fn quick_start_then(lab: &Lab) {
    let cause = "caddy-dial: caddy dials localhost:18082, which is its own container, and nothing listens there";
    let diagnosis = broken(lab, &[cause]);
    lab.undo("docker network rm caddy-net");
    fixed_both_ways(lab, quick_start, &diagnosis);
}

fn dial_published_port(lab: &Lab) {
    dialling(lab, "mitmproxy:18082", PUBLISHED);
}

fn dial_published_port_then(lab: &Lab) {
    let cause = "caddy-dial: caddy dials mitmproxy:18082: 18082 is the port published on the host, and inside the network \
                 mitmproxy listens on 8080";
    let diagnosis = broken(lab, &[cause]);
    diagnosis.folds(&["flows-nonzero"]);
    fixed_both_ways(lab, dial_published_port, &diagnosis);
}

fn dial_web_port(lab: &Lab) {
    Chain {
        caddyfile: &dials("mitmproxy:8081"),
        command: &format!("{} --web-host 0.0.0.0", super::COMMAND),
        ..Chain::default()
    }
    .up(lab);
}

fn dial_web_port_then(lab: &Lab) {
    let diagnosis =
        broken(lab, &["caddy-dial: caddy dials mitmproxy:8081, which is mitmproxy's web interface, not its proxy"]);
    fixed_both_ways(lab, dial_web_port, &diagnosis);
}

/// Caddy's JSON takes it, and fails with every request.
fn dial_with_scheme(lab: &Lab) {
    routes(lab, &route("api", "http://mitmproxy:8080"));
}

fn dial_with_scheme_then(lab: &Lab) {
    let cause = "caddy-dial: the dial `http://mitmproxy:8080` of caddy has a scheme, which Caddy takes for the name of a network";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, dial_with_scheme, &diagnosis);
}

fn dial_without_port(lab: &Lab) {
    routes(lab, &route("api", "mitmproxy"));
}

fn dial_without_port_then(lab: &Lab) {
    let diagnosis = broken(lab, &["caddy-dial: the dial `mitmproxy` of caddy has no port, so Caddy dials port 0"]);
    fixed_both_ways(lab, dial_without_port, &diagnosis);
}

fn dial_wrong_port(lab: &Lab) {
    dialling(lab, "mitmproxy:9999", "");
}

fn dial_wrong_port_then(lab: &Lab) {
    let cause = "caddy-dial: caddy dials mitmproxy:9999, and mitmproxy does not listen on port 9999";
    let diagnosis = broken(lab, &[cause]);
    // A marked request says the same.
    lab.doctor(&["--probe"]).blames(&[cause]).folds(&["flows-nonzero"]);
    fixed_both_ways(lab, dial_wrong_port, &diagnosis);
}

fn dial_with_path(lab: &Lab) {
    routes(lab, &route("api", "mitmproxy:8080/api"));
}

fn dial_with_path_then(lab: &Lab) {
    let diagnosis = broken(lab, &["caddy-dial: the dial `mitmproxy:8080/api` of caddy has a path behind the port"]);
    fixed_both_ways(lab, dial_with_path, &diagnosis);
}

fn dial_port_range(lab: &Lab) {
    routes(lab, &route("api", "mitmproxy:8080-8081"));
}

fn dial_port_range_then(lab: &Lab) {
    let cause = "caddy-dial: the dial `mitmproxy:8080-8081` of caddy is a range of ports, and a dial is one";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, dial_port_range, &diagnosis);
}

fn dial_other_network(lab: &Lab) {
    routes(lab, &route("api", "udp/mitmproxy:8080"));
}

fn dial_other_network_then(lab: &Lab) {
    let cause = "caddy-dial: the dial `udp/mitmproxy:8080` of caddy names the network udp, and HTTP needs tcp";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, dial_other_network, &diagnosis);
}

/// The address that mitmproxy has on a network which Caddy is not on.
fn dial_address_elsewhere(lab: &Lab) {
    lab.network("app-net");
    lab.network("edge-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://backend:3000");
    let address =
        docker(&["inspect", "-f", "{{(index .NetworkSettings.Networks \"app-net\").IPAddress}}", "mitmproxy"]);
    let site = dials(&format!("{}:8080", address.trim()));
    lab.caddy("caddy", &format!("--network edge-net -p 127.0.0.1:{ENTRY}:80"), &site);
}

fn dial_address_elsewhere_then(lab: &Lab) {
    let address =
        docker(&["inspect", "-f", "{{(index .NetworkSettings.Networks \"app-net\").IPAddress}}", "mitmproxy"]);
    let cause = format!(
        "shared-network: caddy dials {}, an address of mitmproxy on app-net, and is not on app-net",
        address.trim()
    );
    let diagnosis = broken(lab, &[&cause]);
    fixed_both_ways(lab, dial_address_elsewhere, &diagnosis);
}

/// What a placeholder leaves whose variable is not set.
fn dial_without_host(lab: &Lab) {
    dialling(lab, "{$MITMPROXY_HOST}:8080", "");
}

fn dial_without_host_then(lab: &Lab) {
    let cause = "caddy-dial: caddy dials :8080, which is its own container, and nothing listens there";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, dial_without_host, &diagnosis);
}

/// Caddy on the host's network, mitmproxy with its ports published: there the published ports are the right ones.
fn on_host_dialling(lab: &Lab, dial: &str) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    let published = "--network app-net -p 127.0.0.1:18082:8080 -p 127.0.0.1:18081:8081";
    lab.mitmweb("mitmproxy", published, "http://backend:3000");
    lab.caddy("caddy", "--network host", &format!("{{\n\thttp_port {ENTRY}\n}}\n{}", dials(dial)));
}

fn dial_of_host_to_web_port(lab: &Lab) {
    on_host_dialling(lab, "127.0.0.1:18081");
}

fn dial_of_host_to_web_port_then(lab: &Lab) {
    let cause = "caddy-dial: caddy dials 127.0.0.1:18081, which is mitmproxy's web interface, not its proxy";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, dial_of_host_to_web_port, &diagnosis);
}

fn dial_of_host_to_nothing(lab: &Lab) {
    on_host_dialling(lab, "127.0.0.1:8080");
}

fn dial_of_host_to_nothing_then(lab: &Lab) {
    let cause = "caddy-dial: caddy dials 127.0.0.1:8080, and nothing listens there on this machine";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, dial_of_host_to_nothing, &diagnosis);
}

fn dial_over_tls(lab: &Lab) {
    dialling(lab, "https://mitmproxy:8080", "");
}

fn dial_over_tls_then(lab: &Lab) {
    let cause =
        "caddy-dial: caddy speaks TLS to mitmproxy:8080, and does not know the authority of mitmproxy's certificate";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, dial_over_tls, &diagnosis);
}

fn dial_h2c(lab: &Lab) {
    dialling(lab, "h2c://mitmproxy:8080", "");
}

fn dial_h2c_then(lab: &Lab) {
    let cause =
        "caddy-dial: caddy speaks HTTP/2 without TLS (h2c) to mitmproxy:8080, which mitmproxy does not understand";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, dial_h2c, &diagnosis);
}

/// Guide: "Traffic not captured". Requests travel, and mitmproxy sees none of them.
fn route_direct(lab: &Lab) {
    dialling(lab, "backend:3000", "");
}

fn route_direct_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = named(
        lab,
        &[],
        &["caddy-route: route 0 of caddy sends api.example.com straight to backend:3000, not to mitmproxy"],
    );
    diagnosis.folds(&["flows-nonzero"]);
    fixed_both_ways(lab, route_direct, &diagnosis);
    assert_eq!(lab.doctor(&[]).status("flows-nonzero"), "pass");
}

/// The image's own Caddyfile has a `file_server` without a matcher, and the API appends behind it.
fn route_shadowed(lab: &Lab) {
    let files = r#"{"handle":[{"handler":"vars","root":"/usr/share/caddy"},{"handler":"file_server"}]}"#;
    routes(lab, &format!("{files},{}", route("api", "mitmproxy:8080")));
}

fn route_shadowed_then(lab: &Lab) {
    let cause = "caddy-route: route 0 of caddy answers by file_server for api.example.com, so route 1 (@id api) behind it, \
                 which leads to mitmproxy, is never reached";
    let diagnosis = broken(lab, &[cause]);
    diagnosis.folds(&["flows-nonzero"]);
    fixed_both_ways(lab, route_shadowed, &diagnosis);
}

fn route_stale_direct(lab: &Lab) {
    routes(lab, &format!("{},{}", route("api_direct", "backend:3000"), route("api", "mitmproxy:8080")));
}

fn route_stale_direct_then(lab: &Lab) {
    lab.travels(HOST);
    let cause = "caddy-route: route 0 (@id api_direct) of caddy proxies to backend:3000 for api.example.com, so route 1 \
                 (@id api) behind it, which leads to mitmproxy, is never reached";
    let diagnosis = named(lab, &[], &[cause]);
    fixed_both_ways(lab, route_stale_direct, &diagnosis);
    assert_eq!(lab.doctor(&[]).status("flows-nonzero"), "pass");
}

/// What the client library's README recommends for a fallback: half of the requests go round mitmproxy.
fn route_spreads(lab: &Lab) {
    routes(lab, &balanced("", "mitmproxy:8080", "backend:3000"));
}

fn balanced(policy: &str, one: &str, other: &str) -> String {
    format!(
        r#"{{"match":[{{"host":["{HOST}"]}}],"handle":[{{"handler":"reverse_proxy",{policy}"upstreams":[{{"dial":"{one}"}},{{"dial":"{other}"}}]}}],"terminal":true}}"#
    )
}

fn route_spreads_then(lab: &Lab) {
    (0..12).for_each(|_| drop(lab.travels(HOST)));
    let warning = "caddy-route: route 0 of caddy spreads requests over mitmproxy:8080 and backend:3000, and mitmproxy sees \
                   only some of them";
    named(lab, &[], &[]).warns(warning);
}

fn route_prefers_backend(lab: &Lab) {
    let policy = r#""load_balancing":{"selection_policy":{"policy":"first"}},"#;
    routes(lab, &balanced(policy, "backend:3000", "mitmproxy:8080"));
}

fn route_prefers_backend_then(lab: &Lab) {
    lab.travels(HOST);
    let cause = "caddy-route: route 0 of caddy takes the first of backend:3000 and mitmproxy:8080, so mitmproxy sees a request \
                 only when backend:3000 is down";
    named(lab, &[], &[cause]).folds(&["flows-nonzero"]);
}

fn route_same_id(lab: &Lab) {
    routes(lab, &format!("{},{}", route("api", "mitmproxy:8080"), route("api", "backend:3000")));
}

fn route_same_id_then(lab: &Lab) {
    lab.travels(HOST);
    let cause = "caddy-route: 2 routes of caddy have the @id api: the admin API finds the last of them only";
    let diagnosis = named(lab, &[], &[cause]);
    fixed_both_ways(lab, route_same_id, &diagnosis);
}

/// What a client leaves that adds a pair of routes: the one that answers goes, and the one to mitmproxy stays.
fn route_same_id_direct(lab: &Lab) {
    routes(lab, &format!("{},{}", route("api", "backend:3000"), route("api", "mitmproxy:8080")));
}

fn route_same_id_direct_then(lab: &Lab) {
    lab.travels(HOST);
    let causes = [
        "caddy-route: route 0 (@id api) of caddy proxies to backend:3000 for api.example.com, so route 1 (@id api) behind \
         it, which leads to mitmproxy, is never reached",
        "caddy-route: 2 routes of caddy have the @id api: the admin API finds the last of them only",
    ];
    let diagnosis = named(lab, &[], &causes);
    diagnosis.folds(&["flows-nonzero"]);
    fixed_both_ways(lab, route_same_id_direct, &diagnosis);
    assert_eq!(lab.doctor(&[]).status("flows-nonzero"), "pass");
}

/// A 200 with an empty body is a missed route, not a success.
fn route_missing_then(lab: &Lab) {
    let answer = request(ENTRY, "shop.example.com").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Content-Length: 0"), "{answer}");
    let cause = "caddy-route: no route of caddy is for shop.example.com: it answers 200 with an empty body";
    let diagnosis = named(lab, &["--host", "shop.example.com"], &[cause]);
    diagnosis.heal(lab, 0);
    lab.travels("shop.example.com");
    lab.travels(HOST);
}

/// The Host that is meant has a site of its own that answers itself.
fn route_answers_itself(lab: &Lab) {
    let caddyfile = format!("{}http://shop.example.com {{\n\trespond \"hello\"\n}}\n", dials("mitmproxy:8080"));
    Chain { caddyfile: &caddyfile, ..Chain::default() }.up(lab);
}

fn route_answers_itself_then(lab: &Lab) {
    lab.travels(HOST);
    let cause = "caddy-route: route 0 of caddy answers by static_response for shop.example.com, and mitmproxy never sees the \
                 request";
    let diagnosis = named(lab, &["--host", "shop.example.com"], &[cause]);
    assert!(diagnosis.text.contains("shop.example.com"));
}

fn route_to_nothing(lab: &Lab) {
    Chain { caddyfile: ":80 {\n\trespond \"hello\"\n}\n", ..Chain::default() }.up(lab);
}

fn route_to_nothing_then(lab: &Lab) {
    broken(lab, &["caddy-route: no route of caddy leads to mitmproxy"]).folds(&["flows-nonzero"]);
}

fn no_http_server(lab: &Lab) {
    Chain { json: Some("{}"), ..Chain::default() }.up(lab);
}

fn no_http_server_then(lab: &Lab) {
    broken(lab, &["caddy-route: caddy has no HTTP server: nothing listens for requests"]).folds(&["flows-nonzero"]);
}

/// What a PATCH of all servers with one of them leaves.
fn servers_vanished(lab: &Lab) {
    let json = format!(
        r#"{{"apps":{{"http":{{"servers":{{"srv0":{{"listen":[":80"],"automatic_https":{{"disable":true}},"routes":[{}]}},"other":{{"listen":[":9000"],"routes":[]}}}}}}}}}}"#,
        route("api", "mitmproxy:8080")
    );
    Chain { json: Some(&json), caddy: "-p 127.0.0.1:19000:9000", ..Chain::default() }.up(lab);
    let only = json.replace(r#","other":{"listen":[":9000"],"routes":[]}"#, "");
    lab.caddy_load("caddy", &only);
}

fn servers_vanished_then(lab: &Lab) {
    lab.travels(HOST);
    named(lab, &[], &[]).warns("caddy-route: port 9000 of caddy is published, and no server listens there any more");
}

fn listener_not_published(lab: &Lab) {
    Chain { caddyfile: "http://api.example.com:8090 {\n\treverse_proxy mitmproxy:8080\n}\n", ..Chain::default() }
        .up(lab);
}

fn listener_not_published_then(lab: &Lab) {
    let cause = "caddy-listener: port 18080 of this machine leads to port 80 of caddy, where no server listens";
    let diagnosis = broken(lab, &[cause]);
    diagnosis.folds(&["flows-nonzero"]);
    fixed_both_ways(lab, listener_not_published, &diagnosis);
}

/// Right for clients in the same network, and for nobody else.
fn no_port_published(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://backend:3000");
    lab.caddy("caddy", "--network app-net", &dials("mitmproxy:8080"));
}

fn no_port_published_then(lab: &Lab) {
    let client = format!("wget -qO- --header 'Host: {HOST}' http://caddy/");
    assert!(docker(&["exec", "caddy", "sh", "-c", &client]).contains("backend saw Host"));
    let warning = "caddy-listener: caddy publishes no port that it listens on, so only other containers reach it";
    named(lab, &[], &[]).warns(warning);
}

fn listener_on_loopback(lab: &Lab) {
    Chain {
        caddyfile: "http://api.example.com {\n\tbind 127.0.0.1\n\treverse_proxy mitmproxy:8080\n}\n",
        ..Chain::default()
    }
    .up(lab);
}

fn listener_on_loopback_then(lab: &Lab) {
    let cause =
        "caddy-listener: caddy listens on 127.0.0.1:80 only, inside the container: 127.0.0.1:18080 leads to nobody";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, listener_on_loopback, &diagnosis);
}

/// A site without `http://` is served with TLS, and port 80 only redirects. `tls internal`: the lab asks no authority.
fn https_not_published(lab: &Lab) {
    Chain { caddyfile: "api.example.com {\n\ttls internal\n\treverse_proxy mitmproxy:8080\n}\n", ..Chain::default() }
        .up(lab);
}

fn https_not_published_then(lab: &Lab) {
    let cause =
        "caddy-listener: caddy redirects every request at 127.0.0.1:18080 to https on port 443, which is not published";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, https_not_published, &diagnosis);
}

/// The redirect names Caddy's own port, which has another number on this machine.
fn https_published_as_another(lab: &Lab) {
    let caddyfile = "api.example.com {\n\ttls internal\n\treverse_proxy mitmproxy:8080\n}\n";
    Chain { caddyfile, caddy: "-p 127.0.0.1:18443:443", ..Chain::default() }.up(lab);
    // It listens when it has a certificate.
    lab.wait_for_port("caddy", 80);
}

fn https_published_as_another_then(lab: &Lab) {
    let answer = request(ENTRY, HOST).unwrap();
    assert!(answer.starts_with("HTTP/1.1 308") && answer.contains("https://api.example.com/\r\n"), "{answer}");
    let warning = "caddy-listener: caddy redirects every request at 127.0.0.1:18080 to https on port 443, which nobody has \
                   on this machine: its own is published as 18443";
    named(lab, &[], &[]).warns(warning);
}

/// The port of the admin API is no port where a server should listen.
fn admin_on_another_port(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://backend:3000");
    let caddyfile = lab.caddyfile(&format!("{{\n\tadmin 0.0.0.0:2020\n}}\n{}", dials("mitmproxy:8080")));
    let mount = format!("-v {}:/etc/caddy/Caddyfile:ro", caddyfile.display());
    let environment = "-e CADDY_ADMIN=0.0.0.0:2020 -p 127.0.0.1:12020:2020";
    lab.run("caddy", &format!("--network app-net {environment} {mount} {}", crate::lab::CADDY));
    lab.wait_for_port("caddy", 80);
}

fn admin_on_another_port_then(lab: &Lab) {
    let warning = "caddy-listener: caddy publishes no port that it listens on, so only other containers reach it";
    named(lab, &[], &[]).warns(warning);
}

/// A server on another port than 80 that gets a route with a real-looking host.
fn turned_to_tls(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://backend:3000");
    let json = format!(
        r#"{{"apps":{{"tls":{{"automation":{{"policies":[{{"issuers":[{{"module":"internal"}}]}}]}}}},"http":{{"servers":{{"srv0":{{"listen":[":{ENTRY}"],"routes":[{}]}}}}}}}}}}"#,
        route("api", "mitmproxy:8080")
    );
    lab.caddy_json("caddy", &format!("--network app-net -p 127.0.0.1:{ENTRY}:{ENTRY}"), &json);
}

fn turned_to_tls_then(lab: &Lab) {
    let cause = "caddy-listener: automatic HTTPS turned port 18080 of caddy to TLS: plain http gets a 400 there";
    let diagnosis = broken(lab, &[cause]);
    fixed_both_ways(lab, turned_to_tls, &diagnosis);
}

/// They do not conflict: both listen with SO_REUSEPORT, and the kernel spreads the requests.
fn two_caddys(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net -p 127.0.0.1:18082:8080", "http://backend:3000");
    for (name, admin, answer) in [("caddy", 2019, "reverse_proxy localhost:18082"), ("edge", 2020, "respond \"other\"")]
    {
        let caddyfile =
            format!("{{\n\tadmin localhost:{admin}\n\thttp_port {ENTRY}\n}}\nhttp://{HOST} {{\n\t{answer}\n}}\n");
        let path = lab.folder().join(format!("Caddyfile.two.{name}"));
        std::fs::write(&path, caddyfile).unwrap();
        let environment = format!("-e CADDY_ADMIN=localhost:{admin}");
        lab.run(
            name,
            &format!(
                "--network host {environment} -v {}:/etc/caddy/Caddyfile:ro {}",
                path.display(),
                crate::lab::CADDY
            ),
        );
    }
    crate::lab::wait_until("both Caddys", || {
        crate::lab::listens("/proc/net/tcp", 2019) && crate::lab::listens("/proc/net/tcp", 2020)
    });
}

fn two_caddys_then(lab: &Lab) {
    let cause = "caddy-listener: caddy and edge both listen on port 18080 of the host, and answer in turns";
    named(lab, &[], &[cause]);
    docker(&["stop", "-t", "1", "edge"]);
    lab.travels(HOST);
    lab.doctor(&["--skip", "container-health"]).blames(&[]);
}

/// The port is open, and the connection is reset: that it is open proves nothing.
fn admin_on_loopback(lab: &Lab) {
    Chain { caddy: "-p 127.0.0.1:12019:2019", ..Chain::default() }.up(lab);
}

fn admin_on_loopback_then(lab: &Lab) {
    lab.travels(HOST);
    let cause = "caddy-admin: caddy's admin API is published at 127.0.0.1:12019, and listens on localhost:2019 only inside \
                 the container";
    let diagnosis = named(lab, &[], &[cause]);
    let usable = || assert!(sh("curl -fsS http://127.0.0.1:12019/config/").contains("mitmproxy:8080"));
    fixed_both_ways(lab, admin_on_loopback, &diagnosis);
    usable();
}

/// To open it as it is published would open it to everybody: first it is published to this machine alone.
fn admin_published_to_all(lab: &Lab) {
    Chain { caddy: "-p 12019:2019", ..Chain::default() }.up(lab);
}

fn admin_published_to_all_then(lab: &Lab) {
    let cause = "caddy-admin: caddy's admin API is published at 127.0.0.1:12019, and listens on localhost:2019 only inside \
                 the container";
    let diagnosis = named(lab, &[], &[cause]);
    let fixes = diagnosis.fixes().as_array().unwrap();
    assert!(fixes.iter().all(|fix| fix["apply"] != "safe"), "{}", diagnosis.text);
    diagnosis.heal(lab, 0);
    assert!(docker(&["port", "caddy", "2019"]).starts_with("127.0.0.1:12019"));
    lab.wait_for_port("caddy", 80);
    lab.doctor(&[]).blames(&[cause]);
    lab.fix(&["--yes"]);
    assert!(sh("curl -fsS http://127.0.0.1:12019/config/").contains("mitmproxy:8080"));
}

fn admin_refuses_host(lab: &Lab) {
    let caddyfile = format!(
        "{{\n\tadmin localhost:2019 {{\n\t\torigins caddy.internal:2019\n\t}}\n}}\n{}",
        dials("mitmproxy:8080")
    );
    Chain { caddyfile: &caddyfile, ..Chain::default() }.up(lab);
}

fn admin_refuses_host_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis =
        named(lab, &[], &["caddy-admin: caddy's admin API lets nobody in who asks for http://127.0.0.1:2019"]);
    diagnosis.folds(&["shared-network", "dns-lookup", "caddy-route", "caddy-dial"]);
}

/// It listens at a name, and takes no other Host than that.
fn admin_refuses_published(lab: &Lab) {
    let caddyfile = format!("{{\n\tadmin caddy:2019\n}}\n{}", dials("mitmproxy:8080"));
    Chain { caddyfile: &caddyfile, caddy: "-p 127.0.0.1:12019:2019", ..Chain::default() }.up(lab);
}

fn admin_refuses_published_then(lab: &Lab) {
    lab.travels(HOST);
    let answer = sh("curl -s http://127.0.0.1:12019/config/");
    assert!(answer.contains("host not allowed: 127.0.0.1:12019"), "{answer}");
    let cause = "caddy-admin: caddy's admin API is published at 127.0.0.1:12019, and refuses whoever asks for it there";
    let diagnosis = named(lab, &[], &[cause]);
    diagnosis.folds(&["caddy-route", "caddy-dial"]);
}

fn admin_off(lab: &Lab) {
    lab.network("app-net");
    lab.backend("backend", "--network app-net");
    lab.mitmweb("mitmproxy", "--network app-net", "http://backend:3000");
    let caddyfile = lab.caddyfile(&format!("{{\n\tadmin off\n}}\n{}", dials("mitmproxy:8080")));
    let mount = format!("-v {}:/etc/caddy/Caddyfile:ro", caddyfile.display());
    lab.run("caddy", &format!("--network app-net -p 127.0.0.1:{ENTRY}:80 {mount} {}", crate::lab::CADDY));
    lab.wait_for_port("caddy", 80);
}

/// A mitmproxy that was stopped when another one took its place.
fn admin_off_and_left_over(lab: &Lab) {
    admin_off(lab);
    lab.mitmweb("mitmproxy-old", "--network app-net", "http://backend:3000");
    docker(&["stop", "-t", "1", "mitmproxy-old"]);
}

fn admin_off_then(lab: &Lab) {
    lab.travels(HOST);
    let diagnosis = named(lab, &[], &["caddy-admin: caddy's admin API is off, or not at http://127.0.0.1:2019"]);
    diagnosis.folds(&["caddy-route", "caddy-dial", "caddy-listener"]);
}
