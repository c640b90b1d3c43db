//! Whether a target is passed by: GOST's bypasses.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::base::{Host, Network, Target};
use crate::config::model::{Bypass, Pattern, TargetPattern};

/// Whether these bypasses together match a target: any that is no whitelist does, or every
/// whitelist does (GOST's group).
pub fn matches(bypasses: &[Arc<Bypass>], network: Network, target: &Target) -> bool {
    if bypasses.is_empty() {
        return false;
    }
    let host = Spelled::new(target);
    let (mut whitelists, mut all) = (false, true);
    for bypass in bypasses {
        let matched = one(bypass, network, target.port, &host);
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
    let matched = bypass.patterns.iter().any(|pattern| fits(pattern, port, host));
    matched != bypass.whitelist
}

fn fits(pattern: &TargetPattern, port: u16, host: &Spelled) -> bool {
    if pattern.ports.is_some_and(|ports| port < ports.first || port > ports.last) {
        return false;
    }
    match (&pattern.host, host.ip) {
        (Pattern::Net(net), Some(ip)) => net.contains(&ip),
        (Pattern::Range(first, last), Some(ip)) => {
            // Addresses of different families have an order too, but no range.
            first.is_ipv4() == ip.is_ipv4() && *first <= ip && ip <= *last
        }
        (Pattern::Net(_) | Pattern::Range(..), None) => false,
        (Pattern::Name(name), _) => *name == host.text,
        (Pattern::Suffix(suffix), _) => match host.text.strip_suffix(suffix.as_str()) {
            Some(before) => before.is_empty() || before.ends_with('.'),
            None => false,
        },
        (Pattern::Glob(glob), _) => globs(glob.as_bytes(), host.text.as_bytes()),
    }
}

/// A target's host in the one spelling that patterns are compared with, so that another spelling
/// is no way round them.
struct Spelled {
    ip: Option<IpAddr>,
    text: String,
}

impl Spelled {
    fn new(target: &Target) -> Self {
        let ip = match &target.host {
            // A dial without a host is one to this machine.
            None => Some(Ipv4Addr::LOCALHOST.into()),
            Some(Host::Ip(ip)) => Some(ip.to_canonical()),
            Some(Host::Name(name)) => {
                let text = name.trim_end_matches('.').to_lowercase();
                return Self { ip: None, text };
            }
        };
        Self { ip, text: ip.map(|ip| ip.to_string()).unwrap_or_default() }
    }
}

/// `*` is any run of bytes, dots too; `?` one. Goes back to the last star only, so it takes no
/// more than the product of both lengths.
fn globs(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut star = None;
    while let Some(byte) = text.get(t) {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(one) if *one == b'?' || one == byte => {
                g += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                g = at + 1;
                t = from + 1;
            }
        }
    }
    glob.iter().skip(g).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::PortRange;

    fn bypass(whitelist: bool, hosts: &[Pattern]) -> Arc<Bypass> {
        let patterns =
            hosts.iter().map(|host| TargetPattern { host: host.clone(), ports: None }).collect();
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
        let bypass =
            Bypass { network: Some(Network::Tcp), patterns: vec![pattern], ..Default::default() };
        let bypasses = [Arc::new(bypass)];
        assert!(hit(&bypasses, "a:85"));
        assert!(!hit(&bypasses, "a:91"));
        assert!(!matches(&bypasses, Network::Udp, &"a:85".parse().unwrap()));
    }
}
