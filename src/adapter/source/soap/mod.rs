//! SOAP services, polled page by page; see [`super::web::sweep`] for how pages are read.
//!
//! The services of this vintage (Axis, national templates) answer with an envelope in UTF-8 whose only content is a text:
//! an XML document of its own, in CDATA or escaped, that declares GBK. By then it is text, and what it declares means
//! nothing. Return codes are in that document, `00000` is good; totals move while one reads.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use url::Url;

use super::{
    Error, ObjectOptions, Source, Sources, each, source_options,
    web::{
        client::{Ask, BODY_LIMIT, Client, Key, Line, Token, Verdict, address, too_large},
        sweep::{Mark, Next, Page, PageRow, Pages, Plan, Sweep},
    },
    window::fingerprint,
};
use crate::{
    adapter::decode::{BadRow, Decoded, options, xml::Document},
    envelope::System,
    error::{Code, Fault},
};

pub mod answer;
mod request;

use answer::{Answer, Reader};
use request::{Parameter, Template};

/// The service answered with a SOAP fault.
pub const SOAP_FAULT: Code = Code::new(3460);
/// The service answered with a return code that is not good.
pub const RETURN_CODE: Code = Code::new(3461);
/// The answer is no envelope, or has no content where the adapter expects it.
pub const SHAPE: Code = Code::new(3462);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    url: String,
    namespace: String,
    version: Option<String>,
    #[serde(default)]
    qualified: bool,
    timeout: Option<String>,
    token: Option<String>,
    token_header: Option<String>,
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    operation: String,
    action: Option<String>,
    #[serde(default)]
    parameters: Vec<Parameter>,
    payload: Option<String>,
    rows: String,
    #[serde(default)]
    lists: Vec<String>,
    code: Option<String>,
    #[serde(default = "good")]
    good: Vec<String>,
    #[serde(default)]
    busy: Vec<String>,
    total: Option<String>,
    updated: String,
    since_start: Option<String>,
    #[serde(default = "page_size")]
    page_size: u64,
    #[serde(default = "first_page")]
    first_page: u64,
    overlap: Option<String>,
}

fn good() -> Vec<String> {
    vec!["00000".to_owned()]
}
fn page_size() -> u64 {
    100
}
fn first_page() -> u64 {
    1
}

/// SOAP sources of one system. Source options: `url`, `namespace`, `version` (`1.1` or `1.2`), `qualified` (parameters have
/// the namespace), `timeout` (`60s`), `token`, `token_header`, `parameters` (of every operation). Object options:
/// `operation`, `action`, `parameters` (`{ name, value }` with `{page}`, `{size}`, `{since}`), `payload` (path below the body
/// to the text that is the document), `rows`, `lists`, `code`, `good` (`00000`), `busy`, `total`, `updated`, `since_start`,
/// `page_size` (100), `first_page` (1), `overlap` (`5m`).
///
/// # Errors
/// Every unknown or wrong option.
pub fn open(system: &System, source: &toml::Table, objects: &[ObjectOptions]) -> Result<Sources, Vec<Fault>> {
    let given: Options = source_options(source)?;
    let mut faults = Vec::new();
    let url = address("url", &given.url).map_err(|fault| faults.push(fault));
    let line = Line::new(given.timeout.as_deref()).map_err(|fault| faults.push(fault));
    let token = given.token.as_deref().map(|token| Token::new(given.token_header.as_deref(), token)).transpose();
    let token = token.map_err(|fault| faults.push(fault));
    let (Ok(url), Ok(line), Ok(token)) = (url, line, token) else { return Err(faults) };
    let client = Client::new(line, token.map_or(Key::None, Key::Fixed));
    let made = each(objects, |object| {
        let operation: Operation = options::read(&object.own())?;
        let mut faults = Vec::new();
        let overlap = Plan::check(operation.overlap.as_deref(), operation.page_size, &object.key, &mut faults);
        let template = template(&given, &operation).map_err(|more| faults.extend(more));
        let reader = reader(&operation).map_err(|more| faults.extend(more));
        let (true, Ok(template), Ok(reader)) = (faults.is_empty(), template, reader) else { return Err(faults) };
        let plan = plan(system, object, &operation, overlap);
        let service = Service { url: url.clone(), client: client.clone(), template, reader: Arc::new(reader), operation };
        Ok(Sweep::new(plan, service))
    })?;
    Ok(made.into_iter().map(|(name, source)| (name, Box::new(source) as Box<dyn Source>)).collect())
}

fn template(given: &Options, operation: &Operation) -> Result<Template, Vec<Fault>> {
    let mut parameters = given.parameters.clone();
    parameters.extend(operation.parameters.iter().cloned());
    Template::new(
        &given.namespace,
        given.version.as_deref().unwrap_or("1.1"),
        given.qualified,
        &operation.operation,
        operation.action.as_deref(),
        parameters,
    )
}

