//! What of a report has room.
//!
//! First comes what tells clients' ways apart: of every object the generation that runs and the
//! ports that are bound. Then come the reasons why services do not serve, then the words. Each part
//! is shared out by namespace, by bytes: where one namespace has much to say, the others are heard
//! all the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Entry, Exception, Tunnels};

/// What had no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::control) struct Left {
    /// Objects.
    pub(in crate::control) objects: usize,
    /// Reasons or words of services that do not serve.
    pub(in crate::control) reasons: usize,
}

/// The part of `tunnels` that has room in so many bytes of JSON, and what has none.
pub(super) fn within(tunnels: &Tunnels, room: usize) -> (Tunnels, Left) {
    let mut left = Left::default();
    let mut budget = room;
    let first = tunnels.iter().map(|(uid, entry)| {
        let bare =
            Entry { exceptions: BTreeMap::new(), unsaid: entry.exceptions.len(), ..entry.clone() };
        // `"uid":{..},`
        let size = size(uid) + size(&bare) + 2;
        (&*entry.namespace, (uid, bare), size)
    });
    let mut kept: Tunnels = in_turn(first, &mut budget, &mut left.objects)
        .into_iter()
        .map(|(uid, bare)| (uid.clone(), bare))
        .collect();
    // Of each service its name and reason; the words only where all of these have room.
    let mut words = Vec::new();
    for with_words in [false, true] {
        let exceptions = tunnels.iter().filter(|(uid, _)| kept.contains_key(*uid));
        let next = exceptions.flat_map(|(uid, entry)| {
            entry.exceptions.iter().map(move |(service, exception)| {
                let reason = Exception { message: String::new(), ..exception.clone() };
                // `"name":{..},`, and `"x":{},` once an object.
                let of_reason = size(service) + size(&reason) + 2 + 8;
                let size = match with_words {
                    true => size(exception).saturating_sub(size(&reason)),
                    false => of_reason,
                };
                (&*entry.namespace, (uid, service, exception), size)
            })
        });
        let next = next.filter(|(_, (uid, service, exception), _)| {
            let known = |entry: &Entry| entry.exceptions.contains_key(*service);
            !with_words || !exception.message.is_empty() && kept.get(*uid).is_some_and(known)
        });
        let chosen = in_turn(next.collect::<Vec<_>>().into_iter(), &mut budget, &mut left.reasons);
        match with_words {
            true => words = chosen,
            false => {
                for (uid, service, exception) in chosen {
                    let reason = Exception { message: String::new(), ..exception.clone() };
                    if let Some(entry) = kept.get_mut(uid) {
                        entry.exceptions.insert(service.clone(), reason);
                        entry.unsaid = entry.unsaid.saturating_sub(1);
                    }
                }
            }
        }
    }
    for (uid, service, exception) in words {
        if let Some(entry) = kept.get_mut(uid) {
            entry.exceptions.insert(service.clone(), exception.clone());
        }
    }
    (kept, left)
}

/// The items that have room: the next one is always of the namespace that has the least so far. One
/// whose next item has none is over.
fn in_turn<'a, T>(
    items: impl Iterator<Item = (&'a str, T, usize)>,
    room: &mut usize,
    left: &mut usize,
) -> Vec<T> {
    let mut by_namespace: BTreeMap<&str, VecDeque<(T, usize)>> = BTreeMap::new();
    for (namespace, item, size) in items {
        by_namespace.entry(namespace).or_default().push_back((item, size));
    }
    let mut turns: BTreeSet<(usize, &str)> =
        by_namespace.keys().map(|namespace| (0, *namespace)).collect();
    let mut chosen = Vec::new();
    while let Some((used, namespace)) = turns.pop_first() {
        let Some(queue) = by_namespace.get_mut(namespace) else { continue };
        let Some((item, size)) = queue.pop_front() else { continue };
        match room.checked_sub(size) {
            Some(rest) => {
                *room = rest;
                chosen.push(item);
                turns.insert((used + size, namespace));
            }
            None => *left += 1 + queue.len(),
        }
    }
    chosen
}

/// Bytes of JSON.
fn size(value: &(impl serde::Serialize + ?Sized)) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Reason;

    /// Objects of a namespace with 32 services each, of which so many do not serve.
    fn of(
        namespace: &str,
        objects: usize,
        failing: usize,
    ) -> impl Iterator<Item = (Arc<str>, Entry)> {
        let message = "path /x on these hostnames is held by a service of another namespace";
        (0..objects).map(move |number| {
            let exception = Exception::new(Reason::HostConflict, message);
            let name = |service: usize| Arc::from(format!("service-{service:055}"));
            let exceptions = (0..failing).map(|service| (name(service), exception.clone()));
            let entry = Entry {
                namespace: namespace.into(),
                generation: 7,
                ports: [("db".into(), 20_000)].into(),
                exceptions: exceptions.collect(),
                ..Entry::default()
            };
            (format!("{namespace}-{number:030}").into(), entry)
        })
    }

    #[test]
    fn a_namespace_with_thousands_of_troubles_hides_no_port_of_another() {
        let tunnels: Tunnels =
            of("a", 120, 32).chain(of("b", 20, 0)).chain(of("c", 5, 1)).collect();
        assert!(size(&tunnels) > super::super::LARGEST, "{}", size(&tunnels));
        let (kept, left) = within(&tunnels, super::super::LARGEST);
        assert!(size(&kept) <= super::super::LARGEST);
        assert_eq!((kept.len(), left.objects), (tunnels.len(), 0));
        assert!(left.reasons > 0);
        for (uid, entry) in &tunnels {
            assert_eq!(kept[uid].ports, entry.ports);
            assert_eq!(kept[uid].generation, 7);
            if &*entry.namespace != "a" {
                assert_eq!(kept[uid], *entry, "who says little says all");
            }
        }
    }

    #[test]
    fn where_not_even_the_ports_have_room_every_namespace_has_some() {
        let tunnels: Tunnels = of("a", 500, 3).chain(of("b", 10, 0)).collect();
        let (kept, left) = within(&tunnels, 20_000);
        assert!(size(&kept) <= 20_000);
        assert_eq!(kept.len() + left.objects, tunnels.len());
        assert_eq!(kept.values().filter(|entry| &*entry.namespace == "b").count(), 10);
        // What is not said of an object that is said is counted there.
        for (uid, entry) in &kept {
            assert_eq!(entry.exceptions.len() + entry.unsaid, tunnels[uid].exceptions.len());
        }
    }
}
