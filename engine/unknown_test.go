package engine_test

import (
	"maps"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/engine"
)

// says is a witness with one answer.
type says alertd.Presence

func (s says) Presence(string, time.Time) alertd.Presence { return alertd.Presence(s) }

var presences = map[string]says{
	"missing": says(alertd.Missing), "absent": says(alertd.Absent), "silent": says(alertd.Silent),
	"retired": says(alertd.Retired),
}

// aside runs the story's commands about what is not known, about late samples and about rules that move:
//
//	gone missing|absent|silent RULE label=value…   the condition is not true, and its series are not there
//	unknown RULE label=value…      having no data is an alert
//	failed RULE label=value…       the rule could not be evaluated, which is an alert
//	recovered RULE label=value…    the condition is false and the recovery condition true
//	late AGO true|false RULE label=value…   a slot of the past is evaluated again
//	delete RULE                    a reload finds it no longer
//	move RULE ID                   a reload finds it elsewhere
//	change RULE for=5m             a reload finds another `for`
func (s *story) aside(d *datadriven.TestData, args []string) bool {
	finding := func(args []string) alertd.Finding {
		ls := labels.FromMap(pairs(args[1:]))
		all := labels.NewBuilder(ls).Set(alertd.LabelAlert, args[0]).Labels()
		return alertd.Finding{Labels: all, Scope: "service=" + ls.Get("service"), Value: 1}
	}
	judge := func(rule string, change func(v *alertd.Verdict)) {
		v := alertd.Verdict{Rule: s.rules[rule], At: s.now}
		change(&v)
		s.step(engine.Judged{Verdict: v})
		s.due(s.now)
	}
	reload := func(change func(known map[string]bool)) {
		p := *s.policy
		p.Rules, p.Version = maps.Clone(p.Rules), p.Version+"+"
		change(p.Rules)
		s.policy = &p
		s.step(engine.PolicyChanged{Policy: &p})
		s.due(s.now)
	}
	switch d.Cmd {
	case "gone":
		f := finding(args[1:])
		delete(s.truth[args[1]], f.Labels.String())
		judge(args[1], func(v *alertd.Verdict) { v.Scope, v.Witness = f.Scope, presences[args[0]] })
	case "unknown":
		judge(args[0], func(v *alertd.Verdict) {
			v.Unknown, v.Witness = []alertd.Finding{finding(args)}, says(alertd.Absent)
		})
	case "failed":
		judge(args[0], func(v *alertd.Verdict) { v.Unknown, v.Err = []alertd.Finding{finding(args)}, "query timed out" })
	case "recovered":
		f := finding(args)
		delete(s.truth[args[0]], f.Labels.String())
		judge(args[0], func(v *alertd.Verdict) {
			v.Scope, v.Recovered = f.Scope, []alertd.Labels{labels.FromStrings(alertd.LabelService, f.Labels.Get(alertd.LabelService))}
		})
	case "late":
		ago, err := time.ParseDuration(args[0])
		s.check(err)
		f := finding(args[2:])
		judge(args[2], func(v *alertd.Verdict) {
			v.Scope, v.At, v.Late = f.Scope, s.now.Add(-ago), true
			if args[1] == "true" {
				v.True = []alertd.Finding{f}
			}
		})
	case "delete":
		reload(func(known map[string]bool) { delete(known, s.rules[args[0]].ID) })
	case "move":
		reload(func(known map[string]bool) {
			moved := *s.rules[args[0]]
			delete(known, moved.ID)
			moved.ID = args[1]
			known[moved.ID], s.rules[args[0]] = true, &moved
		})
	case "change":
		changed := *s.rules[args[0]]
		var err error
		changed.For, err = time.ParseDuration(pairs(args)["for"])
		s.check(err)
		s.rules[args[0]] = &changed
		reload(func(map[string]bool) {})
	default:
		return false
	}
	return true
}
