//! What a mapping program does with the fields of a row, found in its text without running it.
//!
//! The parsed program is walked once with a [`Shape`] in place of every value: both branches of an `if` count, a loop is
//! walked twice, so that what one turn leaves for the next is seen. What comes out is an upper bound: every field that can reach
//! an output is found, whatever the row. A field counts as read where its value is used, not where it is only passed on.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use vrl::parser::ast::RootExpr;

pub mod shape;
mod walk;

pub use shape::{ANY, Member, Path, Shape};

/// A name in the program and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    /// Bytes of the program.
    pub span: Range<usize>,
}

/// One output the program may make.
#[derive(Debug, Clone, Default)]
pub struct Output {
    pub datasets: BTreeSet<String>,
    /// The output with its `record`.
    pub shape: Shape,
}

/// What a program does.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    /// Fields whose value is used, with the first place.
    pub reads: BTreeMap<Path, Range<usize>>,
    /// Functions of the hub or of VRL that a field is given to directly.
    pub calls: BTreeMap<Path, BTreeSet<String>>,
    /// Code lists that a field is translated by.
    pub lists: BTreeMap<Path, BTreeSet<String>>,
    /// Every mention of a code list.
    pub lists_named: Vec<Named>,
    pub outputs: Vec<Output>,
}

impl Flow {
    /// Reads a program; `None` when it cannot be parsed, which the compiler tells better.
    pub fn of(text: &str) -> Option<Self> {
        let program = vrl::parser::parse(text).ok()?;
        // The parser goes on behind an error, to tell of more than one.
        if program.0.iter().any(|part| matches!(part.inner(), RootExpr::Error(_))) {
            return None;
        }
        Some(walk::walk(program))
    }

    /// Whether the value of this field, of a part of it or of what it is a part of is used.
    pub fn reads(&self, field: &Path) -> bool {
        self.reads.keys().any(|read| read.meets(field))
    }

    /// The code lists a field is translated by.
    pub fn lists_of(&self, field: &Path) -> BTreeSet<&str> {
        let met = self.lists.iter().filter(|(path, _)| path.meets(field));
        met.flat_map(|(_, lists)| lists.iter().map(String::as_str)).collect()
    }

    /// Source field and pointer of the canonical field for every output: `(dataset, pointer, fields)`.
    pub fn lineage(&self) -> BTreeMap<(String, String), BTreeSet<Path>> {
        let mut found: BTreeMap<(String, String), BTreeSet<Path>> = BTreeMap::new();
        for output in &self.outputs {
            let mut leaves = Vec::new();
            leaves_of(&output.shape.field("record"), String::new(), &mut leaves);
            for dataset in &output.datasets {
                for (pointer, from) in &leaves {
                    found.entry((dataset.clone(), pointer.clone())).or_default().extend(from.iter().cloned());
                }
            }
        }
        found
    }
}

/// Every leaf of a record with the fields it is made from.
fn leaves_of(shape: &Shape, pointer: String, leaves: &mut Vec<(String, BTreeSet<Path>)>) {
    for (name, member) in &shape.fields {
        leaves_of(&member.shape, format!("{pointer}/{name}"), leaves);
    }
    for item in &shape.items {
        leaves_of(item, format!("{pointer}/*"), leaves);
    }
    let inside = !shape.fields.is_empty() || !shape.items.is_empty();
    if !pointer.is_empty() && (!inside || !shape.from.is_empty()) {
        leaves.push((pointer, if shape.from.is_empty() { shape.by.clone() } else { shape.from.clone() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(flow: &Flow, dataset: &str, pointer: &str) -> Vec<String> {
        let lineage = flow.lineage();
        let key = (dataset.to_owned(), pointer.to_owned());
        lineage.get(&key).unwrap_or_else(|| panic!("{pointer}: {lineage:?}")).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lineage_goes_through_variables_branches_and_loops() {
        let flow = Flow::of(
            r#"
            quality = []
            members = []
            for_each(array(.M) ?? []) -> |_i, row| {
              member = { "name": nfkc(row.NAME) }
              number, err = resident_id(row.ID)
              if err == null { member.id_number = number } else { quality = push(quality, {"rule": "r"}) }
              members = push(members, member)
            }
            status = code!("state", .ZT)
            household = { "members": members, "ref": "f:" + to_string!(.FID), "kind": "A" }
            if status == "x" { household.reason = "dead" }
            outputs = [{ "dataset": "household", "op": "upsert", "record": household, "quality": quality }]
            outputs[0].quality = push(array!(outputs[0].quality), { "rule": "s" })
            if .P == true { outputs = push(outputs, { "dataset": "person", "record": { "sum": yuan!(%header.JE) } }) }
            . = outputs
            "#,
        )
        .unwrap();
        assert_eq!(from(&flow, "household", "/members/*/name"), ["M[].NAME"]);
        assert_eq!(from(&flow, "household", "/members/*/id_number"), ["M[].ID"]);
        assert_eq!(from(&flow, "household", "/ref"), ["FID"]);
        // Without a source of its own a value comes from what decided on it.
        assert_eq!(from(&flow, "household", "/reason"), ["ZT"]);
        assert_eq!(from(&flow, "household", "/kind"), Vec::<String>::new());
        assert_eq!(from(&flow, "person", "/sum"), ["%header.JE"]);
        assert!(flow.outputs.iter().all(|output| output.datasets.len() == 1));
        assert_eq!(flow.lists_of(&Path::parse("ZT")), ["state"].into());
        assert!(flow.reads(&Path::parse("P")) && flow.reads(&Path::parse("M[].ID")) && !flow.reads(&Path::parse("M[].X")));
    }

    #[test]
    fn passing_on_is_no_reading() {
        let flow = Flow::of("a = .A\nb = .B.C\nx = to_string!(b)\nlist = array!(.L)\n. = []").unwrap();
        let reads: Vec<_> = flow.reads.keys().map(ToString::to_string).collect();
        assert_eq!(reads, ["B.C"]);
        assert!(Flow::of(". = {").is_none());
    }

    #[test]
    fn a_row_that_is_copied_is_read_whole() {
        let flow = Flow::of(". = [{ \"dataset\": \"d\", \"record\": . }]").unwrap();
        assert!(flow.reads(&Path::parse("ANY.THING")));
    }
}
