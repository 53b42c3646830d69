package api

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"alertd"
	"alertd/rules"
)

// Results of queries are written by hand: reflection takes ten times as long for a million points, and only so can
// the length be bounded on the way.

// maxAnswer bounds the body of an answer to a query, in bytes.
const maxAnswer = 64 << 20

var errTooLong = &Error{
	http.StatusUnprocessableEntity, "execution",
	fmt.Sprintf("the answer would be longer than %d MiB; narrow the selector, or ask for a larger step", maxAnswer>>20),
}

// finish closes the envelope that body begins and sends it. Positions in the warnings are those in the query.
func finish(w http.ResponseWriter, body []byte, warnings annotations.Annotations, query string) error {
	const few = 10 // of each kind
	warn, info := warnings.AsStrings(query, few, few)
	for _, list := range []struct {
		name  string
		texts []string
	}{{"warnings", warn}, {"infos", info}} {
		if len(list.texts) == 0 {
			continue
		}
		var err error
		if body, err = appendJSON(append(body, `,"`+list.name+`":`...), list.texts); err != nil {
			return err
		}
	}
	body = append(body, '}', '\n')
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the client went away: nobody to tell
	return nil
}

func appendJSON(b []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(b, text...), err
}

// appendValue writes the result of a query.
func appendValue(b []byte, v parser.Value) ([]byte, error) {
	switch v := v.(type) {
	case promql.Matrix:
		return appendList(b, len(v), func(b []byte, i int) []byte { return appendSeries(b, &v[i]) })
	case promql.Vector:
		return appendList(b, len(v), func(b []byte, i int) []byte { return appendSample(b, &v[i]) })
	case promql.Scalar:
		return appendPoint(b, v.T, v.V), nil
	case promql.String:
		b = appendTime(append(b, '['), v.T)
		b = alertd.AppendText(append(b, ','), v.V)
		return append(b, ']'), nil
	default:
		return nil, fmt.Errorf("a result of type %T cannot be written", v)
	}
}

func appendList(b []byte, n int, item func([]byte, int) []byte) ([]byte, error) {
	b = append(b, '[')
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		if b = item(b, i); len(b) > maxAnswer {
			return nil, errTooLong
		}
	}
	return append(b, ']'), nil
}

func appendSeries(b []byte, s *promql.Series) []byte {
	b = alertd.AppendLabels(append(b, `{"metric":`...), s.Metric)
	for i, p := range s.Floats {
		if i == 0 {
			b = append(b, `,"values":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendPoint(b, p.T, p.F)
	}
	if len(s.Floats) > 0 {
		b = append(b, ']')
	}
	for i, p := range s.Histograms {
		if i == 0 {
			b = append(b, `,"histograms":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendHistogramPoint(b, p.T, p.H)
	}
	if len(s.Histograms) > 0 {
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendSample(b []byte, s *promql.Sample) []byte {
	b = alertd.AppendLabels(append(b, `{"metric":`...), s.Metric)
	if s.H == nil {
		b = appendPoint(append(b, `,"value":`...), s.T, s.F)
	} else {
		b = appendHistogramPoint(append(b, `,"histogram":`...), s.T, s.H)
	}
	return append(b, '}')
}

func appendPoint(b []byte, t int64, v float64) []byte {
	b = appendTime(append(b, '['), t)
	b = appendFloat(append(b, ','), v)
	return append(b, ']')
}

func appendHistogramPoint(b []byte, t int64, h *histogram.FloatHistogram) []byte {
	b = appendTime(append(b, '['), t)
	b = appendHistogram(append(b, ','), h)
	return append(b, ']')
}

// appendHistogram writes the buckets that are not empty, each as [boundaries, lower, upper, count]. Boundaries is 0
// if only the upper one belongs to the bucket, 1 if only the lower one, 2 if neither and 3 if both.
func appendHistogram(b []byte, h *histogram.FloatHistogram) []byte {
	b = appendFloat(append(b, `{"count":`...), h.Count)
	b = appendFloat(append(b, `,"sum":`...), h.Sum)
	some := false
	for it := h.AllBucketIterator(); it.Next(); {
		bucket := it.At()
		if bucket.Count == 0 {
			continue
		}
		if some {
			b = append(b, ',')
		} else {
			b = append(b, `,"buckets":[`...)
		}
		some = true
		boundaries := byte('2')
		switch {
		case bucket.LowerInclusive && bucket.UpperInclusive:
			boundaries = '3'
		case bucket.LowerInclusive:
			boundaries = '1'
		case bucket.UpperInclusive:
			boundaries = '0'
		}
		b = append(b, '[', boundaries)
		for _, f := range [3]float64{bucket.Lower, bucket.Upper, bucket.Count} {
			b = appendFloat(append(b, ','), f)
		}
		b = append(b, ']')
	}
	if some {
		b = append(b, ']')
	}
	return append(b, '}')
}

// appendExemplars writes a series and its traces. The names of the labels are those that Prometheus gives to exemplars
// which it takes over OTLP.
func appendExemplars(b []byte, s *rules.SeriesExemplars) []byte {
	b = alertd.AppendLabels(append(b, `{"seriesLabels":`...), s.Labels)
	b = append(b, `,"exemplars":[`...)
	for i, x := range s.Exemplars {
		if i > 0 {
			b = append(b, ',')
		}
		b = alertd.AppendText(append(b, `{"labels":{"trace_id":`...), x.Trace.TraceID)
		if x.Trace.SpanID != "" {
			b = alertd.AppendText(append(b, `,"span_id":`...), x.Trace.SpanID)
		}
		b = appendFloat(append(b, `},"value":`...), x.Value)
		b = appendTime(append(b, `,"timestamp":`...), x.T)
		b = append(b, '}')
	}
	return append(b, ']', '}')
}

// appendTime writes milliseconds as seconds.
func appendTime(b []byte, t int64) []byte {
	if t < 0 {
		b, t = append(b, '-'), -t
	}
	b = strconv.AppendInt(b, t/1000, 10)
	if ms := t % 1000; ms != 0 {
		b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	return b
}

// appendFloat writes a value as text, since JSON has neither NaN nor infinities.
func appendFloat(b []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return append(strconv.AppendFloat(append(b, '"'), f, format, -1, 64), '"')
}
