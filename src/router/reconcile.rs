//! Reconcile: every person reference of a batch gets its key from the master person index, in one call.

use serde_json::{Map, Value, json};

use super::{Fate, Item};
use crate::{
    domain::keyed_hash::KeyedHash,
    envelope::{Event, PersonKey, Quality},
    identity::{PersonIndex, PersonQuery},
    schema::{DatasetSchema, PersonSlot, SchemaRegistry},
    store::Error,
};

/// Fills the person keys into all records that are still open. Keys are committed when this returns.
pub(crate) async fn reconcile(
    items: &mut [Item],
    registry: &SchemaRegistry,
    index: &dyn PersonIndex,
    hash: &KeyedHash,
) -> Result<(), Error> {
    let mut queries = Vec::new();
    let mut places: Vec<(usize, PersonSlot, String)> = Vec::new();
    for (number, item) in items.iter().enumerate().filter(|(_, item)| matches!(item.fate, Fate::Open)) {
        let Some(schema) = registry.get(&item.event.dataschema) else { continue };
        for (slot, pointer, query) in questions(&item.event, schema) {
            queries.push(query);
            places.push((number, slot, pointer));
        }
    }
    if queries.is_empty() {
        return Ok(());
    }
    let answers = index.resolve(&queries).await?;
    for ((number, slot, pointer), answer) in places.into_iter().zip(answers) {
        let item = &mut items[number];
        item.event.data.quality.extend(answer.remarks.into_iter().map(|remark| placed(remark, &slot, &pointer)));
        item.persons.push(answer.key.as_str().to_owned());
        fill(&mut item.event, &slot, &pointer, &answer.key, hash);
    }
    Ok(())
}

/// One question for each place in the record that says anything about a person.
fn questions(event: &Event, schema: &DatasetSchema) -> Vec<(PersonSlot, String, PersonQuery)> {
    let mut questions = Vec::new();
    for slot in &schema.persons {
        for (pointer, object) in slot.each(&event.data.record) {
            if let Some(query) = question(event, slot, &pointer, object) {
                questions.push((slot.clone(), pointer, query));
            }
        }
    }
    questions
}

fn question(event: &Event, slot: &PersonSlot, pointer: &str, object: &Map<String, Value>) -> Option<PersonQuery> {
    let stated = slot.stated(object);
    if !stated.is_somebody() {
        return None;
    }
    // Without a reference of the system's own, the place in the source object stands for the person.
    let place = || format!("{}:{}#{pointer}/{}", event.dataset(), event.subject, slot.fields.key);
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Some(PersonQuery {
        system: event.system(),
        reference: stated.reference.map_or_else(place, str::to_owned),
        name: owned(stated.name),
        number: owned(stated.number),
        birth_date: owned(stated.birth_date),
        sex: owned(stated.sex),
        phone: owned(stated.phone),
        event: event.id.clone(),
    })
}

/// The index speaks of `number` and `name`; the record calls them by its own names, list items without their index.
fn placed(remark: Quality, slot: &PersonSlot, pointer: &str) -> Quality {
    let own = match remark.field.as_str() {
        "number" => slot.fields.number.as_deref(),
        "name" => slot.fields.name.as_deref(),
        _ => None,
    };
    let parts = pointer.split('/').filter(|part| !part.is_empty() && part.parse::<usize>().is_err());
    let field: Vec<&str> = parts.chain([own.unwrap_or(&remark.field)]).collect();
    Quality { field: field.join("."), ..remark }
}

fn fill(event: &mut Event, slot: &PersonSlot, pointer: &str, key: &PersonKey, hash: &KeyedHash) {
    slot.set_key(&mut event.data.record, pointer, key);
    let of_person = event.dataset().as_str() == "person" && pointer.is_empty();
    let source = json!([{ "system": event.system().as_str(), "key": event.subject }]);
    if let (true, Some(record)) = (of_person, event.data.record.as_object_mut()) {
        if let Some(number) = slot.stated(record).number.map(|number| hash.hex(number)) {
            record.insert("id_number_hash".to_owned(), Value::String(number));
        }
        record.entry("alive").or_insert(Value::Bool(true));
        record.insert("source_refs".to_owned(), source);
    }
}
