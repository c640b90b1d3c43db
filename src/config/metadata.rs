//! Reading `metadata` maps: GOST's getters, as a superset.
//!
//! Keys count in any case. `mux: {version: 2}` is read like `mux.version: 2`; numbers from JSON count;
//! a value that cannot be read is an error where GOST silently takes the default. What a type knows is
//! what it asks for: keys that nobody asked for are reported when the map is finished.

pub(crate) mod keys;
mod siblings;
mod values;

pub(crate) use siblings::settle;
pub(crate) use values::Signed as SignedDuration;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::envelope::{self, Limit, Map};
use super::error::Findings;
use super::model::ClassLimits;
use super::raw;
use crate::base::Reason;

/// A `metadata` map that is being read.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    /// `services[0].listener.metadata`.
    path: String,
    /// By lower-case name: the name as written and the value.
    entries: BTreeMap<String, (String, &'a Value)>,
    /// The names that the type has asked for.
    asked: BTreeSet<&'static str>,
    /// The tables of what GOST reads here and this version does not.
    lacking: Vec<keys::Table>,
    /// Which map it is, where its keys are bounded.
    map: Option<Map>,
    /// Whose bounds hold; `None`: nobody's.
    limits: Option<&'a ClassLimits>,
}

impl<'a> Reader<'a> {
    /// Begins to read a map.
    pub(crate) fn new(map: &'a raw::Metadata, path: String, findings: &mut Findings) -> Self {
        let mut entries = BTreeMap::new();
        for (key, value) in map {
            flatten(key.clone(), value, &mut |key, value| {
                let at = format!("{path}.{key}");
                if entries.insert(key.to_lowercase(), (key, value)).is_some() {
                    findings.invalid(&at, "the key is given twice; keep one");
                }
            });
        }
        let (asked, lacking) = Default::default();
        Self { path, entries, asked, lacking, map: None, limits: None }
    }

    /// The same for a map whose keys have bounds, if there are `limits`.
    pub(crate) fn of(
        mut self,
        map: Map,
        limits: Option<&'a ClassLimits>,
        findings: &mut Findings,
    ) -> Self {
        let (count, most) = (self.entries.len(), envelope::METADATA_KEYS);
        if limits.is_some() && count > most {
            let message =
                format!("the map has {count} keys, nested ones among them; at most {most}");
            findings.invalid(&self.path, message);
            self.entries.clear();
        }
        Self { map: Some(map), limits, ..self }
    }

