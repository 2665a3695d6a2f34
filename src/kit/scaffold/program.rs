//! The first mapping program, with a comment per field that says how sure it is.

use std::{collections::BTreeMap, fmt::Write};

use super::propose::{self, Pair, person, top};
use crate::{
    kit::{
        flow::Path,
        sniff::columns::{BIRTH, CHANGED, Column, Sort},
    },
    schema::{DatasetSchema, Field, Kind},
};

/// A division for rows that name none: the province.
const PROVINCE: &str = "220000000000";

/// What a program is made of.
pub(super) struct Draft<'a> {
    pub(super) slug: &'a str,
    pub(super) schema: &'a DatasetSchema,
    pub(super) columns: &'a [Column],
    pub(super) pairs: BTreeMap<String, Pair>,
    pub(super) key: Vec<usize>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(slug: &'a str, schema: &'a DatasetSchema, columns: &'a [Column]) -> Self {
        let pairs = propose::pairs(schema, columns);
        Self { slug, schema, columns, pairs, key: key(columns) }
    }

    /// Places of columns that no field and no key takes.
    pub(super) fn left(&self) -> Vec<&Path> {
        let text = self.text();
        let used = |column: &Column| mentions(&text, &path(column));
        self.columns.iter().filter(|column| !used(column)).map(|column| &column.path).collect()
    }

    /// Demanded fields that nothing fills.
    pub(super) fn missing(&self) -> Vec<&Field> {
        top(self.schema).filter(|field| field.required && self.line(field).is_none()).collect()
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "# A first draft of `{}` ({}), made from a sample: read every line.\nquality = []\n",
            self.schema.id(),
            self.schema.title
        );
        let _ = writeln!(text, "key = {}", self.key_expression());
        let _ = writeln!(text, "{}", self.division());
        let _ = writeln!(text, "{}\n\nrecord = {{}}", self.occurred_at());
        for field in top(self.schema) {
            match self.line(field) {
                Some(line) => text.push_str(&line),
                None if field.required => {
                    let _ = writeln!(text, "# TODO: `{}` ({}) is demanded and no column fits.", field.name(), field.name_zh);
                }
                None => {}
            }
        }
        let dataset = &self.schema.dataset;
        let _ = write!(
            text,
            "\n. = [{{\n  \"dataset\": \"{dataset}\", \"op\": \"upsert\", \"key\": key, \"division\": division, \"occurred_at\": occurred_at,\n  \"record\": record, \"quality\": quality\n}}]\n"
        );
        text
    }

    fn key_expression(&self) -> String {
        let part = |place: &usize| format!("strip_whitespace(to_string!({}))", path(&self.columns[*place]));
        self.key.iter().map(part).collect::<Vec<_>>().join(" + \"-\" + ")
    }

    fn division(&self) -> String {
        match self.columns.iter().find(|column| column.sort == Sort::Division) {
            Some(column) => format!("division = division!({})  # {}", path(column), said(column)),
            None => format!(
                "# No column has a division: the province stands for it.\ndivision = \"{PROVINCE}\"\nquality = push(quality, {{ \"rule\": \"division-unknown\", \"level\": \"warn\", \"field\": \"division\" }})"
            ),
        }
    }

    fn occurred_at(&self) -> String {
        let times = |column: &&Column| matches!(column.sort, Sort::Time | Sort::Date) && !column.hints(BIRTH);
        let all: Vec<&Column> = self.columns.iter().filter(times).collect();
        let changed =
            all.iter().find(|column| column.hints(CHANGED)).or_else(|| all.iter().find(|column| column.sort == Sort::Time));
        match changed.or_else(|| all.first()) {
            Some(column) => format!("occurred_at = cn_time!({})  # {}: is it the time of the last change?", path(column), said(column)),
            None => "# No column has a time. The time of reading changes when a file is read again: look for a better one.\noccurred_at = cn_time!(%read_at)".to_owned(),
        }
    }

    /// The line that writes a field; none if nothing is known for it.
    fn line(&self, field: &Field) -> Option<String> {
        let name = field.name();
        let zh = if field.name_zh.is_empty() { String::new() } else { format!(" {}", field.name_zh) };
        let Some(pair) = self.pairs.get(&field.pointer) else {
            return self.derived(field).map(|line| format!("{line}  #{zh}: derived\n"));
        };
        let column = &self.columns[pair.column];
        let value = expression(field, column)?;
        let comment = format!("#{zh}: {}, {}", said(column), pair.confidence(column.share));
        let write = format!("record.{name} = {value}");
        Some(if field.required {
            format!("{write}  {comment}\n")
        } else {
            format!("if !blank({}) {{ {write} }}  {comment}\n", path(column))
        })
    }

    /// What follows from the number of the person, or from the adapter itself.
    fn derived(&self, field: &Field) -> Option<String> {
        let name = field.name();
        let slot = person(self.schema)?;
        let number = slot.fields.number.as_ref().and_then(|number| self.pairs.get(&format!("/{number}")));
        let of = number.map(|pair| path(&self.columns[pair.column]));
        let is = |of: &Option<String>| of.as_deref() == Some(name);
        if is(&slot.fields.reference) {
            // A reference begins with letters alone.
            let prefix: String = self.slug.chars().filter(char::is_ascii_lowercase).collect();
            return Some(format!("record.{name} = \"{prefix}:\" + key"));
        }
        let of = of?;
        match name {
            _ if is(&slot.fields.birth_date) => Some(format!("record.{name} = resident_id_birth!({of})")),
            _ if is(&slot.fields.sex) => Some(format!("record.{name} = resident_id_sex!({of})")),
            "id_type" => Some(format!("record.{name} = \"01\"")),
            _ => None,
        }
    }
}

