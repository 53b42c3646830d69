package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"alertd"
)

// Message is what a notification was about: also what a summary only counts, since it was sent in place of other messages.
type Message struct {
	ID       string
	Receiver string
	Time     time.Time // when it was planned, UTC
	Digest   bool
	Summary  bool
	Groups   []alertd.GroupKey    // that it speaks of, sorted; of a digest they are not kept
	Alerts   []alertd.Fingerprint // that it told, or that the messages told in whose place it was sent; sorted
}

// Message returns what the notification with an ID was about. The error is an [alertd.ErrNotFound] if there is none, or
// none any more.
func (s *Store) Message(ctx context.Context, id string) (Message, error) {
	m, err := s.message(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return m, fmt.Errorf("notification %.80q: %w", id, alertd.ErrNotFound)
	}
	return m, s.explain("read a notification", err)
}

func (s *Store) message(ctx context.Context, id string) (Message, error) {
	m := Message{ID: id}
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return m, err
	}
	defer tx.Rollback()
	var pos, at int64
	var group alertd.GroupKey
	row := tx.QueryRowContext(ctx, `SELECT pos, time, receiver, grp, digest, reason = ? FROM notifications WHERE id = ?`, alertd.ReasonLimit, id)
	if err := row.Scan(&pos, &at, &m.Receiver, &group, &m.Digest, &m.Summary); err != nil {
		return m, err
	}
	m.Time = instant(at)
	if !m.Digest && !m.Summary {
		m.Groups = []alertd.GroupKey{group}
	}
	// The rows about what a summary is sent in place of stand where the summary does.
	rows, err := tx.QueryContext(ctx, `SELECT fingerprint, '' FROM notified WHERE notification = ?1
		UNION SELECT fingerprint, grp FROM decisions JOIN fingerprints AS f ON f.n = fp WHERE pos = ?2 AND kind = ?3`, id, pos, KindFolded)
	if err != nil {
		return m, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		var group alertd.GroupKey
		if err := rows.Scan(&text, &group); err != nil {
			return m, err
		}
		fp, err := alertd.ParseFingerprint(text)
		if err != nil {
			return m, err
		}
		m.Alerts = append(m.Alerts, fp)
		if group != "" {
			m.Groups = append(m.Groups, group)
		}
	}
	slices.Sort(m.Alerts)
	slices.Sort(m.Groups)
	m.Alerts, m.Groups = slices.Compact(m.Alerts), slices.Compact(m.Groups)
	return m, rows.Err()
}
