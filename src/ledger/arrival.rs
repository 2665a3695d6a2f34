//! What is still open of a record: the counts behind the books. Router and lanes add to them in whatever order they come.

use serde_json::{Value, json};

use crate::{
    envelope::Event,
    store::{Error, Tx},
};

/// Adds to the counts of open and parked deliveries. The router may not have counted the record yet, since it publishes
/// before it commits: the row is then made here, and the router adds its own numbers to it.
pub async fn add<'a>(tx: &mut Tx, events: impl Iterator<Item = &'a Event>, (open, parked): (i64, i64)) -> Result<(), Error> {
    let rows: Vec<Value> =
        events.map(|event| json!([event.occurrence.as_str(), event.system().as_str(), event.bookdate])).collect();
    if rows.is_empty() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO arrival (occurrence, system, bookdate, state, open, parked) SELECT value ->> 0, value ->> 1, value ->> 2, 'early', $2, $3 FROM {rows} WHERE true \
         ON CONFLICT (occurrence) DO UPDATE SET open = arrival.open + excluded.open, parked = arrival.parked + excluded.parked",
        &[Value::Array(rows).to_string().into(), open.into(), parked.into()],
    )
    .await?;
    Ok(())
}
