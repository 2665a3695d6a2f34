//! [`StoreIndex`]: the person index over the store.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::{
    Evidence, IdentityKeys, PersonIndex, PersonQuery, Resolution,
    cache::KeyCache,
    keys::WRONG_KEY,
    matcher::{Matcher, Verdict},
    plan::{Decision, Plan, number_remark},
    standard::Standard,
    write::{self, LostRace},
};
use crate::{
    envelope::PersonKey,
    store::{Arg, Error, Row, Store, Tx},
};

/// How often a batch looks again after another router was faster. Each loss means that somebody else moved on.
const TRIES: u32 = 20;
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Numbers and references remembered: about 60 MB when full.
const CACHE: u64 = 150_000;
/// What is sealed to recognise the keys.
const KEY_CHECK: &str = "civilhub person index";

const RETIRED: &str = "SELECT r.old_key FROM {rows} JOIN person_redirect r ON r.old_key = value ->> 'k'";
const PUT_CHECK: &str = "INSERT INTO identity_key_check (name, sealed) SELECT $1, $2 WHERE 1 = 1 ON CONFLICT DO NOTHING";

/// Something that everybody who holds a key must hear: `person_key` took the place of `other_key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityEvent {
    pub id: String,
    pub kind: String,
    pub person_key: PersonKey,
    pub other_key: PersonKey,
    /// The record that showed it.
    pub event_id: String,
    pub at: i64,
}

/// The deterministic index, with a [`Matcher`] behind it.
pub struct StoreIndex {
    store: Store,
    keys: IdentityKeys,
    matcher: Box<dyn Matcher>,
    cache: KeyCache,
    keys_checked: OnceCell<()>,
}

impl StoreIndex {
    /// An index over migrated tables. Does not touch the store.
    pub fn new(store: Store, keys: IdentityKeys, matcher: Box<dyn Matcher>) -> Self {
        Self { store, keys, matcher, cache: KeyCache::new(CACHE), keys_checked: OnceCell::new() }
    }

    /// Makes sure that the keys are those the index was made with; the first use of an empty index settles them.
    /// [`PersonIndex::resolve`] does it by itself before anything else.
    ///
    /// # Errors
    /// They are others: going on would find nobody and make every person a second time.
    pub async fn check_keys(&self) -> Result<(), Error> {
        let hash = self.keys.number_hash(KEY_CHECK);
        if self.settled("hmac", hash.clone()).await? != hash {
            let text = format!("{WRONG_KEY}: the hub's keys are not those that the person index was made with");
            return Err(Error::Failed(text));
        }
        let sealed = self.settled("aes", self.keys.seal("check", KEY_CHECK)?).await?;
        self.keys.open("check", &sealed).map(|_| ())
    }

    /// The check value under `name`; `value` if there was none yet.
    async fn settled(&self, name: &str, value: String) -> Result<String, Error> {
        self.store.write(PUT_CHECK, &[Arg::from(name), Arg::Text(value)]).await?;
        let rows = self.store.read("SELECT sealed FROM identity_key_check WHERE name = $1", &[Arg::from(name)]).await?;
        Ok(rows.first().map(|row| row.text(0)).unwrap_or_default())
    }

