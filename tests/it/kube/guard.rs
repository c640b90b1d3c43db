//! Where tunnels do not get to, and how much one tenant can have.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};

use super::adversary::neighbour::{frame, head, payload};
use super::classes::Mount;
use super::controller::{Controller, metric, spec};
use super::fleet::Fleet;
use super::traffic::{Gost, Tunnel, echo};
use crate::support::cluster::{Cluster, OPEN_CLASSES};
use crate::support::process::Process;
use crate::support::wait::eventually;
use crate::support::{http, ports};

/// The status of a CONNECT; without what comes after it if that is nothing.
fn connect(proxy: SocketAddr, target: &str) -> String {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    let read = stream.read_exact(&mut answer);
    assert!(read.is_ok(), "no answer for {target}: {read:?}");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    // gost says 200 before it has heard from a relay: then the end follows.
    let mut rest = Vec::new();
    let cut = answer.ends_with("200") && stream.read_to_end(&mut rest).is_ok();
    if cut && rest.ends_with(b"\r\n\r\n") { "cut".into() } else { answer }
}

/// The code of a SOCKS5 reply to CONNECT.
fn socks(proxy: SocketAddr, target: &str) -> u8 {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (host, port) = target.rsplit_once(':').unwrap();
    let mut request = vec![5, 1, 0, 5, 1, 0];
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => request.extend([&[1][..], &ip.octets()].concat()),
        Ok(IpAddr::V6(ip)) => request.extend([&[4][..], &ip.octets()].concat()),
        Err(_) => request.extend([&[3, host.len() as u8][..], host.as_bytes()].concat()),
    }
    request.extend(port.parse::<u16>().unwrap().to_be_bytes());
    stream.write_all(&request).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    answer[3]
}

#[test]
fn no_protocol_leads_a_tenant_to_where_only_the_controller_is() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("guarded");
    let fleet = Fleet::start(cluster, &[&ns], 2);
    let (here, there) = (&fleet.replicas[0], &fleet.replicas[1]);
    let tcp = |name: &str, port: u16, handler: Value| {
        json!({"name": name, "addr": format!(":{port}"), "hosts": "h", "handler": handler,
            "listener": {"type": "tcp"}})
    };
    let to = |target: &str| json!({"nodes": [{"name": "n", "addr": target}]});
    let forward = {
        let mut service = tcp("forward", 1504, json!({"type": "tcp"}));
        service["forwarder"] = to("169.254.169.254:80");
        service
    };
    let udp = json!({"name": "udp", "addr": ":1505", "handler": {"type": "udp"},
        "listener": {"type": "udp"}, "forwarder": to("169.254.169.254:53")});
    let other = SocketAddr::from((there.host.addr, 8080)).to_string();
    let node = json!({"name": "gw", "addr": other, "connector": {"type": "http"}, "dialer": {"type": "tcp"}});
    let spec = json!({
        "services": [
            tcp("http", 1501, json!({"type": "http"})),
            tcp("socks", 1502, json!({"type": "socks5"})),
            tcp("relay", 1503, json!({"type": "relay"})),
            forward,
            udp,
            tcp("chain", 1506, json!({"type": "http", "chain": "c"})),
        ],
        "chains": [{"name": "c", "hops": [{"name": "h", "nodes": [node]}]}],
        "hosts": [{"name": "h", "mappings": [{"ip": "169.254.169.254", "hostname": "innocent.example"}]}],
    });
    cluster.put(&ns, "t", spec);
    cluster.becomes(&ns, "t", "Ready", "True/Ready");
    let at = |port: u16| SocketAddr::from((here.host.addr, port));
    let denied = |service: &str, reason: &str| {
        let labels = [&*format!("service=\"{service}\""), &*format!("reason=\"{reason}\"")];
        here.metric("adit_egress_denied_total", &labels)
    };
    let api_server = format!("{}:443", fleet.gateway());
    let relay = Gost::client(&format!("relay://{}?nodelay=true", at(1503)));
    let targets = [
        ("127.0.0.1:80", "loopback"),
        ("[::1]:80", "loopback"),
        ("[::ffff:127.0.0.1]:80", "loopback"),
        ("0.0.0.0:9180", "unspecified"),
        ("169.254.169.254:80", "metadata"),
        ("[::ffff:169.254.169.254]:80", "metadata"),
        ("innocent.example:80", "metadata"),
        (&*api_server, "listed"),
        (&*other, "own"),
        (&*format!("{}:9180", here.host.addr), "own"),
    ];
    // The address of the other replica is known once its Pod was seen.
    eventually("the other replica is off limits", Duration::from_secs(10), || {
        socks(at(1502), &other) != 0 && denied("socks", "own") > 0.0
    });
    for (target, reason) in targets {
        for service in ["http", "socks", "relay"] {
            let before = denied(service, reason);
            let refused = match service {
                "http" => connect(at(1501), target),
                "socks" => socks(at(1502), target).to_string(),
                _ => connect(relay.proxy, target),
            };
            assert!(refused != "0" && !refused.ends_with("200"), "{service} {target}: {refused}");
            eventually(&format!("{service} counts {target}"), Duration::from_secs(5), || {
                denied(service, reason) > before
            });
        }
    }
    let _ = TcpStream::connect(at(1504)).unwrap().read(&mut [0]);
    assert!(denied("forward", "metadata") > 0.0);
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.send_to(b"x", at(1505)).unwrap();
    eventually("it is counted", Duration::from_secs(5), || denied("udp", "metadata") > 0.0);
    assert!(!connect(at(1506), "192.0.2.1:80").ends_with("200"));
    assert!(denied("chain", "own") > 0.0);
}

