package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"alertd"
	"alertd/natsbus"
)

// ackTimeout is how long a publish waits for the stream to say that it has the event.
const ackTimeout = 5 * time.Second

// natsFlags find the NATS server. Commands that speak to it embed them.
type natsFlags struct {
	NATS  string `name:"nats" env:"ALERTD_NATS" default:"nats://127.0.0.1:4222" help:"Where the NATS server is; may hold user:password@ or token@. Default: ${default}." placeholder:"URL"`
	Creds string `name:"nats-creds" type:"existingfile" help:"NATS credentials file (a user's JWT and seed)." placeholder:"FILE"`
	NKey  string `name:"nats-nkey" type:"existingfile" help:"File with a user's nkey seed." placeholder:"FILE"`
}

// publishCmd sends events with JetStream publishes, so that an exit code of 0 means that nothing is lost.
type publishCmd struct {
	natsFlags

	Metric publishMetricCmd `cmd:"" help:"Publish one value of one series."`
	Health publishHealthCmd `cmd:"" help:"Publish how well a service says it is."`
	Event  publishEventCmd  `cmd:"" help:"Publish that something happened: deployment.completed, backup.succeeded, …"`
	Lines  publishLinesCmd  `cmd:"" default:"withargs" help:"Publish a file of events, one JSON object a line: -f FILE, where - is stdin. The word \"lines\" may be left out."`
}

// traceFlags name the span that an event came from.
type traceFlags struct {
	TraceID string `name:"trace-id" help:"W3C trace id, 32 hexadecimal digits: pages link to it." placeholder:"HEX"`
	SpanID  string `name:"span-id" help:"W3C span id, 16 hexadecimal digits." placeholder:"HEX"`
}

// labelFlags are the labels of an event.
type labelFlags struct {
	Label   []string `short:"l" sep:"none" help:"A label; may be given often." placeholder:"NAME=VALUE"`
	Service string   `help:"Which service it is about: the label service." placeholder:"NAME"`
}

type publishMetricCmd struct {
	labelFlags
	traceFlags
	Time  string `help:"When, RFC 3339. Default: now." placeholder:"TIME"`
	Name  string `arg:"" help:"Name of the metric: http_requests_total."`
	Value string `arg:"" help:"A number; also NaN, +Inf, -Inf."`
}

type publishHealthCmd struct {
	traceFlags
	Check   []string `sep:"none" help:"One part of the service; may be given often." placeholder:"NAME=STATUS[:LATENCY_MS]"`
	Service string   `arg:"" help:"Name of the service."`
	Status  string   `arg:"" help:"healthy, degraded or unhealthy."`
}

type publishEventCmd struct {
	labelFlags
	traceFlags
	Time    string `help:"When, RFC 3339. Default: now." placeholder:"TIME"`
	Message string `short:"m" help:"What a person reads." placeholder:"TEXT"`
	Type    string `arg:"" help:"Type of the event, dotted: deployment.completed."`
}

// The events as they travel.
type (
	metricEvent struct {
		Name    string            `json:"name"`
		Labels  map[string]string `json:"labels,omitempty"`
		Value   alertd.Value      `json:"value"`
		Time    time.Time         `json:"time"`
		TraceID string            `json:"trace_id,omitempty"`
		SpanID  string            `json:"span_id,omitempty"`
	}
	healthEvent struct {
		alertd.Health
		TraceID string `json:"trace_id,omitempty"`
		SpanID  string `json:"span_id,omitempty"`
	}
	occurrenceEvent struct {
		Type    string            `json:"type"`
		Service string            `json:"service,omitempty"`
		Labels  map[string]string `json:"labels,omitempty"`
		Message string            `json:"message,omitempty"`
		Time    time.Time         `json:"time"`
		TraceID string            `json:"trace_id,omitempty"`
		SpanID  string            `json:"span_id,omitempty"`
	}
)

// Run publishes one sample.
func (c *publishMetricCmd) Run(ctx context.Context, parent *publishCmd, std streams) error {
	v, err := strconv.ParseFloat(strings.Replace(c.Value, minusSign, "-", 1), 64)
	if err != nil {
		return &usageError{msg: fmt.Sprintf("value %q is not a number", c.Value), hint: "alertd publish metric " + c.Name + " 42.5"}
	}
	labels, err := c.labels()
	if err != nil {
		return err
	}
	at, err := timeFlag(c.Time)
	if err != nil {
		return err
	}
	if err := c.validate(); err != nil {
		return err
	}
	return parent.one(ctx, std, natsbus.MetricsSubject(labels["service"]), c.traceFlags, metricEvent{
		Name: c.Name, Labels: labels, Value: alertd.Value(v), Time: at, TraceID: c.TraceID, SpanID: c.SpanID,
	})
}

