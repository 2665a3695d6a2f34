//! What is known of single characters: simplified form, sound, look-alikes.

use std::sync::OnceLock;

use pinyin::ToPinyin;
use rustc_hash::FxHashMap;

/// The ideographs of the table: extension A and the main block.
const FIRST: u32 = 0x3400;
const LAST: u32 = 0x9fff;

/// Readings of surnames that differ from the common reading, and characters the table of readings lacks.
const SURNAMES: [(char, &str); 12] = [
    ('单', "shan"),
    ('曾', "zeng"),
    ('解', "xie"),
    ('仇', "qiu"),
    ('区', "ou"),
    ('查', "zha"),
    ('朴', "piao"),
    ('翟', "zhai"),
    ('尉', "yu"),
    ('盖', "ge"),
    ('缪', "miao"),
    ('覃', "qin"),
];

/// Variants that registrars use for one another, and what old systems wrote for a character they could not hold.
const VARIANTS: [(char, char); 20] = [
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
    ('〇', '零'),
    ('䶮', '龑'),
    ('𠮷', '吉'),
    ('淼', '渺'),
    ('珺', '君'),
    ('甯', '宁'),
    ('寗', '宁'),
    ('邨', '村'),
    ('祕', '秘'),
    ('硃', '朱'),
];

/// Characters that a hurried eye takes for one another; each group is one mistake.
const LOOK_ALIKES: [&str; 62] = [
    "己已巳",
    "未末",
    "士土",
    "日曰",
    "人入八",
    "千干于",
    "天夫",
    "无元",
    "睛晴",
    "杨扬",
    "场扬",
    "季李",
    "王玉主",
    "田由甲申",
    "太大犬",
    "刀力",
    "历厉",
    "今令",
    "贝见",
    "治冶",
    "侯候",
    "微徽",
    "茜荷",
    "晓哓",
    "妹姝",
    "林材",
    "析折",
    "忠患",
    "兰三",
    "乌鸟",
    "明朋",
    "勇男",
    "宇字",
    "宜宣",
    "洋祥",
    "伟纬",
    "玲珍",
    "琪祺棋",
    "佳住",
    "波彼",
    "卫节",
    "丰韦",
    "斌武",
    "昌晶",
    "春香",
    "杰木",
    "莹萤",
    "萍苹",
    "菁青",
    "娟捐",
    "娜那",
    "艳绝",
    "梅海",
    "敏敬",
    "淑椒",
    "彬杉",
    "桂佳",
    "芬芳",
    "凤风",
    "刚钢",
    "辉挥",
    "涛寿",
];

struct Characters {
    simplified: Vec<u16>,
    sounds: Vec<u16>,
    syllables: FxHashMap<String, u16>,
    groups: FxHashMap<char, Vec<u8>>,
}

fn table() -> &'static Characters {
    static TABLE: OnceLock<Characters> = OnceLock::new();
    TABLE.get_or_init(build)
}

fn build() -> Characters {
    let mut syllables = FxHashMap::default();
    let (mut simplified, mut sounds) = (Vec::new(), Vec::new());
    for code in FIRST..=LAST {
        let plain = char::from_u32(code).unwrap_or('一');
        simplified.push(u16::try_from(u32::from(simple(plain))).unwrap_or(0));
        let sound = simple(plain).to_pinyin().map(|reading| fold(reading.plain()));
        sounds.push(sound.map_or(0, |sound| number(&mut syllables, sound)));
    }
    for (_, sound) in SURNAMES {
        number(&mut syllables, sound.to_owned());
    }
    let mut groups: FxHashMap<char, Vec<u8>> = FxHashMap::default();
    for (group, chars) in LOOK_ALIKES.iter().enumerate() {
        for c in chars.chars() {
            groups.entry(c).or_default().push(u8::try_from(group).unwrap_or(u8::MAX));
        }
    }
    Characters { simplified, sounds, syllables, groups }
}

fn number(syllables: &mut FxHashMap<String, u16>, sound: String) -> u16 {
    let next = u16::try_from(syllables.len() + 1).unwrap_or(u16::MAX);
    *syllables.entry(sound).or_insert(next)
}

