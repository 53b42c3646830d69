-- +goose Up

-- Of a digest that left late: when it was to leave; 0 where it left in time, or nobody wrote it down.
ALTER TABLE notifications ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
