//! The citizen's own view: what the hub holds, from whom, which agreements let it out, who received it and when.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::Desk;
use crate::{
    domain::text::mask,
    envelope::PersonKey,
    error::Fault,
    identity::{
        hand::NO_PERSON,
        household::{self, Household},
        person::{Filed, Person, shown},
    },
    store::{Arg, Error},
};

/// Everything about one person. Personal values are masked unless they were asked for in plain.
#[derive(Debug, Serialize)]
pub struct Citizen {
    pub person_key: PersonKey,
    /// Keys that were joined into this one.
    pub former_keys: Vec<PersonKey>,
    /// The hub's best knowledge, by field, and whose word it is.
    pub golden: BTreeMap<String, Value>,
    pub numbers: Vec<Number>,
    /// What each system says.
    pub records: Vec<Record>,
    pub households: Vec<Household>,
    /// Persons from whom humans told this one apart.
    pub told_apart: Vec<PersonKey>,
    /// Questions that are not decided.
    pub open_reviews: Vec<String>,
    /// Under what the data may leave, and did.
    pub agreements: Vec<Agreement>,
    /// Who received what, and when, oldest first.
    pub deliveries: Vec<Delivery>,
}

/// A number that the person holds.
#[derive(Debug, Serialize)]
pub struct Number {
    pub number: String,
    pub class: String,
    pub since: i64,
}

/// A record of one system.
#[derive(Debug, Serialize)]
pub struct Record {
    /// The id by which `identity split` names it.
    pub id: String,
    pub system: String,
    pub reference: String,
    /// Why it is this person's.
    pub evidence: Value,
    pub since: i64,
    pub remarks: Vec<String>,
    pub says: BTreeMap<&'static str, String>,
    /// What it said since when, oldest first.
    pub history: Vec<Word>,
}

/// What a record said.
#[derive(Debug, Serialize)]
pub struct Word {
    pub at: i64,
    pub says: BTreeMap<&'static str, String>,
}

/// An agreement that let the person's data out.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Agreement {
    pub receiver: String,
    pub agreement: String,
    pub purpose: String,
    pub datasets: BTreeSet<String>,
    pub records: usize,
}

/// A receipt.
#[derive(Debug, Serialize)]
pub struct Delivery {
    pub at: i64,
    pub receiver: String,
    pub purpose: String,
    pub system: String,
    pub dataset: String,
    pub event_id: String,
    pub delivery_id: String,
    /// The row of the ledger that proves it.
    pub proof: String,
}

const LEDGER: &str = "SELECT DISTINCT l.at, l.kind, l.event_id, l.system, l.dataset, l.body, l.chain, l.seq FROM {rows} \
     JOIN person_event e ON e.person_key = value ->> 'k' JOIN ledger l ON l.event_id = e.event_id \
     WHERE l.kind IN ('received', 'delivered') ORDER BY l.at, l.chain, l.seq";

impl Desk {
    /// The view of a citizen, by any key that was given out.
    ///
    /// # Errors
    /// There is no such person, or the store failed.
    pub async fn citizen(&self, key: &PersonKey, plain: bool) -> Result<Citizen, Fault> {
        let person = self.index.person(key).await.map_err(|error| error.fault())?;
        let Some(person) = person else {
            let fault = Fault::new(NO_PERSON, format!("no person has the key `{key}`"));
            return Err(fault.hint("keys stand in deliveries, and `civilhub trace` shows them"));
        };
        let households = household::of_person(&self.store, &person.key).await.map_err(|error| error.fault())?;
        let mut citizen = held(person, households, plain);
        self.disclosed(&mut citizen).await.map_err(|error| error.fault())?;
        Ok(citizen)
    }

    /// Fills in agreements and deliveries, from the ledger.
    async fn disclosed(&self, citizen: &mut Citizen) -> Result<(), Error> {
        let keys: Value = citizen.former_keys.iter().chain([&citizen.person_key]).map(|key| json!({"k": key})).collect();
        let mut agreements: BTreeMap<(String, String, String), (BTreeSet<String>, usize)> = BTreeMap::new();
        for row in self.store.read(LEDGER, &[Arg::from(&keys)]).await? {
            let body: Value = serde_json::from_str(&row.text(5)).unwrap_or_default();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            if row.text(1) == "delivered" {
                citizen.deliveries.push(Delivery {
                    at: row.int(0),
                    receiver: text(&body["subscription"]),
                    purpose: text(&body["purpose"]),
                    system: row.text(3),
                    dataset: row.text(4),
                    event_id: row.text(2),
                    delivery_id: text(&body["delivery"]),
                    proof: format!("{}#{}", row.text(6), row.int(7)),
                });
                continue;
            }
            for to in body["to"].as_array().into_iter().flatten() {
                let slot = agreements.entry((text(&to[0]), text(&to[1]), text(&to[2]))).or_default();
                slot.0.insert(row.text(4));
                slot.1 += 1;
            }
        }
        let agreement =
            |((receiver, agreement, purpose), (datasets, records))| Agreement { receiver, agreement, purpose, datasets, records };
        citizen.agreements = agreements.into_iter().map(agreement).collect();
        Ok(())
    }
}

fn held(person: Person, households: Vec<Household>, plain: bool) -> Citizen {
    let show = |text: &str| if plain { text.to_owned() } else { mask(text) };
    let golden = person.golden.0.iter();
    let golden =
        golden.map(|(field, word)| (field.clone(), json!({"value": show(&word.value), "system": word.system, "at": word.at})));
    Citizen {
        golden: golden.collect(),
        numbers: person
            .numbers
            .iter()
            .map(|(text, class, since)| Number { number: show(text), class: class.clone(), since: *since })
            .collect(),
        records: person.records.iter().map(|filed| record(filed, plain)).collect(),
        former_keys: person.former_keys.into_iter().map(|(key, _)| key).collect(),
        person_key: person.key,
        households,
        told_apart: person.told_apart,
        open_reviews: person.open_reviews,
        agreements: Vec::new(),
        deliveries: Vec::new(),
    }
}

/// A record as it may be shown.
pub fn record(filed: &Filed, plain: bool) -> Record {
    Record {
        id: filed.id.get(..16).unwrap_or(&filed.id).to_owned(),
        system: filed.system.clone(),
        reference: filed.reference.clone(),
        evidence: serde_json::from_str(&filed.evidence).unwrap_or_default(),
        since: filed.linked_at,
        remarks: filed.remarks.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        says: shown(&filed.said, plain),
        history: filed.history.iter().map(|(at, said)| Word { at: *at, says: shown(said, plain) }).collect(),
    }
}
