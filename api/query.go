package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"

	"alertd"
	"alertd/rules"
)

// Series is what the rules read, as storage that Prometheus's engine understands. What its queriers return must be
// copies that nobody changes; an [*Error] that they fail with reaches the client as it is.
type Series interface {
	storage.Queryable
	// Metrics are all metrics that have arrived, by name, also those that no rule reads.
	Metrics(ctx context.Context) ([]alertd.Metadata, error)
	// Lookback is for how long the engine has to believe a sample. Series end by themselves where nobody does.
	Lookback(ctx context.Context) (time.Duration, error)
	// Exemplars are the traces that series came with which match any of the sets of matchers, from an instant to another,
	// both included, in milliseconds; in the order of the series' labels.
	Exemplars(ctx context.Context, sets [][]*labels.Matcher, from, to int64) ([]rules.SeriesExemplars, error)
}

const (
	// maxForm bounds the body of a request, in bytes.
	maxForm = 1 << 20
	// maxExpression bounds an expression or a selector, in bytes.
	maxExpression = 64 << 10
	// maxSelectors bounds how often match[] may be given.
	maxSelectors = 100
	// maxPoints is how many steps a range may have: Prometheus's number, which clients know.
	maxPoints = 11_000
	// querySamples bounds what one query may hold in memory: 16 bytes each.
	querySamples = 10_000_000
	// queryTimeout is how long a query may take. It can ask for less.
	queryTimeout = 30 * time.Second
	// queriesAtOnce is how many are evaluated at the same time; others wait.
	queriesAtOnce = 4
)

// Times that stand for "from the beginning" and "to the end", as clients of Prometheus write them.
var (
	minTime = time.Unix(math.MinInt64/1000+62135596801, 0).UTC()
	maxTime = time.Unix(math.MaxInt64/1000-62135596801, 999999999).UTC()
)

// queries answers what Prometheus's query API answers.
type queries struct {
	series Series
	engine *promql.Engine
	parser parser.Parser
	slots  chan struct{}
	now    func() time.Time
}

func newQueries(series Series, now func() time.Time) *queries {
	p := parser.NewParser(parser.Options{})
	return &queries{
		series: series, parser: p, slots: make(chan struct{}, queriesAtOnce), now: now,
		engine: promql.NewEngine(promql.EngineOpts{
			MaxSamples: querySamples, Timeout: queryTimeout, LookbackDelta: 5 * time.Minute,
			NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
			EnableAtModifier:         true, EnableNegativeOffset: true, Parser: p,
		}),
	}
}

// form reads the parameters, of the URL and of a body. Unlike alertd's own paths, these ignore parameters that are
// not known, as Prometheus does: its clients send some.
func (q *queries) form(w http.ResponseWriter, r *http.Request) error {
	if q.series == nil {
		return unavailable("this alertd has no series to ask for")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return badData(fmt.Sprintf("the body is longer than %d MiB", maxForm>>20))
		}
		return badData("error parsing form values: " + err.Error())
	}
	return nil
}

