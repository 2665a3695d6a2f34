//! A flood during a bulk load: reports of townships come shuffled, repeated, late, and some are returned; the province is
//! told the truth at every time, and soon.
//!
//! Long form: `make flood`, 560,000 rows beside 900 reports in a minute.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use civilhub::{
    clock,
    disaster::{self, view},
    domain::division,
    simulate::{
        numbers,
        write::gb18030::{Trailer, TrailerFile},
    },
    store::Store,
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::{
    eventually,
    hub::Backends,
    program::{Running, command},
};

const EVENT: &str = "0102002017071322022101";
const SECRET: &str = "flood-push-secret-of-a-test-of-32";
const TOWNS: usize = 300;
/// Every township reports on these, the first at once.
const TIMES: [&str; 3] = ["2017-07-13 19:00:00", "2017-07-14 00:00:00", "2017-07-15 00:00:00"];
/// Reports of the second time whose figures are a slip, and that the county returns.
const SLIPS: usize = 20;
const SENDERS: usize = 8;

/// One report as a township sends it.
#[derive(Clone)]
struct Body {
    key: String,
    value: Value,
}

struct Flood {
    reports: Vec<Body>,
    /// The same reports as they should have been, for those that are returned.
    corrections: Vec<Body>,
    /// What each township truly has, by time.
    truth: Vec<BTreeMap<String, BTreeMap<&'static str, i64>>>,
    late: BTreeSet<String>,
}

/// Chance that is the same every time.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

fn body(town: &str, seq: usize, kind: &str, submitted: &str, figures: &BTreeMap<&'static str, i64>) -> Body {
    let value = json!({
        "eventNo": EVENT, "divisionCode": town, "reportType": kind, "seq": seq, "hazard": "010200",
        "occurredAt": "2017-07-13 18:00:00", "asOf": TIMES[seq - 1], "submitTime": submitted,
        "indicators": figures, "reporter": { "name": "王建国", "phone": "13800000000" },
    });
    Body { key: format!("{EVENT}-{town}-{seq}"), value }
}

fn flood() -> Flood {
    let towns = division::all().into_iter().filter(|division| division.level == 4).take(TOWNS);
    let mut dice = dice(20_170_713);
    let mut flood =
        Flood { reports: Vec::new(), corrections: Vec::new(), truth: vec![BTreeMap::new(); 3], late: BTreeSet::new() };
    for (place, town) in towns.enumerate() {
        let town = format!("{:012}", town.code);
        let late = dice(10) == 0;
        let mut figures =
            BTreeMap::from([("A02", i64::try_from(dice(4_000)).unwrap()), ("A06", i64::try_from(dice(300)).unwrap())]);
        flood.reports.push(body(&town, 1, "CB", if late { "2017-07-13 20:30:00" } else { "2017-07-13 19:10:00" }, &figures));
        flood.truth[0].insert(town.clone(), figures.clone());
        if late {
            flood.late.insert(format!("{EVENT}-{town}-1"));
        }
        // Half of the townships know of deaths by now; the others say nothing of them, which is not zero.
        *figures.get_mut("A02").unwrap() += 100;
        if dice(2) == 0 {
            figures.insert("A03", i64::try_from(dice(2)).unwrap());
        }
        flood.truth[1].insert(town.clone(), figures.clone());
        let right = body(&town, 2, "XB", "2017-07-14 08:50:00", &figures);
        if place < SLIPS {
            let slip = BTreeMap::from([("A02", figures["A02"] * 10)]);
            flood.reports.push(body(&town, 2, "XB", "2017-07-14 08:00:00", &slip));
            flood.corrections.push(right);
        } else {
            flood.reports.push(right);
        }
        // Of three one has nothing new.
        let zero = dice(3) == 0;
        if !zero {
            *figures.get_mut("A06").unwrap() += 5;
        }
        flood.truth[2].insert(town.clone(), figures.clone());
        let none = BTreeMap::new();
        let kind = if zero { ("LB", &none) } else { ("XB", &figures) };
        flood.reports.push(body(&town, 3, kind.0, "2017-07-15 08:30:00", kind.1));
    }
    let again: Vec<Body> = (0..45).map(|_| flood.reports[usize::try_from(dice(900)).unwrap()].clone()).collect();
    flood.reports.extend(again);
    for place in (1..flood.reports.len()).rev() {
        flood.reports.swap(place, usize::try_from(dice(place as u64 + 1)).unwrap());
    }
    flood
}

