package app

import (
	"encoding/json"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// cut divides entries into parts that are each no larger than a commit may be, as size sees it. It cuts before a
// transition, a flush, or what a limit decides: everything that follows from one stays with it, so whatever part the process
// dies behind, the rest is decided again. Only of why alerts were not told there may be any number; where nothing else follows, the reasons
// are cut among themselves. There is one part at least.
func cut(entries []alertd.Entry, limit int, size func(*alertd.Entry) int) [][]alertd.Entry {
	var parts [][]alertd.Entry
	begins := func(i int) bool {
		e := &entries[i]
		return e.Transition != nil || e.Flushed != nil || e.Admitted != nil || e.Planned != nil && len(e.Planned.Folds) > 0
	}
	onlyReasons := make([]bool, len(entries)+1) // from here to the next beginning
	onlyReasons[len(entries)] = true
	for i := range slices.Backward(entries) {
		onlyReasons[i] = entries[i].Withheld != nil && (onlyReasons[i+1] || begins(i+1))
	}
	total, start, safe, sinceSafe := 0, 0, 0, 0
	for i := range entries {
		n := size(&entries[i]) + 1
		if begins(i) || i > 0 && onlyReasons[i] && onlyReasons[i-1] {
			safe, sinceSafe = i, total
		}
		if total+n > limit && safe > start {
			parts = append(parts, entries[start:safe])
			start, total = safe, total-sinceSafe
			sinceSafe = 0
		}
		total += n
	}
	return append(parts, entries[start:])
}

// measure is how many bytes an entry has in the journal.
func measure(e *alertd.Entry) int {
	b, _ := json.Marshal(e) // whoever appends it finds what is wrong with it
	return len(b)
}

// weigh is about what measure is, for a hundredth of the price. Texts that JSON has to escape are longer than it thinks.
func weigh(e *alertd.Entry) int {
	const head = 60 // the entry's own time and name
	switch {
	case e.Transition != nil:
		return head + 60 + weighAlert(&e.Transition.Alert)
	case e.Joined != nil:
		j := e.Joined
		return head + 240 + len(j.Group) + weighLabels(j.GroupLabels) + len(j.Route) + len(j.Receiver)
	case e.Withheld != nil:
		w := e.Withheld
		return head + 120 + len(w.Group) + len(w.Receiver) + len(w.Reason) + len(w.By) + len(w.Detail)
	case e.Flushed != nil:
		f := e.Flushed
		return head + 90 + len(f.Group) + 19*(len(f.Told)+len(f.Closed)+len(f.Ended))
	case e.Planned != nil:
		n := &e.Planned.Notification
		size := head + 300 + len(n.Group) + weighLabels(n.GroupLabels)
		for i := range n.Alerts {
			size += 60 + weighAlert(&n.Alerts[i].Alert)
		}
		for _, key := range e.Planned.Groups {
			size += 12 + len(key)
		}
		for _, id := range e.Planned.Folds {
			size += 4 + len(id)
		}
		return size
	case e.Scheduled != nil:
		return head + 80 + len(e.Scheduled.Group)
	default:
		return measure(e) // there are few of these
	}
}

func weighAlert(a *alertd.Alert) int {
	size := 420 + len(a.Rule) + len(a.Scope) + len(a.RunbookURL) + len(a.TraceURL) + len(a.GeneratorURL) +
		weighLabels(a.Labels) + weighLabels(a.Annotations)
	for _, d := range a.Dashboards {
		size += 24 + len(d.Title) + len(d.URL)
	}
	return size
}

func weighLabels(ls alertd.Labels) (size int) {
	ls.Range(func(l labels.Label) { size += len(l.Name) + len(l.Value) + 6 })
	return size
}
