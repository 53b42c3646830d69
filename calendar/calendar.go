// Package calendar knows business hours: when a place of work is open, when it opens next and when it closes.
//
// A calendar is a time zone, weekly windows, holidays and special days. It is a pure function of instants: no clock, no I/O
// but the time-zone database, which is compiled in. A [Calendar] never changes and is safe to share between
// goroutines.
//
// # What a window means when clocks change
//
// A window runs from the first instant at which the local clock shows its opening time or a later one, to the
// last instant at which the clock shows its closing time or an earlier one. So what falls into the hour which
// spring skips is the first instant after the gap, an opening in the hour which autumn repeats is its first
// occurrence, and a closing there is the last one. Windows are half-open: open at 09:00:00, closed at 18:00:00.
//
// # What a holiday and a special day mean
//
// On a holiday the place is closed for that whole local date: windows that begin on it do not take place, not even
// their part after midnight, and a night window of the day before ends at its midnight. A special day has hours of
// its own, and these are all that it has: weekly windows neither begin on it nor reach into it. Where a date is
// both, it is a special day.
package calendar

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // scratch images have no zone files, and business hours must not depend on the machine
)

// Bounds of what is accepted and of how far ahead is searched.
const (
	horizonDays = 400  // a calendar that stays closed for longer than that is a mistake
	maxDays     = 5000 // holidays and special days: more than 13 years without a break
	maxHours    = 500  // windows of the week
	maxDayHours = 50   // windows of a special day
	minutesADay = 24 * 60
)

// Spec is a calendar as a person writes it.
type Spec struct {
	Name     string
	TimeZone string   // IANA, as in "Europe/Berlin"
	Hours    []string // "mon-fri 09:00-18:00", "sat,sun 10:00-14:00", "fri 22:00-02:00", "mon-sun 00:00-24:00"
	Holidays []string // local dates, "2026-12-25"
	Days     []Day    // special days, and holidays of which somebody knows the name
}

// Day is one local date on which the weekly hours do not hold.
type Day struct {
	Date   string   // "2026-12-24"
	Hours  []string // "09:00-12:00"; none: closed all day
	Name   string   // for people, "Heiligabend"; may be empty
	Source string   // for people, where it is from: "special", "holidays.ics"
}

// Calendar answers questions about business hours. Make one with [New].
type Calendar struct {
	name  string
	zone  *time.Location
	hours []string
	week  [7][]window // by weekday of the opening, Sunday first
	days  map[date]override
}

// override is what holds on a date instead of the week's windows.
type override struct {
	windows []window
	day     Day
}

// window is a stretch of one day in minutes from its midnight. It closes after minutesADay where it crosses midnight.
type window struct{ open, close int }

// date is a local calendar date.
type date struct {
	year  int
	month time.Month
	day   int
}

// Error says what is wrong with one entry of a [Spec], and what to write instead.
type Error struct {
	Calendar string // its name
	Field    string // "time_zone", "hours", "holidays" or "days"
	Index    int    // of the entry in that list; -1 where it is about the whole of it
	Err      error
}

