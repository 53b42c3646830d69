package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"
	"github.com/teambition/rrule-go"

	"alertd/calendar"
)

// Bounds of an ICS file, besides maxFile.
const (
	maxICSDays   = 5000 // as many as a calendar takes
	maxICSEvents = 5000
	maxICSRules  = 100 // one that never comes true takes a third of a second to find out
	maxICSEvery  = 1000
)

// icsDate is the form of a date in an ICS file.
const icsDate = "20060102"

// icsDays reads the days of an ICS file's all-day events, repeated ones up to [lastYear]. An event ends before its
// DTEND. timed are the summaries of events that have a time of day: they close nothing.
func icsDays(data []byte, source string) (days []calendar.Day, timed []string, err error) {
	if !bytes.Contains(data, []byte("BEGIN:VCALENDAR")) {
		return nil, nil, errors.New("this is not an ICS file: it does not begin with BEGIN:VCALENDAR")
	}
	file, err := ics.ParseCalendarWithOptions(bytes.NewReader(data), ics.WithUnknownPropertyHandler(ics.AcceptUnknownPropertyHandler))
	if err != nil {
		return nil, nil, err
	}
	events := file.Events()
	if len(events) > maxICSEvents {
		return nil, nil, fmt.Errorf("it has %d events; at most %d are read", len(events), maxICSEvents)
	}
	moved := movedDays(events)
	rules := 0
	for _, e := range events {
		name := icsText(e, ics.ComponentPropertySummary)
		if strings.EqualFold(icsText(e, ics.ComponentPropertyStatus), "CANCELLED") {
			continue
		}
		first, length, ok, err := icsSpan(e)
		if err != nil {
			return nil, nil, fmt.Errorf("event %s: %w", quote(name), err)
		}
		if !ok {
			timed = append(timed, name)
			continue
		}
		if e.HasProperty(ics.ComponentPropertyRrule) {
			if rules++; rules > maxICSRules {
				return nil, nil, fmt.Errorf("more than %d events repeat; write the dates out", maxICSRules)
			}
		}
		starts, err := icsStarts(e, first)
		if err != nil {
			return nil, nil, fmt.Errorf("event %s: %w", quote(name), err)
		}
		without := icsDates(e, ics.ComponentPropertyExdate)
		if !e.HasProperty(ics.ComponentPropertyRecurrenceId) {
			without = append(without, moved[icsText(e, ics.ComponentPropertyUniqueId)]...)
		}
		for _, start := range starts {
			if slices.ContainsFunc(without, start.Equal) {
				continue
			}
			for i := range length {
				d := start.AddDate(0, 0, i)
				if d.Year() < firstYear || d.Year() > lastYear {
					continue
				}
				if days = append(days, calendar.Day{Date: d.Format(time.DateOnly), Name: name, Source: source}); len(days) > maxICSDays {
					return nil, nil, fmt.Errorf("event %s: the file closes more than %d days up to the year %d; give what repeats an end (UNTIL)",
						quote(name), maxICSDays, lastYear)
				}
			}
		}
	}
	slices.SortStableFunc(days, func(a, b calendar.Day) int { return cmp.Compare(a.Date, b.Date) })
	return days, timed, nil
}

// movedDays are, by the event's UID, the dates on which a repeated event is replaced by another entry of the file.
func movedDays(events []*ics.VEvent) map[string][]time.Time {
	moved := make(map[string][]time.Time)
	for _, e := range events {
		uid := icsText(e, ics.ComponentPropertyUniqueId)
		moved[uid] = append(moved[uid], icsDates(e, ics.ComponentPropertyRecurrenceId)...)
	}
	return moved
}

