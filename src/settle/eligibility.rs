//! Who is entitled on the day of admission, by what the hub knows of the person and the household.
//!
//! Answers are kept in memory for [`BOUND`] at most, and say how old they are: a status that changed since is noticed after
//! that, and a settlement under the old one by rule R5. The version of an answer is a digest of the records it stands on.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::sync::Cache;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::Date;

use super::{
    desk::{BAD_REQUEST, Error},
    policy::Policy,
};
use crate::{
    clock,
    config::keys::Keys,
    domain::resident_id::ResidentId,
    error::Fault,
    identity::IdentityKeys,
    store::{self, Store},
};

/// Longest that an answer is given again without a look at the records.
pub const BOUND: Duration = Duration::from_secs(60);
/// Answers in memory; about 200 bytes each.
const MOST: u64 = 200_000;
/// The foremost counts.
const PRIORITY: [&str; 6] = ["TK", "DB", "PV", "LI", "YF", "EP"];

/// What the window is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    pub eligible: bool,
    /// The foremost category; none where nobody is entitled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    pub date: String,
    /// The same for the same records.
    pub snapshot: String,
    /// Seconds since the records were read, at most [`BOUND`].
    pub age_seconds: u64,
    /// What is left of the year's cap, by service; services without a cap are not there.
    pub cap_left: BTreeMap<String, String>,
}

/// What the records say, without what changes with every settlement.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    category: Option<&'static str>,
    reason: Option<&'static str>,
    version: String,
    read: Instant,
}

impl Snapshot {
    /// With what is left of the caps.
    pub(super) fn answer(&self, day: Date, policy: &Policy, used: &BTreeMap<String, Decimal>) -> Answer {
        Answer {
            eligible: self.category.is_some(),
            category: self.category.map(str::to_owned),
            reason: self.reason,
            date: clock::iso_date(day),
            snapshot: self.version.clone(),
            age_seconds: self.read.elapsed().as_secs(),
            cap_left: self.category.map(|category| caps(policy, category, day, used)).unwrap_or_default(),
        }
    }
}

/// A record about the person or the household.
struct Fact {
    dataset: String,
    /// It names the person, not only the household.
    own: bool,
    body: Value,
}

/// Looks people up.
#[derive(Clone)]
pub struct Register {
    store: Store,
    keys: Keys,
    identity: IdentityKeys,
    cache: Cache<(String, Date), Arc<Snapshot>>,
}

impl Register {
    pub fn new(store: Store, keys: Keys) -> Self {
        let identity = IdentityKeys::new(keys.derive("identity"), keys.aes);
        Self { store, keys, identity, cache: Cache::builder().max_capacity(MOST).time_to_live(BOUND).build() }
    }

    /// The number in standard form, and what holds on a day.
    ///
    /// # Errors
    /// The number is none, or the store fails.
    pub(super) async fn look_up(&self, number: &str, day: Date) -> Result<(String, Arc<Snapshot>), Error> {
        let number = ResidentId::parse(number)
            .map_err(|refusal| Fault::new(BAD_REQUEST, refusal.message).at_pointer("/id_number").expected(refusal.expected))?;
        let number = number.as_str().to_owned();
        let key = (self.identity.number_hash(&number), day);
        if let Some(known) = self.cache.get(&key) {
            return Ok((number, known));
        }
        let read = Arc::new(self.read(&key.0, day).await?);
        self.cache.insert(key, Arc::clone(&read));
        Ok((number, read))
    }

