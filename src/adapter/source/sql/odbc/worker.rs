//! The thread that talks to the driver.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

use odbc_api::{
    Connection, ConnectionOptions, Cursor, CursorRow, environment,
    handles::Record,
    parameter::{VarWCharArray, VarWCharBox},
};

use super::{ODBC_DRIVER, worker_login::Login};
use crate::{
    adapter::source::{
        BATCH_BYTES, Error, REFUSED,
        sql::{
            ROW_BYTES, catalogue,
            connection::{CONNECT_LIMIT, STATEMENT_LIMIT, unreachable},
            query::Query,
            table::Answer,
        },
    },
    error::Fault,
};

/// Longest wait for the thread: it may have to connect first, and the driver minds its own limits before.
pub const CALL_LIMIT: Duration = Duration::from_secs(CONNECT_LIMIT.as_secs() + STATEMENT_LIMIT.as_secs() + 5);
/// A connection that nobody needs is closed.
const IDLE: Duration = Duration::from_secs(60);
/// UTF-16 units of a value read at once.
const PART: usize = 2048;

/// What the thread is asked to do.
pub enum Work {
    Query(Query, usize),
    Columns { schema: String, table: String },
}

pub struct Job {
    pub work: Work,
    pub answer: tokio::sync::oneshot::Sender<Result<Answer, Error>>,
}

/// The near end of the thread; dropping it ends the thread after its last call.
pub struct Worker(Sender<Job>);

impl Worker {
    pub fn start(login: Arc<Login>, hanging: Arc<AtomicUsize>) -> Result<Self, Error> {
        let (send, receive) = channel();
        hanging.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(hanging);
        let started = std::thread::Builder::new().name("odbc".to_owned()).spawn(move || {
            let _counted = counted;
            run(&login, &receive);
        });
        started.map(|_| Self(send)).map_err(|error| unreachable(format!("no thread for the ODBC driver: {}", error.kind())))
    }

    /// False when the thread has ended.
    pub fn send(&self, job: Job) -> bool {
        self.0.send(job).is_ok()
    }
}

