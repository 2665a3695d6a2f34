//! Nightly reconciliation of one institution's day: the desk's lines against those of the institution.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{BAD_REQUEST, Desk, Error, fen, yuan};
use crate::{clock, domain::money, error::Fault};

/// A line of the institution's day file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SiteLine {
    pub idem_key: String,
    #[serde(deserialize_with = "amount")]
    pub aid_pay: i64,
    pub status: String,
}

fn amount<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        value => value.to_string(),
    };
    let yuan = money::yuan(&text).map_err(|refusal| serde::de::Error::custom(refusal.to_string()))?;
    yuan.parse().map(fen).map_err(|_| serde::de::Error::custom("not an amount"))
}

/// The five results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    Match,
    HubOnly,
    SiteOnly,
    AmountDiff,
    StatusDiff,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Match => "MATCH",
            Self::HubOnly => "HUB_ONLY",
            Self::SiteOnly => "SITE_ONLY",
            Self::AmountDiff => "AMOUNT_DIFF",
            Self::StatusDiff => "STATUS_DIFF",
        }
    }
}

/// Aid and status of a line on one side, if it has the line.
type Side = Option<(i64, String)>;

/// A compared line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    pub idem_key: String,
    pub result: Outcome,
    pub hub_aid: String,
    pub site_aid: String,
}

/// A compared day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub institution: String,
    pub date: String,
    /// Counts and sums first: where they agree, and all lines match, there is nothing to talk about.
    pub hub_lines: usize,
    pub site_lines: usize,
    pub hub_aid: String,
    pub site_aid: String,
    pub results: BTreeMap<&'static str, usize>,
    /// What differs.
    pub differences: Vec<Line>,
}

impl Desk {
    /// Compares a day, marks what matches as reconciled and keeps what differs open. May be repeated: a day file that was put
    /// right closes what it settles.
    ///
    /// # Errors
    /// A day file that names a line twice; the store.
    pub async fn reconcile(&self, institution: &str, date: &str, site: &[SiteLine]) -> Result<Report, Error> {
        let mut lines: BTreeMap<String, (Side, Side)> = BTreeMap::new();
        for line in site {
            let entry = lines.entry(line.idem_key.clone()).or_default();
            if entry.1.replace((line.aid_pay, line.status.clone())).is_some() {
                return Err(Fault::new(BAD_REQUEST, "the day file has a line twice").at_pointer("/idem_key").into());
            }
        }
        let sql = "SELECT idem_key, aid, status FROM settlement WHERE institution = $1 AND settled_on = $2";
        for row in self.store.read(sql, &[institution.into(), date.into()]).await? {
            lines.entry(row.text(0)).or_default().0 = Some((row.int(1), row.text(2)));
        }
        let compared: Vec<(Line, i64, i64)> = lines.into_iter().map(|(key, (hub, site))| compare(key, hub, site)).collect();
        self.note(institution, date, &compared).await?;
        Ok(report(institution, date, compared))
    }

    async fn note(&self, institution: &str, date: &str, compared: &[(Line, i64, i64)]) -> Result<(), Error> {
        let rows: Vec<Value> =
            compared.iter().map(|(line, hub, site)| json!([line.idem_key, line.result.word(), hub, site])).collect();
        let rows = Value::Array(rows).to_string();
        let mut tx = self.store.begin().await?;
        tx.execute(
            "UPDATE settlement SET recon = r.result FROM (SELECT value ->> 0 AS line, value ->> 1 AS result FROM {rows}) AS r \
             WHERE settlement.idem_key = r.line",
            &[rows.as_str().into()],
        )
        .await?;
        let sql = "UPDATE settlement SET status = 'RECONCILED' WHERE status = 'SETTLED' \
                   AND idem_key IN (SELECT value ->> 0 FROM {rows} WHERE value ->> 1 = 'MATCH')";
        tx.execute(sql, &[rows.as_str().into()]).await?;
        tx.execute(
            "INSERT INTO recon_line (settled_on, institution, idem_key, result, hub_aid, site_aid, state, at) \
             SELECT $2, $3, value ->> 0, value ->> 1, CAST(value ->> 2 AS BIGINT), CAST(value ->> 3 AS BIGINT), \
             CASE value ->> 1 WHEN 'MATCH' THEN 'closed' ELSE 'open' END, $4 FROM {rows} WHERE true \
             ON CONFLICT (idem_key) DO UPDATE SET result = excluded.result, hub_aid = excluded.hub_aid, site_aid = excluded.site_aid, \
             state = excluded.state, at = excluded.at",
            &[rows.as_str().into(), date.into(), institution.into(), clock::millis().into()],
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

/// What the site calls settled the desk may have reconciled already.
fn same_status(hub: &str, site: &str) -> bool {
    hub == site || site == "SETTLED" && matches!(hub, "RECONCILED" | "CLEARED")
}

fn compare(idem_key: String, hub: Side, site: Side) -> (Line, i64, i64) {
    let result = match (&hub, &site) {
        (Some(_), None) => Outcome::HubOnly,
        (None, _) => Outcome::SiteOnly,
        (Some((hub, _)), Some((site, _))) if hub != site => Outcome::AmountDiff,
        (Some((_, hub)), Some((_, site))) if !same_status(hub, site) => Outcome::StatusDiff,
        _ => Outcome::Match,
    };
    let (hub, site) = (hub.map_or(0, |(aid, _)| aid), site.map_or(0, |(aid, _)| aid));
    let money = |fen: i64| format!("{:.2}", yuan(fen));
    (Line { idem_key, result, hub_aid: money(hub), site_aid: money(site) }, hub, site)
}

fn report(institution: &str, date: &str, compared: Vec<(Line, i64, i64)>) -> Report {
    let mut results: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (line, ..) in &compared {
        *results.entry(line.result.word()).or_default() += 1;
    }
    let missing = |outcome: Outcome| compared.iter().filter(|(line, ..)| line.result == outcome).count();
    let sum = |side: fn(&(Line, i64, i64)) -> i64| format!("{:.2}", yuan(compared.iter().map(side).sum()));
    Report {
        institution: institution.to_owned(),
        date: date.to_owned(),
        hub_lines: compared.len() - missing(Outcome::SiteOnly),
        site_lines: compared.len() - missing(Outcome::HubOnly),
        hub_aid: sum(|(_, hub, _)| *hub),
        site_aid: sum(|(_, _, site)| *site),
        results,
        differences: compared.into_iter().map(|(line, ..)| line).filter(|line| line.result != Outcome::Match).collect(),
    }
}
