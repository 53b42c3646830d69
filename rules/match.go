package rules

import (
	"bytes"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// matchNode is an operation of two vectors.
type matchNode struct {
	op          parser.ItemType
	left, right node
	on, asBool  bool
	names       []string // as written, sorted
	cut         []string // what elements are matched by: these labels, or all but these
	index       map[string]int
	taken       []bool
	buf, other  []byte
	builder     labels.Builder
	out         []element
}

func (n *matchNode) signature(buf []byte, ls labels.Labels) []byte {
	if n.on {
		return ls.BytesWithLabels(buf, n.cut...)
	}
	return ls.BytesWithoutLabels(buf, n.cut...)
}

func (n *matchNode) run(c call) ([]element, bool) {
	left, ok := n.left.run(c)
	if !ok {
		return nil, false
	}
	right, ok := n.right.run(c)
	if !ok {
		return nil, false
	}
	n.out = n.out[:0]
	switch n.op {
	case parser.LAND, parser.LUNLESS:
		n.build(right)
		for _, el := range left {
			if _, there := n.find(el, right); there == (n.op == parser.LAND) {
				n.out = append(n.out, el)
			}
		}
		return n.out, true
	case parser.LOR:
		n.build(left)
		n.out = append(n.out, left...)
		for _, el := range right {
			if _, there := n.find(el, left); !there {
				n.out = append(n.out, el)
			}
		}
		return n.out, !clash(n.out)
	}
	if len(left) == 0 || len(right) == 0 {
		return n.out, !c.part || len(right) < 2 || n.build(right)
	}
	f, holds := arithmetic(n.op), compares(n.op)
	if len(left) == 1 && len(right) == 1 && labels.Equal(left[0].labels, right[0].labels) {
		return n.match(f, holds, left[0], right[0].v), true // as in the evaluation of most keys: no need to look what they match by
	}
	if !n.build(right) {
		return nil, false
	}
	n.taken = append(n.taken[:0], make([]bool, len(right))...)
	for _, el := range left {
		i, there := n.find(el, right)
		if !there {
			continue
		}
		if n.taken[i] {
			return nil, false
		}
		n.taken[i] = true
		n.match(f, holds, el, right[i].v)
	}
	return n.out, true
}

// match adds the result of an element on the left and the value on the right that it matches.
func (n *matchNode) match(f func(a, b float64) float64, holds func(a, b float64) bool, el element, right float64) []element {
	switch {
	case f != nil:
		n.out = append(n.out, element{n.result(el, true), nil, f(el.v, right)})
	case n.asBool:
		n.out = append(n.out, element{n.result(el, true), nil, truth(holds(el.v, right))})
	case holds(el.v, right):
		n.out = append(n.out, element{n.result(el, false), nil, el.v})
	}
	return n.out
}

// build prepares find. It reports false if two elements cannot be told apart. One element, the usual case in the
// evaluation of a key, needs no map.
func (n *matchNode) build(list []element) bool {
	if len(list) == 1 {
		n.other = n.signature(n.other, list[0].labels)
		return true
	}
	clear(n.index)
	for i, el := range list {
		n.buf = n.signature(n.buf, el.labels)
		n.index[string(n.buf)] = i
	}
	return len(n.index) == len(list)
}

func (n *matchNode) find(el element, list []element) (int, bool) {
	if len(list) == 0 {
		return 0, false
	}
	n.buf = n.signature(n.buf, el.labels)
	if len(list) == 1 {
		return 0, bytes.Equal(n.buf, n.other)
	}
	i, ok := n.index[string(n.buf)]
	return i, ok
}

// result are the labels of a result: those on the left, as far as they were matched by.
func (n *matchNode) result(el element, drop bool) labels.Labels {
	ls := el.labels
	if drop {
		ls = el.unnamed()
	}
	if !n.on && len(n.names) == 0 {
		return ls
	}
	n.builder.Reset(ls)
	if n.on {
		n.builder.Keep(n.names...)
	} else {
		n.builder.Del(n.names...)
	}
	return n.builder.Labels()
}

// clash reports whether two elements have the same labels, which is an error.
func clash(list []element) bool {
	if len(list) < 2 {
		return false
	}
	seen := make(map[uint64]bool, len(list))
	for _, el := range list {
		h := el.labels.Hash()
		if seen[h] {
			return true
		}
		seen[h] = true
	}
	return false
}
