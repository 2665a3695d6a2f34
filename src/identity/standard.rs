//! A query in standard form: what the rules compare.

use serde::{Deserialize, Serialize};

use super::{
    PersonQuery,
    keys::IdentityKeys,
    name,
    number::{self, Class},
};
use crate::envelope::{EventId, System};

/// A number in standard form with its look-up hash.
#[derive(Clone)]
pub struct Number {
    pub text: String,
    pub hash: String,
    pub class: Class,
}

/// What the index keeps of a person, encrypted.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_date: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sex: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

impl Profile {
    /// Takes over what `other` knows better: what was missing, or a name without unknown characters. True on a change.
    pub(super) fn absorb(&mut self, other: &Self) -> bool {
        let before = self.clone();
        let name_is_poor = self.name.as_deref().is_none_or(name::has_wild_card);
        if name_is_poor && other.name.as_deref().is_some_and(|name| !name::has_wild_card(name)) {
            self.name.clone_from(&other.name);
        }
        for (mine, theirs) in [
            (&mut self.name, &other.name),
            (&mut self.birth_date, &other.birth_date),
            (&mut self.sex, &other.sex),
            (&mut self.phone, &other.phone),
        ] {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        }
        *self != before
    }

    /// An absent name agrees with any.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        match (&self.name, &other.name) {
            (Some(one), Some(other)) => name::compatible(one, other),
            _ => true,
        }
    }
}

/// One query in standard form.
#[derive(Clone)]
pub struct Standard {
    pub system: System,
    /// As it may be stored: digits that could be an identity or account number are replaced by a keyed hash.
    pub reference: String,
    /// Keyed hash that stands for (system, reference). Without a reference it stands for the event and all that it says
    /// of the person, so that the same record finds the same person when it comes again.
    pub reference_id: String,
    pub has_reference: bool,
    /// Any number that was given, of whatever class.
    pub number: Option<Number>,
    pub profile: Profile,
    pub event: EventId,
}

impl Standard {
    /// Standardises, classifies and hashes.
    pub fn of(query: &PersonQuery, keys: &IdentityKeys) -> Self {
        let filled = |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let birth_date = filled(&query.birth_date);
        let number = filled(&query.number).map(|text| {
            let (text, class) = number::classify(&text, birth_date.as_deref());
            Number { hash: keys.number_hash(&text), text, class }
        });
        let profile = Profile {
            name: query.name.as_deref().and_then(name::standard),
            birth_date,
            sex: filled(&query.sex),
            phone: filled(&query.phone),
        };
        let reference = query.reference.trim();
        let has_reference = !reference.is_empty();
        let reference_id = match has_reference {
            true => keys.reference_id(query.system.as_str(), reference),
            false => mention_id(query, number.as_ref(), &profile, keys),
        };
        let reference = match (has_reference, may_hold_a_number(reference)) {
            (true, true) => format!("hash:{reference_id}"),
            (true, false) => reference.to_owned(),
            (false, _) => format!("event:{}", query.event),
        };
        Self { system: query.system.clone(), reference, reference_id, has_reference, number, profile, event: query.event.clone() }
    }

    /// The number, if it may find a person.
    pub fn evidence(&self) -> Option<&Number> {
        self.number.as_ref().filter(|number| number.class.is_evidence())
    }
}

/// Two persons of one record with equal details and neither number nor reference cannot be told apart by anybody.
fn mention_id(query: &PersonQuery, number: Option<&Number>, profile: &Profile, keys: &IdentityKeys) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let Profile { name, birth_date, sex, phone } = profile;
    let number = number.map_or("", |number| &number.hash);
    let parts = [query.system.as_str(), query.event.as_str(), number, &text(name), &text(birth_date), &text(sex), &text(phone)];
    hex::encode(keys.hash(b"mention", &parts))
}

/// Fifteen digits in a row: an identity number, old or new, or a bank card.
fn may_hold_a_number(text: &str) -> bool {
    let mut run = 0;
    text.bytes().any(|byte| {
        run = if byte.is_ascii_digit() { run + 1 } else { 0 };
        run >= 15
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(reference: &str) -> PersonQuery {
        PersonQuery {
            system: "funeral".into(),
            reference: reference.to_owned(),
            name: Some(" 王 喆".to_owned()),
            number: Some(" ".to_owned()),
            birth_date: None,
            sex: None,
            phone: None,
            event: "e".into(),
        }
    }

    #[test]
    fn references_that_hold_a_number_are_hashed() {
        let keys = IdentityKeys::new([1; 32], [2; 32]);
        assert_eq!(Standard::of(&query("family:F1"), &keys).reference, "family:F1");
        let hidden = Standard::of(&query("id:220171197001010053"), &keys);
        assert!(hidden.reference.starts_with("hash:") && !hidden.reference.contains("220171"));
        let nameless = Standard::of(&query(" "), &keys);
        assert!(!nameless.has_reference && nameless.reference == "event:e");
        assert!(hidden.number.is_none());
    }

    #[test]
    fn a_profile_takes_what_is_better() {
        let profile = |name: &str, sex: Option<&str>| Profile {
            name: name::standard(name),
            sex: sex.map(str::to_owned),
            ..Profile::default()
        };
        let mut known = profile("张?华", None);
        assert!(known.absorb(&profile("张建华", Some("1"))));
        assert_eq!((known.name.as_deref(), known.sex.as_deref()), (Some("张建华"), Some("1")));
        assert!(!known.absorb(&profile("张?华", Some("2"))));
    }
}
