//! A forwarder: several targets, of which one is chosen for each stream.

use std::net::SocketAddr;

use tokio::time::timeout;

use super::request::Request;
use super::select::{By, Candidate, Choice, Hashed};
use super::share::Deadline;
use super::{Ask, Route, RouteError, To};
use crate::base::{Network, Target};
use crate::config::model::{ForwardConfig, ForwardNodeConfig, Standing};
use crate::io::BoxIo;

/// The targets of a service and how they fare. The same rules as for the nodes of a chain.
pub struct Forwarder(Choice<ForwardNodeConfig>);

/// What a client asks a forwarder for: an [`Ask`] without a target.
#[derive(Clone, Copy, Debug)]
pub struct ForwardAsk<'a> {
    /// Streams or datagrams.
    pub network: Network,
    /// Who asks.
    pub client: SocketAddr,
    /// The user that the client proved to be.
    pub user: Option<&'a str>,
}

impl Candidate for ForwardNodeConfig {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn passed_by(&self, by: &By<'_>) -> bool {
        by.verdicts.matches(&self.bypasses, by.network, &self.target)
    }
}

impl Forwarder {
    /// Nothing has failed yet.
    pub fn new(config: &ForwardConfig) -> Self {
        Self(Choice::new(config.selector.clone(), config.nodes.clone()))
    }

    /// A stream to one of the targets, and which one. A target that fails gives its place to the
    /// next one; while there is one it has its share of the dial timeout.
    ///
    /// # Errors
    /// [`RouteError`] of the last target that was tried, and which one that was.
    pub async fn connect(
        &self,
        route: &Route,
        ask: &ForwardAsk<'_>,
    ) -> Result<(Target, BoxIo), (Option<Target>, RouteError)> {
        let until = Deadline::after(route.within);
        let request = Request::new(&route.origin, Some(ask.client));
        let mut order = self.order(ask, &request).into_iter();
        let mut last = (None, RouteError::NoTarget);
        while let Some(index) = order.next() {
            let Some(node) = self.0.node(index) else { continue };
            let ForwardAsk { network, client, user } = *ask;
            let ask = Ask { network, to: To::Target(&node.target), client, user };
            let slow = || RouteError::Slow { node: node.name.clone() };
            let result = match order.len() {
                // The route has its own limits.
                0 => route.connect_for(&request, &ask).await,
                others => timeout(until.share(others).left(), route.connect_for(&request, &ask))
                    .await
                    .unwrap_or_else(|_| Err(slow())),
            };
            match result {
                Err(RouteError::Dials) => break,
                Ok(io) => {
                    self.told(route, index, node, None);
                    return Ok((node.target.clone(), io));
                }
                Err(error) => {
                    self.told(route, index, node, Some(error.label()));
                    last = (Some(node.target.clone()), error);
                }
            }
            if until.passed() {
                break;
            }
        }
        Err(last)
    }

    fn order(&self, ask: &ForwardAsk<'_>, request: &Request) -> Vec<usize> {
        let hash = ask.user.map_or(Hashed::Client(ask.client.ip()), Hashed::User);
        let verdicts = &request.verdicts;
        self.0.order(&By { network: ask.network, target: None, hash, verdicts })
    }

    fn told(
        &self,
        route: &Route,
        index: usize,
        node: &ForwardNodeConfig,
        failure: Option<&'static str>,
    ) {
        route.metrics.node_dial(&node.name, failure.unwrap_or("ok"));
        let service = route.metrics.key();
        match failure {
            None if self.0.succeeded(index) => {
                tracing::warn!(%service, node = node.name, to = %node.target, "the target is back");
            }
            Some(reason) if self.0.failed(index) => {
                tracing::warn!(
                    %service, node = node.name, to = %node.target, reason, "the target has failed"
                );
            }
            _ => {}
        }
    }
}
