package rules

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"alertd"
)

// retire ends the series of which a sample says that nobody reports on them any more, and returns them. What came after it
// goes on: then somebody does. The marker stands after the last sample, also where both are of one millisecond.
func (e *Evaluator) retire(sample *alertd.Sample) (ended []*series) {
	if sample.T > e.now+maxAhead.Milliseconds() {
		e.counts.TooNew++
		return nil
	}
	var ms []*labels.Matcher
	for _, name := range []string{alertd.LabelMetric, alertd.LabelService, alertd.LabelEnvironment} {
		ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, name, sample.Labels.Get(name)))
	}
	if f, _ := e.window.familyOf(ms); f != nil {
		f.divide(ms)
	}
	e.window.each(ms, func(s *series) bool {
		if !s.empty() && (s.newest <= sample.T || s.retired == s.newest) {
			ended = append(ended, s)
		}
		return true
	})
	slices.SortFunc(ended, byLabels)
	for _, s := range ended {
		if s.retired != s.newest {
			e.taken++
			s.append(max(sample.T, s.newest+1), math.Float64frombits(value.StaleNaN), nil, min(s.newest, e.now)-s.keep)
			s.retired, s.seen = s.newest, e.now
		}
		for _, t := range s.touches {
			t.key.heard(t.slot, s.newest)
		}
	}
	return ended
}

// retired reports whether the newest word on the key is that nobody reports on it any more.
func (k *key) retired() (is bool) {
	newest := int64(never)
	for _, list := range k.members {
		for _, s := range list {
			if !s.empty() && s.newest >= newest {
				is = s.retired == s.newest && (is || s.newest > newest)
				newest = s.newest
			}
		}
	}
	return is
}
