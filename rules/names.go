package rules

import (
	"maps"
	"slices"
	"strings"

	"alertd"
)

// names are the metrics that have arrived since the start, read by a rule or not, and what is known of them.
type names map[string]alertd.Metadata

// maxNames bounds them, whatever publishers make up.
const maxNames = 100_000

func (n *names) note(name string) {
	if _, ok := (*n)[name]; !ok {
		n.put(alertd.Metadata{Metric: name})
	}
}

func (n *names) put(m alertd.Metadata) {
	if _, ok := (*n)[m.Metric]; m.Metric == "" || !ok && len(*n) >= maxNames {
		return
	}
	if *n == nil {
		*n = make(names)
	}
	(*n)[m.Metric] = m
}

// Describe notes what publishers say of metrics.
func (e *Evaluator) Describe(metrics []alertd.Metadata) {
	for _, m := range metrics {
		e.names.put(m)
	}
}

// Metrics are all metrics that have arrived since the evaluator began, by name, those that no rule reads included, and what
// was said of them. The series of a histogram or a summary are one metric where somebody has said that they are. After
// 100,000 no new ones are noted.
func (e *Evaluator) Metrics() []alertd.Metadata {
	out := make([]alertd.Metadata, 0, len(e.names))
	for _, name := range slices.Sorted(maps.Keys(e.names)) {
		if m := e.names[name]; m.Type != "" || !e.names.partOfAnother(name) {
			out = append(out, m)
		}
	}
	return out
}

// partOfAnother reports whether a metric is one of the series of another one, of which somebody has said what it is.
func (n names) partOfAnother(name string) bool {
	for _, ending := range []string{"_bucket", "_sum", "_count", "_total", "_created", "_info"} {
		if base, ok := strings.CutSuffix(name, ending); ok && n[base].Type != "" {
			return true
		}
	}
	return false
}
