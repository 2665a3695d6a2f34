//! Columns that are declared Latin-1 and hold GBK: old programs wrote their bytes through a connection that did not look.
//!
//! Which columns these are the adapter says (`gbk_in_latin1`); nothing is guessed. Each character of the column is one
//! byte again, and the bytes are GB 18030.

use encoding_rs::{GB18030, WINDOWS_1252};

use super::{dialect::Dialect, table::NOT_UTF8};

/// The text of a column read by [`Dialect::as_gbk`]; a text that cannot be GBK refuses its row.
pub fn read(dialect: Dialect, text: &str) -> String {
    let bytes = if dialect == Dialect::Sqlite { hex::decode(text).ok() } else { text.chars().map(byte).collect() };
    let decoded = bytes.and_then(|bytes: Vec<u8>| {
        GB18030.decode_without_bom_handling_and_without_replacement(&bytes).map(std::borrow::Cow::into_owned)
    });
    decoded.unwrap_or_else(|| NOT_UTF8.to_string())
}

/// The byte that a character of ISO 8859-1 or of Windows code page 1252 stands for; databases call both `latin1`.
fn byte(c: char) -> Option<u8> {
    if let Ok(byte) = u8::try_from(u32::from(c)) {
        return Some(byte);
    }
    let mut buffer = [0; 4];
    let text = c.encode_utf8(&mut buffer);
    match WINDOWS_1252.encode(text) {
        (bytes, _, false) if bytes.len() == 1 => Some(bytes[0]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_back_through_both_latin_ones() {
        for text in ["张三", "王€1", "冎", "a", ""] {
            let (bytes, ..) = GB18030.encode(text);
            let iso: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            let windows = WINDOWS_1252.decode_without_bom_handling(&bytes).0;
            assert_eq!(read(Dialect::Postgres, &iso), text);
            assert_eq!(read(Dialect::MySql, &windows), text);
            assert_eq!(read(Dialect::Sqlite, &hex::encode(&bytes)), text);
        }
    }

    #[test]
    fn what_is_no_latin_one_is_not_guessed() {
        for text in ["张三", "ÿ", "Õ"] {
            assert_eq!(read(Dialect::MySql, text), NOT_UTF8.to_string(), "{text}");
        }
    }
}
