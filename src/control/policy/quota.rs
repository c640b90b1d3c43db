//! What a namespace may have of everything, over all classes. Pure.
//!
//! A namespace has one count of each thing. The oldest objects have it first, each as far as the limit of
//! its own class goes. What is refused counts too: otherwise who comes first would depend on who is
//! refused, and a namespace could ask for any number of things.

use std::collections::BTreeSet;

use super::Class;
use crate::base::{ListenAddr, Reason};
use crate::config::error::Diagnostic;
use crate::config::raw;

/// What a spec asks for, of what is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asks {
    /// Ports that are bound, and whether for datagrams. Services of a namespace may share one.
    bound: BTreeSet<(u16, bool)>,
    /// Services that get an allocated port, by name and object.
    allocated: BTreeSet<String>,
    /// Services, hosts and paths on front ports.
    claims: BTreeSet<(String, String, String)>,
}

impl Asks {
    /// What the object of a name asks for with a spec.
    pub(crate) fn of(name: &str, config: &raw::Config, fronts: &[u16]) -> Self {
        let mut asks = Self::default();
        for service in &config.services {
            let datagrams = service.listener.as_ref().is_some_and(|l| l.kind == "udp");
            if service.expose.is_some() {
                asks.allocated.insert(format!("{name}/{}", service.name));
                continue;
            }
            let Ok(addr) = service.addr.trim().parse::<ListenAddr>() else { continue };
            if datagrams || !fronts.contains(&addr.port) {
                asks.bound.insert((addr.port, datagrams));
                continue;
            }
            let service_name = format!("{name}/{}", service.name);
            let mut claim = |host: &str| {
                let path = path(service);
                asks.claims.insert((service_name.clone(), host.to_ascii_lowercase(), path));
            };
            match service.hostnames.as_slice() {
                [] => claim(""),
                hosts => hosts.iter().for_each(|host| claim(host)),
            }
        }
        asks
    }

    /// What either of them asks for.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.bound.extend(other.bound);
        self.allocated.extend(other.allocated);
        self.claims.extend(other.claims);
        self
    }

    fn ports(&self) -> usize {
        self.bound.len() + self.allocated.len()
    }
}

/// The path of a ws listener, in one of its spellings.
fn path(service: &raw::Service) -> String {
    let metadata = service.listener.as_ref().map(|listener| &listener.metadata);
    let is_path =
        |key: &str| key.eq_ignore_ascii_case("path") || key.eq_ignore_ascii_case("ws.path");
    let found = metadata.into_iter().flatten().find(|(key, _)| is_path(key));
    found.map(|(_, value)| value.to_string()).unwrap_or_default()
}

/// A limit that an object is beyond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// It is one tunnel too many: nothing of it runs. Otherwise what it ran before may go on.
    pub(crate) whole: bool,
    /// What to say of it.
    pub(crate) error: Diagnostic,
}

/// The counts of a namespace, object by object.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    tunnels: usize,
    asks: Asks,
}

impl Counts {
    /// Counts what goes on of an object besides.
    pub(crate) fn add(&mut self, asks: Asks) {
        self.asks = std::mem::take(&mut self.asks).and(asks);
    }

