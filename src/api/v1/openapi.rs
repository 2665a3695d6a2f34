//! The description of the API: one table, from which come OpenAPI 3.1 (`/v1/openapi.json`), the page for people (`/v1/docs`,
//! without a script or anything from elsewhere) and the check of methods. A test holds the table against the routes.

use std::fmt::Write;

use axum::{
    Json,
    extract::RawQuery,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{
    page,
    problem::{KINDS, Problem},
};

/// One operation.
pub struct Operation {
    pub method: &'static str,
    pub path: &'static str,
    pub id: &'static str,
    pub en: &'static str,
    pub zh: &'static str,
    /// Whether it must be signed.
    pub signed: bool,
    /// Names of query parameters, out of [`parameter`].
    pub query: &'static [&'static str],
    /// JSON Schema of the body, empty for none.
    pub body: &'static str,
    /// Status of success, and its media type; empty for no content.
    pub status: u16,
    pub media: &'static str,
}

const JSON: &str = "application/json";

macro_rules! operations {
    ($($id:ident $method:ident $path:literal $signed:literal [$($query:literal),*] $body:literal $status:literal $media:expr, $en:literal $zh:literal;)*) => {
        /// Every operation, in the order in which a partner comes to use them.
        pub const OPERATIONS: &[Operation] = &[$(Operation {
            method: stringify!($method), path: $path, id: stringify!($id), en: $en, zh: $zh, signed: $signed,
            query: &[$($query),*], body: $body, status: $status, media: $media,
        }),*];
    };
}

