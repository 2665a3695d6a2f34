//! The legal steps of every case, and the watch over what sources say of them.
//!
//! `config/transitions.csv` has every legal step of eight machines. A source object that went from one state to another
//! which no legal step leads to is flagged: [`Flag`]. Nothing is refused for it: the record is what the source says, and
//! whoever receives it is told by a remark that the step was none.
//!
//! Systems that are read once a night may take several steps between two looks. Where legal steps lead to the new state
//! by way of others, the flag says so ([`Verdict::Skipped`]) and weighs less than a step that no way leads to.

mod watch;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::LazyLock,
};

use rustc_hash::{FxHashMap, FxHashSet};

pub use watch::{Flag, Known, MACHINES, watch};

use crate::error::Code;

/// A step that is in no machine: no legal way leads from the old state to the new one.
pub const ILLEGAL_STEP: Code = Code::new(7401);
/// Steps between the old state and the new one were not seen.
pub const SKIPPED_STEP: Code = Code::new(7402);
/// A publicity that lasts, or lasted, less than seven days.
pub const PUBLICITY_SHORT: Code = Code::new(7403);
/// A state that the machine of the dataset does not have.
pub const UNKNOWN_STATE: Code = Code::new(7404);

/// The table of all machines.
pub const TRANSITIONS: &str = include_str!("../../config/transitions.csv");

/// One legal step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub machine: String,
    pub from: String,
    pub event: String,
    pub to: String,
    pub actor: String,
    pub guard: String,
}

/// What the table says of two states, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A legal step, by the event of this name.
    Legal(String),
    /// The state is the same and no event leads from it to itself: other fields changed.
    Same,
    /// So many legal steps lead there, but more than one.
    Skipped(usize),
    /// No legal steps lead there.
    Illegal,
    /// The machine has no such state.
    Unknown,
}

/// The steps of one machine.
#[derive(Debug, Default)]
pub struct Machine {
    steps: FxHashMap<String, Vec<(String, String)>>,
    states: FxHashSet<String>,
}

/// All machines of the table, by name.
pub fn machines() -> &'static BTreeMap<String, Machine> {
    static ALL: LazyLock<BTreeMap<String, Machine>> = LazyLock::new(|| {
        let mut all: BTreeMap<String, Machine> = BTreeMap::new();
        for step in steps() {
            let machine = all.entry(step.machine).or_default();
            machine.states.extend([step.from.clone(), step.to.clone()]);
            machine.steps.entry(step.from).or_default().push((step.event, step.to));
        }
        all
    });
    &ALL
}

/// Every row of the table.
pub fn steps() -> Vec<Step> {
    let mut reader = csv::Reader::from_reader(TRANSITIONS.as_bytes());
    let rows = reader.records().filter_map(Result::ok);
    rows.filter_map(|row| {
        let field = |at: usize| row.get(at).map(str::to_owned);
        Some(Step { machine: field(0)?, from: field(1)?, event: field(2)?, to: field(3)?, actor: field(4)?, guard: field(5)? })
    })
    .collect()
}

impl Machine {
    /// Judges a change of state.
    pub fn judge(&self, from: &str, to: &str) -> Verdict {
        if !self.states.contains(to) || !self.states.contains(from) {
            return Verdict::Unknown;
        }
        if let Some((event, _)) = self.steps_from(from).iter().find(|(_, next)| next == to) {
            return Verdict::Legal(event.clone());
        }
        if from == to {
            return Verdict::Same;
        }
        self.distance(from, to).map_or(Verdict::Illegal, Verdict::Skipped)
    }

    /// Whether the machine has the state.
    pub fn has(&self, state: &str) -> bool {
        self.states.contains(state)
    }

    /// All states, in the order of their names.
    pub fn states(&self) -> Vec<&str> {
        let mut states: Vec<&str> = self.states.iter().map(String::as_str).collect();
        states.sort_unstable();
        states
    }

    fn steps_from(&self, state: &str) -> &[(String, String)] {
        self.steps.get(state).map_or(&[], Vec::as_slice)
    }

    /// The fewest legal steps from one state to another.
    fn distance(&self, from: &str, to: &str) -> Option<usize> {
        let mut seen = FxHashSet::from_iter([from]);
        let mut queue = VecDeque::from([(from, 0)]);
        while let Some((state, steps)) = queue.pop_front() {
            if state == to {
                return Some(steps);
            }
            for (_, next) in self.steps_from(state) {
                if seen.insert(next) {
                    queue.push_back((next, steps + 1));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table_is_read() {
        assert_eq!(steps().len(), TRANSITIONS.lines().count() - 1);
        assert_eq!(steps().len(), 101);
        let names: Vec<&str> = machines().keys().map(String::as_str).collect();
        assert_eq!(names, ["complaint", "dibao", "disaster", "payment", "service", "settlement", "verification"]);
    }

    /// Generated from the file: each of its rows is legal, and of all other pairs of states none is.
    #[test]
    fn every_legal_and_every_illegal_step() {
        let (mut legal, mut illegal) = (0, 0);
        for (name, machine) in machines() {
            for from in machine.states() {
                for to in machine.states() {
                    let rows: Vec<Step> =
                        steps().into_iter().filter(|step| step.machine == *name && step.from == from && step.to == to).collect();
                    let verdict = machine.judge(from, to);
                    if let Some(row) = rows.first() {
                        assert_eq!(verdict, Verdict::Legal(row.event.clone()), "{name}: {from} -> {to}");
                        legal += 1;
                    } else if from == to {
                        assert_eq!(verdict, Verdict::Same, "{name}: {from}");
                    } else {
                        assert!(
                            matches!(verdict, Verdict::Illegal | Verdict::Skipped(2..)),
                            "{name}: {from} -> {to}: {verdict:?}"
                        );
                        illegal += 1;
                    }
                }
            }
        }
        assert!(legal > 90 && illegal > 600, "{legal} legal, {illegal} illegal");
    }

    #[test]
    fn ways_and_ends() {
        let dibao = &machines()["dibao"];
        assert_eq!(dibao.judge("SUBMITTED", "VERIFYING"), Verdict::Skipped(2));
        assert_eq!(dibao.judge("TERMINATED", "IN_BENEFIT"), Verdict::Illegal);
        assert_eq!(dibao.judge("IN_BENEFIT", "IN_BENEFIT"), Verdict::Legal("review_ok".to_owned()));
        assert_eq!(dibao.judge("IN_BENEFIT", "PAID"), Verdict::Unknown);
    }
}
