//! `civilhub adapter new`: a first adapter from a sample. The folder compiles and its golden cases run; what is not sure is marked.

use std::{
    fmt::Write,
    fs,
    path::{Path as FilePath, PathBuf},
};

use serde_json::Value;

use super::{
    flow::Path,
    sniff::{self, Form, columns},
};
use crate::{
    adapter::{golden, sample},
    error::{Code, Fault},
    schema::{DatasetSchema, SchemaRegistry},
};

mod invent;
mod program;
mod propose;
mod render;

use invent::Person;
use program::Draft;

/// The folder of a new adapter is there already, or its name is none.
pub const NOT_NEW: Code = Code::new(1022);
/// A file of the kit could not be read or written.
pub const FILE: Code = Code::new(1023);
/// A value of the real sample would land in the invented one.
pub const LEAK: Code = Code::new(3570);

/// Rows of the golden case with typical rows.
const TYPICAL: usize = 5;

/// What is asked for.
pub struct Wish<'a> {
    pub slug: &'a str,
    pub from: &'a FilePath,
    /// Chinese name of the system; the slug if not given.
    pub name: Option<&'a str>,
    pub owner: Option<&'a str>,
    pub dataset: Option<&'a str>,
    /// Layout of a file of fixed width.
    pub fixed: Option<&'a str>,
}

/// What was made.
pub struct Made {
    pub dir: PathBuf,
    pub form: Form,
    pub columns: Vec<columns::Column>,
    pub dataset: String,
    /// Demanded fields that no column fills.
    pub missing: Vec<String>,
    /// Columns that are not mapped yet.
    pub left: Vec<String>,
    /// Why no golden sample could be written.
    pub no_sample: Option<Fault>,
}

/// Makes the folder `<adapters>/<slug>`.
///
/// # Errors
/// The folder is there, the sample is not understood, or there is no such dataset.
pub fn make(adapters: &FilePath, registry: &SchemaRegistry, wish: &Wish<'_>) -> Result<Made, Vec<Fault>> {
    let one = |fault: Fault| vec![fault];
    let dir = new_folder(adapters, wish.slug).map_err(one)?;
    let bytes = read(wish.from).map_err(one)?;
    let form = sniff::sniff(&bytes, wish.fixed).map_err(one)?;
    let rows = form.rows(&bytes)?;
    let mut columns = columns::of(&rows);
    // A row is a set of names: the order of the columns is the file's.
    let header = form.header(&bytes);
    columns.sort_by_key(|column| header.iter().position(|name| *name == column.path.to_string()).unwrap_or(usize::MAX));
    let schema = choose(registry, wish.dataset, &columns).map_err(one)?;
    let draft = Draft::new(wish.slug, schema, &columns);
    let object = object_name(wish.from);
    let toml = toml_text(wish, &object, &form, &draft);
    // Everything is made and looked at before anything is written.
    let names: Vec<Path> = columns.iter().map(|column| column.path.clone()).collect();
    let mut files = vec![
        ("adapter.toml".to_owned(), toml.into_bytes()),
        (format!("{}.vrl", object.to_lowercase()), draft.text().into_bytes()),
        ("README.md".to_owned(), readme(wish, &form, &draft).into_bytes()),
    ];
    let mut no_sample = None;
    for (case, rows) in &cases(&rows, &draft) {
        match render::render(&form, rows, &names, &bytes) {
            Ok(rendered) => {
                leaks(&rendered, &columns).map_err(one)?;
                files.push((format!("samples/{}.{case}.{}", object.to_lowercase(), ending(&form)), rendered));
            }
            Err(fault) => no_sample = Some(fault),
        }
    }
    write(&dir, &files).map_err(one)?;
    golden::run_golden(&dir, &sample::rows_of, true)?;
    let missing = draft.missing().iter().map(|field| field.name().to_owned()).collect();
    let left = draft.left().iter().map(ToString::to_string).collect();
    Ok(Made { dataset: schema.dataset.to_string(), missing, left, dir, form, no_sample, columns: columns.clone() })
}

fn write(dir: &FilePath, files: &[(String, Vec<u8>)]) -> Result<(), Fault> {
    let samples = dir.join("samples");
    fs::create_dir_all(&samples).map_err(|error| unwritten(&samples, &error))?;
    for (name, text) in files {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|error| unwritten(&path, &error))?;
    }
    Ok(())
}