// admit waits for a slot and starts the clock.
func (q *queries) admit(r *http.Request) (context.Context, func(), error) {
	timeout := queryTimeout
	if s := r.Form.Get("timeout"); s != "" {
		d, err := durationOf(s)
		if err != nil {
			return nil, nil, invalid("timeout", err)
		}
		timeout = min(d, timeout)
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	select {
	case q.slots <- struct{}{}:
		return ctx, func() { cancel(); <-q.slots }, nil
	case <-ctx.Done():
		cancel()
		if r.Context().Err() != nil {
			return nil, nil, r.Context().Err()
		}
		return nil, nil, &Error{http.StatusServiceUnavailable, "timeout", fmt.Sprintf("query timed out while %d others were evaluated; ask again", queriesAtOnce)}
	}
}

// options reads what both kinds of queries may have.
func (q *queries) options(r *http.Request) (text string, limit int, lookback time.Duration, err error) {
	text = r.Form.Get("query")
	if len(text) > maxExpression {
		return "", 0, 0, invalid("query", fmt.Errorf("longer than %d KiB", maxExpression>>10))
	}
	if limit, err = limitParam(r); err != nil {
		return "", 0, 0, err
	}
	if s := r.Form.Get("lookback_delta"); s != "" {
		if lookback, err = durationOf(s); err != nil {
			return "", 0, 0, badData("error parsing lookback delta duration: " + err.Error())
		}
	}
	return text, limit, lookback, nil
}

// instant is GET and POST /api/v1/query.
func (q *queries) instant(w http.ResponseWriter, r *http.Request) error {
	if err := q.form(w, r); err != nil {
		return err
	}
	at, err := timeParam(r, "time", q.now())
	if err != nil {
		return err
	}
	text, limit, lookback, err := q.options(r)
	if err != nil {
		return err
	}
	return q.answer(w, r, text, limit, lookback, func(ctx context.Context, opts promql.QueryOpts) (promql.Query, error) {
		return q.engine.NewInstantQuery(ctx, q.series, opts, text, at)
	})
}

// overRange is GET and POST /api/v1/query_range.
func (q *queries) overRange(w http.ResponseWriter, r *http.Request) error {
	if err := q.form(w, r); err != nil {
		return err
	}
	start, err := timeOf(r.Form.Get("start"))
	if err != nil {
		return invalid("start", err)
	}
	end, err := timeOf(r.Form.Get("end"))
	if err != nil {
		return invalid("end", err)
	}
	if end.Before(start) {
		return invalid("end", errors.New("end timestamp must not be before start time"))
	}
	step, err := durationOf(r.Form.Get("step"))
	switch {
	case err != nil:
		return invalid("step", err)
	case step < time.Millisecond: // PromQL's time is whole milliseconds
		return invalid("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	case end.Sub(start)/step > maxPoints:
		return badData("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
	}
	text, limit, lookback, err := q.options(r)
	if err != nil {
		return err
	}
	return q.answer(w, r, text, limit, lookback, func(ctx context.Context, opts promql.QueryOpts) (promql.Query, error) {
		return q.engine.NewRangeQuery(ctx, q.series, opts, text, start, end, step)
	})
}

// answer evaluates a query and sends its result. A client that reads slowly holds no slot.
func (q *queries) answer(w http.ResponseWriter, r *http.Request, text string, limit int, lookback time.Duration,
	prepare func(context.Context, promql.QueryOpts) (promql.Query, error),
) error {
	ctx, done, err := q.admit(r)
	if err != nil {
		return err
	}
	body, warnings, err := func() ([]byte, annotations.Annotations, error) {
		defer done()
		if lookback <= 0 {
			if lookback, err = q.series.Lookback(ctx); err != nil {
				return nil, nil, queryError(err)
			}
		}
		query, err := prepare(ctx, promql.NewPrometheusQueryOpts(false, lookback))
		if err != nil {
			return nil, nil, invalid("query", err)
		}
		defer query.Close() // the result is in buffers of the engine
		return evaluate(ctx, query, limit, r.Form.Get("stats") != "")
	}()
	if err != nil {
		return err
	}
	return finish(w, body, warnings, text)
}

// evaluate gives the answer's body but for its end.
func evaluate(ctx context.Context, query promql.Query, limit int, withStats bool) (body []byte, warnings annotations.Annotations, err error) {
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, nil, queryError(result.Err)
	}
	warnings = result.Warnings
	switch v := result.Value.(type) {
	case promql.Matrix:
		if limit > 0 && len(v) > limit {
			result.Value = v[:limit]
			warnings.Add(errTruncated)
		}
	case promql.Vector:
		if limit > 0 && len(v) > limit {
			result.Value = v[:limit]
			warnings.Add(errTruncated)
		}
	}
	body = []byte(`{"status":"success","data":{"resultType":"` + string(result.Value.Type()) + `","result":`)
	if body, err = appendValue(body, result.Value); err != nil {
		return nil, nil, err
	}
	if withStats {
		if body, err = appendJSON(append(body, `,"stats":`...), stats.NewQueryStats(query.Stats())); err != nil {
			return nil, nil, err
		}
	}
	return append(body, '}'), warnings, nil
}

var errTruncated = errors.New("results truncated due to limit")

// queryError is what Prometheus calls the error of an evaluation.
func queryError(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if _, ok := errors.AsType[promql.ErrQueryCanceled](err); ok || errors.Is(err, context.Canceled) {
		return &Error{499, "canceled", err.Error()}
	}
	if _, ok := errors.AsType[promql.ErrQueryTimeout](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return &Error{http.StatusServiceUnavailable, "timeout", err.Error()}
	}
	if _, ok := errors.AsType[promql.ErrStorage](err); ok {
		return err // logged, and answered without its words
	}
	return &Error{http.StatusUnprocessableEntity, "execution", err.Error()}
}

// selection is what the paths about labels are asked for.
type selection struct {
	sets    [][]*labels.Matcher
	querier storage.Querier
	hints   *storage.SelectHints
	limit   int
}

// selection reads match[], start, end and limit.
func (q *queries) selection(w http.ResponseWriter, r *http.Request) (s selection, err error) {
	if err := q.form(w, r); err != nil {
		return s, err
	}
	if s.limit, err = limitParam(r); err != nil {
		return s, err
	}
	start, err := timeParam(r, "start", minTime)
	if err != nil {
		return s, err
	}
	end, err := timeParam(r, "end", maxTime)
	if err != nil {
		return s, err
	}
	if s.sets, err = q.matchers(r); err != nil {
		return s, err
	}
	from, to := timestamp.FromTime(start), timestamp.FromTime(end)
	s.hints = &storage.SelectHints{Start: from, End: to, Func: "series"}
	s.querier, err = q.series.Querier(from, to)
	return s, err
}

func (q *queries) matchers(r *http.Request) ([][]*labels.Matcher, error) {
	given := r.Form["match[]"]
	if len(given) > maxSelectors {
		return nil, invalid("match[]", fmt.Errorf("given %d times, at most %d are read", len(given), maxSelectors))
	}
	var sets [][]*labels.Matcher
	for _, text := range given {
		if len(text) > maxExpression {
			return nil, invalid("match[]", fmt.Errorf("longer than %d KiB", maxExpression>>10))
		}
		set, err := q.parser.ParseMetricSelector(text)
		if err != nil {
			return nil, invalid("match[]", err)
		}
		if !slices.ContainsFunc(set, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			return nil, invalid("match[]", errors.New("match[] must contain at least one non-empty matcher"))
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// list is GET and POST /api/v1/series.
func (q *queries) list(w http.ResponseWriter, r *http.Request) error {
	s, err := q.selection(w, r)
	if err != nil {
		return err
	}
	defer s.querier.Close()
	if len(s.sets) == 0 {
		return badData("no match[] parameter provided")
	}
	var found []labels.Labels
	for _, set := range s.sets {
		series := s.querier.Select(r.Context(), true, s.hints, set...)
		for series.Next() {
			found = append(found, series.At().Labels())
		}
		if err := series.Err(); err != nil {
			return err
		}
	}
	slices.SortFunc(found, labels.Compare)
	found = slices.CompactFunc(found, labels.Equal)
	found, warnings := truncate(found, s.limit)
	body := []byte(`{"status":"success","data":[`)
	for i, ls := range found {
		if i > 0 {
			body = append(body, ',')
		}
		body = alertd.AppendLabels(body, ls)
		if len(body) > maxAnswer {
			return errTooLong
		}
	}
	return finish(w, append(body, ']'), warnings, "")
}

// labelNames is GET and POST /api/v1/labels.
func (q *queries) labelNames(w http.ResponseWriter, r *http.Request) error {
	return q.words(w, r, func(s selection, set []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return s.querier.LabelNames(r.Context(), nil, set...)
	})
}

// labelValues is GET /api/v1/label/{name}/values.
func (q *queries) labelValues(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return badData(fmt.Sprintf("invalid label name: %q", clip(name)))
	}
	return q.words(w, r, func(s selection, set []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return s.querier.LabelValues(r.Context(), name, nil, set...)
	})
}

// words answers a sorted list, each word once, of what get gives for any of the selectors, or for all series.
func (q *queries) words(w http.ResponseWriter, r *http.Request, get func(selection, []*labels.Matcher) ([]string, annotations.Annotations, error)) error {
	s, err := q.selection(w, r)
	if err != nil {
		return err
	}
	defer s.querier.Close()
	if len(s.sets) == 0 {
		s.sets = [][]*labels.Matcher{nil}
	}
	var found []string
	for _, set := range s.sets {
		words, _, err := get(s, set)
		if err != nil {
			return err
		}
		found = append(found, words...)
	}
	slices.Sort(found)
	found, warnings := truncate(slices.Compact(found), s.limit)
	body, err := appendJSON([]byte(`{"status":"success","data":`), nonNil(found))
	if err != nil {
		return err
	}
	return finish(w, body, warnings, "")
}

func truncate[T any](list []T, limit int) ([]T, annotations.Annotations) {
	if limit == 0 || len(list) <= limit {
		return list, nil
	}
	return list[:limit], annotations.New().Add(errTruncated)
}

func invalid(parameter string, err error) error {
	return badData(fmt.Sprintf("invalid parameter %q: %s", parameter, err))
}

func limitParam(r *http.Request) (int, error) {
	s := r.Form.Get("limit")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return 0, invalid("limit", err)
	case n < 0:
		return 0, invalid("limit", errors.New("limit must be non-negative"))
	}
	return n, nil
}

func timeParam(r *http.Request, name string, missing time.Time) (time.Time, error) {
	s := r.Form.Get(name)
	if s == "" {
		return missing, nil
	}
	t, err := timeOf(s)
	if err != nil {
		return time.Time{}, invalid(name, fmt.Errorf("invalid time value for '%s': %w", name, err))
	}
	return t, nil
}

// timeOf reads Unix seconds or RFC 3339.
func timeOf(s string) (time.Time, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		// Beyond these a number of milliseconds does not fit, and nobody has samples.
		if limit := float64(maxTime.Unix()); math.IsNaN(f) || f > limit || f < -limit {
			return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", clip(s))
		}
		seconds, fraction := math.Modf(f)
		fraction = math.Round(fraction*1000) / 1000
		return time.Unix(int64(seconds), int64(fraction*float64(time.Second))).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	switch s { // years of more than four digits, which only these have
	case minTime.Format(time.RFC3339Nano):
		return minTime, nil
	case maxTime.Format(time.RFC3339Nano):
		return maxTime, nil
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", clip(s))
}

// durationOf reads seconds, or a duration as Prometheus writes it.
func durationOf(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		d := f * float64(time.Second)
		if math.IsNaN(d) || d >= math.MaxInt64 || d <= math.MinInt64 {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", clip(s))
		}
		return time.Duration(d), nil
	}
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", clip(s))
}
