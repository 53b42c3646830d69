-- +goose Up

-- What was done to a silence, as JSON, with each alert that it was about then; '' in all other rows.
ALTER TABLE decisions ADD COLUMN silence TEXT NOT NULL DEFAULT '';
