package web

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/history"
)

// Bounds of the page. A page that lists everything is one that nobody can load when it matters.
const (
	maxAlerts      = 100 // of one severity
	maxHeld        = 100
	maxReview      = 20
	maxServices    = 200
	maxChecks      = 20 // of one service
	maxTransitions = 25
	maxUnfolded    = 6   // alerts of one card that show at once
	maxChips       = 12  // labels shown of one alert
	maxChip        = 160 // characters of one label
	maxProse       = 400 // characters of a summary, a next step, an error
	maxLink        = 2000
)

// reviewed is how far back "info to review" looks, stale how old a health report may be.
const (
	reviewed = 24 * time.Hour
	stale    = 5 * time.Minute
)

// seen is what the sources said, at one instant.
type seen struct {
	now         time.Time
	zone        func(calendar string) *time.Location
	alerts      []alertd.Alert
	held        []alertd.Held
	services    []alertd.Health
	silences    []alertd.SilenceView
	transitions []history.Transition
	info        []history.Transition
	self        *alertd.Health
	blind       []string // sources that did not answer
}

// view is the page in words. The template only places them.
type view struct {
	Style   template.CSS
	Icon    template.URL
	Refresh int // seconds
	Paused  bool
	Version string

	Title    string
	Verdict  string
	Because  string // a second line, or ""
	Level    string // critical, warning or ok: a class and a shape
	Now      moment
	Counts   []count
	Blind    []string
	Sections []section
	Waiting  []release
	Ended    int // of those that wait, over already
	More     int // that wait and are not shown
	Info     []row
	Unread   int // info that is not shown
	Services []service
	Hidden   int // services
	Quiet    []silenceRow
	Louder   int // silences that are not shown
	Rows     []row
	Self     *service
}

type count struct {
	Level, Word string
	N           int
}

// section holds the alerts of one severity.
type section struct {
	Level, Title string
	Cards        []card
	More         int
}

// card is what one name stands for: the alerts that ask for the same next step, and wait for the same hour.
type card struct {
	Level, Name   string
	N             int
	Next, Runbook string
	Silence       string // the form for it
	Held          *held
	Shared        []chip // labels that all of several alerts have
	Alerts        []one  // the first of them
	Rest          []one  // folded
}

// one is an alert on a card.
type one struct {
	Service      string
	Page         string // its own page
	State, For   string // "firing", "12 min"
	Since        moment
	Summary      string
	Value        string
	Trace, Trail string // the link, or a trace's id where there is none
	TraceNote    string // what it shows
	Unsampled    bool
	Chips        []chip // labels
	Hidden       int    // labels
	Ack          string // the fingerprint, where somebody may take it
	Taken        string // who has, until when and why
}

type chip struct{ Name, Value string }

// held says where an alert waits.
type held struct {
	Until    moment
	In       string
	Receiver string
}

// release is what leaves together.
type release struct {
	Until         moment
	In            string
	Receiver, Why string
	Alerts        []waiting
}

type waiting struct {
	Level, Name, Service string
	N                    int  // so many of them
	Over                 bool // resolved while it waited
}

// row is a transition.
type row struct {
	Level, Name, Service string
	Time                 moment
	Ago                  string
	From, To             string
	Reason, Summary      string
	Runbook, Trace       string
}

// service is a health report.
type service struct {
	Level, Name, Status string
	Ago                 string
	Stale               bool
	Checks              []check
	More                int // checks that are not shown
}

type check struct {
	Level, Name, Status, Latency, Error string
}

// moment is an instant for people and, as ISO, for programs.
type moment struct{ ISO, Text string }

