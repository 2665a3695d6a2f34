//! Merging and splitting by hand. Both can be undone: a split of what a merge joined gives the old keys back.

mod part;
mod rebuild;

use serde_json::json;

pub use part::Parted;

use super::{StoreIndex, write};
use crate::{
    clock,
    envelope::PersonKey,
    error::{Code, Fault},
    store::{Arg, Tx},
};

/// No person has or had the key.
pub const NO_PERSON: Code = Code::new(5003);
/// The two keys are one person's already.
pub const ONE_ALREADY: Code = Code::new(5004);
/// A human has told the two apart.
pub const TOLD_APART: Code = Code::new(5005);
/// The person has no such record, or the text fits several.
pub const NO_RECORD: Code = Code::new(5006);
/// A split must leave something on both sides.
pub const NOTHING_LEFT: Code = Code::new(5007);

/// A decision, and what names it in events and in the ledger.
#[derive(Debug, Clone, Default)]
pub struct Why {
    /// Stands for the record that shows it where a machine decides.
    pub event: String,
    /// Also where a human told the two apart before.
    pub despite: bool,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Merged {
    pub person_key: PersonKey,
    pub retired_key: PersonKey,
}

const CURRENT: &str = "SELECT p.person_key, p.seq FROM person p WHERE p.state = 'active' \
     AND p.person_key = COALESCE((SELECT new_key FROM person_redirect WHERE old_key = $1), $1)";
const NAMES: &str =
    "(SELECT person_key FROM person WHERE person_key = $1 UNION SELECT old_key FROM person_redirect WHERE new_key = $1)";
const OTHER_NAMES: &str =
    "(SELECT person_key FROM person WHERE person_key = $2 UNION SELECT old_key FROM person_redirect WHERE new_key = $2)";
const TELL_APART: &str = "INSERT INTO cannot_link (one_key, other_key, reason, at, lifted_at) VALUES ($1, $2, $3, $4, 0) \
     ON CONFLICT (one_key, other_key) DO UPDATE SET reason = excluded.reason, at = excluded.at, lifted_at = 0";

impl StoreIndex {
    /// The person that counts today for a key, and its place. Nobody else decides about persons until the transaction ends.
    pub(super) async fn held(&self, tx: &mut Tx, key: &PersonKey) -> Result<(PersonKey, i64), Fault> {
        write::hold_to_change(tx).await.map_err(|error| error.fault())?;
        let rows = tx.read(CURRENT, &[Arg::from(key.as_str())]).await.map_err(|error| error.fault())?;
        let found = rows.first().map(|row| (PersonKey::from(row.text(0)), row.int(1)));
        found.ok_or_else(|| no_person(key))
    }

    /// Makes two persons one: the older key survives, the other becomes a redirect. A number of each may be a strong one;
    /// a human's decision is what allows it.
    ///
    /// # Errors
    /// No such person, one person already, told apart before, or the store failed.
    pub async fn merge(&self, tx: &mut Tx, one: &PersonKey, other: &PersonKey, why: &Why) -> Result<Merged, Fault> {
        let (one, other) = (self.held(tx, one).await?, self.held(tx, other).await?);
        if one.0 == other.0 {
            let fault = Fault::new(ONE_ALREADY, "the two keys are one person's already");
            return Err(fault.hint("`civilhub citizen KEY` shows every key of a person"));
        }
        if !why.despite && self.are_told_apart(tx, &one.0, &other.0).await? {
            let fault = Fault::new(TOLD_APART, "the two persons were told apart by a human");
            return Err(fault.hint("`--despite` merges them all the same and lifts that decision"));
        }
        self.lift(tx, &one.0, &other.0).await?;
        let (new, old) = if one.1 < other.1 { (one, other) } else { (other, one) };
        let row = write::retired_row(old.0.as_str(), new.0.as_str(), "hand", &why.event);
        write::retire(tx, vec![row]).await.map_err(|error| error.fault())?;
        self.rebuild(tx, &[&new.0]).await?;
        Ok(Merged { person_key: new.0, retired_key: old.0 })
    }

    /// Never again makes two persons one by itself.
    ///
    /// # Errors
    /// The store failed.
    pub async fn tell_apart(&self, tx: &mut Tx, one: &PersonKey, other: &PersonKey, reason: &str) -> Result<(), Fault> {
        let (one, other) = if one <= other { (one, other) } else { (other, one) };
        let args = [one.as_str().into(), other.as_str().into(), reason.into(), clock::millis().into()];
        tx.execute(TELL_APART, &args).await.map(|_| ()).map_err(|error| error.fault())
    }

    async fn are_told_apart(&self, tx: &mut Tx, one: &PersonKey, other: &PersonKey) -> Result<bool, Fault> {
        let sql = format!("SELECT one_key FROM cannot_link WHERE {}", pair());
        let rows = tx.read(&sql, &[one.as_str().into(), other.as_str().into()]).await;
        rows.map(|rows| !rows.is_empty()).map_err(|error| error.fault())
    }

    async fn lift(&self, tx: &mut Tx, one: &PersonKey, other: &PersonKey) -> Result<(), Fault> {
        let sql = format!("UPDATE cannot_link SET lifted_at = $3 WHERE {}", pair());
        let args = [one.as_str().into(), other.as_str().into(), clock::millis().into()];
        tx.execute(&sql, &args).await.map(|_| ()).map_err(|error| error.fault())
    }

    /// Derives a person from its records again.
    pub(super) async fn rebuild_one(&self, tx: &mut Tx, key: &PersonKey) -> Result<(), Fault> {
        self.rebuild(tx, &[key]).await
    }

    /// Puts into the outbox what everybody who holds a key must hear.
    pub(super) async fn announce(&self, tx: &mut Tx, (kept, new): (&PersonKey, &PersonKey), event: &str) -> Result<(), Fault> {
        let at = clock::millis();
        let row = json!({"id": format!("split:{kept}:{new}:{at}"), "k": kept, "o": new, "e": event});
        let sql = "INSERT INTO identity_event (id, kind, person_key, other_key, event_id, at, published) \
             SELECT value ->> 'id', 'person.split', value ->> 'k', value ->> 'o', value ->> 'e', $2, 0 FROM {rows}";
        write::run(tx, sql, vec![row], "id", &[at.into()]).await.map(|_| ()).map_err(|error| error.fault())
    }
}

/// Two persons told apart under any of their keys.
fn pair() -> String {
    format!(
        "lifted_at = 0 AND ((one_key IN {NAMES} AND other_key IN {OTHER_NAMES}) OR (one_key IN {OTHER_NAMES} AND other_key IN {NAMES}))"
    )
}

pub(super) fn no_person(key: &PersonKey) -> Fault {
    Fault::new(NO_PERSON, format!("no person has the key `{key}`"))
        .hint("keys stand in deliveries, and `civilhub trace` shows them")
}
