package ingest

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"alertd"
)

// The names of the samples that a health event becomes.
const (
	MetricHealth       = "health_status"
	MetricHealthCheck  = "health_check_status"
	MetricCheckLatency = "health_check_latency_seconds"

	labelCheck  = "check"
	labelStatus = "status"

	maxWithdrawn = 32 // metrics that a last report names
)

// Components says by which name a check is known to all services: the keys are "SERVICE.CHECK", or "*.CHECK" for the
// checks of that name of all other services. It goes before what events say themselves. It must not change once a
// decoder has it.
type Components map[string]string

// of is the component of a check; false if the map does not say.
func (c Components) of(service, check string) (string, bool) {
	if len(c) == 0 {
		return "", false
	}
	name, ok := c[service+"."+check]
	if !ok {
		name, ok = c["*."+check]
	}
	return name, ok
}

// SetComponents makes the decoder name the components of checks so from now on.
func (d *Decoder) SetComponents(c Components) {
	if !maps.Equal(d.components, c) {
		d.components, d.table = c, newIntern() // label sets that were made by the old map are forgotten
	}
}

// report is the health event at hand.
type report struct {
	service, environment string
	at                   int64 // milliseconds
	trace                alertd.TraceRef
}

func (d *Decoder) health(e *object) *fault {
	r := report{service: d.token}
	at := e.at
	var err *fault
	if e.has("service") || r.service == "" || d.kind != health {
		if r.service, at, err = e.text("service", healthShape); err != nil {
			return err
		}
	}
	if len(r.service) > MaxName {
		return faultf(at, "the service's name has %d bytes, more than %d", len(r.service), MaxName)
	}
	if r.environment, err = e.optional("environment"); err != nil {
		return err
	}
	if r.at, err = d.instant(e); err != nil {
		return err
	}
	if over, err := e.withdrawn(); over || err != nil {
		return cmp.Or(err, d.withdraw(e, &r))
	}
	status, err := e.status(healthShape)
	if err != nil {
		return err
	}
	valid, err := e.validFor(alertd.HealthStands)
	if err != nil {
		return err
	}
	defer func(from int) {
		for i := range d.out.Samples[from:] {
			d.out.Samples[from+i].ValidFor = valid
		}
	}(len(d.out.Samples))
	r.trace = d.traceOf(e)
	d.states(&r, status, MetricHealth, "", "")

	f, ok, err := e.get("checks")
	if err != nil || !ok {
		return err
	}
	if f.raw[0] != '{' {
		return faultf(f.at, `"checks" is %s; it must be an object; %s`, describe(f.raw), healthShape)
	}
	d.inner = members(d.inner[:0], f.raw, f.at)
	if len(d.inner) > MaxChecks {
		return faultf(f.at, "the event has %d checks, more than %d", len(d.inner), MaxChecks)
	}
	checks := d.inner
	slices.SortStableFunc(checks, func(a, b field) int { return strings.Compare(a.key, b.key) })
	for i, c := range checks {
		if err := d.check(&r, c, i > 0 && checks[i-1].key == c.key); err != nil {
			d.refuse(err.at, "%s", err.msg) // the others and the service's own status still count
		}
	}
	return nil
}

// withdrawn reports whether this is the last report on a service.
func (o *object) withdrawn() (bool, *fault) {
	f, ok, err := o.get("withdrawn")
	if err != nil || !ok {
		return false, err
	}
	if is := string(f.raw); is == "true" || is == "false" {
		return is == "true", nil
	}
	return false, faultf(f.at, `"withdrawn" is %s; it must be true or false`, describe(f.raw))
}

// withdraw ends what health reports have said, and the other metrics that the event names.
func (d *Decoder) withdraw(e *object, r *report) *fault {
	names := []string{MetricHealth, MetricHealthCheck, MetricCheckLatency}
	f, ok, err := e.get("metrics")
	if err != nil {
		return err
	}
	if ok {
		var more []string
		if json.Unmarshal(f.raw, &more) != nil || len(more) > maxWithdrawn {
			return faultf(f.at, `"metrics" is %s; it must be an array of at most %d names of metrics`, describe(f.raw), maxWithdrawn)
		}
		names = append(names, more...)
	}
	for _, name := range names {
		set := d.newSet(name)
		set.add(alertd.LabelService, r.service)
		set.add(alertd.LabelEnvironment, r.environment)
		d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: set.labels(), T: r.at, ValidFor: alertd.Withdrawn})
	}
	return nil
}