func (s *seen) view() view {
	v := view{
		Style: template.CSS(style), Refresh: int(refresh.Seconds()), //nolint:gosec // our own file
		Now: s.moment(s.now, ""), Blind: s.blind,
	}
	waits := map[alertd.Fingerprint]*held{}
	v.Waiting, v.Ended, v.More = s.waiting(waits)
	v.Sections, v.Counts = s.sections(waits)
	v.Info, v.Unread = s.review()
	v.Rows = s.rows(s.transitions)
	v.Services, v.Hidden = s.reports()
	v.Quiet, v.Louder = s.quiet()
	if s.self != nil {
		self := s.report(*s.self)
		self.Stale = false // it has just been asked
		v.Self = &self
	}
	s.judge(&v)
	return v
}

// judge says in one line whether anybody has to do anything.
func (s *seen) judge(v *view) {
	n := map[string]int{}
	for _, c := range v.Counts {
		n[c.Level] = c.N
	}
	switch {
	case slices.Contains(s.blind, "the alerts"):
		v.Level, v.Verdict, v.Because = "critical", "alertd cannot say what is firing", "Do not rely on this page; alertd's log has the reason."
	case n["critical"] > 0:
		v.Level, v.Verdict = "critical", plural(n["critical"], "critical alert", "critical alerts")
	case n["warning"] > 0:
		v.Level, v.Verdict = "warning", "Nothing urgent"
	default:
		v.Level, v.Verdict = "ok", "All quiet"
	}
	if s.self != nil && s.self.Status != alertd.Healthy && v.Because == "" {
		v.Because = "alertd itself is " + string(s.self.Status) + ": this page may not show everything."
		if v.Level == "ok" {
			v.Level, v.Verdict = "warning", "Nothing is known to be wrong"
		}
	}
	v.Title = v.Verdict + " · alertd"
	v.Icon = icons[v.Level]
}

// icons are shapes as well as colours, for tabs.
var icons = map[string]template.URL{
	"critical": icon(`<path fill="%23d1242f" d="M8 1l7.5 14H.5z"/>`),
	"warning":  icon(`<path fill="%23bf8700" d="M8 .5L15.5 8 8 15.5.5 8z"/>`),
	"ok":       icon(`<circle cx="8" cy="8" r="7" fill="%231a7f37"/>`),
}

func icon(shape string) template.URL {
	const head = `data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">`
	return template.URL(strings.NewReplacer("<", "%3C", ">", "%3E", `"`, "'", " ", "%20").Replace(head + shape + "</svg>")) //nolint:gosec // constants
}

// levels in the order in which people need them.
var levels = []struct{ level, title, one, many string }{
	{"critical", "Critical", "critical", "critical"},
	{"warning", "Warning", "warning", "warnings"},
	{"info", "Info", "info", "info"},
	{"other", "Other severities", "other", "other"},
}

func levelOf(s alertd.Severity) string { return levels[min(s.Rank(), len(levels)-1)].level }

func (s *seen) sections(waits map[alertd.Fingerprint]*held) (out []section, counts []count) {
	byLevel := map[string][]*alertd.Alert{}
	for i := range s.alerts {
		if a := &s.alerts[i]; order(a.State) != over {
			level := levelOf(a.Severity())
			byLevel[level] = append(byLevel[level], a)
		}
	}
	for _, l := range levels {
		shown, n, more := byLevel[l.level], 0, 0
		for _, a := range shown {
			if a.State.Active() {
				n++
			}
		}
		slices.SortFunc(shown, func(a, b *alertd.Alert) int {
			return cmp.Or(
				cmp.Compare(order(a.State), order(b.State)),
				a.ActiveAt.Compare(b.ActiveAt),
				cmp.Compare(a.Fingerprint, b.Fingerprint),
			)
		})
		if len(shown) > maxAlerts {
			shown, more = shown[:maxAlerts], len(shown)-maxAlerts
		}
		if l.level != "info" && len(shown) > 0 { // info has a list of its own
			out = append(out, section{l.level, l.title, s.cards(shown, l.level, waits), more})
		}
		if n > 0 || l.level != "other" {
			word := l.many
			if n == 1 {
				word = l.one
			}
			counts = append(counts, count{l.level, word, n})
		}
	}
	return out, counts
}

