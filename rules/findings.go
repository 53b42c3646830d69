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
		return nil, nil
	}
	if limit := r.group.limit; limit > 0 && len(vector) > limit {
		return nil, fmt.Errorf("%d results where the group allows %d: raise its limit or narrow the expression", len(vector), limit)
	}
	out := make([]alertd.Finding, len(vector))
	for i, sample := range vector {
		x := e.expander(r, sample, time.UnixMilli(told).UTC())
		f := &out[i]
		f.Labels, f.Annotations, f.Value = x.labels(sample.Metric), x.annotations(), alertd.Value(sample.F)
		of := k
		if of == nil {
			of = r.keys[r.partition.Scope(sample.Metric)]
		}
		if of != nil {
			f.Scope = of.scope
			f.Trace, f.TraceNote = of.exemplar(at, e.opts.LookbackDelta)
		} else {
			f.Scope = r.partition.Scope(sample.Metric)
		}
	}
	slices.SortFunc(out, byFinding)
	for i := 1; i < len(out); i++ {
		if labels.Equal(out[i-1].Labels, out[i].Labels) {
			return nil, duplicateLabels(out[i].Labels)
		}
	}
	return out, nil
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
		b.Set(l.name, x.expand(l.value))
	}
	b.Set(alertd.LabelAlert, x.r.meta.Name)
	return b.Labels()
}

func (x *expander) annotations() labels.Labels {
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
