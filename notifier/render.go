package notifier

import (
	"cmp"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"alertd"

	"github.com/prometheus/prometheus/model/labels"
)

// Split returns the alerts that fire and those that are over, each most urgent first, then what others suffer
// from, then oldest first, then by fingerprint. The notification is not changed.
func Split(n *alertd.Notification) (firing, resolved []alertd.Notified) {
	for _, a := range n.Alerts {
		if a.State.Active() {
			firing = append(firing, a)
		} else {
			resolved = append(resolved, a)
		}
	}
	for _, as := range [][]alertd.Notified{firing, resolved} {
		slices.SortStableFunc(as, func(a, b alertd.Notified) int {
			if d := a.Severity().Rank() - b.Severity().Rank(); d != 0 {
				return d
			}
			if suffers := Affected(&a.Alert) != ""; suffers != (Affected(&b.Alert) != "") {
				if suffers {
					return -1
				}
				return 1
			}
			if d := Began(&a.Alert).Compare(Began(&b.Alert)); d != 0 {
				return d
			}
			return strings.Compare(a.Fingerprint.String(), b.Fingerprint.String())
		})
	}
	return firing, resolved
}

// Fresh returns the firing alerts that a notification tells for the first time.
func Fresh(n *alertd.Notification) []alertd.Notified {
	firing, _ := Split(n)
	return slices.DeleteFunc(firing, func(a alertd.Notified) bool { return !a.Fresh })
}

// Began is when the trouble began: when the condition became true, or, where that is not known, when it fired.
func Began(a *alertd.Alert) time.Time {
	if !a.ActiveAt.IsZero() {
		return a.ActiveAt
	}
	return a.FiredAt
}

// Ended is when an alert that is over was over.
func Ended(a *alertd.Alert) time.Time {
	if !a.ResolvedAt.IsZero() {
		return a.ResolvedAt
	}
	return a.At
}

// Word is the word for a notification's or an alert's urgency: "CRITICAL", "RESOLVED", "ALERT" where the severity
// is not said.
func Word(s alertd.Severity, firing bool) string {
	switch {
	case !firing:
		return "RESOLVED"
	case s == "":
		return "ALERT"
	default:
		return strings.ToUpper(Line(string(s), 20))
	}
}

// Mark is the coloured sign for the same.
func Mark(s alertd.Severity, firing bool) string {
	if !firing {
		return "🟢"
	}
	switch s.Rank() {
	case 0:
		return "🔴"
	case 1:
		return "🟠"
	case 2:
		return "🔵"
	default:
		return "⚪"
	}
}

// Title is a notification in one line without a sign: "CRITICAL · ApplicationDown · checkout", "WARNING · 3
// firing, 1 resolved · DiskUsageHigh", "Business hours: 3 warnings still firing, 2 resolved while held". It has at most 140 runes.
func Title(n *alertd.Notification) string {
	firing, resolved := Split(n)
	if n.Digest {
		return Line(digestLead(n.Reason)+": "+digestCounts(firing, resolved, n.Truncated), 140)
	}
	parts := []string{Word(n.Severity(), len(firing) > 0)}
	switch {
	case AllTaken(n):
		parts[0] += ", acknowledged"
	case n.Reason == alertd.ReasonEscalated, n.Reason == alertd.ReasonRepage:
		parts[0] += ", not acknowledged"
	}
	name := shared(n.Alerts, (*alertd.Alert).Name)
	if name == "" && len(n.Alerts) == 1 {
		name = Name(&n.Alerts[0].Alert)
	}
	if name != "" {
		parts = append(parts, name)
	}
	if len(n.Alerts)+n.Truncated > 1 {
		parts = append(parts, Counts(n))
	}
	component := func(a *alertd.Alert) string { return a.Labels.Get(alertd.LabelComponent) }
	if s := cmp.Or(shared(n.Alerts, (*alertd.Alert).Service), shared(n.Alerts, component)); s != "" {
		parts = append(parts, s)
	}
	for i, p := range parts {
		parts[i] = Line(p, 60)
	}
	return Line(strings.Join(parts, " · "), 140)
}

