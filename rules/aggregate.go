package rules

import (
	"math"
	"unique"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/kahansum"
)

// aggregateNode is an aggregation.
type aggregateNode struct {
	op      parser.ItemType
	below   node
	without bool
	names   []string // as written, sorted
	cut     []string // what tells groups apart: these labels, or all but these
	groups  map[string]*bucket
	turn    uint64
	seen    []*bucket
	buf     []byte
	builder labels.Builder
	out     []element

	number, of int    // which it is of the aggregations of its program, and how many these are; 0: keys remember no buckets
	age        uint64 // how often groups was cleared
}

// bucket is a group of an aggregation. Buckets are kept, since the next run has the same groups, or is about
// another key whose turn will come again.
type bucket struct {
	labels labels.Labels
	turn   uint64
	age    uint64  // of the node's, in which it was made
	v, c   float64 // value and its compensation (Kahan)
	n      float64
}

// memo is how a key remembers the bucket that an element fell into. The element of the next run has the same labels in
// the same memory, so comparing them costs nothing, where finding the bucket would cost waiting for memory.
type memo struct {
	from   labels.Labels
	bucket *bucket
}

// maxMemos bounds what one key remembers of an aggregation: the elements that stand first.
const maxMemos = 8

// maxBuckets bounds what groups that never come again can take.
const maxBuckets = 100_000

func (n *aggregateNode) run(c call) ([]element, bool) {
	in, ok := n.below.run(c)
	if !ok {
		return nil, false
	}
	if len(n.groups) > maxBuckets {
		clear(n.groups)
		n.age++
	}
	n.turn++
	n.seen = n.seen[:0]
	for i, el := range in {
		b := n.remembered(c.view.key, i, el)
		if b.turn != n.turn {
			b.turn, b.v, b.c, b.n = n.turn, el.v, 0, 1
			n.seen = append(n.seen, b)
			continue
		}
		b.n++
		switch n.op {
		case parser.SUM, parser.AVG:
			b.v, b.c = kahansum.Inc(el.v, b.v, b.c)
			if n.op == parser.AVG && math.IsInf(b.v, 0) {
				return nil, false // the engine has a second way to a mean, for sums that overflow
			}
		case parser.MIN:
			if b.v > el.v || math.IsNaN(b.v) {
				b.v = el.v
			}
		case parser.MAX:
			if b.v < el.v || math.IsNaN(b.v) {
				b.v = el.v
			}
		}
	}
	n.out = n.out[:0]
	for _, b := range n.seen {
		v := b.v
		switch n.op {
		case parser.SUM:
			v += b.c
		case parser.AVG:
			v = b.v/b.n + b.c/b.n
		case parser.COUNT:
			v = b.n
		case parser.GROUP:
			v = 1
		}
		n.out = append(n.out, element{b.labels, nil, v})
	}
	return n.out, true
}

// remembered is the bucket of element i of a key.
func (n *aggregateNode) remembered(k *key, i int, el element) *bucket {
	if k == nil || n.of == 0 || i >= maxMemos {
		return n.bucket(el)
	}
	at := i*n.of + n.number
	if at >= len(k.memos) {
		k.memos = append(k.memos, make([]memo, (i+1)*n.of-len(k.memos))...)
	}
	m := &k.memos[at]
	if m.bucket == nil || m.bucket.age != n.age || !labels.Equal(m.from, el.labels) {
		*m = memo{el.labels, n.bucket(el)}
	}
	return m.bucket
}

func (n *aggregateNode) bucket(el element) *bucket {
	if n.without {
		n.buf = el.labels.BytesWithoutLabels(n.buf, n.cut...)
	} else {
		n.buf = el.labels.BytesWithLabels(n.buf, n.cut...)
	}
	b, ok := n.groups[string(n.buf)]
	if !ok {
		n.builder.Reset(el.labels)
		if n.without {
			n.builder.Del(n.cut...)
		} else {
			n.builder.Keep(n.names...)
		}
		// The same labels stand in one place, whichever aggregation they are of: so they are soon known to be the same.
		b = &bucket{labels: unique.Make(n.builder.Labels()).Value(), age: n.age}
		n.groups[string(n.buf)] = b
	}
	return b
}
