//! `limits` of a class.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::super::Class;
use super::section;
use crate::base::{GoDuration, Size};
use crate::config::envelope::{LEAST_BUFFER, LEAST_TIMEOUT};
use crate::config::error::Findings;
use crate::config::model::ClassLimits;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a map of limits")]
struct RawLimits {
    tunnels_per_namespace: Option<u32>,
    connections_per_tunnel: Option<u32>,
    connections_per_namespace: Option<u32>,
    ports_per_namespace: Option<u32>,
    claims_per_namespace: Option<u32>,
    nodes_per_tunnel: Option<u32>,
    receive_buffer: Option<Value>,
    stream_buffer: Option<Value>,
    max_timeout: Option<String>,
    idle_timeout: Option<String>,
    max_drain: Option<String>,
}

/// What `limits` says, with the values of `base` for what it leaves out.
pub(super) struct Limits {
    pub(super) of_class: ClassLimits,
    pub(super) connections_of_tunnel: u32,
    pub(super) connections_of_namespace: u32,
    /// `None`: never.
    pub(super) idle_timeout: Option<Duration>,
}

pub(super) fn read(
    value: Option<Value>,
    base: &Class,
    path: &str,
    findings: &mut Findings,
) -> Limits {
    let raw: RawLimits = section(value, path, findings).unwrap_or_default();
    let at = |field: &str| format!("{path}.{field}");
    let count = |written: Option<u32>, default: usize| {
        written.map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX))
    };
    let mut lasting = |text: Option<String>, field: &str, least: Duration| {
        let parsed = text?.parse::<GoDuration>().map_err(|e| e.to_string());
        let long = parsed.and_then(|found| match found.0 >= least {
            true => Ok(found.0),
            false => Err(format!("{found} is too short; at least {}", GoDuration(least))),
        });
        long.map_err(|message| findings.invalid(&at(field), message)).ok()
    };
    let idle = lasting(raw.idle_timeout, "idleTimeout", Duration::ZERO);
    let max_drain = lasting(raw.max_drain, "maxDrain", Duration::ZERO);
    let max_timeout = lasting(raw.max_timeout, "maxTimeout", LEAST_TIMEOUT);
    let mut sized = |value: Option<Value>, field: &str| {
        let size = buffer(&value?);
        size.map_err(|message| findings.invalid(&at(field), message)).ok()
    };
    let receive = sized(raw.receive_buffer, "receiveBuffer");
    let stream = sized(raw.stream_buffer, "streamBuffer");
    let default = &base.limits;
    Limits {
        of_class: ClassLimits {
            tunnels_per_namespace: count(raw.tunnels_per_namespace, default.tunnels_per_namespace),
            ports_per_namespace: count(raw.ports_per_namespace, default.ports_per_namespace),
            claims_per_namespace: count(raw.claims_per_namespace, default.claims_per_namespace),
            nodes_per_tunnel: count(raw.nodes_per_tunnel, default.nodes_per_tunnel),
            receive_buffer: receive.unwrap_or(default.receive_buffer),
            stream_buffer: stream.unwrap_or(default.stream_buffer),
            max_timeout: max_timeout.unwrap_or(default.max_timeout),
            max_drain: max_drain.unwrap_or(default.max_drain),
        },
        connections_of_tunnel: raw
            .connections_per_tunnel
            .unwrap_or(base.terms.connections_of_tunnel),
        connections_of_namespace: raw
            .connections_per_namespace
            .unwrap_or(base.terms.connections_of_namespace),
        idle_timeout: idle.filter(|idle| *idle > Duration::ZERO),
    }
}

/// A size that a session can work with, as text or as a number of bytes.
fn buffer(value: &Value) -> Result<u32, String> {
    let size = match value {
        Value::String(text) => text.parse::<Size>().map_err(|e| e.to_string())?,
        other => other
            .as_u64()
            // Helm's numbers are floating ones.
            .or_else(|| other.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0).map(|n| n as u64))
            .map(Size)
            .ok_or_else(|| format!("{other} is not a size; write for example 16MiB"))?,
    };
    match u32::try_from(size.0) {
        Ok(bytes) if bytes < LEAST_BUFFER => {
            Err(format!("{size} is too small; at least {}", Size(LEAST_BUFFER.into())))
        }
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(format!("{size} is too large; at most {}B", u32::MAX)),
    }
}
