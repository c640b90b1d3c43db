//! From one way to write a configuration to another: GOST's YAML, `WsTunnel`s, command lines.
//!
//! What is written means what was read, but for what the diagnostics beside it name, each with its
//! path, the reason, and what to do. What protects (users, admissions, limits) is never dropped: what
//! would be open without it is left out as a whole.

mod command;
mod copies;
mod gost;
mod meaning;
mod names;
mod object;
mod secrets;
#[cfg(test)]
mod tests;
mod tunnel;

pub use command::{Command, commands};
pub use gost::{gost, join};
pub use names::label;
pub use object::{Objects, SecretObject, TunnelObject};
pub use tunnel::{Wanted, tunnel};

use super::files::{DEFAULT_CERTIFICATE, DEFAULT_KEY};
use super::raw;
use super::types::is_tls;

/// Writes GOST's default certificate, which is in the working directory, where it would be taken.
pub fn name_default_certificate(config: &mut raw::Config) {
    let default = |tls: &mut raw::Tls| {
        if !has_certificate(tls) {
            tls.cert_file = DEFAULT_CERTIFICATE.into();
            tls.key_file = DEFAULT_KEY.into();
        }
    };
    own_tls(config);
    for listener in config.services.iter_mut().filter_map(|s| s.listener.as_mut()) {
        if is_tls(&listener.kind) {
            default(listener.tls.get_or_insert_default());
        }
    }
}

/// Writes the file's `tls` at the listeners that it is for: only a file has one for all.
fn own_tls(config: &mut raw::Config) {
    let Some(global) = config.tls.take() else { return };
    for listener in config.services.iter_mut().filter_map(|s| s.listener.as_mut()) {
        if !is_tls(&listener.kind) || listener.tls.as_ref().is_some_and(has_certificate) {
            continue;
        }
        let tls = listener.tls.get_or_insert_default();
        tls.cert_file.clone_from(&global.cert_file);
        tls.key_file.clone_from(&global.key_file);
        tls.secret_ref.clone_from(&global.secret_ref);
        if tls.ca_file.is_empty() && tls.client_ca_ref.is_none() {
            tls.ca_file.clone_from(&global.ca_file);
            tls.client_ca_ref.clone_from(&global.client_ca_ref);
        }
        if tls.options.is_none() {
            tls.options.clone_from(&global.options);
        }
        if *tls == raw::Tls::default() {
            listener.tls = None;
        }
    }
}

fn has_certificate(tls: &raw::Tls) -> bool {
    !tls.cert_file.is_empty() || !tls.key_file.is_empty() || tls.secret_ref.is_some()
}
