//! Everybody who may be meant by a batch: from the hot index, and what is cold from the store.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{
    batch::{Batch, Heard, Known, Seat},
    hot::{Hot, place},
    link::{PersonNo, blocks::Ranking},
    lore::{Lore, Statement},
    remark,
    standard::Standard,
};
use crate::{
    envelope::PersonKey,
    store::{Arg, Error, Row, Store, Tx},
};

/// Persons brought in for each query, those who share most keys with it first: some more than are compared, since a link
/// may bring new neighbours.
const MOST: usize = 12;
/// Persons read at once.
const PAGE: usize = 2_000;

/// Rows: `q` the place of a person. Equal statements of a system are one.
const SEATS: &str = "WITH known AS (SELECT p.seq, p.person_key FROM {rows} JOIN person p ON p.seq = CAST(value ->> 'q' AS BIGINT)) \
     SELECT 'p' AS what, person_key AS a, '' AS b, '' AS c, seq AS x, CAST(0 AS BIGINT) AS y FROM known \
     UNION ALL SELECT 's', t.said_id, t.sealed, s.system || ' ' || CASE WHEN s.remarks LIKE '%held-by-other-name%' THEN '1' ELSE '' END, \
        known.seq, MAX(s.said_at) FROM known JOIN source_record s ON s.person_key = known.person_key \
        JOIN statement t ON t.said_id = s.said_id GROUP BY 2, 3, 4, 5 \
     UNION ALL SELECT 'i', i.number_hash, i.number, '', known.seq, 0 FROM known \
        JOIN person_identifier i ON i.person_key = known.person_key AND i.active = 1";

/// Records that are on file, and in the first row how many decisions there were when they were read.
const ON_FILE: &str = "SELECT '' AS reference, '' AS person, '' AS remarks, '' AS said, '' AS sealed, turn AS n FROM identity_turn \
     WHERE name = 'index' UNION ALL \
     SELECT s.reference_id, s.person_key, s.remarks, s.said_id, w.sealed, p.seq FROM {rows} \
     JOIN source_record s ON s.reference_id = value ->> 'r' JOIN person p ON p.person_key = s.person_key \
     LEFT JOIN statement w ON w.said_id = s.said_id";

/// A record that is on file.
#[derive(Clone)]
pub(super) struct OnFile {
    pub(super) key: PersonKey,
    pub(super) remarks: String,
    /// Nothing when it was filed by an older version of the hub.
    pub(super) statement: Option<Arc<Statement>>,
    person: u32,
}

/// Records that are on file, as of a decision.
#[derive(Default)]
pub(super) struct Files {
    pub(super) turn: i64,
    pub(super) by_reference: HashMap<String, OnFile>,
}

impl Files {
    /// Reads what is on file; nobody is waited for.
    pub(super) async fn read(store: &Store, lore: &Lore, references: impl Iterator<Item = &str>) -> Result<Self, Error> {
        Self::of(&store.read(ON_FILE, &[Arg::from(&wanted(references))]).await?, lore)
    }

    /// The same inside a decision.
    pub(super) async fn read_again(tx: &mut Tx, lore: &Lore, references: impl Iterator<Item = &str>) -> Result<Self, Error> {
        Self::of(&tx.read(ON_FILE, &[Arg::from(&wanted(references))]).await?, lore)
    }

    fn of(rows: &[Row], lore: &Lore) -> Result<Self, Error> {
        let mut files = Self::default();
        for row in rows {
            let reference = row.text(0);
            if reference.is_empty() {
                files.turn = row.int(5);
                continue;
            }
            let statement = row.optional_text(4).map(|sealed| lore.open(&row.text(3), &sealed)).transpose()?;
            let on_file = OnFile { key: row.text(1).into(), remarks: row.text(2), statement, person: place(row.int(5)) };
            files.by_reference.insert(reference, on_file);
        }
        Ok(files)
    }
}

fn wanted<'a>(references: impl Iterator<Item = &'a str>) -> Value {
    let references: HashSet<&str> = references.collect();
    references.into_iter().map(|reference| json!({"r": reference})).collect()
}

