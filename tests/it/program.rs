//! The program as a user runs it: arguments in, words and tunnels out.

mod check;
mod command_line;
mod convert;
mod curl;
mod probes;
mod quickstart;
mod reload;
mod remote;
mod sidecar;
mod top;
