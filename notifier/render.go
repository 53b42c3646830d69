package notifier

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"alertd"

	"github.com/prometheus/prometheus/model/labels"
)

// Split returns the alerts that fire and those that are over, each most urgent first, then what others suffer
// from, then oldest first, then by fingerprint. The notification is not changed.
func Split(n *alertd.Notification) (firing, resolved []alertd.Notified) {
	for _, a := range n.Alerts {
		if a.State.Active() {
			firing = append(firing, a)
		} else {
			resolved = append(resolved, a)
		}
	}
	for _, as := range [][]alertd.Notified{firing, resolved} {
		slices.SortStableFunc(as, func(a, b alertd.Notified) int {
			if d := a.Severity().Rank() - b.Severity().Rank(); d != 0 {
				return d
			}
			if suffers := Affected(&a.Alert) != ""; suffers != (Affected(&b.Alert) != "") {
				if suffers {
					return -1
				}
				return 1
			}
			if d := Began(&a.Alert).Compare(Began(&b.Alert)); d != 0 {
				return d
			}
			return strings.Compare(a.Fingerprint.String(), b.Fingerprint.String())
		})
	}
	return firing, resolved
}

// Fresh returns the firing alerts that a notification tells for the first time.
func Fresh(n *alertd.Notification) []alertd.Notified {
	firing, _ := Split(n)
	return slices.DeleteFunc(firing, func(a alertd.Notified) bool { return !a.Fresh })
}

// Began is when the trouble began: when the condition became true, or, where that is not known, when it fired.
func Began(a *alertd.Alert) time.Time {
	if !a.ActiveAt.IsZero() {
		return a.ActiveAt
	}
	return a.FiredAt
}

// Ended is when an alert that is over was over.
func Ended(a *alertd.Alert) time.Time {
	if !a.ResolvedAt.IsZero() {
		return a.ResolvedAt
	}
	return a.At
}

// Word is the word for a notification's or an alert's urgency: "CRITICAL", "RESOLVED", "ALERT" where the severity
// is not said.
func Word(s alertd.Severity, firing bool) string {
	switch {
	case !firing:
		return "RESOLVED"
	case s == "":
		return "ALERT"
	default:
		return strings.ToUpper(Line(string(s), 20))
	}
}

// Mark is the coloured sign for the same.
func Mark(s alertd.Severity, firing bool) string {
	if !firing {
		return "🟢"
	}
	switch s.Rank() {
	case 0:
		return "🔴"
	case 1:
		return "🟠"
	case 2:
		return "🔵"
	default:
		return "⚪"
	}
}

// Title is a notification in one line without a sign: "CRITICAL · ApplicationDown · checkout", "WARNING ·
// DiskUsageHigh · 3 firing, 1 resolved", "CRITICAL · ComponentUnhealthy, … · 2 firing · pg-main", "Business hours: 3 warnings still firing, 2 resolved while held",
// "Business hours, 1h 12m late: 1 warning still firing · DiskUsageHigh · orders-db", "CRITICAL · 12 more groups firing, 3
// resolved · ApplicationDown, DiskUsageHigh". It has at most 140 runes.
func Title(n *alertd.Notification) string {
	firing, resolved := Split(n)
	if n.Summary != nil {
		return summaryTitle(n, firing, resolved)
	}
	if n.Digest {
		title := digestLead(n) + ": " + digestCounts(firing, resolved, n.Truncated)
		if len(n.Alerts)+n.Truncated == 1 {
			a := &n.Alerts[0].Alert
			title += " · " + Name(a)
			if service := a.Service(); service != "" {
				title += " · " + Line(service, 60)
			}
		}
		return Line(title, 140)
	}
	parts := []string{Word(n.Severity(), len(firing) > 0)}
	switch {
	case AllTaken(n):
		parts[0] += ", acknowledged"
	case n.Reason == alertd.ReasonEscalated, n.Reason == alertd.ReasonRepage:
		parts[0] += ", not acknowledged"
	case n.Reason == alertd.ReasonAckTimeout:
		parts[0] += ", " + string(n.Reason)
	}
	if was := turned(n); was != "" {
		parts[0] += ", " + was
	}
	name := shared(n.Alerts, (*alertd.Alert).Name)
	if name == "" && len(n.Alerts) == 1 {
		name = Name(&n.Alerts[0].Alert)
	}
	if name = cmp.Or(name, names(firing, resolved, titleNames)); name != "" {
		parts = append(parts, name)
	}
	if len(n.Alerts)+n.Truncated > 1 {
		parts = append(parts, Counts(n))
	}
	component := func(a *alertd.Alert) string { return a.Labels.Get(alertd.LabelComponent) }
	if s := cmp.Or(shared(n.Alerts, (*alertd.Alert).Service), shared(n.Alerts, component)); s != "" {
		parts = append(parts, s)
	}
	for i, p := range parts {
		parts[i] = Line(p, 60)
	}
	return Line(strings.Join(parts, " · "), 140)
}

