//! The plan: which service gets the address that it wants. Pure, over the whole set.

use std::collections::BTreeMap;

use super::claims::{Claims, Conflict};
use super::desired::{Claim, Desired, DesiredSet};
use super::layout::{Content, Layout, Medium, RemoteBind, SocketId, WsServices};
use crate::base::{ListenAddr, Reason, ServiceKey};
use crate::config::model::{ListenerConfig, TcpListenerConfig, WsListenerConfig};

/// The process's own rules about addresses.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// Front ports: always bound, and WebSocket only.
    pub fronts: Vec<Front>,
    /// Ports that no service may have: the admin port.
    pub reserved: Vec<u16>,
    /// Handshakes that may be in flight on the front ports, or on all ports where there are none;
    /// `None` is 1024.
    pub handshakes: Option<usize>,
    /// Those of one source where there are front ports, on them and on each other port; `None` is 64.
    pub handshakes_of_source: Option<usize>,
}

/// A port that is always bound and that services of many objects share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// Where it listens.
    pub addr: ListenAddr,
    /// Whether it speaks TLS: it does, or does not, whoever comes first.
    pub tls: bool,
}

impl Ports {
    /// The front port of an address.
    pub fn front(&self, addr: &ListenAddr) -> Option<&Front> {
        self.fronts.iter().find(|front| front.addr == *addr)
    }

    /// A word on the front port for ws with or without TLS, to name in a refusal.
    fn other_front(&self, tls: bool) -> String {
        match self.fronts.iter().find(|front| front.tls == tls) {
            Some(front) => format!("addr {}", front.addr),
            None => "another port".into(),
        }
    }
}

/// The outcome of planning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What shall run.
    pub layout: Layout,
    /// What shall not, and why.
    pub refused: BTreeMap<ServiceKey, (Reason, String)>,
}

impl Plan {
    /// Gives every address, and every host and path on a shared one, to the service with the best
    /// claim. Does not depend on the order of the input.
    pub fn build(desired: &DesiredSet, ports: &Ports) -> Self {
        let mut plan = Self::default();
        let mut owners: BTreeMap<SocketId, Owner<'_>> = BTreeMap::new();
        for front in &ports.fronts {
            let id = SocketId { medium: Medium::Tcp, addr: front.addr.clone(), owner: None };
            plan.layout.sockets.insert(id.clone(), Content::Ws(WsServices::default()));
            owners.insert(id, Owner::Ws(Box::new(Claims::new(true)), front.tls));
        }
        let mut ranked: Vec<_> = desired.services.iter().collect();
        ranked.sort_by_key(|(key, service)| rank(key, &service.claim));
        for (key, service) in ranked {
            match place(key, service, ports, &mut owners) {
                Ok(_) if service.closed => {}
                Ok(id) => plan.add(id, key, service, ports),
                Err(refusal) => {
                    plan.refused.insert(key.clone(), refusal);
                }
            }
        }
        plan
    }

    fn add(&mut self, id: SocketId, key: &ServiceKey, service: &Desired, ports: &Ports) {
        match &service.config.listener {
            ListenerConfig::Tcp(config) => {
                self.layout.sockets.insert(id, Content::Tcp(key.clone(), config.clone()));
            }
            ListenerConfig::Ws(config) => {
                let front = ports.front(&id.addr).is_some();
                let new = || Content::Ws(WsServices::default());
                if let Content::Ws(ws) = self.layout.sockets.entry(id).or_insert_with(new) {
                    ws.add(key, config, front);
                }
            }
            ListenerConfig::Udp(config) => {
                self.layout.sockets.insert(id, Content::Udp(key.clone(), config.clone()));
            }
            ListenerConfig::Rtcp(rtcp) => {
                let local = || TcpListenerConfig {
                    linger_timeout: rtcp.linger_timeout,
                    ..Default::default()
                };
                let content = match RemoteBind::of(&service.config) {
                    Some(bind) => Content::Remote(key.clone(), bind),
                    None => Content::Tcp(key.clone(), local()),
                };
                self.layout.sockets.insert(id, content);
            }
        }
        self.layout.services.insert(key.clone(), service.config.clone());
    }
}

