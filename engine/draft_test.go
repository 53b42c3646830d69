package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"alertd"
)

// every so many times that time does something, drafts are looked at.
const every = 7

// drafts counts what the simulation saw of drafts.
type drafts struct {
	asked, met, late int
}

// drawn are the messages of the drafts that leave now, each as JSON.
func (w *world) drawn() (out []string) {
	for _, d := range w.m.Drafts(w.now) {
		if d.Until.After(w.now) {
			continue
		}
		for i := range d.Messages {
			out = append(out, drawing(w.t, d.Messages[i]))
		}
	}
	slices.Sort(out)
	return out
}

func drawing(t testing.TB, n alertd.Notification) string {
	n.ID = ""
	b, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// time lets time do one thing, and holds drafts to their promise: a digest that leaves is what its draft was a moment
// before, and no draft that leaves now stays behind.
func (w *world) time() {
	w.drafts.asked++
	if w.lean || w.drafts.asked%every != 0 { // it costs more than all the rest
		w.step(nil)
		return
	}
	if w.drafts.asked%(50*every) == 0 {
		w.onlyReads()
	}
	before, from := w.drawn(), len(w.journal)
	w.step(nil)
	still := true // what the drafts were made of is as it was
	for _, e := range w.journal[from:] {
		still = still && e.Transition == nil && e.Silence == nil && e.Acked == nil
		if e.Planned == nil || !e.Planned.Notification.Digest {
			continue
		}
		said := drawing(w.t, e.Planned.Notification)
		i := slices.Index(before, said)
		if i < 0 {
			w.t.Fatalf("%s: the digest\n%s\nwas none of the drafts\n%s", w.now, said, strings.Join(before, "\n"))
		}
		before = slices.Delete(before, i, i+1)
		w.drafts.met++
		if !e.Planned.Notification.DueAt.IsZero() {
			w.drafts.late++
		}
	}
	if !still {
		return
	}
	if after := w.drawn(); !slices.Equal(before, after) {
		w.t.Fatalf("%s: drafts that leave now were\n%s\nand are\n%s", w.now, strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if due, ok := w.m.Next(); len(before) > 0 && (!ok || due.After(w.now)) {
		w.t.Fatalf("%s: nothing is due, and drafts say\n%s", w.now, strings.Join(before, "\n"))
	}
}

// onlyReads asks everything that may be asked, of a time to come, and looks whether that changed anything.
func (w *world) onlyReads() {
	before := w.snapshot()
	next := func() string { due, ok := w.m.Next(); return fmt.Sprint(due, ok, w.m.Stats(w.now)) }
	was := next()
	later := w.now.AddDate(0, 0, 3)
	w.m.Alerts(later)
	w.m.Held(later)
	w.m.Standing(later)
	w.m.GroupViews(later)
	w.m.Silences(later)
	w.m.Drafts(later)
	if after := w.snapshot(); !bytes.Equal(before, after) {
		w.t.Fatalf("%s: asking changed the state\nbefore: %s\nafter:  %s", w.now, before, after)
	}
	if is := next(); is != was {
		w.t.Fatalf("%s: asking changed what comes next from %s to %s", w.now, was, is)
	}
}

// Asking what is, or will be, leaves the machine's clock alone: an alert that flaps now flaps still.
func TestAskingLeavesTheClock(t *testing.T) {
	c := newComing(t)
	for range 5 {
		c.turn()
	}
	flaps := func() int {
		all, err := c.m.Selected(alertd.Selection{All: true})
		if err != nil {
			t.Fatal(err)
		}
		return all[0].Changes
	}
	was := flaps()
	if was == 0 {
		t.Fatal("it does not flap")
	}
	c.m.Alerts(c.now.AddDate(0, 0, 1))
	c.m.Held(c.now.AddDate(0, 0, 1))
	c.m.Drafts(c.now.AddDate(0, 0, 1))
	if is := flaps(); is != was {
		t.Errorf("%d changes before it was asked of tomorrow, %d after", was, is)
	}
}

// drafts lists what would leave now.
func (s *story) drafts() {
	for _, d := range s.m.Drafts(s.now) {
		fmt.Fprintf(&s.out, "%s for %s, leaves %s (%s)\n", d.Calendar, d.Receiver, stamp(d.Until), d.Reason)
		for i := range d.Messages {
			s.tell(alertd.Entry{Time: s.now, Planned: &alertd.Planned{Notification: d.Messages[i]}})
		}
		for _, h := range d.Omitted {
			fmt.Fprintf(&s.out, "           without %s: %s\n", name(h.Alert.Labels), h.Why())
		}
	}
}
