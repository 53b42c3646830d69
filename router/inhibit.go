package router

import (
	"encoding/binary"
	"slices"
	"strings"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// InhibitRule keeps target alerts quiet while a source alert with the same values of the labels in Equal fires.
type InhibitRule struct {
	Name   string // optional, for people
	Source []*amlabels.Matcher
	Target []*amlabels.Matcher
	Equal  []string // a label that both lack counts as equal
}

// Inhibitions are all inhibition rules; any of them suffices.
type Inhibitions []InhibitRule

// Inhibitor knows the alerts that fire and may keep others quiet, by a rule or by a dependency, so filed that asking for one
// alert costs what there are rules, not what there are alerts. It is not safe for concurrent use.
type Inhibitor struct {
	rules   []ruleSources
	depends *Dependencies
	down    map[string]prints // sources by a dependency: service → its critical alerts
	labels  map[alertd.Fingerprint]alertd.Labels
}

// ruleSources are the sources of one rule by their values of the labels in Equal.
type ruleSources struct {
	*InhibitRule
	how string // it says that it hides something
	by  map[string]*sources
}

// sources are alerts that a rule cannot tell apart, but for whether they are on its target side too.
type sources struct{ oneSided, twoSided prints }

// NewInhibitor returns an Inhibitor without alerts. Neither argument may change afterwards; each may be nil.
func NewInhibitor(rules Inhibitions, depends *Dependencies) *Inhibitor {
	in := &Inhibitor{depends: depends, down: map[string]prints{}, labels: map[alertd.Fingerprint]alertd.Labels{}}
	for i := range rules {
		in.rules = append(in.rules, ruleSources{&rules[i], rules[i].tell(), map[string]*sources{}})
	}
	return in
}

// Add takes note of an alert that fires; one that can hide no other is none of its business. An alert that is there already is
// replaced. Many alerts are added fastest in the order of their fingerprints.
func (in *Inhibitor) Add(fp alertd.Fingerprint, ls alertd.Labels) {
	if old, ok := in.labels[fp]; ok && labels.Equal(old, ls) {
		return
	}
	in.Remove(fp)
	if in.file(fp, ls, prints.with) {
		in.labels[fp] = ls
	}
}

// Remove forgets an alert that fires no longer. One that is not there is no error.
func (in *Inhibitor) Remove(fp alertd.Fingerprint) {
	if ls, ok := in.labels[fp]; ok {
		in.file(fp, ls, prints.without)
		delete(in.labels, fp)
	}
}

// Has reports whether an alert fires and may hide others.
func (in *Inhibitor) Has(fp alertd.Fingerprint) bool {
	_, ok := in.labels[fp]
	return ok
}

// InhibitedBy says which alert keeps target quiet. A rule goes before a dependency; of all alerts that do, by whichever
// rule, it is the one with the smallest fingerprint, in whatever order they came. An alert that matches both sides of a rule
// is not inhibited, under that rule, by one that does too; so none inhibits itself. Where it is a dependency, how says in
// words how target's service depends on that alert's, and the alert is not one that a dependency hides in turn; where it is
// a rule, how names that and the labels that both have in common.
func (in *Inhibitor) InhibitedBy(target alertd.Labels) (by alertd.Fingerprint, how string, is bool) {
	if len(in.labels) == 0 {
		return 0, "", false
	}
	for i := range in.rules {
		if fp, ok := in.rules[i].against(target); ok && (!is || fp < by) {
			by, how, is = fp, in.rules[i].how, true
		}
	}
	if is || in.depends == nil || len(in.down) == 0 {
		return by, how, is
	}
	for service, way := range in.depends.how[alertd.ServiceOf(target)] {
		if fp, ok := in.down[service].first(); ok && (!is || fp < by) && !in.needsDown(service) {
			by, how, is = fp, way, true
		}
	}
	return by, how, is
}

// needsDown reports whether a service needs one that has a source: its own alerts are hidden then, so that what needs both
// is said to be hidden by the other one, of which people hear. Services in no circle leave one such.
func (in *Inhibitor) needsDown(service string) bool {
	for needed := range in.depends.how[service] {
		if len(in.down[needed]) > 0 {
			return true
		}
	}
	return false
}

// against is the first source that inhibits target by this rule.
func (r *ruleSources) against(target alertd.Labels) (alertd.Fingerprint, bool) {
	if len(r.by) == 0 || !matches(r.Target, target) {
		return 0, false
	}
	var buf [128]byte
	s := r.by[string(r.appendKey(buf[:0], target))]
	if s == nil {
		return 0, false
	}
	by, is := s.oneSided.first()
	if fp, ok := s.twoSided.first(); ok && (!is || fp < by) && !matches(r.Source, target) {
		return fp, true
	}
	return by, is
}

// file puts an alert wherever it is a source, or takes it away from there, and reports whether it is one at all. What holds
// no alert any more is dropped: values of labels come and go.
func (in *Inhibitor) file(fp alertd.Fingerprint, ls alertd.Labels, change func(prints, alertd.Fingerprint) prints) (is bool) {
	for i := range in.rules {
		r := &in.rules[i]
		if !matches(r.Source, ls) {
			continue
		}
		is = true
		key := string(r.appendKey(nil, ls))
		s := r.by[key]
		if s == nil {
			s = &sources{}
			r.by[key] = s
		}
		if matches(r.Target, ls) {
			s.twoSided = change(s.twoSided, fp)
		} else {
			s.oneSided = change(s.oneSided, fp)
		}
		if len(s.oneSided)+len(s.twoSided) == 0 {
			delete(r.by, key)
		}
	}
	if in.depends.isSource(ls) {
		is = true
		service := alertd.ServiceOf(ls)
		in.down[service] = change(in.down[service], fp)
		if len(in.down[service]) == 0 {
			delete(in.down, service)
		}
	}
	return is
}

// tell says for people why the rule hides an alert: its name, and what target and source have in common.
func (r *InhibitRule) tell() string {
	var parts []string
	if r.Name != "" {
		parts = append(parts, "rule "+r.Name)
	}
	if len(r.Equal) > 0 {
		parts = append(parts, "same "+strings.Join(r.Equal, " and "))
	}
	return strings.Join(parts, ", ")
}

// appendKey writes the values of the labels in Equal; lengths keep ("a", "bc") from being ("ab", "c").
func (r *InhibitRule) appendKey(key []byte, ls alertd.Labels) []byte {
	for _, name := range r.Equal {
		value := ls.Get(name)
		key = binary.AppendUvarint(key, uint64(len(value)))
		key = append(key, value...)
	}
	return key
}

// prints are fingerprints in ascending order: a rule without Equal files all of its sources in one place, where the smallest
// must be at hand after each of them goes.
type prints []alertd.Fingerprint

func (p prints) first() (alertd.Fingerprint, bool) {
	if len(p) == 0 {
		return 0, false
	}
	return p[0], true
}

func (p prints) with(fp alertd.Fingerprint) prints {
	at, there := slices.BinarySearch(p, fp)
	if there {
		return p
	}
	return slices.Insert(p, at, fp)
}

func (p prints) without(fp alertd.Fingerprint) prints {
	at, there := slices.BinarySearch(p, fp)
	if !there {
		return p
	}
	return slices.Delete(p, at, at+1)
}
