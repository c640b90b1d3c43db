use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

fn config() -> WsDialerConfig {
    WsDialerConfig {
        tls: None,
        mux: None,
        host: "gw.example.net:443".into(),
        path: "/ws".into(),
        header: BTreeMap::new(),
        handshake_timeout: None,
        ping_interval: None,
        keepalive: None,
    }
}

const WITHIN: Duration = Duration::from_secs(15);

/// Reads the request and answers it with `answer`, in which KEY stands for the accepted key.
async fn answering(mut server: DuplexStream, answer: &str, tail: &[u8]) -> DuplexStream {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(server.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    let (_, key) = request.split_once("Sec-WebSocket-Key: ").unwrap();
    let key = derive_accept_key(key.split_once("\r\n").unwrap().0.as_bytes());
    let answer = answer.replace("KEY", &key);
    server.write_all(&[answer.as_bytes(), tail].concat()).await.unwrap();
    server
}

const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n\r\n";

async fn connected(answer: &str, tail: &[u8]) -> Result<BoxIo, WsConnectError> {
    let (ours, theirs) = duplex(4096);
    let config = config();
    let (io, _) =
        tokio::join!(connect(Box::new(ours), &config, WITHIN), answering(theirs, answer, tail));
    io
}

#[test]
fn the_request_is_gost_s() {
    let mut config = config();
    let fields = "Connection: Upgrade\r\nSec-WebSocket-Key: K\r\nSec-WebSocket-Version: 13\r\n\
        Upgrade: websocket\r\n";
    assert_eq!(
        request(&config, "K"),
        format!(
            "GET /ws HTTP/1.1\r\nHost: gw.example.net:443\r\n\
             User-Agent: Go-http-client/1.1\r\n{fields}\r\n"
        )
    );
    config.path = "/a%20b".into();
    config.header = [("host", "other"), ("user-agent", ""), ("x-team", "A"), ("upgrade", "h2c")]
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .into();
    assert_eq!(
        request(&config, "K"),
        format!("GET /a%20b HTTP/1.1\r\nHost: other\r\n{fields}X-Team: A\r\n\r\n")
    );
}

#[tokio::test]
async fn a_frame_in_the_segment_of_the_101_is_not_lost() {
    let io = connected(GOOD, b"\x82\x05first\x82\x06second").await.ok().unwrap();
    let mut bytes = [0; 11];
    AsyncIo::new(io).read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"firstsecond");
}

#[tokio::test]
async fn answers_that_are_no_upgrade_are_refused() {
    for (answer, error) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n".to_string(), "status 404"),
        ("HTTP/1.1 200 OK\r\n\r\n".to_string(), "status 200"),
        (GOOD.replace("websocket", "h2c"), "valid Upgrade"),
        (GOOD.replace("Connection: Upgrade", "Connection: close"), "valid Connection"),
        (GOOD.replace("KEY", "AAAA"), "valid Sec-WebSocket-Accept"),
        (GOOD.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"), "Extensions"),
        ("SSH-2.0-OpenSSH\r\n".to_string(), "no answer"),
    ] {
        let got = connected(&answer, b"").await.err().unwrap().to_string();
        assert!(got.contains(error), "{got}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mute_server_is_given_up_in_the_handshake_s_time() {
    for (own, seconds) in [(None, 15), (Some(3), 3), (Some(60), 15)] {
        let (ours, _theirs) = duplex(4096);
        let mut config = config();
        config.handshake_timeout = own.map(Duration::from_secs);
        let began = tokio::time::Instant::now();
        let error = connect(Box::new(ours), &config, WITHIN).await.err().unwrap();
        assert!(matches!(error, WsConnectError::Timeout));
        assert_eq!(began.elapsed().as_secs(), seconds);
    }
}
