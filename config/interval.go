package config

import (
	"encoding/json"
	"time"

	"github.com/prometheus/alertmanager/timeinterval"
	"go.yaml.in/yaml/v3"
)

// readIntervals reads one of the two sections that define named time intervals.
func (p *routingParser) readIntervals(n *yaml.Node, section string) {
	for _, item := range p.list(n, section) {
		var name string
		var list []timeinterval.TimeInterval
		var at *yaml.Node
		ok := p.object(item, "a time interval", fields{
			"name": func(n *yaml.Node) {
				at = target(n)
				p.textTo(&name, "name")(n)
			},
			"time_intervals": func(n *yaml.Node) {
				for _, one := range p.list(n, "time_intervals") {
					list = append(list, p.readInterval(one))
				}
			},
		})
		switch {
		case name == "" && ok:
			p.fail(item, "a time interval has no name")
			continue
		case name == "":
			continue
		case !p.define(p.intervals, at, name, "time interval"):
			continue
		}
		p.out.Intervals[name] = list
	}
}

func (p *routingParser) readInterval(n *yaml.Node) timeinterval.TimeInterval {
	var ti timeinterval.TimeInterval
	p.object(n, "a time interval", fields{
		"times": func(n *yaml.Node) {
			for _, item := range p.list(n, "times") {
				var span struct {
					Start string `json:"start_time"`
					End   string `json:"end_time"`
				}
				ok := p.object(item, "an item of times", fields{
					"start_time": p.textTo(&span.Start, "start_time"),
					"end_time":   p.textTo(&span.End, "end_time"),
				})
				var t timeinterval.TimeRange
				if ok && p.fill(item, &t, span, "times", `{start_time: "09:00", end_time: "18:00"}`) {
					ti.Times = append(ti.Times, t)
				}
			}
		},
		"weekdays":      ranges(p, &ti.Weekdays, "weekdays", "'monday:friday'"),
		"days_of_month": ranges(p, &ti.DaysOfMonth, "days_of_month", "'1:5' or '-3:-1'"),
		"months": func(n *yaml.Node) {
			ranges(p, &ti.Months, "months", "'january:march' or '1:3'")(n)
			for _, m := range ti.Months {
				if m.Begin < 1 || m.End > 12 {
					p.fail(target(n), "months: a year has the months 1 to 12")
				}
			}
		},
		"years":    ranges(p, &ti.Years, "years", "'2026:2028'"),
		"location": func(n *yaml.Node) { p.readLocation(n, &ti) },
	})
	return ti
}

// ranges reads a list of texts that the library understands, such as 'monday:friday'.
func ranges[T any](p *routingParser, to *[]T, what, example string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		for _, item := range p.list(n, what) {
			s, ok := p.text(item, "an item of "+what)
			if !ok {
				continue
			}
			var one T
			if p.fill(item, &one, s, what, example) {
				*to = append(*to, one)
			}
		}
	}
}

// fill gives value to the library's own reader of the type that to points at.
func (p *routingParser) fill(n *yaml.Node, to, value any, what, example string) bool {
	data, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		p.fail(n, "%s: %s; write it like %s", what, cause(n, err), example)
	}
	return err == nil
}

func (p *routingParser) readLocation(n *yaml.Node, ti *timeinterval.TimeInterval) {
	name, ok := p.text(n, "location")
	if !ok || name == "" {
		return
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		p.fail(target(n), "unknown time zone %s; write an IANA name such as Europe/Berlin, or UTC", quote(target(n).Value))
		return
	}
	if loc == time.Local {
		p.warn(target(n), "location Local differs from machine to machine; write an IANA name such as Europe/Berlin, or UTC")
	}
	ti.Location = &timeinterval.Location{Location: loc}
}
