//! Texts and messages: charsets, strict JSON, events, records against their schema, signatures, samples of unknown form.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use encoding_rs::{GB18030, UTF_8};
use serde_json::Value;

use super::{
    check,
    shelf::{choose, registry, split},
};
use crate::{
    adapter::decode::charset::Charset,
    envelope::event::{attributes_of, stand_in},
    json::{self, Limits},
    kit::sniff::{self, columns},
    router,
    schema::DatasetSchema,
    signature::{
        digest,
        structured::{Member, dictionary, write_item, write_list},
        verify,
    },
};

/// Texts in both charsets; a text that is cut anywhere loses its last character and no more.
pub fn charset(bytes: &[u8]) {
    for (charset, encoding) in [(Charset::Gb18030, GB18030), (Charset::Utf8, UTF_8)] {
        let text = match charset.decode(bytes) {
            Ok(text) => text,
            Err(fault) => {
                check::fault(&fault);
                continue;
            }
        };
        let (encoded, _, lost) = encoding.encode(&text);
        assert!(!lost, "a text that was read cannot be written");
        assert_eq!(charset.decode(&encoded).as_deref(), Ok(&*text), "a text is another when written and read");
        for cut in 0..bytes.len().min(64) {
            let (whole, torn) = charset.trim_cut(&bytes[..cut]);
            assert!(whole.len() <= cut && (torn == (whole.len() < cut)) && cut - whole.len() < 4, "a cut of {cut} bytes");
            assert_eq!(charset.trim_cut(whole), (whole, false), "what was mended is cut again");
            assert!(charset.decode(whole).is_ok_and(|part| text.starts_with(&*part)), "a cut text is another");
        }
    }
}

/// Strict JSON: what passes is the same for every reader, and stays the same.
pub fn guard(bytes: &[u8]) {
    let limits = Limits::default();
    let read = json::strict(bytes, &limits);
    check::same(&read, &json::strict(bytes, &limits));
    match &read {
        Ok(value) => {
            assert_eq!(json::strict(value.to_string().as_bytes(), &limits).as_ref(), Ok(value), "written and read it is another");
            let other: Result<Value, _> = serde_json::from_slice(bytes);
            let other = other.unwrap_or_else(|error| panic!("another reader refuses it: {:?}", error.classify()));
            assert!(alike(value, &other), "another reader reads another value");
        }
        Err(refused) => check::faults(refused),
    }
    match json::salvage(bytes, &limits) {
        Ok((value, faults)) if faults.is_empty() => assert_eq!(Ok(value), read, "salvaged it is another"),
        Ok((_, faults)) => assert_eq!(Err(faults), read, "salvaged it has other faults"),
        Err(faults) => assert_eq!(Err(faults), read, "salvaged it has other faults"),
    }
}

/// The same, but for the last bit of a decimal: other readers are less exact.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| alike(value, other)))
        }
        // `-0` is an integer here and a decimal elsewhere.
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => {
            let float = |text: String| text.parse::<f64>().unwrap_or(f64::NAN);
            let (one, other) = (float(one.to_string()), float(other.to_string()));
            one == other || (one - other).abs() <= one.abs() * 1e-15
        }
        (one, other) => one == other,
    }
}

/// A message of the bus.
pub fn envelope(bytes: &[u8]) {
    let read = router::check::parse(bytes);
    check::same(&read, &router::check::parse(bytes));
    match read {
        Ok(event) => {
            assert_eq!(router::check::parse(&event.to_bytes()).as_ref(), Ok(&event), "written and read it is another event");
            let _ = (event.system(), event.dataset(), event.op(), event.routing_key());
            if let Some(attributes) = attributes_of(bytes) {
                assert_eq!(
                    (&attributes.id, &attributes.subject, attributes.sequence),
                    (&event.id, &event.subject, event.sequence)
                );
            }
        }
        Err(refused) => {
            check::faults(&refused);
            let (one, other) = (stand_in(bytes), stand_in(bytes));
            assert_eq!((&one.id, &one.occurrence), (&other.id, &other.occurrence), "a message has two names");
            let _ = attributes_of(bytes);
        }
    }
}

/// A record against the schema that the first line names.
pub fn schema(bytes: &[u8]) {
    let (label, rest) = split(bytes);
    let all: Vec<(String, &DatasetSchema)> = registry().iter().map(|schema| (schema.id(), schema)).collect();
    let Some((_, schema)) = choose(&all, bytes, label, |(name, _)| name) else { return };
    let Ok(record) = json::strict(rest, &Limits::default()) else { return };
    let faults = schema.validate(&record);
    check::same(&faults, &schema.validate(&record));
    faults.iter().for_each(check::fault);
    schema.validate_delivered(&record).iter().for_each(check::fault);
}

/// Headers of a signed request, one a line, and a body behind an empty line.
pub fn signature(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(members) = dictionary(&text) {
        let written: Vec<String> = members.iter().map(|(key, member)| format!("{key}={}", written(member))).collect();
        assert_eq!(dictionary(&written.join(", ")).as_ref(), Some(&members), "written and read it is another dictionary");
    }
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut headers = HeaderMap::new();
    for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.trim()), HeaderValue::try_from(value.trim())) {
            headers.append(name, value);
        }
    }
    if let Ok(found) = verify::candidates(&headers) {
        assert!(
            !found.is_empty() && found.iter().all(|one| !one.keyid.is_empty() && one.nonce.len() >= 8),
            "a weak signature passed"
        );
    }
    let _ = digest::check(head.lines().next().unwrap_or_default(), body.as_bytes());
    if let Some(value) = headers.get(digest::FIELD).and_then(|value| value.to_str().ok()) {
        let _ = digest::check(value, body.as_bytes());
    }
}

fn written(member: &Member) -> String {
    match member {
        Member::Item(item) => write_item(item),
        Member::List(items, parameters) => write_list(items, parameters),
    }
}

/// A sample of which nothing is known.
pub fn sniff(bytes: &[u8]) {
    let form = sniff::sniff(bytes, None);
    check::same(&form, &sniff::sniff(bytes, None));
    match form {
        Err(fault) => check::fault(&fault),
        Ok(form) => {
            let _ = form.header(bytes);
            if let Ok(rows) = form.rows(bytes) {
                assert!(columns::of(&rows).len() <= bytes.len() + 1, "more columns than bytes");
            }
        }
    }
}
