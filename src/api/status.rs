//! The status page: books, queues and dead letters at a glance, without a line of script.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    hub::{Hub, depths},
    ledger::books::{self, Line},
    store::Error,
};

/// What the page shows.
#[derive(Serialize)]
pub struct Status {
    pub books: Vec<Line>,
    pub queues: BTreeMap<String, u64>,
    /// Dead letters by code, stage and state.
    pub dead: Vec<(String, String, String, i64)>,
}

async fn look(hub: &Hub) -> Result<Status, Error> {
    let waiting = books::waiting(&hub.store).await?;
    let sql = "SELECT code, stage, state, COUNT(*) FROM dead GROUP BY code, stage, state ORDER BY 4 DESC LIMIT 50";
    let dead = hub.store.read(sql, &[]).await?.iter().map(|row| (row.text(0), row.text(1), row.text(2), row.int(3))).collect();
    Ok(Status { books: books::books(&hub.store, None, waiting).await?, queues: depths(hub).await, dead })
}

/// `GET /v1/status`
pub async fn json(State(hub): State<Arc<Hub>>) -> Response {
    match look(&hub).await {
        Ok(status) => Json(status).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// `GET /`
pub async fn page(State(hub): State<Arc<Hub>>) -> Response {
    match look(&hub).await {
        Ok(status) => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, html(&status)).into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer").into_response(),
    }
}

const HEAD: &str = "<!doctype html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<meta http-equiv=\"refresh\" content=\"2\"><title>civilhub 状态</title><style>\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24}\
table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}th,td{padding:.25rem .6rem;border-bottom:1px solid #d5d9de;text-align:right}\
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}.bad{color:#b3261e;font-weight:600}h2{font-size:1.1rem}</style></head><body>\
<h1>civilhub <small>吉林省民政数据交换枢纽</small></h1><p><a href=\"/console\">控制台 Console</a></p>";

fn html(status: &Status) -> String {
    let mut page = HEAD.to_owned();
    let heads = [
        "日期 date",
        "系统 system",
        "收 received",
        "交付 delivered",
        "拒 rejected",
        "搁置 parked",
        "过时 superseded",
        "重复 duplicate",
        "在途 in flight",
        "差额 gap",
    ];
    let rows = status.books.iter().map(|line| {
        let numbers = [
            line.received,
            line.delivered,
            line.rejected,
            line.parked,
            line.superseded,
            line.duplicate,
            line.in_flight,
            line.gap,
        ];
        [line.date.clone(), line.system.clone()].into_iter().chain(numbers.map(|number| number.to_string())).collect()
    });
    table(&mut page, "账 Books", &heads, rows);
    table(
        &mut page,
        "队列 Queues",
        &["队列 queue", "消息 messages"],
        status.queues.iter().map(|(queue, messages)| vec![queue.clone(), messages.to_string()]),
    );
    let dead =
        status.dead.iter().map(|(code, stage, state, count)| vec![code.clone(), stage.clone(), state.clone(), count.to_string()]);
    table(&mut page, "死信 Dead letters", &["代码 code", "环节 stage", "状态 state", "数量 count"], dead);
    page.push_str("</body></html>");
    page
}

fn table(page: &mut String, title: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let _ = write!(page, "<h2>{title}</h2><table><thead><tr>");
    for head in heads {
        let _ = write!(page, "<th scope=\"col\">{head}</th>");
    }
    page.push_str("</tr></thead><tbody>");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            let _ = write!(page, "<td>{}</td>", escape(&cell));
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
