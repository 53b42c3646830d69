package healthpoll

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"alertd"
)

const (
	maxBody   = 64 << 10
	maxChecks = 256 // the rest, by name, is left out
	maxName   = 256 // bytes of a check's name; longer ones are left out
	maxReason = 256 // bytes of a check's error; longer ones are cut
)

// ParseBody reads the body of a health page that was answered with the given HTTP status:
//
//	{"status":"healthy|degraded|unhealthy","checks":{"database":{"status":"healthy","latency_ms":5}},"timestamp":"…"}
//
// It wants the status and forgives the rest: a check without a readable status is degraded and says so, a time that
// cannot be read is zero. The worse of body and HTTP status counts: outside 2xx the result is unhealthy whatever
// the body says. The error says why the body is not a health report.
func ParseBody(status int, body []byte) (alertd.Health, error) {
	switch {
	case len(body) > maxBody:
		return alertd.Health{}, fmt.Errorf("the body has more than %d bytes", maxBody)
	case len(strings.TrimSpace(string(body))) == 0:
		return alertd.Health{}, errors.New("the body is empty")
	case !utf8.Valid(body):
		return alertd.Health{}, errors.New("the body is not UTF-8")
	}
	var report struct {
		Status    json.RawMessage `json:"status"`
		Checks    json.RawMessage `json:"checks"`
		Timestamp json.RawMessage `json:"timestamp"`
	}
	if err := json.Unmarshal(body, &report); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return alertd.Health{}, fmt.Errorf("the body is not JSON: %s at byte %d", syntax, syntax.Offset)
		}
		return alertd.Health{}, errors.New("the body is not a JSON object")
	}
	var word string
	if len(report.Status) == 0 || json.Unmarshal(report.Status, &word) != nil {
		return alertd.Health{}, errors.New(`the body has no "status"; it must be "healthy", "degraded" or "unhealthy"`)
	}
	own, ok := alertd.ParseHealthStatus(word)
	if !ok {
		return alertd.Health{}, fmt.Errorf(`the body's "status" is %q; it must be "healthy", "degraded" or "unhealthy"`, cut(word, 40))
	}

	h := alertd.Health{Status: own, Checks: map[string]alertd.HealthCheck{}}
	if !success(status) {
		h.Status = alertd.Unhealthy
	}
	var text string
	if json.Unmarshal(report.Timestamp, &text) == nil {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			h.Timestamp = at.UTC()
		}
	}
	var checks map[string]json.RawMessage
	if json.Unmarshal(report.Checks, &checks) == nil {
		for _, name := range slices.Sorted(maps.Keys(checks)) {
			if len(h.Checks) == maxChecks {
				break
			}
			if name != "" && len(name) <= maxName {
				h.Checks[name] = parseCheck(checks[name])
			}
		}
	}
	return h, nil
}

// parseCheck reads one check: an object, or the bare word of its status.
func parseCheck(raw json.RawMessage) alertd.HealthCheck {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		fields = map[string]json.RawMessage{"status": raw}
	}
	var c alertd.HealthCheck
	var word, reason string
	_ = json.Unmarshal(fields["status"], &word)
	_ = json.Unmarshal(fields["error"], &reason)
	if json.Unmarshal(fields["latency_ms"], &c.LatencyMS) != nil || c.LatencyMS < 0 || math.IsInf(c.LatencyMS, 0) {
		c.LatencyMS = 0
	}
	c.Error = cut(reason, maxReason)
	var ok bool
	if c.Status, ok = alertd.ParseHealthStatus(word); !ok {
		c.Status = alertd.Degraded
		if c.Error == "" {
			c.Error = fmt.Sprintf("its status is %q, which is none of healthy, degraded, unhealthy", cut(word, 40))
		}
	}
	return c
}

func success(status int) bool { return 200 <= status && status < 300 }

// cut shortens to at most n bytes of whole characters, and an ellipsis.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
