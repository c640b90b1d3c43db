use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::base::Target;
use crate::io::full::Full;
use crate::io::{Chunk, Io};
use crate::proto::address::Address;
use crate::proto::socks5::{FrameHeader, PacketHeader};

const LONGEST: usize = 16;

/// A name with a character that no name has.
const NO_NAME: &[u8] = b"\x00\x02\xff\x03\x03a b\x00\x35hi";

fn framed(framing: Framing) -> (Framed, DuplexStream) {
    let (ours, theirs) = duplex(1 << 20);
    (Framed::new(Box::new(ours), framing, LONGEST), theirs)
}

fn frame(addr: &str, payload: &[u8]) -> Vec<u8> {
    let address = address(addr);
    let length = u16::try_from(payload.len()).unwrap();
    [FrameHeader { length, address }.encode(), payload.to_vec()].concat()
}

fn packet(addr: &str, payload: &[u8]) -> Vec<u8> {
    let header = PacketHeader { fragment: 0, address: address(addr) };
    [header.encode(), payload.to_vec()].concat()
}

fn address(addr: &str) -> Address {
    Address::from(&addr.parse::<Target>().unwrap())
}

/// The next datagram; empty at the end.
async fn next(io: &mut impl Io) -> std::io::Result<Vec<u8>> {
    let mut chunk = Chunk::new();
    poll_fn(|cx| io.poll_read(cx, &mut chunk)).await?;
    Ok(chunk.data().to_vec())
}

async fn send(io: &mut impl Io, datagram: &[u8]) {
    let mut chunk = Chunk::from_slice(datagram);
    poll_fn(|cx| io.poll_write(cx, &mut chunk)).await.unwrap();
    assert!(chunk.is_empty());
}

async fn sent(stream: &mut DuplexStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(got, bytes);
}

#[tokio::test]
async fn the_bytes_are_those_of_gost() {
    let (mut io, mut stream) = framed(Framing::Lengths);
    send(&mut io, b"hello").await;
    sent(&mut stream, b"\x00\x05hello").await;

    let (mut io, mut stream) = framed(Framing::Packets);
    send(&mut io, b"\0\0\0\x03\x0bexample.com\x00\x35hello").await;
    sent(&mut stream, b"\x00\x05\xff\x03\x0bexample.com\x00\x35hello").await;
    stream.write_all(b"\x00\x05\xff\x01\x08\x08\x08\x08\x00\x35hello").await.unwrap();
    assert_eq!(next(&mut io).await.unwrap(), b"\0\0\0\x01\x08\x08\x08\x08\x00\x35hello");

    let (io, mut stream) = framed(Framing::Packets);
    let mut io = Addressed::new(Box::new(io), address("example.com:53"));
    send(&mut io, b"hello").await;
    sent(&mut stream, b"\x00\x05\xff\x03\x0bexample.com\x00\x35hello").await;
    stream.write_all(b"\x00\x05\xff\x01\x08\x08\x08\x08\x00\x35hello").await.unwrap();
    assert_eq!(next(&mut io).await.unwrap(), b"hello");
}

/// A stream that remembers its writes.
struct Writes(Arc<Mutex<Vec<usize>>>);

impl Io for Writes {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut Chunk) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }

    fn poll_write(&mut self, _: &mut Context<'_>, chunk: &mut Chunk) -> Poll<std::io::Result<()>> {
        self.0.lock().push(chunk.len());
        chunk.release();
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close_write(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        panic!("GOST takes a FIN for the end of both directions")
    }

    crate::io::lies_on_nothing!();
}

#[test]
fn there_is_no_more_room_for_datagrams_than_in_the_stream_below() {
    for framing in [Framing::Lengths, Framing::Packets] {
        assert!(!Full::has_room_below(Framed::new(Box::new(Full), framing, LONGEST)));
    }
    assert!(!Full::has_room_below(Addressed::new(Box::new(Full), address("[::1]:1"))));
    assert!(!Full::has_room_below(Controlled::new(Box::new(Full), Box::new(Full), LONGEST)));
}

#[tokio::test]
async fn each_datagram_is_one_write_and_no_half_close_follows() {
    let payload = vec![7; 60_000];
    let whole = packet("[::1]:1", &payload);
    for (framing, datagram, expected) in
        [(Framing::Lengths, &payload, payload.len() + 2), (Framing::Packets, &whole, whole.len())]
    {
        let writes = Arc::default();
        let mut io = Framed::new(Box::new(Writes(Arc::clone(&writes))), framing, LONGEST);
        send(&mut io, datagram).await;
        poll_fn(|cx| io.poll_close_write(cx)).await.unwrap();
        assert_eq!(*writes.lock(), [expected]);
    }
}

