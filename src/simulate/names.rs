//! Names as the people of Jilin have them, all invented.
//!
//! Common surnames and given characters make namesakes by themselves; Korean names prevail in Yanbian; Mongol and
//! Manchu names bring middle dots; a few rare characters need four bytes in GB18030 and do not exist in GBK.

use super::random::Random;

/// A people, with its code of GB 3304.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum People {
    /// 汉族.
    Han,
    /// 蒙古族.
    Mongol,
    /// 朝鲜族.
    Korean,
    /// 满族.
    Manchu,
}

impl People {
    /// Code of GB 3304, two digits.
    pub fn code(self) -> &'static str {
        match self {
            Self::Han => "01",
            Self::Mongol => "02",
            Self::Korean => "10",
            Self::Manchu => "11",
        }
    }

    /// A people drawn by the place: shares are rounded from the census of the prefecture.
    pub fn draw(county: &str, random: &mut Random) -> Self {
        let (korean, mongol, manchu) = match county {
            "220323" => (100, 50, 3_000),
            "220721" => (50, 1_000, 200),
            _ if county.starts_with("2224") => (3_500, 20, 300),
            _ => (200, 80, 350),
        };
        let draw = random.below(10_000);
        if draw < korean {
            Self::Korean
        } else if draw < korean + mongol {
            Self::Mongol
        } else if draw < korean + mongol + manchu {
            Self::Manchu
        } else {
            Self::Han
        }
    }
}

// Lists read better in rows than one name a line.
#[rustfmt::skip]
const SURNAMES: [(&str, u64); 43] = [
    ("王", 90), ("李", 88), ("张", 85), ("刘", 70), ("赵", 40), ("孙", 36), ("于", 28), ("杨", 27), ("陈", 26), ("徐", 24),
    ("高", 22), ("马", 20), ("姜", 18), ("宋", 17), ("周", 17), ("郭", 16), ("吴", 16), ("韩", 14), ("丁", 12), ("董", 11),
    ("曲", 10), ("林", 10), ("朱", 10), ("胡", 9), ("吕", 9), ("何", 8), ("曹", 8), ("邹", 8), ("冯", 8), ("付", 7),
    ("傅", 3), ("战", 3), ("宫", 3), ("初", 3), ("逄", 2), ("丛", 2), ("迟", 2), ("鞠", 2), ("阎", 2),
    ("闫", 4), ("欧阳", 1), ("司徒", 1), ("上官", 1),
];
#[rustfmt::skip]
const KOREAN_SURNAMES: [(&str, u64); 12] = [
    ("金", 90), ("李", 60), ("朴", 55), ("崔", 40), ("郑", 20), ("姜", 14), ("赵", 12), ("尹", 10), ("张", 9), ("林", 8), ("许", 8), ("南", 4),
];
const MANCHU_SURNAMES: [(&str, u64); 8] =
    [("关", 30), ("佟", 15), ("那", 15), ("赫", 10), ("富", 8), ("瓜尔佳·", 2), ("爱新觉罗·", 1), ("叶赫那拉·", 1)];
#[rustfmt::skip]
const MONGOL_NAMES: [&str; 16] = [
    "巴图", "孟和", "敖其尔", "乌力吉", "哈斯", "宝音", "那顺", "朝鲁", "斯琴", "乌兰图雅", "其其格", "萨仁高娃", "娜仁托娅",
    "阿拉坦", "额尔敦", "呼和",
];
const KOREAN_FIRST: &str = "哲英明顺美成龙东春京光昌永正仁贞福海香";
const KOREAN_LAST_MEN: &str = "洙国浩男赫日学根哲植奎范镐";
const KOREAN_LAST_WOMEN: &str = "姬花玉淑子善爱兰今福顺女莲";
const OLD_MEN: &str = "德福财有生贵发才国军建志忠文武庆祥云海洪广玉树林春永金振殿连";
const OLD_WOMEN: &str = "秀桂玉淑凤英兰芝芳珍琴香云霞清荣素艳梅莲华花春";
const YOUNG_MEN: &str = "伟强磊洋勇超杰涛明刚鹏浩宇轩博文俊泽天佳旭晨阳子喆镕";
const YOUNG_WOMEN: &str = "丽娜静敏燕艳娟雪婷欣怡佳涵雨馨琪悦彤梓萱思诗可晴";
/// Characters code page 936 lacks; all but the first need four bytes of GB18030. (The web's GBK table has the first.)
const RARE: &str = "䶮𠮷㼆𤞤";
/// Pairs, used in both directions: same sound, other character, the commonest mistake of a clerk who types by ear.
#[rustfmt::skip]
const HOMOPHONES: [(char, char); 16] = [
    ('丽', '莉'), ('伟', '炜'), ('杰', '洁'), ('明', '铭'), ('英', '瑛'), ('华', '桦'), ('玲', '铃'), ('军', '钧'), ('艳', '燕'),
    ('芝', '枝'), ('珍', '贞'), ('志', '智'), ('祥', '翔'), ('洪', '宏'), ('晨', '辰'), ('付', '傅'),
];

