//! Databases behind an ODBC driver: Oracle, SQL Server, Dameng, Kingbase and whatever else has one.
//!
//! A driver is foreign code that blocks. It works on a thread of its own that owns the connection; a call that does not
//! come back is left behind with its thread, and only so many of those are borne.
//!
//! The system library unixODBC is needed to link: the feature `odbc` switches this on. Without it the options are checked
//! all the same, and reading says what is missing.

use std::sync::Arc;
#[cfg(feature = "odbc")]
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use super::{dialect::Dialect, query::Query, table::Answer};
use crate::{
    adapter::{decode::options, source::Error},
    error::{Code, Fault},
};

#[cfg(feature = "odbc")]
mod worker;

/// The program was built without ODBC.
pub const ODBC_MISSING: Code = Code::new(3500);
/// The ODBC driver or data source is not there or cannot be loaded.
pub const ODBC_DRIVER: Code = Code::new(3501);
/// Calls of the ODBC driver do not come back.
pub const ODBC_HANGS: Code = Code::new(3502);

/// Threads that may hang in a driver at once.
#[cfg(feature = "odbc")]
const MOST_HANGING: usize = 4;

/// One data source; clones share its thread.
#[derive(Clone)]
pub struct Odbc {
    #[cfg_attr(not(feature = "odbc"), allow(dead_code, reason = "read by the worker alone"))]
    login: Arc<worker_login::Login>,
    #[cfg(feature = "odbc")]
    worker: Arc<Mutex<Option<worker::Worker>>>,
    #[cfg(feature = "odbc")]
    hanging: Arc<AtomicUsize>,
}

mod worker_login {
    use super::Dialect;

    /// How to connect, and what is spoken then.
    #[cfg_attr(not(feature = "odbc"), allow(dead_code, reason = "read by the worker alone"))]
    pub struct Login {
        /// May hold a password: never shown.
        pub text: String,
        pub dialect: Dialect,
    }
}

impl Odbc {
    /// `text` is a connection string, or the bare name of a data source.
    pub fn new(text: &str, dialect: Dialect) -> Result<Self, Fault> {
        let text = text.trim();
        if text.is_empty() || text.contains('\0') {
            let known = "`odbc:<name of a data source>` or `odbc:Driver={…};Server=…;UID=…;PWD=…`";
            return Err(options::bad("url", "names no ODBC data source").expected(known));
        }
        let text = if text.contains('=') { text.to_owned() } else { format!("DSN={text}") };
        // A value that is empty or the last is read beyond its end by some drivers (MariaDB's Connector/ODBC 3.1).
        let text = format!("{};", text.trim_end_matches(';'));
        Ok(Self {
            login: Arc::new(worker_login::Login { text, dialect }),
            #[cfg(feature = "odbc")]
            worker: Arc::default(),
            #[cfg(feature = "odbc")]
            hanging: Arc::default(),
        })
    }
}

#[cfg(not(feature = "odbc"))]
#[allow(clippy::unused_async, reason = "the same form as with ODBC")]
impl Odbc {
    pub async fn fetch(&self, _: Query, _: usize) -> Result<Answer, Error> {
        Err(missing())
    }

    pub async fn columns(&self, _: &str, _: Option<&str>) -> Result<Vec<Vec<Option<String>>>, Error> {
        Err(missing())
    }
}

#[cfg(not(feature = "odbc"))]
fn missing() -> Error {
    let fault = Fault::new(ODBC_MISSING, "this program was built without ODBC");
    Error::Refused(fault.hint("install `unixodbc-dev` and build with `cargo build --features odbc`"))
}

#[cfg(feature = "odbc")]
impl Odbc {
    /// Runs a query whose columns are read as text.
    pub async fn fetch(&self, query: Query, columns: usize) -> Result<Answer, Error> {
        self.ask(worker::Work::Query(query, columns)).await
    }

    /// (column, type, table) of the tables that fit, as the driver lists them.
    pub async fn columns(&self, table: &str, schema: Option<&str>) -> Result<Vec<Vec<Option<String>>>, Error> {
        // The driver compares names exactly.
        for name in [table.to_owned(), table.to_uppercase(), table.to_lowercase()] {
            let work = worker::Work::Columns { schema: schema.unwrap_or_default().to_owned(), table: name };
            let rows = self.ask(work).await?.rows;
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }

    async fn ask(&self, work: worker::Work) -> Result<Answer, Error> {
        let (send, receive) = tokio::sync::oneshot::channel();
        self.send(worker::Job { work, answer: send })?;
        match tokio::time::timeout(worker::CALL_LIMIT, receive).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                self.leave();
                Err(super::connection::unreachable("the ODBC driver ended its thread".to_owned()))
            }
            Err(_) => {
                self.leave();
                let seconds = worker::CALL_LIMIT.as_secs();
                Err(super::connection::unreachable(format!("the ODBC driver did not come back within {seconds} s")))
            }
        }
    }

    fn send(&self, job: worker::Job) -> Result<(), Error> {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if worker.is_none() {
            if self.hanging.load(Ordering::Acquire) > MOST_HANGING {
                let fault = Fault::new(ODBC_HANGS, "too many calls of the ODBC driver have not come back");
                return Err(Error::Unreachable(fault.hint("start the hub again; look at the driver and the network")));
            }
            *worker = Some(worker::Worker::start(Arc::clone(&self.login), Arc::clone(&self.hanging))?);
        }
        match worker.as_ref().map(|worker| worker.send(job)) {
            Some(true) => Ok(()),
            _ => {
                *worker = None;
                Err(super::connection::unreachable("the ODBC driver ended its thread".to_owned()))
            }
        }
    }

    /// Gives the thread up: it ends by itself if its call ever comes back.
    fn leave(&self) {
        *self.worker.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_a_data_source() {
        assert_eq!(Odbc::new("dibao", Dialect::Oracle).map(|odbc| odbc.login.text.clone()).ok().as_deref(), Some("DSN=dibao;"));
        let full = Odbc::new("Driver={X};Server=h", Dialect::Mssql).map(|odbc| odbc.login.text.clone());
        assert_eq!(full.ok().as_deref(), Some("Driver={X};Server=h;"));
        assert!(Odbc::new(" ", Dialect::Generic).is_err());
    }
}
