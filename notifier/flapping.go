package notifier

import (
	"slices"

	"alertd"
)

// Restless takes the alerts that come and go out of those of a digest that fire and those that are over: it has a section
// of its own for them, the firing ones first. Every other notification tells them among the others.
func Restless(n *alertd.Notification, firing, resolved []alertd.Notified) (steady, over, flapping []alertd.Notified) {
	if !n.Digest || len(n.Alerts)+n.Truncated == 1 {
		return firing, resolved, nil
	}
	flaps := func(a alertd.Notified) bool { return a.Changes > 0 }
	for _, a := range slices.Concat(firing, resolved) {
		if flaps(a) {
			flapping = append(flapping, a)
		}
	}
	return slices.DeleteFunc(slices.Clone(firing), flaps), slices.DeleteFunc(slices.Clone(resolved), flaps), flapping
}
