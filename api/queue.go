package api

import (
	"net/http"
	"time"

	"alertd"
	"alertd/notifier"
)

// Digest is what a destination would be sent if what a calendar holds for its receiver left now.
type Digest struct {
	Receiver    string           `json:"receiver"`
	Integration string           `json:"integration"` // "": no destination would be sent anything
	Calendar    string           `json:"calendar"`
	Until       time.Time        `json:"until"`  // when it leaves
	Reason      alertd.Reason    `json:"reason"` // why then
	Firing      []DigestSeverity `json:"firing"` // the most urgent first
	Resolved    []Told           `json:"resolved"`
	Flapping    []Told           `json:"flapping"` // of a digest of several: they are in no other section
	More        int              `json:"more"`     // how many it has no room for
	Omitted     []Omitted        `json:"omitted"`  // held, and not told in it, since something hides them
	Text        string           `json:"text"`     // as the console would show it
}

// DigestSeverity is what still fires of one severity, oldest first.
type DigestSeverity struct {
	Severity alertd.Severity `json:"severity"`
	Count    int             `json:"count"`
	Oldest   time.Time       `json:"oldest"` // since when the first of them has been firing
	Alerts   []Told          `json:"alerts"`
}

// Told is an alert as a digest tells it.
type Told struct {
	Alert
	HeldSince  time.Time `json:"heldSince,omitzero"`
	ResolvedAt time.Time `json:"resolvedAt,omitzero"`
}

// Omitted is an alert that something hides.
type Omitted struct {
	Alert
	Reason alertd.Reason `json:"reason"`         // silenced or inhibited
	By     string        `json:"by"`             // the silence, or the alert
	Until  time.Time     `json:"until,omitzero"` // of a silence
}

// queue shows what waits, until when, and the digests as they would be now.
func (a *api) queue(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	held, err := a.o.State.Held(r.Context())
	if err != nil {
		return err
	}
	drafts, err := a.o.State.Drafts(r.Context())
	if err != nil {
		return err
	}
	digests := []Digest{}
	for i := range drafts {
		digests = append(digests, a.digests(&drafts[i])...)
	}
	return success(w, map[string]any{"held": nonNil(held), "digests": digests})
}

// digests are those of one draft: one for each destination, or one that says that there is nothing to be sent.
func (a *api) digests(d *alertd.Draft) (out []Digest) {
	omitted := make([]Omitted, 0, len(d.Omitted))
	for i := range d.Omitted {
		h := &d.Omitted[i]
		omitted = append(omitted, Omitted{alertOf(&h.Alert), h.Reason, h.By, h.Until})
	}
	empty := Digest{
		Receiver: d.Receiver, Calendar: d.Calendar, Until: d.Until, Reason: d.Reason, Omitted: omitted,
		Firing: []DigestSeverity{}, Resolved: []Told{}, Flapping: []Told{},
	}
	for i := range d.Messages {
		n := &d.Messages[i]
		of := empty
		of.Integration, of.More = n.Integration, n.Truncated
		firing, resolved := notifier.Split(n)
		firing, resolved, flapping := notifier.Restless(n, firing, resolved)
		of.Firing, of.Resolved, of.Flapping = bySeverity(firing), toldOf(resolved), toldOf(flapping)
		if a.o.Text != nil {
			of.Text = a.o.Text(*n)
		}
		out = append(out, of)
	}
	if len(out) == 0 {
		return []Digest{empty}
	}
	return out
}

// bySeverity cuts alerts in the order of notifier.Split where the severity changes.
func bySeverity(as []alertd.Notified) []DigestSeverity {
	out := []DigestSeverity{}
	for i := range as {
		if n := len(out); n == 0 || out[n-1].Severity.Rank() != as[i].Severity().Rank() {
			out = append(out, DigestSeverity{Severity: as[i].Severity()})
		}
		s := &out[len(out)-1]
		if began := notifier.Began(&as[i].Alert); s.Count == 0 || began.Before(s.Oldest) {
			s.Oldest = began
		}
		s.Count++
		s.Alerts = append(s.Alerts, toldOf(as[i:i+1])...)
	}
	return out
}

func toldOf(as []alertd.Notified) []Told {
	out := make([]Told, 0, len(as))
	for i := range as {
		out = append(out, Told{alertOf(&as[i].Alert), as[i].HeldSince, as[i].ResolvedAt})
	}
	return out
}
