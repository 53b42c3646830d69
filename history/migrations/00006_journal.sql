-- +goose Up

-- When the journal was made that the history is a projection of, in microseconds since the epoch; 0 while it is not known. One that was
-- deleted and made anew has the same sequences, and other commits.
ALTER TABLE projection ADD COLUMN journal INTEGER NOT NULL DEFAULT 0;
