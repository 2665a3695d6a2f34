-- Disaster reports, one row for each report of one place: the last revision of it. Times are milliseconds since 1970.
CREATE TABLE disaster_report (
    report_key TEXT PRIMARY KEY, event_no TEXT NOT NULL, division TEXT NOT NULL, seq BIGINT NOT NULL,
    report_type TEXT NOT NULL, hazard TEXT NOT NULL, occurred_at BIGINT NOT NULL, as_of BIGINT NOT NULL, submitted_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,        -- sequence of the event: grows when the place enters it again
    status TEXT NOT NULL,            -- ENTERED, COUNTY_CHECKED, PREF_CHECKED, PROV_CHECKED, REPORTED, RETURNED
    indicators TEXT NOT NULL, event_id TEXT NOT NULL,
    stored_at BIGINT NOT NULL,       -- since when the view has it
    county_at BIGINT NOT NULL, pref_at BIGINT NOT NULL, prov_at BIGINT NOT NULL, -- when each level passed it on, else 0
    reason TEXT NOT NULL
);
CREATE INDEX disaster_report_event ON disaster_report (event_no, division, seq);

-- What offices did with reports: checked, returned, reported.
CREATE TABLE disaster_act (
    report_key TEXT NOT NULL, revision BIGINT NOT NULL, act TEXT NOT NULL, office TEXT NOT NULL, reason TEXT NOT NULL, at BIGINT NOT NULL,
    late BIGINT NOT NULL             -- seconds after the clock
);
CREATE INDEX disaster_act_report ON disaster_act (report_key, at);

-- Events that are one: the reports of the first count as reports of the second.
CREATE TABLE disaster_merge (event_no TEXT PRIMARY KEY, into_event TEXT NOT NULL, reason TEXT NOT NULL, at BIGINT NOT NULL);

-- Figures that other agencies published, as they did.
CREATE TABLE disaster_figure (
    event_no TEXT NOT NULL, source TEXT NOT NULL, as_of BIGINT NOT NULL, figures TEXT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (event_no, source, as_of)
);