    /// The oldest events that the bus does not have yet. Publish, await the confirms, then call [`Self::published`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn outbox(&self, limit: i64) -> Result<Vec<IdentityEvent>, Error> {
        let sql = "SELECT id, kind, person_key, other_key, event_id, at FROM identity_event WHERE published = 0 ORDER BY at, id LIMIT $1";
        let event = |row: Row| IdentityEvent {
            id: row.text(0),
            kind: row.text(1),
            person_key: row.text(2).into(),
            other_key: row.text(3).into(),
            event_id: row.text(4),
            at: row.int(5),
        };
        Ok(self.store.read(sql, &[Arg::Int(limit)]).await?.into_iter().map(event).collect())
    }

    /// Marks events as published; a crash before it publishes them again under the same id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn published(&self, ids: &[String]) -> Result<(), Error> {
        let rows: Value = ids.iter().map(|id| json!({"id": id})).collect();
        let sql = "UPDATE identity_event SET published = 1 WHERE id IN (SELECT value ->> 'id' FROM {rows})";
        self.store.write(sql, &[Arg::from(&rows)]).await.map(|_| ())
    }

    /// The key that counts today for a key that was given out at any time.
    ///
    /// # Errors
    /// The store failed.
    pub async fn current(&self, key: &PersonKey) -> Result<PersonKey, Error> {
        let sql = "SELECT new_key FROM person_redirect WHERE old_key = $1";
        let rows = self.store.read(sql, &[Arg::from(key.as_str())]).await?;
        Ok(rows.first().map_or_else(|| key.clone(), |row| row.text(0).into()))
    }

    /// Answers from the cache, as far as it reaches and no key of it has retired.
    async fn cached(&self, asked: &[Standard]) -> Result<Vec<Option<PersonKey>>, Error> {
        let mut found: Vec<Option<PersonKey>> = asked.iter().map(|asked| self.cache.find(asked)).collect();
        let distinct: HashSet<&PersonKey> = found.iter().flatten().collect();
        if distinct.is_empty() {
            return Ok(found);
        }
        let rows: Value = distinct.into_iter().map(|key| json!({"k": key})).collect();
        let retired = self.store.read(RETIRED, &[Arg::from(&rows)]).await?;
        let retired: HashSet<PersonKey> = retired.into_iter().map(|row| row.text(0).into()).collect();
        for (place, asked) in found.iter_mut().zip(asked) {
            if place.as_ref().is_some_and(|key| retired.contains(key)) {
                self.cache.forget(asked);
                *place = None;
            }
        }
        Ok(found)
    }

    /// One look-up, plan and write; `None` when another router was faster.
    async fn attempt(&self, asked: &[&Standard]) -> Result<Option<Vec<Resolution>>, Error> {
        let mut tx = self.store.begin().await?;
        let mut plan = Plan::default();
        write::find(&mut tx, &wanted(asked), &self.keys, &mut plan).await?;
        let mut verdicts = self.verdicts(&mut tx, asked, &mut plan).await?;
        let decisions: Vec<Decision> =
            asked.iter().zip(&mut verdicts).map(|(asked, verdict)| plan.decide(asked, verdict.take())).collect();
        if !plan.is_empty() {
            if let Err(LostRace) = write::write(&mut tx, &plan, &self.keys).await? {
                return Ok(None);
            }
            let key = |person: usize| plan.persons[plan.root(person)].key.clone();
            let decided: Vec<_> = decisions.iter().zip(asked).map(|(decision, asked)| (key(decision.person), *asked)).collect();
            self.matcher.learn(&mut tx, &decided).await?;
            tx.commit().await?;
            if !plan.merges.is_empty() || !plan.reviews.is_empty() {
                tracing::info!(
                    merged = plan.merges.len(),
                    reviews = plan.reviews.len(),
                    "identity: persons joined or put to review"
                );
            }
        }
        Ok(Some(asked.iter().zip(decisions).map(|(asked, decision)| self.answer(&plan, asked, decision)).collect()))
    }

    /// Asks the matcher about what number and reference leave open.
    async fn verdicts<'a>(
        &self,
        tx: &mut Tx,
        asked: &[&'a Standard],
        plan: &mut Plan<'a>,
    ) -> Result<Vec<Option<Verdict>>, Error> {
        let open: Vec<usize> = (0..asked.len()).filter(|place| plan.is_undecided(asked[*place])).collect();
        let mut verdicts = vec![None; asked.len()];
        if open.is_empty() {
            return Ok(verdicts);
        }
        let questions: Vec<&Standard> = open.iter().map(|place| asked[*place]).collect();
        for (place, verdict) in open.into_iter().zip(self.matcher.decide(tx, &questions).await?) {
            verdicts[place] = Some(verdict);
        }
        let named = verdicts.iter().filter_map(|verdict| match verdict {
            Some(Verdict::Same { key, .. } | Verdict::Review { key, .. }) if !plan.knows(key) => Some(key),
            _ => None,
        });
        let named: Vec<&PersonKey> = named.collect();
        if !named.is_empty() {
            write::find_keys(tx, &named, &self.keys, plan).await?;
        }
        Ok(verdicts)
    }

    /// The resolution of a committed decision, remembered in the cache.
    fn answer(&self, plan: &Plan<'_>, asked: &Standard, decision: Decision) -> Resolution {
        let person = &plan.persons[plan.root(decision.person)];
        if plan.is_linked(asked, decision.person) {
            self.cache.put_reference(&asked.reference_id, &person.key);
        }
        if let Some(number) = asked.evidence().filter(|number| person.numbers.contains(&number.hash)) {
            self.cache.put_number(&number.hash, &person.key, &person.profile);
        }
        let Decision { evidence, created, remarks, .. } = decision;
        Resolution { key: person.key.clone(), evidence, created, remarks }
    }

    async fn resolve_missing(&self, asked: &[&Standard]) -> Result<Vec<Resolution>, Error> {
        for tried in 1..=TRIES {
            match self.attempt(asked).await {
                Ok(Some(resolutions)) => return Ok(resolutions),
                Ok(None) => {}
                Err(error) if is_transient(&error) && tried < TRIES => {}
                Err(error) => return Err(error),
            }
            let pause = LONGEST_PAUSE.min(Duration::from_millis(2 << tried.min(8)));
            // Two routers that met must not meet again.
            let share: f64 = rand::random_range(0.5..1.0);
            tokio::time::sleep(pause.mul_f64(share)).await;
        }
        Err(Error::Failed(format!("the batch lost {TRIES} races for its persons")))
    }
}

