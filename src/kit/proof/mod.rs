//! Tests that every adapter passes, made from its golden samples.
//!
//! | check | says |
//! |---|---|
//! | `schema` | every record is valid, as the router demands |
//! | `idempotence` | the same file read twice gives the same event ids |
//! | `order` | the rows in another order give the same set of event ids |
//! | `bad-rows` | a row spoiled in one field is refused, or remarked in `quality`: never mapped without a word |

use std::collections::BTreeSet;

use serde::Serialize;
use time::macros::datetime;

use super::{
    Studied,
    fields::{self, Sample},
    lint::{MIN_CASES, folder::few},
    study,
};
use crate::{
    adapter::{
        event::EventMaker,
        map::{MapRuntime, Mapped},
        sample,
        source::Row,
        spec::{AdapterSpec, ObjectSpec},
    },
    domain::keyed_hash::KeyedHash,
    envelope::Op,
    error::{Code, Fault},
    schema::SchemaRegistry,
};

mod spoil;
mod trial;

/// A file that is read twice, or in another order of its rows, gives other event ids.
pub const UNSTABLE: Code = Code::new(3560);
/// A spoiled row is mapped without a word.
pub const SILENT: Code = Code::new(3561);
/// An output is of a dataset that the hub does not have.
pub const NO_SCHEMA: Code = Code::new(3562);

/// Key of the hashes, as golden samples have it.
const KEY: &[u8] = b"golden";
/// The event ids do not hold the day of the books; any will do.
const BOOKDATE: &str = "2017-07-03";

/// How one check of one sample went.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub object: String,
    pub case: String,
    pub check: &'static str,
    pub passed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl Check {
    fn new(object: &ObjectSpec, sample: &Sample, check: &'static str, faults: Vec<Fault>) -> Self {
        let file = sample.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let placed = faults.into_iter().map(|fault| fault.in_file(file.as_str())).collect::<Vec<_>>();
        Self { object: object.name.clone(), case: sample.case.clone(), check, passed: placed.is_empty(), faults: placed }
    }
}

/// Runs every check on every golden sample of an adapter.
pub fn prove(spec: &AdapterSpec, registry: &SchemaRegistry) -> Vec<Check> {
    let mut checks = Vec::new();
    for one in &study(spec) {
        let samples = fields::samples(spec, one.object);
        let bench = Bench::new(spec, one.object, registry);
        for sample in &samples {
            checks.push(Check::new(one.object, sample, "schema", bench.schema_faults(&sample.rows)));
            checks.push(Check::new(one.object, sample, "idempotence", again(spec, &bench, sample)));
            checks.push(Check::new(one.object, sample, "order", shuffled(&bench, sample)));
        }
        checks.extend(bad_rows(&bench, one, &samples));
    }
    checks
}

/// The check that an adapter has golden cases enough.
pub fn enough(spec: &AdapterSpec) -> Check {
    let count: usize = spec.objects.iter().map(|object| fields::samples(spec, object).len()).sum();
    let faults = if count < MIN_CASES { vec![few(count)] } else { vec![] };
    Check { object: String::new(), case: String::new(), check: "cases", passed: faults.is_empty(), faults }
}

/// An object's mapping, with the clock and keys of golden samples.
pub(super) struct Bench<'a> {
    pub(super) object: &'a ObjectSpec,
    registry: &'a SchemaRegistry,
    hash: KeyedHash,
    maker: EventMaker,
}

impl<'a> Bench<'a> {
    pub(super) fn new(spec: &AdapterSpec, object: &'a ObjectSpec, registry: &'a SchemaRegistry) -> Self {
        let hash = KeyedHash::new(KEY);
        Self { object, registry, maker: EventMaker::new(spec.slug.clone(), hash.clone()), hash }
    }

    fn runtime(&self) -> MapRuntime {
        MapRuntime::new(&self.hash, datetime!(2017-07-03 09:00 +8))
    }

    /// Maps one row.
    pub(super) fn map(&self, row: &Row) -> Result<Vec<Mapped>, Vec<Fault>> {
        self.object.mapper.run(&mut self.runtime(), row)
    }

    fn ids(&self, rows: &[Row]) -> Vec<String> {
        let mut runtime = self.runtime();
        let mut ids = Vec::new();
        for row in rows {
            let outputs = self.object.mapper.run(&mut runtime, row).unwrap_or_default();
            ids.extend(outputs.into_iter().map(|output| self.maker.make(output, row, BOOKDATE).id.to_string()));
        }
        ids
    }

    /// Faults for which the router would reject an output.
    pub(super) fn faults_of(&self, output: &Mapped) -> Vec<Fault> {
        let Some(schema) = self.registry.latest(&output.dataset) else {
            return vec![Fault::new(NO_SCHEMA, format!("there is no schema of the dataset `{}`", output.dataset))];
        };
        if output.op == Op::Delete { vec![] } else { schema.validate(&output.record) }
    }

    fn schema_faults(&self, rows: &[Row]) -> Vec<Fault> {
        let mut faults = Vec::new();
        for row in rows {
            for output in self.map(row).unwrap_or_default() {
                faults.extend(self.faults_of(&output).into_iter().map(|fault| fault.at_row(row.number)));
            }
        }
        faults
    }
}

fn again(spec: &AdapterSpec, bench: &Bench<'_>, sample: &Sample) -> Vec<Fault> {
    let rows = sample::rows_of(spec, bench.object, &sample.file).map(|(rows, _)| rows).unwrap_or_default();
    let same = rows == sample.rows && bench.ids(&rows) == bench.ids(&sample.rows);
    let fault = || Fault::new(UNSTABLE, "the same file gives other event ids when it is read again");
    if same { vec![] } else { vec![fault().hint("use nothing in the program that changes from one reading to the next")] }
}

/// The rows backwards, numbered anew: what a row says must not hang on the rows before it.
fn shuffled(bench: &Bench<'_>, sample: &Sample) -> Vec<Fault> {
    let mut rows: Vec<Row> = sample.rows.iter().rev().cloned().collect();
    for (place, row) in rows.iter_mut().enumerate() {
        row.number = place as u64 + 1;
    }
    let set = |rows: &[Row]| bench.ids(rows).into_iter().collect::<BTreeSet<_>>();
    let fault = || Fault::new(UNSTABLE, "the rows in another order give other event ids");
    if set(&rows) == set(&sample.rows) { vec![] } else { vec![fault().hint("leave `%row` out of records and keys")] }
}

/// One check per sample; a weakness is told once, by the first sample that shows it.
fn bad_rows(bench: &Bench<'_>, one: &Studied<'_>, samples: &[Sample]) -> Vec<Check> {
    let wanted = trial::wanted(one, bench.registry);
    let mut told = BTreeSet::new();
    let mut checks = Vec::new();
    for sample in samples {
        let mut faults = Vec::new();
        for row in &sample.rows {
            for (path, spoil) in &wanted {
                if !told.contains(&(path, *spoil)) && trial::is_silent(bench, row, path, *spoil) {
                    told.insert((path, *spoil));
                    let message = format!("{} in `{path}` is mapped without a word", spoil.text());
                    let hint = "refuse the row, or leave the detail out and remark it in `quality`";
                    faults.push(Fault::new(SILENT, message).at_row(row.number).at_column(path.to_string()).hint(hint));
                }
            }
        }
        checks.push(Check::new(bench.object, sample, "bad-rows", faults));
    }
    checks
}
