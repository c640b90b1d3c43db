//! One try: one node of each hop, one after the other.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::associate::beside;
use super::error::RouteError;
use super::hop::{Hop, NoSession, Node};
use super::share::Deadline;
use super::{Ask, Route, To};
use crate::base::{Host, Network, Target};
use crate::config::model::{ConnectorConfig, DialerConfig, MuxConfig, WsDialerConfig};
use crate::connector::{self, ConnectError};
use crate::io::BoxIo;
use crate::io::datagrams::Addressed;
use crate::net::dial::{DialError, DialRequest};
use crate::transport::mux_pool::PoolError;
use crate::transport::ws_client;

/// A hop with its node for this try.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) hop: &'a Hop,
    pub(super) index: usize,
    pub(super) node: &'a Node,
}

/// A try that failed.
pub(super) struct Failed {
    pub(super) error: RouteError,
    pub(super) blame: Blame,
}

/// What is wanted at the end of a walk. It shows as what was asked for.
pub(super) trait Goal: fmt::Display + Sync {
    /// What is had then.
    type Got: Send;

    /// Walks, and asks for it.
    fn reach(&self, walk: &Walk<'_>) -> impl Future<Output = Result<Self::Got, Failed>> + Send;
}

impl fmt::Display for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to.fmt(f)
    }
}

impl Goal for Ask<'_> {
    type Got = BoxIo;

    fn reach(&self, walk: &Walk<'_>) -> impl Future<Output = Result<BoxIo, Failed>> + Send {
        walk.to(self)
    }
}

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The node of this step: another one may be well.
    Node(usize),
    /// The node of this step said nothing when it was asked for the target. It may be the target
    /// that is silent: that shows when another node is asked.
    Silence(usize),
    /// No node: another one would say the same.
    Nobody,
}

/// The nodes of one try, and until when.
pub(super) struct Walk<'a> {
    pub(super) route: &'a Route,
    pub(super) steps: &'a [Step<'a>],
    /// Who asks.
    pub(super) client: Option<SocketAddr>,
    pub(super) until: Deadline,
    /// The most that the last node may take for its answer.
    pub(super) answer: Duration,
}

type Walking<'w> = Pin<Box<dyn Future<Output = Result<BoxIo, Failed>> + Send + 'w>>;

