//! What the hub is set up with: adapters, partners, the catalogue, and what the doctor thinks of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};

use super::{
    super::{
        Console,
        account::Right,
        desk::not_there,
        form::Act,
        session::Viewer,
        view::{self, Cell, Form, Page, moment, show},
        words::word,
    },
    markdown,
};
use crate::{
    adapter::spec::AdapterSpec,
    clock,
    doctor::{self, Finding, Status},
    error::Fault,
    govern::partner::Transport,
    kit::{coverage, docs},
};

/// What is read from the folders once: coverage in percent, fields that are not mapped, pages of the catalogue.
#[derive(Clone)]
pub(in super::super) struct Texts {
    coverage: Arc<BTreeMap<String, (usize, usize)>>,
    pages: Arc<BTreeMap<String, String>>,
}

/// What the doctor found, and when.
#[derive(Clone)]
pub(in super::super) struct Examined {
    at: i64,
    findings: Vec<Finding>,
}

/// Programs and samples of all adapters are read: not on a thread that serves others, and once.
async fn texts(console: &Arc<Console>) -> Texts {
    if let Some(texts) = console.texts.get() {
        return texts.clone();
    }
    let hub = Arc::clone(&console.hub);
    let made = tokio::task::spawn_blocking(move || {
        let specs: Vec<AdapterSpec> = hub.adapters.iter().map(|spec| AdapterSpec::clone(spec)).collect();
        let coverage = specs.iter().map(coverage::of);
        let coverage = coverage.map(|one| (one.system.clone(), (one.percent(), one.fields.len() - one.covered()))).collect();
        let pages = docs::pages(&specs, &hub.registry, &hub.agreements).into_iter().collect();
        Texts { coverage: Arc::new(coverage), pages: Arc::new(pages) }
    });
    let made = made.await.unwrap_or_else(|_| Texts { coverage: Arc::default(), pages: Arc::default() });
    console.texts.get_or_init(|| made).clone()
}

/// `GET /console/adapters`
pub(in super::super) async fn adapters(State(console): State<Arc<Console>>, viewer: Viewer) -> Response {
    let (lang, texts) = (viewer.lang, texts(&console).await);
    let row = |spec: &Arc<AdapterSpec>| {
        let (percent, open) = texts.coverage.get(spec.slug.as_str()).copied().unwrap_or_default();
        let objects = spec.objects.iter().map(|object| object.name.as_str()).collect::<Vec<_>>().join(", ");
        vec![
            Cell::link(spec.slug.as_str(), format!("/console/adapters/{}", spec.slug)),
            spec.name.as_str().into(),
            spec.owner.as_str().into(),
            spec.kind.as_str().into(),
            view::span(lang, i64::try_from(spec.every.as_secs()).unwrap_or(i64::MAX)).into(),
            objects.into(),
            Cell::number(format!("{percent} %")),
            Cell::number(open),
        ]
    };
    let heads =
        lang.t("系统|名称|负责人|接入|周期|对象|覆盖率|未映射", "system|name|owner|source|every|objects|coverage|not mapped");
    let rows = console.hub.adapters.iter().map(row).collect();
    let page = Page::new(lang.t("适配器", "Adapters"));
    show(&viewer, Ok(page.table(lang.t("业务系统", "Systems"), &heads.split('|').collect::<Vec<_>>(), rows)))
}

/// `GET /console/adapters/{slug}`: the lineage of every field.
pub(in super::super) async fn adapter(State(console): State<Arc<Console>>, viewer: Viewer, Path(slug): Path<String>) -> Response {
    let found = texts(&console).await.pages.get(&format!("{slug}.md")).cloned().filter(|_| slug != "README");
    show(&viewer, found.map(|text| markdown::page(&text)).ok_or_else(not_there))
}

/// `GET /console/catalogue`
pub(in super::super) async fn catalogue(State(console): State<Arc<Console>>, viewer: Viewer) -> Response {
    let found = texts(&console).await.pages.get("README.md").cloned();
    let page = found.map(|text| Page { title: viewer.lang.t("数据目录", "Catalogue").to_owned(), ..markdown::page(&text) });
    show(&viewer, page.ok_or_else(not_there))
}

/// `GET /console/partners`
pub(in super::super) async fn partners(State(console): State<Arc<Console>>, viewer: Viewer) -> Response {
    show(&viewer, agreements(&console, &viewer).await)
}

