//! Reconcile: every person reference of a batch gets its key from the master person index, in one call.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::{Fate, Item};
use crate::{
    envelope::{Event, PersonKey},
    identity::{PersonIndex, PersonQuery},
    schema::{DatasetSchema, PersonSlot, SchemaRegistry},
    store::Error,
};

/// Fills the person keys into all records that are still open. Keys are committed when this returns.
pub(crate) async fn reconcile(items: &mut [Item], registry: &SchemaRegistry, index: &dyn PersonIndex, hmac: &[u8]) -> Result<(), Error> {
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
        item.event.data.quality.extend(answer.remarks);
        item.persons.push(answer.key.as_str().to_owned());
        fill(&mut item.event, &slot, &pointer, &answer.key, hmac);
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
    let text = |field: &Option<String>| -> Option<String> {
        let text = object.get(field.as_ref()?)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let (name, number, own) = (text(&slot.name), text(&slot.number), text(&slot.reference));
    if name.is_none() && number.is_none() && own.is_none() {
        return None;
    }
    // Without a reference of the system's own, the place in the source object stands for the person.
    let reference = own.unwrap_or_else(|| format!("{}:{}#{pointer}/{}", event.dataset(), event.subject, slot.key));
    Some(PersonQuery {
        system: event.system(),
        reference,
        name,
        number,
        birth_date: text(&slot.birth_date),
        sex: text(&slot.sex),
        phone: text(&slot.phone),
        event: event.id.clone(),
    })
}

fn fill(event: &mut Event, slot: &PersonSlot, pointer: &str, key: &PersonKey, hmac: &[u8]) {
    let of_person = event.dataset().as_str() == "person" && pointer.is_empty();
    let source = json!([{ "system": event.system().as_str(), "key": event.subject }]);
    let Some(object) = event.data.record.pointer_mut(pointer).and_then(Value::as_object_mut) else { return };
    object.insert(slot.key.clone(), Value::String(key.as_str().to_owned()));
    if of_person {
        if let Some(number) = slot.number.as_ref().and_then(|field| object.get(field)).and_then(Value::as_str) {
            let hash = keyed_hash(hmac, number);
            object.insert("id_number_hash".to_owned(), Value::String(hash));
        }
        object.entry("alive").or_insert(Value::Bool(true));
        object.insert("source_refs".to_owned(), source);
    }
}

/// HMAC-SHA256 as hex: joins by number without the number.
fn keyed_hash(key: &[u8], text: &str) -> String {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text.as_bytes());
            hex::encode(mac.finalize().into_bytes())
        }
        Err(_) => String::new(),
    }
}
