package history

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"alertd"
)

// Question asks why somebody was told of an alert, or was not. At least one of Fingerprint, Alert, Group and a time
// must be given.
type Question struct {
	Fingerprint string          // of one alert
	Alert       string          // name of alerts
	Service     string          // and of that service only
	Group       alertd.GroupKey // of a group
	Since       time.Time       // zero: all that is kept
	Until       time.Time       // not included; zero: now
}

// MaxChains bounds the alerts that one question is answered for: the newest.
const MaxChains = 20

// maxSteps bounds the steps of one chain: the newest.
const maxSteps = 500

// Chain is everything that was decided about one alert, in the order in which it was decided.
type Chain struct {
	Fingerprint alertd.Fingerprint `json:"fingerprint"`
	Alert       string             `json:"alert"`
	Rule        string             `json:"rule"`
	Severity    alertd.Severity    `json:"severity"`
	Service     string             `json:"service"`
	Summary     string             `json:"summary"`
	Labels      alertd.Labels      `json:"labels"`
	Steps       []Step             `json:"steps"`
}

// The kinds of a [Step] besides those of a [Decision].
const (
	KindTransition Kind = "transition" // From → To, because of Reason
	KindPlanned    Kind = "planned"    // a notification is to be sent; Reason is the group's
	KindAttempt    Kind = "attempt"    // and how that went: To is the outcome
)

// Step is one decision about an alert, or one answer of a sender. Which fields are set depends on Kind.
type Step struct {
	Time         time.Time       `json:"time"` // of the decision, UTC
	Kind         Kind            `json:"kind"`
	At           time.Time       `json:"at,omitzero"` // the event's own time
	From         string          `json:"from,omitempty"`
	To           string          `json:"to,omitempty"`
	Value        *alertd.Value   `json:"value,omitempty"`
	TraceID      string          `json:"trace_id,omitempty"` // of a transition its exemplar's, of an attempt alertd's own
	Group        alertd.GroupKey `json:"group,omitempty"`
	Receiver     string          `json:"receiver,omitempty"` // with the integration where one is meant: "ops/slack/0"
	Reason       string          `json:"reason,omitempty"`
	By           string          `json:"by,omitempty"`      // alert, silence, calendar or time interval
	ByAlert      string          `json:"byAlert,omitempty"` // the name of the alert that By is
	ByService    string          `json:"byService,omitempty"`
	Until        time.Time       `json:"until,omitzero"`
	Detail       string          `json:"detail,omitempty"`
	Notification string          `json:"notification,omitempty"`
	Due          time.Time       `json:"due,omitzero"`      // of a digest that left late: when it was to leave
	Silence      *SilenceStep    `json:"silence,omitempty"` // what was done to it
	Config       string          `json:"config,omitempty"`  // version of the configuration that decided

	order int64 // position in the journal
}

// Why answers with the chain of every alert that the question is about, the latest first. The error is [ErrFilter] if the
// question is about everything.
func (s *Store) Why(ctx context.Context, q Question) ([]Chain, error) {
	if q.Fingerprint != "" {
		if _, err := alertd.ParseFingerprint(q.Fingerprint); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFilter, err)
		}
	}
	if q.Fingerprint == "" && q.Alert == "" && q.Group == "" && q.Since.IsZero() {
		return nil, fmt.Errorf("%w: name an alert, a group or a time", ErrFilter)
	}
	if q.Until.IsZero() {
		q.Until = time.Unix(1<<40, 0)
	}
	chains, err := s.why(ctx, q)
	return chains, s.explain("read why", err)
}

func (s *Store) why(ctx context.Context, q Question) ([]Chain, error) {
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()

	w := q.about()
	rows, err := tx.QueryContext(ctx, `SELECT (SELECT fingerprint FROM fingerprints WHERE n = fp), alert, rule, severity, service, summary, labels, max(id)
		FROM transitions AS t`+w.where()+` GROUP BY fp ORDER BY max(id) DESC LIMIT ?`, append(w.args, MaxChains)...)
	if err != nil {
		return nil, err
	}
	chains, err := collect(rows, scanChain)
	if err != nil {
		return nil, err
	}
	for i := range chains {
		if chains[i].Steps, err = chainSteps(ctx, tx, chains[i].Fingerprint.String(), q); err != nil {
			return nil, err
		}
	}
	return chains, nil
}