#[async_trait]
impl PersonIndex for StoreIndex {
    async fn resolve(&self, batch: &[PersonQuery]) -> Result<Vec<Resolution>, Error> {
        self.keys_checked.get_or_try_init(|| self.check_keys()).await?;
        let asked: Vec<Standard> = batch.iter().map(|query| Standard::of(query, &self.keys)).collect();
        let found = self.cached(&asked).await?;
        let missing: Vec<&Standard> =
            asked.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(asked, _)| asked).collect();
        let mut rest = if missing.is_empty() { Vec::new() } else { self.resolve_missing(&missing).await? }.into_iter();
        let mut resolutions = Vec::with_capacity(batch.len());
        for (asked, found) in asked.iter().zip(found) {
            match found {
                Some(key) => resolutions.push(remembered(key, asked)),
                None => resolutions.extend(rest.next()),
            }
        }
        Ok(resolutions)
    }
}

fn remembered(key: PersonKey, asked: &Standard) -> Resolution {
    let evidence = if asked.evidence().is_some() { Evidence::Number } else { Evidence::Reference };
    Resolution { key, evidence, created: false, remarks: number_remark(asked).into_iter().collect() }
}

/// Distinct number hashes and reference ids of a batch, as look-up rows.
fn wanted(asked: &[&Standard]) -> Value {
    let numbers: HashSet<&String> = asked.iter().filter_map(|asked| asked.evidence()).map(|number| &number.hash).collect();
    let references: HashSet<&String> = asked.iter().map(|asked| &asked.reference_id).collect();
    let numbers = numbers.into_iter().map(|hash| json!({"n": hash}));
    numbers.chain(references.into_iter().map(|id| json!({"r": id}))).collect()
}

/// Serialization failure and deadlock of PostgreSQL, a busy database of SQLite: nothing was kept, try again.
fn is_transient(error: &Error) -> bool {
    let Error::Failed(text) = error else { return false };
    ["code 40001,", "code 40P01,", "code 5,", "code 517,"].iter().any(|code| text.contains(code))
}
