//! Paged JSON over HTTP, polled by the time of the last change; see [`super::web::sweep`] for how pages are read.
//!
//! A record that JSON cannot tell (a lone surrogate, a name sent twice) costs itself, a page that is no JSON costs itself:
//! both become dead letters with their place, and the sweep is asked for again until the server has mended them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    Error, ObjectOptions, Source, Sources, each, source_options,
    web::{
        client::{Ask, BODY_LIMIT, Client, Line, Verdict, address, of_no_use, too_large},
        sweep::{Mark, Next, Page, PageRow, Pages, Plan, Sweep},
        token::KeyOptions,
    },
    window::fingerprint,
};
use crate::{
    adapter::decode::{jsonfile, options},
    envelope::System,
    error::Fault,
    json::{self, Limits},
};

/// Most memory that the values of a page may take.
const PAGE_MEMORY: usize = 32 << 20;
/// A page with more faults is spoiled as a whole; so many of them are told.
const FAULTS_OF_A_PAGE: usize = 2_000;
const FAULTS_SHOWN: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    base: String,
    timeout: Option<String>,
    token: Option<String>,
    token_header: Option<String>,
    token_url: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    client_auth: Option<String>,
    scope: Option<String>,
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
    /// Name of the parameter, and JSON pointer to its next value in the answer.
    cursor: Option<String>,
    next: Option<String>,
    /// JSON pointer to the code of an answer, and the codes of a cursor that ran out.
    code: Option<String>,
    #[serde(default)]
    expired: Vec<String>,
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

/// HTTP sources of one system. Source options: `base` (URL), `timeout` (`60s`), `token`, `token_header` (`authorization`,
/// with `Bearer`), or `token_url`, `client_id`, `client_secret`, `client_auth` (`basic` or `body`), `scope`. Object options:
/// `path`, `items` (JSON pointer to the array), `updated` (field), `page`, `size`, `since` (names of the parameters),
/// `page_size` (100), `first_page` (1), `overlap` (`5m`), and for cursors `cursor`, `next`, `code`, `expired`.
///
/// # Errors
/// Every unknown or wrong option.
pub fn open(system: &System, source: &toml::Table, objects: &[ObjectOptions]) -> Result<Sources, Vec<Fault>> {
    let given: Options = source_options(source)?;
    let base = address("base", &given.base).map_err(|fault| vec![fault])?;
    let line = Line::new(given.timeout.as_deref()).map_err(|fault| vec![fault])?;
    let key = KeyOptions {
        token: given.token,
        token_header: given.token_header,
        token_url: given.token_url,
        client_id: given.client_id,
        client_secret: given.client_secret,
        client_auth: given.client_auth,
        scope: given.scope,
    };
    let client = Client::new(line, key.key().map_err(|fault| vec![fault])?);
    let made = each(objects, |object| {
        let endpoint: Endpoint = options::read(&object.own())?;
        let mut faults = Vec::new();
        let url = base.join(&endpoint.path).ok().filter(|url| url.origin() == base.origin());
        if url.is_none() {
            faults.push(options::bad("path", "must be a path below `base`"));
        }
        let overlap = Plan::check(endpoint.overlap.as_deref(), endpoint.page_size, &object.key, &mut faults);
        cursors(&endpoint, &mut faults);
        let (true, Some(url)) = (faults.is_empty(), url) else { return Err(faults) };
        Ok(Sweep::new(plan(system, object, &endpoint, overlap), Json { endpoint, url, client: client.clone() }))
    })?;
    Ok(made.into_iter().map(|(name, source)| (name, Box::new(source) as Box<dyn Source>)).collect())
}

/// Options of cursors come together or not at all.
fn cursors(endpoint: &Endpoint, faults: &mut Vec<Fault>) {
    if endpoint.cursor.is_some() != endpoint.next.is_some() {
        faults.push(options::bad("cursor", "and `next` belong together").expected("a parameter and a JSON pointer"));
    }
    if endpoint.code.is_some() == endpoint.expired.is_empty() {
        faults.push(options::bad("expired", "and `code` belong together").expected("a JSON pointer and a list of codes"));
    }
    for (name, pointer) in [("items", Some(&endpoint.items)), ("next", endpoint.next.as_ref()), ("code", endpoint.code.as_ref())]
    {
        if pointer.is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
            faults.push(options::bad(name, "is no JSON pointer").expected("for example `/data/list`"));
        }
    }
}

fn plan(system: &System, object: &ObjectOptions, endpoint: &Endpoint, overlap: i64) -> Plan {
    Plan {
        system: system.clone(),
        object: object.name.clone(),
        key: object.key.clone(),
        updated: endpoint.updated.clone(),
        overlap,
        page_size: endpoint.page_size,
        first_page: endpoint.first_page,
        cursor: endpoint.cursor.is_some(),
        shown: endpoint.path.clone(),
        pointer: Some(endpoint.items.clone()),
        start: None,
    }
}

/// One endpoint.
struct Json {
    endpoint: Endpoint,
    url: Url,
    client: Client,
}

