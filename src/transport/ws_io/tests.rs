use std::future::poll_fn;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role as TheirRole};

use super::*;
use crate::io::ended;

/// Our end and, as an independent implementation, tungstenite's.
async fn pair(role: Role) -> (WsIo<DuplexStream>, WebSocketStream<DuplexStream>) {
    let (ours, theirs) = duplex(1 << 20);
    let their_role = match role {
        Role::Client => TheirRole::Server,
        Role::Server => TheirRole::Client,
    };
    let theirs = WebSocketStream::from_raw_socket(theirs, their_role, None).await;
    (WsIo::new(ours, role, None), theirs)
}

async fn read(io: &mut impl Io) -> io::Result<Vec<u8>> {
    let mut chunk = Chunk::new();
    poll_fn(|cx| io.poll_read(cx, &mut chunk)).await?;
    Ok(chunk.data().to_vec())
}

async fn write(io: &mut impl Io, bytes: &[u8]) -> io::Result<()> {
    let mut chunk = Chunk::from_slice(bytes);
    poll_fn(|cx| io.poll_write(cx, &mut chunk)).await
}

#[tokio::test]
async fn a_write_is_one_binary_message_and_messages_are_bytes() {
    for role in [Role::Client, Role::Server] {
        let (mut ours, mut theirs) = pair(role).await;
        for len in [1, 125, 126, 65_535, 65_536, 200_000] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            write(&mut ours, &bytes).await.unwrap();
            assert_eq!(theirs.next().await.unwrap().unwrap(), Message::binary(bytes.clone()));
            theirs.send(Message::binary(bytes.clone())).await.unwrap();
            let mut got = Vec::new();
            while got.len() < len {
                got.extend(read(&mut ours).await.unwrap());
            }
            assert_eq!(got, bytes);
        }
        theirs.send(Message::text("text")).await.unwrap();
        assert_eq!(read(&mut ours).await.unwrap(), b"text");
    }
}

#[tokio::test]
async fn small_messages_of_one_read_come_out_together() {
    let (mut ours, mut theirs) = pair(Role::Server).await;
    for _ in 0..100 {
        theirs.feed(Message::binary("ab")).await.unwrap();
        theirs.feed(Message::binary("")).await.unwrap();
    }
    theirs.flush().await.unwrap();
    assert_eq!(read(&mut ours).await.unwrap(), b"ab".repeat(100));
}

#[tokio::test]
async fn a_ping_is_answered_while_we_read() {
    let (mut ours, mut theirs) = pair(Role::Server).await;
    theirs.send(Message::Ping("sign of life".into())).await.unwrap();
    theirs.send(Message::binary("x")).await.unwrap();
    assert_eq!(read(&mut ours).await.unwrap(), b"x");
    assert_eq!(theirs.next().await.unwrap().unwrap(), Message::Pong("sign of life".into()));
}

