package healthpoll

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	minFleet   = 5  // fewer targets than that say nothing about the poller
	minAsked   = 4  // targets asked since the first miss, before it counts
	guardRange = 60 // seconds that are remembered one by one
	maxHold    = 30 * time.Second
)

// doubt is how likely it is that targets cannot be reached because of the poller's own host or network.
type doubt int

const (
	sure       doubt = iota // it is the target
	suspicious              // too early to say
	blind                   // it is us: more than half of the targets cannot be reached
)

// guard watches over all targets together. Safe for concurrent use.
type guard struct {
	mu      sync.Mutex
	fleet   int            // targets that the poller itself has to reach
	failing map[string]int // those whose last answer did not come, by the first word of the reason
	failed  int            // their number
	ring    [guardRange]tally
}

// tally counts the questions of one second, each target once in its interval.
type tally struct {
	second        int64
	asked, missed int
}

// note takes an answer. before and word are the reasons, last time and this time, why the target was not reached; ""
// if it was. Questions that only confirm do not count for the share.
func (g *guard) note(before, word string, confirms bool, now time.Time) (changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.blind()
	g.move(before, word)
	if !confirms {
		t := &g.ring[now.Unix()%guardRange]
		if t.second != now.Unix() {
			*t = tally{second: now.Unix()}
		}
		t.asked++
		if word != "" {
			t.missed++
		}
	}
	return g.blind() != was
}

// resize takes how many targets there are now, and the reasons of those that went.
func (g *guard) resize(fleet int, gone []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fleet = fleet
	for _, word := range gone {
		g.move(word, "")
	}
}

func (g *guard) move(before, after string) {
	if before == after {
		return
	}
	if g.failing == nil {
		g.failing = map[string]int{}
	}
	if before != "" {
		g.failed--
		if g.failing[before]--; g.failing[before] == 0 {
			delete(g.failing, before)
		}
	}
	if after != "" {
		g.failed++
		g.failing[after]++
	}
}

func (g *guard) blind() bool { return g.fleet >= minFleet && 2*g.failed > g.fleet }

// judge says of a target that cannot be reached since first whether that is its own fault. What was asked since then
// is the evidence, but for what was asked in the same second, perhaps before. It takes an interval until all targets were
// asked, or two where the machine is busy, so for at most that long it may be too early to say.
func (g *guard) judge(first, now time.Time, interval time.Duration) doubt {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.fleet < minFleet:
		return sure
	case g.blind():
		return blind
	case now.Sub(first) >= min(2*interval, maxHold):
		return sure
	}
	asked, missed := 0, 0
	for _, t := range g.ring {
		if first.Unix() < t.second && t.second <= now.Unix() {
			asked, missed = asked+t.asked, missed+t.missed
		}
	}
	if asked < minAsked || 2*missed > asked {
		return suspicious
	}
	return sure
}

// reason says why the poller is blind, "" if it is not.
func (g *guard) reason() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.blind() {
		return ""
	}
	var parts []string
	for _, word := range slices.SortedFunc(maps.Keys(g.failing), func(a, b string) int {
		return cmp.Or(g.failing[b]-g.failing[a], strings.Compare(a, b))
	}) {
		parts = append(parts, fmt.Sprintf("%s %d", word, g.failing[word]))
	}
	return fmt.Sprintf("blind: %d of %d targets cannot be reached (%s); look at the network and DNS of alertd's own host first",
		g.failed, g.fleet, strings.Join(parts, ", "))
}

// unreached is how many targets did not answer last time.
func (g *guard) unreached() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}
