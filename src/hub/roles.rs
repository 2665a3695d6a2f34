//! Starting roles, and telling when a hub has nothing left to do.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Hub, exchange, registered::Registered, resend, upkeep, watch};
use crate::{
    adapter::{
        run::{Poller, PushIntake, Shared},
        source::{self, ObjectOptions, SourceContext, http_push},
        spec::{AdapterSpec, SourceKind},
    },
    bus::{PRIORITY, Queue, Topology},
    correction,
    dead::{collect, replay},
    deliver::{
        Delivery, Outcome, Target,
        lake::{LakeOptions, LakeSchema, LakeTarget},
        lane::{self, Lane},
        mailbox::{self, Mailbox, routes::Tokens},
        webhook::Webhook,
        worker::Worker,
    },
    desk::notify,
    domain::keyed_hash::KeyedHash,
    envelope::SubscriptionId,
    error::{Fault, Faults},
    govern::partner::{Partner, Transport},
    router::Router,
    supervise,
    telemetry::{age::Ages, label, record},
};

/// What a process does; any number of processes may do the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    All,
    Adapters,
    Router,
    Deliver,
    Exchange,
    Api,
}

impl Role {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Adapters => "adapters",
            Self::Router => "router",
            Self::Deliver => "deliver",
            Self::Exchange => "exchange",
            Self::Api => "api",
        }
    }

    fn covers(self, role: Self) -> bool {
        self == Self::All || self == role
    }
}

/// A hub whose roles run.
pub struct Running {
    pub hub: Arc<Hub>,
    /// Where the HTTP interface listens, if this process has it.
    pub listen: Option<SocketAddr>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
    idle: Vec<Arc<AtomicBool>>,
    /// This process sends dead letters on their way again.
    replays: bool,
}

impl Hub {
    /// Starts the tasks of a role.
    pub async fn start(self: &Arc<Self>, role: Role) -> Result<Running, Vec<Fault>> {
        label::know(self.slugs());
        let mut running = Running {
            hub: Arc::clone(self),
            listen: None,
            cancel: CancellationToken::new(),
            tasks: JoinSet::new(),
            idle: Vec::new(),
            replays: false,
        };
        if role.covers(Role::Deliver) {
            running.start_deliver().await?;
        }
        if role.covers(Role::Exchange) {
            let providers = self.providers()?;
            running.tasks.spawn(exchange::run(Arc::clone(self), providers, running.cancel.clone()));
        }
        if role.covers(Role::Router) {
            running.start_router();
        }
        if role.covers(Role::Adapters) || role.covers(Role::Api) {
            running.start_http().await?;
        } else {
            running.start_probes().await;
        }
        if role.covers(Role::Adapters) {
            running.start_adapters()?;
        }
        running.tasks.spawn(watch::run(Arc::clone(self), running.cancel.clone()));
        Ok(running)
    }

    /// What labels of metrics may say.
    fn slugs(&self) -> impl Iterator<Item = String> + '_ {
        let systems = self.adapters.iter().map(|spec| spec.slug.as_str().to_owned());
        let receivers = self.agreements.subscriptions().into_iter().map(|subscription| subscription.as_str().to_owned());
        systems.chain(receivers).chain(self.queues().iter().map(Queue::name).collect::<Vec<_>>())
    }

    /// What disputes are kept in.
    pub fn disputes(&self) -> correction::Books {
        correction::Books { store: self.store.clone(), keys: self.keys.clone() }
    }

    /// The queues that must exist on the bus.
    pub fn topology(&self) -> Topology {
        Topology { partitions: self.config.bus.partitions, subscriptions: self.agreements.subscriptions() }
    }

    /// The router of this hub, as it is deployed and as it is measured.
    pub fn router(&self) -> Router {
        Router {
            bus: Arc::clone(&self.bus),
            store: self.store.clone(),
            registry: Arc::clone(&self.registry),
            agreements: Arc::clone(&self.agreements),
            index: Arc::clone(&self.index),
            keys: self.keys.clone(),
            hash: KeyedHash::new(&self.keys.hmac),
            child: self.child.clone(),
            batch: self.config.router.batch,
            linger: self.config.router.linger,
            prefetch: self.config.bus.prefetch,
        }
    }

    /// Every queue of the hub.
    pub fn queues(&self) -> Vec<Queue> {
        Queue::records(self.config.bus.partitions)
            .chain(self.agreements.subscriptions().into_iter().map(Queue::Deliver))
            .collect()
    }
}

