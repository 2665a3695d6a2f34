//! Reading a paged interface by the time of the last change, however its pages come.
//!
//! Pages of these interfaces are unstable: rows change their page and totals move while one reads, so that a row is seen
//! twice and another not at all, and two rows of one second come in any order. So a run of pages is read again until a pass
//! shows nothing new, sorted here by (updated, key), and rows that were already emitted with the same content are passed
//! over. The next poll asks again from `overlap` before the newest row.
//!
//! A server that hands out cursors keeps its order itself: its runs are read once. A cursor that has run out costs the run:
//! it begins again at the stored time of change.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    adapter::{
        decode::{jsonfile, options},
        source::{
            BadRow, Batch, Error, Position, Row, Source,
            watermark::Kind,
            weight,
            window::{Window, fingerprint},
        },
    },
    clock,
    envelope::System,
    error::{Code, Fault},
};

/// The server gives the same page whatever page is asked for.
pub const PAGES_REPEAT: Code = Code::new(2082);
/// A cursor leads back to where it was.
pub const CURSOR_STUCK: Code = Code::new(3472);
/// Cursors run out faster than pages are read.
pub const CURSOR_EXPIRED: Code = Code::new(3473);

/// Pages of one run, which is sorted in memory.
const PAGES_OF_A_RUN: u64 = 20;
/// Passes over a run of several pages until nothing new turns up.
const PASSES: usize = 4;
/// Bytes of one pass over a run.
const RUN_BYTES: usize = 32 << 20;
/// How often a run begins anew because its cursor ran out.
const RESTARTS: usize = 3;

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    Number(u64),
    /// None for the first page.
    Cursor(Option<String>),
}

/// A row as the page has it: a name for it, and its content or why that cannot be read.
pub type PageRow = (u64, Result<Value, Vec<Fault>>);

/// What a page turned out to be.
pub enum Page {
    Rows(Vec<PageRow>, Next),
    /// It cannot be read at all.
    Spoiled(Vec<Fault>),
    /// Its cursor has run out.
    Expired,
}

/// What comes after a page.
pub enum Next {
    /// The next number, unless the page is short; a total of all rows, where it is told, says whether it is.
    Numbered {
        total: Option<u64>,
    },
    Cursor(Option<String>),
}

/// A paged interface.
#[async_trait]
pub trait Pages: Send + Sync {
    async fn page(&self, since: Option<&str>, mark: &Mark) -> Result<Page, Error>;
}

/// How an interface is read, whatever its pages are made of.
pub struct Plan {
    pub system: System,
    pub object: String,
    /// Fields that identify a row, and the field with the time of its last change.
    pub key: Vec<String>,
    pub updated: String,
    pub overlap: i64,
    pub page_size: u64,
    pub first_page: u64,
    /// Pages follow each other by cursor.
    pub cursor: bool,
    /// Names the interface in faults; JSON pointer to its rows, where there is one.
    pub shown: String,
    pub pointer: Option<String>,
    /// The `since` of the very first sweep.
    pub start: Option<String>,
}

impl Plan {
    /// Faults of options that every paged source has; the overlap in milliseconds.
    pub fn check(overlap: Option<&str>, page_size: u64, key: &[String], faults: &mut Vec<Fault>) -> i64 {
        if page_size == 0 || page_size > 1000 {
            faults.push(options::bad("page_size", "must be 1 to 1000"));
        }
        if key.is_empty() {
            faults.push(options::bad("key", "names the fields that identify a row"));
        }
        options::millis(overlap.unwrap_or("5m")).unwrap_or_else(|| {
            faults.push(options::bad("overlap", "is no length of time").expected("for example `5m`"));
            0
        })
    }
}

/// Where polling goes on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    /// The value of the `since` parameter for this sweep.
    since: Option<String>,
    /// First page of the run being emitted, or the cursor it begins with.
    page: Option<u64>,
    cursor: Option<String>,
    /// The newest change seen, as text and as its place in time.
    newest: Option<String>,
    high: Option<i64>,
    /// The last pass over some run still showed new rows: the next sweep begins where this one began.
    unsettled: bool,
    /// What was emitted lately.
    window: Value,
}

