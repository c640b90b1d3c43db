//! The proxies' connectors against nodes that say what a test wants, byte by byte.

use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

mod datagrams;

use super::*;
use crate::base::Secret;
use crate::config::model::{
    Credentials, RelayConnectorConfig, Socks4ConnectorConfig, Socks5ConnectorConfig,
};
use crate::io::{AsyncIo, Chunk, Io};

const WITHIN: Duration = Duration::from_secs(15);

const SOCKS4_REQUEST: &[u8] = b"\x04\x01\x00\x50\x00\x00\x00\x01u\0example.com\0";
const SOCKS4_GRANTED: &[u8] = b"\x00\x5a\0\0\0\0\0\0";
const SOCKS5_REQUEST: &[u8] = b"\x05\x01\x00\x03\x0bexample.com\x00\x50";
const SOCKS5_GRANTED: &[u8] = b"\x05\x00\x00\x01\0\0\0\0\0\0";
const RELAY_REQUEST: &[u8] = b"\x01\x01\x00\x12\x02\x00\x0f\x03\x0bexample.com\x00\x50";
const RELAY_REQUEST_AS_USER: &[u8] =
    b"\x01\x01\x00\x19\x01\x00\x04\x01u\x01p\x02\x00\x0f\x03\x0bexample.com\x00\x50";
const RELAY_GRANTED: &[u8] = b"\x01\x00\x00\x00";

fn credentials() -> Option<Credentials> {
    Some(Credentials { username: "u".into(), password: Secret::new("p".into()) })
}

fn socks4() -> ConnectorConfig {
    let user = Some("u".into());
    ConnectorConfig::Socks4(Socks4ConnectorConfig { user, ..Default::default() })
}

fn socks5(auth: Option<Credentials>) -> ConnectorConfig {
    ConnectorConfig::Socks5(Socks5ConnectorConfig { auth, ..Default::default() })
}

fn relay(auth: Option<Credentials>, nodelay: bool) -> ConnectorConfig {
    ConnectorConfig::Relay(RelayConnectorConfig { auth, nodelay, ..Default::default() })
}

/// A node: what it hears in turn, and what it says to that.
type Script = &'static [(&'static [u8], &'static [u8])];

async fn plays(mut node: DuplexStream, script: Script) -> DuplexStream {
    for (hears, says) in script {
        let mut heard = vec![0; hears.len()];
        node.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, hears);
        node.write_all(says).await.unwrap();
    }
    node
}

async fn asked_for(
    target: &str,
    config: ConnectorConfig,
    script: Script,
) -> (Result<BoxIo, ConnectError>, DuplexStream) {
    let (ours, theirs) = duplex(4096);
    let target = target.parse().unwrap();
    let connecting = connect(Box::new(ours), &config, Network::Tcp, &target, WITHIN);
    tokio::join!(connecting, plays(theirs, script))
}

async fn asked(
    config: ConnectorConfig,
    script: Script,
) -> (Result<BoxIo, ConnectError>, DuplexStream) {
    asked_for("example.com:80", config, script).await
}

async fn refused(config: ConnectorConfig, script: Script) -> ConnectError {
    asked(config, script).await.0.err().unwrap()
}

async fn hears(io: BoxIo, bytes: &[u8]) -> BoxIo {
    let (mut io, mut heard) = (AsyncIo::new(io), vec![0; bytes.len()]);
    io.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, bytes);
    io.into_io(&[])
}

#[tokio::test]
async fn each_connector_says_gost_s_bytes_and_leaves_the_stream_alone() {
    let ways: [(ConnectorConfig, Script); 6] = [
        (socks4(), &[(SOCKS4_REQUEST, SOCKS4_GRANTED)]),
        (socks5(None), &[(b"\x05\x01\x00", b"\x05\x00"), (SOCKS5_REQUEST, SOCKS5_GRANTED)]),
        (
            socks5(credentials()),
            &[
                (b"\x05\x02\x00\x02", b"\x05\x02"),
                (b"\x01\x01u\x01p", b"\x01\x00"),
                (SOCKS5_REQUEST, SOCKS5_GRANTED),
            ],
        ),
        // A node that asks for no password gets none.
        (
            socks5(credentials()),
            &[(b"\x05\x02\x00\x02", b"\x05\x00"), (SOCKS5_REQUEST, SOCKS5_GRANTED)],
        ),
        (relay(None, true), &[(RELAY_REQUEST, RELAY_GRANTED)]),
        (relay(credentials(), false), &[(RELAY_REQUEST_AS_USER, RELAY_GRANTED)]),
    ];
    for (config, script) in ways {
        let (io, mut node) = asked(config.clone(), script).await;
        let mut io = AsyncIo::new(io.unwrap_or_else(|e| panic!("{config:?}: {e}")));
        io.write_all(b"up").await.unwrap();
        io.flush().await.unwrap();
        let mut up = [0; 2];
        node.read_exact(&mut up).await.unwrap();
        assert_eq!(&up, b"up", "{config:?}");
        node.write_all(b"down").await.unwrap();
        hears(io.into_io(&[]), b"down").await;
    }
}