// Error is for people.
func (e *Error) Error() string { return fmt.Sprintf("calendar %q: %v", e.Calendar, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New checks s and returns its calendar. The error joins one [*Error] for each mistake.
func New(s Spec) (*Calendar, error) {
	var problems []error
	wrong := func(field string, index int, format string, args ...any) {
		problems = append(problems, &Error{s.Name, field, index, fmt.Errorf(format, args...)})
	}
	c := &Calendar{name: s.Name, hours: slices.Clone(s.Hours), days: make(map[date]override)}
	var err error
	if c.zone, err = loadZone(s.TimeZone); err != nil {
		wrong("time_zone", -1, "%w", err)
	}
	if len(s.Hours) == 0 {
		wrong("hours", -1, `it never opens: there are no hours; write for example "mon-fri 09:00-18:00"`)
	}
	if len(s.Hours) > maxHours || len(s.Holidays)+len(s.Days) > maxDays {
		wrong("hours", -1, "it is too long: at most %d hours, and %d holidays and special days", maxHours, maxDays)
		return nil, errors.Join(problems...)
	}
	for i, text := range s.Hours {
		days, w, err := parseHours(text)
		if err != nil {
			wrong("hours", i, "hours %q: %w", text, err)
		}
		for _, day := range days {
			c.week[day] = append(c.week[day], w)
		}
	}
	for i, text := range s.Holidays {
		if err := c.addDay(Day{Date: text, Source: "holidays"}); err != nil {
			wrong("holidays", i, "%w", err)
		}
	}
	for i, day := range s.Days {
		if err := c.addDay(day); err != nil {
			wrong("days", i, "%w", err)
		}
	}
	if len(problems) == 0 {
		if d, ok := c.neverOpens(); ok {
			wrong("holidays", -1, "it never opens within %d days from %s: too many holidays or closed days", horizonDays, d)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return c, nil
}

// addDay notes one date. Of several entries for it one with hours goes first, then the earlier one.
func (c *Calendar) addDay(day Day) error {
	parsed, err := time.Parse(time.DateOnly, day.Date)
	if err != nil {
		return fmt.Errorf(`holiday %q is not a date; write it like "2026-12-25"`, day.Date)
	}
	if len(day.Hours) > maxDayHours {
		return fmt.Errorf("%s has more than %d windows", day.Date, maxDayHours)
	}
	o := override{day: day}
	o.day.Hours = slices.Clone(day.Hours)
	for _, text := range day.Hours {
		w, err := parseWindow(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("%s: %w", day.Date, err)
		}
		o.windows = append(o.windows, w)
	}
	d := dateOf(parsed)
	if earlier, ok := c.days[d]; !ok || len(earlier.windows) == 0 && len(o.windows) > 0 {
		c.days[d] = o
	}
	return nil
}

// Name is the name from the spec.
func (c *Calendar) Name() string { return c.name }

// Location is the zone that the calendar's hours are meant in.
func (c *Calendar) Location() *time.Location { return c.zone }

// Hours are the weekly windows as the spec has them. The result is the caller's.
func (c *Calendar) Hours() []string { return slices.Clone(c.hours) }

// Days are the holidays and special days, one for each date, in order. Those from [Spec].Holidays have the source
// "holidays".
func (c *Calendar) Days() []Day {
	days := make([]Day, 0, len(c.days))
	for _, d := range slices.SortedFunc(maps.Keys(c.days), date.compare) {
		day := c.days[d].day
		day.Hours = slices.Clone(day.Hours)
		days = append(days, day)
	}
	return days
}

// IsOpen reports whether it is open at t.
func (c *Calendar) IsOpen(t time.Time) bool {
	_, open := c.closing(t)
	return open
}

// NextOpen returns t itself when it is open then, else the instant at which it opens next, in UTC.
func (c *Calendar) NextOpen(t time.Time) time.Time {
	t = t.UTC().Round(0)
	if c.IsOpen(t) {
		return t
	}
	// New made sure that no closed stretch exceeds the horizon; it counts from a closed day on, and a week or two
	// may lie before that one.
	opens, _ := c.openingAfter(t, horizonDays+21)
	return opens
}

// NextClose returns the first instant at or after t at which it is closed, in UTC. It is the zero time for a
// calendar that does not close within 400 days.
func (c *Calendar) NextClose(t time.Time) time.Time {
	t = t.UTC().Round(0)
	for limit := t.AddDate(0, 0, horizonDays); t.Before(limit); {
		closes, open := c.closing(t)
		if !open {
			return t
		}
		t = closes
	}
	return time.Time{}
}

// closing returns the latest closing of the windows that are open at t.
func (c *Calendar) closing(t time.Time) (closes time.Time, open bool) {
	today := dateOf(t.In(c.zone))
	// A window spans two dates, and where clocks go back over midnight a third one is in reach.
	for offset := -2; offset <= 1; offset++ {
		for _, s := range c.sessions(today.add(offset)) {
			if !t.Before(s.open) && t.Before(s.close) && s.close.After(closes) {
				closes, open = s.close, true
			}
		}
	}
	return closes, open
}

// openingAfter returns the first opening after t on one of the dates from t's own, for so many days.
func (c *Calendar) openingAfter(t time.Time, days int) (opens time.Time, ok bool) {
	today := dateOf(t.In(c.zone))
	for offset := -1; offset <= days; offset++ {
		for _, s := range c.sessions(today.add(offset)) {
			if s.open.After(t) && (!ok || s.open.Before(opens)) {
				opens, ok = s.open, true
			}
		}
		if ok {
			return opens, true
		}
	}
	return time.Time{}, false
}

// session is a window on a certain date: instants in UTC, half-open, never empty.
type session struct{ open, close time.Time }

// sessions returns the windows that begin on d, in order of their opening.
func (c *Calendar) sessions(d date) []session {
	windows := c.week[d.weekday()]
	if o, ok := c.days[d]; ok {
		windows = o.windows
	}
	if len(windows) == 0 {
		return nil
	}
	sessions := make([]session, 0, len(windows))
	for _, w := range windows {
		if w.close > minutesADay {
			if _, ok := c.days[d.add(1)]; ok {
				w.close = minutesADay
			}
		}
		s := session{open: firstAtOrAfter(d, w.open, c.zone), close: lastAtOrBefore(d, w.close, c.zone)}
		if s.open.Before(s.close) { // a window inside a gap, or on a date that a zone skipped, does not take place
			sessions = append(sessions, s)
		}
	}
	slices.SortFunc(sessions, func(a, b session) int {
		return cmp.Or(a.open.Compare(b.open), a.close.Compare(b.close))
	})
	return sessions
}

// neverOpens looks for a closed day from which on it stays closed for longer than the horizon.
func (c *Calendar) neverOpens() (from date, never bool) {
	for _, d := range slices.SortedFunc(maps.Keys(c.days), date.compare) {
		if o, ok := c.days[d.add(-1)]; ok && len(o.windows) == 0 {
			continue // in a run of closed days the first one waits longest
		}
		if _, ok := c.openingAfter(firstAtOrAfter(d, 0, c.zone).Add(-time.Nanosecond), horizonDays); !ok {
			return d, true
		}
	}
	return date{}, false
}

// dateOf is the date that t's own location shows.
func dateOf(t time.Time) date {
	y, m, d := t.Date()
	return date{y, m, d}
}

// add returns the date so many days later.
func (d date) add(days int) date {
	return dateOf(time.Date(d.year, d.month, d.day+days, 0, 0, 0, 0, time.UTC))
}

func (d date) weekday() time.Weekday { return d.utc(0).Weekday() }

// utc is the instant at which a clock in UTC shows so many minutes after d's midnight.
func (d date) utc(minutes int) time.Time {
	return time.Date(d.year, d.month, d.day, 0, minutes, 0, 0, time.UTC)
}

func (d date) compare(e date) int { return d.utc(0).Compare(e.utc(0)) }

func (d date) String() string { return d.utc(0).Format(time.DateOnly) }
