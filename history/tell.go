package history

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"alertd"
)

// Tell says the step in words. show writes an instant.
func (s *Step) Tell(show func(time.Time) string) string {
	switch s.Kind {
	case KindTransition:
		text := fmt.Sprintf("%s → %s: %s", s.From, s.To, s.Reason)
		if s.Value != nil {
			text += ", value " + s.Value.String()
		}
		if !s.At.IsZero() && s.At.Sub(s.Time).Abs() > time.Second {
			text += ", event of " + show(s.At)
		}
		if s.TraceID != "" {
			text += ", trace " + s.TraceID
		}
		if s.Detail == alertd.RulePosted {
			return text
		}
		return text + ", rule " + s.Detail
	case KindJoined:
		text := fmt.Sprintf("route %s to %s, %s", s.Detail, s.Receiver, s.Reason)
		if s.By != "" {
			text += " by calendar " + s.By
		}
		return text + ", group " + string(s.Group)
	case KindWithheld:
		return "not told: " + withheld(s, show)
	case KindTold:
		return "told as firing"
	case KindClosed:
		return "told as resolved"
	case KindEnded:
		return "left its group without a word"
	case KindAcked:
		text := "acknowledged by " + s.By + ", from " + s.Detail
		if !s.Until.IsZero() {
			text += ", until " + show(s.Until)
		}
		if s.Reason != "" {
			text += ": " + s.Reason
		}
		return text
	case KindSilence:
		return s.Silence.tell(show)
	case KindReleased:
		return "let go by " + s.By + ", from " + s.Detail
	case KindUnacked:
		if s.Reason == string(alertd.ReasonUnacked) {
			return s.Reason + " by " + s.By + ", from " + s.Detail
		}
		return s.Reason + " (" + s.By + ")"
	case KindFolded:
		return fmt.Sprintf("%s: told in summary %s in place of a message of its own, %s", s.Receiver, s.By, s.Reason)
	case KindWaited:
		return s.Receiver + ": waited until now, " + s.Reason
	case KindPlanned:
		text := fmt.Sprintf("notification for %s: %s", s.Receiver, s.Reason)
		if late := s.late(show); late != "" {
			text += ", " + late
		}
		return text
	case KindAttempt:
		var text strings.Builder
		text.WriteString(fmt.Sprintf("%s: %s %s", s.Receiver, s.By, s.To))
		for _, more := range []string{s.Reason, s.Detail} {
			if more != "" {
				text.WriteString(", " + more)
			}
		}
		if !s.Until.IsZero() {
			text.WriteString(", again at " + show(s.Until))
		}
		if s.TraceID != "" {
			text.WriteString(", trace " + s.TraceID)
		}
		return text.String()
	default:
		return string(s.Kind)
	}
}

// late says how late a digest left, and when it was to leave.
func (s *Step) late(show func(time.Time) string) string {
	if s.Due.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s late: it was to leave at %s", model.Duration(s.Time.Sub(s.Due).Round(time.Second)), show(s.Due))
}

func withheld(s *Step, show func(time.Time) string) string {
	text := s.Reason
	switch {
	case s.ByAlert != "" && s.ByService != "":
		text += " by " + s.ByAlert + " of " + s.ByService + " (" + s.By + ")"
	case s.ByAlert != "":
		text += " by " + s.ByAlert + " (" + s.By + ")"
	case s.By != "":
		text += " by " + s.By
	}
	if s.Detail != "" {
		text += " (" + s.Detail + ")"
	}
	if !s.Until.IsZero() {
		text += " until " + show(s.Until)
	}
	if s.Receiver != "" {
		text += ", for " + s.Receiver
	}
	return text
}
