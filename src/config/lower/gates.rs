//! Admissions and bypasses: who may come, and where to.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::references::Named;
use super::{LowerContext, file};
use crate::base::{Host, Network, Reason};
use crate::config::error::Findings;
use crate::config::model::{Admission, Bypass, Pattern, PortRange, TargetPattern};
use crate::config::raw;

/// `admissions`.
pub(super) fn admissions(
    config: &raw::Config,
    context: &LowerContext,
    findings: &mut Findings,
) -> Named<Arc<Admission>> {
    let mut named = Named::new("admission");
    for (i, admission) in config.admissions.iter().enumerate() {
        let path = format!("admissions[{i}]");
        let lowered = lower_admission(admission, &path, context, findings);
        named.add(&admission.name, lowered.map(Arc::new), &path, findings);
    }
    named
}

fn lower_admission(
    admission: &raw::Admission,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Admission> {
    let (written, file) = (&admission.matchers, admission.file.as_ref());
    file::reload(admission.reload.as_ref(), path, findings);
    let matchers = matchers(written, file, path, context, findings, |text| {
        net(text).ok_or_else(|| {
            format!("{text:?} is not an address or CIDR; clients have no names here")
        })
    });
    let whitelist = admission.whitelist || admission.reverse;
    let mut nets = matchers?;
    nets.sort();
    nets.dedup();
    if nets.is_empty() && (whitelist || file.is_none()) {
        let effect = if whitelist { "nobody is admitted" } else { "everybody is admitted" };
        findings.warn(path, Reason::Accepted, format!("without matchers {effect}"));
    }
    Some(Admission { name: admission.name.clone(), whitelist, nets })
}

/// `bypasses`.
pub(super) fn bypasses(
    config: &raw::Config,
    context: &LowerContext,
    findings: &mut Findings,
) -> Named<Arc<Bypass>> {
    let mut named = Named::new("bypass");
    for (i, bypass) in config.bypasses.iter().enumerate() {
        let path = format!("bypasses[{i}]");
        let lowered = lower_bypass(bypass, &path, context, findings);
        named.add(&bypass.name, lowered.map(Arc::new), &path, findings);
    }
    named
}

fn lower_bypass(
    bypass: &raw::Bypass,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
) -> Option<Bypass> {
    let (written, file) = (&bypass.matchers, bypass.file.as_ref());
    file::reload(bypass.reload.as_ref(), path, findings);
    let patterns = matchers(written, file, path, context, findings, target_pattern);
    let network = match bypass.network.as_str() {
        "" => Ok(None),
        "tcp" => Ok(Some(Network::Tcp)),
        "udp" => Ok(Some(Network::Udp)),
        other => Err(format!("{other:?} is not a network; write tcp or udp")),
    };
    let network = network.map_err(|e| findings.invalid(&format!("{path}.network"), e));
    let patterns = patterns?;
    if patterns.is_empty() && file.is_none() {
        findings.warn(path, Reason::Accepted, "without matchers nothing is ever passed by");
    }
    let whitelist = bypass.whitelist || bypass.reverse;
    let (name, patterns) = (bypass.name.clone(), patterns.into());
    Some(Bypass { name, whitelist, network: network.ok()?, patterns })
}

/// What is written and what the file holds; `None` after an error.
fn matchers<T>(
    written: &[String],
    file: Option<&raw::FileRef>,
    path: &str,
    context: &LowerContext,
    findings: &mut Findings,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let errors = findings.errors.len();
    let mut parsed = Vec::new();
    for (i, text) in written.iter().enumerate() {
        match parse(text.trim()) {
            Ok(matcher) => parsed.push(matcher),
            Err(message) => findings.invalid(&format!("{path}.matchers[{i}]"), message),
        }
    }
    for (number, line) in file::lines(file, path, context, findings).unwrap_or_default() {
        match parse(file::uncommented(&line)) {
            Ok(matcher) => parsed.push(matcher),
            Err(message) => {
                let message = format!("line {number}: {message}");
                findings.invalid(&format!("{path}.file.path"), message);
            }
        }
    }
    (findings.errors.len() == errors).then_some(parsed)
}

/// An address or a CIDR.
pub(super) fn net(text: &str) -> Option<IpNet> {
    let address = text.parse::<IpAddr>().ok().map(IpNet::from);
    address.or_else(|| text.parse::<IpNet>().ok().map(|net| net.trunc()))
}

/// GOST's classes, the first that fits: a CIDR, a glob, an address or a range, a name.
fn target_pattern(text: &str) -> Result<TargetPattern, String> {
    let all = |host| Ok(TargetPattern { host, ports: None });
    if let Some(net) = net(text) {
        return all(Pattern::Net(net));
    }
    if let Some((first, last)) = text.split_once('-')
        && let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse::<IpAddr>())
    {
        return range(first, last, text).and_then(all);
    }
    let (host, ports) = split_ports(text)?;
    let lower = host.to_ascii_lowercase();
    if lower.contains(['[', ']', '{', '}']) && lower.parse::<Host>().is_err() {
        return Err(format!("{text:?}: of the wildcards there are only * and ? here"));
    }
    let host = if lower.contains(['*', '?']) {
        if !lower.is_ascii() {
            return Err(format!(
                "{text:?}: a host is of ASCII characters; write xn--... for others"
            ));
        }
        Pattern::Glob(lower.trim_end_matches('.').into())
    } else if let Some(name) = lower.strip_prefix('.') {
        Pattern::Suffix(name_of(name, text)?)
    } else {
        match lower.parse() {
            Ok(Host::Ip(ip)) => Pattern::Net(ip.into()),
            _ => Pattern::Name(name_of(&lower, text)?),
        }
    };
    Ok(TargetPattern { host, ports })
}

