-- The spine: positions of sources, fence, ledger, open deliveries, set-aside messages, attempts.
-- Only TEXT and BIGINT, so that SQLite and PostgreSQL run the same statements. Times are milliseconds since 1970.

CREATE TABLE position (
    system TEXT NOT NULL, object TEXT NOT NULL, position TEXT NOT NULL, updated_at BIGINT NOT NULL,
    PRIMARY KEY (system, object)
);

-- What every source object said last: older or equal news is dropped.
CREATE TABLE fence (
    object_id TEXT PRIMARY KEY,      -- hash of source, dataset and subject
    sequence BIGINT NOT NULL, said TEXT NOT NULL, -- operation and content hash
    event_id TEXT NOT NULL
);

-- Hash chains: one per writer, every row hashes the one before it.
CREATE TABLE ledger (
    chain TEXT NOT NULL, seq BIGINT NOT NULL,
    at BIGINT NOT NULL, kind TEXT NOT NULL, event_id TEXT NOT NULL,
    system TEXT NOT NULL, bookdate TEXT NOT NULL, dataset TEXT NOT NULL,
    body TEXT NOT NULL,              -- JSON: subscription, purpose, persons, codes; no personal data
    hash TEXT NOT NULL,
    PRIMARY KEY (chain, seq)
);
CREATE INDEX ledger_event ON ledger (event_id);
-- The end of each chain, signed at every commit, and older ends kept: a cut tail does not match them.
CREATE TABLE ledger_head (chain TEXT PRIMARY KEY, seq BIGINT NOT NULL, hash TEXT NOT NULL, signature TEXT NOT NULL);
CREATE TABLE ledger_checkpoint (
    chain TEXT NOT NULL, seq BIGINT NOT NULL, hash TEXT NOT NULL, at BIGINT NOT NULL, signature TEXT NOT NULL,
    PRIMARY KEY (chain, seq)
);

-- One row per occurrence that the router has counted; a record published again is recognised by it.
-- `open` counts deliveries without receipt, `parked` those of them that are set aside.
CREATE TABLE arrival (
    occurrence TEXT PRIMARY KEY, system TEXT NOT NULL, bookdate TEXT NOT NULL,
    state TEXT NOT NULL,             -- early (a lane was quicker than the router), dispatched, rejected, superseded, duplicate
    open BIGINT NOT NULL, parked BIGINT NOT NULL
);

-- Effects that happened: the second try of a delivery finds its first here.
CREATE TABLE receipt (delivery_id TEXT PRIMARY KEY, subscription TEXT NOT NULL, at BIGINT NOT NULL, receipt TEXT NOT NULL);

-- Set aside: rejected and parked messages with their bodies. A letter that is parked, replaying or underway holds its key.
CREATE TABLE dead (
    id TEXT PRIMARY KEY, state TEXT NOT NULL,          -- parked, rejected, replaying, underway, replayed, discarded
    stage TEXT NOT NULL, subscription TEXT NOT NULL,   -- stage: decode, map, route, deliver
    partition_key TEXT NOT NULL, event_id TEXT NOT NULL, occurrence TEXT NOT NULL,
    system TEXT NOT NULL, bookdate TEXT NOT NULL, dataset TEXT NOT NULL,
    code TEXT NOT NULL, faults TEXT NOT NULL, body TEXT NOT NULL, at BIGINT NOT NULL, note TEXT NOT NULL,
    place BIGINT NOT NULL            -- grows from letter to letter and is kept: letters of a key go on in its order
);
CREATE INDEX dead_state ON dead (state, stage, subscription);
CREATE INDEX dead_key ON dead (partition_key);
CREATE INDEX dead_event ON dead (event_id);

CREATE TABLE attempt (message_id TEXT NOT NULL, stage TEXT NOT NULL, attempts BIGINT NOT NULL, PRIMARY KEY (message_id, stage));

-- What each source says it has handed over, counted when its position is stored.
CREATE TABLE handed_over (system TEXT NOT NULL, bookdate TEXT NOT NULL, records BIGINT NOT NULL, refused BIGINT NOT NULL, PRIMARY KEY (system, bookdate));

-- How full the queues were when the hub last looked: lets the books be read while no process runs.
CREATE TABLE queue_depth (queue TEXT PRIMARY KEY, messages BIGINT NOT NULL, at BIGINT NOT NULL);

-- Pushed records that are in the count of what was handed over: a sender that did not hear the answer sends again.
CREATE TABLE push_counted (occurrence TEXT PRIMARY KEY, at BIGINT NOT NULL);
