//! Strings of strict JSON.

use super::{NUL, Parser, SURROGATE, Stop, Value};
use crate::error::Fault;

impl Parser<'_> {
    /// Reads a string; the cursor stands on its opening quote.
    pub(super) fn string(&mut self) -> Result<String, Stop> {
        self.at += 1;
        let start = self.at;
        self.plain();
        // Most strings have no escape: one copy.
        if self.peek() == Some(b'"') {
            let text = self.text[start..self.at].to_owned();
            self.at += 1;
            return Ok(text);
        }
        let mut text = self.text[start..self.at].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return Err(self.syntax("control characters as `\\u` escapes")),
                None => return Err(self.syntax("a closing `\"`")),
            }
            let start = self.at;
            self.plain();
            text.push_str(&self.text[start..self.at]);
        }
        self.at += 1;
        Ok(text)
    }

    /// Moves on to the next quote, backslash or control character.
    fn plain(&mut self) {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        self.at += length.unwrap_or(rest.len());
    }

    fn escape(&mut self) -> Result<char, Stop> {
        let start = self.at;
        self.at += 2;
        Ok(match self.bytes.get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(start),
            _ => {
                self.at = start;
                return Err(self.syntax("an escape of RFC 8259"));
            }
        })
    }

    /// `\uXXXX`, or a pair of them for a character beyond U+FFFF.
    fn unicode(&mut self, start: usize) -> Result<char, Stop> {
        let unit = self.hex4()?;
        if unit == 0 {
            let fault = Fault::new(NUL, "a text holds the character U+0000").hint("send the text without it");
            self.note(fault, start)?;
            return Ok('\u{fffd}');
        }
        if let Some(character) = char::from_u32(unit) {
            return Ok(character);
        }
        if (0xd800..0xdc00).contains(&unit) && self.bytes[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                let point = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(point).unwrap_or('\u{fffd}'));
            }
            self.at = back;
        }
        let fault =
            Fault::new(SURROGATE, "a `\\u` escape is half of a surrogate pair").expected("both halves, or the character itself");
        self.note(fault, start)?;
        Ok('\u{fffd}')
    }

    fn hex4(&mut self) -> Result<u32, Stop> {
        let digits = self.bytes.get(self.at..self.at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else { return Err(self.syntax("four hexadecimal digits")) };
        let unit = digits.iter().fold(0, |unit, digit| unit * 16 + char::from(*digit).to_digit(16).unwrap_or(0));
        self.at += 4;
        Ok(unit)
    }

    /// Reads a number; the cursor stands on its first character.
    pub(super) fn number(&mut self) -> Result<Value, Stop> {
        let start = self.at;
        let end = start + super::number::length(&self.bytes[start..]);
        if end == start {
            return Err(self.syntax("a number of RFC 8259"));
        }
        self.at = end;
        if let Some(value) = super::number::exact(&self.text[start..end]) {
            return Ok(value);
        }
        let fault = Fault::new(super::NUMBER, "a number has more digits than the hub keeps exactly")
            .expected("an integer of 64 bits, or a decimal of at most 15 digits")
            .hint("send long numbers, money and identifiers as text");
        self.note(fault, start)?;
        Ok(Value::Null)
    }
}
