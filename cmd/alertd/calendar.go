package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"alertd/calendar"
)

type calendarCmd struct {
	Show calendarShowCmd `cmd:"" help:"Show when business hours open and close, with holidays and changes of the clocks."`
}

type calendarShowCmd struct {
	routingFlags
	outputFlags
	Next string `default:"14d" placeholder:"DURATION" help:"How far ahead, at most 400d (${default})."`
	At   string `placeholder:"TIME" help:"From then on: 2026-12-20T00:00:00Z. Default: now."`
	Name string `arg:"" optional:"" help:"One calendar. Default: all."`
}

const (
	mostShown = 400 * 24 * time.Hour
	aDay      = 24 * time.Hour
)

// Run works the days out without a daemon.
func (c *calendarShowCmd) Run(std streams) error {
	at, err := showAt(c.At)
	if err != nil {
		return err
	}
	next, err := model.ParseDuration(c.Next)
	if err != nil || time.Duration(next) < aDay || time.Duration(next) > mostShown {
		return &usageError{msg: fmt.Sprintf("--next %q is not a duration from 1d to 400d", c.Next), hint: "--next 14d"}
	}
	policy, err := c.policy()
	if err != nil {
		return err
	}
	calendars := policy.Routing.Calendars
	names := slices.Sorted(maps.Keys(calendars))
	if c.Name != "" {
		if calendars[c.Name] == nil {
			return &usageError{msg: fmt.Sprintf("there is no calendar %q", c.Name), hint: "one of " + strings.Join(names, ", ")}
		}
		names = []string{c.Name}
	}
	reports := make([]calendarReport, 0, len(names))
	for _, name := range names {
		reports = append(reports, newCalendarReport(calendars[name], at, int(time.Duration(next)/aDay)))
	}
	for _, w := range policy.Routing.Stale(at, names...) {
		fmt.Fprintf(std.err, "%s (warning)\n", w)
	}
	if c.Output == "json" {
		return writeJSON(std.out, reports)
	}
	if len(reports) == 0 {
		fmt.Fprintln(std.err, "there is no calendar; routing.yaml defines them under calendars")
	}
	for i, r := range reports {
		if i > 0 {
			fmt.Fprintln(std.out)
		}
		if err := r.write(std.out); err != nil {
			return err
		}
	}
	return nil
}

// calendarReport is one calendar over some days. Instants are UTC, dates and clock times those of its zone.
type calendarReport struct {
	Name     string        `json:"name"`
	TimeZone string        `json:"time_zone"`
	Hours    []string      `json:"hours"`
	At       time.Time     `json:"at"`
	Open     bool          `json:"open"`
	Next     *time.Time    `json:"next"` // when that changes; null: not within 400 days
	Days     []calendarDay `json:"days"`

	zone *time.Location
}

type calendarDay struct {
	Date     string         `json:"date"`
	Openings []opening      `json:"openings"`
	Listed   *listedDay     `json:"listed,omitempty"` // as a holiday or a special day
	Clocks   []clocksChange `json:"clocks,omitempty"`

	weekday time.Weekday
}

// opening is a stretch during which it is open. It belongs to the day on which it begins; one that is under way when
// the report begins belongs to the first day.
type opening struct {
	Opens  time.Time  `json:"opens"`
	Closes *time.Time `json:"closes"` // null: not within 400 days
}

type listedDay struct {
	Name   string `json:"name,omitempty"`
	Source string `json:"source"`
}

// clocksChange is a change of the offset to UTC.
type clocksChange struct {
	At   time.Time `json:"at"`
	From string    `json:"from"`
	To   string    `json:"to"`
	By   string    `json:"by"` // "+1h"
}

func newCalendarReport(c *calendar.Calendar, at time.Time, days int) calendarReport {
	zone := c.Location()
	r := calendarReport{Name: c.Name(), TimeZone: zone.String(), Hours: c.Hours(), At: at.UTC(), Open: c.IsOpen(at), zone: zone}
	change := c.NextOpen(at)
	if r.Open {
		change = c.NextClose(at)
	}
	if !change.IsZero() {
		r.Next = &change
	}
	y, m, d := at.In(zone).Date()
	listed := make(map[string]listedDay)
	for _, day := range c.Days() {
		listed[day.Date] = listedDay{Name: day.Name, Source: day.Source}
	}
	index := make(map[string]int)
	for i := range days {
		date := time.Date(y, m, d+i, 12, 0, 0, 0, time.UTC)
		day := calendarDay{Date: date.Format(time.DateOnly), Openings: []opening{}, weekday: date.Weekday()}
		if l, ok := listed[day.Date]; ok {
			day.Listed = &l
		}
		index[day.Date] = i
		r.Days = append(r.Days, day)
	}
	// Noon is there in every zone on every date but one that was skipped whole; half a day before it, the day begins.
	start := time.Date(y, m, d, 12, 0, 0, 0, zone).Add(-12 * time.Hour)
	end := time.Date(y, m, d+days, 0, 0, 0, 0, zone)
	r.openings(c, start, end, index)
	r.clocks(start, end, index)
	return r
}

