//! Large files from small samples: the rows of a sample over and over, with counts, sums and digests put right.

use md5::{Digest, Md5};
use serde_json::Value;

use super::not_measured;
use crate::{
    domain::division,
    error::Fault,
    simulate::write::{
        soap,
        xlsx::{self, Cell, Sheet},
        zip::{Archive, Names},
    },
};

/// A file and how many rows it has.
pub type File = (Vec<u8>, u64);

/// Lines around and between the first and the last, so that there are about `rows`.
fn lines(sample: &[u8]) -> Vec<&[u8]> {
    sample.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect()
}

fn over(count: usize, rows: u64) -> Result<u64, Fault> {
    let count = u64::try_from(count).unwrap_or_default();
    rows.checked_div(count).map(|times| times.max(1)).ok_or_else(|| not_measured("a sample has no rows"))
}

/// CSV with a header and a control line `EOF,<count>,<MD5>`.
pub fn csv(sample: &[u8], rows: u64) -> Result<File, Fault> {
    let lines = lines(sample);
    let [header, data @ .., _] = lines.as_slice() else { return Err(not_measured("a sample has no rows")) };
    let times = over(data.len(), rows)?;
    let mut bytes = header.to_vec();
    (0..times).for_each(|_| data.iter().for_each(|line| bytes.extend_from_slice(line)));
    let count = times * data.len() as u64;
    let digest = hex::encode(Md5::digest(&bytes));
    bytes.extend_from_slice(format!("EOF,{count},{digest}\r\n").as_bytes());
    Ok((bytes, count))
}

/// Places of fields: the first byte, and that behind the last.
pub type Place = (usize, usize);

/// Fixed width with a header; `count` and `sum` are the places of its control totals, `amount` that of the details.
pub fn fixed(sample: &[u8], rows: u64, [count, sum, amount]: [Place; 3]) -> Result<File, Fault> {
    let lines = lines(sample);
    let [header, data @ ..] = lines.as_slice() else { return Err(not_measured("a sample has no rows")) };
    let times = over(data.len(), rows)?;
    let number = |line: &[u8]| std::str::from_utf8(line.get(amount.0..amount.1)?).ok()?.trim().parse::<u64>().ok();
    let total = data.iter().filter_map(|line| number(line)).sum::<u64>() * times;
    let all = times * data.len() as u64;
    let mut bytes = header.to_vec();
    for ((start, end), number) in [(count, all), (sum, total)] {
        let text = format!("{number:0width$}", width = end - start);
        bytes.get_mut(start..end).ok_or_else(|| not_measured("a header is too short"))?.copy_from_slice(text.as_bytes());
    }
    (0..times).for_each(|_| data.iter().for_each(|line| bytes.extend_from_slice(line)));
    Ok((bytes, all))
}

/// A table of dBase.
pub fn dbf(sample: &[u8], rows: u64) -> Result<File, Fault> {
    let number = |at: usize| sample.get(at..at + 2).map(|bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
    let (Some(header), Some(length)) = (number(8), number(10)) else { return Err(not_measured("a sample is no table")) };
    let body = sample.get(header..).unwrap_or_default();
    let records = &body[..body.len() - body.len() % length.max(1)];
    let times = over(records.len() / length.max(1), rows)?;
    let count = times * (records.len() / length) as u64;
    let mut bytes = sample[..header].to_vec();
    bytes[4..8].copy_from_slice(&u32::try_from(count).unwrap_or_default().to_le_bytes());
    (0..times).for_each(|_| bytes.extend_from_slice(records));
    bytes.push(0x1a);
    Ok((bytes, count))
}

/// An archive of tables with their memos, about a thousand rows each; the sample has one table and one file of memos.
pub fn zip(table: &[u8], memos: &[u8], rows: u64) -> Result<File, Fault> {
    let counties: Vec<String> = division::all()
        .into_iter()
        .filter(|division| division.level == 3 && division.until.is_none())
        .map(|county| format!("{:06}", county.code / 1_000_000))
        .collect();
    let most = rows.div_ceil(counties.len().max(1) as u64).max(1000);
    let (mut archive, mut count) = (Archive::new(Names::Gbk), 0);
    for county in counties {
        if count >= rows {
            break;
        }
        let (bytes, more) = dbf(table, (rows - count).min(most))?;
        let failed = |_| not_measured("the archive could not be written");
        archive.push(&format!("TK{county}.DBF"), &bytes).map_err(failed)?;
        archive.push(&format!("TK{county}.FPT"), memos).map_err(failed)?;
        count += more;
    }
    Ok((archive.bytes(), count))
}

/// A workbook; cells are the texts of decoded rows.
pub fn xlsx(data: &[Value], name: &str, rows: u64) -> Result<File, Fault> {
    let columns: Vec<&str> =
        data.first().and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let mut sheet = Sheet::new(name, &["2017"], &columns);
    let times = over(data.len(), rows)?;
    for row in (0..times).flat_map(|_| data) {
        let cell = |column: &&str| row.get(column).and_then(Value::as_str).map_or(Cell::Blank, Cell::text);
        sheet.push(columns.iter().map(cell).collect());
    }
    let count = sheet.rows.len() as u64;
    Ok((xlsx::bytes(&[sheet]).map_err(|_| not_measured("the workbook could not be written"))?, count))
}

/// Where a mark stands in a text.
fn places<'a>(bytes: &'a [u8], mark: &'a str) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(mark.len()).enumerate().filter(move |(_, window)| *window == mark.as_bytes()).map(|(at, _)| at)
}

