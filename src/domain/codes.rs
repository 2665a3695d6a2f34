//! Code lists: national standards and the department's own, looked up by code, Chinese name or alias.
//!
//! Embedded from `config/codes`; the file name without its ending is the list's name. Short names that people write
//! (农信社, 建行) are in `aliases.csv`.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::{Refusal, text};
use crate::error::Code;

/// A value is not in its code list.
pub const CODE_VALUE: Code = Code::new(3110);

const LISTS: &str = include_str!("../../config/codes/code_lists.json");
const ALIASES: &str = include_str!("../../config/codes/aliases.csv");
/// Name of the list, its short name if it has one, its file.
const FILES: &[(&str, &str, &str)] = &[
    ("bank_codes", "bank", include_str!("../../config/codes/bank_codes.csv")),
    ("cnaps_types", "", include_str!("../../config/codes/cnaps_types.csv")),
    ("disability_category", "", include_str!("../../config/codes/disability_category.csv")),
    ("disability_grade", "", include_str!("../../config/codes/disability_grade.csv")),
    ("disaster_indicators", "", include_str!("../../config/codes/disaster_indicators.csv")),
    ("education", "", include_str!("../../config/codes/education.csv")),
    ("ethnicity", "", include_str!("../../config/codes/ethnicity.csv")),
    ("family_relation", "", include_str!("../../config/codes/family_relation.csv")),
    ("hazard_codes", "hazard", include_str!("../../config/codes/hazard_codes.csv")),
    ("id_type", "", include_str!("../../config/codes/id_type.csv")),
    ("marital_status", "", include_str!("../../config/codes/marital_status.csv")),
    ("service_departments", "", include_str!("../../config/codes/service_departments.csv")),
    ("service_items", "", include_str!("../../config/codes/service_items.csv")),
    ("sex", "", include_str!("../../config/codes/sex.csv")),
];
/// Columns whose values also lead to the entry.
const ALIAS_COLUMNS: &[&str] = &["alpha", "slug", "field", "cnaps_head_office", "cnaps_type"];
/// Longest value that is looked up at all.
const LONGEST: usize = 64;

/// One code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Entry {
    pub code: String,
    /// Chinese name.
    pub zh: String,
    /// English name.
    #[serde(default)]
    pub en: String,
    /// Further columns of the list, by column name.
    #[serde(default)]
    pub more: BTreeMap<String, String>,
}

/// One list.
#[derive(Debug, Clone, Default)]
pub struct CodeList {
    pub name: String,
    /// In the order of the file.
    pub entries: Vec<Entry>,
    index: FxHashMap<String, usize>,
}

impl CodeList {
    /// A list of source values and their canonical codes, such as the `[codes.<name>]` table of an adapter.
    pub fn translation(name: &str, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut list = Self { name: name.to_owned(), ..Self::default() };
        for (from, code) in pairs {
            list.index.insert(key(&from), list.entries.len());
            list.index.insert(from, list.entries.len());
            list.entries.push(Entry { code, ..Entry::default() });
        }
        list
    }

    fn new(name: &str, entries: Vec<Entry>) -> Self {
        let mut list = Self { name: name.to_owned(), entries, index: FxHashMap::default() };
        // Codes first, so that no name or alias can hide a code.
        list.add_keys(|entry| vec![&entry.code]);
        list.add_keys(|entry| vec![&entry.zh]);
        list.add_keys(|entry| ALIAS_COLUMNS.iter().filter_map(|column| entry.more.get(*column)).collect());
        list
    }

    fn add_keys(&mut self, keys: impl Fn(&Entry) -> Vec<&String>) {
        for (place, entry) in self.entries.iter().enumerate() {
            for text in keys(entry).into_iter().filter(|text| !text.is_empty()) {
                self.index.entry(text.clone()).or_insert(place);
                self.index.entry(key(text)).or_insert(place);
            }
        }
    }

    fn add_alias(&mut self, alias: &str, code: &str) -> bool {
        let Some(place) = self.entries.iter().position(|entry| entry.code == code) else { return false };
        self.index.entry(alias.to_owned()).or_insert(place);
        self.index.entry(key(alias)).or_insert(place);
        true
    }

    /// The entry of a code, Chinese name or alias; width, case and spaces do not matter.
    pub fn find(&self, value: &str) -> Option<&Entry> {
        self.place(value).and_then(|place| self.entries.get(place))
    }

    /// Place of the entry in [`CodeList::entries`].
    pub fn place(&self, value: &str) -> Option<usize> {
        self.index.get(value).or_else(|| self.index.get(&key(value))).copied()
    }

    /// The refusal of a value that is not in the list.
    pub fn refusal(&self) -> Refusal {
        let known: Vec<&str> = self.entries.iter().map(|entry| entry.code.as_str()).take(12).collect();
        let more = if self.entries.len() > known.len() { ", …" } else { "" };
        Refusal {
            code: CODE_VALUE,
            message: format!("the value is not in the code list `{}`", self.name).into(),
            expected: format!("a code or name of `{}` ({}{more})", self.name, known.join(", ")).into(),
        }
    }
}

/// All lists.
#[derive(Debug, Clone, Default)]
pub struct CodeLists {
    lists: BTreeMap<String, Arc<CodeList>>,
}

static EMBEDDED: LazyLock<CodeLists> = LazyLock::new(embedded);