#[tokio::test]
async fn datagrams_come_in_any_pieces() {
    let long = vec![b'x'; LONGEST + 9];
    let lengths = [&b"\x00\x03one\x00\x00"[..], b"\x00\x19", &long, b"\x00\x01z"].concat();
    let of_lengths = vec![b"one".to_vec(), long[..LONGEST].to_vec(), b"z".to_vec()];
    let name = "n".repeat(63) + "." + &"m".repeat(63);
    let to = format!("{name}:7");
    let packets = [
        frame("1.2.3.4:5", b"one"),
        frame("1.2.3.4:5", b""),
        frame(&to, &long),
        NO_NAME.to_vec(),
        frame("[::1]:6", b"z"),
    ];
    let mut no_name = NO_NAME.to_vec();
    no_name[..3].copy_from_slice(&[0; 3]);
    let of_packets = vec![
        packet("1.2.3.4:5", b"one"),
        packet(&to, &long[..LONGEST]),
        no_name,
        packet("[::1]:6", b"z"),
    ];
    for (framing, bytes, expected) in
        [(Framing::Lengths, lengths, of_lengths), (Framing::Packets, packets.concat(), of_packets)]
    {
        for size in [1, 2, 3, 7, 11, bytes.len()] {
            let (mut io, mut stream) = framed(framing);
            let sending = async {
                for piece in bytes.chunks(size) {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
                stream.shutdown().await.unwrap();
            };
            let receiving = async {
                for datagram in &expected {
                    assert_eq!(&next(&mut io).await.unwrap(), datagram, "in pieces of {size}");
                }
                assert_eq!(next(&mut io).await.unwrap(), b"");
                assert!(io.peer_closed(), "datagrams have no half-close");
            };
            tokio::join!(sending, receiving);
        }
    }
}

#[tokio::test]
async fn an_end_within_a_datagram_is_an_error_wherever_it_is() {
    let packets = frame("a.test:1", b"payload");
    let too_long = [&b"\x00\x20"[..], &[7; 20]].concat();
    for (framing, bytes) in [
        (Framing::Lengths, b"\x00\x02h".to_vec()),
        (Framing::Lengths, too_long),
        (Framing::Packets, packets),
    ] {
        for end in 1..bytes.len() {
            let (mut io, mut stream) = framed(framing);
            stream.write_all(&bytes[..end]).await.unwrap();
            drop(stream);
            let error = loop {
                match next(&mut io).await {
                    Ok(datagram) => assert_eq!(datagram.len(), LONGEST, "only one that is cut off"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{end} of {bytes:?}");
        }
    }
}

#[tokio::test]
async fn an_address_of_an_unknown_type_ends_the_stream() {
    let (mut io, mut stream) = framed(Framing::Packets);
    stream.write_all(b"\x00\x01\xff\x09\x01\x02\x03\x04\x00\x35x").await.unwrap();
    assert_eq!(next(&mut io).await.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn what_cannot_be_sent_is_dropped_and_the_stream_goes_on() {
    let (mut io, mut stream) = framed(Framing::Lengths);
    send(&mut io, &vec![0; MAX_DATAGRAM + 1]).await;
    send(&mut io, b"").await;
    send(&mut io, b"x").await;
    sent(&mut stream, b"\x00\x01x").await;

    let (mut io, mut stream) = framed(Framing::Packets);
    for datagram in [
        packet("a.test:1", b""),
        packet("a.test:1", &vec![0; MAX_DATAGRAM + 1]),
        b"\0\0".to_vec(),
        b"\0\0\0\x03\xffshort".to_vec(),
        b"\0\0\0\x09\x01\x02\x03\x04\x00\x35x".to_vec(),
        packet("a.test:1", b"x"),
    ] {
        send(&mut io, &datagram).await;
    }
    sent(&mut stream, &frame("a.test:1", b"x")).await;
}

/// RFC 1928 counts the bytes of a name in one; no DNS name has so many.
#[tokio::test]
async fn a_name_of_255_bytes_is_carried_as_it_is() {
    let name = [b'n'; 255];
    let datagram = [&b"\0\0\0\x03\xff"[..], &name, b"\x00\x35hi"].concat();
    let (mut io, mut stream) = framed(Framing::Packets);
    send(&mut io, &datagram).await;
    let mut framed = datagram.clone();
    framed[..3].copy_from_slice(b"\x00\x02\xff");
    sent(&mut stream, &framed).await;
    stream.write_all(&framed).await.unwrap();
    assert_eq!(next(&mut io).await.unwrap(), datagram);
}

/// A length is only a promise.
#[tokio::test]
async fn a_long_datagram_that_does_not_come_costs_no_more_than_what_came() {
    let (mut io, mut stream) = framed(Framing::Lengths);
    stream.write_all(b"\xff\xffabc").await.unwrap();
    let waiting = poll_fn(|cx| {
        let mut chunk = Chunk::new();
        Poll::Ready(io.poll_read(cx, &mut chunk).is_pending())
    });
    assert!(waiting.await);
    assert_eq!(io.begun(), 5);
    stream.write_all(&[0; 65_532]).await.unwrap();
    assert_eq!(next(&mut io).await.unwrap().len(), LONGEST);
    stream.write_all(b"\x00\x01z").await.unwrap();
    assert_eq!(next(&mut io).await.unwrap(), b"z");
}