    async fn read(&self, number_hash: &str, day: Date) -> Result<Snapshot, store::Error> {
        let person = "SELECT COALESCE(r.new_key, i.person_key) FROM person_identifier i \
                      LEFT JOIN person_redirect r ON r.old_key = i.person_key WHERE i.number_hash = $1 AND i.active = 1";
        let rows = self.store.read(person, &[number_hash.into()]).await?;
        let Some(person) = rows.first().map(|row| row.text(0)) else {
            return Ok(Snapshot {
                category: None,
                reason: Some("nobody is known by this number"),
                version: "none".to_owned(),
                read: Instant::now(),
            });
        };
        // What names the person, and the cases and households that are held to it.
        let sql = "WITH keys AS (SELECT $1 AS k UNION SELECT old_key FROM person_redirect WHERE new_key = $1), \
                   own AS (SELECT object_id FROM fact_link WHERE kind = 'person' AND value IN (SELECT k FROM keys)), \
                   beside AS (SELECT b.object_id FROM fact_link a JOIN fact_link b ON b.kind = a.kind AND b.value = a.value \
                   WHERE a.kind = 'household' AND a.object_id IN (SELECT object_id FROM own)) \
                   SELECT f.object_id, f.dataset, f.sequence, f.body, CAST(CASE WHEN f.object_id IN (SELECT object_id FROM own) THEN 1 ELSE 0 END AS BIGINT) \
                   FROM fact f WHERE f.deleted = 0 AND f.dataset IN ('assistance-case', 'welfare-entitlement', 'funeral-record') \
                   AND (f.object_id IN (SELECT object_id FROM own) OR f.object_id IN (SELECT object_id FROM beside)) ORDER BY f.object_id";
        let mut digest = Sha256::new();
        let mut facts = Vec::new();
        for row in self.store.read(sql, &[person.into()]).await? {
            digest.update(format!("{} {};", row.text(0), row.int(2)));
            let body = self.keys.open(&row.text(3)).and_then(|plain| serde_json::from_slice(&plain).ok()).unwrap_or_default();
            facts.push(Fact { dataset: row.text(1), own: row.int(4) != 0, body });
        }
        let (category, reason) = judge(&facts, day);
        Ok(Snapshot { category, reason, version: format!("s{}", &hex::encode(digest.finalize())[..16]), read: Instant::now() })
    }
}

/// The foremost category that holds on the day.
fn judge(facts: &[Fact], day: Date) -> (Option<&'static str>, Option<&'static str>) {
    let date = clock::iso_date(day);
    let died = |fact: &Fact| {
        fact.dataset == "funeral-record" && fact.own && fact.body["died_on"].as_str().is_some_and(|on| on < date.as_str())
    };
    if facts.iter().any(died) {
        return (None, Some("the person died before this day"));
    }
    let held: Vec<&str> = facts.iter().filter_map(|fact| category(fact, &date)).collect();
    match PRIORITY.into_iter().find(|category| held.contains(category)) {
        Some(category) => (Some(category), None),
        None => (None, Some("no status of assistance holds on this day")),
    }
}

fn category(fact: &Fact, date: &str) -> Option<&'static str> {
    let text = |field: &str| fact.body[field].as_str().unwrap_or_default();
    let month = [date.get(..4)?, date.get(5..7)?].concat();
    let (from, to) = match fact.dataset.as_str() {
        "assistance-case" => ("begin_month", "end_month"),
        _ => ("from_month", "to_month"),
    };
    let within = (text(from).is_empty() || text(from) <= month.as_str()) && (text(to).is_empty() || text(to) >= month.as_str());
    let category = match (fact.dataset.as_str(), text("category"), text("kind")) {
        ("assistance-case", "TK", _) if fact.own => "TK",
        ("assistance-case", "UD" | "RD", _) => "DB",
        ("assistance-case", "LI", _) => "LI",
        ("welfare-entitlement", _, "ORPHAN") if fact.own => "TK",
        ("welfare-entitlement", _, "VETERAN") if fact.own => "YF",
        _ => return None,
    };
    let holds = match fact.dataset.as_str() {
        "assistance-case" => in_benefit(&fact.body, date),
        _ => text("status") == "active",
    };
    (within && holds).then_some(category)
}

