//! Administrative divisions of Jilin: the 2017 edition of the statistics bureau's codes, and every code of a county
//! that was ever valid (GB/T 2260 and its changes). Embedded and parsed once.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::{Refusal, text};
use crate::error::Code;

/// A division code has a wrong form, or no division ever had it.
pub const DIVISION: Code = Code::new(3109);

const EXPECTED: &str = "a division code of 6, 9 or 12 digits that exists now or did once";
const CURRENT: &str = include_str!("../../config/divisions/divisions_22.csv");
const HISTORY: &str = include_str!("../../config/divisions/division_history_22.csv");
/// First two digits of all provinces (GB/T 2260), and 83 for residents from Taiwan with a residence permit.
const PROVINCES: [u8; 35] = [
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54, 61, 62, 63, 64, 65,
    71, 81, 82, 83,
];
const JILIN: &str = "22";

/// One division.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    /// Twelve digits.
    pub code: u64,
    /// 1 province, 2 prefecture, 3 county, 4 township, 5 community or village; of a former division 2 or 3.
    pub level: u8,
    pub name: &'static str,
    /// Twelve digits; 0 above the province.
    pub parent: u64,
    /// `district`, `county`, `town`, `village`, ...; `functional-zone` for zones that are no divisions by law;
    /// `former` for what only the history knows.
    pub kind: &'static str,
    /// Last year of validity; none while it is valid (in the 2017 edition, or later by the history).
    pub until: Option<u16>,
}

static TABLE: LazyLock<FxHashMap<u64, Division>> = LazyLock::new(table);

fn table() -> FxHashMap<u64, Division> {
    let mut table = FxHashMap::default();
    for line in CURRENT.lines().skip(1) {
        let fields: Vec<&'static str> = line.split(',').collect();
        if let [code, level, name, parent, kind, _] = *fields.as_slice()
            && let (Ok(code), Ok(level), Ok(parent)) = (code.parse(), level.parse(), parent.parse())
        {
            table.insert(code, Division { code, level, name, parent, kind, until: None });
        }
    }
    for line in HISTORY.lines().skip(1) {
        let fields: Vec<&'static str> = line.split(',').collect();
        if let [code, name, _, until] = *fields.as_slice()
            && let Ok(county) = code.parse::<u64>()
        {
            add_former(&mut table, county, name, until.parse().ok());
        }
    }
    table
}

/// Adds what the 2017 edition does not know; of several names of one code the last one stays.
fn add_former(table: &mut FxHashMap<u64, Division>, county: u64, name: &'static str, until: Option<u16>) {
    let code = county * 1_000_000;
    let (level, parent) = if county.is_multiple_of(100) { (2, 220_000_000_000) } else { (3, county / 100 * 100_000_000) };
    match table.get_mut(&code) {
        Some(known) if known.kind != "former" => {}
        Some(known) => *known = Division { name, until, ..known.clone() },
        None => {
            table.insert(code, Division { code, level, name, parent, kind: "former", until });
        }
    }
}

/// The division with a code of 6, 9 or 12 digits, if it exists or ever did. Jilin only.
pub fn find(code: &str) -> Option<&'static Division> {
    TABLE.get(&widen(code)?)
}

/// All divisions of Jilin in the order of their codes.
pub fn all() -> Vec<&'static Division> {
    let mut all: Vec<_> = TABLE.values().collect();
    all.sort_by_key(|division| division.code);
    all
}

/// The twelve digits of a code of Jilin written with 6, 9 or 12.
pub fn normalise(value: &str) -> Result<String, Refusal> {
    let code = text::compact_upper(value, 12);
    let number = widen(&code).ok_or_else(|| refuse("the division code has a wrong form"))?;
    if TABLE.contains_key(&number) { Ok(format!("{number:012}")) } else { Err(refuse("no division ever had this code")) }
}

/// Like [`normalise`], but also takes well-formed codes of other provinces, which the table does not list: for registered
/// residence and places of origin.
pub fn normalise_anywhere(value: &str) -> Result<String, Refusal> {
    let code = text::compact_upper(value, 12);
    let number = widen(&code).ok_or_else(|| refuse("the division code has a wrong form"))?;
    let foreign = !code.starts_with(JILIN) && is_province(&code);
    if foreign || TABLE.contains_key(&number) {
        Ok(format!("{number:012}"))
    } else {
        Err(refuse("no division ever had this code"))
    }
}

/// The township of a county by its name: whole, or without its kind where that leaves one township (`临河`, `临河街道`).
pub fn township(county: &str, name: &str) -> Result<String, Refusal> {
    let refuse = |message| Refusal::new(DIVISION, message, "the name of a township, town or subdistrict of the county");
    let county = text::compact_upper(county, 12);
    let county =
        widen(&county).filter(|code| TABLE.contains_key(code)).ok_or_else(|| refuse("no division ever had this code"))?;
    let name = text::nfkc(name);
    let of_county = || TABLE.values().filter(|division| division.level == 4 && division.parent == county);
    let same = |division: &&Division| division.name == name || (!stem(&name).is_empty() && stem(division.name) == stem(&name));
    let exact = of_county().find(|division| division.name == name);
    let mut alike = of_county().filter(same);
    let found = exact.or_else(|| alike.next().filter(|_| alike.next().is_none()));
    found
        .map(|division| format!("{:012}", division.code))
        .ok_or_else(|| refuse("the county has no township of this name, or several"))
}

