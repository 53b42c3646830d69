-- +goose Up

-- "alrt": tells this file from any other SQLite database.
PRAGMA application_id = 1634497140;

-- The one row says how far the journal has been applied. It changes in the same transaction as the rows below.
CREATE TABLE projection (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;

INSERT INTO projection (id, seq) VALUES (1, 0);

-- Positions (id, pos) are journal sequence << 20 | index of the entry in its commit, so that rebuilding
-- gives every row the identity that it had. Times are microseconds since the epoch, UTC; 0 is "none".

CREATE TABLE transitions (
    id          INTEGER PRIMARY KEY,
    time        INTEGER NOT NULL, -- of the decision, daemon's clock
    at          INTEGER NOT NULL, -- of the event, producer's clock
    fingerprint TEXT    NOT NULL,
    alert       TEXT    NOT NULL,
    rule        TEXT    NOT NULL,
    severity    TEXT    NOT NULL,
    service     TEXT    NOT NULL,
    from_state  TEXT    NOT NULL,
    to_state    TEXT    NOT NULL,
    value       REAL,             -- NULL is NaN, which SQLite cannot store
    reason      TEXT    NOT NULL,
    summary     TEXT    NOT NULL,
    runbook_url TEXT    NOT NULL,
    trace_url   TEXT    NOT NULL,
    trace_id    TEXT    NOT NULL,
    labels      TEXT    NOT NULL, -- JSON object
    annotations TEXT    NOT NULL, -- JSON object
    text        TEXT    NOT NULL  -- lower case, what a free-text search reads
) STRICT;

CREATE INDEX transitions_time ON transitions (time);
CREATE INDEX transitions_fingerprint ON transitions (fingerprint, time);
CREATE INDEX transitions_service ON transitions (service, time);
CREATE INDEX transitions_alert ON transitions (alert, time);
CREATE INDEX transitions_rule ON transitions (rule, time);
CREATE INDEX transitions_severity ON transitions (severity, time);

CREATE TABLE notifications (
    id           TEXT    PRIMARY KEY,
    pos          INTEGER NOT NULL,
    time         INTEGER NOT NULL, -- planned
    receiver     TEXT    NOT NULL,
    integration  TEXT    NOT NULL,
    grp          TEXT    NOT NULL,
    group_labels TEXT    NOT NULL, -- JSON object
    reason       TEXT    NOT NULL,
    digest       INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    status       TEXT    NOT NULL,
    severity     TEXT    NOT NULL,
    outcome      TEXT    NOT NULL, -- of the last attempt; '' while nobody has tried
    dead         INTEGER NOT NULL, -- given up
    next         INTEGER NOT NULL, -- when it is tried again
    text         TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX notifications_time ON notifications (time, pos);

-- The alerts that a notification told, as they were then.
CREATE TABLE notified (
    notification TEXT    NOT NULL,
    n            INTEGER NOT NULL, -- its order in the message
    fingerprint  TEXT    NOT NULL,
    alert        TEXT    NOT NULL,
    rule         TEXT    NOT NULL,
    severity     TEXT    NOT NULL,
    service      TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    summary      TEXT    NOT NULL,
    PRIMARY KEY (notification, n)
) STRICT, WITHOUT ROWID;

CREATE INDEX notified_fingerprint ON notified (fingerprint);

CREATE TABLE attempts (
    id           INTEGER PRIMARY KEY,
    time         INTEGER NOT NULL,
    notification TEXT    NOT NULL,
    n            INTEGER NOT NULL,
    outcome      TEXT    NOT NULL,
    class        TEXT    NOT NULL,
    detail       TEXT    NOT NULL,
    retry_after  INTEGER NOT NULL, -- nanoseconds
    latency      INTEGER NOT NULL, -- nanoseconds
    ref          TEXT    NOT NULL,
    next         INTEGER NOT NULL,
    dead         INTEGER NOT NULL
) STRICT;

CREATE INDEX attempts_notification ON attempts (notification);
CREATE INDEX attempts_time ON attempts (time);

-- Why an alert was told, or was not. A row with an empty fingerprint holds for the whole group.
CREATE TABLE decisions (
    pos         INTEGER NOT NULL,
    n           INTEGER NOT NULL, -- one entry may decide about many alerts
    time        INTEGER NOT NULL,
    kind        TEXT    NOT NULL, -- joined, scheduled, withheld, told, closed, ended
    fingerprint TEXT    NOT NULL,
    grp         TEXT    NOT NULL,
    receiver    TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    by          TEXT    NOT NULL,
    until       INTEGER NOT NULL,
    detail      TEXT    NOT NULL,
    PRIMARY KEY (pos, n)
) STRICT, WITHOUT ROWID;

CREATE INDEX decisions_fingerprint ON decisions (fingerprint, time) WHERE fingerprint <> '';
CREATE INDEX decisions_group ON decisions (grp, time) WHERE fingerprint = '';
CREATE INDEX decisions_time ON decisions (time);
