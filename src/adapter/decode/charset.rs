//! Charsets of legacy files: GB18030 (which holds GBK and GB2312) and UTF-8, told apart when a file claims the wrong one.

use std::borrow::Cow;

use encoding_rs::{GB18030, UTF_8};

use super::{ENCODING, NUL, options};
use crate::error::Fault;

/// How bytes become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// GB 18030; GBK files are read by it too, as the WHATWG encoding standard does.
    Gb18030,
    Utf8,
}

impl Charset {
    /// By its name in options; `gb18030` when absent, the charset of nearly all files of these systems.
    pub fn named(name: Option<&str>) -> Result<Self, Fault> {
        match name.map(str::to_ascii_lowercase).as_deref() {
            None | Some("gb18030" | "gbk" | "gb2312" | "cp936") => Ok(Self::Gb18030),
            Some("utf-8" | "utf8") => Ok(Self::Utf8),
            Some(other) => {
                Err(options::bad("encoding", format!("unknown charset `{other}`")).expected("`GB18030`, `GBK` or `UTF-8`"))
            }
        }
    }

    /// The text of `bytes`, or the fault of a row that is not in this charset or holds U+0000.
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, Fault> {
        let encoding = if self == Self::Utf8 { UTF_8 } else { GB18030 };
        let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes) else {
            return Err(self.misfit(bytes));
        };
        if bytes.contains(&0) {
            return Err(Fault::new(NUL, "the row holds the character U+0000").hint("the file may be damaged or binary"));
        }
        Ok(text)
    }

    fn misfit(self, bytes: &[u8]) -> Fault {
        let other = if self == Self::Utf8 { Self::Gb18030 } else { Self::Utf8 };
        let fault = Fault::new(ENCODING, format!("the bytes are not {}", self.name())).expected(self.name());
        if other.fits(bytes) {
            return fault.hint(format!("they are valid {}: check `encoding`", other.name()));
        }
        fault.hint("the row is damaged; ask the sender for it again")
    }

    fn fits(self, bytes: &[u8]) -> bool {
        let encoding = if self == Self::Utf8 { UTF_8 } else { GB18030 };
        encoding.decode_without_bom_handling_and_without_replacement(bytes).is_some()
    }

    pub fn name(self) -> &'static str {
        if self == Self::Utf8 { "UTF-8" } else { "GB18030" }
    }

    /// Drops the torso of a character that was cut at the end of a field of fixed width. True when something was cut.
    pub fn trim_cut(self, bytes: &[u8]) -> (&[u8], bool) {
        if bytes.is_ascii() {
            return (bytes, false);
        }
        let whole = match self {
            Self::Utf8 => match std::str::from_utf8(bytes) {
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                _ => bytes.len(),
            },
            Self::Gb18030 => whole_gb18030(bytes),
        };
        (&bytes[..whole], whole < bytes.len())
    }
}

/// Length of the leading bytes that do not end inside a character of two or four bytes.
fn whole_gb18030(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        let width = match (bytes[at], bytes.get(at + 1)) {
            (0x81..=0xfe, Some(0x30..=0x39)) => 4,
            (0x81..=0xfe, _) => 2,
            _ => 1,
        };
        if at + width > bytes.len() {
            return at;
        }
        at += width;
    }
    at
}

/// Watches the rows of a file for the sign that all of it is in another charset than declared.
///
/// GB18030 read as UTF-8 fails at once, but UTF-8 read as GB18030 often passes as nonsense. A row whose bytes beyond
/// ASCII are valid UTF-8 and nothing but ideographs and full-width marks is UTF-8: GB18030 text of that shape would have
/// to hold rare characters only. A file is refused when every row beyond ASCII says so; single rows are left to the
/// mapping program (`mojibake_repair`).
#[derive(Debug, Default)]
pub struct Watch {
    beyond_ascii: u64,
    foreign: u64,
    first: u64,
}

