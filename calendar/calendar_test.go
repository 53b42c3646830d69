package calendar_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"alertd/calendar"
)

func mustNew(t testing.TB, s calendar.Spec) *calendar.Calendar {
	t.Helper()
	s.Name = "test"
	c, err := calendar.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func at(t testing.TB, s string) time.Time {
	t.Helper()
	instant, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return instant
}

func TestNextOpenAndNextClose(t *testing.T) {
	office := []string{"mon-fri 09:00-18:00"}
	for _, tt := range []struct {
		name, zone      string
		hours, holidays []string
		from            string
		open, close     string // what NextOpen and NextClose of that say; instants with the offset of their place
	}{
		{"before opening", "Europe/Berlin", office, nil, "2026-01-15T08:59:59+01:00", "2026-01-15T09:00:00+01:00", "2026-01-15T18:00:00+01:00"},
		{"at opening", "Europe/Berlin", office, nil, "2026-01-15T09:00:00+01:00", "2026-01-15T09:00:00+01:00", "2026-01-15T18:00:00+01:00"},
		{"while open", "Europe/Berlin", office, nil, "2026-01-15T12:34:56+01:00", "2026-01-15T12:34:56+01:00", "2026-01-15T18:00:00+01:00"},
		{"at closing it is closed", "Europe/Berlin", office, nil, "2026-01-15T18:00:00+01:00", "2026-01-16T09:00:00+01:00", "2026-01-16T18:00:00+01:00"},
		{"over the weekend", "Europe/Berlin", office, nil, "2026-01-16T18:00:00+01:00", "2026-01-19T09:00:00+01:00", "2026-01-19T18:00:00+01:00"},
		{"over holidays", "Europe/Berlin", office, []string{"2026-12-25", "2026-12-24", "2026-12-28"}, "2026-12-23T18:00:00+01:00", "2026-12-29T09:00:00+01:00", "2026-12-29T18:00:00+01:00"},
		{"midnight as 24:00", "UTC", []string{"sat 10:00-24:00"}, nil, "2026-01-15T00:00:00Z", "2026-01-17T10:00:00Z", "2026-01-18T00:00:00Z"},
		{"midnight as 00:00", "UTC", []string{"sat 10:00-00:00"}, nil, "2026-01-15T00:00:00Z", "2026-01-17T10:00:00Z", "2026-01-18T00:00:00Z"},
		{"over midnight", "UTC", []string{"fri 22:00-02:00"}, nil, "2026-01-17T01:59:00Z", "2026-01-17T01:59:00Z", "2026-01-17T02:00:00Z"},
		{"over the end of the week", "UTC", []string{"sat-sun 22:00-02:00"}, nil, "2026-01-19T01:00:00Z", "2026-01-19T01:00:00Z", "2026-01-19T02:00:00Z"},
		{"adjoining windows are one", "UTC", []string{"mon 09:00-24:00", "tue 00:00-12:00"}, nil, "2026-01-19T00:00:00Z", "2026-01-19T09:00:00Z", "2026-01-20T12:00:00Z"},
		{"overlapping windows are one", "UTC", []string{"mon 09:00-12:00", "mon 10:00-11:00", "mon 11:30-13:00"}, nil, "2026-01-19T00:00:00Z", "2026-01-19T09:00:00Z", "2026-01-19T13:00:00Z"},
		{"a holiday takes its night along", "UTC", []string{"mon-sun 22:00-02:00"}, []string{"2026-01-16"}, "2026-01-16T12:00:00Z", "2026-01-17T22:00:00Z", "2026-01-18T02:00:00Z"},
		{"a holiday ends the night before", "UTC", []string{"mon-sun 22:00-02:00"}, []string{"2026-01-16"}, "2026-01-15T23:00:00Z", "2026-01-15T23:00:00Z", "2026-01-16T00:00:00Z"},

		{"last day of a leap year beyond the zone's table", "Europe/Berlin", office, nil, "2040-12-31T18:00:00+01:00", "2041-01-01T09:00:00+01:00", "2041-01-01T18:00:00+01:00"},
		{"over the end of a leap year beyond the zone's table", "Australia/Sydney", []string{"mon 22:00-02:00"}, nil, "2040-12-31T00:00:00+11:00", "2040-12-31T22:00:00+11:00", "2041-01-01T02:00:00+11:00"},

		// Spring: an opening in the gap is the first instant after it, and so is a closing.
		{"New York, opening in the gap", "America/New_York", []string{"sun 02:30-05:00"}, nil, "2026-03-08T00:00:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T05:00:00-04:00"},
		{"Berlin, opening in the gap", "Europe/Berlin", []string{"sun 02:30-05:00"}, nil, "2026-03-29T00:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+02:00"},
		{"Berlin, closing in the gap", "Europe/Berlin", []string{"sun 01:00-02:30"}, nil, "2026-03-29T00:00:00+01:00", "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"Berlin, all of it in the gap", "Europe/Berlin", []string{"sun 02:10-02:50"}, nil, "2026-03-29T00:00:00+01:00", "2026-04-05T02:10:00+02:00", "2026-04-05T02:50:00+02:00"},
		{"Berlin, nine is nine", "Europe/Berlin", []string{"sun 09:00-18:00"}, nil, "2026-03-29T00:00:00+01:00", "2026-03-29T09:00:00+02:00", "2026-03-29T18:00:00+02:00"},
		{"Berlin, a night that is an hour short", "Europe/Berlin", []string{"sat 22:00-06:00"}, nil, "2026-03-28T00:00:00+01:00", "2026-03-28T22:00:00+01:00", "2026-03-29T06:00:00+02:00"},
		{"Sao Paulo, no midnight", "America/Sao_Paulo", []string{"sun 00:00-08:00"}, nil, "2018-11-03T12:00:00-03:00", "2018-11-04T01:00:00-02:00", "2018-11-04T08:00:00-02:00"},
		{"Samoa, no 30 December", "Pacific/Apia", []string{"thu-sat 09:00-18:00"}, nil, "2011-12-29T18:00:00-10:00", "2011-12-31T09:00:00+14:00", "2011-12-31T18:00:00+14:00"},

		// Autumn: an opening in the repeated hour is its first occurrence, a closing is the last one.
		{"New York, opening in the overlap", "America/New_York", []string{"sun 01:30-05:00"}, nil, "2026-11-01T00:00:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-01T05:00:00-05:00"},
		{"Berlin, opening in the overlap", "Europe/Berlin", []string{"sun 02:30-05:00"}, nil, "2026-10-25T00:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T05:00:00+01:00"},
		{"Berlin, closing in the overlap", "Europe/Berlin", []string{"sun 01:00-02:30"}, nil, "2026-10-25T00:00:00+02:00", "2026-10-25T01:00:00+02:00", "2026-10-25T02:30:00+01:00"},
		{"Berlin, closing as the overlap begins", "Europe/Berlin", []string{"sun 01:00-02:00"}, nil, "2026-10-25T00:00:00+02:00", "2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+01:00"},
		{"Berlin, opening as the overlap ends", "Europe/Berlin", []string{"sun 03:00-05:00"}, nil, "2026-10-25T00:00:00+02:00", "2026-10-25T03:00:00+01:00", "2026-10-25T05:00:00+01:00"},
		{"Lord Howe moves half an hour", "Australia/Lord_Howe", []string{"sun 01:45-09:00"}, nil, "2026-04-05T00:00:00+11:00", "2026-04-05T01:45:00+11:00", "2026-04-05T09:00:00+10:30"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mustNew(t, calendar.Spec{TimeZone: tt.zone, Hours: tt.hours, Holidays: tt.holidays})
			open := c.NextOpen(at(t, tt.from))
			if want := at(t, tt.open); !open.Equal(want) || open.Location() != time.UTC {
				t.Errorf("NextOpen(%s) = %s, want %s in UTC", tt.from, open, want.UTC())
			}
			closes := c.NextClose(open)
			if want := at(t, tt.close); !closes.Equal(want) || closes.Location() != time.UTC {
				t.Errorf("NextClose(%s) = %s, want %s in UTC", open, closes, want.UTC())
			}
		})
	}
}

func TestNeverCloses(t *testing.T) {
	c := mustNew(t, calendar.Spec{TimeZone: "Europe/Berlin", Hours: []string{"mon-sun 00:00-24:00"}})
	now := at(t, "2026-03-28T12:00:00Z")
	if got := c.NextClose(now); !got.IsZero() {
		t.Errorf("NextClose = %s, want the zero time", got)
	}
	if got := c.NextOpen(now); !got.Equal(now) {
		t.Errorf("NextOpen = %s, want %s", got, now)
	}
}

func TestNewRefuses(t *testing.T) {
	ok := []string{"mon-fri 09:00-18:00"}
	var years []string
	for d := at(t, "2026-01-01T00:00:00Z"); len(years) < 500; d = d.AddDate(0, 0, 1) {
		years = append(years, d.Format(time.DateOnly))
	}
	var mondays []string
	for d := at(t, "2026-01-05T00:00:00Z"); len(mondays) < 60; d = d.AddDate(0, 0, 7) {
		mondays = append(mondays, d.Format(time.DateOnly))
	}
	for _, tt := range []struct {
		spec calendar.Spec
		want string
	}{
		{calendar.Spec{Hours: ok}, "the time zone is missing"},
		{calendar.Spec{Hours: ok, TimeZone: "Local"}, "differs from machine to machine"},
		{calendar.Spec{Hours: ok, TimeZone: "Europe/Berln"}, `unknown time zone "Europe/Berln"`},
		{calendar.Spec{Hours: ok, TimeZone: "../../etc/passwd"}, "unknown time zone"},
		{calendar.Spec{TimeZone: "UTC"}, "it never opens: there are no hours"},
		{calendar.Spec{TimeZone: "UTC", Hours: []string{""}}, "want days and hours"},
		{calendar.Spec{TimeZone: "UTC", Hours: []string{"mon-fri"}}, "want days and hours"},
		{calendar.Spec{TimeZone: "UTC", Hours: []string{"mon 9:00-18:00"}}, `"9:00" is not a time of day`},
		{calendar.Spec{TimeZone: "UTC", Hours: []string{"mon 09:00-24:01"}}, `"24:01" is not a time of day`},
		{calendar.Spec{TimeZone: "UTC", Hours: []string{"mon 09:60-10:00"}}, `"09:60" is not a time of day`},
		{calendar.Spec{TimeZone: "UTC", Hours: []string{"mon 09:00"}}, "is not a window"},
		{calendar.Spec{TimeZone: "UTC", Hours: []string{"mon 09:00-09:00"}}, "for a whole day write 00:00-24:00"},
		{calendar.Spec{TimeZone: "UTC", Hours: []string{"mon 24:00-09:00"}}, "write 00:00 on the next day"},
		{calendar.Spec{TimeZone: "UTC", Hours: []string{"mo-fr 09:00-18:00"}}, `unknown day "mo"`},
		{calendar.Spec{TimeZone: "UTC", Hours: []string{"mon-wed,tue 09:00-18:00"}}, "names Tuesday twice"},
		{calendar.Spec{TimeZone: "UTC", Hours: ok, Holidays: []string{"25.12.2026"}}, `holiday "25.12.2026" is not a date`},
		{calendar.Spec{TimeZone: "UTC", Hours: ok, Holidays: []string{"2026-02-29"}}, "is not a date"},
		{calendar.Spec{TimeZone: "UTC", Hours: ok, Days: []calendar.Day{{Date: "24.12.", Hours: []string{"09:00-12:00"}}}}, "is not a date"},
		{calendar.Spec{TimeZone: "UTC", Hours: ok, Days: []calendar.Day{{Date: "2026-12-24", Hours: []string{"9-12"}}}}, `2026-12-24: "9" is not a time of day`},
		{calendar.Spec{TimeZone: "UTC", Hours: ok, Days: []calendar.Day{{Date: "2026-12-24", Hours: slices.Repeat([]string{"09:00-12:00"}, 51)}}}, "more than 50 windows"},
		{calendar.Spec{TimeZone: "UTC", Hours: ok, Days: make([]calendar.Day, 5001)}, "too long"},
		{calendar.Spec{TimeZone: "UTC", Hours: ok, Holidays: years}, "never opens within 400 days from 2026-01-01"},
		{calendar.Spec{TimeZone: "UTC", Hours: []string{"mon 09:00-18:00"}, Holidays: mondays}, "never opens within 400 days"},
	} {
		tt.spec.Name = "office"
		c, err := calendar.New(tt.spec)
		if err == nil {
			t.Errorf("%+v: accepted", tt.spec)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), `calendar "office"`) {
			t.Errorf("error %q does not say %q", err, tt.want)
		}
		if c != nil {
			t.Errorf("%+v: an error and a calendar", tt.spec)
		}
	}
}