impl Running {
    fn shared(&self) -> Shared {
        let hub = &self.hub;
        Shared { bus: Arc::clone(&hub.bus), store: hub.store.clone(), keys: hub.keys.clone(), cancel: self.cancel.clone() }
    }

    fn start_router(&mut self) {
        let hub = &self.hub;
        let router = Arc::new(hub.router());
        for partition in 0..hub.config.bus.partitions {
            self.tasks.spawn(Arc::clone(&router).run(partition, self.cancel.clone()));
        }
        let hurried = Router { store: hub.store.hurried(), ..hub.router() };
        self.tasks.spawn(Arc::new(hurried).run(PRIORITY, self.cancel.clone()));
        match supervise::rule::load(&hub.config.paths.rules) {
            Ok(rules) => {
                let engine = supervise::engine::Engine::new(hub.store.clone(), hub.keys.clone(), rules);
                self.tasks.spawn(engine.run(self.cancel.clone()));
            }
            // Records flow without supervision; what is due waits in the store.
            Err(faults) => tracing::error!(error = %Faults(faults), "no supervision: the rules have faults"),
        }
        self.replays = true;
        self.tasks.spawn(replay::run(Arc::clone(&hub.bus), hub.store.clone(), hub.keys.clone(), self.cancel.clone()));
        let receivers = hub.agreements.subscriptions();
        self.tasks.spawn(notify::run(Arc::clone(&hub.bus), hub.store.clone(), hub.keys.clone(), receivers, self.cancel.clone()));
        let (books, agreements) = (hub.disputes(), Arc::clone(&hub.agreements));
        self.tasks.spawn(correction::drive::run(Arc::clone(&hub.bus), books, agreements, self.cancel.clone()));
        self.tasks.spawn(collect::run(Arc::clone(&hub.bus), hub.store.clone(), hub.keys.clone(), self.cancel.clone()));
    }

