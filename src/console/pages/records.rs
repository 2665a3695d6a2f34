//! Finding a record by the key its source has for it, and its whole life.

use std::sync::Arc;

use axum::{
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use serde_json::Value;

use super::super::{
    Console,
    account::Right,
    desk::{Hit, Sight, divisions, not_there},
    form::{Act, Fields},
    session::Viewer,
    view::{self, Cell, Form, Input, Page, Part, moment, place, show},
    words::{Lang, word},
};
use crate::{
    clock, dead,
    envelope::Event,
    error::Fault,
    ledger::trace::{self, Step},
};

/// Bodies that are shown of one record.
const MOST_BODIES: i64 = 20;

/// `GET /console/records?q=…`
pub(in super::super) async fn find(State(console): State<Arc<Console>>, viewer: Viewer, RawQuery(query): RawQuery) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let lang = viewer.lang;
    let key = fields.get("q");
    let label = lang.t("案件号、业务编号或事件编号", "Number of a case, key of a system, or event id");
    let form = Form::get(lang.t("查找", "Find"), "/console/records", vec![Input::line("q", label, key)], lang.t("查找", "Find"));
    let page = Page::new(lang.t("记录", "Records")).with(form);
    if key.is_empty() {
        return show(&viewer, Ok(page));
    }
    let hits = match console.find(&viewer, key).await {
        Ok(hits) => hits,
        Err(fault) => return view::fault(&viewer, &fault),
    };
    if hits.is_empty()
        && let Ok(Some(event)) = trace::by_index(&console.hub.store, key).await
    {
        return Redirect::to(&format!("/console/records/{event}")).into_response();
    }
    let heads = [lang.t("记录", "record"), lang.t("系统", "system"), lang.t("数据集", "dataset"), lang.t("辖区", "division")];
    show(&viewer, Ok(page.table(lang.t("结果", "Found"), &heads, hits.iter().map(row).collect())))
}

fn row(hit: &Hit) -> Vec<Cell> {
    let link = format!("/console/records/{}?object={}", hit.event_id, hit.object_id);
    let here = if hit.division.is_empty() { String::new() } else { place(&hit.division) };
    vec![
        Cell::link(hit.event_id.as_str(), link).look("code"),
        hit.system.as_str().into(),
        hit.dataset.as_str().into(),
        here.into(),
    ]
}

/// `GET /console/records/{event}`
pub(in super::super) async fn one(
    State(console): State<Arc<Console>>,
    viewer: Viewer,
    Path(event): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&viewer, life(&console, &viewer, &event, fields.get("object"), None).await)
}

/// `POST /console/records/{event}`
pub(in super::super) async fn unmask(State(console): State<Arc<Console>>, Path(event): Path<String>, act: Act) -> Response {
    let reason = act.viewer.need(Right::Unmask).and_then(|()| act.fields.reason());
    let page = match reason {
        Ok(reason) => life(&console, &act.viewer, &event, act.fields.get("object"), Some(reason)).await,
        Err(fault) => Err(fault),
    };
    show(&act.viewer, page)
}

/// The life of a record; in plain where there is a reason, which is in the ledger before anything is shown.
async fn life(console: &Console, viewer: &Viewer, event: &str, object: &str, reason: Option<&str>) -> Result<Page, Fault> {
    let failed = |error: crate::store::Error| error.fault();
    let (lang, store) = (viewer.lang, &console.hub.store);
    let steps = trace::steps(store, event).await.map_err(failed)?;
    let first = steps.first().ok_or_else(not_there)?;
    let division = divisions(store, &[event]).await.map_err(failed)?.remove(event).unwrap_or_default();
    if !viewer.sees(&division) {
        return Err(not_there());
    }
    if let Some(reason) = reason {
        let sight = Sight { what: "record", about: event, system: &first.system, dataset: &first.dataset };
        console.saw(viewer, &sight, reason).await?;
    }
    let here = if division.is_empty() { "–".to_owned() } else { place(&division) };
    let pairs = [
        (lang.t("事件", "Event"), Cell::code(event)),
        (lang.t("系统", "System"), first.system.as_str().into()),
        (lang.t("数据集", "Dataset"), first.dataset.as_str().into()),
        (lang.t("辖区", "Division"), here.into()),
    ];
    let rows = pairs.into_iter().map(|(name, cell)| (name.to_owned(), cell)).collect();
    let shown = steps.iter().map(|step| step_of(lang, step)).collect();
    let mut page = Page::new(lang.t("记录详情", "One record"))
        .with(Part::Pairs { caption: lang.t("概要", "In short").to_owned(), rows })
        .with(Part::Steps { caption: lang.t("经过", "Its life").to_owned(), steps: shown });
    if reason.is_some() {
        page = page.note("good", lang.t("以下为明文，本次查看已记入台账。", "In plain; that you saw it stands in the ledger."));
    }
    for (caption, bytes, is_event) in held(console, lang, event, object, &steps).await.map_err(failed)? {
        page = page.with(Part::Text { caption, body: body(&bytes, is_event, reason.is_some()) });
    }
    if reason.is_none() && viewer.may(Right::Unmask) {
        let inputs = vec![Input::hidden("object", object), Input::reason(lang)];
        let caption = lang.t("查看明文", "See it in plain");
        page = page.with(Form::post(caption, format!("/console/records/{event}"), inputs, caption));
    }
    Ok(page)
}

