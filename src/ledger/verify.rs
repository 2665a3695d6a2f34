//! `civilhub ledger verify`: recomputes every chain and names the first bad row.
//!
//! What it cannot see, because nothing in the store contradicts it: a whole chain removed with its head and checkpoints,
//! and a tail removed with the checkpoints beyond it while the head row is put back to an older one that was signed. Keep
//! `civilhub ledger export`, or its last hash, somewhere else to notice both. Who has the signing key can write anything.
//!
//! A hub may go on writing: a chain is verified as far as it was signed when the verification began.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use serde::Serialize;

use super::chain::{GENESIS, head_text, row_hash};
use crate::{
    error::{Code, Fault},
    store::{Error, Row, Store},
};

/// A row of the ledger was changed, removed or inserted.
pub const BROKEN: Code = Code::new(8101);
/// Rows at the end of a chain are missing: its signed end or a checkpoint lies beyond what is there.
pub const CUT: Code = Code::new(8102);
/// The signature of a chain's end or of a checkpoint is not ours.
pub const FORGED: Code = Code::new(8103);

/// Rows read in one go.
const PAGE: i64 = 2000;

/// What a verification found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub chains: usize,
    pub rows: i64,
    pub faults: Vec<Fault>,
}

/// Verifies all chains; memory is bounded by one page.
pub async fn verify(store: &Store, key: &VerifyingKey) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut ends: BTreeMap<String, Marks> = BTreeMap::new();
    for row in store.read("SELECT chain, seq, hash, signature FROM ledger_head UNION ALL SELECT chain, seq, hash, signature FROM ledger_checkpoint", &[]).await? {
        ends.entry(row.text(0)).or_default().add(&row, key, &mut report);
    }
    for row in store.read("SELECT DISTINCT chain FROM ledger", &[]).await? {
        ends.entry(row.text(0)).or_default();
    }
    for (chain, marks) in &ends {
        report.chains += 1;
        verify_chain(store, chain, marks, &mut report).await?;
    }
    Ok(report)
}

/// Signed places of one chain: sequence number to hash.
#[derive(Default)]
struct Marks(BTreeMap<i64, String>);

impl Marks {
    fn add(&mut self, row: &Row, key: &VerifyingKey, report: &mut Report) {
        let (chain, seq, hash) = (row.text(0), row.int(1), row.text(2));
        let bytes = hex::decode(row.text(3)).unwrap_or_default();
        let good = Signature::from_slice(&bytes)
            .is_ok_and(|signature| key.verify(head_text(&chain, seq, &hash).as_bytes(), &signature).is_ok());
        if !good {
            report.faults.push(
                Fault::new(FORGED, "the signature does not match")
                    .in_file(chain)
                    .at_row(seq.unsigned_abs())
                    .hint("compare with a backup of the store"),
            );
        }
        self.0.insert(seq, hash);
    }
}

async fn verify_chain(store: &Store, chain: &str, marks: &Marks, report: &mut Report) -> Result<(), Error> {
    let sql = "SELECT seq, at, kind, event_id, system, bookdate, dataset, body, hash FROM ledger WHERE chain = $1 AND seq > $2 AND seq <= $4 ORDER BY seq LIMIT $3";
    let (mut seq, mut hash) = (0_i64, GENESIS.to_owned());
    let end = marks.0.last_key_value().map_or(0, |(end, _)| *end);
    while seq < end {
        let page = store.read(sql, &[chain.into(), seq.into(), PAGE.into(), end.into()]).await?;
        if page.is_empty() {
            break;
        }
        for row in &page {
            seq += 1;
            let texts: Vec<String> = (2..8).map(|column| row.text(column)).collect();
            let columns: [&str; 6] = std::array::from_fn(|n| texts[n].as_str());
            hash = row_hash(&hash, chain, (seq, row.int(1)), columns);
            let marked = marks.0.get(&seq).is_none_or(|mark| *mark == hash);
            if row.int(0) != seq || row.text(8) != hash || !marked {
                let fault = Fault::new(BROKEN, "the row does not follow from the row before it")
                    .in_file(chain)
                    .at_row(seq.unsigned_abs());
                report.faults.push(
                    fault.hint("the first bad row of the chain: it, or the one before it, was changed, removed or inserted"),
                );
                return Ok(());
            }
            report.rows += 1;
        }
    }
    if seq != end {
        let fault = Fault::new(CUT, format!("the chain ends at row {seq}, its signed end is row {end}"))
            .in_file(chain)
            .at_row(seq.unsigned_abs());
        report.faults.push(fault.hint("rows were removed from the end"));
        return Ok(());
    }
    unsigned(store, chain, report).await
}

/// Rows beyond the head. Rows and head are written in one transaction: one statement sees both or neither.
async fn unsigned(store: &Store, chain: &str, report: &mut Report) -> Result<(), Error> {
    let sql = "SELECT (SELECT MAX(seq) FROM ledger WHERE chain = $1), (SELECT MAX(seq) FROM ledger_head WHERE chain = $1)";
    let rows = store.read(sql, &[chain.into()]).await?;
    let Some((last, head)) = rows.first().map(|row| (row.int(0), row.int(1))) else { return Ok(()) };
    if last > head {
        let fault = Fault::new(CUT, format!("the signed end of the chain is row {head}, but it has row {last}"));
        report.faults.push(
            fault
                .in_file(chain)
                .at_row(head.unsigned_abs() + 1)
                .hint("its head was removed or put back, or rows were appended without a signature"),
        );
    }
    Ok(())
}
