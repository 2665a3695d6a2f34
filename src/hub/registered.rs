//! The target of a partner that may register an address of its own: the newest one, or its mailbox while it has none.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::Hub;
use crate::{
    deliver::{Delivery, Outcome, Target, mailbox::Mailbox, webhook::Webhook},
    error::Fault,
    govern::{
        network::Network,
        partner::{Signing, Webhook as Settings},
    },
};

/// Limits of an address that a partner registers: those of a webhook whose file says nothing else.
const TIMEOUT: Duration = Duration::from_secs(10);
const IN_FLIGHT: usize = 8;

/// See the module.
pub(super) struct Registered {
    pub hub: Arc<Hub>,
    pub partner: String,
    pub networks: Vec<Network>,
    pub mailbox: Mailbox,
    /// The address and keys in use, and the client made for them.
    pub current: Mutex<Option<(String, Arc<Webhook>)>>,
}

impl Registered {
    /// The client for the address that is registered now, if one is.
    async fn webhook(&self) -> Result<Option<Arc<Webhook>>, Fault> {
        let sql = "SELECT url, secret, next_secret FROM partner_endpoint WHERE partner = $1 AND state = 'active' ORDER BY at DESC LIMIT 1";
        let rows = self.hub.store.read(sql, &[self.partner.as_str().into()]).await.map_err(|error| error.fault())?;
        let Some(row) = rows.first() else { return Ok(None) };
        let name = format!("{}\n{}\n{}", row.text(0), row.text(1), row.text(2));
        let mut current = self.current.lock().await;
        if let Some((known, webhook)) = current.as_ref()
            && *known == name
        {
            return Ok(Some(Arc::clone(webhook)));
        }
        let sealed = [row.text(1), row.text(2)].into_iter().filter(|sealed| !sealed.is_empty());
        let secrets = sealed.filter_map(|sealed| String::from_utf8(self.hub.keys.open(&sealed)?).ok()).map(SecretString::from);
        let settings = Settings {
            url: row.text(0),
            allow: self.networks.clone(),
            signing: Signing::Ed25519,
            secrets: secrets.collect(),
            timeout: TIMEOUT,
            in_flight: IN_FLIGHT,
            batch: 1,
            ca_file: None,
        };
        let webhook = Arc::new(Webhook::new(&settings).map_err(|mut faults| faults.remove(0))?);
        *current = Some((name, Arc::clone(&webhook)));
        Ok(Some(webhook))
    }
}

#[async_trait]
impl Target for Registered {
    async fn deliver(&self, batch: &[Delivery]) -> Vec<Outcome> {
        match self.webhook().await {
            Ok(Some(webhook)) => webhook.deliver(batch).await,
            Ok(None) => self.mailbox.deliver(batch).await,
            Err(fault) => vec![Outcome::Unavailable { fault, retry_after: None }; batch.len()],
        }
    }

    fn batch_size(&self) -> usize {
        64
    }
}