#[tokio::test]
async fn a_close_is_answered_with_its_code_and_ends_both_directions() {
    let (mut ours, mut theirs) = pair(Role::Server).await;
    theirs.send(Message::binary("last")).await.unwrap();
    let frame = CloseFrame { code: CloseCode::from(4001), reason: "bye".into() };
    theirs.close(Some(frame)).await.unwrap();
    assert_eq!(read(&mut ours).await.unwrap(), b"last");
    assert!(ours.peer_closed());
    assert_eq!(read(&mut ours).await.unwrap(), b"");
    assert_eq!(write(&mut ours, b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    let Message::Close(Some(frame)) = theirs.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!(frame.code, CloseCode::from(4001));
}

#[tokio::test]
async fn a_fin_without_close_is_a_half_close() {
    let (ours, mut theirs) = duplex(1024);
    let mut ours = WsIo::client(ours, None);
    theirs.write_all(&[0x82, 1, b'x']).await.unwrap();
    theirs.shutdown().await.unwrap();
    assert_eq!(read(&mut ours).await.unwrap(), b"x");
    assert_eq!(read(&mut ours).await.unwrap(), b"");
    assert!(!ours.peer_closed());
    write(&mut ours, b"still").await.unwrap();
    poll_fn(|cx| ours.poll_close_write(cx)).await.unwrap();
    let mut rest = Vec::new();
    theirs.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest.len(), 2 + 4 + 5, "one masked frame and no Close");
}

#[tokio::test]
async fn a_fin_within_a_frame_is_an_error() {
    let (ours, mut theirs) = duplex(1024);
    let mut ours = WsIo::client(ours, None);
    theirs.write_all(&[0x82, 9, b'x']).await.unwrap();
    theirs.shutdown().await.unwrap();
    assert_eq!(read(&mut ours).await.unwrap(), b"x");
    assert_eq!(read(&mut ours).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_breach_of_the_protocol_is_answered_with_1002() {
    for breach in [
        &[0x82, 1, b'x'][..],
        // A length of 2^63.
        &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        // A reserved opcode, a reserved bit, a Ping in pieces.
        &[0x83, 0x80, 1, 2, 3, 4],
        &[0xc2, 0x80, 1, 2, 3, 4],
        &[0x09, 0x80, 1, 2, 3, 4],
    ] {
        let (ours, mut theirs) = duplex(1024);
        let mut ours = WsIo::server(ours, None);
        theirs.write_all(breach).await.unwrap();
        assert_eq!(read(&mut ours).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut head = [0; 4];
        theirs.read_exact(&mut head).await.unwrap();
        let code = u16::from_be_bytes([head[2], head[3]]);
        assert_eq!((head[0], code), (0x88, 1002), "{breach:x?}");
    }
}

/// The longest frame that can be announced: 2^63 - 1 bytes.
#[tokio::test]
async fn an_endless_frame_passes_in_pieces_as_they_come() {
    const PIECE: usize = 64 * 1024;
    let (ours, mut theirs) = duplex(PIECE);
    let mut ours = WsIo::client(ours, None);
    let pours = async {
        theirs.write_all(&[0x82, 0x7f, 0x7f, 255, 255, 255, 255, 255, 255, 255]).await.unwrap();
        let piece = vec![7; PIECE];
        for _ in 0..1024 {
            theirs.write_all(&piece).await.unwrap();
        }
        theirs
    };
    let drinks = async {
        let mut left = 1024 * PIECE;
        while left > 0 {
            let piece = read(&mut ours).await.unwrap();
            assert!(!piece.is_empty() && piece.iter().all(|byte| *byte == 7));
            left -= piece.len();
        }
    };
    let (_theirs, ()) = tokio::join!(pours, drinks);
    assert!(ours.decoder.mid_frame());
}

#[tokio::test]
async fn a_restart_says_1012() {
    let (mut ours, mut theirs) = pair(Role::Server).await;
    let end = ended(&mut ours, Ending::Restart, Duration::from_secs(1));
    let (_, message) = tokio::join!(end, async {
        let message = theirs.next().await.unwrap().unwrap();
        drop(theirs);
        message
    });
    let Message::Close(Some(frame)) = message else { panic!("{message:?}") };
    assert_eq!(frame.code, CloseCode::Restart);
}

#[tokio::test]
async fn writing_into_a_full_pipe_goes_on_where_it_stopped() {
    let (ours, mut theirs) = duplex(100);
    let mut ours = WsIo::server(ours, None);
    let bytes: Vec<u8> = (0..5000u32).map(|i| i as u8).collect();
    let mut got = vec![0; 5004];
    let (wrote, _) = tokio::join!(write(&mut ours, &bytes), theirs.read_exact(&mut got));
    wrote.unwrap();
    assert_eq!(got[..4], [0x82, 0x7e, 0x13, 0x88]);
    assert_eq!(got[4..], bytes);
}

async fn upkeep_until_dead(io: &mut (impl Io + ?Sized)) -> io::Error {
    let mut chunk = Chunk::new();
    poll_fn(|cx| {
        if let Err(e) = io.upkeep(cx) {
            return Poll::Ready(e);
        }
        let _ = io.poll_read(cx, &mut chunk);
        chunk.release();
        Poll::Pending
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_client_gives_a_mute_server_up_and_keeps_an_answering_one() {
    let (ours, mut theirs) = duplex(1024);
    let interval = Duration::from_secs(15);
    let mut ours = WsIo::client(ours, Some(Ping { interval, required: true }));
    let began = tokio::time::Instant::now();
    let answers = async {
        for _ in 0..5 {
            let mut ping = [0; 6];
            theirs.read_exact(&mut ping).await.unwrap();
            assert_eq!(ping[..2], [0x89, 0x80]);
            theirs.write_all(&[0x8a, 0]).await.unwrap();
        }
    };
    let (error, ()) = tokio::join!(upkeep_until_dead(&mut ours), answers);
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 15 * 5 + 2 * 15);
}

#[tokio::test(start_paused = true)]
async fn a_server_pings_and_never_gives_up() {
    let (ours, mut theirs) = duplex(1024);
    let interval = Duration::from_secs(30);
    let mut ours = WsIo::server(ours, Some(Ping { interval, required: false }));
    let mut pings = [0; 20];
    tokio::select! {
        error = upkeep_until_dead(&mut ours) => panic!("{error}"),
        read = theirs.read_exact(&mut pings) => read.unwrap(),
    };
    assert_eq!(pings, *[0x89, 0].repeat(10));
}

#[tokio::test]
async fn a_flood_of_pings_that_nobody_reads_the_answers_of_costs_no_memory() {
    let (ours, mut theirs) = duplex(64);
    let mut ours = WsIo::server(ours, None);
    let ping = control_frame(Opcode::Ping, &[7; 125], Some([1, 2, 3, 4]));
    let flood = async {
        for _ in 0..10_000 {
            theirs.write_all(&ping).await.unwrap();
        }
        theirs.shutdown().await.unwrap();
    };
    let (end, ()) = tokio::join!(read(&mut ours), flood);
    assert_eq!(end.unwrap(), b"");
    assert!(ours.control.len() <= 127 && ours.pong.as_ref().is_none_or(|p| p.len() == 125));
}
