package healthpoll

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"alertd"
)

// TestBodies reads the samples of every format in testdata/bodies, and shows what is understood. The command is the
// HTTP status: "answered 200".
func TestBodies(t *testing.T) {
	datadriven.Walk(t, "testdata/bodies", func(t *testing.T, file string) {
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			var status int
			if _, err := fmt.Sscan(d.CmdArgs[0].Key, &status); err != nil {
				t.Fatal(err)
			}
			r, err := ParseBody(status, []byte(d.Input))
			if err != nil {
				return "error: " + err.Error() + "\n"
			}
			var b strings.Builder
			fmt.Fprintln(&b, r.Status)
			if r.Reason != "" {
				fmt.Fprintln(&b, "reason:", r.Reason)
			}
			if !r.Timestamp.IsZero() {
				fmt.Fprintln(&b, "timestamp:", r.Timestamp.Format(time.RFC3339Nano))
			}
			for _, name := range slices.Sorted(maps.Keys(r.Checks)) {
				c := r.Checks[name]
				fmt.Fprintf(&b, "%s: %s %gms", name, c.Status, c.LatencyMS)
				if c.Error != "" {
					fmt.Fprintf(&b, " %q", c.Error)
				}
				fmt.Fprintln(&b)
			}
			return b.String()
		})
	})
}

func TestBodyIsBounded(t *testing.T) {
	if _, err := ParseBody(200, []byte(strings.Repeat(" ", maxBody+1))); err == nil || !strings.Contains(err.Error(), "more than 65536 bytes") {
		t.Errorf("large: %v", err)
	}
	if _, err := ParseBody(200, []byte("{\"status\":\"\xff\"}")); err == nil || !strings.Contains(err.Error(), "not UTF-8") {
		t.Errorf("not UTF-8: %v", err)
	}
	if _, err := ParseBody(200, []byte(" \n")); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty: %v", err)
	}
	many := map[string]any{}
	for i := range 300 {
		many[fmt.Sprintf("c%03d", i)] = "UP"
	}
	many[strings.Repeat("x", maxName+1)] = "UP"
	body, err := json.Marshal(map[string]any{"status": "UP", "checks": many})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseBody(200, body)
	if err != nil || len(r.Checks) != maxChecks || r.Checks["c255"].Status != alertd.Healthy {
		t.Errorf("%d checks, %v", len(r.Checks), err)
	}
	deep := strings.Repeat(`{"status":"UP","components":{"a":`, 20) + `{"status":"DOWN"}` + strings.Repeat("}}", 20)
	if r, err := ParseBody(200, []byte(deep)); err != nil || len(r.Checks) != maxDepth {
		t.Errorf("%d levels, %v", len(r.Checks), err)
	}
	long := `{"status":"fail","checks":{"a":{"status":"down","error":"` + strings.Repeat("ä", 1000) + `"}}}`
	if r, err := ParseBody(503, []byte(long)); err != nil || len(r.Checks["a"].Error) > maxReason+4 {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzParseBody(f *testing.F) {
	f.Add(200, []byte(`{"status":"healthy","checks":{"a":{"status":"degraded","latency_ms":5,"error":"x"}},"timestamp":"2026-01-15T10:30:00Z"}`))
	f.Add(503, []byte(`{"status":"fail","checks":{"db:responseTime":[{"status":"warn","observedValue":2,"observedUnit":"s"}],"up":[{}]}}`))
	f.Add(200, []byte(`{"status":"UP","components":{"broker":{"status":"UP","components":{"a":{"status":"DOWN"}}}}}`))
	f.Add(200, []byte(`{"Status":"Degraded","entries":{"a":{"status":"Healthy","duration":"1.00:00:00.5"}}}`))
	f.Add(200, []byte(`{"status":"Partially Available","failures":{"a":"b"}}`))
	f.Add(200, []byte(`{"status":"UP","checks":[{"name":"a","status":"UP"}]}`))
	f.Add(500, []byte("Unhealthy"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		r, err := ParseBody(status, body)
		if err != nil {
			return
		}
		if !success(status) && r.Status != alertd.Unhealthy {
			t.Fatalf("%d is %s", status, r.Status)
		}
		if again, err := ParseBody(status, body); err != nil || again.Status != r.Status || again.Reason != r.Reason || !maps.Equal(again.Checks, r.Checks) {
			t.Fatalf("read twice: %+v and %+v, %v", r, again, err)
		}
		if len(r.Checks) > maxChecks {
			t.Fatalf("%d checks", len(r.Checks))
		}
		// Whatever we understood, our own event of it is understood by ingest without complaint.
		h := r.Health
		h.Service, h.Timestamp = "api", time.Time{}
		payload, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if len(samples(t, payload)) < 3 {
			t.Fatalf("%s", payload)
		}
	})
}
