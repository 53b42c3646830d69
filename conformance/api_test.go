package conformance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/grafana/regexp"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/teststorage"
	v1 "github.com/prometheus/prometheus/web/api/v1"

	"alertd"
	"alertd/api"
	"alertd/rules"
)

// askedAt is the newest instant of the samples that both APIs answer from.
var askedAt = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

// askedSamples are an hour of all kinds of series.
func askedSamples() (out []alertd.Sample) {
	for i := range 241 {
		at := askedAt.Add(time.Duration(i-240) * 15 * time.Second).UnixMilli()
		add := func(v float64, h *histogram.FloatHistogram, trace string, ls ...string) {
			out = append(out, alertd.Sample{Labels: labels.FromStrings(ls...), T: at, V: v, H: h, Trace: alertd.TraceRef{TraceID: trace}})
		}
		trace := ""
		if i%120 == 60 {
			trace = fmt.Sprintf("%032x", i)
		}
		add(float64(i%100)*3, nil, "", "__name__", "requests_total", "code", "200", "service", "api")
		add(float64(i), nil, trace, "__name__", "requests_total", "code", "500", "service", "api")
		if i < 200 { // it went silent
			add(float64(i)/7, nil, "", "__name__", "requests_total", "code", "200", "service", "web")
		}
		add(math.Sin(float64(i)), nil, "", "__name__", "temperature", "room", "kitchen \"é\"\n")
		add([]float64{math.NaN(), math.Inf(1), -1e-9, 3e25}[i%4], nil, "", "__name__", "odd")
		add(0, &histogram.FloatHistogram{
			Schema: 1, Count: float64(8 * i), Sum: float64(i) * 1.5, ZeroThreshold: 1e-3, ZeroCount: float64(i),
			PositiveSpans: []histogram.Span{{Offset: -1, Length: 3}}, PositiveBuckets: []float64{float64(i), float64(2 * i), float64(4 * i)},
		}, "", "__name__", "latency", "service", "api")
		for n, le := range []string{"0.1", "1", "+Inf"} {
			add(float64((n+1)*i), nil, "", "__name__", "duration_bucket", "le", le)
		}
	}
	// Prometheus answers in the order in which its series have come, alertd in that of their labels.
	slices.SortStableFunc(out, func(a, b alertd.Sample) int { return cmp.Or(cmp.Compare(a.T, b.T), labels.Compare(a.Labels, b.Labels)) })
	return out
}

// asked answers alertd's API from an evaluator that keeps all of it.
type asked struct{ *rules.Evaluator }

func (a asked) Metrics(context.Context) ([]alertd.Metadata, error) { return a.Evaluator.Metrics(), nil }

func (a asked) Lookback(context.Context) (time.Duration, error) {
	return a.Evaluator.Lookback(), nil
}

func (a asked) Exemplars(_ context.Context, sets [][]*labels.Matcher, from, to int64) ([]rules.SeriesExemplars, error) {
	return a.Evaluator.Exemplars(sets, from, to), nil
}

func (a asked) Querier(from, to int64) (storage.Querier, error) {
	return askedQuerier{a.Evaluator, from, to}, nil
}

type askedQuerier struct {
	*rules.Evaluator
	from, to int64
}

func (q askedQuerier) Select(_ context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	from, to := q.from, q.to
	if hints != nil {
		from, to = hints.Start, hints.End
	}
	list, _, err := q.Evaluator.Select(ms, from, to, 1e9)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	return &askedSet{list: list}
}

type askedSet struct {
	list []storage.Series
	at   int
}

func (s *askedSet) Next() bool                        { s.at++; return s.at <= len(s.list) }
func (s *askedSet) At() storage.Series                { return s.list[s.at-1] }
func (s *askedSet) Err() error                        { return nil }
func (s *askedSet) Warnings() annotations.Annotations { return nil }

func (q askedQuerier) LabelNames(_ context.Context, _ *storage.LabelHints, ms ...*labels.Matcher) (out []string, _ annotations.Annotations, _ error) {
	for _, ls := range q.LabelSets(ms, q.from, q.to) {
		ls.Range(func(l labels.Label) { out = append(out, l.Name) })
	}
	return out, nil, nil
}

