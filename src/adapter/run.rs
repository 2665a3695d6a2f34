//! The loop of one source object: read, map, publish, and only then store the position.
//!
//! A death between confirm and commit publishes the batch again under the same ids and occurrences; the router knows them.

use std::{
    hash::{Hash, Hasher},
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::FutureExt;
use rustc_hash::FxHasher;
use serde_json::json;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    event::EventMaker,
    load::{self, book, finish},
    map::MapRuntime,
    source::{
        BadRow, Batch, Position, Row, Source,
        http_push::{Accepted, Intake, IntakeError},
    },
    spec::AdapterSpec,
};
use crate::{
    bus::{
        Bus, Message, Route,
        send::{Ordered, publish_all},
    },
    clock,
    config::keys::Keys,
    dead::{self, Letter, State},
    domain::keyed_hash::KeyedHash,
    envelope::{Event, Occurrence, System},
    error::{Code, Fault},
    ledger::{Entry, Kind, chain::Chain},
    store::{Error, Store, Tx},
    telemetry::{
        export::{self, Lap},
        record,
        stage::{Stage, Step},
        trace,
    },
};

/// A row of an object that the adapter does not know.
pub const NO_PROGRAM: Code = Code::new(3040);

/// A pushed record could not be made durable; the sender is asked to send it again.
pub const NOT_TAKEN: Code = Code::new(2201);

/// Rows of one read: a full batch for each of two router partitions.
const BATCH: usize = 1024;
/// First and longest pause after a source failed.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// What all objects of all adapters share.
#[derive(Clone)]
pub struct Shared {
    pub bus: Arc<dyn Bus>,
    pub store: Store,
    pub keys: Keys,
    pub cancel: CancellationToken,
}

/// Takes rows of one system to the bus and keeps its account.
pub struct HandOver {
    pub(super) spec: Arc<AdapterSpec>,
    pub(super) maker: EventMaker,
    hash: KeyedHash,
    runtime: MapRuntime,
    chain: Chain,
    pub(super) shared: Shared,
    /// When the next batch was read, for its trace.
    reading: Option<Lap>,
}

/// Rows after mapping.
#[derive(Default)]
struct Mapped {
    /// Day of the books of all of them. The bus may be away over midnight: what is counted later counts for this day.
    bookdate: String,
    events: Vec<Event>,
    letters: Vec<Letter>,
    /// Keys of a full load or a delta.
    notes: book::Notes,
}

impl HandOver {
    /// `writer` names the ledger chain: one per source object.
    pub async fn new(spec: Arc<AdapterSpec>, writer: &str, shared: Shared) -> Result<Self, Error> {
        let chain =
            Chain::open(&shared.store, &format!("adapter.{}.{writer}", spec.slug), Arc::clone(&shared.keys.ledger)).await?;
        let hash = KeyedHash::new(&shared.keys.hmac);
        let runtime = MapRuntime::new(&hash, clock::now());
        Ok(Self { maker: EventMaker::new(spec.slug.clone(), hash.clone()), hash, runtime, chain, spec, shared, reading: None })
    }

    /// Publishes a batch and, when the bus has all of it, stores the position and counts. `false` if cancelled before.
    /// `from` is the object and the position that the batch was read from; pushed rows have none.
    pub async fn batch(&mut self, batch: &Batch, from: Option<(&str, &Position)>) -> Result<bool, Error> {
        let read = self.reading.take().unwrap_or_else(Lap::begin);
        let map = Lap::begin();
        let mapped = self.map(batch);
        let map = map.end();
        self.measure(batch, &mapped);
        let publish = Lap::begin();
        if !self.send(&mapped.events).await {
            return Ok(false);
        }
        export::mapped(&self.spec.slug, batch.rows.len(), &mapped.events, read, map, publish.end());
        let result = self.commit(&mapped, batch, from).await;
        match result {
            Ok(()) => self.chain.committed(),
            Err(_) => self.chain.reload(&self.shared.store).await?,
        }
        result.map(|()| true)
    }

    /// Publishes events that no row gave. `false` if cancelled before.
    pub(super) async fn publish(&self, mut events: Vec<Event>) -> Result<bool, Error> {
        trace::stamp(&mut events);
        Ok(self.send(&events).await)
    }

