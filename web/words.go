package web

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"time"

	"alertd"
	"alertd/notifier"
)

// moment is an instant for people and, as ISO, for programs.
type moment struct{ ISO, Text string }

// moment tells t in the zone of a calendar, "" being the page's own, always with the zone's name.
func (s *seen) moment(t time.Time, calendar string) moment {
	if t.IsZero() {
		return moment{}
	}
	zone := s.zone(calendar)
	if zone == nil {
		zone = time.UTC
	}
	t = t.In(zone)
	layout := "Mon 2 Jan 15:04 MST"
	if d := t.Sub(s.now); d > 300*24*time.Hour || d < -300*24*time.Hour {
		layout = "2 Jan 2006 15:04 MST"
	}
	return moment{t.Format(time.RFC3339), t.Format(layout)}
}

// span is a duration in two units at most.
func span(d time.Duration) string {
	d = max(d, 0)
	switch day := 24 * time.Hour; {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		return two(int(d/time.Hour), "h", int(d%time.Hour/time.Minute), "min")
	default:
		return two(int(d/day), "d", int(d%day/time.Hour), "h")
	}
}

func two(big int, unit string, small int, rest string) string {
	if small == 0 {
		return fmt.Sprintf("%d %s", big, unit)
	}
	return fmt.Sprintf("%d %s %d %s", big, unit, small, rest)
}

func ago(d time.Duration) string {
	if d < time.Second {
		return "now"
	}
	return span(d) + " ago"
}

func until(d time.Duration) string {
	if d < time.Second {
		return "now"
	}
	return "in " + span(d)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// number rounds a value to what an eye takes in; where there is none, there is nothing to see.
func number(v alertd.Value) string {
	if math.IsNaN(float64(v)) {
		return ""
	}
	return notifier.Value(v)
}

func latency(ms float64) string {
	switch {
	case !(ms > 0): // not measured, or no number
		return ""
	case ms < 10:
		return strconv.FormatFloat(ms, 'g', 2, 64) + " ms"
	case ms < 10_000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	default:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	}
}

// link is u where it is an absolute link of http or https, and not too long, else "": a label may not choose what a click
// runs, nor fill the page.
func link(u string) string {
	if len(u) > maxLink {
		return ""
	}
	p, err := url.Parse(u)
	if err != nil || (p.Scheme != "http" && p.Scheme != "https") || p.Host == "" || p.User != nil {
		return ""
	}
	return p.String()
}

// clip cuts s to n characters, the last one an ellipsis.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
