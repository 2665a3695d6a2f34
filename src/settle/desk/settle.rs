//! Settling, and asking what became of it.

use serde_json::json;

use super::{ALREADY_SETTLED, Computed, Desk, Error, KEY_REUSED, NOT_AS_PRESETTLED, Request, Settlement, Used, fen};
use crate::{
    clock,
    error::Fault,
    store::{Arg, Backend, Row, Tx},
};

const INSERT: &str = "INSERT INTO settlement (settle_no, idem_key, request_hash, institution, visit_no, person, year, category, \
     service, division, county, total, aid, personal, deductible, status, reverses, settled_on, settled_at, recon, clearing_no, body) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'SETTLED', '', $16, $17, '', '', $18)";
/// Adds to the year what the settlement of [`INSERT`] uses.
const ADD: &str =
    "UPDATE aid_year SET aid = aid + $13, deductible = deductible + $15 WHERE person = $6 AND year = $7 AND service = $9";

impl Desk {
    /// Settles: reserves the cap, and keeps the settlement. The same request again gets the same answer.
    ///
    /// # Errors
    /// Refused by the policy, by the pre-settlement, by the key; or the outcome is unknown, and is to be asked by the key.
    pub async fn settle(&self, request: &Request) -> Result<Settlement, Error> {
        let rule = self.one_stop(request)?;
        let content = request.content(&self.hash);
        let mut tx = self.store.begin().await?;
        let used = self.lock(&mut tx, request).await?;
        let before = self.before(&mut tx, request).await?;
        if let Some(first) = before.iter().find(|row| row.text(0) == "k") {
            return repeated(first, &content).map_err(Error::Refused);
        }
        if before.iter().any(|row| row.text(0) == "v") {
            let fault = Fault::new(ALREADY_SETTLED, "the visit has a settlement that holds").at_pointer("/visit_no");
            return Err(fault.hint("ask for it by its key; reverse it before the visit is settled again").into());
        }
        let computed = self.compute(request, &rule, used)?;
        as_presettled(request, &before, &content, &computed)?;
        let settlement = self.insert(&mut tx, request, content, &computed, &rule.version).await?;
        tx.commit().await?;
        Ok(settlement)
    }

    /// What became of a key; none when nothing did: then, and only then, the same request may be sent again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn query(&self, idem_key: &str) -> Result<Option<Settlement>, Error> {
        let sql = format!("SELECT {} FROM settlement WHERE idem_key = $1", Settlement::COLUMNS);
        Ok(self.store.read(&sql, &[idem_key.into()]).await?.first().map(|row| Settlement::read(row, 0)))
    }

    /// Locks the cap of the person and year until the transaction ends, and reads what was used of it.
    pub(super) async fn lock(&self, tx: &mut Tx, request: &Request) -> Result<Used, Error> {
        lock(tx, &request.year_key(&self.hash)).await
    }

    /// What was there before: the settlement of this key (`k`), one of this visit that holds (`v`), its pre-settlement (`p`).
    async fn before(&self, tx: &mut Tx, request: &Request) -> Result<Vec<Row>, Error> {
        let columns = Settlement::COLUMNS;
        let sql = format!(
            "SELECT 'k', request_hash, {columns} FROM settlement WHERE idem_key = $1 \
             UNION ALL SELECT 'v', request_hash, {columns} FROM settlement WHERE institution = $2 AND visit_no = $3 \
             AND idem_key <> $1 AND reverses = '' AND status IN ('SETTLED', 'RECONCILED', 'CLEARED') \
             UNION ALL SELECT 'p', request_hash, '', '', '', '', CAST(0 AS BIGINT), aid, CAST(0 AS BIGINT), '', '' \
             FROM presettlement WHERE institution = $2 AND visit_no = $3"
        );
        let args = [request.idem_key().into(), request.institution.as_str().into(), request.visit_no.as_str().into()];
        Ok(tx.read(&sql, &args).await?)
    }

    async fn insert(
        &self,
        tx: &mut Tx,
        request: &Request,
        content: String,
        computed: &Computed,
        version: &str,
    ) -> Result<Settlement, Error> {
        let settlement = Settlement {
            settle_no: request.settle_no(),
            idem_key: request.idem_key(),
            institution: request.institution.clone(),
            status: "SETTLED".to_owned(),
            total: format!("{:.2}", request.amounts.total),
            aid_pay: format!("{:.2}", computed.aid_pay),
            personal_pay: format!("{:.2}", computed.personal_pay),
            settled_on: clock::iso_date(request.settled_on),
            reverses: String::new(),
            repeated: false,
        };
        let body =
            json!({ "person": request.person, "policy_version": version, "admit_date": clock::iso_date(request.admit_date) });
        let args: Vec<Arg> = vec![
            settlement.settle_no.as_str().into(),
            settlement.idem_key.as_str().into(),
            content.into(),
            request.institution.as_str().into(),
            request.visit_no.as_str().into(),
            request.person_hash(&self.hash).into(),
            request.year().into(),
            request.category.as_str().into(),
            request.service.as_str().into(),
            request.division.as_str().into(),
            request.division[..6].to_owned().into(),
            fen(request.amounts.total).into(),
            fen(computed.aid_pay).into(),
            fen(computed.personal_pay).into(),
            fen(computed.deductible_used).into(),
            settlement.settled_on.as_str().into(),
            clock::millis().into(),
            self.keys.seal(body.to_string().as_bytes()).into(),
        ];
        if tx.backend() == Backend::Postgres {
            // Both in one round trip; SQLite has neither the round trip nor such a statement.
            tx.execute(&format!("WITH used AS ({ADD}) {INSERT}"), &args).await?;
        } else {
            tx.execute(INSERT, &args).await?;
            add(tx, &request.year_key(&self.hash), fen(computed.aid_pay), fen(computed.deductible_used)).await?;
        }
        Ok(settlement)
    }
}

