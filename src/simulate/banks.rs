//! The banks that pay benefits, with the short names clerks wrote before there were codes.

use super::random::Random;

/// A paying bank: code, BIN and card length from the hub's bank list.
#[derive(Debug)]
pub struct Bank {
    /// Code of the hub's bank list.
    pub code: &'static str,
    /// What old rows say instead of the code.
    pub short_name: &'static str,
    /// First six digits of its cards.
    pub bin: &'static str,
    /// Digits of its cards.
    pub card_length: usize,
}

/// Benefit cards of the counties, with their rough shares: credit union, post bank and the agricultural bank lead.
const BANKS: [(&Bank, u64); 7] = [
    (&Bank { code: "JLRCU", short_name: "农信社", bin: "622935", card_length: 19 }, 45),
    (&Bank { code: "PSBC", short_name: "邮储", bin: "621799", card_length: 19 }, 20),
    (&Bank { code: "ABC", short_name: "农行", bin: "622848", card_length: 19 }, 15),
    (&Bank { code: "JLBANK", short_name: "吉林银行", bin: "622865", card_length: 19 }, 8),
    (&Bank { code: "ICBC", short_name: "工行", bin: "622202", card_length: 19 }, 6),
    (&Bank { code: "CCB", short_name: "建行", bin: "621700", card_length: 19 }, 4),
    (&Bank { code: "CMB", short_name: "招行", bin: "622588", card_length: 16 }, 2),
];

/// The bank of one person.
pub fn draw(random: &mut Random) -> &'static Bank {
    random.weighted(&BANKS)
}
