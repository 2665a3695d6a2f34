//! `urban-dibao`: rows of a database that keeps what no record may hold.

use std::{path::Path, time::Instant};

use civilhub::{adapter::decode, adapter::source::sql::UNREADABLE_WATERMARK, domain::money::MONEY};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::hub::{Expected, Hub};

const SYSTEM: &str = "urban-dibao";
const TABLES: &str = "CREATE TABLE DB_FAMILY (FAMILY_ID TEXT PRIMARY KEY, DOMICILE_CODE TEXT, HEAD_NAME TEXT, CARD_TYPE TEXT, CARD_NO TEXT, PEOPLE_NUM INTEGER, COVERED_NUM INTEGER, MONTH_INCOME TEXT, ASSIST_CLASS TEXT, POVERTY_CAUSE TEXT, STATE_FLAG TEXT, REG_TIME TEXT, MOD_TIME TEXT, IS_DEL TEXT); \
     CREATE TABLE DB_MEMBER (MEMBER_ID TEXT PRIMARY KEY, FAMILY_ID TEXT, NAME TEXT, ID_CARD TEXT, RELATION TEXT, NATION TEXT, HEALTH TEXT, LABOUR TEXT, MOD_TIME TEXT); \
     CREATE TABLE DB_PAY (PAY_ID TEXT PRIMARY KEY, FAMILY_ID TEXT, PAY_MONTH TEXT, PAY_MONEY TEXT, BANK_CODE TEXT, ACCOUNT TEXT, PAY_FLAG TEXT, MOD_TIME TEXT);";

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

/// Three tables and one family, whose MOD_TIME is empty so that only its payments are news.
pub async fn create(path: &Path) {
    let mut connection = connect(path).await;
    sqlx::raw_sql(TABLES).execute(&mut connection).await.unwrap();
    let family = "INSERT INTO DB_FAMILY VALUES ('F1', '220171001001', '王建国', '1', '220171197001010053', 1, 1, '0', 'A', NULL, '70', '20170101000000', NULL, '0')";
    sqlx::raw_sql(family).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// One payment: its number, an SQL expression for the amount and one for the account.
fn pay(number: u32, money: &str, account: &str) -> String {
    format!(
        "INSERT INTO DB_PAY VALUES ('P{number}', 'F1', '201706', {money}, 'JLBANK', {account}, '2', '201707030900{:02}');",
        number % 60
    )
}

pub async fn all(hub: &mut Hub) {
    let account = "'6228650220171234568'";
    let rows = [
        pay(1, "'480.00'", account),
        pay(2, "'480.00'", "CAST(x'41004200' AS TEXT)"),
        pay(3, "'480.00'", "printf('%.*c', 5242880, 'x')"),
        pay(4, "'12.x'", account),
        pay(5, "'1e400'", account),
        pay(6, "9007199254740993", account),
        pay(7, "'9007199254.99'", account),
        pay(8, "'480.00'", "CAST(x'ff80c3' AS TEXT)"),
        pay(9, "1e400", account),
        pay(10, "replace(printf('%.*c', 100000, 'x'), 'x', '[')", account),
        pay(11, "'480.00'", account),
        "INSERT INTO DB_PAY VALUES ('P12', 'F1', '201706', '1.00', 'JLBANK', '1', '2', NULL);".to_owned(),
    ];
    let started = Instant::now();
    let mut connection = connect(&hub.path("dibao.sqlite")).await;
    // One statement after the other: the hub reads in between.
    for row in &rows {
        sqlx::raw_sql(sqlx::AssertSqlSafe(row.clone())).execute(&mut connection).await.unwrap();
    }
    let mut expected: Vec<Expected> =
        vec![(decode::NUL, None, Some("ACCOUNT")), (decode::ROW_TOO_LONG, None, None), (decode::ENCODING, None, Some("ACCOUNT"))];
    expected.extend(std::iter::repeat_n((MONEY, None, Some("PAY_MONEY")), 5));
    hub.comes(SYSTEM, "DB_PAY", &expected, 3).await;
    println!("{SYSTEM:16} DB_PAY {} rows {:>5} ms", rows.len(), started.elapsed().as_millis());
    sqlx::raw_sql(sqlx::AssertSqlSafe(pay(20, "'480.00'", account))).execute(&mut connection).await.unwrap();
    hub.comes(SYSTEM, "DB_PAY", &expected, 4).await;
    // A row without watermark is never read, and said so once a day.
    hub.comes(SYSTEM, "DB_FAMILY", &[(UNREADABLE_WATERMARK, None, Some("MOD_TIME"))], 4).await;
    connection.close().await.unwrap();
}
