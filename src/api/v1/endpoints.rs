//! `/v1/endpoints`: where the caller wants its deliveries. It may register an address of its own inside the networks that
//! its file allows; the guard of webhooks checks it as it checks any other.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rand::{TryRngCore, rngs::OsRng};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, Caller, body, derived, idempotency_key, page,
    problem::{CONFLICT, INVALID, NOT_ALLOWED, NOT_FOUND, Problem, UNAVAILABLE},
};
use crate::{
    clock,
    deliver::{guard::address::check_url, signing::Signer},
    govern::partner::{Endpoint, Partner, Signing, Transport},
    store::Row,
};

/// The endpoint that every partner has: its mailbox, or what its file names.
const OWN: &str = "default";

/// The most deliveries that one replay sends again; ask for the rest with a later `from`.
const MOST_REPLAYED: i64 = 10_000;

fn partner<'a>(api: &'a Api, caller: &Caller) -> Result<&'a Partner, Problem> {
    api.hub.agreements.partner(&caller.partner).ok_or_else(|| NOT_FOUND.into())
}

fn own(partner: &Partner) -> Value {
    let url = match &partner.transport {
        Transport::Webhook(webhook) => Some(webhook.url.clone()),
        _ => None,
    };
    let kind = match partner.endpoint() {
        Endpoint::None => "mailbox",
        endpoint => endpoint.as_str(),
    };
    json!({ "id": OWN, "kind": kind, "url": url, "state": "active", "public_keys": [] })
}

fn shown(api: &Api, row: &Row) -> Value {
    let secrets = [row.text(3), row.text(4)].into_iter().filter(|sealed| !sealed.is_empty());
    let keys = secrets.filter_map(|sealed| public_key(api, &sealed)).collect::<Vec<_>>();
    json!({ "id": row.text(0), "kind": "webhook", "url": row.text(1), "state": row.text(2), "public_keys": keys })
}

/// What the partner checks our signatures with.
fn public_key(api: &Api, sealed: &str) -> Option<String> {
    let secret = String::from_utf8(api.hub.keys.open(sealed)?).ok()?;
    Signer::new(Signing::Ed25519, &[SecretString::from(secret)]).ok()?.public_keys().pop()
}

const COLUMNS: &str = "SELECT id, url, state, secret, next_secret FROM partner_endpoint";

/// `GET /v1/endpoints`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    page::none(query.as_deref())?;
    let sql = format!("{COLUMNS} WHERE partner = $1 AND state <> 'removed' ORDER BY at, id");
    let rows = api.hub.store.read(&sql, &[caller.partner.as_str().into()]).await?;
    let mut endpoints = vec![own(partner(&api, &caller)?)];
    endpoints.extend(rows.iter().map(|row| shown(&api, row)));
    Ok(Json(json!({ "endpoints": endpoints })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEndpoint {
    url: String,
}

/// `POST /v1/endpoints`
pub async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let new: NewEndpoint = body(&bytes)?;
    let networks = &partner(&api, &caller)?.endpoint_networks;
    if networks.is_empty() {
        return Err(Problem::from(NOT_ALLOWED).detail("no networks are agreed in which an endpoint of yours may lie"));
    }
    if let Err(fault) = check_url(&new.url, networks) {
        return Err(Problem::from(INVALID).at("/url").detail(fault.message));
    }
    let id = derived("ep", &caller, idempotency_key(&headers));
    let sealed = api.hub.keys.seal(fresh_secret()?.as_bytes());
    // One address at a time: a new one takes the place of the one before it.
    let mut tx = api.hub.store.begin().await?;
    let replaced = "UPDATE partner_endpoint SET state = 'removed' WHERE partner = $1 AND id <> $2";
    tx.execute(replaced, &[caller.partner.as_str().into(), id.as_str().into()]).await?;
    let sql = "INSERT INTO partner_endpoint (id, partner, url, state, secret, next_secret, at) VALUES ($1, $2, $3, 'active', $4, '', $5) \
               ON CONFLICT DO NOTHING";
    let args =
        [id.as_str().into(), caller.partner.as_str().into(), new.url.as_str().into(), sealed.into(), clock::millis().into()];
    tx.execute(sql, &args).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(shown(&api, &find(&api, &caller, &id).await?))).into_response())
}

