//! What the tests share.

#![allow(dead_code, clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stderr)]

pub mod cluster;
pub mod http;
pub mod lan;
pub mod netns;
pub mod pki;
pub mod ports;
pub mod process;
pub mod stream;
pub mod tools;
pub mod wait;
