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
    /// As the division file has it, such as 东安村委会.
    pub name: &'static str,
    /// Name of the township or subdistrict.
    pub township_name: &'static str,
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
    counties: Vec<(&'static str, &'static str)>,
}

impl Places {
    /// Reads the embedded division file.
    pub fn load() -> Self {
        let mut places = Self {
            communities: Vec::new(),
            villages: Vec::new(),
            townships: Vec::new(),
            zones: Vec::new(),
            counties: Vec::new(),
        };
        let mut township_name = "";
        for line in DIVISIONS.lines().skip(1) {
            let fields: Vec<&'static str> = line.split(',').collect();
            let [code, level, name, _, kind, _] = fields[..] else { continue };
            if level == "4" {
                // The file lists a township before its villages.
                township_name = name;
            }
            match kind {
                "community" => places.communities.push(Place { code, urban: true, name, township_name }),
                "village" => places.villages.push(Place { code, urban: false, name, township_name }),
                "subdistrict" | "town" | "township" => places.townships.push(code),
                "functional-zone" => places.zones.push(&code[..6]),
                _ if level == "3" => places.counties.push((&code[..6], name)),
                _ => {}
            }
        }
        places
    }

    /// Counties with their names, functional zones left out.
    pub fn counties(&self) -> &[(&'static str, &'static str)] {
        &self.counties
    }

    /// Communities, then villages, in the order of the file.
    pub fn all(&self) -> impl Iterator<Item = &Place> {
        self.communities.iter().chain(&self.villages)
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
        assert_eq!(places.counties().len(), 60);
        let village = places.all().find(|place| place.code == "220102005200").unwrap();
        assert_eq!((village.name, village.township_name, village.urban), ("东安村委会", "长通街道办事处", false));
        assert!(places.zones.contains(&"220171"));
    }
}