func TestNewTellsAllMistakes(t *testing.T) {
	_, err := calendar.New(calendar.Spec{
		Name: "office", TimeZone: "Mars", Hours: []string{"mon 09:00-18:00", "tue 9-5"}, Holidays: []string{"2026-12-25", "x"},
	})
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		if e, ok := errors.AsType[*calendar.Error](e); ok {
			got = append(got, fmt.Sprintf("%s %d", e.Field, e.Index))
		}
	}
	if want := []string{"time_zone -1", "hours 1", "holidays 1"}; !slices.Equal(got, want) {
		t.Errorf("mistakes at %v, want %v", got, want)
	}
}

// The zones have whole-minute offsets; they include both hemispheres, half-hour steps, midnight transitions, a
// skipped date, Ramadan suspensions and negative daylight saving.
var zones = []string{
	"UTC", "Europe/Berlin", "Europe/Dublin", "America/New_York", "America/Sao_Paulo", "America/Havana", "America/St_Johns",
	"Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Asia/Beirut", "Asia/Kathmandu", "Africa/Casablanca",
	"Africa/Cairo", "America/Scoresbysund", "Antarctica/Troll",
}

// transitions are the instants in 2009 to 2028 at which the zone changes its offset.
func transitions(t testing.TB, zone *time.Location) []time.Time {
	t.Helper()
	var changes []time.Time
	end := at(t, "2028-01-01T00:00:00Z")
	for now := at(t, "2009-01-01T00:00:00Z"); ; {
		_, next := now.In(zone).ZoneBounds()
		if next.IsZero() || next.After(end) {
			return changes
		}
		changes = append(changes, next.UTC())
		now = next
	}
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// oracle answers by walking minute by minute over the days around a moment, looking at nothing but the wall clock.
type oracle struct {
	start time.Time // of the walk
	open  []bool    // by minute
}

type rawWindow struct{ from, to int } // minutes of the local day

func (w rawWindow) text() string {
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.from/60, w.from%60, w.to/60, w.to%60)
}

