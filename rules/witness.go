package rules

import (
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"

	"alertd"
)

// Presence implements alertd.Witness: whether the series are there that a key of the rule reads. An answer other than
// Present also makes the next answer about the key a verdict, though it may be "nothing true" as the last one was:
// from then on it says that the condition has ended, and no longer only that nothing is there.
func (r *ruleRun) Presence(scope string, at time.Time) alertd.Presence {
	k, t := r.keys[scope], at.UnixMilli()
	if k != nil && k.present(t) {
		return alertd.Present
	}
	if k != nil {
		k.quiet = 0
	}
	switch {
	case k != nil && k.retired():
		return alertd.Retired
	case r.group.evaluator.silent(r):
		return alertd.Silent
	case !r.partition.IsWhole() && r.present(t):
		return alertd.Missing
	default:
		return alertd.Absent
	}
}

// present reports whether any series of the key is there.
func (k *key) present(at int64) bool {
	for i, u := range k.rule.uses {
		for _, s := range k.members[i] {
			if k.rule.sees(u, s, at) {
				return true
			}
		}
	}
	return false
}

// present reports whether any series that the rule reads is there. Where none is, each of its alerts asks, and only the first
// needs to look.
func (r *ruleRun) present(at int64) bool {
	now := absence{at: at, taken: r.group.evaluator.taken}
	if r.absent == now {
		return false
	}
	for i, u := range r.uses {
		for _, s := range r.indexes[i].series {
			if r.sees(u, s, at) {
				return true
			}
		}
	}
	r.absent = now
	return false
}

// absence is that no series of a rule is there at an instant, as far as the samples tell that were taken in so far.
type absence struct {
	at    int64
	taken uint64
}

// sees reports whether a selector sees a series. What is fixed to a time says nothing about who is there now, unless the
// rule asks for nothing else.
func (r *ruleRun) sees(u use, s *series, at int64) bool {
	if u.fixed {
		return r.fixed && s.newer(u.until-r.sight(u, s)-1, u.until)
	}
	return s.present(at, r.sight(u, s))
}

// sight is how far back one selector sees samples of a series, milliseconds.
func (r *ruleRun) sight(u use, s *series) int64 {
	back := u.back.Milliseconds()
	if u.instant {
		back += s.believed(r.deltaOf(u))
	}
	return back
}

// present reports whether the series has a sample that is not older than back, and has not ended.
func (s *series) present(at, back int64) bool {
	if s.empty() || s.newest <= at-back {
		return false
	}
	p, ok := s.at(s.newest)
	return !ok || p.T != s.newest || !value.IsStaleNaN(p.F)
}

// silent reports whether nothing has arrived for so long that a series which is not there says nothing about its
// publisher. When events arrive again, everybody gets a while to be heard before the missing are missed.
func (e *Evaluator) silent(r *ruleRun) bool {
	if e.opts.NoEvents {
		return false
	}
	return e.arrived == never || e.now < e.patient || e.now-e.arrived >= min(r.shortest, e.opts.LookbackDelta.Milliseconds())
}

// heard notes that an event has arrived.
func (e *Evaluator) heard(seq uint64) {
	if seq == 0 {
		return // our own
	}
	if pause := e.opts.LookbackDelta.Milliseconds(); e.arrived == never || e.now-e.arrived >= pause {
		e.patient = e.now + pause
	}
	e.arrived = e.now
}

// lost are the findings of a rule for which having no data is an alert: one for each key that has lost its series, unless
// that was to be, or one for the whole rule if it never had any.
func (e *Evaluator) lost(r *ruleRun, at int64) []alertd.Finding {
	if r.meta.NoData != alertd.Alarm || e.silent(r) {
		return nil
	}
	if r.partition.IsWhole() || len(r.keys) == 0 && !r.hadKeys {
		if r.present(at) {
			return nil
		}
		return []alertd.Finding{e.unknown(r, nil, at)}
	}
	r.hadKeys = true // from here on alerts stand for the keys, also for those that are forgotten
	var out []alertd.Finding
	for _, k := range r.keys {
		if !k.present(at) && !k.retired() {
			out = append(out, e.unknown(r, k, at))
		}
	}
	slices.SortFunc(out, byFinding)
	return slices.CompactFunc(out, func(a, b alertd.Finding) bool { return labels.Equal(a.Labels, b.Labels) })
}

