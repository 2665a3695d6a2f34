//! Bodies of the fuzz targets: whatever takes bytes from outside, with what must hold whatever the bytes are.
//!
//! A body is a plain function. It panics when something is broken that must not break: a fault without a code, a text of a
//! citizen in a fault, two readings that differ, more rows than were counted, a value that does not survive being written
//! and read. `cargo fuzz` calls the bodies through the thin targets in `fuzz/`, the test suite calls them with mutated
//! samples. Nothing of the program itself uses this module.
//!
//! An input may begin with a line that says what it is for (`senior-allowance/GL_FULL`), so that an input that was kept
//! means the same when an adapter is added; without a known name one is chosen by the bytes.

mod check;
mod formats;
mod mapping;
mod rules;
mod shelf;
mod texts;
mod web;
mod write;

pub use formats::{archive, csv, dbf, fixed, json, ndjson, xlsx, xml};
pub use mapping::{compile, functions, programs};
pub use rules::{people, rules};
pub use shelf::labels;
pub use texts::{charset, envelope, guard, schema, signature, sniff};
pub use web::{pull, push, soap};

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// As in `fuzz/fuzz_targets/<name>.rs`.
    pub name: &'static str,
    pub body: fn(&[u8]),
    /// How many usual runs one of its runs costs, roughly.
    pub cost: usize,
    /// Texts that mean something to it.
    pub words: &'static [&'static str],
}

const fn target(name: &'static str, body: fn(&[u8]), cost: usize, words: &'static [&'static str]) -> Target {
    Target { name, body, cost, words }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    target("csv", csv, 1, &["\"", "\"\"", "=\"", "'", ",", "\t", "\r\n", "EOF,", "\u{feff}", "\u{1a}"]),
    target("fixed", fixed, 1, &["H", "D", "T", "\r\n", "00000000", "99999999999999", "\u{1a}"]),
    target("dbf", dbf, 1, &["\u{3}", "0", "\r", "*", " ", "\u{1a}", "C", "N", "D", "M", "--fpt--"]),
    target("xlsx", xlsx, 12, &["PK\u{3}\u{4}", "PK\u{1}\u{2}", "PK\u{5}\u{6}", "<c r=\"", "<row r=\"", "<!DOCTYPE"]),
    target("xml", xml, 1, &["<", ">", "</", "/>", "<![CDATA[", "]]>", "&#", "&amp;", "<?xml", "<!--", "<!DOCTYPE x", "xmlns:"]),
    target("json", json, 1, &["{", "}", "[", "]", "\\u0000", "\\ud800", "1e999", "-0", "\"a\":", "null"]),
    target("ndjson", ndjson, 1, &["{", "}", "\n", "\\u0000", "\\ud800", "1e999", "\"a\":", "null"]),
    target("archive", archive, 4, &["PK\u{3}\u{4}", "PK\u{1}\u{2}", "PK\u{5}\u{6}", "../", ".DBF", ".FPT", "/"]),
    target("soap", soap, 1, &["<![CDATA[", "]]>", "<return>", "</return>", "Fault", "faultcode", "&lt;", "00000", "<row>"]),
    target("push", push, 1, &["{", "[", "]", "<", "</", "\"a\":", "\\u0000"]),
    target("pull", pull, 1, &["{", "[", "]", "\"data\":", "\"next\":", "\\ud800", "\\u0000", "410"]),
    target("charset", charset, 1, &["\u{fffd}", "吉林", "¼ªÁÖ", "\u{feff}", "鍚夋灄"]),
    target("guard", guard, 1, &["{", "}", "[", "]", "\\u0000", "\\ud83d\\ude00", "1e999", "-0.0", "18446744073709551615"]),
    target("envelope", envelope, 1, &["\"id\":", "\"data\":", "\"type\":", "null", "\\u0000", ".upsert", "\"1.0\""]),
    target("schema", schema, 4, &["null", "{", "[", "\"\"", "-1", "0.001", "\"2017-02-30\"", "\"220171\""]),
    target("signature", signature, 1, &["sig1=", "(", ")", ";created=", ";keyid=\"", ";nonce=\"", ":", "\"@method\"", "?1", "="]),
    target("sniff", sniff, 2, &["{", "<", ",", "\t", "|", "\n", "PK\u{3}\u{4}", "\u{3}"]),
    target(
        "functions",
        functions,
        2,
        &["X", "x", "０", "-", "年", "月", "日", "20170230", "220171", "元", "￥", "1e5", "\u{fffd}"],
    ),
    target("programs", programs, 3, &["null", "\"\"", "\"0\"", "\"2017-02-30\"", "\"220171197001010053\"", "[]", "{}", "-1"]),
    target("compile", compile, 3, &["(", ")", "{", "}", "!", "?? ", "= ", ".a", "if ", "map_values", "->", "del("]),
    target("rules", rules, 1, &["X", "x", "０", "-", "年", "月", "日", "20170230", "220171", "元", "￥", "1e5", "T", "+08:00"]),
    target("people", people, 1, &["·", "（", "曾用名", "路", "号", "栋", "室", "闰", "农历", "0431-", "+86"]),
];

/// The target with this name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