    async fn start_deliver(&mut self) -> Result<(), Vec<Fault>> {
        let (mut faults, mut lakes) = (Vec::new(), Vec::new());
        let hub = Arc::clone(&self.hub);
        for partner in hub.agreements.partners() {
            match target(&self.hub, partner, &mut lakes).await {
                Ok((target, linger)) => {
                    let worker = worker(&self.hub, partner, target, linger);
                    self.tasks.spawn(worker.run(self.cancel.clone()));
                    self.start_resends(partner).await?;
                }
                Err(found) => faults.extend(found),
            }
        }
        self.tasks.spawn(upkeep::run(lakes, self.hub.store.clone(), self.cancel.clone()));
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// What a partner asks for again goes through a target of its own: it must not wait behind the queue.
    async fn start_resends(&mut self, partner: &Partner) -> Result<(), Vec<Fault>> {
        if matches!(partner.transport, Transport::Lake) {
            return Ok(());
        }
        let (target, _) = target(&self.hub, partner, &mut Vec::new()).await?;
        let boxed = matches!(partner.transport, Transport::Mailbox(_));
        self.tasks.spawn(resend::run(Arc::clone(&self.hub), partner.slug.clone(), target, boxed, self.cancel.clone()));
        Ok(())
    }

    fn start_adapters(&mut self) -> Result<(), Vec<Fault>> {
        let mut faults = Vec::new();
        for spec in self.hub.adapters.clone() {
            match source::open(&spec.slug, &spec.source, &objects(&spec), &context(&self.hub)) {
                Ok(sources) if sources.is_empty() => {}
                Ok(objects) => {
                    let idle = Arc::new(AtomicBool::new(false));
                    self.idle.push(Arc::clone(&idle));
                    record::source_schedule(&spec.slug, spec.every);
                    self.tasks
                        .spawn(Poller { objects, spec: Arc::clone(&spec), shared: self.shared(), every: spec.every, idle }.run());
                }
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    async fn start_http(&mut self) -> Result<(), Vec<Fault>> {
        let hub = &self.hub;
        let failed = |text: String| vec![Fault::new(crate::api::LISTEN, text).hint("choose another `http.listen`")];
        let specs: Vec<Arc<AdapterSpec>> =
            hub.adapters.iter().filter(|spec| spec.kind == SourceKind::HttpPush).cloned().collect();
        let mut sources = Vec::new();
        for spec in &specs {
            sources.push(http_push::open(
                &spec.slug,
                &spec.source,
                &objects(spec),
                &SourceContext { store: hub.store.hurried(), ..context(hub) },
            )?);
        }
        // Whoever pushes waits for the answer.
        let shared = Shared { store: hub.store.hurried(), ..self.shared() };
        let intake = PushIntake::new(&specs, &shared).await.map_err(|error| vec![error.fault()])?;
        let mailboxes =
            mailbox::routes::routes(hub.mailboxes(), Tokens::new(hub.agreements.partners()), Arc::clone(&hub.agreements));
        let app = crate::api::routes(Arc::clone(hub))
            .merge(crate::api::v1::routes(Arc::clone(hub)))
            .merge(mailboxes)
            .merge(http_push::routes(sources, Arc::new(intake)));
        self.listen(app).await.map_err(|error| failed(format!("cannot listen on `{}`: {error}", self.hub.config.http.listen)))
    }

    /// Probes and metrics of a role that has no other business with HTTP. Beside another process on one machine the address
    /// may be taken: the role works without them then.
    async fn start_probes(&mut self) {
        if let Err(error) = self.listen(crate::api::probes::routes(Arc::clone(&self.hub))).await {
            tracing::warn!(%error, "no probes and metrics: choose another `http.listen` for this process");
        }
    }

    async fn listen(&mut self, app: axum::Router) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::bind(&self.hub.config.http.listen).await?;
        self.listen = listener.local_addr().ok();
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            let served = axum::serve(listener, app).with_graceful_shutdown(async move { cancel.cancelled().await }).await;
            if let Err(error) = served {
                tracing::error!(%error, "the HTTP interface ended");
            }
        });
        Ok(())
    }

    /// Whether every source has been read to its end, every replay has been sent and every queue is empty.
    pub async fn drained(&self) -> bool {
        if !self.idle.iter().all(|idle| idle.load(Ordering::Acquire)) {
            return false;
        }
        if self.replays && !matches!(replay::pending(&self.hub.store).await, Ok(false)) {
            return false;
        }
        if self.replays && !matches!(notify::pending(&self.hub.store).await, Ok(false)) {
            return false;
        }
        for queue in self.hub.queues() {
            match self.hub.bus.depth(&queue).await {
                Ok(depth) if depth.ready + depth.unsettled == 0 => {}
                _ => return false,
            }
        }
        true
    }

    /// Returns when the hub has had nothing to do for a moment.
    pub async fn wait_until_drained(&self) {
        let mut quiet = 0;
        while quiet < 3 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            quiet = if self.drained().await { quiet + 1 } else { 0 };
        }
    }

