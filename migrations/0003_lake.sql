-- The lake writer's book of intents: what it is about to commit, and what the tables already have.

CREATE TABLE lake_batch (
    batch_id BIGINT PRIMARY KEY,     -- milliseconds * 2^20 + random: grows with time, so that old ones go by range
    dataset TEXT NOT NULL,
    app_id TEXT NOT NULL, txn_version BIGINT NOT NULL,   -- the application transaction of the Delta commit
    state TEXT NOT NULL,             -- pending, done
    version BIGINT NOT NULL,         -- Delta version once known; -1 before, and when found again after a crash
    records BIGINT NOT NULL, at BIGINT NOT NULL
);
CREATE UNIQUE INDEX lake_batch_txn ON lake_batch (app_id, txn_version);
-- A writer has one open intent per table: the next one waits until the last is finished or forgotten.
CREATE UNIQUE INDEX lake_batch_open ON lake_batch (app_id) WHERE state = 'pending';

-- Which batch carries a delivery: claimed with the intent, so that a second try finds the first.
CREATE TABLE lake_delivery (delivery_id TEXT PRIMARY KEY, batch_id BIGINT NOT NULL);
CREATE INDEX lake_delivery_batch ON lake_delivery (batch_id);
