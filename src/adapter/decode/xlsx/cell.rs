//! One cell as text.

use calamine::{DataRef, ExcelDateTime, ExcelDateTimeType};

use super::{CELL_ERROR, DIGITS, Kind};
use crate::error::Fault;

/// The day after the last one Excel knows.
const END_OF_TIME: f64 = 2_958_466.0;

/// The text of a cell; nothing for an empty one.
///
/// # Errors
/// [`DIGITS`] for a long number stored as a number, [`CELL_ERROR`] for the result of a formula that failed.
pub fn text(cell: &DataRef<'_>, kind: Kind, is_1904: bool) -> Result<Option<String>, Fault> {
    Ok(match cell {
        DataRef::Empty => None,
        DataRef::String(text) => some(text),
        DataRef::SharedString(text) => some(text),
        DataRef::Bool(value) => Some(if *value { "TRUE" } else { "FALSE" }.to_owned()),
        DataRef::Int(value) => number(*value as f64, kind, is_1904).map(Some)?,
        DataRef::Float(value) => number(*value, kind, is_1904).map(Some)?,
        DataRef::DateTime(value) if value.is_datetime() && (0.0..END_OF_TIME).contains(&value.as_f64()) => Some(moment(value)),
        DataRef::DateTime(value) => number(value.as_f64(), Kind::Any, is_1904).map(Some)?,
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => some(text),
        DataRef::Error(_) => {
            let fault = Fault::new(CELL_ERROR, "the cell holds the error of a formula");
            return Err(fault.expected("a value").hint("repair the formula, or paste its value, and send the workbook again"));
        }
    })
}

fn some(text: &str) -> Option<String> {
    (!crate::domain::text::is_blank(text)).then(|| text.to_owned())
}

fn number(value: f64, kind: Kind, is_1904: bool) -> Result<String, Fault> {
    // Excel keeps 15 digits: of a longer number the rest is gone, and the sheet shows zeros for it.
    let most = if kind == Kind::Text { 1e14 } else { 1e15 };
    if value.fract() == 0.0 && value.abs() >= most {
        let fault = Fault::new(DIGITS, "a long number is stored as a number, its last digits are lost");
        return Err(fault
            .expected("text")
            .hint("format the column as text and type the numbers in again: what is lost cannot be computed"));
    }
    if kind == Kind::Date && (1.0..END_OF_TIME).contains(&value) {
        return Ok(moment(&ExcelDateTime::new(value, ExcelDateTimeType::DateTime, is_1904)));
    }
    // What Excel shows: 480.1, not the 480.10000000000002 of the file.
    let shown: f64 = format!("{value:.14e}").parse().unwrap_or(value);
    Ok(shown.to_string())
}

fn moment(value: &ExcelDateTime) -> String {
    let (year, month, day, hour, minute, second, milli) = value.to_ymd_hms_milli();
    // A serial in tenths of milliseconds may lie just before the second it means.
    let second = second + u8::from(milli >= 500 && second < 59);
    match (value.as_f64(), (hour, minute, second)) {
        (serial, _) if serial < 1.0 => format!("{hour:02}:{minute:02}:{second:02}"),
        (_, (0, 0, 0)) => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
    }
}
