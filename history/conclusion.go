package history

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"alertd"
)

// Conclusion answers first what somebody asks who was told of an alert, or was not: what people heard last and why no more,
// and who has taken it. show writes an instant.
func Conclusion(steps []Step, show func(time.Time) string) string {
	v := verdictOf(steps)
	parts := v.told(show)
	for _, w := range slices.Backward(v.withheld) {
		parts = append(parts, v.untold(w, show))
	}
	switch {
	case len(parts) == 0:
		parts = append(parts, v.nothing(show))
	case len(v.said) > 0 && v.isOver() && !v.end:
		parts = append(parts, "It is over since "+show(v.state.Time)+", and that is not told yet.")
	}
	if s := v.silenced; s != nil && len(v.withheld) == 0 {
		parts = append(parts, "A silence of "+s.CreatedBy+" ("+s.Comment+") matches it until "+show(s.EndsAt)+".")
	}
	if v.acked != nil {
		text := "Taken by " + v.acked.By
		if !v.acked.Until.IsZero() {
			text += " until " + show(v.acked.Until)
		}
		parts = append(parts, text+".")
	}
	return strings.Join(parts, " ")
}

// verdict is what the steps come to since the alert began last. Lists are the latest first.
type verdict struct {
	state    *Step            // the last change
	said     []*Step          // the last word to each destination: an attempt, that it goes into a summary, or that it is to be sent
	withheld []*Step          // why not, of each receiver to which nothing was said afterwards
	cause    map[*Step]*Step  // of one that ended untold: what kept it from being told
	end      bool             // what was said last is that it is over
	late     map[string]*Step // notification → its plan, of digests that left late
	silenced *SilenceStep     // that is not over and does not recur
	acked    *Step            // who has it
}

func verdictOf(steps []Step) verdict {
	v := verdict{cause: map[*Step]*Step{}, late: map[string]*Step{}}
	aside := map[string]bool{} // notifications that only bring a message up to date
	for i := range steps {
		if s := &steps[i]; s.Kind == KindPlanned && (s.Reason == string(alertd.ReasonAcked) || s.Reason == string(alertd.ReasonUnacked)) {
			aside[s.Notification] = true
		}
	}
	heard := map[string]bool{}   // destinations, and receivers of which any has heard
	untold := map[string]*Step{} // receiver → why
	done := map[string]bool{}    // silences of which something was done later
	var planned []*Step          // of each destination the last, unless it is about what was before the end
	flushed, taken, before := false, false, false
walk:
	for i := range slices.Backward(steps) {
		s := &steps[i]
		receiver, _, _ := strings.Cut(s.Receiver, "/")
		switch s.Kind {
		case KindTransition:
			v.state = cmp.Or(v.state, s)
			before = v.end // what was said before the alert was over is not the last word
			if s.From == string(alertd.Inactive) {
				break walk
			}
		case KindAcked, KindUnacked:
			if s.Kind == KindAcked && !taken && !v.isOver() {
				v.acked = s
			}
			taken = true
		case KindSilence:
			if done[s.Silence.ID] {
				continue
			}
			done[s.Silence.ID] = true
			if act := s.Silence.Act; act == alertd.SilenceMade || act == alertd.SilenceChanged {
				v.silences(s.Silence)
			}
		case KindPlanned:
			if !s.Due.IsZero() {
				v.late[s.Notification] = s
			}
			if !before && untold[receiver] == nil && !aside[s.Notification] {
				planned = append(planned, s)
			}
		case KindTold, KindClosed:
			v.end = v.end || !flushed && s.Kind == KindClosed
			flushed = true
		case KindAttempt, KindFolded:
			if !before && untold[receiver] == nil && !heard[s.Receiver] && !aside[s.Notification] {
				heard[s.Receiver], heard[receiver] = true, true
				v.said = append(v.said, s)
			}
		case KindWithheld:
			switch last := untold[receiver]; {
			case last == nil && !heard[receiver]:
				untold[receiver] = s
				v.withheld = append(v.withheld, s)
			case last != nil && v.cause[last] == nil && last.Reason == string(alertd.ReasonEnded):
				v.cause[last] = s
			}
		}
	}
	for _, s := range planned { // what has not been sent yet is the last word only where there is no other
		if !heard[s.Receiver] {
			heard[s.Receiver] = true
			v.said = append(v.said, s)
		}
	}
	return v
}

// silences notes a silence that has not ended in the steps. Of several it is the one that ends last.
func (v *verdict) silences(s *SilenceStep) {
	if s.Recurs == "" && !v.isOver() && (v.silenced == nil || v.silenced.EndsAt.Before(s.EndsAt)) {
		v.silenced = s
	}
}

func (v *verdict) isOver() bool {
	return v.state != nil && (v.state.To == string(alertd.Resolved) || v.state.To == string(alertd.Inactive))
}

// told says to whom it was said, and to whom it was not yet.
func (v *verdict) told(show func(time.Time) string) (parts []string) {
	var took, not []string
	var late *Step
	for _, s := range slices.Backward(v.said) {
		switch {
		case s.Kind == KindFolded:
			not = append(not, s.Receiver+" is to hear of it in a summary")
		case s.Kind == KindPlanned:
			not = append(not, s.Receiver+" is to hear of it since "+show(s.Time))
		case s.To == string(alertd.Delivered):
			took = append(took, s.Receiver+" took it at "+show(s.Time))
			late = cmp.Or(late, v.late[s.Notification])
		case s.Until.IsZero():
			not = append(not, s.Receiver+" answered "+s.To+" and is not asked again")
		default:
			not = append(not, s.Receiver+" answered "+s.To+", and is asked again at "+show(s.Until))
		}
	}
	what, missing := "Told: ", "Not delivered yet: "
	if v.end {
		what, missing = "Told that it is over: ", "That it is over is not delivered yet: "
	}
	if len(took) > 0 {
		parts = append(parts, what+strings.Join(took, ", ")+".")
	}
	if late != nil {
		parts = append(parts, "It left "+late.late(show)+".")
	}
	if len(not) > 0 {
		parts = append(parts, missing+strings.Join(not, ", ")+".")
	}
	return parts
}

// untold says why one receiver was not told.
func (v *verdict) untold(s *Step, show func(time.Time) string) string {
	text := toldBefore(s.Reason) + ": " + withheld(cmp.Or(v.cause[s], s), show)
	if v.isOver() && toldBefore(s.Reason) == notTold {
		text += "; it is over since " + show(v.state.Time)
	}
	return text + "."
}

// nothing says why there is nothing to say.
func (v *verdict) nothing(show func(time.Time) string) string {
	switch {
	case v.state == nil:
	case v.state.To == string(alertd.Pending):
		return "Not told: it is pending, its rule waits whether it lasts."
	case v.state.From == string(alertd.Pending) && v.isOver():
		return "Not told: it was pending only, and is over since " + show(v.state.Time) + "."
	}
	return "Nothing was to be told."
}

const notTold = "Not told"

// toldBefore is what it comes to that an alert was withheld: some reasons are about the end of one that was told.
func toldBefore(reason string) string {
	switch alertd.Reason(reason) {
	case alertd.ReasonFlapping:
		return "Told, but its end not yet"
	case alertd.ReasonNoResolve:
		return "Told, but not its end"
	case alertd.ReasonDeduplicated:
		return "Told before, and not again"
	default:
		return notTold
	}
}
