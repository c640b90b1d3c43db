//! Panics as errors: a bug in one place must not be silent, nor end what does not depend on it.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// Where this thread panicked last, if the process's panic hook notes it.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What is known of a panic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    /// What the panic says.
    pub message: String,
    /// File, line and column, if they were noted.
    pub place: Option<String>,
}

/// Runs `work`; a panic in it is an error.
///
/// # Errors
/// [`Panicked`].
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    // What a panic left half done is dropped with the closure.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panicked::from_payload(&*payload))
}

/// Notes where this thread panics: for the panic hook.
pub fn note_place(place: String) {
    PLACE.with(|kept| *kept.borrow_mut() = Some(place));
}

/// The words of a panic.
pub fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl Panicked {
    /// The panic of this thread that unwound with `payload`.
    pub fn from_payload(payload: &(dyn Any + Send)) -> Self {
        let place = PLACE.with(|kept| kept.borrow_mut().take());
        Self { message: message(payload).into(), place }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place.as_deref().unwrap_or("a place that the log names");
        write!(f, "adit has a bug, please report it: panic at {place}: {}", self.message)
    }
}

impl std::error::Error for Panicked {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words_and_its_place() {
        assert_eq!(caught(|| 3), Ok(3));
        let bug = || {
            note_place("src/x.rs:1:2".into());
            let three: Result<u8, _> = "three".parse::<u8>();
            three.expect("index 7 is out of range")
        };
        let told = caught(bug).unwrap_err().to_string();
        for part in ["a bug", "src/x.rs:1:2", "index 7 is out of range"] {
            assert!(told.contains(part), "{told}");
        }
        let told = caught::<()>(|| panic!("next")).unwrap_err();
        assert_eq!(told.place, None, "the place of another panic");
    }
}
