//! The blocking half of the file source: opening, resuming, and batches of rows.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    FILE_CHANGED, Open,
    folder::{Folder, Stamp, digest},
    state::{Stage, State},
};
use crate::{
    adapter::{
        decode::{self, Format, RowReader},
        source::{BATCH_BYTES, BadRow, Batch, Row, weight},
    },
    error::Fault,
};

/// Stamp and digest of a file; an error when it changes meanwhile.
pub fn identify(folder: &Folder, name: &str) -> io::Result<(Stamp, String)> {
    let (mut file, stamp) = folder.open(name)?;
    let mut digest = self::digest(&mut file)?;
    if let Some(second) = folder.second(name)? {
        let (mut file, _) = folder.open(&second)?;
        digest = hex::encode(Sha256::digest(format!("{digest} {}", self::digest(&mut file)?)));
    }
    if folder.stamp(name)? == stamp { Ok((stamp, digest)) } else { Err(io::Error::from(io::ErrorKind::InvalidData)) }
}

/// Opens the file of `state` again and skips the rows already handed over.
pub fn resume(folder: &Folder, format: &dyn Format, state: State) -> io::Result<Open> {
    let (stamp, digest) = identify(folder, &state.file)?;
    if digest != state.digest {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let (file, _) = folder.input(&state.file)?;
    let mut rows = format.rows(Box::new(file)).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut last = (0, 0);
    while last < (state.member, state.row) {
        let number = match rows.next() {
            Some(Ok(row)) => row.number,
            Some(Err(bad)) => bad.number,
            None => break,
        };
        last = (member(&*rows), number);
    }
    Ok(Open { state, stamp, rows })
}

fn member(rows: &dyn RowReader) -> u32 {
    rows.member().map_or(0, |(number, _)| number)
}

/// At most `max` rows, or 16 MiB of them. The file is given back unless it is at its end.
pub fn batch(folder: &Folder, object: &str, mut open: Open, max: usize) -> (Batch, Option<Open>) {
    if folder.stamp(&open.state.file).ok() != Some(open.stamp) {
        return (gone(object, open.state), None);
    }
    let mut batch = Batch { more: true, ..Batch::default() };
    let mut bytes = 0;
    while batch.rows.len() + batch.bad.len() < max && bytes < BATCH_BYTES {
        match open.rows.next() {
            Some(Ok(decoded)) => {
                (open.state.member, open.state.row) = (member(&*open.rows), decoded.number);
                bytes += weight(&decoded.data);
                batch.rows.push(row(object, &open, decoded));
            }
            Some(Err(bad)) => {
                (open.state.member, open.state.row) = (member(&*open.rows), bad.number);
                bytes += bad.raw.len();
                batch.bad.push(bad_row(object, &open, bad));
            }
            None => {
                open.state.stage = Stage::Read;
                batch.next = open.state.position();
                return (batch, None);
            }
        }
    }
    batch.next = open.state.position();
    (batch, Some(open))
}

/// The file, or the archive and the file in it.
fn place(open: &Open) -> String {
    open.rows.member().map_or_else(|| open.state.file.clone(), |(_, name)| format!("{}/{name}", open.state.file))
}

fn row(object: &str, open: &Open, decoded: decode::Decoded) -> Row {
    Row {
        object: object.to_owned(),
        origin: open.state.origin(),
        file: place(open),
        number: decoded.number,
        data: decoded.data,
        meta: Value::Object(decoded.meta),
    }
}

fn bad_row(object: &str, open: &Open, bad: decode::BadRow) -> BadRow {
    BadRow {
        object: object.to_owned(),
        origin: open.state.origin(),
        faults: bad.faults.into_iter().map(|fault| fault.in_file(place(open))).collect(),
        raw: STANDARD.encode(bad.raw),
    }
}

/// The batch of a file refused whole: one bad row. The content stays in the quarantined file.
pub fn refused(object: &str, mut state: State) -> Batch {
    state.faults = state.faults.into_iter().map(|fault| fault.in_file(&state.file)).collect();
    let bad = BadRow {
        object: object.to_owned(),
        origin: State { member: 0, row: 0, ..state.clone() }.origin(),
        faults: state.faults.clone(),
        raw: String::new(),
    };
    Batch { bad: vec![bad], next: state.position(), more: true, ..Batch::default() }
}

/// The batch of a file that went away or changed before its end: one bad row; a new file of that name is a new file.
pub fn gone(object: &str, state: State) -> Batch {
    let fault = Fault::new(FILE_CHANGED, "the file was changed or taken away while it was read")
        .in_file(&state.file)
        .at_row(state.row)
        .hint("rows up to here were taken; write to a temporary name and rename, and let the hub archive the file");
    let origin = State { member: 0, row: 0, ..state.clone() }.origin();
    let bad = BadRow { object: object.to_owned(), origin, faults: vec![fault], raw: String::new() };
    let next = State { stage: Stage::Gone, ..state }.position();
    Batch { bad: vec![bad], next, more: true, ..Batch::default() }
}
