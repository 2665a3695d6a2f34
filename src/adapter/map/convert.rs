//! Between JSON and the values of VRL, by hand: no detour through text, strings moved where they can be.

use serde_json::{Map, Number, Value as Json};
use vrl::value::{ObjectMap, Value};

use crate::clock;

/// Deepest nesting of a row or record. Values are handled recursively, so this also bounds the stack.
pub const MAX_DEPTH: usize = 64;
/// Significant decimal digits that every 64-bit float keeps.
const FLOAT_DIGITS: usize = 15;

/// JSON to VRL; counts the values it meets. `None` when nested too deeply.
///
/// Integers beyond 64 bits and decimals with more digits than a float keeps become text, as they are written.
pub fn to_vrl(json: &Json, values: &mut u64) -> Option<Value> {
    to_vrl_at(json, values, MAX_DEPTH)
}

fn to_vrl_at(json: &Json, values: &mut u64, depth: usize) -> Option<Value> {
    *values += 1;
    let deeper = depth.checked_sub(1)?;
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Boolean(*value),
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(number) => number_to_vrl(number),
        Json::Array(items) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                list.push(to_vrl_at(item, values, deeper)?);
            }
            Value::Array(list)
        }
        Json::Object(fields) => {
            let mut map = ObjectMap::new();
            for (name, field) in fields {
                map.insert(name.as_str().into(), to_vrl_at(field, values, deeper)?);
            }
            Value::Object(map)
        }
    })
}

fn number_to_vrl(number: &Number) -> Value {
    if let Some(integer) = number.as_i64() {
        return Value::Integer(integer);
    }
    let text = number.to_string();
    let digits = text.bytes().take_while(|c| !matches!(c, b'e' | b'E')).filter(u8::is_ascii_digit).count();
    if number.is_u64() || digits > FLOAT_DIGITS {
        return text.into();
    }
    // Few enough digits to come back as they were written.
    match text.parse().map(vrl::prelude::NotNan::new) {
        Ok(Ok(float)) => Value::Float(float),
        _ => text.into(),
    }
}

/// Why a value of a program cannot be JSON. Holds the pointer, not the value.
#[derive(Debug, PartialEq, Eq)]
pub struct NotJson {
    pub pointer: String,
    pub reason: &'static str,
}

impl NotJson {
    fn new(reason: &'static str) -> Self {
        Self { pointer: String::new(), reason }
    }

    fn inside(mut self, part: &str) -> Self {
        let part = part.replace('~', "~0").replace('/', "~1");
        self.pointer.insert_str(0, &format!("/{part}"));
        self
    }
}

/// VRL to JSON, moving what can be moved. Time stamps become RFC 3339 in China Standard Time.
pub fn to_json(value: Value) -> Result<Json, NotJson> {
    to_json_at(value, MAX_DEPTH)
}

fn to_json_at(value: Value, depth: usize) -> Result<Json, NotJson> {
    let deeper = depth.checked_sub(1).ok_or_else(|| NotJson::new("is nested too deeply"))?;
    Ok(match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => Json::Bool(value),
        Value::Integer(integer) => Json::Number(integer.into()),
        Value::Float(float) => {
            Number::from_f64(float.into_inner()).map(Json::Number).ok_or_else(|| NotJson::new("is not a finite number"))?
        }
        Value::String(text) => Json::String(text_of(text.into_bytes().into())?),
        Value::Bytes(bytes) => Json::String(text_of(bytes.into())?),
        Value::Timestamp(moment) => Json::String(timestamp(moment.timestamp(), moment.timestamp_subsec_millis())?),
        Value::Regex(_) => return Err(NotJson::new("is a regular expression")),
        Value::Array(items) => {
            let mut list = Vec::with_capacity(items.len());
            for (index, item) in items.into_iter().enumerate() {
                list.push(to_json_at(item, deeper).map_err(|error| error.inside(&index.to_string()))?);
            }
            Json::Array(list)
        }
        Value::Object(fields) => {
            let mut map = Map::new();
            for (name, field) in fields {
                let field = to_json_at(field, deeper).map_err(|error| error.inside(&name))?;
                map.insert(String::from(name), field);
            }
            Json::Object(map)
        }
    })
}

fn text_of(bytes: Vec<u8>) -> Result<String, NotJson> {
    String::from_utf8(bytes).map_err(|_| NotJson::new("is not text"))
}

/// A time stamp of VRL as RFC 3339 in China Standard Time.
pub(super) fn timestamp(seconds: i64, millis: u32) -> Result<String, NotJson> {
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(millis) * 1_000_000;
    let moment = time::OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| NotJson::new("is a time out of range"))?;
    Ok(clock::rfc3339(moment))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn there(json: &Json) -> Value {
        to_vrl(json, &mut 0).unwrap()
    }

    #[test]
    fn there_and_back() {
        let row = json!({"a": "吉林", "b": [1, -2, null, true, {"c": 1.5, "": ""}], "d": i64::MIN});
        assert_eq!(to_json(there(&row)).unwrap(), row);
        let mut values = 0;
        to_vrl(&row, &mut values);
        assert_eq!(values, 11);
    }

    #[test]
    fn numbers_that_floats_would_spoil_become_text() {
        for text in ["18446744073709551615", "0.1234567890123456"] {
            let number: Json = serde_json::from_str(text).unwrap();
            assert_eq!(to_json(there(&number)).unwrap(), json!(text), "{text}");
        }
        assert_eq!(to_json(there(&json!(480.25))).unwrap(), json!(480.25));
    }

    #[test]
    fn deep_values_are_refused_both_ways() {
        let mut deep = json!(1);
        let mut value = Value::Integer(1);
        for _ in 0..100 {
            deep = json!([deep]);
            value = Value::Array(vec![value]);
        }
        assert!(to_vrl(&deep, &mut 0).is_none());
        assert_eq!(to_json(value).unwrap_err().reason, "is nested too deeply");
    }

    #[test]
    fn what_is_not_json_has_a_pointer() {
        let bad = Value::Object([("a/b".into(), Value::Array(vec![Value::Null, Value::Bytes(vec![0xff].into())]))].into());
        assert_eq!(to_json(bad).unwrap_err(), NotJson { pointer: "/a~1b/1".into(), reason: "is not text" });
    }
}
