-- Files that were fetched from an SFTP server: one that still lies there is not fetched again.

CREATE TABLE sftp_seen (
    system TEXT NOT NULL, file TEXT NOT NULL, size BIGINT NOT NULL, modified BIGINT NOT NULL, -- seconds since 1970
    digest TEXT NOT NULL, at BIGINT NOT NULL,
    PRIMARY KEY (system, file, size, modified)
);
