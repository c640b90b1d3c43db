//! One write to a child, or the asking for it.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::control::expose::children;
use crate::control::lease::Fenced;
use crate::control::object::Key;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum What {
    Service,
    Slice,
}

/// A child by kind and name.
pub(super) type Child = (What, Key);

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Task {
    /// Write our Service; `known`: it was seen to be ours, with this uid.
    Service { owner: Arc<str>, known: Option<String>, body: Value },
    /// Write an EndpointSlice.
    Slice { body: Value },
    /// Delete a child of this uid.
    Delete { uid: String },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    Service(Box<Service>),
    Slice(Box<EndpointSlice>),
    Taken,
    Gone,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    #[error("the API server refused to {0}")]
    Refused(&'static str, #[source] kube::Error),
    #[error("the API server answered with another object, {0}")]
    Other(Key),
    #[error(transparent)]
    Fenced(#[from] Fenced),
}

impl KeepError {
    /// The API server's words, if it will not take what was sent, whenever it is sent.
    pub(super) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused(_, kube::Error::Api(status))
                if matches!(status.code, 400 | 403 | 422) =>
            {
                Some(&status.message)
            }
            _ => None,
        }
    }
}

/// What is sent: with a uid an object that was deleted and made anew is a conflict.
pub(super) fn body(object: &impl Serialize, uid: Option<&str>) -> Value {
    let mut body = serde_json::to_value(object).unwrap_or_default();
    if let (Some(uid), Some(metadata)) = (uid, body.pointer_mut("/metadata"))
        && let Some(metadata) = metadata.as_object_mut()
    {
        metadata.insert("uid".into(), json!(uid));
    }
    body
}

pub(super) async fn perform(
    client: kube::Client,
    params: PatchParams,
    (what, key): &Child,
    task: &Task,
) -> Result<Done, KeepError> {
    match (what, task) {
        (_, Task::Service { owner, known, body }) => {
            let api: Api<Service> = Api::namespaced(client, &key.namespace);
            if known.is_none() {
                let there = api.get_opt(&key.name).await;
                let there = there.map_err(|error| KeepError::Refused("get", error))?;
                if let Some(there) = &there {
                    is_of(there, key)?;
                }
                let owned = there
                    .as_ref()
                    .map(|service| children::owner(&service.metadata) == Some(&**owner));
                if owned == Some(false) {
                    return Ok(Done::Taken);
                }
            }
            Ok(Done::Service(apply(&api, &params, key, body).await?))
        }
        (_, Task::Slice { body }) => {
            let api: Api<EndpointSlice> = Api::namespaced(client, &key.namespace);
            Ok(Done::Slice(apply(&api, &params, key, body).await?))
        }
        (What::Service, Task::Delete { uid }) => {
            delete(&Api::<Service>::namespaced(client, &key.namespace), &key.name, uid).await
        }
        (What::Slice, Task::Delete { uid }) => {
            delete(&Api::<EndpointSlice>::namespaced(client, &key.namespace), &key.name, uid).await
        }
    }
}

async fn apply<K>(
    api: &Api<K>,
    params: &PatchParams,
    key: &Key,
    body: &Value,
) -> Result<Box<K>, KeepError>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let applied = api.patch(&key.name, params, &Patch::Apply(body)).await;
    let mut object = applied.map_err(|error| KeepError::Refused("patch", error))?;
    is_of(&object, key)?;
    object.meta_mut().managed_fields = None;
    Ok(Box::new(object))
}

/// Whether an answer is about what was asked.
fn is_of(object: &impl Resource, key: &Key) -> Result<(), KeepError> {
    let named = Key::of(object);
    if named == *key { Ok(()) } else { Err(KeepError::Other(named)) }
}

async fn delete<K>(api: &Api<K>, name: &str, uid: &str) -> Result<Done, KeepError>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let only = Preconditions { uid: Some(uid.into()), resource_version: None };
    let params = DeleteParams { preconditions: Some(only), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Ok(_) => Ok(Done::Gone),
        // Another of the name is not the one that was to go.
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
            Ok(Done::Gone)
        }
        Err(error) => Err(KeepError::Refused("delete", error)),
    }
}
