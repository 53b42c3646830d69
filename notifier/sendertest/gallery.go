package sendertest

import (
	"fmt"
	"strings"
	"time"

	"alertd"

	"github.com/prometheus/prometheus/model/labels"
)

// Gallery returns notifications of every kind, by name, for golden files: what people get to see.
func Gallery() map[string]alertd.Notification {
	return map[string]alertd.Notification{
		"page":     page(),
		"resolved": resolved(),
		"grown":    grown(),
		"cause":    cause(),
		"repeat":   repeated(),
		"repage":   repaged(),
		"acked":    acked(),
		"raised":   raised(),
		"lowered":  lowered(),
		"storm":    storm(),
		"digest":   digest(),
		"summary":  summary(),
		"over":     overnight(),
		"hostile":  hostile(),
		"bare":     bare(),
	}
}

const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

// now is when all of them are planned: a Thursday, 09:00 in Berlin.
var now = time.Date(2026, 1, 15, 8, 0, 0, 0, time.UTC)

// alert makes one that fires since ago.
func alert(name, service string, sev alertd.Severity, ago time.Duration, value float64, summary, next string) alertd.Notified {
	ls := labels.FromStrings("alertname", name, "service", service, "severity", string(sev))
	return alertd.Notified{Alert: alertd.Alert{
		Fingerprint: alertd.FingerprintOf(ls), Rule: "shop.yaml:shop:" + name, Labels: ls,
		Annotations: labels.FromStrings("summary", summary, "next_step", next),
		State:       alertd.Firing, Value: alertd.Value(value),
		ActiveAt: now.Add(-ago), FiredAt: now.Add(-ago).Add(30 * time.Second), At: now.Add(-ago).Add(30 * time.Second),
		RunbookURL: "http://alertd.example.org/runbooks/" + strings.ToLower(name),
	}}
}

func over(a alertd.Notified, after time.Duration) alertd.Notified {
	a.State, a.ResolvedAt = alertd.Resolved, a.ActiveAt.Add(after)
	a.At = a.ResolvedAt
	return a
}

func notification(reason alertd.Reason, alerts ...alertd.Notified) alertd.Notification {
	return alertd.Notification{
		ID: "9b2f6c1e", Receiver: "ops", Integration: "slack/0", Group: `{}:{alertname="` + alertd.GroupKey(alerts[0].Name()) + `"}`,
		GroupLabels: labels.FromStrings("alertname", alerts[0].Name()), Reason: reason, Seq: 1, PlannedAt: now, Alerts: alerts,
	}
}

func checkoutDown() alertd.Notified {
	a := alert("ApplicationDown", "checkout", alertd.Critical, 90*time.Second, 0,
		"checkout has not answered its readiness probe for 1 minute",
		"Open the runbook. If a deployment ended in the last 15 minutes, roll it back first and look for the cause afterwards.")
	a.Trace = alertd.TraceRef{TraceID: traceID, SpanID: "00f067aa0ba902b7"}
	a.TraceURL, a.TraceNote = "https://traces.example.org/trace/"+traceID, "failed after 5.2 s"
	a.Dashboards = []alertd.Link{{Title: "Requests", URL: "https://grafana.example.org/d/requests?var-service=checkout&from=now-1h"}}
	return a
}

func page() alertd.Notification {
	a := checkoutDown()
	a.Fresh = true
	return notification(alertd.ReasonFirst, a)
}

func resolved() alertd.Notification {
	n := notification(alertd.ReasonAllResolved, over(checkoutDown(), 75*time.Second))
	n.Seq, n.Ref = 2, "C0OPS:1768464000.000100"
	return n
}

func grown() alertd.Notification {
	payments := alert("ApplicationDown", "payments", alertd.Critical, 20*time.Second, 0, "payments has not answered its readiness probe for 1 minute", "Roll back the last deployment.")
	payments.Fresh = true
	payments.Trace = alertd.TraceRef{TraceID: traceID, Unsampled: true}
	n := notification(alertd.ReasonNewAlerts, checkoutDown(), payments,
		over(alert("ApplicationDown", "search", alertd.Critical, 5*time.Minute, 0, "search has not answered", ""), 4*time.Minute))
	n.Seq, n.Ref = 2, "C0OPS:1768464000.000100"
	return n
}

// cause is what three services suffer from, of which one was told before.
func cause() alertd.Notification {
	of := func(a alertd.Notified) alertd.Notified {
		a.Labels = labels.NewBuilder(a.Labels).Set(alertd.LabelComponent, "pg-main").Labels()
		a.Fingerprint = alertd.FingerprintOf(a.Labels)
		return a
	}
	a := of(alert("ComponentUnhealthy", "", alertd.Critical, 20*time.Second, 3, "pg-main is unhealthy: several services report it",
		"Look at pg-main itself, not at the services. Does it run, has it room, can it be reached?"))
	a.Annotations = labels.NewBuilder(a.Annotations).Set(alertd.AnnotationAffected, "cart, checkout, orders").Labels()
	a.Fresh = true
	n := notification(alertd.ReasonNewAlerts, of(alert("ApplicationDown", "checkout", alertd.Critical, 50*time.Second, 1,
		"checkout is down: it reports pg-main unhealthy", "Open /health/ready of the service.")), a)
	n.GroupLabels = labels.FromStrings(alertd.LabelComponent, "pg-main")
	n.Seq, n.Ref = 2, "C0OPS:1768464000.000100"
	return n
}

