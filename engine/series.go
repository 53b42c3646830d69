package engine

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"alertd"
)

// The metrics by which Prometheus says what is pending and firing, and since when.
const (
	seriesAlerts   = "ALERTS"
	seriesForState = "ALERTS_FOR_STATE"
	labelState     = "alertstate"
)

// Series makes samples of alerts, as Prometheus does: ALERTS with the label alertstate, pending or firing, and the value
// 1; ALERTS_FOR_STATE with the second since which the condition is true. That is how rules, and people's dashboards, read
// what fires. The zero value is ready for use; one goroutine owns it.
type Series struct {
	rules map[string]*written // by ID
}

// written is what was last said about the alerts of a rule.
type written struct {
	series map[uint64]alertd.Labels
	at     int64 // milliseconds
}

// Of are the samples about the alerts of one rule as they are now, for the instant of an evaluation; a series that is no
// more gets a staleness marker. An instant that is not after the last one is put a millisecond behind it, since a series
// has one value an instant. They are in the order of their labels.
func (s *Series) Of(m *Machine, rule string, at time.Time) []alertd.Sample {
	w := s.rules[rule]
	alerts := m.alerts.byRule[rule]
	if w == nil {
		if len(alerts) == 0 {
			return nil
		}
		if s.rules == nil {
			s.rules = make(map[string]*written)
		}
		w = &written{at: math.MinInt64}
		s.rules[rule] = w
	}
	w.at = max(at.UnixMilli(), w.at+1)
	var out []alertd.Sample
	fresh := make(map[uint64]alertd.Labels)
	add := func(ls alertd.Labels, v float64) {
		fresh[ls.Hash()] = ls
		out = append(out, alertd.Sample{Labels: ls, T: w.at, V: v})
	}
	for _, a := range alerts {
		state := alertd.Firing
		switch {
		case a.State == alertd.Pending:
			state = alertd.Pending
		case !a.State.Active():
			continue
		}
		b := labels.NewBuilder(a.Labels)
		add(b.Set(alertd.LabelMetric, seriesAlerts).Set(labelState, string(state)).Labels(), 1)
		add(b.Set(alertd.LabelMetric, seriesForState).Del(labelState).Labels(), float64(a.ActiveAt.Unix()))
	}
	for hash, ls := range w.series {
		if _, ok := fresh[hash]; !ok {
			out = append(out, alertd.Sample{Labels: ls, T: w.at, V: math.Float64frombits(value.StaleNaN)})
		}
	}
	if w.series = fresh; len(fresh) == 0 && len(alerts) == 0 {
		delete(s.rules, rule)
	}
	slices.SortFunc(out, func(a, b alertd.Sample) int { return labels.Compare(a.Labels, b.Labels) })
	return out
}