/// Whether a program names a path as a whole.
fn mentions(text: &str, path: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    text.match_indices(path).any(|(at, _)| text.get(at + path.len()..).is_some_and(ends))
}

/// A column with unique values; else the number of a person; else the first two columns.
fn key(columns: &[Column]) -> Vec<usize> {
    let place = |sort: &Sort| columns.iter().position(|column| column.sort == *sort && column.unique);
    place(&Sort::Key)
        .or_else(|| place(&Sort::Integer))
        .or_else(|| place(&Sort::Identity))
        .map_or_else(|| (0..columns.len().min(2)).collect(), |one| vec![one])
}

/// The column in the program: `.SFZH`, `."金额 元"`, `.applicant.name`.
fn path(column: &Column) -> String {
    let plain = |part: &String| {
        part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !part.starts_with(|c: char| c.is_ascii_digit())
    };
    let part = |part: &String| if plain(part) { format!(".{part}") } else { format!(".\"{}\"", part.replace('"', "\\\"")) };
    column.path.parts.iter().map(part).collect()
}

fn said(column: &Column) -> String {
    format!("{} holds {} ({} % of {})", column.path.last(), column.sort.text(), column.share, column.values.len())
}

fn expression(field: &Field, column: &Column) -> Option<String> {
    let at = path(column);
    Some(match (&field.kind, &column.sort) {
        (Kind::Code(list), _) => format!("code!(\"{list}\", {at})"),
        (Kind::Money, _) => format!("yuan!({at})"),
        (Kind::Date, _) => format!("cn_date!({at})"),
        (Kind::DateTime, _) => format!("cn_time!({at})"),
        (Kind::Integer, _) => format!("to_int!({at})"),
        (Kind::String, Sort::Identity) => format!("resident_id!({at})"),
        (Kind::String, Sort::Division) => format!("division!({at})"),
        (Kind::String, Sort::Mobile) => format!("mobile!({at})"),
        (Kind::String, Sort::BankCard) => format!("bank_card!({at})"),
        (Kind::String, Sort::Uscc) => format!("uscc!({at})"),
        (Kind::String, Sort::Month) => format!("yyyymm!({at})"),
        (Kind::String, Sort::Name) => format!("nfkc({at})"),
        (Kind::String, _) => format!("strip_whitespace(to_string!({at}))"),
        _ => return None,
    })
}
