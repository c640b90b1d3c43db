//! The parts of a `-L` or `-F` text.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::base::Reason;
use crate::config::error::Findings;
use crate::config::names;
use crate::config::raw;
use crate::config::types::Family;

/// `scheme://user:password@address/path?query`, cut at its separators.
///
/// Cut by hand, as GOST does: port ranges and lists of hosts are no valid URL.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) scheme: String,
    userinfo: Option<&'a str>,
    /// `host:port`, with what `-L` and `-F` allow in it.
    pub(super) address: &'a str,
    /// Without the slashes around it, still percent-encoded.
    pub(super) path: &'a str,
    query: Vec<(String, String)>,
}

impl<'a> Parts<'a> {
    /// Cuts a text; `default` is the scheme of one that has none. `None` after an error: an @ behind
    /// the / or ? tells that user info was cut apart.
    pub(super) fn cut(
        text: &'a str,
        default: &str,
        path: &str,
        findings: &mut Findings,
    ) -> Option<Self> {
        if is_torn(text) {
            let message = "a / or ? before the @: write %2F and %3F in user info, or use auth= \
                           with base64 of user:password; write %40 for an @ after the address";
            findings.invalid(path, message);
            return None;
        }
        if let Some((word, rest)) = text.trim().split_once(":/")
            && !rest.starts_with('/')
            && !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
        {
            let message = format!("one / after {word}: write {word}://");
            findings.invalid(path, message);
            return None;
        }
        let (scheme, rest) = scheme(text);
        let scheme = scheme.unwrap_or(default);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, after) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, address) = match authority.rsplit_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, authority),
        };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            // Go's `Query().Get`: of a repeated parameter, the first counts.
            if !key.is_empty() && pairs.iter().all(|(k, _)| *k != key) {
                pairs.push((key.into_owned(), value.into_owned()));
            }
        }
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => "http+tls".into(),
            other => other.into(),
        };
        Some(Self { scheme, userinfo, address, path: after.trim_matches('/'), query: pairs })
    }

    /// The types that a scheme stands for: `first+second`, or one word for either.
    ///
    /// A single word that only the first family has goes with `tcp`; one that only the second has, with
    /// `default`.
    pub(super) fn types(
        &self,
        first: &Family,
        second: &Family,
        default: &str,
        path: &str,
        findings: &mut Findings,
    ) -> Option<(String, String)> {
        let scheme = &self.scheme;
        let unknown = |word: &str, families: &[&Family], findings: &mut Findings| {
            let all = families.iter().flat_map(|f| f.ours.iter().chain(f.theirs)).copied();
            let offer = names::nearest(word, all)
                .map(|n| format!("; did you mean {n:?}?"))
                .unwrap_or_default();
            let what = families.iter().map(|f| f.noun).collect::<Vec<_>>().join(" or ");
            let around = match scheme.as_str() {
                "tls+ws" => "; TLS around ws is wss",
                "tls+mws" => "; TLS around mws is mwss",
                _ => &offer,
            };
            let message = format!("scheme {scheme:?}: there is no {what} {word:?}{around}");
            findings.error(path, Reason::Invalid, message);
            None
        };
        let words: Vec<&str> = scheme.split('+').collect();
        let types: Option<(String, String)> = match words.as_slice() {
            [word] => match (first.has(word), second.has(word)) {
                (true, true) => Some(((*word).into(), (*word).into())),
                (true, false) => Some(((*word).into(), "tcp".into())),
                (false, true) => Some((default.into(), (*word).into())),
                (false, false) => unknown(word, &[first, second], findings),
            },
            [a, b] => match (first.has(a), second.has(b)) {
                (true, true) => Some(((*a).into(), (*b).into())),
                (false, _) => unknown(a, &[first], findings),
                (_, false) => unknown(b, &[second], findings),
            },
            _ => {
                findings.invalid(path, format!("scheme {scheme:?} has more than two parts"));
                None
            }
        };
        let (a, b) = types?;
        let lacking: Vec<String> = [(&a, first), (&b, second)]
            .into_iter()
            .filter(|(word, family)| !family.ours.contains(&word.as_str()))
            .map(|(word, family)| format!("{} {word:?}", family.noun))
            .collect();
        if lacking.is_empty() {
            return Some((a, b));
        }
        let supported =
            [first, second].map(|f| format!("{}s {}", f.noun, f.ours.join(", "))).join("; ");
        let message = format!(
            "scheme {scheme:?}: {} not supported in this version; supported: {supported}",
            match lacking.as_slice() {
                [one] => format!("{one} is"),
                all => format!("{} are", all.join(" and ")),
            }
        );
        findings.unsupported(path, message);
        None
    }

    /// The credentials: user info, or `auth=` with base64 of `user:password`. Of both, gost's
    /// versions do not agree on which counts: an error, unless they are the same.
    pub(super) fn auth(&mut self, path: &str, findings: &mut Findings) -> Option<raw::Auth> {
        let of_parameter = match self.take(&["auth"]) {
            Some((_, text)) => Some(encoded(&text, path, findings)?),
            None => None,
        };
        let Some(userinfo) = self.userinfo else { return of_parameter };
        let (username, password) = match userinfo.split_once(':') {
            Some((username, password)) => (username, Some(password)),
            None => (userinfo, None),
        };
        let username = decoded(username, path, findings)?;
        let password = match password {
            Some(password) => Some(decoded(password, path, findings)?),
            None => None,
        };
        let auth = raw::Auth { username, password, ..raw::Auth::default() };
        if of_parameter.is_some_and(|other| other != auth) {
            findings.invalid(path, "user info before the @ and auth= differ; keep one");
        }
        Some(auth)
    }

    /// Takes a parameter out, by the first of its names that is there; names count in any case.
    pub(super) fn take(&mut self, names: &[&str]) -> Option<(String, String)> {
        let is = |(key, _): &(String, String), name: &str| key.eq_ignore_ascii_case(name);
        let at = names.iter().find_map(|n| self.query.iter().position(|pair| is(pair, n)))?;
        Some(self.query.remove(at))
    }

    /// Refuses parameters by name.
    pub(super) fn refuse(&mut self, names: &[&str], path: &str, findings: &mut Findings) {
        for name in names {
            if self.take(&[name]).is_some() {
                let message = format!("{name}= is not supported on a command line; remove it");
                findings.unsupported(path, message);
            }
        }
    }

    /// Takes parameters out that belong to the metadata of one part only.
    pub(super) fn own(&mut self, names: &[&str]) -> raw::Metadata {
        let own = names.iter().filter_map(|name| {
            let (_, value) = self.take(&[name])?;
            Some(((*name).to_string(), Value::String(value)))
        });
        own.collect()
    }

    /// What is left, for the `metadata` map of one part: its own (`handler.path`), and everybody's.
    pub(super) fn metadata(&self, part: &str, parts: &[&str]) -> raw::Metadata {
        let mut metadata = raw::Metadata::new();
        for (key, value) in &self.query {
            let prefixed = key.split_once('.').filter(|(prefix, _)| parts.contains(prefix));
            let name = match prefixed {
                Some((prefix, name)) if prefix == part => name,
                Some(_) => continue,
                None => key,
            };
            metadata.insert(name.into(), Value::String(value.clone()));
        }
        metadata
    }
}

