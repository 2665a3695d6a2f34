//! The outputs of a program: checked whole, every fault with a pointer, before any becomes an event.

use serde_json::{Map, Value as Json, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vrl::value::Value;

use super::{
    MapContext, OUTPUT_INVALID, convert,
    diagnose::{self, Source},
    place,
};
use crate::{
    adapter::source::Row,
    clock,
    domain::division,
    envelope::{Dataset, Op, Quality, QualityLevel},
    error::Fault,
};

/// Most outputs of one row.
const MAX_OUTPUTS: usize = 1000;
/// Longest key, partition, purpose or authorization, in bytes.
const MAX_TEXT: usize = 256;
/// Fields an output may have.
const FIELDS: &[&str] = &[
    "dataset",
    "op",
    "key",
    "division",
    "occurred_at",
    "sequence",
    "partition",
    "purpose",
    "authorization",
    "record",
    "quality",
];

/// One checked output of a program.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    pub dataset: Dataset,
    pub op: Op,
    /// The source's own key; may be an identity number.
    pub key: String,
    /// Twelve digits.
    pub division: String,
    /// RFC 3339 with +08:00.
    pub occurred_at: String,
    /// Milliseconds of `occurred_at` unless the program set one.
    pub sequence: i64,
    /// What keeps records in order; none means system, dataset and key.
    pub partition: Option<String>,
    pub purpose: Option<String>,
    pub authorization: Option<String>,
    /// The canonical record, a JSON object.
    pub record: Json,
    pub quality: Vec<Quality>,
    /// Place among the outputs of its row, from 0.
    pub index: usize,
}

impl Mapped {
    /// The output object as golden samples have it; defaults and empty parts are left out.
    pub fn to_json(&self) -> Json {
        let mut output = json!({
            "dataset": self.dataset, "op": self.op, "key": self.key, "division": self.division, "occurred_at": self.occurred_at, "record": self.record,
        });
        if let Json::Object(output) = &mut output {
            if Some(self.sequence) != default_sequence(&self.occurred_at) {
                output.insert("sequence".into(), self.sequence.into());
            }
            for (name, value) in
                [("partition", &self.partition), ("purpose", &self.purpose), ("authorization", &self.authorization)]
            {
                if let Some(value) = value {
                    output.insert(name.into(), value.as_str().into());
                }
            }
            if !self.quality.is_empty() {
                output.insert("quality".into(), json!(self.quality));
            }
        }
        output
    }
}

/// Reads what a program left in `.`.
pub(super) fn read(value: Value, row: &Row, context: &MapContext, source: &Source) -> Result<Vec<Mapped>, Vec<Fault>> {
    let refuse = |pointer: String, message: String, hint: &str| {
        vec![place(
            Fault::new(OUTPUT_INVALID, message)
                .at_pointer(pointer)
                .hint(format!("correct the program `{}`{hint}", source.file())),
            row,
        )]
    };
    let outputs = match convert::to_json(value) {
        Ok(Json::Array(outputs)) => outputs,
        Ok(Json::Null) => vec![],
        Ok(output @ Json::Object(_)) => vec![output],
        Ok(_) => {
            return Err(refuse(String::new(), "the program left neither outputs nor nothing".into(), ": end with `. = [...]`"));
        }
        Err(error) => return Err(refuse(error.pointer, format!("a value {}", error.reason), "")),
    };
    if outputs.len() > MAX_OUTPUTS {
        return Err(refuse(String::new(), format!("the program made more than {MAX_OUTPUTS} outputs of one row"), ""));
    }
    let mut mapped = Vec::with_capacity(outputs.len());
    let mut faults = Vec::new();
    for (index, output) in outputs.into_iter().enumerate() {
        match Reader::new(output, index).read(context) {
            Ok(output) => mapped.push(output),
            Err(found) => faults.extend(
                found.into_iter().map(|fault| place(fault.hint(format!("correct the program `{}`", source.file())), row)),
            ),
        }
    }
    if faults.is_empty() { Ok(mapped) } else { Err(faults) }
}

/// Checks one output given as JSON, as it stands in golden samples.
pub fn from_json(output: Json, index: usize, context: &MapContext) -> Result<Mapped, Vec<Fault>> {
    Reader::new(output, index).read(context)
}

struct Reader {
    fields: Map<String, Json>,
    index: usize,
    faults: Vec<Fault>,
}

impl Reader {
    fn new(output: Json, index: usize) -> Self {
        match output {
            Json::Object(fields) => Self { fields, index, faults: vec![] },
            _ => {
                let fault = Fault::new(OUTPUT_INVALID, "the output is not an object").at_pointer(format!("/{index}"));
                Self { fields: Map::new(), index, faults: vec![fault] }
            }
        }
    }

    fn read(mut self, context: &MapContext) -> Result<Mapped, Vec<Fault>> {
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        self.refuse_unknown();
        let dataset = self.dataset(context);
        let op = self.required("op");
        let op = Op::parse(&op).unwrap_or_else(|| {
            self.fault("op", "the operation is missing or unknown", "`upsert`, `delete` or `event`");
            Op::Event
        });
        let key = self.key();
        let division = self.division();
        let (occurred_at, default_sequence) = self.occurred_at();
        let sequence = self.sequence().unwrap_or(default_sequence);
        let [partition, purpose, authorization] = ["partition", "purpose", "authorization"].map(|name| self.optional(name));
        let record = self.record();
        let quality = self.quality();
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        Ok(Mapped {
            dataset,
            op,
            key,
            division,
            occurred_at,
            sequence,
            partition,
            purpose,
            authorization,
            record,
            quality,
            index: self.index,
        })
    }

