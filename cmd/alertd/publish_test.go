package main

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"alertd"
)

// FuzzSubjectOf checks that whatever a line holds, it is refused with a column or goes to one subject of ours that a
// NATS server takes.
func FuzzSubjectOf(f *testing.F) {
	for _, line := range []string{
		`{"name":"up","value":1,"labels":{"service":"a b"}}`, `{"type":"a.b"}`, `{"type":"a..>"}`, `{"service":"*","status":"healthy"}`,
		`{"name":"up","value":1,"type":"x"}`, `{"labels":{"a":1}}`, `[]`, `nul`, "",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		subject, err := subjectOf([]byte(line))
		if err != nil {
			if column, _, ok := strings.Cut(err.Error(), ":"); !ok || column == "" || strings.Trim(column, "0123456789") != "" {
				t.Fatalf("no column in %q", err)
			}
			return
		}
		tokens := strings.Split(subject, ".")
		if len(tokens) < 3 || tokens[0] != "alertd" {
			t.Fatalf("subject %q", subject)
		}
		for _, token := range tokens {
			if token == "" || strings.ContainsAny(token, "*> \t\r\n") {
				t.Fatalf("subject %q has a token that NATS refuses", subject)
			}
		}
	})
}

func TestParseCheck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[^=]+`).Draw(t, "name")
		status := rapid.SampledFrom([]alertd.HealthStatus{alertd.Healthy, alertd.Degraded, alertd.Unhealthy}).Draw(t, "status")
		latency := rapid.Float64Range(0, 1e9).Draw(t, "latency")
		text, err := json.Marshal(latency)
		if err != nil {
			t.Fatal(err)
		}
		gotName, got, err := parseCheck(name + "=" + string(status) + ":" + string(text))
		if err != nil || gotName != name || got.Status != status || got.LatencyMS != latency {
			t.Fatalf("%q %+v %v", gotName, got, err)
		}
	})
}
