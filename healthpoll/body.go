package healthpoll

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"alertd"
	"alertd/tracectx"
)

const (
	maxBody   = 64 << 10
	maxChecks = 256 // the rest, by name, is left out
	maxName   = 256 // bytes of a check's name; longer ones are left out
	maxReason = 256 // bytes of a check's error; longer ones are cut
	maxDepth  = 8   // of components inside components; deeper ones are left out
	maxWord   = 40  // bytes of a status that we do not know, where we quote it
)

// Report is what a health page says.
type Report struct {
	alertd.Health

	// Reason says why the page is not to be believed as it stands, "" if it is: its HTTP status, its body, or the
	// checks in its body contradict each other. The status of the report is then the worse one.
	Reason string
}

// words are the statuses of the formats that we read, in lower case and without what joins their parts.
var words = map[string]alertd.HealthStatus{
	"healthy": alertd.Healthy, "ok": alertd.Healthy, "okay": alertd.Healthy, "pass": alertd.Healthy, "passing": alertd.Healthy,
	"up": alertd.Healthy, "alive": alertd.Healthy, "ready": alertd.Healthy, "serving": alertd.Healthy, "available": alertd.Healthy,

	"degraded": alertd.Degraded, "warn": alertd.Degraded, "warning": alertd.Degraded, "partiallyavailable": alertd.Degraded,
	"unknown": alertd.Degraded,

	"unhealthy": alertd.Unhealthy, "fail": alertd.Unhealthy, "failed": alertd.Unhealthy, "failing": alertd.Unhealthy,
	"error": alertd.Unhealthy, "critical": alertd.Unhealthy, "down": alertd.Unhealthy, "dead": alertd.Unhealthy,
	"outofservice": alertd.Unhealthy, "unavailable": alertd.Unhealthy, "notready": alertd.Unhealthy, "notserving": alertd.Unhealthy,
	"timeoutduringhealthcheck": alertd.Unhealthy,
}

// fold reads a status word of any format.
func fold(word string) (alertd.HealthStatus, bool) {
	if len(word) > maxWord {
		return "", false
	}
	s, ok := words[strings.Map(func(r rune) rune {
		if r == ' ' || r == '_' || r == '-' {
			return -1
		}
		return unicode.ToLower(r)
	}, word)]
	return s, ok
}

// ParseBody reads the body of a health page that was answered with the given HTTP status. It knows alertd's own
// form,
//
//	{"status":"healthy|degraded|unhealthy","checks":{"database":{"status":"healthy","latency_ms":5}},"timestamp":"…"}
//
// that of the draft for application/health+json (checks are arrays of measurements), of Spring's actuator (components
// inside components), of MicroProfile (checks are a list), of ASP.NET's HealthChecks.UI (entries), of the Go libraries
// hellofresh/health-go (failures) and alexliesenfeld/health (details), and a single word like "Healthy" or "OK".
//
// It wants the status and forgives the rest: a check without a readable status is degraded and says so, a time that
// cannot be read is zero. A component inside another one is called "outer/inner"; the measurements of one component
// are folded into it. The worse of body and HTTP status counts: outside 2xx the result is unhealthy whatever the
// body says. The error says why the body is not a health report.
func ParseBody(status int, body []byte) (Report, error) {
	r, err := parse(body)
	if err != nil {
		return Report{}, err
	}
	switch own := r.Status; {
	case success(status) != (own == alertd.Unhealthy): // they agree
	default:
		r.Status = alertd.Unhealthy
		r.Reason = fmt.Sprintf("%s: answered %d, but the body says %s", reasonContradiction, status, own)
	}
	return r, nil
}

// parse reads a body by itself.
func parse(body []byte) (Report, error) {
	if len(body) > maxBody {
		return Report{}, fmt.Errorf("the body has more than %d bytes", maxBody)
	}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	switch {
	case len(body) == 0:
		return Report{}, errors.New("the body is empty")
	case !utf8.Valid(body):
		return Report{}, errors.New("the body is not UTF-8")
	}
	r := Report{Health: alertd.Health{Checks: map[string]alertd.HealthCheck{}}}
	if own, ok := fold(string(body)); ok {
		r.Status = own
	} else if err := r.read(body); err != nil {
		return Report{}, err
	}
	if r.Status != alertd.Healthy {
		return r, nil
	}
	for _, name := range slices.Sorted(maps.Keys(r.Checks)) {
		if r.Checks[name].Status == alertd.Unhealthy {
			r.Status = alertd.Degraded
			r.Reason = cut(fmt.Sprintf("%s: the body says healthy, but its check %s says unhealthy", reasonContradiction, name), maxReason)
			break
		}
	}
	return r, nil
}

