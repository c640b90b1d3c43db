//! Objects, the translator and the real planner, with a snapshot made of its plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::base::{ListenAddr, Network, Reason, Secret, ServiceKey};
use crate::config::secrets::{SecretData, SecretState, Secrets};
use crate::config::services::Services;
use crate::control::expose::{Balancers, Standings};
use crate::control::fleet::Fleet;
use crate::control::object::{Key, Object};
use crate::control::status::{Condition, Facts, Status};
use crate::control::translate::{Outside, Translation, Translator};
use crate::engine::{DesiredSet, Front, Plan, Ports, ServiceState, ServiceStatus, Snapshot};

/// The front ports, the second one with TLS.
const FRONTS: [u16; 2] = [8080, 8443];

/// The namespace of the installation.
pub(super) const RELEASE: &str = "release";

/// A cluster with one controller.
pub(super) struct World {
    pub(super) objects: BTreeMap<Key, Object>,
    pub(super) translator: Translator,
    pub(super) translation: Translation,
    /// How Services stand.
    pub(super) standings: Standings,
    /// Where they are reached from outside of the cluster.
    pub(super) balancers: Balancers,
    /// Who else there is.
    pub(super) fleet: Fleet,
    /// The Secrets that exist, as they were read.
    pub(super) secrets: Secrets,
    /// The Services that exist.
    pub(super) services: Services,
    /// Ports that another process has.
    pub(super) taken: BTreeSet<u16>,
    /// Seconds since 1970.
    pub(super) now: i64,
    uids: usize,
}

impl Default for World {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            translator: translator(true),
            fleet: Fleet { listed: true, own: true, ..Fleet::default() },
            translation: Translation::default(),
            secrets: Secrets::default(),
            services: Services::default(),
            standings: Standings::default(),
            balancers: Balancers::default(),
            taken: BTreeSet::new(),
            now: 1000,
            uids: 0,
        }
    }
}

/// A spec with one ws service `s` that is an HTTP proxy with a user.
pub(super) fn service(addr: &str, path: &str, hostnames: &[&str]) -> Value {
    json!({"services": [{
        "name": "s", "addr": addr, "hostnames": hostnames,
        "handler": {"type": "http", "auth": {"username": "u", "password": "p"}},
        "listener": {"type": "ws", "metadata": {"path": path}},
    }]})
}

impl World {
    /// Makes an object, a second later than the one before.
    pub(super) fn create(&mut self, namespace: &str, name: &str, spec: Value) {
        self.now += 1;
        self.uids += 1;
        let uid = format!("uid-{}", self.uids);
        let created = Timestamp::from_second(self.now).unwrap().to_string();
        self.store(namespace, name, &uid, 1, &created, spec, Status::default());
    }

    /// Changes an object's spec.
    pub(super) fn edit(&mut self, namespace: &str, name: &str, spec: Value) {
        self.now += 1;
        let old = self.object(namespace, name).clone();
        let created = old.created.unwrap().to_string();
        self.store(namespace, name, &old.uid, old.generation + 1, &created, spec, old.status);
    }

    #[allow(clippy::too_many_arguments)]
    fn store(
        &mut self,
        namespace: &str,
        name: &str,
        uid: &str,
        generation: i64,
        created: &str,
        spec: Value,
        status: Status,
    ) {
        let object = json!({
            "apiVersion": "adit.dev/v1alpha1", "kind": "WsTunnel",
            "metadata": {"name": name, "namespace": namespace, "uid": uid,
                "generation": generation, "creationTimestamp": created},
            "spec": spec, "status": status,
        });
        let object = Object::read(&serde_json::from_value(object).unwrap());
        self.objects.insert(object.key.clone(), object);
    }

    pub(super) fn delete(&mut self, namespace: &str, name: &str) {
        self.objects.remove(&key(namespace, name));
    }

    pub(super) fn object(&self, namespace: &str, name: &str) -> &Object {
        &self.objects[&key(namespace, name)]
    }

    /// What a Secret holds from now on.
    pub(super) fn secret(&mut self, namespace: &str, name: &str, values: &[(&str, &str)]) {
        let value =
            |(key, value): &(&str, &str)| (key.to_string(), Secret::new(value.as_bytes().to_vec()));
        let values = values.iter().map(value).collect();
        let state = SecretState::Known(Arc::new(SecretData { values, ..Default::default() }));
        self.secrets.0.insert((namespace.into(), name.into()), state);
    }

