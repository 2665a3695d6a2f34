-- Linking by evidence: what each record says of its person, under which keys it is found again, what humans decided.
-- Values are encrypted; hashes are keyed, so that a stolen table cannot be tried against all names or telephone numbers.

-- Grows from person to person; of two that turn out to be one the lower survives. It stands for the key in large tables.
ALTER TABLE person ADD COLUMN seq BIGINT NOT NULL DEFAULT 0;
UPDATE person SET seq = ordered.n
    FROM (SELECT person_key AS k, ROW_NUMBER() OVER (ORDER BY created_at, person_key) AS n FROM person) AS ordered WHERE ordered.k = person_key;
CREATE UNIQUE INDEX person_seq ON person (seq);

-- What a record says now; every distinct statement is kept once.
CREATE TABLE statement (said_id TEXT PRIMARY KEY, sealed TEXT NOT NULL);
ALTER TABLE source_record ADD COLUMN said_id TEXT NOT NULL DEFAULT '';
ALTER TABLE source_record ADD COLUMN said_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE source_record ADD COLUMN remarks TEXT NOT NULL DEFAULT '';     -- doubts that travel beside each delivery
ALTER TABLE source_record ADD COLUMN first_key TEXT NOT NULL DEFAULT '';   -- the key that the record got first
UPDATE source_record SET first_key = person_key;
-- Which record gave which values when.
CREATE TABLE said (
    reference_id TEXT NOT NULL, said_id TEXT NOT NULL, event_id TEXT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (reference_id, said_id, event_id)
);

-- Blocking keys: keyed hash to person.
CREATE TABLE block_key (hash BIGINT NOT NULL, person BIGINT NOT NULL, PRIMARY KEY (hash, person));
CREATE INDEX block_key_person ON block_key (person);
-- How many records bear a name; row 0 counts all of them.
CREATE TABLE name_count (hash BIGINT PRIMARY KEY, records BIGINT NOT NULL);

-- Told apart for ever, unless a human takes it back: then lifted_at says when.
CREATE TABLE cannot_link (
    one_key TEXT NOT NULL, other_key TEXT NOT NULL, reason TEXT NOT NULL, at BIGINT NOT NULL, lifted_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (one_key, other_key)
);
CREATE INDEX cannot_link_other ON cannot_link (other_key);

ALTER TABLE review_item ADD COLUMN tenths BIGINT NOT NULL DEFAULT 0;       -- of a bit
ALTER TABLE review_item ADD COLUMN fields TEXT NOT NULL DEFAULT '[]';      -- level and bits of each field
ALTER TABLE review_item ADD COLUMN model TEXT NOT NULL DEFAULT '';
ALTER TABLE review_item ADD COLUMN reference_id TEXT NOT NULL DEFAULT '';  -- the record that raised the question
ALTER TABLE review_item ADD COLUMN said_id TEXT NOT NULL DEFAULT '';       -- and what it said
ALTER TABLE review_item ADD COLUMN postponed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE review_item ADD COLUMN note TEXT NOT NULL DEFAULT '';
CREATE INDEX review_item_person ON review_item (person_key);
CREATE INDEX review_item_other ON review_item (other_key);

-- Which events speak of a person under which key: who got the key is told when it retires.
CREATE TABLE person_event (person_key TEXT NOT NULL, event_id TEXT NOT NULL, PRIMARY KEY (person_key, event_id));

-- Families as records describe them. A relation between persons, never evidence that two are one.
CREATE TABLE household (household_key TEXT PRIMARY KEY, division TEXT NOT NULL, head_key TEXT NOT NULL, changed_at BIGINT NOT NULL);
CREATE TABLE household_source (
    source_id TEXT PRIMARY KEY,      -- keyed hash of system and reference
    household_key TEXT NOT NULL, system TEXT NOT NULL, event_id TEXT NOT NULL, at BIGINT NOT NULL
);
CREATE INDEX household_source_key ON household_source (household_key);
CREATE TABLE household_member (
    source_id TEXT NOT NULL, person_key TEXT NOT NULL, relation TEXT NOT NULL, PRIMARY KEY (source_id, person_key)
);
CREATE INDEX household_member_person ON household_member (person_key);
