//! A query in standard form.

use serde::{Deserialize, Serialize};

use super::{
    PersonQuery,
    keys::IdentityKeys,
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

/// What a record says of a person, as its source wrote it. Encrypted in the store.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth_date: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sex: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

impl Said {
    /// Fields that a statement may have, as the rules of linking call them.
    pub const FIELDS: [&'static str; 6] = ["name", "id_number", "birth_date", "sex", "address", "phone"];

    /// The value of one of [`Self::FIELDS`].
    pub fn get(&self, field: &str) -> Option<&str> {
        let value = match field {
            "name" => &self.name,
            "id_number" => &self.number,
            "birth_date" => &self.birth_date,
            "sex" => &self.sex,
            "address" => &self.address,
            "phone" => &self.phone,
            _ => &None,
        };
        value.as_deref()
    }

    /// Whether all that `other` says is in it: a payment names its payee by less than the register does.
    pub(super) fn covers(&self, other: &Self) -> bool {
        Self::FIELDS.iter().all(|field| other.get(field).is_none_or(|text| self.get(field) == Some(text)))
    }

    /// What a record says that said this and now says `other`: where both speak, the later word.
    pub(super) fn followed_by(&self, other: &Self) -> Self {
        let later = |mine: &Option<String>, theirs: &Option<String>| theirs.clone().or_else(|| mine.clone());
        Self {
            name: later(&self.name, &other.name),
            number: later(&self.number, &other.number),
            birth_date: later(&self.birth_date, &other.birth_date),
            sex: later(&self.sex, &other.sex),
            address: later(&self.address, &other.address),
            phone: later(&self.phone, &other.phone),
        }
    }

    /// Keyed hash of all of it: equal statements have one.
    pub(super) fn id(&self, keys: &IdentityKeys) -> String {
        let parts: Vec<String> =
            Self::FIELDS.iter().map(|field| self.get(field).map_or(String::new(), |text| format!("={text}"))).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        hex::encode(&keys.hash(b"said", &parts)[..16])
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
    pub said: Said,
    /// Keyed hash of what is said.
    pub said_id: String,
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
        let said = Said {
            name: filled(&query.name),
            number: filled(&query.number),
            birth_date,
            sex: filled(&query.sex),
            address: filled(&query.address),
            phone: filled(&query.phone),
        };
        let reference = query.reference.trim();
        let has_reference = !reference.is_empty();
        let reference_id = match has_reference {
            true => keys.reference_id(query.system.as_str(), reference),
            false => mention_id(query, number.as_ref(), &said, keys),
        };
        let reference = match (has_reference, may_hold_a_number(reference)) {
            (true, true) => format!("hash:{reference_id}"),
            (true, false) => reference.to_owned(),
            (false, _) => format!("event:{}", query.event),
        };
        let said_id = said.id(keys);
        let (system, event) = (query.system.clone(), query.event.clone());
        Self { system, reference, reference_id, has_reference, number, said, said_id, event }
    }

    /// The number, if it may find a person.
    pub fn evidence(&self) -> Option<&Number> {
        self.number.as_ref().filter(|number| number.class.is_evidence())
    }
}

/// Two persons of one record with equal details and neither number nor reference cannot be told apart by anybody.
fn mention_id(query: &PersonQuery, number: Option<&Number>, said: &Said, keys: &IdentityKeys) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let Said { name, birth_date, sex, phone, .. } = said;
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
            address: None,
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
    fn a_statement_is_known_by_all_that_it_says() {
        let keys = IdentityKeys::new([1; 32], [2; 32]);
        let said = |name: Option<&str>, phone: Option<&str>| Said {
            name: name.map(str::to_owned),
            phone: phone.map(str::to_owned),
            ..Said::default()
        };
        let id = said(Some("王喆"), None).id(&keys);
        assert_eq!(id, said(Some("王喆"), None).id(&keys));
        assert_ne!(id, said(Some("王喆"), Some("")).id(&keys));
        assert_ne!(said(Some("1"), None).id(&keys), said(None, Some("1")).id(&keys));
        let (full, part) = (said(Some("王喆"), Some("1")), said(Some("王喆"), None));
        assert!(full.covers(&part) && !part.covers(&full) && !full.covers(&said(Some("王哲"), None)));
        assert!(full.followed_by(&said(None, Some("2"))) == said(Some("王喆"), Some("2")));
    }
}
