//! `Idempotency-Key`: the same request again gets the answer it got, another one is refused, one under way waits.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::{
    Api,
    problem::{IN_FLIGHT, OTHER_REQUEST, Problem},
};
use crate::clock;

/// A request that was begun and not ended for so long belonged to a process that died: it is done anew. What it did is safe,
/// for everything that a handler writes has an id derived from partner and key.
const ABANDONED: i64 = 60_000;

/// Longest answer that is kept.
const LONGEST: usize = 1 << 20;

/// A request by its partner, key and content.
pub struct Asked {
    partner: String,
    key: String,
    request: String,
}

impl Asked {
    pub fn new(partner: &str, key: &str, target: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update((target.len() as u64).to_be_bytes());
        hash.update(target);
        hash.update(body);
        Self { partner: partner.to_owned(), key: key.to_owned(), request: hex::encode(hash.finalize()) }
    }
}

/// The stored answer, if the request was answered; `None` if it is to be worked on now.
pub async fn begin(api: &Api, asked: &Asked) -> Result<Option<Response>, Problem> {
    let now = clock::millis();
    let mut tx = api.hub.store.begin().await?;
    let args = [
        asked.partner.as_str().into(),
        asked.key.as_str().into(),
        asked.request.as_str().into(),
        now.into(),
        (now - ABANDONED).into(),
    ];
    // Takes the key if it is free, or if the same request was left lying.
    let sql = "INSERT INTO api_answer (partner, idempotency_key, request, state, status, body, at) VALUES ($1, $2, $3, 'open', 0, '', $4) \
               ON CONFLICT (partner, idempotency_key) DO UPDATE SET at = excluded.at \
               WHERE api_answer.state = 'open' AND api_answer.at < $5 AND api_answer.request = excluded.request";
    let taken = tx.execute(sql, &args).await? == 1;
    let sql = "SELECT request, state, status, body FROM api_answer WHERE partner = $1 AND idempotency_key = $2";
    let rows = tx.read(sql, &args[..2]).await?;
    tx.commit().await?;
    if taken {
        return Ok(None);
    }
    let Some(row) = rows.first() else { return Err(IN_FLIGHT.into()) };
    if row.text(0) != asked.request {
        return Err(OTHER_REQUEST.into());
    }
    if row.text(1) == "open" {
        return Err(IN_FLIGHT.into());
    }
    let body = api.hub.keys.open(&row.text(3)).unwrap_or_default();
    let status = u16::try_from(row.int(2)).ok().and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    let kind = if status.is_client_error() { "application/problem+json" } else { "application/json" };
    let mut stored = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
    stored.headers_mut().insert("idempotent-replay", HeaderValue::from_static("true"));
    Ok(Some(stored))
}

/// Keeps the answer. A failure of the hub is not kept: the next try may do better.
pub async fn end(api: &Api, asked: &Asked, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, LONGEST).await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let key = [asked.partner.as_str().into(), asked.key.as_str().into()];
    let kept = if parts.status.is_server_error() || parts.status == StatusCode::TOO_MANY_REQUESTS {
        let sql = "DELETE FROM api_answer WHERE partner = $1 AND idempotency_key = $2";
        api.hub.store.write(sql, &key).await
    } else {
        let sql = "UPDATE api_answer SET state = 'done', status = $3, body = $4 WHERE partner = $1 AND idempotency_key = $2";
        let [partner, name] = key;
        let args = [partner, name, i64::from(parts.status.as_u16()).into(), api.hub.keys.seal(&bytes).into()];
        api.hub.store.write(sql, &args).await
    };
    match kept {
        Ok(_) => Response::from_parts(parts, Body::from(bytes)),
        // The work is done; that the answer is not kept makes a repeat do it again, with the same ids.
        Err(error) => {
            tracing::warn!(code = %error.fault().code, "an answer could not be kept for its Idempotency-Key");
            Response::from_parts(parts, Body::from(bytes))
        }
    }
}
