//! Words and codes.

use super::Level;
use crate::identity::link::value::Text;

/// Levels of words.
pub const TEXT: [&str; 6] = ["equal", "close", "swapped", "near", "start", "none"];
/// Levels of codes.
pub const CODE: [&str; 4] = ["equal", "one-edit", "two-edits", "differs"];
pub(super) const CLOSE: Level = 1;
pub(super) const SWAPPED: Level = 2;
const NEAR: Level = 3;
const START: Level = 4;
const NONE: Level = 5;

/// Longest text of which edits are counted.
const LONGEST: usize = 64;

pub(super) fn texts(one: &Text, other: &Text) -> Level {
    if one.term == other.term {
        return 0;
    }
    let (left, right) = (one.plain.as_bytes(), other.plain.as_bytes());
    let length = left.len().max(right.len());
    // One slip in four letters, two in eight.
    let allowed = (length / 4).clamp(1, 2);
    if edits(left, right, allowed).is_some() {
        return CLOSE;
    }
    match strsim::jaro_winkler(&one.plain, &other.plain) {
        0.82.. => NEAR,
        _ if left.starts_with(right) || right.starts_with(left) => START,
        _ => NONE,
    }
}

pub(super) fn codes(one: &Text, other: &Text) -> Level {
    if one.term == other.term {
        return 0;
    }
    match edits(one.plain.as_bytes(), other.plain.as_bytes(), 2) {
        Some(1) => 1,
        Some(_) => 2,
        None => 3,
    }
}

/// Fewest insertions, deletions, substitutions and swaps of neighbours that make one text the other, if not more than
/// `most` (1 or 2). The common start and end cost nothing, so that most pairs are decided without a table.
pub(super) fn edits(one: &[u8], other: &[u8], most: usize) -> Option<usize> {
    if one.len().abs_diff(other.len()) > most {
        return None;
    }
    let start = one.iter().zip(other).take_while(|(left, right)| left == right).count();
    let (one, other) = (&one[start..], &other[start..]);
    let end = one.iter().rev().zip(other.iter().rev()).take_while(|(left, right)| left == right).count();
    let (one, other) = (&one[..one.len() - end], &other[..other.len() - end]);
    match (one.len().min(other.len()), one.len().max(other.len())) {
        (0, length) => (length <= most).then_some(length),
        (1, 1) => Some(1),
        (2, 2) if one[0] == other[1] && one[1] == other[0] => Some(1),
        _ if most < 2 || one.len() > LONGEST => None,
        _ => by_table(one, other).filter(|edits| *edits <= most),
    }
}

/// Optimal string alignment, three rows.
fn by_table(one: &[u8], other: &[u8]) -> Option<usize> {
    let mut rows = [[0_usize; LONGEST + 3]; 3];
    for (place, cell) in rows[0].iter_mut().enumerate() {
        *cell = place;
    }
    for i in 1..=one.len() {
        let (now, last, before) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[now][0] = i;
        for j in 1..=other.len() {
            let substitution = rows[last][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut cell = substitution.min(rows[last][j] + 1).min(rows[now][j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                cell = cell.min(rows[before][j - 2] + 1);
            }
            rows[now][j] = cell;
        }
    }
    rows[one.len() % 3].get(other.len()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        let of = |one: &str, other: &str| edits(one.as_bytes(), other.as_bytes(), 2);
        assert_eq!(of("abcd", "abcd"), Some(0));
        assert_eq!(of("abcd", "abxd"), Some(1));
        assert_eq!(of("abcd", "acbd"), Some(1));
        assert_eq!(of("abcd", "bcd"), Some(1));
        assert_eq!(of("abcdef", "bacdfe"), Some(2));
        assert_eq!(of("abcdef", "xbcdex"), Some(2));
        assert_eq!(of("abcdef", "bcdefa"), Some(2));
        assert_eq!(of("abcdef", "fedcba"), None);
        assert_eq!(edits(b"abcd", b"xbcx", 1), None);
    }

    #[test]
    fn levels_of_words() {
        let level = |one, other| TEXT[usize::from(texts(&Text::read(one).unwrap(), &Text::read(other).unwrap()))];
        assert_eq!(level("Pridham Street", "pridhamstreet"), "equal");
        assert_eq!(level("mccarthy", "mcarthey"), "close");
        assert_eq!(level("ann", "annabelle-louise"), "start");
        assert_eq!(level("green", "wallaby"), "none");
    }
}
