package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"alertd/rehearse"
)

// backtestOutput is the answer for programs.
type backtestOutput struct {
	Rules   string               `json:"rules"`
	Bad     int                  `json:"unreadable,omitempty"`
	Report  *rehearse.Report     `json:"report"`
	Against string               `json:"against,omitempty"`
	Old     *rehearse.Report     `json:"oldReport,omitempty"`
	Changes *rehearse.Comparison `json:"difference,omitempty"`
}

func (c *backtestCmd) report(std streams, r *replay) error {
	if len(r.tests) == 0 {
		return &failure{err: errors.New("there is no event in that time"), hint: "choose an earlier --since, or a later --until"}
	}
	end := r.last
	if !r.until.IsZero() {
		end = r.until
	}
	out := backtestOutput{Rules: c.Rules, Bad: r.bad, Report: r.tests[0].End(end)}
	if c.Against != "" {
		out.Against, out.Old = c.Against, r.tests[1].End(end)
		out.Changes = rehearse.Compare(out.Old, out.Report)
	}
	if c.Output == "json" {
		return writeJSON(std.out, out)
	}
	var b bytes.Buffer
	var err error
	if out.Changes != nil {
		err = writeDifference(&b, &out)
	} else {
		err = writeReport(&b, &out)
	}
	if err != nil {
		return err
	}
	_, err = b.WriteTo(std.out)
	return err
}

func writeReport(w io.Writer, out *backtestOutput) error {
	r := out.Report
	local := localClock()
	if len(r.Told) > 0 {
		t := table{head: []string{local.head("TIME"), "RECEIVER", "STATUS", "SEVERITY", "ALERTS", "WHY"}}
		for i := range r.Told {
			n := &r.Told[i]
			t.add(local.show(n.At), n.Receiver, n.Status, string(n.Severity), named(n), string(n.Reason))
		}
		if err := t.write(w); err != nil {
			return err
		}
		if r.Unlisted > 0 {
			fmt.Fprintf(w, "and %d more\n", r.Unlisted)
		}
		fmt.Fprintln(w)
	}
	total := 0
	for _, x := range r.Receivers {
		total += x.Total
	}
	fmt.Fprintf(w, "%s in %s%s, from %s with %s and %s\n", count(total, "notification"), spanned(r), rate(total, r), count(r.Messages, "message"),
		count(r.Samples, "sample"), count(r.Occurrences, "occurrence"))
	if out.Bad > 0 {
		fmt.Fprintf(w, "%s could not be read\n", count(out.Bad, "message"))
	}
	if len(r.Receivers) > 0 {
		fmt.Fprintln(w)
		t := table{head: []string{"RECEIVER", "CRITICAL", "WARNING", "INFO", "OTHER", "TOTAL"}}
		for _, x := range r.Receivers {
			t.add(x.Receiver, strconv.Itoa(x.Critical), strconv.Itoa(x.Warning), strconv.Itoa(x.Info), strconv.Itoa(x.Other), strconv.Itoa(x.Total))
		}
		if err := t.write(w); err != nil {
			return err
		}
	}
	if len(r.Alerts) > 0 {
		fmt.Fprintln(w)
		t := table{head: []string{"ALERT", "SEVERITY", "FIRED", "TOLD", "UNDER 5m", "FLAPPED", "FIRING"}}
		for _, x := range r.Alerts {
			t.add(x.Alert, string(x.Severity), strconv.Itoa(x.Fired), strconv.Itoa(x.Told), strconv.Itoa(x.Brief), strconv.Itoa(x.Flapped),
				lasting(time.Duration(x.FiringMS)*time.Millisecond))
		}
		if err := t.write(w); err != nil {
			return err
		}
	}
	if len(r.Withheld) > 0 {
		var parts []string
		for _, x := range r.Withheld {
			parts = append(parts, fmt.Sprintf("%d %s", x.Count, x.Reason))
		}
		fmt.Fprintf(w, "\nnot told, or later: %s\n", strings.Join(parts, ", "))
	}
	if err := writeHidden(w, r); err != nil {
		return err
	}
	writeRuleErrors(w, r)
	return nil
}

// writeHidden says which alerts others kept from being told.
func writeHidden(w io.Writer, r *rehearse.Report) error {
	if len(r.Hidden) == 0 {
		return nil
	}
	const most = 20
	fmt.Fprintln(w)
	t := table{head: []string{"ALERT", "INHIBITED BY", "TIMES", "HOW"}}
	for _, h := range r.Hidden[:min(len(r.Hidden), most)] {
		t.add(h.Alert, h.By, strconv.Itoa(h.Count), h.How)
	}
	if err := t.write(w); err != nil {
		return err
	}
	if more := len(r.Hidden) - most; more > 0 {
		fmt.Fprintf(w, "and %d more; -o json has them\n", more)
	}
	return nil
}