    async fn send(&self, events: &[Event]) -> bool {
        let messages = events.iter().map(ordered).collect();
        let sent = publish_all(self.shared.bus.as_ref(), messages, &self.shared.cancel).await;
        if sent {
            record::records_published(&self.spec.slug, events.len());
        }
        sent
    }

    fn measure(&self, batch: &Batch, mapped: &Mapped) {
        record::rows_read(&self.spec.slug, batch.rows.len() + batch.bad.len());
        record::rows_refused(&self.spec.slug, Stage::Map, mapped.letters.len() - batch.bad.len());
        record::rows_refused(&self.spec.slug, Stage::Decode, batch.bad.len());
    }

    fn map(&mut self, batch: &Batch) -> Mapped {
        let step = Step::new(Stage::Map).system(&self.spec.slug).records(batch.rows.len());
        let mut mapped = step.scope(|| self.map_rows(batch));
        trace::stamp(&mut mapped.events);
        mapped
    }

    fn map_rows(&mut self, batch: &Batch) -> Mapped {
        let bookdate = clock::iso_date(clock::today());
        let mut mapped = Mapped { bookdate: bookdate.clone(), ..Mapped::default() };
        self.runtime.set_clock(clock::now());
        for row in &batch.rows {
            let outputs = match self.spec.mapper(&row.object) {
                Some(mapper) => mapper.run(&mut self.runtime, row),
                None => Err(vec![
                    Fault::new(NO_PROGRAM, format!("the adapter has no object `{}`", row.object)).hint("add it to adapter.toml"),
                ]),
            };
            if batch.load.is_some() {
                let key = self.spec.object(&row.object).map_or(&[][..], |object| &object.key);
                match &outputs {
                    Ok(outputs) => mapped.notes.mapped(&self.hash, key, row, outputs),
                    Err(_) => mapped.notes.unmapped(&self.hash, key, &row.data),
                }
            }
            match outputs {
                Ok(outputs) => mapped.events.extend(outputs.into_iter().map(|output| self.maker.make(output, row, &bookdate))),
                Err(faults) => mapped.letters.push(self.letter("map", row, faults, &bookdate)),
            }
        }
        mapped.letters.extend(batch.bad.iter().map(|bad| self.bad_letter(bad, &bookdate)));
        mapped
    }

    async fn commit(&mut self, mapped: &Mapped, batch: &Batch, from: Option<(&str, &Position)>) -> Result<(), Error> {
        let mut tx = self.shared.store.begin().await?;
        if let Some((object, before)) = from {
            save_position(&mut tx, &self.spec.slug, object, (before, &batch.next)).await?;
        }
        if let (Some(load), Some((object, _))) = (&batch.load, from) {
            let book = book::Book { system: &self.spec.slug, object, load, keys: &self.shared.keys };
            book.note(&mut tx, &mapped.notes, batch.bad.len()).await?;
        }
        // A refused row that comes again from the same place is the same letter, and counts once.
        let refused_rows = dead::file(&mut tx, &self.shared.keys, &mapped.letters).await?.new;
        let records = match from {
            Some(_) => occurrences(&mapped.events),
            None => fresh(&mut tx, &mapped.events).await?,
        };
        self.count(&mut tx, &mapped.bookdate, records, refused_rows).await?;
        let entries: Vec<Entry> = mapped.letters.iter().map(refused).collect();
        self.chain.append(&mut tx, &entries).await?;
        tx.commit().await
    }

    pub(super) async fn count(&self, tx: &mut Tx, bookdate: &str, records: usize, refused: usize) -> Result<(), Error> {
        if records + refused == 0 {
            return Ok(());
        }
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let args = [self.spec.slug.as_str().into(), bookdate.into(), number(records).into(), number(refused).into()];
        tx.execute(
            "INSERT INTO handed_over (system, bookdate, records, refused) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (system, bookdate) DO UPDATE SET records = handed_over.records + excluded.records, refused = handed_over.refused + excluded.refused",
            &args,
        )
        .await?;
        Ok(())
    }

