//! What a configuration's parts refer to by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::references::Named;
use super::{LowerContext, auth, gates, limits, resolve, secret, tls};
use crate::config::error::Findings;
use crate::config::model::{
    Admission, Bypass, Hosts, Limits, Names, Rate, ResolverConfig, ServerTls, Users,
};
use crate::config::raw;

/// Everything that has a name, but for hops and chains, which refer to it too.
pub(super) struct Scope<'a> {
    pub(super) context: &'a LowerContext<'a>,
    /// Loopback ports that may be dialled.
    pub(super) loopback_ports: BTreeSet<u16>,
    pub(super) authers: Named<Arc<Users>>,
    /// The authers whose users are in Secrets, too.
    pub(super) authers_of_secrets: BTreeSet<String>,
    pub(super) admissions: Named<Arc<Admission>>,
    pub(super) bypasses: Named<Arc<Bypass>>,
    pub(super) hosts: Named<Arc<Hosts>>,
    pub(super) resolvers: Named<Arc<ResolverConfig>>,
    pub(super) traffic: Named<Arc<Limits<Rate>>>,
    pub(super) connections: Named<Arc<Limits<u32>>>,
    pub(super) requests: Named<Arc<Limits<f64>>>,
    /// The file's `tls`.
    pub(super) tls: Option<ServerTls>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(
        config: &raw::Config,
        context: &'a LowerContext<'a>,
        loopback_ports: BTreeSet<u16>,
        findings: &mut Findings,
    ) -> Self {
        Self {
            context,
            loopback_ports,
            authers: auth::lower_all(config, context, findings),
            authers_of_secrets: secret::of_authers(config).map(Into::into).collect(),
            admissions: gates::admissions(config, context, findings),
            bypasses: gates::bypasses(config, context, findings),
            hosts: resolve::hosts(config, context, findings),
            resolvers: resolve::resolvers(config, context, findings),
            traffic: limits::traffic(config, context, findings),
            connections: limits::connections(config, context, findings),
            requests: limits::requests(config, context, findings),
            tls: tls::global(config, context, findings),
        }
    }

    /// `bypass` and `bypasses`.
    pub(super) fn bypasses(
        &self,
        single: &str,
        listed: &[String],
        path: &str,
        findings: &mut Findings,
    ) -> Vec<Arc<Bypass>> {
        self.bypasses.find_all((single, "bypass"), (listed, "bypasses"), path, findings)
    }

    /// `hosts` and `resolver`.
    pub(super) fn names(
        &self,
        hosts: &str,
        resolver: &str,
        path: &str,
        findings: &mut Findings,
    ) -> Names {
        Names {
            hosts: self.hosts.find_if(hosts, &format!("{path}.hosts"), findings),
            resolver: self.resolvers.find_if(resolver, &format!("{path}.resolver"), findings),
        }
    }
}
