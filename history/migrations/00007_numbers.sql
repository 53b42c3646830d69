-- +goose Up

-- The number of each alert. Fingerprints are random, so what is sorted by them is written all over the file; numbers are
-- given in turn, and what a storm writes stands at the end.
CREATE TABLE fingerprints (
    n           INTEGER PRIMARY KEY,
    fingerprint TEXT    NOT NULL UNIQUE
) STRICT;

INSERT INTO fingerprints (fingerprint)
    SELECT fingerprint FROM (
        SELECT fingerprint, min(id) AS first FROM transitions GROUP BY fingerprint
        UNION ALL SELECT fingerprint, min(pos) FROM decisions WHERE fingerprint <> '' GROUP BY fingerprint
        UNION ALL SELECT fingerprint, max(pos) FROM notified JOIN notifications ON id = notification GROUP BY fingerprint
    ) GROUP BY fingerprint ORDER BY min(first);

CREATE TABLE transitions_by_number (
    id          INTEGER PRIMARY KEY,
    time        INTEGER NOT NULL, -- of the decision, daemon's clock
    at          INTEGER NOT NULL, -- of the event, producer's clock
    fp          INTEGER NOT NULL, -- of fingerprints
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
    text        TEXT    NOT NULL  -- lower case, what a free-text search reads; '': what the other columns say
) STRICT;

INSERT INTO transitions_by_number
    SELECT id, time, at, n, alert, rule, severity, service, from_state, to_state, value, reason, summary, runbook_url, trace_url,
        trace_id, labels, annotations, text
    FROM transitions JOIN fingerprints USING (fingerprint) ORDER BY id;

DROP TABLE transitions;
ALTER TABLE transitions_by_number RENAME TO transitions;

CREATE INDEX transitions_time ON transitions (time);
CREATE INDEX transitions_fp ON transitions (fp, time);
CREATE INDEX transitions_service ON transitions (service, time);
CREATE INDEX transitions_alert ON transitions (alert, time);
CREATE INDEX transitions_rule ON transitions (rule, time);
CREATE INDEX transitions_severity ON transitions (severity, time);

-- Why an alert was told, or was not. A row whose fp is 0 holds for the whole group.
CREATE TABLE decisions_by_number (
    pos         INTEGER NOT NULL,
    n           INTEGER NOT NULL, -- one entry may decide about many alerts
    time        INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    fp          INTEGER NOT NULL, -- of fingerprints
    grp         TEXT    NOT NULL,
    receiver    TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    by          TEXT    NOT NULL,
    until       INTEGER NOT NULL,
    detail      TEXT    NOT NULL,
    silence     TEXT    NOT NULL, -- what was done to a silence, as JSON, with each alert that it was about then; '' in all other rows
    PRIMARY KEY (pos, n)
) STRICT, WITHOUT ROWID;

INSERT INTO decisions_by_number
    SELECT pos, d.n, time, kind, coalesce(f.n, 0), grp, receiver, reason, by, until, detail, silence
    FROM decisions AS d LEFT JOIN fingerprints AS f USING (fingerprint) ORDER BY pos, d.n;

DROP TABLE decisions;
ALTER TABLE decisions_by_number RENAME TO decisions;

CREATE INDEX decisions_fp ON decisions (fp, time) WHERE fp <> 0;
CREATE INDEX decisions_group ON decisions (grp, time) WHERE fp = 0;

-- Where the decisions of a minute of the daemon's clock are, which may be put back: from the first position to the last one. There are
-- so many of them that an index over their time would be a tenth of all that is written.
CREATE TABLE minutes (
    minute INTEGER PRIMARY KEY, -- since the epoch
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL
) STRICT;

INSERT INTO minutes SELECT time / 60000000, min(pos), max(pos) FROM decisions GROUP BY time / 60000000;
