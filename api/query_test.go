package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"alertd"
	"alertd/rules"
)

// memory is a Series of fixed samples.
type memory struct {
	list []storage.Series
	err  error
	slow chan struct{} // if there: Select waits for it, or for the end of its context
}

func (m memory) Metrics(context.Context) ([]alertd.Metadata, error) {
	return []alertd.Metadata{
		{Metric: "http_requests_total"}, {Metric: "latency_seconds", Type: "histogram", Help: `How "long".`, Unit: "s"}, {Metric: "temperature"}, {Metric: "unread"},
	}, m.err
}
func (m memory) Lookback(context.Context) (time.Duration, error) { return 5 * time.Minute, m.err }

func (m memory) Exemplars(_ context.Context, sets [][]*labels.Matcher, from, to int64) (out []rules.SeriesExemplars, _ error) {
	if sets[0][0].Value == "odd" && from <= epoch.UnixMilli() && to >= epoch.UnixMilli() {
		out = []rules.SeriesExemplars{{Labels: labels.FromStrings("__name__", "odd", "x", "1"), Exemplars: []rules.Exemplar{
			{T: epoch.UnixMilli() - 500, Value: 6, Trace: alertd.TraceRef{TraceID: "ab", SpanID: "cd"}},
			{T: epoch.UnixMilli(), Value: math.NaN(), Trace: alertd.TraceRef{TraceID: "ef"}},
		}}}
	}
	return out, m.err
}

func (m memory) Querier(_, _ int64) (storage.Querier, error) { return m, nil }
func (m memory) Close() error                                { return nil }

func (m memory) Select(ctx context.Context, _ bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	if m.slow != nil {
		select {
		case <-m.slow:
		case <-ctx.Done():
			return storage.ErrSeriesSet(ctx.Err())
		}
	}
	if m.err != nil {
		return storage.ErrSeriesSet(m.err)
	}
	set := &listed{at: -1}
	for _, s := range m.list {
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) }) {
			set.list = append(set.list, s)
		}
	}
	return set
}

func (m memory) LabelNames(ctx context.Context, _ *storage.LabelHints, ms ...*labels.Matcher) (out []string, _ annotations.Annotations, _ error) {
	for set := m.Select(ctx, true, nil, ms...); set.Next(); {
		set.At().Labels().Range(func(l labels.Label) { out = append(out, l.Name) })
	}
	return out, nil, m.err
}

func (m memory) LabelValues(ctx context.Context, name string, _ *storage.LabelHints, ms ...*labels.Matcher) (out []string, _ annotations.Annotations, _ error) {
	for set := m.Select(ctx, true, nil, ms...); set.Next(); {
		if v := set.At().Labels().Get(name); v != "" {
			out = append(out, v)
		}
	}
	return out, nil, m.err
}

type listed struct {
	list []storage.Series
	at   int
}

func (l *listed) Next() bool                        { l.at++; return l.at < len(l.list) }
func (l *listed) At() storage.Series                { return l.list[l.at] }
func (l *listed) Err() error                        { return nil }
func (l *listed) Warnings() annotations.Annotations { return nil }

type point struct {
	t int64
	v float64
	h *histogram.FloatHistogram
}

func (p point) ST() int64                     { return 0 }
func (p point) T() int64                      { return p.t }
func (p point) F() float64                    { return p.v }
func (p point) H() *histogram.Histogram       { return nil }
func (p point) FH() *histogram.FloatHistogram { return p.h }
func (p point) Copy() chunks.Sample           { return p }
func (p point) Type() chunkenc.ValueType {
	if p.h != nil {
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
}

// Ten samples a second apart, up to epoch.
func fixture() memory {
	counter := func(ls labels.Labels, by float64) storage.Series {
		var list []chunks.Sample
		for i := range 10 {
			list = append(list, point{t: epoch.UnixMilli() + int64(i-9)*1000, v: by * float64(i)})
		}
		return storage.NewListSeries(ls, list)
	}
	native := &histogram.FloatHistogram{
		Schema: 0, Count: 12, Sum: 18.4, ZeroThreshold: 0.001, ZeroCount: 2,
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 3}}, PositiveBuckets: []float64{2, 0, 3},
		NegativeSpans: []histogram.Span{{Offset: 0, Length: 1}}, NegativeBuckets: []float64{5},
	}
	return memory{list: []storage.Series{
		counter(labels.FromStrings("__name__", "http_requests_total", "code", "200", "service", "api"), 100),
		counter(labels.FromStrings("__name__", "http_requests_total", "code", "500", "service", "api"), 1),
		storage.NewListSeries(labels.FromStrings("__name__", "latency", "path", `/"a"\<b>`+"\u2028é"), []chunks.Sample{point{t: epoch.UnixMilli() - 500, h: native}}),
		storage.NewListSeries(labels.FromStrings("__name__", "odd", "x", "1"), []chunks.Sample{point{t: epoch.UnixMilli(), v: math.NaN()}}),
		storage.NewListSeries(labels.FromStrings("__name__", "odd", "x", "2"), []chunks.Sample{point{t: epoch.UnixMilli(), v: math.Inf(-1)}}),
		storage.NewListSeries(labels.FromStrings("__name__", "odd", "x", "3"), []chunks.Sample{point{t: epoch.UnixMilli(), v: 1e-7}}),
		storage.NewListSeries(labels.FromStrings("__name__", "odd", "x", "4"), []chunks.Sample{point{t: epoch.UnixMilli(), v: 1e21}}),
	}}
}

