//! Books, alerts and the ledger.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde_json::Value;

use super::super::{
    Console,
    account::Right,
    desk::CHAIN,
    form::Fields,
    session::Viewer,
    view::{Cell, Form, Input, Page, moment, place, show},
    words::{Lang, word},
};
use crate::{
    error::Fault,
    facts::alert::{self, Alert, Filter},
    ledger::{self, books},
    store,
};

const MOST: i64 = 100;

/// `GET /console/books?date=…`
pub(in super::super) async fn books(State(console): State<Arc<Console>>, viewer: Viewer, RawQuery(query): RawQuery) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&viewer, day(&console, viewer.lang, fields.get("date")).await.map_err(|error| error.fault()))
}

async fn day(console: &Console, lang: Lang, asked: &str) -> Result<Page, store::Error> {
    let store = &console.hub.store;
    let days = store.read("SELECT DISTINCT bookdate FROM handed_over ORDER BY bookdate DESC LIMIT 62", &[]).await?;
    let days: Vec<String> = days.iter().map(|row| row.text(0)).collect();
    let date = if asked.is_empty() { days.first().cloned().unwrap_or_default() } else { asked.to_owned() };
    let lines = books::books(store, Some(&date), books::waiting(store).await?).await?;
    let options = days.into_iter().map(|day| (day.clone(), day.clone(), day == date)).collect();
    let input = Input::Choice { name: "date", label: lang.t("账期", "Day").to_owned(), options };
    let mut page = Page::new(lang.t("对账", "Reconciliation")).with(Form::get(
        lang.t("选择账期", "Choose a day"),
        "/console/books",
        vec![input],
        lang.t("查看", "Show"),
    ));
    let gaps = lines.iter().filter(|line| line.gap != 0).count();
    page = match gaps {
        0 => page.note("good", lang.t("账目平衡", "The books balance")),
        _ => page.note("bad", lang.t("账目不平，见差额一栏", "The books do not balance: see the column of gaps")),
    };
    let heads = lang.t(
        "系统|收到|已交付|拒收|搁置|过时|重复|在途|差额",
        "system|received|delivered|rejected|parked|superseded|duplicate|in flight|gap",
    );
    let rows = lines.iter().map(|line| {
        let numbers =
            [line.received, line.delivered, line.rejected, line.parked, line.superseded, line.duplicate, line.in_flight];
        let cells = numbers.into_iter().map(Cell::number).chain([Cell::fault(line.gap)]);
        std::iter::once(Cell::link(line.system.as_str(), format!("/console/adapters/{}", line.system))).chain(cells).collect()
    });
    Ok(page.table(&date, &heads.split('|').collect::<Vec<_>>(), rows.collect()))
}

/// `GET /console/alerts?rule=…&division=…`
pub(in super::super) async fn alerts(State(console): State<Arc<Console>>, viewer: Viewer, RawQuery(query): RawQuery) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&viewer, open_alerts(&console, &viewer, &fields).await)
}

async fn open_alerts(console: &Console, viewer: &Viewer, fields: &Fields) -> Result<Page, Fault> {
    let (lang, store) = (viewer.lang, &console.hub.store);
    let division = fields.some("division").unwrap_or_else(|| viewer.division.clone());
    if !viewer.sees(&division) {
        return Err(super::super::desk::not_there());
    }
    let filter =
        Filter { rule: fields.some("rule"), state: Some("open".to_owned()), division: Some(division.clone()), limit: MOST };
    let alerts = alert::list(store, &filter).await.map_err(|error| error.fault())?;
    let mut page = Page::new(lang.t("监管预警", "Alerts"));
    if !division.is_empty() {
        page = page.note("", place(&division));
    } else {
        let counts = alert::counts(store).await.map_err(|error| error.fault())?;
        let rows = counts.into_iter().map(|(rule, state, count, fen)| {
            let link = format!("/console/alerts?rule={rule}");
            vec![Cell::link(rule, link), word(lang, &state).into(), Cell::number(count), Cell::number(yuan(fen))]
        });
        let heads =
            [lang.t("规则", "rule"), lang.t("状态", "state"), lang.t("数量", "alerts"), lang.t("金额（元）", "amount, yuan")];
        page = page.table(lang.t("按规则", "By rule"), &heads, rows.collect());
    }
    let row = |alert: &Alert| {
        vec![
            moment(alert.at).into(),
            alert.rule.as_str().into(),
            word(lang, &alert.severity).into(),
            place(&alert.division).into(),
            alert.system.as_str().into(),
            Cell::link(alert.event_id.as_str(), format!("/console/records/{}?object={}", alert.event_id, alert.object_id))
                .look("code"),
            Cell::number(yuan(alert.amount)),
        ]
    };
    let heads = lang.t("时间|规则|级别|辖区|系统|记录|金额（元）", "at|rule|severity|division|system|record|amount, yuan");
    let caption = lang.t("未处理（最近的在前，至多 100 条）", "Open, the newest first, at most 100");
    Ok(page.table(caption, &heads.split('|').collect::<Vec<_>>(), alerts.iter().map(row).collect()))
}

