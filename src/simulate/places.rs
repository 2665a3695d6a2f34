//! Where people live: the villages and communities of the 2017 division file.

use super::random::Random;

/// The division file of the product itself, so that simulated codes are the codes the hub knows.
const DIVISIONS: &str = include_str!("../../config/divisions/divisions_22.csv");

/// A village or community.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Twelve digits.
    pub code: &'static str,
    /// True for a community of residents, false for a village.
    pub urban: bool,
}

impl Place {
    /// Six digits of the county.
    pub fn county(&self) -> &'static str {
        &self.code[..6]
    }

    /// Nine digits of the township or subdistrict.
    pub fn township(&self) -> &'static str {
        &self.code[..9]
    }
}

/// All places people of the simulation live, belong to or report from.
#[derive(Debug)]
pub struct Places {
    communities: Vec<Place>,
    villages: Vec<Place>,
    townships: Vec<&'static str>,
    zones: Vec<&'static str>,
}

impl Places {
    /// Reads the embedded division file.
    pub fn load() -> Self {
        let mut places = Self { communities: Vec::new(), villages: Vec::new(), townships: Vec::new(), zones: Vec::new() };
        for line in DIVISIONS.lines().skip(1) {
            let fields: Vec<&'static str> = line.split(',').collect();
            let [code, _, _, _, kind, _] = fields[..] else { continue };
            match kind {
                "community" => places.communities.push(Place { code, urban: true }),
                "village" => places.villages.push(Place { code, urban: false }),
                "subdistrict" | "town" | "township" => places.townships.push(code),
                "functional-zone" => places.zones.push(&code[..6]),
                _ => {}
            }
        }
        places
    }

    /// A home: half of the people in towns, half in villages, every place alike.
    pub fn home(&self, random: &mut Random) -> Place {
        let list = if random.chance(5_000) { &self.communities } else { &self.villages };
        list[random.index(list.len())]
    }

    /// The zone whose code begins an invented identity number, and its ordinal.
    pub fn zone(&self, random: &mut Random) -> (u32, &'static str) {
        let ordinal = random.index(self.zones.len());
        (u32::try_from(ordinal).unwrap_or(0), self.zones[ordinal])
    }

    /// The zone an invented number begins with, and its ordinal: twins are registered at one place.
    pub fn zone_of(&self, number: &str) -> Option<(u32, &'static str)> {
        let ordinal = self.zones.iter().position(|zone| number.starts_with(*zone))?;
        Some((u32::try_from(ordinal).unwrap_or(0), self.zones[ordinal]))
    }

    /// The reporting townships of a flood: neighbours in the file are neighbours on the map.
    pub fn neighbourhood(&self, count: usize, random: &mut Random) -> &[&'static str] {
        let count = count.min(self.townships.len());
        let start = random.index(self.townships.len() - count + 1);
        &self.townships[start..start + count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_division_file_gives_places_of_every_kind() {
        let places = Places::load();
        assert_eq!(places.communities.len(), 1_987);
        assert_eq!(places.villages.len(), 9_308);
        assert_eq!(places.townships.len(), 913);
        assert!(places.zones.contains(&"220171"));
    }
}
