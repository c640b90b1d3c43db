//! Names that a user may have meant.

/// The candidate that is nearest to a word, if any is near enough to be meant.
///
/// Upper and lower case do not count. Near enough is one slip (a wrong, missing, surplus or swapped
/// letter) for three letters of the longer word, and one at least. Of two that are as near, the longer:
/// letters are left out more often than added.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    nearest_within(word, candidates, 3)
}

/// As [`nearest`], with one slip for so many letters.
pub(crate) fn nearest_within<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    letters: usize,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|c| (distance(&word, &c.to_lowercase()), c))
        .filter(|(d, c)| *d <= (word.chars().count().max(c.chars().count()) / letters).max(1))
        .min_by_key(|(d, c)| (*d, std::cmp::Reverse(c.len())))
        .map(|(_, c)| c)
}

/// Optimal string alignment distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&row, j) + usize::from(from != *to))
                .min(at(&row, j + 1) + 1)
                .min(at(&next, j) + 1);
            let swapped = j > 0 && previous == Some(*to) && b.get(j - 1) == Some(&from);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
        previous = Some(from);
    }
    row.last().copied().unwrap_or(0)
}

/// `a, b and 3 more`, or `none`: for messages that list what there is.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().filter(|n| !n.is_empty()).collect();
    let shown = names.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "none".into(),
        n if n > 8 => format!("{shown} and {} more", n - 8),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_slips() {
        for (a, b, d) in [("", "", 0), ("ab", "", 2), ("authr", "auther", 1), ("atuh", "auth", 1)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }

    #[test]
    fn only_a_near_name_is_offered() {
        let names = ["auther", "auth", "retries"];
        assert_eq!(nearest("authr", names), Some("auther"));
        assert_eq!(nearest("Retires", names), Some("retries"));
        assert_eq!(nearest("foo", names), None);
    }
}
