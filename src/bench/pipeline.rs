//! The whole road: rows of the payment system are mapped, published, checked, reconciled, governed, delivered and proven.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::meter::{Measure, Meter};
use crate::{
    adapter::{
        run::{Poller, Shared},
        source::{self, Batch, Position, Row, Source},
    },
    deliver::{
        Delivery, Outcome, Target,
        lane::{self, Lane},
        worker::Worker,
    },
    envelope::SubscriptionId,
    error::{Code, Fault},
    hub::Hub,
};

/// The benchmark needs the adapter `fund-payment` and a partner.
pub const NOT_READY: Code = Code::new(1008);

/// The road while it runs.
pub(super) struct Road {
    tasks: tokio::task::JoinSet<()>,
    cancel: CancellationToken,
    /// Deliveries that the sink has.
    pub delivered: Arc<AtomicU64>,
}

impl Road {
    pub async fn stop(mut self) {
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Runs `records` payment lines to `persons` payees through the hub and measures until the last is proven delivered.
pub async fn run(hub: &Arc<Hub>, records: u64, persons: u64) -> Result<Measure, Fault> {
    let meter = Meter::start();
    let road = start(hub, Box::new(Rows { left: records, persons: persons.max(1) }))?;
    while road.delivered.load(Ordering::Acquire) < records || proven(hub).await < records {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if let Some(fault) = refused(hub).await {
            road.cancel.cancel();
            return Err(fault);
        }
    }
    let measure = meter.stop(records);
    road.stop().await;
    Ok(measure)
}

/// Starts adapter, routers and the lane of the one partner.
pub(super) fn start(hub: &Arc<Hub>, source: Box<dyn Source>) -> Result<Road, Fault> {
    let spec = hub.adapters.iter().find(|spec| spec.slug.as_str() == "fund-payment").cloned();
    let (Some(spec), Some(partner)) = (spec, hub.agreements.partners().first()) else {
        return Err(Fault::new(NOT_READY, "the adapter `fund-payment` or the partner of the benchmark is missing")
            .hint("run it in the project's folder"));
    };
    let cancel = CancellationToken::new();
    let delivered = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    let subscription = SubscriptionId::new(partner.slug.as_str());
    let worker = Worker {
        lane: Lane::new(subscription.clone(), Box::new(Sink(Arc::clone(&delivered))), lane::Settings::default()),
        subscription,
        bus: Arc::clone(&hub.bus),
        store: hub.store.clone(),
        keys: hub.keys.clone(),
        agreements: Arc::clone(&hub.agreements),
        child: None,
        prefetch: hub.config.bus.prefetch,
        linger: Duration::from_millis(20),
    };
    tasks.spawn(worker.run(cancel.clone()));
    let router = Arc::new(hub.router());
    for partition in 0..hub.config.bus.partitions {
        tasks.spawn(Arc::clone(&router).run(partition, cancel.clone()));
    }
    let shared = Shared { bus: Arc::clone(&hub.bus), store: hub.store.clone(), keys: hub.keys.clone(), cancel: cancel.clone() };
    let poller = Poller {
        objects: vec![("PAY".to_owned(), source)],
        spec,
        shared,
        every: Duration::from_secs(3600),
        idle: Arc::new(AtomicBool::new(false)),
    };
    tasks.spawn(poller.run());
    Ok(Road { tasks, cancel, delivered })
}

/// Receipts in the store: the last step of the road.
pub(super) async fn proven(hub: &Hub) -> u64 {
    let rows = hub.store.read("SELECT COUNT(*) FROM receipt", &[]).await.unwrap_or_default();
    rows.first().map_or(0, |row| row.int(0).unsigned_abs())
}

/// A row that does not come through would be waited for for ever.
pub(super) async fn refused(hub: &Hub) -> Option<Fault> {
    let rows = hub.store.read("SELECT COUNT(*) FROM dead", &[]).await.unwrap_or_default();
    let count = rows.first().map_or(0, |row| row.int(0));
    (count > 0).then(|| {
        Fault::new(NOT_READY, format!("{count} rows of the benchmark were refused"))
            .hint("the adapter `fund-payment` or its schema has changed")
    })
}

/// Counts what it is given; the price of a real receiver is not the hub's.
struct Sink(Arc<AtomicU64>);

#[async_trait]
impl Target for Sink {
    async fn deliver(&self, batch: &[Delivery]) -> Vec<Outcome> {
        self.0.fetch_add(batch.len() as u64, Ordering::AcqRel);
        batch.iter().map(|_| Outcome::Delivered { receipt: "bench".to_owned() }).collect()
    }
}

/// Payment lines as the decoder gives them; the payees take turns.
struct Rows {
    left: u64,
    persons: u64,
}

#[async_trait]
impl Source for Rows {
    async fn read(&mut self, position: &Position, max: usize) -> Result<Batch, source::Error> {
        let start = position.0.as_u64().unwrap_or(0);
        let end = (start + max as u64).min(self.left);
        let rows = (start..end).map(|n| row(n, n % self.persons)).collect();
        Ok(Batch { rows, bad: Vec::new(), next: Position(Value::from(end)), more: end < self.left, load: None })
    }
}

pub(super) fn row(n: u64, person: u64) -> Row {
    let data = json!({
        "T": "D", "XH": format!("{:08}", n % 100_000_000), "HM": "张伟", "ZHH": format!("6228650{person:011}0"), "JE": "000000048000", "FHM": "    ", "SJ": "        "
    });
    let header = json!({ "T": "H", "PCH": "220105UD20170701", "YT": "UD ", "NY": "201707", "ZBS": "00000001", "ZJE": "00000000048000", "RQ": "20170710" });
    Row {
        object: "PAY".to_owned(),
        origin: format!("bench#{n}"),
        file: "PAYbench.txt".to_owned(),
        number: n + 2,
        data,
        meta: json!({ "header": header }),
    }
}

/// The one partner of the benchmark: plain copies of most fields, about 1 KB a delivery.
pub fn write_partner(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let fields = [
        "payment_no",
        "batch_no",
        "purpose",
        "period",
        "payee_key",
        "payee_name",
        "account_no",
        "bank_code",
        "amount",
        "status",
        "sent_at",
    ];
    let plain: Vec<String> = fields.iter().map(|field| format!("{field} = \"plain\"")).collect();
    let text = format!(
        "slug = \"bench\"\nname = \"benchmark\"\n[transport]\nkind = \"lake\"\n[[agreement]]\nid = \"bench\"\ndataset = \"assistance-payment\"\n\
         purpose = \"benchmark\"\nlegal_basis = \"none\"\nvalid_from = \"2017-01-01\"\nvalid_to = \"2099-12-31\"\ndivisions = [\"22\"]\n[agreement.fields]\n{}\n",
        plain.join("\n")
    );
    std::fs::write(dir.join("bench.toml"), text)
}
