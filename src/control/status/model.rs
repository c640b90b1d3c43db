//! `WsTunnel.status` as it is read and written: the shape of API conventions, times as text.
//!
//! Reading is lenient, since older versions of adit and people with rights wrote what is there;
//! an entry that does not fit counts as not there and is written anew.

use serde::{Deserialize, Deserializer, Serialize};

/// `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Status {
    /// The generation of the spec that everything below is about.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub(crate) observed_generation: Option<i64>,
    /// Accepted, ResolvedRefs, Programmed, Ready, in this order.
    #[serde(deserialize_with = "lenient_list")]
    pub(crate) conditions: Vec<Condition>,
    /// One entry a service.
    #[serde(deserialize_with = "lenient_list")]
    pub(crate) listeners: Vec<Listener>,
    /// Where exposed services are reached.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient_list")]
    pub(crate) addresses: Vec<Address>,
    /// What the columns of `kubectl get` show.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub(crate) summary: Option<Summary>,
    /// The class that serves it. While there is none, `spec.className` may be corrected.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub(crate) class_name: Option<String>,
    /// The installation that holds it, `NAMESPACE/INSTANCE`: no other one writes here.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub(crate) controller: Option<String>,
    /// Another installation that asks whether `controller` is there. Who is there takes it away.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub(crate) contender: Option<String>,
}

/// The fields of a status.
pub(crate) const FIELDS: &[&str] = &[
    "observedGeneration",
    "conditions",
    "listeners",
    "addresses",
    "summary",
    "className",
    "controller",
    "contender",
];

/// A condition, as in `metav1.Condition`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// `Accepted`, `ResolvedRefs`, `Programmed` or `Ready`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: String,
    /// A [`Reason`](crate::base::Reason).
    pub(crate) reason: String,
    /// For people: what to change.
    #[serde(default)]
    pub(crate) message: String,
    /// The generation that the condition is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) observed_generation: Option<i64>,
    /// When `status` last became what it is, RFC 3339 in whole seconds.
    pub(crate) last_transition_time: String,
}

/// What is known of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listener {
    /// `services[].name`.
    pub(crate) name: String,
    /// Host, port and path to reach it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// The port to reach it by: that of the Service if it is exposed, else one of the Pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// The port of the Pods that was allocated for an exposed service: nobody binds another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target_port: Option<u16>,
    /// Replicas that serve it, of all: `1/1`.
    #[serde(default)]
    pub(crate) replicas: String,
    /// As on the object.
    #[serde(default)]
    pub(crate) conditions: Vec<Condition>,
    /// Since when the service has held the address, host and path of `claim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claimed_at: Option<String>,
    /// Digest of what `claimedAt` is about: it counts only while the spec still asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claim: Option<String>,
}

/// Where an exposed service is reached, as in `status.addresses` of Gateway API, with a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    /// `Hostname`, or `IPAddress` of a load balancer.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `<service>.<namespace>.svc`, or the load balancer's address.
    pub(crate) value: String,
    /// The Service's port.
    pub(crate) port: u16,
}

/// What the columns of `kubectl get` show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// Services that serve, of all: `1/2`.
    #[serde(default)]
    pub(crate) listeners: String,
    /// Replicas that run this object, of all: `1/1`.
    #[serde(default)]
    pub(crate) replicas: String,
}

impl Status {
    /// The status of a stored object, whatever it is.
    pub(crate) fn read(value: &serde_json::Value) -> Self {
        Self::deserialize(value).unwrap_or_default()
    }

    /// A condition of the object.
    pub(crate) fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind)
    }

    /// Whether both give every service the same claim.
    pub(crate) fn same_claims(&self, other: &Self) -> bool {
        let claims = |status: &'_ Self| -> Vec<_> {
            let claims = status.listeners.iter().filter(|listener| listener.claim.is_some());
            claims.map(|l| (l.name.clone(), l.claimed_at.clone(), l.claim.clone())).collect()
        };
        claims(self) == claims(other)
    }

    /// Whether both give every service the same port.
    pub(crate) fn same_ports(&self, other: &Self) -> bool {
        let ports = |status: &'_ Self| -> Vec<_> {
            let exposed = status.listeners.iter().filter(|l| l.target_port.is_some());
            exposed.map(|l| (l.name.clone(), l.target_port)).collect()
        };
        ports(self) == ports(other)
    }

    /// As a merge patch that leaves nothing of what was there before, whoever wrote it: lists are
    /// replaced, and fields that are not there are taken away.
    pub(crate) fn patch(&self) -> serde_json::Value {
        let mut patch = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = patch.as_object_mut() {
            for name in FIELDS {
                fields.entry(*name).or_insert(serde_json::Value::Null);
            }
        }
        patch
    }

    /// A service's entry.
    pub(crate) fn listener(&self, name: &str) -> Option<&Listener> {
        self.listeners.iter().find(|l| l.name == name)
    }
}

fn lenient<'de, D: Deserializer<'de>, T: for<'a> Deserialize<'a>>(
    source: D,
) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(source)?;
    Ok(T::deserialize(value).ok())
}

fn lenient_list<'de, D: Deserializer<'de>, T: for<'a> Deserialize<'a>>(
    source: D,
) -> Result<Vec<T>, D::Error> {
    let values = Vec::<serde_json::Value>::deserialize(source).unwrap_or_default();
    Ok(values.into_iter().filter_map(|value| T::deserialize(value).ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_patch_names_every_field_so_that_nothing_of_another_writer_stays() {
        let Value::Object(empty) = Status::default().patch() else { panic!() };
        let names: BTreeSet<_> = empty.keys().map(String::as_str).collect();
        assert_eq!(names, FIELDS.iter().copied().collect());
        assert_eq!(empty["controller"], Value::Null);
        let full = Status {
            observed_generation: Some(1),
            addresses: vec![Address::default()],
            summary: Some(Summary::default()),
            class_name: Some("a".into()),
            controller: Some("b".into()),
            contender: Some("c".into()),
            ..Status::default()
        };
        let Value::Object(written) = serde_json::to_value(&full).unwrap() else { panic!() };
        let written: BTreeSet<_> = written.keys().map(String::as_str).collect();
        assert_eq!(written, names, "a field that the patch does not name would stay");
        assert_eq!(Status::read(&full.patch()), full);
    }

    #[test]
    fn what_others_wrote_is_read_as_far_as_it_fits() {
        let status = Status::read(&json!({
            "observedGeneration": "three",
            "conditions": [{"type": "Ready"}, {"type": "Accepted", "status": "True", "reason": "Accepted",
                "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "listeners": [{"name": "a"}, 7],
            "summary": 7,
        }));
        assert_eq!(status.observed_generation, None);
        assert_eq!(status.conditions.len(), 1);
        assert_eq!(status.listeners.len(), 1);
        assert_eq!(status.summary, None);
        assert_eq!(Status::read(&json!(null)), Status::default());
        assert_eq!(Status::read(&json!("x")), Status::default());
    }
}