    fn letter(&self, stage: &str, row: &Row, faults: Vec<Fault>, bookdate: &str) -> Letter {
        let bad = BadRow { object: row.object.clone(), origin: row.origin.clone(), faults, raw: String::new() };
        Letter { body: row.data.to_string().into_bytes(), stage: stage.to_owned(), ..self.bad_letter(&bad, bookdate) }
    }

    /// A row that gave no event: its id comes from its place, so that reading it again files it once.
    fn bad_letter(&self, bad: &BadRow, bookdate: &str) -> Letter {
        let place = Occurrence::derive(&self.spec.slug.as_str().into(), &format!("{}/{}", bad.object, bad.origin));
        Letter {
            id: place.as_str().to_owned(),
            state: State::Rejected,
            stage: "decode".to_owned(),
            subscription: String::new(),
            partition_key: place.as_str().to_owned(),
            event_id: place.as_str().to_owned(),
            occurrence: place.as_str().to_owned(),
            system: self.spec.slug.as_str().to_owned(),
            bookdate: bookdate.to_owned(),
            dataset: bad.object.clone(),
            division: String::new(),
            faults: bad.faults.clone(),
            body: bad.raw.clone().into_bytes(),
            place: None,
        }
    }
}

fn ordered(event: &Event) -> Ordered {
    let mut hasher = FxHasher::default();
    event.partitionkey.hash(&mut hasher);
    let route = Route::Records { topic: event.routing_key(), key: event.partitionkey.clone() };
    Ordered {
        message: Message { route, id: event.id.as_str().to_owned(), body: event.to_bytes().into() },
        order: hasher.finish(),
    }
}

fn refused(letter: &Letter) -> Entry {
    let codes: Vec<String> = letter.faults.iter().map(|fault| fault.code.to_string()).collect();
    Entry {
        kind: Kind::Rejected,
        event_id: letter.event_id.clone(),
        system: letter.system.clone(),
        bookdate: letter.bookdate.clone(),
        dataset: letter.dataset.clone(),
        body: json!({ "occurrence": letter.occurrence, "stage": letter.stage, "codes": codes }),
    }
}

/// The unit of the books: one place at the source may give the same record twice.
fn occurrences(events: &[Event]) -> usize {
    events.iter().map(|event| &event.occurrence).collect::<std::collections::HashSet<_>>().len()
}

/// Of pushed records, how many were not accepted before: a sender that did not hear the answer sends again.
async fn fresh(tx: &mut Tx, events: &[Event]) -> Result<usize, Error> {
    let rows: Vec<_> = events.iter().map(|event| json!([event.occurrence.as_str()])).collect();
    let sql = "INSERT INTO push_counted (occurrence, at) SELECT value ->> 0, $2 FROM {rows} WHERE true ON CONFLICT DO NOTHING RETURNING occurrence";
    Ok(tx.read(sql, &[serde_json::Value::Array(rows).to_string().into(), clock::millis().into()]).await?.len())
}

/// Moves a position, if it is still where the batch was read from: another reader of the same object (the process before
/// this one, which has not ended yet) has counted its records otherwise, and they would be counted twice.
async fn save_position(tx: &mut Tx, system: &System, object: &str, (before, next): (&Position, &Position)) -> Result<(), Error> {
    let args = [system.as_str().into(), object.into(), (&next.0).into(), clock::millis().into(), (&before.0).into()];
    let sql = "INSERT INTO position (system, object, position, updated_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (system, object) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at \
               WHERE position.position = $5";
    if tx.execute(sql, &args).await? == 0 {
        return Err(Error::Failed(format!("the position of `{object}` was moved by another reader")));
    }
    Ok(())
}

async fn load_position(store: &Store, system: &System, object: &str) -> Result<Position, Error> {
    let rows = store
        .read("SELECT position FROM position WHERE system = $1 AND object = $2", &[system.as_str().into(), object.into()])
        .await?;
    Ok(rows.first().and_then(|row| serde_json::from_str(&row.text(0)).ok()).unwrap_or_default())
}

/// One polled system with its schedule. Its objects are read in the order of the adapter, each to its end: what a payment
/// file says comes before what the return file says about it.
pub struct Poller {
    pub objects: Vec<(String, Box<dyn Source>)>,
    pub spec: Arc<AdapterSpec>,
    pub shared: Shared,
    pub every: Duration,
    /// Set while the system has nothing more to give.
    pub idle: Arc<AtomicBool>,
}

