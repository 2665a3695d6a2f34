//! Sources against real folders, databases and servers: what is read, what is read again after a crash, what is refused.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use civilhub::{
    adapter::source::{self, Batch, Error, ObjectOptions, Position, Source, SourceContext},
    envelope::System,
    error::Fault,
    store::Store,
};
use serde_json::{Value, json};
use tempfile::TempDir;

mod databases;
mod dialects;
mod file;
mod http;
mod sftp;
mod soap;
mod sql;
mod tokens;

/// A store and an inbox of their own.
struct Place {
    folder: TempDir,
    context: SourceContext,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}/hub.db", folder.path().display())).await.unwrap();
        store.migrate().await.unwrap();
        let context = SourceContext { store, inbox: folder.path().join("inbox"), env: BTreeMap::new() };
        Self { folder, context }
    }

    fn open(&self, source: &str, object: &str) -> Result<Box<dyn Source>, Vec<Fault>> {
        let options: toml::Table = object.parse().unwrap();
        let key = options.get("key").map(|key| key.clone().try_into().unwrap()).unwrap_or_default();
        let object = ObjectOptions { name: "OBJ".to_owned(), key, options };
        let mut sources = source::open(&System::from("sample"), &source.parse().unwrap(), &[object], &self.context)?;
        Ok(sources.remove(0).1)
    }

    fn drop_folder(&self) -> PathBuf {
        let path = self.context.inbox.join("sample");
        fs::create_dir_all(&path).unwrap();
        path
    }
}

/// Reads on until nothing more waits, storing every position; the rows' data.
async fn drain(source: &mut dyn Source, position: &mut Position) -> (Vec<Value>, Vec<Fault>) {
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for _ in 0..1000 {
        let batch = source.read(position, 3).await.unwrap();
        *position = batch.next.clone();
        source.stored(position).await.unwrap();
        rows.extend(batch.rows.into_iter().map(|row| row.data));
        faults.extend(batch.bad.into_iter().flat_map(|bad| bad.faults));
        if !batch.more {
            return (rows, faults);
        }
    }
    panic!("the source never comes to an end");
}

fn origins(batch: &Batch) -> Vec<String> {
    batch.rows.iter().map(|row| row.origin.clone()).collect()
}

#[tokio::test]
async fn wrong_options_of_all_objects_are_listed_at_once() {
    let place = Place::new().await;
    let object =
        |name: &str, options: &str| ObjectOptions { name: name.into(), key: Vec::new(), options: options.parse().unwrap() };
    let objects = [object("A", "files = '*.csv'\nformat = 'cvs'"), object("B", "files = '../x'\nformat = 'csv'\ndelimitr = ';'")];
    let faults = source::open(&System::from("s"), &"kind = 'file'".parse().unwrap(), &objects, &place.context).err().unwrap();
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 3, "{texts:?}");
    assert!(texts[0].contains("/object/A") && texts[0].contains("did you mean `csv`?"), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("did you mean `delimiter`?")), "{texts:?}");
    let faults = place.open("kind = 'sqll'", "").err().unwrap();
    assert_eq!((faults[0].code, faults[0].hint.as_deref()), (source::UNKNOWN_KIND, Some("did you mean `sql`?")));
    let faults = place.open("kind = 'sql'\nurl = '${HUB_TEST_NO_SUCH_URL}'", "").err().unwrap();
    assert_eq!(faults[0].code, source::secrets::SECRET_MISSING);
}

/// `civilhub check` opens every source without a runtime and without a network.
#[test]
fn options_are_checked_without_a_runtime() {
    let place = tokio::runtime::Runtime::new().unwrap().block_on(Place::new());
    let sql = "table = 't'\nkey = ['id']\nwatermark = 'w'";
    for url in ["sqlite:///no/such.db", "postgres://u:secret@127.0.0.1:1/x", "mysql://u@127.0.0.1:1/x"] {
        assert!(place.open(&format!("kind = 'sql'\nurl = '{url}'"), sql).is_ok(), "{url}");
    }
    let pull = "path = '/x'\nkey = ['id']\nupdated = 'u'";
    assert!(place.open("kind = 'http_pull'\nbase = 'https://legacy.invalid'", pull).is_ok());
    let faults = place.open("kind = 'sql'\nurl = 'oracle://u:secret@x'", sql).err().unwrap();
    assert!(!faults[0].to_string().contains("secret"));
}
