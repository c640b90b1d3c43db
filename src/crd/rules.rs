//! What the API server itself refuses, in CEL: mistakes that its answer can name at once.
//!
//! Everything else is said by the controller in conditions, with the words of `adit check`.

use serde_json::Value;

use super::schema::validations;

/// Rules by path of `spec`.
const RULES: &[(&str, &[(&str, &str)])] = &[
    (
        "",
        &[
            (
                "!has(oldSelf.className) || (has(self.className) && self.className == oldSelf.className)",
                "className is set once; create a new object to change it",
            ),
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
                "!has(self.handler) || !has(self.handler.type) || !(self.handler.type in ['tcp', 'forward']) || \
                 (has(self.forwarder) && has(self.forwarder.nodes) && size(self.forwarder.nodes) > 0)",
                "handlers tcp and forward need a forwarder with a node: their target",
            ),
            (
                "!has(self.hostnames) || size(self.hostnames) == 0 || \
                 (has(self.listener) && has(self.listener.type) && self.listener.type == 'ws')",
                "hostnames need a ws listener",
            ),
        ],
    ),
    (
        "services[].addr",
        &[(
            "self.matches('^:[0-9]{1,5}$') && int(self.substring(1)) > 0 && int(self.substring(1)) < 65536",
            "addr is \":PORT\" with a port from 1 to 65535; the host is the controller's",
        )],
    ),
];

/// The rules at a path.
pub(super) fn at(path: &str) -> Option<Value> {
    RULES.iter().find(|(at, _)| *at == path).map(|(_, rules)| validations(rules))
}
