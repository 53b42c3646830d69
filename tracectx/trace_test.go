package tracectx_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"alertd/tracectx"
)

func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

func span(id, parent, service string, from, took int) tracectx.Span {
	return tracectx.Span{ID: id, Parent: parent, Service: service, Name: "op" + id, Start: at(from), Duration: time.Duration(took) * time.Millisecond}
}

// own is a span that alertd made.
func own(id, parent string, from, took int) tracectx.Span {
	s := span(id, parent, "alertd", from, took)
	s.Own = true
	return s
}

// shown writes rows: depth, id, and where the critical path runs.
func shown(w *tracectx.Waterfall) string {
	var b strings.Builder
	for _, r := range w.Rows {
		fmt.Fprintf(&b, "%s%s", strings.Repeat(".", r.Depth), r.ID)
		for _, c := range r.Critical {
			fmt.Fprintf(&b, " %.0f-%.0f", c.From*100, c.To*100)
		}
		if r.Hidden > 0 {
			fmt.Fprintf(&b, " +%d", r.Hidden)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestDraw(t *testing.T) {
	for name, tt := range map[string]struct {
		spans []tracectx.Span
		asked string
		max   int
		want  string
	}{
		"one after the other": {
			[]tracectx.Span{span("a", "", "x", 0, 100), span("b", "a", "x", 10, 20), span("c", "a", "y", 40, 50)},
			"", 9,
			"a 0-10 30-40 90-100\n.b 10-30\n.c 40-90\n",
		},
		"side by side: the one that ends last counts": {
			[]tracectx.Span{span("a", "", "x", 0, 100), span("b", "a", "x", 0, 50), span("c", "a", "y", 10, 80)},
			"", 9,
			"a 0-10 90-100\n.b\n.c 10-90\n",
		},
		"what goes on after its parent held nobody up": {
			[]tracectx.Span{span("a", "", "x", 0, 50), span("b", "a", "x", 10, 90)},
			"", 9,
			"a 0-50\n.b\n",
		},
		"missing parent": {[]tracectx.Span{span("a", "gone", "x", 0, 100), span("b", "a", "x", 0, 100)}, "", 9, "a\n.b 0-100\n"},
		"in circles":     {[]tracectx.Span{span("a", "b", "x", 0, 100), span("b", "a", "x", 10, 50)}, "", 9, "a 0-10 60-100\n.b 10-60\n"},
		"its own parent": {[]tracectx.Span{span("a", "a", "x", 0, 100)}, "", 9, "a 0-100\n"},
		"a wrong clock":  {[]tracectx.Span{span("a", "", "x", 0, 100), span("b", "a", "y", -5000, 50), span("c", "b", "y", -4990, 10)}, "", 9, "a 0-25 75-100\n.b 25-35 45-75\n..c 35-45\n"},
		"cut":            {[]tracectx.Span{span("a", "", "x", 0, 100), span("b", "a", "x", 0, 100), span("c", "a", "x", 0, 10), span("d", "c", "x", 0, 5)}, "", 2, "a +2\n.b 0-100\n"},
		"the span that is asked for": {
			[]tracectx.Span{span("a", "", "x", 0, 100), span("b", "a", "x", 0, 100), span("c", "a", "x", 0, 10), span("d", "c", "x", 0, 5)},
			"d", 3,
			"a +1\n.c\n..d\n",
		},
		"what alertd did with the events is left out": {
			[]tracectx.Span{span("a", "", "x", 0, 100), own("b", "a", 90, 10), own("c", "b", 2000, 10)},
			"", 9,
			"a 0-100\n",
		},
		"what others did for alertd is shown below it": {
			[]tracectx.Span{own("a", "", 0, 100), own("b", "a", 0, 90), span("c", "b", "x", 10, 80), own("d", "a", 95, 5)},
			"", 9,
			"a 90-100\n.b 0-10\n..c 10-90\n",
		},
		"alertd's own trace": {[]tracectx.Span{own("a", "", 0, 100), own("b", "a", 0, 100)}, "", 9, "a\n.b 0-100\n"},
		"of no length":       {[]tracectx.Span{span("a", "", "x", 0, 0)}, "", 9, "a\n"},
		"none":               {nil, "", 9, ""},
	} {
		w := tracectx.Draw(tracectx.Trace{Spans: tt.spans}, tt.asked, tt.max)
		if got := shown(&w); got != tt.want {
			t.Errorf("%s:\n%swant\n%s", name, got, tt.want)
		}
	}
}

// Whatever the spans: the same in any order, no more rows than allowed, every row below its parent, nothing lost from the
// count, and the critical path as long as the longest root.
func TestDrawProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "n")
		limit := rapid.IntRange(1, 30).Draw(t, "max")
		var spans []tracectx.Span
		for i := range n {
			s := span(fmt.Sprint(i), fmt.Sprint(rapid.IntRange(-1, n).Draw(t, "parent")), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "service"),
				rapid.IntRange(-50, 200).Draw(t, "from"), rapid.IntRange(0, 100).Draw(t, "took"))
			s.Failed, s.Own = rapid.Bool().Draw(t, "failed"), rapid.Bool().Draw(t, "own")
			spans = append(spans, s)
		}
		w := tracectx.Draw(tracectx.Trace{Spans: spans}, "1", limit)
		if len(w.Rows) > limit || len(w.Rows)+w.Hidden != w.Spans || w.Spans+w.Own != n || w.Spans == 0 {
			t.Fatalf("%d rows, %d hidden of %d", len(w.Rows), w.Hidden, n)
		}
		var path, longest time.Duration
		depth, hidden := -1, 0
		for _, r := range w.Rows {
			if r.Depth > depth+1 || r.From < 0 || r.To > 1 || r.From > r.To {
				t.Fatalf("row %+v after depth %d", r, depth)
			}
			depth, path, hidden = r.Depth, path+r.Self, hidden+r.Hidden
			if r.Depth == 0 {
				longest = max(longest, r.Duration)
			}
		}
		if w.Hidden == 0 && path != longest {
			t.Fatalf("the path takes %s, the longest root %s", path, longest)
		}
		if hidden > w.Hidden {
			t.Fatalf("%d hidden below rows, %d in all", hidden, w.Hidden)
		}
		rand.New(rand.NewPCG(1, uint64(n))).Shuffle(n, func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
		if again := tracectx.Draw(tracectx.Trace{Spans: spans}, "1", limit); !reflect.DeepEqual(again, w) {
			t.Fatalf("another order gives\n%s\nnot\n%s", shown(&again), shown(&w))
		}
	})
}

