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
	"github.com/prometheus/prometheus/promql/parser"
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
			f.Scope, f.Trace = of.scope, of.trace(at, e.opts.LookbackDelta)
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

// trace chooses the trace to show for a key. The selector that stands first in the expression goes first: in a ratio
// that is what went wrong, not the total. Of its traces one that somebody keeps is preferred, then that of the
// worst value, which is the highest unless the rule asks for values below a limit, then the newest. Below a range,
// as in rate(), single values say little, so there the newest is taken.
func (k *key) trace(at int64, delta time.Duration) (best alertd.TraceRef) {
	low := asksForLess(k.rule.expr)
	for i, u := range k.rule.uses {
		var chosen exemplar
		from := at - u.lookBack(delta).Milliseconds()
		for _, s := range k.sorted(i) {
			for _, x := range s.traces {
				if x.t > from && x.t <= at && (chosen.trace.IsZero() || better(x, chosen, u.ranged, low)) {
					chosen = x
				}
			}
		}
		if best.IsZero() || best.Unsampled && !chosen.trace.IsZero() && !chosen.trace.Unsampled {
			best = chosen.trace
		}
		if !best.IsZero() && !best.Unsampled {
			break
		}
	}
	return best
}

func better(a, b exemplar, ranged, low bool) bool {
	switch {
	case a.trace.Unsampled != b.trace.Unsampled:
		return b.trace.Unsampled
	case ranged || a.v == b.v:
		return a.t > b.t
	default:
		return a.v > b.v != low
	}
}

// asksForLess reports whether the outermost comparison is < or <= with the series on the left.
func asksForLess(expr parser.Expr) bool {
	for {
		p, ok := expr.(*parser.ParenExpr)
		if !ok {
			break
		}
		expr = p.Expr
	}
	b, ok := expr.(*parser.BinaryExpr)
	return ok && (b.Op == parser.LSS || b.Op == parser.LTE)
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
