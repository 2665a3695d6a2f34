//! The hot index made from the store when the hub starts, and brought up to date before each decision.

use super::{
    StoreIndex,
    hot::{Hot, place},
    load,
    lore::Lore,
};
use crate::store::{Arg, Error, Row, Store, Tx};

/// Rows that are read at once.
const PAGE: i64 = 5_000;

const TURN: &str = "SELECT turn, (SELECT COUNT(*) FROM source_record), (SELECT COALESCE(MAX(seq), 0) FROM person) FROM identity_turn \
     WHERE name = 'index'";
const STATEMENTS: &str = "SELECT s.reference_id, t.sealed, p.seq FROM source_record s \
     JOIN statement t ON t.said_id = s.said_id JOIN person p ON p.person_key = s.person_key \
     WHERE s.reference_id > $1 ORDER BY s.reference_id LIMIT $2";
const NUMBERS: &str = "SELECT i.number_hash, p.seq FROM person_identifier i JOIN person p ON p.person_key = i.person_key \
     WHERE i.active = 1 AND i.number_hash > $1 ORDER BY i.number_hash LIMIT $2";
const REDIRECTS: &str = "SELECT r.old_key, o.seq, n.seq FROM person_redirect r JOIN person o ON o.person_key = r.old_key \
     JOIN person n ON n.person_key = r.new_key WHERE r.old_key > $1 ORDER BY r.old_key LIMIT $2";
const NAMES: &str =
    "SELECT CAST(n.hash AS TEXT), n.records, n.hash FROM name_count n WHERE n.hash > CAST($1 AS BIGINT) ORDER BY n.hash LIMIT $2";
/// Before every hash of a name.
const FIRST_NAME: &str = "-9223372036854775808";
const APART: &str = "SELECT o.seq, t.seq FROM cannot_link l JOIN person o ON o.person_key = l.one_key \
     JOIN person t ON t.person_key = l.other_key WHERE l.lifted_at = 0";

/// What others have changed after a turn: persons, and to whom they lead if they are retired; counts of names.
const CHANGED: &str = "SELECT p.seq, n.seq FROM person p LEFT JOIN person_redirect r ON r.old_key = p.person_key \
     LEFT JOIN person n ON n.person_key = r.new_key WHERE p.turn > $1 ORDER BY p.seq";
const CHANGED_NAMES: &str = "SELECT hash, records FROM name_count WHERE turn > $1";

impl StoreIndex {
    /// Makes the hot index from the store. Call it before the first use, or the first batch waits for it; `tell` hears how
    /// many records are done, of how many.
    ///
    /// # Errors
    /// The keys are others, or the store failed.
    pub async fn prepare(&self, tell: &(dyn Fn(u64, u64) + Send + Sync)) -> Result<(), Error> {
        self.check_keys().await?;
        let mut hot = self.hot.lock().await;
        if hot.turn.is_none() {
            *hot = build(&self.store, &self.lore, tell).await?;
        }
        Ok(())
    }

    /// Bytes of the hot index for each person, about, without what is kept of the persons who were needed last.
    pub async fn bytes_per_person(&self) -> usize {
        let hot = self.hot.lock().await;
        hot.bytes() / usize::try_from(hot.last).unwrap_or_default().max(1)
    }
}

/// Reads everything. Nobody waits: what others change meanwhile is found by its turn.
pub(super) async fn build(store: &Store, lore: &Lore, tell: &(dyn Fn(u64, u64) + Send + Sync)) -> Result<Hot, Error> {
    let mut hot = Hot::new(&lore.rules);
    let rows = store.read(TURN, &[]).await?;
    let (turn, all, last) = rows.first().map_or((0, 0, 0), |row| (row.int(0), row.int(1).unsigned_abs(), row.int(2)));
    hot.last = last;
    let mut done = 0;
    pages(store, STATEMENTS, "", |rows| {
        for row in rows {
            hot.put(&lore.blocking_keys(&row.text(1))?, place(row.int(2)));
        }
        done += rows.len() as u64;
        tell(done, all.max(done));
        Ok(())
    })
    .await?;
    pages(store, NUMBERS, "", |rows| each(rows, |row| hot.hold(&row.text(0), place(row.int(1))))).await?;
    pages(store, REDIRECTS, "", |rows| each(rows, |row| hot.redirect(place(row.int(1)), place(row.int(2))))).await?;
    pages(store, NAMES, FIRST_NAME, |rows| {
        hot.names.extend(rows.iter().map(|row| (row.int(2), count(row))));
        Ok(())
    })
    .await?;
    hot.apart = apart(&store.read(APART, &[]).await?);
    hot.turn = Some(turn);
    Ok(hot)
}

fn each(rows: &[Row], act: impl FnMut(&Row)) -> Result<(), Error> {
    rows.iter().for_each(act);
    Ok(())
}

/// All rows of a statement that pages by its first column.
async fn pages(store: &Store, sql: &str, first: &str, mut act: impl FnMut(&[Row]) -> Result<(), Error>) -> Result<(), Error> {
    let mut after = first.to_owned();
    loop {
        let rows = store.read(sql, &[Arg::Text(after), Arg::Int(PAGE)]).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.text(0);
        act(&rows)?;
    }
}

/// Takes over what others have decided, up to `turn`. Whoever calls it holds the turn.
pub(super) async fn catch_up(tx: &mut Tx, lore: &Lore, hot: &mut Hot, turn: i64) -> Result<(), Error> {
    let Some(known) = hot.turn.filter(|known| *known != turn) else { return Ok(()) };
    let mut active = Vec::new();
    for row in tx.read(CHANGED, &[Arg::Int(known)]).await? {
        match row.int(1) {
            0 => active.push(place(row.int(0))),
            new => hot.redirect(place(row.int(0)), place(new)),
        }
    }
    for seat in load::read(tx, lore, &active).await? {
        hot.learn(&seat);
    }
    for row in tx.read(CHANGED_NAMES, &[Arg::Int(known)]).await? {
        hot.names.insert(row.int(0), count(&row));
    }
    hot.apart = apart(&tx.read(APART, &[]).await?);
    hot.turn = Some(turn);
    Ok(())
}

/// How many records bear a name.
fn count(row: &Row) -> u32 {
    u32::try_from(row.int(1)).unwrap_or(u32::MAX)
}

fn apart(rows: &[Row]) -> Vec<(u32, u32)> {
    rows.iter().map(|row| (place(row.int(0)), place(row.int(1)))).collect()
}
