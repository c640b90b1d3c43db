//! How one of several nodes is chosen.

use super::duration;
use crate::config::error::Findings;
use crate::config::metadata::Reader;
use crate::config::model::{Selector, Standing, Strategy};
use crate::config::names;
use crate::config::raw;

const STRATEGIES: &[(&str, Strategy)] = &[
    ("round", Strategy::Round),
    ("rr", Strategy::Round),
    ("random", Strategy::Random),
    ("rand", Strategy::Random),
    ("fifo", Strategy::Fifo),
    ("ha", Strategy::Fifo),
    ("hash", Strategy::Hash),
];

/// GOST's others.
const LACKING: &[&str] = &["parallel", "lowestlatency", "lowest", "ll"];

/// `selector`. Zero and below are "use the default", as in GOST.
pub(super) fn lower(
    selector: Option<&raw::Selector>,
    path: &str,
    findings: &mut Findings,
) -> Option<Selector> {
    let default = Selector::default();
    let Some(selector) = selector else { return Some(default) };
    let path = format!("{path}.selector");
    let strategy = strategy(&selector.strategy, &format!("{path}.strategy"), findings);
    let fail_timeout = match &selector.fail_timeout {
        None => Some(default.fail_timeout),
        Some(text) => duration(text, &format!("{path}.failTimeout"), findings)
            .map(|d| if d.is_zero() { default.fail_timeout } else { d }),
    };
    let max_fails = selector.max_fails.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    Some(Selector {
        strategy: strategy?,
        max_fails: max_fails.unwrap_or(default.max_fails),
        fail_timeout: fail_timeout?,
    })
}

/// GOST takes `round` for every name that it does not know.
fn strategy(written: &str, path: &str, findings: &mut Findings) -> Option<Strategy> {
    if written.is_empty() {
        return Some(Strategy::default());
    }
    if let Some((_, strategy)) = STRATEGIES.iter().find(|(name, _)| *name == written) {
        return Some(*strategy);
    }
    let known = "round, random, fifo, hash";
    if LACKING.contains(&written) {
        let message =
            format!("strategy {written:?} is not supported in this version; supported: {known}");
        findings.unsupported(path, message);
        return None;
    }
    let near = names::nearest(written, STRATEGIES.iter().map(|(name, _)| *name));
    let offer = near.map(|n| format!("; did you mean {n:?}?")).unwrap_or_default();
    findings.invalid(path, format!("unknown strategy {written:?}{offer}; supported: {known}"));
    None
}

/// What a node's metadata says about its choice.
pub(super) fn standing(metadata: &mut Reader, findings: &mut Findings) -> Standing {
    Standing {
        weight: metadata.count(&["weight"], findings).unwrap_or(1),
        backup: metadata.bool(&["backup"], findings),
        max_fails: metadata.count(&["maxFails"], findings),
        fail_timeout: metadata.duration(&["failTimeout"], findings),
    }
}