// over is the order of what is not shown.
const over = 3

func order(s alertd.State) int {
	switch s {
	case alertd.Firing, alertd.NoData, alertd.Failing:
		return 0
	case alertd.Recovering:
		return 1
	case alertd.Pending:
		return 2
	default:
		return over
	}
}

// cards puts together what one person does in one go, in the order of the first of each.
func (s *seen) cards(alerts []*alertd.Alert, level string, waits map[alertd.Fingerprint]*held) []card {
	type key struct{ name, next, runbook, until, receiver string }
	var out []card
	var members [][]*alertd.Alert
	at := map[key]int{}
	for _, a := range alerts {
		c := card{Level: level, Name: clip(a.Name(), maxChip), Next: clip(a.Annotations.Get(alertd.AnnotationNextStep), maxProse), Held: waits[a.Fingerprint]}
		if c.Runbook = link(a.RunbookURL); c.Runbook == "" {
			c.Runbook = link(a.Annotations.Get(alertd.AnnotationRunbook))
		}
		k := key{name: a.Name(), next: c.Next, runbook: c.Runbook}
		if c.Held != nil {
			k.until, k.receiver = c.Held.Until.ISO, c.Held.Receiver
		}
		i, ok := at[k]
		if !ok {
			i, at[k] = len(out), len(out)
			out, members = append(out, c), append(members, nil)
		}
		members[i] = append(members[i], a)
	}
	for i := range out {
		shared := map[string]string{}
		if len(members[i]) > 1 {
			shared = common(members[i])
		}
		c := &out[i]
		c.N = len(members[i])
		all := make([]alertd.Labels, c.N)
		for j, a := range members[i] {
			all[j] = a.Labels
		}
		c.Silence = "./" + alertd.SilencePath(all...)
		c.Shared, _ = chips(members[i][0].Labels, func(l labels.Label) bool { return shared[l.Name] == l.Value })
		for j, a := range members[i] {
			o := s.one(a, shared)
			if j < maxUnfolded {
				c.Alerts = append(c.Alerts, o)
			} else {
				c.Rest = append(c.Rest, o)
			}
		}
	}
	return out
}

// common are the labels that all alerts have with the same value.
func common(alerts []*alertd.Alert) map[string]string {
	out := alerts[0].Labels.Map()
	for _, a := range alerts[1:] {
		maps.DeleteFunc(out, func(name, value string) bool { return a.Labels.Get(name) != value })
	}
	return out
}

func (s *seen) one(a *alertd.Alert, shared map[string]string) one {
	since := a.ActiveAt
	if a.State == alertd.Recovering && !a.GoneAt.IsZero() {
		since = a.GoneAt
	}
	o := one{
		Page: "./alerts/" + a.Fingerprint.String(), Service: clip(a.Service(), maxChip), State: string(a.State), For: span(s.now.Sub(since)), Since: s.moment(a.ActiveAt, ""),
		Value: number(a.Value), Trace: link(a.TraceURL), TraceNote: clip(a.TraceNote, maxChip), Unsampled: a.Trace.Unsampled,
	}
	if a.State.Active() {
		o.Ack = a.Fingerprint.String()
	}
	if a.Ack != nil {
		o.Taken = s.taken(a.Ack)
	}
	if summary := a.Summary(); summary != a.Name() {
		o.Summary = clip(summary, maxProse)
	}
	if o.Trace == "" || o.Unsampled { // nobody keeps what was not sampled: a link would lead nowhere
		o.Trace, o.Trail = "", clip(a.Trace.TraceID, 32)
	}
	o.Chips, o.Hidden = chips(a.Labels, func(l labels.Label) bool {
		_, said := shared[l.Name]
		return !said
	})
	return o
}

