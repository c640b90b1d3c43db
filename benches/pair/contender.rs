//! Who is measured, and the two processes of each.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use super::relay;

/// The program of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Relay,
    Adit,
    /// Another build of adit, to compare with: `ADIT_BASE`.
    Base,
    Gost,
}

/// One column of the tables.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    pub name: &'static str,
    pub program: Program,
    /// What carries the streams between the two; the relay has none.
    pub transport: &'static str,
}

/// Where the programs are.
pub struct Programs {
    pub adit: String,
    pub base: Option<String>,
    pub gost: String,
}

impl Programs {
    /// Whether a program is there to be measured.
    pub fn has(&self, program: Program) -> bool {
        program != Program::Base || self.base.is_some()
    }

    fn path(&self, program: Program) -> &str {
        match program {
            Program::Gost => &self.gost,
            Program::Base => self.base.as_deref().expect("only with ADIT_BASE"),
            Program::Adit | Program::Relay => &self.adit,
        }
    }
}

const fn of(name: &'static str, program: Program, transport: &'static str) -> Contender {
    Contender { name, program, transport }
}

/// The columns.
pub const CONTENDERS: &[Contender] = &[
    of("relay", Program::Relay, ""),
    of("adit ws", Program::Adit, "ws"),
    of("adit mws", Program::Adit, "mws"),
    of("adit wss", Program::Adit, "wss"),
    of("base ws", Program::Base, "ws"),
    of("base mws", Program::Base, "mws"),
    of("base wss", Program::Base, "wss"),
    of("gost ws", Program::Gost, "ws"),
    of("gost mws", Program::Gost, "mws"),
];

const SERVER: u16 = 7001;
const CLIENT: u16 = 7002;

/// A running pair.
pub struct Pair {
    children: [Child; 2],
    pub entry: SocketAddr,
}

impl Drop for Pair {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Pair {
    /// Starts a pair that leads to `target`, on the CPUs of this thread.
    pub fn start(contender: &Contender, programs: &Programs, target: SocketAddr) -> Self {
        let entry = SocketAddr::from((Ipv4Addr::LOCALHOST, CLIENT));
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, SERVER));
        let children = match contender.program {
            Program::Relay => [relay(server, target), relay(entry, server)],
            program => {
                let program = programs.path(program);
                let url = format!("http+{}://{server}?path=/bench", contender.transport);
                let local = format!("tcp://{entry}/{target}");
                [
                    start(Command::new(program).args(["-L", &url])),
                    start(Command::new(program).args(["-L", &local, "-F", &url])),
                ]
            }
        };
        let pair = Self { children, entry };
        let deadline = Instant::now() + Duration::from_secs(10);
        while pair.ping().is_err() {
            assert!(Instant::now() < deadline, "{} does not tunnel", contender.name);
            thread::sleep(Duration::from_millis(20));
        }
        pair
    }

    /// A new connection, and one byte there and back.
    pub fn ping(&self) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.entry)?;
        stream.set_nodelay(true)?;
        stream.write_all(b"e")?;
        stream.read_exact(&mut [0])?;
        Ok(stream)
    }

    /// CPU seconds of both so far, from the scheduler's nanoseconds of every thread.
    pub fn cpu(&self) -> f64 {
        self.tasks("schedstat", |text| text.split(' ').next()?.parse().ok()) / 1e9
    }

    /// How often a thread of both went to sleep so far: one for each wake-up.
    pub fn sleeps(&self) -> f64 {
        self.tasks("status", |text| {
            field(text, "voluntary_ctxt_switches:").and_then(|count| count.parse().ok())
        })
    }

    fn tasks(&self, file: &str, read: impl Fn(&str) -> Option<f64>) -> f64 {
        let of = |child: &Child| -> f64 {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
            let texts = tasks
                .map_while(Result::ok)
                .filter_map(|task| std::fs::read_to_string(task.path().join(file)).ok());
            texts.filter_map(|text| read(&text)).sum()
        };
        self.children.iter().map(of).sum()
    }

    /// Resident KiB of the process that has more.
    pub fn resident(&self) -> f64 {
        self.memory("VmRSS:")
    }

    /// The most that it ever was.
    pub fn resident_at_most(&self) -> f64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> f64 {
        let of = |child: &Child| -> f64 {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            field(&status, name).and_then(|text| text.parse().ok()).unwrap()
        };
        self.children.iter().map(of).fold(0.0, f64::max)
    }
}

/// Runs `work` with everything that it starts on the last CPU.
pub fn on_last_cpu(work: impl FnOnce() + Send) {
    let last = thread::available_parallelism().unwrap().get() - 1;
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut cpus = CpuSet::new();
            cpus.set(last);
            sched_setaffinity(None, &cpus).unwrap();
            work();
        });
    });
}

/// The first word behind a name at the beginning of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()
}

fn relay(listen: SocketAddr, target: SocketAddr) -> Child {
    let own = std::env::current_exe().unwrap();
    start(Command::new(own).env(relay::ROLE, format!("{listen} {target}")))
}

fn start(command: &mut Command) -> Child {
    command.env("GOST_LOGGER_LEVEL", "error").env("ADIT_LOG_LEVEL", "error");
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
