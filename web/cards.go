package web

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// section holds the alerts of one severity.
type section struct {
	Level, Title string
	Cards        []card
	More         int
}

// card is what one name stands for: the alerts that ask for the same next step, and wait for the same hour.
type card struct {
	ID            string // for the address and the browser: that of its first alert
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
	Flaps        string // "flapping: 6 changes in 30 min"
}

type chip struct{ Name, Value string }

// levels in the order in which people need them.
var levels = []struct{ level, title, one, many string }{
	{"critical", "Critical", "critical", "critical"},
	{"warning", "Warning", "warning", "warnings"},
	{"info", "Info", "info", "info"},
	{"other", "Other severities", "other", "other"},
}

func levelOf(s alertd.Severity) string { return levels[min(s.Rank(), len(levels)-1)].level }

// sections are the alerts that the filter lets through, by severity. Info has a list of its own where nothing is filtered.
func (s *seen) sections(waits map[alertd.Fingerprint]*held) (out []section) {
	byLevel := map[string][]*alertd.Alert{}
	for i := range s.alerts {
		a := &s.alerts[i]
		if order(a.State) == over {
			continue
		}
		s.filter.Of++
		if s.filter.shows(a) {
			s.filter.Shown++
			level := levelOf(a.Severity())
			byLevel[level] = append(byLevel[level], a)
		}
	}
	for _, l := range levels {
		shown, more := byLevel[l.level], 0
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
		if len(shown) > 0 && (l.level != "info" || s.filter.On) {
			out = append(out, section{l.level, l.title, s.cards(shown, l.level, waits), more})
		}
	}
	return out
}

// counts says how many alerts of each severity fire, whatever is shown of them.
func counts(alerts []alertd.Alert) (out []count) {
	firing := map[string]int{}
	for i := range alerts {
		if alerts[i].State.Active() {
			firing[levelOf(alerts[i].Severity())]++
		}
	}
	for _, l := range levels {
		n := firing[l.level]
		word := l.many
		if n == 1 {
			word = l.one
		}
		if n > 0 || l.level != "other" {
			out = append(out, count{l.level, word, n})
		}
	}
	return out
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
		c.N, c.ID = len(members[i]), "card-"+members[i][0].Fingerprint.String()
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
		Value: number(a.Measured()), Trace: link(a.TraceURL), TraceNote: clip(a.TraceNote, maxChip), Unsampled: a.Trace.Unsampled,
	}
	if a.State.Active() {
		o.Ack = a.Fingerprint.String()
	}
	if a.Ack != nil {
		o.Taken = s.taken(a.Ack)
	}
	o.Flaps = flaps(a)
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

// flaps says that an alert comes and goes; "" where it does not.
func flaps(a *alertd.Alert) string {
	if a.Changes == 0 {
		return ""
	}
	return fmt.Sprintf("flapping: %d changes in %s", a.Changes, span(alertd.FlapWindow))
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