async fn agreements(console: &Console, viewer: &Viewer) -> Result<Page, Fault> {
    let (lang, today) = (viewer.lang, clock::today());
    let sql = "SELECT partner, COUNT(*) FROM partner_key WHERE valid_to = 0 OR valid_to > $1 GROUP BY partner";
    let keys = console.hub.store.read(sql, &[clock::millis().into()]).await.map_err(|error| error.fault())?;
    let keys: BTreeMap<String, i64> = keys.iter().map(|row| (row.text(0), row.int(1))).collect();
    let (mut rows, mut papers) = (Vec::new(), Vec::new());
    for partner in console.hub.agreements.partners() {
        let transport = match &partner.transport {
            Transport::Lake => lang.t("数据湖", "lake"),
            Transport::Webhook(_) => lang.t("推送", "webhook"),
            Transport::Mailbox(_) => lang.t("信箱", "mailbox"),
        };
        let rate = partner.rate_per_second.map_or_else(|| lang.t("不限", "no limit").to_owned(), |rate| rate.to_string());
        rows.push(vec![
            partner.slug.as_str().into(),
            partner.name.as_str().into(),
            transport.into(),
            Cell::number(rate),
            Cell::number(partner.requests_per_second),
            Cell::number(keys.get(&partner.slug).copied().unwrap_or_default()),
            Cell::number(partner.agreements.len()),
        ]);
        for one in &partner.agreements {
            let left = one.days_left(today);
            papers.push(vec![
                partner.slug.as_str().into(),
                one.id.as_str().into(),
                one.dataset.as_str().into(),
                one.purpose.as_str().into(),
                Cell::number(one.fields.len()),
                clock::iso_date(one.valid_to).into(),
                Cell::number(left).look(if left < 30 { "number bad" } else { "number" }),
            ]);
        }
    }
    let heads =
        lang.t("机构|名称|方式|每秒交付|每秒请求|密钥|协议", "partner|name|transport|deliveries/s|requests/s|keys|agreements");
    let page =
        Page::new(lang.t("机构", "Partners")).table(lang.t("机构", "Partners"), &heads.split('|').collect::<Vec<_>>(), rows);
    let heads = lang.t("机构|协议|数据集|用途|字段|到期|剩余天数", "partner|agreement|dataset|purpose|fields|until|days left");
    Ok(page.table(lang.t("协议", "Agreements"), &heads.split('|').collect::<Vec<_>>(), papers))
}

/// `GET /console/doctor`
pub(in super::super) async fn doctor(State(console): State<Arc<Console>>, viewer: Viewer) -> Response {
    let page = viewer.need(Right::Inspect).map(|()| findings(&console, &viewer));
    show(&viewer, page)
}

fn findings(console: &Console, viewer: &Viewer) -> Page {
    let lang = viewer.lang;
    let last = console.findings.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let button = lang.t("现在检查", "Look now");
    let mut page = Page::new(lang.t("诊断", "Doctor"));
    page = page.with(Form::post(lang.t("检查", "Examination"), "/console/doctor".to_owned(), Vec::new(), button));
    let Some(Examined { at, mut findings }) = last else {
        return page.note("", lang.t("还没有检查过。", "Nothing has been looked at yet."));
    };
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.status));
    let text = |value: serde_json::Result<serde_json::Value>| {
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let row = |finding: &Finding| {
        let look = match finding.status {
            Status::Ok => "good",
            Status::Warn => "",
            Status::Fail => "bad",
        };
        vec![
            Cell::from(word(lang, &text(serde_json::to_value(finding.status)))).look(look),
            finding.code.to_string().into(),
            text(serde_json::to_value(finding.category)).into(),
            finding.message.as_str().into(),
            finding.hint.as_str().into(),
        ]
    };
    let heads = lang.t("状态|代码|类别|发现|怎么办", "status|code|category|message|what to do");
    page.table(&moment(at), &heads.split('|').collect::<Vec<_>>(), findings.iter().map(row).collect())
}

/// `POST /console/doctor`
pub(in super::super) async fn examine(State(console): State<Arc<Console>>, act: Act) -> Response {
    if let Err(fault) = act.viewer.need(Right::Inspect) {
        return view::fault(&act.viewer, &fault);
    }
    let findings = doctor::examine(console.hub.file.as_deref(), Some(console.hub.config.hub.data.as_path()), false).await;
    *console.findings.lock().unwrap_or_else(PoisonError::into_inner) = Some(Examined { at: clock::millis(), findings });
    Redirect::to("/console/doctor").into_response()
}
