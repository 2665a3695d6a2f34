//! Turns validation errors into faults that never quote the record.
//!
//! The validator's own texts quote values and unexpected property names, either of which may be a person's name or
//! number. So messages are written here from the keyword and the schema alone, and a pointer shows only names that the
//! schema knows.

use std::collections::{HashMap, HashSet};

use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind as Kind},
};

use super::{field::Field, formats};
use crate::error::{Code, Fault};

/// A value has another JSON type than the schema says.
pub const WRONG_TYPE: Code = Code::new(4101);
/// A required field is missing.
pub const MISSING: Code = Code::new(4102);
/// The record has a field that the schema does not have.
pub const UNEXPECTED: Code = Code::new(4103);
/// A text is too short or too long.
pub const WRONG_LENGTH: Code = Code::new(4104);
/// A text does not match the pattern of its field.
pub const WRONG_PATTERN: Code = Code::new(4105);
/// A text is not what its format says: a number with a wrong check digit, a day that does not exist.
pub const WRONG_FORMAT: Code = Code::new(4106);
/// A value is not among the allowed ones, or not in the code list.
pub const WRONG_CODE: Code = Code::new(4107);
/// A number is too small, too large or not a multiple.
pub const OUT_OF_RANGE: Code = Code::new(4108);
/// A list or object has too few, too many or repeated items.
pub const WRONG_COUNT: Code = Code::new(4109);
/// A combination of fields is not allowed.
pub const WRONG_COMBINATION: Code = Code::new(4110);
/// There are more faults than are listed.
pub const MORE: Code = Code::new(4112);

/// A record of a megabyte could hold a hundred thousand faults; nobody reads more than these.
const MOST: usize = 100;

/// The code that a violation of `keyword` is reported under.
pub fn code_of_keyword(keyword: &str) -> Code {
    match keyword {
        "type" => WRONG_TYPE,
        "required" | "dependentRequired" => MISSING,
        "additionalProperties" | "unevaluatedProperties" | "propertyNames" | "falseSchema" => UNEXPECTED,
        "minLength" | "maxLength" => WRONG_LENGTH,
        "pattern" => WRONG_PATTERN,
        "format" => WRONG_FORMAT,
        "enum" | "const" | "x-codes" => WRONG_CODE,
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => OUT_OF_RANGE,
        "minItems" | "maxItems" | "uniqueItems" | "contains" | "additionalItems" | "unevaluatedItems" | "minProperties"
        | "maxProperties" => WRONG_COUNT,
        "x-filled-by" => super::dataset::NO_PERSON_KEY,
        _ => WRONG_COMBINATION,
    }
}

/// What of the schema may be shown: property names, and the Chinese name of each field.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashSet<String>,
    chinese: HashMap<String, String>,
}

impl Names {
    pub(super) fn of(fields: &[Field]) -> Self {
        let known = fields.iter().map(|field| field.name().to_owned()).collect();
        let chinese = fields.iter().filter(|field| !field.name_zh.is_empty());
        Self { known, chinese: chinese.map(|field| (field.pointer.clone(), field.name_zh.clone())).collect() }
    }

    /// `pointer` with every segment that may come from the record replaced. A list has no million items here: a longer
    /// run of digits is a property name, perhaps somebody's number.
    fn shown(&self, pointer: &str) -> String {
        let is_index = |segment: &str| segment.len() <= 6 && segment.bytes().all(|byte| byte.is_ascii_digit());
        let mut shown = String::new();
        for segment in pointer.split('/').skip(1) {
            shown.push('/');
            shown.push_str(if is_index(segment) || self.known.contains(segment) { segment } else { "*" });
        }
        shown
    }

    /// How a message speaks of the value at a shown pointer.
    fn subject(&self, shown: &str) -> String {
        let Some(name) = shown.rsplit('/').find(|segment| self.known.contains(*segment)) else { return "the record".to_owned() };
        let generic =
            |segment: &str| if segment.bytes().all(|byte| byte.is_ascii_digit()) { "*".to_owned() } else { segment.to_owned() };
        let pattern: Vec<String> =
            shown.split('/').map(|part| if part.is_empty() { String::new() } else { generic(part) }).collect();
        match self.chinese.get(&pattern.join("/")) {
            Some(chinese) => format!("`{name}` ({chinese})"),
            None if shown.ends_with(name) => format!("`{name}`"),
            None => format!("an item of `{name}`"),
        }
    }

    /// The unexpected names that the schema knows elsewhere, and the number of the others.
    fn unexpected(&self, names: &[String]) -> String {
        let known: Vec<String> = names.iter().filter(|name| self.known.contains(*name)).map(|name| format!("`{name}`")).collect();
        match (known.is_empty(), names.len() - known.len()) {
            (true, 1) => "1 field that the schema does not have".to_owned(),
            (true, others) => format!("{others} fields that the schema does not have"),
            (false, 0) => format!("{}, which does not belong there", known.join(", ")),
            (false, others) => format!("{}, which does not belong there, and {others} unknown", known.join(", ")),
        }
    }
}

