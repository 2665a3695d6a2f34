//! Reconcile: every person reference of a batch gets its key from the master person index, in one call.

use serde_json::{Map, Value, json};

use super::{Fate, Item};
use crate::{
    domain::keyed_hash::KeyedHash,
    envelope::{Event, Op, PersonKey, Quality},
    identity::{Family, PersonIndex, PersonQuery},
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
    households(items, index).await
}

/// Files the families of a batch, after their members have keys, and fills in the keys of their households.
async fn households(items: &mut [Item], index: &dyn PersonIndex) -> Result<(), Error> {
    let of = |(number, item): (usize, &Item)| Some((number, family(&item.event)?));
    let open = items.iter().enumerate().filter(|(_, item)| matches!(item.fate, Fate::Open));
    let (places, families): (Vec<usize>, Vec<Family>) = open.filter_map(of).unzip();
    if families.is_empty() {
        return Ok(());
    }
    for (number, key) in places.into_iter().zip(index.households(&families).await?) {
        if let Some(record) = items[number].event.data.record.as_object_mut() {
            record.insert("household_key".to_owned(), Value::String(key));
        }
    }
    Ok(())
}

/// The family that a record of the dataset `household` describes.
fn family(event: &Event) -> Option<Family> {
    if event.dataset().as_str() != "household" || event.op() == Some(Op::Delete) {
        return None;
    }
    let record = event.data.record.as_object()?;
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let member = |member: &Value| {
        let relation = member["relation"].as_str().unwrap_or_default();
        Some((PersonKey::new(member["person_key"].as_str()?), relation.to_owned()))
    };
    Some(Family {
        system: event.system(),
        reference: text("household_ref").unwrap_or(&event.subject).to_owned(),
        division: event.division.clone(),
        head: PersonKey::new(text("head_person_key")?),
        members: record.get("members")?.as_array()?.iter().filter_map(member).collect(),
        event: event.id.clone(),
    })
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
        address: owned(stated.address),
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
