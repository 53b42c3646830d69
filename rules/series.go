package rules

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"alertd"
)

// A series keeps its newest samples as they are, which costs nothing to append, to insert late ones and to read;
// most windows are a few dozen samples long and never grow beyond that. What a busy series has in excess is
// compressed, oldest first: 120 jittered samples take some 0.9 kB as a Gorilla chunk against 1.9 kB plain, and
// 0.3 kB if they come on time.
const (
	sealAfter = 240
	sealSize  = 120
)

// series is one series of the window. What every sample touches stands first: where there are many series, memory is
// what a sample waits for.
type series struct {
	labels   labels.Labels
	follower *series         // whose sample came after one of this series, the last time; see Evaluator.seriesOf
	head     []promql.FPoint // in order of time, all newer than what is sealed
	newest   int64           // time of the newest sample, milliseconds
	touches  []touch
	seen     int64 // our own time of the last append, milliseconds
	keep     int64 // how long samples are kept, milliseconds
	validFor int64 // how long its newest sample wants to be believed, milliseconds; 0: as its readers do
	typed    bool  // has __type__ or __unit__, which functions drop as well
	dead     bool
	marked   bool // a staleness marker came, ever

	hists   []promql.HPoint // native histograms, in order of time; no instant has both
	sealed  []sealed
	chain   *series       // next series with the same hash
	unnamed labels.Labels // without the metric's name
	outcome outcome
	hash    uint64
	traces  []exemplar // at most traceSlots, in order of arrival
	indexes []*index
	retired int64 // time of the marker that says that nobody reports any more, milliseconds; of no sample: there is none
	pins    []pin // what is kept besides the window
}

// sealed is a compressed run of samples.
type sealed struct {
	from, to int64
	chunk    *chunkenc.XORChunk
}

// touch is a key that a sample of the series makes dirty.
type touch struct {
	key  *key
	slot int
}

func newSeries(ls labels.Labels, hash uint64) *series {
	return &series{
		labels: ls, unnamed: withoutName(ls), typed: ls.Has("__type__") || ls.Has("__unit__"), hash: hash, retired: never,
	}
}

func withoutName(ls labels.Labels) labels.Labels {
	return ls.DropReserved(func(name string) bool { return name == alertd.LabelMetric })
}

type appended int

const (
	stored appended = iota
	duplicate
	tooOld
)

// append adds a sample. The window begins at cutoff; of what is older only the newest sample is kept, since for an
// instant later than it that is still the value. A second sample for one instant changes nothing, see replace.
// A native histogram, where there is one, is the value.
func (s *series) append(t int64, v float64, h *histogram.FloatHistogram, cutoff int64) appended {
	s.marked = s.marked || value.IsStaleNaN(v)
	switch {
	case s.empty() || t > s.newest:
		if h != nil {
			s.pushHistogram(t, h, cutoff)
		} else {
			s.push(promql.FPoint{T: t, F: v}, cutoff)
		}
		s.newest = t
		return stored
	case t == s.newest:
		return duplicate
	case t < cutoff && s.newer(t, cutoff) && !s.pinned(t):
		return tooOld
	case h != nil:
		return s.insertHistogram(t, h)
	case s.histogramAt(t):
		return duplicate
	case len(s.sealed) > 0 && t < s.head[0].T:
		return s.insertSealed(t, v)
	}
	i := sort.Search(len(s.head), func(i int) bool { return s.head[i].T >= t })
	if i < len(s.head) && s.head[i].T == t {
		return duplicate
	}
	switch n := len(s.head); {
	case n < cap(s.head):
	case n >= sealAfter:
		s.seal()
		return s.append(t, v, h, cutoff) // between what is compressed now, it may be
	default:
		s.head = append(make([]promql.FPoint, 0, roomFor(n)), s.head...)
	}
	s.head = slices.Insert(s.head, i, promql.FPoint{T: t, F: v})
	return stored
}

// roomFor is the capacity of a head that is full with n samples: room for as much again, but never for more than is kept
// uncompressed.
func roomFor(n int) int { return min(max(2*n, 4), sealAfter) }

// newer reports whether there is a sample after t, up to and including to.
func (s *series) newer(t, to int64) bool {
	if p, ok := s.at(to); ok && p.T > t {
		return true
	}
	i := sort.Search(len(s.hists), func(i int) bool { return s.hists[i].T > t })
	return i < len(s.hists) && s.hists[i].T <= to
}

func (s *series) empty() bool { return len(s.head) == 0 && len(s.hists) == 0 }