/// All errors of one record as faults, at most a hundred.
pub(super) fn explain<'a>(errors: impl Iterator<Item = ValidationError<'a>>, names: &Names) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut more = 0_usize;
    for error in errors {
        if faults.len() < MOST {
            one(&error, names, &mut faults);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        faults
            .push(Fault::new(MORE, format!("the record has at least {more} more faults")).hint("correct the ones listed first"));
    }
    faults
}

fn one(error: &ValidationError<'_>, names: &Names, faults: &mut Vec<Fault>) {
    if let Some(branch) = meant_branch(error) {
        for error in branch {
            one(error, names, faults);
        }
        return;
    }
    let keyword = error.kind().keyword();
    let mut pointer = names.shown(error.instance_path().as_str());
    if let Kind::Required { property } = error.kind() {
        // The place to mend is the field, not the object that lacks it.
        pointer = format!("{pointer}/{}", property.as_str().unwrap_or_default());
    }
    let subject = names.subject(&pointer);
    let (message, expected) = words(error.kind(), &subject, names);
    let fault = Fault::new(code_of_keyword(keyword), message).at_pointer(pointer);
    let fault = if expected.is_empty() { fault } else { fault.expected(expected) };
    if !faults.contains(&fault) {
        faults.push(fault);
    }
}

/// Of alternatives like "null or an object", the one that was meant: the only one that fails at something else than the
/// type of the value itself.
fn meant_branch<'e>(error: &'e ValidationError<'_>) -> Option<&'e Vec<ValidationError<'static>>> {
    let (Kind::AnyOf { context } | Kind::OneOfNotValid { context }) = error.kind() else { return None };
    let here = error.instance_path().as_str();
    let by_type =
        |other: &ValidationError<'_>| matches!(other.kind(), Kind::Type { .. }) && other.instance_path().as_str() == here;
    let mut meant = context.iter().filter(|branch| !branch.is_empty() && !branch.iter().any(by_type));
    let first = meant.next();
    if meant.next().is_none() { first } else { None }
}

/// Message and expectation for one kind of error; texts come from the schema alone.
fn words(kind: &Kind, subject: &str, names: &Names) -> (String, String) {
    let (message, expected) = match kind {
        Kind::Type { kind } => ("has the wrong type".to_owned(), types(kind)),
        Kind::Required { .. } => ("is missing".to_owned(), String::new()),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            (format!("has {}", names.unexpected(unexpected)), "only fields of the schema".to_owned())
        }
        Kind::PropertyNames { .. } => ("has a field name that is not allowed".to_owned(), String::new()),
        Kind::FalseSchema => ("is not allowed here".to_owned(), String::new()),
        Kind::MinLength { limit } => ("is too short".to_owned(), format!("at least {limit} characters")),
        Kind::MaxLength { limit } => ("is too long".to_owned(), format!("at most {limit} characters")),
        Kind::Pattern { pattern } => ("does not match its pattern".to_owned(), format!("text like `{pattern}`")),
        Kind::Format { format } => (format!("is not a valid `{format}`"), formats::expectation(format)),
        Kind::Enum { options } => ("is not an allowed value".to_owned(), format!("one of {options}")),
        Kind::Constant { expected_value } => ("is not the fixed value".to_owned(), expected_value.to_string()),
        // The text of a custom keyword is the expectation that its validator wrote.
        Kind::Custom { message, .. } => ("is not in its code list".to_owned(), message.clone()),
        Kind::Minimum { limit } => ("is too small".to_owned(), format!("{limit} or more")),
        Kind::Maximum { limit } => ("is too large".to_owned(), format!("{limit} or less")),
        Kind::ExclusiveMinimum { limit } => ("is too small".to_owned(), format!("more than {limit}")),
        Kind::ExclusiveMaximum { limit } => ("is too large".to_owned(), format!("less than {limit}")),
        Kind::MultipleOf { multiple_of } => ("is not a multiple".to_owned(), format!("a multiple of {multiple_of}")),
        Kind::MinItems { limit } => ("has too few items".to_owned(), format!("at least {limit}")),
        Kind::MaxItems { limit } => ("has too many items".to_owned(), format!("at most {limit}")),
        Kind::UniqueItems => ("has an item twice".to_owned(), "each item once".to_owned()),
        Kind::Contains => ("lacks an item it must have".to_owned(), String::new()),
        Kind::MinProperties { limit } => ("has too few fields".to_owned(), format!("at least {limit}")),
        Kind::MaxProperties { limit } => ("has too many fields".to_owned(), format!("at most {limit}")),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => ("matches none of the forms it may have".to_owned(), String::new()),
        Kind::OneOfMultipleValid { .. } => ("matches more than one of the forms it may have".to_owned(), String::new()),
        Kind::Not { .. } => ("has a combination of fields that is not allowed".to_owned(), String::new()),
        other => (format!("violates `{}`", other.keyword()), String::new()),
    };
    (format!("{subject} {message}"), expected)
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => format!("a value of type `{one}`"),
        TypeKind::Multiple(set) => {
            let names: Vec<String> = set.iter().map(|one| format!("`{one}`")).collect();
            format!("a value of type {}", names.join(" or "))
        }
    }
}
