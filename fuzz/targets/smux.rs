//! A session's peer that sends anything, in pieces of any size, while its streams are used.

#![no_main]

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use adit_fuzz::proto::smux::{Header, Options, Queue, Role, Session, SmuxError};

/// The most that a frame may overdraw what may be received.
const FRAME: usize = 65_535;
const BUFFER: usize = 4096;

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Queue for Bytes {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn take(&mut self, n: usize, put: &mut dyn FnMut(&[u8])) {
        let n = n.min(self.0.len());
        put(&self.0[..n]);
        self.0.drain(..n);
    }
}

/// What the streams got, and how the session ended.
fn run(version: u8, input: &[u8], size: usize, uses: bool) -> (Vec<u8>, Option<SmuxError>) {
    let options = Options {
        version,
        keepalive: Some((Duration::from_secs(10), Duration::from_secs(30))),
        max_frame: 100,
        receive_buffer: BUFFER as u32,
        stream_buffer: 512,
        accepts: true,
    };
    let mut session: Session<Bytes> = Session::new(Role::Server, options);
    let cx = Context::from_waker(Waker::noop());
    let (mut got, mut streams, mut now) = (Vec::new(), Vec::new(), Duration::ZERO);
    for piece in input.chunks(size) {
        let mut rest = piece;
        while !rest.is_empty() && session.wants_input() {
            let received = session.receive(rest, now);
            while let Poll::Ready(Some(id)) = session.poll_accept(&cx) {
                streams.push(id);
            }
            let mut unread = 0;
            for id in &streams {
                let Poll::Ready(Ok(Some(queue))) = session.poll_read(*id, &cx) else { continue };
                unread += queue.len();
                let n = queue.len();
                queue.take(n, &mut |bytes| got.extend_from_slice(bytes));
                session.consumed(*id, n, now);
            }
            assert!(unread <= BUFFER + FRAME, "{unread} bytes wait");
            match received {
                Ok(taken) => rest = &rest[taken..],
                Err(e) => return (got, Some(e)),
            }
        }
        if uses {
            now += Duration::from_secs(1);
            for id in &streams {
                if let Poll::Ready(Ok(queue)) = session.poll_write(*id, &cx) {
                    queue.push(&[7; 300]);
                    session.written(*id, 300);
                }
            }
            if let Some(id) = streams.pop_if(|id| *id % 4 == 1) {
                session.release(id, now);
            }
            let _ = session.tick(now);
        }
        while session.transmit(1 << 16, now, &mut |_| {}) > 0 {}
    }
    (got, None)
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    adit_fuzz::decodes::<Header>(input);
    let Some((first, frames)) = input.split_first() else { return };
    let version = 1 + (first & 1);
    let size = usize::from(first >> 1) + 1;
    run(version, frames, size, true);
    // One stream at a time is read in order, so how bytes come in must not matter.
    let (whole, end) = run(version, frames, frames.len().max(1), false);
    let (pieces, end_of_pieces) = run(version, frames, size, false);
    assert_eq!(end, end_of_pieces, "the end depends on how bytes come in");
    // A peer of version 2 that claims to have read too much is cut off at the next transmission.
    if version == 1 {
        assert_eq!(whole.len(), pieces.len(), "the data depends on how bytes come in");
    }
});
