//! What the columns of a file hold: identity numbers, dates, divisions, money, names, phones, codes, keys.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    domain::{bank, codes::CodeLists, date, division, money, phone, resident_id::ResidentId, text, uscc},
    kit::flow::{ANY, Path},
};

/// Share of the values, in percent, that must have a form.
const ENOUGH: usize = 80;
/// Most different values of a column of codes.
const MAX_CODES: usize = 40;
/// Surnames of nearly everybody.
const SURNAMES: &str = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文朴";

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sort {
    Identity,
    Uscc,
    Mobile,
    BankCard,
    Date,
    Time,
    Month,
    Division,
    Money,
    Integer,
    /// Values of this code list of the hub.
    Code(&'static str),
    Name,
    Key,
    Text,
    Blank,
}

impl Sort {
    /// For a comment.
    pub fn text(&self) -> String {
        match self {
            Self::Identity => "identity numbers".into(),
            Self::Uscc => "social credit codes".into(),
            Self::Mobile => "mobile numbers".into(),
            Self::BankCard => "bank cards".into(),
            Self::Date => "dates".into(),
            Self::Time => "times".into(),
            Self::Month => "months".into(),
            Self::Division => "divisions".into(),
            Self::Money => "amounts in yuan".into(),
            Self::Integer => "whole numbers".into(),
            Self::Code(list) => format!("codes of the list `{list}`"),
            Self::Name => "names of persons".into(),
            Self::Key => "a key".into(),
            Self::Text => "text".into(),
            Self::Blank => "nothing".into(),
        }
    }
}

/// A column of a sample.
#[derive(Debug, Clone)]
pub struct Column {
    pub path: Path,
    pub sort: Sort,
    /// Percent of the values that are not blank and have the form.
    pub share: usize,
    /// Values that are not blank.
    pub values: Vec<String>,
    /// Every row has a value, all different.
    pub unique: bool,
}

impl Column {
    /// Whether the name of the column speaks of this.
    pub fn hints(&self, at: Hint) -> bool {
        let name = self.path.last().to_uppercase();
        at.0.iter()
            .any(|hint| if hint.len() <= 2 { name == *hint || name.ends_with(&format!("_{hint}")) } else { name.contains(hint) })
            || at.1.iter().any(|hint| name.ends_with(hint))
    }
}

/// Parts of names, and ends of names.
#[derive(Debug, Clone, Copy)]
pub struct Hint(&'static [&'static str], &'static [&'static str]);

pub const NAME: Hint = Hint(&["XM", "NAME", "姓名", "名字"], &["XM"]);
pub const SEX: Hint = Hint(&["XB", "SEX", "GENDER", "性别"], &["XB"]);
pub const BIRTH: Hint = Hint(&["CSRQ", "BIRTH", "CSNY", "出生"], &[]);
pub const PHONE: Hint = Hint(&["DH", "PHONE", "MOBILE", "TEL", "LXDH", "SJH", "电话", "手机"], &["DH"]);
pub const PLACE: Hint = Hint(&["DIVISION", "AREA", "REGION", "XZQH", "HKDM", "区划", "地区", "户籍"], &["QH", "DM"]);
pub const MONEY: Hint = Hint(&["JE", "MONEY", "AMOUNT", "金额", "元"], &["JE"]);
pub const CHANGED: Hint = Hint(&["UPDATE", "MODIF", "MOD_", "GXSJ", "XGSJ", "TIME", "时间"], &["SJ"]);
pub const KEY: Hint = Hint(&["BH", "ID", "NO", "编号", "序号", "主键"], &["BH", "ID", "NO", "XH"]);
pub const NATION: Hint = Hint(&["MZ", "NATION", "ETHNIC", "民族"], &["MZ"]);
pub const ADDRESS: Hint = Hint(&["DZ", "ADDRESS", "住址", "地址"], &["DZ"]);
const MARRIED: Hint = Hint(&["HYZK", "MARITAL", "婚姻"], &[]);
const SCHOOL: Hint = Hint(&["WHCD", "EDUCATION", "文化", "学历"], &[]);
const KIN: Hint = Hint(&["RELATION", "YHZGX", "GX", "关系"], &["GX"]);
/// Code lists by the names of columns: two letters in common are not enough to tell lists apart.
const LISTS: [(Hint, &str); 5] =
    [(SEX, "sex"), (NATION, "ethnicity"), (MARRIED, "marital_status"), (SCHOOL, "education"), (KIN, "family_relation")];

/// Every column of the rows, in the order of the first row.
pub fn of(rows: &[Value]) -> Vec<Column> {
    let mut paths = Vec::new();
    for row in rows {
        paths_of(row, &Path::default(), &mut paths);
    }
    paths.into_iter().map(|path| column(path, rows)).collect()
}

fn paths_of(value: &Value, path: &Path, found: &mut Vec<Path>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| paths_of(value, &path.join(name), found)),
        Value::Array(items) => items.iter().for_each(|item| paths_of(item, &path.join(ANY), found)),
        _ if found.contains(path) || path.parts.first().is_some_and(|part| part.starts_with('_')) => {}
        _ => found.push(path.clone()),
    }
}

/// Texts at a path, blank ones too.
pub fn values(value: &Value, parts: &[String], found: &mut Vec<String>) {
    match (parts.split_first(), value) {
        (None, Value::String(text)) => found.push(text.trim().to_owned()),
        (None, Value::Number(number)) => found.push(number.to_string()),
        (None, Value::Bool(value)) => found.push(value.to_string()),
        (None, _) => found.push(String::new()),
        (Some((part, rest)), Value::Array(items)) if part == ANY => items.iter().for_each(|item| values(item, rest, found)),
        (Some((part, rest)), Value::Object(fields)) => match fields.get(part) {
            Some(inner) => values(inner, rest, found),
            None => found.push(String::new()),
        },
        _ => {}
    }
}

