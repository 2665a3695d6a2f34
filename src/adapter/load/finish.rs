//! The end of a full load: nothing, deletions, or a halt until somebody decides.
//!
//! Every step can be repeated: what a load has come to stands in `full_load`, and deletions go out in batches under ids
//! that are derived from the load and the key, before their keys are forgotten.

use serde_json::{Map, Value, json};

use super::{LOAD_HELD, book::Gone, held};
use crate::{
    adapter::{
        map::Mapped,
        run::HandOver,
        source::{BadRow, Batch, Row},
    },
    clock,
    envelope::Op,
    error::Fault,
    store::{Arg, Error},
    telemetry::record,
};

/// Deletions of one transaction.
const BATCH: i64 = 512;

/// A load that has come to its end.
#[derive(Clone)]
struct Ended {
    id: String,
    keys: String,
    file: String,
    state: String,
    sequence: i64,
    occurred_at: String,
    unread: i64,
    max_drop: i64,
}

/// Takes every ended or released load of an object to its end. False if cancelled before.
pub async fn finish(hand_over: &mut HandOver, object: &str) -> Result<bool, Error> {
    for load in ended(hand_over, object).await? {
        let deleting = if load.state == "ended" { decide(hand_over, object, &load).await? } else { Some(load) };
        if let Some(load) = deleting
            && !delete(hand_over, object, &load).await?
        {
            return Ok(false);
        }
    }
    let system = hand_over.spec.slug.clone();
    record::loads_held(&system, held::count(&hand_over.shared.store, system.as_str()).await?);
    Ok(true)
}

async fn ended(hand_over: &HandOver, object: &str) -> Result<Vec<Ended>, Error> {
    let sql = "SELECT id, keys, file, state, sequence, occurred_at, unread, max_drop FROM full_load \
               WHERE system = $1 AND object = $2 AND state IN ('ended', 'deleting') ORDER BY sequence, id";
    let rows = hand_over.shared.store.read(sql, &[hand_over.spec.slug.as_str().into(), object.into()]).await?;
    let load = |row: &crate::store::Row| Ended {
        id: row.text(0),
        keys: row.text(1),
        file: row.text(2),
        state: row.text(3),
        sequence: row.int(4),
        occurred_at: row.text(5),
        unread: row.int(6),
        max_drop: row.int(7),
    };
    Ok(rows.iter().map(load).collect())
}

/// Compares a load with what was known. Gives it back when its deletions may be made.
async fn decide(hand_over: &mut HandOver, object: &str, load: &Ended) -> Result<Option<Ended>, Error> {
    let (sequence, occurred_at) = match load.sequence {
        // A file without a row has no time of its own.
        i64::MIN => (clock::millis(), clock::rfc3339(clock::now().to_offset(clock::CHINA))),
        known => (known, load.occurred_at.clone()),
    };
    let load = Ended { sequence, occurred_at, ..load.clone() };
    let (known, vanished) = count(hand_over, &load).await?;
    let too_many = i128::from(vanished) * 1_000_000 > i128::from(load.max_drop) * i128::from(known);
    let state = match (vanished, too_many || load.unread > 0) {
        (0, _) => "done",
        (_, true) => "held",
        (_, false) => "deleting",
    };
    if state == "held" {
        let halt = Batch { bad: vec![alert(object, &load, known, vanished)], ..Batch::default() };
        if !hand_over.batch(&halt, None).await? {
            return Ok(None);
        }
        tracing::warn!(system = %hand_over.spec.slug, object, code = %LOAD_HELD, rows = vanished, "a full load is held");
    }
    settle(hand_over, object, &load, state, (known, vanished)).await?;
    Ok((state == "deleting").then_some(load))
}

/// Keys before the load, and those of them that it did not have and that are older than it.
async fn count(hand_over: &HandOver, load: &Ended) -> Result<(i64, i64), Error> {
    let sql = "SELECT CAST(COUNT(*) AS BIGINT), \
               CAST(COALESCE(SUM(CASE WHEN load_id <> $3 AND sequence < $4 THEN 1 ELSE 0 END), 0) AS BIGINT) \
               FROM load_key WHERE system = $1 AND keys = $2 AND first_load <> $3";
    let args = [hand_over.spec.slug.as_str().into(), load.keys.as_str().into(), load.id.as_str().into(), load.sequence.into()];
    let rows = hand_over.shared.store.read(sql, &args).await?;
    Ok(rows.first().map_or((0, 0), |row| (row.int(0), row.int(1))))
}

/// Stores the decision; older loads of the same keys that are still held have lost their meaning.
async fn settle(
    hand_over: &HandOver,
    object: &str,
    load: &Ended,
    state: &str,
    (known, vanished): (i64, i64),
) -> Result<(), Error> {
    let system = hand_over.spec.slug.as_str();
    let mut tx = hand_over.shared.store.begin().await?;
    let args: [Arg; 9] = [
        system.into(),
        object.into(),
        load.id.as_str().into(),
        state.into(),
        known.into(),
        vanished.into(),
        load.sequence.into(),
        load.occurred_at.as_str().into(),
        clock::millis().into(),
    ];
    let sql = "UPDATE full_load SET state = $4, known = $5, vanished = $6, sequence = $7, occurred_at = $8, at = $9 \
               WHERE system = $1 AND object = $2 AND id = $3 AND state = 'ended'";
    tx.execute(sql, &args).await?;
    let older =
        "UPDATE full_load SET state = 'superseded' WHERE system = $1 AND keys = $2 AND id <> $3 AND state IN ('held', 'reading')";
    tx.execute(older, &[system.into(), load.keys.as_str().into(), load.id.as_str().into()]).await?;
    tx.commit().await
}

