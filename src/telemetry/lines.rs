//! Log lines on their way to standard error: nobody waits for its reader.
//!
//! A worker that writes to a full pipe stops, and with it all that it serves. So lines are queued, and
//! a thread of their own writes them; what has no room is dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait for the thread.
pub(super) const QUEUE: usize = 4 * 1024 * 1024;

/// The queue.
#[derive(Clone)]
pub(super) struct Lines {
    sender: Sender<Entry>,
    counts: Arc<Counts>,
}

struct Counts {
    limit: usize,
    queued: AtomicUsize,
    dropped: AtomicU64,
}

enum Entry {
    Line(Vec<u8>),
    /// Tells that everything before it was written.
    Mark(Sender<()>),
}

impl Lines {
    /// Starts the thread that writes to `out`, behind at most `limit` bytes.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(super) fn start(out: impl Write + Send + 'static, limit: usize) -> io::Result<Self> {
        let (sender, entries) = channel();
        let counts = Arc::new(Counts { limit, queued: 0.into(), dropped: 0.into() });
        let of_thread = counts.clone();
        let write = move || write_all(out, &entries, &of_thread);
        std::thread::Builder::new().name("log".into()).spawn(write)?;
        Ok(Self { sender, counts })
    }

    /// How many lines had no room so far.
    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all lines so far were written, but no longer than `within`.
    pub(super) fn flush(&self, within: Duration) {
        let (mark, marked) = channel();
        if self.sender.send(Entry::Mark(mark)).is_ok() {
            let _ = marked.recv_timeout(within);
        }
    }

    fn put(&self, line: &[u8]) {
        let Counts { limit, queued, dropped } = &*self.counts;
        // A single line is let through whatever its length.
        let room = |bytes| (bytes == 0 || bytes + line.len() <= *limit).then(|| bytes + line.len());
        let taken = queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        if taken.is_err() || self.sender.send(Entry::Line(line.to_vec())).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_all(mut out: impl Write, entries: &Receiver<Entry>, counts: &Counts) {
    for entry in entries {
        match entry {
            Entry::Line(line) => {
                // Nobody is left to tell that standard error is closed.
                let _ = out.write_all(&line);
                counts.queued.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Entry::Mark(mark) => {
                let _ = out.flush();
                let _ = mark.send(());
            }
        }
    }
}

impl Write for &Lines {
    /// Takes a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
pub(super) mod tests_support {
    use parking_lot::Mutex;

    use super::*;

    impl Lines {
        pub(crate) fn counts_dropped(&self, lines: u64) {
            self.counts.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Lines that a test reads.
    #[derive(Clone, Default)]
    pub(crate) struct Book(Arc<Mutex<Vec<u8>>>);

    impl Book {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    impl Write for &Book {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Book {
        type Writer = &'a Book;

        fn make_writer(&'a self) -> Self::Writer {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// A reader that takes nothing until it is told, and what it took then.
    #[derive(Clone, Default)]
    struct Pipe {
        open: Arc<Mutex<()>>,
        took: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.open.lock();
            self.took.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_reads_are_dropped_and_counted_and_nobody_waits() {
        let pipe = Pipe::default();
        let lines = Lines::start(pipe.clone(), 100).unwrap();
        let full = pipe.open.lock();
        for _ in 0..25 {
            (&lines).write_all(b"123456789\n").unwrap();
        }
        lines.flush(Duration::ZERO);
        assert_eq!(lines.dropped(), 15);
        drop(full);
        lines.flush(Duration::from_secs(20));
        (&lines).write_all(b"the last\n").unwrap();
        lines.flush(Duration::from_secs(20));
        let took = pipe.took.lock().clone();
        assert_eq!((took.len(), took.ends_with(b"\nthe last\n")), (10 * 10 + 9, true));
        assert_eq!(lines.dropped(), 15);
    }
}
