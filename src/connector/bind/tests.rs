//! A node of Appendix A's bytes at the other end.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::base::{Origin, Secret, ServiceKey};
use crate::config::model::{
    Credentials, HttpConnectorConfig, RelayConnectorConfig, Socks5ConnectorConfig,
};
use crate::io::AsyncIo;
use crate::metrics::Metrics;

const RELAY_BIND: &[u8] = b"\x01\x02\0\x0f\x04\0\x02\0\0\x02\0\x07\x01\x7f\0\0\x01\x08\xae";
const RELAY_BIND_ANY: &[u8] = b"\x01\x02\0\x0c\x04\0\x02\0\0\x02\0\x04\x03\0\x08\xae";
const RELAY_BOUND: &[u8] = b"\x01\0\0\x0a\x02\0\x07\x01\x7f\0\0\x01\x08\xae";
const SOCKS5_BIND: &[u8] = b"\x05\xf2\0\x01\x7f\0\0\x01\x08\xae";
const SOCKS5_BOUND: &[u8] = b"\x05\0\0\x01\x7f\0\0\x01\x08\xae";

/// SYN of a smux client's first stream, then who came, 192.0.2.7:4242, and `hi`.
const RELAY_CAME: &[u8] =
    b"\x01\0\0\0\x03\0\0\0\x01\x02\x10\0\x03\0\0\0\x01\0\0\x0a\x02\0\x07\x01\xc0\0\x02\x07\x10\x92hi";
const SOCKS5_CAME: &[u8] =
    b"\x01\0\0\0\x03\0\0\0\x01\x02\x0c\0\x03\0\0\0\x05\0\0\x01\xc0\0\x02\x07\x10\x92hi";

fn relay(auth: Option<Credentials>) -> ConnectorConfig {
    ConnectorConfig::Relay(RelayConnectorConfig { auth, ..Default::default() })
}

fn socks5() -> ConnectorConfig {
    ConnectorConfig::Socks5(Socks5ConnectorConfig::default())
}

/// What a node hears and says, in turn.
type Script<'a> = &'a [(&'a [u8], &'a [u8])];

/// Asks a node that plays this.
async fn asked(
    config: &ConnectorConfig,
    addr: &str,
    script: Script<'_>,
) -> (Result<RemoteListener, ConnectError>, DuplexStream) {
    let (ours, mut node) = duplex(4096);
    let addr = addr.parse().unwrap();
    let metrics = Metrics::new().unwrap().service(&ServiceKey::new(Origin::Files, "in"));
    let binding =
        bind(Box::new(ours), config, &addr, Duration::from_secs(15), metrics, Default::default());
    let playing = async {
        for (hears, says) in script {
            let mut heard = vec![0; hears.len()];
            node.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, hears);
            node.write_all(says).await.unwrap();
        }
    };
    let (bound, ()) = tokio::join!(binding, playing);
    let listener = bound.map(|(listener, carrying)| {
        #[allow(clippy::disallowed_methods, reason = "a test's task")]
        tokio::spawn(carrying);
        listener
    });
    (listener, node)
}

