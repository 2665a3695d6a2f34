//! What is compared and when two are one: `config/identity.toml`, read and checked.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    compare::{Level, MOST_LEVELS, levels},
    keys::Key,
    value::Kind,
};
use crate::error::{Code, Fault};

/// The linking rules are not understood.
pub const BAD_RULES: Code = Code::new(5400);

/// Most fields of a record.
pub const MOST_FIELDS: usize = 16;
/// The rules for people in China, built in.
const BUILT_IN: &str = include_str!("../../../config/identity.toml");

/// Rules, checked and ready.
#[derive(Debug, Clone)]
pub struct Rules {
    pub version: String,
    pub decide: Decide,
    pub fields: Vec<Field>,
    pub keys: Vec<Key>,
    /// Two fields that say partly the same, and the share of the weaker one that counts.
    pub correlated: Vec<(usize, usize, f32)>,
    /// Whose word is kept of a person, by field (`any` for all others): systems, the most trusted first.
    pub survivorship: BTreeMap<String, Vec<String>>,
}

/// Thresholds, in bits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decide {
    /// At so much evidence two are one.
    pub link: f32,
    /// From here a human is asked.
    pub review: f32,
    /// Two rivals nearer than this to one another, who cannot both be it, are put to a human.
    pub rival: f32,
    /// So much is asked where only name and birthday agree, and the name not quite or the household's fields are against
    /// it: so namesakes look.
    pub alone: f32,
    /// So many bits of the household's fields are against it.
    pub against: f32,
    /// So much of it must come from fields that speak of the person.
    pub person: f32,
    /// Persons for whom the thresholds hold. Each doubling asks for one bit more.
    pub population: u32,
    /// Persons under one blocking key; more are not looked at.
    pub block: usize,
    /// Persons compared with one record.
    pub compare: usize,
    /// One of these fields must speak for it; none given, any may.
    #[serde(default)]
    pub needs: Vec<String>,
    /// `needs` by place.
    #[serde(skip)]
    pub needed: Vec<usize>,
    /// Beside a name that can be read in part only, an equal number is believed when one of these is equal too: else it
    /// may be a twin's. None given, it is believed.
    #[serde(default)]
    pub vouch: Vec<String>,
    /// `vouch` by place.
    #[serde(skip)]
    pub vouching: Vec<usize>,
}

/// What a field is evidence of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speaks {
    /// Of the one person.
    Person,
    /// Of those who live together: alone it never makes two one.
    Household,
    /// Of half the population.
    Many,
}

