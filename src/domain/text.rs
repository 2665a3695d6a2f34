//! Names and other text: one form for what sources write in many.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// The middle dot of names, U+00B7.
const MIDDLE_DOT: char = '\u{b7}';

/// NFKC, trimmed, inner spaces out (also U+3000), every kind of middle dot as U+00B7. For names and short labels:
/// it would join the words of a sentence.
pub fn nfkc(text: &str) -> Cow<'_, str> {
    let plain = !text.chars().any(|c| c.is_whitespace() || is_dot(c) || is_invisible(c) || c == '.');
    if plain && is_nfkc_quick(text.chars()) == IsNormalized::Yes {
        return Cow::Borrowed(text);
    }
    let kept: String = text
        .chars()
        .map(|c| if is_dot(c) { MIDDLE_DOT } else { c })
        .nfkc()
        .filter(|c| !c.is_whitespace() && !is_invisible(*c))
        // What stood apart may now stand together: an accent that had a space of its own joins the letter before it.
        .nfc()
        .collect();
    Cow::Owned(dots_between_names(&kept))
}

/// A full stop between two ideographs stands for the middle dot (`阿不都.热合曼`); in a number it does not.
fn dots_between_names(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let between = c == '.' && is_ideograph(before) && chars.peek().copied().is_some_and(is_ideograph);
        out.push(if between { MIDDLE_DOT } else { c });
        before = c;
    }
    out
}

/// Nothing but spaces, if anything.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c == '\0' || is_invisible(c))
}

/// What may be shown of a number: `220105********0042`, `138****5678`, `张*`.
pub fn mask(text: &str) -> String {
    let count = text.chars().count();
    let (head, tail) = match count {
        0 | 1 => (0, 0),
        2..=6 => (1, 0),
        7..=10 => (2, 2),
        11..=14 => (3, 4),
        _ => (6, 4),
    };
    text.chars().enumerate().map(|(place, c)| if place < head || place + tail >= count { c } else { '*' }).collect()
}

/// The half-width form of one full-width character.
pub fn half_width(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        c => c,
    }
}

/// Half width, upper case, without spaces: the form of codes and numbers. Stops after `limit` characters and one,
/// so that a huge text costs nothing and is still seen to be too long.
pub fn compact_upper(text: &str, limit: usize) -> String {
    text.chars().map(half_width).filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).take(limit + 1).collect()
}

/// A Chinese character, of the basic set or an extension.
pub fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' | '〇')
}

fn is_dot(c: char) -> bool {
    matches!(c, '\u{b7}' | '\u{2022}' | '\u{ff0e}' | '\u{30fb}' | '\u{ff65}' | '\u{2027}' | '\u{22c5}' | '\u{2219}' | '\u{387}')
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{2060}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_one_form() {
        let cases = [
            ("金哲洙", "金哲洙"),
            (" 金　哲 洙 ", "金哲洙"),
            ("阿不都•热合曼", "阿不都·热合曼"),
            ("阿不都．热合曼", "阿不都·热合曼"),
            ("阿不都・热合曼", "阿不都·热合曼"),
            ("阿不都.热合曼", "阿不都·热合曼"),
            ("Ａｂ１.5", "Ab1.5"),
            ("\u{feff}李\u{200b}明", "李明"),
            ("𠮷田", "𠮷田"),
            ("c´", "ć"),
            ("", ""),
        ];
        for (from, to) in cases {
            assert_eq!(nfkc(from), to);
            assert_eq!(nfkc(to), to, "a second time changes nothing");
        }
    }

    #[test]
    fn masks() {
        let cases = [
            ("220105198003150042", "220105********0042"),
            ("13844012345", "138****2345"),
            ("张三", "张*"),
            ("王", "*"),
            ("", ""),
            ("12345678", "12****78"),
        ];
        for (from, to) in cases {
            assert_eq!(mask(from), to);
        }
    }

    #[test]
    fn blanks() {
        assert!(is_blank("") && is_blank(" \u{3000}\t") && is_blank("\0\0") && !is_blank(" 0"));
    }

    #[test]
    fn compact_is_bounded() {
        assert_eq!(compact_upper("１１ x", 18), "11X");
        assert_eq!(compact_upper(&"9".repeat(1_000_000), 18).len(), 19);
    }
}
