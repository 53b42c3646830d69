package history

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// Bounds of what one row keeps, in bytes. What is longer ends in an ellipsis.
const (
	maxName       = 512      // names, ids, label values that are filtered by
	maxLabel      = 1 << 10  // a label's value
	maxAnnotation = 4 << 10  // an annotation's value
	maxURL        = 2 << 10  // longer ones are dropped: half a link leads nowhere
	maxText       = 16 << 10 // what a free-text search reads
)

// indexBits is the room for an entry's index within its commit, in a row's position.
const indexBits = 20

// Record is a commit and its sequence in the journal.
type Record struct {
	Seq    uint64
	Commit alertd.Commit
}

func (w *writer) commit(r Record) error {
	if len(r.Commit.Entries) >= 1<<indexBits || r.Seq >= 1<<(63-indexBits) {
		return fmt.Errorf("a commit of %d entries is more than a journal holds", len(r.Commit.Entries))
	}
	for i := range r.Commit.Entries {
		if err := w.entry(int64(r.Seq)<<indexBits|int64(i), &r.Commit.Entries[i]); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return nil
}

func (w *writer) entry(pos int64, e *alertd.Entry) error {
	switch {
	case e.Transition != nil:
		return w.transition(pos, e.Time, e.Transition)
	case e.Planned != nil:
		if err := w.planned(pos, e.Time, &e.Planned.Notification); err != nil {
			return err
		}
		return w.folded(pos, e.Time, e.Planned)
	case e.Admitted != nil:
		return w.admitted(pos, e.Time, e.Admitted)
	case e.Attempted != nil:
		return w.attempted(pos, e.Time, e.Attempted)
	case e.Joined != nil:
		j := e.Joined
		return w.decision(pos, 0, e.Time, decision{
			kind: KindJoined, fingerprint: j.Fingerprint, group: j.Group, receiver: j.Receiver,
			reason: string(j.Delivery), by: j.Calendar, detail: j.Route,
		})
	case e.Scheduled != nil:
		d := e.Scheduled
		return w.decision(pos, 0, e.Time, decision{
			kind: KindScheduled, group: d.Group, reason: string(d.Reason), by: d.Calendar, until: d.Due,
		})
	case e.Withheld != nil:
		d := e.Withheld
		return w.decision(pos, 0, e.Time, decision{
			kind: KindWithheld, fingerprint: d.Fingerprint, group: d.Group, receiver: d.Receiver,
			reason: string(d.Reason), by: d.By, until: d.Until, detail: d.Detail,
		})
	case e.Flushed != nil:
		return w.flushed(pos, e.Time, e.Flushed)
	case e.Acked != nil:
		return w.acked(pos, e.Time, e.Acked)
	case e.Released != nil:
		return w.released(pos, e.Time, e.Released)
	case e.Silence != nil:
		return w.silence(pos, e.Time, e.Silence)
	case e.Policy != nil:
		return w.exec(w.stmts.policy, pos, micros(e.Time), clip(e.Policy.Version, maxName))
	}
	return nil // a kind of entry that a later journal adds
}

func (w *writer) transition(pos int64, at time.Time, t *alertd.Transition) error {
	a := &t.Alert
	severity, summary := string(a.Severity()), a.Summary()
	lbls, annotations := appendLabels(nil, a.Labels, maxLabel), appendLabels(nil, a.Annotations, maxAnnotation)
	w.text, w.odd = w.text[:0], false
	w.say(a.Name(), a.Rule, severity, string(t.Reason), a.Trace.TraceID)
	w.sayLabels(a.Labels, a.Annotations)
	text := ""
	if w.odd {
		text = w.said()
	}
	fp, err := w.number(a.Fingerprint)
	if err != nil {
		return err
	}
	event := a.At
	if t.Reason == alertd.ReasonRuleGone { // a reload, and no event, says so
		event = at
	}
	return w.exec(w.stmts.transition,
		pos, micros(at), micros(event), fp, clip(a.Name(), maxName), clip(a.Rule, maxName),
		clip(severity, maxName), clip(a.Service(), maxName), string(t.From), string(a.State), number(a.Measured()),
		clip(string(t.Reason), maxName), clip(summary, maxLabel), link(a.RunbookURL), link(a.TraceURL),
		clip(a.Trace.TraceID, maxName), string(lbls), string(annotations), text)
}

func (w *writer) planned(pos int64, at time.Time, n *alertd.Notification) error {
	w.text = w.text[:0]
	w.say(n.Receiver, n.Integration, string(n.Group), string(n.Reason))
	for i := range n.Alerts {
		a := &n.Alerts[i].Alert
		w.say(a.Name(), a.Service(), a.Summary())
	}
	if !n.PlannedAt.IsZero() {
		at = n.PlannedAt
	}
	if err := w.exec(w.stmts.notification,
		n.ID, pos, micros(at), clip(n.Receiver, maxName), clip(n.Integration, maxName), clip(string(n.Group), maxLabel),
		string(appendLabels(nil, n.GroupLabels, maxLabel)), clip(string(n.Reason), maxName), n.Digest, int64(n.Seq),
		n.Status(), clip(string(n.Severity()), maxName), "", false, 0, w.said(), micros(n.DueAt)); err != nil {
		return err
	}
	for i := range n.Alerts {
		a := &n.Alerts[i].Alert
		if _, err := w.number(a.Fingerprint); err != nil { // what becomes of the message is a decision about it
			return err
		}
		if err := w.exec(w.stmts.notified,
			n.ID, i, a.Fingerprint.String(), clip(a.Name(), maxName), clip(a.Rule, maxName), clip(string(a.Severity()), maxName),
			clip(a.Service(), maxName), string(a.State), clip(a.Summary(), maxLabel)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) attempted(pos int64, at time.Time, a *alertd.Attempted) error {
	if err := w.exec(w.stmts.attempt,
		pos, micros(at), a.Notification, a.N, string(a.Outcome), string(a.Class), clip(a.Detail, maxLabel),
		int64(a.RetryAfter), int64(a.Latency), clip(a.Ref, maxName), micros(a.Next), a.DeadLetter, clip(a.TraceID, maxName)); err != nil {
		return err
	}
	return w.exec(w.stmts.outcome, string(a.Outcome), a.DeadLetter, micros(a.Next), a.Notification)
}

// perNotification is more than the alerts that a notification holds: the rows of the next one are counted from there.
const perNotification = 1 << 10

// folded writes a row for each alert of the messages that a summary is sent in place of.
func (w *writer) folded(pos int64, at time.Time, p *alertd.Planned) error {
	for i, id := range p.Folds {
		if err := w.limited(pos, i, at, decision{
			kind: KindFolded, by: p.Notification.ID, reason: fmt.Sprintf("limit of %d messages a minute", p.Notification.Summary.Limit),
		}, id, math.MaxInt64); err != nil {
			return err
		}
		if err := w.exec(w.stmts.outcome, string(alertd.Folded), false, 0, id); err != nil {
			return err
		}
	}
	return nil
}

// admitted writes a row for each alert of a message that had to wait until now.
func (w *writer) admitted(pos int64, at time.Time, a *alertd.Admitted) error {
	for i, id := range a.Notifications {
		if err := w.limited(pos, i, at, decision{kind: KindWaited, reason: "limit of messages a minute"}, id, micros(at)); err != nil {
			return err
		}
	}
	return nil
}

// limited writes what a limit decided about the i-th message, if that was planned before an instant in microseconds: a row
// for each of its alerts.
func (w *writer) limited(pos int64, i int, at time.Time, d decision, id string, before int64) error {
	if err := w.when(pos, at); err != nil {
		return err
	}
	return w.exec(w.stmts.limit, pos, i*perNotification, micros(at), string(d.kind), d.reason, d.by, id, before)
}

// flushed writes a row for each alert that the group spoke of.
func (w *writer) flushed(pos int64, at time.Time, f *alertd.Flushed) error {
	n := 0
	for _, part := range []struct {
		kind Kind
		of   []alertd.Fingerprint
	}{{KindTold, f.Told}, {KindClosed, f.Closed}, {KindEnded, f.Ended}} {
		for _, fp := range part.of {
			if err := w.decision(pos, n, at, decision{kind: part.kind, fingerprint: fp, group: f.Group}); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}

// acked writes a row for each alert that somebody has taken, or has no longer.
func (w *writer) acked(pos int64, at time.Time, a *alertd.Acked) error {
	d := decision{kind: KindAcked, reason: a.Why, by: a.By, until: a.Until, detail: whence(a.From, a.Client)}
	if a.Ended != "" {
		d.kind, d.reason, d.until = KindUnacked, string(a.Ended), time.Time{}
	}
	for n, fp := range a.Alerts {
		d.fingerprint = fp
		if err := w.decision(pos, n, at, d); err != nil {
			return err
		}
	}
	return nil
}

// released writes a row for each group that somebody lets go.
func (w *writer) released(pos int64, at time.Time, r *alertd.Released) error {
	d := decision{kind: KindReleased, by: r.By, detail: whence(r.From, r.Client), reason: string(alertd.ReasonReleased)}
	for n, key := range r.Groups {
		d.group = key
		if err := w.decision(pos, n, at, d); err != nil {
			return err
		}
	}
	return nil
}

// whence is by which way something was asked for, and from where: "cli (192.0.2.7)".
func whence(from alertd.AckSource, client string) string {
	if client == "" {
		return string(from)
	}
	return string(from) + " (" + client + ")"
}

// decision is a row of the table decisions.
type decision struct {
	kind             Kind
	fingerprint      alertd.Fingerprint // 0 holds for the whole group
	group            alertd.GroupKey
	receiver, reason string
	by, detail       string
	until            time.Time
	silence          string // JSON of a [SilenceStep]
}

func (w *writer) decision(pos int64, n int, at time.Time, d decision) error {
	fp, err := int64(0), error(nil)
	if d.fingerprint != 0 {
		if fp, err = w.number(d.fingerprint); err != nil {
			return err
		}
	}
	if err := w.when(pos, at); err != nil {
		return err
	}
	return w.exec(w.stmts.decision,
		pos, n, micros(at), string(d.kind), fp, clip(string(d.group), maxLabel), clip(d.receiver, maxName),
		clip(d.reason, maxName), clip(d.by, maxName), micros(d.until), clip(d.detail, maxLabel), d.silence)
}

// transitionText is what a free-text search reads of a transition: the words that [writer.say] was told of it. They are written
// down only where the other columns do not give them, because of quotes, other alphabets or sheer length: else they would be a third
// of the file.
const transitionText = `CASE text WHEN '' THEN lower(alert || char(10) || rule || char(10) || severity || char(10) || reason || char(10) || trace_id || char(10) ||
	replace(replace(substr(labels, 3) || char(10) || substr(annotations, 3), '":"', '='), '","', char(10))) ELSE text END`

// say adds words to what a free-text search finds the row by.
func (w *writer) say(words ...string) {
	for _, s := range words {
		w.odd = w.odd || !plain(s)
		w.text = append(append(w.text, s...), '\n')
	}
}

func (w *writer) sayLabels(sets ...alertd.Labels) {
	for _, ls := range sets {
		ls.Range(func(l labels.Label) {
			w.odd = w.odd || !plain(l.Name) || !plain(l.Value)
			w.text = append(append(append(append(w.text, l.Name...), '='), l.Value...), '\n')
		})
	}
}

// plain reports whether a text is in a column, or in a JSON object there, as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return len(s) <= maxName
}

func (w *writer) said() string { return strings.ToLower(clip(string(w.text), maxText)) }

// appendLabels appends ls as a JSON object, names in order, values cut to limit bytes.
func appendLabels(b []byte, ls alertd.Labels, limit int) []byte {
	b = append(b, '{')
	ls.Range(func(l labels.Label) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = appendString(b, clip(l.Name, maxName))
		b = append(b, ':')
		b = appendString(b, clip(l.Value, limit))
	})
	return append(b, '}')
}

// appendString appends s as a JSON string. Plain text stays as it is, & and < too, so that [transitionText] finds it.
func appendString(b []byte, s string) []byte {
	if plain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	return alertd.AppendText(b, s)
}

// micros is t in microseconds since the epoch, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// number is v, or nil for NaN, which SQLite would store as NULL and STRICT refuse.
func number(v alertd.Value) any {
	if math.IsNaN(float64(v)) {
		return nil
	}
	return float64(v)
}

// clip cuts s to limit bytes of whole characters, the last one an ellipsis.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	cut := limit - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// link is u unless it is too long to keep whole.
func link(u string) string {
	if len(u) > maxURL {
		return ""
	}
	return u
}