/// Whether a case gave benefit on a day. Few sources tell their whole history: a case in benefit now was so since it was
/// applied for, unless it says more; one that has ended was so until the step that ended it.
fn in_benefit(case: &Value, date: &str) -> bool {
    let benefit = |state: &str| matches!(state, "IN_BENEFIT" | "ADJUSTED");
    let applied = case["apply_date"].as_str().is_none_or(|on| on <= date);
    let steps = case["history"].as_array().map(Vec::as_slice).unwrap_or_default();
    let step = |step: &Value| Some((step["at"].as_str()?.get(..10)?.to_owned(), step["step"].as_str()?.to_owned()));
    let mut steps: Vec<(String, String)> = steps.iter().filter_map(step).collect();
    steps.sort();
    if benefit(case["status"].as_str().unwrap_or_default()) {
        // A stop or suspension that was over by now.
        let before = steps.iter().rev().find(|(at, _)| at.as_str() <= date).map(|(_, state)| state.as_str());
        return applied && !matches!(before, Some("SUSPENDED" | "TERMINATED"));
    }
    let ended = steps.iter().find(|(_, state)| matches!(state.as_str(), "SUSPENDED" | "TERMINATED")).map(|(at, _)| at.as_str());
    let given = steps.iter().any(|(at, state)| benefit(state) && at.as_str() <= date);
    applied && given && ended.is_some_and(|ended| date < ended)
}

fn caps(policy: &Policy, category: &str, day: Date, used: &BTreeMap<String, Decimal>) -> BTreeMap<String, String> {
    let left = |service: &str| {
        let cap = policy.rule(category, service, None, day).ok()?.annual_cap?;
        let left = (cap - used.get(service).copied().unwrap_or_default()).max(Decimal::ZERO);
        Some((service.to_owned(), format!("{left:.2}")))
    };
    policy.services().into_iter().filter_map(left).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::date;

    use super::*;

    fn fact(dataset: &str, own: bool, body: Value) -> Fact {
        Fact { dataset: dataset.to_owned(), own, body }
    }

    #[test]
    fn the_day_of_admission_decides() {
        let day = date!(2017 - 07 - 03);
        let dibao = |status: &str, more: Value| {
            let mut body = json!({ "category": "RD", "status": status, "apply_date": "2017-01-05" });
            for (name, value) in more.as_object().into_iter().flatten() {
                body[name] = value.clone();
            }
            judge(&[fact("assistance-case", false, body)], day).0
        };
        assert_eq!(dibao("IN_BENEFIT", json!({})), Some("DB"));
        assert_eq!(dibao("IN_BENEFIT", json!({ "begin_month": "201708" })), None);
        assert_eq!(dibao("IN_BENEFIT", json!({ "apply_date": "2017-07-04" })), None);
        let steps = json!([{ "step": "IN_BENEFIT", "at": "2017-02-01T09:00:00+08:00" }, { "step": "TERMINATED", "at": "2017-07-04T09:00:00+08:00" }]);
        assert_eq!(dibao("TERMINATED", json!({ "history": steps })), Some("DB"));
        let steps = json!([{ "step": "IN_BENEFIT", "at": "2017-02-01T09:00:00+08:00" }, { "step": "TERMINATED", "at": "2017-07-03T09:00:00+08:00" }]);
        assert_eq!(dibao("TERMINATED", json!({ "history": steps })), None);
        assert_eq!(dibao("VERIFYING", json!({})), None);
    }

    #[test]
    fn the_foremost_category_of_a_living_person() {
        let day = date!(2017 - 07 - 03);
        let benefit = |category: &str| json!({ "category": category, "status": "IN_BENEFIT", "apply_date": "2016-01-05" });
        let mut facts = vec![
            fact("welfare-entitlement", true, json!({ "kind": "VETERAN", "status": "active" })),
            fact("assistance-case", false, benefit("UD")),
        ];
        assert_eq!(judge(&facts, day).0, Some("DB"));
        // Tekun support is a person's, not the household's.
        facts.push(fact("assistance-case", false, benefit("TK")));
        assert_eq!(judge(&facts, day).0, Some("DB"));
        facts.push(fact("assistance-case", true, benefit("TK")));
        assert_eq!(judge(&facts, day).0, Some("TK"));
        facts.push(fact("funeral-record", true, json!({ "died_on": "2017-07-03" })));
        assert_eq!(judge(&facts, day).0, Some("TK"));
        facts.push(fact("funeral-record", true, json!({ "died_on": "2017-07-02" })));
        assert_eq!(judge(&facts, day), (None, Some("the person died before this day")));
        assert_eq!(judge(&[], day).0, None);
    }
}
