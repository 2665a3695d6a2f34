//! Invented rows, written in the form of the sample they stand for.

use encoding_rs::GB18030;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use crate::{
    error::Fault,
    kit::{
        flow::Path,
        sniff::{Form, UNKNOWN_FORM, columns},
    },
};

/// Bytes of the header of a DBF before its field descriptors, and of one descriptor.
const DBF_HEAD: usize = 32;

/// A file with these rows. `original` gives what a form keeps beside its rows, such as the header of a DBF.
///
/// # Errors
/// The kit cannot write this form.
pub(super) fn render(form: &Form, rows: &[Value], names: &[Path], original: &[u8]) -> Result<Vec<u8>, Fault> {
    Ok(match form.format.as_str() {
        "csv" => csv(form, rows, names),
        "fixed" => fixed(form, rows),
        "dbf" => dbf(rows, original),
        "json" => json_file(form, rows),
        "ndjson" => rows.iter().map(|row| format!("{row}\n")).collect::<String>().into_bytes(),
        other => {
            let fault = Fault::new(UNKNOWN_FORM, format!("no sample can be written as `{other}`"));
            return Err(fault.hint("make a file with a few invented rows by hand and put it into `samples`"));
        }
    })
}

fn encoded(form: &Form, text: &str) -> Vec<u8> {
    if form.option("encoding") == Some("UTF-8") { text.as_bytes().to_vec() } else { GB18030.encode(text).0.into_owned() }
}

fn cell(row: &Value, path: &Path) -> String {
    let mut found = Vec::new();
    columns::values(row, &path.parts, &mut found);
    found.into_iter().next().unwrap_or_default()
}

fn csv(form: &Form, rows: &[Value], names: &[Path]) -> Vec<u8> {
    let delimiter = form.option("delimiter").unwrap_or(",");
    let quoted = |text: String| {
        let plain = !text.contains(delimiter) && !text.contains(['"', '\n', '\r']);
        if plain { text } else { format!("\"{}\"", text.replace('"', "\"\"")) }
    };
    let end = if form.crlf { "\r\n" } else { "\n" };
    let mut lines = Vec::new();
    if !form.options.contains_key("header") {
        lines.push(names.iter().map(|path| quoted(path.to_string())).collect::<Vec<_>>().join(delimiter));
    }
    for row in rows {
        lines.push(names.iter().map(|path| quoted(cell(row, path))).collect::<Vec<_>>().join(delimiter));
    }
    let text: String = lines.iter().map(|line| format!("{line}{end}")).collect();
    let mut bytes = if form.bom { b"\xef\xbb\xbf".to_vec() } else { vec![] };
    bytes.extend(encoded(form, &text));
    if form.options.contains_key("trailer") {
        let digest = hex::encode(Md5::digest(&bytes));
        bytes.extend(format!("EOF,{},{digest}{end}", rows.len()).into_bytes());
    }
    bytes
}

fn fixed(form: &Form, rows: &[Value]) -> Vec<u8> {
    let record = form.options.get("record").and_then(toml::Value::as_array).and_then(|records| records.first());
    let fields = record.and_then(|record| record.get("fields")).and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let mut bytes = Vec::new();
    for row in rows {
        for field in &fields {
            let name = field.get("name").and_then(toml::Value::as_str).unwrap_or_default();
            let length = field.get("length").and_then(toml::Value::as_integer).unwrap_or_default();
            bytes.extend(padded(&encoded(form, &cell(row, &Path::row(vec![name.to_owned()]))), length.unsigned_abs() as usize));
        }
        bytes.extend(if form.crlf { &b"\r\n"[..] } else { &b"\n"[..] });
    }
    bytes
}

fn padded(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut padded = bytes[..bytes.len().min(length)].to_vec();
    padded.resize(length, b' ');
    padded
}

/// The header of the original with other records.
fn dbf(rows: &[Value], original: &[u8]) -> Vec<u8> {
    let at = |place: usize| usize::from(original.get(place).copied().unwrap_or_default());
    let header = (at(8) | at(9) << 8).min(original.len());
    let mut bytes = original[..header].to_vec();
    if let Some(count) = bytes.get_mut(4..8) {
        count.copy_from_slice(&u32::try_from(rows.len()).unwrap_or(u32::MAX).to_le_bytes());
    }
    let descriptors = original.get(DBF_HEAD..header).unwrap_or_default();
    let fields: Vec<&[u8]> = descriptors.chunks_exact(DBF_HEAD).take_while(|field| field[0] != 0x0d).collect();
    for row in rows {
        bytes.push(b' ');
        for field in &fields {
            let name = field[..11].split(|byte| *byte == 0).next().unwrap_or_default();
            let name = GB18030.decode_without_bom_handling(name).0.trim().to_owned();
            let length = usize::from(field[16]) + if field[11] == b'C' { usize::from(field[17]) << 8 } else { 0 };
            let mut text = cell(row, &Path::row(vec![name]));
            // A date comes out of the decoder with dashes and goes into the file without.
            if field[11] == b'D' {
                text.retain(|c| c.is_ascii_digit());
            }
            bytes.extend(padded(&GB18030.encode(&text).0, length));
        }
    }
    bytes.push(0x1a);
    bytes
}

fn json_file(form: &Form, rows: &[Value]) -> Vec<u8> {
    let body = match form.option("items").and_then(|items| items.strip_prefix('/')) {
        Some(name) => json!({ name: rows }),
        None => json!(rows),
    };
    format!("{body:#}\n").into_bytes()
}
