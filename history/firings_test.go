package history

import (
	"testing"
	"time"

	"alertd"
)

func TestFirings(t *testing.T) {
	s := fresh(t)
	at := func(minutes int) time.Time { return epoch.Add(time.Duration(minutes) * time.Minute) }
	turn := func(service string, from, to alertd.State, minute int) alertd.Entry {
		return turned(alert("Disk", service, "warning", to, at(minute)), from, alertd.ReasonTrue, at(minute))
	}
	apply(t, s, record(1,
		turn("a", alertd.Inactive, alertd.Pending, 0),
		turn("a", alertd.Pending, alertd.Inactive, 1), // waited and never fired
		turn("a", alertd.Inactive, alertd.Pending, 2),
		turn("a", alertd.Pending, alertd.Firing, 3),
		turn("b", alertd.Inactive, alertd.Firing, 4),
		turn("a", alertd.Firing, alertd.Recovering, 5),
		turn("a", alertd.Recovering, alertd.Firing, 6), // the same firing
		turn("a", alertd.Firing, alertd.NoData, 7),
		turn("a", alertd.NoData, alertd.Resolved, 8),
		turn("a", alertd.Inactive, alertd.Firing, 9),
		turn("a", alertd.Firing, alertd.Resolved, 9), // in the same moment
		turn("a", alertd.Inactive, alertd.Firing, 10),
	))
	b := alert("Disk", "b", "warning", alertd.Firing, at(4)).Fingerprint
	apply(t, s, record(2, alertd.Entry{Time: at(5), Acked: &alertd.Acked{Ack: alertd.Ack{By: "ada", From: alertd.FromCLI, Why: "old logs", At: at(5)}, Alerts: []alertd.Fingerprint{b}}}))
	if got, _, err := s.Firings(t.Context(), Filter{Service: "b"}); err != nil || got[0].AckedBy != "ada" || got[0].Note != "old logs" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, _, err := s.Firings(t.Context(), Filter{Service: "a"}); err != nil || got[0].AckedBy != "" {
		t.Errorf("%+v, %v", got, err)
	}
	type row struct {
		service      string
		began, ended time.Time
	}
	check := func(f Filter, total int, want ...row) {
		t.Helper()
		got, n, err := s.Firings(t.Context(), f)
		if err != nil || n != total || len(got) != len(want) {
			t.Fatalf("%+v: %d of %d, %v", f, len(got), n, err)
		}
		for i, w := range want {
			if g := got[i]; g.Service != w.service || !g.FiredAt.Equal(w.began) || !g.EndedAt.Equal(w.ended) || g.Alert != "Disk" {
				t.Errorf("%+v: %d is %+v, want %+v", f, i, g, w)
			}
		}
	}
	check(Filter{Alert: "Disk"}, 4, row{"a", at(10), time.Time{}}, row{"a", at(9), at(9)}, row{"b", at(4), time.Time{}}, row{"a", at(3), at(8)})
	check(Filter{Alert: "Disk", Limit: 1}, 4, row{"a", at(10), time.Time{}})
	check(Filter{Alert: "Disk", Service: "b"}, 1, row{"b", at(4), time.Time{}})
	check(Filter{Fingerprint: alert("Disk", "a", "warning", alertd.Firing, epoch).Fingerprint.String(), Until: at(9)}, 1, row{"a", at(3), at(8)})
	check(Filter{Alert: "Disk", Since: at(9)}, 2, row{"a", at(10), time.Time{}}, row{"a", at(9), at(9)})
	check(Filter{Alert: "Other"}, 0)
	if _, _, err := s.Firings(t.Context(), Filter{Fingerprint: "x"}); err == nil {
		t.Error("took a fingerprint that is none")
	}
}
