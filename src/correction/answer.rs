//! What the desk of the owning system does: it agrees, or rejects with a reason; and an officer gives a receiver up.

use serde::Serialize;
use serde_json::json;

use super::{
    ANSWERED, Books,
    book::{TRIES, entry, failed},
    drive,
    list::{self, Dispute},
    open::words,
};
use crate::{clock, error::Fault, govern::Agreements, ledger::Kind, store::Error};

/// What the owner says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The value is wrong: a corrected record comes, or has come.
    Upheld,
    /// The value is right.
    Rejected,
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Done {
    /// The dispute is answered: by a record that is there, or by the reason.
    Answered,
    /// The owner has agreed; the corrected record is awaited.
    Awaited,
    /// The same, and a newer record that is there does not change the value.
    Unchanged,
}

/// Answers a dispute, as the office `by`.
///
/// # Errors
/// There is no such dispute, it is answered already, a rejection has no reason, or the store fails.
pub async fn answer(
    books: &Books,
    agreements: &Agreements,
    id: &str,
    answer: Answer,
    by: &str,
    reason: &str,
) -> Result<Done, Fault> {
    words(by, "--by")?;
    if answer == Answer::Rejected {
        words(reason, "--reason")?;
    }
    let dispute = list::find(&books.store, id).await?;
    if matches!(dispute.state.as_str(), "answered" | "closed") {
        return Err(answered());
    }
    let mut tries = 1;
    loop {
        let done = match answer {
            Answer::Rejected => reject(books, &dispute, by, reason).await,
            Answer::Upheld => uphold(books, agreements, &dispute, by).await,
        };
        match done {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => return Err(answered()),
            Err(error) if tries == TRIES => return Err(error.fault()),
            Err(_) => tries += 1,
        }
    }
}

fn answered() -> Fault {
    Fault::new(ANSWERED, "the dispute is answered already")
        .hint("`civilhub dispute show ID` has the answer; what is wrong with the new record is another dispute")
}

/// `None` if somebody else was quicker.
async fn reject(books: &Books, dispute: &Dispute, by: &str, reason: &str) -> Result<Option<Done>, Error> {
    let mut tx = books.store.begin().await?;
    let sql = "UPDATE dispute SET state = 'answered', outcome = 'rejected', reason = $2, answered_at = $3, answered_by = $4 \
               WHERE id = $1 AND state IN ('opened', 'sent')";
    let sealed = books.seal(&json!({ "reason": reason }));
    let args = [dispute.id.as_str().into(), sealed.into(), clock::millis().into(), by.into()];
    if tx.execute(sql, &args).await? == 0 {
        return Ok(None);
    }
    let body = json!({ "dispute": dispute.id, "outcome": "rejected", "by": by });
    books.note(&mut tx, &[entry(Kind::Answered, dispute.about(), body)]).await?;
    tx.commit().await?;
    Ok(Some(Done::Answered))
}

async fn uphold(books: &Books, agreements: &Agreements, dispute: &Dispute, by: &str) -> Result<Option<Done>, Error> {
    match drive::look(books, agreements, dispute).await? {
        drive::Look::Changed(news) | drive::Look::Unknown(news) => {
            Ok(drive::fix(books, agreements, dispute, &news, by).await?.then_some(Done::Answered))
        }
        look => {
            let mut tx = books.store.begin().await?;
            let sql = "UPDATE dispute SET promised_at = $2 WHERE id = $1 AND promised_at = 0 AND state IN ('opened', 'sent')";
            let fresh = tx.execute(sql, &[dispute.id.as_str().into(), clock::millis().into()]).await?;
            if fresh > 0 {
                let body = json!({ "dispute": dispute.id, "outcome": "upheld", "by": by });
                books.note(&mut tx, &[entry(Kind::Answered, dispute.about(), body)]).await?;
                tx.commit().await?;
            }
            Ok(Some(if matches!(look, drive::Look::Unchanged(_)) { Done::Unchanged } else { Done::Awaited }))
        }
    }
}

/// Gives a receiver up that cannot be reached: the dispute may close without its receipt.
///
/// # Errors
/// There is no such dispute or receiver, it has the right value already, there is no reason, or the store fails.
pub async fn waive(books: &Books, id: &str, receiver: &str, reason: &str) -> Result<(), Fault> {
    words(reason, "--reason")?;
    let dispute = list::find(&books.store, id).await?;
    let mut tx = books.store.begin().await.map_err(failed)?;
    let sql = "UPDATE dispute_receiver SET state = 'waived', at = $3 WHERE dispute_id = $1 AND subscription = $2 AND state IN ('due', 'sent')";
    if tx.execute(sql, &[id.into(), receiver.into(), clock::millis().into()]).await.map_err(failed)? == 0 {
        let fault = Fault::new(ANSWERED, "this receiver of the dispute is not waited for");
        return Err(fault.hint("`civilhub dispute show ID` lists the receivers"));
    }
    let body = json!({ "dispute": id, "decision": "waived", "subscription": receiver });
    books.note(&mut tx, &[entry(Kind::Decided, dispute.about(), body)]).await.map_err(failed)?;
    tx.commit().await.map_err(failed)
}
