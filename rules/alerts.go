package rules

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// alertsKept is how long what ALERTS said is kept for people, whether a rule reads it or not.
const alertsKept = time.Hour

// aboutAlerts reports whether a metric is one of those that say what is pending and firing. They come with every tick,
// and a rule that reads them may be what they are about: so they are there for whoever reads them, and wake nobody.
func aboutAlerts(metric string) bool { return metric == "ALERTS" || metric == "ALERTS_FOR_STATE" }

// keepAlerts makes the window keep what is said about alerts.
func (e *Evaluator) keepAlerts() {
	nobody := &groupRun{group: &group{}, evaluator: e, interval: e.opts.Interval}
	for _, name := range []string{"ALERTS", "ALERTS_FOR_STATE"} {
		u := use{matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, alertd.LabelMetric, name)}, name: name, back: alertsKept}
		u.key = matchersKey(u.matchers)
		x := e.window.index(u)
		x.quoted = append(x.quoted, quotation{u, nobody})
	}
}
