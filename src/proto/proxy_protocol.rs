//! HAProxy's PROXY protocol, versions 1 and 2: who the client of a proxy is.
//!
//! proxy-protocol.txt 2.1 (text) and 2.2 (binary). The header is optional here: a stream that begins
//! otherwise has none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Wire;

/// The longest header that is taken; version 2's own limit is 64 KiB, of which an address needs 52.
pub const MAX_HEADER: usize = 4096;

/// The longest line of version 1, with its end (2.1).
const MAX_LINE: usize = 107;

/// How version 1 begins.
const LINE: &[u8] = b"PROXY ";

/// How version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Before version 2's addresses: signature, command, family, length.
const FIXED: usize = 16;

/// What a stream says about its client before everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// No header.
    Absent,
    /// A header without an address: the proxy's own connection (LOCAL, a health check), or one whose
    /// client is unknown (UNKNOWN, AF_UNSPEC, AF_UNIX).
    Unknown,
    /// A client, and the address that it came to.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where it came to.
        destination: SocketAddr,
    },
}

/// A PROXY header that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PROXY header: {0}")]
pub struct ProxyHeaderError(&'static str);

impl Wire for ProxyHeader {
    type Error = ProxyHeaderError;
    const LINES: bool = false;

    fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, ProxyHeaderError> {
        if begins(input, SIGNATURE) {
            return if input.len() < FIXED { Ok(None) } else { binary(input) };
        }
        if begins(input, LINE) {
            return line(input);
        }
        Ok(Some((Self::Absent, 0)))
    }
}

/// Whether the input begins like this, as far as it goes.
fn begins(input: &[u8], start: &[u8]) -> bool {
    input.iter().zip(start).all(|(a, b)| a == b)
}

/// `PROXY TCP4 SOURCE DESTINATION PORT PORT\r\n`.
fn line(input: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyHeaderError> {
    let head = input.get(..MAX_LINE).unwrap_or(input);
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() < MAX_LINE {
            Ok(None)
        } else {
            Err(ProxyHeaderError("the line is longer than 107 bytes"))
        };
    };
    let wrong = ProxyHeaderError("the line is not that of version 1");
    let text = head.get(LINE.len()..end).and_then(|text| std::str::from_utf8(text).ok());
    let mut words = text.ok_or(wrong)?.split(' ');
    let family = words.next().ok_or(wrong)?;
    if family == "UNKNOWN" {
        return Ok(Some((ProxyHeader::Unknown, end + 2)));
    }
    let mut word = || words.next().ok_or(wrong);
    let (from, to, from_port, to_port) = (word()?, word()?, word()?, word()?);
    if words.next().is_some() {
        return Err(wrong);
    }
    let addr = |ip: &str, port: &str| {
        let ip: IpAddr = ip.parse().map_err(|_| wrong)?;
        let fits = if ip.is_ipv4() { family == "TCP4" } else { family == "TCP6" };
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        if !fits || !digits {
            return Err(wrong);
        }
        Ok(SocketAddr::new(ip, port.parse().map_err(|_| wrong)?))
    };
    let (source, destination) = (addr(from, from_port)?, addr(to, to_port)?);
    Ok(Some((ProxyHeader::Proxied { source, destination }, end + 2)))
}

/// Version 2: command, family, length, addresses, then extensions that nobody needs.
fn binary(input: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyHeaderError> {
    let Some((&[command, family, high, low], rest)) =
        input.get(SIGNATURE.len()..).and_then(|rest| rest.split_first_chunk())
    else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if FIXED + len > MAX_HEADER {
        return Err(ProxyHeaderError("it is longer than 4096 bytes"));
    }
    if command >> 4 != 2 {
        return Err(ProxyHeaderError("its version is not 2"));
    }
    let Some(body) = rest.get(..len) else { return Ok(None) };
    let header = match (command & 0xf, family) {
        (0, _) => ProxyHeader::Unknown,
        (1, 0x11 | 0x12) => addresses::<4>(body, |ip| Ipv4Addr::from(ip).into())?,
        (1, 0x21 | 0x22) => addresses::<16>(body, |ip| Ipv6Addr::from(ip).into())?,
        (1, _) => ProxyHeader::Unknown,
        _ => return Err(ProxyHeaderError("its command is neither LOCAL nor PROXY")),
    };
    Ok(Some((header, FIXED + len)))
}

fn addresses<const N: usize>(
    body: &[u8],
    ip: impl Fn([u8; N]) -> IpAddr,
) -> Result<ProxyHeader, ProxyHeaderError> {
    let parts = || {
        let (from, rest) = body.split_first_chunk::<N>()?;
        let (to, rest) = rest.split_first_chunk::<N>()?;
        let (&[a, b, c, d], _) = rest.split_first_chunk::<4>()?;
        Some((*from, *to, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    };
    let (from, to, from_port, to_port) =
        parts().ok_or(ProxyHeaderError("it is shorter than its addresses"))?;
    Ok(ProxyHeader::Proxied {
        source: SocketAddr::new(ip(from), from_port),
        destination: SocketAddr::new(ip(to), to_port),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxied(source: &str, destination: &str) -> ProxyHeader {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        ProxyHeader::Proxied { source, destination }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, body].concat()
    }

    fn golden() -> Vec<(Vec<u8>, ProxyHeader)> {
        let ipv4 = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
        let mut ipv6 = [0; 36];
        (ipv6[15], ipv6[31], ipv6[33], ipv6[35]) = (1, 2, 3, 4);
        let with_extension = [&ipv4[..], &[0x04, 0, 2, 0xff, 0xff]].concat();
        let client = proxied("192.0.2.1:56324", "198.51.100.2:443");
        vec![
            (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".to_vec(), client),
            (
                b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n".to_vec(),
                proxied("[2001:db8::1]:1", "[2001:db8::2]:65535"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), ProxyHeader::Unknown),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), ProxyHeader::Unknown),
            (v2(0x21, 0x11, &ipv4), client),
            (v2(0x21, 0x11, &with_extension), client),
            (v2(0x21, 0x21, &ipv6), proxied("[::1]:3", "[::2]:4")),
            (v2(0x20, 0x00, &[]), ProxyHeader::Unknown),
            (v2(0x20, 0x11, &ipv4), ProxyHeader::Unknown),
            (v2(0x21, 0x31, &[0; 216]), ProxyHeader::Unknown),
        ]
    }

    #[test]
    fn headers_of_both_versions_decode_and_leave_the_rest() {
        for (bytes, header) in golden() {
            let input = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(ProxyHeader::decode(&input), Ok(Some((header, bytes.len()))), "{header:?}");
        }
    }

    #[test]
    fn every_beginning_of_a_header_needs_more() {
        for (bytes, header) in golden() {
            for end in 1..bytes.len() {
                assert_eq!(ProxyHeader::decode(&bytes[..end]), Ok(None), "{header:?} {end}");
            }
        }
    }

    #[test]
    fn what_begins_otherwise_has_no_header() {
        for input in [&b"GET /"[..], b"POST /", b"PROXx", b"PUT", b"\x16\x03\x01", b"\r\n\r\nx"] {
            assert_eq!(ProxyHeader::decode(input), Ok(Some((ProxyHeader::Absent, 0))));
        }
    }

    #[test]
    fn wrong_headers_are_refused() {
        for input in [
            &b"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n"[..],
            b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
            b"PROXY TCP4 ::1 ::2 1 2\r\n",
            b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
            &[b'P', b'R', b'O', b'X', b'Y', b' ', b'T']
                .into_iter()
                .chain([b'C'; 200])
                .collect::<Vec<_>>(),
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x21, &[0; 12]),
            &v2(0x21, 0x11, &[0; MAX_HEADER])[..],
        ] {
            assert!(ProxyHeader::decode(input).is_err(), "{input:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(
            start in prop_oneof![Just(LINE), Just(SIGNATURE)],
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let input = [start, &rest].concat();
            if let Ok(Some((_, len))) = ProxyHeader::decode(&input) {
                prop_assert!(len <= input.len());
            }
        }
    }
}
