-- Verification: authorisations, requests of households, one query per person and provider, reports. Personal data are sealed.

CREATE TABLE authorisation (
    no TEXT PRIMARY KEY, division TEXT NOT NULL, signed_at TEXT NOT NULL, valid_to TEXT NOT NULL,
    scope TEXT NOT NULL,             -- JSON list of query kinds
    image_sha256 TEXT NOT NULL, members TEXT NOT NULL,
    revoked_at BIGINT NOT NULL,      -- 0 while it stands
    reason TEXT NOT NULL, at BIGINT NOT NULL
);

CREATE TABLE verification (
    request_no TEXT PRIMARY KEY, authorisation TEXT NOT NULL, purpose TEXT NOT NULL, division TEXT NOT NULL, operator TEXT NOT NULL,
    asked_by TEXT NOT NULL, as_of TEXT NOT NULL, kinds TEXT NOT NULL, members TEXT NOT NULL, declared TEXT NOT NULL,
    state TEXT NOT NULL,             -- OPEN, REPORTED, REFUSED
    version BIGINT NOT NULL, at BIGINT NOT NULL
);

CREATE TABLE verification_query (
    query_no TEXT PRIMARY KEY, request_no TEXT NOT NULL, member BIGINT NOT NULL, provider TEXT NOT NULL,
    state TEXT NOT NULL,             -- query_status of the code lists
    outcome TEXT NOT NULL, answer TEXT NOT NULL, fault TEXT NOT NULL,
    due_at BIGINT NOT NULL, next_at BIGINT NOT NULL, attempts BIGINT NOT NULL, sent_at BIGINT NOT NULL, answered_at BIGINT NOT NULL
);
CREATE INDEX verification_query_request ON verification_query (request_no);
CREATE INDEX verification_query_due ON verification_query (state, provider, next_at);

-- Every version of a report is kept; the highest is in force.
CREATE TABLE verification_report (
    request_no TEXT NOT NULL, version BIGINT NOT NULL, report_no TEXT NOT NULL, result TEXT NOT NULL,
    answered BIGINT NOT NULL,        -- answers that are in it: a late one makes the next version
    body TEXT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (request_no, version)
);
