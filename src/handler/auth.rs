//! Who a client is.

use std::io;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq};

use tokio_util::sync::CancellationToken;

use super::{Handler, HandlerError};
use crate::base::Bound;
use crate::config::model::Users;

impl Handler {
    /// Returns when a wrong password may be answered: at once, unless its source has given many.
    ///
    /// # Errors
    /// [`HandlerError::ClientGone`]: nobody waits for the answer.
    pub(super) async fn brake(
        &self,
        client: IpAddr,
        leaves: impl Future<Output = io::Error>,
        stop: &CancellationToken,
    ) -> Result<(), HandlerError> {
        let delay = self.passwords.wrong(client);
        if delay.is_zero() {
            return Ok(());
        }
        if self.metrics.bound_reached(Bound::Passwords) {
            tracing::warn!(
                service = %self.key, %client,
                "many wrong passwords: their answers wait, for up to 30 s"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = stop.cancelled() => Ok(()),
            gone = leaves => Err(HandlerError::ClientGone(gone)),
        }
    }
}

/// The user that a `Proxy-Authorization` value proves, if any.
pub(super) fn basic(users: &Users, value: Option<&str>) -> Option<String> {
    let (scheme, encoded) = value?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = plain.split_once(':')?;
    proves(users, user, password).then(|| user.to_string())
}

/// Whether it is the password of this user.
///
/// Every user is compared, in constant time, so the time tells neither names nor passwords; it may
/// tell their lengths.
pub(super) fn proves(users: &Users, user: &str, password: &str) -> bool {
    let mut proven = Choice::from(0);
    for (name, secret) in &users.0 {
        let same_name = name.as_bytes().ct_eq(user.as_bytes());
        let same_password = secret.expose().as_bytes().ct_eq(password.as_bytes());
        proven |= same_name & same_password;
    }
    bool::from(proven)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    #[test]
    fn only_the_right_password_of_the_right_user_passes() {
        let secret = |text: &str| Secret::new(text.to_string());
        let users = Users([("u".into(), secret("p:q")), ("v".into(), secret("w"))].into());
        let value = |plain: &str| format!("Basic {}", STANDARD.encode(plain));
        for (value, user) in [
            (value("u:p:q"), Some("u")),
            (value("v:w").replace("Basic", "basic"), Some("v")),
            (value("u:w"), None),
            (value("v:p:q"), None),
            (value("u:"), None),
            (value("u"), None),
            (value(""), None),
            ("Basic".into(), None),
            ("Basic !!!".into(), None),
            ("Bearer dTpwOnE=".into(), None),
        ] {
            assert_eq!(basic(&users, Some(&value)).as_deref(), user, "{value}");
        }
        assert_eq!(basic(&users, None), None);
        assert_eq!(basic(&Users::default(), Some(&value(":"))), None);
    }
}
