//! Chains of two hops, with gost in the middle, before it and behind it.

use std::net::SocketAddr;

use super::ends::{Adit, End, Gost, listening};
use crate::support::http::connect_through;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::{comes_back, echo};

const MEBIBYTE: usize = 1 << 20;

/// A chain of two hops, each with its scheme, and an HTTP proxy at its entrance.
fn chain(client: End, servers: [End; 2], schemes: [&str; 2]) -> (SocketAddr, Vec<Process>) {
    let (entrance, mut processes) = (ports::free(), Vec::new());
    let mut args = vec!["-L".to_string(), format!("http://127.0.0.1:{entrance}")];
    for (server, scheme) in servers.into_iter().zip(schemes) {
        let port = ports::free();
        let (scheme, query) = scheme.split_once('?').unwrap_or((scheme, ""));
        let url = format!("{scheme}://u:p@127.0.0.1:{port}?path=/x{query}");
        processes.push(server.start(&["-L".to_string(), url.clone()]));
        listening(port);
        args.extend(["-F".to_string(), url]);
    }
    processes.push(client.start(&args));
    (listening(entrance), processes)
}

/// Each way of carrying and each protocol is once before the other hop and once behind it. TLS in a
/// session of gost's own client is not: it ends the session, whoever its server is.
#[test]
fn gost_in_the_middle_of_two_hops() {
    let of_all = [
        ["http+ws", "http+ws"],
        ["socks5+wss", "relay+mws"],
        ["relay+mwss", "http+mws?&mux.version=2"],
        ["http+mws?&mux.version=2", "socks5+ws"],
    ];
    let of_adit = [["relay+mws", "socks5+wss"], ["socks5+mwss", "http+mwss"]];
    for (schemes, clients) in of_all
        .map(|schemes| (schemes, &[Adit, Gost][..]))
        .into_iter()
        .chain(of_adit.map(|schemes| (schemes, &[Adit][..])))
    {
        let chains = [(Adit, [Gost, Adit]), (Gost, [Adit, Gost]), (Adit, [Adit, Gost])];
        for (client, servers) in chains.into_iter().filter(|(client, _)| clients.contains(client)) {
            let (proxy, _processes) = chain(client, servers, schemes);
            // The second one takes sessions that the first one began.
            for _ in 0..2 {
                let what = format!("{client:?} through {servers:?} over {schemes:?}");
                let stream =
                    connect_through(proxy, echo()).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert!(comes_back(stream, MEBIBYTE), "{what}");
            }
        }
    }
}