/// One interface, read from a stored position.
pub struct Sweep<P> {
    plan: Plan,
    pages: P,
    run: Option<Run>,
}

/// Pages read together; what is left of them, the newest first.
struct Run {
    /// The position after which `rows` come.
    at: Place,
    rows: Vec<Item>,
    bad: BTreeMap<u64, BadRow>,
    /// Page after the run; `None` when the run reached the last page.
    next: Option<Mark>,
}

/// One pass over the pages of a run.
#[derive(Default)]
struct Pass {
    rows: BTreeMap<(String, u64), Item>,
    bad: BTreeMap<u64, BadRow>,
    pages: u64,
    bytes: usize,
    /// Pages or rows that could not be read: the sweep must not move on past them.
    spoiled: bool,
    expired: bool,
    next: Option<Mark>,
}

struct Item {
    units: Option<i64>,
    updated: String,
    key: String,
    print: u64,
    data: Value,
}

impl<P: Pages> Sweep<P> {
    pub fn new(plan: Plan, pages: P) -> Self {
        Self { plan, pages, run: None }
    }

    async fn fetch(&self, place: &Place) -> Result<Run, Error> {
        let mut place = place.clone();
        for _ in 0..=RESTARTS {
            if let Some(run) = self.settle(&place).await? {
                return Ok(run);
            }
            tracing::info!(system = %self.plan.system, object = %self.plan.object, "a cursor ran out; the run begins again");
            (place.page, place.cursor) = (None, None);
        }
        let fault = Fault::new(CURSOR_EXPIRED, "cursors of the server run out while its pages are read");
        Err(Error::Unreachable(fault.in_file(&self.plan.shown).hint("ask for smaller pages, or for cursors that live longer")))
    }

    /// Passes over one run until nothing new turns up; none when its cursor has run out.
    async fn settle(&self, place: &Place) -> Result<Option<Run>, Error> {
        let mut all = self.pass(place).await?;
        let mut settled = all.pages == 1 || self.plan.cursor;
        for _ in 1..PASSES {
            if settled || all.expired {
                break;
            }
            let again = self.pass(place).await?;
            let before = all.rows.len();
            all.rows.extend(again.rows);
            settled = all.rows.len() == before;
            all.bad.extend(again.bad);
            (all.next, all.expired) = (again.next, again.expired);
            all.spoiled |= again.spoiled;
        }
        if all.expired {
            return Ok(None);
        }
        let mut rows: Vec<Item> = all.rows.into_values().collect();
        rows.sort_by(|a, b| (b.units, &b.updated, &b.key, b.print).cmp(&(a.units, &a.updated, &a.key, a.print)));
        if !settled {
            tracing::warn!(system = %self.plan.system, object = %self.plan.object, "pages do not settle; they will be read again");
        }
        let at = Place { unsettled: place.unsettled || !settled || all.spoiled, ..place.clone() };
        Ok(Some(Run { at, rows, bad: all.bad, next: all.next }))
    }

    async fn pass(&self, place: &Place) -> Result<Pass, Error> {
        let mut pass = Pass::default();
        let (mut before, mut seen, mut spoiled_before) = (None, BTreeSet::new(), false);
        let mut mark = match self.plan.cursor {
            true => Mark::Cursor(place.cursor.clone()),
            false => Mark::Number(place.page.unwrap_or(self.plan.first_page)),
        };
        let since = place.since.as_deref().or(self.plan.start.as_deref());
        for _ in 0..PAGES_OF_A_RUN {
            let (rows, next) = match self.pages.page(since, &mark).await? {
                Page::Rows(rows, next) => (rows, next),
                Page::Expired => {
                    pass.expired = true;
                    break;
                }
                Page::Spoiled(faults) => {
                    self.spoil(&mut pass, &mark, faults);
                    // One such page is passed over; after a second the server is taken to be broken.
                    pass.next = if spoiled_before { None } else { following(&mark) };
                    let Some(next) = pass.next.clone().filter(|_| !std::mem::replace(&mut spoiled_before, true)) else { break };
                    mark = next;
                    continue;
                }
            };
            spoiled_before = false;
            let print = fingerprint("", &Value::from(rows.iter().map(|(print, _)| *print).collect::<Vec<_>>()));
            if !self.plan.cursor && !rows.is_empty() && before.replace(print) == Some(print) {
                return Err(self.refused(PAGES_REPEAT, "two pages are the same", "check the parameters of page and size"));
            }
            pass.next = self.next(&mark, rows.len() as u64, next);
            self.sort_in(&mut pass, rows);
            pass.pages += 1;
            let Some(next) = pass.next.clone().filter(|_| pass.bytes <= RUN_BYTES) else { break };
            if let Mark::Cursor(Some(cursor)) = &next
                && (!seen.insert(cursor.clone()) || next == mark)
            {
                return Err(self.refused(CURSOR_STUCK, "a cursor leads back to a page before", "check `cursor` and `next`"));
            }
            mark = next;
        }
        Ok(pass)
    }

