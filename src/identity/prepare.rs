//! Blocking keys made anew, when they were made by other rules.

use std::collections::BTreeSet;

use serde_json::json;

use super::{StoreIndex, write};
use crate::store::{Arg, Error, Row};

/// Statements whose keys are made at once.
const PAGE: i64 = 2_000;

const PAGE_OF: &str = "SELECT s.reference_id, t.said_id, t.sealed, p.seq FROM source_record s \
     JOIN statement t ON t.said_id = s.said_id JOIN person p ON p.person_key = s.person_key \
     WHERE s.reference_id > $1 ORDER BY s.reference_id LIMIT $2";
const SETTLE: &str = "INSERT INTO identity_key_check (name, sealed) VALUES ('blocks', $1) \
     ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed";

impl StoreIndex {
    /// Makes the blocking keys of all persons anew where those in the store are of other rules or of another hash. Call it
    /// before the first use; `tell` hears how many records are done, of how many.
    ///
    /// # Errors
    /// The store failed: the old keys are still there.
    pub async fn prepare(&self, tell: &(dyn Fn(u64, u64) + Sync)) -> Result<(), Error> {
        self.check_keys().await?;
        let version = self.lore.version();
        let known = self.store.read("SELECT sealed FROM identity_key_check WHERE name = 'blocks'", &[]).await?;
        if known.first().is_some_and(|row| row.text(0) == version) {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        write::hold(&mut tx).await?;
        let all = tx.read("SELECT COUNT(*) FROM source_record", &[]).await?;
        let all = all.first().map_or(0, |row| row.int(0).unsigned_abs());
        tx.execute("DELETE FROM block_key WHERE 1 = 1", &[]).await?;
        let most = i64::try_from(self.lore.rules.decide.block.saturating_sub(1)).unwrap_or(i64::MAX);
        let (mut after, mut done) = (String::new(), 0);
        loop {
            let rows = tx.read(PAGE_OF, &[Arg::Text(after.clone()), Arg::Int(PAGE)]).await?;
            let Some(last) = rows.last() else { break };
            after = last.text(0);
            done += rows.len() as u64;
            let keys = self.keys_of(&rows)?;
            let keys = keys.into_iter().map(|(hash, person)| json!({"h": hash.to_string(), "p": person.to_string()}));
            write::run(&mut tx, write::ADD_KEYS, keys.collect(), "h", &[Arg::Int(most)]).await?;
            tell(done, all);
        }
        tx.execute(SETTLE, &[Arg::Text(version)]).await?;
        tx.commit().await
    }

    fn keys_of(&self, rows: &[Row]) -> Result<BTreeSet<(i64, i64)>, Error> {
        let mut keys = BTreeSet::new();
        for row in rows {
            let statement = self.lore.open(&row.text(1), &row.text(2))?;
            keys.extend(statement.hashes.iter().map(|hash| (*hash, row.int(3))));
        }
        Ok(keys)
    }
}
