-- +goose Up

-- The trace that an attempt has its span in; '' where alertd is not traced, or nobody keeps the trace.
ALTER TABLE attempts ADD COLUMN trace_id TEXT NOT NULL DEFAULT '';
