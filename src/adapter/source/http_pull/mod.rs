//! Paged JSON over HTTP, polled by the time of the last change.
//!
//! Pages of these interfaces are unstable: rows change their page while one reads, so that one is seen twice and another
//! not at all, and two rows of one second come in any order. So a run of pages is read again until a pass shows nothing
//! new, sorted here by (updated, key), and rows that were already emitted with the same content are passed over. The next
//! poll asks again from `overlap` before the newest row.
//!
//! A record that JSON cannot tell (a lone surrogate, a name sent twice) costs itself, a page that is no JSON costs itself:
//! both become dead letters with their place, and the sweep is asked for again until the server has mended them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::{
    BadRow, Batch, Error, ObjectOptions, Position, Row, Source, Sources, each, source_options,
    watermark::Kind,
    weight,
    window::{Window, fingerprint},
};
use crate::{
    adapter::decode::{jsonfile, options},
    clock,
    envelope::System,
    error::{Code, Fault},
};

mod client;
use client::{Client, Page, Token};

/// The server gives the same page whatever page is asked for.
pub const PAGES_REPEAT: Code = Code::new(2082);

/// Pages of one run, which is sorted in memory.
const PAGES_OF_A_RUN: u64 = 20;
/// Passes over a run of several pages until nothing new turns up.
const PASSES: usize = 4;
/// Bytes of one pass over a run.
const RUN_BYTES: usize = 32 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    base: String,
    token: Option<String>,
    token_header: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    path: String,
    #[serde(default)]
    items: String,
    updated: String,
    #[serde(default = "page")]
    page: String,
    #[serde(default = "size")]
    size: String,
    since: Option<String>,
    #[serde(default = "page_size")]
    page_size: u64,
    #[serde(default = "first_page")]
    first_page: u64,
    overlap: Option<String>,
}

fn page() -> String {
    "page".to_owned()
}
fn size() -> String {
    "size".to_owned()
}
fn page_size() -> u64 {
    100
}
fn first_page() -> u64 {
    1
}

/// HTTP sources of one system. Source options: `base` (URL), `token`, `token_header` (`authorization`, with `Bearer`).
/// Object options: `path`, `items` (JSON pointer to the array), `updated` (field), `page`, `size`, `since` (names of the
/// parameters), `page_size` (100), `first_page` (1), `overlap` (`5m`).
///
/// # Errors
/// Every unknown or wrong option.
pub fn open(system: &System, source: &toml::Table, objects: &[ObjectOptions]) -> Result<Sources, Vec<Fault>> {
    let given: Options = source_options(source)?;
    let base = Url::parse(&given.base).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let Some(base) = base else {
        return Err(vec![options::bad("base", "is no address").expected("a URL with `http` or `https`")]);
    };
    let token =
        given.token.map(|token| Token::new(given.token_header.as_deref(), &token)).transpose().map_err(|fault| vec![fault])?;
    let client = Client::new(token).map_err(|fault| vec![fault])?;
    let made = each(objects, |object| {
        let endpoint: Endpoint = options::read(&object.own())?;
        let mut faults = Vec::new();
        let url = base.join(&endpoint.path).ok().filter(|url| url.origin() == base.origin());
        if url.is_none() {
            faults.push(options::bad("path", "must be a path below `base`"));
        }
        let overlap = options::millis(endpoint.overlap.as_deref().unwrap_or("5m"));
        if overlap.is_none() {
            faults.push(options::bad("overlap", "is no length of time").expected("for example `5m`"));
        }
        if endpoint.page_size == 0 || endpoint.page_size > 1000 {
            faults.push(options::bad("page_size", "must be 1 to 1000"));
        }
        if object.key.is_empty() {
            faults.push(options::bad("key", "names the fields that identify a row"));
        }
        let (true, Some(url), Some(overlap)) = (faults.is_empty(), url, overlap) else { return Err(faults) };
        let (system, object, key) = (system.clone(), object.name.clone(), object.key.clone());
        Ok(Pull { system, object, key, endpoint, url, overlap, client: client.clone(), run: None })
    })?;
    Ok(made.into_iter().map(|(name, source)| (name, Box::new(source) as Box<dyn Source>)).collect())
}

/// Where polling goes on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    /// The value of the `since` parameter for this sweep.
    since: Option<String>,
    /// First page of the run being emitted.
    page: Option<u64>,
    /// The newest change seen, as text and as its place in time.
    newest: Option<String>,
    high: Option<i64>,
    /// The last pass over some run still showed new rows: the next sweep begins where this one began.
    unsettled: bool,
    /// What was emitted lately.
    window: Value,
}