impl Watch {
    pub fn row(&mut self, charset: Charset, number: u64, bytes: &[u8]) {
        if bytes.is_ascii() {
            return;
        }
        self.beyond_ascii += 1;
        let foreign = match charset {
            Charset::Utf8 => !Charset::Utf8.fits(bytes) && Charset::Gb18030.fits(bytes),
            Charset::Gb18030 => chinese_utf8(bytes),
        };
        if foreign {
            self.foreign += 1;
            if self.first == 0 {
                self.first = number;
            }
        }
    }

    /// The fault of the whole file, if every row beyond ASCII is in the other charset.
    pub fn verdict(&self, charset: Charset) -> Option<Fault> {
        if self.foreign == 0 || self.foreign < self.beyond_ascii {
            return None;
        }
        let real = if charset == Charset::Utf8 { "GB18030" } else { "UTF-8" };
        let fault = Fault::new(ENCODING, format!("the file is declared {} but all its Chinese text is {real}", charset.name()));
        Some(fault.at_row(self.first).expected(charset.name()).hint(format!("set `encoding = \"{real}\"` for this object")))
    }
}

/// Valid UTF-8 with an ideograph, and nothing beyond ASCII but ideographs and their punctuation. (U+00B7 alone would be
/// a bad witness: its bytes are 路 in GBK.)
fn chinese_utf8(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let ideograph = |c: char| matches!(c, '\u{4e00}'..='\u{9fff}');
    let mark = |c: char| matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff5e}' | '\u{b7}' | '\u{feff}');
    text.chars().any(ideograph) && text.chars().all(|c| c.is_ascii() || ideograph(c) || mark(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_byte_characters_are_read() {
        // U+3400 and U+20000 need four bytes in GB 18030.
        let (bytes, ..) = GB18030.encode("㐀𠀀张");
        assert_eq!(bytes.len(), 10);
        assert_eq!(Charset::Gb18030.decode(&bytes).unwrap(), "㐀𠀀张");
    }

    #[test]
    fn wrong_declarations_are_coded() {
        let (gb, ..) = GB18030.encode("张三丰");
        let fault = Charset::Utf8.decode(&gb).unwrap_err();
        assert_eq!(fault.code, ENCODING);
        assert!(fault.hint.unwrap().contains("GB18030"));
        let mut watch = Watch::default();
        watch.row(Charset::Gb18030, 1, b"a,b");
        watch.row(Charset::Gb18030, 2, "李四,吉林".as_bytes());
        assert_eq!(watch.verdict(Charset::Gb18030).unwrap().place.row, Some(2));
        watch.row(Charset::Gb18030, 3, &gb);
        assert_eq!(watch.verdict(Charset::Gb18030), None);
    }

    #[test]
    fn common_characters_are_not_taken_for_utf8() {
        for text in ["路", "张", "吉林省长春市", "联通", "一"] {
            let mut watch = Watch::default();
            watch.row(Charset::Gb18030, 1, &GB18030.encode(text).0);
            assert_eq!(watch.verdict(Charset::Gb18030), None, "{text}");
        }
    }

    #[test]
    fn nul_is_refused() {
        assert_eq!(Charset::Gb18030.decode(b"a\0b").unwrap_err().code, NUL);
    }

    #[test]
    fn the_torso_of_a_character_is_cut() {
        for (text, keep) in [("张三", 3), ("张三", 1), ("a㐀", 2), ("a㐀", 3), ("a㐀", 4)] {
            let (bytes, ..) = GB18030.encode(text);
            let (whole, cut) = Charset::Gb18030.trim_cut(&bytes[..keep]);
            assert!(cut && text.starts_with(&*Charset::Gb18030.decode(whole).unwrap()), "{text} {keep}");
        }
        assert_eq!(Charset::Utf8.trim_cut(&"张三".as_bytes()[..5]), ("张".as_bytes(), true));
        assert_eq!(Charset::Gb18030.trim_cut(b"ab "), (&b"ab "[..], false));
    }
}