func (s *series) push(p promql.FPoint, cutoff int64) {
	if len(s.head) == cap(s.head) {
		s.trim(cutoff)
		switch n := len(s.head); {
		case n >= sealAfter:
			s.seal()
		case 4*n > 3*cap(s.head) || n == 0: // unless trimming has made room
			s.head = append(make([]promql.FPoint, 0, roomFor(n)), s.head...)
		}
	}
	s.head = append(s.head, p)
}

// trim drops what is before the window, except the newest sample of that.
func (s *series) trim(cutoff int64) {
	if len(s.pins) > 0 {
		s.trimAround(cutoff)
		return
	}
	gone := 0
	for gone < len(s.sealed) && s.after(gone) <= cutoff {
		gone++
	}
	if gone > 0 {
		s.sealed = slices.Delete(s.sealed, 0, gone)
	}
	if len(s.sealed) > 0 {
		return
	}
	i := sort.Search(len(s.head), func(i int) bool { return s.head[i].T > cutoff }) - 1
	if i > 0 {
		s.head = s.head[:copy(s.head, s.head[i:])]
	}
}

// after is the time of the first sample behind sealed run i.
func (s *series) after(i int) int64 {
	if i+1 < len(s.sealed) {
		return s.sealed[i+1].from
	}
	if len(s.head) == 0 {
		return s.newest
	}
	return s.head[0].T
}

func (s *series) seal() {
	s.sealed = append(s.sealed, compress(s.head[:sealSize]))
	s.head = s.head[:copy(s.head, s.head[sealSize:])]
}

func compress(points []promql.FPoint) sealed {
	c := chunkenc.NewXORChunk()
	a, err := c.Appender()
	if err != nil {
		panic(err) // an empty chunk has an appender
	}
	for _, p := range points {
		a.Append(0, p.T, p.F)
	}
	c.Compact()
	return sealed{points[0].T, points[len(points)-1].T, c}
}

// insertSealed puts a late sample between compressed ones. That is rare, and costs the decoding of one run.
func (s *series) insertSealed(t int64, v float64) appended {
	i := sort.Search(len(s.sealed), func(i int) bool { return s.sealed[i].to >= t })
	i = min(i, len(s.sealed)-1) // between the last run and the head: at the end of the run
	points := s.sealed[i].points()
	at, there := search(points, t)
	if there {
		return duplicate
	}
	points = slices.Insert(points, at, promql.FPoint{T: t, F: v})
	runs := []sealed{compress(points)}
	if len(points) >= 2*sealSize {
		runs = []sealed{compress(points[:sealSize]), compress(points[sealSize:])}
	}
	s.sealed = slices.Replace(s.sealed, i, i+1, runs...)
	return stored
}

func (r sealed) points() (out []promql.FPoint) {
	for it := r.chunk.Iterator(nil); it.Next() != chunkenc.ValNone; {
		t, v := it.At()
		out = append(out, promql.FPoint{T: t, F: v})
	}
	return out
}

// search finds the first of the points that is not before t, and whether it is of that instant.
func search(points []promql.FPoint, t int64) (int, bool) {
	return slices.BinarySearchFunc(points, t, func(p promql.FPoint, t int64) int { return cmp.Compare(p.T, t) })
}

// replace puts another value in the place of the one for an instant. It reports false if it is the same, or of the other
// kind: of a float and a native histogram the first stays.
func (s *series) replace(t int64, v float64, h *histogram.FloatHistogram) bool {
	if h != nil || s.histogramAt(t) {
		return h != nil && s.replaceHistogram(t, h)
	}
	points, run := s.head, -1
	if len(s.sealed) > 0 && t < s.head[0].T {
		run = sort.Search(len(s.sealed), func(i int) bool { return s.sealed[i].to >= t })
		if run == len(s.sealed) {
			return false
		}
		points = s.sealed[run].points()
	}
	i, there := search(points, t)
	if !there || math.Float64bits(points[i].F) == math.Float64bits(v) {
		return false
	}
	points[i].F = v
	if run >= 0 {
		s.sealed[run] = compress(points)
	}
	return true
}

// at is the newest sample that is not newer than t.
func (s *series) at(t int64) (promql.FPoint, bool) {
	for i := len(s.head) - 1; i >= 0; i-- {
		if s.head[i].T <= t {
			return s.head[i], true
		}
	}
	for i := len(s.sealed) - 1; i >= 0; i-- {
		if s.sealed[i].from > t {
			continue
		}
		var p promql.FPoint
		for it := s.sealed[i].chunk.Iterator(nil); it.Next() != chunkenc.ValNone && it.AtT() <= t; {
			p.T, p.F = it.At()
		}
		return p, true
	}
	return promql.FPoint{}, false
}

