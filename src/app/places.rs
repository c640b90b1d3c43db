//! Which file or flag a path of the merged configuration comes from.

use std::collections::BTreeMap;

use crate::config::cmdline::Line;
use crate::config::error::Diagnostic;
use crate::config::raw;

/// Paths of the merged configuration, and what a person calls them.
#[derive(Debug, Default)]
pub(super) struct Places {
    names: BTreeMap<String, String>,
    sources: Vec<String>,
}

/// The lists of a configuration and how long they are.
fn lists(config: &raw::Config) -> [(&'static str, usize); 11] {
    [
        ("services", config.services.len()),
        ("chains", config.chains.len()),
        ("hops", config.hops.len()),
        ("authers", config.authers.len()),
        ("admissions", config.admissions.len()),
        ("bypasses", config.bypasses.len()),
        ("hosts", config.hosts.len()),
        ("resolvers", config.resolvers.len()),
        ("limiters", config.limiters.len()),
        ("climiters", config.climiters.len()),
        ("rlimiters", config.rlimiters.len()),
    ]
}

impl Places {
    /// A file's lists, which are put behind those of `merged`.
    pub(super) fn file(&mut self, name: &str, merged: &raw::Config, config: &raw::Config) {
        if *config != raw::Config::default() {
            self.sources.push(name.into());
        }
        for ((list, start), (_, count)) in lists(merged).into_iter().zip(lists(config)) {
            for at in 0..count {
                let place = format!("{name}: {list}[{at}]");
                self.names.insert(format!("{list}[{}]", start + at), place);
            }
        }
    }

    /// The same for the command line.
    pub(super) fn line(&mut self, merged: &raw::Config, line: &Line) {
        for (path, label) in &line.labels {
            let place = lists(merged).into_iter().find_map(|(list, start)| {
                let rest = path.strip_prefix(list)?.strip_prefix('[')?;
                let (at, rest) = rest.split_once(']')?;
                Some(format!("{list}[{}]{rest}", start + at.parse::<usize>().ok()?))
            });
            self.names.extend(place.map(|place| (place, format!("{label}:"))));
        }
    }

    /// A finding about the merged configuration, at its file or flag.
    pub(super) fn tell(&self, mut finding: Diagnostic) -> Diagnostic {
        let ends = finding.path.match_indices(']').map(|(at, _)| at + 1);
        let mut known = ends.filter_map(|end| {
            let (start, rest) = finding.path.split_at_checked(end)?;
            Some((self.names.get(start)?, rest))
        });
        if let Some((place, rest)) = known.next_back() {
            finding.path = match place.strip_suffix(':') {
                Some(flag) => {
                    let rest = rest.trim_start_matches('.');
                    // "-L ws://:1" and "listener.path" are two words, and so is a flag alone.
                    if rest.is_empty() { flag.into() } else { format!("{flag}: {rest}") }
                }
                None => format!("{place}{rest}"),
            };
        } else if let [only] = self.sources.as_slice() {
            finding = finding.within(only);
        }
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Reason;
    use crate::config::cmdline;
    use crate::config::read::read;

    fn told(places: &Places, path: &str) -> String {
        places.tell(Diagnostic::new(path, Reason::Invalid, "x")).path
    }

    #[test]
    fn each_finding_is_at_its_file_or_flag() {
        let mut merged = raw::Config::default();
        let mut places = Places::default();
        for name in ["a.yaml", "b.yaml"] {
            let config = read(
                "services: [{name: a, addr: ':0'}, {name: b, addr: ':0'}]\nchains: [{name: c}]",
            )
            .unwrap()
            .gost;
            places.file(name, &merged, &config);
            merged.extend(config);
        }
        let texts = |text: &str| vec![text.to_string()];
        let line = cmdline::parse(&texts("ws://:1?bypass=x"), &texts("wss://h:1")).unwrap();
        places.line(&merged, &line);
        for (path, place) in [
            ("services[1].addr", "a.yaml: services[1].addr"),
            ("services[2]", "b.yaml: services[0]"),
            ("services[4].listener.path", "-L ws://:1: listener.path"),
            ("chains[2].hops[0].nodes[0].addr", "-F wss://h:1: nodes[0].addr"),
            ("chains[1].hops[0].nodes[0].addr", "b.yaml: chains[0].hops[0].nodes[0].addr"),
            ("bypasses[0].matchers[0]", "-L ws://:1: bypass=: matchers[0]"),
            ("tls", "tls"),
        ] {
            assert_eq!(told(&places, path), place);
        }
    }
}
