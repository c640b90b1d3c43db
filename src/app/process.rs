//! What every way to run has in common: engine, probes, shutdown.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{Admin, Probes};
use crate::base::{ListenAddr, Panicked};
use crate::cli::ProcessArgs;
use crate::engine::{Engine, EngineOptions, Ports};
use crate::io::memory::Budget;
use crate::metrics::Metrics;
use crate::net::dial::Dialer;
use crate::net::guard::Guard;
use crate::net::resolve::Resolver;
use crate::net::{accept, listen};
use crate::shutdown::Shutdown;
use crate::telemetry;

/// The running process, without its source of configuration.
pub(super) struct Process {
    pub engine: Engine,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
    /// True once the first configuration was taken.
    pub started: watch::Sender<bool>,
    /// The last change of the configuration that was refused.
    pub refused_change: watch::Sender<Option<String>>,
    delay: Duration,
    timeout: Duration,
}

/// How ways to run differ.
pub(super) struct ProcessOptions {
    pub ports: Ports,
    pub guard: Guard,
    pub resolver: Resolver,
    /// Bytes that may wait in queues, where tenants share them.
    pub memory: Option<usize>,
    /// Where probes and metrics are, and whether a service that does not serve unreadies.
    pub admin: Option<(ListenAddr, bool)>,
    /// Services are those of several tenants: the log lines of each have a budget.
    pub tenants: bool,
    /// Defaults of `--shutdown-delay` and `--drain-timeout`.
    pub drain: (Duration, Duration),
}

impl Process {
    /// Starts logs, engine and probes. Nothing listens yet but front ports and the admin port.
    ///
    /// # Errors
    /// A flag that cannot work, or an admin port that cannot be bound.
    pub(super) fn start(
        args: &ProcessArgs,
        level: &str,
        options: ProcessOptions,
    ) -> anyhow::Result<Self> {
        let level = args.log_level.as_deref().unwrap_or(level);
        let left_out =
            telemetry::start(level, args.log_format, options.tenants).context("--log-level")?;
        raise_open_files();
        let shutdown = Shutdown::on_signals().context("cannot listen for signals")?;
        let metrics = Metrics::new()?;
        telemetry::report_panics(metrics.clone());
        TaskTracker::new().spawn(left_out.tell(metrics.clone()));
        let guard = Arc::new(options.guard);
        let memory = match options.memory {
            Some(bytes) => Budget::new(bytes, &metrics),
            None => Budget::unlimited(),
        };
        let engine = Engine::start(EngineOptions {
            ports: options.ports,
            dialer: Arc::new(Dialer::new(options.resolver, guard.clone())),
            guard,
            metrics: metrics.clone(),
            memory,
        });
        let (started, has_started) = watch::channel(false);
        let (refused_change, refused) = watch::channel(None);
        if let Some((addr, every_service)) = options.admin {
            let probes = Probes {
                started: has_started,
                snapshot: engine.snapshot(),
                every_service,
                refused_change: refused,
            };
            serve_admin(&addr, Admin::new(probes, metrics.clone()))?;
        }
        let (delay, timeout) = options.drain;
        Ok(Self {
            engine,
            metrics,
            shutdown,
            started,
            refused_change,
            delay: args.shutdown_delay.unwrap_or(delay),
            timeout: args.drain_timeout.unwrap_or(timeout),
        })
    }

    /// Serves to the end of the drain, beside a part that lives as long as the process. A part that
    /// ends by a bug begins the drain: open tunnels do not need it.
    ///
    /// # Errors
    /// What ended the part, after the drain, or if the engine ended by itself.
    pub(super) async fn serve_beside(
        &self,
        part: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        beside(self.serve(), part, &self.shutdown).await
    }

    /// Waits for the signal to end, then for the drain; a second signal cuts it short.
    ///
    /// # Errors
    /// If the engine ended by itself: a bug, and better a restart than a process that listens to nobody.
    async fn serve(&self) -> anyhow::Result<()> {
        tokio::select! {
            () = self.shutdown.begin().cancelled() => {}
            () = self.engine.ended() => anyhow::bail!("the engine ended by itself"),
        }
        tokio::select! {
            () = self.engine.drain(self.delay, self.timeout) => tracing::info!("drained"),
            () = self.shutdown.now().cancelled() => tracing::info!("ending now"),
        }
        Ok(())
    }
}

async fn beside(
    serve: impl Future<Output = anyhow::Result<()>>,
    part: impl Future<Output = anyhow::Result<()>>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let part = async {
        let ended = AssertUnwindSafe(part).catch_unwind().await;
        let ended = ended.unwrap_or_else(|payload| Err(Panicked::from_payload(&*payload).into()));
        if let Err(error) = &ended {
            tracing::error!(error = format!("{error:#}"), "the process drains and ends");
            shutdown.begin_unasked();
        }
        Ok(ended)
    };
    // Without an engine there is nothing to wait for.
    let ((), ended) = tokio::try_join!(serve, part)?;
    ended
}

fn serve_admin(addr: &ListenAddr, admin: Admin) -> anyhow::Result<()> {
    let listener = listen::bind(addr).context("--admin")?;
    let tasks = TaskTracker::new();
    let connections = tasks.clone();
    // Probes answer until the process ends: "draining" is an answer too.
    let never = CancellationToken::new();
    tasks.spawn(accept::run(listener, never, move |stream, peer| {
        connections.spawn(admin.clone().serve(stream, peer));
    }));
    Ok(())
}

/// Tunnels are file descriptors; the soft limit is a default for programs that use `select`.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, "cannot raise the limit of open files");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_by_a_bug_begins_the_drain_and_fails_after_it() {
        let ends = async || anyhow::bail!("it ended");
        let panics = async || panic!("it ended");
        for panicking in [false, true] {
            let (shutdown, drained) = (Shutdown::default(), Cell::new(false));
            let serve = async {
                shutdown.begin().cancelled().await;
                tokio::task::yield_now().await;
                drained.set(true);
                Ok(())
            };
            let part = async { if panicking { panics().await } else { ends().await } };
            let error = beside(serve, part, &shutdown).await.unwrap_err();
            assert!(error.to_string().contains("it ended"), "{error}");
            assert!(drained.get() && !shutdown.now().is_cancelled());
        }
    }

    #[tokio::test]
    async fn an_engine_that_ended_is_not_waited_for() {
        let shutdown = Shutdown::default();
        let serve = ready(Err(anyhow::anyhow!("the engine ended")));
        assert!(beside(serve, pending(), &shutdown).await.is_err());
    }
}
