//! Names.

use super::Level;
use crate::identity::link::value::name::{Name, WILD, look_alike};

/// Levels of names.
pub const NAME: [&str; 11] = [
    "equal",
    "homophone",
    "look-alike",
    "swapped",
    "wild",
    "letters",
    "dropped",
    "one-character",
    "given-name",
    "surname",
    "none",
];
const EQUAL: Level = 0;
const HOMOPHONE: Level = 1;
const LOOK_ALIKE: Level = 2;
const IN_ANOTHER_ORDER: Level = 3;
const PARTLY_UNKNOWN: Level = 4;
const LETTERS: Level = 5;
const DROPPED: Level = 6;
const ONE_CHARACTER: Level = 7;
const GIVEN_NAME: Level = 8;
const SURNAME: Level = 9;
const NONE: Level = 10;

/// From this length on a name with one wrong character is rather the same name than a sibling's.
const LONG: usize = 5;

/// How the characters of two names of one length relate.
#[derive(Default)]
struct Pairs {
    same: usize,
    wild: usize,
    homophones: usize,
    look_alikes: usize,
    others: usize,
    /// Place of the last other.
    last: usize,
}

pub(super) fn compare(one: &Name, other: &Name) -> Option<Level> {
    if one.term == other.term {
        // A partly unknown name equals another one by chance.
        return Some(if one.is_partial() { PARTLY_UNKNOWN } else { EQUAL });
    }
    match (one.is_in_letters(), other.is_in_letters()) {
        (false, false) if one.chars.len() == other.chars.len() => of_one_length(one, other),
        (false, false) => Some(of_two_lengths(one, other)),
        (true, true) => Some(if one.sorted == other.sorted { IN_ANOTHER_ORDER } else { NONE }),
        _ if one.sorted == other.sorted && one.sorted != 0 => Some(LETTERS),
        _ => Some(if one.sounds.first() == other.sounds.first() { SURNAME } else { NONE }),
    }
}

fn of_one_length(one: &Name, other: &Name) -> Option<Level> {
    let pairs = pairs(one, other);
    if pairs.others == 0 {
        return match pairs {
            Pairs { wild: 1.., same, .. } if same < 2 => None,
            Pairs { wild: 1.., .. } => Some(PARTLY_UNKNOWN),
            Pairs { look_alikes: 1.., .. } => Some(LOOK_ALIKE),
            _ => Some(HOMOPHONE),
        };
    }
    if one.sorted == other.sorted && one.sorted != 0 {
        return Some(IN_ANOTHER_ORDER);
    }
    let length = one.chars.len();
    Some(match pairs.others {
        1 if length >= LONG => DROPPED,
        1 if pairs.last == 0 => GIVEN_NAME,
        // A given name of one character too: beside an equal number it is a slip like any other.
        1 => ONE_CHARACTER,
        _ => by_surname(one, other),
    })
}

fn pairs(one: &Name, other: &Name) -> Pairs {
    let mut pairs = Pairs::default();
    for (place, (left, right)) in one.chars.iter().zip(&other.chars).enumerate() {
        let count = match (left, right) {
            _ if left == right => &mut pairs.same,
            (&WILD, _) | (_, &WILD) => &mut pairs.wild,
            _ if one.sounds[place] == other.sounds[place] => &mut pairs.homophones,
            _ if look_alike(*left, *right) => &mut pairs.look_alikes,
            _ => {
                pairs.last = place;
                &mut pairs.others
            }
        };
        *count += 1;
    }
    pairs
}

fn of_two_lengths(one: &Name, other: &Name) -> Level {
    let (short, long) = if one.chars.len() < other.chars.len() { (one, other) } else { (other, one) };
    let shorter_by_one = long.chars.len() - short.chars.len() == 1;
    let own_name = short.chars.len() >= 2 && long.chars.len() >= 4;
    if shorter_by_one && short.chars.len() >= 2 && lacks_one(&short.sounds, &long.sounds) {
        return DROPPED;
    }
    // A father's name or clan name before the own one is often left out.
    if own_name && (long.chars.ends_with(&short.chars) || long.chars.starts_with(&short.chars)) {
        return DROPPED;
    }
    by_surname(one, other)
}

fn lacks_one(short: &[u16], long: &[u16]) -> bool {
    let same = short.iter().zip(long).take_while(|(one, other)| one == other).count();
    short[same..] == long[same + 1..]
}

fn by_surname(one: &Name, other: &Name) -> Level {
    if one.chars.first() == other.chars.first() { SURNAME } else { NONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, expected: Option<&str>) {
        let (left, right) = (Name::read(one).unwrap(), Name::read(other).unwrap());
        for (left, right) in [(&left, &right), (&right, &left)] {
            assert_eq!(compare(left, right).map(|level| NAME[usize::from(level)]), expected, "{one} {other}");
        }
    }

    #[test]
    fn every_level() {
        check("张国强", "張國強", Some("equal"));
        check("王丽欣", "王丽馨", Some("homophone"));
        check("王晴", "王睛", Some("look-alike"));
        check("李己", "李末", Some("one-character"));
        check("王士强", "王土强", Some("look-alike"));
        check("张国强", "国强张", Some("swapped"));
        check("张?强", "张国强", Some("wild"));
        check("张?", "张强", None);
        check("Zhang Guoqiang", "张国强", Some("letters"));
        check("GUOQIANG ZHANG", "张国强", Some("letters"));
        check("张强", "张国强", Some("dropped"));
        check("敖其尔·朝鲁", "朝鲁", Some("dropped"));
        check("张国强", "张国伟", Some("one-character"));
        check("张国强", "刘国强", Some("given-name"));
        check("张国强", "张小梅", Some("surname"));
        check("张国强", "李小梅", Some("none"));
    }
}
