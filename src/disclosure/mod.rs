//! Public disclosure: the two disclosures (policies and lists, which stand) and the two publicities (of review and of
//! approval, which run from a day to a day) as a feed for everybody.
//!
//! A notice is kept with the batch of the router ([`note`]), and only what a notice may show is kept: [`item`] builds it up
//! from nothing. On the day after its last one it is in no answer any more.

mod item;
mod store;

pub use item::Item;
pub use store::{note, standing};

use serde::Serialize;

use crate::{
    domain::{codes::CodeLists, division},
    error::Code,
};

/// The division or the day of a question about notices is none.
pub const NO_PLACE: Code = Code::new(7650);

/// One notice that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Derived from the source's own; says nothing about anybody.
    pub id: String,
    pub kind: String,
    pub division: String,
    /// Made of kind and place: what a source writes into a title never reaches the public.
    pub title: String,
    pub from: String,
    /// The last day; a list has none.
    pub to: Option<String>,
    pub hotline: Option<String>,
    pub items: Vec<Item>,
}

/// `吉林省长春市…社区 审核公示`
fn title(kind: &str, place: &str) -> String {
    let list = CodeLists::embedded().get("notice_kind");
    let name = list.and_then(|list| list.find(kind)).map_or("公示", |entry| entry.zh.as_str());
    format!("{}{name}", division::full_name(place).unwrap_or_default())
}

#[cfg(test)]
mod tests;
