//! Claims by path: whether a request could belong to a new one and to one that was granted before.
//!
//! A path that ends in `/` is a subtree, as in Go's ServeMux. What is asked costs a few comparisons,
//! however many claims there are: a tenant's services must not make every plan slow.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Bound::{Excluded, Unbounded};

use super::cost;
use crate::base::ServiceKey;

/// A path in an ordered collection; its comparisons are counted in tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Path<'a>(&'a str);

impl Ord for Path<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        cost::step();
        self.0.cmp(other.0)
    }
}

impl PartialOrd for Path<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The services that hold something: one, or two of different namespaces if there are more.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held<'a> {
    /// All are of its namespace.
    One(&'a ServiceKey),
    /// Two namespaces or more.
    Mixed(&'a ServiceKey, &'a ServiceKey),
}

impl<'a> Held<'a> {
    /// With another holder.
    #[must_use]
    pub(super) fn and(self, key: &'a ServiceKey) -> Self {
        match self {
            Self::One(first) if namespace(first) != namespace(key) => Self::Mixed(first, key),
            held => held,
        }
    }

    /// A holder of another namespace.
    pub(super) fn foreign(self, to: &ServiceKey) -> Option<&'a ServiceKey> {
        let (first, second) = match self {
            Self::One(key) => (key, None),
            Self::Mixed(first, second) => (first, Some(second)),
        };
        [Some(first), second].into_iter().flatten().find(|key| namespace(key) != namespace(to))
    }

    /// A holder of the same namespace.
    pub(super) fn same(self, to: &ServiceKey) -> Option<&'a ServiceKey> {
        let (first, second) = match self {
            Self::One(key) => (key, None),
            Self::Mixed(first, second) => (first, Some(second)),
        };
        [Some(first), second].into_iter().flatten().find(|key| namespace(key) == namespace(to))
    }
}

fn namespace(key: &ServiceKey) -> &str {
    key.origin.namespace()
}

/// The subtrees that were claimed on a socket, whoever has them.
#[derive(Default)]
pub(super) struct Subtrees {
    known: HashSet<u64>,
    state: RandomState,
}

impl Subtrees {
    /// Those that a path lies in, itself not among them.
    pub(super) fn around<'a>(&self, path: &'a str) -> Vec<&'a str> {
        let found = |(end, digest): (usize, u64)| {
            let known = end < path.len() && self.known.contains(&digest);
            known.then(|| path.get(..end)).flatten()
        };
        self.prefixes(path).filter_map(found).collect()
    }

    /// Notes a path; one that is no subtree says nothing here.
    pub(super) fn insert(&mut self, path: &str) {
        if let Some((end, digest)) = self.prefixes(path).last()
            && end == path.len()
        {
            self.known.insert(digest);
        }
    }

    /// Where the segments of a path end, and a digest of all up to there. One pass: the digests of
    /// a thousand segments must not cost a thousand times the path.
    fn prefixes<'b>(&'b self, path: &'b str) -> impl Iterator<Item = (usize, u64)> + 'b {
        let mut hasher = self.state.build_hasher();
        let mut end = 0;
        path.split_inclusive('/').filter(|segment| segment.ends_with('/')).map(move |segment| {
            cost::step();
            hasher.write(segment.as_bytes());
            end += segment.len();
            (end, hasher.clone().finish())
        })
    }
}

/// Claims on some hosts, by path.
#[derive(Default)]
pub(super) struct Paths<'a> {
    held: BTreeMap<Path<'a>, Held<'a>>,
    /// Where, in the order of the paths, the namespace is another one than before.
    changes: BTreeSet<Path<'a>>,
}

impl<'a> Paths<'a> {
    /// Who has just this path.
    pub(super) fn at(&self, path: &str) -> Option<Held<'a>> {
        self.held.get(&Path(path)).copied()
    }

    /// A holder of another namespace whose requests the new claim could match. `around`: the
    /// subtrees of the socket that the path lies in.
    pub(super) fn foreign(
        &self,
        path: &str,
        around: &[&str],
        key: &ServiceKey,
    ) -> Option<&'a ServiceKey> {
        let here = std::iter::once(&path).chain(around);
        let mut here = here.filter_map(|path| self.at(path)?.foreign(key));
        here.next().or_else(|| self.within(path, key))
    }

    /// A holder of another namespace below a subtree.
    fn within(&self, path: &str, key: &ServiceKey) -> Option<&'a ServiceKey> {
        // The first text after all that begin with the subtree: `0` follows `/`.
        let end = format!("{}0", path.strip_suffix('/')?);
        let (from, end) = (Excluded(Path(path)), Excluded(Path(&end)));
        let (first, held) = self.held.range((from, end)).next()?;
        held.foreign(key).or_else(|| {
            // All of one namespace up to the next change.
            let change = self.changes.range((Excluded(*first), end)).next()?;
            self.held.get(change)?.foreign(key)
        })
    }

    /// Adds a claim.
    pub(super) fn insert(&mut self, path: &'a str, key: &'a ServiceKey) {
        let path = Path(path);
        self.held.entry(path).and_modify(|held| *held = held.and(key)).or_insert(Held::One(key));
        self.mark(path);
        let next = self.held.range((Excluded(path), Unbounded)).next();
        if let Some((next, _)) = next {
            self.mark(*next);
        }
    }

    /// Notes whether the namespace changes at a path.
    fn mark(&mut self, path: Path<'a>) {
        let before = self.held.range(..path).next_back().map(|(_, held)| *held);
        let changes = match self.held.get(&path) {
            Some(Held::One(key)) => before.is_some_and(|before| before.foreign(key).is_some()),
            Some(Held::Mixed(..)) => true,
            None => false,
        };
        if changes {
            self.changes.insert(path);
        } else {
            self.changes.remove(&path);
        }
    }
}
