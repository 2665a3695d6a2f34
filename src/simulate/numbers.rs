//! Numbers that pass their check digit and belong to nobody.
//!
//! Identity numbers begin with the code of a statistical functional zone (220171 and its like), which the registry
//! of residents never issues; cards carry real BINs but invented accounts; mobile numbers lie in
//! 1400, a block for machines. Nothing generated can meet a living person's number.

use time::Date;

use super::calendar::compact;
use super::random::Random;

/// Weights of GB 11643-1999 for the first 17 digits: 2^(18-i) mod 11.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// The check character for each remainder (ISO 7064 MOD 11-2).
const CHECKS: &[u8; 11] = b"10X98765432";

/// The 18-character number for a zone (six digits), birth day and order code (odd for men).
pub fn resident_id(zone: &str, birth: Date, order: u32) -> String {
    let body = format!("{zone}{}{order:03}", compact(birth));
    let check = resident_check(&body);
    format!("{body}{check}")
}

/// The check character of the first 17 digits.
pub fn resident_check(body: &str) -> char {
    let sum: u32 = body.chars().zip(WEIGHTS).map(|(digit, weight)| digit.to_digit(10).unwrap_or(0) * weight).sum();
    char::from(CHECKS[sum as usize % 11])
}

/// The 15-digit form in use until 1999: two-digit year, no check character. Right for births of 1900 to 1999.
pub fn old_form(number: &str) -> String {
    format!("{}{}", number.get(..6).unwrap_or_default(), number.get(8..17).unwrap_or_default())
}

/// The same number with another last character: what a typing mistake looks like.
pub fn wrong_check(number: &str, random: &mut Random) -> String {
    let right = number.chars().last().unwrap_or('0');
    let step = 1 + random.index(9);
    let digit = right.to_digit(10).unwrap_or(10) as usize;
    let wrong = (digit + step) % 10;
    format!("{}{wrong}", number.get(..17).unwrap_or_default())
}

/// An identity number typed as a number: fifteen digits are kept, the others are zero.
pub fn spoiled(number: &str) -> f64 {
    let kept: String = number.chars().take(15).filter(char::is_ascii_digit).collect();
    format!("{kept}000").parse().unwrap_or(0.0)
}

/// A bank card with a right Luhn digit: BIN, owner (unique), filling.
pub fn card(bin: &str, length: usize, owner: u64, random: &mut Random) -> String {
    let mut body = format!("{bin}{owner:09}");
    while body.len() + 1 < length {
        body.push(char::from(b'0' + u8::try_from(random.below(10)).unwrap_or(0)));
    }
    let check = luhn_check(&body);
    format!("{body}{check}")
}

/// The Luhn digit (ISO/IEC 7812-1) to append.
pub fn luhn_check(body: &str) -> u32 {
    let mut sum = 0;
    for (place, digit) in body.chars().rev().enumerate() {
        let digit = digit.to_digit(10).unwrap_or(0);
        let doubled = if place % 2 == 0 { digit * 2 } else { digit };
        sum += doubled / 10 + doubled % 10;
    }
    (10 - sum % 10) % 10
}

/// The alphabet of GB 32100: no I, O, S, V, Z.
const USCC_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
/// 3^(i-1) mod 31 for the first 17 characters.
const USCC_WEIGHTS: [usize; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];

/// A social credit code of civil affairs: kind 1 to 3, county, an invented organisation. Real ones count up from below; these have `MJ9`.
pub fn uscc(kind: char, county: &str, owner: u64) -> String {
    let organisation = format!("MJ9{:05}", owner % 100_000);
    let sum: u32 = organisation
        .chars()
        .zip([3, 7, 9, 10, 5, 8, 4, 2])
        .map(|(character, weight)| character.to_digit(36).unwrap_or(0) * weight)
        .sum();
    let check = match 11 - sum % 11 {
        10 => 'X',
        11 => '0',
        digit => char::from_digit(digit, 10).unwrap_or('0'),
    };
    let body = format!("5{kind}{county}{organisation}{check}");
    let last = uscc_check(&body);
    format!("{body}{last}")
}

/// The check character of the first 17 of a social credit code.
fn uscc_check(body: &str) -> char {
    let rank = |byte: u8| USCC_ALPHABET.iter().position(|known| *known == byte).unwrap_or(0);
    let sum: usize = body.bytes().zip(USCC_WEIGHTS).map(|(byte, weight)| rank(byte) * weight).sum();
    char::from(USCC_ALPHABET[(31 - sum % 31) % 31])
}

/// A UUID of version 4 whose bits come from a stream.
pub fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.bits(), random.bits());
    let third = (high & 0x0fff) | 0x4000;
    let fourth = (low >> 48 & 0x3fff) | 0x8000;
    format!("{:08x}-{:04x}-{third:04x}-{fourth:04x}-{:012x}", high >> 32, high >> 16 & 0xffff, low & 0xffff_ffff_ffff)
}

/// A mobile number of the machine block 1400, so that it rings nowhere.
pub fn mobile(owner: u64) -> String {
    format!("1400{:07}", owner % 10_000_000)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn check_digits_match_the_published_vectors() {
        assert_eq!(resident_check("11010519491231002"), 'X');
        assert_eq!(resident_id("220171", date!(1970 - 01 - 01), 5), "220171197001010053");
        assert_eq!(luhn_check("622202022017123456"), 4);
    }

    #[test]
    fn credit_codes_and_uuids_have_their_form() {
        assert_eq!(uscc_check("51220000500187342"), 'L');
        let code = uscc('2', "220105", 77);
        assert!(crate::domain::uscc::uscc(&code).is_ok(), "{code}");
        let id = uuid(&mut Random::new(1, "uuid", 0));
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
    }

    #[test]
    fn old_form_drops_century_and_check() {
        assert_eq!(old_form("220105198003150042"), "220105800315004");
    }

    #[test]
    fn wrong_check_is_always_wrong() {
        let mut random = Random::new(1, "wrong", 0);
        for order in 1..200 {
            let number = resident_id("220172", date!(1940 - 02 - 03), order);
            let wrong = wrong_check(&number, &mut random);
            assert_ne!(wrong, number);
            assert_eq!(wrong.len(), 18);
        }
    }

    #[test]
    fn cards_have_the_length_of_their_bank() {
        let mut random = Random::new(1, "card", 0);
        let number = card("622588", 16, 42, &mut random);
        assert_eq!(number.len(), 16);
        assert_eq!(luhn_check(&number[..15]).to_string(), number[15..]);
    }
}
