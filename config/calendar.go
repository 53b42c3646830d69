package config

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"alertd/calendar"
	"alertd/rules"
)

// readCalendars reads business hours. Of several sources for one date the nearest one counts: special, holidays, the
// ICS file, the country.
func (p *routingParser) readCalendars(n *yaml.Node) {
	for _, e := range p.entries(n, "calendars") {
		if e.key.Value == "" {
			p.fail(e.key, "a calendar has no name")
			continue
		}
		if p.define(p.calendars, e.key, e.key.Value, "calendar") {
			p.readCalendar(e.key, e.value)
		}
	}
}

func (p *routingParser) readCalendar(key, value *yaml.Node) {
	var (
		spec                   = calendar.Spec{Name: key.Value}
		at                     = map[string]*yaml.Node{"": key, "time_zone": key, "hours": key, "holidays": key}
		special, file, country []calendar.Day
		list                   = dateList{calendar: key.Value}
	)
	note := func(key string, read func(*yaml.Node)) func(*yaml.Node) {
		return func(n *yaml.Node) {
			at[key] = target(n)
			read(n)
		}
	}
	ok := p.object(value, "calendar "+quote(key.Value), fields{
		"time_zone": note("time_zone", p.textTo(&spec.TimeZone, "time_zone")),
		"hours":     note("hours", func(n *yaml.Node) { spec.Hours = p.texts(n, "hours") }),
		"holidays":  note("holidays", func(n *yaml.Node) { spec.Holidays = p.texts(n, "holidays") }),
		"special":   note("special", func(n *yaml.Node) { special = p.readSpecial(n) }),
		"ics":       note("ics", func(n *yaml.Node) { file = p.readICS(n) }),
		"country":   note("country", func(n *yaml.Node) { country = p.readCountry(n) }),
	})
	if !ok {
		return
	}
	spec.Days = slices.Concat(special, file, country)
	c, err := calendar.New(spec)
	if err != nil {
		p.failCalendar(err, at)
		return
	}
	p.out.Calendars[key.Value] = c
	for _, d := range file {
		list.last = max(list.last, d.Date)
	}
	for _, d := range spec.Holidays {
		list.last = max(list.last, d)
	}
	if country == nil && list.last != "" {
		list.at = p.pos(key)
		p.out.lists = append(p.out.lists, list)
	}
}

// readSpecial reads dates with hours of their own: {'2026-12-24': ['09:00-12:00']}.
func (p *routingParser) readSpecial(n *yaml.Node) []calendar.Day {
	var days []calendar.Day
	for _, e := range p.entries(n, "special") {
		days = append(days, calendar.Day{
			Date: e.key.Value, Hours: p.texts(e.value, "the hours of "+quote(e.key.Value)), Source: "special",
		})
	}
	return days
}

// readICS reads the all-day events of a file, which is named relative to the routing file.
func (p *routingParser) readICS(n *yaml.Node) []calendar.Day {
	name, ok := p.text(n, "ics")
	if !ok || name == "" {
		return nil
	}
	n = target(n)
	data, err := p.beside.read(name)
	switch {
	case err != nil:
		p.fail(n, "ics: cannot read %s: %v", quote(n.Value), rootCause(err))
		return nil
	case len(data) > maxFile:
		p.fail(n, "ics: the file %s is larger than %d MiB", quote(n.Value), maxFile>>20)
		return nil
	}
	days, timed, err := icsDays(data, filepath.Base(name))
	switch {
	case err != nil:
		p.fail(n, "ics: %s: %v", quote(n.Value), err)
		return nil
	case len(timed) > 0:
		p.warn(n, "ics: %s: events with a time of day close nothing: %d of them, the first is %s", quote(n.Value), len(timed), quote(timed[0]))
	case len(days) == 0:
		p.warn(n, "ics: %s has no events from %d on", quote(n.Value), firstYear)
	}
	p.out.read = append(p.out.read, rules.File{Name: name, Data: data})
	return days
}

func (p *routingParser) readCountry(n *yaml.Node) []calendar.Day {
	text, ok := p.text(n, "country")
	if !ok || text == "" {
		return nil
	}
	days, err := countryDays(text)
	if err != nil {
		p.fail(target(n), "%s", cause(n, err))
	}
	return days
}

// failCalendar finds the place of each mistake in a calendar.
func (p *routingParser) failCalendar(err error, at map[string]*yaml.Node) {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		n, name := at[""], at[""].Value
		if e, ok := errors.AsType[*calendar.Error](err); ok {
			err = e.Err
			n = place(at, e)
		}
		p.fail(n, "calendar %s: %s", quote(name), cause(n, err))
	}
}

// place is where the file has what e is about. Days with mistakes are special days: the other sources have none.
func place(at map[string]*yaml.Node, e *calendar.Error) *yaml.Node {
	if special := at["special"]; e.Field == "days" && special != nil && 2*e.Index < len(special.Content) {
		return special.Content[2*e.Index]
	}
	n := at[e.Field]
	if n == nil {
		return at[""]
	}
	if e.Index >= 0 && e.Index < len(n.Content) {
		return target(n.Content[e.Index])
	}
	return n
}

// dateList is a list of holidays that somebody has to keep up, and its last date.
type dateList struct {
	calendar, last string
	at             Pos
}

// staleDays is how long before its end a list of holidays is called old: time enough to look up next year's.
const staleDays = 60

// Stale warns about calendars whose lists of holidays end soon after now, or have ended: next year's are missing. A
// country's holidays never end. It looks at the calendars of these names, or at all of them where none is given.
func (r *Routing) Stale(now time.Time, names ...string) []Warning {
	var stale []Warning
	for _, l := range r.lists {
		if len(names) > 0 && !slices.Contains(names, l.calendar) {
			continue
		}
		if l.last < now.AddDate(0, 0, staleDays).UTC().Format(time.DateOnly) {
			stale = append(stale, Warning{l.at, "calendar " + quote(l.calendar) + ": its last holiday is " + strings.TrimSpace(l.last) +
				"; add those of next year, or country: for public holidays"})
		}
	}
	return stale
}