func queryOptions(t testing.TB, m memory) Options {
	o := options(t)
	o.Series = m
	o.Now = func() time.Time { return epoch }
	return o
}

// The shapes of answers are those of https://prometheus.io/docs/prometheus/latest/querying/api/.
func TestQueryAPI(t *testing.T) {
	h := New(queryOptions(t, fixture()))
	for _, tc := range []struct{ path, params, want string }{
		{"query", "query=http_requests_total{code=\"500\"}", `{"status":"success","data":{"resultType":"vector","result":[
			{"metric":{"__name__":"http_requests_total","code":"500","service":"api"},"value":[1768473000,"9"]}]}}`},
		{"query", "query=sum(rate(http_requests_total[8s]))&time=2026-01-15T10:29:59.5Z", `{"status":"success","data":{"resultType":"vector","result":[
			{"metric":{},"value":[1768472999.500,"101"]}]}}`},
		{"query", "query=http_requests_total{code=\"500\"}[2s]", `{"status":"success","data":{"resultType":"matrix","result":[
			{"metric":{"__name__":"http_requests_total","code":"500","service":"api"},"values":[[1768472999,"8"],[1768473000,"9"]]}]}}`},
		{"query", "query=1.5&time=1435781451.781", `{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"1.5"]}}`},
		{"query", "query=\"foo\"&time=-1.005", `{"status":"success","data":{"resultType":"string","result":[-1.005,"foo"]}}`},
		{"query", "query=nothing", `{"status":"success","data":{"resultType":"vector","result":[]}}`},
		{"query", "query=odd", `{"status":"success","data":{"resultType":"vector","result":[
			{"metric":{"__name__":"odd","x":"1"},"value":[1768473000,"NaN"]},{"metric":{"__name__":"odd","x":"2"},"value":[1768473000,"-Inf"]},
			{"metric":{"__name__":"odd","x":"3"},"value":[1768473000,"1e-07"]},{"metric":{"__name__":"odd","x":"4"},"value":[1768473000,"1e+21"]}]}}`},
		{"query", "query=odd&limit=1", `{"status":"success","data":{"resultType":"vector","result":[
			{"metric":{"__name__":"odd","x":"1"},"value":[1768473000,"NaN"]}]},"warnings":["results truncated due to limit"]}`},
		{"query", "query=latency", `{"status":"success","data":{"resultType":"vector","result":[
			{"metric":{"__name__":"latency","path":"/\"a\"\\<b>\u2028é"},"histogram":[1768473000,{"count":"12","sum":"18.4","buckets":[
				[1,"-1","-0.5","5"],[3,"-0.001","0.001","2"],[0,"0.5","1","2"],[0,"2","4","3"]]}]}]}}`},
		{"query", "query=rate(temperature_celsius[1m])", `{"status":"success","data":{"resultType":"vector","result":[]}}`},
		{"query_range", "query=http_requests_total{code=\"500\"}&start=1768472998&end=1768473000&step=1", `{"status":"success","data":{"resultType":"matrix","result":[
			{"metric":{"__name__":"http_requests_total","code":"500","service":"api"},"values":[[1768472998,"7"],[1768472999,"8"],[1768473000,"9"]]}]}}`},
		{"query_range", "query=latency&start=2026-01-15T10:30:00Z&end=2026-01-15T10:30:00Z&step=15s", `{"status":"success","data":{"resultType":"matrix","result":[
			{"metric":{"__name__":"latency","path":"/\"a\"\\<b>\u2028é"},"histograms":[[1768473000,{"count":"12","sum":"18.4","buckets":[
				[1,"-1","-0.5","5"],[3,"-0.001","0.001","2"],[0,"0.5","1","2"],[0,"2","4","3"]]}]]}]}}`},
		{"query_range", "query=1&start=0&end=1&step=1", `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"],[1,"1"]]}]}}`},
		{"series", "match[]=odd&match[]={x=~\"1|2\"}&limit=3", `{"status":"success","data":[{"__name__":"odd","x":"1"},{"__name__":"odd","x":"2"},{"__name__":"odd","x":"3"}],
			"warnings":["results truncated due to limit"]}`},
		{"series", "match[]=nothing", `{"status":"success","data":[]}`},
		{"labels", "", `{"status":"success","data":["__name__","code","path","service","x"]}`},
		{"labels", "match[]=odd&match[]=latency&limit=2", `{"status":"success","data":["__name__","path"],"warnings":["results truncated due to limit"]}`},
		{"label/__name__/values", "", `{"status":"success","data":["http_requests_total","latency","odd"]}`},
		{"label/code/values", "match[]=http_requests_total&start=0", `{"status":"success","data":["200","500"]}`},
		{"label/U__no_2e_such/values", "", `{"status":"success","data":[]}`},
		{"query_exemplars", "query=rate(odd[5m])&start=1768472940&end=1768473000", `{"status":"success","data":[{"seriesLabels":{"__name__":"odd","x":"1"},"exemplars":[
			{"labels":{"trace_id":"ab","span_id":"cd"},"value":"6","timestamp":1768472999.500},{"labels":{"trace_id":"ef"},"value":"NaN","timestamp":1768473000}]}]}`},
		{"query_exemplars", "query=odd&end=1", `{"status":"success","data":[]}`},
		{"query_exemplars", "query=1", `{"status":"success","data":[]}`},
		{"metadata", "", `{"status":"success","data":{"http_requests_total":[{"type":"counter","help":"","unit":""}],
			"latency_seconds":[{"type":"histogram","help":"How \"long\".","unit":"s"}],
			"temperature":[{"type":"unknown","help":"","unit":""}],"unread":[{"type":"unknown","help":"","unit":""}]}}`},
		{"metadata", "metric=unread&limit=1", `{"status":"success","data":{"unread":[{"type":"unknown","help":"","unit":""}]}}`},
	} {
		params, err := url.ParseQuery(tc.params)
		if err != nil {
			t.Fatal(err)
		}
		get := httptest.NewRequest("GET", "/api/v1/"+tc.path+"?"+params.Encode(), nil)
		post := httptest.NewRequest("POST", "/api/v1/"+tc.path, strings.NewReader(params.Encode()))
		post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, r := range []*http.Request{get, post} {
			if r.Method == "POST" && (strings.HasPrefix(tc.path, "label/") || tc.path == "metadata") {
				continue
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			var got, want any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("%s %s?%s: %d %v %s", r.Method, tc.path, tc.params, w.Code, err, w.Body)
				continue
			}
			if err := json.Unmarshal([]byte(tc.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %s?%s: %s", r.Method, tc.path, tc.params, diff)
			}
		}
	}
}

func TestQueryAPIErrors(t *testing.T) {
	m := fixture()
	h := New(queryOptions(t, m))
	for _, tc := range []struct {
		target string
		status int
		kind   string
		text   string
	}{
		{"query", 400, "bad_data", `invalid parameter "query": unknown position: parse error: no expression found in input`},
		{"query?query=sum(", 400, "bad_data", `invalid parameter "query": 1:5: parse error: unclosed left parenthesis`},
		{"query?query=1&time=yesterday", 400, "bad_data", `invalid parameter "time": invalid time value for 'time': cannot parse "yesterday" to a valid timestamp`},
		{"query?query=1&time=NaN", 400, "bad_data", `cannot parse "NaN"`},
		{"query?query=1&time=1e300", 400, "bad_data", `cannot parse "1e300"`},
		{"query?query=1&timeout=soon", 400, "bad_data", `invalid parameter "timeout": cannot parse "soon" to a valid duration`},
		{"query?query=1&limit=-1", 400, "bad_data", `invalid parameter "limit": limit must be non-negative`},
		{"query?query=1&lookback_delta=x", 400, "bad_data", `error parsing lookback delta duration`},
		{"query?query=http_requests_total%2Bon(service)http_requests_total", 422, "execution", "many-to-many matching not allowed"},
		{"query?query=1&timeout=0", 503, "timeout", "query timed out"},
		{"query_range?query=1&end=1&step=1", 400, "bad_data", `invalid parameter "start": cannot parse "" to a valid timestamp`},
		{"query_range?query=1&start=2&end=1&step=1", 400, "bad_data", `invalid parameter "end": end timestamp must not be before start time`},
		{"query_range?query=1&start=1&end=2&step=0", 400, "bad_data", `invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer`},
		{"query_range?query=1&start=1&end=2&step=1e-9", 400, "bad_data", `invalid parameter "step"`},
		{"query_range?query=1&start=0&end=11001&step=1", 400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"},
		{"query_range?query=odd[1m]&start=0&end=1&step=1", 400, "bad_data", `invalid expression type "range vector" for range query`},
		{"series", 400, "bad_data", "no match[] parameter provided"},
		{"series?match[]={}", 400, "bad_data", "match[] must contain at least one non-empty matcher"},
		{"series?match[]=odd&start=x", 400, "bad_data", `invalid parameter "start"`},
		{"labels?match[]=1%2B1", 400, "bad_data", `invalid parameter "match[]"`},
		{"query_exemplars", 400, "bad_data", "no expression found in input"},
		{"query_exemplars?query=odd&start=2&end=1", 400, "bad_data", "end timestamp must not be before start timestamp"},
		{"query_exemplars?query=odd&start=x", 400, "bad_data", `invalid parameter "start"`},
		{"query_exemplars?query=" + strings.Repeat("a%2B", maxSelectors) + "a", 400, "bad_data", "has 101 selectors, at most 100"},
		{"label/a%FFb/values", 400, "bad_data", "invalid label name"},
		{"metadata?limit=x", 400, "bad_data", "limit must be a number"},
		{"query?query=" + strings.Repeat("a", maxExpression+1), 400, "bad_data", "longer than 64 KiB"},
		{"labels?" + strings.Repeat("match[]=a&", maxSelectors+1), 400, "bad_data", "at most 100"},
		{"rules?type=x", 400, "bad_data", `invalid parameter "type": not supported value "x"`},
		{"rules?group_next_token=x", 400, "bad_data", "group_limit needs to be present"},
		{"rules?group_limit=0", 400, "bad_data", "greater than 0"},
		{"rules?group_limit=1&group_next_token=x", 400, "bad_data", "were rule groups changed?"},
		{"rules?exclude_alerts=x", 400, "bad_data", "exclude_alerts"},
	} {
		w := ask(h, "GET", "/api/v1/"+tc.target)
		var got struct{ Status, ErrorType, Error string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Status != "error" {
			t.Errorf("%s: %d %s", clip(tc.target), w.Code, w.Body)
		}
		if w.Code != tc.status || got.ErrorType != tc.kind || !strings.Contains(got.Error, tc.text) {
			t.Errorf("%s: %d %s %q", clip(tc.target), w.Code, got.ErrorType, got.Error)
		}
	}

	m.err = &Error{http.StatusServiceUnavailable, "unavailable", "this node stands by"}
	standby := New(queryOptions(t, m))
	for _, target := range []string{"query?query=odd", "query_range?query=odd&start=0&end=1&step=1", "series?match[]=odd", "labels", "label/x/values", "metadata", "query_exemplars?query=odd"} {
		if w := ask(standby, "GET", "/api/v1/"+target); w.Code != 503 || !strings.Contains(w.Body.String(), `"unavailable","error":"this node stands by"`) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	m.err = errors.New("the token is xoxb-secret")
	if w := ask(New(queryOptions(t, m)), "GET", "/api/v1/metadata"); strings.Contains(w.Body.String(), "secret") {
		t.Errorf("an error of ours reached the client: %s", w.Body)
	}
	body := httptest.NewRequest("POST", "/api/v1/query", strings.NewReader("query="+strings.Repeat("1", maxForm)))
	body.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, body)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "1 MiB") {
		t.Errorf("long body: %d %s", w.Code, w.Body)
	}
	o := options(t) // no series
	if w := ask(New(o), "GET", "/api/v1/query?query=1"); w.Code != 503 {
		t.Errorf("no series: %d", w.Code)
	}
}

// No more than a few queries are evaluated at once, and one that cannot begin in time says so.
func TestQueriesWait(t *testing.T) {
	m := fixture()
	m.slow = make(chan struct{})
	o := queryOptions(t, m)
	h := New(o)
	busy := make(chan int)
	for range queriesAtOnce {
		go func() { busy <- ask(h, "GET", "/api/v1/query?query=odd").Code }()
	}
	var w *httptest.ResponseRecorder
	for { // until the slots are taken, a query without time is refused by the engine
		w = ask(h, "GET", "/api/v1/query?query=1&timeout=1ms")
		if w.Code == 503 && strings.Contains(w.Body.String(), "while 4 others") {
			break
		}
	}
	close(m.slow)
	for range queriesAtOnce {
		if code := <-busy; code != 200 {
			t.Errorf("a query that waited for its series: %d", code)
		}
	}
	if w := ask(h, "GET", "/api/v1/query?query=1"); w.Code != 200 {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
}

// What is longer than allowed is an error, not half an answer.
func TestAnswerIsBounded(t *testing.T) {
	metric := labels.FromStrings("a", strings.Repeat("x", 1<<20))
	long := slices.Repeat(promql.Matrix{{Metric: metric}}, maxAnswer>>20)
	if _, err := appendValue(nil, long); !errors.Is(err, errTooLong) {
		t.Errorf("%v", err)
	}
}

// What is written by hand says the same as what Prometheus writes by reflection.
func FuzzEncode(f *testing.F) {
	f.Add(int64(1), 1.5, "name", "value")
	f.Add(int64(-1005), math.Inf(1), "\x00\u2028", `"\`)
	f.Fuzz(func(t *testing.T, ms int64, v float64, name, value string) {
		if ms > 1e15 || ms < -1e15 { // beyond, a float64 does not tell milliseconds apart
			return
		}
		ls := labels.FromStrings(name, value)
		for _, value := range []any{
			promql.Vector{{T: ms, F: v, Metric: ls}},
			promql.Matrix{{Metric: ls, Floats: []promql.FPoint{{T: ms, F: v}, {T: ms, F: -v}}}},
			promql.Scalar{T: ms, V: v},
			promql.String{T: ms, V: name},
		} {
			got, err := appendValue(nil, value.(parser.Value))
			if err != nil {
				t.Fatal(err)
			}
			reference, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if g, w := normal(t, got), normal(t, reference); g != w {
				t.Fatalf("%s\n%s", g, w)
			}
		}
	})
}

// normal is JSON with numbers in texts brought into one form, since 1e21 may be written in several ways.
func normal(t *testing.T, b []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			for k := range v {
				v[k] = walk(v[k])
			}
		case string:
			var f float64
			if n, err := fmt.Sscanf(v, "%g", &f); n == 1 && err == nil {
				return fmt.Sprintf("%g", f)
			}
		}
		return v
	}
	return fmt.Sprint(walk(v))
}

// Whatever is asked, the answer is well-formed and never a failure of ours.
func FuzzPrometheusQuery(f *testing.F) {
	h := New(queryOptions(f, fixture()))
	for _, seed := range []string{
		"query=odd&time=1", "query=sum(rate(http_requests_total[5m]))&start=1768472990&end=1768473000&step=0.5&timeout=1s", "match[]={a=\"b\"}&start=-1e400",
		"query=odd[1m:1s]@end()&limit=0", "match[]=\xff&limit=99999999999999999999", "query=odd&stats=all&lookback_delta=-1", "type=alert&match[]=x&group_limit=1",
		"start=0001-01-01T00:00:00Z&end=9999-12-31T00:00:00Z&step=1e9&query=1", "query=latency&start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z&step=292y",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"query", "query_range", "series", "labels", "label/x/values", "metadata", "rules"} {
			r := httptest.NewRequest("GET", "/api/v1/"+path, nil)
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if !slices.Contains([]int{200, 400, 422, 503}, w.Code) {
				t.Fatalf("%s?%s: %d %s", path, query, w.Code, w.Body)
			}
			envelope(t, w)
		}
	})
}

func TestBuildInfo(t *testing.T) {
	w := ask(New(options(t)), "GET", "/api/v1/status/buildinfo")
	var got struct{ Data map[string]string }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Data["revision"] != "1.2.3" || !strings.HasPrefix(got.Data["version"], "3.") {
		t.Errorf("%v %s", err, w.Body)
	}
	if _, ok := got.Data["application"]; ok {
		t.Error("a client that finds an application takes this for another product")
	}
}

func TestRules(t *testing.T) {
	set, err := rules.Parse([]rules.File{{Name: "shop.yaml", Data: []byte(`
groups:
  - name: shop
    interval: 15s
    rules:
      - {record: 'job:errors', expr: sum(errors), labels: {team: web}}
      - {alert: HighErrorRate, expr: 'job:errors > 0', for: 1m, keep_firing_for: 5m, labels: {severity: page, service: '{{ $labels.job }}'}, annotations: {summary: 'x {{ $value }}'}}
      - {alert: Slow, expr: vector(1) > 2}
  - name: events
    rules: [{alert: Deployed, on: event, type: deployment.completed}]
`)}})
	if err != nil {
		t.Fatal(err)
	}
	e := rules.NewEvaluator(set, rules.Options{}, epoch)
	e.Run(epoch.Add(15 * time.Second))
	o := options(t)
	firing, pending := alert("HighErrorRate", alertd.Recovering), alert("HighErrorRate", alertd.Pending)
	o.State = state{alerts: []alertd.Alert{pending, firing, alert("Gone", alertd.Resolved)}}
	o.Rules = func(context.Context) ([]rules.GroupStatus, error) { return e.Status(), nil }
	h := New(o)

	type rule struct {
		State, Name, Query, Health, Type string
		Duration, KeepFiringFor          float64
		Labels, Annotations              map[string]string
		Alerts                           []Alert
		LastEvaluation                   time.Time
	}
	type data struct {
		Groups []struct {
			Name, File     string
			Interval       float64
			LastEvaluation time.Time
			Rules          []rule
		}
		GroupNextToken string
	}
	get := func(query string) (d data, raw string) {
		t.Helper()
		w := ask(h, "GET", "/api/v1/rules?"+query)
		var got struct{ Data data }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %v %s", query, w.Code, err, w.Body)
		}
		return got.Data, w.Body.String()
	}
	all, raw := get("")
	if len(all.Groups) != 2 || len(all.Groups[0].Rules) != 3 || all.Groups[0].Interval != 15 || all.Groups[0].File != "shop.yaml" {
		t.Fatalf("%s", raw)
	}
	r := all.Groups[0].Rules
	if r[0].Type != "recording" || r[0].Name != "job:errors" || r[0].Query != "sum(errors)" || r[0].Health != "ok" || r[0].Labels["team"] != "web" {
		t.Errorf("recording rule: %+v", r[0])
	}
	if r[1].Type != "alerting" || r[1].State != "firing" || r[1].Duration != 60 || r[1].KeepFiringFor != 300 || r[1].Labels["service"] != "{{ $labels.job }}" ||
		len(r[1].Alerts) != 2 || r[1].Alerts[1].State != "firing" || r[1].Annotations["summary"] != "x {{ $value }}" {
		t.Errorf("alerting rule: %+v", r[1])
	}
	if r[2].State != "inactive" || r[2].Alerts == nil {
		t.Errorf("a rule without alerts: %+v", r[2])
	}
	if e := all.Groups[1].Rules[0]; e.Query != `event{type="deployment.completed"}` || e.Health != "ok" || e.Type != "alerting" {
		t.Errorf("an occurrence rule: %+v", e)
	}
	names := func(query string) string {
		d, _ := get(query)
		var out []string
		for _, g := range d.Groups {
			for _, r := range g.Rules {
				out = append(out, r.Name)
			}
		}
		return strings.Join(out, " ")
	}
	for query, want := range map[string]string{
		"type=record": "job:errors", "type=Alert": "HighErrorRate Slow Deployed", "rule_name[]=Slow&rule_name[]=Deployed": "Slow Deployed",
		"rule_group[]=events": "Deployed", "file[]=other.yaml": "", "match[]={severity=\"page\"}": "HighErrorRate",
		"match[]={service=~\".*\",team=~\".%2B\"}": "job:errors", "match[]={service=~\".%2B\"}": "",
	} {
		if got := names(query); got != want {
			t.Errorf("%s: %s; want %s", query, got, want)
		}
	}
	page, _ := get("group_limit=1")
	if len(page.Groups) != 1 || page.Groups[0].Name != "shop" || page.GroupNextToken == "" {
		t.Fatalf("first page: %+v", page)
	}
	page, _ = get("group_limit=1&group_next_token=" + page.GroupNextToken)
	if len(page.Groups) != 1 || page.Groups[0].Name != "events" || page.GroupNextToken != "" {
		t.Errorf("second page: %+v", page)
	}
	if _, raw := get("exclude_alerts=true"); strings.Contains(raw, "activeAt") {
		t.Errorf("alerts that were not wanted: %s", raw)
	}
}