    fn refused(&self, code: Code, message: &str, hint: &str) -> Error {
        Error::Refused(Fault::new(code, message).in_file(&self.plan.shown).hint(hint))
    }

    /// The page after one with so many rows.
    fn next(&self, mark: &Mark, rows: u64, next: Next) -> Option<Mark> {
        match (mark, next) {
            (Mark::Cursor(_), Next::Cursor(next)) => next.map(|cursor| Mark::Cursor(Some(cursor))),
            (Mark::Number(page), Next::Numbered { total }) => {
                // A server may give fewer rows than asked for; totals move, and only ever make the hub ask once more.
                let read = (page + 1).saturating_sub(self.plan.first_page).saturating_mul(rows);
                let more = rows >= self.plan.page_size || (rows > 0 && total.is_some_and(|total| read < total));
                more.then_some(Mark::Number(page + 1))
            }
            _ => None,
        }
    }

    fn sort_in(&self, pass: &mut Pass, rows: Vec<PageRow>) {
        for (at, (print, row)) in rows.into_iter().enumerate() {
            let read = row.and_then(|data| {
                pass.bytes += weight(&data);
                self.item(data).map_err(|fault| {
                    let fault = fault.at_row(at as u64 + 1);
                    vec![match &self.plan.pointer {
                        Some(pointer) => fault.at_pointer(format!("{pointer}/{at}")),
                        None => fault,
                    }]
                })
            });
            match read {
                Ok(item) => drop(pass.rows.insert((item.key.clone(), item.print), item)),
                Err(faults) => {
                    pass.spoiled |= !faults.iter().all(|fault| fault.code == jsonfile::SHAPE);
                    drop(pass.bad.insert(print, self.bad(format!("unreadable/{print:016x}"), faults, &self.plan.shown)));
                }
            }
        }
    }

    /// A row that cannot be told apart from others is named by its content, so that it is reported once.
    fn bad(&self, origin: String, faults: Vec<Fault>, shown: &str) -> BadRow {
        let faults = faults.into_iter().map(|fault| fault.in_file(shown)).collect();
        BadRow { object: self.plan.object.clone(), origin, faults, raw: String::new() }
    }

    /// A page that cannot be read: reported once a day, and asked for again with every sweep.
    fn spoil(&self, pass: &mut Pass, mark: &Mark, faults: Vec<Fault>) {
        pass.pages += 1;
        pass.spoiled = true;
        let code = faults.first().map(|fault| fault.code.to_string()).unwrap_or_default();
        let page = match mark {
            Mark::Number(page) => page.to_string(),
            Mark::Cursor(cursor) => format!("{:016x}", fingerprint(cursor.as_deref().unwrap_or_default(), &Value::Null)),
        };
        let origin = format!("page/{page}/{code}/{}", clock::iso_date(clock::today()));
        let shown = match mark {
            Mark::Number(page) => format!("{}?page={page}", self.plan.shown),
            Mark::Cursor(_) => self.plan.shown.clone(),
        };
        let bad = self.bad(origin.clone(), faults, &shown);
        pass.bad.insert(fingerprint(&origin, &Value::Null), bad);
    }

