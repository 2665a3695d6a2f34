//! Agreements: who may get which dataset, which fields, in what form, for what purpose.
//!
//! One file per partner, `config/partners/<slug>.toml`. Without an agreement nothing is delivered. Of the agreements of
//! a partner the first in the file that applies to an event decides, so an event reaches a partner once, for one purpose.
//! The copy for the partner is built up from the listed fields (see [`plan`]), and its `contenthash` is that of the
//! copy: the hash of the whole record would let a partner try out values of the fields it must not know.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustc_hash::FxHashMap;
use serde_json::Value;
use time::Date;

use crate::{
    envelope::{ContentHash, Data, Dataset, DeliveryId, Event, Op, SubscriptionId},
    error::{Code, Fault},
};

pub mod agreement;
pub mod file;
pub mod form;
pub mod keys;
pub mod network;
pub mod partner;
pub mod plan;
#[cfg(test)]
mod tests;

use agreement::{Agreement, Verdict};
use form::{Context, Form};
use keys::{GovernKeys, PartnerKeys};
use partner::Partner;
use plan::Reason;

/// The folder of the partners or one of its files cannot be read.
pub const UNREADABLE: Code = Code::new(5100);

/// A delivery waited longer than its agreement held.
pub const ENDED: Code = Code::new(5115);

/// Longest partner file that is read.
const MOST_BYTES: u64 = 1 << 20;

/// What agreements are checked against. Without it only their form is checked.
pub struct Known<'a> {
    /// Names of all datasets; empty if they are not known.
    pub datasets: Vec<&'a str>,
    /// The fields of a dataset by dotted name, those in lists too; `None` if they are not known.
    pub fields: &'a dyn Fn(&str) -> Option<Vec<String>>,
    /// Partners that must have an address and secrets; of any other the lack is a state.
    pub required: Vec<&'a str>,
}

/// One event for one partner, as the partner may see it.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The queue it goes to: `deliver.<subscription>`.
    pub subscription: SubscriptionId,
    /// Id of the agreement under which it goes.
    pub agreement: String,
    /// What the partner may use it for.
    pub purpose: String,
    /// Derived from occurrence and subscription: a repeat of the occurrence has the same.
    pub delivery: DeliveryId,
    /// The copy: `purpose`, `deliveryid`, `subscription` set, only listed fields in `data`.
    pub event: Event,
    /// Fields of the record that are not in the copy, by dotted name.
    pub withheld: Vec<(String, Reason)>,
}

/// One line of [`Agreements::explain`].
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The partner.
    pub subscription: SubscriptionId,
    /// Id of the agreement.
    pub agreement: String,
    /// What it allows the data to be used for.
    pub purpose: String,
    /// Whether the event goes out under it.
    pub verdict: Verdict,
    /// For an agreement that applies: every field of the record, its form or why it is withheld.
    pub fields: Vec<(String, Result<Form, Reason>)>,
}

/// All partners and their agreements, compiled.
#[derive(Debug, Clone, Default)]
pub struct Agreements {
    partners: Vec<Partner>,
    receivers: Vec<Receiver>,
    /// Dataset to partner and its agreements, as indexes.
    by_dataset: FxHashMap<String, Vec<(usize, Vec<usize>)>>,
}

#[derive(Debug, Clone)]
struct Receiver {
    subscription: SubscriptionId,
    keys: PartnerKeys,
}

impl Agreements {
    /// Reads every `*.toml` of the folder. Either all files are good, or the answer is everything that is wrong.
    pub fn load(dir: &Path, keys: &GovernKeys) -> Result<Self, Vec<Fault>> {
        Self::load_checked(dir, keys, &Known { datasets: Vec::new(), fields: &|_| None, required: Vec::new() })
    }

    /// As [`Agreements::load`], and datasets and fields must be known ones.
    pub fn load_checked(dir: &Path, keys: &GovernKeys, known: &Known<'_>) -> Result<Self, Vec<Fault>> {
        let mut partners = Vec::new();
        let mut faults = Vec::new();
        for path in files(dir).map_err(|fault| vec![fault])? {
            match read(&path).map_err(|fault| vec![fault]).and_then(|text| file::read(&path, &text, keys, known)) {
                Ok(partner) => partners.push(partner),
                Err(more) => faults.extend(more),
            }
        }
        if faults.is_empty() { Ok(Self::new(partners, keys)) } else { Err(faults) }
    }

