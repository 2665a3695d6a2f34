//! Holding rules against facts: what is due, or everything.

use std::{collections::BTreeMap, time::Duration};

use rust_decimal::{Decimal, prelude::ToPrimitive};
use rustc_hash::FxHashSet;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    gather::{Batch, Seen, Unit, concerned, gather, nameless, rows},
    rule::Rule,
};
use crate::{
    adapter::map::MapRuntime,
    clock,
    config::keys::Keys,
    domain::keyed_hash::KeyedHash,
    error::Fault,
    facts::alert::{self, Alert, id_of},
    store::{Error, Store},
};

/// Changed facts that are taken up at once, and persons whose facts are read at once.
const DUE: i64 = 256;
const PERSONS: i64 = 400;
/// Pause when nothing is due, and before a failed batch is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Facts named as evidence, at most.
const SHOWN: usize = 10;

/// The rules, and what they need to run.
pub struct Engine {
    store: Store,
    keys: Keys,
    rules: Vec<Rule>,
}

/// What a rule, or all of them, found.
#[derive(Debug, Default)]
pub struct Found {
    pub alerts: BTreeMap<String, Alert>,
    /// Conditions that failed, the first of each rule.
    pub failed: BTreeMap<String, Fault>,
    /// Records that were looked at.
    pub looked: usize,
}

impl Engine {
    pub fn new(store: Store, keys: Keys, rules: Vec<Rule>) -> Self {
        Self { store, keys, rules }
    }

    /// Works on what is due until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let more = match self.step().await {
                Ok(more) => more,
                Err(error) => {
                    tracing::warn!(%error, "supervision is tried again");
                    false
                }
            };
            if !more {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }

    /// Works on all that is due now; the number of alerts that hold.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn drain(&self) -> Result<(), Error> {
        while self.step().await? {}
        Ok(())
    }

    /// One batch of changed facts; false when nothing was due.
    async fn step(&self) -> Result<bool, Error> {
        let sql = "SELECT object_id, due FROM fact WHERE due > 0 ORDER BY due, object_id LIMIT $1";
        let due: Vec<(String, i64)> =
            self.store.read(sql, &[DUE.into()]).await?.iter().map(|row| (row.text(0), row.int(1))).collect();
        if due.is_empty() {
            return Ok(false);
        }
        let objects: Vec<String> = due.iter().map(|(object, _)| object.clone()).collect();
        let (persons, nameless) = (concerned(&self.store, &objects).await?, nameless(&self.store, &objects).await?);
        let batch = gather(&self.store, &self.keys, &persons, &nameless).await?;
        let found = self.judge(&batch);
        let gone = self.gone(&persons, &objects, &found).await?;
        let mut tx = self.store.begin().await?;
        alert::file(&mut tx, &found.alerts.into_values().collect::<Vec<_>>()).await?;
        alert::gone(&mut tx, &gone).await?;
        let rows: Vec<Value> = due.iter().map(|(object, due)| json!([object, due])).collect();
        // What changed meanwhile has another time, and stays due.
        let sql = "UPDATE fact SET due = 0 WHERE object_id IN (SELECT value ->> 0 FROM {rows}) \
                   AND due = (SELECT CAST(value ->> 1 AS BIGINT) FROM {rows} WHERE value ->> 0 = fact.object_id)";
        tx.execute(sql, &[Value::Array(rows).to_string().into()]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Open alerts of these persons and objects that no rule finds any more.
    async fn gone(&self, persons: &[String], objects: &[String], found: &Found) -> Result<Vec<String>, Error> {
        let sql = "SELECT id, rule FROM alert WHERE state = 'open' AND ((person_key <> '' AND person_key IN (SELECT value ->> 0 FROM {rows})) \
                   OR (person_key = '' AND object_id IN (SELECT value ->> 0 FROM {rows})))";
        let open = self.store.read(sql, &[rows(persons.iter().chain(objects)).into()]).await?;
        let ours = |rule: &str| self.rules.iter().any(|known| known.form.id == rule) && !found.failed.contains_key(rule);
        let over = open.iter().filter(|row| ours(&row.text(1)) && !found.alerts.contains_key(&row.text(0)));
        Ok(over.map(|row| row.text(0)).collect())
    }

    /// Holds the rules against everything that is stored; files nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn backtest(&self) -> Result<Found, Error> {
        let mut all = Found::default();
        let persons = "SELECT DISTINCT value FROM fact_link WHERE kind = 'person' AND value > $1 ORDER BY value LIMIT $2";
        let alone = "SELECT f.object_id FROM fact f WHERE f.object_id > $1 AND NOT EXISTS (SELECT 1 FROM fact_link l \
                     WHERE l.object_id = f.object_id AND l.kind = 'person') ORDER BY f.object_id LIMIT $2";
        for (sql, named) in [(persons, true), (alone, false)] {
            let mut last = String::new();
            loop {
                let page = self.store.read(sql, &[last.clone().into(), PERSONS.into()]).await?;
                let ids: Vec<String> = page.iter().map(|row| row.text(0)).collect();
                let Some(end) = ids.last() else { break };
                last.clone_from(end);
                let (persons, objects) = if named { (ids, Vec::new()) } else { (Vec::new(), ids) };
                let found = self.judge(&gather(&self.store, &self.keys, &persons, &objects).await?);
                all.looked += found.looked;
                all.failed.extend(found.failed);
                for (id, alert) in found.alerts {
                    all.alerts.entry(id).or_insert(alert);
                }
            }
        }
        Ok(all)
    }

    fn judge(&self, batch: &Batch) -> Found {
        let mut runtime = MapRuntime::new(&KeyedHash::new(&self.keys.hmac), clock::now());
        let mut found = Found::default();
        for unit in &batch.units {
            let present: FxHashSet<&str> = unit
                .facts
                .iter()
                .map(|(place, _)| &batch.facts[*place])
                .filter(|fact| !fact.deleted)
                .map(|fact| fact.dataset.as_str())
                .collect();
            let rules: Vec<&Rule> = self.rules.iter().filter(|rule| present.contains(rule.form.of.as_str())).collect();
            if !rules.is_empty() {
                judge_unit(&rules, batch, unit, &mut runtime, &mut found);
            }
        }
        found
    }
}

