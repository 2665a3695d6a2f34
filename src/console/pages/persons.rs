//! Decisions about persons, side by side, and the view of one citizen.

use std::sync::Arc;

use axum::{
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};

use super::super::{
    Console,
    account::Right,
    desk::{Sight, divisions, not_there},
    form::{Act, Fields},
    session::Viewer,
    view::{self, Button, Cell, Form, Input, Page, Part, moment, show},
    words::{Lang, word},
};
use crate::{
    desk::citizen::Citizen,
    error::Fault,
    identity::review::{Answer, Item, Sides},
    store,
};

const MOST: i64 = 100;

/// `GET /console/reviews`
pub(in super::super) async fn reviews(State(console): State<Arc<Console>>, viewer: Viewer) -> Response {
    show(&viewer, questions(&console, &viewer).await)
}

async fn questions(console: &Console, viewer: &Viewer) -> Result<Page, Fault> {
    viewer.need(Right::Decide)?;
    let lang = viewer.lang;
    let items = console.desk()?.index.reviews(Some("open"), None, MOST).await.map_err(|error| error.fault())?;
    let events: Vec<&str> = items.iter().map(|item| item.event_id.as_str()).collect();
    let divisions = divisions(&console.hub.store, &events).await.map_err(|error| error.fault())?;
    let seen = items.iter().filter(|item| viewer.sees(divisions.get(&item.event_id).map_or("", String::as_str)));
    let row = |item: &Item| {
        vec![
            Cell::link(item.id.as_str(), format!("/console/reviews/{}", item.id)).look("code"),
            about(lang, &item.reason).into(),
            Cell::number(format!("{:.1}", item.bits)),
            item.system.as_str().into(),
            moment(item.opened_at).into(),
            moment(item.postponed_at).into(),
        ]
    };
    let heads = lang.t("审核项|问题|比特|系统|提出|推迟", "review|about|bits|system|opened|put off");
    let heads: Vec<&str> = heads.split('|').collect();
    let caption = lang.t("待处理（证据最强的在前，至多 100 项）", "Open, the strongest first, at most 100");
    Ok(Page::new(lang.t("身份审核", "Identity review")).table(caption, &heads, seen.map(row).collect()))
}

/// What a question is about.
fn about(lang: Lang, reason: &str) -> String {
    let zh = match reason {
        "uncertain-match" => "可能是同一人",
        _ => return reason.to_owned(),
    };
    lang.t(zh, reason).to_owned()
}

/// `GET /console/reviews/{id}`
pub(in super::super) async fn review(State(console): State<Arc<Console>>, viewer: Viewer, Path(id): Path<String>) -> Response {
    show(&viewer, question(&console, &viewer, &id, None).await)
}

/// `POST /console/reviews/{id}/unmask`
pub(in super::super) async fn unmask_review(State(console): State<Arc<Console>>, Path(id): Path<String>, act: Act) -> Response {
    let page = match act.viewer.need(Right::Unmask).and_then(|()| act.fields.reason()) {
        Ok(reason) => question(&console, &act.viewer, &id, Some(reason)).await,
        Err(fault) => Err(fault),
    };
    show(&act.viewer, page)
}

/// A question that the viewer may decide.
async fn sides(console: &Console, viewer: &Viewer, id: &str) -> Result<Sides, Fault> {
    viewer.need(Right::Decide)?;
    let sides = console.desk()?.index.review(id).await?;
    let event = sides.item.event_id.as_str();
    let divisions = divisions(&console.hub.store, &[event]).await.map_err(|error| error.fault())?;
    if viewer.sees(divisions.get(event).map_or("", String::as_str)) { Ok(sides) } else { Err(not_there()) }
}

