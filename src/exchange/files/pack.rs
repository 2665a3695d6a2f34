//! Whole files: header, details, trailer.

use sha2::{Digest, Sha256};
use sm3::Sm3;

use super::{
    FILE_COUNT, FILE_DIGEST, FILE_FORM, FILE_INCOMPLETE, FILE_SIGNATURE, Name,
    line::{self, Form, HEADER, Layout, TRAILER},
};
use crate::error::Fault;

/// Version of the form, first field of the header.
const FORM: &str = "JLHD/1";

/// A file of these details; `sign` signs everything before the trailer.
///
/// # Errors
/// A name or number that does not fit its place.
pub fn pack(form: Form, name: &Name, details: &[Vec<u8>], sign: impl Fn(&[u8]) -> String) -> Result<Vec<u8>, Fault> {
    let body = details.concat();
    let (seq, count, digest) = (format!("{:04}", name.seq), details.len().to_string(), hex::encode(Sha256::digest(&body)));
    let mut file = line::write(form, HEADER, &["H", FORM, &name.bank, &name.day, &seq, &count, "SHA256", &digest])?;
    file.extend_from_slice(&body);
    let signature = sign(&file);
    file.extend(line::write(form, TRAILER, &["T", &count, &signature])?);
    Ok(file)
}

/// The details of a file that is whole: trailer, count, digest and signature fit, and it is the file that its name says.
///
/// # Errors
/// The first thing that does not fit; then nothing of the file may be used.
pub fn unpack<'a>(
    form: Form,
    name: &Name,
    bytes: &'a [u8],
    is_signed: impl Fn(&[u8], &str) -> bool,
) -> Result<Vec<&'a [u8]>, Fault> {
    let half = || Fault::new(FILE_INCOMPLETE, "the file is half a file: its trailer is missing").expected("a last line `T`");
    let lines = lines(bytes);
    let [(_, first), details @ .., (trailer_at, last)] = lines.as_slice() else { return Err(half()) };
    let header = line::read(form, HEADER, first)?;
    let Ok(trailer) = line::read(form, TRAILER, last) else { return Err(half()) };
    let same = header[1] == FORM && header[2] == name.bank && header[3] == name.day && header[4].parse() == Ok(name.seq);
    if !same {
        return Err(Fault::new(FILE_FORM, "the header speaks of another file")
            .at_row(1)
            .expected("form, bank, day and number of the name"));
    }
    if header[5].parse() != Ok(details.len()) || trailer[1] != header[5] {
        let fault = Fault::new(FILE_COUNT, "header, trailer and lines do not agree about their number");
        return Err(fault.expected(format!("{} as there are lines", details.len())));
    }
    let body = &bytes[first_end(bytes)..*trailer_at];
    let digest = match header[6].as_str() {
        "SHA256" => hex::encode(Sha256::digest(body)),
        "SM3" => hex::encode(Sm3::digest(body)),
        _ => return Err(Fault::new(FILE_FORM, "the header names no known digest").at_row(1).expected("SHA256 or SM3")),
    };
    if !digest.eq_ignore_ascii_case(&header[7]) {
        return Err(Fault::new(FILE_DIGEST, "the lines are not those whose digest stands in the header"));
    }
    if !is_signed(&bytes[..*trailer_at], &trailer[2]) {
        return Err(Fault::new(FILE_SIGNATURE, "the signature of the file does not fit"));
    }
    Ok(details.iter().map(|(_, line)| *line).collect())
}

/// The fields of the details.
///
/// # Errors
/// The first line that cannot be read, with its number.
pub fn fields(form: Form, layout: Layout, details: &[&[u8]]) -> Result<Vec<Vec<String>>, Fault> {
    let read = |(at, line): (usize, &&[u8])| line::read(form, layout, line).map_err(|fault| fault.at_row(at as u64 + 2));
    details.iter().enumerate().map(read).collect()
}

/// Lines with their places, without ends and without empty ones.
fn lines(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut at = 0;
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if !text.is_empty() {
            lines.push((at, text));
        }
        at += line.len();
    }
    lines
}

/// Where the second line begins.
fn first_end(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1)
}
