//! One line of a notice: what the rules of publicity allow, and nothing that only looks like it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::text::is_ideograph;

/// Stands for a name that cannot be one.
pub const WITHHELD: &str = "***";

/// Longest name of a person; those of minorities are long.
const LONGEST: usize = 20;
/// What tells of an illness. No name of a person has these words.
const ILLNESS: [&str; 14] =
    ["病", "症", "癌", "瘤", "肺炎", "肝炎", "肾炎", "残疾", "残障", "障碍", "精神", "痴呆", "偏瘫", "透析"];
/// What names somebody through the head of the household: a child above all.
const KIN: [&str; 14] =
    ["之子", "之女", "儿子", "女儿", "长子", "次子", "长女", "次女", "孩子", "子女", "孙子", "孙女", "儿童", "未成年"];

/// One household.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub head_name: String,
    pub covered_count: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_capita_income: Option<String>,
    pub amount_month: String,
}

impl Item {
    /// Built up from nothing: four fields, each of its own form. A line without a count or an amount is none.
    pub fn of(value: &Value) -> Option<Self> {
        Some(Self {
            head_name: name(value["head_name"].as_str().unwrap_or_default()),
            covered_count: value["covered_count"].as_i64().filter(|count| (1..=20).contains(count))?,
            per_capita_income: value["per_capita_income"].as_str().filter(|text| is_amount(text)).map(str::to_owned),
            amount_month: value["amount_month"].as_str().filter(|text| is_amount(text))?.to_owned(),
        })
    }
}

/// The name if it is one name and nothing else.
fn name(text: &str) -> String {
    let plain = (2..=LONGEST).contains(&text.chars().count()) && text.chars().all(|c| is_ideograph(c) || c == '·');
    let more = ILLNESS.iter().chain(&KIN).any(|word| text.contains(word));
    // A name without a middle dot has four characters at most; more are two names or a remark.
    let one = text.contains('·') || text.chars().count() <= 4;
    if plain && one && !more { text.to_owned() } else { WITHHELD.to_owned() }
}

fn is_amount(text: &str) -> bool {
    let digits = |part: &str, range: std::ops::RangeInclusive<usize>| {
        range.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.split_once('.').is_some_and(|(yuan, fen)| digits(yuan, 1..=9) && digits(fen, 2..=2))
}

/// A telephone number of an office: digits and hyphens, too short for an identity number.
pub(super) fn hotline(text: &str) -> Option<&str> {
    let good = (5..=14).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    // A mobile number is somebody's own.
    (good && !(text.len() == 11 && text.starts_with('1'))).then_some(text)
}