operations! {
    describe GET "/v1/openapi.json" false [] "" 200 JSON, "This description, OpenAPI 3.1" "本接口描述";
    read GET "/v1/docs" false [] "" 200 "text/html", "This description for people" "接口文档页面";
    list_errors GET "/v1/meta/errors" false [] "" 200 JSON, "Every error with both messages, hint, and whether a retry helps" "错误码表";
    list_services GET "/v1/meta/services" true [] "" 200 JSON, "Datasets and operations: which the caller may, and why not the others" "服务发现";
    list_allowed GET "/v1/meta/allowed" true [] "" 200 JSON, "The caller's agreements, with every field and its form" "本机构协议";
    list_keys GET "/v1/keys" true [] "" 200 JSON, "The caller's public keys" "密钥列表";
    add_key POST "/v1/keys" true [] r#"{"type":"object","required":["public_key"],"additionalProperties":false,"properties":{"public_key":{"type":"string","description":"ed25519:, ecdsa-p256-sha256: or sm2-sm3: and base64, or PEM","examples":["ed25519:JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="]}}}"# 201 JSON, "Add the next key; the old one stays good for seven days" "新增密钥";
    retire_key DELETE "/v1/keys/{serial}" true [] "" 204 "", "End a key now" "停用密钥";
    list_events GET "/v1/events" true ["number", "limit"] "" 200 JSON, "The mailbox, oldest first, after a cursor; may be repeated" "读取邮箱";
    acknowledge_events POST "/v1/events/ack" true [] r#"{"type":"object","required":["cursor"],"additionalProperties":false,"properties":{"cursor":{"type":"integer","minimum":0}}}"# 200 JSON, "Everything up to the cursor is safe with you" "确认已收";
    list_deliveries GET "/v1/deliveries" true ["after", "limit", "from", "to"] "" 200 JSON, "What was delivered, with receipts" "交付记录";
    show_delivery GET "/v1/deliveries/{id}" true [] "" 200 JSON, "One delivery and its resends" "单笔交付";
    resend_delivery POST "/v1/deliveries/{id}/resend" true [] "" 202 JSON, "Send one again, under the same delivery id" "重新发送";
    list_endpoints GET "/v1/endpoints" true [] "" 200 JSON, "Where deliveries go" "接收地址";
    add_endpoint POST "/v1/endpoints" true [] r#"{"type":"object","required":["url"],"additionalProperties":false,"properties":{"url":{"type":"string","format":"uri","maxLength":2000}}}"# 201 JSON, "Register an address inside the agreed networks" "登记接收地址";
    remove_endpoint DELETE "/v1/endpoints/{id}" true [] "" 204 "", "Give an address up: deliveries go to the mailbox" "注销接收地址";
    rotate_endpoint POST "/v1/endpoints/{id}/rotate" true [] "" 200 JSON, "First call: a next signing key, both sign; second call: the old one ends" "轮换签名密钥";
    replay_endpoint POST "/v1/endpoints/{id}/replay" true [] r#"{"type":"object","required":["from","to"],"additionalProperties":false,"properties":{"from":{"type":"string","format":"date-time"},"to":{"type":"string","format":"date-time"}}}"# 202 JSON, "Send again what was delivered in a range of time" "按时间重放";
    list_requests GET "/v1/requests" true [] "" 200 JSON, "The caller's verification requests" "核对请求列表";
    add_request POST "/v1/requests" true [] r#"{"type":"object","required":["authorisation","purpose","division","operator","as_of","members"],"properties":{"authorisation":{"type":"string"},"purpose":{"type":"string"},"division":{"type":"string"},"operator":{"type":"string"},"as_of":{"type":"string","format":"date"},"kinds":{"type":"array","items":{"type":"string"}},"household":{"type":"string"},"members":{"type":"array","minItems":1,"items":{"type":"object"}}}}"# 202 JSON, "Ask for the verification of a household under its authorisation" "提交核对请求";
    show_request GET "/v1/requests/{id}" true [] "" 200 JSON, "State of a request, who did not answer yet, and its newest report" "核对请求状态";
    answer_query POST "/v1/answers" true [] r#"{"type":"object","required":["query_no","subject","outcome"],"properties":{"query_no":{"type":"string"},"subject":{"type":"object","required":["name","id_number"],"properties":{"name":{"type":"string"},"id_type":{"type":"string"},"id_number":{"type":"string"}}},"outcome":{"enum":["FOUND","NONE","MISMATCH","PARTIAL"]},"answers":{"type":"array","items":{"type":"object"}}}}"# 200 JSON, "Answer a query that was fetched from the mailbox" "反馈查询结果";
    list_batches GET "/v1/batches" true [] "" 200 JSON, "The newest hundred batches" "批次列表";
    add_batch POST "/v1/batches" true [] r#"{"type":"object","required":["dataset","rows","sha256"],"additionalProperties":false,"properties":{"dataset":{"type":"string"},"rows":{"type":"integer","minimum":0},"sha256":{"type":"string","pattern":"^[0-9a-fA-F]{64}$"},"sm3":{"type":"string","pattern":"^[0-9a-fA-F]{64}$"}}}"# 201 JSON, "Announce a file by its manifest" "登记批次";
    show_batch GET "/v1/batches/{id}" true [] "" 200 JSON, "State and faults of a batch" "批次状态";
    upload_batch PUT "/v1/batches/{id}/file" true [] r#"{"type":"string","contentMediaType":"application/x-ndjson"}"# 200 JSON, "The file: one JSON record a line, at most 8 MiB" "上传批次文件";
    show_bill GET "/v1/bills/{date}" true [] "" 200 JSON, "The reconciliation file of a day: count, digests, short-lived link" "对账单";
    fetch_file GET "/v1/files/{token}" false [] "" 200 "text/csv", "The file behind a link" "下载对账文件";
    list_disclosures GET "/v1/disclosures" false ["division", "limit", "place"] "" 200 "application/feed+json", "Notices to the public that stand today, as a JSON feed" "今日公开公示";
    list_disputes GET "/v1/disputes" true ["after", "limit", "from", "to"] "" 200 JSON, "The caller's disputes" "更正申请列表";
    open_dispute POST "/v1/disputes" true [] r#"{"type":"object","required":["pointer","problem"],"additionalProperties":false,"properties":{"delivery_id":{"type":"string"},"event":{"type":"object","description":"the attributes of the event, when its copy is no longer kept","required":["id","source","dataschema","subject"],"additionalProperties":false,"properties":{"id":{"type":"string"},"source":{"type":"string"},"dataschema":{"type":"string"},"subject":{"type":"string"}}},"pointer":{"type":"string","pattern":"^/","maxLength":200},"problem":{"type":"string","minLength":1,"maxLength":1000},"proposed":{}}}"# 201 JSON, "Dispute a field of something received; the same again is the same dispute" "提出更正申请";
    show_dispute GET "/v1/disputes/{id}" true [] "" 200 JSON, "State of a dispute, its answer, and how many receivers have the right value" "更正申请状态";
}

/// Whether the path (as a pattern) has the method. HEAD is answered like GET.
pub fn knows(path: &str, method: &str) -> bool {
    let method = if method == "HEAD" { "GET" } else { method };
    OPERATIONS.iter().any(|operation| operation.path == path && operation.method == method)
}

