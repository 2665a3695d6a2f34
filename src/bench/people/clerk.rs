//! How a system writes what it knows of a person: its habits and its slips.

use time::{Date, Duration};

use super::{Entry, home::Home};
use crate::{
    clock::iso_date,
    simulate::{
        calendar::age,
        names, numbers,
        population::{Family, Person},
        random::Random,
    },
};

/// Shares of ten thousand.
pub(super) struct Habits {
    no_number: u64,
    old_number: u64,
    no_birth: u64,
    lunar: u64,
    no_address: u64,
    no_phone: u64,
    /// Frequency of slips in relation to the average, in percent.
    slips: u64,
}

/// Six systems, from the careful to the careless.
pub(super) const SYSTEMS: [(&str, Habits); 6] = [
    ("urban-dibao", habits([300, 300, 300, 100, 300, 1_500, 60])),
    ("senior-allowance", habits([500, 1_200, 500, 600, 1_500, 3_000, 100])),
    ("marriage", habits([200, 500, 200, 50, 2_500, 4_000, 60])),
    ("funeral", habits([2_500, 600, 1_500, 500, 2_000, 5_000, 160])),
    ("assist-hall", habits([1_500, 200, 2_000, 100, 3_000, 500, 130])),
    ("village-register", habits([3_500, 800, 600, 1_200, 200, 3_500, 150])),
];

const fn habits(of: [u64; 7]) -> Habits {
    let [no_number, old_number, no_birth, lunar, no_address, no_phone, slips] = of;
    Habits { no_number, old_number, no_birth, lunar, no_address, no_phone, slips }
}

/// Characters for slips that neither sound nor look alike.
const ANY: &str = "伟芳娜敏静强磊军洋勇艳杰涛明超秀霞平刚桂英华玉兰红梅";
/// Simplified and traditional forms of characters of names.
const TRADITIONAL: [(char, char); 14] = [
    ('张', '張'),
    ('刘', '劉'),
    ('陈', '陳'),
    ('杨', '楊'),
    ('赵', '趙'),
    ('孙', '孫'),
    ('马', '馬'),
    ('国', '國'),
    ('华', '華'),
    ('丽', '麗'),
    ('强', '強'),
    ('兰', '蘭'),
    ('荣', '榮'),
    ('东', '東'),
];
/// Pairs that a hurried eye mistakes.
const LOOK_ALIKES: [(char, char); 10] = [
    ('晴', '睛'),
    ('宇', '字'),
    ('伟', '纬'),
    ('杨', '扬'),
    ('玲', '珍'),
    ('明', '朋'),
    ('刚', '钢'),
    ('涛', '寿'),
    ('林', '材'),
    ('洋', '祥'),
];

/// The clerk of one system.
pub(super) struct Clerk {
    system: &'static str,
    habits: &'static Habits,
}

impl Clerk {
    pub(super) fn of(system: &'static str) -> Self {
        static TABLE: [(&str, Habits); 6] = SYSTEMS;
        let habits = TABLE.iter().find(|(name, _)| *name == system).map_or(&TABLE[0].1, |(_, habits)| habits);
        Self { system, habits }
    }

    /// Writes a record.
    pub(super) fn write(&self, person: &Person, place: usize, family: &Family, home: &Home, random: &mut Random) -> Entry {
        let habits = self.habits;
        Entry {
            system: self.system,
            name: Some(self.name(&person.who.name, random)),
            id_number: (!random.chance(habits.no_number)).then(|| self.number(person, place, family, random)),
            birth_date: (!random.chance(habits.no_birth)).then(|| self.birth(person.who.birth, random)),
            sex: (!random.chance(1_000)).then(|| sex(person.who.man, self.system, random)),
            address: (!random.chance(habits.no_address)).then(|| home.write(random)),
            phone: (!random.chance(habits.no_phone)).then(|| self.phone(person, home, random)),
            ..Entry::default()
        }
    }

    /// True in so many of ten thousand cases on average.
    fn slips(&self, per_10k: u64, random: &mut Random) -> bool {
        random.below(1_000_000) < per_10k * self.habits.slips
    }

    fn name(&self, name: &str, random: &mut Random) -> String {
        let chars: Vec<char> = name.chars().collect();
        if self.slips(150, random)
            && let Some(other) = names::homophone(name)
        {
            return other;
        }
        if self.slips(60, random) {
            return exchange(name, &LOOK_ALIKES);
        }
        if self.slips(40, random) {
            return exchange(name, &TRADITIONAL);
        }
        if self.slips(40, random) {
            let at = 1 + random.index(chars.len().saturating_sub(1).max(1));
            let other = random.character(ANY);
            return chars.iter().enumerate().map(|(place, c)| if place == at { other } else { *c }).collect();
        }
        if self.slips(30, random) && chars.len() > 2 {
            let at = 1 + random.index(chars.len() - 1);
            return chars.iter().enumerate().filter(|(place, _)| *place != at).map(|(_, c)| c).collect();
        }
        if self.slips(25, random) && chars.len() > 2 && !name.contains('·') {
            return chars[1..].iter().chain(&chars[..1]).collect();
        }
        if self.slips(30, random) && chars.len() > 2 {
            let at = 1 + random.index(chars.len() - 1);
            return chars.iter().enumerate().map(|(place, c)| if place == at { '?' } else { *c }).collect();
        }
        match random.below(100) {
            0..3 if chars.len() == 2 => format!("{}　{}", chars[0], chars[1]),
            3 => format!(" {name}"),
            4..30 => names::in_gbk(name),
            _ => name.replace('·', if random.chance(5_000) { "·" } else { "•" }),
        }
    }

