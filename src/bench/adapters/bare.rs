//! The bare libraries: they make owned texts of every field, and nothing else.

use std::{
    hint::black_box,
    io::{Cursor, Read},
};

use calamine::Reader as _;
use encoding_rs::GB18030;
use quick_xml::{Reader, events::Event};
use serde_json::Value;

use super::{Counted, not_measured};

/// The `csv` crate: a record of bytes for each row.
pub fn csv(bytes: &[u8]) -> Counted {
    let mut rows = 0;
    // The control line has other fields than the rows.
    for record in csv::ReaderBuilder::new().flexible(true).from_reader(bytes).byte_records() {
        let record = record.map_err(|_| not_measured("the csv crate failed"))?;
        rows += u64::from(record.get(0) != Some(b"EOF"));
        black_box(record);
    }
    Ok(rows)
}

/// There is no library: the fields of each line as texts, by their places.
pub fn fixed(bytes: &[u8], fields: &[(usize, usize)]) -> Counted {
    let mut rows = 0;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"D")) {
        let text = |(start, end): &(usize, usize)| {
            let field = line.get(*start..*end).unwrap_or_default();
            GB18030.decode_without_bom_handling(field).0.trim_end().to_owned()
        };
        black_box(fields.iter().map(text).collect::<Vec<String>>());
        rows += 1;
    }
    Ok(rows)
}

/// The `dbase` crate: a record of values for each row.
pub fn dbf(bytes: &[u8]) -> Counted {
    let failed = |_| not_measured("the dbase crate failed");
    let mut reader =
        dbase::ReaderBuilder::new().with_encoding(dbase::encoding::UnicodeLossy).build(Cursor::new(bytes)).map_err(failed)?;
    let mut rows = 0;
    for record in reader.iter_records() {
        black_box(record.map_err(failed)?);
        rows += 1;
    }
    Ok(rows)
}

/// The `zip` and `dbase` crates: every table of the archive.
pub fn zip(bytes: &[u8]) -> Counted {
    let failed = |_| not_measured("the zip crate failed");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(failed)?;
    let mut rows = 0;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(failed)?;
        let table = member.name_raw().ends_with(b".DBF");
        let mut inflated = Vec::new();
        member.read_to_end(&mut inflated).map_err(|_| not_measured("the zip crate failed"))?;
        rows += if table { dbf_without_memos(&inflated)? } else { 0 };
    }
    Ok(rows)
}

/// The `dbase` crate looks for memos in a file: the places of memos are read as numbers instead.
fn dbf_without_memos(bytes: &[u8]) -> Counted {
    let mut bytes = bytes.to_vec();
    for descriptor in bytes.get_mut(32..).unwrap_or_default().chunks_exact_mut(32).take_while(|field| field[0] != b'\r') {
        if descriptor[11] == b'M' {
            descriptor[11] = b'C';
        }
    }
    dbf(&bytes)
}

/// `calamine`: a range of all cells of the sheet.
pub fn xlsx(bytes: &[u8], sheet: &str, above: usize) -> Counted {
    let failed = |_| not_measured("calamine failed");
    let mut book = calamine::Xlsx::new(Cursor::new(bytes)).map_err(failed)?;
    let range = book.worksheet_range(sheet).map_err(failed)?;
    let mut rows = 0;
    for row in range.rows().skip(above) {
        black_box(row.iter().map(ToString::to_string).collect::<Vec<String>>());
        rows += 1;
    }
    Ok(rows)
}

/// `quick-xml`: every event, and the texts of elements as they are; rows by the name of their element.
pub fn xml(text: &str, row: &str) -> Counted {
    let mut reader = Reader::from_str(text);
    let mut rows = 0;
    loop {
        match reader.read_event().map_err(|_| not_measured("quick-xml failed"))? {
            Event::Start(start) => rows += u64::from(start.local_name().as_ref() == row),
            Event::Text(text) => drop(black_box(text.xml_content(quick_xml::XmlVersion::Implicit1_0).into_owned())),
            Event::Eof => return Ok(rows),
            event => drop(black_box(event)),
        }
    }
}

/// `quick-xml` twice: the envelope, and the document that is its text.
pub fn soap(bytes: &[u8], row: &str) -> Counted {
    let text = std::str::from_utf8(bytes).map_err(|_| not_measured("a page is not UTF-8"))?;
    let mut reader = Reader::from_str(text);
    loop {
        match reader.read_event().map_err(|_| not_measured("quick-xml failed"))? {
            Event::CData(inner) => return xml(&inner.xml_content(quick_xml::XmlVersion::Implicit1_0), row),
            Event::Eof => return Err(not_measured("a page has no document")),
            event => drop(black_box(event)),
        }
    }
}

/// `serde_json`: a document with an array of rows.
pub fn json(bytes: &[u8], items: &str) -> Counted {
    let document: Value = serde_json::from_slice(bytes).map_err(|_| not_measured("serde_json failed"))?;
    let rows = document.pointer(items).and_then(Value::as_array).map_or(0, Vec::len);
    black_box(document);
    Ok(rows as u64)
}

/// `serde_json`: a document for each line.
pub fn ndjson(bytes: &[u8]) -> Counted {
    let mut rows = 0;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        black_box(serde_json::from_slice::<Value>(line).map_err(|_| not_measured("serde_json failed"))?);
        rows += 1;
    }
    Ok(rows)
}