// taken says who has an alert: "eva, until Mon 15:04 UTC: rollback".
func (s *seen) taken(a *alertd.Ack) string {
	text := clip(a.By, maxChip)
	if !a.Until.IsZero() {
		text += ", until " + s.moment(a.Until, "").Text
	}
	if a.Why != "" {
		text += ": " + clip(a.Why, maxProse)
	}
	return text
}

// chips are the labels that want is true for, but those that stand elsewhere, and how many more there are.
func chips(ls alertd.Labels, want func(labels.Label) bool) (out []chip, hidden int) {
	ls.Range(func(l labels.Label) {
		switch l.Name {
		case alertd.LabelAlert, alertd.LabelSeverity, alertd.LabelService:
			return
		}
		switch {
		case !want(l):
		case len(out) == maxChips:
			hidden++
		default:
			out = append(out, chip{clip(l.Name, maxChip), clip(l.Value, maxChip)})
		}
	})
	return out, hidden
}

// waiting groups what leaves together, first due first, and notes in waits where each alert waits.
func (s *seen) waiting(waits map[alertd.Fingerprint]*held) (out []release, ended, more int) {
	all := s.byRelease()
	type key struct {
		until                      int64
		receiver, reason, calendar string
	}
	var last key
	for i, h := range all {
		until, in := s.moment(h.Until, h.Calendar), until(h.Until.Sub(s.now))
		if waits[h.Alert.Fingerprint] == nil {
			waits[h.Alert.Fingerprint] = &held{Until: until, In: in, Receiver: clip(h.Receiver, maxChip)}
		}
		done := !h.Alert.State.Active()
		if done {
			ended++
		}
		if i >= maxHeld {
			more++
			continue
		}
		k := key{h.Until.UnixNano(), h.Receiver, string(h.Reason), h.Calendar}
		if len(out) == 0 || k != last {
			why := string(h.Reason)
			if h.Calendar != "" {
				why += " by " + h.Calendar
			}
			out, last = append(out, release{Until: until, In: in, Receiver: clip(h.Receiver, maxChip), Why: clip(why, maxChip)}), k
		}
		r := &out[len(out)-1]
		w := waiting{levelOf(h.Alert.Severity()), clip(h.Alert.Name(), maxChip), clip(h.Alert.Service(), maxChip), 1, done}
		if n := len(r.Alerts); n > 0 {
			if same := r.Alerts[n-1]; same.Name == w.Name && same.Service == w.Service && same.Over == w.Over && same.Level == w.Level {
				r.Alerts[n-1].N++
				continue
			}
		}
		r.Alerts = append(r.Alerts, w)
	}
	return out, ended, more
}

// byRelease are those that wait in the order in which people hear of them. What is compared is looked up once for each, since
// there may be thousands.
func (s *seen) byRelease() []*alertd.Held {
	type entry struct {
		*alertd.Held
		rank, over    int
		name, service string
	}
	all := make([]entry, len(s.held))
	for i := range s.held {
		h := &s.held[i]
		all[i] = entry{h, h.Alert.Severity().Rank(), order(h.Alert.State), h.Alert.Name(), h.Alert.Service()}
	}
	slices.SortFunc(all, func(a, b entry) int {
		if c := cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Receiver, b.Receiver), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Calendar, b.Calendar), cmp.Compare(a.rank, b.rank)); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.service, b.service), cmp.Compare(a.over, b.over),
			cmp.Compare(a.Alert.Fingerprint, b.Alert.Fingerprint), cmp.Compare(a.Group, b.Group))
	})
	out := make([]*alertd.Held, len(all))
	for i := range all {
		out[i] = all[i].Held
	}
	return out
}

