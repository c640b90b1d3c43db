//! Which service is on which socket, and the steps from one such layout to another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    Ws(WsServices),
    /// The datagrams of each source are a stream of one service.
    Udp(ServiceKey, UdpListenerConfig),
    /// Streams of one service that a node accepts for it.
    Remote(ServiceKey, RemoteBind),
}

/// The services of a socket that speaks WebSocket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WsServices {
    /// The services.
    pub services: BTreeMap<ServiceKey, WsListenerConfig>,
    /// On a TLS socket that is no front port: those with the best claims up to the first one of
    /// another namespace. Clients without a server name are shown the policy of one of them, so that
    /// no newcomer changes what they see.
    pub first: BTreeSet<ServiceKey>,
}

impl WsServices {
    /// Adds the service with the best claim of those that are left.
    pub(super) fn add(&mut self, key: &ServiceKey, config: &WsListenerConfig, front: bool) {
        let alone = self.first.len() == self.services.len();
        let same = self
            .first
            .first()
            .is_none_or(|first| first.origin.namespace() == key.origin.namespace());
        if alone && same && !front && config.tls.is_some() {
            self.first.insert(key.clone());
        }
        self.services.insert(key.clone(), config.clone());
    }

    /// Takes a service out; whether it was there.
    fn remove(&mut self, key: &ServiceKey) -> bool {
        self.first.remove(key);
        self.services.remove(key).is_some()
    }
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
            Self::Ws(ws) => (None, Some(ws.services.keys())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// The same without the other services.
    pub fn only(&self, key: &ServiceKey) -> Self {
        match self {
            Self::Tcp(..) | Self::Udp(..) | Self::Remote(..) => self.clone(),
            Self::Ws(ws) => {
                let own = ws.services.get_key_value(key).map(|(k, v)| (k.clone(), v.clone()));
                Self::Ws(WsServices {
                    services: own.into_iter().collect(),
                    ..WsServices::default()
                })
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
        ports: &Ports,
    ) {
        let gone = unbound.filter_map(|id| self.sockets.remove(id)).collect::<Vec<_>>();
        let keys: Vec<_> = gone.iter().flat_map(Content::services).collect();
        for key in &keys {
            self.services.remove(*key);
        }
        self.keep_running(&keys, running, ports);
    }

    /// Takes out services that cannot run as they are wanted. One that runs goes on as it runs, where
    /// it is. A front port stays, also without any.
    pub(super) fn without_services(
        &mut self,
        keys: &BTreeSet<ServiceKey>,
        running: &Self,
        ports: &Ports,
    ) {
        if keys.is_empty() {
            return;
        }
        self.sockets.retain(|id, content| match content {
            Content::Tcp(owner, _) | Content::Udp(owner, _) | Content::Remote(owner, _) => {
                !keys.contains(owner)
            }
            Content::Ws(ws) => {
                let before = ws.services.len();
                let gone: Vec<_> =
                    ws.services.keys().filter(|key| keys.contains(*key)).cloned().collect();
                gone.iter().for_each(|key| {
                    ws.remove(key);
                });
                let had_some = ws.services.len() < before;
                !had_some || !ws.services.is_empty() || ports.front(&id.addr).is_some()
            }
        });
        for key in keys {
            self.services.remove(key);
        }
        self.keep_running(&keys.iter().collect::<Vec<_>>(), running, ports);
    }

    /// Puts services back where they run, as they run, unless the place is taken. Each socket's
    /// claims are gathered once, however many services come back to it.
    fn keep_running(&mut self, keys: &[&ServiceKey], running: &Self, ports: &Ports) {
        let places: HashMap<&ServiceKey, &SocketId> = running
            .sockets
            .iter()
            .flat_map(|(id, content)| content.services().map(move |key| (key, id)))
            .collect();
        let mut by_place: BTreeMap<&SocketId, Vec<&ServiceKey>> = BTreeMap::new();
        for key in keys {
            if let Some(id) = places.get(key).filter(|_| running.services.contains_key(*key)) {
                by_place.entry(id).or_default().push(key);
            }
        }
        for (id, keys) in by_place {
            let Some(old) = running.sockets.get(id) else { continue };
            for key in self.stay(id, old, &keys, ports.front(&id.addr).is_some()) {
                if let Some(config) = running.services.get(key) {
                    self.services.insert(key.clone(), config.clone());
                }
            }
        }
    }

    /// Puts services back on their old socket; those whose place is free.
    fn stay<'k>(
        &mut self,
        id: &SocketId,
        old: &Content,
        keys: &[&'k ServiceKey],
        front: bool,
    ) -> Vec<&'k ServiceKey> {
        let Content::Ws(old) = old else {
            let free = keys.first().filter(|_| !self.sockets.contains_key(id));
            if let Some(key) = free {
                self.sockets.insert(id.clone(), old.only(key));
            }
            return free.into_iter().copied().collect();
        };
        let mut content = match self.sockets.remove(id) {
            Some(Content::Ws(there)) => there,
            Some(other) => {
                self.sockets.insert(id.clone(), other);
                return Vec::new();
            }
            None => WsServices::default(),
        };
        let there = content.services.clone();
        let mut claims = Claims::new(front);
        for (key, config) in &there {
            claims.hold(key, config);
        }
        let mut stays = Vec::new();
        for key in keys {
            let Some((known, config)) = old.services.get_key_value(*key) else { continue };
            if claims.grant(known, config).is_ok() {
                content.add(known, config, front);
                stays.push(*key);
            }
        }
        if !content.services.is_empty() || front {
            self.sockets.insert(id.clone(), Content::Ws(content));
        }
        stays
    }

    /// Takes one step towards `desired`: what the supervisor does to the process, done to the model.
    pub fn take(&mut self, step: &Step, desired: &Self) {
        match step {
            Step::Bind(id) => {
                self.sockets.insert(id.clone(), Content::Ws(WsServices::default()));
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
