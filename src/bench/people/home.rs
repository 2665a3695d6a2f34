//! Where a family lives, and how its address is written.

use std::collections::HashMap;

use crate::simulate::{places::Places, population::Family, random::Random};

const DIVISIONS: &str = include_str!("../../../config/divisions/divisions_22.csv");
/// Frequent names of streets; the rest of the name is a number or a direction.
const STREETS: [&str; 24] = [
    "人民", "解放", "建设", "胜利", "新华", "和平", "文化", "光明", "团结", "红旗", "吉林", "长春", "民主", "前进", "朝阳",
    "东风", "青年", "站前", "南湖", "北安", "西安", "东盛", "延安", "工农",
];

/// Names of divisions by code.
pub(super) struct Homes {
    names: HashMap<&'static str, &'static str>,
}

impl Homes {
    pub(super) fn load() -> Self {
        let rows = DIVISIONS.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        Self { names: rows.filter_map(|row| Some((*row.first()?, *row.get(2)?))).collect() }
    }

    fn name(&self, code: &str) -> &'static str {
        self.names.get(code).copied().unwrap_or_default()
    }
}

/// An address in its parts.
#[derive(Debug, Clone)]
struct Door {
    city: &'static str,
    county: &'static str,
    township: &'static str,
    community: String,
    urban: bool,
    street: String,
    number: i64,
    house: i64,
    unit: i64,
    room: i64,
}

/// Where a family lives, where it lived before if it moved, and its telephone.
#[derive(Debug, Clone)]
pub(super) struct Home {
    now: Door,
    before: Option<Door>,
    pub(super) phone: String,
}

impl Home {
    pub(super) fn of(homes: &Homes, places: &Places, family: &Family, seed: u64) -> Self {
        let mut random = Random::new(seed, "home", family.no);
        let now = Door::draw(homes, family.place.code, family.place.urban, &mut random);
        let before = random.chance(900).then(|| {
            // One move in three goes to another county.
            let place = if random.chance(3_300) { places.home(&mut random) } else { family.place };
            Door::draw(homes, place.code, place.urban, &mut random)
        });
        let phone = family.members.first().map(|head| head.mobile.clone()).unwrap_or_default();
        Self { now, before, phone }
    }

    /// The address as one system wrote it.
    pub(super) fn write(&self, random: &mut Random) -> String {
        let door = match &self.before {
            Some(before) if random.chance(4_000) => before,
            _ => &self.now,
        };
        door.write(random)
    }
}

impl Door {
    fn draw(homes: &Homes, code: &'static str, urban: bool, random: &mut Random) -> Self {
        let parent = |digits: usize| homes.name(&format!("{:0<12}", code.get(..digits).unwrap_or_default()));
        let community = homes.name(code).replace("社区居委会", "居委会").replace("居委会", "社区").replace("村委会", "村");
        let kind = if random.chance(5_000) { "大街" } else { "路" };
        Self {
            city: parent(4),
            county: parent(6),
            township: parent(9),
            community,
            urban,
            street: format!("{}{kind}", random.pick(&STREETS)),
            number: random.between(1, 400),
            house: random.between(1, 30),
            unit: random.between(1, 5),
            room: random.between(1, 9) * 100 + random.between(1, 4),
        }
    }

    fn write(&self, random: &mut Random) -> String {
        let Self { city, county, township, community, street, number, house, unit, room, .. } = self;
        let mut text = String::new();
        if random.chance(4_000) {
            text.push_str("吉林省");
        }
        if random.chance(7_000) {
            text.push_str(city);
        }
        text.push_str(county);
        if !self.urban {
            text.push_str(township);
            text.push_str(community);
            text.push_str(&format!("{}组{number}号", house % 9 + 1));
            return full_width(text, random);
        }
        if random.chance(3_000) {
            text.push_str(township);
            text.push_str(community);
        }
        // One in fifty knows the street and not the number.
        let number = if random.chance(200) { String::new() } else { format!("{number}号") };
        text.push_str(&match random.below(10) {
            0..4 => format!("{street}{number}{house}栋{unit}单元{room}室"),
            4..7 => format!("{street}{number}{house}-{unit}-{room}"),
            7..9 => format!("{street}{number}"),
            _ => format!("{street}{number}{house}号楼"),
        });
        full_width(text, random)
    }
}

fn full_width(text: String, random: &mut Random) -> String {
    if random.chance(9_700) {
        return text;
    }
    text.chars().map(|c| if c.is_ascii_digit() { char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c) } else { c }).collect()
}
