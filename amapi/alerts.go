package amapi

import (
	"cmp"
	"net/http"
	"slices"

	"alertd"
)

func (a *api) getAlerts(w http.ResponseWriter, r *http.Request) error {
	f, err := a.readAlertFilter(r)
	if err != nil {
		return err
	}
	all, err := a.o.State.Standing(r.Context())
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(s alertd.Standing) bool {
		return !f.wants(&s) || !f.anyReceiver() && !slices.ContainsFunc(s.Receivers, f.wantsReceiver)
	})
	slices.SortFunc(all, func(a, b alertd.Standing) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) })
	out := newWriter(w, a.o.Now())
	out.list(len(all), func(i int) { out.alert(&all[i]) })
	out.end()
	return nil
}

func (a *api) getGroups(w http.ResponseWriter, r *http.Request) error {
	f, err := a.readAlertFilter(r)
	if err != nil {
		return err
	}
	groups, err := a.o.State.Groups(r.Context())
	if err != nil {
		return err
	}
	groups = slices.DeleteFunc(groups, func(g alertd.GroupView) bool { return !f.wantsReceiver(g.Receiver) })
	for i := range groups {
		g := &groups[i]
		g.Alerts = slices.DeleteFunc(g.Alerts, func(s alertd.Standing) bool { return !f.wants(&s) })
		slices.SortFunc(g.Alerts, byPlace)
	}
	if !f.anyReceiver() {
		for i := range groups {
			for k := range groups[i].Alerts { // only those receivers are named that are asked for
				s := &groups[i].Alerts[k]
				s.Receivers = slices.DeleteFunc(slices.Clone(s.Receivers), func(name string) bool { return !f.wantsReceiver(name) })
			}
		}
	}
	groups = slices.DeleteFunc(groups, func(g alertd.GroupView) bool { return len(g.Alerts) == 0 || !f.muted && mutedWhole(g.Alerts) })
	slices.SortFunc(groups, func(a, b alertd.GroupView) int {
		return cmp.Or(alertd.CompareLabels(a.Labels, b.Labels), cmp.Compare(a.Receiver, b.Receiver), cmp.Compare(a.Key, b.Key))
	})
	out := newWriter(w, a.o.Now())
	out.list(len(groups), func(i int) {
		g := &groups[i]
		out.raw(`{"alerts":`)
		out.list(len(g.Alerts), func(i int) { out.alert(&g.Alerts[i]) })
		out.raw(`,"labels":`)
		out.labels(g.Labels)
		out.raw(`,"receiver":`)
		out.name(g.Receiver)
		out.raw(`,"routeLabels":`)
		out.labels(g.RouteLabels)
		out.raw(`}`)
	})
	out.end()
	return nil
}

// mutedWhole reports whether a time interval or a calendar keeps a whole group quiet.
func mutedWhole(all []alertd.Standing) bool {
	return !slices.ContainsFunc(all, func(s alertd.Standing) bool { return len(s.MutedBy) == 0 })
}

// byPlace is the order in which Alertmanager shows a group: by job and instance, those without last, then by all labels.
func byPlace(a, b alertd.Standing) int {
	for _, name := range []string{"job", "instance"} {
		x, y := a.Labels.Get(name), b.Labels.Get(name)
		switch {
		case x == y:
		case x == "":
			return 1
		case y == "":
			return -1
		default:
			return cmp.Compare(x, y)
		}
	}
	return alertd.CompareLabels(a.Labels, b.Labels)
}
