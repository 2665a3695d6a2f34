//! The header of a DBF and the fields it describes.

use serde_json::Value;
use time::{Date, Duration};

use super::{
    HEADER,
    memo::{self, Memos},
};
use crate::{
    adapter::decode::{Input, charset::Charset, unreadable},
    error::Fault,
};

/// What the first bytes of the file say.
#[derive(Debug)]
pub struct Header {
    pub records: u64,
    /// Bytes before the first record.
    pub length: u64,
    pub record_length: usize,
    pub code_page: u8,
    pub fields: Vec<Field>,
}

/// One column.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    /// The type letter: C, N, F, D, L, I, B, Y, T, M, or 0 for FoxPro's hidden field.
    pub kind: u8,
    offset: usize,
    length: usize,
}

impl Header {
    pub fn read(input: &mut dyn Input, charset: Charset) -> Result<Self, Fault> {
        let broken = |what: &str| {
            Fault::new(HEADER, format!("this is not a DBF: {what}")).hint("the file is damaged or has the wrong name")
        };
        let mut start = [0; 32];
        read(input, &mut start)?.then_some(()).ok_or_else(|| broken("it ends inside its header"))?;
        if !matches!(start[0], 0x02 | 0x03 | 0x30 | 0x31 | 0x32 | 0x43 | 0x83 | 0x8b | 0xcb | 0xf5 | 0xfb) {
            return Err(broken("its first byte is no known version"));
        }
        let length = usize::from(u16::from_le_bytes([start[8], start[9]]));
        let record_length = usize::from(u16::from_le_bytes([start[10], start[11]]));
        if length < 33 || record_length < 2 {
            return Err(broken("the lengths in its header are too small"));
        }
        let mut body = vec![0; length - 32];
        read(input, &mut body)?.then_some(()).ok_or_else(|| broken("it ends inside its header"))?;
        let records = u64::from(u32::from_le_bytes([start[4], start[5], start[6], start[7]]));
        let mut header = Self { records, length: length as u64, record_length, code_page: start[29], fields: Vec::new() };
        let mut offset = 1;
        for descriptor in body.chunks_exact(32).take_while(|descriptor| descriptor[0] != 0x0d) {
            let field = Field::read(descriptor, offset, charset)?;
            offset += field.length;
            header.fields.push(field);
        }
        if header.fields.is_empty() || offset != record_length {
            return Err(broken("its fields do not fill its records").expected(format!("fields of {record_length} bytes in all")));
        }
        Ok(header)
    }
}

/// True when the buffer was filled; false when the file ended before.
fn read(input: &mut dyn Input, buffer: &mut [u8]) -> Result<bool, Fault> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(unreadable(&error)),
    }
}

impl Field {
    fn read(descriptor: &[u8], offset: usize, charset: Charset) -> Result<Self, Fault> {
        let name = descriptor[..11].split(|byte| *byte == 0).next().unwrap_or_default();
        let name = charset.decode(name)?.trim().to_owned();
        // C fields beyond 255 bytes (Clipper, FoxPro) use the byte of the decimals as the high byte of the length.
        let high = if descriptor[11] == b'C' { usize::from(descriptor[17]) << 8 } else { 0 };
        let length = usize::from(descriptor[16]) + high;
        if name.is_empty() || length == 0 {
            return Err(Fault::new(HEADER, "a field has no name or no length").hint("the file is damaged"));
        }
        Ok(Self { name, kind: descriptor[11], offset, length })
    }

    pub fn of<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        record.get(self.offset..self.offset + self.length).unwrap_or_default()
    }

    pub fn is_memo(&self) -> bool {
        self.kind == b'M'
    }

    /// The block where the memo of a record begins: ten digits, or four bytes in tables of Visual FoxPro.
    ///
    /// # Errors
    /// [`memo::BROKEN`] for what is no number.
    pub fn block(&self, record: &[u8]) -> Result<Option<u64>, Fault> {
        let bytes = self.of(record);
        let block = match (self.is_memo(), bytes.len()) {
            (false, _) => return Ok(None),
            (true, 4) => u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
            (true, _) => {
                let digits = bytes.trim_ascii();
                let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                match text {
                    Some("") => 0,
                    text => text.and_then(|text| text.parse().ok()).ok_or_else(|| {
                        Fault::new(memo::BROKEN, "the place of the memo is no number").hint("the table is damaged")
                    })?,
                }
            }
        };
        Ok(Some(block).filter(|block| *block > 0))
    }

    /// The text of a memo field.
    ///
    /// # Errors
    /// Those of [`Memos::text`].
    pub fn memo(&self, record: &[u8], memos: &mut Memos, charset: Charset) -> Result<Value, Fault> {
        let Some(block) = self.block(record)? else { return Ok(Value::Null) };
        Ok(memos.text(block, charset)?.map_or(Value::Null, Value::from))
    }

    /// The value as text; null when blank, for all but text fields.
    pub fn value(&self, record: &[u8], charset: Charset) -> Result<Value, Fault> {
        let bytes = self.of(record);
        Ok(match (self.kind, bytes.len()) {
            (b'C' | b'V', _) => {
                // Some writers pad with zero bytes.
                let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
                let (whole, _) = charset.trim_cut(&bytes[..end]);
                Value::from(charset.decode(whole)?.trim_end_matches(' '))
            }
            (b'I', 4) => i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).to_string().into(),
            (b'Y', 8) => eight(bytes).map_or(Value::Null, |bytes| currency(i64::from_le_bytes(bytes)).into()),
            (b'B', 8) => eight(bytes).map_or(Value::Null, |bytes| f64::from_le_bytes(bytes).to_string().into()),
            (b'T', 8) => eight(bytes).and_then(moment).map_or(Value::Null, Value::from),
            (b'M' | b'G' | b'P' | b'W', _) => Value::Null,
            (b'L', _) if bytes == b"?" => Value::Null,
            _ => {
                let text = charset.decode(bytes)?;
                let text = text.trim();
                if text.is_empty() { Value::Null } else { text.into() }
            }
        })
    }
}

fn eight(bytes: &[u8]) -> Option<[u8; 8]> {
    bytes.try_into().ok()
}

/// FoxPro's Y type: ten-thousandths in 64 bits.
fn currency(units: i64) -> String {
    let sign = if units < 0 { "-" } else { "" };
    format!("{sign}{}.{:04}", units.unsigned_abs() / 10_000, units.unsigned_abs() % 10_000)
}

/// FoxPro's T type: a Julian day and the milliseconds of the day.
fn moment(bytes: [u8; 8]) -> Option<String> {
    let day = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let millis = i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let date = if day == 0 { None } else { Date::from_julian_day(day).ok() }?;
    // FoxPro stores some whole seconds one millisecond short.
    let seconds = (i64::from(millis) + 500) / 1000;
    let moment = date.midnight().checked_add(Duration::seconds(seconds))?;
    let (year, month, day) = (moment.year(), moment.month() as u8, moment.day());
    Some(format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", moment.hour(), moment.minute(), moment.second()))
}