// openings puts each one to its day.
func (r *calendarReport) openings(c *calendar.Calendar, start, end time.Time, index map[string]int) {
	for opens := c.NextOpen(start); opens.Before(end); {
		i, ok := index[opens.In(r.zone).Format(time.DateOnly)]
		if !ok {
			i = 0
		}
		o := opening{Opens: opens}
		closes := c.NextClose(opens)
		if !closes.IsZero() {
			o.Closes = &closes
		}
		r.Days[i].Openings = append(r.Days[i].Openings, o)
		if closes.IsZero() {
			return
		}
		opens = c.NextOpen(closes)
	}
}

// clocks puts each change of the offset to its day.
func (r *calendarReport) clocks(start, end time.Time, index map[string]int) {
	for at := start; ; {
		_, next := at.In(r.zone).ZoneBounds()
		if !next.After(at) || !next.Before(end) {
			return
		}
		before := next.Add(-time.Second)
		_, from := before.In(r.zone).Zone()
		_, to := next.In(r.zone).Zone()
		if i, ok := index[before.In(r.zone).Format(time.DateOnly)]; ok && from != to {
			r.Days[i].Clocks = append(r.Days[i].Clocks, clocksChange{
				At: next.UTC(), From: zoneName(before, r.zone), To: zoneName(next, r.zone), By: signed(time.Duration(to-from) * time.Second),
			})
		}
		at = next
	}
}

func signed(d time.Duration) string {
	sign := "+"
	if d < 0 {
		sign, d = "-", -d
	}
	return sign + model.Duration(d).String()
}

// write prints the calendar as a table with a line for each day.
func (r calendarReport) write(w io.Writer) error {
	state := "closed"
	verb := "opens"
	if r.Open {
		state, verb = "open", "closes"
	}
	now := fmt.Sprintf("%s on %s", state, showDay(r.At, r.zone))
	if r.Next != nil {
		now += fmt.Sprintf(", %s %s", verb, showDay(*r.Next, r.zone))
	}
	for _, text := range []string{r.Name + ": " + strings.Join(r.Hours, "; ") + " (" + r.TimeZone + ")", now} {
		for _, part := range wrap(printable(text), prose(w)) {
			if _, err := fmt.Fprintln(w, part); err != nil {
				return err
			}
		}
	}
	t := table{head: []string{"DAY", "OPEN", "NOTE"}}
	for _, d := range r.Days {
		t.add(d.weekday.String()[:3]+" "+d.Date, d.open(r.zone), d.note(r.zone))
	}
	return t.write(w)
}

// open is "09:00-12:00, 13:00-18:00", or "closed".
func (d calendarDay) open(zone *time.Location) string {
	if len(d.Openings) == 0 {
		return "closed"
	}
	var all []string
	for _, o := range d.Openings {
		text := o.Opens.In(zone).Format("15:04") + "-"
		switch {
		case o.Closes == nil:
			text += " never closes"
		default:
			closes := o.Closes.In(zone)
			text += closes.Format("15:04")
			switch date := closes.Format(time.DateOnly); {
			case date == d.Date:
			case closes.Format("15:04") == "00:00" && closes.AddDate(0, 0, -1).Format(time.DateOnly) == d.Date:
				text = strings.TrimSuffix(text, "00:00") + "24:00"
			default:
				text += " " + closes.Format("Mon")
			}
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// note is why the day differs from others.
func (d calendarDay) note(zone *time.Location) string {
	var notes []string
	if l := d.Listed; l != nil {
		kind := "holiday"
		if l.Source == "special" {
			kind = "special day"
		}
		text := kind
		if l.Name != "" {
			text += ": " + l.Name
		}
		switch l.Source {
		case "special":
		case "holidays":
			text += " (routing file)"
		default:
			text += " (" + l.Source + ")"
		}
		notes = append(notes, text)
	}
	for _, c := range d.Clocks {
		_, offset := c.At.Add(-time.Second).In(zone).Zone()
		was := c.At.In(time.FixedZone(c.From, offset))
		notes = append(notes, fmt.Sprintf("clocks go from %s %s to %s %s", was.Format("15:04"), c.From, c.At.In(zone).Format("15:04"), c.To))
	}
	return strings.Join(notes, "; ")
}
