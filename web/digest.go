package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"alertd"
	"alertd/notifier"
)

// maxPreviewed bounds the alerts that wait of which a digest is shown: to make one costs the loop that decides as much as to send it.
const maxPreviewed = 1000

// maxTold bounds the alerts of one list of a digest.
const maxTold = 20

// digest is what leaves with a release, as it would be now.
type digest struct {
	To    string // destinations; "": nothing would be sent
	Title string
	Lists []digestList
	Left  string // what is held and not told in it
}

// digestList is one list of a digest.
type digestList struct {
	Title string
	Lines []line
	More  int
}

type line struct{ Level, Name, Service, Text string }

// batch tells digests apart, and what waits for which.
type batch struct {
	receiver, calendar string
	until              int64
}

func batchOf(receiver, calendar string, until time.Time) batch {
	return batch{receiver, calendar, until.UnixNano()}
}

// digests are the drafts as they would be read, in the order of their destinations; those that say the same are one.
func digests(drafts []alertd.Draft) map[batch][]digest {
	out := map[batch][]digest{}
	for i := range drafts {
		d := &drafts[i]
		var all []digest
		for j := range d.Messages {
			one := digestOf(&d.Messages[j])
			if n := len(all); n > 0 && one.says(&all[n-1]) {
				all[n-1].To += ", " + one.To
				continue
			}
			all = append(all, one)
		}
		if len(all) == 0 {
			all = []digest{{}}
		}
		all[0].Left = omitted(d.Omitted)
		key := batchOf(d.Receiver, d.Calendar, d.Until)
		out[key] = append(out[key], all...)
	}
	return out
}

func (d *digest) says(other *digest) bool {
	same := func(a, b digestList) bool {
		return a.Title == b.Title && a.More == b.More && slices.Equal(a.Lines, b.Lines)
	}
	return d.Title == other.Title && slices.EqualFunc(d.Lists, other.Lists, same)
}

func digestOf(n *alertd.Notification) digest {
	firing, resolved := notifier.Split(n)
	steady, over, flapping := notifier.Restless(n, firing, resolved)
	d := digest{To: clip(n.Integration, maxChip), Title: notifier.Title(n)}
	for _, l := range []struct {
		title string
		of    []alertd.Notified
	}{{"Still firing", steady}, {"Resolved while held", over}, {"Flapping", flapping}} {
		if len(l.of) == 0 {
			continue
		}
		list := digestList{Title: l.title, More: max(len(l.of)-maxTold, 0)}
		for i := range l.of[:len(l.of)-list.More] {
			list.Lines = append(list.Lines, lineOf(&l.of[i]))
		}
		d.Lists = append(d.Lists, list)
	}
	if n.Truncated > 0 {
		d.Lists = append(d.Lists, digestList{More: n.Truncated})
	}
	return d
}

func lineOf(a *alertd.Notified) line {
	l := line{Level: levelOf(a.Severity()), Name: clip(notifier.Name(&a.Alert), maxChip), Service: clip(a.Service(), maxChip)}
	if !a.State.Active() {
		l.Level, l.Text = "ok", "lasted "+span(notifier.Ended(&a.Alert).Sub(notifier.Began(&a.Alert)))
	} else if s := a.Summary(); s != a.Name() {
		l.Text = clip(s, maxChip)
	}
	return l
}

// omitted says what is held and not told: "DiskUsageHigh of db (silenced), and 3 more".
func omitted(all []alertd.Held) string {
	var names []string
	for i := range all[:min(len(all), maxUnfolded)] {
		name := clip(all[i].Alert.Name(), maxChip)
		if service := all[i].Alert.Service(); service != "" {
			name += " of " + clip(service, maxChip)
		}
		names = append(names, fmt.Sprintf("%s (%s)", name, all[i].Reason))
	}
	s := strings.Join(names, ", ")
	if more := len(all) - len(names); more > 0 {
		s += fmt.Sprintf(", and %d more", more)
	}
	return s
}
