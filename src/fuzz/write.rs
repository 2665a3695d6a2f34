//! Writers for what was read, so that it can be read again. They write every value in the most careful form there is.

use serde_json::{Map, Value};

use crate::{adapter::decode::Decoded, json};

/// CSV with a header; nothing when the rows do not have the same columns.
pub fn csv(rows: &[Decoded]) -> Option<Vec<u8>> {
    let columns: Vec<&String> = rows.first()?.data.as_object()?.keys().collect();
    let mut text = line(columns.iter().map(|name| name.as_str()));
    for row in rows {
        let fields = row.data.as_object()?;
        let values: Option<Vec<&str>> = columns.iter().map(|name| fields.get(*name)?.as_str()).collect();
        text.push_str(&line(values?.into_iter()));
    }
    Some(text.into_bytes())
}

/// `="…"` in quotes keeps everything, a leading apostrophe too.
fn line<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let cells: Vec<String> = values.map(|value| format!("\"=\"\"{}\"\"\"", value.replace('"', "\"\""))).collect();
    cells.join(",") + "\r\n"
}

/// One object a line.
pub fn lines(rows: &[Decoded]) -> Vec<u8> {
    rows.iter().map(|row| format!("{}\n", row.data)).collect::<String>().into_bytes()
}

/// XML with rows at `list/item`; nothing when a name cannot be written.
pub fn xml(rows: &[Decoded]) -> Option<Vec<u8>> {
    let mut text = String::from("<list>");
    for row in rows {
        element("item", &row.data, &mut text)?;
    }
    text.push_str("</list>");
    Some(text.into_bytes())
}

fn element(name: &str, value: &Value, text: &mut String) -> Option<()> {
    match value {
        Value::Null => text.push_str(&format!("<{name} nil=\"true\"/>")),
        Value::String(content) => text.push_str(&format!("<{name}>{}</{name}>", escape(content))),
        Value::Object(members) => object(name, members, text)?,
        _ => return None,
    }
    Some(())
}

fn object(name: &str, members: &Map<String, Value>, text: &mut String) -> Option<()> {
    text.push_str(&format!("<{name}"));
    for (attribute, value) in members.iter().filter_map(|(name, value)| Some((name.strip_prefix('@')?, value))) {
        plain(attribute)?;
        text.push_str(&format!(" {attribute}=\"{}\"", escape(value.as_str()?)));
    }
    text.push('>');
    if let Some(content) = members.get("#text") {
        text.push_str(&escape(content.as_str()?));
    }
    for (child, value) in members.iter().filter(|(name, _)| !name.starts_with(['@', '#'])) {
        plain(child)?;
        match value {
            // A list of one is a list only where the adapter says so.
            Value::Array(items) if items.len() > 1 => {
                items.iter().try_for_each(|item| element(child, item, text).ok_or(())).ok()?
            }
            Value::Array(_) => return None,
            one => element(child, one, text)?,
        }
    }
    text.push_str(&format!("</{name}>"));
    Some(())
}

/// A name that needs no care. `xmlns` and `nil` mean something of their own.
fn plain(name: &str) -> Option<()> {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins && json::structural(name) && !matches!(name, "xmlns" | "nil")).then_some(())
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Line ends are made one when they are read; so is what XML 1.1 takes for one.
            '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' => escaped.push_str(&format!("&#{};", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}