#[tokio::test]
async fn payload_that_comes_with_the_answer_is_kept() {
    let ways: [(ConnectorConfig, Script); 4] = [
        (socks4(), &[(SOCKS4_REQUEST, b"\x00\x5a\0\0\0\0\0\0early")]),
        (
            socks5(None),
            &[(b"\x05\x01\x00", b"\x05\x00"), (SOCKS5_REQUEST, b"\x05\0\0\x03\x02me\0\x01early")],
        ),
        (relay(None, true), &[(RELAY_REQUEST, b"\x01\0\0\0early")]),
        (relay(None, false), &[(RELAY_REQUEST, b"\x01\0\0\0early")]),
    ];
    for (config, script) in ways {
        let (io, _node) = asked(config, script).await;
        hears(io.ok().unwrap(), b"early").await;
    }
}

#[tokio::test]
async fn a_refusal_says_what_it_means() {
    let ways: [(ConnectorConfig, Script, &str); 9] = [
        (socks4(), &[(SOCKS4_REQUEST, b"\x00\x5b\0\0\0\0\0\0")], "code 91: the target was not"),
        (socks4(), &[(SOCKS4_REQUEST, b"\x00\x5d\0\0\0\0\0\0")], "refused the credentials"),
        (
            socks5(None),
            &[(b"\x05\x01\x00", b"\x05\x00"), (SOCKS5_REQUEST, b"\x05\x02\x00\x01\0\0\0\0\0\0")],
            "code 2: a rule of the node forbids it",
        ),
        (socks5(None), &[(b"\x05\x01\x00", b"\x05\xff")], "no authentication that we can give"),
        // Chosen without being offered: gost does that with TLS.
        (socks5(None), &[(b"\x05\x01\x00", b"\x05\x80")], "no authentication that we can give"),
        (socks5(None), &[(b"\x05\x01\x00", b"\x05\x02")], "no authentication that we can give"),
        (
            socks5(credentials()),
            &[(b"\x05\x02\x00\x02", b"\x05\x02"), (b"\x01\x01u\x01p", b"\x01\x01")],
            "refused the credentials",
        ),
        (relay(None, true), &[(RELAY_REQUEST, b"\x01\x07\0\0")], "status 7: the target was not"),
        (relay(None, true), &[(RELAY_REQUEST, b"HTTP/1.1 400 ")], "another protocol"),
    ];
    for (config, script, words) in ways {
        let error = refused(config, script).await;
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.is_silence(), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mute_node_is_given_up() {
    for config in [socks4(), socks5(None), relay(None, true)] {
        let (ours, _theirs) = duplex(4096);
        let target = "example.com:80".parse().unwrap();
        let connecting = connect(Box::new(ours), &config, Network::Tcp, &target, WITHIN);
        assert!(matches!(connecting.await, Err(ConnectError::Timeout)), "{config:?}");
    }
}

#[tokio::test]
async fn without_nodelay_nobody_waits_for_the_response() {
    let (io, mut node) = asked(relay(None, false), &[(RELAY_REQUEST, b"")]).await;
    let mut io = io.ok().unwrap();
    let mut chunk = Chunk::from_slice(b"first");
    poll_fn(|cx| io.poll_write(cx, &mut chunk)).await.unwrap();
    let mut first = [0; 5];
    node.read_exact(&mut first).await.unwrap();
    // Byte by byte, with an address that is of no use to us, and payload behind it.
    let answer =
        [b"\x01\0\0\x0a\x02\0\x07\x01\x7f\0\0\x01\x08\xae", b"payload".as_slice()].concat();
    let saying = async {
        for byte in answer {
            node.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(hears(io, b"payload"), saying);
}

#[tokio::test]
async fn a_response_that_comes_late_still_ends_the_stream_if_it_is_a_refusal() {
    for (says, words) in [
        (b"\x01\x02\0\0".as_slice(), "refused the credentials"),
        (b"\x01\x07\0\0", "status 7"),
        (b"HTTP/1.1 400", "version 72"),
        (b"\x01\0", "ended before it answered"),
    ] {
        let (io, mut node) = asked(relay(None, false), &[(RELAY_REQUEST, b"")]).await;
        node.write_all(says).await.unwrap();
        drop(node);
        let error = AsyncIo::new(io.ok().unwrap()).read_u8().await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_target_without_a_host_is_the_node_itself() {
    const REQUEST: &[u8] = b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50";
    let script: Script = &[(b"\x05\x01\x00", b"\x05\x00"), (REQUEST, SOCKS5_GRANTED)];
    assert!(asked_for(":80", socks5(None), script).await.0.is_ok());
}

#[tokio::test]
async fn socks4_without_4a_says_addresses_only() {
    let config =
        ConnectorConfig::Socks4(Socks4ConnectorConfig { disable_4a: true, ..Default::default() });
    let script: Script = &[(b"\x04\x01\x00\x50\x01\x02\x03\x04\0", SOCKS4_GRANTED)];
    assert!(asked_for("1.2.3.4:80", config.clone(), script).await.0.is_ok());
    let error = asked_for("[::1]:80", config, &[]).await.0.err().unwrap();
    assert!(error.to_string().contains("remove disable4a"), "{error}");
}
