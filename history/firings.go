package history

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"alertd"
)

// Firing is one time that an alert fired, from when it was announced to when it was over. Times are UTC.
type Firing struct {
	Fingerprint alertd.Fingerprint `json:"fingerprint"`
	Alert       string             `json:"alert"`
	Service     string             `json:"service"`
	Severity    alertd.Severity    `json:"severity"`
	Summary     string             `json:"summary"`
	FiredAt     time.Time          `json:"fired_at"`
	EndedAt     time.Time          `json:"ended_at,omitzero"` // zero: it fires still
}

// Firings answers when alerts fired, the latest first, and how often they did in all within the filter. Of the filter,
// Alert, Service, Fingerprint, Since, Until and Limit count; alerts that waited and never fired are left out.
func (s *Store) Firings(ctx context.Context, f Filter) (firings []Firing, total int, err error) {
	var q query
	if err := q.common(Filter{Since: f.Since, Until: f.Until, Fingerprint: f.Fingerprint}, "id"); err != nil {
		return nil, 0, err
	}
	q.ifSet(f.Alert, "alert = ?", f.Alert)
	q.ifSet(f.Service, "service = ?", f.Service)
	q.ifSet(f.Fingerprint, "fingerprint = ?", f.Fingerprint)
	active := fmt.Sprintf("IN ('%s', '%s', '%s', '%s')", alertd.Firing, alertd.Recovering, alertd.NoData, alertd.Failing)
	q.and("to_state " + active + " AND from_state NOT " + active)

	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, s.explain("read firings", err)
	}
	defer tx.Rollback()
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM transitions"+q.where(), q.args...).Scan(&total); err != nil {
		return nil, 0, s.explain("read firings", err)
	}
	rows, err := tx.QueryContext(ctx, `SELECT fingerprint, alert, service, severity, summary, time, coalesce((
			SELECT ending.time FROM transitions AS ending
			WHERE ending.fingerprint = began.fingerprint AND ending.time >= began.time AND ending.id > began.id
				AND ending.to_state NOT `+active+` ORDER BY ending.time, ending.id LIMIT 1), 0)
		FROM transitions AS began`+q.where()+` ORDER BY time DESC, id DESC LIMIT ?`, append(q.args, limited(f.Limit))...)
	if err != nil {
		return nil, 0, s.explain("read firings", err)
	}
	firings, err = collect(rows, func(rows *sql.Rows) (x Firing, err error) {
		var fp string
		var began, ended int64
		if err := rows.Scan(&fp, &x.Alert, &x.Service, &x.Severity, &x.Summary, &began, &ended); err != nil {
			return x, err
		}
		x.FiredAt, x.EndedAt = instant(began), instant(ended)
		x.Fingerprint, err = alertd.ParseFingerprint(fp)
		return x, err
	})
	return firings, total, s.explain("read firings", err)
}
