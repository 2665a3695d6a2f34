//! Exchanges: what the hub asks others, and what becomes of the answers. So far verification: a household's assets at the
//! banks, under its authorisation.
//!
//! [`authorisation`] is the store of what households have signed, [`request`] decides whether a question may be asked and fans
//! it out into one query per person and provider, [`due`] finds those that may leave, [`drive`] sends them and watches the
//! deadlines ([`files`] for banks that take files), [`answer`] takes what comes back, [`report`] makes a report of it. Transports are outside, behind [`Provider`].
//!
//! Invariants: no query leaves before the authorisation was found good in the same pass; a refusal is one row in the ledger and
//! no packet; a query keeps its number however often it is sent; a report is issued once for one state of the answers.

pub mod answer;
pub mod authorisation;
pub mod book;
pub mod drive;
pub mod due;
pub mod files;
pub mod report;
pub mod request;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    envelope::Event,
    error::{Code, Fault},
};

/// A request or an authorisation cannot be read.
pub const UNREADABLE: Code = Code::new(6701);
/// No authorisation of this number is stored.
pub const NO_AUTHORISATION: Code = Code::new(6702);
/// The household has revoked its authorisation.
pub const REVOKED: Code = Code::new(6703);
/// The authorisation has run out, or is signed in the future.
pub const EXPIRED: Code = Code::new(6704);
/// A person of the request is not among those who signed, or an adult or a guardian did not sign.
pub const INCOMPLETE: Code = Code::new(6705);
/// A kind of query was not signed for.
pub const OUT_OF_SCOPE: Code = Code::new(6706);
/// The household does not belong to the operator's division.
pub const OTHER_DIVISION: Code = Code::new(6707);
/// The purpose is none for which assets may be verified.
pub const BAD_PURPOSE: Code = Code::new(6708);
/// The request number belongs to another request.
pub const OTHER_REQUEST: Code = Code::new(6709);
/// An answer is about another person than the one asked for.
pub const WRONG_SUBJECT: Code = Code::new(6710);
/// An answer cannot be read or belongs to no query.
pub const BAD_ANSWER: Code = Code::new(6711);
/// A second answer differs from the first.
pub const SECOND_ANSWER: Code = Code::new(6712);
/// A provider cannot be reached or has no endpoint.
pub const UNAVAILABLE: Code = Code::new(6713);
/// There is no request or report of this number.
pub const NO_REQUEST: Code = Code::new(6714);
/// No agreement lets the query leave to this provider.
pub const NO_AGREEMENT: Code = Code::new(6715);

/// A person as a provider may know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub name: String,
    #[serde(default = "resident")]
    pub id_type: String,
    pub id_number: String,
}

fn resident() -> String {
    "01".to_owned()
}

/// How a provider received a query.
#[derive(Debug, Clone)]
pub enum Reply {
    /// With its answer.
    Answer(Value),
    /// It will answer later.
    Acknowledged,
    /// It will not answer, for a reason of its own.
    Refused(String),
    /// It could not be reached: the same query goes again.
    Unavailable(Fault),
}

/// A bank or department, by whatever transport.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Hands over one query. The record of the event has five fields and nothing else; a transport that calls the provider
    /// sends the record alone. Seeing a query number twice must have one effect.
    async fn ask(&self, query: &Event) -> Reply;

    /// The folder of a provider that is asked by files; then it is never asked one by one.
    fn folder(&self) -> Option<&dyn files::DropBox> {
        None
    }
}

/// A provider of the list of banks.
#[derive(Debug, Clone, Deserialize)]
pub struct Bank {
    pub code: String,
    pub name_zh: String,
    #[serde(rename = "query_transport_for_demo")]
    pub transport: String,
}

const BANKS: &str = include_str!("../../config/codes/bank_codes.csv");

/// The banks that are asked, in the order of the list.
pub fn banks() -> Vec<Bank> {
    csv::Reader::from_reader(BANKS.as_bytes()).deserialize().filter_map(Result::ok).collect()
}

/// The partner file of a provider: `bank-icbc` for `ICBC`, the slug itself for a department.
pub fn partner_of(provider: &str) -> String {
    if provider.bytes().any(|byte| byte.is_ascii_uppercase()) {
        format!("bank-{}", provider.to_ascii_lowercase())
    } else {
        provider.to_owned()
    }
}
