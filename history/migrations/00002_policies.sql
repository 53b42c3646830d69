-- +goose Up

-- Which configuration decided from when on: a hash of its files.
CREATE TABLE policies (
    pos     INTEGER PRIMARY KEY,
    time    INTEGER NOT NULL,
    version TEXT    NOT NULL
) STRICT;