// Counts is "3 firing", "2 resolved" or "3 firing, 1 resolved", with "and 5 more" where the notification leaves some out.
func Counts(n *alertd.Notification) string {
	firing, resolved := Split(n)
	var parts []string
	if len(firing) > 0 {
		parts = append(parts, fmt.Sprintf("%d firing", len(firing)))
	}
	if len(resolved) > 0 {
		parts = append(parts, fmt.Sprintf("%d resolved", len(resolved)))
	}
	s := strings.Join(parts, ", ")
	if n.Truncated > 0 {
		s += fmt.Sprintf(" and %d more", n.Truncated)
	}
	return s
}

// digestLead is why what was held leaves.
func digestLead(why alertd.Reason) string {
	switch why {
	case alertd.ReasonReleased:
		return "Released"
	case alertd.ReasonMaxHold:
		return "Held for long enough"
	}
	return "Business hours"
}

func digestCounts(firing, resolved []alertd.Notified, truncated int) string {
	var parts []string
	if len(firing) > 0 {
		parts = append(parts, BySeverity(firing)+" still firing")
	}
	if len(resolved) > 0 {
		parts = append(parts, fmt.Sprintf("%d resolved while held", len(resolved)))
	}
	if truncated > 0 {
		parts = append(parts, fmt.Sprintf("%d more", truncated))
	}
	if len(parts) == 0 {
		return "nothing is left"
	}
	return strings.Join(parts, ", ")
}

// BySeverity counts alerts in words: "1 critical, 2 warnings". The alerts are in the order of [Split].
func BySeverity(as []alertd.Notified) string {
	var parts []string
	for i := 0; i < len(as); {
		s := as[i].Severity()
		j := i
		for j < len(as) && as[j].Severity().Rank() == s.Rank() {
			j++
		}
		word := string(s)
		if s.Rank() > 2 {
			word = "other"
		} else if s == alertd.Warning && j-i > 1 {
			word = "warnings"
		}
		parts = append(parts, fmt.Sprintf("%d %s", j-i, word))
		i = j
	}
	return strings.Join(parts, ", ")
}

// shared is what all alerts have in common, or "".
func shared(as []alertd.Notified, of func(*alertd.Alert) string) string {
	var v string
	for i := range as {
		switch s := of(&as[i].Alert); {
		case i == 0:
			v = s
		case s != v:
			return ""
		}
	}
	return v
}

// Name is what to call an alert, at most 80 runes: its name, else its labels.
func Name(a *alertd.Alert) string {
	if s := Line(a.Name(), 80); s != "" {
		return s
	}
	return Line(a.Labels.String(), 80)
}

// Which returns a function that tells the alerts of a notification apart: it names the labels in which they
// differ, "instance=a, mountpoint=/var", in at most 60 runes. Name, service and severity are shown anyway.
func Which(n *alertd.Notification) func(*alertd.Alert) string {
	shown := []string{alertd.LabelAlert, alertd.LabelService, alertd.LabelSeverity}
	type seen struct {
		value string
		times int
		many  bool
	}
	all := map[string]*seen{}
	for i := range n.Alerts {
		n.Alerts[i].Labels.Range(func(l labels.Label) {
			s := all[l.Name]
			if s == nil {
				s = &seen{value: l.Value}
				all[l.Name] = s
			}
			s.times++
			s.many = s.many || s.value != l.Value
		})
	}
	return func(a *alertd.Alert) string {
		var parts []string
		a.Labels.Range(func(l labels.Label) { // sorted by name
			s := all[l.Name]
			isService := a.Labels.Get(alertd.LabelService) == "" && l.Name == "job" // see alertd.ServiceOf
			if s != nil && (s.many || s.times < len(n.Alerts)) && !isService && !slices.Contains(shown, l.Name) {
				parts = append(parts, l.Name+"="+l.Value)
			}
		})
		return Line(strings.Join(parts, ", "), 60)
	}
}

// NextStep is what the person who reads this does first, "" where the rule does not say.
func NextStep(a *alertd.Alert) string { return a.Annotations.Get(alertd.AnnotationNextStep) }

// Affected names the services that suffer from what an alert is about, and are not told one by one; "" where it hides
// none.
func Affected(a *alertd.Alert) string { return a.Annotations.Get(alertd.AnnotationAffected) }

// Runbook is the URL of an alert's runbook, "" where there is none that may be linked.
func Runbook(a *alertd.Alert) string {
	if u := Link(a.RunbookURL); u != "" {
		return u
	}
	return Link(a.Annotations.Get(alertd.AnnotationRunbook))
}