func repeated() alertd.Notification {
	a := checkoutDown()
	a.ActiveAt = a.ActiveAt.Add(-4 * time.Hour)
	n := notification(alertd.ReasonRepeat, a)
	n.Seq, n.Ref = 5, "C0OPS:1768464000.000100"
	return n
}

// repaged is what nobody has taken for ten minutes.
func repaged() alertd.Notification {
	n := repeated()
	n.Reason, n.Seq = alertd.ReasonRepage, 2
	n.Alerts[0].ActiveAt = now.Add(-10 * time.Minute)
	return n
}

func acked() alertd.Notification {
	n := page()
	n.Reason, n.Seq, n.Ref, n.Alerts[0].Fresh = alertd.ReasonAcked, 2, "C0OPS:1768464000.000100", false
	n.Alerts[0].Ack = &alertd.Ack{By: "eva", From: alertd.FromWeb, Why: "rolling back", At: now, Until: now.Add(2 * time.Hour)}
	return n
}

// raised was a warning that waited for business hours.
func raised() alertd.Notification {
	n := page()
	a := &n.Alerts[0]
	a.HeldAs, a.HeldSince, a.ActiveAt = alertd.Warning, now.Add(-2*time.Hour), now.Add(-3*time.Hour)
	return n
}

// lowered is a warning from here on.
func lowered() alertd.Notification {
	n := resolved()
	n.Alerts[0].GoesOnAs = alertd.Warning
	return n
}

func storm() alertd.Notification {
	var as []alertd.Notified
	for i := range 60 {
		a := alert("ErrorRateHigh", fmt.Sprintf("shop-%02d", i), alertd.Critical, time.Duration(i)*time.Minute, 0.1+float64(i)/100,
			fmt.Sprintf("%d%% of shop-%02d's requests fail", 10+i, i), "Look at the newest error in the log of the service, then at what it calls.")
		a.Fresh = true
		as = append(as, a)
	}
	n := notification(alertd.ReasonFirst, as...)
	n.Truncated = 940
	return n
}

func digest() alertd.Notification {
	var as []alertd.Notified
	for _, a := range []alertd.Notified{
		alert("DiskUsageHigh", "orders-db", alertd.Warning, 9*time.Hour, 0.87, "/var/lib/postgresql on orders-db is 87% full", "Find what grew with du, then prune old backups."),
		alert("LatencyHigh", "search", alertd.Warning, 40*time.Minute, 6.2, "99% of search's requests take up to 6.2 s", "Compare with the last deployment."),
		alert("CertificateExpiring", "mail", alertd.Warning, 14*time.Hour, 518400, "mail.example.org's certificate expires in 6 days", "Renew it by hand: certbot renew."),
		over(alert("ErrorRateElevated", "checkout", alertd.Warning, 7*time.Hour, 0.03, "3% of checkout's requests fail", "Look at the log."), 12*time.Minute),
		over(alert("LatencyHigh", "payments", alertd.Warning, 11*time.Hour, 5.4, "99% of payments' requests take up to 5.4 s", "Look at the trace."), 80*time.Minute),
	} {
		a.HeldSince = a.FiredAt
		a.Fresh = a.State.Active()
		as = append(as, a)
	}
	as[1].Changes, as[4].Changes = 7, 4
	n := notification(alertd.ReasonDigest, as...)
	n.Digest, n.Group, n.GroupLabels = true, "digest:office:ops", labels.EmptyLabels()
	return n
}

// summary stands for what found no place within the limit of its receiver.
func summary() alertd.Notification {
	n := storm()
	n.Alerts, n.Truncated = n.Alerts[:8], 480
	for i := range n.Alerts[6:] {
		n.Alerts[6+i] = over(n.Alerts[6+i], 40*time.Second)
	}
	disk := alert("DiskUsageHigh", "orders-db", alertd.Warning, 2*time.Minute, 0.87, "/var/lib/postgresql on orders-db is 87% full", "Find what grew with du, then prune old backups.")
	n.Alerts = append(n.Alerts, disk)
	n.Reason, n.Group, n.GroupLabels, n.Seq = alertd.ReasonLimit, "summary:ops", labels.EmptyLabels(), 3
	n.Summary = &alertd.Summary{Firing: 480, Resolved: 9, Limit: 20}
	return n
}

func overnight() alertd.Notification {
	n := digest()
	n.Alerts = n.Alerts[3:]
	return n
}

// hostile tries what text from outside can try.
func hostile() alertd.Notification {
	a := alert("A<!channel>`*_~\x1b[31mB\u202e", "<@U123|x> & <http://evil|click>", "critical<!here>", time.Minute, 1,
		"<!everyone> "+strings.Repeat("W", 500)+"\x07\r\n<!subteam^S1>", "rm -rf /; `<!channel>`")
	a.RunbookURL = "javascript:alert(1)"
	a.Dashboards = []alertd.Link{{Title: "run", URL: "javascript:alert(1)"}, {Title: "a|<!here>", URL: "https://x/|<!channel>"}}
	a.TraceURL = "https://x/|<!channel>"
	a.Trace, a.TraceNote = alertd.TraceRef{TraceID: "<!channel>"}, "<!here>"
	a.Fresh = true
	return notification(alertd.ReasonFirst, a)
}

// bare has nothing that a rule could leave out.
func bare() alertd.Notification {
	ls := labels.FromStrings("instance", "a:9100")
	n := notification(alertd.ReasonFirst, alertd.Notified{Alert: alertd.Alert{
		Fingerprint: alertd.FingerprintOf(ls), Labels: ls, State: alertd.Firing, Value: 3, ActiveAt: now.Add(-time.Minute),
	}})
	n.GroupLabels = labels.EmptyLabels()
	return n
}
