package history

import (
	"context"
	"database/sql"
	"time"

	"alertd"
)

// maxLooked bounds the alerts in notifications that one look-back reads, the newest.
const maxLooked = 50_000

// HiddenPast is what [Store.Hidden] found.
type HiddenPast struct {
	Pages  []alertd.HiddenPage // the newest
	Whole  int                 // of how many notifications nothing is left
	Thin   int                 // of how many others something is
	Alerts int                 // how many alerts they told that were to be hidden, each counted once
}

// Hidden returns what was told as firing since an instant, and hides reports true for; of the notifications at most limit.
// What the destinations of a receiver were sent of one group at one instant is one notification. Labels are those that the
// alert had last. hides is called by one goroutine at a time.
func (s *Store) Hidden(ctx context.Context, since time.Time, limit int, hides func(at time.Time, ls alertd.Labels) bool) (past HiddenPast, err error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return past, s.explain("read notifications", err)
	}
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, `SELECT notifications.time, receiver, grp, seq, fingerprint, alert, notified.severity, service
		FROM notifications JOIN notified ON notification = notifications.id
		WHERE notifications.time >= ? AND status = 'firing' AND state IN (?, ?, ?, ?)
		ORDER BY notifications.time DESC, pos DESC, n LIMIT ?`,
		since.UnixMicro(), alertd.Firing, alertd.Recovering, alertd.NoData, alertd.Failing, maxLooked)
	if err != nil {
		return past, s.explain("read notifications", err)
	}
	told, err := collect(rows, scanToldAlert)
	if err != nil {
		return past, s.explain("read notifications", err)
	}
	known := map[string]alertd.Labels{}
	labels := func(fp string) (alertd.Labels, error) {
		ls, ok := known[fp]
		if ok {
			return ls, nil
		}
		var raw []byte
		err := tx.QueryRowContext(ctx, `SELECT labels FROM transitions WHERE fp = `+numbered+` ORDER BY time DESC LIMIT 1`, fp).Scan(&raw)
		if err == nil {
			ls, err = readLabels(raw)
		} else if err == sql.ErrNoRows { // pruned: nothing is known of it
			err = nil
		}
		known[fp] = ls
		return ls, err
	}
	alerts := map[string]bool{}
	for len(told) > 0 {
		n := 1
		for n < len(told) && told[n].page == told[0].page {
			n++
		}
		p := alertd.HiddenPage{Time: instant(told[0].page.at), Receiver: told[0].page.receiver}
		hidden, seen := 0, map[string]bool{}
		for _, t := range told[:n] {
			if seen[t.fingerprint] {
				continue // another destination was told of it as well
			}
			seen[t.fingerprint] = true
			ls, err := labels(t.fingerprint)
			if err != nil {
				return past, s.explain("read labels", err)
			}
			if !hides(p.Time, ls) {
				continue
			}
			alerts[t.fingerprint] = true
			if hidden++; len(p.Hides) < maxListed {
				p.Hides = append(p.Hides, t.hidden)
			}
		}
		told = told[n:]
		p.Of = len(seen)
		switch p.Whole = hidden == p.Of; {
		case hidden == 0:
			continue
		case p.Whole:
			past.Whole++
		default:
			past.Thin++
		}
		if len(past.Pages) < limit {
			past.Pages = append(past.Pages, p)
		}
	}
	past.Alerts = len(alerts)
	return past, nil
}

// maxListed bounds the alerts that are listed of one notification.
const maxListed = 5

type toldAlert struct {
	page        toldPage
	fingerprint string
	hidden      alertd.Hidden
}

// toldPage is what a receiver heard of one group at one instant, wherever.
type toldPage struct {
	at            int64
	receiver, grp string
	seq           int64
}

func scanToldAlert(rows *sql.Rows) (t toldAlert, err error) {
	if err := rows.Scan(&t.page.at, &t.page.receiver, &t.page.grp, &t.page.seq, &t.fingerprint, &t.hidden.Alert, &t.hidden.Severity, &t.hidden.Service); err != nil {
		return t, err
	}
	t.hidden.Since = instant(t.page.at)
	t.hidden.Fingerprint, err = alertd.ParseFingerprint(t.fingerprint)
	return t, err
}