// SilenceLink is where a silence for what a notification tells as firing can be made, filled in. "" where nothing fires, or
// alertd has no page.
func SilenceLink(n *alertd.Notification, external string) string {
	firing, _ := Split(n)
	base, err := url.Parse(external)
	if err != nil || external == "" || len(firing) == 0 {
		return ""
	}
	all := make([]alertd.Labels, len(firing))
	for i := range firing {
		all[i] = firing[i].Labels
	}
	path, query, _ := strings.Cut(alertd.SilencePath(all...), "?")
	base = base.JoinPath(path)
	base.RawQuery = query
	return Link(base.String())
}

// Trace is where an alert's trace is: a URL, or, where nobody keeps the trace or no URL is configured, its id as text.
func Trace(a *alertd.Alert) (link, id string) {
	id = Line(a.Trace.TraceID, 32)
	if a.Trace.Unsampled || a.TraceLost {
		return "", id
	}
	return Link(a.TraceURL), id
}

// TraceNote says beside a trace what it shows, in brackets: " (took 5.2 s)"; "" where that is not known.
func TraceNote(a *alertd.Alert) string {
	if note := Line(a.TraceNote, 60); note != "" {
		return " (" + note + ")"
	}
	return ""
}

// WhyNoTrace says beside a trace id why it is not a link.
func WhyNoTrace(a *alertd.Alert) string {
	switch {
	case a.Trace.Unsampled:
		return "not sampled"
	case a.TraceLost:
		return "not stored by the tracing back-end"
	}
	return "no trace URL configured"
}

// Taken says who has an alert: "acknowledged by eva: rollback", at most 200 runes; "" where nobody has.
func Taken(a *alertd.Alert) string {
	if a.Ack == nil {
		return ""
	}
	s := "acknowledged by " + a.Ack.By
	if a.Ack.Why != "" {
		s += ": " + a.Ack.Why
	}
	return Line(s, 200)
}

// AllTaken reports whether something fires and somebody has all of it.
func AllTaken(n *alertd.Notification) bool {
	firing, _ := Split(n)
	return len(firing) > 0 && n.Truncated == 0 && !slices.ContainsFunc(firing, func(a alertd.Notified) bool { return a.Ack == nil })
}

// AckLink is the page on which people take what a notification tells: the one alert that fires, or all of its group. It
// is "" where alertd's own page is not known, where nothing fires or somebody has all of it, and for a digest, which is
// about many groups.
func AckLink(n *alertd.Notification, external string) string {
	base, err := url.Parse(external)
	firing, _ := Split(n)
	if err != nil || external == "" || len(firing) == 0 || AllTaken(n) {
		return ""
	}
	q := url.Values{}
	switch {
	case len(n.Alerts)+n.Truncated == 1:
		q.Set("alert", firing[0].Fingerprint.String())
	case n.Digest:
		return ""
	default:
		q.Set("group", string(n.Group))
	}
	page := base.JoinPath("ack")
	page.RawQuery = q.Encode()
	return Link(page.String())
}

const maxLink = 2000

// Link returns u if it may be shown as a link: absolute, http or https, at most 2000 bytes long, without
// characters that would end it early in Slack or in a terminal. Otherwise "".
func Link(u string) string {
	u = strings.TrimSpace(u)
	if u == "" || len(u) > maxLink {
		return ""
	}
	p, err := url.Parse(u)
	if err != nil || (p.Scheme != "http" && p.Scheme != "https") || p.Host == "" {
		return ""
	}
	u = linkEscaper.Replace(p.String())
	if len(u) > maxLink || strings.ContainsFunc(u, func(r rune) bool { return r > unicode.MaxASCII || unicode.IsControl(r) }) {
		return ""
	}
	return u
}

var linkEscaper = strings.NewReplacer("|", "%7C", "<", "%3C", ">", "%3E", `"`, "%22", "`", "%60", " ", "%20", "\\", "%5C")

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

// Held is how long an alert waited for business hours, "" where it did not wait.
func Held(a *alertd.Notified, now time.Time) string { return Ago(a.HeldSince, now) }

// Flapping says that an alert comes and goes: "flapping: 6 changes in 30m"; "" where it does not.
func Flapping(a *alertd.Notified) string {
	if a.Changes == 0 {
		return ""
	}
	return fmt.Sprintf("flapping: %d changes in %s", a.Changes, Span(alertd.FlapWindow))
}
