//! Ways for datagrams that each have their own destination.

use std::net::SocketAddr;

use super::Route;
use super::error::RouteError;
use super::walk::{Blame, Failed, Step, Walk};
use crate::base::{Host, ListenAddr, Network, Target};
use crate::config::model::{ConnectorConfig, Socks5ConnectorConfig};
use crate::connector::{self, ConnectError};
use crate::io::BoxIo;
use crate::io::datagrams::Controlled;
use crate::net::dial::{AssociateRequest, DialRequest};
use crate::net::udp::{Looking, Named};

impl Walk<'_> {
    /// An association of the last node, or of ours if there is none.
    pub(super) async fn associate(&self, longest: usize) -> Result<BoxIo, Failed> {
        let Some((last, step)) = self.asked(self.steps.len()) else {
            let port = self.route.port(None, longest);
            let nobody = |error| Failed { error, blame: Blame::Nobody };
            return port.map(|(packets, _)| packets).map_err(nobody);
        };
        let connector = &step.node.config.connector;
        let packets = match beside(connector) {
            Some(config) => self.beside(last, step, config).await?,
            None => {
                let io = self.carrier(last, step).await?;
                let packets = connector::associate(io, connector, longest, self.answer).await;
                self.answered(last, step, packets, |source| refused(step, source))?
            }
        };
        Ok(self.route.named(packets))
    }

    /// Packets at a port of the last node, beside the stream on which it is asked.
    pub(super) async fn beside(
        &self,
        last: usize,
        step: Step<'_>,
        config: &Socks5ConnectorConfig,
    ) -> Result<BoxIo, Failed> {
        let io = self.carrier(last, step).await?;
        let asked = connector::udp_associate(io, config, self.answer).await;
        let (control, bound) = self.answered(last, step, asked, |source| refused(step, source))?;
        // An address that is none is the node's own.
        let given = bound.host.filter(|host| !matches!(host, Host::Ip(ip) if ip.is_unspecified()));
        let node = &step.node.config;
        let host = given.or_else(|| node.addr.host.clone());
        let target = Target { host, port: bound.port };
        let request = DialRequest {
            network: Network::Udp,
            client: self.client,
            names: &node.names,
            within: Some(self.until.left()),
            ..DialRequest::new(&self.route.origin, &target)
        };
        let packets = self.route.dialer.dial(request).await.map_err(|source| Failed {
            error: RouteError::Node { node: step.node.label.clone(), source },
            blame: Blame::Node(last),
        })?;
        let longest = usize::try_from(config.udp_buffer_size).unwrap_or(usize::MAX);
        Ok(Box::new(Controlled::new(packets, control, longest)))
    }
}

/// Whether a node takes datagrams beside its streams (`relay: udp`).
pub(super) fn beside(connector: &ConnectorConfig) -> Option<&Socks5ConnectorConfig> {
    match connector {
        ConnectorConfig::Socks5(config) => config.udp_associate.then_some(config),
        _ => None,
    }
}

fn refused(step: Step<'_>, source: ConnectError) -> RouteError {
    RouteError::Associate { node: step.node.label.clone(), source }
}

impl Route {
    /// Packets at a port of ours that somebody asked for: whatever the chain is, as in GOST.
    ///
    /// # Errors
    /// [`RouteError::Port`].
    pub fn bind_udp(
        &self,
        addr: &ListenAddr,
        longest: usize,
    ) -> Result<(BoxIo, SocketAddr), RouteError> {
        self.port(Some(addr), longest)
    }

    fn port(
        &self,
        port: Option<&ListenAddr>,
        longest: usize,
    ) -> Result<(BoxIo, SocketAddr), RouteError> {
        let (origin, names, metrics) = (&self.origin, &self.names, &self.metrics);
        let request = AssociateRequest { origin, names, port, longest, metrics };
        self.dialer.associate(request).map_err(RouteError::Port)
    }

    /// Names of destinations mean something at the other end of a chain, unless the service has its
    /// own.
    fn named(&self, packets: BoxIo) -> BoxIo {
        if self.names.hosts.is_none() && self.names.resolver.is_none() {
            return packets;
        }
        let (dialer, origin, names) =
            (self.dialer.clone(), self.origin.clone(), self.names.clone());
        let look = move |name: &str| -> Looking {
            let (dialer, origin) = (dialer.clone(), origin.clone());
            let (names, name) = (names.clone(), name.to_string());
            Box::pin(async move { dialer.lookup(&origin, &names, &name).await })
        };
        Box::new(Named::new(packets, look, |_| true, self.metrics.clone()))
    }
}
