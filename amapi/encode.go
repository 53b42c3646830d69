package amapi

import (
	"net/http"
	"time"

	"alertd"
)

// stillFor is how long an alert that nobody ends is said to stand from now on. Alertmanager always names an end, and
// clients that cannot do without one take what is past for resolved.
const stillFor = 5 * time.Minute

// chunk is how much of an answer is held in memory before it is sent.
const chunk = 64 << 10

// writer writes JSON as it is made: everything that fires may be more than one wants to hold twice. What it writes is
// what encoding/json would, ten times as quick; a test compares.
type writer struct {
	w   http.ResponseWriter
	b   []byte
	now time.Time
}

func newWriter(w http.ResponseWriter, now time.Time) *writer {
	w.Header().Set("Content-Type", "application/json")
	return &writer{w: w, b: make([]byte, 0, chunk+chunk/4), now: now}
}

// list writes n elements.
func (w *writer) list(n int, element func(i int)) {
	w.b = append(w.b, '[')
	for i := range n {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		element(i)
		if len(w.b) > chunk {
			w.flush()
		}
	}
	w.b = append(w.b, ']')
}

func (w *writer) flush() {
	_, _ = w.w.Write(w.b) // the client went away: nobody to tell
	w.b = w.b[:0]
}

// end writes the newline that all answers end with, and sends what is left.
func (w *writer) end() {
	w.b = append(w.b, '\n')
	w.flush()
}

func (w *writer) raw(s string)            { w.b = append(w.b, s...) }
func (w *writer) text(s string)           { w.b = alertd.AppendText(w.b, s) }
func (w *writer) labels(ls alertd.Labels) { w.b = alertd.AppendLabels(w.b, ls) }
func (w *writer) time(t time.Time)        { w.b = appendTime(w.b, t) }
func (w *writer) texts(all []string)      { w.list(len(all), func(i int) { w.text(all[i]) }) }

// alert writes an alert, its members in Alertmanager's order.
func (w *writer) alert(s *alertd.Standing) {
	starts := s.FiredAt
	if starts.IsZero() {
		starts = s.ActiveAt
	}
	ends := s.Expires
	if !ends.After(w.now) {
		ends = w.now.Add(stillFor)
	}
	state := "active"
	if len(s.SilencedBy)+len(s.InhibitedBy)+len(s.MutedBy) > 0 {
		state = "suppressed"
	}
	w.raw(`{"annotations":`)
	w.labels(s.Annotations)
	w.raw(`,"endsAt":`)
	w.time(ends)
	w.raw(`,"fingerprint":`)
	w.text(s.Fingerprint.String())
	w.raw(`,"receivers":`)
	w.list(len(s.Receivers), func(i int) { w.name(s.Receivers[i]) })
	w.raw(`,"startsAt":`)
	w.time(starts)
	w.raw(`,"status":{"inhibitedBy":`)
	w.list(len(s.InhibitedBy), func(i int) { w.text(s.InhibitedBy[i].String()) })
	w.raw(`,"mutedBy":`)
	w.texts(s.MutedBy)
	w.raw(`,"silencedBy":`)
	w.texts(s.SilencedBy)
	w.raw(`,"state":`)
	w.text(state)
	w.raw(`},"updatedAt":`)
	w.time(s.UpdatedAt)
	if s.GeneratorURL != "" {
		w.raw(`,"generatorURL":`)
		w.text(s.GeneratorURL)
	}
	w.raw(`,"labels":`)
	w.labels(s.Labels)
	w.raw(`}`)
}

// name writes a reference to a receiver.
func (w *writer) name(s string) {
	w.raw(`{"name":`)
	w.text(s)
	w.raw(`}`)
}

// timeLayout has milliseconds, always three digits.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeLayout)
	return append(b, '"')
}
