//! Datagrams through nodes, byte by byte.

use super::*;

const RELAY_TO: &[u8] = b"\x01\x81\0\x17\x04\0\x02\0\x01\x02\0\x0f\x03\x0bexample.com\0\x35";
const RELAY_TO_AS_USER: &[u8] =
    b"\x01\x81\0\x1e\x04\0\x02\0\x01\x01\0\x04\x01u\x01p\x02\0\x0f\x03\x0bexample.com\0\x35";
const RELAY_ASSOCIATE: &[u8] = b"\x01\x82\0\x0f\x04\0\x02\0\x01\x02\0\x07\x01\0\0\0\0\0\0";
const RELAY_ASSOCIATED: &[u8] = b"\x01\0\0\x0a\x02\0\x07\x01\x7f\0\0\x01\x08\xae";
const UDP_TUN: &[u8] = b"\x05\xf3\0\x01\0\0\0\0\0\0";
const HTTP_TO: &[u8] =
    b"CONNECT example.com:53 HTTP/1.1\r\nHost: example.com:53\r\nUser-Agent: Go-http-client/1.1\r\n\
      Proxy-Connection: keep-alive\r\nX-Gost-Protocol: udp\r\n\r\n";
const HTTP_ASSOCIATE: &[u8] =
    b"CONNECT 0.0.0.0:0 HTTP/1.1\r\nHost: 0.0.0.0:0\r\nUser-Agent: Go-http-client/1.1\r\n\
      Proxy-Connection: keep-alive\r\nX-Gost-Protocol: udp\r\n\r\n";
const HTTP_GRANTED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn http() -> ConnectorConfig {
    ConnectorConfig::Http(Default::default())
}

/// Ways for datagrams to example.com:53, or each to its own.
async fn asked(
    config: &ConnectorConfig,
    to: Option<&str>,
    script: Script,
) -> (Result<BoxIo, ConnectError>, DuplexStream) {
    let (ours, theirs) = duplex(4096);
    let asking = async {
        match to.map(|to| to.parse().unwrap()) {
            Some(target) => connect(Box::new(ours), config, Network::Udp, &target, WITHIN).await,
            None => associate(Box::new(ours), config, 4096, WITHIN).await,
        }
    };
    tokio::join!(asking, plays(theirs, script))
}

async fn sends(io: &mut BoxIo, datagram: &[u8]) {
    let mut chunk = Chunk::from_slice(datagram);
    poll_fn(|cx| io.poll_write(cx, &mut chunk)).await.unwrap();
}

async fn gets(io: &mut BoxIo) -> Vec<u8> {
    let mut chunk = Chunk::new();
    poll_fn(|cx| io.poll_read(cx, &mut chunk)).await.unwrap();
    chunk.data().to_vec()
}

async fn node_hears(node: &mut DuplexStream, bytes: &[u8]) {
    let mut heard = vec![0; bytes.len()];
    node.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, bytes);
}

#[tokio::test]
async fn datagrams_to_one_target_are_said_as_gost_says_them() {
    let frame = b"\0\x02\xff\x03\x0bexample.com\0\x35up".as_slice();
    let answer = b"\0\x04\xff\x01\x08\x08\x08\x08\0\x35down".as_slice();
    let ways: [(ConnectorConfig, Script, &[u8], &[u8]); 5] = [
        (relay(None, true), &[(RELAY_TO, RELAY_GRANTED)], b"\0\x02up", b"\0\x04down"),
        // GOST holds its answer back for the first datagram.
        (relay(None, false), &[(RELAY_TO, b"")], b"\0\x02up", b"\x01\0\0\0\0\x04down"),
        (
            relay(credentials(), false),
            &[(RELAY_TO_AS_USER, RELAY_GRANTED)],
            b"\0\x02up",
            b"\0\x04down",
        ),
        (socks5(None), &[(b"\x05\x01\0", b"\x05\0"), (UDP_TUN, SOCKS5_GRANTED)], frame, answer),
        (http(), &[(HTTP_TO, HTTP_GRANTED)], frame, answer),
    ];
    for (config, script, up, down) in ways {
        let (io, mut node) = asked(&config, Some("example.com:53"), script).await;
        let mut io = io.unwrap_or_else(|e| panic!("{config:?}: {e}"));
        sends(&mut io, b"up").await;
        node_hears(&mut node, up).await;
        for byte in down {
            node.write_all(&[*byte]).await.unwrap();
        }
        assert_eq!(gets(&mut io).await, b"down", "{config:?}");
    }
}