// about picks the alerts of which something was decided or said in the time of the question, whether they changed then or
// long before.
func (q *Question) about() (w query) {
	since, until := micros(q.Since), micros(q.Until)
	w.and("time < ?", until)
	w.ifSet(q.Fingerprint, "fp = (SELECT n FROM fingerprints WHERE fingerprint = ?)", q.Fingerprint)
	w.ifSet(q.Alert, "alert = ?", q.Alert)
	w.ifSet(q.Service, "service = ?", q.Service)
	w.ifSet(string(q.Group), "fp IN (SELECT fp FROM decisions WHERE grp = ?)", q.Group)
	if q.Since.IsZero() {
		return w
	}
	const when = " time >= ? AND time < ?"
	if q.Fingerprint == "" && q.Alert == "" && q.Group == "" { // of what happened at a time there is little
		w.and(`fp IN (SELECT fp FROM transitions WHERE`+when+`
			UNION SELECT fp FROM decisions WHERE fp <> 0 AND`+decidedIn+`
			UNION SELECT f.n FROM notified JOIN fingerprints AS f USING (fingerprint)
				WHERE notification IN (SELECT id FROM notifications WHERE`+when+`))`,
			slices.Concat([]any{since, until}, decidedBetween(since, until), []any{since, until})...)
		return w
	}
	w.and(`(EXISTS (SELECT 1 FROM transitions AS x WHERE x.fp = t.fp AND`+when+`)
		OR EXISTS (SELECT 1 FROM decisions AS x WHERE x.fp = t.fp AND x.fp <> 0 AND`+when+`)
		OR EXISTS (SELECT 1 FROM notified AS x JOIN notifications ON id = notification
			WHERE x.fingerprint = (SELECT fingerprint FROM fingerprints WHERE n = t.fp) AND`+when+`))`,
		since, until, since, until, since, until)
	return w
}

func scanChain(rows *sql.Rows) (c Chain, err error) {
	var fp string
	var lbls []byte
	var last int64
	if err := rows.Scan(&fp, &c.Alert, &c.Rule, &c.Severity, &c.Service, &c.Summary, &lbls, &last); err != nil {
		return c, err
	}
	if c.Fingerprint, err = alertd.ParseFingerprint(fp); err != nil {
		return c, err
	}
	c.Labels, err = readLabels(lbls)
	return c, err
}

// chainSteps are the steps of the time that is asked for, and before them those that led there: a chain begins with what
// happened, and has the way into the group in which the alert still is.
func chainSteps(ctx context.Context, tx *sql.Tx, fp string, q Question) ([]Step, error) {
	all, err := steps(ctx, tx, fp, q)
	if err != nil || len(all) == 0 || len(all) == maxSteps {
		return all, err
	}
	first := all[0]
	happened := first.Kind == KindTransition && first.From == string(alertd.Inactive)
	decided := slices.IndexFunc(all, func(s Step) bool { return s.Kind != KindTransition })
	if happened && decided > 0 && all[decided].Kind == KindJoined {
		return all, nil
	}
	// The last time before that it joined a group that it did not leave, else the last time that it began.
	var began sql.NullInt64
	if err := tx.QueryRowContext(ctx, `SELECT max(time) FROM transitions WHERE fp = `+numbered+` AND from_state = ?2 AND id < coalesce(
			(SELECT pos FROM (SELECT pos, kind FROM decisions WHERE fp = `+numbered+` AND fp <> 0 AND pos < ?3
				AND kind IN ('joined', 'closed', 'ended') ORDER BY pos DESC LIMIT 1) WHERE kind = 'joined'),
			CASE WHEN ?4 THEN 0 ELSE ?3 END)`,
		fp, alertd.Inactive, first.order, happened).Scan(&began); err != nil || !began.Valid {
		return all, err
	}
	q.Since = instant(began.Int64)
	return steps(ctx, tx, fp, q)
}

// messages selects the notifications that tell an alert, also where it is one of those that a summary only counts.
const messages = `SELECT notification FROM notified WHERE fingerprint = ?1
	UNION SELECT by FROM decisions WHERE fp = ` + numbered + ` AND fp <> 0 AND kind = 'folded'`

