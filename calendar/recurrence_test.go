package calendar_test

import (
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	"pgregory.net/rapid"

	"alertd/calendar"
)

// wall is what the zone's clock shows, as if it were UTC.
func wall(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// The answer is compared with a walk over every minute around it: a window opens at a minute at which the clock shows,
// for the first time, a time that the expression names, and when the clock is set over such a time.
func TestRecurrenceIsWhatTheClockShows(t *testing.T) {
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "UTC", "Pacific/Apia"}
	crons := []string{"0 2 * * *", "30 2 * * *", "15 0 * * sun", "*/20 * * * *", "45 1,3 * * *", "0 23 * * 6,0", "5 0 30 12 *"}
	days := []string{ // on or around which clocks were set
		"2026-03-28", "2026-10-24", "2026-03-07", "2026-10-31", "2026-04-04", "2026-10-03", "2026-09-05", "2026-06-15", "2011-12-29",
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(zones).Draw(t, "zone")
		expr := rapid.SampledFrom(crons).Draw(t, "cron")
		d := time.Duration(rapid.IntRange(1, 20).Draw(t, "minutes")) * time.Minute
		day, err := time.Parse(time.DateOnly, rapid.SampledFrom(days).Draw(t, "day"))
		if err != nil {
			t.Fatal(err)
		}
		at := day.Add(time.Duration(rapid.IntRange(-24*60, 72*60).Draw(t, "after")) * time.Minute)
		r, err := calendar.NewRecurrence(expr, d, name)
		if err != nil {
			t.Fatal(err)
		}
		start, end := r.Window(at)
		if !end.After(at) || end.Sub(start) != d {
			t.Fatalf("window %s to %s of %s is not one of %s after %s", start, end, expr, d, at)
		}
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := cron.ParseStandard(expr)
		if err != nil {
			t.Fatal(err)
		}
		spec.(*cron.SpecSchedule).Location = time.UTC
		// The latest time that the clock has shown so far: what is not later it shows again, after it was set back.
		first := at.Truncate(time.Minute).Add(-d).Add(time.Minute)
		shown := wall(first.Add(-26*time.Hour), zone)
		for minute := first.Add(-26 * time.Hour); minute.Before(at.Add(48 * time.Hour)); minute = minute.Add(time.Minute) {
			was := shown
			if w := wall(minute, zone); w.After(shown) {
				shown = w
			}
			next := spec.Next(was)
			if next.IsZero() || next.After(shown) || !minute.Add(d).After(at) {
				continue // none opens, or it was over before
			}
			if !minute.Equal(start) {
				t.Fatalf("%s in %s at %s: the window begins %s, not %s", expr, name, at, minute, start)
			}
			return
		}
		if start.Before(at.Add(48 * time.Hour)) {
			t.Fatalf("%s in %s at %s: no window begins at %s", expr, name, at, start)
		}
	})
}

func TestRecurrenceRefuses(t *testing.T) {
	for _, c := range []struct {
		cron     string
		duration time.Duration
		zone     string
		says     string
	}{
		{"TZ=Europe/Berlin", time.Hour, "UTC", "the zone is said beside it"}, // the library panics
		{"CRON_TZ=UTC 0 2 * * *", time.Hour, "UTC", "the zone is said beside it"},
		{"@every 1h", time.Minute, "UTC", "names no hours"},
		{"0 2 * *", time.Hour, "UTC", "write minute, hour, day, month and weekday"},
		{"61 2 * * *", time.Hour, "UTC", "write minute, hour"},
		{"", time.Hour, "UTC", "write minute, hour"},
		{"0 0 30 2 *", time.Hour, "UTC", "names no day that there is"},
		{"*/5 * * * *", 6 * time.Minute, "UTC", "while the one before it"},
		{"0 2 * * *", time.Second, "UTC", "lasts from 1m to 7d"},
		{"0 2 1 * *", 8 * 24 * time.Hour, "UTC", "lasts from 1m to 7d"},
		{"0 2 * * *", time.Hour, "", "time zone is missing"},
		{"0 2 * * *", time.Hour, "Local", "differs from machine to machine"},
		{"0 2 * * *", time.Hour, "Europe/Bonn", "unknown time zone"},
	} {
		if _, err := calendar.NewRecurrence(c.cron, c.duration, c.zone); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q %s %q: %v, want %q", c.cron, c.duration, c.zone, err, c.says)
		}
	}
}

func FuzzRecurrence(f *testing.F) {
	f.Add("0 2 * * sat", int64(time.Hour), int64(1774656000))
	f.Add("TZ=", int64(time.Minute), int64(0))
	f.Fuzz(func(t *testing.T, expr string, d, at int64) {
		r, err := calendar.NewRecurrence(expr, time.Duration(d), "Europe/Berlin")
		if err != nil {
			return
		}
		now := time.Unix(at%(1<<33), 0)
		if start, end := r.Window(now); !start.IsZero() && (!end.After(now) || !end.After(start)) {
			t.Fatalf("%q for %s at %s: %s to %s", expr, time.Duration(d), now, start, end)
		}
	})
}