#[tokio::test]
async fn an_association_is_asked_for_as_gost_asks_for_it() {
    let ways: [(ConnectorConfig, Script); 4] = [
        (relay(None, true), &[(RELAY_ASSOCIATE, RELAY_ASSOCIATED)]),
        (relay(None, false), &[(RELAY_ASSOCIATE, RELAY_ASSOCIATED)]),
        (socks5(None), &[(b"\x05\x01\0", b"\x05\0"), (UDP_TUN, SOCKS5_GRANTED)]),
        (http(), &[(HTTP_ASSOCIATE, HTTP_GRANTED)]),
    ];
    for (config, script) in ways {
        let (io, mut node) = asked(&config, None, script).await;
        let mut io = io.unwrap_or_else(|e| panic!("{config:?}: {e}"));
        sends(&mut io, b"\0\0\0\x03\x06a.test\0\x35up").await;
        node_hears(&mut node, b"\0\x02\xff\x03\x06a.test\0\x35up").await;
        node.write_all(b"\0\x04\xff\x01\x08\x08\x08\x08\0\x35down").await.unwrap();
        assert_eq!(gets(&mut io).await, b"\0\0\0\x01\x08\x08\x08\x08\0\x35down", "{config:?}");
    }
}

#[tokio::test]
async fn a_node_that_carries_no_datagrams_is_named_by_what_it_answers() {
    const SWITCHED_OFF: &[u8] = b"\x05\x02\0\x01\0\0\0\0\0\0";
    let ways: [(ConnectorConfig, Option<&str>, Script, &str); 7] = [
        (relay(None, false), None, &[(RELAY_ASSOCIATE, b"\x01\x03\0\0")], "status 3: forbidden"),
        (relay(None, true), Some("example.com:53"), &[(RELAY_TO, b"\x01\x07\0\0")], "status 7"),
        (
            socks5(None),
            None,
            &[(b"\x05\x01\0", b"\x05\0"), (UDP_TUN, SWITCHED_OFF)],
            "switched off there",
        ),
        (http(), None, &[(HTTP_ASSOCIATE, b"HTTP/1.1 403 Forbidden\r\n\r\n")], "status 403"),
        (socks4(), None, &[], "use connector relay, socks5 or http"),
        (socks4(), Some("a:1"), &[], "use connector relay, socks5 or http"),
        (ConnectorConfig::Forward, Some("a:1"), &[], "use relay, and a relay with a target"),
    ];
    for (config, to, script, words) in ways {
        let error = asked(&config, to, script).await.0.err().unwrap();
        assert!(error.to_string().contains(words), "{config:?}: {error}");
    }
}

#[tokio::test]
async fn a_target_without_a_host_is_the_node_itself_for_datagrams_too() {
    let script: Script = &[(b"\x05\x01\0", b"\x05\0"), (UDP_TUN, SOCKS5_GRANTED)];
    let (io, mut node) = asked(&socks5(None), Some(":53"), script).await;
    sends(&mut io.ok().unwrap(), b"up").await;
    node_hears(&mut node, b"\0\x02\xff\x01\x7f\0\0\x01\0\x35up").await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_mute_about_datagrams_is_given_up() {
    for config in [relay(None, false), socks5(None), http()] {
        let error = asked(&config, None, &[]).await.0.err().unwrap();
        // The node of this test has gone; one that stays is given up after its time.
        assert!(error.is_silence(), "{error}");
        let (ours, _theirs) = duplex(4096);
        let asking = associate(Box::new(ours), &config, 4096, WITHIN);
        assert!(matches!(asking.await, Err(ConnectError::Timeout)), "{config:?}");
    }
}
