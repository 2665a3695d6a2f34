//! Request files: made of what is due, put into the bank's folder, made again when the bank got half of one.

use serde_json::{Value, json};

use super::{DropBox, Name, compact, line, pack, query_fields};
use crate::{
    clock,
    error::Fault,
    exchange::{
        NO_AGREEMENT,
        book::Books,
        drive,
        due::{self, Query},
        request,
    },
    govern::Agreements,
    store::{Arg, Error},
};

/// Queries of one file.
const MOST_QUERIES: i64 = 1000;
/// Workdays after which a bank is reminded.
const REMINDER_WORKDAYS: u32 = 3;

/// Makes a file of what is due and puts every file that is not put yet; the number of queries that left.
pub async fn send(books: &Books, agreements: &Agreements, bank: &str, folder: &dyn DropBox, now: i64) -> Result<usize, Error> {
    remind(books, bank, now).await?;
    make(books, agreements, bank, now).await?;
    let sql = "SELECT name, tries, day, seq FROM verification_file WHERE provider = $1 AND state = 'MADE' AND next_at <= $2 ORDER BY day, seq LIMIT 16";
    let mut sent = 0;
    for row in books.store.read(sql, &[bank.into(), now.into()]).await? {
        let name = Name { bank: bank.to_owned(), day: row.text(2), seq: row.int(3) };
        // Looked at again: between batch and sending an authorisation may have been taken back.
        let condition = "q.file = $2 AND q.state = 'SENT' AND q.due_at > $3 ORDER BY q.query_no";
        let queries = due::ready(books, agreements, bank, condition, &[row.text(0).into(), now.into()]).await?;
        let (state, next) = if queries.is_empty() {
            ("VOID", now)
        } else {
            match put(folder, &name, &queries).await {
                Ok(()) => {
                    sent += queries.len();
                    ("PUT", now)
                }
                Err(fault) => {
                    tracing::warn!(code = %fault.code, "a request file is put again later");
                    ("MADE", now + drive::pause(row.int(1)))
                }
            }
        };
        let sql = "UPDATE verification_file SET state = $2, tries = tries + 1, next_at = $3 WHERE name = $1 AND state = 'MADE'";
        books.store.write(sql, &[row.text(0).into(), state.into(), next.into()]).await?;
    }
    Ok(sent)
}

/// Puts what is due into a file of its own: from then on it travels under this name, whatever happens.
async fn make(books: &Books, agreements: &Agreements, bank: &str, now: i64) -> Result<(), Error> {
    let condition = "q.state = 'CREATED' AND q.file = '' AND q.next_at <= $2 AND q.due_at > $2 ORDER BY q.query_no LIMIT $3";
    let queries = due::ready(books, agreements, bank, condition, &[now.into(), MOST_QUERIES.into()]).await?;
    let numbers = |bad: bool| -> Vec<Value> {
        queries.iter().filter(|query| query.event.is_none() == bad).map(|query| json!([query.number])).collect()
    };
    let (good, bad) = (numbers(false), numbers(true));
    if !bad.is_empty() {
        let sql = "UPDATE verification_query SET fault = $2, next_at = $3 WHERE state = 'CREATED' AND query_no IN (SELECT value ->> 0 FROM {rows})";
        let args: [Arg; 3] =
            [Value::Array(bad).to_string().into(), NO_AGREEMENT.to_string().into(), (now + drive::pause(9)).into()];
        books.store.write(sql, &args).await?;
    }
    if good.is_empty() {
        return Ok(());
    }
    let day = compact(&clock::iso_date(clock::today()));
    let mut tx = books.store.begin().await?;
    let sql = "SELECT COALESCE(MAX(seq), 0) + 1 FROM verification_file WHERE provider = $1 AND day = $2";
    let seq = tx.read(sql, &[bank.into(), day.as_str().into()]).await?.first().map_or(1, |row| row.int(0));
    let name = Name { bank: bank.to_owned(), day, seq }.stem();
    let sql = "UPDATE verification_query SET state = 'SENT', file = $2, attempts = attempts + 1, sent_at = $3 \
               WHERE query_no IN (SELECT value ->> 0 FROM {rows}) AND state = 'CREATED' AND file = ''";
    let touched = tx.execute(sql, &[Value::Array(good).to_string().into(), name.as_str().into(), now.into()]).await?;
    if touched == 0 {
        return Ok(());
    }
    let sql = "INSERT INTO verification_file (name, provider, day, seq, state, queries, tries, next_at, remind_at, at) VALUES ($1, $2, $3, $4, 'MADE', $5, 0, 0, $6, $7)";
    let day = name.split('_').nth(2).unwrap_or_default();
    let count = i64::try_from(touched).unwrap_or_default();
    let remind_at = request::after_workdays(REMINDER_WORKDAYS, clock::today(), now);
    let args: [Arg; 7] = [name.as_str().into(), bank.into(), day.into(), seq.into(), count.into(), remind_at.into(), now.into()];
    tx.execute(sql, &args).await?;
    tx.commit().await
}

/// What a bank left open of a file goes into a new one, once and under its numbers, before it runs out.
async fn remind(books: &Books, bank: &str, now: i64) -> Result<(), Error> {
    let sql = "SELECT name FROM verification_file WHERE provider = $1 AND remind_at > 0 AND remind_at <= $2 AND state IN ('PUT', 'ACKED', 'ANSWERED')";
    let files = books.store.read(sql, &[bank.into(), now.into()]).await?;
    if files.is_empty() {
        return Ok(());
    }
    let names = Value::Array(files.iter().map(|row| json!([row.text(0)])).collect()).to_string();
    let mut tx = books.store.begin().await?;
    let sql = "UPDATE verification_query SET state = 'CREATED', file = '', next_at = 0 WHERE provider = $2 AND state IN ('SENT', 'ACKED') \
               AND attempts = 1 AND due_at > $3 AND file IN (SELECT value ->> 0 FROM {rows})";
    let open = tx.execute(sql, &[names.as_str().into(), bank.into(), now.into()]).await?;
    let sql = "UPDATE verification_file SET remind_at = 0 WHERE name IN (SELECT value ->> 0 FROM {rows})";
    tx.execute(sql, &[names.into()]).await?;
    tx.commit().await?;
    if open > 0 {
        tracing::warn!("a bank is reminded of queries that it left open");
    }
    Ok(())
}

async fn put(folder: &dyn DropBox, name: &Name, queries: &[Query]) -> Result<(), Fault> {
    let mut details = Vec::with_capacity(queries.len());
    for query in queries {
        // One without agreement stays behind; it was judged when the file was made, so there is none but on the day it ends.
        let Some(event) = &query.event else { continue };
        let fields = query_fields(&event.data.record);
        details.push(line::write(folder.form(), line::QUERY, &fields.each_ref().map(String::as_str))?);
    }
    let file = pack::pack(folder.form(), name, &details, |content| folder.sign(content))?;
    folder.put(&format!("{}.REQ", name.stem()), &file).await
}
