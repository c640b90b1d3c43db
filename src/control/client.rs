//! The way to the API server: from a kubeconfig, or from inside a pod.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::ControlError;

/// How long a TCP connection and the TLS handshake may take: recovery after a fault must fit 15 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client, and where it connects to.
#[derive(Clone)]
pub struct Connection {
    pub(super) client: Client,
    host: Option<String>,
    /// Its URL, for people.
    pub(super) server: String,
    namespace: String,
}

impl Connection {
    /// Reads the kubeconfig, or what a pod finds about its cluster if there is none. Does not
    /// connect: without an API server the controller lives and is not ready.
    ///
    /// # Errors
    /// [`ControlError::Config`] if there is neither, or it cannot be used.
    pub async fn open(kubeconfig: Option<&Path>) -> Result<Self, ControlError> {
        let mut config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(config_error)?;
                let options = KubeConfigOptions::default();
                Config::from_custom_kubeconfig(file, &options).await.map_err(config_error)?
            }
            None => Config::infer().await.map_err(config_error)?,
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // Writes have a back-off of their own, an object each; the client's would hold up all.
        config.default_retry = false;
        let host = config.cluster_url.host().map(Into::into);
        let server = config.cluster_url.to_string();
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(config_error)?;
        Ok(Self { client, host, server, namespace })
    }

    /// The namespace of names that are written without one: that of the kubeconfig's context, or of
    /// the pod.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The API server's addresses, which tunnels must not reach: those that this client
    /// uses, and `KUBERNETES_SERVICE_HOST`.
    pub async fn api_addresses(&self) -> Vec<IpAddr> {
        let service = std::env::var("KUBERNETES_SERVICE_HOST").ok();
        let mut addresses = Vec::new();
        for host in self.host.iter().chain(&service) {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            // What kube's client asks, too: it is not a tunnel's target that is looked up here.
            #[allow(clippy::disallowed_methods)]
            match tokio::net::lookup_host((host, 443)).await {
                Ok(found) => addresses.extend(found.map(|address| address.ip())),
                Err(error) => tracing::warn!(
                    host, %error,
                    "cannot resolve the API server; --deny-egress keeps tunnels away from it"
                ),
            }
        }
        addresses.sort();
        addresses.dedup();
        addresses
    }
}

fn config_error(source: impl std::error::Error + Send + Sync + 'static) -> ControlError {
    ControlError::Config { source: Box::new(source) }
}
