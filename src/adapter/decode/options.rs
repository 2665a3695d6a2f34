//! Options of sources and formats: every unknown name is refused, with the nearest known one, all at once.

use serde::de::DeserializeOwned;

use crate::error::{Code, Fault};

/// An option is not known to this kind or format.
pub const UNKNOWN_OPTION: Code = Code::new(2003);
/// An option is missing, or its value has the wrong type or range.
pub const BAD_OPTION: Code = Code::new(2004);

/// Reads options into `T`, a struct with `deny_unknown_fields`.
///
/// # Errors
/// One fault for each unknown option, and one for the first value of the wrong type.
pub fn read<T: DeserializeOwned>(table: &toml::Table) -> Result<T, Vec<Fault>> {
    let mut rest = table.clone();
    let mut faults = Vec::new();
    loop {
        let error = match toml::Value::Table(rest.clone()).try_into::<T>() {
            Ok(read) if faults.is_empty() => return Ok(read),
            Ok(_) => return Err(faults),
            Err(error) => error,
        };
        // Serde stops at the first unknown field: note it, take it out and read on.
        let message = error.message().to_owned();
        let mut quoted = message.split('`').skip(1).step_by(2);
        match quoted.next().filter(|name| message.starts_with("unknown field") && rest.contains_key(*name)) {
            Some(name) => {
                faults.push(unknown(UNKNOWN_OPTION, "option", name, &quoted.collect::<Vec<_>>()));
                rest.remove(name);
            }
            None => {
                faults.push(Fault::new(BAD_OPTION, message.trim().replace('\n', " ")));
                return Err(faults);
            }
        }
    }
}

/// A fault for a wrong value of one option.
pub fn bad(option: &str, message: impl AsRef<str>) -> Fault {
    Fault::new(BAD_OPTION, format!("option `{option}`: {}", message.as_ref()))
}

/// A fault for a name that is not among the known ones.
pub fn unknown(code: Code, what: &str, name: &str, known: &[&str]) -> Fault {
    let fault = Fault::new(code, format!("unknown {what} `{name}`")).expected(format!("one of `{}`", known.join("`, `")));
    let near = |known: &str| strsim::normalized_damerau_levenshtein(known, name);
    match known.iter().max_by(|a, b| near(a).total_cmp(&near(b))).filter(|known| near(known) > 0.5) {
        Some(nearest) => fault.hint(format!("did you mean `{nearest}`?")),
        None => fault,
    }
}

/// Text or a list of texts, as a list.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// A length of time such as `300`, `"2s"`, `"5m"`, `"1h"`, `"500ms"`, in milliseconds; a bare number is seconds.
pub fn millis(text: &str) -> Option<i64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        encoding: String,
        #[allow(dead_code, reason = "only its name matters here")]
        delimiter: Option<String>,
    }

    #[test]
    fn every_unknown_option_is_named_with_the_nearest_known_one() {
        let table = "encodng = 'x'\nencoding = 'y'\nzzz = 1".parse::<toml::Table>().unwrap();
        let faults = read::<Sample>(&table).unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), [UNKNOWN_OPTION; 2]);
        assert_eq!(faults[0].hint.as_deref(), Some("did you mean `encoding`?"));
        assert_eq!(faults[1].hint, None);
        assert_eq!(read::<Sample>(&"encoding = 'y'".parse().unwrap()).unwrap().encoding, "y");
    }

    #[test]
    fn missing_and_wrong_values_are_refused() {
        assert_eq!(read::<Sample>(&toml::Table::new()).unwrap_err()[0].code, BAD_OPTION);
        assert_eq!(read::<Sample>(&"encoding = 1".parse().unwrap()).unwrap_err()[0].code, BAD_OPTION);
    }

    #[test]
    fn lengths_of_time_have_units() {
        let read = ["300", "2s", "5m", "1h", "500ms", "1d"].map(|text| millis(text).unwrap());
        assert_eq!(read, [300_000, 2_000, 300_000, 3_600_000, 500, 86_400_000]);
        assert_eq!((millis("5x"), millis("m"), millis("")), (None, None, None));
    }
}
