//! Repair of text that was decoded with the wrong character set.
//!
//! Two accidents are common in systems of this age: GBK bytes read as latin-1 (`¼ªÁÖÊ¡` for 吉林省), often by MySQL,
//! and UTF-8 bytes read as GBK (`鍚夋灄` for 吉林) or as latin-1. Each is undone by encoding back and decoding right. A repair is
//! only believed when the result is Chinese and what was there is not likely to be meant.

use std::borrow::Cow;

use encoding_rs::{GB18030, GBK, WINDOWS_1252};

use super::{Refusal, text::is_ideograph};
use crate::error::Code;

/// Text was decoded with the wrong character set and cannot be brought back.
pub const MOJIBAKE: Code = Code::new(3107);

/// The repaired text, or the text itself if it shows no sign of damage.
pub fn repair(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if text.contains('\u{fffd}') {
        return Err(Refusal::new(MOJIBAKE, "the text lost characters in an earlier conversion", "text in its own character set"));
    }
    let repaired = if looks_like_latin(text) { from_latin(text) } else { from_gbk(text) };
    Ok(repaired.map_or(Cow::Borrowed(text), Cow::Owned))
}

/// At least half of the characters come from the upper half of latin-1: no European language writes so.
fn looks_like_latin(text: &str) -> bool {
    let (mut high, mut all) = (0, 0);
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        all += 1;
        if !c.is_ascii() {
            high += 1;
        }
        if is_ideograph(c) {
            return false;
        }
    }
    high >= 2 && high * 2 >= all
}

fn from_latin(text: &str) -> Option<String> {
    let bytes = latin_bytes(text)?;
    if let Ok(utf8) = std::str::from_utf8(&bytes) {
        return is_chinese(utf8).then(|| utf8.to_owned());
    }
    let decoded = GB18030.decode_without_bom_handling_and_without_replacement(&bytes)?;
    is_chinese(&decoded).then(|| decoded.into_owned())
}

/// Latin-1 and its superset windows-1252, which MySQL calls latin1, in one: U+0080 to U+00FF are their own byte.
fn latin_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        if let Ok(byte) = u8::try_from(u32::from(c)) {
            bytes.push(byte);
            continue;
        }
        let mut buffer = [0; 4];
        let (encoded, _, lost) = WINDOWS_1252.encode(c.encode_utf8(&mut buffer));
        if lost || encoded.len() != 1 {
            return None;
        }
        bytes.push(encoded[0]);
    }
    Some(bytes)
}

fn from_gbk(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let (bytes, _, lost) = GBK.encode(text);
    if lost {
        return None;
    }
    // Right text in GBK is almost never valid UTF-8, and where it is, it does not give Chinese characters (联通 gives Greek).
    std::str::from_utf8(&bytes).ok().filter(|utf8| is_chinese(utf8)).map(str::to_owned)
}

/// Has ideographs, and nothing outside ASCII but ideographs and Chinese punctuation.
fn is_chinese(text: &str) -> bool {
    let allowed = |c: char| {
        (c.is_ascii() && !c.is_ascii_control())
            || is_ideograph(c)
            || matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ffef}' | '\u{b7}' | '\u{2014}'..='\u{2026}')
    };
    text.chars().any(is_ideograph) && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::vectors;

    #[test]
    fn the_double_encoded_vector() {
        let all = vectors::all();
        let stored = hex::decode(all["encoding"]["double_encoded"]["stored_utf8_bytes"].as_str().unwrap()).unwrap();
        let stored = String::from_utf8(stored).unwrap();
        assert_eq!(repair(&stored).unwrap(), all["encoding"]["double_encoded"]["text"].as_str().unwrap());
    }

    #[test]
    fn every_accident_is_undone() {
        for text in ["吉林省", "金哲洙", "长春市二道区东站街道", "王喆", "救灾棉被200床"] {
            let gbk = GBK.encode(text).0.into_owned();
            let latin: String = gbk.iter().map(|byte| char::from(*byte)).collect();
            let cp1252 = WINDOWS_1252.decode_without_bom_handling(&gbk).0.into_owned();
            let utf8_as_latin: String = text.bytes().map(char::from).collect();
            for broken in [latin, cp1252, utf8_as_latin] {
                assert_eq!(repair(&broken).unwrap(), text, "{broken}");
            }
        }
        // UTF-8 read as GBK survives only where the bytes pair up.
        for text in ["吉林", "长春市民"] {
            let broken = GBK.decode_without_bom_handling_and_without_replacement(text.as_bytes()).unwrap().into_owned();
            assert_eq!(repair(&broken).unwrap(), text);
        }
    }

    #[test]
    fn right_text_is_left_alone() {
        for text in ["", "abc", "吉林省", "联通", "José", "Müller", "阿不都·热合曼", "5°", "𠮷田", "10m²", "½"]
        {
            assert_eq!(repair(text).unwrap(), text);
        }
    }

    #[test]
    fn lost_characters_are_an_error() {
        assert_eq!(repair("吉\u{fffd}省").unwrap_err().code, MOJIBAKE);
    }
}
