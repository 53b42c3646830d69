package rules

import (
	"slices"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// instantNode is a selector: of each series the newest sample, if it is believed and not a staleness marker.
type instantNode struct {
	use           int
	offset, delta int64
	out           []element
}

func (n *instantNode) run(c call) ([]element, bool) {
	n.out = n.out[:0]
	at := c.at - n.offset
	for _, s := range c.view.members(n.use) {
		if s.typed || len(s.hists) > 0 {
			return nil, false
		}
		if p, ok := s.at(at); ok && p.T > at-s.believed(n.delta) && !value.IsStaleNaN(p.F) {
			n.out = append(n.out, element{s.labels, s, p.F})
		}
	}
	return n.out, true
}

// rangeNode is a function of the samples in a range.
type rangeNode struct {
	use           int
	offset, width int64
	f             promql.FunctionCall
	args          parser.Expressions
	keeps         bool
	out           []element
	points        []promql.FPoint
	matrix        promql.Matrix
	helper        promql.EvalNodeHelper
}

func (n *rangeNode) run(c call) ([]element, bool) {
	n.out = n.out[:0]
	at := c.at - n.offset
	for _, s := range c.view.members(n.use) {
		if s.typed || len(s.hists) > 0 {
			return nil, false
		}
		points := n.read(s, at)
		if len(points) == 0 {
			continue
		}
		n.matrix[0] = promql.Series{Metric: s.labels, Floats: points}
		n.helper.Ts = c.at
		out, _ := n.f(nil, n.matrix, n.args, &n.helper)
		n.helper.Out = out[:0]
		switch {
		case len(out) == 0:
		case n.keeps:
			n.out = append(n.out, element{s.labels, s, out[0].F})
		default:
			n.out = append(n.out, element{s.unnamed, nil, out[0].F})
		}
	}
	return n.out, true
}

// read gives the samples of a series in the range, without staleness markers. The functions only read them, so where
// nothing is compressed and nothing was ever marked they need not be copied.
func (n *rangeNode) read(s *series, at int64) []promql.FPoint {
	if len(s.sealed) == 0 && !s.marked {
		return s.headSpan(at-n.width, at)
	}
	n.points = s.span(n.points[:0], at-n.width, at)
	n.points = slices.DeleteFunc(n.points, func(p promql.FPoint) bool { return value.IsStaleNaN(p.F) })
	return n.points
}

// quantileNode is histogram_quantile of classic histograms.
type quantileNode struct {
	below  node
	number func(at int64) float64
	args   parser.Expressions
	in     []promql.Vector
	out    []element
}

func (n *quantileNode) run(c call) ([]element, bool) {
	in, ok := n.below.run(c)
	if !ok {
		return nil, false
	}
	n.out = n.out[:0]
	if len(in) == 0 {
		return n.out, true
	}
	n.in[0][0].F, n.in[1] = n.number(c.at), n.in[1][:0]
	for _, el := range in {
		n.in[1] = append(n.in[1], promql.Sample{T: c.at, F: el.v, Metric: el.labels})
	}
	// A fresh helper, since an old one looks at every histogram that it has ever seen.
	vector, _ := promql.FunctionCalls["histogram_quantile"](n.in, nil, n.args, &promql.EvalNodeHelper{Ts: c.at})
	for _, s := range vector {
		n.out = append(n.out, element{s.Metric, nil, s.F})
	}
	return n.out, !clash(n.out)
}

// scalarNode is an operation of a vector with a scalar.
type scalarNode struct {
	op      parser.ItemType
	below   node
	number  func(at int64) float64
	swapped bool // the scalar stands on the left
	asBool  bool
	out     []element
}

func (n *scalarNode) run(c call) ([]element, bool) {
	in, ok := n.below.run(c)
	if !ok {
		return nil, false
	}
	n.out = n.out[:0]
	number := n.number(c.at)
	f, holds := arithmetic(n.op), compares(n.op)
	for _, el := range in {
		a, b := el.v, number
		if n.swapped {
			a, b = b, a
		}
		switch {
		case f != nil:
			n.out = append(n.out, element{el.unnamed(), nil, f(a, b)})
		case n.asBool:
			n.out = append(n.out, element{el.unnamed(), nil, truth(holds(a, b))})
		case holds(a, b):
			n.out = append(n.out, el)
		}
	}
	return n.out, true
}
