//! Every metric of the process, in one registry and one table.
//!
//! Floor 1. Labels are closed: the namespace, tunnel and service of an object that exists, and at
//! most one closed enum beside them, and the name of a node of its configuration. Never a peer's
//! address or anything else that a peer chooses.

mod service;
mod table;

pub use service::ServiceMetrics;
pub use table::{MetricDoc, TABLE};

use std::ops::Deref;
use std::sync::Arc;

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector,
};

use crate::base::Bound;
use service::ServiceFamilies;

/// Buckets in seconds for what waits for another machine.
const WAITS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0];

/// The process's metrics. Cheap to clone; made once by `app` and handed down.
#[derive(Clone)]
pub struct Metrics(Arc<ProcessMetrics>);

impl Deref for Metrics {
    type Target = ProcessMetrics;

    fn deref(&self) -> &ProcessMetrics {
        &self.0
    }
}

/// Everything in [`TABLE`].
pub struct ProcessMetrics {
    registry: Registry,
    service: ServiceFamilies,
    /// `adit_plan_steps_total{kind}`: what the engine did.
    pub plan_steps: IntCounterVec,
    /// `adit_plan_seconds`: time to plan and apply a set.
    pub plan_seconds: Histogram,
    /// `adit_tunnels{class,ready}`: objects by condition Ready.
    pub tunnels: IntGaugeVec,
    /// `adit_tunnels_held_elsewhere`: objects of a class here that another installation holds.
    pub tunnels_held_elsewhere: IntGauge,
    /// `adit_listeners{state}`: services by state.
    pub listeners: IntGaugeVec,
    /// `adit_handshakes_total{result}`: WebSocket handshakes before their service is known.
    pub handshakes: IntCounterVec,
    /// `adit_handshake_seconds`: of those that came to their end.
    pub handshake_seconds: Histogram,
    /// `adit_drain_connections`: those that are open of services that stopped.
    pub drain_connections: IntGauge,
    /// `adit_config_generation_observed{namespace,tunnel}`: what this replica acts on.
    pub config_generation_observed: IntGaugeVec,
    /// `adit_reconcile_errors_total{reason}`: objects and services that came to nothing.
    pub reconcile_errors: IntCounterVec,
    /// `adit_status_patch_seconds`: time for a write of a WsTunnel's status.
    pub status_patch_seconds: Histogram,
    /// `tokio_workers`, `tokio_alive_tasks`, `tokio_global_queue_depth`: the runtime.
    pub runtime: RuntimeMetrics,
    /// `adit_draining`: 1 while the process is on its way out.
    pub draining: IntGauge,
    /// `adit_config_reload_failures_total`: changes of files that were refused.
    pub config_reload_failures: IntCounter,
    /// `adit_config_last_reload_successful`: 0 while a newer configuration than the one that runs is refused.
    pub config_last_reload_successful: IntGauge,
    /// `adit_kube_watch_events_total{kind,verb}`: events of watches.
    pub kube_watch_events: IntCounterVec,
    /// `adit_kube_watch_errors_total{kind,error}`: failures of watches.
    pub kube_watch_errors: IntCounterVec,
    /// `adit_kube_watch_stale_seconds{kind}`: since the API server last answered the watch.
    pub kube_watch_stale: IntGaugeVec,
    /// `adit_kube_denied_total{verb,resource}`: requests that RBAC refused.
    pub kube_denied: IntCounterVec,
    /// `adit_status_patches_total{result}`: writes of a WsTunnel's status.
    pub status_patches: IntCounterVec,
    /// `adit_leader`: 1 while this replica writes statuses.
    pub leader: IntGauge,
    /// `adit_lease_transitions_total`: changes of the Lease's holder that this process saw.
    pub lease_transitions: IntCounter,
    /// `adit_report_writes_total{result}`: writes of this replica's report.
    pub report_writes: IntCounterVec,
    /// `adit_task_up{task}`: 1 while a long task runs.
    pub task_up: IntGaugeVec,
    /// `adit_panics_total`: bugs that ended a task.
    pub panics: IntCounter,
    bound_reached: IntCounterVec,
}

/// How the async runtime does.
pub struct RuntimeMetrics {
    /// Threads that run tasks.
    pub workers: IntGauge,
    /// Tasks that have not ended.
    pub alive_tasks: IntGauge,
    /// Tasks that wait for a thread.
    pub global_queue_depth: IntGauge,
}

