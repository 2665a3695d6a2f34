//! The envelope that comes back: a document, or a SOAP fault.

use serde_json::Value;

use super::{DOCUMENT_LIMIT, SHAPE, SOAP_FAULT};
use crate::{
    adapter::decode::xml::{self, Document, Rules},
    error::Fault,
};

/// What an envelope holds.
pub enum Answer {
    Document(Document),
    /// `lasting` when the service blames the request: no retry mends it.
    Fault {
        lasting: bool,
        fault: Fault,
    },
}

/// Reads the answers of one operation.
pub struct Reader {
    /// The body as one row.
    envelope: Rules,
    /// Path below the body to the text that is the document.
    payload: Vec<String>,
    document: Rules,
}

impl Reader {
    /// `payload` is a path of local names below the body, `<operation>Response/return` without it; `rows` is the path
    /// from the root of the document in that text.
    ///
    /// # Errors
    /// Paths that are none.
    pub fn new(operation: &str, payload: Option<&str>, rows: &str, lists: &[String]) -> Result<Self, Vec<Fault>> {
        let payload = payload.map_or_else(|| format!("{operation}Response/return"), str::to_owned);
        let table = |rows: &str, lists: &[String]| {
            let lists = lists.iter().cloned().map(toml::Value::from).collect::<Vec<_>>();
            toml::Table::from_iter([("rows".to_owned(), rows.into()), ("lists".to_owned(), lists.into())])
        };
        let mut envelope = table("Envelope/Body", &[]);
        envelope.insert("row_limit".to_owned(), xml::LARGEST_ROW.into());
        Ok(Self {
            envelope: Rules::new(&envelope)?.around().at_most(DOCUMENT_LIMIT),
            payload: payload.split('/').map(str::to_owned).collect(),
            document: Rules::new(&table(rows, lists))?.inside().at_most(DOCUMENT_LIMIT),
        })
    }

    /// # Errors
    /// The fault for which the answer cannot be read at all.
    pub fn read(&self, bytes: &[u8]) -> Result<Answer, Fault> {
        let body = xml::document(bytes, &self.envelope)?.rows.into_iter().next();
        let body = match body {
            Some(Ok(body)) => body.data,
            Some(Err(bad)) => return Err(bad.faults.into_iter().next().unwrap_or_else(shape)),
            None => return Err(shape()),
        };
        if let Some(fault) = body.get("Fault") {
            return Ok(soap_fault(fault));
        }
        let Some(Value::String(text)) = self.payload.iter().try_fold(&body, |value, name| value.get(name)).map(text_of) else {
            return Err(shape());
        };
        let document = xml::document(text.trim_start().as_bytes(), &self.document)?;
        Ok(Answer::Document(document))
    }
}

/// The text of an element, also of one with attributes.
fn text_of(value: &Value) -> &Value {
    value.get("#text").unwrap_or(value)
}

fn shape() -> Fault {
    let fault = Fault::new(SHAPE, "the answer has no content where the adapter expects it");
    fault.expected("an envelope with a text at `payload`").hint("compare `payload` with an answer of the service")
}

/// A fault by its code; its text may hold anything and stays here.
fn soap_fault(fault: &Value) -> Answer {
    let code = fault.get("faultcode").or_else(|| fault.get("Code")?.get("Value")).map(text_of).and_then(Value::as_str);
    let code = code.unwrap_or_default().trim();
    let local = code.rsplit(':').next().unwrap_or_default().split('.').next().unwrap_or_default();
    let known =
        ["Client", "Sender", "VersionMismatch", "MustUnderstand", "Server", "Receiver"].into_iter().find(|name| *name == local);
    let lasting = matches!(known, Some("Client" | "Sender" | "VersionMismatch" | "MustUnderstand"));
    let shown = known.map_or_else(|| "of no known code".to_owned(), |known| format!("`{known}`"));
    let fault = Fault::new(SOAP_FAULT, format!("the service answered with a SOAP fault {shown}"));
    let hint = if lasting { "check operation, namespace and parameters" } else { "the service itself failed: ask its operator" };
    Answer::Fault { lasting, fault: fault.hint(hint) }
}
