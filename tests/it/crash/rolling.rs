//! Every role is replaced while records flow: no record is lost, nothing happens twice, and a partner that fetches all the time
//! sees no error. As on Kubernetes: the successor of a role that may run twice is ready before the old process is asked to
//! stop, and gets the requests from then on; of the others the old one ends first.
//!
//! Once in the suite; `make rolling` replaces every role ten times.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{process::Child, task::JoinHandle, time::sleep};

use super::{Province, Stub, all_is_well, drain, ends_well, hub, province::HandIn};
use crate::support::{
    eventually,
    hub::{Backends, HubFolder, total},
    signal,
};

/// Enough for a load that lasts until every role is replaced.
fn persons() -> u64 {
    if rounds() > 1 { 1_500 } else { 600 }
}

/// Roles of which two may run, and roles of which one ends before the next begins.
const SIDE_BY_SIDE: [&str; 4] = ["api", "router", "router", "exchange"];
const ONE_BY_ONE: [&str; 2] = ["deliver", "adapters"];
const STARTED: Duration = Duration::from_secs(60);
const TOKEN: &str = "a-token-of-the-rolling-restart-0123456789";

fn rounds() -> usize {
    std::env::var("CIVILHUB_ROLLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

struct Process {
    role: &'static str,
    address: String,
    child: Child,
}

impl Process {
    /// Starts a role and waits until it says that it is ready.
    async fn start(hub: &HubFolder, role: &'static str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut own = hub.clone();
        own.set("CIVILHUB__HTTP__LISTEN", &address);
        let child = own.start(&["serve", role]);
        let url = format!("http://{address}/readyz");
        let ready = async || reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200);
        eventually(STARTED, &format!("{role} is ready"), ready).await;
        Self { role, address, child }
    }

    /// Asks it to stop: it ends well, and its log says that it has drained.
    async fn stop(mut self, hub: &HubFolder) {
        let before = hub.log_lines("the hub has drained");
        signal("-TERM", &self.child.id().unwrap().to_string()).await;
        ends_well(hub, &mut self.child).await;
        assert_eq!(hub.log_lines("the hub has drained"), before + 1, "{} has not said that it drained", self.role);
    }
}

/// A partner that fetches its mailbox all the time from wherever it is led.
struct Partner {
    door: Arc<Mutex<String>>,
    /// Ids of what it has, each once.
    has: Arc<Mutex<BTreeSet<String>>>,
    errors: Arc<Mutex<Vec<String>>>,
    /// Pages that were asked for and acknowledged.
    fetches: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Partner {
    fn begin(address: &str) -> Self {
        let door = Arc::new(Mutex::new(address.to_owned()));
        let has: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let errors: Arc<Mutex<Vec<String>>> = Arc::default();
        let (to, kept, wrong) = (Arc::clone(&door), Arc::clone(&has), Arc::clone(&errors));
        let fetches = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&fetches);
        let task = tokio::spawn(async move {
            let mut cursor = 0;
            loop {
                let address = to.lock().unwrap().clone();
                match fetch(&address, cursor).await {
                    Ok((ids, next)) => {
                        for id in ids {
                            if !kept.lock().unwrap().insert(id.clone()) {
                                wrong.lock().unwrap().push(format!("{id} came twice"));
                            }
                        }
                        cursor = next;
                    }
                    Err(error) => wrong.lock().unwrap().push(error),
                }
                count.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(20)).await;
            }
        });
        Self { door, has, errors, fetches, task }
    }

    /// Leads it to another address, as a service does; returns when no request goes to the old one any more.
    async fn lead_to(&self, address: &str) {
        address.clone_into(&mut self.door.lock().unwrap());
        let before = self.fetches.load(Ordering::Relaxed);
        let turned = async || self.fetches.load(Ordering::Relaxed) >= before + 2;
        eventually(STARTED, "the partner asks the new process", turned).await;
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One page and its acknowledgement: delivery ids, and where to go on.
async fn fetch(address: &str, cursor: i64) -> Result<(Vec<String>, i64), String> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let base = format!("http://{address}/v1/mailbox/box");
    let page = client
        .get(format!("{base}/events?after={cursor}&limit=500"))
        .bearer_auth(TOKEN)
        .send()
        .await
        .map_err(|error| format!("{error:?}"))?;
    if page.status() != 200 {
        return Err(format!("{} when fetching", page.status()));
    }
    let page: Value = page.json().await.map_err(|error| error.to_string())?;
    let next = page["next"].as_i64().unwrap();
    if next > cursor {
        let ack = client.post(format!("{base}/ack")).bearer_auth(TOKEN).json(&serde_json::json!({ "cursor": next }));
        let ack = ack.send().await.map_err(|error| format!("{error:?}"))?;
        if !ack.status().is_success() {
            return Err(format!("{} when acknowledging", ack.status()));
        }
    }
    let events = page["events"].as_array().unwrap();
    Ok((events.iter().map(|one| one["event"]["deliveryid"].as_str().unwrap().to_owned()).collect(), next))
}

/// A third partner, with a mailbox and every dataset.
fn add_mailbox(dir: &Path) {
    let lake = std::fs::read_to_string(dir.join("partners/bigdata-platform.toml")).unwrap();
    let transport = "kind = \"mailbox\"\ntoken = \"${BOX_TOKEN}\"\ncapacity = 1000000\n";
    let file = lake.replace("slug = \"bigdata-platform\"", "slug = \"box\"").replace("kind = \"lake\"\n", transport);
    std::fs::write(dir.join("partners/box.toml"), file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_is_replaced_under_load() {
    let province = Province::write(persons()).await;
    let stub = Stub::start().await;
    let mut hub = hub(&province, "rolling", Backends::servers().await, &stub, 0);
    hub.set("BOX_TOKEN", TOKEN);
    add_mailbox(&province.dir().join("rolling"));
    let mut processes = Vec::new();
    for role in SIDE_BY_SIDE.into_iter().chain(ONE_BY_ONE) {
        processes.push(Process::start(&hub, role).await);
    }
    let partner = Partner::begin(&processes[0].address);
    let mut files = HandIn::new(&province);
    let portion = files.left() / (8 * rounds());
    let roles = SIDE_BY_SIDE.into_iter().chain(ONE_BY_ONE);
    let turns = (0..rounds()).flat_map(|_| roles.clone());
    for role in turns {
        let began = Instant::now();
        files.step(&hub, portion);
        let place = processes.iter().position(|process| process.role == role).unwrap();
        let old = processes.remove(place);
        if ONE_BY_ONE.contains(&role) {
            old.stop(&hub).await;
            processes.push(Process::start(&hub, role).await);
        } else {
            processes.push(Process::start(&hub, role).await);
            if role == "api" {
                partner.lead_to(&processes.last().unwrap().address).await;
            }
            old.stop(&hub).await;
        }
        println!("{role} replaced in {:.1?}, {} files left", began.elapsed(), files.left());
    }
    while files.left() > 0 {
        files.step(&hub, usize::MAX);
        sleep(Duration::from_millis(200)).await;
    }
    let all = async || {
        let books = hub.books().await;
        total(&books, "received") > 0 && total(&books, "in_flight") == 0 && total(&books, "gap") == 0
    };
    eventually(Duration::from_secs(90), "everything is delivered", all).await;
    let expected = async || {
        let has = partner.has.lock().unwrap().len();
        i64::try_from(has).unwrap() == total(&hub.books().await, "delivered")
    };
    eventually(STARTED, "the partner has everything", expected).await;
    assert_eq!(*partner.errors.lock().unwrap(), Vec::<String>::new(), "errors at the partner");
    drop(partner);
    for process in processes {
        process.stop(&hub).await;
    }
    drain(&hub).await;
    all_is_well(&hub, &stub).await;
}