fn decoded(text: &str, path: &str, findings: &mut Findings) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    if decoded.is_err() {
        findings.invalid(path, "the user info is not UTF-8 text");
    }
    decoded.ok().map(Into::into)
}

/// `auth=`: raw-URL or standard base64 of `user:password`.
fn encoded(text: &str, path: &str, findings: &mut Findings) -> Option<raw::Auth> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).or_else(|_| BASE64_STANDARD.decode(text));
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        findings.invalid(path, "auth= is not base64 of user:password");
        return None;
    };
    let (username, password) = match text.split_once(':') {
        Some((username, password)) => (username.into(), Some(password.into())),
        None => (text, None),
    };
    Some(raw::Auth { username, password, ..raw::Auth::default() })
}

fn scheme(text: &str) -> (Option<&str>, &str) {
    let text = text.trim();
    match text.split_once("://") {
        Some((scheme, rest)) if !text.starts_with(':') => (Some(scheme), rest),
        _ => (None, text),
    }
}

/// Whether user info was cut apart by a / or ? of its own.
fn is_torn(text: &str) -> bool {
    let (_, rest) = scheme(text);
    rest.find(['/', '?']).is_some_and(|at| rest.get(at..).is_some_and(|rest| rest.contains('@')))
}

/// How messages call a text: `-L ws://:8080`, without what may be secret.
pub(super) fn label(flag: &str, index: usize, text: &str) -> String {
    let (scheme, rest) = scheme(text);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    let plain = |text: &str| {
        text.len() <= 64
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:,[]_".contains(c))
    };
    match scheme {
        _ if is_torn(text) || !plain(address) => format!("{flag}[{index}]"),
        Some(scheme) if plain(scheme) => format!("{flag} {scheme}://{address}"),
        Some(_) => format!("{flag}[{index}]"),
        None => format!("{flag} {address}"),
    }
}