const walkDays = 8

// walk spends most of its effort on knowing, for each minute, what the wall clock shows.
func walk(zone *time.Location, middle time.Time, week map[time.Weekday][]rawWindow, special map[string][]rawWindow) oracle {
	const day = 24 * 60
	o := oracle{start: middle.AddDate(0, 0, -walkDays/2).Truncate(time.Minute), open: make([]bool, walkDays*day)}
	walls := make([]int, len(o.open)) // the wall clock's reading, in minutes since 1970 there
	for i := range walls {
		local := o.start.Add(time.Duration(i) * time.Minute).In(zone)
		y, m, d := local.Date()
		walls[i] = int(time.Date(y, m, d, local.Hour(), local.Minute(), 0, 0, time.UTC).Unix() / 60)
	}
	date := func(d int) time.Time { return time.Unix(int64(d)*day*60, 0).UTC() }
	isSpecial := func(d int) bool { _, ok := special[date(d).Format(time.DateOnly)]; return ok }
	for d := walls[0]/day + 1; d < walls[len(walls)-1]/day-2; d++ {
		windows := week[date(d).Weekday()]
		if isSpecial(d) {
			windows = special[date(d).Format(time.DateOnly)]
		}
		for _, w := range windows {
			from, to := d*day+w.from, d*day+w.to
			if w.to <= w.from {
				to += day
			}
			if isSpecial(d + 1) {
				to = min(to, (d+1)*day)
			}
			opens, closes := len(walls), 0
			for i, wall := range walls {
				if wall >= from {
					opens = min(opens, i)
				}
				if wall < to {
					closes = i + 1
				} else if wall == to {
					closes = i
				}
			}
			for i := opens; i < closes; i++ {
				o.open[i] = true
			}
		}
	}
	return o
}

