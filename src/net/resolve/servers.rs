//! Name servers of the configuration.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts,
    ResolverConfig as HickoryConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use parking_lot::Mutex;

use super::told;
use crate::base::Host;
use crate::config::model::{Nameserver, Prefer, ResolverConfig};

/// Answers that one name server's cache holds.
const CACHE: u64 = 1024;

/// The resolvers that are in use, each with its caches. One lives as long as its configuration.
#[derive(Default)]
pub(super) struct Servers(Mutex<Vec<Known>>);

/// A configuration and what was built from it.
type Known = (Weak<ResolverConfig>, Arc<[Server]>);

/// A name server, or why it cannot be asked.
type Server = Result<TokioResolver, String>;

impl Servers {
    /// Asks one server after the other; a name is taken as it is.
    pub(super) async fn resolve(
        &self,
        config: &Arc<ResolverConfig>,
        name: &str,
    ) -> Result<Vec<IpAddr>, String> {
        let name = format!("{}.", name.trim_end_matches('.'));
        let mut last = "there is no name server".to_string();
        for server in self.of(config).iter() {
            let server = match server {
                Ok(server) => server,
                Err(cause) => {
                    last.clone_from(cause);
                    continue;
                }
            };
            match server.lookup_ip(name.as_str()).await {
                Ok(found) if found.iter().next().is_some() => return Ok(found.iter().collect()),
                Ok(_) => last = "the name has no address".into(),
                Err(e) => last = told(&e),
            }
        }
        Err(last)
    }

    fn of(&self, config: &Arc<ResolverConfig>) -> Arc<[Server]> {
        let mut known = self.0.lock();
        known.retain(|(config, _)| config.strong_count() > 0);
        let same = |weak: &Weak<ResolverConfig>| std::ptr::eq(weak.as_ptr(), Arc::as_ptr(config));
        if let Some((_, servers)) = known.iter().find(|(weak, _)| same(weak)) {
            return servers.clone();
        }
        let servers: Arc<[Server]> = config.nameservers.iter().map(server).collect();
        known.push((Arc::downgrade(config), servers.clone()));
        servers
    }
}

fn server(config: &Nameserver) -> Server {
    let Some(Host::Ip(ip)) = config.addr.host else {
        return Err(format!("the name server {} is not an IP address", config.addr));
    };
    let mut connection = if config.tcp { ConnectionConfig::tcp() } else { ConnectionConfig::udp() };
    connection.port = config.addr.port;
    let server = NameServerConfig::new(ip, true, vec![connection]);
    let servers = HickoryConfig::from_parts(None, vec![], vec![server]);
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(servers, provider);
    let options = builder.options_mut();
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = config.timeout;
    options.attempts = 1;
    options.ip_strategy = match config.prefer {
        Prefer::Ipv4First => LookupIpStrategy::Ipv4thenIpv6,
        Prefer::Ipv6First => LookupIpStrategy::Ipv6thenIpv4,
        Prefer::Ipv4Only => LookupIpStrategy::Ipv4Only,
        Prefer::Ipv6Only => LookupIpStrategy::Ipv6Only,
    };
    options.cache_size = CACHE;
    match config.ttl {
        Some(Duration::ZERO) => options.cache_size = 0,
        ttl => (options.positive_min_ttl, options.positive_max_ttl) = (ttl, ttl),
    }
    builder.build().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UdpSocket};

    use super::*;

    /// The answer to a query: one IPv4 address for every name. RFC 1035 4.1: the header, the question,
    /// then an answer that points at its name.
    fn answer(query: &[u8]) -> Vec<u8> {
        let end = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 5;
        let is_a = query[end - 3] == 1;
        let mut answer = query[..end].to_vec();
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
        if is_a {
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 8, 7]);
        }
        answer
    }

    /// A name server that knows one IPv4 address for every name, and how often it was asked.
    #[allow(clippy::disallowed_methods, reason = "a test's name server")]
    async fn one_address() -> (std::net::SocketAddr, tokio::sync::watch::Receiver<u32>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let (asked, times) = tokio::sync::watch::channel(0);
        #[allow(clippy::disallowed_methods, reason = "a test's task")]
        tokio::spawn(async move {
            let mut packet = [0; 512];
            while let Ok((len, peer)) = socket.recv_from(&mut packet).await {
                asked.send_modify(|times| *times += 1);
                socket.send_to(&answer(&packet[..len]), peer).await.unwrap();
            }
        });
        (addr, times)
    }

    /// The same over TCP, where each message has its length before it (4.2.2).
    #[allow(clippy::disallowed_methods, reason = "a test's name server")]
    async fn one_address_over_tcp() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        #[allow(clippy::disallowed_methods, reason = "a test's task")]
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(len) = stream.read_u16().await {
                        let mut query = vec![0; usize::from(len)];
                        stream.read_exact(&mut query).await.unwrap();
                        let answer = answer(&query);
                        stream.write_u16(answer.len() as u16).await.unwrap();
                        stream.write_all(&answer).await.unwrap();
                    }
                });
            }
        });
        addr
    }

    fn config(addr: std::net::SocketAddr, ttl: Option<Duration>) -> Arc<ResolverConfig> {
        let server = Nameserver {
            addr: addr.to_string().parse().unwrap(),
            tcp: false,
            prefer: Prefer::Ipv4First,
            timeout: Duration::from_secs(5),
            ttl,
        };
        Arc::new(ResolverConfig { nameservers: vec![server] })
    }

    #[tokio::test]
    async fn a_configured_name_server_is_asked_and_its_answer_kept() {
        let (addr, times) = one_address().await;
        let servers = Servers::default();
        let expected = Ok(vec![IpAddr::from([10, 9, 8, 7])]);
        let kept = config(addr, Some(Duration::from_secs(60)));
        for _ in 0..3 {
            assert_eq!(servers.resolve(&kept, "db.corp").await, expected);
        }
        assert_eq!(*times.borrow(), 1);
        drop(kept);
        let not_kept = config(addr, Some(Duration::ZERO));
        for _ in 0..3 {
            assert_eq!(servers.resolve(&not_kept, "db.corp").await, expected);
        }
        assert_eq!(*times.borrow(), 4);
        assert_eq!(servers.0.lock().len(), 1, "who is gone is forgotten");
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "a test's name server")]
    async fn a_name_server_over_tcp_is_asked_when_the_one_before_it_is_dead() {
        // Bound, and nobody answers.
        let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = |addr: std::net::SocketAddr, tcp| Nameserver {
            addr: addr.to_string().parse().unwrap(),
            tcp,
            prefer: Prefer::Ipv4First,
            timeout: Duration::from_millis(100),
            ttl: None,
        };
        let nameservers = vec![
            server(dead.local_addr().unwrap(), false),
            server(one_address_over_tcp().await, true),
        ];
        let config = Arc::new(ResolverConfig { nameservers });
        let found = Servers::default().resolve(&config, "db.corp").await;
        assert_eq!(found, Ok(vec![IpAddr::from([10, 9, 8, 7])]));
    }
}
