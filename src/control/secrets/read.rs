//! Which Secrets are watched, and what is made of one that was read.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret as Stored;
use kube::api::PartialObjectMeta;
use kube::{Api, Client, Resource, ResourceExt};
use tokio::time::timeout;

use super::{Key, Read};
use crate::base::Secret;
use crate::base::shell::quoted;
use crate::config::secrets::{SecretData, SecretState};
use crate::control::watch::{Kind, Metadata};

/// For one read.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most that a Secret may hold; certificates and users need a few KiB.
const LARGEST: usize = 256 * 1024;
const TLS: &str = "kubernetes.io/tls";
const BASIC_AUTH: &str = "kubernetes.io/basic-auth";
const OPAQUE: &str = "Opaque";
/// On an Opaque Secret: it is for tunnels. Any value.
const USAGE: &str = "adit.dev/usage";
/// On any Secret: what it holds may be sent to other hosts.
const SHARE: &str = "adit.dev/share";

/// The Secrets that are followed; each sort has a watch of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) enum Sort {
    /// `kubernetes.io/tls`.
    Tls,
    /// `kubernetes.io/basic-auth`.
    BasicAuth,
    /// Opaque, with the label of what it is for.
    Labelled,
    /// The one of this name, whatever its type: a Role can grant that and nothing else.
    Named(String),
}

/// What one watch is about.
#[derive(Clone, Debug)]
pub(in crate::control) struct Scope {
    /// Of this namespace, or of all.
    pub(in crate::control) namespace: Option<String>,
    /// Which of its Secrets.
    pub(in crate::control) sort: Sort,
}

impl Scope {
    /// The scopes of all watches in these namespaces: one for each name, or one for each type.
    pub(in crate::control) fn all(namespaces: &[Option<String>], names: &[String]) -> Vec<Self> {
        let sorts = if names.is_empty() {
            vec![Sort::Tls, Sort::BasicAuth, Sort::Labelled]
        } else {
            names.iter().cloned().map(Sort::Named).collect()
        };
        let scopes = namespaces.iter().flat_map(|namespace| {
            sorts.iter().map(|sort| Self { namespace: namespace.clone(), sort: sort.clone() })
        });
        scopes.collect()
    }

    /// Whether a Secret of the name may be in it.
    pub(in crate::control) fn may_have(&self, key: &Key) -> bool {
        let here = self.namespace.as_ref().is_none_or(|of| **of == *key.namespace);
        here && match &self.sort {
            Sort::Named(name) => **name == *key.name,
            Sort::Tls | Sort::BasicAuth | Sort::Labelled => true,
        }
    }

    /// Whether a Secret that was read is in it; `sort` is what its type makes of it.
    pub(super) fn has(&self, key: &Key, sort: Option<&Sort>) -> bool {
        self.may_have(key) && (matches!(self.sort, Sort::Named(_)) || sort == Some(&self.sort))
    }
}

/// What a watch tells of a Secret.
#[derive(Clone, Debug)]
pub(in crate::control) struct Meta {
    /// Which one.
    pub(in crate::control) key: Key,
    /// Changes with every write.
    pub(in crate::control) version: String,
}

impl Meta {
    fn read(object: &PartialObjectMeta<Stored>) -> Self {
        Self { key: Key::of(object), version: object.resource_version().unwrap_or_default() }
    }
}

/// The Secrets of a scope.
pub(in crate::control) fn watched(client: Client, scope: &Scope) -> Kind<Metadata<Stored>, Meta> {
    let api = match &scope.namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let fields = match &scope.sort {
        Sort::Tls => format!("type={TLS}"),
        Sort::BasicAuth => format!("type={BASIC_AUTH}"),
        Sort::Labelled => format!("type={OPAQUE}"),
        Sort::Named(name) => format!("metadata.name={name}"),
    };
    Kind {
        fields: Some(fields),
        labels: (scope.sort == Sort::Labelled).then(|| USAGE.into()),
        ..Kind::new("secrets", Metadata(api), Meta::read)
    }
}

/// What the API server says to a read.
#[derive(Debug)]
pub(in crate::control) enum Answer {
    /// It is there.
    Found {
        /// Its version.
        version: String,
        /// What its type makes of it; `None`: tunnels do not use it.
        sort: Option<Sort>,
        /// What is known of it.
        state: SecretState,
    },
    /// It is not there.
    Missing,
    /// Nobody knows.
    Failed {
        /// What happened, and what to do.
        why: String,
        /// RBAC refused it.
        forbidden: bool,
    },
}

/// Reads from the API server.
pub(in crate::control) fn reads(client: Client) -> Read {
    Box::new(move |key| {
        let api: Api<Stored> = Api::namespaced(client.clone(), &key.namespace);
        Box::pin(async move {
            match timeout(TIMEOUT, api.get_opt(&key.name)).await {
                Ok(Ok(Some(stored))) => found(&key, stored),
                Ok(Ok(None)) => Answer::Missing,
                Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => Answer::Failed {
                    why: "the controller's ServiceAccount needs get on secrets: see \
                          deploy/rbac.yaml"
                        .into(),
                    forbidden: true,
                },
                Ok(Err(error)) => {
                    Answer::Failed { why: crate::control::chain(&error), forbidden: false }
                }
                Err(_) => Answer::Failed {
                    why: "the API server does not answer".into(),
                    forbidden: false,
                },
            }
        })
    })
}

