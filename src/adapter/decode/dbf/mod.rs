//! DBF, the table file of dBase and Visual FoxPro.
//!
//! An own reader, because libraries turn N fields into binary floats and pass over deleted rows: here numbers stay text
//! and a deleted row is news. The format: 32 bytes of header, 32 bytes per field, 0x0D, then records of fixed length
//! whose first byte is a space or, for deleted ones, `*` (0x2A).

use std::io::{BufReader, Read, SeekFrom};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    BadRow, Decoded, Format, Input, RowReader,
    charset::{Charset, Watch},
    options, unreadable,
};
use crate::error::{Code, Fault};

mod header;
pub mod memo;
#[cfg(test)]
mod tests;

use header::{Field, Header};
use memo::Memos;

/// The file is not a DBF, or its header contradicts itself.
pub const HEADER: Code = Code::new(2040);
/// The header promises more or fewer records than the file holds.
pub const COUNT: Code = Code::new(2041);
/// The code page of the file is not the declared charset.
pub const CODE_PAGE: Code = Code::new(2042);
/// A record is damaged: its deletion mark is neither a space nor `*`.
pub const RECORD: Code = Code::new(2043);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    encoding: Option<String>,
    deleted: Option<String>,
    code_page: Option<String>,
    columns: Option<Vec<String>>,
    memo: Option<String>,
    memo_limit: Option<u64>,
}

/// The format `dbf`. Options: `encoding` (GBK), `deleted = "emit" | "skip"` (emitted rows have `_deleted: true`),
/// `code_page = "check" | "ignore"`, `columns` (must be in the file), `memo = "fpt" | "none"` (the
/// texts of memo fields are in the .FPT beside the file; with `none` they are null), `memo_limit` in bytes (64 KiB). Blank
/// N, D, L and T fields are null.
pub struct Dbf {
    charset: Charset,
    skip_deleted: bool,
    check_code_page: bool,
    columns: Vec<String>,
    with_memos: bool,
    memo_limit: u64,
}

impl Dbf {
    /// # Errors
    /// Every unknown or wrong option.
    pub fn new(table: &toml::Table) -> Result<Self, Vec<Fault>> {
        let given: Options = options::read(table)?;
        let mut faults = Vec::new();
        let charset = Charset::named(given.encoding.as_deref()).unwrap_or_else(|fault| {
            faults.push(fault);
            Charset::Gb18030
        });
        if !matches!(given.deleted.as_deref(), None | Some("emit" | "skip")) {
            faults.push(options::bad("deleted", "unknown value").expected("`emit` or `skip`"));
        }
        if !matches!(given.code_page.as_deref(), None | Some("check" | "ignore")) {
            faults.push(options::bad("code_page", "unknown value").expected("`check` or `ignore`"));
        }
        if !matches!(given.memo.as_deref(), None | Some("fpt" | "none")) {
            faults.push(options::bad("memo", "unknown value").expected("`fpt` or `none`"));
        }
        let (with_memos, memo_limit) = (given.memo.as_deref() == Some("fpt"), given.memo_limit.unwrap_or(64 * 1024));
        let skip_deleted = given.deleted.as_deref() == Some("skip");
        let check_code_page = given.code_page.as_deref() != Some("ignore");
        let columns = given.columns.unwrap_or_default();
        if faults.is_empty() {
            Ok(Self { charset, skip_deleted, check_code_page, columns, with_memos, memo_limit })
        } else {
            Err(faults)
        }
    }

    /// The file of memos beside a table that has memo fields.
    fn memos(&self, header: &Header, input: &dyn Input) -> Result<Option<Memos>, Fault> {
        if !self.with_memos || !header.fields.iter().any(Field::is_memo) {
            return Ok(None);
        }
        let file = input.beside(memo::ENDING).map_err(|error| unreadable(&error))?;
        file.map(|file| Memos::open(file, self.memo_limit)).transpose()
    }

    fn header(&self, input: &mut dyn Input) -> Result<Header, Vec<Fault>> {
        input.seek(SeekFrom::Start(0)).map_err(|error| vec![unreadable(&error)])?;
        let header = Header::read(input, self.charset).map_err(|fault| vec![fault])?;
        let mut faults = Vec::new();
        // 0x4D and 0x7A are Windows and FoxPro code page 936; 0x00 says nothing.
        if self.check_code_page && !matches!(header.code_page, 0x00 | 0x4d | 0x7a) {
            let fault =
                Fault::new(CODE_PAGE, format!("the code page byte is 0x{:02X}", header.code_page)).expected("0x4D, 0x7A or 0x00");
            faults.push(fault.hint("if the text is GBK all the same, set `code_page = \"ignore\"`"));
        }
        let known: Vec<&str> = header.fields.iter().map(|field| field.name.as_str()).collect();
        for needed in self.columns.iter().filter(|needed| !known.contains(&needed.as_str())) {
            faults.push(options::unknown(super::csv::COLUMNS, "column", needed, &known).at_column(needed.clone()));
        }
        if faults.is_empty() { Ok(header) } else { Err(faults) }
    }
}