async fn find(api: &Api, caller: &Caller, id: &str) -> Result<Row, Problem> {
    let sql = format!("{COLUMNS} WHERE partner = $1 AND id = $2 AND state <> 'removed'");
    let rows = api.hub.store.read(&sql, &[caller.partner.as_str().into(), id.into()]).await?;
    rows.into_iter().next().ok_or_else(|| NOT_FOUND.into())
}

fn fresh_secret() -> Result<String, Problem> {
    let mut seed = [0_u8; 32];
    OsRng.try_fill_bytes(&mut seed).map_err(|_| Problem::from(UNAVAILABLE))?;
    Ok(format!("whsk_{}", STANDARD.encode(seed)))
}

/// `POST /v1/endpoints/{id}/rotate`: the first call makes the next key, and both sign; the second ends the old one.
pub async fn rotate(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    if id == OWN {
        return Err(Problem::from(CONFLICT).detail("the keys of this endpoint are in the partner file: ask the department"));
    }
    let row = find(&api, &caller, &id).await?;
    let (secret, next) = (row.text(3), row.text(4));
    let (secret, next) =
        if next.is_empty() { (secret, api.hub.keys.seal(fresh_secret()?.as_bytes())) } else { (next, String::new()) };
    let sql = "UPDATE partner_endpoint SET secret = $3, next_secret = $4 WHERE partner = $1 AND id = $2";
    api.hub.store.write(sql, &[caller.partner.as_str().into(), id.as_str().into(), secret.into(), next.into()]).await?;
    Ok(Json(shown(&api, &find(&api, &caller, &id).await?)).into_response())
}

/// `DELETE /v1/endpoints/{id}`
pub async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    if id == OWN {
        return Err(Problem::from(CONFLICT).detail("the default endpoint stays"));
    }
    find(&api, &caller, &id).await?;
    let sql = "UPDATE partner_endpoint SET state = 'removed' WHERE partner = $1 AND id = $2";
    api.hub.store.write(sql, &[caller.partner.as_str().into(), id.into()]).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    from: String,
    to: String,
}

/// `POST /v1/endpoints/{id}/replay`: everything that was delivered in a range of time, again, oldest first.
pub async fn replay(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    if id != OWN {
        find(&api, &caller, &id).await?;
    }
    let range: Range = body(&bytes)?;
    let from = page::moment(&range.from).ok_or_else(|| Problem::from(INVALID).at("/from"))?;
    let to = page::moment(&range.to).ok_or_else(|| Problem::from(INVALID).at("/to"))?;
    if to < from {
        return Err(Problem::from(INVALID).at("/to").detail("`to` lies before `from`"));
    }
    let replay = derived("rp", &caller, idempotency_key(&headers));
    // Ids are derived from the replay and the delivery: the same request again adds nothing.
    let sql = "INSERT INTO partner_resend (id, partner, delivery_id, state, at) \
               SELECT $4 || '-' || delivery_id, partner, delivery_id, 'open', CAST($5 AS BIGINT) FROM partner_sent \
               WHERE partner = $1 AND at >= $2 AND at < $3 ORDER BY at LIMIT $6 ON CONFLICT DO NOTHING";
    let args = [
        caller.partner.as_str().into(),
        from.into(),
        to.into(),
        replay.as_str().into(),
        clock::millis().into(),
        MOST_REPLAYED.into(),
    ];
    // SQLite takes `ON CONFLICT` behind a SELECT only where the SELECT has a WHERE; it has.
    let count = api.hub.store.write(sql, &args).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": replay, "deliveries": count, "more": count as i64 == MOST_REPLAYED })))
        .into_response())
}
