-- Queries that travel in files: a row per file sent, and what of the bank's files was looked at already.

CREATE TABLE verification_file (
    name TEXT PRIMARY KEY, provider TEXT NOT NULL, day TEXT NOT NULL, seq BIGINT NOT NULL,
    state TEXT NOT NULL,             -- MADE, PUT, ACKED, ANSWERED, REFUSED, VOID
    queries BIGINT NOT NULL, tries BIGINT NOT NULL, next_at BIGINT NOT NULL,
    remind_at BIGINT NOT NULL,       -- when what is open goes again; 0 afterwards
    at BIGINT NOT NULL
);
CREATE INDEX verification_file_state ON verification_file (provider, state, next_at);
CREATE TABLE verification_file_seen (
    provider TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,
    fault TEXT NOT NULL,             -- empty: it was taken
    at BIGINT NOT NULL, PRIMARY KEY (provider, name, digest)
);

-- The file in which a query travels; empty while it is in none.
ALTER TABLE verification_query ADD COLUMN file TEXT NOT NULL DEFAULT '';
CREATE INDEX verification_query_file ON verification_query (file);

-- Reports are looked for among the open requests only; a late answer opens its request again.
CREATE INDEX verification_state ON verification (state);
