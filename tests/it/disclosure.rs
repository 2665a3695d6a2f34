//! Notices to the public: the feed of a running hub, and the program over a simulated province.

use std::{collections::BTreeSet, process::Command};

use civilhub::{
    clock,
    config::Config,
    disclosure,
    envelope::{Event, event::stand_in},
    hub::{Hub, Role},
};
use serde_json::{Value, json};
use time::Duration;

fn notice(no: &str, kind: &str, days: (i64, Option<i64>), head: &str) -> Event {
    let day = |days: i64| clock::iso_date(clock::today() + Duration::days(days));
    let mut record = json!({
        "notice_no": no, "kind": kind, "division_code": "220171001001", "title": "王小明尿毒症救助公示", "from_date": day(days.0),
        "places": ["web"], "hotline": "0431-88880001",
        "items": [{ "head_name": head, "covered_count": 2, "per_capita_income": "310.50", "amount_month": "660.00" }]
    });
    if let Some(to) = days.1 {
        record["to_date"] = json!(day(to));
    }
    let mut event = stand_in(b"");
    (event.kind, event.subject, event.sequence) = ("disclosure-notice.upsert".to_owned(), no.to_owned(), 1);
    event.data.record = record;
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_shows_what_stands_today_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::load(None, Some(dir.path())).unwrap();
    config.http.listen = "127.0.0.1:0".to_owned();
    config.paths.schemas = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    config.paths.adapters = dir.path().join("adapters");
    config.paths.partners = dir.path().join("partners");
    for folder in [&config.paths.adapters, &config.paths.partners] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let hub = Hub::open(config, None).await.unwrap();
    let running = hub.start(Role::Api).await.unwrap();
    let notices = [
        notice("a-last-day", "REVIEW", (-7, Some(0)), "王建国"),
        notice("b-over", "REVIEW", (-8, Some(-1)), "金哲洙"),
        notice("c-to-come", "APPROVAL", (1, Some(8)), "孙玉兰"),
        notice("d-list", "LIST", (-100, None), "李桂芝之女李小红220171197001010053"),
        notice("e-approval", "APPROVAL", (0, Some(6)), "赵铁柱"),
    ];
    let mut tx = hub.store.begin().await.unwrap();
    disclosure::note(&mut tx, &hub.keys, notices.iter(), |event| event.subject.clone()).await.unwrap();
    tx.commit().await.unwrap();
    let base = format!("http://{}", running.listen.unwrap());
    let answer = reqwest::get(format!("{base}/v1/disclosures")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/feed+json");
    assert_eq!(answer.headers()["cache-control"], "public, no-cache");
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let text = answer.text().await.unwrap();
    for secret in ["王小明", "尿毒症", "李小红", "2201711970", "金哲洙", "孙玉兰", "case_nos"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let feed: Value = serde_json::from_str(&text).unwrap();
    let ids = |feed: &Value| {
        feed["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&feed), ["a-last-day", "d-list", "e-approval"]);
    assert_eq!(feed["items"][1]["_notice"]["items"][0]["head_name"], "***");
    let get = async |path: String, etag: &str| {
        reqwest::Client::new().get(format!("{base}{path}")).header("if-none-match", etag).send().await.unwrap()
    };
    assert_eq!(get("/v1/disclosures".to_owned(), &etag).await.status(), 304);
    // Page by page the same.
    let (mut path, mut paged) = ("/v1/disclosures?division=220171&limit=2".to_owned(), Vec::new());
    loop {
        let page: Value = get(path, "").await.json().await.unwrap();
        paged.extend(ids(&page));
        let Some(next) = page["next_url"].as_str() else { break };
        path = next.to_owned();
    }
    assert_eq!(paged, ids(&feed));
    let other: Value = get("/v1/disclosures?division=220172".to_owned(), "").await.json().await.unwrap();
    assert_eq!(ids(&other), Vec::<String>::new());
    for wrong in ["on=2017-07-05", "division=99", "division=x", "after=x", "limit=0"] {
        let answer = get(format!("/v1/disclosures?{wrong}"), "").await;
        assert_eq!(answer.status(), 400, "{wrong}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "CH-6623", "{problem}");
    }
    running.stop().await;
}

fn civilhub(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_civilhub"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CIVILHUB")) {
        command.env_remove(name);
    }
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn notices_of_a_province_come_and_go_by_the_day() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("hub").display().to_string();
    let (code, out, err) = civilhub(&["demo", "--persons", "100", "--once", "--data", &data]);
    assert_eq!(code, Some(0), "{out}\n{err}");
    let on = |day: &str| -> Vec<Value> {
        let (code, out, err) = civilhub(&["disclosure", "list", "--on", day, "-o", "json", "--data", &data]);
        assert_eq!(code, Some(0), "{err}");
        serde_json::from_str(&out).unwrap()
    };
    let known = on(&clock::iso_date(clock::today()));
    assert!(!known.is_empty(), "the province has notices");
    let last = known.iter().filter_map(|one| one["to"].as_str()).min().unwrap();
    let parts = time::macros::format_description!("[year]-[month]-[day]");
    let after = clock::iso_date(time::Date::parse(last, &parts).unwrap() + Duration::days(1));
    let ids = |notices: &[Value]| notices.iter().map(|one| one["id"].to_string()).collect::<BTreeSet<_>>();
    let ending: Vec<Value> = known.iter().filter(|one| one["to"] == last).cloned().collect();
    assert!(ids(&ending).is_subset(&ids(&on(last))), "the last day counts");
    assert!(ids(&ending).is_disjoint(&ids(&on(&after))), "withdrawn on the next");
    for one in &known {
        let fields: BTreeSet<&String> =
            one["items"].as_array().unwrap().iter().flat_map(|item| item.as_object().unwrap().keys()).collect();
        assert!(
            fields
                .iter()
                .all(|field| ["head_name", "covered_count", "per_capita_income", "amount_month"].contains(&field.as_str())),
            "{one}"
        );
        let text = one["items"].to_string();
        assert!(text.split(|c: char| !c.is_ascii_digit()).all(|run| run.len() < 15), "{text}");
    }
    let (code, _, err) = civilhub(&["disclosure", "list", "--division", "990000", "--data", &data]);
    assert!(code == Some(1) && err.contains("CH-7650"), "{err}");
}
