//! The Secrets that classes name for their default certificates: a watch each, where no other one
//! tells of them. Which there are changes with the classes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::object::Key;
use super::policy::Policy;
use super::secrets::{Scope, Sort, watched};
use super::{News, Sink};
use crate::config::lower::usable_certificate;
use crate::config::secrets::Secrets;

/// Follows them in the namespace of the release as long as somebody listens; `covered` is what other
/// watches are about.
pub(super) async fn run(
    client: Client,
    mut policy: watch::Receiver<Arc<Policy>>,
    release: &str,
    covered: Vec<Scope>,
    sink: Sink,
) {
    let mut watches: FuturesUnordered<BoxFuture<'_, bool>> = FuturesUnordered::new();
    let mut running: BTreeMap<Arc<str>, CancellationToken> = BTreeMap::new();
    loop {
        let wanted: BTreeSet<_> = {
            let policy = policy.borrow_and_update();
            let named = policy.default_certificates().cloned();
            named.filter(|name| !is_covered(&covered, release, name)).collect()
        };
        running.retain(|name, stop| {
            let stays = wanted.contains(name);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for name in wanted {
            running.entry(name.clone()).or_insert_with(|| {
                let scope =
                    Scope { namespace: Some(release.into()), sort: Sort::Named(name.to_string()) };
                let kind = watched(client.clone(), &scope);
                let watch = sink.watch(kind, 0, News::Certificates);
                let stop = CancellationToken::new();
                let stopped = stop.clone();
                watches.push(Box::pin(async move {
                    stopped.run_until_cancelled(watch.run()).await.is_none()
                }));
                stop
            });
        }
        tokio::select! {
            changed = policy.changed() => if changed.is_err() {
                // The classes are what they are.
                while let Some(true) = watches.next().await {}
                return if watches.is_empty() { std::future::pending().await };
            },
            Some(stopped) = watches.next(), if !watches.is_empty() => if !stopped {
                return;
            },
        }
    }
}

fn is_covered(covered: &[Scope], release: &str, name: &Arc<str>) -> bool {
    let key = Key { namespace: release.into(), name: name.clone() };
    covered.iter().any(|scope| scope.may_have(&key))
}

/// What was last said of default certificates that cannot be used, by class.
#[derive(Default)]
pub(super) struct Unusable(BTreeMap<String, String>);

impl Unusable {
    /// Says to who runs the installation what its tenants are not told: which Secret a class names in
    /// vain, and why.
    pub(super) fn warn<'a>(
        &mut self,
        named: impl Iterator<Item = (&'a str, Key)>,
        secrets: &Secrets,
    ) {
        let mut unusable = BTreeMap::new();
        for (class, key) in named {
            let state = secrets.find(&key.namespace, &key.name);
            let Err(why) = usable_certificate(state) else { continue };
            let why = why.to_string();
            if self.0.get(class) != Some(&why) {
                tracing::warn!(
                    class, secret = %key, why,
                    "a class has no default certificate: make the Secret, of type kubernetes.io/tls"
                );
            }
            unusable.insert(class.into(), why);
        }
        self.0 = unusable;
    }
}
