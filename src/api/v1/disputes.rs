//! `/v1/disputes`: the caller disputes a field of something that it has received.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, Caller, body, moment, page,
    problem::{INVALID, NO_COPY, NO_FIELD, NO_WORDS, NOT_FOUND, NOT_RECEIVED, Problem, UNAVAILABLE},
};
use crate::{
    correction::{
        Claim, NO_DISPUTE, What, Who,
        list::{self, Dispute},
        open::{self, Opened},
    },
    error::Fault,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    delivery_id: Option<String>,
    #[serde(default)]
    event: Option<Named>,
    pointer: String,
    problem: String,
    #[serde(default)]
    proposed: Option<Value>,
}

/// The attributes of an event, as its receiver has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    id: String,
    source: String,
    dataschema: String,
    subject: String,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let kind = [NOT_RECEIVED, NO_COPY, NO_FIELD, NO_WORDS].into_iter().find(|kind| kind.code == fault.code);
        match kind {
            Some(kind) => {
                let problem = Self::from(kind);
                fault.place.pointer.into_iter().fold(problem, Self::at)
            }
            None if fault.code == NO_DISPUTE => NOT_FOUND.into(),
            None => {
                tracing::warn!(code = %fault.code, "a dispute cannot be worked on");
                Self::from(UNAVAILABLE).retry_after(5)
            }
        }
    }
}

/// `POST /v1/disputes`
pub async fn create(State(api): State<Api>, Extension(caller): Extension<Caller>, bytes: Bytes) -> Result<Response, Problem> {
    let asked: Asked = body(&bytes)?;
    let what = match (asked.delivery_id, asked.event) {
        (Some(delivery), None) => What::Delivery(delivery),
        (None, Some(event)) => {
            What::Record { source: event.source, dataschema: event.dataschema, subject: event.subject, event: Some(event.id) }
        }
        _ => return Err(Problem::from(INVALID).at("/delivery_id").detail("either delivery_id or event")),
    };
    let claim = Claim { pointer: asked.pointer, problem: asked.problem, proposed: asked.proposed };
    let hub = &api.hub;
    let (who, days) = (Who::Partner(caller.partner.clone()), hub.config.exchange.dispute_workdays);
    let Opened { id, fresh } = open::open(&hub.disputes(), &hub.agreements, &who, &what, &claim, days).await?;
    let answer = whole(&api, &caller, &list::find(&hub.store, &id).await?).await?;
    let status = if fresh { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(answer)).into_response())
}

/// What its partner may know: of other receivers only how many there are.
async fn whole(api: &Api, caller: &Caller, dispute: &Dispute) -> Result<Value, Problem> {
    let receivers = list::receivers(&api.hub.store, &dispute.id).await?;
    let done = receivers.iter().filter(|one| matches!(one.state.as_str(), "received" | "waived")).count();
    let own = receivers.iter().find(|one| one.subscription == caller.partner);
    let mut answer = shown(dispute);
    answer["reason"] = json!(some(&list::reason(&api.hub.disputes(), dispute)));
    answer["receivers"] = json!({ "all": receivers.len(), "done": done });
    answer["yours"] =
        own.map(|own| json!({ "kind": own.kind, "state": own.state, "delivery_id": some(&own.delivery_id) })).unwrap_or_default();
    Ok(answer)
}

fn shown(dispute: &Dispute) -> Value {
    json!({
        "id": dispute.id,
        "dataset": dispute.dataset,
        "event": { "id": dispute.event_id, "subject": dispute.subject },
        "pointer": dispute.pointer,
        "state": dispute.state,
        "outcome": some(&dispute.outcome),
        "opened_at": moment(dispute.opened_at),
        "due_on": dispute.due_on,
        "overdue": dispute.is_overdue(),
        "answered_at": moment_of(dispute.answered_at),
        "closed_at": moment_of(dispute.closed_at),
    })
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn moment_of(millis: i64) -> Option<String> {
    if millis == 0 { None } else { moment(millis) }
}

/// `GET /v1/disputes`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let page = page::page(query.as_deref())?;
    let (at, id) = page.after.unwrap_or((i64::MIN, String::new()));
    let range = (page.from.unwrap_or(i64::MIN), page.to.unwrap_or(i64::MAX));
    let limit = i64::from(page.limit) + 1;
    let found = list::of_partner(&api.hub.store, &caller.partner, (at, &id), range, limit).await?;
    let disputes = &found[..found.len().min(page.limit as usize)];
    let more = found.len() > disputes.len();
    let next = more.then(|| disputes.last().map(|last| page::cursor(last.opened_at, &last.id))).flatten();
    let lines: Vec<Value> = disputes.iter().map(shown).collect();
    Ok(Json(json!({ "disputes": lines, "next": next })).into_response())
}

/// `GET /v1/disputes/{id}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let dispute = list::find(&api.hub.store, &id).await?;
    if dispute.opened_by != caller.partner {
        return Err(NOT_FOUND.into());
    }
    Ok(Json(whole(&api, &caller, &dispute).await?).into_response())
}
