package ingest

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// labelSet collects the labels of one event.
type labelSet struct {
	builder labels.ScratchBuilder
	names   []string
}

func (d *Decoder) newSet(metric string) *labelSet {
	d.set.builder.Reset()
	d.set.names = d.set.names[:0]
	if metric != "" {
		d.set.builder.Add(alertd.LabelMetric, metric)
	}
	return &d.set
}

// add adds a label that is known to be good. An empty value is no label.
func (s *labelSet) add(name, value string) {
	if value != "" {
		s.builder.Add(name, value)
	}
}

func (s *labelSet) addField(f field) *fault {
	value, ok := f.text()
	switch {
	case !ok:
		return faultf(f.at, "the label %q is %s; it must be a string", short(f.key), describe(f.raw))
	case f.key == "":
		return faultf(f.at, "a label has no name")
	case f.key == alertd.LabelMetric:
		return faultf(f.at, `the label %s is the metric's name; write it as "name" of the event`, alertd.LabelMetric)
	case len(f.key) > MaxName:
		return faultf(f.at, "the name of a label has %d bytes, more than %d", len(f.key), MaxName)
	case len(value) > MaxText:
		return faultf(f.at, "the label %q has %d bytes, more than %d", short(f.key), len(value), MaxText)
	case slices.Contains(s.names, f.key):
		return faultf(f.at, "the label %q comes twice", short(f.key))
	}
	if value != "" { // {service=""} leaves room for the subject's, as a label that is not there
		s.names = append(s.names, f.key)
	}
	s.add(f.key, value)
	return nil
}

func (s *labelSet) has(name string) bool { return slices.Contains(s.names, name) }

func (s *labelSet) labels() alertd.Labels {
	s.builder.Sort()
	return s.builder.Labels()
}