// span appends to buf the samples after from, up to and including to.
func (s *series) span(buf []promql.FPoint, from, to int64) []promql.FPoint {
	for _, run := range s.sealed {
		if run.to <= from || run.from > to {
			continue
		}
		for it := run.chunk.Iterator(nil); it.Next() != chunkenc.ValNone; {
			if t, v := it.At(); t > from && t <= to {
				buf = append(buf, promql.FPoint{T: t, F: v})
			}
		}
	}
	return append(buf, s.headSpan(from, to)...)
}

// headSpan are the samples after from, up to and including to, that are not compressed.
func (s *series) headSpan(from, to int64) []promql.FPoint {
	i := sort.Search(len(s.head), func(i int) bool { return s.head[i].T > from })
	j := len(s.head)
	for j > i && s.head[j-1].T > to {
		j--
	}
	return s.head[i:j:j]
}

func (s *series) samples() int {
	n := len(s.head) + len(s.hists)
	for _, run := range s.sealed {
		n += run.chunk.NumSamples()
	}
	return n
}

func (s *series) bytes() int {
	const fixed, perRun, perTrace, perTouch = 256, 80, 80, 16
	n := fixed + int(s.labels.ByteSize()) + cap(s.head)*16 + cap(s.traces)*perTrace + cap(s.touches)*perTouch + cap(s.indexes)*8 + cap(s.pins)*16
	for _, run := range s.sealed {
		n += perRun + len(run.chunk.Bytes())
	}
	for _, p := range s.hists {
		n += 8 + p.H.Size()
	}
	return n
}

// Labels implements storage.Series.
func (s *series) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series.
func (s *series) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	if len(s.hists) > 0 {
		return newMixedCursor(s, it)
	}
	c, ok := it.(*cursor)
	if !ok {
		c = new(cursor)
	}
	*c = cursor{series: s, run: -1, chunk: c.chunk, head: -1}
	return c
}

// cursor walks over a series, first what is sealed and then the head.
type cursor struct {
	series *series
	run    int               // sealed run that chunk is in; len(sealed): in the head
	chunk  chunkenc.Iterator // kept for reuse
	head   int
	t      int64
	v      float64
	valid  bool
}

func (c *cursor) Next() chunkenc.ValueType {
	for c.run < len(c.series.sealed) {
		if c.run >= 0 && c.chunk.Next() != chunkenc.ValNone {
			c.t, c.v = c.chunk.At()
			c.valid = true
			return chunkenc.ValFloat
		}
		if c.run++; c.run < len(c.series.sealed) {
			c.chunk = c.series.sealed[c.run].chunk.Iterator(c.chunk)
		}
	}
	c.head++
	return c.inHead()
}

func (c *cursor) inHead() chunkenc.ValueType {
	if c.valid = c.head < len(c.series.head); !c.valid {
		return chunkenc.ValNone
	}
	p := c.series.head[c.head]
	c.t, c.v = p.T, p.F
	return chunkenc.ValFloat
}

// millis is int64 under a name, because vet takes a method Seek(int64) for the one of io.Seeker.
type millis = int64

func (c *cursor) Seek(t millis) chunkenc.ValueType {
	if c.valid && c.t >= t {
		return chunkenc.ValFloat
	}
	for c.run < len(c.series.sealed) {
		if c.run >= 0 && c.series.sealed[c.run].to >= t {
			for c.chunk.Next() != chunkenc.ValNone {
				if c.t, c.v = c.chunk.At(); c.t >= t {
					c.valid = true
					return chunkenc.ValFloat
				}
			}
		}
		if c.run++; c.run < len(c.series.sealed) {
			c.chunk = c.series.sealed[c.run].chunk.Iterator(c.chunk)
		}
	}
	c.head = max(c.head, 0)
	if c.head < len(c.series.head) {
		c.head += sort.Search(len(c.series.head)-c.head, func(i int) bool { return c.series.head[c.head+i].T >= t })
	}
	return c.inHead()
}

func (c *cursor) At() (int64, float64) { return c.t, c.v }
func (c *cursor) AtT() int64           { return c.t }
func (c *cursor) AtST() int64          { return 0 }
func (c *cursor) Err() error           { return nil }

func (c *cursor) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) { return c.t, nil }

func (c *cursor) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return c.t, nil
}
