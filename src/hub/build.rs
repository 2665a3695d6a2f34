//! Opening the hub: every fault of configuration, schemas, adapters and partners at once, before anything runs.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    adapter::spec::{self, AdapterSpec},
    attempt::probe::{Child, TIME_LIMIT},
    bus::{
        Bus, Topology,
        embedded::EmbeddedBus,
        rabbit::{RabbitBus, RabbitOptions},
        watched::{Departures, Watched},
    },
    config::{BAD_CONFIG, BusKind, Config, keys::Keys, nearest},
    domain::codes::CodeLists,
    error::Fault,
    govern::{Agreements, Known, keys::GovernKeys},
    identity::{IdentityKeys, PersonIndex, StoreIndex},
    schema::SchemaRegistry,
    store::Store,
};

/// Everything the roles work with.
pub struct Hub {
    pub config: Config,
    pub keys: Keys,
    pub store: Store,
    pub bus: Arc<dyn Bus>,
    /// What has left the queues, for the watch.
    pub departures: Arc<Departures>,
    pub registry: Arc<SchemaRegistry>,
    pub agreements: Arc<Agreements>,
    pub adapters: Vec<Arc<AdapterSpec>>,
    pub index: Arc<dyn PersonIndex>,
    pub child: Option<Child>,
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
}

/// Whether the partners of `hub.partners` must have their addresses and secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// For a hub that runs.
    Required,
    /// For looking at the configuration off line.
    Optional,
}

/// The parts that need no store and no bus.
pub struct Plans {
    pub registry: SchemaRegistry,
    pub agreements: Agreements,
    pub adapters: Vec<Arc<AdapterSpec>>,
}

impl Plans {
    /// Reads schemas, partners and adapters; every fault of all of them.
    pub fn load(config: &Config, keys: &Keys, secrets: Secrets) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let registry = registry(config).map_err(|found| faults.extend(found)).ok();
        let agreements = registry
            .as_ref()
            .and_then(|registry| agreements(config, keys, secrets, registry).map_err(|found| faults.extend(found)).ok());
        let (adapters, found) = spec::load_all(&config.paths.adapters);
        faults.extend(found);
        match (registry, agreements) {
            (Some(registry), Some(agreements)) if faults.is_empty() => {
                Ok(Self { registry, agreements, adapters: adapters.into_iter().map(Arc::new).collect() })
            }
            _ => Err(faults),
        }
    }
}

/// The schemas, checked against the code lists of the program.
pub(crate) fn registry(config: &Config) -> Result<SchemaRegistry, Vec<Fault>> {
    let codes = |list: &str, code: &str| {
        CodeLists::embedded().get(list).map(|list| list.find(code).is_some_and(|entry| entry.code == code))
    };
    SchemaRegistry::load(&config.paths.schemas, Arc::new(codes))
}

/// The adapters of the systems that the configuration names; all of them if it names none.
pub(crate) fn connected(
    adapters: Vec<Arc<AdapterSpec>>,
    systems: &[String],
    file: Option<&Path>,
) -> Result<Vec<Arc<AdapterSpec>>, Vec<Fault>> {
    let known = |name: &str| adapters.iter().any(|spec| spec.slug.as_str() == name);
    let unknown = systems.iter().filter(|name| !known(name));
    let faults: Vec<Fault> = unknown.map(|name| no_such_system(name, &adapters, file)).collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let named = |spec: &Arc<AdapterSpec>| systems.is_empty() || systems.iter().any(|name| spec.slug.as_str() == name);
    Ok(adapters.into_iter().filter(named).collect())
}

fn no_such_system(name: &str, adapters: &[Arc<AdapterSpec>], file: Option<&Path>) -> Fault {
    let fault = Fault::new(BAD_CONFIG, format!("`hub.systems` names `{name}`, which has no adapter"));
    let fault = match file {
        Some(file) => fault.in_file(file.display().to_string()),
        None => fault,
    };
    match nearest(name, adapters.iter().map(|spec| spec.slug.as_str())) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint("`civilhub adapter list` shows the adapters"),
    }
}

