package slack

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"alertd"
	"alertd/notifier"
)

// shortly adds the most urgent alert's summary and next step to a fallback text.
func shortly(firing []alertd.Notified) string {
	if len(firing) == 0 {
		return ""
	}
	a := &firing[0]
	var s string
	if sum := a.Summary(); sum != a.Name() {
		s += "\n" + esc(sum, 300)
	}
	if reason := notifier.Reason(&a.Alert); reason != "" {
		s += "\nBecause: " + esc(reason, 300)
	}
	if affected := notifier.Affected(&a.Alert); affected != "" {
		s += "\nAffects: " + esc(affected, 300)
	}
	if next := notifier.NextStep(&a.Alert); next != "" {
		s += "\nDo next: " + esc(next, 300)
	}
	return s
}

// plainText tells all of it in words, for a message whose blocks were refused.
func plainText(n *alertd.Notification, title, external string) string {
	l := newLayout(n)
	firing, resolved := notifier.Split(n)
	var b strings.Builder
	b.WriteString("*" + esc(title, 400) + "*")
	left, size := n.Truncated, units(title)
	for i, a := range append(firing, resolved...) {
		text := "\n" + l.line(&a)
		if i == 0 {
			text = "\n" + l.detail(&a, l.heading(&a))
		}
		if size+units(text) > maxText-1000 {
			left++
			continue
		}
		size += units(text)
		b.WriteString(text)
	}
	if left > 0 {
		fmt.Fprintf(&b, "\nand %d more", left)
	}
	for _, u := range []string{link(notifier.AckLink(n, external), "Acknowledge"), link(notifier.HomeLink(n, external), "Open alertd")} {
		if u != "" {
			b.WriteString("\n" + u)
		}
	}
	if u := link(notifier.SilenceLink(n, external), "Silence"); u != "" {
		b.WriteString(" · " + u)
	}
	return b.String()
}

// trace is the link to an alert's trace, or its id in words.
func trace(a *alertd.Notified) string {
	u, id := notifier.Trace(&a.Alert)
	if s := link(u, "Trace"); s != "" {
		if note := notifier.TraceNote(&a.Alert); note != "" {
			s += " " + esc(note, 80)
		}
		return s
	}
	if id == "" {
		return ""
	}
	return "Trace " + esc(id, 64) + " (" + notifier.WhyNoTrace(&a.Alert) + ")"
}

// link is Slack's form of a link, "" for a URL that is empty or too long.
func link(u, text string) string {
	if u == "" || len(u) > maxURL {
		return ""
	}
	return "<" + strings.ReplaceAll(u, "&", "&amp;") + "|" + text + ">"
}

// date is an instant that Slack shows in each reader's own time zone.
func date(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return fmt.Sprintf("<!date^%d^{date_short_pretty} {time}|%s>", t.Unix(), t.UTC().Format("2006-01-02 15:04 UTC"))
}

func color(n *alertd.Notification, firing bool) string {
	switch {
	case !firing:
		return "#2e9e5b"
	case notifier.AllTaken(n):
		return "#8d8d8d"
	}
	switch n.Severity().Rank() {
	case 0:
		return "#d0312d"
	case 1:
		return "#e8912d"
	case 2:
		return "#3a7bd5"
	default:
		return "#8d8d8d"
	}
}

// esc makes one line of text from outside that cannot be markup, of at most limit characters when escaped.
func esc(s string, limit int) string {
	var b strings.Builder
	size := 0
	for _, r := range notifier.Line(s, limit) {
		piece := string(r)
		switch r {
		case '&':
			piece = "&amp;"
		case '<':
			piece = "&lt;"
		case '>':
			piece = "&gt;"
		}
		if size+units(piece) > limit-1 {
			return b.String() + "…"
		}
		size += units(piece)
		b.WriteString(piece)
	}
	return b.String()
}

// cut shortens plain text. It is not for text that holds escapes or links.
func cut(s string, limit int) string {
	if units(s) <= limit {
		return s
	}
	size := 0
	for i, r := range s {
		if size += utf16.RuneLen(r); size > limit-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// units is the length that Slack may count: UTF-16 code units.
func units(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}
