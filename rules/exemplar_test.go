package rules

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// The best exemplar of the window: kept by somebody, over the limit by itself, failed, slowest, newest.
func TestBestExemplar(t *testing.T) {
	const quantile = "histogram_quantile(0.9, sum by (le) (rate(req_seconds_bucket[5m]))) > 2"
	type request struct {
		id        string
		took      float64
		code      string
		unsampled bool
		failed    bool
		ago       time.Duration
	}
	for name, tt := range map[string]struct {
		requests []request
		want     string
	}{
		"slowest":                             {[]request{{"fast", 0.1, "200", false, false, 0}, {"slow", 5.2, "200", false, false, time.Minute}}, "slow: took 5.2 s"},
		"failed and over the limit":           {[]request{{"slow", 9, "200", false, false, 0}, {"failed", 5.2, "503", false, false, 0}}, "failed: failed after 5.2 s"},
		"failed at once is not what is wrong": {[]request{{"slow", 9, "200", false, false, 0}, {"failed", 0.01, "503", false, false, 0}}, "slow: took 9 s"},
		"what the exemplar says of itself":    {[]request{{"slow", 9, "", false, false, 0}, {"failed", 5.25, "", false, true, 0}}, "failed: failed after 5.25 s"},
		"one that somebody keeps":             {[]request{{"dropped", 9, "500", true, false, 0}, {"kept", 0.25, "200", false, false, 0}}, "kept: took 250 ms"},
		"nobody keeps any":                    {[]request{{"slow", 9, "200", true, false, 0}, {"failed", 5, "500", true, false, 0}}, "failed: failed after 5 s"},
		"out of the window":                   {[]request{{"old", 99, "500", false, false, 6 * time.Minute}, {"slow", 3, "200", false, false, 0}}, "slow: took 3 s"},
		"newest of equals":                    {[]request{{"older", 3, "200", false, false, time.Minute}, {"newer", 3, "200", false, false, 0}}, "newer: took 3 s"},
	} {
		e := NewEvaluator(mustParse(t, alerts(quantile)), Options{}, t0)
		var samples []alertd.Sample
		for i, r := range tt.requests {
			for _, ago := range []time.Duration{r.ago + 30*time.Second, r.ago} {
				s := sample(t, fmt.Sprintf(`req_seconds_bucket{le="10", i="%d", code="%s"}`, i, r.code), t0.Add(-ago), 100-ago.Seconds()/10)
				if ago == r.ago {
					s.Trace = alertd.TraceRef{TraceID: r.id, Unsampled: r.unsampled, Failed: r.failed, Value: alertd.Value(r.took)}
				}
				inf := s
				inf.Labels, inf.Trace = labels.NewBuilder(s.Labels).Set("le", "+Inf").Labels(), alertd.TraceRef{}
				samples = append(samples, s, inf)
			}
		}
		e.Append(t0, 1, samples)
		got := ""
		for _, v := range e.Run(t0) {
			for _, f := range v.True {
				got = f.Trace.TraceID + ": " + f.TraceNote
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// A ratio's errors are what went wrong; a counter's total, and the 1 that counters give their exemplars, say nothing.
func TestExemplarOfARatio(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts(`rate(http_requests_total{code=~"5.."}[1m]) / on(service) group_left rate(http_requests_total{code="all"}[1m]) > 0.1`)), Options{}, t0)
	for i := range 3 {
		now := t0.Add(time.Duration(i-2) * 10 * time.Second)
		failed := sample(t, `http_requests_total{service="s",code="503"}`, now, float64(10+i))
		failed.Trace = alertd.TraceRef{TraceID: "failed", Value: 1}
		all := sample(t, `http_requests_total{service="s",code="all"}`, now, float64(1000+2*i))
		all.Trace = alertd.TraceRef{TraceID: "any", Value: 1}
		e.Append(now, uint64(i+1), []alertd.Sample{failed, all})
	}
	fired := false
	for _, v := range e.Run(t0) {
		for _, f := range v.True {
			fired = true
			if f.Trace.TraceID != "failed" || f.TraceNote != "failed" {
				t.Errorf("%+v", f)
			}
		}
	}
	if !fired {
		t.Error("does not fire")
	}
}

// A busy series keeps its slowest request and those that are kept by somebody, and forgets what has left the window.
func TestRememberedExemplars(t *testing.T) {
	s := newSeries(labels.FromStrings("__name__", "req_seconds", "code", "200"), 1)
	s.keep = 100
	for i := range 50 {
		s.newest = int64(i)
		x := exemplar{t: int64(i), v: 0.1, trace: alertd.TraceRef{TraceID: fmt.Sprint(i), Unsampled: true}}
		switch i {
		case 5:
			x.trace.Unsampled = false
		case 10:
			x.v, x.trace.Unsampled = 7, false
		}
		s.remember(x)
	}
	if got := ids(s); got != "5 10 48 49" {
		t.Errorf("got %s", got)
	}
	for i := 50; i < 200; i++ {
		s.newest = int64(i)
		s.remember(exemplar{t: int64(i), v: 0.1, trace: alertd.TraceRef{TraceID: fmt.Sprint(i)}})
	}
	if got := ids(s); got != "196 197 198 199" {
		t.Errorf("got %s", got)
	}
}

func ids(s *series) (out string) {
	for i, x := range s.traces {
		if i > 0 {
			out += " "
		}
		out += x.trace.TraceID
	}
	return out
}
