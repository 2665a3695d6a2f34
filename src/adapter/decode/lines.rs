//! Bounded lines: a file without a newline never fills the memory.

use std::io::{BufRead, BufReader};

use super::Input;

/// One physical line, without its end.
#[derive(Debug)]
pub struct Line {
    /// Counted from 1.
    pub number: u64,
    pub bytes: Vec<u8>,
    /// Byte offset in the file where it begins.
    pub offset: u64,
    /// How the line ended: 0 bytes at the end of the file, 1 for LF, 2 for CR LF.
    pub ending: usize,
    /// How the line before it ended.
    pub ending_before: usize,
    /// The line was longer than the limit: `bytes` is its beginning, the rest is skipped.
    pub too_long: bool,
}

/// Reads lines of at most `limit` bytes.
pub struct Lines<'a> {
    input: BufReader<Box<dyn Input + 'a>>,
    limit: usize,
    number: u64,
    offset: u64,
    ending: usize,
}

impl<'a> Lines<'a> {
    pub fn new(input: impl Input + 'a, limit: usize) -> Self {
        // One byte of room for the CR that is taken off again.
        let input: Box<dyn Input + 'a> = Box::new(input);
        Self { input: BufReader::with_capacity(64 * 1024, input), limit: limit + 1, number: 0, offset: 0, ending: 0 }
    }

    /// The number of the last line read.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line; `None` at the end of the file.
    pub fn read(&mut self) -> std::io::Result<Option<Line>> {
        let mut line = Line {
            number: self.number + 1,
            offset: self.offset,
            bytes: Vec::new(),
            ending: 0,
            ending_before: self.ending,
            too_long: false,
        };
        loop {
            let buffer = self.input.fill_buf()?;
            // Ctrl-Z alone at the end of the file is the end mark of DOS programs.
            if buffer.is_empty() || (line.bytes.is_empty() && buffer == b"\x1a") {
                if line.bytes.is_empty() && !line.too_long {
                    return Ok(None);
                }
                break;
            }
            let newline = buffer.iter().position(|byte| *byte == b'\n');
            let end = newline.unwrap_or(buffer.len());
            let room = self.limit.saturating_sub(line.bytes.len()).min(end);
            line.bytes.extend_from_slice(&buffer[..room]);
            line.too_long |= room < end;
            let used = newline.map_or(end, |newline| newline + 1);
            self.input.consume(used);
            self.offset += used as u64;
            if newline.is_some() {
                line.ending = 1;
                break;
            }
        }
        if line.ending == 1 && !line.too_long && line.bytes.last() == Some(&b'\r') {
            line.bytes.pop();
            line.ending = 2;
        }
        line.too_long |= line.bytes.len() >= self.limit;
        self.number += 1;
        self.ending = line.ending;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read(text: &[u8], limit: usize) -> Vec<(Vec<u8>, usize, bool)> {
        let mut lines = Lines::new(Cursor::new(text.to_vec()), limit);
        let mut all = Vec::new();
        while let Some(line) = lines.read().unwrap() {
            all.push((line.bytes, line.ending, line.too_long));
        }
        all
    }

    #[test]
    fn line_ends_are_told_apart() {
        let expected = [(b"a".to_vec(), 2, false), (b"".to_vec(), 1, false), (b"b".to_vec(), 0, false)];
        assert_eq!(read(b"a\r\n\nb", 10), expected);
        assert_eq!(read(b"a\r\n\x1a", 10), [(b"a".to_vec(), 2, false)]);
    }

    #[test]
    fn an_endless_line_is_cut_and_the_next_one_still_comes() {
        let mut text = vec![b'x'; 1 << 20];
        text.extend_from_slice(b"\nok\n");
        let lines = read(&text, 16);
        assert_eq!((lines[0].0.len(), lines[0].2), (17, true));
        assert_eq!(lines[1], (b"ok".to_vec(), 1, false));
    }
}
