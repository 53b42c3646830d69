package history

import (
	"context"
	"time"
)

// pruneBatch is how many rows one transaction deletes, so that Apply never waits long.
const pruneBatch = 5000

// Prune deletes what was decided before an instant. Its place in the journal stays, so nothing is applied
// twice. The file does not shrink: what comes next fills the room.
func (s *Store) Prune(ctx context.Context, before time.Time) error {
	for _, q := range []string{
		"DELETE FROM transitions WHERE id IN (SELECT id FROM transitions WHERE time < ? LIMIT ?)",
		// What a notification told goes before it does, else nothing would find it again.
		`DELETE FROM notified WHERE (notification, n) IN (SELECT d.notification, d.n FROM notifications AS p
			JOIN notified AS d ON d.notification = p.id WHERE p.time < ? LIMIT ?)`,
		"DELETE FROM notifications WHERE id IN (SELECT id FROM notifications WHERE time < ? LIMIT ?)",
		"DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE time < ? LIMIT ?)",
		`DELETE FROM decisions WHERE (pos, n) IN (SELECT pos, n FROM decisions
			WHERE pos <= (SELECT max(last) FROM minutes WHERE minute <= ?1 / 60000000) AND time < ?1 LIMIT ?2)`,
		"DELETE FROM minutes WHERE minute IN (SELECT minute FROM minutes WHERE minute < ? / 60000000 LIMIT ?)",
	} {
		for {
			n, err := s.delete(ctx, q, before)
			if err != nil {
				return s.explain("prune", err)
			}
			if n < pruneBatch {
				break
			}
		}
	}
	return s.explain("prune", s.pruneNumbers(ctx))
}

// pruneNumbers takes the numbers of alerts of which nothing is left.
func (s *Store) pruneNumbers(ctx context.Context) error {
	var last int64
	if err := s.read.QueryRowContext(ctx, "SELECT coalesce(max(n), 0) FROM fingerprints").Scan(&last); err != nil {
		return err
	}
	for from := int64(0); from <= last; from += pruneBatch {
		if err := s.deleteNumbers(ctx, from); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) deleteNumbers(ctx context.Context, from int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer != nil {
		s.writer.forget()
	}
	_, err := s.write.ExecContext(ctx, `DELETE FROM fingerprints WHERE n >= ? AND n < ?
		AND NOT EXISTS (SELECT 1 FROM transitions WHERE fp = fingerprints.n)
		AND NOT EXISTS (SELECT 1 FROM decisions WHERE fp = fingerprints.n AND fp <> 0)
		AND NOT EXISTS (SELECT 1 FROM notified WHERE fingerprint = fingerprints.fingerprint)`, from, from+pruneBatch)
	return err
}

func (s *Store) delete(ctx context.Context, q string, before time.Time) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	res, err := s.write.ExecContext(ctx, q, micros(before), pruneBatch)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