#[tokio::test]
async fn a_node_is_asked_in_gost_s_bytes_and_its_streams_say_who_came() {
    let ways: [(ConnectorConfig, Script<'_>, &[u8]); 2] = [
        (relay(None), &[(RELAY_BIND, RELAY_BOUND)], RELAY_CAME),
        (socks5(), &[(b"\x05\x01\0", b"\x05\0"), (SOCKS5_BIND, SOCKS5_BOUND)], SOCKS5_CAME),
    ];
    for (config, script, came) in ways {
        let (listener, mut node) = asked(&config, "127.0.0.1:2222", script).await;
        let mut listener = listener.ok().unwrap();
        assert_eq!(listener.addr().to_string(), "127.0.0.1:2222");
        // In any pieces.
        let saying = async {
            for byte in came {
                node.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (accepted, ()) = tokio::join!(listener.accept(), saying);
        let (io, peer) = accepted.unwrap();
        assert_eq!(peer.to_string(), "192.0.2.7:4242");
        let (mut io, mut heard) = (AsyncIo::new(io), [0; 2]);
        io.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hi");
        io.write_all(b"yo").await.unwrap();
        let mut frame = [0; 10];
        node.read_exact(&mut frame).await.unwrap();
        assert_eq!(&frame, b"\x01\x02\x02\0\x03\0\0\0yo");
        drop(node);
        assert!(listener.accept().await.is_none(), "the session is over");
    }
}

#[tokio::test]
async fn credentials_and_an_empty_host_are_said_as_gost_says_them() {
    let auth = Credentials { username: "u".into(), password: Secret::new("p".into()) };
    let with_auth = [&b"\x01\x02\0\x13\x01\0\x04\x01u\x01p"[..], &RELAY_BIND_ANY[4..]].concat();
    for (config, says) in [(relay(None), RELAY_BIND_ANY), (relay(Some(auth)), &with_auth)] {
        assert!(asked(&config, ":2222", &[(says, RELAY_BOUND)]).await.0.is_ok());
    }
    let socks5_any: &[u8] = b"\x05\xf2\0\x03\0\x08\xae";
    let script = [(&b"\x05\x01\0"[..], &b"\x05\0"[..]), (socks5_any, SOCKS5_BOUND)];
    assert!(asked(&socks5(), ":2222", &script).await.0.is_ok());
}

#[tokio::test]
async fn a_refusal_says_what_it_means() {
    let greeted: (&[u8], &[u8]) = (b"\x05\x01\0", b"\x05\0");
    let no = |code: u8| [&[5, code, 0, 1][..], &[0; 6]].concat();
    for (config, script, words) in [
        (relay(None), vec![(RELAY_BIND, &b"\x01\x03\0\0"[..])], "`bind=true`"),
        (relay(None), vec![(RELAY_BIND, b"\x01\x05\0\0")], "the port is taken"),
        (relay(None), vec![(RELAY_BIND, b"\x01\x02\0\0")], "refused the credentials"),
        (relay(None), vec![(RELAY_BIND, b"\x01\x01\0\0")], "status 1"),
        (relay(None), vec![(RELAY_BIND, b"HTTP/1.1 400")], "another protocol"),
        (socks5(), vec![greeted, (SOCKS5_BIND, &no(2))], "`bind=true`"),
        (socks5(), vec![greeted, (SOCKS5_BIND, &no(1))], "the port is taken"),
        (socks5(), vec![greeted, (SOCKS5_BIND, &no(7))], "does not know the command"),
        (
            ConnectorConfig::Http(HttpConnectorConfig::default()),
            vec![],
            "cannot ask a node to listen",
        ),
    ] {
        let error = asked(&config, "127.0.0.1:2222", &script).await.0.err().unwrap();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.is_silence(), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mute_node_is_given_up() {
    let config = relay(None);
    let (ours, _node) = duplex(4096);
    let addr = ":1".parse().unwrap();
    let metrics = Metrics::new().unwrap().service(&ServiceKey::new(Origin::Files, "in"));
    let binding =
        bind(Box::new(ours), &config, &addr, Duration::from_secs(15), metrics, Default::default());
    assert!(matches!(binding.await, Err(ConnectError::Timeout)));
}

/// GOST drops the whole port then, and lets one silent stream keep everybody waiting.
#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_say_who_came_keeps_nobody_waiting() {
    let (listener, mut node) =
        asked(&relay(None), "127.0.0.1:2222", &[(RELAY_BIND, RELAY_BOUND)]).await;
    let mut listener = listener.ok().unwrap();
    // One says nothing, one something else, one names nobody.
    for (id, says) in [(5, &b""[..]), (7, b"HTTP"), (9, b"\x01\0\0\0")] {
        node.write_all(&[1, 0, 0, 0, id, 0, 0, 0]).await.unwrap();
        let len = u8::try_from(says.len()).unwrap();
        node.write_all(&[&[1, 2, len, 0, id, 0, 0, 0], says].concat()).await.unwrap();
    }
    node.write_all(RELAY_CAME).await.unwrap();
    let (_io, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.port(), 4242);
    // Who was silent is given up in the end.
    let accepting = tokio::time::timeout(2 * WITHIN, listener.accept());
    assert!(accepting.await.is_err());
    assert_eq!(listener.arriving.len(), 0);
}
