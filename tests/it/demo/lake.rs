//! The lake as another program reads it, against what the books say was delivered.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use civilhub::store::Store;

/// Rows of every table equal the deliveries that the ledger proves, table by table and in all.
pub async fn agrees(data: &Path) {
    let proven = proven(data).await;
    let hub: BTreeMap<String, u64> = civilhub::deliver::lake::counts(data.join("lake").to_str().unwrap(), &Default::default())
        .await
        .unwrap()
        .into_iter()
        .filter(|(_, rows)| *rows > 0)
        .collect();
    let tables: BTreeMap<String, u64> = match python() {
        Ok(python) => read(&python, &data.join("lake")),
        Err(reason) => {
            println!("the Python package is not to be had ({reason}): the tables are read by the hub itself");
            hub.clone()
        }
    };
    println!("lake: {tables:?}");
    assert_eq!(tables, proven, "rows of the tables against the receipts in the ledger");
    assert_eq!(tables, hub);
    let delivered: i64 = super::program::books(data).values().map(|line| line["delivered"]).sum();
    assert_eq!(i64::try_from(tables.values().sum::<u64>()).unwrap(), delivered, "the books");
}

/// Deliveries to the lake by dataset, from the ledger.
async fn proven(data: &Path) -> BTreeMap<String, u64> {
    let store = Store::open(&format!("sqlite://{}", data.join("hub.db").display())).await.unwrap();
    let sql =
        "SELECT dataset, COUNT(*) FROM ledger WHERE kind = 'delivered' AND chain = 'deliver.bigdata-platform' GROUP BY dataset";
    let rows = store.read(sql, &[]).await.unwrap();
    store.close().await;
    rows.iter().map(|row| (row.text(0), u64::try_from(row.int(1)).unwrap())).collect()
}

/// A Python with `deltalake`, in an environment of its own beside the build.
fn python() -> Result<PathBuf, String> {
    let venv = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("lake-python");
    let python = venv.join("bin/python");
    let has = || Command::new(&python).args(["-c", "import deltalake"]).output().is_ok_and(|done| done.status.success());
    if has() {
        return Ok(python);
    }
    let step = |program: &Path, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).env("PIP_DISABLE_PIP_VERSION_CHECK", "1").output();
        match done {
            Ok(done) if done.status.success() => Ok(()),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).lines().last().unwrap_or("failed").to_owned()),
            Err(error) => Err(error.to_string()),
        }
    };
    step(Path::new("python3"), &["-m", "venv", venv.to_str().unwrap()])?;
    step(&python, &["-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "20", "deltalake", "pyarrow"])?;
    if has() { Ok(python) } else { Err("it does not start".to_owned()) }
}

fn read(python: &Path, lake: &Path) -> BTreeMap<String, u64> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/read_lake.py");
    let mut child =
        Command::new(python).args([script, lake.to_str().unwrap()]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let started = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(120), "read_lake.py hangs");
        std::thread::sleep(Duration::from_millis(50));
    }
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success());
    let mut counts = BTreeMap::new();
    for line in String::from_utf8(done.stdout).unwrap().lines() {
        let table: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(table["rows"], table["deliveries"], "each delivery once: {table}");
        counts.insert(table["dataset"].as_str().unwrap().to_owned(), table["rows"].as_u64().unwrap());
    }
    counts.retain(|_, rows| *rows > 0);
    counts
}