func (q askedQuerier) LabelValues(_ context.Context, name string, _ *storage.LabelHints, ms ...*labels.Matcher) (out []string, _ annotations.Annotations, _ error) {
	for _, ls := range q.LabelSets(ms, q.from, q.to) {
		if v := ls.Get(name); v != "" {
			out = append(out, v)
		}
	}
	return out, nil, nil
}

func (askedQuerier) Close() error { return nil }

// TestAPI: alertd answers over HTTP what Prometheus's own API answers from the same samples, errors and warnings included.
func TestAPI(t *testing.T) {
	db := teststorage.New(t)
	set, err := rules.Parse([]rules.File{{Name: "r.yaml", Data: []byte(`groups: [{name: g, rules: [{alert: A, expr: 'count_over_time({__name__=~".+"}[2h]) > 1e9'}]}]`)}})
	if err != nil {
		t.Fatal(err)
	}
	evaluator := rules.NewEvaluator(set, rules.Options{}, askedAt)
	app := db.Appender(t.Context())
	for _, s := range askedSamples() {
		var err error
		if s.H != nil {
			_, err = app.AppendHistogram(0, s.Labels, s.T, nil, s.H.Copy())
		} else {
			var ref storage.SeriesRef
			ref, err = app.Append(0, s.Labels, s.T, s.V)
			if err == nil && !s.Trace.IsZero() {
				_, err = app.AppendExemplar(ref, s.Labels, exemplar.Exemplar{Labels: labels.FromStrings("trace_id", s.Trace.TraceID), Value: s.V, Ts: s.T, HasTs: true})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		evaluator.Warm([]alertd.Sample{s})
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	ours := api.New(api.Options{Series: asked{evaluator}, Now: func() time.Time { return askedAt }})
	theirs := prometheusAPI(t, db)

	at, hour := askedAt.Unix(), askedAt.Add(-time.Hour).Unix()
	for _, target := range []string{
		"query?query=requests_total", "query?query=sum by (service) (rate(requests_total[5m]))", "query?query=temperature[1m]", "query?query=1.5", "query?query=\"text\"",
		"query?query=odd[1m]", "query?query=latency", "query?query=latency[30s]", "query?query=histogram_quantile(0.9, rate(latency[5m]))", "query?query=latency{service=\"nobody\"}",
		"query?query=histogram_quantile(0.9, sum by (le) (rate(duration_bucket[5m])))", "query?query=requests_total&limit=2", "query?query=requests_total&limit=0", "query?query=requests_total&limit=-1",
		"query?query=rate(temperature[5m])", "query?query=histogram_quantile(2, duration_bucket)", "query?query=quantile(7, temperature)", "query?query=rate(latency[5m]) > 1",
		"query?query=requests_total offset 30m", fmt.Sprintf("query?query=requests_total @ %d", hour+60), "query?query=sum(", "query?query=", "query?query=foo{", "query?query=sum(up) by",
		"query?query=temperature&lookback_delta=10s", "query?query=temperature&lookback_delta=x", "query?query=temperature&timeout=x", "query?query=requests_total * on (service) requests_total",
		"query?query=topk(1, requests_total)", "query?query=absent(nothing{a=\"b\"})", "query?query=vector(time())", "query?query=sort_desc(requests_total)", "query?query=count_values(\"v\", odd)",
		"query?query=label_replace(temperature, \"a\", \"$1\", \"room\", \"(.*)\")", "query?query=unknown(1)", "query?query=temperature[5m:1m]", "query?query=rate(temperature)",
		"query?query=1&time=yesterday", "query?query=1&time=2026-01-15T10:00:00%2B01:00",
		fmt.Sprintf("query_range?query=requests_total&start=%d&end=%d&step=300", hour, at), fmt.Sprintf("query_range?query=sum(rate(requests_total[5m]))&start=%d&end=%d&step=1m", hour, at),
		fmt.Sprintf("query_range?query=latency&start=%d&end=%d&step=600", hour, at), fmt.Sprintf("query_range?query=requests_total&start=%d&end=%d&step=300&limit=1", hour, at),
		fmt.Sprintf("query_range?query=1&start=%d&end=%d&step=0", hour, at), fmt.Sprintf("query_range?query=1&start=%d&end=%d&step=-1", hour, at), fmt.Sprintf("query_range?query=1&start=%d&end=%d", hour, at),
		fmt.Sprintf("query_range?query=1&start=%d&end=%d&step=1", at, hour), fmt.Sprintf("query_range?query=1&start=0&end=%d&step=1", at), "query_range?query=1&end=1&step=1", "query_range?query=1&start=1&step=1",
		fmt.Sprintf("query_range?query=temperature[5m]&start=%d&end=%d&step=60", hour, at), fmt.Sprintf("query_range?query=\"text\"&start=%d&end=%d&step=60", hour, at),
		fmt.Sprintf("query_range?query=nothing&start=%d&end=%d&step=60", hour, at),
		"series", "series?match[]=requests_total", "series?match[]=requests_total&match[]={service=\"api\"}", "series?match[]={}", "series?match[]=nothing", "series?match[]=a{", "series?match[]={__name__=~\".%2B\"}&limit=2",
		fmt.Sprintf("series?match[]=requests_total&start=%d&end=%d", at-60, at), "series?match[]=requests_total&start=x", fmt.Sprintf("series?match[]=requests_total&start=%d&end=%d", at+9000, at+9999),
		"labels", "labels?match[]=requests_total", "labels?match[]=requests_total&match[]=odd", "labels?limit=2", "labels?limit=x", "labels?start=x", fmt.Sprintf("labels?match[]=requests_total&start=%d&end=%d", at-60, at),
		"label/service/values", "label/service/values?match[]=latency", "label/nothing/values", "label/__name__/values", "label/__name__/values?limit=1", "label/service/values?start=x",
		"label/U__room/values", "label/room/values",
		fmt.Sprintf("query_exemplars?query=requests_total&start=%d&end=%d", hour, at), "query_exemplars?query=sum(rate(requests_total[5m]))", "query_exemplars?query=temperature",
		fmt.Sprintf("query_exemplars?query=requests_total&start=%d&end=%d", hour, hour+1200), "query_exemplars?query=sum(", "query_exemplars?query=", "query_exemplars?query=odd&start=2&end=1",
		"query_exemplars?query=odd&start=x", "query_exemplars?query=odd&end=x",
	} {
		path, params, _ := strings.Cut(target, "?")
		form, err := url.ParseQuery(strings.NewReplacer(" ", "%20", "\"", "%22").Replace(params))
		if err != nil {
			t.Fatal(target, err)
		}
		if path == "query" && !form.Has("time") {
			form.Set("time", fmt.Sprint(at))
		}
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if method == http.MethodPost && strings.HasPrefix(path, "label/") {
				continue
			}
			wantStatus, want := askAPI(t, theirs, method, path, form)
			gotStatus, got := askAPI(t, ours, method, path, form)
			if diff := gocmp.Diff(want, got); diff != "" || wantStatus != gotStatus {
				t.Errorf("%s %s: alertd %d, Prometheus %d (-), %s", method, target, gotStatus, wantStatus, diff)
			}
		}
	}
}

// askAPI gives the status and the body, decoded.
func askAPI(t *testing.T, h http.Handler, method, path string, form url.Values) (int, any) {
	t.Helper()
	var r *http.Request
	if method == http.MethodPost {
		r = httptest.NewRequest(method, "/api/v1/"+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r = httptest.NewRequest(method, "/api/v1/"+path+"?"+form.Encode(), nil)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var body any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Errorf("%s %s?%s: %d %s", method, path, form.Encode(), w.Code, w.Body)
	}
	return w.Code, body
}

// prometheusAPI is Prometheus's API over a TSDB, with everything off that is not asked.
func prometheusAPI(t *testing.T, db *teststorage.TestStorage) http.Handler {
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	a := v1.NewAPI(
		engine, db, nil, nil, db,
		nil, nil, nil, func() config.Config { return config.Config{} }, map[string]string{}, v1.GlobalURLOptions{},
		func(f http.HandlerFunc) http.HandlerFunc { return f },
		nil, "", false, false, 0, slog.New(slog.DiscardHandler), nil, 0, 0, 0, false, regexp.MustCompile(".*"),
		func() (v1.RuntimeInfo, error) { return v1.RuntimeInfo{}, errors.New("not asked") }, &v1.PrometheusVersion{},
		nil, nil, client.NewRegistry(), nil, nil, false, nil, false, false, false, false, 5*time.Minute, false, false, nil, nil,
		v1.OpenAPIOptions{}, parser.NewParser(parser.Options{}),
	)
	r := route.New().WithPrefix("/api/v1")
	a.Register(r)
	return r
}
