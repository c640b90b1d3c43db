//! The kinds of objects that are watched, and how they are asked for.

use std::fmt::Debug;
use std::future::Future;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{
    ApiResource, DynamicObject, ListParams, ObjectList, PartialObjectMeta, WatchEvent, WatchParams,
};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::control::fleet::{PodView, Stored};
use crate::control::namespaces::Labelled;
use crate::control::object::Object;
use crate::control::report::LABEL;
use crate::crd;

/// What a page of a list and a watch are had from.
pub(in crate::control) trait Source: Send + Sync + 'static {
    /// An object as it is sent.
    type Object: Resource + Clone + Send;

    /// A page.
    fn list(
        &self,
        params: &ListParams,
    ) -> impl Future<Output = kube::Result<ObjectList<Self::Object>>> + Send;

    /// What changes after a version.
    fn watch(
        &self,
        params: &WatchParams,
        version: &str,
    ) -> impl Future<Output = kube::Result<Events<Self::Object>>> + Send;
}

/// The events of a watch.
type Events<K> = BoxStream<'static, kube::Result<WatchEvent<K>>>;

/// Whole objects.
pub(in crate::control) struct Whole<K>(pub(in crate::control) Api<K>);

/// Only their metadata: nobody reads what they hold.
pub(in crate::control) struct Metadata<K>(pub(in crate::control) Api<K>);

impl<K> Source for Whole<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    type Object = K;

    async fn list(&self, params: &ListParams) -> kube::Result<ObjectList<K>> {
        self.0.list(params).await
    }

    async fn watch(&self, params: &WatchParams, version: &str) -> kube::Result<Events<K>> {
        Ok(self.0.watch(params, version).await?.boxed())
    }
}

impl<K> Source for Metadata<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    type Object = PartialObjectMeta<K>;

    async fn list(&self, params: &ListParams) -> kube::Result<ObjectList<PartialObjectMeta<K>>> {
        self.0.list_metadata(params).await
    }

    async fn watch(
        &self,
        params: &WatchParams,
        version: &str,
    ) -> kube::Result<Events<PartialObjectMeta<K>>> {
        Ok(self.0.watch_metadata(params, version).await?.boxed())
    }
}

/// A kind of objects in a scope, and what is kept of each.
pub(in crate::control) struct Kind<S: Source, O> {
    /// As in a URL and in RBAC: the `kind` label of metrics.
    pub(in crate::control) plural: &'static str,
    pub(in crate::control) source: S,
    pub(in crate::control) read: fn(&S::Object) -> O,
    /// A label selector.
    pub(in crate::control) labels: Option<String>,
    /// A field selector.
    pub(in crate::control) fields: Option<String>,
}

impl<S: Source, O> Kind<S, O> {
    /// All objects of the source.
    pub(in crate::control) fn new(
        plural: &'static str,
        source: S,
        read: fn(&S::Object) -> O,
    ) -> Self {
        Self { plural, source, read, labels: None, fields: None }
    }

    /// Those with labels that fit.
    pub(in crate::control) fn labelled(self, selector: String) -> Self {
        Self { labels: Some(selector), ..self }
    }
}

/// `WsTunnel`s of a namespace, or of all.
pub(in crate::control) fn tunnels(
    client: Client,
    namespace: Option<&str>,
) -> Kind<Whole<DynamicObject>, Object> {
    let kind = resource();
    let api = match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &kind),
        None => Api::all_with(client, &kind),
    };
    Kind::new(crd::PLURAL, Whole(api), Object::read)
}

/// The Pods of a namespace: those of the controller are among them.
pub(in crate::control) fn pods(client: Client, namespace: &str) -> Kind<Whole<Pod>, PodView> {
    Kind::new("pods", Whole(Api::namespaced(client, namespace)), PodView::read)
}

/// The reports of an instance's replicas.
pub(in crate::control) fn reports(
    client: Client,
    namespace: &str,
    instance: &str,
) -> Kind<Whole<ConfigMap>, Stored> {
    let source = Whole(Api::namespaced(client, namespace));
    Kind::new("configmaps", source, Stored::read).labelled(format!("{LABEL}={instance}"))
}

/// All namespaces, for their labels.
pub(in crate::control) fn namespaces(client: Client) -> Kind<Metadata<Namespace>, Labelled> {
    Kind::new("namespaces", Metadata(Api::all(client)), Labelled::read)
}

/// The resource that is watched and patched.
pub(in crate::control) fn resource() -> ApiResource {
    ApiResource {
        group: crd::GROUP.into(),
        version: crd::VERSION.into(),
        api_version: format!("{}/{}", crd::GROUP, crd::VERSION),
        kind: crd::KIND.into(),
        plural: crd::PLURAL.into(),
    }
}
