package app

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/ingest"
	"alertd/rules"
)

// aboutHealth are the alerting rules that read the samples of health events.
func aboutHealth(set *rules.Set) map[string]bool {
	found := map[string]bool{}
	for _, g := range set.Groups() {
		for _, d := range g.Rules {
			if d.Rule != nil && (slices.Contains(d.Metrics, ingest.MetricHealth) || slices.Contains(d.Metrics, ingest.MetricHealthCheck)) {
				found[d.Rule.ID] = true
			}
		}
	}
	return found
}

// explain gives what a rule about health has found the reason, where the services say one: the rule reads numbers, and the
// page wants to say "connection refused". It is the reason of now, so it goes into the verdict and with it into the journal.
func (ss services) explain(v *alertd.Verdict) {
	v.True = slices.Clone(v.True) // the evaluator's
	for i := range v.True {
		f := &v.True[i]
		why := ss.why(f.Labels)
		if why == "" {
			continue
		}
		said := f.Annotations
		f.Annotations = func() alertd.Labels {
			ls := said.Labels()
			if ls.Has(alertd.AnnotationReason) {
				return ls
			}
			return labels.NewBuilder(ls).Set(alertd.AnnotationReason, why).Labels()
		}
	}
}

// Bounds of a reason.
const (
	maxReasons = 3   // checks that it names
	maxReason  = 400 // bytes
)

// why are the errors of the checks that an alert with these labels is about: of its service, or of all services; of its
// check, or of all that are not healthy; and of its component, if it has one. The worst come first.
func (ss services) why(ls alertd.Labels) string {
	service, check, component := ls.Get(alertd.LabelService), ls.Get("check"), ls.Get(alertd.LabelComponent)
	if service == "" && component == "" {
		return "" // it is about everybody
	}
	type failing struct {
		name string
		alertd.HealthCheck
	}
	var found []failing
	look := func(name string, h *alertd.Health) {
		if env := ls.Get("environment"); h == nil || env != "" && env != h.Environment {
			return
		}
		for key, c := range h.Checks {
			if c.Error == "" || c.Status == alertd.Healthy || check != "" && check != key || component != "" && component != c.Component {
				continue
			}
			if service == "" {
				key = name
			}
			found = append(found, failing{key, c})
		}
	}
	if service != "" {
		look(service, ss[service])
	} else {
		for _, name := range slices.Sorted(maps.Keys(ss)) {
			look(name, ss[name])
		}
	}
	slices.SortFunc(found, func(a, b failing) int {
		if (a.Status == alertd.Unhealthy) != (b.Status == alertd.Unhealthy) {
			return cmp.Compare(b.Status, a.Status) // "unhealthy" before "degraded"
		}
		return cmp.Compare(a.name, b.name)
	})
	var parts []string
	for _, f := range found[:min(len(found), maxReasons)] {
		if check != "" {
			parts = append(parts, f.Error) // the alert names it already
			continue
		}
		parts = append(parts, f.name+": "+f.Error)
	}
	if len(found) > maxReasons {
		parts = append(parts, "…")
	}
	text := strings.Join(parts, "; ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
