package alertd

import (
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// Bounds of a link to a silence: what is longer a person narrows or widens by hand.
const (
	maxLinkSets   = 5
	maxLinkLabels = 12
	maxLinkValue  = 100 // bytes
)

// SilencePath is where alertd's form for a silence of some alerts is, filled in, below its external URL: the labels that
// all have in common, or, where that is not even the name, a set of matchers for each of the first alerts.
func SilencePath(alerts ...Labels) string {
	if len(alerts) == 0 {
		return "silences/new"
	}
	sets := []Labels{common(alerts)}
	if sets[0].Get(LabelAlert) == "" {
		sets = alerts[:min(len(alerts), maxLinkSets)]
	}
	q := url.Values{}
	for _, ls := range sets {
		q.Add("filter", matchersFor(ls))
	}
	return "silences/new?" + q.Encode()
}

func common(alerts []Labels) Labels {
	b := labels.NewBuilder(alerts[0])
	alerts[0].Range(func(l labels.Label) {
		if slices.ContainsFunc(alerts[1:], func(o Labels) bool { return o.Get(l.Name) != l.Value }) {
			b.Del(l.Name)
		}
	})
	return b.Labels()
}

// matchersFor are matchers that an alert with these labels has. The name comes first, since people read that.
func matchersFor(ls Labels) string {
	var out []string
	ls.Range(func(l labels.Label) {
		m := Matcher{Name: l.Name, Value: l.Value, IsEqual: true}
		switch {
		case l.Name == LabelAlert:
			out = slices.Insert(out, 0, m.String())
		case l.Value != "" && len(out) < maxLinkLabels && len(l.Value) <= maxLinkValue:
			out = append(out, m.String())
		}
	})
	return strings.Join(out, ", ")
}
