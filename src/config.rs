//! Configuration: from GOST's YAML, command lines and `WsTunnel` specs to validated services.
//!
//! Floor 1. [`raw`] is what a user writes, [`model`] is what may run, [`lower`](lower::lower) is the
//! only way from one to the other: files, the command line and the API server all take it.
//! Pure: no files, no clocks, no sockets.

pub mod error;
pub mod model;
pub mod raw;
