//! Statuses that always fit: into the schema, into an object that is large itself, and into what is
//! left when the API server takes neither.

use jiff::Timestamp;

use super::condition::{ACCEPTED, PROGRAMMED, READY, RESOLVED_REFS, cut, seconds};
use super::model::{Condition, Listener, Status, Summary};
use crate::base::Reason;

/// The most listeners and addresses, and the longest address in bytes, as the schema has them.
const MOST: usize = 32;
const ADDRESS: usize = 2048;
/// The longest messages of a listener's conditions in bytes: alone, and where many have one.
const MESSAGE: (usize, usize) = (1024, 256);
/// From so many listeners on their messages are the short ones: all of them are at most 32 KiB.
const MANY: usize = 8;
/// The longest message of a status that was cut down.
const SHORT: usize = 256;

impl Status {
    /// Within the bounds of the schema, and at most about 110 KiB.
    #[must_use]
    pub(crate) fn bounded(mut self) -> Self {
        self.listeners.truncate(MOST);
        self.addresses.truncate(MOST);
        let longest = if self.listeners.len() > MANY { MESSAGE.1 } else { MESSAGE.0 };
        for listener in &mut self.listeners {
            listener.address = listener.address.take().map(|address| cut(&address, ADDRESS));
            for condition in &mut listener.conditions {
                condition.message = cut(&condition.message, longest);
            }
        }
        self
    }

    /// What is written where the API server refuses the whole status: the object's conditions with
    /// its reason, and of each service what it holds.
    #[must_use]
    pub(crate) fn minimal(&self, refusal: &str) -> Self {
        let said = format!("the API server refuses the full status: {refusal}");
        let condition = |condition: &Condition| {
            let own = cut(&condition.message, SHORT);
            let own = if condition.kind == READY { cut(&said, SHORT) } else { own };
            Condition { message: own, ..condition.clone() }
        };
        let listener = |listener: &Listener| Listener {
            address: None,
            port: None,
            conditions: Vec::new(),
            ..listener.clone()
        };
        Self {
            conditions: self.conditions.iter().map(condition).collect(),
            listeners: self.listeners.iter().take(MOST).map(listener).collect(),
            addresses: Vec::new(),
            ..self.clone()
        }
    }

    /// What is said of an object when the last replica ends: it was served, and nobody knows of it
    /// from now on. What its services hold stays theirs, and any installation may have the object.
    #[must_use]
    pub(crate) fn left(&self, now: Timestamp) -> Self {
        let left = |conditions: &[Condition]| {
            let condition = |old: &Condition| {
                if ![PROGRAMMED, READY].contains(&&*old.kind) {
                    return old.clone();
                }
                let flips = old.status != "Unknown";
                let since = old.last_transition_time.clone();
                Condition {
                    status: "Unknown".into(),
                    reason: Reason::NoReplica.as_str().into(),
                    message: "the last replica of the controller ended".into(),
                    last_transition_time: if flips { seconds(now) } else { since },
                    ..old.clone()
                }
            };
            conditions.iter().map(condition).collect()
        };
        let listener = |listener: &Listener| Listener {
            replicas: "0/0".into(),
            conditions: left(&listener.conditions),
            ..listener.clone()
        };
        let summary = |summary: &Summary| {
            let of = summary.listeners.split_once('/').map_or("0", |(_, of)| of);
            Summary { listeners: format!("0/{of}"), replicas: "0/0".into() }
        };
        Self {
            conditions: left(&self.conditions),
            listeners: self.listeners.iter().map(listener).collect(),
            summary: self.summary.as_ref().map(summary),
            class_name: None,
            controller: None,
            contender: None,
            ..self.clone()
        }
    }

    /// Whether it says that the object is not accepted.
    pub(crate) fn is_refused(&self) -> bool {
        self.condition(ACCEPTED).is_some_and(|accepted| accepted.status == "False")
    }

    /// Whether somebody said something of the object: not only the schema's defaults.
    pub(crate) fn is_said(&self) -> bool {
        self.condition(RESOLVED_REFS).is_some()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(listeners: usize, length: usize) -> Status {
        let text = "ä".repeat(length);
        let condition = |kind: &str| {
            json!({"type": kind, "status": "True", "reason": "Ready", "message": text,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let kinds = ["Accepted", "ResolvedRefs", "Programmed", "Ready"];
        let conditions: Vec<_> = kinds.into_iter().map(condition).collect();
        let listener = |number| {
            json!({"name": format!("s{number}"), "address": format!("h:443/{text}"),
                "targetPort": 20000 + number, "replicas": "1/1", "claim": "c",
                "claimedAt": "2026-01-01T00:00:00Z", "conditions": conditions})
        };
        let listeners: Vec<_> = (0..listeners).map(listener).collect();
        let summary = json!({"listeners": "2/2", "replicas": "1/1"});
        Status::read(&json!({"conditions": conditions, "listeners": listeners, "summary": summary}))
    }

    fn size(status: &Status) -> usize {
        serde_json::to_string(status).unwrap().len()
    }

    #[test]
    fn a_status_fits_the_schema_and_an_object_that_is_large_itself() {
        for (listeners, length) in [(32, 3000), (40, 100_000), (8, 100_000), (1, 3000)] {
            let bounded = status(listeners, length).bounded();
            assert!(bounded.listeners.len() <= 32);
            let fits = |l: &Listener| l.address.as_ref().is_none_or(|a| a.len() <= 2048);
            assert!(bounded.listeners.iter().all(fits), "{listeners} {length}");
            let of_listeners = Status { conditions: Vec::new(), ..bounded };
            assert!(size(&of_listeners) < 128 * 1024, "{} bytes", size(&of_listeners));
        }
        assert_eq!(status(2, 10).bounded(), status(2, 10), "what fits stays");
    }

    #[test]
    fn a_status_that_is_refused_is_cut_down_to_what_services_hold() {
        let minimal = status(32, 100_000).minimal("422: path is too long");
        assert!(size(&minimal) < 16 * 1024, "{}", size(&minimal));
        let ready = minimal.condition(READY).unwrap();
        assert!(ready.message.contains("422: path is too long"), "{}", ready.message);
        let listener = &minimal.listeners[31];
        assert_eq!((listener.target_port, listener.claim.as_deref()), (Some(20031), Some("c")));
    }

    #[test]
    fn the_last_replica_leaves_nothing_that_says_ready() {
        let left = status(2, 1).left(Timestamp::from_second(5).unwrap());
        for conditions in [&left.conditions, &left.listeners[1].conditions] {
            let [accepted, _, programmed, ready] = &conditions[..] else { panic!() };
            assert_eq!(accepted.status, "True");
            for condition in [programmed, ready] {
                assert_eq!((&*condition.status, &*condition.reason), ("Unknown", "NoReplica"));
                assert_eq!(condition.last_transition_time, "1970-01-01T00:00:05Z");
            }
        }
        assert_eq!(left.summary.as_ref().unwrap().listeners, "0/2");
        assert_eq!(left.listeners[1].replicas, "0/0");
        assert_eq!(left.listeners[1].claim.as_deref(), Some("c"));
        assert_eq!(left.left(Timestamp::from_second(9).unwrap()), left);
    }
}
