//! The systems beside the first six: their formats and habits, read back by small readers of their own.

use std::collections::BTreeSet;
use std::path::Path;

use encoding_rs::{GB18030, GBK};
use sqlx::{ConnectOptions, Row, SqliteConnection};

use super::{PERSONS, export, faults, table};

/// The 28 systems of the domain brief.
const SYSTEMS: [&str; 28] = [
    "urban-dibao",
    "rural-dibao",
    "tekun",
    "temp-aid",
    "med-aid",
    "econ-verify",
    "assist-hall",
    "assist-oversight",
    "disclosure",
    "hotline",
    "disaster-report",
    "relief-donation",
    "eldercare",
    "rural-welfare",
    "senior-allowance",
    "child-adoption",
    "disability-subsidy",
    "marriage",
    "funeral",
    "shelter",
    "veterans-benefit",
    "veterans-placement",
    "social-org",
    "volunteer",
    "community-platform",
    "smart-community",
    "grassroots-registry",
    "fund-payment",
];

async fn open(dir: &Path, system: &str) -> SqliteConnection {
    let path = dir.join(system).join(format!("{}.sqlite", system.replace('-', "_")));
    sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap()
}

async fn count(db: &mut SqliteConnection, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(db).await.unwrap().get(0)
}

#[tokio::test]
async fn all_systems_are_written_and_named_in_the_truth() {
    let (dir, summary) = export(5, 20_000).await;
    let written: BTreeSet<&str> = summary.systems.keys().copied().collect();
    assert_eq!(written, BTreeSet::from(SYSTEMS));
    for slug in SYSTEMS {
        let files = std::fs::read_dir(dir.path().join(slug)).unwrap().count();
        assert!(files > 0, "{slug} has no file");
        let (rows, rejected) = (summary.systems[slug].rows, summary.systems[slug].rejected);
        assert!(rows > 30, "{slug} has {rows} rows");
        println!("{slug:20} {rows:6} rows, {rejected:4} to be rejected");
    }
    let appearing: BTreeSet<String> =
        table(&dir.path().join("truth/persons.csv")).into_iter().map(|row| row["system"].clone()).collect();
    // Reports and units name nobody of the population.
    assert_eq!(appearing.len(), 26, "{appearing:?}");
}

#[tokio::test]
async fn rural_dibao_counts_in_quarters_and_years() {
    let (dir, summary) = export(31, PERSONS).await;
    let mut db = open(dir.path(), "rural-dibao").await;
    let rows = count(&mut db, "SELECT count(*) FROM T_HJXX").await;
    assert_eq!(rows as u64, summary.systems["rural-dibao"].objects["T_HJXX"]);
    assert_eq!(count(&mut db, "SELECT count(*) FROM T_HJXX WHERE bzje NOT GLOB '*.0000'").await, 0, "money has four decimals");
    assert_eq!(count(&mut db, "SELECT count(*) FROM T_HJXX WHERE length(xzqh) <> 9").await, 0);
    assert!(count(&mut db, "SELECT count(*) FROM T_HJXX WHERE tbrq LIKE '1900-01-01%'").await > 0);
    assert!(count(&mut db, "SELECT count(*) FROM T_HJXX WHERE cwmc GLOB '*村'").await > 0, "some leave the committee out");
    let all = "SELECT (SELECT count(*) FROM T_HJXX) + (SELECT count(*) FROM T_FFJL)";
    let versions = "SELECT count(DISTINCT rv) FROM (SELECT rv FROM T_HJXX UNION SELECT rv FROM T_FFJL)";
    assert_eq!(count(&mut db, all).await, count(&mut db, versions).await, "one counter for the whole database");
    let script = std::fs::read(dir.path().join("rural-dibao/rural_dibao.sql")).unwrap();
    let (script, _, lost) = GBK.decode(&script);
    assert!(!lost && script.contains("INSERT INTO T_HJXX (hzbh,") && !script.contains("rv,"));
}

#[tokio::test]
async fn mysql_has_its_accidents_with_text_and_dates() {
    let (dir, _) = export(32, 20_000).await;
    let mut db = open(dir.path(), "temp-aid").await;
    assert!(count(&mut db, "SELECT count(*) FROM jz_apply WHERE approved_at = '0000-00-00 00:00:00'").await > 0);
    assert!(count(&mut db, "SELECT count(*) FROM jz_apply WHERE unicode(name) < 256").await > 0, "encoded twice");
    let mut db = open(dir.path(), "relief-donation").await;
    let donors = sqlx::query("SELECT donor, amount FROM jz_donation").fetch_all(&mut db).await.unwrap();
    for row in &donors {
        let stored: String = row.get(0);
        let bytes: Vec<u8> = stored.chars().map(|character| u8::try_from(character).unwrap()).collect();
        assert!(!GBK.decode(&bytes).2, "latin1 characters are the bytes of GBK");
    }
    let floats = donors.iter().filter(|row| row.get::<f64, _>(1).fract() != 0.0).count();
    assert!(floats > 0 && donors.len() > 150);
}

