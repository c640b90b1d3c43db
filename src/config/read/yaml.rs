//! Text to untyped documents.

use serde_json::Value;
use serde_yaml::Options;

use crate::base::Reason;
use crate::config::error::Diagnostic;

/// A tab in an indentation: how GOST's documentation is written.
const TAB: usize = 4;

/// Every document of a YAML or JSON text, and what was corrected to read it.
///
/// A text that is not YAML is tried once more with the two slips of GOST's own documentation put
/// right: tabs in indentations, and `addr: :` for `addr: ":"`.
///
/// # Errors
/// The line and column of the first syntax error. Never a piece of the text: it may be a password.
pub(super) fn documents(text: &str) -> Result<(Vec<Value>, Vec<Diagnostic>), Diagnostic> {
    match parse(text) {
        Ok(documents) => Ok((documents, Vec::new())),
        Err(error) => {
            let (corrected, warnings) = correct(text);
            match parse(&corrected) {
                Ok(documents) if !warnings.is_empty() => Ok((documents, warnings)),
                _ => Err(error),
            }
        }
    }
}

fn parse(text: &str) -> Result<Vec<Value>, Diagnostic> {
    // yaml.v3's reading of untyped values: `yes` and `0644` stay text, or a password would change.
    // No snippets: they would print the lines around an error.
    let mut options = Options::default();
    options.with_snippet = false;
    options.strict_booleans = true;
    options.leading_zero_numbers_as_strings = true;
    serde_yaml::from_multiple_with_options::<Value>(text, options).map_err(|error| {
        let place = error.location().map(|l| format!("line {}, column {}", l.line(), l.column()));
        let text = error.without_snippet().to_string();
        let text = text.replace(", set DuplicateKeyPolicy in Options if acceptable", "");
        let message = match place {
            Some(place) if !text.contains(&place) => format!("not YAML: {place}: {text}"),
            _ => format!("not YAML: {text}"),
        };
        Diagnostic::new("", Reason::Invalid, message)
    })
}

/// The text with the known slips put right, and a warning for each.
fn correct(text: &str) -> (String, Vec<Diagnostic>) {
    let mut warnings = Vec::new();
    let mut corrected = String::with_capacity(text.len());
    for (i, line) in text.lines().enumerate() {
        let mut warn = |what: &str| {
            let message = format!("line {}: {what}", i + 1);
            warnings.push(Diagnostic::new("", Reason::Invalid, message));
        };
        let body = line.trim_start_matches([' ', '\t']);
        let indentation = &line.get(..line.len() - body.len()).unwrap_or_default();
        if indentation.contains('\t') && !body.is_empty() {
            warn("YAML forbids tabs in the indentation; each was read as up to 4 columns");
        }
        let columns = indentation.chars().fold(0, |columns, c| match c {
            '\t' => (columns / TAB + 1) * TAB,
            _ => columns + 1,
        });
        corrected.extend(std::iter::repeat_n(' ', columns));
        match lone_colon(body) {
            Some((before, after)) => {
                warn("a lone `:` has to be quoted: \":\"");
                corrected.push_str(&format!("{before}\":\"{after}"));
            }
            None => corrected.push_str(body),
        }
        corrected.push('\n');
    }
    (corrected, warnings)
}

/// Splits `addr: : # any port` around its second colon.
fn lone_colon(body: &str) -> Option<(&str, &str)> {
    let (key, value) = body.split_once(": ")?;
    let is_key = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !key.strip_prefix("- ").unwrap_or(key).trim_start().bytes().all(is_key) {
        return None;
    }
    let after = value.trim_start().strip_prefix(':')?;
    let rest = after.trim_start();
    let lone = rest.is_empty() || (rest.starts_with('#') && rest.len() < after.len());
    let before = body.len() - after.len() - 1;
    lone.then(|| (body.get(..before).unwrap_or_default(), after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn untyped_values_stay_what_they_look_like() {
        let (documents, _) = documents("a: yes\nb: 0123\nc: 8\nd: true\ne: 1h\n").unwrap();
        let value = json!({"a": "yes", "b": "0123", "c": 8, "d": true, "e": "1h"});
        assert_eq!(documents, [value]);
    }

    #[test]
    fn a_syntax_error_names_its_line_and_prints_no_text() {
        let error = documents("auth:\n  password: hunter2\n bad: [\n").unwrap_err().to_string();
        assert!(error.contains("line "), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_key_that_is_given_twice_is_an_error() {
        let error = documents("a:\n  name: x\n  name: y\n").unwrap_err().to_string();
        assert_eq!(error, "not YAML: duplicate mapping key: name at line 3, column 3");
    }

    #[test]
    fn anchors_and_merges_are_followed() {
        let text = "x: &x {name: a, addr: ':1'}\ns: [{<<: *x, name: b}]\n";
        let (documents, _) = documents(text).unwrap();
        assert_eq!(documents[0]["s"], json!([{"name": "b", "addr": ":1"}]));
    }

    #[test]
    fn the_slips_of_gosts_documentation_are_put_right_with_a_warning() {
        let text = "a:\n  - addr: :\n    b:\n      type: ws\n\tc:\n\t  path: /ws\n";
        let (documents, warnings) = documents(text).unwrap();
        assert_eq!(
            documents,
            [json!({"a": [{"addr": ":", "b": {"type": "ws"}, "c": {"path": "/ws"}}]})]
        );
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(warnings[0].starts_with("line 2: "), "{warnings:?}");
    }

    #[test]
    fn text_that_is_fine_is_not_touched() {
        let text = "a: \"x\ty: :\"\nb: ':8080'\nc: :8443\n";
        let (documents, warnings) = documents(text).unwrap();
        assert_eq!(documents, [json!({"a": "x\ty: :", "b": ":8080", "c": ":8443"})]);
        assert_eq!(warnings, []);
    }
}
