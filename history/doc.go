// Package history answers what happened: a SQLite projection of the journal.
//
// [Store.Apply] folds commits into tables, with the last applied sequence in the same transaction. The
// journal is the truth and this is a reading of it: the file can be deleted at any time and is rebuilt, row by
// row the same, from the journal.
//
// One goroutine applies; any number read at the same time (WAL). Free text is matched as substrings of a
// lower-cased column, newest rows first, rather than through a full-text index: SQLite's FTS5 is only in
// the driver behind a build tag, and the way to build alertd is plain `go build`.
package history
