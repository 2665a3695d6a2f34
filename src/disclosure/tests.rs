use proptest::prelude::*;
use serde_json::{Value, json};
use time::macros::date;

use super::{item::WITHHELD, *};
use crate::{config::keys::Keys, envelope::event::stand_in, store::Store};

/// A notice as an event, with some fields put in place of others.
fn event(change: Value, op: &str, sequence: i64) -> crate::envelope::Event {
    let mut record = json!({
        "notice_no": "GS1", "kind": "REVIEW", "division_code": "220171001001", "title": "王小明尿毒症救助公示", "from_date": "2017-07-03",
        "to_date": "2017-07-10", "places": ["web"], "hotline": "0431-88880001", "case_nos": ["C1"],
        "objections": [{ "at": "2017-07-04T09:00:00+08:00", "by": "李桂芝", "content": "他家有车" }],
        "items": [{ "head_name": "王建国", "covered_count": 2, "per_capita_income": "310.50", "amount_month": "660.00" }]
    });
    record.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let mut event = stand_in(b"");
    event.kind = format!("disclosure-notice.{op}");
    event.sequence = sequence;
    event.data.record = record;
    event
}

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    keys: Keys,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}/hub.db", dir.path().display())).await.unwrap();
        store.migrate().await.unwrap();
        Self { _dir: dir, store, keys: Keys::dry_run() }
    }

    async fn note(&self, object: &str, event: &crate::envelope::Event) {
        let mut tx = self.store.begin().await.unwrap();
        note(&mut tx, &self.keys, std::iter::once(event), |_| object.to_owned()).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn on(&self, day: time::Date, stem: &str) -> Vec<Notice> {
        standing(&self.store, &self.keys, day, stem, ("", ""), 100).await.unwrap()
    }
}

#[tokio::test]
async fn it_stands_from_its_first_day_to_its_last_and_a_list_until_it_is_deleted() {
    let world = World::new().await;
    world.note("a", &event(json!({}), "upsert", 1)).await;
    let mut list = event(json!({ "kind": "LIST" }), "upsert", 1);
    list.data.record.as_object_mut().unwrap().remove("to_date");
    world.note("b", &list).await;
    let ids = async |day| world.on(day, "22").await.into_iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(date!(2017 - 07 - 02)).await, Vec::<String>::new());
    assert_eq!(ids(date!(2017 - 07 - 03)).await, ["a", "b"]);
    assert_eq!(ids(date!(2017 - 07 - 10)).await, ["a", "b"], "the last day counts");
    assert_eq!(ids(date!(2017 - 07 - 11)).await, ["b"]);
    assert_eq!(world.on(date!(2017 - 07 - 05), "220172").await, []);
    // An older word does not bring it back to life, a deletion takes it away.
    world.note("a", &event(json!({ "to_date": "2017-07-04" }), "upsert", 2)).await;
    world.note("a", &event(json!({}), "upsert", 1)).await;
    assert_eq!(ids(date!(2017 - 07 - 05)).await, ["b"]);
    world.note("b", &event(json!({}), "delete", 3)).await;
    assert_eq!(ids(date!(2017 - 07 - 05)).await, Vec::<String>::new());
}

#[tokio::test]
async fn only_what_a_notice_may_show_is_shown_or_kept() {
    let world = World::new().await;
    world.note("a", &event(json!({}), "upsert", 1)).await;
    let shown = serde_json::to_value(&world.on(date!(2017 - 07 - 05), "22").await[0]).unwrap();
    assert_eq!(
        shown["items"],
        json!([{ "head_name": "王建国", "covered_count": 2, "per_capita_income": "310.50", "amount_month": "660.00" }])
    );
    let text = shown.to_string();
    for secret in ["王小明", "尿毒症", "李桂芝", "车", "C1"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(shown["title"].as_str().unwrap().ends_with("审核公示"), "{text}");
    let row = &world
        .store
        .read("SELECT kind || division || from_date || to_date || hotline || body FROM public_notice", &[])
        .await
        .unwrap()[0];
    assert!(!row.text(0).contains("王建国"), "names are sealed");
}

#[test]
fn what_only_looks_like_a_name_is_withheld() {
    for (given, shown) in [
        ("王建国", "王建国"),
        ("欧阳建国", "欧阳建国"),
        ("阿依古丽·买买提", "阿依古丽·买买提"),
        ("王建国220171197001010053", WITHHELD),
        ("22017119700101005X", WITHHELD),
        ("王建国(女儿王小红)", WITHHELD),
        ("王建国之女", WITHHELD),
        ("王建国王小红", WITHHELD),
        ("建国尿毒症", WITHHELD),
        ("王癌", WITHHELD),
        ("", WITHHELD),
        ("王", WITHHELD),
    ] {
        let item = Item::of(&json!({ "head_name": given, "covered_count": 1, "amount_month": "480.00" })).unwrap();
        assert_eq!(item.head_name, shown, "{given}");
    }
    for bad in [
        json!({ "covered_count": 1 }),
        json!({ "amount_month": "1.00" }),
        json!({ "covered_count": 99, "amount_month": "1.00" }),
        json!("x"),
    ] {
        assert_eq!(Item::of(&bad), None, "{bad}");
    }
    assert_eq!(
        ["0431-88880001", "12345", "13800000000", "220171197001010053", "王"].map(super::item::hotline),
        [Some("0431-88880001"), Some("12345"), None, None, None]
    );
}

proptest! {
    /// Whatever a source writes into whatever field: no long number, and no text of its own but a name of ideographs.
    #[test]
    fn nothing_of_a_source_but_names_and_amounts_gets_out(
        name in "\\PC{0,30}", income in "\\PC{0,20}", amount in "[0-9.]{0,20}", number in "[1-9][0-9]{16}[0-9X]", where_ in 0_usize..3,
    ) {
        let mut fields = [name, income, amount];
        fields[where_].push_str(&number);
        let value = json!({ "head_name": fields[0], "covered_count": 2, "per_capita_income": fields[1], "amount_month": fields[2], "id_number": number, "illness": "癌" });
        if let Some(item) = Item::of(&value) {
            let text = serde_json::to_string(&item).unwrap();
            let longest = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
            prop_assert!(longest <= 9 && !text.contains('癌'), "{text}");
            prop_assert!(item.head_name == WITHHELD || item.head_name.chars().all(|c| crate::domain::text::is_ideograph(c) || c == '·'));
        }
    }
}
