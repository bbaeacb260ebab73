//! Who listens on this machine.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use caddy_doctor_checks::model::{
    Known, Missing,
    facts::Kind,
    host::{Listener, Owner},
};

/// The TCP listeners of this machine, without their owners.
#[cfg(target_os = "linux")]
pub(crate) fn listeners() -> Known<Vec<Listener>> {
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|error| {
            Missing::failed(format!("reading {path}"), super::http::of_io(error.kind()), error.to_string())
        })
    };
    let mut all = parse(&read("/proc/net/tcp")?);
    // Without IPv6 there is no such file.
    all.extend(read("/proc/net/tcp6").map(|text| parse(&text)).unwrap_or_default());
    Ok(all)
}

/// Elsewhere the system tells the owner with the socket.
#[cfg(not(target_os = "linux"))]
pub(crate) fn listeners() -> Known<Vec<Listener>> {
    let all = listeners::get_all()
        .map_err(|error| Missing::failed("listing listeners", Kind::Unsupported, error.to_string()))?;
    let tcp = all.into_iter().filter(|own| own.protocol == listeners::Protocol::TCP);
    Ok(tcp
        .map(|own| Listener {
            ip: own.socket.ip(),
            port: own.socket.port(),
            uid: None,
            owner: Some(Owner { pid: own.process.pid, name: own.process.name }),
        })
        .collect())
}

/// Adds the owner to the listeners of these ports, as far as this user may see them. It takes some 25 ms.
pub(crate) fn name_owners(listeners: &mut [Listener], ports: &[u16]) {
    if !listeners.iter().any(|own| ports.contains(&own.port) && own.owner.is_none()) {
        return;
    }
    let owners: HashMap<(IpAddr, u16), Owner> = listeners::get_all()
        .unwrap_or_default()
        .into_iter()
        .filter(|own| own.protocol == listeners::Protocol::TCP)
        .map(|own| ((own.socket.ip(), own.socket.port()), Owner { pid: own.process.pid, name: own.process.name }))
        .collect();
    for own in listeners.iter_mut().filter(|own| ports.contains(&own.port)) {
        if own.owner.is_none() {
            own.owner = owners.get(&(own.ip, own.port)).cloned();
        }
    }
}

/// Reads `/proc/net/tcp` or `/proc/net/tcp6`: the sockets in state 0A (proc(5)).
fn parse(table: &str) -> Vec<Listener> {
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.get(3) != Some(&"0A") {
                return None;
            }
            let (ip, port) = fields[1].split_once(':')?;
            let ip = address(ip)?;
            let port = u16::from_str_radix(port, 16).ok()?;
            Some(Listener { ip, port, uid: fields.get(7)?.parse().ok(), owner: None })
        })
        .collect()
}

/// The inode of each listening socket, with its port.
#[cfg(target_os = "linux")]
pub(crate) fn inodes() -> HashMap<u64, u16> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|table| {
            let rows = table.lines().filter_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let listens = fields.get(3) == Some(&"0A");
                let port = u16::from_str_radix(fields.get(1)?.split_once(':')?.1, 16).ok()?;
                listens.then_some((fields.get(9)?.parse().ok()?, port))
            });
            rows.collect::<Vec<_>>()
        })
        .collect()
}

/// The kernel prints addresses as 32-bit words in its own byte order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for part in 0..4 {
                bytes[part * 4..part * 4 + 4].copy_from_slice(&word(part * 8)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// That listeners cannot be seen here.
pub(crate) fn unseen(why: &str) -> Missing {
    Missing::failed("looking at the host's listeners", Kind::Unsupported, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_proc_net_tcp() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 23 1\n\
             1: 0100007F:1F91 0100007F:0001 01 00000000:00000000 00:00000000 00000000     0        0 24 1\n\
             2: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 25 1\n";
        let all = parse(table);
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].ip.to_string().as_str(), all[0].port, all[0].uid), ("127.0.0.1", 8080, Some(101)));
        assert_eq!((all[1].ip.to_string().as_str(), all[1].port), ("::1", 80));
    }

    #[test]
    fn garbage_is_no_listener() {
        assert!(parse("a b c 0A\n\n: : : 0A 1 2 3 4").is_empty());
    }
}
