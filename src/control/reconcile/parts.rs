//! What the loop begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::counted::Counted;
use super::rivals::Rivals;
use super::{PATIENCE, Reconciler};
use crate::control::certificates::Unusable;
use crate::control::events::Note;
use crate::control::expose::Keeper;
use crate::control::fleet::Fleet;
use crate::control::lease::Leadership;
use crate::control::policy::{Labels, Policy};
use crate::control::report::Tunnels;
use crate::control::secrets::Reader;
use crate::control::services::Directory;
use crate::control::store::Store;
use crate::control::translate::{Translation, Translator};
use crate::control::writer::Writer;
use crate::engine::Engine;
use crate::metrics::Metrics;

/// What the loop is made with.
pub(in crate::control) struct Parts {
    pub(in crate::control) store: Store,
    pub(in crate::control) secrets: Reader,
    pub(in crate::control) services: Directory,
    pub(in crate::control) services_wanted: watch::Sender<bool>,
    pub(in crate::control) translator: Translator,
    pub(in crate::control) policy: watch::Receiver<Arc<Policy>>,
    /// The labels of namespaces, once they are known.
    pub(in crate::control) labels: watch::Receiver<Option<Arc<Labels>>>,
    pub(in crate::control) writer: Writer,
    pub(in crate::control) keeper: Keeper,
    pub(in crate::control) engine: Engine,
    pub(in crate::control) fronts: Vec<u16>,
    pub(in crate::control) leadership: Leadership,
    pub(in crate::control) fleet: watch::Receiver<Arc<Fleet>>,
    /// What this replica is called.
    pub(in crate::control) replica: Arc<str>,
    /// Hears what this replica runs.
    pub(in crate::control) reports: watch::Sender<Option<Arc<Tunnels>>>,
    /// Says that the last replica ends.
    pub(in crate::control) withdrawal: watch::Receiver<bool>,
    /// Hears that nothing leads to it any more.
    pub(in crate::control) withdrawn: watch::Sender<bool>,
    pub(in crate::control) listed: watch::Sender<bool>,
    pub(in crate::control) events: mpsc::Sender<Note>,
    pub(in crate::control) metrics: Metrics,
}

impl Reconciler {
    /// A loop that has seen nothing yet.
    pub(in crate::control) fn new(parts: Parts) -> Self {
        Self {
            snapshots: parts.engine.snapshot(),
            store: parts.store,
            secrets: parts.secrets,
            services: parts.services,
            services_wanted: parts.services_wanted,
            patience: Instant::now() + PATIENCE,
            translator: parts.translator,
            policy: parts.policy,
            labels: parts.labels,
            governed: false,
            governs_by: None,
            rivals: Rivals::default(),
            unusable: Unusable::default(),
            writer: parts.writer,
            keeper: parts.keeper,
            engine: parts.engine,
            fronts: parts.fronts,
            translation: Translation::default(),
            revision: 0,
            since: BTreeMap::new(),
            touched: BTreeSet::new(),
            leads: false,
            led_since: Instant::now(),
            leadership: parts.leadership,
            fleet: parts.fleet,
            replica: parts.replica,
            reports: parts.reports,
            nobody: None,
            held: None,
            counted: Counted::new(parts.metrics.clone()),
            withdrawal: parts.withdrawal,
            withdrawn: parts.withdrawn,
            listed: parts.listed,
            events: parts.events,
            metrics: parts.metrics,
        }
    }
}
