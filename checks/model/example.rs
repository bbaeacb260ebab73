//! A small setup for unit tests: caddy on `edge-net`, mitmproxy and backend on `app-net`.

use std::net::IpAddr;

use crate::model::{
    Facts, Place,
    caddy::{Caddies, CaddySeen},
    docker::{Attachment, Container, Containers, Detail, Engine, EngineSeen, Images, Network, Networks, Port, Program},
    facts::{Asked, SCHEMA},
    host::Host,
    mitmproxy::{CommandLine, Mitmproxies, MitmproxySeen, ModeServer, Options},
    view::{ConnectionAnswer, ConnectionSeen, NameAnswer, NameSeen, View, Views, Way},
};

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn container(name: &str, network: &str, address: &str) -> Container {
    Container {
        id: format!("{name:0<64}"),
        name: name.to_owned(),
        image: format!("{name}:1"),
        status: "running".to_owned(),
        network_mode: network.to_owned(),
        networks: vec![attachment(name, network, address)],
        detail: Some(Box::new(Detail { pid: 4711, ..Detail::default() })),
        ..Container::default()
    }
}

pub(crate) fn attachment(name: &str, network: &str, address: &str) -> Attachment {
    Attachment { network: network.to_owned(), ip: Some(ip(address)), gateway: None, names: vec![name.to_owned()] }
}

pub(crate) fn two_networks() -> (Containers, Networks) {
    let mut caddy = container("caddy", "edge-net", "172.19.0.2");
    caddy.program = Some(Program::Caddy);
    caddy.ports =
        vec![Port { container_port: 80, protocol: "tcp".into(), host_port: Some(18080), host_ip: "127.0.0.1".into() }];
    let mut mitmproxy = container("mitmproxy", "app-net", "172.20.0.2");
    mitmproxy.program = Some(Program::Mitmproxy(command_line()));
    let backend = container("backend", "app-net", "172.20.0.3");
    let network = |name: &str, gateway: &str| Network {
        id: format!("{name:0<64}"),
        name: name.to_owned(),
        driver: "bridge".to_owned(),
        gateways: vec![ip(gateway)],
        interface: format!("br-{name}"),
        subnets: Vec::new(),
        mtu: None,
        compose_name: None,
    };
    (
        Containers(vec![caddy, mitmproxy, backend]),
        Networks(vec![network("edge-net", "172.19.0.1"), network("app-net", "172.20.0.1")]),
    )
}

fn command_line() -> CommandLine {
    CommandLine { modes: vec!["reverse:http://backend:3000".into()], ..CommandLine::default() }
}

/// The two networks, with Caddy's config and mitmweb's options; views say what such a setup would show.
pub(crate) fn facts() -> Facts {
    let (containers, networks) = two_networks();
    let config = r#"{"apps":{"http":{"servers":{"srv0":{"listen":[":80"],"routes":[{"@id":"api",
        "match":[{"host":["api.example.com"]}],"terminal":true,
        "handle":[{"handler":"reverse_proxy","upstreams":[{"dial":"mitmproxy:8080"}]}]}]}}}}}"#;
    Facts {
        schema: SCHEMA,
        doctor: "0.0.0".into(),
        elapsed_ms: 20,
        asked: Asked::default(),
        engine: Ok(EngineSeen {
            endpoint: "unix:///var/run/docker.sock".into(),
            chosen_by: "the default".into(),
            others: Vec::new(),
            user: None,
            socket_group: None,
            start_with: None,
            contexts: Vec::new(),
            answer: Ok(Engine { name: "docker".into(), version: "28.1.1".into(), api: "1.49".into(), info: None }),
        }),
        containers: Ok(containers),
        networks: Ok(networks),
        host: Ok(Host {
            os: "linux".into(),
            system: None,
            inside: None,
            root: true,
            listeners: Ok(Vec::new()),
            processes: Ok(Vec::new()),
            routes: Some(Ok(Vec::new())),
            proxies: Vec::new(),
        }),
        caddies: Ok(Caddies(vec![CaddySeen {
            name: "caddy".into(),
            place: Place::Container("caddy".into()),
            version: None,
            admin: "http://127.0.0.1:2019".into(),
            way: Way::Namespace,
            config: Ok(serde_json::from_str(config).unwrap()),
            published: None,
        }])),
        mitmproxies: Ok(Mitmproxies(vec![MitmproxySeen {
            name: "mitmproxy".into(),
            place: Place::Container("mitmproxy".into()),
            command_line: command_line(),
            version: Some("10.4.2".into()),
            web: "http://127.0.0.1:8081".into(),
            way: Way::Namespace,
            options: Ok(Options {
                mode: vec!["reverse:http://backend:3000".into()],
                keep_host_header: true,
                names: ["keep_host_header", "web_password", "proxyauth"].map(Into::into).to_vec(),
                ..Options::default()
            }),
            servers: Some(Ok(vec![ModeServer {
                full_spec: "reverse:http://backend:3000".into(),
                is_running: true,
                last_exception: None,
                listen_addrs: vec![("0.0.0.0".into(), 8080)],
            }])),
            flows: Ok(3),
            held: None,
            events: Some(Ok(Vec::new())),
            connected_since: false,
            complaints: None,
            published: None,
            usage: None,
        }])),
        views: Ok(Views(vec![
            view("caddy", "mitmproxy", NameAnswer::NoSuchName),
            view("mitmproxy", "backend", NameAnswer::Addresses(vec![ip("172.20.0.3")])),
        ])),
        images: Ok(Images::default()),
        probed: Err(crate::model::Missing::NotAsked),
        background: None,
        left_out: Vec::new(),
    }
}

/// The same, with all three on one network: nothing is wrong with it.
pub(crate) fn healthy() -> Facts {
    let mut facts = facts();
    let caddy = &mut facts.containers.as_mut().unwrap().0[0];
    caddy.networks.push(attachment("caddy", "app-net", "172.20.0.4"));
    let answer = NameAnswer::Addresses(vec![ip("172.20.0.2")]);
    facts.views.as_mut().unwrap().0[0] = view("caddy", "mitmproxy", answer);
    facts
}

fn view(place: &str, name: &str, answer: NameAnswer) -> View {
    let connections = match &answer {
        NameAnswer::Addresses(ips) => vec![ConnectionSeen {
            host: name.to_owned(),
            ip: ips.first().copied(),
            port: if name == "backend" { 3000 } else { 8080 },
            answer: ConnectionAnswer::Accepted,
            speaks: None,
            took_ms: 1,
        }],
        _ => Vec::new(),
    };
    View {
        place: Place::Container(place.to_owned()),
        way: Way::Namespace,
        not_better: Vec::new(),
        names: vec![NameSeen {
            name: name.to_owned(),
            server: "127.0.0.11".into(),
            answer,
            disagrees: None,
            took_ms: 1,
        }],
        connections,
    }
}