// steps reads what was decided about one alert from four tables, of one of them also what was about its group.
func steps(ctx context.Context, tx *sql.Tx, fp string, q Question) ([]Step, error) {
	var all []Step
	for _, part := range []struct {
		sql  string
		scan func(*sql.Rows) (Step, error)
	}{
		{`SELECT id, time, at, from_state, to_state, value, reason, trace_id, rule FROM transitions
			WHERE fp = ` + numbered + ` AND time >= ?2 AND time < ?3 ORDER BY id DESC LIMIT ?4`, scanTransitionStep},
		{`SELECT pos, time, kind, grp, receiver, reason, by, until, detail,
				coalesce((SELECT alert FROM transitions WHERE fp = (SELECT f.n FROM fingerprints AS f WHERE f.fingerprint = by) LIMIT 1), ''),
				coalesce((SELECT service FROM transitions WHERE fp = (SELECT f.n FROM fingerprints AS f WHERE f.fingerprint = by) LIMIT 1), ''), silence
			FROM decisions WHERE fp = ` + numbered + ` AND fp <> 0 AND time >= ?2 AND time < ?3
			ORDER BY pos DESC LIMIT ?4`, scanDecisionStep},
		{`SELECT pos, time, kind, grp, receiver, reason, by, until, detail, '', '', silence FROM decisions AS r
			WHERE fp = 0 AND kind = 'released' AND time >= ?2 AND time < ?3
				AND grp IN (SELECT grp FROM decisions WHERE fp = ` + numbered + ` AND fp <> 0 AND kind = 'joined')
				AND (SELECT kind FROM decisions AS d WHERE d.fp = ` + numbered + ` AND d.fp <> 0 AND d.grp = r.grp AND d.pos < r.pos
					AND kind IN ('joined', 'closed', 'ended') ORDER BY pos DESC LIMIT 1) = 'joined'
			ORDER BY pos DESC LIMIT ?4`, scanDecisionStep},
		{`SELECT pos, time, grp, receiver, integration, reason, id, due FROM notifications
			WHERE id IN (` + messages + `) AND time >= ?2 AND time < ?3
			ORDER BY pos DESC LIMIT ?4`, scanPlannedStep},
		{`SELECT attempts.id, attempts.time, receiver, integration, n, attempts.outcome, class, detail, attempts.next, notification, trace_id
			FROM attempts JOIN notifications ON notifications.id = notification
			WHERE notification IN (` + messages + `)
				AND attempts.time >= ?2 AND attempts.time < ?3
			ORDER BY attempts.id DESC LIMIT ?4`, scanAttemptStep},
	} {
		rows, err := tx.QueryContext(ctx, part.sql, fp, micros(q.Since), micros(q.Until), maxSteps)
		if err != nil {
			return nil, err
		}
		found, err := collect(rows, part.scan)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b Step) int { return cmp.Compare(a.order, b.order) })
	all = all[max(0, len(all)-maxSteps):]
	return all, versions(ctx, tx, all)
}

// versions notes with each step which configuration was in force.
func versions(ctx context.Context, tx *sql.Tx, all []Step) error {
	rows, err := tx.QueryContext(ctx, "SELECT pos, version FROM policies ORDER BY pos")
	if err != nil {
		return err
	}
	type policy struct {
		pos     int64
		version string
	}
	policies, err := collect(rows, func(rows *sql.Rows) (p policy, err error) {
		err = rows.Scan(&p.pos, &p.version)
		return p, err
	})
	if err != nil {
		return err
	}
	for i := range all {
		n, _ := slices.BinarySearchFunc(policies, all[i].order+1, func(p policy, pos int64) int { return cmp.Compare(p.pos, pos) })
		if n > 0 {
			all[i].Config = policies[n-1].version
		}
	}
	return nil
}

func scanTransitionStep(rows *sql.Rows) (st Step, err error) {
	var at, event int64
	var v sql.NullFloat64
	err = rows.Scan(&st.order, &at, &event, &st.From, &st.To, &v, &st.Reason, &st.TraceID, &st.Detail)
	st.Time, st.At, st.Kind = instant(at), instant(event), KindTransition
	if v.Valid {
		st.Value = new(alertd.Value(v.Float64))
	}
	return st, err
}

func scanDecisionStep(rows *sql.Rows) (st Step, err error) {
	var at, until int64
	var silence string
	if err := rows.Scan(&st.order, &at, &st.Kind, &st.Group, &st.Receiver, &st.Reason, &st.By, &until, &st.Detail, &st.ByAlert, &st.ByService, &silence); err != nil {
		return st, err
	}
	st.Time, st.Until = instant(at), instant(until)
	st.Silence, err = readSilence(silence)
	return st, err
}

func scanPlannedStep(rows *sql.Rows) (st Step, err error) {
	var at, due int64
	var integration string
	err = rows.Scan(&st.order, &at, &st.Group, &st.Receiver, &integration, &st.Reason, &st.Notification, &due)
	st.Time, st.Kind, st.Receiver, st.Due = instant(at), KindPlanned, st.Receiver+"/"+integration, instant(due)
	return st, err
}

func scanAttemptStep(rows *sql.Rows) (st Step, err error) {
	var at, next int64
	var n int
	var integration, class, detail string
	err = rows.Scan(&st.order, &at, &st.Receiver, &integration, &n, &st.To, &class, &detail, &next, &st.Notification, &st.TraceID)
	st.Time, st.Kind, st.Until, st.Receiver = instant(at), KindAttempt, instant(next), st.Receiver+"/"+integration
	st.Reason, st.Detail = class, detail
	st.By = fmt.Sprint("attempt ", n)
	return st, err
}