/// A surname of the people; empty for Mongols, who use none.
pub fn surname(people: People, random: &mut Random) -> &'static str {
    match people {
        People::Han => random.weighted(&SURNAMES),
        People::Korean => random.weighted(&KOREAN_SURNAMES),
        People::Manchu if random.chance(5_000) => random.weighted(&MANCHU_SURNAMES),
        People::Manchu => random.weighted(&SURNAMES),
        People::Mongol => "",
    }
}

/// A whole name. `birth_year` decides the fashion, `shared` is the given character twins and siblings share.
pub fn full(people: People, surname: &str, man: bool, birth_year: i32, shared: Option<char>, random: &mut Random) -> String {
    match people {
        People::Mongol => mongol(random),
        People::Korean => {
            let last = if man { KOREAN_LAST_MEN } else { KOREAN_LAST_WOMEN };
            let first = shared.unwrap_or_else(|| random.character(KOREAN_FIRST));
            format!("{surname}{first}{}", random.character(last))
        }
        People::Han | People::Manchu => format!("{surname}{}", given(man, birth_year, shared, random)),
    }
}

fn mongol(random: &mut Random) -> String {
    let own = random.pick(&MONGOL_NAMES);
    if random.chance(4_000) { format!("{}·{own}", random.pick(&MONGOL_NAMES)) } else { own.to_owned() }
}

fn given(man: bool, birth_year: i32, shared: Option<char>, random: &mut Random) -> String {
    let list = match (man, birth_year < 1975) {
        (true, true) => OLD_MEN,
        (true, false) => YOUNG_MEN,
        (false, true) => OLD_WOMEN,
        (false, false) => YOUNG_WOMEN,
    };
    let last = if random.chance(30) { random.character(RARE) } else { random.character(list) };
    match shared {
        Some(first) => format!("{first}{last}"),
        None if random.chance(2_500) => last.to_string(),
        None => format!("{}{last}", random.character(list)),
    }
}

/// The same name with one character of the same sound, if it has one that is often confused.
pub fn homophone(name: &str) -> Option<String> {
    for (left, right) in HOMOPHONES {
        if name.contains(left) {
            return Some(name.replacen(left, &right.to_string(), 1));
        }
        if name.contains(right) {
            return Some(name.replacen(right, &left.to_string(), 1));
        }
    }
    None
}

/// What a GBK system stores for a character it cannot hold: a look-alike, else a question mark.
pub fn in_gbk(name: &str) -> String {
    name.chars()
        .map(|character| match character {
            '䶮' => '龑',
            '𠮷' => '吉',
            '㼆' | '𤞤' => '?',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_fits_its_encodings() {
        for text in [OLD_MEN, OLD_WOMEN, YOUNG_MEN, YOUNG_WOMEN, KOREAN_FIRST, KOREAN_LAST_MEN, KOREAN_LAST_WOMEN] {
            assert!(!encoding_rs::GBK.encode(text).2, "{text} has a character outside GBK");
        }
        for character in RARE.chars() {
            let name = character.to_string();
            assert!(!encoding_rs::GB18030.encode(&name).2);
            assert!(in_gbk(&name) != name && !encoding_rs::GBK.encode(&in_gbk(&name)).2, "{character}");
        }
    }

    #[test]
    fn homophones_go_both_ways() {
        assert_eq!(homophone("李丽").as_deref(), Some("李莉"));
        assert_eq!(homophone("李莉").as_deref(), Some("李丽"));
        assert_eq!(homophone("王强"), None);
    }

    #[test]
    fn yanbian_is_korean_by_a_third() {
        let mut random = Random::new(1, "people", 0);
        let koreans = (0..10_000).filter(|_| People::draw("222401", &mut random) == People::Korean).count();
        assert!((3_200..3_800).contains(&koreans), "{koreans}");
    }
}
