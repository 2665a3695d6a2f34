//! Answers of services that are polled, and bodies that are pushed.

use std::sync::LazyLock;

use super::{
    check,
    shelf::{choose, of_kind, split},
};
use crate::adapter::{
    source::{ObjectOptions, http_pull, http_push, soap},
    spec::SourceKind,
};

static SOAP: LazyLock<Vec<ObjectOptions>> = LazyLock::new(|| of_kind(SourceKind::Soap));
static PUSH: LazyLock<Vec<ObjectOptions>> = LazyLock::new(|| of_kind(SourceKind::HttpPush));
static PULL: LazyLock<Vec<ObjectOptions>> = LazyLock::new(|| of_kind(SourceKind::HttpPull));

/// Rows of one delivery, as `http_push` promises.
const PUSHED: usize = 1000;

fn object<'a>(all: &'a [ObjectOptions], bytes: &'a [u8]) -> Option<(&'a ObjectOptions, &'a [u8])> {
    let (label, rest) = split(bytes);
    choose(all, bytes, label, |object| &object.name).map(|object| (object, rest))
}

/// An envelope around a document, or a SOAP fault.
pub fn soap(bytes: &[u8]) {
    let Some((object, body)) = object(&SOAP, bytes) else { return };
    let rows = soap::rows_of(object, body);
    check::same(&rows, &soap::rows_of(object, body));
    match rows {
        Ok(rows) => {
            for (at, row) in rows.iter().enumerate() {
                let number = row.as_ref().map_or_else(|bad| bad.number, |row| row.number);
                assert_eq!(number, at as u64 + 1, "rows are not counted");
                if let Err(bad) = row {
                    check::faults(&bad.faults);
                }
            }
        }
        Err(refused) => check::faults(&refused),
    }
}

/// A delivery in one of the vendors' dialects: taken whole or not at all.
pub fn push(bytes: &[u8]) {
    let Some((object, body)) = object(&PUSH, bytes) else { return };
    let rows = http_push::rows_of(object, body);
    check::same(&rows, &http_push::rows_of(object, body));
    match rows {
        Ok(rows) => assert!(rows.len() <= PUSHED && rows.iter().all(serde_json::Value::is_object), "{} rows", rows.len()),
        Err(refused) => check::faults(&refused),
    }
}

/// A page of JSON.
pub fn pull(bytes: &[u8]) {
    let Some((object, body)) = object(&PULL, bytes) else { return };
    let rows = http_pull::rows_of(object, body);
    check::same(&rows, &http_pull::rows_of(object, body));
    match rows {
        Ok(rows) => rows.iter().filter_map(|row| row.as_ref().err()).for_each(|faults| check::faults(faults)),
        Err(refused) => check::faults(&refused),
    }
}
