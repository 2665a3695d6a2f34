//! Opening a dispute: only what was received can be disputed, and the same dispute is opened once.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Books, Claim, LONGEST, NO_COPY, NO_FIELD, NO_WORDS, NOT_RECEIVED, What, Who,
    book::{TRIES, entry, failed},
    compare::{self, Field, Said},
    dotted,
    versions::{self, To, Version},
};
use crate::{
    clock,
    domain::workday,
    envelope::{Event, unlike_numbers},
    error::Fault,
    govern::Agreements,
    ledger::Kind,
    router::object_of,
    store::Error,
};

/// What opening came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub id: String,
    /// It was not there before.
    pub fresh: bool,
}

/// The source object and the word of it that are meant.
struct Object {
    source: String,
    dataschema: String,
    subject: String,
    id: String,
    event: Option<(String, i64)>,
}

impl Object {
    fn new(source: &str, dataschema: &str, subject: &str, event: Option<(String, i64)>) -> Self {
        let id = object_of(source, dataschema, subject);
        Self { source: source.to_owned(), dataschema: dataschema.to_owned(), subject: subject.to_owned(), id, event }
    }
}

/// Opens a dispute; `workdays` is the time of the owner.
///
/// # Errors
/// The claim says nothing, the record or the field was not received, or the store fails.
pub async fn open(
    books: &Books,
    agreements: &Agreements,
    who: &Who,
    what: &What,
    claim: &Claim,
    workdays: u16,
) -> Result<Opened, Fault> {
    check(claim)?;
    let object = find(books, who, what).await?;
    let also = object.event.as_ref().map(|(event, sequence)| (event.as_str(), *sequence));
    // An event that was only named is no proof that it is one of this object.
    let proven = if matches!(what, What::Delivery(_)) { also } else { None };
    let words = versions::of(&books.store, &object.id, proven).await.map_err(failed)?;
    let version = match also {
        Some((event, _)) => words.into_iter().find(|version| version.event_id == event),
        None => words.into_iter().next_back(),
    };
    let version = version.ok_or_else(not_received)?;
    received(books, agreements, who, &version, claim).await?;
    let id = id(who, &object.id, &version.event_id, &claim.pointer);
    let field = Field { dispute: &id, pointer: &claim.pointer };
    let said = compare::said(books, agreements, &field, &version).await.map_err(failed)?;
    let mut tries = 1;
    loop {
        match write(books, who, &object, &version, claim, (&id, &said), workdays).await {
            Ok(fresh) => return Ok(Opened { id, fresh }),
            Err(error) if tries == TRIES => return Err(error.fault()),
            Err(_) => tries += 1,
        }
    }
}

fn check(claim: &Claim) -> Result<(), Fault> {
    if !claim.pointer.starts_with('/') || claim.pointer.len() > 200 {
        return Err(Fault::new(NO_FIELD, "the field is none")
            .at_pointer("/pointer")
            .expected("a JSON pointer into the record, like /amount"));
    }
    words(&claim.problem, "/problem")
}

/// A text that people gave must be there, and not too long.
pub(super) fn words(text: &str, place: &str) -> Result<(), Fault> {
    if text.trim().is_empty() || text.chars().count() > LONGEST {
        return Err(Fault::new(NO_WORDS, "a text is missing or too long").at_pointer(place).expected("1 to 1000 characters"));
    }
    Ok(())
}

fn not_received() -> Fault {
    // The same words whether it is unknown or somebody else's.
    Fault::new(NOT_RECEIVED, "nothing like this was delivered to you")
        .at_pointer("/delivery_id")
        .hint("GET /v1/deliveries lists what was")
}

