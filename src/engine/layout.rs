//! Which service is on which socket, and the steps from one such layout to another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::claims::Claims;
use super::plan::Ports;
use crate::base::{ListenAddr, ServiceKey};
use crate::config::model::{
    ChainConfig, ListenerConfig, Names, ServiceConfig, TcpListenerConfig, UdpListenerConfig,
    WsListenerConfig,
};

/// A socket: its address. Sockets on port 0 are told apart by their service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketId {
    /// What has the address: TCP and UDP have ports of their own.
    pub medium: Medium,
    /// Where it listens.
    pub addr: ListenAddr,
    /// The service, if the kernel chooses the port, or another machine has it.
    pub owner: Option<ServiceKey>,
}

/// Where streams of a socket come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Medium {
    /// A port of ours.
    Tcp,
    /// A port of ours, for datagrams.
    Udp,
    /// A port that the last node of a chain has for us.
    Remote,
}

impl Medium {
    /// Where a service's streams come from.
    pub fn of(config: &ServiceConfig) -> Self {
        match &config.listener {
            ListenerConfig::Udp(_) => Self::Udp,
            ListenerConfig::Rtcp(_) if RemoteBind::of(config).is_some() => Self::Remote,
            ListenerConfig::Tcp(_) | ListenerConfig::Ws(_) | ListenerConfig::Rtcp(_) => Self::Tcp,
        }
    }
}

/// What a socket's connections become.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Streams of one service.
    Tcp(ServiceKey, TcpListenerConfig),
    /// WebSockets, told apart by host and path. A front port may have none.
    Ws(BTreeMap<ServiceKey, WsListenerConfig>),
    /// The datagrams of each source are a stream of one service.
    Udp(ServiceKey, UdpListenerConfig),
    /// Streams of one service that a node accepts for it.
    Remote(ServiceKey, RemoteBind),
}

/// How a port of another machine is had. A change of anything else does not give it up.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteBind {
    /// The way to the machine.
    pub chain: Arc<ChainConfig>,
    /// How names on it are resolved.
    pub names: Names,
    /// For one attempt.
    pub within: Option<Duration>,
}

impl RemoteBind {
    /// What a listener has another machine bind, if that is what it does: without a chain an rtcp
    /// listener listens here, as in GOST.
    pub fn of(config: &ServiceConfig) -> Option<Self> {
        match &config.listener {
            ListenerConfig::Rtcp(rtcp) if !rtcp.chain.hops.is_empty() => Some(Self {
                chain: rtcp.chain.clone(),
                names: config.names.clone(),
                within: config.dial_timeout,
            }),
            _ => None,
        }
    }
}

impl Content {
    /// The services whose connections arrive here.
    pub fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        let (one, many) = match self {
            Self::Tcp(key, _) | Self::Udp(key, _) | Self::Remote(key, _) => (Some(key), None),
            Self::Ws(services) => (None, Some(services.keys())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The same without the other services.
    pub fn only(&self, key: &ServiceKey) -> Self {
        match self {
            Self::Tcp(..) | Self::Udp(..) | Self::Remote(..) => self.clone(),
            Self::Ws(services) => {
                let own = services.get_key_value(key).map(|(k, v)| (k.clone(), v.clone()));
                Self::Ws(own.into_iter().collect())
            }
        }
    }
}

/// Sockets with their content, and the services behind them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// The sockets.
    pub sockets: BTreeMap<SocketId, Content>,
    /// The services.
    pub services: BTreeMap<ServiceKey, Arc<ServiceConfig>>,
}

/// One thing to do. Every step changes one socket or one service and leaves the rest alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Take an address.
    Bind(SocketId),
    /// Build a service's handler.
    Start(ServiceKey),
    /// Build a service's handler anew; open tunnels keep theirs.
    Swap(ServiceKey),
    /// Send a socket's new connections elsewhere.
    Route(SocketId),
    /// Give an address back.
    Release(SocketId),
    /// Drain a service.
    Stop(ServiceKey),
}

impl Step {
    /// The label of `adit_plan_steps_total`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bind(_) => "bind",
            Self::Start(_) => "start",
            Self::Swap(_) => "swap",
            Self::Route(_) => "route",
            Self::Release(_) => "release",
            Self::Stop(_) => "stop",
        }
    }
}

