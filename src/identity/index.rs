//! [`StoreIndex`]: the person index over the store.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

use super::{
    Evidence, IdentityKeys, PersonIndex, PersonQuery, Resolution,
    batch::{Batch, Decision},
    cache::{Link, LinkCache},
    hot::Hot,
    household::{self, Family},
    keys::WRONG_KEY,
    load::{self, Files},
    lore::{Lore, Statement},
    prepare, remark,
    standard::Standard,
    timings::{Part, Timings},
    write,
};
use crate::{
    envelope::PersonKey,
    error::Fault,
    store::{Arg, Error, Row, Store},
};

/// How often a batch looks again after the store could not keep it. Each loss means that somebody else moved on.
const TRIES: u32 = 20;
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Records remembered: about 40 MB when full.
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
    /// The record that showed it, or the decision.
    pub event_id: String,
    pub at: i64,
}

/// The oldest events that nobody has heard of yet.
pub const OUTBOX: &str =
    "SELECT id, kind, person_key, other_key, event_id, at FROM identity_event WHERE published = 0 ORDER BY at, id LIMIT $1";

impl IdentityEvent {
    /// A row of [`OUTBOX`].
    pub fn of(row: &Row) -> Self {
        Self {
            id: row.text(0),
            kind: row.text(1),
            person_key: row.text(2).into(),
            other_key: row.text(3).into(),
            event_id: row.text(4),
            at: row.int(5),
        }
    }
}

/// The index: what each record says of its person, and who that is.
pub struct StoreIndex {
    pub(super) store: Store,
    pub(super) lore: Lore,
    /// Whoever decides has it alone; so the batches of one router do not wait for one another in the store.
    pub(super) hot: Mutex<Hot>,
    cache: LinkCache,
    keys_checked: OnceCell<()>,
    /// Where the time goes.
    pub timings: Timings,
}

impl StoreIndex {
    /// An index over migrated tables. Does not touch the store.
    ///
    /// # Errors
    /// Rules and model do not fit one another.
    pub fn new(store: Store, keys: IdentityKeys) -> Result<Self, Fault> {
        let (lore, cache) = (Lore::new(keys)?, LinkCache::new(CACHE));
        let hot = Mutex::new(Hot::new(&lore.rules));
        Ok(Self { store, lore, hot, cache, keys_checked: OnceCell::new(), timings: Timings::default() })
    }