// object is a JSON object of which we read what we need.
type object map[string]json.RawMessage

// get finds a member, first by the very name, then without regard to case, as some frameworks write "Status".
func (o object) get(name string) json.RawMessage {
	if raw, ok := o[name]; ok {
		return raw
	}
	var found string
	for key := range o {
		if strings.EqualFold(key, name) && (found == "" || key < found) {
			found = key
		}
	}
	return o[found]
}

func (o object) text(name string) string {
	var s string
	if raw := o.get(name); raw != nil {
		_ = json.Unmarshal(raw, &s)
	}
	return s
}

// object reads a member that is an object; nil for any other.
func (o object) object(name string) object {
	var inner object
	if raw := o.get(name); raw != nil {
		_ = json.Unmarshal(raw, &inner)
	}
	return inner
}

// read takes what a JSON body says.
func (r *Report) read(body []byte) error {
	const want = `it must be "healthy", "degraded" or "unhealthy", or a word that means one of them, like UP or fail`
	var o object
	var word string
	if err := json.Unmarshal(body, &o); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("the body is not JSON: %s at byte %d", syntax, syntax.Offset)
		}
		if json.Unmarshal(body, &word) != nil {
			return errors.New("the body is not a JSON object")
		}
	} else if json.Unmarshal(o.get("status"), &word) != nil || word == "" {
		return fmt.Errorf(`the body has no "status"; %s`, want)
	}
	own, ok := fold(word)
	if !ok {
		return fmt.Errorf(`the body's "status" is %q; %s`, cut(word, maxWord), want)
	}
	r.Status = own
	r.Environment = cut(o.text("environment"), maxName)
	trace := tracectx.Valid(o.text("trace_id"), o.text("span_id"))
	r.TraceID, r.SpanID = trace.TraceID, trace.SpanID
	if at, err := time.Parse(time.RFC3339Nano, o.text("timestamp")); err == nil {
		r.Timestamp = at.UTC()
	}
	r.checks(o.get("checks"))
	r.components("", o, maxDepth)
	r.entries(o.object("entries"))
	failures := o.object("failures")
	for _, name := range slices.Sorted(maps.Keys(failures)) { // health-go: whatever is there has failed
		var why string
		_ = json.Unmarshal(failures[name], &why)
		r.add(name, alertd.HealthCheck{Status: alertd.Unhealthy, Error: cut(why, maxReason)})
	}
	return nil
}

// checks reads the member of that name: an object of checks, each of which may be an array of measurements, or a
// list of checks that say their names.
func (r *Report) checks(raw json.RawMessage) {
	if raw == nil {
		return
	}
	var list []object
	if raw[0] == '[' && json.Unmarshal(raw, &list) == nil {
		for _, o := range list {
			r.add(o.text("name"), checkOf(o))
		}
		return
	}
	var named object
	_ = json.Unmarshal(raw, &named)
	for _, key := range slices.Sorted(maps.Keys(named)) {
		var measurements []object
		if named[key][0] == '[' && json.Unmarshal(named[key], &measurements) == nil {
			component, measured, _ := strings.Cut(key, ":")
			for _, m := range measurements {
				r.add(component, measurement(m, measured))
			}
			continue
		}
		var o object
		if json.Unmarshal(named[key], &o) != nil || o == nil {
			o = object{"status": named[key]} // the bare word of its status
		}
		r.add(key, checkOf(o))
	}
}

// measurement reads one of the draft's. Without a status it is there for information.
func measurement(o object, measured string) alertd.HealthCheck {
	if o.get("status") == nil {
		o = maps.Clone(o)
		if o == nil {
			o = object{}
		}
		o["status"] = json.RawMessage(`"pass"`)
	}
	c := checkOf(o)
	if strings.EqualFold(measured, "responseTime") {
		var value float64
		if json.Unmarshal(o.get("observedValue"), &value) == nil {
			c.LatencyMS = latency(value * unit(o.text("observedUnit")))
		}
	}
	return c
}