fn body(bytes: &[u8], is_event: bool, plain: bool) -> String {
    let value = if plain { serde_json::from_slice(bytes).ok() } else { Some(dead::masked(bytes, is_event)) };
    match value {
        Some(value) => serde_json::to_string_pretty::<Value>(&value).unwrap_or_default(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn step_of(lang: Lang, step: &Step) -> view::Step {
    let what = match step.what.strip_prefix("dead letter, ") {
        Some(state) => format!("{}：{}", lang.t("死信", "dead letter"), word(lang, state)),
        None => word(lang, &step.what),
    };
    view::Step { at: moment(step.at), what, lines: lines(lang, &step.detail), proof: step.proof.clone() }
}

/// What a step says, a line each: to whom it goes and under what, receipts, reasons, faults.
fn lines(lang: Lang, detail: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for to in detail["to"].as_array().into_iter().flatten() {
        lines.push(format!("→ {} · {} · {}", text(&to[0]), text(&to[1]), text(&to[2])));
    }
    let faults: Vec<Fault> = serde_json::from_value(detail["faults"].clone()).unwrap_or_default();
    lines.extend(faults.iter().map(ToString::to_string));
    let names = [
        ("subscription", "接收方", "receiver"),
        ("delivery", "交付编号", "delivery"),
        ("receipt", "回执", "receipt"),
        ("purpose", "用途", "purpose"),
        ("code", "代码", "code"),
        ("stage", "环节", "stage"),
        ("by", "操作人", "by"),
        ("what", "内容", "what"),
        ("decision", "决定", "decision"),
        ("reason", "理由", "reason"),
    ];
    for (name, zh, en) in names {
        if let Some(value) = detail[name].as_str().filter(|value| !value.is_empty()) {
            lines.push(format!("{}: {}", lang.t(zh, en), word(lang, value)));
        }
    }
    let codes: Vec<&str> = detail["codes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !codes.is_empty() {
        lines.push(codes.join(", "));
    }
    lines
}

type Held = (String, Vec<u8>, bool);

/// What the hub still holds of a record: as it was set aside and what each receiver would get of it, the fields kept for
/// rules, and copies of what was delivered. It keeps no other copy.
async fn held(
    console: &Console,
    lang: Lang,
    event: &str,
    object: &str,
    steps: &[Step],
) -> Result<Vec<Held>, crate::store::Error> {
    let (store, keys) = (&console.hub.store, &console.hub.keys);
    let mut held = Vec::new();
    let sql = "SELECT stage, subscription, code, body FROM dead WHERE event_id = $1 ORDER BY place LIMIT $2";
    for row in store.read(sql, &[event.into(), MOST_BODIES.into()]).await? {
        let Some(bytes) = keys.open(&row.text(3)) else { continue };
        let is_event = row.text(2) != crate::router::NOT_AN_EVENT.to_string();
        let name = format!(
            "{}（{} {}）",
            lang.t("之前：搁置时的内容", "Before: as it was set aside"),
            word(lang, &row.text(0)),
            row.text(1)
        );
        let parsed = serde_json::from_slice::<Event>(&bytes).ok().filter(|_| row.text(0) == "route");
        held.push((name, bytes, is_event));
        for copy in parsed.iter().flat_map(|event| console.hub.agreements.outgoing(event, clock::today())) {
            let name = format!("{} {} · {}", lang.t("之后：将交付给", "After: would go to"), copy.subscription, copy.agreement);
            held.push((name, copy.event.to_bytes(), true));
        }
    }
    let sql = "SELECT body FROM fact WHERE object_id = $1 AND event_id = $2";
    for row in store.read(sql, &[object.into(), event.into()]).await? {
        let name = lang.t("之前：为监管规则保留的字段", "Before: fields kept for the rules");
        held.extend(keys.open(&row.text(0)).map(|bytes| (name.to_owned(), bytes, false)));
    }
    held.extend(delivered(console, lang, steps).await?);
    Ok(held)
}

/// Copies of what receivers have, as far as they are kept.
async fn delivered(console: &Console, lang: Lang, steps: &[Step]) -> Result<Vec<Held>, crate::store::Error> {
    let ids: Value = steps.iter().filter_map(|step| step.detail["delivery"].as_str()).map(|id| serde_json::json!([id])).collect();
    let name = |partner: String| format!("{} {partner}", lang.t("之后：已交付给", "After: delivered to"));
    let sql = "SELECT partner, body FROM partner_sent WHERE delivery_id IN (SELECT value ->> 0 FROM {rows}) \
               UNION ALL SELECT partner, body FROM mailbox WHERE size > 0 AND delivery_id IN (SELECT value ->> 0 FROM {rows}) \
               AND delivery_id NOT IN (SELECT delivery_id FROM partner_sent WHERE delivery_id IN (SELECT value ->> 0 FROM {rows}))";
    let mut copies = Vec::new();
    for row in console.hub.store.read(sql, &[(&ids).into()]).await? {
        let sealed = row.text(1);
        let bytes = console.hub.keys.open(&sealed).unwrap_or_else(|| sealed.into_bytes());
        copies.push((name(row.text(0)), bytes, true));
    }
    Ok(copies)
}
