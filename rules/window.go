package rules

import (
	"context"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"

	"alertd"
)

// window holds the recent samples of every series that some rule reads, and finds them the way they are asked for:
// by labels when a sample comes, by selector when a rule is evaluated whole, by selector and key otherwise.
type window struct {
	series   map[uint64]*series // by hash of the labels
	indexes  []*index           // in order of first use
	byKey    map[string]*index
	byName   map[string][]*index // selectors of one metric
	nameless []*index            // selectors of many
	families map[string]*family  // by the metric's name
	count    int
	looked   int // series that had to be compared with matchers, ever
	ahead    []*key
	fetched  int64 // means nothing: a sum over what was looked at ahead of time, so that it is looked at
}

// index is a selector and the series that it matches.
type index struct {
	matchers []*labels.Matcher
	series   []*series
	unsorted bool
	users    []user
	quoted   []quotation
}

// user is a place where a rule has the selector.
type user struct {
	rule *ruleRun
	use  int
}

// quotation is a place where a template of a rule has the selector.
type quotation struct {
	use   use
	group *groupRun
}

func newWindow() *window {
	return &window{
		series: make(map[uint64]*series), byKey: make(map[string]*index), byName: make(map[string][]*index), families: make(map[string]*family),
	}
}

// index makes sure that a selector is indexed. All must be there before the first series is.
func (w *window) index(u use) *index {
	if x, ok := w.byKey[u.key]; ok {
		return x
	}
	x := &index{matchers: u.matchers}
	w.byKey[u.key] = x
	w.indexes = append(w.indexes, x)
	if u.name != "" {
		w.byName[u.name] = append(w.byName[u.name], x)
	} else {
		w.nameless = append(w.nameless, x)
	}
	return x
}

func (w *window) find(ls labels.Labels, hash uint64) *series {
	for s := w.series[hash]; s != nil; s = s.chain {
		if labels.Equal(s.labels, ls) {
			return s
		}
	}
	return nil
}

// matching yields the selectors that a series answers to.
func (w *window) matching(ls labels.Labels) (out []*index) {
	for _, list := range [2][]*index{w.byName[ls.Get(alertd.LabelMetric)], w.nameless} {
		for _, x := range list {
			if matches(x.matchers, ls) {
				out = append(out, x)
			}
		}
	}
	return out
}

func matches(ms []*labels.Matcher, ls labels.Labels) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}

// add takes in a series, joins it to its selectors and to the keys of the rules that have them.
func (w *window) add(s *series) {
	s.chain = w.series[s.hash]
	w.series[s.hash] = s
	w.count++
	w.family(s.labels.Get(alertd.LabelMetric)).add(s)
	for _, x := range s.indexes {
		x.series = append(x.series, s)
		x.unsorted = true
		for _, u := range x.users {
			u.rule.join(s, u.use)
		}
	}
}

// sweep forgets the series for which dead is set, and keys that have none left.
func (w *window) sweep(old func(*series) bool) {
	var (
		keys   = make(map[*key]bool)
		shrunk = make(map[*index]bool)
		fewer  = make(map[string]bool)
	)
	for hash, first := range w.series {
		var kept *series
		for s := first; s != nil; {
			next := s.chain
			if s.dead = old(s); s.dead {
				w.count--
				s.follower = nil // or the living would keep many of the dead
				fewer[s.labels.Get(alertd.LabelMetric)] = true
				for _, t := range s.touches {
					keys[t.key] = true
				}
				for _, x := range s.indexes {
					shrunk[x] = true
				}
			} else {
				s.chain, kept = kept, s
			}
			s = next
		}
		if kept == nil {
			delete(w.series, hash)
		} else {
			w.series[hash] = kept
		}
	}
	for name := range fewer {
		f := w.families[name]
		if f.sweep(); len(f.series) == 0 {
			delete(w.families, name)
		}
	}
	isDead := func(s *series) bool { return s.dead }
	for x := range shrunk {
		x.series = slices.DeleteFunc(x.series, isDead)
	}
	poorer := make(map[*ruleRun]bool)
	for k := range keys {
		left := 0
		for i := range k.members {
			k.members[i] = slices.DeleteFunc(k.members[i], isDead)
			left += len(k.members[i])
		}
		if left == 0 && !k.dirty {
			delete(k.rule.keys, k.scope)
			delete(k.rule.saying, k)
			k.gone, poorer[k.rule] = true, true
		}
	}
	for r := range poorer {
		r.order = slices.DeleteFunc(r.order, func(k *key) bool { return k.gone })
	}
}

func byLabels(a, b *series) int { return labels.Compare(a.labels, b.labels) }

// all are the series of the selector in the order of their labels, which makes sums independent of who came first.
func (x *index) all() []*series {
	if x.unsorted {
		slices.SortFunc(x.series, byLabels)
		x.unsorted = false
	}
	return x.series
}

// view is what one evaluation may read: the series of one key, those of all keys of a rule, or, for queries in
// templates, everything that is there.
type view struct {
	window *window
	rule   *ruleRun // nil: any query
	key    *key     // nil: all keys
	delta  int64    // how long the engine believes samples, milliseconds; 0: as it does by itself, whatever they say
}

