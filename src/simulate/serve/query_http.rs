//! Simulated banks that are called: JSON and XML.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

use super::queries::{Bank, Say, Speech};

/// Listens on a free loopback port.
pub(super) async fn start(bank: Arc<Bank>) -> std::io::Result<String> {
    let app = Router::new().route("/query", post(query)).with_state(bank);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}/query"))
}

async fn query(State(bank): State<Arc<Bank>>, body: String) -> Response {
    let read = if bank.speech == Speech::Xml { from_xml(&body) } else { serde_json::from_str(&body).ok() };
    let Some(query) = read else { return StatusCode::BAD_REQUEST.into_response() };
    if bank.is_down() || bank.note(&query).is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    tokio::time::sleep(bank.delay()).await;
    let (name, number) = (&query["subject"]["name"], query["subject"]["id_number"].as_str().unwrap_or_default());
    if number.get(14..17) == Some("906") {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let say = bank.say(name.as_str().unwrap_or_default(), number);
    let (name, number, outcome, account) = match say {
        Say::Away => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Say::Refuse => return StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        Say::Later => return StatusCode::ACCEPTED.into_response(),
        Say::Junk => return "hello".into_response(),
        Say::Answer { name, number, outcome, account } => (name, number, outcome, account),
    };
    let tail = number.get(10..).unwrap_or_default();
    let accounts = account.map(|(currency, balance)| {
        json!({ "account_no": format!("62280000{tail}"), "account_type": "1", "account_status": "0", "currency": currency, "balance": balance, "wealth_value": "0.00" })
    });
    let answer = json!({ "query_no": query["query_no"], "subject": { "name": name, "id_type": query["subject"]["id_type"], "id_number": number },
        "outcome": outcome, "answers": accounts.into_iter().collect::<Vec<_>>() });
    let kind = if bank.speech == Speech::Xml { "application/xml" } else { "application/json" };
    let body = if bank.speech == Speech::Xml { to_xml(&answer) } else { answer.to_string() };
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

/// What stands between the first `<name>` and `</name>`.
fn element(text: &str, name: &str) -> Option<String> {
    let from = text.find(&format!("<{name}>"))? + name.len() + 2;
    let to = from + text[from..].find(&format!("</{name}>"))?;
    Some(text[from..to].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

fn from_xml(text: &str) -> Option<Value> {
    Some(json!({
        "query_no": element(text, "QueryNo")?,
        "subject": { "name": element(text, "Name")?, "id_type": element(text, "IdType")?, "id_number": element(text, "IdNumber")? },
        "as_of": element(text, "AsOf")?,
    }))
}

fn to_xml(answer: &Value) -> String {
    let one = |name: &str, value: &Value| {
        let text = value.as_str().unwrap_or_default().replace('&', "&amp;").replace('<', "&lt;");
        format!("<{name}>{text}</{name}>")
    };
    let subject = &answer["subject"];
    let account = |account: &Value| {
        let inner = [
            one("AccountNo", &account["account_no"]),
            one("AccountType", &account["account_type"]),
            one("AccountStatus", &account["account_status"]),
            one("Currency", &account["currency"]),
            one("Balance", &account["balance"]),
            one("WealthValue", &account["wealth_value"]),
        ];
        format!("<Account>{}</Account>", inner.concat())
    };
    let accounts: String = answer["answers"].as_array().into_iter().flatten().map(account).collect();
    let head = [
        one("QueryNo", &answer["query_no"]),
        one("Name", &subject["name"]),
        one("IdType", &subject["id_type"]),
        one("IdNumber", &subject["id_number"]),
        one("Outcome", &answer["outcome"]),
    ];
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><AssetAnswer>{}{accounts}</AssetAnswer>", head.concat())
}