    /// Makes sure that the keys are those the index was made with; the first use of an empty index settles them.
    /// [`PersonIndex::resolve`] does it by itself before anything else.
    ///
    /// # Errors
    /// They are others: going on would find nobody and make every person a second time.
    pub async fn check_keys(&self) -> Result<(), Error> {
        let hash = self.lore.keys.number_hash(KEY_CHECK);
        if self.settled("hmac", hash.clone()).await? != hash {
            let text = format!("{WRONG_KEY}: the hub's keys are not those that the person index was made with");
            return Err(Error::Failed(text));
        }
        let sealed = self.settled("aes", self.lore.keys.seal("check", KEY_CHECK)?).await?;
        self.lore.keys.open("check", &sealed).map(|_| ())
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
        Ok(self.store.read(OUTBOX, &[Arg::Int(limit)]).await?.iter().map(IdentityEvent::of).collect())
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
    async fn cached(&self, asked: &[Standard]) -> Result<Vec<Option<Link>>, Error> {
        let mut found: Vec<Option<Link>> = asked.iter().map(|asked| self.cache.find(asked)).collect();
        let distinct: HashSet<&PersonKey> = found.iter().flatten().map(|link| &link.key).collect();
        if distinct.is_empty() {
            return Ok(found);
        }
        let rows: Value = distinct.into_iter().map(|key| json!({"k": key})).collect();
        let retired = self.store.read(RETIRED, &[Arg::from(&rows)]).await?;
        let retired: HashSet<PersonKey> = retired.into_iter().map(|row| row.text(0).into()).collect();
        for (place, asked) in found.iter_mut().zip(asked) {
            if place.as_ref().is_some_and(|link| retired.contains(&link.key)) {
                self.cache.forget(asked);
                *place = None;
            }
        }
        Ok(found)
    }

    /// Records that say nothing new, from the store: nothing is to be decided, and nobody waits.
    async fn on_file(&self, asked: &[Standard], found: &mut [Option<Link>]) -> Result<Files, Error> {
        let open: Vec<usize> = (0..asked.len()).filter(|place| found[*place].is_none()).collect();
        let references = open.iter().map(|place| asked[*place].reference_id.as_str());
        let files = Files::read(&self.store, &self.lore, references).await?;
        for place in open {
            let Some(on_file) = files.by_reference.get(&asked[place].reference_id) else { continue };
            let statement = on_file.statement.as_ref().filter(|statement| statement.said.covers(&asked[place].said));
            if let Some(statement) = statement.map(Arc::clone) {
                let link = Link { key: on_file.key.clone(), remarks: on_file.remarks.clone(), statement };
                self.cache.put(&asked[place], link.clone());
                found[place] = Some(link);
            }
        }
        Ok(files)
    }

    /// Decides and writes; nobody else does meanwhile.
    async fn attempt(&self, asked: &[(&Standard, Arc<Statement>)], files: &Files) -> Result<Vec<Resolution>, Error> {
        let clock = self.timings.clock();
        let mut hot = self.hot.lock().await;
        if hot.turn.is_none() {
            *hot = prepare::build(&self.store, &self.lore, &|_, _| {}).await?;
        }
        let mut tx = self.store.begin().await?;
        let turn = write::hold(&mut tx).await?;
        let clock = self.timings.lap(Part::Wait, clock);
        prepare::catch_up(&mut tx, &self.lore, &mut hot, turn).await?;
        let again = match files.turn == turn {
            true => None,
            false => {
                let references = asked.iter().map(|(asked, _)| asked.reference_id.as_str());
                Some(Files::read_again(&mut tx, &self.lore, references).await?)
            }
        };
        let mut batch = load::load(&mut tx, (&self.lore, &*hot), asked, again.as_ref().unwrap_or(files)).await?;
        let clock = self.timings.lap(Part::Load, clock);
        let decisions: Vec<Decision> = asked.iter().map(|(asked, statement)| batch.decide(asked, statement)).collect();
        let clock = self.timings.lap(Part::Decide, clock);
        if !batch.is_empty() {
            write::write(&mut tx, &mut batch, &self.lore).await?;
            let clock = self.timings.lap(Part::Write, clock);
            tx.commit().await?;
            let clock = self.timings.lap(Part::Commit, clock);
            hot.follow(&batch, &self.lore.rules, turn + 1);
            self.timings.lap(Part::Follow, clock);
            let (merged, reviews) = (batch.merges.len(), batch.asks.len());
            if merged + reviews > 0 {
                tracing::debug!(merged, reviews, "identity: persons joined or put to review");
            }
        }
        drop(hot);
        Ok(asked.iter().zip(decisions).map(|((asked, _), decision)| self.resolution(&batch, asked, decision)).collect())
    }

    fn resolution(&self, batch: &Batch<'_>, asked: &Standard, decision: Decision) -> Resolution {
        let key = batch.person(decision.person).key.clone();
        let known = batch.by_reference.get(&asked.reference_id).filter(|_| decision.is_kept);
        if let Some(statement) = known.and_then(|known| known.statement.clone()) {
            self.cache.put(asked, Link { key: key.clone(), remarks: decision.remarks.join(" "), statement });
        }
        let Decision { evidence, created, remarks, .. } = decision;
        let remarks = remarks.into_iter().map(remark::quality).chain(remark::on_number(asked)).collect();
        Resolution { key, evidence, created, remarks }
    }

    async fn resolve_missing(&self, asked: &[&Standard], files: &Files) -> Result<Vec<Resolution>, Error> {
        let clock = self.timings.clock();
        let asked: Vec<(&Standard, Arc<Statement>)> = asked.iter().map(|asked| (*asked, self.lore.of(asked))).collect();
        self.timings.lap(Part::Standard, clock);
        for tried in 1..=TRIES {
            match self.attempt(&asked, files).await {
                Err(error) if is_transient(&error) && tried < TRIES => {}
                result => return result,
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
        let clock = self.timings.clock();
        let asked: Vec<Standard> = batch.iter().map(|query| Standard::of(query, &self.lore.keys)).collect();
        let clock = self.timings.lap(Part::Standard, clock);
        let mut found = self.cached(&asked).await?;
        let mut files = Files::default();
        if found.iter().any(Option::is_none) {
            files = self.on_file(&asked, &mut found).await?;
            leave_open(&asked, &mut found);
        }
        self.timings.lap(Part::Known, clock);
        let missing: Vec<&Standard> =
            asked.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(asked, _)| asked).collect();
        let mut rest = if missing.is_empty() { Vec::new() } else { self.resolve_missing(&missing, &files).await? }.into_iter();
        let mut resolutions = Vec::with_capacity(batch.len());
        for (asked, found) in asked.iter().zip(found) {
            match found {
                Some(link) => resolutions.push(remembered(&link, asked)),
                None => resolutions.extend(rest.next()),
            }
        }
        Ok(resolutions)
    }

    async fn households(&self, families: &[Family]) -> Result<Vec<String>, Error> {
        household::observe(&self.store, &self.lore.keys, families).await
    }
}

/// When one word of a record is news, all its words of the batch are decided, in their order.
fn leave_open(asked: &[Standard], found: &mut [Option<Link>]) {
    let open = asked.iter().zip(&*found).filter(|(_, found)| found.is_none());
    let open: HashSet<&str> = open.map(|(asked, _)| asked.reference_id.as_str()).collect();
    for (asked, found) in asked.iter().zip(found) {
        if open.contains(asked.reference_id.as_str()) {
            *found = None;
        }
    }
}

fn remembered(link: &Link, asked: &Standard) -> Resolution {
    let evidence = if asked.evidence().is_some() { Evidence::Number } else { Evidence::Reference };
    let remarks = load::remarks(&link.remarks).map(remark::quality).chain(remark::on_number(asked)).collect();
    Resolution { key: link.key.clone(), evidence, created: false, remarks }
}

/// Serialization failure and deadlock of PostgreSQL, a busy database of SQLite: nothing was kept, try again.
fn is_transient(error: &Error) -> bool {
    let Error::Failed(text) = error else { return false };
    ["code 40001,", "code 40P01,", "code 5,", "code 517,"].iter().any(|code| text.contains(code))
}
