//! The input: a simulated province whose files are handed to a hub bit by bit, and what must have become of it.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    path::{Path, PathBuf},
};

use civilhub::simulate;
use deltalake_core::{
    DeltaTableBuilder,
    arrow::array::AsArray,
    parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
};
use tempfile::TempDir;
use time::macros::date;
use url::Url;

use crate::support::hub::HubFolder;

const SEED: u64 = 20170703;

/// The exports of a province in a temporary folder.
pub struct Province {
    dir: TempDir,
}

impl Province {
    pub async fn write(persons: u64) -> Self {
        let mut dir = tempfile::tempdir().unwrap();
        // To look at afterwards.
        dir.disable_cleanup(std::env::var_os("CIVILHUB_KEEP").is_some());
        let options = simulate::Options { persons, seed: SEED, out: dir.path().join("province"), today: date!(2017 - 07 - 15) };
        simulate::write(&options, &|_| ()).await.unwrap();
        Self { dir }
    }

    /// Room for hubs, beside the province.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The database of `urban-dibao`.
    pub fn dibao(&self) -> PathBuf {
        self.dir.path().join("province/urban-dibao/urban_dibao.sqlite")
    }

    /// The files of one system whose names begin with `prefix`, in the order of their names.
    pub fn files(&self, system: &str, prefix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path().join("province").join(system)).unwrap().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| name(path).starts_with(prefix)).collect();
        files.sort();
        files
    }
}

pub fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Hands in the files of a province, each kind in the order of its names. What a bank answers, and what changed since a
/// full export, comes after the hub is done with what it speaks of: the systems themselves write them later.
pub struct HandIn {
    first: VecDeque<(&'static str, PathBuf)>,
    later: VecDeque<(&'static str, PathBuf)>,
    waits_for: Vec<(&'static str, String)>,
}

impl HandIn {
    pub fn new(province: &Province) -> Self {
        let list =
            |system: &'static str, prefix: &str| province.files(system, prefix).into_iter().map(move |file| (system, file));
        let mut first: Vec<_> = list("fund-payment", "PAY").collect();
        spread(&mut first, list("funeral", "HH").collect());
        spread(&mut first, list("senior-allowance", "GL_full").collect());
        let mut later: Vec<_> = list("fund-payment", "RET").collect();
        spread(&mut later, list("senior-allowance", "GL_delta").collect());
        assert!(first.len() > 50 && later.len() > 50, "{} {}", first.len(), later.len());
        let waits_for =
            first.iter().filter(|(system, _)| *system != "funeral").map(|(system, file)| (*system, name(file))).collect();
        Self { first: first.into(), later: later.into(), waits_for }
    }

    pub fn left(&self) -> usize {
        self.first.len() + self.later.len()
    }

    /// Hands in up to `count` files; fewer when the rest has to wait.
    pub fn step(&mut self, hub: &HubFolder, count: usize) {
        for _ in 0..count {
            self.waits_for.retain(|(system, name)| !hub.has_put_away(system, name));
            let next = match self.first.pop_front() {
                None if self.waits_for.is_empty() => self.later.pop_front(),
                next => next,
            };
            let Some((system, file)) = next else { return };
            hub.hand_in(system, &file);
        }
    }

    /// Hands in everything at once: for a hub that reads its objects in order, undisturbed.
    pub fn all(mut self, hub: &HubFolder) {
        for (system, file) in self.first.drain(..).chain(self.later.drain(..)) {
            hub.hand_in(system, &file);
        }
    }
}

/// Puts the items of `more` between those of `list`, evenly.
fn spread<T>(list: &mut Vec<T>, more: Vec<T>) {
    let (length, count) = (list.len(), more.len().max(1));
    for (index, item) in more.into_iter().enumerate().rev() {
        list.insert(index * length / count, item);
    }
}

/// Delivery ids in the data files of the lake, per dataset; every row counts.
pub async fn rows_of_lake(lake: &Path) -> BTreeMap<String, Vec<String>> {
    let mut rows = BTreeMap::new();
    for folder in fs::read_dir(lake).unwrap().flatten().map(|entry| entry.path()).filter(|path| path.join("_delta_log").is_dir())
    {
        let url = Url::from_directory_path(&folder).unwrap();
        let mut table = DeltaTableBuilder::from_url(url).unwrap().build().unwrap();
        table.load().await.unwrap();
        let mut ids = Vec::new();
        for uri in table.get_file_uris().unwrap() {
            ids.extend(delivery_ids(Path::new(uri.trim_start_matches("file://"))));
        }
        rows.insert(name(&folder), ids);
    }
    rows
}

fn delivery_ids(file: &Path) -> Vec<String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["delivery_id"]);
    let mut ids = Vec::new();
    for batch in builder.with_projection(mask).build().unwrap() {
        let batch = batch.unwrap();
        ids.extend(batch.column(0).as_string::<i32>().iter().map(|id| id.unwrap().to_owned()));
    }
    ids
}
