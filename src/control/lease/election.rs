//! The rules of the election, without an API server and without a clock of its own.
//!
//! Times in the record are others' wall clocks and are never compared with ours: a term is over when
//! the record has not changed for its duration by *our* clock, counted from when *we* saw it change.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// How long a term lasts without renewal: client-go's defaults, here and below.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// How long the leader takes itself for one after a renewal. The difference is for what it has sent.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);
/// Between renewals, and between attempts to win.
pub(super) const RETRY: Duration = Duration::from_secs(2);
/// The bounds of what a record may say of its duration: nobody locks the others out for ever.
const DURATIONS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Who leads; empty is nobody.
    pub(super) holder: String,
    /// How long without renewal.
    pub(super) duration: Duration,
    /// Since when, by the holder's wall clock.
    pub(super) acquired: Option<Timestamp>,
    /// Renewed when, by the holder's wall clock.
    pub(super) renewed: Option<Timestamp>,
    /// How often the holder has changed.
    pub(super) transitions: i32,
}

/// What we saw last.
#[derive(Debug)]
struct Observed {
    record: Record,
    /// `None`: it must be read again before it is written.
    version: Option<String>,
    /// When we first saw it like this.
    at: Instant,
}

/// What one candidate knows.
#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    observed: Option<Observed>,
    /// When the last renewal that was taken was sent.
    renewed: Option<Instant>,
    /// How many terms have begun.
    terms: u64,
}

impl Election {
    /// A candidate who has seen nothing.
    pub(super) fn new(identity: String) -> Self {
        Self { identity, observed: None, renewed: None, terms: 0 }
    }

    /// While this process leads, when its last renewal was sent.
    pub(super) fn term(&self, now: Instant) -> Option<Instant> {
        self.renewed.filter(|renewed| now < *renewed + DEADLINE)
    }

    /// Which of its terms it is: a new one begins where another may have led before.
    pub(super) fn terms(&self) -> u64 {
        self.terms
    }

    /// Whether the Lease has to be read before [`ask`](Self::ask): a leader knows its own writes.
    pub(super) fn must_read(&self, now: Instant) -> bool {
        let known = self.observed.as_ref().is_some_and(|observed| observed.version.is_some());
        self.term(now).is_none() || !known
    }

    /// The Lease was read; `None`: there is none. Returns whether the holder changed.
    pub(super) fn read(&mut self, found: Option<(Record, String)>, now: Instant) -> bool {
        let Some((record, version)) = found else {
            // Whoever led when it was deleted may still believe so, for the rest of its term.
            if let Some(observed) = &mut self.observed {
                observed.version = None;
            }
            return false;
        };
        if record.holder != self.identity {
            self.renewed = None;
        }
        match &mut self.observed {
            Some(observed) if observed.record == record => {
                observed.version = Some(version);
                false
            }
            before => {
                let changed = before.as_ref().is_some_and(|old| old.record.holder != record.holder);
                *before = Some(Observed { record, version: Some(version), at: now });
                changed
            }
        }
    }

    /// What to write to lead, or to go on leading, with the version to replace (`None`: to create);
    /// `None` while another leads.
    pub(super) fn ask(&self, now: Instant, wall: Timestamp) -> Option<(Record, Option<String>)> {
        let fresh = Record {
            holder: self.identity.clone(),
            duration: LEASE,
            acquired: Some(wall),
            renewed: Some(wall),
            transitions: 0,
        };
        let Some(observed) = &self.observed else { return Some((fresh, None)) };
        let old = &observed.record;
        let ours = old.holder == self.identity;
        let term = old.duration.clamp(DURATIONS.0, DURATIONS.1);
        if !ours && !old.holder.is_empty() && now < observed.at + term {
            return None;
        }
        let record = if ours {
            Record { acquired: old.acquired, transitions: old.transitions, ..fresh }
        } else {
            Record { transitions: old.transitions.saturating_add(1), ..fresh }
        };
        Some((record, observed.version.clone()))
    }

    /// What was asked for was written at this version; the request was sent at `sent`. Returns
    /// whether the holder changed.
    pub(super) fn won(&mut self, record: Record, version: String, sent: Instant) -> bool {
        if self.term(sent).is_none() {
            self.terms += 1;
        }
        self.renewed = Some(sent);
        let before = self.observed.as_ref().map(|observed| observed.record.holder.clone());
        let changed = before.is_some_and(|before| before != record.holder);
        self.observed = Some(Observed { record, version: Some(version), at: sent });
        changed
    }

    /// A write came to nothing, or nobody knows: read before the next.
    pub(super) fn forget_version(&mut self) {
        if let Some(observed) = &mut self.observed {
            observed.version = None;
        }
    }

    /// What to write to let another lead at once, if the Lease is ours. The term is over with this.
    pub(super) fn release(&mut self, wall: Timestamp) -> Option<(Record, String)> {
        self.renewed = None;
        let observed = self.observed.as_ref().filter(|o| o.record.holder == self.identity)?;
        let record = Record {
            holder: String::new(),
            duration: Duration::from_secs(1),
            acquired: Some(wall),
            renewed: Some(wall),
            transitions: observed.record.transitions,
        };
        Some((record, observed.version.clone()?))
    }
}
