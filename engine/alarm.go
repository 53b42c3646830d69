package engine

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// internalPrefix begins the ID of rules that the engine itself is.
const internalPrefix = "alertd:"

func internal(rule string) bool { return strings.HasPrefix(rule, internalPrefix) }

// ownRoute reports whether an alert of the engine's own goes where it was sent, whatever the routing tree says.
func ownRoute(rule string) bool { return rule == deliveryRule || rule == silenceRule }

const deliveryRule = internalPrefix + "delivery:AlertdDeliveryFailed"

func deliveryLabels(receiver, integration string) alertd.Labels {
	return labels.FromStrings(alertd.LabelAlert, "AlertdDeliveryFailed", alertd.LabelSeverity, string(alertd.Critical),
		alertd.LabelService, "alertd", "receiver", receiver, "integration", integration)
}

// alarm fires an alert of the engine's own: a destination does not take what it is sent. It goes by another
// receiver than the one that fails.
func (m *Machine) alarm(receiver, integration string, at alertd.Attempt) {
	ls := deliveryLabels(receiver, integration)
	fp := alertd.FingerprintOf(ls)
	if old := m.alerts.get(fp); old != nil && old.State.Active() {
		return
	}
	a := alertd.Alert{
		Fingerprint: fp, Rule: deliveryRule, Labels: ls, State: alertd.Firing, Value: alertd.Value(at.N),
		Annotations: labels.FromStrings(
			alertd.AnnotationSummary, "alertd could not deliver a notification to "+receiver+"/"+integration,
			alertd.AnnotationDescription, "Attempt "+alertd.Value(at.N).String()+" ended as "+string(at.Class)+": "+at.Detail,
			alertd.AnnotationNextStep, "Check the receiver in routing.yaml; `alertd history` shows what was not delivered."),
		ActiveAt: m.now, FiredAt: m.now, At: m.now,
	}
	if m.policy.Enrich != nil {
		m.policy.Enrich(&a)
	}
	m.emit(alertd.Entry{Transition: &alertd.Transition{From: alertd.Inactive, Reason: alertd.ReasonUndelivered, Alert: a}})
	by := m.policy.other(receiver)
	key := alertd.GroupKey("alertd:delivery:" + receiver + "/" + integration)
	m.emit(alertd.Entry{Joined: &alertd.Joined{
		Fingerprint: fp, Group: key, GroupLabels: ls, Route: "(alertd itself)", Receiver: by, Delivery: alertd.Immediate,
		GroupInterval: time.Minute, RepeatInterval: 4 * time.Hour,
	}})
	m.wait(m.groups.Get(key), &a)
}

// calm resolves what alarm fired: the destination takes notifications again.
func (m *Machine) calm(receiver, integration string) {
	old := m.alerts.get(alertd.FingerprintOf(deliveryLabels(receiver, integration)))
	if old == nil || !old.State.Active() {
		return
	}
	m.close(*old, m.now, alertd.ReasonDelivering)
}

// calmGone resolves what alarm fired for destinations that are not configured any more.
func (m *Machine) calmGone() {
	for _, a := range m.alerts.within(deliveryRule, "") {
		r, ok := m.policy.receiver(a.Labels.Get("receiver"))
		there := ok && slices.ContainsFunc(r.Integrations, func(i Integration) bool { return i.Name == a.Labels.Get("integration") })
		if a.State.Active() && !there {
			m.close(*a, m.now, alertd.ReasonReceiverGone)
		}
	}
}