func (s *seen) rows(ts []history.Transition) []row {
	var out []row
	for i := range ts {
		t := &ts[i]
		r := row{
			Level: levelOf(t.Severity), Name: clip(t.Alert, maxChip), Service: clip(t.Service, maxChip),
			Time: s.moment(t.Time, ""), Ago: ago(s.now.Sub(t.Time)), From: clip(string(t.From), maxChip), To: clip(string(t.To), maxChip),
			Reason: clip(string(t.Reason), maxChip), Runbook: link(t.RunbookURL), Trace: link(t.TraceURL),
		}
		if t.Summary != t.Alert {
			r.Summary = clip(t.Summary, maxProse)
		}
		out = append(out, r)
	}
	return out
}

// review lists info that fires, and what fired within the last day, newest first, each alert once.
func (s *seen) review() (out []row, more int) {
	all := slices.Clone(s.info)
	for i := range s.alerts {
		if a := &s.alerts[i]; levelOf(a.Severity()) == "info" && a.State.Active() {
			all = append(all, history.Transition{
				Time: cmp.Or(a.FiredAt, a.ActiveAt), Alert: a.Name(), Severity: a.Severity(), Service: a.Service(), From: alertd.Inactive, To: a.State,
				Summary: a.Summary(), RunbookURL: a.RunbookURL, TraceURL: a.TraceURL, Fingerprint: a.Fingerprint,
			})
		}
	}
	slices.SortStableFunc(all, func(a, b history.Transition) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	told := map[alertd.Fingerprint]bool{}
	all = slices.DeleteFunc(all, func(t history.Transition) bool {
		again := told[t.Fingerprint]
		told[t.Fingerprint] = true
		return again
	})
	if len(all) > maxReview {
		all, more = all[:maxReview], len(all)-maxReview
	}
	return s.rows(all), more
}

func (s *seen) reports() (out []service, hidden int) {
	all := make([]*alertd.Health, len(s.services))
	for i := range s.services {
		all[i] = &s.services[i]
	}
	// What is unwell first: that is what people look for.
	slices.SortFunc(all, func(a, b *alertd.Health) int {
		return cmp.Or(cmp.Compare(wellness[s.wellness(a)], wellness[s.wellness(b)]), cmp.Compare(a.Service, b.Service))
	})
	if len(all) > maxServices {
		all, hidden = all[:maxServices], len(all)-maxServices
	}
	for _, h := range all {
		out = append(out, s.report(*h))
	}
	return out, hidden
}

// wellness is the level of a report. Who was healthy once and is silent since is a warning: nobody knows whether it is.
func (s *seen) wellness(h *alertd.Health) string {
	level := healthLevel(h.Status)
	if level == "ok" && s.now.Sub(h.Timestamp) > stale {
		return "warning"
	}
	return level
}

var wellness = map[string]int{"critical": 0, "warning": 1, "ok": 2}

func (s *seen) report(h alertd.Health) service {
	age := s.now.Sub(h.Timestamp)
	out := service{Level: s.wellness(&h), Name: clip(h.Service, maxChip), Status: clip(string(h.Status), maxChip), Ago: ago(age), Stale: age > stale}
	for _, name := range slices.Sorted(maps.Keys(h.Checks)) {
		c := h.Checks[name]
		out.Checks = append(out.Checks, check{
			Level: healthLevel(c.Status), Name: clip(name, maxChip), Status: clip(string(c.Status), maxChip),
			Latency: latency(c.LatencyMS), Error: clip(c.Error, maxProse),
		})
	}
	if len(out.Checks) > maxChecks {
		slices.SortStableFunc(out.Checks, func(a, b check) int { return cmp.Compare(wellness[a.Level], wellness[b.Level]) })
		out.Checks, out.More = out.Checks[:maxChecks], len(out.Checks)-maxChecks
	}
	return out
}

func healthLevel(s alertd.HealthStatus) string {
	switch s {
	case alertd.Healthy:
		return "ok"
	case alertd.Degraded:
		return "warning"
	default:
		return "critical"
	}
}

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

// number rounds a value to what an eye takes in.
func number(v alertd.Value) string { return strconv.FormatFloat(float64(v), 'g', 4, 64) }

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