/// One field of a record.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
    pub speaks_of: Speaks,
    /// Rare values are better evidence than frequent ones.
    pub terms: bool,
    /// The field whose value is often written here, and the other way round.
    pub swap_with: Option<usize>,
    /// The identity number from which a missing value is taken.
    pub from_number: Option<usize>,
    /// At these levels only an equal number links.
    pub veto: Vec<Level>,
    /// At these levels an equal number is somebody else's by mistake.
    pub clash: Vec<Level>,
    /// Levels that are in use: each level becomes the next worse one that is.
    pub fold: [Level; MOST_LEVELS],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    decide: Decide,
    field: Vec<FieldEntry>,
    keys: Vec<Vec<String>>,
    #[serde(default)]
    correlated: Vec<CorrelatedEntry>,
    #[serde(default)]
    survivorship: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FieldEntry {
    name: String,
    kind: Kind,
    speaks_of: Speaks,
    #[serde(default)]
    terms: bool,
    swap_with: Option<String>,
    from_number: Option<String>,
    #[serde(default)]
    veto: Vec<String>,
    #[serde(default)]
    clash: Vec<String>,
    levels: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CorrelatedEntry {
    fields: [String; 2],
    rest: f32,
}

impl Rules {
    /// The rules for people in China.
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn built_in() -> Result<Self, Fault> {
        Self::parse(BUILT_IN)
    }

    /// Reads rules.
    ///
    /// # Errors
    /// Not TOML, unknown keys, fields, levels or key parts.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let file: File = toml::from_str(text).map_err(|error| bad(error.message()))?;
        let names: Vec<String> = file.field.iter().map(|field| field.name.clone()).collect();
        if names.is_empty() || names.len() > MOST_FIELDS {
            return Err(bad(&format!("there are {} fields", names.len())).expected("1 to 16"));
        }
        let fields: Vec<Field> = file.field.into_iter().map(|entry| field(entry, &names)).collect::<Result<_, _>>()?;
        let keys = file.keys.iter().map(|parts| Key::parse(parts, &fields)).collect::<Result<_, _>>()?;
        let mut decide = file.decide;
        decide.needed = decide.needs.iter().map(|name| find(name, &names)).collect::<Result<_, _>>()?;
        decide.vouching = decide.vouch.iter().map(|name| find(name, &names)).collect::<Result<_, _>>()?;
        let correlated = file
            .correlated
            .iter()
            .map(|entry| Ok((find(&entry.fields[0], &names)?, find(&entry.fields[1], &names)?, entry.rest.clamp(0.0, 1.0))));
        let correlated = correlated.collect::<Result<_, Fault>>()?;
        if let Some(unknown) = file.survivorship.keys().find(|name| *name != "any" && !names.contains(name)) {
            return Err(bad(&format!("survivorship of `{unknown}`, which is no field")).expected(names.join(", ")));
        }
        Ok(Self { version: file.version, decide, keys, correlated, survivorship: file.survivorship, fields })
    }

    /// Place of the field of this kind, if there is one.
    pub fn of_kind(&self, kind: Kind) -> Option<usize> {
        self.fields.iter().position(|field| field.kind == kind)
    }

    /// Names of the fields, in order.
    pub fn names(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.name.clone()).collect()
    }
}

fn field(entry: FieldEntry, names: &[String]) -> Result<Field, Fault> {
    let known = levels(entry.kind);
    let place = |name: &String| {
        let found = known.iter().position(|level| level == name).and_then(|place| Level::try_from(place).ok());
        found.ok_or_else(|| bad(&format!("field `{}` has no level `{name}`", entry.name)).expected(known.join(", ")))
    };
    let used: Vec<Level> = match &entry.levels {
        Some(levels) => levels.iter().map(place).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let last = Level::try_from(known.len() - 1).unwrap_or_default();
    let mut fold = [last; MOST_LEVELS];
    for (level, slot) in (0..=last).zip(&mut fold) {
        let next = used.iter().copied().filter(|used| *used >= level).min();
        *slot = if entry.levels.is_none() { level } else { next.unwrap_or(last) };
    }
    let other = |name: &Option<String>| name.as_ref().map(|name| find(name, names)).transpose();
    Ok(Field {
        swap_with: other(&entry.swap_with)?,
        from_number: other(&entry.from_number)?,
        veto: entry.veto.iter().map(place).collect::<Result<_, _>>()?,
        clash: entry.clash.iter().map(place).collect::<Result<_, _>>()?,
        fold,
        name: entry.name,
        kind: entry.kind,
        speaks_of: entry.speaks_of,
        terms: entry.terms,
    })
}

fn find(name: &str, names: &[String]) -> Result<usize, Fault> {
    let place = names.iter().position(|known| known == name);
    place.ok_or_else(|| bad(&format!("there is no field `{name}`")).expected(names.join(", ")))
}

/// A fault of the rules.
pub(super) fn bad(message: &str) -> Fault {
    Fault::new(BAD_RULES, format!("the linking rules are not understood: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_are_good() {
        let rules = Rules::built_in().unwrap();
        assert!(rules.of_kind(Kind::Number).is_some() && !rules.keys.is_empty());
    }

    #[test]
    fn faults_name_the_place() {
        let text = BUILT_IN.replacen("\"one-character\"", "\"one-letter\"", 1);
        let fault = Rules::parse(&text).unwrap_err();
        assert!(fault.to_string().contains("`one-letter`"), "{fault}");
        let fault = Rules::parse(&BUILT_IN.replacen("phone\"", "telephone\"", 1)).unwrap_err();
        assert_eq!(fault.code, BAD_RULES);
    }
}