/// Sums of the truth at a time, over places that begin so.
fn sums(truth: &BTreeMap<String, BTreeMap<&'static str, i64>>, stem: &str) -> BTreeMap<String, i64> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for figures in truth.iter().filter(|(town, _)| town.starts_with(stem)).map(|(_, figures)| figures) {
        *sums.entry("A01".to_owned()).or_default() += i64::from(figures.values().any(|value| *value != 0));
        for (code, value) in figures {
            *sums.entry((*code).to_owned()).or_default() += value;
        }
    }
    sums
}

struct Scene {
    dir: TempDir,
    hub: Running,
    client: reqwest::Client,
    url: String,
    store: Store,
}

impl Scene {
    async fn start(backends: &Backends) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let at = |name: &str| dir.path().join(name);
        for system in ["disaster-report", "senior-allowance"] {
            fs::create_dir_all(at("adapters").join(system)).unwrap();
            for file in fs::read_dir(root.join("adapters").join(system)).unwrap().flatten().filter(|file| file.path().is_file()) {
                let text =
                    fs::read_to_string(file.path()).unwrap().replace("kind = \"file\"", "kind = \"file\"\nsettle = \"100ms\"");
                let lines = text.lines().map(|line| if line.starts_with("every = ") { "every = \"1s\"" } else { line });
                fs::write(at("adapters").join(system).join(file.file_name()), lines.collect::<Vec<_>>().join("\n")).unwrap();
            }
        }
        fs::create_dir_all(at("partners")).unwrap();
        fs::copy(root.join("config/partners/bigdata-platform.toml"), at("partners").join("bigdata-platform.toml")).unwrap();
        let (servers, store) = match backends {
            Backends::Embedded => (String::new(), format!("sqlite://{}", at("data").join("hub.db").display())),
            Backends::Servers { amqp, prefix, postgres } => (
                format!("[bus]\nkind = \"rabbitmq\"\nurl = \"{amqp}\"\nprefix = \"{prefix}\"\n[store]\nurl = \"{postgres}\"\n"),
                postgres.clone(),
            ),
        };
        let config = format!(
            "[hub]\ndata = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n[paths]\nadapters = \"{}\"\npartners = \"{}\"\n{servers}",
            at("data").display(),
            at("adapters").display(),
            at("partners").display()
        );
        fs::write(at("civilhub.toml"), config).unwrap();
        let mut command = command(&["serve", "--config", at("civilhub.toml").to_str().unwrap()]);
        command.env("DISASTER_REPORT_SECRET", SECRET);
        let mut hub = Running::start(command, &at("hub.log"));
        let listen = hub.wait_for("listen=", Duration::from_secs(60));
        Self {
            url: format!("http://{listen}"),
            client: reqwest::Client::new(),
            hub,
            store: Store::open(&store).await.unwrap(),
            dir,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A monthly file of so many old people, complete before it has its name.
    fn bulk(&self, rows: u32) {
        let inbox = self.path("data/inbox/senior-allowance");
        fs::create_dir_all(&inbox).unwrap();
        let part = inbox.join(".part.tmp");
        let mut file = TrailerFile::create(&part, ',', &["LNZH", "XM", "SFZH", "CSRQ", "HKDM", "JTJE", "YHKH", "ZT"]).unwrap();
        let first = time::macros::date!(1915 - 01 - 01);
        for row in 0..rows {
            let born = first + time::Duration::days(i64::from(row % 7_000));
            let number = numbers::resident_id("220171", born, row / 7_000 + 1);
            let day = clock::iso_date(born).replace('-', "");
            let card = format!("LN220171{row:06}");
            // An account of their own for everybody: one that all share would hold all of them together.
            let account = format!("621799{row:012}");
            let account = format!("{account}{}", numbers::luhn_check(&account));
            file.push(&[card.as_str(), "孙玉兰", &number, &day, "220171001001", "100.0", &account, "正常"]).unwrap();
        }
        file.finish(Trailer::Right).unwrap();
        fs::rename(part, inbox.join("GL_full_20170701.csv")).unwrap();
    }

    async fn routed(&self) -> i64 {
        let sql = "SELECT COUNT(*) FROM arrival WHERE system = 'senior-allowance'";
        self.store.read(sql, &[]).await.unwrap().first().map_or(0, |row| row.int(0))
    }

    /// A command of the program on this hub, which prints JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let config = self.path("civilhub.toml");
        let output = command(&[arguments, &["-o", "json", "--config", config.to_str().unwrap()]].concat()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn view(&self, division: &str, as_of: &str) -> Value {
        self.json(&["disaster", "view", EVENT, "--division", division, "--as-of", as_of])
    }
}

/// When each revision of a report was sent, and when the view had it.
#[derive(Default)]
struct Watch {
    sent: Mutex<BTreeMap<(String, i64), Instant>>,
    seen: Mutex<BTreeMap<(String, i64), Duration>>,
}

impl Watch {
    /// Looks at the province again and again.
    async fn look(&self, store: &Store) {
        let reports = disaster::load(store, EVENT, "22").await.unwrap();
        let view = view::roll_up(EVENT, &reports, "220000000000", clock::millis());
        assert!(view.places.counted <= TOWNS);
        let sent = self.sent.lock().unwrap();
        let mut seen = self.seen.lock().unwrap();
        for report in reports {
            let key = (report.key, report.submitted_at);
            if let Some(sent) = sent.get(&key) {
                seen.entry(key).or_insert_with(|| sent.elapsed());
            }
        }
    }

    fn missing(&self) -> usize {
        self.sent.lock().unwrap().len() - self.seen.lock().unwrap().len()
    }

    fn percentile(&self, percent: usize) -> Duration {
        let mut times: Vec<Duration> = self.seen.lock().unwrap().values().copied().collect();
        times.sort_unstable();
        times[(times.len() * percent / 100).min(times.len() - 1)]
    }
}

async fn send(client: &reqwest::Client, url: &str, place: usize, body: &Body, watch: &Watch) {
    let bytes = body.value.to_string().into_bytes();
    let submitted = body.value["submitTime"].as_str().unwrap().replace(' ', "T") + "+08:00";
    let submitted = time::OffsetDateTime::parse(&submitted, &time::format_description::well_known::Rfc3339).unwrap();
    watch.sent.lock().unwrap().entry((body.key.clone(), submitted.unix_timestamp() * 1000)).or_insert_with(Instant::now);
    let timestamp = clock::now().unix_timestamp().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(&bytes);
    let answer = client
        .post(format!("{url}/in/disaster-report/report"))
        .timeout(Duration::from_secs(30))
        .header("x-signature", hex::encode(mac.finalize().into_bytes()))
        .header("x-timestamp", timestamp)
        .header("x-delivery-id", format!("{place}-{}", body.key))
        .body(bytes)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

/// Sends the reports evenly over the time, by several senders.
async fn send_all(scene: &Scene, reports: &[Body], over: Duration, watch: &Arc<Watch>) {
    let mut senders = JoinSet::new();
    let began = Instant::now();
    for sender in 0..SENDERS {
        let (client, url, watch) = (scene.client.clone(), scene.url.clone(), Arc::clone(watch));
        let mine: Vec<(usize, Body)> = reports.iter().cloned().enumerate().skip(sender).step_by(SENDERS).collect();
        let count = u32::try_from(reports.len()).unwrap();
        senders.spawn(async move {
            for (place, body) in mine {
                let due = over * u32::try_from(place).unwrap() / count;
                tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
                send(&client, &url, place, &body, &watch).await;
            }
        });
    }
    while !senders.is_empty() {
        tokio::time::sleep(Duration::from_millis(200)).await;
        watch.look(&scene.store).await;
        while let Some(done) = senders.try_join_next() {
            done.unwrap();
        }
    }
    eventually(Duration::from_secs(60), "every report is in the view", async || {
        watch.look(&scene.store).await;
        watch.missing() == 0
    })
    .await;
}

async fn a_flood_during_a_bulk_load(backends: Backends, rows: u32, over: Duration, limit: Duration) {
    let (flood, scene, watch) = (flood(), Scene::start(&backends).await, Arc::new(Watch::default()));
    scene.bulk(rows);
    eventually(Duration::from_secs(120), "the bulk load begins", async || scene.routed().await > 0).await;
    let before = scene.routed().await;
    send_all(&scene, &flood.reports, over, &watch).await;
    let during = scene.routed().await;
    println!("{} rows of the bulk load were routed during the flood, {} before it", during - before, before);
    assert!(during > before, "there was no load beside the reports");

    // The slips are in the sums until the counties return them; then their last figures stand, until they are entered again.
    let second = "2017-07-14T12:00:00+08:00";
    assert_ne!(scene.view("220000", second)["totals"]["A02"], sums(&flood.truth[1], "22")["A02"]);
    let mut by_county: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for body in &flood.corrections {
        by_county.entry(&body.key[23..29]).or_default().push(&body.key);
    }
    for (county, keys) in &by_county {
        scene.json(&[&["disaster", "return", "--by", county, "--reason", "ten times as many"][..], keys].concat());
    }
    assert_eq!(scene.view("220000", second)["places"]["returned"].as_array().unwrap().len(), SLIPS);
    send_all(&scene, &flood.corrections, Duration::from_secs(1), &watch).await;

    let county = &flood.corrections[0].key[23..29];
    for (place, as_of) in ["2017-07-13T20:00:00+08:00", second, "2017-07-15T08:45:00+08:00"].into_iter().enumerate() {
        for division in ["220000", county] {
            let view = scene.view(division, as_of);
            let stem = if division == "220000" { "22" } else { division };
            assert_eq!(view["totals"], json!(sums(&flood.truth[place], stem)), "{division} as of {as_of}");
            assert!(view["places"]["refused"].as_array().unwrap().is_empty());
        }
    }
    let first = scene.view("220000", "2017-07-13T20:00:00+08:00");
    let late = first["places"]["late"].as_array().unwrap().iter().map(|late| late["report"].as_str().unwrap().to_owned());
    assert_eq!(late.collect::<BTreeSet<_>>(), flood.late);
    // Half of the townships said nothing of deaths.
    let last = scene.view("220000", "2017-07-15T08:45:00+08:00");
    let silent = flood.truth[2].values().filter(|figures| !figures.contains_key("A03")).count();
    assert_eq!(last["not_stated"]["A03"], silent);
    let (half, most) = (watch.percentile(50), watch.percentile(99));
    println!("report to view: p50 {half:?}, p99 {most:?} of {} reports beside {rows} rows", watch.seen.lock().unwrap().len());
    assert!(most < limit, "report to view p99 {most:?}");
    drop(scene.hub);
}

fn long() -> bool {
    std::env::var_os("CIVILHUB_LONG").is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_province_is_told_the_truth_soon() {
    if long() {
        a_flood_during_a_bulk_load(Backends::servers().await, 560_000, Duration::from_secs(60), Duration::from_secs(2)).await;
    } else {
        a_flood_during_a_bulk_load(Backends::servers().await, 12_000, Duration::from_secs(8), Duration::from_secs(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_in_one_process() {
    a_flood_during_a_bulk_load(Backends::Embedded, 8_000, Duration::from_secs(6), Duration::from_secs(20)).await;
}
