//! What failed, by its kind, and sending it on its way again.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Redirect, Response},
};
use sha2::{Digest, Sha256};

use super::super::{
    COUNT_CHANGED, Console, FORBIDDEN, FOUR_EYES,
    account::Right,
    desk::not_there,
    form::{Act, Fields},
    session::Viewer,
    view::{self, Button, Cell, Form, Input, Page, Part, moment, show},
    words::{Lang, word},
};
use crate::{
    clock,
    dead::{self, Filter, Group, replay},
    error::Fault,
    store,
    telemetry::log::blank_numbers,
};

/// Letters that one person may send on their way again.
const FOUR_EYES_ABOVE: i64 = 100;
const MOST_GROUPS: i64 = 200;
const MOST_LETTERS: i64 = 50;
/// What can be replayed.
const REPLAYABLE: &str = "('parked', 'rejected') AND stage IN ('route', 'deliver')";

/// The fields of a kind of failure, as they stand in addresses and forms.
const FIELDS: [&str; 7] = ["state", "system", "stage", "subscription", "dataset", "code", "division"];

/// A filter from a query or a form, within what the viewer may see.
fn filter(viewer: &Viewer, fields: &Fields) -> Result<Filter, Fault> {
    let division = fields.some("division").unwrap_or_else(|| viewer.division.clone());
    if !viewer.sees(&division) {
        return Err(not_there());
    }
    Ok(Filter {
        id: None,
        state: fields.some("state"),
        system: fields.some("system"),
        subscription: fields.some("subscription"),
        code: fields.some("code"),
        stage: fields.some("stage"),
        dataset: fields.some("dataset"),
        division: Some(division).filter(|digits| !digits.is_empty()),
        limit: MOST_LETTERS,
    })
}

fn address(group: &Group, division: Option<&str>) -> String {
    let values = [&group.state, &group.system, &group.stage, &group.subscription, &group.dataset, &group.code];
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(FIELDS.into_iter().zip(values.into_iter().map(String::as_str).chain(division)));
    format!("/console/failures/group?{}", query.finish())
}

/// The short name of a kind of failure: the same in every hub.
fn fingerprint(group: &Group) -> String {
    let mut hash = Sha256::new();
    for part in [&group.system, &group.stage, &group.subscription, &group.dataset, &group.code] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..4])
}

/// `GET /console/failures`
pub(in super::super) async fn groups(State(console): State<Arc<Console>>, viewer: Viewer, RawQuery(query): RawQuery) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&viewer, kinds(&console, &viewer, &fields).await)
}

async fn kinds(console: &Console, viewer: &Viewer, fields: &Fields) -> Result<Page, Fault> {
    let (lang, filter) = (viewer.lang, filter(viewer, fields)?);
    let division = filter.division.as_deref();
    let groups =
        dead::groups(&console.hub.store, division.unwrap_or_default(), MOST_GROUPS).await.map_err(|error| error.fault())?;
    let row = |group: &Group| {
        vec![
            Cell::link(fingerprint(group), address(group, division)).look("code"),
            word(lang, &group.state).into(),
            Cell::number(group.letters),
            group.code.as_str().into(),
            group.system.as_str().into(),
            word(lang, &group.stage).into(),
            group.subscription.as_str().into(),
            group.dataset.as_str().into(),
            moment(group.first).into(),
            moment(group.last).into(),
        ]
    };
    let heads = lang.t(
        "指纹|状态|数量|代码|系统|环节|接收方|数据集|最早|最近",
        "fingerprint|state|letters|code|system|stage|receiver|dataset|first|last",
    );
    let heads: Vec<&str> = heads.split('|').collect();
    let mut page = Page::new(lang.t("失败", "Failures"));
    if let Some(digits) = division {
        page = page.note("", view::place(digits));
    }
    page = page.table(lang.t("按种类", "By kind"), &heads, groups.iter().map(row).collect());
    let running = groups.iter().any(|group| group.state == "replaying");
    if running && viewer.may(Right::Replay) && viewer.division.is_empty() {
        let (caption, button) = (lang.t("正在重放", "A replay is on its way"), lang.t("停止重放", "Stop it"));
        page = page.with(Form::post(caption, "/console/failures/stop".to_owned(), Vec::new(), button));
    }
    requests(console, viewer, page).await
}

