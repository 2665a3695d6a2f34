//! What other agencies published, beside the hub's own figures. Clock and scope differ: nothing is averaged or chosen.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{BAD_FIGURES, report};
use crate::{
    clock,
    error::Fault,
    store::{Error, Store},
};

/// Names that agencies use, by indicator.
const NAMES: [(&str, &str); 10] = [
    ("townships", "A01"),
    ("affected_population", "A02"),
    ("deaths", "A03"),
    ("missing", "A04"),
    ("relocated", "A06"),
    ("collapsed_households", "B01"),
    ("collapsed_rooms", "B02"),
    ("crop_affected_ha", "C01"),
    ("crop_lost_ha", "C03"),
    ("direct_loss_wan", "D01"),
];

/// Figures of one source at one time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Published {
    pub source: String,
    pub as_of: String,
    /// By indicator; what has no indicator under its own name.
    pub figures: BTreeMap<String, Value>,
}

/// Reads a file of published figures: `{"event": …, "reports": [{"source", "as_of", figures…}]}`. The event number is made of
/// the event's hazard, day and first division where none is given.
///
/// # Errors
/// What is wrong with the file.
pub fn read(text: &str, event_no: Option<&str>) -> Result<(String, Vec<Published>), Fault> {
    let wrong = |message: &'static str, pointer: &str| Fault::new(BAD_FIGURES, message).at_pointer(pointer.to_owned());
    let file: Value = serde_json::from_str(text).map_err(|_| wrong("the file is not JSON", ""))?;
    let event_no = match event_no {
        Some(number) => number.to_owned(),
        None => number_of(&file["event"]).ok_or_else(|| {
            wrong("the event cannot be numbered", "/event")
                .expected("hazard, start and core_divisions")
                .hint("or give the number")
        })?,
    };
    let reports = file["reports"].as_array().filter(|reports| !reports.is_empty());
    let reports = reports.ok_or_else(|| wrong("there are no reports", "/reports"))?;
    let published = reports.iter().enumerate().map(|(place, report)| {
        let one = report.as_object().and_then(published);
        one.ok_or_else(|| {
            wrong("a report has no source or no time", &format!("/reports/{place}")).expected("source, and as_of with a zone")
        })
    });
    Ok((event_no, published.collect::<Result<_, _>>()?))
}

fn number_of(event: &Value) -> Option<String> {
    let hazard = event["hazard"].as_str()?;
    let day = event["start"].as_str()?.get(..10)?.replace('-', "");
    let division = event["core_divisions"][0].as_str()?;
    Some(format!("{hazard}{day}{division}01"))
        .filter(|number| number.len() == 22 && number.bytes().all(|digit| digit.is_ascii_digit()))
}

fn published(report: &Map<String, Value>) -> Option<Published> {
    let source = report.get("source")?.as_str()?.to_owned();
    let as_of = report::millis(report.get("as_of")?.as_str()?);
    let known = |name: &str| NAMES.iter().find(|(own, _)| *own == name).map_or(name, |(_, code)| code).to_owned();
    let figures = report.iter().filter(|(name, _)| *name != "source" && *name != "as_of");
    let figures = figures.map(|(name, value)| (known(name), value.clone())).collect();
    (as_of > 0).then(|| Published { source, as_of: report::shown(as_of), figures })
}

/// Keeps published figures; the same source and time again replaces what it said.
///
/// # Errors
/// When the store fails.
pub async fn keep(store: &Store, event_no: &str, all: &[Published]) -> Result<(), Error> {
    let sql = "INSERT INTO disaster_figure (event_no, source, as_of, figures, at) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (event_no, source, as_of) DO UPDATE SET figures = excluded.figures, at = excluded.at";
    let mut tx = store.begin().await?;
    for one in all {
        let figures = serde_json::to_string(&one.figures).unwrap_or_default();
        let args = [
            event_no.into(),
            one.source.as_str().into(),
            report::millis(&one.as_of).into(),
            figures.into(),
            clock::millis().into(),
        ];
        tx.execute(sql, &args).await?;
    }
    tx.commit().await
}

/// The figures published of an event up to a time, by source and time.
///
/// # Errors
/// When the store fails.
pub async fn of(store: &Store, event_no: &str, at: i64) -> Result<Vec<Published>, Error> {
    let sql = "SELECT source, as_of, figures FROM disaster_figure WHERE event_no = $1 AND as_of <= $2 ORDER BY as_of, source";
    let rows = store.read(sql, &[event_no.into(), at.into()]).await?;
    Ok(rows
        .iter()
        .map(|row| Published {
            source: row.text(0),
            as_of: report::shown(row.int(1)),
            figures: serde_json::from_str(&row.text(2)).unwrap_or_default(),
        })
        .collect())
}

/// Indicators of which two sources, or a source and the hub, say different things.
pub fn conflicts(own: &BTreeMap<String, Value>, published: &[Published]) -> Vec<String> {
    let number = |value: &Value| value.to_string().trim_matches('"').parse::<Decimal>().ok();
    let mut said: BTreeMap<&String, BTreeSet<Decimal>> = BTreeMap::new();
    for (code, value) in own.iter().chain(published.iter().flat_map(|one| &one.figures)) {
        if let Some(number) = number(value) {
            said.entry(code).or_default().insert(number.normalize());
        }
    }
    said.into_iter().filter(|(_, values)| values.len() > 1).map(|(code, _)| code.clone()).collect()
}