impl CodeLists {
    /// The lists that come with the program.
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }

    /// A list by its name.
    pub fn get(&self, list: &str) -> Option<&Arc<CodeList>> {
        self.lists.get(list)
    }

    /// Names of all lists.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lists.keys().map(String::as_str)
    }
}

#[derive(Deserialize)]
struct JsonList {
    codes: Vec<Entry>,
}

fn embedded() -> CodeLists {
    let mut lists: BTreeMap<String, CodeList> = BTreeMap::new();
    // A test checks that the embedded files parse: a fault here is one of the build, not of an input.
    let json: BTreeMap<String, JsonList> = serde_json::from_str(LISTS).unwrap_or_default();
    for (name, list) in json {
        lists.insert(name.clone(), CodeList::new(&name, list.codes));
    }
    for (name, _, file) in FILES {
        lists.insert((*name).to_owned(), CodeList::new(name, entries_of(file)));
    }
    for line in ALIASES.lines().skip(1) {
        if let [list, alias, code] = *line.split(',').collect::<Vec<_>>()
            && let Some(list) = lists.get_mut(list)
        {
            list.add_alias(alias, code);
        }
    }
    let mut lists: BTreeMap<String, Arc<CodeList>> = lists.into_iter().map(|(name, list)| (name, Arc::new(list))).collect();
    for (name, short, _) in FILES.iter().filter(|(_, short, _)| !short.is_empty()) {
        if let Some(list) = lists.get(*name).cloned() {
            lists.insert((*short).to_owned(), list);
        }
    }
    CodeLists { lists }
}

/// Reads a CSV: the code is in `code`, `item_code`, `dept_no` or `prefix`, the names in `name_zh` and `name_en`.
fn entries_of(file: &str) -> Vec<Entry> {
    let mut lines = file.lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let mut entries = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let mut entry = Entry::default();
        for (column, value) in columns.iter().zip(line.split(',')) {
            match *column {
                "code" | "item_code" | "prefix" => value.clone_into(&mut entry.code),
                "dept_no" if entry.code.is_empty() => value.clone_into(&mut entry.code),
                "name_zh" => value.clone_into(&mut entry.zh),
                "name_en" => value.clone_into(&mut entry.en),
                column => {
                    entry.more.insert(column.to_owned(), value.to_owned());
                }
            }
        }
        entries.push(entry);
    }
    entries
}

/// The form in which keys are compared.
fn key(value: &str) -> String {
    text::compact_upper(value, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(list: &str, value: &str) -> Option<String> {
        CodeLists::embedded().get(list).unwrap().find(value).map(|entry| entry.code.clone())
    }

    #[test]
    fn every_file_is_read_whole() {
        let json: BTreeMap<String, JsonList> = serde_json::from_str(LISTS).unwrap();
        assert_eq!(json.len(), 42);
        for (name, _, file) in FILES {
            // Splitting at commas is enough only while no field is quoted.
            assert!(!file.contains('"'), "{name}");
            let list = CodeLists::embedded().get(name).unwrap();
            assert_eq!(list.entries.len(), file.lines().filter(|line| !line.is_empty()).count() - 1, "{name}");
            assert!(list.entries.iter().all(|entry| !entry.code.is_empty() && !entry.zh.is_empty()), "{name}");
        }
        for line in ALIASES.lines().skip(1) {
            let [list, alias, to] = *line.split(',').collect::<Vec<_>>() else { panic!("{line}") };
            assert_eq!(code(list, alias).as_deref(), Some(to), "{line}");
        }
    }

    #[test]
    fn lookups() {
        let cases = [
            ("sex", "男", "1"),
            ("sex", "男性", "1"),
            ("sex", "2", "2"),
            ("bank", "农信社", "JLRCU"),
            ("bank_codes", "建行", "CCB"),
            ("bank", "中国建设银行", "CCB"),
            ("bank", "102100099996", "ICBC"),
            ("bank", "ccb", "CCB"),
            ("ethnicity", "朝鲜族", "10"),
            ("ethnicity", "朝鲜", "10"),
            ("assistance_category", "城市最低生活保障", "UD"),
            ("assistance_category", "ｕｄ", "UD"),
            ("hazard", "洪涝", "010200"),
            ("service_items", "01001", "01001"),
            ("service_departments", "civil-affairs", "01"),
            ("funeral_method", " 公墓安葬 ", "2"),
        ];
        for (list, value, expected) in cases {
            assert_eq!(code(list, value).as_deref(), Some(expected), "{list} {value}");
        }
        assert_eq!(code("sex", "无"), None);
        assert_eq!(code("sex", &"男".repeat(1_000_000)), None);
    }

    #[test]
    fn further_columns_are_kept() {
        let list = CodeLists::embedded().get("service_items").unwrap();
        assert_eq!(list.find("01001").unwrap().more["promised_workdays"], "30");
        assert_eq!(list.find("01001").unwrap().more["dept_no"], "01");
    }

    #[test]
    fn a_refusal_names_the_list_and_codes() {
        let refusal = CodeLists::embedded().get("sex").unwrap().refusal();
        assert!(refusal.expected.contains("0, 1, 2, 9") && refusal.message.contains("`sex`"));
    }

    #[test]
    fn a_translation_maps_source_values() {
        let list = CodeList::translation("SEX", [("男".to_owned(), "1".to_owned()), ("M".to_owned(), "1".to_owned())]);
        assert_eq!(list.find("m").unwrap().code, "1");
        assert!(list.find("1").is_none());
    }
}
