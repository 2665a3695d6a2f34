//! `/v1/corrections`: the caller disputes a field of something that it has received.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Api, Caller, body, deliveries, derived, idempotency_key, moment, page,
    problem::{INVALID, NOT_FOUND, Problem},
};
use crate::{
    clock,
    store::{Arg, Row},
};

/// Longest text of a partner.
const LONGEST: usize = 1000;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Correction {
    delivery_id: String,
    pointer: String,
    problem: String,
    #[serde(default)]
    proposed: Option<Value>,
}

/// `POST /v1/corrections`
pub async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let asked: Correction = body(&bytes)?;
    let wrong = |pointer: &str| Problem::from(INVALID).at(pointer);
    if !asked.pointer.starts_with('/') || asked.pointer.len() > 200 {
        return Err(wrong("/pointer").detail("a JSON pointer into the record, like /amount"));
    }
    if asked.problem.trim().is_empty() || asked.problem.chars().count() > LONGEST {
        return Err(wrong("/problem").detail("a text of 1 to 1000 characters"));
    }
    if !deliveries::is_own(&api, &caller, &asked.delivery_id).await? {
        return Err(wrong("/delivery_id").detail("no delivery to you has this id"));
    }
    let id = derived("co", &caller, idempotency_key(&headers));
    let sealed = api.hub.keys.seal(&bytes);
    let sql = "INSERT INTO partner_correction (id, partner, delivery_id, pointer, state, body, at) VALUES ($1, $2, $3, $4, 'received', $5, $6) \
               ON CONFLICT DO NOTHING";
    let args: [Arg; 6] = [
        id.as_str().into(),
        caller.partner.as_str().into(),
        asked.delivery_id.as_str().into(),
        asked.pointer.as_str().into(),
        sealed.into(),
        clock::millis().into(),
    ];
    api.hub.store.write(sql, &args).await?;
    let answer = json!({ "id": id, "delivery_id": asked.delivery_id, "pointer": asked.pointer, "state": "received" });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

const COLUMNS: &str = "SELECT id, delivery_id, pointer, state, at FROM partner_correction";

fn shown(row: &Row) -> Value {
    json!({
        "id": row.text(0),
        "delivery_id": row.text(1),
        "pointer": row.text(2),
        "state": row.text(3),
        "received_at": moment(row.int(4)),
    })
}

/// `GET /v1/corrections`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = page::page(query.as_deref())?;
    let (at, id) = page.after.unwrap_or((i64::MIN, String::new()));
    let sql = format!(
        "{COLUMNS} WHERE partner = $1 AND (at > $2 OR at = $2 AND id > $3) AND at >= $4 AND at < $5 ORDER BY at, id LIMIT $6"
    );
    let args: [Arg; 6] = [
        caller.partner.as_str().into(),
        at.into(),
        id.into(),
        page.from.unwrap_or(i64::MIN).into(),
        page.to.unwrap_or(i64::MAX).into(),
        (i64::from(page.limit) + 1).into(),
    ];
    let rows = api.hub.store.read(&sql, &args).await?;
    let corrections = &rows[..rows.len().min(page.limit as usize)];
    let more = rows.len() > corrections.len();
    let next = more.then(|| corrections.last().map(|row| page::cursor(row.int(4), &row.text(0)))).flatten();
    Ok(Json(json!({ "corrections": corrections.iter().map(shown).collect::<Vec<_>>(), "next": next })).into_response())
}

/// `GET /v1/corrections/{id}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let sql = format!("{COLUMNS} WHERE partner = $1 AND id = $2");
    let rows = api.hub.store.read(&sql, &[caller.partner.as_str().into(), id.into()]).await?;
    rows.first().map(|row| Json(shown(row)).into_response()).ok_or_else(|| NOT_FOUND.into())
}
