package journal

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"alertd"
)

// marshal is json.Marshal of a commit, byte for byte. Reflection, with a map for every label set, would be a quarter of what
// a storm costs, so the decisions that a storm consists of are written by hand.
func marshal(c *alertd.Commit) ([]byte, error) {
	o := object{b: make([]byte, 0, 256+800*len(c.Entries))}
	o.uint("epoch", c.Epoch)
	o.text("node", c.Node)
	o.time("time", c.Time)
	o.uint("checkpoint", c.Checkpoint)
	if !c.Events.IsZero() {
		o.time("events", c.Events)
	}
	o.text("prev", c.Prev)
	if len(c.Entries) > 0 {
		o.name("entries")
		for i := range c.Entries {
			o.b = append(o.b, "[,"[min(i, 1)])
			o.entry(&c.Entries[i])
		}
		o.b = append(o.b, ']')
	}
	o.end()
	return o.b, o.err
}

// object writes JSON, one member a call. The first member opens the object; end closes it.
type object struct {
	b   []byte
	err error // the first one
}

// entry writes one decision. Those that are rare, or hold what is, are left to encoding/json.
func (o *object) entry(e *alertd.Entry) {
	switch {
	case e.Transition != nil && e.Transition.Alert.Ack == nil:
		o.time("time", e.Time)
		o.name("transition")
		o.transition(e.Transition)
	case e.Joined != nil:
		o.time("time", e.Time)
		o.name("joined")
		o.joined(e.Joined)
	case e.Scheduled != nil:
		o.time("time", e.Time)
		o.name("scheduled")
		o.scheduled(e.Scheduled)
	case e.Withheld != nil:
		o.time("time", e.Time)
		o.name("withheld")
		o.withheld(e.Withheld)
	default:
		o.any(e)
		return
	}
	o.end()
}

func (o *object) transition(t *alertd.Transition) {
	o.text("from", string(t.From))
	o.text("reason", string(t.Reason))
	o.name("alert")
	a := &t.Alert
	o.fingerprint(a.Fingerprint)
	o.text("rule", a.Rule)
	o.labels("labels", a.Labels)
	o.labels("annotations", a.Annotations)
	o.text("state", string(a.State))
	o.name("value")
	if math.Float64bits(float64(a.Value)) == 0 { // as it is in every posted alert
		o.b = append(o.b, '0')
	} else {
		o.any(a.Value)
	}
	o.time("active_at", a.ActiveAt)
	o.someTime("fired_at", a.FiredAt)
	o.someTime("gone_at", a.GoneAt)
	o.someTime("resolved_at", a.ResolvedAt)
	o.time("at", a.At)
	o.someTime("expires", a.Expires)
	o.someText("scope", a.Scope)
	o.someText("runbook_url", a.RunbookURL)
	if len(a.Dashboards) > 0 {
		o.name("dashboards")
		o.any(a.Dashboards)
	}
	o.someText("trace_url", a.TraceURL)
	if !a.Trace.IsZero() {
		o.name("trace")
		o.any(a.Trace)
	}
	o.someText("trace_note", a.TraceNote)
	if a.TraceLost {
		o.name("trace_lost")
		o.b = append(o.b, "true"...)
	}
	o.someText("generator_url", a.GeneratorURL)
	o.someInt("changes", int64(a.Changes))
	o.end()
	o.end()
}

func (o *object) joined(j *alertd.Joined) {
	o.fingerprint(j.Fingerprint)
	o.text("group", string(j.Group))
	o.labels("group_labels", j.GroupLabels)
	if !j.RouteLabels.IsEmpty() {
		o.labels("route_labels", j.RouteLabels)
	}
	o.text("route", j.Route)
	o.text("receiver", j.Receiver)
	o.text("delivery", string(j.Delivery))
	o.someText("calendar", j.Calendar)
	o.someTexts("mute", j.Mute)
	o.someTexts("active", j.Active)
	o.int("group_wait", int64(j.GroupWait))
	o.int("group_interval", int64(j.GroupInterval))
	o.int("repeat_interval", int64(j.RepeatInterval))
	o.someInt("repage_interval", int64(j.RepageInterval))
	o.someInt("max_hold", int64(j.MaxHold))
	o.someText("escalation", j.Escalation)
	o.someInt("step", int64(j.Step))
	o.end()
}

func (o *object) scheduled(s *alertd.Scheduled) {
	o.text("group", string(s.Group))
	o.time("due", s.Due)
	o.text("reason", string(s.Reason))
	o.someText("calendar", s.Calendar)
	o.end()
}

func (o *object) withheld(w *alertd.Withheld) {
	o.fingerprint(w.Fingerprint)
	o.text("group", string(w.Group))
	o.text("receiver", w.Receiver)
	o.text("reason", string(w.Reason))
	o.someText("by", w.By)
	o.someTime("until", w.Until)
	o.someText("detail", w.Detail)
	o.end()
}

// name begins a member, and the object with its first.
func (o *object) name(name string) {
	open := byte(',')
	if n := len(o.b); n == 0 || o.b[n-1] == ':' || o.b[n-1] == '[' || o.b[n-1] == ',' {
		open = '{'
	}
	o.b = append(append(append(o.b, open, '"'), name...), '"', ':')
}

func (o *object) end() { o.b = append(o.b, '}') }

func (o *object) text(name, s string) {
	o.name(name)
	o.b = alertd.AppendText(o.b, s)
}

func (o *object) someText(name, s string) {
	if s != "" {
		o.text(name, s)
	}
}

func (o *object) someTexts(name string, texts []string) {
	if len(texts) > 0 {
		o.name(name)
		o.any(texts)
	}
}

func (o *object) int(name string, n int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) someInt(name string, n int64) {
	if n != 0 {
		o.int(name, n)
	}
}

func (o *object) uint(name string, n uint64) {
	o.name(name)
	o.b = strconv.AppendUint(o.b, n, 10)
}

func (o *object) fingerprint(fp alertd.Fingerprint) {
	const digits = "0123456789abcdef"
	o.name("fingerprint")
	o.b = append(o.b, '"')
	for shift := 60; shift >= 0; shift -= 4 {
		o.b = append(o.b, digits[fp>>shift&15])
	}
	o.b = append(o.b, '"')
}

func (o *object) time(name string, t time.Time) {
	o.name(name)
	o.b = append(o.b, '"')
	b, err := t.AppendText(o.b)
	if err != nil {
		o.fail(err)
	} else {
		o.b = b
	}
	o.b = append(o.b, '"')
}

func (o *object) someTime(name string, t time.Time) {
	if !t.IsZero() {
		o.time(name, t)
	}
}

func (o *object) labels(name string, ls alertd.Labels) {
	o.name(name)
	o.b = alertd.AppendLabels(o.b, ls)
}

// any writes a value as encoding/json does.
func (o *object) any(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		o.fail(err)
	}
	o.b = append(o.b, b...)
}

func (o *object) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}
