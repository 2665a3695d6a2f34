-- Disputes about fields of records. Times are milliseconds since 1970.

-- Earlier words of source objects; the newest one stands in `fence`. Tells who received what is wrong now.
CREATE TABLE object_past (object_id TEXT NOT NULL, event_id TEXT NOT NULL, sequence BIGINT NOT NULL, PRIMARY KEY (object_id, event_id));

-- `partner_correction` keeps what partners said before there were disputes; nothing is written there any more.
CREATE TABLE dispute (
    id TEXT PRIMARY KEY,             -- derived from who disputes which field of which event
    opened_by TEXT NOT NULL,         -- a partner, or `@office`
    system TEXT NOT NULL, dataset TEXT NOT NULL, dataschema TEXT NOT NULL, subject TEXT NOT NULL,
    object_id TEXT NOT NULL, event_id TEXT NOT NULL, -- the word that is disputed
    pointer TEXT NOT NULL,
    state TEXT NOT NULL,             -- opened, sent, answered, closed
    outcome TEXT NOT NULL,           -- corrected, rejected, or empty
    said TEXT NOT NULL,              -- keyed hashes of the disputed value as receivers have it
    body TEXT NOT NULL,              -- sealed: what is wrong, what it should be
    reason TEXT NOT NULL,            -- sealed: why it was rejected
    opened_at BIGINT NOT NULL, due_on TEXT NOT NULL, -- last workday of the owner
    promised_at BIGINT NOT NULL,     -- the owner has agreed, the corrected record is awaited; else 0
    checked_event TEXT NOT NULL, checked TEXT NOT NULL, -- the last newer word that was looked at: unchanged, unknown, none
    fix_event TEXT NOT NULL, fix_said TEXT NOT NULL, fix_sequence BIGINT NOT NULL,
    answered_at BIGINT NOT NULL, answered_by TEXT NOT NULL, closed_at BIGINT NOT NULL
);
CREATE INDEX dispute_state ON dispute (state, due_on);
CREATE INDEX dispute_by ON dispute (opened_by, opened_at, id);

-- Who has the wrong value, and whether the right one has arrived there.
CREATE TABLE dispute_receiver (
    dispute_id TEXT NOT NULL, subscription TEXT NOT NULL, agreement TEXT NOT NULL, purpose TEXT NOT NULL,
    wrong_event TEXT NOT NULL, wrong_delivery TEXT NOT NULL,
    kind TEXT NOT NULL,              -- version: the corrected record by its agreement; withdrawal: it may not have that one
    state TEXT NOT NULL,             -- due, sent, received, waived
    delivery_id TEXT NOT NULL, receipt TEXT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (dispute_id, subscription)
);
