package notifier_test

import (
	"testing"

	"alertd"
	"alertd/notifier"
)

// A digest has a section for what comes and goes; elsewhere it stays where it is, and alone it is told at length.
func TestRestless(t *testing.T) {
	a := func(state alertd.State, changes int) alertd.Notified {
		return alertd.Notified{Alert: alertd.Alert{State: state, Changes: changes}}
	}
	for _, c := range []struct {
		name                   string
		n                      alertd.Notification
		steady, over, flapping int
	}{
		{"digest", alertd.Notification{Digest: true, Alerts: []alertd.Notified{a(alertd.Resolved, 4), a(alertd.Firing, 0), a(alertd.Firing, 6), a(alertd.Resolved, 0)}}, 1, 1, 2},
		{"page", alertd.Notification{Alerts: []alertd.Notified{a(alertd.Firing, 0), a(alertd.Firing, 6)}}, 2, 0, 0},
		{"digest of one", alertd.Notification{Digest: true, Alerts: []alertd.Notified{a(alertd.Firing, 6)}}, 1, 0, 0},
	} {
		firing, resolved := notifier.Split(&c.n)
		steady, over, flapping := notifier.Restless(&c.n, firing, resolved)
		if len(steady) != c.steady || len(over) != c.over || len(flapping) != c.flapping || len(firing)+len(resolved) != len(c.n.Alerts) {
			t.Errorf("%s: %d, %d, %d", c.name, len(steady), len(over), len(flapping))
		}
		if len(flapping) > 1 && !flapping[0].State.Active() {
			t.Errorf("%s: what is over comes first", c.name)
		}
	}
}
