//! Certificates whose numbers have an inner form: disability certificates and marriage certificates.

use super::{Refusal, division, resident_id::ResidentId, text};
use crate::error::Code;

/// The number of a disability or marriage certificate has a wrong form.
pub const CERTIFICATE: Code = Code::new(3104);

/// A number of a disability certificate, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disability {
    /// The whole number, 20 or 22 characters.
    pub number: String,
    pub holder: ResidentId,
    /// Category 1 to 7 (GB/T 26341): sight, hearing, speech, limbs, mind, psyche, several.
    pub category: char,
    /// Grade 1 (most severe) to 4.
    pub grade: char,
    /// How often it was issued again: the digit after `B`.
    pub reissue: Option<char>,
}

/// Identity number, category, grade; `B` and a digit when issued again.
pub fn disability(value: &str) -> Result<Disability, Refusal> {
    let refuse = |message| {
        Refusal::new(CERTIFICATE, message, "an identity number, category 1-7, grade 1-4, and `B` with a digit when issued again")
    };
    let number = text::compact_upper(value, 22);
    if !number.is_ascii() || !matches!(number.len(), 20 | 22) {
        return Err(refuse("the number of the disability certificate has a wrong length"));
    }
    let holder = ResidentId::parse(&number[..18])
        .map_err(|_| refuse("the disability certificate begins with an invalid identity number"))?;
    let bytes = number.as_bytes();
    let (category, grade) = (char::from(bytes[18]), char::from(bytes[19]));
    let reissue = bytes.get(21).copied().map(char::from);
    let reissue_good = number.len() == 20 || (bytes[20] == b'B' && bytes[21].is_ascii_digit());
    if !('1'..='7').contains(&category) || !('1'..='4').contains(&grade) || !reissue_good {
        return Err(refuse("category, grade or issue of the disability certificate does not exist"));
    }
    Ok(Disability { number, holder, category, grade, reissue })
}

/// `J` marriage or `L` divorce (`B` before it when issued again), division, year, serial: `J220105-2017-000123`.
pub fn marriage(value: &str) -> Result<String, Refusal> {
    let refuse =
        |message| Refusal::new(CERTIFICATE, message, "`J`, `L`, `BJ` or `BL`, six digits division, `-`, year, `-`, six digits");
    let number = text::compact_upper(value, 21);
    let rest = ["BJ", "BL", "J", "L"].iter().find_map(|prefix| number.strip_prefix(prefix)).unwrap_or_default();
    let parts: Vec<&str> = rest.split('-').collect();
    let &[place, year, serial] = parts.as_slice() else {
        return Err(refuse("the certificate number has a wrong form"));
    };
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|c| c.is_ascii_digit());
    if !digits(place, 6) || !digits(year, 4) || !digits(serial, 6) {
        return Err(refuse("the certificate number has a wrong form"));
    }
    if !division::is_issuing_place(place) {
        return Err(refuse("the division of the certificate number never existed"));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::vectors;

    #[test]
    fn vectors() {
        for number in vectors::texts("/disability_certificate/valid", "") {
            assert_eq!(disability(&number).unwrap().number, number);
        }
        for number in vectors::texts("/marriage_certificate/valid", "") {
            assert_eq!(marriage(&number).unwrap(), number);
        }
    }

    #[test]
    fn parts_of_a_disability_certificate() {
        let certificate = disability("22010519800315004243b1").unwrap();
        assert_eq!((certificate.category, certificate.grade, certificate.reissue), ('4', '3', Some('1')));
        for bad in [
            "22010519800315004283",
            "22010519800315004245",
            "22010519800315004143",
            "22010519800315004243C1",
            "2201051980031500424",
        ] {
            assert!(disability(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn marriage_forms_are_checked() {
        for bad in ["", "J220105", "K220105-2017-000123", "J990105-2017-000123", "J220105-17-000123", "J220105-2017-00012吉"] {
            assert!(marriage(bad).is_err(), "{bad}");
        }
    }
}
