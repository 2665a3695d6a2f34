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
    /// `C`, `N` or `D`; `M`, of ten bytes, for the block that [`Memos::push`] gives.
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

/// A table in memory: a day's file of all crematories is a few hundred records.
#[derive(Debug)]
pub struct Table {
    fields: &'static [Field],
    records: u32,
    body: Vec<u8>,
}

impl Table {
    /// An empty table.
    pub fn new(fields: &'static [Field]) -> Self {
        Self { fields, records: 0, body: Vec::new() }
    }

    /// Adds a record and gives its number from 1. Text too long for its column is cut at the byte, as FoxPro does.
    pub fn push(&mut self, values: &[String], deleted: bool) -> u64 {
        self.body.push(if deleted { b'*' } else { b' ' });
        for (field, value) in self.fields.iter().zip(values) {
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

    /// Writes the file, stamped with its day.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, day: Date, code_page: CodePage) -> Result<(), Error> {
        std::fs::write(path, self.bytes(day, code_page)).map_err(Error::file(path))
    }

    /// The content of the file.
    pub fn bytes(&self, day: Date, code_page: CodePage) -> Vec<u8> {
        let mut bytes = self.header(day, code_page);
        bytes.extend_from_slice(&self.body);
        bytes.push(0x1a);
        bytes
    }

    fn header(&self, day: Date, code_page: CodePage) -> Vec<u8> {
        let header_length = 32 + 32 * self.fields.len() + 1;
        let record_length = 1 + self.fields.iter().map(|field| usize::from(field.length)).sum::<usize>();
        let with_memos = self.fields.iter().any(|field| field.kind == b'M');
        let mut header = vec![if with_memos { 0xf5 } else { 0x03 }];
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

/// The memo file of a table (.FPT), in blocks of 64 bytes.
#[derive(Debug, Default)]
pub struct Memos {
    body: Vec<u8>,
}

impl Memos {
    const BLOCK: usize = 64;
    const HEADER: usize = 512;

    /// Adds a text and gives the block to write into the M field.
    pub fn push(&mut self, text: &str) -> String {
        let block = (Self::HEADER + self.body.len()) / Self::BLOCK;
        let (bytes, _, _) = GBK.encode(text);
        self.body.extend_from_slice(&1_u32.to_be_bytes());
        self.body.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
        self.body.extend_from_slice(&bytes);
        self.body.resize(self.body.len().next_multiple_of(Self::BLOCK), 0);
        block.to_string()
    }

    /// The content of the file.
    pub fn bytes(&self) -> Vec<u8> {
        let free = (Self::HEADER + self.body.len()) / Self::BLOCK;
        let mut bytes = u32::try_from(free).unwrap_or(0).to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 64]);
        bytes.resize(Self::HEADER, 0);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
