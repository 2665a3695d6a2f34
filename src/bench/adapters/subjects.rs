//! The formats, each with an adapter, a sample and the reading of it.

use std::{
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use serde_json::Value;
use tokio::runtime::Handle;

use super::{
    Bare, Decode, Subject, Wish, bare,
    material::{self, File},
    not_measured, options_of, tables,
};
use crate::{
    adapter::{
        decode::{self, BadRow, Decoded, Format, Input},
        load, sample,
        source::{Row, file::files_of, http_pull, http_push, soap},
        spec::{AdapterSpec, ObjectSpec},
    },
    error::Fault,
};

/// One format to be measured.
pub struct Plan {
    pub format: &'static str,
    library: &'static str,
    slug: &'static str,
    object: &'static str,
    sample: &'static str,
    make: fn(&Made<'_>) -> Result<Parts, Fault>,
}

/// What is known before the material is made.
struct Made<'a> {
    spec: &'a AdapterSpec,
    object: &'a ObjectSpec,
    path: PathBuf,
    sample: Vec<u8>,
    folder: &'a Path,
    rows: u64,
}

/// Rows, bytes, and the two readings.
type Parts = (u64, u64, Bare, Decode);

const fn plan(
    [format, library]: [&'static str; 2],
    [slug, object, sample]: [&'static str; 3],
    make: fn(&Made<'_>) -> Result<Parts, Fault>,
) -> Plan {
    Plan { format, library, slug, object, sample, make }
}

/// All of them.
pub const ALL: &[Plan] = &[
    plan(["csv", "csv"], ["senior-allowance", "GL_FULL", "gl_full.20170701.csv"], csv),
    plan(["fixed", "slices of bytes"], ["fund-payment", "PAY", "pay.batch.txt"], fixed),
    plan(["dbf", "dbase"], ["funeral", "HH", "hh.170703.dbf"], dbf),
    plan(["zip", "zip, dbase"], ["tekun", "TK", "tk.201707.zip"], zip),
    plan(["xlsx", "calamine"], ["grassroots-registry", "CUN", "cun.220171-201706.xlsx"], xlsx),
    plan(["xml", "quick-xml"], ["smart-community", "chuanying", "chuanying.event.xml"], xml),
    plan(["soap", "quick-xml"], ["med-aid", "SETTLE", "settle.typical.xml"], soap),
    plan(["json", "serde_json"], ["assist-hall", "ACCEPT", "accept.page.json"], json),
    plan(["ndjson", "serde_json"], ["urban-dibao", "DB_MEMBER", "db_member.typical.ndjson"], ndjson),
    plan(["sql", "sqlx"], ["disability-subsidy", "subsidy", "subsidy.typical.ndjson"], sql),
];

/// The formats that are wished for, with their material.
///
/// # Errors
/// An adapter or a sample is not there or not as expected.
pub fn make(adapters: &Path, folder: &Path, wish: &Wish) -> Result<Vec<Subject>, Fault> {
    let wanted = |plan: &&Plan| wish.formats.is_empty() || wish.formats.iter().any(|format| format == plan.format);
    ALL.iter().filter(wanted).map(|plan| plan.subject(adapters, folder, wish.rows.max(1))).collect()
}

impl Plan {
    fn subject(&self, adapters: &Path, folder: &Path, rows: u64) -> Result<Subject, Fault> {
        let first = |faults: Vec<Fault>| faults.into_iter().next().unwrap_or_else(|| not_measured("an adapter was refused"));
        let spec = AdapterSpec::load(&adapters.join(self.slug)).map_err(first)?;
        let missing = || not_measured(&format!("the adapter `{}` has no object `{}`", self.slug, self.object));
        let object =
            spec.objects.iter().find(|object| object.name.eq_ignore_ascii_case(self.object)).cloned().ok_or_else(missing)?;
        let path = spec.dir.join("samples").join(self.sample);
        let unread = |_| not_measured("a sample cannot be read").in_file(path.display().to_string());
        let sample = fs::read(&path).map_err(unread)?;
        let made = Made { spec: &spec, object: &object, path: path.clone(), sample, folder, rows };
        let (rows, bytes, bare, decode) = (self.make)(&made)?;
        Ok(Subject { format: self.format, library: self.library, rows, bytes, bare, decode, spec, object })
    }
}

fn csv(made: &Made<'_>) -> Result<Parts, Fault> {
    let file = material::csv(&made.sample, made.rows)?;
    file_of(made, file, format(made)?, |bytes| Box::new(move || bare::csv(&bytes)))
}

fn fixed(made: &Made<'_>) -> Result<Parts, Fault> {
    let place =
        |record: usize, field: &str| place(&made.object.options, record, field).ok_or_else(|| not_measured("no such field"));
    let file = material::fixed(&made.sample, made.rows, [place(0, "ZBS")?, place(0, "ZJE")?, place(1, "JE")?])?;
    let fields = places(&made.object.options, 1);
    file_of(made, file, format(made)?, |bytes| Box::new(move || bare::fixed(&bytes, &fields)))
}

fn places(options: &toml::Table, record: usize) -> Vec<material::Place> {
    let fields = options.get("record").and_then(|records| records.get(record)?.get("fields")?.as_array()).into_iter().flatten();
    let number = |field: &toml::Value, name: &str| usize::try_from(field.get(name)?.as_integer()?).ok();
    fields
        .filter_map(|field| Some((number(field, "offset")? - 1, number(field, "offset")? - 1 + number(field, "length")?)))
        .collect()
}

fn place(options: &toml::Table, record: usize, name: &str) -> Option<material::Place> {
    let fields = options.get("record")?.get(record)?.get("fields")?.as_array()?;
    let at = fields.iter().position(|field| field.get("name").and_then(toml::Value::as_str) == Some(name))?;
    places(options, record).get(at).copied()
}

fn dbf(made: &Made<'_>) -> Result<Parts, Fault> {
    let file = material::dbf(&made.sample, made.rows)?;
    file_of(made, file, format(made)?, |bytes| Box::new(move || bare::dbf(&bytes)))
}

fn zip(made: &Made<'_>) -> Result<Parts, Fault> {
    let failed = |_| not_measured("the sample is no archive");
    let mut archive = ::zip::ZipArchive::new(Cursor::new(&made.sample)).map_err(failed)?;
    let mut member = |name: &str| -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        let mut member = archive.by_name(name).map_err(failed)?;
        std::io::Read::read_to_end(&mut member, &mut bytes).map_err(|_| not_measured("the sample is no archive"))?;
        Ok(bytes)
    };
    let file = material::zip(&member("TK220171.DBF")?, &member("TK220171.FPT")?, made.rows)?;
    file_of(made, file, format(made)?, |bytes| Box::new(move || bare::zip(&bytes)))
}

fn xlsx(made: &Made<'_>) -> Result<Parts, Fault> {
    let first = |faults: Vec<Fault>| faults.into_iter().next().unwrap_or_else(|| not_measured("the sample was refused"));
    let (rows, _) = sample::rows_of(made.spec, made.object, &made.path).map_err(first)?;
    let data: Vec<Value> = rows.into_iter().map(|row| row.data).collect();
    let sheet = made.object.options.get("sheet").and_then(toml::Value::as_str).unwrap_or("Sheet1").to_owned();
    let file = material::xlsx(&data, &sheet, made.rows)?;
    // A title and the header stand above the rows.
    file_of(made, file, format(made)?, move |bytes| Box::new(move || bare::xlsx(&bytes, &sheet, 2)))
}

fn xml(made: &Made<'_>) -> Result<Parts, Fault> {
    let file = material::xml(&made.sample, "EVENT", made.rows)?;
    let first = |faults: Vec<Fault>| faults.into_iter().next().unwrap_or_else(|| not_measured("the options were refused"));
    let format = decode::open("xml", &http_push::xml_options(&made.object.options)).map_err(first)?;
    file_of(made, file, Arc::from(format), |bytes| {
        // The library reads UTF-8 only.
        Box::new(move || bare::xml(&encoding_rs::GB18030.decode_without_bom_handling(&bytes).0, "EVENT"))
    })
}

fn soap(made: &Made<'_>) -> Result<Parts, Fault> {
    let operation = made.object.options.get("operation").and_then(toml::Value::as_str).unwrap_or_default();
    let pages = material::soap(&made.sample, operation, made.rows)?;
    let object = options_of(made.object);
    let read =
        move |bytes: &[u8]| soap::rows_of(&object, bytes).map(|rows| rows.into_iter().map(|row| row.map_err(|bad| bad.faults)));
    let read = move |bytes: &[u8]| Ok(read(bytes)?.map(|row| row.map(|row| row.data)).collect());
    Ok(pages_of(made, pages, |page| bare::soap(page, "row"), read))
}

fn json(made: &Made<'_>) -> Result<Parts, Fault> {
    let items = made.object.options.get("items").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    let pages = material::pages(&made.sample, &items, made.rows)?;
    let object = options_of(made.object);
    Ok(pages_of(made, pages, move |page| bare::json(page, &items), move |page| http_pull::rows_of(&object, page)))
}

fn ndjson(made: &Made<'_>) -> Result<Parts, Fault> {
    let file = material::ndjson(&made.sample, made.rows)?;
    let first = |faults: Vec<Fault>| faults.into_iter().next().unwrap_or_else(|| not_measured("the options were refused"));
    let format = decode::open("ndjson", &toml::Table::new()).map_err(first)?;
    file_of(made, file, Arc::from(format), |bytes| Box::new(move || bare::ndjson(&bytes)))
}

fn sql(made: &Made<'_>) -> Result<Parts, Fault> {
    let first = |faults: Vec<Fault>| faults.into_iter().next().unwrap_or_else(|| not_measured("the sample was refused"));
    let (rows, _) = sample::rows_of(made.spec, made.object, &made.path).map_err(first)?;
    let data: Vec<Value> = rows.into_iter().map(|row| row.data).collect();
    let (path, runtime) = (made.folder.join("table.sqlite"), Handle::current());
    let names = ["id", "updated_at"];
    let rows = runtime.block_on(tables::create(&path, "subsidy", &data, names, made.rows))?;
    let bytes = fs::metadata(&path).map_or(0, |file| file.len());
    let bare: Bare = {
        let (path, runtime) = (path.clone(), runtime.clone());
        Box::new(move || runtime.block_on(tables::bare(&path, "SELECT * FROM subsidy ORDER BY updated_at, id")))
    };
    let (spec, object) = (made.spec.clone(), options_of(made.object));
    let decode: Decode = Box::new(move |each| runtime.block_on(tables::read(&spec, &object, &path, each)));
    Ok((rows, bytes, bare, decode))
}

/// The format of an object that reads files.
fn format(made: &Made<'_>) -> Result<Arc<dyn Format>, Fault> {
    let mut options = made.object.options.clone();
    load::strip(&mut options);
    let first = |faults: Vec<Fault>| faults.into_iter().next().unwrap_or_else(|| not_measured("the options were refused"));
    Ok(files_of(&options).map_err(first)?.format)
}

/// A file that is verified and then read, as from a drop folder.
fn file_of(
    made: &Made<'_>,
    (bytes, rows): File,
    format: Arc<dyn Format>,
    bare: impl FnOnce(Bytes) -> Bare,
) -> Result<Parts, Fault> {
    let (bytes, object) = (Bytes::from(bytes), made.object.name.clone());
    let name = made.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (size, bare) = (bytes.len() as u64, bare(bytes.clone()));
    let decode: Decode = Box::new(move |each| {
        let first = |faults: Vec<Fault>| faults.into_iter().next().unwrap_or_else(|| not_measured("the file was refused"));
        let open = || -> Box<dyn Input> { Box::new(Cursor::new(bytes.clone())) };
        format.verify(&mut *open()).map_err(first)?;
        let mut rows = format.rows(open()).map_err(first)?;
        while let Some(row) = rows.next() {
            let place = rows.member().map_or_else(|| name.clone(), |(_, member)| format!("{name}/{member}"));
            each(row_of(&object, place, row.map_err(|bad: BadRow| first(bad.faults))?))?;
        }
        Ok(())
    });
    Ok((rows, size, bare, decode))
}

fn row_of(object: &str, file: String, row: Decoded) -> Row {
    let origin = format!("bench#{}", row.number);
    Row { object: object.to_owned(), origin, file, number: row.number, data: row.data, meta: Value::Object(row.meta) }
}

/// The rows of one page, good ones and faults of bad ones.
type PageRows = Vec<Result<Value, Vec<Fault>>>;

/// Pages of a service, one after the other.
fn pages_of(
    made: &Made<'_>,
    pages: Vec<File>,
    bare: impl Fn(&[u8]) -> super::Counted + Send + 'static,
    read: impl Fn(&[u8]) -> Result<PageRows, Vec<Fault>> + Send + 'static,
) -> Parts {
    let rows = pages.iter().map(|(_, rows)| rows).sum();
    let size = pages.iter().map(|(bytes, _)| bytes.len() as u64).sum();
    let (pages, object) = (Arc::new(pages), made.object.name.clone());
    let all = Arc::clone(&pages);
    let bare: Bare = Box::new(move || all.iter().map(|(page, _)| bare(page)).sum());
    let decode: Decode = Box::new(move |each| {
        let first = |faults: Vec<Fault>| faults.into_iter().next().unwrap_or_else(|| not_measured("a page was refused"));
        for (page, _) in pages.iter() {
            for (number, row) in (1..).zip(read(page).map_err(first)?) {
                let data = row.map_err(first)?;
                each(row_of(&object, String::new(), Decoded { number, data, meta: serde_json::Map::new() }))?;
            }
        }
        Ok(())
    });
    (rows, size, bare, decode)
}
