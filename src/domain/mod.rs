//! The rules of civil affairs: numbers with check digits, divisions, code lists, dates, money, names.
//!
//! Pure functions without input or output, each rule with its standard in the doc comment. What is refused comes
//! back as a [`Refusal`]: it names the form that was expected, never the value, so it may go to any log.

use std::{borrow::Cow, fmt};

use crate::error::{Code, Fault};

pub mod bank;
pub mod certificate;
pub mod codes;
pub mod date;
pub mod division;
pub mod keyed_hash;
pub mod mojibake;
pub mod money;
pub mod phone;
pub mod resident_id;
pub mod text;
pub mod uscc;
pub mod workday;

/// A value that breaks a rule of its kind. Holds no part of the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Code of the rule's family.
    pub code: Code,
    /// What is wrong, lower case.
    pub message: Cow<'static, str>,
    /// The form that was expected.
    pub expected: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with fixed texts.
    pub const fn new(code: Code, message: &'static str, expected: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message), expected: Cow::Borrowed(expected) }
    }

    /// The refusal as a fault, for the caller to add the place.
    pub fn fault(&self) -> Fault {
        Fault::new(self.code, self.message.clone()).expected(self.expected.clone())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; expected {}", self.message, self.expected)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
pub(crate) mod vectors {
    //! The shared test vectors.

    /// `tests/fixtures/test_vectors.json`, parsed.
    pub(crate) fn all() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/fixtures/test_vectors.json")).unwrap()
    }

    /// The texts at a pointer: a list of strings, or of objects with the field.
    pub(crate) fn texts(pointer: &str, field: &str) -> Vec<String> {
        let all = all();
        let list = all.pointer(pointer).unwrap_or_else(|| panic!("no vectors at {pointer}")).as_array().unwrap();
        assert!(!list.is_empty());
        list.iter().map(|entry| entry.as_str().or_else(|| entry[field].as_str()).unwrap().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Rule = fn(&str) -> Result<String, Refusal>;

    /// Text near the edges of the rules: digits, separators, Chinese units, full-width and broken characters.
    fn odd_text() -> impl Strategy<Value = String> {
        let near = "[-+0-9０-９Xx./:, TZ年月日时分秒￥元A-C吉¼ª\u{fffd}\u{3000}]{0,24}";
        prop_oneof![near, "[0-9]{5,22}", any::<String>()]
    }

    proptest! {
        #[test]
        fn no_text_makes_a_rule_panic_and_what_is_accepted_is_accepted_again(value in odd_text()) {
            let number = resident_id::ResidentId::parse(&value).map(|id| id.as_str().to_owned());
            let again = |x: &str| resident_id::ResidentId::parse(x).map(|id| id.as_str().to_owned());
            prop_assert!(number.iter().all(|x| again(x).as_ref() == Ok(x)));
            let rules: [Rule; 10] = [
                uscc::uscc, uscc::organisation_code, bank::cnaps, bank::card, certificate::marriage, division::normalise,
                division::normalise_anywhere, phone::mobile, date::yyyymm, money::yuan,
            ];
            for rule in rules {
                if let Ok(accepted) = rule(&value) {
                    prop_assert_eq!(rule(&accepted), Ok(accepted));
                }
            }
            let _ = (certificate::disability(&value), date::cn_date(&value), date::cn_time(&value), money::fen(&value));
            let _ = (division::full_name(&value), mojibake::repair(&value), text::mask(&value));
            let once = text::nfkc(&value);
            prop_assert_eq!(text::nfkc(&once), once.clone());
        }
    }
}
