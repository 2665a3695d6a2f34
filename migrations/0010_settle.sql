-- Cases, supervision and settlement. Amounts are fen; times are milliseconds since 1970.

-- The state an object is in, and the day since which: `IN_BENEFIT 2017-07-03`.
ALTER TABLE fence ADD COLUMN state TEXT NOT NULL DEFAULT '';

-- What every source object says now, as far as rules ask for it; encrypted.
CREATE TABLE fact (
    object_id TEXT PRIMARY KEY, dataset TEXT NOT NULL, system TEXT NOT NULL, subject TEXT NOT NULL,
    division TEXT NOT NULL, event_id TEXT NOT NULL, sequence BIGINT NOT NULL, body TEXT NOT NULL, at BIGINT NOT NULL,
    due BIGINT NOT NULL,             -- time of a change that the rules have not looked at, else 0
    deleted BIGINT NOT NULL
);
CREATE INDEX fact_due ON fact (due, object_id);
CREATE INDEX fact_dataset ON fact (dataset, object_id);

-- What holds facts together: persons, households, cases, accounts, certificates; all but persons as keyed hashes.
CREATE TABLE fact_link (object_id TEXT NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (object_id, kind, value));
CREATE INDEX fact_link_value ON fact_link (kind, value);

-- What a rule, or the watch over cases, has found.
CREATE TABLE alert (
    id TEXT PRIMARY KEY, rule TEXT NOT NULL, severity TEXT NOT NULL, owner TEXT NOT NULL,
    state TEXT NOT NULL,             -- open, suppressed, gone
    person_key TEXT NOT NULL, dataset TEXT NOT NULL, system TEXT NOT NULL, subject TEXT NOT NULL, division TEXT NOT NULL,
    object_id TEXT NOT NULL, event_id TEXT NOT NULL, evidence TEXT NOT NULL, amount BIGINT NOT NULL,
    at BIGINT NOT NULL, changed_at BIGINT NOT NULL, reason TEXT NOT NULL
);
CREATE INDEX alert_state ON alert (state, rule);
CREATE INDEX alert_object ON alert (object_id);

-- Settlements and their negative twins. `person` is a keyed hash; what only the hospital may see is encrypted in `body`.
CREATE TABLE settlement (
    settle_no TEXT PRIMARY KEY, idem_key TEXT NOT NULL, request_hash TEXT NOT NULL,
    institution TEXT NOT NULL, visit_no TEXT NOT NULL, person TEXT NOT NULL, year BIGINT NOT NULL,
    category TEXT NOT NULL, service TEXT NOT NULL, division TEXT NOT NULL, county TEXT NOT NULL,
    total BIGINT NOT NULL, aid BIGINT NOT NULL, personal BIGINT NOT NULL, deductible BIGINT NOT NULL,
    status TEXT NOT NULL, reverses TEXT NOT NULL, settled_on TEXT NOT NULL, settled_at BIGINT NOT NULL,
    recon TEXT NOT NULL, clearing_no TEXT NOT NULL, body TEXT NOT NULL
);
CREATE UNIQUE INDEX settlement_idem ON settlement (idem_key);
CREATE UNIQUE INDEX settlement_reverses ON settlement (reverses) WHERE reverses <> '';
CREATE INDEX settlement_day ON settlement (settled_on, institution);
CREATE INDEX settlement_visit ON settlement (institution, visit_no);

-- What a person has had of the year's cap and deductible. The row is the lock of the cap.
CREATE TABLE aid_year (
    person TEXT NOT NULL, year BIGINT NOT NULL, service TEXT NOT NULL,
    aid BIGINT NOT NULL, deductible BIGINT NOT NULL,
    PRIMARY KEY (person, year, service)
);

-- The last pre-settlement of a visit: what a settlement must equal.
CREATE TABLE presettlement (
    institution TEXT NOT NULL, visit_no TEXT NOT NULL, request_hash TEXT NOT NULL, aid BIGINT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (institution, visit_no)
);

-- Findings of the nightly reconciliation; an open one keeps its line out of the clearing.
CREATE TABLE recon_line (
    settled_on TEXT NOT NULL, institution TEXT NOT NULL, idem_key TEXT NOT NULL, result TEXT NOT NULL,
    hub_aid BIGINT NOT NULL, site_aid BIGINT NOT NULL, state TEXT NOT NULL, -- open, closed
    at BIGINT NOT NULL,
    PRIMARY KEY (idem_key)
);
