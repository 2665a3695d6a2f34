//! Identity numbers.

use super::{Level, text::edits};
use crate::identity::{
    link::value::number::{HIDDEN, Number},
    number::Class,
};

/// Levels of identity numbers.
pub const NUMBER: [&str; 6] = ["equal", "one-edit", "two-edits", "differs", "conflict", "sibling"];
const EQUAL: Level = 0;
const ONE_EDIT: Level = 1;
const TWO_EDITS: Level = 2;
/// Of two numbers one at least is damaged: no more than a doubt.
const DIFFERS: Level = 3;
/// Two good numbers.
const CONFLICT: Level = 4;
/// Two good numbers of one birthplace and birthday: brothers and sisters born together.
const SIBLING: Level = 5;

/// Division and birth date.
const GROUP: usize = 14;

pub(super) fn compare(one: &Number, other: &Number) -> Option<Level> {
    let (left, right) = (one.chars(), other.chars());
    if left.contains(&HIDDEN) || right.contains(&HIDDEN) {
        return hidden(left, right);
    }
    if left == right {
        // An odd number may be somebody else's.
        return Some(if one.class == Class::Odd || other.class == Class::Odd { ONE_EDIT } else { EQUAL });
    }
    let of_one_group = left.len() == 18 && right.len() == 18 && left[..GROUP] == right[..GROUP];
    Some(match (one.class, other.class) {
        (Class::Bad, _) | (_, Class::Bad) => match edits(left, right, 2) {
            Some(1) => ONE_EDIT,
            Some(_) if !of_one_group => TWO_EDITS,
            _ if of_one_group => SIBLING,
            _ => DIFFERS,
        },
        (Class::Odd, _) | (_, Class::Odd) => DIFFERS,
        (Class::Strong, Class::Strong) if of_one_group => SIBLING,
        (Class::Strong, Class::Strong) => CONFLICT,
        // The check digit of an upgraded number proves nothing; another sequence is another person, not a slip.
        _ if of_one_group => SIBLING,
        _ if edits(&left[..17], &right[..17], 1).is_some() => ONE_EDIT,
        _ => CONFLICT,
    })
}

/// Masked numbers agree where both show digits, or contradict.
fn hidden(left: &[u8], right: &[u8]) -> Option<Level> {
    if left.len() != right.len() {
        return None;
    }
    let shown = || left.iter().zip(right).filter(|(one, other)| **one != HIDDEN && **other != HIDDEN);
    let agree = shown().all(|(one, other)| one == other);
    match (shown().count(), agree) {
        (8.., true) => Some(TWO_EDITS),
        (_, false) => Some(DIFFERS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, expected: Option<&str>) {
        let (left, right) = (Number::read(one).unwrap(), Number::read(other).unwrap());
        for (left, right) in [(&left, &right), (&right, &left)] {
            assert_eq!(compare(left, right).map(|level| NUMBER[usize::from(level)]), expected, "{one} {other}");
        }
    }

    #[test]
    fn every_level() {
        check("110105491231002", "11010519491231002X", Some("equal"));
        check("11010519491231003X", "11010519491231002X", Some("one-edit"));
        check("1101051949123102X", "11010519491231002X", Some("one-edit"));
        check("11010519491213002X", "11010519491231002X", Some("one-edit"));
        check("11010519591213002X", "11010519491231002X", Some("two-edits"));
        check("220171197001010053", "11010519491231002X", Some("conflict"));
        check("110105491231003", "11010519491231002X", Some("sibling"));
        check("110106491231002", "11010519491231002X", Some("one-edit"));
        check("110105********002X", "11010519491231002X", Some("two-edits"));
        check("220105********002X", "11010519491231002X", Some("differs"));
        check("**************002X", "11010519491231002X", None);
    }
}
