//! Text in two columns, as of `kubectl describe`.

use std::fmt::Write;

use crate::base::text::printable;

/// Width of the column of names.
const WIDTH: usize = 12;

/// What is printed.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    /// A line that begins a part.
    pub(super) fn head(&mut self, text: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(&printable(text));
        self.0.push('\n');
    }

    /// A line of a part; none if there is nothing to say.
    pub(super) fn line(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            let text = printable(text);
            // A String takes everything.
            let _ = writeln!(self.0, "  {:<WIDTH$}{text}", format!("{name}:"));
        }
    }

    /// The text.
    pub(super) fn text(self) -> String {
        self.0
    }
}
