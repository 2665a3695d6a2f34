//! Parameters of lists: cursors, limits, times. An unknown name is refused, so that a misspelt one is noticed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::problem::{PARAMETER, Problem};

/// Entries of a page: unless asked for, and at most.
const USUAL: u32 = 100;
const MOST: u32 = 500;

/// What a list was asked for.
#[derive(Debug, Default)]
pub struct Page {
    pub limit: u32,
    /// The place after which the page begins: time and id.
    pub after: Option<(i64, String)>,
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// Reads `limit`, `after`, `from` and `to`.
pub fn page(query: Option<&str>) -> Result<Page, Problem> {
    let mut page = Page { limit: USUAL, ..Page::default() };
    for (name, value) in parameters(query) {
        match name.as_str() {
            "limit" => page.limit = limit(&value)?,
            "after" => page.after = Some(place(&value)?),
            "from" => page.from = Some(moment(&value).ok_or_else(|| wrong("from"))?),
            "to" => page.to = Some(moment(&value).ok_or_else(|| wrong("to"))?),
            _ => return Err(unknown("after, limit, from and to")),
        }
    }
    Ok(page)
}

/// Reads `after` (a number) and `limit` of a mailbox.
pub fn numbered(query: Option<&str>) -> Result<(i64, u32), Problem> {
    let (mut after, mut most) = (0, USUAL);
    for (name, value) in parameters(query) {
        match name.as_str() {
            "limit" => most = limit(&value)?,
            "after" => after = value.parse().ok().filter(|after| *after >= 0).ok_or_else(|| wrong("after"))?,
            _ => return Err(unknown("after and limit")),
        }
    }
    Ok((after, most))
}

/// What the feed of notices was asked for.
#[derive(Debug)]
pub struct Notices {
    /// Digits of a division, or nothing.
    pub division: String,
    pub limit: u32,
    /// Place and id after which the page begins.
    pub after: (String, String),
}

/// Reads `division`, `limit` and `after`.
pub fn notices(query: Option<&str>) -> Result<Notices, Problem> {
    let mut asked = Notices { division: String::new(), limit: USUAL, after: Default::default() };
    for (name, value) in parameters(query) {
        match name.as_str() {
            "division" if value.bytes().all(|byte| byte.is_ascii_digit()) => asked.division = value,
            "division" => return Err(wrong("division")),
            "limit" => asked.limit = limit(&value)?,
            "after" => asked.after = notice_place(&value)?,
            _ => return Err(unknown("division, limit and after")),
        }
    }
    Ok(asked)
}

/// The cursor behind a notice.
pub fn notice_cursor(division: &str, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{division}\n{id}"))
}

fn notice_place(text: &str) -> Result<(String, String), Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = bytes.as_deref().and_then(|text| text.split_once('\n'));
    parts.map(|(division, id)| (division.to_owned(), id.to_owned())).ok_or_else(|| wrong("after"))
}

/// A list without parameters.
pub fn none(query: Option<&str>) -> Result<(), Problem> {
    if parameters(query).is_empty() { Ok(()) } else { Err(unknown("none")) }
}

fn parameters(query: Option<&str>) -> Vec<(String, String)> {
    let query = query.unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

fn wrong(name: &str) -> Problem {
    Problem::from(PARAMETER).at(format!("/query/{name}")).detail(format!("`{name}` cannot be used"))
}

fn unknown(known: &str) -> Problem {
    Problem::from(PARAMETER).at("/query").detail(format!("unknown parameter; known: {known}"))
}

fn limit(text: &str) -> Result<u32, Problem> {
    text.parse().ok().filter(|limit| (1..=MOST).contains(limit)).ok_or_else(|| wrong("limit"))
}

/// RFC 3339 to milliseconds.
pub fn moment(text: &str) -> Option<i64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()
}

/// The cursor behind an entry.
pub fn cursor(at: i64, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{at}\n{id}"))
}

fn place(text: &str) -> Result<(i64, String), Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = bytes.as_deref().and_then(|text| text.split_once('\n'));
    parts.and_then(|(at, id)| Some((at.parse().ok()?, id.to_owned()))).ok_or_else(|| wrong("after"))
}
