package main

import (
	"context"
	"encoding/json"
	"fmt"

	"alertd"
)

type queueShowCmd struct {
	daemonFlags
	outputFlags
}

// Run shows what waits, in the order in which the daemon will look at it.
func (c *queueShowCmd) Run(ctx context.Context, std streams) error {
	var data struct {
		Held []json.RawMessage `json:"held"`
	}
	if err := c.get(ctx, "/api/v1/queue", nil, &data); err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, nonNil(data.Held))
	}
	items, err := decodeItems[alertd.Held](data.Held)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		fmt.Fprintln(std.err, "nothing waits")
		return nil
	}
	local := localClock()
	t := table{head: []string{local.head("UNTIL"), "SEVERITY", "ALERT", "SERVICE", "RECEIVER", "WHY", "SUMMARY"}}
	for _, h := range items {
		t.add(local.show(h.Until), string(h.Alert.Severity()), h.Alert.Name(), h.Alert.Service(), h.Receiver, h.Why(), h.Alert.Summary())
	}
	return t.write(std.out)
}
