//! [`EventMaker`]: from a mapped record to a CloudEvent, with ids that are derived and attributes without personal data.

use sha2::{Digest, Sha256};

use super::{map::Mapped, source::Row};
use crate::{
    domain::{keyed_hash::KeyedHash, resident_id::ResidentId, text},
    envelope::{ContentHash, Data, Event, EventId, Occurrence, PartitionKey, System, event::SpecVersion},
};

/// Makes the events of one system.
#[derive(Debug, Clone)]
pub struct EventMaker {
    system: System,
    source: String,
    hash: KeyedHash,
}

impl EventMaker {
    /// `hash` hides keys that hold identity numbers and makes partition keys.
    pub fn new(system: System, hash: KeyedHash) -> Self {
        let source = format!("/systems/{system}");
        Self { system, source, hash }
    }

    /// The event of one output of `row`. `bookdate` is the day on which the row was read, `yyyy-mm-dd`.
    pub fn make(&self, mapped: Mapped, row: &Row, bookdate: &str) -> Event {
        let (contenthash, said) = self.hashes(&mapped);
        // Keyed: receivers see the id, and with a plain hash they could try out values that are withheld from them.
        let said = ContentHash::new(self.hash.hex(said.as_str()));
        let id = EventId::derive(&self.system, mapped.dataset.as_str(), &mapped.key, &said, mapped.sequence);
        let occurrence = Occurrence::derive(&id, &format!("{}/{}", row.origin, mapped.index));
        let partitionkey = self.partition(&mapped);
        let subject = if has_identity_number(&mapped.key) { self.hash.hex(&mapped.key) } else { mapped.key };
        Event {
            specversion: SpecVersion::V1,
            id,
            source: self.source.clone(),
            kind: format!("{}.{}", mapped.dataset, mapped.op.as_str()),
            subject,
            time: mapped.occurred_at,
            dataschema: format!("{}/v1", mapped.dataset),
            datacontenttype: "application/json".to_owned(),
            division: mapped.division,
            sequence: mapped.sequence,
            partitionkey,
            contenthash,
            occurrence,
            bookdate: bookdate.to_owned(),
            purpose: mapped.purpose,
            authorization: mapped.authorization,
            traceparent: None,
            deliveryid: None,
            subscription: None,
            data: Data { record: mapped.record, quality: mapped.quality },
        }
    }

