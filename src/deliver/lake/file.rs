//! Parquet files and their `add` actions.
//!
//! The statistics in the log cover `occurred_at` and `sequence` alone: the least and greatest name or number of a
//! file would put personal data into a log that many may read.

use std::{collections::HashMap, sync::Arc};

use deltalake_core::{
    arrow::{
        array::{AsArray, RecordBatch, new_null_array},
        compute::{cast, max, min},
        datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType},
    },
    kernel::Add,
    logstore::object_store::path::Path,
    parquet::{
        arrow::ArrowWriter,
        basic::{Compression, ZstdLevel},
        errors::ParquetError,
        file::properties::WriterProperties,
    },
};
use rand::Rng as _;
use serde_json::json;
use time::OffsetDateTime;

use super::columns::INGEST_DATE;
use crate::{clock, envelope::unlike_numbers};

/// Rows per row group: bounds what a reader, and the compaction, holds at a time.
const ROW_GROUP: usize = 65_536;

/// The columns with statistics in the log, as the table property `delta.dataSkippingStatsColumns` names them.
pub(super) const STATS_COLUMNS: &str = "occurred_at,sequence";

pub(super) fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_created_by("civilhub".to_owned())
        .build()
}

/// One batch as the bytes of a parquet file. Blocking: compresses.
pub(super) fn encode(batch: &RecordBatch) -> Result<Vec<u8>, ParquetError> {
    let mut bytes = Vec::with_capacity(batch.get_array_memory_size() / 4);
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties()))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(bytes)
}

/// A new file name in the partition of a day; random, because an earlier try may have left its own.
pub(super) fn new_path(ingest_date: &str, kind: &str) -> Path {
    let token = unlike_numbers(&rand::rng().random::<[u8; 16]>());
    Path::from(format!("{INGEST_DATE}={ingest_date}/{kind}-{token}.zstd.parquet"))
}

/// What the log says about the rows of a file.
#[derive(Debug, Default, Clone)]
pub(super) struct Stats {
    pub rows: u64,
    occurred_at: Option<(i64, i64)>,
    sequence: Option<(i64, i64)>,
    nulls: [usize; 2],
}

impl Stats {
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        if let Some(column) = batch.column_by_name("occurred_at") {
            self.nulls[0] += column.null_count();
            if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
                widen(&mut self.occurred_at, min(times).zip(max(times)));
            }
        }
        if let Some(column) = batch.column_by_name("sequence") {
            self.nulls[1] += column.null_count();
            if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
                widen(&mut self.sequence, min(numbers).zip(max(numbers)));
            }
        }
    }

    fn json(&self) -> String {
        let mut stats = json!({
            "numRecords": self.rows, "minValues": {}, "maxValues": {},
            "nullCount": { "occurred_at": self.nulls[0], "sequence": self.nulls[1] },
        });
        if let Some((least, greatest)) = self.occurred_at {
            stats["minValues"]["occurred_at"] = json!(millis_text(least.div_euclid(1_000)));
            // Times in statistics have milliseconds: round the upper bound up, or it would exclude its own row.
            stats["maxValues"]["occurred_at"] = json!(millis_text((greatest + 999).div_euclid(1_000)));
        }
        if let Some((least, greatest)) = self.sequence {
            stats["minValues"]["sequence"] = json!(least);
            stats["maxValues"]["sequence"] = json!(greatest);
        }
        stats.to_string()
    }

    /// The `add` action of a finished file. `data_change` is false when its rows were in the table before.
    pub(super) fn action(&self, path: &Path, bytes: u64, ingest_date: &str, data_change: bool) -> Add {
        Add {
            path: path.to_string(),
            partition_values: HashMap::from([(INGEST_DATE.to_owned(), Some(ingest_date.to_owned()))]),
            size: i64::try_from(bytes).unwrap_or(i64::MAX),
            modification_time: clock::millis(),
            data_change,
            stats: Some(self.json()),
            ..Add::default()
        }
    }
}

fn widen(range: &mut Option<(i64, i64)>, found: Option<(i64, i64)>) {
    if let Some((least, greatest)) = found {
        let (low, high) = range.unwrap_or((least, greatest));
        *range = Some((low.min(least), high.max(greatest)));
    }
}

fn millis_text(millis: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        moment.year(),
        u8::from(moment.month()),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second(),
        moment.millisecond()
    )
}

/// The same batch in the columns of `schema`: missing ones are null, other representations are cast.
pub(super) fn align(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ParquetError> {
    let mut arrays = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        arrays.push(match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
            Some(column) => cast(column, field.data_type())?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        });
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), arrays)?)
}