/// One endpoint.
struct Pull {
    system: System,
    object: String,
    key: Vec<String>,
    endpoint: Endpoint,
    url: Url,
    overlap: i64,
    client: Client,
    run: Option<Run>,
}

/// Pages read together; what is left of them, the newest first.
struct Run {
    /// The position after which `rows` come.
    at: Place,
    rows: Vec<Item>,
    bad: BTreeMap<u64, BadRow>,
    /// Page after the run; `None` when the run reached the last page.
    next: Option<u64>,
}

/// One pass over the pages of a run.
#[derive(Default)]
struct Pass {
    rows: BTreeMap<(String, u64), Item>,
    bad: BTreeMap<u64, BadRow>,
    pages: u64,
    /// Pages or rows that could not be read: the sweep must not move on past them.
    spoiled: bool,
    next: Option<u64>,
}

/// Rows of a page, and faults by the number of their row.
type Rows = (Vec<Value>, BTreeMap<usize, Vec<Fault>>);

struct Item {
    units: Option<i64>,
    updated: String,
    key: String,
    print: u64,
    data: Value,
}

impl Pull {
    async fn fetch(&self, place: &Place) -> Result<Run, Error> {
        let mut all = self.pass(place).await?;
        let mut settled = all.pages == 1;
        for _ in 1..PASSES {
            if settled {
                break;
            }
            let again = self.pass(place).await?;
            let before = all.rows.len();
            all.rows.extend(again.rows);
            settled = all.rows.len() == before;
            all.bad.extend(again.bad);
            all.next = again.next;
            all.spoiled |= again.spoiled;
        }
        let mut rows: Vec<Item> = all.rows.into_values().collect();
        rows.sort_by(|a, b| (b.units, &b.updated, &b.key, b.print).cmp(&(a.units, &a.updated, &a.key, a.print)));
        if !settled {
            tracing::warn!(system = %self.system, object = %self.object, "pages do not settle; they will be read again");
        }
        let at = Place { unsettled: place.unsettled || !settled || all.spoiled, ..place.clone() };
        Ok(Run { at, rows, bad: all.bad, next: all.next })
    }

    async fn pass(&self, place: &Place) -> Result<Pass, Error> {
        let first = place.page.unwrap_or(self.endpoint.first_page);
        let (mut pass, mut bytes, mut before) = (Pass::default(), 0, None);
        let mut spoiled_before = false;
        for page in first..first + PAGES_OF_A_RUN {
            let url = self.page_url(place.since.as_deref(), page);
            let (items, faults) = match self.page(url).await? {
                Ok(read) => read,
                Err(faults) => {
                    self.spoil(&mut pass, page, faults);
                    // One such page is passed over; after a second the server is taken to be broken.
                    pass.next = if spoiled_before { None } else { Some(page + 1) };
                    if std::mem::replace(&mut spoiled_before, true) {
                        break;
                    }
                    continue;
                }
            };
            spoiled_before = false;
            bytes += items.iter().map(weight).sum::<usize>();
            let print = fingerprint("", &Value::Array(items.clone()));
            if !items.is_empty() && before.replace(print) == Some(print) {
                let fault = Fault::new(PAGES_REPEAT, "two pages are the same").in_file(&self.endpoint.path);
                return Err(Error::Refused(fault.hint("check the parameter names `page` and `size`")));
            }
            let last = (items.len() as u64) < self.endpoint.page_size;
            self.sort_in(&mut pass, items, faults);
            pass.pages += 1;
            pass.next = if last { None } else { Some(page + 1) };
            if last || bytes > RUN_BYTES {
                break;
            }
        }
        Ok(pass)
    }

    /// The rows of a page, each fault with the number of its row; or why the page cannot be read.
    async fn page(&self, url: Url) -> Result<Result<Rows, Vec<Fault>>, Error> {
        let (document, faults) = match self.client.get(url, &self.endpoint.path).await? {
            Page::Good(document, faults) => (document, faults),
            Page::Spoiled(faults) => return Ok(Err(faults)),
        };
        let mut of_rows = BTreeMap::<usize, Vec<Fault>>::new();
        for fault in faults {
            let pointer = fault.place.pointer.clone().unwrap_or_default();
            let inside = pointer.strip_prefix(&self.endpoint.items).and_then(|rest| rest.strip_prefix('/'));
            match inside.and_then(|rest| rest.split('/').next()?.parse().ok()) {
                Some(row) => of_rows.entry(row).or_default().push(fault),
                // The array of rows itself is in doubt.
                None if format!("{}/", self.endpoint.items).starts_with(&format!("{pointer}/")) => return Ok(Err(vec![fault])),
                None => {}
            }
        }
        Ok(match jsonfile::items(document, &self.endpoint.items) {
            Ok(items) => Ok((items, of_rows)),
            Err(fault) => Err(vec![fault]),
        })
    }

