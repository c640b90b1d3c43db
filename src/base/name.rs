//! What things of a cluster may be called: the rules of the Kubernetes API server.
//!
//! A name that follows them means nothing else in a request's path, in a selector or in a shell.

/// The longest DNS label, in bytes.
pub const LABEL: usize = 63;
/// The longest name of an object, and of a key in a Secret, in bytes.
pub const SUBDOMAIN: usize = 253;

/// Whether a text is a DNS label (RFC 1123 in lower case): a namespace, a Service.
pub fn is_label(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let inner = !text.starts_with('-') && !text.ends_with('-');
    (1..=LABEL).contains(&text.len()) && text.bytes().all(legal) && inner
}

/// Whether a text is a DNS subdomain (RFC 1123 in lower case): a Secret, and most other objects.
pub fn is_subdomain(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let part = |part: &str| {
        let inner = !part.starts_with('-') && !part.ends_with('-');
        !part.is_empty() && part.bytes().all(legal) && inner
    };
    text.len() <= SUBDOMAIN && text.split('.').all(part)
}

/// Whether every API server lets a new Service have the name (RFC 1035, 2.3.1, in lower case).
pub fn is_rfc1035_label(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// Whether a Secret can have a key of the name.
pub fn is_secret_key(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=SUBDOMAIN).contains(&text.len())
        && text.bytes().all(legal)
        && text != "."
        && !text.starts_with("..")
}

/// Whether a text is printable ASCII, spaces included: it looks the same in every terminal and log.
pub fn is_printable(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_those_of_the_api_server() {
        let of = |text: &str| {
            (is_label(text), is_subdomain(text), is_rfc1035_label(text), is_secret_key(text))
        };
        for (text, expected) in [
            ("a", (true, true, true, true)),
            ("a-1", (true, true, true, true)),
            ("1a", (true, true, false, true)),
            ("a.b", (false, true, false, true)),
            ("tls.crt", (false, true, false, true)),
            ("A_b", (false, false, false, true)),
            ("-a", (false, false, false, true)),
            ("a-", (false, false, false, true)),
            ("a..b", (false, false, false, true)),
            ("..a", (false, false, false, false)),
            (".", (false, false, false, false)),
            ("", (false, false, false, false)),
            ("a/b", (false, false, false, false)),
            ("a%2fb", (false, false, false, false)),
            ("?watch=true&a=1", (false, false, false, false)),
            ("a\n", (false, false, false, false)),
            ("é", (false, false, false, false)),
        ] {
            assert_eq!(of(text), expected, "{text:?}");
        }
        assert!(is_label(&"a".repeat(63)) && !is_label(&"a".repeat(64)));
        assert!(is_subdomain(&"a".repeat(253)) && !is_subdomain(&"a".repeat(254)));
        assert!(is_secret_key(&"a".repeat(253)) && !is_secret_key(&"a".repeat(254)));
        assert!(is_printable("a b~") && !is_printable("a\u{1b}") && !is_printable("ａ"));
    }
}
