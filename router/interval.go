package router

import (
	"strings"
	"time"

	"github.com/prometheus/alertmanager/timeinterval"
)

// Intervals are the named time intervals. Those of one name are alternatives: any of them suffices.
type Intervals map[string][]timeinterval.TimeInterval

// lookahead bounds the search for the end of a mute: by then somebody looks again.
const lookahead = 8 * 24 * time.Hour

// Muted reports whether a route with these intervals is silent at now: one of mute contains now, or active is not
// empty and none of it does. Then by names the interval (or the active ones, joined by commas) and until is the
// first whole minute at which it is no longer silent, at most 8 days ahead; where it would be silent for longer,
// until is now plus 8 days. Instants are UTC.
//
// Names that do not exist are skipped: a reload that drops an interval must not keep anything silent.
func (iv Intervals) Muted(now time.Time, mute, active []string) (by string, until time.Time, muted bool) {
	now = now.UTC().Round(0)
	by, muted = iv.mutedAt(now, mute, active)
	if !muted {
		return "", time.Time{}, false
	}
	limit := now.Add(lookahead)
	for at := now.Truncate(time.Minute); ; {
		at = iv.nextChange(at, mute, active)
		if !at.Before(limit) {
			return by, limit, true
		}
		if _, still := iv.mutedAt(at, mute, active); !still {
			return by, at, true
		}
	}
}

func (iv Intervals) mutedAt(t time.Time, mute, active []string) (by string, muted bool) {
	for _, name := range mute {
		if iv.contains(name, t) {
			return name, true
		}
	}
	known := active[:0:0]
	for _, name := range active {
		if _, ok := iv[name]; !ok {
			continue
		}
		if iv.contains(name, t) {
			return "", false
		}
		known = append(known, name)
	}
	return strings.Join(known, ", "), len(known) > 0
}

func (iv Intervals) contains(name string, t time.Time) bool {
	for _, ti := range iv[name] {
		// The library counts the days of a month by dividing its hours by 24, which is one short in a zone that
		// springs forward in it. Without a location it is right: so it gets the local wall time as if in UTC.
		wall := t.In(location(ti))
		y, m, d := wall.Date()
		ti.Location = nil
		if ti.ContainsTime(time.Date(y, m, d, wall.Hour(), wall.Minute(), 0, 0, time.UTC)) {
			return true
		}
	}
	return false
}

// nextChange returns an instant after t before which none of the intervals begins or ends: the nearest of their
// times of day, midnights and clock changes. It spares the search from looking at every minute.
func (iv Intervals) nextChange(t time.Time, names ...[]string) time.Time {
	next := t.Add(24 * time.Hour)
	for _, list := range names {
		for _, name := range list {
			for _, ti := range iv[name] {
				if at := nextBoundary(ti, t); at.Before(next) {
					next = at
				}
			}
		}
	}
	return next
}

// nextBoundary is nextChange for one interval. t is a whole minute.
func nextBoundary(ti timeinterval.TimeInterval, t time.Time) time.Time {
	local := t.In(location(ti))
	minute := local.Hour()*60 + local.Minute()
	boundary := 24 * 60
	for _, r := range ti.Times {
		for _, m := range []int{r.StartMinute, r.EndMinute} {
			if m > minute && m < boundary {
				boundary = m
			}
		}
	}
	at := t.Add(time.Duration(boundary-minute) * time.Minute)
	// The wall clock runs evenly only up to the next change of the offset.
	// (On 31 December of a leap year far ahead the library gives a bound that is over already.)
	if _, end := local.ZoneBounds(); end.After(t) && end.Before(at) {
		at = end.UTC()
		if whole := at.Truncate(time.Minute); whole.Before(at) {
			at = whole.Add(time.Minute)
		}
	}
	return at
}

func location(ti timeinterval.TimeInterval) *time.Location {
	if ti.Location == nil {
		return time.UTC
	}
	return ti.Location.Location
}
