//! What inputs are tried on: the adapters and schemas of the project, and forms that no adapter has.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, LazyLock},
};

use crate::{
    adapter::{
        decode::{self, Format},
        load,
        source::{ObjectOptions, file::files_of},
        spec::{self, AdapterSpec, ObjectSpec, SourceKind},
    },
    domain::codes::CodeLists,
    schema::SchemaRegistry,
};

/// Longest first line that is taken for a name.
const LABEL: usize = 64;

/// Forms beside those of the adapters: name, format, options.
const FORMS: [(&str, &str, &str); 12] = [
    ("plain", "csv", "encoding = 'UTF-8'"),
    ("headless", "csv", "encoding = 'UTF-8'\nheader = false\ncolumns = ['a', 'b', 'c']"),
    ("pipes", "csv", "delimiter = '|'\ncolumns = ['a']\nrow_limit = 1000"),
    (
        "single",
        "fixed",
        "record = [{ fields = [{ name = 'a', offset = 1, length = 3 }, { name = 'b', offset = 4, length = 5 }] }]",
    ),
    ("unmarked", "dbf", "code_page = 'ignore'\ndeleted = 'skip'"),
    ("document", "json", ""),
    ("nested", "json", "items = '/data/list'"),
    ("lines", "ndjson", "limit = 4096"),
    ("list", "xml", "rows = 'list/item'\nlists = ['a']"),
    ("root", "xml", "rows = 'item'"),
    ("gbk", "xml", "rows = 'list/item'\nencoding = 'GBK'\nrow_limit = 2000"),
    ("first", "xlsx", "columns = ['A']\nmerged = 'fill'\ndates = ['D']"),
];

/// One way to read a kind of file.
pub struct Form {
    pub label: String,
    pub format: Arc<dyn Format>,
}

static ADAPTERS: LazyLock<Vec<AdapterSpec>> =
    LazyLock::new(|| spec::load_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters")).0);

static REGISTRY: LazyLock<SchemaRegistry> = LazyLock::new(|| {
    let codes = |list: &str, code: &str| {
        CodeLists::embedded().get(list).map(|list| list.find(code).is_some_and(|entry| entry.code == code))
    };
    SchemaRegistry::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas"), Arc::new(codes)).unwrap_or_default()
});

static READERS: LazyLock<BTreeMap<&'static str, Vec<Form>>> = LazyLock::new(readers);

/// The name in the first line, and what follows; all of it without one.
pub fn split(bytes: &[u8]) -> (&str, &[u8]) {
    let end = bytes.iter().take(LABEL).position(|byte| *byte == b'\n');
    let label = end.and_then(|end| std::str::from_utf8(&bytes[..end]).ok().zip(bytes.get(end + 1..)));
    match label {
        Some((label, rest)) if label.bytes().all(|c| c.is_ascii_alphanumeric() || b"/-_.".contains(&c)) => (label, rest),
        _ => ("", bytes),
    }
}

/// The one of this name, or one that the bytes choose.
pub fn choose<'a, T>(all: &'a [T], bytes: &[u8], label: &str, name: impl Fn(&T) -> &str) -> Option<&'a T> {
    let sum = || bytes.iter().take(LABEL).fold(0_usize, |sum, byte| sum * 31 % 65_521 + usize::from(*byte));
    all.iter().find(|one| name(one) == label).or_else(|| all.get(sum().checked_rem(all.len())?))
}

/// The forms of a target: `archive`, or the name of a format.
pub fn forms(target: &str) -> &'static [Form] {
    READERS.get(target).map_or(&[], Vec::as_slice)
}

/// Every object of every adapter.
pub fn objects() -> impl Iterator<Item = (String, &'static AdapterSpec, &'static ObjectSpec)> {
    ADAPTERS
        .iter()
        .flat_map(|spec| spec.objects.iter().map(move |object| (format!("{}/{}", spec.slug, object.name), spec, object)))
}

/// The objects of the systems of one kind, as their sources see them.
pub fn of_kind(kind: SourceKind) -> Vec<ObjectOptions> {
    let of_kind = objects().filter(|(_, spec, _)| spec.kind == kind);
    let named = |(label, _, object): (String, &AdapterSpec, &ObjectSpec)| ObjectOptions {
        name: label,
        key: object.key.clone(),
        options: object.options.clone(),
    };
    of_kind.map(named).collect()
}

/// The schemas of the project.
pub fn registry() -> &'static SchemaRegistry {
    &REGISTRY
}

/// The names that the inputs of a target may begin with, for seeds.
pub fn labels(target: &str) -> Vec<String> {
    forms(target).iter().map(|form| form.label.clone()).collect()
}

fn readers() -> BTreeMap<&'static str, Vec<Form>> {
    let mut all: BTreeMap<&'static str, Vec<Form>> = BTreeMap::new();
    for (label, format, options) in FORMS {
        let made = options.parse::<toml::Table>().ok().and_then(|table| decode::open(format, &table).ok());
        if let Some(made) = made {
            all.entry(format).or_default().push(Form { label: label.to_owned(), format: Arc::from(made) });
        }
    }
    for (label, _, object) in objects().filter(|(_, spec, _)| spec.kind == SourceKind::File) {
        let mut table = object.options.clone();
        load::strip(&mut table);
        let format = table.get("format").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        if table.contains_key("archive") {
            add(&mut all, "archive", &label, &table);
            table.retain(|name, _| !name.starts_with("archive"));
        }
        if let Some(known) = decode::FORMATS.into_iter().find(|known| *known == format) {
            add(&mut all, known, &label, &table);
        }
    }
    all
}

fn add(all: &mut BTreeMap<&'static str, Vec<Form>>, target: &'static str, label: &str, table: &toml::Table) {
    if let Ok(files) = files_of(table) {
        all.entry(target).or_default().push(Form { label: label.to_owned(), format: files.format });
    }
}
