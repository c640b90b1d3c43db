//! How many log lines of one tunnel are written: what tenants and strangers cause must not bury the
//! lines of others.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of one object in a second, and of everything that has none.
pub(super) const LINES: u64 = 100;

/// Fields that say whose a line is: `namespace/name`, or `namespace/name/service`.
const OWNERS: [&str; 3] = ["service", "object", "secret"];

/// Where lines without an owner are the operator's: few, and never of one connection.
const OPERATORS: &[&str] = &[
    "adit::admin",
    "adit::app",
    "adit::control",
    "adit::engine",
    "adit::shutdown",
    "adit::sidecar",
    "adit::telemetry",
    "kube",
];

/// Whose a line is: of an object, or of clients and nodes that no object is known for.
type Owner = Option<Box<str>>;

/// The lines of the current second, by owner.
#[derive(Clone, Default)]
pub(super) struct Budget(Arc<Mutex<HashMap<Owner, u64>>>);

impl Budget {
    /// Whether another line may be written.
    fn admits(&self, owner: Owner) -> bool {
        let mut lines = self.0.lock();
        let count = lines.entry(owner).or_default();
        *count += 1;
        *count <= LINES
    }

    /// Begins the next second: who had how many lines more than were written.
    pub(super) fn next(&self) -> Vec<(Owner, u64)> {
        let lines = std::mem::take(&mut *self.0.lock());
        let mut over: Vec<_> = lines
            .into_iter()
            .filter_map(|(owner, count)| Some((owner, count.checked_sub(LINES)?)))
            .filter(|(_, over)| *over > 0)
            .collect();
        over.sort_unstable();
        over
    }
}

impl<S: Subscriber> Layer<S> for Budget {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let mut found = Found(None);
        if OWNERS.iter().any(|name| event.metadata().fields().field(name).is_some()) {
            event.record(&mut found);
        }
        match found.0 {
            None if of_operator(event.metadata()) => true,
            owner => self.admits(owner),
        }
    }
}

fn of_operator(metadata: &Metadata<'_>) -> bool {
    OPERATORS.iter().any(|room| metadata.target().starts_with(room))
}

/// The object that an event is about.
struct Found(Owner);

impl Visit for Found {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if OWNERS.contains(&field.name()) {
            self.0 = object(&format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if OWNERS.contains(&field.name()) {
            self.0 = object(value);
        }
    }
}

/// `namespace/name` of what begins with it.
fn object(text: &str) -> Owner {
    let mut parts = text.splitn(3, '/');
    match (parts.next(), parts.next()) {
        (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}").into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::telemetry::lines::tests_support::Book;

    fn logged(work: impl FnOnce(&Budget)) -> String {
        let (budget, book) = (Budget::default(), Book::default());
        let layer = tracing_subscriber::fmt::layer().with_writer(book.clone()).with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(budget.clone()).with(layer);
        tracing::subscriber::with_default(subscriber, || work(&budget));
        book.text()
    }

    #[test]
    fn lines_of_a_tunnel_beyond_its_budget_are_counted_and_those_of_others_are_written() {
        let text = logged(|budget| {
            for _ in 0..250 {
                tracing::info!(service = %"a/loud/s", "one");
                tracing::warn!(service = "a/loud/t", "another service of it");
            }
            tracing::info!(service = %"a/quiet/s", "quiet");
            tracing::info!(object = %"b/quiet", "quiet");
            assert_eq!(budget.next(), [(Some("a/loud".into()), 400)]);
            tracing::info!(service = %"a/loud/s", "the next second");
            assert_eq!(budget.next(), []);
        });
        assert_eq!(text.lines().filter(|line| line.contains("a/loud")).count(), 101);
        assert_eq!(text.lines().filter(|line| line.contains("quiet")).count(), 2);
    }

    #[test]
    fn lines_of_strangers_have_one_budget_and_never_hide_the_operator_s() {
        let text = logged(|budget| {
            for port in 0..300 {
                tracing::info!(target: "adit::net::tls::error", peer = port, "no TLS");
                tracing::warn!(target: "rustls::conn", "alert");
                tracing::error!(target: "adit::panic", "a bug");
            }
            for _ in 0..300 {
                tracing::warn!(target: "adit::control::watch", "the API server is away");
            }
            assert_eq!(budget.next(), [(None, 800)]);
        });
        assert_eq!(text.lines().count(), 100 + 300);
    }

    #[test]
    fn a_new_second_forgets_tunnels_that_are_gone() {
        let budget = Budget::default();
        (0..500).for_each(|number| assert!(budget.admits(Some(format!("a/{number}").into()))));
        assert_eq!(budget.next(), []);
        assert!(budget.0.lock().is_empty());
    }
}
