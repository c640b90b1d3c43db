//! A client of the tunnel, and what it asks for at the other end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncRead, AsyncWriteExt};

use crate::base::{Host, Network, Origin, ServiceKey, Target};
use crate::config::cmdline;
use crate::config::lower::{LowerContext, lower};
use crate::config::model::{ChainConfig, Names};
use crate::config::secrets::Secrets;
use crate::io::{AsyncIo, read_wire};
use crate::metrics::Metrics;
use crate::net::dial::Dialer;
use crate::net::guard::Guard;
use crate::net::resolve::{Resolver, Search};
use crate::proto::http1::ResponseHead;
use crate::route::{Ask, Route, RouteContext, To};

/// For the way, and for the answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest answer.
const LONGEST: usize = 16 << 10;

/// The request. Who has no password is told the realm.
const REQUEST: &[u8] = b"GET http://selftest.invalid/ HTTP/1.1\r\nHost: selftest.invalid\r\n\r\n";

/// A way through the tunnel to a port of its own object.
pub(super) struct Passage<'a> {
    /// The tunnel as a value of `-F`.
    pub(super) url: String,
    /// The port behind it.
    pub(super) port: u16,
    /// What it says.
    pub(super) word: &'a str,
}

impl Passage<'_> {
    /// Goes there and back.
    ///
    /// # Errors
    /// Where it ended: the front Service, the WebSocket, the proxy, the port behind it.
    pub(super) async fn go(&self) -> anyhow::Result<()> {
        let chain = self.chain()?;
        let route = Route::through(&chain, &Names::default(), Some(PATIENCE), context()?)?;
        let loopback = Host::Ip(Ipv4Addr::LOCALHOST.into());
        let target = Target { host: Some(loopback), port: self.port };
        let ask = Ask {
            network: Network::Tcp,
            to: To::Target(&target),
            client: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            user: None,
        };
        let mut stream = AsyncIo::new(route.connect(&ask).await?);
        stream.write_all(REQUEST).await.context("the request was not sent")?;
        stream.flush().await.context("the request was not sent")?;
        self.answer(&mut stream).await
    }

    async fn answer(&self, stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<()> {
        let answer = tokio::time::timeout(PATIENCE, read_wire::<ResponseHead>(stream, LONGEST));
        let Ok(answer) = answer.await else { bail!("no answer in {PATIENCE:?}") };
        let head = answer.context("no answer")?.value;
        let asked = head.headers.get("proxy-authenticate").unwrap_or_default();
        let is_ours = head.status == 407 && asked.contains(self.word);
        ensure!(is_ours, "somebody else answered: status {}", head.status);
        Ok(())
    }

    /// The tunnel as the one hop of a chain.
    fn chain(&self) -> anyhow::Result<Arc<ChainConfig>> {
        let line = cmdline::parse(&["http://127.0.0.1:0".into()], std::slice::from_ref(&self.url))?;
        let secrets = Secrets::default();
        let lowered = lower(&line.config, &LowerContext::files("default", &secrets))?;
        let service = lowered.services.into_iter().next().context("no service was made")?;
        Ok(service.chain)
    }
}

fn context() -> anyhow::Result<RouteContext> {
    let (origin, resolver) = (Origin::Files, Resolver::new(Search::System));
    let metrics = Metrics::new()?.service(&ServiceKey::new(origin.clone(), "selftest"));
    let dialer = Arc::new(Dialer::new(resolver, Arc::new(Guard::off())));
    let (clients, memory) = Default::default();
    Ok(RouteContext { origin, dialer, metrics, clients, memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(answer: &str) -> Result<(), String> {
        let passage = Passage { url: String::new(), port: 1, word: "open-sesame" };
        let outcome = passage.answer(&mut answer.as_bytes()).await;
        outcome.map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn only_the_word_of_this_run_is_an_answer() {
        let says = |status: &str, realm: &str| {
            format!("HTTP/1.1 {status} X\r\nProxy-Authenticate: Basic realm=\"{realm}\"\r\n\r\n")
        };
        assert_eq!(told(&says("407", "open-sesame")).await, Ok(()));
        for answer in
            [says("407", "gost"), says("200", "open-sesame"), "HTTP/1.1 404 X\r\n\r\n".into()]
        {
            assert!(told(&answer).await.unwrap_err().contains("somebody else"), "{answer}");
        }
        assert!(told("HTTP/1.1 4").await.unwrap_err().contains("no answer"));
    }

    #[test]
    fn the_tunnel_is_a_hop() {
        let url = "http+ws://selftest:p@h:80?path=/x".to_string();
        let chain = Passage { url, port: 1, word: "" }.chain().unwrap();
        assert_eq!(chain.hops.len(), 1);
        assert_eq!(chain.hops[0].nodes[0].addr.to_string(), "h:80");
    }
}