func (o oracle) at(minute int) time.Time { return o.start.Add(time.Duration(minute) * time.Minute) }

func TestAgainstTheWallClock(t *testing.T) {
	type place struct {
		name    string
		zone    *time.Location
		changes []time.Time
	}
	var places []place
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, place{name, zone, transitions(t, zone)})
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(places).Draw(t, "zone")
		middle := time.Date(2026, 5, rapid.IntRange(1, 28).Draw(t, "day"), 12, 0, 0, 0, time.UTC)
		if len(p.changes) > 0 {
			middle = rapid.SampledFrom(p.changes).Draw(t, "change")
		}
		spec := calendar.Spec{Name: "x", TimeZone: p.name}
		week := map[time.Weekday][]rawWindow{}
		// Times near the hours at which clocks change, and any others.
		minute := rapid.OneOf(rapid.SampledFrom([]int{0, 15, 30, 45, 60, 75, 90, 119, 120, 121, 150, 180, 195, 210, 240, 1380, 1410, 1439}), rapid.IntRange(0, 1439))
		window := rapid.Custom(func(t *rapid.T) rawWindow {
			w := rawWindow{minute.Draw(t, "from"), rapid.OneOf(minute, rapid.Just(1440)).Draw(t, "to")}
			if w.from == w.to {
				w.to++
			}
			return w
		})
		for range rapid.IntRange(1, 4).Draw(t, "windows") {
			w := window.Draw(t, "window")
			days := rapid.SliceOfNDistinct(rapid.IntRange(0, 6), 1, 7, rapid.ID).Draw(t, "days")
			var names []string
			for _, day := range days {
				week[time.Weekday(day)] = append(week[time.Weekday(day)], w)
				names = append(names, dayNames[day])
			}
			spec.Hours = append(spec.Hours, strings.Join(names, ",")+" "+w.text())
		}
		special := map[string][]rawWindow{}
		for range rapid.IntRange(0, 2).Draw(t, "holidays") {
			d := middle.AddDate(0, 0, rapid.IntRange(-2, 2).Draw(t, "holiday")).Format(time.DateOnly)
			spec.Holidays = append(spec.Holidays, d)
			special[d] = nil
		}
		for _, offset := range rapid.SliceOfNDistinct(rapid.IntRange(-2, 2), 0, 3, rapid.ID).Draw(t, "special days") {
			day := calendar.Day{Date: middle.AddDate(0, 0, offset).Format(time.DateOnly)}
			windows := rapid.SliceOfN(window, 0, 2).Draw(t, "special windows")
			for _, w := range windows {
				day.Hours = append(day.Hours, w.text())
			}
			spec.Days = append(spec.Days, day)
			special[day.Date] = windows
		}
		c, err := calendar.New(spec)
		if err != nil {
			t.Fatal(err)
		}
		o := walk(p.zone, middle, week, special)

		// The walk knows nothing of windows that began before it or end after it: look at the middle days only.
		const from, to = 3 * 24 * 60, (walkDays - 3) * 24 * 60
		const near = 5 * 60 // of the clock change every minute counts, elsewhere some do
		for i := from; i < to; i++ {
			if far := i - walkDays/2*24*60; (far < -near || far > near) && i%11 != 0 {
				continue
			}
			now := o.at(i)
			if got := c.IsOpen(now); got != o.open[i] {
				t.Fatalf("%+v: IsOpen(%s) = %t, the wall clock says %t", spec, now.In(p.zone), got, o.open[i])
			}
		}
		for i := from; i < to; i += 17 {
			checkNext(t, c.NextOpen(o.at(i)), o, i, to, true)
			checkNext(t, c.NextClose(o.at(i)), o, i, to, false)
		}
	})
}

