//! All that the index holds about one person.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{StoreIndex, golden, golden::Golden, lore, standard::Said};
use crate::{
    domain::text::mask,
    envelope::PersonKey,
    store::{Arg, Error},
};

/// A record of a person, and what it said when.
pub struct Filed {
    /// The id by which commands name it.
    pub id: String,
    pub system: String,
    pub reference: String,
    /// The key that the record got first.
    pub first_key: String,
    /// Why it is this person's, as JSON.
    pub evidence: String,
    pub event_id: String,
    pub linked_at: i64,
    pub remarks: String,
    /// What it says now.
    pub said: Said,
    /// What it said since when, oldest first.
    pub history: Vec<(i64, Said)>,
}

impl Filed {
    /// A word that no record stands for yet.
    pub(super) fn word(id: String, system: String, reference: String, said: Said) -> Self {
        Self {
            id,
            system,
            reference,
            first_key: String::new(),
            evidence: String::new(),
            event_id: String::new(),
            linked_at: 0,
            remarks: String::new(),
            said,
            history: Vec::new(),
        }
    }
}

/// A person.
pub struct Person {
    pub key: PersonKey,
    /// Keys that lead to it, with the moment they retired.
    pub former_keys: Vec<(PersonKey, i64)>,
    pub golden: Golden,
    /// Number, class, since when.
    pub numbers: Vec<(String, String, i64)>,
    pub records: Vec<Filed>,
    /// Persons from whom humans told it apart.
    pub told_apart: Vec<PersonKey>,
    pub open_reviews: Vec<String>,
}

const RECORDS: &str = "SELECT s.reference_id, s.system, s.reference, s.first_key, s.evidence, s.event_id, s.linked_at, s.remarks, \
     t.said_id, t.sealed FROM source_record s LEFT JOIN statement t ON t.said_id = s.said_id WHERE s.person_key = $1 \
     ORDER BY s.linked_at, s.reference_id";
const HISTORY: &str = "SELECT h.reference_id, h.at, t.said_id, t.sealed FROM source_record s JOIN said h ON h.reference_id = s.reference_id \
     JOIN statement t ON t.said_id = h.said_id WHERE s.person_key = $1 ORDER BY h.at, h.said_id";

impl StoreIndex {
    /// A person by any key it ever had.
    ///
    /// # Errors
    /// The store failed.
    pub async fn person(&self, key: &PersonKey) -> Result<Option<Person>, Error> {
        let key = self.current(key).await?;
        let rows = self.store.read("SELECT profile FROM person WHERE person_key = $1", &[key.as_str().into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let golden = golden::open(&self.lore.keys, &row.text(0))?;
        let records = self.records(&key).await?;
        let former = "SELECT old_key, at FROM person_redirect WHERE new_key = $1 ORDER BY at, old_key";
        let former = self.store.read(former, &[key.as_str().into()]).await?;
        let former_keys: Vec<(PersonKey, i64)> = former.iter().map(|row| (row.text(0).into(), row.int(1))).collect();
        let told_apart = self.told_apart(&key, &former_keys).await?;
        let reviews =
            "SELECT id FROM review_item WHERE state = 'open' AND (person_key = $1 OR other_key = $1) ORDER BY opened_at, id";
        let reviews = self.store.read(reviews, &[key.as_str().into()]).await?;
        let numbers = self.numbers(&key).await?;
        let open_reviews = reviews.iter().map(|row| row.text(0)).collect();
        Ok(Some(Person { key, former_keys, golden, numbers, records, told_apart, open_reviews }))
    }

    async fn numbers(&self, key: &PersonKey) -> Result<Vec<(String, String, i64)>, Error> {
        let sql = "SELECT number, class, since FROM person_identifier WHERE person_key = $1 AND active = 1 ORDER BY since, class";
        let mut numbers = Vec::new();
        for row in self.store.read(sql, &[key.as_str().into()]).await? {
            numbers.push((self.lore.keys.open(lore::NUMBER, &row.text(0))?, row.text(1), row.int(2)));
        }
        Ok(numbers)
    }

    async fn told_apart(&self, key: &PersonKey, former: &[(PersonKey, i64)]) -> Result<Vec<PersonKey>, Error> {
        let names: Value = former.iter().map(|(key, _)| key).chain([key]).map(|key| json!({"k": key})).collect();
        let sql = "SELECT DISTINCT COALESCE(r.new_key, o.k) FROM (\
             SELECT other_key AS k FROM cannot_link JOIN {rows} ON one_key = value ->> 'k' WHERE lifted_at = 0 \
             UNION SELECT one_key FROM cannot_link JOIN {rows} ON other_key = value ->> 'k' WHERE lifted_at = 0) AS o \
             LEFT JOIN person_redirect r ON r.old_key = o.k ORDER BY 1";
        Ok(self.store.read(sql, &[Arg::from(&names)]).await?.iter().map(|row| row.text(0).into()).collect())
    }

    /// The records of a person, the oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn records(&self, key: &PersonKey) -> Result<Vec<Filed>, Error> {
        let mut history: BTreeMap<String, Vec<(i64, Said)>> = BTreeMap::new();
        for row in self.store.read(HISTORY, &[key.as_str().into()]).await? {
            let said = self.lore.open(&row.text(2), &row.text(3))?.said.clone();
            history.entry(row.text(0)).or_default().push((row.int(1), said));
        }
        let mut records = Vec::new();
        for row in self.store.read(RECORDS, &[key.as_str().into()]).await? {
            let said = match row.optional_text(9) {
                Some(sealed) => self.lore.open(&row.text(8), &sealed)?.said.clone(),
                None => Said::default(),
            };
            let mut filed = Filed::word(row.text(0), row.text(1), row.text(2), said);
            (filed.first_key, filed.evidence, filed.event_id) = (row.text(3), row.text(4), row.text(5));
            (filed.linked_at, filed.remarks) = (row.int(6), row.text(7));
            filed.history = history.remove(&filed.id).unwrap_or_default();
            records.push(filed);
        }
        Ok(records)
    }
}

/// What a statement says, by field; masked unless `plain`.
pub fn shown(said: &Said, plain: bool) -> BTreeMap<&'static str, String> {
    let show = |text: &str| if plain { text.to_owned() } else { mask(text) };
    Said::FIELDS.into_iter().filter_map(|field| Some((field, show(said.get(field)?)))).collect()
}
