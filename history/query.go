package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// The number of rows that one question answers.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Filter narrows a question. Empty fields do not narrow; all that are set must hold.
type Filter struct {
	Since, Until time.Time // of the decision; Since is included, Until is not

	Severity    string // as [alertd.SeverityOf] folds it: "page" finds critical
	Service     string
	Rule        string // a rule's ID or its alertname
	Alert       string // the alertname
	State       string // transitions: the state entered; notifications: their status, their outcome, "pending" or "dead"
	Text        string // every word of it occurs somewhere in the row, whatever its case
	Fingerprint string // 16 hexadecimal digits

	Limit  int    // 0 is [DefaultLimit]; at most [MaxLimit]
	Cursor string // where the page before ended: its Next
}

// Page is one page of transitions, newest first.
type Page struct {
	Transitions []Transition `json:"transitions"`
	Next        string       `json:"next"` // the Cursor of the page after; "" where this is the last
}

// Transition is a change of an alert's state, as it is remembered. Times are UTC.
type Transition struct {
	ID          string             `json:"id"`   // journal sequence and entry: the same over a rebuild
	Time        time.Time          `json:"time"` // when it was decided, daemon's clock
	At          time.Time          `json:"at"`   // of the event, producer's clock
	Alert       string             `json:"alert"`
	Rule        string             `json:"rule"` // Rule.ID
	Severity    alertd.Severity    `json:"severity"`
	Service     string             `json:"service"`
	Labels      alertd.Labels      `json:"labels"`
	Annotations alertd.Labels      `json:"annotations"`
	From        alertd.State       `json:"from"`
	To          alertd.State       `json:"to"`
	Value       alertd.Value       `json:"value"`
	Summary     string             `json:"summary"`
	RunbookURL  string             `json:"runbook_url"`
	TraceURL    string             `json:"trace_url"`
	TraceID     string             `json:"trace_id"`
	Reason      alertd.Reason      `json:"reason"`
	Fingerprint alertd.Fingerprint `json:"fingerprint"`

	Cursor string `json:"-"` // the page after this row begins here
}

// Transitions returns one page, newest first: by time, then by place in the journal. Following Next yields
// every row that was there at the start exactly once, also while new ones arrive. A filter that no answer
// fits is an [ErrFilter].
func (s *Store) Transitions(ctx context.Context, f Filter) (Page, error) {
	var q query
	if err := q.common(f, "id", transitionText); err != nil {
		return Page{}, err
	}
	q.ifSet(f.Severity, "severity = ?", fold(f.Severity))
	q.ifSet(f.Service, "service = ?", f.Service)
	q.ifSet(f.Rule, "(rule = ? OR alert = ?)", f.Rule, f.Rule)
	q.ifSet(f.Alert, "alert = ?", f.Alert)
	q.ifSet(f.State, "to_state = ?", f.State)
	q.ifSet(f.Fingerprint, "fp = (SELECT n FROM fingerprints WHERE fingerprint = ?)", f.Fingerprint)

	limit := limited(f.Limit)
	rows, err := s.read.QueryContext(ctx, `SELECT id, time, at, (SELECT fingerprint FROM fingerprints WHERE n = fp), alert, rule, severity, service, from_state, to_state,
		value, reason, summary, runbook_url, trace_url, trace_id, labels, annotations
		FROM transitions`+q.where()+` ORDER BY time DESC, id DESC LIMIT ?`, append(q.args, limit+1)...)
	if err != nil {
		return Page{}, s.explain("read transitions", err)
	}
	found, err := collect(rows, scanTransition)
	if err != nil {
		return Page{}, s.explain("read transitions", err)
	}
	page := Page{Transitions: found}
	if len(found) > limit {
		page.Transitions = found[:limit]
		page.Next = found[limit-1].Cursor
	}
	return page, nil
}

func scanTransition(rows *sql.Rows) (t Transition, err error) {
	var id, at, eventAt int64
	var fp string
	var value sql.NullFloat64
	var lbls, annotations []byte
	if err := rows.Scan(&id, &at, &eventAt, &fp, &t.Alert, &t.Rule, &t.Severity, &t.Service, &t.From, &t.To,
		&value, &t.Reason, &t.Summary, &t.RunbookURL, &t.TraceURL, &t.TraceID, &lbls, &annotations); err != nil {
		return t, err
	}
	t.ID, t.Cursor = position(id), cursor(at, id)
	t.Time, t.At = instant(at), instant(eventAt)
	t.Value = alertd.Value(math.NaN())
	if value.Valid {
		t.Value = alertd.Value(value.Float64)
	}
	if t.Fingerprint, err = alertd.ParseFingerprint(fp); err != nil {
		return t, err
	}
	if t.Labels, err = readLabels(lbls); err != nil {
		return t, err
	}
	t.Annotations, err = readLabels(annotations)
	return t, err
}