// checkNext compares with the first minute from i on that is open, or closed, as far as the walk knows.
func checkNext(t *rapid.T, got time.Time, o oracle, i, to int, open bool) {
	t.Helper()
	for j := i; j < to; j++ {
		if o.open[j] == open {
			if !got.Equal(o.at(j)) {
				t.Fatalf("from %s the next one with open=%t is %s, the wall clock says %s", o.at(i), open, got, o.at(j))
			}
			return
		}
	}
	if !got.IsZero() && got.Before(o.at(to)) {
		t.Fatalf("from %s the next one with open=%t is %s, the wall clock says not before %s", o.at(i), open, got, o.at(to))
	}
}

func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, err := calendar.New(calendar.Spec{
			Name:     "x",
			TimeZone: rapid.SampledFrom(zones).Draw(t, "zone"),
			Hours:    rapid.SliceOfN(rapid.SampledFrom([]string{"mon-fri 09:00-18:00", "sat 10:00-14:00", "fri-mon 22:00-02:30", "sun 02:10-02:20"}), 1, 3).Draw(t, "hours"),
			Holidays: rapid.SliceOfN(rapid.SampledFrom([]string{"2026-03-29", "2026-12-24", "2026-12-25", "2027-01-01"}), 0, 4).Draw(t, "holidays"),
		})
		if err != nil {
			t.Fatal(err)
		}
		instant := rapid.Custom(func(t *rapid.T) time.Time {
			return time.Unix(rapid.Int64Range(1_700_000_000, 1_900_000_000).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		})
		a, b := instant.Draw(t, "a"), instant.Draw(t, "b")
		if b.Before(a) {
			a, b = b, a
		}
		opens, closes := c.NextOpen(a), c.NextClose(a)
		switch {
		case !c.IsOpen(opens):
			t.Fatalf("closed at its NextOpen %s", opens)
		case c.IsOpen(closes):
			t.Fatalf("open at its NextClose %s", closes)
		case opens.Before(a) || closes.Before(a):
			t.Fatalf("NextOpen %s or NextClose %s is before %s", opens, closes, a)
		case c.IsOpen(a) != opens.Equal(a) || c.IsOpen(a) == closes.Equal(a):
			t.Fatalf("at %s: open %t, NextOpen %s, NextClose %s", a, c.IsOpen(a), opens, closes)
		case c.NextOpen(b).Before(opens) || c.NextClose(b).Before(closes):
			t.Fatalf("not monotone between %s and %s", a, b)
		case !opens.Equal(a) && c.IsOpen(opens.Add(-time.Nanosecond)):
			t.Fatalf("open just before its NextOpen %s", opens)
		case !closes.Equal(a) && !c.IsOpen(closes.Add(-time.Nanosecond)):
			t.Fatalf("closed just before its NextClose %s", closes)
		}
	})
}

