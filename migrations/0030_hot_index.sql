-- Blocking keys live in the memory of each router, made from the statements when it starts. What the store keeps is the
-- turn in which a row was last changed, so that a router reads what others have changed since its own last look, and no more.
DROP TABLE block_key;
DELETE FROM identity_key_check WHERE name = 'blocks';

-- How many decisions there were. Whoever decides holds the row until the decision is committed.
CREATE TABLE identity_turn (name TEXT PRIMARY KEY, turn BIGINT NOT NULL);
INSERT INTO identity_turn (name, turn) VALUES ('index', 1), ('households', 1);

ALTER TABLE person ADD COLUMN turn BIGINT NOT NULL DEFAULT 1;
CREATE INDEX person_turn ON person (turn);
ALTER TABLE name_count ADD COLUMN turn BIGINT NOT NULL DEFAULT 1;
CREATE INDEX name_count_turn ON name_count (turn);