    /// A Secret is gone.
    pub(super) fn without_secret(&mut self, namespace: &str, name: &str) {
        self.secrets.0.remove(&(namespace.into(), name.into()));
    }

    /// What objects may refer to.
    pub(super) fn outside(&self) -> Outside<'_> {
        Outside { secrets: &self.secrets, services: &self.services }
    }

    /// A new process: all memory is gone, the objects are as they were.
    pub(super) fn restart(&mut self) {
        self.translator = translator(true);
    }

    /// Translates, plans, and writes statuses; returns how many were written.
    pub(super) fn settle(&mut self) -> usize {
        let (outside, now) =
            (Outside { secrets: &self.secrets, services: &self.services }, self.instant());
        self.translation = self.translator.translate(self.objects.values(), outside, now);
        let snapshot = self.snapshot();
        let now = Timestamp::from_second(self.now).unwrap();
        let mut writes = 0;
        let metadata = std::net::IpAddr::from([169, 254, 169, 254]);
        let denies = |_: Network, addr: SocketAddr| {
            (addr.ip() == metadata).then(|| "a cloud's metadata service".to_string())
        };
        for (key, verdict) in &self.translation.verdicts {
            let object = self.objects.get_mut(key).unwrap();
            self.translator.granted(object, verdict, &snapshot, now);
            let ledger = &self.translator.ledger;
            let facts = Facts {
                object,
                verdict,
                snapshot: &snapshot,
                ledger,
                ports: &self.translator.ports,
                standings: &self.standings,
                balancers: &self.balancers,
                denies: &denies,
                fronts: &FRONTS,
                fleet: &self.fleet,
                replica: "one",
                secrets: None,
                installation: &self.translator.holders().own.clone(),
                class: self.translator.class_of(object).map(|class| &*class.name),
            };
            let Some(status) = facts.status(&object.status, now) else { continue };
            if status != object.status {
                writes += 1;
                // By way of JSON, as the API server keeps it.
                object.status = Status::read(&serde_json::to_value(&status).unwrap());
                assert_eq!(object.status, status);
            }
        }
        writes
    }

    /// The names of the services that serve.
    pub(super) fn running(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let serving = snapshot.services.iter();
        serving
            .filter(|(_, service)| matches!(service.state, ServiceState::Serving { .. }))
            .map(|(key, _)| key.to_string())
            .collect()
    }

    /// `now`, as a monotonic clock says it.
    pub(super) fn instant(&self) -> Instant {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        *BEGAN + Duration::from_secs(self.now.unsigned_abs())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let services = self.translation.services.clone();
        let desired = DesiredSet { revision: 1, services };
        let fronts =
            [8080, 8443].map(|port| Front { addr: ListenAddr::port(port), tls: port == 8443 });
        let ports = Ports { fronts: fronts.into(), reserved: vec![9180], ..Ports::default() };
        let plan = Plan::build(&desired, &ports);
        let state = |key: &ServiceKey| {
            let port = desired.services[key].config.listen.port;
            match plan.refused.get(key).cloned() {
                Some((reason, message)) => ServiceState::Refused { reason, message },
                None if desired.services[key].closed => {
                    ServiceState::Failed { reason: Reason::Pending, message: "closed".into() }
                }
                None if self.taken.contains(&port) => ServiceState::Failed {
                    reason: Reason::AddressInUse,
                    message: format!("port {port} is in use"),
                },
                None => ServiceState::Serving { local: ([0, 0, 0, 0], port).into() },
            }
        };
        let services = desired.services.iter().map(|(key, wanted)| {
            let config = wanted.config.clone();
            (key.clone(), ServiceStatus { config, state: state(key) })
        });
        Snapshot { revision: 1, services: services.collect(), fronts_bound: true, draining: false }
    }

    /// `status/reason` of a condition of the object.
    pub(super) fn condition(&self, namespace: &str, name: &str, kind: &str) -> String {
        let condition = self.full_condition(namespace, name, kind);
        format!("{}/{}", condition.status, condition.reason)
    }

    pub(super) fn full_condition(&self, namespace: &str, name: &str, kind: &str) -> Condition {
        self.object(namespace, name).status.condition(kind).unwrap().clone()
    }
}

/// A translator of the leader, or of one who follows it.
pub(super) fn translator(leads: bool) -> Translator {
    let mut translator = Translator::new(FRONTS.into(), &[9180], (RELEASE, "adit"));
    translator.lead(leads);
    translator
}

pub(super) fn key(namespace: &str, name: &str) -> Key {
    Key { namespace: Arc::from(namespace), name: Arc::from(name) }
}