/// Answers questions for IPv4 addresses with one of these and then the other, each for no time at all.
fn two_faced(socket: UdpSocket, answers: [Ipv4Addr; 2]) {
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        let mut asked = 0;
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            let mut answer = buffer[..n].to_vec();
            // A response, recursion available, without the additional records of the question.
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[10..12].fill(0);
            let end = 12 + answer[12..].iter().position(|b| *b == 0).unwrap() + 5;
            answer.truncate(end);
            if answer[end - 4..end - 2] == [0, 1] {
                answer[6..8].copy_from_slice(&[0, 1]);
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                answer.extend(answers[asked % 2].octets());
                asked += 1;
            }
            let _ = socket.send_to(&answer, from);
        }
    });
}

#[test]
fn a_name_whose_answer_changes_between_check_and_dial_leads_nowhere_else() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("rebound");
    let fleet = Fleet::start(cluster, &[&ns], 1);
    let (here, elsewhere) = (&fleet.replicas[0], fleet.lan.host());
    let (IpAddr::V4(good), IpAddr::V4(bad)) = (elsewhere.addr, here.host.addr) else {
        panic!("the hosts have IPv4 addresses")
    };
    two_faced(elsewhere.take_udp(53), [good, bad]);
    let listener = elsewhere.take(9180);
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.write_all(b"good");
        }
    });
    cluster.put(
        &ns,
        "t",
        json!({
            "services": [{"name": "http", "addr": ":1501", "resolver": "r",
                "handler": {"type": "http"}, "listener": {"type": "tcp"}}],
            "resolvers": [{"name": "r", "nameservers": [{"addr": format!("udp://{good}:53")}]}],
        }),
    );
    cluster.becomes(&ns, "t", "Ready", "True/Ready");
    let proxy = SocketAddr::from((here.host.addr, 1501));
    let (mut reached, mut refused) = (0, 0);
    for n in 0..40 {
        let name = format!("n{n}.two-faced.example:9180");
        let mut stream = TcpStream::connect(proxy).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n\r\n").unwrap();
        // The controller's own admin port is the other address: it would answer this.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(!answer.contains("adit_"), "{answer}");
        match answer.starts_with("HTTP/1.1 200") {
            true => {
                assert!(answer.ends_with("good"), "{answer}");
                reached += 1;
            }
            false => refused += 1,
        }
    }
    assert!(reached > 0 && refused > 0, "{reached} {refused}");
    let labels = [&*format!("namespace=\"{ns}\""), "reason=\"own\""];
    assert_eq!(here.metric("adit_egress_denied_total", &labels), f64::from(refused));
}

#[test]
fn what_is_behind_the_service_of_the_api_server_is_off_limits() {
    let cluster = Cluster::start();
    let ns = cluster.namespace("behind");
    let slices = ["get", "endpointslices", "-n", "default", "-o", "jsonpath={..addresses[0]}"];
    let mut addresses = String::new();
    eventually("the API server says where it is", Duration::from_secs(20), || {
        addresses = cluster.kubectl(&slices).unwrap_or_default();
        !addresses.is_empty()
    });
    let (front, admin) = (ports::free(), ports::free());
    let process = Process::adit(&[
        "controller".to_string(),
        format!("--kubeconfig={}", cluster.controller_kubeconfig().display()),
        format!("--front-http=:{front}"),
        format!("--admin=127.0.0.1:{admin}"),
        OPEN_CLASSES.to_string(),
        "--log-format=text".into(),
    ]);
    let admin = SocketAddr::from(([127, 0, 0, 1], admin));
    eventually("it is ready", Duration::from_secs(20), || {
        http::get(admin, "/readyz").is_ok_and(|response| response.status == 200)
    });
    cluster.put(&ns, "t", spec(&format!(":{front}"), "/x", &[]));
    cluster.becomes(&ns, "t", "Ready", "True/Ready");
    let gost = Gost::client(&format!("ws://127.0.0.1:{front}?path=/x"));
    let ip: IpAddr = addresses.split_whitespace().next().unwrap().parse().unwrap();
    let target = SocketAddr::from((ip, 1)).to_string();
    eventually("it is denied", Duration::from_secs(10), || {
        assert!(!connect(gost.proxy, &target).ends_with("200"));
        metric(admin, "adit_egress_denied_total", &["reason=\"listed\""]) > 0.0
    });
    assert_eq!(metric(admin, "adit_kube_denied_total", &[]), 0.0);
    drop(process);
}

