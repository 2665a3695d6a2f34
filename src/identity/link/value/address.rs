//! Chinese addresses: the district, the street or village, the door, the whole.

use super::{half_width, hash, join};

/// What of an address is compared: hashes, 0 for a part that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// Everything but country and province, without spaces and the words for parts of a house.
    pub full: u64,
    /// County, district of a city, or city of county rank.
    pub district: u64,
    /// Street or village with the district or town that it belongs to.
    pub place: u64,
    /// Place and house number.
    pub door: u64,
}

/// Where a named part of an address ends.
const ENDS: &str = "省市州盟县区旗镇乡村屯组路街道巷";
/// Ends of what is larger than a town.
const DISTRICTS: [char; 6] = ['市', '县', '区', '旗', '州', '盟'];
/// Parts that are as often written as not, and identify nothing that the others do not.
const OPTIONAL: [&str; 3] = ["街道", "社区", "办事处"];
const COUNTRY: [&str; 2] = ["中国", "吉林省"];
const HOUSE: &str = "号栋幢楼单元室户门";

impl Address {
    /// Reads an address. Nothing, when it is shorter than two characters.
    pub fn read(text: &str) -> Option<Self> {
        let chars: String = text.chars().map(half_width).filter_map(plain).collect();
        let mut rest = chars.as_str();
        for part in COUNTRY {
            rest = rest.strip_prefix(part).unwrap_or(rest);
        }
        rest.chars().nth(1)?;
        let (names, numbers) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        let parts = parts(names);
        let (district, place) = (district(&parts), place(&parts));
        let door = numbers.split(|c: char| !c.is_ascii_digit()).next().filter(|digits| place != 0 && !digits.is_empty());
        let full: String = rest.chars().filter(|c| !HOUSE.contains(*c)).collect();
        Some(Self { full: hash(&full), district, place, door: door.map_or(0, |digits| join(place, hash(digits))) })
    }
}

/// Letters and digits. A sign between two numbers keeps them apart.
fn plain(c: char) -> Option<char> {
    match c {
        c if c.is_alphanumeric() => Some(c.to_ascii_uppercase()),
        '-' | '－' | '—' | '#' => Some('号'),
        _ => None,
    }
}

fn is_optional(part: &str) -> bool {
    OPTIONAL.iter().any(|end| part.ends_with(end))
}

/// The last of the large parts that an address begins with.
fn district(parts: &[&str]) -> u64 {
    let large = parts.iter().take_while(|part| part.ends_with(DISTRICTS) && !is_optional(part));
    large.last().map_or(0, hash)
}

/// The last named part, and the nearest one before it that is always written: the town of a village, the district of a
/// street, since the subdistrict or town around a street is left out as often as not.
fn place(parts: &[&str]) -> u64 {
    let Some((last, before)) = parts.split_last() else { return 0 };
    if last.ends_with(['村', '屯', '组']) {
        return hash(&(before.iter().rev().find(|part| !is_optional(part)), last));
    }
    join(district(before), hash(last))
}

/// Cuts after each ending; a name has two characters at least, so that `大街`, `街道` and `社区` end once.
fn parts(names: &str) -> Vec<&str> {
    let mut parts = Vec::with_capacity(8);
    let (mut start, mut length, mut last) = (0, 0, ' ');
    let mut chars = names.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        length += 1;
        // `二道区` is no road, `红旗大街` no banner.
        let ends = match c {
            '道' => matches!(last, '街' | '大'),
            '旗' => length >= 3,
            _ => ENDS.contains(c),
        };
        last = c;
        if length >= 2 && ends && !chars.peek().is_some_and(|(_, next)| goes_on(c, *next)) {
            let end = at + c.len_utf8();
            parts.extend(names.get(start..end));
            (start, length) = (end, 0);
        }
    }
    parts.extend(names.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

/// Endings that are inside a name: 通州区, 刘家村镇, 红旗街道.
fn goes_on(c: char, next: char) -> bool {
    match c {
        '街' => next == '道',
        '州' | '市' => matches!(next, '市' | '区' | '县'),
        '村' | '屯' | '路' => matches!(next, '镇' | '乡' | '村' | '街'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Address {
        Address::read(text).unwrap()
    }

    #[test]
    fn the_same_door() {
        let long = read("吉林省长春市朝阳区红旗街道西安社区人民大街123号4栋2单元501室");
        let short = read("长春市朝阳区人民大街１２３号4-2-501");
        assert_eq!((long.district, long.place, long.door), (short.district, short.place, short.door));
        assert_eq!(read("朝阳区人民大街125号").place, long.place);
        assert_eq!(read("长岭县太平川镇岭川路社区西安大街9号").door, read("松原市长岭县西安大街9号").door);
        assert_ne!(read("朝阳区人民大街125号").door, long.door);
        assert_ne!(read("宽城区人民大街123号").place, long.place);
        assert_eq!(read("二道区建设路135号").district, read("长春市二道区").district);
        assert_ne!(read("四平市公主岭市红旗大街3号").place, read("绿园区红旗大街3号").place);
        assert_eq!(read("通州区新华路3号").district, read("北京市通州区").district);
    }

    #[test]
    fn the_same_whole() {
        assert_eq!(read("榆树市五棵树镇双井村3组12号").full, read("吉林省榆树市五棵树镇双井村 3组12号").full);
        assert_eq!(parts("榆树市五棵树镇双井村"), ["榆树市", "五棵树镇", "双井村"]);
        assert!(Address::read("无").is_none());
    }
}
