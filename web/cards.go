package web

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/notifier"
)

// section holds the alerts of one severity.
type section struct {
	Level, Title string
	Cards        []card
	More         int
}

// card is what one name stands for: the alerts that have the same runbook, and wait for the same hour.
type card struct {
	ID            string // for the address and the browser: that of its first alert
	Level, Name   string
	N             int
	Next, Runbook string // the next step, if it is the same for all
	Silence       string // the form for it
	Held          *held
	Shared        []chip // labels that all of several alerts have
	Alerts        []one  // the first of them
	Rest          []one  // folded
	More          int    // that are not shown
	All           string // where they are
}

// one is an alert on a card.
type one struct {
	Service      string
	Page         string // its own page
	State, For   string // "firing", "12 min"
	Since        moment
	Summary      string
	Reason       string // what the failing checks say
	Next         string // where those of a card differ
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
		shown := byLevel[l.level]
		slices.SortFunc(shown, func(a, b *alertd.Alert) int {
			return cmp.Or(
				cmp.Compare(order(a.State), order(b.State)),
				a.ActiveAt.Compare(b.ActiveAt),
				cmp.Compare(a.Fingerprint, b.Fingerprint),
			)
		})
		if len(shown) > 0 && (l.level != "info" || s.filter.On) {
			cards, more := s.cards(shown, l.level, waits)
			out = append(out, section{l.level, l.title, cards, more})
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

// cards puts together what one person does in one go, in the order of the first of each, and says how many alerts are on
// none of them. What there is much of leaves room for what there is little of.
func (s *seen) cards(alerts []*alertd.Alert, level string, waits map[alertd.Fingerprint]*held) (out []card, more int) {
	type key struct{ name, runbook, until, receiver string }
	var members [][]*alertd.Alert
	at := map[key]int{}
	for _, a := range alerts {
		c := card{Level: level, Name: clip(a.Name(), maxChip), Next: clip(a.Annotations.Get(alertd.AnnotationNextStep), maxProse), Held: waits[a.Fingerprint]}
		if c.Runbook = link(a.RunbookURL); c.Runbook == "" {
			c.Runbook = link(a.Annotations.Get(alertd.AnnotationRunbook))
		}
		k := key{name: a.Name(), runbook: c.Runbook}
		if c.Held != nil {
			k.until, k.receiver = c.Held.Until.ISO, c.Held.Receiver
		}
		i, ok := at[k]
		if !ok {
			i, at[k] = len(out), len(out)
			out, members = append(out, c), append(members, nil)
		}
		if members[i] = append(members[i], a); out[i].Next != c.Next {
			out[i].Next = ""
		}
	}
	share := shares(members)
	for i := range share {
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
		if c.More = c.N - share[i]; c.More > 0 {
			c.All = address(url.Values{"filter": {alertd.Matcher{Name: alertd.LabelAlert, Value: members[i][0].Name(), IsEqual: true}.String()}})
		}
		for j, a := range members[i][:share[i]] {
			o := s.one(a, shared)
			if c.Next == "" {
				o.Next = clip(a.Annotations.Get(alertd.AnnotationNextStep), maxProse)
			}
			if j < maxUnfolded {
				c.Alerts = append(c.Alerts, o)
			} else {
				c.Rest = append(c.Rest, o)
			}
		}
	}
	for _, left := range members[len(share):] {
		more += len(left)
	}
	return out[:len(share)], more
}

// shares says how many of the alerts of each card are shown, maxAlerts in all: first one of each card, then what is unfolded,
// then the rest. Cards that are not in the answer are not shown.
func shares(members [][]*alertd.Alert) []int {
	out := make([]int, min(len(members), maxAlerts))
	left := maxAlerts
	for _, upTo := range []int{1, maxUnfolded, maxAlerts} {
		for i := range out {
			more := min(min(len(members[i]), upTo)-out[i], left)
			out[i] += more
			left -= more
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
	o.Flaps, o.Reason = flaps(a), clip(notifier.Reason(a), maxProse)
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
