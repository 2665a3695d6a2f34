-- Sources: files that were read to their end, and pushed deliveries that were taken in. Both are recognised when they come again.

CREATE TABLE file_seen (
    system TEXT NOT NULL, object TEXT NOT NULL, digest TEXT NOT NULL,   -- SHA-256 of the content
    file TEXT NOT NULL, records BIGINT NOT NULL, at BIGINT NOT NULL,
    repeats BIGINT NOT NULL,                                            -- how often the same content came again
    PRIMARY KEY (system, object, digest)
);

CREATE TABLE push_seen (
    system TEXT NOT NULL, object TEXT NOT NULL, delivery TEXT NOT NULL, -- the sender's delivery id, or the digest of the body
    digest TEXT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (system, object, delivery)
);
CREATE INDEX push_seen_at ON push_seen (at);
