//! What the hub is told to do: schemas, adapters, partners and their agreements. Each is read by itself, so that a fault in one
//! does not hide what the others say.

use std::{path::Path, sync::Arc};

use time::Date;

use super::{
    Category::{Adapters, Agreements, Schemas},
    Finding,
};
use crate::{
    adapter::spec::{self, AdapterSpec},
    bus::Queue,
    clock,
    config::{Config, keys::Keys},
    error::Code,
    govern::{agreement::Agreement, partner::Partner},
    hub::{self, Secrets},
    schema::SchemaRegistry,
};

/// There is no schema in the folder.
pub const NO_SCHEMAS: Code = Code::new(8281);
/// There is no adapter in the folder.
pub const NO_ADAPTERS: Code = Code::new(8282);
/// A folder of the adapters has no `adapter.toml`.
pub const NOT_AN_ADAPTER: Code = Code::new(8283);
/// An agreement has run out and no other has taken its place.
pub const RUN_OUT: Code = Code::new(8284);
/// An agreement runs out soon.
pub const RUNS_OUT: Code = Code::new(8285);

/// Days before the end of an agreement from which on there is a warning.
const SOON_DAYS: i64 = 30;

/// What could be read.
#[derive(Default)]
pub(super) struct Plans {
    pub adapters: Vec<Arc<AdapterSpec>>,
    pub partners: Vec<Partner>,
    pub findings: Vec<Finding>,
}

impl Plans {
    /// The queues that a running hub has.
    pub fn queues(&self, config: &Config) -> Vec<Queue> {
        let deliver = self.partners.iter().map(|partner| Queue::Deliver(partner.slug.as_str().into()));
        Queue::records(config.bus.partitions).chain(deliver).chain([Queue::Dead]).collect()
    }
}

pub(super) fn read(config: &Config, file: Option<&Path>) -> Plans {
    let mut plans = Plans::default();
    let registry = schemas(config, &mut plans.findings);
    adapters(config, file, &mut plans);
    if let Some(registry) = registry {
        partners(config, &registry, &mut plans);
    }
    plans
}

fn schemas(config: &Config, findings: &mut Vec<Finding>) -> Option<SchemaRegistry> {
    match hub::registry(config) {
        Ok(registry) if registry.iter().next().is_none() => {
            let message = format!("the folder `{}` holds no schema", config.paths.schemas.display());
            findings.push(Finding::fail(
                Schemas,
                NO_SCHEMAS,
                message,
                "check `paths.schemas` and what is mounted there: without schemas every record is refused",
            ));
            None
        }
        Ok(registry) => {
            findings.push(Finding::ok(Schemas, format!("{} schemas are understood", registry.iter().count())));
            Some(registry)
        }
        Err(faults) => {
            findings.extend(faults.iter().map(|fault| Finding::fault(Schemas, fault)));
            None
        }
    }
}

fn adapters(config: &Config, file: Option<&Path>, plans: &mut Plans) {
    let folder = &config.paths.adapters;
    let (found, faults) = spec::load_all(folder);
    plans.findings.extend(faults.iter().map(|fault| Finding::fault(Adapters, fault)));
    plans.findings.extend(strangers(folder));
    let all: Vec<Arc<AdapterSpec>> = found.into_iter().map(Arc::new).collect();
    if all.is_empty() && faults.is_empty() {
        let message = format!("the folder `{}` holds no adapter", folder.display());
        plans.findings.push(Finding::warn(
            Adapters,
            NO_ADAPTERS,
            message,
            "check `paths.adapters` and what is mounted there: nothing will be read",
        ));
        return;
    }
    match hub::connected(all.clone(), &config.hub.systems, file) {
        Ok(connected) => {
            let message = format!("{} adapters are understood, {} of them connected", all.len(), connected.len());
            plans.findings.push(Finding::ok(Adapters, message));
            plans.adapters = connected;
        }
        Err(faults) => {
            plans.findings.extend(faults.iter().map(|fault| Finding::fault(Adapters, fault)));
            plans.adapters =
                all.into_iter().filter(|spec| config.hub.systems.iter().any(|name| name == spec.slug.as_str())).collect();
        }
    }
}

/// Folders that the hub passes over without a word.
fn strangers(folder: &Path) -> Vec<Finding> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut folders: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    // Names with a dot in front are those of a mounted volume.
    folders.retain(|path| {
        !path.join("adapter.toml").exists() && !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
    });
    folders.sort();
    let finding = |path: &std::path::PathBuf| {
        let message = format!("the folder `{}` has no `adapter.toml` and is passed over", path.display());
        Finding::fail(
            Adapters,
            NOT_AN_ADAPTER,
            message,
            "put the file back (`civilhub adapter test` tries it), or take the folder away",
        )
    };
    folders.iter().map(finding).collect()
}

fn partners(config: &Config, registry: &SchemaRegistry, plans: &mut Plans) {
    let keys = Keys::load(&config.key_file()).unwrap_or_else(|_| Keys::dry_run());
    let read = hub::agreements(config, &keys, Secrets::Required, registry).or_else(|faults| {
        plans.findings.extend(faults.iter().map(|fault| Finding::fault(Agreements, fault)));
        // Without its secrets a partner can still be looked at.
        hub::agreements(config, &keys, Secrets::Optional, registry)
    });
    let Ok(read) = read else { return };
    plans.partners = read.partners().to_vec();
    let before = plans.findings.len();
    for partner in &plans.partners {
        plans.findings.extend(validity(partner, clock::today()));
    }
    if plans.findings.len() == before {
        let count: usize = plans.partners.iter().map(|partner| partner.agreements.len()).sum();
        plans
            .findings
            .push(Finding::ok(Agreements, format!("{} partners have {count} agreements, all in force", plans.partners.len())));
    }
}

fn validity(partner: &Partner, today: Date) -> Vec<Finding> {
    let hint = "agree on a new term and set `valid_to` in the partner's file, or take the agreement out";
    // Another of the same dataset that holds on that day.
    let followed = |agreement: &Agreement, day: Date| {
        partner.agreements.iter().any(|other| {
            other.dataset == agreement.dataset && other.id != agreement.id && other.valid_from <= day && day <= other.valid_to
        })
    };
    let one = |agreement: &Agreement| {
        let name = format!("agreement `{}` of `{}` for `{}`", agreement.id, partner.slug, agreement.dataset);
        let last = clock::iso_date(agreement.valid_to);
        let days = (agreement.valid_to - today).whole_days();
        if days < 0 {
            return (!followed(agreement, today)).then(|| {
                Finding::fail(Agreements, RUN_OUT, format!("{name} ran out on {last}: nothing is delivered under it"), hint)
            });
        }
        let next = agreement.valid_to.next_day().unwrap_or(agreement.valid_to);
        (days < SOON_DAYS && !followed(agreement, next))
            .then(|| Finding::warn(Agreements, RUNS_OUT, format!("{name} runs out in {days} days, on {last}"), hint))
    };
    partner.agreements.iter().filter_map(one).collect()
}
