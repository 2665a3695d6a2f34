//! The books: per source and day, received = delivered + rejected + parked + superseded + duplicate + in flight.
//!
//! The two sides are counted by different hands. *Received* is what the sources say they handed over, counted in the
//! transaction that stores their position. The other side is what the router and the lanes say became of every occurrence.
//! A record that vanished between them is a gap.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::store::{Error, Row, Store};

/// One line of the books. All numbers count records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    pub date: String,
    pub system: String,
    pub received: i64,
    pub delivered: i64,
    pub rejected: i64,
    pub parked: i64,
    pub superseded: i64,
    pub duplicate: i64,
    pub in_flight: i64,
    /// 0 when the books balance.
    pub gap: i64,
    /// Occurrences that the router has counted.
    #[serde(skip)]
    arrived: i64,
    /// Records that the source says it published, and rows that it says it could not.
    #[serde(skip)]
    handed_over: i64,
    #[serde(skip)]
    refused: i64,
}

type Lines = BTreeMap<(String, String), Line>;

/// The books of one day, or of all days. `waiting` is the number of records on the bus that no router has counted yet.
pub async fn books(store: &Store, date: Option<&str>, waiting: u64) -> Result<Vec<Line>, Error> {
    let mut lines = Lines::new();
    for row in store.read("SELECT bookdate, system, records, refused FROM handed_over", &[]).await? {
        let line = line(&mut lines, &row);
        (line.handed_over, line.refused) = (row.int(2), row.int(3));
    }
    arrivals(store, &mut lines).await?;
    let refused = "SELECT bookdate, system, COUNT(*) FROM dead WHERE stage IN ('decode', 'map') GROUP BY bookdate, system";
    for row in store.read(refused, &[]).await? {
        line(&mut lines, &row).rejected += row.int(2);
    }
    let mut waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
    // In the order of days, and before a day is picked out: a day's line is the same alone and among all.
    let mut early = BTreeMap::new();
    for line in lines.values_mut() {
        close(line, early.entry(line.system.clone()).or_default(), &mut waiting);
    }
    Ok(lines.into_values().filter(|line| date.is_none_or(|date| date == line.date)).collect())
}

/// The records on the bus that no router has counted, as last seen by a running hub.
pub async fn waiting(store: &Store) -> Result<u64, Error> {
    let rows = store
        .read("SELECT COALESCE(CAST(SUM(messages) AS BIGINT), 0) FROM queue_depth WHERE queue LIKE 'records.%'", &[])
        .await?;
    Ok(rows.first().map_or(0, |row| u64::try_from(row.int(0)).unwrap_or(0)))
}

fn line<'a>(lines: &'a mut Lines, row: &Row) -> &'a mut Line {
    let (date, system) = (row.text(0), row.text(1));
    lines.entry((date.clone(), system.clone())).or_insert_with(|| Line { date, system, ..Line::default() })
}

async fn arrivals(store: &Store, lines: &mut Lines) -> Result<(), Error> {
    let sql = "SELECT bookdate, system, \
               CASE WHEN state NOT IN ('dispatched', 'early') THEN state WHEN state = 'early' AND parked = 0 THEN 'open' WHEN parked > 0 THEN 'parked' WHEN open > 0 THEN 'open' ELSE 'delivered' END AS what, \
               COUNT(*) FROM arrival GROUP BY bookdate, system, what";
    for row in store.read(sql, &[]).await? {
        let line = line(lines, &row);
        let count = row.int(3);
        line.arrived += count;
        match row.text(2).as_str() {
            "delivered" => line.delivered += count,
            "rejected" => line.rejected += count,
            "parked" => line.parked += count,
            "superseded" => line.superseded += count,
            "duplicate" => line.duplicate += count,
            _ => line.in_flight += count,
        }
    }
    Ok(())
}

/// Fills in what is on its way to the router, and the gap. `early` counts records of the system that arrived on earlier days
/// and that the source had not counted then.
fn close(line: &mut Line, early: &mut i64, waiting: &mut i64) {
    // A source that died between confirm and commit counts what it handed over when it reads it again, perhaps on another
    // day; if it reads something newer instead, never. What arrived has been received, whoever counted it.
    let counted_late = (line.handed_over - line.arrived).clamp(0, *early);
    *early += (line.arrived - line.handed_over).max(0) - counted_late;
    let handed_over = line.handed_over.max(line.arrived) - counted_late;
    let on_the_bus = (handed_over - line.arrived).min(*waiting);
    *waiting -= on_the_bus;
    line.in_flight += on_the_bus;
    line.received = handed_over + line.refused;
    line.gap = line.received - line.delivered - line.rejected - line.parked - line.superseded - line.duplicate - line.in_flight;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(handed_over: i64, delivered: i64) -> Line {
        Line { handed_over, arrived: delivered, delivered, ..Line::default() }
    }

    #[test]
    fn a_day_closes() {
        // (handed over, arrived and delivered, early, waiting) -> (received, in flight, gap, early, waiting)
        for (given, expected) in [
            ((5, 5, 0, 0), (5, 0, 0, 0, 0)),
            // On the bus, as far as the bus says so.
            ((5, 3, 0, 2), (5, 2, 0, 0, 0)),
            ((5, 3, 0, 9), (5, 2, 0, 0, 7)),
            // One is lost.
            ((5, 3, 0, 1), (5, 1, 1, 0, 0)),
            // The source died before it counted, and what waits belongs to somebody else.
            ((0, 4, 0, 1), (4, 0, 0, 4, 1)),
            // It counts on the next day what arrived on the day before; a true loss beside it still shows.
            ((4, 0, 4, 0), (0, 0, 0, 0, 0)),
            ((6, 1, 4, 0), (2, 0, 1, 0, 0)),
            ((2, 2, 3, 0), (2, 0, 0, 3, 0)),
        ] {
            let (handed_over, delivered, mut early, mut waiting) = given;
            let mut line = line(handed_over, delivered);
            close(&mut line, &mut early, &mut waiting);
            assert_eq!((line.received, line.in_flight, line.gap, early, waiting), expected, "{given:?}");
        }
    }

    #[test]
    fn refused_rows_are_received_and_rejected() {
        let mut line = Line { refused: 2, rejected: 2, ..line(1, 1) };
        close(&mut line, &mut 0, &mut 0);
        assert_eq!((line.received, line.gap), (3, 0));
    }
}