/// Holds the rules against one person's facts.
fn judge_unit(rules: &[&Rule], batch: &Batch, unit: &Unit, runtime: &mut MapRuntime, found: &mut Found) {
    let mut by_dataset: Map<String, Value> = Map::new();
    for (place, own) in &unit.facts {
        let fact = &batch.facts[*place];
        let list = by_dataset.entry(fact.dataset.clone()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.push(shown(fact, *own));
        }
    }
    let mut input = json!({ "fact": null, "facts": by_dataset, "person": unit.person });
    for rule in rules {
        for (place, own) in &unit.facts {
            let fact = &batch.facts[*place];
            if fact.dataset != rule.form.of || fact.deleted {
                continue;
            }
            found.looked += 1;
            input["fact"] = shown(fact, *own);
            match rule.hits(runtime, &input) {
                Ok(Some(evidence)) => {
                    let alert = alert_of(rule, fact, unit, batch, &evidence);
                    found.alerts.entry(alert.id.clone()).or_insert(alert);
                }
                Ok(None) => {}
                Err(fault) => drop(found.failed.entry(rule.form.id.clone()).or_insert(fault)),
            }
        }
    }
}

/// A fact as conditions see it.
fn shown(fact: &Seen, own: bool) -> Value {
    let mut body = fact.body.clone();
    if let Value::Object(fields) = &mut body {
        fields.insert("id".to_owned(), json!(fact.object_id));
        fields.insert("system".to_owned(), json!(fact.system));
        fields.insert("division".to_owned(), json!(fact.division));
        fields.insert("own".to_owned(), json!(own));
        fields.insert("deleted".to_owned(), json!(fact.deleted));
    }
    body
}

fn alert_of(rule: &Rule, fact: &Seen, unit: &Unit, batch: &Batch, evidence: &[Value]) -> Alert {
    let named = |place: &usize| {
        let fact = &batch.facts[*place];
        evidence.iter().any(|shown| shown["id"] == fact.object_id.as_str())
            || evidence.is_empty() && rule.form.evidence.contains(&fact.dataset)
    };
    let shown: Vec<Value> = unit
        .facts
        .iter()
        .map(|(place, _)| place)
        .filter(|place| named(place))
        .take(SHOWN)
        .map(|place| &batch.facts[*place])
        .map(|fact| json!({ "dataset": fact.dataset, "system": fact.system, "subject": fact.subject, "event_id": fact.event_id }))
        .collect();
    Alert {
        id: id_of(&rule.form.id, &fact.object_id),
        rule: rule.form.id.clone(),
        severity: json!(rule.form.severity).as_str().unwrap_or_default().to_owned(),
        owner: rule.owner_of(&fact.division),
        state: "open".to_owned(),
        person_key: unit.person.clone(),
        dataset: fact.dataset.clone(),
        system: fact.system.clone(),
        subject: fact.subject.clone(),
        division: fact.division.clone(),
        object_id: fact.object_id.clone(),
        event_id: fact.event_id.clone(),
        evidence: Value::Array(shown),
        amount: rule.form.amount.as_deref().map_or(0, |field| fen(&fact.body[field])),
        at: 0,
        reason: String::new(),
    }
}

/// An amount in fen; what is none counts nothing.
fn fen(amount: &Value) -> i64 {
    let amount = amount.as_str().and_then(|text| text.parse::<Decimal>().ok()).unwrap_or_default();
    (amount * Decimal::ONE_HUNDRED).to_i64().unwrap_or(0)
}
