//! `/v1/requests`: verification of a household, asked by a partner that may; and `/v1/answers`, by which a provider answers a
//! query that it fetched.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Api, Caller, body, moment, page,
    problem::{CONFLICT, INVALID, NOT_ALLOWED, NOT_FOUND, Problem, UNAVAILABLE},
};
use crate::{
    error::Fault,
    exchange::{
        OTHER_REQUEST, UNREADABLE, answer,
        answer::Taken,
        banks,
        book::Books,
        partner_of, report,
        request::{self, Begun, Request},
    },
};

fn books(api: &Api) -> Books {
    Books { store: api.hub.store.clone(), keys: api.hub.keys.clone() }
}

fn may_verify(api: &Api, caller: &Caller) -> Result<(), Problem> {
    let may =
        api.hub.agreements.partner(&caller.partner).is_some_and(|partner| partner.may.iter().any(|what| what == "verification"));
    if may { Ok(()) } else { Err(Problem::from(NOT_ALLOWED).detail("your partner file does not let you ask for verifications")) }
}

/// `POST /v1/requests`
pub async fn create(State(api): State<Api>, Extension(caller): Extension<Caller>, bytes: Bytes) -> Result<Response, Problem> {
    may_verify(&api, &caller)?;
    let request: Request = body(&bytes)?;
    match request::begin(&books(&api), &request, &caller.partner).await {
        Ok(Begun::Open { request_no, queries }) => {
            Ok((StatusCode::ACCEPTED, Json(json!({ "request_no": request_no, "state": "OPEN", "queries": queries })))
                .into_response())
        }
        Ok(Begun::Known { request_no }) => {
            Ok((StatusCode::ACCEPTED, Json(json!({ "request_no": request_no, "state": "KNOWN" }))).into_response())
        }
        Ok(Begun::Refused { fault, .. }) if fault.code == OTHER_REQUEST => {
            Err(Problem::from(CONFLICT).at("/request_no").detail(fault.message))
        }
        Ok(Begun::Refused { fault, .. }) => Err(Problem::from(NOT_ALLOWED).detail(format!("{}: {}", fault.code, fault.message))),
        Err(fault) => Err(told(fault)),
    }
}

fn told(fault: Fault) -> Problem {
    if fault.code == UNREADABLE {
        let pointer = fault.place.pointer.unwrap_or_default();
        Problem::from(INVALID).at(pointer).detail(fault.expected.unwrap_or(fault.message))
    } else {
        Problem::from(UNAVAILABLE)
    }
}

/// `GET /v1/requests`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    page::none(query.as_deref())?;
    let sql =
        "SELECT request_no, state, version, at FROM verification WHERE asked_by = $1 ORDER BY at DESC, request_no LIMIT 100";
    let rows = api.hub.store.read(sql, &[caller.partner.as_str().into()]).await?;
    let requests: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({ "request_no": row.text(0), "state": row.text(1), "report_version": row.int(2), "asked_at": moment(row.int(3)) })
        })
        .collect();
    Ok(Json(json!({ "requests": requests })).into_response())
}

/// `GET /v1/requests/{id}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let books = books(&api);
    let mut status = report::status(&books, &id).await?.ok_or_else(|| Problem::from(NOT_FOUND))?;
    if status["asked_by"] != caller.partner.as_str() {
        return Err(NOT_FOUND.into());
    }
    status["report"] = report::newest(&books, &id).await?.unwrap_or_default();
    Ok(Json(status).into_response())
}

/// `POST /v1/answers`
pub async fn answer(State(api): State<Api>, Extension(caller): Extension<Caller>, bytes: Bytes) -> Result<Response, Problem> {
    let bank = banks().into_iter().find(|bank| partner_of(&bank.code) == caller.partner);
    let Some(bank) = bank else { return Err(Problem::from(NOT_ALLOWED).detail("only providers of queries answer them")) };
    let value: Value = body(&bytes)?;
    match answer::take(&books(&api), &bank.code, &value).await? {
        Taken::New { .. } => Ok(Json(json!({ "query_no": value["query_no"], "state": "ANSWERED" })).into_response()),
        Taken::Known => Ok(Json(json!({ "query_no": value["query_no"], "state": "KNOWN" })).into_response()),
        Taken::Refused(fault) => {
            let pointer = fault.place.pointer.unwrap_or_default();
            Err(Problem::from(INVALID).at(pointer).detail(format!("{}: {}", fault.code, fault.message)))
        }
    }
}
