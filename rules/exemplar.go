package rules

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"alertd"
)

// traceSlots is how many exemplars a series keeps.
const traceSlots = 4

// exemplar is the trace that a sample came with.
type exemplar struct {
	t     int64
	v     float64
	trace alertd.TraceRef
}

// measured is the value that says how bad the request was: what the exemplar says, else the sample's own.
func (x *exemplar) measured() float64 {
	if x.trace.Value != 0 {
		return float64(x.trace.Value)
	}
	return x.v
}

// remember keeps an exemplar. Where there is no room, the first of these goes: one that left the window, the oldest that
// nobody keeps, the oldest that is not the highest. So a busy series that samples one request in a hundred still has
// one to show, and the slowest request outlives the many that were fast.
func (s *series) remember(e exemplar) {
	e.trace.Failed = e.trace.Failed || s.failed()
	if len(s.traces) == traceSlots {
		high, out := 0, -1
		for i := range s.traces {
			x := &s.traces[i]
			if x.t < s.newest-s.keep {
				out = i
				break
			}
			if out < 0 && x.trace.Unsampled {
				out = i
			}
			if x.measured() >= s.traces[high].measured() {
				high = i
			}
		}
		if out < 0 && high == 0 {
			out = 1
		}
		s.traces = slices.Delete(s.traces, max(out, 0), max(out, 0)+1)
	}
	s.traces = append(s.traces, e)
}

// failed reports whether the labels say that what the series counts ended in an error. It looks once.
func (s *series) failed() bool {
	if s.outcome == unread {
		s.outcome = fine
		s.labels.Range(func(l labels.Label) {
			if alertd.SaysFailed(l.Name, l.Value) {
				s.outcome = failing
			}
		})
	}
	return s.outcome == failing
}

// outcome is what the labels of a series say about its requests.
type outcome uint8

const (
	unread outcome = iota
	fine
	failing
)

// exemplar chooses the trace to show for a key, and says in words what it shows. In this order: one that somebody keeps;
// one that is over the limit of the rule by itself; one of a request that failed; of the selector that stands first
// in the expression, since in a ratio that is what went wrong and not the total; that of the worst value, which is the
// highest unless the rule asks for values below a limit; the newest.
func (k *key) exemplar(at int64, delta time.Duration) (alertd.TraceRef, string) {
	limit := limitOf(k.rule.expr)
	var best candidate
	for i := range k.rule.uses {
		u := &k.rule.uses[i]
		if u.fixed {
			continue // what is only compared with went well or badly long ago
		}
		from := at - u.lookBack(delta).Milliseconds()
		for _, s := range k.sorted(i) {
			for _, x := range s.traces {
				if x.t <= from || x.t > at {
					continue
				}
				c := candidate{exemplar: x, series: s, selector: i, speaks: speaks(u, s, &x)}
				c.violates = c.speaks && limit.broken(x.measured())
				if best.series == nil || c.better(&best, limit.below) {
					best = c
				}
			}
		}
	}
	if best.series == nil {
		return alertd.TraceRef{}, ""
	}
	return best.trace, best.note()
}

// candidate is an exemplar that could be shown.
type candidate struct {
	exemplar
	series   *series
	selector int
	speaks   bool // its value says how bad the request was
	violates bool
}

func (c *candidate) better(than *candidate, low bool) bool {
	switch v, w := c.measured(), than.measured(); {
	case c.trace.Unsampled != than.trace.Unsampled:
		return than.trace.Unsampled
	case c.violates != than.violates:
		return c.violates
	case c.trace.Failed != than.trace.Failed:
		return c.trace.Failed
	case c.selector != than.selector:
		return c.selector < than.selector
	case c.speaks && than.speaks && v != w:
		return v > w != low
	default:
		return c.t > than.t
	}
}

// note says what the exemplar shows: "failed", "took 5.2 s", "failed after 5.2 s", "was 17".
func (c *candidate) note() string {
	if !c.speaks {
		if c.trace.Failed {
			return "failed"
		}
		return ""
	}
	v, unit := c.measured(), unitOf(c.series.labels.Get(alertd.LabelMetric))
	if unit == "s" {
		verb := "took "
		if c.trace.Failed {
			verb = "failed after "
		}
		return verb + seconds(v)
	}
	note := "was " + strconv.FormatFloat(v, 'g', 4, 64)
	if unit != "" {
		note += " " + unit
	}
	if c.trace.Failed {
		return "failed, " + note
	}
	return note
}

// speaks reports whether the value of an exemplar says how bad its request was: what was measured for a histogram,
// or a gauge. A running total says nothing, and neither does the 1 that counters give as the value of an exemplar.
func speaks(u *use, s *series, x *exemplar) bool {
	name := s.labels.Get(alertd.LabelMetric)
	if strings.HasSuffix(name, "_total") || strings.HasSuffix(name, "_count") || strings.HasSuffix(name, "_sum") {
		return false
	}
	histogram := strings.HasSuffix(name, "_bucket") || len(s.hists) > 0
	if histogram || u.counted {
		return x.trace.Value != 0 && histogram
	}
	return !math.IsNaN(x.v)
}

// unitOf is the unit that the name of a metric ends with, as Prometheus's conventions have it.
func unitOf(metric string) string {
	name := strings.TrimSuffix(metric, "_bucket")
	for suffix, unit := range map[string]string{"_seconds": "s", "_milliseconds": "ms", "_ms": "ms", "_bytes": "B", "_ratio": "", "_percent": "%"} {
		if strings.HasSuffix(name, suffix) {
			return unit
		}
	}
	return ""
}

func seconds(v float64) string {
	switch a := math.Abs(v); {
	case a < 1:
		return strconv.FormatFloat(v*1000, 'g', 3, 64) + " ms"
	case a < 600:
		return strconv.FormatFloat(v, 'g', 3, 64) + " s"
	default:
		return fmt.Sprintf("%.0f min", v/60)
	}
}

// limit is what the outermost comparison of a rule compares with.
type limit struct {
	is    float64
	known bool
	below bool // the rule asks for values below it
}

func (l limit) broken(v float64) bool { return l.known && (v < l.is) == l.below && v != l.is }

// limitOf reads the limit of an expression with the series on the left, as in m > 5. A ratio's limit is no request's.
func limitOf(expr parser.Expr) (l limit) {
	expr = unwrapped(expr)
	b, ok := expr.(*parser.BinaryExpr)
	if !ok || !b.Op.IsComparisonOperator() {
		return l
	}
	l.below = b.Op == parser.LSS || b.Op == parser.LTE
	n, ok := unwrapped(b.RHS).(*parser.NumberLiteral)
	if _, ratio := unwrapped(b.LHS).(*parser.BinaryExpr); !ok || ratio || b.Op == parser.EQLC || b.Op == parser.NEQ {
		return l
	}
	l.is, l.known = n.Val, true
	return l
}

func unwrapped(expr parser.Expr) parser.Expr {
	for {
		switch e := expr.(type) {
		case *parser.ParenExpr:
			expr = e.Expr
		case *parser.StepInvariantExpr:
			expr = e.Expr
		default:
			return expr
		}
	}
}
