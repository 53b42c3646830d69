package rules

import (
	"math"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"alertd"
)

// wordings are the annotations of a key's last result, where they may be those of the next. The key of a rule that is
// evaluated whole may have thousands.
type wordings struct {
	list   []worded
	places map[uint64]int // in the list, by the hash of the labels; nil: the list is short
}

// worded is an element of a result, not a histogram, and its annotations.
type worded struct {
	metric labels.Labels // templates see these, and not the final labels
	value  float64
	text   alertd.Annotations
}

// short is up to how many elements are looked through one by one.
const short = 8

// next are the wordings after another result. They take the place of the old ones, which are nil for a key that had none.
func (w *wordings) next(vector promql.Vector, findings []alertd.Finding) *wordings {
	if w == nil {
		w = new(wordings)
	}
	w.list, w.places = w.list[:0], nil
	for i, sample := range vector {
		if sample.H == nil {
			w.list = append(w.list, worded{sample.Metric, sample.F, findings[i].Annotations})
		}
	}
	if len(w.list) > short {
		w.places = make(map[uint64]int, len(w.list))
		for i := range w.list {
			w.places[w.list[i].metric.Hash()] = i
		}
	}
	return w
}

// of are the annotations of an element with these labels and this value; nil if the last result had none such.
func (w *wordings) of(metric labels.Labels, v float64) alertd.Annotations {
	if w == nil {
		return nil
	}
	list := w.candidates(metric)
	for i := range list {
		if x := &list[i]; math.Float64bits(x.value) == math.Float64bits(v) && labels.Equal(x.metric, metric) {
			return x.text
		}
	}
	return nil
}

// candidates are a few of which one may have the labels, and nobody else. Of two with the same hash one is forgotten, which
// costs no more than expanding its texts again.
func (w *wordings) candidates(metric labels.Labels) []worded {
	if w.places == nil {
		return w.list
	}
	if i, ok := w.places[metric.Hash()]; ok {
		return w.list[i : i+1]
	}
	return nil
}