/// `ü` is written in three ways in an alphabet without it.
fn fold(sound: &str) -> String {
    sound.replace(['ü', 'v'], "u").replace("lyu", "lu").replace("nyu", "nu")
}

fn simple(c: char) -> char {
    if let Some((_, to)) = VARIANTS.iter().find(|(from, _)| *from == c) {
        return *to;
    }
    fast2s::convert(c.encode_utf8(&mut [0; 4])).chars().next().unwrap_or(c)
}

/// Traditional characters and variants as the plain simplified one.
pub(super) fn simplify(c: char) -> char {
    match u32::from(c) {
        code @ FIRST..=LAST => {
            table().simplified.get((code - FIRST) as usize).map_or(c, |code| char::from_u32(u32::from(*code)).unwrap_or(c))
        }
        _ => VARIANTS.iter().find(|(from, _)| *from == c).map_or(c, |(_, to)| *to),
    }
}

/// A number that stands for the syllable; `first` for a surname. Characters without a known reading have one of their own.
pub(super) fn sound(c: char, first: bool) -> u16 {
    let table = table();
    if first && let Some((_, sound)) = SURNAMES.iter().find(|(surname, _)| *surname == c) {
        return table.syllables.get(*sound).copied().unwrap_or(0);
    }
    let code = u32::from(c);
    let known = if (FIRST..=LAST).contains(&code) { table.sounds[(code - FIRST) as usize] } else { 0 };
    if known != 0 { known } else { unknown(u64::from(code)) }
}

/// Beyond all syllables.
fn unknown(seed: u64) -> u16 {
    0x8000 | (super::hash(&seed) as u16)
}

/// Whether the two are often taken for one another.
pub(super) fn look_alike(one: char, other: char) -> bool {
    let groups = &table().groups;
    let Some(mine) = groups.get(&one) else { return false };
    groups.get(&other).is_some_and(|theirs| mine.iter().any(|group| theirs.contains(group)))
}

/// A run of letters as syllables, as few as possible; a run that is no pinyin is one syllable of its own.
pub(super) fn syllables(run: &str) -> Vec<u16> {
    let folded = fold(&run.to_lowercase());
    let bytes = folded.as_bytes();
    // `best[end]`: the fewest syllables that spell what comes before, and where the last of them starts.
    let mut best: Vec<Option<(usize, usize)>> = vec![None; bytes.len() + 1];
    best[0] = Some((0, 0));
    for end in 1..=bytes.len() {
        for start in end.saturating_sub(6)..end {
            let known = folded.get(start..end).is_some_and(|part| table().syllables.contains_key(part));
            if let (true, Some((count, _))) = (known, best[start])
                && best[end].is_none_or(|(fewest, _)| count + 1 < fewest)
            {
                best[end] = Some((count + 1, start));
            }
        }
    }
    let mut found = Vec::new();
    let mut end = bytes.len();
    while end > 0 {
        let Some((_, start)) = best[end] else { return vec![unknown(super::hash(&folded))] };
        found.extend(folded.get(start..end).and_then(|part| table().syllables.get(part)));
        end = start;
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_sounds() {
        assert_eq!(simplify('國'), '国');
        assert_eq!(simplify('喆'), '哲');
        assert_eq!(simplify('䶮'), '龑');
        assert_eq!(sound('欣', false), sound('馨', false));
        assert_ne!(sound('单', true), sound('单', false));
        assert_ne!(sound('\u{2a6d6}', false), sound('\u{2a6d5}', false));
        assert!(look_alike('己', '已') && !look_alike('己', '末'));
    }

    #[test]
    fn letters_as_syllables() {
        let of = |text: &str| text.chars().map(|c| sound(c, false)).collect::<Vec<_>>();
        assert_eq!(syllables("ZHANGJIANHUA"), of("张建华"));
        assert_eq!(syllables("lv"), of("吕"));
        assert_eq!(syllables("xian").len(), 1);
        assert_eq!(syllables("smith").len(), 1);
    }
}