const otlpHex = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders"}}]},"scopeSpans":[{"spans":[
	{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00F067AA0BA902B7","parentSpanId":"00f067aa0ba902b6","name":"SELECT","startTimeUnixNano":"1768478400000000000","endTimeUnixNano":1768478401000000000,
	 "status":{"code":2},"events":[{"name":"exception","attributes":[{"key":"exception.message","value":{"stringValue":"time-out"}}]}]}]}]}]}`

// The same span in each form of ids and enums is the same span.
func TestDecodeOTLP(t *testing.T) {
	base := strings.NewReplacer("4bf92f3577b34da6a3ce929d0e0e4736", "S/kvNXezTaajzpKdDg5HNg==", "00F067AA0BA902B7", "APBnqgupArc=", "00f067aa0ba902b6", "APBnqgupArY=",
		`"code":2`, `"code":"STATUS_CODE_ERROR"`).Replace(otlpHex)
	want := tracectx.Trace{ID: traceID, Spans: []tracectx.Span{{
		ID: spanID, Parent: "00f067aa0ba902b6", Service: "orders", Name: "SELECT", Start: time.Unix(1768478400, 0).UTC(), Duration: time.Second, Failed: true, Error: "time-out",
	}}}
	for name, src := range map[string]string{
		"hex": otlpHex, "base64": base, "tempo": `{"trace":` + base + `,"status":"COMPLETE"}`, "jaeger": `{"result":` + otlpHex + `}`,
		"stream":  `{"result":` + otlpHex + `}` + "\n" + `{"result":` + otlpHex + `}`,
		"tempo 1": strings.Replace(base, "resourceSpans", "batches", 1), "as it was": strings.Replace(otlpHex, "scopeSpans", "instrumentationLibrarySpans", 1),
	} {
		got, err := tracectx.DecodeOTLP([]byte(src))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, want)
		}
	}
	for _, src := range []string{"", "{}", `{"trace":{"resourceSpans":[]}}`, `{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"zz"}]}]}]}`} {
		if _, err := tracectx.DecodeOTLP([]byte(src)); !errors.Is(err, tracectx.ErrNoTrace) {
			t.Errorf("%q: %v", src, err)
		}
	}
	if _, err := tracectx.DecodeOTLP([]byte("<html>")); err == nil || errors.Is(err, tracectx.ErrNoTrace) {
		t.Errorf("took HTML: %v", err)
	}
}

const jaegerTrace = `{"data":[{"traceID":"4bf92f3577b34da6a3ce929d0e0e4736","spans":[
	{"traceID":"4bf92f3577b34da6a3ce929d0e0e4736","spanID":"f067aa0ba902b7","operationName":"SELECT","references":[{"refType":"FOLLOWS_FROM","traceID":"aaf92f3577b34da6a3ce929d0e0e4736","spanID":"1"},{"refType":"CHILD_OF","traceID":"4bf92f3577b34da6a3ce929d0e0e4736","spanID":"2"}],
	 "startTime":1768478400000000,"duration":1000000,"tags":[{"key":"error","type":"bool","value":true},{"key":"otel.status_description","value":"time-out"},{"key":"http.status_code","value":500}],"processID":"p1"}],
	"processes":{"p1":{"serviceName":"orders"}}}],"errors":null}`

// alertd's own spans are known by the name of their scope, in each form.
func TestOwnSpans(t *testing.T) {
	otlp := strings.Replace(otlpHex, `"scopeSpans":[{`, `"scopeSpans":[{"scope":{"name":"alertd/app"},`, 1)
	jaeger := strings.Replace(jaegerTrace, `"tags":[`, `"tags":[{"key":"otel.scope.name","type":"string","value":"alertd/app"},`, 1)
	for name, decode := range map[string]func() (tracectx.Trace, error){
		"otlp":   func() (tracectx.Trace, error) { return tracectx.DecodeOTLP([]byte(otlp)) },
		"jaeger": func() (tracectx.Trace, error) { return tracectx.DecodeJaeger([]byte(jaeger)) },
	} {
		if got, err := decode(); err != nil || len(got.Spans) != 1 || !got.Spans[0].Own {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Where alertd exports its spans to the back-end that it asks, a trace that nobody else keeps is not found by them.
func TestEcho(t *testing.T) {
	for name, tt := range map[string]struct {
		spans []tracectx.Span
		want  bool
	}{
		"what alertd did with an event": {[]tracectx.Span{own("a", "gone", 0, 1), own("b", "a", 0, 1)}, true},
		"a trace that alertd began":     {[]tracectx.Span{own("a", "", 0, 1), own("b", "a", 0, 1)}, false},
		"a part of the request":         {[]tracectx.Span{own("a", "gone", 0, 1), span("b", "gone", "x", 0, 1)}, false},
		"nothing":                       {nil, false},
	} {
		trace := tracectx.Trace{Spans: tt.spans}
		if trace.Echo() != tt.want {
			t.Error(name)
		}
	}
}

func TestDecodeJaeger(t *testing.T) {
	got, err := tracectx.DecodeJaeger([]byte(jaegerTrace))
	want := tracectx.Trace{ID: traceID, Spans: []tracectx.Span{{
		ID: spanID, Parent: "0000000000000002", Service: "orders", Name: "SELECT", Start: time.Unix(1768478400, 0).UTC(), Duration: time.Second, Failed: true, Error: "time-out",
	}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	if _, err := tracectx.DecodeJaeger([]byte(`{"data":[],"errors":[{"code":404,"msg":"trace not found"}]}`)); !errors.Is(err, tracectx.ErrNoTrace) {
		t.Error(err)
	}
}

// Whatever a back-end answers: an error, or spans that can be drawn.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(otlpHex))
	f.Add([]byte(jaegerTrace))
	f.Add([]byte(`{"trace":{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"APBnqgupArc=","startTimeUnixNano":"1","endTimeUnixNano":"9223372036854775807"}]}]}]},"status":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, decode := range []func([]byte) (tracectx.Trace, error){tracectx.DecodeOTLP, tracectx.DecodeJaeger} {
			trace, err := decode(data)
			if err != nil {
				continue
			}
			seen := map[string]bool{}
			for _, s := range trace.Spans {
				if len(s.ID) != 16 || seen[s.ID] || s.Duration < 0 || len(s.Name) > 256 {
					t.Fatalf("span %+v", s)
				}
				seen[s.ID] = true
			}
			w := tracectx.Draw(trace, "", 10)
			for _, r := range w.Rows {
				if !(r.From >= 0 && r.To <= 1) {
					t.Fatalf("row %+v", r)
				}
			}
		}
	})
}