async fn find(books: &Books, who: &Who, what: &What) -> Result<Object, Fault> {
    match what {
        What::Record { source, dataschema, subject, event } => {
            Ok(Object::new(source, dataschema, subject, event.clone().map(|event| (event, 0))))
        }
        What::Delivery(id) => {
            let copies = versions::copies(books, std::slice::from_ref(id)).await.map_err(failed)?;
            let own = |copy: &&Event| {
                matches!(who, Who::Office) || copy.subscription.as_ref().map(|one| one.as_str()) == Some(who.as_str())
            };
            if let Some(copy) = copies.get(id).filter(own) {
                let event = Some((copy.id.as_str().to_owned(), copy.sequence));
                return Ok(Object::new(&copy.source, &copy.dataschema, &copy.subject, event));
            }
            let sql = "SELECT subscription FROM receipt WHERE delivery_id = $1";
            let rows = books.store.read(sql, &[id.as_str().into()]).await.map_err(failed)?;
            let had = rows.first().is_some_and(|row| matches!(who, Who::Office) || row.text(0) == who.as_str());
            if had && copies.is_empty() {
                let fault = Fault::new(NO_COPY, "the copy of this delivery is no longer kept").at_pointer("/delivery_id");
                return Err(fault.hint("name the record instead: id, source, dataschema and subject of its event"));
            }
            Err(not_received())
        }
    }
}

/// A partner disputes what it has; an officer what somebody has.
async fn received(books: &Books, agreements: &Agreements, who: &Who, version: &Version, claim: &Claim) -> Result<(), Fault> {
    let to: Vec<&To> = match who {
        Who::Partner(slug) => version.to(slug).into_iter().collect(),
        Who::Office => version.to.iter().collect(),
    };
    let deliveries: Vec<String> = to.iter().map(|to| to.delivery()).collect();
    let receipts = versions::receipts(&books.store, &deliveries).await.map_err(failed)?;
    if matches!(who, Who::Partner(_)) && receipts.is_empty() || to.is_empty() {
        return Err(not_received());
    }
    let copies = versions::copies(books, &deliveries).await.map_err(failed)?;
    // The copy knows best; without one the agreement does.
    let has = |to: &&To| match copies.get(&to.delivery()) {
        Some(copy) => copy.data.record.pointer(&claim.pointer).is_some_and(|value| !value.is_object() && !value.is_array()),
        None => compare::form(agreements, to, &claim.pointer).is_some(),
    };
    if to.iter().any(has) {
        return Ok(());
    }
    let fault = Fault::new(NO_FIELD, "the field was not received").at_pointer("/pointer");
    Err(fault
        .expected("a field with a value of the delivered record")
        .hint("GET /v1/meta/allowed lists the fields of an agreement"))
}

fn id(who: &Who, object: &str, event: &str, pointer: &str) -> String {
    let mut hash = Sha256::new();
    for part in ["dispute", who.as_str(), object, event, pointer] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("ds_{}", unlike_numbers(&hash.finalize()[..12]))
}

/// Says whether it was written: a second one of the same finds the first.
async fn write(
    books: &Books,
    who: &Who,
    object: &Object,
    version: &Version,
    claim: &Claim,
    (id, said): (&str, &Said),
    workdays: u16,
) -> Result<bool, Error> {
    let now = clock::millis();
    let due = clock::iso_date(workday::add_workdays(clock::today(), u32::from(workdays)));
    let system = object.source.strip_prefix("/systems/").unwrap_or(&object.source);
    let dataset = object.dataschema.split('/').next().unwrap_or_default();
    let body = json!({ "problem": claim.problem, "proposed": claim.proposed });
    let mut tx = books.store.begin().await?;
    let sql = "INSERT INTO dispute (id, opened_by, system, dataset, dataschema, subject, object_id, event_id, pointer, state, outcome, said, body, \
               reason, opened_at, due_on, promised_at, checked_event, checked, fix_event, fix_said, fix_sequence, answered_at, answered_by, closed_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'opened', '', $10, $11, '', $12, $13, 0, '', '', '', '', 0, 0, '', 0) \
               ON CONFLICT DO NOTHING";
    let args = [
        id.into(),
        who.as_str().into(),
        system.into(),
        dataset.into(),
        object.dataschema.as_str().into(),
        object.subject.as_str().into(),
        object.id.as_str().into(),
        version.event_id.as_str().into(),
        claim.pointer.as_str().into(),
        serde_json::to_string(said).unwrap_or_default().into(),
        books.seal(&body).into(),
        now.into(),
        due.as_str().into(),
    ];
    if tx.execute(sql, &args).await? == 0 {
        return Ok(false);
    }
    let field = dotted(&claim.pointer);
    let proof: Value = json!({ "dispute": id, "by": who.as_str(), "field": field, "value": said.plain, "due": due });
    books.note(&mut tx, &[entry(Kind::Disputed, (&version.event_id, system, dataset), proof)]).await?;
    tx.commit().await?;
    Ok(true)
}
