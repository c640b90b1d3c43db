//! A `-L` or `-F` text from its parts.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::metadata::flat;
use crate::config::raw;
use crate::config::read::go_number;
use crate::config::types::Family;

/// What would end a parameter or mean something else in it: to Go's URL, to ours (an @ behind the
/// address tells of torn user info), to HTML forms.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'+')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Everything but RFC 3986's unreserved characters.
const USER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parts.
#[derive(Default)]
pub(super) struct Url {
    pub(super) scheme: String,
    pub(super) user: Option<(String, Option<String>)>,
    pub(super) address: String,
    /// Targets.
    pub(super) path: String,
    /// Parameters that are no metadata.
    pub(super) query: Vec<(&'static str, String)>,
    /// Metadata by the prefix that sends it to one part.
    pub(super) metadata: Vec<(&'static str, BTreeMap<String, String>)>,
}

impl Url {
    /// The text. `plain` has no prefixes where one value is given: every part then has a copy. Without
    /// it, a part has what it had.
    pub(super) fn text(&self, plain: bool) -> String {
        let mut text = format!("{}://", self.scheme);
        if let Some((name, password)) = &self.user {
            text.extend(utf8_percent_encode(name, USER));
            if let Some(password) = password {
                text.push(':');
                text.extend(utf8_percent_encode(password, USER));
            }
            text.push('@');
        }
        text.push_str(&self.address);
        if !self.path.is_empty() {
            text.push('/');
            text.push_str(&self.path);
        }
        let query = self.query.iter().map(|(key, value)| ((*key).to_string(), value.clone()));
        for (i, (key, value)) in query.chain(self.parameters(plain)).enumerate() {
            text.push(if i == 0 { '?' } else { '&' });
            text.extend(utf8_percent_encode(&key, QUERY));
            text.push('=');
            text.extend(utf8_percent_encode(&value, QUERY));
        }
        text
    }

    fn parameters(&self, plain: bool) -> Vec<(String, String)> {
        let mut keys: Vec<&String> = self.metadata.iter().flat_map(|(_, map)| map.keys()).collect();
        keys.sort();
        keys.dedup();
        let mut parameters = Vec::new();
        for key in keys {
            let having = self.metadata.iter().filter_map(|(part, map)| Some((part, map.get(key)?)));
            let having: Vec<_> = having.collect();
            let [(_, first), others @ ..] = having.as_slice() else { continue };
            let one = others.iter().all(|(_, value)| value == first);
            if one && (plain || having.len() == self.metadata.len()) {
                parameters.push((key.clone(), (*first).clone()));
            } else {
                let with =
                    |(part, value): &(&&str, &String)| (format!("{part}.{key}"), (*value).clone());
                parameters.extend(having.iter().map(with));
            }
        }
        parameters
    }
}

/// The shortest scheme for two types, as GOST reads it.
pub(super) fn scheme(
    (first, firsts): (&str, &Family),
    (second, seconds): (&str, &Family),
    default: &str,
) -> String {
    let alone = |word: &str| match (firsts.has(word), seconds.has(word)) {
        (true, true) => (word, word) == (first, second),
        (true, false) => (word, "tcp") == (first, second),
        (false, true) => (default, word) == (first, second),
        (false, false) => false,
    };
    match [second, first].into_iter().find(|word| alone(word)) {
        Some(word) => word.into(),
        None => format!("{first}+{second}"),
    }
}

/// What of a metadata map a URL can say; the rest is dropped from it, with a word.
pub(super) fn sayable(
    map: &mut raw::Metadata,
    path: &str,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let mut kept = flat(map);
    kept.retain(|key, value| {
        let text = text(value);
        if text.is_none() {
            let message = "dropped: a URL has no maps; keep it in a file";
            findings.warn(&format!("{path}.metadata.{key}"), Reason::Unsupported, message);
        }
        texts.extend(text.map(|text| (key.clone(), text)));
        texts.contains_key(key)
    });
    *map = kept;
    texts
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(on) => Some(on.to_string()),
        Value::Number(number) => Some(go_number(number)),
        Value::Array(list) => Some(list.iter().map(text).collect::<Option<Vec<_>>>()?.join(",")),
        Value::Null | Value::Object(_) => None,
    }
}
