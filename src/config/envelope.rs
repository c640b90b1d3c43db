//! The envelope: what bounds a tenant's configuration, and what bounds what tenants share.
//!
//! [`TABLE`] has a row for every field of a `WsTunnel`'s spec, every `metadata` key that is read, and
//! every resource of the process. Most rows are enforced by the very lookup that finds them: fields by
//! [`misfits()`], keys by [`metadata::Reader`](super::metadata). The CRD has its bounds of lists and texts from here,
//! and `deploy/ENVELOPE.md` is [`page()`].

mod fields;
mod keys;
mod misfits;
mod page;
mod resources;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use super::model::ClassLimits;
use crate::base::{GoDuration, Size};

pub use misfits::misfits;
pub use page::page;

/// Every row: the fields, the keys, the resources.
pub const TABLE: &[&[Row]] = &[fields::ROWS, keys::ROWS, resources::ROWS];

/// The shortest interval, ping, keepalive and ttl.
pub const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// The longest `handshakeTimeout` and `readHeaderTimeout`.
pub const LONGEST_HANDSHAKE: Duration = Duration::from_secs(30);
/// The smallest `receiveBuffer` and `streamBuffer` of a class, in bytes: one frame fits.
pub const LEAST_BUFFER: u32 = 64 * 1024;
/// The smallest `maxTimeout` of a class: the default `dialTimeout` and `readTimeout`.
pub const LEAST_TIMEOUT: Duration = super::defaults::READ_TIMEOUT;
/// The endpoints of one `serviceRef` that are nodes.
pub const ENDPOINTS: usize = 64;
/// The entries of a `metadata` map, nested ones counted one by one.
pub const METADATA_KEYS: usize = 64;
/// The names in a `header` map.
pub const HEADERS: usize = 64;
/// The characters of a header's name.
pub const HEADER_NAME: usize = 128;
/// The characters of a header's value.
pub const HEADER_VALUE: usize = 4096;
/// The characters of all names and values of a `header` map.
pub const HEADER_CHARACTERS: usize = 16 * 1024;

/// A bound: of what, how much, and where that is enforced, shown and proved.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What is bounded.
    pub what: What,
    /// By what.
    pub limit: Limit,
    /// The item of this crate that enforces it.
    pub enforced: &'static str,
    /// The condition reason, metric or warning that shows that it was reached.
    pub shown: &'static str,
    /// The test that proves it.
    pub test: &'static str,
}

