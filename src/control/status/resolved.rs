//! Condition ResolvedRefs: what became of the Secrets that services refer to.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Report;
use super::condition::Finding;
use crate::base::Reason;
use crate::base::shell::quoted;
use crate::config::lower::References;
use crate::config::secrets::Holder;

/// A certificate that ends sooner is worth a word.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Nothing is referred to.
pub(super) fn all() -> Finding {
    Finding::is(Reason::ResolvedRefs, "")
}

/// What a service refers to.
pub(super) fn of_service(references: &References, namespace: &str, now: Timestamp) -> Finding {
    let problems = || references.missing.iter().chain(&references.stale);
    let ended = references.certificates.iter().filter(|(_, ends)| **ends <= now);
    let ended = ended.map(|(holder, ends)| match holder {
        Holder::Secret(secret) => format!(
            "the certificate in key \"tls.crt\" of Secret {secret:?} ended on {}; renew it: \
             kubectl create secret tls {} -n {} --cert=FILE --key=FILE --dry-run=client -o yaml \
             | kubectl apply -f -",
            day(*ends),
            quoted(secret),
            quoted(namespace)
        ),
        Holder::Class(class) => format!(
            "the default certificate of class {class:?} ended on {}: ask who installed adit, or \
             write tls.secretRef",
            day(*ends)
        ),
    });
    let ended: Vec<_> = ended.collect();
    let reason = problems().map(|d| d.reason).next();
    let reason = reason.or_else(|| ended.first().map(|_| Reason::CertificateExpired));
    if let Some(reason) = reason {
        let messages = problems().map(ToString::to_string).chain(ended);
        return Finding::not(reason, messages.collect::<Vec<_>>().join("; "));
    }
    let soon = SignedDuration::try_from(SOON).unwrap_or_default();
    let ending = references.certificates.iter().filter(|(_, ends)| ends.duration_since(now) < soon);
    // The day and not what is left: a message that counts down would be written for ever.
    let words = ending.map(|(holder, ends)| match holder {
        Holder::Secret(secret) => {
            format!("the certificate of Secret {secret:?} ends on {}; renew it before", day(*ends))
        }
        Holder::Class(class) => {
            format!("the default certificate of class {class:?} ends on {}", day(*ends))
        }
    });
    Finding::is(Reason::ResolvedRefs, words.collect::<Vec<_>>().join("; "))
}

/// What all services refer to.
pub(super) fn of_object(reports: &[Report<'_>]) -> Finding {
    let words = |good: bool| {
        let some = reports.iter().filter(move |report| {
            let resolved = &report.findings[1];
            resolved.good() == good && !resolved.message.is_empty()
        });
        let words = some.map(|r| format!("service {}: {}", r.name, r.findings[1].message));
        words.collect::<Vec<_>>().join("; ")
    };
    match reports.iter().find(|report| !report.findings[1].good()) {
        Some(report) => Finding::not(report.findings[1].reason, words(false)),
        None => Finding::is(Reason::ResolvedRefs, words(true)),
    }
}

fn day(time: Timestamp) -> String {
    time.strftime("%F").to_string()
}
