package app

import (
	"strings"
	"testing"
	"time"
)

// While more events arrive than can be judged, the loop may be too busy to answer in time. Readiness says of that, too, where it comes from.
func TestReadyWhileOverloaded(t *testing.T) {
	a := newQuiet(t, Options{})
	runs(t, a)
	waitFor(t, "leading", a.leading.now)
	ready := func() string {
		_, body := get(t, a, "/health/ready")
		return body
	}
	const overloaded = "more events arrive than can be judged one by one: each key of a rule is evaluated at most every 1.5s"
	a.overload.note(1500*time.Millisecond, true)
	waitFor(t, "overloaded", func() bool {
		return strings.Contains(ready(), `{"status":"degraded"`) && strings.Contains(ready(), overloaded)
	})

	goOn := a.Hold(t)
	if body := ready(); !strings.Contains(body, `{"status":"unhealthy"`) || !strings.Contains(body, "the loop does not answer") || !strings.Contains(body, overloaded) {
		t.Errorf("while the loop is busy: %s", body)
	}
	goOn()
	a.overload.note(100*time.Millisecond, false)
	waitFor(t, "as before", func() bool { return strings.Contains(ready(), `{"status":"healthy"`) })
}
