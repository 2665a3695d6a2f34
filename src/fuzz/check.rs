//! What must hold for every input.

use std::fmt::Debug;

use crate::{
    adapter::decode::{BadRow, Decoded, Format, Input},
    domain::resident_id::ResidentId,
    error::Fault,
};

/// A row may have a fault for each of its fields; the widest record has some two thousand.
const MOST_FAULTS: usize = 2_100;
/// The beginning of a refused record that is kept.
const MOST_RAW: usize = 4096;
/// Names that are content wherever they stand: people of samples and tests.
const NAMES: [&str; 4] = ["王建国", "孙玉兰", "金哲洙", "李秀英"];

type Row = Result<Decoded, BadRow>;

/// Two readings of the same bytes.
pub fn same<T: PartialEq + Debug>(one: &T, other: &T) {
    assert_eq!(one, other, "the same bytes were read in two ways");
}

/// What a refusal must be: coded, explained, short, and without a citizen.
pub fn faults(faults: &[Fault]) {
    assert!(!faults.is_empty(), "refused without a fault");
    assert!(faults.len() <= MOST_FAULTS, "{} faults of one input", faults.len());
    faults.iter().for_each(fault);
}

pub fn fault(fault: &Fault) {
    let code: u16 = fault.code.to_string().trim_start_matches("CH-").parse().unwrap_or_default();
    assert!((1000..10_000).contains(&code), "a fault without a code: {fault}");
    assert!(!fault.message.is_empty(), "{} says nothing", fault.code);
    let place = &fault.place;
    let texts =
        [Some(&fault.message), fault.expected.as_ref(), fault.hint.as_ref(), place.column.as_ref(), place.pointer.as_ref()];
    for text in texts.into_iter().flatten() {
        assert!(!names_a_citizen(text), "{} tells of a citizen", fault.code);
    }
}

fn names_a_citizen(text: &str) -> bool {
    let number = |run: &str| run.len() == 18 && ResidentId::parse(run).is_ok();
    NAMES.iter().any(|name| text.contains(name)) || text.split(|c: char| !c.is_ascii_alphanumeric()).any(number)
}

/// Reads a file as in production, twice. `exact` says that as many rows come as were counted; the records around the details of
/// a fixed layout are not counted, but may be bad.
pub fn format(format: &dyn Format, exact: bool, open: &dyn Fn() -> Box<dyn Input>) -> Vec<Row> {
    let verdict = format.verify(&mut *open());
    same(&verdict, &format.verify(&mut *open()));
    let rows = read(format, open);
    same(&rows, &read(format, open));
    if let Err(refused) = &verdict {
        faults(refused);
    }
    match rows {
        Err(refused) => {
            faults(&refused);
            assert!(verdict.is_err(), "the file was verified and cannot be opened");
            Vec::new()
        }
        Ok(rows) => {
            if let Ok(counted) = verdict {
                let (good, all) = (rows.iter().filter(|row| row.is_ok()).count() as u64, rows.len() as u64);
                let fits = if exact { all == counted } else { good <= counted && counted <= all };
                assert!(fits, "{counted} rows were counted, {good} good ones of {all} came");
            }
            rows
        }
    }
}

fn read(format: &dyn Format, open: &dyn Fn() -> Box<dyn Input>) -> Result<Vec<Row>, Vec<Fault>> {
    let mut reader = format.rows(open())?;
    let (mut rows, mut last) = (Vec::new(), (0, 0));
    while let Some(row) = reader.next() {
        let member = reader.member().map_or(0, |(member, _)| member);
        last = numbered(&row, member, last);
        rows.push(row);
    }
    assert!(reader.next().is_none(), "a row after the end");
    Ok(rows)
}

/// A reader goes on from a member and a row: they must grow.
fn numbered(row: &Row, member: u32, last: (u32, u64)) -> (u32, u64) {
    let number = match row {
        Ok(row) => {
            assert!(row.data.is_object(), "a row is no object");
            row.number
        }
        Err(bad) => {
            faults(&bad.faults);
            assert!(bad.raw.len() <= MOST_RAW, "{} bytes of a refused row", bad.raw.len());
            // A member of an archive that is refused whole has no row.
            assert!(bad.number == 0 || bad.faults.iter().all(|fault| fault.place.row.is_some()), "a refused row has no place");
            bad.number
        }
    };
    assert!((member, number) > last || (member > 0 && number == 0), "row {number} comes after {}", last.1);
    (member, number)
}

/// The rows that could be read.
pub fn good(rows: Vec<Row>) -> Vec<Decoded> {
    rows.into_iter().filter_map(Result::ok).collect()
}
