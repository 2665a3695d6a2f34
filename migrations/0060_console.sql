-- The console: accounts, sessions, requests that wait for a second person. Times are milliseconds since 1970.

CREATE TABLE console_user (
    name TEXT PRIMARY KEY, role TEXT NOT NULL,
    division TEXT NOT NULL,          -- leading digits of the divisions it may see; empty: the province
    password TEXT NOT NULL,          -- Argon2id
    totp TEXT NOT NULL,              -- sealed secret of the second factor
    totp_step BIGINT NOT NULL,       -- the last step that was used: a code is good once
    state TEXT NOT NULL,             -- active, disabled
    failures BIGINT NOT NULL, locked_until BIGINT NOT NULL, created_at BIGINT NOT NULL
);
-- `id` is the hash of what the browser holds.
CREATE TABLE console_session (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, csrf TEXT NOT NULL, created_at BIGINT NOT NULL, seen_at BIGINT NOT NULL
);
CREATE INDEX console_session_name ON console_session (name, created_at);

-- A replay above the size that one person may start.
CREATE TABLE console_request (
    id TEXT PRIMARY KEY, filter TEXT NOT NULL, letters BIGINT NOT NULL, reason TEXT NOT NULL,
    asked_by TEXT NOT NULL, asked_at BIGINT NOT NULL,
    state TEXT NOT NULL,             -- open, approved, refused
    decided_by TEXT NOT NULL, decided_at BIGINT NOT NULL
);
CREATE INDEX console_request_state ON console_request (state, asked_at);

-- Whose work a dead letter is; empty for a row that gave no event, and for letters from before this step.
ALTER TABLE dead ADD COLUMN division TEXT NOT NULL DEFAULT '';
-- Failures by kind, counted without reading the letters.
CREATE INDEX dead_group ON dead (state, system, stage, subscription, dataset, code, division, at);
CREATE INDEX dead_occurrence ON dead (occurrence);
-- Open alerts by county.
CREATE INDEX alert_division ON alert (state, division);
