//! Words in an alphabet, and codes.

use unicode_normalization::UnicodeNormalization;

use super::hash;

/// Lower case letters and digits, without spaces and signs: a space in the wrong place is the commonest slip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub plain: Box<str>,
    pub term: u64,
}

impl Text {
    /// Standardises. Nothing, when no letter or digit is left.
    pub fn read(text: &str) -> Option<Self> {
        let plain: String = text.nfkc().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        let term = hash(plain.as_bytes());
        (!plain.is_empty()).then(|| Self { plain: plain.into(), term })
    }

    /// Consonant classes in order, as Soundex has them; the first letter as it is.
    pub fn sound(&self) -> u64 {
        let class = |c: char| match c {
            'b' | 'f' | 'p' | 'v' => 1,
            'c' | 'g' | 'j' | 'k' | 'q' | 's' | 'x' | 'z' => 2,
            'd' | 't' => 3,
            'l' => 4,
            'm' | 'n' => 5,
            'r' => 6,
            _ => 0,
        };
        let mut chars = self.plain.chars();
        let first = chars.next().unwrap_or(' ');
        let (mut code, mut last, mut length) = (u64::from(first), class(first), 0);
        for c in chars {
            let next = class(c);
            if next != 0 && next != last && length < 3 {
                (code, length) = (code * 8 + next, length + 1);
            }
            last = next;
        }
        hash(&("sound", code))
    }
}
