//! The `mux.*` keys.

use std::time::Duration;

use crate::config::error::Findings;
use crate::config::metadata::{Reader, keys};
use crate::config::model::{ClassLimits, MuxConfig};

/// Reads them; `path` is that of the metadata.
pub(super) fn read(metadata: &mut Reader, path: &str, findings: &mut Findings) -> MuxConfig {
    metadata.lacks(keys::MUX);
    let default = within(metadata.limits());
    let kind = metadata.text(&["mux.type"], findings);
    match kind.as_deref() {
        None | Some("smux") => {}
        Some("yamux") => {
            let message =
                "mux.type yamux is not supported in this version; write smux on both ends";
            findings.unsupported(&at(metadata, path, "mux.type"), message);
        }
        Some(other) => {
            let message = format!("unknown mux.type {other:?}; write smux");
            findings.invalid(&at(metadata, path, "mux.type"), message);
        }
    }
    let version = metadata.count(&["mux.version"], findings).unwrap_or(1);
    if !matches!(version, 1 | 2) {
        let message = format!("there is no version {version} of smux; write 1 or 2, as the peer");
        findings.invalid(&at(metadata, path, "mux.version"), message);
    }
    let max_frame_size = metadata.count(&["mux.maxFrameSize"], findings);
    let max_frame_size = max_frame_size.map_or(Some(default.max_frame_size), |n| n.try_into().ok());
    if max_frame_size.is_none() {
        let message = "a frame has at most 65535 bytes";
        findings.invalid(&at(metadata, path, "mux.maxFrameSize"), message);
    }
    let receive = metadata.count(&["mux.maxReceiveBuffer"], findings);
    let receive = receive.unwrap_or(default.max_receive_buffer);
    let stream = metadata.count(&["mux.maxStreamBuffer"], findings);
    let stream = stream.unwrap_or(default.max_stream_buffer);
    if stream > receive {
        let message = format!(
            "a stream's buffer ({stream}) is larger than mux.maxReceiveBuffer ({receive}), which \
             all streams share"
        );
        findings.invalid(&at(metadata, path, "mux.maxStreamBuffer"), message);
    }
    MuxConfig {
        version: if version == 2 { 2 } else { 1 },
        keepalive: keepalive(metadata, path, findings),
        max_frame_size: max_frame_size.unwrap_or(default.max_frame_size),
        max_receive_buffer: receive,
        max_stream_buffer: stream,
    }
}

/// GOST's defaults, or what the class allows if that is less.
fn within(limits: Option<&ClassLimits>) -> MuxConfig {
    let default = MuxConfig::default();
    let Some(limits) = limits else { return default };
    let receive = default.max_receive_buffer.min(limits.receive_buffer);
    let stream = default.max_stream_buffer.min(limits.stream_buffer).min(receive);
    MuxConfig { max_receive_buffer: receive, max_stream_buffer: stream, ..default }
}

fn keepalive(
    metadata: &mut Reader,
    path: &str,
    findings: &mut Findings,
) -> Option<(Duration, Duration)> {
    let (interval, timeout) = MuxConfig::default().keepalive?;
    let disabled = metadata.bool(&["mux.keepaliveDisabled"], findings);
    let interval = metadata.duration(&["mux.keepaliveInterval"], findings).unwrap_or(interval);
    let timeout = metadata.duration(&["mux.keepaliveTimeout"], findings).unwrap_or(timeout);
    if disabled {
        return None;
    }
    if timeout < interval {
        let message = format!(
            "mux.keepaliveTimeout ({}s) is shorter than mux.keepaliveInterval ({}s): every \
             session would end",
            timeout.as_secs_f64(),
            interval.as_secs_f64()
        );
        findings.invalid(&at(metadata, path, "mux.keepaliveTimeout"), message);
    }
    Some((interval, timeout))
}

/// Where a key is, or would be.
fn at(metadata: &Reader, path: &str, key: &'static str) -> String {
    metadata.path_of(&[key]).unwrap_or_else(|| format!("{path}.{key}"))
}
