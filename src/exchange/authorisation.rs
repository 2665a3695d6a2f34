//! The store of authorisations: what a household has signed, for how long, and whether it was taken back.

use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Date, macros::format_description};

use super::{
    EXPIRED, INCOMPLETE, NO_AUTHORISATION, OTHER_DIVISION, OUT_OF_SCOPE, REVOKED, Subject, UNREADABLE,
    book::{Books, entry},
};
use crate::{
    clock,
    domain::{codes::CodeLists, resident_id::ResidentId},
    error::{Code, Fault},
    ledger::Kind,
    store::{Arg, Error},
};

/// From this age on a person signs for itself.
const ADULT: i32 = 18;

/// One person of an authorisation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub name: String,
    #[serde(default = "super::resident")]
    pub id_type: String,
    pub id_number: String,
    /// Needed where the number does not tell it.
    #[serde(default)]
    pub birth_date: Option<String>,
    /// Whether the person itself has signed.
    #[serde(default)]
    pub signed: bool,
    /// Who signed for a person that cannot.
    #[serde(default)]
    pub guardian: Option<String>,
}

/// An authorisation as it is handed in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorisation {
    pub no: String,
    pub division: String,
    pub signed_at: String,
    pub valid_to: String,
    pub scope: Vec<String>,
    pub image_sha256: String,
    pub members: Vec<Member>,
}

/// An authorisation as it is stored.
#[derive(Debug)]
pub struct Stored {
    pub authorisation: Authorisation,
    pub revoked: bool,
}

/// Why a query may not be asked: one code, and the text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub Code, pub &'static str);

fn day(text: &str) -> Option<Date> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}

/// Checks the form; what it allows is checked when it is used.
pub fn check(authorisation: &Authorisation) -> Result<(), Fault> {
    let wrong = |pointer: &str, expected: &str| {
        Err(Fault::new(UNREADABLE, "the authorisation cannot be used").at_pointer(pointer).expected(expected))
    };
    let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let kinds = CodeLists::embedded().get("query_kind");
    if authorisation.no.trim().is_empty() || authorisation.no.len() > 40 {
        return wrong("/no", "a number of 1 to 40 characters");
    }
    if !digits(&authorisation.division, 12) {
        return wrong("/division", "a division code of 12 digits");
    }
    let (signed, end) = (day(&authorisation.signed_at), day(&authorisation.valid_to));
    if signed.is_none() || end.is_none() || end < signed {
        return wrong("/valid_to", "two days like 2017-07-03, the end not before the signature");
    }
    if authorisation.scope.is_empty()
        || !authorisation.scope.iter().all(|kind| kinds.is_none_or(|list| list.find(kind).is_some()))
    {
        return wrong("/scope", "kinds of query, like DEPOSIT");
    }
    if authorisation.image_sha256.len() != 64 || !authorisation.image_sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return wrong("/image_sha256", "the SHA-256 of the signed image, 64 hexadecimal digits");
    }
    if authorisation.members.is_empty() {
        return wrong("/members", "every member of the household");
    }
    Ok(())
}

/// Stores an authorisation; the same again changes nothing, another one under its number is refused.
pub async fn put(books: &Books, authorisation: &Authorisation) -> Result<Result<(), Fault>, Error> {
    if let Err(fault) = check(authorisation) {
        return Ok(Err(fault));
    }
    if let Some(stored) = get(books, &authorisation.no).await? {
        let same = json!(stored.authorisation) == json!(authorisation);
        let fault = || Fault::new(UNREADABLE, "an authorisation of this number is stored with another content");
        return Ok(if same { Ok(()) } else { Err(fault().at_pointer("/no").hint("a new signature has a new number")) });
    }
    let sql = "INSERT INTO authorisation (no, division, signed_at, valid_to, scope, image_sha256, members, revoked_at, reason, at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '', $8) ON CONFLICT DO NOTHING";
    let args: [Arg; 8] = [
        authorisation.no.as_str().into(),
        authorisation.division.as_str().into(),
        authorisation.signed_at.as_str().into(),
        authorisation.valid_to.as_str().into(),
        json!(authorisation.scope).to_string().into(),
        authorisation.image_sha256.as_str().into(),
        books.seal(&authorisation.members).into(),
        clock::millis().into(),
    ];
    books.store.write(sql, &args).await?;
    Ok(Ok(()))
}

