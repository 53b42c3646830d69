// Package console writes notifications for a person at a terminal: what is wrong, what to do next, where to
// read on. It is the destination when no receiver is configured.
package console

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"alertd"
	"alertd/notifier"
)

const (
	width   = 80
	gutter  = 12 // of the labels on the left
	details = 5  // alerts that are told at length
	lines   = 20 // alerts that are told in a line
)

// Sender writes to one writer, one notification at a time. It is safe for concurrent use.
type Sender struct {
	mu    sync.Mutex
	w     io.Writer
	color bool

	external string
}

// New returns a sender that writes to w, with ANSI colours where color says so ([Colors] knows). external is alertd's
// own page; "" where it has none.
func New(w io.Writer, color bool, external string) *Sender {
	return &Sender{w: w, color: color, external: external}
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Colors reports whether to write to w in colours: it is a terminal that has them, and nobody has set NO_COLOR.
func Colors(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && IsTerminal(w)
}

// Text is a notification as a sender without colours writes it. external is as for [New].
func Text(n *alertd.Notification, external string) string { return New(nil, false, external).render(n) }

// Send writes the notification. There is no reference. A write that fails is tried again: the class is network
// where nothing was written, else the outcome is unknown.
func (s *Sender) Send(_ context.Context, n alertd.Notification) (string, error) {
	text := s.render(&n)
	s.mu.Lock()
	defer s.mu.Unlock()
	written, err := io.WriteString(s.w, text)
	if err == nil {
		return "", nil
	}
	de := &alertd.DeliveryError{Outcome: alertd.Retry, Class: alertd.FailureNetwork, Err: fmt.Errorf("console: %w", err)}
	if written > 0 {
		de.Outcome, de.Class = alertd.Unknown, alertd.FailureServer
	}
	return "", de
}

// page collects lines of text.
type page struct {
	strings.Builder
	color bool
	which func(*alertd.Alert) string
}

func (s *Sender) render(n *alertd.Notification) string {
	p := &page{color: s.color, which: notifier.Which(n)}
	firing, resolved := notifier.Split(n)
	p.title(n, len(firing) > 0)
	if n.Summary != nil {
		p.summary(n, firing, resolved)
	} else {
		p.body(n, firing, resolved)
	}
	switch u := notifier.AckLink(n, s.external); {
	case u == "":
	case n.Collective() && len(n.Alerts)+n.Truncated > 1:
		p.field("Acks", "Acks", u)
	default:
		p.field("Ack", "Ack", u)
	}
	if u := notifier.SilenceLink(n, s.external); u != "" {
		p.field("Silence", "Silence", u)
	}
	p.WriteString("\n")
	return p.String()
}

// title is one line: the coloured word, the rest, and the time at the right edge.
func (p *page) title(n *alertd.Notification, firing bool) {
	clock := n.PlannedAt.UTC().Format("15:04:05 UTC")
	title := notifier.Line(notifier.Title(n), width-len(clock)-2)
	pad := strings.Repeat(" ", max(width-utf8.RuneCountInString(title)-len(clock), 2))
	p.WriteString(p.paint("2", strings.Repeat("─", width)) + "\n")
	p.WriteString(p.paint(paintOf(n.Severity(), firing), title) + pad + p.paint("2", clock) + "\n")
}

// body tells the most urgent alerts at length and the others in a line each.
func (p *page) body(n *alertd.Notification, firing, resolved []alertd.Notified) {
	if n.Reason != "" && n.Reason != alertd.ReasonFirst && n.Status() == "firing" && !n.Digest {
		p.field("Reason", "Reason", notifier.Line(string(n.Reason), width-gutter))
	}
	if len(n.Alerts)+n.Truncated == 1 { // the title has its name already
		p.alert(n, &n.Alerts[0])
		return
	}
	firing, resolved, flapping := notifier.Restless(n, firing, resolved)
	for i := range firing[:min(details, len(firing))] {
		a := &firing[i]
		word := notifier.Word(a.Severity(), true)
		p.field(p.paint(paintOf(a.Severity(), true), word), word, p.heading(a, width-gutter))
		p.alert(n, a)
		p.WriteString("\n")
	}
	left := n.Truncated
	left += p.list("Also", n, firing[min(details, len(firing)):])
	left += p.list("Resolved", n, resolved)
	left += p.list("Flapping", n, flapping)
	p.more(left)
}

// summary tells of many groups, a line for each alert.
func (p *page) summary(n *alertd.Notification, firing, resolved []alertd.Notified) {
	p.wrapped("", notifier.SummaryNote(n))
	p.more(n.Truncated + p.list("Firing", n, firing) + p.list("Resolved", n, resolved))
}

func (p *page) more(left int) {
	if left > 0 {
		p.field("", "", fmt.Sprintf("and %d more: alertd alerts", left))
	}
}

// alert tells one alert at length, without its name.
func (p *page) alert(n *alertd.Notification, a *alertd.Notified) {
	if s := notifier.Line(a.Summary(), 400); s != "" && s != a.Name() {
		p.wrapped("", s)
	}
	if a.State.Active() {
		if s := notifier.Line(notifier.Reason(&a.Alert), 450); s != "" {
			p.wrapped("Because", s)
		}
		if s := notifier.Line(notifier.Affected(&a.Alert), 600); s != "" {
			p.wrapped("Affects", s)
		}
		if s := notifier.Line(notifier.NextStep(&a.Alert), 400); s != "" {
			p.wrapped("Do next", s)
		}
	}
	if v := a.Measured(); math.IsNaN(float64(v)) {
		p.wrapped("State", history(n, a))
	} else {
		p.wrapped("Value", notifier.Value(v)+", "+history(n, a))
	}
	if u := notifier.Runbook(&a.Alert); u != "" {
		p.field("Runbook", "Runbook", u)
	}
	for _, d := range notifier.Dashboards(&a.Alert) {
		p.field("Look at", "Look at", notifier.Line(d.Title, 40)+": "+d.URL)
	}
	switch link, id := notifier.Trace(&a.Alert); {
	case link != "":
		p.field("Trace", "Trace", link+notifier.TraceNote(&a.Alert))
	case id != "":
		p.field("Trace", "Trace", id+" ("+notifier.WhyNoTrace(&a.Alert)+")")
	}
}

// history is an alert's life in a few words: "firing since 12:00:05 UTC (4m)".
func history(n *alertd.Notification, a *alertd.Notified) string {
	began := notifier.Began(&a.Alert)
	if !a.State.Active() {
		s := "resolved at " + notifier.Clock(notifier.Ended(&a.Alert), n.PlannedAt)
		if took := notifier.Ago(began, notifier.Ended(&a.Alert)); took != "" {
			s += " after " + took
		}
		if on := notifier.GoesOn(a); on != "" {
			s += ", " + on
		}
		if flapping := notifier.Flapping(a); flapping != "" {
			s += ", " + flapping
		}
		return s
	}
	s := "firing since " + notifier.Clock(began, n.PlannedAt)
	if ago := notifier.Ago(began, n.PlannedAt); ago != "" {
		s += " (" + ago + ")"
	}
	if held := notifier.Held(a, n.PlannedAt); held != "" {
		s += ", " + held
	}
	if flapping := notifier.Flapping(a); flapping != "" {
		s += ", " + flapping
	}
	if taken := notifier.Taken(&a.Alert); taken != "" {
		s += ", " + taken
	}
	return s
}

// heading is an alert's name and service, and what else tells it from the others.
func (p *page) heading(a *alertd.Notified, limit int) string {
	s := notifier.Name(&a.Alert)
	if service := a.Service(); service != "" {
		s += " · " + service
	}
	if which := p.which(&a.Alert); which != "" {
		s += " · " + which
	}
	return notifier.Line(s, limit)
}

// list tells alerts in a line each, the label on the left of the first one, and returns how many it left out.
func (p *page) list(label string, n *alertd.Notification, as []alertd.Notified) int {
	for i := range as[:min(lines, len(as))] {
		tail := ", " + brief(n, &as[i])
		p.field(label, label, p.heading(&as[i], width-gutter-utf8.RuneCountInString(tail))+tail)
		label = ""
	}
	return max(len(as)-lines, 0)
}

func brief(n *alertd.Notification, a *alertd.Notified) string {
	s := "lasted " + notifier.Ago(notifier.Began(&a.Alert), notifier.Ended(&a.Alert))
	if a.State.Active() {
		s = "for " + notifier.Ago(notifier.Began(&a.Alert), n.PlannedAt)
	}
	if a.Changes > 0 {
		s += ", flapping"
	}
	return s
}

// field writes one line: a label of which plain is what is seen, and a text.
func (p *page) field(label, plain, text string) {
	if label == plain {
		label = p.paint("2", label)
	}
	pad := max(gutter-2-utf8.RuneCountInString(plain), 1)
	p.WriteString("  " + label + strings.Repeat(" ", pad) + text + "\n")
}

// wrapped writes a text over as many lines as it needs.
func (p *page) wrapped(label, text string) {
	var line string
	for word := range chunks(text, width-gutter) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width-gutter {
			p.field(label, label, line)
			label, line = "", ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		p.field(label, label, line)
	}
}

// chunks yields the words of text, those that are too long for a line in parts.
func chunks(text string, limit int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for word := range strings.FieldsSeq(text) {
			for part := range slices.Chunk([]rune(word), limit) {
				if !yield(string(part)) {
					return
				}
			}
		}
	}
}

// paint wraps text in an ANSI attribute.
func (p *page) paint(attribute, text string) string {
	if !p.color || text == "" {
		return text
	}
	return "\x1b[" + attribute + "m" + text + "\x1b[0m"
}

func paintOf(s alertd.Severity, firing bool) string {
	switch {
	case !firing:
		return "1;32" // bold green
	case s == alertd.Critical:
		return "1;31" // bold red
	case s == alertd.Warning:
		return "1;33" // bold yellow
	default:
		return "1;34" // bold blue
	}
}