    fn number(&self, person: &Person, place: usize, family: &Family, random: &mut Random) -> String {
        let number = &person.who.number;
        if self.slips(35, random) && family.members.len() > 1 {
            let other = (place + 1 + random.index(family.members.len() - 1)) % family.members.len();
            return family.members[other].who.number.clone();
        }
        let adult = person.who.birth.year() < 1985;
        if adult && random.chance(self.habits.old_number) {
            let old = numbers::old_form(number);
            return if self.slips(150, random) { one_digit(&old, random) } else { old };
        }
        if self.slips(120, random) {
            return one_digit(number, random);
        }
        if self.slips(40, random) {
            return two_swapped(number, random);
        }
        if self.slips(30, random) {
            let at = random.index(18);
            return number.chars().enumerate().filter(|(place, _)| *place != at).map(|(_, c)| c).collect();
        }
        if self.slips(60, random) {
            return format!("{}********{}", &number[..6], &number[14..]);
        }
        match random.below(100) {
            0..3 => number.to_lowercase(),
            3 => number.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c)).collect(),
            _ => number.clone(),
        }
    }

    fn birth(&self, birth: Date, random: &mut Random) -> String {
        let day = if birth.year() < 1975 && random.chance(self.habits.lunar) { lunar(birth, random) } else { birth };
        let text = iso_date(day);
        if self.slips(60, random) && day.day() <= 12 {
            return format!("{}-{}-{}", &text[..4], &text[8..], &text[5..7]);
        }
        if self.slips(70, random) {
            return one_digit(&text, random);
        }
        match random.below(1_000) {
            0..8 => format!("{}-01-01", &text[..4]),
            8..12 => text[..4].to_owned(),
            12..300 => text.replace('-', ""),
            300..330 => text.replace('-', "/"),
            _ => text,
        }
    }

    fn phone(&self, person: &Person, home: &Home, random: &mut Random) -> String {
        let years = age(person.who.birth, super::TODAY);
        let shared = if (16..70).contains(&years) { 1_500 } else { 7_000 };
        let mobile = spread(if random.chance(shared) { &home.phone } else { &person.mobile });
        if random.chance(900) {
            // A number of former times.
            return format!("1400{:07}", 9_000_000 + random.below(1_000_000));
        }
        if self.slips(70, random) {
            return one_digit(&mobile, random);
        }
        match random.below(100) {
            0..4 => format!("+86{mobile}"),
            4..8 => format!("{}-{}-{}", &mobile[..3], &mobile[3..7], &mobile[7..]),
            _ => mobile,
        }
    }
}

/// The simulator numbers telephones in the order of persons; in a real family they differ in more than a digit.
fn spread(mobile: &str) -> String {
    let owner: u64 = mobile.get(4..).and_then(|digits| digits.parse().ok()).unwrap_or_default();
    // A factor without common divisors with ten million permutes the numbers.
    format!("1400{:07}", owner * 7_654_321 % 10_000_000)
}

fn sex(man: bool, system: &str, random: &mut Random) -> String {
    let man = if random.chance(30) { !man } else { man };
    match (system.len().is_multiple_of(2), man) {
        (true, true) => "男",
        (true, false) => "女",
        (false, true) => "1",
        (false, false) => "2",
    }
    .to_owned()
}

/// The first character that the table has, exchanged; else the name as it is.
fn exchange(name: &str, table: &[(char, char)]) -> String {
    let found = table.iter().find(|(from, to)| name.chars().skip(1).any(|c| c == *from || c == *to));
    let Some((from, to)) = found else { return name.to_owned() };
    name.chars()
        .map(|c| {
            if c == *from {
                *to
            } else if c == *to {
                *from
            } else {
                c
            }
        })
        .collect()
}

/// Another digit in one place.
fn one_digit(text: &str, random: &mut Random) -> String {
    let digits: Vec<usize> = text.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(at, _)| at).collect();
    let at = digits[random.index(digits.len())];
    let step = 1 + random.below(9);
    let change = |c: char| char::from_digit(u32::try_from((u64::from(c.to_digit(10).unwrap_or(0)) + step) % 10).unwrap_or(0), 10);
    text.char_indices().map(|(place, c)| if place == at { change(c).unwrap_or(c) } else { c }).collect()
}

fn two_swapped(text: &str, random: &mut Random) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let at = random.index(chars.len() - 1);
    chars.swap(at, at + 1);
    chars.into_iter().collect()
}

/// About what the lunar calendar calls the day: seven in eight clerks know it exactly.
fn lunar(birth: Date, random: &mut Random) -> Date {
    let exact = crate::identity::link::value::date::lunar_day(birth);
    match exact {
        Some(day) if random.chance(8_750) => day,
        _ => birth.checked_sub(Duration::days(random.between(20, 50))).unwrap_or(birth),
    }
}
