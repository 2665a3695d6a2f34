//! Zip archives as Chinese editions of Windows pack them: names in GBK that do not say so, deflated members.
//!
//! Written by hand, because libraries write names in UTF-8 and say so.

use std::io::Write;

use encoding_rs::GBK;
use flate2::{Compression, Crc, write::DeflateEncoder};

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// In GBK, without a word about it.
    Gbk,
    /// In UTF-8, marked as such.
    Utf8,
}

/// An archive in memory. The stamp of every member is 2017-07-03 09:00.
#[derive(Debug)]
pub struct Archive {
    names: Names,
    body: Vec<u8>,
    directory: Vec<u8>,
    members: u16,
}

impl Archive {
    const STAMP: [u8; 4] = [0x00, 0x48, 0xe3, 0x4a];

    pub fn new(names: Names) -> Self {
        Self { names, body: Vec::new(), directory: Vec::new(), members: 0 }
    }

    /// Adds a member.
    ///
    /// # Errors
    /// When a member is larger than 4 GiB, or the compressor fails.
    pub fn push(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes)?;
        let packed = encoder.finish()?;
        let mut crc = Crc::new();
        crc.update(bytes);
        let name = if self.names == Names::Gbk { GBK.encode(name).0.into_owned() } else { name.as_bytes().to_vec() };
        let length = |length: usize| u32::try_from(length).map_err(std::io::Error::other);
        let fields = self.fields(crc.sum(), [length(packed.len())?, length(bytes.len())?], &name);
        let offset = length(self.body.len())?;
        self.body.extend_from_slice(b"PK\x03\x04");
        self.body.extend_from_slice(&fields);
        self.body.extend_from_slice(&name);
        self.body.extend_from_slice(&packed);
        self.directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        self.directory.extend_from_slice(&fields);
        // No comment, first disk, no attributes.
        self.directory.extend_from_slice(&[0; 10]);
        self.directory.extend_from_slice(&offset.to_le_bytes());
        self.directory.extend_from_slice(&name);
        self.members += 1;
        Ok(())
    }

    /// From the version needed to the length of the extra field: the same in both places.
    fn fields(&self, crc: u32, sizes: [u32; 2], name: &[u8]) -> Vec<u8> {
        let flags = if self.names == Names::Utf8 { 0x0800_u16 } else { 0 };
        let mut fields = vec![20, 0];
        fields.extend_from_slice(&flags.to_le_bytes());
        fields.extend_from_slice(&8_u16.to_le_bytes());
        fields.extend_from_slice(&Self::STAMP);
        fields.extend_from_slice(&crc.to_le_bytes());
        for size in sizes {
            fields.extend_from_slice(&size.to_le_bytes());
        }
        fields.extend_from_slice(&u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
        fields.extend_from_slice(&[0, 0]);
        fields
    }

    /// The archive with its directory.
    pub fn bytes(&self) -> Vec<u8> {
        let number = |length: usize| u32::try_from(length).unwrap_or(0).to_le_bytes();
        let mut bytes = self.body.clone();
        bytes.extend_from_slice(&self.directory);
        bytes.extend_from_slice(b"PK\x05\x06\x00\x00\x00\x00");
        bytes.extend_from_slice(&self.members.to_le_bytes());
        bytes.extend_from_slice(&self.members.to_le_bytes());
        bytes.extend_from_slice(&number(self.directory.len()));
        bytes.extend_from_slice(&number(self.body.len()));
        bytes.extend_from_slice(&[0, 0]);
        bytes
    }
}