async fn question(console: &Console, viewer: &Viewer, id: &str, reason: Option<&str>) -> Result<Page, Fault> {
    let (lang, sides) = (viewer.lang, sides(console, viewer, id).await?);
    let item = &sides.item;
    if let Some(reason) = reason {
        let keys = [item.person_key.as_str(), item.other_key.as_str()];
        let people = if item.is_about_one() { &keys[..1] } else { &keys[..] };
        // One row a person: each may ask who saw the data.
        for about in people.iter().copied() {
            console.saw(viewer, &Sight { what: "review", about, system: &item.system, dataset: "person" }, reason).await?;
        }
    }
    let other = if item.is_about_one() { lang.t("这条记录", "its record").to_owned() } else { item.other_key.to_string() };
    let heads =
        [lang.t("字段", "field"), item.person_key.as_str(), other.as_str(), lang.t("比较", "comparison"), lang.t("比特", "bits")];
    let rows = sides.compare(reason.is_some()).into_iter().map(|one| {
        let bits = one.tenths.map_or_else(String::new, |tenths| {
            format!("{}{}.{}", if tenths < 0 { "-" } else { "+" }, tenths.abs() / 10, tenths.abs() % 10)
        });
        vec![
            field(lang, one.field).into(),
            one.person.join("; ").into(),
            one.other.join("; ").into(),
            one.level.into(),
            Cell::number(bits),
        ]
    });
    let page = Page::new(lang.t("身份审核", "Identity review")).with(summary(lang, item)).table(
        lang.t("逐项比较", "Side by side"),
        &heads,
        rows.collect(),
    );
    if item.state != "open" {
        return Ok(page);
    }
    let page = page.with(decision(lang, item));
    let caption = lang.t("查看明文", "See it in plain");
    Ok(match reason {
        Some(_) => {
            page.note("good", lang.t("以上为明文，本次查看已记入台账。", "In plain; that you saw it stands in the ledger."))
        }
        None if viewer.may(Right::Unmask) => {
            page.with(Form::post(caption, format!("/console/reviews/{}/unmask", item.id), vec![Input::reason(lang)], caption))
        }
        None => page,
    })
}

fn summary(lang: Lang, item: &Item) -> Part {
    let state = if item.decision.is_empty() { &item.state } else { &item.decision };
    let rows = [
        (lang.t("问题", "About"), Cell::from(about(lang, &item.reason))),
        (lang.t("合计比特", "Bits"), format!("{:.1}", item.bits).into()),
        (lang.t("状态", "State"), word(lang, state).into()),
        (
            lang.t("记录", "Record"),
            Cell::link(item.event_id.as_str(), format!("/console/records/{}", item.event_id)).look("code"),
        ),
    ];
    let rows = rows.into_iter().map(|(name, cell)| (name.to_owned(), cell)).collect();
    Part::Pairs { caption: lang.t("概要", "In short").to_owned(), rows }
}

fn decision(lang: Lang, item: &Item) -> Part {
    let button = |value, label: &str| Button { name: "answer", value, label: label.to_owned() };
    let buttons = match item.is_about_one() {
        true => vec![
            button("accept", lang.t("记录正确", "The record is right")),
            button("reject", lang.t("记录有误", "The record is wrong")),
        ],
        false => vec![button("accept", lang.t("同一人", "One person")), button("reject", lang.t("两个人", "Two persons"))],
    };
    let buttons = buttons.into_iter().chain([button("later", lang.t("以后再定", "Later"))]).collect();
    let (caption, action) = (lang.t("决定", "Decide").to_owned(), format!("/console/reviews/{}", item.id));
    Part::Form(Form { caption, action, method: "post", inputs: vec![Input::reason(lang)], buttons })
}

fn field(lang: Lang, name: &str) -> String {
    let zh = match name {
        "name" => "姓名",
        "id_number" => "证件号",
        "birth_date" => "出生日期",
        "sex" => "性别",
        "address" => "住址",
        "phone" => "电话",
        _ => name,
    };
    lang.t(zh, name).to_owned()
}

/// `POST /console/reviews/{id}`
pub(in super::super) async fn answer(State(console): State<Arc<Console>>, Path(id): Path<String>, act: Act) -> Response {
    match decide(&console, &act, &id).await {
        Ok(()) => Redirect::to("/console/reviews").into_response(),
        Err(fault) => view::fault(&act.viewer, &fault),
    }
}

async fn decide(console: &Console, act: &Act, id: &str) -> Result<(), Fault> {
    let answer = match act.fields.get("answer") {
        "accept" => Answer::Accept,
        "reject" => Answer::Reject,
        "later" => Answer::Later,
        _ => return Err(super::super::form::foreign()),
    };
    let reason = format!("{}: {}", act.viewer.name, act.fields.reason()?);
    sides(console, &act.viewer, id).await?;
    let _turn = console.writing.lock().await;
    console.desk()?.answer(id, answer, &reason).await.map(|_| ())
}

/// `GET /console/citizens?key=…`
pub(in super::super) async fn citizen(
    State(console): State<Arc<Console>>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&viewer, view_of(&console, &viewer, fields.get("key"), None).await)
}

/// `POST /console/citizens`
pub(in super::super) async fn unmask_citizen(State(console): State<Arc<Console>>, act: Act) -> Response {
    let page = match act.fields.reason() {
        Ok(reason) => view_of(&console, &act.viewer, act.fields.get("key"), Some(reason)).await,
        Err(fault) => Err(fault),
    };
    show(&act.viewer, page)
}

