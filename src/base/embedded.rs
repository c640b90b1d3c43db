//! IPv4 addresses in IPv6 clothes.

use std::net::{IpAddr, Ipv4Addr};

/// The most that one address can stand for.
const MOST: usize = 4;

/// Every address that a packet to one may really reach; there is always one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    found: [IpAddr; MOST],
    count: usize,
}

impl Reached {
    fn of<const N: usize>(candidates: [Option<Ipv4Addr>; N], ip: IpAddr) -> Self {
        let mut reached = Self { found: [ip; MOST], count: 0 };
        for (slot, candidate) in reached.found.iter_mut().zip(candidates.into_iter().flatten()) {
            *slot = candidate.into();
            reached.count += 1;
        }
        reached.count = reached.count.max(1);
        reached
    }

    /// The addresses.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.found.iter().take(self.count).copied()
    }
}

/// Takes the clothes off: mapped ::ffff:0:0/96; compatible ::/96; translated ::ffff:0:0:0/96
/// (RFC 2765); NAT64 64:ff9b::/96, and 64:ff9b:1::/48 (RFC 8215), in which a network may use any
/// length of RFC 6052 2.2; 6to4 2002::/16 (RFC 3056); Teredo 2001::/32, client and server (RFC 4380
/// 4); ISATAP in any network (RFC 5214 6.1). A prefix of its own that a network has chosen for NAT64
/// cannot be told from other addresses.
pub fn reached(ip: IpAddr) -> Reached {
    let IpAddr::V6(v6) = ip else { return Reached::of([], ip) };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => {
            Reached::of([v4(g, h)], ip)
        }
        [0, 0, 0, 0, 0, 0] if (g, h) != (0, 0) && (g, h) != (0, 1) => Reached::of([v4(g, h)], ip),
        [0x64, 0xff9b, 1, ..] => Reached::of(local_use(v6.octets()), ip),
        [0x2002, high, low, ..] => Reached::of([v4(high, low)], ip),
        [0x2001, 0, high, low, ..] => Reached::of([v4(!g, !h), v4(high, low)], ip),
        [.., 0 | 0x0200, 0x5efe] => Reached::of([v4(g, h)], ip),
        _ => Reached::of([], ip),
    }
}

/// By prefixes of 48, 56, 64 and 96 bits; bits 64 to 71 are never part of it. By a length that is not
/// the network's an address reads as one of 0.0.0.0/8 as a rule, which nobody routes.
fn local_use(octets: [u8; 16]) -> [Option<Ipv4Addr>; 4] {
    let [_, _, _, _, _, _, g, h, _, j, k, l, m, n, o, p] = octets;
    let routed = |octets: [u8; 4]| (octets[0] != 0).then(|| octets.into());
    [routed([g, h, j, k]), routed([h, j, k, l]), routed([j, k, l, m]), Some([m, n, o, p].into())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(ip: &str) -> Vec<String> {
        reached(ip.parse().unwrap()).iter().map(|ip| ip.to_string()).collect()
    }

    #[test]
    fn an_address_is_found_in_every_clothing() {
        for ip in [
            "192.0.2.33",
            "::ffff:192.0.2.33",
            "::192.0.2.33",
            "::ffff:0:192.0.2.33",
            "64:ff9b::192.0.2.33",
            "64:ff9b:1::192.0.2.33",
            "64:ff9b:1:1234:56:789a:192.0.2.33",
            // RFC 6052 2.2 and 2.4.
            "64:ff9b:1:c000:2:2100::",
            "64:ff9b:1:c0:0:221::",
            "64:ff9b:1::c0:2:2100:0",
            // What follows the address is not looked at by a translator.
            "64:ff9b:1:c000:2:2100:dead:beef",
            "2002:c000:221::1",
            "2001:0:c000:221::",
            "2001:0:4136:e378:8000:63bf:3fff:fdde",
            "fe80::5efe:192.0.2.33",
            "2001:db8::200:5efe:192.0.2.33",
        ] {
            assert!(behind(ip).contains(&"192.0.2.33".into()), "{ip}: {:?}", behind(ip));
        }
    }

    #[test]
    fn other_addresses_are_what_they_are() {
        for ip in ["::", "::1", "2001:db8::1", "fd00::c000:221", "64:ff9b:2::c000:221"] {
            assert_eq!(behind(ip), [ip]);
        }
        // By the other lengths it is nothing that anybody routes.
        assert_eq!(behind("64:ff9b:1::8.8.8.8"), ["8.8.8.8"]);
    }
}
