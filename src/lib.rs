//! adit: a Kubernetes-native WebSocket tunnel that speaks GOST's wire protocol.
//!
//! One library, one binary. A cluster's `WsTunnel` objects, a mounted folder, files and GOST's
//! command line are four ways to write the same thing; one engine runs it.
//!
//! ```text
//!  WsTunnel objects    folder     files, -L/-F
//!      control         sidecar        app            where configuration comes from
//!         \               |            /
//!          +--- config::raw::Config --+
//!                         |  config::lower           all errors at once, each with its fix
//!               engine::DesiredSet
//!                         |  plan, diff              pure: who gets which address
//!                      engine  -------> Snapshot --> status, probes, metrics
//!                         |  steps
//!        net -> transport -> handler -> route -> net
//!       accept    upgrade    protocol   chain    dial
//! ```
//!
//! # The house
//!
//! A room imports itself and the floors below it; `tests/it/layers.rs` proves it.
//!
//! | floor | rooms |
//! |---|---|
//! | 0 | [`base`]: keys, addresses, durations, names, secrets, reasons |
//! | 1 | [`proto`]: wire formats · [`config`]: from text to validated services · [`metrics`] |
//! | 2 | [`crd`]: the custom resource · [`io`]: streams, buffers, the pipe · [`shutdown`] |
//! | 3 | [`net`]: sockets, names, the egress guard · [`gate`]: who may come, where to, how fast |
//! | 4 | [`transport`]: WebSocket, both sides; many streams in one |
//! | 5, 6, 7 | [`connector`], [`route`], [`handler`] |
//! | 8 | [`engine`]: plan, diff, supervisor, snapshot |
//! | 9 | [`control`]: the controller · [`sidecar`]: files and folders, and their changes · [`admin`]: probes |
//! | 10 | [`app`], [`cli`], [`telemetry`] |
//!
//! # Words
//!
//! - *service*: a listener, a handler, and a route for what the handler asks for.
//! - *transport*: how a stream is carried: `tcp`, `ws`.
//! - *session*: one WebSocket. *stream*: one byte stream in it.
//! - *handler*: talks to the client. *connector*: talks to the next node. *dialer*: gets bytes there.
//! - *route*: the hops on the way to a target, in order. *target*: the `host:port` that is asked for.
//! - *front port*: a port that services of many objects share, by hostnames and path.
//! - *remote port*: a port that a chain's last node has for a service (`rtcp`, by BIND). Who comes to it
//!   is a *peer*.
//! - *class*: what the operator grants tunnels. *terms*: the part of it that counts while they run.
//! - *claim*: what a service wants for itself: an address, or hostnames and a path on a shared one.
//! - *association*: datagrams that each have their own destination. *packet*: one with its address.
//! - *replica*: one process of an installation; all serve. *leader*: the one that writes statuses.
//! - *exposed*: a service with a Service of its own, on a port that the leader allocates.
//! - *holder* of an object: the installation that serves it and writes its status.
//! - *report*: what a replica says that it runs; *fleet*: the replicas that count.
//! - *pipe*: the byte pump. *relay* only ever means GOST's protocol, *forward* the port forward.
//!
//! # Where do I change …?
//!
//! | … | here |
//! |---|---|
//! | a field of the YAML | [`config::raw`], then [`config::lower`]; `adit crd > crds/wstunnels.adit.dev.yaml` |
//! | a key of a `metadata` map | `config::metadata` |
//! | a key that does nothing where it stands | `config::misplaced` |
//! | a bound of either | [`config::envelope`]; then `deploy/ENVELOPE.md` by its test |
//! | who wins a duel for an address | [`engine::plan`] |
//! | what a condition says | `control::status`; over several replicas: `control::status::fold` |
//! | what a class allows | [`control::policy`] |
//! | what to type next, by reason | `app::explain::hints` |
//! | who leads, which replicas count | `control::lease`, `control::fleet` |
//! | in whose turn Secrets are read, statuses and children written | `control::queue` |
//! | which installation holds an object | `control::translate::holders`, `control::reconcile::rivals` |
//! | which port an exposed service has, what leads there | `control::expose` |
//! | bytes on the wire | [`proto`]; behaviour around them: [`transport`], [`handler`], [`connector`] |
//! | where tunnels may go | [`net::guard`] |
//! | a metric | [`metrics::TABLE`] |
//! | what `adit convert` writes | [`config::convert`] |
//! | a flag | [`cli`] |

pub mod base;

pub mod config;
pub mod metrics;
pub mod proto;

pub mod crd;
pub mod io;
pub mod shutdown;

pub mod gate;
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
