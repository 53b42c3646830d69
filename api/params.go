package api

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"alertd"
	"alertd/history"
)

// maxParameter bounds the length of a parameter's value, in bytes.
const maxParameter = 1024

// What the parameter state may say.
var (
	transitionStates = []string{
		string(alertd.Inactive), string(alertd.Pending), string(alertd.Firing), string(alertd.Recovering),
		string(alertd.NoData), string(alertd.Failing), string(alertd.Resolved),
	}
	notificationStates = []string{"firing", "resolved", "pending", "dead", string(alertd.Delivered), string(alertd.Retry), string(alertd.Unknown), string(alertd.Failed)}
)

// parameters reads the query. A name that is not known, or that is given twice, is an error: a filter that is
// silently dropped shows too much.
func parameters(r *http.Request, known ...string) (map[string]string, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badData("the query is not well-formed; percent-encode the values: " + strconv.Quote(clip(r.URL.RawQuery)))
	}
	p := make(map[string]string, len(q))
	for _, name := range slices.Sorted(maps.Keys(q)) {
		values := q[name]
		switch {
		case len(known) == 0:
			return nil, badData(fmt.Sprintf("parameter %q is not known; this path takes none", clip(name)))
		case !slices.Contains(known, name):
			return nil, badData(fmt.Sprintf("parameter %q is not known; there are %s", clip(name), strings.Join(known, ", ")))
		case len(values) > 1:
			return nil, badData(fmt.Sprintf("parameter %q is given %d times; give it once", name, len(values)))
		case len(values[0]) > maxParameter:
			return nil, badData(fmt.Sprintf("parameter %q is longer than %d bytes; ask for something shorter", name, maxParameter))
		}
		p[name] = values[0]
	}
	return p, nil
}

// filter reads a filter of the history. states are the words that the parameter state may say.
func (a *api) filter(r *http.Request, states []string) (f history.Filter, err error) {
	p, err := parameters(r, "since", "until", "severity", "service", "rule", "alert", "state", "q", "fingerprint", "limit", "cursor")
	if err != nil {
		return f, err
	}
	f = history.Filter{
		Severity: p["severity"], Service: p["service"], Rule: p["rule"], Alert: p["alert"], State: p["state"],
		Text: p["q"], Fingerprint: p["fingerprint"], Cursor: p["cursor"],
	}
	now := a.o.Now()
	if f.Since, err = instant("since", p["since"], now); err != nil {
		return f, err
	}
	if f.Until, err = instant("until", p["until"], now); err != nil {
		return f, err
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return f, badData("since is not before until; exchange them")
	}
	if f.State != "" && !slices.Contains(states, f.State) {
		return f, badData(fmt.Sprintf("state %q is not known; there are %s", clip(f.State), strings.Join(states, ", ")))
	}
	f.Limit, err = limitOf(p["limit"])
	return f, err
}

// instant reads a time, or an age before now. "" is the zero time.
func instant(name, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if d, err := model.ParseDuration(s); err == nil {
		return now.Add(-time.Duration(d)), nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 { // 1.5h
		return now.Add(-d), nil
	}
	return time.Time{}, badData(fmt.Sprintf("%s %q is neither a time (2026-01-15T10:30:00Z; a + before the zone is written %%2B) nor an age (90m, 24h, 7d)", name, clip(s)))
}

func limitOf(s string) (int, error) {
	if s == "" {
		return history.DefaultLimit, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > history.MaxLimit {
		return 0, badData(fmt.Sprintf("limit %q is not a number from 1 to %d; for more, follow next", clip(s), history.MaxLimit))
	}
	return n, nil
}

// clip cuts what an error quotes.
func clip(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
