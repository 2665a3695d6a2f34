-- Full loads: which keys the last complete file had, and loads on their way. Keys are keyed hashes; what a deletion needs
-- to say is sealed.

CREATE TABLE load_key (
    system TEXT NOT NULL, keys TEXT NOT NULL, id TEXT NOT NULL,   -- hash of dataset and key
    row_id TEXT NOT NULL,            -- hash of the source's own key: a row that cannot be mapped is there all the same
    load_id TEXT NOT NULL,           -- the last full load that had it; empty before the first
    first_load TEXT NOT NULL,        -- the load that brought it; empty for a delta
    sequence BIGINT NOT NULL,        -- of the last news: a load deletes nothing that is newer than itself
    sealed TEXT NOT NULL,
    PRIMARY KEY (system, keys, id)
);
CREATE INDEX load_key_row ON load_key (system, keys, row_id);

CREATE TABLE full_load (
    system TEXT NOT NULL, object TEXT NOT NULL, id TEXT NOT NULL, -- digest of the file
    keys TEXT NOT NULL, file TEXT NOT NULL,
    state TEXT NOT NULL,             -- reading, ended, held, deleting, done, dropped, superseded
    sequence BIGINT NOT NULL, occurred_at TEXT NOT NULL,          -- the newest of its records
    unread BIGINT NOT NULL,          -- rows of which not even the key is known
    max_drop BIGINT NOT NULL,        -- the set share, in millionths
    known BIGINT NOT NULL, vanished BIGINT NOT NULL, deleted BIGINT NOT NULL,
    at BIGINT NOT NULL, note TEXT NOT NULL,
    PRIMARY KEY (system, object, id)
);
CREATE INDEX full_load_state ON full_load (state);