/// Brings everybody into a batch who may be meant by its queries.
pub(super) async fn load<'a>(
    tx: &mut Tx,
    (lore, hot): (&'a Lore, &Hot),
    asked: &[(&Standard, Arc<Statement>)],
    files: &Files,
) -> Result<Batch<'a>, Error> {
    let statements = spoken(lore, asked, files);
    let mut persons: BTreeSet<u32> = files.by_reference.values().map(|on_file| hot.root(on_file.person)).collect();
    persons.extend(asked.iter().filter_map(|(asked, _)| hot.holder(&asked.evidence()?.hash)));
    let mut ranking = Ranking::default();
    for statement in &statements {
        persons.extend(hot.near(&statement.keys, MOST, &mut ranking));
    }
    let seats = seats(tx, lore, hot, &persons).await?;
    let mut batch = Batch::new(lore, hot.last);
    // In the order of their age: of two who turn out to be one, the older keeps the key.
    let places: BTreeMap<u32, PersonNo> =
        seats.into_iter().map(|(person, seat)| (person, batch.seat(Seat::clone(&seat)))).collect();
    let at = |person: u32| places.get(&hot.root(person)).copied();
    fill(&mut batch, hot, &statements, at);
    for (asked, _) in asked {
        if let Some(number) = asked.evidence()
            && let Some(person) = hot.holder(&number.hash).and_then(at)
        {
            batch.by_number.insert(number.hash.clone(), person);
        }
    }
    for (reference, OnFile { remarks, statement, person, .. }) in &files.by_reference {
        if let Some(person) = at(*person) {
            let known = Known { person, statement: statement.clone(), remarks: remarks.clone() };
            batch.by_reference.insert(reference.clone(), known);
        }
    }
    batch.count_names(asked.iter().map(|(_, statement)| &**statement), &hot.names);
    Ok(batch)
}

/// What the queries say, each once; of a record that is on file, all that it says from now on.
fn spoken(lore: &Lore, asked: &[(&Standard, Arc<Statement>)], files: &Files) -> Vec<Arc<Statement>> {
    let mut spoken = BTreeMap::new();
    for (asked, statement) in asked {
        let before = files.by_reference.get(&asked.reference_id).and_then(|on_file| on_file.statement.as_ref());
        let statement = before.map_or_else(|| Arc::clone(statement), |before| lore.followed_by(before, asked));
        spoken.insert(statement.id.clone(), statement);
    }
    spoken.into_values().collect()
}

/// Blocking keys, numbers and human decisions of the persons who were brought in.
fn fill(batch: &mut Batch<'_>, hot: &Hot, statements: &[Arc<Statement>], at: impl Fn(u32) -> Option<PersonNo>) {
    let mut keys: Vec<u64> = statements.iter().flat_map(|statement| &statement.keys).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        for person in hot.blocks.get(key).each().filter_map(&at) {
            batch.engine.put(key, person);
        }
    }
    for (person, seat) in (0..).zip(&batch.seats) {
        batch.by_number.extend(seat.numbers.iter().map(|number| (number.clone(), person)));
    }
    for (one, other) in &hot.apart {
        if let (Some(one), Some(other)) = (at(*one), at(*other)) {
            batch.engine.tell_apart(one, other);
        }
    }
}

/// Persons; those who are cold from the store.
async fn seats(tx: &mut Tx, lore: &Lore, hot: &Hot, persons: &BTreeSet<u32>) -> Result<BTreeMap<u32, Arc<Seat>>, Error> {
    let mut seats = BTreeMap::new();
    let mut cold = Vec::new();
    for person in persons {
        match hot.seat(*person) {
            Some(seat) => drop(seats.insert(*person, seat)),
            None => cold.push(*person),
        }
    }
    for seat in read(tx, lore, &cold).await? {
        hot.keep(&seat);
        seats.insert(place(seat.seq), seat);
    }
    Ok(seats)
}

/// Persons as the store has them.
pub(super) async fn read(tx: &mut Tx, lore: &Lore, persons: &[u32]) -> Result<Vec<Arc<Seat>>, Error> {
    let mut seats = Vec::with_capacity(persons.len());
    for page in persons.chunks(PAGE) {
        let rows: Value = page.iter().map(|person| json!({"q": person.to_string()})).collect();
        seats.extend(seats_of(&tx.read(SEATS, &[Arg::from(&rows)]).await?, lore)?);
    }
    Ok(seats)
}

fn seats_of(rows: &[Row], lore: &Lore) -> Result<Vec<Arc<Seat>>, Error> {
    let persons = rows.iter().filter(|row| row.text(0) == "p");
    let mut seats: BTreeMap<i64, Seat> =
        persons.map(|row| (row.int(4), Seat::known(PersonKey::from(row.text(1)), row.int(4)))).collect();
    for row in rows {
        let Some(seat) = seats.get_mut(&row.int(4)) else { continue };
        match row.text(0).as_str() {
            "s" => {
                let statement = lore.open(&row.text(1), &row.text(2))?;
                let source = row.text(3);
                let (system, doubted) = source.rsplit_once(' ').unwrap_or((source.as_str(), ""));
                seat.heard.push(Heard { statement, system: system.into(), at: row.int(5), doubted: !doubted.is_empty() });
            }
            "i" => {
                seat.numbers.push(row.text(1));
                seat.kept.push(lore.held(&row.text(1), &row.text(2))?);
            }
            _ => {}
        }
    }
    let settled = seats.into_values().map(|mut seat| {
        seat.settle(&lore.rules);
        Arc::new(seat)
    });
    Ok(settled.collect())
}

/// The doubts beside a link, as a list.
pub(super) fn remarks(text: &str) -> impl Iterator<Item = &'static str> + '_ {
    text.split(' ').filter_map(|word| remark::ALL.into_iter().find(|known| *known == word))
}
