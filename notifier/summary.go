package notifier

import (
	"fmt"
	"strings"

	"alertd"
)

// summaryNames is how many names of alerts the title of a summary holds.
const summaryNames = 3

// summaryTitle counts groups, and names the alerts that most of them are about, as far as they are known.
func summaryTitle(n *alertd.Notification, firing, resolved []alertd.Notified) string {
	parts := []string{Word(n.Severity(), len(firing) > 0), SummaryCounts(n.Summary)}
	if len(firing) == 0 {
		parts = parts[1:]
	}
	if s := names(firing, resolved, summaryNames); s != "" {
		parts = append(parts, s)
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
