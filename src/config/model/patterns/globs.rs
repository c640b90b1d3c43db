//! Globs as one automaton without backtracking.
//!
//! The states of all globs are bits of one set: a glob of n characters other than `*` has n + 1, one
//! before each and one at the end. A byte moves every state to the next one if it is the character
//! between them; a state with a `*` behind it stays, too (Baeza-Yates and Gonnet's Shift-And, Navarro
//! and Raffinot's form for gaps). So a byte of the text costs a pass over the set whatever the globs
//! are, and the tables have at most one set for each character that the globs use.

use super::{PortRange, includes};

const BITS: usize = u64::BITS as usize;

/// A set of states.
type Set = Vec<u64>;

#[derive(Debug, Default)]
pub(super) struct Globs {
    /// Where every glob begins.
    start: Set,
    /// States that stay.
    stay: Set,
    /// The table of each byte; the first one is that of bytes that no glob names.
    table_of: Vec<u8>,
    /// By table, the states that its bytes lead to.
    tables: Vec<Set>,
    /// The last state of each glob, with the glob's ports.
    ends: Vec<(usize, Option<PortRange>)>,
}

impl Globs {
    pub(super) fn of(globs: &[(&str, Option<PortRange>)]) -> Self {
        let states: usize = globs.iter().map(|(glob, _)| characters(glob).count() + 1).sum();
        let empty: Set = vec![0; states.div_ceil(BITS)];
        let mut table_of = vec![0; 256];
        let mut tables = vec![empty.clone()];
        for byte in globs.iter().flat_map(|(glob, _)| characters(glob)).filter(|b| *b != b'?') {
            if let Some(table @ 0) = table_of.get_mut(usize::from(byte)) {
                // Fewer than 256: `*` and `?` have none.
                *table = u8::try_from(tables.len()).unwrap_or_default();
                tables.push(empty.clone());
            }
        }
        let (mut start, mut stay, mut ends) = (empty.clone(), empty, Vec::new());
        let mut state = 0;
        for (glob, ports) in globs {
            insert(&mut start, state);
            for byte in glob.bytes() {
                if byte == b'*' {
                    insert(&mut stay, state);
                    continue;
                }
                state += 1;
                let own = table_of.get(usize::from(byte)).map_or(0, |table| usize::from(*table));
                for (at, table) in tables.iter_mut().enumerate() {
                    if byte == b'?' || at == own {
                        insert(table, state);
                    }
                }
            }
            ends.push((state, *ports));
            state += 1;
        }
        Self { start, stay, table_of, tables, ends }
    }

    pub(super) fn fit(&self, text: &[u8], port: u16) -> bool {
        if self.ends.is_empty() {
            return false;
        }
        let mut states = self.start.clone();
        for byte in text {
            let table =
                self.table_of.get(usize::from(*byte)).map_or(0, |table| usize::from(*table));
            let Some(table) = self.tables.get(table) else { return false };
            let mut carry = 0;
            let mut all = 0;
            for ((word, stay), into) in states.iter_mut().zip(&self.stay).zip(table) {
                let moved = ((*word << 1) | carry) & into;
                carry = *word >> (BITS - 1);
                *word = moved | (*word & stay);
                all |= *word;
            }
            #[cfg(test)]
            tests::STEPS.with(|steps| steps.set(steps.get() + states.len()));
            if all == 0 {
                return false;
            }
        }
        self.ends.iter().any(|(state, ports)| holds(&states, *state) && includes(*ports, port))
    }
}

/// Those that a byte of the text stands for.
fn characters(glob: &str) -> impl Iterator<Item = u8> + '_ {
    glob.bytes().filter(|byte| *byte != b'*')
}

fn insert(set: &mut Set, state: usize) {
    if let Some(word) = set.get_mut(state / BITS) {
        *word |= 1 << (state % BITS);
    }
}

fn holds(set: &Set, state: usize) -> bool {
    set.get(state / BITS).is_some_and(|word| word & (1 << (state % BITS)) != 0)
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    thread_local! {
        /// Words that this thread's automata have gone through.
        pub static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    fn fits(globs: &[&str], text: &str) -> bool {
        let globs: Vec<_> = globs.iter().map(|glob| (*glob, None)).collect();
        Globs::of(&globs).fit(text.as_bytes(), 80)
    }

    #[test]
    fn a_star_is_any_run_and_a_question_mark_one_byte() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("*", "a.b", true),
            ("**", "a", true),
            ("", "", true),
            ("", "a", false),
            ("?", "a", true),
            ("?", "", false),
            ("?*", "a.b", true),
            ("*.ex?mple.*", "a.b.example.org", true),
            ("*.ex?mple.*", "example.org", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(fits(&[glob], text), expected, "{glob} {text}");
            assert_eq!(fits(&["no", glob, "neither*"], text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn ports_belong_to_their_glob() {
        let range = |first, last| Some(PortRange { first, last });
        let globs = Globs::of(&[("a*", range(80, 80)), ("*b", range(90, 99))]);
        for (text, port, expected) in [
            ("ab", 80, true),
            ("ab", 95, true),
            ("a", 95, false),
            ("b", 80, false),
            ("ab", 1, false),
        ] {
            assert_eq!(globs.fit(text.as_bytes(), port), expected, "{text}:{port}");
        }
    }

    /// 256 globs that backtrack at every byte of a host of 253.
    #[test]
    fn an_answer_costs_the_same_whatever_the_globs_are() {
        let (hostile, plain) = (format!("*{}b", "a".repeat(100)), format!("c{}b", "a".repeat(100)));
        let host = "a".repeat(253);
        let of = |glob: &str| {
            let globs = vec![(glob, None); 256];
            let globs = Globs::of(&globs);
            STEPS.with(|steps| steps.set(0));
            assert!(!globs.fit(host.as_bytes(), 80));
            STEPS.with(Cell::get)
        };
        let words = (256 * 102_usize).div_ceil(BITS);
        assert_eq!(of(&hostile), host.len() * words);
        assert!(of(&plain) <= 2 * words, "nothing fits any more after the first byte");
    }

    #[test]
    fn the_tables_are_no_larger_than_the_text_makes_them() {
        let glob = "*a?b-c.d_0123456789*".repeat(12);
        let globs = vec![(glob.as_str(), None); 256];
        let globs = Globs::of(&globs);
        let text: usize = 256 * glob.len();
        let sets = globs.tables.len() + 2;
        let bytes = sets * globs.start.len() * size_of::<u64>();
        assert!(sets <= 20 && bytes <= text * 3, "{sets} sets, {bytes} bytes for {text}");
    }

    /// The definition, in time that has no bound.
    fn naive(glob: &[u8], text: &[u8]) -> bool {
        match (glob.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => naive(rest, text),
            (Some((b'*', rest)), Some((_, after))) => naive(rest, text) || naive(glob, after),
            (Some((one, rest)), Some((byte, after))) => {
                (*one == b'?' || one == byte) && naive(rest, after)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_automaton_says_what_the_definition_says(
            globs in proptest::collection::vec("[ab*?.]{0,9}", 1..12), text in "[abc.]{0,12}"
        ) {
            let list: Vec<_> = globs.iter().map(|glob| (glob.as_str(), None)).collect();
            let expected = globs.iter().any(|glob| naive(glob.as_bytes(), text.as_bytes()));
            prop_assert_eq!(Globs::of(&list).fit(text.as_bytes(), 80), expected);
        }
    }
}
