//! Whether another word of the object says something else in the disputed field.
//!
//! What is compared are keyed hashes of the field in the copies that receivers were sent. A plain value is the value
//! itself, whoever got it. In another form only what the same receiver got can be compared: if it differs the value has
//! changed; if it does not, a hash proves that it is the same, a masked form proves nothing. Coarse forms change with the
//! day (an age band), encrypted ones with the delivery: they prove nothing either way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Books, dotted,
    versions::{self, To, Version},
};
use crate::{
    envelope::{Event, Op},
    govern::{Agreements, form::Form},
    store::Error,
};

/// The disputed value as its receivers have it, as keyed hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// The value itself.
    pub plain: Option<String>,
    /// What each receiver has, in which form.
    pub by: BTreeMap<String, (String, String)>,
}

/// What a comparison says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another value, or none: its keyed hash if it is known.
    Changed(String),
    Unchanged,
    /// No copy can tell.
    Unknown,
    /// A copy that can tell is on its way.
    Pending,
}

/// Which field, of which dispute.
pub(super) struct Field<'a> {
    pub dispute: &'a str,
    pub pointer: &'a str,
}

impl Field<'_> {
    fn hash(&self, books: &Books, copy: &Event) -> String {
        books.hash(self.dispute, copy.data.record.pointer(self.pointer).unwrap_or(&Value::Null))
    }
}

/// In what form a receiver gets a field; `None` if its agreement does not list it.
pub(super) fn form(agreements: &Agreements, to: &To, pointer: &str) -> Option<Form> {
    let partner = agreements.partner(&to.subscription)?;
    partner.agreements.iter().find(|agreement| agreement.id == to.agreement)?.fields.get(&dotted(pointer)).copied()
}

/// Whether a receiver has the field: its copy knows best, without one its agreement does, without that one it may have.
pub(super) fn has(agreements: &Agreements, to: &To, pointer: &str, copy: Option<&Event>) -> bool {
    if let Some(copy) = copy {
        return copy.data.record.pointer(pointer).is_some();
    }
    let known = agreements.partner(&to.subscription).is_some_and(|one| one.agreements.iter().any(|one| one.id == to.agreement));
    !known || form(agreements, to, pointer).is_some()
}

/// What the receivers of a word have in the field.
pub(super) async fn said(books: &Books, agreements: &Agreements, field: &Field<'_>, version: &Version) -> Result<Said, Error> {
    let deliveries: Vec<String> = version.to.iter().map(To::delivery).collect();
    let copies = versions::copies(books, &deliveries).await?;
    let mut said = Said::default();
    for to in &version.to {
        let Some((form, copy)) = form(agreements, to, field.pointer).zip(copies.get(&to.delivery())) else { continue };
        let hash = field.hash(books, copy);
        if form == Form::Plain {
            said.plain = Some(hash.clone());
        }
        said.by.insert(to.subscription.clone(), (form.as_str().to_owned(), hash));
    }
    Ok(said)
}

/// Holds a word against the disputed value.
pub(super) async fn judge(
    books: &Books,
    agreements: &Agreements,
    field: &Field<'_>,
    said: &Said,
    version: &Version,
) -> Result<Verdict, Error> {
    if version.deleted {
        return Ok(Verdict::Changed(String::new()));
    }
    let deliveries: Vec<String> = version.to.iter().map(To::delivery).collect();
    let copies = versions::copies(books, &deliveries).await?;
    let receipts = versions::receipts(&books.store, &deliveries).await?;
    let (mut same, mut pending) = (false, false);
    for to in &version.to {
        let Some(form) = form(agreements, to, field.pointer) else { continue };
        let delivery = to.delivery();
        let Some(copy) = copies.get(&delivery) else {
            pending |= comparable(said, form, to) && !receipts.contains_key(&delivery);
            continue;
        };
        match one(said, form, to, copy.op() == Some(Op::Delete), &field.hash(books, copy)) {
            Some(true) => return Ok(Verdict::Changed(if form == Form::Plain { field.hash(books, copy) } else { String::new() })),
            Some(false) => same = true,
            None => {}
        }
    }
    Ok(if same {
        Verdict::Unchanged
    } else if pending {
        Verdict::Pending
    } else {
        Verdict::Unknown
    })
}

/// Whether a copy there would tell.
fn comparable(said: &Said, form: Form, to: &To) -> bool {
    form == Form::Plain && said.plain.is_some()
        || matches!(form, Form::Plain | Form::Masked | Form::Hashed)
            && said.by.get(&to.subscription).is_some_and(|(known, _)| known == form.as_str())
}

/// Whether one copy shows another value; `None` if it cannot tell.
fn one(said: &Said, form: Form, to: &To, deleted: bool, hash: &str) -> Option<bool> {
    if deleted {
        return Some(true);
    }
    if form == Form::Plain
        && let Some(plain) = &said.plain
    {
        return Some(plain != hash);
    }
    let (_, known) = said.by.get(&to.subscription).filter(|(known, _)| known == form.as_str())?;
    match form {
        Form::Encrypted | Form::Coarse => None,
        _ if known != hash => Some(true),
        Form::Plain | Form::Hashed => Some(false),
        Form::Masked => None,
    }
}