// NotificationRow is a notification with what became of it. Times are UTC.
type NotificationRow struct {
	ID          string          `json:"id"`
	Time        time.Time       `json:"time"` // when it was planned
	Receiver    string          `json:"receiver"`
	Integration string          `json:"integration"`
	Group       alertd.GroupKey `json:"group"`
	GroupLabels alertd.Labels   `json:"group_labels"`
	Reason      alertd.Reason   `json:"reason"`
	Digest      bool            `json:"digest"`
	Due         time.Time       `json:"due,omitzero"` // of a digest that left late: when it was to leave
	Seq         uint64          `json:"seq"`
	Status      string          `json:"status"` // firing or resolved
	Severity    alertd.Severity `json:"severity"`
	Alerts      []Told          `json:"alerts"`        // the first of them, see [MaxTold]
	AlertCount  int             `json:"alert_count"`   // all of them
	Outcome     alertd.Outcome  `json:"outcome"`       // of the last attempt; "" while nobody has tried
	DeadLetter  bool            `json:"dead"`          // given up
	Next        time.Time       `json:"next,omitzero"` // when it is tried again
	Attempts    []AttemptRow    `json:"attempts"`      // oldest first, see [MaxTold]

	Cursor string `json:"cursor"` // a [Filter.Cursor]: the page after this row begins here
}

// MaxTold bounds the alerts, and the attempts, that a [NotificationRow] lists.
const MaxTold = 100

// Told is an alert as a notification told it.
type Told struct {
	Fingerprint alertd.Fingerprint `json:"fingerprint"`
	Alert       string             `json:"alert"`
	Rule        string             `json:"rule"`
	Severity    alertd.Severity    `json:"severity"`
	Service     string             `json:"service"`
	State       alertd.State       `json:"state"`
	Summary     string             `json:"summary"`
}

// AttemptRow is one try to deliver.
type AttemptRow struct {
	Time       time.Time           `json:"time"`
	N          int                 `json:"n"` // from 1
	Outcome    alertd.Outcome      `json:"outcome"`
	Class      alertd.FailureClass `json:"class,omitempty"`
	Detail     string              `json:"detail,omitempty"`
	LatencyMS  float64             `json:"latency_ms"`
	RetryAfter time.Duration       `json:"retry_after,omitempty"` // nanoseconds
	Ref        string              `json:"ref,omitempty"`
	Next       time.Time           `json:"next,omitzero"` // when it is tried again
	DeadLetter bool                `json:"dead,omitempty"`
	TraceID    string              `json:"trace_id,omitempty"` // of alertd's own span of it; "" where nobody keeps one
}

// Notifications returns what was planned, newest first, each with its attempts and their outcome. The filter's
// Severity, Service, Rule, Alert and Fingerprint find notifications that told such an alert. For the rows
// after these, ask again with the last row's Cursor.
func (s *Store) Notifications(ctx context.Context, f Filter) ([]NotificationRow, error) {
	var q query
	if err := q.common(f, "pos", "text"); err != nil {
		return nil, err
	}
	const told = "EXISTS (SELECT 1 FROM notified WHERE notification = notifications.id AND "
	q.ifSet(f.Severity, told+"severity = ?)", fold(f.Severity))
	q.ifSet(f.Service, told+"service = ?)", f.Service)
	q.ifSet(f.Rule, told+"(rule = ? OR alert = ?))", f.Rule, f.Rule)
	q.ifSet(f.Alert, told+"alert = ?)", f.Alert)
	q.ifSet(f.Fingerprint, "id IN (SELECT notification FROM notified WHERE fingerprint = ?)", f.Fingerprint)
	switch f.State {
	case "pending":
		q.and("dead = 0 AND outcome IN ('', ?)", string(alertd.Retry))
	case "dead":
		q.and("dead = 1")
	default:
		q.ifSet(f.State, "(status = ? OR outcome = ?)", f.State, f.State)
	}

	found, err := s.notifications(ctx, q, limited(f.Limit))
	return found, s.explain("read notifications", err)
}

