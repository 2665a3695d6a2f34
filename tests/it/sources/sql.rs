//! What the SQL source does whatever the database; `databases` has what each of them must do.

use super::{
    databases::{Db, OBJECT, ids},
    *,
};

#[tokio::test]
async fn a_crash_repeats_a_batch_with_the_same_origins() {
    let place = Place::new().await;
    let db = Db::sqlite(&place).await;
    db.tables().await;
    for id in 0..5 {
        db.put(&format!("F{id}"), "a", "20170703090000").await;
    }
    let mut source = db.source(&place, OBJECT);
    let first = source.read(&Position::default(), 2).await.unwrap();
    let second = source.read(&first.next, 2).await.unwrap();
    let mut again = db.source(&place, OBJECT);
    assert_eq!(origins(&again.read(&first.next, 2).await.unwrap()), origins(&second));
    assert_eq!(origins(&again.read(&Position::default(), 2).await.unwrap()), origins(&first));
    assert!(first.more && origins(&first)[0].starts_with("20170703090000/F0/"));
}

#[tokio::test]
async fn children_are_nested_and_a_changed_child_makes_news_of_its_parent() {
    let place = Place::new().await;
    let db = Db::sqlite(&place).await;
    db.tables().await;
    db.put("F1", "a", "20170703090000").await;
    db.put("F2", "b", "20170703090001").await;
    db.run("INSERT INTO \"T_MEMBER\" VALUES (1, 'F1', 'x'), (2, 'F1', 'y'), (3, 'F9', 'z')").await;
    let object = format!("{OBJECT}\nchildren = [{{ name = 'MEMBERS', table = 't_member', on = 'ID' }}]");
    let (mut source, mut position) = (db.source(&place, &object), Position::default());
    let (rows, _) = drain(&mut *source, &mut position).await;
    let members = json!([{"MEMBER_ID": "1", "ID": "F1", "NAME": "x"}, {"MEMBER_ID": "2", "ID": "F1", "NAME": "y"}]);
    assert_eq!(
        rows[0],
        json!({"ID": "F1", "NAME": "a", "INCOME": null, "MOD_TIME": "20170703090000", "MEMBERS": sorted(members)})
    );
    assert_eq!(rows[1]["MEMBERS"], json!([]));
    db.run("UPDATE \"T_MEMBER\" SET \"NAME\" = 'yy' WHERE \"MEMBER_ID\" = 2").await;
    assert_eq!(ids(&drain(&mut *source, &mut position).await.0), ["F1"]);
}

fn sorted(mut value: Value) -> Value {
    value.as_array_mut().unwrap().sort_by_cached_key(Value::to_string);
    value
}

#[tokio::test]
async fn rows_that_no_watermark_reaches_are_reported_once_a_day_and_hide_nothing() {
    let place = Place::new().await;
    let db = Db::sqlite(&place).await;
    db.tables().await;
    db.put("A", "a", "20170703090000").await;
    db.put("B", "b", "99991231235959").await;
    db.put("D", "d", "ZZZ").await;
    db.run("INSERT INTO \"T_FAMILY\" VALUES ('C', 'c', 1, NULL)").await;
    let (mut source, mut position) = (db.source(&place, OBJECT), Position::default());
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!((ids(&rows), faults.len()), (vec!["A"], 1));
    assert_eq!(faults[0].code, source::sql::UNREADABLE_WATERMARK);
    assert!(faults[0].message.starts_with("3 rows"));
    db.put("E", "e", "20170703090100").await;
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!((ids(&rows), faults.len()), (vec!["E"], 0));
}

#[tokio::test]
async fn numbers_counters_and_blobs_keep_their_digits() {
    let place = Place::new().await;
    let db = Db::sqlite(&place).await;
    db.run("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, r REAL, b BLOB, v INTEGER)").await;
    db.run("INSERT INTO t VALUES (1, 9007199254740993, 0.1, x'00ff', 9), (2, -1, 12.5, 'a' || char(0) || 'b', 10)").await;
    let object = "table = 't'\nkey = ['id']\nwatermark = 'v'\nwatermark_format = 'integer'\noverlap = 1";
    let (mut source, mut position) = (db.source(&place, object), Position::default());
    let (rows, faults) = drain(&mut *source, &mut position).await;
    assert_eq!(rows, [json!({"id": "1", "n": "9007199254740993", "r": "0.1", "b": "00ff", "v": "9"})]);
    assert_eq!((faults.len(), faults[0].place.column.as_deref()), (1, Some("b")));
    db.run("INSERT INTO t VALUES (3, 1, 1, 'x', 11), (4, 1, 1, 'x', 9)").await;
    let read = drain(&mut *source, &mut position).await.0;
    assert_eq!(read.iter().map(|row| &row["id"]).collect::<Vec<_>>(), ["4", "3"]);
}

#[tokio::test]
async fn a_bulk_load_of_one_second_keeps_the_position_small() {
    let place = Place::new().await;
    let db = Db::sqlite(&place).await;
    db.tables().await;
    db.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 15000)
         INSERT INTO \"T_FAMILY\" SELECT printf('F%06d', i), 'a', NULL, '20170703090000' FROM n",
    )
    .await;
    let (mut source, mut position) = (db.source(&place, OBJECT), Position::default());
    let mut rows = 0;
    for round in 0..40 {
        let batch = source.read(&position, 512).await.unwrap();
        position = batch.next;
        rows += batch.rows.len();
        assert!(position.0.to_string().len() < 300_000, "round {round}");
    }
    assert_eq!(rows, 15_000);
    db.put("Z", "a", "20170703090001").await;
    assert_eq!(source.read(&position, 512).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn missing_databases_tables_and_columns_are_told_apart() {
    let place = Place::new().await;
    let gone = place.open("kind = 'sql'\nurl = 'sqlite:///no/such/file.db'", OBJECT).unwrap().read(&Position::default(), 1).await;
    assert!(matches!(gone, Err(Error::Unreachable(_))), "{gone:?}");
    let db = Db::sqlite(&place).await;
    let missing = db.source(&place, OBJECT).read(&Position::default(), 1).await;
    assert!(matches!(&missing, Err(Error::Refused(fault)) if fault.code == source::sql::TABLE), "{missing:?}");
    db.tables().await;
    let object = format!("{OBJECT}\ncolumns = ['NAMEE']");
    let wrong = db.source(&place, &object).read(&Position::default(), 1).await;
    assert!(matches!(&wrong, Err(Error::Refused(fault)) if fault.hint.as_deref() == Some("did you mean `NAME`?")), "{wrong:?}");
    let faults =
        place.open("kind = 'sql'\nurl = 'sqlite:x'", "table = 'a; DROP TABLE b'\nkey = ['x']\nwatermark = 'y'").err().unwrap();
    assert_eq!(faults[0].code, source::sql::IDENTIFIER);
}