    fn new(partners: Vec<Partner>, keys: &GovernKeys) -> Self {
        let mut by_dataset: FxHashMap<String, Vec<(usize, Vec<usize>)>> = FxHashMap::default();
        for (index, partner) in partners.iter().enumerate() {
            for (number, agreement) in partner.agreements.iter().enumerate() {
                let entries = by_dataset.entry(agreement.dataset.clone()).or_default();
                match entries.last_mut() {
                    Some((last, numbers)) if *last == index => numbers.push(number),
                    _ => entries.push((index, vec![number])),
                }
            }
        }
        let receivers = partners
            .iter()
            .map(|partner| Receiver { subscription: partner.slug.as_str().into(), keys: keys.partner(&partner.slug) })
            .collect();
        Self { partners, receivers, by_dataset }
    }

    /// In the order of their file names.
    pub fn partners(&self) -> &[Partner] {
        &self.partners
    }

    /// One per partner, named like it.
    pub fn subscriptions(&self) -> Vec<SubscriptionId> {
        self.receivers.iter().map(|receiver| receiver.subscription.clone()).collect()
    }

    /// The copies of the event that go out on that day, at most one per partner.
    pub fn outgoing(&self, event: &Event, today: Date) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        let dataset = event.kind.rsplit_once('.').map_or(event.kind.as_str(), |(dataset, _)| dataset);
        for (index, numbers) in self.by_dataset.get(dataset).into_iter().flatten() {
            let mut agreements = numbers.iter().map(|number| &self.partners[*index].agreements[*number]);
            if let Some(agreement) = agreements.find(|agreement| agreement.judge(event, today) == Verdict::Applies) {
                outgoing.push(project(event, agreement, &self.receivers[*index], today));
            }
        }
        outgoing
    }

    /// The partner of this name.
    pub fn partner(&self, slug: &str) -> Option<&Partner> {
        self.partners.iter().find(|partner| partner.slug == slug)
    }

    /// The top-level fields that a deletion carries to a partner under one of its agreements.
    pub fn deleted_with(&self, slug: &str, agreement: &str) -> Vec<String> {
        let agreements = self.partner(slug).into_iter().flat_map(|partner| &partner.agreements);
        agreements.filter(|one| one.id == agreement).flat_map(|one| one.plan.key().map(str::to_owned)).collect()
    }

    /// The copy for one partner under its agreement for requests; `None` if it has none that applies.
    pub fn on_request(&self, slug: &str, event: &Event, today: Date) -> Option<Outgoing> {
        let (partner, receiver) = self.partners.iter().zip(&self.receivers).find(|(partner, _)| partner.slug == slug)?;
        let agreement = partner.agreements.iter().find(|agreement| agreement.judge(event, today) == Verdict::OnRequest)?;
        Some(project(event, agreement, receiver, today))
    }

    /// What one partner would see of an event, whether by itself or on a request, and the judgement of all its agreements.
    pub fn preview(&self, slug: &str, event: &Event, today: Date) -> (Option<Outgoing>, Vec<(&Agreement, Verdict)>) {
        let Some((partner, receiver)) = self.partners.iter().zip(&self.receivers).find(|(partner, _)| partner.slug == slug)
        else {
            return (None, Vec::new());
        };
        let judged: Vec<_> = partner.agreements.iter().map(|agreement| (agreement, agreement.judge(event, today))).collect();
        let of = |wanted| judged.iter().find(|(_, verdict)| *verdict == wanted);
        let chosen = of(Verdict::Applies).or_else(|| of(Verdict::OnRequest));
        (chosen.map(|(agreement, _)| project(event, agreement, receiver, today)), judged)
    }

    /// Whether a delivery may still leave on that day: it waited, and its agreement may have run out meanwhile.
    pub fn permit(&self, subscription: &SubscriptionId, event: &Event, today: Date) -> Result<(), Fault> {
        let Some(partner) = self.partner(subscription.as_str()) else { return Ok(()) };
        let dataset = event.kind.rsplit_once('.').map_or(event.kind.as_str(), |(dataset, _)| dataset);
        let about =
            |agreement: &&Agreement| agreement.dataset == dataset && Some(agreement.purpose.as_str()) == event.purpose.as_deref();
        let mut of_it = partner.agreements.iter().filter(about).peekable();
        if of_it.peek().is_none() || of_it.any(|agreement| agreement.is_valid(today)) {
            return Ok(());
        }
        Err(Fault::new(ENDED, "the agreement ran out before the delivery left")
            .hint("renew the agreement, then `civilhub dead replay`"))
    }

    /// For every agreement about the event's dataset: whether it applies, and each field's form or reason.
    pub fn explain(&self, event: &Event, today: Date) -> Vec<Explanation> {
        let dataset = event.dataset();
        let mut lines = Vec::new();
        for (partner, receiver) in self.partners.iter().zip(&self.receivers) {
            let mut decided = false;
            for agreement in partner.agreements.iter().filter(|agreement| Dataset::from(agreement.dataset.as_str()) == dataset) {
                let mut line = explain(event, agreement, receiver, today);
                if decided && line.verdict == Verdict::Applies {
                    line.verdict = Verdict::Preceded;
                    line.fields.clear();
                }
                decided |= line.verdict == Verdict::Applies;
                lines.push(line);
            }
        }
        lines
    }
}

