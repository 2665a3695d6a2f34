//! Records as lines of JSON.

use std::{collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{record::Raw, rules::Rules};
use crate::error::{Code, Fault};

/// A line of the input is no record.
pub const BAD_LINE: Code = Code::new(5402);
/// A mapping of names is not understood.
pub const BAD_NAMES: Code = Code::new(5403);
/// Two records have one id.
pub const DOUBLE_ID: Code = Code::new(5404);

/// Under which names the input has the fields of the rules.
#[derive(Debug, Clone)]
pub struct Names {
    id: String,
    system: String,
    fields: Vec<String>,
}

impl Names {
    /// The names of the rules, changed by `field=name` pairs with commas between.
    ///
    /// # Errors
    /// A pair without `=`, or an unknown field.
    pub fn new(rules: &Rules, mapping: Option<&str>) -> Result<Self, Fault> {
        let mut names = Self { id: "record_id".to_owned(), system: "system".to_owned(), fields: rules.names() };
        for pair in mapping.unwrap_or_default().split(',').filter(|pair| !pair.trim().is_empty()) {
            let known = rules.names();
            let (field, name) = pair.split_once('=').ok_or_else(|| bad_names(pair, &known))?;
            let slot = match field.trim() {
                "record_id" => &mut names.id,
                "system" => &mut names.system,
                field => {
                    let place = known.iter().position(|known| known == field).ok_or_else(|| bad_names(pair, &known))?;
                    &mut names.fields[place]
                }
            };
            name.trim().clone_into(slot);
        }
        Ok(names)
    }

    /// Reads one line. A record without an id has its line number for one.
    ///
    /// # Errors
    /// The line is no JSON object, or a field is no text, number or truth value.
    pub fn parse(&self, line: &[u8], number: u64) -> Result<Raw, Fault> {
        let mut json = serde_json::Deserializer::from_slice(line);
        let raw = RawSeed(self).deserialize(&mut json).and_then(|raw| json.end().map(|()| raw));
        // The parser's own text could quote the record.
        let mut raw = raw.map_err(|error| {
            let fault = Fault::new(BAD_LINE, "the line is no record").at_row(number).at_column(error.column().to_string());
            fault.expected("one JSON object a line; values are texts, numbers or null")
        })?;
        if raw.id.is_empty() {
            raw.id = format!("line-{number}");
        }
        Ok(raw)
    }
}

/// Ids name the records in the result: one may not stand for two.
pub(super) fn refuse_doubles(raws: &[Raw]) -> Result<(), Fault> {
    let mut seen = HashSet::with_capacity(raws.len());
    let double = raws.iter().position(|raw| !seen.insert(raw.id.as_str()));
    double.map_or(Ok(()), |place| {
        let fault = Fault::new(DOUBLE_ID, "the record's id was used before").at_row(place as u64 + 1);
        Err(fault.hint("ids must be unique in the file; map another field to record_id with --fields record_id=NAME"))
    })
}

pub(super) fn unreadable(error: &std::io::Error) -> Fault {
    Fault::new(BAD_LINE, format!("the input cannot be read: {}", error.kind()))
}

fn bad_names(pair: &str, known: &[String]) -> Fault {
    let expected = format!("field=name with record_id, system, {}", known.join(", "));
    Fault::new(BAD_NAMES, format!("`{pair}` is no mapping of a field")).expected(expected)
}

/// Fills a record straight from the parser.
struct RawSeed<'a>(&'a Names);

impl<'de> DeserializeSeed<'de> for RawSeed<'_> {
    type Value = Raw;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RawSeed<'_> {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut raw = Raw { texts: vec![None; self.0.fields.len()], ..Raw::default() };
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if name == self.0.id {
                raw.id = map.next_value_seed(Text)?.unwrap_or_default();
            } else if name == self.0.system {
                raw.system = map.next_value_seed(Text)?.unwrap_or_default();
            } else if let Some(place) = self.0.fields.iter().position(|field| *field == name) {
                raw.texts[place] = map.next_value_seed(Text)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(raw)
    }
}

/// A text, or what has one plain form as text.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or null")
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Option<String>, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Option<String>, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Option<String>, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Option<String>, E> {
        Ok(Some(truth.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Option<String>, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_names() {
        let rules = Rules::built_in().unwrap();
        let names = Names::new(&rules, Some("record_id=id, name=XM")).unwrap();
        let raw = names.parse(br#"{"id": 7, "XM": "\u738b\u5f3a", "sex": null, "more": [1, {"a": 2}]}"#, 1).unwrap();
        assert_eq!((raw.id.as_str(), raw.texts[0].as_deref()), ("7", Some("王强")));
        assert_eq!(names.parse(b"{}", 3).unwrap().id, "line-3");
        let fault = names.parse(br#"{"XM": ["secret"]}"#, 9).unwrap_err();
        assert!(fault.code == BAD_LINE && fault.place.row == Some(9) && !fault.to_string().contains("secret"));
        assert_eq!(Names::new(&rules, Some("colour=red")).unwrap_err().code, BAD_NAMES);
        assert_eq!(refuse_doubles(&[raw.clone(), raw]).unwrap_err().code, DOUBLE_ID);
    }
}
