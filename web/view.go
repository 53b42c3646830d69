package web

import (
	"html/template"
	"slices"
	"strings"
	"time"

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
	filter      *filter
	alerts      []alertd.Alert
	held        []alertd.Held
	drafts      []alertd.Draft
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
	Script  template.JS
	Icon    template.URL
	Refresh int // seconds
	Filter  *filter
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
	First    bool // nothing was seen yet: say what to do
}

type count struct {
	Level, Word string
	N           int
}

func (s *seen) view() view {
	v := view{
		Style: template.CSS(style), Script: template.JS(fragment), Refresh: int(refresh.Seconds()), //nolint:gosec // our own files
		Now: s.moment(s.now, ""), Blind: s.blind, Filter: s.filter,
	}
	waits := map[alertd.Fingerprint]*held{}
	v.Waiting, v.Ended, v.More = s.waiting(waits)
	v.Sections, v.Counts = s.sections(waits), counts(s.alerts)
	if !s.filter.On { // what is chosen is shown as alerts, also where it is info, and the rest is not
		v.Info, v.Unread = s.review()
		v.Rows = s.rows(s.transitions)
	}
	v.Services, v.Hidden = s.reports()
	v.Quiet, v.Louder = s.quiet()
	if s.self != nil {
		self := s.report(*s.self)
		self.Stale = false // it has just been asked
		v.Self = &self
	}
	v.First = !s.filter.On && len(s.blind)+len(s.alerts)+len(s.services)+len(s.transitions)+len(s.silences) == 0
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
	case v.First: // which is no proof that nothing is wrong
		v.Level, v.Verdict, v.Because = "ok", "Ready", "No service has told how it is, and nothing has fired yet."
	default:
		v.Level, v.Verdict = "ok", "All quiet"
	}
	if s.self != nil && s.self.Status != alertd.Healthy && !slices.Contains(s.blind, "the alerts") {
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
