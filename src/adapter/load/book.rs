//! The keys of loads in the store: noted with the position of the batch that had them, by statements for whole batches.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Load;
use crate::{
    adapter::{map::Mapped, source::Row},
    clock,
    config::keys::Keys,
    domain::keyed_hash::KeyedHash,
    envelope::{Op, System},
    store::{Arg, Error, Tx},
};

/// What a deletion must say; sealed in the store.
#[derive(Serialize, Deserialize)]
pub struct Gone {
    pub dataset: String,
    pub key: String,
    pub division: String,
    pub partition: Option<String>,
    pub purpose: Option<String>,
    pub authorization: Option<String>,
    /// The fields of the record that hold its key: receivers find their copy by them.
    pub record: Value,
}

/// The keys of one batch.
#[derive(Default)]
pub struct Notes {
    /// The last word about each key of the batch, by its id: the store must not be told twice in one statement.
    said: BTreeMap<String, Said>,
    /// Rows that are there but could not be mapped, by their id.
    unmapped: Vec<String>,
    newest: Option<(i64, String)>,
}

struct Said {
    row: String,
    sequence: i64,
    /// None when the source deleted it.
    gone: Option<Gone>,
}

impl Notes {
    /// A row that was mapped.
    pub fn mapped(&mut self, hash: &KeyedHash, key: &[String], row: &Row, outputs: &[Mapped]) {
        let row = row_id(hash, key, &row.data);
        for output in outputs.iter().filter(|output| output.op != Op::Event) {
            let id = hash.hex(&format!("load\n{}\n{}", output.dataset, output.key));
            let gone = (output.op == Op::Upsert).then(|| gone(output));
            let said = Said { row: row.clone(), sequence: output.sequence, gone };
            if self.said.get(&id).is_none_or(|before| before.sequence <= said.sequence) {
                self.said.insert(id, said);
            }
            if self.newest.as_ref().is_none_or(|(newest, _)| *newest < output.sequence) {
                self.newest = Some((output.sequence, output.occurred_at.clone()));
            }
        }
    }

    /// A row that could not be mapped: what it became before is not gone.
    pub fn unmapped(&mut self, hash: &KeyedHash, key: &[String], data: &Value) {
        self.unmapped.push(row_id(hash, key, data));
    }
}

fn row_id(hash: &KeyedHash, key: &[String], data: &Value) -> String {
    let values: Vec<&Value> = key.iter().map(|column| &data[column.as_str()]).collect();
    hash.hex(&format!("row\n{}", json!(values)))
}

fn gone(output: &Mapped) -> Gone {
    let holds = |value: &Value| value.as_str().is_some_and(|text| !output.key.is_empty() && text.contains(&output.key));
    let fields = output.record.as_object().into_iter().flatten().filter(|(_, value)| holds(value));
    let record: Map<String, Value> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    Gone {
        dataset: output.dataset.as_str().to_owned(),
        key: output.key.clone(),
        division: output.division.clone(),
        partition: output.partition.clone(),
        purpose: output.purpose.clone(),
        authorization: output.authorization.clone(),
        record: Value::Object(record),
    }
}

/// Whose keys are written.
pub struct Book<'a> {
    pub system: &'a System,
    pub object: &'a str,
    pub load: &'a Load,
    pub keys: &'a Keys,
}