// turned says of a notification of one alert that the severity has changed, which is not the same as that something began, or is over:
// "was warning", "goes on as warning"; else "".
func turned(n *alertd.Notification) string {
	if len(n.Alerts)+n.Truncated != 1 {
		return ""
	}
	a := &n.Alerts[0]
	if a.State.Active() && a.HeldAs != "" {
		return "was " + Line(string(a.HeldAs), 20)
	}
	return GoesOn(a)
}

// Counts is "3 firing", "2 resolved" or "3 firing, 1 resolved", with "and 5 more" where the notification leaves some out.
func Counts(n *alertd.Notification) string {
	firing, resolved := Split(n)
	var parts []string
	if len(firing) > 0 {
		parts = append(parts, fmt.Sprintf("%d firing", len(firing)))
	}
	if len(resolved) > 0 {
		parts = append(parts, fmt.Sprintf("%d resolved", len(resolved)))
	}
	s := strings.Join(parts, ", ")
	if n.Truncated > 0 {
		s += fmt.Sprintf(" and %d more", n.Truncated)
	}
	return s
}

// digestLead is why what was held leaves, and how late: "Business hours, 1h 12m late".
func digestLead(n *alertd.Notification) string {
	lead := "Business hours"
	switch n.Reason {
	case alertd.ReasonReleased:
		lead = "Released"
	case alertd.ReasonMaxHold:
		lead = "Held for long enough"
	}
	if late := Late(n); late != "" {
		lead += ", " + late
	}
	return lead
}

// Late says of a digest how late it left: "1h 12m late"; "" where it left in time.
func Late(n *alertd.Notification) string {
	if n.DueAt.IsZero() {
		return ""
	}
	return Ago(n.DueAt, n.PlannedAt) + " late"
}

func digestCounts(firing, resolved []alertd.Notified, truncated int) string {
	var parts []string
	if len(firing) > 0 {
		parts = append(parts, BySeverity(firing)+" still firing")
	}
	if len(resolved) > 0 {
		parts = append(parts, fmt.Sprintf("%d resolved while held", len(resolved)))
	}
	if truncated > 0 {
		parts = append(parts, fmt.Sprintf("%d more", truncated))
	}
	if len(parts) == 0 {
		return "nothing is left"
	}
	return strings.Join(parts, ", ")
}

// BySeverity counts alerts in words: "1 critical, 2 warnings". The alerts are in the order of [Split].
func BySeverity(as []alertd.Notified) string {
	var parts []string
	for i := 0; i < len(as); {
		s := as[i].Severity()
		j := i
		for j < len(as) && as[j].Severity().Rank() == s.Rank() {
			j++
		}
		word := string(s)
		if s.Rank() > 2 {
			word = "other"
		} else if s == alertd.Warning && j-i > 1 {
			word = "warnings"
		}
		parts = append(parts, fmt.Sprintf("%d %s", j-i, word))
		i = j
	}
	return strings.Join(parts, ", ")
}

// shared is what all alerts have in common, or "".
func shared(as []alertd.Notified, of func(*alertd.Alert) string) string {
	var v string
	for i := range as {
		switch s := of(&as[i].Alert); {
		case i == 0:
			v = s
		case s != v:
			return ""
		}
	}
	return v
}

// titleNames is how many names of alerts the title of a group holds: the first one is the cause, where it is known.
const titleNames = 1

