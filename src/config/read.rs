//! Text to documents: GOST files, `WsTunnel`s and `Secret`s, in YAML or JSON.

mod documents;
mod known;
mod shape;
mod walk;
mod yaml;

pub(crate) use documents::TUNNEL_API;
pub use documents::{Documents, TunnelDoc, read};
pub(crate) use known::is_telling;
pub(crate) use shape::{CONFIG, Shape};
pub(crate) use walk::{go_bool, go_number};
