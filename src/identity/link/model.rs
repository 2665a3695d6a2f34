//! Weights: how often a level appears among pairs of one person (m) and of two (u), as a versioned file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    compare::{MOST_LEVELS, levels},
    rules::Rules,
};
use crate::error::{Code, Fault};

/// The model cannot be read, or belongs to other rules.
pub const BAD_MODEL: Code = Code::new(5401);

const BUILT_IN: &str = include_str!("../../../config/identity-model.toml");
/// A single observation never gives more than this, in bits.
const MOST_BITS: f32 = 40.0;

/// The two chances of a level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    pub m: f64,
    pub u: f64,
}

/// A trained model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Kept with everything that is concluded from it.
    pub version: String,
    /// Version of the rules it was trained with.
    pub rules: String,
    /// Records it was trained on.
    pub records: u64,
    /// How the chances of one person's pairs were found: `anchored` on strong numbers, or `em` alone.
    pub method: String,
    pub fields: BTreeMap<String, BTreeMap<String, Chance>>,
}

impl Model {
    /// The model for people in China.
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn built_in() -> Result<Self, Fault> {
        Self::parse(BUILT_IN)
    }

    /// Reads a model.
    ///
    /// # Errors
    /// Not a model.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        toml::from_str(text).map_err(|error| Fault::new(BAD_MODEL, format!("the model is not understood: {}", error.message())))
    }

    /// The model as a file.
    pub fn text(&self) -> String {
        // Texts and finite numbers have no failing case.
        toml::to_string(self).unwrap_or_default()
    }
}

/// The weights of a model in the order of the rules.
#[derive(Debug, Clone)]
pub struct Weights {
    pub version: String,
    /// Bits by field and level.
    pub bits: Vec<[f32; MOST_LEVELS]>,
    /// Chance that two persons have equal values, by field.
    pub equal: Vec<f32>,
}

impl Weights {
    /// # Errors
    /// The model lacks a field or a level of the rules.
    pub fn new(rules: &Rules, model: &Model) -> Result<Self, Fault> {
        let mut weights = Self { version: model.version.clone(), bits: Vec::new(), equal: Vec::new() };
        for field in &rules.fields {
            let chances = model.fields.get(&field.name).ok_or_else(|| lacks(&field.name))?;
            let mut bits = [0.0; MOST_LEVELS];
            for (level, name) in levels(field.kind).iter().enumerate() {
                if usize::from(field.fold[level]) != level {
                    continue;
                }
                let chance = chances.get(*name).ok_or_else(|| lacks(&format!("{}.{name}", field.name)))?;
                bits[level] = weight(*chance);
            }
            #[allow(clippy::cast_possible_truncation, reason = "a chance loses nothing that matters")]
            weights.equal.push(chances.get("equal").map_or(0.0, |chance| chance.u as f32));
            weights.bits.push(bits);
        }
        Ok(weights)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "tenths of a bit are enough")]
fn weight(chance: Chance) -> f32 {
    let least = f64::MIN_POSITIVE;
    ((chance.m.max(least) / chance.u.max(least)).log2() as f32).clamp(-MOST_BITS, MOST_BITS)
}

fn lacks(what: &str) -> Fault {
    Fault::new(BAD_MODEL, format!("the model has nothing on `{what}`")).hint("train one with `civilhub identity train`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_model_fits_the_built_in_rules() {
        let (rules, model) = (Rules::built_in().unwrap(), Model::built_in().unwrap());
        assert_eq!(Model::parse(&model.text()).unwrap(), model);
        let weights = Weights::new(&rules, &model).unwrap();
        assert!(weights.bits[0][0] > 0.0);
        assert_eq!(model.rules, rules.version);
    }
}