/// A row that is made or touched is locked until the end of the transaction.
pub(super) async fn lock(tx: &mut Tx, key: &[Arg; 3]) -> Result<Used, Error> {
    let sql = "INSERT INTO aid_year (person, year, service, aid, deductible) VALUES ($1, $2, $3, 0, 0) \
               ON CONFLICT (person, year, service) DO UPDATE SET aid = aid_year.aid RETURNING aid, deductible";
    let rows = tx.read(sql, key).await?;
    Ok(rows.first().map(|row| Used { aid: row.int(0), deductible: row.int(1) }).unwrap_or_default())
}

/// Adds to what was used; both may be negative.
pub(super) async fn add(tx: &mut Tx, key: &[Arg; 3], aid: i64, deductible: i64) -> Result<(), Error> {
    let [person, year, service] = key.clone();
    let sql = "UPDATE aid_year SET aid = aid + $4, deductible = deductible + $5 WHERE person = $1 AND year = $2 AND service = $3";
    tx.execute(sql, &[person, year, service, aid.into(), deductible.into()]).await?;
    Ok(())
}

fn repeated(first: &Row, content: &str) -> Result<Settlement, Fault> {
    if first.text(1) == content {
        return Ok(Settlement::read(first, 2));
    }
    tracing::error!(code = %KEY_REUSED, "an idempotency key was used for another settlement");
    let fault = Fault::new(KEY_REUSED, "the key was used for a settlement with another content").at_pointer("/seq");
    Err(fault.hint("ask by the key what was settled; a new settlement of the visit needs a reversal and the next seq"))
}

/// A stay is settled as it was pre-settled; one-step services need no pre-settlement, but must equal one that was made.
fn as_presettled(request: &Request, before: &[Row], content: &str, computed: &Computed) -> Result<(), Fault> {
    let differs =
        |message: &'static str| Fault::new(NOT_AS_PRESETTLED, message).at_pointer("/input").hint("pre-settle again, then settle");
    match before.iter().find(|row| row.text(0) == "p") {
        Some(row) if row.text(1) != content => Err(differs("the amounts differ from the last pre-settlement")),
        Some(row) if row.int(7) != fen(computed.aid_pay) => Err(differs("the cap was used elsewhere since the pre-settlement")),
        Some(_) => Ok(()),
        None if request.service.starts_with("inpatient") => Err(differs("the stay was not pre-settled")),
        None => Ok(()),
    }
}
