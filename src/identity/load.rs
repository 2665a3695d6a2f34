//! What the store knows about a batch: everybody who may be meant, in one round trip.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    batch::{Batch, Heard, Known, Seat},
    lore::{Lore, Statement},
    remark,
    standard::Standard,
};
use crate::{
    envelope::PersonKey,
    store::{Arg, Error, Row, Tx},
};

/// Persons brought in for each query, those who share most keys with it first: some more than are compared, since a link
/// may bring new neighbours.
const MOST: i64 = 12;

/// Rows: `r` a reference, `n` a number, `q` and `h` a query and one of its blocking keys, `t` a name. Of persons who share
/// equally many keys the older ones come first, as in memory.
const FIND: &str = "WITH asked AS (SELECT value ->> 'r' AS r, value ->> 'n' AS n, CAST(value ->> 'q' AS BIGINT) AS q, \
        CAST(value ->> 'h' AS BIGINT) AS h, CAST(value ->> 't' AS BIGINT) AS t FROM {rows}), \
     shared AS (SELECT a.q, b.person, COUNT(*) AS keys FROM asked a JOIN block_key b ON b.hash = a.h GROUP BY a.q, b.person), \
     ranked AS (SELECT person, ROW_NUMBER() OVER (PARTITION BY q ORDER BY keys DESC, person) AS place FROM shared), \
     held AS (SELECT i.number_hash, p.seq FROM asked a JOIN person_identifier i ON i.number_hash = a.n AND i.active = 1 \
        JOIN person p ON p.person_key = i.person_key), \
     referred AS (SELECT s.reference_id, s.said_id, s.remarks, p.seq FROM asked a JOIN source_record s ON s.reference_id = a.r \
        JOIN person p ON p.person_key = s.person_key), \
     near AS (SELECT person AS seq FROM ranked WHERE place <= $2 UNION SELECT seq FROM held UNION SELECT seq FROM referred), \
     known AS (SELECT p.seq, p.person_key, p.version FROM near JOIN person p ON p.seq = near.seq), \
     names AS (SELECT seq, person_key AS k FROM known UNION ALL \
        SELECT known.seq, r.old_key FROM known JOIN person_redirect r ON r.new_key = known.person_key) \
     SELECT 'p' AS what, person_key AS a, '' AS b, '' AS c, seq AS x, version AS y FROM known \
     UNION ALL SELECT 's', t.said_id, t.sealed, s.system || ' ' || CASE WHEN s.remarks LIKE '%held-by-other-name%' THEN '1' ELSE '' END, \
        known.seq, MAX(s.said_at) FROM known JOIN source_record s ON s.person_key = known.person_key \
        JOIN statement t ON t.said_id = s.said_id GROUP BY 2, 3, 4, 5 \
     UNION ALL SELECT 'i', i.number_hash, i.number, '', known.seq, 0 FROM known \
        JOIN person_identifier i ON i.person_key = known.person_key AND i.active = 1 \
     UNION ALL SELECT 'n', number_hash, '', '', seq, 0 FROM held \
     UNION ALL SELECT 'r', reference_id, said_id, remarks, seq, 0 FROM referred \
     UNION ALL SELECT 'c', '', '', '', one.seq, other.seq FROM cannot_link l JOIN names one ON one.k = l.one_key \
        JOIN names other ON other.k = l.other_key WHERE l.lifted_at = 0 \
     UNION ALL SELECT 't', '', '', '', c.hash, c.records FROM asked a JOIN name_count c ON c.hash = a.t \
     UNION ALL SELECT 'z', '', '', '', COALESCE(MAX(seq), 0), 0 FROM person";

