package engine

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"
	"time"

	"alertd"
)

// remember is how long a resolved alert is kept after it was resolved and told. In that time an event that
// arrives late, or again, cannot raise it from the dead. Prometheus keeps resolved alerts as long
// (rules/alerting.go, resolvedRetention).
const remember = 15 * time.Minute

// alerts holds every alert that is not inactive, by fingerprint and by the scope of the rule that yields it.
type alerts struct {
	byPrint map[alertd.Fingerprint]*alertd.Alert
	byScope map[scopeKey]map[alertd.Fingerprint]*alertd.Alert
	byRule  map[string]map[alertd.Fingerprint]*alertd.Alert
	expiry  expiryHeap
	alive   map[alertd.Fingerprint]time.Time // posted again: until then. Not state, see posted.go
	latest  map[alertd.Fingerprint]latest    // what was found since the last transition. Not state, see latest.go
	over    []farewell                       // resolved, in the order in which they may be forgotten
	bye     map[alertd.Fingerprint]time.Time // the latest farewell of each: the one that counts
	before  episodes                         // of what fired again, forgotten with it
}

type scopeKey struct{ rule, scope string }

// farewell says that an alert may be forgotten at an instant, if it is still resolved then.
type farewell struct {
	Fingerprint alertd.Fingerprint `json:"fingerprint"`
	At          time.Time          `json:"at"`
}

func newAlerts() *alerts {
	return &alerts{
		byPrint: map[alertd.Fingerprint]*alertd.Alert{},
		byScope: map[scopeKey]map[alertd.Fingerprint]*alertd.Alert{},
		byRule:  map[string]map[alertd.Fingerprint]*alertd.Alert{},
		bye:     map[alertd.Fingerprint]time.Time{},
		before:  episodes{},
		alive:   map[alertd.Fingerprint]time.Time{},
		latest:  map[alertd.Fingerprint]latest{},
	}
}

// get returns an alert, or nil. The caller must not change it.
func (as *alerts) get(fp alertd.Fingerprint) *alertd.Alert { return as.byPrint[fp] }

// sorted returns all alerts in the order of their fingerprints.
func (as *alerts) sorted() []*alertd.Alert { return inOrder(as.byPrint) }

// within returns the alerts of one scope of a rule, or of all its scopes if scope is "", in order.
func (as *alerts) within(rule, scope string) []*alertd.Alert {
	if scope == "" {
		return inOrder(as.byRule[rule])
	}
	return inOrder(as.byScope[scopeKey{rule, scope}])
}

func inOrder(set map[alertd.Fingerprint]*alertd.Alert) []*alertd.Alert {
	if len(set) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Values(set), byFingerprint)
}

func byFingerprint(a, b *alertd.Alert) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) }

// put stores an alert as it is now, which nobody may change afterwards; an inactive one is forgotten at once.
func (as *alerts) put(at time.Time, a *alertd.Alert) {
	as.drop(a.Fingerprint)
	if a.State == alertd.Inactive {
		if as.bye[a.Fingerprint].IsZero() {
			delete(as.before, a.Fingerprint)
		}
		return
	}
	as.byPrint[a.Fingerprint] = a
	add(as.byRule, a.Rule, a)
	add(as.byScope, scopeKey{a.Rule, a.Scope}, a)
	if !a.Expires.IsZero() && a.State != alertd.Resolved {
		heap.Push(&as.expiry, expiry{a.Fingerprint, a.Expires})
	}
	if a.State == alertd.Resolved {
		as.part(farewell{a.Fingerprint, at.Add(remember)})
	}
}

func (as *alerts) drop(fp alertd.Fingerprint) {
	delete(as.latest, fp)
	a := as.byPrint[fp]
	if a == nil {
		return
	}
	delete(as.byPrint, fp)
	remove(as.byRule, a.Rule, fp)
	remove(as.byScope, scopeKey{a.Rule, a.Scope}, fp)
	// What it has in expiry stays there until it comes up, see nextExpiry.
}

func add[K comparable](index map[K]map[alertd.Fingerprint]*alertd.Alert, key K, a *alertd.Alert) {
	if index[key] == nil {
		index[key] = map[alertd.Fingerprint]*alertd.Alert{}
	}
	index[key][a.Fingerprint] = a
}

func remove[K comparable](index map[K]map[alertd.Fingerprint]*alertd.Alert, key K, fp alertd.Fingerprint) {
	if delete(index[key], fp); len(index[key]) == 0 {
		delete(index, key)
	}
}

// release says that an alert has left a group: if it is over, its time to be forgotten starts anew.
func (as *alerts) release(at time.Time, fp alertd.Fingerprint) {
	if a := as.byPrint[fp]; a != nil && a.State == alertd.Resolved {
		as.part(farewell{fp, at.Add(remember)})
	}
}

func (as *alerts) part(f farewell) {
	as.over = append(as.over, f)
	as.bye[f.Fingerprint] = f.At
}

// forget drops what has been over for long enough and is in no group any more.
func (as *alerts) forget(at time.Time, grouped func(alertd.Fingerprint) bool) {
	for len(as.over) > 0 && !at.Before(as.over[0].At) {
		f := as.over[0]
		as.over = as.over[1:]
		if !as.bye[f.Fingerprint].Equal(f.At) {
			continue
		}
		delete(as.bye, f.Fingerprint)
		a := as.byPrint[f.Fingerprint]
		if a != nil && (a.State != alertd.Resolved || grouped(f.Fingerprint)) {
			continue
		}
		as.drop(f.Fingerprint)
		delete(as.before, f.Fingerprint)
	}
}

// nextExpiry is when the next standing alert expires; false if none does.
func (as *alerts) nextExpiry() (time.Time, bool) {
	for len(as.expiry) > 0 {
		top := &as.expiry[0]
		a := as.byPrint[top.Fingerprint]
		if a == nil || a.Expires.IsZero() || a.State == alertd.Resolved {
			heap.Pop(&as.expiry)
			delete(as.alive, top.Fingerprint)
			continue
		}
		due := alertd.Later(a.Expires, as.alive[a.Fingerprint])
		if due.Equal(top.At) {
			return due, true
		}
		top.At = due // it was given more time, or less, since it was put here
		heap.Fix(&as.expiry, 0)
	}
	return time.Time{}, false
}

// expired takes the alert that nextExpiry speaks of.
func (as *alerts) expired() *alertd.Alert { return as.byPrint[as.expiry[0].Fingerprint] }

// expiry says that an alert stands until an instant, unless it has changed since.
type expiry struct {
	Fingerprint alertd.Fingerprint
	At          time.Time
}

type expiryHeap []expiry

func (h expiryHeap) Len() int { return len(h) }

func (h expiryHeap) Less(i, j int) bool {
	if c := h[i].At.Compare(h[j].At); c != 0 {
		return c < 0
	}
	return h[i].Fingerprint < h[j].Fingerprint
}

func (h expiryHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *expiryHeap) Push(x any)   { *h = append(*h, x.(expiry)) }

func (h *expiryHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
