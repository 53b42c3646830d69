package notifier

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"alertd"
)

// Line makes one line of s for people: no control or invisible direction characters, no runs of spaces, at
// most limit runes, cut with an ellipsis.
func Line(s string, limit int) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range s {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			space = b.Len() > 0
			continue
		}
		if invisible(r) {
			continue
		}
		if space {
			if n+1 >= limit {
				return cutRune(b.String(), n, limit)
			}
			b.WriteByte(' ')
			n, space = n+1, false
		}
		if n == limit {
			return cutRune(b.String(), n, limit)
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}

// cutRune ends s, of n runes, with an ellipsis within limit.
func cutRune(s string, n, limit int) string {
	if limit < 1 {
		return ""
	}
	rs := []rune(s)
	if n >= limit {
		rs = rs[:limit-1]
	}
	return strings.TrimRight(string(rs), " ") + "…"
}

// invisible reports characters that change how others look: bidirectional overrides, zero-width spaces, tags.
func invisible(r rune) bool { return unicode.Is(unicode.Cf, r) && r != '\u200d' }

// Ago is how long before now t was, in the coarsest two units: "45s", "5m", "2h 10m", "3d 4h". "" for no time.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return Span(now.Sub(t))
}

// Span writes a duration in its coarsest two units. Less than a second, or a negative one, is "0s".
func Span(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	if d > 10*time.Minute {
		d = d.Truncate(time.Minute)
	}
	days, d := d/(24*time.Hour), d%(24*time.Hour)
	hours, d := d/time.Hour, d%time.Hour
	minutes, seconds := d/time.Minute, d%time.Minute/time.Second
	units := []struct {
		n    time.Duration
		name string
	}{{days, "d"}, {hours, "h"}, {minutes, "m"}, {seconds, "s"}}
	for i, u := range units {
		if u.n == 0 {
			continue
		}
		s := fmt.Sprintf("%d%s", u.n, u.name)
		if i+1 < len(units) && units[i+1].n > 0 {
			s += fmt.Sprintf(" %d%s", units[i+1].n, units[i+1].name)
		}
		return s
	}
	return "0s"
}

// Clock is an instant for people: "12:04:05 UTC" on the day of now, else "2026-01-15 12:04 UTC".
func Clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.IsZero() {
		return "unknown"
	}
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format("15:04:05 UTC")
	}
	return t.Format("2006-01-02 15:04 UTC")
}

// Value is a number for people, with four significant digits: "0.1235", "42", "1.235M", "NaN".
func Value(v alertd.Value) string {
	f := float64(v)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return v.String()
	}
	abs := math.Abs(f)
	if f == math.Trunc(f) && abs < 100_000 {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	for _, u := range []struct {
		at   float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e5, "k"}} {
		if abs >= u.at && abs < 1e15 {
			scale := u.at
			if u.name == "k" {
				scale = 1e3
			}
			return digits(f/scale) + u.name
		}
	}
	return digits(f)
}

func digits(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }
