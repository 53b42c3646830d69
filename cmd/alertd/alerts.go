package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"alertd"
)

type alertsCmd struct {
	daemonFlags
	outputFlags
}

// activeAlert is what the table reads of an item of /api/v1/alerts.
type activeAlert struct {
	Labels      alertd.Labels `json:"labels"`
	Annotations alertd.Labels `json:"annotations"`
	State       string        `json:"state"` // pending or firing
	Phase       string        `json:"phase"` // the same in more words
	ActiveAt    time.Time     `json:"activeAt"`
	Value       string        `json:"value"`
	Ack         *alertd.Ack   `json:"ack"`
	Changes     int           `json:"changes"` // 0: it does not flap
}

// state is in which phase the alert is, whether it comes and goes, and who has taken it.
func (a *activeAlert) state() string {
	s := cmp.Or(a.Phase, a.State)
	if a.Changes > 0 {
		s += ", flapping"
	}
	if a.Ack != nil {
		s += ", acked by " + a.Ack.By
	}
	return s
}

// Run shows the active alerts, the most urgent and oldest first.
func (c *alertsCmd) Run(ctx context.Context, std streams) error {
	var data struct {
		Alerts []json.RawMessage `json:"alerts"`
	}
	if err := c.get(ctx, "/api/v1/alerts", nil, &data); err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, nonNil(data.Alerts))
	}
	alerts, err := decodeItems[activeAlert](data.Alerts)
	if err != nil {
		return err
	}
	if len(alerts) == 0 {
		fmt.Fprintln(std.err, "no alert is active")
		return nil
	}
	slices.SortStableFunc(alerts, func(a, b activeAlert) int {
		return cmp.Or(cmp.Compare(alertd.SeverityOf(a.Labels).Rank(), alertd.SeverityOf(b.Labels).Rank()),
			a.ActiveAt.Compare(b.ActiveAt))
	})
	local := localClock()
	t := table{head: []string{local.head("SINCE"), "SEVERITY", "ALERT", "SERVICE", "STATE", "VALUE", "SUMMARY"}}
	for _, a := range alerts {
		told := alertd.Alert{Labels: a.Labels, Annotations: a.Annotations}
		t.add(local.show(a.ActiveAt), string(told.Severity()), told.Name(), told.Service(), a.state(), shortValue(a.Value), told.Summary())
	}
	return t.write(std.out)
}

// decodeItems reads the items of a list one by one, so that an error names the item.
func decodeItems[T any](raw []json.RawMessage) ([]T, error) {
	items := make([]T, len(raw))
	for i, r := range raw {
		if err := json.Unmarshal(r, &items[i]); err != nil {
			return nil, &failure{
				err:  fmt.Errorf("item %d of the daemon's answer: %w", i+1, err),
				hint: `see it as it is with -o json, and compare "alertd version" here and there`,
			}
		}
	}
	return items, nil
}

// nonNil makes an empty list "[]" in JSON, never null.
func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