/// The steps from `running` to `desired`, in an order in which nothing is ever routed to a service
/// that is not there, and new addresses are taken before old ones are given back.
pub fn diff(running: &Layout, desired: &Layout) -> Vec<Step> {
    let mut steps = Vec::new();
    let new_sockets = desired.sockets.keys().filter(|id| !running.sockets.contains_key(id));
    steps.extend(new_sockets.cloned().map(Step::Bind));
    for (key, config) in &desired.services {
        match running.services.get(key) {
            None => steps.push(Step::Start(key.clone())),
            Some(old) if old != config => steps.push(Step::Swap(key.clone())),
            Some(_) => {}
        }
    }
    let moved =
        desired.sockets.iter().filter(|(id, content)| running.sockets.get(id) != Some(content));
    steps.extend(moved.map(|(id, _)| Step::Route(id.clone())));
    let old_sockets = running.sockets.keys().filter(|id| !desired.sockets.contains_key(id));
    steps.extend(old_sockets.cloned().map(Step::Release));
    let gone = running.services.keys().filter(|key| !desired.services.contains_key(key));
    steps.extend(gone.cloned().map(Step::Stop));
    steps
}

impl Layout {
    /// Takes out the sockets that cannot be bound. A service that was to move to one stays where it
    /// runs, as it runs, if nobody else was given that place; one that does not run is left out.
    pub(super) fn without<'a>(
        &mut self,
        unbound: impl Iterator<Item = &'a SocketId>,
        running: &Self,
    ) {
        for id in unbound {
            let Some(content) = self.sockets.remove(id) else { continue };
            for key in content.services() {
                self.services.remove(key);
                let old = running.sockets.iter().find(|(_, old)| old.services().any(|k| k == key));
                if let (Some((id, old)), Some(config)) = (old, running.services.get(key))
                    && self.stays(id, old, key)
                {
                    self.services.insert(key.clone(), config.clone());
                }
            }
        }
    }

    /// Takes out a service that cannot run as it is wanted. One that runs goes on as it runs, where
    /// it is. A front port stays, also without any.
    pub(super) fn without_service(&mut self, key: &ServiceKey, running: &Self, ports: &Ports) {
        self.services.remove(key);
        self.sockets.retain(|id, content| match content {
            Content::Tcp(owner, _) | Content::Udp(owner, _) | Content::Remote(owner, _) => {
                owner != key
            }
            Content::Ws(services) => {
                let had_it = services.remove(key).is_some();
                !had_it || !services.is_empty() || ports.front(&id.addr).is_some()
            }
        });
        let old = running.sockets.iter().find(|(_, old)| old.services().any(|k| k == key));
        if let (Some((id, old)), Some(config)) = (old, running.services.get(key))
            && self.stays(id, old, key)
        {
            self.services.insert(key.clone(), config.clone());
        }
    }

    /// Puts a service back on its old socket, unless the place is taken.
    fn stays(&mut self, id: &SocketId, old: &Content, key: &ServiceKey) -> bool {
        match (self.sockets.get_mut(id), old) {
            (None, _) => {
                self.sockets.insert(id.clone(), old.only(key));
                true
            }
            (Some(Content::Ws(others)), Content::Ws(old)) => {
                let Some(config) = old.get(key) else { return false };
                let mut claims = Claims::default();
                for (key, config) in others.iter() {
                    let _ = claims.grant(key, config);
                }
                let free = claims.grant(key, config).is_ok();
                if free {
                    others.insert(key.clone(), config.clone());
                }
                free
            }
            _ => false,
        }
    }

    /// Takes one step towards `desired`: what the supervisor does to the process, done to the model.
    pub fn take(&mut self, step: &Step, desired: &Self) {
        match step {
            Step::Bind(id) => {
                self.sockets.insert(id.clone(), Content::Ws(BTreeMap::new()));
            }
            Step::Start(key) | Step::Swap(key) => {
                if let Some(config) = desired.services.get(key) {
                    self.services.insert(key.clone(), config.clone());
                }
            }
            Step::Route(id) => {
                if let Some(content) = desired.sockets.get(id) {
                    self.sockets.insert(id.clone(), content.clone());
                }
            }
            Step::Release(id) => {
                self.sockets.remove(id);
            }
            Step::Stop(key) => {
                self.services.remove(key);
            }
        }
    }
}