// icsSpan returns the first day of an event and how many it has. False means that it has a time of day.
func icsSpan(e *ics.VEvent) (first time.Time, days int, ok bool, err error) {
	start := icsText(e, ics.ComponentPropertyDtStart)
	if start == "" {
		return time.Time{}, 0, false, errors.New("it has no DTSTART")
	}
	if first, ok = icsDay(start); !ok {
		return time.Time{}, 0, false, nil
	}
	if end := icsText(e, ics.ComponentPropertyDtEnd); end != "" {
		last, ok := icsDay(end)
		if !ok {
			return time.Time{}, 0, false, nil
		}
		days = int(last.Sub(first) / (24 * time.Hour))
	} else if d := icsText(e, ics.ComponentPropertyDuration); d != "" {
		var unit byte
		if n, err := fmt.Sscanf(d, "P%d%c", &days, &unit); err != nil || n != 2 || unit != 'D' && unit != 'W' {
			return time.Time{}, 0, false, nil
		}
		if unit == 'W' {
			days *= 7
		}
	}
	if days > maxICSDays {
		return time.Time{}, 0, false, fmt.Errorf("it lasts %d days", days)
	}
	return first, max(days, 1), true, nil // some write the same day twice, and mean that day
}

// icsDay reads a date, or a local midnight, which is how some programs write one.
func icsDay(text string) (time.Time, bool) {
	d, err := time.Parse(icsDate, strings.TrimSuffix(text, "T000000"))
	return d, err == nil
}

// icsStarts are the days on which an event begins, in no certain order.
func icsStarts(e *ics.VEvent, first time.Time) ([]time.Time, error) {
	starts := append(icsDates(e, ics.ComponentPropertyRdate), first)
	for _, p := range e.GetProperties(ics.ComponentPropertyRrule) {
		repeated, err := icsRule(p.Value, first)
		if err != nil {
			return nil, fmt.Errorf("RRULE: %w", err)
		}
		starts = append(starts, repeated...)
	}
	if e.HasProperty(ics.ComponentPropertyExrule) {
		return nil, errors.New("EXRULE is no longer part of the format; use EXDATE")
	}
	slices.SortFunc(starts, time.Time.Compare)
	return slices.CompactFunc(starts, time.Time.Equal), nil
}

// icsRule works a repetition out. It is bounded by the calendar's end and by a number of days.
func icsRule(text string, first time.Time) ([]time.Time, error) {
	o, err := rrule.StrToROption(text)
	if err != nil {
		return nil, err
	}
	horizon := time.Date(lastYear, 12, 31, 0, 0, 0, 0, time.UTC)
	switch {
	case o.Freq > rrule.DAILY || len(o.Byhour)+len(o.Byminute)+len(o.Bysecond) > 0:
		return nil, errors.New("a whole day cannot repeat within a day")
	case o.Interval > maxICSEvery || o.Count > maxICSDays || o.Count < 0:
		return nil, fmt.Errorf("INTERVAL must be at most %d, and COUNT at most %d", maxICSEvery, maxICSDays)
	case first.Year() < 1900 || first.Year() > lastYear:
		return nil, fmt.Errorf("it must begin in the years 1900 to %d", lastYear)
	}
	o.Dtstart = first
	if o.Until.IsZero() || o.Until.After(horizon) {
		o.Until = horizon
	}
	rule, err := rrule.NewRRule(*o)
	if err != nil {
		return nil, err
	}
	var starts []time.Time
	next := rule.Iterator()
	for start, ok := next(); ok; start, ok = next() {
		if start.Year() < firstYear {
			continue
		}
		if starts = append(starts, start); len(starts) > maxICSDays {
			return nil, fmt.Errorf("it repeats more than %d times up to the year %d; give it an end (UNTIL)", maxICSDays, lastYear)
		}
	}
	return starts, nil
}

func icsText(e *ics.VEvent, property ics.ComponentProperty) string {
	if p := e.GetProperty(property); p != nil {
		return p.Value
	}
	return ""
}

// icsDates are the dates of a property that may come several times and hold several of them.
func icsDates(e *ics.VEvent, property ics.ComponentProperty) []time.Time {
	var dates []time.Time
	for _, p := range e.GetProperties(property) {
		for text := range strings.SplitSeq(p.Value, ",") {
			if d, ok := icsDay(strings.TrimSpace(text)); ok {
				dates = append(dates, d)
			}
		}
	}
	return dates
}
