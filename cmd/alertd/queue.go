package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"alertd"
	"alertd/api"
)

type queueShowCmd struct {
	daemonFlags
	outputFlags
}

// Run shows what waits, in the order in which the daemon will look at it, and the digests as they would be now.
func (c *queueShowCmd) Run(ctx context.Context, std streams) error {
	var data struct {
		Held    []json.RawMessage `json:"held"`
		Digests []json.RawMessage `json:"digests"`
	}
	if err := c.get(ctx, "/api/v1/queue", nil, &data); err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(std.out, map[string]any{"held": nonNil(data.Held), "digests": nonNil(data.Digests)})
	}
	items, err := decodeItems[alertd.Held](data.Held)
	if err != nil {
		return err
	}
	digests, err := decodeItems[api.Digest](data.Digests)
	if err != nil {
		return err
	}
	if len(items) == 0 && len(digests) == 0 {
		fmt.Fprintln(std.err, "nothing waits")
		return nil
	}
	local := localClock()
	t := table{head: []string{local.head("UNTIL"), "SEVERITY", "ALERT", "SERVICE", "RECEIVER", "WHY", "SUMMARY"}}
	for _, h := range items {
		t.add(local.show(h.Until), string(h.Alert.Severity()), h.Alert.Name(), h.Alert.Service(), h.Receiver, h.Why(), h.Alert.Summary())
	}
	if err := t.write(std.out); err != nil {
		return err
	}
	return writeDigests(std.out, local, digests)
}

// writeDigests prints what would be sent if it left now; where several destinations would get the same, once.
func writeDigests(w io.Writer, local clock, all []api.Digest) error {
	for len(all) > 0 {
		d, n := all[0], 1
		to := []string{d.Integration}
		for n < len(all) && all[n].Receiver == d.Receiver && all[n].Calendar == d.Calendar && all[n].Until.Equal(d.Until) && all[n].Text == d.Text {
			to = append(to, all[n].Integration)
			n++
		}
		all = all[n:]
		head := fmt.Sprintf("%s holds this for %s until %s", d.Calendar, d.Receiver, local.show(d.Until))
		if d.Reason == alertd.ReasonMaxHold {
			head += " (max_hold)"
		}
		if d.Text == "" {
			head += ". If it left now, nothing would be sent."
		} else {
			head += ". If it left now, it would be, to " + strings.Join(to, ", ") + ":"
		}
		if left := omitted(d.Omitted); left != "" {
			head += " It leaves out " + left + "."
		}
		lines := append([]string{""}, wrap(printable(head), prose(w))...)
		if d.Text != "" {
			lines = append(lines, strings.Split(strings.TrimRight(d.Text, "\n"), "\n")...)
		}
		for _, line := range lines {
			if _, err := fmt.Fprintln(w, printable(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// omitted is what is held and would not be told: "DiskUsageHigh of db (silenced), 3 more"; "" if all would be.
func omitted(all []api.Omitted) string {
	const shown = 5 // the others are in the table
	var names []string
	for _, o := range all[:min(len(all), shown)] {
		name := o.Labels.Get(alertd.LabelAlert)
		if o.Service != "" {
			name += " of " + o.Service
		}
		names = append(names, fmt.Sprintf("%s (%s)", name, o.Reason))
	}
	if more := len(all) - shown; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}
