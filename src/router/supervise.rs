//! What a batch leaves for supervision: the facts that rules ask for, and the findings of the watch over cases.

use super::{Fate, Item, fence::object_id};
use crate::{
    config::keys::Keys,
    domain::keyed_hash::KeyedHash,
    envelope::Op,
    facts::{self, Fact, alert},
    store::{Error, Tx},
};

/// Stores facts and alerts of the records that passed; part of the batch's own transaction.
pub(super) async fn note(tx: &mut Tx, keys: &Keys, hash: &KeyedHash, decided: &[&Item]) -> Result<(), Error> {
    let passed = || decided.iter().filter(|item| matches!(item.fate, Fate::Dispatched(_)));
    let kept: Vec<Fact> =
        passed().filter_map(|item| Fact::of(&item.event, &object_id(&item.event), &item.persons, hash)).collect();
    facts::store(tx, keys, &kept).await?;
    let alerts: Vec<alert::Alert> = passed().flat_map(|item| found(item)).collect();
    alert::file(tx, &alerts).await
}

fn found(item: &Item) -> Vec<alert::Alert> {
    let (event, object) = (&item.event, object_id(&item.event));
    if event.op() == Some(Op::Delete) {
        return Vec::new();
    }
    let made = |flag: &crate::cases::Flag| alert::Alert {
        id: alert::id_of(&format!("{}/{}", flag.rule, flag.evidence), &object),
        rule: flag.rule.to_owned(),
        severity: flag.severity.to_owned(),
        owner: event.division.clone(),
        state: "open".to_owned(),
        person_key: item.persons.first().cloned().unwrap_or_default(),
        dataset: event.dataset().as_str().to_owned(),
        system: event.system().as_str().to_owned(),
        subject: event.subject.clone(),
        division: event.division.clone(),
        object_id: object.clone(),
        event_id: event.id.as_str().to_owned(),
        evidence: flag.evidence.clone(),
        amount: 0,
        at: 0,
        reason: String::new(),
    };
    item.flags.iter().map(made).collect()
}
