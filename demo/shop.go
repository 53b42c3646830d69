package demo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"alertd"
)

// The story, in seconds. The deployment stands before the failure, as it so often does.
const (
	deployed  = 5
	broken    = 10
	backedUp  = 20
	repaired  = 70
	healthGap = 5  // between two health reports of a service
	slowGap   = 10 // between two reports of what changes slowly: disks, certificates, quotas
)

// day is what certificates count in.
const day = 24 * time.Hour

// message is one NATS message.
type message struct {
	subject string
	body    []byte
}

// shop is the state of the five services. It belongs to one goroutine.
type shop struct {
	rng      *rand.Rand
	now      int // second of the story that comes next
	services []*service
	opened   time.Time
}

// service counts what one service did since the shop opened.
type service struct {
	name    string
	rate    float64 // requests a second
	usual   float64 // seconds that a usual request takes
	disk    float64 // share of its disk that is used
	byCode  map[string]float64
	buckets []float64 // cumulative, one for each bound
	sum     float64
	count   float64
}

// bounds of the latency histogram, in seconds; the last bucket is +Inf.
var bounds = []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

func newShop(seed uint64) *shop {
	s := &shop{rng: rand.New(rand.NewPCG(seed, 5))}
	for _, of := range []service{
		{name: "storefront", rate: 20, usual: 0.08, disk: 0.41},
		{name: "checkout", rate: 6, usual: 0.12, disk: 0.37},
		{name: "payments", rate: 5, usual: 0.20, disk: 0.55},
		{name: "catalog", rate: 15, usual: 0.04, disk: 0.62},
		{name: "search", rate: 9, usual: 0.15, disk: 0.86},
	} {
		of.byCode = map[string]float64{"200": 0, "500": 0}
		of.buckets = make([]float64, len(bounds))
		s.services = append(s.services, &of)
	}
	return s
}

// second plays one second of the story at the instant at: what a narrator says, and what the services publish.
func (s *shop) second(at time.Time) (lines []string, messages []message) {
	if s.now == 0 {
		s.opened = at
	}
	lines = s.narrate()
	for _, v := range s.services {
		s.serve(v)
		messages = append(messages, encode("alertd.metrics."+v.name, s.metrics(v, at)))
		if s.now%healthGap == 0 {
			messages = append(messages, encode("alertd.health."+v.name, s.health(v, at)))
		}
	}
	for _, o := range s.occurrences(at) {
		messages = append(messages, encode("alertd.events."+o.Type, o))
	}
	s.now++
	return lines, messages
}

// down reports whether payments has no database just now.
func (s *shop) down() bool { return s.now >= broken && s.now < repaired }

// narrate says what happens in this second, and where to see it.
func (s *shop) narrate() []string {
	turns := map[int][]string{
		0: {
			"the shop opens: storefront, checkout, payments, catalog and search are well",
			"search's disk is 86% full, and storefront's certificate ends in 5 days: warnings, held for business hours: alertd queue",
		},
		deployed: {"payments v2.4.1 is deployed: info, for the record: alertd history"},
		broken:   {"payments loses its database: alertd pages: alertd alerts"},
		backedUp: {"the backup of catalog succeeds: info"},
		repaired: {"payments v2.4.0 is back, and with it the database: alertd says that it is over: alertd history"},
	}
	lines := turns[s.now]
	for i, line := range lines {
		lines[i] = fmt.Sprintf("demo %d:%02d  %s", s.now/60, s.now%60, line)
	}
	return lines
}

// serve lets a service answer one second's requests.
func (s *shop) serve(v *service) {
	requests := int(v.rate * (0.8 + 0.4*s.rng.Float64()))
	for range requests {
		failing, took := 0.001, v.usual*(0.5+s.rng.ExpFloat64())
		switch {
		case v.name == "payments" && s.down():
			failing, took = 0.45, 2+6*s.rng.Float64()
		case v.name == "checkout" && s.down():
			failing, took = 0.004, 1+2*s.rng.Float64() // it retries, and its customers wait
		}
		code := "200"
		if s.rng.Float64() < failing {
			code = "500"
		}
		v.byCode[code]++
		v.count++
		v.sum += took
		for i, bound := range bounds {
			if took <= bound {
				v.buckets[i]++
			}
		}
	}
}

