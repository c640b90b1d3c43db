//! Work that may wait for a disk, on a thread where nobody waits for it.

use crate::base::{Reason, caught};
use crate::config::error::{ConfigErrors, Diagnostic};

/// Reads a configuration on a thread of its own: the caller's task may have a Lease to renew.
///
/// # Errors
/// The panic that ended `work`: a bug, and the configuration before goes on like behind any other
/// mistake.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ConfigErrors> {
    let refused = |message| ConfigErrors::one(Diagnostic::new("", Reason::Invalid, message));
    match tokio::task::spawn_blocking(move || caught(work)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(panicked)) => Err(refused(panicked.to_string())),
        Err(_) => Err(refused("the process is ending".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bug_in_reading_a_configuration_is_told_as_one() {
        let error = aside::<()>(|| panic!("index 7 is out of range")).await.unwrap_err();
        let told = error.to_string();
        assert!(told.contains("a bug") && told.contains("index 7 is out of range"), "{told:?}");
    }
}
