//! Names: the characters, and how they sound.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use super::{characters, hash};

/// Stands for a character that a source could not write.
pub const WILD: char = '?';
/// Longer names are cut.
const LONGEST: usize = 24;

/// A name in standard form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Simplified characters; nothing when the name is written in letters only.
    pub chars: Box<[char]>,
    /// A syllable for each character, or those that the letters spell.
    pub sounds: Box<[u16]>,
    /// Equal for equal names.
    pub term: u64,
    /// Equal for names of the same syllables in any order; 0 when a character is unknown.
    pub sorted: u64,
}

impl Name {
    /// Standardises. Nothing, when no character can be read.
    pub fn read(text: &str) -> Option<Self> {
        let folded = match is_nfkc_quick(text.chars()) {
            IsNormalized::Yes => fold(text.chars()),
            _ => fold(text.nfkc()),
        };
        let letters = folded.iter().all(|c| c.is_ascii_alphabetic() || *c == ' ');
        if !folded.iter().any(|c| *c != WILD && *c != ' ') {
            return None;
        }
        Some(if letters { Self::in_letters(&folded) } else { Self::in_characters(folded) })
    }

    fn in_letters(folded: &[char]) -> Self {
        let text: String = folded.iter().collect();
        let sounds: Vec<u16> =
            text.split(' ').filter(|run| !run.is_empty()).flat_map(characters::syllables).take(LONGEST).collect();
        let (term, sorted) = (hash(&("letters", &sounds)), sorted(&sounds));
        Self { chars: Box::default(), sounds: sounds.into(), term, sorted }
    }

    fn in_characters(mut chars: Vec<char>) -> Self {
        chars.retain(|c| *c != ' ');
        chars.truncate(LONGEST);
        let sounds: Vec<u16> = chars.iter().enumerate().map(|(place, c)| characters::sound(*c, place == 0)).collect();
        let sorted = if chars.contains(&WILD) { 0 } else { sorted(&sounds) };
        Self { term: hash(&chars), sorted, sounds: sounds.into(), chars: chars.into() }
    }

    /// Written in letters only.
    pub fn is_in_letters(&self) -> bool {
        self.chars.is_empty()
    }

    /// Whether a character could not be read.
    pub fn is_partial(&self) -> bool {
        self.chars.contains(&WILD)
    }
}

/// Upper case, no dots; spaces only as the ends of runs of letters.
fn fold(chars: impl Iterator<Item = char>) -> Vec<char> {
    let mut out = Vec::with_capacity(8);
    for c in chars {
        match c {
            '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}' | '〇' => out.push(characters::simplify(c)),
            '?' | '□' | '\u{fffd}' | '*' => out.push(WILD),
            c if c.is_ascii_alphabetic() => out.push(c.to_ascii_uppercase()),
            c if c.is_whitespace() || matches!(c, '.' | ',' | '-' | '\'') => {
                out.extend(out.last().is_some_and(char::is_ascii_alphabetic).then_some(' '));
            }
            c if c.is_alphanumeric() => out.extend(c.to_uppercase()),
            _ => {}
        }
    }
    out
}

fn sorted(sounds: &[u16]) -> u64 {
    let mut sounds = sounds.to_vec();
    sounds.sort_unstable();
    hash(&sounds)
}

/// Whether two characters are often taken for one another.
pub fn look_alike(one: char, other: char) -> bool {
    characters::look_alike(one, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_in_many_spellings() {
        let plain = Name::read("张国强").unwrap();
        for text in ["張 國強", "张·国强", "　张国强 "] {
            assert_eq!(Name::read(text).unwrap().term, plain.term, "{text}");
        }
        let letters = Name::read("Zhang Guoqiang").unwrap();
        assert!(letters.is_in_letters());
        assert_eq!((letters.sounds.clone(), letters.sorted), (plain.sounds.clone(), plain.sorted));
        assert_eq!(Name::read("GUOQIANG, ZHANG").unwrap().sorted, plain.sorted);
        assert!(Name::read("张□强").unwrap().is_partial());
        assert!(Name::read("??").is_none() && Name::read(" · ").is_none());
    }
}
