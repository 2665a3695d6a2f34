//! Where a record speaks of persons: the keyword `x-person`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::field::Layers;
use crate::{
    envelope::PersonKey,
    error::{Code, Fault},
};

/// `x-person` names a field that its object does not have.
pub const NO_SUCH_FIELD: Code = Code::new(4008);

/// One kind of person reference of a dataset, e.g. the payee of a payment or each member of a household.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonSlot {
    /// Pattern of the objects that refer to a person: empty for the record itself, `/members/*` for list items.
    pub object: String,
    /// Names of the fields inside that object.
    pub fields: PersonFields,
}

/// Field names of `x-person`; only the place of the key is certain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonFields {
    pub name: Option<String>,
    pub number: Option<String>,
    pub birth_date: Option<String>,
    pub sex: Option<String>,
    pub address: Option<String>,
    pub phone: Option<String>,
    /// The system's own stable id of the person.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Where the person key goes.
    pub key: String,
}

/// What one object says about its person. Blank text counts as nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stated<'a> {
    pub name: Option<&'a str>,
    pub number: Option<&'a str>,
    pub birth_date: Option<&'a str>,
    pub sex: Option<&'a str>,
    pub address: Option<&'a str>,
    pub phone: Option<&'a str>,
    pub reference: Option<&'a str>,
}

impl Stated<'_> {
    /// Whether anybody is named at all; an optional agent may be absent.
    pub fn is_somebody(&self) -> bool {
        self.name.is_some() || self.number.is_some() || self.reference.is_some()
    }
}

impl PersonSlot {
    /// Every object of `record` that this slot covers, with its JSON pointer.
    pub fn each<'a>(&self, record: &'a Value) -> Vec<(String, &'a Map<String, Value>)> {
        let mut found = vec![(String::new(), record)];
        for segment in self.object.split('/').skip(1) {
            found = step(found, segment);
        }
        found.into_iter().filter_map(|(pointer, value)| Some((pointer, value.as_object()?))).collect()
    }

    /// What `object` says about its person.
    pub fn stated<'a>(&self, object: &'a Map<String, Value>) -> Stated<'a> {
        let text = |field: &Option<String>| text_of(object, field.as_deref()?);
        let PersonFields { name, number, birth_date, sex, address, phone, reference, .. } = &self.fields;
        Stated {
            name: text(name),
            number: text(number),
            birth_date: text(birth_date),
            sex: text(sex),
            address: text(address),
            phone: text(phone),
            reference: text(reference),
        }
    }

    /// The person key that `object` already carries.
    pub fn key<'a>(&self, object: &'a Map<String, Value>) -> Option<&'a str> {
        text_of(object, &self.fields.key)
    }

    /// Writes the key into the object at `pointer`, one of those that [`Self::each`] gave; false when it is not there.
    pub fn set_key(&self, record: &mut Value, pointer: &str, key: &PersonKey) -> bool {
        let Some(object) = record.pointer_mut(pointer).and_then(Value::as_object_mut) else { return false };
        object.insert(self.fields.key.clone(), Value::from(key.as_str()));
        true
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        let PersonFields { name, number, birth_date, sex, address, phone, reference, key } = &self.fields;
        [name, number, birth_date, sex, address, phone, reference].into_iter().flatten().chain([key])
    }
}

fn text_of<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str).filter(|text| !text.trim().is_empty())
}

fn step<'a>(found: Vec<(String, &'a Value)>, segment: &str) -> Vec<(String, &'a Value)> {
    let mut next = Vec::new();
    for (pointer, value) in found {
        match (segment, value) {
            ("*", Value::Array(items)) => next.extend(items.iter().enumerate().map(|(n, item)| (format!("{pointer}/{n}"), item))),
            (name, Value::Object(fields)) => next.extend(fields.get(name).map(|value| (format!("{pointer}/{name}"), value))),
            _ => {}
        }
    }
    next
}

/// The slots of one object schema; the meta-schema has checked the form of `x-person`.
pub(super) fn slots(object: &str, layers: &Layers<'_>, faults: &mut Vec<Fault>) -> Vec<PersonSlot> {
    let stated = match layers.first("x-person") {
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
        None => return Vec::new(),
    };
    let mut slots = Vec::new();
    for fields in stated.into_iter().filter_map(|fields| serde_json::from_value(fields).ok()) {
        let slot = PersonSlot { object: object.to_owned(), fields };
        for name in slot.names().filter(|name| !layers.has_property(name)) {
            let message = format!("`x-person` names the field `{name}`, which the object does not have");
            faults.push(Fault::new(NO_SUCH_FIELD, message).at_pointer(object).hint("add the property or correct its name"));
        }
        slots.push(slot);
    }
    slots
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slot(object: &str) -> PersonSlot {
        let fields = json!({"name": "name", "number": "id_number", "ref": "ref", "key": "person_key"});
        PersonSlot { object: object.to_owned(), fields: serde_json::from_value(fields).unwrap() }
    }

    #[test]
    fn finds_every_object_and_sets_its_key() {
        let mut record = json!({"members": [{"name": "甲"}, {"name": " ", "id_number": null}], "name": "户"});
        let slot = slot("/members/*");
        let found = slot.each(&record);
        assert_eq!(found.iter().map(|(pointer, _)| pointer.as_str()).collect::<Vec<_>>(), ["/members/0", "/members/1"]);
        assert_eq!(slot.stated(found[0].1).name, Some("甲"));
        assert!(!slot.stated(found[1].1).is_somebody());
        assert!(slot.set_key(&mut record, "/members/1", &PersonKey::from("k")));
        assert_eq!(record["members"][1]["person_key"], "k");
        assert!(!slot.set_key(&mut record, "/members/2", &PersonKey::from("k")));
    }

    #[test]
    fn the_record_itself_and_absent_objects() {
        assert_eq!(slot("").each(&json!({"name": "甲"}))[0].0, "");
        assert!(slot("").each(&json!([])).is_empty());
        assert!(slot("/agent").each(&json!({"name": "甲"})).is_empty());
    }
}
