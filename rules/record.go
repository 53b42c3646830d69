package rules

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"

	"alertd"
)

// record evaluates a recording rule and puts its series into the window, where the next rules of the group see
// them. A series that is no longer there is marked stale. It returns why it failed, or "".
func (e *Evaluator) record(r *ruleRun, at int64, now time.Time) (failed string) {
	e.counts.Whole++
	vector, err := e.query(view{window: e.window, rule: r}, r.text, at)
	if limit := r.group.limit; err == nil && limit > 0 && len(vector) > limit {
		err = overLimit(len(vector), limit)
	}
	if err == nil {
		err = e.recordVector(r, vector, at, now)
	}
	if err != nil {
		e.counts.Errors++
		return err.Error()
	}
	return ""
}

func (e *Evaluator) recordVector(r *ruleRun, vector promql.Vector, at int64, now time.Time) error {
	var (
		builder = labels.NewBuilder(labels.EmptyLabels())
		fresh   = make(map[uint64]labels.Labels, len(vector))
		samples = make([]alertd.Sample, 0, len(vector))
		refused error // as by Prometheus, and the others are stored

		discarded []uint64
	)
	for _, el := range vector {
		builder.Reset(el.Metric)
		builder.Set(alertd.LabelMetric, r.record)
		for _, l := range r.labels {
			builder.Set(l.name, l.value)
		}
		ls := builder.Labels()
		if _, ok := fresh[ls.Hash()]; ok {
			return duplicateLabels(ls)
		}
		fresh[ls.Hash()] = ls
		if el.H != nil {
			if err := el.H.Validate(); err != nil { // less than nothing in a bucket, as delta() may find
				refused = fmt.Errorf("%s is not stored: %w", ls, err)
				discarded = append(discarded, ls.Hash())
				continue
			}
		}
		samples = append(samples, alertd.Sample{Labels: ls, T: at, V: el.F, H: el.H})
	}
	for _, hash := range discarded {
		delete(fresh, hash)
	}
	for hash, ls := range r.recorded {
		if _, ok := fresh[hash]; !ok {
			samples = append(samples, alertd.Sample{Labels: ls, T: at, V: math.Float64frombits(value.StaleNaN)})
		}
	}
	r.recorded = fresh
	slices.SortFunc(samples, func(a, b alertd.Sample) int { return labels.Compare(a.Labels, b.Labels) })
	if e.hear != nil {
		e.hear(samples)
	}
	e.Append(now, 0, samples)
	return refused
}

func duplicateLabels(ls labels.Labels) error {
	return fmt.Errorf("two results have the same labels %s: let the expression keep the label that tells them apart", ls)
}