/// Best first: those that hold their claim, the longest first; then the older object; then the name.
fn rank<'a>(key: &'a ServiceKey, claim: &Claim) -> impl Ord + use<'a> {
    let held = claim.held_since;
    let created = claim.created;
    (held.is_none(), held, created.is_none(), created, key)
}

enum Owner<'a> {
    One,
    /// And whether it is a TLS socket.
    Ws(Box<Claims<'a>>, bool),
}

fn place<'a>(
    key: &'a ServiceKey,
    service: &'a Desired,
    ports: &Ports,
    owners: &mut BTreeMap<SocketId, Owner<'a>>,
) -> Result<SocketId, (Reason, String)> {
    let addr = &service.config.listen;
    let medium = Medium::of(&service.config);
    check_port(addr, medium, ports)?;
    let own = addr.port == 0 || medium == Medium::Remote;
    let id = SocketId { medium, addr: addr.clone(), owner: own.then(|| key.clone()) };
    match (&service.config.listener, owners.get_mut(&id)) {
        (ListenerConfig::Tcp(_) | ListenerConfig::Udp(_) | ListenerConfig::Rtcp(_), None) => {
            owners.insert(id.clone(), Owner::One);
        }
        (ListenerConfig::Ws(config), None) => {
            let mut claims = Claims::new(false);
            claims.hold(key, config);
            owners.insert(id.clone(), Owner::Ws(Box::new(claims), config.tls.is_some()));
        }
        (ListenerConfig::Ws(config), Some(Owner::Ws(_, tls))) if *tls != config.tls.is_some() => {
            let (speaks, kind) =
                if *tls { ("TLS", "wss or mwss") } else { ("plain ws", "ws or mws") };
            let other = match ports.front(addr) {
                Some(_) => ports.other_front(!*tls),
                None => "another port".into(),
            };
            let text = format!("addr {addr} speaks {speaks}: use listener {kind}, or {other}");
            return Err((Reason::PortConflict, text));
        }
        (ListenerConfig::Ws(config), Some(Owner::Ws(claims, _))) => {
            claims.grant(key, config).map_err(|conflict| host_conflict(key, config, conflict))?;
        }
        (ListenerConfig::Tcp(_), Some(Owner::Ws(_, tls))) if ports.front(addr).is_some() => {
            let kind = if *tls { "wss" } else { "ws" };
            let text = format!(
                "addr {addr} is a front port, which speaks {kind}: use listener type {kind}, or another port"
            );
            return Err((Reason::PortConflict, text));
        }
        (_, Some(_)) => {
            let text = format!("addr {addr} belongs to another service: choose another port");
            return Err((Reason::PortConflict, text));
        }
    }
    Ok(id)
}

fn check_port(addr: &ListenAddr, medium: Medium, ports: &Ports) -> Result<(), (Reason, String)> {
    // Ports of another machine are not ours to keep.
    if medium == Medium::Tcp && ports.reserved.contains(&addr.port) {
        let text = format!("addr {addr} is the admin port of the process: choose another port");
        return Err((Reason::PortNotAllowed, text));
    }
    Ok(())
}

/// Names the other service only to those who may see it: its own namespace.
fn host_conflict(
    key: &ServiceKey,
    config: &WsListenerConfig,
    conflict: Conflict<'_>,
) -> (Reason, String) {
    let path = &config.path.0;
    let (Conflict::Path(holder) | Conflict::Policy(holder)) = conflict;
    let holder = if holder.origin.namespace() == key.origin.namespace() {
        format!("service {holder}")
    } else {
        "a service of another namespace".into()
    };
    let text = match conflict {
        Conflict::Path(_) => {
            format!("path {path} on these hostnames is held by {holder}: change path or hostnames")
        }
        Conflict::Policy(_) => format!(
            "{holder} has overlapping hostnames and another listener.tls, which its clients would not \
             be shown any more: write the same listener.tls, or hostnames of your own"
        ),
    };
    (Reason::HostConflict, text)
}