    /// Whose bounds hold.
    pub(crate) fn limits(&self) -> Option<&'a ClassLimits> {
        self.limits
    }

    /// The bound of a key, if bounds hold.
    fn bound(&self, names: &[&'static str]) -> Option<(Limit, &'a ClassLimits)> {
        let row = envelope::key(self.map?, names.first()?)?;
        Some((row.limit, self.limits?))
    }

    /// The first of a key's names that is there, as GOST picks among aliases: its path and its value.
    fn find(
        &mut self,
        names: &[&'static str],
        findings: &mut Findings,
    ) -> Option<(String, &'a Value)> {
        let first = names.iter().any(|name| !self.asked.contains(name));
        self.asked.extend(names);
        #[cfg(test)]
        tests::note(self.map, names);
        let mut found = names.iter().filter_map(|n| self.entries.get(&n.to_lowercase()));
        let (key, value) = found.next()?;
        // A handler of several protocols asks once for each; what there is to say is said once.
        for (other, _) in found.filter(|_| first) {
            let message = format!("ignored: `{key}` means the same and comes first; keep one");
            findings.warn(&format!("{}.{other}", self.path), Reason::Invalid, message);
        }
        Some((format!("{}.{key}", self.path), *value))
    }

    fn parsed<T>(
        &mut self,
        names: &[&'static str],
        findings: &mut Findings,
        parse: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let first = names.iter().any(|name| !self.asked.contains(name));
        let (path, value) = self.find(names, findings)?;
        let parsed = parse(value);
        parsed.map_err(|message| first.then(|| findings.invalid(&path, message))).ok()
    }

    /// Whether one of a key's names is there, and where.
    pub(crate) fn path_of(&self, names: &[&'static str]) -> Option<String> {
        let (key, _) = names.iter().find_map(|n| self.entries.get(&n.to_lowercase()))?;
        Some(format!("{}.{key}", self.path))
    }

    pub(crate) fn bool(&mut self, names: &[&'static str], findings: &mut Findings) -> bool {
        self.parsed(names, findings, values::bool).unwrap_or_default()
    }

    /// A number; zero and below are "use the default", as in GOST.
    pub(crate) fn count(&mut self, names: &[&'static str], findings: &mut Findings) -> Option<u32> {
        let bound = self.bound(names);
        let parse = |value: &Value| {
            let count = values::count(value)?;
            match (count, bound) {
                (Some(n), Some((limit, limits))) => {
                    limit.holds_number(n.into(), limits).map(|()| count)
                }
                _ => Ok(count),
            }
        };
        self.parsed(names, findings, parse).flatten()
    }

    pub(crate) fn text(
        &mut self,
        names: &[&'static str],
        findings: &mut Findings,
    ) -> Option<String> {
        let bound = self.bound(names);
        let parse = |value: &Value| {
            let text = values::text(value)?;
            bound.map_or(Ok(()), |(limit, _)| limit.holds_text(&text)).map(|()| text)
        };
        self.parsed(names, findings, parse).filter(|text| !text.is_empty())
    }

    /// A list of texts, or one text with commas: a URL has no lists.
    pub(crate) fn list(&mut self, names: &[&'static str], findings: &mut Findings) -> Vec<String> {
        let bound = self.bound(names);
        let parse = |value: &Value| {
            let list = values::list(value)?;
            match bound {
                Some((Limit::Items(most), _)) if list.len() as u64 > most.into() => {
                    Err(format!("the list has {} entries; at most {most}", list.len()))
                }
                _ => Ok(list),
            }
        };
        self.parsed(names, findings, parse).unwrap_or_default()
    }

    /// A duration: Go's syntax, or a bare number of seconds. Zero is "use the default" or "none".
    pub(crate) fn duration(
        &mut self,
        names: &[&'static str],
        findings: &mut Findings,
    ) -> Option<Duration> {
        self.any_duration(names, false, findings)
            .map(|d| match d {
                SignedDuration::Negative => Duration::ZERO,
                SignedDuration::Positive(duration) => duration,
            })
            .filter(|d| !d.is_zero())
    }

    /// A duration where a negative one has a meaning of its own.
    pub(crate) fn signed_duration(
        &mut self,
        names: &[&'static str],
        findings: &mut Findings,
    ) -> Option<SignedDuration> {
        self.any_duration(names, true, findings)
    }

    /// `forever`: what a negative one means.
    fn any_duration(
        &mut self,
        names: &[&'static str],
        forever: bool,
        findings: &mut Findings,
    ) -> Option<SignedDuration> {
        let bound = self.bound(names);
        let parse = |value: &Value| {
            let found = values::duration(value)?;
            let Some((limit, limits)) = bound else { return Ok(found) };
            match found {
                SignedDuration::Negative if forever => limit.holds_forever(limits)?,
                SignedDuration::Positive(duration) if !duration.is_zero() => {
                    limit.holds_duration(duration, limits)?;
                }
                _ => {}
            }
            Ok(found)
        };
        self.parsed(names, findings, parse)
    }

    /// HTTP headers, their names in Go's canonical form: as GOST sends them.
    ///
    /// `reserved` are those that the protocol itself writes.
    pub(crate) fn headers(
        &mut self,
        names: &[&'static str],
        reserved: &[&str],
        findings: &mut Findings,
    ) -> BTreeMap<String, String> {
        let bounded = self.bound(names).is_some();
        let Some((path, value)) = self.find(names, findings) else { return BTreeMap::new() };
        let held = if bounded { values::few_headers(value) } else { Ok(()) };
        match held.and_then(|()| values::headers(value, reserved)) {
            Ok(headers) => headers,
            Err((key, message)) => {
                findings.invalid(&format!("{path}{key}"), message);
                BTreeMap::new()
            }
        }
    }
}

/// Keys whose value is a map by itself, not a nested way to write dotted keys.
const MAPS: &[&str] = &["header", "ws.header", "http.header", "labels"];

fn flatten<'a>(key: String, value: &'a Value, add: &mut impl FnMut(String, &'a Value)) {
    match value {
        Value::Null => {}
        Value::Object(map) if !MAPS.contains(&key.to_lowercase().as_str()) => {
            for (inner, value) in map {
                flatten(format!("{key}.{inner}"), value, add);
            }
        }
        value => add(key, value),
    }
}

/// A map with dotted keys instead of nested maps: GOST's getters know no others.
pub(crate) fn flat(map: &raw::Metadata) -> raw::Metadata {
    let mut entries = raw::Metadata::new();
    for (key, value) in map {
        flatten(key.clone(), value, &mut |key, value| {
            entries.insert(key, value.clone());
        });
    }
    entries
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    thread_local! {
        /// The keys that were asked for on this thread.
        static NOTED: std::cell::RefCell<BTreeSet<(Map, &'static str)>> = Default::default();
    }

    pub(super) fn note(map: Option<Map>, names: &[&'static str]) {
        let Some(map) = map else { return };
        NOTED.with_borrow_mut(|noted| noted.extend(names.iter().map(|name| (map, *name))));
    }

    /// The keys that were asked for on this thread since the last question.
    pub(crate) fn noted() -> BTreeSet<(Map, &'static str)> {
        NOTED.take()
    }

    fn metadata(value: Value) -> raw::Metadata {
        serde_json::from_value(value).unwrap()
    }

    fn read<T>(
        value: Value,
        read: impl FnOnce(&mut Reader, &mut Findings) -> T,
    ) -> (T, Vec<String>) {
        let map = metadata(value);
        let mut findings = Findings::default();
        let result = read(&mut Reader::new(&map, "m".into(), &mut findings), &mut findings);
        (result, findings.errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn keys_count_in_any_case_nested_and_by_their_first_alias() {
        let map = json!({"MUX": {"Version": 2}, "path": "/b", "WS.Path": "/a"});
        let (found, errors) =
            read(map, |r, f| (r.count(&["mux.version"], f), r.text(&["ws.path", "path"], f)));
        assert_eq!((found, errors.len()), ((Some(2), Some("/a".into())), 0));
    }

    #[test]
    fn a_key_in_both_spellings_is_an_error() {
        let (_, errors) = read(json!({"mux.version": 1, "mux": {"version": 2}}), |_, _| ());
        assert_eq!(errors.len(), 1, "{errors:?}");
    }

    #[test]
    fn bare_numbers_are_seconds_and_numbers_of_json_count() {
        for (value, seconds) in
            [(json!(15), 15.0), (json!("15"), 15.0), (json!(1.5), 1.5), (json!("1m"), 60.0)]
        {
            let (found, errors) = read(json!({"ttl": value}), |r, f| r.duration(&["ttl"], f));
            assert_eq!((found.map(|d| d.as_secs_f64()), errors.len()), (Some(seconds), 0));
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_is_an_error_with_its_path() {
        let (_, errors) =
            read(json!({"Keepalive": "yes", "ttl": "soon", "header": "x"}), |r, f| {
                r.bool(&["keepalive"], f);
                r.duration(&["ttl"], f);
                r.headers(&["header"], &[], f);
            });
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(errors[0].starts_with("m.Keepalive: "), "{errors:?}");
    }

    #[test]
    fn headers_get_the_names_that_go_on_the_wire() {
        let (found, _) = read(json!({"header": {"x-team": "a", "retry-after": 3}}), |r, f| {
            r.headers(&["header"], &[], f)
        });
        let expected =
            [("Retry-After".to_string(), "3".to_string()), ("X-Team".into(), "a".into())];
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn headers_that_would_break_the_protocol_are_refused() {
        for header in [json!({"a b": "c"}), json!({"a": "b\r\nc: d"}), json!({"upgrade": "x"})] {
            let (_, errors) =
                read(json!({ "header": header }), |r, f| r.headers(&["header"], &["Upgrade"], f));
            assert_eq!(errors.len(), 1, "{errors:?}");
        }
    }
}
