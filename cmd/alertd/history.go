package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"alertd"
	"alertd/history"
)

// historyPage is how many transitions one question asks for: the daemon's own bound.
const historyPage = history.MaxLimit

type historyCmd struct {
	daemonFlags
	outputFlags
	Since    string `default:"24h" help:"From when on: an age (90m, 24h, 7d) or a time (2026-01-15T10:30:00Z). Default: 24h." placeholder:"WHEN"`
	Until    string `help:"Until when: an age or a time. Default: now." placeholder:"WHEN"`
	Severity string `help:"Only this severity: critical, warning, info." placeholder:"NAME"`
	Service  string `help:"Only this service." placeholder:"NAME"`
	Rule     string `help:"Only this rule, by its id: file:group:alert." placeholder:"ID"`
	Alert    string `help:"Only alerts of this name." placeholder:"NAME"`
	State    string `enum:",inactive,pending,firing,recovering,resolved" default:"" help:"Only changes into this state: pending, firing, recovering, resolved, inactive." placeholder:"STATE"`
	Query    string `name:"query" short:"q" help:"Only where labels or annotations hold these words." placeholder:"TEXT"`
	Limit    int    `default:"100" help:"At most so many, the latest."`
	All      bool   `help:"All of them, however many."`
}

// transition is what the table reads of an item of /api/v1/history.
type transition struct {
	Time     time.Time    `json:"time"`
	Alert    string       `json:"alert"`
	Severity string       `json:"severity"`
	Service  string       `json:"service"`
	To       string       `json:"to"`
	Value    alertd.Value `json:"value"`
	Reason   string       `json:"reason"`
}

// Validate is called by kong after parsing.
func (c *historyCmd) Validate() error {
	if c.Limit < 1 {
		return fmt.Errorf("--limit=%d shows nothing; use a positive number or --all", c.Limit)
	}
	return nil
}

// Run shows transitions, the latest first.
func (c *historyCmd) Run(ctx context.Context, std streams) error {
	now := time.Now()
	query, err := c.query(now)
	if err != nil {
		return err
	}
	raw, more, err := c.fetch(ctx, std, query)
	if err != nil {
		return err
	}
	if more {
		fmt.Fprintf(std.err, "these are the latest %d; there are more: use --limit N or --all\n", len(raw))
	}
	if c.Output == "json" {
		return writeJSON(std.out, nonNil(raw))
	}
	items, err := decodeItems[transition](raw)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		fmt.Fprintf(std.err, "nothing happened since %s that fits\n", query.Get("since"))
		return nil
	}
	local := localClock()
	t := table{head: []string{local.head("TIME"), "SEVERITY", "ALERT", "SERVICE", "STATE", "VALUE", "WHY"}}
	for _, i := range items {
		t.add(local.show(i.Time), i.Severity, i.Alert, i.Service, i.To, shortValue(i.Value.String()), i.Reason)
	}
	return t.write(std.out)
}

// query is the filter as the API reads it. Ages become instants here, so that all pages mean the same.
func (c *historyCmd) query(now time.Time) (url.Values, error) {
	query := url.Values{}
	for _, at := range []struct{ name, value string }{{"since", c.Since}, {"until", c.Until}} {
		if at.value == "" {
			continue
		}
		t, err := instant(at.value, now)
		if err != nil {
			return nil, &usageError{msg: fmt.Sprintf("--%s=%q: %v", at.name, at.value, err), hint: "--" + at.name + "=24h or --" + at.name + "=" + now.UTC().Format(time.RFC3339)}
		}
		query.Set(at.name, t.UTC().Format(time.RFC3339Nano))
	}
	for name, value := range map[string]string{
		"severity": c.Severity, "service": c.Service, "rule": c.Rule, "alert": c.Alert, "state": c.State, "q": c.Query,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query, nil
}

// fetch follows the cursor until there are enough. It also says whether the daemon has more.
func (c *historyCmd) fetch(ctx context.Context, std streams, query url.Values) (items []json.RawMessage, more bool, err error) {
	for {
		ask := historyPage
		if !c.All {
			ask = min(ask, c.Limit-len(items))
		}
		query.Set("limit", strconv.Itoa(ask))
		var page struct {
			Transitions []json.RawMessage `json:"transitions"`
			Next        string            `json:"next"`
		}
		if err := c.recall(ctx, std, "/api/v1/history", query, &page); err != nil {
			return nil, false, err
		}
		items = append(items, page.Transitions...)
		switch {
		case page.Next == "" || len(page.Transitions) == 0:
			return items, false, nil
		case page.Next == query.Get("cursor"):
			return nil, false, fmt.Errorf("the daemon's answer leads back to itself after %d transitions", len(items))
		case !c.All && len(items) >= c.Limit:
			return items, true, nil
		}
		query.Set("cursor", page.Next)
	}
}

// instant reads an age before now, or a time.
func instant(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if d, err := model.ParseDuration(s); err == nil {
		return now.Add(-time.Duration(d)), nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 { // 1.5h
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("neither an age (90m, 24h, 7d) nor a time (RFC 3339)")
}

// shortValue rounds a number to what a column holds. NaN is no value, as alerts have that somebody else has judged.
func shortValue(s string) string {
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil:
		return s
	case math.IsNaN(f):
		return ""
	}
	return strconv.FormatFloat(f, 'g', 6, 64)
}
