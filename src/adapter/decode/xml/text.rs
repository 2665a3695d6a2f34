//! The bytes of a document as UTF-8, with limits that hold before the parser sees them.

use std::io::{BufRead, Error, ErrorKind, Read, Result};

use encoding_rs::{Decoder, DecoderResult, GB18030, UTF_8};

use super::{Charset, TOKEN_BYTES};

/// Stands for bytes that are not of the charset; no XML may hold it, so that it is never mistaken for content.
pub const MISFIT: char = '\u{ffff}';
const MISFIT_UTF8: &[u8] = "\u{ffff}".as_bytes();

const CHUNK: usize = 64 * 1024;
/// The beginning of a row that is kept for dead letters.
const TAPE: usize = 4096;

/// Why no more bytes are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The document is larger than its limit.
    Document,
    /// One token is larger than any row.
    Token,
    /// It begins with the mark of UTF-16.
    Utf16,
    /// The input failed.
    Input(ErrorKind),
}

/// A reader of UTF-8 for the parser.
pub struct Text<R> {
    input: R,
    charset: Charset,
    decoder: Decoder,
    raw: Vec<u8>,
    out: Vec<u8>,
    at: usize,
    ended: bool,
    /// Raw bytes read, and the most of them.
    bytes: u64,
    most: u64,
    /// Bytes given, and where the token being read must have ended.
    given: u64,
    token_end: u64,
    line: u64,
    tape: Vec<u8>,
    watch: Watch,
    pub stop: Option<Stop>,
}

impl<R: Read> Text<R> {
    pub fn new(input: R, charset: Charset, most: u64) -> Self {
        let encoding = if charset == Charset::Utf8 { UTF_8 } else { GB18030 };
        Self {
            input,
            charset,
            decoder: encoding.new_decoder_without_bom_handling(),
            raw: vec![0; CHUNK],
            out: Vec::new(),
            at: 0,
            ended: false,
            bytes: 0,
            most,
            given: 0,
            token_end: TOKEN_BYTES,
            line: 1,
            tape: Vec::new(),
            watch: Watch::default(),
            stop: None,
        }
    }

    /// A new token begins; `keep` says whether it goes on the tape of the row.
    pub fn token(&mut self, keep: bool) {
        self.token_end = self.given + TOKEN_BYTES;
        if !keep {
            self.tape.clear();
        }
    }

    pub fn given(&self) -> u64 {
        self.given
    }

    pub fn line(&self) -> u64 {
        self.line
    }

    /// The beginning of the row being read, as UTF-8.
    pub fn tape(&self) -> &[u8] {
        &self.tape
    }

    /// All of it was UTF-8 with Chinese text, though something else is declared.
    pub fn is_utf8_after_all(&self) -> bool {
        self.charset == Charset::Gb18030 && self.watch.verdict()
    }

    fn fail(&mut self, stop: Stop) -> Error {
        self.stop = Some(stop);
        Error::from(ErrorKind::Other)
    }

    fn refill(&mut self) -> Result<()> {
        let count = loop {
            match self.input.read(&mut self.raw) {
                Ok(count) => break count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fail(Stop::Input(error.kind()))),
            }
        };
        if self.bytes == 0 && (self.raw[..count].starts_with(b"\xff\xfe") || self.raw[..count].starts_with(b"\xfe\xff")) {
            return Err(self.fail(Stop::Utf16));
        }
        self.bytes += count as u64;
        if self.bytes > self.most {
            return Err(self.fail(Stop::Document));
        }
        self.ended = count == 0;
        if self.charset == Charset::Gb18030 {
            self.watch.see(&self.raw[..count]);
        }
        self.decode(count);
        Ok(())
    }

    fn decode(&mut self, count: usize) {
        (self.at, self.out) = (0, std::mem::take(&mut self.out));
        self.out.clear();
        let mut from = 0;
        loop {
            let rest = &self.raw[from..count];
            let room = self.decoder.max_utf8_buffer_length_without_replacement(rest.len()).unwrap_or(3 * CHUNK) + 8;
            let start = self.out.len();
            self.out.resize(start + room, 0);
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(rest, &mut self.out[start..], self.ended);
            self.out.truncate(start + written);
            from += read;
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => self.out.extend_from_slice(MISFIT_UTF8),
            }
        }
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Text<R> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        while self.at == self.out.len() && !self.ended {
            self.refill()?;
        }
        let left = usize::try_from(self.token_end - self.given).unwrap_or(usize::MAX);
        if left == 0 && self.at < self.out.len() {
            return Err(self.fail(Stop::Token));
        }
        let end = self.out.len().min(self.at.saturating_add(left));
        Ok(&self.out[self.at..end])
    }

    fn consume(&mut self, count: usize) {
        let taken = &self.out[self.at..self.at + count];
        self.line += taken.iter().filter(|byte| **byte == b'\n').count() as u64;
        let room = TAPE.saturating_sub(self.tape.len()).min(count);
        self.tape.extend_from_slice(&taken[..room]);
        self.at += count;
        self.given += count as u64;
    }
}

/// Watches a document that is declared GB 18030 for being UTF-8 throughout, which passes as nonsense.
#[derive(Default)]
struct Watch {
    carry: Vec<u8>,
    broken: bool,
    ideographs: bool,
}

impl Watch {
    fn see(&mut self, chunk: &[u8]) {
        if self.broken {
            return;
        }
        let mut bytes = std::mem::take(&mut self.carry);
        bytes.extend_from_slice(chunk);
        let valid = match std::str::from_utf8(&bytes) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => {
                self.broken = true;
                return;
            }
        };
        let text = std::str::from_utf8(&bytes[..valid]).unwrap_or_default();
        self.ideographs = self.ideographs || text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        self.carry = bytes.split_off(valid);
    }

    fn verdict(&self) -> bool {
        !self.broken && self.ideographs && self.carry.is_empty()
    }
}
