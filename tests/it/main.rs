//! Integration tests: the real program against real peers.

// Clippy's "allow in tests" looks inside of #[test] functions only, not at what they share; tests
// are the other end of what the product binds and dials.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod artifacts;
mod interop;
mod kube;
mod layers;
mod program;
mod readme;
mod support;
mod tunnel;