    /// Stops all tasks: they finish their batch, then the bus is closed.
    pub async fn stop(mut self) {
        let began = Instant::now();
        self.cancel.cancel();
        let limit = Duration::from_secs(25);
        if tokio::time::timeout(limit, async { while self.tasks.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        } else {
            let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(duration_ms = took, "the hub has drained");
        }
        watch::look(&self.hub, &mut Ages::default()).await;
        self.hub.bus.close().await;
        self.hub.store.close().await;
    }
}

fn objects(spec: &AdapterSpec) -> Vec<ObjectOptions> {
    spec.objects
        .iter()
        .map(|object| ObjectOptions { name: object.name.clone(), key: object.key.clone(), options: object.options.clone() })
        .collect()
}

fn context(hub: &Hub) -> SourceContext {
    SourceContext { store: hub.store.clone(), inbox: hub.config.inbox(), env: hub.config.env.clone() }
}

fn worker(hub: &Arc<Hub>, partner: &Partner, target: Box<dyn Target>, linger: Duration) -> Worker {
    let subscription = SubscriptionId::new(partner.slug.as_str());
    let settings = lane::Settings { rate_per_second: partner.rate_per_second, ..lane::Settings::default() };
    Worker {
        lane: Lane::new(subscription.clone(), target, settings),
        subscription,
        bus: Arc::clone(&hub.bus),
        store: hub.store.clone(),
        keys: hub.keys.clone(),
        agreements: Arc::clone(&hub.agreements),
        child: hub.child.clone(),
        prefetch: hub.config.bus.prefetch.max(u16::try_from(hub.config.lake.batch).unwrap_or(u16::MAX)),
        linger,
    }
}

/// The target of a partner, and how long its batches wait.
async fn target(
    hub: &Arc<Hub>,
    partner: &Partner,
    upkeep: &mut Vec<Arc<LakeTarget>>,
) -> Result<(Box<dyn Target>, Duration), Vec<Fault>> {
    Ok(match &partner.transport {
        Transport::Lake => {
            let lake = Arc::new(lake(hub).await?);
            upkeep.push(Arc::clone(&lake));
            (Box::new(Shelf(lake)), hub.config.lake.linger)
        }
        Transport::Mailbox(settings) => {
            let mailbox = Mailbox::new(hub.mailboxes(), partner.slug.as_str(), settings.capacity);
            if partner.endpoint_networks.is_empty() {
                (Box::new(mailbox), Duration::ZERO)
            } else {
                let (networks, slug) = (partner.endpoint_networks.clone(), partner.slug.clone());
                let current = tokio::sync::Mutex::default();
                (Box::new(Registered { hub: Arc::clone(hub), partner: slug, networks, mailbox, current }), Duration::ZERO)
            }
        }
        Transport::Webhook(settings) => (Box::new(Webhook::new(settings)?), Duration::ZERO),
    })
}

/// The lake as a target, shared with its upkeep.
struct Shelf(Arc<LakeTarget>);

#[async_trait]
impl Target for Shelf {
    async fn deliver(&self, batch: &[Delivery]) -> Vec<Outcome> {
        self.0.deliver(batch).await
    }

    fn batch_size(&self) -> usize {
        self.0.batch_size()
    }
}

async fn lake(hub: &Arc<Hub>) -> Result<LakeTarget, Vec<Fault>> {
    let schemas: Vec<LakeSchema> =
        hub.registry.iter().map(|schema| LakeSchema::new(schema.dataset.as_str(), schema.inlined.clone())).collect();
    let options = LakeOptions { batch_size: hub.config.lake.batch, ..LakeOptions::default() };
    LakeTarget::open(&hub.config.lake_url(), hub.store.clone(), &schemas, options).await.map_err(|error| vec![error.fault()])
}

/// Counts per queue, for the status page.
pub async fn depths(hub: &Hub) -> BTreeMap<String, u64> {
    let mut depths = BTreeMap::new();
    for queue in hub.queues() {
        if let Ok(depth) = hub.bus.depth(&queue).await {
            depths.insert(queue.name(), depth.ready + depth.unsettled);
        }
    }
    depths
}