impl Walk<'_> {
    /// A stream to the target through every node.
    async fn to(&self, ask: &Ask<'_>) -> Result<BoxIo, Failed> {
        let target = match ask.to {
            To::Target(target) => target,
            To::Each { longest } => return self.associate(longest).await,
        };
        let Some((last, step)) = self.asked(self.steps.len()) else {
            let names = &self.route.names;
            let request = DialRequest {
                network: ask.network,
                client: self.client,
                names,
                within: Some(self.until.left()),
                ..DialRequest::new(&self.route.origin, target)
            };
            let dialled = self.route.dialer.dial(request).await;
            return dialled.map_err(|e| Failed { error: e.into(), blame: Blame::Nobody });
        };
        let node = step.node;
        let connector = &node.config.connector;
        let said = self.route.sayable(connector, target, self.until).await;
        let said = said.map_err(|e| Failed { error: e.into(), blame: Blame::Nobody })?;
        if let (Network::Udp, Some(config)) = (ask.network, beside(connector)) {
            let packets = self.beside(last, step, config).await?;
            return Ok(Box::new(Addressed::new(packets, (&said).into())));
        }
        let io = self.carrier(last, step).await?;
        let connected = connector::connect(io, connector, ask.network, &said, self.answer).await;
        self.answered(last, step, connected, |source| connect_error(node, target, source))
    }

    /// What the last node's answer says of it.
    pub(super) fn answered<T>(
        &self,
        last: usize,
        step: Step<'_>,
        answer: Result<T, ConnectError>,
        error: impl FnOnce(ConnectError) -> RouteError,
    ) -> Result<T, Failed> {
        let silent = answer.as_ref().is_err_and(ConnectError::is_silence);
        if !silent {
            self.route.well(step);
        }
        answer.map_err(|source| Failed {
            blame: if silent { Blame::Silence(last) } else { Blame::Nobody },
            error: error(source),
        })
    }

    /// Who is asked for the node of step `at`, or for the target: the node before it, unless that
    /// one has connector `direct`.
    pub(super) fn asked(&self, at: usize) -> Option<(usize, Step<'_>)> {
        let before = at.checked_sub(1)?;
        let step = self.steps.get(before)?;
        let direct = step.node.config.connector == ConnectorConfig::Direct;
        (!direct).then_some((before, *step))
    }

    /// A stream on which the node of step `at` can be asked.
    pub(super) fn carrier<'w>(&'w self, at: usize, step: Step<'w>) -> Walking<'w> {
        match &step.node.config.dialer {
            DialerConfig::Ws(WsDialerConfig { mux: Some(mux), .. }) => {
                Box::pin(self.stream(at, step, *mux))
            }
            _ => Box::pin(self.fresh(at, step)),
        }
    }

    /// A stream of the session to the node of step `at`, which is begun if there is none.
    async fn stream(&self, at: usize, step: Step<'_>, mux: MuxConfig) -> Result<BoxIo, Failed> {
        let node = step.node;
        let mut ours = false;
        let connect = async {
            ours = true;
            let fresh = self.fresh(at, step).await;
            fresh.map_err(|Failed { error, blame }| NoSession { error: Arc::new(error), blame })
        };
        let stream = tokio::time::timeout(
            self.until.left(),
            node.pool.stream(mux, &self.route.memory, connect),
        )
        .await;
        let label = || node.label.clone();
        let error = match stream {
            Ok(Ok(io)) => return Ok(io),
            Ok(Err(PoolError::Connect(failed))) => {
                // Whoever dialled has counted the failure.
                let blame = if ours { failed.blame } else { Blame::Silence(at) };
                return Err(Failed { error: RouteError::Session(failed.error.clone()), blame });
            }
            Ok(Err(PoolError::Open(source))) => RouteError::Stream { node: label(), source },
            Err(_) => RouteError::Slow { node: label() },
        };
        Err(Failed { error, blame: Blame::Node(at) })
    }

    /// A new connection to the node of step `at`, up to the end of its handshakes.
    async fn fresh(&self, at: usize, step: Step<'_>) -> Result<BoxIo, Failed> {
        let mut io = self.reached(at, step.node).await?;
        let node = step.node;
        let blame = Blame::Node(at);
        if let Some(tls) = &node.tls {
            let label = || node.label.clone();
            let shaking = async {
                let route = self.route;
                tls.client(route.origin.namespace(), &route.clients).await?.connect(io).await
            };
            io = match tokio::time::timeout(self.until.left(), shaking).await {
                Ok(Ok(io)) => io,
                Ok(Err(source)) => {
                    let error = RouteError::Tls { node: label(), source };
                    return Err(Failed { error, blame });
                }
                Err(_) => return Err(Failed { error: RouteError::Slow { node: label() }, blame }),
            };
        }
        let DialerConfig::Ws(config) = &node.config.dialer else { return Ok(io) };
        let shaken = ws_client::connect(io, config, self.until.left()).await;
        shaken.map_err(|source| Failed {
            error: RouteError::Handshake { node: node.label.clone(), source },
            blame,
        })
    }

    /// Bytes to the node of step `at`: dialled, or through the node before it.
    async fn reached(&self, at: usize, node: &Node) -> Result<BoxIo, Failed> {
        let blame = Blame::Node(at);
        let Some((before, step)) = self.asked(at) else {
            let request = DialRequest {
                client: self.client,
                names: &node.config.names,
                keepalive: node.config.dialer.keepalive(),
                within: Some(self.until.left()),
                ..DialRequest::new(&self.route.origin, &node.config.addr)
            };
            let dialled = self.route.dialer.dial(request).await;
            let error = |source| RouteError::Node { node: node.label.clone(), source };
            return dialled.map_err(|e| Failed { error: error(e), blame });
        };
        let connector = &step.node.config.connector;
        let addr = match self.route.addr_of(node, self.until).await {
            Ok(addr) => self.route.sayable(connector, &addr, self.until).await,
            Err(e) => Err(e),
        };
        let addr = addr.map_err(|source| Failed {
            error: RouteError::Node { node: node.label.clone(), source },
            blame,
        })?;
        let io = self.carrier(before, step).await?;
        let connected =
            connector::connect(io, connector, Network::Tcp, &addr, self.until.left()).await;
        if connected.is_ok() {
            self.route.well(step);
        }
        // As in GOST: the node that was not reached is the one that failed.
        connected.map_err(|source| Failed { error: connect_error(step.node, &addr, source), blame })
    }
}

fn connect_error(node: &Node, target: &Target, source: ConnectError) -> RouteError {
    RouteError::Connect { node: node.label.clone(), target: target.clone(), source }
}

impl Route {
    /// What the node before it is asked for. Names go as they are: they mean something there. A node
    /// with names of its own is resolved here, as in GOST.
    async fn addr_of(&self, node: &Node, until: Deadline) -> Result<Target, DialError> {
        let (names, addr) = (&node.config.names, &node.config.addr);
        self.resolved(names, addr, until).await
    }

    /// A target as a connector can say it: SOCKS4 without 4a has IPv4 addresses only, so a name is
    /// resolved here.
    async fn sayable(
        &self,
        connector: &ConnectorConfig,
        target: &Target,
        until: Deadline,
    ) -> Result<Target, DialError> {
        let (ConnectorConfig::Socks4(config), Some(Host::Name(name))) = (connector, &target.host)
        else {
            return Ok(target.clone());
        };
        if !config.disable_4a {
            return Ok(target.clone());
        }
        let lookup = self.dialer.lookup(&self.origin, &self.names, name);
        let dns = |cause| DialError::Dns { target: target.clone(), cause };
        let ips = match tokio::time::timeout(until.left(), lookup).await {
            Ok(ips) => ips.map_err(dns)?,
            Err(_) => return Err(DialError::Timeout { target: target.clone() }),
        };
        let none = || dns("it has no IPv4 address, and SOCKS4 without 4a no other".into());
        let ip = ips.into_iter().find(|ip| ip.is_ipv4()).ok_or_else(none)?;
        Ok(Target { host: Some(Host::Ip(ip)), port: target.port })
    }
}
