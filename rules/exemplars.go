package rules

import (
	"cmp"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// SeriesExemplars are the traces that a series has come with lately.
type SeriesExemplars struct {
	Labels    labels.Labels // with the metric's name
	Exemplars []Exemplar    // at least one; in order of time
}

// Exemplar is a trace that a sample came with.
type Exemplar struct {
	T     int64   // of the sample, milliseconds since the epoch
	Value float64 // what was measured in the trace where that is said, else the sample's value
	Trace alertd.TraceRef
}

// Exemplars copies what the window keeps of the traces that samples from `from` to `to` came with, both included, in
// milliseconds, of every series that all matchers of one of the sets match. A series keeps few of them: those that tell most.
func (e *Evaluator) Exemplars(sets [][]*labels.Matcher, from, to int64) (out []SeriesExemplars) {
	seen := make(map[*series]bool)
	for _, ms := range sets {
		e.window.each(ms, func(s *series) bool {
			if seen[s] || len(s.traces) == 0 {
				return true
			}
			seen[s] = true
			found := SeriesExemplars{Labels: s.labels}
			for i := range s.traces {
				if x := &s.traces[i]; x.t >= from && x.t <= to {
					found.Exemplars = append(found.Exemplars, Exemplar{T: x.t, Value: x.measured(), Trace: x.trace})
				}
			}
			if len(found.Exemplars) > 0 {
				slices.SortStableFunc(found.Exemplars, func(a, b Exemplar) int { return cmp.Compare(a.T, b.T) })
				out = append(out, found)
			}
			return true
		})
	}
	slices.SortFunc(out, func(a, b SeriesExemplars) int { return labels.Compare(a.Labels, b.Labels) })
	return out
}
