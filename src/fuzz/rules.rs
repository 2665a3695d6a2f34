//! The rules of civil affairs and the readers of what links people, with any text.

use crate::{
    clock,
    domain::{
        Refusal, bank, certificate, date, division, mojibake, money, phone,
        resident_id::{self, ResidentId},
        text, uscc,
    },
    identity::link::value::{address::Address, date::Day, name::Name, number::Number, phone::Phone, text::Text},
};

type Rule = fn(&str) -> Result<String, Refusal>;

/// Rules whose result is accepted again and stays.
const RULES: [(&str, Rule); 13] = [
    ("resident id", |x| Ok(ResidentId::parse(x)?.as_str().to_owned())),
    ("credit code", uscc::uscc),
    ("organisation code", uscc::organisation_code),
    ("bank number", bank::cnaps),
    ("bank card", bank::card),
    ("marriage certificate", certificate::marriage),
    ("division", division::normalise),
    ("division of any province", division::normalise_anywhere),
    ("mobile", phone::mobile),
    ("month", date::yyyymm),
    ("yuan", money::yuan),
    ("date", |x| Ok(clock::iso_date(date::cn_date(x)?))),
    ("time", |x| Ok(clock::rfc3339(date::cn_time(x)?))),
];

/// Identity numbers, codes, divisions, dates, money and text. The second line is a second text.
pub fn rules(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (value, second) = text.split_once('\n').unwrap_or((&text, ""));
    for (name, rule) in RULES {
        match rule(value) {
            Ok(good) => assert_eq!(rule(&good).as_ref(), Ok(&good), "{name} of its result"),
            Err(refusal) => super::check::fault(&refusal.fault()),
        }
    }
    if let Ok(id) = ResidentId::parse(value) {
        assert!(["1", "2"].contains(&id.sex()) && id.as_str().len() == 18 && !format!("{id:?}").contains(id.as_str()));
        assert_eq!(clock::iso_date(id.birth_date()).replace('-', ""), id.as_str()[6..14], "birth date of a number");
    }
    let stated = date::cn_date(second).ok();
    assert_eq!(resident_id::classify(value, stated) == resident_id::Class::Bad, ResidentId::parse(value).is_err());
    if let Ok(code) = division::normalise(value) {
        assert!(
            division::full_name(&code).is_ok_and(|name| !name.is_empty()) && division::path(&code).is_ok(),
            "a nameless place"
        );
    }
    if let Ok(code) = division::township(value, second) {
        assert!(division::find(&code).is_some_and(|place| place.level == 4), "a township that is none");
    }
    if let Ok(yuan) = money::fen(value) {
        assert_eq!(money::yuan(&yuan).as_ref(), Ok(&yuan), "fen as yuan");
    }
    let once = text::nfkc(value).into_owned();
    assert_eq!(text::nfkc(&once), once, "one form of one form");
    let _ = (certificate::disability(value), text::mask(value), text::is_blank(value));
    if let Ok(repaired) = mojibake::repair(value) {
        let _ = mojibake::repair(&repaired);
    }
}

/// Names, addresses, dates, numbers and phones as linking reads them: the same text is the same value.
pub fn people(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = |text: &str| {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?}",
            Name::read(text),
            Address::read(text),
            Day::read(text),
            Number::read(text),
            Phone::read(text),
            Text::read(text)
        )
    };
    let once = shown(&text);
    assert_eq!(once, shown(&text), "a text was read in two ways");
    if let Some(day) = Day::read(&text) {
        let _ = (day.date(), day.packed(), day.is_vague(), day.lunar(), day.is_lunar_of(day));
    }
    if let Some(phone) = Phone::read(&text) {
        assert!(phone.is_near(phone), "a phone is not near itself");
    }
}