/// What a row is about.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// A field of a spec, by the end of its path: `hops[].nodes`.
    Field(&'static str),
    /// Keys of `metadata` maps: of which maps, and their names, aliases among them.
    Key(&'static [Map], &'static [&'static str]),
    /// What a namespace, a tunnel or the process has.
    Resource(&'static str),
}

/// The `metadata` maps of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Map {
    /// `services[].metadata`.
    Service,
    /// `services[].listener.metadata`.
    Listener,
    /// `services[].handler.metadata`.
    Handler,
    /// `hops[].metadata`.
    Hop,
    /// `nodes[].metadata`, of chains and forwarders.
    Node,
    /// `nodes[].connector.metadata`.
    Connector,
    /// `nodes[].dialer.metadata`.
    Dialer,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Entries of a list, at most.
    Items(u32),
    /// Entries of a map, at most.
    Entries(u32),
    /// Characters of a text, at most.
    Length(u32),
    /// A number within these.
    Number(u32, u32),
    /// A number of bytes, at most what the class says.
    Bytes(ClassBound),
    /// A duration, at least.
    AtLeast(Duration),
    /// A duration, at most.
    AtMost(Duration),
    /// A duration, within these.
    Within(Duration, Duration),
    /// A duration, at most what the class says.
    AtMostOf(ClassBound),
    /// A duration, at least this and at most what the class says.
    WithinOf(Duration, ClassBound),
    /// A duration; a longer one counts as what the class says.
    Shortened(ClassBound),
    /// A duration that needs no bound, and why.
    AnyDuration(&'static str),
    /// A map of header names and values: [`HEADERS`] and the constants beside it.
    Header,
    /// A closed set of values, or a list of closed ones.
    Choice,
    /// No bound is needed, and why.
    Free(&'static str),
    /// As many as the class says.
    Class(ClassBound),
    /// In words.
    Said(&'static str),
}

/// A bound that a class may raise or lower: `limits` of the class file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassBound {
    /// `tunnelsPerNamespace`.
    Tunnels,
    /// `portsPerNamespace`.
    Ports,
    /// `claimsPerNamespace`.
    Claims,
    /// `nodesPerTunnel`.
    Nodes,
    /// `receiveBuffer`.
    ReceiveBuffer,
    /// `streamBuffer`.
    StreamBuffer,
    /// `maxTimeout`.
    Timeout,
    /// `maxDrain`.
    Drain,
}

impl ClassBound {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Tunnels,
        Self::Ports,
        Self::Claims,
        Self::Nodes,
        Self::ReceiveBuffer,
        Self::StreamBuffer,
        Self::Timeout,
        Self::Drain,
    ];

    /// The key of `limits`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Tunnels => "tunnelsPerNamespace",
            Self::Ports => "portsPerNamespace",
            Self::Claims => "claimsPerNamespace",
            Self::Nodes => "nodesPerTunnel",
            Self::ReceiveBuffer => "receiveBuffer",
            Self::StreamBuffer => "streamBuffer",
            Self::Timeout => "maxTimeout",
            Self::Drain => "maxDrain",
        }
    }

    /// As the class file writes it.
    pub fn text(self, limits: &ClassLimits) -> String {
        let duration = |duration| short(duration);
        match self {
            Self::Tunnels => limits.tunnels_per_namespace.to_string(),
            Self::Ports => limits.ports_per_namespace.to_string(),
            Self::Claims => limits.claims_per_namespace.to_string(),
            Self::Nodes => limits.nodes_per_tunnel.to_string(),
            Self::ReceiveBuffer => Size(limits.receive_buffer.into()).to_string(),
            Self::StreamBuffer => Size(limits.stream_buffer.into()).to_string(),
            Self::Timeout => duration(limits.max_timeout),
            Self::Drain => duration(limits.max_drain),
        }
    }

    fn bytes(self, limits: &ClassLimits) -> u32 {
        match self {
            Self::StreamBuffer => limits.stream_buffer,
            _ => limits.receive_buffer,
        }
    }

    fn duration(self, limits: &ClassLimits) -> Duration {
        match self {
            Self::Drain => limits.max_drain,
            _ => limits.max_timeout,
        }
    }
}

/// What a class has otherwise than a class that says nothing: `receiveBuffer 64MiB (default 16MiB)`.
pub fn differences(limits: &ClassLimits) -> Vec<String> {
    let default = ClassLimits::default();
    let each = ClassBound::ALL.into_iter().filter_map(|bound| {
        let (own, usual) = (bound.text(limits), bound.text(&default));
        (own != usual).then(|| format!("{} {own} (default {usual})", bound.key()))
    });
    each.collect()
}

/// The row of a `metadata` key by one of its names.
pub(super) fn key(map: Map, name: &str) -> Option<&'static Row> {
    keys::ROWS.iter().find(|row| match row.what {
        What::Key(maps, names) => maps.contains(&map) && names.contains(&name),
        _ => false,
    })
}

/// Whether a `metadata` map has such a key, in any case; `mux` stands for `mux.version`.
pub(super) fn is_key(map: Map, key: &str) -> bool {
    let same = |name: &&str| {
        let first = name.split('.').next().unwrap_or(name);
        name.eq_ignore_ascii_case(key) || name.contains('.') && first.eq_ignore_ascii_case(key)
    };
    keys::ROWS.iter().any(|row| match row.what {
        What::Key(maps, names) => maps.contains(&map) && names.iter().any(same),
        _ => false,
    })
}

/// The row of a field of a spec by its path, without indices, that is about this kind of value.
pub fn field(path: &str, kind: Kind) -> Option<&'static Row> {
    let is_of = |row: &&Row| match row.what {
        What::Field(end) => ends(path, end) && row.limit.kind() == Some(kind),
        _ => false,
    };
    fields::ROWS.iter().find(is_of)
}

/// Whether a path ends in these keys.
pub fn ends(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The kinds of values in a spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A list.
    List,
    /// A map with keys of the user's own.
    Map,
    /// A text.
    Text,
    /// A number.
    Number,
}

/// The characters of a duration in Go's syntax.
const DURATION: u32 = 32;

impl Limit {
    fn kind(self) -> Option<Kind> {
        match self {
            Self::Items(_) => Some(Kind::List),
            Self::Entries(_) => Some(Kind::Map),
            Self::Number(..) | Self::Free(_) => Some(Kind::Number),
            _ => self.length().map(|_| Kind::Text),
        }
    }

    /// The characters that a text may have.
    pub fn length(self) -> Option<u32> {
        match self {
            Self::Length(most) => Some(most),
            Self::AtLeast(_)
            | Self::AtMost(_)
            | Self::Within(..)
            | Self::AtMostOf(_)
            | Self::WithinOf(..)
            | Self::Shortened(_)
            | Self::AnyDuration(_) => Some(DURATION),
            _ => None,
        }
    }