    /// Hash of the record, and of what was said with it: an upsert and a delete of the same record are two events.
    fn hashes(&self, mapped: &Mapped) -> (ContentHash, ContentHash) {
        let record = mapped.record.to_string();
        let said = Sha256::new()
            .chain_update(r#"{"op":""#)
            .chain_update(mapped.op.as_str())
            .chain_update(r#"","record":"#)
            .chain_update(&record)
            .chain_update("}");
        (ContentHash::new(hex::encode(Sha256::digest(&record))), ContentHash::new(hex::encode(said.finalize())))
    }

    /// Keyed, because a plain hash of an identity number is found by trying all numbers.
    fn partition(&self, mapped: &Mapped) -> PartitionKey {
        let hash = match &mapped.partition {
            Some(partition) => self.hash.hex(&format!("partition\n{partition}")),
            None => self.hash.hex(&format!("object\n{}\n{}\n{}", self.system, mapped.dataset, mapped.key)),
        };
        PartitionKey::new(&hash[..32])
    }
}

/// Whether a key shows an identity number: a run of 15 or 18 digits, of 17 and an X, or a valid number within a longer run.
pub fn has_identity_number(key: &str) -> bool {
    let key = text::compact_upper(key, key.len());
    let mut rest = key.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let run = &rest[start..];
        let digits = run.find(|c: char| !c.is_ascii_digit()).unwrap_or(run.len());
        let checked = run[digits..].starts_with('X');
        match digits {
            15 | 18 => return true,
            17.. if checked || holds_valid_number(&run[..digits]) => return true,
            _ => {}
        }
        rest = &run[digits..];
    }
    false
}

fn holds_valid_number(digits: &str) -> bool {
    (0..digits.len().saturating_sub(17)).any(|at| ResidentId::parse(&digits[at..at + 18]).is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::envelope::{Op, Quality, QualityLevel};

    fn maker() -> EventMaker {
        EventMaker::new(System::from("tekun"), KeyedHash::new(b"test"))
    }

    fn mapped(key: &str) -> Mapped {
        Mapped {
            dataset: "person".into(),
            op: Op::Upsert,
            key: key.into(),
            division: "220105000000".into(),
            occurred_at: "2017-07-03T09:00:00+08:00".into(),
            sequence: 7,
            partition: None,
            purpose: None,
            authorization: None,
            record: json!({"b": 1, "a": "李明"}),
            quality: vec![Quality { rule: "width".into(), level: QualityLevel::Fix, field: "name".into() }],
            index: 0,
        }
    }

    fn row(origin: &str) -> Row {
        Row { object: "RY".into(), origin: origin.into(), file: "f".into(), number: 1, data: json!({}), meta: json!({}) }
    }

    #[test]
    fn attributes() {
        let event = maker().make(mapped("R1"), &row("f#1"), "2017-07-03");
        assert_eq!(
            (event.source.as_str(), event.kind.as_str(), event.subject.as_str()),
            ("/systems/tekun", "person.upsert", "R1")
        );
        assert_eq!((event.dataschema.as_str(), event.sequence, event.division.as_str()), ("person/v1", 7, "220105000000"));
        assert_eq!(event.contenthash, ContentHash::of(&event.data.record));
        assert_eq!(event.op(), Some(Op::Upsert));
        let said = ContentHash::of(&json!({"op": "upsert", "record": event.data.record}));
        let said = ContentHash::new(KeyedHash::new(b"test").hex(said.as_str()));
        assert_eq!(event.id, EventId::derive(&System::from("tekun"), "person", "R1", &said, 7));
    }

    #[test]
    fn the_same_row_again_is_the_same_event_and_each_appearance_is_told_apart() {
        let make = |origin: &str, change: fn(&mut Mapped)| {
            let mut mapped = mapped("R1");
            change(&mut mapped);
            maker().make(mapped, &row(origin), "2017-07-03")
        };
        let first = make("f#1", |_| {});
        assert_eq!(first, make("f#1", |_| {}));
        let again = make("g#9", |_| {});
        assert_eq!((&first.id, &first.contenthash), (&again.id, &again.contenthash));
        assert_ne!(first.occurrence, again.occurrence);
        assert_ne!(first.occurrence, make("f#1", |mapped| mapped.index = 1).occurrence);
        assert_ne!(first.id, make("f#1", |mapped| mapped.op = Op::Delete).id);
        assert_ne!(first.id, make("f#1", |mapped| mapped.sequence = 8).id, "a state that comes back is news");
        assert_ne!(first.id, make("f#1", |mapped| mapped.record["b"] = json!(2)).id);
        assert_eq!(first.partitionkey, make("f#1", |mapped| mapped.record["b"] = json!(2)).partitionkey);
    }

    #[test]
    fn keys_with_identity_numbers_are_hidden() {
        for key in [
            "220105198003150042",
            "tk-11010519491231002X-1",
            "110105491231002",
            "２２０１０５１９８００３１５００４２",
            "22010519800315004243",
            "1220105198003150042",
            "P 2201 0519 8003 1500 42",
        ] {
            let event = maker().make(mapped(key), &row("f#1"), "2017-07-03");
            assert_eq!(event.subject, KeyedHash::new(b"test").hex(key), "{key}");
            let mut attributes = serde_json::to_value(&event).unwrap();
            attributes["data"].take();
            assert!(!attributes.to_string().contains("8003") && !attributes.to_string().contains("4912"), "{attributes}");
        }
        for key in ["R1", "220105UD20170703000123", "20170703000001", "0102002017071322028101", ""] {
            assert!(!has_identity_number(key), "{key}");
        }
    }

    #[test]
    fn partitions_say_nothing_and_follow_the_program() {
        let with = |partition: Option<&str>, key: &str| {
            let mapped = Mapped { partition: partition.map(str::to_owned), ..mapped(key) };
            maker().make(mapped, &row("f#1"), "2017-07-03").partitionkey
        };
        assert_eq!(with(Some("220105198003150042"), "a"), with(Some("220105198003150042"), "b"));
        assert_ne!(with(None, "a"), with(None, "b"));
        assert_eq!(with(Some("x"), "a").as_str().len(), 32);
        let other = EventMaker::new(System::from("tekun"), KeyedHash::new(b"other")).make(mapped("a"), &row("f#1"), "2017-07-03");
        assert_ne!(other.partitionkey, with(None, "a"));
    }
}