// failed is what a rule that cannot be evaluated says, if it says that this is an alert. Where it fails as a whole because
// of some of its keys, it says what they have said, and not the same again without their labels.
func (e *Evaluator) failed(r *ruleRun, k *key, at int64) (out []alertd.Finding) {
	if r.meta.OnError != alertd.Alarm {
		return nil
	}
	if k == nil {
		for k := range r.failing {
			if r.keys[k.scope] != k { // its series are gone
				delete(r.failing, k)
				continue
			}
			out = append(out, e.unknown(r, k, at))
		}
	}
	if len(out) == 0 {
		return []alertd.Finding{e.unknown(r, k, at)}
	}
	slices.SortFunc(out, byFinding)
	return slices.CompactFunc(out, func(a, b alertd.Finding) bool { return labels.Equal(a.Labels, b.Labels) })
}

// fails notes a key that could not be evaluated, for the next time that the whole rule cannot be.
func (r *ruleRun) fails(k *key) {
	if r.meta.OnError != alertd.Alarm {
		return
	}
	if r.failing == nil {
		r.failing = make(map[*key]bool)
	}
	r.failing[k] = true
}

// maxBlamed bounds how many keys a tick asks which of them it fails for.
const maxBlamed = 1000

// blame finds the keys because of which a rule fails as a whole, where none is known to fail: a tick may come before the
// first samples of a key were looked at, and after a restart the window is full and no key was evaluated yet.
func (e *Evaluator) blame(r *ruleRun, at int64) {
	if r.meta.OnError != alertd.Alarm || r.partition.IsWhole() || len(r.failing) > 0 {
		return
	}
	for _, k := range r.order[:min(len(r.order), maxBlamed)] {
		if _, _, err := e.ask(r, k, at); err != nil {
			r.fails(k)
		}
	}
}

// unknown is a finding about a key, or about all of the rule, whose value nobody knows.
func (e *Evaluator) unknown(r *ruleRun, k *key, at int64) alertd.Finding {
	base, scope := labels.EmptyLabels(), ""
	if k != nil {
		scope = k.scope
		base = k.labels()
	}
	x := e.expander(r, promql.Sample{Metric: base, F: math.NaN()}, time.UnixMilli(at).UTC())
	ls := x.labels(base)
	return alertd.Finding{Labels: ls, Annotations: x.annotations(nil), Scope: scope, Value: alertd.Value(math.NaN())}
}

// labels are those that all series of the key have in common by the rule's partition.
func (k *key) labels() labels.Labels {
	p := k.rule.partition
	for i := range k.members {
		list := k.sorted(i)
		if len(list) == 0 {
			continue
		}
		b := labels.NewBuilder(list[0].labels)
		if p.Without {
			b.Del(p.Labels...)
		} else {
			b.Keep(p.Labels...)
		}
		return b.Labels()
	}
	return labels.EmptyLabels()
}

// recovered are the results of the recovery condition at an instant, each with its scope.
func (e *Evaluator) recovered(r *ruleRun, k *key, at int64) ([]recovery, error) {
	if r.recover == nil {
		return nil, nil
	}
	vector, err := e.query(view{window: e.window, rule: r, key: k}, r.recoverText, at)
	if err != nil {
		return nil, err
	}
	out := make([]recovery, len(vector))
	for i, el := range vector {
		b := labels.NewBuilder(el.Metric)
		b.Del(alertd.LabelMetric, alertd.LabelAlert)
		for _, l := range r.labels {
			b.Del(l.name) // the alert has its own
		}
		out[i] = recovery{r.partition.Scope(el.Metric), b.Labels()}
	}
	slices.SortFunc(out, byRecovery)
	return out, nil
}

// recovery is one result of a recovery condition.
type recovery struct {
	scope  string
	labels labels.Labels
}

func byRecovery(a, b recovery) int { return labels.Compare(a.labels, b.labels) }

func labelsOf(list []recovery) []alertd.Labels {
	out := make([]alertd.Labels, len(list))
	for i, x := range list {
		out[i] = x.labels
	}
	return out
}
