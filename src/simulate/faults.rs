//! The faults planted in the exports, how often, and what the hub must make of each.
//!
//! A row carries at most one fault that gets it refused, so that refusals can be counted. Numbers and names that are
//! missing are no fault: the record passes and identity has to do without them.

use super::names;
use super::numbers;
use super::population::Who;
use super::random::Random;

/// What the hub does with a faulty row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Refused with a coded fault.
    Rejected,
    /// Repaired by the mapping and passed on.
    Fixed,
    /// The same content again: no second effect.
    Duplicate,
    /// Older than what is known: dropped by the fence.
    Superseded,
}

impl Outcome {
    /// The word in `truth/faults.csv`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Fixed => "fixed",
            Self::Duplicate => "duplicate",
            Self::Superseded => "superseded",
        }
    }
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Identity number whose check character is wrong.
    WrongCheckDigit,
    /// The same where the row is good without the number: it is left out with a remark.
    NumberLeftOut,
    /// Fifteen-digit identity number of before 1999.
    OldNumber,
    /// Lower-case `x` as check character.
    LowerCaseX,
    /// A day or month no calendar has.
    ImpossibleDate,
    /// A code outside its list.
    UnknownCode,
    /// A division that never was.
    UnknownDivision,
    /// The same record again.
    Repeat,
    /// An older version of a record, sent after the newer one.
    Stale,
    /// A name cut in the middle of a two-byte character.
    NameCut,
    /// A negative count of people.
    NegativeCount,
    /// A sum of money below zero.
    NegativeAmount,
    /// An identity number in a numeric cell, whose last digits a spreadsheet has made zero.
    NumberAsNumber,
    /// Words where a whole number is due.
    WordsForNumber,
    /// Parts of a bill that do not add up to it.
    WrongSum,
    /// Social credit code whose check character is wrong.
    WrongCreditCode,
    /// Areas in thousand hectares where hectares are due.
    ThousandHectares,
    /// Trailer of a file with a wrong digest or count: the whole file is refused.
    WrongTrailer,
    /// Header sum that does not equal the details: the whole file is refused.
    WrongControlSum,
}

impl Kind {
    /// The word in `truth/faults.csv`.
    pub fn word(self) -> &'static str {
        match self {
            Self::WrongCheckDigit => "wrong_check_digit",
            Self::NumberLeftOut => "number_left_out",
            Self::OldNumber => "old_number",
            Self::LowerCaseX => "lower_case_x",
            Self::ImpossibleDate => "impossible_date",
            Self::UnknownCode => "unknown_code",
            Self::UnknownDivision => "unknown_division",
            Self::Repeat => "repeat",
            Self::Stale => "stale",
            Self::NameCut => "name_cut",
            Self::NegativeCount => "negative_count",
            Self::NegativeAmount => "negative_amount",
            Self::NumberAsNumber => "number_as_number",
            Self::WordsForNumber => "words_for_number",
            Self::WrongSum => "wrong_sum",
            Self::WrongCreditCode => "wrong_credit_code",
            Self::ThousandHectares => "thousand_hectares",
            Self::WrongTrailer => "wrong_trailer",
            Self::WrongControlSum => "wrong_control_sum",
        }
    }

    /// Rows of ten thousand that bear it where a system offers it.
    fn rate(self) -> u64 {
        match self {
            Self::ImpossibleDate => IMPOSSIBLE_DATE,
            Self::UnknownDivision => UNKNOWN_DIVISION,
            Self::Repeat => REPEAT,
            Self::Stale => STALE,
            Self::WrongCheckDigit => WRONG_CHECK_DIGIT,
            Self::OldNumber => OLD_NUMBER,
            Self::WrongCreditCode => WRONG_CREDIT_CODE,
            Self::NumberAsNumber | Self::WordsForNumber => SPREADSHEET,
            _ => UNKNOWN_CODE,
        }
    }

    /// What the hub must do with it.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::OldNumber | Self::LowerCaseX | Self::NumberLeftOut | Self::NameCut | Self::ThousandHectares => Outcome::Fixed,
            Self::Repeat => Outcome::Duplicate,
            Self::Stale => Outcome::Superseded,
            Self::WrongCheckDigit | Self::ImpossibleDate | Self::UnknownCode | Self::UnknownDivision => Outcome::Rejected,
            Self::NegativeCount | Self::NegativeAmount | Self::WrongSum | Self::WrongCreditCode => Outcome::Rejected,
            Self::NumberAsNumber | Self::WordsForNumber => Outcome::Rejected,
            Self::WrongTrailer | Self::WrongControlSum => Outcome::Rejected,
        }
    }
}

/// Rows of ten thousand whose number has a wrong check character.
pub const WRONG_CHECK_DIGIT: u64 = 100;
/// Organisations of ten thousand whose credit code has a wrong check character.
const WRONG_CREDIT_CODE: u64 = 100;
/// Rows of ten thousand that a spreadsheet or whoever filled it in has spoiled.
const SPREADSHEET: u64 = 100;
/// Rows of ten thousand with an impossible date.
pub const IMPOSSIBLE_DATE: u64 = 30;
/// Rows of ten thousand with a code outside its list.
pub const UNKNOWN_CODE: u64 = 20;
/// Rows of ten thousand with a division that never was.
pub const UNKNOWN_DIVISION: u64 = 10;
/// Rows of ten thousand that come twice.
pub const REPEAT: u64 = 50;
/// Rows of ten thousand that come again in an older version.
pub const STALE: u64 = 30;
/// Elders of ten thousand whose office still holds the fifteen-digit number.
pub const OLD_NUMBER: u64 = 600;
/// Names of ten thousand written with another character of the same sound.
const HOMOPHONE: u64 = 150;