    fn fault(&mut self, field: &str, message: &str, expected: &str) {
        self.faults.push(Fault::new(OUTPUT_INVALID, message).at_pointer(format!("/{}/{field}", self.index)).expected(expected));
    }

    fn refuse_unknown(&mut self) {
        let unknown: Vec<String> = self.fields.keys().filter(|name| !FIELDS.contains(&name.as_str())).cloned().collect();
        // A program that forgot to assign `.` leaves the row itself: one fault is enough for all of its columns.
        if unknown.len() > 3 && !self.fields.contains_key("dataset") {
            return;
        }
        for name in unknown {
            let near = diagnose::nearest(&name, FIELDS)
                .map_or_else(|| format!("one of {}", FIELDS.join(", ")), |near| format!("`{near}`"));
            self.fault(&name, "the output has an unknown field", &near);
        }
    }

    /// A text field, empty when missing or not a text.
    fn required(&mut self, name: &str) -> String {
        match self.fields.remove(name) {
            Some(Json::String(text)) if text.len() <= MAX_TEXT => text,
            _ => String::new(),
        }
    }

    fn optional(&mut self, name: &str) -> Option<String> {
        match self.fields.remove(name) {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) if text.len() <= MAX_TEXT => Some(text).filter(|text| !text.is_empty()),
            Some(_) => {
                self.fault(name, "the field is not a short text", &format!("a text of at most {MAX_TEXT} bytes"));
                None
            }
        }
    }

    fn dataset(&mut self, context: &MapContext) -> Dataset {
        let name = self.required("dataset");
        let form = !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        if !form {
            self.fault(
                "dataset",
                "the dataset is missing or malformed",
                "the name of a dataset, such as `person`; did the program end with `. = [...]`?",
            );
        } else if !context.datasets.is_empty() && !context.datasets.iter().any(|dataset| dataset.as_str() == name) {
            let known: Vec<&str> = context.datasets.iter().map(Dataset::as_str).collect();
            self.fault("dataset", "the dataset is not declared in adapter.toml", &format!("one of {}", known.join(", ")));
        }
        Dataset::from(name)
    }

    fn key(&mut self) -> String {
        let key = match self.fields.remove("key") {
            Some(Json::String(text)) if !text.trim().is_empty() && text.len() <= MAX_TEXT => Some(text),
            Some(Json::Number(number)) if number.is_i64() => Some(number.to_string()),
            _ => None,
        };
        key.unwrap_or_else(|| {
            self.fault(
                "key",
                "the key is missing, empty or too long",
                &format!("the source's own key, at most {MAX_TEXT} bytes"),
            );
            String::new()
        })
    }

    fn division(&mut self) -> String {
        let code = self.required("division");
        if code.len() != 12 || division::normalise_anywhere(&code).is_err() {
            self.fault(
                "division",
                "the division is missing or does not exist",
                "12 digits of a division; see the function `division`",
            );
        }
        code
    }

    fn occurred_at(&mut self) -> (String, i64) {
        let text = self.required("occurred_at");
        match OffsetDateTime::parse(&text, &Rfc3339) {
            Ok(moment) => (clock::rfc3339(moment), millis(moment)),
            Err(_) => {
                self.fault(
                    "occurred_at",
                    "the time is missing or malformed",
                    "RFC 3339, such as `2017-07-03T09:00:00+08:00`; see the function `cn_time`",
                );
                (String::new(), 0)
            }
        }
    }

    fn sequence(&mut self) -> Option<i64> {
        match self.fields.remove("sequence") {
            None | Some(Json::Null) => None,
            Some(Json::Number(number)) if number.is_i64() => number.as_i64(),
            Some(_) => {
                self.fault("sequence", "the sequence is not a whole number", "an integer that grows with every change");
                None
            }
        }
    }

    fn record(&mut self) -> Json {
        match self.fields.remove("record") {
            Some(record @ Json::Object(_)) => record,
            _ => {
                self.fault("record", "the record is missing or no object", "the canonical record");
                Json::Null
            }
        }
    }

    fn quality(&mut self) -> Vec<Quality> {
        let items = match self.fields.remove("quality") {
            None | Some(Json::Null) => return vec![],
            Some(Json::Array(items)) => items,
            Some(_) => {
                self.fault("quality", "the quality remarks are not a list", "a list of {rule, level, field}");
                return vec![];
            }
        };
        let mut remarks = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            match remark(item) {
                Some(remark) => remarks.push(remark),
                None => self.fault(
                    &format!("quality/{place}"),
                    "the quality remark has a wrong form",
                    "{rule, level `fix` or `warn`, field}, nothing else",
                ),
            }
        }
        remarks
    }
}

fn remark(item: &Json) -> Option<Quality> {
    let fields = item.as_object().filter(|fields| fields.len() == 3)?;
    let text = |name| fields.get(name).and_then(Json::as_str).filter(|text| text.len() <= MAX_TEXT).map(str::to_owned);
    let level = match fields.get("level")?.as_str()? {
        "fix" => QualityLevel::Fix,
        "warn" => QualityLevel::Warn,
        _ => return None,
    };
    Some(Quality { rule: text("rule")?, level, field: text("field")? })
}

fn default_sequence(occurred_at: &str) -> Option<i64> {
    OffsetDateTime::parse(occurred_at, &Rfc3339).ok().map(millis)
}

fn millis(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
