//! A hub and the 17 simulated banks.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use civilhub::{
    config::Config,
    exchange::{
        authorisation::Authorisation,
        banks,
        drive::{self, Providers},
        request::Request,
    },
    hub::Hub,
    simulate::serve::queries::{self, Manner, Speech},
    store::Arg,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The banks alone.
pub struct Banks {
    pub dir: TempDir,
    pub manners: BTreeMap<String, Arc<Manner>>,
    pub urls: BTreeMap<String, String>,
}

impl Banks {
    pub async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mut manners, mut urls) = (BTreeMap::new(), BTreeMap::new());
        for bank in banks() {
            let manner = Arc::new(Manner::default());
            let speech = Speech::of(&bank.transport);
            let url = queries::start(&dir.path().join("banks"), &bank.code, speech, Arc::clone(&manner)).await.unwrap();
            urls.insert(format!("BANK_{}_QUERY_URL", bank.code), url);
            manners.insert(bank.code, manner);
        }
        std::fs::create_dir_all(dir.path().join("adapters")).unwrap();
        Self { dir, manners, urls }
    }

    pub fn config(&self) -> Config {
        let mut config = Config::load(None, Some(&self.dir.path().join("data"))).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        config.paths.adapters = self.dir.path().join("adapters");
        config.paths.partners = root.join("config/partners");
        config.paths.schemas = root.join("schemas");
        config.hub.systems.clear();
        config.env.extend(self.urls.clone());
        config
    }

    pub fn folder(&self) -> PathBuf {
        self.dir.path().join("banks")
    }

    /// What arrived at a bank.
    pub fn seen(&self, code: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(queries::seen_by(&self.folder(), code)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The banks and a hub.
pub struct Street {
    pub sims: Banks,
    pub hub: Arc<Hub>,
    pub manners: BTreeMap<String, Arc<Manner>>,
    pub providers: Providers,
}

impl Street {
    pub async fn open() -> Self {
        let sims = Banks::open().await;
        let config = sims.config();
        Self::over(sims, config).await
    }

    pub async fn over(sims: Banks, config: Config) -> Self {
        let hub = Hub::open(config, None).await.unwrap();
        let providers = hub.providers().unwrap();
        Self { manners: sims.manners.clone(), sims, hub, providers }
    }

    pub fn banks(&self) -> PathBuf {
        self.sims.folder()
    }

    pub async fn pass(&self, now: i64) -> drive::Done {
        drive::pass(&self.hub.books(), &self.hub.agreements, &self.providers, now).await.unwrap()
    }

    /// Passes at one moment until nothing happens any more, and the banks with files have looked into their folders.
    pub async fn quiet(&self, now: i64) {
        let mut still = 0;
        while still < 5 {
            let done = self.pass(now).await;
            let waiting = self.manners.iter().any(|(code, manner)| {
                !manner.down.load(Ordering::Relaxed) && (!self.out(code).is_empty() || !self.list(code, "in").is_empty())
            });
            let idle = done == drive::Done::default() && !waiting;
            still = if idle { still + 1 } else { 0 };
            if idle || done.sent == 0 {
                tokio::time::sleep(Duration::from_millis(80)).await;
            }
        }
    }

    pub async fn number(&self, sql: &str, args: &[Arg]) -> i64 {
        self.hub.store.read(sql, args).await.unwrap()[0].int(0)
    }

    pub fn seen(&self, code: &str) -> Vec<Value> {
        self.sims.seen(code)
    }

    pub fn packets(&self) -> usize {
        self.manners.keys().map(|code| self.seen(code).len() + self.files(code).len()).sum()
    }

    fn list(&self, code: &str, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.banks().join(code).join(folder)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.ends_with(".part")).collect()
    }

    pub fn out(&self, code: &str) -> Vec<String> {
        self.list(code, "out")
    }

    /// The files that a bank took.
    pub fn files(&self, code: &str) -> Vec<(String, Vec<u8>)> {
        let read = |name: String| (name.clone(), std::fs::read(self.banks().join(code).join("taken").join(name)).unwrap());
        self.list(code, "taken").into_iter().map(read).collect()
    }
}

/// A number of the functional zone: day of birth by the person's place, digits 15 to 17 as given, check digit computed.
fn number(place: usize, digits: usize) -> String {
    let day = time::Date::from_calendar_date(1930, time::Month::January, 1).unwrap() + time::Duration::days(place as i64);
    let body = format!("220171{:04}{:02}{:02}{digits:03}", day.year(), u8::from(day.month()), day.day());
    let sum: usize = body.bytes().enumerate().map(|(at, digit)| usize::from(digit - b'0') * (1_usize << (17 - at)) % 11).sum();
    format!("{body}{}", ["1", "0", "X", "9", "8", "7", "6", "5", "4", "3", "2"][sum % 11])
}

/// The persons of one household; every tenth person has a number that forces an outcome.
pub fn household(place: usize) -> (Authorisation, Request) {
    let persons = 1 + usize::from(place.is_multiple_of(3));
    let members: Vec<Value> = (0..persons)
        .map(|n| {
            let person = place * 2 + n;
            let forced = [901, 902, 903, 904, 905, 907, 908, 909];
            let digits = if person % 10 == 7 || person % 10 == 2 { forced[person / 5 % 8] } else { 100 + person % 700 };
            json!({ "name": format!("测试{}", char::from_u32(0x4E00 + (person % 20_000) as u32).unwrap()), "id_type": "01", "id_number": number(person, digits) })
        })
        .collect();
    let signed: Vec<Value> = members
        .iter()
        .map(|member| {
            let mut member = member.clone();
            member["signed"] = true.into();
            member
        })
        .collect();
    let paper = json!({ "no": format!("SQ-{place}"), "division": "220102003001", "signed_at": "2017-06-28", "valid_to": "2099-12-31",
        "scope": ["DEPOSIT", "WEALTH"], "image_sha256": "ab".repeat(32), "members": signed });
    let ask = json!({ "request_no": format!("HD-{place}"), "authorisation": format!("SQ-{place}"), "purpose": "UD-NEW", "division": "220102000000",
        "operator": "clerk 1", "as_of": "2017-06-30", "household": format!("HH-{place}"), "members": members, "standard_month": "480.00" });
    (serde_json::from_value(paper).unwrap(), serde_json::from_value(ask).unwrap())
}