fn column(path: Path, rows: &[Value]) -> Column {
    let mut all = Vec::new();
    rows.iter().for_each(|row| values(row, &path.parts, &mut all));
    let distinct: BTreeSet<&String> = all.iter().filter(|value| !text::is_blank(value)).collect();
    let unique = !all.is_empty() && distinct.len() == all.len();
    let values: Vec<String> = all.iter().filter(|value| !text::is_blank(value)).cloned().collect();
    let mut column = Column { path, sort: Sort::Text, share: 100, values, unique };
    (column.sort, column.share) = sort(&column);
    column
}

/// Whether a value may be of a sort.
type Fits<'a> = &'a dyn Fn(&str) -> bool;

/// The first sort that enough of the values have.
fn sort(column: &Column) -> (Sort, usize) {
    if column.values.is_empty() {
        return (Sort::Blank, 0);
    }
    let share = |fits: Fits<'_>| column.values.iter().filter(|value| fits(value)).count() * 100 / column.values.len();
    let digits = |value: &str| value.bytes().filter(u8::is_ascii_digit).count();
    let day = |value: &str| (7..=17).contains(&digits(value)) && date::cn_date(value).is_ok() && !division_like(value);
    let sorts: [(Sort, Fits<'_>); 9] = [
        (Sort::Identity, &|value| ResidentId::parse(value).is_ok()),
        (Sort::Uscc, &|value| value.len() == 18 && uscc::uscc(value).is_ok()),
        (Sort::Mobile, &|value| phone::mobile(value).is_ok()),
        (Sort::BankCard, &|value| digits(value) >= 16 && bank::card(value).is_ok()),
        (Sort::Division, &|value| division_like(value)),
        (Sort::Time, &|value| day(value) && digits(value) >= 11 && date::cn_time(value).is_ok()),
        (Sort::Date, &day),
        (Sort::Money, &|value| value.contains('.') && money::yuan(value).is_ok()),
        (Sort::Name, &|value| is_name(value)),
    ];
    for (sort, fits) in sorts {
        let share = share(fits);
        if share >= ENOUGH && (sort != Sort::Name || column.hints(NAME) || share >= 95) {
            return (sort, share);
        }
    }
    by_name(column, &share)
}

/// Sorts for which the values alone say too little.
fn by_name(column: &Column, share: &dyn Fn(Fits<'_>) -> usize) -> (Sort, usize) {
    let distinct: BTreeSet<&String> = column.values.iter().collect();
    if let Some((_, list)) = LISTS.iter().find(|(hint, _)| column.hints(*hint)).filter(|_| distinct.len() <= MAX_CODES) {
        let known = CodeLists::embedded().get(list);
        let fits = share(&|value| known.is_some_and(|list| list.find(value).is_some()));
        if fits >= ENOUGH {
            return (Sort::Code(list), fits);
        }
    }
    let whole = share(&|value| value.parse::<i64>().is_ok());
    if column.hints(MONEY) && share(&|value| money::yuan(value).is_ok()) >= ENOUGH {
        return (Sort::Money, share(&|value| money::yuan(value).is_ok()));
    }
    let months = share(&|value| value.len() == 6 && date::yyyymm(value).is_ok());
    if column.unique
        && column.values.iter().all(|value| value.len() <= 64 && value.is_ascii())
        && (column.hints(KEY) || whole < ENOUGH)
    {
        return (Sort::Key, 100);
    }
    if months >= ENOUGH {
        return (Sort::Month, months);
    }
    if whole >= ENOUGH { (Sort::Integer, whole) } else { (Sort::Text, 100) }
}

fn division_like(value: &str) -> bool {
    matches!(value.len(), 6 | 9 | 12) && value.bytes().all(|byte| byte.is_ascii_digit()) && division::normalise(value).is_ok()
}

fn is_name(value: &str) -> bool {
    let length = value.chars().count();
    let first = value.chars().next().is_some_and(|first| SURNAMES.contains(first));
    (2..=4).contains(&length) && first && value.chars().all(text::is_ideograph) || value.contains('·')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_known_by_their_values() {
        let rows = [
            json!({"BH": "RZ1", "XM": "张三", "SFZH": "220171197001010053", "RZSJ": "2017-07-03 09:00:00", "HKDM": "220105", "JE": "12.50", "XB": "1", "DH": "13900000001", "CSRQ": "19700101", "CH": 12}),
            json!({"BH": "RZ2", "XM": "李四", "SFZH": "", "RZSJ": "2017-07-03 10:00:00", "HKDM": "220104", "JE": "3.00", "XB": "2", "DH": "13900000002", "CSRQ": "19700202", "CH": 12}),
        ];
        let found: Vec<_> = of(&rows).into_iter().map(|column| (column.path.to_string(), column.sort)).collect();
        let sort = |name: &str| found.iter().find(|(path, _)| path == name).map(|(_, sort)| sort.clone()).unwrap();
        let expected = [
            ("BH", Sort::Key),
            ("XM", Sort::Name),
            ("SFZH", Sort::Identity),
            ("RZSJ", Sort::Time),
            ("HKDM", Sort::Division),
            ("JE", Sort::Money),
            ("XB", Sort::Code("sex")),
            ("DH", Sort::Mobile),
            ("CSRQ", Sort::Date),
            ("CH", Sort::Integer),
        ];
        for (name, expected) in expected {
            assert_eq!(sort(name), expected, "{name}");
        }
    }
}
