//! Integration tests: the real program against real peers.

mod layers;
mod readme;
mod support;