async fn view_of(console: &Console, viewer: &Viewer, key: &str, reason: Option<&str>) -> Result<Page, Fault> {
    viewer.need(Right::Unmask)?;
    let lang = viewer.lang;
    let label =
        lang.t("人员键（见记录与交付，不接受身份证号）", "Person key, as records and deliveries show it; no identity number");
    let find = lang.t("查看", "Look");
    let form = Form::get(lang.t("查找", "Find"), "/console/citizens", vec![Input::line("key", label, key)], find);
    let page = Page::new(lang.t("公民视图", "One citizen")).with(form);
    if key.is_empty() {
        return Ok(page);
    }
    if !in_scope(console, viewer, key).await.map_err(|error| error.fault())? {
        return Err(not_there());
    }
    if let Some(reason) = reason {
        console
            .saw(viewer, &Sight { what: "citizen", about: key, system: crate::desk::SYSTEM, dataset: "person" }, reason)
            .await?;
    }
    let citizen = console.desk()?.citizen(&key.into(), reason.is_some()).await?;
    let page = disclosures(lang, records(lang, page, &citizen), &citizen);
    let page = sights(console, lang, page, key).await.map_err(|error| error.fault())?;
    let caption = lang.t("查看明文", "See it in plain");
    let inputs = vec![Input::hidden("key", key), Input::reason(lang)];
    Ok(match reason {
        Some(_) => {
            page.note("good", lang.t("以上为明文，本次查看已记入台账。", "In plain; that you saw it stands in the ledger."))
        }
        None => page.with(Form::post(caption, "/console/citizens".to_owned(), inputs, caption)),
    })
}

/// Whether some record that names the person is of the viewer's division.
async fn in_scope(console: &Console, viewer: &Viewer, key: &str) -> Result<bool, store::Error> {
    if viewer.division.is_empty() {
        return Ok(true);
    }
    let sql = "SELECT event_id FROM person_event WHERE person_key = $1 ORDER BY event_id LIMIT 1000";
    let rows = console.hub.store.read(sql, &[key.into()]).await?;
    let events: Vec<String> = rows.iter().map(|row| row.text(0)).collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    Ok(divisions(&console.hub.store, &events).await?.values().any(|division| viewer.sees(division)))
}

fn records(lang: Lang, page: Page, citizen: &Citizen) -> Page {
    let golden = citizen.golden.iter().map(|(name, said)| {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        vec![field(lang, name).into(), text(&said["value"]).into(), text(&said["system"]).into()]
    });
    let heads = [lang.t("字段", "field"), lang.t("值", "value"), lang.t("来源", "by")];
    let page = page.table(lang.t("枢纽的最佳认识", "What we hold"), &heads, golden.collect());
    let rows = citizen.records.iter().map(|record| {
        let says =
            record.says.iter().map(|(name, value)| format!("{} {value}", field(lang, name))).collect::<Vec<_>>().join("; ");
        vec![record.system.as_str().into(), record.reference.as_str().into(), says.into(), moment(record.since).into()]
    });
    let heads = [lang.t("系统", "system"), lang.t("编号", "reference"), lang.t("内容", "says"), lang.t("自", "since")];
    page.table(lang.t("来自哪些系统", "From whom"), &heads, rows.collect())
}

fn disclosures(lang: Lang, page: Page, citizen: &Citizen) -> Page {
    let rows = citizen.deliveries.iter().rev().take(500).map(|delivery| {
        vec![
            moment(delivery.at).into(),
            delivery.receiver.as_str().into(),
            delivery.purpose.as_str().into(),
            delivery.dataset.as_str().into(),
            Cell::link(delivery.event_id.as_str(), format!("/console/records/{}", delivery.event_id)).look("code"),
            Cell::code(delivery.proof.as_str()),
        ]
    });
    let heads = lang.t("时间|接收方|用途|数据集|记录|凭证", "at|receiver|purpose|dataset|record|proof");
    let heads: Vec<&str> = heads.split('|').collect();
    page.table(lang.t("谁收到过（最近的在前）", "Who received it, the newest first"), &heads, rows.collect())
}

/// Who saw the data of this person, or of records that name it, in plain.
async fn sights(console: &Console, lang: Lang, page: Page, key: &str) -> Result<Page, store::Error> {
    let sql = "SELECT at, body, chain, seq FROM ledger WHERE kind = 'seen' AND event_id IN \
               (SELECT $1 UNION SELECT event_id FROM person_event WHERE person_key = $1) ORDER BY at DESC LIMIT 100";
    let rows = console.hub.store.read(sql, &[key.into()]).await?;
    let rows = rows
        .iter()
        .map(|row| super::registers::sight(lang, row.int(0), &row.text(1), &format!("{}#{}", row.text(2), row.int(3))));
    let heads = super::registers::sight_heads(lang);
    Ok(page.table(lang.t("谁看过明文", "Who saw it in plain"), &heads, rows.collect()))
}
