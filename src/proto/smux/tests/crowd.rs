use super::*;

const STREAMS: usize = 40;
const PIECE: usize = 200_000;

/// A stream's pipe.
#[derive(Default)]
struct Pipe {
    id: u32,
    /// Pieces that it will have to send, and those that it has by now.
    later: usize,
    now: usize,
    woken: Arc<AtomicUsize>,
}

struct Wakes(Arc<AtomicUsize>);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.store(1, Ordering::Relaxed);
    }
}

impl Pipe {
    /// Does what it can, if it was woken.
    fn run(&mut self, end: &mut End) {
        if self.woken.swap(0, Ordering::Relaxed) == 0 {
            return;
        }
        let waker = Waker::from(Arc::new(Wakes(self.woken.clone())));
        while end.poll_room(self.id, &Context::from_waker(&waker)).is_ready() && self.now > 0 {
            assert!(write(end, self.id, &[0; PIECE]).unwrap());
            self.now -= 1;
        }
    }

    /// Something comes for it to send.
    fn hear(&mut self) {
        if self.later > 0 {
            (self.later, self.now) = (self.later - 1, self.now + 1);
            self.woken.store(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn who_has_much_to_send_keeps_it_until_few_are_before_him_and_nobody_waits_forever() {
    let (mut client, _) = pair(1);
    let mut pipes: Vec<Pipe> = (0..STREAMS)
        .map(|at| {
            let id = client.open(Time::ZERO).unwrap();
            Pipe { id, later: 3 + at % 5, ..Pipe::default() }
        })
        .collect();
    let all: usize = pipes.iter().map(|pipe| pipe.later * PIECE).sum();
    let (mut out, mut most) = (0, 0);
    for round in 0..10_000 {
        for (at, pipe) in pipes.iter_mut().enumerate() {
            if (at + round) % 7 == 0 {
                pipe.hear();
            }
            pipe.run(&mut client);
        }
        client.take_wakes().into_iter().for_each(Waker::wake);
        let left: usize = pipes.iter().map(|pipe| (pipe.later + pipe.now) * PIECE).sum();
        most = most.max(all - left - out);
        client.transmit(1 << 18, Time::ZERO, &mut |bytes| {
            out += if bytes.len() == HEADER { 0 } else { bytes.len() };
        });
        client.take_wakes().into_iter().for_each(Waker::wake);
    }
    assert_eq!(out, all);
    // Everybody's first piece is there: nobody knew that it would be much.
    let bound = (STREAMS + 16) * PIECE;
    assert!(most < bound, "{most} bytes of {all} waited in the session");
    let (late, mut brief) = (client.open(Time::ZERO).unwrap(), 0);
    write(&mut client, late, b"x").unwrap();
    client.transmit(1 << 18, Time::ZERO, &mut |bytes| brief += bytes.len());
    assert_eq!(brief, 2 * HEADER + 1);
}
