//! Remote port forwarding beside gost: who asks for the port, and who has it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::ends::{Adit, BOTH_ROLES, End, listening};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::stream::{Noise, echo, hash, target};
use crate::support::wait::eventually;

const MEBIBYTE: usize = 1 << 20;

/// How long any read may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// One client that has a port at one server.
struct Remote {
    /// The port that the server has.
    port: u16,
    url: String,
    server: End,
    running: Option<Process>,
    /// `None`: it was ended.
    client: Option<Process>,
}

impl Remote {
    /// `scheme`: of the tunnel; `host`: where the port is to be.
    fn start((client, server): (End, End), scheme: &str, host: &str, target: SocketAddr) -> Self {
        let (at, port) = (ports::free(), ports::free());
        let url = format!("{scheme}://127.0.0.1:{at}?path=/x");
        let mut remote = Self { port, url: url.clone(), server, running: None, client: None };
        remote.serve();
        let asks = format!("rtcp://{host}:{port}/{target}");
        remote.client = Some(client.start(&["-L".into(), asks, "-F".into(), url]));
        listening(port);
        remote
    }

    fn serve(&mut self) {
        let url = format!("{}&bind=true", self.url);
        self.running = Some(self.server.start(&["-L".into(), url]));
        let at = self.url.rsplit(':').next().and_then(|rest| rest.split('?').next()).unwrap();
        listening(at.parse().unwrap());
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Whether what is sent comes back, both at once and the stream open until then: gost's smux
    /// streams know no half-close.
    fn echoes(&self, len: usize) {
        let mut stream = self.connect();
        let mut sending = stream.try_clone().unwrap();
        let sender = thread::spawn(move || {
            std::io::copy(&mut Noise::new(len), &mut sending).unwrap();
        });
        let back = hash(&mut (&mut stream).take(len as u64));
        sender.join().unwrap();
        assert_eq!(back, hash(&mut Noise::new(len)), "what came back is not what was sent");
    }

    /// Whether a byte comes back at all.
    fn works(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"x").is_ok() && matches!(stream.read(&mut [0]), Ok(1))
    }
}

fn forwards(scheme: &str) {
    for roles in BOTH_ROLES.into_iter().chain([(Adit, Adit)]) {
        let said = |what: &str| eprintln!("{scheme} from {:?} to {:?}: {what}", roles.0, roles.1);
        let mut remote = Remote::start(roles, scheme, "127.0.0.1", echo());

        said("1 MiB each way arrives whole");
        remote.echoes(MEBIBYTE);

        said("fifty at once");
        thread::scope(|scope| {
            let streams: Vec<_> =
                (0..50).map(|_| scope.spawn(|| remote.echoes(MEBIBYTE / 16))).collect();
            streams.into_iter().for_each(|stream| stream.join().unwrap());
        });

        said("a server that is started again has the port again");
        remote.running = None;
        eventually("the port is gone", PATIENCE, || !ports::listens(remote.port));
        remote.serve();
        eventually("the port is back", PATIENCE, || remote.works());
        remote.echoes(MEBIBYTE);
    }
}

#[test]
fn relay_over_mws() {
    forwards("relay+mws");
}

#[test]
fn socks5_over_mws() {
    forwards("socks5+mws");
}

#[test]
fn relay_over_ws() {
    forwards("relay+ws");
}

#[test]
fn relay_over_wss() {
    forwards("relay+wss");
}

#[test]
fn socks5_over_ws() {
    forwards("socks5+ws");
}

#[test]
fn a_port_without_a_host_is_one_of_every_address() {
    for roles in BOTH_ROLES {
        for scheme in ["relay+mws", "socks5+mws"] {
            let remote = Remote::start(roles, scheme, "", echo());
            remote.echoes(MEBIBYTE / 16);
            assert!(TcpStream::connect(("::1", remote.port)).is_ok(), "{scheme} {roles:?}");
        }
    }
}

#[test]
fn version_2_of_the_multiplexing_is_the_port_s_too() {
    for roles in BOTH_ROLES {
        let (at, port) = (ports::free(), ports::free());
        let url = format!("relay+mws://127.0.0.1:{at}?path=/x&mux.version=2");
        let _server = roles.1.start(&["-L".into(), format!("{url}&bind=true")]);
        listening(at);
        let asks = format!("rtcp://127.0.0.1:{port}/{}", echo());
        let client = Some(roles.0.start(&["-L".into(), asks, "-F".into(), url.clone()]));
        listening(port);
        let remote = Remote { port, url, server: roles.1, running: None, client };
        remote.echoes(MEBIBYTE);
    }
}

#[test]
fn a_target_that_speaks_first_is_heard() {
    for roles in BOTH_ROLES {
        let greets = target(|mut stream| {
            let _ = stream.write_all(b"SSH-2.0-x\r\n");
            let _ = stream.read(&mut [0]);
        });
        let remote = Remote::start(roles, "relay+mws", "127.0.0.1", greets);
        let mut greeting = [0; 11];
        remote.connect().read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"SSH-2.0-x\r\n", "{roles:?}");
    }
}

#[test]
fn the_port_goes_with_its_client() {
    for roles in BOTH_ROLES.into_iter().chain([(Adit, Adit)]) {
        let mut remote = Remote::start(roles, "relay+mws", "127.0.0.1", echo());
        let mut open = remote.connect();
        open.write_all(b"x").unwrap();
        open.read_exact(&mut [0]).unwrap();
        remote.client = None;
        assert!(matches!(open.read(&mut [0]), Ok(0) | Err(_)), "{roles:?}");
        eventually("nobody listens", PATIENCE, || !ports::listens(remote.port));
    }
}

#[test]
fn a_server_without_bind_refuses_and_adit_says_so() {
    for (client, server) in BOTH_ROLES {
        for scheme in ["relay+mws", "socks5+mws"] {
            let (at, port) = (ports::free(), ports::free());
            let url = format!("{scheme}://127.0.0.1:{at}?path=/x");
            let server_process = server.start(&["-L".into(), url.clone()]);
            listening(at);
            let asks = format!("rtcp://127.0.0.1:{port}/{}", echo());
            let client_process = client.start(&["-L".into(), asks, "-F".into(), url]);
            match client {
                Adit => client_process.prints("`bind=true`"),
                _ => server_process.prints("is switched off"),
            }
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        }
    }
}
