//! What each replica says of itself: a ConfigMap `<instance>-report-<pod>` in the release's
//! namespace, with one key that holds compact JSON.
//!
//! The first part of a report is what EndpointSlices are made of; reasons and words come after, as far
//! as there is room, shared out by namespace.
//!
//! One report a replica, not one entry a replica on each object: a rollout of three replicas with
//! a thousand tunnels would be ten thousand writes.

mod own;
mod reporter;
mod room;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::base::Reason;

pub(super) use own::tunnels;
pub(super) use reporter::{Names, RENEW, Reporter};
use room::Left;

/// The key of the ConfigMap.
pub(super) const KEY: &str = "report";
/// The label that names the instance.
pub(super) const LABEL: &str = "adit.dev/report";
/// The form that is written. Another one is read as far as it fits.
const VERSION: u32 = 2;
/// The longest report, in bytes: etcd takes 1.5 MiB, the API server 1 MiB of data.
const LARGEST: usize = 512 * 1024;
/// The longest message of an exception, in bytes.
const LONGEST: usize = 256;

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    version: u32,
    /// Whose it is: it counts as long as this Pod is ready.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub(crate) pod: Option<Pod>,
    /// Without a Pod: when the process last renewed the report, RFC 3339. It counts while this
    /// changes, by the reader's clock.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub(crate) renewed: Option<String>,
    /// There was no room for all objects: what is not listed counts as not running.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) truncated: bool,
    /// What runs, by the object's uid.
    #[serde(deserialize_with = "lenient_map")]
    pub(crate) tunnels: Arc<Tunnels>,
}

/// What runs on a replica, by the object's uid.
pub(crate) type Tunnels = BTreeMap<Arc<str>, Entry>;

/// The Pod of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pod {
    /// Its name, in the namespace of the report.
    pub(crate) name: Arc<str>,
    /// Its uid.
    pub(crate) uid: Arc<str>,
}

/// How one object does on a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Whose turn it is where there is no room for all. Not written.
    #[serde(skip)]
    pub(crate) namespace: Arc<str>,
    /// The generation of the spec that runs: after an invalid edit, the one before it.
    #[serde(rename = "g")]
    pub(crate) generation: i64,
    /// A digest of the Secrets that are used; absent where there are none.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(crate) secrets: Option<String>,
    /// The ports that were allocated and are bound here, by service.
    #[serde(
        rename = "p",
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "lenient_entries"
    )]
    pub(crate) ports: BTreeMap<Arc<str>, u16>,
    /// Services that do not serve here.
    #[serde(
        rename = "x",
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "lenient_entries"
    )]
    pub(crate) exceptions: BTreeMap<Arc<str>, Exception>,
    /// So many more that do not serve and are not among these, for want of room.
    #[serde(rename = "u", default, skip_serializing_if = "is_zero")]
    pub(crate) unsaid: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde gives a reference
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Entry {
    /// Whether a service may not serve, though nothing is said of it.
    pub(crate) fn leaves_out(&self, service: &str) -> bool {
        self.unsaid > 0
            && !self.ports.contains_key(service)
            && !self.exceptions.contains_key(service)
    }
}

/// Why a service does not serve on a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exception {
    #[serde(rename = "r")]
    reason: String,
    /// The words of its condition.
    #[serde(rename = "m", default, skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
}

impl Exception {
    /// An exception; a long message is cut.
    pub(crate) fn new(reason: Reason, message: &str) -> Self {
        let mut end = message.len().min(LONGEST);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let message = message.get(..end).unwrap_or_default().into();
        Self { reason: reason.as_str().into(), message }
    }

    /// Why; Pending for a word that this version does not know.
    pub(crate) fn reason(&self) -> Reason {
        let known = Reason::ALL.iter().find(|reason| reason.as_str() == self.reason);
        known.copied().unwrap_or(Reason::Pending)
    }
}

impl Report {
    /// A report of a process in a Pod, or of one that renews it.
    pub(crate) fn new(pod: Option<Pod>, renewed: Option<String>, tunnels: Arc<Tunnels>) -> Self {
        Self { version: VERSION, pod, renewed, truncated: false, tunnels }
    }