fn project(event: &Event, agreement: &Agreement, receiver: &Receiver, today: Date) -> Outgoing {
    let delivery = DeliveryId::derive(&event.occurrence, &receiver.subscription);
    let context = Context { keys: &receiver.keys, delivery: &delivery, today };
    let deleted = event.op() == Some(Op::Delete);
    let (record, withheld) = agreement.plan.project(&event.data.record, deleted, &context);
    let quality = event.data.quality.iter().filter(|quality| agreement.plan.shows(&quality.field, &withheld));
    let data = Data { quality: quality.cloned().collect(), record };
    let event = Event {
        specversion: event.specversion,
        id: event.id.clone(),
        source: event.source.clone(),
        kind: event.kind.clone(),
        subject: event.subject.clone(),
        time: event.time.clone(),
        dataschema: event.dataschema.clone(),
        datacontenttype: event.datacontenttype.clone(),
        division: shortened(&event.division, agreement.division_digits),
        sequence: event.sequence,
        partitionkey: event.partitionkey.clone(),
        contenthash: ContentHash::of(&data.record),
        occurrence: event.occurrence.clone(),
        bookdate: event.bookdate.clone(),
        purpose: Some(agreement.purpose.clone()),
        authorization: event.authorization.clone(),
        traceparent: event.traceparent.clone(),
        deliveryid: Some(delivery.clone()),
        subscription: Some(receiver.subscription.clone()),
        data,
    };
    Outgoing {
        subscription: receiver.subscription.clone(),
        agreement: agreement.id.clone(),
        purpose: agreement.purpose.clone(),
        delivery,
        event,
        withheld,
    }
}

/// A division code of which only the first digits are told; the rest is zeros, as codes are padded.
fn shortened(division: &str, digits: usize) -> String {
    let shown = division.get(..digits).unwrap_or(division);
    format!("{shown:0<width$}", width = division.len())
}

fn explain(event: &Event, agreement: &Agreement, receiver: &Receiver, today: Date) -> Explanation {
    let verdict = agreement.judge(event, today);
    let mut fields = Vec::new();
    if matches!(verdict, Verdict::Applies | Verdict::OnRequest) {
        let outgoing = project(event, agreement, receiver, today);
        let shown = agreement.fields.iter().filter(|(field, _)| has(&outgoing.event.data.record, field));
        fields.extend(shown.map(|(field, form)| (field.clone(), Ok(*form))));
        fields.extend(outgoing.withheld.into_iter().map(|(field, reason)| (field, Err(reason))));
        fields.sort_by(|a, b| a.0.cmp(&b.0));
    }
    Explanation {
        subscription: receiver.subscription.clone(),
        agreement: agreement.id.clone(),
        purpose: agreement.purpose.clone(),
        verdict,
        fields,
    }
}

/// Whether the record has the field, of lists in any element.
fn has(record: &Value, field: &str) -> bool {
    if let Value::Array(items) = record {
        return items.iter().any(|item| has(item, field));
    }
    match field.split_once('.') {
        Some((head, rest)) => record.get(head).is_some_and(|inner| has(inner, rest)),
        None => record.get(field).is_some(),
    }
}

/// The partner files in the order of their names.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Fault> {
    let unreadable = |error: std::io::Error| {
        let message = format!("the folder of the partners cannot be read: {}", error.kind());
        Fault::new(UNREADABLE, message).in_file(dir.display().to_string()).hint("check `paths.partners` in the configuration")
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<String, Fault> {
    let fault = |message: String| Fault::new(UNREADABLE, message).in_file(file.display().to_string());
    let length = fs::metadata(file).map_err(|error| fault(format!("the file cannot be read: {}", error.kind())))?.len();
    if length > MOST_BYTES {
        return Err(fault("the file is too long".to_owned()).expected(format!("at most {MOST_BYTES} bytes")));
    }
    fs::read_to_string(file).map_err(|error| fault(format!("the file cannot be read: {}", error.kind())))
}
