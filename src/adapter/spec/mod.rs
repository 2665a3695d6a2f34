//! Adapter folders: `adapter.toml`, the mapping programs beside it, nothing to register.
//!
//! ```text
//! adapters/<system>/adapter.toml   [system] [source] [schedule] [[object]] [codes.<name>] [ignore]
//! adapters/<system>/<object>.vrl   one program per object
//! ```
//!
//! All faults of all adapters are found in one run, each with file and line. What belongs to a kind of source stays raw
//! for the source to read: the table `[source]` and the further keys of an object.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::map::{MapContext, Mapper};
use crate::{
    domain::codes::CodeList,
    envelope::{Dataset, System},
    error::{Code, Fault},
};

mod reader;

use reader::Reader;

/// An adapter's file or folder could not be read.
pub const SPEC_UNREADABLE: Code = Code::new(3020);
/// `adapter.toml` is not TOML.
pub const SPEC_SYNTAX: Code = Code::new(3021);
/// A key of `adapter.toml` is unknown.
pub const SPEC_UNKNOWN_KEY: Code = Code::new(3022);
/// A key of `adapter.toml` is missing or has a wrong value.
pub const SPEC_VALUE: Code = Code::new(3023);
/// The mapping program of an object is missing.
pub const SPEC_PROGRAM_MISSING: Code = Code::new(3024);

/// How often a source is read when its adapter does not say.
const DEFAULT_EVERY: Duration = Duration::from_secs(15 * 60);
/// Longest file of an adapter that is read.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// How the hub reads a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// Tables of a database.
    Sql,
    /// Files of a drop folder or SFTP server.
    File,
    /// Paged JSON over HTTP.
    HttpPull,
    /// Paged answers of a SOAP service.
    Soap,
    /// Signed calls into the hub.
    HttpPush,
}

