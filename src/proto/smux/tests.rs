use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::*;
use crate::proto::Wire;

mod crowd;
mod schedule;

#[derive(Default)]
struct Bytes(VecDeque<u8>);

impl Queue for Bytes {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn take(&mut self, n: usize, put: &mut dyn FnMut(&[u8])) {
        let bytes: Vec<u8> = self.0.drain(..n.min(self.0.len())).collect();
        put(&bytes);
    }
}

type End = Session<Bytes>;

fn options(version: u8) -> Options {
    Options {
        version,
        keepalive: None,
        max_frame: 32 * 1024,
        receive_buffer: 4 << 20,
        stream_buffer: 64 << 10,
        accepts: true,
    }
}

fn sent(end: &mut End) -> Vec<u8> {
    sent_at(end, Time::ZERO)
}

fn sent_at(end: &mut End, now: Time) -> Vec<u8> {
    let mut out = Vec::new();
    while end.transmit(64 << 10, now, &mut |bytes| out.extend_from_slice(bytes)) > 0 {}
    out
}

/// Everything that either side has to say, said.
fn exchange(a: &mut End, b: &mut End) {
    loop {
        let (to_b, to_a) = (sent(a), sent(b));
        if to_b.is_empty() && to_a.is_empty() {
            return;
        }
        assert_eq!(b.receive(&to_b, Time::ZERO).unwrap(), to_b.len());
        assert_eq!(a.receive(&to_a, Time::ZERO).unwrap(), to_a.len());
    }
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn write(end: &mut End, id: u32, bytes: &[u8]) -> Result<bool, StreamError> {
    match end.poll_write(id, &cx()) {
        Poll::Ready(queue) => queue?.push(bytes),
        Poll::Pending => return Ok(false),
    }
    end.written(id, bytes.len());
    Ok(true)
}

/// What there is, `None` at the end.
fn read(end: &mut End, id: u32, most: usize) -> Poll<Result<Option<Vec<u8>>, StreamError>> {
    let mut bytes = Vec::new();
    match end.poll_read(id, &cx()) {
        Poll::Ready(Ok(Some(queue))) => queue.take(most, &mut |b| bytes.extend_from_slice(b)),
        Poll::Ready(Ok(None)) => return Poll::Ready(Ok(None)),
        Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
        Poll::Pending => return Poll::Pending,
    }
    end.consumed(id, bytes.len(), Time::ZERO);
    Poll::Ready(Ok(Some(bytes)))
}

fn accepted(end: &mut End) -> Option<u32> {
    match end.poll_accept(&cx()) {
        Poll::Ready(id) => id,
        Poll::Pending => None,
    }
}

fn pair(version: u8) -> (End, End) {
    let options = options(version);
    (Session::new(Role::Client, options), Session::new(Role::Server, options))
}

#[test]
fn frames_have_the_bytes_of_gost() {
    let (mut client, _) = pair(1);
    let id = client.open(Time::ZERO).unwrap();
    write(&mut client, id, b"hi").unwrap();
    client.release(id, Time::ZERO);
    assert_eq!(
        sent(&mut client),
        [
            &[1, 0, 0, 0, 3, 0, 0, 0][..],
            &[1, 2, 2, 0, 3, 0, 0, 0, 0x68, 0x69],
            &[1, 1, 0, 0, 3, 0, 0, 0]
        ]
        .concat()
    );
    let mut server: End = Session::new(Role::Server, options(1));
    server.open(Time::ZERO).unwrap();
    assert_eq!(sent(&mut server), [1, 0, 0, 0, 2, 0, 0, 0]);
    let nop = Header { version: 1, command: Command::Nop, len: 0, id: 0 };
    assert_eq!(nop.encode(), [1, 3, 0, 0, 0, 0, 0, 0]);
    let (mut client, mut server) = pair(2);
    let id = client.open(Time::ZERO).unwrap();
    write(&mut client, id, b"12345").unwrap();
    exchange(&mut client, &mut server);
    assert!(matches!(read(&mut server, id, 9), Poll::Ready(Ok(Some(b))) if b == b"12345"));
    assert_eq!(sent(&mut server), [2, 4, 8, 0, 3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 1, 0]);
}

#[test]
fn a_header_is_known_when_it_is_whole_and_no_earlier() {
    for command in [Command::Syn, Command::Fin, Command::Psh, Command::Nop, Command::Upd] {
        let len = match command {
            Command::Psh => 65_535,
            Command::Upd => 8,
            _ => 0,
        };
        let header = Header { version: 2, command, len, id: 0x0102_0304 };
        let bytes = header.encode();
        for end in 0..HEADER {
            assert_eq!(Header::decode(&bytes[..end]).unwrap(), None);
        }
        let more = [&bytes[..], b"more"].concat();
        assert_eq!(Header::decode(&more).unwrap(), Some((header, HEADER)));
    }
    for (bytes, error) in [
        (&[0][..], SmuxError::Version(0)),
        (&[3], SmuxError::Version(3)),
        (&[1, 5], SmuxError::Command(5)),
        (&[1, 0, 1, 0, 3, 0, 0, 0], SmuxError::Length),
        (&[1, 4, 8, 0, 3, 0, 0, 0], SmuxError::Length),
        (&[2, 4, 9, 0, 3, 0, 0, 0], SmuxError::Length),
    ] {
        assert_eq!(Header::decode(bytes), Err(error));
    }
    let (mut one, _) = pair(1);
    assert_eq!(one.receive(&[2], Time::ZERO), Err(SmuxError::Version(2)));
    let (mut one, _) = pair(1);
    assert_eq!(one.receive(&[2, 9, 0, 0], Time::ZERO), Err(SmuxError::Version(2)));
}

#[test]
fn frames_may_come_byte_by_byte() {
    let (mut client, mut server) = pair(2);
    let id = client.open(Time::ZERO).unwrap();
    write(&mut client, id, b"hello").unwrap();
    client.release(id, Time::ZERO);
    for byte in sent(&mut client) {
        assert_eq!(server.receive(&[byte], Time::ZERO), Ok(1));
    }
    assert_eq!(accepted(&mut server), Some(3));
    assert!(matches!(read(&mut server, id, 99), Poll::Ready(Ok(Some(b))) if b == b"hello"));
    assert!(matches!(read(&mut server, id, 99), Poll::Ready(Ok(None))));
    assert_eq!(write(&mut server, id, b"x"), Err(StreamError::Closed));
    server.release(id, Time::ZERO);
    exchange(&mut server, &mut client);
    assert_eq!((client.streams(), server.streams()), (0, 0));
}

#[test]
fn frames_of_unknown_streams_are_ignored() {
    let (mut one, _) = pair(1);
    let frames = [
        &[1, 2, 2, 0, 9, 0, 0, 0, 1, 2][..],
        &[1, 1, 0, 0, 9, 0, 0, 0],
        &[1, 2, 0, 0, 9, 0, 0, 0],
        &[1, 3, 0, 0, 9, 0, 0, 0],
    ];
    let frames = frames.concat();
    assert_eq!(one.receive(&frames, Time::ZERO), Ok(frames.len()));
    assert_eq!((one.streams(), sent(&mut one).len()), (0, 0));
}

#[test]
fn a_half_closed_stream_still_gets_the_reply_from_adit_but_gosts_fin_is_the_end() {
    let (mut client, mut server) = pair(1);
    let id = client.open(Time::ZERO).unwrap();
    write(&mut client, id, b"question").unwrap();
    client.finish(id).unwrap();
    exchange(&mut client, &mut server);
    assert!(!server.peer_closed(id));
    assert!(matches!(read(&mut server, id, 99), Poll::Ready(Ok(Some(_)))));
    assert!(matches!(read(&mut server, id, 99), Poll::Ready(Ok(None))));
    write(&mut server, id, b"answer").unwrap();
    server.release(id, Time::ZERO);
    exchange(&mut client, &mut server);
    assert!(matches!(read(&mut client, id, 99), Poll::Ready(Ok(Some(b))) if b == b"answer"));
    assert!(matches!(read(&mut client, id, 99), Poll::Ready(Ok(None))));
    client.release(id, Time::ZERO);
    assert_eq!((client.streams(), server.streams()), (0, 0));

    let id = client.open(Time::ZERO).unwrap();
    client.finish(id).unwrap();
    exchange(&mut client, &mut server);
    client.release(id, Time::ZERO);
    exchange(&mut client, &mut server);
    assert!(server.peer_closed(id), "it goes on sending to nobody");

    let fin = [1, 0, 0, 0, 8, 0, 0, 0, 1, 1, 0, 0, 8, 0, 0, 0];
    server.receive(&fin, Time::ZERO).unwrap();
    assert_eq!(write(&mut server, 8, b"x"), Err(StreamError::Closed));
}

#[test]
fn version_2_sends_no_more_than_the_window() {
    let (mut client, mut server) = pair(2);
    let id = client.open(Time::ZERO).unwrap();
    assert!(write(&mut client, id, &[0; 600_000]).unwrap());
    assert!(!write(&mut client, id, b"x").unwrap(), "the queue has no bound");
    exchange(&mut client, &mut server);
    let mut got = 0;
    while let Poll::Ready(Ok(Some(bytes))) = read(&mut server, id, usize::MAX) {
        got += bytes.len();
        assert!(bytes.len() <= 262_144);
        exchange(&mut client, &mut server);
    }
    assert_eq!(got, 600_000);
    // Consumed more than was sent.
    let liar = [2, 4, 8, 0, 3, 0, 0, 0, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0];
    write(&mut client, id, b"x").unwrap();
    client.receive(&liar, Time::ZERO).unwrap();
    sent(&mut client);
    assert_eq!(write(&mut client, id, b"x"), Err(StreamError::Consumed));
}

#[test]
fn what_waits_in_all_streams_is_bounded_and_stops_none_that_is_read() {
    const PIECE: usize = 64 * 1024;
    for version in [1, 2] {
        let options = Options { receive_buffer: 1 << 30, ..options(version) };
        let mut client: End = Session::new(Role::Client, options);
        let mut server: End = Session::new(Role::Server, options);
        let ids: Vec<u32> = (0..400).map(|_| client.open(Time::ZERO).unwrap()).collect();
        exchange(&mut client, &mut server);
        let (mut wrote, mut got) = (BTreeMap::new(), BTreeMap::new());
        let fill = |client: &mut End, wrote: &mut BTreeMap<u32, usize>| {
            for id in &ids {
                while write(client, *id, &[7; PIECE]).unwrap() {
                    *wrote.entry(*id).or_default() += PIECE;
                }
            }
        };
        fill(&mut client, &mut wrote);
        assert!(wrote.values().all(|n| *n >= PIECE), "a stream has no room at all");
        let all: usize = wrote.values().sum();
        assert!(all <= (16 << 20) + ids.len() * PIECE, "{all} bytes wait");
        // The peer reads one stream only: as far as it goes on, so does that.
        let live = ids[300];
        while version == 2 && got.get(&live).copied().unwrap_or_default() < 4 << 20 {
            exchange(&mut client, &mut server);
            if let Poll::Ready(Ok(Some(bytes))) = read(&mut server, live, usize::MAX) {
                *got.entry(live).or_default() += bytes.len();
            }
            fill(&mut client, &mut wrote);
        }
        for id in &ids {
            client.finish(*id).unwrap();
        }
        // Then it reads all of them, and nothing was lost.
        loop {
            let out = sent(&mut client);
            let mut rest = &out[..];
            while !rest.is_empty() {
                rest = &rest[server.receive(rest, Time::ZERO).unwrap()..];
                for id in &ids {
                    if let Poll::Ready(Ok(Some(bytes))) = read(&mut server, *id, usize::MAX) {
                        *got.entry(*id).or_default() += bytes.len();
                    }
                }
            }
            let back = sent(&mut server);
            client.receive(&back, Time::ZERO).unwrap();
            if out.is_empty() && back.is_empty() {
                break;
            }
        }
        assert_eq!(got, wrote);
    }
}

/// GOST's client drops what it reads together with an answer.
#[test]
fn what_comes_behind_an_answer_has_another_frame() {
    for version in [1, 2] {
        let (mut client, mut server) = pair(version);
        let id = client.open(Time::ZERO).unwrap();
        write(&mut client, id, b"request").unwrap();
        exchange(&mut client, &mut server);
        for bytes in [&b"answer"[..], b"banner", b" and more"] {
            write(&mut server, id, bytes).unwrap();
            server.flush(id);
        }
        let psh = |payload: &[u8]| {
            let len = payload.len() as u16;
            let header = Header { version, command: Command::Psh, len, id }.encode();
            [&header[..], payload].concat()
        };
        assert_eq!(sent(&mut server), [psh(b"answer"), psh(b"banner and more")].concat());
        write(&mut server, id, b"x").unwrap();
        assert_eq!(sent(&mut server), psh(b"x"));
    }
}

/// GOST sends a SYN before it knows the stream itself, and drops what comes for it in between.
#[test]
fn nothing_is_sent_on_a_stream_that_its_opener_may_not_know_yet() {
    let (moment, before) = (Duration::from_millis(20), Duration::from_millis(19));
    let header = |command, len| Header { version: 1, command, len, id: 3 }.encode();
    let (syn, fin) = (header(Command::Syn, 0), header(Command::Fin, 0));
    let banner = [&header(Command::Psh, 6)[..], b"banner"].concat();
    let opened = || {
        let (_, mut server) = pair(1);
        server.receive(&syn, Time::ZERO).unwrap();
        server
    };
    // A target that speaks first, and one that is not reached.
    let mut server = opened();
    write(&mut server, 3, b"banner").unwrap();
    let mut refusing = opened();
    refusing.release(3, before);
    for (server, out) in [(&mut server, &banner[..]), (&mut refusing, &fin)] {
        assert_eq!(server.deadline(), Some(moment));
        server.tick(before).unwrap();
        assert!(sent(server).is_empty());
        server.tick(moment).unwrap();
        assert_eq!((sent(server), server.deadline()), (out.to_vec(), None));
    }
    // Whoever has sent something knows the stream.
    let mut server = opened();
    write(&mut server, 3, b"banner").unwrap();
    server.receive(&[&header(Command::Psh, 1)[..], b"x"].concat(), Time::ZERO).unwrap();
    assert_eq!(sent(&mut server), banner);
}

#[test]
fn streams_have_their_turns() {
    let (mut client, _) = pair(1);
    let ids: Vec<u32> = (0..3).map(|_| client.open(Time::ZERO).unwrap()).collect();
    for (id, size) in ids.iter().zip([200_000, 200_000, 10]) {
        write(&mut client, *id, &vec![0; size]).unwrap();
    }
    let mut out = Vec::new();
    client.transmit(300_000, Time::ZERO, &mut |b| out.extend_from_slice(b));
    let mut order = Vec::new();
    let mut rest = &out[..];
    while let Some((header, n)) = Header::decode(rest).unwrap() {
        rest = &rest[n + usize::from(header.len)..];
        order.push((header.id, header.len));
    }
    let opened = [(3, 0), (5, 0), (7, 0)];
    // Who has little goes first, who has much goes on for as long as one read brought.
    let first = [(7, 10), (3, 32768)];
    assert_eq!(order[..5], [&opened[..], &first].concat());
    let of = |id| order.iter().filter(|(of, _)| *of == id).map(|(_, n)| u32::from(*n)).sum::<u32>();
    assert!(of(3) == 200_000 && of(5) > 90_000);
}

#[test]
fn a_silent_peer_is_dead_and_one_that_we_do_not_read_is_not() {
    let seconds = Duration::from_secs;
    let options =
        Options { keepalive: Some((seconds(10), seconds(30))), receive_buffer: 10, ..options(1) };
    let mut one: End = Session::new(Role::Server, options);
    assert_eq!(one.deadline(), Some(seconds(10)));
    one.tick(seconds(10)).unwrap();
    assert_eq!(sent(&mut one), [1, 3, 0, 0, 0, 0, 0, 0]);
    one.receive(&[1, 3, 0, 0, 0, 0, 0, 0], seconds(29)).unwrap();
    one.tick(seconds(30)).unwrap();
    assert_eq!(one.tick(seconds(60)), Err(DeadPeer));

    let mut one: End = Session::new(Role::Server, options);
    let syn = [1, 0, 0, 0, 3, 0, 0, 0];
    let data = [&syn[..], &[1, 2, 10, 0, 3, 0, 0, 0], &[0; 10], &syn].concat();
    assert_eq!(one.receive(&data, seconds(29)), Ok(26));
    assert!(!one.wants_input());
    one.tick(seconds(30)).unwrap();
    assert_eq!(one.tick(seconds(58)), Ok(()));
    assert_eq!(one.stalled(), 0);
}

#[test]
fn a_stream_that_stalls_the_session_is_reset_after_30_seconds() {
    for version in [1, 2] {
        let small = Options { receive_buffer: 1000, ..options(version) };
        let mut client: End = Session::new(Role::Client, options(version));
        let mut server: End = Session::new(Role::Server, small);
        let (slow, other) = (client.open(Time::ZERO).unwrap(), client.open(Time::ZERO).unwrap());
        write(&mut client, slow, &[0; 2000]).unwrap();
        let blocked = sent(&mut client);
        assert_eq!(server.receive(&blocked, Time::ZERO), Ok(blocked.len()));
        write(&mut client, other, b"hello").unwrap();
        let hello = sent(&mut client);
        assert_eq!(server.receive(&hello, Time::ZERO), Ok(0));
        assert_eq!(server.deadline(), Some(Duration::from_secs(30)));
        server.tick(Duration::from_secs(30)).unwrap();
        assert_eq!((server.stalled(), server.wants_input()), (1, true));
        assert_eq!(server.receive(&hello, Time::ZERO), Ok(hello.len()));
        assert!(matches!(read(&mut server, slow, 1), Poll::Ready(Err(StreamError::Stalled))));
        assert!(matches!(read(&mut server, other, 9), Poll::Ready(Ok(Some(b))) if b == b"hello"));
        assert!(sent(&mut server).starts_with(&[version, 1, 0, 0, 3, 0, 0, 0]));
    }
}

#[test]
fn what_nobody_takes_of_a_dropped_stream_is_dropped_after_30_seconds() {
    let (mut client, _) = pair(2);
    let id = client.open(Time::ZERO).unwrap();
    write(&mut client, id, &[0; 400_000]).unwrap();
    client.release(id, Time::ZERO);
    sent(&mut client);
    assert_eq!((client.streams(), client.deadline()), (1, Some(Duration::from_secs(30))));
    client.tick(Duration::from_secs(30)).unwrap();
    assert_eq!((client.streams(), client.deadline()), (0, None));
    assert_eq!(sent(&mut client), [2, 1, 0, 0, 3, 0, 0, 0]);
}

#[test]
fn a_flood_of_streams_waits_in_the_session_or_is_refused() {
    let (_, mut server) = pair(1);
    let syns: Vec<u8> = (0..17_000u32)
        .flat_map(|i| Header { version: 1, command: Command::Syn, len: 0, id: 3 + 2 * i }.encode())
        .collect();
    // Nobody takes one, and what comes behind them is not held up.
    assert_eq!(server.receive(&syns, Time::ZERO), Ok(syns.len()));
    assert!(server.wants_input());
    assert_eq!(server.streams(), 16 * 1024);
    assert_eq!(sent(&mut server).len(), (17_000 - 16 * 1024) * HEADER);
    assert_eq!(accepted(&mut server), Some(3));

    let deaf = Options { accepts: false, ..options(1) };
    let mut client: End = Session::new(Role::Client, deaf);
    let syns = &syns[..3000 * HEADER];
    client.receive(syns, Time::ZERO).unwrap();
    assert_eq!(client.streams(), 0);
    assert_eq!(sent(&mut client).len(), syns.len());
}

#[test]
fn ids_run_out() {
    let (mut client, _) = pair(1);
    client.last_id_for_test(u32::MAX - 2);
    assert_eq!(client.open(Time::ZERO), Ok(u32::MAX));
    assert!(client.is_used_up());
    assert_eq!(client.open(Time::ZERO), Err(GoAway));
}

/// Counts wakes, and says whether a task of its own would run.
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn who_waits_is_woken_when_the_session_ends() {
    let (mut client, _) = pair(1);
    let id = client.open(Time::ZERO).unwrap();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    assert!(client.poll_read(id, &Context::from_waker(&waker)).is_pending());
    client.fail();
    client.take_wakes().into_iter().for_each(Waker::wake);
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(matches!(read(&mut client, id, 1), Poll::Ready(Err(StreamError::Unanswered))));
}

/// A peer of another version closes the carrier and says nothing.
#[test]
fn a_session_that_ended_says_whether_the_peer_ever_spoke() {
    for (heard, why) in
        [(&b""[..], StreamError::Unanswered), (&[1, 3, 0, 0, 0, 0, 0, 0], StreamError::Session)]
    {
        let (mut client, _) = pair(1);
        let id = client.open(Time::ZERO).unwrap();
        client.receive(heard, Time::ZERO).unwrap();
        client.fail();
        assert!(matches!(read(&mut client, id, 1), Poll::Ready(Err(error)) if error == why));
        assert_eq!(write(&mut client, id, b"x"), Err(why));
        assert_eq!(client.finish(id), Err(why));
    }
}

#[test]
fn streams_beyond_the_most_of_a_session_are_refused() {
    let (_, mut server) = pair(2);
    let mut ids = (0..).map(|i| 3 + 2 * i);
    let mut open = 0;
    while open < 16 * 1024 {
        let id = ids.next().unwrap();
        let syn = Header { version: 2, command: Command::Syn, len: 0, id }.encode();
        server.receive(&syn, Time::ZERO).unwrap();
        open += usize::from(accepted(&mut server) == Some(id));
    }
    assert!(sent(&mut server).is_empty());
    let syn = Header { version: 2, command: Command::Syn, len: 0, id: ids.next().unwrap() };
    server.receive(&syn.encode(), Time::ZERO).unwrap();
    assert_eq!((accepted(&mut server), server.streams()), (None, 16 * 1024));
    assert_eq!(sent(&mut server), Header { command: Command::Fin, ..syn }.encode());
    server.release(3, Time::ZERO);
    server.tick(Duration::from_secs(1)).unwrap();
    sent(&mut server);
    server.receive(&syn.encode(), Time::ZERO).unwrap();
    assert_eq!(accepted(&mut server), Some(syn.id), "there is room again");
}
