//! The drop folder.

use civilhub::adapter::source::file::FILE_CHANGED;

use super::*;

const SOURCE: &str = "kind = 'file'\nsettle = '20ms'";
const CSV: &str = "files = '*.csv'\nformat = 'csv'\nencoding = 'UTF-8'";

/// Files left in the drop folder itself, and those in one of its subfolders.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn files_are_read_in_order_of_name_and_archived() {
    let place = Place::new().await;
    let folder = place.drop_folder();
    fs::write(folder.join("b.csv"), "A\n5\n").unwrap();
    fs::write(folder.join("a.csv"), "A\n1\n2\n3\n4,x\n").unwrap();
    fs::write(folder.join("c.csv.tmp"), "A\n9\n").unwrap();
    let (mut source, mut position) = (place.open(SOURCE, CSV).unwrap(), Position::default());
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!(rows, [json!({"A": "1"}), json!({"A": "2"}), json!({"A": "3"}), json!({"A": "5"})]);
    assert_eq!((faults.len(), faults[0].place.file.as_deref(), faults[0].place.row), (1, Some("a.csv"), Some(5)));
    assert_eq!(names(&folder), ["c.csv.tmp"]);
    assert_eq!(names(&folder.join(".done")), ["a.csv", "b.csv"]);
}

#[tokio::test]
async fn the_same_content_is_not_read_twice_whatever_its_name() {
    let place = Place::new().await;
    let folder = place.drop_folder();
    let (mut source, mut position) = (place.open(SOURCE, CSV).unwrap(), Position::default());
    for (name, rows) in [("a.csv", 1), ("a.csv", 0), ("z.csv", 0)] {
        fs::write(folder.join(name), "A\n1\n").unwrap();
        assert_eq!(drain(&mut *source, &mut position).await.0.len(), rows);
    }
    let repeats = place.context.store.read("SELECT repeats FROM file_seen", &[]).await.unwrap();
    assert_eq!(repeats.iter().map(|row| row.int(0)).collect::<Vec<_>>(), [2]);
    assert!(names(&folder).is_empty());
}

/// The process dies after each step in turn; a new one goes on from the last stored position.
#[tokio::test]
async fn a_crash_at_any_step_repeats_rows_but_loses_none() {
    for died_after in 0..8 {
        let place = Place::new().await;
        let folder = place.drop_folder();
        fs::write(folder.join("a.csv"), "A\n1\n2\nbad,row\n4\n5\n").unwrap();
        let (mut source, mut position, mut step) = (place.open(SOURCE, CSV).unwrap(), Position::default(), 0);
        let mut all = Vec::new();
        for _ in 0..20 {
            let batch = source.read(&position, 2).await.unwrap();
            all.extend(origins(&batch));
            all.extend(batch.bad.iter().map(|bad| bad.origin.clone()));
            let more = batch.more;
            // Steps: rows handed over, position stored, file put away.
            let mut crash = || {
                step += 1;
                step == died_after
            };
            if crash() {
                source = place.open(SOURCE, CSV).unwrap();
                continue;
            }
            position = batch.next;
            if crash() {
                source = place.open(SOURCE, CSV).unwrap();
                continue;
            }
            source.stored(&position).await.unwrap();
            if !more {
                break;
            }
        }
        let repeated = all.len();
        all.sort();
        all.dedup();
        let numbers: Vec<&str> = all.iter().map(|origin| origin.split_once('#').unwrap().1).collect();
        assert_eq!(numbers, ["2", "3", "4", "5", "6"], "died after step {died_after}");
        assert!(repeated <= 7);
        assert_eq!(
            (names(&folder).len(), names(&folder.join(".done"))),
            (0, vec!["a.csv".to_owned()]),
            "died after step {died_after}"
        );
    }
}

/// It dies between noting the file as seen and moving it.
#[tokio::test]
async fn a_file_noted_but_not_moved_is_moved_and_is_no_repeat() {
    let place = Place::new().await;
    let folder = place.drop_folder();
    fs::write(folder.join("a.csv"), "A\n1\n").unwrap();
    let mut source = place.open(SOURCE, CSV).unwrap();
    let mut position = source.read(&Position::default(), 9).await.unwrap().next;
    let digest = position.0["digest"].as_str().unwrap();
    let sql = "INSERT INTO file_seen (system, object, digest, file, records, at, repeats) VALUES ('sample', 'OBJ', $1, 'a.csv', 1, 0, 0)";
    place.context.store.write(sql, &[digest.into()]).await.unwrap();
    let mut source = place.open(SOURCE, CSV).unwrap();
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 0);
    let repeats = place.context.store.read("SELECT repeats FROM file_seen", &[]).await.unwrap();
    assert_eq!((repeats.len(), repeats[0].int(0), names(&folder.join(".done"))), (1, 0, vec!["a.csv".to_owned()]));
}

