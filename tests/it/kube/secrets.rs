//! Secrets of the API server, and a TLS client that looks at what it is shown.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::support::cluster::Cluster;
use crate::support::pki::Leaf;

pub const TLS: &str = "kubernetes.io/tls";
pub const BASIC_AUTH: &str = "kubernetes.io/basic-auth";

/// Makes or changes a Secret; values that are not listed any more are gone.
pub fn put(
    cluster: &Cluster,
    ns: &str,
    name: &str,
    kind: &str,
    labels: Value,
    values: &[(&str, &str)],
) {
    let data = values.iter().map(|(k, v)| (k.to_string(), BASE64_STANDARD.encode(v).into()));
    let data = Value::Object(data.collect());
    let body = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels},
        "type": kind, "data": data,
    });
    let params = PatchParams::apply("tests").force();
    cluster.block_on(api(cluster, ns).patch(name, &params, &Patch::Apply(&body))).unwrap();
}

/// Makes or changes one with users.
pub fn put_users(cluster: &Cluster, ns: &str, values: &[(&str, &str)]) {
    put(cluster, ns, "users", "Opaque", json!({"adit.dev/usage": "users"}), values);
}

/// Makes or changes one with a certificate.
pub fn put_pair(cluster: &Cluster, ns: &str, name: &str, leaf: &Leaf) {
    let [chain, key] = [&leaf.cert, &leaf.key].map(|path| std::fs::read_to_string(path).unwrap());
    put(cluster, ns, name, TLS, json!({}), &[("tls.crt", &chain), ("tls.key", &key)]);
}

/// Deletes one.
pub fn delete(cluster: &Cluster, ns: &str, name: &str) {
    cluster.block_on(api(cluster, ns).delete(name, &DeleteParams::default())).unwrap();
}

fn api(cluster: &Cluster, ns: &str) -> Api<Secret> {
    Api::namespaced(cluster.client(), ns)
}

/// A TLS client that trusts one CA, makes no use of tickets, and may have a certificate.
#[derive(Clone)]
pub struct TlsKnock(Arc<ClientConfig>);

impl TlsKnock {
    pub fn new(ca: &str, own: Option<&Leaf>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(leaf) => {
                let chain = vec![CertificateDer::from_pem_file(&leaf.cert).unwrap()];
                let key = PrivateKeyDer::from_pem_file(&leaf.key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.resumption = rustls::client::Resumption::disabled();
        Self(Arc::new(config))
    }

    /// Asks for an upgrade at `localhost`: the status, and the certificate that was shown.
    pub fn upgrade(&self, port: u16, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
        let tcp = TcpStream::connect(("127.0.0.1", port))?;
        tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
        let name = "localhost".try_into().unwrap();
        let tls = ClientConnection::new(self.0.clone(), name).map_err(std::io::Error::other)?;
        let mut stream = StreamOwned::new(tls, tcp);
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let shown = reader.get_ref().conn.peer_certificates().and_then(|chain| chain.first());
        Ok((status, shown.map(|leaf| leaf.to_vec()).unwrap_or_default()))
    }
}
