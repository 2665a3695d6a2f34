-- The partner API: keys, nonces, stored answers, endpoints, copies of what was sent, corrections, batches.

-- Public keys of partners. Old and new overlap: a key is good until `valid_to`; 0 means without an end.
CREATE TABLE partner_key (
    partner TEXT NOT NULL, serial BIGINT NOT NULL, public_key TEXT NOT NULL,
    added_at BIGINT NOT NULL, valid_to BIGINT NOT NULL, added_by TEXT NOT NULL,
    PRIMARY KEY (partner, serial)
);

-- Nonces of signed requests, kept well beyond the window in which a signature is good.
CREATE TABLE api_nonce (partner TEXT NOT NULL, nonce TEXT NOT NULL, expires_at BIGINT NOT NULL, PRIMARY KEY (partner, nonce));
CREATE INDEX api_nonce_expires ON api_nonce (expires_at);

-- Answers by Idempotency-Key. `state` is open while the request is worked on; bodies are sealed.
CREATE TABLE api_answer (
    partner TEXT NOT NULL, idempotency_key TEXT NOT NULL, request TEXT NOT NULL,
    state TEXT NOT NULL, status BIGINT NOT NULL, body TEXT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (partner, idempotency_key)
);
CREATE INDEX api_answer_at ON api_answer (at);

-- Endpoints that partners registered themselves; signing secrets are sealed.
CREATE TABLE partner_endpoint (
    id TEXT PRIMARY KEY, partner TEXT NOT NULL, url TEXT NOT NULL, state TEXT NOT NULL,
    secret TEXT NOT NULL, next_secret TEXT NOT NULL, at BIGINT NOT NULL
);
CREATE INDEX partner_endpoint_partner ON partner_endpoint (partner);

-- Sealed copies of what was delivered, for as long as it may be sent again.
CREATE TABLE partner_sent (
    delivery_id TEXT PRIMARY KEY, partner TEXT NOT NULL, dataset TEXT NOT NULL, at BIGINT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX partner_sent_at ON partner_sent (partner, at);
CREATE TABLE partner_resend (
    id TEXT PRIMARY KEY, partner TEXT NOT NULL, delivery_id TEXT NOT NULL, state TEXT NOT NULL, at BIGINT NOT NULL
);
CREATE INDEX partner_resend_state ON partner_resend (state, partner);

-- A partner disputes a field; what it says is sealed.
CREATE TABLE partner_correction (
    id TEXT PRIMARY KEY, partner TEXT NOT NULL, delivery_id TEXT NOT NULL, pointer TEXT NOT NULL,
    state TEXT NOT NULL, body TEXT NOT NULL, at BIGINT NOT NULL
);
CREATE INDEX partner_correction_partner ON partner_correction (partner, at);

CREATE TABLE partner_batch (
    id TEXT PRIMARY KEY, partner TEXT NOT NULL, dataset TEXT NOT NULL, manifest TEXT NOT NULL,
    state TEXT NOT NULL, faults TEXT NOT NULL, body TEXT NOT NULL, at BIGINT NOT NULL
);
CREATE INDEX partner_batch_partner ON partner_batch (partner, at);
