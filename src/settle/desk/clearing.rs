//! Monthly clearing: what each county pays each institution. The patient's home county pays, not the hospital's.

use serde::Serialize;

use super::{Desk, Error, yuan};

/// One line of the statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    pub clearing_no: String,
    pub institution: String,
    /// Six digits of the county that pays.
    pub county: String,
    pub lines: i64,
    pub aid: String,
    /// Lines that are not reconciled, or differ, and wait for a later statement.
    pub waiting: i64,
    pub waiting_aid: String,
}

impl Desk {
    /// The statement of a month, `yyyy-mm`. A reversal happens before clearing only, so that a reversed settlement and its
    /// twin are in no statement. With `clear` the lines become cleared, and cannot be reversed any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn clearing(&self, month: &str, clear: bool) -> Result<Vec<Statement>, Error> {
        let number = month.replace('-', "");
        let mut tx = self.store.begin().await?;
        if clear {
            let sql = "UPDATE settlement SET status = 'CLEARED', clearing_no = 'QS' || $2 || '-' || institution || '-' || county \
                       WHERE substr(settled_on, 1, 7) <= $1 AND reverses = '' AND status = 'RECONCILED' AND recon = 'MATCH'";
            tx.execute(sql, &[month.into(), number.as_str().into()]).await?;
        }
        let ready = "CASE WHEN (status = 'RECONCILED' AND recon = 'MATCH') OR clearing_no = 'QS' || $2 || '-' || institution || '-' || county";
        let sql = format!(
            "SELECT institution, county, CAST(SUM({ready} THEN 1 ELSE 0 END) AS BIGINT), CAST(SUM({ready} THEN aid ELSE 0 END) AS BIGINT), \
             CAST(SUM({ready} THEN 0 ELSE 1 END) AS BIGINT), CAST(SUM({ready} THEN 0 ELSE aid END) AS BIGINT) FROM settlement \
             WHERE substr(settled_on, 1, 7) <= $1 AND reverses = '' \
             AND (status IN ('SETTLED', 'RECONCILED') OR clearing_no = 'QS' || $2 || '-' || institution || '-' || county) \
             GROUP BY institution, county ORDER BY institution, county"
        );
        let rows = tx.read(&sql, &[month.into(), number.as_str().into()]).await?;
        tx.commit().await?;
        Ok(rows
            .iter()
            .map(|row| Statement {
                clearing_no: format!("QS{number}-{}-{}", row.text(0), row.text(1)),
                institution: row.text(0),
                county: row.text(1),
                lines: row.int(2),
                aid: format!("{:.2}", yuan(row.int(3))),
                waiting: row.int(4),
                waiting_aid: format!("{:.2}", yuan(row.int(5))),
            })
            .collect())
    }
}
