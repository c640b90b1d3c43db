//! Words for a POSIX shell.

use std::borrow::Cow;

/// A word as a shell takes it for itself.
pub fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+@%=".contains(c);
    // A leading = or ~ means something to some shells.
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('=') {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for (word, expected) in [
            ("ws://:8080", "ws://:8080"),
            ("ws://:8080?path=/x", "'ws://:8080?path=/x'"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("=ls", "'=ls'"),
            ("~", "'~'"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
