//! Requests per second: GOST's `rlimiter`.

use std::net::IpAddr;
use std::sync::Arc;

use super::bucket::Bucket;
use super::limits::Addresses;
use crate::config::model::Limits;

/// A service's requests.
pub(super) struct Requests {
    limits: Arc<Limits<f64>>,
    service: Option<Bucket>,
    each: Addresses<Bucket>,
}

impl Requests {
    pub(super) fn new(limits: Arc<Limits<f64>>) -> Self {
        Self { service: limits.service.map(bucket), each: Addresses::new(), limits }
    }

    /// The address first: one that asks too much takes nothing from the others.
    pub(super) fn allow(&self, client: IpAddr) -> bool {
        if let Some(rate) = self.limits.named(client).or(self.limits.each)
            && !self.each.of(client, || bucket(rate)).take()
        {
            return false;
        }
        self.service.as_ref().is_none_or(Bucket::take)
    }
}

/// GOST's burst.
fn bucket(rate: f64) -> Bucket {
    Bucket::new(rate, rate.trunc() + 1.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_address_cannot_use_up_what_the_others_have() {
        let limits = Limits { service: Some(10.0), each: Some(1.5), nets: vec![] };
        let requests = Requests::new(Arc::new(limits));
        let allowed =
            |last: u8, n: usize| (0..n).filter(|_| requests.allow([10, 0, 0, last].into())).count();
        assert_eq!(allowed(1, 100), 2);
        assert_eq!(allowed(2, 2), 2);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(allowed(1, 100), 2);
        let others: usize = (10..30).map(|last| allowed(last, 1)).sum();
        assert_eq!(others, 9, "of the service's 11, two went to the first");
    }
}
