//! A chain as all its `-F`.

use std::collections::BTreeMap;

use super::url::Url;
use super::{Unsaid, exact, forward};
use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::raw;

/// A chain as `-F` says it: what it is without what was dropped, and the texts.
pub(super) struct Chain {
    pub(super) hops: Vec<raw::Hop>,
    pub(super) texts: Vec<String>,
}

impl Chain {
    /// A direct dial.
    pub(super) fn none() -> &'static Self {
        static NONE: Chain = Chain { hops: Vec::new(), texts: Vec::new() };
        &NONE
    }
}

/// Every chain by its name; none where no text says it.
pub(super) fn all<'a>(
    config: &'a raw::Config,
    objects: &raw::Config,
    findings: &mut Findings,
) -> BTreeMap<&'a str, Option<Chain>> {
    let mut chains = BTreeMap::new();
    for (c, chain) in config.chains.iter().enumerate() {
        let mut hops = Vec::new();
        let mut urls = Vec::new();
        let mut complete = true;
        for (h, hop) in chain.hops.iter().enumerate() {
            let path = format!("chains[{c}].hops[{h}]");
            match forward::hop(hop, config, &path, findings) {
                Ok((hop, url)) => {
                    hops.push(hop);
                    urls.push(url);
                }
                Err(Unsaid { key, why }) => {
                    complete = false;
                    let message = format!("no -F says it: {why}");
                    findings.warn(&format!("{path}.{key}"), Reason::Unsupported, message);
                }
            }
        }
        let written = complete.then(|| texts(hops, &urls, objects)).flatten();
        if complete && written.is_none() {
            let message = "no -F says exactly this";
            findings.warn(&format!("chains[{c}]"), Reason::Unsupported, message);
        }
        chains.insert(chain.name.as_str(), written);
    }
    chains
}

/// As `-F`, without prefixes if that says the same.
fn texts(hops: Vec<raw::Hop>, urls: &[Url], objects: &raw::Config) -> Option<Chain> {
    let listen = ["http://:1".to_string()];
    let service = raw::Service {
        addr: ":1".into(),
        handler: Some(raw::Handler { kind: "http".into(), ..raw::Handler::default() }),
        ..raw::Service::default()
    };
    [true, false].into_iter().find_map(|plain| {
        let texts: Vec<String> = urls.iter().map(|url| url.text(plain)).collect();
        let chain = Chain { hops: hops.clone(), texts };
        exact::says(&listen, &service, &chain, objects).then_some(chain)
    })
}
