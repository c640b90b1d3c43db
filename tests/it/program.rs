//! The program as a user runs it: arguments in, words and tunnels out.

mod check;
mod quickstart;
mod sidecar;
