//! The task that takes disputes on: into the owner's queue, from the corrected record to every receipt, to the end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Books,
    book::entry,
    compare::{self, Field, Verdict},
    list::{self, COLUMNS, Dispute},
    versions::{self, To, Version},
    withdraw,
};
use crate::{bus::Bus, clock, govern::Agreements, ledger::Kind, store::Error};

const PAUSE: Duration = Duration::from_secs(1);
/// Disputes read in one go.
const PAGE: i64 = 500;

/// The task of a running hub.
pub async fn run(bus: Arc<dyn Bus>, books: Books, agreements: Arc<Agreements>, cancel: CancellationToken) {
    while !cancel.is_cancelled() {
        if let Err(error) = step(bus.as_ref(), &books, &agreements).await {
            tracing::warn!(code = %error.fault().code, "disputes are looked at again");
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// One go over all that is open. Answers how many disputes were closed.
///
/// # Errors
/// The store or the bus failed, or another process was quicker, at one dispute at least; what was done is kept.
pub async fn step(bus: &dyn Bus, books: &Books, agreements: &Agreements) -> Result<usize, Error> {
    // One that cannot go on holds up no other.
    let mut failed = None;
    for dispute in in_state(books, "state = 'opened'").await? {
        failed = queue(books, &dispute).await.err().or(failed);
    }
    // Only those of whose object something newer has passed since they were looked at.
    let news = "state = 'sent' AND EXISTS (SELECT 1 FROM fence f WHERE f.object_id = dispute.object_id \
                AND f.event_id <> dispute.event_id AND f.event_id <> dispute.checked_event)";
    for dispute in in_state(books, news).await? {
        failed = compare_news(books, agreements, &dispute).await.err().or(failed);
    }
    let mut closed = 0;
    for dispute in in_state(books, "state = 'answered'").await? {
        match finish(bus, books, agreements, &dispute).await {
            Ok(done) => closed += usize::from(done),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(closed), Err)
}

async fn compare_news(books: &Books, agreements: &Agreements, dispute: &Dispute) -> Result<(), Error> {
    match look(books, agreements, dispute).await? {
        Look::Changed(news) => fix(books, agreements, dispute, &news, "record").await.map(|_| ()),
        Look::Unchanged(news) => checked(books, dispute, &news.last, "unchanged").await,
        Look::Unknown(news) => checked(books, dispute, &news.last, "unknown").await,
        Look::Nothing(last) => checked(books, dispute, &last, "").await,
        Look::Pending => Ok(()),
    }
}

async fn finish(bus: &dyn Bus, books: &Books, agreements: &Agreements, dispute: &Dispute) -> Result<bool, Error> {
    if dispute.outcome == "corrected" {
        withdraw::tell(bus, books, agreements, dispute).await?;
        settle(books, dispute).await?;
    }
    close(books, dispute).await
}

/// All in a state, read page by page.
async fn in_state(books: &Books, condition: &str) -> Result<Vec<Dispute>, Error> {
    let sql = format!("{COLUMNS} WHERE {condition} AND id > $1 ORDER BY id LIMIT $2");
    let mut found: Vec<Dispute> = Vec::new();
    loop {
        let after = found.last().map(|last| last.id.clone()).unwrap_or_default();
        let page = books.store.read(&sql, &[after.into(), PAGE.into()]).await?;
        found.extend(page.iter().map(Dispute::of));
        if (page.len() as i64) < PAGE {
            return Ok(found);
        }
    }
}

/// Into the queue of the owning system's desk.
async fn queue(books: &Books, dispute: &Dispute) -> Result<(), Error> {
    let mut tx = books.store.begin().await?;
    if tx.execute("UPDATE dispute SET state = 'sent' WHERE id = $1 AND state = 'opened'", &[dispute.id.as_str().into()]).await?
        == 0
    {
        return Ok(());
    }
    let body = json!({ "dispute": dispute.id, "desk": dispute.system, "due": dispute.due_on });
    books.note(&mut tx, &[entry(Kind::Asked, dispute.about(), body)]).await?;
    tx.commit().await
}

/// The newest record of the object, and all before it.
pub(super) struct News {
    fix: Version,
    before: Vec<Version>,
    value: String,
    /// The object's last word in the fence, which may be a repetition.
    last: String,
}

/// What a look at the object shows.
pub(super) enum Look {
    /// No newer record; the last word of the fence.
    Nothing(String),
    Changed(News),
    Unchanged(News),
    Unknown(News),
    /// Its copies are on their way.
    Pending,
}

/// Whether a newer record than the disputed one is there, and whether it says something else.
pub(super) async fn look(books: &Books, agreements: &Agreements, dispute: &Dispute) -> Result<Look, Error> {
    let sql = "SELECT event_id FROM fence WHERE object_id = $1";
    let rows = books.store.read(sql, &[dispute.object_id.as_str().into()]).await?;
    let last = rows.first().map(|row| row.text(0)).unwrap_or_default();
    let mut words = versions::of(&books.store, &dispute.object_id, None).await?;
    let Some(fix) = words.pop().filter(|newest| newest.event_id != dispute.event_id) else { return Ok(Look::Nothing(last)) };
    let field = Field { dispute: &dispute.id, pointer: &dispute.pointer };
    let verdict = compare::judge(books, agreements, &field, &dispute.said, &fix).await?;
    let news = |value: String| News { fix, before: words, value, last };
    Ok(match verdict {
        Verdict::Changed(value) => Look::Changed(news(value)),
        Verdict::Unchanged => Look::Unchanged(news(String::new())),
        Verdict::Unknown => Look::Unknown(news(String::new())),
        Verdict::Pending => Look::Pending,
    })
}

/// Remembers what a newer word says, so that it is looked at once.
async fn checked(books: &Books, dispute: &Dispute, last: &str, what: &str) -> Result<(), Error> {
    // A repetition says nothing new about the record that was looked at before.
    let sql = "UPDATE dispute SET checked_event = $2, checked = CASE WHEN $3 = '' THEN checked ELSE $3 END WHERE id = $1 AND state = 'sent'";
    books.store.write(sql, &[dispute.id.as_str().into(), last.into(), what.into()]).await.map(|_| ())
}

/// The newest record answers the dispute: from now on everyone who has the wrong value is looked after.
pub(super) async fn fix(books: &Books, agreements: &Agreements, dispute: &Dispute, news: &News, by: &str) -> Result<bool, Error> {
    let wrong = wrong(books, agreements, dispute, &news.before).await?;
    let receivers: Vec<Value> = wrong.values().map(|(version, to)| receiver(version, to, &news.fix)).collect();
    let mut tx = books.store.begin().await?;
    let sql = "UPDATE dispute SET state = 'answered', outcome = 'corrected', fix_event = $2, fix_said = $3, fix_sequence = $4, answered_at = $5, \
               answered_by = $6 WHERE id = $1 AND state IN ('opened', 'sent')";
    let (id, now) = (dispute.id.as_str(), clock::millis());
    let args = [
        id.into(),
        news.fix.event_id.as_str().into(),
        news.value.as_str().into(),
        news.fix.sequence.into(),
        now.into(),
        by.into(),
    ];
    if tx.execute(sql, &args).await? == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO dispute_receiver (dispute_id, subscription, agreement, purpose, wrong_event, wrong_delivery, kind, state, delivery_id, receipt, at) \
               SELECT $2, value ->> 's', value ->> 'a', value ->> 'p', value ->> 'e', value ->> 'w', value ->> 'k', value ->> 't', value ->> 'd', '', $3 \
               FROM {rows} WHERE true ON CONFLICT DO NOTHING";
    tx.execute(sql, &[Value::from(receivers.clone()).to_string().into(), id.into(), now.into()]).await?;
    let to: Vec<Value> = receivers.iter().map(|one| json!([one["s"], one["k"]])).collect();
    let body =
        json!({ "dispute": id, "outcome": "corrected", "by": by, "fix": news.fix.event_id, "value": news.value, "to": to });
    let (_, system, dataset) = dispute.about();
    let corrects = json!({ "dispute": id, "corrects": dispute.event_id, "was": dispute.said.plain, "value": news.value });
    let rows =
        [entry(Kind::Answered, dispute.about(), body), entry(Kind::Corrected, (&news.fix.event_id, system, dataset), corrects)];
    books.note(&mut tx, &rows).await?;
    tx.commit().await?;
    Ok(true)
}

/// Who was sent the wrong value, each with the last word that had it. A word counts as wrong unless a copy shows another value;
/// whose agreement does not list the field has never had it.
async fn wrong<'a>(
    books: &Books,
    agreements: &Agreements,
    dispute: &Dispute,
    before: &'a [Version],
) -> Result<BTreeMap<&'a str, (&'a Version, &'a To)>, Error> {
    let field = Field { dispute: &dispute.id, pointer: &dispute.pointer };
    let mut wrong = BTreeMap::new();
    for version in before {
        let disputed = version.event_id == dispute.event_id;
        let differs = matches!(compare::judge(books, agreements, &field, &dispute.said, version).await?, Verdict::Changed(_));
        if disputed || !differs {
            let deliveries: Vec<String> = version.to.iter().map(To::delivery).collect();
            let copies = versions::copies(books, &deliveries).await?;
            let has = |to: &&To| compare::has(agreements, to, &dispute.pointer, copies.get(&to.delivery()));
            wrong.extend(version.to.iter().filter(has).map(|to| (to.subscription.as_str(), (version, to))));
        }
    }
    Ok(wrong)
}

fn receiver(version: &Version, to: &To, fix: &Version) -> Value {
    let (kind, state, delivery) = match fix.to(&to.subscription) {
        Some(to) => ("version", "sent", to.delivery()),
        None => ("withdrawal", "due", String::new()),
    };
    json!({ "s": to.subscription, "a": to.agreement, "p": to.purpose, "e": version.event_id, "w": to.delivery(), "k": kind, "t": state, "d": delivery })
}

/// Notes the receipts that have come. The receipt of a still newer record is as good as that of the corrected one.
async fn settle(books: &Books, dispute: &Dispute) -> Result<(), Error> {
    let mut open = list::receivers(&books.store, &dispute.id).await?;
    open.retain(|one| one.state == "sent");
    if open.is_empty() {
        return Ok(());
    }
    let words = versions::of(&books.store, &dispute.object_id, None).await?;
    let since = words.iter().position(|word| word.event_id == dispute.fix_event).unwrap_or(words.len());
    let good = |name: &str| words[since..].iter().filter_map(|word| word.to(name)).map(To::delivery).collect::<Vec<_>>();
    let mut ways: Vec<(String, String)> = Vec::new();
    for one in &open {
        let mut deliveries = if one.kind == "version" { good(&one.subscription) } else { Vec::new() };
        deliveries.push(one.delivery_id.clone());
        ways.extend(deliveries.into_iter().map(|delivery| (one.subscription.clone(), delivery)));
    }
    let ids: Vec<String> = ways.iter().map(|(_, delivery)| delivery.clone()).collect();
    let receipts = versions::receipts(&books.store, &ids).await?;
    let mut rows: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, delivery) in &ways {
        if let Some((at, receipt)) = receipts.get(delivery) {
            rows.entry(name).or_insert_with(|| json!({ "s": name, "d": delivery, "r": receipt, "at": at.to_string() }));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "UPDATE dispute_receiver SET state = 'received', delivery_id = value ->> 'd', receipt = value ->> 'r', at = CAST(value ->> 'at' AS BIGINT) \
               FROM {rows} WHERE dispute_id = $2 AND subscription = value ->> 's' AND state = 'sent'";
    let rows: Vec<Value> = rows.into_values().collect();
    books.store.write(sql, &[Value::from(rows).to_string().into(), dispute.id.as_str().into()]).await.map(|_| ())
}

/// Closes a dispute of which no receipt is missing.
async fn close(books: &Books, dispute: &Dispute) -> Result<bool, Error> {
    let mut tx = books.store.begin().await?;
    let sql = "UPDATE dispute SET state = 'closed', closed_at = $2 WHERE id = $1 AND state = 'answered' AND NOT EXISTS \
               (SELECT 1 FROM dispute_receiver r WHERE r.dispute_id = $1 AND r.state IN ('due', 'sent'))";
    if tx.execute(sql, &[dispute.id.as_str().into(), clock::millis().into()]).await? == 0 {
        return Ok(false);
    }
    let receivers = list::receivers(&books.store, &dispute.id).await?;
    let to: Vec<Value> = receivers.iter().map(|one| json!([one.subscription, one.kind, one.state, one.delivery_id])).collect();
    let body = json!({ "dispute": dispute.id, "outcome": dispute.outcome, "to": to });
    books.note(&mut tx, &[entry(Kind::Closed, dispute.about(), body)]).await?;
    tx.commit().await?;
    Ok(true)
}
