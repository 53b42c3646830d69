package calendar

import (
	"fmt"
	"time"
)

// loadZone refuses what would make the answer depend on the machine.
func loadZone(name string) (*time.Location, error) {
	switch name {
	case "":
		return nil, fmt.Errorf("the time zone is missing; write an IANA name such as Europe/Berlin, or UTC")
	case "Local":
		return nil, fmt.Errorf("time zone %q differs from machine to machine; write an IANA name such as Europe/Berlin, or UTC", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("unknown time zone %q; write an IANA name such as Europe/Berlin, or UTC", name)
	}
	return zone, nil
}

// reach is more than any zone was ever away from UTC, twice: it covers all instants that can show a wall time.
const reach = 36 * time.Hour

// time.Date is no help here: what it makes of a wall time that a zone skips or repeats differs from zone to
// zone. So both functions below look at the stretches of constant offset themselves. In such a stretch the wall
// clock runs evenly, and a wall time w is shown at the instant w - offset.

// firstAtOrAfter returns the first instant at which zone's clock shows so many minutes after d's midnight, or later.
func firstAtOrAfter(d date, minutes int, zone *time.Location) time.Time {
	wall := d.utc(minutes)
	for at := wall.Add(-reach); ; {
		start, end, offset := stretch(at, zone)
		first := wall.Add(-offset)
		if first.Before(start) {
			first = start
		}
		if end.IsZero() || first.Before(end) {
			return first
		}
		at = end
	}
}

// lastAtOrBefore returns the last instant at which zone's clock shows so many minutes after d's midnight, or less.
// In a gap that is the gap itself, which is the first instant after it.
func lastAtOrBefore(d date, minutes int, zone *time.Location) time.Time {
	wall := d.utc(minutes)
	for at := wall.Add(reach); ; {
		start, end, offset := stretch(at, zone)
		last := wall.Add(-offset)
		if !end.IsZero() && last.After(end) {
			last = end
		}
		if start.IsZero() || !last.Before(start) {
			return last
		}
		at = start.Add(-time.Nanosecond)
	}
}

// stretch returns the bounds in UTC between which zone keeps the offset that it has at t. A zero bound is none.
func stretch(t time.Time, zone *time.Location) (start, end time.Time, offset time.Duration) {
	local := t.In(zone)
	start, end = local.ZoneBounds()
	_, seconds := local.Zone()
	if !start.IsZero() {
		start = start.UTC()
	}
	if !end.IsZero() && !end.After(t) {
		// Far ahead, where zones have rules and no tables, the library ends the year on the 365th day: on 31 December of
		// a leap year the bound lies behind. No zone changes its offset around that day.
		_, end = local.AddDate(0, 0, 2).ZoneBounds()
	}
	if !end.IsZero() {
		end = end.UTC()
	}
	return start, end, time.Duration(seconds) * time.Second
}