// metric is a metric event.
type metric struct {
	Name    string            `json:"name"`
	Labels  map[string]string `json:"labels"`
	Value   float64           `json:"value"`
	Time    time.Time         `json:"time"`
	TraceID string            `json:"trace_id,omitempty"`
	SpanID  string            `json:"span_id,omitempty"`
}

// metrics are a service's counters after this second.
func (s *shop) metrics(v *service, at time.Time) []metric {
	var out []metric
	add := func(name string, value float64, pairs ...string) *metric {
		labels := map[string]string{"service": v.name}
		for i := 0; i+1 < len(pairs); i += 2 {
			labels[pairs[i]] = pairs[i+1]
		}
		out = append(out, metric{Name: name, Labels: labels, Value: value, Time: at})
		return &out[len(out)-1]
	}
	add("http_requests_total", v.byCode["200"], "code", "200")
	failed := add("http_requests_total", v.byCode["500"], "code", "500")
	failed.TraceID, failed.SpanID = s.trace()
	for i, bound := range bounds {
		add("http_request_duration_seconds_bucket", v.buckets[i], "le", fmt.Sprint(bound))
	}
	add("http_request_duration_seconds_bucket", v.count, "le", "+Inf")
	add("http_request_duration_seconds_sum", v.sum)
	add("http_request_duration_seconds_count", v.count)
	if s.now%slowGap == 0 {
		add("disk_usage_ratio", v.disk, "device", "/dev/vda1")
		lifetime := 60 * day
		if v.name == "storefront" {
			lifetime = 5 * day
		}
		add("certificate_expiry_timestamp_seconds", float64(s.opened.Add(lifetime).Unix()), "domain", v.name+".example.com")
	}
	return out
}

// health is a service's own report.
func (s *shop) health(v *service, at time.Time) alertd.Health {
	h := alertd.Health{
		Service:   v.name,
		Status:    alertd.Healthy,
		Timestamp: at,
		Checks: map[string]alertd.HealthCheck{
			"database": {Status: alertd.Healthy, LatencyMS: float64(1 + s.rng.IntN(5))},
		},
	}
	switch {
	case v.name == "payments" && s.down():
		h.Status = alertd.Unhealthy
		h.Checks["database"] = alertd.HealthCheck{Status: alertd.Unhealthy, LatencyMS: 5000, Error: "dial tcp: i/o timeout"}
	case v.name == "checkout":
		h.Checks["payments"] = alertd.HealthCheck{Status: alertd.Healthy, LatencyMS: float64(20 + s.rng.IntN(20))}
		if s.down() {
			h.Status = alertd.Degraded
			h.Checks["payments"] = alertd.HealthCheck{Status: alertd.Degraded, LatencyMS: 3000, Error: "slow response"}
		}
	}
	return h
}

// occurrence is an occurrence event.
type occurrence struct {
	Type    string            `json:"type"`
	Service string            `json:"service"`
	Labels  map[string]string `json:"labels,omitempty"`
	Message string            `json:"message"`
	Time    time.Time         `json:"time"`
	TraceID string            `json:"trace_id"`
	SpanID  string            `json:"span_id"`
}

// occurrences are the discrete events of this second.
func (s *shop) occurrences(at time.Time) []occurrence {
	var o occurrence
	switch s.now {
	case deployed:
		o = occurrence{Type: "deployment.completed", Service: "payments", Labels: map[string]string{"version": "v2.4.1"}, Message: "v2.4.1 is live"}
	case backedUp:
		o = occurrence{Type: "backup.succeeded", Service: "catalog", Message: "1.2 GiB in 48 s"}
	case repaired:
		o = occurrence{Type: "deployment.completed", Service: "payments", Labels: map[string]string{"version": "v2.4.0"}, Message: "v2.4.0 is live again"}
	default:
		return nil
	}
	o.Time = at
	o.TraceID, o.SpanID = s.trace()
	return []occurrence{o}
}

// trace makes up a trace id and a span id; neither is all zero, which W3C Trace Context does not allow.
func (s *shop) trace() (traceID, spanID string) {
	return fmt.Sprintf("%016x%016x", s.rng.Uint64(), s.rng.Uint64()|1), fmt.Sprintf("%016x", s.rng.Uint64()|1)
}

// encode makes a message of an event, or of several.
func encode(subject string, event any) message {
	body, err := json.Marshal(event)
	if err != nil {
		panic(fmt.Sprintf("demo: %s: %v", subject, err)) // only finite numbers and strings go in
	}
	return message{subject, body}
}