#[tokio::test]
async fn a_file_refused_whole_is_one_bad_row_and_is_read_again_when_moved_back() {
    let place = Place::new().await;
    let folder = place.drop_folder();
    let object = format!("{CSV}\ntrailer = 'count-md5'");
    fs::write(folder.join("a.csv"), "A\n1\n").unwrap();
    let (mut source, position) = (place.open(SOURCE, &object).unwrap(), Position::default());
    let batch = source.read(&position, 10).await.unwrap();
    assert_eq!((batch.rows.len(), batch.bad.len(), batch.bad[0].raw.as_str()), (0, 1, ""));
    // It dies before the quarantine; the next process does it.
    let mut position = batch.next;
    let mut source = place.open(SOURCE, &object).unwrap();
    assert_eq!(drain(&mut *source, &mut position).await.1.len(), 0);
    let quarantine = folder.join(".quarantine");
    assert_eq!(names(&quarantine), ["a.csv", "a.csv.fault.json"]);
    let faults: Vec<Fault> = serde_json::from_slice(&fs::read(quarantine.join("a.csv.fault.json")).unwrap()).unwrap();
    assert_eq!(faults, batch.bad[0].faults);
    fs::rename(quarantine.join("a.csv"), folder.join("a.csv")).unwrap();
    let mut mended = place.open(SOURCE, CSV).unwrap();
    assert_eq!(drain(&mut *mended, &mut position).await.0, [json!({"A": "1"})]);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_noticed() {
    let place = Place::new().await;
    let folder = place.drop_folder();
    fs::write(folder.join("a.csv"), "A\n1\n2\n3\n4\n").unwrap();
    let mut source = place.open(SOURCE, CSV).unwrap();
    let mut position = source.read(&Position::default(), 2).await.unwrap().next;
    fs::write(folder.join("a.csv"), "A\n7\n8\n").unwrap();
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!(faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), [FILE_CHANGED]);
    assert_eq!(rows, [json!({"A": "7"}), json!({"A": "8"})]);
}