/// Counts a thread as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn run(login: &Login, jobs: &Receiver<Job>) {
    let mut connection = None;
    loop {
        match jobs.recv_timeout(IDLE) {
            Ok(job) => {
                let answer = connected(&mut connection, login).and_then(|connection| work(connection, job.work));
                // After a failure nothing is known about the connection.
                if answer.is_err() {
                    connection = None;
                }
                let _ = job.answer.send(answer);
            }
            Err(RecvTimeoutError::Timeout) => connection = None,
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn connected<'c>(slot: &'c mut Option<Connection<'static>>, login: &Login) -> Result<&'c Connection<'static>, Error> {
    if slot.is_none() {
        let limit = u32::try_from(CONNECT_LIMIT.as_secs()).ok();
        let options = ConnectionOptions { login_timeout_sec: limit, ..ConnectionOptions::default() };
        let environment = environment().map_err(|error| classify(&error))?;
        let connection = environment.connect_with_connection_string(&login.text, options).map_err(|error| connecting(&error))?;
        for statement in catalogue::session(login.dialect) {
            connection.execute(statement, (), Some(CONNECT_LIMIT.as_secs() as usize)).map_err(|error| classify(&error))?;
        }
        *slot = Some(connection);
    }
    slot.as_ref().ok_or_else(|| unreachable("no connection".to_owned()))
}

fn work(connection: &Connection<'_>, work: Work) -> Result<Answer, Error> {
    match work {
        Work::Query(query, columns) => fetch(connection, &query, columns),
        Work::Columns { schema, table } => columns(connection, &schema, &table),
    }
}

fn fetch(connection: &Connection<'_>, query: &Query, columns: usize) -> Result<Answer, Error> {
    let parameter = |arg: &Option<String>| arg.as_deref().map_or_else(VarWCharBox::null, VarWCharBox::from_str_slice);
    let parameters: Vec<VarWCharBox> = query.args.iter().map(parameter).collect();
    let limit = Some(STATEMENT_LIMIT.as_secs() as usize);
    let done = match parameters.as_slice() {
        [] => connection.execute(&query.sql, (), limit),
        some => connection.execute(&query.sql, some, limit),
    };
    let mut answer = Answer { rows: Vec::new(), complete: true };
    let Some(mut cursor) = done.map_err(|error| classify(&error))? else { return Ok(answer) };
    let mut bytes = 0;
    while let Some(mut row) = cursor.next_row().map_err(|error| classify(&error))? {
        let mut cells = Vec::with_capacity(columns);
        for column in 1..=columns {
            cells.push(cell(&mut row, u16::try_from(column).unwrap_or(u16::MAX))?);
        }
        bytes += cells.iter().flatten().map(String::len).sum::<usize>();
        answer.rows.push(cells);
        if bytes > BATCH_BYTES {
            answer.complete = false;
            break;
        }
    }
    Ok(answer)
}

/// One value as text. A value longer than a row may be is cut there: the row is refused for its length.
fn cell(row: &mut CursorRow<'_>, column: u16) -> Result<Option<String>, Error> {
    let mut units: Vec<u16> = Vec::new();
    loop {
        let mut part = VarWCharArray::<PART>::NULL;
        row.get_data(column, &mut part).map_err(|error| classify(&error))?;
        let Some(slice) = part.as_slice() else { return Ok(None) };
        units.extend_from_slice(slice);
        if part.is_complete() || units.len() > ROW_BYTES {
            break;
        }
    }
    // Half of a pair becomes the mark of a value that is no text.
    Ok(Some(String::from_utf16(&units).unwrap_or_else(|_| crate::adapter::source::sql::NOT_UTF8.to_string())))
}

fn columns(connection: &Connection<'_>, schema: &str, table: &str) -> Result<Answer, Error> {
    let mut answer = Answer { rows: Vec::new(), complete: true };
    let mut owner = None;
    for row in connection.columns("", schema, table, "").map_err(|error| classify(&error))? {
        let row = row.map_err(|error| classify(&error))?;
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        // The name is a pattern to the driver: `_` in it fits any character, and there may be one such table in every schema.
        let found = text(row.table.as_bytes());
        let same = found.as_deref().is_some_and(|found| found == table);
        let schema = text(row.schema.as_bytes());
        if same && *owner.get_or_insert_with(|| schema.clone()) == schema {
            answer.rows.push(vec![text(row.column_name.as_bytes()), text(row.type_name.as_bytes()), found]);
        }
    }
    Ok(answer)
}

/// Failures before there is a connection: a driver that is not there stays away until somebody installs it.
fn connecting(error: &odbc_api::Error) -> Error {
    match state(error) {
        Some((state, _)) if state.starts_with("IM") || state == "01000" => {
            let fault = Fault::new(ODBC_DRIVER, format!("the ODBC driver or data source cannot be used, state {state}"));
            Error::Refused(fault.hint("check the names in `url`; `odbcinst -q -d` and `odbcinst -q -s` list what is installed"))
        }
        _ => classify(error),
    }
}

/// Errors of names, rights and syntax stay until someone mends them; all others may pass. Texts of a driver may quote
/// values: only its state and number leave this module.
fn classify(error: &odbc_api::Error) -> Error {
    let Some((state, number)) = state(error) else { return unreachable("the ODBC driver failed".to_owned()) };
    if ["28", "42", "3D", "3F", "IM"].iter().any(|class| state.starts_with(class)) {
        let fault = Fault::new(REFUSED, format!("the database refused the statement, state {state}, number {number}"));
        return Error::Refused(fault.hint("check the account's rights, `table`, `columns` and `dialect`"));
    }
    unreachable(format!("the database failed, state {state}, number {number}"))
}

fn state(error: &odbc_api::Error) -> Option<(String, i32)> {
    let of = |record: &Record| (record.state.as_str().to_owned(), record.native_error);
    match error {
        odbc_api::Error::Diagnostics { record, .. } => Some(of(record)),
        _ => None,
    }
}