func writeRuleErrors(w io.Writer, r *rehearse.Report) {
	for _, e := range r.Errors {
		fmt.Fprintf(w, "\n%s could not be evaluated %s: %s\n", e.Rule, count(e.Count, "time"), e.Example)
	}
}

func writeDifference(w io.Writer, out *backtestOutput) error {
	d := out.Changes
	local := localClock()
	if len(d.Changes) > 0 {
		t := table{head: []string{local.head("TIME"), "CHANGE", "RECEIVER", "STATUS", "SEVERITY", "ALERTS"}}
		for i := range d.Changes {
			x := &d.Changes[i]
			what := x.What
			if x.What == rehearse.Moved {
				if by := x.At.Sub(x.From); by < 0 {
					what += " -" + lasting(-by)
				} else {
					what += " +" + lasting(by)
				}
			}
			t.add(local.show(x.At), what, x.Told.Receiver, x.Told.Status, string(x.Told.Severity), named(&x.Told))
		}
		if err := t.write(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%d gone, %d new, %d moved, %d the same, in %s\n\n", d.Gone, d.New, d.Moved, d.Same, spanned(out.Report))

	t := table{head: []string{"RECEIVER", "TOTAL", "BEFORE", "CRITICAL", "BEFORE", "WARNING", "BEFORE"}}
	was, is := totalsOf(out.Old.Receivers), totalsOf(out.Report.Receivers)
	for _, name := range bothNames(was, is) {
		a, b := was[name], is[name]
		t.add(name, strconv.Itoa(b.Total), strconv.Itoa(a.Total), strconv.Itoa(b.Critical), strconv.Itoa(a.Critical), strconv.Itoa(b.Warning), strconv.Itoa(a.Warning))
	}
	if len(t.rows) > 0 {
		if err := t.write(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	t = table{head: []string{"ALERT", "FIRED", "BEFORE", "TOLD", "BEFORE", "UNDER 5m", "BEFORE", "FLAPPED", "BEFORE"}}
	before, after := alertsOf(out.Old.Alerts), alertsOf(out.Report.Alerts)
	for _, name := range bothNames(before, after) {
		a, b := before[name], after[name]
		t.add(name, strconv.Itoa(b.Fired), strconv.Itoa(a.Fired), strconv.Itoa(b.Told), strconv.Itoa(a.Told),
			strconv.Itoa(b.Brief), strconv.Itoa(a.Brief), strconv.Itoa(b.Flapped), strconv.Itoa(a.Flapped))
	}
	if len(t.rows) > 0 {
		if err := t.write(w); err != nil {
			return err
		}
	}
	writeRuleErrors(w, out.Report)
	return nil
}

func totalsOf(list []rehearse.ReceiverTotal) map[string]rehearse.ReceiverTotal {
	out := map[string]rehearse.ReceiverTotal{}
	for _, x := range list {
		out[x.Receiver] = x
	}
	return out
}

func alertsOf(list []rehearse.AlertTotal) map[string]rehearse.AlertTotal {
	out := map[string]rehearse.AlertTotal{}
	for _, x := range list {
		out[x.Alert] = x
	}
	return out
}

func bothNames[T any](a, b map[string]T) []string {
	var names []string
	for _, m := range []map[string]T{a, b} {
		for name := range m {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// named is what a notification is about: each alert's name once, with the services; what is over beside others that fire
// says so.
func named(t *rehearse.Told) string {
	services := map[string][]string{}
	var names []string
	for i := range t.Alerts {
		a := &t.Alerts[i]
		name := a.Name()
		if t.Status == "firing" && !a.State.Active() {
			name = "over: " + name
		}
		if _, ok := services[name]; !ok {
			names = append(names, name)
			services[name] = nil
		}
		if s := a.Service(); s != "" && !slices.Contains(services[name], s) {
			services[name] = append(services[name], s)
		}
	}
	for i, name := range names {
		if list := services[name]; len(list) > 0 {
			names[i] = name + " " + strings.Join(list, ",")
		}
	}
	return strings.Join(names, "; ")
}

// spanned is how long the replayed time is.
func spanned(r *rehearse.Report) string { return lasting(r.To.Sub(r.From)) }

func lasting(d time.Duration) string {
	return model.Duration(d.Round(time.Second)).String()
}

func rate(total int, r *rehearse.Report) string {
	days := r.To.Sub(r.From).Hours() / 24
	if days < 1 {
		return ""
	}
	return fmt.Sprintf(" (%.1f a day)", float64(total)/days)
}
