package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"alertd"
)

var (
	arrival = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	traced  = map[string][]string{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}
)

// decode runs both paths twice, the second time with a warm table, demands that all agree, and returns the answer.
func decode(t testing.TB, subject string, header map[string][]string, payload string) (alertd.Events, []Problem) {
	t.Helper()
	fast, strict := NewDecoder(), NewDecoder()
	strict.strict = true
	var want, got alertd.Events
	problems := strict.Decode(subject, header, arrival, []byte(payload), &want)
	for _, table := range []string{"cold", "warm"} {
		got = alertd.Events{}
		if p := fast.Decode(subject, header, arrival, []byte(payload), &got); !reflect.DeepEqual(p, problems) {
			t.Fatalf("%s table, %q:\nfast   %v\nstrict %v", table, payload, p, problems)
		}
		if a, b := show(got), show(want); a != b {
			t.Fatalf("%s table, %q:\nfast   %s\nstrict %s", table, payload, a, b)
		}
	}
	return got, problems
}

func show(e alertd.Events) string {
	var b strings.Builder
	for _, s := range e.Samples {
		fmt.Fprintf(&b, "%s %s @%d", s.Labels, alertd.Value(s.V), s.T)
		if math.Signbit(s.V) && s.V == 0 {
			b.WriteString(" negative")
		}
		if !s.Trace.IsZero() {
			b.WriteString(traceText(s.Trace))
		}
		b.WriteByte('\n')
	}
	for _, o := range e.Occurrences {
		fmt.Fprintf(&b, "%s %s %q @%d", o.Type, o.Labels, o.Message, o.Time.UnixMilli())
		if !o.Trace.IsZero() {
			b.WriteString(traceText(o.Trace))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func reasons(problems []Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.Reason + "\n")
	}
	return b.String()
}

func TestMetrics(t *testing.T) {
	for payload, want := range map[string]string{
		`{"name":"x","value":1}`:                                                                 `{__name__="x", service="api"} 1 @1768473000000`,
		`{"value":1,"name":"x"}`:                                                                 `{__name__="x", service="api"} 1 @1768473000000`,
		` { "name" : "x" , "value" : -1.5e3 } `:                                                  `{__name__="x", service="api"} -1500 @1768473000000`,
		`{"name":"x","labels":{"b":"2","a":"1"},"value":17}`:                                     `{__name__="x", a="1", b="2", service="api"} 17 @1768473000000`,
		`{"name":"x","labels":{"service":"own"},"value":1}`:                                      `{__name__="x", service="own"} 1 @1768473000000`,
		`{"name":"x","service":"field","value":1}`:                                               `{__name__="x", service="field"} 1 @1768473000000`,
		`{"name":"x","service":"field","labels":{"service":"own"},"value":1}`:                    `{__name__="x", service="own"} 1 @1768473000000`,
		`{"name":"x","service":"","labels":{"service":""},"value":1}`:                            `{__name__="x", service="api"} 1 @1768473000000`,
		`{"name":"x","service":null,"labels":null,"value":1,"time":null}`:                        `{__name__="x", service="api"} 1 @1768473000000`,
		`{"name":"x","labels":{"a":""},"value":1}`:                                               `{__name__="x", service="api"} 1 @1768473000000`,
		`{"name":"http.größe","labels":{"k8s.pod":"ü"},"value":1}`:                               `{__name__="http.größe", "k8s.pod"="ü", service="api"} 1 @1768473000000`,
		`{"name":"a\"b","labels":{"\u0061":"\n}"},"value":1}`:                                    `{__name__="a\"b", a="\n}", service="api"} 1 @1768473000000`,
		`{"name":"x","labels":{"a":"{},\"}"},"value":1}`:                                         `{__name__="x", a="{},\"}", service="api"} 1 @1768473000000`,
		`{"name":"x","labels":{"a":"}{"},"value":1}`:                                             `{__name__="x", a="}{", service="api"} 1 @1768473000000`,
		`{"name":"x","value":"NaN"}`:                                                             `{__name__="x", service="api"} NaN @1768473000000`,
		`{"name":"x","value":"+Inf"}`:                                                            `{__name__="x", service="api"} +Inf @1768473000000`,
		`{"name":"x","value":"-Inf"}`:                                                            `{__name__="x", service="api"} -Inf @1768473000000`,
		`{"name":"x","value":-0}`:                                                                `{__name__="x", service="api"} -0 @1768473000000 negative`,
		`{"name":"x","value":0.1}`:                                                               `{__name__="x", service="api"} 0.1 @1768473000000`,
		`{"name":"x","value":123456789012345678901234567890}`:                                    `{__name__="x", service="api"} 1.2345678901234568e+29 @1768473000000`,
		`{"name":"x","value":1,"time":"2026-01-15T10:29:59.123456Z"}`:                            `{__name__="x", service="api"} 1 @1768472999123`,
		`{"name":"x","value":1,"timestamp":"2026-01-15T11:30:00+01:00"}`:                         `{__name__="x", service="api"} 1 @1768473000000`,
		`{"name":"x","value":1,"time":1768473000}`:                                               `{__name__="x", service="api"} 1 @1768473000000`,
		`{"name":"x","value":1,"time":1768472999.25}`:                                            `{__name__="x", service="api"} 1 @1768472999250`,
		`{"name":"x","value":1,"time":1768472999001}`:                                            `{__name__="x", service="api"} 1 @1768472999001`,
		`{"name":"x","value":1,"time":"0001-01-01T00:00:00Z"}`:                                   `{__name__="x", service="api"} 1 @1768473000000`,
		`{"name":"x","value":1,"type":"counter","status":200,"help":"text","ok":true,"no":null}`: `{__name__="x", service="api"} 1 @1768473000000`,
		`{"name":"x","value":1,"context":{"deep":[1,{"a":"}"}]}}`:                                `{__name__="x", service="api"} 1 @1768473000000`,
		`[]`: ``,
		`[{"name":"x","value":1},{"name":"y","value":2}]`:                                                   "{__name__=\"x\", service=\"api\"} 1 @1768473000000\n{__name__=\"y\", service=\"api\"} 2 @1768473000000",
		`[{"name":"x","value":1},]`:                                                                         `{__name__="x", service="api"} 1 @1768473000000`,
		"{\"name\":\"x\",\"value\":1}\n{\"name\":\"x\",\"value\":2}\r\n":                                    "{__name__=\"x\", service=\"api\"} 1 @1768473000000\n{__name__=\"x\", service=\"api\"} 2 @1768473000000",
		"\ufeff{\n  \"name\": \"x\",\n  \"value\": 1\n}":                                                    `{__name__="x", service="api"} 1 @1768473000000`,
		`{"name":"x","value":1}{"name":"y","value":2}`:                                                      "{__name__=\"x\", service=\"api\"} 1 @1768473000000\n{__name__=\"y\", service=\"api\"} 2 @1768473000000",
		`{"name":"x","value":1,"trace_id":"4BF92F3577B34DA6A3CE929D0E0E4736","span_id":"00f067aa0ba902b7"}`: `{__name__="x", service="api"} 1 @1768473000000 {4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 false}`,
		`{"name":"x","value":1,"trace_id":"nonsense","span_id":7}`:                                          `{__name__="x", service="api"} 1 @1768473000000`,
	} {
		events, problems := decode(t, "alertd.metrics.api", nil, payload)
		if got := strings.TrimSpace(show(events)); got != want || problems != nil {
			t.Errorf("%s:\n got %s %s\nwant %s", payload, got, reasons(problems), want)
		}
	}
}

func TestTraceOfHeaderAndPayload(t *testing.T) {
	other := strings.Repeat("a", 32)
	for fields, want := range map[string]alertd.TraceRef{
		``:                              {TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7"},
		`,"trace_id":"` + other + `"`:   {TraceID: other},
		`,"trace_id":"bad"`:             {TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7"},
		`,"trace_id":"","span_id":""`:   {TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7"},
		`,"span_id":"00000000000000aa"`: {TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7"},
		`,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"`: {TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7"},
	} {
		events, problems := decode(t, "alertd.metrics.api", traced, `{"name":"x","value":1`+fields+`}`)
		if problems != nil || events.Samples[0].Trace != want {
			t.Errorf("%s: %+v %v, want %+v", fields, events.Samples, problems, want)
		}
	}
	unsampled := map[string][]string{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}}
	events, _ := decode(t, "alertd.metrics.api", unsampled, `[{"name":"x","value":1,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00000000000000aa"},`+
		`{"name":"x","value":1,"trace_id":"`+other+`"}]`)
	if a, b := events.Samples[0].Trace, events.Samples[1].Trace; !a.Unsampled || a.SpanID != "00000000000000aa" || b.Unsampled {
		t.Errorf("%+v, %+v: the flags of the header hold for its own trace", a, b)
	}
}

func TestHealth(t *testing.T) {
	const up = `health_status", service="api", status="healthy"} 0 @1768473000000
{__name__="health_status", service="api", status="degraded"} 1 @1768473000000
{__name__="health_status", service="api", status="unhealthy"} 0 @1768473000000`
	events, problems := decode(t, "alertd.health.api", nil, `{"service":"api","status":"Degraded","checks":{
		"external_api":{"status":"degraded","error":"slow response"},
		"database":{"status":"healthy","latency_ms":5}},"timestamp":"2026-01-15T10:30:00Z"}`)
	want := `{__name__="` + up + `
{__name__="health_check_status", check="database", component="database", service="api", status="healthy"} 1 @1768473000000
{__name__="health_check_status", check="database", component="database", service="api", status="degraded"} 0 @1768473000000
{__name__="health_check_status", check="database", component="database", service="api", status="unhealthy"} 0 @1768473000000
{__name__="health_check_latency_seconds", check="database", service="api"} 0.005 @1768473000000
{__name__="health_check_status", check="external_api", component="external_api", service="api", status="healthy"} 0 @1768473000000
{__name__="health_check_status", check="external_api", component="external_api", service="api", status="degraded"} 1 @1768473000000
{__name__="health_check_status", check="external_api", component="external_api", service="api", status="unhealthy"} 0 @1768473000000
`
	if got := show(events); got != want || problems != nil {
		t.Errorf("got\n%s%s\nwant\n%s", got, reasons(problems), want)
	}

	// What alertd itself marshals is what it reads, without a time too; the subject names the service.
	body, err := json.Marshal(alertd.Health{Status: alertd.Degraded})
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{string(body), `{"status":"DEGRADED","checks":null}`, `{"status":"degraded","service":"api","checks":{}}`} {
		if events, problems = decode(t, "alertd.health.api", nil, payload); !strings.Contains(show(events), up) || problems != nil {
			t.Errorf("%s: %s%s", payload, show(events), reasons(problems))
		}
	}

	// One bad check costs neither the others nor the service's own status.
	events, problems = decode(t, "alertd.health.api", nil,
		`{"status":"degraded","checks":{"a":{"status":"so-so"},"b":true,"b":{"status":"healthy"},"c":{"status":"healthy","latency_ms":"5"},"":{"status":"healthy"},"d":{"status":"healthy"}}}`)
	if got := show(events); !strings.Contains(got, up) || strings.Count(got, "\n") != 6 || !strings.Contains(got, `check="d"`) {
		t.Errorf("%s", got)
	}
	for _, want := range []string{`check "a": "status" is "so-so"; it must be "healthy", "degraded" or "unhealthy"`, `the check "b" is true`, `the check "b" comes twice`, `check "c": "latency_ms" is "5"`, "a check has no name"} {
		if !strings.Contains(reasons(problems), want) {
			t.Errorf("missing %q in\n%s", want, reasons(problems))
		}
	}
}

func TestOccurrences(t *testing.T) {
	for _, c := range []struct{ subject, payload, want string }{
		{"alertd.events.deployment.completed", `{"service":"api","message":"v1.2.3 is live"}`, `deployment.completed {service="api"} "v1.2.3 is live" @1768473000000`},
		{"alertd.events.x", `{"type":"backup.succeeded","labels":{"service":"db","size":"3"},"time":"2026-01-15T10:29:00Z"}`, `backup.succeeded {service="db", size="3"} "" @1768472940000`},
		{"alertd.events.x", `{}`, `x {} "" @1768473000000`},
		{"anything", `{"type":"a","status":"ok"}`, `a {} "" @1768473000000`},
		{"alertd.events.x", `{"message":"` + strings.Repeat("ü", 4096) + `"}`, `x {} "` + strings.Repeat("ü", 2048) + `…" @1768473000000`},
	} {
		events, problems := decode(t, c.subject, nil, c.payload)
		if got := strings.TrimSpace(show(events)); got != c.want || problems != nil {
			t.Errorf("%s:\n got %s %s\nwant %s", c.payload, got, reasons(problems), c.want)
		}
	}
}

func TestShapeWhereTheSubjectIsSilent(t *testing.T) {
	events, problems := decode(t, "telegraf", nil, `[{"name":"x","value":1},{"type":"t"},{"service":"s","status":"healthy"},{"name":"x","value":1,"type":"gauge","status":"ok"}]`)
	if len(events.Samples) != 5 || len(events.Occurrences) != 1 || problems != nil {
		t.Errorf("%s%s", show(events), reasons(problems))
	}
	if _, problems = decode(t, "telegraf", nil, `{"foo":1}`); len(problems) != 1 || !strings.Contains(problems[0].Reason, `fields ("foo")`) {
		t.Errorf("%s", reasons(problems))
	}
}

func TestProblems(t *testing.T) {
	const good = `{"name":"x","value":1}`
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		payload string
		good    int // events that count all the same
		want    []string
	}{
		{``, 0, []string{"line 1, column 1: the message is empty"}},
		{"\n ", 0, []string{"the message is empty"}},
		{`hello`, 0, []string{`line 1, column 1: "hello" is not an event`}},
		{`17`, 0, []string{`"17" is not an event`}},
		{"{\"name\":\"\xff\"}", 0, []string{"line 1, column 10: the message is not UTF-8"}},
		{`{"name":"x"}`, 0, []string{`line 1, column 1: the event has no "value" (its fields: "name"); a metric event is {"name":`}},
		{`{"nam":"x","value":1}`, 0, []string{`the event has no "name" (its fields: "nam", "value")`}},
		{`{}`, 0, []string{`(its fields: none)`}},
		{`{"name":"","value":1}`, 0, []string{`line 1, column 9: "name" is empty`}},
		{`{"name":7,"value":1}`, 0, []string{`line 1, column 9: "name" is 7; it must be a string`}},
		{`{"name":"x","value":"17"}`, 0, []string{`line 1, column 21: "value" is the string "17"; write the number without quotes`}},
		{`{"name":"x","value":"high"}`, 0, []string{`"value" is "high"; it must be a number`}},
		{`{"name":"x","value":true}`, 0, []string{`"value" is true`}},
		{`{"name":"x","value":null}`, 0, []string{`has no "value"`}},
		{`{"name":"x","value":1e999}`, 0, []string{`"value" is 1e999`}},
		{`{"name":"x","value":1,"value":2}`, 0, []string{`line 1, column 31: "value" comes twice`}},
		{`{"name":"x","value":01}`, 0, []string{`line 1, column 22: not JSON: invalid character '1'`}},
		{`{"name":"x","value":1,}`, 0, []string{`line 1, column 23: not JSON`}},
		{"{\"name\":\"x\ty\",\"value\":1}", 0, []string{`not JSON: invalid character '\t'`}},
		{`{"name":"x","labels":{"code":500},"value":1}`, 0, []string{`line 1, column 30: the label "code" is 500; it must be a string`}},
		{`{"name":"x","labels":{"a":null},"value":1}`, 0, []string{`the label "a" is null`}},
		{`{"name":"x","labels":["a"],"value":1}`, 0, []string{`"labels" is an array; it must be an object`}},
		{`{"name":"x","labels":{"a":"1","a":"2"},"value":1}`, 0, []string{`line 1, column 35: the label "a" comes twice`}},
		{`{"name":"x","labels":{"":"1"},"value":1}`, 0, []string{`a label has no name`}},
		{`{"name":"x","labels":{"__name__":"y"},"value":1}`, 0, []string{`the label __name__ is the metric's name`}},
		{`{"name":"` + long + `","value":1}`, 0, []string{`the name has 5000 bytes, more than 1024`}},
		{`{"name":"x","labels":{"a":"` + long + `"},"value":1}`, 0, []string{`the label "a" has 5000 bytes, more than 4096`}},
		{`{"name":"x","labels":{"` + long + `":"a"},"value":1}`, 0, []string{`the name of a label has 5000 bytes`}},
		{`{"name":"x","service":5,"value":1}`, 0, []string{`"service" is 5; it must be a string`}},
		{`{"name":"x","value":1,"time":"yesterday"}`, 0, []string{`line 1, column 30: "time" is "yesterday"; write it like "2026-01-15T10:30:00Z"`}},
		{`{"name":"x","value":1,"time":"2026-02-30T10:30:00Z"}`, 0, []string{`"time" is "2026-02-30T10:30:00Z"; write it`}},
		{`{"name":"x","value":1,"time":1768473000000000}`, 0, []string{`neither seconds nor milliseconds`}},
		{`{"name":"x","value":1,"time":-1}`, 0, []string{`before 1970`}},
		{`{"name":"x","value":1,"time":"2026-01-15T11:30:00Z"}`, 0, []string{`1h0m0s ahead of its arrival; check the publisher's clock`}},
		{`{"name":"x","value":1,"time":1,"timestamp":1}`, 0, []string{`both "time" and "timestamp"`}},
		{`{"name":"x","value":1,"time":{}}`, 0, []string{`"time" is an object`}},
		{`{"name":"x","value":1,"c":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, 0, []string{`nested more than 64 deep`}},

		// The good ones of a message count.
		{`[` + good + `,{"name":"x"},` + good + `]`, 2, []string{`item 2: line 1, column 25: the event has no "value"`}},
		{`[` + good + `,{"name":"x" "value":1},` + good + `]`, 2, []string{`item 2: line 1, column 37: not JSON`}},
		{`[` + good + `,7,"a,]",[` + good + `],` + good + `]`, 2, []string{`item 2: line 1, column 25: "7" is not an event`, `item 3: line 1, column 27: "\"a,]\"" is`, `item 4: `}},
		{`[` + good + ` ` + good + `]`, 2, []string{`line 1, column 25: expected a comma or ] after an event`}},
		{`[` + good + `,{"name":"a"b","value":1}, ` + good + `,` + good + `]`, 3, []string{`item 2: line 1, column 36: not JSON`}},
		{`[` + good + `,{"name":"x","va`, 1, []string{`item 2: line 1, column 25: the event has no end`, `the array of events has no end`}},
		{`[` + good, 1, []string{`line 1, column 24: the array of events has no end`}},
		{good + "\n{\"name\":\"x\"\n" + good + "\n", 2, []string{"line 3, column 1: not JSON"}},
		{good + "\nhello\n" + good, 2, []string{`line 2, column 1: "hello" is not an event`}},
		{good + "\n{\"name\":\"x\n" + good + "\n" + good, 3, []string{"line 2, column 11: not JSON"}},
		{good + "}\n" + good, 2, []string{`"}" is not an event`}},
		{good + "\n{\"name\":", 1, []string{"line 2, column 1: the event has no end"}},
	} {
		events, problems := decode(t, "alertd.metrics.api", nil, c.payload)
		if len(events.Samples) != c.good {
			t.Errorf("%.80q: %d events, want %d; %s", c.payload, len(events.Samples), c.good, reasons(problems))
		}
		if len(problems) != len(c.want) {
			t.Errorf("%.80q: problems\n%swant %q", c.payload, reasons(problems), c.want)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(problems[i].Reason, want) || problems[i].Count != 1 {
				t.Errorf("%.80q: %+v, want it to say %q", c.payload, problems[i], want)
			}
		}
	}
	for _, c := range []struct{ subject, payload, want string }{
		{"alertd.health.api", `{"status":"ok"}`, `"status" is "ok"; it must be "healthy"`},
		{"alertd.health.api", `{"checks":{}}`, `has no "status"`},
		{"alertd.health.api", `{"status":"healthy","checks":[]}`, `"checks" is an array`},
		{"elsewhere", `{"status":"healthy"}`, `has no "service"`},
		{"elsewhere", `{"type":7}`, `"type" is 7`},
		{"alertd.events.a", `{"message":7}`, `"message" is 7`},
	} {
		_, problems := decode(t, c.subject, nil, c.payload)
		if len(problems) != 1 || !strings.Contains(problems[0].Reason, c.want) {
			t.Errorf("%s: %s, want it to say %q", c.payload, reasons(problems), c.want)
		}
	}
}

func TestBounds(t *testing.T) {
	var out alertd.Events
	d := NewDecoder()
	if p := d.Decode("alertd.metrics.a", nil, arrival, make([]byte, MaxPayload+1), &out); len(p) != 1 || !strings.Contains(p[0].Reason, "send smaller batches") {
		t.Errorf("payload: %v", p)
	}

	event := `{"name":"x","value":1}` + "\n"
	out = alertd.Events{}
	p := d.Decode("alertd.metrics.a", nil, arrival, []byte(strings.Repeat(event, MaxEvents+10)), &out)
	if len(p) != 1 || len(out.Samples) != MaxEvents || !strings.Contains(p[0].Reason, "more than 100000 events") {
		t.Errorf("events: %d, %v", len(out.Samples), p)
	}

	out = alertd.Events{}
	p = d.Decode("alertd.metrics.a", nil, arrival, []byte(`[`+strings.Repeat(`{},`, 1000)+`{"name":"x","value":1}]`), &out)
	count := 0
	for _, p := range p {
		count += p.Count
	}
	if len(p) != maxProblems+1 || count != 1000 || len(out.Samples) != 1 {
		t.Errorf("problems: %d of %d, %d samples", len(p), count, len(out.Samples))
	}

	var labels strings.Builder
	for i := range MaxLabels + 1 {
		fmt.Fprintf(&labels, `"l%d":"v",`, i)
	}
	_, p = decode(t, "alertd.metrics.a", nil, `{"name":"x","value":1,"labels":{`+strings.TrimSuffix(labels.String(), ",")+`}}`)
	if len(p) != 1 || !strings.Contains(p[0].Reason, "65 labels, more than 64") {
		t.Errorf("labels: %v", p)
	}

	// Objects without an end do not make the decoder read the rest again and again.
	start := time.Now()
	broken := strings.Repeat("{\"a\":\"\n", MaxPayload/8)
	for _, payload := range []string{broken, "[" + strings.Repeat(`{"a":"}{`, MaxPayload/8-1), "[" + strings.Repeat(`{"a"},`, 90_000), strings.Repeat("[", MaxPayload-1), strings.Repeat(`{"a":`, MaxPayload/6)} {
		d.Decode("alertd.metrics.a", nil, arrival, []byte(payload), &out)
	}
	if took := time.Since(start); took > 3*time.Minute {
		t.Errorf("broken messages took %s", took)
	}
}

func TestTableIsBounded(t *testing.T) {
	table := newIntern()
	key := make([]byte, 1<<20)
	for i := range 500 {
		copy(key, fmt.Sprint(i))
		table.put(key, alertd.Labels{})
		if n := len(table.young) + len(table.old); n > 2*maxGeneration/(2<<20)+2 {
			t.Fatalf("%d entries of 1 MiB", n)
		}
	}
	copy(key, "499")
	if _, ok := table.get(key); !ok {
		t.Error("the newest entry is gone")
	}
}

func TestWarmTableDoesNotAllocate(t *testing.T) {
	d := NewDecoder()
	var out alertd.Events
	payload := batch(100, "[", ",", "]")
	run := func() {
		out.Samples = out.Samples[:0]
		if p := d.Decode("alertd.metrics.api", nil, arrival, payload, &out); p != nil {
			t.Fatal(p)
		}
	}
	run()
	if n := testing.AllocsPerRun(50, run); n != 0 {
		t.Errorf("%v allocations for a message of known series", n)
	}
}

// Our reading of numbers and times is that of the standard library.
func TestNumbersAndTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number")
		var want float64
		err := json.Unmarshal([]byte(s), &want)
		got, end, ok := number([]byte(s), 0)
		if ok != (err == nil) || ok && (end != len(s) || math.Float64bits(got) != math.Float64bits(want)) {
			t.Fatalf("%s: %v %d %v, want %v %v", s, got, end, ok, want, err)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.StringMatching(`[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,10})?Z`),
			rapid.Custom(func(t *rapid.T) string {
				return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC().Format(time.RFC3339Nano)
			})).Draw(t, "time")
		want, err := time.Parse(time.RFC3339Nano, s)
		got, ok := parseTime([]byte(s))
		if ok != (err == nil) || ok && got != want.UnixMilli() {
			t.Fatalf("%s: %d %v, want %d %v", s, got, ok, want.UnixMilli(), err)
		}
	})
}

// FuzzFastPath holds the hand-written path and the one by encoding/json together, with a cold table and a warm one.
func FuzzFastPath(f *testing.F) {
	for _, payload := range []string{
		`{"name":"x","labels":{"service":"api","code":"500"},"value":17,"time":"2026-01-15T10:30:00Z","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}`,
		`[{"name":"x","value":1.5e3,"time":1768473000},{"name":"x","value":2,"c":"d","e":true}]`,
		"{\"name\":\"x\",\"value\":1}\n{\"name\":\"x\",\"value\":2}\n",
		`{"name":"x","labels":{"a":"}\""},"value":1}`,
		`{"name":"x","labels":null,"time":null,"trace_id":null,"service":null,"value":"NaN","c":{"d":[1,"\n"]},"e":"\u00e4"}`,
		`{"service":"a","status":"healthy","checks":{"db":{"status":"degraded","latency_ms":1}}}`,
		`{"type":"a.b","labels":{"x":"y"},"message":"m"}`,
		`[{"name":"a"b"},{"name":"x","value":1}]`,
	} {
		f.Add("alertd.metrics.api", payload)
		f.Add("elsewhere", payload)
		f.Add("alertd.metrics.\xff", payload)
	}
	f.Fuzz(func(t *testing.T, subject, payload string) {
		events, _ := decode(t, subject, traced, payload)
		for _, s := range events.Samples {
			if !s.Labels.IsValid(2) || s.T < 0 || s.Labels.Get("__name__") == "" {
				t.Fatalf("%q: bad sample %v", payload, s)
			}
			if dup, ok := s.Labels.HasDuplicateLabelNames(); ok {
				t.Fatalf("%q: label %s twice", payload, dup)
			}
		}
	})
}

// The fuzzer rarely gets to a warm table; here are mutations of good messages that do.
func TestFastPathOnMutations(t *testing.T) {
	seed := string(batch(3, "[", ",", "]"))
	rapid.Check(t, func(t *rapid.T) {
		b := []byte(seed)
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			i := rapid.IntRange(0, len(b)-1).Draw(t, "at")
			switch rapid.IntRange(0, 3).Draw(t, "how") {
			case 0:
				b[i] = rapid.SampledFrom([]byte(`{}[]",:\ 01e.-tn`+"\n\t\x01")).Draw(t, "byte")
			case 1:
				b = append(b[:i], b[i+1:]...)
			case 2:
				b = append(b[:i:i], append([]byte{b[i]}, b[i:]...)...)
			case 3:
				j := rapid.IntRange(i, len(b)-1).Draw(t, "to")
				b = append(b[:i:i], append([]byte(string(b[i:j])), b[i:]...)...)
			}
		}
		fast, strict := NewDecoder(), NewDecoder()
		strict.strict = true
		var warm, got, want alertd.Events
		fast.Decode("alertd.metrics.api", nil, arrival, []byte(seed), &warm)
		p := fast.Decode("alertd.metrics.api", nil, arrival, b, &got)
		q := strict.Decode("alertd.metrics.api", nil, arrival, b, &want)
		if show(got) != show(want) || !reflect.DeepEqual(p, q) {
			t.Fatalf("%s:\nfast   %s%v\nstrict %s%v", b, show(got), p, show(want), q)
		}
	})
}

// batch is a message of n samples of n series, as a client library writes them.
func batch(n int, open, sep, end string) []byte {
	var b strings.Builder
	b.WriteString(open)
	for i := range n {
		if i > 0 {
			b.WriteString(sep)
		}
		fmt.Fprintf(&b, `{"name":"http_requests_total","labels":{"service":"api","code":"500","instance":"10.0.0.%d:8080"},"value":%d.5,"time":"2026-01-15T10:30:00Z"}`, i, 1000+i)
	}
	b.WriteString(end)
	return []byte(b.String())
}

func BenchmarkDecode(b *testing.B) {
	trace := strings.ReplaceAll(string(batch(100, "[", ",", "]")), `"}`, `","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}`)
	trace = strings.ReplaceAll(trace, `8080","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}`, `8080"}`)
	for _, c := range []struct {
		name    string
		n       int
		payload []byte
		strict  bool
	}{
		{"single", 1, batch(1, "", "", ""), false},
		{"array100", 100, batch(100, "[", ",", "]"), false},
		{"ndjson100", 100, batch(100, "", "\n", "\n"), false},
		{"traced100", 100, []byte(trace), false},
		{"context100", 100, bytes.ReplaceAll(batch(100, "[", ",", "]"), []byte(`"time"`), []byte(`"trace_id":null,"host":{"name":"a","ip":["::1"]},"time"`)), false},
		{"escaped100", 100, bytes.ReplaceAll(batch(100, "[", ",", "]"), []byte(`:8080`), []byte(`\/\u00e4`)), false},
		{"strict100", 100, batch(100, "[", ",", "]"), true},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := NewDecoder()
			d.strict = c.strict
			var out alertd.Events
			b.ReportAllocs()
			b.SetBytes(int64(len(c.payload)))
			before := cpu()
			for b.Loop() {
				out.Samples = out.Samples[:0]
				if p := d.Decode("alertd.metrics.api", nil, arrival, c.payload, &out); p != nil || len(out.Samples) != c.n {
					b.Fatal(p, len(out.Samples))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.n), "ns/sample")
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N*c.n), "cpu-ns/sample")
		})
	}
}

// cpu is what this process used, which says more than the clock where others use the machine too.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// `alertd publish metric x 1` has no service to put into the subject.
func TestNobodyIsNoService(t *testing.T) {
	var out alertd.Events
	d := NewDecoder()
	if problems := d.Decode("alertd.metrics._", nil, time.Unix(1_770_000_000, 0), []byte(`{"name":"x","value":1}`), &out); len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(out.Samples) != 1 || out.Samples[0].Labels.Has("service") {
		t.Errorf("decoded %v", out.Samples)
	}
}

// traceText writes a trace: its ids, whether it was not sampled, and what its exemplar says besides.
func traceText(ref alertd.TraceRef) string {
	text := fmt.Sprintf(" {%s %s %v", ref.TraceID, ref.SpanID, ref.Unsampled)
	if ref.Failed {
		text += " failed"
	}
	if ref.Value != 0 {
		text += " " + ref.Value.String()
	}
	return text + "}"
}
