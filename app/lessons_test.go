package app_test

import (
	"math"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/prometheus/model/value"

	"alertd"
	"alertd/engine"
	"alertd/rules"
)

// What went wrong in other systems, each a test; docs/lessons.md has the list.

// with are rules in one group, asked every 15 seconds, and routing that tells nobody.
func with(group string) fstest.MapFS {
	return fstest.MapFS{
		"own.yaml":     {Data: []byte("groups:\n- name: own\n  interval: 15s\n" + group)},
		"routing.yaml": {Data: []byte("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")},
	}
}

// restart is the end of the process, and the beginning of another that has the snapshot and reads the stream again.
func (l *loop) restart(down time.Duration) {
	l.t.Helper()
	state, err := l.m.Snapshot()
	if err != nil {
		l.t.Fatal(err)
	}
	if l.m, err = engine.Restore(state); err != nil {
		l.t.Fatal(err)
	}
	l.now = l.now.Add(down)
	l.last = l.now
	l.e = rules.NewEvaluator(l.policy.Rules, rules.Options{}, l.now)
	l.e.Warm(l.heard)
	l.step(engine.PolicyChanged{Policy: l.policy.Engine()})
}

// Labels that templates make are the same after a restart, so what waited is found again and waits no longer for it.
func TestTemplatedLabelsOverARestart(t *testing.T) {
	l := newLoop(t, with(`  rules:
  - {alert: Hot, expr: temperature > 90, for: 5m, labels: {severity: critical, kitchen: 'of {{ $labels.service }}'}}
`))
	hot := series("temperature", "oven", 99)
	began := l.now
	l.pass(3*time.Minute, hot)
	l.check("it waits", "Hot oven pending: condition true")
	l.restart(time.Minute)
	l.pass(45*time.Second, hot)
	l.check("it waits on")
	l.pass(time.Minute, hot)
	l.check("five minutes, and not eight", "Hot oven firing: true for long enough")
	for _, a := range l.m.Alerts(l.now) {
		if a.Labels.Get("kitchen") != "of oven" || a.ActiveAt.Sub(began) > 15*time.Second {
			t.Errorf("%s since %s", a.Labels, a.ActiveAt.Sub(began))
		}
	}
}

// Something in a crash loop answers every other time. With `for` Prometheus never says so; who keeps what is not known
// hears of it.
func TestForOverGaps(t *testing.T) {
	l := newLoop(t, with(`  rules:
  - {alert: Unready, expr: ready == 0, for: 5m, no_data: keep}
  - {alert: UnreadyAsThere, expr: ready == 0, for: 5m}
`))
	other := series("ready", "mail", 1)
	l.pass(10*time.Minute, other, series("ready", "shop", 1)) // before anybody can be missed, everybody gets time to be heard
	for range 11 {
		l.pass(15*time.Second, other, series("ready", "shop", 0))
		l.pass(15*time.Second, other, series("ready", "shop", math.Float64frombits(value.StaleNaN)))
	}
	said := map[string]int{}
	for _, s := range l.said {
		said[s]++
	}
	if said["Unready shop pending: condition true"] != 1 || said["Unready shop firing: true for long enough"] != 1 {
		t.Errorf("kept: %q", l.said)
	}
	if said["UnreadyAsThere shop pending: condition true"] < 5 || said["UnreadyAsThere shop firing: true for long enough"] != 0 {
		t.Errorf("as in Prometheus: %q", l.said)
	}
}

// Points that come hours late end no alert about silence.
func TestBackfillDoesNotClearADeadMan(t *testing.T) {
	l := newLoop(t, with(`  rules:
  - {alert: NoBackup, expr: 'absent_over_time(backup_done{service="db"}[10m])'}
  - {alert: Slow, expr: backup_seconds > 600, no_data: alert}
`))
	other := series("backup_done", "mail", 1)
	mine := []alertd.Sample{series("backup_done", "db", 1), series("backup_seconds", "db", 5)}
	l.pass(15*time.Minute, append(mine, other)...)
	l.said = nil // the first minutes, in which nobody knew
	l.pass(12*time.Minute, other)
	l.check("silent", "Slow db no-data: no data", "NoBackup db firing: condition true")
	for range 5 {
		l.seq++
		for i := range mine {
			mine[i].T = l.now.Add(-time.Hour - time.Duration(l.seq)*time.Second).UnixMilli()
		}
		l.e.Append(l.now, l.seq, mine)
		l.pass(15*time.Second, other)
	}
	l.check("an hour late")
	l.pass(time.Minute, append(mine, other)...)
	l.check("now", "NoBackup db resolved: condition ended", "Slow db resolved: condition ended")
}

// Who was heard before a restart and never since is missed all the same.
func TestSilentSinceARestart(t *testing.T) {
	l := newLoop(t, with(`  rules:
  - {alert: Slow, expr: seconds > 600, no_data: alert}
`))
	other := series("seconds", "mail", 5)
	l.pass(10*time.Minute, series("seconds", "db", 5), other)
	l.said = nil
	l.restart(time.Minute)
	l.pass(3*time.Minute, other)
	l.check("not for long enough")
	l.pass(8*time.Minute, other)
	l.check("missed", "Slow db no-data: no data")
}