impl SourceKind {
    const NAMES: [(&'static str, Self); 5] = [
        ("sql", Self::Sql),
        ("file", Self::File),
        ("http_pull", Self::HttpPull),
        ("soap", Self::Soap),
        ("http_push", Self::HttpPush),
    ];

    /// As written in `adapter.toml`.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// One object of a system: a table, a kind of file, an endpoint.
#[derive(Debug, Clone)]
pub struct ObjectSpec {
    /// As the system calls it; selects rows, program and samples.
    pub name: String,
    /// Path of the program.
    pub program: PathBuf,
    /// Columns that make the source's own key.
    pub key: Vec<String>,
    /// Datasets its program may produce.
    pub datasets: Vec<Dataset>,
    /// Column that grows with every change, if the object has one.
    pub sequence: Option<String>,
    /// Keys that belong to the kind of source, raw.
    pub options: toml::Table,
    /// The compiled program.
    pub mapper: Arc<Mapper>,
}

/// One adapter, whole and compiled.
#[derive(Debug, Clone)]
pub struct AdapterSpec {
    /// Slug of the system, the name of the folder.
    pub slug: System,
    /// Chinese name of the system.
    pub name: String,
    /// The division of the department that owns it.
    pub owner: String,
    pub dir: PathBuf,
    pub kind: SourceKind,
    /// The table `[source]`, raw, `kind` included.
    pub source: toml::Table,
    /// How often it is read.
    pub every: Duration,
    pub objects: Vec<ObjectSpec>,
    /// The adapter's own code tables.
    pub codes: BTreeMap<String, Arc<CodeList>>,
    /// Source fields that are deliberately not mapped, with the reason.
    pub ignore: BTreeMap<String, String>,
}

impl AdapterSpec {
    /// Loads one folder; every fault of its files at once.
    pub fn load(dir: &Path) -> Result<Self, Vec<Fault>> {
        let file = dir.join("adapter.toml");
        let shown = file.display().to_string();
        let text = read_bounded(&file)?;
        let mut reader = Reader::new(&shown, &text);
        let spec = build(&mut reader, dir);
        let faults = reader.into_faults();
        match spec {
            Some(spec) if faults.is_empty() => Ok(spec),
            _ => Err(faults),
        }
    }

    /// The object with this name.
    pub fn object(&self, name: &str) -> Option<&ObjectSpec> {
        self.objects.iter().find(|object| object.name == name)
    }

    /// The compiled program of an object.
    pub fn mapper(&self, object: &str) -> Option<&Arc<Mapper>> {
        self.object(object).map(|object| &object.mapper)
    }
}

/// Loads every folder below `dir` that has an `adapter.toml`, in the order of their names: the good ones, and the faults
/// of the others.
pub fn load_all(dir: &Path) -> (Vec<AdapterSpec>, Vec<Fault>) {
    let (mut specs, mut faults) = (Vec::new(), Vec::new());
    let mut folders: Vec<PathBuf> = match fs::read_dir(dir) {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.join("adapter.toml").exists())
            .collect(),
        Err(error) => return (specs, vec![unreadable(dir, &error)]),
    };
    folders.sort();
    for folder in folders {
        match AdapterSpec::load(&folder) {
            Ok(spec) => specs.push(spec),
            Err(found) => faults.extend(found),
        }
    }
    (specs, faults)
}

fn build(reader: &mut Reader<'_>, dir: &Path) -> Option<AdapterSpec> {
    let root = reader.root()?;
    reader.refuse_unknown(&root, &["system", "source", "schedule", "object", "codes", "ignore"]);
    let system = reader.table(&root, "system")?;
    reader.refuse_unknown(&system, &["slug", "name", "owner"]);
    let slug = slug(reader, &system, dir);
    let name = reader.text(&system, "name");
    let owner = reader.text(&system, "owner");
    let source = reader.table(&root, "source");
    let kind = source.as_ref().and_then(|source| kind(reader, source));
    let every = every(reader, &root);
    let codes = codes(reader, &root);
    let ignore = reader.texts_of(&root, "ignore");
    let context = MapContext { system: slug.clone(), datasets: vec![], codes };
    let objects = objects(reader, &root, dir, &context);
    Some(AdapterSpec {
        slug: System::from(slug),
        name: name?,
        owner: owner?,
        dir: dir.to_owned(),
        kind: kind?,
        source: reader::raw(&source?),
        every,
        objects,
        codes: context.codes,
        ignore: ignore.into_iter().collect(),
    })
}

fn slug(reader: &mut Reader<'_>, system: &reader::Table<'_>, dir: &Path) -> String {
    let folder = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(slug) = reader.text(system, "slug")
        && slug != folder
    {
        reader.fault_at(
            system,
            "slug",
            SPEC_VALUE,
            format!("the slug `{slug}` is not the name of the folder"),
            &format!("`{folder}`"),
        );
    }
    if folder.is_empty() || !folder.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-') {
        reader.fault_at(
            system,
            "slug",
            SPEC_VALUE,
            format!("the folder name `{folder}` is no slug"),
            "lower-case letters, digits and hyphens",
        );
    }
    folder
}

fn kind(reader: &mut Reader<'_>, source: &reader::Table<'_>) -> Option<SourceKind> {
    let name = reader.text(source, "kind")?;
    let kind = SourceKind::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    if kind.is_none() {
        let known = SourceKind::NAMES.map(|(known, _)| known);
        reader.fault_at(
            source,
            "kind",
            SPEC_VALUE,
            format!("there is no kind of source `{name}`"),
            &reader::meant(&name, &known),
        );
    }
    kind
}