    fn item(&self, data: Value) -> Result<Item, Fault> {
        let shape = |what: &str| Fault::new(jsonfile::SHAPE, what.to_owned());
        if !data.is_object() {
            return Err(shape("the row is not an object"));
        }
        let updated = scalar(data.get(&self.plan.updated))
            .ok_or_else(|| shape("the row has no time of change").at_column(&self.plan.updated))?;
        let mut parts = Vec::new();
        for name in &self.plan.key {
            parts.push(scalar(data.get(name)).ok_or_else(|| shape("the row has no key").at_column(name))?);
        }
        let key = parts.join("\u{1f}");
        let print = fingerprint(&key, &data);
        Ok(Item { units: units(&updated), updated, key, print, data })
    }

    fn row(&self, item: Item) -> Row {
        let key = fingerprint(&item.key, &Value::Null);
        Row {
            object: self.plan.object.clone(),
            origin: format!("{}/{key:016x}/{:08x}", item.updated, item.print >> 32),
            file: self.plan.shown.clone(),
            number: 0,
            data: item.data,
            meta: Value::Object(Map::new()),
        }
    }

    /// Emits from the run up to `max` rows, and moves the place on.
    fn emit(&self, run: &mut Run, max: usize) -> Batch {
        let mut batch = Batch::default();
        let mut place = run.at.clone();
        let mut window = Window::from_json(&place.window);
        for (print, bad) in std::mem::take(&mut run.bad) {
            if window.insert(place.high.unwrap_or_default(), print) {
                batch.bad.push(bad);
            }
        }
        while batch.rows.len() < max {
            let Some(item) = run.rows.pop() else { break };
            let units = item.units.or(place.high).unwrap_or_default();
            if item.units.is_some() && place.high.is_none_or(|high| units >= high) {
                place.high = Some(units);
                place.newest = Some(item.updated.clone());
            }
            if window.insert(units, item.print) {
                batch.rows.push(self.row(item));
            }
        }
        batch.more = !run.rows.is_empty() || run.next.is_some();
        if run.rows.is_empty() {
            self.turn(&mut place, &mut window, run.next.clone());
        }
        window.shrink();
        place.window = window.to_json();
        batch.next = Position(serde_json::to_value(&place).unwrap_or_default());
        run.at = place;
        batch
    }

    /// The run is emitted: on to the next pages, or to the next sweep.
    fn turn(&self, place: &mut Place, window: &mut Window, next: Option<Mark>) {
        let ended = next.is_none();
        (place.page, place.cursor) = match next {
            // Rows may have moved to a page before: the last page is read again.
            Some(Mark::Number(page)) => (Some(page - 1), None),
            Some(Mark::Cursor(cursor)) => (None, cursor),
            None => (None, None),
        };
        if let (true, Some(high), Some(newest)) = (ended, place.high, &place.newest) {
            let from = high.saturating_sub(self.plan.overlap);
            if !std::mem::take(&mut place.unsettled) {
                window.forget_before(from);
                let kind = if Kind::Digits.units(newest).is_some() { Kind::Digits } else { Kind::Timestamp };
                place.since = kind.text(from, newest).or_else(|| place.since.take());
            }
        }
    }
}

#[async_trait]
impl<P: Pages> Source for Sweep<P> {
    async fn read(&mut self, position: &Position, max: usize) -> Result<Batch, Error> {
        let place: Place = serde_json::from_value(position.0.clone()).unwrap_or_default();
        let mut run = match self.run.take().filter(|run| run.at == place && !run.rows.is_empty()) {
            Some(run) => run,
            None => self.fetch(&place).await?,
        };
        let batch = self.emit(&mut run, max.max(1));
        self.run = Some(run);
        Ok(batch)
    }
}

/// The page after this one, if that can be told without reading it.
fn following(mark: &Mark) -> Option<Mark> {
    match mark {
        Mark::Number(page) => Some(Mark::Number(page + 1)),
        Mark::Cursor(_) => None,
    }
}

/// The place in time of any usual form of a time of change.
fn units(updated: &str) -> Option<i64> {
    Kind::Timestamp.units(updated).or_else(|| Kind::Digits.units(updated))
}

fn scalar(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