fn reader(operation: &Operation) -> Result<Reader, Vec<Fault>> {
    Reader::new(&operation.operation, operation.payload.as_deref(), &operation.rows, &operation.lists)
}

/// Rows of an answer that was kept as a file, as [`Sweep`] would see them; the options are those of an object.
///
/// # Errors
/// The fault for which the answer is refused whole.
pub fn rows_of(options: &ObjectOptions, bytes: &[u8]) -> Result<Vec<Result<Decoded, BadRow>>, Vec<Fault>> {
    let operation: Operation = options::read(&options.own())?;
    match reader(&operation)?.read(bytes) {
        Ok(Answer::Fault { lasting: _, fault }) => Err(vec![fault]),
        Ok(Answer::Document(document)) => match judge(&operation, &document) {
            Some((_, fault)) => Err(vec![fault]),
            None => Ok(document.rows),
        },
        Err(fault) => Err(vec![fault]),
    }
}

fn plan(system: &System, object: &ObjectOptions, operation: &Operation, overlap: i64) -> Plan {
    Plan {
        system: system.clone(),
        object: object.name.clone(),
        key: object.key.clone(),
        updated: operation.updated.clone(),
        overlap,
        page_size: operation.page_size,
        first_page: operation.first_page,
        cursor: false,
        shown: operation.operation.clone(),
        pointer: None,
        start: operation.since_start.clone(),
    }
}

/// One operation of a service.
struct Service {
    url: Url,
    client: Client,
    template: Template,
    reader: Arc<Reader>,
    operation: Operation,
}

#[async_trait]
impl Pages for Service {
    async fn page(&self, since: Option<&str>, mark: &Mark) -> Result<Page, Error> {
        let page = if let Mark::Number(page) = mark { *page } else { self.operation.first_page };
        let post = self.template.fill(page, self.operation.page_size, since.unwrap_or_default());
        // A SOAP fault comes with status 500.
        let ask = Ask { url: self.url.clone(), shown: &self.operation.operation, post: Some(post), reads: &[200, 500] };
        self.client.fetch(&ask, &|status, bytes| self.read(status, bytes)).await
    }
}

impl Service {
    fn read(&self, status: u16, bytes: Option<Vec<u8>>) -> Verdict<Page> {
        let Some(bytes) = bytes else { return Verdict::Done(Page::Spoiled(vec![too_large()])) };
        let document = match self.reader.read(&bytes) {
            Ok(Answer::Document(document)) if status == 200 => document,
            Ok(Answer::Fault { lasting, fault }) => {
                return if lasting { Verdict::Lasting(fault) } else { Verdict::Passing(fault) };
            }
            Err(fault) if status == 200 => return Verdict::Done(Page::Spoiled(vec![fault])),
            _ => return Verdict::Passing(Fault::new(super::UNREACHABLE, "the server failed")),
        };
        match judge(&self.operation, &document) {
            Some((true, fault)) => Verdict::Lasting(fault),
            Some((false, fault)) => Verdict::Passing(fault),
            None => Verdict::Done(self.page_of(document)),
        }
    }

    fn page_of(&self, document: Document) -> Page {
        let total = self.operation.total.as_ref().and_then(|name| document.header.get(name)?.as_str()?.trim().parse().ok());
        let row = |row: Result<Decoded, BadRow>| -> PageRow {
            match row {
                Ok(row) => (fingerprint("", &row.data), Ok(row.data)),
                Err(bad) => (fingerprint(&String::from_utf8_lossy(&bad.raw), &serde_json::Value::Null), Err(bad.faults)),
            }
        };
        Page::Rows(document.rows.into_iter().map(row).collect(), Next::Numbered { total })
    }
}

/// Whether the return code speaks against the document: lasting or not, and the fault.
fn judge(operation: &Operation, document: &Document) -> Option<(bool, Fault)> {
    let name = operation.code.as_ref()?;
    let Some(code) = document.header.get(name).and_then(|code| code.as_str()).map(str::trim).filter(|code| !code.is_empty())
    else {
        return Some((true, Fault::new(SHAPE, "the answer has no return code").at_column(name).hint("compare `code` with it")));
    };
    if operation.good.iter().any(|good| good == code) {
        return None;
    }
    // A code is short and plain; what a service puts there instead may be anything.
    let plain = code.len() <= 12 && code.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
    let shown = if plain { format!("`{code}`") } else { "that is none".to_owned() };
    let fault = Fault::new(RETURN_CODE, format!("the service answered with the return code {shown}")).at_column(name);
    let fault = fault.expected(format!("`{}`", operation.good.join("`, `")));
    Some((!operation.busy.iter().any(|busy| busy == code), fault.hint("look it up in the service's list of codes")))
}

/// Largest document inside an envelope.
const DOCUMENT_LIMIT: u64 = BODY_LIMIT as u64;