fn found(key: &Key, stored: Stored) -> Answer {
    let named = Key::of(&stored);
    if named != *key {
        let why = format!("the API server answered with another object, {named}");
        return Answer::Failed { why, forbidden: false };
    }
    let version = stored.resource_version().unwrap_or_default();
    let kind = stored.type_.as_deref().unwrap_or(OPAQUE);
    let label = |name: &str| stored.meta().labels.as_ref().and_then(|labels| labels.get(name));
    let sort = match kind {
        TLS => Some(Sort::Tls),
        BASIC_AUTH => Some(Sort::BasicAuth),
        OPAQUE if label(USAGE).is_some() => Some(Sort::Labelled),
        _ => None,
    };
    let shared = label(SHARE).is_some_and(|value| value == "true");
    let Key { namespace, name } = key;
    let refused = match sort {
        None if kind == OPAQUE => Some(format!(
            "Secret {name:?} is Opaque and not labelled for tunnels: kubectl label secret {} -n {} \
             {USAGE}=tunnel",
            quoted(name),
            quoted(namespace)
        )),
        None => Some(format!(
            "Secret {name:?} is of type {kind}, which tunnels do not use: {TLS}, {BASIC_AUTH}, or \
             {OPAQUE} with the label {USAGE}"
        )),
        Some(_) => None,
    };
    let data = stored.data.unwrap_or_default();
    let size: usize = data.iter().map(|(key, value)| key.len() + value.0.len()).sum();
    let state = match refused {
        Some(why) => SecretState::Refused(why),
        None if size > LARGEST => SecretState::Refused(format!(
            "Secret {name:?} holds {size} bytes, more than the {LARGEST} that are read"
        )),
        None => {
            let values = data.into_iter().map(|(key, value)| (key, Secret::new(value.0))).collect();
            SecretState::Known(Arc::new(SecretData { kind: kind.into(), values, shared }))
        }
    };
    Answer::Found { version, sort, state }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(kind: &str, labels: serde_json::Value) -> (Option<Sort>, SecretState) {
        let stored = json!({"type": kind, "data": {"a": "Yg=="},
            "metadata": {"name": "s", "namespace": "n", "labels": labels, "resourceVersion": "7"}});
        let key = Key { namespace: "n".into(), name: "s".into() };
        let Answer::Found { version, sort, state } =
            found(&key, serde_json::from_value(stored).unwrap())
        else {
            panic!()
        };
        assert_eq!(version, "7");
        (sort, state)
    }

    #[test]
    fn what_no_watch_would_tell_of_is_not_used() {
        let label = json!({"adit.dev/usage": ""});
        for (kind, labels, sort) in [
            ("kubernetes.io/tls", json!({}), Some(Sort::Tls)),
            ("kubernetes.io/basic-auth", json!({}), Some(Sort::BasicAuth)),
            ("Opaque", label.clone(), Some(Sort::Labelled)),
            ("Opaque", json!({}), None),
            ("kubernetes.io/dockerconfigjson", label, None),
        ] {
            let (found, state) = state(kind, labels);
            assert_eq!(found, sort, "{kind}");
            assert_eq!(found.is_none(), matches!(state, SecretState::Refused(_)), "{kind}");
        }
        let (_, SecretState::Refused(why)) = state("Opaque", json!({})) else { panic!() };
        assert!(why.ends_with("kubectl label secret s -n n adit.dev/usage=tunnel"), "{why}");
    }

    #[test]
    fn only_the_word_true_shares() {
        for (value, shared) in [("true", true), ("false", false), ("", false)] {
            let (_, state) = state("kubernetes.io/tls", json!({"adit.dev/share": value}));
            let SecretState::Known(data) = state else { panic!() };
            assert_eq!(data.shared, shared);
        }
    }

    #[test]
    fn an_answer_about_something_else_is_an_error() {
        let key = Key { namespace: "n".into(), name: "s".into() };
        for (namespace, name) in [("n", "t"), ("m", "s"), ("", "")] {
            let stored = json!({"type": "kubernetes.io/tls",
                "metadata": {"name": name, "namespace": namespace, "resourceVersion": "7"}});
            let answer = found(&key, serde_json::from_value(stored).unwrap());
            let Answer::Failed { why, forbidden: false } = answer else { panic!("{answer:?}") };
            assert!(why.contains("another object"), "{why}");
        }
        for kind in ["SecretList", "Status", "ConfigMap"] {
            let other = json!({"apiVersion": "v1", "kind": kind, "metadata": {}});
            assert!(serde_json::from_value::<Stored>(other).is_err(), "{kind}");
        }
    }
}