impl Hub {
    /// Opens and migrates the store, connects the bus and declares its queues.
    pub async fn open(config: Config, file: Option<&Path>) -> Result<Arc<Self>, Vec<Fault>> {
        let keys = Keys::load_or_create(&config.key_file()).map_err(|fault| vec![fault])?;
        let mut plans = Plans::load(&config, &keys, Secrets::Required)?;
        plans.adapters = connected(plans.adapters, &config.hub.systems, file)?;
        let store = Store::open(&config.store_url()).await.map_err(|error| vec![error.fault()])?;
        store.migrate().await.map_err(|error| vec![error.fault()])?;
        let departures = Arc::new(Departures::default());
        let bus = open_bus(&config).await.map_err(|error| vec![error.fault()])?;
        let bus: Arc<dyn Bus> = Arc::new(Watched::new(bus, Arc::clone(&departures)));
        let topology = Topology { partitions: config.bus.partitions, subscriptions: plans.agreements.subscriptions() };
        bus.declare(&topology).await.map_err(|error| vec![error.fault()])?;
        let index = person_index(&store, &keys).map_err(|fault| vec![fault])?;
        index
            .prepare(&|done, all| tracing::info!(records = done, batch = all, "the person index is read into memory"))
            .await
            .map_err(|error| vec![error.fault()])?;
        let child = child(&config, file);
        Ok(Arc::new(Self {
            registry: Arc::new(plans.registry),
            agreements: Arc::new(plans.agreements),
            adapters: plans.adapters,
            config,
            keys,
            store,
            bus,
            departures,
            index: Arc::new(index),
            child,
            file: file.map(Path::to_owned),
        }))
    }
}

/// The person index of a hub, for roles and commands.
///
/// # Errors
/// The built-in rules and model do not fit one another.
pub fn person_index(store: &Store, keys: &Keys) -> Result<StoreIndex, Fault> {
    StoreIndex::new(store.clone(), IdentityKeys::new(keys.derive("identity"), keys.aes))
}

pub(crate) fn agreements(
    config: &Config,
    keys: &Keys,
    secrets: Secrets,
    registry: &SchemaRegistry,
) -> Result<Agreements, Vec<Fault>> {
    let env = config.env.clone();
    let govern = GovernKeys::new(keys.derive("govern"))
        .with_lookup(move |name| env.get(name).cloned().or_else(|| std::env::var(name).ok()));
    let fields = |dataset: &str| {
        let schema = registry.latest(&dataset.into())?;
        Some(
            schema
                .fields
                .iter()
                .map(|field| field.pointer.trim_start_matches('/').replace("/*/", ".").replace('/', "."))
                .collect(),
        )
    };
    let required = match secrets {
        Secrets::Required => config.hub.partners.iter().map(String::as_str).collect(),
        Secrets::Optional => Vec::new(),
    };
    let datasets = registry.iter().map(|schema| schema.dataset.as_str()).collect();
    let agreements = Agreements::load_checked(&config.paths.partners, &govern, &Known { datasets, fields: &fields, required })?;
    let unknown = config.hub.partners.iter().filter(|name| agreements.partner(name).is_none());
    let faults: Vec<Fault> = unknown.map(|name| no_such_partner(name, &agreements)).collect();
    if faults.is_empty() { Ok(agreements) } else { Err(faults) }
}

fn no_such_partner(name: &str, agreements: &Agreements) -> Fault {
    let fault = Fault::new(BAD_CONFIG, format!("`hub.partners` names `{name}`, which has no partner file"));
    match nearest(name, agreements.partners().iter().map(|partner| partner.slug.as_str())) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint("`civilhub partner list` shows the partners"),
    }
}

async fn open_bus(config: &Config) -> Result<Arc<dyn Bus>, crate::bus::Error> {
    Ok(match config.bus.kind {
        BusKind::Embedded => EmbeddedBus::open(&config.bus_dir())?,
        BusKind::Rabbitmq => {
            let mut options = RabbitOptions::new(&config.bus.url);
            options.prefix = config.bus.prefix.clone();
            options.confirm_timeout = config.bus.confirm_timeout;
            options.connect_timeout = Duration::from_secs(10);
            RabbitBus::connect(options).await?
        }
    })
}

/// This program again, for trying suspects; the same configuration reaches it by file, flag and environment.
fn child(config: &Config, file: Option<&Path>) -> Option<Child> {
    let program = std::env::current_exe().ok()?;
    let mut arguments = vec!["probe".to_owned(), "--data".to_owned(), config.hub.data.display().to_string()];
    if let Some(file) = file {
        arguments.extend(["--config".to_owned(), file.display().to_string()]);
    }
    Some(Child { program, arguments, limit: TIME_LIMIT })
}
