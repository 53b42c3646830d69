package calendar

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Recurrence is a window that opens again and again. It is immutable and safe for concurrent use.
//
// The cron expression speaks of the wall clock of the zone, the duration of time that passes. A beginning that the
// zone's clock skips counts as soon as the clock has been set; one that the clock shows twice counts the first time.
type Recurrence struct {
	spec *cron.SpecSchedule
	zone *time.Location
	d    time.Duration
}

// maxWindow bounds the length of one window. What lasts longer is better said with a beginning and an end.
const maxWindow = 7 * 24 * time.Hour

// NewRecurrence reads a cron expression of five fields or a word such as @daily. The zone is an IANA name. The error
// says what is wrong and what to write.
func NewRecurrence(expr string, d time.Duration, zone string) (*Recurrence, error) {
	loc, err := loadZone(zone)
	if err != nil {
		return nil, err
	}
	if strings.Contains(expr, "=") { // the library reads "TZ=…" and panics where nothing follows it
		return nil, fmt.Errorf("cron expression %q: the zone is said beside it, not in it", expr)
	}
	s, err := cron.ParseStandard(expr)
	if err != nil {
		return nil, fmt.Errorf("cron expression %q: %w; write minute, hour, day, month and weekday, as in \"0 2 * * sat\"", expr, err)
	}
	spec, ok := s.(*cron.SpecSchedule)
	if !ok { // @every counts from nowhere
		return nil, fmt.Errorf("cron expression %q names no hours; write for example \"0 */2 * * *\"", expr)
	}
	if d < time.Minute || d > maxWindow {
		return nil, fmt.Errorf("a window lasts from 1m to 7d, not %s", d)
	}
	spec.Location = time.UTC // it is asked about wall times, see opening
	r := &Recurrence{spec, loc, d}
	return r, r.sensible(expr)
}

// sensible refuses what never opens, or never closes.
func (r *Recurrence) sensible(expr string) error {
	const looked = 1000
	from := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Second) // a leap year begins
	last := r.spec.Next(from)
	if last.IsZero() {
		return fmt.Errorf("cron expression %q names no day that there is", expr)
	}
	for range looked {
		next := r.spec.Next(last)
		if next.IsZero() {
			return nil
		}
		if next.Sub(last) < r.d {
			return fmt.Errorf("cron expression %q opens a window while the one before it, of %s, is not over; make the windows shorter, or do without them", expr, r.d)
		}
		last = next
	}
	return nil
}

// Window returns the window that t is in, else the next one: from start, which belongs to it, to end, which does not.
// Both are zero if there is none within five years.
func (r *Recurrence) Window(t time.Time) (start, end time.Time) {
	wall := wallOf(t.Add(-r.d), r.zone).Add(-reach) // no clock was ever set by more
	for {
		wall = r.spec.Next(wall)
		if wall.IsZero() {
			return time.Time{}, time.Time{}
		}
		start = r.opening(wall)
		if end = start.Add(r.d); end.After(t) {
			return start, end
		}
	}
}

// opening is the instant at which the zone's clock shows a wall time for the first time, or has skipped it.
func (r *Recurrence) opening(wall time.Time) time.Time {
	return firstAtOrAfter(dateOf(wall), wall.Hour()*60+wall.Minute(), r.zone)
}

// wallOf is what the zone's clock shows, as if it were UTC.
func wallOf(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}
