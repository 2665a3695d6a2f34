//! The envelope that is sent: an operation with its parameters.

use quick_xml::escape::escape;
use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::{adapter::decode::options, error::Fault};

/// A parameter of an operation; `value` may hold `{page}`, `{size}` and `{since}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    pub name: String,
    #[serde(default)]
    pub value: String,
}

/// What `{…}` may stand for.
const PLACES: [&str; 3] = ["page", "size", "since"];

/// The envelope of one operation, but for its parameters' values.
pub struct Template {
    headers: HeaderMap,
    before: String,
    parameters: Vec<Parameter>,
    after: String,
}

impl Template {
    /// # Errors
    /// Every name that XML does not allow, every unknown place.
    pub fn new(
        namespace: &str,
        version: &str,
        qualified: bool,
        operation: &str,
        action: Option<&str>,
        parameters: Vec<Parameter>,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        if !is_name(operation) {
            faults.push(options::bad("operation", "is no name of XML"));
        }
        for parameter in &parameters {
            if !is_name(&parameter.name) {
                faults.push(options::bad("parameters", format!("`{}` is no name of XML", parameter.name)));
            }
            if let Some(unknown) = places(&parameter.value).find(|place| !PLACES.contains(place)) {
                let fault = options::bad("parameters", format!("nothing stands for `{{{unknown}}}`"));
                faults.push(fault.expected("`{page}`, `{size}` or `{since}`"));
            }
        }
        if !parameters.iter().any(|parameter| parameter.value.contains("{page}")) {
            faults.push(
                options::bad("parameters", "no parameter has `{page}`").expected("{ name = \"pageNo\", value = \"{page}\" }"),
            );
        }
        let action = action.map_or_else(|| format!("{}/{operation}", namespace.trim_end_matches('/')), str::to_owned);
        let headers = headers(version, &action).map_err(|fault| faults.push(fault)).unwrap_or_default();
        if !faults.is_empty() {
            return Err(faults);
        }
        let envelope = if version == "1.2" { SOAP_12 } else { SOAP_11 };
        let (open, close) = if qualified {
            (format!("<{operation} xmlns=\"{}\">", escape(namespace)), format!("</{operation}>"))
        } else {
            (format!("<n:{operation} xmlns:n=\"{}\">", escape(namespace)), format!("</n:{operation}>"))
        };
        Ok(Self {
            headers,
            before: format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"{envelope}\"><s:Body>{open}"),
            parameters,
            after: format!("{close}</s:Body></s:Envelope>"),
        })
    }

    /// Headers and body of a request.
    pub fn fill(&self, page: u64, size: u64, since: &str) -> (HeaderMap, String) {
        let mut text = self.before.clone();
        for Parameter { name, value } in &self.parameters {
            let value = value.replace("{page}", &page.to_string()).replace("{size}", &size.to_string());
            text.push_str(&format!("<{name}>{}</{name}>", escape(value.replace("{since}", since))));
        }
        (self.headers.clone(), text + &self.after)
    }
}

const SOAP_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";

fn headers(version: &str, action: &str) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    let value =
        |text: String| HeaderValue::try_from(text).map_err(|_| options::bad("action", "has characters no header may have"));
    match version {
        "1.1" => {
            headers.insert("content-type", HeaderValue::from_static("text/xml; charset=utf-8"));
            headers.insert("soapaction", value(format!("\"{action}\""))?);
        }
        "1.2" => {
            drop(headers.insert("content-type", value(format!("application/soap+xml; charset=utf-8; action=\"{action}\""))?))
        }
        _ => return Err(options::bad("version", "is no version of SOAP").expected("`1.1` or `1.2`")),
    }
    Ok(headers)
}

/// The names between braces.
fn places(value: &str) -> impl Iterator<Item = &str> {
    value.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// A local name that needs no thought: letters, digits, `_`, `-`, `.`, beginning with a letter.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
