package router

import (
	"iter"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"

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

// InhibitedBy says which of the firing alerts in sources inhibits target: of all that do, by whichever rule, the one
// with the smallest fingerprint, so that the answer does not depend on the order of sources. It reads sources at
// most once. An alert that matches both sides of a rule is not inhibited, under that rule, by one that does too;
// so none inhibits itself.
func (in Inhibitions) InhibitedBy(target alertd.Labels, sources iter.Seq2[alertd.Fingerprint, alertd.Labels]) (alertd.Fingerprint, bool) {
	rules := in.against(target)
	if len(rules) == 0 {
		return 0, false
	}
	var by alertd.Fingerprint
	found := false
	for fp, source := range sources {
		if found && fp >= by {
			continue
		}
		for _, r := range rules {
			if r.inhibits(source) {
				by, found = fp, true
				break
			}
		}
	}
	return by, found
}

// IsSource reports whether an alert with these labels could inhibit others.
func (in Inhibitions) IsSource(ls alertd.Labels) bool {
	for i := range in {
		if matches(in[i].Source, ls) {
			return true
		}
	}
	return false
}

// IsTarget reports whether an alert with these labels could be inhibited.
func (in Inhibitions) IsTarget(ls alertd.Labels) bool {
	for i := range in {
		if matches(in[i].Target, ls) {
			return true
		}
	}
	return false
}

// against is a rule with everything worked out that depends on the target alone.
type against struct {
	*InhibitRule
	equal    []string // the target's values of the labels in Equal
	twoSided bool     // the target is a source as well
}

func (in Inhibitions) against(target alertd.Labels) []against {
	var rules []against
	for i := range in {
		r := &in[i]
		if !matches(r.Target, target) {
			continue
		}
		a := against{InhibitRule: r, equal: make([]string, len(r.Equal)), twoSided: matches(r.Source, target)}
		for j, name := range r.Equal {
			a.equal[j] = target.Get(name)
		}
		rules = append(rules, a)
	}
	return rules
}

func (a *against) inhibits(source alertd.Labels) bool {
	if !matches(a.Source, source) {
		return false
	}
	for j, name := range a.Equal {
		if source.Get(name) != a.equal[j] {
			return false
		}
	}
	return !a.twoSided || !matches(a.Target, source)
}