/// Brings everybody into a batch who may be meant by its queries.
pub(super) async fn load<'a>(tx: &mut Tx, lore: &'a Lore, asked: &[(&Standard, Arc<Statement>)]) -> Result<Batch<'a>, Error> {
    let found = Found::of(tx.read(FIND, &[Arg::from(&wanted(asked)), Arg::Int(MOST)]).await?, lore)?;
    let mut batch = Batch::new(lore, found.last);
    let mut places = HashMap::new();
    // In the order of their age: of two who turn out to be one, the older keeps the key.
    for (seq, mut seat) in found.seats {
        for (hash, sealed) in found.numbers.get(&seq).into_iter().flatten() {
            if seat.states(hash) {
                continue;
            }
            seat.kept.push(lore.held(hash, sealed)?);
        }
        places.insert(seq, batch.seat(seat));
    }
    let at = |seq: &i64| places.get(seq).copied();
    for (seq, numbers) in &found.numbers {
        let numbers = numbers.iter().filter_map(|(hash, _)| Some((hash.clone(), at(seq)?)));
        batch.by_number.extend(numbers);
    }
    for (number, seq) in found.held {
        if let Some(person) = at(&seq) {
            batch.by_number.insert(number, person);
        }
    }
    for (reference, said_id, remarks, seq) in found.referred {
        if let Some(person) = at(&seq) {
            let said = batch.seats[person as usize].heard.iter().find(|heard| heard.statement.id == said_id);
            let statement = said.map(|heard| Arc::clone(&heard.statement));
            batch.by_reference.insert(reference, Known { person, statement, remarks });
        }
    }
    for (one, other) in &found.apart {
        if let (Some(one), Some(other)) = (at(one), at(other)) {
            batch.engine.tell_apart(one, other);
        }
    }
    batch.count_names(asked.iter().map(|(_, statement)| &**statement), &found.names);
    Ok(batch)
}

/// Look-up rows of a batch.
fn wanted(asked: &[(&Standard, Arc<Statement>)]) -> Value {
    let mut rows = vec![json!({"t": "0"})];
    let mut seen = std::collections::HashSet::new();
    for (place, (asked, statement)) in asked.iter().enumerate() {
        if seen.insert(asked.reference_id.as_str()) {
            rows.push(json!({"r": asked.reference_id}));
        }
        if let Some(number) = asked.evidence().filter(|number| seen.insert(number.hash.as_str())) {
            rows.push(json!({"n": number.hash}));
        }
        // Of equal statements one is enough.
        if seen.insert(asked.said_id.as_str()) {
            rows.extend(statement.hashes.iter().map(|hash| json!({"q": place.to_string(), "h": hash.to_string()})));
            rows.extend(statement.name.map(|(_, hash)| json!({"t": hash.to_string()})));
        }
    }
    Value::Array(rows)
}

/// The rows of an answer, sorted out.
#[derive(Default)]
struct Found {
    seats: BTreeMap<i64, Seat>,
    held: Vec<(String, i64)>,
    /// Hash and sealed number, by person.
    numbers: BTreeMap<i64, Vec<(String, String)>>,
    referred: Vec<(String, String, String, i64)>,
    apart: Vec<(i64, i64)>,
    names: HashMap<i64, u32>,
    /// The youngest person of the whole index.
    last: i64,
}

impl Found {
    fn of(rows: Vec<Row>, lore: &Lore) -> Result<Self, Error> {
        let mut found = Self::default();
        let (persons, rest): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.text(0) == "p");
        for row in persons {
            found.seats.insert(row.int(4), Seat::known(PersonKey::from(row.text(1)), row.int(4)));
        }
        for row in rest {
            found.take(&row, lore)?;
        }
        Ok(found)
    }

    fn take(&mut self, row: &Row, lore: &Lore) -> Result<(), Error> {
        match row.text(0).as_str() {
            "s" => {
                let statement = lore.open(&row.text(1), &row.text(2))?;
                let source = row.text(3);
                let (system, doubted) = source.rsplit_once(' ').unwrap_or((source.as_str(), ""));
                let heard = Heard { statement, system: system.to_owned(), at: row.int(5), doubted: !doubted.is_empty() };
                self.seats.entry(row.int(4)).and_modify(|seat| seat.heard.push(heard));
            }
            "i" => {
                self.seats.entry(row.int(4)).and_modify(|seat| seat.numbers.push(row.text(1)));
                self.numbers.entry(row.int(4)).or_default().push((row.text(1), row.text(2)));
            }
            "n" => self.held.push((row.text(1), row.int(4))),
            "r" => self.referred.push((row.text(1), row.text(2), row.text(3), row.int(4))),
            "c" => self.apart.push((row.int(4), row.int(5))),
            "t" => drop(self.names.insert(row.int(4), u32::try_from(row.int(5)).unwrap_or(u32::MAX))),
            _ => self.last = row.int(4),
        }
        Ok(())
    }
}

/// Records that are on file: reference, person, remarks, what they say.
pub(super) const ON_FILE: &str = "SELECT s.reference_id, s.person_key, s.remarks, w.said_id, w.sealed FROM {rows} \
     JOIN source_record s ON s.reference_id = value ->> 'r' JOIN statement w ON w.said_id = s.said_id";

/// The doubts beside a link, as a list.
pub(super) fn remarks(text: &str) -> impl Iterator<Item = &'static str> + '_ {
    text.split(' ').filter_map(|word| remark::ALL.into_iter().find(|known| *known == word))
}
