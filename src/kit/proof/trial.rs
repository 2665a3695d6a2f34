//! Which fields are spoiled how, and whether a mapping lets it pass.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Bench, spoil::Spoil};
use crate::{
    adapter::{map::Mapped, source::Row},
    kit::{
        Studied,
        flow::{ANY, Path},
    },
    schema::{DatasetSchema, Field, Kind, SchemaRegistry},
};

/// Every field with what can be wrong with it, by what the program makes of it.
pub(super) fn wanted(one: &Studied<'_>, registry: &SchemaRegistry) -> BTreeSet<(Path, Spoil)> {
    let mut wanted = BTreeSet::new();
    for ((dataset, pointer), sources) in one.flow.lineage() {
        let schema = registry.latest(&dataset.as_str().into());
        let spoil = schema.and_then(|schema| Some((schema, field_at(schema, &pointer)?))).and_then(|(s, f)| of_field(s, f));
        wanted.extend(spoil.into_iter().flat_map(|spoil| sources.iter().map(move |path| (path.clone(), spoil))));
    }
    for output in &one.flow.outputs {
        for (field, spoil) in [("division", Spoil::Division), ("occurred_at", Spoil::Date)] {
            wanted.extend(output.shape.field(field).from.into_iter().map(|path| (path, spoil)));
        }
    }
    for (path, functions) in &one.flow.calls {
        wanted.extend(functions.iter().filter_map(|name| of_function(name)).map(|spoil| (path.clone(), spoil)));
    }
    wanted.extend(one.object.key.iter().map(|name| (Path::row(vec![name.clone()]), Spoil::Key)));
    // A fact of the hub, such as the name of the file, is no field.
    wanted.retain(|(path, _)| !path.parts.is_empty() && (!path.meta || path.parts.first().is_some_and(|part| part == "header")));
    wanted
}

fn field_at<'a>(schema: &'a DatasetSchema, pointer: &str) -> Option<&'a Field> {
    schema.fields.iter().find(|field| field.pointer == pointer)
}

fn of_field(schema: &DatasetSchema, field: &Field) -> Option<Spoil> {
    let number = |slot: &crate::schema::PersonSlot| {
        slot.fields.number.as_ref().is_some_and(|number| field.pointer == format!("{}/{number}", slot.object))
    };
    match &field.kind {
        Kind::Date | Kind::DateTime => Some(Spoil::Date),
        Kind::Money | Kind::Integer | Kind::Number => Some(Spoil::Number),
        Kind::String if schema.persons.iter().any(number) => Some(Spoil::CheckDigit),
        Kind::String if field.name().ends_with("division") || field.name().ends_with("division_code") => Some(Spoil::Division),
        _ => None,
    }
}

fn of_function(name: &str) -> Option<Spoil> {
    match name {
        "resident_id" | "resident_id_birth" | "resident_id_sex" | "resident_id_upgrade" => Some(Spoil::CheckDigit),
        "cn_date" | "cn_time" => Some(Spoil::Date),
        "division" => Some(Spoil::Division),
        "code" => Some(Spoil::Code),
        "fen" | "yuan" => Some(Spoil::Number),
        _ => None,
    }
}

/// Whether the row, spoiled in this field, is still mapped, to something else than before and without a remark more.
pub(super) fn is_silent(bench: &Bench<'_>, row: &Row, path: &Path, spoil: Spoil) -> bool {
    let Ok(good) = bench.map(row) else { return false };
    if good.is_empty() || good.iter().any(|output| !bench.faults_of(output).is_empty()) {
        return false;
    }
    let Some(bad) = spoiled(row, path, spoil) else { return false };
    let Ok(outputs) = bench.map(&bad) else { return false };
    let refused = outputs.iter().any(|output| !bench.faults_of(output).is_empty());
    // A remark less is no wrong value: what is said of the citizen is compared.
    let plain = |output: &Mapped| Mapped { quality: vec![], ..output.clone() }.to_json();
    let said = |outputs: &[Mapped]| outputs.iter().map(plain).collect::<Vec<_>>();
    !refused && said(&outputs) != said(&good) && !remarked_more(&good, &outputs)
}

/// Whether some remark is made more often than before.
fn remarked_more(before: &[Mapped], after: &[Mapped]) -> bool {
    let count = |outputs: &[Mapped], rule: &str, field: &str| {
        outputs.iter().flat_map(|output| &output.quality).filter(|remark| remark.rule == rule && remark.field == field).count()
    };
    let mut remarks = after.iter().flat_map(|output| &output.quality);
    remarks.any(|remark| count(after, &remark.rule, &remark.field) > count(before, &remark.rule, &remark.field))
}

/// The row with one value spoiled; none if it has no good value there.
fn spoiled(row: &Row, path: &Path, spoil: Spoil) -> Option<Row> {
    let mut bad = row.clone();
    let in_header = !path.meta && path.parts.len() == 1 && spoil == Spoil::Key && bad.data.get(path.last()).is_none();
    let place = if in_header {
        bad.meta.get_mut("header")?.get_mut(path.last())?
    } else {
        at(if path.meta { &mut bad.meta } else { &mut bad.data }, &path.parts)?
    };
    *place = spoil.apply(place)?;
    Some(bad)
}

/// The value at a path, in the first item of a list.
fn at<'a>(value: &'a mut Value, parts: &[String]) -> Option<&'a mut Value> {
    let Some((part, rest)) = parts.split_first() else { return Some(value) };
    let inner = match value {
        Value::Array(items) if part == ANY => items.first_mut()?,
        Value::Object(fields) => match part.as_str() {
            ANY => fields.values_mut().next()?,
            name => fields.get_mut(name)?,
        },
        _ => return None,
    };
    at(inner, rest)
}
