package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
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
	EndedAt     time.Time          `json:"ended_at,omitzero"`  // zero: it fires still
	AckedBy     string             `json:"acked_by,omitempty"` // who took it first; "": nobody
	Note        string             `json:"note,omitempty"`     // what they wrote
}

// Firings answers when alerts fired, the latest first, and how often they did in all within the filter. Of the filter,
// Alert, Service, Fingerprint, Since, Until and Limit count; alerts that waited and never fired are left out.
func (s *Store) Firings(ctx context.Context, f Filter) (firings []Firing, total int, err error) {
	var q query
	if err := q.common(Filter{Since: f.Since, Until: f.Until, Fingerprint: f.Fingerprint}, "id", transitionText); err != nil {
		return nil, 0, err
	}
	q.ifSet(f.Alert, "alert = ?", f.Alert)
	q.ifSet(f.Service, "service = ?", f.Service)
	q.ifSet(f.Fingerprint, "fp = (SELECT n FROM fingerprints WHERE fingerprint = ?)", f.Fingerprint)
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
	rows, err := tx.QueryContext(ctx, `SELECT (SELECT fingerprint FROM fingerprints WHERE n = fp), alert, service, severity, summary, time, coalesce((
			SELECT ending.time FROM transitions AS ending
			WHERE ending.fp = began.fp AND ending.time >= began.time AND ending.id > began.id
				AND ending.to_state NOT `+active+` ORDER BY ending.time, ending.id LIMIT 1), 0)
		FROM transitions AS began`+q.where()+` ORDER BY time DESC, id DESC LIMIT ?`, append(q.args, limited(f.Limit))...)
	if err != nil {
		return nil, 0, s.explain("read firings", err)
	}
	found, err := collect(rows, func(rows *sql.Rows) (x Firing, err error) {
		var fp string
		var began, ended int64
		if err := rows.Scan(&fp, &x.Alert, &x.Service, &x.Severity, &x.Summary, &began, &ended); err != nil {
			return x, err
		}
		x.FiredAt, x.EndedAt = instant(began), instant(ended)
		x.Fingerprint, err = alertd.ParseFingerprint(fp)
		return x, err
	})
	if err == nil {
		err = takers(ctx, tx, found)
	}
	return found, total, s.explain("read firings", err)
}

// takers notes who took each alert while it fired.
func takers(ctx context.Context, tx *sql.Tx, firings []Firing) error {
	for i := range firings {
		x := &firings[i]
		until := int64(math.MaxInt64)
		if !x.EndedAt.IsZero() {
			until = micros(x.EndedAt)
		}
		err := tx.QueryRowContext(ctx, `SELECT by, reason FROM decisions WHERE fp <> 0 AND fp = `+numbered+`
			AND time >= ?2 AND time <= ?3 AND kind = ?4 ORDER BY time, pos LIMIT 1`, x.Fingerprint.String(), micros(x.FiredAt), until, KindAcked).Scan(&x.AckedBy, &x.Note)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return nil
}