/// `GET /console/failures/group?…`
pub(in super::super) async fn group(State(console): State<Arc<Console>>, viewer: Viewer, RawQuery(query): RawQuery) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&viewer, letters(&console, &viewer, &fields).await)
}

async fn letters(console: &Console, viewer: &Viewer, fields: &Fields) -> Result<Page, Fault> {
    let (lang, filter, store) = (viewer.lang, filter(viewer, fields)?, &console.hub.store);
    let letters = dead::list(store, &filter).await.map_err(|error| error.fault())?;
    let fits = dead::count(store, &filter, REPLAYABLE).await.map_err(|error| error.fault())?;
    let row = |letter: &dead::Summary| {
        let faults: Vec<Fault> = serde_json::from_value(letter.faults.clone()).unwrap_or_default();
        let faults = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        vec![
            Cell::link(letter.id.as_str(), format!("/console/records/{}", letter.event_id)).look("code"),
            word(lang, &letter.state).into(),
            letter.date.as_str().into(),
            faults.into(),
        ]
    };
    let heads = [lang.t("死信", "letter"), lang.t("状态", "state"), lang.t("日期", "day"), lang.t("原因", "faults")];
    let caption = lang.t("死信（最早的在前，至多 50 封）", "Letters, the oldest first, at most 50");
    let page = Page::new(lang.t("同类失败", "Failures of one kind")).table(caption, &heads, letters.iter().map(row).collect());
    if fits == 0 || !viewer.may(Right::Replay) {
        return Ok(page);
    }
    let mut inputs: Vec<Input> = FIELDS.into_iter().map(|name| Input::hidden(name, fields.get(name))).collect();
    inputs.push(Input::hidden("count", fits.to_string()));
    inputs.push(Input::reason(lang));
    let caption = match lang {
        Lang::Zh => format!("重放这 {fits} 封"),
        Lang::En => format!("Replay these {fits}"),
    };
    let page = if fits > FOUR_EYES_ABOVE {
        page.note("", lang.t("超过 100 封：提交后须由另一人批准。", "More than 100: a second person must approve."))
    } else {
        page
    };
    Ok(page.with(Form::post(&caption, "/console/failures/replay".to_owned(), inputs, &caption)))
}

/// `POST /console/failures/replay`
pub(in super::super) async fn replay(State(console): State<Arc<Console>>, act: Act) -> Response {
    answer(&act.viewer, ask(&console, &act).await)
}

fn answer(viewer: &Viewer, done: Result<(), Fault>) -> Response {
    match done {
        Ok(()) => Redirect::to("/console/failures").into_response(),
        Err(fault) => view::fault(viewer, &fault),
    }
}

async fn ask(console: &Console, act: &Act) -> Result<(), Fault> {
    act.viewer.need(Right::Replay)?;
    let reason = blank_numbers(act.fields.reason()?);
    let filter = filter(&act.viewer, &act.fields)?;
    let fits = counted(console, &filter, act.fields.get("count").parse().unwrap_or_default()).await?;
    if fits > FOUR_EYES_ABOVE {
        return file(console, &act.viewer, &filter, fits, &reason).await;
    }
    send(console, &filter, &format!("{}: {reason}", act.viewer.name)).await
}

/// The number of letters, if it is the one that was shown.
async fn counted(console: &Console, filter: &Filter, shown: i64) -> Result<i64, Fault> {
    let fits = dead::count(&console.hub.store, filter, REPLAYABLE).await.map_err(|error| error.fault())?;
    if fits == shown && fits > 0 {
        return Ok(fits);
    }
    Err(Fault::new(COUNT_CHANGED, format!("{fits} letters fit now, nothing was done")).hint("look at them again"))
}

async fn send(console: &Console, filter: &Filter, reason: &str) -> Result<(), Fault> {
    let key = Arc::clone(&console.hub.keys.ledger);
    let _turn = console.writing.lock().await;
    replay::request(&console.hub.store, key, filter, reason).await.map_err(|error| error.fault())?;
    Ok(())
}

/// `POST /console/failures/stop`
pub(in super::super) async fn stop(State(console): State<Arc<Console>>, act: Act) -> Response {
    let done = async {
        act.viewer.need(Right::Replay)?;
        // It stops the replays of all divisions.
        if !act.viewer.division.is_empty() {
            return Err(Fault::new(FORBIDDEN, "replays are stopped by an operator of the province"));
        }
        replay::stop(&console.hub.store).await.map(|_| ()).map_err(|error| error.fault())
    };
    answer(&act.viewer, done.await)
}

