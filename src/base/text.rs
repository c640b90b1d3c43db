//! Text of others in our own lines.

use std::borrow::Cow;

/// A text in which every character stands for itself: control characters (C0, DEL, C1), line and
/// paragraph separators, and the marks that turn the direction of writing are escaped as Rust does.
/// What a tenant writes can then neither begin a line of its own nor steer a terminal.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return text.into();
    }
    let escaped = |c: char| match steers(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect::<String>().into()
}

/// Whether a character does something else than to be shown. The marks are those of "Trojan Source"
/// (CVE-2021-42574), and U+061C, U+200E and U+200F beside them.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_a_reader_is_escaped_and_the_rest_stays() {
        for (text, shown) in [
            ("gateway-1 ünï 東京 \"x\" \\n", "gateway-1 ünï 東京 \"x\" \\n"),
            ("a\nb\tc", "a\\nb\\tc"),
            ("\x1b[2J\x1b]0;owned\x07", "\\u{1b}[2J\\u{1b}]0;owned\\u{7}"),
            ("\u{9b}31m\x7f", "\\u{9b}31m\\u{7f}"),
            ("user\u{202e}nimda\u{2066}", "user\\u{202e}nimda\\u{2066}"),
            ("one\u{2028}two", "one\\u{2028}two"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
