package rules

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// family is the series of one metric. Queries in templates find theirs in it; a rule's own selectors have an index each.
type family struct {
	series   []*series
	unsorted bool
	having   map[string]map[string][]*series // by value, of the labels that queries ask for; "": those without the label
}

const (
	// worthHaving is from how many series on a family is divided by the labels that queries ask for. To look at fewer
	// costs less than what setting up a query costs anyway.
	worthHaving = 32
	// maxHaving bounds by how many labels a family is divided.
	maxHaving = 8
)

// family is that of a metric's name. It is made where there is none.
func (w *window) family(name string) *family {
	f := w.families[name]
	if f == nil {
		f = new(family)
		w.families[name] = f
	}
	return f
}

func (f *family) add(s *series) {
	f.series = append(f.series, s)
	f.unsorted = true
	for label, lists := range f.having {
		value := s.labels.Get(label)
		lists[value] = append(lists[value], s)
	}
}

// sweep forgets the series that are dead.
func (f *family) sweep() {
	isDead := func(s *series) bool { return s.dead }
	f.series = slices.DeleteFunc(f.series, isDead)
	for _, lists := range f.having {
		for value, list := range lists {
			if list = slices.DeleteFunc(list, isDead); len(list) > 0 {
				lists[value] = list
			} else {
				delete(lists, value)
			}
		}
	}
}

// divide makes sure that the series which have what the matchers ask for are found without a look at the others. It is for
// matchers that come again and again.
func (f *family) divide(ms []*labels.Matcher) {
	if f.unsorted {
		slices.SortFunc(f.series, byLabels)
		f.unsorted = false
	}
	if len(f.series) < worthHaving {
		return
	}
	for _, m := range ms {
		if m.Type != labels.MatchEqual || m.Name == alertd.LabelMetric || f.having[m.Name] != nil || len(f.having) == maxHaving {
			continue
		}
		lists := make(map[string][]*series)
		for _, s := range f.series {
			value := s.labels.Get(m.Name)
			lists[value] = append(lists[value], s)
		}
		if f.having == nil {
			f.having = make(map[string]map[string][]*series)
		}
		f.having[m.Name] = lists
	}
}

// candidates are the series among which all that the matchers match are, as few as can be told without looking at them.
func (f *family) candidates(ms []*labels.Matcher) []*series {
	list := f.series
	for _, m := range ms {
		if lists := f.having[m.Name]; lists != nil && m.Type == labels.MatchEqual && len(lists[m.Value]) < len(list) {
			list = lists[m.Value]
		}
	}
	return list
}

// familyOf is the only family that the matchers can match, if they name a metric. It is nil if nothing of it is there.
func (w *window) familyOf(ms []*labels.Matcher) (f *family, named bool) {
	for _, m := range ms {
		if m.Name == alertd.LabelMetric && m.Type == labels.MatchEqual && m.Value != "" {
			return w.families[m.Value], true
		}
	}
	return nil, false
}

// each calls visit for every series that all matchers match, until it says false. Where the matchers name a metric,
// only series of that are looked at.
func (w *window) each(ms []*labels.Matcher, visit func(*series) bool) {
	if f, named := w.familyOf(ms); named {
		if f == nil {
			return
		}
		list := f.candidates(ms)
		w.looked += len(list)
		for _, s := range list {
			if matches(ms, s.labels) && !visit(s) {
				return
			}
		}
		return
	}
	w.looked += w.count
	for _, s := range w.series {
		for ; s != nil; s = s.chain {
			if matches(ms, s.labels) && !visit(s) {
				return
			}
		}
	}
}
