//! Whether a target is passed by: GOST's bypasses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::embedded::reached;
use crate::base::{Host, Network, Target};
use crate::config::model::Bypass;

/// Whether these bypasses together match a target: any that is no whitelist does, or every
/// whitelist does (GOST's group).
pub fn matches(bypasses: &[Arc<Bypass>], network: Network, target: &Target) -> bool {
    if bypasses.is_empty() {
        return false;
    }
    let host = Spelled::new(target);
    group(bypasses, |bypass| one(bypass, network, target.port, &host))
}

/// What bypasses said of a request's target. A bypass that stands at many nodes is asked once, however
/// often they are tried. It lives no longer than the bypasses.
#[derive(Default)]
pub struct Verdicts(Mutex<Option<Told>>);

struct Told {
    network: Network,
    target: Target,
    host: Spelled,
    /// By the address of the bypass.
    of: HashMap<usize, bool>,
}

impl Verdicts {
    /// As [`matches()`].
    pub fn matches(&self, bypasses: &[Arc<Bypass>], network: Network, target: &Target) -> bool {
        if bypasses.is_empty() {
            return false;
        }
        let mut told = self.0.lock();
        if told.as_ref().is_some_and(|told| told.network != network || told.target != *target) {
            *told = None;
        }
        let Told { host, of, .. } = told.get_or_insert_with(|| Told {
            network,
            target: target.clone(),
            host: Spelled::new(target),
            of: HashMap::new(),
        });
        group(bypasses, |bypass| {
            let answer = || one(bypass, network, target.port, host);
            *of.entry(Arc::as_ptr(bypass).addr()).or_insert_with(answer)
        })
    }
}

fn group(bypasses: &[Arc<Bypass>], mut asked: impl FnMut(&Arc<Bypass>) -> bool) -> bool {
    let (mut whitelists, mut all) = (false, true);
    for bypass in bypasses {
        let matched = asked(bypass);
        if bypass.whitelist {
            whitelists = true;
            all &= matched;
        } else if matched {
            return true;
        }
    }
    whitelists && all
}

fn one(bypass: &Bypass, network: Network, port: u16, host: &Spelled) -> bool {
    if bypass.patterns.is_empty() || bypass.network.is_some_and(|only| only != network) {
        return false;
    }
    #[cfg(test)]
    tests::ASKED.with(|asked| asked.set(asked.get() + 1));
    bypass.patterns.fit(&host.text, &host.ips, port) != bypass.whitelist
}

/// A target's host in the one spelling that patterns are compared with, so that another spelling
/// is no way round them.
struct Spelled {
    /// What it may really reach.
    ips: Vec<IpAddr>,
    text: String,
}