func (s *Store) notifications(ctx context.Context, q query, limit int) ([]NotificationRow, error) {
	// One transaction, so that a row and its attempts are of one moment.
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()

	rows, err := tx.QueryContext(ctx, `SELECT id, pos, time, receiver, integration, grp, group_labels, reason, digest, seq, status,
		severity, outcome, dead, next, due, (SELECT count(*) FROM notified WHERE notification = notifications.id)
		FROM notifications`+q.where()+` ORDER BY time DESC, pos DESC LIMIT ?`, append(q.args, limit)...)
	if err != nil {
		return nil, err
	}
	found, err := collect(rows, scanNotification)
	if err != nil {
		return nil, err
	}
	for i := range found {
		n := &found[i]
		rows, err := tx.QueryContext(ctx, `SELECT fingerprint, alert, rule, severity, service, state, summary
			FROM notified WHERE notification = ? ORDER BY n LIMIT ?`, n.ID, MaxTold)
		if err != nil {
			return nil, err
		}
		if n.Alerts, err = collect(rows, scanTold); err != nil {
			return nil, err
		}
		rows, err = tx.QueryContext(ctx, `SELECT time, n, outcome, class, detail, latency, retry_after, ref, next, dead, trace_id
			FROM attempts WHERE notification = ? ORDER BY id LIMIT ?`, n.ID, MaxTold)
		if err != nil {
			return nil, err
		}
		if n.Attempts, err = collect(rows, scanAttempt); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func scanNotification(rows *sql.Rows) (n NotificationRow, err error) {
	var pos, at, next, due int64
	var lbls []byte
	if err := rows.Scan(&n.ID, &pos, &at, &n.Receiver, &n.Integration, &n.Group, &lbls, &n.Reason, &n.Digest, &n.Seq, &n.Status,
		&n.Severity, &n.Outcome, &n.DeadLetter, &next, &due, &n.AlertCount); err != nil {
		return n, err
	}
	n.Time, n.Next, n.Due, n.Cursor = instant(at), instant(next), instant(due), cursor(at, pos)
	n.GroupLabels, err = readLabels(lbls)
	return n, err
}

func scanTold(rows *sql.Rows) (t Told, err error) {
	var fp string
	if err := rows.Scan(&fp, &t.Alert, &t.Rule, &t.Severity, &t.Service, &t.State, &t.Summary); err != nil {
		return t, err
	}
	t.Fingerprint, err = alertd.ParseFingerprint(fp)
	return t, err
}

func scanAttempt(rows *sql.Rows) (a AttemptRow, err error) {
	var at, next, latency int64
	err = rows.Scan(&at, &a.N, &a.Outcome, &a.Class, &a.Detail, &latency, &a.RetryAfter, &a.Ref, &next, &a.DeadLetter, &a.TraceID)
	a.Time, a.Next, a.LatencyMS = instant(at), instant(next), float64(latency)/float64(time.Millisecond)
	return a, err
}

// Kind says what a [Decision] decided.
type Kind string

// The kinds.
const (
	KindJoined    Kind = "joined"    // entered a group; Reason is the delivery, By the calendar, Detail the route
	KindScheduled Kind = "scheduled" // the group is looked at next at Until; By is the calendar
	KindWithheld  Kind = "withheld"  // not told, for Reason, by By
	KindTold      Kind = "told"      // announced as firing
	KindClosed    Kind = "closed"    // announced as resolved
	KindEnded     Kind = "ended"     // over, never announced
	KindAcked     Kind = "acked"     // taken by By until Until; Reason is why, Detail from where
	KindReleased  Kind = "released"  // of a group: By let go what it held, Detail says from where
	KindUnacked   Kind = "unacked"   // By has it no longer, because of Reason
	KindFolded    Kind = "folded"    // told Receiver in the summary By, in place of a message of its own, because of Reason
	KindSilence   Kind = "silence"   // of a silence that matches: By did Reason, until Until; see [Step.Silence]
	KindWaited    Kind = "waited"    // its message to Receiver leaves now, and not when it was planned, because of Reason
)

// Decision is one reason why an alert was told, or was not. Times are UTC.
type Decision struct {
	Time     time.Time       `json:"time"`
	Kind     Kind            `json:"kind"`
	Group    alertd.GroupKey `json:"group"`
	Receiver string          `json:"receiver,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	By       string          `json:"by,omitempty"`
	Until    time.Time       `json:"until,omitzero"`
	Detail   string          `json:"detail,omitempty"`
}

// Decisions returns what was decided about one alert, and about the groups that it ever joined, since an instant
// (zero: all that is kept), in the order in which it was decided: the newest [MaxLimit].
func (s *Store) Decisions(ctx context.Context, fp alertd.Fingerprint, since time.Time) ([]Decision, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT time, kind, grp, receiver, reason, by, until, detail FROM (
			SELECT * FROM decisions WHERE fp <> 0 AND fp = `+numbered+` AND time >= ?2
			UNION ALL
			SELECT * FROM decisions WHERE fp = 0 AND time >= ?2
				AND grp IN (SELECT grp FROM decisions WHERE fp <> 0 AND fp = `+numbered+`)
			ORDER BY pos DESC, n DESC LIMIT ?3)
		ORDER BY pos, n`, fp.String(), micros(since), MaxLimit)
	if err != nil {
		return nil, s.explain("read decisions", err)
	}
	found, err := collect(rows, func(rows *sql.Rows) (d Decision, err error) {
		var at, until int64
		err = rows.Scan(&at, &d.Kind, &d.Group, &d.Receiver, &d.Reason, &d.By, &until, &d.Detail)
		d.Time, d.Until = instant(at), instant(until)
		return d, err
	})
	return found, s.explain("read decisions", err)
}

// query collects the conditions of a WHERE clause and their arguments.
type query struct {
	conds []string
	args  []any
}

func (q *query) and(cond string, args ...any) {
	q.conds, q.args = append(q.conds, cond), append(q.args, args...)
}

// ifSet adds a condition where the field that it stands for is set.
func (q *query) ifSet(field, cond string, args ...any) {
	if field != "" {
		q.and(cond, args...)
	}
}

// common adds what all tables have: time, text, and the cursor, whose second half is the column pos.
func (q *query) common(f Filter, pos, text string) error {
	if !f.Since.IsZero() {
		q.and("time >= ?", micros(f.Since))
	}
	if !f.Until.IsZero() {
		q.and("time < ?", micros(f.Until))
	}
	for word := range strings.FieldsSeq(strings.ToLower(f.Text)) {
		q.and("instr("+text+", ?) > 0", word)
	}
	if f.Fingerprint != "" {
		if _, err := alertd.ParseFingerprint(f.Fingerprint); err != nil {
			return fmt.Errorf("%w: %w", ErrFilter, err)
		}
	}
	if f.Cursor != "" {
		at, id, err := parseCursor(f.Cursor)
		if err != nil {
			return err
		}
		q.and("(time, "+pos+") < (?, ?)", at, id)
	}
	return nil
}

func (q *query) where() string {
	if len(q.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(q.conds, " AND ")
}

// collect scans and closes rows. It never returns nil without an error: in JSON, none is [].
func collect[T any](rows *sql.Rows, scan func(*sql.Rows) (T, error)) ([]T, error) {
	defer rows.Close()
	found := []T{}
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

func limited(n int) int {
	if n <= 0 {
		return DefaultLimit
	}
	return min(n, MaxLimit)
}

// fold reads a severity as the rows hold it.
func fold(severity string) string {
	return string(alertd.SeverityOf(labels.FromStrings(alertd.LabelSeverity, strings.ToLower(severity))))
}

// cursor names a row by what the rows are sorted by.
func cursor(at, id int64) string {
	return strconv.FormatInt(at, 36) + "." + strconv.FormatInt(id, 36)
}

func parseCursor(s string) (at, id int64, err error) {
	a, b, ok := strings.Cut(s, ".")
	at, err1 := strconv.ParseInt(a, 36, 64)
	id, err2 := strconv.ParseInt(b, 36, 64)
	if !ok || err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("%w: cursor %q is none that a page ended with; leave it out to begin with the newest", ErrFilter, clip(s, 64))
	}
	return at, id, nil
}

// position is a row's place in the journal, for people: sequence and entry.
func position(id int64) string {
	return strconv.FormatInt(id>>indexBits, 10) + "." + strconv.FormatInt(id&(1<<indexBits-1), 10)
}

// instant undoes [micros].
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func readLabels(b []byte) (alertd.Labels, error) {
	var m map[string]string
	if err := json.Unmarshal(b, &m); err != nil {
		return alertd.Labels{}, fmt.Errorf("%w: labels: %w", ErrDamaged, err)
	}
	return labels.FromMap(m), nil
}
