package grouping_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"alertd"
	"alertd/grouping"
)

var noon = time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC)

func joined(group string, fp alertd.Fingerprint) alertd.Joined {
	return alertd.Joined{
		Fingerprint: fp, Group: alertd.GroupKey(group), Receiver: "ops", Delivery: alertd.Immediate,
		GroupWait: 30 * time.Second, GroupInterval: 5 * time.Minute, RepeatInterval: 4 * time.Hour,
	}
}

func TestSpeak(t *testing.T) {
	one, two := []alertd.Fingerprint{1}, []alertd.Fingerprint{2}
	for _, tt := range []struct {
		name  string
		spoke time.Duration // before now; 0: never
		d     grouping.Diff
		want  alertd.Reason
	}{
		{name: "nothing at all"},
		{name: "the first", d: grouping.Diff{Fresh: one}, want: alertd.ReasonFirst},
		{name: "one more", spoke: time.Minute, d: grouping.Diff{Fresh: two, Told: one}, want: alertd.ReasonNewAlerts},
		{name: "one more and one less", spoke: time.Minute, d: grouping.Diff{Fresh: two, Closed: one}, want: alertd.ReasonNewAlerts},
		{name: "one less", spoke: time.Minute, d: grouping.Diff{Told: two, Closed: one}, want: alertd.ReasonSomeResolved},
		{name: "the last", spoke: time.Minute, d: grouping.Diff{Closed: one}, want: alertd.ReasonAllResolved},
		{name: "never told, over", spoke: time.Minute, d: grouping.Diff{Ended: one}},
		{name: "as before", spoke: 4*time.Hour - 1, d: grouping.Diff{Told: one}},
		{name: "as before for four hours", spoke: 4 * time.Hour, d: grouping.Diff{Told: one}, want: alertd.ReasonRepeat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &grouping.Group{Joined: joined("g", 1)}
			if tt.spoke > 0 {
				g.SpokeAt = noon.Add(-tt.spoke)
			}
			got, ok := g.Speak(tt.d, noon)
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("says %q, %v; want %q", got, ok, tt.want)
			}
		})
	}
}

func TestChangeDue(t *testing.T) {
	g := &grouping.Group{Joined: joined("g", 1)}
	for _, tt := range []struct {
		name         string
		spoke, fired time.Duration // before noon
		want         time.Duration // after noon
	}{
		{name: "fires now", want: 30 * time.Second},
		{name: "fired a while ago", fired: 10 * time.Second, want: 20 * time.Second},
		{name: "fired long ago", fired: time.Hour, want: 0},
		{name: "a clock ahead does not make it wait longer", fired: -time.Hour, want: 30 * time.Second},
		{name: "spoke a minute ago", spoke: time.Minute, fired: time.Hour, want: 4 * time.Minute},
		{name: "spoke long ago", spoke: time.Hour, want: 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.SpokeAt = time.Time{}
			if tt.spoke > 0 {
				g.SpokeAt = noon.Add(-tt.spoke)
			}
			if got := g.ChangeDue(noon, noon.Add(-tt.fired)); !got.Equal(noon.Add(tt.want)) {
				t.Errorf("due %s after now, want %s", got.Sub(noon), tt.want)
			}
		})
	}
}

// A set that anything is done to gives out its groups in the order in which they are due, knows the groups of every
// alert, and is the same after it was written and read.
func TestSetKeepsItsIndexes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := grouping.NewSet()
		now := noon
		key := rapid.Custom(func(t *rapid.T) alertd.GroupKey {
			return alertd.GroupKey(fmt.Sprint("g", rapid.IntRange(0, 4).Draw(t, "group")))
		})
		print := rapid.Custom(func(t *rapid.T) alertd.Fingerprint {
			return alertd.Fingerprint(rapid.IntRange(1, 6).Draw(t, "alert"))
		})
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				s.Join(now, joined(string(key.Draw(t, "key")), print.Draw(t, "fp")))
			},
			"mark": func(t *rapid.T) {
				s.Mark(print.Draw(t, "fp"), rapid.Bool().Draw(t, "firing"))
			},
			"schedule": func(t *rapid.T) {
				var due time.Time
				if n := rapid.IntRange(0, 5).Draw(t, "minutes"); n > 0 {
					due = now.Add(time.Duration(n) * time.Minute)
				}
				s.Schedule(alertd.Scheduled{Group: key.Draw(t, "key"), Due: due, Reason: alertd.ReasonGrouped})
			},
			"flush": func(t *rapid.T) {
				g := s.Get(key.Draw(t, "key"))
				if g == nil {
					t.Skip("no such group")
				}
				d := g.Diff()
				s.Flush(now, alertd.Flushed{Group: g.Group, Told: d.Fresh, Closed: d.Closed, Ended: d.Ended, Spoke: true})
			},
			"": func(t *rapid.T) { consistent(t, s) },
		})
	})
}

func consistent(t *rapid.T, s *grouping.Set) {
	var first *grouping.Group
	n := 0
	in := map[alertd.Fingerprint][]alertd.GroupKey{}
	for g := range s.All() {
		n++
		if len(g.Members) == 0 {
			t.Fatalf("%s is empty and still there", g.Group)
		}
		for fp := range g.Members {
			in[fp] = append(in[fp], g.Group)
		}
		if !g.Due.IsZero() && (first == nil || g.Due.Before(first.Due)) {
			first = g
		}
	}
	if n != s.Len() {
		t.Fatalf("%d groups, Len is %d", n, s.Len())
	}
	if got := s.Next(); got != first {
		t.Fatalf("next is %v, want %v", got, first)
	}
	for fp := alertd.Fingerprint(1); fp <= 6; fp++ {
		var got []alertd.GroupKey
		for _, g := range s.Of(fp) {
			got = append(got, g.Group)
		}
		if !slices.Equal(got, in[fp]) {
			t.Fatalf("alert %s is in %v, the set says %v", fp, in[fp], got)
		}
	}
	before, err := json.Marshal(s.Freeze())
	if err != nil {
		t.Fatal(err)
	}
	back := grouping.NewSet()
	if err := json.Unmarshal(before, back); err != nil {
		t.Fatal(err)
	}
	after, err := json.Marshal(back.Freeze())
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Fatalf("written and read, a set is another one:\n%s\n%s", before, after)
	}
	if got, want := back.Next(), s.Next(); (got == nil) != (want == nil) || got != nil && got.Group != want.Group {
		t.Fatalf("after reading, next is %v, want %v", got, want)
	}
}
