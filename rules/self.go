package rules

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// SelfEvery is how often alertd gives its own samples to the rules.
const SelfEvery = 15 * time.Second

// lastReceived is the series that tells the rules when the newest event arrived: the shipped rule NoEventsArriving
// reads it.
var lastReceived = labels.FromStrings(alertd.LabelMetric, "alertd_events_last_received_timestamp_seconds",
	alertd.LabelService, "alertd")

// Self are alertd's samples about itself at now, where the newest event arrived at lastEvent.
func Self(now, lastEvent time.Time) []alertd.Sample {
	return []alertd.Sample{{Labels: lastReceived, T: now.UnixMilli(), V: float64(lastEvent.UnixMilli()) / 1000}}
}
