//! The way to a node that listens for us, and the port that it has.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::error::RouteError;
use super::request::Request;
use super::select::{By, Hashed};
use super::share::Deadline;
use super::walk::{Blame, Failed, Goal, Walk};
use super::{Hop, Route};
use crate::base::{ListenAddr, Network};
use crate::connector::ConnectError;
use crate::connector::bind::{self, Carrying, RemoteListener};

/// A port that the last node of a chain has for us.
pub struct Bound {
    /// Which node: `hop/node`.
    pub node: String,
    /// Who comes to it.
    pub listener: RemoteListener,
    /// The task of its streams: spawn it.
    pub carrying: Carrying,
}

impl Route {
    /// Has the last node of the chain listen on `addr`: one attempt, in which nodes that fail give
    /// their place to the next one, as when a target is asked for. Bypasses are about targets, and
    /// a port is none: no hop is left out.
    ///
    /// # Errors
    /// [`RouteError`] of the last node that was tried.
    pub async fn bind(&self, addr: &ListenAddr) -> Result<Bound, RouteError> {
        let until = Deadline::after(self.within);
        // There is no client to go by: all ports of a chain with strategy `hash` go one way.
        let hash = Hashed::Client(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let request = Request::new(&self.origin, None);
        let by = By { network: Network::Tcp, target: None, hash, verdicts: &request.verdicts };
        let plan: Vec<(&Hop, Vec<usize>)> =
            self.hops.iter().map(|hop| (hop, hop.nodes.order(&by))).collect();
        self.tried(&request, plan, until, &Port(addr)).await
    }
}

/// A port as what is wanted of a chain.
struct Port<'a>(&'a ListenAddr);

impl fmt::Display for Port<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Goal for Port<'_> {
    type Got = Bound;

    async fn reach(&self, walk: &Walk<'_>) -> Result<Bound, Failed> {
        let addr = self.0;
        let Some((last, step)) = walk.asked(walk.steps.len()) else {
            let node = walk.steps.last().map(|step| step.node.label.clone()).unwrap_or_default();
            let source = ConnectError::Cannot("a direct connector has no node to ask");
            let error = RouteError::Bind { node, addr: addr.clone(), source };
            return Err(Failed { error, blame: Blame::Nobody });
        };
        let io = walk.carrier(last, step).await?;
        let connector = &step.node.config.connector;
        let metrics = walk.route.metrics.clone();
        let bound =
            bind::bind(io, connector, addr, walk.answer, metrics, walk.route.memory.open()).await;
        let silent = bound.as_ref().is_err_and(ConnectError::is_silence);
        if !silent {
            walk.route.well(step);
        }
        let node = step.node.label.clone();
        match bound {
            Ok((listener, carrying)) => Ok(Bound { node, listener, carrying }),
            Err(source) => Err(Failed {
                blame: if silent { Blame::Silence(last) } else { Blame::Nobody },
                error: RouteError::Bind { node, addr: addr.clone(), source },
            }),
        }
    }
}