// Querier implements storage.Queryable.
func (v view) Querier(_, _ int64) (storage.Querier, error) { return v, nil }

// Select implements storage.Querier. The engine passes on the very matchers that the rule's expression has. As from
// Prometheus's TSDB it gets no sample outside of the time that it asks for: some functions count on that.
func (v view) Select(_ context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if hints != nil {
		from, to = hints.Start, hints.End
	}
	if v.rule != nil {
		for i, u := range v.rule.uses {
			if len(ms) == len(u.matchers) && (len(ms) == 0 || ms[0] == u.matchers[0]) {
				return &seriesSet{list: v.members(i), at: -1, from: from, to: to, view: v, believed: v.rule.deltaOf(u)}
			}
		}
	}
	if f, _ := v.window.familyOf(ms); f != nil {
		f.divide(ms)
	}
	var list []*series
	v.window.each(ms, func(s *series) bool {
		list = append(list, s)
		return true
	})
	slices.SortFunc(list, byLabels)
	return &seriesSet{list: list, at: -1, from: from, to: to, view: v, believed: defaultLookbackDelta.Milliseconds()}
}

// members are the series that selector i of the rule may read.
func (v view) members(i int) []*series {
	if v.key != nil {
		return v.key.sorted(i)
	}
	return v.rule.indexes[i].all()
}

// LabelValues implements storage.Querier; the engine never asks.
func (view) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier; the engine never asks.
func (view) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (view) Close() error { return nil }

type seriesSet struct {
	list     []*series
	at       int
	from, to int64
	view     view
	believed int64 // how long samples are believed that do not say so themselves, milliseconds
}

func (s *seriesSet) Next() bool { s.at++; return s.at < len(s.list) }
func (s *seriesSet) At() storage.Series {
	return &excerpt{lasting(s.list[s.at], s.list[s.at].believed(s.believed), s.view.delta), s.from, s.to}
}
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// excerpt is a series without what lies outside of a time.
type excerpt struct {
	storage.Series
	from, to int64
}

// Iterator implements storage.Series.
func (x *excerpt) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	c, ok := it.(*excerptCursor)
	if !ok {
		c = new(excerptCursor)
	}
	*c = excerptCursor{Iterator: x.Series.Iterator(c.Iterator), from: x.from, to: x.to}
	return c
}

type excerptCursor struct {
	chunkenc.Iterator
	from, to    int64
	begun, over bool
}

// Next implements chunkenc.Iterator.
func (c *excerptCursor) Next() chunkenc.ValueType {
	if !c.begun {
		return c.Seek(c.from)
	}
	if c.over {
		return chunkenc.ValNone
	}
	return c.within(c.Iterator.Next())
}

// Seek implements chunkenc.Iterator.
func (c *excerptCursor) Seek(t millis) chunkenc.ValueType {
	if c.begun = true; c.over {
		return chunkenc.ValNone
	}
	return c.within(c.Iterator.Seek(max(t, c.from)))
}

func (c *excerptCursor) within(kind chunkenc.ValueType) chunkenc.ValueType {
	if kind == chunkenc.ValNone || c.AtT() > c.to {
		c.over = true
		return chunkenc.ValNone
	}
	return kind
}

// parsed gives the engine expressions that are parsed already. The engine writes into what it evaluates, so each
// call gets a copy, which costs a fraction of parsing; selectors keep their matchers, by which view knows them.
type parsed struct {
	parser.Parser
	exprs map[string]parser.Expr
}

// ParseExpr implements parser.Parser.
func (p *parsed) ParseExpr(text string) (parser.Expr, error) {
	if expr, ok := p.exprs[text]; ok {
		return clone(expr), nil
	}
	return p.Parser.ParseExpr(text)
}

func clone(expr parser.Expr) parser.Expr {
	switch e := expr.(type) {
	case *parser.NumberLiteral:
		return e // never written to
	case *parser.StringLiteral:
		return e
	case *parser.ParenExpr:
		c := *e
		c.Expr = clone(e.Expr)
		return &c
	case *parser.UnaryExpr:
		c := *e
		c.Expr = clone(e.Expr)
		return &c
	case *parser.VectorSelector:
		c := *e
		return &c
	case *parser.MatrixSelector:
		c := *e
		c.VectorSelector = clone(e.VectorSelector)
		return &c
	case *parser.SubqueryExpr:
		c := *e
		c.Expr = clone(e.Expr)
		return &c
	case *parser.AggregateExpr:
		c := *e
		c.Expr = clone(e.Expr)
		if e.Param != nil {
			c.Param = clone(e.Param)
		}
		c.Grouping = slices.Clone(e.Grouping)
		return &c
	case *parser.BinaryExpr:
		c := *e
		c.LHS, c.RHS = clone(e.LHS), clone(e.RHS)
		return &c
	case *parser.Call:
		c := *e
		c.Args = make(parser.Expressions, len(e.Args))
		for i, arg := range e.Args {
			c.Args[i] = clone(arg)
		}
		return &c
	default:
		// The parser yields no other node; a new kind must not be shared unnoticed.
		fresh, err := promqlParser.ParseExpr(expr.String())
		if err != nil {
			panic(err)
		}
		return fresh
	}
}
