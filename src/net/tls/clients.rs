//! Client configurations, shared by content.
//!
//! A configuration holds a store of roots and room for sessions, some hundred kilobytes, and takes
//! milliseconds to build. Nodes that say the same have the same one as long as one of them has it.
//! Namespaces share none: a session that one of them began is not resumed by another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustls::ClientConfig;

use super::{TlsClient, TlsError};
use crate::config::model::ClientTls;

/// Whose it is, and what it says but for the server's name.
type Key = (String, ClientTls);

/// The client configurations of a process.
#[derive(Debug, Default)]
pub struct TlsClients {
    known: Mutex<HashMap<Key, Weak<ClientConfig>>>,
    built: AtomicUsize,
}

impl TlsClients {
    /// The client of a node of a namespace. Builds it if nobody has it, which takes milliseconds: not
    /// for an async task.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn build(&self, namespace: &str, tls: &ClientTls) -> Result<TlsClient, TlsError> {
        let mut known = self.known.lock();
        let key = key(namespace, tls);
        let config = match known.get(&key).and_then(Weak::upgrade) {
            Some(config) => config,
            None => {
                self.built.fetch_add(1, Ordering::Relaxed);
                let config = TlsClient::config(tls)?;
                known.retain(|_, config| config.strong_count() > 0);
                known.insert(key, Arc::downgrade(&config));
                config
            }
        };
        TlsClient::with(config, tls)
    }

    /// The same, if somebody has it.
    pub fn find(&self, namespace: &str, tls: &ClientTls) -> Option<TlsClient> {
        let config = self.known.lock().get(&key(namespace, tls)).and_then(Weak::upgrade)?;
        TlsClient::with(config, tls).ok()
    }

    /// How many were built.
    pub fn built(&self) -> usize {
        self.built.load(Ordering::Relaxed)
    }
}

fn key(namespace: &str, tls: &ClientTls) -> Key {
    (namespace.into(), nameless(tls))
}

/// What a node says of TLS but for the name of its server.
pub fn nameless(tls: &ClientTls) -> ClientTls {
    ClientTls { server_name: None, ..tls.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(name: &str) -> ClientTls {
        ClientTls { server_name: Some(name.into()), ..ClientTls::default() }
    }

    #[test]
    fn equal_clients_of_a_namespace_are_one_as_long_as_one_of_them_lives() {
        let clients = TlsClients::default();
        let all: Vec<_> =
            (0..9).map(|i| clients.build("a", &to(&format!("h{i}"))).unwrap()).collect();
        assert_eq!(clients.built(), 1);
        let _other = clients.build("b", &to("h0")).unwrap();
        assert_eq!(clients.built(), 2, "of another namespace");
        let alpn = ClientTls { alpn: vec!["h2".into()], ..to("h0") };
        let _says_more = clients.build("a", &alpn).unwrap();
        assert_eq!(clients.built(), 3, "of another content");
        assert!(clients.find("a", &to("elsewhere")).is_some());
        drop(all);
        assert!(clients.find("a", &to("h0")).is_none());
        clients.build("a", &to("h0")).unwrap();
        assert_eq!(clients.built(), 4);
        assert_eq!(clients.known.lock().len(), 3, "what nobody has is forgotten");
    }
}
