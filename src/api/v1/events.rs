//! `/v1/events`: the mailbox of the caller, with a cursor; the same mailbox that `/v1/mailbox` shows to a bearer token.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, Caller, body, page,
    problem::{CONFLICT, ENDED, INVALID, Problem},
};
use crate::{
    clock,
    deliver::mailbox::{Acknowledged, Letter},
    envelope::{Event, SubscriptionId},
};

/// `GET /v1/events`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (after, limit) = page::numbered(query.as_deref())?;
    let found = api.hub.mailboxes().read(&caller.partner, after, limit).await?;
    let next = found.letters.last().map_or(after, |letter| letter.cursor);
    let events: Vec<Value> = found.letters.iter().map(|letter| shown(&api, &caller, letter)).collect();
    let answer = json!({ "events": events, "next": next, "more": found.more });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// What lies here longer than its agreement held is not shown any more.
fn shown(api: &Api, caller: &Caller, letter: &Letter) -> Value {
    let subscription = SubscriptionId::from(caller.partner.as_str());
    let event = serde_json::from_str::<Event>(&letter.body).ok();
    let ended = event.as_ref().is_some_and(|event| api.hub.agreements.permit(&subscription, event, clock::today()).is_err());
    if ended {
        return json!({ "cursor": letter.cursor, "event": null, "withheld": { "code": ENDED.code, "en": ENDED.en, "zh": ENDED.zh } });
    }
    json!({ "cursor": letter.cursor, "event": serde_json::from_str::<Value>(&letter.body).unwrap_or_default() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ack {
    cursor: i64,
}

/// `POST /v1/events/ack`
pub async fn acknowledge(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let ack: Ack = body(&bytes)?;
    if ack.cursor < 0 {
        return Err(Problem::from(INVALID).at("/cursor"));
    }
    match api.hub.mailboxes().acknowledge(&caller.partner, ack.cursor).await? {
        Acknowledged::UpTo(cursor) => Ok(Json(json!({ "acknowledged": cursor })).into_response()),
        Acknowledged::Beyond(last) => {
            Err(Problem::from(CONFLICT).at("/cursor").detail(format!("this cursor was never given out; the last is {last}")))
        }
    }
}
