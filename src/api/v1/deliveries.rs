//! `/v1/deliveries`: what was delivered to the caller, with its receipts; sending one again.

use axum::{
    Extension, Json,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Api, Caller, derived, idempotency_key, moment, page,
    problem::{CONFLICT, NOT_FOUND, Problem},
};
use crate::{
    clock,
    store::{Arg, Row},
};

const COLUMNS: &str = "SELECT receipt.delivery_id, receipt.at, receipt.receipt, partner_sent.dataset FROM receipt \
                       LEFT JOIN partner_sent ON partner_sent.delivery_id = receipt.delivery_id";

/// `GET /v1/deliveries`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = page::page(query.as_deref())?;
    let (at, id) = page.after.unwrap_or((i64::MIN, String::new()));
    let sql = format!(
        "{COLUMNS} WHERE receipt.subscription = $1 AND (receipt.at > $2 OR receipt.at = $2 AND receipt.delivery_id > $3) \
         AND receipt.at >= $4 AND receipt.at < $5 ORDER BY receipt.at, receipt.delivery_id LIMIT $6"
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
    let shown = &rows[..rows.len().min(page.limit as usize)];
    let next = (rows.len() > shown.len()).then(|| shown.last().map(|row| page::cursor(row.int(1), &row.text(0)))).flatten();
    let deliveries: Vec<Value> = shown.iter().map(delivery).collect();
    Ok(Json(json!({ "deliveries": deliveries, "next": next })).into_response())
}

fn delivery(row: &Row) -> Value {
    let dataset = row.optional_text(3);
    json!({
        "id": row.text(0),
        "delivered_at": moment(row.int(1)),
        "receipt": row.text(2),
        "dataset": dataset,
        "resendable": dataset.is_some(),
    })
}

async fn one(api: &Api, caller: &Caller, id: &str) -> Result<Row, Problem> {
    let sql = format!("{COLUMNS} WHERE receipt.subscription = $1 AND receipt.delivery_id = $2");
    let rows = api.hub.store.read(&sql, &[caller.partner.as_str().into(), id.into()]).await?;
    rows.into_iter().next().ok_or_else(|| NOT_FOUND.into())
}

/// `GET /v1/deliveries/{id}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let mut answer = delivery(&one(&api, &caller, &id).await?);
    let sql = "SELECT id, state, at FROM partner_resend WHERE partner = $1 AND delivery_id = $2 ORDER BY at LIMIT 100";
    let rows = api.hub.store.read(sql, &[caller.partner.as_str().into(), id.into()]).await?;
    let again: Vec<Value> =
        rows.iter().map(|row| json!({ "id": row.text(0), "state": row.text(1), "asked_at": moment(row.int(2)) })).collect();
    answer["resends"] = Value::Array(again);
    Ok(Json(answer).into_response())
}

/// `POST /v1/deliveries/{id}/resend`
pub async fn resend(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = one(&api, &caller, &id).await?;
    if row.optional_text(3).is_none() {
        return Err(Problem::from(CONFLICT).detail("the copy of this delivery is no longer kept"));
    }
    let resend = derived("rs", &caller, idempotency_key(&headers));
    let sql =
        "INSERT INTO partner_resend (id, partner, delivery_id, state, at) VALUES ($1, $2, $3, 'open', $4) ON CONFLICT DO NOTHING";
    let args = [resend.as_str().into(), caller.partner.as_str().into(), id.as_str().into(), clock::millis().into()];
    api.hub.store.write(sql, &args).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": resend, "delivery": id, "state": "open" }))).into_response())
}
