package api

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql/parser"

	"alertd/rules"
)

// What Grafana asks a Prometheus for besides values: the traces behind them, what kind of metric it is, who answers.

// exemplars is GET and POST /api/v1/query_exemplars.
func (q *queries) exemplars(w http.ResponseWriter, r *http.Request) error {
	if err := q.form(w, r); err != nil {
		return err
	}
	start, err := timeParam(r, "start", minTime)
	if err != nil {
		return err
	}
	end, err := timeParam(r, "end", maxTime)
	if err != nil {
		return err
	}
	text := r.Form.Get("query")
	switch {
	case end.Before(start):
		return badData("end timestamp must not be before start timestamp")
	case len(text) > maxExpression:
		return invalid("query", fmt.Errorf("longer than %d KiB", maxExpression>>10))
	}
	expr, err := q.parser.ParseExpr(text)
	if err != nil {
		return badData(err.Error())
	}
	sets := parser.ExtractSelectors(expr)
	if len(sets) > maxSelectors {
		return invalid("query", fmt.Errorf("has %d selectors, at most %d are read", len(sets), maxSelectors))
	}
	var found []rules.SeriesExemplars
	if len(sets) > 0 {
		if found, err = q.series.Exemplars(r.Context(), sets, timestamp.FromTime(start), timestamp.FromTime(end)); err != nil {
			return err
		}
	}
	body, err := appendList([]byte(`{"status":"success","data":`), len(found), func(b []byte, i int) []byte { return appendExemplars(b, &found[i]) })
	if err != nil {
		return err
	}
	return finish(w, body, nil, "")
}

// metadata is GET /api/v1/metadata. Of a metric of which its publisher says nothing, the name's ending tells a counter.
func (q *queries) metadata(w http.ResponseWriter, r *http.Request) error {
	if err := q.form(w, r); err != nil {
		return err
	}
	limit := -1
	if s := r.Form.Get("limit"); s != "" {
		var err error
		if limit, err = strconv.Atoi(s); err != nil {
			return badData("limit must be a number")
		}
	}
	metrics, err := q.series.Metrics(r.Context())
	if err != nil {
		return err
	}
	type entry struct {
		Type model.MetricType `json:"type"`
		Help string           `json:"help"`
		Unit string           `json:"unit"`
	}
	out := make(map[string][]entry)
	for _, m := range metrics {
		if only := r.Form.Get("metric"); only != "" && only != m.Metric {
			continue
		}
		if limit >= 0 && len(out) >= limit {
			break
		}
		e := entry{model.MetricType(m.Type), m.Help, m.Unit}
		switch {
		case m.Type != "":
		case strings.HasSuffix(m.Metric, "_total"):
			e.Type = model.MetricTypeCounter
		default:
			e.Type = model.MetricTypeUnknown
		}
		out[m.Metric] = []entry{e}
	}
	return success(w, out)
}

// buildInfo is GET /api/v1/status/buildinfo. The version is that of the Prometheus whose API this is, because
// clients choose by it what they may ask for; alertd's own is the revision.
func (a *api) buildInfo(w http.ResponseWriter, r *http.Request) error {
	return success(w, map[string]string{
		"version": prometheusVersion(), "revision": a.o.Version, "branch": "alertd", "buildUser": "", "buildDate": "",
		"goVersion": runtime.Version(),
	})
}

// prometheusVersion makes "3.15.0" of "v0.315.0", which is how Prometheus numbers its module.
func prometheusVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path != "github.com/prometheus/prometheus" {
				continue
			}
			var version, patch int
			if n, _ := fmt.Sscanf(dep.Version, "v0.%d.%d", &version, &patch); n == 2 && version >= 300 {
				return fmt.Sprintf("%d.%d.%d", version/100, version%100, patch)
			}
		}
	}
	return "3.0.0"
}
