//! Sends again what partners asked for: the sealed copy, under the same delivery id.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Hub;
use crate::{
    deliver::{Delivery, Outcome, Target},
    envelope::{DeliveryId, Event},
    ledger::{Entry, Kind, chain::Chain},
    store::Error,
};

const EVERY: Duration = Duration::from_secs(1);
const STEP: i64 = 64;

/// Runs until cancelled, for one partner. `boxed`: its deliveries go to the mailbox, which knows them already.
pub(super) async fn run(hub: Arc<Hub>, partner: String, target: Box<dyn Target>, boxed: bool, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        if let Err(error) = step(&hub, &partner, target.as_ref(), boxed).await {
            tracing::warn!(subscription = %partner, code = %error.fault().code, "resends are tried again");
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn step(hub: &Hub, partner: &str, target: &dyn Target, boxed: bool) -> Result<(), Error> {
    let sql = "SELECT r.id, r.delivery_id, s.body FROM partner_resend r JOIN partner_sent s ON s.delivery_id = r.delivery_id \
               WHERE r.state = 'open' AND r.partner = $1 ORDER BY r.at, s.at, r.id LIMIT $2";
    let rows = hub.store.read(sql, &[partner.into(), STEP.into()]).await?;
    let mut chain = None;
    for row in &rows {
        let (id, delivery) = (row.text(0), row.text(1));
        let event = hub.keys.open(&row.text(2)).and_then(|bytes| serde_json::from_slice::<Event>(&bytes).ok());
        let Some(event) = event else {
            settle(hub, &id, "lost").await?;
            continue;
        };
        // The mailbox gives a delivery one cursor only: a copy needs a place of its own. The event inside is the same.
        let name = if boxed { format!("{delivery}~{id}") } else { delivery.clone() };
        let again = Delivery { id: DeliveryId::new(name.as_str()), event };
        let outcome = target.deliver(std::slice::from_ref(&again)).await.pop();
        let state = match outcome {
            Some(Outcome::Delivered { .. }) => "sent",
            Some(Outcome::Refused(_)) => "refused",
            _ => return Ok(()),
        };
        if chain.is_none() {
            chain = Some(Chain::open(&hub.store, &format!("resend.{partner}"), Arc::clone(&hub.keys.ledger)).await?);
        }
        let Some(chain) = chain.as_mut() else { return Ok(()) };
        let mut tx = hub.store.begin().await?;
        let body = json!({ "subscription": partner, "delivery": delivery, "purpose": again.event.purpose, "resend": id, "state": state });
        chain.append(&mut tx, &[Entry::of(Kind::Replayed, &again.event, body)]).await?;
        tx.execute("UPDATE partner_resend SET state = $2 WHERE id = $1", &[id.as_str().into(), state.into()]).await?;
        tx.commit().await?;
        chain.committed();
    }
    Ok(())
}

async fn settle(hub: &Hub, id: &str, state: &str) -> Result<(), Error> {
    hub.store.write("UPDATE partner_resend SET state = $2 WHERE id = $1", &[id.into(), state.into()]).await?;
    Ok(())
}
