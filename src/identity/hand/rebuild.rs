//! What is derived from records, made anew: golden record, who holds a number.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    clock,
    envelope::PersonKey,
    error::Fault,
    identity::{
        StoreIndex,
        batch::{Heard, Seat},
        golden, lore,
        remark::OTHER_NAME,
        standard::Number,
        write,
    },
    store::{Arg, Error, Tx},
};

const OF: &str = "SELECT p.person_key, p.seq, s.reference_id, s.system, s.said_at, s.remarks, s.event_id, w.said_id, w.sealed FROM {rows} \
     JOIN person p ON p.person_key = value ->> 'k' LEFT JOIN source_record s ON s.person_key = p.person_key \
     LEFT JOIN statement w ON w.said_id = s.said_id ORDER BY s.said_at, s.reference_id";
const HOLDERS: &str =
    "SELECT i.number_hash, i.person_key FROM {rows} JOIN person_identifier i ON i.number_hash = value ->> 'h' AND i.active = 1";
const HAND_OVER: &str =
    "UPDATE person_identifier SET person_key = value ->> 'k' FROM {rows} WHERE number_hash = value ->> 'h' AND active = 1";
const ADD: &str = "INSERT INTO person_identifier (number_hash, person_key, number, class, active, event_id, since) \
     SELECT value ->> 'h', value ->> 'k', value ->> 'n', value ->> 'c', 1, value ->> 'e', $2 FROM {rows}";
const REMARK: &str = "UPDATE source_record SET remarks = value ->> 'm' FROM {rows} WHERE reference_id = value ->> 'r'";

/// A record's claim to a number.
struct Claim {
    number: Number,
    event: String,
}

/// A record and what stands beside it.
struct Filed {
    person: usize,
    reference: String,
    remarks: String,
    claim: Option<Claim>,
}

impl StoreIndex {
    /// Derives everything about persons from their records again. Where two of them give one number, the first has it.
    pub(super) async fn rebuild(&self, tx: &mut Tx, persons: &[&PersonKey]) -> Result<(), Fault> {
        self.derive(tx, persons).await.map_err(|error| error.fault())
    }

    async fn derive(&self, tx: &mut Tx, persons: &[&PersonKey]) -> Result<(), Error> {
        let (mut seats, mut filed) = self.filed(tx, persons).await?;
        let owners = self.owners(tx, persons, &filed).await?;
        let mut remarks = Vec::new();
        for record in &mut filed {
            let Some(claim) = &record.claim else { continue };
            let theirs = owners.get(&claim.number.hash).is_some_and(|owner| owner == persons[record.person].as_str());
            let mut words: BTreeSet<&str> = record.remarks.split(' ').filter(|word| !word.is_empty()).collect();
            let changed = if theirs { words.remove(OTHER_NAME) } else { words.insert(OTHER_NAME) };
            if changed {
                let text = words.into_iter().collect::<Vec<_>>().join(" ");
                remarks.push(json!({"r": record.reference, "m": text}));
            }
            let gives =
                |heard: &&mut Heard| heard.statement.number.as_ref().is_some_and(|number| number.hash == claim.number.hash);
            for heard in seats[record.person].heard.iter_mut().filter(gives) {
                heard.doubted |= !theirs;
            }
        }
        write::run(tx, REMARK, remarks, "r", &[]).await?;
        self.put(tx, &seats).await
    }

    /// The records of each person, and which numbers they claim.
    async fn filed(&self, tx: &mut Tx, persons: &[&PersonKey]) -> Result<(Vec<Seat>, Vec<Filed>), Error> {
        let mut seats: Vec<Seat> = persons.iter().map(|key| Seat::known((*key).clone(), 0)).collect();
        let mut filed = Vec::new();
        let rows: Value = persons.iter().map(|key| json!({"k": key})).collect();
        for row in tx.read(OF, &[Arg::from(&rows)]).await? {
            let key = row.text(0);
            let Some(person) = persons.iter().position(|known| known.as_str() == key) else { continue };
            seats[person].seq = row.int(1);
            let Some(sealed) = row.optional_text(8) else { continue };
            let statement = self.lore.open(&row.text(7), &sealed)?;
            let heard = Heard { statement, system: row.text(3).into(), at: row.int(4), doubted: false };
            let claim = heard.statement.number.clone().map(|number| Claim { number, event: row.text(6) });
            filed.push(Filed { person, reference: row.text(2), remarks: row.text(5), claim });
            seats[person].heard.push(heard);
        }
        Ok((seats, filed))
    }

    /// Who holds each claimed number from now on: a stranger who does already, else the first person that claims it.
    async fn owners(&self, tx: &mut Tx, persons: &[&PersonKey], filed: &[Filed]) -> Result<BTreeMap<String, String>, Error> {
        let mut claims: BTreeMap<&str, (usize, &Claim)> = BTreeMap::new();
        for (person, claim) in filed.iter().filter_map(|record| Some((record.person, record.claim.as_ref()?))) {
            let slot = claims.entry(&claim.number.hash).or_insert((person, claim));
            if person < slot.0 {
                *slot = (person, claim);
            }
        }
        let rows: Value = claims.keys().map(|hash| json!({"h": hash})).collect();
        let holders = tx.read(HOLDERS, &[Arg::from(&rows)]).await?;
        let mut owners: BTreeMap<String, String> = holders.iter().map(|row| (row.text(0), row.text(1))).collect();
        let (mut moved, mut added) = (Vec::new(), Vec::new());
        for (hash, (person, claim)) in claims {
            let claimant = persons[person].as_str();
            match owners.get(hash) {
                Some(holder) if holder == claimant || !persons.iter().any(|key| key.as_str() == holder) => continue,
                Some(_) => moved.push(json!({"h": hash, "k": claimant})),
                None => {
                    let sealed = self.lore.keys.seal(lore::NUMBER, &claim.number.text)?;
                    added
                        .push(json!({"h": hash, "k": claimant, "n": sealed, "c": claim.number.class.as_str(), "e": claim.event}));
                }
            }
            owners.insert(hash.to_owned(), claimant.to_owned());
        }
        write::run(tx, HAND_OVER, moved, "h", &[]).await?;
        write::run(tx, ADD, added, "h", &[clock::millis().into()]).await?;
        Ok(owners)
    }

    async fn put(&self, tx: &mut Tx, seats: &[Seat]) -> Result<(), Error> {
        let mut golden = Vec::new();
        for seat in seats {
            let sealed = golden::seal(&self.lore.keys, &golden::golden(&self.lore.rules, &seat.voices()))?;
            golden.push(json!({"k": seat.key, "p": sealed, "seq": seat.seq.to_string()}));
        }
        write::run(tx, write::CHANGE_PERSONS, golden, "k", &[]).await.map(|_| ())
    }
}