/// A name without the kind of township.
fn stem(name: &str) -> &str {
    let kinds = ["街道办事处", "办事处", "街道", "乡", "镇"];
    kinds.iter().find_map(|kind| name.strip_suffix(kind)).unwrap_or(name)
}

/// Names from the province down: `吉林省长春市二道区`.
pub fn full_name(value: &str) -> Result<String, Refusal> {
    let names = path(value)?;
    Ok(names.concat())
}

/// Names from the province down, one each.
pub fn path(value: &str) -> Result<Vec<&'static str>, Refusal> {
    let code = text::compact_upper(value, 12);
    let mut at = find(&code).ok_or_else(|| refuse("no division ever had this code"))?;
    let mut names = vec![at.name];
    while let Some(parent) = TABLE.get(&at.parent) {
        names.push(parent.name);
        at = parent;
    }
    names.reverse();
    Ok(names)
}

/// Whether identity numbers may begin with these six digits: a county of Jilin that is or was, or any of another province.
pub fn is_issuing_place(six: &str) -> bool {
    six.len() == 6
        && if six.starts_with(JILIN) { find(six).is_some_and(|division| division.level >= 2) } else { is_province(six) }
}

fn is_province(code: &str) -> bool {
    code.get(..2).and_then(|two| two.parse().ok()).is_some_and(|two: u8| PROVINCES.contains(&two))
}

fn widen(code: &str) -> Option<u64> {
    let number: u64 = Some(code).filter(|code| code.bytes().all(|c| c.is_ascii_digit()))?.parse().ok()?;
    match code.len() {
        6 => Some(number * 1_000_000),
        9 => Some(number * 1_000),
        12 => Some(number),
        _ => None,
    }
}

fn refuse(message: &'static str) -> Refusal {
    Refusal::new(DIVISION, message, EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::vectors;

    #[test]
    fn the_table_is_whole() {
        // Splitting at commas is enough only while no field is quoted.
        assert!(!CURRENT.contains('"') && !HISTORY.contains('"'));
        assert_eq!(TABLE.values().filter(|division| division.kind != "former").count(), CURRENT.lines().count() - 1);
        for division in TABLE.values().filter(|division| division.level > 1) {
            assert!(TABLE.contains_key(&division.parent) || division.kind == "former", "{}", division.code);
        }
        let counties = |kind: &str| TABLE.values().filter(|division| division.level == 3 && division.kind == kind).count();
        assert_eq!(counties("district") + counties("county") + counties("county-city") + counties("autonomous-county"), 60);
    }

    #[test]
    fn vectors() {
        for entry in vectors::all()["division"]["valid"].as_array().unwrap() {
            let names: Vec<&str> = entry["path"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            assert_eq!(path(entry["code"].as_str().unwrap()).unwrap(), names);
        }
        for pointer in ["old", "new"] {
            for code in vectors::texts("/division/superseded", pointer) {
                assert_eq!(normalise(&code).unwrap(), format!("{code}000000"));
            }
        }
    }

    #[test]
    fn forms() {
        for code in ["220105004", "220105004000", " ２２０１０５００４ "] {
            assert_eq!(normalise(code).unwrap(), "220105004000");
        }
        for code in ["", "22010", "2201050", "220199", "110105", "22010500400x", "吉林", "000000000000"] {
            assert!(normalise(code).is_err(), "{code}");
        }
        assert_eq!(full_name("220105").unwrap(), "吉林省长春市二道区");
        assert_eq!(find("220171").unwrap().kind, "functional-zone");
        assert_eq!(find("220724").unwrap().until, Some(2012));
    }

    #[test]
    fn townships_by_name() {
        for name in ["临河街道办事处", "临河街道", " 临 河 ", "临河办事处"] {
            assert_eq!(township("220171", name).unwrap(), "220171001000", "{name}");
        }
        for (county, name) in [("220171", "南岭街道办事处"), ("220171", ""), ("220171", "街道"), ("220199", "临河街道")]
        {
            assert!(township(county, name).is_err(), "{county} {name}");
        }
    }

    #[test]
    fn other_provinces_by_their_first_digits() {
        assert_eq!(normalise_anywhere("110105").unwrap(), "110105000000");
        assert!(normalise_anywhere("990105").is_err() && normalise_anywhere("220199").is_err());
        assert!(
            is_issuing_place("222303")
                && is_issuing_place("110105")
                && !is_issuing_place("999999")
                && !is_issuing_place("220199")
        );
    }
}
