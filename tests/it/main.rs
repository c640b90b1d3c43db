//! Integration tests: the real program against real peers.

mod artifacts;
mod kube;
mod layers;
mod program;
mod readme;
mod support;