func (d *Decoder) check(r *report, c field, twice bool) *fault {
	switch {
	case c.key == "":
		return faultf(c.at, "a check has no name")
	case len(c.key) > MaxName:
		return faultf(c.at, "the name of a check has %d bytes, more than %d", len(c.key), MaxName)
	case twice:
		return faultf(c.at, "the check %q comes twice", short(c.key))
	case c.raw[0] != '{':
		return faultf(c.at, `the check %q is %s; it must be an object like {"status":"healthy","latency_ms":5}`, short(c.key), describe(c.raw))
	}
	o := object{at: c.at, fields: members(nil, c.raw, c.at)}
	status, err := o.status(healthShape)
	if err != nil {
		return faultf(err.at, "check %q: %s", short(c.key), err.msg)
	}
	latency, measured, err := o.latency()
	if err != nil {
		return faultf(err.at, "check %q: %s", short(c.key), err.msg)
	}
	component, err := d.component(r.service, c.key, &o)
	if err != nil {
		return faultf(err.at, "check %q: %s", short(c.key), err.msg)
	}
	said := len(d.out.Samples)
	d.states(r, status, MetricHealthCheck, c.key, component)
	if f, ok, err := o.get("error"); ok && err == nil && status != alertd.Healthy {
		text, _ := f.text() // what is no text is no reason to refuse the check
		for i := range d.out.Samples[said:] {
			if s := &d.out.Samples[said+i]; s.V == 1 {
				s.Note = clipped(text)
			}
		}
	}
	if measured {
		d.add(r, latency, MetricCheckLatency, c.key, "", "")
	}
	return nil
}

// maxNote bounds what a check says of its error, in bytes: it is for people.
const maxNote = 400

// clipped is a text of at most maxNote bytes.
func clipped(s string) string {
	if len(s) <= maxNote {
		return s
	}
	return strings.ToValidUTF8(s[:maxNote], "") + "…"
}

// component is what a check is about, by the name that all services know; "" if it is the service's own. The
// configuration knows best, then the event, then the name of the check.
func (d *Decoder) component(service, check string, o *object) (string, *fault) {
	said, err := o.optional(alertd.LabelComponent)
	if err != nil {
		return "", err
	}
	if name, ok := d.components.of(service, check); ok {
		return name, nil
	}
	local := slices.ContainsFunc(o.fields, func(f field) bool { return f.key == "local" && string(f.raw) == "true" })
	switch {
	case local:
		return "", nil
	case said != "":
		return said, nil
	default:
		return alertd.ComponentOf(check), nil
	}
}

// states appends a state set: 1 for the status that holds, 0 for the others, so that a rule can ask for any.
func (d *Decoder) states(r *report, holds alertd.HealthStatus, name, check, component string) {
	for _, status := range []alertd.HealthStatus{alertd.Healthy, alertd.Degraded, alertd.Unhealthy} {
		v := 0.0
		if status == holds {
			v = 1
		}
		d.add(r, v, name, check, component, string(status))
	}
}

func (d *Decoder) add(r *report, v float64, name, check, component, status string) {
	key := append(d.key[:0], '{') // no key of a metric event starts so, see (*Decoder).fast
	for _, s := range []string{name, r.service, r.environment, check, component, status} {
		key = append(key, byte(len(s)), byte(len(s)>>8))
		key = append(key, s...)
	}
	d.key = key
	ls, ok := d.table.get(key)
	if !ok {
		set := d.newSet(name)
		set.add(alertd.LabelService, r.service)
		set.add(alertd.LabelEnvironment, r.environment)
		set.add(labelCheck, check)
		set.add(alertd.LabelComponent, component)
		set.add(labelStatus, status)
		ls = set.labels()
		d.table.put(key, ls)
	}
	d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: ls, T: r.at, V: v, Trace: r.trace})
}

func (o *object) status(shape string) (alertd.HealthStatus, *fault) {
	s, at, err := o.text("status", shape)
	if err != nil {
		return "", err
	}
	status, ok := alertd.ParseHealthStatus(s)
	if !ok {
		return "", faultf(at, `"status" is %q; it must be "healthy", "degraded" or "unhealthy"`, short(s))
	}
	return status, nil
}

// latency is latency_ms in seconds.
func (o *object) latency() (seconds float64, ok bool, err *fault) {
	f, ok, err := o.get("latency_ms")
	if err != nil || !ok {
		return 0, false, err
	}
	ms, end, ok := number(f.raw, 0)
	if !ok || end != len(f.raw) || ms < 0 {
		return 0, false, faultf(f.at, `"latency_ms" is %s; it must be a number of milliseconds`, describe(f.raw))
	}
	return ms / 1000, true, nil
}

// optional is a name that need not be there.
func (o *object) optional(member string) (string, *fault) {
	f, ok, err := o.get(member)
	if err != nil || !ok {
		return "", err
	}
	s, ok := f.text()
	switch {
	case !ok:
		return "", faultf(f.at, "%q is %s; it must be a string", member, describe(f.raw))
	case len(s) > MaxName:
		return "", faultf(f.at, "%q has %d bytes, more than %d", member, len(s), MaxName)
	}
	return s, nil
}