func TestSpecialDays(t *testing.T) {
	c := mustNew(t, calendar.Spec{
		TimeZone: "Europe/Berlin", Hours: []string{"mon-fri 09:00-18:00", "mon-sun 22:00-02:00"},
		Holidays: []string{"2026-12-25", "2026-12-26"},
		Days: []calendar.Day{
			{Date: "2026-12-24", Hours: []string{"09:00-12:00", "23:00-01:00"}, Name: "Heiligabend", Source: "special"},
			{Date: "2026-12-25", Name: "1. Weihnachtstag", Source: "country de"},
			{Date: "2026-12-26", Hours: []string{"10:00-11:00"}, Source: "special"},
			{Date: "2026-12-28", Source: "special"},
		},
	})
	for _, step := range []struct{ from, open, close string }{
		{"2026-12-23T20:00:00+01:00", "2026-12-23T22:00:00+01:00", "2026-12-24T00:00:00+01:00"}, // the night ends where the special day begins
		{"2026-12-24T00:00:00+01:00", "2026-12-24T09:00:00+01:00", "2026-12-24T12:00:00+01:00"},
		{"2026-12-24T12:00:00+01:00", "2026-12-24T23:00:00+01:00", "2026-12-25T00:00:00+01:00"}, // cut by the holiday
		{"2026-12-25T00:00:00+01:00", "2026-12-26T10:00:00+01:00", "2026-12-26T11:00:00+01:00"}, // hours beat the holiday of the same date
		{"2026-12-26T11:00:00+01:00", "2026-12-27T22:00:00+01:00", "2026-12-28T00:00:00+01:00"},
		{"2026-12-28T00:00:00+01:00", "2026-12-29T09:00:00+01:00", "2026-12-29T18:00:00+01:00"},
	} {
		opens := c.NextOpen(at(t, step.from))
		if !opens.Equal(at(t, step.open)) || !c.NextClose(opens).Equal(at(t, step.close)) {
			t.Errorf("from %s it opens %s and closes %s, want %s and %s", step.from, opens, c.NextClose(opens), step.open, step.close)
		}
	}
	var got []string
	for _, d := range c.Days() {
		got = append(got, d.Date+" "+strings.Join(d.Hours, ",")+" "+d.Name+" "+d.Source)
	}
	want := []string{
		"2026-12-24 09:00-12:00,23:00-01:00 Heiligabend special", "2026-12-25   holidays", "2026-12-26 10:00-11:00  special", "2026-12-28   special",
	}
	if !slices.Equal(got, want) {
		t.Errorf("days %q, want %q", got, want)
	}
}

