-- The master person index. Numbers and profiles are encrypted; look-ups go by keyed hash. Times are milliseconds since 1970.

CREATE TABLE person (
    person_key TEXT PRIMARY KEY,
    state TEXT NOT NULL,             -- active, merged
    profile TEXT NOT NULL,           -- encrypted: name, birth date, sex, phone
    version BIGINT NOT NULL,         -- grows with every change; checked before a commit
    created_at BIGINT NOT NULL       -- of two persons that turn out to be one, the older key survives
);

-- A retired key and the one that took its place. A key never changes its meaning.
CREATE TABLE person_redirect (
    old_key TEXT PRIMARY KEY, new_key TEXT NOT NULL, reason TEXT NOT NULL, event_id TEXT NOT NULL, at BIGINT NOT NULL
);
CREATE INDEX person_redirect_new ON person_redirect (new_key);

-- What a business system calls a person; each record speaks of one person at a time.
CREATE TABLE source_record (
    reference_id TEXT PRIMARY KEY,   -- keyed hash of system and reference
    system TEXT NOT NULL, reference TEXT NOT NULL, person_key TEXT NOT NULL,
    evidence TEXT NOT NULL, event_id TEXT NOT NULL, linked_at BIGINT NOT NULL
);
CREATE INDEX source_record_person ON source_record (person_key);

CREATE TABLE person_identifier (
    number_hash TEXT NOT NULL, person_key TEXT NOT NULL,
    number TEXT NOT NULL,            -- encrypted
    class TEXT NOT NULL,             -- strong, old
    active BIGINT NOT NULL, event_id TEXT NOT NULL, since BIGINT NOT NULL
);
CREATE UNIQUE INDEX person_identifier_number ON person_identifier (number_hash) WHERE active = 1;
CREATE INDEX person_identifier_person ON person_identifier (person_key);

-- What a person has to decide.
CREATE TABLE review_item (
    id TEXT PRIMARY KEY, reason TEXT NOT NULL, state TEXT NOT NULL,   -- open, closed
    person_key TEXT NOT NULL, other_key TEXT NOT NULL, system TEXT NOT NULL, event_id TEXT NOT NULL,
    evidence TEXT NOT NULL, decision TEXT NOT NULL, opened_at BIGINT NOT NULL, closed_at BIGINT NOT NULL
);
CREATE INDEX review_item_state ON review_item (state, opened_at);

-- Outbox: what everybody who holds a key must hear, written with the change itself.
CREATE TABLE identity_event (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL,   -- person.merged, person.split
    person_key TEXT NOT NULL, other_key TEXT NOT NULL, event_id TEXT NOT NULL, at BIGINT NOT NULL,
    published BIGINT NOT NULL                  -- 0 until the bus has it
);
CREATE INDEX identity_event_open ON identity_event (published, at);

-- A known value under the keys in use: with other keys nobody would be found and everybody made twice.
CREATE TABLE identity_key_check (name TEXT PRIMARY KEY, sealed TEXT NOT NULL);