    /// Whether a duration is within it.
    ///
    /// # Errors
    /// The value and the bound, in words.
    pub fn holds_duration(self, value: Duration, limits: &ClassLimits) -> Result<(), String> {
        let (least, most, of) = match self {
            Self::AtLeast(least) => (least, Duration::MAX, None),
            Self::AtMost(most) => (Duration::ZERO, most, None),
            Self::Within(least, most) => (least, most, None),
            Self::AtMostOf(class) => (Duration::ZERO, class.duration(limits), Some(class)),
            Self::WithinOf(least, class) => (least, class.duration(limits), Some(class)),
            _ => return Ok(()),
        };
        if value < least {
            return Err(format!("{} is too short; at least {}", short(value), short(least)));
        }
        match value > most {
            true => Err(format!("{} is too long; at most {}{}", short(value), short(most), by(of))),
            false => Ok(()),
        }
    }

    /// That a value which means "without an end" is not within it.
    ///
    /// # Errors
    /// The bound, in words, if there is one.
    pub fn holds_forever(self, limits: &ClassLimits) -> Result<(), String> {
        let (most, of) = match self {
            Self::AtMost(most) | Self::Within(_, most) => (most, None),
            Self::AtMostOf(class) | Self::WithinOf(_, class) => {
                (class.duration(limits), Some(class))
            }
            _ => return Ok(()),
        };
        Err(format!("a negative value is without an end; at most {}{}", short(most), by(of)))
    }

    /// Whether a number is within it.
    ///
    /// # Errors
    /// The value and the bound, in words.
    pub fn holds_number(self, value: u64, limits: &ClassLimits) -> Result<(), String> {
        match self {
            Self::Number(least, _) if value < least.into() => {
                Err(format!("{value} is too small; at least {least}"))
            }
            Self::Number(_, most) if value > most.into() => {
                Err(format!("{value} is too large; at most {most}"))
            }
            Self::Bytes(class) if value > class.bytes(limits).into() => {
                let most = class.bytes(limits);
                let size = Size(most.into());
                Err(format!(
                    "{value} bytes are too many; at most {most} ({size}){}",
                    by(Some(class))
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether a text is within it.
    ///
    /// # Errors
    /// The length and the bound, in words.
    pub fn holds_text(self, text: &str) -> Result<(), String> {
        let length = text.chars().count() as u64;
        match self.length() {
            Some(most) if length > most.into() => {
                Err(format!("the text has {length} characters; at most {most}"))
            }
            _ => Ok(()),
        }
    }
}

/// Where a class's bound is set.
fn by(class: Option<ClassBound>) -> String {
    class.map(|class| format!(" (limits.{} of the class)", class.key())).unwrap_or_default()
}

/// A duration without the parts that are zero: `10m`.
fn short(duration: Duration) -> String {
    let text = GoDuration(duration).to_string();
    let text = text.strip_suffix("m0s").map(|rest| format!("{rest}m")).unwrap_or(text);
    text.strip_suffix("h0m").map(|rest| format!("{rest}h")).unwrap_or(text)
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = ClassLimits::default();
        let of = |class: &ClassBound| format!("{}* (`{}`)", class.text(&default), class.key());
        match self {
            Self::Items(most) => write!(f, "{most} entries"),
            Self::Entries(most) => write!(f, "{most} keys"),
            Self::Length(most) => write!(f, "{most} characters"),
            Self::Number(least, most) => write!(f, "{least} to {most}"),
            Self::Bytes(class) => f.write_str(&of(class)),
            Self::AtLeast(least) => write!(f, "at least {}", short(*least)),
            Self::AtMost(most) => write!(f, "at most {}", short(*most)),
            Self::Within(least, most) => write!(f, "{} to {}", short(*least), short(*most)),
            Self::AtMostOf(class) => write!(f, "at most {}", of(class)),
            Self::WithinOf(least, class) => write!(f, "{} to {}", short(*least), of(class)),
            Self::Shortened(class) => write!(f, "a longer one counts as {}", of(class)),
            Self::Header => write!(
                f,
                "{HEADERS} names of {HEADER_NAME} characters, values of {HEADER_VALUE}, together \
                 {HEADER_CHARACTERS}"
            ),
            Self::Choice => f.write_str("a closed set of values"),
            Self::AnyDuration(why) | Self::Free(why) => write!(f, "none: {why}"),
            Self::Class(class) => f.write_str(&of(class)),
            Self::Said(text) => f.write_str(text),
        }
    }
}