func FuzzNew(f *testing.F) {
	f.Add("Europe/Berlin", "mon-fri 09:00-18:00", "2026-12-25")
	f.Add("UTC", "fri-mon 22:00-24:00", "")
	now := at(f, "2026-03-29T00:30:00Z")
	f.Fuzz(func(t *testing.T, zone, hours, holiday string) {
		c, err := calendar.New(calendar.Spec{Name: "x", TimeZone: zone, Hours: []string{hours}, Holidays: []string{holiday}})
		if err == nil && !c.IsOpen(c.NextOpen(now)) {
			t.Errorf("accepted, but never opens")
		}
	})
}

func BenchmarkIsOpen(b *testing.B) {
	c := mustNew(b, calendar.Spec{TimeZone: "Europe/Berlin", Hours: []string{"mon-fri 09:00-18:00"}})
	now := at(b, "2026-03-27T17:30:00Z")
	for b.Loop() {
		c.IsOpen(now)
	}
}

func BenchmarkNextOpen(b *testing.B) {
	c := mustNew(b, calendar.Spec{TimeZone: "Europe/Berlin", Hours: []string{"mon-fri 09:00-18:00"}})
	now := at(b, "2026-03-27T17:30:00Z")
	for b.Loop() {
		c.NextOpen(now)
	}
}
