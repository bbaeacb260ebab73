//! Where this machine sends packets: its IPv4 routes, and how large a packet may be on each.

#[cfg(not(target_os = "linux"))]
use caddy_doctor_checks::model::facts::Kind;
use caddy_doctor_checks::model::{Known, Missing, host::RouteSeen};

/// Reads the routes.
#[cfg(target_os = "linux")]
pub(crate) fn routes() -> Known<Vec<RouteSeen>> {
    let path = "/proc/net/route";
    let table = std::fs::read_to_string(path).map_err(|error| {
        Missing::failed(format!("reading {path}"), super::http::of_io(error.kind()), error.to_string())
    })?;
    let mut routes = parse(&table);
    for route in &mut routes {
        let mtu = std::fs::read_to_string(format!("/sys/class/net/{}/mtu", route.interface));
        route.mtu = mtu.ok().and_then(|mtu| mtu.trim().parse().ok());
    }
    Ok(routes)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn routes() -> Known<Vec<RouteSeen>> {
    Err(Missing::failed("reading the routes", Kind::Unsupported, "they are read on Linux only"))
}

/// Addresses and masks are 32-bit words in the kernel's own byte order, in hexadecimal; the flag 1 says that it is in use
/// (proc(5), `include/uapi/linux/route.h`).
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux has this table"))]
fn parse(table: &str) -> Vec<RouteSeen> {
    let read = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let word = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
        let (destination, flags, mask) = (word(1)?, word(3)?, word(7)?);
        let destination = std::net::Ipv4Addr::from(destination.to_ne_bytes());
        let interface = fields.first().filter(|_| flags & 1 == 1)?;
        Some(RouteSeen {
            destination: format!("{destination}/{}", mask.count_ones()),
            interface: (*interface).to_owned(),
            mtu: None,
        })
    };
    table.lines().skip(1).filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_proc_net_route() {
        let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
             eth0 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0\n\
             tun0 0000080A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n\
             down 0000090A 00000000 0000 0 0 0 00FFFFFF 0 0 0\n\
             garbage\n";
        let seen: Vec<String> =
            parse(table).into_iter().map(|own| format!("{} {}", own.destination, own.interface)).collect();
        assert_eq!(seen, ["0.0.0.0/0 eth0", "10.8.0.0/24 tun0"]);
    }
}
