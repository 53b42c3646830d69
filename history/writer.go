package history

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/mattn/go-sqlite3"

	"alertd"
)

// Apply folds commits into the tables, all in one transaction with the last sequence. Records up to
// [Store.LastSeq] are skipped, so applying again changes nothing. Sequences must not fall within a call: an
// error says so and nothing is applied.
func (s *Store) Apply(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.explain("apply the journal", s.apply(ctx, records))
}

func (s *Store) apply(ctx context.Context, records []Record) (err error) {
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() // back into the pool
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing

	var last int64
	if err := tx.QueryRowContext(ctx, "SELECT seq FROM projection").Scan(&last); err != nil {
		return err
	}
	before := last
	defer func() {
		if err != nil && s.writer != nil {
			s.writer.forget() // it may remember what is undone
		}
	}()
	if err := conn.Raw(func(c any) (err error) {
		last, err = s.insert(ctx, c.(*sqlite3.SQLiteConn), last, records)
		return err
	}); err != nil || last == before {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE projection SET seq = ?", last); err != nil {
		return err
	}
	return tx.Commit()
}

// insert writes the rows of what comes after a sequence, and returns the last one.
func (s *Store) insert(ctx context.Context, c *sqlite3.SQLiteConn, last int64, records []Record) (int64, error) {
	if s.writer == nil || s.writer.conn != c {
		w, err := newWriter(c)
		if err != nil {
			return last, errors.Join(err, w.close())
		}
		s.writer = w
	}
	for i, r := range records {
		if i > 0 && r.Seq < records[i-1].Seq {
			return last, fmt.Errorf("sequence %d comes after %d: commits are applied in the journal's order", r.Seq, records[i-1].Seq)
		}
		if r.Seq <= uint64(last) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return last, err
		}
		if err := s.writer.commit(r); err != nil {
			return last, fmt.Errorf("sequence %d: %w", r.Seq, err)
		}
		last = int64(r.Seq)
	}
	return last, s.writer.endMinute()
}

// writer writes rows over one connection, with statements that are prepared once. An alert of a storm is half a dozen rows, so they do
// not go through database/sql, which allocates for each of their values.
type writer struct {
	conn  *sqlite3.SQLiteConn
	stmts struct {
		transition, notification, notified, attempt, outcome, decision, limit, policy, number, numberOf, minute *sqlite3.SQLiteStmt
	}

	numbers map[alertd.Fingerprint]int64 // of alerts, as far as they are remembered
	minute  minute                       // of the decisions that were written last

	args []driver.NamedValue // scratch
	text []byte              // scratch: what was said
	odd  bool                // and some of it is not plain
}

// newWriter prepares the statements. With an error, those that it has are to be closed.
func newWriter(c *sqlite3.SQLiteConn) (*writer, error) {
	var errs []error
	prepare := func(query string) *sqlite3.SQLiteStmt {
		stmt, err := c.Prepare(query)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		return stmt.(*sqlite3.SQLiteStmt)
	}
	insert := func(table string, columns int) *sqlite3.SQLiteStmt {
		return prepare("INSERT INTO " + table + " VALUES (?" + strings.Repeat(", ?", columns-1) + ") ON CONFLICT DO NOTHING")
	}
	w := &writer{conn: c, numbers: map[alertd.Fingerprint]int64{}}
	st := &w.stmts
	st.transition = insert("transitions", 19)
	st.notification = insert("notifications", 17)
	st.notified = insert("notified", 9)
	st.attempt = insert("attempts", 13)
	st.decision = insert("decisions", 12)
	st.policy = insert("policies", 3)
	st.outcome = prepare("UPDATE notifications SET outcome = ?, dead = ?, next = ? WHERE id = ?")
	st.limit = prepare(`INSERT INTO decisions
		SELECT ?, ? + n, ?, ?, (SELECT f.n FROM fingerprints AS f WHERE f.fingerprint = notified.fingerprint), grp, receiver || '/' || integration, ?, ?, 0, '', ''
		FROM notified JOIN notifications ON id = notification WHERE notification = ? AND time < ? ON CONFLICT DO NOTHING`)
	st.number = prepare("INSERT INTO fingerprints (fingerprint) VALUES (?) ON CONFLICT DO NOTHING")
	st.numberOf = prepare("SELECT n FROM fingerprints WHERE fingerprint = ?")
	st.minute = prepare(`INSERT INTO minutes VALUES (?, ?, ?)
		ON CONFLICT (minute) DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)`)
	return w, errors.Join(errs...)
}

func (w *writer) close() error {
	var errs []error
	st := &w.stmts
	for _, stmt := range []*sqlite3.SQLiteStmt{st.transition, st.notification, st.notified, st.attempt, st.decision, st.policy, st.outcome, st.limit, st.number, st.numberOf, st.minute} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return errors.Join(errs...)
}

// exec runs a statement. It takes no context: the driver starts a goroutine for each statement that can be cancelled, and
// [Store.Apply] looks at the context between commits.
func (w *writer) exec(stmt *sqlite3.SQLiteStmt, args ...any) error {
	w.args = w.args[:0]
	for i, v := range args {
		if n, is := v.(int); is {
			v = int64(n)
		}
		w.args = append(w.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	_, err := stmt.ExecContext(context.Background(), w.args)
	return err
}

// closeWriter ends the statements, which belong to the connection that is closed next.
func (s *Store) closeWriter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer == nil {
		return nil
	}
	defer func() { s.writer = nil }()
	return s.writer.close()
}