#[async_trait]
impl Pages for Json {
    async fn page(&self, since: Option<&str>, mark: &Mark) -> Result<Page, Error> {
        let reads: &[u16] = if self.endpoint.cursor.is_some() { &[200, 400, 410] } else { &[200] };
        let ask = Ask { url: self.page_url(since, mark), shown: &self.endpoint.path, post: None, reads };
        let first = matches!(mark, Mark::Number(_) | Mark::Cursor(None));
        self.client.fetch(&ask, &|status, bytes| self.endpoint.read(status, bytes, first)).await
    }
}

impl Json {
    fn page_url(&self, since: Option<&str>, mark: &Mark) -> Url {
        let mut url = self.url.clone();
        let mut query = url.query_pairs_mut();
        match mark {
            Mark::Number(page) => drop(query.append_pair(&self.endpoint.page, &page.to_string())),
            Mark::Cursor(cursor) => {
                if let (Some(name), Some(cursor)) = (&self.endpoint.cursor, cursor) {
                    query.append_pair(name, cursor);
                }
            }
        }
        query.append_pair(&self.endpoint.size, &self.endpoint.page_size.to_string());
        if let (Some(name), Some(since)) = (&self.endpoint.since, since) {
            query.append_pair(name, since);
        }
        drop(query);
        url
    }
}

impl Endpoint {
    fn read(&self, status: u16, bytes: Option<Vec<u8>>, first: bool) -> Verdict<Page> {
        if status != 200 {
            let coded = bytes.and_then(|bytes| json::strict(&bytes, &Limits::default()).ok());
            let expired = status == 410 || coded.is_some_and(|document| self.expired(&document));
            // Without a cursor there is none that could have run out.
            return if expired && !first { Verdict::Done(Page::Expired) } else { Verdict::Lasting(of_no_use(status)) };
        }
        let Some(bytes) = bytes else { return Verdict::Done(Page::Spoiled(vec![too_large()])) };
        let limits = Limits { bytes: BODY_LIMIT, faults: FAULTS_OF_A_PAGE, memory: PAGE_MEMORY, ..Limits::default() };
        Verdict::Done(match json::salvage(&bytes, &limits) {
            Ok((document, _)) if !first && self.expired(&document) => Page::Expired,
            Ok((document, faults)) => self.rows(document, faults),
            Err(faults) => Page::Spoiled(faults.into_iter().take(FAULTS_SHOWN).collect()),
        })
    }

    /// The answer's code says that the cursor has run out.
    fn expired(&self, document: &Value) -> bool {
        let Some(code) = self.code.as_ref().and_then(|pointer| document.pointer(pointer)) else { return false };
        let code = code.as_str().map_or_else(|| code.to_string(), str::to_owned);
        self.expired.contains(&code)
    }

    /// The rows of a page, each with its faults; or why the page cannot be read.
    fn rows(&self, document: Value, faults: Vec<Fault>) -> Page {
        let mut of_rows = BTreeMap::<usize, Vec<Fault>>::new();
        for fault in faults {
            let pointer = fault.place.pointer.clone().unwrap_or_default();
            let inside = pointer.strip_prefix(&self.items).and_then(|rest| rest.strip_prefix('/'));
            match inside.and_then(|rest| rest.split('/').next()?.parse().ok()) {
                Some(row) => of_rows.entry(row).or_default().push(fault),
                // The array of rows itself is in doubt.
                None if format!("{}/", self.items).starts_with(&format!("{pointer}/")) => {
                    return Page::Spoiled(vec![fault]);
                }
                None => {}
            }
        }
        let next = self.next(&document);
        let rows = match jsonfile::items(document, &self.items) {
            Ok(rows) => rows,
            Err(fault) => return Page::Spoiled(vec![fault]),
        };
        let row = |(at, data): (usize, Value)| -> PageRow { (fingerprint("", &data), of_rows.remove(&at).map_or(Ok(data), Err)) };
        Page::Rows(rows.into_iter().enumerate().map(row).collect(), next)
    }

    fn next(&self, document: &Value) -> Next {
        let Some(pointer) = &self.next else { return Next::Numbered { total: None } };
        Next::Cursor(match document.pointer(pointer) {
            Some(Value::String(cursor)) if !cursor.is_empty() => Some(cursor.clone()),
            Some(Value::Number(cursor)) => Some(cursor.to_string()),
            _ => None,
        })
    }
}

/// The rows of a page that was kept, each with its faults; the options are those of an object.
///
/// # Errors
/// The faults for which the page is refused whole.
pub fn rows_of(object: &ObjectOptions, bytes: &[u8]) -> Result<Vec<Result<Value, Vec<Fault>>>, Vec<Fault>> {
    let endpoint: Endpoint = options::read(&object.own())?;
    match endpoint.read(200, Some(bytes.to_vec()), true) {
        Verdict::Done(Page::Rows(rows, _)) => Ok(rows.into_iter().map(|(_, row)| row).collect()),
        Verdict::Done(Page::Spoiled(faults)) => Err(faults),
        Verdict::Done(Page::Expired) => Ok(Vec::new()),
        Verdict::Lasting(fault) | Verdict::Passing(fault) => Err(vec![fault]),
    }
}