impl Book<'_> {
    /// Notes a batch: its keys, the rows nobody could read, and whether the load has come to its end.
    pub async fn note(&self, tx: &mut Tx, notes: &Notes, unread: usize) -> Result<(), Error> {
        self.upserts(tx, notes).await?;
        self.deletes(tx, notes).await?;
        if let Some(full) = &self.load.full {
            self.unmapped(tx, notes, full).await?;
            self.progress(tx, notes, full, unread).await?;
        }
        Ok(())
    }

    async fn upserts(&self, tx: &mut Tx, notes: &Notes) -> Result<(), Error> {
        let row = |(id, said): (&String, &Said)| {
            let sealed = self.keys.seal(&serde_json::to_vec(said.gone.as_ref()?).unwrap_or_default());
            Some(json!([id, said.row, said.sequence, sealed]))
        };
        let rows: Vec<Value> = notes.said.iter().filter_map(row).collect();
        if rows.is_empty() {
            return Ok(());
        }
        // A delta leaves the mark of the full load, and older news leave what is known.
        let sql = "INSERT INTO load_key (system, keys, id, row_id, load_id, first_load, sequence, sealed) \
             SELECT $2, $3, value ->> 0, value ->> 1, $4, $4, CAST(value ->> 2 AS BIGINT), value ->> 3 FROM {rows} WHERE true \
             ON CONFLICT (system, keys, id) DO UPDATE SET \
             load_id = CASE WHEN excluded.load_id = '' THEN load_key.load_id ELSE excluded.load_id END, row_id = excluded.row_id, \
             sealed = CASE WHEN excluded.sequence >= load_key.sequence THEN excluded.sealed ELSE load_key.sealed END, \
             sequence = CASE WHEN excluded.sequence >= load_key.sequence THEN excluded.sequence ELSE load_key.sequence END";
        let full = self.load.full.clone().unwrap_or_default();
        tx.execute(sql, &[Value::Array(rows).to_string().into(), self.system.as_str().into(), self.keys_name(), full.into()])
            .await
            .map(drop)
    }

    async fn deletes(&self, tx: &mut Tx, notes: &Notes) -> Result<(), Error> {
        let gone = notes.said.iter().filter(|(_, said)| said.gone.is_none());
        let rows: Vec<Value> = gone.map(|(id, said)| json!([id, said.sequence])).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let sql = "DELETE FROM load_key WHERE system = $2 AND keys = $3 AND EXISTS (SELECT 1 FROM {rows} \
             WHERE value ->> 0 = load_key.id AND CAST(value ->> 1 AS BIGINT) >= load_key.sequence)";
        tx.execute(sql, &[Value::Array(rows).to_string().into(), self.system.as_str().into(), self.keys_name()]).await.map(drop)
    }

    async fn unmapped(&self, tx: &mut Tx, notes: &Notes, full: &str) -> Result<(), Error> {
        if notes.unmapped.is_empty() {
            return Ok(());
        }
        let rows: Vec<Value> = notes.unmapped.iter().map(|row| json!([row])).collect();
        let sql =
            "UPDATE load_key SET load_id = $4 WHERE system = $2 AND keys = $3 AND row_id IN (SELECT value ->> 0 FROM {rows})";
        tx.execute(sql, &[Value::Array(rows).to_string().into(), self.system.as_str().into(), self.keys_name(), full.into()])
            .await
            .map(drop)
    }

    async fn progress(&self, tx: &mut Tx, notes: &Notes, full: &str, unread: usize) -> Result<(), Error> {
        let (sequence, occurred_at) = notes.newest.clone().unwrap_or((i64::MIN, String::new()));
        let args: [Arg; 11] = [
            self.system.as_str().into(),
            self.object.into(),
            full.into(),
            self.keys_name(),
            self.load.file.as_str().into(),
            if self.load.ended { "ended" } else { "reading" }.into(),
            sequence.into(),
            occurred_at.into(),
            i64::try_from(unread).unwrap_or(i64::MAX).into(),
            self.load.max_drop.into(),
            clock::millis().into(),
        ];
        let sql = "INSERT INTO full_load (system, object, id, keys, file, state, sequence, occurred_at, unread, max_drop, known, vanished, deleted, at, note) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, $11, '') \
             ON CONFLICT (system, object, id) DO UPDATE SET state = excluded.state, unread = full_load.unread + excluded.unread, at = excluded.at, \
             occurred_at = CASE WHEN excluded.sequence > full_load.sequence THEN excluded.occurred_at ELSE full_load.occurred_at END, \
             sequence = CASE WHEN excluded.sequence > full_load.sequence THEN excluded.sequence ELSE full_load.sequence END \
             WHERE full_load.state = 'reading'";
        tx.execute(sql, &args).await.map(drop)
    }

    fn keys_name(&self) -> Arg {
        self.load.keys.as_str().into()
    }
}