#[tokio::test]
async fn couples_marry_on_working_days_and_are_old_enough() {
    let (dir, _) = export(33, 20_000).await;
    let mut db = open(dir.path(), "marriage").await;
    let sundays = "SELECT count(*) FROM HYDJ WHERE strftime('%w', DJRQ) IN ('0', '6')";
    assert_eq!(count(&mut db, sundays).await, 0);
    let young = "SELECT count(*) FROM HYDJ WHERE julianday(DJRQ) - julianday(NFCSRQ) < 22 * 365.25";
    assert_eq!(count(&mut db, young).await, 0);
    for kind in ["IA", "IB", "ICA"] {
        let rows = sqlx::query("SELECT 1 FROM HYDJ WHERE YWLX = ?").bind(kind).fetch_all(&mut db).await.unwrap();
        assert!(!rows.is_empty(), "no {kind}");
    }
    assert!(count(&mut db, "SELECT count(*) FROM HYDJ WHERE ZSBH LIKE '%字第%号'").await > 0);
}

#[tokio::test]
async fn notices_and_veterans_are_in_the_bytes_of_their_time() {
    let (dir, summary) = export(34, 20_000).await;
    let mut amounts = 0;
    for entry in std::fs::read_dir(dir.path().join("disclosure")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let (text, _, lost) = GB18030.decode(&bytes);
        assert!(!lost && text.lines().last().unwrap().starts_with("EOF,"));
        amounts += text.matches(",\"1,").count();
    }
    assert!(amounts > 0, "no amount with a thousands comma");
    let mut lines = 0;
    for entry in std::fs::read_dir(dir.path().join("veterans-benefit")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert_eq!(bytes.len() % 109, 0);
        assert!(bytes.chunks(109).all(|line| line.ends_with(b"\r\n")));
        lines += bytes.len() as u64 / 109;
    }
    assert_eq!(lines, summary.systems["veterans-benefit"].rows);
}

#[tokio::test]
async fn archives_workbooks_and_answers_have_their_shape() {
    let (dir, summary) = export(35, 20_000).await;
    let archive = std::fs::read(dir.path().join("tekun/TK201707.ZIP")).unwrap();
    assert!(archive.starts_with(b"PK\x03\x04"));
    let names = String::from_utf8_lossy(&archive);
    assert!(names.contains(".DBF") && names.contains(".FPT"));
    for (system, prefix) in [("assist-oversight", "JG_"), ("rural-welfare", "FW_"), ("grassroots-registry", "JC_")] {
        for entry in std::fs::read_dir(dir.path().join(system)).unwrap() {
            let path = entry.unwrap().path();
            assert!(path.file_name().unwrap().to_str().unwrap().starts_with(prefix));
            assert!(std::fs::read(path).unwrap().starts_with(b"PK"));
        }
    }
    let mut rows = 0;
    for entry in std::fs::read_dir(dir.path().join("shelter")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(text.contains("<![CDATA[<?xml version=\"1.0\" encoding=\"GBK\"?>") && !text.contains('@'));
        rows += text.matches("<row>").count() as u64;
    }
    assert_eq!(rows, summary.systems["shelter"].rows);
}

#[tokio::test]
async fn four_vendors_speak_four_dialects() {
    let (dir, summary) = export(36, 60_000).await;
    let folder = dir.path().join("smart-community");
    let system = &summary.systems["smart-community"];
    for (file, key) in [("dongzhan.ndjson", "eventId"), ("jianguo.ndjson", "事件编号"), ("fengman.ndjson", "grid_code")] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(text.lines().count() as u64, system.objects[file.split('.').next().unwrap()]);
        assert!(text.lines().all(|line| line.contains(key)));
    }
    let bytes = std::fs::read(folder.join("chuanying.gbk")).unwrap();
    let (text, _, lost) = GBK.decode(&bytes);
    assert!(!lost && text.lines().all(|line| line.ends_with("</EVENT></EVENTS>")));
}

/// What is planted as refused is one fault a row.
#[tokio::test]
async fn a_row_is_refused_for_one_reason() {
    let (dir, _) = export(37, PERSONS).await;
    for slug in SYSTEMS {
        let mut seen = BTreeSet::new();
        for fault in faults(dir.path(), slug) {
            if fault["outcome"] == "rejected" && !fault["row"].is_empty() {
                let place = (fault["file"].clone(), fault["object"].clone(), fault["row"].clone());
                assert!(seen.insert(place.clone()), "{slug}: two faults at {place:?}");
            }
        }
    }
}
