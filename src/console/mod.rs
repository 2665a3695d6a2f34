//! The console: what officers and operators see of the hub in a browser, and what they may do there.
//!
//! Pages are made on the server and work without a line of script. They use the functions that the command line uses; nothing
//! is looked up or decided twice. Personal values are masked; seeing them needs a role and a reason, and stands in the ledger
//! before the answer is sent. Who has a division sees the records of that division only.

pub mod account;
mod desk;
mod form;
mod guard;
mod pages;
mod password;
mod session;
mod totp;
mod view;
mod words;

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use governor::DefaultDirectRateLimiter;

pub use account::Role;
pub use pages::routes;

use crate::{
    desk::Desk,
    error::{Code, Fault},
    hub::{
        Hub,
        flow::{self, Look, Screen},
        person_index,
    },
    store,
};

/// Name, password or code are wrong, or the account is locked: one answer for all.
pub const LOGIN: Code = Code::new(8300);
/// The role does not allow this.
pub const FORBIDDEN: Code = Code::new(8302);
/// A form did not come from a page of this session.
pub const FOREIGN_FORM: Code = Code::new(8303);
/// Too many requests.
pub const TOO_MANY: Code = Code::new(8304);
/// There is nothing of that name in the divisions that the account may see.
pub const NOT_THERE: Code = Code::new(8305);
/// A reason is missing.
pub const NO_REASON: Code = Code::new(8306);
/// The number of letters is not the one that was shown.
pub const COUNT_CHANGED: Code = Code::new(8307);
/// The one who asked cannot be the one who approves.
pub const FOUR_EYES: Code = Code::new(8308);
/// A search word looks like a personal value.
pub const PERSONAL_WORD: Code = Code::new(8309);
/// An account cannot be made like this.
pub const BAD_ACCOUNT: Code = Code::new(8310);
/// There is no such account, or there is one already.
pub const WRONG_ACCOUNT: Code = Code::new(8311);

/// Time between two looks at the counters.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What all pages share.
pub struct Console {
    pub(crate) hub: Arc<Hub>,
    desk: OnceLock<Desk>,
    looks: Mutex<Looks>,
    limits: moka::sync::Cache<String, Arc<DefaultDirectRateLimiter>>,
    logins: DefaultDirectRateLimiter,
    /// Passwords are tried one by one: each takes 19 MiB while it is.
    trying: tokio::sync::Semaphore,
    /// One writer of the console's chain at a time.
    writing: tokio::sync::Mutex<()>,
    findings: Mutex<Option<pages::Examined>>,
    texts: OnceLock<pages::Texts>,
}

#[derive(Default)]
struct Looks {
    last: Option<Look>,
    screen: Option<Screen>,
}

impl Console {
    /// The console of a hub; counters are looked at from now on until it is dropped.
    pub fn new(hub: Arc<Hub>) -> Arc<Self> {
        let console = Arc::new(Self {
            hub,
            desk: OnceLock::new(),
            looks: Mutex::default(),
            limits: moka::sync::Cache::builder().max_capacity(10_000).time_to_idle(Duration::from_secs(600)).build(),
            logins: guard::limiter(guard::LOGINS_PER_SECOND, guard::LOGINS_AT_ONCE),
            trying: tokio::sync::Semaphore::new(1),
            writing: tokio::sync::Mutex::default(),
            findings: Mutex::default(),
            texts: OnceLock::new(),
        });
        tokio::spawn(watch(Arc::downgrade(&console)));
        console
    }

    /// The last look at the counters; a first one where there is none yet.
    async fn screen(&self) -> Result<Screen, store::Error> {
        let screen = self.looks.lock().unwrap_or_else(PoisonError::into_inner).screen.clone();
        match screen {
            Some(screen) => Ok(screen),
            None => self.look().await,
        }
    }

    async fn look(&self) -> Result<Screen, store::Error> {
        let now = flow::look(&self.hub.store).await?;
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let screen = flow::compare(looks.last.as_ref().unwrap_or(&now), &now);
        looks.screen = Some(screen.clone());
        looks.last = Some(now);
        Ok(screen)
    }

    /// Where decisions about persons are made.
    fn desk(&self) -> Result<&Desk, Fault> {
        if let Some(desk) = self.desk.get() {
            return Ok(desk);
        }
        let (store, keys) = (self.hub.store.clone(), &self.hub.keys);
        let desk = Desk { index: person_index(&store, keys)?, store, key: Arc::clone(&keys.ledger) };
        Ok(self.desk.get_or_init(|| desk))
    }
}

async fn watch(console: std::sync::Weak<Console>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(console) = console.upgrade() else { return };
        if let Err(error) = console.look().await {
            tracing::debug!(%error, "the counters could not be read");
        }
    }
}
