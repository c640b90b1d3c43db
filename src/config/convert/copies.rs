//! Copies of parameters: GOST writes a query parameter into every map of a service or node.

use super::meaning::{meaning, skeleton};
use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::raw;

/// Parameters that GOST copies before it takes them out; what stays in the maps means nothing.
const LEFT_OVER: &[&str] = &[
    "auth",
    "tls.certFile",
    "certFile",
    "cert",
    "tls.keyFile",
    "keyFile",
    "key",
    "tls.caFile",
    "caFile",
    "ca",
    "tls.secure",
    "secure",
    "tls.serverName",
    "serverName",
    "strategy",
    "retries",
    "admission",
    "bypass",
    "resolver",
    "prefer",
    "hosts",
    "limiter.in",
    "limiter.out",
    "limiter.conn.in",
    "limiter.conn.out",
    "climiter",
    "rlimiter",
];

/// Takes parameters out of the metadata of services, listeners and hops that are left over there:
/// they are read by nobody, and `auth` among them is a password.
pub(super) fn drop_left_over(config: &mut raw::Config, findings: &mut Findings) {
    let mut clean = |metadata: &mut raw::Metadata, path: String| {
        metadata.retain(|key, _| {
            let left_over = LEFT_OVER.iter().any(|name| name.eq_ignore_ascii_case(key));
            if left_over {
                let message = "dropped: nothing reads it here, it is left over of a command line";
                findings.warn(&format!("{path}.metadata.{key}"), Reason::Accepted, message);
            }
            !left_over
        });
    };
    for (i, service) in config.services.iter_mut().enumerate() {
        clean(&mut service.metadata, format!("services[{i}]"));
        if let Some(listener) = &mut service.listener {
            clean(&mut listener.metadata, format!("services[{i}].listener"));
        }
    }
    for (i, hop) in config.hops.iter_mut().enumerate() {
        clean(&mut hop.metadata, format!("hops[{i}]"));
    }
    for (c, chain) in config.chains.iter_mut().enumerate() {
        for (i, hop) in chain.hops.iter_mut().enumerate() {
            clean(&mut hop.metadata, format!("chains[{c}].hops[{i}]"));
        }
    }
}

/// Leaves of several maps with one entry those that read it. Nothing changes its meaning by that.
pub(super) fn drop_copies(config: &mut raw::Config) {
    for i in 0..config.services.len() {
        drop_from(config, |config| config.services.get_mut(i).map(of_service).unwrap_or_default());
    }
    for i in 0..config.hops.len() {
        drop_from_hop(config, |config| config.hops.get_mut(i));
    }
    for c in 0..config.chains.len() {
        for i in 0..config.chains.get(c).map_or(0, |chain| chain.hops.len()) {
            drop_from_hop(config, |config| config.chains.get_mut(c)?.hops.get_mut(i));
        }
    }
}

fn drop_from_hop(
    config: &mut raw::Config,
    hop: impl Fn(&mut raw::Config) -> Option<&mut raw::Hop>,
) {
    let nodes = hop(config).and_then(|hop| hop.nodes.as_ref()).map_or(0, Vec::len);
    for n in 0..nodes {
        drop_from(config, |config| hop(config).map(|hop| of_node(hop, n)).unwrap_or_default());
    }
}

/// Maps that a parameter of `-L` is copied into, the likeliest reader last.
fn of_service(service: &mut raw::Service) -> Vec<&mut raw::Metadata> {
    let handler = service.handler.iter_mut().map(|handler| &mut handler.metadata);
    let listener = service.listener.iter_mut().map(|listener| &mut listener.metadata);
    std::iter::once(&mut service.metadata).chain(handler).chain(listener).collect()
}

/// The same for `-F`, of the `index`th node.
fn of_node(hop: &mut raw::Hop, index: usize) -> Vec<&mut raw::Metadata> {
    let mut maps = vec![&mut hop.metadata];
    if let Some(node) = hop.nodes.as_mut().and_then(|nodes| nodes.get_mut(index)) {
        maps.push(&mut node.metadata);
        maps.extend(node.connector.iter_mut().map(|connector| &mut connector.metadata));
        maps.extend(node.dialer.iter_mut().map(|dialer| &mut dialer.metadata));
    }
    maps
}

fn drop_from(config: &mut raw::Config, maps: impl Fn(&mut raw::Config) -> Vec<&mut raw::Metadata>) {
    let count = maps(config).len();
    for at in 0..count {
        let all = maps(config);
        let keys: Vec<String> = all.get(at).into_iter().flat_map(|m| m.keys().cloned()).collect();
        for key in keys {
            let mut all = maps(config);
            let Some(value) = all.get_mut(at).and_then(|map| map.get(&key).cloned()) else {
                continue;
            };
            let others = all.iter().enumerate().filter(|(i, _)| *i != at);
            if !others.into_iter().any(|(_, map)| map.get(&key) == Some(&value)) {
                continue;
            }
            let Ok((before, warnings)) = meaning(&skeleton(config)) else { return };
            if let Some(map) = maps(config).get_mut(at) {
                map.remove(&key);
            }
            // The last reader of an entry is told by the copies that it leaves: nobody knows them.
            let same = meaning(&skeleton(config))
                .is_ok_and(|(after, now)| after == before && now <= warnings);
            if !same && let Some(map) = maps(config).get_mut(at) {
                map.insert(key, value);
            }
        }
    }
}
