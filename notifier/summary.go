package notifier

import (
	"fmt"
	"slices"
	"strings"

	"alertd"
)

// summaryNames is how many names of alerts the title of a summary holds.
const summaryNames = 3

// summaryTitle counts groups, and names the alerts that most of them are about, as far as they are known.
func summaryTitle(n *alertd.Notification, firing, resolved []alertd.Notified) string {
	shown := firing
	if len(shown) == 0 {
		shown = resolved
	}
	var names []string
	for i := range shown {
		if name := Line(Name(&shown[i].Alert), 30); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	parts := []string{Word(n.Severity(), len(firing) > 0), SummaryCounts(n.Summary)}
	if len(firing) == 0 {
		parts = parts[1:]
	}
	if len(names) > 0 {
		more := ""
		if len(names) > summaryNames {
			more = ", …"
		}
		parts = append(parts, strings.Join(names[:min(summaryNames, len(names))], ", ")+more)
	}
	return Line(strings.Join(parts, " · "), 140)
}

// SummaryCounts says how many groups a summary is about: "12 more groups firing, 3 resolved".
func SummaryCounts(s *alertd.Summary) string {
	groups := func(n int) string {
		if n == 1 {
			return "1 more group"
		}
		return fmt.Sprintf("%d more groups", n)
	}
	switch {
	case s.Resolved == 0:
		return groups(s.Firing) + " firing"
	case s.Firing == 0:
		return groups(s.Resolved) + " resolved"
	}
	return fmt.Sprintf("%s firing, %d resolved", groups(s.Firing), s.Resolved)
}

// SummaryNote says why there is a summary.
func SummaryNote(n *alertd.Notification) string {
	return fmt.Sprintf("In place of a message for each: %s gets at most %d a minute.", Line(n.Receiver, 60), n.Summary.Limit)
}
