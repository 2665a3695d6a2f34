//! The record layouts of a fixed-width file, from the adapter's options.

use serde::Deserialize;

use crate::{
    adapter::decode::{charset::Charset, options},
    error::Fault,
};

/// Longest record a layout may describe, in bytes.
const LONGEST: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOptions {
    encoding: Option<String>,
    record_length: Option<usize>,
    record: Vec<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordOptions {
    #[serde(default)]
    r#type: String,
    role: Option<Role>,
    fields: Vec<toml::Table>,
    count_field: Option<String>,
    sum_field: Option<String>,
    sum_of: Option<String>,
}

/// What a record type is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Header,
    Detail,
    Trailer,
}

/// One field of a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    pub name: String,
    /// First byte, counted from 1.
    offset: usize,
    /// Bytes.
    length: usize,
}

impl Field {
    /// The bytes of this field; shorter or empty when the record is.
    pub fn of<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        let start = (self.offset - 1).min(record.len());
        &record[start..(start + self.length).min(record.len())]
    }

    fn end(&self) -> usize {
        self.offset - 1 + self.length
    }
}

/// One record type.
#[derive(Debug, Clone)]
pub struct Record {
    kind: Vec<u8>,
    pub role: Role,
    pub fields: Vec<Field>,
    pub count_field: Option<String>,
    pub sum_field: Option<String>,
}

impl Record {
    /// The trimmed text of a field that holds ASCII only, such as a number.
    pub fn ascii(&self, name: &str, record: &[u8]) -> Option<String> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        std::str::from_utf8(field.of(record)).ok().map(|text| text.trim().to_owned())
    }
}

/// All record types of one file.
#[derive(Debug, Clone)]
pub struct Layout {
    pub charset: Charset,
    pub records: Vec<Record>,
    /// The summed field of the details.
    pub sum_of: Option<String>,
    length: usize,
    end: usize,
}

impl Layout {
    pub fn new(table: &toml::Table) -> Result<Self, Vec<Fault>> {
        let given: FileOptions = options::read(table)?;
        let mut faults = Vec::new();
        let charset = Charset::named(given.encoding.as_deref().or(Some("GBK"))).unwrap_or_else(|fault| {
            faults.push(fault);
            Charset::Gb18030
        });
        let (mut records, mut sum_of) = (Vec::new(), None);
        for record in &given.record {
            match read_record(record) {
                Ok((record, sum)) => {
                    records.push(record);
                    sum_of = sum_of.or(sum);
                }
                Err(more) => faults.extend(more),
            }
        }
        let end = records.iter().flat_map(|record| &record.fields).map(Field::end).max().unwrap_or(0);
        let length = given.record_length.unwrap_or(end);
        let layout = Self { charset, records, sum_of, length, end };
        layout.check(&mut faults);
        if faults.is_empty() { Ok(layout) } else { Err(faults) }
    }

    fn check(&self, faults: &mut Vec<Fault>) {
        if self.length < self.end || self.length > LONGEST {
            let message = format!("must be {} (the end of the last field) to {LONGEST}", self.end);
            faults.push(options::bad("record_length", message));
        }
        if !self.has(Role::Detail) {
            faults.push(options::bad("record", "no record has the role `detail`"));
        }
        if self.records.len() > 1 && self.records.iter().any(|record| record.kind.is_empty()) {
            faults.push(options::bad("type", "records of several kinds need a `type` each"));
        }
        if self.sum_of.is_none() && self.records.iter().any(|record| record.sum_field.is_some()) {
            faults.push(options::bad("sum_of", "`sum_field` needs `sum_of`, the field of the details that is summed"));
        }
        let details = || self.records.iter().filter(|record| record.role == Role::Detail);
        let summed = |name: &String| details().any(|record| record.fields.iter().any(|field| &field.name == name));
        if let Some(name) = self.sum_of.as_ref().filter(|name| !summed(name)) {
            faults.push(options::bad("sum_of", format!("no detail has a field `{name}`")));
        }
    }

    /// The record type of a line, by its first bytes.
    pub fn record_of(&self, line: &[u8]) -> Option<&Record> {
        self.records.iter().find(|record| line.starts_with(&record.kind))
    }

    pub fn has(&self, role: Role) -> bool {
        self.records.iter().any(|record| record.role == role)
    }

    /// Whether a record of so many bytes, its line end taken off, has the right length.
    pub fn fits(&self, bytes: usize) -> bool {
        bytes == self.length || bytes == self.content()
    }

    /// The length without the line end: `record_length` may count its two bytes (CR LF).
    pub fn content(&self) -> usize {
        if self.length == self.end + 2 { self.end } else { self.length }
    }

    pub fn longest(&self) -> usize {
        self.length + 2
    }

    /// The known types, for messages.
    pub fn types(&self) -> String {
        let types: Vec<_> = self.records.iter().map(|record| format!("`{}`", String::from_utf8_lossy(&record.kind))).collect();
        types.join(", ")
    }
}

/// One record type, and the field of the details that it wants summed.
fn read_record(table: &toml::Table) -> Result<(Record, Option<String>), Vec<Fault>> {
    let given: RecordOptions = options::read(table)?;
    let (mut fields, mut faults) = (Vec::new(), Vec::new());
    for field in &given.fields {
        match options::read::<Field>(field) {
            Ok(field) if field.offset == 0 || field.length == 0 || field.length > LONGEST || field.offset > LONGEST => {
                faults.push(options::bad("fields", format!("`{}`: offset and length count from 1", field.name)));
            }
            Ok(field) => fields.push(field),
            Err(more) => faults.extend(more),
        }
    }
    for name in [&given.count_field, &given.sum_field].into_iter().flatten() {
        if !fields.iter().any(|field: &Field| &field.name == name) {
            faults.push(options::bad("count_field / sum_field", format!("the record has no field `{name}`")));
        }
    }
    // The line end is no field: layouts of the vendors list it all the same.
    fields.retain(|field| !matches!(field.name.as_str(), "CRLF" | "LF"));
    let role = given.role.unwrap_or(Role::Detail);
    let record =
        Record { kind: given.r#type.into_bytes(), role, fields, count_field: given.count_field, sum_field: given.sum_field };
    if faults.is_empty() { Ok((record, given.sum_of)) } else { Err(faults) }
}
