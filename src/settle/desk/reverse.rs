//! Reversal: a twin with the negative amounts, and the cap given back.

use super::{
    Desk, Error, NOT_FOUND, NOT_REVERSIBLE, Settlement,
    settle::{add, lock},
    yuan,
};
use crate::{
    clock,
    error::Fault,
    store::{Arg, Row},
};

impl Desk {
    /// Takes a whole settlement back. Before reconciliation the hospital may, after it the county (`approved`), after
    /// clearing nobody. The same reversal again gets the same twin.
    ///
    /// # Errors
    /// There is no such settlement, or it cannot be reversed; or the outcome is unknown.
    pub async fn reverse(&self, settle_no: &str, reason: &str, approved: bool) -> Result<Settlement, Error> {
        let mut tx = self.store.begin().await?;
        let find = "SELECT person, year, service FROM settlement WHERE settle_no = $1 AND reverses = ''";
        let found = tx.read(find, &[settle_no.into()]).await?;
        let original = found.first().ok_or_else(|| not_found("/settle_no"))?;
        let key: [Arg; 3] = [original.text(0).into(), original.int(1).into(), original.text(2).into()];
        lock(&mut tx, &key).await?;
        // What stands there now that the person's year is ours.
        let columns = Settlement::COLUMNS;
        let sql = format!(
            "SELECT {columns}, deductible FROM settlement WHERE settle_no = $1 \
             UNION ALL SELECT {columns}, deductible FROM settlement WHERE reverses = $1"
        );
        let rows = tx.read(&sql, &[settle_no.into()]).await?;
        if let Some(twin) = rows.iter().find(|row| row.text(8) == settle_no) {
            return Ok(Settlement::read(twin, 0));
        }
        let original = rows.first().ok_or_else(|| not_found("/settle_no"))?;
        may(&original.text(3), approved)?;
        let twin = twin(original);
        let day = clock::iso_date(clock::today());
        let sql = "INSERT INTO settlement (settle_no, idem_key, request_hash, institution, visit_no, person, year, category, service, division, \
                   county, total, aid, personal, deductible, status, reverses, settled_on, settled_at, recon, clearing_no, body) \
                   SELECT $2, $3, request_hash, institution, visit_no, person, year, category, service, division, county, \
                   -total, -aid, -personal, -deductible, 'SETTLED', settle_no, $4, $5, '', '', $6 FROM settlement WHERE settle_no = $1";
        let body = self.keys.seal(serde_json::json!({ "reason": reason }).to_string().as_bytes());
        let args = [
            settle_no.into(),
            twin.settle_no.as_str().into(),
            twin.idem_key.as_str().into(),
            day.as_str().into(),
            clock::millis().into(),
            body.into(),
        ];
        tx.execute(sql, &args).await?;
        tx.execute("UPDATE settlement SET status = 'REVERSED' WHERE settle_no = $1", &[settle_no.into()]).await?;
        add(&mut tx, &key, -original.int(5), -original.int(9)).await?;
        // The visit may be settled again, and then otherwise.
        let sql = "DELETE FROM presettlement WHERE EXISTS (SELECT 1 FROM settlement s WHERE s.settle_no = $1 \
                   AND s.institution = presettlement.institution AND s.visit_no = presettlement.visit_no)";
        tx.execute(sql, &[settle_no.into()]).await?;
        tx.commit().await?;
        Ok(Settlement { settled_on: day, ..twin })
    }
}

fn twin(original: &Row) -> Settlement {
    let original_ = Settlement::read(original, 0);
    let negative = |column: usize| format!("{:.2}", yuan(-original.int(column)));
    Settlement {
        settle_no: format!("{}-R", original_.settle_no),
        idem_key: format!("{}-R", original_.idem_key),
        status: "SETTLED".to_owned(),
        total: negative(4),
        aid_pay: negative(5),
        personal_pay: negative(6),
        reverses: original_.settle_no,
        repeated: false,
        institution: original_.institution,
        settled_on: original_.settled_on,
    }
}

fn may(status: &str, approved: bool) -> Result<(), Fault> {
    match status {
        "SETTLED" => Ok(()),
        "RECONCILED" if approved => Ok(()),
        "RECONCILED" => {
            Err(Fault::new(NOT_REVERSIBLE, "the settlement is reconciled").hint("the county has to approve the reversal"))
        }
        _ => Err(Fault::new(NOT_REVERSIBLE, "the settlement is cleared").hint("an adjustment goes into the next statement")),
    }
}

fn not_found(pointer: &str) -> Fault {
    Fault::new(NOT_FOUND, "there is no such settlement").at_pointer(pointer.to_owned())
}
