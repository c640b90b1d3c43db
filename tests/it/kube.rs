//! The controller as a process against a real API server, under the roles of the chart.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod admission;
mod adversary;
mod audit;
mod classes;
mod controller;
mod convert;
mod drain;
mod duels;
mod explain;
mod expose;
mod fleet;
mod guard;
mod installations;
mod many;
mod namespaced;
mod outage;
mod page;
mod policies;
mod references;
mod refused;
mod replicas;
mod rights;
mod rollout;
mod rotation;
mod secrets;
mod selftest;
mod serving;
mod traffic;
mod verdicts;
mod wrong;
