//! Two ends under any schedule: what is sent, delivered, read and written comes in any order and any
//! size.

use std::collections::{BTreeMap, VecDeque};
use std::task::Poll;

use proptest::prelude::*;

use super::*;

/// One thing that happens in a run.
#[derive(Clone, Debug)]
enum Move {
    Transmit { end: usize, limit: usize },
    Deliver { end: usize, most: usize },
    Write { end: usize, stream: usize, size: usize },
    Read { end: usize, stream: usize, most: usize },
    Finish { end: usize, stream: usize },
}

fn moves() -> impl Strategy<Value = Move> {
    let (end, stream) = (0..2usize, 0..5usize);
    prop_oneof![
        (end.clone(), 32..3000usize).prop_map(|(end, limit)| Move::Transmit { end, limit }),
        (end.clone(), 1..2000usize).prop_map(|(end, most)| Move::Deliver { end, most }),
        (end.clone(), stream.clone(), 1..4000usize).prop_map(|(end, stream, size)| Move::Write {
            end,
            stream,
            size
        }),
        (end.clone(), stream.clone(), 1..4000usize).prop_map(|(end, stream, most)| Move::Read {
            end,
            stream,
            most
        }),
        (end, stream).prop_map(|(end, stream)| Move::Finish { end, stream }),
    ]
}

/// Two ends, what is on the way between them, and what was written and read of each direction.
struct Run {
    ends: [End; 2],
    wires: [VecDeque<u8>; 2],
    ids: Vec<u32>,
    wrote: BTreeMap<(usize, u32), Vec<u8>>,
    got: BTreeMap<(usize, u32), Vec<u8>>,
    finished: [Vec<u32>; 2],
    ended: [Vec<u32>; 2],
}

impl Run {
    fn new(version: u8, receive_buffer: u32, stream_buffer: u32, max_frame: u16) -> Self {
        let options = Options { receive_buffer, stream_buffer, max_frame, ..options(version) };
        let mut ends = [Session::new(Role::Client, options), Session::new(Role::Server, options)];
        let ids = (0..5).map(|i| ends[i % 2].open(Time::ZERO).unwrap()).collect();
        let mut run = Self {
            ends,
            wires: Default::default(),
            ids,
            wrote: BTreeMap::new(),
            got: BTreeMap::new(),
            finished: Default::default(),
            ended: Default::default(),
        };
        // The SYNs, so that both ends know all streams.
        for end in [0, 1] {
            run.step(&Move::Transmit { end, limit: 1000 });
            run.step(&Move::Deliver { end: 1 - end, most: 1000 });
        }
        run
    }

    /// Whether anything came of it.
    fn step(&mut self, next: &Move) -> bool {
        match *next {
            Move::Transmit { end, limit } => {
                let wire = &mut self.wires[1 - end];
                // Every stream is known by then.
                self.ends[end].tick(Duration::from_secs(1)).unwrap();
                self.ends[end].transmit(limit, Time::ZERO, &mut |b| wire.extend(b)) > 0
            }
            Move::Deliver { end, most } => {
                let wire = &mut self.wires[end];
                let bytes: Vec<u8> = wire.iter().copied().take(most).collect();
                if bytes.is_empty() || !self.ends[end].wants_input() {
                    return false;
                }
                let taken = self.ends[end].receive(&bytes, Time::ZERO).unwrap();
                wire.drain(..taken);
                taken > 0
            }
            Move::Write { end, stream, size } => {
                let id = self.ids[stream];
                let wrote = self.wrote.entry((end, id)).or_default();
                let bytes: Vec<u8> =
                    (0..size).map(|i| ((wrote.len() + i) * 7 + end) as u8).collect();
                let done = matches!(write(&mut self.ends[end], id, &bytes), Ok(true));
                if done {
                    wrote.extend(bytes);
                }
                done
            }
            Move::Read { end, stream, most } => {
                let id = self.ids[stream];
                match read(&mut self.ends[end], id, most) {
                    Poll::Ready(Ok(Some(bytes))) => {
                        self.got.entry((1 - end, id)).or_default().extend(bytes);
                        true
                    }
                    Poll::Ready(Ok(None)) => {
                        if self.ended[end].contains(&id) {
                            return false;
                        }
                        self.ended[end].push(id);
                        true
                    }
                    Poll::Ready(Err(e)) => panic!("stream {id}: {e}"),
                    Poll::Pending => false,
                }
            }
            Move::Finish { end, stream } => {
                let id = self.ids[stream];
                // A FIN that says too much is tested elsewhere: here both directions are to survive.
                if self.finished[end].contains(&id) {
                    return false;
                }
                self.finished[end].push(id);
                self.ends[end].finish(id).unwrap();
                true
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_order_of_things_nothing_is_lost_and_nothing_waits_forever(
        version in 1..=2u8,
        receive_buffer in 1..5000u32,
        stream_buffer in 1..3000u32,
        max_frame in 1..2000u16,
        moves in prop::collection::vec(moves(), 1..400),
    ) {
        let mut run = Run::new(version, receive_buffer, stream_buffer, max_frame);
        for next in &moves {
            run.step(next);
        }
        for end in [0, 1] {
            for stream in 0..5 {
                run.step(&Move::Finish { end, stream });
            }
        }
        // From here on everybody does what he can, and that must be enough.
        loop {
            let mut moved = false;
            for end in [0, 1] {
                moved |= run.step(&Move::Transmit { end, limit: 5000 });
                moved |= run.step(&Move::Deliver { end, most: 5000 });
                for stream in 0..5 {
                    moved |= run.step(&Move::Read { end, stream, most: 5000 });
                }
            }
            if !moved {
                break;
            }
        }
        for end in [0, 1] {
            for id in run.ids.clone() {
                let wrote = run.wrote.remove(&(end, id)).unwrap_or_default();
                let got = run.got.remove(&(end, id)).unwrap_or_default();
                prop_assert!(wrote == got, "{} of {} bytes", got.len(), wrote.len());
                prop_assert!(run.ended[1 - end].contains(&id), "no end of {id}");
                run.ends[end].release(id, Time::ZERO);
            }
        }
        for end in [0, 1] {
            run.step(&Move::Transmit { end, limit: 5000 });
            prop_assert_eq!(run.ends[end].streams(), 0);
        }
    }
}
