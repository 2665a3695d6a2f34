//! Rule files.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BAD_CONDITION, BAD_RULE, CONDITION_FAILED};
use crate::{
    adapter::map::{MapContext, MapRuntime, Mapper},
    error::Fault,
    facts::fields_of,
};

/// The rules as they are delivered; a folder takes their place.
const BUILT_IN: [(&str, &str); 11] = [
    ("R1.toml", include_str!("../../config/rules/R1.toml")),
    ("R2.toml", include_str!("../../config/rules/R2.toml")),
    ("R3.toml", include_str!("../../config/rules/R3.toml")),
    ("R3-living.toml", include_str!("../../config/rules/R3-living.toml")),
    ("R4.toml", include_str!("../../config/rules/R4.toml")),
    ("R5.toml", include_str!("../../config/rules/R5.toml")),
    ("R6.toml", include_str!("../../config/rules/R6.toml")),
    ("R7.toml", include_str!("../../config/rules/R7.toml")),
    ("R8.toml", include_str!("../../config/rules/R8.toml")),
    ("R9.toml", include_str!("../../config/rules/R9.toml")),
    ("R10.toml", include_str!("../../config/rules/R10.toml")),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Low,
    Medium,
    High,
}

/// Whose work a hit is: the office of this level in whose area the record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    Township,
    County,
    Prefecture,
    Province,
}

/// A rule file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    pub id: String,
    pub name: String,
    pub severity: Severity,
    pub owner: Owner,
    /// The dataset whose records are hit.
    pub of: String,
    /// Datasets whose records are named as evidence where the condition is a plain yes.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// The field with the money concerned.
    #[serde(default)]
    pub amount: Option<String>,
    /// The condition, in VRL: `true`, or the list of facts that show it.
    #[serde(skip_serializing)]
    pub when: String,
}

/// A rule that can be held against facts.
#[derive(Debug)]
pub struct Rule {
    pub form: Form,
    program: Mapper,
}

impl Rule {
    /// Reads a rule and compiles its condition.
    ///
    /// # Errors
    /// Every fault of the file.
    pub fn parse(text: &str, file: &str) -> Result<Self, Vec<Fault>> {
        let form: Form =
            toml::from_str(text).map_err(|error| vec![Fault::new(BAD_RULE, error.message().to_owned()).in_file(file)])?;
        let unknown = std::iter::once(&form.of).chain(&form.evidence).find(|dataset| fields_of(dataset).is_none());
        if let Some(dataset) = unknown {
            let fault = Fault::new(BAD_RULE, format!("no facts are kept of `{dataset}`")).in_file(file);
            return Err(vec![fault.hint("docs/supervision.md lists the datasets and their fields")]);
        }
        let program = Mapper::compile(&form.when, file, &MapContext::default())
            .map_err(|faults| faults.into_iter().map(|fault| Fault { code: BAD_CONDITION, ..fault }).collect::<Vec<_>>())?;
        Ok(Self { form, program })
    }

    /// Whether the condition holds, and the facts it gives as evidence.
    ///
    /// # Errors
    /// The condition failed on these facts.
    pub fn hits(&self, runtime: &mut MapRuntime, input: &Value) -> Result<Option<Vec<Value>>, Fault> {
        let failed = |fault: Fault| Fault { code: CONDITION_FAILED, ..fault };
        Ok(match self.program.value_of(runtime, input).map_err(failed)? {
            Value::Bool(true) => Some(Vec::new()),
            Value::Array(shown) if !shown.is_empty() => Some(shown),
            _ => None,
        })
    }

    /// The division that has to work on a hit in this one.
    pub fn owner_of(&self, division: &str) -> String {
        let length = match self.form.owner {
            Owner::Township => 9,
            Owner::County => 6,
            Owner::Prefecture => 4,
            Owner::Province => 2,
        };
        format!("{:0<12}", division.get(..length).unwrap_or(division))
    }
}

/// All rules of a folder, in the order of their numbers; the built-in ones where there is no such folder.
///
/// # Errors
/// Every fault of every file.
pub fn load(folder: &Path) -> Result<Vec<Rule>, Vec<Fault>> {
    let files: Vec<(String, String)> = match std::fs::read_dir(folder) {
        Ok(entries) => {
            let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
            let paths = paths.filter(|path| path.extension().is_some_and(|end| end == "toml"));
            paths.map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap_or_default())).collect()
        }
        Err(_) => BUILT_IN.iter().map(|(file, text)| (format!("config/rules/{file}"), (*text).to_owned())).collect(),
    };
    let (mut rules, mut faults) = (Vec::new(), Vec::new());
    for (file, text) in files {
        match Rule::parse(&text, &file) {
            Ok(rule) => rules.push(rule),
            Err(found) => faults.extend(found),
        }
    }
    rules.sort_by_key(|rule| (rule.form.id.len(), rule.form.id.clone()));
    let twice = rules.windows(2).find(|pair| pair[0].form.id == pair[1].form.id);
    faults.extend(twice.map(|pair| Fault::new(BAD_RULE, format!("two files are of rule `{}`", pair[0].form.id))));
    if faults.is_empty() { Ok(rules) } else { Err(faults) }
}
