//! Conditions: what was found, and since when it has been so.

use jiff::Timestamp;

use super::model::Condition;
use crate::base::Reason;

/// The spec is valid and its claims were granted.
pub(crate) const ACCEPTED: &str = "Accepted";
/// What it refers to was found.
pub(super) const RESOLVED_REFS: &str = "ResolvedRefs";
/// It runs as the spec says.
pub(super) const PROGRAMMED: &str = "Programmed";
/// All of these.
pub(crate) const READY: &str = "Ready";

/// The longest message, in bytes: that of an Event's note. A condition could hold 32 KiB.
const LONGEST: usize = 1024;

/// What was found for one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    status: &'static str,
    /// Why.
    pub(super) reason: Reason,
    /// What to change.
    pub(super) message: String,
}

impl Finding {
    /// The condition holds.
    pub(super) fn is(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: "True", reason, message: message.into() }
    }

    /// It does not.
    pub(super) fn not(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: "False", reason, message: message.into() }
    }

    /// Nobody could look.
    pub(super) fn unknown() -> Self {
        Self { status: "Unknown", reason: Reason::Pending, message: String::new() }
    }

    /// It will be known soon: nothing is wrong so far.
    pub(super) fn not_yet(message: impl Into<String>) -> Self {
        Self { status: "Unknown", reason: Reason::Pending, message: message.into() }
    }

    /// Whether nothing is wrong, and nothing holds either.
    pub(super) fn is_not_yet(&self) -> bool {
        self.status == "Unknown"
    }

    /// Whether the condition holds.
    pub(super) fn good(&self) -> bool {
        self.status == "True"
    }
}

/// The four conditions for Accepted, ResolvedRefs and Programmed. Ready repeats the first of them
/// that does not hold. `lastTransitionTime` moves only where `status` does.
pub(super) fn conditions(
    findings: &[Finding; 3],
    before: &[Condition],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let bad = findings.iter().find(|finding| !finding.good());
    let ready = bad.cloned().unwrap_or_else(|| Finding::is(Reason::Ready, ""));
    let [accepted, resolved, programmed] = findings;
    let all = [
        (ACCEPTED, accepted),
        (RESOLVED_REFS, resolved),
        (PROGRAMMED, programmed),
        (READY, &ready),
    ];
    let condition = |(kind, finding): (&str, &Finding)| {
        let same = before.iter().find(|c| c.kind == kind && c.status == finding.status);
        Condition {
            kind: kind.into(),
            status: finding.status.into(),
            reason: finding.reason.as_str().into(),
            message: truncate(&finding.message),
            observed_generation: Some(generation),
            last_transition_time: same
                .map_or_else(|| seconds(now), |c| c.last_transition_time.clone()),
        }
    };
    all.into_iter().map(condition).collect()
}

/// RFC 3339 without a fraction, as `metav1.Time`.
pub(super) fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// At most [`LONGEST`] bytes, cut between characters.
pub(super) fn truncate(text: &str) -> String {
    cut(text, LONGEST)
}

/// At most so many bytes, cut between characters.
pub(super) fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.into();
    }
    let ellipsis = '…';
    let mut end = longest.saturating_sub(ellipsis.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut cut = text.get(..end).unwrap_or_default().to_string();
    cut.push(ellipsis);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(conditions: &[Condition]) -> (&str, &str, &str) {
        let ready = conditions.iter().find(|c| c.kind == READY).unwrap();
        (&ready.status, &ready.reason, &ready.last_transition_time)
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let good = [
            Finding::is(Reason::Accepted, ""),
            Finding::is(Reason::ResolvedRefs, ""),
            Finding::is(Reason::Programmed, ""),
        ];
        let first = conditions(&good, &[], 1, at(10));
        assert_eq!(ready(&first), ("True", "Ready", "1970-01-01T00:00:10Z"));
        let reworded = [Finding::is(Reason::Accepted, "careful"), good[1].clone(), good[2].clone()];
        let second = conditions(&reworded, &first, 2, at(20));
        assert_eq!(ready(&second), ("True", "Ready", "1970-01-01T00:00:10Z"));
        assert_eq!(second[0].message, "careful");
        assert_eq!(second[0].last_transition_time, first[0].last_transition_time);
        let broken = [good[0].clone(), good[1].clone(), Finding::not(Reason::AddressInUse, "x")];
        let third = conditions(&broken, &second, 2, at(30));
        assert_eq!(ready(&third), ("False", "AddressInUse", "1970-01-01T00:00:30Z"));
    }

    #[test]
    fn ready_repeats_the_first_condition_that_does_not_hold() {
        let findings = [
            Finding::not(Reason::HostConflict, "a"),
            Finding::unknown(),
            Finding::not(Reason::Pending, "b"),
        ];
        assert_eq!(ready(&conditions(&findings, &[], 1, at(0))).1, "HostConflict");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let text = "ä".repeat(1000);
        let cut = truncate(&text);
        assert!(cut.len() <= LONGEST && cut.ends_with('…'), "{}", cut.len());
        assert_eq!(truncate("short"), "short");
    }
}
