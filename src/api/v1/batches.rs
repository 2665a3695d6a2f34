//! `/v1/batches`: a file of records with its manifest. The file is taken only if count and digests are those of the manifest,
//! and every row is checked against the schema; the caller sees each fault with its row.

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
    Api, Caller, body, derived, idempotency_key, moment, page,
    problem::{CONFLICT, INVALID, NOT_ALLOWED, NOT_FOUND, Problem},
};
use crate::{
    clock,
    envelope::Dataset,
    signature::digest,
    store::{Arg, Row},
};

/// The most faults that are told of one file.
const MOST_FAULTS: usize = 100;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    dataset: String,
    rows: u64,
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sm3: Option<String>,
}

/// `POST /v1/batches`
pub async fn create(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let manifest: Manifest = body(&bytes)?;
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hash(&manifest.sha256) || manifest.sm3.as_deref().is_some_and(|sm3| !is_hash(sm3)) {
        return Err(Problem::from(INVALID).at("/sha256").detail("a digest is 64 hexadecimal digits"));
    }
    if api.hub.registry.latest(&Dataset::from(manifest.dataset.as_str())).is_none() {
        return Err(Problem::from(INVALID).at("/dataset").detail("there is no such dataset"));
    }
    let today = clock::today();
    let partner = api.hub.agreements.partner(&caller.partner);
    let agreed = |name: &str| {
        partner.is_some_and(|partner| partner.agreements.iter().any(|one| one.dataset == name && one.is_valid(today)))
    };
    if !agreed(&manifest.dataset) {
        return Err(Problem::from(NOT_ALLOWED).at("/dataset"));
    }
    let id = derived("ba", &caller, idempotency_key(&headers));
    let sql = "INSERT INTO partner_batch (id, partner, dataset, manifest, state, faults, body, at) VALUES ($1, $2, $3, $4, 'announced', '[]', '', $5) \
               ON CONFLICT DO NOTHING";
    let args: [Arg; 5] = [
        id.as_str().into(),
        caller.partner.as_str().into(),
        manifest.dataset.as_str().into(),
        json!(manifest).to_string().into(),
        clock::millis().into(),
    ];
    api.hub.store.write(sql, &args).await?;
    Ok((StatusCode::CREATED, Json(shown(&find(&api, &caller, &id).await?))).into_response())
}

const COLUMNS: &str = "SELECT id, dataset, manifest, state, faults, at FROM partner_batch";

fn shown(row: &Row) -> Value {
    let id = row.text(0);
    json!({
        "dataset": row.text(1),
        "manifest": serde_json::from_str::<Value>(&row.text(2)).unwrap_or_default(),
        "state": row.text(3),
        "faults": serde_json::from_str::<Value>(&row.text(4)).unwrap_or_default(),
        "announced_at": moment(row.int(5)),
        "upload": format!("/v1/batches/{id}/file"),
        "id": id,
    })
}

async fn find(api: &Api, caller: &Caller, id: &str) -> Result<Row, Problem> {
    let sql = format!("{COLUMNS} WHERE partner = $1 AND id = $2");
    let rows = api.hub.store.read(&sql, &[caller.partner.as_str().into(), id.into()]).await?;
    rows.into_iter().next().ok_or_else(|| NOT_FOUND.into())
}

/// `GET /v1/batches`
pub async fn list(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    page::none(query.as_deref())?;
    let sql = format!("{COLUMNS} WHERE partner = $1 ORDER BY at DESC, id LIMIT 100");
    let rows = api.hub.store.read(&sql, &[caller.partner.as_str().into()]).await?;
    Ok(Json(json!({ "batches": rows.iter().map(shown).collect::<Vec<_>>() })).into_response())
}

/// `GET /v1/batches/{id}`
pub async fn show(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    Ok(Json(shown(&find(&api, &caller, &id).await?)).into_response())
}

/// `PUT /v1/batches/{id}/file`: lines of JSON. The same file again changes nothing.
pub async fn upload(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let row = find(&api, &caller, &id).await?;
    let manifest: Manifest = serde_json::from_str(&row.text(2)).map_err(|_| Problem::from(NOT_FOUND))?;
    let same = |given: &str, found: &str| given.eq_ignore_ascii_case(found);
    if !same(&manifest.sha256, &digest::sha256_hex(&bytes)) {
        return Err(Problem::from(INVALID).at("/sha256").detail("the file is not the one of the manifest: SHA-256 differs"));
    }
    if manifest.sm3.as_deref().is_some_and(|sm3| !same(sm3, &digest::sm3_hex(&bytes))) {
        return Err(Problem::from(INVALID).at("/sm3").detail("the file is not the one of the manifest: SM3 differs"));
    }
    if row.text(3) != "announced" {
        return Ok(Json(shown(&row)).into_response());
    }
    let faults = check(&api, &manifest, &bytes)?;
    let state = if faults.is_empty() { "accepted" } else { "refused" };
    let sealed = if faults.is_empty() { api.hub.keys.seal(&bytes) } else { String::new() };
    let sql =
        "UPDATE partner_batch SET state = $3, faults = $4, body = $5 WHERE partner = $1 AND id = $2 AND state = 'announced'";
    let args: [Arg; 5] = [
        caller.partner.as_str().into(),
        id.as_str().into(),
        state.into(),
        Value::Array(faults).to_string().into(),
        sealed.into(),
    ];
    if api.hub.store.write(sql, &args).await? != 1 {
        return Err(CONFLICT.into());
    }
    Ok(Json(shown(&find(&api, &caller, &id).await?)).into_response())
}

/// Every fault of every row, up to a bound.
fn check(api: &Api, manifest: &Manifest, bytes: &[u8]) -> Result<Vec<Value>, Problem> {
    let Some(schema) = api.hub.registry.latest(&Dataset::from(manifest.dataset.as_str())) else { return Err(NOT_FOUND.into()) };
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    if lines.len() as u64 != manifest.rows {
        let detail = format!("the manifest speaks of {} rows, the file has {}", manifest.rows, lines.len());
        return Err(Problem::from(INVALID).at("/rows").detail(detail));
    }
    let mut faults = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        match serde_json::from_slice::<Value>(line) {
            Err(_) => faults.push(json!({ "row": number + 1, "message": "the line is not JSON" })),
            Ok(record) => faults.extend(schema.validate(&record).into_iter().map(|fault| {
                json!({ "row": number + 1, "code": fault.code, "pointer": fault.place.pointer, "message": fault.message })
            })),
        }
        if faults.len() >= MOST_FAULTS {
            faults.truncate(MOST_FAULTS);
            break;
        }
    }
    Ok(faults)
}
