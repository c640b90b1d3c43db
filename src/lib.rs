//! adit: a Kubernetes-native WebSocket tunnel that speaks GOST's wire protocol.

pub mod base;

pub mod config;
pub mod metrics;
pub mod proto;

pub mod crd;
pub mod io;
pub mod shutdown;

pub mod net;

pub mod transport;

pub mod connector;

pub mod route;

pub mod handler;

pub mod engine;

pub mod admin;
pub mod control;
pub mod sidecar;

pub mod app;
pub mod cli;
pub mod telemetry;