// Run publishes one health event.
func (c *publishHealthCmd) Run(ctx context.Context, parent *publishCmd, std streams) error {
	status, err := healthStatus(c.Status)
	if err != nil {
		return err
	}
	checks := map[string]alertd.HealthCheck{}
	for _, text := range c.Check {
		name, check, err := parseCheck(text)
		if err != nil {
			return err
		}
		if _, twice := checks[name]; twice {
			return &usageError{msg: fmt.Sprintf("--check %s is given twice", name), hint: "give each check once"}
		}
		checks[name] = check
	}
	if err := c.validate(); err != nil {
		return err
	}
	return parent.one(ctx, std, natsbus.HealthSubject(c.Service), c.traceFlags, healthEvent{
		Health:  alertd.Health{Service: c.Service, Status: status, Checks: checks, Timestamp: now()},
		TraceID: c.TraceID, SpanID: c.SpanID,
	})
}

// Run publishes one occurrence.
func (c *publishEventCmd) Run(ctx context.Context, parent *publishCmd, std streams) error {
	labels, err := c.labels()
	if err != nil {
		return err
	}
	at, err := timeFlag(c.Time)
	if err != nil {
		return err
	}
	if err := c.validate(); err != nil {
		return err
	}
	subject, err := eventSubject(c.Type)
	if err != nil {
		return &usageError{msg: err.Error(), hint: "alertd publish event deployment.completed"}
	}
	service := labels["service"]
	delete(labels, "service")
	return parent.one(ctx, std, subject, c.traceFlags, occurrenceEvent{
		Type: c.Type, Service: service, Labels: labels, Message: c.Message, Time: at, TraceID: c.TraceID, SpanID: c.SpanID,
	})
}

// one publishes one event, waits until the stream has it, and says where it is.
func (c *publishCmd) one(ctx context.Context, std streams, subject string, trace traceFlags, event any) error {
	body, err := json.Marshal(event)
	if err != nil {
		return err
	}
	msg := nats.NewMsg(subject)
	msg.Data = body
	if trace.TraceID != "" && trace.SpanID != "" {
		msg.Header.Set("traceparent", "00-"+trace.TraceID+"-"+trace.SpanID+"-01")
	}
	conn, js, err := c.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	ack, err := js.PublishMsg(ctx, msg)
	if err != nil {
		return c.refused(subject, err)
	}
	_, err = fmt.Fprintf(std.out, "%s is event %d of %s\n", subject, ack.Sequence, ack.Stream)
	return err
}

// connect reaches the server, once: a person waits.
func (c *natsFlags) connect() (*nats.Conn, jetstream.JetStream, error) {
	opts := []nats.Option{nats.Name("alertd"), nats.Timeout(ackTimeout), nats.NoReconnect()}
	if c.Creds != "" {
		opts = append(opts, nats.UserCredentials(c.Creds))
	}
	if c.NKey != "" {
		key, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, nil, &failure{err: fmt.Errorf("--nats-nkey %s: %w", c.NKey, err), hint: "the file holds one seed: SUA…"}
		}
		opts = append(opts, key)
	}
	conn, err := nats.Connect(c.NATS, opts...)
	if err != nil {
		hint := `start one with "alertd serve", or name another with --nats or ALERTD_NATS`
		if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
			hint = "give credentials: --nats nats://USER:PASSWORD@HOST:PORT, --nats-creds FILE or --nats-nkey FILE"
		}
		return nil, nil, &failure{err: fmt.Errorf("no NATS server at %s: %w", c.server(), err), hint: hint}
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(publishWindow), jetstream.WithPublishAsyncTimeout(ackTimeout))
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, js, nil
}

// server is where that is, as it may be shown: without user, password and token.
func (c *natsFlags) server() string {
	urls := strings.Split(c.NATS, ",")
	for i, u := range urls {
		scheme, rest, ok := strings.Cut(strings.TrimSpace(u), "://")
		if !ok {
			scheme, rest = "nats", scheme
		}
		urls[i] = scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
	}
	return strings.Join(urls, ",")
}

