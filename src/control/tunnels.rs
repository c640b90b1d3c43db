//! Single objects, for commands that somebody runs: nothing here watches.

use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::object::Object;
use super::{Connection, chain, watch};
use crate::crd::{GROUP, PLURAL};

/// For one request. A person waits for it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The `WsTunnel`s of a namespace.
pub struct Tunnels {
    api: Api<DynamicObject>,
    namespace: String,
}

/// Why an object is not there to be looked at.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// There is none.
    #[error(
        "WsTunnel {namespace}/{name} does not exist; see kubectl get wst -n {namespace}, or name another \
         namespace: NS/{name}"
    )]
    Missing {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The API server knows no such kind.
    #[error(
        "the API server does not know WsTunnels; install the chart or its CRD: adit crd | kubectl \
         apply --server-side -f -"
    )]
    NoKind,
    /// A right is missing.
    #[error(
        "may not {verb} {PLURAL}.{GROUP} in namespace {namespace}; whoever administers it can allow it: \
         kubectl create role adit-{verb} -n {namespace} --verb={verb} --resource={PLURAL}.{GROUP}, and a \
         RoleBinding for you ({said})"
    )]
    Forbidden {
        /// The verb.
        verb: &'static str,
        /// The namespace.
        namespace: String,
        /// The API server's words.
        said: String,
    },
    /// The API server does not know who asks.
    #[error(
        "the API server does not accept these credentials; log in again, or name another --kubeconfig"
    )]
    Unauthorized,
    /// It says something else.
    #[error("cannot {verb} WsTunnel {namespace}/{name}: {said}")]
    Other {
        /// The verb.
        verb: &'static str,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What was said, by the API server or on the way to it.
        said: String,
    },
}

impl Tunnels {
    /// Those of a namespace. Nothing is asked yet.
    pub fn new(connection: &Connection, namespace: &str) -> Self {
        let api = Api::namespaced_with(connection.client.clone(), namespace, &watch::resource());
        Self { api, namespace: namespace.into() }
    }

    /// One of them. It needs the verb `get`.
    ///
    /// # Errors
    /// It is not there, it may not be read, or the API server cannot be asked.
    pub(crate) async fn get(&self, name: &str) -> Result<Object, TunnelError> {
        let object = self.ask("get", name, self.api.get(name)).await?;
        Ok(Object::read(&object))
    }

    /// Makes one. It needs the verb `create`.
    ///
    /// # Errors
    /// It may not be made, or the API server refuses it or cannot be asked.
    pub(crate) async fn create(&self, name: &str, spec: Value) -> Result<(), TunnelError> {
        let object = DynamicObject::new(name, &watch::resource()).data(json!({"spec": spec}));
        let params = PostParams::default();
        self.ask("create", name, self.api.create(&params, &object)).await.map(drop)
    }

    /// Deletes one; that there is none is no error. It needs the verb `delete`.
    ///
    /// # Errors
    /// It may not be deleted, or the API server cannot be asked.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), TunnelError> {
        match self.ask("delete", name, self.api.delete(name, &DeleteParams::default())).await {
            Ok(_) | Err(TunnelError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ask<T>(
        &self,
        verb: &'static str,
        name: &str,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, TunnelError> {
        let (namespace, name) = (self.namespace.clone(), name.to_string());
        let error = match tokio::time::timeout(TIMEOUT, request).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => {
                let said = "the API server does not answer".into();
                return Err(TunnelError::Other { verb, namespace, name, said });
            }
        };
        let kube::Error::Api(status) = &error else {
            return Err(TunnelError::Other { verb, namespace, name, said: chain(&error) });
        };
        let said = status.message.clone();
        Err(match status.code {
            // Of a path that it does not know, the API server says so in plain text.
            404 if status.details.is_none() => TunnelError::NoKind,
            404 => TunnelError::Missing { namespace, name },
            401 => TunnelError::Unauthorized,
            403 => TunnelError::Forbidden { verb, namespace, said },
            _ => TunnelError::Other { verb, namespace, name, said },
        })
    }
}
