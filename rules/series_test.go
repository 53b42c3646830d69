package rules

import (
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"pgregory.net/rapid"
)

// TestSeriesKeepsItsWindow: whatever order samples come in, everything in the window can be read back in each of the
// ways in which it is read, and not much more is kept.
func TestSeriesKeepsItsWindow(t *testing.T) {
	sealedOnce := false
	rapid.Check(t, func(t *rapid.T) {
		const keep = 1000
		s := newSeries(metricLabels, 1)
		var all []promql.FPoint
		clock := int64(10_000)
		for i := range rapid.IntRange(1, 3000).Draw(t, "samples") {
			at := clock
			switch rapid.IntRange(0, 9).Draw(t, "late") {
			case 0:
				at -= int64(rapid.IntRange(0, keep+200).Draw(t, "by"))
			case 1: // the same instant again
			default:
				clock += int64(rapid.IntRange(1, 4).Draw(t, "step"))
				at = clock
			}
			p := promql.FPoint{T: at, F: float64(i)}
			j, there := slices.BinarySearchFunc(all, p, func(a, b promql.FPoint) int { return int(a.T - b.T) })
			switch result := s.append(at, p.F, nil, s.newest-keep); {
			case result == tooOld && at >= s.newest-keep:
				t.Fatalf("sample at %d refused, newest %d", at, s.newest)
			case result == duplicate && !there:
				t.Fatalf("sample at %d called a duplicate", at)
			case result == stored && there && at >= s.newest-keep:
				t.Fatalf("sample at %d stored twice", at)
			case result == stored:
				if !there {
					all = slices.Insert(all, j, p)
				}
			}
		}
		sealedOnce = sealedOnce || len(s.sealed) > 1
		cutoff := s.newest - keep
		inWindow := func(list []promql.FPoint) []promql.FPoint {
			return slices.DeleteFunc(slices.Clone(list), func(p promql.FPoint) bool { return p.T <= cutoff })
		}
		var read []promql.FPoint
		it := s.Iterator(nil)
		for it.Next() != chunkenc.ValNone {
			at, v := it.At()
			read = append(read, promql.FPoint{T: at, F: v})
		}
		if want := inWindow(all); !slices.Equal(inWindow(read), want) {
			t.Fatalf("iterated\n%v\nwant\n%v", inWindow(read), want)
		}
		if !slices.IsSortedFunc(read, func(a, b promql.FPoint) int { return int(a.T - b.T) }) {
			t.Fatal("not in order")
		}
		if want := inWindow(all); !slices.Equal(s.span(nil, cutoff, s.newest), want) {
			t.Fatalf("span\n%v\nwant\n%v", s.span(nil, cutoff, s.newest), want)
		}
		if len(read) != s.samples() || s.bytes() > 256+200+len(read)*40+sealAfter*16 {
			t.Fatalf("%d samples, %d read, %d bytes", s.samples(), len(read), s.bytes())
		}
		for range 20 {
			at := cutoff + int64(rapid.IntRange(0, keep+10).Draw(t, "at"))
			i, there := slices.BinarySearchFunc(all, at, func(p promql.FPoint, at int64) int { return int(p.T - at) })
			if !there {
				i--
			}
			got, ok := s.at(at)
			if ok != (i >= 0) || ok && got != all[i] {
				t.Fatalf("at %d: %v %v, want %v", at, got, ok, all[max(i, 0)])
			}
			it = s.Iterator(it)
			if rapid.Bool().Draw(t, "first") {
				it.Next()
			}
			j, _ := slices.BinarySearchFunc(read, at, func(p promql.FPoint, at int64) int { return int(p.T - at) })
			for kind := it.Seek(at); ; kind = it.Next() {
				if (kind == chunkenc.ValNone) != (j >= len(read)) {
					t.Fatalf("seek %d ends too early or too late", at)
				}
				if kind == chunkenc.ValNone {
					break
				}
				if ts, v := it.At(); read[j] != (promql.FPoint{T: ts, F: v}) {
					t.Fatalf("seek %d: %d %v, want %v", at, ts, v, read[j])
				}
				j++
			}
		}
	})
	if !sealedOnce {
		t.Error("nothing was ever compressed")
	}
}

var metricLabels = fleet("m", 1)[0].Labels

func TestSeriesForgets(t *testing.T) {
	s := newSeries(metricLabels, 1)
	for i := range int64(100_000) {
		s.append(i, float64(i%10), nil, i-1000)
	}
	if n := s.samples(); n < 1000 || n > 1000+2*sealAfter {
		t.Errorf("%d samples kept for a window of 1000", n)
	}
	lonely := newSeries(metricLabels, 1)
	lonely.append(1, 42, nil, 0)
	lonely.append(100_000, 43, nil, 99_000)
	lonely.trim(99_000)
	if p, ok := lonely.at(99_500); !ok || p.F != 42 {
		t.Errorf("the last sample before the window is gone: %v %v", p, ok)
	}
}

func TestTimersKeepOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h timers
		var want []int64
		for range rapid.IntRange(0, 60).Draw(t, "n") {
			k := &key{queue: waiting, due: rapid.Int64Range(0, 20).Draw(t, "due")}
			h.push(timer{k.due, k})
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				want = append(want, k.due)
			case 1:
				k.queue = nowhere // evaluated meanwhile
			default:
				k.due = rapid.Int64Range(0, 20).Draw(t, "again")
				h.push(timer{k.due, k})
				want = append(want, k.due)
			}
		}
		slices.Sort(want)
		var got []int64
		for {
			first, ok := h.first()
			if !ok {
				break
			}
			got = append(got, first.due)
			first.key.queue = nowhere
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