    /// Counts one more object, the next in age, of a class; `all` is how many the namespace has.
    pub(crate) fn admit(&mut self, class: &Class, asks: Asks, all: usize) -> Option<Beyond> {
        self.tunnels += 1;
        self.add(asks);
        let limits = &class.limits;
        let beyond = |whole, count: usize, most: usize, noun: &str, key: &str, path: &str| Beyond {
            whole,
            error: Diagnostic::new(
                path,
                Reason::QuotaExceeded,
                format!(
                    "{count} of {most} {noun} of this namespace (limits.{key} of class {:?}); refused \
                     ones count too",
                    class.name
                ),
            ),
        };
        let (ports, claims) = (self.asks.ports(), self.asks.claims.len());
        if self.tunnels > limits.tunnels_per_namespace {
            let most = limits.tunnels_per_namespace;
            let (key, path) = ("tunnelsPerNamespace", "metadata.namespace");
            return Some(beyond(true, all, most, "tunnels", key, path));
        }
        if ports > limits.ports_per_namespace {
            let most = limits.ports_per_namespace;
            return Some(beyond(false, ports, most, "ports", "portsPerNamespace", "services"));
        }
        if claims > limits.claims_per_namespace {
            let (most, noun) = (limits.claims_per_namespace, "claims on the front ports");
            return Some(beyond(false, claims, most, noun, "claimsPerNamespace", "services"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::model::ClassLimits;

    fn class(limits: ClassLimits) -> Class {
        Class { limits, ..Class::built_in() }
    }

    fn asks(name: &str, services: Value) -> Asks {
        let config = serde_json::from_value(json!({ "services": services })).unwrap();
        Asks::of(name, &config, &[8080, 8443])
    }

    /// So many services of a kind.
    fn services(count: usize, service: impl Fn(usize) -> Value) -> Value {
        let mut all: Vec<_> = (0..count).map(service).collect();
        for (i, service) in all.iter_mut().enumerate() {
            service["name"] = json!(format!("s{i}"));
        }
        Value::Array(all)
    }

    fn said(beyond: Option<Beyond>) -> String {
        beyond.map(|beyond| beyond.error.to_string()).unwrap_or_default()
    }

    #[test]
    fn each_count_of_a_namespace_is_tried_at_and_above_its_bound() {
        let exposed = |_: usize| json!({"addr": ":5432", "expose": {}});
        let own = |i: usize| json!({"addr": format!(":{}", 9000 + i)});
        let udp = |i: usize| json!({"addr": format!(":{}", 8080 + i), "listener": {"type": "udp"}});
        let front = |i: usize| json!({"addr": ":8080", "listener": {"type": "ws", "metadata": {"path": format!("/{i}")}}});
        let hosts = |i: usize| {
            json!({"addr": ":8443", "hostnames": [format!("a{i}.example"), format!("b{i}.example")],
                "listener": {"type": "wss"}})
        };
        let class = class(ClassLimits {
            ports_per_namespace: 4,
            claims_per_namespace: 4,
            ..ClassLimits::default()
        });
        type Kind<'a> = (&'a dyn Fn(usize) -> Value, usize, &'a str);
        let kinds: [Kind<'_>; 5] = [
            (&exposed, 1, "5 of 4 ports"),
            (&own, 1, "5 of 4 ports"),
            (&udp, 1, "5 of 4 ports"),
            (&front, 1, "5 of 4 claims on the front ports"),
            (&hosts, 2, "6 of 4 claims on the front ports"),
        ];
        for (service, each, text) in kinds {
            let mut counts = Counts::default();
            let whole = services(4 / each, service);
            assert_eq!(counts.admit(&class, asks("a", whole), 2), None, "{text}");
            let one_more = services(4 / each + 1, service);
            // Of another object: its ports may be the same, its Services and claims are not.
            let beyond = said(counts.admit(&class, asks("a", one_more), 2));
            assert!(beyond.starts_with(&format!("services: {text} of this namespace")), "{beyond}");
        }
    }

    #[test]
    fn a_port_that_a_namespace_shares_counts_once() {
        let mut counts = Counts::default();
        let class = class(ClassLimits { ports_per_namespace: 1, ..ClassLimits::default() });
        let shared = || services(3, |_| json!({"addr": ":9000", "listener": {"type": "ws"}}));
        assert_eq!(counts.admit(&class, asks("a", shared()), 2), None);
        assert_eq!(counts.admit(&class, asks("b", shared()), 2), None);
    }

    #[test]
    fn a_namespace_in_two_classes_has_one_quota() {
        let (small, large) = (
            class(ClassLimits { tunnels_per_namespace: 1, ..ClassLimits::default() }),
            class(ClassLimits { tunnels_per_namespace: 3, ..ClassLimits::default() }),
        );
        let mut counts = Counts::default();
        let mut admit = |class| counts.admit(class, Asks::default(), 4);
        assert_eq!(admit(&large), None);
        let refused = admit(&small).unwrap();
        assert!(refused.whole);
        assert_eq!(
            refused.error.to_string(),
            "metadata.namespace: 4 of 1 tunnels of this namespace (limits.tunnelsPerNamespace of class \
             \"adit\"); refused ones count too"
        );
        // The refused one counts.
        assert_eq!(admit(&large), None);
        assert!(admit(&large).is_some());
    }
}
