//! dBase III tables as FoxPro wrote them: GBK text, deleted records kept with 0x2A, a code page byte that may be missing.

use std::path::Path;

use encoding_rs::GBK;
use time::Date;

use crate::simulate::error::Error;

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// At most ten ASCII characters.
    pub name: &'static str,
    /// `C`, `N`, `D`, or `M` for a memo.
    pub kind: u8,
    /// Bytes.
    pub length: u8,
    /// Digits behind the point, for `N`.
    pub decimals: u8,
}

/// The code page byte 29 of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodePage {
    /// 0x4D, code page 936.
    Gbk,
    /// 0x00, as tools of before Visual FoxPro left it.
    Unmarked,
}

/// Bytes of a memo block, and of the header of a memo file.
const BLOCK: usize = 64;
const MEMO_HEADER: usize = 512;

/// The texts of memo fields: each begins at a block, whose number stands in the field.
#[derive(Debug, Default)]
struct Memo {
    blocks: Vec<u8>,
}

impl Memo {
    /// The number of the text's block; nothing for no text.
    fn push(&mut self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let number = (MEMO_HEADER + self.blocks.len()) / BLOCK;
        let (bytes, _, _) = GBK.encode(text);
        self.blocks.extend_from_slice(&1_u32.to_be_bytes());
        self.blocks.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
        self.blocks.extend_from_slice(&bytes);
        self.blocks.resize(self.blocks.len().next_multiple_of(BLOCK), 0);
        number.to_string()
    }

    fn file(&self) -> Vec<u8> {
        let next = (MEMO_HEADER + self.blocks.len()) / BLOCK;
        let mut bytes = u32::try_from(next).unwrap_or(0).to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&u16::try_from(BLOCK).unwrap_or(0).to_be_bytes());
        bytes.resize(MEMO_HEADER, 0);
        bytes.extend_from_slice(&self.blocks);
        bytes
    }
}

/// A table in memory: a day's file of all crematories is a few hundred records.
#[derive(Debug)]
pub struct Table {
    fields: &'static [Field],
    records: u32,
    body: Vec<u8>,
    memo: Memo,
}

impl Table {
    /// An empty table.
    pub fn new(fields: &'static [Field]) -> Self {
        Self { fields, records: 0, body: Vec::new(), memo: Memo::default() }
    }

    /// Adds a record and gives its number from 1. Text too long for its column is cut at the byte, as FoxPro does.
    pub fn push(&mut self, values: &[String], deleted: bool) -> u64 {
        self.body.push(if deleted { b'*' } else { b' ' });
        for (field, value) in self.fields.iter().zip(values) {
            let number;
            let value = if field.kind == b'M' {
                number = self.memo.push(value);
                &number
            } else {
                value
            };
            let (bytes, _, _) = GBK.encode(value);
            let width = usize::from(field.length);
            let kept = &bytes[..bytes.len().min(width)];
            let padding = vec![b' '; width - kept.len()];
            if matches!(field.kind, b'N' | b'M') {
                self.body.extend_from_slice(&padding);
                self.body.extend_from_slice(kept);
            } else {
                self.body.extend_from_slice(kept);
                self.body.extend_from_slice(&padding);
            }
        }
        self.records += 1;
        u64::from(self.records)
    }

    fn has_memo(&self) -> bool {
        self.fields.iter().any(|field| field.kind == b'M')
    }

    /// Writes the file, stamped with its day, and its memo file if it has a memo.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, day: Date, code_page: CodePage) -> Result<(), Error> {
        let mut bytes = self.header(day, code_page);
        bytes.extend_from_slice(&self.body);
        bytes.push(0x1a);
        std::fs::write(path, bytes).map_err(Error::file(path))?;
        if self.has_memo() {
            let path = path.with_extension("FPT");
            std::fs::write(&path, self.memo.file()).map_err(Error::file(&path))?;
        }
        Ok(())
    }

    fn header(&self, day: Date, code_page: CodePage) -> Vec<u8> {
        let header_length = 32 + 32 * self.fields.len() + 1;
        let record_length = 1 + self.fields.iter().map(|field| usize::from(field.length)).sum::<usize>();
        // 0xF5: FoxPro 2 with a memo file beside it.
        let mut header = vec![if self.has_memo() { 0xf5 } else { 0x03 }];
        let year = u8::try_from(day.year() - 1900).unwrap_or(0);
        header.extend_from_slice(&[year, u8::from(day.month()), day.day()]);
        header.extend_from_slice(&self.records.to_le_bytes());
        header.extend_from_slice(&u16::try_from(header_length).unwrap_or(0).to_le_bytes());
        header.extend_from_slice(&u16::try_from(record_length).unwrap_or(0).to_le_bytes());
        header.resize(32, 0);
        header[29] = if code_page == CodePage::Gbk { 0x4d } else { 0x00 };
        for field in self.fields {
            let mut descriptor = [0_u8; 32];
            descriptor[..field.name.len()].copy_from_slice(field.name.as_bytes());
            descriptor[11] = field.kind;
            descriptor[16] = field.length;
            descriptor[17] = field.decimals;
            header.extend_from_slice(&descriptor);
        }
        header.push(0x0d);
        header
    }
}