/// One of the faults a system offers, each at its own rate; mostly none. A row whose number is wrong already gets no other.
pub fn plant(recorded: Option<Kind>, offers: &[Kind], random: &mut Random) -> Option<Kind> {
    recorded.or_else(|| offers.iter().copied().find(|kind| random.chance(kind.rate())))
}

/// How a person stands in one row of one system.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The name as the system has it.
    pub name: String,
    /// Empty where the system has no number.
    pub number: String,
    /// Fault of the number, if any.
    pub kind: Option<Kind>,
    /// True where the name is not the true one.
    pub other_name: bool,
}

/// How a system treats numbers and names.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Rows of ten thousand without a number.
    pub missing: u64,
    /// Old rows keep a lower-case `x`.
    pub lower_case_x: bool,
    /// GBK holds neither rare characters nor other middle dots.
    pub gbk: bool,
    /// Names of two characters get a full-width space between them.
    pub padded_names: bool,
}

impl Recorded {
    /// Writes a person down with the habits of a system.
    pub fn draw(who: &Who, habits: Habits, random: &mut Random) -> Self {
        let (name, other_name) = name(&who.name, habits, random);
        let (number, kind) = number(who, habits, random);
        Self { name, number, kind, other_name }
    }

    /// Written down as everybody is who stands for a planted case: without a fault.
    pub fn exact(who: &Who) -> Self {
        Self { name: names::in_gbk(&who.name), number: who.number.clone(), kind: None, other_name: false }
    }

    /// As a system is judged whose rows do not need the number: a wrong one is left out.
    pub fn number_optional(mut self) -> Self {
        if self.kind == Some(Kind::WrongCheckDigit) {
            self.kind = Some(Kind::NumberLeftOut);
        }
        self
    }

    /// True when the row would be refused already for its number.
    pub fn refused(&self) -> bool {
        self.kind.is_some_and(|kind| kind.outcome() == Outcome::Rejected)
    }

    /// The words of the truth's column `as_recorded`.
    pub fn note(&self) -> String {
        let mut words = Vec::new();
        if self.number.is_empty() {
            words.push("no_number");
        }
        words.extend(self.kind.map(Kind::word));
        if self.other_name {
            words.push("name_variant");
        }
        if words.is_empty() { "exact".to_owned() } else { words.join(";") }
    }
}

fn number(who: &Who, habits: Habits, random: &mut Random) -> (String, Option<Kind>) {
    let elder = (1900..1960).contains(&who.birth.year());
    if random.chance(habits.missing) {
        (String::new(), None)
    } else if random.chance(WRONG_CHECK_DIGIT) {
        (numbers::wrong_check(&who.number, random), Some(Kind::WrongCheckDigit))
    } else if elder && random.chance(OLD_NUMBER) {
        (numbers::old_form(&who.number), Some(Kind::OldNumber))
    } else if habits.lower_case_x && who.number.ends_with('X') && random.chance(3_000) {
        (who.number.to_lowercase(), Some(Kind::LowerCaseX))
    } else {
        (who.number.clone(), None)
    }
}

fn name(truth: &str, habits: Habits, random: &mut Random) -> (String, bool) {
    let heard = if random.chance(HOMOPHONE) { names::homophone(truth) } else { None };
    let mut name = heard.unwrap_or_else(|| truth.to_owned());
    if habits.gbk {
        name = names::in_gbk(&name);
    } else if name.contains('·') {
        name = name.replace('·', random.pick(&["·", "•", "・", "."]));
    }
    let other = name != truth;
    if habits.padded_names && name.chars().count() == 2 && random.chance(3_000) {
        let mut characters = name.chars();
        let (first, last) = (characters.next().unwrap_or('　'), characters.next().unwrap_or('　'));
        name = format!("{first}　{last}");
    }
    (name, other)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    const HABITS: Habits = Habits { missing: 600, lower_case_x: true, gbk: true, padded_names: true };

    fn elder() -> Who {
        let birth = date!(1935 - 03 - 04);
        Who { no: 1, name: "李丽".to_owned(), number: numbers::resident_id("220171", birth, 4), birth, man: false }
    }

    #[test]
    fn rates_are_near_what_they_say() {
        let mut random = Random::new(9, "faults", 0);
        let rows: Vec<Recorded> = (0..20_000).map(|_| Recorded::draw(&elder(), HABITS, &mut random)).collect();
        let wrong = rows.iter().filter(|row| row.kind == Some(Kind::WrongCheckDigit)).count();
        let missing = rows.iter().filter(|row| row.number.is_empty()).count();
        assert!((150..240).contains(&wrong), "{wrong}");
        assert!((1_050..1_350).contains(&missing), "{missing}");
        assert!(rows.iter().any(|row| row.kind == Some(Kind::OldNumber) && row.number.len() == 15));
        assert!(rows.iter().any(|row| row.name == "李莉" && row.other_name));
        assert!(rows.iter().any(|row| row.name == "李　丽" && !row.other_name));
    }

    #[test]
    fn only_a_wrong_check_digit_refuses_the_row() {
        let mut row = Recorded { name: String::new(), number: String::new(), kind: Some(Kind::OldNumber), other_name: true };
        assert!(!row.refused());
        assert_eq!(row.note(), "no_number;old_number;name_variant");
        row.kind = Some(Kind::WrongCheckDigit);
        assert!(row.refused());
    }
}