/// Short lines for `/v1/meta/services`.
pub fn operations() -> Vec<Value> {
    let signed = OPERATIONS.iter().filter(|operation| operation.signed);
    signed.map(|one| json!({ "method": one.method, "path": one.path, "en": one.en, "zh": one.zh })).collect()
}

/// `GET /v1/openapi.json`
pub async fn json(RawQuery(query): RawQuery) -> Result<Response, Problem> {
    page::none(query.as_deref())?;
    Ok(Json(document()).into_response())
}

/// The whole description.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.to_ascii_lowercase()] = described(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "civilhub partner API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Requests are signed after RFC 9421 (Ed25519, ECDSA P-256 with SHA-256, or SM2 with SM3) over @method, @target-uri and content-digest, with created, nonce and keyid. Every POST carries an Idempotency-Key. Errors are application/problem+json.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "signature": { "type": "apiKey", "in": "header", "name": "signature", "description": "RFC 9421, beside signature-input" }
            },
            "schemas": { "Problem": problem_schema() },
            "headers": { "trace-id": { "schema": { "type": "string" }, "description": "Give it when you ask about this request" } },
        },
    })
}

fn problem_schema() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "message", "hint", "retryable", "trace_id"],
        "properties": {
            "type": text, "title": text, "status": { "type": "integer" }, "detail": text,
            "code": { "type": "string", "enum": KINDS.iter().map(|kind| kind.code.to_string()).collect::<Vec<_>>() },
            "pointer": { "type": ["string", "null"] },
            "message": { "type": "object", "required": ["en", "zh"], "properties": { "en": text, "zh": text } },
            "hint": text, "retryable": { "type": "boolean" }, "trace_id": text,
        },
    })
}

fn described(operation: &Operation) -> Value {
    let mut parameters: Vec<Value> = path_parameters(operation.path);
    parameters.extend(operation.query.iter().map(|name| parameter(name)));
    if operation.method == "POST" {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": true, "schema": { "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$" }
        }));
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.en,
        "description": operation.zh,
        "tags": [operation.path.split('/').nth(2).unwrap_or_default()],
        "parameters": parameters,
        "responses": responses(operation),
        "security": if operation.signed { json!([{ "signature": [] }]) } else { json!([]) },
    });
    if !operation.body.is_empty() {
        let schema: Value = serde_json::from_str(operation.body).unwrap_or_default();
        let body = json!({ "schema": schema });
        // Many tools know no NDJSON; the file is taken under either name.
        let content = if operation.method == "PUT" {
            json!({ "application/x-ndjson": body, "application/octet-stream": body })
        } else {
            json!({ JSON: body })
        };
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    described
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let schema = |name: &str| match name {
        "date" => json!({ "type": "string", "format": "date" }),
        "serial" => json!({ "type": "integer", "minimum": 1 }),
        _ => json!({ "type": "string", "minLength": 1, "maxLength": 300 }),
    };
    names.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": schema(name) })).collect()
}

fn parameter(name: &str) -> Value {
    let (name, schema) = match name {
        "number" => ("after", json!({ "type": "integer", "minimum": 0 })),
        "limit" => ("limit", json!({ "type": "integer", "minimum": 1, "maximum": 500 })),
        "after" => ("after", json!({ "type": "string", "description": "`next` of the page before" })),
        "place" => ("after", json!({ "type": "string", "description": "as `next_url` has it" })),
        "division" => ("division", json!({ "type": "string", "pattern": "^[0-9]{2,12}$" })),
        other => (other, json!({ "type": "string", "format": "date-time" })),
    };
    json!({ "name": name, "in": "query", "required": false, "schema": schema })
}

