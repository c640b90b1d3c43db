//! Limiters: bytes, connections, requests.

use std::sync::Arc;

use ipnet::IpNet;

use super::gates::net;
use super::references::Named;
use super::{LowerContext, file};
use crate::base::Size;
use crate::config::error::Findings;
use crate::config::model::{Limits, Rate};
use crate::config::raw;

/// `limiters`: `KEY IN [OUT [BURST]]`, sizes a second.
pub(super) fn traffic(
    config: &raw::Config,
    context: &LowerContext,
    findings: &mut Findings,
) -> Named<Arc<Limits<Rate>>> {
    let lowering = Lowering { noun: "limiter", key: "limiters", unlimited: Rate::default() };
    lowering.all(&config.limiters, rate, context, findings)
}

/// `climiters`: `KEY NUMBER`.
pub(super) fn connections(
    config: &raw::Config,
    context: &LowerContext,
    findings: &mut Findings,
) -> Named<Arc<Limits<u32>>> {
    let lowering = Lowering { noun: "climiter", key: "climiters", unlimited: u32::MAX };
    let parse = |values: &[&str]| {
        let number = |text: &str| text.parse::<i64>().ok();
        let [value] = values else { return Err("expected a key and a number".into()) };
        let number = number(value).ok_or_else(|| format!("{value:?} is not a whole number"))?;
        Ok(u32::try_from(number).ok().filter(|n| *n > 0).unwrap_or(u32::MAX))
    };
    lowering.all(&config.climiters, parse, context, findings)
}

/// `rlimiters`: `KEY RATE`, requests a second.
pub(super) fn requests(
    config: &raw::Config,
    context: &LowerContext,
    findings: &mut Findings,
) -> Named<Arc<Limits<f64>>> {
    let unlimited = f64::from(u32::MAX);
    let lowering = Lowering { noun: "rlimiter", key: "rlimiters", unlimited };
    let parse = |values: &[&str]| {
        let [value] = values else { return Err("expected a key and a number".into()) };
        match value.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate.min(unlimited)),
            Ok(rate) if rate <= 0.0 => Ok(unlimited),
            _ => Err(format!("{value:?} is not a number")),
        }
    };
    lowering.all(&config.rlimiters, parse, context, findings)
}

struct Lowering<V> {
    noun: &'static str,
    key: &'static str,
    /// What zero and below mean.
    unlimited: V,
}

impl<V: Clone + PartialEq> Lowering<V> {
    fn all(
        &self,
        limiters: &[raw::Limiter],
        parse: impl Fn(&[&str]) -> Result<V, String>,
        context: &LowerContext,
        findings: &mut Findings,
    ) -> Named<Arc<Limits<V>>> {
        let mut named = Named::new(self.noun);
        for (i, limiter) in limiters.iter().enumerate() {
            let path = format!("{}[{i}]", self.key);
            let limits = self.limits(limiter, &path, &parse, context, findings);
            named.add(&limiter.name, limits.map(Arc::new), &path, findings);
        }
        named
    }

    fn limits(
        &self,
        limiter: &raw::Limiter,
        path: &str,
        parse: impl Fn(&[&str]) -> Result<V, String>,
        context: &LowerContext,
        findings: &mut Findings,
    ) -> Option<Limits<V>> {
        let errors = findings.errors.len();
        file::reload(limiter.reload.as_ref(), path, findings);
        let mut limits = Limits { service: None, each: None, nets: Vec::new() };
        for (i, line) in limiter.limits.iter().enumerate() {
            if let Err(message) = self.line(line, &parse, &mut limits) {
                findings.invalid(&format!("{path}.limits[{i}]"), message);
            }
        }
        let lines = file::lines(limiter.file.as_ref(), path, context, findings);
        for (number, line) in lines.unwrap_or_default() {
            if let Err(message) = self.line(file::uncommented(&line), &parse, &mut limits) {
                let message = format!("line {number}: {message}");
                findings.invalid(&format!("{path}.file.path"), message);
            }
        }
        if limiter.limits.is_empty() && limiter.file.is_none() {
            let message = "there are no limits, so nothing would be limited; write limits";
            findings.invalid(path, message);
        }
        limits.nets.sort_by_key(|(net, _)| *net);
        (findings.errors.len() == errors).then_some(limits)
    }

    /// One line. GOST ignores what it cannot read, and does not limit.
    fn line(
        &self,
        line: &str,
        parse: impl Fn(&[&str]) -> Result<V, String>,
        limits: &mut Limits<V>,
    ) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [key, values @ ..] = words.as_slice() else { return Err("the line is empty".into()) };
        let value = parse(values)?;
        let limited = Some(value.clone()).filter(|v| *v != self.unlimited);
        let twice = || Err(format!("the key {key} is given twice; keep one"));
        let has = |net: &IpNet| limits.nets.iter().any(|(other, _)| other == net);
        match (*key, net(key)) {
            ("$", _) if limits.service.is_some() => return twice(),
            ("$", _) => limits.service = limited,
            ("$$", _) if limits.each.is_some() => return twice(),
            ("$$", _) => limits.each = limited,
            (_, Some(net)) if has(&net) => return twice(),
            // An unlimited network is told apart from the others, which `$$` limits.
            (_, Some(net)) => limits.nets.push((net, value)),
            (key, None) => {
                return Err(format!("{key:?} is not a key; write $, $$, an address or a CIDR"));
            }
        }
        Ok(())
    }
}

fn rate(values: &[&str]) -> Result<Rate, String> {
    let (up, rest) = values.split_first().ok_or("expected a key and a size, for example $ 10MB")?;
    let size = |text: Option<&&str>| text.map_or(Ok(None), |text| size(text));
    match rest {
        [] | [_] | [_, _] => {
            let (down, burst) = (size(rest.first())?, size(rest.get(1))?);
            Ok(Rate { up: size(Some(up))?, down, burst })
        }
        _ => Err("expected at most a key, two sizes and a burst".into()),
    }
}

/// A size as GOST writes it. Zero and below are unlimited. A number without a unit, which GOST takes for
/// unlimited, is an error.
fn size(text: &str) -> Result<Option<u64>, String> {
    if text == "0" || text.strip_prefix('-').is_some_and(|rest| size(rest).is_ok()) {
        return Ok(None);
    }
    let Size(bytes) = Size::with_units(text).map_err(|error| error.to_string())?;
    Ok(Some(bytes).filter(|bytes| *bytes > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_gost_writes_them() {
        for (text, bytes) in [
            ("0", None),
            ("0B", None),
            ("-1KB", None),
            ("1B", Some(1)),
            ("10KB", Some(10 << 10)),
            ("10KiB", Some(10 << 10)),
            ("1.5GB", Some(3 << 29)),
            ("1MB512KB", Some((1 << 20) + (512 << 10))),
            ("2EB", Some(2 << 60)),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "10", "kB", "10kB", "10mb", "10 KB", "1..5GB", "99EB", "KB10", "-", "1e3B"]
        {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