/// The elements of one name between what stands before the first and behind the last.
pub fn xml(sample: &[u8], row: &str, rows: u64) -> Result<File, Fault> {
    let (open, close) = (format!("<{row}>"), format!("</{row}>"));
    let (first, last) = (places(sample, &open).next(), places(sample, &close).last().map(|at| at + close.len()));
    let (Some(first), Some(last)) = (first, last) else { return Err(not_measured("a sample has no rows")) };
    let count = places(sample, &open).count();
    let times = over(count, rows)?;
    let mut bytes = sample[..first].to_vec();
    (0..times).for_each(|_| bytes.extend_from_slice(&sample[first..last]));
    bytes.extend_from_slice(&sample[last..]);
    Ok((bytes, times * count as u64))
}

/// Pages of a SOAP service with a hundred rows each.
pub fn soap(sample: &[u8], operation: &str, rows: u64) -> Result<Vec<File>, Fault> {
    let text = std::str::from_utf8(sample).map_err(|_| not_measured("a sample is not UTF-8"))?;
    let records: Vec<String> = text
        .split("<row>")
        .skip(1)
        .filter_map(|rest| rest.split_once("</row>"))
        .map(|(row, _)| format!("<row>{row}</row>"))
        .collect();
    over(records.len(), rows)?;
    let pages = rows.div_ceil(soap::PAGE);
    let page = |number: u64| {
        let count = soap::PAGE.min(rows - number * soap::PAGE);
        let rows: String = records.iter().cycle().take(usize::try_from(count).unwrap_or_default()).map(String::as_str).collect();
        let number = usize::try_from(number + 1).unwrap_or_default();
        (soap::page(operation, number, &records.len().to_string(), &rows).into_bytes(), count)
    };
    Ok((0..pages).map(page).collect())
}

/// Pages of JSON with a hundred rows each at `items`.
pub fn pages(sample: &[u8], items: &str, rows: u64) -> Result<Vec<File>, Fault> {
    let mut document: Value = serde_json::from_slice(sample).map_err(|_| not_measured("a sample is no JSON"))?;
    let of_sample = document.pointer(items).and_then(Value::as_array).cloned().unwrap_or_default();
    over(of_sample.len(), rows)?;
    let mut pages = Vec::new();
    for number in 0..rows.div_ceil(100) {
        let count = 100.min(rows - number * 100);
        let page = of_sample.iter().cycle().take(usize::try_from(count).unwrap_or_default()).cloned().collect();
        if let Some(at) = document.pointer_mut(items) {
            *at = Value::Array(page);
        }
        pages.push((document.to_string().into_bytes(), count));
    }
    Ok(pages)
}

/// Lines of JSON.
pub fn ndjson(sample: &[u8], rows: u64) -> Result<File, Fault> {
    let lines = lines(sample);
    let times = over(lines.len(), rows)?;
    let mut bytes = Vec::new();
    (0..times).for_each(|_| lines.iter().for_each(|line| bytes.extend_from_slice(line)));
    Ok((bytes, times * lines.len() as u64))
}