#[tokio::test]
async fn a_file_that_still_grows_waits() {
    let place = Place::new().await;
    let path = place.drop_folder().join("a.csv");
    let mut source = place.open("kind = 'file'\nsettle = '300ms'", CSV).unwrap();
    let writer = tokio::spawn(async move {
        let mut text = "A\n".to_owned();
        for row in 0..5 {
            text.push_str(&format!("{row}\n"));
            fs::write(&path, &text).unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut position = Position::default();
    let batch = source.read(&position, 100).await.unwrap();
    assert!(batch.rows.is_empty() && !writer.is_finished(), "the half-written file was read");
    writer.await.unwrap();
    assert_eq!(drain(&mut *source, &mut position).await.0.len(), 5);
}

#[tokio::test]
async fn links_are_never_followed() {
    let place = Place::new().await;
    let folder = place.drop_folder();
    let secret = place.folder.path().join("secret.csv");
    fs::write(&secret, "A\nsecret\n").unwrap();
    std::os::unix::fs::symlink(&secret, folder.join("a.csv")).unwrap();
    fs::create_dir(folder.join("b.csv")).unwrap();
    let mut source = place.open(SOURCE, CSV).unwrap();
    let (rows, faults) = drain(&mut *source, &mut Position::default()).await;
    assert!(rows.is_empty() && faults.is_empty());
    assert!(secret.exists());
}

#[tokio::test]
async fn a_large_hostile_file_does_not_fill_the_memory_of_a_batch() {
    let place = Place::new().await;
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(1_000_000));
    fs::write(place.drop_folder().join("a.ndjson"), line.repeat(40)).unwrap();
    let mut source = place.open(SOURCE, "files = '*.ndjson'\nformat = 'ndjson'").unwrap();
    let batch = source.read(&Position::default(), 512).await.unwrap();
    assert!(batch.more && batch.rows.len() < 20, "{}", batch.rows.len());
}

/// A workbook whose sheets are objects of their own.
fn workbook(first: &[&str], second_header: &str) -> Vec<u8> {
    use civilhub::simulate::write::xlsx::{Cell, Sheet, bytes};
    let mut sheets = [Sheet::new("一", &["标题"], &["A"]), Sheet::new("二", &[], &[second_header])];
    for text in first {
        sheets[0].push(vec![Cell::text(*text)]);
    }
    sheets[1].push(vec![Cell::text("x")]);
    bytes(&sheets).unwrap()
}

fn two_sheets(place: &Place) -> source::Sources {
    let object = |name: &str, sheet: u8, column: &str| ObjectOptions {
        name: name.to_owned(),
        key: Vec::new(),
        options: format!("files = '*.xlsx'\nformat = 'xlsx'\nsheet = {sheet}\ncolumns = ['{column}']").parse().unwrap(),
    };
    source::open(
        &System::from("sample"),
        &SOURCE.parse().unwrap(),
        &[object("ONE", 1, "A"), object("TWO", 2, "B")],
        &place.context,
    )
    .unwrap()
}

#[tokio::test]
async fn a_workbook_is_put_away_when_all_of_its_sheets_are_read() {
    let place = Place::new().await;
    let folder = place.drop_folder();
    fs::write(folder.join("a.xlsx"), workbook(&["1", "2"], "B")).unwrap();
    fs::write(folder.join("b.xlsx"), workbook(&["3"], "B")).unwrap();
    let mut sources = two_sheets(&place);
    let (mut one, mut two) = (Position::default(), Position::default());
    assert_eq!(drain(&mut *sources[0].1, &mut one).await.0, [json!({"A": "1"}), json!({"A": "2"}), json!({"A": "3"})]);
    assert_eq!(names(&folder), ["a.xlsx", "b.xlsx"]);
    // Nothing of it is read twice while the other object has not had its turn, by this process or the next.
    assert!(drain(&mut *sources[0].1, &mut one).await.0.is_empty());
    assert!(drain(&mut *two_sheets(&place)[0].1, &mut one).await.0.is_empty());
    assert_eq!(drain(&mut *sources[1].1, &mut two).await.0, [json!({"B": "x"}), json!({"B": "x"})]);
    assert!(names(&folder).is_empty());
    assert_eq!(names(&folder.join(".done")), ["a.xlsx", "b.xlsx"]);
    // What one object refuses, no other reads: the workbook is corrected as a whole.
    fs::write(folder.join("c.xlsx"), workbook(&["4"], "C")).unwrap();
    assert_eq!(drain(&mut *sources[0].1, &mut one).await.0.len(), 1);
    let (rows, faults) = drain(&mut *sources[1].1, &mut two).await;
    assert_eq!((rows.len(), faults[0].code), (0, civilhub::adapter::decode::xlsx::HEADER));
    assert_eq!(names(&folder.join(".quarantine")), ["c.xlsx", "c.xlsx.fault.json"]);
}

#[tokio::test]
async fn archives_are_read_member_by_member_and_resumed_inside() {
    use civilhub::simulate::write::zip::{Archive, Names};
    let place = Place::new().await;
    let folder = place.drop_folder();
    let mut archive = Archive::new(Names::Gbk);
    for (name, text) in [("二.csv", "A\n3\n4\n"), ("一.csv", "A\n1\n2\n"), ("三.csv", "B\n1\n")] {
        archive.push(name, text.as_bytes()).unwrap();
    }
    fs::write(folder.join("a.zip"), archive.bytes()).unwrap();
    let options = "archive = '*.zip'\nfiles = '*.csv'\nformat = 'csv'\nencoding = 'UTF-8'\ncolumns = ['A']";
    let mut position = Position::default();
    let mut seen = Vec::new();
    // A new process after every row.
    for _ in 0..20 {
        let batch = place.open(SOURCE, options).unwrap().read(&position, 1).await.unwrap();
        position = batch.next.clone();
        seen.extend(batch.rows.iter().map(|row| format!("{}={}", row.file, row.data["A"].as_str().unwrap())));
        seen.extend(batch.bad.iter().map(|bad| bad.faults[0].to_string()).map(|text| text.split(' ').nth(1).unwrap().to_owned()));
        if !batch.more {
            break;
        }
    }
    assert_eq!(seen, ["a.zip/一.csv=1", "a.zip/一.csv=2", "a.zip/三.csv:1", "a.zip/二.csv=3", "a.zip/二.csv=4"]);
    assert_eq!(names(&folder.join(".done")), ["a.zip"]);
}

#[tokio::test]
async fn a_table_and_its_memos_go_together() {
    use civilhub::{
        adapter::decode::dbf::memo,
        simulate::write::dbf::{CodePage, Field, Memos, Table},
    };
    const FIELDS: [Field; 1] = [Field { name: "BZ", kind: b'M', length: 10, decimals: 0 }];
    let place = Place::new().await;
    let folder = place.drop_folder();
    let (mut table, mut memos) = (Table::new(&FIELDS), Memos::default());
    table.push(&[memos.push("备注")], false);
    let bytes = table.bytes(time::macros::date!(2017 - 07 - 03), CodePage::Gbk);
    let options = "files = 'TK*.DBF'\nformat = 'dbf'\nmemo = 'fpt'";
    let (mut source, mut position) = (place.open(SOURCE, options).unwrap(), Position::default());
    fs::write(folder.join("TK1.DBF"), &bytes).unwrap();
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!((rows.len(), faults[0].code), (0, memo::MISSING));
    fs::write(folder.join("tk1.fpt"), memos.bytes()).unwrap();
    fs::rename(folder.join(".quarantine/TK1.DBF"), folder.join("TK1.DBF")).unwrap();
    assert_eq!(drain(&mut *source, &mut position).await.0, [json!({"BZ": "备注"})]);
    assert_eq!(names(&folder.join(".done")), ["TK1.DBF", "tk1.fpt"]);
    assert!(names(&folder).is_empty());
}
