//! One version of one dataset: its fields, its persons, and the check of a record.

use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::{
    codes::{CodeList, CodeSource},
    fault::{Names, explain},
    field::{Field, Layers, Walk},
    formats::FORMATS,
    meta::BAD_SCHEMA,
    person::PersonSlot,
};
use crate::{
    envelope::Dataset,
    error::{Code, Fault},
};

/// A delivered record names a person and carries no person key.
pub const NO_PERSON_KEY: Code = Code::new(4111);

/// A compiled schema.
#[derive(Debug)]
pub struct DatasetSchema {
    pub dataset: Dataset,
    pub major: u32,
    pub title: String,
    /// Where records of the dataset refer to persons.
    pub persons: Vec<PersonSlot>,
    /// Every property, nested ones after their parent.
    pub fields: Vec<Field>,
    /// The file as it is written.
    pub raw: Value,
    /// The file with every reference replaced by its target: what [`super::diff()`] compares.
    pub inlined: Value,
    validator: Validator,
    names: Names,
}

impl DatasetSchema {
    pub(super) fn compile(
        dataset: Dataset,
        major: u32,
        raw: Value,
        inlined: Value,
        codes: &Arc<dyn CodeSource>,
    ) -> Result<Self, Vec<Fault>> {
        let mut walk = Walk::new(codes.as_ref());
        walk.object("", &Layers::of(&inlined));
        let Walk { fields, persons, mut faults, .. } = walk;
        let validator = match compile(&inlined, codes) {
            Ok(validator) if faults.is_empty() => validator,
            Ok(_) => return Err(faults),
            Err(fault) => {
                faults.push(fault);
                return Err(faults);
            }
        };
        let title = raw.get("title").and_then(Value::as_str).unwrap_or(dataset.as_str()).to_owned();
        let names = Names::of(&fields);
        Ok(Self { dataset, major, title, persons, fields, raw, inlined, validator, names })
    }

    /// `<dataset>/v<major>`, the CloudEvents `dataschema`.
    pub fn id(&self) -> String {
        format!("{}/v{}", self.dataset, self.major)
    }

    /// Fields that hold values themselves.
    pub fn leaves(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.leaf)
    }

    /// Every fault of a record as an adapter publishes it; none when it is valid. No fault quotes the record.
    pub fn validate(&self, record: &Value) -> Vec<Fault> {
        // Nearly every record is valid, and asking only that is several times cheaper than looking for errors.
        if self.validator.is_valid(record) { Vec::new() } else { explain(self.validator.iter_errors(record), &self.names) }
    }

    /// As [`Self::validate`], and every person who is named must have a key: the form in which receivers get records.
    pub fn validate_delivered(&self, record: &Value) -> Vec<Fault> {
        let mut faults = self.validate(record);
        for slot in &self.persons {
            for (pointer, object) in slot.each(record) {
                if slot.stated(object).is_somebody() && slot.key(object).is_none() {
                    let message = format!("the person has no `{}`", slot.fields.key);
                    let fault = Fault::new(NO_PERSON_KEY, message).at_pointer(format!("{pointer}/{}", slot.fields.key));
                    faults.push(fault.hint("the router fills it; deliver only records that have passed the router"));
                }
            }
        }
        faults
    }
}

/// Formats are asserted, unknown ones refused, patterns run in linear time, nothing is fetched.
fn compile(schema: &Value, codes: &Arc<dyn CodeSource>) -> Result<Validator, Fault> {
    let codes = Arc::clone(codes);
    let mut options = jsonschema::draft202012::options()
        .offline()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_pattern_options(PatternOptions::regex())
        .with_keyword("x-codes", move |_, value, _| {
            let list = value.as_str().unwrap_or_default().to_owned();
            Ok(Box::new(CodeList { list, codes: Arc::clone(&codes) }))
        });
    for format in &FORMATS {
        options = options.with_format(format.name, format.check);
    }
    options.build(schema).map_err(|error| Fault::new(BAD_SCHEMA, error.to_string()).at_pointer(error.instance_path().as_str()))
}