fn range(first: IpAddr, last: IpAddr, text: &str) -> Result<Pattern, String> {
    if first.is_ipv4() != last.is_ipv4() || first > last {
        return Err(format!("{text:?} is not a range of one family, smallest address first"));
    }
    Ok(Pattern::Range(first, last))
}

fn name_of(name: &str, text: &str) -> Result<String, String> {
    match name.trim_end_matches('.').parse() {
        Ok(Host::Name(name)) => Ok(name),
        _ => Err(format!(
            "{text:?} is neither an address, a CIDR, a range nor a name (ASCII; xn--... for others)"
        )),
    }
}

/// Cuts `:port` or `:first-last` off.
fn split_ports(text: &str) -> Result<(&str, Option<PortRange>), String> {
    let Some((host, ports)) = text.rsplit_once(':') else { return Ok((text, None)) };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((host, Some(PortRange { first, last }))),
        _ => Err(format!("{text:?}: {ports:?} is neither a port nor a range of ports")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> (Pattern, Option<(u16, u16)>) {
        let TargetPattern { host, ports } = target_pattern(text).unwrap();
        (host, ports.map(|p| (p.first, p.last)))
    }

    #[test]
    fn a_matcher_is_of_the_first_class_that_fits() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let net = |text: &str| Pattern::Net(text.parse().unwrap());
        let range = Pattern::Range(ip("10.0.0.1"), ip("10.0.0.9"));
        for (text, host, ports) in [
            ("10.1.2.3/8", net("10.0.0.0/8"), None),
            ("10.1.2.3", net("10.1.2.3/32"), None),
            ("::1", net("::1/128"), None),
            ("[::1]:80", net("::1/128"), Some((80, 80))),
            ("10.0.0.1-10.0.0.9", range, None),
            ("10.0.0.1:80-90", net("10.0.0.1/32"), Some((80, 90))),
            ("Example.COM", Pattern::Name("example.com".into()), None),
            ("a-b.io:443", Pattern::Name("a-b.io".into()), Some((443, 443))),
            (".Example.com", Pattern::Suffix("example.com".into()), None),
            ("*.corp:1-1024", Pattern::Glob("*.corp".into()), Some((1, 1024))),
            ("*", Pattern::Glob("*".into()), None),
            ("*.Corp.", Pattern::Glob("*.corp".into()), None),
            ("Example.com.", Pattern::Name("example.com".into()), None),
            ("db?", Pattern::Glob("db?".into()), None),
        ] {
            assert_eq!(pattern(text), (host, ports), "{text}");
        }
    }

    #[test]
    fn what_is_of_no_class_is_refused() {
        for text in [
            "",
            ":80",
            "a b",
            "10.0.0.9-10.0.0.1",
            "::1-10.0.0.1",
            "x:99999",
            "x:9-1",
            "[a-z].io",
            "{a,b}.io",
            ".",
            "x:",
            "b\u{fc}cher.de",
            "*.b\u{fc}cher.de",
            "\u{ff45}vil.example",
            ".ev\u{ad}il.example",
            "e%76il.example",
            "evil..example",
            "127.1",
            "2130706433",
        ] {
            assert!(target_pattern(text).is_err(), "{text}");
        }
    }
}
