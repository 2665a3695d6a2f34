//! Telephone numbers.

use super::half_width;

/// The digits as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Phone(pub u64);

impl Phone {
    /// Reads the digits, without the country's prefix. Too few, or all alike, is none.
    pub fn read(text: &str) -> Option<Self> {
        let mut digits: Vec<u8> = text.chars().map(half_width).filter(char::is_ascii_digit).map(|c| c as u8 - b'0').collect();
        if digits.starts_with(&[0, 0, 8, 6]) {
            digits.drain(..4);
        } else if digits.len() > 11 && digits.starts_with(&[8, 6]) {
            digits.drain(..2);
        }
        let alike = digits.iter().skip(1).all(|digit| digit == &digits[1.min(digits.len() - 1)]);
        if !(7..=12).contains(&digits.len()) || alike {
            return None;
        }
        // A leading one keeps the zero of an area code.
        Some(Self(digits.iter().fold(1, |sum, digit| sum * 10 + u64::from(*digit))))
    }

    /// Whether one digit differs, or two neighbours are swapped.
    pub fn is_near(self, other: Self) -> bool {
        let (mut one, mut other, mut differ, mut last) = (self.0, other.0, 0, None);
        while one > 0 || other > 0 {
            let pair = (one % 10, other % 10);
            if pair.0 != pair.1 {
                // The second half of a swap costs nothing.
                differ += if last == Some((pair.1, pair.0)) { 0 } else { 1 };
                last = Some(pair);
            } else {
                last = None;
            }
            (one, other) = (one / 10, other / 10);
        }
        differ <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_slips() {
        let phone = |text| Phone::read(text).unwrap();
        assert_eq!(phone("+86 140-0000-1234"), phone("14000001234"));
        assert!(phone("14000001234").is_near(phone("14000001243")));
        assert!(phone("14000001234").is_near(phone("14000001534")));
        assert!(!phone("14000001234").is_near(phone("14000001543")));
        assert!(Phone::read("11111111111").is_none() && Phone::read("110").is_none() && Phone::read("").is_none());
    }
}
