package web

import (
	"cmp"
	"fmt"
	"slices"

	"alertd"
)

// held says where an alert waits.
type held struct {
	Until    moment
	In       string
	Receiver string
	Why      string
}

// release is what leaves together.
type release struct {
	Until         moment
	In            string
	Receiver, Why string
	Alerts        []waiting
	ID            string   // for the browser
	Digests       []digest // what leaves, as it would be now
}

type waiting struct {
	Level, Name, Service string
	N                    int  // so many of them
	Over                 bool // resolved while it waited
}

// waiting groups what leaves together, first due first, and notes in waits where each alert waits.
func (s *seen) waiting(waits map[alertd.Fingerprint]*held) (out []release, ended, more int) {
	all, drafts := s.byRelease(), digests(s.drafts)
	type key struct {
		until         int64
		receiver, why string
	}
	var last key
	listed := 0
	for _, h := range all {
		until, in := s.moment(h.Until, h.Calendar), until(h.Until.Sub(s.now))
		if waits[h.Alert.Fingerprint] == nil {
			waits[h.Alert.Fingerprint] = &held{Until: until, In: in, Receiver: clip(h.Receiver, maxChip), Why: clip(h.Why(), maxChip)}
		}
		if !s.filter.waits(h) {
			continue
		}
		done := !h.Alert.State.Active()
		if done {
			ended++
		}
		if listed == maxHeld {
			more++
			continue
		}
		listed++
		k := key{h.Until.UnixNano(), h.Receiver, h.Why()}
		if len(out) == 0 || k != last {
			b := batchOf(h.Receiver, h.Calendar, h.Until)
			out, last = append(out, release{
				Until: until, In: in, Receiver: clip(h.Receiver, maxChip), Why: clip(k.why, maxChip),
				ID: fmt.Sprint("digest-", len(out)), Digests: drafts[b],
			}), k
			delete(drafts, b) // what waits for other reasons leaves with it, and is told once
		}
		r := &out[len(out)-1]
		w := waiting{levelOf(h.Alert.Severity()), clip(h.Alert.Name(), maxChip), clip(h.Alert.Service(), maxChip), 1, done}
		if n := len(r.Alerts); n > 0 {
			if same := r.Alerts[n-1]; same.Name == w.Name && same.Service == w.Service && same.Over == w.Over && same.Level == w.Level {
				r.Alerts[n-1].N++
				continue
			}
		}
		r.Alerts = append(r.Alerts, w)
	}
	return out, ended, more
}

// byRelease are those that wait in the order in which people hear of them. What is compared is looked up once for each, since
// there may be thousands.
func (s *seen) byRelease() []*alertd.Held {
	type entry struct {
		*alertd.Held
		rank, over         int
		why, name, service string
	}
	all := make([]entry, len(s.held))
	for i := range s.held {
		h := &s.held[i]
		all[i] = entry{h, h.Alert.Severity().Rank(), order(h.Alert.State), h.Why(), h.Alert.Name(), h.Alert.Service()}
	}
	slices.SortFunc(all, func(a, b entry) int {
		if c := cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Receiver, b.Receiver), cmp.Compare(a.why, b.why), cmp.Compare(a.rank, b.rank)); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.service, b.service), cmp.Compare(a.over, b.over),
			cmp.Compare(a.Alert.Fingerprint, b.Alert.Fingerprint), cmp.Compare(a.Group, b.Group))
	})
	out := make([]*alertd.Held, len(all))
	for i := range all {
		out[i] = all[i].Held
	}
	return out
}
