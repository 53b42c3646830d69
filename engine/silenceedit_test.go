package engine_test

import (
	"testing"
	"time"

	"alertd"
	"alertd/engine"
)

// Some clients know when a silence began to the second only, and send that back with a new comment or end. As in
// Alertmanager the silence stays the one it is.
func TestEditKnownToTheSecond(t *testing.T) {
	m := engine.New()
	began := time.Date(2026, 3, 27, 9, 0, 0, 250e6, time.UTC)
	s := alertd.Silence{
		Matchers: []alertd.Matcher{{Name: "service", Value: "db", IsEqual: true}}, CreatedBy: "ann", Comment: "disks",
		StartsAt: began, EndsAt: began.Add(time.Hour),
	}
	in, id, err := m.PlanSilence(began, s, "one", alertd.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	m.Step(began, in)
	for _, tt := range []struct {
		starts time.Time
		want   string
	}{
		{began.Truncate(time.Second), "one"},
		{began.Truncate(time.Second).Add(900 * time.Millisecond), "one"},
		{began.Add(-time.Second), "two"},
	} {
		s.ID, s.Comment, s.StartsAt = id, "still disks", tt.starts
		in, known, err := m.PlanSilence(began.Add(time.Minute), s, "two", alertd.Actor{})
		if err != nil || known != tt.want {
			t.Fatalf("edited with its beginning at %s it is %q (%v), want %q", tt.starts, known, err, tt.want)
		}
		if got := in.Silences[0]; known == "one" && !got.StartsAt.Equal(began) {
			t.Errorf("it began at %s, want %s", got.StartsAt, began)
		}
	}
}