// refused says what a failed publish means. The event may be in the stream only after a time-out.
func (c *publishCmd) refused(subject string, err error) error {
	at := c.server()
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return &failure{
			err:  fmt.Errorf("no stream at %s takes %s", at, subject),
			hint: `start the daemon on that server, which makes the stream: alertd serve --nats ` + at,
		}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		return &failure{
			err:  fmt.Errorf("the stream at %s did not say within %s whether it has %s", at, ackTimeout, subject),
			hint: "see how the daemon is: curl http://127.0.0.1:9093/health/ready",
		}
	default:
		return &failure{err: fmt.Errorf("%s was not taken by %s: %w", subject, at, err), hint: "see the log of the daemon and of the NATS server"}
	}
}

// labels reads the pairs; nil when there are none.
func (f labelFlags) labels() (map[string]string, error) {
	labels := map[string]string{}
	for _, pair := range f.Label {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, &usageError{msg: fmt.Sprintf("label %q is not NAME=VALUE", pair), hint: "-l region=eu -l code=500"}
		}
		if old, twice := labels[name]; twice && old != value {
			return nil, &usageError{msg: fmt.Sprintf("label %s is both %q and %q", name, old, value), hint: "give each label once"}
		}
		labels[name] = value
	}
	if f.Service != "" {
		if old, twice := labels["service"]; twice && old != f.Service {
			return nil, &usageError{msg: fmt.Sprintf("label service is both %q and %q", old, f.Service), hint: "use --service alone"}
		}
		labels["service"] = f.Service
	}
	return labels, nil
}

// validate checks the ids, which are lower case on the wire.
func (f *traceFlags) validate() error {
	f.TraceID, f.SpanID = strings.ToLower(f.TraceID), strings.ToLower(f.SpanID)
	for _, id := range []struct {
		flag, value string
		bytes       int
	}{{"--trace-id", f.TraceID, 16}, {"--span-id", f.SpanID, 8}} {
		if id.value == "" {
			continue
		}
		raw, err := hex.DecodeString(id.value)
		if err != nil || len(raw) != id.bytes || !slices.ContainsFunc(raw, func(b byte) bool { return b != 0 }) {
			return &usageError{
				msg:  fmt.Sprintf("%s %q is not %d hexadecimal digits, not all 0", id.flag, id.value, 2*id.bytes),
				hint: id.flag + " " + strings.Repeat("0123456789abcdef", id.bytes/8),
			}
		}
	}
	if f.SpanID != "" && f.TraceID == "" {
		return &usageError{msg: "--span-id without --trace-id says nothing", hint: "give both"}
	}
	return nil
}

func parseCheck(text string) (string, alertd.HealthCheck, error) {
	wrong := func(why string) error {
		return &usageError{msg: fmt.Sprintf("--check %q: %s", text, why), hint: "--check database=unhealthy:5000"}
	}
	name, rest, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return "", alertd.HealthCheck{}, wrong("not NAME=STATUS[:LATENCY_MS]")
	}
	word, latency, timed := strings.Cut(rest, ":")
	status, err := healthStatus(word)
	if err != nil {
		return "", alertd.HealthCheck{}, wrong(fmt.Sprintf("%q is not healthy, degraded or unhealthy", word))
	}
	check := alertd.HealthCheck{Status: status}
	if timed {
		ms, err := strconv.ParseFloat(latency, 64)
		if err != nil || math.IsNaN(ms) || math.IsInf(ms, 0) || ms < 0 {
			return "", alertd.HealthCheck{}, wrong(fmt.Sprintf("latency %q is not a number of milliseconds", latency))
		}
		check.LatencyMS = ms
	}
	return name, check, nil
}

func healthStatus(word string) (alertd.HealthStatus, error) {
	known := map[alertd.HealthStatus]bool{alertd.Healthy: true, alertd.Degraded: true, alertd.Unhealthy: true}
	if s := alertd.HealthStatus(word); known[s] {
		return s, nil
	}
	return "", &usageError{
		msg:  fmt.Sprintf("status %q is none of %q", word, slices.Sorted(maps.Keys(known))),
		hint: "alertd publish health api degraded",
	}
}

// timeFlag reads RFC 3339; nothing is now.
func timeFlag(s string) (time.Time, error) {
	if s == "" {
		return now(), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, &usageError{msg: fmt.Sprintf("--time %q is not RFC 3339", s), hint: "--time " + now().Format(time.RFC3339)}
	}
	return t, nil
}

// now is in UTC and in milliseconds, as samples are kept.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