fn responses(operation: &Operation) -> Value {
    let trace = json!({ "trace-id": { "$ref": "#/components/headers/trace-id" } });
    let mut responses = Map::new();
    let content = match operation.media {
        "" => json!({}),
        JSON => json!({ JSON: { "schema": { "type": "object" } } }),
        media => json!({ media: { "schema": { "type": "string" } } }),
    };
    responses.insert(operation.status.to_string(), json!({ "description": operation.en, "headers": trace, "content": content }));
    if operation.method == "GET" {
        responses.insert("304".to_owned(), json!({ "description": "Not changed since the ETag of If-None-Match" }));
    }
    let mut statuses: Vec<u16> = KINDS.iter().map(|kind| kind.status.as_u16()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let possible = |status: &u16| operation.signed || matches!(status, 400 | 404 | 405 | 503);
    for status in statuses.iter().filter(|status| possible(status)) {
        let codes: Vec<String> = KINDS
            .iter()
            .filter(|kind| kind.status.as_u16() == *status)
            .map(|kind| format!("{}: {}", kind.code, kind.en))
            .collect();
        responses.insert(
            status.to_string(),
            json!({
                "description": codes.join("; "),
                "headers": trace,
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            }),
        );
    }
    Value::Object(responses)
}

const HEAD: &str = "<!doctype html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>civilhub 合作机构接口 partner API</title><style>body{font:15px/1.55 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1b1f24}\
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}th,td{padding:.25rem .6rem;border-bottom:1px solid #d5d9de;text-align:left;vertical-align:top}\
code,pre{background:#f3f5f7;border-radius:4px;padding:.1rem .3rem}pre{padding:.6rem;overflow-x:auto;white-space:pre-wrap}\
h2{font-size:1.05rem;margin:1.6rem 0 .3rem}.m{display:inline-block;min-width:4.5em;font-weight:700;color:#0b5cad}</style></head><body>\
<h1>civilhub 合作机构接口 <small>partner API</small></h1>\
<p>Requests are signed after RFC 9421 over <code>@method</code>, <code>@target-uri</code> and <code>content-digest</code>, with <code>created</code>, \
<code>nonce</code> and <code>keyid</code> (<code>partner/serial</code>). Every POST carries an <code>Idempotency-Key</code>. \
The machine-readable description is <a href=\"/v1/openapi.json\">/v1/openapi.json</a>.</p>";

/// `GET /v1/docs`
pub async fn page(RawQuery(query): RawQuery) -> Result<Response, Problem> {
    super::page::none(query.as_deref())?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    ];
    Ok((headers, html()).into_response())
}

fn html() -> String {
    let mut page = HEAD.to_owned();
    for operation in OPERATIONS {
        let _ = write!(
            page,
            "<h2 id=\"{}\"><span class=\"m\">{}</span><code>{}</code></h2>",
            operation.id,
            operation.method,
            escape(operation.path)
        );
        let signed = if operation.signed { "" } else { " No signature needed. 无需签名。" };
        let _ = write!(page, "<p>{}. {}。{signed} → {}</p>", escape(operation.en), operation.zh, operation.status);
        if !operation.body.is_empty() {
            let schema: Value = serde_json::from_str(operation.body).unwrap_or_default();
            let _ = write!(page, "<pre>{}</pre>", escape(&serde_json::to_string_pretty(&schema).unwrap_or_default()));
        }
    }
    page.push_str("<h2>错误 Errors</h2><table><tr><th>code</th><th>status</th><th>message</th><th>hint</th></tr>");
    for kind in KINDS {
        let (en, hint) = (escape(kind.en), escape(kind.hint));
        let _ = write!(
            page,
            "<tr id=\"{0}\"><td>{0}</td><td>{1}</td><td>{en}<br>{2}</td><td>{hint}</td></tr>",
            kind.code,
            kind.status.as_u16(),
            kind.zh
        );
    }
    page.push_str("</table></body></html>");
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn operations_are_unique_and_their_schemas_are_json() {
        let mut seen = BTreeSet::new();
        for operation in OPERATIONS {
            assert!(seen.insert((operation.method, operation.path)) && seen.insert(("", operation.id)), "{}", operation.id);
            assert!(operation.body.is_empty() || serde_json::from_str::<Value>(operation.body).is_ok(), "{}", operation.id);
        }
        assert!(knows("/v1/keys", "POST") && knows("/v1/keys", "HEAD") && !knows("/v1/keys", "PATCH"));
    }

    #[test]
    fn every_route_is_described_and_the_page_needs_nothing_from_elsewhere() {
        let routes = include_str!("mod.rs");
        for operation in OPERATIONS {
            assert!(routes.contains(&format!("\"{}\"", operation.path)), "{}", operation.path);
        }
        let described: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.path).collect();
        assert_eq!(routes.matches(".route(\"/v1/").count(), described.len());
        let page = html();
        assert!(!page.contains("http") && !page.contains("<script"), "offline");
        assert_eq!(document()["openapi"], "3.1.0");
    }
}