/// Reads a sample of bounded size.
///
/// # Errors
/// It cannot be read or is too long.
pub fn read(path: &FilePath) -> Result<Vec<u8>, Fault> {
    let shown = path.display().to_string();
    let unread =
        |error: &std::io::Error| Fault::new(FILE, format!("the file cannot be read: {}", error.kind())).in_file(shown.as_str());
    let length = fs::metadata(path).map_err(|error| unread(&error))?.len();
    if length > sniff::LIMIT as u64 {
        let fault = Fault::new(FILE, "the file is too long for a sample").in_file(shown.as_str());
        return Err(fault.expected(format!("at most {} MiB", sniff::LIMIT >> 20)).hint("take its first thousand rows"));
    }
    fs::read(path).map_err(|error| unread(&error))
}

/// The fault of a file that could not be written.
pub fn unwritten(path: &FilePath, error: &std::io::Error) -> Fault {
    Fault::new(FILE, format!("the file cannot be written: {}", error.kind())).in_file(path.display().to_string())
}

fn new_folder(adapters: &FilePath, slug: &str) -> Result<PathBuf, Fault> {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if slug.is_empty() || slug.starts_with('-') || !slug.bytes().all(good) {
        let fault = Fault::new(NOT_NEW, format!("`{slug}` is no slug"));
        return Err(fault.expected("lower-case letters, digits and hyphens"));
    }
    let dir = adapters.join(slug);
    if dir.exists() {
        let fault = Fault::new(NOT_NEW, format!("there is a folder `{}` already", dir.display()));
        return Err(fault.hint("choose another slug, or take the folder away"));
    }
    Ok(dir)
}

fn choose<'a>(
    registry: &'a SchemaRegistry,
    dataset: Option<&str>,
    columns: &[columns::Column],
) -> Result<&'a DatasetSchema, Fault> {
    let known: Vec<&str> = registry.iter().map(|schema| schema.dataset.as_str()).collect();
    let found = match dataset {
        Some(name) => registry.latest(&name.into()),
        None => propose::dataset(registry, columns),
    };
    found.ok_or_else(|| {
        let name = dataset.unwrap_or_default();
        let fault = Fault::new(super::lint::UNKNOWN_DATASET, format!("there is no dataset `{name}`"))
            .expected(format!("one of {}", known.join(", ")));
        match crate::adapter::map::diagnose::nearest(name, &known) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault,
        }
    })
}

/// The letters at the beginning of the file's name, in capitals.
fn object_name(from: &FilePath) -> String {
    let stem = from.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let letters: String = stem.chars().take_while(|c| c.is_ascii_alphabetic()).collect();
    if letters.is_empty() { "ROWS".to_owned() } else { letters.to_uppercase() }
}

fn ending(form: &Form) -> &str {
    if form.format == "fixed" { "txt" } else { &form.format }
}

fn toml_text(wish: &Wish<'_>, object: &str, form: &Form, draft: &Draft<'_>) -> String {
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = format!("[system]\nslug = {}\n", quote(wish.slug));
    let _ = writeln!(
        text,
        "name = {}\nowner = {}\n",
        quote(wish.name.unwrap_or(wish.slug)),
        quote(wish.owner.unwrap_or("to-be-named"))
    );
    text.push_str("[source]\nkind = \"file\"\n\n[schedule]\nevery = \"15m\"\n\n[[object]]\n");
    let ending = wish.from.extension().map(|ending| ending.to_string_lossy().into_owned()).unwrap_or_default();
    let _ = writeln!(text, "name = {}\nfiles = {}", quote(object), quote(&format!("{object}*.{ending}")));
    let _ = writeln!(text, "format = {}", quote(&form.format));
    for (name, value) in form.options.iter().filter(|(name, _)| *name != "record") {
        let _ = writeln!(text, "{name} = {value}");
    }
    let key: Vec<String> = draft.key.iter().map(|place| quote(&draft.columns[*place].path.to_string())).collect();
    let _ = writeln!(text, "key = [{}]\ndatasets = [{}]", key.join(", "), quote(draft.schema.dataset.as_str()));
    for record in super::fields::tables(form.options.get("record")) {
        text.push_str("\n[[object.record]]\nrole = \"detail\"\nfields = [\n");
        for field in super::fields::tables(record.get("fields")) {
            let cell = |name: &str| field.get(name).map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {{ name = {}, offset = {}, length = {} }},", cell("name"), cell("offset"), cell("length"));
        }
        text.push_str("]\n");
    }
    let left = draft.left();
    if !left.is_empty() {
        text.push_str("\n# Columns that are not mapped yet. Map them, or say here why nobody needs them.\n[ignore]\n");
        for path in left {
            let _ = writeln!(text, "# {} = \"\"", quote(&path.to_string()));
        }
    }
    text
}

