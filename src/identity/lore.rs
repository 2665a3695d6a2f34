//! How statements are read: rules, weights, and the statements that were read before.

use std::sync::Arc;

use moka::sync::Cache;

use super::{
    IdentityKeys,
    link::{Engine, Model, Record, Rules, Weights, keys, value::Value},
    number::{self, Class},
    standard::{Number, Said, Standard},
};
use crate::{
    envelope::PersonKey,
    error::Fault,
    store::{self},
};

/// Statements kept ready for comparison: about 100 MB when full. A statement never changes, so that an entry is good
/// whatever other routers do.
const CACHE: u64 = 100_000;
/// The purpose under which numbers are sealed.
pub(super) const NUMBER: &str = "number";
/// The purpose under which statements are sealed.
const SAID: &str = "said";

/// A statement in the form in which it is compared.
pub(super) struct Statement {
    pub(super) id: String,
    pub(super) said: Said,
    /// What is compared. A number that proves nothing by the hub's own rules is odd here.
    pub(super) record: Record,
    /// Blocking keys.
    pub(super) keys: Vec<u64>,
    /// The number, if it may find a person.
    pub(super) number: Option<Number>,
    /// The term of the name and its hash in the store.
    pub(super) name: Option<(u64, i64)>,
}

impl Statement {
    /// The record as it is compared when its number is somebody else's.
    pub(super) fn without_number(&self, rules: &Rules) -> Record {
        let mut record = self.record.clone();
        set_odd(&mut record, rules);
        record
    }
}

fn set_odd(record: &mut Record, rules: &Rules) {
    let place = rules.of_kind(super::link::value::Kind::Number);
    if let Some(Some(Value::Number(number))) = place.map(|place| &mut record.values[place]) {
        number.class = Class::Odd;
    }
}

/// Rules, weights and keys of an index.
pub(super) struct Lore {
    pub(super) rules: Rules,
    pub(super) weights: Weights,
    pub(super) keys: IdentityKeys,
    /// The place of the field whose values are counted.
    pub(super) counted: Option<usize>,
    read: Cache<String, Arc<Statement>>,
}

impl Lore {
    /// The rules and the model that are built in.
    pub(super) fn new(keys: IdentityKeys) -> Result<Self, Fault> {
        let rules = Rules::built_in()?;
        let weights = Weights::new(&rules, &Model::built_in()?)?;
        let counted = rules.fields.iter().position(|field| field.terms);
        Ok(Self { rules, weights, keys, counted, read: Cache::new(CACHE) })
    }

    /// An engine that knows nobody yet.
    pub(super) fn engine(&self) -> Engine {
        Engine::new(self.rules.clone(), self.weights.clone())
    }

    /// What a query says.
    pub(super) fn of(&self, asked: &Standard) -> Arc<Statement> {
        self.read.get_with_by_ref(asked.said_id.as_str(), || Arc::new(self.make(&asked.said_id, asked.said.clone())))
    }

    /// What a record says that goes on speaking.
    pub(super) fn followed_by(&self, before: &Statement, asked: &Standard) -> Arc<Statement> {
        let said = before.said.followed_by(&asked.said);
        let id = said.id(&self.keys);
        self.read.get_with_by_ref(id.as_str(), || Arc::new(self.make(&id, said)))
    }

    /// A statement of the store.
    pub(super) fn open(&self, id: &str, sealed: &str) -> Result<Arc<Statement>, store::Error> {
        if let Some(known) = self.read.get(id) {
            return Ok(known);
        }
        let made = Arc::new(self.unseal(id, sealed)?);
        self.read.insert(id.to_owned(), Arc::clone(&made));
        Ok(made)
    }

    /// The blocking keys of a statement of the store, which nobody asks for a second time.
    pub(super) fn blocking_keys(&self, sealed: &str) -> Result<Vec<u64>, store::Error> {
        self.unseal("", sealed).map(|statement| statement.keys)
    }