/// An upgraded connection that asks for nothing.
fn upgraded(front: u16, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", front)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: any\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    stream
}

#[test]
fn a_tenant_at_its_limits_takes_nothing_from_a_neighbour() {
    const TRIED: usize = 20_000;
    let cluster = Cluster::shared();
    let (greedy, neighbour) = (cluster.namespace("greedy"), cluster.namespace("neighbour"));
    let limits = "classes: [{name: adit, default: true, namespaces: {all: true}, \
                  requireAuth: false, limits: {connectionsPerTunnel: 400, connectionsPerNamespace: 500}}]";
    let mount = Mount::new(limits);
    let classes = format!("--classes={}", mount.file().display());
    let controller =
        Controller::launch(&cluster.controller_kubeconfig(), &[&greedy, &neighbour], &[&classes]);
    controller.is_ready();
    for (namespace, name) in [(&greedy, "one"), (&greedy, "two"), (&neighbour, "good")] {
        cluster.put(namespace, name, controller.spec(&format!("/{name}"), &[]));
        cluster.becomes(namespace, name, "Ready", "True/Ready");
    }
    let refused = |namespace: &str, kind: &str| {
        let labels = [&*format!("namespace=\"{namespace}\""), &*format!("kind=\"{kind}\"")];
        controller.metric("adit_limiter_rejections_total", &labels)
    };
    let memory = || controller.metric("process_resident_memory_bytes", &[]);
    let good = Gost::client(&format!("ws://127.0.0.1:{}?path=/good", controller.front));
    let target = echo();
    let mut open = Tunnel::open(good.proxy, target);
    open.exchange(100_000);
    let idle = memory();
    // Those within the limits stay; they are the first of each tunnel.
    // A place is taken by a finished request.
    let asked = |path: &str| {
        let mut stream = upgraded(controller.front, path);
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        stream.write_all(&frame(request.as_bytes())).unwrap();
        stream
    };
    let accepted = |path: &str| {
        let mut stream = asked(path);
        head(&mut stream).unwrap();
        assert!(payload(&mut stream).unwrap().starts_with(b"HTTP/1.1 200 "));
        stream
    };
    let held: Vec<_> = (0..400).map(|_| accepted("/one")).collect();
    let more: Vec<_> = (0..100).map(|_| accepted("/two")).collect();
    let attack = |path: &str, attempts: usize| {
        for _ in 0..attempts {
            let _ = asked(path).read_to_end(&mut Vec::new());
        }
    };
    std::thread::scope(|scope| {
        let (beyond, rest) = (TRIED / 2 - 400, TRIED / 2 - 100);
        scope.spawn(move || attack("/one", beyond));
        scope.spawn(move || attack("/two", rest));
        for _ in 0..50 {
            Tunnel::open(good.proxy, target).exchange(1000);
        }
    });
    eventually("all the rest is refused and counted", Duration::from_secs(10), || {
        let counted =
            (refused(&greedy, "tunnel_connections"), refused(&greedy, "namespace_connections"));
        counted == ((TRIED / 2 - 400) as f64, (TRIED / 2 - 100) as f64)
    });
    let grown = memory() - idle;
    eprintln!("500 connections within the limits, {TRIED} tried: {grown} bytes more");
    assert!(grown < 500.0 * 65_536.0, "{grown} bytes more");
    open.exchange(100_000);
    for reason in ["tunnel_connections", "namespace_connections"] {
        assert_eq!(refused(&neighbour, reason), 0.0);
    }
    drop((held, more));
    let again = Gost::client(&format!("ws://127.0.0.1:{}?path=/one", controller.front));
    eventually("its places are free again", Duration::from_secs(20), || {
        http::connect_through(again.proxy, target).is_ok()
    });
}

#[test]
fn an_address_that_stalls_handshakes_on_a_front_port_starves_nobody() {
    let cluster = Cluster::shared();
    let ns = cluster.namespace("stalled");
    let controller = Controller::start(cluster, &[&ns]);
    cluster.put(&ns, "edge", controller.spec("/x", &[]));
    cluster.becomes(&ns, "edge", "Ready", "True/Ready");
    // More than the process has places for, from an address of their own.
    let stalled: Vec<_> = (0..1100)
        .filter_map(|_| {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 0, 9], 0)).into()).unwrap();
            socket.connect(&SocketAddr::from(([127, 0, 0, 1], controller.front)).into()).ok()?;
            let mut stream = TcpStream::from(socket);
            let _ = stream.write_all(b"GET /x HTTP/1.1\r\n");
            Some(stream)
        })
        .collect();
    for _ in 0..100 {
        assert_eq!(controller.knock("any", "/x"), 101);
    }
    drop(stalled);
}