impl Poller {
    /// Polls until cancelled. A system that fails is tried again with growing pauses; the others go on.
    pub async fn run(mut self) {
        let mut pause = PAUSE.0;
        let cancel = self.shared.cancel.clone();
        while !cancel.is_cancelled() {
            let wait = match AssertUnwindSafe(self.turn()).catch_unwind().await {
                Ok(true) => {
                    pause = PAUSE.0;
                    self.every
                }
                _ => {
                    pause = (pause * 2).min(PAUSE.1);
                    pause
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Reads every object to its end. An object that fails does not keep the next one from its turn.
    async fn turn(&mut self) -> bool {
        let mut good = true;
        for (object, source) in &mut self.objects {
            if let Err(reason) = drain(object, source.as_mut(), &self.spec, &self.shared, &self.idle).await {
                tracing::warn!(system = %self.spec.slug, object = object.as_str(), reason, "the source is tried again");
                record::source_failed(&self.spec.slug);
                good = false;
            }
        }
        if good {
            record::source_read(&self.spec.slug);
        }
        self.idle.store(good, Ordering::Release);
        good
    }
}

/// Reads one object until it has nothing more.
async fn drain(
    object: &str,
    source: &mut dyn Source,
    spec: &Arc<AdapterSpec>,
    shared: &Shared,
    idle: &AtomicBool,
) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let mut position = load_position(&shared.store, &spec.slug, object).await.map_err(|error| text(&error))?;
    let mut hand_over = HandOver::new(Arc::clone(spec), object, shared.clone()).await.map_err(|error| text(&error))?;
    let with_loads = spec.object(object).is_some_and(|object| load::has_options(&object.options));
    if with_loads && !finish::finish(&mut hand_over, object).await.map_err(|error| text(&error))? {
        return Ok(());
    }
    while !shared.cancel.is_cancelled() {
        let step = Step::new(Stage::Read).system(&spec.slug);
        let reading = Lap::begin();
        let batch = step.run(source.read(&position, BATCH)).await.map_err(|error| text(&error))?;
        hand_over.reading = Some(reading.end());
        let nothing = batch.rows.is_empty() && batch.bad.is_empty();
        if !nothing {
            idle.store(false, Ordering::Release);
        }
        if !(nothing && batch.next == position) {
            if !hand_over.batch(&batch, Some((object, &position))).await.map_err(|error| text(&error))? {
                return Ok(());
            }
            source.stored(&batch.next).await.map_err(|error| text(&error))?;
            // Before the next file is read: it would mark the same keys.
            let ended = batch.load.as_ref().is_some_and(|load| load.ended);
            if ended && !finish::finish(&mut hand_over, object).await.map_err(|error| text(&error))? {
                return Ok(());
            }
        }
        position = batch.next;
        if !batch.more {
            return Ok(());
        }
    }
    Ok(())
}

/// The receiving end of pushed records: answers only when the bus has them.
pub struct PushIntake {
    systems: std::collections::BTreeMap<System, Mutex<HandOver>>,
}

impl PushIntake {
    pub async fn new(specs: &[Arc<AdapterSpec>], shared: &Shared) -> Result<Self, Error> {
        let mut systems = std::collections::BTreeMap::new();
        for spec in specs {
            systems.insert(spec.slug.clone(), Mutex::new(HandOver::new(Arc::clone(spec), "push", shared.clone()).await?));
        }
        Ok(Self { systems })
    }
}

#[async_trait]
impl Intake for PushIntake {
    async fn accept(&self, system: &System, batch: Batch) -> Result<Accepted, IntakeError> {
        let unavailable = |text: &str| IntakeError::Unavailable(Fault::new(NOT_TAKEN, text).hint("send it again after a pause"));
        let Some(hand_over) = self.systems.get(system) else { return Err(unavailable("the system is not served here")) };
        match hand_over.lock().await.batch(&batch, None).await {
            Ok(true) => Ok(Accepted { rows: batch.rows.len() }),
            Ok(false) => Err(unavailable("the hub is stopping")),
            Err(error) => Err(unavailable(&error.to_string())),
        }
    }
}
