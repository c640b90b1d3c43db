//! Any command line means the same as a file, as a `WsTunnel`, as a file again, and as commands.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const LISTEN: &[&str] = &[
    "auto",
    "http",
    "socks5",
    "socks4",
    "relay",
    "ws",
    "wss",
    "mws",
    "mwss",
    "http+ws",
    "socks5+mwss",
    "relay+wss",
    "http+tls",
    "relay+tcp",
];
const PORT_FORWARDS: &[&str] = &["tcp", "udp", "forward+ws", "mwss", "relay+mws", "tls", "forward"];
const FORWARD: &[&str] = &[
    "http",
    "socks5",
    "socks4",
    "relay",
    "ws",
    "wss",
    "mws",
    "mwss",
    "tls",
    "relay+ws",
    "socks5+mwss",
    "forward+wss",
    "direct",
    "tcp",
];
const OF_LISTEN: &[&str] = &[
    "path=/x",
    "keepalive=true",
    "handler.keepalive=true",
    "ttl=5s",
    "idleTimeout=1m",
    "readTimeout=3",
    "udp=true",
    "mux.version=2",
    "listener.mux.maxFrameSize=1024",
    "dialTimeout=-1s",
    "proxyProtocol=1",
    "trustedProxies=10.0.0.0/8,::1",
    "backlog=9",
    "hash=host",
    "unknown=a%26b%3D%40",
    "retries=2",
    "admission=~10.0.0.0/8,::1",
    "bypass=a.com,*.b.com:80-90",
    "resolver=1.1.1.1,tcp://8.8.8.8",
    "hosts=a:1.2.3.4,b:::1",
    "limiter.in=1MB",
    "limiter.conn.out=2MB",
    "climiter=5",
    "rlimiter=2.5",
];
const OF_FORWARD: &[&str] = &[
    "path=/y%20z",
    "host=a.example",
    "keepalive=true",
    "ttl=5s",
    "timeout=3s",
    "connector.timeout=4s",
    "nodelay=true",
    "mux.version=2",
    "tcp.keepalive=true",
    "node.weight=3",
    "maxFails=3",
    "strategy=fifo",
    "bypass=~a.com",
    "resolver=1.1.1.1",
    "hosts=h:1.2.3.4",
    "unknown=x",
];

fn query(all: &'static [&'static str]) -> impl Strategy<Value = String> {
    subsequence(all, 0..6).prop_map(|parameters| match parameters.as_slice() {
        [] => String::new(),
        parameters => format!("?{}", parameters.join("&")),
    })
}

fn listen() -> impl Strategy<Value = String> {
    let user = select(&["", "u:p%20%3A@"][..]);
    let address = select(&[":1", "127.0.0.1:2", "[::1]:3"][..]);
    let proxy = (select(LISTEN), user, address.clone(), query(OF_LISTEN))
        .prop_map(|(scheme, user, address, query)| format!("{scheme}://{user}{address}{query}"));
    let targets = select(&["h:1", ":1", "[::1]:1,i:2", "h:1,i:2"][..]);
    let forward = (select(PORT_FORWARDS), address, targets, query(OF_LISTEN)).prop_map(
        |(scheme, address, targets, query)| format!("{scheme}://{address}/{targets}{query}"),
    );
    prop_oneof![proxy, forward]
}

fn forward() -> impl Strategy<Value = String> {
    let user = select(&["", "v:%2F%3F@"][..]);
    let address = select(&["h:1", ":8443", "h:1,i:2", "[::1]:3"][..]);
    (select(FORWARD), user, address, query(OF_FORWARD))
        .prop_map(|(scheme, user, address, query)| format!("{scheme}://{user}{address}{query}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_command_line_means_the_same_in_every_form(
        listen in vec(listen(), 1..4),
        forward in vec(forward(), 0..3),
    ) {
        let Ok(line) = cmdline::parse(&listen, &forward) else { return Ok(()) };
        let secrets = Secrets::default();
        let context = LowerContext::files("default", &secrets);
        let Ok(lowered) = lower(&line.config, &context) else { return Ok(()) };
        let services: Vec<_> = lowered.services.into_iter().map(nameless).collect();

        let (documents, _) = as_tunnel(&line.config, &WANTED);
        prop_assert_eq!(meant_by_tunnel(&documents), at_port(services.clone()));
        let (back, said) = and_back(&documents);
        let known = |line: &String| line.contains("kept for adit") || line.contains("gost binds");
        prop_assert!(said.iter().all(known), "{:?}", said);
        prop_assert_eq!(meant(&back), at_port(services.clone()));
        let text = serde_yaml::to_string(&line.config).unwrap();
        prop_assert_eq!(meant(&config(&text)), services.clone());

        // With one chain for all, the services of the one command are in order.
        for config in [&line.config, &back] {
            let (commands, services, said) = as_commands(config);
            prop_assert!(!said.iter().any(|l| l.contains("left out")), "{:?}\n{:?}", said, config);
            prop_assert_eq!(commands.len(), 1);
            prop_assert_eq!(services, meant(config));
        }
    }
}