impl Spelled {
    fn new(target: &Target) -> Self {
        const HERE: [IpAddr; 2] =
            [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let ip = match &target.host {
            // A dial without a host is one to this machine.
            None => return Self { ips: HERE.into(), text: Ipv4Addr::LOCALHOST.to_string() },
            Some(Host::Ip(ip)) => ip.to_canonical(),
            Some(Host::Name(name)) => {
                let text = name.trim_end_matches('.').to_ascii_lowercase();
                return Self { ips: Vec::new(), text };
            }
        };
        let mut ips = vec![ip];
        ips.extend(reached(ip).iter().filter(|other| *other != ip));
        // So is one to no address (RFC 1122 3.2.1.3; Linux connects it to loopback).
        if ips.iter().any(IpAddr::is_unspecified) {
            ips.extend(HERE);
        }
        Self { ips, text: ip.to_string() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::config::model::{Pattern, PortRange, TargetPattern};

    thread_local! {
        /// How many times a bypass was asked in this thread.
        pub static ASKED: Cell<usize> = const { Cell::new(0) };
    }

    fn bypass(whitelist: bool, hosts: &[Pattern]) -> Arc<Bypass> {
        let patterns = hosts.iter().map(|host| TargetPattern { host: host.clone(), ports: None });
        let patterns = patterns.collect::<Vec<_>>().into();
        Arc::new(Bypass { name: "b".into(), whitelist, network: None, patterns })
    }

    fn hit(bypasses: &[Arc<Bypass>], target: &str) -> bool {
        matches(bypasses, Network::Tcp, &target.parse().unwrap())
    }

    #[test]
    fn every_class_of_pattern_matches_what_it_names_and_nothing_else() {
        let net = Pattern::Net("10.0.0.0/8".parse().unwrap());
        let range = Pattern::Range("1.1.1.1".parse().unwrap(), "1.1.1.9".parse().unwrap());
        let suffix = Pattern::Suffix("example.com".into());
        for (pattern, target, expected) in [
            (&net, "10.1.2.3:1", true),
            (&net, "[::ffff:10.1.2.3]:1", true),
            (&net, "11.1.2.3:1", false),
            (&net, "ten.example:1", false),
            (&Pattern::Net("127.0.0.0/8".parse().unwrap()), ":80", true),
            (&Pattern::Net("127.0.0.0/8".parse().unwrap()), "0.0.0.0:80", true),
            (&Pattern::Net("127.0.0.0/8".parse().unwrap()), "[::]:80", true),
            (&Pattern::Net("127.0.0.0/8".parse().unwrap()), "[::ffff:0.0.0.0]:80", true),
            (&Pattern::Net("::1/128".parse().unwrap()), "[::]:80", true),
            (&Pattern::Net("0.0.0.0/32".parse().unwrap()), "0.0.0.0:80", true),
            (&Pattern::Net("127.0.0.0/8".parse().unwrap()), "[64:ff9b::127.0.0.1]:80", true),
            (&net, "[2002:a01:203::1]:1", true),
            (&net, "[64:ff9b:1:a01:2:300::]:1", true),
            (&range, "1.1.1.5:1", true),
            (&range, "1.1.1.10:1", false),
            (&range, "[::1]:1", false),
            (&Pattern::Name("example.com".into()), "EXAMPLE.com.:1", true),
            (&Pattern::Name("example.com".into()), "www.example.com:1", false),
            (&suffix, "example.com:1", true),
            (&suffix, "a.b.example.com:1", true),
            (&suffix, "badexample.com:1", false),
            (&Pattern::Glob("*.ex?mple.*".into()), "a.b.example.org:1", true),
            (&Pattern::Glob("*.ex?mple.*".into()), "example.org:1", false),
            (&Pattern::Glob("*a*a*a*b".into()), "aaaaaaaaaaaaaaaa:1", false),
        ] {
            let bypasses = [bypass(false, std::slice::from_ref(pattern))];
            assert_eq!(hit(&bypasses, target), expected, "{pattern:?} {target}");
        }
    }

    #[test]
    fn a_group_is_any_blacklist_or_all_whitelists() {
        let name = |name: &str| Pattern::Name(name.into());
        let white =
            |names: &[&str]| bypass(true, &names.iter().map(|n| name(n)).collect::<Vec<_>>());
        let black = bypass(false, &[name("bad")]);
        assert!(hit(&[white(&["a"]), white(&["b"])], "c:1"));
        assert!(!hit(&[white(&["a"]), white(&["b"])], "a:1"));
        assert!(hit(&[white(&["bad"]), black.clone()], "bad:1"));
        assert!(!hit(&[white(&["a"]), black], "a:1"));
        assert!(!hit(&[bypass(true, &[])], "a:1"), "without matchers nothing is passed by");
    }

    #[test]
    fn ports_and_networks_narrow_a_pattern() {
        let ports = Some(PortRange { first: 80, last: 90 });
        let pattern = TargetPattern { host: Pattern::Name("a".into()), ports };
        let bypass = Bypass {
            network: Some(Network::Tcp),
            patterns: vec![pattern].into(),
            ..Default::default()
        };
        let bypasses = [Arc::new(bypass)];
        assert!(hit(&bypasses, "a:85"));
        assert!(!hit(&bypasses, "a:91"));
        assert!(!matches(&bypasses, Network::Udp, &"a:85".parse().unwrap()));
    }

    #[test]
    fn a_bypass_is_asked_once_of_a_target() {
        let shared = bypass(false, &[Pattern::Glob("*a*b".into())]);
        let other = bypass(false, &[Pattern::Name("c".into())]);
        let verdicts = Verdicts::default();
        let target: Target = "aaaa:1".parse().unwrap();
        ASKED.with(|asked| asked.set(0));
        for _ in 0..100 {
            for node in [&[shared.clone()][..], &[shared.clone(), other.clone()]] {
                assert!(!verdicts.matches(node, Network::Tcp, &target));
            }
        }
        assert_eq!(ASKED.with(Cell::get), 2);
        assert!(verdicts.matches(&[shared], Network::Tcp, &"aab:1".parse().unwrap()));
        assert_eq!(ASKED.with(Cell::get), 3);
    }
}
