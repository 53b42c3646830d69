package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"

	"alertd"
)

// findings turns the result of an expression into what the rule says about it: final labels, annotations, scope and
// trace, in the order of the labels.
func (e *Evaluator) findings(r *ruleRun, k *key, vector promql.Vector, at, told int64) ([]alertd.Finding, error) {
	if len(vector) == 0 {
		if k != nil {
			k.worded = nil
		}
		return nil, nil
	}
	if limit := r.group.limit; limit > 0 && len(vector) > limit {
		return nil, overLimit(len(vector), limit)
	}
	out := make([]alertd.Finding, len(vector))
	for i, sample := range vector {
		x := e.expander(r, sample, time.UnixMilli(told).UTC())
		f := &out[i]
		f.Labels, f.Value = x.labels(sample.Metric), alertd.Value(sample.F)
		of := k
		if of == nil {
			of = r.keys[r.partition.Scope(sample.Metric)]
		}
		f.Annotations = x.annotations(of)
		if of != nil {
			f.Scope = of.scope
			f.Trace, f.TraceNote = of.exemplar(at, e.opts.LookbackDelta)
		} else {
			f.Scope = r.partition.Scope(sample.Metric)
		}
	}
	if k != nil && r.wording == pure {
		k.worded = k.worded.next(vector, out)
	}
	slices.SortFunc(out, byFinding)
	for i := 1; i < len(out); i++ {
		if labels.Equal(out[i-1].Labels, out[i].Labels) {
			return nil, duplicateLabels(out[i].Labels)
		}
	}
	return out, nil
}

func overLimit(n, limit int) error {
	return fmt.Errorf("%d results where the group allows %d: raise its limit or narrow the expression", n, limit)
}

// within says whether the results of the whole rule at an instant are as few as the group's limit wants. Over it the
// rule fails as one: a key does not fire, and none ends, because of what it says itself.
func (e *Evaluator) within(r *ruleRun, at int64) error {
	limit := r.group.limit
	if limit == 0 {
		return nil
	}
	vector, err := e.query(view{window: e.window, rule: r}, r.text, at)
	if err == nil && len(vector) > limit {
		err = overLimit(len(vector), limit)
	}
	return err
}

// expander expands the templates of one finding.
type expander struct {
	e      *Evaluator
	r      *ruleRun
	sample promql.Sample
	at     time.Time
	data   any
}

func (e *Evaluator) expander(r *ruleRun, sample promql.Sample, at time.Time) *expander {
	return &expander{e: e, r: r, sample: sample, at: at}
}

// labels are the final labels: those of the series, over them the rule's, over all the alertname.
func (x *expander) labels(base labels.Labels) labels.Labels {
	b := labels.NewBuilder(base)
	b.Del(alertd.LabelMetric)
	for _, l := range x.r.labels {
		if l.copies != "" {
			b.Set(l.name, x.sample.Metric.Get(l.copies))
		} else {
			b.Set(l.name, x.expand(l.value))
		}
	}
	b.Set(alertd.LabelAlert, x.r.meta.Name)
	return b.Labels()
}

// wording is what a rule's annotations depend on besides the labels and the value.
type wording uint8

const (
	plain  wording = iota // nothing, not even those
	pure                  // nothing else
	dated                 // the instant of the evaluation
	asking                // the window at that instant
)

// wordingOf is that of a list of templates. It looks for words, so a text may seem to depend on more than it does.
func wordingOf(list []pair) (w wording) {
	for _, t := range list {
		switch {
		case !strings.Contains(t.value, "{{"):
		case strings.Contains(t.value, "query"):
			w = max(w, asking)
		case strings.Contains(t.value, "now"):
			w = max(w, dated)
		default:
			w = max(w, pure)
		}
	}
	return w
}

// annotations are those of an element of a result, which may belong to a key. They are expanded when somebody reads them.
// Only what asks the window is expanded at once, since the window goes on; and what depends on the series and its value
// alone stays as it was found the last time if these have not changed.
func (x *expander) annotations(k *key) alertd.Annotations {
	switch r := x.r; {
	case len(r.rule.annotations) == 0:
		return nil
	case r.wording == plain:
		return r.plain
	case r.wording == asking || x.sample.H != nil:
		return alertd.Texts(x.expanded())
	case r.wording == pure && k != nil:
		if text := k.worded.of(x.sample.Metric, x.sample.F); text != nil {
			return text
		}
	}
	var known *labels.Labels
	return func() labels.Labels {
		if known == nil {
			known = new(x.expanded())
		}
		return *known
	}
}

// expanded are the annotations as they read.
func (x *expander) expanded() labels.Labels {
	b := labels.NewScratchBuilder(len(x.r.rule.annotations))
	for _, a := range x.r.rule.annotations {
		b.Add(a.name, x.expand(a.value))
	}
	return b.Labels()
}

// expand never fails: as in Prometheus, an alert with a broken text is better than none.
func (x *expander) expand(text string) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	if x.data == nil {
		x.data = template.AlertTemplateData(x.sample.Metric.Map(), x.e.opts.ExternalLabels.Map(), x.e.opts.ExternalURL, x.sample)
	}
	query := func(_ context.Context, text string, at time.Time) (promql.Vector, error) {
		return x.e.query(view{window: x.e.window}, text, at.UnixMilli())
	}
	out, err := template.NewTemplateExpander(context.Background(), x.r.definitions()+text, "__alert_"+x.r.meta.Name,
		x.data, model.TimeFromUnixNano(x.at.UnixNano()), query, x.e.external, nil).Expand()
	if err != nil {
		x.e.counts.TemplateErrors++
		return fmt.Sprintf("<error expanding template: %s>", err)
	}
	return out
}
