package templates

import (
	"time"

	amtemplate "github.com/prometheus/alertmanager/template"
)

// Examples are data as a notification brings them, one that fires and one that is resolved: what a text is tried with
// before there is an alert.
func Examples(receiver, externalURL string) []*amtemplate.Data {
	at := time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	one := func(instance string) amtemplate.Alert {
		return amtemplate.Alert{
			Status:      "firing",
			Labels:      amtemplate.KV{"alertname": "Example", "severity": "critical", "service": "checkout", "job": "checkout", "instance": instance},
			Annotations: amtemplate.KV{"summary": "An example", "description": "Of " + instance, "runbook_url": "https://example.org/runbook"},
			StartsAt:    at, GeneratorURL: "https://example.org/graph", Fingerprint: "0123456789abcdef",
		}
	}
	firing := &amtemplate.Data{
		Receiver: receiver, Status: "firing", NotificationReason: "first notification", ExternalURL: externalURL,
		Alerts:            amtemplate.Alerts{one("a:9100"), one("b:9100")},
		GroupLabels:       amtemplate.KV{"alertname": "Example"},
		CommonLabels:      amtemplate.KV{"alertname": "Example", "severity": "critical", "service": "checkout", "job": "checkout"},
		CommonAnnotations: amtemplate.KV{"summary": "An example", "runbook_url": "https://example.org/runbook"},
		RouteLabels:       amtemplate.KV{},
	}
	resolved := *firing
	resolved.Status, resolved.NotificationReason, resolved.Alerts = "resolved", "all alerts resolved", nil
	for _, a := range firing.Alerts {
		a.Status, a.EndsAt = "resolved", at.Add(time.Minute)
		resolved.Alerts = append(resolved.Alerts, a)
	}
	return []*amtemplate.Data{firing, &resolved}
}
