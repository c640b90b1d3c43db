//! What the API server itself refuses, in CEL: mistakes that its answer can name at once.
//!
//! Everything else is said by the controller in conditions, with the words of `adit check`.

use serde_json::Value;

use super::schema::{self, validations};
use crate::config::envelope::ends;

/// Rules by path of `spec`, or by its end where one names no service.
const RULES: &[(&str, &[(&str, &str)])] = &[
    (
        "",
        &[
            (
                "self.services.all(s, !has(s.handler) || !has(s.handler.chain) || s.handler.chain == '' || \
                 (has(self.chains) && self.chains.exists(c, c.name == s.handler.chain)))",
                "handler.chain names a chain that is not in chains",
            ),
            (
                "self.services.all(s, !has(s.handler) || !has(s.handler.auther) || s.handler.auther == '' || \
                 (has(self.authers) && self.authers.exists(a, a.name == s.handler.auther)))",
                "handler.auther names an auther that is not in authers",
            ),
            (
                "self.services.all(s, !has(s.handler) || !has(s.handler.authers) || \
                 s.handler.authers.all(n, has(self.authers) && self.authers.exists(a, a.name == n)))",
                "handler.authers names an auther that is not in authers",
            ),
            (
                "self.services.all(s, (!has(s.admission) || s.admission == '' || \
                 (has(self.admissions) && self.admissions.exists(x, x.name == s.admission))) && \
                 (!has(s.admissions) || s.admissions.all(n, \
                 has(self.admissions) && self.admissions.exists(x, x.name == n))))",
                "admission or admissions names an admission that is not in admissions",
            ),
            (
                "self.services.all(s, (!has(s.bypass) || s.bypass == '' || \
                 (has(self.bypasses) && self.bypasses.exists(x, x.name == s.bypass))) && \
                 (!has(s.bypasses) || s.bypasses.all(n, \
                 has(self.bypasses) && self.bypasses.exists(x, x.name == n))))",
                "bypass or bypasses names a bypass that is not in bypasses",
            ),
            (
                "self.services.all(s, (!has(s.resolver) || s.resolver == '' || \
                 (has(self.resolvers) && self.resolvers.exists(x, x.name == s.resolver))) && \
                 (!has(s.hosts) || s.hosts == '' || \
                 (has(self.hosts) && self.hosts.exists(x, x.name == s.hosts))))",
                "resolver or hosts names an entry that is not in resolvers or hosts",
            ),
            (
                "self.services.all(s, (!has(s.limiter) || s.limiter == '' || \
                 (has(self.limiters) && self.limiters.exists(x, x.name == s.limiter))) && \
                 (!has(s.climiter) || s.climiter == '' || \
                 (has(self.climiters) && self.climiters.exists(x, x.name == s.climiter))) && \
                 (!has(s.rlimiter) || s.rlimiter == '' || \
                 (has(self.rlimiters) && self.rlimiters.exists(x, x.name == s.rlimiter))))",
                "limiter, climiter or rlimiter names one that is not in the list of that name",
            ),
            (
                "self.services.all(s, !has(s.forwarder) || !has(s.forwarder.hop) || s.forwarder.hop == '' || \
                 (has(self.hops) && self.hops.exists(x, has(x.name) && x.name == s.forwarder.hop)))",
                "forwarder.hop names a hop that is not in hops",
            ),
            (
                "!has(self.chains) || self.chains.all(c, !has(c.hops) || c.hops.all(h, has(h.nodes) || \
                 (has(h.name) && has(self.hops) && self.hops.exists(x, has(x.name) && x.name == h.name))))",
                "a hop of a chain has neither nodes nor the name of an entry of hops",
            ),
        ],
    ),
    (
        "services[]",
        &[
            (
                "!has(self.handler) || !has(self.handler.type) || \
                 !(self.handler.type in ['tcp', 'udp', 'forward']) || (has(self.forwarder) && \
                 ((has(self.forwarder.nodes) && size(self.forwarder.nodes) > 0) || \
                 (has(self.forwarder.hop) && self.forwarder.hop != '')))",
                "handlers tcp, udp and forward need a forwarder with a node: their target",
            ),
            (
                "!has(self.hostnames) || size(self.hostnames) == 0 || \
                 (has(self.listener) && has(self.listener.type) && \
                 self.listener.type in ['ws', 'wss', 'mws', 'mwss'])",
                "hostnames need a listener of type ws, wss, mws or mwss",
            ),
        ],
    ),
    (
        "services[].listener",
        &[
            (
                "!has(self.tls) || (has(self.type) && self.type in ['tls', 'wss', 'mwss'])",
                "tls needs a listener of type tls, wss or mwss",
            ),
            (
                "!has(self.tls) || !has(self.tls.clientCARef) || has(self.tls.secretRef)",
                "clientCARef needs a certificate: secretRef",
            ),
        ],
    ),
    (
        "nodes[]",
        &[("!has(self.addr) || !has(self.serviceRef)", "write addr or serviceRef, not both")],
    ),
    (
        "nodes[].dialer",
        &[(
            "!has(self.tls) || (has(self.type) && self.type in ['tls', 'wss', 'mwss'])",
            "tls needs a dialer of type tls, wss or mwss",
        )],
    ),
    (
        "tls",
        &[(
            "!has(self.certFile) && !has(self.keyFile) && !has(self.caFile)",
            "files are not read in a cluster; refer to Secrets",
        )],
    ),
    (
        "services[].addr",
        &[(
            "self.matches('^:[0-9]{1,5}$') && int(self.substring(1)) > 0 && int(self.substring(1)) < 65536",
            "addr is \":PORT\" with a port from 1 to 65535; the host is the controller's",
        )],
    ),
];

/// Rules of the whole object: while no class serves it, a wrong className can be corrected.
const OBJECT: &[(&str, &str)] = &[(
    "!has(oldSelf.spec.className) || (has(self.spec.className) && \
     self.spec.className == oldSelf.spec.className) || \
     !has(oldSelf.status) || !has(oldSelf.status.className)",
    "className cannot change while a class serves the object (status.className); create a new object",
)];

/// The rules of the object.
pub(super) fn of_object() -> Value {
    schema::list(OBJECT)
}

/// The rules at a path.
pub(super) fn at(path: &str) -> Option<Value> {
    let whole = RULES.iter().find(|(at, _)| *at == path);
    let found = whole.or_else(|| RULES.iter().find(|(at, _)| !at.is_empty() && ends(path, at)));
    found.map(|(_, rules)| validations(rules))
}
