-- For the age of the oldest message: how many messages have left a queue, counted by all processes together, and when the
-- oldest one inside had arrived as far as a hub knew when it last looked.
ALTER TABLE queue_depth ADD COLUMN settled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE queue_depth ADD COLUMN oldest_at BIGINT;