    fn unseal(&self, id: &str, sealed: &str) -> Result<Statement, store::Error> {
        let plain = self.keys.open(SAID, sealed)?;
        // The parser's text could quote the statement.
        let said = serde_json::from_str(&plain)
            .map_err(|_| store::Error::Failed("a statement of the person index is damaged".to_owned()))?;
        Ok(self.make(id, said))
    }

    /// A number that a person holds and no record gives any more.
    pub(super) fn held(&self, hash: &str, sealed: &str) -> Result<Arc<Statement>, store::Error> {
        let id = format!("number:{hash}");
        if let Some(known) = self.read.get(&id) {
            return Ok(known);
        }
        let number = Some(self.keys.open(NUMBER, sealed)?);
        let made = Arc::new(self.make(&id, Said { number, ..Said::default() }));
        self.read.insert(id, Arc::clone(&made));
        Ok(made)
    }

    pub(super) fn seal(&self, said: &Said) -> Result<String, store::Error> {
        self.keys.seal(SAID, &serde_json::to_string(said).unwrap_or_default())
    }

    fn make(&self, id: &str, said: Said) -> Statement {
        let texts: Vec<Option<String>> = self.rules.fields.iter().map(|field| said.get(&field.name).map(str::to_owned)).collect();
        let mut record = Record::of(&self.rules, &texts);
        let number = said.number.as_deref().map(|text| number::classify(text, said.birth_date.as_deref()));
        let number = number.filter(|(_, class)| class.is_evidence());
        let number = number.map(|(text, class)| Number { hash: self.keys.number_hash(&text), text, class });
        if number.is_none() {
            demote(&mut record, &self.rules);
        }
        let mut found = Vec::new();
        keys::keys(&self.rules.keys, &record, &mut found);
        found.sort_unstable();
        found.dedup();
        let name = self.counted.and_then(|place| record.values[place].as_ref()).map(Value::term);
        Statement {
            id: id.to_owned(),
            name: name.map(|term| (term, self.stored("name", term))),
            keys: found,
            number,
            record,
            said,
        }
    }

    /// A plain hash of a name or telephone number is no secret.
    fn stored(&self, purpose: &str, key: u64) -> i64 {
        let hash = self.keys.hash(purpose.as_bytes(), &[&key.to_string()]);
        hash.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
    }

    /// The key of a person who is first seen in a record. It tells nothing about its person without the secret, and a
    /// batch that comes again after a crash makes the same.
    pub(super) fn person_key(&self, parts: &[&str]) -> PersonKey {
        PersonKey::new(uuid(self.keys.hash(b"person", parts)))
    }
}

/// The 128 bits in the form of a version 8 UUID (RFC 9562): made by its owner's own rule.
pub(super) fn uuid(hash: [u8; 32]) -> String {
    let mut bytes: [u8; 16] = hash.first_chunk().copied().unwrap_or_default();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A good number that the hub's own rules do not believe is no evidence; a bad one stays what it is.
fn demote(record: &mut Record, rules: &Rules) {
    let place = rules.of_kind(super::link::value::Kind::Number);
    let class = place.and_then(|place| record.values[place].as_ref()).and_then(|value| match value {
        Value::Number(number) => Some(number.class),
        _ => None,
    });
    if class.is_some_and(Class::is_evidence) {
        set_odd(record, rules);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_key_is_a_uuid() {
        let lore = Lore::new(IdentityKeys::new([1; 32], [2; 32])).unwrap();
        let key = lore.person_key(&["r"]);
        assert_eq!((key.as_str().len(), &key.as_str()[14..15]), (36, "8"));
        assert_ne!(key, lore.person_key(&["s"]));
    }

    #[test]
    fn sealed_statements_open_as_they_were() {
        let lore = Lore::new(IdentityKeys::new([1; 32], [2; 32])).unwrap();
        let said = Said { name: Some("王喆".to_owned()), ..Said::default() };
        let sealed = lore.seal(&said).unwrap();
        assert!(!sealed.contains("王喆"));
        assert!(lore.open("x", &sealed).unwrap().said == said);
        assert!(lore.open("y", "AAAA").is_err());
    }
}
