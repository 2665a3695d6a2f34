//! The page of `adapter play`: it runs what is written, for this machine's own page alone.

use std::{fs, path::PathBuf, sync::Arc};

use civilhub::{domain::codes::CodeLists, kit::play, schema::SchemaRegistry};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::{SAMPLE, TOML, room};

const TOKEN: &str = "token-of-the-test";
const PROGRAM: &str = r#". = [{ "dataset": "person", "op": "upsert", "key": string!(.BH), "division": "220171000000", "occurred_at": %read_at, "record": { "name": nfkc(.XM) } }]"#;

struct Page {
    _dir: tempfile::TempDir,
    folder: PathBuf,
    port: u16,
    client: Client,
}

impl Page {
    async fn open() -> Self {
        let toml = TOML.replace("encodng", "encoding").replace("\"persn\", ", "");
        let dir = room(&[("adapter.toml", &toml), ("rz.vrl", PROGRAM), ("samples/rz.a.csv", SAMPLE)]);
        let folder = dir.path().join("adapters/shelter");
        let codes = |list: &str, code: &str| {
            CodeLists::embedded().get(list).map(|list| list.find(code).is_some_and(|entry| entry.code == code))
        };
        let registry = SchemaRegistry::load(&dir.path().join("schemas"), Arc::new(codes)).unwrap();
        let listener = play::listen(0).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes = play::routes(&folder, registry, port, TOKEN);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { _dir: dir, folder, port, client: Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).header("x-civilhub-play", TOKEN).json(body)
    }

    async fn run(&self, program: &str, text: Option<&str>) -> Value {
        let body = json!({ "object": "RZ", "program": program, "sample": "rz.a.csv", "text": text });
        let answer = self.post("/api/run", &body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_runs_as_it_is_written_and_is_saved_on_demand_only() {
    let page = Page::open().await;
    let state: Value =
        page.client.get(page.url("/api/state")).header("x-civilhub-play", TOKEN).send().await.unwrap().json().await.unwrap();
    assert_eq!((&state["system"], &state["objects"][0]["samples"][0]["text"]), (&json!("shelter"), &json!(SAMPLE)));
    let told = page.run(PROGRAM, None).await;
    assert_eq!(told["rows"][0]["outputs"][0]["record"]["name"], "张三");
    // The record lacks what the dataset demands: the schema says so.
    assert!(
        told["rows"][0]["faults"].as_array().unwrap().iter().any(|fault| fault["code"].as_str().unwrap().starts_with("CH-41"))
    );
    let told = page.run(PROGRAM, Some("BH,XM\nR9,李四\n")).await;
    assert_eq!(told["rows"][0]["outputs"][0]["key"], "R9");
    let told = page.run(". = nosuch(.BH)", None).await;
    assert_eq!(told["faults"][0]["code"], "CH-3001");
    let file = page.folder.join("rz.vrl");
    assert_eq!(fs::read_to_string(&file).unwrap(), PROGRAM);
    let changed = format!("{PROGRAM}\n# changed\n");
    let answer = page.post("/api/save", &json!({ "object": "RZ", "program": changed })).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(fs::read_to_string(&file).unwrap(), changed);
    let names: Vec<_> = fs::read_dir(&page.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_may_call() {
    let page = Page::open().await;
    let get = |host: &str| page.client.get(page.url("/")).header("host", host.to_owned());
    let own = format!("127.0.0.1:{}", page.port);
    assert_eq!(get(&own).send().await.unwrap().status(), StatusCode::OK);
    // A name that was bound to loopback after the page was loaded from elsewhere.
    for host in ["evil.example".to_owned(), format!("evil.example:{}", page.port), "127.0.0.1".to_owned()] {
        assert_eq!(get(&host).send().await.unwrap().status(), StatusCode::FORBIDDEN, "{host}");
    }
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let answer = get(&own).header("origin", origin).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{origin}");
    }
    let body = json!({ "object": "RZ", "program": ". = []" });
    let answer = page.client.post(page.url("/api/save")).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN, "without the token");
    let long = json!({ "object": "RZ", "program": "#".repeat(2 << 20), "sample": "rz.a.csv", "text": null });
    assert_eq!(page.post("/api/run", &long).send().await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    for sample in ["../adapter.toml", "/etc/hostname", ""] {
        let body = json!({ "object": "RZ", "program": PROGRAM, "sample": sample, "text": null });
        assert_eq!(page.post("/api/run", &body).send().await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY, "{sample}");
    }
    let page_text = page.client.get(page.url("/")).send().await.unwrap().text().await.unwrap();
    assert!(!page_text.contains("{{token}}") && !page_text.contains("http://") && !page_text.contains("https://"));
}