fn readme(wish: &Wish<'_>, form: &Form, draft: &Draft<'_>) -> String {
    let name = wish.name.unwrap_or(wish.slug);
    let mut text = format!("# {name} (`{}`)\n\nTODO: what the system is, who runs it, how its files come.\n\n", wish.slug);
    let encoding = form.option("encoding").map(|encoding| format!(", {encoding}")).unwrap_or_default();
    let _ = writeln!(text, "- Files: {}{encoding}. Dataset: `{}`.", form.format, draft.schema.dataset);
    text.push_str("- Quirks: TODO.\n- Samples: invented rows in the form of a real file; `first` has typical rows, `blanks` a row with nothing but what must be there, `faults` rows that are refused.\n");
    text.push_str("- Every line of the program is a proposal: its comment says how sure it is.\n");
    text
}

/// Golden cases: typical rows, a row without what may be missing, rows that must be refused.
fn cases(rows: &[Value], draft: &Draft<'_>) -> [(&'static str, Vec<Value>); 3] {
    let invented = |place: usize| invent::row(&rows[place % rows.len()], draft.columns, &Person::new(place));
    let first: Vec<Value> = (0..rows.len().min(TYPICAL)).map(invented).collect();
    let needed = |path: &Path| {
        draft.key.iter().any(|key| draft.columns[*key].path == *path)
            || draft.pairs.values().any(|pair| draft.columns[pair.column].path == *path && is_needed(draft, &pair.pointer))
    };
    let mut bare = invented(0);
    for column in draft.columns.iter().filter(|column| {
        !needed(&column.path) && !matches!(column.sort, columns::Sort::Division | columns::Sort::Time | columns::Sort::Date)
    }) {
        invent::replace(&mut bare, &column.path.parts, &mut |value| *value = Value::String(String::new()));
    }
    let (mut keyless, mut wrong) = (invented(0), invented(1));
    for key in &draft.key {
        invent::replace(&mut keyless, &draft.columns[*key].path.parts, &mut |value| *value = Value::String(String::new()));
    }
    for column in draft.columns.iter().filter(|column| column.sort == columns::Sort::Identity) {
        invent::replace(&mut wrong, &column.path.parts, &mut |value| {
            let text = value.as_str().unwrap_or_default();
            let last = if text.ends_with('0') { '1' } else { '0' };
            *value = Value::String(format!("{}{last}", text.get(..17).unwrap_or_default()));
        });
    }
    [("first", first), ("blanks", vec![bare]), ("faults", vec![keyless, wrong])]
}

fn is_needed(draft: &Draft<'_>, pointer: &str) -> bool {
    draft.schema.fields.iter().any(|field| field.pointer == pointer && field.required) || pointer.ends_with("number")
}

/// The last look before a sample is written: none of its texts may be a name, number or phone of the real file.
fn leaks(rendered: &[u8], columns: &[columns::Column]) -> Result<(), Fault> {
    use columns::Sort;
    let text = match std::str::from_utf8(rendered) {
        Ok(text) => text.to_owned(),
        Err(_) => encoding_rs::GB18030.decode_without_bom_handling(rendered).0.into_owned(),
    };
    let personal =
        columns.iter().filter(|column| matches!(column.sort, Sort::Identity | Sort::Mobile | Sort::BankCard | Sort::Name));
    // What looks invented in the file itself may come out again.
    let real = |value: &&String| value.len() > 5 && !invent::is_invented(value);
    let kept = personal
        .filter(|column| column.values.iter().filter(real).any(|value| text.contains(value.as_str())))
        .collect::<Vec<_>>();
    match kept.first() {
        None => Ok(()),
        Some(column) => Err(Fault::new(LEAK, format!("a value of the column `{}` would land in the sample", column.path))
            .hint("report it; no sample was written")),
    }
}