// unit is a unit of time in milliseconds; 0 if it is none.
func unit(s string) float64 {
	switch strings.ToLower(s) {
	case "s", "sec", "second", "seconds":
		return 1000
	case "ms", "msec", "millisecond", "milliseconds", "":
		return 1
	case "us", "µs", "μs", "microsecond", "microseconds":
		return 1e-3
	case "ns", "nanosecond", "nanoseconds":
		return 1e-6
	default:
		return 0
	}
}

// components reads Spring's components and the details of older Springs and of alexliesenfeld/health. Details are
// components where they have a status; elsewhere they are just details.
func (r *Report) components(outer string, o object, depth int) {
	if depth == 0 {
		return
	}
	for _, member := range []string{"components", "details"} {
		named := o.object(member)
		for _, key := range slices.Sorted(maps.Keys(named)) {
			var c object
			if json.Unmarshal(named[key], &c) != nil || c == nil || c.text("status") == "" {
				continue
			}
			r.add(outer+key, checkOf(c))
			r.components(outer+key+"/", c, depth-1)
		}
	}
}

// entries reads those of ASP.NET, which say how long they took as a time of day.
func (r *Report) entries(named object) {
	for _, key := range slices.Sorted(maps.Keys(named)) {
		var o object
		_ = json.Unmarshal(named[key], &o)
		c := checkOf(o)
		if ms := timeSpan(o.text("duration")); ms > 0 {
			c.LatencyMS = ms
		}
		r.add(key, c)
	}
}

// timeSpan reads .NET's [days.]hours:minutes:seconds as milliseconds; 0 if it is none.
func timeSpan(s string) float64 {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return 0
	}
	day, hour, ok := strings.Cut(parts[0], ".")
	if !ok {
		day, hour = "0", day
	}
	ms := 0.0
	for _, p := range []struct {
		text string
		ms   float64
	}{{day, 86_400_000}, {hour, 3_600_000}, {parts[1], 60_000}, {parts[2], 1000}} {
		v, err := strconv.ParseFloat(p.text, 64)
		if err != nil || v < 0 {
			return 0
		}
		ms += v * p.ms
	}
	return latency(ms)
}

// checkOf reads one check of any format.
func checkOf(o object) alertd.HealthCheck {
	var c alertd.HealthCheck
	var ok bool
	word := o.text("status")
	if c.Status, ok = fold(word); !ok {
		c.Status = alertd.Degraded
	}
	var ms float64
	if raw := o.get("latency_ms"); raw != nil && json.Unmarshal(raw, &ms) == nil {
		c.LatencyMS = latency(ms)
	}
	c.Error = o.text("error")
	if c.Error == "" && c.Status != alertd.Healthy { // elsewhere these are for information
		for _, s := range []string{o.text("output"), o.text("exception"), o.text("description"), o.object("details").text("error"), o.object("data").text("error")} {
			if s != "" {
				c.Error = s
				break
			}
		}
	}
	if c.Error == "" && !ok {
		c.Error = fmt.Sprintf("its status is %q, which is none of healthy, degraded, unhealthy", cut(word, maxWord))
	}
	c.Error = cut(c.Error, maxReason)
	c.Component = cut(o.text("component"), maxName)
	c.Local = string(o.get("local")) == "true"
	return c
}

// latency leaves out what cannot be one.
func latency(ms float64) float64 {
	if !(ms >= 0) || math.IsInf(ms, 0) {
		return 0
	}
	return ms
}

// add takes a check, or folds it into one of the same name: the worst status with its reason, the longest latency.
func (r *Report) add(name string, c alertd.HealthCheck) {
	old, again := r.Checks[name]
	switch {
	case name == "" || len(name) > maxName || !again && len(r.Checks) == maxChecks:
		return
	case !again:
		r.Checks[name] = c
		return
	}
	if worse := old.Status.Worse(c.Status); worse != old.Status || old.Error == "" && c.Status == old.Status {
		old.Status, old.Error = worse, c.Error
	}
	old.LatencyMS = max(old.LatencyMS, c.LatencyMS)
	old.Component, old.Local = cmp.Or(old.Component, c.Component), old.Local || c.Local
	r.Checks[name] = old
}

func success(status int) bool { return 200 <= status && status < 300 }

// cut shortens to at most n bytes of whole characters, and an ellipsis.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
