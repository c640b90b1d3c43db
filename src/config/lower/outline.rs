//! What services would be without what they refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{LowerContext, References};
use crate::config::error::Findings;
use crate::config::model::ServiceConfig;
use crate::config::raw;

/// The services of which something is missing, as they would be if they did not need it: enough to
/// hold what they ask for against rules, and never to be run.
pub(super) fn outlines(
    config: &raw::Config,
    context: &LowerContext,
    references: &BTreeMap<Arc<str>, References>,
) -> Vec<ServiceConfig> {
    let lacks = |service: &&raw::Service| {
        references.get(&*service.name).is_some_and(|references| !references.missing.is_empty())
    };
    let services: Vec<_> = config.services.iter().filter(lacks).map(bare).collect();
    if services.is_empty() {
        return Vec::new();
    }
    let (authers, chains, hops) = Default::default();
    let config = raw::Config { services, authers, chains, hops, ..config.clone() };
    let context = LowerContext { class_certificate: None, ..*context };
    // All of this was said of the whole service already.
    let mut known = Findings::default();
    let services = super::services(&config, &context, &mut known);
    services.into_iter().filter_map(|service| service.config).collect()
}

/// The same without references. What asks for users goes on doing so.
fn bare(service: &raw::Service) -> raw::Service {
    let mut service = service.clone();
    if let Some(handler) = &mut service.handler {
        let asks =
            handler.auth.is_some() || !handler.auther.is_empty() || !handler.authers.is_empty();
        let anybody = raw::Auth {
            username: "anybody".into(),
            password: Some("secret".into()),
            ..raw::Auth::default()
        };
        handler.auth = asks.then_some(anybody);
        handler.auther.clear();
        handler.authers.clear();
        handler.chain.clear();
    }
    if let Some(listener) = &mut service.listener {
        listener.tls = None;
        listener.chain.clear();
    }
    if let Some(forwarder) = &mut service.forwarder {
        forwarder.hop.clear();
        let addr = "target.invalid:1".into();
        forwarder.nodes = vec![raw::ForwardNode { addr, ..raw::ForwardNode::default() }];
    }
    service
}
