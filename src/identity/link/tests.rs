//! The engine with the built-in rules and model.

use proptest::prelude::*;

use super::{
    Engine, Model, Raw, Reason, Record, Rules, Way, Weights,
    batch::{self, Clusters},
    profile::Holds,
    score::two_numbers,
};

fn raw(id: &str, fields: [&str; 6]) -> Raw {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Raw { id: id.to_owned(), system: "s".to_owned(), texts: fields.map(text).to_vec() }
}

fn cluster(raws: &[Raw]) -> Clusters {
    batch::cluster(&Rules::built_in().unwrap(), &Model::built_in().unwrap(), raws).unwrap()
}

/// Which records of `people` are one person's, as the ids of their clusters.
#[track_caller]
fn check(people: &[[&str; 6]], expected: &[&str]) -> Clusters {
    let raws: Vec<Raw> = people.iter().enumerate().map(|(place, fields)| raw(&place.to_string(), *fields)).collect();
    let clusters = cluster(&raws);
    assert_eq!(clusters.ids(&raws), expected);
    let backwards: Vec<Raw> = raws.iter().rev().cloned().collect();
    let ids: Vec<String> = cluster(&backwards).ids(&backwards).into_iter().rev().map(str::to_owned).collect();
    assert_eq!(ids, expected, "in the other order");
    clusters
}

const HOME: &str = "长春市双阳区鹿乡镇信家村3组250号";

#[test]
fn slips_do_not_part_a_person() {
    check(
        &[
            ["张国强", "220171197001010053", "1970-01-01", "男", HOME, "14005802577"],
            ["張國強", "220171700101005", "", "", "", ""],
            ["张?强", "", "19700101", "1", HOME, ""],
            ["Zhang Guoqiang", "220171197001010052", "1970-01-01", "", "", ""],
            ["张国樯", "", "1969-11-24", "1", "吉林省双阳区鹿乡镇信家村3组250号", "+86 140-0580-2577"],
        ],
        &["0"; 5],
    );
}

#[test]
fn twins_stay_two() {
    let clusters = check(
        &[
            ["刘梓敏", "220171201001010108", "2010-01-01", "女", HOME, "14005802577"],
            ["刘欣敏", "220171201001010124", "2010-01-01", "女", HOME, "14005802577"],
            ["刘欣敏", "", "2010-01-01", "女", HOME, "14005802577"],
            ["刘梓敏", "", "2010-01-01", "女", HOME, "14005802577"],
        ],
        &["0", "1", "1", "0"],
    );
    assert_eq!(clusters.engine.counts.merges, 0);
}

#[test]
fn a_number_under_another_name_is_no_evidence() {
    let clusters = check(
        &[
            ["王建国", "220171197001010053", "1970-01-01", "男", HOME, ""],
            ["李秀英", "220171197001010053", "1971-05-06", "女", HOME, ""],
            ["赵小梅", "220171197001010053", "", "", HOME, ""],
        ],
        &["0", "1", "2"],
    );
    assert!(clusters.engine.questions.iter().any(|question| question.reason == Reason::NumberHeldByOtherName));
}

#[test]
fn namesakes_are_left_to_a_human() {
    let clusters = check(
        &[
            ["王芳", "220171197001010053", "1970-01-01", "女", HOME, "14005802577"],
            ["王芳", "", "1970-01-01", "女", "白城市洮北区和平路123号", "14009299299"],
        ],
        &["0", "1"],
    );
    assert_eq!(clusters.engine.questions.first().map(|question| question.reason), Some(Reason::Uncertain));
}

#[test]
fn a_household_is_no_evidence() {
    check(
        &[
            ["王建国", "", "1970-01-01", "男", HOME, "14005802577"],
            ["李秀英", "", "1971-05-06", "女", HOME, "14005802577"],
            ["", "", "", "男", HOME, "14005802577"],
        ],
        &["0", "1", "2"],
    );
}

#[test]
fn people_told_apart_stay_apart() {
    let rules = Rules::built_in().unwrap();
    let mut engine = Engine::new(rules.clone(), Weights::new(&rules, &Model::built_in().unwrap()).unwrap());
    let record = |fields| Record::of(&rules, &raw("", fields).texts);
    let one = engine.link(&record(["张国强", "", "1970-01-01", "男", HOME, ""]));
    let other = engine.link(&record(["李秀英", "", "1971-05-06", "女", "", "14005802577"]));
    assert_eq!((one.way, other.way), (Way::New, Way::New));
    engine.tell_apart(one.person, other.person);
    assert!(engine.are_told_apart(other.person, one.person));
    assert!(!engine.merge_if_sure(one.person, other.person));
}

/// A few persons' worth of values, so that random records meet.
fn any_raw() -> impl Strategy<Value = Vec<Raw>> {
    let name = prop::sample::select(vec!["张国强", "张国樯", "张强", "刘梓敏", "刘欣敏", "王芳", "", "Zhang Qiang", "王?"]);
    let number = prop::sample::select(vec![
        "220171197001010053",
        "220171201001010108",
        "220171201001010124",
        "220171700101005",
        "220171197001010052",
        "",
    ]);
    let birth = prop::sample::select(vec!["1970-01-01", "2010-01-01", "1969-11-24", ""]);
    let sex = prop::sample::select(vec!["男", "女", ""]);
    let address = prop::sample::select(vec![HOME, "白城市洮北区和平路123号", ""]);
    let phone = prop::sample::select(vec!["14005802577", "14009299299", ""]);
    let fields = (name, number, birth, sex, address, phone);
    let of = |(name, number, birth, sex, address, phone)| [name, number, birth, sex, address, phone];
    prop::collection::vec(fields.prop_map(of), 1..40)
        .prop_map(|list| list.into_iter().enumerate().map(|(place, fields)| raw(&place.to_string(), fields)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn invariants(raws in any_raw()) {
        let clusters = cluster(&raws);
        let engine = &clusters.engine;
        let number = engine.judge.number.unwrap();
        // Every record has one person, who is nobody else: redirects end.
        prop_assert_eq!(clusters.persons.len(), raws.len());
        for person in &clusters.persons {
            prop_assert_eq!(engine.root(*person), *person);
            let profile = &*engine.person(*person).profile;
            prop_assert!(profile.strong(number).count() <= 1, "two strong numbers on one person");
            prop_assert!(profile.each(number).count() <= 8);
            prop_assert!(!two_numbers(number, profile, profile));
        }
        let records: u32 = clusters.members().keys().map(|person| engine.person(*person).records).sum();
        prop_assert_eq!(records as usize, raws.len());
    }

    #[test]
    fn the_order_does_not_matter(raws in any_raw(), seed in 0_u64..1_000) {
        let mut shuffled = raws.clone();
        shuffled.sort_by_key(|raw| super::value::hash(&(seed, raw.id.as_str())));
        let of = |raws: &[Raw]| {
            let clusters = cluster(raws);
            let mut ids: Vec<(String, String)> =
                raws.iter().zip(clusters.ids(raws)).map(|(raw, cluster)| (raw.id.clone(), cluster.to_owned())).collect();
            ids.sort();
            ids
        };
        prop_assert_eq!(of(&raws), of(&shuffled));
    }
}