impl Metrics {
    /// Builds and registers everything in [`TABLE`].
    ///
    /// # Errors
    /// Only if two metrics share a name: a bug that a test finds.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, labels: &[&str]| IntCounterVec::new(opts(name), labels);
        let gauges = |name: &str, labels: &[&str]| IntGaugeVec::new(opts(name), labels);
        let gauge = |name: &str| IntGauge::with_opts(opts(name));
        let seconds = |name: &str, buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts::from(opts(name)).buckets(buckets.to_vec()))
        };
        let bound_reached = counters("adit_bound_reached_total", &["bound"])?;
        let metrics = ProcessMetrics {
            handshake_seconds: seconds("adit_handshake_seconds", WAITS)?,
            drain_connections: gauge("adit_drain_connections")?,
            config_generation_observed: gauges(
                "adit_config_generation_observed",
                &["namespace", "tunnel"],
            )?,
            reconcile_errors: counters("adit_reconcile_errors_total", &["reason"])?,
            status_patch_seconds: seconds("adit_status_patch_seconds", WAITS)?,
            runtime: RuntimeMetrics {
                workers: gauge("tokio_workers")?,
                alive_tasks: gauge("tokio_alive_tasks")?,
                global_queue_depth: gauge("tokio_global_queue_depth")?,
            },
            service: ServiceFamilies::new(&registry, bound_reached.clone())?,
            plan_steps: counters("adit_plan_steps_total", &["kind"])?,
            plan_seconds: Histogram::with_opts(HistogramOpts::from(opts("adit_plan_seconds")))?,
            tunnels: gauges("adit_tunnels", &["class", "ready"])?,
            tunnels_held_elsewhere: gauge("adit_tunnels_held_elsewhere")?,
            listeners: gauges("adit_listeners", &["state"])?,
            handshakes: counters("adit_handshakes_total", &["result"])?,
            draining: gauge("adit_draining")?,
            config_reload_failures: IntCounter::with_opts(opts(
                "adit_config_reload_failures_total",
            ))?,
            config_last_reload_successful: gauge("adit_config_last_reload_successful")?,
            kube_watch_events: counters("adit_kube_watch_events_total", &["kind", "verb"])?,
            kube_watch_errors: counters("adit_kube_watch_errors_total", &["kind", "error"])?,
            kube_watch_stale: gauges("adit_kube_watch_stale_seconds", &["kind"])?,
            kube_denied: counters("adit_kube_denied_total", &["verb", "resource"])?,
            status_patches: counters("adit_status_patches_total", &["result"])?,
            leader: gauge("adit_leader")?,
            lease_transitions: IntCounter::with_opts(opts("adit_lease_transitions_total"))?,
            report_writes: counters("adit_report_writes_total", &["result"])?,
            task_up: gauges("adit_task_up", &["task"])?,
            panics: IntCounter::with_opts(opts("adit_panics_total"))?,
            bound_reached,
            registry,
        };
        metrics.config_last_reload_successful.set(1);
        let build_info = gauges("adit_build_info", &["version"])?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let all: [Box<dyn Collector>; 29] = [
            Box::new(build_info),
            Box::new(metrics.plan_steps.clone()),
            Box::new(metrics.plan_seconds.clone()),
            Box::new(metrics.tunnels.clone()),
            Box::new(metrics.tunnels_held_elsewhere.clone()),
            Box::new(metrics.listeners.clone()),
            Box::new(metrics.handshakes.clone()),
            Box::new(metrics.handshake_seconds.clone()),
            Box::new(metrics.drain_connections.clone()),
            Box::new(metrics.config_generation_observed.clone()),
            Box::new(metrics.reconcile_errors.clone()),
            Box::new(metrics.status_patch_seconds.clone()),
            Box::new(metrics.runtime.workers.clone()),
            Box::new(metrics.runtime.alive_tasks.clone()),
            Box::new(metrics.runtime.global_queue_depth.clone()),
            Box::new(metrics.draining.clone()),
            Box::new(metrics.config_reload_failures.clone()),
            Box::new(metrics.config_last_reload_successful.clone()),
            Box::new(metrics.kube_watch_events.clone()),
            Box::new(metrics.kube_watch_errors.clone()),
            Box::new(metrics.kube_watch_stale.clone()),
            Box::new(metrics.kube_denied.clone()),
            Box::new(metrics.status_patches.clone()),
            Box::new(metrics.leader.clone()),
            Box::new(metrics.lease_transitions.clone()),
            Box::new(metrics.report_writes.clone()),
            Box::new(metrics.task_up.clone()),
            Box::new(metrics.panics.clone()),
            Box::new(metrics.bound_reached.clone()),
        ];
        for collector in all {
            metrics.registry.register(collector)?;
        }
        let process = prometheus::process_collector::ProcessCollector::for_self();
        metrics.registry.register(Box::new(process))?;
        Ok(Self(Arc::new(metrics)))
    }

    /// The series of one service. They disappear from the output when the value is dropped.
    pub fn service(&self, key: &crate::base::ServiceKey) -> ServiceMetrics {
        self.service.of(key)
    }

    /// Counts that something was refused, dropped or delayed because a bound was reached.
    pub fn bound_reached(&self, bound: Bound) {
        self.bound_reached_times(bound, 1);
    }

    /// The same, so many times.
    pub fn bound_reached_times(&self, bound: Bound, times: u64) {
        self.bound_reached.with_label_values(&[bound.as_str()]).inc_by(times);
    }

    /// The text exposition format, version 0.0.4.
    ///
    /// # Errors
    /// If a metric cannot be encoded, which a registered one always can.
    pub fn encode(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Name and help from the one table.
fn opts(name: &str) -> Opts {
    let help = TABLE.iter().find(|doc| doc.name == name).map_or(name, |doc| doc.help);
    Opts::new(name, help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Origin, ServiceKey};

    fn touched() -> Metrics {
        let metrics = Metrics::new().unwrap();
        for doc in TABLE {
            let labels = vec!["x"; doc.labels.len()];
            for family in [
                &metrics.plan_steps,
                &metrics.handshakes,
                &metrics.kube_watch_events,
                &metrics.kube_watch_errors,
                &metrics.kube_denied,
                &metrics.status_patches,
                &metrics.report_writes,
                &metrics.reconcile_errors,
                &metrics.bound_reached,
            ] {
                let _ = family.get_metric_with_label_values(&labels);
            }
            for family in [
                &metrics.tunnels,
                &metrics.listeners,
                &metrics.kube_watch_stale,
                &metrics.task_up,
                &metrics.config_generation_observed,
            ] {
                let _ = family.get_metric_with_label_values(&labels);
            }
        }
        metrics
    }

    #[test]
    fn the_table_is_what_is_exported() {
        let metrics = touched();
        let service = metrics.service(&ServiceKey::new(Origin::tunnel("ns", "t"), "s"));
        service.ended("finished");
        service.certificate_ends(Some(1));
        service.dial_failed("timeout");
        service.egress_denied("loopback");
        service.refused("admission");
        service.limited("connections");
        service.datagram_dropped("queue");
        service.node_dial("hop/node", "ok");
        let mut names: Vec<_> = metrics
            .registry
            .gather()
            .iter()
            .map(|family| family.name().to_string())
            .filter(|name| !name.starts_with("process_"))
            .collect();
        names.sort();
        let mut table: Vec<_> = TABLE.iter().map(|doc| doc.name.to_string()).collect();
        table.sort();
        assert_eq!(names, table);
        let text = metrics.encode().unwrap();
        for name in ["process_open_fds", "process_resident_memory_bytes"] {
            assert!(text.contains(name), "{name}");
        }
    }

    #[test]
    fn a_service_that_is_gone_leaves_no_series() {
        let metrics = Metrics::new().unwrap();
        let service = metrics.service(&ServiceKey::new(Origin::tunnel("ns", "gone"), "s"));
        service.bytes_up.inc_by(3);
        service.node_dial("hop/node", "ok");
        service.limited("requests");
        assert!(metrics.encode().unwrap().contains("gone"));
        drop(service);
        assert!(!metrics.encode().unwrap().contains("gone"));
    }

    #[test]
    fn the_nodes_of_a_tunnel_have_a_bounded_number_of_series() {
        let metrics = Metrics::new().unwrap();
        let series = |tunnel: &str| {
            let text = metrics.encode().unwrap();
            let of_nodes = text.lines().filter(|line| line.starts_with("adit_node_dials_total"));
            of_nodes.filter(|line| line.contains(&format!("tunnel=\"{tunnel}\""))).count()
        };
        let of = |tunnel: &str, service: &str| {
            metrics.service(&ServiceKey::new(Origin::tunnel("ns", tunnel), service))
        };
        let dial = |service: &ServiceMetrics, count: usize| {
            let names: Vec<_> = (0..count).map(|number| format!("n{number}")).collect();
            let crowded = service.configured_nodes(names.iter().cloned().collect());
            names.iter().for_each(|name| service.node_dial(name, "ok"));
            crowded
        };
        let (one, two, other) = (of("t", "one"), of("t", "two"), of("u", "one"));
        assert!(!dial(&one, 500));
        assert!(dial(&two, 500) && !dial(&other, 500));
        assert_eq!((series("t"), series("u")), (512 + 1, 500));
        drop(one);
        assert!(!dial(&two, 500));
        assert_eq!(series("t"), 500);
        drop(two);
        assert_eq!((series("t"), series("u")), (0, 500));
    }
}