    /// Whether both say the same, whenever they were renewed.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.pod == other.pod
            && self.truncated == other.truncated
            && self.tunnels == other.tunnels
            && self.renewed.is_some() == other.renewed.is_some()
    }

    /// Compact JSON of at most 512 KiB, and what has no room in it.
    ///
    /// # Errors
    /// Never for what [`Report::new`] makes.
    pub(crate) fn encode(&self) -> serde_json::Result<(String, Left)> {
        let whole = serde_json::to_string(self)?;
        if whole.len() <= LARGEST {
            return Ok((whole, Left::default()));
        }
        let mut cut = Self { truncated: true, tunnels: Arc::default(), ..self.clone() };
        let room = LARGEST - serde_json::to_string(&cut)?.len();
        let (tunnels, left) = room::within(&self.tunnels, room);
        cut.truncated = left.objects > 0;
        cut.tunnels = Arc::new(tunnels);
        Ok((serde_json::to_string(&cut)?, left))
    }

    /// What a replica of any version wrote; what does not fit counts as not there.
    pub(crate) fn decode(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

fn lenient<'de, D: Deserializer<'de>, T: for<'a> Deserialize<'a>>(
    source: D,
) -> Result<Option<T>, D::Error> {
    Ok(T::deserialize(serde_json::Value::deserialize(source)?).ok())
}

fn lenient_entries<'de, D: Deserializer<'de>, T: for<'a> Deserialize<'a>>(
    source: D,
) -> Result<BTreeMap<Arc<str>, T>, D::Error> {
    let values = BTreeMap::<Arc<str>, serde_json::Value>::deserialize(source)?;
    let fits = |(key, value)| T::deserialize(value).ok().map(|value| (key, value));
    Ok(values.into_iter().filter_map(fits).collect())
}

fn lenient_map<'de, D: Deserializer<'de>>(source: D) -> Result<Arc<Tunnels>, D::Error> {
    lenient_entries(source).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(tunnels: usize, message: &str) -> Report {
        let exception = Exception::new(Reason::AddressInUse, message);
        let exceptions: BTreeMap<Arc<str>, _> = BTreeMap::from([("db".into(), exception)]);
        let entry = |number| {
            let uid: Arc<str> = format!("9c5b94b1-35ad-49bb-b118-{number:012}").into();
            let exceptions = if number % 2 == 0 { exceptions.clone() } else { BTreeMap::new() };
            (uid, Entry { generation: 3, exceptions, ..Entry::default() })
        };
        let pod = Pod { name: "adit-1".into(), uid: "u".into() };
        Report::new(Some(pod), None, Arc::new((0..tunnels).map(entry).collect()))
    }

    #[test]
    fn a_report_is_compact_and_comes_back_as_it_was() {
        let report = report(2, "port 5432 is in use");
        let (text, _) = report.encode().unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            json!({"version": 2, "pod": {"name": "adit-1", "uid": "u"}, "tunnels": {
                "9c5b94b1-35ad-49bb-b118-000000000000":
                    {"g": 3, "x": {"db": {"r": "AddressInUse", "m": "port 5432 is in use"}}},
                "9c5b94b1-35ad-49bb-b118-000000000001": {"g": 3},
            }})
        );
        assert!(!text.contains([' ', '\n']) || text.contains("port 5432"));
        assert_eq!(Report::decode(&text), report);
    }

    #[test]
    fn what_has_no_room_is_left_out_and_that_is_said() {
        let report = report(20_000, "port 5432 is in use");
        let (text, _) = report.encode().unwrap();
        assert!(text.len() <= LARGEST && text.len() > LARGEST - 200, "{}", text.len());
        let read = Report::decode(&text);
        assert!(read.truncated);
        assert!(read.tunnels.len() > 5_000, "{}", read.tunnels.len());
        let same =
            |(uid, entry): (&Arc<str>, &Entry)| report.tunnels[uid].generation == entry.generation;
        assert!(read.tunnels.iter().all(same));
        assert!(!self::report(5_000, "").encode().unwrap().0.contains("truncated"));
        // Where only words have no room, every object is there.
        let report = self::report(9_000, &"x".repeat(200));
        let (text, left) = report.encode().unwrap();
        assert!(text.len() <= LARGEST && left.objects == 0 && left.reasons > 0, "{left:?}");
        let read = Report::decode(&text);
        assert_eq!((read.truncated, read.tunnels.len()), (false, 9_000));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let exception = Exception::new(Reason::Invalid, &"ä".repeat(1000));
        assert_eq!(exception.message.chars().count(), LONGEST / 2);
    }

    #[test]
    fn what_another_version_wrote_is_read_as_far_as_it_fits() {
        let read = Report::decode(
            &json!({"version": 3, "news": [], "pod": "adit-1", "tunnels": {
                "a": {"g": 1, "more": true, "x": {"s": {"r": "Later", "m": "x"}, "t": 7}},
                "b": {"generation": 1},
                "c": 7,
            }})
            .to_string(),
        );
        assert_eq!(read.pod, None);
        assert_eq!(read.tunnels.keys().map(|uid| &**uid).collect::<Vec<_>>(), ["a"]);
        let exceptions = &read.tunnels["a"].exceptions;
        assert_eq!(exceptions["s"].reason(), Reason::Pending);
        assert_eq!(exceptions.len(), 1);
        // The form before this one.
        let read = Report::decode(
            &json!({"version": 1, "pod": {"name": "p", "uid": "u"}, "truncated": true, "tunnels": {
                "a": {"g": 1, "s": "digest", "p": {"db": 20000}, "x": {"s": {"r": "Invalid", "m": ""}}},
            }})
            .to_string(),
        );
        let entry = &read.tunnels["a"];
        assert!(read.truncated && entry.unsaid == 0 && entry.ports["db"] == 20_000);
        assert_eq!(entry.exceptions["s"].reason(), Reason::Invalid);
        for text in ["", "7", "null", "{\"tunnels\": 7}"] {
            assert!(Report::decode(text).tunnels.is_empty(), "{text}");
        }
    }
}
