//! `/v1/bills`: what was delivered on a day, as a file with SHA-256 and SM3, behind a link that is good for five minutes.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use time::{Date, macros::format_description};

use super::{
    Api, Caller, moment, page,
    problem::{NOT_FOUND, PARAMETER, Problem},
};
use crate::{clock, signature::digest};

/// Seconds that a link is good.
const GOOD: i64 = 300;

fn day(text: &str) -> Option<Date> {
    Date::parse(text, format_description!("[year]-[month]-[day]")).ok()
}

/// The lines of a day in China: delivery, moment, receipt.
async fn bill(api: &Api, partner: &str, day: Date) -> Result<(usize, String), Problem> {
    let start = |day: Date| page::moment(&format!("{}T00:00:00+08:00", clock::iso_date(day))).unwrap_or_default();
    let end = day.next_day().map_or(i64::MAX, start);
    let sql =
        "SELECT delivery_id, at, receipt FROM receipt WHERE subscription = $1 AND at >= $2 AND at < $3 ORDER BY at, delivery_id";
    let rows = api.hub.store.read(sql, &[partner.into(), start(day).into(), end.into()]).await?;
    let mut text = "delivery_id,delivered_at,receipt\n".to_owned();
    for row in &rows {
        // Receipts are words of the hub or of the partner's server: a comma or quote in one must not move the columns.
        let receipt = row.text(2).replace(['"', '\n', '\r'], " ");
        text.push_str(&format!("{},{},\"{receipt}\"\n", row.text(0), moment(row.int(1)).unwrap_or_default()));
    }
    Ok((rows.len(), text))
}

/// `GET /v1/bills/{date}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(date): Path<String>,
) -> Result<Response, Problem> {
    let Some(date) = day(&date) else {
        return Err(Problem::from(PARAMETER).at("/path/date").detail("a day like 2017-07-03"));
    };
    let (rows, text) = bill(&api, &caller.partner, date).await?;
    let expires = clock::now().unix_timestamp() + GOOD;
    let token = token(&api, &caller.partner, date, expires);
    Ok(Json(json!({
        "date": clock::iso_date(date),
        // The bill of today still grows.
        "complete": date < clock::today(),
        "deliveries": rows,
        "bytes": text.len(),
        "sha256": digest::sha256_hex(text.as_bytes()),
        "sm3": digest::sm3_hex(text.as_bytes()),
        "link": format!("/v1/files/{token}"),
        "expires_at": moment(expires * 1000),
    }))
    .into_response())
}

fn mac(api: &Api, text: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&api.hub.keys.derive("bill-link")).ok()?;
    mac.update(text.as_bytes());
    Some(mac)
}

fn token(api: &Api, partner: &str, date: Date, expires: i64) -> String {
    let text = format!("{partner}.{}.{expires}", clock::iso_date(date));
    let tag = mac(api, &text).map(|mac| hex::encode(mac.finalize().into_bytes())).unwrap_or_default();
    format!("{text}.{tag}")
}

/// `GET /v1/files/{token}`: the link itself is the permission.
pub async fn file(State(api): State<Api>, Path(token): Path<String>) -> Result<Response, Problem> {
    let not_found = || Problem::from(NOT_FOUND).detail("the link is not good or no longer good: ask for the bill again");
    let (text, tag) = token.rsplit_once('.').ok_or_else(not_found)?;
    let tag = hex::decode(tag).map_err(|_| not_found())?;
    let good = mac(&api, text).is_some_and(|mac| mac.verify_slice(&tag).is_ok());
    let parts: Vec<&str> = text.split('.').collect();
    let [partner, date, expires] = parts.as_slice() else { return Err(not_found()) };
    let expires: i64 = expires.parse().map_err(|_| not_found())?;
    let date = day(date).filter(|_| good && clock::now().unix_timestamp() <= expires).ok_or_else(not_found)?;
    let (_, text) = bill(&api, partner, date).await?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response())
}
