//! The path of a request as services are found by it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A path without percent-encoding, but for `%2F`, as upper case: an escaped slash is a part of its
/// segment and divides nothing (RFC 3986 section 2.2), so `/a%2Fb` is no `/a/b`. That GOST decodes it
/// is a way round whoever before us judges by path.
pub(super) fn decoded(path: &str) -> Cow<'_, str> {
    let mut parts = split(path);
    let first = parts.next().unwrap_or_default();
    let mut whole = percent_decode_str(first).decode_utf8_lossy();
    for part in parts {
        let whole = whole.to_mut();
        whole.push_str("%2F");
        whole.push_str(&percent_decode_str(part).decode_utf8_lossy());
    }
    whole
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.split("%2F").flat_map(|part| part.split("%2f"))
}

/// Whether a path has empty, `.` or `..` segments before the last one, or is not rooted. Go's ServeMux
/// redirects such a request to another path; no WebSocket client follows.
pub(super) fn is_unclean(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return true };
    let mut segments = rest.split('/').rev();
    let last = segments.next().unwrap_or_default();
    matches!(last, "." | "..") || segments.any(|segment| matches!(segment, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_slash_divides_nothing() {
        for (path, expected) in [
            ("/rt/a", "/rt/a"),
            ("/rt%2fa", "/rt%2Fa"),
            ("/rt%2Fa%2fb", "/rt%2Fa%2Fb"),
            ("%2frt", "%2Frt"),
            ("/%72t/%61", "/rt/a"),
            ("/%E4%BD%A0", "/\u{4f60}"),
            ("/a%5cb", "/a\\b"),
            ("/50%25", "/50%"),
        ] {
            assert_eq!(decoded(path), expected, "{path}");
        }
    }

    #[test]
    fn only_clean_paths_are_looked_up() {
        for path in ["/a/../b", "/a/.", "/a/..", "//a", "/a//b", "", "a", "*"] {
            assert!(is_unclean(path), "{path}");
        }
        for path in ["/", "/a", "/a/", "/a/.b", "/a%2F..%2Fb", "/...", "/a\\..\\b"] {
            assert!(!is_unclean(path), "{path}");
        }
    }
}
