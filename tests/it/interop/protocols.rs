//! What the table leaves out: TLS and TCP without a WebSocket, SOCKS4, and a server that finds out
//! by itself what it is spoken to.

use std::net::TcpStream;

use super::ends::{BOTH_ROLES, End, listening};
use crate::support::ports;
use crate::support::stream::{comes_back, echo};

const MEBIBYTE: usize = 1 << 20;

/// Whether a megabyte comes back through a client and a server that speak so.
fn carries(client: End, server: End, (of_client, of_server): (&str, &str)) -> bool {
    let (port, entrance, target) = (ports::free(), ports::free(), echo());
    // A forwarding server goes where it was told to; the others where the client asks.
    let fixed = if of_server.starts_with("forward") { format!("/{target}") } else { String::new() };
    let _server = server.start(&["-L".into(), format!("{of_server}://127.0.0.1:{port}{fixed}")]);
    listening(port);
    let local = format!("tcp://127.0.0.1:{entrance}/{target}");
    let forward = format!("{of_client}://127.0.0.1:{port}");
    let _client = client.start(&["-L".into(), local, "-F".into(), forward]);
    // The second one comes when everything is open already.
    (0..2).all(|_| comes_back(TcpStream::connect(listening(entrance)).unwrap(), MEBIBYTE))
}

fn all_carry(schemes: &[(&str, &str)]) {
    for schemes in schemes {
        for (client, server) in BOTH_ROLES {
            assert!(carries(client, server, *schemes), "{client:?} to {server:?}: {schemes:?}");
        }
    }
}

#[test]
fn every_protocol_over_tcp_and_tls() {
    all_carry(&[
        ("http", "http"),
        ("socks5", "socks5"),
        ("relay", "relay"),
        ("forward", "forward"),
        ("http+tls", "http+tls"),
        ("socks5+tls", "socks5+tls"),
        ("relay+tls", "relay+tls"),
        ("forward+tls", "forward+tls"),
    ]);
}

#[test]
fn socks4_over_everything() {
    all_carry(&[
        ("socks4", "socks4"),
        ("socks4a+ws", "socks4+ws"),
        ("socks4+wss", "socks4+wss"),
        ("socks4a+mws", "socks4a+mws"),
        ("socks4+mwss", "socks4+mwss"),
    ]);
}

#[test]
fn a_server_finds_out_what_it_is_spoken_to() {
    all_carry(&[
        ("http+ws", "ws"),
        ("socks4+ws", "ws"),
        ("socks5+wss", "wss"),
        ("http+mws", "mws"),
        ("socks4a+mws", "mws"),
        ("socks5+mwss", "mwss"),
        ("socks5", "auto"),
    ]);
}
