//! Ports at nodes: the rules of failover are those of targets.

use super::*;
use crate::config::model::RelayConnectorConfig;

/// Relay nodes: a host's name says what becomes of a request to listen.
#[derive(Default)]
struct Nodes(World);

impl Dial for Nodes {
    fn dial<'a>(&'a self, request: DialRequest<'a>) -> Dialing<'a> {
        let host = request.target.host.as_ref().map(ToString::to_string).unwrap_or_default();
        if host.starts_with("refuses") || host.starts_with("hangs") {
            return self.0.dial(request);
        }
        self.0.dialled.lock().push(host.clone());
        let (near, mut far) = duplex(1024);
        #[allow(clippy::disallowed_methods, reason = "a test's task")]
        tokio::spawn(async move {
            far.read_exact(&mut [0; 16]).await.unwrap();
            let answer: &[u8] = match host.as_str() {
                "mute" => pending().await,
                "dies" => return,
                "says-no" => b"\x01\x03\0\0",
                _ => b"\x01\0\0\0",
            };
            far.write_all(answer).await.unwrap();
            pending::<()>().await;
        });
        Box::pin(async move { Ok(Box::new(near) as BoxIo) })
    }
}

fn nodes(hosts: &str) -> (Route, Arc<Nodes>) {
    let mut hop = hop(hosts);
    for node in &mut hop.nodes {
        Arc::make_mut(node).connector = ConnectorConfig::Relay(RelayConnectorConfig::default());
    }
    let world = Arc::new(Nodes::default());
    (built_in(vec![hop], world.clone()).unwrap().0, world)
}

#[tokio::test(start_paused = true)]
async fn a_port_is_had_at_the_next_node_when_one_fails() {
    let (route, world) = nodes("refuses hangs mute dies well");
    let addr = ":2222".parse().unwrap();
    let started = Instant::now();
    let bound = route.bind(&addr).await.ok().unwrap();
    assert_eq!(bound.node, "hop/well");
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(world.0.dialled(), "refuses hangs mute dies well");
    // From now on they are left alone.
    assert!(route.bind(&addr).await.is_ok());
    assert_eq!(world.0.dialled(), "well");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_listen_has_answered() {
    let (route, world) = nodes("says-no well");
    let error = route.bind(&":2222".parse().unwrap()).await.err().unwrap();
    assert_eq!(error.to_string(), "node hop/says-no, asked to listen on :2222");
    assert_eq!(error.label(), "proxy");
    assert_eq!(world.0.dialled(), "says-no");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_for_a_port_ends_with_the_dial_timeout() {
    let (route, _) = nodes("mute hangs1 mute hangs2");
    let started = Instant::now();
    assert!(route.bind(&":2222".parse().unwrap()).await.is_err());
    assert!(started.elapsed() <= Duration::from_secs(15), "{:?}", started.elapsed());
}
