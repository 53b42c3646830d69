package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/grouping"
)

const (
	maxGroupWait = time.Minute // that an alert may ask for
	maxAffected  = 30          // services that are named
)

// changeDue is when a group may tell of an alert that has just begun. An alert may ask a group that has not spoken yet
// to wait for others like it, as one that may have a cause in common with them does.
func (m *Machine) changeDue(g *grouping.Group, a *alertd.Alert) time.Time {
	due := g.ChangeDue(m.now, a.FiredAt)
	if !g.SpokeAt.IsZero() {
		return due
	}
	began := a.FiredAt
	if m.now.Before(began) {
		began = m.now
	}
	return alertd.Later(due, began.Add(groupWait(a)))
}

// firstOf is that of the alerts in a group which may be told first; false if there is none.
func (m *Machine) firstOf(g *grouping.Group, list []alertd.Fingerprint) (first *alertd.Alert, ok bool) {
	for _, fp := range list {
		if a := m.alerts.get(fp); a != nil && (first == nil || m.changeDue(g, a).Before(m.changeDue(g, first))) {
			first = a
		}
	}
	return first, first != nil
}

// groupWait is how long an alert asks its group to wait; 0 where it does not, or not in words that are understood.
func groupWait(a *alertd.Alert) time.Duration {
	text := a.Annotations.Get(alertd.AnnotationGroupWait)
	if text == "" {
		return 0
	}
	d, err := model.ParseDuration(strings.TrimSpace(text))
	if err != nil {
		return 0
	}
	return min(time.Duration(d), maxGroupWait)
}

// affect writes into the alerts that a group tells whom else they concern: the services of the alerts of the group that
// they hide. So a page about a cause names all that suffer from it, though nobody is paged for each of them.
func (m *Machine) affect(g *grouping.Group, alerts []alertd.Notified) {
	sources := map[alertd.Fingerprint]map[string]bool{} // → services
	for i := range alerts {
		if a := &alerts[i]; m.inhibitor.Has(a.Fingerprint) {
			sources[a.Fingerprint] = map[string]bool{}
		}
	}
	if len(sources) == 0 {
		return
	}
	for fp, member := range g.Members {
		if !member.Firing {
			continue
		}
		by, _, hidden := m.hiddenBy(fp)
		if services := sources[by]; hidden && services != nil {
			if service := m.alerts.get(fp).Service(); service != "" {
				services[service] = true
			}
		}
	}
	for i := range alerts {
		a := &alerts[i]
		names := slices.Sorted(maps.Keys(sources[a.Fingerprint]))
		if len(names) == 0 {
			continue
		}
		more := ""
		if over := len(names) - maxAffected; over > 0 {
			names, more = names[:maxAffected], fmt.Sprintf(" and %d more", over)
		}
		a.Annotations = labels.NewBuilder(a.Annotations).Set(alertd.AnnotationAffected, strings.Join(names, ", ")+more).Labels()
	}
}
