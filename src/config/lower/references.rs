//! Named things: unique names, and references that have to find one.

use std::collections::BTreeMap;

use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::names;

/// Entries of a list by name. One with errors is there without a value: it exists, and its errors
/// are reported already.
#[derive(Debug)]
pub(super) struct Named<T> {
    noun: &'static str,
    entries: BTreeMap<String, Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    value: Option<T>,
    /// Where it is, and what it refers to itself.
    paths: Vec<String>,
}

impl<T: Clone> Named<T> {
    pub(super) fn new(noun: &'static str) -> Self {
        Self { noun, entries: BTreeMap::new() }
    }

    /// Adds an entry of a list whose members exist to be referred to.
    pub(super) fn add(
        &mut self,
        name: &str,
        value: Option<T>,
        path: &str,
        findings: &mut Findings,
    ) {
        let at = format!("{path}.name");
        let mut paths = std::mem::take(&mut findings.touched);
        paths.push(path.into());
        if name.is_empty() {
            findings.invalid(
                &at,
                format!("the name is missing; nothing can refer to this {}", self.noun),
            );
        } else if self.entries.insert(name.into(), Entry { value, paths }).is_some() {
            findings
                .invalid(&at, format!("there are two of {} {name:?}; names are unique", self.noun));
        }
    }

    /// The entry of a name; an error if there is none. `None` if it has errors of its own.
    pub(super) fn find(&self, name: &str, path: &str, findings: &mut Findings) -> Option<T> {
        if let Some(entry) = self.entries.get(name) {
            findings.touched.extend(entry.paths.iter().cloned());
            findings.broken += usize::from(entry.value.is_none());
            return entry.value.clone();
        }
        let noun = self.noun;
        let known = names::list(self.entries.keys().map(String::as_str));
        let message = format!("{noun} {name:?} does not exist; known: {known}");
        findings.error(path, Reason::Invalid, message);
        None
    }

    /// As [`Named::find`], where an empty name is none.
    pub(super) fn find_if(&self, name: &str, path: &str, findings: &mut Findings) -> Option<T> {
        if name.is_empty() { None } else { self.find(name, path, findings) }
    }

    /// The entries of a single name and of a list of names, each with its key: GOST takes both.
    pub(super) fn find_all(
        &self,
        (single, single_key): (&str, &str),
        (listed, listed_key): (&[String], &str),
        path: &str,
        findings: &mut Findings,
    ) -> Vec<T> {
        let first = self.find_if(single, &format!("{path}.{single_key}"), findings);
        let mut found: Vec<T> = first.into_iter().collect();
        for (i, name) in listed.iter().enumerate() {
            found.extend(self.find(name, &format!("{path}.{listed_key}[{i}]"), findings));
        }
        found
    }
}
