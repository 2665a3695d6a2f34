//! Bank simulators that take queries as JSON. What they answer is decided by the digits 15 to 17 of the number:
//!
//! | digits | the bank |
//! |---|---|
//! | 901 | knows nobody of this number |
//! | 902 | finds the number under another name |
//! | 903 | answers about somebody else |
//! | 904 | has a foreign account only |
//! | 905 | is away: 503 |
//! | 906 | answers after three seconds |
//! | 907 | refuses: 422 |
//! | 908 | says that it will answer later, and does not |
//! | 909 | answers something that is not JSON |
//! | any other | has an account whose balance follows from bank and number |

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

/// One simulated bank.
struct Bank {
    code: String,
    /// Every query that arrived, one line each: packets are counted here.
    seen: Mutex<std::fs::File>,
}

/// Where a bank notes what arrives.
pub fn seen_by(dir: &Path, code: &str) -> PathBuf {
    dir.join(format!("{code}.ndjson"))
}

/// Starts one bank on a free loopback port; it lives as long as the runtime.
///
/// # Errors
/// When the folder cannot be written or no port is free.
pub async fn start(dir: &Path, code: &str) -> std::io::Result<SocketAddr> {
    std::fs::create_dir_all(dir)?;
    let file = std::fs::OpenOptions::new().create(true).append(true).open(seen_by(dir, code))?;
    let bank = Arc::new(Bank { code: code.to_owned(), seen: Mutex::new(file) });
    let app = Router::new().route("/query", post(query)).with_state(bank);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

async fn query(State(bank): State<Arc<Bank>>, Json(query): Json<Value>) -> Response {
    let noted = writeln!(bank.seen.lock().unwrap_or_else(PoisonError::into_inner), "{query}");
    if noted.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let number = query["subject"]["id_number"].as_str().unwrap_or_default();
    let mut answer = json!({ "query_no": query["query_no"], "subject": query["subject"], "outcome": "FOUND" });
    match number.get(14..17).unwrap_or_default() {
        "901" => answer["outcome"] = "NONE".into(),
        "902" => answer["outcome"] = "MISMATCH".into(),
        "903" => answer["subject"]["id_number"] = "220171197001010053".into(),
        "904" => answer["answers"] = json!([{ "account_no": "0001", "currency": "USD", "balance": "100.00" }]),
        "905" => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        "906" => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            answer["answers"] = account(&bank.code, number);
        }
        "907" => return StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        "908" => return StatusCode::ACCEPTED.into_response(),
        "909" => return "hello".into_response(),
        _ => answer["answers"] = account(&bank.code, number),
    }
    Json(answer).into_response()
}

fn account(bank: &str, number: &str) -> Value {
    json!([{ "account_no": format!("62280000{}", number.get(10..).unwrap_or_default()), "account_type": "1", "account_status": "0",
        "currency": "CNY", "balance": balance(bank, number), "wealth_value": "0.00" }])
}

/// The balance of a number at a bank: the truth that a test compares with.
pub fn balance(bank: &str, number: &str) -> String {
    let sum = bank.bytes().chain(number.bytes()).fold(7_u64, |sum, byte| (sum * 31 + u64::from(byte)) % 100_003);
    format!("{}.{:02}", sum / 100, sum % 100)
}
