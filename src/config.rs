//! Configuration: from GOST's YAML, command lines and `WsTunnel` specs to validated services.
//!
//! Floor 1. [`raw`] is what a user writes, [`model`] is what may run, [`lower`](lower::lower) is the
//! only way from one to the other: files, the command line and the API server all take it.
//! Pure: no files, no clocks, no sockets.
//!
//! ```text
//! text    -> read::read    \
//! -L, -F  -> cmdline::parse -> raw::Config -> lower::lower -> model::ServiceConfig
//! WsTunnel (serde)         /
//! ```
//!
//! [`convert`] goes from one way to write it to another.

pub mod cmdline;
pub mod convert;
pub mod defaults;
pub mod envelope;
pub mod error;
pub mod files;
#[cfg(test)]
mod gost_page;
pub mod lower;
mod metadata;
mod misplaced;
pub mod model;
mod names;
pub mod raw;
pub mod read;
pub mod secrets;
pub mod services;
mod types;