// names are the first names of the alerts that fire, or, if none does, of those that are over: "ApplicationDown, DiskUsageHigh, …".
func names(firing, resolved []alertd.Notified, most int) string {
	shown := firing
	if len(shown) == 0 {
		shown = resolved
	}
	var all []string
	for i := range shown {
		if name := Line(Name(&shown[i].Alert), 30); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	if len(all) > most {
		all = append(all[:most], "…")
	}
	return strings.Join(all, ", ")
}

// Name is what to call an alert, at most 80 runes: its name, else its labels.
func Name(a *alertd.Alert) string {
	if s := Line(a.Name(), 80); s != "" {
		return s
	}
	return Line(a.Labels.String(), 80)
}

// Which returns a function that tells the alerts of a notification apart: it names the labels in which they
// differ, "instance=a, mountpoint=/var", in at most 60 runes. Name, service and severity are shown anyway.
func Which(n *alertd.Notification) func(*alertd.Alert) string {
	shown := []string{alertd.LabelAlert, alertd.LabelService, alertd.LabelSeverity}
	type seen struct {
		value string
		times int
		many  bool
	}
	all := map[string]*seen{}
	for i := range n.Alerts {
		n.Alerts[i].Labels.Range(func(l labels.Label) {
			s := all[l.Name]
			if s == nil {
				s = &seen{value: l.Value}
				all[l.Name] = s
			}
			s.times++
			s.many = s.many || s.value != l.Value
		})
	}
	return func(a *alertd.Alert) string {
		var parts []string
		a.Labels.Range(func(l labels.Label) { // sorted by name
			s := all[l.Name]
			isService := a.Labels.Get(alertd.LabelService) == "" && l.Name == "job" // see alertd.ServiceOf
			if s != nil && (s.many || s.times < len(n.Alerts)) && !isService && !slices.Contains(shown, l.Name) {
				parts = append(parts, l.Name+"="+l.Value)
			}
		})
		return Line(strings.Join(parts, ", "), 60)
	}
}

// NextStep is what the person who reads this does first, "" where the rule does not say.
func NextStep(a *alertd.Alert) string { return a.Annotations.Get(alertd.AnnotationNextStep) }

// Affected names the services that suffer from what an alert is about, and are not told one by one; "" where it hides
// none.
func Affected(a *alertd.Alert) string { return a.Annotations.Get(alertd.AnnotationAffected) }

// Reason is what the failing checks say that an alert is about; "" where nobody says, and where the summary does.
func Reason(a *alertd.Alert) string {
	s := a.Annotations.Get(alertd.AnnotationReason)
	if strings.Contains(a.Summary(), s) {
		return ""
	}
	return s
}

// Taken says who has an alert: "acknowledged by eva: rollback", at most 200 runes; "" where nobody has.
func Taken(a *alertd.Alert) string {
	if a.Ack == nil {
		return ""
	}
	s := "acknowledged by " + a.Ack.By
	if a.Ack.Why != "" {
		s += ": " + a.Ack.Why
	}
	return Line(s, 200)
}

// AllTaken reports whether something fires and somebody has all of it.
func AllTaken(n *alertd.Notification) bool {
	firing, _ := Split(n)
	return len(firing) > 0 && n.Truncated == 0 && !slices.ContainsFunc(firing, func(a alertd.Notified) bool { return a.Ack == nil })
}

// Held says how long an alert waited for business hours, and as what, where it was raised: "held for 2h", "held as warning for
// 2h"; "" where it did not wait.
func Held(a *alertd.Notified, now time.Time) string {
	ago := Ago(a.HeldSince, now)
	switch {
	case ago == "":
		return ""
	case a.HeldAs != "":
		return "held as " + Line(string(a.HeldAs), 20) + " for " + ago
	}
	return "held for " + ago
}

// GoesOn says that an alert that is over goes on as a less urgent one; "" where it does not.
func GoesOn(a *alertd.Notified) string {
	if a.GoesOnAs == "" {
		return ""
	}
	return "goes on as " + Line(string(a.GoesOnAs), 20)
}

// Flapping says that an alert comes and goes: "flapping: 6 changes in 30m"; "" where it does not.
func Flapping(a *alertd.Notified) string {
	if a.Changes == 0 {
		return ""
	}
	return fmt.Sprintf("flapping: %d changes in %s", a.Changes, Span(alertd.FlapWindow))
}