fn every(reader: &mut Reader<'_>, root: &reader::Table<'_>) -> Duration {
    let Some(schedule) = reader.optional_table(root, "schedule") else { return DEFAULT_EVERY };
    reader.refuse_unknown(&schedule, &["every"]);
    let Some(text) = reader.optional_text(&schedule, "every") else { return DEFAULT_EVERY };
    duration(&text).unwrap_or_else(|| {
        reader.fault_at(
            &schedule,
            "every",
            SPEC_VALUE,
            format!("`{text}` is no interval"),
            "a number with `s`, `m`, `h` or `d`, such as `15m`, at least `1s`",
        );
        DEFAULT_EVERY
    })
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn codes(reader: &mut Reader<'_>, root: &reader::Table<'_>) -> BTreeMap<String, Arc<CodeList>> {
    let Some(codes) = reader.optional_table(root, "codes") else { return BTreeMap::new() };
    let names: Vec<String> = codes.keys().map(|name| name.get_ref().to_string()).collect();
    let lists = names.into_iter().map(|name| {
        let pairs = reader.texts_of(&codes, &name);
        (name.clone(), Arc::new(CodeList::translation(&name, pairs)))
    });
    lists.collect()
}

fn objects(reader: &mut Reader<'_>, root: &reader::Table<'_>, dir: &Path, context: &MapContext) -> Vec<ObjectSpec> {
    let mut objects: Vec<ObjectSpec> = Vec::new();
    for table in reader.tables(root, "object") {
        let Some(object) = object(reader, &table, dir, context) else { continue };
        // Samples and programs are found by the name in lower case.
        if objects.iter().any(|other| other.name.to_lowercase() == object.name.to_lowercase()) {
            reader.fault_at(
                &table,
                "name",
                SPEC_VALUE,
                format!("the object `{}` is there twice", object.name),
                "names that differ in more than case",
            );
        }
        objects.push(object);
    }
    objects
}

fn object(reader: &mut Reader<'_>, table: &reader::Table<'_>, dir: &Path, context: &MapContext) -> Option<ObjectSpec> {
    let name = reader.text(table, "name");
    let key = reader.list(table, "key");
    let datasets: Option<Vec<Dataset>> =
        reader.list(table, "datasets").map(|names| names.into_iter().map(Dataset::from).collect());
    let sequence = reader.optional_text(table, "sequence");
    let program = reader.optional_text(table, "program");
    let mut options = reader::raw(table);
    options.retain(|name, _| !["name", "program", "key", "datasets", "sequence"].contains(&name));
    let name = name?;
    let file = program.unwrap_or_else(|| format!("{}.vrl", name.to_lowercase()));
    if file.contains(['/', '\\']) {
        reader.fault_at(
            table,
            "program",
            SPEC_VALUE,
            format!("the program `{file}` is outside the folder"),
            "the name of a file in the adapter's folder",
        );
        return None;
    }
    let program = dir.join(&file);
    let mapper =
        compile(reader, table, &program, &MapContext { datasets: datasets.clone().unwrap_or_default(), ..context.clone() });
    Some(ObjectSpec { name, program, key: key?, datasets: datasets?, sequence, options, mapper: mapper? })
}

fn compile(reader: &mut Reader<'_>, table: &reader::Table<'_>, program: &Path, context: &MapContext) -> Option<Arc<Mapper>> {
    if !program.exists() {
        let field = if table.contains_key("program") { "program" } else { "name" };
        let shown = program.display();
        reader.fault_at(
            table,
            field,
            SPEC_PROGRAM_MISSING,
            format!("the mapping program `{shown}` is missing"),
            "a VRL program of that name, or the key `program`",
        );
        return None;
    }
    let compiled = read_bounded(program).and_then(|text| Mapper::compile(&text, &program.display().to_string(), context));
    match compiled {
        Ok(mapper) => Some(Arc::new(mapper)),
        Err(faults) => {
            reader.add(faults);
            None
        }
    }
}

fn read_bounded(path: &Path) -> Result<String, Vec<Fault>> {
    let length = fs::metadata(path).map_err(|error| vec![unreadable(path, &error)])?.len();
    if length > MAX_FILE_BYTES {
        let fault = Fault::new(SPEC_UNREADABLE, "the file is too long").in_file(path.display().to_string());
        return Err(vec![fault.expected(format!("at most {MAX_FILE_BYTES} bytes"))]);
    }
    fs::read_to_string(path).map_err(|error| vec![unreadable(path, &error)])
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(SPEC_UNREADABLE, format!("the file could not be read: {error}")).in_file(path.display().to_string())
}

#[cfg(test)]
mod tests;
