-- Deliveries that wait until their partner fetches them.
-- An acknowledged row keeps its id and loses its body: a repeat of the delivery must not come up a second time.
CREATE TABLE mailbox (
    partner TEXT NOT NULL, cursor BIGINT NOT NULL,
    delivery_id TEXT NOT NULL UNIQUE,
    size BIGINT NOT NULL,            -- bytes of the body; 0 once acknowledged
    body TEXT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (partner, cursor)
);
CREATE INDEX mailbox_acknowledged ON mailbox (at) WHERE size = 0;

-- The last cursor given out, and the last acknowledged: one row per partner, whose lock makes writers take turns.
CREATE TABLE mailbox_head (partner TEXT PRIMARY KEY, cursor BIGINT NOT NULL, acknowledged BIGINT NOT NULL);
