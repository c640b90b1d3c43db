//! Events on objects: what a status says, at the moment that it begins to say it.

use std::convert::Infallible;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use super::lease::Leadership;
use super::object::Key;
use super::status::{ACCEPTED, Condition, READY, Status};
use super::watch::resource;
use super::writer::Written;
use crate::metrics::Metrics;

/// Events that wait for the API server. They tell people what conditions keep: more are dropped.
pub(super) const WAITING: usize = 2048;

/// For one Event.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An Event to publish.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    key: Key,
    uid: String,
    good: bool,
    reason: String,
    text: String,
}

/// What is worth an Event in a status that was just written: Ready came or went, is missing for a
/// new reason, or the spec was refused for a new reason. An object that waits is not.
pub(super) fn notes(written: &Written) -> Option<Note> {
    let Written { before, status, .. } = written;
    let new = before.condition(READY).is_none_or(|c| c.status == "Unknown");
    let waits = |c: &Condition| c.status == "Unknown" || new && c.reason == "Pending";
    let ready = changed(before, status, READY).filter(|c| !waits(c));
    let ready = ready.or_else(|| new_reason(before, status));
    let refused = status.condition(ACCEPTED).filter(|now| {
        now.status == "False"
            && before.condition(ACCEPTED).is_none_or(|c| {
                c.status != now.status || c.reason != now.reason || c.message != now.message
            })
    });
    let condition = refused.or(ready)?;
    let good = condition.status == "True";
    let text = match (good, condition.message.as_str()) {
        (true, "") => "Every service serves".to_string(),
        (_, message) => message.to_string(),
    };
    Some(Note {
        key: written.key.clone(),
        uid: written.uid.to_string(),
        good,
        reason: condition.reason.clone(),
        text,
    })
}

/// The condition, if its status is not what it was.
fn changed<'a>(before: &Status, now: &'a Status, kind: &str) -> Option<&'a Condition> {
    let condition = now.condition(kind)?;
    let same = before.condition(kind).is_some_and(|c| c.status == condition.status);
    (!same).then_some(condition)
}

/// Condition Ready, if it stays False and says another reason than before.
fn new_reason<'a>(before: &Status, now: &'a Status) -> Option<&'a Condition> {
    let (before, now) = (before.condition(READY)?, now.condition(READY)?);
    let stays = before.status == "False" && now.status == "False";
    (stays && now.reason != before.reason && now.reason != "Pending").then_some(now)
}

/// Publishes what it gets, as long as somebody may send. A failure is logged: conditions have it all.
pub(super) async fn run(
    client: kube::Client,
    instance: &str,
    pod: Option<String>,
    leadership: Leadership,
    metrics: Metrics,
    notes: &mut mpsc::Receiver<Note>,
) -> Option<Infallible> {
    let controller = format!("adit.dev/{instance}");
    let recorder = Recorder::new(client, Reporter { controller, instance: pod });
    loop {
        let note = notes.recv().await?;
        if note.good {
            tracing::info!(object = %note.key, reason = note.reason, "{}", note.text);
        } else {
            tracing::warn!(object = %note.key, reason = note.reason, "{}", note.text);
        }
        let kind = resource();
        let reference = ObjectReference {
            api_version: Some(kind.api_version),
            kind: Some(kind.kind),
            namespace: Some(note.key.namespace.to_string()),
            name: Some(note.key.name.to_string()),
            uid: Some(note.uid),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: if note.good { EventType::Normal } else { EventType::Warning },
            reason: note.reason,
            note: Some(note.text),
            action: "Reconcile".into(),
            secondary: None,
        };
        let published = leadership.fenced(TIMEOUT, recorder.publish(&event, &reference)).await;
        if let Ok(Err(error)) = published {
            if matches!(&error, kube::Error::Api(status) if status.is_forbidden()) {
                metrics.kube_denied.with_label_values(&["create", "events"]).inc();
            }
            tracing::debug!(object = %note.key, error = %super::chain(&error), "cannot publish an Event");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ready(status: &str, reason: &str) -> Status {
        Status::read(&json!({"conditions": [{"type": "Ready", "status": status, "reason": reason,
            "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}))
    }

    #[test]
    fn a_new_object_that_waits_is_no_event() {
        let noted = |before: Status, status: Status| {
            let key = Key { namespace: "a".into(), name: "t".into() };
            notes(&Written { key, uid: "u".into(), asks: false, before, status })
                .map(|note| note.reason)
        };
        let new = || ready("Unknown", "Pending");
        assert_eq!(noted(new(), ready("False", "Pending")), None);
        assert_eq!(noted(new(), ready("False", "AddressInUse")).as_deref(), Some("AddressInUse"));
        assert_eq!(
            noted(ready("False", "Pending"), ready("True", "Ready")).as_deref(),
            Some("Ready")
        );
        assert_eq!(
            noted(ready("True", "Ready"), ready("False", "Pending")).as_deref(),
            Some("Pending")
        );
    }

    #[test]
    fn a_new_reason_not_to_be_ready_is_an_event() {
        for (before, now, noted) in [
            ("Pending", "SecretNotFound", Some("SecretNotFound")),
            ("SecretNotFound", "CertificateExpired", Some("CertificateExpired")),
            ("SecretNotFound", "SecretNotFound", None),
            ("SecretNotFound", "Pending", None),
        ] {
            let key = Key { namespace: "a".into(), name: "t".into() };
            let (before, status) = (ready("False", before), ready("False", now));
            let note = notes(&Written { key, uid: "u".into(), asks: false, before, status });
            assert_eq!(note.map(|note| note.reason).as_deref(), noted, "{now}");
        }
    }
}
