//! Full loads: a file with every row of a system, after which rows that vanished are deleted.
//!
//! While rows are handed over, the keys of what they became are noted beside the position, in the same transaction
//! ([`book`]). When a full file has been read to its end, [`finish`] compares: keys that the file did not have and that are
//! older than it have vanished. Few of them become deletions; many, or a file with rows nobody could read, are held
//! until somebody releases or drops the load. A file that fails on its way marks keys and deletes none.

use serde::Deserialize;

use super::{
    decode::{options, options::OneOrMany},
    source::file::folder,
};
use crate::error::{Code, Fault};

pub mod book;
pub mod finish;
pub mod held;

/// A full load is held: too many rows vanished, or some could not be read.
pub const LOAD_HELD: Code = Code::new(3510);

/// Largest share of rows that may vanish when the adapter does not say, in millionths.
const MAX_DROP: i64 = 50_000;

/// Options of an object that belong here.
const OPTIONS: [&str; 4] = ["load", "full", "keys", "max_drop"];

/// Whether an object says anything about loads.
pub fn has_options(object: &toml::Table) -> bool {
    OPTIONS.iter().any(|name| object.contains_key(*name))
}

/// Takes the options out of a table whose other owners would not know them.
pub fn strip(object: &mut toml::Table) {
    for name in OPTIONS {
        object.remove(name);
    }
}

/// What an object says about its loads.
#[derive(Debug, Clone, PartialEq)]
pub struct Loads {
    /// Objects with the same name share their keys: the full and the delta files of one system.
    pub keys: String,
    /// Share in millionths.
    pub max_drop: i64,
    full: Full,
}

#[derive(Debug, Clone, PartialEq)]
enum Full {
    All,
    None,
    Named(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Full,
    Delta,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    load: Option<Kind>,
    full: Option<OneOrMany>,
    keys: Option<String>,
    max_drop: Option<f64>,
}

impl Loads {
    /// Takes the options out of an object's table; none when it has none of them.
    ///
    /// # Errors
    /// Every wrong value.
    pub fn take(object: &str, table: &mut toml::Table) -> Result<Option<Self>, Vec<Fault>> {
        let own: toml::Table = OPTIONS.iter().filter_map(|name| Some(((*name).to_owned(), table.remove(*name)?))).collect();
        if own.is_empty() {
            return Ok(None);
        }
        let given: Options = options::read(&own)?;
        let full = match (given.load, given.full.map(OneOrMany::into_vec)) {
            (Some(Kind::Full), None) => Full::All,
            (Some(Kind::Delta), None) => Full::None,
            (None, Some(globs)) if !globs.is_empty() && globs.iter().all(|glob| folder::valid_glob(glob)) => Full::Named(globs),
            _ => {
                let fault = options::bad("load", "says which files hold every row of the system");
                let known = "`load = \"full\"`, `load = \"delta\"`, or `full = \"<name of full files with * and ?>\"`";
                return Err(vec![fault.expected(known)]);
            }
        };
        let share = given.max_drop.map_or(Some(MAX_DROP), millionths);
        let Some(max_drop) = share else {
            return Err(vec![options::bad("max_drop", "is no share").expected("a number from 0 to 1, such as 0.05")]);
        };
        Ok(Some(Self { keys: given.keys.unwrap_or_else(|| object.to_owned()), max_drop, full }))
    }

    /// The load that a file belongs to.
    pub fn of_file(&self, file: &str, digest: &str) -> Load {
        let full = match &self.full {
            Full::All => true,
            Full::None => false,
            Full::Named(globs) => globs.iter().any(|glob| folder::matches(glob, file)),
        };
        Load {
            keys: self.keys.clone(),
            max_drop: self.max_drop,
            full: full.then(|| digest[..32.min(digest.len())].to_owned()),
            file: file.to_owned(),
            ended: false,
        }
    }
}

fn millionths(share: f64) -> Option<i64> {
    (0.0..=1.0).contains(&share).then_some((share * 1e6).round() as i64)
}

/// What a batch of rows is part of.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    pub keys: String,
    pub max_drop: i64,
    /// The id of a full load; none for a delta.
    pub full: Option<String>,
    pub file: String,
    /// The batch holds the last row of the file.
    pub ended: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str) -> Result<Option<Loads>, Vec<Fault>> {
        Loads::take("GL", &mut text.parse().unwrap())
    }

    #[test]
    fn options_say_which_files_are_full() {
        assert_eq!(take("format = 'csv'").unwrap(), None);
        let full = |text: &str, file: &str| take(text).unwrap().unwrap().of_file(file, "d").full.is_some();
        assert!(full("load = 'full'", "x") && !full("load = 'delta'", "x"));
        assert!(full("full = 'GL_full*.csv'", "gl_full_1.csv") && !full("full = 'GL_full*.csv'", "gl_delta_1.csv"));
        let loads = take("load = 'full'\nmax_drop = 0.2\nkeys = 'K'").unwrap().unwrap();
        assert_eq!((loads.max_drop, loads.keys.as_str()), (200_000, "K"));
        assert_eq!(take("load = 'delta'").unwrap().unwrap().keys, "GL");
    }

    #[test]
    fn wrong_options_are_named() {
        for text in
            ["load = 'both'", "max_drop = 0.1", "load = 'full'\nmax_drop = 5.0", "load = 'full'\nfull = 'x'", "full = '../x'"]
        {
            assert!(take(text).is_err(), "{text}");
        }
    }
}