    fn sort_in(&self, pass: &mut Pass, items: Vec<Value>, mut faults: BTreeMap<usize, Vec<Fault>>) {
        for (at, data) in items.into_iter().enumerate() {
            let print = fingerprint("", &data);
            if let Some(faults) = faults.remove(&at) {
                pass.spoiled = true;
                let faults = faults.into_iter().map(|fault| fault.in_file(&self.endpoint.path)).collect();
                pass.bad.insert(
                    print,
                    BadRow {
                        object: self.object.clone(),
                        origin: format!("unreadable/{print:016x}"),
                        faults,
                        raw: String::new(),
                    },
                );
                continue;
            }
            match self.item(data) {
                Ok(item) => drop(pass.rows.insert((item.key.clone(), item.print), item)),
                Err(fault) => drop(pass.bad.insert(print, self.bad(at, print, fault))),
            }
        }
    }

    /// A page that cannot be read: reported once a day, and asked for again with every sweep.
    fn spoil(&self, pass: &mut Pass, page: u64, faults: Vec<Fault>) {
        pass.pages += 1;
        pass.spoiled = true;
        let code = faults.first().map(|fault| fault.code.to_string()).unwrap_or_default();
        let origin = format!("page/{page}/{code}/{}", clock::iso_date(clock::today()));
        let shown = format!("{}?{}={page}", self.endpoint.path, self.endpoint.page);
        let faults = faults.into_iter().map(|fault| fault.in_file(&shown)).collect();
        pass.bad.insert(
            fingerprint(&origin, &Value::Null),
            BadRow { object: self.object.clone(), origin, faults, raw: String::new() },
        );
    }

    fn page_url(&self, since: Option<&str>, page: u64) -> Url {
        let mut url = self.url.clone();
        let mut query = url.query_pairs_mut();
        query
            .append_pair(&self.endpoint.page, &page.to_string())
            .append_pair(&self.endpoint.size, &self.endpoint.page_size.to_string());
        if let (Some(name), Some(since)) = (&self.endpoint.since, since) {
            query.append_pair(name, since);
        }
        drop(query);
        url
    }

    fn item(&self, data: Value) -> Result<Item, Fault> {
        let shape = |what: &str| Fault::new(jsonfile::SHAPE, what.to_owned());
        if !data.is_object() {
            return Err(shape("the row is not an object"));
        }
        let updated = scalar(data.get(&self.endpoint.updated))
            .ok_or_else(|| shape("the row has no time of change").at_column(&self.endpoint.updated))?;
        let mut parts = Vec::new();
        for name in &self.key {
            parts.push(scalar(data.get(name)).ok_or_else(|| shape("the row has no key").at_column(name))?);
        }
        let key = parts.join("\u{1f}");
        let print = fingerprint(&key, &data);
        Ok(Item { units: Kind::Timestamp.units(&updated), updated, key, print, data })
    }

    /// A row that cannot be told apart from others; its content names it, so that it is reported once.
    fn bad(&self, at: usize, print: u64, fault: Fault) -> BadRow {
        let fault = fault.in_file(&self.endpoint.path).at_row(at as u64 + 1).at_pointer(format!("{}/{at}", self.endpoint.items));
        let origin = format!("unreadable/{print:016x}");
        BadRow { object: self.object.clone(), origin, faults: vec![fault], raw: String::new() }
    }

    fn row(&self, item: Item) -> Row {
        let key = fingerprint(&item.key, &Value::Null);
        Row {
            object: self.object.clone(),
            origin: format!("{}/{key:016x}/{:08x}", item.updated, item.print >> 32),
            file: self.endpoint.path.clone(),
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
            self.turn(&mut place, &mut window, run.next);
        }
        window.shrink();
        place.window = window.to_json();
        batch.next = Position(serde_json::to_value(&place).unwrap_or_default());
        run.at = place;
        batch
    }

    /// The run is emitted: on to the next pages, or to the next sweep.
    fn turn(&self, place: &mut Place, window: &mut Window, next: Option<u64>) {
        // Rows may have moved to a page before: the last page is read again.
        place.page = next.map(|page| page - 1);
        if let (None, Some(high), Some(newest)) = (next, place.high, &place.newest) {
            let from = high.saturating_sub(self.overlap);
            if !std::mem::take(&mut place.unsettled) {
                window.forget_before(from);
                place.since = Kind::Timestamp.text(from, newest).or_else(|| place.since.take());
            }
        }
    }
}

#[async_trait]
impl Source for Pull {
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

fn scalar(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
