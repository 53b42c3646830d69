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

// scopeKept is how long it is remembered when something was said of a scope without alerts: as far as instants may go back.
const scopeKept = time.Minute

// Series makes samples of alerts, as Prometheus does: ALERTS with the label alertstate, pending or firing, and the value
// 1; ALERTS_FOR_STATE with the second since which the condition is true. That is how rules, and people's dashboards, read
// what fires. The zero value is ready for use; one goroutine owns it.
type Series struct {
	rules map[string]*written // by ID
}

// written is what was last said about the alerts of a rule.
type written struct {
	scopes map[string]*spoken
	at     int64 // of the newest sample, milliseconds
}

// spoken is what was last said about the alerts of one scope.
type spoken struct {
	alerts []mention
	at     int64 // milliseconds
}

// mention is an alert that was said to be pending or firing.
type mention struct {
	fingerprint alertd.Fingerprint
	labels      alertd.Labels
	pending     bool
}

// Of are the samples about the alerts of one scope of a rule as they are now, or of all its scopes if scope is "", for the
// instant of an evaluation; a series that is no more gets a staleness marker. An instant that is not after the last one is
// put a millisecond behind it, since a series has one value an instant. They are in the order of their labels.
//
// What one scope costs does not depend on how many others the rule has.
func (s *Series) Of(m *Machine, rule, scope string, at time.Time) []alertd.Sample {
	w := s.rules[rule]
	if w == nil {
		if len(m.alerts.byRule[rule]) == 0 {
			return nil
		}
		if s.rules == nil {
			s.rules = make(map[string]*written)
		}
		w = &written{scopes: make(map[string]*spoken), at: math.MinInt64}
		s.rules[rule] = w
	}
	var out []alertd.Sample
	if scope == "" {
		out = w.all(m, rule, at.UnixMilli())
	} else {
		out = w.one(m, rule, scope, at.UnixMilli())
	}
	if len(w.scopes) == 0 {
		delete(s.rules, rule)
	}
	slices.SortFunc(out, func(a, b alertd.Sample) int { return labels.Compare(a.Labels, b.Labels) })
	return out
}

// all says everything anew.
func (w *written) all(m *Machine, rule string, at int64) (out []alertd.Sample) {
	at = max(at, w.at+1)
	before, alerts := w.scopes, m.alerts.byRule[rule]
	w.scopes, w.at = make(map[string]*spoken, len(before)), at
	for _, a := range alerts {
		p := w.scopes[a.Scope]
		if p == nil {
			p = &spoken{at: at}
			w.scopes[a.Scope] = p
		}
		out = p.mention(a, out)
	}
	for scope, p := range before {
		for _, old := range p.alerts {
			out = old.end(m, rule, at, out)
		}
		if w.scopes[scope] != nil {
			continue
		}
		if len(p.alerts) > 0 {
			w.scopes[scope] = &spoken{at: at}
		} else if at-p.at < scopeKept.Milliseconds() {
			w.scopes[scope] = p
		}
	}
	return out
}

// one says anew what there is about one scope.
func (w *written) one(m *Machine, rule, scope string, at int64) (out []alertd.Sample) {
	alerts := m.alerts.byScope[scopeKey{rule, scope}]
	before := w.scopes[scope]
	if before == nil {
		before = &spoken{at: math.MinInt64}
	}
	p := &spoken{at: max(at, before.at+1)}
	w.at = max(w.at, p.at)
	w.scopes[scope] = p
	for _, a := range alerts {
		out = p.mention(a, out)
	}
	for _, old := range before.alerts {
		out = old.end(m, rule, p.at, out)
	}
	return out
}

// mention says of an alert that it is pending, or that it fires.
func (p *spoken) mention(a *alertd.Alert, out []alertd.Sample) []alertd.Sample {
	pending, is := mentioned(a)
	if !is {
		return out
	}
	p.alerts = append(p.alerts, mention{a.Fingerprint, a.Labels, pending})
	return append(out,
		alertd.Sample{Labels: stateSeries(a.Labels, pending), T: p.at, V: 1},
		alertd.Sample{Labels: sinceSeries(a.Labels), T: p.at, V: float64(a.ActiveAt.Unix())})
}

// mentioned reports whether an alert is pending, and whether it is that or fires.
func mentioned(a *alertd.Alert) (pending, is bool) {
	return a.State == alertd.Pending, a.State == alertd.Pending || a.State.Active()
}

// end marks the series that are not said of an alert any more. It may go on in another scope of the rule, if that was edited.
func (o mention) end(m *Machine, rule string, at int64, out []alertd.Sample) []alertd.Sample {
	pending, is := false, false
	if a := m.alerts.get(o.fingerprint); a != nil && a.Rule == rule {
		pending, is = mentioned(a)
	}
	stale := math.Float64frombits(value.StaleNaN)
	if !is || pending != o.pending {
		out = append(out, alertd.Sample{Labels: stateSeries(o.labels, o.pending), T: at, V: stale})
	}
	if !is {
		out = append(out, alertd.Sample{Labels: sinceSeries(o.labels), T: at, V: stale})
	}
	return out
}

func stateSeries(of alertd.Labels, pending bool) alertd.Labels {
	state := alertd.Firing
	if pending {
		state = alertd.Pending
	}
	return labels.NewBuilder(of).Set(alertd.LabelMetric, seriesAlerts).Set(labelState, string(state)).Labels()
}

func sinceSeries(of alertd.Labels) alertd.Labels {
	return labels.NewBuilder(of).Set(alertd.LabelMetric, seriesForState).Del(labelState).Labels()
}
