//! The table of deliveries that were taken.

use crate::{
    clock,
    envelope::System,
    store::{Error, Store},
};

/// Deliveries are remembered for 30 days; the fence recognises older content.
const KEEP_MILLIS: i64 = 30 * 86_400_000;

/// The digest of the body a delivery had when it was taken.
pub async fn digest(store: &Store, system: &System, object: &str, delivery: &str) -> Result<Option<String>, Error> {
    let sql = "SELECT digest FROM push_seen WHERE system = $1 AND object = $2 AND delivery = $3";
    let rows = store.read(sql, &[system.as_str().into(), object.into(), delivery.into()]).await?;
    Ok(rows.first().map(|row| row.text(0)))
}

/// Remembers a delivery, and forgets a few old ones.
pub async fn add(store: &Store, system: &System, object: &str, delivery: &str, digest: &str) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let sql = "INSERT INTO push_seen (system, object, delivery, digest, at) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (system, object, delivery) DO NOTHING";
    let now = clock::millis();
    tx.execute(sql, &[system.as_str().into(), object.into(), delivery.into(), digest.into(), now.into()]).await?;
    let old =
        "DELETE FROM push_seen WHERE delivery IN (SELECT delivery FROM push_seen WHERE at < $1 ORDER BY at LIMIT 10) AND at < $1";
    tx.execute(old, &[(now - KEEP_MILLIS).into()]).await?;
    tx.commit().await
}
