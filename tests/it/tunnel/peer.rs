//! tungstenite as the client: an implementation that shares nothing with ours.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::echo;
use crate::support::wait::eventually;

struct Server {
    addr: SocketAddr,
    process: Process,
}

fn server(query: &str) -> Server {
    server_that_drains("1s", query)
}

fn server_that_drains(within: &str, query: &str) -> Server {
    let addr = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let url = format!("ws://{addr}?path=/x{query}");
    let process = Process::adit(&["--drain-timeout", within, "-L", &url]);
    eventually("it listens", Duration::from_secs(20), || {
        std::net::TcpStream::connect(addr).is_ok()
    });
    Server { addr, process }
}

/// A tunnel to an echo target.
async fn tunnel(server: &Server) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let url = format!("ws://{}/x", server.addr);
    let (mut ws, _) = client_async(url, stream).await.unwrap();
    let target = echo();
    let connect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    ws.send(Message::text(connect)).await.unwrap();
    let reply = ws.next().await.unwrap().unwrap().into_data();
    assert!(reply.starts_with(b"HTTP/1.1 200 "), "{reply:?}");
    ws
}

#[tokio::test]
async fn messages_of_every_kind_and_size_come_back() {
    let server = server("");
    let mut ws = tunnel(&server).await;
    for message in [
        Message::text("text"),
        Message::binary(vec![]),
        Message::binary(vec![1; 125]),
        Message::binary(vec![2; 126]),
        Message::binary(vec![3; 70_000]),
        Message::binary(vec![4; 3_000_000]),
    ] {
        let sent = message.clone().into_data();
        let mut back = Vec::new();
        let (mut sink, mut stream) = (&mut ws).split();
        let receive = async {
            while back.len() < sent.len() {
                back.extend_from_slice(&stream.next().await.unwrap().unwrap().into_data());
            }
        };
        let (result, ()) = tokio::join!(sink.send(message), receive);
        result.unwrap();
        assert_eq!(back, sent);
    }
}

#[tokio::test]
async fn a_ping_in_a_busy_tunnel_is_answered_and_a_close_too() {
    let server = server("");
    let mut ws = tunnel(&server).await;
    ws.send(Message::binary(vec![7; 1_000_000])).await.unwrap();
    ws.send(Message::Ping("now".into())).await.unwrap();
    let mut left = 1_000_000;
    let mut answered = false;
    while left > 0 || !answered {
        match ws.next().await.unwrap().unwrap() {
            Message::Binary(bytes) => left -= bytes.len(),
            Message::Pong(payload) => answered = payload == "now",
            other => panic!("{other:?}"),
        }
    }
    let frame = CloseFrame { code: CloseCode::from(4321), reason: "done".into() };
    ws.close(Some(frame)).await.unwrap();
    let Message::Close(Some(frame)) = ws.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(frame.code, CloseCode::from(4321));
    assert!(ws.next().await.is_none());
}

#[tokio::test]
async fn the_server_pings_when_it_is_told_to() {
    let server = server("&pingInterval=1s");
    let mut ws = tunnel(&server).await;
    assert_eq!(ws.next().await.unwrap().unwrap(), Message::Ping("".into()));
}

#[tokio::test]
async fn a_tunnel_that_outlives_the_drain_is_told_to_come_again() {
    let mut server = server("");
    let mut ws = tunnel(&server).await;
    server.process.signal("TERM");
    let Message::Close(Some(frame)) = ws.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(frame.code, CloseCode::Restart);
    assert_eq!(server.process.ends(Duration::from_secs(10)).code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_the_process_now() {
    let mut server = server_that_drains("10m", "");
    let mut ws = tunnel(&server).await;
    server.process.signal("TERM");
    server.process.prints("draining");
    ws.send(Message::binary("still here")).await.unwrap();
    assert_eq!(ws.next().await.unwrap().unwrap(), Message::binary("still here"));
    server.process.signal("TERM");
    assert_eq!(server.process.ends(Duration::from_secs(10)).code(), Some(0));
    assert!(!matches!(ws.next().await, Some(Ok(_))));
}
