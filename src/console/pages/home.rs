//! The overview: what flows, what waits, what is set aside; and the counties as tiles.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{RawQuery, State},
    response::Response,
};

use super::super::{
    Console,
    form::Fields,
    session::Viewer,
    view::{Cell, Form, Input, Page, Part, Tile, show, span},
    words::Lang,
};
use crate::{
    clock, dead,
    domain::division,
    error::Fault,
    facts::alert,
    hub::flow::{QueueLine, Screen, SystemLine},
    store,
};

/// Seconds between two looks of a page that renews itself.
const AGAIN: u32 = 10;
/// A message older than this is worth a look.
const OLD_SECONDS: i64 = 300;
/// A share of set aside records that is worth a look, in thousandths.
const MUCH: i64 = 200;

/// `GET /console`
pub(in super::super) async fn overview(
    State(console): State<Arc<Console>>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Response {
    let again = Fields::parse(query.unwrap_or_default().as_bytes()).some("again").is_some();
    show(&viewer, compose(&console, viewer.lang, again).await)
}

async fn compose(console: &Console, lang: Lang, again: bool) -> Result<Page, Fault> {
    let failed = |error: store::Error| error.fault();
    let (screen, read) = (console.screen().await.map_err(failed)?, last_read(console).await.map_err(failed)?);
    let mut page = Page::new(lang.t("概览", "Overview")).with(sums(lang, &screen));
    page.again = again.then_some(AGAIN);
    if screen.seen_seconds.is_none_or(|seconds| seconds > 30) {
        page = page.note(
            "bad",
            lang.t("没有进程在更新队列计数：枢纽可能已停止", "No process counts the queues: the hub may have stopped"),
        );
    }
    let heads =
        lang.t("系统|名称|每秒|收到|搁置与拒收|差错率|距上次读取", "system|name|per second|received|set aside|share|last read");
    page =
        page.table(lang.t("业务系统", "Systems"), &heads.split('|').collect::<Vec<_>>(), systems(console, lang, &screen, &read));
    let heads = lang.t("机构|名称|排队|最久|每秒送出", "partner|name|waiting|oldest|per second");
    page = page.table(lang.t("机构", "Partners"), &heads.split('|').collect::<Vec<_>>(), partners(console, lang, &screen));
    let heads = lang.t("队列|消息|最久|每秒送出", "queue|messages|oldest|per second");
    let rows = screen
        .queues
        .iter()
        .filter(|line| line.queue.starts_with("records."))
        .map(|line| vec![line.queue.as_str().into(), Cell::number(line.messages), age(lang, line), Cell::number(line.rate)]);
    page = page.table(lang.t("分区", "Partitions"), &heads.split('|').collect::<Vec<_>>(), rows.collect());
    let button = lang.t("每 10 秒自动刷新", "Renew every 10 seconds");
    let (caption, input) = (lang.t("自动刷新", "Renewal"), Input::hidden("again", "10"));
    Ok(if again { page } else { page.with(Form::get(caption, "/console", vec![input], button)) })
}

fn sums(lang: Lang, screen: &Screen) -> Part {
    let received: i64 = screen.systems.iter().map(|line| line.received).sum();
    let dead: i64 = screen.systems.iter().map(|line| line.dead).sum();
    let rate: f64 = screen.systems.iter().map(|line| line.rate).sum();
    let waiting: i64 = screen.queues.iter().map(|line| line.messages).sum();
    let oldest = screen.queues.iter().map(|line| line.oldest_seconds).max().unwrap_or_default();
    let rows = [
        (lang.t("累计收到", "Received"), Cell::from(received.to_string())),
        (lang.t("每秒", "Per second"), format!("{rate:.1}").into()),
        (lang.t("排队", "Waiting"), waiting.to_string().into()),
        (lang.t("最久等待", "Oldest"), Cell::from(span(lang, oldest)).look(if oldest > OLD_SECONDS { "bad" } else { "" })),
        (lang.t("搁置与拒收", "Set aside"), Cell::link(dead.to_string(), "/console/failures")),
        (lang.t("统计时间", "Counted at"), screen.at.get(..19).unwrap_or_default().replace('T', " ").into()),
    ];
    let rows = rows.into_iter().map(|(name, cell)| (name.to_owned(), cell)).collect();
    Part::Pairs { caption: lang.t("全省", "The province").to_owned(), rows }
}

/// When each system's position last moved.
async fn last_read(console: &Console) -> Result<BTreeMap<String, i64>, store::Error> {
    let sql = "SELECT system, CAST(MAX(updated_at) AS BIGINT) FROM position GROUP BY system";
    Ok(console.hub.store.read(sql, &[]).await?.iter().map(|row| (row.text(0), row.int(1))).collect())
}

fn systems(console: &Console, lang: Lang, screen: &Screen, read: &BTreeMap<String, i64>) -> Vec<Vec<Cell>> {
    let (now, none) = (clock::millis(), SystemLine::default());
    let row = |spec: &Arc<crate::adapter::spec::AdapterSpec>| {
        let slug = spec.slug.as_str();
        let line = screen.systems.iter().find(|line| line.system == slug).unwrap_or(&none);
        let thousandths = line.dead * 1000 / line.received.max(1);
        let share = format!("{}.{} %", thousandths / 10, thousandths % 10);
        let last = read.get(slug).map_or_else(|| "–".to_owned(), |at| span(lang, (now - at).max(0) / 1000));
        vec![
            Cell::link(slug, format!("/console/adapters/{slug}")),
            spec.name.as_str().into(),
            Cell::number(line.rate),
            Cell::number(line.received),
            Cell::number(line.dead),
            Cell::from(share).look(if thousandths > MUCH { "number bad" } else { "number" }),
            Cell::from(last).look("number"),
        ]
    };
    console.hub.adapters.iter().map(row).collect()
}

fn partners(console: &Console, lang: Lang, screen: &Screen) -> Vec<Vec<Cell>> {
    let row = |partner: &crate::govern::partner::Partner| {
        let queue = format!("deliver.{}", partner.slug);
        let line = screen.queues.iter().find(|line| line.queue == queue);
        let number = |number: Option<String>| Cell::number(number.unwrap_or_else(|| "–".to_owned()));
        vec![
            partner.slug.as_str().into(),
            partner.name.as_str().into(),
            number(line.map(|line| line.messages.to_string())),
            line.map_or_else(|| Cell::number("–"), |line| age(lang, line)),
            number(line.map(|line| line.rate.to_string())),
        ]
    };
    console.hub.agreements.partners().iter().map(row).collect()
}

fn age(lang: Lang, line: &QueueLine) -> Cell {
    let look = if line.oldest_seconds > OLD_SECONDS { "number bad" } else { "number" };
    Cell::from(span(lang, line.oldest_seconds)).look(look)
}

/// `GET /console/map`
pub(in super::super) async fn map(State(console): State<Arc<Console>>, viewer: Viewer) -> Response {
    show(&viewer, counties(&console, &viewer).await)
}

/// Where the tiles of a prefecture begin, in tiles, and how many stand in a row: north is up, west is left.
const BLOCKS: [(u64, i32, i32, i32); 9] = [
    (2208, 0, 0, 3),
    (2207, 3, 1, 2),
    (2201, 5, 0, 3),
    (2202, 8, 0, 3),
    (2224, 8, 3, 3),
    (2203, 1, 4, 2),
    (2204, 3, 4, 2),
    (2205, 5, 4, 2),
    (2206, 7, 6, 3),
];
const STEP: (i32, i32) = (100, 60);

async fn counties(console: &Console, viewer: &Viewer) -> Result<Page, Fault> {
    let (lang, store) = (viewer.lang, &console.hub.store);
    let alerts = alert::by_county(store).await.map_err(|error| error.fault())?;
    let letters = dead::by_county(store).await.map_err(|error| error.fault())?;
    let (mut tiles, mut rows) = (Vec::new(), Vec::new());
    let all = division::all().into_iter().filter(|one| one.level == 3 && one.until.is_none());
    let counties: Vec<_> = all.filter(|one| !matches!(one.kind, "functional-zone" | "former")).collect();
    for (prefecture, left, top, across) in BLOCKS {
        for (place, county) in counties.iter().filter(|one| one.code / 100_000_000 == prefecture).enumerate() {
            let digits = (county.code / 1_000_000).to_string();
            if !viewer.sees(&digits) && !viewer.division.starts_with(&digits) {
                continue;
            }
            let [open, set_aside] = [&alerts, &letters].map(|counts| counts.get(&digits).copied().unwrap_or_default());
            let place = i32::try_from(place).unwrap_or_default();
            let (x, y) = ((left + place % across) * STEP.0, (top + place / across) * STEP.1);
            let number = open + set_aside;
            tiles.push(Tile { x, y, name: short(county.name), number, level: level(number) });
            rows.push(vec![
                county.name.into(),
                Cell { href: format!("/console/alerts?division={digits}"), ..Cell::number(open) },
                Cell { href: format!("/console/failures?division={digits}"), ..Cell::number(set_aside) },
            ]);
        }
    }
    let caption = lang.t("各县区待处理事项（预警与失败）", "Open alerts and failures by county");
    let note = lang.t("方格示意图，不表示行政区域界线。", "Tiles, not a map: no boundary is shown.");
    let heads = [lang.t("县区", "county"), lang.t("预警", "alerts"), lang.t("失败", "failures")];
    let (width, height) = (11 * STEP.0, 9 * STEP.1);
    Ok(Page::new(lang.t("县区图", "Map"))
        .note("", note)
        .with(Part::Map { caption: caption.to_owned(), width, height, tiles })
        .table(lang.t("数字", "Numbers"), &heads, rows))
}

/// What fits on a tile.
fn short(name: &str) -> String {
    name.chars().take(5).collect()
}

fn level(number: i64) -> u8 {
    match number {
        0 => 0,
        1..=9 => 1,
        10..=99 => 2,
        100..=999 => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn sixty_counties_have_a_tile_each() {
        let counties: Vec<_> = division::all()
            .into_iter()
            .filter(|one| one.level == 3 && one.until.is_none() && !matches!(one.kind, "functional-zone" | "former"))
            .collect();
        assert_eq!(counties.len(), 60);
        let mut places = BTreeSet::new();
        for (prefecture, left, top, across) in BLOCKS {
            let of_it = counties.iter().filter(|one| one.code / 100_000_000 == prefecture).count();
            for place in 0..i32::try_from(of_it).unwrap() {
                let (x, y) = (left + place % across, top + place / across);
                assert!(x < 11 && y < 9, "{prefecture} leaves the sheet");
                assert!(places.insert((x, y)), "{prefecture}: two tiles at {x}, {y}");
            }
        }
        assert_eq!(places.len(), 60);
    }
}