/// The stored authorisation of this number.
pub async fn get(books: &Books, no: &str) -> Result<Option<Stored>, Error> {
    let sql =
        "SELECT no, division, signed_at, valid_to, scope, image_sha256, members, revoked_at FROM authorisation WHERE no = $1";
    let rows = books.store.read(sql, &[no.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let authorisation = Authorisation {
        no: row.text(0),
        division: row.text(1),
        signed_at: row.text(2),
        valid_to: row.text(3),
        scope: serde_json::from_str(&row.text(4)).unwrap_or_default(),
        image_sha256: row.text(5),
        members: books.open(&row.text(6))?,
    };
    Ok(Some(Stored { authorisation, revoked: row.int(7) != 0 }))
}

/// Takes an authorisation back: what is not sent is not sent any more. Says whether there was one that stood.
pub async fn revoke(books: &Books, no: &str, reason: &str) -> Result<bool, Error> {
    let mut tx = books.store.begin().await?;
    let sql = "UPDATE authorisation SET revoked_at = $2, reason = $3 WHERE no = $1 AND revoked_at = 0";
    let touched = tx.execute(sql, &[no.into(), clock::millis().into(), reason.into()]).await?;
    if touched == 1 {
        books.note(&mut tx, vec![entry(Kind::Revoked, no, json!({ "authorisation": no }))]).await?;
        tx.commit().await?;
    }
    Ok(touched == 1)
}

/// What is to be asked under an authorisation.
pub struct Wanted<'a> {
    pub division: &'a str,
    pub kinds: &'a [String],
    pub subjects: &'a [Subject],
    pub today: Date,
}

/// Whether the authorisation allows it. Every clause is checked; the first that does not hold is told.
pub fn judge(stored: Option<&Stored>, wanted: &Wanted<'_>) -> Result<(), Refusal> {
    let Some(stored) = stored else {
        return Err(Refusal(NO_AUTHORISATION, "no authorisation of this number is stored"));
    };
    let authorisation = &stored.authorisation;
    if stored.revoked {
        return Err(Refusal(REVOKED, "the household has revoked the authorisation"));
    }
    let (signed, end) = (day(&authorisation.signed_at), day(&authorisation.valid_to));
    if signed.is_none_or(|signed| wanted.today < signed) || end.is_none_or(|end| end < wanted.today) {
        return Err(Refusal(EXPIRED, "the authorisation does not hold on this day"));
    }
    if wanted.kinds.is_empty() || !wanted.kinds.iter().all(|kind| authorisation.scope.contains(kind)) {
        return Err(Refusal(OUT_OF_SCOPE, "a kind of query was not signed for"));
    }
    if !authorisation.division.starts_with(own_part(wanted.division)) {
        return Err(Refusal(OTHER_DIVISION, "the household does not belong to the operator's division"));
    }
    if !authorisation.members.iter().all(|member| is_signed(member, wanted.today)) {
        return Err(Refusal(INCOMPLETE, "an adult member or a guardian has not signed"));
    }
    let covered = |subject: &Subject| {
        authorisation.members.iter().any(|member| {
            (&member.name, &member.id_type, &member.id_number) == (&subject.name, &subject.id_type, &subject.id_number)
        })
    };
    if wanted.subjects.is_empty() || !wanted.subjects.iter().all(covered) {
        return Err(Refusal(INCOMPLETE, "a person of the request is not covered by the authorisation"));
    }
    Ok(())
}

/// An adult has signed itself; for anybody else a guardian has.
fn is_signed(member: &Member, today: Date) -> bool {
    let guardian = member.guardian.as_deref().is_some_and(|name| !name.trim().is_empty());
    match birth(member) {
        Some(birth) if age(birth, today) < ADULT => guardian,
        // Of unknown age counts as adult; an adult who cannot act has a guardian.
        _ => member.signed || guardian,
    }
}

fn birth(member: &Member) -> Option<Date> {
    let number = (member.id_type == "01").then(|| ResidentId::parse(&member.id_number).ok()).flatten();
    number.map(|number| number.birth_date()).or_else(|| day(member.birth_date.as_deref()?))
}

fn age(birth: Date, today: Date) -> i32 {
    let had = (today.month() as u8, today.day()) >= (birth.month() as u8, birth.day());
    today.year() - birth.year() - i32::from(!had)
}

/// `220102000000` covers all of `220102`: codes are padded with zeros.
fn own_part(division: &str) -> &str {
    let padded = |length: &usize| division.get(*length..).is_some_and(|rest| rest.bytes().all(|byte| byte == b'0'));
    [2, 4, 6, 9].into_iter().find(padded).map_or(division, |length| &division[..length])
}
