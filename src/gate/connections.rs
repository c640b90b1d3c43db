//! Open connections: GOST's `climiter`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::model::Limits;

/// The connections of a service that are open, as many entries as there are.
#[derive(Default)]
pub(super) struct Connections(Mutex<Open>);

#[derive(Default)]
struct Open {
    all: u32,
    by_ip: HashMap<IpAddr, u32>,
}

/// A connection's place. Dropping it gives it back.
pub struct Place {
    connections: Arc<Connections>,
    ip: IpAddr,
}

impl Connections {
    pub(super) fn enter(this: &Arc<Self>, limits: &Limits<u32>, client: IpAddr) -> Option<Place> {
        let ip = client.to_canonical();
        let mut open = this.0.lock();
        let of_ip = open.by_ip.get(&ip).copied().unwrap_or(0);
        let each = limits.named(ip).or(limits.each);
        if limits.service.is_some_and(|max| open.all >= max) || each.is_some_and(|max| of_ip >= max)
        {
            return None;
        }
        open.all += 1;
        open.by_ip.insert(ip, of_ip + 1);
        drop(open);
        Some(Place { connections: this.clone(), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.0.lock();
        open.all = open.all.saturating_sub(1);
        if let Some(count) = open.by_ip.get_mut(&self.ip) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_for_the_service_and_each_address_and_come_back() {
        let connections = Arc::default();
        let nets = vec![("10.0.0.9/32".parse().unwrap(), 2)];
        let limits = Limits { service: Some(3), each: Some(1), nets };
        let enter = |last: u8| Connections::enter(&connections, &limits, [10, 0, 0, last].into());
        let first = enter(1).unwrap();
        assert!(enter(1).is_none(), "one each");
        let (_a, _b) = (enter(9).unwrap(), enter(9).unwrap());
        assert!(enter(2).is_none(), "three in all");
        drop(first);
        assert!(enter(2).is_some());
        assert_eq!(connections.0.lock().by_ip.len(), 1, "addresses without connections are gone");
    }
}