/// A request that waits for a second person.
async fn file(console: &Console, viewer: &Viewer, filter: &Filter, letters: i64, reason: &str) -> Result<(), Fault> {
    let text = serde_json::to_string(filter).unwrap_or_default();
    let now = clock::millis();
    let id = hex::encode(&Sha256::digest(format!("{}/{now}/{text}", viewer.name).as_bytes())[..8]);
    let sql = "INSERT INTO console_request (id, filter, letters, reason, asked_by, asked_at, state, decided_by, decided_at) \
               VALUES ($1, $2, $3, $4, $5, $6, 'open', '', 0)";
    let args = [id.into(), text.into(), letters.into(), reason.into(), viewer.name.as_str().into(), now.into()];
    console.hub.store.write(sql, &args).await.map_err(|error| error.fault())?;
    Ok(())
}

/// Adds the requests that wait, each with its buttons.
async fn requests(console: &Console, viewer: &Viewer, mut page: Page) -> Result<Page, Fault> {
    let lang = viewer.lang;
    let sql = "SELECT id, filter, letters, reason, asked_by, asked_at FROM console_request WHERE state = 'open' ORDER BY asked_at LIMIT 20";
    for row in console.hub.store.read(sql, &[]).await.map_err(|error| error.fault())? {
        let Some(asked) = scoped(viewer, &row.text(1)) else { continue };
        let what =
            [asked.code, asked.system, asked.subscription, asked.division].into_iter().flatten().collect::<Vec<_>>().join(" · ");
        let caption = match lang {
            Lang::Zh => format!("待批准：重放 {} 封（{what}）", row.int(2)),
            Lang::En => format!("Waits for approval: replay {} letters ({what})", row.int(2)),
        };
        let text = format!("{} · {} · {}", row.text(4), moment(row.int(5)), row.text(3));
        page = page.note("", text);
        if viewer.may(Right::Replay) {
            let button = |value, label: &str| Button { name: "answer", value, label: label.to_owned() };
            let buttons = vec![button("approve", lang.t("批准", "Approve")), button("refuse", lang.t("驳回", "Refuse"))];
            let (action, inputs) = ("/console/failures/decide".to_owned(), vec![Input::hidden("id", row.text(0))]);
            page = page.with(Part::Form(Form { caption, action, method: "post", inputs, buttons }));
        }
    }
    Ok(page)
}

/// The filter of a request, if it is within what the viewer may see.
fn scoped(viewer: &Viewer, text: &str) -> Option<Filter> {
    let filter: Filter = serde_json::from_str(text).ok()?;
    viewer.sees(filter.division.as_deref().unwrap_or_default()).then_some(filter)
}

/// `POST /console/failures/decide`
pub(in super::super) async fn decide(State(console): State<Arc<Console>>, act: Act) -> Response {
    answer(&act.viewer, settle(&console, &act).await)
}

async fn settle(console: &Console, act: &Act) -> Result<(), Fault> {
    act.viewer.need(Right::Replay)?;
    let failed = |error: store::Error| error.fault();
    let (store, id, me) = (&console.hub.store, act.fields.get("id"), act.viewer.name.as_str());
    let sql = "SELECT filter, letters, reason, asked_by FROM console_request WHERE id = $1 AND state = 'open'";
    let rows = store.read(sql, &[id.into()]).await.map_err(failed)?;
    let row = rows.first().ok_or_else(not_there)?;
    let filter = scoped(&act.viewer, &row.text(0)).ok_or_else(not_there)?;
    let approve = act.fields.get("answer") == "approve";
    if approve && row.text(3) == me {
        return Err(Fault::new(FOUR_EYES, "the one who asked cannot approve").hint("ask another operator"));
    }
    if approve {
        counted(console, &filter, row.int(1)).await?;
    }
    // Of two who decide at once one is too late.
    let sql = "UPDATE console_request SET state = $2, decided_by = $3, decided_at = $4 WHERE id = $1 AND state = 'open'";
    let state = if approve { "approved" } else { "refused" };
    let args = [id.into(), state.into(), me.into(), clock::millis().into()];
    if store.write(sql, &args).await.map_err(failed)? == 0 {
        return Err(not_there());
    }
    match approve {
        true => send(console, &filter, &format!("{}: {}; approved by {me}", row.text(3), row.text(2))).await,
        false => Ok(()),
    }
}
