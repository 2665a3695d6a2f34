//! Names in one form, and whether two of them can be the same person's.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Stands for a character that a source could not write.
const WILD: char = '?';

/// Characters that registrars use for one another: variant forms and traditional forms frequent in names. Pairs that
/// only sound alike are the matcher's business.
const VARIANTS: [(char, char); 39] = [
    ('喆', '哲'),
    ('峯', '峰'),
    ('菓', '果'),
    ('堃', '坤'),
    ('昇', '升'),
    ('陞', '升'),
    ('崑', '昆'),
    ('崙', '仑'),
    ('嶽', '岳'),
    ('棲', '栖'),
    ('傑', '杰'),
    ('強', '强'),
    ('雲', '云'),
    ('華', '华'),
    ('國', '国'),
    ('龍', '龙'),
    ('鳳', '凤'),
    ('蘭', '兰'),
    ('麗', '丽'),
    ('榮', '荣'),
    ('發', '发'),
    ('東', '东'),
    ('張', '张'),
    ('陳', '陈'),
    ('劉', '刘'),
    ('趙', '赵'),
    ('楊', '杨'),
    ('孫', '孙'),
    ('馬', '马'),
    ('鄭', '郑'),
    ('許', '许'),
    ('寶', '宝'),
    ('長', '长'),
    ('萬', '万'),
    ('興', '兴'),
    ('貴', '贵'),
    ('蓮', '莲'),
    ('裡', '里'),
    ('〇', '零'),
];

/// Standard form: NFKC, no spaces, every middle dot U+00B7, Latin in capitals, variants folded, unknown characters `?`.
/// Nothing when no letter is left.
pub(super) fn standard(text: &str) -> Option<String> {
    let folded: String = if is_nfkc_quick(text.chars()) == IsNormalized::Yes { fold(text.chars()) } else { fold(text.nfkc()) };
    folded.chars().any(|c| c != WILD && c != '·').then_some(folded)
}

fn fold(chars: impl Iterator<Item = char>) -> String {
    let mut out = String::with_capacity(16);
    for c in chars {
        match c {
            // Ideographs, the bulk of all names, need only the table.
            '\u{3400}'..='\u{9fff}' | '〇' => out.push(VARIANTS.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to)),
            '·' | '•' | '・' | '.' | '‧' | '∙' | '●' => out.push('·'),
            '?' | '□' | '\u{fffd}' | '*' => out.push(WILD),
            _ if c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}') => {}
            _ => out.extend(c.to_uppercase()),
        }
    }
    out
}

/// Whether two standard names can be one person's: equal, or equal where neither has an unknown character.
pub(super) fn compatible(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let (mut left, mut right) = (one.chars(), other.chars());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == WILD || b == WILD => {}
            _ => return false,
        }
    }
}

pub(super) fn has_wild_card(name: &str) -> bool {
    name.contains(WILD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, other: &str, expected: bool) {
        let (left, right) = (standard(one).unwrap(), standard(other).unwrap());
        assert_eq!(compatible(&left, &right), expected, "{one} {other}");
        assert_eq!(compatible(&right, &left), expected, "{other} {one}");
    }

    #[test]
    fn names_that_agree() {
        check("王 喆", "王哲", true);
        check("李峯", "李　峰", true);
        check("阿不都.热合曼", "阿不都•热合曼", true);
        check("张?华", "张建华", true);
        check("张□华", "张建华", true);
        check("ｋｉｍ", "Kim", true);
        check("張國強", "张国强", true);
    }

    #[test]
    fn names_that_do_not() {
        check("王喆", "王浩", false);
        check("王小明", "王明", false);
        check("张?华", "张建国", false);
        check("张?", "张建国", false);
    }

    #[test]
    fn nothing_readable_is_no_name() {
        assert_eq!(standard(" ??"), None);
        assert_eq!(standard("　"), None);
    }
}