fn yuan(fen: i64) -> String {
    format!("{}{}.{:02}", if fen < 0 { "-" } else { "" }, (fen / 100).abs(), (fen % 100).abs())
}

/// `GET /console/ledger`
pub(in super::super) async fn ledger(State(console): State<Arc<Console>>, viewer: Viewer) -> Response {
    show(&viewer, chains(&console, &viewer).await)
}

async fn chains(console: &Console, viewer: &Viewer) -> Result<Page, Fault> {
    viewer.need(Right::Audit)?;
    let (lang, store) = (viewer.lang, &console.hub.store);
    let failed = |error: store::Error| error.fault();
    let seen = ledger::newest(store, CHAIN, MOST).await.map_err(failed)?;
    let decided = ledger::newest(store, "operator", MOST).await.map_err(failed)?;
    let heads = store.read("SELECT chain, seq, hash FROM ledger_head ORDER BY chain", &[]).await.map_err(failed)?;
    let row = |row: &ledger::Written| sight(lang, row.at, &row.body, &row.proof);
    let mut page = Page::new(lang.t("台账", "Ledger"));
    let caption = lang.t("谁看过明文（最近 100 条）", "Who saw what in plain, the last 100");
    page = page.table(caption, &sight_heads(lang), seen.iter().map(row).collect());
    let caption = lang.t("人工决定（最近 100 条）", "Decisions of people, the last 100");
    let rows = decided.iter().map(|row| {
        let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
        let what = body["decision"].as_str().unwrap_or(&row.kind);
        let reason = body["reason"].as_str().unwrap_or_default();
        vec![
            moment(row.at).into(),
            word(lang, what).into(),
            row.system.as_str().into(),
            reason.into(),
            Cell::code(row.proof.as_str()),
        ]
    });
    let names = [
        lang.t("时间", "at"),
        lang.t("决定", "what"),
        lang.t("系统", "system"),
        lang.t("理由", "reason"),
        lang.t("凭证", "proof"),
    ];
    page = page.table(caption, &names, rows.collect());
    let rows = heads.iter().map(|row| vec![row.text(0).into(), Cell::number(row.int(1)), Cell::code(row.text(2))]);
    let names = [lang.t("链", "chain"), lang.t("行数", "rows"), lang.t("末端散列", "hash of its end")];
    page = page.table(lang.t("链的末端", "Ends of the chains"), &names, rows.collect());
    Ok(page.note("", lang.t("逐行核验：civilhub ledger verify", "To verify every row: civilhub ledger verify")))
}

pub(super) fn sight_heads(lang: Lang) -> Vec<&'static str> {
    lang.t("时间|操作人|角色|内容|理由|凭证", "at|by|role|what|reason|proof").split('|').collect()
}

/// A row about somebody who saw personal values.
pub(super) fn sight(lang: Lang, at: i64, body: &str, proof: &str) -> Vec<Cell> {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    vec![
        moment(at).into(),
        text("by").into(),
        word(lang, &text("role")).into(),
        text("what").into(),
        text("reason").into(),
        Cell::code(proof),
    ]
}