fn alert(object: &str, load: &Ended, known: i64, vanished: i64) -> BadRow {
    let why = match load.unread {
        0 => String::new(),
        unread => format!(", and {unread} rows could not be read"),
    };
    let fault = Fault::new(LOAD_HELD, format!("the full load is held: {vanished} of {known} keys vanished{why}"))
        .in_file(load.file.as_str())
        .expected(format!("at most {} % vanished, and every row readable", load.max_drop as f64 / 10_000.0))
        .hint(format!("nothing was deleted; see `civilhub adapter load list`, then `release` or `drop` {}", load.id));
    let origin = format!("{}#load", load.id);
    BadRow { object: object.to_owned(), origin, faults: vec![fault], raw: String::new() }
}

/// Makes the deletions of a load, batch by batch. False if cancelled before.
async fn delete(hand_over: &mut HandOver, object: &str, load: &Ended) -> Result<bool, Error> {
    loop {
        let gone = vanished(hand_over, load).await?;
        if gone.is_empty() {
            let sql = "UPDATE full_load SET state = 'done', at = $4 WHERE system = $1 AND object = $2 AND id = $3 AND state = 'deleting'";
            let args = [hand_over.spec.slug.as_str().into(), object.into(), load.id.as_str().into(), clock::millis().into()];
            hand_over.shared.store.write(sql, &args).await?;
            return Ok(true);
        }
        let bookdate = clock::iso_date(clock::today());
        let events = gone.iter().map(|(id, gone)| hand_over.maker.make(mapped(load, gone), &row(object, load, id), &bookdate));
        let events = events.collect();
        if !hand_over.publish(events).await? {
            return Ok(false);
        }
        forget(hand_over, object, load, &gone, &bookdate).await?;
    }
}

async fn vanished(hand_over: &HandOver, load: &Ended) -> Result<Vec<(String, Gone)>, Error> {
    let sql = "SELECT id, sealed FROM load_key WHERE system = $1 AND keys = $2 AND load_id <> $3 AND sequence < $4 ORDER BY id LIMIT $5";
    let args = [
        hand_over.spec.slug.as_str().into(),
        load.keys.as_str().into(),
        load.id.as_str().into(),
        load.sequence.into(),
        BATCH.into(),
    ];
    let rows = hand_over.shared.store.read(sql, &args).await?;
    let open = |row: &crate::store::Row| {
        let plain = hand_over.shared.keys.open(&row.text(1));
        let gone = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        let lost = || Error::Failed("a key of a full load was sealed with another key file".to_owned());
        Ok((row.text(0), gone.ok_or_else(lost)?))
    };
    rows.iter().map(open).collect()
}

fn mapped(load: &Ended, gone: &Gone) -> Mapped {
    Mapped {
        dataset: gone.dataset.as_str().into(),
        op: Op::Delete,
        key: gone.key.clone(),
        division: gone.division.clone(),
        occurred_at: load.occurred_at.clone(),
        sequence: load.sequence,
        partition: gone.partition.clone(),
        purpose: gone.purpose.clone(),
        authorization: gone.authorization.clone(),
        record: gone.record.clone(),
        quality: Vec::new(),
        index: 0,
    }
}

fn row(object: &str, load: &Ended, id: &str) -> Row {
    Row {
        object: object.to_owned(),
        origin: format!("{}#gone/{id}", load.id),
        file: load.file.clone(),
        number: 0,
        data: Value::Object(Map::new()),
        meta: Value::Object(Map::new()),
    }
}

/// The bus has the deletions: their keys go, and are counted once, whoever was first.
async fn forget(hand_over: &HandOver, object: &str, load: &Ended, gone: &[(String, Gone)], bookdate: &str) -> Result<(), Error> {
    let system = hand_over.spec.slug.as_str();
    let rows: Vec<Value> = gone.iter().map(|(id, _)| json!([id])).collect();
    let mut tx = hand_over.shared.store.begin().await?;
    let sql = "DELETE FROM load_key WHERE system = $2 AND keys = $3 AND load_id <> $4 AND sequence < $5 \
               AND id IN (SELECT value ->> 0 FROM {rows})";
    let args: [Arg; 5] = [
        Value::Array(rows).to_string().into(),
        system.into(),
        load.keys.as_str().into(),
        load.id.as_str().into(),
        load.sequence.into(),
    ];
    let count = tx.execute(sql, &args).await?;
    hand_over.count(&mut tx, bookdate, usize::try_from(count).unwrap_or(usize::MAX), 0).await?;
    let sql = "UPDATE full_load SET deleted = deleted + $4 WHERE system = $1 AND object = $2 AND id = $3";
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    tx.execute(sql, &[system.into(), object.into(), load.id.as_str().into(), count.into()]).await?;
    tx.commit().await
}