impl Format for Dbf {
    fn verify(&self, input: &mut dyn Input) -> Result<u64, Vec<Fault>> {
        let header = self.header(input)?;
        let has_memos = self.memos(&header, input).map_err(|fault| vec![fault])?.is_some();
        let read_error = |error: std::io::Error| vec![unreadable(&error)];
        let size = input.seek(SeekFrom::End(0)).map_err(read_error)?;
        check_size(&header, size).map_err(|fault| vec![fault])?;
        input.seek(SeekFrom::Start(header.length)).map_err(read_error)?;
        let mut input = BufReader::with_capacity(64 * 1024, input);
        let (mut record, mut count, mut watch) = (vec![0; header.record_length], 0, Watch::default());
        for number in 1..=header.records {
            input.read_exact(&mut record).map_err(read_error)?;
            count += u64::from(!(self.skip_deleted && record[0] == b'*'));
            if self.with_memos
                && !has_memos
                && header.fields.iter().any(|field| field.block(&record).is_ok_and(|block| block.is_some()))
            {
                let fault = Fault::new(memo::MISSING, "records have memos, and there is no .FPT beside the table").at_row(number);
                return Err(vec![fault.hint("put the .FPT into the folder before the .DBF, or both into one archive")]);
            }
            for field in header.fields.iter().filter(|field| field.kind == b'C') {
                watch.row(self.charset, number, field.of(&record));
            }
        }
        watch.verdict(self.charset).map_or(Ok(count), |fault| Err(vec![fault]))
    }

    fn rows(&self, mut input: Box<dyn Input>) -> Result<Box<dyn RowReader>, Vec<Fault>> {
        let header = self.header(&mut *input)?;
        let memos = self.memos(&header, &*input).map_err(|fault| vec![fault])?;
        input.seek(SeekFrom::Start(header.length)).map_err(|error| vec![unreadable(&error)])?;
        let record = vec![0; header.record_length];
        let input = BufReader::with_capacity(64 * 1024, input);
        Ok(Box::new(Rows { input, header, memos, record, number: 0, charset: self.charset, skip_deleted: self.skip_deleted }))
    }

    fn companion(&self) -> Option<&'static str> {
        self.with_memos.then_some(memo::ENDING)
    }
}

/// The size of the file must be that of its records; a single 0x1A may follow them.
fn check_size(header: &Header, size: u64) -> Result<(), Fault> {
    let body = size.saturating_sub(header.length);
    let length = header.record_length as u64;
    let need = header.records * length;
    if size >= header.length && (body == need || body == need + 1) {
        return Ok(());
    }
    let fault = Fault::new(COUNT, format!("the header promises {} records, the file holds {}", header.records, body / length));
    let hint = if body < need {
        "the file is cut off; ask for it again"
    } else {
        "open and close the table in FoxPro to mend its header"
    };
    Err(fault.expected("the count of the header").hint(hint))
}

struct Rows {
    input: BufReader<Box<dyn Input>>,
    header: Header,
    memos: Option<Memos>,
    record: Vec<u8>,
    number: u64,
    charset: Charset,
    skip_deleted: bool,
}

impl Rows {
    fn decode(&mut self) -> Result<Decoded, Vec<Fault>> {
        let (mut data, mut faults) = (Vec::with_capacity(self.header.fields.len() + 1), Vec::new());
        match self.record[0] {
            b' ' => {}
            b'*' => data.push(("_deleted".to_owned(), Value::Bool(true))),
            other => {
                let fault = Fault::new(RECORD, format!("the deletion mark is 0x{other:02X}")).expected("0x20 or 0x2A");
                return Err(vec![fault.hint("the file is damaged")]);
            }
        }
        for field in self.header.fields.iter().filter(|field| field.kind != b'0') {
            let value = match &mut self.memos {
                Some(memos) if field.is_memo() => field.memo(&self.record, memos, self.charset),
                _ => field.value(&self.record, self.charset),
            };
            match value {
                Ok(value) => data.push((field.name.clone(), value)),
                Err(fault) => faults.push(fault.at_column(field.name.clone())),
            }
        }
        if faults.is_empty() {
            // A map that is made at once costs less than one that grows.
            Ok(Decoded { number: self.number, data: Value::Object(data.into_iter().collect()), meta: Map::new() })
        } else {
            Err(faults)
        }
    }
}

impl RowReader for Rows {
    fn next(&mut self) -> Option<Result<Decoded, BadRow>> {
        while self.number < self.header.records {
            self.number += 1;
            if let Err(error) = self.input.read_exact(&mut self.record) {
                let number = std::mem::replace(&mut self.number, self.header.records);
                return Some(Err(BadRow::new(number, vec![unreadable(&error)], &[])));
            }
            if !(self.skip_deleted && self.record[0] == b'*') {
                return Some(self.decode().map_err(|faults| BadRow::new(self.number, faults, &self.record)));
            }
        }
        None
    }
}
