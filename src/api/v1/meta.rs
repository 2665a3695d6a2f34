//! `/v1/meta`: what there is, what the caller may and why not the rest, and every error.

use axum::{
    Extension, Json,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{
    Api, Caller, openapi, page,
    problem::{KINDS, Problem},
};
use crate::{
    clock,
    govern::agreement::{Agreement, When},
};

/// `GET /v1/meta/services`: every dataset and every operation; whether the caller may, and if not, why.
pub async fn services(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    page::none(query.as_deref())?;
    let today = clock::today();
    let agreements = api.hub.agreements.partner(&caller.partner).map_or(&[][..], |partner| &partner.agreements);
    let datasets: Vec<Value> = api
        .hub
        .registry
        .iter()
        .map(|schema| {
            let own: Vec<&Agreement> = agreements.iter().filter(|one| one.dataset == schema.dataset.as_str()).collect();
            let reason = why_not(&own, today);
            json!({
                "dataset": schema.dataset,
                "schema": schema.id(),
                "name": schema.title,
                "allowed": reason.is_none(),
                "reason": reason,
                "agreements": own.iter().map(|agreement| agreement.id.clone()).collect::<Vec<_>>(),
            })
        })
        .collect();
    Ok(Json(json!({ "partner": caller.partner, "datasets": datasets, "operations": openapi::operations() })).into_response())
}

fn why_not(own: &[&Agreement], today: time::Date) -> Option<Value> {
    let reason = if own.is_empty() {
        ("no agreement covers this dataset", "没有覆盖该数据集的协议")
    } else if own.iter().any(|agreement| agreement.is_valid(today)) {
        return None;
    } else if own.iter().all(|agreement| agreement.days_left(today) < 0) {
        ("the agreement has run out", "协议已到期")
    } else {
        ("the agreement has not begun", "协议尚未生效")
    };
    Some(json!({ "en": reason.0, "zh": reason.1 }))
}

/// `GET /v1/meta/allowed`: the caller's agreements with every field and its form.
pub async fn allowed(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    page::none(query.as_deref())?;
    let today = clock::today();
    let agreements = api.hub.agreements.partner(&caller.partner).map_or(&[][..], |partner| &partner.agreements);
    let agreements: Vec<Value> = agreements.iter().map(|agreement| shown(agreement, today)).collect();
    Ok(Json(json!({ "partner": caller.partner, "agreements": agreements })).into_response())
}

fn shown(agreement: &Agreement, today: time::Date) -> Value {
    let fields: Map<String, Value> =
        agreement.fields.iter().map(|(field, form)| (field.clone(), Value::from(form.as_str()))).collect();
    json!({
        "id": agreement.id,
        "dataset": agreement.dataset,
        "purpose": agreement.purpose,
        "legal_basis": agreement.legal_basis,
        "when": if agreement.when == When::Requested { "requested" } else { "recorded" },
        "valid_from": clock::iso_date(agreement.valid_from),
        "valid_to": clock::iso_date(agreement.valid_to),
        "in_force": agreement.is_valid(today),
        "days_left": agreement.days_left(today),
        "divisions": agreement.divisions,
        "fields": fields,
    })
}

/// `GET /v1/meta/errors`: needs no signature, for it helps those who cannot make one yet.
pub async fn errors(RawQuery(query): RawQuery) -> Result<Response, Problem> {
    page::none(query.as_deref())?;
    let errors: Vec<Value> = KINDS
        .iter()
        .map(|kind| {
            json!({
                "code": kind.code,
                "status": kind.status.as_u16(),
                "message": { "en": kind.en, "zh": kind.zh },
                "hint": kind.hint,
                "retryable": kind.retryable,
            })
        })
        .collect();
    Ok(Json(json!({ "errors": errors })).into_response())
}
