//! Golden records: of several words about one person the best is kept, field by field.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{
    IdentityKeys,
    link::Rules,
    number::{self, Class},
    standard::Said,
};
use crate::store::Error;

/// The purpose under which golden records are sealed.
const PROFILE: &str = "profile";

/// The best word on one field, and whose it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    pub value: String,
    pub system: String,
    /// When the hub heard it, in milliseconds since 1970.
    pub at: i64,
}

/// What the hub believes of a person, by field.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Golden(pub BTreeMap<String, Word>);

/// One record's word.
pub(super) struct Voice<'a> {
    pub(super) said: &'a Said,
    pub(super) system: &'a str,
    pub(super) at: i64,
    /// Its number is held by somebody else.
    pub(super) doubted: bool,
}

/// Chooses: what can be read and proves something, then the source's rank in the field, then the latest.
pub(super) fn golden(rules: &Rules, voices: &[Voice<'_>]) -> Golden {
    let mut golden = Golden::default();
    for field in Said::FIELDS {
        let ranks = rules.survivorship.get(field).or_else(|| rules.survivorship.get("any"));
        let rank = |voice: &Voice<'_>| {
            let place = ranks.and_then(|ranks| ranks.iter().position(|system| system == voice.system));
            place.unwrap_or(usize::MAX)
        };
        let spoken = voices.iter().filter(|voice| !(field == "id_number" && voice.doubted));
        let spoken = spoken.filter_map(|voice| Some((voice.said.get(field)?, voice)));
        let best = spoken.min_by_key(|(value, voice)| {
            (flaw(field, value, voice.said), rank(voice), Reverse(voice.at), value.to_string(), voice.system.to_owned())
        });
        if let Some((value, voice)) = best {
            let word = Word { value: value.to_owned(), system: voice.system.to_owned(), at: voice.at };
            golden.0.insert(field.to_owned(), word);
        }
    }
    golden
}

/// How little a value can be relied on, whoever says it.
fn flaw(field: &str, value: &str, said: &Said) -> u8 {
    match field {
        "name" => u8::from(value.contains(['?', '？', '□', '\u{fffd}'])),
        "id_number" => match number::classify(value, said.birth_date.as_deref()).1 {
            Class::Strong => 0,
            Class::Old => 1,
            Class::Odd => 2,
            Class::Bad => 3,
        },
        _ => 0,
    }
}

pub(super) fn seal(keys: &IdentityKeys, golden: &Golden) -> Result<String, Error> {
    keys.seal(PROFILE, &serde_json::to_string(golden).unwrap_or_default())
}

/// Opens a golden record; one of an older version of the hub is empty until the next word about its person.
pub(super) fn open(keys: &IdentityKeys, sealed: &str) -> Result<Golden, Error> {
    Ok(serde_json::from_str(&keys.open(PROFILE, sealed)?).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, number: &str) -> Said {
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Said { name: filled(name), number: filled(number), ..Said::default() }
    }

    fn chosen(voices: &[(&str, i64, &Said, bool)], field: &str) -> String {
        let rules = Rules::built_in().unwrap();
        let voices: Vec<Voice<'_>> =
            voices.iter().map(|(system, at, said, doubted)| Voice { said, system, at: *at, doubted: *doubted }).collect();
        golden(&rules, &voices).0.get(field).map_or(String::new(), |word| word.value.clone())
    }

    #[test]
    fn quality_then_rank_then_recency() {
        let (wild, old, new) = (said("王?", ""), said("王喆", ""), said("王哲", ""));
        assert_eq!(chosen(&[("marriage", 3, &wild, false), ("x", 1, &old, false), ("y", 2, &new, false)], "name"), "王哲");
        assert_eq!(chosen(&[("urban-dibao", 1, &old, false), ("y", 2, &new, false)], "name"), "王喆");
        let (strong, bad) = (said("", "220171197001010053"), said("", "220171197001010054"));
        assert_eq!(chosen(&[("urban-dibao", 2, &bad, false), ("x", 1, &strong, false)], "id_number"), "220171197001010053");
        assert_eq!(chosen(&[("x", 1, &strong, true)], "id_number"), "", "a number of somebody else is not theirs");
    }

    #[test]
    fn the_order_of_voices_does_not_matter() {
        let (one, two) = (said("王喆", ""), said("王哲", ""));
        let forth = chosen(&[("x", 1, &one, false), ("x", 1, &two, false)], "name");
        assert_eq!(forth, chosen(&[("x", 1, &two, false), ("x", 1, &one, false)], "name"));
    }
}
