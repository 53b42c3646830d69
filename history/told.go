package history

import (
	"context"
	"database/sql"
	"time"

	"alertd"
)

// maxLooked bounds the alerts in notifications that one look-back reads, the newest.
const maxLooked = 50_000

// Hidden returns the notifications since an instant that told as firing what hides reports true for: how many there are
// of which nothing is left, of how many others something is, and the newest of them, at most limit. Labels are those
// that the alert had last. hides is called by one goroutine at a time.
func (s *Store) Hidden(ctx context.Context, since time.Time, limit int, hides func(at time.Time, ls alertd.Labels) bool) (pages []alertd.HiddenPage, whole, thin int, err error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, 0, s.explain("read notifications", err)
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, `SELECT notifications.id, notifications.time, receiver, fingerprint, alert, notified.severity, service
		FROM notifications JOIN notified ON notification = notifications.id
		WHERE notifications.time >= ? AND status = 'firing' AND state IN (?, ?, ?, ?)
		ORDER BY notifications.time DESC, pos DESC, n LIMIT ?`,
		since.UnixMicro(), alertd.Firing, alertd.Recovering, alertd.NoData, alertd.Failing, maxLooked)
	if err != nil {
		return nil, 0, 0, s.explain("read notifications", err)
	}
	told, err := collect(rows, scanToldAlert)
	if err != nil {
		return nil, 0, 0, s.explain("read notifications", err)
	}
	known := map[string]alertd.Labels{}
	labels := func(fp string) (alertd.Labels, error) {
		ls, ok := known[fp]
		if ok {
			return ls, nil
		}
		var raw []byte
		err := tx.QueryRowContext(ctx, `SELECT labels FROM transitions WHERE fingerprint = ? ORDER BY time DESC LIMIT 1`, fp).Scan(&raw)
		if err == nil {
			ls, err = readLabels(raw)
		} else if err == sql.ErrNoRows { // pruned: nothing is known of it
			err = nil
		}
		known[fp] = ls
		return ls, err
	}
	for len(told) > 0 {
		n := 1
		for n < len(told) && told[n].notification == told[0].notification {
			n++
		}
		p := alertd.HiddenPage{Time: told[0].at, Receiver: told[0].receiver, Of: n}
		hidden := 0
		for _, t := range told[:n] {
			ls, err := labels(t.fingerprint)
			if err != nil {
				return nil, 0, 0, s.explain("read labels", err)
			}
			if !hides(t.at, ls) {
				continue
			}
			if hidden++; len(p.Hides) < maxListed {
				p.Hides = append(p.Hides, t.hidden)
			}
		}
		told = told[n:]
		switch p.Whole = hidden == n; {
		case hidden == 0:
			continue
		case p.Whole:
			whole++
		default:
			thin++
		}
		if len(pages) < limit {
			pages = append(pages, p)
		}
	}
	return pages, whole, thin, nil
}

// maxListed bounds the alerts that are listed of one notification.
const maxListed = 5

type toldAlert struct {
	notification, receiver, fingerprint string
	at                                  time.Time
	hidden                              alertd.Hidden
}

func scanToldAlert(rows *sql.Rows) (t toldAlert, err error) {
	var at int64
	if err := rows.Scan(&t.notification, &at, &t.receiver, &t.fingerprint, &t.hidden.Alert, &t.hidden.Severity, &t.hidden.Service); err != nil {
		return t, err
	}
	t.at = instant(at)
	t.hidden.Since = t.at
	t.hidden.Fingerprint, err = alertd.ParseFingerprint(t.fingerprint)
	return t, err
}
